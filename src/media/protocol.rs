//! What crosses the border between goodgate and its child: one request as an argument, one reply on a pipe.
//!
//! The reply is `GGM1`, its length as a little-endian u32, and JSON. The child has held hostile media in its memory,
//! so a reply is as hostile as the clip: bounded, cleaned, and range-checked before anything uses it.

use crate::frames::FrameMap;
use crate::preset::Output;
use crate::preset::look::Finish;
use serde::{Deserialize, Serialize};

pub const VERSION: u32 = 4;
pub const MAX_REPLY_BYTES: usize = 768 * 1024;
pub const MAX_TEXT_BYTES: usize = 4096;
pub const MAX_STREAMS: usize = 64;
/// Of the access unit in [`Facts::first_unit`]: what is told of a picture stands before it.
pub const MAX_UNIT_BYTES: usize = 4096;
/// Tags of one dictionary that are kept.
pub const MAX_TAGS: usize = 64;
const MAGIC: &[u8; 4] = b"GGM1";

/// The outputs' descriptors follow one another from here, in order, and the LUTs' follow them; before them lie 0 (clip),
/// 1 (reply), 2 (log).
pub const FIRST_OUTPUT_FD: i32 = 3;
pub const MAX_OUTPUTS: usize = 16;
pub const MAX_LUTS: usize = 16;
/// Files beside the one on descriptor 0: they follow the LUTs.
pub const MAX_MORE: usize = 40;
/// Of one numbered picture.
pub const MAX_FRAME_BYTES: u64 = 1 << 29;

/// What lies on descriptor 0, and what follows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    #[default]
    File,
    /// The first part of a recording; the first `more` of the further files go on from it.
    Chapters { more: u16 },
    /// A pipe of numbered pictures: of each its length (u64, little-endian; 0: it is missing) and its bytes. `total`
    /// counts the missing ones, too.
    Frames { rate: (u32, u32), total: u64 },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    pub version: u32,
    pub source: Source,
    /// Further files; behind the parts of `source` files of sound, which go with the picture.
    pub more: u16,
    /// Of `probe`: also whether all of it can be read.
    pub whole: bool,
    /// What to make; the first one goes to descriptor [`FIRST_OUTPUT_FD`].
    pub outputs: Vec<Output>,
    /// What is done to the pictures of each output; empty: nothing to any.
    pub finishes: Vec<Option<Finish>>,
    pub luts: Vec<LutShape>,
    /// The clip's start, with the rate it counts in.
    pub start_tc: Option<(String, u32, u32)>,
    /// For proxies whose container holds it.
    pub reel: Option<String>,
    /// The clip's name, likewise.
    pub clip: String,
    /// The filmstrip's address as its index names it.
    pub sprite: String,
    pub memory_bytes: u64,
    pub cpu_secs: u64,
    pub output_bytes: u64,
    pub max_pixels: u64,
    pub max_frames: u64,
    pub threads: u16,
    /// Read media even where the kernel offers neither Landlock nor seccomp.
    pub allow_unconfined: bool,
}

/// A LUT whose values lie on a descriptor: three little-endian f32 an entry, red changing first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LutShape {
    pub size: usize,
    /// The input that the first and the last entry of each axis stand for.
    pub min: [f32; 3],
    pub max: [f32; 3],
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    pub version: u32,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    Facts(Box<Facts>),
    /// One for each output of the request, in its order.
    Derived(Vec<Outcome>),
    /// libav has no reader for this.
    Unsupported(String),
    /// libav knows what it is and can not read it.
    Failed(String),
    About(About),
    /// No sandbox on this machine, so no media was read.
    Refused(String),
}

/// What the child is made of, and what holds it here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// libav's version.
    pub libav: String,
    /// Encoders and filters that outputs need and this libav has not.
    pub lacking: Vec<String>,
    pub landlock: bool,
    pub seccomp: bool,
}

/// How one output went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done { frames: u64, note: Option<String> },
    Unsupported(String),
    Failed(String),
}

/// What libav says of a file, uninterpreted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The demuxer's name.
    pub format: String,
    pub duration_us: Option<i64>,
    pub tags: Vec<(String, String)>,
    pub streams: Vec<Stream>,
    /// Where the whole file was asked for: pictures (of sound alone: packets) that were read, or what is wrong.
    pub whole: Option<Result<u64, String>>,
    /// The start of the first access unit of an AVCHD clip that holds its camera's metadata (MDPM), as it lies there.
    pub first_unit: Option<Vec<u8>>,
    /// Where the frames of the best picture lie, if the container's index tells of all of them.
    pub frames: Option<FrameMap>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Video,
    Audio,
    #[default]
    Data,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stream {
    pub kind: Kind,
    /// The one libav would play, of its kind.
    pub best: bool,
    pub codec: String,
    /// Four-character code of the container.
    pub fourcc: String,
    pub profile: Option<String>,
    /// A packet of it could be read.
    pub readable: bool,
    pub has_decoder: bool,
    pub width: i64,
    pub height: i64,
    pub rate: (i32, i32),
    pub average_rate: (i32, i32),
    pub time_base: (i32, i32),
    /// In `time_base`; none when unknown.
    pub duration: Option<i64>,
    /// As the container counts them; 0 when it does not.
    pub frames: i64,
    pub pixel_format: Option<String>,
    pub bit_depth: i64,
    pub pixel_aspect: (i32, i32),
    /// Codes of ITU-T H.273.
    pub primaries: i64,
    pub transfer: i64,
    pub matrix: i64,
    /// 1 limited, 2 full.
    pub range: i64,
    /// The display matrix's upper left 2x2, 16.16 fixed point.
    pub display: Option<[i32; 4]>,
    pub channels: i64,
    pub sample_rate_hz: i64,
    pub tags: Vec<(String, String)>,
}

impl Reply {
    pub fn new(body: Body) -> Self {
        Reply { version: VERSION, body }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let json = serde_json::to_vec(self).unwrap_or_default();
        let mut out = Vec::with_capacity(json.len() + 8);
        out.extend(MAGIC);
        out.extend((json.len() as u32).to_le_bytes());
        out.extend(json);
        out
    }

    /// Reads exactly one reply; the error says what is wrong with the message.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let Some((head, json)) = bytes.split_at_checked(8) else {
            return Err(if bytes.is_empty() { "no answer".into() } else { "the answer ends in its head".into() });
        };
        if head[..4] != *MAGIC {
            return Err("the answer is not one of goodgate-media".into());
        }
        let len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if len > MAX_REPLY_BYTES || len != json.len() {
            return Err(format!("the answer has {} bytes where it says {len}", json.len()));
        }
        let mut reply: Reply = serde_json::from_slice(json).map_err(|e| format!("the answer can not be read: {e}"))?;
        if reply.version != VERSION {
            return Err(format!("the answer has version {}, not {VERSION}: another goodgate-media", reply.version));
        }
        reply.body.clean();
        Ok(reply)
    }
}

impl Body {
    fn clean(&mut self) {
        match self {
            Body::Facts(facts) => {
                facts.streams.truncate(MAX_STREAMS);
                facts.frames = facts.frames.take().filter(FrameMap::is_sound);
                facts.first_unit = facts.first_unit.take().filter(|u| u.len() <= MAX_UNIT_BYTES);
                facts.format = clean(&facts.format);
                facts.whole = facts.whole.take().map(|read| read.map_err(|why| clean(&why)));
                clean_tags(&mut facts.tags);
                for s in &mut facts.streams {
                    s.codec = clean(&s.codec);
                    s.fourcc = clean(&s.fourcc);
                    s.profile = s.profile.as_deref().map(clean);
                    s.pixel_format = s.pixel_format.as_deref().map(clean);
                    clean_tags(&mut s.tags);
                }
            }
            Body::Derived(outcomes) => {
                outcomes.truncate(MAX_OUTPUTS);
                for outcome in outcomes {
                    match outcome {
                        Outcome::Done { note, .. } => *note = note.as_deref().map(clean),
                        Outcome::Unsupported(text) | Outcome::Failed(text) => *text = clean(text),
                    }
                }
            }
            Body::About(about) => {
                about.libav = clean(&about.libav);
                about.lacking.iter_mut().for_each(|name| *name = clean(name));
            }
            Body::Unsupported(text) | Body::Failed(text) | Body::Refused(text) => *text = clean(text),
        }
    }
}

fn clean_tags(tags: &mut Vec<(String, String)>) {
    tags.truncate(MAX_TAGS);
    for (key, value) in tags {
        *key = clean(key);
        *value = clean(value);
    }
}

/// `text` without control characters and without marks that turn the reading direction, cut to 4 KiB.
pub fn clean(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut out = String::with_capacity(text.len().min(MAX_TEXT_BYTES));
    for c in text.chars().filter(|c| !c.is_control() && !turns(*c)) {
        if out.len() + c.len_utf8() > MAX_TEXT_BYTES {
            break;
        }
        out.push(c);
    }
    out
}

/// Clockwise degrees from a display matrix (ISO 14496-12, 8.3.2), to the nearest quarter turn.
pub fn rotation([a, b, _, d]: [i32; 4]) -> u16 {
    let (a, b) = (i64::from(a), i64::from(b));
    match (a.abs() >= b.abs(), a >= 0, b >= 0) {
        (true, true, _) => 0,
        // Mirrored, not turned.
        (true, false, _) if d > 0 => 0,
        (true, false, _) => 180,
        (false, _, true) => 90,
        (false, _, false) => 270,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_reply_survives_the_pipe() {
        let stream = Stream { codec: "h264".into(), display: Some([0, 65536, -65536, 0]), ..Stream::default() };
        let facts = Facts { format: "mov".into(), streams: vec![stream], ..Facts::default() };
        let reply = Reply::new(Body::Facts(Box::new(facts)));
        assert_eq!(Reply::from_bytes(&reply.to_bytes()), Ok(reply));
    }

    #[test]
    fn hostile_text_arrives_without_control_characters_and_bounded() {
        let evil = format!("\u{1b}[2Jname\r\nX: y\u{202e}{}", "é".repeat(5000));
        let reply = Reply::new(Body::Failed(evil));
        let Body::Failed(text) = Reply::from_bytes(&reply.to_bytes()).unwrap().body else { panic!("another body") };
        assert!(text.starts_with("[2JnameX: yé") && text.len() <= MAX_TEXT_BYTES, "{text:.40}");
        assert!(!text.chars().any(char::is_control));
    }

    #[test]
    fn another_version_or_length_is_refused() {
        let good = Reply::new(Body::Failed("x".into())).to_bytes();
        let mut longer = good.clone();
        longer.push(b' ');
        let mut other = Reply::new(Body::Failed("x".into()));
        other.version = VERSION + 1;
        for bad in [&good[..good.len() - 1], &longer, &other.to_bytes(), b"GGM1\xff\xff\xff\xff{}", b""] {
            assert!(Reply::from_bytes(bad).is_err());
        }
    }

    #[test]
    fn a_turn_is_told_from_a_mirror() {
        assert_eq!(rotation([0, 65_536, -65_536, 0]), 90);
        assert_eq!(rotation([0, -65_536, 65_536, 0]), 270);
        assert_eq!(rotation([-65_536, 0, 0, -65_536]), 180);
        assert_eq!(rotation([-65_536, 0, 0, 65_536]), 0);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut framed = MAGIC.to_vec();
            framed.extend((bytes.len() as u32).to_le_bytes());
            framed.extend(&bytes);
            let _ = Reply::from_bytes(&framed);
            let _ = Reply::from_bytes(&bytes);
        }
    }
}
