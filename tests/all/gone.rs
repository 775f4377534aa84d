//! Copies that are meant to be gone, and files that were changed on purpose: the alarm ends, and nothing else.

use crate::place::{Place, flip, pattern, within};
use crate::shim::{Image, ask, log, root};
use serde_json::Value;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const CLIP: &str = "A001/CLIPS/A001C001.MOV";

fn offloaded() -> Place {
    let place = Place::new().with_card();
    place.offload(&["--no-media"]).expect(0);
    place
}

fn patrol(place: &Place) -> crate::place::Said {
    place.run(&["patrol", "--due", "0s", "--json"])
}

#[test]
fn a_retired_copy_alarms_nobody_counts_for_nothing_and_is_not_touched() {
    let place = offloaded();
    let before = place.tree("b", |_| false);
    flip(&place.path("b").join(CLIP), 5);
    patrol(&place).expect(11);
    let said = place.run(&["retire", place.path("b/A001").to_str().unwrap(), "--reason", "sold", "--json"]).expect(0);
    assert_eq!(said.json()["retired"][0]["files"], 3);
    let again = patrol(&place).expect(0).json();
    assert_eq!((&again["files"], again["findings"].as_array().unwrap().len()), (&3.into(), 0));
    // One copy is left, and that is no two.
    let status = place.status().expect(20).json();
    assert_eq!((status["copies"].as_array().unwrap().len(), status["findings"].as_array().unwrap().len()), (1, 0));
    assert!(log(&place).contains("the copy is meant to be gone: sold"), "{}", log(&place));
    flip(&place.path("b").join(CLIP), 5);
    assert!(place.tree("b", |_| false) == before);
    // Removed for good, it is still not missing.
    std::fs::remove_dir_all(place.path("b/A001")).unwrap();
    patrol(&place).expect(0);
    place.run(&["retire", "A001", "--reason", "delivered"]).expect(0);
    assert_eq!(patrol(&place).expect(0).json()["files"], 0);
    place.run(&["retire", "A001", "--reason", "delivered"]).expect(30);
    place.run(&["retire", "nobody", "--reason", "x"]).expect(30);
    place.run(&["retire", "A001", "--reason", " "]).expect(2);
}

#[test]
fn one_retired_file_is_missed_by_nobody_and_comes_back_with_an_offload() {
    let place = offloaded();
    let clip = place.path("b").join(CLIP);
    std::fs::remove_file(&clip).unwrap();
    patrol(&place).expect(10);
    place.run(&["retire", clip.to_str().unwrap(), "--reason", "no room"]).expect(0);
    let again = patrol(&place).expect(0).json();
    assert_eq!((&again["files"], again["findings"].as_array().unwrap().len()), (&5.into(), 0));
    place.run(&["verify", "A001"]).expect(0);
    assert_eq!(ask(&place, "SELECT * FROM reverify_due").len(), 5);
    place.status().expect(20);
    assert!(place.run(&["repair", "A001", "--json"]).expect(0).json()["repaired"].as_array().unwrap().is_empty());
    place.offload(&["--no-media", "--rehash"]).expect(0);
    assert!(clip.exists());
    assert_eq!(patrol(&place).expect(0).json()["files"], 6);
}

#[test]
fn a_file_that_was_changed_on_purpose_is_told_as_that_until_it_changes_again() {
    let place = offloaded();
    let notes = place.path("b/A001/NOTES.TXT");
    std::fs::write(&notes, "graded").unwrap();
    patrol(&place).expect(11);
    let accept = |note: &str| place.run(&["accept", "A001", "NOTES.TXT", "--note", note, "--json"]);
    // Not safe: the card's bytes are there once only.
    accept("by the colourist").expect(20);
    for _ in 0..2 {
        let said = patrol(&place).expect(0).json();
        assert_eq!((&said["accepted"], &said["good"], &said["files"]), (&1.into(), &5.into(), &6.into()), "{said}");
    }
    assert!(log(&place).contains("was changed on purpose: by the colourist"), "{}", log(&place));
    assert!(ask(&place, "SELECT * FROM problems WHERE problem IN ('copy', 'finding')").is_empty());
    assert!(place.run(&["repair", "A001", "--json"]).expect(0).json()["repaired"].as_array().unwrap().is_empty());
    assert_eq!(std::fs::read(&notes).unwrap(), b"graded");
    std::fs::write(&notes, "graded again").unwrap();
    patrol(&place).expect(11);
    // The card's own bytes end it all.
    std::fs::copy(place.path("a/A001/NOTES.TXT"), &notes).unwrap();
    assert_eq!(patrol(&place).expect(0).json()["good"], 6);
    accept("nothing to accept").expect(2);
    place.run(&["check"]).expect(0);
}

#[test]
fn a_file_whose_name_is_no_text_can_be_accepted() {
    let name = OsStr::from_bytes(b"NOTES\xff.TXT");
    let place = Place::with_files(&[(Path::new(name), pattern(5000, 1)), (Path::new("A.MOV"), pattern(9000, 2))]);
    place.offload(&["--no-media"]);
    std::fs::write(place.path("a/A001").join(name), b"changed").unwrap();
    place.run(&["verify", "A001"]).expect(11);
    let mut accept = place.goodgate(&["accept", "A001", "--note", "graded"]);
    accept.arg(name);
    within(60, accept);
    place.run(&["verify", "A001"]).expect(0);
}

#[test]
fn an_offload_again_leaves_an_accepted_file_alone_and_its_next_change_is_found() {
    let place = offloaded();
    let notes = place.path("b/A001/NOTES.TXT");
    std::fs::write(&notes, "graded").unwrap();
    let accept = || place.run(&["accept", "A001", "NOTES.TXT", "--note", "graded", "--json"]).expect(20);
    accept();
    // The card's bytes are there once only; nothing else is wrong, and nothing waits.
    let card = place.offload(&["--no-media"]).expect(20).json();
    assert_eq!((&card["hold"], &card["findings"]), (&Value::Null, &serde_json::json!([])), "{card}");
    assert_eq!(std::fs::read(&notes).unwrap(), b"graded");
    assert_eq!(patrol(&place).expect(0).json()["accepted"], 1);
    std::fs::write(&notes, "graded again").unwrap();
    patrol(&place).expect(11);
    accept();
    std::fs::remove_file(&notes).unwrap();
    patrol(&place).expect(10);
    place.run(&["verify", "A001"]).expect(10);
    place.run(&["repair", "A001"]).expect(0);
    place.run(&["status", "A001"]).expect(0);
}

#[test]
fn a_place_means_the_drive_that_is_mounted_there_and_no_other_of_those_that_were() {
    if !root("drives that rotate") {
        return;
    }
    let place = Place::new().with_card();
    let first = Image::ext4(&place, "b", 24);
    place.offload(&["--no-media"]).expect(0);
    drop(first);
    // The kernel may still write to it.
    std::fs::rename(place.path("b.img"), place.path("first.img")).unwrap();
    let second = Image::ext4(&place, "b", 24);
    place.offload(&["--no-media"]).expect(0);
    let mount = place.path("b");
    let retire = || place.run(&["retire", mount.to_str().unwrap(), "--reason", "sold", "--json"]);
    let retired = "SELECT count(*) FROM copy_root WHERE retired_at IS NOT NULL";
    assert_eq!(retire().expect(0).json()["retired"].as_array().map(Vec::len), Some(1));
    assert_eq!(ask(&place, retired), [["1"]]);
    // Only the first one is left, and it does not lie there.
    let said = retire().expect(2);
    assert!(said.stdout.contains("not mounted there now"), "{}", said.stdout);
    drop(second);
    retire().expect(0);
    assert_eq!(ask(&place, retired), [["2"]]);
}

#[test]
fn an_offload_to_a_retired_copy_takes_it_back_into_use() {
    let place = offloaded();
    let copy = place.path("b/A001");
    place.run(&["retire", copy.to_str().unwrap(), "--reason", "drive thought dead"]).expect(0);
    place.run(&["status", "A001"]).expect(20);
    // Nobody looked at it meanwhile: what was proven before is read again.
    flip(&place.path("b").join(CLIP), 5);
    place.offload(&["--no-media"]).expect(20);
    assert_eq!(
        std::fs::read_dir(place.path("b")).unwrap().filter(|e| e.as_ref().unwrap().file_name() != ".goodgate").count(),
        1
    );
    place.run(&["repair", "A001"]).expect(0);
    let card = place.run(&["status", "A001", "--json"]).expect(0).json();
    assert_eq!(card["copies"].as_array().map(Vec::len), Some(2), "{card}");
}

#[test]
fn what_lies_on_the_card_itself_is_no_copy_of_a_folder_on_it_either() {
    if !root("a card") {
        return;
    }
    let place = Place::new();
    let _card = Image::ext4(&place, "k", 24);
    place.file("k/DCIM/A.MOV", 5000, 1);
    let args = ["offload", "k/DCIM", "--to", "k/BACKUP", "--to", "a", "--roll", "K5", "--allow-same-device", "--json"];
    let card = place.run(&args).expect(20).json();
    assert!(card["reasons"][0].as_str().unwrap().contains("lies on the card itself"), "{card}");
}

#[test]
fn below_the_point_of_a_drive_that_is_not_mounted_nothing_is_written() {
    if !root("a drive that is not mounted") {
        return;
    }
    let place = Place::new().with_card();
    let drive = Image::ext4(&place, "b", 24);
    let offload = |day: &str| {
        let to = [format!("a/{day}"), format!("b/{day}")];
        place.run(&["offload", "card/A001", "--to", &to[0], "--to", &to[1], "--roll", day, "--no-media", "--json"])
    };
    offload("day1").expect(0);
    drop(drive);
    let said = offload("day2").expect(1);
    assert!(said.stdout.contains("mount the drive first"), "{}", said.stdout);
    assert!(!place.path("b/day2").exists());
}
