//! What a pass found, as the next generation of each history that it read: `verify --seal`, `patrol --seal`.

use super::PatrolError;
use super::folder::Folder;
use super::run::Pass;
use crate::catalog::Catalog;
use crate::digest::{Digests, HashFormat};
use crate::disk::list;
use crate::finding::FindingKind;
use crate::ingest::{creator, keep_manifest};
use crate::mhl::{self, MhlError, Process, Record, SealRequest};
use crate::progress::Event;
use crate::relpath::RelPath;
use crate::verify::{SealAction, SealEntry, VerifiedFile, take_all};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// What the pass saw in one folder.
#[derive(Default)]
pub(super) struct Seen {
    pub good: Vec<VerifiedFile>,
    pub altered: Vec<RelPath>,
}

/// A generation that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sealed {
    /// Root of the copy.
    pub copy: String,
    pub generation: u32,
    pub manifest: RelPath,
}

impl Pass<'_> {
    /// One generation a folder. Where that is not possible the report says why, and the rest goes on.
    pub fn seal(&mut self, catalog: &mut Catalog) -> Result<(), PatrolError> {
        let (seen, folders) = (std::mem::take(&mut self.seen), std::mem::take(&mut self.folders));
        for (i, seen) in seen {
            let folder = &folders[i];
            if folder.copy.as_ref().is_some_and(|root| !root.sealed) {
                let text = format!("\"{}\" is not sealed: its offload is not finished", folder.path.display());
                self.report.unsealed.push(text);
                continue;
            }
            match self.seal_folder(catalog, folder, seen)? {
                Ok(Some(sealed)) => self.report.sealed.push(sealed),
                Ok(None) => {}
                Err(e) => self.report.unsealed.push(format!("\"{}\" is not sealed: {e}", folder.path.display())),
            }
        }
        self.folders = folders;
        self.report.unsealed.iter().for_each(|text| self.progress.event(Event::Note(text)));
        Ok(())
    }

    fn seal_folder(
        &self,
        catalog: &mut Catalog,
        folder: &Folder,
        seen: Seen,
    ) -> Result<Result<Option<Sealed>, MhlError>, PatrolError> {
        let failed = |source| PatrolError::Look { path: folder.path.clone(), source };
        let root = folder.root.sub_root(&folder.base).map_err(failed)?;
        let history = match folder.read_history() {
            Ok(history) => history,
            Err(fault) => return Ok(Err(fault.into())),
        };
        let records = history.map(|h| h.records).unwrap_or_default();
        let mut entries = Vec::new();
        // Files whose digests nobody has yet in a format that the history knows: one more read of these alone.
        let mut to_read: Vec<(RelPath, Vec<HashFormat>, SealAction)> = Vec::new();
        for file in &seen.good {
            let path = file.relpath();
            let record = records.get(path).filter(|r| !r.known.is_empty());
            let digests = match &folder.copy {
                Some(copy) => catalog.file_record(copy.card, path)?.and_then(|r| r.digests),
                // What it was just compared with.
                None => record.and_then(mhl::quickest).map(|d| Digests { blake3: [0; 32], mhl: vec![d.clone()] }),
            };
            let fits = |d: &Digests| record.is_none_or(|r| d.mhl.iter().any(|d| r.get(d.format).is_some()));
            match digests.filter(|d| !d.mhl.is_empty() && fits(d)) {
                Some(digests) => entries.extend(SealEntry::proven(&digests, file, SealAction::Verified)),
                None => to_read.push((path.clone(), formats(record), SealAction::Verified)),
            }
        }
        for path in &seen.altered {
            to_read.push((path.clone(), formats(records.get(path)), SealAction::Failed));
        }
        let mut spare = Vec::new();
        for (path, formats, action) in &to_read {
            let place = [(path, &formats[..])];
            for taken in take_all(&root, &place, &folder.lane(), &mut spare, self.progress).into_iter().flatten() {
                entries.push(SealEntry::taken(taken, *action));
            }
        }
        if entries.is_empty() {
            return Ok(Ok(None));
        }
        let listing = list::list(&folder.path, &self.station.config.litter);
        let listing = listing.map_err(|e| failed(std::io::Error::other(e.to_string())))?;
        let here = folder.finding(FindingKind::Extra, &RelPath::root(), "").copy;
        let other = |f: &&crate::finding::Finding| f.copy == here && f.kind != FindingKind::Altered;
        let is_manifest = |p: &RelPath| p.segments().any(|s| s == mhl::FOLDER.as_bytes());
        let files = listing.files.iter().filter(|f| !is_manifest(&f.relpath)).count();
        let sealed = entries.iter().filter(|e| !is_manifest(e.relpath())).count();
        let request = SealRequest {
            root: &root,
            entries: &entries,
            folders: &listing.folders,
            folder_times: &BTreeMap::new(),
            renames: &BTreeMap::new(),
            process: Process::InPlace,
            // Folder hashes claim that nothing was left out.
            whole: files == sealed && !self.report.findings.iter().any(|f| other(&f)),
            creator: &creator(self.station),
            ignore: &[],
            started_at: Timestamp::now(),
            may_fail: true,
            resume: false,
        };
        let generation = match mhl::seal(&request) {
            Ok(generation) => generation,
            Err(e) => return Ok(Err(e)),
        };
        if let Some(copy) = &folder.copy {
            if let Err(e) = keep_manifest(&folder.root, &folder.base, &generation) {
                self.progress.event(Event::Note(&format!("the manifest is not kept a second time: {e}")));
            }
            catalog.add_generation(copy.id, &generation, Timestamp::now())?;
        }
        Ok(Ok(Some(Sealed { copy: here, generation: generation.number, manifest: generation.manifest })))
    }
}

/// All that the history knows of it; the one that every tool reads where it knows nothing.
fn formats(record: Option<&Record>) -> Vec<HashFormat> {
    match record.map(Record::formats).filter(|f| !f.is_empty()) {
        Some(formats) => formats,
        None => vec![HashFormat::Xxh64],
    }
}
