//! Fujifilm. How a camera names its proxies was not found in any document: a smaller movie of the same stem is told as a
//! candidate, no more.

use super::family::{Family, rule};
use super::twins;
use crate::clip::Role::{Audio, Essence, Thumb};

pub(super) const FAMILY: Family = Family {
    layout: "fujifilm",
    markers: &[r"dcim/\d{3}_fuji"],
    rules: &[
        rule(Essence, r"(?<at>dcim/\d{3}_fuji)/(?<clip>[^/]+)\.(mov|mp4|avi)"),
        rule(Audio, r"(?<at>dcim/\d{3}_fuji)/(?<clip>[^/]+)\.wav"),
        rule(Thumb, r"(?<at>dcim/\d{3}_fuji)/(?<clip>[^/]+)\.(thm|jpg)"),
    ],
    finish: Some(|ground, found| twins::part(ground, found, &[], &[])),
};

#[cfg(test)]
mod tests {
    use crate::card::tests::{listing, recognise};
    use crate::clip::Role;

    #[test]
    fn a_smaller_movie_of_the_stem_is_a_candidate_and_says_so() {
        let card = recognise(listing(&[
            (b"DCIM/100_FUJI/DSCF0001.MOV", 100),
            (b"DCIM/100_FUJI/DSCF0001.MP4", 10),
            (b"DCIM/100_FUJI/DSCF0002.MOV", 100),
            (b"DCIM/100_FUJI/DSCF0002.MP4", 99),
            (b"DCIM/100_FUJI/DSCF0003.RAF", 50),
        ]));
        let names: Vec<_> = card.clips.iter().map(|c| (c.name.as_str(), c.files.len(), c.said.len())).collect();
        assert_eq!(names, [("DSCF0001", 2, 1), ("DSCF0002.MOV", 1, 0), ("DSCF0002.MP4", 1, 0)]);
        assert_eq!(card.clips[0].files[1].1, Role::Proxy);
        assert_eq!(card.clips[0].said[0].fact.value, "DSCF0001.MP4 may be its proxy: by name and size only");
        assert_eq!(card.layouts, ["fujifilm"]);
    }
}
