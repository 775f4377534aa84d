//! Legacy lists that lie somewhere in a folder, each about files of its own folder and below, brought to the names that
//! lie there.

use super::FOLDER;
use super::records::nfc_pairs;
use super::v1::{self, Legacy};
use crate::disk::Root;
use crate::relpath::RelPath;
use std::collections::{BTreeMap, BTreeSet};

/// More legacy lists than this in one tree are not looked at.
const MOST_LISTS: usize = 1000;

#[derive(Debug, Default)]
pub struct Lists {
    /// By the list's own path; the files it speaks of by theirs, both from the root of the tree.
    pub lists: Vec<(String, Legacy)>,
    /// Listed, and not there; with the list that says so.
    pub missing: Vec<(RelPath, String)>,
    /// What is odd and could still be read.
    pub notes: Vec<String>,
}

/// Reads every `.mhl` among the files of a tree that is no manifest of a history; the first that cannot be read ends it,
/// with its path and the reason. A list that finds none of its files went astray: it is noted and compared with nothing.
pub fn lists_in(root: &Root, files: &[RelPath]) -> Result<Lists, (RelPath, String)> {
    let mut out = Lists::default();
    let there: BTreeSet<&RelPath> = files.iter().collect();
    let is_list = |p: &&RelPath| p.extension() == "mhl" && !p.name().starts_with(b"._");
    let in_history = |p: &RelPath| p.parent().segments().any(|s| s == FOLDER.as_bytes());
    for name in files.iter().filter(is_list).filter(|p| !in_history(p)).take(MOST_LISTS) {
        let bytes = root.read_small(name, v1::LIMIT_BYTES).map_err(|e| (name.clone(), e.to_string()))?;
        // A manifest of ASC MHL that stands alone: nobody says what it is about.
        let Some(list) = v1::read(&bytes).map_err(|why| (name.clone(), why))? else { continue };
        let folder = name.parent();
        let listed: BTreeMap<RelPath, _> = list.files.into_iter().map(|(p, w)| (folder.join_rel(&p), w)).collect();
        let found = among(listed.keys(), &there);
        if found.is_empty() && !listed.is_empty() {
            out.notes
                .push(format!("\"{name}\" speaks of none of the files that lie here: nothing was compared with it"));
            continue;
        }
        out.notes.extend(list.notes.iter().map(|n| format!("\"{name}\": {n}")));
        let gone = listed.keys().filter(|p| !found.contains_key(p));
        out.missing.extend(gone.map(|p| (p.clone(), name.to_string())));
        let mut files: BTreeMap<RelPath, Vec<_>> = BTreeMap::new();
        for (path, wants) in &listed {
            if let Some(found) = found.get(path) {
                files.entry((*found).clone()).or_default().extend(wants.iter().cloned());
            }
        }
        out.lists.push((name.to_string(), Legacy { files, made: list.made, notes: Vec::new() }));
    }
    Ok(out)
}

/// Listed names -> those on the disk: the same, in another Unicode form, or without blanks at the ends.
pub(super) fn among<'a>(
    listed: impl Iterator<Item = &'a RelPath> + Clone,
    there: &BTreeSet<&'a RelPath>,
) -> BTreeMap<&'a RelPath, &'a RelPath> {
    let known: BTreeSet<&RelPath> = listed.clone().collect();
    let gone = known.iter().copied().filter(|p| !there.contains(p));
    let fresh = there.iter().copied().filter(|p| !known.contains(p));
    let forms = nfc_pairs(gone, fresh);
    let trimmed = |p: &RelPath| {
        let text = std::str::from_utf8(p.as_bytes()).ok()?.trim();
        there.get(&RelPath::new(text).ok()?).copied()
    };
    let of = |p: &'a RelPath| {
        let found = there.get(p).copied().or_else(|| forms.get(p).copied()).or_else(|| trimmed(p));
        found.map(|found| (p, found))
    };
    listed.filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rel(p: &str) -> RelPath {
        RelPath::new(p).unwrap()
    }

    #[test]
    fn a_list_speaks_of_its_own_folder_and_one_that_went_astray_of_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let list = |names: &[&str]| {
            let entry = |n: &&str| format!("<hash><file>{n}</file><size>5</size><null/></hash>");
            let entries: String = names.iter().map(entry).collect();
            format!("<?xml version=\"1.0\"?><hashlist version=\"1.1\"><creatorinfo/>{entries}</hashlist>")
        };
        std::fs::create_dir_all(dir.path().join("day/A001")).unwrap();
        std::fs::write(dir.path().join("day/day.mhl"), list(&["A001/e\u{301}.mov", "A001/gone.mov", "A001/b.mov "]))
            .unwrap();
        std::fs::write(dir.path().join("astray.mhl"), list(&["x.mov", "y.mov"])).unwrap();
        let files = ["astray.mhl", "day/A001/b.mov", "day/A001/\u{e9}.mov", "day/day.mhl"].map(rel);
        let lists = lists_in(&root, &files).unwrap();
        assert_eq!(lists.lists.len(), 1);
        let found: Vec<_> = lists.lists[0].1.files.keys().cloned().collect();
        assert_eq!(found, ["day/A001/b.mov", "day/A001/\u{e9}.mov"].map(rel));
        assert_eq!(lists.missing, [(rel("day/A001/gone.mov"), "day/day.mhl".to_owned())]);
        assert!(lists.notes.iter().any(|n| n.contains("astray.mhl") && n.contains("none")), "{:?}", lists.notes);
        std::fs::write(dir.path().join("astray.mhl"), "<hashlist version=\"1.1\"><hash>").unwrap();
        assert_eq!(lists_in(&root, &files).unwrap_err().0, rel("astray.mhl"));
    }
}
