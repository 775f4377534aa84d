//! `derive`: one pass over the clip, its pictures to the proxy and the poster, its sound to the proxy. Of a damaged
//! clip whatever can be decoded.

use crate::check::check;
use crate::clock::Clock;
use crate::facts::{best, display};
use crate::file_io::{FileIo, Shared};
use crate::input::{self, Refusal, decoder, decoder_options, next_packet};
use crate::poster::Poster;
use crate::sound::Sound;
use crate::web::{Picture, Web};
use ffmpeg_next::format::context::Input;
use ffmpeg_next::{Packet, Stream, codec, decoder::Video, frame, media};
use goodgate::media::protocol::{Body, Outcome, Request, rotation};
use std::fs::File;
use std::io::Write;
use std::sync::Arc;

pub fn derive(clip: File, request: &Request, web: Option<File>, poster: Option<File>) -> Body {
    let mut input = match input::open(Shared::new(clip, 0), request.max_pixels) {
        Ok(input) => input,
        Err(Refusal::Unsupported(why)) => return Body::Unsupported(why),
        Err(Refusal::Failed(why)) => return Body::Failed(why),
    };
    let web = web.map(|f| Shared::new(f, request.output_bytes));
    let poster = poster.map(|f| Shared::new(f, request.output_bytes));
    match (best(&input, media::Type::Video), best(&input, media::Type::Audio)) {
        (Some(v), sound) => with_pictures(&mut input, v, sound, request, (web, poster)),
        (None, Some(a)) => {
            let web = web.map(|file| outcome(&file, sound_only(&mut input, a, request, &file)));
            Body::Derived { web, poster: poster.map(|_| Outcome::Unsupported("no picture in it".into())) }
        }
        (None, None) => Body::Unsupported("neither picture nor sound in it".into()),
    }
}

/// Frames, and what of the clip is not among them.
type Made = Result<(u64, Option<String>), String>;

/// The file's own trouble comes first: libav only says "error".
fn outcome(file: &Shared, made: Made) -> Outcome {
    match made {
        Ok((frames, note)) => Outcome::Done { frames, note },
        Err(why) => Outcome::Failed(file.trouble().unwrap_or(why)),
    }
}

fn sound_only(input: &mut Input, index: usize, request: &Request, file: &Arc<Shared>) -> Made {
    let stream = input.stream(index).ok_or("no sound in it")?;
    let sound = Sound::open(&stream, None, request.max_pixels)?;
    let mut web = Web::new(file.clone(), None, Some(sound));
    while let Some(packet) = next_packet(input) {
        if packet.stream() == index {
            web.hear(Some(&packet))?;
        }
    }
    web.hear(None)?;
    web.finish()?;
    check(file.clone(), None, request.max_pixels)?;
    if web.sound.as_ref().is_some_and(|s| s.frames == 0) {
        return Err("none of its sound can be decoded".into());
    }
    Ok((0, web.sound.as_ref().and_then(Sound::note)))
}

type Files = (Option<Arc<Shared>>, Option<Arc<Shared>>);

fn with_pictures(input: &mut Input, index: usize, sound: Option<usize>, request: &Request, files: Files) -> Body {
    let (web_file, poster_file) = files;
    let still = input.format().name().ends_with("_pipe");
    let Some(stream) = input.stream(index) else { return Body::Failed("its picture is gone".into()) };
    let mut decoder = match open_decoder(&stream, request) {
        Ok(decoder) => decoder,
        Err(refused) => return refused,
    };
    let clock = Clock::new(&stream);
    let turned = display(&stream);
    let mut notes = Vec::new();
    let web = web_file.as_ref().filter(|_| !still).map(|file| {
        let start = Some((clock.start(), clock.from()));
        let sound = sound.and_then(|i| input.stream(i)).map(|s| Sound::open(&s, start, request.max_pixels));
        let sound = match sound {
            Some(Err(why)) => {
                notes.push(format!("without sound: {why}"));
                None
            }
            other => other.and_then(Result::ok),
        };
        let picture = Picture {
            time_base: clock.time_base(),
            rate: clock.rate(),
            constant: clock.constant(),
            start_tc: start_tc(request, &clock, &mut notes),
            display: turned,
            threads: request.threads,
        };
        Ok(Web::new(file.clone(), Some(picture), sound))
    });
    let poster = poster_file.as_ref().map(|_| Poster::new(clock.expected(), turned.map_or(0, rotation)));
    let mut pass = Pass { index, clock, web, poster, max_frames: request.max_frames, frames: 0, packets: 0, bad: 0 };
    pass.run(input, &mut decoder);

    let announced = input.stream(index).map_or(0, |s| s.frames());
    notes.extend(pass.damage(announced));
    let poster = poster_file.map(|file| outcome(&file, pass.finish_poster(&file)));
    let web = web_file.map(|file| match pass.finish_web(notes) {
        None => Outcome::Unsupported("a still: only a poster is made of it".into()),
        Some(made) => outcome(
            &file,
            made.and_then(|(n, note)| check(file.clone(), Some(n), request.max_pixels).map(|()| (n, note))),
        ),
    });
    Body::Derived { web, poster }
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

/// The clip's start where MP4 can hold it: counted at the picture's own rate.
fn start_tc(request: &Request, clock: &Clock, notes: &mut Vec<String>) -> Option<String> {
    let (text, num, den) = request.start_tc.as_ref()?;
    let rate = clock.rate();
    if (i64::from(*num), i64::from(*den)) == (rate.numerator().into(), rate.denominator().into()) {
        return Some(text.clone());
    }
    notes.push(format!("its timecode {text} counts at {num}/{den} and is not in the proxy"));
    None
}

/// The one reading of a clip with pictures.
struct Pass {
    index: usize,
    clock: Clock,
    /// The proxy, until something went wrong with it.
    web: Option<Result<Web, String>>,
    poster: Option<Poster>,
    max_frames: u64,
    frames: u64,
    packets: u64,
    bad: u64,
}

impl Pass {
    fn run(&mut self, input: &mut Input, decoder: &mut Video) {
        while self.wanted() {
            let packet = next_packet(input);
            match &packet {
                Some(p) if p.stream() != self.index => self.hear(p),
                _ => self.see(packet.as_ref(), decoder),
            }
            if packet.is_none() {
                return;
            }
        }
    }

    fn wanted(&self) -> bool {
        matches!(self.web, Some(Ok(_))) || self.poster.as_ref().is_some_and(|p| !p.settled)
    }

    fn hear(&mut self, packet: &Packet) {
        if let Some(Ok(web)) = &mut self.web
            && web.sound.as_ref().is_some_and(|s| s.index == packet.stream())
            && let Err(why) = web.hear(Some(packet))
        {
            self.web = Some(Err(why));
        }
    }

    fn see(&mut self, packet: Option<&Packet>, decoder: &mut Video) {
        let sent = match packet {
            Some(packet) => decoder.send_packet(packet),
            None => decoder.send_eof(),
        };
        self.packets += u64::from(packet.is_some());
        self.bad += u64::from(packet.is_some() && sent.is_err());
        loop {
            let mut frame = frame::Video::empty();
            match decoder.receive_frame(&mut frame) {
                Ok(()) => self.take(frame),
                Err(ffmpeg_next::Error::InvalidData) => self.bad += 1,
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, mut frame: frame::Video) {
        if let Some(poster) = &mut self.poster {
            poster.look(&frame, self.frames);
        }
        self.frames += 1;
        let at = self.clock.at(frame.timestamp());
        frame.set_pts(Some(at));
        if let Some(Ok(web)) = &mut self.web {
            let seen = match self.frames > self.max_frames {
                true => Err(format!("longer than its limit of {} frames", self.max_frames)),
                false => web.see(Some(frame)),
            };
            if let Err(why) = seen {
                self.web = Some(Err(why));
            }
        }
    }

    /// What of the clip could not be used, in words.
    fn damage(&self, announced: i64) -> Vec<String> {
        let mut out = Vec::new();
        let announced = u64::try_from(announced).unwrap_or(0);
        if announced > self.packets && matches!(self.web, Some(Ok(_))) {
            let missing = announced - self.packets;
            out.push(format!("{missing} of {announced} frames are missing: the file ends early or is damaged"));
        }
        if self.bad > 0 {
            out.push(format!("{} of {} frames are damaged", self.bad, self.packets));
        }
        out
    }

    fn nothing(&self) -> String {
        match (self.packets, self.bad) {
            (0, _) => "no frames: the file ends before its first one".into(),
            (_, 0) => "no frames: none came out of its decoder".into(),
            (n, _) => format!("none of its {n} frames can be decoded"),
        }
    }

    /// `None`: no proxy is made of this.
    fn finish_web(&mut self, notes: Vec<String>) -> Option<Made> {
        let web = match self.web.take()? {
            Ok(web) => web,
            Err(why) => return Some(Err(why)),
        };
        if self.frames == 0 {
            return Some(Err(self.nothing()));
        }
        Some(end(web, notes))
    }

    fn finish_poster(&mut self, file: &Arc<Shared>) -> Made {
        let Some(poster) = self.poster.take() else { return Err("no poster was asked for".into()) };
        let Some(jpeg) = poster.jpeg else { return Err(poster.trouble.unwrap_or_else(|| self.nothing())) };
        FileIo::new(file.clone()).write_all(&jpeg).map_err(|e| format!("can not be written: {e}"))?;
        Ok((1, None))
    }
}

fn end(mut web: Web, mut notes: Vec<String>) -> Made {
    web.see(None)?;
    web.hear(None)?;
    web.finish()?;
    notes.extend(web.sound.as_ref().and_then(Sound::note));
    Ok((web.frames, (!notes.is_empty()).then(|| notes.join("; "))))
}
