//! What verifications of copies saw, as marks on their rows.

use super::error::{CatalogError, Fault};
use super::record::{Proof, card_of, copy, fail, file, file_blake3, prove};
use super::rowsum::COPY;
use super::{Catalog, doubt, findings, int, mounts, partial, retired, text_of, told};
use crate::clip::{CardId, CopyRootId};
use crate::copy::{CopyState, ReadBack};
use crate::finding::Finding;
use crate::relpath::RelPath;
use jiff::Timestamp;
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// One result of a verification.
#[derive(Clone, Debug)]
pub struct Mark {
    pub root: CopyRootId,
    pub relpath: RelPath,
    pub at: Timestamp,
    pub seen: Seen,
}

#[derive(Clone, Debug)]
pub enum Seen {
    /// As [`Catalog::mark_proven`].
    Good(Proof),
    /// As good, and the bytes may have been written since the last proof: no unmount before now counts for them.
    Anew(Proof),
    /// As [`Catalog::mark_failed`].
    Bad(Finding),
    /// A finding that says nothing against the copy's own row.
    Note(Finding),
    /// What is no copy of a card file is as it should be: its findings are cleared.
    Clear,
}

impl Catalog {
    /// A verification found the copy bad: state and finding in one transaction.
    pub fn mark_failed(
        &mut self,
        root: CopyRootId,
        relpath: &RelPath,
        finding: &Finding,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        self.write(|tx| {
            bad(tx, root, relpath, finding, now)?;
            told::found(tx, root, finding, now)
        })
    }

    /// Read again and equal: a new date, and its findings are cleared. A check weaker than the proof on record proves
    /// less than that one: it is noted as seen, and class and date of the proof stay.
    pub fn mark_proven(
        &mut self,
        root: CopyRootId,
        relpath: &RelPath,
        proof: Proof,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        self.write(|tx| {
            good(tx, &Folder::of(tx, root)?, relpath, proof, Bytes::Kept, now)?;
            told::proven(tx, root, (1, proof.size_bytes), now)
        })
    }

    /// Many results in one commit: all of them, or none.
    pub fn mark(&mut self, marks: &[Mark]) -> Result<(), CatalogError> {
        self.write(|tx| {
            let mut folders: BTreeMap<CopyRootId, Folder> = BTreeMap::new();
            for Mark { root, relpath, at, seen } in marks {
                let folder = match folders.entry(*root) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => new.insert(Folder::of(tx, *root)?),
                };
                folder.has_marks |= matches!(seen, Seen::Bad(_) | Seen::Note(_));
                match seen {
                    Seen::Good(proof) => good(tx, folder, relpath, *proof, Bytes::Kept, *at)?,
                    Seen::Anew(proof) => good(tx, folder, relpath, *proof, Bytes::Written, *at)?,
                    Seen::Bad(finding) => bad(tx, *root, relpath, finding, *at)?,
                    Seen::Note(finding) => findings::add(tx, card_of(tx, *root)?, Some(*root), finding, *at)?,
                    Seen::Clear => findings::clear(tx, *root, relpath, *at)?,
                }
            }
            told::marks(tx, marks)
        })
    }
}

fn bad(c: &Connection, root: CopyRootId, relpath: &RelPath, finding: &Finding, now: Timestamp) -> Result<(), Fault> {
    let card = card_of(c, root)?;
    partial::forget(c, root, relpath)?;
    // A manifest or an extra file has no row of its own; the finding alone tells of it.
    match file(c, card, relpath) {
        Ok(_) => fail(c, card, root, relpath, CopyState::Failed, &finding.note)?,
        Err(Fault::Unknown(_)) => {}
        Err(other) => return Err(other),
    }
    findings::add(c, card, Some(root), finding, now)
}

/// Whether the bytes that were read are those that lay there when the copy was proven before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bytes {
    Kept,
    Written,
}

/// What holds for all copies in a folder.
pub(super) struct Folder {
    root: CopyRootId,
    card: CardId,
    /// The lifetime that its volume is in.
    mount: Option<i64>,
    /// Parts, findings or acceptances are there: a proof may end one.
    has_marks: bool,
}

impl Folder {
    pub fn of(c: &Connection, root: CopyRootId) -> Result<Self, Fault> {
        let (card, mount) = (card_of(c, root)?, mounts::current(c, root)?);
        let sql = "SELECT EXISTS (SELECT 1 FROM part_proof WHERE copy_root_id = ?1)
                       OR EXISTS (SELECT 1 FROM accepted_copy WHERE copy_root_id = ?1)
                       OR EXISTS (SELECT 1 FROM finding WHERE card_id = ?2 AND copy_root_id = ?1 AND cleared_at IS NULL)";
        let values = params![root.to_string(), card.to_string()];
        let has_marks = c.prepare_cached(sql)?.query_row(values, |r| r.get(0))?;
        Ok(Folder { root, card, mount, has_marks })
    }
}

pub(super) fn good(
    c: &Connection,
    folder: &Folder,
    relpath: &RelPath,
    mut proof: Proof,
    bytes: Bytes,
    now: Timestamp,
) -> Result<(), Fault> {
    let Folder { root, card, mount: current, has_marks } = *folder;
    let old = copy(c, root, relpath)?;
    let old = old.ok_or_else(|| Fault::Unknown(format!("copy of \"{relpath}\" in folder {root}")))?;
    let was_good = old.state == CopyState::Proven && old.row_intact;
    // A file that was written to in between may have lain in memory since.
    let kept = bytes == Bytes::Kept && was_good && old.mtime_ns == Some(proof.mtime_ns);
    let written_on = old.written_on.filter(|_| kept).or(current);
    if let (Some(then), Some(here)) = (written_on, current)
        && then != here
        && proof.read_back == ReadBack::Device
        && !partial::is_older(c, root, relpath, here)?
    {
        proof.read_back = ReadBack::Remounted;
    }
    let mut stronger =
        was_good && old.read_back > Some(proof.read_back) && (kept || old.read_back < Some(ReadBack::Remounted));
    if stronger {
        // A proof from before the catalog was put back is worth less than any of after.
        stronger = doubt::latest(c)?.0.is_none_or(|doubt| old.proven_at.is_some_and(|at| at > doubt.at));
    }
    if stronger && old.blake3 == Some(file_blake3(c, card, relpath)?) {
        let key = root.to_string();
        let values = params![text_of(now), int(proof.size_bytes), proof.mtime_ns, written_on];
        let set = "checked_at = ?3, size_bytes = ?4, mtime_ns = ?5, written_on = ?6";
        COPY.change(c, [&key, &relpath.as_bytes()], set, values)?;
    } else {
        prove(c, (card, root), relpath, old.job, proof, written_on, now)?;
    }
    if has_marks {
        partial::forget(c, root, relpath)?;
        retired::forget_accepted(c, root, relpath)?;
        findings::clear(c, root, relpath, now)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{CLIP, Station, at, rel};
    use crate::finding::FindingKind;

    #[test]
    fn marks_are_written_all_or_none() {
        let mut s = Station::offloaded();
        let proof = Proof { size_bytes: 5_000_000, mtime_ns: 7, read_back: ReadBack::Device };
        let good = |path: &str| Mark { root: s.roots[0], relpath: rel(path), at: at(9), seen: Seen::Good(proof) };
        let (one, unknown) = (good(CLIP), good("nothing"));
        s.cat.mark(&[one.clone(), unknown]).unwrap_err();
        let proven_at = |s: &Station| s.cat.copy(s.roots[0], &rel(CLIP)).unwrap().unwrap().proven_at;
        assert_eq!(proven_at(&s), Some(at(1)));
        s.cat.mark(&[one]).unwrap();
        assert_eq!(proven_at(&s), Some(at(9)));
    }

    #[test]
    fn a_weaker_check_leaves_a_proof_as_it_is_unless_the_catalog_was_put_back_since() {
        let mut s = Station::offloaded();
        let proof = Proof { size_bytes: 5_000_000, mtime_ns: 7, read_back: ReadBack::Server };
        let row = |s: &Station| s.cat.copy(s.roots[0], &rel(CLIP)).unwrap().unwrap();
        s.cat.mark_proven(s.roots[0], &rel(CLIP), proof, at(9)).unwrap();
        assert_eq!((row(&s).proven_at, row(&s).read_back), (Some(at(1)), Some(ReadBack::Device)));
        s.cat.put_back(crate::catalog::PutBack::Restored, "it was restored", at(20)).unwrap();
        s.cat.mark_proven(s.roots[0], &rel(CLIP), proof, at(21)).unwrap();
        assert_eq!((row(&s).proven_at, row(&s).read_back), (Some(at(21)), Some(ReadBack::Server)));
    }

    #[test]
    fn a_note_blames_no_row_and_is_cleared_by_its_path() {
        let mut s = Station::offloaded();
        let path = rel("ascmhl/ascmhl_chain.xml");
        let finding = Finding::new(FindingKind::Missing, "/mnt/a/A001".as_ref(), &path, "");
        let mark = |seen| Mark { root: s.roots[0], relpath: path.clone(), at: at(9), seen };
        let (note, clear) = (mark(Seen::Note(finding)), mark(Seen::Clear));
        s.cat.mark(&[note]).unwrap();
        assert_eq!(s.cat.open_findings(s.card).unwrap().len(), 1);
        assert!(s.cat.copies(s.roots[0]).unwrap().iter().all(|c| c.state == CopyState::Proven));
        s.cat.mark(&[clear]).unwrap();
        assert!(s.cat.open_findings(s.card).unwrap().is_empty());
    }
}
