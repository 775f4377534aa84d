//! The catalog's own row of a card's file, when it does not hold its checksum: nothing is judged by it, and what it said is
//! taken from a copy that fits something else that was sealed.

use super::Bench;
use crate::catalog::FileRow;
use crate::digest::{Digest, HashFormat};
use crate::mhl;
use crate::patrol::PatrolError;
use crate::patrol::folder::Folder;
use crate::relpath::RelPath;
use crate::verify::take_all;
use jiff::Timestamp;
use std::sync::Arc;

impl Bench<'_> {
    /// `Err`: why it cannot be.
    pub(super) fn restore_row(&mut self, row: &FileRow) -> Result<Result<(), String>, PatrolError> {
        if self.yard.request.dry_run {
            return Ok(Err(
                "the catalog's row is damaged; without --dry-run it is restored from a copy, if one fits".into()
            ));
        }
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
            formats.push(HashFormat::Blake3);
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
            if self.catalog.restore_file(card, &record, &text, Timestamp::now())? {
                self.note(&text);
                return Ok(Ok(()));
            }
        }
        Ok(Err("the catalog's row of it is damaged, and no copy that can be reached fits what was sealed of it".into()))
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
