//! Does a tree still hold what its histories, a packing list or a legacy MHL say of it?

use super::history::{HistoryFault, Record};
use super::reading::{Ask, Got, Reading, read_all};
use super::records::nfc_pairs;
use super::survey::{Level, Survey, is_below, survey};
use crate::digest::{Digest, HashFormat};
use crate::disk::Root;
use crate::progress::Progress;
use crate::relpath::RelPath;
use crate::verify::Taken;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The object of `mhl verify`. All paths are relative to the folder that was checked.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TreeReport {
    /// The word of cli.md for the history as a whole, the outermost fault first.
    pub history: &'static str,
    pub altered: Vec<RelPath>,
    pub missing: Vec<RelPath>,
    pub missing_dirs: Vec<RelPath>,
    pub new: Vec<RelPath>,
    pub unreadable: Vec<RelPath>,
    /// Missing files whose bytes lie under a new name; both names are in the lists above.
    pub renamed: Vec<Renamed>,
    /// Links and devices: never followed, never judged.
    pub specials: Vec<RelPath>,
    /// Files below a history that cannot be believed.
    pub unjudged: u64,
    /// Files that were read and compared.
    pub files: u64,
    pub bytes: u64,
    pub good: u64,
    /// What is wrong with histories, one sentence each.
    pub faults: Vec<String>,
    /// What is odd and harms nothing.
    pub notes: Vec<String>,
    /// Compared with a legacy MHL, which does not claim to list all: new files are told and are no fault.
    pub legacy: bool,
    /// Not stopped before the end.
    pub complete: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Renamed {
    pub from: RelPath,
    pub to: RelPath,
}

impl TreeReport {
    /// By cli.md: the first of 11, 12, 10, 30, 21, 1.
    pub fn exit_code(&self) -> u8 {
        match () {
            () if !self.altered.is_empty() => 11,
            () if !self.unreadable.is_empty() => 12,
            () if !self.missing.is_empty() || !self.missing_dirs.is_empty() => 10,
            () if self.history != "ok" => 30,
            () if !self.new.is_empty() && !self.legacy => 21,
            () if !self.complete => 1,
            () => 0,
        }
    }

    pub(super) fn of_faults(&mut self, survey: &Survey) {
        self.history = survey.word();
        for fault in &survey.faults {
            if let HistoryFault::Io { path, .. } = fault {
                self.unreadable.push(path.clone());
            }
            self.faults.push(fault.to_string());
        }
        for (path, why) in &survey.unreadable {
            self.unreadable.push(path.clone());
            self.faults.push(format!("cannot read \"{path}\": {why}"));
        }
        let unlisted = survey.unlisted();
        self.faults.extend(unlisted.iter().map(|p| format!("\"{p}\" is a manifest that no chain lists")));
        self.notes.extend(survey.notes());
    }

    pub(super) fn sort(&mut self) {
        let lists = [
            &mut self.altered,
            &mut self.missing,
            &mut self.missing_dirs,
            &mut self.new,
            &mut self.unreadable,
            &mut self.specials,
        ];
        for list in lists {
            list.sort();
            list.dedup();
        }
        self.renamed.sort_by(|a, b| a.to.cmp(&b.to));
    }
}

/// A file with what it should be.
pub(crate) struct Wanted {
    pub path: RelPath,
    pub wants: Vec<Want>,
    /// As recorded; the file itself decides.
    pub size_bytes: u64,
}

/// One thing that a file should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Is(Digest),
    /// Legacy `xxhash64` is written in either byte order.
    EitherOrder(Digest),
    /// A size and nothing else.
    Size(u64),
}

impl Want {
    pub fn format(&self) -> Option<HashFormat> {
        match self {
            Want::Is(digest) | Want::EitherOrder(digest) => Some(digest.format),
            Want::Size(_) => None,
        }
    }

    /// What does not fit, in words. A format that was not computed says nothing.
    pub fn fault(&self, taken: &Taken) -> Option<String> {
        self.fault_of(|f| taken.get(f).cloned(), taken.stat().size_bytes)
    }

    pub fn fault_of(&self, found: impl Fn(HashFormat) -> Option<Digest>, size_bytes: u64) -> Option<String> {
        match self {
            Want::Size(size) => (size_bytes != *size).then(|| format!("{size_bytes} bytes instead of {size}")),
            Want::Is(digest) => {
                let found = found(digest.format)?;
                (found != *digest).then(|| said(digest, &found))
            }
            Want::EitherOrder(digest) => {
                let found = found(digest.format)?;
                let turned: Vec<u8> = found.as_bytes().iter().rev().copied().collect();
                (found != *digest && turned != digest.as_bytes()).then(|| said(digest, &found))
            }
        }
    }
}

fn said(wanted: &Digest, found: &Digest) -> String {
    format!("{} {} instead of {}", wanted.format, found.text(), wanted.text())
}

pub(crate) fn wants(record: &Record) -> Vec<Want> {
    record.formats().into_iter().filter_map(|f| record.get(f)).cloned().map(Want::Is).collect()
}

/// Reads what the histories in the tree list, and compares.
pub fn verify(root: &Root, reading: Reading<'_>, progress: &dyn Progress) -> TreeReport {
    let mut survey = survey(root, &[], false);
    let mut out = TreeReport { complete: true, ..TreeReport::default() };
    out.of_faults(&survey);
    let mut wanted = Vec::new();
    let mut lost: BTreeMap<RelPath, Record> = BTreeMap::new();
    for level in &mut survey.levels {
        compare(level, &survey.unreadable, &mut out, &mut wanted, &mut lost);
    }
    check(root, reading, wanted, &mut out, progress);
    let new = std::mem::take(&mut out.new);
    find_renamed(root, reading, &lost, &new, &mut out, progress);
    out.new = new;
    out.sort();
    out
}

/// Names alone: what is there, what is not, and what is to be read.
fn compare(
    level: &mut Level,
    unreadable: &[(RelPath, String)],
    out: &mut TreeReport,
    wanted: &mut Vec<Wanted>,
    lost: &mut BTreeMap<RelPath, Record>,
) {
    let full = |path: &RelPath| level.base.join_rel(path);
    let Some(history) = &level.history else {
        out.unjudged += level.files.len() as u64;
        return;
    };
    // Both are in byte order.
    let (mut there, mut gone, mut strangers) = (Vec::new(), Vec::new(), Vec::new());
    let mut on_disk = level.files.iter().peekable();
    for (path, record) in &history.records {
        while let Some(found) = on_disk.next_if(|f| f.path < *path) {
            strangers.push(found);
        }
        match on_disk.next_if(|f| f.path == *path) {
            Some(found) => there.push((&found.path, record)),
            None if level.patterns.ignores(path, false) || is_below(&full(path), unreadable) => {}
            None => gone.push((path, record)),
        }
    }
    strangers.extend(on_disk);
    let pairs = nfc_pairs(gone.iter().map(|g| g.0), strangers.iter().map(|f| &f.path));
    gone.retain(|(path, record)| match pairs.get(path) {
        Some(found) => {
            out.notes.push(format!("\"{}\" is recorded in another Unicode form of its name", full(found)));
            there.push((found, record));
            false
        }
        None => true,
    });
    for (found, record) in there {
        let wants = wants(record);
        if wants.is_empty() {
            // Nothing but failed checks is known of it: to any reader it is a file without a record.
            out.new.push(full(found));
            continue;
        }
        wanted.push(Wanted { path: full(found), wants, size_bytes: record.size_bytes.unwrap_or(0) });
    }
    let specials: BTreeSet<&RelPath> = level.specials.iter().map(|s| &s.path).collect();
    let may_be_renamed = strangers.iter().any(|f| !f.hidden);
    for (path, record) in gone {
        if specials.contains(path) {
            out.altered.push(full(path));
            out.notes.push(format!("\"{}\" is no longer a regular file", full(path)));
        } else {
            out.missing.push(full(path));
            // Only beside a new file can it be told that one is the other.
            if may_be_renamed {
                lost.insert(full(path), record.clone());
            }
        }
    }
    let renamed: BTreeSet<&RelPath> = pairs.values().copied().collect();
    let is_new = strangers.iter().filter(|f| !f.hidden && !renamed.contains(&f.path));
    out.new.extend(is_new.map(|f| full(&f.path)));
    let folders: BTreeSet<&RelPath> = level.folders.iter().map(|f| &f.path).collect();
    let gone: Vec<&RelPath> =
        history.folders.iter().filter(|f| !folders.contains(f) && !level.patterns.ignores(f, true)).collect();
    let gone: Vec<&RelPath> = gone.into_iter().filter(|f| !is_below(&full(f), unreadable)).collect();
    let pairs = nfc_pairs(gone.iter().copied(), folders.iter().copied().filter(|f| !history.folders.contains(f)));
    out.missing_dirs.extend(gone.into_iter().filter(|f| !pairs.contains_key(f)).map(full));
    out.specials.extend(level.specials.iter().map(|s| full(&s.path)));
}

/// Reads the files and lists what does not fit.
pub(crate) fn check(
    root: &Root,
    reading: Reading<'_>,
    wanted: Vec<Wanted>,
    out: &mut TreeReport,
    progress: &dyn Progress,
) {
    let ask = |w: &Wanted| Ask {
        path: w.path.clone(),
        formats: w.wants.iter().filter_map(Want::format).collect(),
        size_bytes: w.size_bytes,
    };
    let asked: Vec<Ask> = wanted.iter().map(ask).collect();
    read_all(root, reading, &asked, progress, |i, got| {
        let path = || wanted[i].path.clone();
        match got {
            Got::Stopped => out.complete = false,
            Got::Missing => out.missing.push(path()),
            Got::Changing => {
                out.altered.push(path());
                out.notes.push(format!("\"{}\" changes while it is read", path()));
            }
            Got::Unreadable(why) => {
                out.unreadable.push(path());
                out.faults.push(format!("\"{}\": {why}", path()));
            }
            Got::Taken(taken) => {
                out.files += 1;
                out.bytes += taken.stat().size_bytes;
                match wanted[i].wants.iter().find_map(|want| want.fault(&taken)) {
                    None => out.good += 1,
                    Some(what) => {
                        out.altered.push(path());
                        out.faults.push(format!("\"{}\": {what}", path()));
                    }
                }
            }
        }
    });
}

/// New files with the bytes of a missing one. Only files of a size that is missing are read.
fn find_renamed(
    root: &Root,
    reading: Reading<'_>,
    lost: &BTreeMap<RelPath, Record>,
    new: &[RelPath],
    out: &mut TreeReport,
    progress: &dyn Progress,
) {
    let sizes: BTreeSet<u64> = lost.values().filter_map(|r| r.size_bytes).filter(|s| *s > 0).collect();
    let fits = |p: &&RelPath| root.stat(p).ok().flatten().is_some_and(|s| s.is_file && sizes.contains(&s.size_bytes));
    if sizes.is_empty() {
        return;
    }
    let formats: BTreeSet<HashFormat> = lost.values().flat_map(Record::formats).collect();
    let formats: Vec<HashFormat> = formats.into_iter().collect();
    let ask = |p: &RelPath| Ask { path: p.clone(), formats: formats.clone(), size_bytes: 0 };
    let asked: Vec<Ask> = new.iter().filter(fits).map(ask).collect();
    if asked.is_empty() {
        return;
    }
    let mut found = Vec::new();
    read_all(root, reading, &asked, progress, |_, got| {
        if let Got::Taken(taken) = got {
            found.push(taken);
        }
    });
    let missing: Vec<(&RelPath, &Record)> = lost.iter().collect();
    for (from, to) in super::rename::pairs(&missing, &found.iter().collect::<Vec<_>>()) {
        out.renamed.push(Renamed { from, to });
    }
}
