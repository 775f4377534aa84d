//! What is known of every card and job, and which is to be started next. Pure: looks, rows, ends and the clocks are
//! brought in.

use super::look::{Look, Seen};
use super::memory::{Mark, Memory};
use crate::card::settle::{Settle, Settled};
use crate::clip::{JobId, Listing};
use crate::config::Watch;
use crate::job::Hold;
use crate::offload::plan::human;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Cards worked on at once; those that share a disk take turns by its lock.
const PARALLEL: usize = 4;
/// A card that is done with is listed this much more seldom.
const REST: u32 = 10;

/// An open job, as far as the desk must know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub id: JobId,
    /// The card's root as it was asked for.
    pub path: PathBuf,
    pub hold: Option<Hold>,
    pub next_at: Option<Timestamp>,
}

/// One card to be worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub path: PathBuf,
    /// The listing that settled; `None`: not a card that is watched.
    pub mark: Option<Mark>,
    /// It appeared while we were watching.
    pub arrived: bool,
    pub job: Option<JobId>,
}

/// How the work on an order ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// There is a verdict, or a row in the catalog says when or why not.
    Answered,
    /// Nothing in the catalog says when: try again later.
    Again {
        hold: Option<Hold>,
        text: String,
        /// A person has heard of it already.
        told: bool,
    },
    Stopped,
}

/// One watch.
struct Watched {
    covers: Option<PathBuf>,
    settle: Duration,
    poll: Duration,
    due: Duration,
    looking: bool,
    /// Looks that saw something.
    looks: u64,
    /// The filesystem that the last of them saw.
    device: Option<u64>,
}

/// One card below a watch.
struct Card {
    watch: usize,
    device: u64,
    settle: Settle,
    settled: Option<Mark>,
    answered: Option<Mark>,
    arrived: bool,
    /// A person was told that it is waited for.
    announced: bool,
    look_at: Duration,
}

/// A line for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub text: String,
    pub warn: bool,
}

#[derive(Default)]
pub(super) struct Desk {
    watches: Vec<Watched>,
    cards: BTreeMap<PathBuf, Card>,
    jobs: Vec<Job>,
    running: BTreeMap<PathBuf, Option<Mark>>,
    memory: Memory,
    /// Counts the ends of work.
    turn: u64,
    /// The last note about a path: each is said once.
    noted: BTreeMap<PathBuf, String>,
}

impl Desk {
    pub(super) fn new(watches: &[Watch]) -> Self {
        let watched = |w: &Watch| {
            let (covers, settle, poll) = match w {
                Watch::Dumps { path, settle, poll } => (Some(path.clone()), *settle, *poll),
                Watch::Mounts { settle, poll, .. } => (None, *settle, *poll),
            };
            Watched { covers, settle, poll, due: Duration::ZERO, looking: false, looks: 0, device: None }
        };
        Desk { watches: watches.iter().map(watched).collect(), ..Desk::default() }
    }

    /// Watches to look at now, each with the cards that need no listing. A watch whose last look is not back is not due.
    pub(super) fn due(&mut self, now: Duration) -> Vec<(usize, BTreeSet<PathBuf>)> {
        let mut out = Vec::new();
        for (i, watch) in self.watches.iter_mut().enumerate().filter(|(_, w)| !w.looking && w.due <= now) {
            watch.looking = true;
            watch.due = now + watch.poll;
            let rests = |(path, card): &(&PathBuf, &Card)| {
                card.watch == i && (self.running.contains_key(*path) || now < card.look_at)
            };
            out.push((i, self.cards.iter().filter(rests).map(|(p, _)| p.clone()).collect()));
        }
        out
    }

    /// Something happened at a watch: look as soon as may be.
    pub(super) fn hint(&mut self, watch: usize) {
        if let Some(watch) = self.watches.get_mut(watch) {
            watch.due = Duration::ZERO;
        }
    }

    /// What a look saw. Returns what a person wants to know of it.
    pub(super) fn looked(&mut self, watch: usize, look: Look, now: Duration) -> Vec<Line> {
        let mut lines = Vec::new();
        let Some(w) = self.watches.get_mut(watch) else { return lines };
        w.looking = false;
        let first = w.looks == 0;
        let device = look.device;
        w.looks += u64::from(device.is_some());
        self.note(watch, &look, &mut lines);
        let Some(device) = device else { return lines };
        let before = self.watches[watch].device.replace(device);
        if let Some(root) = self.watches[watch].covers.as_ref().filter(|_| before.is_some_and(|b| b != device)) {
            lines.push(Line {
                text: format!("\"{}\" shows another filesystem than before", root.display()),
                warn: true,
            });
        }
        let there: BTreeSet<PathBuf> = look.seen.iter().map(|s| s.path.clone()).collect();
        // Another filesystem at the root hides its cards; they are not gone.
        let gone = |path: &Path, c: &Card| c.watch == watch && c.device == device && !there.contains(path);
        let gone: Vec<PathBuf> = self.cards.iter().filter(|(p, c)| gone(p, c)).map(|(p, _)| p.clone()).collect();
        for path in gone.into_iter().filter(|p| !self.running.contains_key(p)) {
            self.cards.remove(&path);
            self.memory.forget(&path);
            lines.push(Line { text: format!("\"{}\" is gone", path.display()), warn: false });
        }
        for seen in look.seen {
            lines.extend(self.see(watch, device, first, seen, now));
        }
        lines
    }

    fn see(&mut self, watch: usize, device: u64, first: bool, seen: Seen, now: Duration) -> Option<Line> {
        let w = &self.watches[watch];
        if !self.cards.contains_key(&seen.path) {
            let card = Card {
                watch,
                device,
                settle: Settle::new(w.settle),
                settled: None,
                answered: None,
                arrived: !first,
                announced: false,
                look_at: now,
            };
            self.cards.insert(seen.path.clone(), card);
        }
        let card = self.cards.get_mut(&seen.path)?;
        card.device = device;
        let view = seen.view?;
        let quiet = w.settle.as_secs();
        let was = card.settled.take();
        let path = seen.path.display();
        let say = |text: String| Some(Line { text, warn: false });
        match card.settle.observe(now, &view.listing, view.open_for_writing) {
            Settled::Yes => {
                let mark = mark(&view.listing);
                card.settled = Some(mark);
                if card.answered == Some(mark) {
                    card.look_at = now + w.poll * REST;
                    return None;
                }
                card.announced = false;
                let (files, size) = (view.listing.files.len(), human(view.listing.bytes()));
                (was != Some(mark)).then(|| say(format!("\"{path}\" has settled: {files} files, {size}")))?
            }
            Settled::No(why) => {
                card.look_at = now;
                tracing::debug!("\"{path}\" is waited for: {why}");
                let is_new = !std::mem::replace(&mut card.announced, true);
                let change = if was.is_some() { "it changes again" } else { "card seen" };
                is_new.then(|| say(format!("\"{path}\": {change}; it is taken when it rests for {quiet} s")))?
            }
        }
    }

    /// Notes about paths that are new, or other ones than before.
    fn note(&mut self, watch: usize, look: &Look, lines: &mut Vec<Line>) {
        for (path, text) in &look.notes {
            if self.noted.get(path) != Some(text) {
                lines.push(Line { text: format!("\"{}\" {text}", path.display()), warn: true });
                self.noted.insert(path.clone(), text.clone());
            }
        }
        // What is well again may be noted again.
        if look.device.is_some() {
            let said = |path: &Path| look.notes.iter().any(|(p, _)| p == path);
            if let Some(root) = self.watches[watch].covers.clone()
                && !said(&root)
                && self.noted.remove(&root).is_some()
            {
                lines.push(Line { text: format!("\"{}\" is watched again", root.display()), warn: false });
            }
            for seen in look.seen.iter().filter(|s| s.view.is_some()) {
                self.noted.remove(&seen.path);
            }
        }
    }

    /// To be handed back with the jobs that are read from now on.
    pub(super) fn turn(&self) -> u64 {
        self.turn
    }

    /// The open jobs of the catalog, all of them. False: work ended while they were read, so a row may be older than
    /// what is known here; they must be read again.
    pub(super) fn set_jobs(&mut self, turn: u64, jobs: Vec<Job>) -> bool {
        let is_fresh = turn == self.turn;
        if is_fresh {
            self.jobs = jobs;
        }
        is_fresh
    }

    /// The next card to be worked on, counted as running from here on. `now` does not jump, `wall` is for rows.
    pub(super) fn next(&mut self, now: Duration, wall: Timestamp) -> Option<Order> {
        if self.running.len() >= PARALLEL {
            return None;
        }
        let order = self.settled_card(now, wall).or_else(|| self.lone_job(now, wall))?;
        self.running.insert(order.path.clone(), order.mark);
        Some(order)
    }

    fn settled_card(&self, now: Duration, wall: Timestamp) -> Option<Order> {
        self.cards.iter().find_map(|(path, card)| {
            let mark = card.settled?;
            let job = self.jobs.iter().find(|j| j.path == *path && is_runnable(j, wall)).map(|j| j.id);
            // What was away is there again, or may be: a look tells, and does no harm.
            let may_be_back = self.jobs.iter().any(|j| j.path == *path && j.hold.is_some_and(is_absence));
            let wanted = card.answered != Some(mark) || job.is_some() || may_be_back;
            let free = !self.running.contains_key(path) && self.memory.may_try(path, Some(mark), now);
            (wanted && free).then(|| Order { path: path.clone(), mark: Some(mark), arrived: card.arrived, job })
        })
    }

    /// A job whose card no watch shows. If one may still show it, it waits for the first look.
    fn lone_job(&self, now: Duration, wall: Timestamp) -> Option<Order> {
        let all_looked = self.watches.iter().all(|w| w.looks > 0 || w.covers.is_some());
        let covered = |path: &Path| {
            let by = self.watches.iter().find(|w| w.covers.as_deref().is_some_and(|c| path.parent() == Some(c)));
            by.is_some_and(|w| w.looks == 0)
        };
        let free = |j: &&Job| {
            is_runnable(j, wall)
                && all_looked
                && !covered(&j.path)
                && !self.cards.contains_key(&j.path)
                && !self.running.contains_key(&j.path)
                && self.memory.may_try(&j.path, None, now)
        };
        let job = self.jobs.iter().find(free)?;
        Some(Order { path: job.path.clone(), mark: None, arrived: false, job: Some(job.id) })
    }

    /// The work on a card ended. `Some`: a failure that is news, with its hold.
    pub(super) fn ended(&mut self, path: &Path, end: &End, now: Duration) -> Option<(Option<Hold>, String)> {
        let mark = self.running.remove(path)?;
        self.turn += 1;
        // Its row may have moved; it is known again when the jobs are read again.
        self.jobs.retain(|j| j.path != path);
        match end {
            End::Answered => {
                self.memory.forget(path);
                if let Some(card) = self.cards.get_mut(path) {
                    card.answered = mark;
                    card.look_at = now;
                }
                None
            }
            End::Again { hold, text, told } => {
                let is_news = self.memory.failed(path, mark, *hold, now);
                (is_news && !told).then(|| (*hold, text.clone()))
            }
            End::Stopped => None,
        }
    }

    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// Cards that wait for their turn or have not settled.
    pub(super) fn waiting(&self) -> usize {
        let waits = |(path, c): &(&PathBuf, &Card)| {
            !self.running.contains_key(*path) && (c.settled.is_none() || c.settled != c.answered)
        };
        self.cards.iter().filter(waits).count()
    }

    pub(super) fn held(&self) -> usize {
        self.jobs.iter().filter(|j| j.hold.is_some()).count()
    }
}

fn is_runnable(job: &Job, wall: Timestamp) -> bool {
    job.hold.is_none() && job.next_at.is_none_or(|at| at <= wall)
}

/// Holds whose cause may end without a person at this machine.
pub(super) fn is_absence(hold: Hold) -> bool {
    matches!(hold, Hold::CardAbsent | Hold::DestinationAbsent)
}

/// Names, sizes and times of all that a listing holds.
pub(super) fn mark(listing: &Listing) -> Mark {
    let mut hasher = blake3::Hasher::new();
    let mut entry = |kind: u8, path: &[u8], size: u64, mtime: i64| {
        hasher.update(&[kind]);
        hasher.update(&(path.len() as u64).to_le_bytes());
        hasher.update(path);
        hasher.update(&size.to_le_bytes());
        hasher.update(&mtime.to_le_bytes());
    };
    listing.files.iter().for_each(|f| entry(0, f.relpath.as_bytes(), f.size_bytes, f.mtime_ns));
    listing.folders.iter().for_each(|p| entry(1, p.as_bytes(), 0, 0));
    listing.specials.iter().for_each(|(p, kind)| entry(2 + *kind as u8, p.as_bytes(), 0, 0));
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests;
