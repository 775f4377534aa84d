//! Apple phones and tablets, also what an iPhone writes to a disk. A Live Photo is a movie and a still of one stem: one
//! clip. What was edited on the phone (`IMG_E0001`) lies beside its original and is a clip of its own.

use super::family::{Family, rule};
use super::twins;
use crate::clip::Role::{Essence, Sidecar};

pub(super) const FAMILY: Family = Family {
    layout: "apple",
    markers: &[r"dcim/\d{3}apple"],
    rules: &[
        rule(Essence, r"(?<at>dcim/\d{3}apple)/(?<clip>[^/]+)\.(mov|mp4|m4v)"),
        rule(Sidecar, r"(?<at>dcim/\d{3}apple)/(?<clip>[^/]+)\.(heic|heif|jpg|jpeg|dng|png|aae|xmp)"),
    ],
    finish: Some(|ground, found| twins::part(ground, found, &[], &[])),
};

#[cfg(test)]
mod tests {
    use crate::card::tests::clips;

    #[test]
    fn a_live_photo_is_one_clip_and_an_edited_movie_is_another() {
        assert_eq!(
            clips(&[
                "DCIM/100APPLE/IMG_0001.MOV",
                "DCIM/100APPLE/IMG_0001.HEIC",
                "DCIM/100APPLE/IMG_0001.AAE",
                "DCIM/100APPLE/IMG_E0001.MOV",
                "DCIM/100APPLE/IMG_E0001.HEIC",
                "DCIM/100APPLE/IMG_0002.HEIC",
                "DCIM/100APPLE/IMG_0002.AAE",
            ]),
            [
                "apple IMG_0001: DCIM/100APPLE/IMG_0001.MOV=essence DCIM/100APPLE/IMG_0001.AAE=sidecar \
                 DCIM/100APPLE/IMG_0001.HEIC=sidecar",
                "apple IMG_E0001: DCIM/100APPLE/IMG_E0001.MOV=essence DCIM/100APPLE/IMG_E0001.HEIC=sidecar",
            ]
        );
    }
}
