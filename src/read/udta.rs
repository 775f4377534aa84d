//! User data of QuickTime and MP4: text under names that begin with `©`, and what GoPro, Canon, Nikon, DJI and others
//! put beside it.

use super::bmff::Part;
use super::form::{self, Facts};
use super::window::{Window, array_at, be16, be32};
use crate::fact::{Fact, Field};
use crate::timecode::FrameRate;
use std::io;

const VALUE: usize = 4096;

/// One atom of a `udta`.
pub(crate) fn atom(w: &mut Window, atom: Part, to: &mut Facts) -> io::Result<()> {
    let mut raw = |len: usize| atom.read(w, len);
    match &atom.kind {
        [0xa9, ..] => {
            let bytes = raw(VALUE)?;
            say(&atom.kind, &international(&bytes), to);
        }
        b"FIRM" => to.say(Field::Firmware, form::text(&raw(64)?)),
        b"LENS" => to.say(Field::LensSerial, form::text(&raw(64)?)),
        // Chapters of one recording share it.
        b"MUID" => to.say(Field::ClipId, form::hex(&raw(32)?)),
        b"GUMI" if !to.has(Field::ClipId) => to.say(Field::ClipId, form::hex(&raw(16)?)),
        b"CNMN" => {
            to.say(Field::Make, "Canon");
            to.say(Field::Model, form::text(&raw(64)?));
        }
        b"CNFV" => to.say(Field::Firmware, form::text(&raw(64)?).trim_start_matches("Firmware Version").trim()),
        b"manu" => to.say(Field::Make, versioned(&raw(128)?)),
        b"modl" => to.say(Field::Model, versioned(&raw(128)?)),
        b"NCDT" => nikon(&raw(VALUE)?, to),
        _ => {}
    }
    Ok(())
}

/// Length, language, text. Languages below 0x400 are Macintosh ones, and so is their text; some write it bare.
fn international(bytes: &[u8]) -> String {
    let (len, language) = (be16(bytes, 0).map(usize::from), be16(bytes, 2));
    let (Some(len), Some(language)) = (len, language) else { return form::text(bytes) };
    match bytes.get(4..4 + len) {
        Some(text) if std::str::from_utf8(text).is_err() && language < 0x400 => {
            let text = text.split(|b| *b == 0).next().unwrap_or_default();
            encoding_rs::MACINTOSH.decode_without_bom_handling(text).0.trim().to_owned()
        }
        Some(text) => form::text(text),
        None => form::text(bytes),
    }
}

/// Text behind the version and language of 3GPP, or bare.
fn versioned(bytes: &[u8]) -> String {
    form::text(if bytes.starts_with(&[0; 4]) { bytes.get(6..).unwrap_or_default() } else { bytes })
}

/// The value under a name that begins with `©`.
pub(crate) fn say(kind: &[u8; 4], text: &str, to: &mut Facts) {
    match &kind[1..] {
        b"mak" => to.say(Field::Make, text),
        b"mod" | b"mdl" => to.say(Field::Model, text),
        b"csn" => to.say(Field::Serial, text),
        b"xyz" => to.say(Field::Gps, form::iso6709(text)),
        b"day" => to.say(Field::RecordedAt, form::date_time(text).filter(|t| t.contains('T'))),
        b"cmt" | b"des" | b"inf" => to.say(Field::Note, text),
        b"TIM" => to.say(Field::StartTc, form::timecode_text(text, None)),
        // Kept until the rate is whole; see `rate_of_text`.
        b"TSC" => to.say(Field::Fps, text.parse::<u32>().ok().map(|n| n.to_string())),
        b"TSZ" => to.say(Field::Duration, text.parse::<u32>().ok().map(|n| n.to_string())),
        _ => {}
    }
}

/// `©TSC` units a second and `©TSZ` units a frame make the rate that `©TIM` counts in.
pub(crate) fn rate_of_text(to: &mut Facts) {
    let number = |field: Field, to: &mut Facts| to.take(field).and_then(|f: Fact| f.value.parse::<u32>().ok());
    let (scale, each) = (number(Field::Fps, to), number(Field::Duration, to));
    let Some(rate) = scale.zip(each).and_then(|(scale, each)| FrameRate::new(scale, each.max(1))) else { return };
    if let Some(tc) = to.take(Field::StartTc) {
        to.say(Field::StartTc, form::timecode_text(&tc.value, Some(rate)));
    }
}

/// Nikon's list inside `NCDT`: tag, type, count, value; types as in TIFF.
fn nikon(bytes: &[u8], to: &mut Facts) {
    let Some(at) = bytes.windows(4).take(64).position(|w| w == b"NCTG") else { return };
    let mut at = at + 4;
    for _ in 0..256 {
        let (Some(tag), Some(kind), Some(count)) = (be32(bytes, at), be16(bytes, at + 4), be16(bytes, at + 6)) else {
            break;
        };
        let each = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 => 4,
            5 | 10 => 8,
            _ => break,
        };
        let len = each * usize::from(count);
        let Some(value) = bytes.get(at + 8..at + 8 + len) else { break };
        let ratio =
            || array_at(value, 0).map(u32::from_be_bytes).zip(be32(value, 4)).filter(|(_, d)| kind == 5 && *d > 0);
        let number = || ratio().map(|(n, d)| f64::from(n) / f64::from(d));
        match tag {
            0x01 => to.say(Field::Make, form::text(value)),
            0x02 => to.say(Field::Model, form::text(value)),
            0x03 => to.say(Field::Firmware, form::text(value)),
            0x0110_829a => to.say(Field::ShutterSpeed, ratio().and_then(|(n, d)| form::shutter(n.into(), d.into()))),
            0x0110_829d => to.say(Field::Aperture, number().and_then(|v| form::aperture('F', v))),
            0x0110_920a => to.say(Field::FocalLength, number().and_then(|v| form::positive(v, 2))),
            0x0110_a431 => to.say(Field::Serial, form::text(value)),
            0x0110_a434 => to.say(Field::Lens, form::text(value)),
            0x0110_a435 => to.say(Field::LensSerial, form::text(value)),
            _ => {}
        }
        at += 8 + len;
    }
}
