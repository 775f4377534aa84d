//! Sony XDCAM disc, as its drive shows it: `Clip/` and `Sub/` with `INDEX.XML` (FAM), or a folder a clip below
//! `PROAV/CLPR` with picture and each sound channel in a file of its own (SAM). Clip names may be free.

use super::family::{Family, Ground, rule};
use super::gaps::{self, Names};
use super::{Found, mediapro};
use crate::card::kind::{self, folded};
use crate::card::warn::about;
use crate::clip::CardFile;
use crate::clip::Role::{Audio, Essence, Proxy, Sidecar, Thumb};
use crate::read::mentions;
use crate::relpath::RelPath;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

pub(super) const FAMILY: Family = Family {
    layout: "xdcam",
    markers: &[r"proav/clpr", r"alias\.xml", r"index\.xml"],
    rules: &[
        rule(Essence, r"clip/(?<clip>[^/]+)\.mxf"),
        rule(Sidecar, r"clip/(?<clip>[^/]+)(?:m\d\d\.xml|r\d\d\.bim|m\d\d\.klv)"),
        rule(Sidecar, concat!(r"clip/(?<clip>[^/]+)\.", beside!())),
        rule(Proxy, r"sub/(?<clip>[^/]+)s\d\d\.(?:mxf|mp4)"),
        rule(Thumb, r"thmbnl/(?<clip>[^/]+)t\d\d\.jpg"),
        rule(Essence, r"(?<at>proav/clpr)/(?<clip>[^/]+)/[^/]+v\d\d\.mxf"),
        rule(Audio, r"(?<at>proav/clpr)/(?<clip>[^/]+)/[^/]+a\d\d\.mxf"),
        rule(Proxy, r"(?<at>proav/clpr)/(?<clip>[^/]+)/[^/]+s\d\d\.mxf"),
        rule(Sidecar, concat!(r"(?<at>proav/clpr)/(?<clip>[^/]+)/[^/]+\.", beside!())),
    ],
    finish: Some(finish),
};

fn finish(ground: &mut Ground, found: &mut Found) {
    without_essence(ground, found);
    let up = if found.clips.iter().any(|c| c.files.first().is_some_and(|f| is_sam(ground, f.0))) { 3 } else { 2 };
    mediapro::check(ground, found, "proav", up);
    let is_index = |f: &CardFile| folded(f.relpath.name()) == b"mediapro.xml" && f.size_bytes > 0;
    let unread = found.gaps.iter().any(|g| g.id.starts_with("unread-index:"));
    let told = !unread && ground.files().any(|(_, f)| is_index(f));
    disc_index(ground, found, told);
    cue_up(ground, found);
}

/// Which clips a disc's own `INDEX.XML` names. What is public of it is no more than that it is XML: names of files that a
/// clip has in one of the two views of a disc (`C0001.MXF`, `C0001C01.SMI`, `C0001V01.MXF`) name the clip `C0001`, and the
/// attributes of one element of `ALIAS.XML` are names of one clip. `told`: another index has told of the clips.
fn disc_index(ground: &mut Ground, found: &mut Found, told: bool) {
    let is = |below: &[u8], name: &[u8]| below == name || below.strip_prefix(b"proav/") == Some(name);
    let at = |ground: &Ground, name: &[u8]| -> Vec<u32> {
        ground.files().filter(|(_, f)| is(&folded(ground.below(&f.relpath).as_bytes()), name)).map(|(i, _)| i).collect()
    };
    let (indexes, aliases) = (at(ground, b"index.xml"), at(ground, b"alias.xml"));
    let of_a_disc = |i: &u32| folded(ground.relpath(*i).parent().name()) == b"proav";
    // An `index.xml` alone may be anybody's.
    if found.clips.is_empty() && aliases.is_empty() && !indexes.iter().any(of_a_disc) {
        return;
    }
    let mut names: Vec<Vec<String>> = Vec::new();
    for index in aliases {
        names.extend(elements(ground, found, index, true).unwrap_or_default());
    }
    let names = Called::of(&names);
    for index in indexes {
        let path = ground.relpath(index);
        // Where another index was read, what should be here is known without this one.
        let all = elements(ground, found, index, told);
        let clips: BTreeSet<String> = all.iter().flatten().flatten().filter_map(|value| clip_named(value)).collect();
        let sam = ground.files().any(|(_, f)| folded(ground.below(&f.relpath).as_bytes()).starts_with(b"proav/clpr/"));
        let here = here(ground);
        let mut lost = BTreeSet::new();
        for clip in clips {
            let others = names.0.get(&folded(clip.as_bytes())).map_or(&[][..], Vec::as_slice);
            let is_here = |name: &String| here.contains(&folded(name.as_bytes()));
            if !is_here(&clip) && !others.iter().any(is_here) {
                // As the other indexes of the disc call it, where a person gave it a name.
                let place = match sam {
                    true => format!("PROAV/CLPR/{clip}"),
                    false => format!("Clip/{}.MXF", others.last().unwrap_or(&clip)),
                };
                lost.extend(ground.base.join(&place));
            }
        }
        gaps::absent("missing-clip", path, "a clip", &lost, &mut found.gaps);
    }
}

/// What an index mentions. One that cannot be read is a gap, or a note where the clips are `told` without it; an empty one
/// is a gap.
fn elements(ground: &mut Ground, found: &mut Found, index: u32, told: bool) -> Option<Vec<Vec<String>>> {
    let mut own = Vec::new();
    let all = gaps::read(ground, index, mentions::elements, &mut own);
    let (blocks, rest): (Vec<_>, Vec<_>) = own.into_iter().partition(|g| !told || g.id.starts_with("empty-index:"));
    found.gaps.extend(blocks);
    found.notes.extend(rest.into_iter().map(|g| g.text));
    all
}

/// `C0001` of the name of a file that only a clip has.
fn clip_named(value: &str) -> Option<String> {
    let name = value.rsplit(['/', '\\']).next()?;
    let (stem, extension) = name.rsplit_once('.')?;
    let kinds: &[char] = match extension.to_ascii_uppercase().as_str() {
        "MXF" => &['V', 'A', 'v', 'a'],
        "SMI" => &['C', 'c'],
        _ => return None,
    };
    let part = stem.len().checked_sub(3).filter(|at| stem.is_char_boundary(*at)).map(|at| stem.split_at(at));
    let of_part = part.filter(|(clip, tail)| {
        !clip.is_empty() && tail.starts_with(kinds) && tail[1..].bytes().all(|b| b.is_ascii_digit())
    });
    match of_part {
        Some((clip, _)) => Some(clip.to_owned()),
        // `C0001S01.MXF` is the small movie of a clip.
        None if extension.eq_ignore_ascii_case("MXF") && !is_small(stem) => Some(stem.to_owned()),
        None => None,
    }
}

fn is_small(stem: &str) -> bool {
    matches!(stem.as_bytes(), [_, .., b'S' | b's', b'0'..=b'9', b'0'..=b'9'])
}

/// Stems of what lies in `Clip`, and the folders of `PROAV/CLPR`.
fn here(ground: &Ground) -> HashSet<Vec<u8>> {
    let mut out = HashSet::new();
    for (_, file) in ground.files() {
        let below = folded(ground.below(&file.relpath).as_bytes());
        if below.starts_with(b"clip/") {
            out.insert(folded(file.relpath.stem()));
        } else if let Some(clip) = below.strip_prefix(b"proav/clpr/") {
            out.extend(clip.split(|b| *b == b'/').next().map(<[u8]>::to_vec));
        }
    }
    out
}

/// The other names that the disc has for a clip, by each of them.
struct Called(HashMap<Vec<u8>, Vec<String>>);

impl Called {
    fn of(names: &[Vec<String>]) -> Self {
        let stem = |name: &str| -> String {
            let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
            let cut = name.len().checked_sub(4).filter(|at| name.is_char_boundary(*at));
            let mxf = cut.filter(|at| name[*at..].eq_ignore_ascii_case(".mxf"));
            mxf.map_or(name, |at| &name[..at]).to_owned()
        };
        let mut out: HashMap<Vec<u8>, Vec<String>> = HashMap::new();
        for all in names {
            // An id, a name, and perhaps a few marks.
            let stems: Vec<String> = all.iter().take(8).map(|n| stem(n)).collect();
            for own in &stems {
                let others = stems.iter().filter(|s| !s.eq_ignore_ascii_case(own)).cloned();
                out.entry(folded(own.as_bytes())).or_default().extend(others);
            }
        }
        Called(out)
    }
}

/// Marks for a review (`CUEUP.XML`) name the recordings that they are of. What cannot be read of them is no loss.
pub(super) fn cue_up(ground: &mut Ground, found: &mut Found) {
    let is_list = |f: &CardFile| folded(f.relpath.name()) == b"cueup.xml" && f.size_bytes > 0;
    let lists: Vec<u32> =
        ground.files().filter(|(i, f)| is_list(f) && !ground.taken[*i as usize]).map(|(i, _)| i).collect();
    if lists.is_empty() {
        return;
    }
    let names: HashSet<Vec<u8>> = ground.files().map(|(_, f)| folded(f.relpath.name())).collect();
    for index in lists {
        let path = ground.relpath(index);
        let all = elements(ground, found, index, true).unwrap_or_default();
        let is_media = |v: &&String| {
            matches!(folded(v.as_bytes())[..], [.., b'.', b'm', b'x', b'f'] | [.., b'.', b'm', b'p', b'4'])
        };
        let mut lost = BTreeSet::new();
        for value in all.iter().flatten().filter(is_media) {
            let Some(place) = Names::address(&path.parent(), value) else { continue };
            if !names.contains(&folded(place.name())) {
                let bare = place.parent() == path.parent();
                let in_clip = || path.parent().join("Clip").and_then(|clip| clip.join(place.name())).ok();
                lost.extend(if bare { in_clip() } else { Some(place) });
            }
        }
        gaps::absent("missing-clip", path, "a clip", &lost, &mut found.gaps);
    }
}

fn is_sam(ground: &Ground, index: u32) -> bool {
    folded(ground.below(ground.relpath(index)).as_bytes()).starts_with(b"proav/")
}

/// SAM folders whose picture was not copied.
fn without_essence(ground: &Ground, found: &mut Found) {
    let mut folders: BTreeMap<RelPath, bool> = BTreeMap::new();
    for (_, file) in ground.files() {
        let folder = file.relpath.parent();
        if folded(ground.below(&folder.parent()).as_bytes()) == b"proav/clpr" {
            let picture = kind::of(&file.relpath).is_essence()
                && matches!(folded(file.relpath.stem())[..], [.., b'v', b'0'..=b'9', b'0'..=b'9']);
            *folders.entry(folder).or_default() |= picture;
        }
    }
    for folder in folders.into_iter().filter(|(_, there)| !there).map(|(f, _)| f) {
        found.gaps.push(about("missing-essence", &folder, "is a clip's folder without its picture"));
    }
}

#[cfg(test)]
mod tests {
    use crate::card::layouts::mediapro::tests::index;
    use crate::card::tests::seen;

    #[test]
    fn a_disc_as_files_has_clips_with_their_sidecars_and_proxies() {
        let index = index(&[("Clip/C0001.MXF", "Sub/C0001S01.MXF"), ("Clip/My Take.MXF", ""), ("Clip/C0003.MXF", "")]);
        let files: &[(&str, &[u8])] = &[
            ("INDEX.XML", b""),
            ("ALIAS.XML", b"<aliasTable/>"),
            ("DISCMETA.XML", b"x"),
            ("MEDIAPRO.XML", index.as_bytes()),
            ("Clip/C0001.MXF", b"x"),
            ("Clip/C0001M01.XML", b"x"),
            ("Clip/C0001R01.BIM", b"x"),
            ("Clip/My Take.MXF", b"x"),
            ("Sub/C0001S01.MXF", b"x"),
            ("Edit/E0001E01.SMI", b"x"),
        ];
        assert_eq!(
            seen(files),
            [
                "xdcam C0001 1+0+2+1+0",
                "xdcam My Take 1+0+0+0+0",
                "missing-clip:Clip/C0003.MXF",
                "empty-index:INDEX.XML",
            ]
        );
    }

    const DISC: &str = "<indexFile><clipTable path=\"/PROAV/CLPR/\"><clip clipId=\"C0001\" file=\"C0001C01.SMI\">\
        <video file=\"C0001V01.MXF\"/><audio file=\"C0001A01.MXF\"/><subStream file=\"C0001S01.MXF\"/></clip>\
        <clip clipId=\"C0002\" file=\"C0002C01.SMI\"/></clipTable><editlistTable><editlist file=\"E0001E01.SMI\">\
        <meta file=\"E0001M01.XML\"/></editlist></editlistTable></indexFile>";

    #[test]
    fn the_discs_own_index_names_clips_that_are_lost_in_either_view() {
        let index = ("INDEX.XML", DISC.as_bytes());
        assert_eq!(seen(&[index, ("Clip/C0001.MXF", b"x"), ("Clip/C0002.MXF", b"x")]).len(), 2);
        let lost = seen(&[index, ("Clip/C0001.MXF", b"x")]);
        assert_eq!(lost, ["xdcam C0001 1+0+0+0+0", "missing-clip:Clip/C0002.MXF"]);
        let streams = [("PROAV/INDEX.XML", DISC.as_bytes()), ("PROAV/CLPR/C0001/C0001V01.MXF", b"x")];
        assert_eq!(seen(&streams), ["xdcam C0001 1+0+0+0+0", "missing-clip:PROAV/CLPR/C0002"]);
    }

    #[test]
    fn a_clip_under_a_name_that_a_person_gave_it_is_there() {
        let alias = "<aliasTable><clip clipId=\"C0002\" value=\"My Take\"/></aliasTable>";
        let files: &[(&str, &[u8])] = &[
            ("INDEX.XML", DISC.as_bytes()),
            ("ALIAS.XML", alias.as_bytes()),
            ("Clip/C0001.MXF", b"x"),
            ("Clip/My Take.MXF", b"x"),
        ];
        assert_eq!(seen(files), ["xdcam C0001 1+0+0+0+0", "xdcam My Take 1+0+0+0+0"]);
    }

    #[test]
    fn a_disc_index_that_is_cut_is_a_gap_unless_another_tells_of_the_clips() {
        let cut = ("INDEX.XML", &DISC.as_bytes()[..80]);
        let clip = ("Clip/C0001.MXF", &b"x"[..]);
        assert_eq!(seen(&[cut, clip])[1..], ["unread-index:INDEX.XML"]);
        let mediapro = index(&[("Clip/C0001.MXF", "")]);
        let files = [cut, clip, ("MEDIAPRO.XML", mediapro.as_bytes())];
        assert_eq!(seen(&files).len(), 1);
        assert!(crate::card::tests::card(&files).notes[0].contains("INDEX.XML"));
    }

    #[test]
    fn a_disc_as_streams_has_a_folder_a_clip() {
        let clip = |n: u32| -> Vec<String> {
            let tails = ["C01.SMI", "V01.MXF", "A01.MXF", "A02.MXF", "S01.MXF", "M01.XML", "R01.BIM"];
            tails.iter().map(|t| format!("PROAV/CLPR/C{n:04}/C{n:04}{t}")).collect()
        };
        let see = |names: &[String]| seen(&names.iter().map(|n| (n.as_str(), &b"x"[..])).collect::<Vec<_>>());
        let mut names = [clip(1), clip(2)].concat();
        assert_eq!(see(&names), ["xdcam C0001 1+2+3+1+0", "xdcam C0002 1+2+3+1+0"]);
        names.retain(|n| !n.ends_with("C0002V01.MXF"));
        let seen = see(&names);
        assert_eq!(seen.last().unwrap(), "missing-essence:PROAV/CLPR/C0002");
    }
}
