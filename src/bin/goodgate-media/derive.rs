//! `derive`: one pass over the clip; its pictures and its sound go to a lane for each output. Of a damaged clip
//! whatever can be decoded.

use crate::clock::Clock;
use crate::facts::{best, display};
use crate::file_io::Shared;
use crate::glance;
use crate::input::{self, Refusal, decoder, decoder_options, next_packet};
use crate::lane::{Item, share_sound};
use crate::lanes::Lanes;
use crate::movie::{Picture, Plan};
use crate::sound::{Ear, Track};
use ffmpeg_next::format::context::Input;
use ffmpeg_next::{Packet, Stream, codec, decoder::Video, ffi, frame, media};
use goodgate::media::protocol::{Body, Outcome, Request, rotation};
use goodgate::preset::{Container, Output};
use goodgate::timecode::{FrameRate, Timecode};
use std::fs::File;
use std::sync::Arc;

pub fn derive(clip: File, request: &Request, outputs: Vec<File>) -> Body {
    let mut input = match input::open(Shared::new(clip, 0), request.max_pixels) {
        Ok(input) => input,
        Err(Refusal::Unsupported(why)) => return Body::Unsupported(why),
        Err(Refusal::Failed(why)) => return Body::Failed(why),
    };
    let files: Vec<Arc<Shared>> = outputs.into_iter().map(|f| Shared::new(f, request.output_bytes)).collect();
    let (picture, sound) = (best(&input, media::Type::Video), best(&input, media::Type::Audio));
    if picture.is_none() && sound.is_none() {
        return Body::Unsupported("neither picture nor sound in it".into());
    }
    let mut clip = match Clip::open(&input, picture, sound, request) {
        Ok(clip) => clip,
        Err(refused) => return refused,
    };
    let lanes = Lanes::start(&clip, request, &files);
    let glanced = match glance::is_enough(&clip, &request.outputs) {
        true => glance::run(&mut input, &mut clip, &lanes, &request.outputs),
        false => None,
    };
    let seen = match glanced {
        Some(seen) => seen,
        None => Pass::new(&mut clip, &lanes, request).run(&mut input),
    };
    lanes.finish(&clip, &seen, picture.and_then(|i| input.stream(i)).map_or(0, |s| s.frames()))
}

/// The clip, open for decoding.
pub struct Clip {
    pub picture: Option<(usize, Video, Clock)>,
    pub plan: Option<Picture>,
    pub ears: Vec<Ear>,
    /// Why a track is not among them.
    deaf: Vec<String>,
    /// The track a player would choose, among `ears`.
    main: Option<usize>,
    pub still: bool,
    notes: Vec<String>,
}

impl Clip {
    fn open(input: &Input, picture: Option<usize>, sound: Option<usize>, request: &Request) -> Result<Self, Body> {
        let mut notes = Vec::new();
        let mut opened = None;
        if let Some(stream) = picture.and_then(|i| input.stream(i)) {
            let decoder = open_decoder(&stream, request)?;
            opened = Some((stream.index(), decoder, Clock::new(&stream), display(&stream)));
        }
        let plan = opened.as_ref().map(|(_, _, clock, display)| Picture {
            time_base: clock.time_base(),
            rate: clock.rate(),
            constant: clock.constant(),
            start_tc: start_tc(request, clock, &mut notes),
            display: *display,
            reel: request.reel.clone(),
            clip: request.clip.clone(),
            threads: request.threads,
        });
        let start = opened.as_ref().map(|(_, _, clock, _)| (clock.start(), clock.from()));
        let (mut ears, mut deaf, mut main) = (Vec::new(), Vec::new(), None);
        for stream in input.streams().filter(|s| s.parameters().medium() == media::Type::Audio) {
            match Ear::open(&stream, start, request.max_pixels) {
                Ok(ear) => {
                    if Some(stream.index()) == sound {
                        main = Some(ears.len());
                    }
                    ears.push(ear);
                }
                Err(why) => deaf.push(why),
            }
        }
        let picture = opened.map(|(index, decoder, clock, _)| (index, decoder, clock));
        Ok(Clip { picture, plan, ears, deaf, main, still: input.format().name().ends_with("_pipe"), notes })
    }

    pub fn tracks(&self) -> Vec<(usize, Track)> {
        self.ears.iter().map(|e| e.track).enumerate().collect()
    }

    /// Why this output is not made of the clip at all.
    pub fn unfit(&self, output: Output) -> Option<Outcome> {
        let unsupported = |why: &str| Some(Outcome::Unsupported(why.into()));
        if self.still && output != Output::Poster {
            return unsupported("a still: only a poster is made of it");
        }
        let recipe = match output {
            Output::Proxy(recipe) => recipe,
            Output::Poster | Output::Filmstrip | Output::FilmstripIndex if self.picture.is_none() => {
                return unsupported("no picture in it");
            }
            Output::Waveform if self.ears.is_empty() => {
                return unsupported(self.deaf.first().map_or("no sound in it", String::as_str));
            }
            _ => return None,
        };
        if !recipe.preset.is_relink() {
            return None;
        }
        let Some(picture) = &self.plan else { return unsupported("no picture in it: its sound is cut as it is") };
        if !picture.constant && !recipe.vfr {
            return unsupported(
                "its frame rate varies: editing programs would count another number of frames than the original has \
                 (vfr = true makes one all the same)",
            );
        }
        self.deaf.first().map(|why| Outcome::Failed(format!("not all of its tracks can be copied: {why}")))
    }

    pub fn movie(&self, output: Output, file: &Arc<Shared>, request: &Request) -> Option<Plan> {
        let Output::Proxy(recipe) = output else { return None };
        let mut notes = self.notes.clone();
        let tracks = match recipe.preset.is_relink() {
            true => self.tracks(),
            false => {
                if self.main.is_none() && self.picture.is_some() {
                    notes.extend(self.deaf.first().map(|why| format!("without sound: {why}")));
                }
                self.main.map(|at| (at, self.ears[at].track)).into_iter().collect()
            }
        };
        let mxf = recipe.container == Container::Mxf;
        if mxf && self.plan.as_ref().is_some_and(|p| p.display.map_or(0, rotation) != 0) {
            notes.push("it is turned, which MXF can not say".into());
        }
        if mxf && tracks.iter().any(|(_, t)| t.rate_hz != 48_000) {
            notes.push("its sound is at 48 kHz, as MXF wants it".into());
        }
        let (file, picture, max_pixels) = (file.clone(), self.plan.clone(), request.max_pixels);
        Some(Plan { file, recipe, picture, tracks, notes, max_pixels })
    }
}

fn open_decoder(stream: &Stream<'_>, request: &Request) -> Result<Video, Body> {
    let codec = decoder(stream.parameters().id());
    let codec = codec.ok_or_else(|| Body::Unsupported("no decoder for its picture in this libav".into()))?;
    let mut options = decoder_options(request.max_pixels);
    options.set("threads", &request.threads.to_string());
    if codec.name() == "exr" {
        // Linear light would look black.
        options.set("apply_trc", "iec61966_2_1");
    }
    let opened = codec::Context::from_parameters(stream.parameters()).and_then(|mut context| {
        context.set_time_base(stream.time_base());
        context.decoder().open_as_with(codec, options)
    });
    opened.and_then(|d| d.video()).map_err(|e| Body::Failed(format!("its decoder does not start: {e}")))
}

/// The clip's start counted at the picture's own rate: containers hold no other, and libav says nothing when it leaves
/// one out. Cameras of 50 and 60 pictures a second often count 25 and 30: then every number stands for two pictures.
fn start_tc(request: &Request, clock: &Clock, notes: &mut Vec<String>) -> Option<String> {
    let (text, num, den) = request.start_tc.as_ref()?;
    let picture = clock.rate();
    let whole = |n: i32| u32::try_from(n).ok();
    let rates = FrameRate::new(*num, *den)
        .zip(whole(picture.numerator()).zip(whole(picture.denominator())).and_then(|(n, d)| FrameRate::new(n, d)));
    let counted = rates.and_then(|(counting, shown)| {
        let (top, bottom) =
            (u64::from(shown.num()) * u64::from(counting.den()), u64::from(shown.den()) * u64::from(counting.num()));
        let times = top.is_multiple_of(bottom).then(|| top / bottom)?;
        let tc = Timecode::parse(text, counting)?;
        Some(Timecode::from_frame(u64::from(tc.frame) * times, shown, tc.drop).to_string())
    });
    if counted.is_none() {
        notes.push(format!("its timecode {text} counts at {num}/{den} and is not in the proxy"));
    }
    counted
}

/// What the pass over the clip saw.
#[derive(Default)]
pub struct Seen {
    pub frames: u64,
    pub packets: u64,
    /// Packets that the container itself says are not shown.
    hidden: u64,
    bad: u64,
    pub too_long: Option<String>,
    /// The time of the last picture.
    last: Option<i64>,
    /// Everything was read; else nobody wanted more.
    to_the_end: bool,
}

impl Seen {
    /// What of the clip could not be used, in words.
    pub fn damage(&self, announced: i64) -> Vec<String> {
        let mut out = Vec::new();
        let announced = u64::try_from(announced).unwrap_or(0);
        if announced > self.packets && self.to_the_end {
            let missing = announced - self.packets;
            out.push(format!("{missing} of {announced} frames are missing: the file ends early or is damaged"));
        }
        if self.bad > 0 {
            out.push(format!("{} of {} frames are damaged", self.bad, self.packets));
        }
        out
    }

    /// Why a proxy has not as many frames as its original, which nothing could be relinked to.
    pub fn lost(&self, announced: i64) -> Option<String> {
        let announced = u64::try_from(announced).unwrap_or(0);
        let counted = if announced > 0 { announced } else { self.packets };
        let shown = counted.saturating_sub(self.hidden);
        let wrong = if announced > 0 { self.frames != shown } else { self.bad > 0 && self.frames < shown };
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

/// The one reading of a clip.
struct Pass<'a> {
    clip: &'a mut Clip,
    lanes: &'a Lanes,
    max_frames: u64,
    seen: Seen,
}

impl<'a> Pass<'a> {
    fn new(clip: &'a mut Clip, lanes: &'a Lanes, request: &Request) -> Self {
        Pass { clip, lanes, max_frames: request.max_frames, seen: Seen::default() }
    }

    fn run(mut self, input: &mut Input) -> Seen {
        while self.lanes.want_more() && self.seen.too_long.is_none() {
            let Some(packet) = next_packet(input) else {
                self.seen.to_the_end = true;
                self.see(None);
                (0..self.clip.ears.len()).for_each(|at| self.hear(at, None));
                break;
            };
            if self.clip.picture.as_ref().is_some_and(|(index, ..)| *index == packet.stream()) {
                self.see(Some(&packet));
            } else if let Some(at) = self.clip.ears.iter().position(|e| e.index == packet.stream()) {
                self.hear(at, Some(&packet));
            }
        }
        self.seen
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
        let Some((_, decoder, clock)) = &mut self.clip.picture else { return };
        let seen = &mut self.seen;
        let sent = match packet {
            Some(packet) => decoder.send_packet(packet),
            None => decoder.send_eof(),
        };
        if let Some(packet) = packet {
            if sent.is_err() {
                self.lanes.find(|qc| qc.damage(seen.packets));
            }
            seen.packets += 1;
            seen.bad += u64::from(sent.is_err());
            // SAFETY: the packet is alive.
            let flags = unsafe { (*ffmpeg_next::packet::Ref::as_ptr(packet)).flags };
            seen.hidden += u64::from(flags & ffi::AV_PKT_FLAG_DISCARD != 0);
        }
        loop {
            let mut frame = frame::Video::empty();
            match decoder.receive_frame(&mut frame) {
                Ok(()) => {
                    if frame.is_corrupt() || frame.has_decode_errors() {
                        self.lanes.find(|qc| qc.damage(seen.frames));
                    }
                    seen.frames += 1;
                    if seen.frames > self.max_frames {
                        seen.too_long = Some(format!("longer than its limit of {} frames", self.max_frames));
                        return;
                    }
                    let at = clock.at(frame.timestamp());
                    frame.set_pts(Some(at));
                    if let Some(before) = seen.last
                        && clock.constant()
                        && at > before + 1
                    {
                        self.lanes.find(|qc| qc.gap(seen.frames - 1, (at - before - 1).unsigned_abs()));
                    }
                    seen.last = Some(at);
                    if let Some(into) = &self.lanes.picture {
                        let _ = into.send(Item::Picture(frame));
                    }
                }
                Err(ffmpeg_next::Error::InvalidData) => {
                    self.lanes.find(|qc| qc.damage(seen.frames));
                    seen.bad += 1;
                }
                Err(_) => return,
            }
        }
    }
}
