//! How far a large copy was proven again when a pass ended, so that the next one goes on there. Proof of nothing yet.

use super::error::CatalogError;
use super::rowsum::PART_PROOF;
use super::{Catalog, int, mounts, natural, time};
use crate::clip::CopyRootId;
use crate::relpath::RelPath;
use crate::verify::Part;
use rusqlite::{Connection, OptionalExtension, params};

impl Catalog {
    /// Many at once, in one commit. It outlives a kill at once, and a power cut with the next result: a sync for each
    /// would cost the disk more than reading these bytes again.
    pub fn keep_parts(&mut self, parts: &[(CopyRootId, RelPath, Part)]) -> Result<(), CatalogError> {
        self.set_synchronous("NORMAL")?;
        let kept = self.write_parts(parts);
        self.set_synchronous("FULL")?;
        kept
    }

    fn set_synchronous(&self, value: &str) -> Result<(), CatalogError> {
        let done = self.conn.pragma_update(None, "synchronous", value);
        done.map_err(|e| super::error::Fault::from(e).at(&self.path))
    }

    fn write_parts(&mut self, parts: &[(CopyRootId, RelPath, Part)]) -> Result<(), CatalogError> {
        self.write(|tx| {
            for (root, path, part) in parts {
                let (key, path) = (root.to_string(), path.as_bytes());
                let bad = serde_json::to_string(&part.bad).unwrap_or_else(|_| "[]".into());
                tx.prepare_cached(
                    "INSERT INTO part_proof (copy_root_id, relpath, size_bytes, mtime_ns, reached_bytes, bad, begun_at,
                                             begun_on)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                     ON CONFLICT (copy_root_id, relpath) DO UPDATE SET size_bytes = ?3, mtime_ns = ?4,
                       reached_bytes = ?5, bad = ?6, begun_at = ?7,
                       begun_on = CASE WHEN begun_at = ?7 THEN begun_on ELSE ?8 END",
                )?
                .execute(params![
                    key,
                    path,
                    int(part.size_bytes),
                    part.mtime_ns,
                    int(part.reached_bytes),
                    bad,
                    super::text_of(part.begun_at),
                    mounts::current(tx, *root)?
                ])?;
                PART_PROOF.seal(tx, [&key, &path])?;
            }
            Ok(())
        })
    }

    /// `None` when there is none, or its row does not hold its sum.
    pub fn part(&self, root: CopyRootId, path: &RelPath) -> Result<Option<Part>, CatalogError> {
        self.read(|c| {
            let sql = format!("{} WHERE copy_root_id = ?1 AND relpath = ?2", PART_PROOF.select);
            let found = c.prepare_cached(&sql)?.query_row(params![root.to_string(), path.as_bytes()], |r| {
                let bad: String = r.get("bad")?;
                let part = Part {
                    size_bytes: natural(r, "size_bytes")?,
                    mtime_ns: r.get("mtime_ns")?,
                    reached_bytes: natural(r, "reached_bytes")?,
                    bad: serde_json::from_str(&bad).unwrap_or_default(),
                    begun_at: time(r, "begun_at")?,
                };
                Ok(PART_PROOF.intact(r)?.then_some(part))
            });
            Ok(found.optional()?.flatten())
        })
    }
}

/// Whether a part of it was read in another lifetime of the volume than this one.
pub(super) fn is_older(c: &Connection, root: CopyRootId, path: &RelPath, mount: i64) -> rusqlite::Result<bool> {
    let sql = "SELECT begun_on IS NOT ?3 FROM part_proof WHERE copy_root_id = ?1 AND relpath = ?2";
    let found = c.prepare_cached(sql)?.query_row(params![root.to_string(), path.as_bytes(), mount], |r| r.get(0));
    Ok(found.optional()?.unwrap_or(false))
}

/// The file was judged as a whole.
pub(super) fn forget(c: &Connection, root: CopyRootId, path: &RelPath) -> rusqlite::Result<()> {
    let sql = "DELETE FROM part_proof WHERE copy_root_id = ?1 AND relpath = ?2";
    c.prepare_cached(sql)?.execute(params![root.to_string(), path.as_bytes()])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{CLIP, Station, at, rel};

    #[test]
    fn a_part_is_kept_until_the_whole_is_judged_and_is_worth_nothing_when_its_row_is_damaged() {
        use crate::catalog::Proof;
        use crate::copy::ReadBack;
        let mut s = Station::offloaded();
        let part = Part { size_bytes: 5_000_000, mtime_ns: 7, reached_bytes: 2 << 20, bad: vec![1], begun_at: at(3) };
        let keep = |s: &mut Station| s.cat.keep_parts(&[(s.roots[0], rel(CLIP), part.clone())]).unwrap();
        keep(&mut s);
        assert_eq!(s.cat.part(s.roots[0], &rel(CLIP)).unwrap(), Some(part.clone()));
        assert_eq!(s.cat.part(s.roots[1], &rel(CLIP)).unwrap(), None);
        s.cat.conn.execute("UPDATE part_proof SET reached_bytes = 5000000", []).unwrap();
        assert_eq!(s.cat.part(s.roots[0], &rel(CLIP)).unwrap(), None);
        keep(&mut s);
        let proof = Proof { size_bytes: 5_000_000, mtime_ns: 7, read_back: ReadBack::Device };
        s.cat.mark_proven(s.roots[0], &rel(CLIP), proof, at(9)).unwrap();
        assert_eq!(s.cat.part(s.roots[0], &rel(CLIP)).unwrap(), None);
    }
}
