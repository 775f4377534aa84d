//! The catalog's own row of a card's file, when it does not hold its checksum: nothing is judged by it, and what it said is
//! taken from a copy that fits something else that was sealed.

use super::{Bench, From, Planned, Repaired};
use crate::catalog::{CatalogError, FileRow};
use crate::clip::{CardFile, JobId};
use crate::copy::FileRecord;
use crate::digest::{BlockDigests, Digest, Digests, HashFormat};
use crate::finding::Finding;
use crate::mhl;
use crate::patrol::PatrolError;
use crate::patrol::folder::Folder;
use crate::progress::Intent;
use crate::relpath::RelPath;
use crate::verify::{prove_existing, take_all};
use jiff::Timestamp;
use std::sync::Arc;

impl Bench<'_> {
    /// With what it is restored, or would be; `Err`: why it cannot be.
    pub(super) fn restore_row(&mut self, row: &FileRow) -> Result<Result<FileRecord, String>, PatrolError> {
        let (card, relpath) = (self.copy.card, row.file.relpath.clone());
        let folders: Vec<Arc<Folder>> = self.yard.of_card(card).cloned().collect();
        for folder in folders {
            // The digest alone can hold while the block digests are lost.
            let known = match row.digests.as_ref().and_then(|d| d.get(HashFormat::Blake3)) {
                Some(blake3) => Some(vec![blake3]),
                None => self.sealed(&folder, &relpath)?,
            };
            let Some(known) = known else { continue };
            let mut formats: Vec<HashFormat> = known.iter().map(|d| d.format).collect();
            formats.extend([HashFormat::Blake3, HashFormat::Xxh64]);
            formats.sort();
            formats.dedup();
            let Ok(root) = folder.root.sub_root(&folder.base) else { continue };
            let asked = [(&relpath, &formats[..])];
            let taken = take_all(&root, &asked, &folder.lane(), &mut Vec::new(), self.yard.progress).pop();
            let Some(Ok(taken)) = taken else { continue };
            if known.iter().any(|d| taken.get(d.format) != Some(d)) {
                continue;
            }
            let Some(record) = taken.record() else { continue };
            let fits = if row.digests.is_some() { "its digest" } else { "the history beside it" };
            let text = format!(
                "the catalog's row of \"{relpath}\" was damaged, and is restored from \"{}\", which fits {fits}",
                Self::shown(&folder, &folder.place(&relpath))
            );
            if self.yard.request.dry_run {
                self.plan_row(&relpath, &folder);
                return Ok(Ok(record));
            }
            if self.catalog.restore_file(card, &record, &text, Timestamp::now())? {
                self.note(&text);
                return Ok(Ok(record));
            }
        }
        Ok(Err("the catalog's row of it is damaged, and no copy that can be reached fits what was sealed of it".into()))
    }

    /// What the row of this copy says of a file whose own row is lost.
    pub(super) fn row_by_copy(&self, relpath: &RelPath) -> Result<Option<FileRow>, CatalogError> {
        let copy = self.catalog.copy(self.copy.id, relpath)?.filter(|copy| copy.row_intact);
        Ok(copy.and_then(|copy| {
            let (size_bytes, mtime_ns, blake3) = (copy.size_bytes?, copy.mtime_ns?, copy.blake3?);
            Some(FileRow {
                file: CardFile { relpath: relpath.clone(), size_bytes, mtime_ns },
                digests: Some(Digests { blake3, mhl: Vec::new() }),
                blocks: BlockDigests::default(),
                equal_reads: 0,
                unstable: false,
                row_intact: false,
            })
        }))
    }

    /// The row of the copy is lost: a file that fits gets it again.
    pub(super) fn copy_again(&mut self, finding: Finding, record: &FileRecord) -> Result<(), PatrolError> {
        let folder = self.folder.clone();
        let relpath = &record.file.relpath;
        let place = folder.place(relpath);
        let proof = match prove_existing(&folder.root, &place, record, &folder.lane(), self.yard.progress) {
            Ok(proof) => proof,
            Err(why) => {
                return self.lost(finding, &format!("{why}: offload that card, or register that folder, again"));
            }
        };
        if self.yard.request.dry_run {
            self.plan_row(relpath, &folder);
            return Ok(());
        }
        let (stat, read_back) = (proof.stat(), proof.read_back());
        let proven = Intent::Proven {
            copy: self.copy.id,
            relpath: relpath.clone(),
            size_bytes: stat.size_bytes,
            mtime_ns: stat.mtime_ns,
            read_back,
            job: JobId(uuid::Uuid::nil()),
        };
        self.catalog.apply(self.copy.card, &[proven], proof.at())?;
        self.note(&format!("\"{relpath}\": its row is back, and the copy fits it"));
        self.report.repaired.push(Repaired::row(&self.name(), relpath));
        Ok(())
    }

    /// A row of the catalog would be made whole from the file in that folder.
    pub(super) fn plan_row(&mut self, relpath: &RelPath, folder: &Folder) {
        let (what, path) = ("catalog row", Self::shown(folder, &folder.place(relpath)));
        let (copy, relpath) = (self.name(), relpath.clone());
        if !self.report.planned.iter().any(|p| p.what == what && p.relpath == relpath && p.copy == copy) {
            self.report.planned.push(Planned { copy, relpath, what, from: vec![From { path, blocks: Vec::new() }] });
        }
    }

    /// What the history in that folder says of the file, when its generations are those that the catalog saw sealed.
    fn sealed(&self, folder: &Folder, relpath: &RelPath) -> Result<Option<Vec<Digest>>, PatrolError> {
        let Some(copy) = &folder.copy else { return Ok(None) };
        let Ok(Some(history)) = folder.read_history() else { return Ok(None) };
        let ours = self.catalog.generations(copy.id)?;
        if ours.is_empty() || ours.iter().any(|g| !history.generations.contains(g)) {
            return Ok(None);
        }
        let record = history.records.get(relpath).filter(|r| mhl::quickest(r).is_some());
        Ok(record.map(|r| r.known.iter().map(|k| k.digest.clone()).collect()))
    }
}
