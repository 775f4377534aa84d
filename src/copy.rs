//! What the copy pass and the proof say of one file, and of one sealed generation.

use crate::clip::CardFile;
use crate::digest::{BlockDigests, Digest, Digests};
use crate::relpath::RelPath;
use serde::Serialize;

/// What one full read of a file said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRecord {
    pub file: CardFile,
    pub digests: Digests,
    pub blocks: BlockDigests,
}

/// How strong a read-back was (reliability.md 3). Ordered: later is stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadBack {
    /// The page cache may have answered: proves nothing about the medium.
    Cache,
    /// A network filesystem: the server's cache may have answered.
    Server,
    /// From the device: pages dropped, none cached, direct where supported, on a filesystem known to honour that.
    Device,
    /// Device, after an unmount and a fresh mount.
    Remounted,
}

impl ReadBack {
    pub const ALL: [ReadBack; 4] = [Self::Cache, Self::Server, Self::Device, Self::Remounted];

    pub fn name(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Server => "server",
            Self::Device => "device",
            Self::Remounted => "remounted",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name)
    }
}

/// Where a (file, destination) stands. Finer states live in memory only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CopyState {
    Planned,
    Proven,
    Failed,
    /// The final name is taken by other bytes; nothing was overwritten.
    Conflict,
}

impl CopyState {
    pub const ALL: [CopyState; 4] = [Self::Planned, Self::Proven, Self::Failed, Self::Conflict];

    pub fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Proven => "proven",
            Self::Failed => "failed",
            Self::Conflict => "conflict",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }
}

/// The note of a copy that was proven for bytes which the card is not thought to hold any more.
pub const OF_UNSTABLE_READ: &str = "holds bytes of an unstable read";

/// One manifest of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    pub number: u32,
    /// Relative to the roll's folder, e.g. `ascmhl/0001_A001_2026-01-02_030405Z.mhl`.
    pub manifest: RelPath,
    /// C4 of the manifest's bytes, as the chain holds it.
    pub c4: Digest,
}
