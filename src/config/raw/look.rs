//! `[[look]]` as it is written, checked against the proxies that are made.

use super::*;
use crate::preset::look::{BurnIn, CDL_FILES, Colour, burn_in};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLook {
    name: Text,
    camera: Option<Text>,
    roll: Option<Text>,
    clip: Option<Text>,
    presets: Option<Spanned<Vec<Text>>>,
    lut: Option<Text>,
    cdl: Option<Text>,
    colour: Option<Text>,
    burn_in: Option<Vec<Text>>,
    watermark: Option<Text>,
    size: Option<Spanned<u64>>,
}

impl Source<'_> {
    pub(super) fn looks(&self, raw: &[Spanned<RawLook>], proxies: &[Proxy]) -> Result<Vec<Look>, ConfigError> {
        let mut out: Vec<Look> = Vec::new();
        for raw in raw {
            let look = self.look(raw, proxies)?;
            if out.iter().any(|l| l.name == look.name) {
                return Err(self.error(raw.get_ref().name.span(), "this look is named twice", None));
            }
            out.push(look);
        }
        Ok(out)
    }

    fn look(&self, spanned: &Spanned<RawLook>, proxies: &[Proxy]) -> Result<Look, ConfigError> {
        let raw = spanned.get_ref();
        let mut look = Look::named(self.line_of(&raw.name)?);
        look.camera = raw.camera.as_ref().map(|t| self.words(t)).transpose()?;
        look.roll = raw.roll.as_ref().map(|t| self.words(t)).transpose()?;
        look.clip = raw.clip.as_ref().map(|t| self.words(t)).transpose()?;
        if let Some(presets) = &raw.presets {
            look.presets = self.wearers(presets, proxies)?;
        }
        look.lut = raw.lut.as_ref().map(|t| self.file(t, &["cube"])).transpose()?;
        look.cdl = match &raw.cdl {
            Some(text) if text.get_ref() == "clip" => Some(CdlFrom::Clip),
            Some(text) => Some(CdlFrom::File(self.file(text, &CDL_FILES)?)),
            None => None,
        };
        if let Some(text) = &raw.colour {
            look.colour = Some(self.one_of(text, &Colour::ALL.map(|c| (c.name(), c)))?);
            if look.lut.is_none() {
                let problem = "colour says what a LUT makes, and there is none: a CDL alone changes no tags";
                return Err(self.error(text.span(), problem, Some("leave it out".into())));
            }
        }
        let fields = BurnIn::ALL.map(|b| (b.name(), b));
        for text in raw.burn_in.iter().flatten() {
            let field = self.one_of(text, &fields)?;
            if look.burn_in.contains(&field) {
                return Err(self.error(text.span(), "this is named twice", None));
            }
            look.burn_in.push(field);
        }
        look.watermark = raw.watermark.as_ref().map(|t| self.line_of(t)).transpose()?;
        let burns = !look.burn_in.is_empty() || look.watermark.is_some();
        if let Some(size) = raw.size.as_ref().filter(|_| !burns) {
            return Err(self.error(size.span(), "size is of what is burned in, and nothing is", None));
        }
        self.number(raw.size.clone(), burn_in::SIZES_PERCENT, |n| look.size_percent = n as u8)?;
        if !burns && look.lut.is_none() && look.cdl.is_none() {
            let hint = "write lut, cdl, burn_in or watermark".to_owned();
            return Err(self.error(spanned.span(), "a look that does nothing", Some(hint)));
        }
        Ok(look)
    }

    fn wearers(&self, raw: &Spanned<Vec<Text>>, proxies: &[Proxy]) -> Result<Vec<&'static str>, ConfigError> {
        if raw.get_ref().is_empty() {
            return Err(self.error(raw.span(), "at least one is needed", Some("leave out the look".into())));
        }
        let pictures = ["poster", "filmstrip"];
        let known: Vec<_> = Preset::ALL.map(Preset::name).into_iter().chain(pictures).map(|n| (n, n)).collect();
        let mut out = Vec::new();
        for text in raw.get_ref() {
            let name = self.one_of(text, &known)?;
            if !pictures.contains(&name) && !proxies.iter().any(|p| p.recipe.preset.name() == name) {
                let problem = format!("no proxy \"{name}\" is made under these settings");
                return Err(self.error(text.span(), problem, Some(format!("add [[proxy]] preset = \"{name}\""))));
            }
            out.push(name);
        }
        out.sort_unstable();
        out.dedup();
        Ok(out)
    }

    /// What is in it is read later: here no file is opened.
    fn file(&self, text: &Text, endings: &[&str]) -> Result<PathBuf, ConfigError> {
        let path = self.path(text)?;
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        if !ending.is_some_and(|e| endings.contains(&&e[..])) {
            let problem = format!("a file that ends in .{} is needed", endings.join(", ."));
            return Err(self.error(text.span(), problem, None));
        }
        Ok(path)
    }

    /// Words that fit on a picture.
    fn line_of(&self, text: &Text) -> Result<String, ConfigError> {
        let words = self.words(text)?;
        if words.chars().count() > burn_in::MAX_CHARS {
            let problem = format!("more than {} characters", burn_in::MAX_CHARS);
            return Err(self.error(text.span(), problem, None));
        }
        Ok(words)
    }
}
