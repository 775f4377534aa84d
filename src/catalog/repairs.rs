//! Repairs: which are under way, who may hold good bytes, and what came of them.

use super::custody::{self, Act, Entry};
use super::error::{CatalogError, Fault};
use super::marks::{Bytes, Folder};
use super::record::{Proof, card_of, file, store_read};
use super::rowsum::FILE;
use super::{Catalog, findings, int, marks, natural, parsed, relpath, text_of, time};
use crate::clip::{CardId, CopyRootId};
use crate::copy::FileRecord;
use crate::relpath::RelPath;
use jiff::Timestamp;
use rusqlite::{Row, params};
use std::collections::HashSet;

/// A repair that was begun and not sealed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairRow {
    pub relpath: RelPath,
    /// Beside the file; for a repair in place its journal, from the folder around the roll.
    pub temp: RelPath,
    pub in_place: bool,
    /// The damaged original is to be kept.
    pub keep: bool,
    pub bytes_written: u64,
    pub begun_at: Timestamp,
}

/// A copy of any card that was recorded with these bytes. A hint where to look: what it holds now, its blocks tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub blake3: [u8; 32],
    pub root: CopyRootId,
    pub relpath: RelPath,
    pub proven: bool,
}

impl Catalog {
    /// The intent, before the first byte: whatever is left under `temp` has an owner then. Begun again, it keeps the time
    /// of its beginning and the wish to keep the original.
    pub fn begin_repair(&mut self, root: CopyRootId, row: &RepairRow, text: &str) -> Result<(), CatalogError> {
        self.write(|tx| {
            let sql = "INSERT INTO repair (copy_root_id, relpath, temp, in_place, keep, begun_at)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                       ON CONFLICT (copy_root_id, relpath) DO UPDATE SET temp = ?3, in_place = ?4, keep = max(keep, ?5),
                         bytes_written = 0";
            let (key, path) = (root.to_string(), row.relpath.as_bytes());
            tx.execute(sql, params![key, path, row.temp.as_bytes(), row.in_place, row.keep, text_of(row.begun_at)])?;
            say(tx, root, Some(&row.relpath), text, row.begun_at)
        })
    }

    /// What was written of it, before the rebuilt file takes its name.
    pub fn repair_written(&mut self, root: CopyRootId, relpath: &RelPath, bytes: u64) -> Result<(), CatalogError> {
        self.write(|tx| {
            let sql = "UPDATE repair SET bytes_written = ?3 WHERE copy_root_id = ?1 AND relpath = ?2";
            tx.execute(sql, params![root.to_string(), relpath.as_bytes(), int(bytes)])?;
            Ok(())
        })
    }

    /// The copy is whole again and proven; its findings end.
    pub fn repaired(
        &mut self,
        root: CopyRootId,
        relpath: &RelPath,
        proof: Proof,
        text: &str,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        self.write(|tx| {
            marks::good(tx, &Folder::of(tx, root)?, relpath, proof, Bytes::Written, now)?;
            say(tx, root, Some(relpath), text, now)
        })
    }

    /// Nothing is left to do for it; with `text`, the log says how it ended.
    pub fn end_repair(
        &mut self,
        root: CopyRootId,
        relpath: &RelPath,
        text: Option<&str>,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        self.write(|tx| {
            let sql = "DELETE FROM repair WHERE copy_root_id = ?1 AND relpath = ?2";
            tx.execute(sql, params![root.to_string(), relpath.as_bytes()])?;
            text.map_or(Ok(()), |text| say(tx, root, Some(relpath), text, now))
        })
    }

    /// A manifest or a chain is as it was sealed again.
    pub fn history_repaired(
        &mut self,
        root: CopyRootId,
        relpath: &RelPath,
        text: &str,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        self.write(|tx| {
            findings::clear(tx, root, relpath, now)?;
            say(tx, root, Some(relpath), text, now)
        })
    }

    /// In byte order of the paths.
    pub fn repairs(&self, root: CopyRootId) -> Result<Vec<RepairRow>, CatalogError> {
        self.read(|c| {
            let sql = "SELECT * FROM repair WHERE copy_root_id = ?1 ORDER BY relpath";
            let read = |r: &Row<'_>| {
                Ok(RepairRow {
                    relpath: relpath(r, "relpath")?,
                    temp: relpath(r, "temp")?,
                    in_place: r.get("in_place")?,
                    keep: r.get("keep")?,
                    bytes_written: natural(r, "bytes_written")?,
                    begun_at: time(r, "begun_at")?,
                })
            };
            Ok(c.prepare_cached(sql)?.query_map([root.to_string()], read)?.collect::<Result<_, _>>()?)
        })
    }

    /// All copies of all cards that were recorded with one of these digests, retired ones too: they may still be there.
    pub fn holders(&self, wanted: &HashSet<[u8; 32]>) -> Result<Vec<Holder>, CatalogError> {
        self.read(|c| {
            let sql = "SELECT f.blake3, y.copy_root_id, y.relpath, y.state = 'proven' AS proven
                       FROM card_file f JOIN copy y ON y.card_id = f.card_id AND y.relpath = f.relpath
                       WHERE f.blake3 IS NOT NULL";
            let mut statement = c.prepare(sql)?;
            let mut rows = statement.query([])?;
            let mut out = Vec::new();
            while let Some(r) = rows.next()? {
                let Ok(blake3) = <[u8; 32]>::try_from(r.get_ref("blake3")?.as_blob().unwrap_or_default()) else {
                    continue;
                };
                if wanted.contains(&blake3) {
                    let root = parsed(r, "copy_root_id", CopyRootId::parse)?;
                    out.push(Holder { blake3, root, relpath: relpath(r, "relpath")?, proven: r.get("proven")? });
                }
            }
            Ok(out)
        })
    }

    /// The row of a card's file was damaged, and `record` is what a copy gives that fits something else that was sealed.
    /// False when the row holds. Where only the block digests were lost, they fit the row's own sum again or are refused;
    /// else the row is made anew, and says that nobody knows of a reading of the card.
    pub fn restore_file(
        &mut self,
        card: CardId,
        record: &FileRecord,
        text: &str,
        now: Timestamp,
    ) -> Result<bool, CatalogError> {
        self.write(|tx| {
            let (key, path) = (card.to_string(), record.file.relpath.as_bytes());
            // A row that is lost begins anew.
            let sql = "INSERT OR IGNORE INTO card_file (card_id, relpath, relpath_text, size_bytes, mtime_ns)
                       VALUES (?1, ?2, ?3, ?4, ?5)";
            let size = int(record.file.size_bytes);
            tx.execute(sql, params![key, path, record.file.relpath.text(), size, record.file.mtime_ns])?;
            let known = file(tx, card, &record.file.relpath)?;
            if known.row_intact {
                let blocks = record.blocks.to_bytes();
                let sum = "SELECT blocks_sum FROM card_file WHERE card_id = ?1 AND relpath = ?2";
                let sum: Option<Vec<u8>> = tx.query_row(sum, params![key, path], |r| r.get(0))?;
                let same = known.digests.is_some_and(|d| d.blake3 == record.digests.blake3);
                if !same || sum.as_deref() != Some(&blake3::hash(&blocks).as_bytes()[..]) {
                    return Ok(false);
                }
                let sql = "INSERT INTO file_blocks (card_id, relpath, blocks) VALUES (?1, ?2, ?3)
                           ON CONFLICT (card_id, relpath) DO UPDATE SET blocks = excluded.blocks";
                tx.execute(sql, params![key, path, blocks])?;
            } else {
                store_read(tx, card, record, 0, false, now)?;
                debug_assert_eq!(FILE.check(tx, params![key, path])?, Some(true));
            }
            let sql = "UPDATE finding SET cleared_at = ?3 WHERE card_id = ?1 AND relpath = ?2 AND cleared_at IS NULL
                         AND note LIKE 'the catalog''s %'";
            tx.execute(sql, params![key, path, text_of(now)])?;
            let entry = Entry { relpath: Some(&record.file.relpath), ..Entry::of_card(Act::Repaired, card, text) };
            custody::add(tx, &entry, now)?;
            Ok(true)
        })
    }
}

fn say(
    tx: &super::Tx<'_>,
    root: CopyRootId,
    relpath: Option<&RelPath>,
    text: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    let card = card_of(tx, root)?;
    let entry = Entry { root: Some(root), relpath, ..Entry::of_card(Act::Repaired, card, text) };
    custody::add(tx, &entry, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{CLIP, Station, at, rel};
    use crate::copy::ReadBack;

    fn row() -> RepairRow {
        let (relpath, temp) = (rel(CLIP), rel("CLIPS/.x.goodgate-part"));
        RepairRow { relpath, temp, in_place: false, keep: true, bytes_written: 0, begun_at: at(5) }
    }

    #[test]
    fn a_repair_that_is_begun_again_is_one_and_keeps_its_beginning() {
        let mut s = Station::offloaded();
        s.cat.begin_repair(s.roots[0], &row(), "begun").unwrap();
        s.cat.repair_written(s.roots[0], &rel(CLIP), 77).unwrap();
        assert_eq!(s.cat.repairs(s.roots[0]).unwrap(), [RepairRow { bytes_written: 77, ..row() }]);
        let again = RepairRow { keep: false, begun_at: at(9), ..row() };
        s.cat.begin_repair(s.roots[0], &again, "again").unwrap();
        assert_eq!(s.cat.repairs(s.roots[0]).unwrap(), [row()]);
        s.cat.end_repair(s.roots[0], &rel(CLIP), None, at(10)).unwrap();
        assert!(s.cat.repairs(s.roots[0]).unwrap().is_empty());
    }

    #[test]
    fn every_copy_of_the_same_bytes_may_hold_them() {
        let mut s = Station::offloaded();
        let all = s.cat.holders(&HashSet::from([[1; 32]])).unwrap();
        assert_eq!(all.len(), 4, "two files of equal bytes, each in two folders");
        assert!(all.iter().all(|h| h.proven));
        assert!(s.cat.holders(&HashSet::from([[2; 32]])).unwrap().is_empty());
        s.cat.retire_copy_root(s.roots[1], "sold", at(3)).unwrap();
        assert_eq!(s.cat.holders(&HashSet::from([[1; 32]])).unwrap().len(), 4);
    }

    #[test]
    fn a_repaired_copy_is_proven_and_the_log_says_by_whom_in_the_same_breath() {
        let mut s = Station::offloaded();
        let proof = Proof { size_bytes: 5_000_000, mtime_ns: 8, read_back: ReadBack::Device };
        s.cat.repaired(s.roots[0], &rel(CLIP), proof, "repaired it", at(9)).unwrap();
        assert_eq!(s.cat.copy(s.roots[0], &rel(CLIP)).unwrap().unwrap().proven_at, Some(at(9)));
        let last = s.cat.custody(s.card).unwrap().pop().unwrap();
        assert_eq!(
            (last.act.as_str(), last.text.as_str(), last.device.as_deref()),
            ("repaired", "repaired it", Some("A"))
        );
        let unknown = s.cat.repaired(s.roots[0], &rel("nothing"), proof, "no", at(10));
        assert!(unknown.is_err());
        assert_eq!(s.cat.custody(s.card).unwrap().pop().unwrap(), last, "what is not written is not said");
    }
}
