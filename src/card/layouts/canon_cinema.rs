//! Canon C80, C400, R5 Mark II and their like: MP4 or MXF in `XFVC/REEL_nnnn`, RAW in `CRM/REEL_nnnn`. The proxy has the
//! clip's name with `_Proxy`, and may lie in another reel's folder or on the other slot's card.

use super::family::{Family, Ground, rule};
use super::{Found, FoundClip, gaps};
use crate::card::kind::folded;
use crate::clip::Role::{Audio, Essence, Proxy, Sidecar, Thumb};
use crate::clip::Warning;
use crate::relpath::RelPath;

macro_rules! reel {
    () => {
        r"(?:private/)?(?:xfvc|crm)/reel_\d{4}/"
    };
}
/// Index and reel, clip, a letter, day and time, two marks.
macro_rules! name {
    () => {
        r"(?<clip>(?<reel>(?<camera>[a-z])[0-9a-z_]\d{4})[cd]\d{3}[a-z](?<ymd>\d{6})_(?<hms>\d{6})[0-9a-z]{2}_canon)"
    };
}
macro_rules! media {
    () => {
        r"\.(?:mp4|mxf|mov|crm)"
    };
}

pub(super) const FAMILY: Family = Family {
    layout: "canon-cinema",
    markers: &[
        r"(?:private/)?(?:xfvc|crm)/reel_\d{4}",
        r"(?:[^/]+/)*[a-z][0-9a-z_]\d{4}[cd]\d{3}[a-z]\d{6}_\d{6}[0-9a-z]{2}_canon(?:_\d{3})?(?:_proxy)?\.(?:mp4|mxf|mov|crm)",
    ],
    rules: &[
        // The name has day, time and chance in it: it is the clip's in any folder.
        rule(Essence, concat!(r"(?:[^/]+/)*(?<name>(?<clip_name>", name!(), r"))(?:_(?<part>\d{3}))?", media!())),
        rule(Essence, concat!(r"(?:[^/]+/)*(?<name>", name!(), r"(?:_\d{3})?_proxy)", media!())),
        rule(Audio, concat!(r"(?:[^/]+/)*", name!(), r"(?:_\d{3})?\.wav")),
        rule(Thumb, concat!(r"(?:[^/]+/)*", name!(), r"(?:_\d{3})?\.(?:thm|jpg)")),
        rule(Sidecar, concat!(r"(?:[^/]+/)*", name!(), r"(?:_\d{3})?(?:_proxy)?\.", beside!())),
        rule(Essence, concat!(reel!(), r"(?<name>(?<clip>[^/]+)_proxy)", media!())),
        rule(Essence, concat!(reel!(), r"(?<clip>[^/]+)", media!())),
        rule(Sidecar, concat!(reel!(), r"(?<clip>[^/]+)\.", beside!())),
    ],
    finish: Some(finish),
};

fn finish(ground: &mut Ground, found: &mut Found) {
    let mut out = Vec::new();
    for mut clip in std::mem::take(&mut found.clips) {
        // A proxy alone is shown as what it is; its clip may be on the other card.
        gaps::demote(ground, &mut clip, Proxy, is_proxy);
        let raw = |p: &RelPath| p.extension() == "crm";
        if clip.files.iter().any(|(i, r)| *r == Essence && raw(ground.relpath(*i))) {
            gaps::demote(ground, &mut clip, Proxy, |p| !raw(p));
        }
        let leads = clip.files.first().is_some_and(|(i, _)| !is_proxy(ground.relpath(*i)));
        if leads && clip.name.to_ascii_lowercase().ends_with("_proxy") {
            clip.name.truncate(clip.name.len() - "_proxy".len());
        }
        out.extend(gaps::by_folder(ground, clip));
    }
    for clip in &out {
        found.gaps.extend(parts(ground, clip));
    }
    found.clips = out;
}

fn is_proxy(path: &RelPath) -> bool {
    folded(path.stem()).ends_with(b"_proxy")
}

/// Parts are `_001`, `_002`, ..., or the first has no number.
pub(super) fn parts(ground: &Ground, clip: &FoundClip) -> Option<Warning> {
    let ends_with_number = |i: u32| {
        let stem = ground.relpath(i).stem();
        matches!(stem, [.., b'_', a, b, c] if [a, b, c].iter().all(|d| d.is_ascii_digit()))
    };
    let essence: Vec<u32> = clip.files.iter().filter(|(_, r)| *r == Essence).map(|(i, _)| *i).collect();
    let numbered = essence.iter().filter(|i| ends_with_number(**i)).count();
    match essence.len() - numbered {
        _ if numbered == 0 => None,
        0 => gaps::part_files(ground, clip, 3, Some(1)),
        // Whether the next is 001 or 002 is not known: only a hole after it is sure.
        _ => gaps::part_files(ground, clip, 3, None),
    }
}

#[cfg(test)]
mod tests {
    use crate::card::tests::{card, clips, seen};
    use crate::fact::Field;

    const CLIP: &str = "A_0003C048H260421_082509HN_CANON";

    fn see(names: &[String]) -> Vec<String> {
        seen(&names.iter().map(|n| (n.as_str(), &b"x"[..])).collect::<Vec<_>>())
    }

    #[test]
    fn the_proxy_is_found_in_another_reel_and_beside_raw() {
        for (clip, proxy) in [("XFVC/REEL_0003", "XFVC/REEL_0004"), ("CRM/REEL_0003", "XFVC/REEL_0003")] {
            let extension = if clip.starts_with("CRM") { "CRM" } else { "MP4" };
            let names = [format!("{clip}/{CLIP}.{extension}"), format!("{proxy}/{CLIP}_Proxy.MP4")];
            assert_eq!(see(&names), [format!("canon-cinema {CLIP} 1+0+0+1+0")]);
        }
    }

    #[test]
    fn the_name_says_reel_camera_day_and_time() {
        let card = card(&[(&format!("XFVC/REEL_0003/{CLIP}.MP4"), b"x")]);
        let of = |f| card.clips[0].said.iter().find(|s| s.fact.field == f).map(|s| s.fact.value.as_str());
        assert_eq!((of(Field::Reel), of(Field::Camera)), (Some("A_0003"), Some("A")));
        assert_eq!(of(Field::RecordedAt), Some("2026-04-21T08:25:09"));
        assert_eq!(of(Field::ClipName), Some(CLIP));
    }

    #[test]
    fn a_proxy_alone_is_a_clip_and_flat_copies_are_known() {
        let proxy = format!("XFVC/REEL_0003/{CLIP}_Proxy.MP4");
        assert_eq!(clips(&[&proxy]), [format!("canon-cinema {CLIP}_Proxy: {proxy}=essence")]);
        assert_eq!(see(&[format!("{CLIP}.MP4"), format!("{CLIP}.XML")]), [format!("canon-cinema {CLIP} 1+0+1+0+0")]);
    }

    #[test]
    fn parts_are_one_clip_and_a_hole_is_a_gap() {
        let part = |n: &str| format!("XFVC/REEL_0003/{CLIP}{n}.MP4");
        assert_eq!(see(&[part("_001"), part("_002")]), [format!("canon-cinema {CLIP} 2+0+0+0+0")]);
        assert_eq!(see(&[part(""), part("_001")]), [format!("canon-cinema {CLIP} 2+0+0+0+0")]);
        assert_eq!(see(&[part("_001"), part("_003")])[1..], [format!("missing-part:{}", part("_002"))]);
        assert_eq!(see(&[part("_002")])[1..], [format!("missing-part:{}", part("_001"))]);
    }
}
