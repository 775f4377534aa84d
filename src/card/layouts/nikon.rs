//! Nikon. An N-RAW (NEV) or ProRes RAW (MOV) recording has an MP4 of the same stem beside it; ordinary ones are one file.
//! `NC_FLLST.DAT` and `NIKON001.DSC` are the camera's own lists of names: they say nothing of a clip.

use super::family::{Family, rule};
use super::twins;
use crate::clip::Role::{Audio, Essence, Sidecar, Thumb};

pub(super) const FAMILY: Family = Family {
    layout: "nikon",
    markers: &[
        r"dcim/\d{3}n\w{3,4}",
        r"(dcim/)?nikon\d{3}\.dsc",
        r"(dcim/(\d{3}n\w{3,4}/)?)?nc_fllst\.dat",
        r"dcim/[^/]+/[^/]+\.nev",
    ],
    rules: &[
        rule(Essence, r"(?<at>dcim/\d{3}\w{4,5})/(?<clip>[^/]+)\.(nev|mov|mp4|avi)"),
        rule(Audio, r"(?<at>dcim/\d{3}\w{4,5})/(?<clip>[^/]+)\.wav"),
        rule(Thumb, r"(?<at>dcim/\d{3}\w{4,5})/(?<clip>[^/]+)\.jpg"),
        rule(Sidecar, r"(?<at>dcim/\d{3}\w{4,5})/(?<clip>[^/]+)\.(nksc|xmp|xml)"),
    ],
    finish: Some(|ground, found| twins::part(ground, found, &["nev", "mov"], &["mp4"])),
};

#[cfg(test)]
mod tests {
    use crate::card::tests::clips;

    #[test]
    fn raw_has_its_movie_as_proxy_and_a_plain_movie_is_a_clip() {
        assert_eq!(
            clips(&[
                "DCIM/100NZ_9/DSC_0001.NEV",
                "DCIM/100NZ_9/DSC_0001.MP4",
                "DCIM/100NZ_9/DSC_0002.MOV",
                "DCIM/100NZ_9/DSC_0002.MP4",
                "DCIM/100NZ_9/DSC_0003.MP4",
                "DCIM/100NZ_9/DSC_0004.NEF",
                "DCIM/100NZ_9/DSC_0004.JPG",
                "DCIM/100NZ_9/NC_FLLST.DAT",
                "NIKON001.DSC",
            ]),
            [
                "nikon DSC_0001: DCIM/100NZ_9/DSC_0001.NEV=essence DCIM/100NZ_9/DSC_0001.MP4=proxy",
                "nikon DSC_0002: DCIM/100NZ_9/DSC_0002.MOV=essence DCIM/100NZ_9/DSC_0002.MP4=proxy",
                "nikon DSC_0003: DCIM/100NZ_9/DSC_0003.MP4=essence",
            ]
        );
    }

    #[test]
    fn holes_between_the_numbers_of_clips_are_no_gaps() {
        let names: [(&[u8], u64); 2] = [(b"DCIM/100NCZ_9/DSC_0001.MP4", 1), (b"DCIM/100NCZ_9/DSC_0009.MP4", 1)];
        let card = crate::card::tests::recognise(crate::card::tests::listing(&names));
        assert_eq!((card.clips.len(), card.gaps.len(), card.layout()), (2, 0, "nikon"));
    }
}
