//! Panasonic LUMIX: MOV and MP4 among the stills of `DCIM/1xx_PANA`.

use super::family::{Family, rule};
use crate::clip::Role::{Audio, Essence, Sidecar, Thumb};

macro_rules! at {
    () => {
        r"(?<at>dcim/\d{3}_pana)/"
    };
}

pub(super) const FAMILY: Family = Family {
    layout: "lumix",
    markers: &[r"dcim/\d{3}_pana"],
    rules: &[
        rule(Essence, concat!(at!(), r"(?<clip>[^/]+)\.(?:mov|mp4)")),
        rule(Audio, concat!(at!(), r"(?<clip>[^/]+)\.wav")),
        rule(Thumb, concat!(at!(), r"(?<clip>[^/]+)\.thm")),
        rule(Sidecar, concat!(at!(), r"(?<clip>[^/]+)\.", beside!())),
    ],
    finish: None,
};

#[cfg(test)]
mod tests {
    use crate::card::tests::seen;

    #[test]
    fn movies_are_clips_and_stills_are_not() {
        let names = [
            "DCIM/100_PANA/P1000001.MOV",
            "DCIM/100_PANA/P1000002.MP4",
            "DCIM/100_PANA/P1000003.RW2",
            "DCIM/100_PANA/P1000003.JPG",
            "DCIM/101_PANA/P1000001.MOV",
            "PRIVATE/PANA_GRP/001RAQAM/x.dat",
        ];
        let files: Vec<(&str, &[u8])> = names.iter().map(|n| (*n, &b"x"[..])).collect();
        assert_eq!(seen(&files), ["lumix P1000001 1+0+0+0+0", "lumix P1000002 1+0+0+0+0", "lumix P1000001 1+0+0+0+0"]);
    }
}
