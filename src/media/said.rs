//! What libav said of a clip, value by value, in the forms of `fact.rs`.

use super::protocol::{Facts, Kind, Stream};
use crate::clip::{ClipMetadata, VideoMetadata};
use crate::fact::{Fact, Field, Origin, Said};
use crate::read::{mdpm, wording};
use crate::timecode::FrameRate;

/// Every value of the container and its streams that has a field. `m` is what [`super::describe`] made of the same
/// facts. The bit rate is not among them: only who knows the file's size can tell it.
pub(super) fn said(facts: &Facts, m: &ClipMetadata) -> Vec<Said> {
    let mut out = Sayings::default();
    let v = m.video.as_ref();
    let plays = v.and_then(|v| plays(v, facts));
    for (field, value) in [
        (Field::Make, m.camera_make.clone()),
        (Field::Model, m.camera_model.clone()),
        (Field::Reel, m.reel.clone()),
        (Field::Fps, plays.map(FrameRate::fraction)),
        (Field::Duration, m.duration_frames.filter(|_| v.is_some()).map(|n| n.to_string())),
        (Field::TimeReference, m.time_reference.map(|n| n.to_string())),
        (Field::SampleRate, m.audio.iter().map(|a| a.sample_rate_hz).find(|n| *n > 0).map(|n| n.to_string())),
    ] {
        out.put(field, value);
    }
    if let Some(v) = v {
        picture(v, &mut out);
    } else if let Some(sound) = m.audio.first() {
        out.put(Field::Codec, Some(sound.codec.clone()));
    }
    for candidate in timecodes(facts, plays.or(v.and_then(|v| v.rate)), m) {
        out.put(Field::StartTc, Some(candidate));
    }
    for text in dates(facts) {
        out.put(Field::RecordedAt, wording::moment(text).filter(|t| !t.starts_with("1980")));
    }
    tags(facts, &mut out);
    if let Some(bytes) = facts.first_unit.as_deref().and_then(mdpm::find) {
        let packs = mdpm::facts(&bytes, plays).into_iter();
        out.0.extend(packs.map(|fact| Said { fact, origin: Origin::File, by: "mdpm".into() }));
    }
    out.0
}

/// Values in the order they were said, each once.
#[derive(Default)]
struct Sayings(Vec<Said>);

impl Sayings {
    fn put(&mut self, field: Field, value: Option<impl Into<String>>) {
        let Some(fact) = value.and_then(|v| Fact::new(field, v)) else { return };
        if self.0.len() < 300 && !self.0.iter().any(|s| s.fact == fact) {
            self.0.push(Said { fact, origin: Origin::File, by: "libav".into() });
        }
    }
}

fn picture(v: &VideoMetadata, out: &mut Sayings) {
    let some = |n: u32| (n > 0).then(|| n.to_string());
    out.put(Field::Width, some(v.width));
    out.put(Field::Height, some(v.height));
    out.put(Field::PixelAspect, v.pixel_aspect.map(|(a, b)| format!("{a}:{b}")));
    out.put(Field::Codec, Some(v.codec.clone()));
    out.put(Field::BitDepth, v.bit_depth.map(|n| n.to_string()));
    out.put(Field::Chroma, v.pixel_format.as_deref().and_then(chroma));
    out.put(Field::Primaries, v.primaries.clone());
    out.put(Field::Transfer, v.transfer.clone());
    out.put(Field::Matrix, v.matrix.clone());
}

/// Frames a second. Interlaced transport streams are announced at their field rate; where the rate varies, none is
/// true.
fn plays(v: &VideoMetadata, facts: &Facts) -> Option<FrameRate> {
    let twice = |r: FrameRate| FrameRate::new(r.num(), r.den().checked_mul(2)?);
    match (v.rate, v.average_rate) {
        (Some(r), Some(avg)) if twice(r) == Some(avg) => Some(avg),
        (Some(r), None) if facts.format == "mpegts" => {
            // No average where the file is too short for one: fields or frames, nothing says.
            (r.nominal() <= 30).then_some(r)
        }
        (Some(r), Some(avg)) if r != avg => near(r, avg).then_some(r),
        (rate, average) => rate.or(average),
    }
}

/// Within a tenth of a percent: what a rounded duration makes of a constant rate.
fn near(a: FrameRate, b: FrameRate) -> bool {
    let cross = |x: FrameRate, y: FrameRate| u128::from(x.num()) * u128::from(y.den());
    let (p, q) = (cross(a, b), cross(b, a));
    p.abs_diff(q) * 1000 <= p.max(q)
}

/// Of libav's names of pixel formats.
fn chroma(name: &str) -> Option<&'static str> {
    const KINDS: &[(&str, &str)] = &[
        ("yuv420", "4:2:0"),
        ("yuvj420", "4:2:0"),
        ("yuva420", "4:2:0"),
        ("nv12", "4:2:0"),
        ("nv21", "4:2:0"),
        ("p010", "4:2:0"),
        ("p016", "4:2:0"),
        ("yuv422", "4:2:2"),
        ("yuvj422", "4:2:2"),
        ("yuva422", "4:2:2"),
        ("yuyv422", "4:2:2"),
        ("uyvy422", "4:2:2"),
        ("nv16", "4:2:2"),
        ("p210", "4:2:2"),
        ("yuv444", "4:4:4"),
        ("yuvj444", "4:4:4"),
        ("yuva444", "4:4:4"),
        ("gbr", "4:4:4"),
        ("rgb", "4:4:4"),
        ("bgr", "4:4:4"),
        ("yuv411", "4:1:1"),
        ("yuvj411", "4:1:1"),
        ("yuv410", "4:1:0"),
        ("yuv440", "4:4:0"),
        ("yuvj440", "4:4:0"),
        ("bayer", "bayer"),
    ];
    KINDS.iter().find(|(start, _)| name.starts_with(start)).map(|(_, kind)| *kind)
}

/// Every start that is said, in the order of `describe`: the timecode track, the streams, the container, sound.
fn timecodes(facts: &Facts, plays: Option<FrameRate>, m: &ClipMetadata) -> Vec<String> {
    let mut out = Vec::new();
    let is_track = |s: &Stream| s.kind == Kind::Data && s.fourcc == "tmcd";
    let own = |s: &Stream| FrameRate::new(u32::try_from(s.average_rate.0).ok()?, u32::try_from(s.average_rate.1).ok()?);
    let tracks = facts.streams.iter().filter(|s| is_track(s)).map(|s| (&s.tags, own(s).or(plays)));
    // The copies of a track's value in other places count as the track does.
    // Above 30 frames a second these may count pairs (Sony's MP4 does), and nothing says so.
    let plays = plays.filter(|r| r.nominal() <= 30);
    let rest = facts.streams.iter().filter(|s| !is_track(s)).map(|s| &s.tags).chain([&facts.tags]).map(|t| (t, plays));
    let mut seen: Vec<&str> = Vec::new();
    for (tags, rate) in tracks.chain(rest) {
        if let Some(text) = tag(tags, "timecode")
            && !seen.contains(&text)
        {
            seen.push(text);
            out.extend(wording::timecode(text, rate));
        }
    }
    if m.tc_source.as_deref() == Some("bwf") {
        out.extend(m.start_tc.map(|tc| format!("{tc}@{}", tc.rate.fraction())));
    }
    out
}

/// The one that knows its zone first; `creation_time` is UTC.
fn dates(facts: &Facts) -> impl Iterator<Item = &str> {
    let all = |key: &'static str| all_tags(facts).filter_map(move |t| tag(t, key));
    all("com.apple.quicktime.creationdate").chain(all("creation_time")).filter(|t| !t.starts_with("1970-01-01"))
}

type Form = fn(&str) -> Option<String>;

/// Tags by the end of their key, with how their value is read. ARRI: `com.arri.camera.*`; Apple:
/// `com.apple.quicktime.*` and, by Apple's own ProRes cameras, `com.apple.proapps.*`; Blackmagic: plain keys.
const TAGS: &[(&str, Field, Form)] = &[
    ("com.arri.camera.cameraserialnumber", Field::Serial, word),
    ("com.arri.camera.cameraindex", Field::Camera, |t| word(t.trim().trim_end_matches('_'))),
    ("com.arri.camera.reelname", Field::Reel, word),
    ("com.arri.camera.scenename", Field::Scene, word),
    ("com.arri.camera.takename", Field::Take, word),
    ("com.arri.camera.clipname", Field::ClipName, word),
    ("com.arri.camera.exposureindexasa", Field::Iso, wording::iso),
    ("com.arri.camera.whitebalancekelvin", Field::WhiteBalance, wording::kelvin),
    ("com.arri.camera.shutterangle", Field::ShutterAngle, arri_angle),
    ("com.arri.camera.lenstype", Field::Lens, word),
    ("com.arri.camera.colorgammasxs", Field::Log, word),
    ("com.arri.camera.look.name", Field::Look, word),
    ("com.arri.camera.sensorfps", Field::SensorFps, arri_rate),
    ("com.apple.quicktime.content.identifier", Field::ClipId, word),
    ("com.apple.quicktime.software", Field::Firmware, word),
    ("com.apple.quicktime.location.iso6709", Field::Gps, iso6709),
    ("com.apple.proapps.cameraid", Field::Serial, word),
    ("com.apple.proapps.reel", Field::Reel, word),
    ("com.apple.proapps.scene", Field::Scene, word),
    ("com.apple.proapps.shot", Field::Shot, word),
    ("location", Field::Gps, iso6709),
    ("material_package_umid", Field::ClipId, umid),
    ("manufacturer", Field::Make, word),
    ("camera_type", Field::Model, word),
    ("camera_id", Field::Serial, word),
    ("camera_number", Field::Camera, word),
    ("firmware_version", Field::Firmware, word),
    ("firmware", Field::Firmware, word),
    ("clip_number", Field::ClipName, word),
    ("scene", Field::Scene, word),
    ("take", Field::Take, word),
    ("good_take", Field::Circled, |t| wording::yes(t).map(str::to_owned)),
    ("lens_type", Field::Lens, word),
    ("viewing_gamma", Field::Log, word),
    ("viewing_gamut", Field::Gamut, word),
    ("project_name", Field::Project, project),
];

fn tags(facts: &Facts, out: &mut Sayings) {
    for (key, field, form) in TAGS {
        for tags in all_tags(facts) {
            out.put(*field, tag(tags, key).and_then(form));
        }
    }
    // Only a LUT that is switched on is a look.
    let lut = ["embedded", "sidecar"]
        .into_iter()
        .find(|kind| tag(&facts.tags, "post_3dlut_mode").is_some_and(|mode| mode.to_ascii_lowercase().contains(kind)));
    out.put(Field::Look, lut.and_then(|kind| tag(&facts.tags, &format!("post_3dlut_{kind}_name"))));
}

fn word(text: &str) -> Option<String> {
    wording::word(text).map(str::to_owned)
}

/// 1728 is 172.8: tenths of a degree.
fn arri_angle(text: &str) -> Option<String> {
    let tenths: u32 = text.trim().parse().ok()?;
    wording::angle(&format!("{}.{}", tenths / 10, tenths % 10))
}

/// 24000 is 24: thousandths of a frame, where it is a whole number that large.
fn arri_rate(text: &str) -> Option<String> {
    let rate = match text.trim().parse::<u32>() {
        Ok(n) if n >= 1000 => wording::rate(&format!("{}.{:03}", n / 1000, n % 1000)),
        _ => wording::rate(text),
    };
    rate.map(FrameRate::fraction)
}

/// libav's hex of all 32 bytes, as makers write it in their sidecars. One of zeros was never set.
fn umid(text: &str) -> Option<String> {
    let hex = text.trim().strip_prefix("0x").or(text.trim().strip_prefix("0X")).unwrap_or(text.trim());
    let is_umid = matches!(hex.len(), 64 | 128) && hex.bytes().all(|b| b.is_ascii_hexdigit());
    (is_umid && hex.bytes().any(|b| b != b'0')).then(|| hex.to_ascii_uppercase())
}

/// A program's default is no project.
fn project(text: &str) -> Option<String> {
    word(text).filter(|t| !t.to_ascii_lowercase().contains("untitled"))
}

/// `+27.1281+100.2508+000.000/` (ISO 6709), in decimal degrees only.
fn iso6709(text: &str) -> Option<String> {
    let text = text.trim().split(['/', 'C']).next()?;
    let mut parts: Vec<&str> = Vec::new();
    let mut from = 0;
    for (at, _) in text.match_indices(['+', '-']).skip(1) {
        parts.push(&text[from..at]);
        from = at;
    }
    parts.push(&text[from..]);
    if !text.starts_with(['+', '-']) || !(2..=3).contains(&parts.len()) {
        return None;
    }
    // Four digits before the point are degrees and minutes.
    let whole = |t: &str| t.split('.').next().map_or(0, str::len) - 1;
    (whole(parts[0]) <= 2 && whole(parts[1]) <= 3).then(|| wording::place(parts[0], parts[1], parts.get(2).copied()))?
}

fn all_tags(facts: &Facts) -> impl Iterator<Item = &Vec<(String, String)>> {
    std::iter::once(&facts.tags).chain(facts.streams.iter().map(|s| &s.tags))
}

fn tag<'a>(tags: &'a [(String, String)], key: &str) -> Option<&'a str> {
    let found = tags.iter().find(|(k, v)| k.eq_ignore_ascii_case(key) && !v.trim().is_empty());
    found.map(|(_, v)| v.trim())
}

#[cfg(test)]
mod tests {
    use super::super::describe::describe;
    use super::*;

    fn list(tags: &[(&str, &str)]) -> Vec<(String, String)> {
        tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn picture(rate: (i32, i32), average_rate: (i32, i32)) -> Stream {
        let time_base = (1, 90_000);
        Stream {
            kind: Kind::Video,
            best: true,
            codec: "prores".into(),
            rate,
            average_rate,
            time_base,
            ..Stream::default()
        }
    }

    fn of(format: &str, streams: Vec<Stream>, tags: &[(&str, &str)]) -> Vec<(Field, String)> {
        let m = describe(Facts { format: format.into(), tags: list(tags), streams, ..Facts::default() });
        assert!(m.said.iter().all(|s| s.origin == Origin::File && s.by == "libav"));
        m.said.into_iter().map(|s| (s.fact.field, s.fact.value)).collect()
    }

    fn values(said: &[(Field, String)], field: Field) -> Vec<&str> {
        said.iter().filter(|(f, _)| *f == field).map(|(_, v)| v.as_str()).collect()
    }

    #[test]
    fn an_arri_clip_says_what_its_tags_say() {
        let track = Stream {
            fourcc: "tmcd".into(),
            average_rate: (24, 1),
            tags: list(&[("timecode", "10:00:00:00"), ("reel_name", "A001R1ZA")]),
            ..Stream::default()
        };
        let v = Stream {
            width: 3200,
            height: 1800,
            frames: 48,
            bit_depth: 12,
            pixel_aspect: (1, 1),
            primaries: 1,
            matrix: 2,
            pixel_format: Some("yuv444p12le".into()),
            ..picture((24, 1), (24, 1))
        };
        let tags = [
            ("com.arri.camera.CameraModel", "ALEXA Mini"),
            ("com.arri.camera.CameraSerialNumber", "2566"),
            ("com.arri.camera.CameraIndex", "A_"),
            ("com.arri.camera.ReelName", "A001R1ZA"),
            ("com.arri.camera.SceneName", "no scene name"),
            ("com.arri.camera.TakeName", "3"),
            ("com.arri.camera.ClipName", "A001C001_180327_R1ZA"),
            ("com.arri.camera.ExposureIndexAsa", "800"),
            ("com.arri.camera.WhiteBalanceKelvin", "5600"),
            ("com.arri.camera.ShutterAngle", "1728"),
            ("com.arri.camera.LensType", "ARRI SP40 T1.8"),
            ("com.arri.camera.ColorGammaSxS", "LOG-C"),
            ("com.arri.camera.look.name", "day"),
            ("com.arri.camera.SensorFps", "48000"),
            ("timecode", "11:00:00:00"),
        ];
        let said = of("mov,mp4", vec![v, track], &tags);
        let want = [
            (Field::Make, "ARRI"),
            (Field::Model, "ALEXA Mini"),
            (Field::Reel, "A001R1ZA"),
            (Field::Fps, "24/1"),
            (Field::Duration, "48"),
            (Field::Width, "3200"),
            (Field::Height, "1800"),
            (Field::PixelAspect, "1:1"),
            (Field::Codec, "prores"),
            (Field::BitDepth, "12"),
            (Field::Chroma, "4:4:4"),
            (Field::Primaries, "bt709"),
            (Field::StartTc, "10:00:00:00@24/1"),
            (Field::StartTc, "11:00:00:00@24/1"),
            (Field::Serial, "2566"),
            (Field::Camera, "A"),
            (Field::Take, "3"),
            (Field::ClipName, "A001C001_180327_R1ZA"),
            (Field::Iso, "800"),
            (Field::WhiteBalance, "5600"),
            (Field::ShutterAngle, "172.8"),
            (Field::Lens, "ARRI SP40 T1.8"),
            (Field::Log, "LOG-C"),
            (Field::Look, "day"),
            (Field::SensorFps, "48/1"),
        ];
        let said: Vec<(Field, &str)> = said.iter().map(|(f, v)| (*f, v.as_str())).collect();
        assert_eq!(said, want);
    }

    #[test]
    fn a_blackmagic_clip_and_its_look() {
        let tags = |mode: &'static str| {
            [
                ("manufacturer", "Blackmagic Design"),
                ("camera_type", "Blackmagic URSA Mini Pro 12K"),
                ("camera_number", "A"),
                ("clip_number", "A001_04190112_C102"),
                ("good_take", "true"),
                ("viewing_gamma", "Blackmagic Design Film"),
                ("post_3dlut_mode", mode),
                ("post_3dlut_embedded_name", "day.cube"),
            ]
        };
        let on = of("mov", vec![], &tags("Embedded 3D LUT"));
        assert_eq!(values(&on, Field::Make), ["Blackmagic Design"]);
        assert_eq!(values(&on, Field::Circled), ["1"]);
        assert_eq!(values(&on, Field::Look), ["day.cube"]);
        assert!(values(&of("mov", vec![], &tags("Disabled")), Field::Look).is_empty());
    }

    #[test]
    fn a_phone_says_where_and_when() {
        let tags = [
            ("creation_time", "2018-01-02T00:00:00.000000Z"),
            ("com.apple.quicktime.creationdate", "2018-01-02T08:00:00+0800"),
            ("com.apple.quicktime.location.ISO6709", "+27.1281+100.2508+000.000/"),
            ("com.apple.quicktime.content.identifier", "A-B"),
        ];
        let said = of("mov", vec![picture((60, 1), (5999, 100))], &tags);
        assert_eq!(values(&said, Field::RecordedAt), ["2018-01-02T08:00:00+08:00", "2018-01-02T00:00:00Z"]);
        assert_eq!(values(&said, Field::Gps), ["27.1281,100.2508,0"]);
        assert_eq!(values(&said, Field::ClipId), ["A-B"]);
        assert_eq!(values(&said, Field::Fps), ["60/1"]);
        // A rate that varies is none.
        assert!(values(&of("mov", vec![picture((359, 12), (21_000, 701))], &[]), Field::Fps).is_empty());
        assert!(values(&of("mov", vec![picture((30, 1), (20, 1))], &[]), Field::Fps).is_empty());
        for unset in ["1904-01-01T00:00:00Z", "1970-01-01T00:00:00Z"] {
            assert!(values(&of("mov", vec![], &[("creation_time", unset)]), Field::RecordedAt).is_empty());
        }
    }

    #[test]
    fn a_timecode_above_thirty_claims_no_rate_but_its_tracks() {
        let v = || picture((60_000, 1001), (60_000, 1001));
        let said = of("mov", vec![v()], &[("timecode", "01:00:00;02")]);
        assert_eq!(values(&said, Field::StartTc), ["01:00:00;02"]);
        let tags = list(&[("timecode", "01:00:00;02")]);
        let track = Stream { fourcc: "tmcd".into(), average_rate: (30_000, 1001), tags, ..Stream::default() };
        let said = of("mov", vec![v(), track], &[("timecode", "01:00:00;02")]);
        assert_eq!(values(&said, Field::StartTc), ["01:00:00;02@30000/1001"]);
    }

    #[test]
    fn mxf_names_the_recording_and_lies_are_left_out() {
        let umid = "0x060A2B340101010501010D43130000004E41F241907305CE784B87FFFEBA9815";
        let said = of("mxf", vec![], &[("material_package_umid", umid)]);
        assert_eq!(values(&said, Field::ClipId), [&umid[2..]]);
        for bad in ["0x", "0x00", &format!("0x{}", "0".repeat(64)), "zz"] {
            assert!(of("mxf", vec![], &[("material_package_umid", bad)]).is_empty(), "{bad}");
        }
        let tags = [
            ("com.arri.camera.ShutterAngle", "99999"),
            ("com.arri.camera.ExposureIndexAsa", "-1"),
            ("location", "+91.0+010.0/"),
            ("good_take", "maybe"),
            ("timecode", "25:00:00:00"),
        ];
        let said = of("mov", vec![], &tags);
        assert_eq!(said.iter().map(|(f, _)| *f).collect::<Vec<_>>(), [Field::Make]);
        for bad in ["", "+", "51.4", "+51.4", "+4912.34+01636.42/", "+é-é", "+0+0/"] {
            assert_eq!(iso6709(bad), None, "{bad}");
        }
    }

    #[test]
    fn interlaced_streams_play_frames() {
        let said = of("mpegts", vec![picture((50, 1), (25, 1))], &[]);
        assert_eq!(values(&said, Field::Fps), ["25/1"]);
        assert!(values(&of("mpegts", vec![picture((50, 1), (0, 0))], &[]), Field::Fps).is_empty());
    }
}
