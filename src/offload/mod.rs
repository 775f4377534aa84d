//! **Owns** the copy of a card to its destinations: the plan, the one read that feeds all, the order of events.
//! **Never** decides what SAFE is, writes to the card, replaces a file, or knows a catalog: facts leave by `Progress`.
//! **Flow** `plan::refusals` -> `offload` (fan-out: reader -> writers -> provers, second read beside them) -> `Outcome`.
//! **Tests** plan beside the code; the copy in `tests/all/offload*.rs` on real filesystems.

mod fanout;
pub mod plan;

use crate::clip::{CardFile, CopyRootId, JobId};
use crate::copy::FileRecord;
use crate::digest::HashFormat;
use crate::disk::Root;
use crate::progress::{CannotRecord, Progress};
use crate::relpath::RelPath;
use std::io;

/// One folder that shall hold the card.
pub struct Destination {
    pub id: CopyRootId,
    /// DEST itself; the roll's folder lies below it.
    pub base: Root,
    /// The roll's folder, relative to `base`.
    pub folder: RelPath,
    pub fs_type: String,
    /// As the user named it, for texts.
    pub name: String,
}

impl Destination {
    pub fn place(&self, relpath: &RelPath) -> RelPath {
        self.folder.join_rel(relpath)
    }
}

/// Work still to do for one file.
#[derive(Clone, Debug)]
pub struct Task {
    pub file: CardFile,
    /// Destinations (by index) that have no standing proof, with the temp that the intent row names there.
    pub todo: Vec<(usize, RelPath)>,
    /// What an earlier read of the same job said; a new read must agree.
    pub known: Option<FileRecord>,
    /// Reads past the cache so far that agreed.
    pub equal_reads: u32,
}

pub struct Source {
    pub root: Root,
    pub fs_type: String,
}

pub struct Options<'a> {
    pub formats: &'a [HashFormat],
    /// Read the whole card a second time.
    pub source_reread: bool,
    pub job: JobId,
    /// Destinations that failed before the first byte.
    pub lost: &'a [Dead],
}

#[derive(Debug, thiserror::Error)]
pub enum OffloadError {
    #[error("stopped; the same command continues")]
    Stopped,
    #[error(transparent)]
    CannotRecord(#[from] CannotRecord),
    #[error("the card went away: \"{path}\": {source}")]
    CardGone { path: String, source: std::io::Error },
}

/// What could not be done; everything else is proven and recorded.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Destinations that failed as a whole.
    pub dead: Vec<Dead>,
    /// Files of the card that gave no steady bytes: unreadable, or changed while read.
    pub unread: u64,
}

#[derive(Clone, Debug)]
pub struct Dead {
    pub dest: usize,
    /// No space, no inodes or no quota left.
    pub full: bool,
    pub why: String,
}

impl Dead {
    pub fn new(dest: usize, name: &str, e: &io::Error) -> Self {
        let full = matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        Dead { dest, full, why: format!("destination \"{name}\" failed: {e}") }
    }
}

/// Copies and proves what `tasks` ask for. Ends early only when stopped, when nothing can be recorded, or when the
/// card is gone; a failing file or destination never stops the others.
pub fn offload(
    card: &Source,
    tasks: Vec<Task>,
    dests: &[Destination],
    options: &Options<'_>,
    progress: &dyn Progress,
) -> Result<Outcome, OffloadError> {
    fanout::run(card, tasks, dests, options, progress)
}
