//! Durations, sizes and rates as people write them: `30d`, `4h`, `90s`, `1GiB`, `200MB/s`.

use std::time::Duration;

const DURATIONS: [(&str, u64); 7] =
    [("ms", 1), ("s", 1000), ("min", 60_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// Decimal units are powers of 1000, as on the label of a disk; `KiB` and so on are powers of 1024.
const SIZES: [(&str, u64); 11] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("", 1),
];

/// `30d`, `4h`, `90s`, `250ms`, `1h30m`. A bare number is refused: nobody knows its unit.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("\"{text}\" is no duration: write a number and ms, s, m, h, d or w, such as 4h or 30d");
    let mut rest = text.trim();
    let mut total_ms = 0u64;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let after = &rest[digits..];
        let unit = &after[..after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len())];
        let (_, ms) = DURATIONS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(bad)?;
        let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
        total_ms = number.checked_mul(*ms).and_then(|n| n.checked_add(total_ms)).ok_or_else(bad)?;
        rest = &after[unit.len()..];
    }
    Ok(Duration::from_millis(total_ms))
}

/// Bytes: `1GiB`, `500 MB`, `1.5TB`, `4096`.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || format!("\"{text}\" is no size: write a number and B, kB, MB, GB, TB, KiB, MiB, GiB or TiB");
    let text_ = text.trim();
    let at = text_.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text_.len());
    let (number, unit) = (&text_[..at], text_[at..].trim());
    let (_, scale) = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || part.len() > 6 || (number.contains('.') && (part.is_empty() || *scale == 1)) {
        return Err(bad());
    }
    let tenths: u128 = format!("{whole}{part}").parse().map_err(|_| bad())?;
    let bytes = tenths.checked_mul(u128::from(*scale)).ok_or_else(bad)? / 10u128.pow(part.len() as u32);
    u64::try_from(bytes).map_err(|_| bad())
}

/// Bytes a second: `200MB/s`; never 0.
pub fn parse_rate(text: &str) -> Result<u64, String> {
    let bad = || format!("\"{text}\" is no rate: write a size and /s, such as 200MB/s");
    match parse_size(text.trim().strip_suffix("/s").ok_or_else(bad)?) {
        Ok(0) | Err(_) => Err(bad()),
        Ok(bytes) => Ok(bytes),
    }
}

/// The shortest text that [`parse_duration`] reads back as the same value.
pub fn duration_text(d: Duration) -> String {
    let ms = d.as_millis() as u64;
    let mut units: Vec<_> = DURATIONS.iter().filter(|(name, _)| !matches!(*name, "w" | "min")).collect();
    units.sort_by_key(|(_, scale)| std::cmp::Reverse(*scale));
    let fits = units.iter().find(|(_, scale)| ms.is_multiple_of(*scale) && ms >= *scale);
    fits.map_or_else(|| "0s".into(), |(name, scale)| format!("{}{name}", ms / scale))
}

/// The shortest text that [`parse_size`] reads back as the same value.
pub fn size_text(bytes: u64) -> String {
    let mut units: Vec<_> = SIZES.iter().filter(|(name, _)| !matches!(*name, "" | "KB")).collect();
    units.sort_by_key(|(_, scale)| std::cmp::Reverse(*scale));
    let fits = units.iter().find(|(_, scale)| bytes.is_multiple_of(*scale) && bytes >= *scale);
    fits.map_or_else(|| "0B".into(), |(name, scale)| format!("{}{name}", bytes / scale))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, secs) in [("90s", 90), ("4h", 14_400), ("30d", 2_592_000), ("1h30m", 5400), (" 2 min ", 120)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(secs)), "{text}");
        }
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["", "4", "h", "4x", "-4h", "4h5", "99999999999999999999d", "999999999999999999d", "4.5h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let gib = 1 << 30;
        for (text, bytes) in [("1GiB", gib), ("500 MB", 500_000_000), ("1.5TB", 1_500_000_000_000), ("0", 0), ("7", 7)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "GB", "1.GB", ".5GB", "1.5", "1.5B", "1XB", "-1B", "99999999999TB", "1..5GB", "1gb"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_rate("200MB/s"), Ok(200_000_000));
        for bad in ["200MB", "0MB/s", "/s", "fast"] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(n in any::<u32>(), bytes in any::<u64>()) {
            for d in [Duration::from_secs(n.into()), Duration::from_millis(n.into())] {
                prop_assert_eq!(parse_duration(&duration_text(d)), Ok(d));
            }
            prop_assert_eq!(parse_size(&size_text(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (parse_duration(&text), parse_size(&text), parse_rate(&text));
        }
    }
}
