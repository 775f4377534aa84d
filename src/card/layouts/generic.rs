//! The layout of no camera in particular: media files are clips, files of the same stem beside them belong to them.

use super::{Found, FoundClip, GENERIC, sequence};
use crate::card::kind::{self, Kind, folded};
use crate::clip::{Listing, Role};
use crate::relpath::{RelPath, escape};
use std::collections::{HashMap, HashSet};

pub(super) fn recognise(listing: &Listing, taken: &mut [bool]) -> Option<Found> {
    let files: Vec<(u32, &RelPath, Kind)> = (0u32..)
        .zip(&listing.files)
        .filter(|(index, _)| !taken[*index as usize])
        .map(|(index, f)| (index, &f.relpath, kind::of(&f.relpath)))
        .collect();
    let of = |wanted: fn(Kind) -> bool| -> Vec<(u32, &RelPath)> {
        files.iter().filter(|f| wanted(f.2)).map(|f| (f.0, f.1)).collect()
    };

    // A DNG with a JPEG of its name is a photo taken twice, not a frame.
    let photos: HashSet<_> = of(|k| k == Kind::Thumb).iter().map(|(_, p)| (p.parent(), folded(p.stem()))).collect();
    let frames: Vec<u32> = of(|k| matches!(k, Kind::Frame | Kind::FrameOrPhoto))
        .into_iter()
        .filter(|(_, p)| kind::of(p) == Kind::Frame || !photos.contains(&(p.parent(), folded(p.stem()))))
        .map(|(index, _)| index)
        .collect();
    let mut clips = sequence::group(listing, &frames);
    clips.retain(|c| c.files.len() > 1 || kind::of(&listing.files[c.files[0].0 as usize].relpath) == Kind::Frame);
    let single = |index: u32, p: &RelPath| FoundClip {
        name: escape(p.stem()).into_owned(),
        files: vec![(index, Role::Essence)],
        ..FoundClip::default()
    };
    clips.extend(of(|k| k == Kind::Video).into_iter().map(|(index, p)| single(index, p)));

    // Sound beside a picture of its name is that picture's sound; any other sound is a recording of its own.
    let mut beside = Beside::of(listing, &clips);
    for (index, p) in of(|k| k == Kind::Audio) {
        match beside.same_stem(p) {
            Some(clip) => clips[clip].files.push((index, Role::Audio)),
            None => clips.push(single(index, p)),
        }
    }
    distinct_names(listing, &mut clips);
    beside = Beside::of(listing, &clips);
    for (index, p) in of(|k| matches!(k, Kind::Proxy | Kind::Thumb | Kind::Other)) {
        let role = match kind::of(p) {
            Kind::Proxy => Role::Proxy,
            Kind::Thumb => Role::Thumb,
            _ => Role::Sidecar,
        };
        if !p.name().starts_with(b"._")
            && let Some(clip) = beside.belongs_to(p)
        {
            clips[clip].files.push((index, role));
        }
    }
    clips.iter().flat_map(|c| &c.files).for_each(|(index, _)| taken[*index as usize] = true);
    (!clips.is_empty()).then_some(Found { layout: GENERIC, clips, gaps: Vec::new() })
}

/// Finds the clip that a file stands beside: by folder and by name, without regard to case.
struct Beside {
    by_name: HashMap<(RelPath, Vec<u8>), usize>,
    by_stem: HashMap<(RelPath, Vec<u8>), usize>,
}

impl Beside {
    fn of(listing: &Listing, clips: &[FoundClip]) -> Self {
        let mut out = Beside { by_name: HashMap::new(), by_stem: HashMap::new() };
        for (n, clip) in clips.iter().enumerate() {
            let essence: Vec<_> = clip.files.iter().map(|(i, _)| &listing.files[*i as usize].relpath).collect();
            for p in &essence {
                out.by_name.entry((p.parent(), folded(p.name()))).or_insert(n);
                out.by_stem.entry((p.parent(), folded(p.stem()))).or_insert(n);
            }
            if essence.len() > 1 {
                out.by_stem.entry((essence[0].parent(), folded(clip.name.as_bytes()))).or_insert(n);
            }
        }
        out
    }

    fn same_stem(&self, p: &RelPath) -> Option<usize> {
        self.by_stem.get(&(p.parent(), folded(p.stem()))).copied()
    }

    /// `A001.xml`, `A001.mov.csv`, `A001.metadata.txt`, and Sony's `C0001M01.XML` beside `C0001.MP4`.
    fn belongs_to(&self, p: &RelPath) -> Option<usize> {
        let folder = p.parent();
        let name = folded(p.name());
        let mut stem = &name[..];
        while let Some(dot) = stem.iter().rposition(|b| *b == b'.').filter(|at| *at > 0) {
            stem = &stem[..dot];
            let key = (folder.clone(), stem.to_vec());
            if let Some(clip) = self.by_name.get(&key).or_else(|| self.by_stem.get(&key)) {
                return Some(*clip);
            }
        }
        match stem {
            [clip @ .., b'm' | b'r' | b't' | b's' | b'i', b'0'..=b'9', b'0'..=b'9'] if !clip.is_empty() => {
                self.by_stem.get(&(folder, clip.to_vec())).copied()
            }
            _ => None,
        }
    }
}

/// Two clips of one folder that share a stem keep their extensions in their names.
fn distinct_names(listing: &Listing, clips: &mut [FoundClip]) {
    let path = |c: &FoundClip| listing.files[c.files[0].0 as usize].relpath.clone();
    let mut count: HashMap<(RelPath, String), usize> = HashMap::new();
    for clip in clips.iter() {
        *count.entry((path(clip).parent(), clip.name.clone())).or_default() += 1;
    }
    for clip in clips {
        let first = path(clip);
        if count[&(first.parent(), clip.name.clone())] > 1 {
            clip.name = escape(first.name()).into_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::card::tests::{listing, recognise};
    use crate::clip::{Card, Role};
    use proptest::prelude::*;

    fn card(names: &[&str]) -> Card {
        recognise(listing(&names.iter().map(|n| (n.as_bytes(), 1)).collect::<Vec<_>>()))
    }

    /// `name: file role, file role`, one line a clip.
    fn clips(names: &[&str]) -> Vec<String> {
        let line = |files: &[(crate::relpath::RelPath, Role)]| -> String {
            files.iter().map(|(p, r)| format!(" {p}={}", r.name())).collect()
        };
        card(names).clips.iter().map(|c| format!("{}:{}", c.name, line(&c.files))).collect()
    }

    #[test]
    fn media_are_clips_and_the_rest_are_files() {
        let card = card(&["A/A001.mov", "B.WAV", "notes.txt", "IMG_1.JPG", "IMG_2.HEIC", "IMG_3.CR3", "IMG_4.DNG"]);
        assert_eq!(card.clips.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["A001", "B"]);
        assert_eq!(card.layout(), "generic");
        assert_eq!(card.listing.files.len(), 7);
    }

    #[test]
    fn sidecars_join_their_clip_without_regard_to_case() {
        assert_eq!(
            clips(&["c/A1.MP4", "c/a1.xml", "c/A1.metadata.txt", "c/A1.mp4.csv", "c/A1.LRV", "c/a1.thm", "d/A1.xml"]),
            [
                "A1: c/A1.MP4=essence c/A1.LRV=proxy c/A1.metadata.txt=sidecar c/A1.mp4.csv=sidecar c/a1.thm=thumb c/a1.xml=sidecar"
            ]
        );
    }

    #[test]
    fn sony_sidecars_join_the_clip_they_number() {
        assert_eq!(
            clips(&["C0001.MP4", "C0001M01.XML", "C0001T01.JPG", "C0002M01.XML"]),
            ["C0001: C0001.MP4=essence C0001M01.XML=sidecar C0001T01.JPG=thumb"]
        );
    }

    #[test]
    fn sound_beside_its_picture_belongs_to_it() {
        assert_eq!(clips(&["A.mov", "a.wav", "B.wav"]), ["A: A.mov=essence a.wav=audio", "B: B.wav=essence"]);
    }

    #[test]
    fn two_clips_of_one_stem_have_distinct_names() {
        assert_eq!(
            clips(&["A.mov", "A.mxf", "A.mxf.csv", "A.xml"]),
            ["A.mov: A.mov=essence A.xml=sidecar", "A.mxf: A.mxf=essence A.mxf.csv=sidecar"]
        );
    }

    #[test]
    fn a_sequence_takes_its_sound_and_its_sidecars() {
        assert_eq!(
            clips(&["s/T_0001.dng", "s/T_0002.dng", "s/T.wav", "s/T_0001.xmp", "s/T.xml"]),
            ["T: s/T_0001.dng=essence s/T_0002.dng=essence s/T.wav=audio s/T.xml=sidecar s/T_0001.xmp=sidecar"]
        );
    }

    #[test]
    fn a_single_frame_is_a_clip_and_a_single_dng_is_a_photo() {
        assert_eq!(clips(&["a.0001.exr", "b.dpx", "DSC_0001.dng"]), ["a.0001: a.0001.exr=essence", "b: b.dpx=essence"]);
    }

    #[test]
    fn photos_taken_as_dng_and_jpeg_are_no_sequence() {
        assert!(clips(&["P_1.DNG", "P_1.JPG", "P_2.DNG", "P_2.jpg"]).is_empty());
    }

    #[test]
    fn apple_double_files_are_never_part_of_a_clip() {
        assert_eq!(clips(&["A.mov", "._A.mov", "._A.xml"]), ["A: A.mov=essence"]);
    }

    #[test]
    fn names_that_are_not_text_are_shown_escaped() {
        let card = recognise(listing(&[(b"A\xff.mov", 1), (b"A\xff.xml", 1)]));
        assert_eq!(card.clips[0].name, "A\\xff");
        assert_eq!(card.clips[0].files.len(), 2);
    }

    #[test]
    fn twenty_thousand_files_take_well_under_a_second() {
        let pairs: Vec<String> = (0..20_000).map(|n| format!("c/A{:05}.{}", n / 2, ["mov", "xml"][n % 2])).collect();
        let frames: Vec<String> = (0..20_000).map(|n| format!("c/A.{n:07}.exr")).collect();
        for (names, clips) in [(pairs, 10_000), (frames, 1)] {
            let listing = listing(&names.iter().map(|n| (n.as_bytes(), 1)).collect::<Vec<_>>());
            let start = std::time::Instant::now();
            assert_eq!(recognise(listing).clips.len(), clips);
            // An unoptimised build on a busy machine; quadratic work would take minutes.
            assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
        }
    }

    proptest! {
        #[test]
        fn no_file_is_in_two_clips_and_every_recording_is_in_one(
            names in proptest::collection::btree_set(
                "(a|B|c\\.1)(M01|_0*[0-9]|[0-9]{1,2})?\\.(mov|MXF|wav|dng|exr|xml|thm|jpg|lrv|mov\\.csv)", 0..30),
        ) {
            let card = card(&names.iter().map(String::as_str).collect::<Vec<_>>());
            let mut seen = std::collections::BTreeSet::new();
            for (p, role) in card.clips.iter().flat_map(|c| &c.files) {
                prop_assert!(seen.insert(p.clone()), "{} is in two clips", p);
                let essence = crate::card::kind::of(p).is_essence();
                prop_assert_eq!(essence, matches!(role, Role::Essence | Role::Audio), "{}", p);
            }
            for f in &card.listing.files {
                let recording = matches!(f.relpath.extension().as_str(), "mov" | "mxf" | "wav" | "exr");
                prop_assert!(!recording || seen.contains(&f.relpath), "{} is in no clip", f.relpath);
            }
            let mut clip_names: Vec<_> = card.clips.iter().map(|c| &c.name).collect();
            clip_names.sort();
            clip_names.dedup();
            prop_assert_eq!(clip_names.len(), card.clips.len(), "names of one folder repeat");
        }
    }
}
