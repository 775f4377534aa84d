//! What can be made from a clip, as plain data. Only what is built is a preset: a name nobody renders is refused.

/// A proxy an editor can play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Preset {
    /// H.264 and AAC in MP4 for a browser, at most 720 lines; never for relinking.
    Web,
}

impl Preset {
    pub const ALL: [Preset; 1] = [Self::Web];

    pub fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }

    pub fn extension(self) -> &'static str {
        match self {
            Self::Web => "mp4",
        }
    }
}

/// One file that deriving can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    Proxy(Preset),
    /// One JPEG still.
    Poster,
}

impl Output {
    pub const ALL: [Output; 2] = [Self::Proxy(Preset::Web), Self::Poster];

    pub fn name(self) -> &'static str {
        match self {
            Self::Proxy(preset) => preset.name(),
            Self::Poster => "poster",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.name() == name)
    }

    pub fn extension(self) -> &'static str {
        match self {
            Self::Proxy(preset) => preset.extension(),
            Self::Poster => "jpg",
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_exactly_one_output_and_nothing_else_is_accepted() {
        for output in Output::ALL {
            assert_eq!(Output::from_name(output.name()), Some(output));
        }
        assert_eq!(Preset::from_name("web"), Some(Preset::Web));
        for planned in ["poster", "prores-proxy", "Web", ""] {
            assert_eq!(Preset::from_name(planned), None);
        }
    }
}
