//! JVC ProHD: `PRIVATE/JVC`, in one of its recording modes with the folders of an XDCAM EX card, where a recording of more
//! than 4 GB goes on in `_02`, `_03`: one clip, that may end on the other slot's card.

use super::family::{Family, Ground, rule};
use super::{Found, parts};
use crate::clip::Role::{Essence, Proxy, Sidecar, Thumb};

pub(super) const FAMILY: Family = Family {
    layout: "jvc",
    markers: &[r"private/jvc", r"dcim/\d{3}jvc\w\w"],
    rules: &[
        rule(Essence, r"(?<at>private/jvc/bpav/clpr)/(?<name>(?<clip>[^/]+)_\d\d)/[^/]+_(?<part>\d\d)\.mp4"),
        rule(Sidecar, r"(?<at>private/jvc/bpav/clpr)/(?<clip>[^/]+)_\d\d/[^/]+\.(smi|xml|bim|ppn)"),
        rule(Essence, r"(?<at>(?:private/jvc|dcim)/(?:[^/]+/)*)(?<clip>[^/]+)\.(mov|mp4|mxf|mts)"),
        rule(Thumb, r"(?<at>(?:private/jvc|dcim)/(?:[^/]+/)*)(?<clip>[^/]+)\.(jpg|thm)"),
        rule(Proxy, r"(?<at>(?:private/jvc|dcim)/(?:[^/]+/)*)(?<clip>[^/]+)\.lrv"),
        rule(Sidecar, r"(?<at>(?:private/jvc|dcim)/(?:[^/]+/)*)(?<clip>[^/]+)\.xml"),
    ],
    finish: Some(gaps),
};

fn gaps(ground: &mut Ground, found: &mut Found) {
    super::twins::part_unless(ground, found, &[], &[], |p| parts::lies_in(p, "clpr"));
    for clip in &found.clips {
        let paths = || clip.files.iter().filter(|(_, r)| *r == Essence).map(|(i, _)| ground.relpath(*i));
        let Some(first) = paths().next().filter(|p| parts::lies_in(p, "clpr")) else { continue };
        let part = |p: &[u8]| p.len().checked_sub(2).and_then(|at| parts::number(&p[at..]));
        let mut have: Vec<u64> = paths().filter_map(|p| part(p.stem())).collect();
        have.sort_unstable();
        found.gaps.extend(parts::missing(first, "part", &parts::holes(1, have)));
    }
}

#[cfg(test)]
mod tests {
    use crate::card::tests::{clips, listing, recognise};

    #[test]
    fn parts_are_one_clip() {
        let at = "PRIVATE/JVC/BPAV/CLPR/709_0001";
        let names = [
            format!("{at}_01/709_0001_01.MP4"),
            format!("{at}_01/709_0001_01M01.XML"),
            format!("{at}_02/709_0001_02.MP4"),
        ];
        assert_eq!(
            clips(&names.each_ref().map(String::as_str)),
            [format!("jvc 709_0001_01: {}=essence {}=essence {}=sidecar", names[0], names[2], names[1])]
        );
        let card = recognise(listing(&[(names[2].as_bytes(), 1)]));
        assert_eq!(card.gaps[0].id, format!("missing-part:{}", names[2]));
    }

    #[test]
    fn other_recordings_are_one_file_each() {
        assert_eq!(
            clips(&["PRIVATE/JVC/CQAV/CLIP/A0001.MOV", "DCIM/100JVCSO/B0001.MOV"]),
            ["jvc B0001: DCIM/100JVCSO/B0001.MOV=essence", "jvc A0001: PRIVATE/JVC/CQAV/CLIP/A0001.MOV=essence"]
        );
    }
}
