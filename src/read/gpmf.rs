//! GPMF, GoPro's telemetry (gopro/gpmf-parser, README): keys of four letters, a type, a size and a count, nested, each
//! value padded to four bytes.

use super::form::{self, Facts};
use super::window::{array_at, be16, be32};
use crate::fact::Field;

/// A second of telemetry takes some kilobytes.
pub(crate) const MOST: usize = 1 << 20;
const DEEPEST: usize = 8;
const KEYS: usize = 20_000;

struct Klv<'a> {
    key: [u8; 4],
    kind: u8,
    /// Bytes of one element.
    each: usize,
    data: &'a [u8],
}

/// The keys that lie side by side, and those below them through the walker.
fn list(bytes: &[u8]) -> impl Iterator<Item = Klv<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let key = array_at::<4>(bytes, at)?;
        let (kind, each) = (*bytes.get(at + 4)?, usize::from(*bytes.get(at + 5)?));
        let len = each * usize::from(be16(bytes, at + 6)?);
        // A file that was cut short ends inside a value; what is there of it is no use.
        let data = bytes.get(at + 8..at + 8 + len)?;
        at += 8 + len.next_multiple_of(4);
        key.iter().all(|b| b.is_ascii_graphic() || *b == b' ').then_some(Klv { key, kind, each, data })
    })
}

/// What the camera and its receiver say. Drones and gimbals are devices of their own in the same stream; the camera is
/// the first.
pub(crate) fn say(bytes: &[u8], to: &mut Facts) {
    let devices: Vec<Klv> = list(bytes).filter(|k| &k.key == b"DEVC").take(16).collect();
    let Some(first) = devices.first() else { return };
    to.say(Field::Make, "GoPro");
    let mut left = KEYS;
    for (n, device) in devices.iter().enumerate() {
        walk(device.data, 0, &mut left, &mut |klv, level| {
            let text = || form::text(klv.data);
            match &klv.key {
                b"CASN" => to.say(Field::Serial, text()),
                b"FMWR" => to.say(Field::Firmware, text()),
                b"MINF" => to.say(Field::Model, text()),
                b"LINF" => to.say(Field::LensSerial, text()),
                b"STRM" if level == 0 && !to.has(Field::Gps) => fix(klv.data, to),
                _ => {}
            }
        });
        // Cameras before HERO6 call themselves so, and settings have a device of their own.
        let name = list(first.data).find(|k| &k.key == b"DVNM").map(|k| form::text(k.data)).unwrap_or_default();
        let generic = name == "Camera" || name.contains("Settings") || name.contains("Highlights");
        if n == 0 && !generic && !to.has(Field::Model) {
            to.say(Field::Model, name);
        }
    }
}

fn walk<'a>(bytes: &'a [u8], level: usize, left: &mut usize, see: &mut dyn FnMut(&Klv<'a>, usize)) {
    for klv in list(bytes) {
        if *left == 0 {
            return;
        }
        *left -= 1;
        see(&klv, level);
        if klv.kind == 0 && level < DEEPEST {
            walk(klv.data, level + 1, left, see);
        }
    }
}

/// The first place that a receiver with a fix gives, and its time. Scale, fix and clock come before the places in the
/// same stream, and hold for what follows them.
fn fix(stream: &[u8], to: &mut Facts) {
    let (mut scales, mut fixed, mut clock) = (Vec::new(), false, None);
    for klv in list(stream) {
        let numbers = |most: usize| -> Vec<i64> {
            let data = &klv.data[..klv.data.len().min(most * klv.each.max(1))];
            match klv.kind {
                b's' => data.chunks_exact(2).map(|b| i16::from_be_bytes([b[0], b[1]]).into()).collect(),
                b'S' => data.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]]).into()).collect(),
                b'l' => data.chunks_exact(4).filter_map(|b| be32(b, 0)).map(|n| i64::from(n as i32)).collect(),
                b'L' => data.chunks_exact(4).filter_map(|b| be32(b, 0)).map(i64::from).collect(),
                _ => Vec::new(),
            }
        };
        match &klv.key {
            b"SCAL" => scales = numbers(16),
            // 2 and 3: places with and without height.
            b"GPSF" => fixed = numbers(1).first().is_some_and(|n| *n == 2 || *n == 3),
            b"GPSU" => clock = utc(&form::text(klv.data)),
            b"GPS5" => {
                let raw: Vec<i64> = numbers(1);
                if fixed && place(&raw, &scales, to) {
                    to.say(Field::RecordedAt, clock);
                }
                return;
            }
            b"GPS9" => {
                // Seven 32-bit and two 16-bit numbers: place, speeds, days since 2000, milliseconds, precision, fix.
                let row = klv.data.get(..klv.each.min(klv.data.len())).filter(|r| r.len() == 32).unwrap_or_default();
                let raw: Vec<i64> =
                    row.chunks_exact(4).take(7).filter_map(|b| be32(b, 0)).map(|n| (n as i32).into()).collect();
                let fix = be16(row, 30).is_some_and(|n| n == 2 || n == 3);
                if fix && place(&raw, &scales, to) {
                    to.say(Field::RecordedAt, days(raw[5], raw[6], scales.get(6).copied()));
                }
                return;
            }
            _ => {}
        }
    }
}

fn place(raw: &[i64], scales: &[i64], to: &mut Facts) -> bool {
    let scaled = |n: usize| {
        let scale = scales.get(n).or(if scales.len() == 1 { scales.first() } else { None }).filter(|s| **s > 0)?;
        Some(*raw.get(n)? as f64 / *scale as f64)
    };
    let (Some(lat), Some(lon)) = (scaled(0), scaled(1)) else { return false };
    to.say(Field::Gps, form::place(lat, lon, scaled(2)));
    to.has(Field::Gps)
}

/// `170417173103.000`
fn utc(text: &str) -> Option<String> {
    let digits = text.get(..12).filter(|t| t.bytes().all(|b| b.is_ascii_digit()))?;
    Some(form::date_time(&format!("20{digits}"))? + "Z")
}

fn days(days: i64, units: i64, scale: Option<i64>) -> Option<String> {
    let seconds = units.checked_div(scale.filter(|s| *s > 0)?)?;
    let days = u32::try_from(days).ok().filter(|d| (3650..73_000).contains(d))?;
    let date = jiff::civil::date(2000, 1, 1).checked_add(jiff::Span::new().days(i64::from(days))).ok()?;
    let seconds = u32::try_from(seconds).ok().filter(|s| *s < 86_400)?;
    Some(format!("{date}T{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60))
}

/// Only for the fuzzer and tests: the parser by itself.
pub fn facts(bytes: &[u8]) -> Vec<(crate::fact::Fact, &'static str)> {
    let mut to = Facts::by("gpmf");
    say(bytes, &mut to);
    to.list()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn klv(key: &[u8; 4], kind: u8, each: u8, data: &[u8]) -> Vec<u8> {
        let count = if each == 0 { 0 } else { data.len() / usize::from(each) } as u16;
        let mut out = [&key[..], &[kind, each], &count.to_be_bytes(), data].concat();
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    fn longs(numbers: &[i32]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
    }

    fn nest(key: &[u8; 4], parts: &[Vec<u8>]) -> Vec<u8> {
        klv(key, 0, 1, &parts.concat())
    }

    fn said(bytes: &[u8]) -> Vec<String> {
        facts(bytes).into_iter().map(|(f, by)| format!("{by} {}={}", f.field.name(), f.value)).collect()
    }

    pub(crate) fn camera(fix: i32) -> Vec<u8> {
        let gps = nest(
            b"STRM",
            &[
                klv(b"STNM", b'c', 1, b"GPS (Lat., Long., Alt., 2D speed, 3D speed)"),
                klv(b"GPSF", b'L', 4, &longs(&[fix])),
                klv(b"GPSU", b'U', 16, b"190103163334.094"),
                klv(b"SCAL", b'l', 4, &longs(&[10_000_000, 10_000_000, 1000, 1000, 100])),
                klv(b"GPS5", b'l', 20, &longs(&[330_126_440, -1_171_234_560, 12_500, 1, 2, 9, 9, 9, 9, 9])),
            ],
        );
        let camera = nest(
            b"DEVC",
            &[
                klv(b"DVID", b'L', 4, &longs(&[1])),
                klv(b"DVNM", b'c', 1, b"Hero7 Black"),
                klv(b"CASN", b'c', 1, b"C3221324545448"),
                klv(b"FMWR", b'c', 1, b"HD7.01.01.70.00"),
                gps,
            ],
        );
        [camera, nest(b"DEVC", &[klv(b"DVNM", b'c', 1, b"GoPro Karma v1.0")])].concat()
    }

    #[test]
    fn camera_and_place_are_read_and_the_drone_is_not_the_camera() {
        assert_eq!(
            said(&camera(3)),
            [
                "gpmf make=GoPro",
                "gpmf serial=C3221324545448",
                "gpmf firmware=HD7.01.01.70.00",
                "gpmf gps=33.012644,-117.123456,12.5",
                "gpmf recorded_at=2019-01-03T16:33:34Z",
                "gpmf model=Hero7 Black",
            ]
        );
    }

    #[test]
    fn without_a_fix_there_is_no_place() {
        for fix in [0, 1, 9] {
            assert!(!said(&camera(fix)).iter().any(|s| s.contains("gps") || s.contains("recorded_at")));
        }
    }

    #[test]
    fn places_of_newer_cameras_carry_their_own_fix() {
        let stream = |fix: u16| {
            let row = [
                &longs(&[480_000_000, 110_000_000, 519_000, 0, 0, 9000, 3_600_000])[..],
                &[0, 150],
                &fix.to_be_bytes(),
            ]
            .concat();
            let scales = longs(&[10_000_000, 10_000_000, 1000, 1000, 100, 1, 1000, 100, 1]);
            nest(b"DEVC", &[nest(b"STRM", &[klv(b"SCAL", b'l', 4, &scales), klv(b"GPS9", b'?', 32, &row)])])
        };
        assert_eq!(
            said(&stream(3)),
            ["gpmf make=GoPro", "gpmf gps=48,11,519", "gpmf recorded_at=2024-08-22T01:00:00Z"]
        );
        assert_eq!(said(&stream(0)), ["gpmf make=GoPro"]);
    }

    #[test]
    fn every_cut_says_less_and_no_depth_overflows() {
        let whole = camera(3);
        for len in 0..whole.len() {
            assert!(facts(&whole[..len]).len() <= 6);
        }
        let mut deep = klv(b"STRM", 0, 1, b"");
        for _ in 0..200 {
            deep = nest(b"STRM", &[deep]);
        }
        assert_eq!(said(&nest(b"DEVC", &[deep])), ["gpmf make=GoPro"]);
    }

    #[test]
    fn real_telemetry_is_read() {
        let Some(root) = super::super::tests::samples() else { return };
        for (name, expected) in [
            ("hero5", &["gps=33.1264969,-117.3273542,-20.184", "recorded_at=2017-04-17T17:31:03Z"][..]),
            // Its receiver had no fix yet.
            ("hero6", &["model=Hero6 Black"]),
            ("hero7", &["gps=42.3425835,-8.7526142,58.512", "recorded_at=2019-01-03T16:33:34Z", "model=Hero7 Black"]),
            ("karma", &[]),
        ] {
            let said = said(&std::fs::read(root.join(format!("gopro/gpmf/{name}.raw"))).unwrap());
            let expected: Vec<String> = ["make=GoPro"].iter().chain(expected).map(|e| format!("gpmf {e}")).collect();
            assert_eq!(said, expected, "{name}");
        }
    }
}
