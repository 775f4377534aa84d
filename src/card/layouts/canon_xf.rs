//! Canon XF: `CONTENTS/CLIPS001` with a folder a clip, cut into `AA000101.MXF`, `AA000102.MXF` at 2 or 4 GB; from the C300
//! Mark II on, one `A001C001_170823D4_CANON.MXF` a clip. People copy the latter flat.

use super::Found;
use super::family::{Family, Ground, rule};
use super::gaps::{self, Names};
use crate::card::kind::{self, folded};
use crate::card::warn::about;
use crate::clip::CardFile;
use crate::clip::Role::{Audio, Essence, Proxy, Sidecar, Thumb};
use crate::relpath::RelPath;
use regex::bytes::Regex;
use std::collections::{BTreeSet, HashSet};
use std::sync::LazyLock;

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
    beside(ground, found);
    // Nothing here reads the index itself; but one that was written before the clips beside it does not know them.
    for (_, file) in ground.files().filter(|(_, f)| folded(f.relpath.name()) == b"index.mif" && f.size_bytes > 0) {
        let folder = file.relpath.parent();
        let here = |i: &u32| ground.relpath(*i).strip_prefix(&folder).is_some();
        let clips: Vec<u32> = gaps::essence(&found.clips).into_iter().filter(here).collect();
        found.gaps.extend(gaps::newer(ground.listing, file, &clips, &[]));
    }
}

/// The files that Canon writes beside each recording are known by their names only, and those are telling: a SIF stands
/// for one part, CIF and CPF for a clip. In their bytes the names of recordings stand as plain text.
fn beside(ground: &mut Ground, found: &mut Found) {
    let names = Names::of(ground);
    let is_here = |folder: &RelPath, stem: &[u8]| {
        let at = |ending: &str| folder.join([stem, ending.as_bytes()].concat()).is_ok_and(|p| names.find(&p).is_some());
        at(".MXF") || at(".MP4") || at("_001.MXF") || at("_001.MP4")
    };
    let of_canon =
        |f: &CardFile| matches!(f.relpath.extension().as_str(), "sif" | "cif" | "cpf") && !kind::is_junk(&f.relpath);
    let mut lost = BTreeSet::new();
    for (_, file) in ground.files().filter(|(_, f)| of_canon(f)) {
        let (path, folder) = (&file.relpath, file.relpath.parent());
        let named = clip_and_part(path).is_some() || is_canon(path.stem());
        // A clip's own folder may hold its parts or lie beside them.
        let here = |stem: &[u8]| is_here(&folder, stem) || is_here(&folder.parent(), stem);
        if named && !here(path.stem()) {
            lost.extend(folder.join([path.stem(), b".MXF"].concat()));
        }
        if file.size_bytes == 0 || file.size_bytes > TEXT_BYTES || !(named || is_clip_folder(ground, &folder)) {
            continue;
        }
        let Ok(bytes) = (ground.read)(path) else {
            found.notes.push(format!("\"{path}\" could not be read for the recordings that it names"));
            continue;
        };
        let absent = plain_names(&bytes).into_iter().filter(|stem| !here(stem));
        lost.extend(absent.filter_map(|stem| folder.join([&stem[..], b".MXF"].concat()).ok()));
    }
    for path in lost {
        // As a hole between the numbers, or as a clip without any part, it is told already.
        let ids = [format!("missing-part:{path}"), format!("missing-essence:{}", path.parent())];
        let told = found.gaps.iter().any(|g| ids.iter().any(|id| id.eq_ignore_ascii_case(&g.id)));
        if !told {
            found.gaps.push(about("missing-part", &path, "is not here, but what the camera keeps of it is"));
        }
    }
}

/// A file beside a recording has some kilobytes.
const TEXT_BYTES: u64 = 1 << 20;

fn is_canon(stem: &[u8]) -> bool {
    static NAME: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?i-u)^[a-z]\d{3}c\d{3}_\d{6}[0-9a-z]{2}_canon(?:_\d{3})?$").expect("a clip's pattern")
    });
    NAME.is_match(stem)
}

/// Stems of recordings whose file names stand in these bytes as ASCII or UTF-16: `AA000102.MXF`,
/// `A001C001_170823D4_CANON.MXF`.
fn plain_names(bytes: &[u8]) -> BTreeSet<Vec<u8>> {
    static NAME: LazyLock<Regex> = LazyLock::new(|| {
        let pattern = r"(?-u)\b(?:[0-9A-Z_]{2}\d{6}|[A-Z]\d{3}C\d{3}_\d{6}[0-9A-Z]{2}_CANON(?:_\d{3})?)\.(?:MXF|MP4)\b";
        Regex::new(pattern).expect("a recording's pattern")
    });
    // In UTF-16 of either order every second byte is the text.
    let every_second = |from: usize| bytes.iter().skip(from).step_by(2).copied().collect::<Vec<u8>>();
    let [even, odd] = [every_second(0), every_second(1)];
    let names = [bytes, &even, &odd].into_iter().flat_map(|b| NAME.find_iter(b)).take(10_000);
    names.map(|m| m.as_bytes()[..m.len() - 4].to_vec()).collect()
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
    fn a_part_of_which_only_the_cameras_notes_are_here_is_a_gap() {
        let last =
            [WHOLE, &["CONTENTS/CLIPS001/AA0002/AA000201.SIF", "CONTENTS/CLIPS001/AA0002/AA000202.SIF"]].concat();
        assert_eq!(see(&last)[2..], ["missing-part:CONTENTS/CLIPS001/AA0002/AA000202.MXF"]);
        let flat = ["CONTENTS/CLIPS001/A001C001_170823D4_CANON.MXF", "CONTENTS/CLIPS001/A001C002_170823D5_CANON.CPF"];
        assert_eq!(see(&flat)[1..], ["missing-part:CONTENTS/CLIPS001/A001C002_170823D5_CANON.MXF"]);
        let spanned =
            ["CONTENTS/CLIPS001/A001C001_170823D4_CANON_001.MXF", "CONTENTS/CLIPS001/A001C001_170823D4_CANON.CIF"];
        assert_eq!(see(&spanned).len(), 1);
    }

    #[test]
    fn a_recording_that_those_notes_name_and_the_card_lacks_is_a_gap() {
        let wide: Vec<u8> = "AA000101.MXF\0AA000103.MXF".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [b"\x01\x02AA000101.MXF\0\xffAA000103.MXF\0XAA000109.MXFX".to_vec(), wide] {
            let files: Vec<(&str, &[u8])> = vec![
                ("CONTENTS/CLIPS001/AA0001/AA000101.MXF", b"x"),
                ("CONTENTS/CLIPS001/AA0001/AA000102.MXF", b"x"),
                ("CONTENTS/CLIPS001/AA0001/AA0001.CIF", &bytes),
            ];
            assert_eq!(seen(&files)[1..], ["missing-part:CONTENTS/CLIPS001/AA0001/AA000103.MXF"]);
        }
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
