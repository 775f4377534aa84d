//! Manifests and chains: from what was kept of each manifest when it was sealed, and a chain from its manifests.

use super::{Bench, Planned, Repaired, noted};
use crate::copy::Generation;
use crate::digest::HashFormat;
use crate::disk::read::PastCache;
use crate::disk::write::{Replace, publish_whole, remove, write_whole};
use crate::finding::Finding;
use crate::hash::digest_of;
use crate::ingest::kept_manifest;
use crate::mhl;
use crate::patrol::PatrolError;
use crate::patrol::folder::{Folder, chain_path};
use crate::relpath::RelPath;
use jiff::Timestamp;
use std::io;
use std::sync::Arc;

impl Bench<'_> {
    /// The roll's own chain, or a manifest that we sealed. What a card brought is a file of that card.
    pub(super) fn is_history(&self, finding: &Finding) -> bool {
        let sealed = self.catalog.generations(self.copy.id).unwrap_or_default();
        finding.relpath == chain_path() || sealed.iter().any(|g| g.manifest == finding.relpath)
    }

    /// The manifests first: a chain is made of them.
    pub(super) fn history(&mut self, found: Vec<Finding>) -> Result<(), PatrolError> {
        let sealed = self.catalog.generations(self.copy.id)?;
        let (chains, manifests): (Vec<_>, Vec<_>) = found.into_iter().partition(|f| f.relpath == chain_path());
        for finding in manifests {
            let Some(generation) = sealed.iter().find(|g| g.manifest == finding.relpath) else { continue };
            match self.manifest_of(generation) {
                Some((bytes, from)) => self.put(finding, "manifest", &bytes, from)?,
                None => {
                    let why = "nothing that holds its C4 is left: the files themselves are proven without it";
                    self.unhealed(finding, why);
                }
            }
        }
        for finding in chains {
            match self.chain_of(&sealed) {
                Ok(bytes) => {
                    let shown = |g: &Generation| Self::shown(&self.folder, &self.folder.place(&g.manifest));
                    let from = sealed.iter().map(shown).collect();
                    self.put(finding, "chain", &bytes, from)?;
                }
                Err(why) => self.unhealed(finding, &why),
            }
        }
        Ok(())
    }

    fn unhealed(&mut self, finding: Finding, why: &str) {
        self.note(&format!("not repaired: \"{}\": {why}", finding.relpath));
        self.report.unrepairable.push(noted(finding, why));
    }

    /// The bytes of a manifest that hold its C4, and where they were found.
    fn manifest_of(&self, generation: &Generation) -> Option<(Vec<u8>, Vec<String>)> {
        let mut places: Vec<(Arc<Folder>, RelPath)> = Vec::new();
        for folder in self.yard.of_card(self.copy.card) {
            places.push((folder.clone(), kept_manifest(&folder.base, generation.number)));
            places.push((folder.clone(), folder.place(&generation.manifest)));
        }
        // Under the name of another one.
        let at = RelPath::new(mhl::FOLDER).unwrap_or_default();
        for name in self.folder.root.names(&self.folder.place(&at)).unwrap_or_default() {
            places.extend(at.join(&name).ok().map(|p| (self.folder.clone(), self.folder.place(&p))));
        }
        places.into_iter().find_map(|(folder, place)| {
            let bytes = folder.root.read_small(&place, mhl::LIMIT_BYTES).ok()?;
            (digest_of(HashFormat::C4, &bytes) == generation.c4).then(|| (bytes, vec![Self::shown(&folder, &place)]))
        })
    }

    /// A chain of what was sealed here, and of what the card brought; refused while anything in the folder is in doubt.
    fn chain_of(&self, sealed: &[Generation]) -> Result<Vec<u8>, String> {
        let (root, at) = (&self.folder.root, RelPath::new(mhl::FOLDER).unwrap_or_default());
        let names = match root.names(&self.folder.place(&at)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            names => names.map_err(|e| e.to_string())?,
        };
        // A dry run has not put back yet what can be.
        let comes_back = |g: &Generation| self.yard.request.dry_run && self.manifest_of(g).is_some();
        let mut all: Vec<Generation> = Vec::new();
        for name in names.iter().filter(|n| n.ends_with(b".mhl") && !n.starts_with(b".")) {
            let relpath = at.join(name).map_err(|e| e.to_string())?;
            let bytes = root.read_small(&self.folder.place(&relpath), mhl::LIMIT_BYTES);
            let bytes = bytes.map_err(|e| format!("\"{relpath}\" cannot be read: {e}"))?;
            let c4 = digest_of(HashFormat::C4, &bytes);
            match sealed.iter().find(|g| g.manifest == relpath) {
                Some(known) if known.c4 == c4 || comes_back(known) => all.push(known.clone()),
                Some(_) => return Err(format!("\"{relpath}\" is damaged too")),
                None => {
                    let row = self.catalog.file_record(self.copy.card, &relpath).ok().flatten();
                    let brought = row.filter(|r| r.row_intact).and_then(|r| r.digests);
                    let number = std::str::from_utf8(name).ok().and_then(|n| n.split('_').next()?.parse().ok());
                    match (brought, number) {
                        (Some(d), Some(number)) if *blake3::hash(&bytes).as_bytes() == d.blake3 => {
                            all.push(Generation { number, manifest: relpath, c4 });
                        }
                        _ => return Err(format!("\"{relpath}\" lies there, and the catalog cannot say what it is")),
                    }
                }
            }
        }
        for known in sealed {
            match all.contains(known) {
                true => {}
                false if comes_back(known) => all.push(known.clone()),
                false => return Err(format!("\"{}\" is not there", known.manifest)),
            }
        }
        all.sort_by_key(|g| g.number);
        let gapless = all.iter().zip(1..).all(|(g, n)| g.number == n);
        match all.is_empty() || !gapless {
            true => Err("the catalog does not know all of its generations".into()),
            false => Ok(mhl::chain_of_all(&all)),
        }
    }

    /// Writes a small file of a history whole, and looks whether it holds now.
    fn put(
        &mut self,
        finding: Finding,
        what: &'static str,
        bytes: &[u8],
        from: Vec<String>,
    ) -> Result<(), PatrolError> {
        let (copy, relpath) = (self.name(), finding.relpath.clone());
        if self.yard.request.dry_run {
            let blocks = vec![(0, bytes.len() as u64)];
            let from = from.into_iter().map(|path| super::From { path, blocks: blocks.clone() }).collect();
            self.report.planned.push(Planned { copy, relpath, what, from });
            return Ok(());
        }
        let folder = self.folder.clone();
        let place = folder.place(&relpath);
        let kept = match self.keep_small(&place, &relpath) {
            Ok(kept) => kept,
            Err(e) => {
                self.unhealed(finding, &format!("the damaged one cannot be kept: {e}"));
                return Ok(());
            }
        };
        if let Err(e) = replace_proven(&folder, &place, bytes) {
            self.unhealed(finding, &format!("cannot write it: {e}"));
            return Ok(());
        }
        let text = format!("\"{relpath}\" repaired: the {what} is as it was sealed, {} bytes written", bytes.len());
        self.catalog.history_repaired(self.copy.id, &relpath, &text, Timestamp::now())?;
        let kept = kept.map(|k| Self::shown(&folder, &k));
        let (bytes_written, relpath_hex) = (bytes.len() as u64, relpath.hex_if_escaped());
        self.report.repaired.push(Repaired { copy, relpath, relpath_hex, bytes_written, what, from, kept });
        Ok(())
    }

    /// A copy of what can be read of the damaged one, where that is wished.
    fn keep_small(&self, place: &RelPath, relpath: &RelPath) -> io::Result<Option<RelPath>> {
        let root = &self.folder.root;
        if !self.yard.request.keep_damaged || root.stat(place)?.is_none() {
            return Ok(None);
        }
        let bytes = root.read_small(place, mhl::LIMIT_BYTES)?;
        for to in self.salvage_places(relpath) {
            match write_whole(root, &to, &bytes, Replace::Never) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                other => return other.map(|()| Some(to)),
            }
        }
        Err(io::Error::other("too many were kept before"))
    }
}

/// Written beside it, read back past the cache, and only then given the name.
fn replace_proven(folder: &Folder, place: &RelPath, bytes: &[u8]) -> io::Result<()> {
    let root = &folder.root;
    let name = [b".", place.name(), b".goodgate-part"].concat();
    let temp = place.parent().join(name).map_err(io::Error::other)?;
    write_whole(root, &temp, bytes, Replace::Ours)?;
    // Opening it so drops its pages.
    let _ = PastCache::open(root, &temp, &folder.facts.mount.fs_type)?;
    if root.read_small(&temp, mhl::LIMIT_BYTES)? != bytes {
        remove(root, &temp)?;
        return Err(io::Error::other("what was written reads back wrong: look at the disk"));
    }
    publish_whole(root, &temp.under(root.path()), place)?;
    root.sync_named(place)
}
