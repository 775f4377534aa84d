//! What the generations of one history say together, file by file, under the latest names.

use super::manifest::{FileEntry, Manifest};
use crate::digest::{Digest, HashFormat};
use crate::relpath::RelPath;
use crate::verify::SealAction;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// More notes than this are counted: a hostile manifest must not fill the memory with them.
const MOST_NOTES: usize = 100;

/// One digest that the history vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub digest: Digest,
    /// The generation that said it first.
    pub generation: u32,
    /// As it was recorded; `None` where a foreign tool left it out.
    pub action: Option<SealAction>,
    /// When it was computed.
    pub at: Option<Timestamp>,
}

/// What the history expects at one path. Failed hashes are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub size_bytes: Option<u64>,
    /// Of the latest good record; never a reason to call a file altered.
    pub modified: Option<Timestamp>,
    /// In the order of the generations; two of one format are a contradiction, and the first is the reference.
    pub known: Vec<Known>,
    /// The name that it had before the latest rename.
    pub previous: Option<RelPath>,
}

impl Record {
    pub fn get(&self, format: HashFormat) -> Option<&Digest> {
        self.known.iter().map(|k| &k.digest).find(|d| d.format == format)
    }

    /// Each format once, that first recorded first.
    pub fn formats(&self) -> Vec<HashFormat> {
        let mut out = Vec::with_capacity(self.known.len());
        for format in self.known.iter().map(|k| k.digest.format) {
            if !out.contains(&format) {
                out.push(format);
            }
        }
        out
    }
}

/// Sentences for people, and no more of them than a person reads.
#[derive(Default)]
pub(crate) struct Notes(pub Vec<String>);

impl Notes {
    pub fn add(&mut self, text: String) {
        if self.0.len() < MOST_NOTES {
            self.0.push(text);
        } else if self.0.len() == MOST_NOTES {
            self.0.push("and more of the kind".into());
        }
    }
}

#[derive(Default)]
pub(crate) struct Fold {
    pub records: BTreeMap<RelPath, Record>,
    pub folders: BTreeSet<RelPath>,
    pub notes: Notes,
}

impl Fold {
    pub fn note(&mut self, text: String) {
        self.notes.add(text);
    }

    /// The next generation, its number ascending.
    pub fn add(&mut self, number: u32, manifest: Manifest) {
        let said = [
            (manifest.upper_case, "digests not in lower case"),
            (manifest.unclean, "paths with \"./\" or a slash at the end"),
        ];
        for (n, what) in said.into_iter().filter(|(n, _)| *n > 0) {
            self.note(format!("generation {number}: {n} {what}"));
        }
        // All old names first: two files may have swapped theirs. A tool that repeats a rename renames nothing.
        let is_new = |e: &&FileEntry| self.records.get(&e.path).is_none_or(|r| r.previous != e.previous);
        let renamed: BTreeSet<RelPath> =
            manifest.files.iter().filter(is_new).filter_map(|f| f.previous.clone()).collect();
        let mut moved: BTreeMap<RelPath, Record> =
            renamed.into_iter().filter_map(|p| Some((p.clone(), self.records.remove(&p)?))).collect();
        for old in manifest.folders.iter().filter_map(|(_, old)| old.as_ref()) {
            self.folders.remove(old);
        }
        for entry in manifest.files {
            self.file(number, entry, &mut moved);
        }
        self.folders.extend(manifest.folders.into_iter().map(|(folder, _)| folder));
    }

    fn file(&mut self, number: u32, entry: FileEntry, moved: &mut BTreeMap<RelPath, Record>) {
        let mut told = None;
        let record = self.records.entry(entry.path.clone()).or_default();
        if let Some(old) = entry.previous.as_ref().and_then(|p| moved.get(p)) {
            *record = old.clone();
        }
        if entry.previous.is_some() {
            record.previous = entry.previous;
        }
        let failed = entry.hashes.iter().any(|h| h.action == Some(SealAction::Failed));
        if !failed {
            record.size_bytes = record.size_bytes.or(entry.size_bytes);
            record.modified = entry.modified.or(record.modified);
        }
        for hash in entry.hashes.into_iter().filter(|h| h.action != Some(SealAction::Failed)) {
            if record.known.iter().any(|k| k.digest == hash.digest) {
                continue;
            }
            if record.get(hash.digest.format).is_some() {
                told = Some(format!("\"{}\": two generations vouch for different digests", entry.path));
            }
            if record.known.is_empty() {
                record.known.reserve_exact(1);
            }
            record.known.push(Known { digest: hash.digest, generation: number, action: hash.action, at: hash.at });
        }
        told.into_iter().for_each(|text| self.note(text));
    }
}

/// The composed form of a name; `None` where there is but one form.
pub(crate) fn nfc(path: &RelPath) -> Option<String> {
    use unicode_normalization::UnicodeNormalization;
    let text = std::str::from_utf8(path.as_bytes()).ok().filter(|t| !t.is_ascii())?;
    Some(text.nfc().collect())
}

/// Recorded names that are not there -> names that are there and differ from them by their Unicode form only; each has
/// to be the only one of its kind on both sides.
pub(crate) fn nfc_pairs<'a>(
    recorded: impl Iterator<Item = &'a RelPath>,
    found: impl Iterator<Item = &'a RelPath>,
) -> BTreeMap<&'a RelPath, &'a RelPath> {
    let mut by_key: BTreeMap<String, (Vec<&RelPath>, Vec<&RelPath>)> = BTreeMap::new();
    for path in recorded {
        if let Some(key) = nfc(path) {
            by_key.entry(key).or_default().0.push(path);
        }
    }
    if by_key.is_empty() {
        return BTreeMap::new();
    }
    for path in found {
        if let Some(names) = nfc(path).and_then(|k| by_key.get_mut(&k)) {
            names.1.push(path);
        }
    }
    let only = |(a, b): (Vec<&'a RelPath>, Vec<&'a RelPath>)| match (&a[..], &b[..]) {
        ([a], [b]) => Some((*a, *b)),
        _ => None,
    };
    by_key.into_values().filter_map(only).collect()
}
