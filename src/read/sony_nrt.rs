//! Sony's NonRealTimeMeta: the XML beside a clip (`C0001M01.XML`) and inside its MP4 or MXF. Versions 2.00 to 2.20
//! differ in their namespace and in what they leave out, so elements are found by local name.

use super::form;
use super::wording::{self, Sheet};
use super::xml::{self, Element, Limits};
use crate::fact::{Fact, Field};
use crate::timecode::FrameRate;

/// One is a few kilobytes; a long recording with many marks has some hundred.
const LIMITS: Limits = Limits::of_bytes(4 << 20);
/// What cameras write that keep their number to themselves.
const NO_SERIAL: &str = "4294967295";

/// `None`: not such a document, or not whole.
pub fn facts(bytes: &[u8]) -> Option<Vec<Fact>> {
    let root = xml::parse_any(bytes, LIMITS).ok().filter(|r| r.name == "NonRealTimeMeta")?;
    let mut sheet = Sheet::default();
    let value = |path: &[&str], name: &str| root.at(path).and_then(|e| e.attribute(name)).and_then(wording::word);
    sheet.put(Field::ClipId, value(&["TargetMaterial"], "umidRef"));
    sheet.put(Field::Duration, value(&["Duration"], "value").and_then(wording::count));
    sheet.put(Field::RecordedAt, value(&["CreationDate"], "value").and_then(wording::moment));

    let frame = ["VideoFormat", "VideoFrame"];
    let plays = value(&frame, "formatFps").and_then(rate);
    sheet.put(Field::Fps, plays.map(FrameRate::fraction));
    sheet.put(Field::SensorFps, value(&frame, "captureFps").and_then(rate).map(FrameRate::fraction));
    sheet.put(Field::Codec, value(&frame, "videoCodec"));
    sheet.put(Field::StartTc, root.local("LtcChangeTable").and_then(|table| start(table, plays)));
    let layout = ["VideoFormat", "VideoLayout"];
    sheet.put(Field::Width, value(&layout, "pixel").and_then(wording::count));
    sheet.put(Field::Height, value(&layout, "numOfVerticalLine").and_then(wording::count));
    sheet.put(Field::PixelAspect, value(&layout, "pixelAspect").and_then(aspect));
    let sampling = value(&["AudioFormat", "AudioRecPort"], "samplingRate");
    sheet.put(Field::SampleRate, sampling.and_then(wording::count));

    let items = items(&root);
    camera(&root, &items, &mut sheet);
    acquisition(&items, &mut sheet);
    lens(&root, &mut sheet);
    slate(&root, &mut sheet);
    let files = root.local("RelevantFiles").into_iter().flat_map(|r| &r.children);
    let mut luts = files.filter(|f| f.attribute("rel").is_some_and(|r| r.eq_ignore_ascii_case("LUT")));
    sheet.put(Field::Look, luts.find_map(|f| f.attribute("file")));
    if let Some(mode) = value(&["RecordingMode"], "type").filter(|m| *m != "normal") {
        sheet.put(Field::Note, Some(format!("recording mode: {mode}")));
    }
    Some(sheet.done())
}

/// Fields of an interlaced picture are counted in `59.94i`, frames elsewhere.
fn rate(text: &str) -> Option<FrameRate> {
    match text.trim().strip_suffix(['i', 'I']) {
        Some(fields) => wording::rate(fields).and_then(|f| FrameRate::new(f.num(), f.den().checked_mul(2)?)),
        None => wording::rate(text),
    }
}

fn aspect(text: &str) -> Option<String> {
    let (a, b) = text.split_once(':')?;
    Some(format!("{}:{}", wording::count(a)?, wording::count(b)?))
}

/// The first frame's timecode. A table with half steps counts every second frame, so its rate is not the picture's.
fn start(table: &Element, plays: Option<FrameRate>) -> Option<String> {
    let first = table.children.iter().find(|c| c.name == "LtcChange" && c.attribute("frameCount") == Some("0"))?;
    let ltc = Ltc::read(first.attribute("value")?)?;
    let nominal: u32 = table.attribute("tcFps").and_then(|t| t.trim().parse().ok()).filter(|n| *n > 0)?;
    let halves = table.attribute("halfStep").is_some_and(|t| t.eq_ignore_ascii_case("true"));
    let counts = match plays {
        Some(p) if p.nominal().is_multiple_of(nominal) => {
            FrameRate::new(nominal * if p.den() == 1001 { 1000 } else { 1 }, if p.den() == 1001 { 1001 } else { 1 })
        }
        Some(_) => None,
        // Of the rates with that many numbers a second, drop-frame leaves one, and 25 and 50 have one.
        None if ltc.drop && nominal.is_multiple_of(30) => FrameRate::new(nominal * 1000, 1001),
        None if !ltc.drop && nominal.is_multiple_of(25) => FrameRate::new(nominal, 1),
        None => None,
    };
    if !(halves && ltc.second) {
        return ltc.text(ltc.frame, counts);
    }
    // Between two of the table's frames: only the picture's own rate has a number for it.
    let plays = plays.filter(|p| p.nominal() == 2 * nominal)?;
    ltc.text(2 * ltc.frame + 1, Some(plays))
}

/// Four bytes of BCD, least first: frames (0x40: drop-frame), seconds (0x80: second half of a step), minutes, hours.
struct Ltc {
    hour: u32,
    minute: u32,
    second_of: u32,
    frame: u32,
    drop: bool,
    second: bool,
}

impl Ltc {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() != 8 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let [f, s, m, h] = u32::from_str_radix(text, 16).ok()?.to_be_bytes();
        let bcd = |b: u8| (b & 0x0f < 10).then_some(u32::from(b >> 4) * 10 + u32::from(b & 0x0f));
        Some(Ltc {
            hour: bcd(h & 0x3f)?,
            minute: bcd(m & 0x7f)?,
            second_of: bcd(s & 0x7f)?,
            frame: bcd(f & 0x3f)?,
            drop: f & 0x40 != 0,
            second: s & 0x80 != 0,
        })
    }

    fn text(&self, frame: u32, rate: Option<FrameRate>) -> Option<String> {
        let sep = if self.drop { ';' } else { ':' };
        wording::timecode(&format!("{:02}:{:02}:{:02}{sep}{frame:02}", self.hour, self.minute, self.second_of), rate)
    }
}

/// Name and value of every item of the acquisition record, in its order.
fn items(root: &Element) -> Vec<(&str, &str)> {
    let groups = root.local("AcquisitionRecord").into_iter().flat_map(|r| &r.children).filter(|g| g.name == "Group");
    let all = groups.flat_map(|g| &g.children).filter(|i| i.name == "Item");
    all.filter_map(|i| Some((i.attribute("name")?, wording::word(i.attribute("value")?)?))).collect()
}

fn item<'a>(items: &[(&'a str, &'a str)], name: &str) -> Option<&'a str> {
    items.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
}

/// Where a recorder is docked to the camera, `Device` is the recorder.
fn camera(root: &Element, items: &[(&str, &str)], sheet: &mut Sheet) {
    let attributes = item(items, "CameraAttributes");
    let mut words = attributes.unwrap_or_default().split_whitespace();
    let part = words.next().filter(|w| w.starts_with("MPC-"));
    let own = root.local("Camera");
    let device = own.or_else(|| root.local("Device").filter(|_| part.is_none()));
    let of = |name: &str| device.and_then(|d| d.attribute(name)).and_then(wording::word);
    let make = of("manufacturer").or(part.map(|_| "Sony"));
    sheet.put(Field::Make, make);
    sheet.put(Field::Model, of("modelName").or(part).map(wording::sony_model));
    // Parts' numbers have models of their own; whatever else stands there is text without a known order.
    let after = part.and(words.next()).filter(|w| w.bytes().all(|b| b.is_ascii_alphanumeric()));
    sheet.put(Field::Serial, of("serialNo").filter(|s| *s != NO_SERIAL).or(after));
    let version = attributes.and_then(|a| a.split_once("Version")).map(|(_, v)| v.trim());
    let mut boards = own.into_iter().flat_map(|d| &d.children).filter_map(|e| e.attribute("software"));
    sheet.put(Field::Firmware, boards.next().or(version.filter(|_| part.is_some())));
}

fn acquisition(items: &[(&str, &str)], sheet: &mut Sheet) {
    let of = |name: &str| item(items, name);
    sheet.put(Field::Log, of("CaptureGammaEquation").map(maker_name));
    sheet.put(Field::Gamut, of("CaptureColorPrimaries").map(maker_name));
    // What the sensor was set to; what the crew metered for is another number.
    let metered = of("ExposureIndexOfPhotoMeter").and_then(wording::iso);
    let iso = of("ISOSensitivity").and_then(wording::iso);
    if let (Some(iso), Some(metered)) = (&iso, &metered)
        && iso != metered
    {
        sheet.put(Field::Note, Some(format!("exposure index {metered}")));
    }
    sheet.put(Field::Iso, iso.or(metered));
    sheet.put(Field::WhiteBalance, of("WhiteBalance").and_then(wording::kelvin));
    sheet.put(Field::ShutterAngle, of("ShutterSpeedAngle").and_then(arc_minutes));
    // RDD 18: the filter lets one part in so many through.
    let nd = of("NeutralDensityFilterWheelSetting").and_then(wording::count);
    sheet.put(Field::Nd, nd.map(|n| if n == "1" { "clear".into() } else { format!("1/{n}") }));
    for name in ["PreCDLTransform", "PostCDLTransform", "MonitoringDescriptions"] {
        let lut = of(name).and_then(|v| v.strip_prefix("LUT:")).and_then(wording::word);
        sheet.put(Field::Look, lut);
    }
    let squeeze = of("AnamorphicLensSqueezeRatio").filter(|v| *v != "100").and_then(wording::count);
    sheet.put(Field::Note, squeeze.map(|s| format!("anamorphic squeeze {s} %")));
    if of("Status") == Some("A") {
        let half = |name: &str, half: &str| {
            let parts: Vec<f64> = of(name)?.split(':').map(|p| p.parse().ok()).collect::<Option<_>>()?;
            let [d, m, s] = parts[..] else { return None };
            wording::degrees(d, m, s, of(half)?)
        };
        let place = half("Latitude", "LatitudeRef").zip(half("Longitude", "LongitudeRef"));
        sheet.put(Field::Gps, place.and_then(|(lat, lon)| wording::place(&lat, &lon, None)));
    }
}

/// `s-log3-cine` is how a schema writes what the menu calls S-Log3.
fn maker_name(text: &str) -> &str {
    match text {
        "s-log3-cine" | "s-log3" => "S-Log3",
        "s-log2" => "S-Log2",
        "s-log" => "S-Log",
        "s-gamut3-cine" => "S-Gamut3.Cine",
        "s-gamut3" => "S-Gamut3",
        "s-gamut" => "S-Gamut",
        "rec709" => "Rec.709",
        "rec2020" => "Rec.2020",
        other => other,
    }
}

fn arc_minutes(text: &str) -> Option<String> {
    let minutes: u32 = text.parse().ok().filter(|m| (1..=360 * 60).contains(m))?;
    form::decimal(f64::from(minutes) / 60.0, 2)
}

fn lens(root: &Element, sheet: &mut Sheet) {
    let Some(lens) = root.local("Lens") else { return };
    let of = |name: &str| lens.attribute(name).and_then(wording::word);
    let name = of("modelName").map(|model| match of("manufacturer") {
        Some(make) if !model.to_lowercase().contains(&make.to_lowercase()) => format!("{make} {model}"),
        _ => model.to_owned(),
    });
    sheet.put(Field::Lens, name);
    sheet.put(Field::LensSerial, of("serialNo").filter(|s| *s != NO_SERIAL));
}

fn slate(root: &Element, sheet: &mut Sheet) {
    let metas = || root.local("UserDescriptiveMetadata").into_iter().flat_map(|u| &u.children);
    let of = |name: &str| {
        metas().find(|m| m.attribute("name") == Some(name)).and_then(|m| m.attribute("content")).and_then(wording::word)
    };
    let camera = of("CameraIndex");
    sheet.put(Field::Camera, camera);
    // VENICE splits the roll `D001` of its clip names into a letter and a number.
    let roll = of("Reel").map(|reel| match camera {
        Some(letter) if letter.len() <= 2 && reel.bytes().all(|b| b.is_ascii_digit()) => format!("{letter}{reel}"),
        _ => reel.to_owned(),
    });
    sheet.put(Field::Reel, roll);
    sheet.put(Field::Project, of("Project").or_else(|| of("Production")));
    sheet.put(Field::Scene, of("Scene"));
    sheet.put(Field::Shot, of("Shot"));
    sheet.put(Field::Take, of("Take"));
    sheet.put(Field::Circled, of("Circle").and_then(wording::yes));
    let title = root.local("Title").and_then(|t| t.attribute("usAscii")).and_then(wording::word);
    sheet.put(Field::Note, title.map(|t| format!("title: {t}")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::told::{all, said, sample};

    #[test]
    fn a_venice_sidecar_is_read_whole() {
        let Some(bytes) = sample("sidecars/sony/D001C005_210716AGM01.XML") else { return };
        let facts = facts(&bytes).unwrap();
        let want = [
            (Field::ClipId, "060A2B340101010501010D4313000000373DE9D2119405DB080046021707296C"),
            (Field::Duration, "588"),
            (Field::RecordedAt, "2021-07-16T11:46:22-08:00"),
            (Field::Fps, "24/1"),
            (Field::SensorFps, "24/1"),
            (Field::Codec, "F55_X-OCN_XT_6K_16:9"),
            // The same clip's CSV begins with 16:47:04:19.
            (Field::StartTc, "16:47:04:19@24/1"),
            (Field::Width, "5674"),
            (Field::Height, "3192"),
            (Field::PixelAspect, "1:1"),
            (Field::SampleRate, "48000"),
            (Field::Make, "Sony"),
            (Field::Model, "VENICE (MPC-3610)"),
            (Field::Serial, "0010201"),
            (Field::Firmware, "6.10"),
            (Field::Log, "scene-linear"),
            (Field::Note, "exposure index 250"),
            (Field::Iso, "500"),
            (Field::WhiteBalance, "4300"),
            (Field::ShutterAngle, "173"),
            (Field::Nd, "clear"),
            (Field::Look, "SL3SG3Ctos709.cube"),
            (Field::Lens, "S7i-32"),
            (Field::Camera, "D"),
            (Field::Reel, "D001"),
            (Field::Shot, "005"),
        ];
        assert_eq!(all(&facts), want);
        for at in 0..bytes.trim_ascii_end().len() {
            assert!(super::facts(&bytes[..at]).is_none(), "cut at {at}");
        }
    }

    fn nrt(inner: &str) -> Vec<Fact> {
        let text = format!(
            "<NonRealTimeMeta xmlns=\"urn:schemas-professionalDisc:nonRealTimeMeta:ver.2.20\">{inner}</NonRealTimeMeta>"
        );
        facts(text.as_bytes()).unwrap()
    }

    fn ltc(table: &str, value: &str, format: &str) -> Option<String> {
        let facts = nrt(&format!(
            "<LtcChangeTable {table}><LtcChange frameCount=\"0\" value=\"{value}\"/></LtcChangeTable>\
             <VideoFormat><VideoFrame captureFps=\"59.94p\" {format}/></VideoFormat>"
        ));
        said(&facts, Field::StartTc).map(str::to_owned)
    }

    #[test]
    fn timecode_is_reversed_bcd_and_counts_at_its_own_rate() {
        let plain = "tcFps=\"30\" halfStep=\"false\"";
        let half = "tcFps=\"30\" halfStep=\"true\"";
        let at = |v: &str| format!("formatFps=\"{v}\"");
        assert_eq!(ltc(plain, "67212901", &at("29.97p")).as_deref(), Some("01:29:21;27@30000/1001"));
        assert_eq!(ltc(plain, "27212901", &at("29.97p")).as_deref(), Some("01:29:21:27@30000/1001"));
        assert_eq!(ltc(half, "48544103", &at("59.94p")).as_deref(), Some("03:41:54;08@30000/1001"));
        // The second half of frame 8 is frame 17 of the picture.
        assert_eq!(ltc(half, "48D44103", &at("59.94p")).as_deref(), Some("03:41:54;17@60000/1001"));
        assert_eq!(ltc(half, "48D44103", &at("119.88p")), None);
        assert_eq!(ltc("tcFps=\"25\" halfStep=\"true\"", "00000010", &at("50p")).as_deref(), Some("10:00:00:00@25/1"));
        assert_eq!(
            ltc("tcFps=\"24\" halfStep=\"false\"", "00000010", &at("23.98p")).as_deref(),
            Some("10:00:00:00@24000/1001")
        );
        // Drop-frame at a rate that has none: one of both is wrong.
        assert_eq!(ltc("tcFps=\"25\"", "40000010", &at("25p")), None);
        // Without the picture's rate only some tables are clear.
        assert_eq!(ltc(half, "40000000", "").as_deref(), Some("00:00:00;00@30000/1001"));
        assert_eq!(ltc("tcFps=\"24\"", "00000010", "").as_deref(), Some("10:00:00:00"));
        for bad in ["0000001", "000000zz", "1A000000", "00000039", "29000000FF", ""] {
            assert_eq!(ltc("tcFps=\"25\"", bad, &at("25p")), None, "{bad}");
        }
        let facts = nrt("<VideoFormat><VideoFrame captureFps=\"119.88p\" formatFps=\"59.94i\"/></VideoFormat>");
        assert_eq!(said(&facts, Field::Fps), Some("30000/1001"));
        assert_eq!(said(&facts, Field::SensorFps), Some("120000/1001"));
    }

    #[test]
    fn an_alpha_names_its_curve_and_keeps_its_number_to_itself() {
        let facts = nrt("<Device manufacturer=\"Sony\" modelName=\"ILME-FX3\" serialNo=\"4294967295\"/>\
             <RelevantFiles><RelatedTo file=\"my.cube\" rel=\"LUT\"/></RelevantFiles>\
             <AcquisitionRecord><Group name=\"CameraUnitMetadataSet\">\
             <Item name=\"CaptureGammaEquation\" value=\"s-log3-cine\"/>\
             <Item name=\"CaptureColorPrimaries\" value=\"s-gamut3-cine\"/></Group>\
             <Group name=\"ExifGPS\"><Item name=\"Status\" value=\"A\"/><Item name=\"LatitudeRef\" value=\"N\"/>\
             <Item name=\"Latitude\" value=\"35:30:00.0\"/><Item name=\"LongitudeRef\" value=\"W\"/>\
             <Item name=\"Longitude\" value=\"139:45:00\"/></Group></AcquisitionRecord>\
             <UserDescriptiveMetadata><Meta name=\"Circle\" content=\"true\"/><Meta name=\"Reel\" content=\"X7\"/>\
             </UserDescriptiveMetadata>");
        assert_eq!(said(&facts, Field::Model), Some("ILME-FX3"));
        assert_eq!(said(&facts, Field::Serial), None);
        assert_eq!(said(&facts, Field::Log), Some("S-Log3"));
        assert_eq!(said(&facts, Field::Gamut), Some("S-Gamut3.Cine"));
        assert_eq!(said(&facts, Field::Look), Some("my.cube"));
        assert_eq!(said(&facts, Field::Gps), Some("35.5,-139.75"));
        assert_eq!(said(&facts, Field::Circled), Some("1"));
        assert_eq!(said(&facts, Field::Reel), Some("X7"));
    }

    #[test]
    fn a_camera_that_only_its_attributes_name_is_not_its_recorder() {
        let facts =
            nrt("<Device manufacturer=\"Sony\" modelName=\"AXS-R7\" serialNo=\"1\"/><AcquisitionRecord><Group>\
             <Item name=\"CameraAttributes\" value=\"MPC-2610 0020001 Version 3.00\"/></Group></AcquisitionRecord>");
        assert_eq!(said(&facts, Field::Model), Some("BURANO (MPC-2610)"));
        assert_eq!(said(&facts, Field::Serial), Some("0020001"));
        assert_eq!(said(&facts, Field::Firmware), Some("3.00"));
    }

    #[test]
    fn other_documents_and_encodings() {
        assert_eq!(facts(b""), None);
        assert_eq!(facts(b"<a/>"), None);
        assert_eq!(facts(b"<!DOCTYPE a [<!ENTITY x \"y\">]><NonRealTimeMeta/>"), None);
        let text =
            "<?xml version=\"1.0\" encoding=\"UTF-16\"?><NonRealTimeMeta><Duration value=\"7\"/></NonRealTimeMeta>";
        let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect();
        for bytes in [le, be] {
            assert_eq!(said(&facts(&bytes).unwrap(), Field::Duration), Some("7"));
        }
        let latin = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><NonRealTimeMeta><Lens modelName=\"Gro\xdf\"/></NonRealTimeMeta>\0\0";
        assert_eq!(said(&facts(latin).unwrap(), Field::Lens), Some("Groß"));
        assert_eq!(facts(b"<NonRealTimeMeta><Lens modelName=\"Gro\xdf\"/></NonRealTimeMeta>"), None);
    }
}
