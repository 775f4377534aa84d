//! What the program sees of the cards of cinema and broadcast cameras, and of what they lack.

use crate::cards::{Tree, cinema};
use crate::place::Place;
use crate::station::{assert_not_safe, assert_safe, open_warnings};
use serde_json::Value;
use std::collections::BTreeSet;

fn plan(files: &[(String, Vec<u8>)]) -> Value {
    Place::with_files(files).offload(&["--dry-run"]).expect(0).json()
}

fn warnings(plan: &Value) -> Vec<&str> {
    plan["warnings"].as_array().unwrap().iter().map(|w| w["id"].as_str().unwrap()).collect()
}

fn turned(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }).collect()
}

/// `name files`, one line a clip, as the catalog has them.
fn catalogued(place: &Place) -> Vec<String> {
    let rows = place.run(&["sql", "SELECT name, files FROM clips", "--json"]).expect(0).json();
    let rows = rows["rows"].as_array().unwrap().iter();
    let mut clips: Vec<_> = rows.map(|r| format!("{} {}", r[0].as_str().unwrap(), r[1])).collect();
    clips.sort();
    clips
}

/// The same of a dry run.
fn planned(plan: &Value) -> Vec<String> {
    let count = |clip: &Value| -> u64 {
        let roles = ["essence", "audio", "sidecars", "proxies", "thumbs"];
        roles.iter().map(|role| clip[*role].as_u64().unwrap()).sum()
    };
    let clips = plan["clip_list"].as_array().unwrap().iter();
    clips.map(|c| format!("{} {}", c["name"].as_str().unwrap(), count(c))).collect()
}

fn expected(tree: &Tree) -> Vec<String> {
    let mut clips: Vec<_> = tree.clips.iter().map(|(name, files)| format!("{name} {files}")).collect();
    clips.sort();
    clips
}

#[test]
fn every_whole_card_is_known_in_any_folder_and_case_and_raises_nothing() {
    for tree in cinema::all() {
        let shapes = [tree.files.clone(), tree.renamed(|n| format!("dump/{n}")), tree.renamed(turned)];
        for files in shapes {
            let plan = plan(&files);
            assert_eq!(
                (plan["layout"].as_str().unwrap(), warnings(&plan)),
                (tree.layout, Vec::new()),
                "{:?}",
                files[0].0
            );
            // In another case the names are the same but for it.
            let lower = |lines: Vec<String>| lines.iter().map(|l| l.to_lowercase()).collect::<BTreeSet<_>>();
            assert_eq!(lower(planned(&plan)), lower(expected(&tree)), "{:?}", files[0].0);
            assert_eq!(plan["clips"].as_u64(), Some(tree.clips.len() as u64));
        }
    }
}

#[test]
fn what_a_card_lacks_is_one_warning_that_can_be_typed() {
    let mut lost = 0;
    for tree in cinema::all().into_iter().filter(|t| !t.lose.0.is_empty()) {
        let (file, warning) = tree.lose;
        let mut files = tree.files.clone();
        files.retain(|(name, _)| name != file);
        assert_eq!(files.len() + 1, tree.files.len(), "{file} is not on the card");
        assert_eq!(warnings(&plan(&files)), [warning], "{}", tree.layout);
        lost += 1;
    }
    assert!(lost >= 12, "only {lost} cards lose something");
}

#[test]
fn clips_are_catalogued_with_all_their_files() {
    for tree in cinema::all().into_iter().filter(|t| ["red", "p2", "xdcam-ex", "avchd"].contains(&t.layout)) {
        let place = Place::with_files(&tree.files);
        assert_safe(place.offload(&["--no-media"]));
        assert_eq!(catalogued(&place), expected(&tree), "{}", tree.layout);
    }
}

#[test]
fn a_card_that_is_not_whole_is_not_safe_until_somebody_accepts_it() {
    let tree = cinema::all().into_iter().find(|t| t.layout == "red").unwrap();
    let mut files = tree.files.clone();
    files.retain(|(name, _)| name != tree.lose.0);
    let place = Place::with_files(&files);
    let seen = assert_not_safe(place.offload(&["--no-media"]));
    assert_eq!(open_warnings(&seen), [tree.lose.1]);
    place.run(&["accept", "A001", tree.lose.1, "--note", "the first part is on the drive from set"]).expect(0);
    assert_safe(place.status());
}

#[test]
fn an_empty_or_broken_index_holds_the_card_back_and_keeps_its_clips() {
    for (index, bytes, warning) in [
        ("XDROOT/MEDIAPRO.XML", &b""[..], "empty-index:XDROOT/MEDIAPRO.XML"),
        ("XDROOT/MEDIAPRO.XML", b"<MediaProfile><Contents>", "unread-index:XDROOT/MEDIAPRO.XML"),
        ("CONTENTS/CLIP/0001AB.XML", b"", "empty-index:CONTENTS/CLIP/0001AB.XML"),
        ("CONTENTS/CLIPS001/INDEX.MIF", b"", "empty-index:CONTENTS/CLIPS001/INDEX.MIF"),
        ("PRIVATE/AVCHD/BDMV/PLAYLIST/00000.MPL", b"MPLS", "unread-index:PRIVATE/AVCHD/BDMV/PLAYLIST/00000.MPL"),
        ("PRIVATE/AVCHD/BDMV/INDEX.BDM", b"", "empty-index:PRIVATE/AVCHD/BDMV/INDEX.BDM"),
    ] {
        let tree = cinema::all().into_iter().find(|t| t.files.iter().any(|(n, _)| n == index)).unwrap();
        let mut files = tree.files.clone();
        files.iter_mut().filter(|(n, _)| n == index).for_each(|(_, old)| *old = bytes.to_vec());
        let plan = plan(&files);
        assert_eq!(warnings(&plan), [warning]);
        assert!(plan["clips"].as_u64().unwrap() >= tree.clips.len() as u64, "{plan}");
    }
}
