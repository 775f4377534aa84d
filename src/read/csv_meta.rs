//! Sheets of one clip that makers' tools write beside it, told apart by their columns: REDline's static metadata, ARRI
//! Meta Extract (one row a frame, parted by tabs), and Sony's lens data (one row a frame). The first row is read.

use super::wording::{self, Sheet};
use crate::fact::{Fact, Field};
use crate::timecode::FrameRate;

/// Head and first row; the rest is one row a frame.
const HEAD_BYTES: usize = 256 << 10;
const MAX_COLUMNS: usize = 2000;

/// `None`: not a sheet of a kind known here, or without a whole first row.
pub fn facts(bytes: &[u8]) -> Option<Vec<Fact>> {
    let cut = bytes.len() > HEAD_BYTES;
    let text = wording::text(&bytes[..bytes.len().min(HEAD_BYTES)], HEAD_BYTES)?;
    let (head, _) = text.split_once(['\n', '\r'])?;
    let separator = if head.contains('\t') { '\t' } else { ',' };
    let mut rows = Rows { rest: &text, separator };
    let names = rows.next()?;
    let mut values = rows.next()?;
    if values.len() < names.len() || (cut && rows.rest.is_empty()) {
        return None;
    }
    if rows.rest.is_empty() {
        // Without the end of its line the last value may be cut.
        values.pop();
    }
    let sheet = Columns { names, values };
    let has = |all: &[&str]| all.iter().all(|n| sheet.names.iter().any(|c| c == n));
    if has(&["Camera PIN", "Abs TC", "Clip Name"]) {
        Some(red(&sheet))
    } else if has(&["Master TC", "Camera Clip Name", "Exposure Index ASA"]) {
        Some(arri(&sheet))
    } else if has(&["Timecode", "Clip Name", "Lens Model", "Camera Model"]) {
        Some(sony(&sheet))
    } else {
        None
    }
}

fn red(c: &Columns) -> Vec<Fact> {
    let mut sheet = Sheet::default();
    let plays = c.get("FPS").and_then(wording::rate);
    sheet.put(Field::ClipId, c.get("UUID"));
    sheet.put(Field::ClipName, c.get("Clip Name"));
    sheet.put(Field::Make, Some("RED"));
    sheet.put(Field::Model, c.get("Camera Model"));
    sheet.put(Field::Serial, c.get("Camera PIN"));
    sheet.put(Field::Firmware, c.get("Firmware Version"));
    sheet.put(Field::Camera, c.get("Camera"));
    sheet.put(Field::Reel, c.get("CamReelID").or_else(|| c.get("ReelID")));
    sheet.put(Field::Project, c.get("Project").or_else(|| c.get("Production Name")));
    sheet.put(Field::Scene, c.get("Scene"));
    sheet.put(Field::Shot, c.get("Shot"));
    sheet.put(Field::Take, c.get("Take"));
    sheet.put(Field::Circled, c.get("Circle").and_then(wording::yes));
    sheet.put(Field::StartTc, c.get("Abs TC").and_then(|t| wording::timecode(t, plays)));
    sheet.put(Field::Fps, plays.map(FrameRate::fraction));
    sheet.put(Field::SensorFps, c.get("Record FPS").and_then(wording::rate).map(FrameRate::fraction));
    sheet.put(Field::Duration, c.get("Total Frames").and_then(wording::count));
    sheet.put(Field::Width, c.get("Frame Width").and_then(wording::count));
    sheet.put(Field::Height, c.get("Frame Height").and_then(wording::count));
    sheet.put(Field::Codec, c.get("REDCODE"));
    sheet.put(Field::Iso, c.get("ISO").and_then(wording::iso));
    sheet.put(Field::WhiteBalance, c.get("Kelvin").and_then(wording::kelvin));
    sheet.put(Field::Tint, c.get("Tint").and_then(wording::decimal));
    sheet.put(Field::ShutterAngle, c.get("Shutter (deg)").and_then(wording::angle));
    sheet.put(Field::ShutterSpeed, c.get("Shutter (1/sec)").and_then(|t| wording::shutter(t, true)));
    sheet.put(Field::Aperture, c.get("Aperture").and_then(|t| wording::aperture(t, None)));
    sheet.put(Field::FocalLength, c.get("Focal Length").and_then(wording::millimetres));
    sheet.put(Field::FocusDistance, c.get("Focus Distance").and_then(|t| wording::metres(t, "")));
    let lens = c.get("Lens Name").map(|name| match c.get("Lens Brand") {
        Some(brand) if !name.contains(brand) => format!("{brand} {name}"),
        _ => name.to_owned(),
    });
    sheet.put(Field::Lens, c.get("Lens").map(str::to_owned).or(lens));
    sheet.put(Field::LensSerial, c.get("Lens Serial Number"));
    sheet.put(Field::Nd, c.get("MotionMountND").and_then(wording::nd));
    sheet.put(Field::Look, c.get("Look Name").or_else(|| c.get("Camera 3D LUT")));
    // `20220303` and `132146`.
    let day = c.get("Date").and_then(wording::day);
    let time = c.get("Timestamp").filter(|t| t.len() == 6 && t.bytes().all(|b| b.is_ascii_digit()));
    let both = day.as_ref().zip(time).map(|(d, t)| format!("{d} {}:{}:{}", &t[..2], &t[2..4], &t[4..]));
    sheet.put(Field::RecordedAt, both.and_then(|t| wording::moment(&t)).or(day));
    sheet.put(Field::Note, c.get("Camera Notes"));
    sheet.put(Field::Note, c.get("Notes"));
    sheet.done()
}

fn arri(c: &Columns) -> Vec<Fact> {
    let mut sheet = Sheet::default();
    let plays = c.get("Project FPS").and_then(wording::rate);
    sheet.put(Field::ClipId, c.get("SMPTE UMID").or_else(|| c.get("UUID")));
    sheet.put(Field::ClipName, c.get("Camera Clip Name"));
    sheet.put(Field::Make, Some("ARRI"));
    sheet.put(Field::Model, c.get("Camera Model"));
    sheet.put(Field::Serial, c.get("Camera Serial Number"));
    sheet.put(Field::Firmware, c.get("Camera SUP Name"));
    sheet.put(Field::Camera, c.get("Camera Index").map(|i| i.trim_end_matches('_')));
    sheet.put(Field::Reel, c.get("Reel"));
    sheet.put(Field::Project, c.get("Production"));
    sheet.put(Field::Scene, c.get("Scene"));
    sheet.put(Field::Take, c.get("Take"));
    sheet.put(Field::Circled, c.get("Circle Take").and_then(wording::yes));
    // Whether frames are dropped stands in a column of its own.
    let drop = c.get("Master TC Drop Frame").and_then(wording::yes) == Some("1");
    let start = c.get("Master TC").and_then(|t| match drop {
        true => t.rsplit_once([':', ';']).and_then(|(t, f)| wording::timecode(&format!("{t};{f}"), plays)),
        false => wording::timecode(t, plays),
    });
    sheet.put(Field::StartTc, start);
    sheet.put(Field::Fps, plays.map(FrameRate::fraction));
    sheet.put(Field::SensorFps, c.get("Sensor FPS").and_then(wording::rate).map(FrameRate::fraction));
    sheet.put(Field::Width, c.get("Image Width").and_then(wording::count));
    sheet.put(Field::Height, c.get("Image Height").and_then(wording::count));
    sheet.put(Field::Codec, c.get("Recording Codec"));
    sheet.put(Field::Log, c.get("Target Color Space"));
    sheet.put(Field::Iso, c.get("Exposure Index ASA").and_then(wording::iso));
    sheet.put(Field::WhiteBalance, c.get("White Balance").and_then(wording::kelvin));
    sheet.put(Field::Tint, c.get("White Balance CC").and_then(wording::decimal));
    sheet.put(Field::ShutterAngle, c.get("Shutter Angle").and_then(wording::angle));
    sheet.put(Field::Lens, c.get("Lens Model"));
    sheet.put(Field::LensSerial, c.get("Lens Serial Number"));
    sheet.put(Field::Aperture, c.get("Lens Iris").and_then(|t| wording::aperture(t, Some('T'))));
    sheet.put(Field::FocalLength, c.get("Lens Focal Length").and_then(wording::millimetres));
    let unit = c.get("Lens Distance Unit").unwrap_or_default();
    sheet.put(Field::FocusDistance, c.get("Lens Focus Distance").and_then(|t| wording::metres(t, unit)));
    sheet.put(Field::Nd, c.get("ND Filter Density").or_else(|| c.get("ND Filter Type")).and_then(wording::nd));
    sheet.put(Field::Look, c.get("Look Name").or_else(|| c.get("Custom LUT File Name")));
    // Whether the clock or the zone is meant to be added, only a zone of nothing leaves without question.
    let zone = c.get("System Image Timezone Offset").zip(c.get("System Image Timezone DST"));
    let utc = if zone == Some(("UTC+00:00", "00:00")) { "Z" } else { "" };
    let made = c.get("System Image Creation Date").zip(c.get("System Image Creation Time"));
    sheet.put(Field::RecordedAt, made.and_then(|(day, time)| wording::moment(&format!("{day} {time}{utc}"))));
    sheet.done()
}

/// The rate that its timecode counts in stands nowhere in it.
fn sony(c: &Columns) -> Vec<Fact> {
    let mut sheet = Sheet::default();
    sheet.put(Field::ClipName, c.get("Clip Name"));
    sheet.put(Field::Make, Some("Sony"));
    sheet.put(Field::Model, c.get("Camera Model").map(wording::sony_model));
    sheet.put(Field::StartTc, c.get("Timecode").and_then(|t| wording::timecode(t, None)));
    // Some lenses give a number in place of a name.
    sheet.put(Field::Lens, c.get("Lens Model").filter(|m| wording::decimal(m).is_none()));
    sheet.put(Field::LensSerial, c.get("Lens Serial"));
    sheet.put(Field::FocalLength, c.get("Focal Length (mm)").and_then(wording::millimetres));
    sheet.put(Field::Aperture, c.get("Aperture").and_then(|t| wording::aperture(t, None)));
    sheet.put(Field::FocusDistance, c.get("Focus Distance (ft)").and_then(|t| wording::metres(t, "ft")));
    sheet.put(Field::FocusDistance, c.get("Focus Distance (m)").and_then(|t| wording::metres(t, "m")));
    sheet.done()
}

struct Columns {
    names: Vec<String>,
    values: Vec<String>,
}

impl Columns {
    /// The first value of a column; REDline has some of them twice, one empty.
    fn get(&self, name: &str) -> Option<&str> {
        let mut cells = self.names.iter().zip(&self.values).filter(|(n, _)| *n == name);
        cells.find_map(|(_, v)| wording::word(v))
    }
}

/// Rows of RFC 4180, with any separator and the line ends of all systems.
struct Rows<'a> {
    rest: &'a str,
    separator: char,
}

impl Iterator for Rows<'_> {
    type Item = Vec<String>;

    /// `None` at the end, for a text in quotes that does not end, and for more columns than any sheet has.
    fn next(&mut self) -> Option<Vec<String>> {
        self.rest = self.rest.trim_start_matches(['\n', '\r']);
        if self.rest.is_empty() {
            return None;
        }
        let (mut row, mut cell, mut quoted) = (Vec::new(), String::new(), false);
        let mut chars = self.rest.char_indices().peekable();
        let mut end = self.rest.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' if quoted && chars.peek().is_some_and(|(_, n)| *n == '"') => {
                    chars.next();
                    cell.push('"');
                }
                '"' if quoted => quoted = false,
                '"' if cell.is_empty() => quoted = true,
                '\n' | '\r' if !quoted => {
                    end = at;
                    break;
                }
                c if c == self.separator && !quoted => row.push(std::mem::take(&mut cell).trim().to_owned()),
                c => cell.push(c),
            }
            if row.len() > MAX_COLUMNS {
                return None;
            }
        }
        row.push(cell.trim().to_owned());
        self.rest = &self.rest[end..];
        (!quoted).then_some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::told::{all, said, sample};
    use proptest::prelude::*;

    #[test]
    fn redline_says_what_a_camera_knew() {
        let Some(bytes) = sample("sidecars/red/A001_C066_0303LZ_001.static.csv") else { return };
        let want = [
            (Field::ClipId, "2EE4BE6E-970F-44F5-9A76-E745B8AAD967"),
            (Field::ClipName, "A001_C066_0303LZ"),
            (Field::Make, "RED"),
            (Field::Model, "RANGER MONSTRO 8K VV"),
            (Field::Serial, "130-27E-4B5"),
            (Field::Firmware, "7.4.1"),
            (Field::Camera, "A"),
            (Field::Reel, "A001"),
            (Field::Take, "066"),
            (Field::StartTc, "23:17:21:08@24/1"),
            (Field::Fps, "24/1"),
            (Field::SensorFps, "24/1"),
            (Field::Duration, "2"),
            (Field::Width, "4096"),
            (Field::Height, "2160"),
            (Field::Codec, "REDcode 8:1"),
            (Field::Iso, "250"),
            (Field::WhiteBalance, "5600"),
            (Field::Tint, "0"),
            (Field::ShutterAngle, "180"),
            (Field::ShutterSpeed, "1/48"),
            (Field::Aperture, "F5.6"),
            (Field::FocalLength, "40"),
            (Field::FocusDistance, "0.41"),
            (Field::Lens, "SIGMA 40mm T1.5 FF | 018"),
            (Field::LensSerial, "G53599764"),
            (Field::Look, "A001_C066_0303LZ-RED_FilmBias.cube"),
            (Field::RecordedAt, "2022-03-03T13:21:46"),
        ];
        assert_eq!(all(&facts(&bytes).unwrap()), want);
        for at in 0..bytes.len() {
            let _ = facts(&bytes[..at]);
        }
        let frames = sample("sidecars/red/A001_C066_0303LZ_001.frames.csv").unwrap();
        assert_eq!(facts(&frames), None);
    }

    #[test]
    fn arri_meta_extract_says_what_a_camera_knew() {
        let Some(bytes) = sample("sidecars/arri/B001C001_180327_R1ZA.mov.csv") else { return };
        let want = [
            (Field::ClipId, "e4b8a5cc-0000-4000-82e3-016200000000"),
            (Field::ClipName, "B001C001_180327_R1ZA"),
            (Field::Make, "ARRI"),
            (Field::Model, "Alexa LF Plus W"),
            (Field::Serial, "2566"),
            (Field::Firmware, "AlexaLF_2.0:41017"),
            (Field::Camera, "B"),
            (Field::Reel, "B001R1ZA"),
            (Field::Project, "ALEXA LF Samplefootage"),
            (Field::StartTc, "13:36:49:07@24/1"),
            (Field::Fps, "24/1"),
            (Field::SensorFps, "24/1"),
            (Field::Width, "1920"),
            (Field::Height, "1080"),
            (Field::Codec, "Apple ProRes 4444"),
            (Field::Log, "LOG-C"),
            (Field::Iso, "400"),
            (Field::WhiteBalance, "3200"),
            (Field::Tint, "0"),
            (Field::ShutterAngle, "172.8"),
            (Field::Lens, "ARRI SP40 T1.8"),
            (Field::LensSerial, "2"),
            (Field::Aperture, "T1.8"),
            (Field::FocalLength, "40"),
            (Field::FocusDistance, "4.812"),
            (Field::Nd, "clear"),
            (Field::RecordedAt, "2018-03-27T12:36:51Z"),
        ];
        assert_eq!(all(&facts(&bytes).unwrap()), want);
    }

    #[test]
    fn sony_lens_data_say_where_the_clip_begins() {
        let Some(bytes) = sample("sidecars/sony/D001C005_210716AG.csv") else { return };
        let want = [
            (Field::ClipName, "D001C005_210716AG"),
            (Field::Make, "Sony"),
            (Field::Model, "VENICE (MPC-3610)"),
            (Field::StartTc, "16:47:04:19"),
            (Field::FocalLength, "32"),
            (Field::Aperture, "T2.2"),
            (Field::FocusDistance, "1.777"),
        ];
        assert_eq!(all(&facts(&bytes).unwrap()), want);
        let mut quick = 0;
        for at in 0..400 {
            quick += usize::from(facts(&bytes[..at]).is_some());
        }
        assert!(quick > 0);
    }

    const HEAD: &str = "Timecode,Clip Name,Lens Model,Lens Serial,Camera Model\n";

    #[test]
    fn quotes_line_ends_and_encodings() {
        let row = "01:02:03:04,\"A, \"\"B\"\"\",Lens,,MPC-2610\n";
        for text in
            [format!("{HEAD}{row}"), format!("{HEAD}{row}").replace('\n', "\r\n"), format!("\u{feff}{HEAD}{row}")]
        {
            let facts = facts(text.as_bytes()).unwrap();
            assert_eq!(said(&facts, Field::ClipName), Some("A, \"B\""));
            assert_eq!(said(&facts, Field::Model), Some("BURANO (MPC-2610)"));
        }
        let wide: Vec<u8> = format!("{HEAD}{row}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(facts(&wide).is_some());
        let latin = [HEAD.as_bytes(), b"01:02:03:04,A,Gro\xdf,9,x\n"].concat();
        let latin = facts(&latin).unwrap();
        assert_eq!((said(&latin, Field::Lens), said(&latin, Field::LensSerial)), (None, Some("9")));
    }

    #[test]
    fn what_is_no_such_sheet_is_none() {
        for bad in ["", "a", "a,b\n", "a,b\n1,2\n", HEAD, "\t\n\t\n", "\"a\n"] {
            assert_eq!(facts(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(facts(format!("{HEAD}01:02:03:04,A,\"B\n").as_bytes()), None);
        let cut = facts(format!("{HEAD}01:02:03:04,A,B,C,MPC-36").as_bytes()).unwrap();
        assert_eq!((said(&cut, Field::LensSerial), said(&cut, Field::Model)), (Some("C"), None));
        assert_eq!(facts(",".repeat(1 << 20).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn no_row_makes_it_panic(row in "[a-zA-Z0-9:;,\"\t/. é]{0,80}", b in proptest::collection::vec(any::<u8>(), 0..200)) {
            facts(format!("{HEAD}{row}\n").as_bytes());
            facts(format!("Camera PIN,Abs TC,Clip Name,FPS,Date,Timestamp\n{row}\n").as_bytes());
            facts(&b);
        }
    }
}
