//! A proxy is done when it was read back: opened anew, its frames counted, the first and the last of them decoded, and
//! everything that relinking goes by compared with what was meant to be written.

use crate::clock::near;
use crate::facts::pixel_shape;
use crate::file_io::Shared;
use crate::input::{self, decoder, decoder_options, next_packet};
use crate::mxf;
use ffmpeg_next::format::context::Input;
use ffmpeg_next::{Codec, Error, Packet, Rational, Stream, codec, color, frame, media};
use goodgate::preset::{Container, Preset, Recipe};
use std::sync::Arc;

pub type Colour = (color::Primaries, color::TransferCharacteristic, color::Space);

/// What must come back.
pub struct Expected {
    pub recipe: Recipe,
    /// `None`: sound alone.
    pub frames: Option<u64>,
    /// Frames that are not there, between those that are.
    pub missing: u64,
    /// `None`: it varies.
    pub rate: Option<Rational>,
    pub start_tc: Option<String>,
    pub size: Option<(u32, u32)>,
    /// Of its pixels.
    pub shape: Option<Rational>,
    pub colour: Option<Colour>,
    /// Rate and channels of each track.
    pub voices: Vec<(u32, u16)>,
}

pub fn check(file: Arc<Shared>, expected: &Expected, max_pixels: u64) -> Result<(), String> {
    let say = |e: Error| format!("the proxy can not be read back: {e}");
    let mut input = input::open(file.clone(), max_pixels)
        .map_err(|refused| format!("the proxy can not be read back: {}", refused.words()))?;
    let kind = if expected.frames.is_some() { media::Type::Video } else { media::Type::Audio };
    let stream = input.streams().best(kind).ok_or("the proxy has no stream that plays")?;
    let index = stream.index();
    if expected.frames.is_some() {
        picture(&file, &stream, expected)?;
    }
    let mut voices = Vec::new();
    for s in input.streams().filter(|s| s.parameters().medium() == media::Type::Audio) {
        let opened = codec::Context::from_parameters(s.parameters()).and_then(|c| c.decoder().audio()).map_err(say)?;
        voices.push((opened.rate(), opened.channels()));
    }
    if expected.recipe.preset.is_relink() && voices != expected.voices {
        return Err(format!("its sound came back as {voices:?} (Hz, channels), not {:?}", expected.voices));
    }
    let seen =
        read_through(&mut input, index, max_pixels).map_err(|why| format!("the proxy can not be read back: {why}"))?;
    match expected.frames {
        Some(written) if written != seen => Err(format!("{written} frames were written, {seen} read back")),
        _ => Ok(()),
    }
}

/// How many packets a stream has; the first and the last picture of it (of sound: the first) can be decoded.
pub fn read_through(input: &mut Input, index: usize, max_pixels: u64) -> Result<u64, String> {
    let stream = input.stream(index).ok_or("it has no stream that plays")?;
    let codec = decoder(stream.parameters().id()).ok_or("no decoder for it")?;
    let parameters = stream.parameters();
    let kind = parameters.medium();
    let open = |codec: Codec| {
        let context = codec::Context::from_parameters(parameters.clone())?;
        context.decoder().open_as_with(codec, decoder_options(max_pixels))
    };
    let say = |e: Error| e.to_string();
    // What the last picture needs: all since the last one that needs nothing.
    let (mut seen, mut tail, mut head) = (0u64, Vec::<Packet>::new(), Vec::new());
    // AAC begins with packets from which nothing comes.
    let enough = if kind == media::Type::Video { 1 } else { 8 };
    while let Some(packet) = next_packet(input) {
        if packet.stream() != index {
            continue;
        }
        seen += 1;
        if packet.is_key() {
            tail.clear();
        }
        if head.len() < enough {
            head.push(packet.clone());
        }
        tail.push(packet);
    }
    if decode(open(codec).map_err(say)?, &head) == 0 {
        return Err("its first frame can not be decoded".into());
    }
    let at_end = decode(open(codec).map_err(say)?, &tail);
    if kind == media::Type::Video && at_end != tail.len() {
        return Err("its last frame can not be decoded".into());
    }
    Ok(seen)
}

/// How many frames come out.
fn decode(mut decoder: codec::decoder::Opened, packets: &[Packet]) -> usize {
    let mut frame = frame::Video::empty();
    let mut got = 0;
    for packet in packets {
        if decoder.send_packet(packet).is_err() {
            return got;
        }
        while decoder.receive_frame(&mut frame).is_ok() {
            got += 1;
        }
    }
    if decoder.send_eof().is_ok() {
        while decoder.receive_frame(&mut frame).is_ok() {
            got += 1;
        }
    }
    got
}

impl Expected {
    /// How many more there would be, were none missing.
    fn of_all(&self) -> Rational {
        let frames = self.frames.unwrap_or(0).max(1);
        let part = |n: u64| i32::try_from(n).unwrap_or(i32::MAX);
        Rational(part(frames + self.missing), part(frames))
    }
}

/// As everybody takes it; some containers always say a shape.
fn square_if_unknown(shape: Rational) -> Rational {
    if shape.numerator() > 0 && shape.denominator() > 0 { shape } else { Rational(1, 1) }
}

/// MXF has not a word for each of these curves, which are the same (ITU-T H.273, table 3).
fn with_one_curve((primaries, curve, space): Colour) -> Colour {
    use color::TransferCharacteristic as Curve;
    let same = [Curve::BT709, Curve::SMPTE170M, Curve::BT2020_10, Curve::BT2020_12].contains(&curve);
    (primaries, if same { Curve::BT709 } else { curve }, space)
}

fn picture(file: &Arc<Shared>, stream: &Stream<'_>, expected: &Expected) -> Result<(), String> {
    let same = |a: Rational, b: Rational| {
        i64::from(a.numerator()) * i64::from(b.denominator()) == i64::from(b.numerator()) * i64::from(a.denominator())
    };
    let rate = match expected.recipe.container {
        Container::Mxf => mxf::edit_rate(file).ok_or("its header does not say its frame rate")?,
        Container::Mov | Container::Mp4 => stream.avg_frame_rate(),
    };
    // The web proxy of a clip with gaps shows them.
    if let Some(meant) = expected.rate.filter(|_| expected.recipe.preset.is_relink())
        && !same(meant, rate)
        // On the average over its frames and those that the clip lost.
        && !(expected.missing > 0 && near(meant, rate * expected.of_all()))
    {
        return Err(format!("its frame rate came back as {rate}, not {meant}"));
    }
    let tc = stream.metadata().get("timecode").map(str::to_owned);
    if let Some(meant) = &expected.start_tc
        && tc.as_ref() != Some(meant)
    {
        return Err(format!("its timecode came back as {}, not {meant}", tc.as_deref().unwrap_or("none")));
    }
    let opened = codec::Context::from_parameters(stream.parameters()).and_then(|c| c.decoder().video());
    let opened = opened.map_err(|e| format!("the proxy can not be read back: {e}"))?;
    let size = (opened.width(), opened.height());
    if let Some(meant) = expected.size
        && size != meant
    {
        return Err(format!("its size came back as {size:?}, not {meant:?}"));
    }
    let shape = square_if_unknown(pixel_shape(stream).unwrap_or(opened.aspect_ratio()));
    if let Some(meant) = expected.shape.map(square_if_unknown)
        && shape != meant
    {
        return Err(format!("the shape of its pixels came back as {shape}, not {meant}"));
    }
    let is = (opened.color_primaries(), opened.color_transfer_characteristic(), opened.color_space());
    if let Some(meant) = expected.colour.filter(|_| expected.recipe.preset.is_relink()) {
        // DNxHR has no way to say that it does not know its matrix.
        let free = expected.recipe.preset == Preset::DnxhrLb && meant.2 == color::Space::Unspecified;
        let read = if free { (is.0, is.1, meant.2) } else { is };
        let mxf = expected.recipe.container == Container::Mxf;
        let one_word = |colour: Colour| if mxf { with_one_curve(colour) } else { colour };
        if one_word(read) != one_word(meant) {
            return Err(format!("its colour came back as {is:?}, not {meant:?}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_shape_of_pixels_is_another_picture() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.mov");
        let args = "-v error -nostdin -f lavfi -i testsrc2=s=64x48:d=0.2:r=25 -vf setsar=4/3 -c:v prores_ks";
        let made = std::process::Command::new("ffmpeg").args(args.split(' ')).arg(&path).status();
        assert!(made.unwrap().success());
        for (shape, same) in [((4, 3), true), ((8, 6), true), ((1, 1), false), ((0, 1), false), ((16, 11), false)] {
            let expected = Expected {
                recipe: Recipe::of(Preset::ProresProxy),
                frames: Some(5),
                missing: 0,
                rate: None,
                start_tc: None,
                size: None,
                shape: Some(shape.into()),
                colour: None,
                voices: Vec::new(),
            };
            let file = Shared::new(std::fs::File::open(&path).unwrap(), 0);
            let why = check(file, &expected, 1 << 20).err().unwrap_or_default();
            assert_eq!(why.is_empty(), same, "{shape:?}: {why}");
            assert!(same || why.contains("shape"), "{why}");
        }
    }
}
