//! Insta360. One file a lens: `VID_<date>_<time>_<lens>_<number>`, `00` and `10` are one clip. The small movie has other
//! lens digits; date, time and the last number say whose it is. `fileinfo_list.list` is the camera's list.

use super::family::{Family, Ground, rule};
use super::{Found, parts};
use crate::clip::Role::{Essence, Proxy};

pub(super) const FAMILY: Family = Family {
    layout: "insta360",
    markers: &[
        r"(dcim/camera\d\d/)?(pro_)?vid_\d{8}_\d{6}_\d\d_\d{3}\.(insv|mp4)",
        r"dcim/(camera\d\d/)?fileinfo_list\.list",
    ],
    rules: &[
        rule(
            Essence,
            r"(?:dcim/camera\d\d/)?(?<name>(?:pro_)?vid_(?<at>(?<recorded_at>\d{8}_\d{6}))_(?<part>\d\d)_(?<clip>\d{3}))\.(insv|mp4)",
        ),
        rule(Proxy, r"(?:dcim/camera\d\d/)?(?:pro_)?lrv_(?<at>\d{8}_\d{6})_\d\d_(?<clip>\d{3})\.(insv|lrv|mp4)"),
    ],
    finish: Some(halves),
};

/// A camera of two files always writes both; the second names itself.
fn halves(ground: &mut Ground, found: &mut Found) {
    for clip in &found.clips {
        let lens = |i: u32| {
            let stem = ground.relpath(i).stem();
            stem.len().checked_sub(6).map(|at| &stem[at..at + 2])
        };
        let essence = || clip.files.iter().filter(|(_, r)| *r == Essence).filter_map(|(i, _)| lens(*i));
        let first = ground.relpath(clip.files[0].0);
        if essence().any(|l| l == b"10") && !essence().any(|l| l == b"00") {
            found.gaps.extend(parts::missing(first, "file", &[(1, 1)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::card::tests::{clips, listing, recognise};

    #[test]
    fn both_lenses_are_one_clip_with_their_small_movie() {
        let at = "DCIM/Camera01";
        for lrv in ["LRV_20200803_121609_11_011.insv", "LRV_20200803_121609_01_011.lrv"] {
            let lines = clips(&[
                &format!("{at}/VID_20200803_121609_00_011.insv"),
                &format!("{at}/VID_20200803_121609_10_011.insv"),
                &format!("{at}/{lrv}"),
                &format!("{at}/VID_20200803_121609_00_012.insv"),
                &format!("{at}/IMG_20200803_121700_00_013.insp"),
                "DCIM/fileinfo_list.list",
            ]);
            assert_eq!(
                lines,
                [
                    format!(
                        "insta360 VID_20200803_121609_00_011: {at}/VID_20200803_121609_00_011.insv=essence \
                         {at}/VID_20200803_121609_10_011.insv=essence {at}/{lrv}=proxy"
                    ),
                    format!("insta360 VID_20200803_121609_00_012: {at}/VID_20200803_121609_00_012.insv=essence"),
                ]
            );
        }
    }

    #[test]
    fn the_second_half_alone_is_a_warning() {
        let card = recognise(listing(&[(b"DCIM/Camera01/PRO_VID_20200803_121609_10_011.insv", 1)]));
        assert_eq!(card.gaps[0].id, "missing-part:DCIM/Camera01/PRO_VID_20200803_121609_10_011.insv");
        assert_eq!(card.clips[0].said[0].fact.value, "2020-08-03T12:16:09");
        let card = recognise(listing(&[(b"DCIM/Camera01/VID_20200803_121609_00_011.insv", 1)]));
        assert!(card.gaps.is_empty(), "a camera of one file");
    }
}
