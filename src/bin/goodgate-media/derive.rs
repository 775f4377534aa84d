//! `derive`: one pass over the clip; its pictures and its sound go to a lane for each output. Of a damaged clip
//! whatever can be decoded.

use crate::clock::Clock;
use crate::facts::{best, display, pixel_shape};
use crate::file_io::Shared;
use crate::finish::{Finisher, Looks};
use crate::glance;
use crate::input::{Refusal, decoder, decoder_options};
use crate::lanes::Lanes;
use crate::movie::{Picture, Plan};
use crate::pass::Pass;
use crate::reel::Reel;
use crate::sound::{Ear, Track};
use ffmpeg_next::{Rational, Stream, codec, decoder::Video, frame, media};
use goodgate::media::protocol::{Body, Outcome, Request, rotation};
use goodgate::preset::{Container, Output};
use goodgate::timecode::{FrameRate, Timecode};
use std::fs::File;
use std::sync::Arc;

pub fn derive(clip: File, request: &Request, outputs: Vec<File>, luts: Vec<File>, more: Vec<File>) -> Body {
    let looks = match Looks::read(request, luts) {
        Ok(looks) => looks,
        Err(why) => return Body::Failed(why),
    };
    let mut reel = match Reel::open(clip, more, request.source, request.max_pixels) {
        Ok(reel) => reel,
        Err(Refusal::Unsupported(why)) => return Body::Unsupported(why),
        Err(Refusal::Failed(why)) => return Body::Failed(why),
    };
    let files: Vec<Arc<Shared>> = outputs.into_iter().map(|f| Shared::new(f, request.output_bytes)).collect();
    let mut clip = match Clip::open(&reel, request, looks) {
        Ok(clip) => clip,
        Err(refused) => return refused,
    };
    let lanes = Lanes::start(&clip, request, &files);
    let glanced = match glance::is_enough(&clip, &request.outputs) {
        true => glance::run(reel.main_mut(), &mut clip, &lanes, &request.outputs),
        false => None,
    };
    let seen = match glanced {
        Some(seen) => seen,
        None => Pass::new(&mut clip, &lanes, request.max_frames, request.max_pixels).run(&mut reel),
    };
    lanes.finish(&clip, &seen)
}

/// The clip, open for decoding.
pub struct Clip {
    pub picture: Option<(usize, Video, Clock)>,
    /// Of its pixels, as the container says.
    pub shape: Option<Rational>,
    pub plan: Option<Picture>,
    pub ears: Vec<Ear>,
    /// Why a track is not among them.
    deaf: Vec<String>,
    /// The track a player would choose, among `ears`.
    main: Option<usize>,
    pub still: bool,
    /// All of it lies in one file, in which places can be found.
    pub in_one: bool,
    /// Its tracks of sound lie in files of their own.
    apart: bool,
    pub threads: u16,
    notes: Vec<String>,
    looks: Looks,
}

impl Clip {
    fn open(reel: &Reel, request: &Request, looks: Looks) -> Result<Self, Body> {
        let mut notes = Vec::new();
        let (mut opened, mut shape) = (None, None);
        let input = reel.main();
        let found = |kind| best(input, kind);
        if let Some(stream) = found(media::Type::Video).and_then(|i| input.stream(i)) {
            let decoder =
                open_decoder(&stream, request.threads, request.max_pixels).map_err(|refused| match refused {
                    Refusal::Unsupported(why) => Body::Unsupported(why),
                    Refusal::Failed(why) => Body::Failed(why),
                })?;
            let clock = match reel.sequence() {
                Some((rate, total)) => Clock::of_sequence(rate, total),
                None => Clock::new(&stream).in_parts(reel.parts_left() + 1),
            };
            if reel.sequence().is_some() && decoder.codec().is_some_and(|c| c.name() == "exr") {
                notes.push("its linear light is shown with the curve of sRGB".into());
            }
            shape = pixel_shape(&stream);
            opened = Some((stream.index(), decoder, clock, display(&stream)));
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
        for (side, input) in reel.inputs().enumerate() {
            let sound = best(input, media::Type::Audio);
            // Sound beside it begins when the picture does.
            let start = start.filter(|_| side == 0);
            for stream in input.streams().filter(|s| s.parameters().medium() == media::Type::Audio) {
                match Ear::open(&stream, side, start, request.max_pixels) {
                    Ok(ear) => {
                        if Some(stream.index()) == sound {
                            main = main.or(Some(ears.len()));
                        }
                        ears.push(ear);
                    }
                    Err(why) => deaf.push(why),
                }
            }
        }
        let picture = opened.map(|(index, decoder, clock, _)| (index, decoder, clock));
        if picture.is_none() && ears.is_empty() && deaf.is_empty() {
            return Err(Body::Unsupported("neither picture nor sound in it".into()));
        }
        let still = reel.sequence().is_none() && input.format().name().ends_with("_pipe");
        let in_one = reel.sequence().is_none() && reel.parts_left() == 0;
        let (apart, threads) = (reel.apart(), request.threads);
        Ok(Clip { picture, shape, plan, ears, deaf, main, still, in_one, apart, threads, notes, looks })
    }

    /// A picture as it comes out of the decoder has the shape that its stream says.
    pub fn reshape(&self, frame: &mut frame::Video) {
        if let Some(shape) = self.shape {
            // SAFETY: the frame is alive.
            unsafe { (*frame.as_mut_ptr()).sample_aspect_ratio = shape.into() };
        }
    }

    /// What is done to the pictures of one output, by its place in the request.
    pub fn finisher(&self, at: usize, output: Output) -> Result<Option<Finisher>, String> {
        let Some(((_, decoder, _), plan)) = self.picture.as_ref().zip(self.plan.as_ref()) else { return Ok(None) };
        self.looks.of(at, output, plan, decoder.height())
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

    pub fn movie(&self, at: usize, file: &Arc<Shared>, request: &Request) -> Option<Plan> {
        let output = *request.outputs.get(at)?;
        let Output::Proxy(recipe) = output else { return None };
        let mut notes = self.notes.clone();
        let tracks = match recipe.preset.is_relink() {
            true => self.tracks(),
            // Of a take that lies in several files, no track is more than the others.
            false if self.apart && self.picture.is_none() => self.tracks(),
            false => {
                if self.main.is_none() && self.picture.is_some() {
                    notes.extend(self.deaf.first().map(|why| format!("without sound: {why}")));
                }
                self.main.map(|at| (at, self.ears[at].track)).into_iter().collect()
            }
        };
        if recipe.preset.is_relink() {
            notes.extend(odd_sound(&tracks));
        }
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

pub fn open_decoder(stream: &Stream<'_>, threads: u16, max_pixels: u64) -> Result<Video, Refusal> {
    let codec = decoder(stream.parameters().id());
    let codec = codec.ok_or_else(|| Refusal::Unsupported("goodgate does not decode pictures of this kind".into()))?;
    let mut options = decoder_options(max_pixels);
    options.set("threads", &threads.to_string());
    if codec.name() == "exr" {
        // Linear light would look black.
        options.set("apply_trc", "iec61966_2_1");
    }
    let opened = codec::Context::from_parameters(stream.parameters()).and_then(|mut context| {
        context.set_time_base(stream.time_base());
        context.decoder().open_as_with(codec, options)
    });
    opened.and_then(|d| d.video()).map_err(|e| Refusal::Failed(format!("its decoder does not start: {e}")))
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

/// What editing programs trip over.
fn odd_sound(tracks: &[(usize, Track)]) -> Option<String> {
    let channels: u32 = tracks.iter().map(|(_, t)| u32::from(t.channels)).sum();
    let many = (channels > 16).then(|| format!("{channels} channels of sound are more than some programs take"));
    let first = tracks.first()?.1.rate_hz;
    let mixed = tracks.iter().any(|(_, t)| t.rate_hz != first);
    let mixed = mixed.then(|| "its tracks have different sample rates".to_owned());
    let notes: Vec<String> = many.into_iter().chain(mixed).collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}
