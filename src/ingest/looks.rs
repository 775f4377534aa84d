//! Looks: their files read once a card, which one is for a file of a clip, and what will be recorded of it.

use crate::clip::camera_letter;
use crate::config::{CdlFrom, Config, ConfigError, Look};
use crate::fact::{Fact, Field};
use crate::preset::Output;
use crate::preset::look::{BurnIn, Cdl, Cube, Finish, Line, Place, Text};
use crate::read::{cdl, cube};
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use unicode_normalization::UnicodeNormalization;

/// All looks of the settings, ready to be put on.
pub(super) struct Looks(Vec<Ready>);

struct Ready {
    look: Look,
    /// Or why it can not be had: which setting, and in words.
    files: Result<Files, (&'static str, String)>,
}

#[derive(Default)]
struct Files {
    lut: Option<(Arc<Cube>, String)>,
    corrections: Option<cdl::Corrections>,
}

/// A clip, as far as its look depends on it.
pub(super) struct Subject<'a> {
    pub(super) roll: &'a str,
    pub(super) name: &'a str,
    /// The chosen value of each field.
    pub(super) facts: &'a [Fact],
}

/// The look of one output; without any, the default.
#[derive(Clone, Debug, Default)]
pub(super) struct Worn {
    /// As the catalog keeps it. What is equal looks the same.
    pub(super) record: Option<Value>,
    /// Its `lut` is set by whoever hands the LUT over.
    pub(super) finish: Option<Finish>,
    pub(super) lut: Option<Arc<Cube>>,
    pub(super) note: Option<String>,
}

/// Whether the files that the looks name can be read: an error of the settings. The copy never waits for a look, so
/// only who asks after the settings is told in this way; others get a proxy less.
pub fn check(config: &Config) -> Result<(), ConfigError> {
    for (n, ready) in Looks::read(&config.looks).0.into_iter().enumerate() {
        if let Err((key, problem)) = ready.files {
            let hint = "a look needs its files; put them back, name others, or leave the look out";
            return Err(config.problem(&format!("look[{n}].{key}"), problem, hint));
        }
    }
    Ok(())
}

impl Looks {
    pub(super) fn read(looks: &[Look]) -> Self {
        Looks(looks.iter().map(|look| Ready { look: look.clone(), files: Files::read(look) }).collect())
    }

    /// What is done to the pictures of `output`; the error says in words why it can not be made.
    pub(super) fn of(&self, subject: &Subject<'_>, output: Output) -> Result<Worn, String> {
        let cameras = subject.cameras();
        let is_for =
            |look: &Look| look.presets.contains(&output.name()) && look.is_for(subject.roll, subject.name, &cameras);
        let Some(ready) = self.0.iter().find(|r| is_for(&r.look)) else { return Ok(Worn::default()) };
        match &ready.files {
            Ok(files) => Ok(subject.wear(&ready.look, files, output)),
            Err(problem) => Err(ready.said(problem)),
        }
    }

    /// Of each look that can not be had, why.
    pub(super) fn problems(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter_map(|ready| ready.files.as_ref().err().map(|problem| ready.said(problem)))
    }
}

impl Ready {
    fn said(&self, (_, problem): &(&str, String)) -> String {
        format!("look \"{}\": {problem}; put it back or change the settings", self.look.name)
    }
}

impl Files {
    fn read(look: &Look) -> Result<Self, (&'static str, String)> {
        let mut files = Files::default();
        if let Some(path) = &look.lut {
            let read = bytes_of(path, cube::MAX_BYTES).and_then(|bytes| {
                let cube = cube::parse(&bytes).map_err(|why| said(path, &why))?;
                Ok((Arc::new(cube), blake3::hash(&bytes).to_hex().to_string()))
            });
            files.lut = Some(read.map_err(|why| ("lut", why))?);
        }
        if let Some(CdlFrom::File(path)) = &look.cdl {
            let kind = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
            let read = bytes_of(path, cdl::MAX_BYTES)
                .and_then(|bytes| cdl::parse(&kind, &bytes).map_err(|why| said(path, &why)));
            files.corrections = Some(read.map_err(|why| ("cdl", why))?);
        }
        Ok(files)
    }
}

fn said(path: &Path, why: &str) -> String {
    format!("\"{}\": {why}", path.display())
}

fn bytes_of(path: &Path, limit: usize) -> Result<Vec<u8>, String> {
    let read = || -> std::io::Result<Vec<u8>> {
        // Opening a pipe would wait for whoever writes into it.
        if !std::fs::metadata(path)?.is_file() {
            return Err(std::io::Error::other("not a file"));
        }
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(limit as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => said(path, "there is no such file"),
        _ => said(path, &format!("can not be read: {e}")),
    })
}

impl Subject<'_> {
    fn fact(&self, field: Field) -> Option<&str> {
        self.facts.iter().find(|f| f.field == field).map(|f| f.value.as_str())
    }

    /// Every name that a rule may call its camera by.
    fn cameras(&self) -> Vec<String> {
        let (make, model) = (self.fact(Field::Make), self.fact(Field::Model));
        let both = make.zip(model).map(|(make, model)| format!("{make} {model}"));
        let letter = self.fact(Field::Camera).map_or_else(|| camera_letter(self.roll), str::to_owned);
        let all = [make.map(str::to_owned), model.map(str::to_owned), both, Some(letter)];
        all.into_iter().flatten().filter(|name| !name.is_empty()).collect()
    }

    fn wear(&self, look: &Look, files: &Files, output: Output) -> Worn {
        let (cdl, mut note) = self.cdl(look, files);
        // Tiles are too small to be read.
        let lines = if output == Output::Filmstrip { Vec::new() } else { self.lines(look) };
        let dateless = look.burn_in.contains(&BurnIn::Date) && self.date().is_none();
        if dateless && output != Output::Filmstrip {
            let text = format!("look \"{}\": no date of the clip is known", look.name);
            note = Some(note.map_or(text.clone(), |note| format!("{note}; {text}")));
        }
        if cdl.is_none() && files.lut.is_none() && lines.is_empty() {
            return Worn { note, ..Worn::default() };
        }
        let mut record = json!({ "name": look.name });
        if let (Some((_, digest)), Some(path)) = (&files.lut, &look.lut) {
            record["lut"] = json!({ "file": path.to_string_lossy(), "blake3": digest });
        }
        if let Some(cdl) = &cdl {
            let from = match &look.cdl {
                Some(CdlFrom::File(path)) => path.to_string_lossy().into_owned(),
                _ => "clip".into(),
            };
            // As text: numbers would not come back the same from every reader.
            record["cdl"] = json!({ "sop": cdl.sop(), "sat": cdl.saturation.to_string(), "from": from });
        }
        if let Some(colour) = look.colour.filter(|_| files.lut.is_some()) {
            record["colour"] = json!(colour.name());
        }
        if !lines.is_empty() {
            let drawn = look.burn_in.iter().filter(|b| **b != BurnIn::Date || !dateless);
            record["burn_in"] = drawn.map(|b| b.name()).collect();
            record["size"] = json!(look.size_percent);
            if let Some(text) = &look.watermark {
                record["watermark"] = json!(text);
            }
        }
        let (colour, size_percent) = (look.colour, look.size_percent);
        let finish = Finish { cdl, lut: None, colour, lines, size_percent };
        let lut = files.lut.as_ref().map(|(cube, _)| cube.clone());
        Worn { record: Some(record), finish: Some(finish), lut, note }
    }

    /// The clip's own correction, or a word about why there is none.
    fn cdl(&self, look: &Look, files: &Files) -> (Option<Cdl>, Option<String>) {
        let none = |why: String| (None, Some(format!("look \"{}\": {why}", look.name)));
        match (&look.cdl, &files.corrections) {
            (Some(CdlFrom::Clip), _) => {
                let (sop, sat) = (self.fact(Field::AscSop), self.fact(Field::AscSat));
                match Cdl::parse(sop, sat).filter(|_| sop.is_some() || sat.is_some()) {
                    Some(cdl) => (Some(cdl), None),
                    None => none("the clip has no CDL of its own".into()),
                }
            }
            (Some(CdlFrom::File(path)), Some(list)) => {
                let names: Vec<&str> = [self.name].into_iter().chain(self.fact(Field::ClipName)).collect();
                match list.of(&names, self.fact(Field::Reel)) {
                    cdl::Found::One(cdl) => (Some(cdl), None),
                    cdl::Found::None => none(said(path, "no CDL of this clip in it")),
                    cdl::Found::Several => none(said(path, "several CDLs of this clip in it, which differ")),
                }
            }
            _ => (None, None),
        }
    }

    fn date(&self) -> Option<&str> {
        self.fact(Field::RecordedAt).and_then(|t| t.get(..10))
    }

    fn lines(&self, look: &Look) -> Vec<Line> {
        let fixed = |text: Option<&str>| text.map(|t| Text::Fixed(shown(t)));
        let line = |field: &BurnIn| {
            let (place, text) = match field {
                BurnIn::Clip => (Place::BottomLeft, fixed(Some(self.name))),
                BurnIn::Timecode => (Place::Bottom, Some(Text::Timecode)),
                BurnIn::Frame => (Place::BottomRight, Some(Text::Frame)),
                BurnIn::Reel => (Place::TopLeft, fixed(self.fact(Field::Reel).or(Some(self.roll)))),
                BurnIn::Date => (Place::TopRight, fixed(self.date())),
            };
            Some(Line { place, text: text? })
        };
        let mark = look.watermark.as_deref().map(|t| Line { place: Place::Centre, text: Text::Fixed(shown(t)) });
        look.burn_in.iter().filter_map(line).chain(mark).collect()
    }
}

/// Letters with their accents as one sign, as the font has them; macOS writes names otherwise.
fn shown(text: &str) -> String {
    text.nfc().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset::{Preset, Recipe};

    const WEB: Output = Output::Proxy(Recipe::WEB);

    fn lut(dir: &Path) -> std::path::PathBuf {
        let path = dir.join("show.cube");
        let rows: String = (0..8).map(|n| format!("{} {} {}\n", n & 1, n >> 1 & 1, n >> 2)).collect();
        std::fs::write(&path, format!("LUT_3D_SIZE 2\n{rows}")).unwrap();
        path
    }

    fn fact(field: Field, value: &str) -> Fact {
        Fact::new(field, value).unwrap()
    }

    #[test]
    fn the_first_look_that_is_for_the_clip_and_the_file_counts() {
        let look = |name: &str, camera: Option<&str>, presets: &[&'static str]| Look {
            camera: camera.map(str::to_owned),
            presets: presets.to_vec(),
            burn_in: vec![BurnIn::Clip],
            ..Look::named(name.into())
        };
        let all = [
            look("arri", Some("ARRI*"), &["web"]),
            look("b", Some("B"), &["web"]),
            look("rest", None, &["web", "poster"]),
        ];
        let looks = Looks::read(&all);
        let name = |roll: &str, facts: &[Fact], output| {
            let worn = looks.of(&Subject { roll, name: "x", facts }, output).unwrap();
            worn.record.map_or_else(String::new, |r| r["name"].as_str().unwrap().to_owned())
        };
        let arri = [fact(Field::Make, "ARRI"), fact(Field::Model, "ALEXA 35")];
        assert_eq!(name("A001", &arri, WEB), "arri");
        assert_eq!(name("B001", &[], WEB), "b");
        assert_eq!(name("A001", &[], WEB), "rest");
        assert_eq!(name("A001", &arri, Output::Poster), "rest");
        assert_eq!(name("A001", &arri, Output::Proxy(Recipe::of(Preset::ProresProxy))), "");
    }

    #[test]
    fn what_is_recorded_says_which_bytes_and_which_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let path = lut(dir.path());
        let look = Look { lut: Some(path.clone()), cdl: Some(CdlFrom::Clip), ..Look::named("show".into()) };
        let facts = [fact(Field::AscSop, "(1.1 1 1)(0 0 0)(1 1 1)")];
        let subject = Subject { roll: "A001", name: "x", facts: &facts };
        let worn = Looks::read(&[look]).of(&subject, WEB).unwrap();
        let digest = blake3::hash(&std::fs::read(&path).unwrap()).to_hex().to_string();
        let want = json!({
            "name": "show",
            "lut": { "file": path.to_str().unwrap(), "blake3": digest },
            "cdl": { "sop": "(1.1 1 1)(0 0 0)(1 1 1)", "sat": "1", "from": "clip" },
        });
        assert_eq!(worn.record, Some(want));
        assert_eq!((worn.finish.unwrap().cdl.unwrap().slope[0], worn.note), (1.1, None));
    }

    #[test]
    fn a_clip_without_a_cdl_says_so_and_a_file_that_is_gone_is_no_look() {
        let dir = tempfile::tempdir().unwrap();
        let path = lut(dir.path());
        let subject = Subject { roll: "A001", name: "x", facts: &[] };
        let own = Look { cdl: Some(CdlFrom::Clip), ..Look::named("day".into()) };
        let worn = Looks::read(&[own]).of(&subject, WEB).unwrap();
        assert_eq!((worn.record, worn.note.as_deref()), (None, Some("look \"day\": the clip has no CDL of its own")));
        let look = Look { lut: Some(path.clone()), ..Look::named("show".into()) };
        std::fs::remove_file(&path).unwrap();
        let gone = Looks::read(std::slice::from_ref(&look)).of(&subject, WEB).err().unwrap();
        assert!(gone.starts_with("look \"show\": ") && gone.contains("there is no such file"), "{gone}");
        std::fs::create_dir(&path).unwrap();
        let folder = Looks::read(&[look]).of(&subject, WEB).err().unwrap();
        assert!(folder.contains("not a file"), "{folder}");
    }

    #[test]
    fn a_date_that_nobody_knows_is_told_and_not_recorded_as_drawn() {
        let look = Look { burn_in: vec![BurnIn::Clip, BurnIn::Date], ..Look::named("dailies".into()) };
        let looks = Looks::read(&[look]);
        let worn = |facts: &[Fact]| looks.of(&Subject { roll: "A001", name: "x", facts }, WEB).unwrap();
        let without = worn(&[]);
        assert_eq!(without.record.unwrap()["burn_in"], json!(["clip"]));
        assert_eq!(without.note.as_deref(), Some("look \"dailies\": no date of the clip is known"));
        let with = worn(&[fact(Field::RecordedAt, "2026-11-27T10:00:00Z")]);
        assert_eq!((with.record.unwrap()["burn_in"].clone(), with.note), (json!(["clip", "date"]), None));
    }

    #[test]
    fn tiles_of_a_filmstrip_get_the_colours_and_no_text() {
        let look = Look { burn_in: vec![BurnIn::Clip], watermark: Some("x".into()), ..Look::named("a".into()) };
        let subject = Subject { roll: "A001", name: "Cafe\u{301}", facts: &[] };
        let looks = Looks::read(&[look]);
        assert!(looks.of(&subject, Output::Filmstrip).unwrap().finish.is_none());
        let lines = looks.of(&subject, Output::Poster).unwrap().finish.unwrap().lines;
        assert_eq!(lines[0].text, Text::Fixed("Caf\u{e9}".into()));
        assert_eq!(lines[1].place, Place::Centre);
    }
}
