//! JVC ProHD: `PRIVATE/JVC`. In one of its recording modes it leaves the folders of an XDCAM EX card: see `xdcam_ex`.

use super::family::{Family, rule};
use crate::clip::Role::{Essence, Proxy, Sidecar, Thumb};

pub(super) const FAMILY: Family = Family {
    layout: "jvc",
    markers: &[r"private/jvc", r"dcim/\d{3}jvc\w\w"],
    rules: &[
        rule(Essence, r"(?<at>(?:private/jvc|dcim)/(?:[^/]+/)*)(?<clip>[^/]+)\.(mov|mp4|mxf|mts)"),
        rule(Thumb, r"(?<at>(?:private/jvc|dcim)/(?:[^/]+/)*)(?<clip>[^/]+)\.(jpg|thm)"),
        rule(Proxy, r"(?<at>(?:private/jvc|dcim)/(?:[^/]+/)*)(?<clip>[^/]+)\.lrv"),
        rule(Sidecar, r"(?<at>(?:private/jvc|dcim)/(?:[^/]+/)*)(?<clip>[^/]+)\.xml"),
    ],
    finish: None,
};

#[cfg(test)]
mod tests {
    use crate::card::tests::clips;

    #[test]
    fn other_recordings_are_one_file_each() {
        assert_eq!(
            clips(&["PRIVATE/JVC/CQAV/CLIP/A0001.MOV", "DCIM/100JVCSO/B0001.MOV"]),
            ["jvc B0001: DCIM/100JVCSO/B0001.MOV=essence", "jvc A0001: PRIVATE/JVC/CQAV/CLIP/A0001.MOV=essence"]
        );
    }
}
