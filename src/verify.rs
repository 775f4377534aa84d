//! Re-reads copies and compares. Declares `VerifiedFile` and `SealEntry` and is their only maker.

use crate::digest::Digest;
use crate::relpath::RelPath;

/// The action words of ASC MHL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealAction {
    /// First record of the file in this history.
    Original,
    /// Re-computed, equal to what the history holds.
    Verified,
    /// Re-computed, different; the digests are the new, wrong ones.
    Failed,
}

/// One line of a manifest. Its fields are private: only a read that this module did makes one, so a manifest cannot
/// claim what was not read.
#[derive(Clone, Debug)]
pub struct SealEntry {
    relpath: RelPath,
    size_bytes: u64,
    mtime_ns: i64,
    digests: Vec<Digest>,
    action: SealAction,
    hashed_at: jiff::Timestamp,
}

impl SealEntry {
    pub fn relpath(&self) -> &RelPath {
        &self.relpath
    }

    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub fn mtime_ns(&self) -> i64 {
        self.mtime_ns
    }

    /// The manifest's formats, in schema order.
    pub fn digests(&self) -> &[Digest] {
        &self.digests
    }

    pub fn action(&self) -> SealAction {
        self.action
    }

    pub fn hashed_at(&self) -> jiff::Timestamp {
        self.hashed_at
    }

    /// For the tests of rooms that take entries.
    #[cfg(test)]
    pub(crate) fn for_test(
        relpath: &str,
        size_bytes: u64,
        mtime_ns: i64,
        digests: Vec<Digest>,
        action: SealAction,
        hashed_at: jiff::Timestamp,
    ) -> Self {
        SealEntry { relpath: RelPath::new(relpath).unwrap(), size_bytes, mtime_ns, digests, action, hashed_at }
    }
}
