//! One walk of a tree: which histories lie in it, and what each of them has to judge. The nearest history above a
//! file owns it; what its patterns ignore is not entered.

use super::FOLDER;
use super::history::{History, HistoryFault, check_references, read_own};
use super::ignore::Patterns;
use crate::disk::Root;
use crate::disk::entries::EntryKind;
use crate::relpath::RelPath;
use std::collections::BTreeSet;

/// Our own folder on a destination, and files that we have not finished: nobody's footage.
const OURS: &[u8] = b".goodgate";
const PART: &[u8] = b".goodgate-part";

/// One history with what lies below it, up to the next one.
pub(crate) struct Level {
    pub base: RelPath,
    /// `None`: there is none, or it cannot be believed.
    pub history: Option<History>,
    pub patterns: Patterns,
    /// Of the histories around it, as far as they concern it: what only these match is not new.
    carried: Patterns,
    /// Sorted, relative to `base`.
    pub files: Vec<Found>,
    pub folders: Vec<Found>,
    pub specials: Vec<Found>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    pub path: RelPath,
    /// Judged when a history lists it, and not new when none does.
    pub hidden: bool,
}

#[derive(Default)]
pub(crate) struct Survey {
    /// An outer history before those inside it.
    pub levels: Vec<Level>,
    /// Paths are relative to the root of the walk.
    pub faults: Vec<HistoryFault>,
    pub unreadable: Vec<(RelPath, String)>,
}

/// `add`: patterns that a generation to come will have besides those of the history. `grow`: nested histories take over
/// what concerns them of the patterns around them, as that generation will.
pub(crate) fn survey(root: &Root, add: &[String], grow: bool) -> Survey {
    let mut out = Survey::default();
    out.enter(root, RelPath::root(), None, add, grow);
    let mut open = vec![(RelPath::root(), 0, false)];
    while let Some((folder, outer, hidden)) = open.pop() {
        let entries = match root.entries(&folder) {
            Ok(entries) => entries,
            Err(e) => {
                out.unreadable.push((folder, e.to_string()));
                continue;
            }
        };
        let mut level = outer;
        let nested = !folder.is_root() && !hidden && entries.contains(&(FOLDER.into(), EntryKind::Folder));
        if nested {
            out.enter(root, folder.clone(), Some(outer), add, grow);
            level = out.levels.len() - 1;
        }
        for (name, kind) in entries {
            let Ok(path) = folder.join(&name) else { continue };
            let Some(own) = path.strip_prefix(&out.levels[level].base) else { continue };
            let (here, is_dir) = (&mut out.levels[level], kind == EntryKind::Folder);
            if here.patterns.ignores_entry(&own, is_dir) {
                continue;
            }
            let ours = (is_dir && name == OURS) || name.ends_with(PART);
            let hidden = hidden || ours || here.carried.ignores_entry(&own, is_dir);
            let found = Found { path: own, hidden };
            match kind {
                EntryKind::File => here.files.push(found),
                EntryKind::Special(_) => here.specials.push(found),
                EntryKind::Folder => {
                    here.folders.push(found);
                    open.push((path, level, hidden));
                }
            }
        }
    }
    for level in &mut out.levels {
        level.files.sort();
        level.folders.sort();
        level.specials.sort();
    }
    out.unreadable.sort();
    out
}

/// What lies below a folder that cannot be read is neither there nor missing.
pub(crate) fn is_below(path: &RelPath, unreadable: &[(RelPath, String)]) -> bool {
    unreadable.iter().any(|(folder, _)| path.strip_prefix(folder).is_some())
}

/// All files of a tree, histories or not, but for what the patterns ignore.
#[derive(Default)]
pub(crate) struct Files {
    pub files: Vec<RelPath>,
    pub folders: Vec<RelPath>,
    pub specials: Vec<RelPath>,
    pub unreadable: Vec<(RelPath, String)>,
}

pub(crate) fn files_below(root: &Root, patterns: &Patterns) -> Files {
    let mut out = Files::default();
    let mut open = vec![RelPath::root()];
    while let Some(folder) = open.pop() {
        let entries = match root.entries(&folder) {
            Ok(entries) => entries,
            Err(e) => {
                out.unreadable.push((folder, e.to_string()));
                continue;
            }
        };
        for (name, kind) in entries {
            let Ok(path) = folder.join(&name) else { continue };
            let is_dir = kind == EntryKind::Folder;
            let ours = (is_dir && name == OURS) || name.ends_with(PART);
            if ours || patterns.ignores_entry(&path, is_dir) {
                continue;
            }
            match kind {
                EntryKind::File => out.files.push(path),
                EntryKind::Special(_) => out.specials.push(path),
                EntryKind::Folder => {
                    out.folders.push(path.clone());
                    open.push(path);
                }
            }
        }
    }
    out.files.sort();
    out.folders.sort();
    out.specials.sort();
    out
}

impl Survey {
    fn enter(&mut self, root: &Root, base: RelPath, outer: Option<usize>, add: &[String], grow: bool) {
        let read = || {
            let own = root.sub_root(&base).map_err(|source| HistoryFault::Io { path: RelPath::root(), source })?;
            let history = read_own(&own, None)?;
            Ok((history, own))
        };
        let history = match read() {
            Ok((Some(history), own)) => {
                // The history itself holds; what it says of those inside it is for its own account.
                if let Err(fault) = check_references(&own, &history) {
                    self.faults.push(fault.below(&base));
                }
                Some(history)
            }
            Ok((None, _)) => None,
            Err(fault) => {
                self.faults.push(HistoryFault::below(fault, &base));
                None
            }
        };
        let carried = match outer.map(|i| &self.levels[i]) {
            Some(outer) => {
                let rest = base.strip_prefix(&outer.base).unwrap_or_default();
                let mut lines = outer.patterns.carried_into(&rest);
                lines.extend(outer.carried.carried_into(&rest));
                lines
            }
            None => add.to_vec(),
        };
        let own: Vec<String> = history.iter().flat_map(|h| h.ignore.lines().to_vec()).collect();
        let grown: &[String] = if grow || outer.is_none() { &carried } else { &[] };
        let patterns = Patterns::new(own.iter().chain(grown).map(String::as_str));
        let carried = Patterns::new(carried.iter().map(String::as_str));
        let (files, folders, specials) = (Vec::new(), Vec::new(), Vec::new());
        self.levels.push(Level { base, history, patterns, carried, files, folders, specials });
    }

    /// What the folder that was walked itself has: the word of `mhl verify`, the worst one first.
    pub fn word(&self) -> &'static str {
        let unlisted = self.levels.iter().any(|l| l.history.iter().any(|h| !h.unlisted.is_empty()));
        match self.faults.first() {
            // What cannot be read is listed by itself.
            Some(HistoryFault::Io { path, .. }) if path.name() == b"ascmhl_chain.xml" => "chain_missing",
            Some(HistoryFault::Io { .. }) => "manifest_missing",
            Some(fault) => fault.kind(),
            None if self.levels.first().is_none_or(|l| l.history.is_none()) => "none",
            None if unlisted => "unlisted_manifest",
            None => "ok",
        }
    }

    /// Manifests that no chain lists.
    pub fn unlisted(&self) -> BTreeSet<RelPath> {
        let of = |l: &Level| -> Vec<RelPath> {
            l.history.iter().flat_map(|h| &h.unlisted).map(|p| l.base.join_rel(p)).collect()
        };
        self.levels.iter().flat_map(of).collect()
    }

    pub fn notes(&self) -> Vec<String> {
        let of = |l: &Level| -> Vec<String> {
            let at = if l.base.is_root() { String::new() } else { format!("\"{}\": ", l.base) };
            l.history.iter().flat_map(|h| &h.notes).map(|n| format!("{at}{n}")).collect()
        };
        self.levels.iter().flat_map(of).collect()
    }
}
