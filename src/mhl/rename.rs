//! Which new file is a recorded one under another name: told by its bytes, and only where no other answer fits.

use super::history::Record;
use crate::digest::Digest;
use crate::relpath::RelPath;
use crate::verify::Taken;
use std::collections::{BTreeMap, BTreeSet};

/// Old name -> new name. A pair is made when both have the same bytes and neither could belong to another one; empty
/// files are all alike and never renamed.
pub(crate) fn pairs(gone: &[(&RelPath, &Record)], found: &[&Taken]) -> BTreeMap<RelPath, RelPath> {
    let mut by_digest: BTreeMap<&Digest, Vec<usize>> = BTreeMap::new();
    for (i, (_, record)) in gone.iter().enumerate() {
        record
            .formats()
            .into_iter()
            .filter_map(|f| record.get(f))
            .for_each(|d| by_digest.entry(d).or_default().push(i));
    }
    let fits = |i: usize, taken: &Taken| {
        let (_, record) = gone[i];
        record.formats().into_iter().all(|f| taken.get(f).is_none_or(|d| record.get(f) == Some(d)))
            && record.size_bytes.is_none_or(|s| s == taken.stat().size_bytes)
    };
    // Files of the same bytes cannot be told apart.
    by_digest.retain(|_, names| names.len() == 1);
    let formats: BTreeSet<_> = by_digest.keys().map(|d| d.format).collect();
    let mut of_new: Vec<(&RelPath, usize)> = Vec::new();
    for taken in found.iter().filter(|t| t.stat().size_bytes > 0) {
        let candidates: BTreeSet<usize> = formats
            .iter()
            .filter_map(|f| by_digest.get(taken.get(*f)?))
            .flatten()
            .copied()
            .filter(|i| fits(*i, taken))
            .collect();
        if let [only] = candidates.into_iter().collect::<Vec<_>>()[..] {
            of_new.push((taken.relpath(), only));
        }
    }
    let mut times = vec![0u32; gone.len()];
    of_new.iter().for_each(|(_, i)| times[*i] += 1);
    of_new.into_iter().filter(|(_, i)| times[*i] == 1).map(|(to, i)| (gone[i].0.clone(), to.clone())).collect()
}

/// Folders that went with their files: every file recorded below the old one lies at the same place below the new one.
/// `gone` are recorded folders that are not there, `fresh` those there that no generation listed.
pub(crate) fn folders(
    files: &BTreeMap<RelPath, RelPath>,
    recorded: &BTreeMap<RelPath, Record>,
    gone: &BTreeSet<RelPath>,
    fresh: &BTreeSet<RelPath>,
) -> BTreeMap<RelPath, RelPath> {
    let mut out = BTreeMap::new();
    for old in gone {
        let mut target: Option<RelPath> = None;
        let from = old.join(b"\x01").unwrap_or_default();
        let prefix = [old.as_bytes(), b"/"].concat();
        let below = recorded.range(from..).take_while(|(p, _)| p.as_bytes().starts_with(&prefix));
        let moved = below.map(|(path, _)| {
            let rest = path.strip_prefix(old)?;
            let new = files.get(path)?;
            let above = new.as_bytes().strip_suffix(rest.as_bytes())?.strip_suffix(b"/")?;
            RelPath::new(above).ok().filter(|a| !a.is_root())
        });
        let mut all = true;
        for to in moved {
            match (to, &target) {
                (Some(to), None) => target = Some(to),
                (Some(to), Some(known)) if to == *known => {}
                _ => {
                    all = false;
                    break;
                }
            }
        }
        if let Some(to) = target.filter(|to| all && fresh.contains(to)) {
            out.insert(old.clone(), to);
        }
    }
    out
}
