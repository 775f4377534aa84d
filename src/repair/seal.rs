//! The generation that says what was repaired.

use super::Bench;
use crate::catalog::CopyRow;
use crate::copy::{CopyState, Generation};
use crate::ingest::{creator, keep_manifest};
use crate::mhl::{self, History, MhlError, Process, SealRequest};
use crate::patrol::{PatrolError, Sealed};
use crate::relpath::RelPath;
use crate::verify::{SealAction, SealEntry, VerifiedFile};
use jiff::Timestamp;
use std::collections::BTreeMap;

impl Bench<'_> {
    /// Appends it, where an offload or a registration is sealed at all; then the repairs are done.
    pub(super) fn seal(&mut self) -> Result<(), PatrolError> {
        let whole = std::mem::take(&mut self.whole);
        let Some(begun_at) = whole.values().min().copied() else { return Ok(()) };
        let mut entries = Vec::new();
        for relpath in whole.keys().filter(|p| !mhl::is_chain(p)) {
            let row = self.catalog.copy(self.copy.id, relpath)?;
            let digests = self.catalog.file_record(self.copy.card, relpath)?.and_then(|r| r.digests);
            let proof = row.filter(|r| r.state == CopyState::Proven).and_then(|row| self.standing(&row));
            if let (Some(digests), Some(proof)) = (digests, proof) {
                entries.extend(SealEntry::proven(&digests, &proof, SealAction::Verified));
            }
        }
        if self.copy.sealed && !entries.is_empty() {
            match self.append(&entries, begun_at) {
                Ok(generation) => {
                    let (root, base) = (self.folder.root.clone(), self.folder.base.clone());
                    if let Err(e) = keep_manifest(&root, &base, &generation) {
                        self.note(&format!("the manifest is not kept a second time: {e}"));
                    }
                    self.catalog.add_generation(self.copy.id, &generation, Timestamp::now())?;
                    let Generation { number, manifest, .. } = generation;
                    self.report.sealed.push(Sealed { copy: self.name(), generation: number, manifest });
                }
                Err(e) => {
                    let text = format!("\"{}\" is not sealed: {e}", self.folder.path.display());
                    self.note(&text);
                    self.catalog.log(self.copy.card, None, &text, Timestamp::now())?;
                    self.report.unsealed.push(text);
                }
            }
        }
        for relpath in whole.keys() {
            self.catalog.end_repair(self.copy.id, relpath, None, Timestamp::now())?;
        }
        Ok(())
    }

    fn standing(&self, row: &CopyRow) -> Option<VerifiedFile> {
        row.proof(self.folder.root.stat(&self.folder.place(&row.relpath)).ok()?)
    }

    /// With the time of the repair's beginning, so that a run that was cut short writes the same bytes again.
    fn append(&self, entries: &[SealEntry], begun_at: Timestamp) -> Result<Generation, MhlError> {
        let io = |source| MhlError::Io { path: RelPath::root(), source };
        let root = self.folder.root.sub_root(&self.folder.base).map_err(io)?;
        // A kill behind the chain: it is there, and only the catalog does not know it.
        let end = begun_at.strftime("_%Y-%m-%d_%H%M%SZ.mhl").to_string();
        let last = History::read(&root)?.and_then(|h| h.generations.into_iter().next_back());
        let known = self.catalog.generations(self.copy.id).unwrap_or_default();
        if let Some(last) = last.filter(|g| g.manifest.name().ends_with(end.as_bytes()) && !known.contains(g)) {
            return Ok(last);
        }
        let request = SealRequest {
            root: &root,
            entries,
            folders: &[],
            folder_times: &BTreeMap::new(),
            renames: &BTreeMap::new(),
            process: Process::InPlace,
            whole: false,
            creator: &creator(self.yard.station),
            ignore: &[],
            started_at: begun_at,
            may_fail: false,
            resume: true,
        };
        match mhl::seal(&request) {
            Err(MhlError::Unlisted { .. }) => mhl::seal(&SealRequest { resume: false, ..request }),
            other => other,
        }
    }
}
