//! Jobs: the step still to do for a card, and the log of what happened. There is no stored "running": who works on a
//! job is its lock, so a crash leaves no row to repair.

use super::custody::{self, Act, Entry};
use super::error::{CatalogError, Fault};
use super::{Catalog, Tx, maybe_time, new_id, parsed, places, text_of, time};
use crate::clip::{CardId, JobId};
use crate::job::{Hold, Step};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    pub id: JobId,
    pub card: CardId,
    pub step: Step,
    pub hold: Option<Hold>,
    pub hold_note: Option<String>,
    /// Runs of this step that ended with a passing fault.
    pub attempts: u32,
    /// Not before this time.
    pub next_at: Option<Timestamp>,
    /// What was asked for, as JSON of the story that started it.
    pub request: String,
    pub started_at: Timestamp,
    pub done_at: Option<Timestamp>,
}

impl Catalog {
    pub fn open_job(&self, card: CardId) -> Result<Option<JobRow>, CatalogError> {
        self.read(|c| open(c, card))
    }

    /// The open job of the card if there is one, as it is; else a new one that begins with `Settle`.
    pub fn start_job(&mut self, card: CardId, request_json: &str, now: Timestamp) -> Result<JobId, CatalogError> {
        self.write(|tx| {
            if let Some(known) = open(tx, card)? {
                return Ok(known.id);
            }
            let id = JobId(new_id(now));
            tx.execute(
                "INSERT INTO job (id, card_id, step, request, started_at) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![id.to_string(), card.to_string(), Step::Settle.name(), request_json, text_of(now)],
            )?;
            log(tx, Some(card), Some(id), "job started", now)?;
            Ok(id)
        })
    }

    /// An offload that was asked for again with other destinations goes on with the same job.
    pub fn set_request(&mut self, id: JobId, request_json: &str) -> Result<(), CatalogError> {
        self.write(|tx| {
            let sql = "UPDATE job SET request = ?2 WHERE id = ?1 AND done_at IS NULL";
            expect_one(tx.execute(sql, params![id.to_string(), request_json])?, id)
        })
    }

    /// Moves a job that is still at `from`; if it is not, somebody else moved it and this is an error. The log line
    /// is in the same transaction.
    pub fn advance(
        &mut self,
        id: JobId,
        from: Step,
        to: Step,
        hold: Option<(Hold, String)>,
        next_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        self.write(|tx| {
            let (name, note) = (hold.as_ref().map(|h| h.0.name()), hold.as_ref().map(|h| h.1.as_str()));
            let changed = tx.execute(
                "UPDATE job SET step = ?3, hold = ?4, hold_note = ?5, next_at = ?6,
                   attempts = CASE WHEN ?2 <> ?3 THEN 0 WHEN ?6 IS NOT NULL THEN attempts + 1 ELSE attempts END
                 WHERE id = ?1 AND step = ?2 AND done_at IS NULL",
                params![id.to_string(), from.name(), to.name(), name, note, next_at.map(text_of)],
            )?;
            if changed != 1 {
                let from = from.name();
                return Err(Fault::Refused(format!("job {id} is not open at step {from}: another process moved it")));
            }
            let mut text = if from == to { to.name().to_owned() } else { format!("{} -> {}", from.name(), to.name()) };
            if let Some((hold, note)) = &hold {
                text.push_str(&format!(", hold {}: {note}", hold.name()));
            }
            if let Some(at) = next_at {
                text.push_str(&format!(", again at {}", text_of(at)));
            }
            log(tx, card_of(tx, id)?, Some(id), &text, now)
        })
    }

    pub fn finish_job(&mut self, id: JobId, now: Timestamp) -> Result<(), CatalogError> {
        self.write(|tx| {
            let sql = "UPDATE job SET step = 'done', hold = NULL, hold_note = NULL, next_at = NULL, done_at = ?2
                       WHERE id = ?1 AND done_at IS NULL";
            expect_one(tx.execute(sql, params![id.to_string(), text_of(now)])?, id)?;
            log(tx, card_of(tx, id)?, Some(id), "job done", now)
        })
    }

    /// Open jobs first, then the newest.
    pub fn jobs(&self) -> Result<Vec<JobRow>, CatalogError> {
        self.read(|c| {
            let mut statement = c.prepare("SELECT * FROM job ORDER BY done_at IS NOT NULL, seq DESC")?;
            Ok(statement.query_map([], job_row)?.collect::<Result<_, _>>()?)
        })
    }

    /// Holds for copies that are all proven and sealed by now end, and a job that waited for nothing else goes on behind
    /// the seal.
    pub fn end_cured_holds(&mut self, card: CardId, now: Timestamp) -> Result<(), CatalogError> {
        self.write(|tx| {
            let Some(job) =
                open(tx, card)?.filter(|j| matches!(j.hold, Some(Hold::Conflict | Hold::DestinationFailed)))
            else {
                return Ok(());
            };
            let bad = "SELECT EXISTS (SELECT 1 FROM copy WHERE copy_root_id = ?1 AND state <> 'proven')";
            let roots = places::copy_roots(tx, "WHERE card_id = ?1 AND retired_at IS NULL", [card.to_string()])?;
            for root in &roots {
                if !root.sealed || tx.prepare_cached(bad)?.query_row([root.id.to_string()], |r| r.get(0))? {
                    return Ok(());
                }
            }
            for root in &roots {
                places::change(tx, root.id, "step = ?3, hold = NULL, hold_note = NULL", params![Step::Done.name()])?;
            }
            let sql =
                "UPDATE job SET step = ?2, hold = NULL, hold_note = NULL, next_at = NULL, attempts = 0 WHERE id = ?1";
            tx.execute(sql, params![job.id.to_string(), Step::Describe.name()])?;
            log(tx, Some(card), Some(job.id), "its copies are whole again: the hold ends", now)
        })
    }

    /// A person says that the cause is gone: the holds of the job and of its card's copies end.
    pub fn retry_job(&mut self, id: JobId, now: Timestamp) -> Result<(), CatalogError> {
        self.write(|tx| {
            let sql = "UPDATE job SET hold = NULL, hold_note = NULL, next_at = NULL, attempts = 0
                       WHERE id = ?1 AND done_at IS NULL";
            expect_one(tx.execute(sql, params![id.to_string()])?, id)?;
            let card = card_of(tx, id)?;
            if let Some(card) = card {
                let tail = "WHERE card_id = ?1 AND hold IS NOT NULL";
                for root in places::copy_roots(tx, tail, params![card.to_string()])? {
                    places::change(tx, root.id, "hold = NULL, hold_note = NULL", &[])?;
                }
            }
            log(tx, card, Some(id), "retried by a person", now)
        })
    }

    /// The job waits until it is retried; what it recorded stays.
    pub fn cancel_job(&mut self, id: JobId, now: Timestamp) -> Result<(), CatalogError> {
        self.write(|tx| {
            let sql = "UPDATE job SET hold = ?2, hold_note = ?3, next_at = NULL WHERE id = ?1 AND done_at IS NULL";
            let hold = Hold::Cancelled;
            expect_one(tx.execute(sql, params![id.to_string(), hold.name(), hold.text()])?, id)?;
            log(tx, card_of(tx, id)?, Some(id), "cancelled by a person", now)
        })
    }

    pub fn log(&mut self, card: CardId, job: Option<JobId>, text: &str, now: Timestamp) -> Result<(), CatalogError> {
        self.write(|tx| log(tx, Some(card), job, text, now))
    }
}

fn expect_one(changed: usize, id: JobId) -> Result<(), Fault> {
    if changed == 1 { Ok(()) } else { Err(Fault::Unknown(format!("open job {id}"))) }
}

fn card_of(c: &Connection, id: JobId) -> Result<Option<CardId>, Fault> {
    let sql = "SELECT card_id FROM job WHERE id = ?1";
    Ok(c.query_row(sql, [id.to_string()], |r| parsed(r, "card_id", CardId::parse)).optional()?)
}

pub(super) fn log(
    tx: &Tx<'_>,
    card: Option<CardId>,
    job: Option<JobId>,
    text: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    let act = if job.is_some() { Act::Job } else { Act::Note };
    custody::add(tx, &Entry { act, card, job, root: None, relpath: None, text }, now)
}

pub(super) fn open(c: &Connection, card: CardId) -> Result<Option<JobRow>, Fault> {
    let sql = "SELECT * FROM job WHERE card_id = ?1 AND done_at IS NULL";
    Ok(c.prepare_cached(sql)?.query_row([card.to_string()], job_row).optional()?)
}

fn job_row(r: &Row<'_>) -> rusqlite::Result<JobRow> {
    let hold: Option<String> = r.get("hold")?;
    Ok(JobRow {
        id: parsed(r, "id", JobId::parse)?,
        card: parsed(r, "card_id", CardId::parse)?,
        step: parsed(r, "step", Step::from_name)?,
        // A hold of a word that this program does not know is a hold all the same.
        hold: hold.map(|h| Hold::from_name(&h).unwrap_or(Hold::GaveUp)),
        hold_note: r.get("hold_note")?,
        attempts: r.get("attempts")?,
        next_at: maybe_time(r, "next_at")?,
        request: r.get("request")?,
        started_at: time(r, "started_at")?,
        done_at: maybe_time(r, "done_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{Station, at};

    fn job(s: &Station) -> JobRow {
        s.cat.open_job(s.card).unwrap().unwrap()
    }

    #[test]
    fn a_card_has_one_open_job() {
        let mut s = Station::new();
        assert_eq!(s.cat.start_job(s.card, "{\"x\":1}", at(1)).unwrap(), s.job);
        assert_eq!(job(&s).request, "{}");
        s.cat.finish_job(s.job, at(2)).unwrap();
        assert!(s.cat.open_job(s.card).unwrap().is_none());
        let next = s.cat.start_job(s.card, "{}", at(3)).unwrap();
        assert_ne!(next, s.job);
        let all: Vec<JobId> = s.cat.jobs().unwrap().iter().map(|j| j.id).collect();
        assert_eq!(all, [next, s.job]);
    }

    #[test]
    fn a_job_moves_only_from_where_it_is() {
        let mut s = Station::new();
        s.cat.advance(s.job, Step::Settle, Step::Offload, None, None, at(1)).unwrap();
        let log = s.cat.custody(s.card).unwrap();
        let again = s.cat.advance(s.job, Step::Settle, Step::Offload, None, None, at(2));
        assert!(matches!(again, Err(CatalogError::Refused { .. })));
        assert_eq!(job(&s).step, Step::Offload);
        assert_eq!(s.cat.custody(s.card).unwrap(), log, "a refused move leaves no line");
        assert_eq!(log.last().unwrap().text, "settle -> offload");
        s.cat.finish_job(s.job, at(3)).unwrap();
        assert!(s.cat.advance(s.job, Step::Done, Step::Seal, None, None, at(4)).is_err());
        assert!(matches!(s.cat.finish_job(s.job, at(4)), Err(CatalogError::Unknown { .. })));
    }

    #[test]
    fn attempts_are_counted_for_one_step() {
        let mut s = Station::new();
        for n in 1..=3 {
            s.cat.advance(s.job, Step::Settle, Step::Settle, None, Some(at(n + 5)), at(n)).unwrap();
        }
        assert_eq!((job(&s).attempts, job(&s).next_at), (3, Some(at(8))));
        s.cat.advance(s.job, Step::Settle, Step::Offload, None, None, at(9)).unwrap();
        assert_eq!((job(&s).attempts, job(&s).next_at), (0, None));
    }

    #[test]
    fn a_hold_ends_when_a_person_retries() {
        let mut s = Station::new();
        let hold = Some((Hold::DiskFull, "/mnt/a is full".to_owned()));
        s.cat.advance(s.job, Step::Settle, Step::Settle, hold, None, at(1)).unwrap();
        s.cat.set_root_step(s.roots[0], Step::Offload.name(), Some((Hold::DiskFull.name(), "full"))).unwrap();
        assert_eq!(job(&s).hold, Some(Hold::DiskFull));
        assert_eq!(s.cat.evidence(s.card).unwrap().hold.as_deref(), Some("/mnt/a is full"));
        s.cat.retry_job(s.job, at(2)).unwrap();
        assert_eq!((job(&s).hold, job(&s).step), (None, Step::Settle));
        let root = &s.cat.copy_roots(s.card).unwrap()[0];
        assert_eq!((root.hold.as_deref(), root.step.as_str(), root.row_intact), (None, "offload", true));
        s.cat.cancel_job(s.job, at(3)).unwrap();
        assert_eq!(job(&s).hold, Some(Hold::Cancelled));
    }

    #[test]
    fn the_log_keeps_the_order_of_events_when_the_clock_jumps() {
        let mut s = Station::new();
        s.cat.log(s.card, None, "later", at(1000)).unwrap();
        s.cat.log(s.card, Some(s.job), "earlier", at(-1000)).unwrap();
        let log: Vec<String> = s.cat.custody(s.card).unwrap().into_iter().map(|l| l.text).collect();
        assert_eq!(log[log.len() - 3..], ["job started", "later", "earlier"]);
    }

    #[test]
    fn every_step_can_be_stored() {
        let mut s = Station::new();
        let mut from = Step::Settle;
        for step in Step::ALL {
            s.cat.advance(s.job, from, *step, None, None, at(1)).unwrap();
            from = *step;
        }
    }
}
