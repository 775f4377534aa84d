//! Panasonic's ClipMain for its consumer cameras: the XML inside a LUMIX's MOV or MP4, under the key
//! `com.panasonic.Semi-Pro.metadata.xml`. What is known of it comes from the documents of real cameras.

use super::wording::{self, Sheet};
use super::xml::{self, Element, Limits};
use crate::fact::{Fact, Field};
use crate::timecode::FrameRate;

const LIMITS: Limits = Limits::of_bytes(1 << 20);

/// `None`: not such a document, or not whole.
pub fn facts(bytes: &[u8]) -> Option<Vec<Fact>> {
    let root = xml::parse_any(bytes, LIMITS).ok().filter(|r| r.name == "ClipMain")?;
    let content = root.local("ClipContent")?;
    let mut sheet = Sheet::default();
    let text = |path: &[&str]| content.at(path).and_then(|e| wording::word(&e.text));
    sheet.put(Field::ClipId, text(&["GlobalClipID"]));
    sheet.put(Field::ClipName, text(&["ClipName"]));
    sheet.put(Field::Duration, text(&["Duration"]).and_then(wording::count));
    let plays = text(&["EditUnit"]).and_then(unit);
    sheet.put(Field::Fps, plays.map(FrameRate::fraction));
    let video = content.at(&["EssenceList", "Video"]);
    let of_video = |name: &str| video.and_then(|v| v.local(name)).and_then(|e| wording::word(&e.text));
    sheet.put(Field::StartTc, of_video("StartTimecode").and_then(|t| start(t, video, plays)));
    sheet.put(Field::Codec, of_video("Codec"));

    sheet.put(Field::Make, text(&["ClipMetadata", "Device", "Manufacturer"]));
    sheet.put(Field::Model, text(&["ClipMetadata", "Device", "ModelName"]));
    let serial =
        text(&["ClipMetadata", "Device", "SerialNo."]).or_else(|| text(&["ClipMetadata", "Device", "SerialNo"]));
    sheet.put(Field::Serial, serial);
    let shot = text(&["ClipMetadata", "Shoot", "StartDate"]);
    sheet.put(
        Field::RecordedAt,
        shot.or_else(|| text(&["ClipMetadata", "Access", "CreationDate"])).and_then(wording::moment),
    );

    let unit = root.at(&["UserArea", "AcquisitionMetadata", "CameraUnitMetadata"]);
    let of_unit = |path: &[&str]| unit.and_then(|u| u.at(path)).and_then(|e| wording::word(&e.text));
    sheet.put(Field::Iso, of_unit(&["ISOSensitivity"]).and_then(wording::iso));
    sheet.put(Field::Log, of_unit(&["Gamma", "CaptureGamma"]));
    sheet.put(Field::Gamut, of_unit(&["Gamut", "CaptureGamut"]));
    Some(sheet.done())
}

/// `1001/24000` is the length of a frame in seconds.
fn unit(text: &str) -> Option<FrameRate> {
    let (num, den) = text.split_once('/')?;
    FrameRate::new(den.trim().parse().ok()?, num.trim().parse().ok()?)
}

/// Above 30 frames a second a timecode counts pairs or not, and nothing here says which, so that no rate is claimed.
/// Whether frames are dropped is an attribute of the rate; where both could be, it must be there.
fn start(text: &str, video: Option<&Element>, plays: Option<FrameRate>) -> Option<String> {
    let flag = video.and_then(|v| v.local("FrameRate")).and_then(|r| r.attribute("DropFrameFlag"));
    let drop = flag.and_then(wording::yes).or(text.contains(';').then_some("1"));
    let text = match drop {
        Some("1") => text.rsplit_once([':', ';']).map(|(head, frames)| format!("{head};{frames}"))?,
        None if plays.is_none_or(FrameRate::can_drop) => return None,
        _ => text.to_owned(),
    };
    wording::timecode(&text, plays.filter(|p| p.nominal() <= 30))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::told::{all, said};

    /// The shape that an S5 writes.
    const S5: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\" ?>\
        <ClipMain xmlns=\"urn:schemas-Professional-Plug-in:Semi-Pro:ClipMetadata:v1.0\"><ClipContent>\
        <GlobalClipID>060A2B340101010501010D2113000000972542627A23BD447BDD146104850023</GlobalClipID>\
        <Duration>624</Duration><EditUnit>1001/24000</EditUnit><ClipMetadata><Rating>0</Rating><Access>\
        <CreationDate>2022-04-19T22:47:21-05:00</CreationDate></Access><Device><Manufacturer>Panasonic</Manufacturer>\
        <ModelName>DC-S5</ModelName></Device><Shoot><StartDate>2022-04-19T22:47:20-05:00</StartDate></Shoot>\
        </ClipMetadata></ClipContent><UserArea>\
        <AcquisitionMetadata xmlns=\"urn:schemas-Professional-Plug-in:P2:CameraMetadata:v1.2\"><CameraUnitMetadata>\
        <ISOSensitivity>640</ISOSensitivity><Gamma><CaptureGamma>V-Log</CaptureGamma></Gamma><Gamut>\
        <CaptureGamut>V-Gamut</CaptureGamut></Gamut></CameraUnitMetadata></AcquisitionMetadata></UserArea></ClipMain>";

    #[test]
    fn a_lumix_says_what_it_knows() {
        let want = [
            (Field::ClipId, "060A2B340101010501010D2113000000972542627A23BD447BDD146104850023"),
            (Field::Duration, "624"),
            (Field::Fps, "24000/1001"),
            (Field::Make, "Panasonic"),
            (Field::Model, "DC-S5"),
            (Field::RecordedAt, "2022-04-19T22:47:20-05:00"),
            (Field::Iso, "640"),
            (Field::Log, "V-Log"),
            (Field::Gamut, "V-Gamut"),
        ];
        assert_eq!(all(&facts(S5.as_bytes()).unwrap()), want);
        for at in 0..S5.len() {
            assert_eq!(facts(&S5.as_bytes()[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn a_timecode_has_the_rate_of_its_picture_up_to_thirty() {
        let with = |unit: &str, flag: &str, tc: &str| {
            let video = format!(
                "<EssenceList><Video><FrameRate{flag}>x</FrameRate><StartTimecode>{tc}</StartTimecode></Video></EssenceList>"
            );
            let text = S5.replace("1001/24000", unit).replace("<ClipMetadata>", &format!("{video}<ClipMetadata>"));
            let facts = facts(text.as_bytes()).unwrap();
            said(&facts, Field::StartTc).map(str::to_owned)
        };
        let drop = " DropFrameFlag=\"true\"";
        assert_eq!(with("1001/30000", drop, "01:00:00:02").as_deref(), Some("01:00:00;02@30000/1001"));
        assert_eq!(
            with("1001/30000", " DropFrameFlag=\"false\"", "01:00:00:02").as_deref(),
            Some("01:00:00:02@30000/1001")
        );
        assert_eq!(with("1001/30000", "", "01:00:00;02").as_deref(), Some("01:00:00;02@30000/1001"));
        assert_eq!(with("1001/30000", "", "01:00:00:02"), None);
        assert_eq!(with("1/50", "", "01:00:00:24").as_deref(), Some("01:00:00:24"));
        assert_eq!(with("1/25", "", "01:00:00:24").as_deref(), Some("01:00:00:24@25/1"));
        assert_eq!(with("1/25", "", "01:00:00:25"), None);
        assert_eq!(with("1/25", drop, "01:00:00:02"), None);
    }

    #[test]
    fn other_documents_are_not_mine() {
        for bad in [
            "",
            "<ClipMain/>",
            "<P2Main><ClipContent/></P2Main>",
            "<!DOCTYPE ClipMain><ClipMain><ClipContent/></ClipMain>",
        ] {
            assert_eq!(facts(bad.as_bytes()), None, "{bad}");
        }
        let odd = "<ClipMain><ClipContent><EditUnit>0/0</EditUnit><Duration>-1</Duration></ClipContent></ClipMain>";
        assert_eq!(facts(odd.as_bytes()), Some(Vec::new()));
    }
}
