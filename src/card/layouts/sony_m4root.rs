//! Sony Alpha, FX3/FX30, ZV, AX: XAVC S and HS in MP4. The counter restarts on each card, so C0001 is on all of them.
//! Stills (`DCIM`), AVCHD and `AVF_INFO` beside it are other layouts, or no clips at all.

use super::family::{Family, rule};
use super::mediapro;
use crate::clip::Role::{Essence, Proxy, Sidecar, Thumb};

pub(super) const FAMILY: Family = Family {
    layout: "sony-xavc-s",
    markers: &[r"(private/)?m4root/clip", r"(private/)?m4root/mediapro\.xml"],
    rules: &[
        rule(Essence, r"(private/)?m4root/clip/(?<clip>[^/]+)\.(mp4|mxf)"),
        rule(Sidecar, r"(private/)?m4root/clip/(?<clip>[^/]+)m\d\d\.xml"),
        rule(Sidecar, r"(private/)?m4root/clip/(?<clip>[^/]+)r\d\d\.bim"),
        rule(Sidecar, concat!(r"(private/)?m4root/clip/(?<clip>[^/]+)\.", beside!())),
        rule(Proxy, r"(private/)?m4root/sub/(?<clip>[^/]+)s\d\d\.mp4"),
        rule(Thumb, r"(private/)?m4root/thmbnl/(?<clip>[^/]+)t\d\d\.jpg"),
    ],
    finish: Some(|ground, found| mediapro::check(ground, found, "m4root", 0)),
};

#[cfg(test)]
mod tests {
    use crate::card::layouts::mediapro::tests::index;
    use crate::card::tests::{card, clips, seen};
    use crate::fact::{Field, Origin};

    #[test]
    fn a_clip_has_its_sidecar_its_proxy_and_its_still_wherever_the_card_lies() {
        for base in ["", "PRIVATE/", "dump/", "dump/private/"] {
            let at = |p: &str| format!("{base}{p}");
            let names = [
                "M4ROOT/CLIP/C0001.MP4",
                "M4ROOT/CLIP/C0001M01.XML",
                "M4ROOT/SUB/C0001S03.MP4",
                "M4ROOT/THMBNL/C0001T01.JPG",
            ]
            .map(at);
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let [clip, sidecar, proxy, thumb] = names[..] else { panic!("four names") };
            let line = format!("sony-xavc-s C0001: {clip}=essence {sidecar}=sidecar {proxy}=proxy {thumb}=thumb");
            assert_eq!(clips(&names), [line]);
        }
    }

    #[test]
    fn the_index_names_what_is_absent_and_what_it_does_not_know() {
        let index = index(&[("CLIP/C0001.MP4", "SUB/C0001S03.MP4"), ("CLIP/C0002.MP4", "")]);
        let files: &[(&str, &[u8])] = &[
            ("PRIVATE/M4ROOT/CLIP/C0001.MP4", b"x"),
            ("PRIVATE/M4ROOT/CLIP/C0003.MP4", b"x"),
            ("PRIVATE/M4ROOT/CLIP/C0004.MP4", b"x"),
            ("PRIVATE/M4ROOT/MEDIAPRO.XML", index.as_bytes()),
            ("PRIVATE/M4ROOT/STATUS.BIN", b"x"),
        ];
        assert_eq!(
            seen(files),
            [
                "sony-xavc-s C0001 1+0+0+0+0",
                "sony-xavc-s C0003 1+0+0+0+0",
                "sony-xavc-s C0004 1+0+0+0+0",
                "missing-clip:PRIVATE/M4ROOT/CLIP/C0002.MP4",
                "missing-proxy:PRIVATE/M4ROOT/SUB/C0001S03.MP4",
                "not-in-index:PRIVATE/M4ROOT/MEDIAPRO.XML",
            ]
        );
        let card = card(files);
        let said = &card.clips[0].said[0];
        assert_eq!((said.fact.field, said.fact.value.as_str(), said.origin), (Field::ClipId, "060A0", Origin::Index));
        let unknown = &card.gaps[2].text;
        assert!(unknown.contains("2 clips") && unknown.contains("C0003.MP4"), "{unknown}");
    }

    #[test]
    fn an_index_that_cannot_be_read_costs_no_clip() {
        for (index, gap) in [("", "empty-index"), ("<MediaProfile>", "unread-index"), ("x", "unread-index")] {
            let files = [("M4ROOT/CLIP/C0001.MP4", &b"x"[..]), ("M4ROOT/MEDIAPRO.XML", index.as_bytes())];
            assert_eq!(seen(&files), ["sony-xavc-s C0001 1+0+0+0+0", &format!("{gap}:M4ROOT/MEDIAPRO.XML")]);
        }
        assert_eq!(seen(&[("M4ROOT/CLIP/C0001.MP4", b"x")]), ["sony-xavc-s C0001 1+0+0+0+0"], "none at all");
    }

    #[test]
    fn a_card_that_lost_all_its_clips_is_not_an_empty_card() {
        let index = index(&[("CLIP/C0001.MP4", "")]);
        let seen = seen(&[("M4ROOT/MEDIAPRO.XML", index.as_bytes())]);
        assert_eq!(seen, ["missing-clip:M4ROOT/CLIP/C0001.MP4"]);
    }

    #[test]
    fn many_gaps_of_one_index_are_one_warning() {
        let names: Vec<String> = (1..=50).map(|n| format!("CLIP/C{n:04}.MP4")).collect();
        let index = index(&names.iter().map(|n| (n.as_str(), "")).collect::<Vec<_>>());
        let seen = seen(&[("M4ROOT/MEDIAPRO.XML", index.as_bytes())]);
        assert_eq!(seen, ["missing-clips:M4ROOT/MEDIAPRO.XML"]);
    }

    #[test]
    fn a_clip_much_newer_than_the_index_that_lacks_it_makes_it_stale() {
        let index = index(&[("CLIP/C0001.MP4", "")]);
        let mut listing = crate::card::tests::listing(&[
            (b"M4ROOT/CLIP/C0001.MP4", 1),
            (b"M4ROOT/CLIP/C0002.MP4", 1),
            (b"M4ROOT/MEDIAPRO.XML", 9),
        ]);
        let mut gaps = |secs: i64| -> Vec<String> {
            listing.files[1].mtime_ns = secs * 1_000_000_000;
            let card = crate::card::recognise(listing.clone(), &mut |_| Ok(index.clone().into_bytes()));
            card.gaps.into_iter().map(|g| g.id).collect()
        };
        assert_eq!(gaps(120), ["not-in-index:M4ROOT/MEDIAPRO.XML"]);
        assert_eq!(gaps(3600), ["not-in-index:M4ROOT/MEDIAPRO.XML", "newer-than-index:M4ROOT/MEDIAPRO.XML"]);
    }
}
