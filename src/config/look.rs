//! `[[look]]`: what is done to the pictures of whose proxies.

use super::glob;
use crate::preset::look::{BurnIn, Colour, burn_in};
use std::path::PathBuf;

/// For each file to be made of a clip, the first look counts that is for such a clip and such a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    pub name: String,
    /// Patterns that the clip must all match; `None`: any does. Of its make, its model, both, or its letter.
    pub camera: Option<String>,
    /// Of its card's roll.
    pub roll: Option<String>,
    /// Of its name.
    pub clip: Option<String>,
    /// Names of what is made with it: proxies, `poster`, `filmstrip`.
    pub presets: Vec<&'static str>,
    pub lut: Option<PathBuf>,
    pub cdl: Option<CdlFrom>,
    /// What the LUT makes of the pictures; `None`: nobody knows.
    pub colour: Option<Colour>,
    pub burn_in: Vec<BurnIn>,
    pub watermark: Option<String>,
    /// Of a line that is burned in.
    pub size_percent: u8,
}

/// Whose ASC CDL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CdlFrom {
    /// What the clip's own sidecars and sheets say.
    Clip,
    File(PathBuf),
}

impl Look {
    /// What it is for when nothing is said: what people look at, and nothing that is relinked.
    pub const PRESETS: [&str; 3] = ["web", "poster", "filmstrip"];

    pub fn named(name: String) -> Self {
        Look {
            name,
            camera: None,
            roll: None,
            clip: None,
            presets: Self::PRESETS.to_vec(),
            lut: None,
            cdl: None,
            colour: None,
            burn_in: Vec::new(),
            watermark: None,
            size_percent: burn_in::SIZE_PERCENT,
        }
    }

    /// Whether it is for such a clip. Without regard to case.
    pub fn is_for(&self, roll: &str, clip: &str, cameras: &[String]) -> bool {
        let like = |pattern: &String, text: &str| glob(&pattern.to_lowercase(), &text.to_lowercase());
        self.roll.as_ref().is_none_or(|pattern| like(pattern, roll))
            && self.clip.as_ref().is_none_or(|pattern| like(pattern, clip))
            && self.camera.as_ref().is_none_or(|pattern| cameras.iter().any(|camera| like(pattern, camera)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_patterns_of_a_look_must_fit() {
        let cameras = ["ARRI".to_owned(), "ALEXA 35".into(), "ARRI ALEXA 35".into(), "A".into()];
        let look = |camera: Option<&str>, roll: Option<&str>| Look {
            camera: camera.map(str::to_owned),
            roll: roll.map(str::to_owned),
            ..Look::named("a".into())
        };
        let fits = |l: Look| l.is_for("A001", "A001C001", &cameras);
        assert!(fits(look(None, None)) && fits(look(Some("arri*"), None)) && fits(look(Some("a"), Some("a0??"))));
        assert!(!fits(look(Some("Sony*"), None)) && !fits(look(Some("A"), Some("B*"))));
        assert!(!look(Some("*"), None).is_for("A001", "A001C001", &[]), "of an unknown camera nothing is said");
        assert!(!fits(Look { clip: Some("*C002".into()), ..look(None, None) }));
    }
}
