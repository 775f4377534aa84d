//! AVCHD (Sony, Panasonic, Canon, JVC): streams below `BDMV/STREAM`. A recording over 2 or 4 GB runs over several; which,
//! and in which order, only the playlists say.

use super::family::{Family, Ground, rule};
use super::gaps::{self, Names};
use super::{Found, FoundClip};
use crate::card::kind::folded;
use crate::clip::Role::{Essence, Sidecar};
use crate::read::mpl;
use crate::relpath::RelPath;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

macro_rules! bdmv {
    () => {
        r"(?<at>(?:private/)?(?:avchd/)?bdmv)/"
    };
}

pub(super) const FAMILY: Family = Family {
    layout: "avchd",
    markers: &[r"(?:private/)?(?:avchd/)?bdmv"],
    rules: &[
        rule(Essence, concat!(bdmv!(), r"stream/(?<clip>[^/]+)\.(?:mts|m2ts)")),
        rule(Sidecar, concat!(bdmv!(), r"clipinf/(?<clip>[^/]+)\.(?:cpi|clpi)")),
        rule(Sidecar, concat!(bdmv!(), r"stream/(?<clip>[^/]+)\.", beside!())),
    ],
    finish: Some(finish),
};

fn finish(ground: &mut Ground, found: &mut Found) {
    let names = Names::of(ground);
    let mut lists: BTreeMap<RelPath, Vec<u32>> = BTreeMap::new();
    for (index, file) in ground.files() {
        if is_playlist(&folded(ground.below(&file.relpath).as_bytes())) && !file.relpath.name().starts_with(b"._") {
            lists.entry(file.relpath.parent()).or_default().push(index);
        }
    }
    let mut stream_of: HashMap<u32, usize> = HashMap::new();
    for (n, clip) in found.clips.iter().enumerate() {
        stream_of.extend(clip.files.first().map(|(index, _)| (*index, n)));
    }
    let mut next: BTreeMap<usize, usize> = BTreeMap::new();
    let mut known: HashSet<usize> = HashSet::new();
    for (folder, indexes) in &lists {
        let mut lost = BTreeSet::new();
        let mut first = None;
        for index in indexes.iter().copied() {
            let parse = |bytes: &[u8]| mpl::items(bytes).ok_or("it is no playlist, or ends too early");
            let Some(items) = gaps::read(ground, index, parse, &mut found.gaps) else { continue };
            first.get_or_insert(index);
            let mut before = None;
            for item in items {
                let stream = stream(folder, &item.stream, &names);
                let this = stream.as_ref().ok().and_then(|index| stream_of.get(index)).copied();
                lost.extend(stream.err());
                if let (Some(a), Some(b)) = (before, this.filter(|_| item.continues)) {
                    next.entry(a).or_insert(b);
                }
                known.extend(this);
                before = this;
            }
        }
        let Some(first) = first else { continue };
        gaps::absent("missing-essence", ground.relpath(first), "a stream", &lost, &mut found.gaps);
        let unknown: Vec<u32> = found
            .clips
            .iter()
            .enumerate()
            .filter(|(n, _)| !known.contains(n))
            .filter_map(|(_, c)| c.files.first().map(|f| f.0))
            .filter(|i| ground.relpath(*i).parent().parent() == folder.parent())
            .collect();
        gaps::unknown(ground, first, &unknown, &mut found.gaps);
        // A list a day: the last one was written last.
        let newest = indexes.iter().map(|i| &ground.listing.files[*i as usize]).max_by_key(|f| f.mtime_ns);
        let here = |i: &u32| ground.relpath(*i).parent().parent() == folder.parent();
        let all: Vec<u32> = gaps::essence(&found.clips).into_iter().filter(here).collect();
        found.gaps.extend(newest.and_then(|newest| gaps::newer(ground.listing, newest, &all, &unknown)));
    }
    found.clips = joined(std::mem::take(&mut found.clips), &next);
    let other = |below: &[u8]| {
        let name = below.rsplit(|b| *b == b'/').next().unwrap_or_default();
        let folder = below.strip_suffix(name).unwrap_or_default();
        folder.ends_with(b"bdmv/")
            && matches!(name, b"index.bdm" | b"index.bdmv" | b"movieobj.bdm" | b"movieobject.bdmv")
            || folder.ends_with(b"bdmv/clipinf/") && (name.ends_with(b".cpi") || name.ends_with(b".clpi"))
    };
    if !found.clips.is_empty() || !lists.is_empty() {
        gaps::empty(ground, other, &mut found.gaps);
    }
}

fn is_playlist(below: &[u8]) -> bool {
    let below = below.strip_prefix(b"private/").unwrap_or(below);
    let below = below.strip_prefix(b"avchd/").unwrap_or(below);
    below.strip_prefix(b"bdmv/playlist/").is_some_and(|n| n.ends_with(b".mpl") || n.ends_with(b".mpls"))
}

/// The stream's place, or the path where it should be.
fn stream(playlists: &RelPath, name: &str, names: &Names) -> Result<u32, RelPath> {
    let at = |extension: &str| playlists.parent().join(format!("STREAM/{name}.{extension}")).unwrap_or_default();
    names.find(&at("MTS")).or_else(|| names.find(&at("M2TS"))).ok_or_else(|| at("MTS"))
}

/// Each clip with those that go on where it ends. A clip that two others claim goes to the first; a circle is cut.
fn joined(clips: Vec<FoundClip>, next: &BTreeMap<usize, usize>) -> Vec<FoundClip> {
    let mut claimed = HashSet::new();
    let next: BTreeMap<usize, usize> =
        next.iter().filter(|(a, b)| a != b && claimed.insert(**b)).map(|(a, b)| (*a, *b)).collect();
    let mut clips: Vec<Option<FoundClip>> = clips.into_iter().map(Some).collect();
    let heads = (0..clips.len()).filter(|n| !claimed.contains(n));
    // Those in circles come last: nobody leads them.
    let order: Vec<usize> = heads.chain((0..clips.len()).filter(|n| claimed.contains(n))).collect();
    let mut out = Vec::new();
    for head in order {
        let Some(mut clip) = clips[head].take() else { continue };
        let mut at = head;
        while let Some(part) = next.get(&at).and_then(|n| clips[*n].take()) {
            clip.files.extend(part.files);
            at = next[&at];
        }
        // Stable: the parts keep the playlist's order.
        clip.files.sort_by_key(|(_, role)| *role);
        out.push(clip);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::joined;
    use crate::card::layouts::FoundClip;
    use crate::card::tests::{card, seen};
    use crate::read::mpl::tests::playlist;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn names(base: &str, streams: &[&str]) -> Vec<String> {
        let mut out: Vec<String> = streams.iter().map(|s| format!("{base}BDMV/STREAM/{s}.MTS")).collect();
        out.extend(streams.iter().map(|s| format!("{base}BDMV/CLIPINF/{s}.CPI")));
        out.extend([format!("{base}BDMV/INDEX.BDM"), format!("{base}BDMV/MOVIEOBJ.BDM")]);
        out
    }

    fn files<'a>(names: &'a [String], lists: &'a [(String, Vec<u8>)]) -> Vec<(&'a str, &'a [u8])> {
        let media = names.iter().map(|n| (n.as_str(), &b"x"[..]));
        media.chain(lists.iter().map(|(n, bytes)| (n.as_str(), &bytes[..]))).collect()
    }

    #[test]
    fn the_playlist_joins_the_streams_of_one_recording_in_its_order() {
        for base in ["PRIVATE/AVCHD/", "AVCHD/", ""] {
            let names = names(base, &["00000", "00001", "00002", "00003"]);
            let list = playlist(&[("00000", 1), ("00003", 6), ("00001", 5), ("00002", 1)]);
            let lists = [(format!("{base}BDMV/PLAYLIST/00000.MPL"), list)];
            let files = files(&names, &lists);
            assert_eq!(seen(&files), ["avchd 00000 3+0+3+0+0", "avchd 00002 1+0+1+0+0"], "{base}");
            let order: Vec<String> = card(&files).clips[0].essence().map(|p| p.to_string()).collect();
            assert_eq!(order, [names[0].clone(), names[3].clone(), names[1].clone()]);
        }
    }

    #[test]
    fn without_playlists_each_stream_is_a_clip() {
        let names = names("PRIVATE/AVCHD/", &["00000", "00001"]);
        assert_eq!(seen(&files(&names, &[])), ["avchd 00000 1+0+1+0+0", "avchd 00001 1+0+1+0+0"]);
    }

    #[test]
    fn missing_and_unknown_streams_and_broken_lists_are_gaps() {
        let names = names("AVCHD/", &["00000", "00005"]);
        let at = |n: u32| format!("AVCHD/BDMV/PLAYLIST/{n:05}.MPL");
        let lists =
            [(at(0), playlist(&[("00000", 1), ("00001", 6)])), (at(1), b"MPLS0100".to_vec()), (at(2), Vec::new())];
        assert_eq!(
            seen(&files(&names, &lists)),
            [
                "avchd 00000 1+0+1+0+0".to_owned(),
                "avchd 00005 1+0+1+0+0".to_owned(),
                format!("unread-index:{}", at(1)),
                format!("empty-index:{}", at(2)),
                "missing-essence:AVCHD/BDMV/STREAM/00001.MTS".to_owned(),
                format!("not-in-index:{}", at(0)),
            ]
        );
    }

    #[test]
    fn empty_index_files_are_gaps() {
        let files: &[(&str, &[u8])] =
            &[("BDMV/INDEX.BDM", b""), ("BDMV/CLIPINF/00000.CPI", b""), ("BDMV/STREAM/00000.MTS", b"x")];
        assert_eq!(
            seen(files),
            ["avchd 00000 1+0+1+0+0", "empty-index:BDMV/CLIPINF/00000.CPI", "empty-index:BDMV/INDEX.BDM"]
        );
    }

    #[test]
    fn lists_that_disagree_or_run_in_circles_lose_no_stream() {
        let clip = |n: u32| FoundClip { files: vec![(n, crate::clip::Role::Essence)], ..FoundClip::default() };
        let join = |next: &[(usize, usize)]| {
            let clips = joined((0..4).map(clip).collect(), &next.iter().copied().collect::<BTreeMap<_, _>>());
            clips.iter().map(|c| c.files.iter().map(|f| f.0).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        assert_eq!(join(&[(0, 1), (1, 2), (2, 0)]), [vec![3], vec![0, 1, 2]]);
        assert_eq!(join(&[(0, 2), (1, 2)]), [vec![0, 2], vec![1], vec![3]]);
        assert_eq!(join(&[(1, 1)]), [vec![0], vec![1], vec![2], vec![3]]);
    }

    proptest! {
        #[test]
        fn no_lists_lose_or_double_a_stream(next in proptest::collection::btree_map(0..12usize, 0..12usize, 0..12)) {
            let clip = |n: u32| FoundClip { files: vec![(n, crate::clip::Role::Essence)], ..FoundClip::default() };
            let clips = joined((0..12).map(clip).collect(), &next);
            let mut all: Vec<u32> = clips.iter().flat_map(|c| &c.files).map(|f| f.0).collect();
            all.sort();
            prop_assert_eq!(all, (0..12).collect::<Vec<_>>());
        }
    }
}
