//! Canon XF: `CONTENTS/CLIPS001` with a folder a clip, cut into `AA000101.MXF`, `AA000102.MXF` at 2 or 4 GB; from the C300
//! Mark II on, one `A001C001_170823D4_CANON.MXF` a clip. People copy the latter flat.

use super::family::{Family, Ground, rule};
use super::{Found, gaps};
use crate::card::kind::folded;
use crate::card::warn::about;
use crate::clip::Role::{Audio, Essence, Proxy, Sidecar, Thumb};
use crate::relpath::RelPath;
use std::collections::{BTreeMap, BTreeSet, HashSet};

macro_rules! clips {
    () => {
        r"(?<at>(?:private/)?(?:canonxf/)?contents/clips\d{3})/"
    };
}
macro_rules! name {
    () => {
        r"(?<name>(?<clip_name>(?<clip>(?<reel>(?<camera>[a-z])\d{3})c\d{3}_(?<ymd>\d{6})[0-9a-z]{2}_canon)))(?:_(?<part>\d{3}))?"
    };
}

pub(super) const FAMILY: Family = Family {
    layout: "canon-xf",
    markers: &[
        r"(?:private/)?(?:canonxf/)?contents/clips\d{3}",
        r"(?:[^/]+/)*[a-z]\d{3}c\d{3}_\d{6}[0-9a-z]{2}_canon(?:_\d{3})?\.mxf",
    ],
    rules: &[
        rule(Essence, concat!(clips!(), r"(?<clip>[0-9a-z_]{2}\d{4})/[0-9a-z_]{2}\d{4}(?<part>\d\d)\.(?:mxf|mp4)")),
        rule(Essence, concat!(clips!(), r"(?<clip>[0-9a-z_]{2}\d{4})(?<part>\d\d)\.(?:mxf|mp4)")),
        rule(Thumb, concat!(clips!(), r"(?<clip>[0-9a-z_]{2}\d{4})/[^/]+\.(?:thm|jpg)")),
        rule(Sidecar, concat!(clips!(), r"(?<clip>[0-9a-z_]{2}\d{4})/[^/]+\.", beside!())),
        rule(Essence, concat!(r"(?<at>(?:[^/]+/)*)", name!(), r"\.mxf")),
        rule(Proxy, concat!(r"(?<at>(?:[^/]+/)*)", name!(), r"_proxy\.(?:mp4|mxf)")),
        rule(Thumb, concat!(r"(?<at>(?:[^/]+/)*)", name!(), r"\.(?:thm|jpg)")),
        rule(Audio, concat!(r"(?<at>(?:[^/]+/)*)", name!(), r"\.wav")),
        rule(Sidecar, concat!(r"(?<at>(?:[^/]+/)*)", name!(), r"\.", beside!())),
        rule(Essence, concat!(clips!(), r"(?<clip>[^/]+)\.(?:mxf|mp4)")),
        rule(Thumb, concat!(clips!(), r"(?<clip>[^/]+)\.(?:thm|jpg)")),
        rule(Sidecar, concat!(clips!(), r"(?<clip>[^/]+)\.", beside!())),
    ],
    finish: Some(finish),
};

fn finish(ground: &mut Ground, found: &mut Found) {
    for clip in &found.clips {
        let numbered = clip.files.first().is_some_and(|(i, _)| clip_and_part(ground.relpath(*i)).is_some());
        let gap = if numbered {
            gaps::part_files(ground, clip, 2, Some(1))
        } else {
            super::canon_cinema::parts(ground, clip)
        };
        found.gaps.extend(gap);
    }
    without_essence(ground, found);
    gaps::empty(ground, |below| below.ends_with(b"/index.mif"), &mut found.gaps);
    // Nothing here reads the index itself; but one that was written before the clips beside it does not know them.
    let mut clips: BTreeMap<RelPath, Vec<u32>> = BTreeMap::new();
    for (index, _) in found.clips.iter().flat_map(|c| c.files.iter().filter(|(_, r)| *r == Essence)) {
        for folder in ground.relpath(*index).ancestors() {
            clips.entry(folder).or_default().push(*index);
        }
    }
    let indexes = ground.files().filter(|(_, f)| folded(f.relpath.name()) == b"index.mif" && f.size_bytes > 0);
    for (index, file) in indexes {
        let Some(clips) = clips.get(&file.relpath.parent()) else { continue };
        // All of them newer is a dump whose times are those of its copying.
        if clips.iter().any(|i| ground.listing.files[*i as usize].mtime_ns <= file.mtime_ns) {
            gaps::newer(ground, index, clips, &mut found.gaps);
        }
    }
}

/// `AA000102` -> `AA0001`
fn clip_and_part(path: &RelPath) -> Option<&[u8]> {
    let (clip, numbers) = (path.stem().get(..6)?, path.stem().get(2..)?);
    (numbers.len() == 6 && numbers.iter().all(u8::is_ascii_digit)).then_some(clip)
}

/// `CONTENTS/CLIPS001/AA0001`
fn is_clip_folder(ground: &Ground, folder: &RelPath) -> bool {
    let name = folder.name();
    let below = folded(ground.below(&folder.parent()).as_bytes());
    let clips = below.rsplit(|b| *b == b'/').next().unwrap_or_default();
    name.len() == 6 && name[2..].iter().all(u8::is_ascii_digit) && clips.starts_with(b"clips")
}

/// Folders of a clip that hold its sidecars only, while its parts do not lie beside them either.
fn without_essence(ground: &Ground, found: &mut Found) {
    let mut folders: BTreeSet<RelPath> = BTreeSet::new();
    let mut filled: HashSet<Vec<u8>> = HashSet::new();
    for (_, file) in ground.files() {
        let folder = file.relpath.parent();
        let is_media = matches!(file.relpath.extension().as_str(), "mxf" | "mp4");
        if let Some(clip) = clip_and_part(&file.relpath).filter(|_| is_media) {
            filled.extend([&folder, &folder.parent()].map(|f| folded(&[f.as_bytes(), b"/", clip].concat())));
        }
        if is_clip_folder(ground, &folder) {
            folders.insert(folder);
        }
    }
    for folder in folders.into_iter().filter(|f| !filled.contains(&folded(f.as_bytes()))) {
        found.gaps.push(about("missing-essence", &folder, "is a clip's folder without its recording"));
    }
}

#[cfg(test)]
mod tests {
    use crate::card::tests::{card, clips, seen};
    use crate::fact::Field;

    fn see(names: &[&str]) -> Vec<String> {
        seen(&names.iter().map(|n| (*n, &b"x"[..])).collect::<Vec<_>>())
    }

    const WHOLE: &[&str] = &[
        "CONTENTS/CLIPS001/AA0001/AA000101.MXF",
        "CONTENTS/CLIPS001/AA0001/AA000101.SIF",
        "CONTENTS/CLIPS001/AA0001/AA000102.MXF",
        "CONTENTS/CLIPS001/AA0001/AA0001.CIF",
        "CONTENTS/CLIPS001/AA0001/AA0001.XML",
        "CONTENTS/CLIPS001/AA0001/AA0001.THM",
        "CONTENTS/CLIPS001/AA0002/AA000201.MXF",
        "CONTENTS/CLIPS001/INDEX.MIF",
    ];

    #[test]
    fn a_folder_is_a_clip_of_all_its_parts() {
        assert_eq!(see(WHOLE), ["canon-xf AA0001 2+0+3+0+1", "canon-xf AA0002 1+0+0+0+0"]);
        let old: Vec<String> = WHOLE.iter().map(|n| format!("CANONXF/{n}")).collect();
        assert_eq!(see(&old.iter().map(String::as_str).collect::<Vec<_>>()).len(), 2);
    }

    #[test]
    fn parts_beside_the_folder_of_their_sidecars_are_its_clip() {
        let flat: Vec<String> = WHOLE.iter().map(|n| n.replace("AA0001/AA00010", "AA00010")).collect();
        let flat: Vec<&str> = flat.iter().map(String::as_str).collect();
        assert!(flat.contains(&"CONTENTS/CLIPS001/AA000102.MXF"));
        assert_eq!(see(&flat), ["canon-xf AA0001 2+0+3+0+1", "canon-xf AA0002 1+0+0+0+0"]);
    }

    #[test]
    fn missing_parts_and_folders_without_essence_are_gaps() {
        let first: Vec<&str> = WHOLE.iter().copied().filter(|n| !n.ends_with("AA000101.MXF")).collect();
        assert_eq!(see(&first)[2..], ["missing-part:CONTENTS/CLIPS001/AA0001/AA000101.MXF"]);
        let hole = [&WHOLE[..1], &["CONTENTS/CLIPS001/AA0001/AA000104.MXF"]].concat();
        assert_eq!(see(&hole)[1..], ["missing-part:CONTENTS/CLIPS001/AA0001/AA000102.MXF"]);
        let none: Vec<&str> =
            WHOLE.iter().copied().filter(|n| !(n.contains("AA0001/") && n.ends_with("MXF"))).collect();
        assert_eq!(see(&none)[1..], ["missing-essence:CONTENTS/CLIPS001/AA0001"]);
    }

    #[test]
    fn newer_cameras_write_one_file_a_clip_that_is_known_anywhere() {
        let name = "A001C001_170823D4_CANON";
        let (mxf, cif) = (format!("CONTENTS/CLIPS001/{name}.MXF"), format!("CONTENTS/CLIPS001/{name}.CIF"));
        assert_eq!(see(&[&mxf, &cif]), [format!("canon-xf {name} 1+0+1+0+0")]);
        let flat = format!("{name}.MXF");
        let card = card(&[(&flat, b"x")]);
        let of = |f| card.clips[0].said.iter().find(|s| s.fact.field == f).map(|s| s.fact.value.as_str());
        assert_eq!((of(Field::Reel), of(Field::RecordedAt)), (Some("A001"), Some("2017-08-23")));
        assert_eq!(clips(&["x/y/z/A001C001_170823D4_CANON.MXF"]).len(), 1);
    }

    #[test]
    fn an_empty_or_stale_index_is_a_gap() {
        let files: &[(&str, &[u8])] =
            &[("CONTENTS/CLIPS001/AA0001/AA000101.MXF", b"x"), ("CONTENTS/CLIPS001/INDEX.MIF", b"")];
        assert_eq!(seen(files)[1..], ["empty-index:CONTENTS/CLIPS001/INDEX.MIF"]);
        let mut listing = crate::card::tests::listing(&[
            (b"CONTENTS/CLIPS001/AA0001/AA000101.MXF", 1),
            (b"CONTENTS/CLIPS001/AA0002/AA000201.MXF", 1),
            (b"CONTENTS/CLIPS001/INDEX.MIF", 1),
        ]);
        let mut gaps = |first: i64, second: i64| {
            listing.files[0].mtime_ns = first * 1_000_000_000;
            listing.files[1].mtime_ns = second * 1_000_000_000;
            crate::card::tests::recognise(listing.clone()).gaps.into_iter().map(|g| g.id).collect::<Vec<_>>()
        };
        assert!(gaps(0, 300).is_empty());
        assert_eq!(gaps(0, 7200), ["newer-than-index:CONTENTS/CLIPS001/INDEX.MIF"]);
        assert!(gaps(3600, 7200).is_empty(), "copied without their times");
    }
}
