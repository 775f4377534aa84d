//! Sony VENICE, FX9, FX6, FS7, PXW: XAVC in MXF under `XDROOT` (in `PRIVATE` on SD). VENICE may give that folder the name
//! of camera and reel; then its `MEDIAPRO.XML` or the clips' sidecars tell it.

use super::family::{Family, Ground, rule};
use super::{Found, mediapro, xdcam};
use crate::card::kind::{self, Kind, folded};
use crate::clip::Role::{Essence, Proxy, Sidecar, Thumb};
use crate::relpath::RelPath;
use std::collections::HashMap;

macro_rules! at {
    () => {
        r"(?<at>(?:private/)?(?:[^/]+/)?)"
    };
}

pub(super) const FAMILY: Family = Family {
    layout: "sony-xavc",
    markers: &[
        r"(?:private/)?xdroot",
        r"(?:private/)?[a-z]\d{3}[0-9a-z_]*/mediapro\.xml",
        r"(?:private/)?(?:[^/]+/)?clip/[^/]+m\d\d\.xml",
    ],
    rules: &[
        rule(
            Essence,
            concat!(
                at!(),
                r"clip/(?<name>(?<clip_name>(?<clip>(?<reel>(?<camera>[a-z])\d{3})c\d{3}_(?<ymd>\d{6})[0-9a-z]{2})))\.mxf"
            ),
        ),
        rule(Essence, concat!(at!(), r"clip/(?<clip>[^/]+)\.(?:mxf|mp4)")),
        rule(Sidecar, concat!(at!(), r"clip/(?<clip>[^/]+)(?:m\d\d\.xml|r\d\d\.bim|m\d\d\.klv)")),
        rule(Sidecar, concat!(at!(), r"clip/(?<clip>[^/]+)\.", beside!())),
        rule(Proxy, concat!(at!(), r"sub/(?<clip>[^/]+)s\d\d\.(?:mp4|mxf)")),
        rule(Sidecar, concat!(at!(), r"sub/(?<clip>[^/]+)(?:s\d\d)?m\d\d\.xml")),
        rule(Thumb, concat!(at!(), r"thmbnl/(?<clip>[^/]+)t\d\d\.jpg")),
    ],
    finish: Some(finish),
};

fn finish(ground: &mut Ground, found: &mut Found) {
    mediapro::check(ground, found, "xdroot", 2);
    xdcam::cue_up(ground, found);
    chunks(ground, found);
}

/// Proxies cut into chunks for the upload (`General/Sony/PXTMP`) go with the clip whose name their own begins with.
fn chunks(ground: &mut Ground, found: &mut Found) {
    let mut named: HashMap<(RelPath, Vec<u8>), usize> = HashMap::new();
    for (n, clip) in found.clips.iter().enumerate() {
        let lead = clip.files.first().map(|(i, _)| ground.relpath(*i));
        named.extend(lead.map(|p| ((p.parent().parent(), folded(p.stem())), n)));
    }
    for (index, file) in ground.files().filter(|(_, f)| kind::of(&f.relpath) == Kind::Video) {
        let folder = file.relpath.ancestors().into_iter().find(|f| folded(f.name()) == b"general");
        let (Some(root), false) = (folder.map(|f| f.parent()), ground.taken[index as usize]) else { continue };
        let stem = folded(file.relpath.stem());
        let longest = (1..=stem.len()).rev().find_map(|len| named.get(&(root.clone(), stem[..len].to_vec())));
        if let Some(n) = longest {
            found.clips[*n].files.push((index, Proxy));
            ground.taken[index as usize] = true;
        }
    }
    found.clips.iter_mut().for_each(|c| c.files.sort_by_key(|(_, role)| *role));
}

#[cfg(test)]
mod tests {
    use crate::card::layouts::mediapro::tests::index;
    use crate::card::tests::{card, seen};
    use crate::fact::Field;

    fn tree(root: &str) -> Vec<String> {
        let names = [
            "Clip/A001C001_220908AG.MXF",
            "Clip/A001C001_220908AGM01.XML",
            "Clip/A001C001_220908AGR01.BIM",
            "Clip/A001C001_220908AGM02.KLV",
            "Clip/SG DARSHAN 0065.MXF",
            "Clip/SG DARSHAN 0065M01.XML",
            "Sub/A001C001_220908AGS03.MP4",
            "Sub/SG DARSHAN 0065S01.MXF",
            "Thmbnl/A001C001_220908AGT01.JPG",
            "CUEUP.XML",
            "DISCMETA.XML",
            "General/Sony/PXTMP/A001C001_220908AG_001.mp4",
            "General/Sony/PXTMP/A001C001_220908AG_002.mp4",
        ];
        names.iter().map(|n| format!("{root}{n}")).collect()
    }

    #[test]
    fn a_clip_has_all_that_is_named_after_it_under_any_name_of_the_root() {
        for root in ["XDROOT/", "PRIVATE/XDROOT/", "A001ABCD/", "B002_TEST/"] {
            let names = tree(root);
            let index = index(&[
                ("Clip/A001C001_220908AG.MXF", "Sub/A001C001_220908AGS03.MP4"),
                ("Clip/SG%20DARSHAN 0065.MXF", ""),
            ]);
            let at = format!("{root}MEDIAPRO.XML");
            let mut files: Vec<(&str, &[u8])> = names.iter().map(|n| (n.as_str(), &b"x"[..])).collect();
            files.push((&at, index.as_bytes()));
            let clips = seen(&files);
            assert_eq!(
                clips,
                ["sony-xavc A001C001_220908AG 1+0+3+3+1", "sony-xavc SG DARSHAN 0065 1+0+1+1+0"],
                "{root}"
            );
            let card = card(&files);
            let of = |f| card.clips[0].said.iter().find(|s| s.fact.field == f).map(|s| s.fact.value.as_str());
            assert_eq!((of(Field::Reel), of(Field::RecordedAt)), (Some("A001"), Some("2022-09-08")));
            assert_eq!(of(Field::ClipId), Some("060A0"));
        }
    }

    #[test]
    fn review_marks_of_a_clip_that_is_not_here_are_a_gap_and_broken_ones_are_not() {
        let marks = "<CueUp><Item uri=\"./Clip/X 1.MXF\"/><Item>X2.MXF</Item><Item uri=\"./Clip/X3.MP4\"/></CueUp>";
        let clip = ("XDROOT/Clip/X 1.MXF", &b"x"[..]);
        let seen_of = |marks: &[u8]| seen(&[clip, ("XDROOT/CUEUP.XML", marks)]);
        let lost = ["missing-clip:XDROOT/Clip/X2.MXF", "missing-clip:XDROOT/Clip/X3.MP4"];
        assert_eq!(seen_of(marks.as_bytes())[1..], lost);
        assert_eq!(seen_of(&marks.as_bytes()[..30]).len(), 1);
    }

    #[test]
    fn a_proxy_of_another_name_is_found_by_the_index() {
        let index = index(&[("Clip/X1.MXF", "Sub/other.MP4"), ("Clip/X2.MXF", "")]);
        let seen = seen(&[
            ("XDROOT/Clip/X1.MXF", b"x"),
            ("XDROOT/Sub/other.MP4", b"x"),
            ("XDROOT/MEDIAPRO.XML", index.as_bytes()),
        ]);
        assert_eq!(seen, ["sony-xavc X1 1+0+0+1+0", "missing-clip:XDROOT/Clip/X2.MXF"]);
    }

    #[test]
    fn the_root_itself_may_be_what_was_copied() {
        let files: &[(&str, &[u8])] =
            &[("Clip/X1.MXF", b"x"), ("Clip/X1M01.XML", b"x"), ("Sub/X1S03.MP4", b"x"), ("MEDIAPRO.XML", b"")];
        assert_eq!(seen(files), ["sony-xavc X1 1+0+1+1+0", "empty-index:MEDIAPRO.XML"]);
    }
}
