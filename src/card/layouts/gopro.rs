//! GoPro. A recording over the file limit goes on in chapters: the chapter comes first in the name, so that names in order
//! mix recordings. HERO6 and later write GX (HEVC) or GH (H.264), chapter, number.

use super::family::{Family, rule};
use crate::clip::Role::{Essence, Proxy, Thumb};

pub(super) const FAMILY: Family = Family {
    layout: "gopro",
    markers: &[r"dcim/\d\d\dgopro"],
    rules: &[
        rule(Essence, r"(?<at>dcim/\d\d\dgopro)/(?<name>g[hxs](?<part>\d\d)(?<clip>\d{4}))\.(mp4|360)"),
        rule(Proxy, r"(?<at>dcim/\d\d\dgopro)/gl\d\d(?<clip>\d{4})\.lrv"),
        rule(Thumb, r"(?<at>dcim/\d\d\dgopro)/g[hxs]\d\d(?<clip>\d{4})\.thm"),
    ],
    finish: None,
};

#[cfg(test)]
mod tests {
    use crate::card::tests::clips;

    #[test]
    fn chapters_of_one_number_are_one_clip_in_their_order() {
        assert_eq!(
            clips(&[
                "DCIM/100GOPRO/GX010265.MP4",
                "DCIM/100GOPRO/GX010266.MP4",
                "DCIM/100GOPRO/GX020265.MP4",
                "DCIM/100GOPRO/GL010265.LRV",
                "DCIM/100GOPRO/GX010265.THM",
                "MISC/version.txt",
            ]),
            [
                "gopro GX010265: DCIM/100GOPRO/GX010265.MP4=essence DCIM/100GOPRO/GX020265.MP4=essence \
                 DCIM/100GOPRO/GL010265.LRV=proxy DCIM/100GOPRO/GX010265.THM=thumb",
                "gopro GX010266: DCIM/100GOPRO/GX010266.MP4=essence",
            ]
        );
    }
}
