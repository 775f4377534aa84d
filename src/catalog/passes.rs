//! How often patrols ran, how fast each disk was read, and how much there is to read: what coverage is computed from.

use super::error::CatalogError;
use super::retired::COUNTED;
use super::{Catalog, int, maybe_time, natural, parsed, text_of, time};
use crate::clip::CopyRootId;
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// So many patrols, and so many readings of each disk, are remembered.
const KEPT: u64 = 20;

/// What a pass read from one disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskRead {
    /// The disk's own name, else its volume's key.
    pub disk: String,
    pub bytes: u64,
    /// In which its lanes were at work.
    pub busy: Duration,
}

/// The copies in one folder that count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    pub root: CopyRootId,
    pub files: u64,
    pub bytes: u64,
    /// Of the last checks that found them equal.
    pub oldest: Option<Timestamp>,
    pub newest: Option<Timestamp>,
}

impl Catalog {
    /// A pass ended; `patrol` when it was one of everything, with its beginning.
    pub fn add_pass(
        &mut self,
        patrol: Option<Timestamp>,
        reads: &[DiskRead],
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        self.write(|tx| {
            if let Some(at) = patrol {
                tx.execute("INSERT INTO patrol_run (at) VALUES (?1)", [text_of(at)])?;
                let old = "DELETE FROM patrol_run WHERE seq <= (SELECT max(seq) FROM patrol_run) - ?1";
                tx.execute(old, [int(KEPT)])?;
            }
            for read in reads.iter().filter(|r| r.bytes > 0) {
                // A reading of no time at all was one of a millisecond.
                let ms = u64::try_from(read.busy.as_millis()).unwrap_or(u64::MAX).max(1);
                let sql = "INSERT INTO disk_read (disk, at, bytes, ms) VALUES (?1, ?2, ?3, ?4)";
                tx.execute(sql, params![read.disk, text_of(now), int(read.bytes), int(ms)])?;
                let old = "DELETE FROM disk_read WHERE disk = ?1 AND seq NOT IN
                           (SELECT seq FROM disk_read WHERE disk = ?1 ORDER BY seq DESC LIMIT ?2)";
                tx.execute(old, params![read.disk, int(KEPT)])?;
            }
            Ok(())
        })
    }

    /// When the last patrols of everything began, the oldest first.
    pub fn patrol_runs(&self) -> Result<Vec<Timestamp>, CatalogError> {
        self.read(|c| {
            let mut statement = c.prepare("SELECT at FROM patrol_run ORDER BY seq")?;
            Ok(statement.query_map([], |r| time(r, "at"))?.collect::<Result<_, _>>()?)
        })
    }

    /// Bytes and time of what was read from each disk lately.
    pub fn disk_reads(&self) -> Result<BTreeMap<String, (u64, Duration)>, CatalogError> {
        self.read(|c| {
            let mut statement =
                c.prepare("SELECT disk, sum(bytes) AS bytes, sum(ms) AS ms FROM disk_read GROUP BY disk")?;
            let read = |r: &Row<'_>| {
                let busy = Duration::from_millis(natural(r, "ms")?);
                Ok((r.get("disk")?, (natural(r, "bytes")?, busy)))
            };
            Ok(statement.query_map([], read)?.collect::<Result<_, _>>()?)
        })
    }

    /// All folders with copies that count: proven ones, and damaged ones, which are read again each time.
    pub fn holdings(&self) -> Result<Vec<Holding>, CatalogError> {
        self.read(|c| {
            let sql = format!(
                "SELECT r.id AS root, count(*) AS files, sum(f.size_bytes) AS bytes,
                        min(CASE WHEN y.state = 'proven' THEN y.checked_at END) AS oldest,
                        max(CASE WHEN y.state = 'proven' THEN y.checked_at END) AS newest
                 FROM copy y JOIN copy_root r ON r.id = y.copy_root_id
                 JOIN card_file f ON f.card_id = y.card_id AND f.relpath = y.relpath
                 WHERE y.state IN ('proven', 'failed') AND r.retired_at IS NULL AND {COUNTED}
                 GROUP BY r.id ORDER BY r.seq"
            );
            let read = |r: &Row<'_>| {
                Ok(Holding {
                    root: parsed(r, "root", CopyRootId::parse)?,
                    files: natural(r, "files")?,
                    bytes: natural(r, "bytes")?,
                    oldest: maybe_time(r, "oldest")?,
                    newest: maybe_time(r, "newest")?,
                })
            };
            Ok(c.prepare(&sql)?.query_map([], read)?.collect::<Result<_, _>>()?)
        })
    }

    /// Names of clips by their ids, for people; of an id that is not known there is none.
    pub fn clip_names<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a str>,
    ) -> Result<BTreeMap<String, String>, CatalogError> {
        self.read(|c| {
            let mut statement = c.prepare("SELECT name FROM clip WHERE id = ?1")?;
            let mut out = BTreeMap::new();
            for id in ids.into_iter().collect::<BTreeSet<_>>() {
                let name: Option<String> = statement.query_row([id], |r| r.get(0)).optional()?;
                out.extend(name.map(|name| (id.to_owned(), name)));
            }
            Ok(out)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{Station, at};

    #[test]
    fn only_the_last_runs_and_readings_are_kept() {
        let mut s = Station::offloaded();
        let read = |bytes| DiskRead { disk: "vda".into(), bytes, busy: Duration::from_secs(2) };
        for n in 0..30 {
            s.cat.add_pass(Some(at(n)), &[read(1000 + n as u64), read(0)], at(n)).unwrap();
        }
        s.cat.add_pass(None, &[], at(40)).unwrap();
        let runs = s.cat.patrol_runs().unwrap();
        assert_eq!((runs.len(), runs.first(), runs.last()), (20, Some(&at(10)), Some(&at(29))));
        let bytes: u64 = (10..30).map(|n| 1000 + n).sum();
        assert_eq!(s.cat.disk_reads().unwrap(), BTreeMap::from([("vda".into(), (bytes, Duration::from_secs(40)))]));
    }

    #[test]
    fn what_is_retired_is_held_no_more() {
        let mut s = Station::offloaded();
        let all = s.cat.holdings().unwrap();
        assert_eq!(all.iter().map(|h| h.root).collect::<Vec<_>>(), s.roots);
        assert!(all.iter().all(|h| h.files > 0 && h.bytes > 0 && h.oldest.is_some()), "{all:?}");
        s.cat.retire_copy_root(s.roots[0], "sold", at(9)).unwrap();
        assert_eq!(s.cat.holdings().unwrap(), all[1..]);
    }

    #[test]
    fn clips_are_named() {
        let s = Station::new();
        let clip = &s.cat.clips(s.card).unwrap()[0];
        let id = clip.id.to_string();
        let names = s.cat.clip_names([&id[..], "nobody", &id[..]]).unwrap();
        assert_eq!(names, BTreeMap::from([(id, clip.name.clone())]));
    }
}
