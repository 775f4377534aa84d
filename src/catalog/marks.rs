//! What verifications of copies saw, as marks on their rows.

use super::error::{CatalogError, Fault};
use super::record::{Proof, card_of, copy, fail, file, file_blake3, prove};
use super::rowsum::COPY;
use super::{Catalog, doubt, findings, int, partial, retired, text_of, told};
use crate::clip::CopyRootId;
use crate::copy::CopyState;
use crate::finding::Finding;
use crate::relpath::RelPath;
use jiff::Timestamp;
use rusqlite::{Connection, params};

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
            good(tx, root, relpath, proof, now)?;
            told::proven(tx, root, (1, proof.size_bytes), now)
        })
    }

    /// Many results in one commit: all of them, or none.
    pub fn mark(&mut self, marks: &[Mark]) -> Result<(), CatalogError> {
        self.write(|tx| {
            for Mark { root, relpath, at, seen } in marks {
                match seen {
                    Seen::Good(proof) => good(tx, *root, relpath, *proof, *at)?,
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

pub(super) fn good(
    c: &Connection,
    root: CopyRootId,
    relpath: &RelPath,
    proof: Proof,
    now: Timestamp,
) -> Result<(), Fault> {
    let card = card_of(c, root)?;
    let old = copy(c, root, relpath)?;
    let old = old.ok_or_else(|| Fault::Unknown(format!("copy of \"{relpath}\" in folder {root}")))?;
    let mut stronger = old.state == CopyState::Proven && old.row_intact && old.read_back > Some(proof.read_back);
    if stronger {
        // A proof from before the catalog was put back is worth less than any of after.
        stronger = doubt::latest(c)?.0.is_none_or(|doubt| old.proven_at.is_some_and(|at| at > doubt.at));
    }
    if stronger && old.blake3 == Some(file_blake3(c, card, relpath)?) {
        let key = root.to_string();
        let values = params![text_of(now), int(proof.size_bytes), proof.mtime_ns];
        let set = "checked_at = ?3, size_bytes = ?4, mtime_ns = ?5";
        COPY.change(c, [&key, &relpath.as_bytes()], set, values)?;
    } else {
        prove(c, card, root, relpath, old.job, proof, now)?;
    }
    partial::forget(c, root, relpath)?;
    retired::forget_accepted(c, root, relpath)?;
    findings::clear(c, root, relpath, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{CLIP, Station, at, rel};
    use crate::copy::ReadBack;
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
