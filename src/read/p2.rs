//! Panasonic's clip documents: P2's `CLIP/0001AB.XML` (`P2Main`), and the `ClipMain` that LUMIX keeps inside its MOV, under
//! the key `com.panasonic.Semi-Pro.metadata.xml`.
//!
//! Namespaces change with every version and mix in one document, so elements are found by their local names.

use super::wording::{self, Sheet};
use super::xml::{self, Element, Limits, XmlError};
use crate::fact::{Fact, Field};
use crate::timecode::FrameRate;

const LIMITS: Limits = Limits { text_bytes: 64 << 10, ..Limits::of_bytes(4 << 20) };

/// What makes a P2 clip whole, and what it is a part of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clip {
    pub name: Option<String>,
    pub id: Option<String>,
    /// Shared by all clips that one recording was cut into, on this card or on others.
    pub shot_id: Option<String>,
    pub previous: Option<Part>,
    pub next: Option<Part>,
    /// There is a picture.
    pub video: bool,
    /// The picture's file holds the sound too (AVC-LongG).
    pub video_holds_audio: bool,
    /// AVC-LongG, which is written with its sound into one file.
    pub codec_is_long: bool,
    /// Sound channels, a file each unless the picture's file holds them.
    pub audio: usize,
}

/// Another clip of the same shot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    pub name: Option<String>,
    pub id: Option<String>,
}

/// Reads a clip document for completeness.
pub fn clip(bytes: &[u8]) -> Result<Clip, XmlError> {
    let root = parse(bytes)?;
    let content = root.local("ClipContent").ok_or_else(|| wrong(&root))?;
    let relation = content.local("Relation");
    let part = |which: &str| {
        let e = relation?.at(&["Connection", which])?;
        Some(Part { name: text(e, "ClipName"), id: text(e, "GlobalClipID") })
            .filter(|p| p.name.is_some() || p.id.is_some())
    };
    let list = content.local("EssenceList");
    let count = |name: &str| list.map_or(0, |l| l.children.iter().filter(|c| c.name == name).count());
    let video = list.and_then(|l| l.local("Video"));
    Ok(Clip {
        name: text(content, "ClipName"),
        id: text(content, "GlobalClipID"),
        shot_id: relation.and_then(|r| text(r, "GlobalShotID")),
        previous: part("Previous"),
        next: part("Next"),
        video: video.is_some(),
        video_holds_audio: video.and_then(|v| v.attribute("ValidAudioFlag")).and_then(wording::yes) == Some("1"),
        codec_is_long: video
            .and_then(|v| text(v, "Codec"))
            .is_some_and(|c| c.to_ascii_lowercase().replace(['-', '_', ' '], "").contains("longg")),
        audio: count("Audio"),
    })
}

/// Everything the document says that has a field. `None`: not such a document, or not whole.
///
/// Places are left out: the notation of `Latitude` and `Longitude` is not documented, and half a degree is a wrong place.
pub fn facts(bytes: &[u8]) -> Option<Vec<Fact>> {
    let root = parse(bytes).ok()?;
    let content = root.local("ClipContent")?;
    let mut sheet = Sheet::default();
    let at = |path: &[&str]| content.at(path).and_then(|e| wording::word(&e.text));

    sheet.put(Field::ClipId, at(&["GlobalClipID"]));
    sheet.put(Field::ShotId, at(&["Relation", "GlobalShotID"]));
    sheet.put(Field::ClipName, at(&["ClipMetadata", "UserClipName"]).or_else(|| at(&["ClipName"])));
    sheet.put(Field::Duration, at(&["Duration"]).and_then(wording::count));
    let plays = at(&["EditUnit"]).and_then(unit);
    sheet.put(Field::Fps, plays.map(FrameRate::fraction));

    let video = content.at(&["EssenceList", "Video"]);
    let of_video = |name: &str| video.and_then(|v| v.local(name)).and_then(|e| wording::word(&e.text));
    sheet.put(Field::StartTc, video.and_then(|v| start(of_video("StartTimecode")?, v, plays)));
    sheet.put(Field::Codec, of_video("Codec"));
    sheet.put(Field::Width, of_video("ActivePixel").and_then(wording::count));
    sheet.put(Field::Height, of_video("ActiveLine").and_then(wording::count));
    sheet.put(Field::BitDepth, of_video("BitDepth").and_then(wording::count));
    sheet.put(Field::SampleRate, at(&["EssenceList", "Audio", "SamplingRate"]).and_then(wording::count));

    let about = |path: [&str; 2]| at(&["ClipMetadata", path[0], path[1]]);
    sheet.put(Field::Make, about(["Device", "Manufacturer"]));
    sheet.put(Field::Model, about(["Device", "ModelName"]));
    sheet.put(Field::Serial, about(["Device", "SerialNo."]).or_else(|| about(["Device", "SerialNo"])));
    let shot = about(["Shoot", "StartDate"]).or_else(|| about(["Access", "CreationDate"]));
    sheet.put(Field::RecordedAt, shot.and_then(wording::moment));
    sheet.put(Field::Project, about(["Scenario", "ProgramName"]));
    sheet.put(Field::Scene, about(["Scenario", "SceneNo."]));
    sheet.put(Field::Take, about(["Scenario", "TakeNo."]));
    for e in content.at(&["ClipMetadata", "News"]).iter().flat_map(|n| &n.children) {
        sheet.put(Field::Note, wording::word(&e.text).map(|text| format!("{}: {text}", e.name)));
    }
    for memo in content.at(&["ClipMetadata", "MemoList"]).iter().flat_map(|l| &l.children) {
        sheet.put(Field::Note, memo.local("Text").and_then(|e| wording::word(&e.text)));
    }
    if let Some(camera) = find(&root, "CameraUnitMetadata") {
        let of = |name: &str| find(camera, name).and_then(|e| wording::word(&e.text));
        sheet.put(Field::Iso, of("ISOSensitivity").and_then(wording::iso));
        sheet.put(Field::Log, of("CaptureGamma"));
        sheet.put(Field::Gamut, of("CaptureGamut"));
    }
    Some(sheet.done())
}

fn parse(bytes: &[u8]) -> Result<Element, XmlError> {
    let root = xml::parse_any(bytes, LIMITS)?;
    match root.name.as_str() {
        "P2Main" | "ClipMain" => Ok(root),
        _ => Err(wrong(&root)),
    }
}

fn wrong(root: &Element) -> XmlError {
    XmlError::Syntax { at: 0, what: format!("\"{}\" is no clip", root.name) }
}

fn text(e: &Element, name: &str) -> Option<String> {
    e.local(name).map(|c| c.text.trim().to_owned()).filter(|t| !t.is_empty())
}

/// At any depth; what was parsed is not deep.
fn find<'a>(e: &'a Element, name: &str) -> Option<&'a Element> {
    let mut open = vec![e];
    while let Some(e) = open.pop() {
        if e.name == name {
            return Some(e);
        }
        open.extend(e.children.iter().rev());
    }
    None
}

/// `1001/30000` is the length of a frame in seconds.
fn unit(text: &str) -> Option<FrameRate> {
    let (num, den) = text.split_once('/')?;
    FrameRate::new(den.trim().parse().ok()?, num.trim().parse().ok()?)
}

/// Whether frames are dropped is an attribute of the rate, or a type of its own in newer documents; where both could be,
/// one of them must be there. Above 30 frames a second a timecode counts pairs or not, and nothing here says which, so
/// that no rate is claimed.
fn start(text: &str, video: &Element, plays: Option<FrameRate>) -> Option<String> {
    let flag = video.local("FrameRate").and_then(|r| r.attribute("DropFrameFlag")).and_then(wording::yes);
    let kind = video.local("TimecodeType").map(|t| t.text.trim());
    let drop = match (flag, kind) {
        (Some(flag), _) => Some(flag == "1"),
        (_, Some("Drop")) => Some(true),
        (_, Some("NonDrop")) => Some(false),
        _ => text.contains(';').then_some(true),
    };
    let text = match drop {
        Some(true) => text.rsplit_once([':', ';']).map(|(head, frames)| format!("{head};{frames}"))?,
        None if plays.is_none_or(FrameRate::can_drop) => return None,
        _ => text.to_owned(),
    };
    wording::timecode(&text, plays.filter(|p| p.nominal() <= 30))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::told::{all, said};
    use proptest::prelude::*;

    const CLIP: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<P2Main xmlns="urn:schemas-Professional-Plug-in:P2:ClipMetadata:v3.1"><ClipContent>
 <ClipName>0001AB</ClipName><GlobalClipID>060A01</GlobalClipID><Duration>100</Duration><EditUnit>1001/30000</EditUnit>
 <Relation><OffsetInShot>0</OffsetInShot><GlobalShotID>060ASHOT</GlobalShotID><Connection>
  <Top><ClipName>0001AB</ClipName><GlobalClipID>060A01</GlobalClipID></Top>
  <Next><ClipName>0002CD</ClipName><GlobalClipID>060A02</GlobalClipID><P2SerialNo.>AAA1</P2SerialNo.></Next>
 </Connection></Relation>
 <EssenceList>
  <Video ValidAudioFlag="false"><VideoFormat>MXF</VideoFormat><Codec Class="100">AVC-I_1080/59.94i</Codec>
   <FrameRate DropFrameFlag="true">59.94i</FrameRate><StartTimecode>01:00:00:02</StartTimecode></Video>
  <Audio><SamplingRate>48000</SamplingRate></Audio><Audio/><Audio/><Audio/>
 </EssenceList>
 <ClipMetadata><UserClipName>Interview 1</UserClipName>
  <Device><Manufacturer>Panasonic</Manufacturer><SerialNo.>K1</SerialNo.><ModelName>AJ-PX800G</ModelName></Device>
  <Shoot><StartDate>2014-03-01T10:00:00+09:00</StartDate><Location><Latitude>N35.1</Latitude></Location></Shoot>
  <Scenario><ProgramName>News</ProgramName><SceneNo.>12</SceneNo.><TakeNo.>3</TakeNo.></Scenario>
  <News><Reporter>R. Eporter</Reporter></News>
  <MemoList><Memo MemoID="1"><Offset>5</Offset><Text>good &amp; short</Text></Memo></MemoList>
  <Thumbnail><Width>80</Width></Thumbnail>
 </ClipMetadata></ClipContent></P2Main>"#;

    #[test]
    fn a_clip_names_its_essence_and_the_clips_it_goes_on_in() {
        let clip = clip(CLIP.as_bytes()).unwrap();
        assert_eq!((clip.name.as_deref(), clip.id.as_deref()), (Some("0001AB"), Some("060A01")));
        assert_eq!((clip.video, clip.video_holds_audio, clip.codec_is_long, clip.audio), (true, false, false, 4));
        assert_eq!(clip.shot_id.as_deref(), Some("060ASHOT"));
        assert_eq!(clip.next, Some(Part { name: Some("0002CD".into()), id: Some("060A02".into()) }));
        assert_eq!(clip.previous, None);
    }

    #[test]
    fn every_named_value_becomes_a_fact() {
        let facts: Vec<String> =
            facts(CLIP.as_bytes()).unwrap().into_iter().map(|f| format!("{}={}", f.field.name(), f.value)).collect();
        assert_eq!(
            facts,
            [
                "clip_id=060A01",
                "shot_id=060ASHOT",
                "clip_name=Interview 1",
                "duration=100",
                "fps=30000/1001",
                "start_tc=01:00:00;02@30000/1001",
                "codec=AVC-I_1080/59.94i",
                "sample_rate=48000",
                "make=Panasonic",
                "model=AJ-PX800G",
                "serial=K1",
                "recorded_at=2014-03-01T10:00:00+09:00",
                "project=News",
                "scene=12",
                "take=3",
                "note=Reporter: R. Eporter",
                "note=good & short",
            ]
        );
    }

    #[test]
    fn a_lumix_document_is_read_too_across_its_namespaces() {
        let text = r#"<ClipMain xmlns="urn:a"><ClipContent><GlobalClipID>0A</GlobalClipID><EditUnit>1001/60000</EditUnit>
            <EssenceList><Video><StartTimecode>00:02:39:03</StartTimecode><TimecodeType>Drop</TimecodeType></Video></EssenceList>
            </ClipContent><UserArea><AcquisitionMetadata xmlns="urn:b"><CameraUnitMetadata>
            <ISOSensitivity>640</ISOSensitivity><Gamma><CaptureGamma>V-Log</CaptureGamma></Gamma>
            <Gamut><CaptureGamut>V-Gamut</CaptureGamut></Gamut></CameraUnitMetadata></AcquisitionMetadata></UserArea></ClipMain>"#;
        let said = |field| facts(text.as_bytes()).unwrap().into_iter().find(|f| f.field == field).map(|f| f.value);
        assert_eq!(said(Field::StartTc).as_deref(), Some("00:02:39;03"), "no rate above 30 frames a second");
        assert_eq!(said(Field::Iso).as_deref(), Some("640"));
        assert_eq!((said(Field::Log).as_deref(), said(Field::Gamut).as_deref()), (Some("V-Log"), Some("V-Gamut")));
    }

    #[test]
    fn nonsense_says_nothing() {
        let text = CLIP.replace("01:00:00:02", "1:0:0").replace("1001/30000", "0/0").replace(">100<", ">-<");
        let fields: Vec<_> = facts(text.as_bytes()).unwrap().into_iter().map(|f| f.field).collect();
        for field in [Field::StartTc, Field::Fps, Field::Duration] {
            assert!(!fields.contains(&field), "{}", field.name());
        }
        assert!(clip(b"<P2Main/>").is_err() && clip(b"<html/>").is_err() && facts(b"<html>").is_none());
    }

    #[test]
    fn a_cut_document_is_refused() {
        for at in (0..CLIP.len()).step_by(7) {
            assert!(clip(&CLIP.as_bytes()[..at]).is_err(), "cut at {at}");
        }
    }

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
        for bad in ["", "<ClipMain/>", "<NonRealTimeMeta/>", "<!DOCTYPE ClipMain><ClipMain><ClipContent/></ClipMain>"] {
            assert_eq!(facts(bad.as_bytes()), None, "{bad}");
        }
        let odd = "<ClipMain><ClipContent><EditUnit>0/0</EditUnit><Duration>-1</Duration></ClipContent></ClipMain>";
        assert_eq!(facts(odd.as_bytes()), Some(Vec::new()));
    }

    proptest! {
        #[test]
        fn no_damage_makes_it_panic(at in any::<prop::sample::Index>(), bytes in proptest::collection::vec(any::<u8>(), 0..9)) {
            let mut text = CLIP.as_bytes().to_vec();
            let at = at.index(text.len());
            text.splice(at..at, bytes);
            let _ = clip(&text);
            facts(&text);
        }
    }
}
