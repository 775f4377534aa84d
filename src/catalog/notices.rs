//! The outbox of the webhook: what it was not told yet.

use super::error::CatalogError;
use super::{Catalog, int, natural, text_of, time};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Row, params};

/// Runs that try one notice before it is given up.
pub const NOTICE_RUNS: u64 = 12;
/// What is so old is no news any more, told or not.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeRow {
    /// The same at every attempt: whoever gets it twice can tell.
    pub id: String,
    pub at: Timestamp,
    /// JSON.
    pub body: String,
    pub attempts: u64,
}

impl Catalog {
    pub fn add_notice(&mut self, id: &str, body: &str, now: Timestamp) -> Result<(), CatalogError> {
        self.write(|tx| {
            tx.execute("INSERT INTO notice (id, at, body) VALUES (?1, ?2, ?3)", params![id, text_of(now), body])?;
            let old = now.checked_sub(KEPT).unwrap_or(Timestamp::MIN);
            tx.execute("DELETE FROM notice WHERE at < ?1", [text_of(old)])?;
            Ok(())
        })
    }

    /// Those that wait, the least tried first: one that is never taken must not hold up the others.
    pub fn notices(&self, limit: usize) -> Result<Vec<NoticeRow>, CatalogError> {
        self.read(|c| {
            let sql = "SELECT id, at, body, attempts FROM notice WHERE dead_at IS NULL ORDER BY attempts, seq LIMIT ?1";
            let read = |r: &Row<'_>| {
                let attempts = natural(r, "attempts")?;
                Ok(NoticeRow { id: r.get("id")?, at: time(r, "at")?, body: r.get("body")?, attempts })
            };
            Ok(c.prepare(sql)?.query_map([int(limit as u64)], read)?.collect::<Result<_, _>>()?)
        })
    }

    pub fn notice_told(&mut self, id: &str) -> Result<(), CatalogError> {
        self.write(|tx| {
            tx.execute("DELETE FROM notice WHERE id = ?1", [id])?;
            Ok(())
        })
    }

    /// It could not be told; with `dead`, or after [`NOTICE_RUNS`], it is not tried again.
    pub fn notice_failed(&mut self, id: &str, why: &str, dead: bool, now: Timestamp) -> Result<(), CatalogError> {
        self.write(|tx| {
            let sql = "UPDATE notice SET attempts = attempts + 1, note = ?2,
                         dead_at = CASE WHEN ?3 OR attempts + 1 >= ?4 THEN ?5 END WHERE id = ?1";
            tx.execute(sql, params![id, why, dead, int(NOTICE_RUNS), text_of(now)])?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{Station, at};

    #[test]
    fn a_notice_waits_until_it_is_told_or_dead() {
        let mut s = Station::new();
        for id in ["a", "b", "c"] {
            s.cat.add_notice(id, "{}", at(1)).unwrap();
        }
        let ids = |s: &Station| s.cat.notices(9).unwrap().into_iter().map(|n| n.id).collect::<Vec<_>>();
        s.cat.notice_failed("a", "500", false, at(2)).unwrap();
        assert_eq!(ids(&s), ["b", "c", "a"]);
        s.cat.notice_told("b").unwrap();
        s.cat.notice_failed("c", "410", true, at(2)).unwrap();
        assert_eq!(ids(&s), ["a"]);
        for _ in 1..NOTICE_RUNS {
            assert_eq!(ids(&s), ["a"]);
            s.cat.notice_failed("a", "500", false, at(3)).unwrap();
        }
        assert!(ids(&s).is_empty());
        let late = at(1).checked_add(KEPT).unwrap().checked_add(SignedDuration::from_secs(1)).unwrap();
        s.cat.add_notice("d", "{}", late).unwrap();
        let rows: i64 = s.cat.conn.query_row("SELECT count(*) FROM notice", [], |r| r.get(0)).unwrap();
        assert_eq!((rows, ids(&s)), (1, vec!["d".into()]), "what is old is gone");
    }
}
