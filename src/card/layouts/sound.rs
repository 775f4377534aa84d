//! Takes of sound. A recorder writes one file with all tracks, or one file a track: those of one stem up to the track are
//! one clip, tracks in order.
//!
//! Names alone do not tell `A101_2`, the second track, from `A101_2`, the second take: the tracks of one take are as long
//! as each other. Only their notes differ in size, by a few bytes in takes of real recorders.

use super::family::{Ground, fact};
use super::{Found, FoundClip, parts};
use crate::card::kind::{self, Kind, folded};
use crate::clip::{Listing, Role};
use crate::fact::{Fact, Field};
use crate::relpath::{RelPath, escape};
use regex::bytes::Regex;
use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

/// Less than 30 ms of one track.
const NOTES_BYTES: u64 = 4096;

/// A track's place in its take: numbers, letters after them (`_9`, `_A`), mixes last.
pub(crate) type Track = (u8, u64);

/// A stem without its track.
pub(crate) fn track(stem: &[u8]) -> Option<(&[u8], Track)> {
    static TRACK: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r"(?i-u)^(?<base>.*?[^_. -])(?:_(?:tr|ch|iso)?(?<n>[0-9]{1,2})|\.a(?<a>[0-9]{1,2})|_x(?<x>[0-9])|",
            r"[_.](?<side>[lr])|_(?<letter>[a-z])|_(?:tr)?(?<mix>l_?r|mix))$"
        ))
        .expect("a track's pattern")
    });
    let caps = TRACK.captures(stem)?;
    let base = caps.name("base")?.as_bytes();
    let found = |name: &str| caps.name(name).map(|m| m.as_bytes());
    let letter = |b: &[u8]| u64::from(b[0].to_ascii_lowercase());
    let track = if let Some(n) = found("n").or(found("a")) {
        (0, parts::number(n)?)
    } else if let Some(x) = found("x") {
        (2, parts::number(x)?)
    } else if let Some(side) = found("side") {
        (3, letter(side))
    } else if let Some(l) = found("letter") {
        (1, letter(l))
    } else {
        (MIX, 0)
    };
    Some((base, track))
}

/// Folder, stem without the track, extension.
type Take = (RelPath, Vec<u8>, String);

/// Two tracks in one file.
const MIX: u8 = 4;

/// Makes clips of sound files (places in the listing).
pub(super) fn sets(listing: &Listing, sound: &[u32]) -> Vec<FoundClip> {
    let file = |index: u32| &listing.files[index as usize];
    let mut takes: BTreeMap<Take, Vec<(Track, u32)>> = BTreeMap::new();
    let mut alone = Vec::new();
    for index in sound.iter().copied() {
        let p = &file(index).relpath;
        match track(p.stem()) {
            Some((base, track)) => {
                takes.entry((p.parent(), folded(base), p.extension())).or_default().push((track, index));
            }
            None => alone.push(index),
        }
    }
    let mut out = Vec::new();
    for (_, take) in takes {
        let (mixes, tracks): (Vec<_>, Vec<_>) = take.into_iter().partition(|((kind, _), _)| *kind == MIX);
        let mut sets = equally_long(listing, tracks, &mut alone);
        for (track, index) in mixes {
            let fits = |set: &&mut Vec<(Track, u32)>| {
                let (mono, mix) = (file(set[0].1).size_bytes, file(index).size_bytes);
                mono <= mix && mix <= mono.saturating_mul(2).saturating_add(NOTES_BYTES)
            };
            match sets.iter_mut().find(fits) {
                Some(set) => set.push((track, index)),
                None => alone.push(index),
            }
        }
        for mut set in sets {
            set.sort();
            let base = track(file(set[0].1).relpath.stem()).map_or(&b""[..], |(base, _)| base);
            let files = set.iter().map(|(_, index)| (*index, Role::Essence)).collect();
            out.push(FoundClip { name: escape(base).into_owned(), files, ..FoundClip::default() });
        }
    }
    out.extend(alone.into_iter().map(|index| FoundClip {
        name: escape(file(index).relpath.stem()).into_owned(),
        files: vec![(index, Role::Essence)],
        ..FoundClip::default()
    }));
    out
}

/// Tracks of one length, each there once; what has no equal goes to `alone`.
fn equally_long(listing: &Listing, mut tracks: Vec<(Track, u32)>, alone: &mut Vec<u32>) -> Vec<Vec<(Track, u32)>> {
    let size = |index: u32| listing.files[index as usize].size_bytes;
    tracks.sort_by_key(|(track, index)| (size(*index), *track));
    let mut sets: Vec<Vec<(Track, u32)>> = Vec::new();
    for one in tracks {
        match sets.last_mut().filter(|set| size(one.1) - size(set[0].1) <= NOTES_BYTES) {
            Some(set) => set.push(one),
            None => sets.push(vec![one]),
        }
    }
    let is_take = |set: &Vec<(Track, u32)>| {
        let mut seen = HashSet::new();
        set.len() > 1 && set.iter().all(|(track, _)| seen.insert(*track))
    };
    let (sets, others): (Vec<_>, Vec<_>) = sets.into_iter().partition(is_take);
    alone.extend(others.into_iter().flatten().map(|(_, index)| index));
    sets
}

/// Makes clips of all sound on a recorder's card that `wanted` (by the path below the card's root). Sound beside pictures
/// is not the recorder's.
pub(super) fn take(ground: &mut Ground, found: &mut Found, wanted: impl Fn(&RelPath) -> bool) {
    let pictures: HashSet<RelPath> =
        ground.left().map(|i| ground.relpath(i)).filter(|p| kind::of(p) == Kind::Video).map(RelPath::parent).collect();
    let is_sound = |i: &u32| {
        let p = ground.relpath(*i);
        kind::of(p) == Kind::Audio
            && !pictures.contains(&p.parent())
            && p.strip_prefix(&ground.base).is_some_and(|below| wanted(&below))
    };
    let sound: Vec<u32> = ground.left().filter(is_sound).collect();
    for mut clip in sets(ground.listing, &sound) {
        let path = ground.relpath(clip.files[0].0);
        clip.facts = scene_and_take(clip.name.as_bytes());
        clip.facts.extend(thrown_away(path).and_then(|note| Fact::new(Field::Note, note)));
        clip.files.iter().for_each(|(i, _)| ground.taken[*i as usize] = true);
        found.clips.push(clip);
    }
}

/// `12A-T001`.
pub(super) fn scene_and_take(name: &[u8]) -> Vec<Fact> {
    static TAKE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?i-u)^(.+)-T([0-9]{2,4})$").expect("a take's pattern"));
    let Some(caps) = TAKE.captures(name) else { return Vec::new() };
    let said = [(Field::Scene, 1), (Field::Take, 2)];
    said.into_iter().filter_map(|(field, n)| fact(field, caps.get(n)?.as_bytes())).collect()
}

/// The recordist threw it away, or took it back; it is copied and catalogued all the same.
fn thrown_away(path: &RelPath) -> Option<&'static str> {
    let flags = [("falsetakes", "false take"), ("trash", "trash"), ("undo", "undone")];
    flags.into_iter().find(|(folder, _)| parts::lies_in(path, folder)).map(|(_, note)| note)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::tests::listing;

    fn sets_of(files: &[(&str, u64)]) -> Vec<(String, Vec<String>)> {
        let l = listing(&files.iter().map(|(n, size)| (n.as_bytes(), *size)).collect::<Vec<_>>());
        let all: Vec<u32> = (0..l.files.len() as u32).collect();
        let name = |i: &u32| String::from_utf8_lossy(l.files[*i as usize].relpath.name()).into_owned();
        let mut out: Vec<_> =
            sets(&l, &all).into_iter().map(|c| (c.name, c.files.iter().map(|(i, _)| name(i)).collect())).collect();
        out.sort();
        out
    }

    fn one(name: &str, files: &[&str]) -> (String, Vec<String>) {
        (name.into(), files.iter().map(|f| f.to_string()).collect())
    }

    #[test]
    fn tracks_stand_in_the_order_of_the_recorder() {
        let tracks = ["_1", "_10", "_2", "_9", "_A", "_L", "_R", "_X1", "_X2"];
        let files: Vec<String> = tracks.iter().map(|t| format!("12A-T001{t}.WAV")).collect();
        let files: Vec<_> = files.iter().map(|f| (f.as_str(), 500)).collect();
        let order = ["_1", "_2", "_9", "_10", "_A", "_X1", "_X2", "_L", "_R"].map(|t| format!("12A-T001{t}.WAV"));
        assert_eq!(sets_of(&files), [("12A-T001".to_owned(), order.to_vec())]);
    }

    #[test]
    fn takes_of_other_lengths_are_not_tracks() {
        // Sizes of real recordings: two takes with all tracks in one file each, and the tracks of the first one by one.
        assert_eq!(
            sets_of(&[
                ("A101_1.WAV", 1_447_578),
                ("A101_2.WAV", 2_889_000),
                ("A101_1_1.WAV", 731_603),
                ("A101_1_2.WAV", 731_599)
            ]),
            [
                one("A101_1", &["A101_1.WAV"]),
                one("A101_1", &["A101_1_1.WAV", "A101_1_2.WAV"]),
                one("A101_2", &["A101_2.WAV"]),
            ]
        );
    }

    #[test]
    fn a_mix_of_two_tracks_may_be_twice_as_large() {
        let files = [("Z_Tr1.WAV", 50_000), ("Z_Tr2.WAV", 50_000), ("Z_TrL_R.WAV", 99_000), ("Y_LR.WAV", 9)];
        assert_eq!(sets_of(&files), [one("Y_LR", &["Y_LR.WAV"]), one("Z", &["Z_Tr1.WAV", "Z_Tr2.WAV", "Z_TrL_R.WAV"])]);
    }

    #[test]
    fn numbers_of_recordings_are_no_tracks() {
        let files = [("ZOOM0001.WAV", 5), ("ZOOM0002.WAV", 5), ("T_0001.WAV", 5), ("T_0002.WAV", 5), ("_1.WAV", 5)];
        assert_eq!(sets_of(&files).len(), 5);
        // `1` and `01` can not both be the first track.
        assert_eq!(sets_of(&[("T_1.WAV", 5), ("T_01.WAV", 5)]).len(), 2);
        assert_eq!(sets_of(&[("a/T_1.WAV", 5), ("b/T_2.WAV", 5)]).len(), 2);
    }

    #[test]
    fn scene_and_take_are_read_from_names_that_hold_them() {
        let said = |name: &str| scene_and_take(name.as_bytes()).into_iter().map(|f| f.value).collect::<Vec<_>>();
        assert_eq!(said("12A-T001"), ["12A", "001"]);
        assert!(said("12A_T1").is_empty() && said("-T001").is_empty());
    }
}
