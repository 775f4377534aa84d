//! RED. A clip is its `.RDC` folder; `_001`, `_002`, ... are one recording in parts. ProRes or DNx inside it is the proxy
//! when the R3D is there, and the recording itself when it is not. The movies of the RED ONE (`_H`, `_M`, `_F`, `_P`) only
//! point into the R3D.

use super::family::{Family, Ground, rule};
use super::{Found, gaps};
use crate::card::kind;
use crate::card::warn::about;
use crate::clip::Role::{self, Audio, Essence, Proxy, Sidecar, Thumb};
use crate::relpath::RelPath;
use std::collections::BTreeSet;

/// `A001_C001_0818F4`: camera and reel, the place of the camera (`C`, or a letter) and the clip, day, two marks.
macro_rules! name {
    () => {
        r"(?<name>(?<clip_name>(?<clip>(?<reel>(?<camera>[a-z])\d{3})_[a-z]\d{3}_\d{4}[0-9a-z]{2})))"
    };
}
macro_rules! rdc {
    () => {
        r"(?<at>(?:[^/]+/)*[^/]+\.rdc)/"
    };
}

pub(super) const FAMILY: Family = Family {
    layout: "red",
    markers: &[r"(?:[^/]+/)*[^/]+\.rd[mc]", r"(?:[^/]+/)*[a-z]\d{3}_[a-z]\d{3}_\d{4}[0-9a-z]{2}_\d{3}\.r3d"],
    rules: &[
        rule(Essence, concat!(rdc!(), name!(), r"_(?<part>\d{3})\.(?:r3d|mov|mxf)")),
        rule(Essence, concat!(rdc!(), name!(), r"\.(?:r3d|mov|mxf)")),
        rule(Sidecar, concat!(rdc!(), r"(?<clip>[^/]+)_[hmfp]\.mov")),
        rule(Essence, concat!(rdc!(), r"(?<clip>[^/]+)_(?<part>\d{3})\.(?:r3d|mov|mxf)")),
        rule(Essence, concat!(rdc!(), r"(?<clip>[^/]+)\.(?:r3d|mov|mxf)")),
        rule(Audio, concat!(rdc!(), r"(?<clip>[^/]+?)(?:_\d{3})?\.wav")),
        rule(Thumb, concat!(rdc!(), r"(?<clip>[^/]+?)(?:_\d{3})?\.(?:rtn|jpg)")),
        rule(Sidecar, concat!(rdc!(), r"(?<clip>[^/.]+?)(?:_\d{3})?(?:\.[^/.]+)?\.", beside!())),
        // Parts that somebody took out of their folder.
        rule(Essence, concat!(r"(?<at>(?:[^/]+/)*)", name!(), r"_(?<part>\d{3})\.r3d")),
        rule(Sidecar, concat!(r"(?<at>(?:[^/]+/)*)", name!(), r"(?:_\d{3})?(?:\.[^/.]+)?\.", beside!())),
    ],
    finish: Some(finish),
};

fn finish(ground: &mut Ground, found: &mut Found) {
    for clip in &mut found.clips {
        gaps::demote(ground, clip, Proxy, |path| path.extension() != "r3d");
        let raw = |(i, r): &(u32, Role)| *r == Essence && ground.relpath(*i).extension() == "r3d";
        if clip.files.iter().any(raw) {
            found.gaps.extend(gaps::part_files(ground, clip, 3, Some(1)));
        }
    }
    // A folder of a clip that nothing was copied of but its rest.
    let mut filled: BTreeSet<RelPath> = BTreeSet::new();
    for (_, file) in ground.files().filter(|(_, f)| kind::of(&f.relpath) == kind::Kind::Video) {
        if !is_reference(&file.relpath) {
            filled.extend(file.relpath.ancestors());
        }
    }
    for folder in ground.listing.folders.iter().filter(|f| f.extension() == "rdc" && !filled.contains(*f)) {
        if folder.strip_prefix(&ground.base).is_some() {
            found.gaps.push(about("missing-clip", folder, "is a clip's folder without its recording"));
        }
    }
}

fn is_reference(path: &RelPath) -> bool {
    let stem = path.stem();
    path.extension() == "mov" && matches!(stem, [.., b'_', b'h' | b'm' | b'f' | b'p' | b'H' | b'M' | b'F' | b'P'])
}

#[cfg(test)]
mod tests {
    use crate::card::tests::{card, clips, seen};
    use crate::fact::Field;

    const RDC: &str = "A001_0818F4.RDM/A001_C001_08186M.RDC/A001_C001_08186M";

    fn seen_of(tails: &[&str]) -> Vec<String> {
        let names: Vec<String> = tails.iter().map(|t| format!("{RDC}{t}")).collect();
        seen(&names.iter().map(|n| (n.as_str(), &b"x"[..])).collect::<Vec<_>>())
    }

    #[test]
    fn parts_are_one_clip_in_their_order() {
        let all = [format!("{RDC}_001.R3D"), format!("{RDC}_002.R3D"), format!("{RDC}_010.R3D")];
        let card = card(&all.each_ref().map(|n| (n.as_str(), &b"x"[..])));
        assert_eq!(card.clips.len(), 1);
        assert_eq!(card.clips[0].essence().map(|p| p.to_string()).collect::<Vec<_>>(), all);
        let of = |f| card.clips[0].said.iter().find(|s| s.fact.field == f).map(|s| s.fact.value.as_str());
        assert_eq!((of(Field::Reel), of(Field::Camera)), (Some("A001"), Some("A")));
        assert_eq!(of(Field::ClipName), Some("A001_C001_08186M"));
    }

    #[test]
    fn a_whole_clip_has_its_still_and_its_look() {
        assert_eq!(
            seen_of(&["_001.R3D", "_002.R3D", ".RTN", ".RMD", "_001.static.csv", "_001.wav"]),
            ["red A001_C001_08186M 2+1+2+0+1"]
        );
        let komodo = "A001_0818F4.RDM/A001_A001_08186M.RDC/A001_A001_08186M_001.R3D";
        assert_eq!(clips(&[komodo, "digital_magazine.bin"]), [format!("red A001_A001_08186M: {komodo}=essence")]);
    }

    #[test]
    fn a_hole_or_a_missing_first_part_is_a_gap() {
        let gap = |n: &str| format!("missing-part:{RDC}_{n}.R3D");
        assert_eq!(seen_of(&["_001.R3D", "_003.R3D"])[1..], [gap("002")]);
        assert_eq!(seen_of(&["_002.R3D", "_003.R3D"])[1..], [gap("001")]);
        assert_eq!(seen_of(&["_004.R3D"]), ["red A001_C001_08186M 1+0+0+0+0".into(), gap("001")]);
    }

    #[test]
    fn prores_is_the_proxy_of_its_raw_and_the_recording_without_it() {
        assert_eq!(seen_of(&["_001.R3D", "_001.mov", "_002.mov"]), ["red A001_C001_08186M 1+0+0+2+0"]);
        assert_eq!(seen_of(&["_001.mov", "_002.mov"]), ["red A001_C001_08186M 2+0+0+0+0"]);
        assert_eq!(seen_of(&[".mxf", ".RTN"]), ["red A001_C001_08186M 1+0+0+0+1"]);
    }

    #[test]
    fn reference_movies_of_the_red_one_belong_to_their_raw() {
        assert_eq!(seen_of(&["_001.R3D", "_H.mov", "_M.mov", "_F.mov", "_P.mov"]), ["red A001_C001_08186M 1+0+4+0+0"]);
    }

    #[test]
    fn a_folder_without_its_recording_is_a_gap() {
        let folder = RDC.rsplit_once('/').unwrap().0;
        assert_eq!(seen_of(&[".RTN"]), [format!("missing-clip:{folder}")]);
        let only_references = seen_of(&["_H.mov"]);
        assert!(only_references.contains(&format!("missing-clip:{folder}")), "{only_references:?}");
    }

    #[test]
    fn parts_outside_their_folder_are_still_one_clip() {
        let names = ["A001_C001_08186M_001.R3D", "A001_C001_08186M_002.R3D", "A001_C001_08186M.RMD"];
        assert_eq!(clips(&names).len(), 1);
        assert_eq!(clips(&["DSC_0001.R3D"]), ["generic DSC_0001: DSC_0001.R3D=essence"], "a Nikon's");
    }
}
