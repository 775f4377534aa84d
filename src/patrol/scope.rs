//! What was asked for, as folders that hold copies: by the catalog, else by the history that lies there.

use super::{PatrolError, Target, lists};
use crate::catalog::{Catalog, CopyRootRow, VolumeRow};
use crate::clip::VolumeId;
use crate::disk::facts::{self, Facts};
use crate::mhl;
use crate::relpath::RelPath;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

/// What is mounted now, looked at once for many questions.
pub(crate) struct Mounted(Vec<Facts>);

impl Mounted {
    pub fn now() -> Result<Self, PatrolError> {
        let all =
            facts::mounts().map_err(|source| PatrolError::Look { path: "/proc/self/mountinfo".into(), source })?;
        // A mount hidden below another one has its point answered by that one.
        let answers = |m: &facts::Mount| facts::of(&m.point).ok().filter(|f| f.mount.id == m.id);
        Ok(Mounted(all.iter().filter_map(answers).collect()))
    }

    /// The mount that shows `place` of the volume, and the way to it from the mount's point.
    pub fn find(&self, volume_key: &str, place: &RelPath) -> Option<(&Facts, RelPath)> {
        let of_volume = self.0.iter().filter(|f| f.volume_key == volume_key);
        of_volume.filter_map(|f| Some((f, place.strip_prefix(&f.place)?))).next()
    }

    pub fn all(&self) -> &[Facts] {
        &self.0
    }

    pub fn key_at(&self, point: &Path) -> Option<&str> {
        self.0.iter().rev().find(|f| f.mount.point == point).map(|f| f.volume_key.as_str())
    }
}

/// Copies to check. Parts are paths below the folder; the root means all of it.
#[derive(Default)]
pub(crate) struct Scope {
    pub copies: Vec<(CopyRootRow, Vec<RelPath>)>,
    /// Folders that no catalog row speaks of, with a history of their own.
    pub histories: Vec<(PathBuf, Vec<RelPath>)>,
    /// Such folders with legacy lists alone, or the lists themselves.
    pub lists: Vec<PathBuf>,
}

pub(crate) struct Volumes(HashMap<VolumeId, VolumeRow>);

impl Volumes {
    pub fn of(catalog: &Catalog) -> Result<Self, PatrolError> {
        Ok(Volumes(catalog.volumes()?.into_iter().map(|v| (v.id, v)).collect()))
    }

    pub fn get(&self, id: VolumeId) -> Option<&VolumeRow> {
        self.0.get(&id)
    }

    /// Those that a person may mean: by label, key, where it is mounted now, or where it was last.
    pub fn named(&self, name: &str, mounted: &Mounted) -> Vec<VolumeId> {
        let is = |v: &&VolumeRow| v.label.as_deref() == Some(name) || v.key == name || v.id.to_string() == name;
        let mut out: Vec<VolumeId> = self.0.values().filter(is).map(|v| v.id).collect();
        if out.is_empty() {
            let here = mounted.key_at(Path::new(name));
            let at = |v: &&VolumeRow| match here {
                Some(key) => v.key == key,
                None => v.last_mount == Path::new(name),
            };
            out.extend(self.0.values().filter(at).map(|v| v.id));
        }
        out.sort();
        out
    }
}

pub(crate) fn scope(
    catalog: &Catalog,
    volumes: &Volumes,
    mounted: &Mounted,
    what: &[Target],
) -> Result<Scope, PatrolError> {
    let all: Vec<CopyRootRow> = catalog.all_copy_roots()?.into_iter().filter(|r| r.retired.is_none()).collect();
    let mut parts: BTreeMap<usize, Vec<RelPath>> = BTreeMap::new();
    let mut histories: BTreeMap<PathBuf, Vec<RelPath>> = BTreeMap::new();
    let mut listed: Vec<PathBuf> = Vec::new();
    for target in what {
        match target {
            Target::Everything => (0..all.len()).for_each(|i| parts.entry(i).or_default().push(RelPath::root())),
            Target::Card(id) => {
                let of_card = (0..all.len()).filter(|i| all[*i].card == *id);
                of_card.for_each(|i| parts.entry(i).or_default().push(RelPath::root()));
            }
            Target::Path(path) => {
                let asked = Asked::of(path)?;
                let found = by_place(&all, volumes, mounted, &asked);
                if found.is_empty() {
                    match history_above(&asked) {
                        Some((base, part)) => histories.entry(base).or_default().push(part),
                        None if lists::are_at(&asked.path()) => listed.push(asked.path()),
                        None => return Err(PatrolError::NothingKnown(path.clone())),
                    }
                }
                found.into_iter().for_each(|(i, part)| parts.entry(i).or_default().push(part));
            }
        }
    }
    // In the order of their paths, so that one disk is read from end to end.
    let mut copies: Vec<_> = parts.into_iter().map(|(i, part)| (all[i].clone(), part)).collect();
    copies.sort_by(|a, b| a.0.path.cmp(&b.0.path));
    listed.sort();
    listed.dedup();
    Ok(Scope { copies, histories: histories.into_iter().collect(), lists: listed })
}

/// A path that need not exist any more.
struct Asked {
    /// The nearest folder or file above it that does, without symlinks.
    near: PathBuf,
    rest: RelPath,
    facts: Facts,
}

impl Asked {
    fn of(path: &Path) -> Result<Self, PatrolError> {
        let look = |source| PatrolError::Look { path: path.to_path_buf(), source };
        let whole = std::path::absolute(path).map_err(look)?;
        let near = whole.ancestors().find(|p| p.symlink_metadata().is_ok()).unwrap_or(Path::new("/"));
        let rest = RelPath::below(near, &whole).ok_or_else(|| PatrolError::NothingKnown(path.to_path_buf()))?;
        let near = near.canonicalize().map_err(look)?;
        let facts = facts::of(&near).map_err(look)?;
        Ok(Asked { near, rest, facts })
    }

    fn path(&self) -> PathBuf {
        self.rest.under(&self.near)
    }
}

/// Copy folders at, above or below the path.
fn by_place(all: &[CopyRootRow], volumes: &Volumes, mounted: &Mounted, asked: &Asked) -> Vec<(usize, RelPath)> {
    let place = asked.facts.place.join_rel(&asked.rest);
    let path = asked.path();
    let mut out = Vec::new();
    for (i, row) in all.iter().enumerate() {
        let Some(volume) = volumes.get(row.volume) else { continue };
        let part = if volume.key == asked.facts.volume_key {
            part_of(&row.root, &place)
        } else if mounted.find(&volume.key, &row.root).is_none() {
            // Its drive is not mounted: then the path is all that is left to tell.
            let was = Path::new(&row.path);
            let below = |a: &Path, b: &Path| RelPath::below(a, b);
            below(was, &path).or_else(|| below(&path, was).map(|_| RelPath::root()))
        } else {
            None
        };
        out.extend(part.map(|part| (i, part)));
    }
    out
}

fn part_of(folder: &RelPath, place: &RelPath) -> Option<RelPath> {
    place.strip_prefix(folder).or_else(|| folder.strip_prefix(place).map(|_| RelPath::root()))
}

/// The nearest folder at or above the path that holds a history, and the rest of the path.
fn history_above(asked: &Asked) -> Option<(PathBuf, RelPath)> {
    let has_history = |p: &&Path| p.join(mhl::FOLDER).is_dir();
    let base = asked.near.ancestors().find(has_history)?;
    Some((base.to_path_buf(), RelPath::below(base, &asked.path())?))
}

/// A name that may be a roll, a card's id or a path; a roll is looked for first, unless the word can only be a path.
pub(super) fn target(catalog: &Catalog, word: &Path) -> Result<Vec<Target>, PatrolError> {
    let text = word.to_str().filter(|w| !w.contains('/') && !matches!(*w, "." | ".."));
    if let Some(name) = text {
        let cards = catalog.cards_named(name)?;
        if !cards.is_empty() {
            return Ok(cards.into_iter().map(|c| Target::Card(c.id)).collect());
        }
        if let Err(e) = word.symlink_metadata()
            && e.kind() == io::ErrorKind::NotFound
        {
            return Err(PatrolError::NothingKnown(word.to_path_buf()));
        }
    }
    Ok(vec![Target::Path(word.to_path_buf())])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rel(p: &str) -> RelPath {
        RelPath::new(p).unwrap()
    }

    #[test]
    fn a_path_means_the_copies_at_above_and_below_it() {
        let folder = rel("raid/A001");
        assert_eq!(part_of(&folder, &rel("raid/A001/CLIPS/x.mov")), Some(rel("CLIPS/x.mov")));
        assert_eq!(part_of(&folder, &folder), Some(RelPath::root()));
        assert_eq!(part_of(&folder, &rel("raid")), Some(RelPath::root()));
        assert_eq!(part_of(&folder, &rel("raid/A0011")), None);
        assert_eq!(part_of(&folder, &rel("raid/A00")), None);
    }

    #[test]
    fn the_nearest_history_above_is_taken_also_for_a_path_that_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(base.join("A001/ascmhl")).unwrap();
        std::fs::create_dir_all(base.join("A001/CLIPS/ascmhl")).unwrap();
        let found = |p: &str| history_above(&Asked::of(&base.join(p)).unwrap());
        assert_eq!(found("A001"), Some((base.join("A001"), RelPath::root())));
        assert_eq!(found("A001/gone/x.mov"), Some((base.join("A001"), rel("gone/x.mov"))));
        assert_eq!(found("A001/CLIPS/x.mov"), Some((base.join("A001/CLIPS"), rel("x.mov"))));
        assert_eq!(found("elsewhere"), None);
    }
}
