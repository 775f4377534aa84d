//! What a program that always says SAFE would fail: every way in which a card is not safe, and that one cause after
//! the other is all that stands between it and GOOD GATE.

use crate::place::{Place, flip, stamps};
use crate::station::{assert_not_safe, assert_safe, open_warnings, reasons, safe, says};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A card that is safe, with no media work.
fn safe_place() -> Place {
    let place = Place::new().with_card();
    assert_safe(place.offload(&["--no-media"]));
    place
}

#[test]
fn one_destination_is_not_safe() {
    let place = Place::new().with_card();
    let v = assert_not_safe(place.run(&["offload", "card/A001", "--to", "a", "--json", "--no-media"]));
    assert!(says(&v, &["1 of 2 copies"]), "{v}");
    // The second one is all that was missing.
    assert_safe(place.offload(&["--no-media"]));
}

#[test]
fn two_destinations_on_one_disk_are_not_safe_unless_it_is_allowed() {
    let place = Place::new().with_card();
    place.config("");
    let v = assert_not_safe(place.offload(&["--no-media"]));
    assert!(says(&v, &["disk"]), "{v}");
    assert_not_safe(place.status());
    // The flag is recorded with the card, named first, and holds until an offload without it.
    let v = assert_safe(place.offload(&["--no-media", "--allow-same-device"]));
    assert!(v["policy"].as_str().unwrap().starts_with("one-disk station"), "{v}");
    assert!(reasons(&v)[0].starts_with("one-disk station"), "{v}");
    let later = assert_safe(place.status());
    assert!(reasons(&later)[0].starts_with("one-disk station"), "{later}");
    let listed = place.run(&["status", "--json"]).expect(0).json();
    assert!(safe(&listed["cards"][0]), "{listed}");
    assert_not_safe(place.offload(&["--no-media"]));
    assert_not_safe(place.status());
}

#[test]
fn a_card_read_once_is_not_safe_unless_it_is_allowed() {
    let place = Place::new().with_card();
    let v = assert_not_safe(place.offload(&["--no-media", "--verify", "destinations"]));
    assert!(says(&v, &["once"]), "{v}");
    assert_not_safe(place.status());
    let relaxed = "[policy]\ndistinct_devices = false\nsource_reread = false\n";
    place.config(relaxed);
    let v = assert_safe(place.status());
    assert!(v["policy"].as_str().unwrap().contains("one read of the card is enough"), "{v}");
    place.config("[policy]\ndistinct_devices = false\n");
    assert_safe(place.offload(&["--no-media"]));
}

#[test]
fn a_changed_card_is_not_safe() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 4] = [
        ("A001C002.MOV", |card| drop(std::fs::write(card.join("CLIPS/A001C002.MOV"), b"other"))),
        ("A001C001.MOV", |card| {
            let file = std::fs::File::options().write(true).open(card.join("CLIPS/A001C001.MOV")).unwrap();
            file.set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
        }),
        ("NEW.MOV", |card| std::fs::write(card.join("CLIPS/NEW.MOV"), b"new").unwrap()),
        ("NOTES.TXT", |card| std::fs::remove_file(card.join("NOTES.TXT")).unwrap()),
    ];
    for (name, change) in changes {
        let place = safe_place();
        change(&place.card());
        let v = assert_not_safe(place.status());
        assert_eq!(v["card_present"], true);
        assert!(says(&v, &[name]), "{name} is not named: {v}");
        let listed = place.run(&["status", "--json"]).expect(0).json();
        assert!(!safe(&listed["cards"][0]), "{listed}");
    }
}

#[test]
fn a_card_of_which_old_files_changed_is_not_offloaded_again() {
    let place = safe_place();
    let before = [stamps(&place.path("a/A001")), stamps(&place.path("b/A001"))];
    place.file("card/A001/CLIPS/A001C002.MOV", 1_048_576, 66);
    let said = place.offload(&["--no-media"]).expect(20);
    let v = said.json();
    let text = v["error"].as_str().map(str::to_owned).unwrap_or_else(|| reasons(&v).join(" "));
    assert!(text.contains("A001C002.MOV"), "{v}");
    assert_eq!(before, [stamps(&place.path("a/A001")), stamps(&place.path("b/A001"))]);
    assert_not_safe(place.status());
}

#[test]
fn a_card_that_is_gone_keeps_its_verdict_with_its_time() {
    let place = safe_place();
    let here = assert_safe(place.status());
    std::fs::rename(place.card(), place.path("pulled")).unwrap();
    let time = |v: &Value| v["as_of"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let v = assert_safe(place.status());
    assert_eq!((here["card_present"].as_bool(), v["card_present"].as_bool()), (Some(true), Some(false)));
    assert!(time(&v) <= time(&here), "as_of moved on: {v}");
    assert!(says(&v, &["not here", "not covered"]), "{v}");
    let again = assert_safe(place.status());
    assert_eq!(time(&again), time(&v), "as_of does not stay at the last look");
    // A card that is back is looked at afresh.
    std::fs::rename(place.path("pulled"), place.card()).unwrap();
    let back = assert_safe(place.status());
    assert!(time(&back) > time(&v) && back["card_present"] == true, "{back}");
}

#[test]
fn a_copy_that_is_not_as_it_was_proven_is_not_safe() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("deleted", |copy| std::fs::remove_file(copy).unwrap()),
        ("truncated", |copy| {
            let file = std::fs::File::options().write(true).open(copy).unwrap();
            let before = file.metadata().unwrap().modified().unwrap();
            file.set_len(1000).unwrap();
            file.set_modified(before).unwrap();
        }),
        ("touched", |copy| {
            let file = std::fs::File::options().write(true).open(copy).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(9)).unwrap();
        }),
        ("a symlink to the card", |copy| {
            std::fs::remove_file(copy).unwrap();
            let card = copy.ancestors().nth(4).unwrap().join("card/A001/CLIPS/A001C001.MOV");
            assert!(card.is_file());
            std::os::unix::fs::symlink(card, copy).unwrap();
        }),
        ("a folder", |copy| {
            std::fs::remove_file(copy).unwrap();
            std::fs::create_dir(copy).unwrap();
        }),
    ];
    let place = safe_place();
    for (what, damage) in damages {
        let copy = place.path("b/A001/CLIPS/A001C001.MOV");
        damage(&copy);
        let v = assert_not_safe(place.status());
        assert!(says(&v, &["A001C001.MOV"]), "{what}: {v}");
        // Whole again for the next damage: the program itself must put it back only where nothing lies.
        if copy.symlink_metadata().is_ok_and(|m| m.is_dir()) {
            std::fs::remove_dir(&copy).unwrap();
        } else {
            let _ = std::fs::remove_file(&copy);
        }
        assert_safe(place.offload(&["--no-media"]));
    }
}

#[test]
fn a_destination_that_is_gone_is_not_safe() {
    for gone in ["b/A001", "b", "b/A001/ascmhl"] {
        let place = safe_place();
        std::fs::rename(place.path(gone), place.path("elsewhere")).unwrap();
        let v = assert_not_safe(place.status());
        assert!(says(&v, &[place.path("b").to_str().unwrap(), "not as recorded"]), "{gone}: {v}");
    }
}

#[test]
fn a_flipped_byte_in_a_copy_is_found_by_the_next_offload_and_left_as_it_is() {
    let place = safe_place();
    let copy = place.path("b/A001/CLIPS/A001C001.MOV");
    // In the page cache, as a copy that was just played would be.
    std::fs::read(&copy).unwrap();
    flip(&copy, 2_500_000);
    let damaged = std::fs::read(&copy).unwrap();
    let v = assert_not_safe(place.offload(&["--no-media"]));
    let finding = v["findings"].as_array().unwrap().iter().find(|f| f["kind"] == "altered").expect("no finding");
    assert_eq!(finding["copy"], place.path("b/A001").to_str().unwrap());
    assert_eq!(finding["relpath"], "CLIPS/A001C001.MOV");
    assert_eq!(finding["blocks"], serde_json::json!([[2 << 20, 1 << 20]]), "{finding}");
    assert_not_safe(place.status());
    assert!(std::fs::read(&copy).unwrap() == damaged, "somebody's bytes were replaced");
    // Moved away, the same command makes the copy whole and the card safe again.
    std::fs::rename(&copy, place.path("damaged")).unwrap();
    assert_safe(place.offload(&["--no-media"]));
    assert_safe(place.status());
}

#[test]
fn an_open_warning_is_not_safe_until_it_is_accepted_by_name_with_a_note() {
    let place = Place::new().with_card();
    place.file("card/A001/CLIPS/A001C003.MOV", 0, 1);
    let v = assert_not_safe(place.offload(&["--no-media"]));
    assert_eq!(open_warnings(&v), ["empty:CLIPS/A001C003.MOV"]);
    assert_eq!(v["copies"][1]["verified"], 4, "a warning is no reason not to copy: {v}");
    let accept = |more: &[&str]| place.run(&[&["accept", "A001"], more, &["--json"]].concat());
    for bad in [
        &["empty:CLIPS/A001C003.MOV"][..],
        &["empty:CLIPS/A001C003.MOV", "--note", " "],
        &["empty:CLIPS/A001C001.MOV", "--note", "x"],
        &["*", "--note", "x"],
    ] {
        accept(bad).expect(2);
        assert_not_safe(place.status());
    }
    assert_safe(accept(&["empty:CLIPS/A001C003.MOV", "--note", "lens cap was on, script knows"]));
    let v = assert_safe(place.status());
    assert!(says(&v, &["lens cap was on, script knows"]), "{v}");
    assert_eq!((v["warnings"][0]["accepted"].as_bool(), v["warnings"].as_array().unwrap().len()), (Some(true), 1));
    // It stays accepted for this card, and only for it.
    assert_safe(place.offload(&["--no-media"]));
    place.file("card/A001/CLIPS/A001C004.MOV", 0, 1);
    let v = assert_not_safe(place.offload(&["--no-media"]));
    assert_eq!(open_warnings(&v), ["empty:CLIPS/A001C004.MOV"]);
}

/// Runs SQL on a copy of the catalog, as a bad disk or a clever person would, and gives the verdict from there.
fn forged(place: &Place, sql: &str) -> (Value, i32) {
    let copy = place.path("forged.db");
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(place.path(&format!("forged.db{end}")));
    }
    place.run(&["backup", copy.to_str().unwrap()]).expect(0);
    let catalog = rusqlite::Connection::open(&copy).unwrap();
    assert!(catalog.execute(sql, []).unwrap() > 0, "nothing was changed by {sql}");
    drop(catalog);
    let at = ["--catalog", copy.to_str().unwrap(), "--json"];
    let check = place.run(&[&["check"][..], &at].concat());
    let status = place.run(&[&["status", "A001"][..], &at].concat());
    (status.json(), check.code)
}

#[test]
fn an_edited_row_of_evidence_is_found_and_is_not_safe() {
    let place = safe_place();
    place.run(&["check", "--json"]).expect(0);
    for sql in [
        "UPDATE copy SET blake3 = zeroblob(32) WHERE relpath = CAST('NOTES.TXT' AS BLOB)",
        "UPDATE copy SET read_back = 'remounted'",
        "UPDATE copy SET proven_at = '2030-01-01T00:00:00.000Z'",
        "UPDATE copy SET size_bytes = size_bytes + 1, mtime_ns = mtime_ns + 1",
        "UPDATE card_file SET blake3 = zeroblob(32)",
        "UPDATE card_file SET size_bytes = 13 WHERE relpath = CAST('NOTES.TXT' AS BLOB)",
        "UPDATE card_file SET equal_reads = 3",
        "UPDATE copy_root SET disk_id = 'another'",
        "UPDATE card SET no_source_reread = 1",
        "DELETE FROM copy WHERE relpath = CAST('NOTES.TXT' AS BLOB)",
    ] {
        let (v, check) = forged(&place, sql);
        assert!(v["error"].is_string() || !safe(&v), "{sql}: {v}");
        // A row that is gone is no evidence, but only a row that is there can be checked.
        assert!(check != 0 || sql.starts_with("DELETE"), "check did not see: {sql}");
    }
    assert_safe(place.status());
}

#[test]
fn no_edited_row_makes_a_card_safe() {
    let place = Place::new().with_card();
    place.config("");
    place.file("card/A001/CLIPS/A001C003.MOV", 0, 1);
    assert_not_safe(place.offload(&["--no-media", "--verify", "destinations", "--allow-same-device"]));
    // Each forgery is the last step: everything else that is missing was given before.
    let steps: [(&[&str], &[&str]); 2] = [
        (
            &["offload", "card/A001", "--to", "a", "--to", "b", "--no-media", "--allow-same-device"],
            &[
                "DELETE FROM warning",
                "UPDATE warning SET accepted_at = raised_at, accepted_note = 'fine'",
                "UPDATE warning SET card_id = card_id, id = 'empty:x', accepted_at = raised_at, accepted_note = 'x'",
            ],
        ),
        (
            &["accept", "A001", "empty:CLIPS/A001C003.MOV", "--note", "known"],
            &["UPDATE warning SET accepted_note = 'forged'"],
        ),
    ];
    for (step, forgeries) in steps {
        place.run(step);
        for sql in forgeries {
            let (v, _) = forged(&place, sql);
            assert!(v["error"].is_string() || !safe(&v), "{sql}: {v}");
        }
    }
    assert_safe(place.status());
    // Without the flag the copies share a disk; forged disks and forged permission do not count.
    assert_not_safe(place.run(&["offload", "card/A001", "--to", "a", "--to", "b", "--no-media", "--json"]));
    for sql in
        ["UPDATE card SET same_device = 1", "UPDATE copy_root SET disk_id = path", "UPDATE card SET disk_id = 'x'"]
    {
        let (v, _) = forged(&place, sql);
        assert!(v["error"].is_string() || !safe(&v), "{sql}: {v}");
    }
}

#[test]
fn a_card_or_a_copy_in_memory_is_never_safe_and_says_why() {
    let shm = Path::new("/dev/shm");
    if !shm.is_dir() {
        eprintln!("SKIPPED: no /dev/shm");
        return;
    }
    let memory = tempfile::Builder::new().prefix("goodgate-").tempdir_in(shm).unwrap();
    let place = Place::new().with_card();
    let card = memory.path().join("M001");
    std::fs::create_dir(&card).unwrap();
    std::fs::write(card.join("M001C001.MOV"), b"in memory").unwrap();
    let v = assert_not_safe(place.run(&[
        "offload",
        card.to_str().unwrap(),
        "--to",
        "a",
        "--to",
        "b",
        "--no-media",
        "--json",
    ]));
    assert!(says(&v, &["tmpfs"]) || says(&v, &["memory"]), "it does not say why: {v}");
    let dest = memory.path().join("dest");
    let v = assert_not_safe(place.run(&[
        "offload",
        "card/A001",
        "--to",
        "a",
        "--to",
        dest.to_str().unwrap(),
        "--no-media",
        "--json",
    ]));
    assert!(says(&v, &["memory"]), "it does not say why: {v}");
    assert_eq!(v["copies"][1]["read_back"], "cache");
    assert_eq!((v["copies"][0]["verified"].as_u64(), v["copies"][1]["verified"].as_u64()), (Some(3), Some(0)), "{v}");
}
