//! **Owns** the copy of a card to its destinations: the plan, the one read that feeds all, the order of events.
//! **Never** decides what SAFE is, writes to the card, replaces a file, or knows a catalog: facts leave by `Progress`.
//! **Flow** `plan::refusals` -> `offload`: rounds (`round`) of streams (`fanout`: reader -> writers) whose files are
//! proven, and the card read again, by the lanes of each device (`lanes`, `mend`) -> `Outcome`.
//! **Tests** plan beside the code; the copy in `tests/all/` on real filesystems, faults and kills there too.

mod calls;
mod fanout;
mod lanes;
mod mend;
pub mod plan;
mod pool;
mod readings;
mod round;
mod score;

pub use mend::set_aside;

use crate::clip::{CardFile, CopyRootId, JobId};
use crate::copy::FileRecord;
use crate::digest::HashFormat;
use crate::disk::Root;
use crate::progress::{CannotRecord, Progress};
use crate::relpath::RelPath;
use std::io;
use std::time::Duration;

/// A temp of at least so many bytes outlives a stop or a kill: the next run goes on where its bytes end.
pub const RESUMED_FROM_BYTES: u64 = 1 << 30;

/// A physical disk under the card or under destinations, which share its lanes.
#[derive(Clone, Debug)]
pub struct Device {
    /// Files read from it at once.
    pub lanes: usize,
    /// A head must move: nothing is read back while something is written.
    pub seeks: bool,
}

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
    /// Index into [`Options::devices`].
    pub device: usize,
    /// Its filesystem takes one sync for many small files.
    pub grouped: bool,
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
    /// Earlier reads did not agree: the next one decides, or the one after it.
    pub unstable: bool,
}

pub struct Source {
    pub root: Root,
    pub fs_type: String,
    /// Index into [`Options::devices`].
    pub device: usize,
    /// Not the card but this proven copy of it, from which a destination that stayed behind is filled.
    pub copy_of: Option<CopyRootId>,
}

impl Source {
    fn is_copy(&self) -> bool {
        self.copy_of.is_some()
    }

    /// For texts.
    fn noun(&self) -> &'static str {
        if self.is_copy() { "copy" } else { "card" }
    }
}

pub struct Options<'a> {
    pub formats: &'a [HashFormat],
    /// Read the whole card a second time.
    pub source_reread: bool,
    pub job: JobId,
    /// Destinations that failed before the first byte.
    pub lost: &'a [Dead],
    pub devices: &'a [Device],
    /// Files below this size are copied by several streams at once and share their syncs.
    pub small_below_bytes: u64,
    /// A destination is left behind when it kept the others waiting for so long.
    pub detach_after: Duration,
    /// A device that answers nothing for so long is named.
    pub stalled_after: Duration,
    /// Files that each destination holds already, proven from the device, for the moment when it holds all.
    pub proven_before: &'a [usize],
    /// Files of the card.
    pub files: usize,
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
    /// Destinations (by index) that were left behind, to be filled from a proven copy.
    pub behind: Vec<usize>,
    /// Files of the card that gave no steady bytes: unreadable, or changed while read.
    pub unread: u64,
    /// The first file whose readings of the card agree in no two of three.
    pub unsettled: Option<RelPath>,
    /// A copy that was proven by an earlier run holds a wrong reading of the card: it is to be made anew.
    pub replaced: bool,
    /// Why the first copy that read back wrong, and again after its blocks were written anew, is not proven.
    pub mismatched: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Dead {
    pub dest: usize,
    /// No space, no inodes or no quota left.
    pub full: bool,
    /// Well, but too slow for the others.
    pub behind: bool,
    pub why: String,
}

impl Dead {
    pub fn new(dest: usize, name: &str, e: &io::Error) -> Self {
        let full = matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        Dead { dest, full, behind: false, why: format!("destination \"{name}\" failed: {e}") }
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
    round::run(card, tasks, dests, options, progress)
}
