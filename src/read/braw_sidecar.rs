//! Blackmagic RAW beside the clip: the `.sidecar` that a camera or Resolve writes (JSON, its values override those in
//! the clip), and the listing of all metadata that the maker's own player prints (`.metadata.txt`).

use super::wording::{self, Sheet};
use crate::fact::{Fact, Field};
use crate::timecode::FrameRate;
use serde_json::Value;

/// With a LUT inside, a sidecar has one or two megabytes.
const MAX_BYTES: usize = 16 << 20;
const MAX_KEYS: usize = 2000;

/// Of a `.sidecar`. `None`: no JSON object, or none with a key of Blackmagic's.
pub fn facts(bytes: &[u8]) -> Option<Vec<Fact>> {
    let text = wording::text(bytes, MAX_BYTES)?;
    // A LUT is written over many lines, which JSON has no room for within a text.
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let Value::Object(map) = serde_json::from_str(&one_line).ok()? else { return None };
    let mut pairs = Vec::new();
    for (key, value) in map.iter().take(MAX_KEYS) {
        match value {
            Value::String(s) => pairs.push((key.as_str(), s.clone())),
            Value::Number(_) | Value::Bool(_) => pairs.push((key.as_str(), value.to_string())),
            _ => {}
        }
    }
    let facts = of(&pairs);
    (!facts.is_empty()).then_some(facts)
}

/// Of a `.metadata.txt`: values of the clip, then of its first frame. `None`: not such a listing.
pub fn listing_facts(bytes: &[u8]) -> Option<Vec<Fact>> {
    let text = wording::text(bytes, MAX_BYTES)?;
    // Without the end of its line the last value may be cut.
    let (text, _) = text.rsplit_once('\n')?;
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    if lines.next()? != "Clip Metadata" {
        return None;
    }
    let pairs = lines.take(MAX_KEYS).filter_map(|l| l.split_once(':')).map(|(k, v)| (k.trim(), v.trim().to_owned()));
    Some(of(&pairs.collect::<Vec<_>>()))
}

fn of(pairs: &[(&str, String)]) -> Vec<Fact> {
    let get = |key: &str| pairs.iter().find(|(k, _)| *k == key).and_then(|(_, v)| wording::word(v));
    let mut sheet = Sheet::default();
    sheet.put(Field::Make, get("manufacturer"));
    sheet.put(Field::Model, get("camera_type"));
    sheet.put(Field::Serial, get("camera_id"));
    sheet.put(Field::Firmware, get("firmware_version"));
    sheet.put(Field::Camera, get("camera_number"));
    sheet.put(Field::Reel, get("reel_name"));
    sheet.put(Field::ClipName, get("clip_number"));
    sheet.put(Field::Project, get("project_name"));
    sheet.put(Field::Scene, get("scene"));
    sheet.put(Field::Take, get("take"));
    sheet.put(Field::Circled, get("good_take").and_then(wording::yes));
    sheet.put(Field::RecordedAt, get("date_recorded").and_then(|d| wording::moment(d).or_else(|| wording::day(d))));
    sheet.put(Field::Fps, get("format_frame_rate").and_then(fixed_point));
    let sensor = get("sensor_rate").and_then(|r| r.trim_end_matches(',').split_once(','));
    let sensor = sensor.and_then(|(num, den)| wording::rate(&format!("{num}/{den}")));
    sheet.put(Field::SensorFps, sensor.map(FrameRate::fraction));
    sheet.put(Field::Log, get("viewing_gamma"));
    sheet.put(Field::Gamut, get("viewing_gamut"));
    sheet.put(Field::Look, look(&get));
    sheet.put(Field::Iso, get("iso").and_then(wording::iso));
    sheet.put(Field::WhiteBalance, get("white_balance_kelvin").and_then(wording::kelvin));
    sheet.put(Field::Tint, get("white_balance_tint").and_then(wording::decimal));
    sheet.put(Field::ShutterAngle, get("shutter_value").filter(|v| v.contains('°')).and_then(wording::angle));
    sheet.put(Field::ShutterSpeed, get("shutter_value").and_then(|v| wording::shutter(v, false)));
    sheet.put(Field::Lens, get("lens_type"));
    sheet.put(Field::Aperture, get("aperture").and_then(|a| wording::aperture(a, None)));
    sheet.put(Field::FocalLength, get("focal_length").and_then(wording::millimetres));
    sheet.put(Field::FocusDistance, get("distance").and_then(|d| wording::metres(d, "")));
    sheet.put(Field::Nd, get("internal_nd").and_then(wording::nd));
    let squeezed = get("anamorphic_enable").and_then(wording::yes) == Some("1");
    sheet.put(Field::Note, get("anamorphic").filter(|_| squeezed).map(|a| format!("anamorphic squeeze {a}")));
    sheet.done()
}

/// The LUT that is switched on.
fn look<'a>(get: &impl Fn(&str) -> Option<&'a str>) -> Option<&'a str> {
    let mode = get("post_3dlut_mode")?.to_ascii_lowercase();
    let kind = ["embedded", "sidecar"].into_iter().find(|k| mode.contains(k))?;
    get(&format!("post_3dlut_{kind}_name"))
}

/// 24 is 1572864: sixteen bits below the point.
fn fixed_point(text: &str) -> Option<String> {
    let n: u32 = text.parse().ok().filter(|n| (1 << 16..1000 << 16).contains(n))?;
    let milli = (u64::from(n) * 1000 + 32_768) >> 16;
    FrameRate::of_milli(u32::try_from(milli).ok()?).map(FrameRate::fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::told::{all, said, sample};

    #[test]
    fn a_players_listing_is_read() {
        let Some(bytes) = sample("sidecars/blackmagic/A001_04190112_C102.metadata.txt") else { return };
        let want = [
            (Field::Make, "Blackmagic Design"),
            (Field::Model, "Blackmagic URSA Mini Pro 12K"),
            (Field::Serial, "7ef33b36-a5ba-4a04-b218-0afc7eb1f8b6"),
            (Field::Firmware, "7.2.1"),
            (Field::Camera, "A"),
            (Field::Reel, "1"),
            (Field::ClipName, "A001_04190112_C102"),
            (Field::Scene, "1"),
            (Field::Take, "99"),
            (Field::Circled, "0"),
            (Field::RecordedAt, "2021-04-19"),
            (Field::Fps, "24/1"),
            (Field::SensorFps, "48/1"),
            (Field::Log, "Blackmagic Design Film"),
            (Field::Gamut, "Blackmagic Design"),
            (Field::Iso, "800"),
            (Field::WhiteBalance, "6000"),
            (Field::Tint, "0"),
            (Field::ShutterAngle, "180"),
            (Field::Lens, "Cooke Anamorphic /i Prime Lens 50mm"),
            (Field::Aperture, "T2.3"),
            (Field::FocalLength, "50"),
            (Field::FocusDistance, "0.991"),
            (Field::Nd, "6"),
            (Field::Note, "anamorphic squeeze 2x"),
        ];
        let whole = listing_facts(&bytes).unwrap();
        assert_eq!(all(&whole), want);
        for at in 0..bytes.len() {
            let cut = listing_facts(&bytes[..at]).unwrap_or_default();
            assert!(cut.iter().all(|f| whole.contains(f)), "cut at {at}");
        }
        assert_eq!(listing_facts(b"Clip list\na: b"), None);
        assert_eq!(fixed_point("1571291").as_deref(), Some("24000/1001"));
    }

    #[test]
    fn a_sidecar_with_a_lut_of_many_lines_is_read() {
        let text = "{\n\"iso\": 400,\n\"white_balance_kelvin\": 5600,\n\"white_balance_tint\": 10,\n\"viewing_gamma\": \
            \"Blackmagic Design Film\",\n\"post_3dlut_mode\": \"Sidecar 3D LUT\",\n\"post_3dlut_sidecar_name\": \"day.cube\",\n\
            \"post_3dlut_sidecar_data\": \"0 0 0\n1 1 1\n\",\n\"take\": {\"x\": 1}\n}\n";
        let facts = facts(text.as_bytes()).unwrap();
        for (field, want) in [
            (Field::Iso, Some("400")),
            (Field::WhiteBalance, Some("5600")),
            (Field::Tint, Some("10")),
            (Field::Log, Some("Blackmagic Design Film")),
            (Field::Look, Some("day.cube")),
            (Field::Take, None),
        ] {
            assert_eq!(said(&facts, field), want, "{field:?}");
        }
        for at in 0..text.trim_end().len() {
            assert_eq!(super::facts(&text.as_bytes()[..at]), None, "cut at {at}");
        }
        let wide: Vec<u8> = std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect();
        assert_eq!(super::facts(&wide), Some(facts));
    }

    #[test]
    fn other_json_is_not_mine() {
        let deep = "[".repeat(100_000);
        for bad in ["", "[]", "{}", "{\"a\": 1}", "{\"iso\": \"x\"}", deep.as_str()] {
            assert_eq!(facts(bad.as_bytes()), None);
        }
        let off = "{\"iso\": 1, \"post_3dlut_mode\": \"Disabled\", \"post_3dlut_embedded_name\": \"x\"}";
        assert_eq!(said(&facts(off.as_bytes()).unwrap(), Field::Look), None);
    }
}
