//! The catalog's own safety: copies of it on the destinations, put back when it is lost, and made anew from what lies on
//! the disks when no copy is left. Whatever is put back, nothing is called safe that was not read since.

use crate::place::{Place, Said, flip, pattern, within};
use crate::shim::{Faulty, ask};
use crate::station::{reasons, says, wav};
use rusqlite::Connection;
use serde_json::Value;
use std::path::{Path, PathBuf};

const CLIP: &str = "CLIPS/A001C001.MOV";

/// One card on two destinations.
fn offloaded() -> Place {
    let place = Place::new().with_card();
    place.offload(&["--no-media"]).expect(0);
    place
}

/// Every file in the folder of backups.
fn lying(place: &Place, dest: &str) -> Vec<String> {
    let folder = place.path(&format!("{dest}/.goodgate/catalog"));
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = names.map(|e| e.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn newest(place: &Place, dest: &str) -> PathBuf {
    place.path(&format!("{dest}/.goodgate/catalog")).join(lying(place, dest).pop().expect("a backup"))
}

fn lose(place: &Place) {
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(place.path(&format!("state/goodgate/catalog.db{end}")));
    }
}

fn restore(place: &Place, from: &Path, more: &[&str]) -> Said {
    place.run(&[&["restore", from.to_str().unwrap(), "--json"], more].concat())
}

/// A second roll, to the same destinations.
fn second(place: &Place) -> Said {
    place.file("card/A002/B001.MOV", 1_200_000, 9);
    place.run(&["offload", "card/A002", "--to", "a", "--to", "b", "--json", "--no-media"])
}

/// What lies beside the catalog and is neither it nor what SQLite keeps with it.
fn beside(place: &Place) -> Vec<String> {
    let names = std::fs::read_dir(place.path("state/goodgate")).unwrap().flatten();
    let mut names: Vec<String> = names.map(|e| e.file_name().into_string().unwrap()).collect();
    names.retain(|n| !["catalog.db", "catalog.db-wal", "catalog.db-shm", "locks", "media"].contains(&n.as_str()));
    names
}

#[test]
fn each_destination_has_the_newest_three_and_nothing_of_others_is_touched() {
    let place = offloaded();
    assert_eq!(lying(&place, "a").len(), 1, "{:?}", lying(&place, "a"));
    assert_eq!(lying(&place, "a"), lying(&place, "b"));
    assert_eq!(std::fs::read(newest(&place, "a")).unwrap(), std::fs::read(newest(&place, "b")).unwrap());
    assert_eq!(lying(&place, "card/A001"), [""; 0], "on the card");
    let foreign = place.file("a/.goodgate/catalog/2020-01-01_000000Z-mine.db", 10, 1);
    let theirs = "2020-01-01_000000Z-00000000000000000000000000000000-7-0000000000000000.db";
    place.file(&format!("a/.goodgate/catalog/{theirs}"), 10, 1);
    let first = lying(&place, "b");
    for n in 2..6 {
        place.file(&format!("card/A001/CLIPS/A001C00{}.MOV", n + 1), 10_000, n);
        place.offload(&["--no-media"]).expect(0);
    }
    let b = lying(&place, "b");
    assert_eq!((b.len(), b.contains(&first[0])), (3, false), "{b:?}");
    let a = lying(&place, "a");
    assert!(foreign.exists() && a.contains(&theirs.to_owned()) && a.len() == 5, "{a:?}");
    // Nothing was written down since: nothing is copied.
    let before = lying(&place, "b");
    place.status().expect(0);
    place.run(&["verify", "A001", "--json"]).expect(0);
    assert_eq!(lying(&place, "b"), before);
    assert_eq!(beside(&place), [""; 0]);
    // It is a catalog like any other, without a log that would have to lie beside it.
    let copy = place.path("copy.db");
    std::fs::write(&copy, std::fs::read(newest(&place, "b")).unwrap()).unwrap();
    let cards = place.run(&["cards", "--catalog", copy.to_str().unwrap(), "--json"]).expect(0).json();
    assert_eq!(cards["cards"][0]["roll"], "A001", "{cards}");
    let checked = place.run(&["check", "--catalog", copy.to_str().unwrap()]).expect(0);
    assert!(checked.stdout.contains("is sound"), "{}", checked.stdout);
}

#[test]
fn what_a_person_accepts_or_gives_up_is_backed_up() {
    let place = offloaded();
    let held = |sql: &str| {
        let copy = Connection::open(newest(&place, "a")).unwrap();
        copy.query_row(sql, [], |r| r.get::<_, String>(0)).unwrap()
    };
    flip(&place.path(&format!("a/A001/{CLIP}")), 1_500_000);
    place.run(&["accept", "A001", CLIP, "--note", "graded in place", "--json"]).expect(20);
    assert_eq!(held("SELECT note FROM accepted_copy"), "graded in place");
    let b = place.path("b/A001");
    place.run(&["retire", b.to_str().unwrap(), "--reason", "the drive is sold", "--json"]).expect(0);
    assert_eq!(held("SELECT retired_reason FROM copy_root WHERE retired_at IS NOT NULL"), "the drive is sold");
}

#[test]
fn a_lost_catalog_is_restored_and_every_copy_must_be_read_again() {
    let place = Place::new().with_card();
    wav(&place.path("card/A001/S001.WAV"));
    let safe = place.offload(&[]).expect(0).json();
    assert_eq!(lying(&place, "a").len(), 1, "the one of the verdict made room for that of the end");
    let from = newest(&place, "a");
    lose(&place);
    let v = restore(&place, &from, &[]).expect(0).json();
    assert_eq!((&v["backup"]["cards"], &v["kept"], &v["lost"]), (&1.into(), &Value::Null, &Value::Null), "{v}");
    let v = place.status().expect(20).json();
    assert!(reasons(&v)[0].contains("restored") && reasons(&v)[0].contains("goodgate verify A001"), "{v}");
    assert_eq!((&v["card"], &v["copies"][0]["verified"], &v["step"]), (&safe["card"], &0.into(), &Value::Null));
    let found = place.run(&["find", "S001", "--json"]).expect(0).json();
    assert_eq!((&found["total"], &found["clips"][0]["media"]), (&1.into(), &"ok".into()), "{found}");
    place.run(&["verify", "A001", "--json"]).expect(0);
    let v = place.status().expect(0).json();
    assert!(!says(&v, &["restored"]), "{v}");
    assert!(place.run(&["check"]).expect(0).stdout.contains("is sound"));
    let who = ask(&place, "SELECT count(*) FROM custody WHERE text LIKE '%was restored on%' AND who LIKE '%@%'");
    assert_eq!(who, [["1"]]);
    // It goes on under another id, and the backups of before stay.
    let before = lying(&place, "a");
    second(&place).expect(0);
    assert!(before.iter().all(|n| lying(&place, "a").contains(n)) && lying(&place, "a").len() == 2);
    assert_eq!(place.status().expect(0).json()["safe"], true);
}

#[test]
fn what_is_no_sound_backup_is_refused_and_nothing_is_changed() {
    let place = offloaded();
    let good = std::fs::read(newest(&place, "a")).unwrap();
    let bad = place.path("bad.db");
    let mut cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("noise", pattern(300_000, 4)),
        ("text", b"not a database".to_vec()),
        ("half", good[..good.len() / 2].to_vec()),
        ("head", [b"SQLite format 3\0".to_vec(), pattern(8000, 5)].concat()),
    ];
    for (what, word) in
        [("a path", &b"CLIPS/A001C001.MOV"[..]), ("the log", b"job started"), ("a page", b"CREATE TABLE copy ")]
    {
        let mut bytes = good.clone();
        let at = bytes.windows(word.len()).position(|w| w == word).unwrap_or_else(|| panic!("no {what}"));
        bytes[at + 2] ^= 1;
        cases.push((what, bytes));
    }
    let sql = |text: &str| {
        let path = place.path("made.db");
        std::fs::write(&path, &good).unwrap();
        Connection::open(&path).unwrap().execute_batch(text).unwrap();
        std::fs::read(&path).unwrap()
    };
    cases.push(("another schema", sql("CREATE TRIGGER x AFTER INSERT ON doubt BEGIN DELETE FROM doubt; END")));
    cases.push(("a newer one", sql("PRAGMA user_version = 99")));
    cases.push(("another program's", sql("PRAGMA application_id = 7")));
    cases.push(("an edited row", sql("UPDATE copy SET mtime_ns = mtime_ns + 1")));
    cases.push(("a cut log", sql("DROP TRIGGER custody_kept; DELETE FROM custody WHERE seq > 3")));
    let before = std::fs::read(place.catalog()).unwrap();
    let refused = |what: &str, from: &Path| {
        let said = restore(&place, from, &["--replace"]).expect(1);
        assert!(said.json()["hint"].is_string(), "{what}: {}", said.stdout);
        assert_eq!(std::fs::read(place.catalog()).unwrap(), before, "{what}");
        assert_eq!(beside(&place), [""; 0], "{what}");
    };
    for (what, bytes) in cases {
        std::fs::write(&bad, bytes).unwrap();
        refused(what, &bad);
    }
    refused("a folder", &place.path("a"));
    let link = place.path("link.db");
    std::os::unix::fs::symlink(newest(&place, "a"), &link).unwrap();
    refused("a symlink", &link);
    refused("no file", &place.path("none.db"));
    let fifo = place.path("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    within(20, place.goodgate(&["restore", fifo.to_str().unwrap()])).expect(1);
    place.status().expect(0);
}

#[test]
fn a_catalog_that_can_be_read_is_replaced_only_when_that_is_said_and_is_kept() {
    let place = offloaded();
    let old = newest(&place, "a");
    second(&place).expect(0);
    let said = restore(&place, &old, &[]).expect(1).json();
    let error = said["error"].as_str().unwrap();
    assert!(error.contains("A002") && error.contains("rows of its log"), "{error}");
    assert!(said["hint"].as_str().unwrap().contains("--replace"), "{said}");
    assert_eq!(place.run(&["status", "A002", "--json"]).expect(0).json()["safe"], true);
    let v = restore(&place, &old, &["--replace"]).expect(0).json();
    assert_eq!(v["lost"]["rolls"], serde_json::json!(["A002"]), "{v}");
    let kept = PathBuf::from(v["kept"].as_str().unwrap());
    place.run(&["status", "A002"]).expect(2);
    // The way back.
    let v = restore(&place, &kept, &["--replace"]).expect(0).json();
    assert_eq!(v["backup"]["cards"], 2, "{v}");
    place.run(&["verify", "--json"]).expect(0);
    assert_eq!(place.run(&["status", "A002", "--json"]).expect(0).json()["safe"], true);
}

#[test]
fn an_older_backup_that_knows_nothing_of_a_damage_makes_nothing_safe() {
    let place = offloaded();
    let old = newest(&place, "b");
    flip(&place.path(&format!("a/A001/{CLIP}")), 1_500_000);
    place.run(&["verify", "A001", "--json"]).expect(11);
    place.status().expect(20);
    restore(&place, &old, &["--replace"]).expect(0);
    let v = place.status().expect(20).json();
    assert!(v["findings"].as_array().unwrap().is_empty() && says(&v, &["restored"]), "{v}");
    place.run(&["verify", "A001", "--json"]).expect(11);
    let v = place.status().expect(20).json();
    assert!(says(&v, &["altered"]), "{v}");
    place.run(&["repair", "A001", "--json"]).expect(0);
    place.status().expect(0);
}

#[test]
fn an_older_file_that_was_put_in_place_by_hand_is_noticed() {
    let place = offloaded();
    let old = std::fs::read(newest(&place, "a")).unwrap();
    second(&place).expect(0);
    flip(&place.path(&format!("a/A001/{CLIP}")), 1_500_000);
    place.run(&["verify", "A001", "--json"]).expect(11);
    lose(&place);
    std::fs::write(place.catalog(), old).unwrap();
    let v = place.status().expect(20).json();
    assert!(says(&v, &["older than its own backup", "goodgate verify A001"]), "{v}");
    place.run(&["verify", "A001", "--json"]).expect(11);
    flip(&place.path(&format!("a/A001/{CLIP}")), 1_500_000);
    place.run(&["verify", "A001", "--json"]).expect(0);
    // It is said once: the backups of what is lost are another catalog's now.
    assert_eq!(place.status().expect(0).json()["safe"], true);
    place.file("card/A001/CLIPS/A001C009.MOV", 10_000, 9);
    place.offload(&["--no-media"]).expect(0);
    place.status().expect(0);
}

#[test]
fn a_destination_without_room_costs_a_note_and_nothing_else() {
    for rule in ["write|/b/.goodgate/catalog/|1|0|errno|28", "sync|/b/.goodgate/catalog/|1|0|errno|5"] {
        let place = Place::new().with_card();
        let args = ["offload", "card/A001", "--to", "a", "--to", "b", "--json", "--no-media"];
        let said = Faulty::run(&place, &args, &[rule]).said().expect(0);
        assert_eq!(said.json()["safe"], true);
        assert!(said.stderr.contains("the catalog is not backed up in"), "{}", said.stderr);
        assert_eq!((lying(&place, "a").len(), lying(&place, "b").len()), (1, 0), "{rule}");
        assert_eq!(beside(&place), [""; 0]);
    }
    // No room beside the catalog for the copy that goes to all.
    let place = Place::new().with_card();
    let args = ["offload", "card/A001", "--to", "a", "--to", "b", "--json", "--no-media"];
    let rule = "write|/.goodgate-backup-|1|0|errno|28";
    let said = Faulty::run(&place, &args, &[rule]).said().expect(0);
    assert!(said.stderr.contains("the catalog is not backed up:"), "{}", said.stderr);
    assert_eq!((lying(&place, "a").len(), beside(&place).len()), (0, 0));
    // What is in the way is not ours.
    let place = Place::new().with_card();
    place.file("b/.goodgate/catalog", 5, 1);
    let said = place.offload(&["--no-media"]).expect(0);
    assert!(said.stderr.contains("the catalog is not backed up in"), "{}", said.stderr);
}

#[test]
fn a_backup_that_reads_back_wrong_gets_no_name() {
    let place = Place::new().with_card();
    let args = ["offload", "card/A001", "--to", "a", "--to", "b", "--json", "--no-media"];
    let said = Faulty::run(&place, &args, &["write|/a/.goodgate/catalog/|1|0|flip|3"]).said().expect(0);
    assert!(said.stderr.contains("read back with other bytes"), "{}", said.stderr);
    assert_eq!((lying(&place, "a").len(), lying(&place, "b").len()), (0, 1));
}

#[test]
fn a_damaged_catalog_makes_no_room_for_itself() {
    let place = offloaded();
    let before = lying(&place, "a");
    ask(&place, "UPDATE copy SET mtime_ns = mtime_ns + 1 WHERE relpath = CAST('NOTES.TXT' AS BLOB) RETURNING 1");
    let said = second(&place);
    assert!(said.stderr.contains("it is damaged") && said.code == 0, "{}", said.stderr);
    assert_eq!(lying(&place, "a"), before);
}

#[test]
fn a_kill_in_a_backup_leaves_nothing_that_the_next_one_does_not_clear() {
    // The second one of an offload comes when all is told already, so that the next run has nothing new to copy.
    for rule in [
        "sync|/a/.goodgate/catalog/|1|1|killed",
        "rename2|/a/.goodgate/catalog/|1|1|killed",
        "rename2|/a/.goodgate/catalog/|2|1|kill",
        "sync|/.goodgate-backup-|1|1|kill",
    ] {
        let place = Place::new().with_card();
        wav(&place.path("card/A001/S001.WAV"));
        let said = Faulty::offload(&place, &[rule]).said();
        assert_eq!(said.code, 128 + 9, "{rule}: {}", said.stderr);
        place.offload(&[]).expect(0);
        let whole = |n: &String| n.ends_with(".db") && !n.starts_with('.');
        assert!(
            lying(&place, "a").iter().all(whole) && !lying(&place, "a").is_empty(),
            "{rule}: {:?}",
            lying(&place, "a")
        );
        assert_eq!(beside(&place), [""; 0], "{rule}");
    }
}

/// Both are whole, whatever the kill left: one has the name, and the other can be had.
#[test]
fn a_kill_in_a_restore_leaves_one_catalog_or_the_other() {
    let place = offloaded();
    let old = newest(&place, "a");
    second(&place).expect(0);
    let present = std::fs::read(place.catalog()).unwrap();
    let args = ["restore", old.to_str().unwrap(), "--replace", "--json"];
    let cards = |path: &Path| -> i64 {
        let conn = Connection::open(path).unwrap();
        let sound: String = conn.query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
        assert_eq!(sound, "ok");
        conn.query_row("SELECT count(*) FROM card", [], |r| r.get(0)).unwrap()
    };
    let (mut olds, mut news) = (0, 0);
    for op in ["sync|/state/goodgate", "rename|/state/goodgate"] {
        for hit in 1..40 {
            lose(&place);
            beside(&place).iter().for_each(|n| std::fs::remove_file(place.path("state/goodgate").join(n)).unwrap());
            std::fs::write(place.catalog(), &present).unwrap();
            let (mut child, fired) = Faulty::run(&place, &args, &[&format!("{op}|{hit}|1|kill")]).started();
            let code = child.wait().unwrap().code();
            if !fired.exists() {
                assert_eq!(code, Some(0));
                break;
            }
            let when = format!("{op} {hit}");
            assert_eq!(code, None, "{when}");
            match cards(&place.catalog()) {
                2 => olds += 1,
                1 => {
                    news += 1;
                    let kept = beside(&place).into_iter().find(|n| n.ends_with(".kept")).expect("the old one");
                    assert_eq!(cards(&place.path("state/goodgate").join(kept)), 2, "{when}");
                    place.status().expect(20);
                }
                n => panic!("{when}: {n} cards"),
            }
            // The same command ends it, and clears up.
            restore(&place, &old, &["--replace"]).expect(0);
            assert!(beside(&place).iter().all(|n| n.ends_with(".kept")), "{when}: {:?}", beside(&place));
            assert_eq!(cards(&place.catalog()), 1);
        }
    }
    assert!(olds > 3 && news > 0, "{olds} ended with the old one, {news} with the new one");
}

#[test]
fn nobody_restores_while_the_catalog_is_in_use() {
    let place = offloaded();
    let from = newest(&place, "a");
    place.file("card/A002/B001.MOV", 100_000, 9);
    let args = ["offload", "card/A002", "--to", "a", "--to", "b", "--json", "--no-media"];
    let paused = Faulty::run(&place, &args, &["mkdir|/b/A002|1|1|pause"]).paused();
    let said = restore(&place, &from, &["--replace"]).expect(1).json();
    assert!(said["error"].as_str().unwrap().contains("another goodgate process"), "{said}");
    place.run(&["rebuild", "a", "--replace", "--json"]).expect(1);
    paused.go().expect(0);
    // Any other program that has it open.
    let conn = Connection::open(place.catalog()).unwrap();
    let _: i64 = conn.query_row("SELECT count(*) FROM card", [], |r| r.get(0)).unwrap();
    let said = restore(&place, &from, &["--replace"]).expect(1).json();
    assert!(said["error"].as_str().unwrap().contains("held by another"), "{said}");
    drop(conn);
    restore(&place, &from, &["--replace"]).expect(0);
}

#[test]
fn a_damaged_catalog_is_told_with_the_backup_to_take_and_is_kept_as_it_is() {
    let place = Place::new().with_card();
    let config = format!(
        "[policy]\ndistinct_devices = false\n[[destination]]\npath = \"{0}/a\"\n[[destination]]\npath = \"{0}/b\"\n",
        place.path("").display()
    );
    place.config(&config);
    place.run(&["offload", "card/A001", "--json", "--no-media"]).expect(0);
    let backup = newest(&place, "b");
    std::fs::remove_file(newest(&place, "a")).unwrap();
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(place.path(&format!("state/goodgate/catalog.db{end}")));
    }
    let mut bytes = std::fs::read(place.catalog()).unwrap();
    let len = bytes.len();
    bytes[4096..len.min(60_000)].fill(0x5a);
    std::fs::write(place.catalog(), &bytes).unwrap();
    for args in [&["status", "--json"][..], &["cards", "--json"], &["verify", "A001", "--json"]] {
        let said = place.run(args).expect(1).json();
        assert!(said["error"].as_str().unwrap().contains("is damaged"), "{said}");
        let hint = said["hint"].as_str().unwrap();
        assert!(hint.contains(backup.to_str().unwrap()) && hint.contains("goodgate rebuild"), "{hint}");
    }
    assert_eq!(std::fs::read(place.catalog()).unwrap(), bytes, "it was touched");
    let v = restore(&place, &backup, &[]).expect(0).json();
    assert_eq!(std::fs::read(v["kept"].as_str().unwrap()).unwrap(), bytes);
    place.run(&["verify", "--json"]).expect(0);
    place.status().expect(0);
}

/// Two rolls on two destinations, and no catalog.
fn lost(more: &[&str]) -> Place {
    let place = Place::new().with_card();
    wav(&place.path("card/A001/S001.WAV"));
    place.offload(more).expect(0);
    second(&place).expect(0);
    lose(&place);
    std::fs::remove_dir_all(place.path("a/.goodgate/catalog")).unwrap();
    std::fs::remove_dir_all(place.path("b/.goodgate/catalog")).unwrap();
    place
}

fn rebuild(place: &Place, more: &[&str]) -> Said {
    place.run(&[&["rebuild", "a", "b", "--json"], more].concat())
}

#[test]
fn a_catalog_is_rebuilt_from_two_destinations_with_one_card_a_roll() {
    let place = lost(&[]);
    let trees = |place: &Place| {
        let skip = |p: &Path| p.starts_with(".goodgate") || p.components().any(|c| c.as_os_str() == "ascmhl");
        [place.tree("a", skip), place.tree("b", skip)]
    };
    let before = trees(&place);
    let v = rebuild(&place, &["--dry-run"]).expect(0).json();
    let found = v["found"].as_array().unwrap();
    assert_eq!(found.len(), 4, "{v}");
    let same: Vec<&Value> = found.iter().filter(|f| !f["same_as"].is_null()).collect();
    assert!(same.len() == 2 && same.iter().all(|f| f["path"].as_str().unwrap().contains("/b/")), "{v}");
    assert!(found.iter().all(|f| f["was_card"].is_string()), "{v}");
    assert!(!place.catalog().exists(), "it was only asked");

    let v = rebuild(&place, &[]).expect(0).json();
    assert_eq!(v["cards"].as_array().unwrap().len(), 2, "{v}");
    let card = v["cards"].as_array().unwrap().iter().find(|c| c["roll"] == "A001").unwrap();
    assert_eq!((&card["files"], &card["clips"], &card["safe"]), (&4.into(), &3.into(), &false.into()), "{card}");
    let copies = card["copies"].as_array().unwrap();
    assert!(copies.len() == 2 && copies.iter().all(|c| c["verified"] == 4 && c["sealed"] == true), "{card}");
    assert_eq!(trees(&place), before, "footage was touched");
    let status = place.status().expect(20).json();
    assert_eq!(reasons(&status)[0], "registered where it lies: no card was read");
    assert_eq!(reasons(&status).len(), 2, "the other one is the station's one disk: {status}");
    assert_eq!(place.run(&["verify", "--json"]).expect(0).json()["files"], 10);
    let found = place.run(&["find", "S001 has:proxy", "--json"]).expect(0).json();
    assert_eq!((&found["total"], &found["clips"][0]["media"]), (&1.into(), &"ok".into()), "{found}");
    assert!(place.run(&["log", "A001"]).expect(0).stdout.contains("the lost catalog knew it as card"));
    // The same again is nothing to do; and damage has its block, and is healed from the other copy.
    let v = rebuild(&place, &[]).expect(0).json();
    assert_eq!((v["already"].as_array().unwrap().len(), v["cards"].as_array().unwrap().len()), (4, 2), "{v}");
    flip(&place.path(&format!("b/A001/{CLIP}")), 2_500_000);
    let v = place.run(&["verify", "A001", "--json"]).expect(11).json();
    assert_eq!(v["findings"][0]["blocks"], serde_json::json!([[2 << 20, 1 << 20]]));
    place.run(&["repair", "A001", "--json"]).expect(0);
    place.run(&["verify", "A001", "--json"]).expect(0);
    // A catalog that can be read is not thrown over.
    assert!(place.run(&["check"]).expect(0).stdout.contains("is sound"));
}

#[test]
fn a_damaged_copy_is_found_in_the_rebuild_whichever_comes_first() {
    for dest in ["a", "b"] {
        let place = lost(&["--no-media"]);
        flip(&place.path(&format!("{dest}/A001/{CLIP}")), 2_500_000);
        std::fs::remove_file(place.path(&format!("{dest}/A001/NOTES.TXT"))).unwrap();
        let v = rebuild(&place, &["--no-media"]).expect(11).json();
        let card = v["cards"].as_array().unwrap().iter().find(|c| c["roll"] == "A001").unwrap();
        let findings = card["findings"].as_array().unwrap();
        let kinds: Vec<&str> = findings.iter().map(|f| f["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["altered", "missing"], "{dest}: {card}");
        let there = |f: &Value| f["copy"].as_str().unwrap().contains(&format!("/{dest}/A001"));
        assert!(findings.iter().all(there), "{dest}: {card}");
        assert_eq!((&card["files"], card["copies"].as_array().unwrap().len()), (&4.into(), 2), "{dest}: {card}");
        // What this catalog never proved it replaces by nothing: a person brings the good files, and the same command
        // takes them in.
        let good = if dest == "a" { "b" } else { "a" };
        for file in [CLIP, "NOTES.TXT"] {
            let bytes = std::fs::read(place.path(&format!("{good}/A001/{file}"))).unwrap();
            std::fs::write(place.path(&format!("{dest}/A001/{file}")), bytes).unwrap();
        }
        let v = rebuild(&place, &["--no-media"]).expect(0).json();
        let card = v["cards"].as_array().unwrap().iter().find(|c| c["roll"] == "A001").unwrap();
        assert!(card["copies"].as_array().unwrap().iter().all(|c| c["verified"] == 4 && c["sealed"] == true), "{card}");
    }
}

#[test]
fn a_rebuild_goes_on_and_takes_in_what_comes_later() {
    let place = lost(&["--no-media"]);
    let args = ["rebuild", "a", "b", "--no-media", "--json"];
    let said = Faulty::run(&place, &args, &["read|/b/A001/CLIPS/|1|1|kill"]).said();
    assert_eq!(said.code, 128 + 9, "{}", said.stderr);
    let v = rebuild(&place, &["--no-media"]).expect(0).json();
    assert_eq!(v["cards"].as_array().unwrap().len(), 2, "{v}");
    assert_eq!(ask(&place, "SELECT count(*) FROM card"), [["2"]]);
    assert_eq!(ask(&place, "SELECT count(*) FROM copy_root"), [["4"]]);
    // A third drive.
    std::fs::create_dir_all(place.path("c")).unwrap();
    let run = std::process::Command::new("cp").arg("-a").arg(place.path("a/A001")).arg(place.path("c")).status();
    assert!(run.unwrap().success());
    let v = place.run(&["rebuild", "c", "--no-media", "--json"]).expect(0).json();
    assert_eq!((v["cards"][0]["copies"].as_array().unwrap().len(), &v["cards"][0]["roll"]), (3, &"A001".into()), "{v}");
    // A damaged history costs its copy, not the others.
    std::fs::write(place.path("c/A001/ascmhl/ascmhl_chain.xml"), "<x").unwrap();
    lose(&place);
    let v = place.run(&["rebuild", "c", "a", "--no-media", "--json"]).expect(30).json();
    assert_eq!((v["cards"].as_array().unwrap().len(), v["failed"].as_array().unwrap().len()), (2, 1), "{v}");
}

#[test]
fn a_catalog_that_can_be_read_is_not_rebuilt_unless_that_is_said() {
    let place = offloaded();
    let said = place.run(&["rebuild", "a", "--no-media", "--json"]).expect(1).json();
    assert!(said["hint"].as_str().unwrap().contains("--replace"), "{said}");
    place.status().expect(0);
    let v = place.run(&["rebuild", "a", "--no-media", "--replace", "--json"]).expect(0).json();
    let kept = PathBuf::from(v["kept"].as_str().unwrap());
    place.status().expect(20);
    restore(&place, &kept, &["--replace"]).expect(0);
    place.run(&["verify", "--json"]).expect(0);
    place.status().expect(0);
    // Nothing to rebuild from is no error, and says so.
    std::fs::create_dir_all(place.path("empty")).unwrap();
    lose(&place);
    let said = place.run(&["rebuild", "empty", "--json"]).expect(0);
    assert!(said.stderr.contains("no folder with a history"), "{}", said.stderr);
    place.run(&["rebuild", "nowhere", "--json"]).expect(1);
}
