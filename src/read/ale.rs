//! Avid Log Exchange: one sheet of every clip on a card (ARRI) or of a day (Silverstack, Avid, DaVinci). Heading,
//! column names and data, parted by tabs; line ends of every system, and programs that leave the blank lines out.

use super::wording::{self, Sheet};
use crate::fact::{Fact, Field};
use crate::preset::look::Cdl;
use crate::timecode::FrameRate;
use std::collections::BTreeSet;

/// A card of a thousand clips with 250 columns is some three megabytes.
const MAX_BYTES: usize = 32 << 20;
const MAX_ROWS: usize = 20_000;
const MAX_COLUMNS: usize = 1000;

/// A sheet. Cells that say nothing are left out of their row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ale {
    /// Of the heading: what its timecodes count in.
    pub fps: Option<FrameRate>,
    /// Column and value, in the order of the columns. A column may be there twice.
    pub rows: Vec<Vec<(String, String)>>,
}

/// `None`: not such a sheet.
pub fn rows(bytes: &[u8]) -> Option<Ale> {
    let text = wording::text(bytes, MAX_BYTES)?;
    let mut lines = text.split(['\n', '\r']).map(|l| l.trim_end_matches('\0')).filter(|l| !l.trim().is_empty());
    if lines.next()?.trim() != "Heading" {
        return None;
    }
    let mut ale = Ale::default();
    loop {
        let line = lines.next()?;
        if line.trim() == "Column" {
            break;
        }
        if let Some((key, value)) = line.split_once(['\t', ' '])
            && key.trim().eq_ignore_ascii_case("FPS")
        {
            ale.fps = wording::rate(value);
        }
    }
    let columns: Vec<&str> = lines.next()?.split('\t').map(str::trim).take(MAX_COLUMNS).collect();
    if columns.iter().all(|c| c.is_empty()) || lines.next()?.trim() != "Data" {
        return None;
    }
    for line in lines.take(MAX_ROWS) {
        let cells = columns.iter().zip(line.split('\t'));
        let told = cells.filter_map(|(column, cell)| Some(((*column).to_owned(), wording::word(cell)?.to_owned())));
        let row: Vec<(String, String)> = told.filter(|(column, _)| !column.is_empty()).collect();
        ale.rows.push(row);
    }
    // Without the end of its line the last value may be cut.
    if !text.ends_with(['\n', '\r', '\0'])
        && let Some(last) = ale.rows.last_mut()
    {
        last.pop();
    }
    ale.rows.retain(|row| !row.is_empty());
    Some(ale)
}

/// The clips of a sheet under their own names, each once.
pub fn names(ale: &Ale) -> Vec<String> {
    let mut seen = BTreeSet::new();
    ale.rows.iter().filter_map(|row| Row(row).name()).filter(|n| seen.insert(n.to_owned())).map(str::to_owned).collect()
}

/// What one row says of its clip; `fps` is the heading's.
pub fn facts(row: &[(String, String)], fps: Option<FrameRate>) -> Vec<Fact> {
    let row = Row(row);
    let mut sheet = Sheet::default();
    identity(&row, &mut sheet);
    let own = row.first(&["fps", "projectfps", "framerate", "projectrate"], wording::rate);
    // Where the row and the heading differ, nothing says which of them the timecode counts in.
    let counts = match (own, fps) {
        (Some(own), Some(head)) => (own == head).then_some(own),
        (own, head) => own.or(head),
    };
    sheet.put(Field::StartTc, row.first(&["start", "timecode", "tc", "mastertc"], |t| wording::timecode(t, counts)));
    sheet.put(Field::Fps, own.or(fps).map(FrameRate::fraction));
    sheet.put(Field::SensorFps, row.first(&["sensorfps", "capturefps"], wording::rate).map(FrameRate::fraction));
    sheet.put(Field::Duration, counts.and_then(|r| row.first(&["duration"], |t| wording::frames(t, r))));
    sheet.put(Field::Duration, row.first(&["length", "framecountduration"], wording::count));
    picture(&row, &mut sheet);
    lens(&row, &mut sheet);
    sheet.done()
}

fn identity(row: &Row, sheet: &mut Sheet) {
    sheet.put(Field::ClipId, row.text(&["clipumid", "smpteumid", "umid", "uuid", "clipguid"]));
    sheet.put(Field::ClipName, row.name());
    let reel = row.text(&["reelname", "reel", "camroll", "tape"]).filter(|r| !row.is_clip(r));
    let tape = || row.text(&["tape"]).filter(|r| !row.is_clip(r));
    sheet.put(Field::Reel, reel.or_else(tape));
    let model = row.text(&["cameramodel", "cameratype"]);
    let arri = model.is_some_and(|m| m.starts_with("ARRI ")).then_some("ARRI");
    sheet.put(Field::Make, row.text(&["manufacturer", "cameramanufacturer"]).or(arri));
    sheet.put(Field::Model, model);
    sheet.put(Field::Serial, row.text(&["cameraserialnumber", "camerasn", "cameraserial"]));
    sheet.put(Field::Firmware, row.text(&["camerasoftwarepackagename", "supversion", "camerafirmware", "firmware"]));
    // Index `A_` of newer cameras is the letter A.
    let camera = row.text(&["cameraindex", "camera", "cameraletter"]).map(|c| c.trim_end_matches('_'));
    sheet.put(Field::Camera, camera.filter(|c| c.len() <= 3));
    sheet.put(Field::Project, row.text(&["production", "project", "productionname"]));
    sheet.put(Field::Scene, row.text(&["scene"]));
    sheet.put(Field::Shot, row.text(&["shot"]));
    sheet.put(Field::Take, row.text(&["take"]));
    sheet.put(Field::Circled, row.first(&["circletake", "circle", "circled"], wording::yes));
    sheet.put(Field::RecordedAt, row.first(&["creationtime", "datetime", "recordedat"], wording::moment));
    let day = row.text(&["datecamera", "camdate", "shootdate", "date"]);
    let time = row.text(&["timecamera", "camtime"]);
    sheet
        .put(Field::RecordedAt, day.zip(time).and_then(|(d, t)| wording::moment(&format!("{} {t}", wording::day(d)?))));
    sheet.put(Field::RecordedAt, day.and_then(wording::day));
    sheet.put(Field::Note, row.text(&["comments", "comment", "notes"]));
}

fn picture(row: &Row, sheet: &mut Sheet) {
    sheet.put(Field::Width, row.first(&["storedwidth", "width", "imagewidth"], wording::count));
    sheet.put(Field::Height, row.first(&["storedheight", "height", "imageheight"], wording::count));
    sheet.put(Field::Codec, row.text(&["recordingcodec", "codec", "video"]).filter(|c| !c.eq_ignore_ascii_case("V")));
    sheet
        .put(Field::Log, row.text(&["transfercurve", "gamma", "gammaspace"]).filter(|g| wording::decimal(g).is_none()));
    sheet.put(Field::Gamut, row.text(&["primaries", "gamut", "colorgamut"]).filter(|g| wording::decimal(g).is_none()));
    let ei = ["exposureindexasa", "exposureindex", "ei", "asa", "isoasa", "iso"];
    sheet.put(Field::Iso, row.first(&ei, wording::iso));
    let kelvin = ["whitebalancekelvin", "whitebalance", "colortemp", "cct", "kelvin", "colortemperature"];
    sheet.put(Field::WhiteBalance, row.first(&kelvin, wording::kelvin));
    let tint = ["whitebalancetintcc", "tint", "ccshift", "whitebalancecc"];
    sheet.put(Field::Tint, row.first(&tint, wording::decimal));
    sheet.put(Field::ShutterAngle, row.first(&["shutterangle", "shutterdeg", "shutter"], wording::angle));
    sheet.put(Field::ShutterSpeed, row.first(&["shutterspeed", "shutter"], |t| wording::shutter(t, false)));
    let look = ["lookname", "lookfilename", "look", "lutname", "lut", "lut1"];
    sheet.put(Field::Look, row.text(&look));
    let sop = |text: &str| Cdl::parse(Some(text), None).map(|cdl| cdl.sop());
    sheet.put(Field::AscSop, row.first(&["ascsop"], sop));
    let sat = |text: &str| Cdl::parse(None, Some(text)).map(|cdl| cdl.saturation.to_string());
    sheet.put(Field::AscSat, row.first(&["ascsat"], sat));
}

fn lens(row: &Row, sheet: &mut Sheet) {
    sheet.put(Field::Lens, row.text(&["lensmodel", "lenstype", "lens", "lensname"]));
    sheet.put(Field::LensSerial, row.text(&["lensserialnumber", "lenssn", "lensserial"]));
    // Silverstack has a column that says whether the lens said anything at all.
    let said = |column: &str| row.text(&[column]).is_none_or(|t| t != "0");
    if said("linearirispresent") {
        sheet.put(Field::Aperture, row.first(&["tstop", "lensiris"], |t| wording::aperture(t, Some('T'))));
        sheet.put(Field::Aperture, row.first(&["fstop"], |t| wording::aperture(t, Some('F'))));
    }
    sheet.put(Field::FocalLength, row.first(&["focallength", "lensfocallength"], wording::millimetres));
    if said("focusdistancemetricpresent") {
        sheet.put(
            Field::FocusDistance,
            row.first(&["focusdistancemetric", "focusdistance"], |t| wording::metres(t, "")),
        );
    }
    if said("ndfilterdensitypresent") {
        let density = ["ndfilterdensity", "ndfiltertype", "ndfilter", "nd"];
        sheet.put(Field::Nd, row.first(&density, wording::nd));
    }
}

struct Row<'a>(&'a [(String, String)]);

impl<'a> Row<'a> {
    /// The first of `columns` that has a value. Their names are compared by letters and digits only: ARRI writes
    /// `Camera_model` where Silverstack writes `cameraModel`.
    fn text(&self, columns: &[&str]) -> Option<&'a str> {
        columns.iter().find_map(|c| self.all(c).next())
    }

    fn first<T>(&self, columns: &[&str], read: impl Fn(&str) -> Option<T>) -> Option<T> {
        columns.iter().find_map(|c| self.all(c).find_map(&read))
    }

    fn all<'b>(&self, column: &'b str) -> impl Iterator<Item = &'a str> + use<'a, 'b> {
        let same = move |name: &str| {
            let letters = name.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_lowercase());
            letters.eq(column.bytes())
        };
        self.0.iter().filter(move |(name, value)| same(name) && !value.contains('\u{fffd}')).map(|(_, v)| v.as_str())
    }

    /// A camera's own name of the clip; in sheets of editors `Name` is whatever they called it.
    fn name(&self) -> Option<&'a str> {
        self.text(&["clipname", "cameraclipname", "metadataclipname", "name"])
    }

    /// Editors put a clip's name where its reel belongs, for lack of tapes.
    fn is_clip(&self, text: &str) -> bool {
        let names = ["name", "clipname", "cameraclipname", "filename", "sourcefile"];
        let stem = |t: &str| t.rsplit_once('.').map_or(t.to_owned(), |(s, _)| s.to_owned());
        names.iter().flat_map(|n| self.all(n)).any(|n| n == text || stem(n) == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::told::{all, said, sample};
    use proptest::prelude::*;

    #[test]
    fn a_silverstack_sheet_of_an_alexa_35() {
        let Some(bytes) = sample("sidecars/ale/sample_no_blanks.ale") else { return };
        let ale = rows(&bytes).unwrap();
        assert_eq!((ale.fps, ale.rows.len()), (FrameRate::new(25, 1), 6));
        assert_eq!(names(&ale)[..2], ["A_0076C001_230511_184122_a1CTJ", "A_0076C002_230511_184540_a1CTJ"]);
        let facts = facts(&ale.rows[0], ale.fps);
        let want = [
            (Field::ClipId, "060a2b340101010501010d2113cfea796d2c3706f02b11edbcddb916c1737bc5"),
            (Field::ClipName, "A_0076C001_230511_184122_a1CTJ"),
            (Field::Reel, "A_0076_1CTJ"),
            (Field::Make, "ARRI"),
            (Field::Model, "ARRI ALEXA 35"),
            (Field::Serial, "12345"),
            (Field::Firmware, "1.00.04"),
            (Field::Camera, "A"),
            (Field::Project, "TREM"),
            (Field::Scene, "469C-4"),
            (Field::Take, "1"),
            (Field::Circled, "0"),
            (Field::RecordedAt, "2023-05-11T18:41:22"),
            (Field::StartTc, "19:42:28:17@25/1"),
            (Field::Fps, "25/1"),
            (Field::SensorFps, "25/1"),
            (Field::Duration, "2612"),
            (Field::Width, "4608"),
            (Field::Height, "2592"),
            (Field::Codec, "HDECompressed"),
            (Field::Log, "LogC4"),
            (Field::Gamut, "AWG4"),
            (Field::Iso, "1280"),
            (Field::WhiteBalance, "3800"),
            (Field::Tint, "0"),
            (Field::ShutterAngle, "180"),
            (Field::Look, "ACES_TO_REC709_CAMERA_ALEXA35.alf4"),
            (Field::AscSop, "(1.0284 1.0284 1.0284)(0 0 0)(1.0244 1 1.1068)"),
            (Field::AscSat, "1"),
            (Field::Lens, "Cooke S4 32 1178"),
            (Field::LensSerial, "1178"),
            (Field::Aperture, "T2"),
            (Field::FocalLength, "32"),
            (Field::FocusDistance, "0.885"),
            (Field::Nd, "clear"),
        ];
        assert_eq!(all(&facts), want);
    }

    #[test]
    fn sheets_of_avid_and_of_a_grading_desk() {
        let Some(bytes) = sample("sidecars/ale/sample.ale") else { return };
        let ale = rows(&bytes).unwrap();
        assert_eq!(names(&ale), ["test_017056", "test_017057", "test_017058", "Something"]);
        let avid = facts(&ale.rows[0], ale.fps);
        let want = [
            (Field::ClipName, "test_017056"),
            (Field::Project, "zzz"),
            (Field::StartTc, "01:00:00:00@24/1"),
            (Field::Fps, "24/1"),
            (Field::Duration, "99"),
            (Field::Codec, "DNxHD 36 (HD1080p)"),
        ];
        assert_eq!(all(&avid), want);
        let bytes = sample("sidecars/ale/sample_cdl.ale").unwrap();
        let ale = rows(&bytes).unwrap();
        assert_eq!(names(&ale), ["A005_C010_0501J0", "A005_C009_0501A0"]);
        let desk = facts(&ale.rows[0], ale.fps);
        let want = [
            (Field::ClipName, "A005_C010_0501J0"),
            (Field::Camera, "A"),
            (Field::RecordedAt, "2019-05-01"),
            (Field::StartTc, "17:49:33:01@24000/1001"),
            (Field::Fps, "24000/1001"),
            (Field::Duration, "57"),
            (Field::AscSop, "(0.8714 0.9334 0.9947)(-0.087 -0.0922 -0.0808)(0.9988 1.0218 1.0101)"),
            (Field::AscSat, "0.9"),
        ];
        assert_eq!(all(&desk), want);
    }

    const ARRI: &str = "Heading\nFIELD_DELIM\tTABS\nVIDEO_FORMAT\t1080\nFPS\t29.97\n\nColumn\nName\tTracks\tStart\tEnd\tCamera_model\t\
        Camera_SN\tReel_name\tCircle\tUUID\tISO_ASA\tShutter_angle\tLook_name\n\nData\nA001C001_180327_R1ZA\tV\t01:00:00;02\t\
        01:00:01;02\tALEXA Mini\t2566\tA001R1ZA\tYes\te4b8a5cc\t800\t172.8\t--\n";

    #[test]
    fn a_card_sheet_in_every_line_end_and_encoding() {
        let wide = |order: fn(u16) -> [u8; 2]| -> Vec<u8> {
            std::iter::once(0xfeff).chain(ARRI.encode_utf16()).flat_map(order).collect()
        };
        let kinds: [Vec<u8>; 6] = [
            ARRI.into(),
            ARRI.replace('\n', "\r\n").into(),
            ARRI.replace('\n', "\r").into(),
            format!("\u{feff}{ARRI}").into(),
            wide(u16::to_le_bytes),
            wide(u16::to_be_bytes),
        ];
        for bytes in kinds {
            let ale = rows(&bytes).unwrap();
            assert_eq!(names(&ale), ["A001C001_180327_R1ZA"]);
            let facts = facts(&ale.rows[0], ale.fps);
            for (field, want) in [
                (Field::StartTc, Some("01:00:00;02@30000/1001")),
                (Field::Model, Some("ALEXA Mini")),
                (Field::Serial, Some("2566")),
                (Field::Reel, Some("A001R1ZA")),
                (Field::Circled, Some("1")),
                (Field::ClipId, Some("e4b8a5cc")),
                (Field::Iso, Some("800")),
                (Field::ShutterAngle, Some("172.8")),
                (Field::Look, None),
            ] {
                assert_eq!(said(&facts, field), want, "{field:?}");
            }
        }
    }

    #[test]
    fn a_cell_that_its_encoding_can_not_say_is_left_out() {
        let mut bytes = ARRI.replace("ALEXA Mini", "M?ller").into_bytes();
        let at = bytes.iter().position(|b| *b == b'?').unwrap();
        bytes[at] = 0xfc;
        let ale = rows(&bytes).unwrap();
        let facts = facts(&ale.rows[0], ale.fps);
        assert_eq!((said(&facts, Field::Model), said(&facts, Field::Serial)), (None, Some("2566")));
    }

    #[test]
    fn a_row_that_counts_otherwise_than_the_heading_has_no_rate() {
        let text = ARRI.replace("Tracks", "FPS").replace("\tV\t", "\t25\t").replace(";02", ":02");
        let ale = rows(text.as_bytes()).unwrap();
        let facts = facts(&ale.rows[0], ale.fps);
        assert_eq!(said(&facts, Field::StartTc), Some("01:00:00:02"));
        assert_eq!(said(&facts, Field::Fps), Some("25/1"));
        assert_eq!(said(&facts, Field::Duration), None);
    }

    #[test]
    fn what_is_no_sheet_is_none_and_a_cut_one_keeps_its_whole_rows() {
        for bad in [
            "",
            "Heading",
            "Heading\nColumn\n",
            "Heading\nColumn\nName\n",
            "Name\tTape\n",
            "Heading\nColumn\n\t\nData\nx",
        ] {
            assert_eq!(rows(bad.as_bytes()), None, "{bad:?}");
        }
        let whole = rows(ARRI.as_bytes()).unwrap();
        let all = facts(&whole.rows[0], whole.fps);
        for at in 0..ARRI.len() {
            let cut = rows(&ARRI.as_bytes()[..at]).unwrap_or_default();
            assert!(names(&cut).iter().all(|n| n == "A001C001_180327_R1ZA"), "cut at {at}");
            for fact in cut.rows.iter().flat_map(|row| facts(row, cut.fps)) {
                assert!(all.contains(&fact), "cut at {at}: {fact:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let sheet = [b"Heading\nFPS\t".as_slice(), &bytes, b"\nColumn\nName\tStart\tT-Stop\nData\n", &bytes].concat();
            for row in rows(&sheet).unwrap_or_default().rows {
                facts(&row, FrameRate::new(25, 1));
            }
            let _ = rows(&bytes);
        }
    }
}
