//! MDPM: what an AVCHD camcorder writes into its H.264 stream and into no container, as unregistered user data of the
//! SEI. A list of packs of DV (IEC 61834-4), five bytes each.

use super::form;
use super::wording::{self, Sheet};
use crate::fact::{Fact, Field};
use crate::timecode::FrameRate;

const MARK: &[u8; 20] = b"\x17\xee\x8c\x60\xf8\x4d\x11\xd9\x8c\xd6\x08\x00\x20\x0c\x9a\x66MDPM";
/// A count in one byte, and that many packs.
pub const MAX_BYTES: usize = 20 + 1 + 255 * 5;

/// The user data in an access unit of Annex B, from their identifier on. It is looked for in the SEI alone: the picture
/// may hold any bytes.
pub fn find(access_unit: &[u8]) -> Option<Vec<u8>> {
    // A picture's own bytes are not searched for the next start: what is told of it stands before it.
    const LOOK_BYTES: usize = 64 << 10;
    let bytes = &access_unit[..access_unit.len().min(LOOK_BYTES)];
    let mut at = 0;
    while let Some(start) = next_start(bytes, at) {
        let end = next_start(bytes, start).map_or(bytes.len(), |s| s - 3);
        match bytes.get(start).map(|b| b & 0x1f) {
            Some(6) => {
                let found = messages(&unescaped(&bytes[start + 1..end]));
                if found.is_some() {
                    return found;
                }
            }
            Some(1..=5) | None => return None,
            _ => {}
        }
        at = start;
    }
    None
}

/// The byte after the next `00 00 01`.
fn next_start(bytes: &[u8], from: usize) -> Option<usize> {
    bytes.get(from..)?.windows(3).position(|w| w == [0, 0, 1]).map(|at| from + at + 3)
}

/// Without the byte that keeps a start code out of the data (ITU-T H.264, 7.3.1).
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut zeros = 0;
    for &b in bytes {
        if b == 3 && zeros >= 2 {
            zeros = 0;
            continue;
        }
        zeros = if b == 0 { zeros + 1 } else { 0 };
        out.push(b);
    }
    out
}

/// Type and size of each message in steps of 255 (7.3.2.3.1); type 5 is ours where its identifier is.
fn messages(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let number = |bytes: &mut &[u8]| -> Option<usize> {
        let mut n = 0usize;
        loop {
            let (&b, rest) = bytes.split_first()?;
            *bytes = rest;
            n += usize::from(b);
            if b != 0xff {
                return Some(n);
            }
        }
    };
    loop {
        let kind = number(&mut bytes)?;
        let size = number(&mut bytes)?;
        let (body, rest) = bytes.split_at_checked(size)?;
        if kind == 5 && body.starts_with(MARK) {
            return Some(body[..body.len().min(MAX_BYTES)].to_vec());
        }
        bytes = rest;
    }
}

/// What the packs say. `rate` is the picture's: up to 30 frames a second the timecode counts in it. Damaged packs say
/// nothing, those after the end of the data are not there.
pub fn facts(bytes: &[u8], rate: Option<FrameRate>) -> Vec<Fact> {
    let Some((&count, packs)) = bytes.strip_prefix(MARK).and_then(|rest| rest.split_first()) else {
        return Vec::new();
    };
    let (packs, _) = packs.as_chunks::<5>();
    let packs = &packs[..packs.len().min(usize::from(count))];
    let pack = |id: u8| packs.iter().find(|p| p[0] == id).map(|p| [p[1], p[2], p[3], p[4]]);
    let mut sheet = Sheet::default();
    let make = pack(0xe0).and_then(|p| match u16::from_be_bytes([p[0], p[1]]) {
        0x0103 => Some("Panasonic"),
        0x0108 => Some("Sony"),
        0x1011 => Some("Canon"),
        0x1104 => Some("JVC"),
        _ => None,
    });
    sheet.put(Field::Make, make);
    if make == Some("Sony") {
        let name: Vec<u8> = [0xe4, 0xe5, 0xe6].into_iter().filter_map(pack).flatten().take_while(|b| *b != 0).collect();
        let name = std::str::from_utf8(&name).ok().filter(|n| n.bytes().all(|b| b.is_ascii_graphic() || b == b' '));
        sheet.put(Field::Model, name);
    }
    sheet.put(Field::StartTc, pack(0x13).and_then(|p| timecode(p, rate)));
    sheet.put(Field::RecordedAt, pack(0x18).zip(pack(0x19)).and_then(|(a, b)| moment(a, b)));
    let ratio = |id| pack(id).map(|p| (u16::from_be_bytes([p[0], p[1]]), u16::from_be_bytes([p[2], p[3]])));
    sheet.put(Field::ShutterSpeed, ratio(0xa0).and_then(|(n, d)| (n == 1 && d > 0).then(|| format!("1/{d}"))));
    let stop =
        ratio(0xa1).filter(|(n, d)| *n > 0 && *d > 0).and_then(|(n, d)| form::decimal(f64::from(n) / f64::from(d), 1));
    sheet.put(Field::Aperture, stop.and_then(|s| wording::aperture(&s, Some('F'))));
    sheet.put(Field::Gps, place(&pack, ratio));
    sheet.done()
}

fn bcd(b: u8) -> Option<u16> {
    (b & 0x0f < 10 && b >> 4 < 10).then(|| u16::from(b >> 4) * 10 + u16::from(b & 0x0f))
}

/// Frames (0x40: drop-frame), seconds, minutes, hours.
fn timecode([f, s, m, h]: [u8; 4], rate: Option<FrameRate>) -> Option<String> {
    let sep = if f & 0x40 != 0 { ';' } else { ':' };
    let (h, m, s, f) = (bcd(h & 0x3f)?, bcd(m & 0x7f)?, bcd(s & 0x7f)?, bcd(f & 0x3f)?);
    wording::timecode(&format!("{h:02}:{m:02}:{s:02}{sep}{f:02}"), rate.filter(|r| r.nominal() <= 30))
}

/// Zone, century, year, month; day, hour, minute, second. A zone is kept where it is one for sure: with summer time its
/// hour may be in the number or not, and a Greenwich of nothing but zeros is what cameras write that have no zone (a
/// European AG-HMC151 in July).
fn moment([zone, century, year, month]: [u8; 4], [day, hour, minute, second]: [u8; 4]) -> Option<String> {
    let offset = if zone & 0xc0 == 0 && zone != 0 {
        let sign = if zone & 0x20 != 0 { '-' } else { '+' };
        wording::offset(&format!("{sign}{:02}:{}", zone >> 1 & 0x0f, if zone & 1 != 0 { "30" } else { "00" }))?
    } else {
        String::new()
    };
    let year = bcd(century)? * 100 + bcd(year)?;
    let [month, day, hour, minute, second] = [bcd(month)?, bcd(day)?, bcd(hour)?, bcd(minute)?, bcd(second)?];
    wording::moment(&format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{offset}"))
}

/// Degrees, minutes and seconds as ratios, while the receiver measures.
fn place(pack: &impl Fn(u8) -> Option<[u8; 4]>, ratio: impl Fn(u8) -> Option<(u16, u16)>) -> Option<String> {
    if pack(0xbe)?[0] != b'A' {
        return None;
    }
    let number = |id| ratio(id).filter(|(_, d)| *d > 0).map(|(n, d)| f64::from(n) / f64::from(d));
    let half = |letter: u8, first: u8| {
        let letter = char::from(pack(letter)?[0]).to_string();
        wording::degrees(number(first)?, number(first + 1)?, number(first + 2)?, &letter)
    };
    wording::place(&half(0xb1, 0xb2)?, &half(0xb5, 0xb6)?, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::told::{all, said};
    use proptest::prelude::*;

    fn data(packs: &[[u8; 5]]) -> Vec<u8> {
        [MARK.as_slice(), &[packs.len() as u8], &packs.concat()].concat()
    }

    /// An access unit as a camcorder writes it: delimiter, parameters, SEI, picture.
    fn unit(body: &[u8]) -> Vec<u8> {
        let mut sei = vec![6, 5];
        sei.extend(std::iter::repeat_n(0xff, body.len() / 255));
        sei.push((body.len() % 255) as u8);
        sei.extend(body);
        sei.push(0x80);
        let mut escaped: Vec<u8> = Vec::new();
        for b in sei {
            if b <= 3 && escaped.ends_with(&[0, 0]) {
                escaped.push(3);
            }
            escaped.push(b);
        }
        let picture = [5, 1, 2, 3];
        let sei_of_nothing = [6, 1, 1, 0, 0x80];
        [[9, 0x10].as_slice(), &[7, 1], &[8, 1], &sei_of_nothing, &escaped, &picture]
            .iter()
            .flat_map(|nal| [[0, 0, 0, 1].as_slice(), nal].concat())
            .collect()
    }

    const PACKS: [[u8; 5]; 8] = [
        [0x13, 0x11, 0x31, 0x34, 0x20],
        [0x18, 0x04, 0x20, 0x10, 0x05],
        [0x19, 0x23, 0x20, 0x34, 0x31],
        [0xa0, 0, 1, 0, 50],
        [0xa1, 0, 28, 0, 10],
        [0xe0, 0x01, 0x08, 0x30, 0x01],
        [0xe4, b'H', b'D', b'R', b'-'],
        [0xe5, b'X', b'R', 0, 0],
    ];

    #[test]
    fn a_camcorders_packs_are_read_through_escapes() {
        let found = find(&unit(&data(&PACKS))).unwrap();
        assert_eq!(found, data(&PACKS));
        let want = [
            (Field::Make, "Sony"),
            (Field::Model, "HDR-XR"),
            (Field::StartTc, "20:34:31:11@25/1"),
            (Field::RecordedAt, "2010-05-23T20:34:31+02:00"),
            (Field::ShutterSpeed, "1/50"),
            (Field::Aperture, "F2.8"),
        ];
        assert_eq!(all(&facts(&found, FrameRate::new(25, 1))), want);
    }

    #[test]
    fn drop_frame_summer_time_and_makers() {
        let of = |pack: [u8; 5], rate| facts(&data(&[pack]), rate).into_iter().next().map(|f| f.value);
        let ntsc = FrameRate::new(30_000, 1001);
        assert_eq!(of([0x13, 0x51, 0x10, 0, 0], ntsc).as_deref(), Some("00:00:10;11@30000/1001"));
        assert_eq!(of([0x13, 0x51, 0x10, 0, 0], FrameRate::new(60_000, 1001)).as_deref(), Some("00:00:10;11"));
        assert_eq!(of([0x13, 0x51, 0x10, 0, 0], FrameRate::new(25, 1)), None);
        assert_eq!(of([0x13, 0xff, 0xff, 0xff, 0xff], ntsc), None);
        assert_eq!(of([0xe0, 0x01, 0x03, 0, 0], None).as_deref(), Some("Panasonic"));
        assert_eq!(of([0xe0, 0x10, 0x11, 0, 0], None).as_deref(), Some("Canon"));
        assert_eq!(of([0xe0, 0x77, 0x77, 0, 0], None), None);
        let at = |zone| {
            let facts = facts(&data(&[[0x18, zone, 0x20, 0x10, 0x05], [0x19, 0x23, 0x20, 0x34, 0x31]]), None);
            said(&facts, Field::RecordedAt).map(str::to_owned)
        };
        assert_eq!(at(0x2b).as_deref(), Some("2010-05-23T20:34:31-05:30"));
        assert_eq!(at(0x42).as_deref(), Some("2010-05-23T20:34:31"));
        assert_eq!(at(0xff).as_deref(), Some("2010-05-23T20:34:31"));
        assert_eq!(at(0x00).as_deref(), Some("2010-05-23T20:34:31"));
    }

    #[test]
    fn a_fix_is_a_place_and_none_is_not() {
        let packs = |status| {
            data(&[
                [0xb1, b'S', 0, 0, 0],
                [0xb2, 0, 35, 0, 1],
                [0xb3, 0, 30, 0, 1],
                [0xb4, 0, 0, 0, 1],
                [0xb5, b'E', 0, 0, 0],
                [0xb6, 0, 139, 0, 1],
                [0xb7, 0, 45, 0, 1],
                [0xb8, 0, 0, 0, 1],
                [0xbe, status, 0, 0, 0],
            ])
        };
        assert_eq!(said(&facts(&packs(b'A'), None), Field::Gps), Some("-35.5,139.75"));
        assert!(facts(&packs(b'V'), None).is_empty());
    }

    #[test]
    fn a_cut_unit_or_list_says_less_and_a_picture_says_nothing() {
        let whole = unit(&data(&PACKS));
        for at in 0..whole.len() {
            if let Some(found) = find(&whole[..at]) {
                assert_eq!(found, data(&PACKS), "cut at {at}");
            }
        }
        let list = data(&PACKS);
        for at in 0..list.len() {
            assert!(facts(&list[..at], None).len() <= 6);
        }
        // The same bytes within a picture are no metadata.
        let picture = [[0, 0, 1, 5].as_slice(), &whole].concat();
        assert_eq!(find(&picture), None);
        assert_eq!((find(b""), facts(b"", None)), (None, Vec::new()));
        assert!(facts(&[MARK.as_slice(), &[255]].concat(), None).is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(b in proptest::collection::vec(any::<u8>(), 0..200)) {
            find(&[&[0, 0, 1, 6], &b[..]].concat());
            facts(&[MARK.as_slice(), &b].concat(), FrameRate::new(25, 1));
            find(&unit(&b));
        }
    }
}
