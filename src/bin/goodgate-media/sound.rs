//! A clip's sound: each track decoded once ([`Ear`]), and encoded again for each proxy ([`Voice`]). Gaps and damage
//! become silence, so that it stays with the picture.

use crate::input::{decoder, decoder_options, dictionary};
use crate::scale::rescale;
use ffmpeg_next::filter::{self, Graph};
use ffmpeg_next::{ChannelLayout, Error, Packet, Rational, Stream, codec, encoder, ffi, format, frame};
use goodgate::preset::web::{AUDIO_BITS_PER_SECOND, AUDIO_RATE_HZ};

/// What is known of a track before it is heard.
#[derive(Clone, Copy, Debug)]
pub struct Track {
    pub time_base: Rational,
    pub rate_hz: u32,
    pub channels: u16,
    /// Which loudspeakers; 0 where the clip does not say.
    mask: u64,
    /// More than 16 bits a sample.
    deep: bool,
}

/// Decodes one track.
pub struct Ear {
    /// Which of the clip's files.
    pub side: usize,
    pub index: usize,
    pub track: Track,
    /// Where the picture starts, in the track's time base: there the proxy's time is zero.
    start: i64,
    /// Of this part of the recording: its own time base, and where it begins in the track's.
    part: (Rational, i64),
    /// Where the sound so far ends, in the track's time base.
    end: i64,
    decoder: codec::decoder::Audio,
    pub frames: u64,
    pub bad: u64,
}

impl Ear {
    /// `start` is the picture's first moment with its time base.
    pub fn open(
        stream: &Stream<'_>,
        side: usize,
        start: Option<(i64, Rational)>,
        max_pixels: u64,
    ) -> Result<Self, String> {
        let codec = decoder(stream.parameters().id()).ok_or("goodgate does not decode sound of this kind")?;
        let say = |e: Error| format!("its sound can not be read: {e}");
        let context = codec::Context::from_parameters(stream.parameters()).map_err(say)?;
        let opened = context.decoder().open_as_with(codec, decoder_options(max_pixels)).and_then(|d| d.audio());
        let opened = opened.map_err(say)?;
        // SAFETY: a stream's parameters live as long as its input.
        let (raw, coded) = unsafe {
            let par = (*stream.as_ptr()).codecpar;
            ((*par).bits_per_raw_sample, (*par).bits_per_coded_sample)
        };
        let bits = if raw == 0 && codec.name().starts_with("pcm_") { coded } else { raw };
        let mask = opened.channel_layout().bits();
        let time_base = stream.time_base();
        let track = Track {
            time_base,
            rate_hz: opened.rate(),
            channels: opened.channels(),
            mask: if mask.count_ones() == u32::from(opened.channels()) { mask } else { 0 },
            deep: bits > 16,
        };
        if track.rate_hz == 0 || track.channels == 0 {
            return Err("its sound can not be read: neither rate nor channels are known".into());
        }
        let own = Some(stream.start_time()).filter(|t| *t != ffi::AV_NOPTS_VALUE).unwrap_or(0);
        let start = start.map_or(own, |(at, base)| rescale(at, base, time_base));
        let (index, part) = (stream.index(), (time_base, 0));
        Ok(Ear { side, index, track, start, part, end: 0, decoder: opened, frames: 0, bad: 0 })
    }

    /// Goes on with the same track of the next part, which begins at `from` in the track's time base.
    pub fn go_on(
        &mut self,
        stream: &Stream<'_>,
        start: Option<(i64, Rational)>,
        from: i64,
        max_pixels: u64,
    ) -> Result<(), String> {
        let next = Ear::open(stream, self.side, start, max_pixels)?;
        let (is, was) = (next.track, self.track);
        if (is.rate_hz, is.channels) != (was.rate_hz, was.channels) {
            return Err("the next part has other sound".into());
        }
        (self.index, self.start, self.decoder) = (next.index, next.start, next.decoder);
        self.part = (is.time_base, from);
        Ok(())
    }

    pub fn end(&self) -> i64 {
        self.end
    }

    /// One packet in, `None` at the end; its sound out.
    pub fn hear(&mut self, packet: Option<&Packet>, each: &mut dyn FnMut(frame::Audio)) {
        let sent = match packet {
            Some(packet) => self.decoder.send_packet(packet),
            None => self.decoder.send_eof(),
        };
        self.bad += u64::from(sent.is_err());
        let mut frame = frame::Audio::empty();
        while self.decoder.receive_frame(&mut frame).is_ok() {
            self.frames += 1;
            let (base, from) = self.part;
            let here = |t: i64| rescale(t.saturating_sub(self.start), base, self.track.time_base);
            let pts = frame.timestamp().map(|t| here(t).saturating_add(from));
            let samples = Rational(1, self.track.rate_hz.max(1) as i32);
            let length = rescale(frame.samples() as i64, samples, self.track.time_base);
            self.end = pts.unwrap_or(self.end).saturating_add(length);
            frame.set_pts(pts);
            each(std::mem::replace(&mut frame, frame::Audio::empty()));
        }
    }

    pub fn damage(&self) -> Option<String> {
        (self.bad > 0).then(|| format!("{} pieces of its sound are damaged", self.bad))
    }
}

/// A graph over one track's frames, made for the first one.
pub struct Through {
    graph: Option<Graph>,
    time_base: Rational,
    spec: Box<dyn Fn(&frame::Audio) -> String>,
    /// Samples in each frame that comes out; 0: as they come.
    frame_size: u32,
}

impl Through {
    pub fn new(time_base: Rational, spec: Box<dyn Fn(&frame::Audio) -> String>) -> Self {
        Through { graph: None, time_base, spec, frame_size: 0 }
    }

    /// `None` at the end. `each` says whether more is wanted.
    pub fn push(
        &mut self,
        frame: Option<frame::Audio>,
        each: &mut dyn FnMut(frame::Audio) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        if let (None, Some(first)) = (&self.graph, &frame) {
            self.graph = Some(self.build(first)?);
        }
        let Some(graph) = &mut self.graph else { return Ok(()) };
        let (Some(mut source), Some(mut sink)) = (graph.get("in"), graph.get("out")) else { return Ok(()) };
        match frame {
            Some(frame) => source.source().add(&frame)?,
            None => source.source().flush()?,
        }
        let mut ready = frame::Audio::empty();
        while sink.sink().frame(&mut ready).is_ok() {
            if !each(std::mem::replace(&mut ready, frame::Audio::empty()))? {
                break;
            }
        }
        Ok(())
    }

    fn build(&self, frame: &frame::Audio) -> Result<Graph, Error> {
        let (source, sink) = (filter::find("abuffer"), filter::find("abuffersink"));
        let (source, sink) = source.zip(sink).ok_or(Error::FilterNotFound)?;
        let layout = if has_layout(frame) {
            format!("0x{:x}", frame.channel_layout().bits())
        } else {
            format!("{} channels", frame.channels())
        };
        let (rate, name, tb) = (frame.rate(), frame.format().name(), self.time_base);
        let args = format!("time_base={tb}:sample_rate={rate}:sample_fmt={name}:channel_layout={layout}");
        let mut graph = Graph::new();
        graph.add(&source, "in", &args)?;
        // Tracks of no named loudspeaker pass, too.
        graph.add(&sink, "out", "all_channel_counts=1")?;
        graph.output("in", 0)?.input("out", 0)?.parse(&(self.spec)(frame))?;
        graph.validate()?;
        if let Some(mut sink) = graph.get("out").filter(|_| self.frame_size > 0) {
            sink.sink().set_frame_size(self.frame_size);
        }
        Ok(graph)
    }
}

/// Whether the clip says which loudspeakers it means.
pub fn has_layout(frame: &frame::Audio) -> bool {
    frame.channel_layout().bits().count_ones() == u32::from(frame.channels())
}

/// One track in a proxy.
pub struct Voice {
    /// Its place among the clip's tracks.
    pub track: usize,
    through: Through,
    pub encoder: encoder::audio::Encoder,
    pub rate_hz: u32,
    pub channels: u16,
    /// Silence follows until the picture ends.
    padded: bool,
    samples: u64,
    pub frames: u64,
    /// Why there is no more sound; the picture goes on without.
    pub ended: Option<String>,
}

impl Voice {
    /// What a browser plays: stereo, or a track of one channel as it is.
    pub fn aac(place: usize, track: Track, stereo: bool) -> Result<Self, String> {
        let channels = if stereo || track.channels > 1 { 2 } else { 1 };
        let layout = ChannelLayout::default(channels.into());
        let encoder = aac(layout).map_err(|e| format!("no AAC encoder: {e}"))?;
        let spec = move |first: &frame::Audio| {
            let layout = if channels == 1 { "mono" } else { "stereo" };
            // Tracks of a recorder, not a surround mix: the first two are what one listens to.
            let pan = if !has_layout(first) && first.channels() > 2 { "pan=stereo|c0=c0|c1=c1," } else { "" };
            format!(
                "{pan}aresample={AUDIO_RATE_HZ}:async=1:first_pts=0,\
                 aformat=sample_fmts=fltp:sample_rates={AUDIO_RATE_HZ}:channel_layouts={layout}"
            )
        };
        let mut through = Through::new(track.time_base, Box::new(spec));
        through.frame_size = encoder.frame_size();
        Ok(Voice {
            track: place,
            through,
            encoder,
            rate_hz: AUDIO_RATE_HZ,
            channels,
            padded: false,
            samples: 0,
            frames: 0,
            ended: None,
        })
    }

    /// The track as it is, uncompressed. MXF wants 48 kHz and sound as long as the picture.
    pub fn pcm(place: usize, track: Track, mxf: bool) -> Result<Self, String> {
        let rate_hz = if mxf { AUDIO_RATE_HZ } else { track.rate_hz };
        let encoder = pcm(track, rate_hz).map_err(|e| format!("no PCM encoder: {e}"))?;
        let sample = if track.deep { "s32" } else { "s16" };
        let pad = if mxf { ",apad" } else { "" };
        let spec = move |_: &frame::Audio| {
            format!("aresample={rate_hz}:async=1:first_pts=0,aformat=sample_fmts={sample}:sample_rates={rate_hz}{pad}")
        };
        Ok(Voice {
            track: place,
            through: Through::new(track.time_base, Box::new(spec)),
            encoder,
            rate_hz,
            channels: track.channels,
            padded: mxf,
            samples: 0,
            frames: 0,
            ended: None,
        })
    }

    pub fn time_base(&self) -> Rational {
        Rational(1, self.rate_hz as i32)
    }

    /// `None` at the end, with the seconds of picture that it has to fill; packets out.
    pub fn feed(&mut self, frame: Option<frame::Audio>, picture_secs: Rational) -> Vec<Packet> {
        let mut out = Vec::new();
        if self.ended.is_none()
            && let Err(e) = self.step(frame, picture_secs, &mut out)
        {
            self.ended = Some(format!("its sound ends early: {e}"));
        }
        out
    }

    fn step(&mut self, frame: Option<frame::Audio>, picture: Rational, out: &mut Vec<Packet>) -> Result<(), Error> {
        let last = frame.is_none();
        let enough = match self.padded {
            true => rescale(1, picture, self.time_base()).unsigned_abs(),
            false => u64::MAX,
        };
        let Voice { through, encoder, samples, frames, .. } = self;
        if frame.is_some() || !last || !self.padded || *samples < enough {
            through.push(frame, &mut |ready| {
                *frames += 1;
                *samples += ready.samples() as u64;
                encoder.send_frame(&ready)?;
                collect(encoder, out);
                Ok(!last || *samples < enough)
            })?;
        }
        if last {
            encoder.send_eof()?;
            collect(encoder, out);
        }
        Ok(())
    }
}

fn collect(encoder: &mut encoder::audio::Encoder, out: &mut Vec<Packet>) {
    let mut packet = Packet::empty();
    while encoder.receive_packet(&mut packet).is_ok() {
        out.push(std::mem::replace(&mut packet, Packet::empty()));
    }
}

fn aac(layout: ChannelLayout) -> Result<encoder::audio::Encoder, Error> {
    let codec = encoder::find_by_name("aac").ok_or(Error::EncoderNotFound)?;
    let mut audio = codec::Context::new_with_codec(codec).encoder().audio()?;
    audio.set_rate(AUDIO_RATE_HZ as i32);
    audio.set_format(format::Sample::F32(format::sample::Type::Planar));
    audio.set_channel_layout(layout);
    audio.set_bit_rate(AUDIO_BITS_PER_SECOND);
    audio.set_time_base(Rational(1, AUDIO_RATE_HZ as i32));
    audio.set_flags(codec::Flags::GLOBAL_HEADER);
    audio.open_as_with(codec, dictionary(&[("threads", "1")]))
}

fn pcm(track: Track, rate_hz: u32) -> Result<encoder::audio::Encoder, Error> {
    let (name, sample) = match track.deep {
        true => ("pcm_s24le", format::Sample::I32(format::sample::Type::Packed)),
        false => ("pcm_s16le", format::Sample::I16(format::sample::Type::Packed)),
    };
    let codec = encoder::find_by_name(name).ok_or(Error::EncoderNotFound)?;
    let mut audio = codec::Context::new_with_codec(codec).encoder().audio()?;
    audio.set_rate(rate_hz as i32);
    audio.set_format(sample);
    // SAFETY: the context is ours and not yet open. Channels of no named loudspeaker stay so: a guessed layout would be
    // written into the proxy and differ from the original's.
    unsafe {
        let layout = &raw mut (*audio.as_mut_ptr()).ch_layout;
        if track.mask != 0 {
            ffi::av_channel_layout_from_mask(layout, track.mask);
        } else {
            (*layout).order = ffi::AVChannelOrder::AV_CHANNEL_ORDER_UNSPEC;
            (*layout).nb_channels = track.channels.into();
        }
    }
    audio.set_time_base(Rational(1, rate_hz as i32));
    audio.open_as_with(codec, dictionary(&[("threads", "1")]))
}
