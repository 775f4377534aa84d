//! Panasonic EVA1, CX, HC-X and their like: MOV and MP4 in `DCIM/001RAQAM`, where the folder's letters tell size, rate and
//! slot; what the camera keeps of each clip lies in `PRIVATE/PANA_GRP` under the same folder.

use super::family::{Family, rule};
use crate::clip::Role::{Audio, Essence, Sidecar, Thumb};

macro_rules! at {
    () => {
        r"dcim/(?<at>\d{3}[^/]+)/"
    };
}
macro_rules! group {
    () => {
        r"(?:private/)?pana_grp/(?<at>[^/]+)/(?:[^/]+/)*"
    };
}

pub(super) const FAMILY: Family = Family {
    layout: "panasonic",
    markers: &[r"(?:private/)?pana_grp", r"dcim/\d{3}[a-z][abcdf][a-z]{2}[mt]"],
    rules: &[
        rule(
            Essence,
            concat!(
                at!(),
                r"(?<name>(?<clip_name>(?<clip>(?<reel>(?<camera>[a-z])\d{3})c\d{3}_(?<ymd>\d{6})(?:_?[0-9a-z]+)?)))\.(?:mov|mp4)"
            ),
        ),
        rule(Essence, r"dcim/(?<at>\d{3}[a-z][abcdf][a-z]{2}[mt])/(?<clip>[^/]+)\.(?:mov|mp4)"),
        rule(Audio, concat!(at!(), r"(?<clip>[^/]+)\.wav")),
        rule(Sidecar, concat!(at!(), r"(?<clip>[^/]+)\.", beside!())),
        rule(Thumb, concat!(group!(), r"(?<clip>[^/.]+)\.(?:jpg|thm|bmp)")),
        rule(Sidecar, concat!(group!(), r"(?<clip>[^/.]+)\.(?:dat|bin|pmp|idx|inf|", beside!(), ")")),
    ],
    finish: None,
};

#[cfg(test)]
mod tests {
    use crate::card::tests::{card, seen};
    use crate::fact::Field;

    #[test]
    fn a_clip_has_what_the_camera_keeps_of_it() {
        let names = [
            "DCIM/001RAQAM/A001C001_201224_AB12.MOV",
            "DCIM/002RAQAM/A001C001_201224_AB12.MOV",
            "PRIVATE/PANA_GRP/001RAQAM/A001C001_201224_AB12.JPG",
            "PRIVATE/PANA_GRP/001RAQAM/A001C001_201224_AB12.XML",
        ];
        let files: Vec<(&str, &[u8])> = names.iter().map(|n| (*n, &b"x"[..])).collect();
        assert_eq!(
            seen(&files),
            ["panasonic A001C001_201224_AB12 1+0+1+0+1", "panasonic A001C001_201224_AB12 1+0+0+0+0"]
        );
        let card = card(&files);
        let of = |f| card.clips[0].said.iter().find(|s| s.fact.field == f).map(|s| s.fact.value.as_str());
        assert_eq!((of(Field::Reel), of(Field::RecordedAt)), (Some("A001"), Some("2020-12-24")));
    }

    #[test]
    fn folders_of_other_makers_are_not_taken_for_its_code() {
        for folder in ["100CANON", "100GOPRO", "100MEDIA", "100_FUJI", "100APPLE", "100MSDCF"] {
            let name = format!("DCIM/{folder}/X0001.MP4");
            let seen = seen(&[(&name, b"x")]);
            assert!(!seen[0].starts_with("panasonic"), "{seen:?}");
        }
    }
}
