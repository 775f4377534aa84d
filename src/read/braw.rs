//! What Blackmagic RAW says of each frame: a box `bmdf` of small atoms before the picture. Known from published readers
//! of real clips; Blackmagic's own documents describe it nowhere.

use super::form::{self, Facts};
use super::window::{array_at, be32};
use crate::fact::Field;

/// The box has 256 bytes, or 1024 on the largest cameras.
pub(crate) const MOST: usize = 4096;

/// The first frame stands for the clip.
pub(crate) fn frame(bytes: &[u8], to: &mut Facts) {
    if bytes.get(4..8) != Some(b"bmdf") {
        return;
    }
    let end = bytes.len().min(be32(bytes, 0).unwrap_or(0) as usize);
    let mut at = 8;
    while let (Some(len), Some(kind)) = (be32(bytes, at), bytes.get(at + 4..at + 8)) {
        let len = len as usize;
        let Some(value) = bytes.get(at + 8..at.saturating_add(len)).filter(|_| at.saturating_add(len) <= end) else {
            break;
        };
        let text = || form::text(value);
        // `2430mm`, `f2.7`, `180°`.
        let number = |text: String| {
            let digits = |c: char| c.is_ascii_digit() || c == '.';
            let from = text.find(digits)?;
            let rest = &text[from..];
            rest[..rest.find(|c| !digits(c)).unwrap_or(rest.len())].parse::<f64>().ok()
        };
        let whole = || be32(value, 0).filter(|_| value.len() == 4);
        match kind {
            b"shtv" => {
                let text = text();
                if text.ends_with('\u{b0}') {
                    to.say(Field::ShutterAngle, number(text).and_then(form::angle));
                } else if let Some(seconds) = text.strip_prefix("1/").map(|t| t.trim_end_matches('s')) {
                    let per = seconds.parse::<u32>().ok().filter(|n| *n > 0);
                    to.say(Field::ShutterSpeed, per.map(|n| format!("1/{n}")));
                }
            }
            b"aptr" => {
                let text = text();
                let letter = if text.starts_with(['T', 't']) { 'T' } else { 'F' };
                to.say(Field::Aperture, number(text).and_then(|v| form::aperture(letter, v)));
            }
            b"fcln" if text().ends_with("mm") => {
                to.say(Field::FocalLength, number(text()).and_then(|mm| form::positive(mm, 2)));
            }
            b"dsnc" if text().ends_with("mm") => {
                to.say(Field::FocusDistance, number(text()).and_then(|mm| form::positive(mm / 1000.0, 3)));
            }
            b"isoe" => to.count(Field::Iso, whole()),
            b"wkel" => to.count(Field::WhiteBalance, whole()),
            b"wtin" if value.len() == 2 => {
                to.say(Field::Tint, array_at(value, 0).map(|b| i16::from_be_bytes(b).to_string()));
            }
            _ => {}
        }
        // An atom of less than its own head would hold the walk here.
        at += len.max(8);
    }
}
