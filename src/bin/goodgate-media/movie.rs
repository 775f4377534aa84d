//! A proxy that plays: scaled, encoded, put into its container and read back, on a lane of its own.

use crate::check::{Expected, check};
use crate::encode;
use crate::file_io::Shared;
use crate::finish::Finisher;
use crate::lane::{Full, Item, Made, failed, share};
use crate::mux;
use crate::mxf;
use crate::scale::{Scaler, is_rgb};
use crate::sound::{Track, Voice};
use ffmpeg_next::format::context::Output;
use ffmpeg_next::{Packet, Rational, color, encoder, frame};
use goodgate::preset::{Container, Preset, Recipe};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

/// What the picture of a proxy takes over from the clip.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Of the frames' times.
    pub time_base: Rational,
    pub rate: Rational,
    /// Every frame lasts one tick of `time_base`.
    pub constant: bool,
    /// Counted at `rate`.
    pub start_tc: Option<String>,
    pub display: Option<[i32; 4]>,
    pub reel: Option<String>,
    /// The clip's name.
    pub clip: String,
    pub threads: u16,
}

/// All that a movie lane is given; sent to its thread.
pub struct Plan {
    pub file: Arc<Shared>,
    pub recipe: Recipe,
    pub picture: Option<Picture>,
    /// Tracks it holds, each with its place among the clip's.
    pub tracks: Vec<(usize, Track)>,
    /// What is known already to be not in it.
    pub notes: Vec<String>,
    pub max_pixels: u64,
    /// Its look, or why it can have none.
    pub finisher: Result<Option<Finisher>, String>,
}

/// Where the scaled pictures go on to.
pub type Next = Option<SyncSender<Item>>;

/// The work of a movie's lane.
pub fn run(plan: Plan, next: Next, from: Receiver<Item>, full: Full) -> Vec<Made> {
    let file = plan.file.clone();
    let mut trouble = None;
    let mut movie = match Movie::new(plan) {
        Ok(movie) => Some(movie),
        Err(why) => {
            full.set();
            trouble = Some(why);
            None
        }
    };
    let pass_on = |frame: frame::Video| next.as_ref().is_some_and(|n| n.send(Item::Picture(frame)).is_ok());
    for item in from {
        let Some(m) = &mut movie else {
            // The others still want their pictures.
            if let Item::Picture(frame) = item {
                pass_on(frame);
            }
            continue;
        };
        let done = match item {
            Item::Sound(track, frame) => m.hear(track, frame),
            Item::Picture(frame) => {
                let spare = share(&frame);
                let mut went = false;
                let seen = m.see(Some(frame), &mut |scaled| went |= pass_on(scaled));
                if seen.is_err() && !went {
                    pass_on(spare);
                }
                seen
            }
        };
        if let Err(why) = done {
            trouble = Some(why);
            movie = None;
            full.set();
        }
    }
    let made = match movie {
        Some(movie) => movie.finish(&mut |scaled| _ = pass_on(scaled)),
        None => Err(trouble.unwrap_or_default()),
    };
    vec![made.map_err(|why| failed(&file, why))]
}

struct Movie {
    plan: Plan,
    finisher: Option<Finisher>,
    scaler: Option<Scaler>,
    video: Option<encoder::video::Encoder>,
    voices: Vec<Voice>,
    mux: Option<Output>,
    /// Sound that came before the first picture, with its stream.
    early: Vec<(usize, Packet)>,
    frames: u64,
    /// At a constant rate: the time of the last one, and how many were not there before it.
    last: Option<i64>,
    missing: u64,
}

impl Movie {
    fn new(mut plan: Plan) -> Result<Self, String> {
        let finisher = std::mem::replace(&mut plan.finisher, Ok(None))?;
        let preset = plan.recipe.preset;
        let scaler = plan.picture.as_ref().map(|p| {
            let scaler = Scaler::new(p.time_base, Box::new(move |f| encode::filters(preset, f)));
            if preset.is_relink() { scaler.keeping_fields() } else { scaler }
        });
        let mxf = plan.recipe.container == Container::Mxf;
        let voice = |(place, track): &(usize, Track)| match preset.is_relink() {
            true => Voice::pcm(*place, *track, mxf),
            // Tracks of a take in several files stay as they are.
            false => Voice::aac(*place, *track, plan.tracks.len() == 1),
        };
        let voices = plan.tracks.iter().map(voice).collect::<Result<_, _>>()?;
        Ok(Movie {
            plan,
            finisher,
            scaler,
            video: None,
            voices,
            mux: None,
            early: Vec::new(),
            frames: 0,
            last: None,
            missing: 0,
        })
    }

    /// A picture with its time set; `None` at the end. What it was scaled to goes to `each` first, or
    /// itself where this proxy alone has other colours.
    fn see(&mut self, frame: Option<frame::Video>, each: &mut dyn FnMut(frame::Video)) -> Result<(), String> {
        let Some(mut scaler) = self.scaler.take() else { return Ok(()) };
        let last = frame.is_none();
        // Scaling tags what had no tag.
        let untagged = frame.as_ref().is_some_and(|f| f.color_range() == color::Range::Unspecified);
        let preset = self.plan.recipe.preset;
        let untag = untagged && preset.is_relink();
        let rgb = frame.as_ref().is_some_and(|f| is_rgb(f.format()));
        // The next lanes want the clip's own colours.
        let mut own = frame.as_ref().filter(|f| encode::converted(preset, f)).map(share);
        let done = scaler.push(frame, &mut |mut out| {
            if untag {
                out.set_color_range(color::Range::Unspecified);
            }
            if rgb || encode::converted(preset, &out) {
                out.set_color_space(color::Space::BT709);
            }
            each(own.take().unwrap_or_else(|| share(&out)));
            if let Some(finisher) = &mut self.finisher {
                finisher.finish(&mut out)?;
            }
            self.encode(out)
        });
        let done = done.and_then(|()| match &mut self.video {
            Some(video) if last => {
                video.send_eof().map_err(|e| format!("can not be encoded: {e}"))?;
                self.collect()
            }
            _ => Ok(()),
        });
        self.scaler = Some(scaler);
        done
    }

    fn hear(&mut self, track: usize, frame: frame::Audio) -> Result<(), String> {
        let Some(at) = self.voices.iter().position(|v| v.track == track) else { return Ok(()) };
        let ready = self.voices[at].feed(Some(frame), Rational(0, 1));
        self.take_sound(at, ready)
    }

    fn take_sound(&mut self, voice: usize, ready: Vec<Packet>) -> Result<(), String> {
        if self.plan.picture.is_none() && self.mux.is_none() && !ready.is_empty() {
            self.begin()?;
        }
        let stream = voice + usize::from(self.plan.picture.is_some());
        self.early.extend(ready.into_iter().map(|p| (stream, p)));
        self.write_sound()
    }

    /// Flushes, writes the index and reads the whole proxy back.
    fn finish(mut self, each: &mut dyn FnMut(frame::Video)) -> Result<(u64, Option<String>), String> {
        self.see(None, each)?;
        let tick = self.plan.picture.as_ref().map_or(Rational(0, 1), |p| p.rate.invert());
        let frames = i32::try_from(self.frames).unwrap_or(i32::MAX);
        let length = Rational(tick.numerator().saturating_mul(frames), tick.denominator().max(1));
        for at in 0..self.voices.len() {
            let ready = self.voices[at].feed(None, length);
            self.take_sound(at, ready)?;
        }
        let Some(mux) = &mut self.mux else { return Err("nothing of it could be decoded".into()) };
        mux.write_trailer().map_err(|e| format!("its index can not be written: {e}"))?;
        self.finish_mxf()?;
        if self.plan.picture.is_none() && self.voices.iter().all(|v| v.frames == 0) {
            return Err("none of its sound can be decoded".into());
        }
        let ended: Vec<String> = self.voices.iter().filter_map(|v| v.ended.clone()).collect();
        if let (true, Some(why)) = (self.plan.recipe.preset.is_relink(), ended.first()) {
            return Err(why.clone());
        }
        if self.missing > 0 && self.plan.recipe.container == Container::Mxf {
            return Err(format!("{} frames of the clip are missing, and MXF can not leave them out", self.missing));
        }
        check(self.plan.file.clone(), &self.expected(), self.plan.max_pixels)?;
        let mut notes = self.plan.notes;
        if self.missing > 0 && self.plan.recipe.preset.is_relink() {
            notes.push(format!("{} frames of the clip are missing, and here too", self.missing));
        }
        notes.extend(ended);
        Ok((self.frames, (!notes.is_empty()).then(|| notes.join("; "))))
    }

    /// libav's MXF has square pixels only.
    fn finish_mxf(&self) -> Result<(), String> {
        let oblong = self.shape().filter(|s| s.numerator() > 0 && *s != Rational(1, 1));
        match oblong.zip(self.video.as_ref()) {
            Some((shape, video)) if self.plan.recipe.container == Container::Mxf => {
                mxf::set_aspect(&self.plan.file, shape * Rational(video.width() as i32, video.height() as i32))
            }
            _ => Ok(()),
        }
    }

    /// Of its pixels.
    fn shape(&self) -> Option<Rational> {
        // SAFETY: the encoder is alive.
        self.video.as_ref().map(|v| unsafe { (*v.as_ptr()).sample_aspect_ratio }.into())
    }

    fn expected(&self) -> Expected {
        let p = self.plan.picture.as_ref();
        Expected {
            recipe: self.plan.recipe,
            frames: p.map(|_| self.frames),
            missing: self.missing,
            rate: p.filter(|p| p.constant).map(|p| p.rate),
            start_tc: p.and_then(|p| p.start_tc.clone()),
            size: self.video.as_ref().map(|v| (v.width(), v.height())),
            shape: self.shape(),
            colour: self
                .video
                .as_ref()
                .map(|v| (v.color_primaries(), v.color_transfer_characteristic(), v.colorspace())),
            voices: self.voices.iter().map(|v| (v.rate_hz, v.channels)).collect(),
        }
    }

    fn encode(&mut self, mut frame: frame::Video) -> Result<(), String> {
        let Some(picture) = &self.plan.picture else { return Ok(()) };
        let constant = picture.constant;
        if self.video.is_none() {
            let preset = self.plan.recipe.preset;
            let opened = encode::open(preset, &frame, picture);
            self.video = Some(opened.map_err(|e| format!("its encoder does not start: {e}"))?);
            if preset == Preset::DnxhrLb && frame.is_interlaced() {
                self.plan.notes.push("it is interlaced, which DNxHR can not say".into());
            }
            self.begin()?;
        }
        if let Some(video) = &self.video
            && (video.width(), video.height()) != (frame.width(), frame.height())
        {
            // An encoder would read beyond a smaller picture.
            return Err("its pictures change their size".into());
        }
        // Else the clip's own I, P and B would be forced on the encoder.
        frame.set_kind(ffmpeg_next::picture::Type::None);
        let Some(video) = &mut self.video else { return Ok(()) };
        video.send_frame(&frame).map_err(|e| format!("can not be encoded: {e}"))?;
        self.frames += 1;
        if let (true, Some(at)) = (constant, frame.pts()) {
            self.missing += self.last.map_or(0, |last| at.saturating_sub(last + 1).max(0)).unsigned_abs();
            self.last = Some(at);
        }
        self.collect()
    }

    fn collect(&mut self) -> Result<(), String> {
        let (Some(video), Some(mux), Some(picture)) = (&mut self.video, &mut self.mux, &self.plan.picture) else {
            return Ok(());
        };
        let mut packet = Packet::empty();
        while video.receive_packet(&mut packet).is_ok() {
            if picture.constant {
                packet.set_duration(1);
            }
            mux::write(mux, &mut packet, 0, picture.time_base)?;
        }
        Ok(())
    }

    fn write_sound(&mut self) -> Result<(), String> {
        let Some(mux) = &mut self.mux else { return Ok(()) };
        let first = usize::from(self.plan.picture.is_some());
        for (stream, mut packet) in self.early.drain(..) {
            mux::write(mux, &mut packet, stream, self.voices[stream - first].time_base())?;
        }
        Ok(())
    }

    /// Writes the head, now that every stream is known.
    fn begin(&mut self) -> Result<(), String> {
        let video = self.plan.picture.as_ref().zip(self.video.as_ref());
        let mux = mux::begin(&self.plan.file, self.plan.recipe, video, &self.voices);
        self.mux = Some(mux.map_err(|e| format!("can not be started: {e}"))?);
        self.write_sound()
    }
}
