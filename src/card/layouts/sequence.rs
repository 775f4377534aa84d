//! Image sequences: numbered frames of one name in one folder are one recording.

use super::FoundClip;
use crate::clip::{Listing, Role};
use crate::relpath::{RelPath, escape};
use std::collections::{BTreeMap, HashSet};

/// A stem cut at its last run of digits.
struct Numbered<'a> {
    before: &'a [u8],
    digits: &'a [u8],
    after: &'a [u8],
}

fn numbered(stem: &[u8]) -> Option<Numbered<'_>> {
    let end = stem.iter().rposition(u8::is_ascii_digit)? + 1;
    let start = stem[..end].iter().rposition(|b| !b.is_ascii_digit()).map_or(0, |at| at + 1);
    Some(Numbered { before: &stem[..start], digits: &stem[start..end], after: &stem[end..] })
}

/// Numbers of any length compare by length without leading zeros, then by digits.
fn value(digits: &[u8]) -> (usize, &[u8]) {
    let from = digits.iter().position(|b| *b != b'0').unwrap_or(digits.len());
    (digits.len() - from, &digits[from..])
}

/// Groups `frames` (places in the listing) into clips. What is alone comes back as a clip of one frame.
pub(super) fn group(listing: &Listing, frames: &[u32]) -> Vec<FoundClip> {
    type Key<'a> = (RelPath, &'a [u8], &'a [u8], String);
    let path = |index: u32| &listing.files[index as usize].relpath;
    let mut rows: BTreeMap<Key, Vec<(u32, &[u8])>> = BTreeMap::new();
    let mut alone = Vec::new();
    for index in frames.iter().copied() {
        match numbered(path(index).stem()) {
            Some(n) => {
                let key = (path(index).parent(), n.before, n.after, path(index).extension());
                rows.entry(key).or_default().push((index, n.digits));
            }
            None => alone.push(index),
        }
    }
    let mut out = Vec::new();
    for (key, frames) in rows {
        for mut row in split_by_width(frames) {
            if row.len() < 2 {
                alone.extend(row.iter().map(|(index, _)| *index));
                continue;
            }
            row.sort_by_key(|(_, digits)| value(digits));
            let files = row.into_iter().map(|(index, _)| (index, Role::Essence)).collect();
            out.push(FoundClip { name: name(&key.0, key.1, key.2), files, ..FoundClip::default() });
        }
    }
    out.extend(alone.into_iter().map(|index| FoundClip {
        name: escape(path(index).stem()).into_owned(),
        files: vec![(index, Role::Essence)],
        ..FoundClip::default()
    }));
    out
}

/// `9` and `10` belong together, `9` and `09` can not: then the width of the number is part of the name.
fn split_by_width(frames: Vec<(u32, &[u8])>) -> Vec<Vec<(u32, &[u8])>> {
    let mut seen = HashSet::new();
    if frames.iter().all(|(_, digits)| seen.insert(value(digits))) {
        return vec![frames];
    }
    let mut out: BTreeMap<usize, Vec<_>> = BTreeMap::new();
    for frame in frames {
        out.entry(frame.1.len()).or_default().push(frame);
    }
    out.into_values().collect()
}

/// The text around the number without the marks that led to it; a bare number takes its folder's name.
fn name(folder: &RelPath, before: &[u8], after: &[u8]) -> String {
    let mark = |b: &u8| matches!(b, b'.' | b'_' | b'-' | b' ');
    let end = before.iter().rposition(|b| !mark(b)).map_or(0, |at| at + 1);
    let name = [&before[..end], after].concat();
    match (name.is_empty(), folder.is_root()) {
        (false, _) => escape(&name).into_owned(),
        (true, false) => escape(folder.name()).into_owned(),
        (true, true) => "frames".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::tests::listing;

    fn groups(names: &[&str]) -> Vec<(String, usize)> {
        let l = listing(&names.iter().map(|n| (n.as_bytes(), 1)).collect::<Vec<_>>());
        let all: Vec<u32> = (0..l.files.len() as u32).collect();
        group(&l, &all).into_iter().map(|c| (c.name, c.files.len())).collect()
    }

    #[test]
    fn frames_of_one_name_are_one_clip() {
        assert_eq!(groups(&["s/a.0001.exr", "s/a.0002.exr", "s/b.0001.exr"]), [("a".into(), 2), ("b.0001".into(), 1)]);
        assert_eq!(groups(&["reel7/0001.dpx", "reel7/0002.dpx"]), [("reel7".into(), 2)]);
        assert_eq!(groups(&["a1.dpx", "x/a2.dpx"]).len(), 2);
    }

    #[test]
    fn frames_stand_in_the_order_of_their_numbers() {
        let l = listing(&[(b"f.10.exr", 1), (b"f.9.exr", 1), (b"f.11.exr", 1)]);
        let clip = &group(&l, &[0, 1, 2])[0];
        let names: Vec<_> = clip.files.iter().map(|(i, _)| l.files[*i as usize].relpath.to_string()).collect();
        assert_eq!(names, ["f.9.exr", "f.10.exr", "f.11.exr"]);
    }

    #[test]
    fn the_same_number_twice_splits_by_width() {
        assert_eq!(groups(&["f1.exr", "f2.exr", "f001.exr", "f002.exr"]).len(), 2);
    }
}
