//! Files of one stem in one folder that are all pictures: an original and the small movie that the camera made beside it,
//! or two recordings.

use super::family::Ground;
use super::{Found, FoundClip};
use crate::clip::Role;
use crate::fact::{Fact, Field};
use crate::relpath::{RelPath, escape};

/// Takes apart the clips that have several essence files of one stem: no camera spans a recording like that. Beside a file
/// of an extension in `raw`, one of an extension in `small` is its proxy: the maker says so. Any other that is less than
/// half as large as the largest may be one: by name and size only, which the clip's note says. What is left is a clip of
/// its own.
pub(super) fn part(ground: &Ground, found: &mut Found, raw: &[&str], small: &[&str]) {
    part_unless(ground, found, raw, small, |_| false);
}

/// The same but for the clips that `spans` knows by their first file: their essence files follow each other.
pub(super) fn part_unless(
    ground: &Ground,
    found: &mut Found,
    raw: &[&str],
    small: &[&str],
    spans: impl Fn(&RelPath) -> bool,
) {
    let mut own = Vec::new();
    for clip in &mut found.clips {
        let essence: Vec<u32> = clip.files.iter().filter(|(_, r)| *r == Role::Essence).map(|(i, _)| *i).collect();
        if essence.len() < 2 || spans(ground.relpath(essence[0])) {
            continue;
        }
        let extension = |i: u32| ground.relpath(i).extension();
        let by_size = |i: &u32| (ground.size_bytes(*i), std::cmp::Reverse(*i));
        let first_raw = raw.iter().find_map(|r| essence.iter().copied().find(|i| extension(*i) == *r));
        let Some(original) = first_raw.or(essence.iter().copied().max_by_key(by_size)) else { continue };
        for other in essence.into_iter().filter(|i| *i != original) {
            let sure = first_raw.is_some() && small.contains(&&extension(other)[..]);
            let likely = ground.size_bytes(other) < ground.size_bytes(original) / 2;
            clip.files.retain(|(i, _)| *i != other);
            if sure || likely {
                clip.files.push((other, Role::Proxy));
            } else {
                let name = escape(ground.relpath(other).stem()).into_owned();
                let files = vec![(other, Role::Essence)];
                own.push(FoundClip { name, files, facts: clip.facts.clone(), ..FoundClip::default() });
            }
            if likely && !sure {
                let note = format!("{} may be its proxy: by name and size only", escape(ground.relpath(other).name()));
                clip.facts.extend(Fact::new(Field::Note, note));
            }
        }
        clip.files.sort_by_key(|(index, role)| (*role, *index));
        clip.name = escape(ground.relpath(original).stem()).into_owned();
    }
    found.clips.extend(own);
}
