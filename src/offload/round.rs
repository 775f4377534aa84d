//! Rounds over what is left to do, and what their threads share: what fails in one round is tried again in the next.

use super::calls::Calls;
use super::fanout::{Lag, Msg};
use super::lanes::Done;
use super::pool::{Gate, Inbox, Pool, Slots};
use super::score::{Left, Score, failed_copy, group_size};
use super::{Dead, Destination, OffloadError, Options, Outcome, Source, Task};
use crate::copy::{FileRecord, ReadBack};
use crate::disk::write::Temp;
use crate::finding::{Finding, FindingKind};
use crate::progress::{CannotRecord, Event, Intent, Progress};
use crate::verify::ReadFault;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A file is tried in so many rounds: after a failed write or proof, or when the card does not give it.
const ROUNDS: u32 = 3;
/// Large files that may be under way: written, and not proven.
const LARGE_OPEN: usize = 32;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Small,
    Large,
}

/// What the threads tell.
pub(super) enum Told<'d> {
    /// A stream took this file for these destinations.
    Begun {
        task: usize,
        kind: Kind,
        dests: Vec<usize>,
    },
    /// No destination was left that needs it, and it was read before.
    Skipped {
        task: usize,
    },
    Read {
        task: usize,
        record: Box<FileRecord>,
        class: ReadBack,
    },
    Unread {
        task: usize,
        fault: ReadFault,
    },
    /// `None`: the final name was there already.
    Written {
        task: usize,
        dest: usize,
        temp: Option<Temp<'d>>,
    },
    Unwritten {
        task: usize,
        dest: usize,
        why: String,
    },
    Done(Vec<Done>),
    /// A reader, writer or hasher has ended.
    Ended,
    /// A thread failed: nothing more can be waited for.
    Panicked,
}

/// What all threads of a round share.
pub(super) struct Work<'a> {
    pub(super) card: &'a Source,
    pub(super) tasks: &'a [Task],
    pub(super) dests: &'a [Destination],
    pub(super) options: &'a Options<'a>,
    progress: &'a dyn Progress,
    pub(super) dead: &'a [OnceLock<Dead>],
    pub(super) halt: &'a AtomicBool,
    cannot_record: &'a Mutex<Option<CannotRecord>>,
    /// Of each stream, what waits for the writer of each destination.
    pub(super) inboxes: Vec<Vec<Inbox<Msg>>>,
    pub(super) pool: Arc<Pool>,
    /// One a device: writers share it, a read-back that would make the head jump has it alone.
    pub(super) gates: Vec<Gate>,
    pub(super) busy_ns: Vec<AtomicU64>,
    pub(super) lags: Mutex<Vec<Option<Lag>>>,
    pub(super) calls: Calls,
    small: Mutex<std::vec::IntoIter<usize>>,
    large: Mutex<std::vec::IntoIter<usize>>,
    small_slots: Slots,
    large_slots: Slots,
}

/// The caller's progress, and a stop for all when nothing can be recorded.
impl Progress for Work<'_> {
    fn event(&self, event: Event<'_>) {
        if matches!(event, Event::Bytes { .. }) {
            self.calls.heard();
        }
        self.progress.event(event);
    }

    fn stop_asked(&self) -> bool {
        self.halt.load(Ordering::Relaxed) || self.progress.stop_asked()
    }

    fn record(&self, intent: Intent) -> Result<(), CannotRecord> {
        self.record_all(vec![intent])
    }

    fn record_all(&self, intents: Vec<Intent>) -> Result<(), CannotRecord> {
        self.progress.record_all(intents).inspect_err(|e| {
            self.halt.store(true, Ordering::Relaxed);
            let mut told = self.cannot_record.lock().unwrap_or_else(PoisonError::into_inner);
            told.get_or_insert(CannotRecord(e.0.clone()));
        })
    }
}

impl Work<'_> {
    pub(super) fn note(&self, line: String) {
        self.event(Event::Note(&line));
        let _ = self.record(Intent::Log(line));
    }

    /// Small files first, by all streams; then the first goes on with the large ones.
    pub(super) fn next_task(&self, stream: usize) -> Option<(usize, Kind)> {
        if self.stop_asked() {
            return None;
        }
        let next = |list: &Mutex<std::vec::IntoIter<usize>>| list.lock().unwrap_or_else(PoisonError::into_inner).next();
        let small = next(&self.small).map(|i| (i, Kind::Small));
        small.or_else(|| (stream == 0).then(|| next(&self.large)).flatten().map(|i| (i, Kind::Large)))
    }

    pub(super) fn slots(&self, kind: Kind) -> &Slots {
        match kind {
            Kind::Small => &self.small_slots,
            Kind::Large => &self.large_slots,
        }
    }

    pub(super) fn kind(&self, task: usize) -> Kind {
        match self.tasks[task].file.size_bytes < self.options.small_below_bytes {
            true => Kind::Small,
            false => Kind::Large,
        }
    }

    pub(super) fn is_grouped(&self, task: usize, dest: &Destination) -> bool {
        dest.grouped && self.kind(task) == Kind::Small
    }
}

pub(super) fn run(
    card: &Source,
    mut tasks: Vec<Task>,
    dests: &[Destination],
    options: &Options<'_>,
    progress: &dyn Progress,
) -> Result<Outcome, OffloadError> {
    let dead: Vec<OnceLock<Dead>> = dests.iter().map(|_| OnceLock::new()).collect();
    for lost in options.lost {
        let _ = dead[lost.dest].set(lost.clone());
    }
    let (halt, cannot_record) = (AtomicBool::new(false), Mutex::new(None));
    let mut outcome = Outcome::default();
    let mut proven: Vec<usize> = options.proven_before.to_vec();
    for round in 1..=ROUNDS {
        let work = work(card, &tasks, dests, options, progress, (&dead, &halt, &cannot_record));
        let left = {
            let mut score = Score::new(&work, round, &mut outcome, &mut proven);
            score.play();
            score.left()
        };
        if let Some(e) = cannot_record.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(e.into());
        }
        if progress.stop_asked() {
            return Err(OffloadError::Stopped);
        }
        card.root
            .still_here()
            .map_err(|source| OffloadError::CardGone { path: card.root.path().display().to_string(), source })?;
        if round == ROUNDS || left.is_empty() {
            give_up(&work, left, &mut outcome)?;
            break;
        }
        tasks = left.into_iter().map(|l| l.task).collect();
    }
    let lost: Vec<Dead> = dead.into_iter().filter_map(OnceLock::into_inner).collect();
    outcome.behind = lost.iter().filter(|d| d.behind).map(|d| d.dest).collect();
    outcome.dead = lost.into_iter().filter(|d| !d.behind).collect();
    for Dead { why, .. } in &outcome.dead {
        progress.event(Event::Note(why));
        progress.record(Intent::Log(why.clone()))?;
    }
    Ok(outcome)
}

type Shared<'a> = (&'a [OnceLock<Dead>], &'a AtomicBool, &'a Mutex<Option<CannotRecord>>);

fn work<'a>(
    card: &'a Source,
    tasks: &'a [Task],
    dests: &'a [Destination],
    options: &'a Options<'a>,
    progress: &'a dyn Progress,
    (dead, halt, cannot_record): Shared<'a>,
) -> Work<'a> {
    let to_read = (0..tasks.len()).filter(|i| !tasks[*i].todo.is_empty() || tasks[*i].known.is_none());
    let (small, large): (Vec<_>, Vec<_>) = to_read.partition(|i| tasks[*i].file.size_bytes < options.small_below_bytes);
    let lanes = options.devices.get(card.device).map_or(1, |d| d.lanes);
    let streams = lanes.clamp(1, small.len().max(1));
    Work {
        card,
        tasks,
        dests,
        options,
        progress,
        dead,
        halt,
        cannot_record,
        inboxes: (0..streams).map(|_| dests.iter().map(|_| Inbox::new()).collect()).collect(),
        pool: Pool::new(),
        gates: options.devices.iter().map(|_| Gate::new()).collect(),
        busy_ns: dests.iter().map(|_| AtomicU64::new(0)).collect(),
        lags: Mutex::new(dests.iter().map(|_| None).collect()),
        calls: Calls::default(),
        small: Mutex::new(small.into_iter()),
        large: Mutex::new(large.into_iter()),
        small_slots: Slots::new((dests.len() + 1).max(3) * group_size(dests.len())),
        large_slots: Slots::new(LARGE_OPEN),
    }
}

/// After the last round: what the card did not give is salvaged, and all of it is told. Gives how many files it was.
fn give_up(work: &Work<'_>, left: Vec<Left>, outcome: &mut Outcome) -> Result<(), CannotRecord> {
    for Left { task, why, fault, reread_fault } in left {
        let relpath = &task.file.relpath;
        for (d, reason) in why {
            work.record(failed_copy(&work.dests[d], relpath, reason))?;
        }
        let kind = match &fault {
            Some(ReadFault::Changed) => FindingKind::Unstable,
            _ => FindingKind::Unreadable,
        };
        let second = reread_fault.map(|why| format!("second read: {why}"));
        let Some(note) = fault.as_ref().map(ToString::to_string).or(second) else { continue };
        let mut finding = Finding::new(kind, work.card.root.path(), relpath, note);
        match work.card.copy_of {
            Some(_) => {
                outcome.mismatched.get_or_insert_with(|| finding.line());
            }
            None => outcome.unread += u64::from(fault.is_some()),
        }
        if let Some(copy) = work.card.copy_of {
            work.record(Intent::Failed {
                copy,
                relpath: relpath.clone(),
                conflict: false,
                note: finding.note.clone(),
            })?;
        } else if matches!(fault, Some(ReadFault::Io { .. })) {
            finding.blocks = work.salvage(relpath, task.file.size_bytes);
        }
        work.event(Event::Finding(&finding));
        work.record(Intent::Found { copy: work.card.copy_of, finding })?;
    }
    Ok(())
}
