//! What a history says, in one file that leaves it: packing lists (`flatten`) and legacy MHL; and a packing list read
//! back and compared with a folder.

use super::check::{TreeReport, Wanted, check, wants};
use super::history::{History, HistoryFault, Known, Record};
use super::ignore::Patterns;
use super::manifest::{self, Made};
use super::reading::{Ask, Got, Reading, read_all};
use super::records::{Fold, nfc_pairs};
use super::survey::{Survey, files_below, is_below, survey};
use super::v1::{self, Line};
use super::write::{FileRow, HashRow, Manifest, Row};
use super::{Creator, MhlError, Process};
use crate::disk::Root;
use crate::progress::Progress;
use crate::relpath::RelPath;
use crate::verify::SealAction;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A manifest that stands alone. What it is about the user has to say.
#[derive(Clone, Debug)]
pub struct Packing {
    pub made: Made,
    pub(crate) records: BTreeMap<RelPath, Record>,
    folders: BTreeSet<RelPath>,
    ignore: Patterns,
    pub notes: Vec<String>,
}

impl Packing {
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut manifest = manifest::read(bytes)?;
        let made = std::mem::take(&mut manifest.made);
        let ignore = Patterns::new(manifest.ignore.iter().map(String::as_str));
        let mut fold = Fold::default();
        fold.add(1, manifest);
        Ok(Packing { made, records: fold.records, folders: fold.folders, ignore, notes: fold.notes.0 })
    }

    pub fn files(&self) -> usize {
        self.records.len()
    }

    pub fn paths(&self) -> impl Iterator<Item = &RelPath> {
        self.records.keys().chain(&self.folders)
    }
}

/// Checks a folder against a packing list, its own histories left aside.
pub fn verify_packing(root: &Root, list: &Packing, reading: Reading<'_>, progress: &dyn Progress) -> TreeReport {
    let mut out = TreeReport { history: "ok", complete: true, notes: list.notes.clone(), ..TreeReport::default() };
    let walk = files_below(root, &list.ignore);
    for (path, why) in &walk.unreadable {
        out.faults.push(format!("cannot read \"{path}\": {why}"));
        out.unreadable.push(path.clone());
    }
    let there: BTreeSet<&RelPath> = walk.files.iter().collect();
    let judged = |p: &&RelPath| !list.ignore.ignores(p, false) && !is_below(p, &walk.unreadable);
    let gone: Vec<&RelPath> = list.records.keys().filter(|p| !there.contains(p)).filter(judged).collect();
    let pairs = nfc_pairs(gone.iter().copied(), there.iter().copied().filter(|p| !list.records.contains_key(p)));
    let specials: BTreeSet<&RelPath> = walk.specials.iter().collect();
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut known = BTreeSet::new();
    for (path, record) in &list.records {
        let found = there.get(path).copied().or(pairs.get(path).copied());
        match found {
            Some(found) if record.known.is_empty() => {
                out.notes.push(format!("\"{found}\": the list has no digest of it that counts"));
            }
            Some(found) => {
                known.insert(found);
                let size_bytes = record.size_bytes.unwrap_or(0);
                wanted.push(Wanted { path: found.clone(), wants: wants(record), size_bytes });
            }
            None if !judged(&path) => {}
            None if specials.contains(path) => out.altered.push(path.clone()),
            None => out.missing.push(path.clone()),
        }
    }
    out.new = walk.files.iter().filter(|p| !known.contains(p)).cloned().collect();
    let folders: BTreeSet<&RelPath> = walk.folders.iter().collect();
    let judged = |f: &&RelPath| !list.ignore.ignores(f, true) && !is_below(f, &walk.unreadable);
    let lost = list.folders.iter().filter(|f| !folders.contains(f)).filter(judged);
    out.missing_dirs = lost.cloned().collect();
    out.specials = walk.specials.clone();
    check(root, reading, wanted, &mut out, progress);
    out.sort();
    out
}

/// What was written, and what it could not say.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Listed {
    #[serde(skip)]
    pub bytes: Vec<u8>,
    pub files: usize,
    pub notes: Vec<String>,
    /// Files that had to be read for a digest the list can hold, and were not what the history says.
    pub altered: Vec<RelPath>,
    pub missing: Vec<RelPath>,
    pub unreadable: Vec<RelPath>,
}

impl Listed {
    pub fn exit_code(&self) -> u8 {
        match () {
            () if !self.altered.is_empty() => 11,
            () if !self.unreadable.is_empty() => 12,
            () if !self.missing.is_empty() => 10,
            () => 0,
        }
    }
}

/// All files that the histories in the tree list, under their latest names, those of ignored files left out.
fn records(tree: &Survey) -> BTreeMap<RelPath, Record> {
    let mut out = BTreeMap::new();
    for level in &tree.levels {
        let history = level.history.iter().flat_map(|h| &h.records);
        let kept = history.filter(|(path, r)| !r.known.is_empty() && !level.patterns.ignores(path, false));
        out.extend(kept.map(|(path, record)| {
            let previous = record.previous.as_ref().map(|p| level.base.join_rel(p));
            (level.base.join_rel(path), Record { previous, ..record.clone() })
        }));
    }
    out
}

fn sound(root: &Root) -> Result<Option<Survey>, MhlError> {
    let mut tree = survey(root, &[], false);
    match std::mem::take(&mut tree.faults).into_iter().next() {
        Some(fault) => Err(fault.into()),
        None => Ok(tree.levels.first().is_some_and(|l| l.history.is_some()).then_some(tree)),
    }
}

/// The packing list of a folder; `None` when it has no history.
pub fn flatten(root: &Root, creator: &Creator, started_at: Timestamp) -> Result<Option<Listed>, MhlError> {
    let Some(tree) = sound(root)? else { return Ok(None) };
    let records = records(&tree);
    let rows = records.iter().filter_map(|(path, record)| {
        let hashes = record.formats().into_iter().filter_map(|f| record.known.iter().find(|k| k.digest.format == f));
        let mut hashes: Vec<HashRow<'_>> = hashes
            .map(|k| HashRow {
                digest: &k.digest,
                action: k.action.unwrap_or(SealAction::Original),
                at: k.at,
                exact: true,
            })
            .collect();
        hashes.sort_by_key(|h| h.digest.format);
        Some(Row::File(FileRow {
            path: path.as_portable()?,
            size_bytes: record.size_bytes,
            mtime_ns: record.modified.map(Timestamp::as_nanosecond),
            hashes,
            previous: record.previous.as_ref().and_then(|p| p.as_portable()).map(str::to_owned),
        }))
    });
    let rows: Vec<Row<'_>> = rows.collect();
    let none = Patterns::new([]);
    let ignore = tree.levels.first().map_or(&none, |l| &l.patterns);
    let files = rows.len();
    let manifest = Manifest {
        creator,
        comment: creator.comment.clone(),
        started_at,
        process: Process::Flatten,
        root: Vec::new(),
        ignore: ignore.lines(),
        rows,
        references: Vec::new(),
    };
    Ok(Some(Listed { bytes: manifest.render(), files, notes: tree.notes(), ..Listed::default() }))
}

/// What a legacy list can hold of a record.
fn holds(record: &Record) -> Option<&Known> {
    v1::FORMATS.into_iter().find_map(|f| record.known.iter().find(|k| k.digest.format == f))
}

/// A legacy list of what the histories record, or of `list`; paths get `prefix`. Where a file has no digest that such a
/// list can hold, and where there is no history at all, the file is read.
pub fn export_v1(
    root: &Root,
    list: Option<&Packing>,
    prefix: &RelPath,
    creator: &Creator,
    started_at: Timestamp,
    reading: Reading<'_>,
    progress: &dyn Progress,
) -> Result<Option<Listed>, MhlError> {
    let mut out = Listed::default();
    let records = match list {
        Some(list) => list.records.clone(),
        None => match sound(root)? {
            Some(tree) => records(&tree),
            // Nothing is known yet: what lies there is taken as it is.
            None => {
                let walk = files_below(root, &Patterns::new([]));
                out.unreadable = walk.unreadable.into_iter().map(|(p, _)| p).collect();
                out.notes.push("there is no history: the files were read and taken as they are".into());
                let files = walk.files.into_iter().filter(|p| p.extension() != "mhl");
                files.map(|p| (p, Record::default())).collect()
            }
        },
    };
    let ask = |(path, record): (&RelPath, &Record)| Ask {
        path: path.clone(),
        formats: record.formats().into_iter().chain([v1::FORMATS[0]]).collect(),
        size_bytes: record.size_bytes.unwrap_or(0),
    };
    let asked: Vec<Ask> = records.iter().filter(|(_, r)| holds(r).is_none()).map(ask).collect();
    let mut read = BTreeMap::new();
    let mut stopped = false;
    read_all(root, reading, &asked, progress, |i, got| {
        let path = &asked[i].path;
        match got {
            Got::Stopped => stopped = true,
            Got::Missing => out.missing.push(path.clone()),
            Got::Changing | Got::Unreadable(_) => out.unreadable.push(path.clone()),
            Got::Taken(taken) => match wants(&records[path]).iter().any(|w| w.fault(&taken).is_some()) {
                true => out.altered.push(path.clone()),
                false => _ = read.insert(path.clone(), taken),
            },
        }
    });
    if stopped {
        return Ok(None);
    }
    let mut lines = Vec::new();
    for (path, record) in &records {
        let Some(text) = prefix.join_rel(path).as_portable().map(str::to_owned) else {
            out.notes.push(format!("\"{path}\" is left out: its name cannot be written"));
            continue;
        };
        if text.trim() != text {
            out.notes.push(format!("\"{path}\": blanks at the ends of a name are read in different ways"));
        }
        let stat = || root.stat(path).ok().flatten();
        let at_ns = |ns: i64| Timestamp::from_nanosecond(ns.into()).ok();
        let taken = read.get(path);
        let known = holds(record);
        let digest = known.map(|k| &k.digest).or(taken.and_then(|t| t.get(v1::FORMATS[0])));
        let size = record.size_bytes.or(taken.map(|t| t.stat().size_bytes)).or_else(|| stat().map(|s| s.size_bytes));
        let (Some(digest), Some(size_bytes)) = (digest, size) else {
            if known.is_some() {
                out.missing.push(path.clone());
            }
            continue;
        };
        let modified = record.modified.or_else(|| at_ns(stat()?.mtime_ns)).unwrap_or(started_at);
        let at = known.and_then(|k| k.at).unwrap_or(started_at);
        lines.push(Line { path: text, size_bytes, modified, digest: digest.clone(), at });
    }
    out.files = lines.len();
    out.bytes = v1::render(creator, started_at, &lines);
    [&mut out.altered, &mut out.missing, &mut out.unreadable].into_iter().for_each(|l| l.sort());
    Ok(Some(out))
}

/// Reads a history for people; a fault of it is part of the answer.
pub(super) fn parts(tree: &Survey) -> Vec<(&RelPath, &History)> {
    tree.levels.iter().filter_map(|l| Some((&l.base, l.history.as_ref()?))).collect()
}

pub(super) fn fault_texts(faults: &[HistoryFault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}
