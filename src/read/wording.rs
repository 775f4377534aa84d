//! How makers word a value, brought into the one form that its [`Field`] documents and `form` makes. What can not be
//! understood is no value: nothing here guesses.

use super::form;
use crate::fact::{Fact, Field};
use crate::timecode::{FrameRate, Timecode};
use std::borrow::Cow;

/// The facts of one source. The first value of a field stands, so sources are asked in the order of their trust.
#[derive(Default)]
pub(crate) struct Sheet(Vec<Fact>);

impl Sheet {
    /// `None`, empty text, and text with characters that its encoding could not say, are no value.
    pub fn put(&mut self, field: Field, value: Option<impl Into<String>>) {
        let Some(value) = value.map(Into::into).filter(|v: &String| !v.contains('\u{fffd}')) else { return };
        let Some(fact) = Fact::new(field, value) else { return };
        let taken = if field.is_list() { self.0.contains(&fact) } else { self.has(field) };
        if !taken && self.0.len() < 200 {
            self.0.push(fact);
        }
    }

    pub fn has(&self, field: Field) -> bool {
        self.0.iter().any(|f| f.field == field)
    }

    pub fn done(self) -> Vec<Fact> {
        self.0
    }
}

/// The text of a file that has no place to name its encoding: by its mark, else UTF-16 where every second byte of its
/// start is NUL, else UTF-8. Bytes that UTF-8 does not have become U+FFFD, so that the values around them are kept and
/// the values with them are not. `None` over `limit` bytes.
pub(crate) fn text(bytes: &[u8], limit: usize) -> Option<Cow<'_, str>> {
    use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
    if bytes.len() > limit {
        return None;
    }
    let (encoding, rest) = match (Encoding::for_bom(bytes), bytes) {
        (Some((e, mark)), _) => (e, &bytes[mark..]),
        (None, [a, 0, b, 0, ..]) if *a != 0 && *b != 0 => (UTF_16LE, bytes),
        (None, [0, a, 0, b, ..]) if *a != 0 && *b != 0 => (UTF_16BE, bytes),
        (None, _) => (UTF_8, bytes),
    };
    Some(encoding.decode_without_bom_handling(rest).0)
}

/// Text that says something: trimmed, and not one of the fillers that programs write for nothing.
pub(crate) fn word(text: &str) -> Option<&str> {
    const FILLERS: &[&str] = &["-", "--", "n.a.", "n/a", "none", "null", "not set", "no scene name", "no take name"];
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    let filler = FILLERS.iter().any(|f| text.eq_ignore_ascii_case(f));
    (!text.is_empty() && !filler).then_some(text)
}

/// A plain decimal number without needless zeros: `"172.800"` is `172.8`.
pub(crate) fn decimal(text: &str) -> Option<String> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if digits.len() > 20 || (whole.is_empty() && part.is_empty()) || !all(whole) || !all(part) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let part = part.trim_end_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    if whole == "0" && part.is_empty() {
        return Some("0".into());
    }
    Some(if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") })
}

/// The number that a text begins with, and what follows it: `"40mm"`, `"991 mm"`.
pub(crate) fn leading(text: &str) -> Option<(String, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+'))).unwrap_or(text.len());
    Some((decimal(&text[..end])?, text[end..].trim()))
}

/// A number in the range given, both ends with it.
fn within(text: &str, low: f64, high: f64) -> Option<String> {
    let n = decimal(text)?;
    n.parse::<f64>().is_ok_and(|x| x >= low && x <= high).then_some(n)
}

pub(crate) fn whole(text: &str) -> Option<String> {
    decimal(text).filter(|n| !n.contains(['.', '-']))
}

/// A count or size that is not nothing.
pub(crate) fn count(text: &str) -> Option<String> {
    whole(text).filter(|n| n != "0" && n.len() <= 12)
}

pub(crate) fn iso(text: &str) -> Option<String> {
    whole(text).filter(|n| n.parse::<u64>().is_ok_and(|n| (1..=10_000_000).contains(&n)))
}

pub(crate) fn kelvin(text: &str) -> Option<String> {
    let (n, unit) = leading(text)?;
    (unit.is_empty() || unit.eq_ignore_ascii_case("k")).then(|| within(&n, 1000.0, 50_000.0)).flatten()
}

/// `180`, `172.8°`, `180 deg`.
pub(crate) fn angle(text: &str) -> Option<String> {
    let (n, unit) = leading(text)?;
    let degrees = ["", "°", "deg", "degrees"].iter().any(|u| unit.eq_ignore_ascii_case(u));
    degrees.then(|| form::angle(n.parse().ok()?)).flatten()
}

/// `1/50`, `1/80.0`, `1/50 s`; `one_over`: the text is what stands below the line.
pub(crate) fn shutter(text: &str, one_over: bool) -> Option<String> {
    let text = text.trim().trim_end_matches(['s', 'e', 'c', '.']).trim();
    let below = match text.strip_prefix("1/") {
        Some(rest) => rest,
        None if one_over => text,
        None => return None,
    };
    Some(format!("1/{}", within(below, 0.01, 1_000_000.0)?))
}

/// `F2.8`, `T2.3`, `f/2.8`, `T 2 3/10` and `2.0 + 3/10` (tenths of a stop above the number); `bare` for the letter
/// where there is none.
pub(crate) fn aperture(text: &str, bare: Option<char>) -> Option<String> {
    let text = text.trim();
    let letter = text.chars().next().map(|c| c.to_ascii_uppercase()).filter(|c| matches!(c, 'F' | 'T'));
    let rest = if letter.is_some() { text[1..].trim_start_matches(['/', ' ']) } else { text };
    let letter = letter.or(bare)?;
    let (stop, tenths) = match rest.split_once(['+', ' ']) {
        Some((stop, more)) => {
            let more = more.trim_start_matches([' ', '+']);
            (stop.trim(), more.strip_suffix("/10")?.trim().parse::<u8>().ok().filter(|n| *n < 10)?)
        }
        None => (rest, 0),
    };
    let stop: f64 = decimal(stop)?.parse().ok()?;
    match tenths {
        0 => form::aperture(letter, stop),
        // A full stop is a factor of the square root of two; nobody works out more than a tenth of a number.
        n => form::aperture(letter, form::decimal(stop * 2f64.powf(f64::from(n) / 20.0), 1)?.parse().ok()?),
    }
}

/// A length in millimetres.
pub(crate) fn millimetres(text: &str) -> Option<String> {
    let (n, unit) = leading(text)?;
    matches!(unit, "" | "mm").then(|| within(&n, 0.1, 20_000.0)).flatten()
}

/// A distance in metres; `unit` is what a bare number counts.
pub(crate) fn metres(text: &str, unit: &str) -> Option<String> {
    let (n, own) = leading(text)?;
    let own = if own.is_empty() { unit } else { own };
    let n: f64 = n.parse().ok().filter(|n| *n > 0.0)?;
    let metres = match own.to_ascii_lowercase().as_str() {
        "mm" => n / 1000.0,
        "cm" => n / 100.0,
        "m" | "meter" | "metre" => n,
        "ft" | "feet" => n * 0.3048,
        "inch" | "in" => n * 0.0254,
        _ => return None,
    };
    form::positive(metres, 3).filter(|_| metres < 100_000.0)
}

pub(crate) fn yes(text: &str) -> Option<&'static str> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" | "circled" => Some("1"),
        "0" | "false" | "no" | "off" => Some("0"),
        _ => None,
    }
}

/// Frames a second with their unit: `25`, `24.00p`, `23.98`, `24000/1001`, `25 fps`.
pub(crate) fn rate(text: &str) -> Option<FrameRate> {
    let text = text.trim().to_ascii_lowercase();
    FrameRate::parse(["fps", "psf", "p"].iter().find_map(|u| text.strip_suffix(u)).unwrap_or(&text))
}

/// In the form of [`Field::StartTc`]; `None` for a time that does not exist, and for drop-frame at a rate that has none.
pub(crate) fn timecode(text: &str, rate: Option<FrameRate>) -> Option<String> {
    let text = text.trim();
    let drop = text.contains([';', '.', ',']);
    if let Some(rate) = rate {
        // Drop-frame numbers at a rate that has none: one of both is wrong.
        return (!drop || rate.can_drop()).then(|| Timecode::parse(text, rate).map(form::timecode)).flatten();
    }
    let parts: Vec<&str> = text.split([':', ';', '.', ',']).collect();
    let [h, m, s, f] = parts[..] else { return None };
    let number = |p: &str, digits: &[usize], end: u32| {
        let fits = digits.contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit());
        p.parse::<u32>().ok().filter(|n| fits && *n < end)
    };
    // Up to 120 frames a second may be counted; the shape is all that can be judged.
    let (h, m, s, f) = (number(h, &[2], 24)?, number(m, &[2], 60)?, number(s, &[2], 60)?, number(f, &[2, 3], 120)?);
    Some(format!("{h:02}:{m:02}:{s:02}{}{f:02}", if drop { ';' } else { ':' }))
}

/// How many frames a duration written as timecode has.
pub(crate) fn frames(text: &str, rate: FrameRate) -> Option<String> {
    let drop = text.contains([';', '.']);
    let tc = Timecode::parse(text, rate).filter(|_| !drop || rate.can_drop())?;
    (tc.frame > 0).then(|| tc.frame.to_string())
}

/// A date with a time, in whatever marks its numbers stand: `2022-08-07 13:40:40,774`, `2017.08.05 14:11:51`,
/// `2021-07-16T11:46:22-08:00`, `2023 5 11 18:41:22,000`. Without an offset where the text has none; other words behind
/// it make it no time.
pub(crate) fn moment(text: &str) -> Option<String> {
    let (time, rest) = form::read_time(text.trim()).filter(|(time, _)| time.contains('T'))?;
    match rest.trim() {
        "" => Some(time),
        zone => Some(time + &offset(zone)?),
    }
}

/// A day without a time: `2021:04:19`, `20190501`, `2018/03/27`.
pub(crate) fn day(text: &str) -> Option<String> {
    form::read_time(text.trim()).filter(|(day, rest)| !day.contains('T') && rest.is_empty()).map(|(day, _)| day)
}

/// `Z`, or `+01:00` out of `+1`, `+01`, `+0100` and `+01:00`.
pub(crate) fn offset(text: &str) -> Option<String> {
    if matches!(text, "Z" | "z") {
        return Some("Z".into());
    }
    let sign = text.chars().next().filter(|c| matches!(c, '+' | '-'))?;
    let digits: String = text[1..].chars().filter(|c| *c != ':').collect();
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (h, m) = match digits.len() {
        1 | 2 => (digits.parse::<u32>().ok()?, 0),
        4 => (digits[..2].parse().ok()?, digits[2..].parse().ok()?),
        _ => return None,
    };
    (h <= 14 && m < 60).then(|| format!("{sign}{h:02}:{m:02}"))
}

/// Degrees and metres as decimals.
pub(crate) fn place(lat: &str, lon: &str, metres: Option<&str>) -> Option<String> {
    let number = |text: &str| decimal(text)?.parse::<f64>().ok();
    form::place(number(lat)?, number(lon)?, metres.and_then(number))
}

/// Degrees, minutes and seconds with the letter of their half of the world.
pub(crate) fn degrees(d: f64, m: f64, s: f64, half: &str) -> Option<String> {
    let positive = matches!(half, "N" | "E");
    if !positive && !matches!(half, "S" | "W") || !(0.0..60.0).contains(&m) || !(0.0..60.0).contains(&s) {
        return None;
    }
    let value = d + m / 60.0 + s / 3600.0;
    form::decimal(if positive { value } else { -value }, 6)
}

/// A density or fraction of a neutral-density filter, `clear` for none.
pub(crate) fn nd(text: &str) -> Option<String> {
    let text = word(text)?;
    let clear = decimal(text).is_some_and(|n| n == "0") || ["no filter", "clear"].contains(&&*text.to_lowercase());
    Some(if clear { "clear".into() } else { decimal(text).unwrap_or_else(|| text.to_owned()) })
}

/// Sony's cinema cameras name themselves by their parts' number, which nobody on a set knows.
pub(crate) fn sony_model(text: &str) -> String {
    let number = text.split_whitespace().next().unwrap_or_default();
    match number {
        "MPC-3610" | "MPC-3628" | "MPC-3633" => format!("VENICE ({number})"),
        "MPC-2610" => format!("BURANO ({number})"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_lose_only_what_says_nothing() {
        for (text, want) in [
            ("172.800", Some("172.8")),
            ("007", Some("7")),
            ("-0.0", Some("0")),
            ("-124.744", Some("-124.744")),
            (".5", Some("0.5")),
            ("5.", Some("5")),
            ("", None),
            (".", None),
            ("1e3", None),
            ("NaN", None),
            ("1.2.3", None),
        ] {
            assert_eq!(decimal(text).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn rates_near_a_thousandth_less_are_that_rate() {
        for (text, want) in [
            ("24.00p", "24/1"),
            ("23.98", "24000/1001"),
            ("23.976", "24000/1001"),
            ("29.97p", "30000/1001"),
            ("59.94", "60000/1001"),
            ("119.88p", "120000/1001"),
            ("47.95", "48000/1001"),
            ("25.000000", "25/1"),
            ("12.5", "25/2"),
            ("24000/1001", "24000/1001"),
        ] {
            assert_eq!(rate(text).map(FrameRate::fraction).as_deref(), Some(want), "{text}");
        }
        for bad in ["", "x", "0", "-25", "25/0", "99999999999999999999", "p"] {
            assert_eq!(rate(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_timecode_keeps_its_rate_and_a_false_one_is_none() {
        let ntsc = rate("29.97");
        assert_eq!(timecode("01:29:21;27", ntsc).as_deref(), Some("01:29:21;27@30000/1001"));
        assert_eq!(timecode("01:29:21.27", ntsc).as_deref(), Some("01:29:21;27@30000/1001"));
        assert_eq!(timecode("01:29:21;27", rate("25")), None);
        assert_eq!(timecode("01:29:21:27", rate("25")), None);
        assert_eq!(timecode("01:29:21;27", None).as_deref(), Some("01:29:21;27"));
        for bad in ["", "1:2", "25:00:00:00", "aa:bb:cc:dd", "00:00:00:120", "+1:00:00:00"] {
            assert_eq!(timecode(bad, None), None, "{bad}");
        }
    }

    #[test]
    fn dates_of_all_marks_become_one_form() {
        for (text, want) in [
            ("2021-07-16T11:46:22-08:00", "2021-07-16T11:46:22-08:00"),
            ("2022-08-07 13:40:40,774,808", "2022-08-07T13:40:40"),
            ("2017.08.05 14:11:51", "2017-08-05T14:11:51"),
            ("2023 5 11 18:41:22,000", "2023-05-11T18:41:22"),
            ("2018-01-02T08:00:00+0800", "2018-01-02T08:00:00+08:00"),
            ("2018-01-02T01:00:00.000000Z", "2018-01-02T01:00:00Z"),
        ] {
            assert_eq!(moment(text).as_deref(), Some(want), "{text}");
        }
        for bad in ["", "1904-01-01T00:00:00Z", "2021-02-30T00:00:00", "2021-07-16", "21-07-16T11:46:22", "é"] {
            assert_eq!(moment(bad), None, "{bad}");
        }
        assert_eq!(day("2021:04:19").as_deref(), Some("2021-04-19"));
        assert_eq!(day("20190501").as_deref(), Some("2019-05-01"));
        assert_eq!((day("20191301"), day("1904-01-01"), day("")), (None, None, None));
    }

    #[test]
    fn stops_with_tenths_are_worked_out() {
        assert_eq!(aperture("T 2 3/10", None).as_deref(), Some("T2.2"));
        assert_eq!(aperture("1.4 + 7/10", Some('T')).as_deref(), Some("T1.8"));
        assert_eq!(aperture("2.0 + 0/10", Some('T')).as_deref(), Some("T2"));
        assert_eq!(aperture("F5.6", None).as_deref(), Some("F5.6"));
        assert_eq!(aperture("f/2.8", None).as_deref(), Some("F2.8"));
        for bad in ["", "T", "5.6", "F0", "F-2", "T 2 x", "Fé"] {
            assert_eq!(aperture(bad, None), None, "{bad}");
        }
    }

    #[test]
    fn distances_and_angles_need_a_unit_that_is_known() {
        assert_eq!(metres("885 mm", "").as_deref(), Some("0.885"));
        assert_eq!(metres("5.83", "ft").as_deref(), Some("1.777"));
        assert_eq!(metres("5.83", ""), None);
        assert_eq!(angle("180°").as_deref(), Some("180"));
        assert_eq!(angle("1/50"), None);
        assert_eq!(shutter("1/80.0", false).as_deref(), Some("1/80"));
        assert_eq!(shutter("60", true).as_deref(), Some("1/60"));
        assert_eq!(shutter("60", false), None);
    }

    #[test]
    fn no_fix_is_no_place() {
        assert_eq!(place("41.424724", "2.234156", Some("117.0")).as_deref(), Some("41.424724,2.234156,117"));
        assert_eq!(place("0.0", "0.000", None), None);
        assert_eq!(place("91", "0", None), None);
        assert_eq!(degrees(35.0, 30.0, 0.0, "S").as_deref(), Some("-35.5"));
    }

    #[test]
    fn text_of_another_encoding_loses_only_the_words_it_can_not_say() {
        assert_eq!(text(b"\xff\xfea\0b\0", 99).unwrap(), "ab");
        assert_eq!(text(b"a\0b\0", 99).unwrap(), "ab");
        assert_eq!(text(b"\0a\0b", 99).unwrap(), "ab");
        let mut sheet = Sheet::default();
        let latin = text(b"M\xfcller", 99).unwrap();
        sheet.put(Field::Scene, Some(&*latin));
        assert!(sheet.done().is_empty());
        assert!(text(b"abc", 2).is_none());
    }

    proptest! {
        #[test]
        fn no_text_makes_any_of_them_panic(t in ".{0,24}", u in "[0-9:;.,/+ TFZé-]{0,24}") {
            for t in [&t, &u] {
                let _ = (decimal(t), leading(t), rate(t), moment(t), aperture(t, Some('T')), angle(t));
                let _ = (shutter(t, true), metres(t, "m"), millimetres(t), nd(t), offset(t), kelvin(t), word(t));
                let _ = (timecode(t, None), timecode(t, rate("29.97")), frames(t, FrameRate::new(25, 1).unwrap()));
            }
        }
    }
}
