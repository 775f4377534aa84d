//! Sony VENICE and BURANO on AXS: X-OCN, one folder a clip below `Clip`. The root is `CINEROOT` until the first recording
//! gives it the name of camera and reel.

use super::family::{Family, rule};
use super::mediapro;
use crate::clip::Role::{Essence, Proxy, Sidecar, Thumb};

macro_rules! at {
    () => {
        r"(?<at>(?:private/)?(?:[^/]+/)?)"
    };
}

pub(super) const FAMILY: Family = Family {
    layout: "sony-xocn",
    markers: &[r"(?:private/)?cineroot", r"(?:private/)?(?:[^/]+/)?clip/[^/]+/[^/]+\.mxf"],
    rules: &[
        rule(
            Essence,
            concat!(
                at!(),
                r"clip/[^/]+/(?<name>(?<clip_name>(?<clip>(?<reel>(?<camera>[a-z])\d{3})c\d{3}_(?<ymd>\d{6})[0-9a-z]{2})))\.mxf"
            ),
        ),
        rule(Essence, concat!(at!(), r"clip/[^/]+/(?<clip>[^/]+)\.mxf")),
        rule(Sidecar, concat!(at!(), r"clip/(?:[^/]+/)?(?<clip>[^/]+)(?:m\d\d\.xml|r\d\d\.bim|m\d\d\.klv)")),
        rule(Sidecar, concat!(at!(), r"clip/[^/]+/(?<clip>[^/]+)\.", beside!())),
        rule(Proxy, concat!(at!(), r"sub/(?:[^/]+/)?(?<clip>[^/]+)s\d\d\.(?:mp4|mxf)")),
        rule(Thumb, concat!(at!(), r"thmbnl/(?:[^/]+/)?(?<clip>[^/]+)t\d\d\.jpg")),
    ],
    finish: Some(|ground, found| mediapro::check(ground, found, "cineroot", 3)),
};

#[cfg(test)]
mod tests {
    use crate::card::layouts::mediapro::tests::index;
    use crate::card::tests::seen;

    #[test]
    fn each_folder_below_clip_is_a_clip() {
        for root in ["CINEROOT", "A001ABCD"] {
            let names = [
                "Clip/A001C001_220908AG/A001C001_220908AG.mxf",
                "Clip/A001C001_220908AG/A001C001_220908AGM01.XML",
                "Clip/A001C002_220908B2/A001C002_220908B2.mxf",
                "Sub/A001C001_220908AGS03.MP4",
            ]
            .map(|n| format!("{root}/{n}"));
            let files: Vec<(&str, &[u8])> = names.iter().map(|n| (n.as_str(), &b"x"[..])).collect();
            assert_eq!(
                seen(&files),
                ["sony-xocn A001C001_220908AG 1+0+1+1+0", "sony-xocn A001C002_220908B2 1+0+0+0+0"]
            );
        }
    }

    #[test]
    fn a_clip_that_only_the_index_knows_is_missing() {
        let index = index(&[("Clip/A001C002_220908B2/A001C002_220908B2.mxf", "")]);
        let gaps = seen(&[("CINEROOT/MEDIAPRO.XML", index.as_bytes())]);
        assert_eq!(gaps, ["missing-clip:CINEROOT/Clip/A001C002_220908B2/A001C002_220908B2.mxf"]);
    }
}
