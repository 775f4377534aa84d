//! The one reading of a clip: every packet is decoded once, and what comes out goes to the lanes.

use crate::derive::{Clip, open_decoder};
use crate::facts::{best, pixel_shape};
use crate::input::Refusal;
use crate::lane::{Item, share, share_sound};
use crate::lanes::Lanes;
use crate::reel::Reel;
use crate::scale::rescale;
use ffmpeg_next::{Packet, ffi, frame, media};

/// What it saw.
#[derive(Default)]
pub struct Seen {
    /// Those that stand in for others, too.
    pub frames: u64,
    pub packets: u64,
    /// As the container counts them; 0 where it does not.
    announced: u64,
    /// Packets that the container itself says are not shown.
    hidden: u64,
    bad: u64,
    /// Numbers of a sequence that show the picture before them.
    repeated: u64,
    pub too_long: Option<String>,
    /// Why it ends before its last part.
    broken: Option<String>,
    /// The time of the last picture.
    last: Option<i64>,
    /// Everything was read; else nobody wanted more.
    to_the_end: bool,
}

impl Seen {
    /// What of the clip could not be used, in words.
    pub fn damage(&self) -> Vec<String> {
        let mut out = Vec::new();
        if self.announced > self.packets && self.to_the_end {
            let (missing, announced) = (self.announced - self.packets, self.announced);
            out.push(format!("{missing} of {announced} frames are missing: the file ends early or is damaged"));
        }
        if self.bad > 0 {
            out.push(format!("{} of {} frames are damaged", self.bad, self.packets));
        }
        if self.repeated > 0 {
            let (s, show) = if self.repeated == 1 { ("", "shows") } else { ("s", "show") };
            out.push(format!("{} missing frame{s} {show} the one before", self.repeated));
        }
        out.extend(self.broken.as_ref().map(|why| format!("its later parts are not in it: {why}")));
        out
    }

    /// Why a proxy has not as many frames as its original, which nothing could be relinked to.
    pub fn lost(&self) -> Option<String> {
        if self.repeated > 0 {
            return None;
        }
        let counted = if self.announced > 0 { self.announced } else { self.packets };
        let shown = counted.saturating_sub(self.hidden);
        let wrong = if self.announced > 0 { self.frames != shown } else { self.bad > 0 && self.frames < shown };
        wrong.then(|| {
            format!("{} of {shown} frames can be decoded: with another count nothing can be relinked", self.frames)
        })
    }

    pub fn nothing(&self) -> String {
        match (self.packets, self.bad) {
            (0, _) => "no frames: the file ends before its first one".into(),
            (_, 0) => "no frames: none came out of its decoder".into(),
            (n, _) => format!("none of its {n} frames can be decoded"),
        }
    }
}

pub struct Pass<'a> {
    clip: &'a mut Clip,
    lanes: &'a Lanes,
    max_frames: u64,
    max_pixels: u64,
    seen: Seen,
    /// Of a sequence, the last picture: it stands in for those that are missing behind it.
    before: Option<frame::Video>,
    sequence: bool,
    /// Of its first picture.
    size: Option<(u32, u32)>,
}

impl<'a> Pass<'a> {
    pub fn new(clip: &'a mut Clip, lanes: &'a Lanes, max_frames: u64, max_pixels: u64) -> Self {
        Pass { clip, lanes, max_frames, max_pixels, seen: Seen::default(), before: None, sequence: false, size: None }
    }

    pub fn run(mut self, reel: &mut Reel) -> Seen {
        self.sequence = reel.sequence().is_some();
        self.announce(reel);
        loop {
            while self.wants_more() {
                let Some((side, packet)) = reel.next() else {
                    self.seen.to_the_end = reel.parts_left() == 0;
                    break;
                };
                let is_it = |index: usize| (side, packet.stream()) == (0, index);
                if self.clip.picture.as_ref().is_some_and(|(index, ..)| is_it(*index)) {
                    self.see(Some(&packet));
                } else if let Some(at) =
                    self.clip.ears.iter().position(|e| (e.side, e.index) == (side, packet.stream()))
                {
                    self.hear(at, Some(&packet));
                }
            }
            if !self.wants_more() {
                return self.seen;
            }
            self.see(None);
            (0..self.clip.ears.len()).for_each(|at| self.hear(at, None));
            if !reel.go_on() {
                break;
            }
            if let Err(why) = self.clip.go_on(reel.main(), self.max_pixels) {
                self.seen.broken = Some(why);
                break;
            }
            self.announce(reel);
        }
        self.seen.broken = self.seen.broken.take().or(reel.broken.take());
        self.fill(i64::try_from(reel.pictures()).unwrap_or(i64::MAX));
        self.seen
    }

    fn wants_more(&self) -> bool {
        self.lanes.want_more() && self.seen.too_long.is_none()
    }

    fn announce(&mut self, reel: &Reel) {
        let stream = best(reel.main(), media::Type::Video).and_then(|i| reel.main().stream(i));
        let here = stream.map_or(0, |s| u64::try_from(s.frames()).unwrap_or(0));
        // A part that does not say leaves the whole unsaid.
        let unsaid = self.seen.packets > 0 && self.seen.announced == 0;
        self.seen.announced = if here == 0 || unsaid || self.sequence { 0 } else { self.seen.announced + here };
    }

    fn hear(&mut self, at: usize, packet: Option<&Packet>) {
        let lanes = self.lanes;
        self.clip.ears[at].hear(packet, &mut |frame| {
            for (into, tracks) in &lanes.sound {
                if tracks.contains(&at) {
                    // A lane that is gone says so itself.
                    let _ = into.send(Item::Sound(at, share_sound(&frame)));
                }
            }
        });
    }

    fn see(&mut self, packet: Option<&Packet>) {
        let Some((_, decoder, _)) = &mut self.clip.picture else { return };
        let sent = match packet {
            Some(packet) => decoder.send_packet(packet),
            None => decoder.send_eof(),
        };
        let seen = &mut self.seen;
        if let Some(packet) = packet {
            if sent.is_err() {
                let number = packet.pts().filter(|_| self.sequence).map_or(seen.packets, i64::unsigned_abs);
                self.lanes.find(|qc| qc.damage(number));
            }
            seen.packets += 1;
            seen.bad += u64::from(sent.is_err());
            // SAFETY: the packet is alive.
            let flags = unsafe { (*ffmpeg_next::packet::Ref::as_ptr(packet)).flags };
            seen.hidden += u64::from(flags & ffi::AV_PKT_FLAG_DISCARD != 0);
        }
        while let Some((_, decoder, _)) = &mut self.clip.picture {
            let mut frame = frame::Video::empty();
            match decoder.receive_frame(&mut frame) {
                Ok(()) => self.show(frame),
                Err(ffmpeg_next::Error::InvalidData) => {
                    let seen = &mut self.seen;
                    self.lanes.find(|qc| qc.damage(seen.frames));
                    seen.bad += 1;
                }
                Err(_) => return,
            }
            if self.seen.too_long.is_some() {
                return;
            }
        }
    }

    fn show(&mut self, mut frame: frame::Video) {
        self.clip.reshape(&mut frame);
        let Some((_, _, clock)) = &mut self.clip.picture else { return };
        let size = (frame.width(), frame.height());
        if self.sequence && *self.size.get_or_insert(size) != size {
            // A file of something else among them: as if it could not be decoded.
            let number = frame.timestamp().map_or(self.seen.frames, i64::unsigned_abs);
            self.lanes.find(|qc| qc.damage(number));
            self.seen.bad += 1;
            return;
        }
        if frame.is_corrupt() || frame.has_decode_errors() {
            self.lanes.find(|qc| qc.damage(self.seen.frames));
        }
        let at = clock.at(frame.timestamp());
        let missing = match self.seen.last {
            Some(before) => at - before - 1,
            None if self.sequence => at,
            None => 0,
        };
        if clock.constant() && missing > 0 {
            let here = if self.sequence { at.unsigned_abs() } else { self.seen.frames };
            self.lanes.find(|qc| qc.gap(here, missing.unsigned_abs()));
        }
        if self.sequence {
            // Before the first one that can be decoded, it is the nearest.
            let before = self.before.take().unwrap_or_else(|| share(&frame));
            self.before = Some(before);
            self.fill(at);
            self.before = Some(share(&frame));
        }
        frame.set_pts(Some(at));
        self.send(frame, at);
    }

    /// The last picture again, until the time of the next one: picture n of the proxy is number n of the sequence.
    fn fill(&mut self, until: i64) {
        let Some(before) = self.before.take() else { return };
        let mut at = self.seen.last.map_or(0, |last| last + 1);
        while at < until && self.wants_more() {
            let mut again = share(&before);
            again.set_pts(Some(at));
            self.seen.repeated += 1;
            self.send(again, at);
            at += 1;
        }
    }

    fn send(&mut self, frame: frame::Video, at: i64) {
        self.seen.frames += 1;
        self.seen.last = Some(at);
        if self.seen.frames > self.max_frames {
            self.seen.too_long = Some(format!("longer than its limit of {} frames", self.max_frames));
        } else if let Some(into) = &self.lanes.picture {
            let _ = into.send(Item::Picture(frame));
        }
    }
}

impl Clip {
    /// Goes on with the next part of the recording: the same streams, later.
    fn go_on(&mut self, input: &ffmpeg_next::format::context::Input, max_pixels: u64) -> Result<(), String> {
        let streams = |kind| input.streams().filter(move |s| s.parameters().medium() == kind);
        let mut start = None;
        let mut ended = None;
        if let Some((index, decoder, clock)) = &mut self.picture {
            let stream = best(input, media::Type::Video).and_then(|i| input.stream(i));
            let stream = stream.ok_or("the next part has no picture")?;
            ended = Some((clock.end(), clock.time_base()));
            clock.go_on(&stream)?;
            start = Some((clock.start(), clock.from()));
            let opened = open_decoder(&stream, self.threads, max_pixels).map_err(Refusal::words)?;
            (*index, *decoder) = (stream.index(), opened);
            self.shape = pixel_shape(&stream);
        }
        let mut heard = streams(media::Type::Audio);
        for ear in self.ears.iter_mut().filter(|e| e.side == 0) {
            let stream = heard.next().ok_or("the next part has fewer tracks of sound")?;
            let from = match ended {
                Some((end, base)) => rescale(end, base, ear.track.time_base),
                None => ear.end(),
            };
            ear.go_on(&stream, start, from, max_pixels)?;
        }
        Ok(())
    }
}
