//! **Owns** what a card's listing means: its layout, its clips, what about it must be accepted before it may be formatted.
//! **Never** leaves a file out (clips are a view on files), opens the card, or guesses a name that is not there.
//! **Flow** `settle` says that a dump stopped growing, `recognise` makes the `Card`, `warnings` judges it before the copy,
//! `complete::check` and `Takes` judge each proven copy after it by its header.
//! **Tests** beside each file: made listings, mutated headers, and the sample media where present.

pub mod complete;
mod kind;
mod layouts;
pub mod settle;
mod takes;
mod warn;

use kind::Kind;
pub use layouts::ReadIndex;
pub use takes::{Regrouped, Takes};
pub use warn::{UsedSpace, is_gap, warnings};

use crate::clip::{Card, Clip, Listing};
use crate::fact::{Fact, Origin, Said};
use crate::relpath::RelPath;

/// A single picture of a sequence, by its name.
pub fn is_frame(relpath: &RelPath) -> bool {
    matches!(kind::of(relpath), Kind::Frame | Kind::FrameOrPhoto)
}

/// A still that a camera made beside a clip, of a kind that can be looked at.
pub fn is_still(relpath: &RelPath) -> bool {
    kind::of(relpath) == Kind::Thumb
}

/// Where each frame of a sequence stands, counted from 0, and how many it has with those that are missing.
pub fn frame_places(frames: &[&RelPath]) -> (Vec<u64>, u64) {
    layouts::sequence::places(frames)
}

/// Finds the layouts and clips of a listing; `read` gives the card's small index files. Every file stays in the listing,
/// whether a clip names it or not.
pub fn recognise(listing: Listing, read: ReadIndex) -> Card {
    let mut found = layouts::all(&listing, read);
    let name = |index: u32| listing.files[index as usize].relpath.clone();
    let said = |fact: &Fact| Said { fact: fact.clone(), origin: Origin::Name, by: "name".into() };
    let mut clips: Vec<_> = found.iter().flat_map(|f| f.clips.iter().map(move |c| (f.layout, c))).collect();
    clips.sort_by_key(|(_, c)| c.files.first().map(|(index, _)| *index));
    let clips = clips
        .into_iter()
        .map(|(layout, c)| Clip {
            name: c.name.clone(),
            layout: layout.to_owned(),
            files: c.files.iter().map(|(index, role)| (name(*index), *role)).collect(),
            said: c.said.iter().cloned().chain(c.facts.iter().map(said)).collect(),
        })
        .collect();
    let mut layouts: Vec<String> = Vec::new();
    for found in found.iter().filter(|f| !f.clips.is_empty() || !f.gaps.is_empty()) {
        if !layouts.iter().any(|l| l == found.layout) {
            layouts.push(found.layout.to_owned());
        }
    }
    let mut notes: Vec<String> = found.iter_mut().flat_map(|f| std::mem::take(&mut f.notes)).collect();
    notes.dedup();
    let mut known = std::collections::BTreeSet::new();
    // A card below a folder is seen from there and from above.
    let gaps: Vec<_> = found.into_iter().flat_map(|f| f.gaps).filter(|g| known.insert(g.id.clone())).collect();
    notes.extend(warn::empty_files(&listing, &gaps));
    Card { layouts, listing, clips, gaps, notes }
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::clip::{CardFile, Listing, Role};
    use crate::relpath::RelPath;

    /// A listing in byte order, as the disk gives it.
    pub(crate) fn listing(files: &[(&[u8], u64)]) -> Listing {
        let mut files: Vec<_> = files
            .iter()
            .map(|(p, size)| CardFile { relpath: RelPath::new(p).unwrap(), size_bytes: *size, mtime_ns: 1 })
            .collect();
        files.sort_by(|a, b| a.relpath.cmp(&b.relpath));
        let folders: std::collections::BTreeSet<_> = files.iter().flat_map(|f| f.relpath.ancestors()).collect();
        Listing { files, folders: folders.into_iter().collect(), ..Listing::default() }
    }

    /// `layout name: file=role file=role`, one line a clip.
    pub(crate) fn clips(names: &[&str]) -> Vec<String> {
        let card = recognise(listing(&names.iter().map(|n| (n.as_bytes(), 1)).collect::<Vec<_>>()));
        let line = |c: &crate::clip::Clip| {
            let files: String = c.files.iter().map(|(p, r)| format!(" {p}={}", r.name())).collect();
            format!("{} {}:{files}", c.layout, c.name)
        };
        card.clips.iter().map(line).collect()
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]

        /// Whatever lies beside each other, in one family's folder or in the wrong one.
        #[test]
        fn no_file_is_in_two_clips_and_every_recording_is_in_one(
            names in proptest::collection::btree_set(concat!(
                "(dump/)?((DCIM/)?(100GOPRO|101GOPRO|100NZ_9|100_FUJI|100APPLE|DJI_001|Camera01|Camera|100MEDIA|Proxies)|",
                "A001|SOUNDDEV|FALSETAKES|X-T001\\.TAKE|FOLDER01|PRIVATE/JVC/BPAV/CLPR/1_01|s|Proxy)/(\\._)?",
                "(G[XHL]0[1-3]000[12]|GP0[12]000[12]|GOPR000[12]|GHA[AB]0001|DSC[_F]000[12]|IMG_E?000[12]|DJI_000[12]|",
                "A001C000[12]|X-T001|ZOOM000[12]|1_01|(VID|LRV)_20200803_121609_[01]0_01[12]|SC1ATK[12]|N_S001_S001_T00[12])",
                "(_D|_[12]|_Proxy|_L|_Tr1|_Tr1_2|M01)?\\.(MP4|mov|NEV|LRV|LRF|WAV|SRT|thm|JPG|HEIC|DNG|dpx|360|insv|xml)",
            ), 0..40),
        ) {
            let card = recognise(listing(&names.iter().map(|n| (n.as_bytes(), 1)).collect::<Vec<_>>()));
            let mut seen = std::collections::BTreeSet::new();
            for clip in &card.clips {
                proptest::prop_assert!(clip.essence().next().is_some(), "{} has no essence", clip.name);
                let in_order = clip.files.iter().map(|(_, r)| *r != crate::clip::Role::Essence).is_sorted();
                proptest::prop_assert!(in_order, "{}: the essence does not come first", clip.name);
                for (p, _) in &clip.files {
                    proptest::prop_assert!(seen.insert(p.clone()), "{} is in two clips", p);
                    proptest::prop_assert!(!p.name().starts_with(b"._"), "{} is in a clip", p);
                }
            }
            for f in &card.listing.files {
                let kind = super::kind::of(&f.relpath);
                // A DNG may be a photo.
                let recording = kind.is_essence() && f.relpath.extension() != "dng";
                proptest::prop_assert!(!recording || seen.contains(&f.relpath), "{} is in no clip", f.relpath);
            }
            let mut ids: Vec<_> = card.gaps.iter().map(|w| &w.id).collect();
            ids.sort();
            ids.dedup();
            proptest::prop_assert_eq!(ids.len(), card.gaps.len(), "two warnings of one id");
            let clips = card.clips.len();
            proptest::prop_assert!(card.gaps.len() <= 2 * clips + card.listing.folders.len(), "a flood of warnings");
        }
    }

    /// A card whose files hold these texts, its index files among them.
    pub(crate) fn card(files: &[(&str, &[u8])]) -> crate::clip::Card {
        let sizes: Vec<_> = files.iter().map(|(p, bytes)| (p.as_bytes(), bytes.len() as u64)).collect();
        super::recognise(listing(&sizes), &mut |wanted| {
            let file = files.iter().find(|(p, _)| RelPath::new(p).is_ok_and(|p| p == *wanted));
            file.map(|(_, bytes)| bytes.to_vec()).ok_or_else(|| std::io::ErrorKind::NotFound.into())
        })
    }

    /// The same card one folder down, and with the case of its names turned around.
    pub(crate) fn moved<'a>(files: &[(&str, &'a [u8])]) -> [Vec<(String, &'a [u8])>; 2] {
        let turned = |c: char| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        let all = |f: &dyn Fn(&str) -> String| files.iter().map(|(p, bytes)| (f(p), *bytes)).collect();
        [all(&|p| format!("dump/{p}")), all(&|p| p.chars().map(turned).collect())]
    }

    /// What is seen of a card wherever it lies: its clips as `name(essence+audio+sidecar+proxy+thumb)` counts and its
    /// gaps, which must be the same in a folder and in another case.
    pub(crate) fn seen(files: &[(&str, &[u8])]) -> Vec<String> {
        let lines = |card: &crate::clip::Card| -> Vec<String> {
            let count = |c: &crate::clip::Clip, role| c.files.iter().filter(|(_, r)| *r == role).count();
            let line = |c: &crate::clip::Clip| {
                let roles = [Role::Essence, Role::Audio, Role::Sidecar, Role::Proxy, Role::Thumb];
                let counts: Vec<_> = roles.iter().map(|r| count(c, *r).to_string()).collect();
                format!("{} {} {}", c.layout, c.name, counts.join("+"))
            };
            let gaps = card.gaps.iter().map(|g| g.id.clone());
            card.clips.iter().map(line).chain(gaps).collect()
        };
        let plain = lines(&card(files));
        let sorted = |lines: Vec<String>| {
            let mut lines: Vec<_> = lines.iter().map(|l| l.to_lowercase().replace("dump/", "")).collect();
            lines.sort();
            lines
        };
        for moved in moved(files) {
            let moved: Vec<(&str, &[u8])> = moved.iter().map(|(p, bytes)| (p.as_str(), *bytes)).collect();
            assert_eq!(sorted(lines(&card(&moved))), sorted(plain.clone()), "{moved:?}");
        }
        plain
    }

    /// A card without a readable index.
    pub(crate) fn recognise(listing: Listing) -> crate::clip::Card {
        super::recognise(listing, &mut |_| Err(std::io::ErrorKind::NotFound.into()))
    }
}
