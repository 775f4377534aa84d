//! Sony XDCAM EX on SxS, and JVC's ProHD that took its form: a folder a part below `BPAV/CLPR`. FAT32 cuts a recording at
//! 4 GB: `709_0001_01`, `709_0001_02` are one take, and the next part may lie on the other slot's card.

use super::family::{Family, Ground, rule};
use super::{Found, gaps, mediapro, parts};
use crate::card::kind::{self, folded};
use crate::card::warn::about;
use crate::clip::Role::{Essence, Sidecar, Thumb};
use crate::relpath::RelPath;
use std::collections::BTreeMap;

macro_rules! clpr {
    () => {
        r"(?<at>(?:private/)?(?:jvc/)?bpav)/clpr/"
    };
}

pub(super) const FAMILY: Family = Family {
    layout: "xdcam-ex",
    markers: &[r"(?:private/)?(?:jvc/)?bpav"],
    rules: &[
        rule(Essence, concat!(clpr!(), r"(?<clip>[^/]+)_(?<part>\d\d)/[^/]+\.(?:mp4|mxf|mov)")),
        rule(Essence, concat!(clpr!(), r"(?<clip>[^/]+)/[^/]+\.(?:mp4|mxf|mov)")),
        rule(Thumb, concat!(clpr!(), r"(?<clip>[^/]+)_\d\d/[^/]+\.(?:jpg|thm)")),
        rule(Sidecar, concat!(clpr!(), r"(?<clip>[^/]+)_\d\d/[^/]+")),
        rule(Sidecar, concat!(clpr!(), r"(?<clip>[^/]+)/[^/]+")),
        rule(Sidecar, r"(?<at>(?:private/)?(?:jvc/)?bpav)/takr/(?<clip>[^/]+)/[^/]+"),
    ],
    finish: Some(finish),
};

fn finish(ground: &mut Ground, found: &mut Found) {
    for clip in &found.clips {
        let folders: Vec<RelPath> =
            clip.files.iter().filter(|(_, r)| *r == Essence).map(|(i, _)| ground.relpath(*i).parent()).collect();
        let parts: Vec<u64> = folders.iter().filter_map(|f| Some(part(f)?.1)).collect();
        let Some(((stem, _), folder)) = folders.first().and_then(|f| Some((part(f)?, f))) else { continue };
        let holes = parts::holes(Some(1), parts);
        if let Some((first, _)) = holes.first() {
            let name = [stem, format!("_{first:02}").as_bytes()].concat();
            let missing = folder.parent().join(name).unwrap_or_else(|_| folder.clone());
            found.gaps.push(gaps::lost(&missing, &clip.name, &holes));
        }
    }
    without_essence(ground, found);
    mediapro::check(ground, found, "bpav", 3);
}

/// `709_0001_02` -> `709_0001`, 2.
fn part(folder: &RelPath) -> Option<(&[u8], u64)> {
    let [stem @ .., b'_', a, b] = folder.name() else { return None };
    let digit = |d: &u8| d.is_ascii_digit().then(|| u64::from(d - b'0'));
    Some((stem, digit(a)? * 10 + digit(b)?))
}

/// Folders of a part that hold its sidecars only.
fn without_essence(ground: &Ground, found: &mut Found) {
    let mut folders: BTreeMap<RelPath, bool> = BTreeMap::new();
    for (_, file) in ground.files() {
        let folder = file.relpath.parent();
        if folded(folder.parent().as_bytes()).ends_with(b"bpav/clpr") {
            *folders.entry(folder).or_default() |= kind::of(&file.relpath).is_essence();
        }
    }
    for folder in folders.into_iter().filter(|(_, there)| !there).map(|(f, _)| f) {
        found.gaps.push(about("missing-essence", &folder, "is a clip's folder without its recording"));
    }
}

#[cfg(test)]
mod tests {
    use crate::card::tests::{card, seen};

    fn folder(base: &str, part: &str) -> Vec<String> {
        let at = |tail: &str| format!("{base}BPAV/CLPR/{part}/{part}{tail}");
        [".MP4", ".SMI", "M01.XML", "R01.BIM", "I01.PPN"].map(at).to_vec()
    }

    fn see(names: &[String], index: &str) -> Vec<String> {
        let mut files: Vec<(&str, &[u8])> = names.iter().map(|n| (n.as_str(), &b"x"[..])).collect();
        if !index.is_empty() {
            files.push(("BPAV/MEDIAPRO.XML", index.as_bytes()));
        }
        seen(&files)
    }

    #[test]
    fn parts_of_one_take_are_one_clip() {
        for base in ["", "PRIVATE/JVC/"] {
            let mut names =
                [folder(base, "709_0001_01"), folder(base, "709_0001_02"), folder(base, "709_0002_01")].concat();
            names.push(format!("{base}BPAV/TAKR/709_0001/709_0001.SMI"));
            names.push(format!("{base}BPAV/CUEUP.XML"));
            assert_eq!(see(&names, ""), ["xdcam-ex 709_0001 2+0+9+0+0", "xdcam-ex 709_0002 1+0+4+0+0"]);
            let files: Vec<(&str, &[u8])> = names.iter().map(|n| (n.as_str(), &b"x"[..])).collect();
            let order: Vec<String> = card(&files).clips[0].essence().map(|p| p.to_string()).collect();
            assert_eq!(order, [names[0].clone(), names[5].clone()]);
        }
    }

    #[test]
    fn a_hole_a_missing_first_part_and_a_folder_without_essence_are_gaps() {
        let lost = |part: &str| format!("missing-part:BPAV/CLPR/{part}");
        assert_eq!(see(&folder("", "709_0001_02"), "")[1..], [lost("709_0001_01")]);
        let names = [folder("", "709_0001_01"), folder("", "709_0001_03")].concat();
        assert_eq!(see(&names, "")[1..], [lost("709_0001_02")]);
        let names = [folder("", "709_0001_01"), folder("", "709_0003_01")[1..].to_vec()].concat();
        assert_eq!(see(&names, "")[1..], ["missing-essence:BPAV/CLPR/709_0003_01"]);
    }

    #[test]
    fn the_index_names_parts_by_their_lists() {
        let material = |part: &str| {
            format!(
                "<Material uri=\"./CLPR/{part}/{part}.SMI\" umid=\"U{part}\"><Component uri=\"./CLPR/{part}/{part}.MP4\"/></Material>"
            )
        };
        let index = |parts: &[&str]| {
            let all: String = parts.iter().map(|p| material(p)).collect();
            format!("<MediaProfile><Contents>{all}</Contents></MediaProfile>")
        };
        let names = [folder("", "709_0001_01"), folder("", "709_0001_02")].concat();
        assert_eq!(see(&names, &index(&["709_0001_01", "709_0001_02"])), ["xdcam-ex 709_0001 2+0+8+0+0"]);
        let lists = index(&["709_0001_01", "709_0001_02"]).replace("<Component uri=", "<Other uri=");
        assert_eq!(see(&names, &lists), ["xdcam-ex 709_0001 2+0+8+0+0"], "an index that names the lists only");
        let seen = see(&names, &index(&["709_0001_01", "709_0001_02", "709_0002_01"]));
        assert_eq!(seen[1..], ["missing-clip:BPAV/CLPR/709_0002_01/709_0002_01.SMI"]);
    }
}
