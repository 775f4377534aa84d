//! When the catalog was put back: what was proven before counts no more until it is read again.
//!
//! Each copy is judged by the date of its proof, so a proof of the future is dated back to the moment itself.

use super::custody::{self, Act, Entry};
use super::error::{CatalogError, Fault};
use super::rowsum::{COPY, DOUBT};
use super::{Catalog, Tx, relpath, text_of, time};
use crate::evidence::Doubt;
use crate::relpath::RelPath;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

/// How the catalog came to be older than what it speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutBack {
    /// From a backup, by `restore`.
    Restored,
    /// By hand: a backup of it was met that knows more.
    Behind,
    /// Made anew from what lies on the disks.
    Rebuilt,
}

impl PutBack {
    pub fn name(self) -> &'static str {
        match self {
            Self::Restored => "restored",
            Self::Behind => "behind",
            Self::Rebuilt => "rebuilt",
        }
    }
}

impl Catalog {
    /// From `now` on every copy must be read again. The catalog gets another id.
    pub fn put_back(&mut self, how: PutBack, why: &str, now: Timestamp) -> Result<(), CatalogError> {
        self.write(|tx| put_back(tx, how, why, now))
    }

    /// It was made by `rebuild`, which may go on.
    pub fn is_rebuilt(&self) -> Result<bool, CatalogError> {
        self.read(|c| {
            Ok(c.query_row("SELECT count(*) FROM doubt WHERE kind = 'rebuilt'", [], |r| r.get::<_, i64>(0))? > 0)
        })
    }
}

fn put_back(tx: &Tx<'_>, how: PutBack, why: &str, now: Timestamp) -> Result<(), Fault> {
    let at = text_of(now);
    let number: i64 = tx.query_row("SELECT count(*) + 1 FROM doubt", [], |r| r.get(0))?;
    let sql = "INSERT INTO doubt (seq, kind, at, station, why) VALUES (?1, ?2, ?3, (SELECT id FROM station), ?4)";
    tx.execute(sql, params![number, how.name(), at, why])?;
    DOUBT.seal(tx, [&number, &number])?;
    tx.execute("UPDATE station SET doubts = ?1, id = lower(hex(randomblob(16)))", [number])?;
    for (root, path) in copies(tx, "proven_at > ?1", params![at])? {
        COPY.change(tx, [&root, &path.as_bytes()], "proven_at = ?3", params![at])?;
    }
    // Nor is it known any more in which lifetime of its volume a copy was written: it may have been repaired since.
    for (root, path) in copies(tx, "written_on IS NOT NULL", &[])? {
        COPY.change(tx, [&root, &path.as_bytes()], "written_on = NULL", &[])?;
    }
    // Their first halves were read before.
    tx.execute("DELETE FROM part_proof", [])?;
    custody::add(tx, &Entry { act: Act::Note, card: None, job: None, root: None, relpath: None, text: why }, now)
}

/// Folder and name of the copies that are so.
fn copies(c: &Connection, are: &str, values: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<Vec<(String, RelPath)>> {
    let mut statement = c.prepare(&format!("SELECT copy_root_id, relpath FROM copy WHERE {are}"))?;
    statement.query_map(values, |r| Ok((r.get("copy_root_id")?, relpath(r, "relpath")?)))?.collect()
}

/// The latest; and whether all rows are there and hold their sums.
pub(super) fn latest(c: &Connection) -> Result<(Option<Doubt>, bool), Fault> {
    let count: i64 = c.prepare_cached("SELECT doubts FROM station")?.query_row([], |r| r.get(0))?;
    let mut statement = c.prepare_cached(&format!("{} ORDER BY seq", DOUBT.select))?;
    let mut rows = statement.query([])?;
    let (mut out, mut sound, mut seen): (Option<Doubt>, bool, i64) = (None, true, 0);
    while let Some(r) = rows.next()? {
        seen += 1;
        sound &= DOUBT.intact(r)?;
        let at = time(r, "at")?;
        // By the time, not the number: the clock may have been set back between two.
        if out.as_ref().is_none_or(|known| known.at <= at) {
            out = Some(Doubt { at, why: r.get("why")? });
        }
    }
    Ok((out, sound && seen == count))
}

/// Number and the first bytes of the hash of a row of the custody log: which past a catalog has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    pub rows: u64,
    pub hash: [u8; 8],
}

impl Catalog {
    /// The last row that was written.
    pub fn head(&self) -> Result<Head, CatalogError> {
        Ok(self
            .custody_head()?
            .map_or(Head { rows: 0, hash: [0; 8] }, |(rows, hash)| Head { rows, hash: short(&hash) }))
    }

    /// Whether that row is part of this catalog's past.
    pub fn has_been_at(&self, head: Head) -> Result<bool, CatalogError> {
        self.read(|c| has_been_at(c, head))
    }
}

impl Catalog {
    /// Whether more happened after that row than that the same files were read again, and equal: what is newly written is
    /// sealed, or a finding.
    pub fn is_news_since(&self, head: Head) -> Result<bool, CatalogError> {
        self.read(|c| {
            let sql = "SELECT EXISTS (SELECT 1 FROM custody WHERE seq > ?1
                                      AND act NOT IN ('job', 'note', 'read', 'wrote', 'proved'))
                           OR EXISTS (SELECT 1 FROM card k WHERE NOT EXISTS
                                      (SELECT 1 FROM custody u WHERE u.card_id = k.id AND u.seq <= ?1))";
            Ok(c.query_row(sql, [super::int(head.rows)], |r| r.get(0))?)
        })
    }
}

pub(super) fn has_been_at(c: &Connection, head: Head) -> Result<bool, Fault> {
    if head.rows == 0 {
        return Ok(true);
    }
    let sql = "SELECT hash FROM custody WHERE seq = ?1";
    let hash = c.prepare_cached(sql)?.query_row([super::int(head.rows)], |r| r.get::<_, Vec<u8>>(0)).optional()?;
    Ok(hash.is_some_and(|hash| short(&hash) == head.hash))
}

fn short(hash: &[u8]) -> [u8; 8] {
    hash.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{CLIP, Station, at, rel};
    use crate::catalog::{Proof, Seen};
    use crate::copy::ReadBack;

    #[test]
    fn a_catalog_that_was_put_back_has_another_id_and_a_doubt_that_the_evidence_tells() {
        let mut s = Station::offloaded();
        let (id, head) = (s.cat.station_id().unwrap(), s.cat.head().unwrap());
        assert_eq!(s.cat.evidence(s.card).unwrap().doubt, None);
        s.cat.put_back(PutBack::Restored, "it was restored", at(50)).unwrap();
        assert_ne!(s.cat.station_id().unwrap(), id);
        let doubt = s.cat.evidence(s.card).unwrap().doubt;
        assert_eq!(doubt, Some(Doubt { at: at(50), why: "it was restored".into() }));
        assert!(s.cat.has_been_at(head).unwrap() && s.cat.head().unwrap() > head);
        assert!(!s.cat.has_been_at(Head { hash: [0; 8], ..head }).unwrap());
        assert!(!s.cat.has_been_at(Head { rows: head.rows + 99, ..head }).unwrap());
        // The latest counts, whatever the clock said in between.
        s.cat.put_back(PutBack::Behind, "again", at(40)).unwrap();
        assert_eq!(s.cat.evidence(s.card).unwrap().doubt.unwrap().at, at(50));
        assert!(s.cat.check().unwrap().is_empty() && s.cat.evidence(s.card).unwrap().catalog_sound);
    }

    #[test]
    fn to_read_the_same_again_is_no_news() {
        let mut s = Station::offloaded();
        let head = s.cat.head().unwrap();
        assert!(s.cat.is_news_since(Head { rows: 0, ..head }).unwrap(), "the card itself");
        let proof = Proof { size_bytes: 5_000_000, mtime_ns: 7, read_back: ReadBack::Device };
        s.cat.mark_proven(s.roots[0], &rel(CLIP), proof, at(9)).unwrap();
        s.cat.log(s.card, None, "verify: all good", at(9)).unwrap();
        assert!(s.cat.head().unwrap() > head && !s.cat.is_news_since(head).unwrap());
        s.cat.retire_copy_root(s.roots[1], "sold", at(10)).unwrap();
        assert!(s.cat.is_news_since(head).unwrap());
    }

    #[test]
    fn a_proof_of_the_future_is_no_proof_of_after() {
        let mut s = Station::offloaded();
        let proof = Proof { size_bytes: 5_000_000, mtime_ns: 7, read_back: ReadBack::Device };
        s.cat.mark_proven(s.roots[0], &rel(CLIP), proof, at(9000)).unwrap();
        s.cat.put_back(PutBack::Restored, "it was restored", at(50)).unwrap();
        let row = s.cat.copy(s.roots[0], &rel(CLIP)).unwrap().unwrap();
        assert_eq!((row.proven_at, row.row_intact), (Some(at(50)), true));
        let mark = crate::catalog::Mark { root: s.roots[0], relpath: rel(CLIP), at: at(51), seen: Seen::Good(proof) };
        s.cat.mark(&[mark]).unwrap();
        assert_eq!(s.cat.copy(s.roots[0], &rel(CLIP)).unwrap().unwrap().proven_at, Some(at(51)));
    }

    #[test]
    fn a_doubt_that_was_lost_or_changed_makes_the_catalog_unsound() {
        for sql in
            ["DELETE FROM doubt", "UPDATE doubt SET at = '2001-01-01T00:00:00.000Z'", "UPDATE station SET doubts = 0"]
        {
            let mut s = Station::offloaded();
            s.cat.put_back(PutBack::Restored, "it was restored", at(50)).unwrap();
            s.cat.conn.execute(sql, []).unwrap();
            assert!(!s.cat.evidence(s.card).unwrap().catalog_sound, "{sql}");
            assert!(!s.cat.check().unwrap().is_empty(), "{sql}");
        }
    }
}
