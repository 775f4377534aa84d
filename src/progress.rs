//! How all below speaks upward: bytes moved, files done, findings, steps; and the question whether to stop.

use crate::clip::{CardFile, CopyRootId, JobId, Warning};
use crate::copy::{FileRecord, ReadBack};
use crate::finding::Finding;
use crate::relpath::RelPath;

/// What happened, for people and scripts. Never needed for correctness.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A piece of work begins: `copying`, `proving`, ... with its totals, for the time left.
    Begin {
        what: &'a str,
        roll: &'a str,
        files: u64,
        bytes: u64,
    },
    /// Bytes moved by one lane: `read card`, `write /mnt/a`, `prove /mnt/a`, `re-read card`.
    Bytes {
        lane: &'a str,
        bytes: u64,
    },
    /// Seconds that this lane spent at its device: the busiest names the bottleneck.
    Busy {
        lane: &'a str,
        secs: f64,
    },
    FileDone {
        relpath: &'a RelPath,
        lane: &'a str,
    },
    Finding(&'a Finding),
    /// Every file of the card is proven at this destination; so many have them all by now.
    CopyProven {
        destination: &'a str,
        copies: usize,
    },
    Step {
        roll: &'a str,
        step: &'a str,
    },
    Note(&'a str),
    /// The card's verdict line, e.g. `GOOD GATE: A001 may be formatted`.
    Verdict {
        roll: &'a str,
        safe: bool,
        text: &'a str,
    },
    Clip {
        name: &'a str,
        media: &'a str,
        note: Option<&'a str>,
    },
}

/// The words for [`Event::CopyProven`].
pub fn copy_proven(destination: &str, copies: usize) -> String {
    let copies = if copies == 1 { "one proven copy".into() } else { format!("{copies} proven copies") };
    format!("{copies}: every file is proven in \"{destination}\"")
}

/// A fact to be written down durably before the work goes on.
#[derive(Clone, Debug)]
pub enum Intent {
    /// The first full read of a card file gave this.
    Read(Box<FileRecord>),
    /// A later full read of the card file: equal to the first, or not.
    ReRead {
        file: CardFile,
        equal: bool,
    },
    /// The card gave different bytes, and two readings out of three agree on these. The warning says so until a person
    /// accepts it.
    Settled {
        record: Box<FileRecord>,
        warning: Warning,
    },
    /// This copy is published and proven: read back with that class, size and time as `stat` shows them.
    Proven {
        copy: CopyRootId,
        relpath: RelPath,
        size_bytes: u64,
        mtime_ns: i64,
        read_back: ReadBack,
        job: JobId,
    },
    /// This copy failed or conflicts; the text says why.
    Failed {
        copy: CopyRootId,
        relpath: RelPath,
        conflict: bool,
        note: String,
    },
    Found {
        copy: Option<CopyRootId>,
        finding: Finding,
    },
    /// A line of the job's log.
    Log(String),
}

#[derive(Debug, thiserror::Error)]
#[error("cannot record in the catalog: {0}")]
pub struct CannotRecord(pub String);

/// Implemented by ingest (which drains intents to the catalog), the CLI (a bar) and tests (a list).
pub trait Progress: Sync {
    fn event(&self, event: Event<'_>);

    /// True when the work shall stop at the next safe point.
    fn stop_asked(&self) -> bool {
        false
    }

    /// Returns once the fact is durable.
    fn record(&self, intent: Intent) -> Result<(), CannotRecord>;

    /// Returns once all of them are durable, in this order.
    fn record_all(&self, intents: Vec<Intent>) -> Result<(), CannotRecord> {
        intents.into_iter().try_for_each(|intent| self.record(intent))
    }
}

/// Says and records nothing.
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: Event<'_>) {}

    fn record(&self, _: Intent) -> Result<(), CannotRecord> {
        Ok(())
    }
}
