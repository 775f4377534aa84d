//! How a job of the daemon speaks: a plain line in the log for what a person wants to know, and the notify command.

use super::Shop;
use super::tell::Teller;
use super::work::Spot;
use crate::catalog::{Catalog, JobRow};
use crate::config::NotifyOn;
use crate::finding::Finding;
use crate::job::Hold;
use crate::offload::plan::human;
use crate::progress::{CannotRecord, Event, Intent, Progress, copy_proven};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};

/// Between two lines with percentages.
const EVERY: Duration = Duration::from_secs(10);
/// Findings that get a line of their own; the rest is counted.
const FINDINGS: usize = 20;

/// The progress of one card's work.
pub(super) struct Voice<'a> {
    pub shop: &'a Shop,
    pub tell: &'a Teller,
    /// The card's name for people until its roll is known.
    pub name: String,
    pub spot: Option<&'a Spot>,
    /// What this card's work says of itself in the status line.
    pub line: &'a Mutex<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    begun: String,
    bytes: u64,
    lanes: BTreeMap<String, u64>,
    said_at: Option<Instant>,
    findings: Vec<Finding>,
    found: usize,
    told_hold: Option<Hold>,
}

impl<'a> Voice<'a> {
    pub(super) fn new(
        shop: &'a Shop,
        tell: &'a Teller,
        name: String,
        spot: Option<&'a Spot>,
        line: &'a Mutex<String>,
    ) -> Self {
        Voice { shop, tell, name, spot, line, state: Mutex::default() }
    }

    /// Tells of what was found since the last time, in one event.
    pub(super) fn tell_findings(&self, roll: &str) {
        let Ok(mut state) = self.state.lock() else { return };
        let (findings, found) = (std::mem::take(&mut state.findings), std::mem::take(&mut state.found));
        drop(state);
        let Some(first) = findings.first() else { return };
        let text = match found {
            1 => first.line(),
            n => format!("{n} findings; the first: {}", first.line()),
        };
        let detail = serde_json::json!({ "findings": findings, "total": found });
        self.tell.tell_with(NotifyOn::Damage, roll, &text, detail, None);
    }

    /// Says once that the job waits for a person, and what ends that.
    pub(super) fn hold(&self, roll: &str, job: &JobRow) {
        let Some(hold) = job.hold else { return };
        let Ok(mut state) = self.state.lock() else { return };
        if state.told_hold.replace(hold) == Some(hold) {
            return;
        }
        drop(state);
        let note = job.hold_note.as_deref().unwrap_or_default();
        let text = format!("{roll} waits ({}): {note}: {}", hold.name(), hold.text());
        warn!("{text}; then: goodgate jobs retry {}", job.id);
        self.tell.tell(NotifyOn::Hold, roll, &text, self.spot);
    }

    fn show(&self, text: String) {
        if let Ok(mut line) = self.line.lock() {
            *line = text;
        }
    }

    fn moved(&self, lane: &str, bytes: u64) {
        let Ok(mut state) = self.state.lock() else { return };
        match state.lanes.get_mut(lane) {
            Some(sum) => *sum += bytes,
            None => drop(state.lanes.insert(lane.to_owned(), bytes)),
        }
        if state.bytes == 0 || state.said_at.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        let first = state.said_at.replace(Instant::now()).is_none();
        let text = format!("{} {} {}", state.begun, self.name, state.percent());
        drop(state);
        if !first {
            info!("{text}");
        }
        self.show(text);
    }
}

impl State {
    /// Of the card that is read, and of the copy that is proven last.
    fn percent(&self) -> String {
        let of = |n: u64| (n.saturating_mul(100) / self.bytes.max(1)).min(100);
        let read = of(self.lanes.get("read card").copied().unwrap_or(0));
        let proven = self.lanes.iter().filter(|(lane, _)| lane.starts_with("prove ")).map(|(_, n)| of(*n)).min();
        match proven {
            Some(proven) => format!("{read} %, proven {proven} %"),
            None => format!("{read} %"),
        }
    }
}

impl Progress for Voice<'_> {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Bytes { lane, bytes } => self.moved(lane, bytes),
            Event::Busy { .. } | Event::FileDone { .. } => {}
            Event::Begin { what, roll, files, bytes } => {
                if let Ok(mut state) = self.state.lock() {
                    *state = State {
                        begun: what.to_owned(),
                        bytes,
                        lanes: BTreeMap::new(),
                        said_at: None,
                        ..std::mem::take(&mut *state)
                    };
                }
                let size = if bytes > 0 { format!(", {}", human(bytes)) } else { String::new() };
                info!("{roll}: {what} {files} files{size}");
                self.show(format!("{what} {roll}"));
            }
            Event::Finding(finding) => {
                let Ok(mut state) = self.state.lock() else { return };
                state.found += 1;
                if state.found <= FINDINGS {
                    warn!("{}: {}", self.name, finding.line());
                    state.findings.push(finding.clone());
                } else if state.found == FINDINGS + 1 {
                    warn!("{}: more findings follow; `goodgate status` counts them", self.name);
                }
            }
            Event::Step { roll, step } => {
                debug!("{roll}: step {step}");
                self.show(format!("{step} {roll}"));
            }
            Event::CopyProven { destination, copies } => info!("{}: {}", self.name, copy_proven(destination, copies)),
            Event::Note(text) => info!("{}: {text}", self.name),
            Event::Verdict { roll, safe, text } => {
                self.tell_findings(roll);
                if safe {
                    info!("{text}");
                } else {
                    warn!("{text}");
                }
                let on = if safe { NotifyOn::Safe } else { NotifyOn::NotSafe };
                self.tell.tell(on, roll, text, self.spot);
                // Now, not after the proxies: a person may have to do something.
                let job = || self.spot?.job(&Catalog::open_read_only(&self.shop.catalog).ok()?).ok()?;
                if !safe && let Some(job) = job() {
                    self.hold(roll, &job);
                }
            }
            Event::Clip { name, media, note } => match note {
                Some(note) => info!("{}: clip {name}: {media}: {note}", self.name),
                None => debug!("{}: clip {name}: {media}", self.name),
            },
        }
    }

    fn stop_asked(&self) -> bool {
        self.shop.stop.load(Ordering::Relaxed)
    }

    /// Ingest keeps the facts; nothing reaches this one.
    fn record(&self, _: Intent) -> Result<(), CannotRecord> {
        Err(CannotRecord("a job's voice keeps no records".into()))
    }
}
