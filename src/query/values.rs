//! What stands behind `key:`. `None` is a value that the key does not know.

use super::{Expr, Field, MAX_LIMIT, Match, Part, Sort, SortKey, State};
use crate::clip::MediaState;
use crate::fact;
use crate::timecode::FrameRate;
use jiff::civil::Date;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Field(Field),
    Fps,
    Timecode,
    Date,
    Is,
    Has,
    Limit,
    Sort,
}

/// Every key with what its values look like.
const KEYS: [(&str, Key, &str); 20] = [
    ("roll", Key::Field(Field::Roll), "A001"),
    ("card", Key::Field(Field::Card), "A001"),
    ("camera", Key::Field(Field::Camera), "A"),
    ("codec", Key::Field(Field::Codec), "prores"),
    ("name", Key::Field(Field::Name), "A001C002*"),
    ("path", Key::Field(Field::Path), "/DAY03/"),
    ("scene", Key::Field(Field::Scene), "12A"),
    ("take", Key::Field(Field::Take), "3"),
    ("reel", Key::Field(Field::Said(fact::Field::Reel)), "A001*"),
    ("lens", Key::Field(Field::Said(fact::Field::Lens)), "\"Master Prime\"*"),
    ("iso", Key::Field(Field::Said(fact::Field::Iso)), "800"),
    ("look", Key::Field(Field::Said(fact::Field::Look)), "show*"),
    ("serial", Key::Field(Field::Said(fact::Field::Serial)), "1234*"),
    ("fps", Key::Fps, "23.976"),
    ("tc", Key::Timecode, "10:00:05:12, 10:00 or 10:00..10:05"),
    ("date", Key::Date, "2024-01-05 or 2024-01-05..2024-01-07"),
    ("is", Key::Is, "ok, unsupported, failed, pending, skipped, unproven or safe"),
    ("has", Key::Has, "proxy, poster, sound, timecode or sidecar"),
    ("limit", Key::Limit, "50"),
    ("sort", Key::Sort, "date, name, roll, camera or duration, with - before it for the other way round"),
];

impl Key {
    pub fn from_name(name: &str) -> Option<Self> {
        KEYS.iter().find(|(n, ..)| n.eq_ignore_ascii_case(name)).map(|(_, key, _)| *key)
    }

    /// What a value looks like, for a hint.
    pub fn example(self) -> &'static str {
        KEYS.iter().find(|(_, key, _)| *key == self).map_or("", |(.., example)| example)
    }

    pub fn names() -> String {
        KEYS.map(|(name, ..)| name).join(", ")
    }

    /// The condition that `value` states; `limit` and `sort` state none.
    pub fn condition(self, value: &Match) -> Option<Expr> {
        match self {
            Self::Field(field) => (!value.text.is_empty()).then(|| Expr::Field(field, value.clone())),
            _ if value.prefix => None,
            Self::Fps => fps(&value.text).map(Expr::Fps),
            Self::Timecode => timecodes(&value.text),
            Self::Date => dates(&value.text),
            Self::Is => state(&value.text).map(Expr::Is),
            Self::Has => part(&value.text).map(Expr::Has),
            Self::Limit | Self::Sort => None,
        }
    }
}

/// `25`, `23.98`, `23.976`, `24000/1001`. Decimals near an NTSC rate mean that rate.
fn fps(text: &str) -> Option<FrameRate> {
    if let Some((num, den)) = text.split_once('/') {
        return FrameRate::new(num.parse().ok()?, den.parse().ok()?);
    }
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let all_digits = |t: &str| !t.is_empty() && t.len() <= 6 && t.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(part) {
        return None;
    }
    let milli = whole.parse::<u32>().ok()?.checked_mul(1000)? + format!("{part:0<3}").get(..3)?.parse::<u32>().ok()?;
    let nominal = milli.div_ceil(1000);
    let ntsc = u64::from(nominal) * 1_000_000 / 1001;
    if !milli.is_multiple_of(1000) && ntsc.abs_diff(milli.into()) <= 10 {
        return FrameRate::new(nominal.checked_mul(1000)?, 1001);
    }
    FrameRate::new(milli, 1000)
}

/// A frame, a second, a minute or an hour, or `a..b`.
fn timecodes(text: &str) -> Option<Expr> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    Some(Expr::Timecode(timecode(from)?.0, timecode(to)?.1))
}

/// Its first and its last frame. More frames than a second has come after all that it has.
fn timecode(text: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = text.split([':', ';']).collect();
    let number = |(part, most): (&&str, u32)| {
        let digits = !part.is_empty() && part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<u32>().ok().filter(|n| digits && *n <= most)
    };
    let known: Option<Vec<u32>> = parts.iter().zip([23, 59, 59, 999]).map(number).collect();
    let known = known.filter(|_| parts.len() <= 4)?;
    let filled = |rest: [u32; 4]| {
        let all: Vec<String> = (0..4).map(|i| format!("{:02}", known.get(i).copied().unwrap_or(rest[i]))).collect();
        all.join(":")
    };
    Some((filled([0; 4]), filled([23, 59, 59, 999])))
}

/// A day, a month, a year, or `a..b` where one end may be open.
fn dates(text: &str) -> Option<Expr> {
    let Some((from, to)) = text.split_once("..") else {
        return days(text).map(|(a, b)| Expr::Date(Some(a), Some(b)));
    };
    let end = |t: &str| if t.is_empty() { Some(None) } else { days(t).map(Some) };
    match (end(from)?, end(to)?) {
        (None, None) => None,
        (Some(a), Some(b)) => Some(Expr::Date(Some(a.0.min(b.0)), Some(a.1.max(b.1)))),
        (a, b) => Some(Expr::Date(a.map(|d| d.0), b.map(|d| d.1))),
    }
}

/// First and last day of `2024-01-05`, `20240105`, `2024-01` or `2024`.
fn days(text: &str) -> Option<(Date, Date)> {
    if !text.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        return None;
    }
    let compact = text.len() == 8 && !text.contains('-');
    let parts: Vec<&str> = if compact { vec![&text[..4], &text[4..6], &text[6..]] } else { text.split('-').collect() };
    let year = parts.first().filter(|y| y.len() == 4)?.parse().ok()?;
    let number = |at: usize| parts.get(at).filter(|p| matches!(p.len(), 1 | 2)).and_then(|p| p.parse::<i8>().ok());
    match parts.len() {
        1 => Some((Date::new(year, 1, 1).ok()?, Date::new(year, 12, 31).ok()?)),
        2 => Date::new(year, number(1)?, 1).ok().map(|d| (d, d.last_of_month())),
        3 => Date::new(year, number(1)?, number(2)?).ok().map(|d| (d, d)),
        _ => None,
    }
}

fn state(text: &str) -> Option<State> {
    let text = text.to_lowercase();
    match text.as_str() {
        "unproven" | "unverified" => Some(State::Unproven),
        "safe" => Some(State::Safe),
        other => MediaState::from_name(other).map(State::Media),
    }
}

fn part(text: &str) -> Option<Part> {
    Some(match text.to_lowercase().as_str() {
        "proxy" => Part::Proxy,
        "poster" => Part::Poster,
        "sound" => Part::Sound,
        "timecode" => Part::Timecode,
        "sidecar" => Part::Sidecar,
        _ => return None,
    })
}

pub(super) fn sort(text: &str) -> Option<Sort> {
    let (descending, key) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let key = match key.to_lowercase().as_str() {
        "date" => SortKey::Date,
        "name" => SortKey::Name,
        "roll" => SortKey::Roll,
        "camera" => SortKey::Camera,
        "duration" => SortKey::Duration,
        _ => return None,
    };
    Some(Sort { key, descending })
}

/// The limit, and whether it was lowered to what is allowed.
pub(super) fn limit(text: &str) -> Option<(usize, bool)> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    match text.parse::<usize>() {
        Ok(0) => None,
        Ok(n) => Some((n.min(MAX_LIMIT), n > MAX_LIMIT)),
        Err(_) => Some((MAX_LIMIT, true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_editors_write_them() {
        let rate = |t| fps(t).map(|r| (r.num(), r.den()));
        assert_eq!(rate("25"), Some((25, 1)));
        for ntsc in ["23.976", "23.98", "24000/1001", "23.9760"] {
            assert_eq!(rate(ntsc), Some((24_000, 1001)), "{ntsc}");
        }
        assert_eq!(rate("29.97"), Some((30_000, 1001)));
        assert_eq!(rate("59.94"), Some((60_000, 1001)));
        assert_eq!(rate("119.88"), Some((120_000, 1001)));
        assert_eq!(rate("12.5"), Some((25, 2)));
        for bad in ["", "fast", "0", "-25", "25.", "1/0", "99999999999", "2\u{665}"] {
            assert_eq!(rate(bad), None, "{bad}");
        }
    }

    #[test]
    fn dates_are_days_months_years_and_ranges() {
        let range = |t: &str| match dates(t) {
            Some(Expr::Date(a, b)) => {
                format!(
                    "{}..{}",
                    a.map_or(String::new(), |d| d.to_string()),
                    b.map_or(String::new(), |d| d.to_string())
                )
            }
            _ => "none".into(),
        };
        assert_eq!(range("2024-01-05"), "2024-01-05..2024-01-05");
        assert_eq!(range("20240105"), "2024-01-05..2024-01-05");
        assert_eq!(range("2024-02"), "2024-02-01..2024-02-29");
        assert_eq!(range("2024"), "2024-01-01..2024-12-31");
        assert_eq!(range("2024-01-05..2024-01-07"), "2024-01-05..2024-01-07");
        assert_eq!(range("2024-01-07..2024-01-05"), "2024-01-05..2024-01-07");
        assert_eq!(range("2024-01-07.."), "2024-01-07..");
        assert_eq!(range("..2023"), "..2023-12-31");
        for bad in ["", "..", "2024-13-01", "2024-02-30", "yesterday", "2024-1-2-3", "5", "2024-01-05..x", "é024"] {
            assert_eq!(range(bad), "none", "{bad}");
        }
    }
}
