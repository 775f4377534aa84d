//! The sheet that a camera, or a person, keeps of a card (Avid Log Exchange): what it says of each clip, and on ARRI's
//! cards, whose camera writes it, which clips there should be.

use super::{Found, FoundClip, ReadIndex, arri, gaps};
use crate::card::kind::{self, folded};
use crate::card::warn::about;
use crate::clip::{CardFile, Listing};
use crate::fact::{Field, Origin, Said};
use crate::read::ale;
use std::collections::{BTreeSet, HashMap};

/// Gives every clip what a sheet in its folder, or in one above it, says of it.
pub(super) fn join(listing: &Listing, found: &mut [Found], read: ReadIndex) {
    let sheets = listing.files.iter().filter(|f| f.relpath.extension() == "ale" && !kind::is_junk(&f.relpath));
    for file in sheets {
        let bytes = if file.size_bytes > 0 { read(&file.relpath) } else { Ok(Vec::new()) };
        let gap = match bytes {
            Ok(bytes) if bytes.is_empty() => gaps::no_bytes(&file.relpath),
            Ok(bytes) => match ale::rows(&bytes) {
                Some(sheet) if !sheet.rows.is_empty() => {
                    one(listing, found, file, &sheet);
                    continue;
                }
                Some(_) => gaps::unread(&file.relpath, &"it has no whole row"),
                None => gaps::unread(&file.relpath, &"it is no sheet of Avid Log Exchange"),
            },
            Err(e) => gaps::unread(&file.relpath, &e),
        };
        // The camera's own sheet lies among its clips; any other asks for nothing.
        let beside = |c: &FoundClip| {
            let first = c.files.first().map(|(i, _)| &listing.files[*i as usize].relpath);
            first.is_some_and(|p| p.parent() == file.relpath.parent())
        };
        let camera = found.iter().position(|f| f.layout == arri::FAMILY.layout && f.clips.iter().any(beside));
        match camera {
            Some(camera) => found[camera].gaps.push(gap),
            // That a file is empty is noted of every file.
            None if file.size_bytes == 0 => {}
            None => found.iter_mut().take(1).for_each(|f| f.notes.push(gap.text.clone())),
        }
    }
}

/// By the clip's name, or that of its first file, without regard to case.
fn one(listing: &Listing, found: &mut [Found], file: &CardFile, sheet: &ale::Ale) {
    let index = &file.relpath;
    let folder = index.parent();
    let mut clips: HashMap<Vec<u8>, (usize, usize)> = HashMap::new();
    for (f, family) in found.iter().enumerate() {
        for (c, clip) in family.clips.iter().enumerate() {
            let Some((first, _)) = clip.files.first() else { continue };
            let path = &listing.files[*first as usize].relpath;
            if path.strip_prefix(&folder).is_some() {
                let names = [clip.name.as_bytes(), path.stem(), path.name()];
                names.into_iter().for_each(|name| _ = clips.entry(folded(name)).or_insert((f, c)));
            }
        }
    }
    let (mut known, mut missing) = (BTreeSet::new(), BTreeSet::new());
    for row in &sheet.rows {
        let facts = ale::facts(row, sheet.fps);
        let Some(name) = facts.iter().find(|f| f.field == Field::ClipName).map(|f| f.value.clone()) else { continue };
        match clips.get(&folded(name.as_bytes())) {
            Some(at) => {
                if known.insert(*at) {
                    let said = |fact| Said { fact, origin: Origin::Index, by: "ale".into() };
                    found[at.0].clips[at.1].said.extend(facts.into_iter().map(said));
                }
            }
            None => missing.extend(folder.join(&name)),
        }
    }
    // Of another card, or of a day of shooting: a sheet that somebody laid here says nothing of what should be here.
    let camera = known.first().map(|at| at.0).filter(|f| found[*f].layout == arri::FAMILY.layout);
    let Some(camera) = camera else { return };
    gaps::absent("missing-clip", index, "a clip", &missing, &mut found[camera].gaps);
    let mine: BTreeSet<(usize, usize)> = clips.values().filter(|at| at.0 == camera).copied().collect();
    let strangers: BTreeSet<(usize, usize)> = mine.difference(&known).copied().collect();
    let [all, unknown] = [&mine, &strangers].map(|at| gaps::essence(at.iter().map(|at| &found[at.0].clips[at.1])));
    let stale = gaps::newer(listing, file, &all, &unknown);
    found[camera].gaps.extend(stale);
    if let Some((f, c)) = strangers.first() {
        let (count, first) = (strangers.len(), found[*f].clips[*c].name.clone());
        let clips = if count == 1 { "clip" } else { "clips" };
        let says = format!("does not know {count} {clips} here, \"{first}\" first");
        found[camera].gaps.push(about("not-in-index", index, &says));
    }
}

#[cfg(test)]
mod tests {
    use crate::card::tests::card;
    use crate::fact::{Field, Origin};

    const SHEET: &[u8] =
        b"Heading\r\nFIELD_DELIM\tTABS\r\nFPS\t24\r\n\r\nColumn\r\nName\tTracks\tStart\tEnd\tReel_name\tAsa\r\n\r\n\
        Data\r\nA001C001_180327_R1ZA\tV\t01:00:00:00\t01:00:10:00\tA001R1ZA\t800\r\n\
        A001C002_180327_R1ZA\tV\t01:00:10:00\t01:00:20:00\tA001R1ZA\t1600\r\n";

    fn ids(files: &[(&str, &[u8])]) -> Vec<String> {
        card(files).gaps.into_iter().map(|g| g.id).collect()
    }

    #[test]
    fn a_camera_sheet_tells_of_its_clips_and_of_those_that_are_lost() {
        let (one, two) = ("A001R1ZA/A001C001_180327_R1ZA.mov", "A001R1ZA/a001c002_180327_r1za.MOV");
        let whole = card(&[(one, b"x"), (two, b"x"), ("A001R1ZA/A001R1ZA.ale", SHEET)]);
        assert!(whole.gaps.is_empty(), "{:?}", whole.gaps);
        let tc = |n: usize| {
            let said = whole.clips[n].said.iter().find(|s| s.fact.field == Field::StartTc).unwrap();
            (said.fact.value.as_str(), said.origin)
        };
        assert_eq!((tc(0), tc(1)), (("01:00:00:00@24/1", Origin::Index), ("01:00:10:00@24/1", Origin::Index)));
        let sheet = ("A001R1ZA/A001R1ZA.ale", SHEET);
        assert_eq!(ids(&[(one, b"x"), sheet]), ["missing-clip:A001R1ZA/A001C002_180327_R1ZA"]);
        let third = "A001R1ZA/A001C003_180327_R1ZA.mov";
        assert_eq!(ids(&[(one, b"x"), (two, b"x"), (third, b"x"), sheet]), ["not-in-index:A001R1ZA/A001R1ZA.ale"]);
    }

    #[test]
    fn a_sheet_that_somebody_laid_beside_other_clips_asks_for_nothing() {
        assert!(ids(&[("x/B.mov", b"x"), ("x/day.ale", SHEET)]).is_empty());
        assert!(ids(&[("x/A001C001_180327_R1ZA_proxy.mov", b"x"), ("day.ale", SHEET)]).is_empty());
    }

    #[test]
    fn a_camera_sheet_that_cannot_be_read_is_a_gap_and_any_other_a_note() {
        let clip = ("A001R1ZA/A001C001_180327_R1ZA.mov", &b"x"[..]);
        for (bytes, gap) in [
            (&b""[..], "empty-index"),
            (b"no sheet", "unread-index"),
            (&SHEET[..60], "unread-index"),
            (&SHEET[..98], "unread-index"),
        ] {
            assert_eq!(ids(&[clip, ("A001R1ZA/A001R1ZA.ale", bytes)]), [format!("{gap}:A001R1ZA/A001R1ZA.ale")]);
            let other = card(&[clip, ("day.ale", bytes)]);
            assert_eq!((other.gaps.len(), other.notes.len()), (0, 1), "{:?}", other.notes);
            assert!(other.notes[0].contains("day.ale"), "{:?}", other.notes);
        }
    }
}
