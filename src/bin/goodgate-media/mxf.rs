//! The head of an MXF file that libav wrote (SMPTE ST 377-1), for what libav does not say of it.

use crate::file_io::{FileIo, Shared};
use ffmpeg_next::Rational;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::sync::Arc;

/// What is written here has some kilobytes a track.
const HEAD_BYTES: u64 = 1 << 18;
const LABEL: [u8; 4] = [0x06, 0x0e, 0x2b, 0x34];
/// A set of properties, all but the byte that says of what.
const SET: [u8; 14] = [0x06, 0x0e, 0x2b, 0x34, 0x02, 0x53, 0x01, 0x01, 0x0d, 0x01, 0x01, 0x01, 0x01, 0x01];
const TRACK: u8 = 0x3b;
const EDIT_RATE: u16 = 0x4b01;
/// Of the picture's essence: CDCI, as all YUV is.
const DESCRIPTOR: u8 = 0x28;
const ASPECT_RATIO: u16 = 0x320e;

/// Pictures a second, on which all of its tracks agree: libav rounds those that it has not in its list.
pub fn edit_rate(file: &Arc<Shared>) -> Option<Rational> {
    let rates = fractions(&head(file).ok()?, TRACK, EDIT_RATE);
    let (_, first) = *rates.first()?;
    rates.iter().all(|(_, rate)| *rate == first).then_some(first)
}

/// Says the shape of the whole picture, in the place where libav has said that of square pixels.
pub fn set_aspect(file: &Arc<Shared>, aspect: Rational) -> Result<(), String> {
    let say = |e: io::Error| format!("the shape of its pixels can not be written: {e}");
    let places = fractions(&head(file).map_err(say)?, DESCRIPTOR, ASPECT_RATIO);
    let (at, _) = *places.first().ok_or("there is no place for the shape of its pixels in its header")?;
    let mut io = FileIo::new(file.clone());
    io.seek(SeekFrom::Start(at as u64)).map_err(say)?;
    io.write_all([aspect.numerator(), aspect.denominator()].map(i32::to_be_bytes).as_flattened()).map_err(say)
}

fn head(file: &Arc<Shared>) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    FileIo::new(file.clone()).take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(head)
}

/// A property that is a fraction: what all sets of a kind say, and where.
fn fractions(head: &[u8], kind: u8, property: u16) -> Vec<(usize, Rational)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some((key, value)) = packet(head, at) {
        at = value.end;
        if key.starts_with(&SET) && key[SET.len()] == kind {
            found.extend(fraction(head, value, property));
        }
    }
    found
}

/// What begins here: its key, and where its value is.
fn packet(head: &[u8], at: usize) -> Option<(&[u8], Range<usize>)> {
    let key = head.get(at..at + 16).filter(|key| key.starts_with(&LABEL))?;
    // A length in one byte, or in as many as this one says.
    let first = usize::from(*head.get(at + 16)?);
    let more = first.saturating_sub(0x80);
    let start = at + 17 + more;
    let long =
        || head.get(at + 17..start)?.iter().try_fold(0, |n: usize, b| n.checked_mul(256)?.checked_add((*b).into()));
    let len = if more == 0 { first } else { long()? };
    Some((key, start..start.checked_add(len)?))
}

/// Of the properties in a set the one that is asked for.
fn fraction(head: &[u8], set: Range<usize>, property: u16) -> Option<(usize, Rational)> {
    let two = |at: usize| Some(u16::from_be_bytes(head.get(at..at + 2)?.try_into().ok()?));
    let four = |at: usize| Some(i32::from_be_bytes(head.get(at..at + 4)?.try_into().ok()?));
    let mut at = set.start;
    while at < set.end {
        let (tag, len, value) = (two(at)?, two(at + 2)?, at + 4);
        if (tag, len) == (property, 8) {
            return Some((value, Rational(four(value)?, four(value + 4)?)));
        }
        at = value + usize::from(len);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(kind: u8, properties: &[(u16, &[u8])]) -> Vec<u8> {
        let body: Vec<u8> = properties
            .iter()
            .flat_map(|(tag, value)| [&tag.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat())
            .collect();
        [&SET[..], &[kind, 0, 0x83, 0, 0, body.len() as u8], &body].concat()
    }

    const RATE: [u8; 8] = [0, 1, 0xd4, 0xc0, 0, 0, 3, 0xe9];

    #[test]
    fn a_rate_is_one_on_which_all_tracks_agree() {
        let track = |rate: &[u8]| set(TRACK, &[(0x3c0a, &[7; 16]), (EDIT_RATE, rate), (0x4b02, &[0; 8])]);
        let other = set(0x28, &[(EDIT_RATE, &[0; 8])]);
        let rate = |parts: &[&[u8]]| edit_rate(&Shared::bytes(parts.concat()));
        assert_eq!(rate(&[&track(&RATE), &other, &track(&RATE)]), Some(Rational(120_000, 1001)));
        assert_eq!(rate(&[&track(&RATE), &track(&[0, 0, 0, 120, 0, 0, 0, 1])]), None);
        assert_eq!((rate(&[&other]), rate(&[])), (None, None));
    }

    #[test]
    fn no_bytes_are_read_that_are_not_there() {
        let whole = set(TRACK, &[(0x3c0a, &[7; 16]), (EDIT_RATE, &RATE)]);
        for cut in 0..whole.len() {
            assert_eq!(fractions(&whole[..cut], TRACK, EDIT_RATE), [], "{cut}");
            let mut bad = whole.clone();
            bad[cut] = 0xff;
            fractions(&bad, TRACK, EDIT_RATE);
        }
    }
}
