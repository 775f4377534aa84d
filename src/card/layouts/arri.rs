//! ARRI. One MOV, one MXF or one folder of ARRIRAW frames is a clip; nothing is spanned.
//!
//! Classic names (SXT, Mini, LF, Amira, 65): `A001C001_180327_R1ZA`: index and reel, clip, day, eye and serial. From the
//! ALEXA 35 on: `A_0076C001_230511_184122_a1CTJ`: day and time, a letter for the kind of file, serial. HDE copies made at
//! the offload lie in a tree of their own (`A_0076_1CTJ_hde/`) with the letter `h`: the same clip once more.
//! The ALE and the FCP XML of a reel tell of all its clips; looks and framelines are settings. None of them is in a clip.

use super::family::{Family, Ground, rule};
use super::{Found, FoundClip, gaps, parts};
use crate::clip::Role::{Audio, Essence, Sidecar};
use crate::fact::{Fact, Field};
use crate::relpath::RelPath;
use std::collections::BTreeSet;

macro_rules! classic {
    () => {
        r"(?:[^/]+/)*?(?:(?<at>[^/]+?)(?:_hde)?/)?(?<name>(?<clip_name>(?<clip>(?<reel>(?<camera>[a-z])\d{3})[cd]\d{3}_(?<ymd>\d{6})_[lr][0-9a-z]{3})))"
    };
}
macro_rules! alexa35 {
    () => {
        r"(?:[^/]+/)*?(?:(?<at>[^/]+?)(?:_hde)?/)?(?<name>(?<clip_name>(?<clip>(?<reel>(?<camera>[a-z])[0-9a-z_]\d{4})[cd]\d{3}_(?<ymd>\d{6})_(?<hms>\d{6}))_[a-z][0-9a-z]{4}))"
    };
}

pub(super) const FAMILY: Family = Family {
    layout: "arri",
    markers: &[
        r"(?:[^/]+/)*[a-z]\d{3}[cd]\d{3}_\d{6}_[lr][0-9a-z]{3}(?:\.\d{7})?\.(?:mov|mxf|ari|arx)",
        r"(?:[^/]+/)*[a-z][0-9a-z_]\d{4}[cd]\d{3}_\d{6}_\d{6}_[a-z][0-9a-z]{4}(?:\.\d{7})?\.(?:mov|mxf|ari|arx)",
    ],
    rules: &[
        rule(Essence, concat!(classic!(), r"\.(?:mov|mxf)")),
        rule(Essence, concat!(classic!(), r"\.(?<part>\d{7})\.(?:ari|arx)")),
        rule(Essence, concat!(alexa35!(), r"\.(?:mov|mxf)")),
        rule(Essence, concat!(alexa35!(), r"\.(?<part>\d{7})\.(?:ari|arx)")),
        rule(Audio, concat!(classic!(), r"\.wav")),
        rule(Audio, concat!(alexa35!(), r"\.wav")),
        rule(Sidecar, concat!(classic!(), r"(?:\.mov|\.mxf)?\.", beside!())),
        rule(Sidecar, concat!(alexa35!(), r"(?:\.mov|\.mxf)?\.", beside!())),
    ],
    finish: Some(finish),
};

fn finish(ground: &mut Ground, found: &mut Found) {
    let clips = std::mem::take(&mut found.clips);
    let mut out = Vec::new();
    for mut clip in clips {
        gaps::demote(ground, &mut clip, Sidecar, is_hde);
        out.extend(gaps::by_folder(ground, clip));
    }
    for clip in &mut out {
        reel(clip);
        found.gaps.extend(frames(ground, clip));
    }
    found.clips = out;
}

/// The lossless copy: a frame `.arx`, or the letter `h` before the serial.
fn is_hde(path: &RelPath) -> bool {
    let stem = path.stem();
    path.extension() == "arx" || stem.len() > 5 && matches!(stem[stem.len() - 6..], [b'_', b'h' | b'H', ..])
}

/// ARRI's own reel has the serial in it: `A001R1ZA`, `A_0076_1CTJ`.
fn reel(clip: &mut FoundClip) {
    let Some(short) = clip.facts.iter().find(|f| f.field == Field::Reel).map(|f| f.value.clone()) else { return };
    let Some(serial) = clip.name.rsplit('_').next().filter(|s| s.is_ascii()) else { return };
    let reel = if serial.len() == 5 { format!("{short}_{}", &serial[1..]) } else { format!("{short}{serial}") };
    let reel = Fact::new(Field::Reel, reel);
    clip.facts.iter_mut().filter(|f| f.field == Field::Reel).zip(reel).for_each(|(f, reel)| *f = reel);
}

/// Frames are numbered by their timecode, so a clip over midnight goes on at 0.
fn frames(ground: &Ground, clip: &mut FoundClip) -> Option<crate::clip::Warning> {
    let number = |index: u32| -> Option<u64> {
        let stem = ground.relpath(index).stem();
        std::str::from_utf8(stem.get(stem.len().checked_sub(7)?..)?).ok()?.parse().ok()
    };
    let is_frame = |index: &u32| matches!(ground.relpath(*index).extension().as_str(), "ari" | "arx");
    let (first, _) = clip.files.iter().find(|(i, r)| *r == Essence && is_frame(i))?;
    let path = ground.relpath(*first).clone();
    let numbers: BTreeSet<u64> =
        clip.files.iter().filter(|(i, r)| *r == Essence && is_frame(i)).filter_map(|(i, _)| number(*i)).collect();
    let mut holes = parts::holes(None, numbers.iter().copied());
    let (low, high) = (*numbers.first()?, *numbers.last()?);
    let midnight = [24, 25, 30, 48, 50, 60, 120].iter().any(|fps| high + 1 == fps * 86_400);
    if low == 0 && midnight {
        // The widest hole is not one: the clip begins after it.
        let widest = (0..holes.len()).max_by_key(|n| holes[*n].1 - holes[*n].0)?;
        let (_, end) = holes.remove(widest);
        clip.files.sort_by_key(|(i, r)| (*r, *r == Essence && number(*i).is_some_and(|n| n <= end)));
    }
    let (missing, _) = holes.first()?;
    let stem = path.stem();
    let name = [&stem[..stem.len() - 7], format!("{missing:07}.{}", path.extension()).as_bytes()].concat();
    Some(gaps::lost(&path.parent().join(name).ok()?, &clip.name, &holes))
}

#[cfg(test)]
mod tests {
    use crate::card::tests::{card, clips, seen};
    use crate::fact::Field;

    #[test]
    fn a_classic_reel_has_its_clips_and_its_lists_are_in_none() {
        let names = [
            "A001R1ZA/A001C001_180327_R1ZA.mov",
            "A001R1ZA/A001C001_180327_R1ZA.mov.csv",
            "A001R1ZA/A001D002_180327_R1ZA.mxf",
            "A001R1ZA/A001R1ZA.ale",
            "A001R1ZA/A001R1ZA_FCP.xml",
            "ARRI/LOOKFILES/Warm.aml",
        ];
        assert_eq!(
            clips(&names),
            [
                "arri A001C001_180327_R1ZA: A001R1ZA/A001C001_180327_R1ZA.mov=essence \
                 A001R1ZA/A001C001_180327_R1ZA.mov.csv=sidecar",
                "arri A001D002_180327_R1ZA: A001R1ZA/A001D002_180327_R1ZA.mxf=essence",
            ]
        );
        let files: Vec<(&str, &[u8])> = names.iter().map(|n| (*n, &b"x"[..])).collect();
        assert_eq!(seen(&files)[2..], ["unread-index:A001R1ZA/A001R1ZA.ale"]);
        assert_eq!(clips(&["A001C001_180327_R1ZA.mov"]).len(), 1, "the volume is the reel");
    }

    #[test]
    fn the_name_says_reel_camera_and_day() {
        let said = |name: &str| -> Vec<String> {
            let said = &card(&[(name, b"x")]).clips[0].said;
            let of = |f| said.iter().find(|s| s.fact.field == f).map(|s| s.fact.value.clone()).unwrap_or_default();
            [Field::Reel, Field::Camera, Field::ClipName, Field::RecordedAt].map(of).to_vec()
        };
        assert_eq!(said("A001R1ZA/A001C001_180327_R1ZA.mov"), ["A001R1ZA", "A", "A001C001_180327_R1ZA", "2018-03-27"]);
        assert_eq!(
            said("A_0076_1CTJ/A_0076C001_230511_184122_a1CTJ.mxf"),
            ["A_0076_1CTJ", "A", "A_0076C001_230511_184122_a1CTJ", "2023-05-11T18:41:22"]
        );
        assert_eq!(said("A001C001_189927_R1ZA.mov")[3], "", "no month 99");
    }

    #[test]
    fn an_hde_copy_is_the_clip_it_was_made_from() {
        let (a, h) = (
            "A_0076_1CTJ/A_0076C001_230511_184122_a1CTJ.mxf",
            "A_0076_1CTJ_hde/A_0076_1CTJ/A_0076C001_230511_184122_h1CTJ.mxf",
        );
        assert_eq!(clips(&[a, h]), [format!("arri A_0076C001_230511_184122_a1CTJ: {a}=essence {h}=sidecar")]);
        assert_eq!(clips(&[h]), [format!("arri A_0076C001_230511_184122_h1CTJ: {h}=essence")]);
    }

    #[test]
    fn frames_are_one_clip_and_a_hole_in_them_is_a_gap() {
        let frame = |n: u64| format!("A003R24Y/A003C003_190625_R24Y/A003C003_190625_R24Y.{n:07}.ari");
        let names = |numbers: &[u64]| numbers.iter().map(|n| frame(*n)).collect::<Vec<_>>();
        let seen_of = |numbers: &[u64]| {
            let names = names(numbers);
            seen(&names.iter().map(|n| (n.as_str(), &b"x"[..])).collect::<Vec<_>>())
        };
        assert_eq!(seen_of(&[49275, 49276, 49277]), ["arri A003C003_190625_R24Y 3+0+0+0+0"]);
        assert_eq!(
            seen_of(&[49275, 49279]),
            ["arri A003C003_190625_R24Y 2+0+0+0+0", &format!("missing-part:{}", frame(49276))]
        );
        let midnight = names(&[2_073_598, 2_073_599, 0, 1]);
        let card = card(&midnight.iter().map(|n| (n.as_str(), &b"x"[..])).collect::<Vec<_>>());
        let order: Vec<String> = card.clips[0].files.iter().map(|(p, _)| p.to_string()).collect();
        assert_eq!((order, card.gaps.len()), (midnight, 0), "over midnight");
    }

    #[test]
    fn the_same_clip_in_two_folders_is_two_copies_and_not_two_parts() {
        let names = ["x/A001R1ZA/A001C001_180327_R1ZA.mov", "y/A001R1ZA/A001C001_180327_R1ZA.mov"];
        assert_eq!(clips(&names).len(), 2);
    }
}
