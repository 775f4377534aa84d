//! The layout of no camera in particular: media files are clips, files of the same stem beside them belong to them.

use super::beside::{At, Beside};
use super::{DCIM, Found, FoundClip, GENERIC, KINEFINITY, parts, sequence, sound};
use crate::card::kind::{self, Kind, folded};
use crate::clip::{Listing, Role};
use crate::relpath::{RelPath, escape};
use std::collections::{HashMap, HashSet};

/// Groups what the families left, and gives each file beside a clip to it, whoever knows that clip.
pub(super) fn recognise(listing: &Listing, taken: &mut [bool], found: &mut Vec<Found>) {
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
    let is_photo = |p: &RelPath| photos.contains(&(p.parent(), folded(p.stem()))) || is_numbered_photo(p);
    let frames: Vec<u32> = of(|k| matches!(k, Kind::Frame | Kind::FrameOrPhoto))
        .into_iter()
        .filter(|(_, p)| kind::of(p) == Kind::Frame || !is_photo(p))
        .map(|(index, _)| index)
        .collect();
    let mut clips = sequence::group(listing, &frames);
    // Alone, a DNG is a recording of one frame, but for what a camera's photo folder holds.
    let alone = |p: &RelPath| kind::of(p) == Kind::Frame || !parts::lies_in(p, "dcim");
    clips.retain(|c| c.files.len() > 1 || alone(&listing.files[c.files[0].0 as usize].relpath));

    // A small movie is the recording itself where its original is not here.
    let (named, videos): (Vec<_>, Vec<_>) = of(|k| k == Kind::Video).into_iter().partition(|(_, p)| named_proxy(p));
    clips.extend(videos.into_iter().map(|(index, p)| single(index, p)));
    let last = found.len();
    found.push(Found { layout: GENERIC, clips, ..Found::default() });
    if !named.is_empty() {
        let beside = Beside::of(listing, found);
        for (index, p) in named {
            match beside.original(p) {
                Some(at) => add(found, at, index, Role::Proxy),
                None => found[last].clips.push(single(index, p)),
            }
        }
    }

    // Sound beside a picture of its name is that picture's sound; any other sound is a recording of its own.
    let beside = Beside::of(listing, found);
    let lonely = lonely_sequences(listing, &found[last].clips);
    let mut sound = Vec::new();
    for (index, p) in of(|k| k == Kind::Audio) {
        match beside.same_stem(p) {
            Some(at) => add(found, at, index, Role::Audio),
            None => sound.push((index, p)),
        }
    }
    let mut count: HashMap<RelPath, usize> = HashMap::new();
    sound.iter().for_each(|(_, p)| *count.entry(p.parent()).or_default() += 1);
    sound.retain(|(index, p)| match lonely.get(&p.parent()).filter(|_| count[&p.parent()] == 1) {
        Some(clip) => {
            add(found, (last, *clip), *index, Role::Audio);
            false
        }
        None => true,
    });
    let sound: Vec<u32> = sound.into_iter().map(|(index, _)| index).collect();
    found[last].clips.extend(sound::sets(listing, &sound));

    let beside = Beside::of(listing, found);
    for (index, p) in of(|k| matches!(k, Kind::Proxy | Kind::Thumb | Kind::Other)) {
        let role = match kind::of(p) {
            Kind::Proxy => Role::Proxy,
            Kind::Thumb => Role::Thumb,
            _ => Role::Sidecar,
        };
        let original = if role == Role::Proxy { beside.original(p) } else { None };
        if let Some(at) = beside.belongs_to(p).or(original) {
            add(found, at, index, role);
        }
    }
    for clip in found.iter_mut().flat_map(|f| &mut f.clips) {
        clip.files.iter().for_each(|(index, _)| taken[*index as usize] = true);
    }
    by_layout(listing, found);
}

fn add(found: &mut [Found], at: At, index: u32, role: Role) {
    found[at.0].clips[at.1].files.push((index, role));
}

fn single(index: u32, p: &RelPath) -> FoundClip {
    FoundClip { name: escape(p.stem()).into_owned(), files: vec![(index, Role::Essence)], ..FoundClip::default() }
}

/// `DSC_0001.DNG` in a DCIM folder: eight letters, the last four a number, as cameras name photos.
fn is_numbered_photo(p: &RelPath) -> bool {
    parts::lies_in(p, "dcim") && p.stem().len() == 8 && p.stem()[4..].iter().all(u8::is_ascii_digit)
}

fn named_proxy(p: &RelPath) -> bool {
    folded(p.stem()).ends_with(b"_proxy") || matches!(&folded(p.parent().name())[..], b"proxy" | b"proxies")
}

/// Folders with one sequence and no other clip: the only sound there is its sound.
fn lonely_sequences(listing: &Listing, clips: &[FoundClip]) -> HashMap<RelPath, usize> {
    let mut out: HashMap<RelPath, Option<usize>> = HashMap::new();
    for (n, clip) in clips.iter().enumerate() {
        let folder = listing.files[clip.files[0].0 as usize].relpath.parent();
        let lonely = (clip.files.len() > 1).then_some(n);
        out.entry(folder).and_modify(|other| *other = None).or_insert(lonely);
    }
    out.into_iter().filter_map(|(folder, n)| Some((folder, n?))).collect()
}

/// What lies in DCIM was made by some camera, and KRW by one maker's: the layout says as much and no more.
fn by_layout(listing: &Listing, found: &mut Vec<Found>) {
    let Some(last) = found.pop() else { return };
    let mut split = [KINEFINITY, DCIM, GENERIC].map(|layout| Found { layout, ..Found::default() });
    for clip in last.clips {
        let path = &listing.files[clip.files[0].0 as usize].relpath;
        let camera = path.segments().take(2).any(|s| s.eq_ignore_ascii_case(DCIM.as_bytes()));
        let n = match path.extension() == "krw" {
            true => 0,
            false if camera => 1,
            false => 2,
        };
        split[n].clips.push(clip);
    }
    found.extend(split);
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
        let card = card(&["A/A001.mov", "B.WAV", "notes.txt", "IMG_1.JPG", "IMG_2.HEIC", "IMG_3.CR3"]);
        assert_eq!(card.clips.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["A001", "B"]);
        assert_eq!(card.layout(), "generic");
        assert_eq!(card.listing.files.len(), 6);
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
    fn a_single_frame_is_a_clip_unless_a_camera_keeps_its_photos_there() {
        assert_eq!(
            clips(&["a.0001.exr", "b.dpx", "c.dng", "DCIM/100TEST/DSC_0001.dng"]),
            ["a.0001: a.0001.exr=essence", "b: b.dpx=essence", "c: c.dng=essence"]
        );
    }

    #[test]
    fn photos_taken_as_dng_and_jpeg_are_no_sequence() {
        assert!(clips(&["P_1.DNG", "P_1.JPG", "P_2.DNG", "P_2.jpg"]).is_empty());
    }

    #[test]
    fn the_only_sound_beside_one_sequence_is_its_sound() {
        let frames = ["s/T_0001.dng", "s/T_0002.dng", "s/sync.wav"];
        assert_eq!(clips(&frames), ["T: s/T_0001.dng=essence s/T_0002.dng=essence s/sync.wav=audio"]);
        assert_eq!(clips(&[&frames[..], &["s/other.wav"]].concat()).len(), 3);
        assert_eq!(clips(&[&frames[..], &["s/A.mov"]].concat()).len(), 3);
    }

    #[test]
    fn a_small_movie_belongs_to_its_original_and_alone_it_is_the_recording() {
        assert_eq!(
            clips(&["c/A.braw", "c/Proxy/A.mp4", "c/B.mov", "c/b_proxy.MP4", "c/PROXY/C.mov", "c/D_Proxy.mov"]),
            [
                "A: c/A.braw=essence c/Proxy/A.mp4=proxy",
                "B: c/B.mov=essence c/b_proxy.MP4=proxy",
                "D_Proxy: c/D_Proxy.mov=essence",
                "C: c/PROXY/C.mov=essence",
            ]
        );
        assert_eq!(
            clips(&["s/T_0001.dpx", "s/T_0002.dpx", "s/Proxy/T.mov"]),
            ["T: s/T_0001.dpx=essence s/T_0002.dpx=essence s/Proxy/T.mov=proxy"]
        );
    }

    #[test]
    fn tracks_of_one_take_are_one_clip() {
        assert_eq!(
            clips(&["T01_1.wav", "T01_2.wav", "T02.wav"]),
            ["T01: T01_1.wav=essence T01_2.wav=essence", "T02: T02.wav=essence"]
        );
    }

    #[test]
    fn what_lies_in_dcim_was_made_by_a_camera() {
        let card = card(&["DCIM/100ABCDE/CLIP0001.MP4", "DCIM/100ABCDE/CLIP0001.THM", "x/DCIM/1/a.mov", "b.mov"]);
        let all: Vec<_> = card.clips.iter().map(|c| (c.layout.as_str(), c.files.len())).collect();
        assert_eq!(all, [("dcim", 2), ("generic", 1), ("dcim", 1)]);
        assert_eq!(card.layouts, ["dcim", "generic"]);
    }

    #[test]
    fn kinefinity_frames_are_known_by_their_extension() {
        let card = card(&["A/C001_0000001.krw", "A/C001_0000002.krw", "A/C001.wav"]);
        assert_eq!((card.layout(), card.clips.len(), card.clips[0].files.len()), ("kinefinity", 1, 3));
    }

    #[test]
    fn what_an_operating_system_keeps_is_no_clip_and_hides_none() {
        let junk = [
            ".Trashes/501/A.mov",
            ".Trash-1000/files/A.mov",
            "$RECYCLE.BIN/S-1/A.mov",
            "System Volume Information/A.mov",
            "._A.mov",
            "Thumbs.db",
            "__MACOSX/A.mov",
            "dump/._GX010001.MP4",
            ".Spotlight-V100/DCIM/100GOPRO/GX010001.MP4",
        ];
        assert!(clips(&junk).is_empty());
        assert_eq!(card(&junk).layouts, Vec::<String>::new());
        assert_eq!(clips(&[&junk[..], &["A.mov"]].concat()), ["A: A.mov=essence"]);
    }

    #[test]
    fn a_familys_clip_takes_the_files_of_its_stem_that_the_family_does_not_know() {
        assert_eq!(
            clips(&["DCIM/100GOPRO/GX010001.MP4", "DCIM/100GOPRO/GX010001.xmp", "DCIM/100GOPRO/GX010001.MP4.txt"]),
            ["GX010001: DCIM/100GOPRO/GX010001.MP4=essence DCIM/100GOPRO/GX010001.MP4.txt=sidecar \
                 DCIM/100GOPRO/GX010001.xmp=sidecar"]
        );
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
    fn twenty_thousand_files_are_grouped_in_linear_time() {
        let pairs: Vec<String> = (0..20_000).map(|n| format!("c/A{:05}.{}", n / 2, ["mov", "xml"][n % 2])).collect();
        let frames: Vec<String> = (0..20_000).map(|n| format!("c/A.{n:07}.exr")).collect();
        for (names, clips) in [(pairs, 10_000), (frames, 1)] {
            let listing = listing(&names.iter().map(|n| (n.as_bytes(), 1)).collect::<Vec<_>>());
            // Work that grows with the square would take minutes here.
            assert_eq!(recognise(listing).clips.len(), clips);
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
