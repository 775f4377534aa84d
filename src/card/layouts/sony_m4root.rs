//! Sony Alpha, FX3/FX30, ZV, AX: XAVC S and HS in MP4. The counter restarts on each card, so C0001 is on all of them.

use super::family::{Family, rule};
use crate::clip::Role::{Essence, Proxy, Sidecar, Thumb};

pub(super) const FAMILY: Family = Family {
    layout: "sony-xavc-s",
    markers: &[r"(private/)?m4root/clip"],
    rules: &[
        rule(Essence, r"(private/)?m4root/clip/(?<clip>[^/]+)\.(mp4|mxf)"),
        rule(Sidecar, r"(private/)?m4root/clip/(?<clip>[^/]+)m\d\d\.xml"),
        rule(Sidecar, r"(private/)?m4root/clip/(?<clip>[^/]+)r\d\d\.bim"),
        rule(Proxy, r"(private/)?m4root/sub/(?<clip>[^/]+)s\d\d\.mp4"),
        rule(Thumb, r"(private/)?m4root/thmbnl/(?<clip>[^/]+)t\d\d\.jpg"),
    ],
    finish: None,
};

#[cfg(test)]
mod tests {
    use crate::card::tests::clips;

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
}
