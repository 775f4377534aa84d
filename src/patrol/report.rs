//! What a check found, in the shape of cli.md.

use crate::finding::{Finding, FindingKind};
use crate::patrol::PatrolError;
use crate::patrol::seal::Sealed;
use crate::relpath::RelPath;
use jiff::Timestamp;
use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};

/// The object of `verify` and `patrol`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CheckReport {
    /// Copies of card files that were checked; manifests are checked and not counted.
    pub files: u64,
    /// Of those files, as they should be.
    pub bytes: u64,
    pub good: u64,
    pub findings: Vec<Finding>,
    /// Copies on volumes that are not mounted.
    pub absent: Vec<Absent>,
    /// All that was asked for, or due, was checked.
    pub complete: bool,
    /// Of all copies that count, after this check; `None` when nothing is proven, or the catalog knows nothing of it.
    pub oldest_proof: Option<Timestamp>,
    /// Copies are older than `[patrol] every` allows, and that is judged.
    pub coverage_lost: bool,
    /// Of those files: not the card's bytes, and just as a person accepted them.
    #[serde(skip_serializing_if = "is_zero")]
    pub accepted: u64,
    /// Copies that nobody ever proved, and that are not there, or have nothing to be compared with: an offload is missing,
    /// not a file.
    pub never_proven: u64,
    /// Generations that were written, one a copy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sealed: Vec<Sealed>,
    /// Why none was, a sentence a copy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unsealed: Vec<String>,
    /// A person named what to check, and waits for an answer.
    #[serde(skip)]
    pub by_name: bool,
    /// Another patrol of this catalog is at work: nothing was done.
    pub already_running: bool,
    /// From the beginning of the check to its end.
    pub seconds: f64,
    /// Of the whole run, waiting for the catalog. The lanes read on meanwhile.
    pub catalog_seconds: f64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Absent {
    /// Its label, else what else names it.
    pub volume: String,
    /// Where it was mounted last.
    pub last_mount: String,
    pub files: u64,
    /// The oldest proof among them: so long the volume was not proven as a whole.
    pub last_proof: Option<Timestamp>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl CheckReport {
    /// By cli.md: the first of 11, 12, 10, 20 that applies. Extra files alone are no error, nor is a volume that is not
    /// mounted; but when a person named copies and not one could be read, that is no good news: 1.
    pub fn exit_code(&self) -> u8 {
        let has = |kind| self.findings.iter().any(|f| f.kind == kind);
        match () {
            () if has(FindingKind::Altered) || has(FindingKind::Unstable) => 11,
            () if has(FindingKind::Unreadable) => 12,
            () if has(FindingKind::Missing) => 10,
            () if self.coverage_lost => 20,
            () if !self.unsealed.is_empty() => 1,
            () if self.by_name && self.files == 0 && !self.absent.is_empty() => 1,
            () => 0,
        }
    }

    /// The worst first; devices are read side by side, and the order must not depend on which was faster.
    pub(super) fn sort(&mut self) {
        let rank = |kind| match kind {
            FindingKind::Altered => 0,
            FindingKind::Unstable => 1,
            FindingKind::Unreadable => 2,
            FindingKind::Missing => 3,
            FindingKind::Extra => 4,
        };
        self.findings.sort_by(|a, b| (rank(a.kind), &a.copy, &a.relpath).cmp(&(rank(b.kind), &b.copy, &b.relpath)));
    }

    /// Findings that are damage.
    pub fn damage(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| f.kind != FindingKind::Extra)
    }

    /// One line for a terminal and for `[notify]`.
    pub fn line(&self) -> String {
        if self.already_running {
            return "another patrol of this catalog is at work; nothing was done".into();
        }
        let copies = |n: u64| if n == 1 { "1 copy".into() } else { format!("{n} copies") };
        let mut text = format!("{} checked, {} good", copies(self.files), self.good);
        for kind in FindingKind::ALL {
            match self.findings.iter().filter(|f| f.kind == kind).count() {
                0 => {}
                n => text.push_str(&format!(", {n} {}", kind.name())),
            }
        }
        if self.accepted > 0 {
            text.push_str(&format!(", {} changed on purpose", self.accepted));
        }
        if let Some(first) = self.damage().next() {
            text.push_str(&format!("; first \"{}\" in {}", first.relpath, first.copy));
        }
        if !self.absent.is_empty() {
            let names: Vec<&str> = self.absent.iter().map(|a| a.volume.as_str()).collect();
            let files = self.absent.iter().map(|a| a.files).sum();
            text.push_str(&format!("; {} on volumes that are not mounted: {}", copies(files), names.join(", ")));
        }
        if self.never_proven > 0 {
            text.push_str(&format!(
                "; {} were never proven: offload that card, or register that folder, again",
                copies(self.never_proven)
            ));
        }
        if self.coverage_lost {
            text.push_str("; some copies were not proven for longer than [patrol] every allows");
        } else if !self.complete && self.absent.is_empty() {
            text.push_str("; not all was checked");
        }
        text
    }
}

/// Only JSON so far; said before the work, not after it.
pub(super) fn check_name(path: &Path) -> Result<(), PatrolError> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("json") => Ok(()),
        _ => Err(PatrolError::ReportName(path.to_path_buf())),
    }
}

pub(super) fn write(report: &CheckReport, path: &Path) -> Result<(), PatrolError> {
    use crate::disk::Root;
    use crate::disk::write::{Replace, write_whole};
    use std::os::unix::ffi::OsStrExt;
    let failed = |source| PatrolError::Report { path: path.to_path_buf(), source };
    let mut text = serde_json::to_vec_pretty(report).map_err(|e| failed(io::Error::other(e)))?;
    text.push(b'\n');
    let path: PathBuf = std::path::absolute(path).map_err(failed)?;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    };
    let name = RelPath::new(name.as_bytes()).map_err(|e| failed(io::Error::other(e)))?;
    let root = Root::open(folder).map_err(failed)?;
    write_whole(&root, &name, &text, Replace::Ours).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(kinds: &[FindingKind]) -> CheckReport {
        let one = |kind: &FindingKind| {
            Finding::new(*kind, Path::new("/mnt/a/A001"), &RelPath::new("CLIPS/x.mov").unwrap(), "")
        };
        CheckReport { findings: kinds.iter().map(one).collect(), ..CheckReport::default() }
    }

    #[test]
    fn the_exit_code_is_the_first_that_applies() {
        use FindingKind::*;
        for (kinds, code) in [
            (&[][..], 0),
            (&[Extra], 0),
            (&[Missing, Extra], 10),
            (&[Missing, Unreadable], 12),
            (&[Missing, Unreadable, Altered], 11),
        ] {
            assert_eq!(found(kinds).exit_code(), code, "{kinds:?}");
            let lost = CheckReport { coverage_lost: true, ..found(kinds) };
            assert_eq!(lost.exit_code(), if code == 0 { 20 } else { code });
        }
    }

    #[test]
    fn a_report_is_written_whole_over_the_last_one_and_other_kinds_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.json");
        for n in [3, 4] {
            let report = CheckReport { files: n, ..found(&[FindingKind::Missing]) };
            write(&report, &path).unwrap();
            let read: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            assert_eq!((&read["files"], &read["findings"][0]["kind"]), (&n.into(), &"missing".into()));
            assert_eq!(read["oldest_proof"], serde_json::Value::Null);
        }
        assert!(check_name(&path).is_ok());
        for bad in ["r.html", "r", ".json"] {
            assert!(matches!(check_name(Path::new(bad)), Err(PatrolError::ReportName(_))), "{bad}");
        }
    }

    #[test]
    fn the_line_names_what_is_wrong_and_where() {
        let mut report = found(&[FindingKind::Altered, FindingKind::Extra]);
        (report.files, report.good, report.complete) = (2, 1, true);
        assert_eq!(report.line(), "2 copies checked, 1 good, 1 altered, 1 extra; first \"CLIPS/x.mov\" in /mnt/a/A001");
    }
}
