//! Sony XDCAM EX on SxS, and JVC's ProHD that took its form: a folder a part below `BPAV/CLPR`. FAT32 cuts a recording at
//! 4 GB: `709_0001_01`, `709_0001_02` are one take, and the next part may lie on the other slot's card.

use super::family::{Family, Ground, rule};
use super::gaps::{self, Names};
use super::{Found, mediapro, parts, xdcam};
use crate::card::kind::{self, folded};
use crate::card::warn::about;
use crate::clip::Role::{Essence, Sidecar, Thumb};
use crate::fact::{Fact, Field};
use crate::read::mentions;
use crate::relpath::RelPath;
use std::collections::{BTreeMap, BTreeSet};

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
    xdcam::cue_up(ground, found);
    takes(ground, found);
}

/// A take that runs over several cards has a list on each: `709_0001U01.SMI` on the first, `U02` on the next, and
/// `709_0001.SMI` on the last (Adobe's XMP Toolkit, XDCAM EX). A list that can be read names its parts.
fn takes(ground: &mut Ground, found: &mut Found) {
    let mut read = Vec::new();
    for (n, clip) in found.clips.iter().enumerate() {
        let lists = clip.files.iter().map(|(i, _)| *i).filter(|i| {
            let path = ground.relpath(*i);
            path.extension() == "smi" && folded(path.parent().parent().name()) == b"takr"
        });
        read.extend(lists.map(|index| (n, index)));
    }
    if read.is_empty() {
        return;
    }
    let names = Names::of(ground);
    for (n, index) in read {
        let path = ground.relpath(index);
        let goes_on = matches!(folded(path.stem())[..], [.., b'u', b'0'..=b'9', b'0'..=b'9']);
        let size_bytes = ground.size_bytes(index);
        let text = (size_bytes > 0).then(|| (ground.read)(path)).transpose();
        let parts = text
            .map_err(|e| e.to_string())
            .and_then(|bytes| bytes.as_deref().map(mentions::elements).transpose().map_err(|e| e.to_string()));
        match parts {
            Ok(parts) => {
                // Relative to the list, or to `BPAV`.
                let root = path.parent().parent().parent();
                let folder = |v: &str| if v.starts_with("..") { path.parent() } else { root.clone() };
                let there = |v: &str| names.at(&folder(v), v).or(names.at(&path.parent(), v)).is_some();
                let is_part = |v: &&String| [".smi", ".mp4"].iter().any(|e| v.to_lowercase().ends_with(e));
                let parts: BTreeSet<String> = parts.into_iter().flatten().flatten().filter(|v| is_part(&v)).collect();
                let lost = parts.iter().filter(|v| !there(v)).filter_map(|v| Names::address(&folder(v), v)).collect();
                gaps::absent("missing-essence", path, "part of a take", &lost, &mut found.gaps);
            }
            Err(why) => found.notes.push(format!("\"{path}\" cannot be read: {why}")),
        }
        let clip = &mut found.clips[n];
        if goes_on && !clip.facts.iter().any(|f| f.field == Field::ShotId) {
            clip.facts.extend(Fact::new(Field::ShotId, &clip.name));
            clip.facts.extend(Fact::new(Field::Note, "the take goes on on another card"));
        }
    }
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
    fn a_take_that_goes_on_on_another_card_says_so() {
        let names = folder("", "709_0001_01");
        let list = |name: &str| -> Vec<String> {
            let mut files: Vec<(&str, &[u8])> = names.iter().map(|n| (n.as_str(), &b"x"[..])).collect();
            let path = format!("BPAV/TAKR/709_0001/{name}");
            files.push((&path, b"<smil><body><par><ref src=\"urn:smpte:umid:060A\"/></par></body></smil>"));
            let card = card(&files);
            assert!(card.gaps.is_empty(), "{:?}", card.gaps);
            card.clips[0].said.iter().map(|s| format!("{}={}", s.fact.field.name(), s.fact.value)).collect()
        };
        assert_eq!(list("709_0001U01.SMI"), ["shot_id=709_0001", "note=the take goes on on another card"]);
        assert!(list("709_0001.SMI").is_empty());
    }

    #[test]
    fn a_part_that_the_take_names_and_the_card_lacks_is_a_gap_and_a_broken_list_a_note() {
        let names = folder("", "709_0001_01");
        let take = |list: &[u8]| {
            let mut files: Vec<(&str, &[u8])> = names.iter().map(|n| (n.as_str(), &b"x"[..])).collect();
            files.push(("BPAV/TAKR/709_0001/709_0001.SMI", list));
            (seen(&files)[1..].to_vec(), card(&files).notes.len())
        };
        let part = |n: u32| format!("<ref src=\"../../CLPR/709_0001_{n:02}/709_0001_{n:02}.SMI\"/>");
        let whole = format!("<smil><body>{}{}</body></smil>", part(1), part(2));
        let (gaps, notes) = take(whole.as_bytes());
        assert_eq!((gaps.len(), notes), (1, 0), "{gaps:?}");
        assert!(gaps[0].ends_with("CLPR/709_0001_02/709_0001_02.SMI"), "{gaps:?}");
        assert_eq!(take(&whole.as_bytes()[..40]), (vec![], 1));
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
