//! One card's work, from the settled dump to the end of its proxies, on one blocking thread.

use super::Shop;
use super::desk::{End, Job, Order, is_absence};
use super::tell::Teller;
use super::voice::Voice;
use crate::catalog::{CardRow, Catalog, CatalogError, JobRow};
use crate::clip::{Listing, SourceKind};
use crate::config::NotifyOn;
use crate::disk::{facts, list};
use crate::ingest::{self, IngestError, Request, Standing};
use crate::job::{self, Hold, Outcome};
use crate::offload::plan::human;
use crate::relpath::RelPath;
use jiff::Timestamp;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use tracing::{debug, error, info, warn};

/// Where a card lies, in the catalog's terms, and what was there when the work began.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    volume_key: String,
    place: RelPath,
    listing: Listing,
}

impl Spot {
    /// `None`: no card is there, or it cannot be read now.
    pub(super) fn of(path: &Path, litter: &[String]) -> Option<Self> {
        let facts = facts::of(path).ok()?;
        let listing = list::list(&path.canonicalize().ok()?, litter).ok()?;
        Some(Spot { volume_key: facts.volume_key, place: facts.place, listing })
    }

    /// The newest card recorded there that shares a file with what is there.
    pub(super) fn card(&self, catalog: &Catalog) -> Result<Option<CardRow>, CatalogError> {
        let Some(volume) = catalog.volumes()?.into_iter().find(|v| v.key == self.volume_key) else { return Ok(None) };
        let mut cards = catalog.cards_at(volume.id, &self.place)?;
        cards.retain(|c| c.source_kind != SourceKind::Registered);
        cards.sort_by_key(|c| std::cmp::Reverse(c.first_seen_at));
        for card in cards {
            let recorded = catalog.listing(card.id)?;
            if recorded.files.iter().any(|f| self.listing.file(&f.relpath) == Some(f)) {
                return Ok(Some(card));
            }
        }
        Ok(None)
    }

    pub(super) fn job(&self, catalog: &Catalog) -> Result<Option<JobRow>, CatalogError> {
        match self.card(catalog)? {
            Some(card) => catalog.open_job(card.id),
            None => Ok(None),
        }
    }

    /// Whether this hold may end without a person: the card is back as it was, the dump has only grown, or a
    /// destination may be back, which ingest sees before it writes anything.
    fn ends(&self, hold: Hold, recorded: &Listing) -> bool {
        let kept = recorded.files.iter().all(|f| self.listing.file(&f.relpath) == Some(f));
        match hold {
            Hold::CardAbsent | Hold::DestinationAbsent => kept,
            Hold::SourceChanged => kept && !recorded.changes(&self.listing).is_empty(),
            _ => false,
        }
    }
}

/// The open jobs, as the desk wants them. Those that are no offload of a card are left to whoever started them.
pub(super) fn open_jobs(catalog: &Path) -> Result<Vec<Job>, CatalogError> {
    let jobs = Catalog::open_read_only(catalog)?.jobs()?;
    let job = |row: JobRow| {
        let path = parse(&row)?.card;
        Some(Job { id: row.id, path, hold: row.hold, next_at: row.next_at })
    };
    Ok(jobs.into_iter().filter(|j| j.done_at.is_none()).filter_map(job).filter(|j| j.path.is_absolute()).collect())
}

fn parse(row: &JobRow) -> Option<Request> {
    serde_json::from_str(&row.request).ok()
}

/// Takes the card through ingest. Never panics; every way to fail ends in a row, or in [`End::Again`].
pub(super) fn work(shop: &Shop, tell: &Teller, order: &Order, line: &Mutex<String>) -> End {
    match catch_unwind(AssertUnwindSafe(|| Work::of(shop, tell, order, line).run())) {
        Ok(end) => end,
        Err(cause) => {
            let text = cause.downcast_ref::<String>().map(String::as_str).or(cause.downcast_ref::<&str>().copied());
            let text = format!("panic: {}", text.unwrap_or("no message"));
            error!("{}: {text}", name(&order.path));
            let outcome = Outcome::Held(Hold::Panicked);
            catch_unwind(AssertUnwindSafe(|| Work::of(shop, tell, order, line).write(&outcome, text.clone())))
                .unwrap_or(End::Again { hold: Some(Hold::Panicked), text, told: false })
        }
    }
}

/// A card's name for people, before its roll is known.
pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

struct Work<'a> {
    shop: &'a Shop,
    tell: &'a Teller,
    order: &'a Order,
    line: &'a Mutex<String>,
    spot: Option<Spot>,
    /// The hold that the job had when the work began.
    held: Cell<Option<Hold>>,
}

impl<'a> Work<'a> {
    fn of(shop: &'a Shop, tell: &'a Teller, order: &'a Order, line: &'a Mutex<String>) -> Self {
        let spot = Spot::of(&order.path, &shop.station.config.litter);
        Work { shop, tell, order, line, spot, held: Cell::new(None) }
    }

    fn run(&self) -> End {
        match self.take() {
            Ok(end) => end,
            Err(IngestError::Stopped) => End::Stopped,
            Err(e @ IngestError::Busy(_)) => End::Again { hold: None, text: e.to_string(), told: false },
            Err(e) => {
                let text = e.to_string();
                self.write(&e.hold().map_or(Outcome::Transient(text.clone()), Outcome::Held), text)
            }
        }
    }

    fn take(&self) -> Result<End, IngestError> {
        let mut catalog = self.shop.open()?;
        let row = self.job(&catalog)?;
        match (&row, row.as_ref().and_then(|r| r.hold)) {
            (None, _) if self.spot.is_some() => {
                if let Some(standing) = ingest::known_and_safe(&self.shop.station, &mut catalog, &self.order.path)? {
                    self.answer(&standing);
                    return Ok(End::Answered);
                }
            }
            (Some(row), Some(hold)) => {
                let recorded = catalog.listing(row.card)?;
                self.held.set(Some(hold));
                if !self.spot.as_ref().is_some_and(|s| s.ends(hold, &recorded)) {
                    info!("{}: still waits ({}): {}", self.name(), hold.name(), hold.text());
                    return Ok(if is_absence(hold) { self.held_again(row) } else { End::Answered });
                }
                debug!("{}: is tried again, it waited for ({})", self.name(), hold.name());
            }
            (Some(row), None) if row.next_at.is_some_and(|at| at > Timestamp::now()) => return Ok(End::Answered),
            _ => {}
        }
        let asked = row.as_ref().map(|r| parse(r).ok_or(r)).transpose();
        let asked = asked.map_err(|r| IngestError::Internal(format!("job {} is no offload of a card", r.id)))?;
        // The card may be mounted elsewhere than when it was asked for.
        let request = Request { card: self.order.path.clone(), ..asked.unwrap_or_default() };
        let voice = self.voice();
        self.announce(row.is_some());
        let done = ingest::ingest(&self.shop.station, &mut catalog, &request, &voice);
        voice.tell_findings(&self.name());
        let standing = done?;
        if let Some(text) = standing.report.unfinished {
            return Ok(self.write(&Outcome::Transient(text.clone()), text));
        }
        Ok(match self.job(&catalog)? {
            Some(row) if row.hold.is_some() => {
                if self.held.get() != row.hold {
                    voice.hold(&standing.report.roll, &row);
                }
                self.held_again(&row)
            }
            Some(_) if self.shop.stop.load(Ordering::Relaxed) => End::Stopped,
            Some(_) => End::Again { hold: None, text: "its job was left open".into(), told: false },
            None => End::Answered,
        })
    }

    /// The row says that a person must help. What was held before and is again must not be tried again at once.
    fn held_again(&self, row: &JobRow) -> End {
        match self.held.get() {
            Some(_) => End::Again { hold: row.hold, text: row.hold_note.clone().unwrap_or_default(), told: true },
            None => End::Answered,
        }
    }

    fn voice(&self) -> Voice<'_> {
        Voice::new(self.shop, self.tell, self.name(), self.spot.as_ref(), self.line)
    }

    fn name(&self) -> String {
        name(&self.order.path)
    }

    /// The open job: of the card that lies there, else the one that was asked for.
    fn job(&self, catalog: &Catalog) -> Result<Option<JobRow>, CatalogError> {
        if let Some(row) = self.spot.as_ref().map(|s| s.job(catalog)).transpose()?.flatten() {
            return Ok(Some(row));
        }
        match self.order.job {
            Some(id) => Ok(catalog.jobs()?.into_iter().find(|j| j.id == id && j.done_at.is_none())),
            None => Ok(None),
        }
    }

    fn announce(&self, continues: bool) {
        let Some(spot) = &self.spot else { return };
        let (files, size) = (spot.listing.files.len(), human(spot.listing.bytes()));
        let text = format!("{}: {files} files, {size}", self.name());
        if continues {
            info!("{text}: continues");
        } else {
            self.tell.tell(NotifyOn::Card, &self.name(), &text, None);
        }
    }

    /// A card that was offloaded before, with nothing new on it.
    fn answer(&self, standing: &Standing) {
        let report = &standing.report;
        let whole = report.copies.iter().filter(|c| c.files > 0 && c.verified == c.files).count();
        let text = format!("{}, proven on {whole} copies, nothing new. {}", report.roll, standing.line);
        info!("{text}");
        // At the start everything that was there before is looked at again; nobody brought it.
        if self.order.arrived {
            let on = if report.safe { NotifyOn::Safe } else { NotifyOn::NotSafe };
            let detail = serde_json::to_value(report).unwrap_or_default();
            self.tell.tell_with(on, &report.roll, &text, detail, None);
        }
    }

    /// Writes a failure to the job's row, if there is one: then it says when it is tried again, or who must help.
    fn write(&self, outcome: &Outcome, text: String) -> End {
        let hold = match outcome {
            Outcome::Held(hold) => Some(*hold),
            _ => None,
        };
        let written = || -> Result<Option<JobRow>, CatalogError> {
            let mut catalog = self.shop.open()?;
            let Some(row) = self.job(&catalog)? else { return Ok(None) };
            // Ingest wrote it already, or it was held before.
            if row.hold.is_none() {
                let (step, hold, wait) = job::next(row.step, outcome, row.attempts.saturating_add(1));
                let (now, hold) = (Timestamp::now(), hold.map(|h| (h, text.clone())));
                let next_at = wait.and_then(|w| now.checked_add(w).ok());
                catalog.advance(row.id, row.step, step, hold, next_at, now)?;
            }
            self.job(&catalog)
        };
        match written() {
            Ok(Some(row)) if row.hold.is_some() => {
                if self.held.get() != row.hold {
                    self.voice().hold(&self.name(), &row);
                }
                self.held_again(&row)
            }
            Ok(Some(row)) => {
                let when = row.next_at.map_or_else(String::new, |at| format!("; again at {at:.0}"));
                warn!("{}: {text}{when}", self.name());
                End::Answered
            }
            Ok(None) => End::Again { hold, text, told: false },
            Err(e) => End::Again { hold: Some(Hold::CannotRecord), text: format!("{text}; and {e}"), told: false },
        }
    }
}
