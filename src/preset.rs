//! What can be made from a clip, as plain data. Only what is built is a preset: a name nobody renders is refused.

pub mod look;

use serde::{Deserialize, Serialize};

/// A proxy somebody can play or cut with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// ProRes 422 Proxy and PCM, for relinking in any editing program.
    ProresProxy,
    /// DNxHR LB and PCM, for Avid and wherever no QuickTime is wanted.
    DnxhrLb,
    /// H.264 of key frames only and PCM: small, for relinking where H.264 is decoded.
    H264Intra,
    /// H.264 and AAC in MP4 for a browser, at most 720 lines; never for relinking.
    Web,
}

impl Preset {
    pub const ALL: [Preset; 4] = [Self::ProresProxy, Self::DnxhrLb, Self::H264Intra, Self::Web];

    pub fn name(self) -> &'static str {
        match self {
            Self::ProresProxy => "prores-proxy",
            Self::DnxhrLb => "dnxhr-lb",
            Self::H264Intra => "h264-intra",
            Self::Web => "web",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }

    /// An editing program puts it in the original's place: frame for frame, channel for channel.
    pub fn is_relink(self) -> bool {
        self != Self::Web
    }

    /// The containers that hold it, the usual one first. ProRes in MXF is no file that libav can write.
    pub fn containers(self) -> &'static [Container] {
        match self {
            Self::ProresProxy | Self::H264Intra => &[Container::Mov],
            Self::DnxhrLb => &[Container::Mxf, Container::Mov],
            Self::Web => &[Container::Mp4],
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Container {
    Mov,
    /// OP1a.
    Mxf,
    Mp4,
}

impl Container {
    pub const ALL: [Container; 3] = [Self::Mov, Self::Mxf, Self::Mp4];

    /// Its name, its file ending, and libav's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mov => "mov",
            Self::Mxf => "mxf",
            Self::Mp4 => "mp4",
        }
    }
}

/// A preset with its choices made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Recipe {
    pub preset: Preset,
    pub container: Container,
    /// Also of clips whose frame rate varies.
    pub vfr: bool,
}

impl Recipe {
    pub const WEB: Recipe = Recipe { preset: Preset::Web, container: Container::Mp4, vfr: false };

    /// The preset as it is when nothing else is said.
    pub fn of(preset: Preset) -> Self {
        Recipe { preset, container: preset.containers()[0], vfr: false }
    }

    /// What is wrong with it, in words.
    pub fn problem(self) -> Option<String> {
        let (preset, container) = (self.preset.name(), self.container.name());
        if !self.preset.containers().contains(&self.container) {
            let known: Vec<&str> = self.preset.containers().iter().map(|c| c.name()).collect();
            return Some(format!("\"{preset}\" does not go into {container}: only {}", known.join(" or ")));
        }
        match self.vfr {
            true if self.container == Container::Mxf => Some("MXF holds no varying frame rate".into()),
            true if !self.preset.is_relink() => Some(format!("\"{preset}\" is made of every clip anyway")),
            _ => None,
        }
    }
}

/// One file that deriving can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    Proxy(Recipe),
    /// One JPEG still.
    Poster,
    /// Small stills of the whole clip in one JPEG.
    Filmstrip,
    /// WebVTT: which part of the filmstrip is when.
    FilmstripIndex,
    /// The sound's outline, as JSON of audiowaveform, version 2.
    Waveform,
    /// What is wrong with the clip, and how loud it is, as JSON.
    Qc,
}

impl Output {
    /// All but the proxies.
    pub const PICTURES_AND_FINDINGS: [Output; 5] =
        [Self::Poster, Self::Filmstrip, Self::FilmstripIndex, Self::Waveform, Self::Qc];

    /// What one looks at.
    pub const PICTURES: [Output; 3] = [Self::Poster, Self::Filmstrip, Self::FilmstripIndex];

    /// Of its row in the catalog.
    pub fn name(self) -> &'static str {
        match self {
            Self::Proxy(recipe) => recipe.preset.name(),
            Self::Poster => "poster",
            Self::Filmstrip => "filmstrip",
            Self::FilmstripIndex => "filmstrip-index",
            Self::Waveform => "waveform",
            Self::Qc => "qc",
        }
    }

    /// The index lies beside its filmstrip, which it names.
    pub fn folder(self) -> &'static str {
        if self == Self::FilmstripIndex { Self::Filmstrip.name() } else { self.name() }
    }

    pub fn extension(self) -> &'static str {
        match self {
            Self::Proxy(recipe) => recipe.container.name(),
            Self::Poster | Self::Filmstrip => "jpg",
            Self::FilmstripIndex => "vtt",
            Self::Waveform | Self::Qc => "json",
        }
    }

    pub fn is_relink(self) -> bool {
        matches!(self, Self::Proxy(recipe) if recipe.preset.is_relink())
    }
}

/// The relink presets in numbers.
pub mod relink {
    /// The picture is halved until it has no more lines than this.
    pub const MAX_HEIGHT: u32 = 1080;
    /// One quantiser for all of ProRes: searching the best one for each slice costs twenty times the time.
    pub const PRORES_QSCALE: i32 = 11;
    pub const H264_CRF: &str = "23";
    pub const H264_SPEED: &str = "veryfast";

    /// The picture's size halved until it fits, both sides even: an editing program scales it back by a whole number.
    pub fn size(width: u32, height: u32) -> (u32, u32) {
        let halvings = (0..16).find(|n| height >> n <= MAX_HEIGHT).unwrap_or(16);
        (((width >> halvings) & !1).max(2), ((height >> halvings) & !1).max(2))
    }
}

/// The `web` preset in numbers.
pub mod web {
    pub const MAX_HEIGHT: u32 = 720;
    pub const GOP_FRAMES: u32 = 12;
    pub const CRF: &str = "23";
    pub const SPEED: &str = "veryfast";
    pub const AUDIO_RATE_HZ: u32 = 48_000;
    pub const AUDIO_BITS_PER_SECOND: usize = 160_000;
}

/// The poster in numbers.
pub mod poster {
    pub const MAX_WIDTH: u32 = 640;
    /// Where in the clip it is taken, in percent.
    pub const AT_PERCENT: u64 = 10;
}

/// The filmstrip in numbers.
pub mod filmstrip {
    pub const TILE_WIDTH: u32 = 320;
    /// About so many.
    pub const TILES: u64 = 60;
    /// Where the clip's length was not known before, never more.
    pub const MAX_TILES: usize = 120;
    pub const COLUMNS: usize = 10;
}

/// The waveform in numbers.
pub mod waveform {
    /// At first; doubled whenever there are too many points.
    pub const SAMPLES_A_POINT: u64 = 256;
    pub const MAX_POINTS: usize = 8192;
}

/// When something is worth a finding.
pub mod qc {
    /// Of 255: nearly all of a black picture is darker.
    pub const BLACK_LUMA: u8 = 26;
    pub const BLACK_PERCENT: usize = 98;
    pub const BLACK_SECS: u64 = 1;
    pub const FROZEN_SECS: u64 = 2;
    /// -60 dBFS.
    pub const SILENT: f32 = 0.001;
    pub const SILENT_SECS: u64 = 2;
    /// Neighbours at full scale.
    pub const CLIPPED_SAMPLES: u64 = 3;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_exactly_one_preset_and_nothing_else_is_accepted() {
        for preset in Preset::ALL {
            assert_eq!(Preset::from_name(preset.name()), Some(preset));
            assert_eq!(serde_json::to_string(&preset).unwrap(), format!("\"{}\"", preset.name()));
            assert_eq!(Recipe::of(preset).problem(), None);
        }
        for planned in ["poster", "Web", ""] {
            assert_eq!(Preset::from_name(planned), None);
        }
    }

    #[test]
    fn what_no_file_can_be_is_a_problem() {
        let with = |preset, container, vfr| Recipe { preset, container, vfr }.problem();
        assert!(with(Preset::ProresProxy, Container::Mxf, false).unwrap().contains("only mov"));
        assert!(with(Preset::H264Intra, Container::Mxf, false).is_some());
        assert!(with(Preset::Web, Container::Mov, false).is_some());
        assert!(with(Preset::DnxhrLb, Container::Mxf, true).unwrap().contains("varying"));
        assert!(with(Preset::Web, Container::Mp4, true).is_some());
        assert_eq!(with(Preset::DnxhrLb, Container::Mov, true), None);
    }

    #[test]
    fn relink_sizes_are_halves_and_even() {
        for (from, to) in [
            ((3840, 2160), (1920, 1080)),
            ((1920, 1080), (1920, 1080)),
            ((4096, 2304), (1024, 576)),
            ((960, 506), (960, 506)),
            ((7680, 4320), (1920, 1080)),
            ((720, 577), (720, 576)),
            ((1, 1), (2, 2)),
        ] {
            assert_eq!(relink::size(from.0, from.1), to, "{from:?}");
        }
    }
}
