//! The observations a verdict rests on: reads, proofs, listings, presence, warnings and who accepted them.
//!
//! Plain data. `ingest::standing` gathers it afresh (disk, then catalog); `verdict.rs` alone judges it.

use crate::clip::{CopyRootId, SourceKind, Warning};
use crate::copy::{CopyState, ReadBack};
use crate::finding::Finding;
use crate::relpath::RelPath;
use jiff::Timestamp;

/// The physical disk below a volume, as far as the kernel tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Disk {
    /// Stable name, e.g. `nvme-Samsung_SSD_980_S64ANS0R` or `vda`; `None` when nothing certain is known (network,
    /// memory, FUSE): such a disk is never counted as different from any other.
    pub id: Option<String>,
    /// For people: `Samsung SSD 980 (nvme0n1)`, `loop3 on vda`.
    pub text: String,
}

/// How we last saw a place, the card or a copy's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Looked at just now, or at `at` when the place is gone since, and found as recorded.
    AsRecorded { at: Timestamp, here_now: bool },
    /// Reachable, and not as recorded: another volume, a missing or changed file. The text says which.
    Differs { at: Timestamp, what: Vec<String> },
    /// Never seen in a state that could count.
    Never,
}

/// What the card gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardEvidence {
    pub source_kind: SourceKind,
    pub roll: String,
    pub presence: Presence,
    /// The listing after the last read equalled the one before the first.
    pub listed_twice_equal: bool,
    pub disk: Disk,
    /// The type of its filesystem, where memory may answer any second read.
    pub only_cached: Option<String>,
}

/// What was read of one file of the card, and where it is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEvidence {
    pub relpath: RelPath,
    /// Full reads of the card's file that agreed, past the cache; 0 = never read whole.
    pub equal_reads: u32,
    /// A read gave other bytes than the first; cleared only by two agreeing reads out of three plus a warning.
    pub unstable: bool,
    /// The row's own checksum holds.
    pub row_intact: bool,
    pub copies: Vec<CopyEvidence>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyEvidence {
    pub root: CopyRootId,
    pub state: CopyState,
    pub read_back: ReadBack,
    pub proven_at: Option<Timestamp>,
    pub row_intact: bool,
}

/// One folder that holds a copy of the card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyRootEvidence {
    pub id: CopyRootId,
    /// The destination as the user named it, for texts.
    pub destination: String,
    pub disk: Disk,
    pub presence: Presence,
    /// Manifest and evidence file are durable there.
    pub sealed: bool,
    /// It lies on the card's own volume.
    pub on_card: bool,
}

/// Relaxations of the policy that are in force for this card, each from config or recorded with its offload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relaxed {
    pub same_device: bool,
    pub accept_server: bool,
    pub no_source_reread: bool,
}

/// `[policy]` of the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Proven copies that SAFE needs; at least 2.
    pub copies: u32,
    pub relaxed: Relaxed,
}

impl Default for Policy {
    fn default() -> Self {
        Policy { copies: 2, relaxed: Relaxed::default() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarningEvidence {
    pub warning: Warning,
    /// The note of the person who accepted it.
    pub accepted: Option<String>,
}

/// From then on nothing counts that was proven before: the catalog was put back, and what it forgot may say otherwise.
/// Each copy counts again once it was read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    pub at: Timestamp,
    /// A sentence's beginning: "the catalog was ...".
    pub why: String,
}

/// All that is known of one card at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub card: CardEvidence,
    /// Every regular file of the listing that is not litter.
    pub files: Vec<FileEvidence>,
    pub copy_roots: Vec<CopyRootEvidence>,
    pub warnings: Vec<WarningEvidence>,
    /// Open findings of this card and its copies.
    pub findings: Vec<Finding>,
    pub skipped: Vec<RelPath>,
    /// What came of comparing the read of the card with the histories and lists that it carries, a sentence each.
    pub source_checks: Vec<String>,
    /// Flags recorded with the newest offload, added to those of the config.
    pub relaxed: Relaxed,
    /// The latest one.
    pub doubt: Option<Doubt>,
    /// The catalog passed its quick check.
    pub catalog_sound: bool,
    /// Text of the hold that the card's job waits in.
    pub hold: Option<String>,
    /// Files of the card whose work is not finished, as the job says.
    pub open_job: bool,
}
