//! What one station promises of one card and the next: verdicts, second offloads, additions, places, the catalog.

use crate::place::{Image, Place, Said, flip, stamps};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, SystemTime};

pub fn safe(v: &Value) -> bool {
    v["safe"].as_bool().unwrap_or_else(|| panic!("no verdict in {v}"))
}

pub fn reasons(v: &Value) -> Vec<String> {
    v["reasons"].as_array().unwrap().iter().map(|r| r.as_str().unwrap().to_owned()).collect()
}

/// Is there a reason that holds all of these words?
pub fn says(v: &Value, words: &[&str]) -> bool {
    reasons(v).iter().any(|r| words.iter().all(|w| r.contains(w)))
}

/// Ids of the warnings that are still open.
pub fn open_warnings(v: &Value) -> Vec<String> {
    let open = v["warnings"].as_array().unwrap().iter().filter(|w| w["accepted"] == false);
    open.map(|w| w["id"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
pub fn assert_not_safe(said: Said) -> Value {
    let v = said.expect(20).json();
    assert!(!safe(&v), "{v}");
    v
}

#[track_caller]
pub fn assert_safe(said: Said) -> Value {
    let v = said.expect(0).json();
    assert!(safe(&v), "{v}");
    v
}

/// A second of 16-bit sound that libav knows.
pub fn wav(path: &Path) {
    let data = vec![0u8; 48_000 * 2];
    let mut out = b"RIFF".to_vec();
    out.extend((36 + data.len() as u32).to_le_bytes());
    out.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    out.extend(48_000u32.to_le_bytes());
    out.extend(96_000u32.to_le_bytes());
    out.extend(b"\x02\0\x10\0data");
    out.extend((data.len() as u32).to_le_bytes());
    out.extend(data);
    std::fs::write(path, out).unwrap();
}

fn manifests(place: &Place, roll: &str) -> Vec<String> {
    let names = std::fs::read_dir(place.path(roll).join("ascmhl")).unwrap();
    let mut names: Vec<_> = names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|n| n.ends_with(".mhl"));
    names.sort();
    names
}

#[test]
fn a_copy_is_the_cards_tree_and_nothing_beside_it() {
    let place = Place::new().with_card();
    std::fs::create_dir_all(place.path("card/A001/EMPTY/DEEP")).unwrap();
    let v = assert_safe(place.offload(&[]));
    assert_eq!((v["files"].as_u64(), v["bytes"].as_u64()), (Some(3), Some(3_500_000 + 1_048_576 + 12)));
    let card = place.tree("card/A001", |_| false);
    for dest in ["a", "b"] {
        assert_eq!(place.tree(&format!("{dest}/A001"), |p| p.starts_with("ascmhl")), card);
        let own = place.tree(dest, |p| p.starts_with("A001") || p.starts_with(".goodgate"));
        assert_eq!(own, [], "something else of ours lies in the destination");
    }
    for (i, copy) in v["copies"].as_array().unwrap().iter().enumerate() {
        assert_eq!((copy["files"].as_u64(), copy["verified"].as_u64()), (Some(3), Some(3)));
        assert_eq!(copy["read_back"], "device");
        assert_eq!(copy["path"], place.path(["a/A001", "b/A001"][i]).to_str().unwrap());
    }
}

#[test]
fn copies_keep_the_times_of_the_card() {
    let place = Place::new().with_card();
    let old = SystemTime::UNIX_EPOCH + Duration::new(1_500_000_000, 123_000_000);
    let file = place.card().join("CLIPS/A001C001.MOV");
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
    assert_safe(place.offload(&["--no-media"]));
    assert_eq!(place.path("a/A001/CLIPS/A001C001.MOV").metadata().unwrap().modified().unwrap(), old);
}

#[test]
fn the_same_offload_again_writes_nothing_and_is_safe_again() {
    let place = Place::new().with_card();
    assert_safe(place.offload(&[]));
    let before = [stamps(&place.path("a")), stamps(&place.path("b"))];
    let v = assert_safe(place.offload(&[]));
    assert_eq!(before, [stamps(&place.path("a")), stamps(&place.path("b"))]);
    assert_eq!(v["files"], 3);
    assert_eq!(place.run(&["cards", "--json"]).expect(0).json()["cards"].as_array().unwrap().len(), 1);
}

#[test]
fn additions_become_a_second_generation_with_only_the_new_files() {
    let place = Place::new().with_card();
    let first = assert_safe(place.offload(&[]));
    let before = stamps(&place.path("a/A001/CLIPS"));
    place.file("card/A001/CLIPS/A001C003.MOV", 200_000, 9);
    let v = assert_safe(place.offload(&[]));
    assert_eq!((v["card"] == first["card"], v["files"].as_u64(), v["clips"].as_u64()), (true, Some(4), Some(3)));
    let after = stamps(&place.path("a/A001/CLIPS"));
    assert!(before.iter().all(|s| after.contains(s)), "an old copy was written again");
    for roll in ["a/A001", "b/A001"] {
        let names = manifests(&place, roll);
        assert_eq!(names.len(), 2, "{names:?}");
        let text = std::fs::read_to_string(place.path(roll).join("ascmhl").join(&names[1])).unwrap();
        assert!(names[1].starts_with("0002_A001_") && text.contains("A001C003.MOV"), "{names:?}\n{text}");
        assert!(!text.contains("A001C001.MOV") && !text.contains("NOTES.TXT"), "{text}");
    }
}

#[test]
fn two_cards_of_one_roll_never_meet() {
    let place = Place::new().with_card();
    let first = assert_safe(place.offload(&[]));
    let before = [stamps(&place.path("a/A001")), stamps(&place.path("b/A001"))];
    place.file("other/A001/CLIPS/A001C001.MOV", 100_000, 77);
    place.file("other/A001/CLIPS/A001C009.MOV", 100_000, 78);
    let said = place.run(&["offload", "other/A001", "--to", "a", "--to", "b", "--json"]);
    assert!(said.stderr.contains("A001_2"), "no note: {}", said.stderr);
    let v = assert_safe(said);
    assert_eq!(v["roll"], "A001_2");
    assert_ne!(v["card"], first["card"]);
    assert_eq!(before, [stamps(&place.path("a/A001")), stamps(&place.path("b/A001"))]);
    let other = place.tree("other/A001", |_| false);
    assert_eq!(place.tree("a/A001_2", |p| p.starts_with("ascmhl")), other);
    assert_safe(place.status());
    // The same second card again is known as what it is.
    let again = assert_safe(place.run(&["offload", "other/A001", "--to", "a", "--to", "b", "--json"]));
    assert_eq!((&again["card"], &again["roll"]), (&v["card"], &v["roll"]));
    assert!(!place.path("a/A001_3").exists());
}

#[test]
fn another_card_in_the_same_slot_is_another_card() {
    let place = Place::new().with_card();
    let first = assert_safe(place.offload(&[]));
    std::fs::remove_dir_all(place.card()).unwrap();
    place.file("card/A001/CLIPS/A001C001.MOV", 50_000, 5);
    let v = assert_safe(place.offload(&[]));
    assert_ne!(v["card"], first["card"]);
    assert_eq!(v["roll"], "A001_2");
    let old = place.run(&["status", first["card"].as_str().unwrap(), "--json"]).json();
    assert_eq!(old["card_present"], false, "the first card is gone, not changed: {old}");
}

#[test]
fn a_folder_that_is_not_ours_is_never_merged_with() {
    let place = Place::new().with_card();
    place.file("a/A001/CLIPS/A001C001.MOV", 10, 4);
    let before = stamps(&place.path("a/A001"));
    let v = assert_safe(place.offload(&[]));
    assert_eq!(v["roll"], "A001_2");
    assert_eq!(stamps(&place.path("a/A001")), before);
}

#[test]
fn destinations_of_the_config_fill_their_templates() {
    let place = Place::new().with_card();
    for path in ["CLIPS/A001C001.MOV", "CLIPS/A001C002.MOV", "NOTES.TXT"] {
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_714_996_800);
        let file = std::fs::File::options().write(true).open(place.card().join(path)).unwrap();
        file.set_modified(noon).unwrap();
    }
    let path = |p: &str| place.path(p).display().to_string();
    place.config(&format!(
        "[policy]\ndistinct_devices = false\n[offload]\nset.project = \"Film\"\nset.unit = \"\"\n\
         [[destination]]\npath = \"{}/{{project}}/{{date}}/{{camera}}\"\n[[destination]]\npath = \"{}/{{unit}}\"\n",
        path("a"),
        path("b")
    ));
    let offload = |more: &[&str]| {
        let mut command = place.goodgate(&[&["offload", "card/A001", "--json", "--no-media"], more].concat());
        Said::from(command.env("TZ", "UTC").output().unwrap())
    };
    let missing = offload(&[]);
    assert!(missing.code != 0 && missing.json()["error"].as_str().unwrap().contains("unit"), "{}", missing.stdout);
    for escape in ["unit=..", "unit=../../x", "unit=/etc", "unit="] {
        let refused = offload(&["--set", escape]);
        assert!(refused.code != 0 && refused.json()["error"].is_string(), "{escape}: {}", refused.stdout);
    }
    assert_eq!(place.tree("a", |_| false), []);
    assert_safe(offload(&["--set", "unit=second", "--set", "project=Other Film"]));
    let clip = std::fs::read(place.card().join("CLIPS/A001C001.MOV")).unwrap();
    for copy in ["a/Other Film/2024-05-06/A/A001/CLIPS/A001C001.MOV", "b/second/A001/CLIPS/A001C001.MOV"] {
        assert!(std::fs::read(place.path(copy)).unwrap() == clip, "{copy}");
    }
}

#[test]
fn a_folder_is_told_from_a_card_in_words() {
    let place = Place::new().with_card();
    let words = "GOOD GATE: folder A001 proven on 2 copies; the card itself was not read";
    let said = place.run(&["offload", "card/A001", "--to", "a", "--to", "b"]).expect(0);
    assert!(said.stdout.contains(words), "{}", said.stdout);
    let status = place.run(&["status", "A001"]).expect(0);
    assert!(status.stdout.contains(words), "{}", status.stdout);
    assert_eq!(place.status().json()["source_kind"], "folder");
}

#[test]
fn a_mounted_card_may_be_formatted() {
    let Some(image) = Image::new(64, &[]) else { return };
    let place = Place::new();
    std::fs::create_dir(image.path().join("CLIPS")).unwrap();
    std::fs::write(image.path().join("CLIPS/B007C001.MOV"), crate::place::pattern(500_000, 1)).unwrap();
    let card = image.path();
    let card = card.to_str().unwrap();
    let said = place.run(&["offload", card, "--to", "a", "--to", "b", "--roll", "B007"]).expect(0);
    assert!(said.stdout.contains("GOOD GATE: B007 may be formatted"), "{}", said.stdout);
    let v = place.run(&["status", "B007", "--json"]).expect(0).json();
    assert_eq!((v["source_kind"].as_str(), v["card_present"].as_bool()), (Some("card"), Some(true)));
    // Pulled: what was seen counts, and is named as that.
    drop(image);
    let gone = place.run(&["status", "B007", "--json"]).expect(0).json();
    assert_eq!(gone["card_present"], false);
    assert!(says(&gone, &["not here"]), "{gone}");
}

#[test]
fn a_dry_run_writes_nothing() {
    let place = Place::new().with_card();
    let before = [stamps(&place.path("a")), stamps(&place.path("card"))];
    let run = |more: &[&str]| place.run(&[&["offload", "card/A001", "--dry-run", "--json"], more].concat());
    run(&["--to", "a", "--to", "b"]).expect(0);
    run(&["--to", "a", "--to", "c"]).expect(0);
    assert_eq!(before, [stamps(&place.path("a")), stamps(&place.path("card"))]);
    assert!(!place.path("c").exists(), "the destination was made");
    assert_eq!(place.run(&["cards", "--json"]).json()["cards"].as_array().unwrap().len(), 0);
    assert_ne!(run(&["--to", "a", "--to", "card/A001/x"]).code, 0);
    assert!(!place.card().join("x").exists());
}

#[test]
fn a_dry_run_tells_the_room_and_what_looks_as_if_it_were_there() {
    let place = Place::new().with_card();
    let plan = |of: &Place| of.run(&["offload", "card/A001", "--dry-run", "--to", "a", "--json"]).expect(0).json();
    let before = plan(&place)["destinations"][0].clone();
    assert_eq!((&before["there_already"], &before["there_differing"]), (&0.into(), &0.into()));
    assert!(before["cards_left"].as_u64().unwrap() > 0);
    place.offload(&[]).expect(0);
    // The samples see its middle; its size and time stay.
    flip(&place.path("a/A001/CLIPS/A001C001.MOV"), 1_750_000);
    let after = plan(&place)["destinations"][0].clone();
    assert_eq!((&after["there_already"], &after["there_differing"]), (&3.into(), &1.into()));
    let text = place.run(&["offload", "card/A001", "--dry-run", "--to", "a"]).expect(0).stdout;
    assert!(text.contains("room for ") && text.contains("3 files there already, 1 of them other"), "{text}");
}

#[test]
fn without_media_the_metadata_is_read_and_no_proxy_made() {
    let place = Place::new();
    wav(&place.card().join("CLIPS/A001T01.WAV"));
    assert_safe(place.offload(&["--no-media"]));
    let show = || place.run(&["show", "A001T01", "--json"]).expect(0).json()["clip"].clone();
    let clip = show();
    assert_eq!((clip["media"].as_str(), clip["audio_channels"].as_u64()), (Some("skipped"), Some(1)), "{clip}");
    assert_eq!((&clip["proxy"], &clip["poster"]), (&Value::Null, &Value::Null));
    assert!(!place.path("state/goodgate/media").exists(), "something was derived");
    // Asked for later, they are made.
    assert_safe(place.offload(&[]));
    let clip = show();
    assert_eq!(clip["media"], "ok", "{clip}");
    assert!(Path::new(clip["proxy"].as_str().unwrap()).is_file());
}

#[test]
fn clips_of_one_name_in_two_folders_are_two_clips() {
    let place = Place::new();
    wav(&place.card().join("CLIPS/T01.WAV"));
    std::fs::create_dir(place.card().join("MORE")).unwrap();
    wav(&place.card().join("MORE/T01.WAV"));
    let v = assert_safe(place.offload(&["--no-media"]));
    assert_eq!(v["clips"], 2, "a recording is hidden behind another");
    let found = place.run(&["find", "T01", "--json"]).expect(0).json();
    assert_eq!(found["total"], 2, "{found}");
}

#[test]
fn find_answers_every_key() {
    let place = Place::new().with_card();
    wav(&place.card().join("CLIPS/A001T01.WAV"));
    place.file("card/A001/CLIPS/A001C001.XML", 40, 8);
    assert_safe(place.offload(&[]));
    let total = |q: &str| {
        let v = place.run(&["find", q, "--json"]).expect(0).json();
        assert_eq!(v["hints"].as_array().unwrap().len(), 0, "{q}: {v}");
        assert_eq!(v["clips"].as_array().unwrap().len() as u64, v["total"].as_u64().unwrap(), "{q}");
        v["total"].as_u64().unwrap()
    };
    for (query, hits) in [
        ("", 3),
        ("a001c001", 1),
        ("C001", 1),
        ("roll:A001", 3),
        ("roll:B*", 0),
        ("camera:A", 3),
        ("camera:B", 0),
        ("codec:h264", 0),
        ("fps:25", 0),
        ("date:1990", 0),
        ("is:unsupported", 2),
        ("is:ok", 1),
        ("is:unproven", 0),
        ("is:safe", 3),
        ("has:proxy", 1),
        ("has:poster", 0),
        ("has:sound", 1),
        ("has:timecode", 0),
        ("has:sidecar", 1),
        ("name:A001C*", 2),
        ("path:/CLIPS/", 3),
        ("roll:A001 -c001", 2),
        ("c001 OR c002", 2),
    ] {
        assert_eq!(total(query), hits, "{query}");
    }
    let v = place.run(&["find", "limit:1", "--json"]).expect(0).json();
    assert_eq!((v["clips"].as_array().unwrap().len(), v["total"].as_u64()), (1, Some(3)), "{v}");
}

#[test]
fn no_query_is_an_error() {
    let place = Place::new().with_card();
    assert_safe(place.offload(&["--no-media"]));
    let long = "a ".repeat(20_000);
    let deep = "(".repeat(500);
    for query in [
        "\"",
        "(((",
        ")",
        "*",
        "-",
        "--",
        "OR",
        "AND",
        "NOT",
        "a OR",
        "NEAR(a b)",
        "a:b:c",
        "fps:",
        "fps:0/0",
        "date:..",
        "date:9999-99-99",
        "limit:-1",
        "limit:99999999999999999999",
        "limit:x",
        "sort:",
        "is:",
        "has:x",
        ":",
        "::",
        "'; DROP TABLE clip; --",
        "%",
        "_",
        "\\",
        "\u{0}x".trim_start_matches('\0'),
        "é\u{301}\u{202e}",
        "\n\t",
        "^a",
        "{a}",
        "a + b",
        "roll:\"",
        "name:*",
        "-roll:",
        "clip_fts:x",
        "tokens:x",
        "rowid:1",
        &long,
        &deep,
    ] {
        let said = place.run(&["find", "--json", "--", query]).expect(0);
        assert!(said.json()["clips"].is_array(), "{query}");
    }
    use std::os::unix::ffi::OsStrExt;
    let mut command = place.goodgate(&["find", "--json"]);
    let said = Said::from(command.arg(std::ffi::OsStr::from_bytes(b"\xff\xfe")).output().unwrap());
    assert!(said.expect(0).json()["clips"].is_array());
}

#[test]
fn sql_reads_and_never_writes() {
    let place = Place::new().with_card();
    assert_safe(place.offload(&["--no-media"]));
    let said = place.run(&["sql", "SELECT roll, count(*) FROM clips GROUP BY roll", "--json"]).expect(0);
    assert!(said.stdout.contains("A001"), "{}", said.stdout);
    for view in ["clips", "files", "copies", "cards", "proxies", "problems", "reverify_due"] {
        place.run(&["sql", &format!("SELECT * FROM {view}"), "--json"]).expect(0);
    }
    let dump = || place.run(&["sql", "SELECT * FROM copies", "--json"]).expect(0).stdout;
    let before = dump();
    let other = place.path("other.db");
    for text in [
        "DELETE FROM copy",
        "UPDATE copy SET note = 'x'",
        "INSERT INTO station VALUES (2, 'x', 0)",
        "DROP VIEW clips",
        "CREATE TABLE t (a)",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA user_version = 99",
        "VACUUM",
        &format!("ATTACH '{}' AS o", other.display()),
        &format!("VACUUM INTO '{}'", other.display()),
        "SELECT 1; DELETE FROM copy",
        "WITH x AS (SELECT 1) DELETE FROM copy",
        "SELECT load_extension('x')",
        "SELECT writefile('x', 'y')",
        "nonsense",
        "",
    ] {
        let said = place.run(&["sql", text, "--json"]);
        assert!(said.code != 0 && said.json()["error"].is_string(), "{text}: {}", said.stdout);
    }
    assert_eq!(dump(), before);
    assert!(!other.exists());
}

#[test]
fn a_backup_opens_and_says_the_same() {
    let place = Place::new().with_card();
    assert_safe(place.offload(&["--no-media"]));
    let file = place.path("saved.db");
    let text = file.to_str().unwrap();
    place.run(&["backup", text, "--json"]).expect(0);
    let catalog = rusqlite::Connection::open(&file).unwrap();
    let sound: String = catalog.query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
    let proven: i64 = catalog.query_row("SELECT count(*) FROM copy WHERE state = 'proven'", [], |r| r.get(0)).unwrap();
    assert_eq!((sound.as_str(), proven), ("ok", 6));
    drop(catalog);
    assert_safe(place.run(&["status", "A001", "--json", "--catalog", text]));
    assert_ne!(place.run(&["backup", text, "--json"]).code, 0, "a backup was overwritten");
}
