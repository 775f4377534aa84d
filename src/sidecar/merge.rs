//! One value a field, chosen by who said it; the others stay beside it, so that a disagreement can be seen.

use crate::clip::{ClipMetadata, VideoMetadata};
use crate::fact::{ASSUMED, Fact, Field, Origin, Said};
use crate::timecode::{FrameRate, Timecode};

/// What decides how the clip is played and relinked is in the clip's own bytes: there the file stands before its sidecar.
const OF_THE_FILE: [Field; 15] = [
    Field::StartTc,
    Field::Fps,
    Field::Duration,
    Field::Width,
    Field::Height,
    Field::PixelAspect,
    Field::Codec,
    Field::BitDepth,
    Field::Chroma,
    Field::Bitrate,
    Field::Primaries,
    Field::Transfer,
    Field::Matrix,
    Field::TimeReference,
    Field::SampleRate,
];

/// Of numbered pictures that say no rate: libav plays them at this, and so does everyone who asks it.
const STILLS_A_SECOND: FrameRate = FrameRate::new(25, 1).expect("a rate");

/// The metadata of libav, completed by what else was said. Gives every value in `said`, by field, the chosen one first.
pub fn merge(mut m: ClipMetadata, said: Vec<Said>) -> ClipMetadata {
    let mut all = std::mem::take(&mut m.said);
    all.extend(said);
    let own = all.iter().find(|s| s.fact.field == Field::ClipId && s.origin == Origin::File).cloned();
    let strange = |s: &Said| is_of_another(&all, own.as_ref(), s);
    let mut ranked: Vec<(u8, Said)> = all.iter().map(|s| (rank(s, strange(s)), s.clone())).collect();
    // Stable: of two that are trusted alike, the one that was asked first.
    ranked.sort_by_key(|(rank, s)| (s.fact.field, *rank));
    let mut said: Vec<Said> = Vec::with_capacity(ranked.len());
    for (_, s) in ranked {
        let again = |o: &Said| o.fact == s.fact && o.by == s.by;
        if !said.iter().any(again) {
            said.push(s);
        }
    }
    m.said = said;
    complete(&mut m);
    m
}

/// A sidecar that names another recording's id than the file itself was left by another clip of the same name.
fn is_of_another(all: &[Said], own: Option<&Said>, s: &Said) -> bool {
    let Some(own) = own.filter(|_| s.origin == Origin::Sidecar) else { return false };
    let theirs = |o: &&Said| o.origin == Origin::Sidecar && o.by == s.by && o.fact.field == Field::ClipId;
    let differs = |o: &Said| !same_id(&o.fact.value, &own.fact.value);
    all.iter().find(theirs).is_some_and(differs)
}

/// Equal but for case, dashes, and what makers put before a UMID. Ids of two kinds (16 bytes and 32) do not compare.
fn same_id(a: &str, b: &str) -> bool {
    let plain = |id: &str| -> String {
        let id = id.trim_start_matches("0x").trim_start_matches("urn:smpte:umid:");
        id.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let (a, b) = (plain(a), plain(b));
    a.len() != b.len() || a == b
}

fn rank(s: &Said, of_another_clip: bool) -> u8 {
    match s.origin {
        Origin::Sidecar if of_another_clip => 9,
        Origin::Sidecar if !OF_THE_FILE.contains(&s.fact.field) => 1,
        Origin::File => 2,
        Origin::Sidecar => 3,
        Origin::Index => 4,
        Origin::Name => 5,
        Origin::Folder => 6,
    }
}

/// The chosen value of a field.
pub fn chosen(m: &ClipMetadata, field: Field) -> Option<&str> {
    m.said.iter().find(|s| s.fact.field == field).map(|s| s.fact.value.as_str())
}

/// Fills what has a place of its own with the chosen values.
fn complete(m: &mut ClipMetadata) {
    let text = |field| chosen(m, field).map(str::to_owned);
    let (reel, make, model) = (text(Field::Reel), text(Field::Make), text(Field::Model));
    m.reel = reel.or(m.reel.take());
    m.camera_make = make.or(m.camera_make.take());
    m.camera_model = model.or(m.camera_model.take());
    picture(m);
    let rate = m.video.as_ref().and_then(|v| v.rate);
    if m.start_tc.is_none() {
        let read = |s: &Said| Some((timecode(&s.fact.value, rate)?, s.by.clone()));
        let candidates = m.said.iter().filter(|s| s.fact.field == Field::StartTc);
        (m.start_tc, m.tc_source) = candidates.filter_map(read).next().unzip();
    }
    if let Some(tc) = m.start_tc.as_mut() {
        // 50 and 60 frames a second are counted in pairs by many cameras, and only their own document says so.
        let pairs = FrameRate::new(tc.rate.num(), tc.rate.den().saturating_mul(2));
        let written = tc.to_string();
        let same = |s: &&Said| {
            let (text, rate) = s.fact.value.split_once('@').unwrap_or_default();
            s.fact.field == Field::StartTc && text == written && FrameRate::parse(rate) == pairs
        };
        if let Some(counted) = m.said.iter().find(same).and_then(|s| timecode(&s.fact.value, None)) {
            *tc = counted;
        }
    }
    m.time_reference = m.time_reference.or_else(|| chosen(m, Field::TimeReference)?.parse().ok());
    if m.duration_frames.is_none() && m.video.is_some() {
        m.duration_frames = chosen(m, Field::Duration).and_then(|n| n.parse().ok()).filter(|n| *n > 0);
    }
    if m.duration_ms.is_none() {
        let ms = |n: u64, r: FrameRate| {
            let (top, bottom) = (u128::from(n) * 1000 * u128::from(r.den()), u128::from(r.num()));
            u64::try_from((2 * top + bottom) / (2 * bottom)).ok()
        };
        m.duration_ms = m.duration_frames.zip(rate).and_then(|(n, r)| ms(n, r));
    }
    // The clock of a camera without a zone says no moment in time: that stays text.
    m.recorded_at = m.recorded_at.or_else(|| chosen(m, Field::RecordedAt)?.parse().ok());
}

/// Formats that libav has no reader for still have a raster and a rate.
fn picture(m: &mut ClipMetadata) {
    let number = |field| chosen(m, field).and_then(|n| n.parse::<u32>().ok()).filter(|n| *n > 0);
    let rate = chosen(m, Field::Fps).and_then(FrameRate::parse);
    let aspect = |text: &str| -> Option<(u32, u32)> {
        let (a, b) = text.split_once(':')?;
        Some((a.parse().ok()?, b.parse().ok()?))
    };
    let (width, height, depth) = (number(Field::Width), number(Field::Height), number(Field::BitDepth));
    let (codec, pixel_aspect) =
        (chosen(m, Field::Codec).map(str::to_owned), chosen(m, Field::PixelAspect).and_then(aspect));
    if m.video.is_none() && width.is_some() && height.is_some() {
        m.video = Some(VideoMetadata::default());
    }
    let Some(v) = m.video.as_mut() else { return };
    v.width = Some(v.width).filter(|n| *n > 0).or(width).unwrap_or(0);
    v.height = Some(v.height).filter(|n| *n > 0).or(height).unwrap_or(0);
    if v.codec.is_empty() {
        v.codec = codec.unwrap_or_default();
    }
    v.bit_depth = v.bit_depth.or(depth.and_then(|d| d.try_into().ok()));
    v.pixel_aspect = v.pixel_aspect.or(pixel_aspect);
    v.rate = v.rate.or(rate);
    let numbered = m.container.as_deref().is_some_and(|c| c.ends_with("_pipe"));
    if numbered && v.rate.is_none() {
        v.rate = Some(STILLS_A_SECOND);
        let fact = Fact { field: Field::Fps, value: STILLS_A_SECOND.fraction() };
        m.said.push(Said { fact, origin: Origin::Folder, by: ASSUMED.into() });
        m.said.sort_by_key(|s| s.fact.field);
    }
}

/// `HH:MM:SS:FF@NUM/DEN`; without a rate of its own it counts in the clip's.
fn timecode(text: &str, rate: Option<FrameRate>) -> Option<Timecode> {
    match text.split_once('@') {
        Some((text, own)) => Timecode::parse(text, FrameRate::parse(own)?),
        None => Timecode::parse(text, rate?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(field: Field, value: &str, origin: Origin, by: &str) -> Said {
        Said { fact: Fact::new(field, value).unwrap(), origin, by: by.into() }
    }

    #[test]
    fn a_sidecar_knows_the_camera_better_and_the_file_its_own_timecode() {
        let m = merge(
            ClipMetadata { video: Some(VideoMetadata::default()), ..ClipMetadata::default() },
            vec![
                said(Field::Model, "from the name", Origin::Name, "name"),
                said(Field::Model, "from the file", Origin::File, "libav"),
                said(Field::Model, "from the sidecar", Origin::Sidecar, "sony-nrt"),
                said(Field::StartTc, "02:00:00:00@25/1", Origin::Sidecar, "sony-nrt"),
                said(Field::StartTc, "01:00:00:00@25/1", Origin::File, "tmcd"),
                said(Field::Fps, "25/1", Origin::Sidecar, "sony-nrt"),
            ],
        );
        assert_eq!(m.camera_model.as_deref(), Some("from the sidecar"));
        assert_eq!((m.start_tc.unwrap().to_string(), m.tc_source.as_deref()), ("01:00:00:00".into(), Some("tmcd")));
        assert_eq!(m.video.unwrap().rate, FrameRate::new(25, 1));
        let models: Vec<_> = m.said.iter().filter(|s| s.fact.field == Field::Model).map(|s| s.by.as_str()).collect();
        assert_eq!(models, ["sony-nrt", "libav", "name"], "all that was said is kept, the chosen one first");
    }

    #[test]
    fn a_sidecar_of_another_recording_is_believed_last() {
        let id = |origin, by: &str, id: &str| said(Field::ClipId, id, origin, by);
        for (theirs, model) in [("060A2B34-AAAA", "sidecar"), ("060a2b34bbbb", "name"), ("060A", "sidecar")] {
            let m = merge(
                ClipMetadata::default(),
                vec![
                    id(Origin::File, "libav", "0x060A2B34AAAA"),
                    id(Origin::Sidecar, "sony-nrt", theirs),
                    said(Field::Model, "sidecar", Origin::Sidecar, "sony-nrt"),
                    said(Field::Model, "name", Origin::Name, "name"),
                ],
            );
            assert_eq!(m.camera_model.as_deref(), Some(model), "{theirs}");
        }
    }

    #[test]
    fn a_timecode_of_a_rate_of_its_own_keeps_it_and_an_impossible_one_is_passed_over() {
        let m = merge(
            ClipMetadata::default(),
            vec![
                said(Field::StartTc, "01:00:00;00@24/0", Origin::File, "braw"),
                said(Field::StartTc, "99:00:00:00@25/1", Origin::File, "r3d"),
                said(Field::StartTc, "10:00:00;02@30000/1001", Origin::Index, "ale"),
            ],
        );
        assert_eq!((m.start_tc.unwrap().to_string(), m.tc_source.as_deref()), ("10:00:00;02".into(), Some("ale")));
    }

    #[test]
    fn a_timecode_that_counts_pairs_of_frames_is_told_by_the_cameras_own_document() {
        let rate = FrameRate::new(50, 1);
        let video = Some(VideoMetadata { rate, ..VideoMetadata::default() });
        let libav = ClipMetadata {
            start_tc: Timecode::parse("10:00:00:12", rate.unwrap()),
            duration_frames: Some(100),
            video,
            ..ClipMetadata::default()
        };
        let m = merge(libav.clone(), vec![said(Field::StartTc, "10:00:00:12@25/1", Origin::Sidecar, "sony-nrt")]);
        assert_eq!(m.start_tc.unwrap().rate, FrameRate::new(25, 1).unwrap());
        assert_eq!(m.end_tc().unwrap().to_string(), "10:00:02:12");
        let m = merge(libav, vec![said(Field::StartTc, "10:00:01:12@25/1", Origin::Sidecar, "sony-nrt")]);
        assert_eq!(m.start_tc.unwrap().rate, rate.unwrap(), "another timecode says nothing of this one");
    }

    #[test]
    fn a_raw_clip_that_libav_cannot_read_has_a_picture_all_the_same() {
        let fields =
            [(Field::Width, "5120"), (Field::Height, "2560"), (Field::Fps, "24000/1001"), (Field::Duration, "48")];
        let m = merge(ClipMetadata::default(), fields.map(|(f, v)| said(f, v, Origin::File, "r3d")).to_vec());
        let v = m.video.unwrap();
        assert_eq!((v.width, v.height, v.rate), (5120, 2560, FrameRate::new(24_000, 1001)));
        assert_eq!((m.duration_frames, m.duration_ms), (Some(48), Some(2002)));
        assert!(merge(ClipMetadata::default(), Vec::new()).video.is_none());
    }

    #[test]
    fn pictures_without_a_rate_are_said_to_have_an_assumed_one() {
        let still = ClipMetadata {
            container: Some("exr_pipe".into()),
            video: Some(VideoMetadata::default()),
            ..ClipMetadata::default()
        };
        let m = merge(still.clone(), Vec::new());
        assert_eq!((m.video.unwrap().rate, m.said[0].by.as_str()), (FrameRate::new(25, 1), ASSUMED));
        let m = merge(still, vec![said(Field::Fps, "24/1", Origin::File, "exr")]);
        assert_eq!((m.video.unwrap().rate, m.said.len()), (FrameRate::new(24, 1), 1));
    }

    #[test]
    fn the_same_said_twice_by_one_is_said_once() {
        let s = said(Field::Reel, "A001", Origin::File, "libav");
        assert_eq!(merge(ClipMetadata::default(), vec![s.clone(), s.clone()]).said, [s]);
    }
}
