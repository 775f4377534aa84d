//! Image sequences: numbered frames of one name in one folder are one recording.

use super::{Found, FoundClip, arri, parts};
use crate::card::kind::{self, Kind};
use crate::card::warn::about;
use crate::clip::{Listing, Role, Warning};
use crate::relpath::{RelPath, escape};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A stem cut at its last run of digits.
struct Numbered<'a> {
    before: &'a [u8],
    digits: &'a [u8],
    after: &'a [u8],
}

fn numbered(stem: &[u8]) -> Option<Numbered<'_>> {
    let end = stem.iter().rposition(u8::is_ascii_digit)? + 1;
    let start = stem[..end].iter().rposition(|b| !b.is_ascii_digit()).map_or(0, |at| at + 1);
    Some(Numbered { before: &stem[..start], digits: &stem[start..end], after: &stem[end..] })
}

/// Numbers of any length compare by length without leading zeros, then by digits.
fn value(digits: &[u8]) -> (usize, &[u8]) {
    let from = digits.iter().position(|b| *b != b'0').unwrap_or(digits.len());
    (digits.len() - from, &digits[from..])
}

/// Groups `frames` (places in the listing) into clips. What is alone comes back as a clip of one frame.
pub(super) fn group(listing: &Listing, frames: &[u32]) -> Vec<FoundClip> {
    type Key<'a> = (RelPath, &'a [u8], &'a [u8], String);
    let path = |index: u32| &listing.files[index as usize].relpath;
    let mut rows: BTreeMap<Key, Vec<(u32, &[u8])>> = BTreeMap::new();
    let mut alone = Vec::new();
    for index in frames.iter().copied() {
        match numbered(path(index).stem()) {
            Some(n) => {
                let key = (path(index).parent(), n.before, n.after, path(index).extension());
                rows.entry(key).or_default().push((index, n.digits));
            }
            None => alone.push(index),
        }
    }
    let mut out = Vec::new();
    for (key, frames) in rows {
        for mut row in split_by_width(frames) {
            if row.len() < 2 {
                alone.extend(row.iter().map(|(index, _)| *index));
                continue;
            }
            row.sort_by_key(|(_, digits)| value(digits));
            let numbers: Vec<u64> = row.iter().filter_map(|(_, digits)| parts::number(digits)).collect();
            if numbers.len() == row.len()
                && let Some(at) = midnight(&numbers)
            {
                row.rotate_left(at);
            }
            let files = row.into_iter().map(|(index, _)| (index, Role::Essence)).collect();
            out.push(FoundClip { name: name(&key.0, key.1, key.2), files, ..FoundClip::default() });
        }
    }
    out.extend(alone.into_iter().map(|index| FoundClip {
        name: escape(path(index).stem()).into_owned(),
        files: vec![(index, Role::Essence)],
        ..FoundClip::default()
    }));
    out
}

/// `9` and `10` belong together, `9` and `09` can not: then the width of the number is part of the name.
fn split_by_width(frames: Vec<(u32, &[u8])>) -> Vec<Vec<(u32, &[u8])>> {
    let mut seen = HashSet::new();
    if frames.iter().all(|(_, digits)| seen.insert(value(digits))) {
        return vec![frames];
    }
    let mut out: BTreeMap<usize, Vec<_>> = BTreeMap::new();
    for frame in frames {
        out.entry(frame.1.len()).or_default().push(frame);
    }
    out.into_values().collect()
}

/// The text around the number without the marks that led to it; a bare number takes its folder's name.
fn name(folder: &RelPath, before: &[u8], after: &[u8]) -> String {
    let mark = |b: &u8| matches!(b, b'.' | b'_' | b'-' | b' ');
    let end = before.iter().rposition(|b| !mark(b)).map_or(0, |at| at + 1);
    let name = [&before[..end], after].concat();
    match (name.is_empty(), folder.is_root()) {
        (false, _) => escape(&name).into_owned(),
        (true, false) => escape(folder.name()).into_owned(),
        (true, true) => "frames".to_owned(),
    }
}

/// Whoever found them: sequences in which numbers are left out, or frames have another size than the others.
pub(super) fn judge(listing: &Listing, found: &mut [Found]) {
    for found in found {
        for clip in &found.clips {
            let is_frame =
                |i: u32| matches!(kind::of(&listing.files[i as usize].relpath), Kind::Frame | Kind::FrameOrPhoto);
            let frames: Vec<u32> = clip.files.iter().filter(|(_, r)| *r == Role::Essence).map(|(i, _)| *i).collect();
            if frames.len() > 1 && frames.iter().all(|i| is_frame(*i)) {
                // ARRI counts from midnight, and over it: its own file knows.
                if found.layout != arri::FAMILY.layout {
                    found.gaps.extend(missing(listing, clip, &frames));
                }
                found.gaps.extend(odd(listing, clip, &frames));
            }
        }
    }
}

/// Many cameras number a frame by its timecode: after the last of the day comes 0. Where in the ascending numbers the
/// recording began, if it did not begin with the first of them.
fn midnight(numbers: &[u64]) -> Option<usize> {
    const DAY_SECS: u64 = 86_400;
    const RATES: [u64; 8] = [24, 25, 30, 48, 50, 60, 100, 120];
    let after = numbers.last()?.checked_add(1)?;
    let wraps = numbers.first() == Some(&0) && RATES.iter().any(|rate| rate * DAY_SECS == after);
    let widest = (1..numbers.len()).max_by_key(|at| numbers[*at] - numbers[at - 1])?;
    (wraps && numbers[widest] - numbers[widest - 1] > 1).then_some(widest)
}

/// More than so many that are missing are not filled: such numbers count something else.
const MOST_LOST: u64 = 1000;

/// Where each frame of a sequence stands, counted from 0, and how many frames it has with those that are missing. Numbers
/// that cannot be counted, or that count in steps, leave nothing out.
pub(crate) fn places(frames: &[&RelPath]) -> (Vec<u64>, u64) {
    let have = frames.len() as u64;
    let plain = || ((0..have).collect(), have);
    let numbers: Vec<u64> = frames.iter().filter_map(|p| number(p)).map(|(n, _)| n).collect();
    let (Some(first), Some(greatest)) = (numbers.first().copied(), numbers.iter().max().copied()) else {
        return plain();
    };
    let steps: HashSet<u64> = numbers.windows(2).map(|w| w[1].wrapping_sub(w[0])).collect();
    if numbers.len() != frames.len() || (steps.len() == 1 && have > 2) || frames.iter().any(|p| is_photos(p)) {
        return plain();
    }
    // After the last frame of a day comes 0.
    let place = |n: u64| if n >= first { Some(n - first) } else { (greatest - first).checked_add(n)?.checked_add(1) };
    let places: Vec<u64> = numbers.iter().filter_map(|n| place(*n)).collect();
    let total = places.last().map_or(0, |last| last.saturating_add(1));
    let rises = places.len() == frames.len() && places.windows(2).all(|w| w[0] < w[1]);
    if !rises || total - have > MOST_LOST.max(have) {
        return plain();
    }
    (places, total)
}

/// Where a numbering begins and ends is not known, and one that leaves out the same count each time was made like that.
fn missing(listing: &Listing, clip: &FoundClip, frames: &[u32]) -> Option<Warning> {
    let path = |i: u32| &listing.files[i as usize].relpath;
    let numbers: Vec<(u64, usize)> = frames.iter().filter_map(|i| number(path(*i))).collect();
    let mut have: Vec<u64> = numbers.iter().map(|(n, _)| *n).collect();
    have.sort_unstable();
    let first = *have.first().filter(|_| have.len() == frames.len())?;
    let steps: HashSet<u64> = have.windows(2).map(|w| w[1] - w[0]).collect();
    let not_recorded = midnight(&have).map(|at| (have[at - 1] + 1, have[at] - 1));
    let mut holes = parts::holes(Some(first), have);
    holes.retain(|hole| Some(*hole) != not_recorded);
    if holes.is_empty() || (steps.len() == 1 && frames.len() > 2) || is_photos(path(frames[0])) {
        return None;
    }
    let width = numbers.iter().map(|(_, width)| *width).min().unwrap_or(1);
    let lost = holes.iter().fold(0u64, |sum, (a, b)| sum.saturating_add(b - a).saturating_add(1));
    let s = if lost == 1 { "" } else { "s" };
    let says =
        format!("has {} frames and lacks {lost} frame{s} among them: {}", frames.len(), parts::ranges(&holes, width));
    Some(about("missing-frames", &place(listing, clip), &says))
}

/// In these containers the frames of a recording mostly have one size. Frames of 0 bytes have their own warning.
fn odd(listing: &Listing, clip: &FoundClip, frames: &[u32]) -> Option<Warning> {
    let file = |i: u32| &listing.files[i as usize];
    if !frames.iter().all(|i| matches!(&file(*i).relpath.extension()[..], "dpx" | "ari" | "cin")) {
        return None;
    }
    let mut count: HashMap<u64, usize> = HashMap::new();
    for size in frames.iter().map(|i| file(*i).size_bytes).filter(|size| *size > 0) {
        *count.entry(size).or_default() += 1;
    }
    // Where most differ, the frames are packed one by one (run lengths in DPX), and no size is the usual one.
    let there: usize = count.values().sum();
    let usual = count.iter().find(|(_, n)| **n * 2 > there).map(|(size, _)| *size)?;
    let others = frames.iter().filter(|i| ![0, usual].contains(&file(**i).size_bytes));
    let mut odd: Vec<(u64, usize)> = others.filter_map(|i| number(&file(*i).relpath)).collect();
    odd.sort_unstable();
    let width = odd.iter().map(|(_, width)| *width).min()?;
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for (n, _) in &odd {
        match ranges.last_mut().filter(|(_, end)| end.checked_add(1) == Some(*n)) {
            Some((_, end)) => *end = *n,
            None => ranges.push((*n, *n)),
        }
    }
    let says = format!("has frames of another size than the usual {usual} bytes: {}", parts::ranges(&ranges, width));
    Some(about("odd-frames", &place(listing, clip), &says))
}

fn number(p: &RelPath) -> Option<(u64, usize)> {
    let digits = numbered(p.stem())?.digits;
    Some((parts::number(digits)?, digits.len()))
}

/// `FOLDER/NAME`, which no file has: the sequence.
fn place(listing: &Listing, clip: &FoundClip) -> RelPath {
    let folder = listing.files[clip.files[0].0 as usize].relpath.parent();
    folder.join(&clip.name).unwrap_or(folder)
}

/// `DSC_0001.DNG`: photos are deleted one by one.
fn is_photos(p: &RelPath) -> bool {
    kind::of(p) == Kind::FrameOrPhoto && p.stem().len() == 8 && p.stem()[4..].iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::tests::listing;

    fn groups(names: &[&str]) -> Vec<(String, usize)> {
        let l = listing(&names.iter().map(|n| (n.as_bytes(), 1)).collect::<Vec<_>>());
        let all: Vec<u32> = (0..l.files.len() as u32).collect();
        group(&l, &all).into_iter().map(|c| (c.name, c.files.len())).collect()
    }

    #[test]
    fn frames_of_one_name_are_one_clip() {
        assert_eq!(groups(&["s/a.0001.exr", "s/a.0002.exr", "s/b.0001.exr"]), [("a".into(), 2), ("b.0001".into(), 1)]);
        assert_eq!(groups(&["reel7/0001.dpx", "reel7/0002.dpx"]), [("reel7".into(), 2)]);
        assert_eq!(groups(&["a1.dpx", "x/a2.dpx"]).len(), 2);
    }

    #[test]
    fn frames_stand_in_the_order_of_their_numbers() {
        let l = listing(&[(b"f.10.exr", 1), (b"f.9.exr", 1), (b"f.11.exr", 1)]);
        let clip = &group(&l, &[0, 1, 2])[0];
        let names: Vec<_> = clip.files.iter().map(|(i, _)| l.files[*i as usize].relpath.to_string()).collect();
        assert_eq!(names, ["f.9.exr", "f.10.exr", "f.11.exr"]);
    }

    fn warnings(files: &[(&str, u64)]) -> Vec<(String, String)> {
        let files: Vec<_> = files.iter().map(|(n, size)| (n.as_bytes(), *size)).collect();
        crate::card::tests::recognise(listing(&files)).gaps.into_iter().map(|w| (w.id, w.text)).collect()
    }

    #[test]
    fn left_out_numbers_are_one_warning_a_sequence() {
        let files: Vec<String> = [101, 102, 105, 109].iter().map(|n| format!("s/a.{n:07}.exr")).collect();
        let files: Vec<_> = files.iter().map(|f| (f.as_str(), 5)).collect();
        assert_eq!(
            warnings(&files),
            [(
                "missing-frames:s/a".to_owned(),
                "\"s/a\" has 4 frames and lacks 5 frames among them: 0000103-0000104, 0000106-0000108".to_owned()
            )]
        );
    }

    #[test]
    fn a_numbering_may_begin_anywhere_and_count_in_steps() {
        let of = |numbers: &[u32]| {
            let files: Vec<String> = numbers.iter().map(|n| format!("a.{n}.dpx")).collect();
            warnings(&files.iter().map(|f| (f.as_str(), 5)).collect::<Vec<_>>()).len()
        };
        assert_eq!(of(&[86_400, 86_401, 86_402]), 0);
        assert_eq!(of(&[9, 10, 11]), 0);
        assert_eq!(of(&[10, 20, 30, 40]), 0, "every tenth frame");
        assert_eq!(of(&[10, 20, 40]), 1);
        assert_eq!(of(&[1, 3]), 1);
    }

    #[test]
    fn a_recording_over_midnight_begins_before_it_and_lacks_nothing() {
        let of = |numbers: &[u32]| {
            let files: Vec<String> = numbers.iter().map(|n| format!("a.{n:07}.ari")).collect();
            let files: Vec<_> = files.iter().map(|f| (f.as_bytes(), 5)).collect();
            let card = crate::card::tests::recognise(listing(&files));
            (card.gaps.len(), card.clips[0].essence().next().unwrap().to_string())
        };
        assert_eq!(of(&[0, 1, 2_073_598, 2_073_599]), (0, "a.2073598.ari".into()));
        assert_eq!(of(&[0, 2, 2_159_998, 2_159_999]), (1, "a.2159998.ari".into()));
        assert_eq!(of(&[0, 1, 2_073_597, 2_073_598]), (1, "a.0000000.ari".into()), "not the last of a day");
        assert_eq!(midnight(&[]), None);
    }

    #[test]
    fn a_frame_stands_where_its_number_says() {
        let of = |numbers: &[u64]| {
            let paths: Vec<RelPath> = numbers.iter().map(|n| RelPath::new(format!("a.{n:07}.exr")).unwrap()).collect();
            places(&paths.iter().collect::<Vec<_>>())
        };
        assert_eq!(of(&[101, 102, 105]), (vec![0, 1, 4], 5));
        assert_eq!(of(&[10, 20, 30]), (vec![0, 1, 2], 3), "every tenth is whole");
        assert_eq!(of(&[2_073_598, 2_073_599, 0, 2]), (vec![0, 1, 2, 4], 5), "over midnight");
        assert_eq!(of(&[1, 1_000_000]), (vec![0, 1], 2), "so many are not filled");
        assert_eq!(of(&[7, 7]), (vec![0, 1], 2));
        assert_eq!(of(&[]), (vec![], 0));
    }

    #[test]
    fn numbers_that_are_too_long_to_count_are_not_judged() {
        assert!(warnings(&[("a.99999999999999999999991.dpx", 5), ("a.99999999999999999999999.dpx", 5)]).is_empty());
        assert_eq!(warnings(&[("a.18446744073709551615.dpx", 5), ("a.1.dpx", 5)]).len(), 1);
    }

    #[test]
    fn deleted_photos_are_not_missing_frames() {
        assert!(warnings(&[("DSC_0001.DNG", 5), ("DSC_0005.DNG", 6)]).is_empty());
        assert!(warnings(&[("DCIM/100MEDIA/PHOT0001.DNG", 5), ("DCIM/100MEDIA/PHOT0007.DNG", 5)]).is_empty());
    }

    #[test]
    fn a_frame_of_another_size_is_told_where_sizes_are_constant() {
        let of = |ext: &str| {
            let files: Vec<String> = (1..=6).map(|n| format!("s/a.{n:04}.{ext}")).collect();
            warnings(&files.iter().zip([50, 50, 40, 41, 50, 0]).map(|(f, size)| (f.as_str(), size)).collect::<Vec<_>>())
        };
        let text = "\"s/a\" has frames of another size than the usual 50 bytes: 0003-0004";
        assert_eq!(of("dpx"), [("odd-frames:s/a".to_owned(), text.to_owned())]);
        assert_eq!(of("ari").len(), 1);
        assert!(of("exr").is_empty() && of("dng").is_empty());
    }

    #[test]
    fn the_same_number_twice_splits_by_width() {
        assert_eq!(groups(&["f1.exr", "f2.exr", "f001.exr", "f002.exr"]).len(), 2);
    }
}
