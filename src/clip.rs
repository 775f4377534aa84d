//! What lies on a card: its listing, the clips seen in it, and what is known of each clip.

use crate::fact::Said;
use crate::frames::FrameMap;
use crate::relpath::RelPath;
use crate::timecode::{FrameRate, Timecode};
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub uuid::Uuid);

        impl $name {
            pub fn parse(text: &str) -> Option<Self> {
                uuid::Uuid::try_parse(text).ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }
    )*};
}

ids!(
    /// One card content: a listing seen at one place. UUIDv7, as all ids.
    CardId,
    /// One recording.
    ClipId,
    /// A filesystem that can be mounted anywhere.
    VolumeId,
    /// A folder that holds one card's copy on one volume.
    CopyRootId,
    /// One run of work for a card; resumed until it is done.
    JobId
);

/// A regular file as the listing showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardFile {
    pub relpath: RelPath,
    pub size_bytes: u64,
    /// Nanoseconds since 1970, UTC; negative before.
    pub mtime_ns: i64,
}

/// What is in the tree and can not be copied as a file; never opened, never followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialKind {
    Symlink,
    Fifo,
    Socket,
    Device,
    /// A folder on another filesystem mounted below the root.
    Mount,
}

impl SpecialKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Device => "device node",
            Self::Mount => "mount point of another filesystem",
        }
    }
}

/// One look at a whole tree, in byte order of the paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    pub files: Vec<CardFile>,
    pub folders: Vec<RelPath>,
    pub specials: Vec<(RelPath, SpecialKind)>,
    /// Left out by `[policy] litter`.
    pub skipped: Vec<RelPath>,
}

impl Listing {
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.size_bytes).sum()
    }

    pub fn file(&self, relpath: &RelPath) -> Option<&CardFile> {
        self.files.binary_search_by(|f| f.relpath.cmp(relpath)).ok().map(|i| &self.files[i])
    }

    /// Paths in which `later` differs from this listing: gone, new, or another size or time; folders and specials too.
    pub fn changes(&self, later: &Listing) -> Vec<RelPath> {
        use std::collections::BTreeMap;
        type Seen<'a> = BTreeMap<&'a RelPath, (u8, u64, i64)>;
        fn seen(l: &Listing) -> Seen<'_> {
            let files = l.files.iter().map(|f| (&f.relpath, (0, f.size_bytes, f.mtime_ns)));
            let folders = l.folders.iter().map(|f| (f, (1, 0, 0)));
            let specials = l.specials.iter().map(|(p, k)| (p, (2 + *k as u8, 0, 0)));
            files.chain(folders).chain(specials).collect()
        }
        let (a, b) = (seen(self), seen(later));
        let mut out: Vec<RelPath> = a.iter().filter(|(p, v)| b.get(*p) != Some(v)).map(|(p, _)| (*p).clone()).collect();
        out.extend(b.keys().filter(|p| !a.contains_key(*p)).map(|p| (*p).clone()));
        out.sort();
        out
    }
}

/// How the card reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// The root of a mounted removable volume.
    Card,
    /// A dump that somebody else made.
    Folder,
    /// Footage registered where it lies; no card was read.
    Registered,
}

impl SourceKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Folder => "folder",
            Self::Registered => "registered",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Card, Self::Folder, Self::Registered].into_iter().find(|k| k.name() == name)
    }
}

/// A listing with the layouts and the clips seen in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// Camera families in order of trust, then `generic`; empty where there is no clip.
    pub layouts: Vec<String>,
    pub listing: Listing,
    pub clips: Vec<Clip>,
    /// What the card's own indexes and numbers say is not there.
    pub gaps: Vec<Warning>,
    /// What was seen on it and blocks nothing: a sidecar of 0 bytes.
    pub notes: Vec<String>,
}

impl Card {
    /// The one to name where only one can be: the first family's, else `generic`.
    pub fn layout(&self) -> &str {
        self.layouts.first().map_or("generic", String::as_str)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Essence,
    Audio,
    Sidecar,
    Proxy,
    Thumb,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::Essence => "essence",
            Self::Audio => "audio",
            Self::Sidecar => "sidecar",
            Self::Proxy => "proxy",
            Self::Thumb => "thumb",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Essence, Self::Audio, Self::Sidecar, Self::Proxy, Self::Thumb].into_iter().find(|r| r.name() == name)
    }
}

/// `A` of `A001`; empty where a roll is named otherwise.
pub fn camera_letter(roll: &str) -> String {
    match roll.as_bytes() {
        [letter, next, ..] if letter.is_ascii_alphabetic() && !next.is_ascii_alphabetic() => {
            char::from(letter.to_ascii_uppercase()).to_string()
        }
        _ => String::new(),
    }
}

/// One recording: its essence files in order, then what belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clip {
    pub name: String,
    /// The family that knows it.
    pub layout: String,
    pub files: Vec<(RelPath, Role)>,
    /// What names, folders and the card's index say of it.
    pub said: Vec<Said>,
}

impl Clip {
    pub fn essence(&self) -> impl Iterator<Item = &RelPath> {
        self.files.iter().filter(|(_, r)| *r == Role::Essence).map(|(p, _)| p)
    }
}

/// Something about a card that blocks SAFE until a person accepts it by its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Stable and typable: `truncated:CLIPS/A001.MOV`.
    pub id: String,
    pub text: String,
}

/// What libav (and later the container and sidecars) say of a clip. `None`: not said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClipMetadata {
    /// libav's demuxer name, e.g. `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: Option<String>,
    pub video: Option<VideoMetadata>,
    pub audio: Vec<AudioMetadata>,
    pub start_tc: Option<Timecode>,
    /// Where `start_tc` came from: `tmcd`, `mxf`, `tag`, `bwf`.
    pub tc_source: Option<String>,
    /// Frames for picture; for sound alone, samples are in `duration_ms` only.
    pub duration_frames: Option<u64>,
    pub duration_ms: Option<u64>,
    pub reel: Option<String>,
    pub camera_make: Option<String>,
    pub camera_model: Option<String>,
    pub recorded_at: Option<jiff::Timestamp>,
    /// BWF TimeReference: samples since midnight.
    pub time_reference: Option<u64>,
    /// Container tags as libav shows them, cleaned of control characters.
    pub tags: Vec<(String, String)>,
    /// Every value that was said, the chosen one of each field first.
    pub said: Vec<Said>,
    /// Where its frames lie, as far as the containers' indexes tell.
    pub frames: Vec<FileFrames>,
}

/// The frames of one of a clip's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFrames {
    /// `None`: the clip's first one.
    pub file: Option<RelPath>,
    /// Frames of the clip that lie in files before it.
    pub before: u64,
    pub map: FrameMap,
}

impl ClipMetadata {
    /// First frame after the clip, in the rate that its timecode counts in; wraps at midnight.
    pub fn end_tc(&self) -> Option<Timecode> {
        let (start, frames) = (self.start_tc?, self.duration_frames?);
        let picture = self.video.as_ref().and_then(VideoMetadata::counting_rate).unwrap_or(start.rate);
        Some(start.plus(start.rate.count_of(frames, picture)))
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct VideoMetadata {
    pub codec: String,
    pub profile: Option<String>,
    pub width: u32,
    pub height: u32,
    /// The stream's base rate (`r_frame_rate`).
    pub rate: Option<FrameRate>,
    /// The average over the clip; differs from `rate` when the rate varies.
    pub average_rate: Option<FrameRate>,
    pub pixel_format: Option<String>,
    pub pixel_aspect: Option<(u32, u32)>,
    pub bit_depth: Option<u8>,
    pub primaries: Option<String>,
    pub transfer: Option<String>,
    pub matrix: Option<String>,
    pub range: Option<String>,
    /// Clockwise degrees a player must turn the picture: 0, 90, 180, 270.
    pub rotation_deg: u16,
}

impl VideoMetadata {
    /// The rate that frames are counted in: interlaced transport streams announce their fields.
    pub fn counting_rate(&self) -> Option<FrameRate> {
        match (self.rate, self.average_rate) {
            (Some(r), Some(avg)) if FrameRate::new(r.num(), r.den().saturating_mul(2)) == Some(avg) => Some(avg),
            (rate, average) => rate.or(average),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct AudioMetadata {
    pub codec: String,
    pub channels: u16,
    pub sample_rate_hz: u32,
    /// Where a clip's sound lies in several files: which.
    pub file: Option<RelPath>,
}

/// How far libav got with a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaState {
    Pending,
    Ok,
    Unsupported,
    Failed,
    Skipped,
}

impl MediaState {
    pub const ALL: [MediaState; 5] = [Self::Pending, Self::Ok, Self::Unsupported, Self::Failed, Self::Skipped];

    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ok => "ok",
            Self::Unsupported => "unsupported",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }
}

/// A small playable file or still made from a clip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProxyFile {
    /// `web`, `prores-proxy` or another preset, or `poster`, `filmstrip`, `filmstrip-index`, `waveform`, `qc`.
    pub preset: String,
    /// Absolute; `None` while it does not exist.
    pub path: Option<String>,
    pub state: MediaState,
    pub note: Option<String>,
    /// What was done to its pictures; `None`: nothing.
    pub look: Option<serde_json::Value>,
    /// Of a recording in several files: the later file that it stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<RelPath>,
}

/// What decoding showed to be wrong with a clip. For people: it never touches a verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QcFinding {
    /// One of [`QcFinding::KINDS`].
    pub kind: String,
    /// Of sound, counted from 1.
    pub track: Option<u32>,
    pub channel: Option<u32>,
    /// First and last frame, counted from 0; none where the clip has no frame rate.
    pub from_frame: Option<u64>,
    pub to_frame: Option<u64>,
    pub from_ms: Option<u64>,
    pub to_ms: Option<u64>,
    /// Of the first frame.
    pub timecode: Option<String>,
    pub text: String,
}

impl QcFinding {
    pub const KINDS: [&str; 6] = ["decode-error", "missing-frames", "black", "frozen", "silent", "clipped"];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_names_every_change() {
        let file = |p: &str, size| CardFile { relpath: RelPath::new(p).unwrap(), size_bytes: size, mtime_ns: 1 };
        let a = Listing { files: vec![file("a", 1), file("b", 1)], ..Listing::default() };
        let mut b = a.clone();
        assert!(a.changes(&b).is_empty());
        b.files[1].size_bytes = 2;
        b.folders.push(RelPath::new("new").unwrap());
        assert_eq!(a.changes(&b).iter().map(|p| p.to_string()).collect::<Vec<_>>(), ["b", "new"]);
        b.files.remove(0);
        assert_eq!(a.changes(&b).len(), 3);
    }
}
