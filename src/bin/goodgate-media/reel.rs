//! Where a clip's packets come from: one file, its parts one after the other, or numbered pictures on a pipe; and files
//! of sound beside it. The parent opened them all.

use crate::file_io::Shared;
use crate::input::{self, Refusal, next_packet};
use crate::scale::rescale;
use ffmpeg_next::format::context::Input;
use ffmpeg_next::{Packet, Rational, ffi};
use goodgate::media::protocol::{MAX_FRAME_BYTES, Source};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;

const MICROSECONDS: Rational = Rational(1, 1_000_000);

pub struct Reel {
    /// Read side by side, the packet of the earliest time first: the picture's file, then those of sound.
    sides: Vec<Side>,
    frames: Option<Frames>,
    /// What goes on from the first side.
    parts: VecDeque<File>,
    max_pixels: u64,
    /// Why a part could not be gone on with.
    pub broken: Option<String>,
}

struct Side {
    input: Input,
    /// Read already, with its time.
    waiting: Option<(i64, Packet)>,
    ended: bool,
    /// Of the last packet, for those without.
    time: i64,
}

/// Numbered pictures; the first one was opened to see what they are.
struct Frames {
    from: File,
    rate: Rational,
    total: u64,
    first: Option<(u64, Vec<u8>)>,
    /// The number of the next one.
    at: u64,
}

impl Reel {
    pub fn open(clip: File, mut more: Vec<File>, source: Source, max_pixels: u64) -> Result<Self, Refusal> {
        let parts = match source {
            Source::Chapters { more: parts } => more.drain(..usize::from(parts).min(more.len())).collect(),
            _ => VecDeque::new(),
        };
        let (input, frames) = match source {
            Source::Frames { rate: (num, den), total } => {
                let rate = i32::try_from(num).ok().zip(i32::try_from(den).ok()).filter(|(n, d)| *n > 0 && *d > 0);
                let (n, d) = rate.ok_or_else(|| Refusal::Failed("its pictures have no rate".into()))?;
                let mut frames = Frames { from: clip, rate: Rational(n, d), total, first: None, at: 0 };
                let first = frames.open_first()?;
                (input::open(Shared::bytes(first), max_pixels)?, Some(frames))
            }
            _ => (input::open(Shared::new(clip, 0), max_pixels)?, None),
        };
        let mut sides = vec![Side::new(input)];
        for sound in more {
            sides.push(Side::new(input::open(Shared::new(sound, 0), max_pixels)?));
        }
        Ok(Reel { sides, frames, parts, max_pixels, broken: None })
    }

    pub fn inputs(&self) -> impl Iterator<Item = &Input> {
        self.sides.iter().map(|s| &s.input)
    }

    /// The file with the picture, if there is one.
    pub fn main(&self) -> &Input {
        &self.sides[0].input
    }

    pub fn main_mut(&mut self) -> &mut Input {
        &mut self.sides[0].input
    }

    /// Files of sound beside it.
    pub fn apart(&self) -> bool {
        self.sides.len() > 1
    }

    /// Of numbered pictures: their rate and how many there should be.
    pub fn sequence(&self) -> Option<(Rational, u64)> {
        self.frames.as_ref().map(|f| (f.rate, f.total))
    }

    /// Parts that are still to come.
    pub fn parts_left(&self) -> usize {
        self.parts.len()
    }

    /// The next packet with its side.
    pub fn next(&mut self) -> Option<(usize, Packet)> {
        for at in 0..self.sides.len() {
            let pictures = self.frames.as_mut().filter(|_| at == 0);
            self.sides[at].look_ahead(pictures);
        }
        let waiting = self.sides.iter().enumerate().filter_map(|(at, s)| Some((s.waiting.as_ref()?.0, at)));
        let (_, at) = waiting.min()?;
        self.sides[at].waiting.take().map(|(_, packet)| (at, packet))
    }

    /// How many numbered pictures came, the missing ones counted.
    pub fn pictures(&self) -> u64 {
        self.frames.as_ref().map_or(0, |f| f.at)
    }

    /// Goes on with the next part; `false`: there is none, or it can not be read.
    pub fn go_on(&mut self) -> bool {
        let Some(file) = self.parts.pop_front() else { return false };
        match input::open(Shared::new(file, 0), self.max_pixels) {
            Ok(input) => {
                self.sides[0] = Side::new(input);
                true
            }
            Err(refused) => {
                self.broken = Some(refused.words());
                false
            }
        }
    }
}

impl Side {
    fn new(input: Input) -> Self {
        Side { input, waiting: None, ended: false, time: 0 }
    }

    fn look_ahead(&mut self, frames: Option<&mut Frames>) {
        if self.waiting.is_some() || self.ended {
            return;
        }
        let packet = match frames {
            Some(frames) => frames.next(),
            None => next_packet(&mut self.input).map(|packet| {
                let time = self.time_of(&packet);
                (time, packet)
            }),
        };
        match packet {
            Some((time, packet)) => {
                self.time = time;
                self.waiting = Some((time, packet));
            }
            None => self.ended = true,
        }
    }

    /// Since its stream began.
    fn time_of(&self, packet: &Packet) -> i64 {
        let Some(stream) = self.input.stream(packet.stream()) else { return self.time };
        let start = Some(stream.start_time()).filter(|t| *t != ffi::AV_NOPTS_VALUE).unwrap_or(0);
        let at = packet.dts().or(packet.pts());
        at.map_or(self.time, |t| rescale(t.saturating_sub(start), stream.time_base(), MICROSECONDS))
    }
}

impl Frames {
    fn open_first(&mut self) -> Result<Vec<u8>, Refusal> {
        while let Some(picture) = self.read() {
            if let Some(bytes) = picture {
                self.first = Some((self.at - 1, bytes.clone()));
                return Ok(bytes);
            }
        }
        Err(Refusal::Failed("none of its pictures can be read".into()))
    }

    /// The next picture that is not missing; its number is its time.
    fn next(&mut self) -> Option<(i64, Packet)> {
        let mut found = self.first.take();
        while found.is_none() {
            let picture = self.read()?;
            found = picture.map(|bytes| (self.at - 1, bytes));
        }
        let (number, bytes) = found?;
        let mut packet = Packet::copy(&bytes);
        let number = i64::try_from(number).ok()?;
        packet.set_pts(Some(number));
        packet.set_dts(Some(number));
        packet.set_duration(1);
        packet.set_flags(ffmpeg_next::packet::Flags::KEY);
        Some((rescale(number, self.rate.invert(), MICROSECONDS), packet))
    }

    /// `Some(None)`: missing. The pipe's end, in whatever place, is the end of the pictures.
    fn read(&mut self) -> Option<Option<Vec<u8>>> {
        let mut len = [0; 8];
        self.from.read_exact(&mut len).ok()?;
        let len = u64::from_le_bytes(len);
        if self.at >= self.total || len > MAX_FRAME_BYTES {
            return None;
        }
        self.at += 1;
        if len == 0 {
            return Some(None);
        }
        let mut bytes = Vec::new();
        // Memory has a limit; a picture that does not fit ends the clip, not the program.
        bytes.try_reserve_exact(len as usize).ok()?;
        bytes.resize(len as usize, 0);
        self.from.read_exact(&mut bytes).ok()?;
        Some(Some(bytes))
    }
}
