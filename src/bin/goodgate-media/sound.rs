//! A clip's sound as AAC stereo. Gaps and damage become silence, so that it stays with the picture.

use crate::input::{decoder, decoder_options, dictionary};
use crate::scale::rescale;
use ffmpeg_next::filter::{self, Graph};
use ffmpeg_next::{ChannelLayout, Error, Packet, Rational, Stream, codec, encoder, format, frame};
use goodgate::preset::web::{AUDIO_BITS_PER_SECOND, AUDIO_RATE_HZ};

pub const TIME_BASE: Rational = Rational(1, AUDIO_RATE_HZ as i32);

pub struct Sound {
    pub index: usize,
    time_base: Rational,
    /// Where the picture starts, in `time_base`: there the proxy's time is zero.
    start: i64,
    decoder: codec::decoder::Audio,
    graph: Option<Graph>,
    pub encoder: encoder::audio::Encoder,
    pub frames: u64,
    pub bad: u64,
    /// Why there is no more sound; the picture goes on without.
    pub ended: Option<String>,
}

impl Sound {
    /// `start` is the picture's first moment with its time base.
    pub fn open(stream: &Stream<'_>, start: Option<(i64, Rational)>, max_pixels: u64) -> Result<Self, String> {
        let codec = decoder(stream.parameters().id()).ok_or("no decoder for its sound in this libav")?;
        let say = |e: Error| format!("its sound can not be read: {e}");
        let context = codec::Context::from_parameters(stream.parameters()).map_err(say)?;
        let opened = context.decoder().open_as_with(codec, decoder_options(max_pixels)).and_then(|d| d.audio());
        let time_base = stream.time_base();
        Ok(Sound {
            index: stream.index(),
            time_base,
            start: start.map_or(stream.start_time(), |(at, base)| rescale(at, base, time_base)),
            decoder: opened.map_err(say)?,
            graph: None,
            encoder: aac().map_err(|e| format!("no AAC encoder: {e}"))?,
            frames: 0,
            bad: 0,
            ended: None,
        })
    }

    /// One packet in, `None` at the end; AAC packets out.
    pub fn feed(&mut self, packet: Option<&Packet>) -> Vec<Packet> {
        let mut out = Vec::new();
        if self.ended.is_none()
            && let Err(e) = self.step(packet, &mut out)
        {
            self.ended = Some(format!("its sound ends early: {e}"));
        }
        out
    }

    /// What of the sound is not in the proxy.
    pub fn note(&self) -> Option<String> {
        let bad = (self.bad > 0).then(|| format!("{} pieces of its sound are damaged", self.bad));
        self.ended.clone().or(bad)
    }

    fn step(&mut self, packet: Option<&Packet>, out: &mut Vec<Packet>) -> Result<(), Error> {
        let sent = match packet {
            Some(packet) => self.decoder.send_packet(packet),
            None => self.decoder.send_eof(),
        };
        self.bad += u64::from(sent.is_err());
        let mut frame = frame::Audio::empty();
        while self.decoder.receive_frame(&mut frame).is_ok() {
            self.frames += 1;
            let pts = frame.timestamp().map(|t| t.saturating_sub(self.start));
            frame.set_pts(pts);
            if self.graph.is_none() {
                self.graph = Some(self.build(&frame)?);
            }
            self.resample(Some(&frame), out)?;
        }
        if packet.is_none() {
            self.resample(None, out)?;
            self.encoder.send_eof()?;
            self.collect(out);
        }
        Ok(())
    }

    fn resample(&mut self, frame: Option<&frame::Audio>, out: &mut Vec<Packet>) -> Result<(), Error> {
        let Some(graph) = &mut self.graph else { return Ok(()) };
        let (Some(mut source), Some(mut sink)) = (graph.get("in"), graph.get("out")) else { return Ok(()) };
        match frame {
            Some(frame) => source.source().add(frame)?,
            None => source.source().flush()?,
        }
        let mut ready = frame::Audio::empty();
        while sink.sink().frame(&mut ready).is_ok() {
            self.encoder.send_frame(&ready)?;
            self.collect(out);
        }
        Ok(())
    }

    fn collect(&mut self, out: &mut Vec<Packet>) {
        let mut packet = Packet::empty();
        while self.encoder.receive_packet(&mut packet).is_ok() {
            out.push(std::mem::replace(&mut packet, Packet::empty()));
        }
    }

    fn build(&self, frame: &frame::Audio) -> Result<Graph, Error> {
        let (source, sink) = (filter::find("abuffer"), filter::find("abuffersink"));
        let (source, sink) = source.zip(sink).ok_or(Error::FilterNotFound)?;
        let (channels, mask) = (frame.channels(), frame.channel_layout().bits());
        let known = mask.count_ones() == u32::from(channels);
        let layout = if known { format!("0x{mask:x}") } else { format!("{channels} channels") };
        let (rate, name, tb) = (frame.rate(), frame.format().name(), self.time_base);
        let args = format!("time_base={tb}:sample_rate={rate}:sample_fmt={name}:channel_layout={layout}");
        // Tracks of a recorder, not a surround mix: the first two are what one listens to.
        let pan = if !known && channels > 2 { "pan=stereo|c0=c0|c1=c1," } else { "" };
        let spec = format!(
            "{pan}aresample={AUDIO_RATE_HZ}:async=1:first_pts=0,\
             aformat=sample_fmts=fltp:sample_rates={AUDIO_RATE_HZ}:channel_layouts=stereo"
        );
        let mut graph = Graph::new();
        graph.add(&source, "in", &args)?;
        graph.add(&sink, "out", "")?;
        graph.output("in", 0)?.input("out", 0)?.parse(&spec)?;
        graph.validate()?;
        if let Some(mut sink) = graph.get("out") {
            sink.sink().set_frame_size(self.encoder.frame_size());
        }
        Ok(graph)
    }
}

fn aac() -> Result<encoder::audio::Encoder, Error> {
    let codec = encoder::find_by_name("aac").ok_or(Error::EncoderNotFound)?;
    let mut audio = codec::Context::new_with_codec(codec).encoder().audio()?;
    audio.set_rate(AUDIO_RATE_HZ as i32);
    audio.set_format(format::Sample::F32(format::sample::Type::Planar));
    audio.set_channel_layout(ChannelLayout::STEREO);
    audio.set_bit_rate(AUDIO_BITS_PER_SECOND);
    audio.set_time_base(TIME_BASE);
    audio.set_flags(codec::Flags::GLOBAL_HEADER);
    audio.open_as_with(codec, dictionary(&[("threads", "1")]))
}
