//! What libav said, made into words: pure, so that every rule here is tested without a child or a clip.

use super::protocol::{Facts, Kind, Stream, rotation};
use super::said::said;
use crate::clip::{AudioMetadata, ClipMetadata, FileFrames, VideoMetadata};
use crate::timecode::{FrameRate, Timecode};

/// Longer than any recording; what claims more lies.
const MAX_DURATION_MS: i128 = 1000 * 3600 * 24 * 366;

pub(super) fn describe(facts: Facts) -> ClipMetadata {
    let picture = facts.streams.iter().find(|s| s.kind == Kind::Video && s.best);
    let mut video = picture.map(video);
    let still = facts.format.ends_with("_pipe");
    if let Some(v) = video.as_mut().filter(|_| still) {
        // libav gives every single picture 25 frames a second.
        (v.rate, v.average_rate) = (None, None);
    }
    let counted = picture.zip(video.as_ref()).and_then(|(s, v)| frames(s, v, facts.duration_us));
    // An edit list hides some.
    let shown = facts.frames.as_ref().map(|map| map.frames()).filter(|n| *n > 0);
    let duration_frames = if still { Some(1) } else { counted.map(|n| shown.map_or(n, |shown| n.min(shown))) };
    let (start_tc, tc_source) = start(&facts, picture, video.as_ref()).unzip();
    let time_reference = value(&facts.tags, "time_reference").and_then(|t| t.parse().ok());
    let mut m = ClipMetadata {
        duration_ms: duration_ms(&facts, video.as_ref(), duration_frames).filter(|_| !still),
        audio: facts.streams.iter().filter(|s| s.kind == Kind::Audio).map(audio).collect(),
        reel: reel(&facts),
        camera_make: any_tag(&facts, MAKE).or_else(|| mxf_camera(&facts, "company_name")),
        camera_model: any_tag(&facts, MODEL).or_else(|| mxf_camera(&facts, "product_name")),
        recorded_at: recorded_at(&facts),
        container: Some(facts.format.clone()).filter(|f| !f.is_empty()),
        tags: facts.tags.clone(),
        video,
        start_tc,
        tc_source,
        duration_frames,
        time_reference,
        said: Vec::new(),
        frames: facts.frames.iter().map(|map| FileFrames { file: None, before: 0, map: map.clone() }).collect(),
    };
    m.said = said(&facts, &m);
    m
}

fn video(s: &Stream) -> VideoMetadata {
    VideoMetadata {
        codec: codec(s),
        profile: s.profile.clone(),
        width: bounded(s.width),
        height: bounded(s.height),
        rate: rate(s.rate),
        average_rate: rate(s.average_rate),
        pixel_format: s.pixel_format.clone(),
        pixel_aspect: aspect(s.pixel_aspect),
        bit_depth: u8::try_from(s.bit_depth).ok().filter(|d| (1..=64).contains(d)),
        primaries: name_of(PRIMARIES, s.primaries),
        transfer: name_of(TRANSFER, s.transfer),
        matrix: name_of(MATRIX, s.matrix),
        range: name_of(&[(1, "tv"), (2, "pc")], s.range),
        rotation_deg: s.display.map_or(0, rotation),
    }
}

fn audio(s: &Stream) -> AudioMetadata {
    AudioMetadata {
        codec: codec(s),
        channels: u16::try_from(s.channels).ok().filter(|n| *n <= 1024).unwrap_or(0),
        sample_rate_hz: u32::try_from(s.sample_rate_hz).ok().filter(|n| *n <= 10_000_000).unwrap_or(0),
        file: None,
    }
}

/// The container's code where libav has no name for the codec.
fn codec(s: &Stream) -> String {
    let known = !matches!(s.codec.as_str(), "" | "none" | "unknown_codec");
    if known { s.codec.clone() } else { s.fourcc.clone() }
}

fn bounded(n: i64) -> u32 {
    u32::try_from(n).ok().filter(|n| *n <= 1 << 20).unwrap_or(0)
}

fn rate((num, den): (i32, i32)) -> Option<FrameRate> {
    FrameRate::new(u32::try_from(num).ok()?, u32::try_from(den).ok()?)
}

fn aspect((num, den): (i32, i32)) -> Option<(u32, u32)> {
    let both = (u32::try_from(num).ok()?, u32::try_from(den).ok()?);
    (both.0 > 0 && both.1 > 0).then_some(both)
}

/// The container's own count, else the duration times the rate, in whole numbers.
fn frames(s: &Stream, v: &VideoMetadata, whole_us: Option<i64>) -> Option<u64> {
    if s.frames > 0 {
        return u64::try_from(s.frames).ok();
    }
    let base = v.counting_rate()?;
    let (ticks, (num, den)) = match s.duration {
        Some(d) if d > 0 => (i128::from(d), (i128::from(s.time_base.0), i128::from(s.time_base.1))),
        _ => (i128::from(whole_us.filter(|d| *d > 0)?), (1, 1_000_000)),
    };
    let top = ticks * num * i128::from(base.num());
    let bottom = den * i128::from(base.den());
    if bottom <= 0 {
        return None;
    }
    u64::try_from((2 * top + bottom) / (2 * bottom)).ok().filter(|n| *n > 0 && *n < 1 << 40)
}

/// To the nearest millisecond; from the frames where they are all alike, else as the best stream says.
fn duration_ms(facts: &Facts, v: Option<&VideoMetadata>, frames: Option<u64>) -> Option<u64> {
    let constant = v.and_then(|v| v.rate.filter(|r| v.average_rate.is_none_or(|avg| avg == *r)));
    let kind = if v.is_some() { Kind::Video } else { Kind::Audio };
    let best = facts.streams.iter().find(|s| s.best && s.kind == kind);
    let own =
        best.and_then(|s| Some((i128::from(s.duration?), s.time_base))).filter(|(d, (_, den))| *d > 0 && *den > 0);
    let (top, bottom) = match (constant.zip(frames), own) {
        (Some((r, n)), _) => (i128::from(n) * 1000 * i128::from(r.den()), i128::from(r.num())),
        (None, Some((d, (num, den)))) => (d * 1000 * i128::from(num), i128::from(den)),
        (None, None) => (i128::from(facts.duration_us?), 1000),
    };
    let ms = (2 * top + bottom) / (2 * bottom);
    (0..=MAX_DURATION_MS).contains(&ms).then_some(ms as u64)
}

/// A tmcd track, then the container's tag, then BWF samples where a frame rate gives them a meaning.
fn start(facts: &Facts, picture: Option<&Stream>, v: Option<&VideoMetadata>) -> Option<(Timecode, String)> {
    let base = v.and_then(|v| v.rate.or(v.average_rate));
    let read = |tags: &[(String, String)], rate| Timecode::parse(value(tags, "timecode")?, rate?);
    let track = facts.streams.iter().filter(|s| s.kind == Kind::Data && s.fourcc == "tmcd");
    let from_track = track.filter_map(|s| read(&s.tags, rate(s.average_rate).or(base))).next();
    if let Some(tc) = from_track {
        return Some((tc, "tmcd".into()));
    }
    let named = if facts.format.starts_with("mxf") { "mxf" } else { "tag" };
    let all = picture.into_iter().chain(&facts.streams).map(|s| &s.tags).chain([&facts.tags]);
    if let Some(tc) = all.filter_map(|tags| read(tags, base)).next() {
        return Some((tc, named.into()));
    }
    let samples: u64 = value(&facts.tags, "time_reference")?.parse().ok()?;
    let sound = facts.streams.iter().find(|s| s.kind == Kind::Audio && s.sample_rate_hz > 0)?;
    let base = base?;
    let frame = u128::from(samples) * u128::from(base.num())
        / (u128::from(sound.sample_rate_hz.unsigned_abs()) * u128::from(base.den()));
    Some((Timecode::from_frame(u64::try_from(frame).ok()?, base, base.can_drop()), "bwf".into()))
}

const MAKE: &[&str] = &["com.apple.quicktime.make", "com.android.manufacturer", "make"];
const MODEL: &[&str] = &["com.apple.quicktime.model", "com.android.model", "com.arri.camera.cameramodel", "model"];

/// The first of `keys` that the container, or any stream, carries.
fn any_tag(facts: &Facts, keys: &[&str]) -> Option<String> {
    let find = |key: &&str| all_tags(facts).find_map(|tags| value(tags, key)).map(str::to_owned);
    let arri = || all_tags(facts).flatten().any(|(k, _)| k.to_ascii_lowercase().starts_with("com.arri.camera."));
    keys.iter().find_map(find).or_else(|| (keys == MAKE && arri()).then(|| "ARRI".into()))
}

/// MXF names the program that wrote the file last. Only a maker of cameras is taken for the camera.
fn mxf_camera(facts: &Facts, key: &str) -> Option<String> {
    const MAKERS: &[&str] = &[
        "arri",
        "blackmagic",
        "canon",
        "fujifilm",
        "grass valley",
        "ikegami",
        "jvc",
        "nikon",
        "panasonic",
        "red",
        "sony",
    ];
    let company = value(&facts.tags, "company_name")?.to_ascii_lowercase();
    let known = MAKERS
        .iter()
        .any(|m| company.split([' ', ',', '.', '-']).any(|w| w == *m) || (m.contains(' ') && company.starts_with(m)));
    known.then(|| value(&facts.tags, key).map(str::to_owned)).flatten()
}

fn reel(facts: &Facts) -> Option<String> {
    let is_reel = |key: &str| {
        let key = key.to_ascii_lowercase();
        matches!(key.rsplit('.').next(), Some("reel_name" | "reelname" | "reel"))
    };
    all_tags(facts).flatten().find(|(k, v)| is_reel(k) && !v.trim().is_empty()).map(|(_, v)| v.trim().to_owned())
}

/// Apple's own tag knows the zone; `creation_time` is UTC by rule, and unset clocks say 1904 or 1970.
fn recorded_at(facts: &Facts) -> Option<jiff::Timestamp> {
    let zoned = all_tags(facts).find_map(|t| value(t, "com.apple.quicktime.creationdate"));
    let times = zoned.into_iter().chain(all_tags(facts).filter_map(|t| value(t, "creation_time")));
    let read = |text: &str| {
        let strict = text.parse::<jiff::Timestamp>().ok();
        strict.or_else(|| jiff::Timestamp::strptime("%Y-%m-%dT%H:%M:%S%z", text).ok())
    };
    times.filter_map(read).find(|t| t.as_second() > 86_400)
}

fn all_tags(facts: &Facts) -> impl Iterator<Item = &Vec<(String, String)>> {
    std::iter::once(&facts.tags).chain(facts.streams.iter().map(|s| &s.tags))
}

fn value<'a>(tags: &'a [(String, String)], key: &str) -> Option<&'a str> {
    let found = tags.iter().find(|(k, v)| k.eq_ignore_ascii_case(key) && !v.trim().is_empty());
    found.map(|(_, v)| v.trim())
}

fn name_of(table: &[(i64, &str)], code: i64) -> Option<String> {
    table.iter().find(|(c, _)| *c == code).map(|(_, name)| (*name).to_owned())
}

// ITU-T H.273, tables 2 to 4, under libav's names; 2 is "unspecified" and left out.
const PRIMARIES: &[(i64, &str)] = &[
    (1, "bt709"),
    (4, "bt470m"),
    (5, "bt470bg"),
    (6, "smpte170m"),
    (7, "smpte240m"),
    (8, "film"),
    (9, "bt2020"),
    (10, "smpte428"),
    (11, "smpte431"),
    (12, "smpte432"),
    (22, "ebu3213"),
];
const TRANSFER: &[(i64, &str)] = &[
    (1, "bt709"),
    (4, "bt470m"),
    (5, "bt470bg"),
    (6, "smpte170m"),
    (7, "smpte240m"),
    (8, "linear"),
    (9, "log100"),
    (10, "log316"),
    (11, "iec61966-2-4"),
    (12, "bt1361e"),
    (13, "iec61966-2-1"),
    (14, "bt2020-10"),
    (15, "bt2020-12"),
    (16, "smpte2084"),
    (17, "smpte428"),
    (18, "arib-std-b67"),
];
const MATRIX: &[(i64, &str)] = &[
    (0, "gbr"),
    (1, "bt709"),
    (4, "fcc"),
    (5, "bt470bg"),
    (6, "smpte170m"),
    (7, "smpte240m"),
    (8, "ycgco"),
    (9, "bt2020nc"),
    (10, "bt2020c"),
    (11, "smpte2085"),
    (12, "chroma-derived-nc"),
    (13, "chroma-derived-c"),
    (14, "ictcp"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn picture(rate: (i32, i32)) -> Stream {
        Stream { kind: Kind::Video, best: true, rate, average_rate: rate, time_base: (1, 90_000), ..Stream::default() }
    }

    fn clip(streams: Vec<Stream>, list: &[(&str, &str)]) -> ClipMetadata {
        describe(Facts { format: "mov".into(), tags: tags(list), streams, ..Facts::default() })
    }

    #[test]
    fn the_timecode_track_wins_over_the_tag_and_keeps_its_own_rate() {
        let track = Stream {
            fourcc: "tmcd".into(),
            average_rate: (30_000, 1001),
            tags: tags(&[("timecode", "01:00:00;02")]),
            ..Stream::default()
        };
        let m = clip(vec![picture((60_000, 1001)), track], &[("timecode", "02:00:00:00")]);
        assert_eq!(m.start_tc.unwrap().to_string(), "01:00:00;02");
        assert_eq!(m.start_tc.unwrap().rate, FrameRate::new(30_000, 1001).unwrap());
        assert_eq!(m.tc_source.as_deref(), Some("tmcd"));
        let m = clip(vec![picture((25, 1))], &[("timecode", "02:00:00:00")]);
        assert_eq!(m.tc_source.as_deref(), Some("tag"));
    }

    #[test]
    fn sound_has_no_timecode_without_a_frame_rate() {
        let sound = Stream { kind: Kind::Audio, sample_rate_hz: 48_000, channels: 2, ..Stream::default() };
        let m = clip(vec![sound.clone()], &[("time_reference", "172800000")]);
        assert_eq!((m.start_tc, m.time_reference), (None, Some(172_800_000)));
        let m = clip(vec![sound, picture((25, 1))], &[("time_reference", "172800000")]);
        assert_eq!(m.start_tc.unwrap().to_string(), "01:00:00:00");
        assert_eq!(m.tc_source.as_deref(), Some("bwf"));
    }

    #[test]
    fn frames_are_counted_in_whole_numbers() {
        let mut s = picture((30_000, 1001));
        s.duration = Some(3003 * 107_892);
        assert_eq!(clip(vec![s.clone()], &[]).duration_frames, Some(107_892));
        s.frames = 7;
        assert_eq!(clip(vec![s.clone()], &[]).duration_frames, Some(7));
        // An hour of interlaced transport stream announced in fields.
        let fields = Stream { average_rate: (25, 1), frames: 0, duration: Some(90_000 * 3600), ..picture((50, 1)) };
        assert_eq!(clip(vec![fields], &[]).duration_frames, Some(90_000));
    }

    #[test]
    fn a_still_has_no_rate_and_sound_a_rounded_length() {
        let mut still = Facts { format: "exr_pipe".into(), streams: vec![picture((25, 1))], ..Facts::default() };
        still.duration_us = Some(40_000);
        let m = describe(still);
        assert_eq!((m.video.unwrap().rate, m.duration_frames, m.duration_ms), (None, Some(1), None));
        let sound = Stream { kind: Kind::Audio, best: true, time_base: (1, 48_000), ..Stream::default() };
        let sound = Stream { duration: Some(240_239), ..sound };
        assert_eq!(clip(vec![sound], &[]).duration_ms, Some(5005));
    }

    #[test]
    fn a_transcoder_is_no_camera() {
        let mxf = |company| clip(vec![], &[("company_name", company), ("product_name", "X")]);
        assert_eq!(mxf("FFmpeg").camera_make, None);
        assert_eq!(mxf("FFmpeg").camera_model, None);
        let sony = mxf("Sony Corp.");
        assert_eq!((sony.camera_make.as_deref(), sony.camera_model.as_deref()), (Some("Sony Corp."), Some("X")));
        assert_eq!(mxf("Redfish").camera_make, None);
    }

    #[test]
    fn lies_in_numbers_are_dropped() {
        let s = Stream {
            width: -1,
            height: i64::MAX,
            duration: Some(i64::MAX),
            pixel_aspect: (0, 0),
            bit_depth: 900,
            time_base: (i32::MAX, 1),
            ..picture((i32::MAX, -1))
        };
        let m = clip(vec![s], &[("time_reference", "-1"), ("creation_time", "1904-01-01T00:00:00.000000Z")]);
        let v = m.video.unwrap();
        assert_eq!((v.width, v.height, v.rate, v.pixel_aspect, v.bit_depth), (0, 0, None, None, None));
        assert_eq!((m.duration_frames, m.duration_ms, m.time_reference, m.recorded_at), (None, None, None, None));
    }

    #[test]
    fn a_phone_names_itself_its_time_and_its_turn() {
        let s = Stream { display: Some([0, 65_536, -65_536, 0]), ..picture((60, 1)) };
        let m = clip(
            vec![s],
            &[
                ("creation_time", "2018-01-02T01:00:00.000000Z"),
                ("com.apple.quicktime.make", "Apple"),
                ("com.apple.quicktime.model", "iPhone X"),
                ("com.apple.quicktime.creationdate", "2018-01-02T08:00:00+0800"),
            ],
        );
        assert_eq!((m.camera_make.as_deref(), m.camera_model.as_deref()), (Some("Apple"), Some("iPhone X")));
        assert_eq!(m.recorded_at.unwrap().to_string(), "2018-01-02T00:00:00Z");
        assert_eq!(m.video.unwrap().rotation_deg, 90);
    }
}
