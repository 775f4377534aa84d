//! `derive`: one pass over the clip; its pictures and its sound go to a lane for each output. Of a damaged clip
//! whatever can be decoded.

use crate::clock::Clock;
use crate::facts::{best, display};
use crate::file_io::{FileIo, Shared};
use crate::finish::{Finisher, Looks};
use crate::input::{self, Refusal, decoder, decoder_options, next_packet};
use crate::lane::{Item, Lane, share_sound};
use crate::levels;
use crate::movie::{self, Next, Picture, Plan};
use crate::pictures;
use crate::qc::Qc;
use crate::sound::{Ear, Track};
use ffmpeg_next::format::context::Input;
use ffmpeg_next::{Packet, Stream, codec, decoder::Video, ffi, frame, media};
use goodgate::media::protocol::{Body, Outcome, Request, rotation};
use goodgate::preset::{Container, Output, Preset};
use goodgate::timecode::{FrameRate, Timecode};
use std::fs::File;
use std::io::Write;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

pub fn derive(clip: File, request: &Request, outputs: Vec<File>, luts: Vec<File>) -> Body {
    let looks = match Looks::read(request, luts) {
        Ok(looks) => looks,
        Err(why) => return Body::Failed(why),
    };
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
    let mut clip = match Clip::open(&input, picture, sound, request, looks) {
        Ok(clip) => clip,
        Err(refused) => return refused,
    };
    let lanes = Lanes::start(&clip, request, &files);
    let seen = Pass::new(&mut clip, &lanes, request).run(&mut input);
    lanes.finish(&clip, &seen, picture.and_then(|i| input.stream(i)).map_or(0, |s| s.frames()))
}

/// The clip, open for decoding.
struct Clip {
    picture: Option<(usize, Video, Clock)>,
    plan: Option<Picture>,
    ears: Vec<Ear>,
    /// Why a track is not among them.
    deaf: Vec<String>,
    /// The track a player would choose, among `ears`.
    main: Option<usize>,
    still: bool,
    notes: Vec<String>,
    looks: Looks,
}

impl Clip {
    fn open(
        input: &Input,
        picture: Option<usize>,
        sound: Option<usize>,
        request: &Request,
        looks: Looks,
    ) -> Result<Self, Body> {
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
        Ok(Clip { picture, plan, ears, deaf, main, still: input.format().name().ends_with("_pipe"), notes, looks })
    }

    /// What is done to the pictures of one output, by its place in the request.
    fn finisher(&self, at: usize, output: Output) -> Result<Option<Finisher>, String> {
        let Some(((_, decoder, _), plan)) = self.picture.as_ref().zip(self.plan.as_ref()) else { return Ok(None) };
        self.looks.of(at, output, plan, decoder.height())
    }

    fn tracks(&self) -> Vec<(usize, Track)> {
        self.ears.iter().map(|e| e.track).enumerate().collect()
    }

    /// Why this output is not made of the clip at all.
    fn unfit(&self, output: Output) -> Option<Outcome> {
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

    fn movie(&self, at: usize, file: &Arc<Shared>, request: &Request) -> Option<Plan> {
        let output = *request.outputs.get(at)?;
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
        Some(Plan { file, recipe, picture, tracks, notes, max_pixels, finisher: self.finisher(at, output) })
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

/// A lane with the outputs it answers for, by their place in the request.
type Running = (Lane, Vec<usize>);

struct Lanes {
    running: Vec<Running>,
    /// Outputs that no lane makes.
    answered: Vec<Option<Outcome>>,
    /// Where pictures go in.
    picture: Next,
    /// Where sound goes in, and which tracks.
    sound: Vec<(SyncSender<Item>, Vec<usize>)>,
    outputs: Vec<Output>,
    /// Findings, and where they go.
    qc: Option<(Arc<Mutex<Qc>>, usize, Arc<Shared>)>,
}

impl Lanes {
    /// Pictures pass the largest outputs first, each lane handing its smaller ones on; so the last lane starts first.
    fn start(clip: &Clip, request: &Request, files: &[Arc<Shared>]) -> Self {
        let outputs = request.outputs.clone();
        let answered: Vec<Option<Outcome>> = outputs.iter().map(|o| clip.unfit(*o)).collect();
        let mut lanes = Lanes { running: Vec::new(), answered, picture: None, sound: Vec::new(), outputs, qc: None };
        if let Some(at) = lanes.places(|o| o == Output::Qc).first().copied() {
            lanes.qc = Some((Arc::default(), at, files[at].clone()));
        }
        lanes.start_levels(clip, files);
        lanes.start_pictures(clip, request, files);
        let web = lanes.places(|o| matches!(o, Output::Proxy(r) if r.preset == Preset::Web));
        let relink = lanes.places(|o| o.is_relink());
        for at in web.into_iter().chain(relink.into_iter().rev()) {
            let Some(plan) = clip.movie(at, &files[at], request) else { continue };
            let tracks = plan.tracks.iter().map(|(place, _)| *place).collect();
            let next = lanes.picture.clone();
            let lane = Lane::start(lanes.outputs[at].name(), move |from, full| movie::run(plan, next, from, full));
            lanes.picture = Some(lane.into.clone());
            lanes.sound.push((lane.into.clone(), tracks));
            lanes.running.push((lane, vec![at]));
        }
        lanes
    }

    fn start_levels(&mut self, clip: &Clip, files: &[Arc<Shared>]) {
        let waveform = self.places(|o| o == Output::Waveform);
        let qc = self.qc.as_ref().map(|(qc, ..)| qc.clone());
        if clip.ears.is_empty() || (waveform.is_empty() && qc.is_none()) {
            return;
        }
        let (tracks, file) = (clip.tracks(), waveform.first().map(|at| files[*at].clone()));
        let places = tracks.iter().map(|(place, _)| *place).collect();
        let lane = Lane::start("levels", move |from, full| levels::run(&tracks, file, qc, from, full));
        self.sound.push((lane.into.clone(), places));
        self.running.push((lane, waveform));
    }

    fn start_pictures(&mut self, clip: &Clip, request: &Request, files: &[Arc<Shared>]) {
        let Some(((_, _, clock), plan)) = clip.picture.as_ref().zip(clip.plan.as_ref()) else { return };
        let place = |lanes: &Self, output| lanes.places(|o| o == output).first().copied();
        let places = [Output::Poster, Output::Filmstrip, Output::FilmstripIndex].map(|o| place(self, o));
        let qc = self.qc.as_ref().map(|(qc, ..)| qc.clone());
        if qc.is_none() && places.iter().all(Option::is_none) {
            return;
        }
        let [poster, strip, index] = places.map(|at| at.map(|at| files[at].clone()));
        let finisher = |at: Option<usize>| at.map_or(Ok(None), |at| clip.finisher(at, self.outputs[at]));
        let wanted = pictures::Wanted {
            poster,
            strip,
            index,
            sprite: request.sprite.clone(),
            qc,
            time_base: plan.time_base,
            rate: plan.rate,
            expected_frames: clock.expected(),
            rotation_deg: plan.display.map_or(0, rotation),
            poster_finisher: finisher(places[0]),
            strip_finisher: finisher(places[1]),
        };
        let lane = Lane::start("pictures", move |from, full| pictures::run(wanted, from, full));
        self.picture = Some(lane.into.clone());
        self.running.push((lane, places.into_iter().flatten().collect()));
    }

    /// The outputs of a kind that are still to be made.
    fn places(&self, wanted: impl Fn(Output) -> bool) -> Vec<usize> {
        (0..self.outputs.len()).filter(|i| self.answered[*i].is_none() && wanted(self.outputs[*i])).collect()
    }

    fn find(&self, note: impl FnOnce(&mut Qc)) {
        if let Some((qc, ..)) = &self.qc {
            note(&mut qc.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn want_more(&self) -> bool {
        self.running.iter().any(|(lane, _)| lane.wants_more())
    }

    fn finish(mut self, clip: &Clip, seen: &Seen, announced: i64) -> Body {
        // The ends of the chain; each lane drops the next one's when it is done.
        (self.picture, self.sound) = (None, Vec::new());
        let mut notes = seen.damage(announced);
        notes.extend(clip.ears.iter().filter_map(Ear::damage));
        let short = seen.lost(announced);
        for (lane, places) in self.running.drain(..).rev() {
            for (at, made) in places.iter().zip(lane.finish(places.len())) {
                let is_movie = matches!(self.outputs[*at], Output::Proxy(_));
                let relink = self.outputs[*at].is_relink();
                self.answered[*at] = Some(match made {
                    Err(outcome) if clip.picture.is_none() || seen.frames > 0 => outcome,
                    Err(_) => Outcome::Failed(seen.nothing()),
                    Ok(_) if is_movie && seen.too_long.is_some() => {
                        Outcome::Failed(seen.too_long.clone().unwrap_or_default())
                    }
                    Ok(_) if relink && short.is_some() => Outcome::Failed(short.clone().unwrap_or_default()),
                    Ok((frames, note)) => done(frames, note, if is_movie { &notes } else { &[] }),
                });
            }
        }
        if let Some((qc, at, file)) = &self.qc {
            self.answered[*at] = Some(match clip.picture.is_some() && seen.frames == 0 {
                true => Outcome::Failed(seen.nothing()),
                false => write_qc(qc, seen, file),
            });
        }
        let missing = || Outcome::Failed("goodgate-media made none".into());
        Body::Derived(self.answered.into_iter().map(|o| o.unwrap_or_else(missing)).collect())
    }
}

fn write_qc(qc: &Mutex<Qc>, seen: &Seen, file: &Arc<Shared>) -> Outcome {
    let mut qc = qc.lock().unwrap_or_else(PoisonError::into_inner);
    (qc.version, qc.frames) = (1, seen.frames);
    let json = serde_json::to_vec(&*qc).unwrap_or_default();
    match FileIo::new(file.clone()).write_all(&json) {
        Ok(()) => Outcome::Done { frames: seen.frames, note: None },
        Err(e) => Outcome::Failed(file.trouble().unwrap_or_else(|| format!("can not be written: {e}"))),
    }
}

fn done(frames: u64, note: Option<String>, more: &[String]) -> Outcome {
    let notes: Vec<String> = note.into_iter().chain(more.iter().cloned()).collect();
    Outcome::Done { frames, note: (!notes.is_empty()).then(|| notes.join("; ")) }
}

/// What the pass over the clip saw.
#[derive(Default)]
struct Seen {
    frames: u64,
    packets: u64,
    /// Packets that the container itself says are not shown.
    hidden: u64,
    bad: u64,
    too_long: Option<String>,
    /// The time of the last picture.
    last: Option<i64>,
    /// Everything was read; else nobody wanted more.
    to_the_end: bool,
}

impl Seen {
    /// What of the clip could not be used, in words.
    fn damage(&self, announced: i64) -> Vec<String> {
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
    fn lost(&self, announced: i64) -> Option<String> {
        let announced = u64::try_from(announced).unwrap_or(0);
        let counted = if announced > 0 { announced } else { self.packets };
        let shown = counted.saturating_sub(self.hidden);
        let wrong = if announced > 0 { self.frames != shown } else { self.bad > 0 && self.frames < shown };
        wrong.then(|| {
            format!("{} of {shown} frames can be decoded: with another count nothing can be relinked", self.frames)
        })
    }

    fn nothing(&self) -> String {
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
