//! Panasonic's clip documents: P2's `CLIP/0001AB.XML` (`P2Main`), and the `ClipMain` that LUMIX keeps inside its MOV.
//!
//! Namespaces change with every version and mix in one document, so elements are found by their local names.

use super::xml::{self, Element, Limits, XmlError, decode};
use crate::fact::{Fact, Field};

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
    let content = child(&root, "ClipContent").ok_or_else(|| wrong(&root))?;
    let relation = child(content, "Relation");
    let part = |which: &str| {
        let e = child(child(relation?, "Connection")?, which)?;
        Some(Part { name: text(e, "ClipName"), id: text(e, "GlobalClipID") })
            .filter(|p| p.name.is_some() || p.id.is_some())
    };
    let list = child(content, "EssenceList");
    let count = |name: &str| list.map_or(0, |l| l.children.iter().filter(|c| c.name == name).count());
    let video = list.and_then(|l| child(l, "Video"));
    Ok(Clip {
        name: text(content, "ClipName"),
        id: text(content, "GlobalClipID"),
        shot_id: relation.and_then(|r| text(r, "GlobalShotID")),
        previous: part("Previous"),
        next: part("Next"),
        video: video.is_some(),
        video_holds_audio: video.and_then(|v| v.attribute("ValidAudioFlag")).is_some_and(is_true),
        codec_is_long: video
            .and_then(|v| text(v, "Codec"))
            .is_some_and(|c| c.to_ascii_lowercase().replace(['-', '_', ' '], "").contains("longg")),
        audio: count("Audio"),
    })
}

/// Everything the document says that has a field. Nothing of a document that cannot be read.
///
/// Places are left out: the notation of `Latitude` and `Longitude` is not documented, and half a degree is a wrong place.
pub fn facts(bytes: &[u8]) -> Vec<Fact> {
    let Ok(root) = parse(bytes) else { return Vec::new() };
    let Some(content) = child(&root, "ClipContent") else { return Vec::new() };
    let mut out = Vec::new();
    let mut say = |field, value: Option<String>| out.extend(value.and_then(|v| Fact::new(field, v)));
    let at = |path: &[&str]| path.iter().try_fold(content, |e, name| child(e, name)).map(|e| e.text.clone());

    say(Field::ClipId, at(&["GlobalClipID"]));
    say(Field::ShotId, at(&["Relation", "GlobalShotID"]));
    let named_by_user = at(&["ClipMetadata", "UserClipName"]).filter(|n| !n.trim().is_empty());
    say(Field::ClipName, named_by_user.or_else(|| at(&["ClipName"])));
    let duration = at(&["Duration"]).filter(|d| d.trim().parse::<u64>().is_ok());
    say(Field::Duration, duration);
    let fps = at(&["EditUnit"]).and_then(|unit| rate(&unit));
    say(Field::Fps, fps.map(|(num, den)| format!("{num}/{den}")));

    let video = child(content, "EssenceList").and_then(|l| child(l, "Video"));
    say(Field::StartTc, video.and_then(|v| start_tc(v, fps)));
    for (field, name) in [
        (Field::Codec, "Codec"),
        (Field::Width, "ActivePixel"),
        (Field::Height, "ActiveLine"),
        (Field::BitDepth, "BitDepth"),
    ] {
        say(field, video.and_then(|v| text(v, name)));
    }
    let audio = child(content, "EssenceList").and_then(|l| child(l, "Audio"));
    say(Field::SampleRate, audio.and_then(|a| text(a, "SamplingRate")));

    for (field, path) in [
        (Field::Make, ["Device", "Manufacturer"]),
        (Field::Model, ["Device", "ModelName"]),
        (Field::Serial, ["Device", "SerialNo."]),
        (Field::RecordedAt, ["Shoot", "StartDate"]),
        (Field::Project, ["Scenario", "ProgramName"]),
        (Field::Scene, ["Scenario", "SceneNo."]),
        (Field::Take, ["Scenario", "TakeNo."]),
    ] {
        say(field, at(&["ClipMetadata", path[0], path[1]]));
    }
    let news = child(content, "ClipMetadata").and_then(|m| child(m, "News"));
    for e in news.iter().flat_map(|n| &n.children) {
        say(Field::Note, labelled(&e.name, &e.text));
    }
    let memos = child(content, "ClipMetadata").and_then(|m| child(m, "MemoList"));
    for memo in memos.iter().flat_map(|l| l.children.iter().filter(|c| c.name == "Memo")) {
        say(Field::Note, text(memo, "Text"));
    }
    if let Some(camera) = find(&root, "CameraUnitMetadata") {
        say(Field::Iso, text(camera, "ISOSensitivity"));
        say(Field::Log, find(camera, "CaptureGamma").map(|e| e.text.clone()));
        say(Field::Gamut, find(camera, "CaptureGamut").map(|e| e.text.clone()));
    }
    out
}

fn parse(bytes: &[u8]) -> Result<Element, XmlError> {
    xml::parse(decode(bytes)?.trim_end_matches(['\0', ' ', '\r', '\n']).as_bytes(), LIMITS).and_then(|root| match root
        .name
        .as_str()
    {
        "P2Main" | "ClipMain" => Ok(root),
        _ => Err(wrong(&root)),
    })
}

fn wrong(root: &Element) -> XmlError {
    XmlError::Syntax { at: 0, what: format!("\"{}\" is no clip", root.name) }
}

fn child<'a>(e: &'a Element, name: &str) -> Option<&'a Element> {
    e.children.iter().find(|c| c.name == name)
}

fn text(e: &Element, name: &str) -> Option<String> {
    child(e, name).map(|c| c.text.trim().to_owned()).filter(|t| !t.is_empty())
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

fn is_true(value: &str) -> bool {
    matches!(value.trim(), "true" | "1")
}

fn labelled(name: &str, text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| format!("{name}: {text}"))
}

/// `1001/30000`, the length of one frame in seconds, as frames a second.
fn rate(unit: &str) -> Option<(u32, u32)> {
    let (num, den) = unit.trim().split_once('/')?;
    let (num, den): (u32, u32) = (den.trim().parse().ok()?, num.trim().parse().ok()?);
    (num > 0 && den > 0).then_some((num, den))
}

/// Above 30 frames a second it counts pairs of frames or frames, and the document does not say which: no rate then.
fn start_tc(video: &Element, fps: Option<(u32, u32)>) -> Option<String> {
    let tc = text(video, "StartTimecode")?;
    let numbers: Vec<&str> = tc.split([':', ';', '.']).collect();
    if numbers.len() != 4 || !numbers.iter().all(|n| n.len() == 2 && n.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let flagged = child(video, "FrameRate").and_then(|r| r.attribute("DropFrameFlag")).is_some_and(is_true);
    let drop = flagged || text(video, "TimecodeType").is_some_and(|t| t == "Drop");
    let mark = if drop { ';' } else { ':' };
    let counted = fps.filter(|(num, den)| u64::from(*num) <= 30 * u64::from(*den));
    let counted = counted.map(|(num, den)| format!("@{num}/{den}")).unwrap_or_default();
    Some(format!("{}:{}:{}{mark}{}{counted}", numbers[0], numbers[1], numbers[2], numbers[3]))
}

#[cfg(test)]
mod tests {
    use super::*;
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
            facts(CLIP.as_bytes()).into_iter().map(|f| format!("{}={}", f.field.name(), f.value)).collect();
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
        let said = |field| facts(text.as_bytes()).into_iter().find(|f| f.field == field).map(|f| f.value);
        assert_eq!(said(Field::StartTc).as_deref(), Some("00:02:39;03"), "no rate above 30 frames a second");
        assert_eq!(said(Field::Iso).as_deref(), Some("640"));
        assert_eq!((said(Field::Log).as_deref(), said(Field::Gamut).as_deref()), (Some("V-Log"), Some("V-Gamut")));
    }

    #[test]
    fn nonsense_says_nothing() {
        let text = CLIP.replace("01:00:00:02", "1:0:0").replace("1001/30000", "0/0").replace(">100<", ">-<");
        let fields: Vec<_> = facts(text.as_bytes()).into_iter().map(|f| f.field).collect();
        for field in [Field::StartTc, Field::Fps, Field::Duration] {
            assert!(!fields.contains(&field), "{}", field.name());
        }
        assert!(clip(b"<P2Main/>").is_err() && clip(b"<html/>").is_err() && facts(b"<html>").is_empty());
    }

    #[test]
    fn a_cut_document_is_refused() {
        for at in (0..CLIP.len()).step_by(7) {
            assert!(clip(&CLIP.as_bytes()[..at]).is_err(), "cut at {at}");
        }
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
