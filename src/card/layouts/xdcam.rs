//! Sony XDCAM disc, as its drive shows it: `Clip/` and `Sub/` with `INDEX.XML` (FAM), or a folder a clip below
//! `PROAV/CLPR` with picture and each sound channel in a file of its own (SAM). Clip names may be free.

use super::family::{Family, Ground, rule};
use super::{Found, gaps, mediapro};
use crate::card::kind::{self, folded};
use crate::card::warn::about;
use crate::clip::Role::{Audio, Essence, Proxy, Sidecar, Thumb};
use crate::relpath::RelPath;
use std::collections::BTreeMap;

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
    if !found.clips.is_empty() {
        gaps::empty(
            ground,
            |below| matches!(below, b"index.xml" | b"alias.xml" | b"proav/index.xml" | b"proav/alias.xml"),
            &mut found.gaps,
        );
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
            ("ALIAS.XML", b"x"),
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

    #[test]
    fn a_disc_as_streams_has_a_folder_a_clip() {
        let clip = |n: u32| -> Vec<String> {
            let tails = ["C01.SMI", "V01.MXF", "A01.MXF", "A02.MXF", "S01.MXF", "M01.XML", "R01.BIM"];
            tails.iter().map(|t| format!("PROAV/CLPR/C{n:04}/C{n:04}{t}")).collect()
        };
        let see = |names: &[String]| seen(&names.iter().map(|n| (n.as_str(), &b"x"[..])).collect::<Vec<_>>());
        let mut names = [clip(1), clip(2)].concat();
        names.push("PROAV/INDEX.XML".into());
        assert_eq!(see(&names), ["xdcam C0001 1+2+3+1+0", "xdcam C0002 1+2+3+1+0"]);
        names.retain(|n| !n.ends_with("C0002V01.MXF"));
        let seen = see(&names);
        assert_eq!(seen.last().unwrap(), "missing-essence:PROAV/CLPR/C0002");
    }
}
