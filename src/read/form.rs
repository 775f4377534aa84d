//! Out of what containers hold, the one form that `fact.rs` documents for each value. What does not make a true value
//! makes none: a zero where a number should be, a date that is no day, a timecode with 61 seconds.

use super::window::array_at;
use super::wording;
use crate::fact::{Fact, Field};
use crate::timecode::{FrameRate, Timecode};
use jiff::civil;

/// The facts of one parser, with its name.
pub(crate) struct Facts {
    by: &'static str,
    list: Vec<(Fact, &'static str)>,
}

/// What may be said: text, or text that is perhaps there.
pub(crate) trait Value {
    fn text(self) -> Option<String>;
}

impl Value for &str {
    fn text(self) -> Option<String> {
        Some(self.to_owned())
    }
}

impl Value for String {
    fn text(self) -> Option<String> {
        Some(self)
    }
}

impl<T: Value> Value for Option<T> {
    fn text(self) -> Option<String> {
        self.and_then(T::text)
    }
}

/// More than any real header says; the rest of a hostile one is dropped.
const MOST: usize = 512;

impl Facts {
    pub fn by(by: &'static str) -> Self {
        Facts { by, list: Vec::new() }
    }

    /// Empty text and `None` add nothing. Said twice is said once.
    pub fn say(&mut self, field: Field, value: impl Value) {
        let fact = value.text().and_then(|v| Fact::new(field, v));
        if let Some(fact) = fact
            && self.list.len() < MOST
            && !self.list.iter().any(|(f, by)| *f == fact && *by == self.by)
        {
            self.list.push((fact, self.by));
        }
    }

    /// As [`Facts::say`], for a number of which 0 means that it is not known.
    pub fn count(&mut self, field: Field, value: impl Into<Option<u32>>) {
        self.say(field, value.into().filter(|n| *n > 0 && *n < u32::MAX).map(|n| n.to_string()));
    }

    pub fn has(&self, field: Field) -> bool {
        self.list.iter().any(|(f, _)| f.field == field)
    }

    pub fn take(&mut self, field: Field) -> Option<Fact> {
        let at = self.list.iter().position(|(f, _)| f.field == field)?;
        Some(self.list.remove(at).0)
    }

    pub fn list(self) -> Vec<(Fact, &'static str)> {
        self.list
    }
}

/// Text up to the first NUL. What is not UTF-8 is read as Windows-1252, which old recorders and cameras write and
/// which holds all of Latin-1. A field of ones was never written.
pub(crate) fn text(bytes: &[u8]) -> String {
    let bytes = bytes.split(|b| *b == 0).next().unwrap_or_default();
    if bytes.first() == Some(&0xff) {
        return String::new();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.trim().to_owned(),
        Err(_) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0.trim().to_owned(),
    }
}

/// `len` bytes of text at `at`.
pub(crate) fn text_at(bytes: &[u8], at: usize, len: usize) -> String {
    text(bytes.get(at..bytes.len().min(at.saturating_add(len))).unwrap_or_default())
}

/// At most `places` digits after the point, none that say nothing.
pub(crate) fn decimal(value: f64, places: usize) -> Option<String> {
    if !value.is_finite() || value.abs() >= 1e12 {
        return None;
    }
    let text = format!("{value:.places$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    Some(if text == "-0" { "0".into() } else { text.to_owned() })
}

/// Only above zero: a lens without contacts says 0.
pub(crate) fn positive(value: f64, places: usize) -> Option<String> {
    decimal(value, places).filter(|t| value > 0.0 && t != "0")
}

/// `F2.8`, `T2.8`.
pub(crate) fn aperture(letter: char, value: f64) -> Option<String> {
    (0.3..200.0).contains(&value).then(|| positive(value, 2)).flatten().map(|t| format!("{letter}{t}"))
}

/// Degrees, above 0 and up to 360.
pub(crate) fn angle(value: f64) -> Option<String> {
    (value > 0.0 && value <= 360.0).then(|| positive(value, 2)).flatten()
}

/// `1/50`, or `2/1` for what takes longer than a second.
pub(crate) fn shutter(num: u64, den: u64) -> Option<String> {
    if num == 0 || den == 0 || num / den > 3600 {
        return None;
    }
    if den.is_multiple_of(num) {
        return Some(format!("1/{}", den / num));
    }
    let (mut a, mut b) = (num, den);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    Some(format!("{}/{}", num / a, den / a))
}

/// `HH:MM:SS:FF@NUM/DEN`.
pub(crate) fn timecode(tc: Timecode) -> String {
    format!("{tc}@{}", tc.rate.fraction())
}

/// Of a source that names a rate and may count in half of it: above 30 frames a second only numbers of three digits
/// show that it counts all of them. Without a rate only its shape is checked, and none is claimed.
pub(crate) fn timecode_text(text: &str, at: Option<FrameRate>) -> Option<String> {
    let text = text.trim();
    wording::timecode(text, at.filter(|r| r.nominal() <= 30 || text.len() > 11))
}

/// Time address of SMPTE ST 12-1 in BCD: hours, minutes, seconds, frames; the bits above the digits are flags.
/// Rates above 30 count pairs of frames there, so that none is claimed for them.
pub(crate) fn timecode_bcd(hmsf: [u8; 4], at: Option<FrameRate>) -> Option<String> {
    let digits = |b: u8| (b & 0xf < 10 && b >> 4 < 10).then(|| u32::from(b >> 4) * 10 + u32::from(b & 0xf));
    let [h, m, s, f] = hmsf;
    let sep = if f & 0x40 != 0 { ';' } else { ':' };
    let (h, m, s, f) = (digits(h & 0x3f)?, digits(m & 0x7f)?, digits(s & 0x7f)?, digits(f & 0x3f)?);
    if h > 23 || m > 59 || s > 59 {
        return None;
    }
    let text = format!("{h:02}:{m:02}:{s:02}{sep}{f:02}");
    match at {
        Some(rate) if rate.nominal() <= 30 => timecode_text(&text, Some(rate)),
        _ => Some(text),
    }
}

/// Date and time, or a date alone, in any of the ways that put digits in the order year, month, day, hour, minute,
/// second: `2018-12-31 12:40:00`, `2018:12:31:12:40:00:+01`, `20160118`, `2019-02-12T15:27:12+0800`.
/// An offset is kept where one is written, other words behind the time are passed over. `None` for what is no day or no
/// time.
pub(crate) fn date_time(text: &str) -> Option<String> {
    let (time, rest) = read_time(text.trim())?;
    let offset = wording::offset(rest.trim_start_matches([':', ' ']));
    match time.contains('T') {
        true => Some(time + &offset.unwrap_or_default()),
        false => rest.is_empty().then_some(time),
    }
}

/// The date with the time of it, or alone where no time follows, and what is left of the text behind it and behind the
/// parts of a second. Clocks that were never set begin in 1904, 1970, 1980 or at 0.
pub(crate) fn read_time(text: &str) -> Option<(String, &str)> {
    let mut rest = text;
    let mut behind = text;
    let mut part = |most: usize| -> Option<i16> {
        let len = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let (part, tail) = rest.split_at(len);
        // Fewer digits than usual are all that there are between two marks.
        if len == 0 || (most == 4 && len < 4) {
            return None;
        }
        behind = tail;
        rest = tail.trim_start_matches([':', '-', '/', '_', '.', ' ', 'T', 't']);
        if len < most && rest.len() == tail.len() && !tail.is_empty() {
            return None;
        }
        part.parse().ok()
    };
    let date = civil::Date::new(part(4)?, part(2)?.try_into().ok()?, part(2)?.try_into().ok()?).ok()?;
    if !(1990..2200).contains(&date.year()) {
        return None;
    }
    let Some(hour) = part(2) else { return Some((date.to_string(), behind)) };
    let time = [hour, part(2)?, part(2)?].map(|n| i8::try_from(n).unwrap_or(-1));
    let time = civil::Time::new(time[0], time[1], time[2], 0).ok()?;
    let behind = match behind.strip_prefix(['.', ',']) {
        Some(_) => behind.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ',')),
        None => behind,
    };
    Some((format!("{date}T{time}"), behind))
}

/// `LAT,LON` or `LAT,LON,METRES` in degrees. (0, 0) is what a receiver without a fix says.
pub(crate) fn place(lat: f64, lon: f64, metres: Option<f64>) -> Option<String> {
    if !(-90.0..=90.0).contains(&lat) || !(-180.0..=180.0).contains(&lon) || (lat == 0.0 && lon == 0.0) {
        return None;
    }
    let (lat, lon) = (decimal(lat, 7)?, decimal(lon, 7)?);
    Some(match metres.filter(|m| (-1000.0..100_000.0).contains(m)).and_then(|m| decimal(m, 3)) {
        Some(metres) => format!("{lat},{lon},{metres}"),
        None => format!("{lat},{lon}"),
    })
}

/// `+27.1281+100.2508+000.000/` (ISO 6709), degrees in decimals only.
pub(crate) fn iso6709(text: &str) -> Option<String> {
    let text = text.trim().split('/').next()?;
    let starts: Vec<usize> = text.char_indices().filter(|(_, c)| matches!(c, '+' | '-')).map(|(at, _)| at).collect();
    if starts.first() != Some(&0) || !(2..=3).contains(&starts.len()) {
        return None;
    }
    let part = |n: usize| {
        let from = *starts.get(n)?;
        let part = text.get(from..starts.get(n + 1).copied().unwrap_or(text.len()))?;
        // "CRS" and its like follow the height.
        let digits = part.split("CRS").next()?;
        digits.parse::<f64>().ok().map(|v| (v, digits.split('.').next().map_or(0, str::len) - 1))
    };
    let ((lat, lat_digits), (lon, lon_digits)) = (part(0)?, part(1)?);
    // Four digits and more before the point are degrees and minutes.
    (lat_digits <= 2 && lon_digits <= 3).then(|| place(lat, lon, part(2).map(|(m, _)| m))).flatten()
}

/// Upper-case hex; `None` for nothing but zeros or ones.
pub(crate) fn hex(bytes: &[u8]) -> Option<String> {
    (!bytes.iter().all(|b| *b == 0) && !bytes.iter().all(|b| *b == 0xff))
        .then(|| bytes.iter().map(|b| format!("{b:02X}")).collect())
}

pub(crate) fn be_f32(bytes: &[u8], at: usize) -> Option<f64> {
    array_at(bytes, at).map(|b| f64::from(f32::from_be_bytes(b)))
}

pub(crate) fn le_f32(bytes: &[u8], at: usize) -> Option<f64> {
    array_at(bytes, at).map(|b| f64::from(f32::from_le_bytes(b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_are_read_however_they_are_parted() {
        for (text, expected) in [
            ("2018-12-31 12:40:00", Some("2018-12-31T12:40:00")),
            ("2019:01:0113:36:16", Some("2019-01-01T13:36:16")),
            ("2018:12:31:12:40:00:+01", Some("2018-12-31T12:40:00+01:00")),
            ("2012:06:14:17:22:09:GMT", Some("2012-06-14T17:22:09")),
            ("2019-02-12T15:27:12+08:00", Some("2019-02-12T15:27:12+08:00")),
            ("2026-03-23T15:57:19+0100", Some("2026-03-23T15:57:19+01:00")),
            ("2026-03-23T15:57:19.250Z", Some("2026-03-23T15:57:19Z")),
            ("2026-03-23T15:57:19-03:30", Some("2026-03-23T15:57:19-03:30")),
            ("2018-12-31 12-40-00", Some("2018-12-31T12:40:00")),
            ("20160118213555", Some("2016-01-18T21:35:55")),
            ("2021:04:19", Some("2021-04-19")),
            ("1904-01-01 00:00:00", None),
            ("2018-02-30 12:40:00", None),
            ("2018-12-31 25:00:00", None),
            ("0000:00:00 00:00:00", None),
            ("2018", None),
            ("", None),
        ] {
            assert_eq!(date_time(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn places_are_read() {
        assert_eq!(iso6709("+27.1281+100.2508+000.000/").unwrap(), "27.1281,100.2508,0");
        assert_eq!(iso6709("+49.1989+016.6071+222.469/").unwrap(), "49.1989,16.6071,222.469");
        assert_eq!(iso6709("+51.4169-000.0806/").unwrap(), "51.4169,-0.0806");
        for bad in ["", "+91.0+010.0/", "+4912.34+01636.42/", "+00.0000+000.0000/", "51.4", "+51.4", "+a+b/"] {
            assert_eq!(iso6709(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_lose_what_says_nothing_and_zero_is_no_value() {
        assert_eq!(decimal(172.8, 2).unwrap(), "172.8");
        assert_eq!(decimal(-0.0001, 2).unwrap(), "0");
        assert_eq!(decimal(5600.0, 0).unwrap(), "5600");
        assert_eq!((positive(0.0, 1), positive(f64::NAN, 1), angle(1728.0)), (None, None, None));
        assert_eq!(aperture('F', 4.9).unwrap(), "F4.9");
        assert_eq!((shutter(1, 50).unwrap(), shutter(20, 1000).unwrap()), ("1/50".into(), "1/50".into()));
        assert_eq!((shutter(3, 10).unwrap(), shutter(0, 1)), ("3/10".into(), None));
    }

    #[test]
    fn timecode_says_its_rate_only_where_it_counts_in_it() {
        let rate = |n, d| FrameRate::new(n, d);
        assert_eq!(timecode_bcd([0x21, 0x36, 0x16, 0x18], rate(24_000, 1001)).unwrap(), "21:36:16:18@24000/1001");
        assert_eq!(timecode_bcd([0x01, 0x29, 0x21, 0x67], rate(30_000, 1001)).unwrap(), "01:29:21;27@30000/1001");
        assert_eq!(timecode_bcd([0x01, 0x29, 0x21, 0x12], rate(50, 1)).unwrap(), "01:29:21:12");
        assert_eq!(timecode_bcd([0x10, 0x11, 0x12, 0x13], None).unwrap(), "10:11:12:13");
        assert_eq!(timecode_bcd([0xff; 4], None), None);
        // Frame 24 does not exist at 24, nor drop-frame.
        assert_eq!(timecode_bcd([0x10, 0x11, 0x12, 0x24], rate(24, 1)), None);
        assert_eq!(timecode_text("10:11:12;13", rate(24, 1)), None);
        assert_eq!(timecode_text("10:11:12;13", None).unwrap(), "10:11:12;13");
        assert_eq!(timecode_text("10:61:12:13", None), None);
    }

    #[test]
    fn text_ends_at_the_first_nul_and_is_read_in_the_encoding_it_has() {
        assert_eq!(text(b"Boom\0\xbf?\x18"), "Boom");
        assert_eq!(text("B\u{fc}hne".as_bytes()), "B\u{fc}hne");
        assert_eq!(text(b"B\xfchne "), "B\u{fc}hne");
    }

    proptest! {
        #[test]
        fn no_text_makes_a_form_panic(text in "\\PC{0,40}", near in "[0-9TZ:+./-]{0,30}") {
            for t in [&text, &near] {
                let _ = (date_time(t), iso6709(t), timecode_text(t, None), timecode_text(t, FrameRate::new(30_000, 1001)));
            }
        }
    }
}
