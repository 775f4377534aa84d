//! What a card lacks, and how an index that cannot be read is named: the words that all families share.

use super::FoundClip;
use super::family::Ground;
use super::parts::{holes, ranges};
use crate::card::kind::folded;
use crate::card::warn::about;
use crate::clip::{CardFile, Listing, Role, Warning};
use crate::relpath::RelPath;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Display;

/// More than so many gaps of one index are named together.
const EACH: usize = 20;
/// Cameras write the index last. FAT counts two seconds, and a camera may close the last clip after it.
const STALE_NS: i64 = 600 * 1_000_000_000;

/// Where each file below the card's root is, without regard to case.
pub(super) struct Names(HashMap<Vec<u8>, u32>);

impl Names {
    pub fn of(ground: &Ground) -> Self {
        Names(ground.files().map(|(index, f)| (folded(f.relpath.as_bytes()), index)).collect())
    }

    pub fn find(&self, path: &RelPath) -> Option<u32> {
        self.0.get(&folded(path.as_bytes())).copied()
    }

    /// What an index means by `./Clip/C%200001.MXF`, seen from its own folder. `None`: an address that leads off the card.
    pub fn address(folder: &RelPath, uri: &str) -> Option<RelPath> {
        let uri = uri.trim().replace('\\', "/");
        let uri = uri.strip_prefix("file://").unwrap_or(&uri);
        let mut path = folder.clone();
        for segment in uri.split('/').filter(|s| !matches!(*s, "" | ".")) {
            path = match segment {
                ".." => path.parent(),
                name => path.join(name).ok()?,
            };
        }
        (path != *folder).then_some(path)
    }

    /// The file that an address means: as written, or with its `%20` read.
    pub fn at(&self, folder: &RelPath, uri: &str) -> Option<u32> {
        let written = Self::address(folder, uri).and_then(|path| self.find(&path));
        written.or_else(|| self.find(&Self::address(folder, &percent_read(uri)?)?))
    }
}

fn percent_read(uri: &str) -> Option<String> {
    let mut out = Vec::new();
    let mut rest = uri.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = (*first == b'%').then(|| tail.get(..2)).flatten().and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(out).ok()
}

/// Reads an index once: it is taken then. An empty, unreadable or broken one is a gap and no clip is lost for it.
pub(super) fn read<T, E: Display>(
    ground: &mut Ground,
    index: u32,
    parse: impl FnOnce(&[u8]) -> Result<T, E>,
    gaps: &mut Vec<Warning>,
) -> Option<T> {
    if std::mem::replace(&mut ground.taken[index as usize], true) {
        return None;
    }
    let file = &ground.listing.files[index as usize];
    if file.size_bytes == 0 {
        gaps.push(no_bytes(&file.relpath));
        return None;
    }
    let broken = |why: &dyn Display| unread(&file.relpath, why);
    match (ground.read)(&file.relpath) {
        Err(e) => gaps.push(broken(&e)),
        Ok(bytes) => match parse(&bytes) {
            Ok(read) => return Some(read),
            Err(e) => gaps.push(broken(&e)),
        },
    }
    None
}

/// Of index files that nothing here reads, all that can be seen is that they are empty.
pub(super) fn empty(ground: &Ground, is_index: impl Fn(&[u8]) -> bool, gaps: &mut Vec<Warning>) {
    for (_, file) in ground.files().filter(|(_, f)| f.size_bytes == 0) {
        if !file.relpath.name().starts_with(b"._") && is_index(&folded(ground.below(&file.relpath).as_bytes())) {
            gaps.push(no_bytes(&file.relpath));
        }
    }
}

pub(super) fn no_bytes(index: &RelPath) -> Warning {
    about("empty-index", index, "is an index of 0 bytes: what should be here is not known")
}

pub(super) fn unread(index: &RelPath, why: &dyn Display) -> Warning {
    about("unread-index", index, &format!("cannot be read: {why}"))
}

/// Gaps of one kind that one index tells of: each by itself while they are few.
pub(super) fn absent(kind: &str, index: &RelPath, what: &str, missing: &BTreeSet<RelPath>, gaps: &mut Vec<Warning>) {
    if missing.len() <= EACH {
        let says = format!("is not here, but \"{index}\" names it as {what}");
        gaps.extend(missing.iter().map(|path| about(kind, path, &says)));
    } else if let Some(first) = missing.first() {
        let says = format!("names {} files as {what} that are not here, \"{first}\" first", missing.len());
        gaps.push(about(&format!("{kind}s"), index, &says));
    }
}

/// Clips that the index beside them does not know. When they are much newer than it, it was not written to its end.
pub(super) fn unknown(ground: &Ground, index: u32, clips: &[u32], gaps: &mut Vec<Warning>) {
    let Some(first) = clips.first() else { return };
    let file = &ground.listing.files[index as usize];
    let (count, first) = (clips.len(), ground.relpath(*first));
    let clip = if count == 1 { "clip" } else { "clips" };
    gaps.push(about("not-in-index", &file.relpath, &format!("does not know {count} {clip} here, \"{first}\" first")));
}

/// Files that were written long after their index: it is older than what it should tell of. Cameras write the index
/// last. Of files that it knows (`all` without `unknown`) that counts only where some are older than it: all of them
/// newer is a dump whose times are those of its copying.
pub(super) fn newer(listing: &Listing, index: &CardFile, all: &[u32], unknown: &[u32]) -> Option<Warning> {
    let mtime = |i: &u32| listing.files[*i as usize].mtime_ns;
    let kept = all.iter().any(|i| mtime(i) <= index.mtime_ns);
    let judged = if kept { all } else { unknown };
    let late: Vec<u32> =
        judged.iter().filter(|i| mtime(i).saturating_sub(index.mtime_ns) > STALE_NS).copied().collect();
    let (count, first) = (late.len(), &listing.files[*late.first()? as usize].relpath);
    let were = if count == 1 { "file was" } else { "files were" };
    let says = format!("is stale: {count} {were} written more than ten minutes after it, \"{first}\" first");
    Some(about("newer-than-index", &index.relpath, &says))
}

/// The essence of these clips.
pub(super) fn essence<'a>(clips: impl IntoIterator<Item = &'a FoundClip>) -> Vec<u32> {
    let files = clips.into_iter().flat_map(|c| &c.files);
    files.filter(|(_, role)| *role == Role::Essence).map(|(index, _)| *index).collect()
}

/// The number that ends a name's stem, `width` digits wide.
fn number(path: &RelPath, width: usize) -> Option<u64> {
    let stem = path.stem();
    let digits = &stem[stem.len().checked_sub(width)?..];
    digits.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

/// The same name with another number.
fn numbered(path: &RelPath, width: usize, n: u64) -> RelPath {
    let (name, stem) = (path.name(), path.stem());
    let tail = &name[stem.len()..];
    let name = [&stem[..stem.len() - width], format!("{n:0width$}").as_bytes(), tail].concat();
    path.parent().join(name).unwrap_or_else(|_| path.clone())
}

/// Parts of a clip's essence that its numbers say are not here. `first`: the number that every recording begins with.
pub(super) fn part_files(ground: &Ground, clip: &FoundClip, width: usize, first: Option<u64>) -> Option<Warning> {
    let essence = clip.files.iter().filter(|(_, role)| *role == Role::Essence).map(|(index, _)| ground.relpath(*index));
    let numbered_parts: Vec<(&RelPath, u64)> = essence.filter_map(|p| Some((p, number(p, width)?))).collect();
    let holes = holes(first, numbered_parts.iter().map(|(_, n)| *n));
    let (path, _) = numbered_parts.first()?;
    let missing = numbered(path, width, holes.first()?.0);
    Some(lost(&missing, &clip.name, &holes))
}

/// The gap itself, named after the first that is missing.
pub(super) fn lost(missing: &RelPath, clip: &str, holes: &[(u64, u64)]) -> Warning {
    let count: u64 = holes.iter().fold(0, |sum, (a, b)| sum.saturating_add(b - a).saturating_add(1));
    let parts = if count == 1 { "part" } else { "parts" };
    about("missing-part", missing, &format!("is not here: clip {clip} lacks {count} {parts} ({})", ranges(holes, 1)))
}

/// Splits what grouping joined although each is a recording of its own: one file's name twice, in two folders.
pub(super) fn by_folder(ground: &Ground, clip: FoundClip) -> Vec<FoundClip> {
    let mut known = HashSet::new();
    let twice =
        |(index, role): &(u32, Role)| *role == Role::Essence && !known.insert(folded(ground.relpath(*index).name()));
    if !clip.files.iter().any(twice) {
        return vec![clip];
    }
    let mut split: Vec<FoundClip> = Vec::new();
    let mut of: HashMap<RelPath, usize> = HashMap::new();
    let (essence, rest): (Vec<_>, Vec<_>) = clip.files.into_iter().partition(|(_, r)| *r == Role::Essence);
    for file in essence {
        let n = *of.entry(ground.relpath(file.0).parent()).or_insert(split.len());
        if n == split.len() {
            let (name, facts, said) = (clip.name.clone(), clip.facts.clone(), clip.said.clone());
            split.push(FoundClip { name, files: Vec::new(), facts, said });
        }
        split[n].files.push(file);
    }
    for file in rest {
        let n = of.get(&ground.relpath(file.0).parent()).copied().unwrap_or(0);
        split[n].files.push(file);
    }
    split
}

/// Gives some of a clip's essence another role, when other essence stays; then it stands after it.
pub(super) fn demote(ground: &Ground, clip: &mut FoundClip, role: Role, is: impl Fn(&RelPath) -> bool) {
    let mut files = clip.files.clone();
    for (index, r) in files.iter_mut().filter(|(_, r)| *r == Role::Essence) {
        if is(ground.relpath(*index)) {
            *r = role;
        }
    }
    if files.iter().any(|(_, r)| *r == Role::Essence) {
        files.sort_by_key(|(_, r)| *r);
        clip.files = files;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stay_on_the_card_and_blanks_may_be_escaped() {
        let folder = RelPath::new("X/XDROOT").unwrap();
        let at = |uri| Names::address(&folder, uri).map(|p| p.to_string());
        assert_eq!(at("./Clip/C 1.MXF").as_deref(), Some("X/XDROOT/Clip/C 1.MXF"));
        assert_eq!(at("../General/a").as_deref(), Some("X/General/a"));
        assert_eq!(at("../../../../a").as_deref(), Some("a"));
        assert_eq!(at("/Clip/a").as_deref(), Some("X/XDROOT/Clip/a"), "the index lies at the top of its tree");
        assert_eq!(at(""), None);
        assert_eq!(percent_read("C%201%zz%").as_deref(), Some("C 1%zz%"));
        assert_eq!(percent_read("%ff"), None);
    }

    #[test]
    fn a_missing_part_has_the_name_of_its_neighbours() {
        let path = RelPath::new("A.RDC/A001_C001_0818F4_002.R3D").unwrap();
        assert_eq!(number(&path, 3), Some(2));
        assert_eq!(numbered(&path, 3, 1).to_string(), "A.RDC/A001_C001_0818F4_001.R3D");
        assert_eq!(number(&RelPath::new("a1.R3D").unwrap(), 3), None);
    }
}
