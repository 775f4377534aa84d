//! Proxies that the camera made: whether one agrees with its original, and whether it can be what one of ours would be.

use super::IngestError;
use super::derive::Shared;
use super::describe::Room;
use super::targets::Want;
use crate::card;
use crate::catalog::ClipRow;
use crate::clip::{ClipMetadata, MediaState, ProxyFile, Role, VideoMetadata};
use crate::media::{self, Limits, Probe};
use crate::preset::{Container, Output, Preset, Recipe, relink};
use crate::relpath::RelPath;
use crate::timecode::{FrameRate, Timecode};
use std::path::PathBuf;

/// How the note of such a row begins.
pub(super) const ADOPTED: &str = "made by the camera: ";
/// More lines are not for looking at in a browser.
const MAX_LINES: u32 = 1080;

/// One that agrees with its original.
pub(super) struct CameraProxy {
    pub relpath: RelPath,
    /// Of the proven copy.
    path: PathBuf,
    pub metadata: ClipMetadata,
    /// As they were counted.
    frames: u64,
    /// What could not be compared.
    notes: Vec<String>,
}

impl Room<'_> {
    /// The first of the camera's proxies that agrees with the clip, or why none does, in words; `Err("")` without any.
    pub(super) fn camera_proxy(&self, clip: &ClipRow, original: &ClipMetadata) -> Result<CameraProxy, String> {
        let mut refused = Vec::new();
        for (relpath, _) in clip.files.iter().filter(|(_, role)| *role == Role::Proxy) {
            match self.compare(relpath, original) {
                Ok(found) => return Ok(found),
                Err(why) => refused.push(format!("the camera's own proxy \"{relpath}\" is not used: {why}")),
            }
        }
        Err(refused.join("; "))
    }

    fn compare(&self, relpath: &RelPath, original: &ClipMetadata) -> Result<CameraProxy, String> {
        let (path, file) = self.roots.find(relpath).ok_or("no proven copy of it can be read now")?;
        let wall = self.station.config.media.derive_limit;
        let limits = Limits {
            wall,
            cpu_secs: wall.as_secs().max(1),
            allow_unconfined: self.station.config.media.unconfined,
            ..Limits::for_probe()
        };
        let (probe, whole) = media::probe_whole(&self.tool, file, &limits).map_err(|e| e.to_string())?;
        let metadata = match probe {
            Probe::Ok(metadata) => *metadata,
            Probe::Unsupported(why) | Probe::Failed(why) | Probe::Dark { why, .. } => return Err(why),
        };
        let frames = whole?;
        let notes = agrees(original, &metadata, frames)?;
        Ok(CameraProxy { relpath: relpath.clone(), path, metadata, frames, notes })
    }

    /// Takes the camera's proxy for what it can be, and leaves the rest in `wants`. Says why it is not used.
    pub(super) fn adopt(
        &self,
        shared: &Shared<'_>,
        clip: &ClipRow,
        original: &ClipMetadata,
        wants: &mut Vec<Want>,
    ) -> Result<Option<String>, IngestError> {
        let has_proxy = clip.files.iter().any(|(_, role)| *role == Role::Proxy);
        if !has_proxy || !wants.iter().any(|w| matches!(w.output, Output::Proxy(_)) && w.file.is_none()) {
            return Ok(None);
        }
        match self.camera_proxy(clip, original) {
            Err(why) => Ok(Some(why)),
            Ok(found) => self.take_over(shared, clip, original, &found, wants),
        }
    }

    /// The same of one that was found to agree.
    pub(super) fn take_over(
        &self,
        shared: &Shared<'_>,
        clip: &ClipRow,
        original: &ClipMetadata,
        found: &CameraProxy,
        wants: &mut Vec<Want>,
    ) -> Result<Option<String>, IngestError> {
        let mut why_not = None;
        let mut left = Vec::new();
        for want in std::mem::take(wants) {
            let fits = match want.output {
                // The camera put no look on it.
                _ if want.look.as_ref().map_or(true, |look| look.record.is_some()) => Err("it has no look".into()),
                Output::Proxy(recipe) if want.file.is_none() && !recipe.preset.is_relink() => plays(&found.metadata),
                Output::Proxy(recipe) if want.file.is_none() => relinks(recipe, &want, original, found),
                _ => Err(String::new()),
            };
            match fits {
                Ok(()) => {
                    let mut notes = vec![format!("{ADOPTED}\"{}\"", found.relpath)];
                    notes.extend(found.notes.iter().cloned());
                    let proxy = ProxyFile {
                        preset: want.output.name().to_owned(),
                        path: Some(found.path.display().to_string()),
                        state: MediaState::Ok,
                        note: Some(notes.join("; ")),
                        look: None,
                        file: None,
                    };
                    shared.catalog().set_proxy(clip.id, &proxy)?;
                }
                Err(why) => {
                    if matches!(want.output, Output::Proxy(r) if !r.preset.is_relink()) {
                        let text = format!("the camera's own proxy \"{}\" is not used: {why}", found.relpath);
                        why_not = Some(text);
                    }
                    left.push(want);
                }
            }
        }
        *wants = left;
        Ok(why_not)
    }
}

/// Whether a proxy shows the same recording: rate, frames (one more or less is common, cards.md) and timecode. What cannot
/// be compared is told. Of an original that libav cannot decode, some of it is not known.
fn agrees(original: &ClipMetadata, small: &ClipMetadata, frames: u64) -> Result<Vec<String>, String> {
    let mut notes = Vec::new();
    let video = small.video.as_ref().ok_or("it has no picture")?;
    let rate = |v: &VideoMetadata| v.counting_rate();
    match (original.video.as_ref().and_then(rate), rate(video)) {
        (Some(a), Some(b)) if a != b => {
            return Err(format!("it has {} frames a second, the original {}", b.text(), a.text()));
        }
        (Some(_), Some(_)) => {}
        _ => notes.push("its rate could not be compared".to_owned()),
    }
    match original.duration_frames {
        Some(n) if n.abs_diff(frames) > 1 => return Err(format!("it has {frames} frames, the original {n}")),
        Some(_) => {}
        None => notes.push("its frames could not be compared".to_owned()),
    }
    match (original.start_tc, small.start_tc) {
        (Some(a), Some(b)) if !same_moment(a, b) => return Err(format!("it begins at {b}, the original at {a}")),
        (Some(_), Some(_)) => {}
        _ => notes.push("its timecode could not be compared".to_owned()),
    }
    if !original.audio.is_empty() && small.audio.is_empty() {
        return Err("it has no sound".into());
    }
    Ok(notes)
}

/// Some count each picture, others every second one.
fn same_moment(a: Timecode, b: Timecode) -> bool {
    let counted = |tc: Timecode, rate: FrameRate| rate.count_of(tc.frame.into(), tc.rate);
    a.drop == b.drop && (counted(a, b.rate) == u64::from(b.frame) || counted(b, a.rate) == u64::from(a.frame))
}

/// In a browser.
pub(super) fn plays(small: &ClipMetadata) -> Result<(), String> {
    let container = small.container.as_deref().unwrap_or_default();
    let video = small.video.as_ref().ok_or("it has no picture")?;
    let eight_bits = matches!(video.pixel_format.as_deref(), Some("yuv420p" | "yuvj420p"));
    let heard = small.audio.first().is_none_or(|a| matches!(a.codec.as_str(), "aac" | "mp3"));
    match () {
        () if !container.starts_with("mov,mp4") => Err(format!("no browser plays \"{container}\"")),
        () if video.codec != "h264" || !eight_bits => Err(format!("not every browser plays its \"{}\"", video.codec)),
        () if video.width.min(video.height) > MAX_LINES => Err("it is too large for a browser".into()),
        () if !heard => Err("no browser plays its sound".into()),
        () => Ok(()),
    }
}

/// As one of ours with this recipe would be.
fn relinks(recipe: Recipe, want: &Want, original: &ClipMetadata, found: &CameraProxy) -> Result<(), String> {
    let small = &found.metadata;
    let (Some(a), Some(b)) = (&original.video, &small.video) else { return Err("it has no picture".into()) };
    let profile = b.profile.as_deref().unwrap_or_default();
    let codec = match recipe.preset {
        Preset::ProresProxy => b.codec == "prores" && profile == "Proxy",
        Preset::DnxhrLb => b.codec == "dnxhd" && profile == "DNXHR LB",
        // Whether each picture stands alone is not known.
        Preset::H264Intra | Preset::Web => false,
    };
    let container = small.container.as_deref().unwrap_or_default();
    let container = match recipe.container {
        Container::Mov | Container::Mp4 => container.starts_with("mov,mp4"),
        Container::Mxf => container.starts_with("mxf"),
    };
    let tracks = |m: &ClipMetadata| m.audio.iter().map(|t| (t.channels, t.sample_rate_hz)).collect::<Vec<_>>();
    let pcm = small.audio.iter().all(|t| t.codec.starts_with("pcm_"));
    let halved = (0..8).any(|n| (a.width >> n & !1, a.height >> n & !1) == (b.width, b.height));
    let colour = |v: &VideoMetadata| (v.primaries.clone(), v.transfer.clone(), v.matrix.clone());
    match () {
        () if !codec || !container => Err("it is of another kind".into()),
        // Editing programs find it by its name.
        () if found.relpath.stem() != want.target.relpath.stem() => Err("it has another name".into()),
        () if original.duration_frames != Some(found.frames) => Err("its frames are not as many".into()),
        () if a.counting_rate() != b.counting_rate() => Err("its rate differs".into()),
        () if original.start_tc != small.start_tc => Err("its timecode differs".into()),
        () if !pcm || tracks(original) != tracks(small) => Err("its sound is laid out otherwise".into()),
        () if !halved || b.height > relink::MAX_HEIGHT => Err("its size is no half of the original's".into()),
        () if a.rotation_deg != b.rotation_deg || colour(a) != colour(b) => Err("its colour tags differ".into()),
        () => Ok(()),
    }
}

/// Whether something of the camera can stand in for a clip that libav cannot decode.
pub(super) fn stands_in(clip: &ClipRow) -> bool {
    clip.files.iter().any(|(p, role)| *role == Role::Proxy || (*role == Role::Thumb && card::is_still(p)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clip::AudioMetadata;

    fn clip(tc: Option<&str>, rate: (u32, u32)) -> ClipMetadata {
        let rate = FrameRate::new(rate.0, rate.1).unwrap();
        let video = VideoMetadata {
            codec: "h264".into(),
            width: 1280,
            height: 720,
            rate: Some(rate),
            pixel_format: Some("yuv420p".into()),
            ..VideoMetadata::default()
        };
        let track = AudioMetadata { codec: "aac".into(), channels: 2, sample_rate_hz: 48_000, file: None };
        ClipMetadata {
            container: Some("mov,mp4,m4a,3gp,3g2,mj2".into()),
            video: Some(video),
            audio: vec![track],
            start_tc: tc.and_then(|t| Timecode::parse(t, rate)),
            duration_frames: Some(50),
            ..ClipMetadata::default()
        }
    }

    #[test]
    fn a_proxy_agrees_in_rate_frames_and_timecode_or_says_in_what_it_differs() {
        let original = clip(Some("10:00:00:00"), (25, 1));
        let of = |small: ClipMetadata, frames| agrees(&original, &small, frames);
        assert_eq!(of(original.clone(), 50), Ok(vec![]));
        assert_eq!(of(original.clone(), 51), Ok(vec![]));
        assert_eq!(of(original.clone(), 48), Err("it has 48 frames, the original 50".into()));
        let late = clip(Some("10:00:00:01"), (25, 1));
        assert_eq!(of(late, 50), Err("it begins at 10:00:00:01, the original at 10:00:00:00".into()));
        let fast = clip(Some("10:00:00:00"), (50, 1));
        assert_eq!(of(fast, 50), Err("it has 50 frames a second, the original 25".into()));
        assert_eq!(of(clip(None, (25, 1)), 50), Ok(vec!["its timecode could not be compared".into()]));
        let mute = ClipMetadata { audio: Vec::new(), ..original.clone() };
        assert_eq!(of(mute, 50), Err("it has no sound".into()));
        let dark = ClipMetadata { video: None, duration_frames: None, audio: Vec::new(), ..original.clone() };
        assert_eq!(agrees(&dark, &original, 50).unwrap().len(), 2, "what is not known of it is told");
    }

    #[test]
    fn a_timecode_that_counts_pairs_is_the_same_moment() {
        let tc = |text, rate| Timecode::parse(text, FrameRate::new(rate, 1).unwrap()).unwrap();
        assert!(same_moment(tc("01:00:00:12", 25), tc("01:00:00:24", 50)));
        assert!(same_moment(tc("01:00:00:24", 50), tc("01:00:00:12", 25)));
        assert!(!same_moment(tc("01:00:00:12", 25), tc("01:00:00:12", 50)));
        assert!(!same_moment(tc("01:00:00:12", 25), tc("01:00:00:13", 25)));
    }

    #[test]
    fn only_what_every_browser_plays_is_shown_in_one() {
        let good = clip(None, (25, 1));
        assert_eq!(plays(&good), Ok(()));
        let with = |change: fn(&mut ClipMetadata)| {
            let mut m = good.clone();
            change(&mut m);
            plays(&m)
        };
        assert!(with(|m| m.container = Some("mxf".into())).is_err());
        assert!(with(|m| m.video.as_mut().unwrap().codec = "hevc".into()).is_err());
        assert!(with(|m| m.video.as_mut().unwrap().pixel_format = Some("yuv422p10le".into())).is_err());
        assert!(with(|m| (m.video.as_mut().unwrap().height, m.video.as_mut().unwrap().width) = (2160, 3840)).is_err());
        assert!(with(|m| m.audio[0].codec = "pcm_s16le".into()).is_err());
    }
}
