//! The subtitles beside a drone's clip, which hold what its screen showed. Every model has its own dialect, and many
//! files are damaged; the first caption is read, word by word.

use super::wording::{self, Sheet};
use crate::fact::{Fact, Field};

/// The first caption lies at the start; the file has one a frame.
const HEAD_BYTES: usize = 16 << 10;
const CAPTION_BYTES: usize = 4 << 10;

/// Nothing for subtitles that are none of a camera.
pub fn facts(bytes: &[u8]) -> Vec<Fact> {
    let mut sheet = Sheet::default();
    if let Some(caption) = wording::text(&bytes[..bytes.len().min(HEAD_BYTES)], HEAD_BYTES).and_then(|t| first(&t)) {
        read(&Caption { lower: caption.to_ascii_lowercase(), text: caption }, &mut sheet);
    }
    // A time alone stands above any subtitle.
    let facts = sheet.done();
    if facts.iter().all(|f| f.field == Field::RecordedAt) { Vec::new() } else { facts }
}

/// The lines of the first caption, without marks of a font, up to the first empty line below its number. `None` where
/// the file ends in them: the last value may be cut.
fn first(text: &str) -> Option<String> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let body = text.trim_start();
    let end = body.find("\n\n").or_else(|| body.ends_with('\n').then_some(body.len()))?;
    let mut out = String::new();
    let mut in_tag = false;
    for c in body[..end].chars() {
        match c {
            '<' => in_tag = true,
            '>' if in_tag => in_tag = false,
            c if !in_tag => out.push(c),
            _ => {}
        }
        if out.len() > CAPTION_BYTES {
            return None;
        }
    }
    Some(out)
}

fn read(c: &Caption, sheet: &mut Sheet) {
    sheet.put(Field::Iso, c.value("iso").and_then(wording::iso));
    let shutter = c.value("shutter").and_then(|s| wording::shutter(s, !s.contains('.')));
    // `SS 30.15`: one part in so many of a second.
    sheet.put(Field::ShutterSpeed, shutter.or_else(|| c.value("ss").and_then(|s| wording::shutter(s, true))));
    sheet.put(Field::Aperture, c.value("fnum").and_then(aperture));
    sheet.put(Field::Aperture, c.after("f/").and_then(end).and_then(|f| wording::aperture(f, Some('F'))));
    sheet.put(Field::WhiteBalance, c.value("ct").and_then(wording::kelvin));
    sheet.put(Field::FocalLength, c.value("focal_len").and_then(focal_length));
    sheet.put(Field::Log, c.value("color_md").and_then(curve));
    sheet.put(Field::Gps, place(c));
    sheet.put(Field::RecordedAt, c.text.lines().find_map(time));
}

/// Firmware writes 280 or 2.8; no lens here is slower than F99.
fn aperture(text: &str) -> Option<String> {
    let hundredths = wording::whole(text).and_then(|n| n.parse::<u32>().ok()).filter(|n| *n >= 100);
    match hundredths {
        Some(n) => wording::aperture(&format!("{}.{:02}", n / 100, n % 100), Some('F')),
        None => wording::aperture(text, Some('F')),
    }
}

/// Likewise 240 or 24.00, as on full frame.
fn focal_length(text: &str) -> Option<String> {
    let tenths = wording::whole(text).filter(|_| !text.contains('.')).and_then(|n| n.parse::<u32>().ok());
    match tenths.filter(|n| *n >= 100) {
        Some(n) => wording::millimetres(&format!("{}.{}", n / 10, n % 10)),
        None => wording::millimetres(text),
    }
}

fn curve(text: &str) -> Option<String> {
    Some(match text.to_ascii_lowercase().as_str() {
        "default" => return None,
        "dlog_m" => "D-Log M".into(),
        "dlog" => "D-Log".into(),
        "dcinelike" => "D-Cinelike".into(),
        "hlg" => "HLG".into(),
        _ => text.to_owned(),
    })
}

/// `[latitude: ..] [longitude: ..]`, once spelt "longtitude", or `GPS(lon, lat, n)`, where n counts satellites.
fn place(c: &Caption) -> Option<String> {
    if let Some(lat) = c.value("latitude") {
        let lon = c.value("longitude").or_else(|| c.value("longtitude"))?;
        // The height over the start is not the one that maps mean.
        let height = c.value("abs_alt").or_else(|| c.value("altitude"));
        return wording::place(lat, lon, height);
    }
    let inside = c.after("gps").and_then(|t| t.trim_start().strip_prefix('('))?.split(')').next()?;
    let (lon, rest) = inside.split_once(',')?;
    wording::place(rest.split(',').next()?, lon, None)
}

/// A line that is a date and a time, or ends in them after `HOME(..)`.
fn time(line: &str) -> Option<String> {
    let line = line.rsplit_once(')').map_or(line, |(_, rest)| rest).trim();
    wording::moment(line)
}

struct Caption {
    text: String,
    lower: String,
}

impl Caption {
    /// What follows `mark`, which begins a word.
    fn after(&self, mark: &str) -> Option<&str> {
        let bytes = self.lower.as_bytes();
        let mut found = self.lower.match_indices(mark).map(|(at, _)| at);
        let at = found.find(|at| *at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_'))?;
        self.text.get(at + mark.len()..)
    }

    /// The word after `key`, with or without a colon between.
    fn value(&self, key: &str) -> Option<&str> {
        let mut rest = self.after(key)?;
        if rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            return None;
        }
        rest = rest.trim_start_matches([' ', '\t']);
        rest = rest.strip_prefix(':').unwrap_or(rest).trim_start_matches([' ', '\t']);
        end(rest)
    }
}

/// A value up to where it ends.
fn end(text: &str) -> Option<&str> {
    text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | ')')).next().filter(|v| !v.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::told::{all, sample};
    use proptest::prelude::*;

    fn of(name: &str) -> Option<Vec<String>> {
        let bytes = sample(&format!("sidecars/dji_srt/{name}"))?;
        Some(facts(&bytes).iter().map(|f| format!("{}={}", f.field.name(), f.value)).collect())
    }

    #[test]
    fn every_dialect_is_read() {
        let Some(air) = of("air2s.srt") else { return };
        let air_wants = [
            "iso=100",
            "shutter_speed=1/80",
            "aperture=F2.8",
            "white_balance=5744",
            "focal_length=24",
            "gps=41.424724,2.234156,117",
            "recorded_at=2022-08-07T13:40:40",
        ];
        assert_eq!(air, air_wants);
        let want: [(&str, &[&str]); 9] = [
            (
                "Avata360_clip.SRT",
                &[
                    "iso=200",
                    "shutter_speed=1/6400",
                    "aperture=F1.9",
                    "white_balance=5845",
                    "focal_length=28",
                    "log=D-Log M",
                    "gps=53.36508,6.460739,-124.744",
                    "recorded_at=2026-05-27T13:10:00",
                ],
            ),
            (
                "air3_clip.SRT",
                &[
                    "iso=100",
                    "shutter_speed=1/1000",
                    "aperture=F2.8",
                    "gps=59.1111,18.2222,105",
                    "recorded_at=2024-01-01T12:00:00",
                ],
            ),
            ("mini4pro_clip.SRT", &["iso=100", "shutter_speed=1/30", "aperture=F1.7", "gps=59,18,100"]),
            (
                "mavic_2_style.SRT",
                &[
                    "iso=100",
                    "shutter_speed=1/60",
                    "aperture=F2.2",
                    "gps=-20.2533,149.0251",
                    "recorded_at=2017-08-05T14:11:51",
                ],
            ),
            ("mavic_mini.SRT", &["iso=260", "shutter_speed=1/30.15", "aperture=F2.8", "gps=48.0771,-121.7458"]),
            ("p4_rtk.SRT", &["iso=100", "shutter_speed=1/400", "aperture=F5.6", "gps=-34.237922,-58.851745"]),
            (
                "mavic_pro.SRT",
                &[
                    "iso=100",
                    "shutter_speed=1/60",
                    "aperture=F2.2",
                    "gps=-20.2533,149.0251",
                    "recorded_at=2017-08-05T14:11:51",
                ],
            ),
            (
                "broken_incomplete.SRT",
                &[
                    "iso=100",
                    "shutter_speed=1/400",
                    "aperture=F2.8",
                    "gps=-34.7383,-58.4563",
                    "recorded_at=2017-07-03T10:15:03",
                ],
            ),
            ("broken_empty.SRT", &[]),
        ];
        for (name, want) in want {
            assert_eq!(of(name).unwrap(), want, "{name}");
        }
    }

    #[test]
    fn other_subtitles_say_nothing() {
        for text in [
            "1\n00:00:01,000 --> 00:00:02,000\nI saw him at the gps (somewhere).\n\n",
            "1\n00:00:01,000 --> 00:00:02,000\n2022-08-07 13:40:40\n\n",
            "1\n00:00:01,000 --> 00:00:02,000\n<i>Isola, the shutters: 1/\n\n",
            "\n\n\n",
            "1",
        ] {
            assert!(facts(text.as_bytes()).is_empty(), "{text:?}");
        }
    }

    #[test]
    fn no_fix_is_no_place_and_a_cut_caption_says_nothing() {
        let text = "1\n00:00:00,000 --> 00:00:00,033\n[iso : 100] [latitude: 0.000000] [longitude: 0.000000]\n\n";
        assert_eq!(all(&facts(text.as_bytes())), [(Field::Iso, "100")]);
        for at in 0..text.len() - 2 {
            assert!(facts(&text.as_bytes()[..at]).is_empty(), "cut at {at}");
        }
        let wide: Vec<u8> = std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        assert_eq!(all(&facts(&wide)), [(Field::Iso, "100")]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(t in "(iso|gps|f/|shutter|latitude|é|\\(|:|1/|[0-9.,<> ]){0,30}\n\n", b in proptest::collection::vec(any::<u8>(), 0..100)) {
            facts(t.as_bytes());
            facts(&b);
        }
    }
}
