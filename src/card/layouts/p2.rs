//! Panasonic P2 and VariCam. `CLIP/0001AB.XML` is the clip: it names picture and sound, a file each (AVC-LongG holds both
//! in one below `AVCLIP`). A recording over 4 GB or over the card goes on in other clips, on this card or the next: they
//! are linked by their shot and not joined.

use super::family::{Family, Ground, rule};
use super::gaps::{self, Names};
use super::{Found, FoundClip};
use crate::card::kind::folded;
use crate::card::warn::about;
use crate::clip::Role::{Audio, Essence, Proxy, Sidecar, Thumb};
use crate::fact::{Fact, Field, Origin, Said};
use crate::read::p2;
use crate::relpath::RelPath;
use std::collections::{BTreeSet, HashMap, HashSet};

macro_rules! at {
    () => {
        r"(?<at>(?:private/)?contents)/"
    };
}

pub(super) const FAMILY: Family = Family {
    layout: "p2",
    markers: &[r"(?:private/)?contents/(?:clip|video|avclip)"],
    rules: &[
        rule(Essence, concat!(at!(), r"(?:video|avclip)/(?<clip>[^/]+)\.mxf")),
        // A clip may be sound alone; beside a picture it becomes its sound.
        rule(Essence, concat!(at!(), r"audio/(?<clip>[^/]+)\d\d\.mxf")),
        rule(Sidecar, concat!(at!(), r"clip/(?<clip>[^/]+)\.(?:xml|xmp)")),
        rule(Thumb, concat!(at!(), r"icon/(?<clip>[^/]+)\.(?:bmp|jpg)")),
        rule(Proxy, concat!(at!(), r"proxy/(?<clip>[^/]+)\.(?:mp4|mov)")),
        rule(Sidecar, concat!(at!(), r"proxy/(?<clip>[^/]+)\.(?:bin|xml|ncw)")),
        rule(Sidecar, concat!(at!(), r"voice/(?<clip>[^/]+)\d\d\.wav")),
    ],
    finish: Some(finish),
};

fn finish(ground: &mut Ground, found: &mut Found) {
    let is_sound = |path: &RelPath| folded(path.parent().name()) == b"audio";
    for clip in &mut found.clips {
        gaps::demote(ground, clip, Audio, is_sound);
    }
    let names = Names::of(ground);
    let clip_of: HashMap<Vec<u8>, usize> = found
        .clips
        .iter()
        .enumerate()
        .filter_map(|(n, c)| {
            Some((folded(contents(ground.relpath(c.files.first()?.0)).join(&c.name).ok()?.as_bytes()), n))
        })
        .collect();
    let indexes: Vec<u32> = ground.files().filter(|(_, f)| is_clip(ground, &f.relpath)).map(|(i, _)| i).collect();
    let mine: HashSet<u32> = found.clips.iter().flat_map(|c| c.files.iter().map(|f| f.0)).collect();
    let mut without = vec![true; found.clips.len()];
    let mut whole = Vec::new();
    for index in indexes {
        let path = ground.relpath(index);
        let at = clip_of.get(&folded(contents(path).join(path.stem()).unwrap_or_default().as_bytes())).copied();
        if let Some(n) = at {
            without[n] = false;
        }
        // As a clip's sidecar it was taken already; by a look at the same folder from above it was read already.
        if ground.taken[index as usize] && !mine.contains(&index) {
            continue;
        }
        ground.taken[index as usize] = false;
        let read = gaps::read(ground, index, p2::clip, &mut found.gaps);
        if let Some(clip) = &read {
            found.gaps.extend(missing(path, clip, &names));
            if let Some(n) = at {
                found.clips[n].said.extend(link(clip, &names, path));
            }
        }
        if at.is_none() && read.is_none_or(|c| !c.video && c.audio == 0) {
            whole.push(path);
        }
    }
    for path in whole {
        found.gaps.push(about("missing-clip", path, "is a clip of which nothing is here but its name"));
    }
    unlisted(ground, found, &without);
}

/// `CONTENTS`, from any file two levels below it.
fn contents(path: &RelPath) -> RelPath {
    path.parent().parent()
}

fn is_clip(ground: &Ground, path: &RelPath) -> bool {
    let below = folded(ground.below(path).as_bytes());
    let below = below.strip_prefix(b"private/").unwrap_or(&below);
    below
        .strip_prefix(b"contents/clip/")
        .is_some_and(|n| n.ends_with(b".xml") && !n.contains(&b'/') && !n.starts_with(b"._"))
}

/// What the clip's list of essence says and the card has not.
fn missing(path: &RelPath, clip: &p2::Clip, names: &Names) -> Vec<crate::clip::Warning> {
    let stem = String::from_utf8_lossy(path.stem()).into_owned();
    let at = |folder: &str, tail: &str| contents(path).join(format!("{folder}/{stem}{tail}")).ok();
    let there = |p: &Option<RelPath>| p.as_ref().is_some_and(|p| names.find(p).is_some());
    let both = there(&at("AVCLIP", ".MXF"));
    let mut lost = BTreeSet::new();
    if clip.video && !both && !there(&at("VIDEO", ".MXF")) {
        let long = clip.video_holds_audio || clip.codec_is_long;
        lost.extend(at(if long { "AVCLIP" } else { "VIDEO" }, ".MXF"));
    }
    if !both && !clip.video_holds_audio && !clip.codec_is_long {
        let sound = (0..clip.audio.min(32)).filter_map(|n| at("AUDIO", &format!("{n:02}.MXF")));
        lost.extend(sound.filter(|p| names.find(p).is_none()));
    }
    let mut out = Vec::new();
    gaps::absent("missing-essence", path, "essence of the clip", &lost, &mut out);
    out
}

/// Its ids, and in words where the shot goes on.
fn link(clip: &p2::Clip, names: &Names, path: &RelPath) -> Vec<Said> {
    let elsewhere = |part: &Option<p2::Part>, words: &str| {
        let name = part.as_ref()?.name.as_ref()?;
        let here = path.parent().join(format!("{name}.XML")).ok().and_then(|p| names.find(&p)).is_some();
        (!here).then(|| format!("the shot {words} clip {name}, which is not on this card"))
    };
    let facts = [
        (Field::ClipId, clip.id.clone()),
        (Field::ShotId, clip.shot_id.clone()),
        (Field::Note, elsewhere(&clip.previous, "goes on from")),
        (Field::Note, elsewhere(&clip.next, "goes on in")),
    ];
    let said = |(field, value): (Field, Option<String>)| {
        Some(Said { fact: Fact::new(field, value?)?, origin: Origin::Index, by: "p2".into() })
    };
    facts.into_iter().filter_map(said).collect()
}

/// Essence whose clip document is not there: one gap for all.
fn unlisted(ground: &Ground, found: &mut Found, without: &[bool]) {
    let lead = |c: &FoundClip| c.files.first().map(|f| f.0);
    let clips: Vec<u32> = found.clips.iter().zip(without).filter(|(_, w)| **w).filter_map(|(c, _)| lead(c)).collect();
    if let Some(first) = clips.first() {
        let folder = contents(ground.relpath(*first));
        let says =
            format!("has {} clips without a document in CLIP, \"{}\" first", clips.len(), ground.relpath(*first));
        found.gaps.push(about("not-in-index", &folder, &says));
    }
}

#[cfg(test)]
mod tests {
    use crate::card::tests::{card, seen};
    use crate::fact::Field;

    fn document(id: &str, audio: usize, relation: &str) -> String {
        let sound = "<Audio/>".repeat(audio);
        format!(
            "<P2Main xmlns=\"urn:p2\"><ClipContent><ClipName>{id}</ClipName><GlobalClipID>G{id}</GlobalClipID>{relation}\
             <EssenceList><Video><Codec>AVC-I_1080/50i</Codec></Video>{sound}</EssenceList></ClipContent></P2Main>"
        )
    }

    fn whole() -> Vec<String> {
        [
            "CONTENTS/AUDIO/0001AB00.MXF",
            "CONTENTS/AUDIO/0001AB01.MXF",
            "CONTENTS/ICON/0001AB.BMP",
            "CONTENTS/PROXY/0001AB.BIN",
            "CONTENTS/PROXY/0001AB.MP4",
            "CONTENTS/VIDEO/0001AB.MXF",
            "CONTENTS/VOICE/0001AB00.WAV",
            "LASTCLIP.TXT",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn files<'a>(names: &'a [String], documents: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a [u8])> {
        let media = names.iter().map(|n| (n.as_str(), &b"x"[..]));
        media.chain(documents.iter().map(|(n, text)| (*n, text.as_bytes()))).collect()
    }

    #[test]
    fn a_clip_is_its_document_with_all_it_names() {
        let documents = [("CONTENTS/CLIP/0001AB.XML", document("0001AB", 2, ""))];
        assert_eq!(seen(&files(&whole(), &documents)), ["p2 0001AB 1+2+3+1+1"]);
    }

    #[test]
    fn essence_that_the_document_names_and_the_card_lacks_is_a_gap() {
        let mut names = whole();
        names.retain(|n| !n.contains("VIDEO"));
        let documents = [("CONTENTS/CLIP/0001AB.XML", document("0001AB", 3, ""))];
        assert_eq!(
            seen(&files(&names, &documents)),
            [
                "p2 0001AB 2+0+3+1+1",
                "missing-essence:CONTENTS/AUDIO/0001AB02.MXF",
                "missing-essence:CONTENTS/VIDEO/0001AB.MXF",
            ]
        );
        let nothing = seen(&files(&[], &documents));
        assert_eq!(nothing.len(), 4, "{nothing:?}");
    }

    #[test]
    fn sound_and_picture_in_one_file_are_whole() {
        let names = ["CONTENTS/AVCLIP/0001AB.MXF".to_owned()];
        let documents = [("CONTENTS/CLIP/0001AB.XML", document("0001AB", 4, ""))];
        assert_eq!(seen(&files(&names, &documents)), ["p2 0001AB 1+0+1+0+0"]);
    }

    #[test]
    fn a_document_that_is_missing_or_broken_loses_no_clip() {
        assert_eq!(seen(&files(&whole(), &[])), ["p2 0001AB 1+2+2+1+1", "not-in-index:CONTENTS"]);
        for (text, gap) in [("", "empty-index"), ("<P2Main>", "unread-index")] {
            let documents = [("CONTENTS/CLIP/0001AB.XML", text.to_owned())];
            assert_eq!(
                seen(&files(&whole(), &documents)),
                ["p2 0001AB 1+2+3+1+1", &format!("{gap}:CONTENTS/CLIP/0001AB.XML")]
            );
        }
        let alone = [("CONTENTS/CLIP/0009XX.XML", String::new())];
        assert_eq!(
            seen(&files(&[], &alone)),
            ["empty-index:CONTENTS/CLIP/0009XX.XML", "missing-clip:CONTENTS/CLIP/0009XX.XML"]
        );
    }

    #[test]
    fn parts_of_a_shot_are_linked_and_a_part_on_another_card_is_no_gap() {
        let next = |n: &str| {
            format!(
                "<Relation><GlobalShotID>S1</GlobalShotID><Connection><Next><ClipName>{n}</ClipName></Next></Connection></Relation>"
            )
        };
        let mut names = whole();
        names.push("CONTENTS/VIDEO/0002CD.MXF".into());
        let documents = [
            ("CONTENTS/CLIP/0001AB.XML", document("0001AB", 2, &next("0002CD"))),
            ("CONTENTS/CLIP/0002CD.XML", document("0002CD", 0, &next("0001EF"))),
        ];
        let card = card(&files(&names, &documents));
        assert_eq!((card.clips.len(), card.gaps.len()), (2, 0));
        let of = |name: &str, f| {
            let clip = card.clips.iter().find(|c| c.name == name).unwrap();
            clip.said.iter().find(|s| s.fact.field == f).map(|s| s.fact.value.clone())
        };
        for name in ["0001AB", "0002CD"] {
            assert_eq!(of(name, Field::ShotId).as_deref(), Some("S1"));
            assert_eq!(of(name, Field::ClipId), Some(format!("G{name}")));
        }
        assert_eq!(of("0001AB", Field::Note), None);
        assert!(of("0002CD", Field::Note).unwrap().contains("0001EF"));
    }
}
