//! Zoom F recorders: a `.TAKE` folder is one take, whatever files it holds: tracks, the same with less gain (`_D`), a mix,
//! and further files of 2 GB. Handy recorders: `FOLDER01/ZOOM0001.WAV`.

use super::family::{Family, Ground, rule};
use super::{Found, parts, sound};
use crate::card::kind::folded;
use crate::clip::Role::{Essence, Sidecar};
use crate::relpath::RelPath;
use regex::bytes::Regex;
use std::collections::BTreeMap;
use std::sync::LazyLock;

pub(super) const FAMILY: Family = Family {
    layout: "zoom",
    markers: &[r"(?:[^/]+/)*[^/]+\.take", r"folder\d\d/zoom\d{4}[^/]*\.wav"],
    rules: &[
        rule(Essence, r"(?<clip>(?:[^/]+/)*(?<name>[^/]+))\.take/[^/]+\.(wav|bwf)"),
        rule(Sidecar, r"(?<clip>(?:[^/]+/)*[^/]+)\.take/[^/]+"),
    ],
    finish: Some(takes),
};

fn takes(ground: &mut Ground, found: &mut Found) {
    for clip in &mut found.clips {
        let place = |index: u32| file(ground.relpath(index));
        clip.files.sort_by_key(|(index, role)| (*role, place(*index).is_none(), place(*index), *index));
        clip.facts = sound::scene_and_take(clip.name.as_bytes());
        let mut tracks: BTreeMap<(u8, u64, bool), Vec<u64>> = BTreeMap::new();
        for (index, _) in clip.files.iter().filter(|(_, role)| *role == Essence) {
            if let Some(f) = file(ground.relpath(*index)) {
                tracks.entry((f.kind, f.track, f.dual)).or_default().push(f.part);
            }
        }
        // Single tracks of a take are as long as each other: one that has fewer files is cut. A mix fills its files sooner.
        let single = |kind: u8| kind == 1;
        let singles = tracks.iter().filter(|((kind, ..), _)| single(*kind)).flat_map(|(_, have)| have);
        let last = singles.copied().max().unwrap_or(0);
        let mut lacking = tracks.iter().map(|((kind, ..), have)| {
            let end = single(*kind).then_some(last + 1);
            parts::holes(Some(1), have.iter().copied().chain(end))
        });
        if let Some(holes) = lacking.find(|h| !h.is_empty()) {
            found.gaps.extend(parts::missing(ground.relpath(clip.files[0].0), "file", &holes));
        }
    }
    sound::take(ground, found, |below| {
        let folder = folded(below.parent().name());
        matches!(&folder[..], [b'f', b'o', b'l', b'd', b'e', b'r', b'0'..=b'9', b'0'..=b'9'])
    });
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct File {
    /// Tracks by number, then what has a name, then the mix; all tracks in one file come first.
    kind: u8,
    track: u64,
    dual: bool,
    part: u64,
}

/// `_Tr1_D_2` behind the take's name.
fn file(path: &RelPath) -> Option<File> {
    static FILE: LazyLock<Regex> = LazyLock::new(|| {
        let pattern =
            r"(?i-u)^(?:_tr(?:(?<n>[0-9]{1,2})|(?<mix>l_?r)|(?<named>[a-z]+))(?<dual>_d)?)?(?:_(?<part>[0-9]{1,2}))?$";
        Regex::new(pattern).expect("a track's pattern")
    });
    let folder = path.parent();
    let stem = folded(path.stem());
    let take = folded(folder.stem());
    let caps = FILE.captures(stem.strip_prefix(&take[..])?)?;
    let number = |name: &str| parts::number(caps.name(name)?.as_bytes());
    let kind = match (caps.name("n"), caps.name("named"), caps.name("mix")) {
        (Some(_), ..) => 1,
        (_, Some(_), _) => 2,
        (_, _, Some(_)) => 3,
        _ => 0,
    };
    let part = number("part").unwrap_or(1);
    Some(File { kind, track: number("n").unwrap_or(0), dual: caps.name("dual").is_some(), part })
}

#[cfg(test)]
mod tests {
    use crate::card::tests::{clips, listing, recognise};

    fn take(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| format!("F8/Scene001-T001.TAKE/Scene001-T001{n}")).collect()
    }

    #[test]
    fn a_take_folder_is_one_clip_with_its_tracks_in_order() {
        let names = take(&["_Tr1.WAV", "_Tr10.WAV", "_Tr1_D.WAV", "_Tr2.WAV", "_TrL_R.WAV", ".zdt"]);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let [tr1, tr10, tr1_d, tr2, mix, notes] = names[..] else { panic!("six names") };
        assert_eq!(
            clips(&names),
            [format!(
                "zoom Scene001-T001: {tr1}=essence {tr1_d}=essence {tr2}=essence {tr10}=essence {mix}=essence \
                 {notes}=sidecar"
            )]
        );
        let card = recognise(listing(&[(tr1.as_bytes(), 1)]));
        assert_eq!(card.clips[0].said.iter().map(|s| s.fact.value.as_str()).collect::<Vec<_>>(), ["Scene001", "001"]);
    }

    #[test]
    fn further_files_of_a_track_follow_it_and_one_that_lacks_is_told() {
        let whole = take(&["_Tr1.WAV", "_Tr1_2.WAV", "_Tr2.WAV", "_Tr2_2.WAV"]);
        let gaps = |names: &[String]| {
            let names: Vec<_> = names.iter().map(|n| (n.as_bytes(), 1)).collect();
            recognise(listing(&names)).gaps
        };
        assert!(gaps(&whole).is_empty());
        let first = &clips(&whole.iter().map(String::as_str).collect::<Vec<_>>())[0];
        assert!(first.find("_Tr1_2").unwrap() < first.find("_Tr2.").unwrap(), "{first}");
        let cut = gaps(&whole[..3]);
        assert_eq!(cut.len(), 1);
        assert!(cut[0].text.contains("file 2 is not here"), "{}", cut[0].text);
        // Tracks 1, 2 and 7 may be all that were armed.
        assert!(gaps(&take(&["_Tr1.WAV", "_Tr7.WAV", "_TrL_R.WAV", "_TrL_R_2.WAV"])).is_empty());
    }

    #[test]
    fn a_handy_recorder_has_folders_of_numbered_files() {
        assert_eq!(
            clips(&["FOLDER01/ZOOM0001.WAV", "FOLDER01/ZOOM0002.WAV"]),
            ["zoom ZOOM0001: FOLDER01/ZOOM0001.WAV=essence", "zoom ZOOM0002: FOLDER01/ZOOM0002.WAV=essence"]
        );
    }
}
