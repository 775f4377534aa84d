//! The child's findings of a clip, from JSON into words. The child has held hostile media: what it says is bounded, and
//! what does not fit is left out.

use crate::clip::{ClipMetadata, QcFinding};
use crate::timecode::FrameRate;
use serde::Deserialize;

/// The largest file of findings that is read.
pub const MAX_FINDINGS_BYTES: u64 = 16 << 20;
/// Of each kind, and of each channel, the child lists no more.
const LISTED: usize = 200;
/// Of one clip, so many are kept.
const MOST: usize = 2000;

#[derive(Deserialize)]
struct Qc {
    #[serde(default)]
    decode_errors: Vec<Damage>,
    #[serde(default)]
    timestamp_gaps: Vec<Gap>,
    #[serde(default)]
    black: Vec<Stretch>,
    #[serde(default)]
    frozen: Vec<Stretch>,
    #[serde(default)]
    tracks: Vec<Track>,
}

#[derive(Deserialize)]
struct Damage {
    frame: u64,
}

#[derive(Deserialize)]
struct Gap {
    frame: u64,
    missing: u64,
}

#[derive(Clone, Copy, Deserialize)]
struct Stretch {
    from: u64,
    to: u64,
}

#[derive(Deserialize)]
struct Track {
    sample_rate: u32,
    #[serde(default)]
    channels: Vec<Channel>,
}

#[derive(Deserialize)]
struct Channel {
    silent: bool,
    #[serde(default)]
    silent_stretches: Vec<Stretch>,
    #[serde(default)]
    clipped: Vec<Stretch>,
}

/// What a person should know of a clip, from the file that deriving made; the error says why it cannot be read.
pub fn findings(json: &[u8], m: &ClipMetadata) -> Result<Vec<QcFinding>, String> {
    let qc: Qc = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    let rate = m.video.as_ref().and_then(|v| v.counting_rate());
    let place = Place { rate, m };
    let mut out = Vec::new();
    // Kinds of which not all are listed.
    let any = |list: fn(&Channel) -> usize| qc.tracks.iter().flat_map(|t| &t.channels).map(list).max().unwrap_or(0);
    let longest = [
        ("decode-error", qc.decode_errors.len()),
        ("missing-frames", qc.timestamp_gaps.len()),
        ("black", qc.black.len()),
        ("frozen", qc.frozen.len()),
        ("silent", any(|c| c.silent_stretches.len())),
        ("clipped", any(|c| c.clipped.len())),
    ];
    let listed: Vec<&str> = longest.into_iter().filter(|(_, n)| *n >= LISTED).map(|(kind, _)| kind).collect();
    for d in qc.decode_errors {
        out.push(place.frames("decode-error", d.frame, d.frame, "can not be decoded whole"));
    }
    for g in qc.timestamp_gaps {
        let s = if g.missing == 1 { "" } else { "s" };
        let first = g.frame.saturating_sub(g.missing);
        let text = format!("{} frame{s} missing before frame {}", g.missing, g.frame);
        let mut finding = place.frames("missing-frames", first, g.frame.saturating_sub(1).max(first), "");
        finding.text = text;
        out.push(finding);
    }
    for (kind, stretches) in [("black", qc.black), ("frozen", qc.frozen)] {
        out.extend(stretches.into_iter().map(|s| place.frames(kind, s.from, s.to, kind)));
    }
    for (t, track) in (1..).zip(qc.tracks) {
        for (c, channel) in (1..).zip(track.channels) {
            let at = (t, c, track.sample_rate);
            if channel.silent {
                let text = format!("track {t}, channel {c} is silent throughout");
                let (track, channel) = (Some(t), Some(c));
                out.push(QcFinding { kind: "silent".into(), track, channel, text, ..QcFinding::default() });
            } else {
                out.extend(channel.silent_stretches.into_iter().map(|s| place.sound("silent", at, s)));
            }
            out.extend(channel.clipped.into_iter().map(|s| place.sound("clipped", at, s)));
        }
    }
    out.truncate(MOST - listed.len());
    out.extend(listed.into_iter().map(|kind| {
        let text = format!("more of this ({kind}) than is listed here");
        QcFinding { kind: kind.into(), text, ..QcFinding::default() }
    }));
    Ok(out)
}

struct Place<'a> {
    rate: Option<FrameRate>,
    m: &'a ClipMetadata,
}

impl Place<'_> {
    fn frames(&self, kind: &str, from: u64, to: u64, what: &str) -> QcFinding {
        let ms = |frame: u64| {
            let rate = self.rate?;
            let ms = u128::from(frame) * 1000 * u128::from(rate.den()) / u128::from(rate.num());
            u64::try_from(ms).ok()
        };
        let text = if from == to { format!("frame {from}: {what}") } else { format!("frames {from} to {to}: {what}") };
        QcFinding {
            kind: kind.into(),
            from_frame: Some(from),
            to_frame: Some(to),
            from_ms: ms(from),
            to_ms: ms(to.saturating_add(1)),
            timecode: self.timecode(from),
            text,
            ..QcFinding::default()
        }
    }

    fn sound(&self, kind: &str, (track, channel, hz): (u32, u32, u32), s: Stretch) -> QcFinding {
        let ms = |sample: u64| u64::try_from(u128::from(sample) * 1000 / u128::from(hz.max(1))).unwrap_or(u64::MAX);
        let frame = |sample: u64| {
            let rate = self.rate?;
            let top = u128::from(sample) * u128::from(rate.num());
            u64::try_from(top / (u128::from(hz.max(1)) * u128::from(rate.den()))).ok()
        };
        let (from, to) = (ms(s.from), ms(s.to.saturating_add(1)));
        let secs = |ms: u64| format!("{}.{:03}", ms / 1000, ms % 1000);
        QcFinding {
            kind: kind.into(),
            track: Some(track),
            channel: Some(channel),
            from_frame: frame(s.from),
            to_frame: frame(s.to),
            from_ms: Some(from),
            to_ms: Some(to),
            timecode: frame(s.from).and_then(|f| self.timecode(f)),
            text: format!("track {track}, channel {channel} is {kind} from {} s to {} s", secs(from), secs(to)),
        }
    }

    fn timecode(&self, frame: u64) -> Option<String> {
        let (start, rate) = (self.m.start_tc?, self.rate?);
        Some(start.plus(start.rate.count_of(frame, rate)).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clip::VideoMetadata;
    use crate::timecode::Timecode;

    fn clip() -> ClipMetadata {
        let rate = FrameRate::new(25, 1).unwrap();
        ClipMetadata {
            video: Some(VideoMetadata { rate: Some(rate), ..VideoMetadata::default() }),
            start_tc: Timecode::parse("10:00:00:00", rate),
            ..ClipMetadata::default()
        }
    }

    #[test]
    fn each_kind_of_finding_says_where_and_what() {
        let json = r#"{"version":1,"frames":100,"decode_errors":[{"frame":7}],"timestamp_gaps":[{"frame":52,"missing":2}],
            "black":[{"from":25,"to":49}],"frozen":[{"from":60,"to":99}],"tracks":[{"sample_rate":48000,"channels":[
            {"silent":true,"silent_stretches":[{"from":0,"to":191999}],"clipped":[]},
            {"silent":false,"silent_stretches":[{"from":96000,"to":191999}],"clipped":[{"from":48000,"to":48003}]}]}]}"#;
        let found = findings(json.as_bytes(), &clip()).unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|f| (f.kind.as_str(), f.from_frame, f.to_frame, f.timecode.as_deref(), f.text.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("decode-error", Some(7), Some(7), Some("10:00:00:07"), "frame 7: can not be decoded whole"),
                ("missing-frames", Some(50), Some(51), Some("10:00:02:00"), "2 frames missing before frame 52"),
                ("black", Some(25), Some(49), Some("10:00:01:00"), "frames 25 to 49: black"),
                ("frozen", Some(60), Some(99), Some("10:00:02:10"), "frames 60 to 99: frozen"),
                ("silent", None, None, None, "track 1, channel 1 is silent throughout"),
                (
                    "silent",
                    Some(50),
                    Some(99),
                    Some("10:00:02:00"),
                    "track 1, channel 2 is silent from 2.000 s to 4.000 s"
                ),
                (
                    "clipped",
                    Some(25),
                    Some(25),
                    Some("10:00:01:00"),
                    "track 1, channel 2 is clipped from 1.000 s to 1.000 s"
                ),
            ]
        );
        assert!(found.iter().all(|f| QcFinding::KINDS.contains(&f.kind.as_str())));
        assert_eq!((found[2].from_ms, found[2].to_ms), (Some(1000), Some(2000)));
    }

    #[test]
    fn hostile_findings_are_refused_or_bounded() {
        assert!(findings(b"7", &clip()).is_err() && findings(b"", &clip()).is_err());
        let all = u64::MAX;
        let json = format!(
            r#"{{"decode_errors":[{}{{"frame":{all}}}],"timestamp_gaps":[{{"frame":0,"missing":{all}}}],
            "black":[{{"from":{all},"to":0}}],"tracks":[{{"sample_rate":0,"channels":[{{"silent":false,
            "clipped":[{{"from":{all},"to":{all}}}]}}]}}]}}"#,
            r#"{"frame":1},"#.repeat(5000)
        );
        let found = findings(json.as_bytes(), &clip()).unwrap();
        assert_eq!(found.len(), MOST);
        assert_eq!(found.last().unwrap().text, "more of this (decode-error) than is listed here");
    }
}
