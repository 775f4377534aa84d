//! Z CAM: a folder a reel, and the reel's name before each clip's: `A001/A001C0004.MOV`.

use super::family::{Family, Ground, rule};
use super::{Found, twins};
use crate::card::kind::folded;
use crate::clip::Role::Essence;

pub(super) const FAMILY: Family = Family {
    layout: "z-cam",
    markers: &[r"[a-z]\d{3}/[a-z]\d{3}c\d{4}\.(mov|mp4|zraw)"],
    rules: &[rule(Essence, r"(?<at>[a-z]\d{3})/(?<clip>(?<reel>(?<camera>[a-z])\d{3})c\d{4})\.(mov|mp4|zraw)")],
    finish: Some(reels),
};

/// Only where folder and name agree: others name their clips like that too.
fn reels(ground: &mut Ground, found: &mut Found) {
    found.clips.retain(|clip| {
        let path = ground.relpath(clip.files[0].0);
        let (folder, name) = (folded(path.parent().name()), folded(path.name()));
        let own = name.starts_with(&folder);
        if !own {
            clip.files.iter().for_each(|(i, _)| ground.taken[*i as usize] = false);
        }
        own
    });
    twins::part(ground, found, &["zraw", "mov"], &[]);
}

#[cfg(test)]
mod tests {
    use crate::card::tests::{clips, listing, recognise};

    #[test]
    fn the_folder_and_the_name_say_the_reel() {
        let card = recognise(listing(&[(b"A001/A001C0004.MOV", 1)]));
        let said = card.clips[0].said.iter().map(|s| format!("{}={}", s.fact.field.name(), s.fact.value));
        assert_eq!(said.collect::<Vec<_>>(), ["reel=A001", "camera=A"]);
        assert_eq!(card.layouts, ["z-cam"]);
        assert_eq!(clips(&["B002/A001C0004.MOV"]), ["generic A001C0004: B002/A001C0004.MOV=essence"]);
    }
}
