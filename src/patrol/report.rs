//! What a check found, in the shape of cli.md.

use crate::catalog::VolumeRow;
use crate::finding::{Finding, FindingKind};
use crate::patrol::seal::Sealed;
use crate::patrol::{Coverage, PatrolError};
use crate::relpath::RelPath;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;
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
    /// Of a patrol: how soon every copy is proven again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
    /// Whether the promises of `[patrol]` are judged, or only told.
    #[serde(skip)]
    pub judged: bool,
    /// Of a patrol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
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
    /// Why the report that was asked for is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unwritten: Option<String>,
    /// Why somebody may not have heard of it, a sentence each.
    #[serde(skip)]
    pub untold: Vec<String>,
    /// A person named what to check, and waits for an answer.
    #[serde(skip)]
    pub by_name: bool,
    /// Another patrol of this catalog is at work: nothing was done.
    pub already_running: bool,
    /// From the beginning of the check to its end.
    pub seconds: f64,
    /// Of the whole run, waiting for the catalog: its opening, and what the thread that drives the lanes reads in it.
    pub catalog_seconds: f64,
    /// Beside that, on the lane that writes results down.
    pub recording_seconds: f64,
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
    /// It was not seen for longer than `[patrol] absent_after` allows. Then all copies on it are counted here.
    pub overdue: bool,
}

impl Absent {
    pub(super) fn of(volume: &VolumeRow) -> Self {
        let last_mount = volume.last_mount.display().to_string();
        let label = volume.label.clone().filter(|l| !l.is_empty());
        let volume = label.unwrap_or_else(|| last_mount.clone());
        Absent { volume, last_mount, files: 0, last_proof: None, overdue: false }
    }

    /// `not proven since 2026-05-01: volume SHUTTLE (last at /mnt/x), 120 copies`
    fn overdue_line(&self) -> String {
        let since = self.last_proof.map_or("ever".into(), |at| at.strftime("since %Y-%m-%d").to_string());
        let copies = copies(self.files);
        format!("not proven {since}: volume {} (last at {}), {copies}", self.volume, self.last_mount)
    }
}

fn copies(n: u64) -> String {
    if n == 1 { "1 copy".into() } else { format!("{n} copies") }
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
            () if self.is_overdue() => 20,
            () if !self.unsealed.is_empty() || self.unwritten.is_some() => 1,
            () if self.by_name && self.files == 0 && !self.absent.is_empty() => 1,
            () => 0,
        }
    }

    /// What `[patrol]` promises was not held, or cannot be, and that is judged.
    pub fn is_overdue(&self) -> bool {
        let not_held = self.coverage.as_ref().is_some_and(|c| c.held == Some(false));
        let overdue = self.absent.iter().any(|a| a.overdue);
        self.coverage_lost || (self.judged && (not_held || overdue))
    }

    /// Nothing that a person must hear of.
    pub fn is_quiet(&self) -> bool {
        self.exit_code() == 0 && self.never_proven == 0 && self.untold.is_empty()
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
        for absent in self.absent.iter().filter(|a| a.overdue) {
            text.push_str(&format!("; {}", absent.overdue_line()));
        }
        let absent = || self.absent.iter().filter(|a| !a.overdue);
        if absent().next().is_some() {
            let names: Vec<&str> = absent().map(|a| a.volume.as_str()).collect();
            let files = absent().map(|a| a.files).sum();
            text.push_str(&format!("; {} on volumes that are not mounted: {}", copies(files), names.join(", ")));
        }
        if self.never_proven > 0 {
            text.push_str(&format!(
                "; {} {} never proven: offload that card, or register that folder, again",
                copies(self.never_proven),
                if self.never_proven == 1 { "was" } else { "were" }
            ));
        }
        if self.coverage_lost {
            text.push_str("; some copies were not proven for longer than [patrol] every allows");
        } else if !self.complete && self.absent.is_empty() {
            text.push_str("; not all was checked");
        }
        if let Some(coverage) = &self.coverage {
            text.push_str(&format!("; {}", coverage.text));
        }
        text
    }

    /// What a person does now about the damage.
    pub fn next_step(&self) -> Option<String> {
        let copies: BTreeSet<&str> = self.damage().map(|f| f.copy.as_str()).collect();
        let first = copies.first()?;
        let others = match copies.len() - 1 {
            0 => String::new(),
            more => format!("; the same for {more} more with damage"),
        };
        Some(format!("goodgate repair \"{first}\" --dry-run says what can be healed, and from where{others}"))
    }
}

/// How a report is written; said before the work, not after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Html,
}

pub(super) fn form(path: &Path) -> Result<Form, PatrolError> {
    match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
        Some("json") => Ok(Form::Json),
        Some("html" | "htm") => Ok(Form::Html),
        _ => Err(PatrolError::ReportName(path.to_path_buf())),
    }
}

pub(super) fn json(report: &CheckReport) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(report).map_err(io::Error::other)?;
    text.push(b'\n');
    Ok(text)
}

/// Whole, over the last one.
pub(super) fn write(bytes: &[u8], path: &Path) -> io::Result<()> {
    use crate::disk::Root;
    use crate::disk::write::{Replace, write_whole};
    use std::os::unix::ffi::OsStrExt;
    let path: PathBuf = std::path::absolute(path)?;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let name = RelPath::new(name.as_bytes()).map_err(io::Error::other)?;
    write_whole(&Root::open(folder)?, &name, bytes, Replace::Ours)
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
            write(&json(&report).unwrap(), &path).unwrap();
            let read: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            assert_eq!((&read["files"], &read["findings"][0]["kind"]), (&n.into(), &"missing".into()));
            assert_eq!(read["oldest_proof"], serde_json::Value::Null);
        }
        assert_eq!([form(&path).unwrap(), form(Path::new("/x/R.HTML")).unwrap()], [Form::Json, Form::Html]);
        for bad in ["r.txt", "r", ".json", "r.json.gz"] {
            assert!(matches!(form(Path::new(bad)), Err(PatrolError::ReportName(_))), "{bad}");
        }
    }

    #[test]
    fn an_overdue_volume_and_a_promise_that_cannot_be_held_count_only_where_they_are_judged() {
        let since = Some("2026-05-01T10:00:00Z".parse().unwrap());
        let (volume, last_mount) = ("SHUTTLE".to_owned(), "/mnt/x".to_owned());
        let overdue = Absent { volume, last_mount, files: 120, last_proof: since, overdue: true };
        let report = CheckReport { absent: vec![overdue.clone()], ..CheckReport::default() };
        let said = "0 copies checked, 0 good; not proven since 2026-05-01: volume SHUTTLE (last at /mnt/x), 120 copies";
        assert_eq!((report.line().as_str(), report.exit_code()), (said, 0));
        assert_eq!(CheckReport { judged: true, ..report }.exit_code(), 20);
        let coverage = Some(Coverage { held: Some(false), text: "too slow".into(), ..Coverage::default() });
        let slow = CheckReport { coverage, complete: true, ..CheckReport::default() };
        assert_eq!((slow.line().as_str(), slow.exit_code()), ("0 copies checked, 0 good; too slow", 0));
        assert!(slow.is_quiet());
        let slow = CheckReport { judged: true, ..slow };
        assert!(slow.exit_code() == 20 && !slow.is_quiet());
        let here =
            CheckReport { absent: vec![Absent { overdue: false, ..overdue }], judged: true, ..Default::default() };
        assert_eq!(here.exit_code(), 0);
    }

    #[test]
    fn the_line_names_what_is_wrong_and_where() {
        let mut report = found(&[FindingKind::Altered, FindingKind::Extra]);
        (report.files, report.good, report.complete) = (2, 1, true);
        assert_eq!(report.line(), "2 copies checked, 1 good, 1 altered, 1 extra; first \"CLIPS/x.mov\" in /mnt/a/A001");
    }
}
