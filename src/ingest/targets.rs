//! What is made of a clip, and where each file of it goes: below the media root, or proxies for relinking beside their
//! originals.

use super::IngestError;
use super::describe::Room;
use super::looks::{Subject, Worn};
use super::parts::in_a_row;
use crate::card;
use crate::catalog::{Catalog, ClipRow};
use crate::clip::{ProxyFile, Role};
use crate::config::{Config, MediaLayout};
use crate::disk::buffer::{ALIGN, Buffer};
use crate::disk::write::{Temp, publish_whole};
use crate::disk::{Root, facts};
use crate::mhl::History;
use crate::preset::Output;
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The folder that editing programs look into for proxies (Resolve does by itself).
pub(super) const PROXY_FOLDER: &str = "Proxy";

/// One file that is to be made.
#[derive(Clone, Debug)]
pub(super) struct Want {
    pub output: Output,
    pub target: Target,
    /// The later file of the recording that it stands for; `None`: the first one, or all.
    pub file: Option<RelPath>,
    /// Or why it cannot be had.
    pub look: Result<Worn, String>,
}

impl Want {
    /// Whether it was made with another look than it should have; one that cannot be had now changes nothing.
    pub fn differs(&self, row: &ProxyFile) -> bool {
        self.look.as_ref().is_ok_and(|look| row.look != look.record)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The media root, or the folder of a copy.
    pub base: PathBuf,
    pub relpath: RelPath,
    /// In the card's own tree.
    pub beside: bool,
}

impl Target {
    pub fn path(&self) -> PathBuf {
        self.relpath.under(&self.base)
    }

    pub fn is_there(&self) -> bool {
        self.path().symlink_metadata().is_ok_and(|m| m.is_file() && m.len() > 0)
    }

    /// Gives a finished file its name. `temp` names it meanwhile on another disk.
    pub fn publish(&self, from: &Path, temp: &str) -> io::Result<()> {
        let root = Root::open(&self.base)?;
        if !self.beside {
            return publish_whole(&root, from, &self.relpath);
        }
        root.make_dir(&self.relpath.parent())?;
        let part = self.relpath.parent().join(format!(".{temp}.goodgate-part")).map_err(io::Error::other)?;
        let mut from = File::open(from)?;
        let size = from.metadata()?.len();
        if root.stat(&part)?.is_some() {
            // A kill left it; only we give such names.
            Temp::resume(&root, &part, 0, &facts::of(&self.base)?.mount.fs_type)?.discard()?;
        }
        let mut temp = Temp::create(&root, &part, size)?;
        let done = copy_into(&mut temp, &mut from).and_then(|()| temp.finish(None));
        match done {
            Ok(()) => temp.publish(&self.relpath).map(drop).map_err(|(temp, e)| {
                let _ = temp.discard();
                e
            }),
            Err(e) => {
                let _ = temp.discard();
                Err(e)
            }
        }
    }
}

fn copy_into(temp: &mut Temp<'_>, from: &mut File) -> io::Result<()> {
    let mut buf = Buffer::new(1024 * ALIGN);
    loop {
        let mut filled = 0;
        while filled < buf.len() {
            match from.read(&mut buf[filled..])? {
                0 => break,
                n => filled += n,
            }
        }
        if filled == 0 {
            return Ok(());
        }
        temp.append(&buf, filled)?;
    }
}

/// Patterns of a new manifest: with proxies beside their originals, their folders are none of its business. A card that
/// has such folders of its own keeps them in it.
pub(super) fn ignored<'a>(config: &Config, files: impl Iterator<Item = &'a RelPath>) -> Vec<String> {
    let mut out = config.mhl.ignore.clone();
    if config.media.layout == MediaLayout::Beside && !has_proxy_folder(files) {
        out.push(format!("{PROXY_FOLDER}/"));
    }
    out
}

fn has_proxy_folder<'a>(mut files: impl Iterator<Item = &'a RelPath>) -> bool {
    files.any(in_proxy_folder)
}

/// In any case of letters: on most filesystems of editors it would be the same folder.
pub(super) fn in_proxy_folder(file: &RelPath) -> bool {
    file.parent().segments().any(|s| s.eq_ignore_ascii_case(PROXY_FOLDER.as_bytes()))
}

impl Room<'_> {
    /// Where proxies for relinking go if they lie beside their originals, which is on the first copy that can be reached.
    pub(super) fn place_relink_proxies(&mut self, progress: &dyn Progress) {
        let config = &self.station.config;
        let has_relink = config.proxies.iter().any(|p| p.recipe.preset.is_relink());
        if config.media.layout != MediaLayout::Beside || !has_relink {
            return;
        }
        let why = match self.roots.folders().next() {
            None => "no copy of it can be reached".to_owned(),
            Some((root, files)) => match History::read(root) {
                _ if has_proxy_folder(files.iter()) => format!("the card has a folder \"{PROXY_FOLDER}\" of its own"),
                Ok(Some(h)) if h.ignores(&RelPath::new(PROXY_FOLDER).unwrap_or_default(), true) => {
                    self.beside = Some(root.path().to_path_buf());
                    return;
                }
                _ => format!("its manifests do not leave out \"{PROXY_FOLDER}/\""),
            },
        };
        let text =
            format!("proxies of {} are not laid beside their originals but below the media root: {why}", self.roll);
        progress.event(Event::Note(&text));
    }

    /// All that can be made of a clip.
    pub(super) fn wants(&self, catalog: &Catalog, clip: &ClipRow, essence: &RelPath) -> Result<Vec<Want>, IngestError> {
        let facts = catalog.chosen(clip.id)?;
        let subject = Subject { roll: &self.roll, name: &clip.name, facts: &facts };
        let want = |output, suffix: &str, file: Option<&RelPath>| -> Result<Want, IngestError> {
            let target = self.target(output, suffix, file.unwrap_or(essence), clip)?;
            Ok(Want { output, target, file: file.cloned(), look: self.looks.of(&subject, output) })
        };
        let mut out = Vec::new();
        for proxy in &self.station.config.proxies {
            out.push(want(Output::Proxy(proxy.recipe), &proxy.suffix, None)?);
        }
        for output in Output::PICTURES_AND_FINDINGS {
            out.push(want(output, "", None)?);
        }
        let later = clip.files.iter().filter(|(p, r)| *r == Role::Essence && p != essence).map(|(p, _)| p);
        if in_a_row(clip) && !card::is_frame(essence) {
            for file in later {
                for proxy in self.station.config.proxies.iter().filter(|p| p.recipe.preset.is_relink()) {
                    out.push(want(Output::Proxy(proxy.recipe), &proxy.suffix, Some(file))?);
                }
            }
        }
        Ok(out)
    }

    /// `ROLL/web/<card path>/<stem>.mp4` below the media root. Two clips of one stem in one folder keep apart by name.
    pub(super) fn target(
        &self,
        output: Output,
        suffix: &str,
        original: &RelPath,
        clip: &ClipRow,
    ) -> Result<Target, IngestError> {
        let bad = |e: crate::relpath::BadPath| IngestError::Internal(e.to_string());
        let stem = match clip.name.as_bytes() == original.name() {
            true => original.name(),
            false => original.stem(),
        };
        let name = [stem, suffix.as_bytes(), b".", output.extension().as_bytes()].concat();
        if let Some(copy) = self.beside.as_ref().filter(|_| output.is_relink()) {
            let folder = original.parent().join(PROXY_FOLDER).map_err(bad)?;
            return Ok(Target { base: copy.clone(), relpath: folder.join(name).map_err(bad)?, beside: true });
        }
        let folder = format!("{}/{}", self.roll, output.folder());
        let folder = RelPath::new(folder).map_err(bad)?.join_rel(&original.parent());
        let relpath = folder.join(name).map_err(bad)?;
        Ok(Target { base: self.station.media_root(), relpath, beside: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_with_a_proxy_folder_of_its_own_keeps_it_in_the_manifest() {
        let config = |layout| {
            let mut config = Config::default();
            config.media.layout = layout;
            config
        };
        let of = |layout, path: &str| {
            let path = RelPath::new(path).unwrap();
            ignored(&config(layout), [&path].into_iter()).contains(&"Proxy/".to_owned())
        };
        assert!(of(MediaLayout::Beside, "CLIPS/a.mov"));
        assert!(of(MediaLayout::Beside, "Proxy"), "a file is no folder");
        assert!(!of(MediaLayout::Root, "CLIPS/a.mov"));
        for own in ["Proxy/a.mp4", "CONTENTS/PROXY/a.mp4", "x/proxy/y/z.mov"] {
            assert!(!of(MediaLayout::Beside, own), "{own}");
        }
    }

    #[test]
    fn a_file_is_copied_whole_whatever_its_length_and_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        for len in [1, 4096, 1024 * ALIGN, 1024 * ALIGN + 17] {
            let bytes: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            let from = dir.path().join("from");
            std::fs::write(&from, &bytes).unwrap();
            let relpath = RelPath::new(format!("CLIPS/Proxy/{len}.mov")).unwrap();
            let target = Target { base: dir.path().to_path_buf(), relpath, beside: true };
            // What a kill left of an earlier try.
            std::fs::create_dir_all(dir.path().join("CLIPS/Proxy")).unwrap();
            std::fs::write(dir.path().join("CLIPS/Proxy/.t.goodgate-part"), b"old").unwrap();
            target.publish(&from, "t").unwrap();
            assert_eq!(std::fs::read(target.path()).unwrap(), bytes);
            assert!(target.publish(&from, "t").is_err(), "what lies there stays");
            assert!(!dir.path().join("CLIPS/Proxy/.t.goodgate-part").exists());
        }
    }
}
