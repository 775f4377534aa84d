//! Canon stills cameras and cinema cameras on SD: `DCIM/100CANON`, `100EOSR5`, `XXX_mmdd`, and the old `100___01`.

use super::family::{Family, Ground, rule};
use super::{Found, gaps};
use crate::clip::Role::{Audio, Essence, Proxy, Sidecar, Thumb};
use crate::relpath::RelPath;
use std::collections::HashMap;

/// A maker's folder, or one of a day with a name of Canon's kind in it.
macro_rules! at {
    () => {
        r"(?<at>dcim/(?:\d{3}canon|\d{3}eos[^/]*|\d{3}___\d\d|\d{3}_\d{4}))/"
    };
}

pub(super) const FAMILY: Family = Family {
    layout: "canon-eos",
    markers: &[
        r"dcim/\d{3}(?:canon|eos[^/]*|___\d\d)",
        r"dcim/\d{3}_\d{4}/(?:mvi_\d{4}|[^/]+_canon[^/]*)\.[^/]+",
        r"dcim/canonmsc",
    ],
    rules: &[
        rule(
            Essence,
            concat!(
                at!(),
                r"(?<name>(?<clip_name>(?<clip>(?<reel>(?<camera>[a-z])\d{3})c\d{3}_(?<ymd>\d{6})[0-9a-z]{2}_canon)))\.(?:mp4|mov|crm)"
            ),
        ),
        rule(Essence, concat!(at!(), r"(?<clip>[^/]+)\.(?:mp4|mov|crm|avi)")),
        rule(Audio, concat!(at!(), r"(?<clip>[^/]+)\.wav")),
        rule(Thumb, concat!(at!(), r"(?<clip>[^/]+)\.thm")),
        rule(Sidecar, concat!(at!(), r"(?<clip>[^/]+)\.", beside!())),
    ],
    finish: Some(finish),
};

fn finish(ground: &mut Ground, found: &mut Found) {
    let raw = |p: &RelPath| p.extension() == "crm";
    let mut named: HashMap<String, Vec<usize>> = HashMap::new();
    for (n, clip) in found.clips.iter_mut().enumerate() {
        if clip.files.iter().any(|(i, r)| *r == Essence && raw(ground.relpath(*i))) {
            gaps::demote(ground, clip, Proxy, |p| !raw(p));
        }
        named.entry(clip.name.to_lowercase()).or_default().push(n);
    }
    // Sound of slow motion lies apart; a name that two clips share is nobody's.
    for (index, file) in ground.files() {
        let below = crate::card::kind::folded(ground.below(&file.relpath).as_bytes());
        if ground.taken[index as usize] || !below.starts_with(b"private/audio/") || !below.ends_with(b".wav") {
            continue;
        }
        let stem = String::from_utf8_lossy(file.relpath.stem()).to_lowercase();
        if let Some([n]) = named.get(&stem).map(Vec::as_slice) {
            found.clips[*n].files.push((index, Audio));
            found.clips[*n].files.sort_by_key(|(_, role)| *role);
            ground.taken[index as usize] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::card::tests::seen;

    fn see(names: &[&str]) -> Vec<String> {
        seen(&names.iter().map(|n| (*n, &b"x"[..])).collect::<Vec<_>>())
    }

    #[test]
    fn movies_of_every_kind_of_folder_are_clips_with_their_still() {
        assert_eq!(
            see(&[
                "DCIM/100CANON/MVI_0001.MP4",
                "DCIM/100CANON/IMG_0002.JPG",
                "DCIM/100EOSR5/MVI_0003.CRM",
                "DCIM/100EOSR5/MVI_0003.MP4",
                "DCIM/100___01/MVI_0004.MOV",
                "DCIM/100___01/MVI_0004.THM",
                "DCIM/CANONMSC/M0100.CTG",
                "MISC/x.txt",
            ]),
            ["canon-eos MVI_0001 1+0+0+0+0", "canon-eos MVI_0003 1+0+0+1+0", "canon-eos MVI_0004 1+0+0+0+1"]
        );
    }

    #[test]
    fn sound_that_lies_apart_joins_the_one_clip_of_its_name() {
        let sound = "PRIVATE/AUDIO/MVI_0001.WAV";
        assert_eq!(see(&["DCIM/100_0421/MVI_0001.MP4", sound]), ["canon-eos MVI_0001 1+1+0+0+0"]);
        let two = see(&["DCIM/100_0421/MVI_0001.MP4", "DCIM/101_0421/MVI_0001.MP4", sound]);
        assert_eq!(two.iter().filter(|l| l.contains("1+1")).count(), 0, "{two:?}");
    }

    #[test]
    fn a_cinema_cameras_names_are_known_in_a_folder_of_a_day() {
        assert_eq!(
            see(&["DCIM/100_0421/A001C001_210421AB_CANON.MP4"]),
            ["canon-eos A001C001_210421AB_CANON 1+0+0+0+0"]
        );
    }

    #[test]
    fn a_folder_of_a_day_alone_is_not_canons() {
        assert_eq!(see(&["DCIM/100_0421/DSC_0001.MP4"]), ["dcim DSC_0001 1+0+0+0+0"]);
    }
}
