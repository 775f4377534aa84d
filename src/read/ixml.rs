//! iXML, the production sheet inside a WAV (ixml.info, version 1 to 3): what recorders know of scene, take and tracks,
//! and the only place of a WAV that says at which rate its timecode counts.

use super::form::Facts;
use super::wording;
use super::xml::{Element, Inner, Limits, Reader};
use crate::fact::Field;
use crate::timecode::FrameRate;

/// Bytes of a chunk that are read: recorders reserve some kilobytes and pad with blanks or NUL.
pub const MOST: usize = 1 << 20;
const TRACKS: usize = 128;

pub(crate) struct Sheet {
    parts: Vec<Element>,
    /// Of the timecode, and whether it drops.
    pub rate: Option<(FrameRate, bool)>,
    pub samples: Option<u64>,
    /// That `samples` counts in.
    pub sample_rate: Option<u32>,
}

/// The sheet, or `None` for what is none or is broken.
pub(crate) fn sheet(bytes: &[u8]) -> Option<Sheet> {
    let end = bytes.iter().rposition(|b| *b == b'>')? + 1;
    let start = bytes.iter().position(|b| *b == b'<')?;
    let decoded = form_of(bytes.get(start..end)?);
    let parts = parse(&decoded).or_else(|| parse(&mended(&decoded)))?;
    let speed = parts.iter().find(|p| p.name == "SPEED");
    let said = |name: &str| speed.and_then(|s| s.child(name)).map(|e| e.text.trim().to_owned());
    let number = |name: &str| said(name).and_then(|t| t.parse::<i64>().ok());
    let rate = said("TIMECODE_RATE").and_then(|t| FrameRate::parse(&t)).filter(|r| r.nominal() <= 240);
    // Without the flag nobody knows how the numbers run, except where there is no drop-frame.
    let drop = match said("TIMECODE_FLAG").as_deref() {
        Some("DF") => Some(true),
        Some("NDF" | "ND") => Some(false),
        _ => rate.filter(|r| !r.can_drop()).map(|_| false),
    };
    // Some write 32 bits as a negative number.
    let half = |n: i64| u32::try_from(n).ok().or(i32::try_from(n).ok().map(|n| n as u32)).map(u64::from);
    let high = number("TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI").map_or(Some(0), half);
    let low = number("TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO").and_then(half);
    let hertz = |name: &str| number(name).and_then(|n| u32::try_from(n).ok()).filter(|n| (1..=10_000_000).contains(n));
    Some(Sheet {
        rate: rate.zip(drop),
        samples: high.zip(low).map(|(h, l)| h << 32 | l),
        sample_rate: hertz("TIMESTAMP_SAMPLE_RATE").or(hertz("FILE_SAMPLE_RATE")),
        parts,
    })
}

/// As UTF-8, without the characters that XML forbids and padding holds.
fn form_of(bytes: &[u8]) -> String {
    let text = match super::xml::decode(bytes) {
        Ok(text) => text.into_owned(),
        Err(_) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
    };
    text.chars().filter(|c| !c.is_control() || c.is_ascii_whitespace()).collect()
}

/// The children of the root, whatever the root is called.
fn parse(text: &str) -> Option<Vec<Element>> {
    let limits = Limits { depth: 16, text_bytes: 64 << 10, ..Limits::of_bytes(4 * MOST as u64) };
    let mut reader = Reader::of_text(text, limits).ok()?;
    reader.root().ok()?;
    let mut parts = Vec::new();
    while let Some(inner) = reader.next_child().ok()? {
        if let Inner::Element(e) = inner {
            parts.push(e);
        }
        if parts.len() > 1000 {
            return None;
        }
    }
    Some(parts)
}

/// Recorders write `Sound & Vision` as it was typed.
fn mended(text: &str) -> String {
    let known = ["amp;", "lt;", "gt;", "quot;", "apos;", "#"];
    let mut out = String::with_capacity(text.len() + 16);
    for (n, part) in text.split('&').enumerate() {
        if n > 0 {
            out.push_str(if known.iter().any(|k| part.starts_with(k)) { "&" } else { "&amp;" });
        }
        out.push_str(part);
    }
    out
}

impl Sheet {
    pub fn say(&self, to: &mut Facts) {
        let part = |name: &str| self.parts.iter().find(|p| p.name == name);
        let text = |name: &str| part(name).map(|p| p.text.as_str());
        to.say(Field::Project, text("PROJECT"));
        to.say(Field::Scene, text("SCENE"));
        to.say(Field::Take, text("TAKE"));
        to.say(Field::Reel, text("TAPE"));
        to.say(Field::Note, text("NOTE"));
        to.say(Field::Circled, text("CIRCLED").and_then(wording::yes));
        to.say(Field::ClipId, text("FILE_UID"));
        to.say(Field::TimeReference, self.samples.map(|n| n.to_string()));
        let within = |outer: &str, inner: &str| {
            part(outer).and_then(|p| p.child(inner)).map(|e| e.text.trim().to_owned()).filter(|t| !t.is_empty())
        };
        to.count(Field::SampleRate, within("SPEED", "FILE_SAMPLE_RATE").and_then(|t| t.parse().ok()));
        to.say(Field::SoundSet, within("FILE_SET", "FAMILY_UID"));
        let files = within("FILE_SET", "TOTAL_FILES").and_then(|t| t.parse::<u32>().ok());
        to.count(Field::SoundFiles, files);
        to.say(Field::SoundIndex, within("FILE_SET", "FILE_SET_INDEX"));
        let Some(tracks) = part("TRACK_LIST") else { return };
        for track in tracks.own().filter(|t| t.name == "TRACK").take(TRACKS) {
            let said = |name: &str| track.child(name).map(|e| e.text.trim()).filter(|t| !t.is_empty());
            // The recorder's channel tells the files of one take apart; each of them has a first track of its own.
            let number = said("CHANNEL_INDEX").or(said("INTERLEAVE_INDEX")).and_then(|n| n.parse::<u32>().ok());
            if let (Some(n), Some(name)) = (number, said("NAME")) {
                to.say(Field::Track, format!("{n}: {name}"));
            }
        }
    }
}
