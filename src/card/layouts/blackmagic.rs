//! Blackmagic. `A001_08151512_C001.braw` is a clip; the URSA Mini Pro with two cards writes its second half as `.braw2` on
//! the other one. The `.sidecar` overrides what is in the file. Proxies lie in `Proxy/` under the same stem. Older cameras
//! write MOV or a folder of DNG frames: `BMC01_1_2012-08-08_1631_C0002`.

use super::family::{Family, Ground, rule};
use super::{Found, gaps};
use crate::clip::Role::{Audio, Essence, Proxy, Sidecar};
use crate::fact::{Fact, Field};

/// Camera and reel, month, day, hour and minute (no year), clip.
macro_rules! name {
    () => {
        r"(?<name>(?<clip_name>(?<clip>(?<reel>(?<camera>[a-z])\d{3})_\d{8}_c\d{3,4})))"
    };
}
macro_rules! older {
    () => {
        r"(?<name>(?<clip>[^/]+_\d{4}-\d{2}-\d{2}_\d{4}_c\d{4}))"
    };
}
macro_rules! at {
    () => {
        r"(?<at>(?:[^/]+/)*)"
    };
}

pub(super) const FAMILY: Family = Family {
    layout: "blackmagic",
    markers: &[
        r"(?:[^/]+/)*[^/]+\.braw2?",
        r"(?:[^/]+/)*[a-z]\d{3}_\d{8}_c\d{3,4}(?:_\d{6})?\.(?:mov|dng)",
        r"(?:[^/]+/)*[^/]+_\d{4}-\d{2}-\d{2}_\d{4}_c\d{4}(?:_\d{6})?\.(?:mov|dng)",
    ],
    rules: &[
        rule(Proxy, r"(?<at>(?:[^/]+/)*)proxy/(?<clip>[^/]+)\.(?:mp4|mov)"),
        rule(Sidecar, concat!(at!(), r"(?<clip>[^/]+)_s\d{3}\.braw")),
        rule(Essence, concat!(at!(), name!(), r"\.braw(?<part>2?)")),
        rule(Essence, concat!(at!(), r"(?<clip>[^/]+)\.braw(?<part>2?)")),
        rule(Essence, concat!(at!(), name!(), r"\.(?:mov|mp4)")),
        rule(Essence, concat!(at!(), older!(), r"\.mov")),
        rule(Essence, concat!(at!(), name!(), r"_(?<part>\d{6})\.dng")),
        rule(Essence, concat!(at!(), older!(), r"_(?<part>\d{6})\.dng")),
        rule(Audio, concat!(at!(), name!(), r"\.wav")),
        rule(Audio, concat!(at!(), older!(), r"\.wav")),
        rule(Sidecar, concat!(at!(), r"(?<clip>[^/.]+)(?:\.[^/.]+)?\.", beside!())),
    ],
    finish: Some(finish),
};

fn finish(ground: &mut Ground, found: &mut Found) {
    for clip in &mut found.clips {
        let raw = |p: &crate::relpath::RelPath| p.extension().starts_with("braw");
        if clip.files.iter().any(|(i, r)| *r == Essence && raw(ground.relpath(*i))) {
            gaps::demote(ground, clip, Proxy, |path| !raw(path));
        }
        let extension = |n: usize| clip.files.get(n).map(|(i, _)| ground.relpath(*i).extension());
        // The first half lies on the other card; both have the stem.
        if extension(0).as_deref() == Some("braw2") {
            clip.facts.extend(Fact::new(Field::ShotId, &clip.name));
            clip.facts.extend(Fact::new(Field::Note, "its first half is on the card of the other slot"));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::card::tests::{card, clips, seen};
    use crate::fact::Field;

    #[test]
    fn a_clip_has_its_sidecar_its_proxy_and_its_stills() {
        let names = [
            "A001_08151512_C001.braw",
            "A001_08151512_C001.sidecar",
            "A001_08151512_C001.metadata.txt",
            "A001_08151512_C001_S001.braw",
            "Proxy/A001_08151512_C001.mp4",
            "A001_08151514_C002.braw",
            "My Clip.braw",
        ];
        let files: Vec<(&str, &[u8])> = names.iter().map(|n| (*n, &b"x"[..])).collect();
        assert_eq!(
            seen(&files),
            [
                "blackmagic A001_08151512_C001 1+0+3+1+0",
                "blackmagic A001_08151514_C002 1+0+0+0+0",
                "blackmagic My Clip 1+0+0+0+0",
            ]
        );
        let card = card(&files);
        let of = |f| card.clips[0].said.iter().find(|s| s.fact.field == f).map(|s| s.fact.value.as_str());
        assert_eq!((of(Field::Reel), of(Field::Camera)), (Some("A001"), Some("A")));
        assert_eq!(of(Field::RecordedAt), None, "the name has no year");
    }

    #[test]
    fn two_halves_are_one_clip_and_one_half_knows_its_shot() {
        let (a, b) = ("A001_08151512_C001.braw", "A001_08151512_C001.braw2");
        assert_eq!(clips(&[b, a]), [format!("blackmagic A001_08151512_C001: {a}=essence {b}=essence")]);
        let half = card(&[(b, b"x")]);
        let shot = half.clips[0].said.iter().find(|s| s.fact.field == Field::ShotId).unwrap();
        assert_eq!((shot.fact.value.as_str(), half.gaps.len()), ("A001_08151512_C001", 0));
    }

    #[test]
    fn a_movie_beside_its_raw_is_its_proxy() {
        let raw: &[(&str, &[u8])] = &[("A001_08151512_C001.braw", b"x"), ("A001_08151512_C001.mp4", b"x")];
        assert_eq!(seen(raw), ["blackmagic A001_08151512_C001 1+0+0+1+0"]);
        assert_eq!(
            seen(&raw[1..]),
            ["generic A001_08151512_C001 1+0+0+0+0"],
            "an .mp4 alone says nothing of the maker"
        );
        assert_eq!(seen(&[("A001_08151512_C001.mov", b"x")]), ["blackmagic A001_08151512_C001 1+0+0+0+0"]);
    }

    #[test]
    fn older_names_are_movies_or_folders_of_frames() {
        let stem = "BMC01_1_2012-08-08_1631_C0002";
        let files = |numbers: &[u32]| -> Vec<String> {
            let mut all: Vec<_> = numbers.iter().map(|n| format!("{stem}/{stem}_{n:06}.dng")).collect();
            all.push(format!("{stem}/{stem}.wav"));
            all
        };
        let see = |names: &[String]| seen(&names.iter().map(|n| (n.as_str(), &b"x"[..])).collect::<Vec<_>>());
        assert_eq!(see(&files(&[0, 1, 2])), [format!("blackmagic {stem} 3+1+0+0+0")]);
        let hole = format!("missing-frames:{stem}/{stem}");
        assert_eq!(see(&files(&[0, 2])), [format!("blackmagic {stem} 2+1+0+0+0"), hole]);
        assert_eq!(see(&[format!("{stem}.mov")]), [format!("blackmagic {stem} 1+0+0+0+0")]);
    }
}
