//! What was repaired, in the shape of cli.md.

use crate::finding::{Finding, FindingKind};
use crate::patrol::{Absent, Sealed};
use crate::relpath::RelPath;
use serde::Serialize;

/// The object of `repair`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RepairReport {
    pub repaired: Vec<Repaired>,
    /// Damaged still; the note says why.
    pub unrepairable: Vec<Finding>,
    /// With `--dry-run`: what would be written, and from where.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub planned: Vec<Planned>,
    /// Generations that were written, one a copy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sealed: Vec<Sealed>,
    /// Why none was, a sentence a copy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unsealed: Vec<String>,
    /// Copies on volumes that are not mounted: neither looked at nor read from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Absent>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// Root of the copy.
    pub copy: String,
    pub relpath: RelPath,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relpath_hex: Option<String>,
    /// Into the file or its successor; a clone's shared blocks are not written, a journal is not counted.
    pub bytes_written: u64,
    /// `file`, `manifest`, `chain` or `catalog row`.
    pub what: &'static str,
    /// Files that blocks were taken from.
    pub from: Vec<String>,
    /// Where the damaged original is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

impl Repaired {
    /// Nothing was written to the copy.
    pub(super) fn row(copy: &str, relpath: &RelPath) -> Self {
        Repaired {
            copy: copy.to_owned(),
            relpath: relpath.clone(),
            relpath_hex: relpath.hex_if_escaped(),
            bytes_written: 0,
            what: "catalog row",
            from: Vec::new(),
            kept: None,
        }
    }
}

/// One file of a dry run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Planned {
    pub copy: String,
    pub relpath: RelPath,
    pub what: &'static str,
    pub from: Vec<From>,
}

/// `[offset, length]` in bytes, from that file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct From {
    pub path: String,
    pub blocks: Vec<(u64, u64)>,
}

impl RepairReport {
    /// By cli.md: the first of 11, 12, 10 that applies to what is still damaged; 1 when a repair could not be sealed.
    pub fn exit_code(&self) -> u8 {
        let has = |kind| self.unrepairable.iter().any(|f| f.kind == kind);
        match () {
            () if has(FindingKind::Altered) || has(FindingKind::Unstable) => 11,
            () if has(FindingKind::Unreadable) => 12,
            () if has(FindingKind::Missing) => 10,
            () if !self.unsealed.is_empty() => 1,
            () => 0,
        }
    }

    /// One line for a terminal.
    pub fn line(&self) -> String {
        let bytes: u64 = self.repaired.iter().map(|r| r.bytes_written).sum();
        let mut text = match (self.repaired.len(), self.planned.len()) {
            (0, 0) if self.unrepairable.is_empty() => "nothing is damaged".to_owned(),
            (0, 0) => "nothing repaired".to_owned(),
            (0, n) => format!("{n} would be repaired; nothing was written"),
            (n, _) => format!("{n} repaired, {bytes} bytes written"),
        };
        match self.unrepairable.len() {
            0 => {}
            n => text.push_str(&format!(", {n} cannot be")),
        }
        text
    }
}
