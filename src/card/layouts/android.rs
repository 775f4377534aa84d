//! Android phones. `VID_` and a bare date are the phone's own time; a Pixel's `PXL_` counts in another zone, so that its
//! name is not taken for the time of the recording.

use super::family::{Family, rule};
use super::twins;
use crate::clip::Role::{Essence, Sidecar, Thumb};

pub(super) const FAMILY: Family = Family {
    layout: "android",
    markers: &[r"dcim/camera/(vid_|pxl_|mvimg_)?\d{8}_\d{6}[^/]*\.(mp4|3gp|mov|webm|jpg|jpeg|heic|dng)"],
    rules: &[
        rule(Essence, r"(?<at>dcim/camera)/(?<clip>(vid_)?(?<recorded_at>\d{8}_\d{6})[^/]*)\.(mp4|3gp|mov|webm)"),
        rule(Essence, r"(?<at>dcim/camera)/(?<clip>[^/]+)\.(mp4|3gp|mov|webm)"),
        rule(Thumb, r"(?<at>dcim/camera)/(?<clip>[^/]+)\.(jpg|jpeg)"),
        rule(Sidecar, r"(?<at>dcim/camera)/(?<clip>[^/]+)\.(heic|dng|json|srt|xmp)"),
    ],
    finish: Some(|ground, found| twins::part(ground, found, &[], &[])),
};

#[cfg(test)]
mod tests {
    use crate::card::tests::{clips, listing, recognise};

    #[test]
    fn each_movie_is_a_clip_and_photos_are_files() {
        assert_eq!(
            clips(&[
                "DCIM/Camera/VID_20240301_101112.mp4",
                "DCIM/Camera/PXL_20240301_101112345.mp4",
                "DCIM/Camera/IMG_20240301_101113.jpg",
            ]),
            [
                "android PXL_20240301_101112345: DCIM/Camera/PXL_20240301_101112345.mp4=essence",
                "android VID_20240301_101112: DCIM/Camera/VID_20240301_101112.mp4=essence",
            ]
        );
    }

    #[test]
    fn only_the_phones_own_time_is_said() {
        let names: [(&[u8], u64); 3] = [
            (b"DCIM/Camera/20240301_101112.mp4", 1),
            (b"DCIM/Camera/PXL_20240301_101112345.mp4", 1),
            (b"DCIM/Camera/VID_99999999_101112.mp4", 1),
        ];
        let card = recognise(listing(&names));
        let said: Vec<_> = card.clips.iter().flat_map(|c| &c.said).map(|s| s.fact.value.as_str()).collect();
        assert_eq!(said, ["2024-03-01T10:11:12"]);
    }
}
