//! What is said of a clip, value by value. A parser gives [`Fact`]s, whoever knows where the bytes came from makes
//! [`Said`] of them, and all that was said is kept: what was chosen, and what disagrees with it.
//!
//! Every value is text in the one form that its field documents, so that values of different cameras compare.

use serde::{Deserialize, Serialize};

macro_rules! fields {
    ($($(#[$doc:meta])* $field:ident = $name:literal),* $(,)?) => {
        /// What can be said of a clip.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field { $($(#[$doc])* $field),* }

        impl Field {
            pub const ALL: &[Field] = &[$(Field::$field),*];

            pub fn name(self) -> &'static str {
                match self { $(Self::$field => $name),* }
            }
        }
    };
}

fields! {
    /// Of the recording, unique in the world: UMID, GlobalClipID, clip GUID, content identifier; as its maker writes it.
    ClipId = "clip_id",
    /// Of the shot that this clip is a part of, where a recording runs over several cards.
    ShotId = "shot_id",
    Make = "make",
    Model = "model",
    Serial = "serial",
    Firmware = "firmware",
    /// The camera's letter or index: `A`.
    Camera = "camera",
    Reel = "reel",
    ClipName = "clip_name",
    Project = "project",
    Scene = "scene",
    Shot = "shot",
    Take = "take",
    /// `1` or `0`.
    Circled = "circled",
    /// `HH:MM:SS:FF`, `;` before the frames: drop-frame; then `@NUM/DEN` where the source knows the rate it counts in.
    StartTc = "start_tc",
    /// `NUM/DEN`, frames a second at which the clip plays.
    Fps = "fps",
    /// `NUM/DEN`, frames a second at which the sensor worked.
    SensorFps = "sensor_fps",
    /// Frames.
    Duration = "duration",
    /// Pixels.
    Width = "width",
    /// Pixels.
    Height = "height",
    /// `NUM:DEN` of one pixel.
    PixelAspect = "pixel_aspect",
    Codec = "codec",
    BitDepth = "bit_depth",
    /// `4:2:2`, `bayer`.
    Chroma = "chroma",
    /// Bits a second.
    Bitrate = "bitrate",
    /// libav's names.
    Primaries = "primaries",
    Transfer = "transfer",
    Matrix = "matrix",
    /// The log curve or gamma as its maker calls it: `S-Log3`.
    Log = "log",
    /// The colour space as its maker calls it: `S-Gamut3.Cine`.
    Gamut = "gamut",
    Iso = "iso",
    /// Kelvin.
    WhiteBalance = "white_balance",
    /// The maker's own scale.
    Tint = "tint",
    /// Degrees, decimal: `172.8`.
    ShutterAngle = "shutter_angle",
    /// Seconds, as `1/50`.
    ShutterSpeed = "shutter_speed",
    /// `F2.8` or `T2.8`.
    Aperture = "aperture",
    /// Millimetres, decimal.
    FocalLength = "focal_length",
    /// Metres, decimal.
    FocusDistance = "focus_distance",
    Lens = "lens",
    LensSerial = "lens_serial",
    Nd = "nd",
    /// The LUT or look by name.
    Look = "look",
    /// ASC CDL: `(s s s)(o o o)(p p p)`, slope, offset and power of R, G and B.
    AscSop = "asc_sop",
    /// ASC CDL: saturation.
    AscSat = "asc_sat",
    /// Degrees, decimal, north and east positive: `LAT,LON` or `LAT,LON,METRES`.
    Gps = "gps",
    /// RFC 3339; without an offset where the camera's clock has no zone.
    RecordedAt = "recorded_at",
    /// Samples since midnight (BWF TimeReference).
    TimeReference = "time_reference",
    /// Hertz.
    SampleRate = "sample_rate",
    /// `1: Boom`, one value a track.
    Track = "track",
    /// Shared by all files of one take of sound.
    SoundSet = "sound_set",
    /// How many files that take has.
    SoundFiles = "sound_files",
    /// Which of them this file is: `1`, `A`.
    SoundIndex = "sound_index",
    Note = "note",
}

impl Field {
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|f| f.name() == name)
    }

    /// Several values stand side by side and do not disagree.
    pub fn is_list(self) -> bool {
        matches!(self, Self::Track | Self::Note)
    }
}

/// One value, in the form of its field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    pub field: Field,
    pub value: String,
}

impl Fact {
    /// `None` for what says nothing: empty, or longer than any true value.
    pub fn new(field: Field, value: impl Into<String>) -> Option<Self> {
        const LONGEST: usize = 2000;
        let value: String = value.into();
        let clean: String = value.chars().filter(|c| !c.is_control()).collect();
        let clean = clean.trim();
        (!clean.is_empty() && clean.len() <= LONGEST).then(|| Fact { field, value: clean.to_owned() })
    }
}

/// Where a value was found, in order of trust: a sidecar knows better than the container beside it, which knows better
/// than the card's index, and a name is the last resort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    Sidecar,
    /// The clip's own bytes, read by us or by libav.
    File,
    /// An index of the whole card.
    Index,
    Name,
    Folder,
}

impl Origin {
    pub const ALL: [Origin; 5] = [Self::Sidecar, Self::File, Self::Index, Self::Name, Self::Folder];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sidecar => "sidecar",
            Self::File => "file",
            Self::Index => "index",
            Self::Name => "name",
            Self::Folder => "folder",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.name() == name)
    }
}

/// Said by nobody: what goodgate goes by until somebody says more.
pub const ASSUMED: &str = "assumed";

/// One value and who said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub fact: Fact,
    pub origin: Origin,
    /// Which part or parser: `ixml`, `sony-nrt`, `libav`, `r3d`.
    pub by: String,
}
