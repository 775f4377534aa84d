//! Footage that lies in its place already: taken in by one read, compared with what was recorded of it, sealed where that
//! is sound, and looked after like any copy; never safe, and never mixed with what was offloaded.

use crate::mhl::manifests;
use crate::oracle::Reference;
use crate::place::{Image, Place, Said, flip, pattern};
use crate::shim::{Faulty, ask, parts};
use crate::station::{reasons, says, wav};
use goodgate::digest::HashFormat;
use goodgate::hash::digest_of;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

const MIB: u64 = 1 << 20;
const CLIP: &str = "drive/R1/CLIPS/C001.MOV";

/// A roll that another tool left on a drive.
fn drive() -> Place {
    let place = Place::new();
    place.file(CLIP, 3_500_000, 1);
    place.file("drive/R1/CLIPS/C002.MOV", 1_048_576, 2);
    place.file("drive/R1/NOTES.TXT", 12, 3);
    std::fs::create_dir_all(place.path("drive/R1/EMPTY")).unwrap();
    place
}

fn register(place: &Place, more: &[&str]) -> Said {
    place.run(&[&["register", "drive/R1", "--no-media", "--json"], more].concat())
}

/// All of it done and nothing found; safe it is not.
#[track_caller]
fn good(said: Said) -> Value {
    let v = said.expect(0).json();
    assert_eq!(
        (&v["safe"], &v["registered"], &v["source_kind"]),
        (&false.into(), &true.into(), &"folder".into()),
        "{v}"
    );
    assert_eq!((&v["step"], &v["hold"]), (&Value::Null, &Value::Null), "{v}");
    assert_eq!(v["findings"].as_array().unwrap().len(), 0, "{v}");
    assert_eq!(reasons(&v)[0], "registered where it lies: no card was read");
    v
}

/// The reasons, but for the relaxation that the station of a test has.
fn against(v: &Value) -> Vec<String> {
    reasons(v).into_iter().filter(|r| !r.starts_with("one-disk station")).collect()
}

/// Kind and path of each finding.
fn found(v: &Value) -> Vec<(String, String)> {
    let text = |f: &Value, key: &str| f[key].as_str().unwrap().to_owned();
    v["findings"].as_array().unwrap().iter().map(|f| (text(f, "kind"), text(f, "relpath"))).collect()
}

fn is(kind: &str, path: &str) -> (String, String) {
    (kind.to_owned(), path.to_owned())
}

fn generations(place: &Place) -> Vec<PathBuf> {
    if place.path("drive/R1/ascmhl").is_dir() { manifests(&place.path("drive/R1")) } else { Vec::new() }
}

/// A list of MHL 1.1 with the MD5 of each file, as it is now.
fn legacy_md5(place: &Place, list: &str, files: &[&str]) {
    let list = place.path(list);
    let entry = |file: &&str| {
        let bytes = std::fs::read(list.parent().unwrap().join(file)).unwrap();
        let (md5, size) = (digest_of(HashFormat::Md5, &bytes).text(), bytes.len());
        format!(
            "<hash><file>{file}</file><size>{size}</size><lastmodificationdate>2026-01-02T03:04:05Z\
             </lastmodificationdate><md5>{md5}</md5><hashdate>2026-01-02T03:04:05Z</hashdate></hash>"
        )
    };
    let entries: String = files.iter().map(entry).collect();
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><hashlist version=\"1.1\"><creatorinfo><username>x</username>\
         <hostname>x</hostname><tool>x</tool><startdate>2026-01-02T03:04:05Z</startdate>\
         <finishdate>2026-01-02T03:04:05Z</finishdate></creatorinfo>{entries}</hashlist>"
    );
    std::fs::write(list, text).unwrap();
}

#[track_caller]
fn assert_faultless(place: &Place) {
    let Some(reference) = Reference::find() else { return };
    let faults = reference.faults(&place.path("drive/R1"));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_plain_folder_is_hashed_sealed_catalogued_and_looked_after() {
    let place = drive();
    wav(&place.path("drive/R1/CLIPS/S001.WAV"));
    let before = place.tree("drive", |_| false);
    let v = good(place.run(&["register", "drive/R1", "--json", "--hash", "md5"]));
    assert_eq!((&v["files"], &v["clips"], &v["roll"]), (&4.into(), &3.into(), &"R1".into()));
    let copy = &v["copies"][0];
    assert_eq!(copy["destination"], place.path("drive").to_str().unwrap());
    assert_eq!(copy["path"], place.path("drive/R1").to_str().unwrap());
    assert_eq!((&copy["files"], &copy["verified"], &copy["read_back"]), (&4.into(), &4.into(), &"device".into()));
    assert_eq!(place.tree("drive", |p| p.starts_with("R1/ascmhl")), before, "the footage itself was touched");
    let manifest = std::fs::read_to_string(&generations(&place)[0]).unwrap();
    assert!(manifest.contains("<process>in-place</process>") && manifest.contains("<md5 action=\"original\""));
    assert_faultless(&place);

    let status = place.run(&["status", "R1", "--json"]).expect(20).json();
    assert_eq!((&status["safe"], &status["card_present"]), (&false.into(), &true.into()));
    assert_eq!(against(&status), ["registered where it lies: no card was read"]);
    let checked = place.run(&["verify", "R1", "--json"]).expect(0).json();
    assert_eq!(
        (&checked["files"], &checked["good"], &checked["findings"]),
        (&4.into(), &4.into(), &Value::Array(vec![]))
    );
    let clips = place.run(&["find", "roll:R1 S001", "--json"]).expect(0).json();
    assert_eq!((&clips["total"], &clips["clips"][0]["media"]), (&1.into(), &"ok".into()), "{clips}");
    assert!(place.run(&["log", "R1"]).expect(0).stdout.contains("generation 1 sealed in place"));
    assert!(place.run(&["cards"]).expect(0).stdout.contains("registered"));
}

#[test]
fn damage_is_found_in_its_block_by_the_next_patrol() {
    let place = drive();
    good(register(&place, &[]));
    flip(&place.path(CLIP), 2 * MIB + 17);
    let v = place.run(&["patrol", "--due", "0s", "--json"]).expect(11).json();
    assert_eq!(found(&v), [is("altered", "CLIPS/C001.MOV")]);
    assert_eq!(v["findings"][0]["blocks"], serde_json::json!([[2 * MIB, MIB]]));
    assert!(v["findings"][0]["clip"].is_string());
    // So does the folder's owner who registers it again; and nothing new is sealed.
    let v = register(&place, &[]).expect(11).json();
    assert_eq!(v["findings"][0]["blocks"], serde_json::json!([[2 * MIB, MIB]]));
    assert_eq!(generations(&place).len(), 1);
    flip(&place.path(CLIP), 2 * MIB + 17);
    good(register(&place, &[]));
    place.run(&["verify", "--json"]).expect(0);
}

#[test]
fn a_second_run_reads_again_and_seals_only_what_was_added() {
    let place = drive();
    good(register(&place, &[]));
    let first = ask(&place, "SELECT min(proven_at) FROM copies");
    good(register(&place, &[]));
    assert!(ask(&place, "SELECT min(proven_at) FROM copies") > first, "it was not read again");
    assert_eq!(generations(&place).len(), 1);
    place.file("drive/R1/LATER/C003.MOV", 4321, 9);
    let v = good(register(&place, &[]));
    assert_eq!((&v["files"], &v["copies"][0]["verified"]), (&4.into(), &4.into()));
    let all = generations(&place);
    assert_eq!(all.len(), 2);
    let second = std::fs::read_to_string(&all[1]).unwrap();
    assert_eq!((second.matches("action=\"verified\"").count(), second.matches("action=\"original\"").count()), (3, 1));
    assert_faultless(&place);
    assert_eq!(ask(&place, "SELECT count(*) FROM card"), [["1"]]);
    place.run(&["verify", "R1"]).expect(0);
    // A new time is not other footage.
    let clip = std::fs::File::options().write(true).open(place.path(CLIP)).unwrap();
    clip.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000)).unwrap();
    good(register(&place, &[]));
    let status = place.run(&["status", "R1", "--json"]).expect(20).json();
    assert_eq!(against(&status), ["registered where it lies: no card was read"]);
}

#[test]
fn a_sound_history_is_continued() {
    let place = drive();
    place.run(&["mhl", "seal", "drive/R1", "--hash", "md5"]).expect(0);
    place.file("drive/R1/CLIPS/C003.MOV", 4321, 9);
    std::fs::rename(place.path("drive/R1/NOTES.TXT"), place.path("drive/R1/MEMO.TXT")).unwrap();
    good(register(&place, &[]));
    let all = generations(&place);
    assert_eq!(all.len(), 2);
    let second = std::fs::read_to_string(&all[1]).unwrap();
    // The known format beside the new one; the new file has no older record, and the renamed one has.
    assert!(second.contains("<previousPath>NOTES.TXT</previousPath>"), "{second}");
    assert_eq!(
        (second.matches("<md5 action=\"verified\"").count(), second.matches("<xxh64 action=\"original\"").count()),
        (3, 1)
    );
    assert_faultless(&place);
    let checked = place.run(&["verify", "R1", "--json"]).expect(0).json();
    assert_eq!((&checked["files"], &checked["findings"]), (&4.into(), &Value::Array(vec![])));
}

#[test]
fn histories_of_the_reference_tool_are_continued_also_nested_ones() {
    let Some(reference) = Reference::find() else { return };
    let place = drive();
    for folder in ["drive/R1/CLIPS", "drive/R1"] {
        let made = reference.run("ascmhl", &["create", place.path(folder).to_str().unwrap(), "-h", "md5"]);
        assert_eq!(made.code, 0, "{}{}", made.stdout, made.stderr);
    }
    good(register(&place, &[]));
    assert_faultless(&place);
    assert_eq!(manifests(&place.path("drive/R1/CLIPS")).len(), 3);
    let checked = place.run(&["verify", "R1", "--json"]).expect(0).json();
    assert_eq!(
        (&checked["files"], &checked["good"], &checked["findings"]),
        (&3.into(), &3.into(), &Value::Array(vec![]))
    );
    good(register(&place, &[]));
    assert_eq!(generations(&place).len(), 2);
    // A manifest of the inner one is held to account as well.
    flip(&manifests(&place.path("drive/R1/CLIPS"))[2], 200);
    place.run(&["verify", "R1", "--json"]).expect(11);
    register(&place, &[]).expect(30);
}

#[test]
fn a_legacy_list_is_compared_with_in_the_same_read() {
    let place = drive();
    legacy_md5(&place, "drive/R1/R1.mhl", &["CLIPS/C001.MOV", "NOTES.TXT"]);
    legacy_md5(&place, "drive/R1/CLIPS/clips.mhl", &["C002.MOV"]);
    let v = good(register(&place, &[]));
    assert_eq!(v["files"], 5);
    let manifest = std::fs::read_to_string(&generations(&place)[0]).unwrap();
    assert!(manifest.contains("3 files were checked against") && manifest.contains("clips.mhl"), "{manifest}");
    assert_faultless(&place);
}

#[test]
fn a_folder_with_a_list_alone_is_verified_by_it() {
    let place = drive();
    legacy_md5(&place, "drive/R1/R1.mhl", &["CLIPS/C001.MOV", "NOTES.TXT"]);
    for word in ["drive/R1", "drive/R1/R1.mhl"] {
        let v = place.run(&["verify", word, "--json"]).expect(0).json();
        assert_eq!((&v["files"], &v["good"], &v["complete"]), (&2.into(), &2.into(), &true.into()));
        assert_eq!(found(&v), [is("extra", "CLIPS/C002.MOV")]);
    }
    assert_eq!(ask(&place, "SELECT count(*) FROM card"), [["0"]]);
    flip(&place.path(CLIP), 5);
    std::fs::remove_file(place.path("drive/R1/NOTES.TXT")).unwrap();
    let v = place.run(&["verify", "drive/R1", "--json"]).expect(11).json();
    let lost = [is("altered", "CLIPS/C001.MOV"), is("missing", "NOTES.TXT"), is("extra", "CLIPS/C002.MOV")];
    assert_eq!((found(&v), &v["files"], &v["good"]), (lost.to_vec(), &2.into(), &0.into()));
    assert!(v["findings"][0]["note"].as_str().unwrap().contains("md5"));
    place.run(&["verify", "drive/R1/CLIPS"]).expect(30);
    std::fs::write(place.path("drive/R1/R1.mhl"), "<hashlist version=\"1.1\"><hash>").unwrap();
    place.run(&["verify", "drive/R1"]).expect(30);
}

#[test]
fn what_a_list_contradicts_is_found_and_nothing_is_sealed() {
    let place = drive();
    legacy_md5(&place, "drive/R1/R1.mhl", &["CLIPS/C001.MOV", "CLIPS/C002.MOV", "NOTES.TXT"]);
    flip(&place.path(CLIP), 5);
    std::fs::rename(place.path("drive/R1/NOTES.TXT"), place.path("notes")).unwrap();
    let v = register(&place, &[]).expect(11).json();
    assert_eq!(found(&v), [is("altered", "CLIPS/C001.MOV"), is("missing", "NOTES.TXT")]);
    assert_eq!(
        (&v["safe"], &v["copies"][0]["sealed"], &v["copies"][0]["verified"]),
        (&false.into(), &false.into(), &2.into())
    );
    assert!(v["hold"].is_string() && !place.path("drive/R1/ascmhl").exists());
    // The sound ones are looked after; the altered bytes were not taken for good ones.
    let rows = ask(&place, "SELECT relpath_text, blake3 IS NULL FROM card_file ORDER BY 1");
    assert_eq!(rows, [["CLIPS/C001.MOV", "1"], ["CLIPS/C002.MOV", "0"], ["R1.mhl", "0"]]);
    for check in [&["patrol", "--due", "0s", "--json"][..], &["verify", "R1", "--json"]] {
        let v = place.run(check).expect(11).json();
        assert_eq!((&v["files"], &v["good"]), (&2.into(), &2.into()));
        assert_eq!(found(&v), [is("altered", "CLIPS/C001.MOV"), is("missing", "NOTES.TXT")]);
    }
    assert_eq!(found(&place.run(&["status", "R1", "--json"]).expect(20).json()).len(), 2);
    flip(&place.path(CLIP), 5);
    let v = register(&place, &[]).expect(10).json();
    assert_eq!(found(&v), [is("missing", "NOTES.TXT")]);
    assert_eq!(found(&place.run(&["verify", "R1", "--json"]).expect(10).json()), [is("missing", "NOTES.TXT")]);
    std::fs::rename(place.path("notes"), place.path("drive/R1/NOTES.TXT")).unwrap();
    good(register(&place, &[]));
    assert_eq!(generations(&place).len(), 1);
    place.run(&["verify", "R1"]).expect(0);
}

#[test]
fn what_a_history_contradicts_is_found_again_by_every_check() {
    let place = drive();
    place.run(&["mhl", "seal", "drive/R1"]).expect(0);
    flip(&place.path(CLIP), 5);
    std::fs::remove_file(place.path("drive/R1/NOTES.TXT")).unwrap();
    let v = register(&place, &[]).expect(11).json();
    assert_eq!(found(&v), [is("altered", "CLIPS/C001.MOV"), is("missing", "NOTES.TXT")]);
    assert_eq!(generations(&place).len(), 1);
    let v = place.run(&["verify", "R1", "--json"]).expect(11).json();
    assert!(found(&v).contains(&is("altered", "CLIPS/C001.MOV")), "{v}");
    let v = register(&place, &[]).expect(11).json();
    assert_eq!(found(&v).len(), 2);
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_is_taken_in() {
    let place = drive();
    let args = ["register", "drive/R1", "--no-media", "--json"];
    let said = Faulty::run(&place, &args, &["read|/R1/CLIPS/C001|1|0|bad|2500000"]).said();
    let v = said.expect(12).json();
    assert_eq!(found(&v), [is("unreadable", "CLIPS/C001.MOV")]);
    assert_eq!((&v["copies"][0]["verified"], &v["copies"][0]["sealed"]), (&2.into(), &false.into()));
    assert!(!place.path("drive/R1/ascmhl").exists());
    good(register(&place, &[]));
    assert_faultless(&place);
}

#[test]
fn a_stop_is_said_and_the_same_command_goes_on() {
    let place = drive();
    let args = ["register", "drive/R1", "--no-media", "--json"];
    let paused = Faulty::run(&place, &args, &["read|/R1/NOTES|1|1|pause"]).paused();
    let id = rustix::process::Pid::from_raw(paused.id() as i32).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    let said = paused.go().expect(1);
    assert!(said.json()["error"].as_str().unwrap().contains("the same command continues"), "{}", said.stdout);
    assert!(!place.path("drive/R1/ascmhl").exists());
    let early = ask(&place, "SELECT relpath, proven_at FROM copies WHERE state = 'proven' ORDER BY 1");
    good(register(&place, &[]));
    let now = ask(&place, "SELECT relpath, proven_at FROM copies WHERE state = 'proven' ORDER BY 1");
    assert!(!early.is_empty() && early.iter().all(|row| now.contains(row)), "{early:?} was read again: {now:?}");
    assert_eq!(now.len(), 3);
}

#[test]
fn a_history_that_does_not_hold_ends_it_before_a_row() {
    let place = drive();
    place.run(&["mhl", "seal", "drive/R1"]).expect(0);
    flip(&generations(&place)[0], 300);
    let said = register(&place, &[]).expect(30);
    assert_eq!(said.json()["exit"], 30);
    assert_eq!(ask(&place, "SELECT count(*) FROM card"), [["0"]]);
    std::fs::remove_dir_all(place.path("drive/R1/ascmhl")).unwrap();
    std::fs::create_dir(place.path("drive/R1/ascmhl")).unwrap();
    register(&place, &[]).expect(30);
    std::fs::remove_dir(place.path("drive/R1/ascmhl")).unwrap();
    std::fs::write(place.path("drive/R1/R1.mhl"), "<hashlist version=\"1.1\"><hash>").unwrap();
    assert!(register(&place, &[]).expect(30).json()["error"].as_str().unwrap().contains("R1.mhl"));
    std::fs::remove_file(place.path("drive/R1/R1.mhl")).unwrap();
    good(register(&place, &[]));
}

#[test]
fn a_history_that_was_replaced_or_lost_since_is_told() {
    let place = drive();
    good(register(&place, &[]));
    let history = place.path("drive/R1/ascmhl");
    std::fs::rename(&history, place.path("kept")).unwrap();
    place.run(&["mhl", "seal", "drive/R1", "--comment", "other"]).expect(0);
    assert!(register(&place, &[]).expect(30).json()["error"].as_str().unwrap().contains("sealed here"));
    std::fs::remove_dir_all(&history).unwrap();
    place.run(&["verify", "R1"]).expect(10);
    good(register(&place, &[]));
    assert!(place.run(&["log", "R1"]).stdout.contains("the history is gone, a new one begins"));
    place.run(&["verify", "R1"]).expect(0);
}

#[test]
fn what_would_mix_with_other_footage_is_refused() {
    let place = drive().with_card();
    place.offload(&["--no-media"]).expect(0);
    good(register(&place, &[]));
    let before = (place.tree("a", |_| false), place.tree("card", |_| false));
    for (path, why) in [
        ("a/A001", "is the copy of A001"),
        ("a/A001/CLIPS", "lies inside the copy of A001"),
        ("a", "holds the copy of A001"),
        ("card/A001", "is the source of A001"),
        ("card", "holds the source of A001"),
        ("drive/R1/CLIPS", "lies inside the copy of R1"),
        ("drive", "holds the copy of R1"),
        ("home", "it holds no file"),
    ] {
        let said = place.run(&["register", path, "--json"]).expect(2);
        assert!(said.json()["error"].as_str().unwrap().contains(why), "{path}: {}", said.stdout);
    }
    let said = register(&place, &["--roll", "OTHER"]).expect(2);
    assert!(said.json()["error"].as_str().unwrap().contains("registered as R1"), "{}", said.stdout);
    place.run(&["register", "nowhere", "--json"]).expect(1);
    assert_eq!((place.tree("a", |_| false), place.tree("card", |_| false)), before);
    // Nor is anything offloaded into registered footage.
    place.file("card/B001/X.MOV", 5, 5);
    let said = place.run(&["offload", "card/B001", "--to", "drive/R1/in", "--to", "b", "--json"]).expect(1);
    assert!(said.json()["error"].as_str().unwrap().contains("registered footage"), "{}", said.stdout);
    assert!(!place.path("drive/R1/in").exists());
}

#[test]
fn a_roll_of_its_own_is_never_one_with_an_offloaded_roll() {
    let place = Place::new().with_card();
    place.offload(&["--no-media"]).expect(0);
    place.file("drive/A001/CLIPS/A001C001.MOV", 100, 7);
    let v = place.run(&["register", "drive/A001", "--no-media", "--json"]).expect(0).json();
    assert_eq!(v["roll"], "A001_2");
    place.status().expect(0);
    place.run(&["status", "A001_2"]).expect(20);
    assert_eq!(place.run(&["verify", "A001", "--json"]).expect(0).json()["files"], 6);
    // The other way round: the name belongs to what is registered.
    place.file("drive/C001/X.MOV", 100, 8);
    place.run(&["register", "drive/C001", "--no-media"]).expect(0);
    place.file("card/C001/Y.MOV", 100, 9);
    let v = place.run(&["offload", "card/C001", "--to", "a", "--to", "b", "--no-media", "--json"]).expect(0).json();
    assert_eq!(v["roll"], "C001_2");
    // Registered footage is offloaded like any folder.
    let v = place.run(&["offload", "drive/C001", "--to", "a", "--to", "b", "--no-media", "--json"]).expect(0).json();
    assert!(v["safe"] == true && v["roll"] == "C001_3", "{v}");
    place.run(&["register", "drive/C001", "--no-media"]).expect(0);
    place.run(&["status", "C001_3"]).expect(0);
}

#[test]
fn what_is_no_footage_is_left_out_and_said() {
    let place = drive();
    place.config("[policy]\ndistinct_devices = false\nlitter = [\"Thumbs.db\"]\n");
    place.file("drive/R1/CLIPS/thumbs.DB", 10, 5);
    place.file("drive/R1/.goodgate/volume.json", 10, 5);
    place.file("drive/R1/.x.goodgate-part", 10, 5);
    std::os::unix::fs::symlink("NOTES.TXT", place.path("drive/R1/link")).unwrap();
    let v = good(register(&place, &[]));
    assert_eq!((&v["files"], &v["skipped"]), (&3.into(), &serde_json::json!(["CLIPS/thumbs.DB"])));
    assert_eq!(v["warnings"][0]["id"], "special:link");
    place.run(&["mhl", "verify", "drive/R1"]).expect(0);
    place.run(&["verify", "R1"]).expect(0);
}

#[test]
fn where_nobody_may_write_it_is_catalogued_without_a_manifest() {
    let Some(image) = Image::new(16, &[]) else { return };
    let place = Place::new();
    std::fs::create_dir_all(image.path().join("R1/CLIPS")).unwrap();
    std::fs::write(image.path().join("R1/CLIPS/C001.MOV"), pattern(3_000_000, 4)).unwrap();
    let remount = |how: &str| {
        let out = std::process::Command::new("mount").args(["-o", how]).arg(image.path()).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    };
    let root = image.path();
    // A whole removable volume may be a card.
    let said = place.run(&["register", root.to_str().unwrap(), "--json"]).expect(2);
    assert!(said.json()["error"].as_str().unwrap().contains("may be a card"), "{}", said.stdout);
    let roll = root.join("R1");
    let args = ["register", roll.to_str().unwrap(), "--no-media", "--json"];
    remount("remount,ro");
    let said = place.run(&args);
    assert!(said.stderr.contains("without a manifest"), "{}", said.stderr);
    let v = good(said);
    assert_eq!((&v["copies"][0]["sealed"], &v["copies"][0]["verified"]), (&false.into(), &1.into()));
    assert!(says(&v, &["no manifest is sealed"]));
    place.run(&["verify", "R1"]).expect(0);
    remount("remount,rw");
    let v = good(place.run(&args));
    assert_eq!(v["copies"][0]["sealed"], true);
    assert_eq!(manifests(&roll).len(), 1);
}

/// A folder whose inner one has a history, in a format that we do not write of ourselves, and files that it does not know.
fn with_history() -> Place {
    let place = drive();
    place.run(&["mhl", "seal", "drive/R1/CLIPS", "--hash", "md5"]).expect(0);
    place.file("drive/R1/CLIPS/C003.MOV", 2_000_000, 8);
    place.file("drive/R1/MORE.TXT", 5, 9);
    place
}

#[test]
fn killed_at_any_point_the_same_command_goes_on() {
    for (rule, hits) in [
        ("sync|catalog.db", &[2, 7, 9, 11][..]),
        ("rename|/R1/CLIPS/ascmhl/0002", &[1]),
        ("rename|/R1/CLIPS/ascmhl/ascmhl_chain", &[1]),
        ("mkdir|/R1/ascmhl", &[1]),
        ("rename|/R1/ascmhl/0001", &[1]),
        ("rename|/R1/ascmhl/ascmhl_chain", &[1]),
    ] {
        for hit in hits {
            for act in ["kill", "killed"] {
                let place = with_history();
                let rule = format!("{rule}|{hit}|1|{act}");
                let args = ["register", "drive/R1", "--no-media", "--json"];
                let said = Faulty::run(&place, &args, &[&rule]).said();
                assert_eq!(said.code, 128 + 9, "{rule}: {}{}", said.stdout, said.stderr);
                finishes(&place, &rule);
            }
        }
    }
}

/// After the kill, the same command: one card, one generation a history, all of it proven, nothing left over.
#[track_caller]
fn finishes(place: &Place, when: &str) {
    let said = register(place, &[]);
    assert_eq!(said.code, 0, "{when}: {}{}", said.stdout, said.stderr);
    let v = good(said);
    assert_eq!((&v["copies"][0]["verified"], &v["copies"][0]["sealed"]), (&5.into(), &true.into()), "{when}");
    assert_eq!((generations(place).len(), manifests(&place.path("drive/R1/CLIPS")).len()), (1, 2), "{when}");
    assert_eq!(parts(place), Vec::<PathBuf>::new(), "{when}");
    let counts =
        "SELECT (SELECT count(*) FROM card), (SELECT count(*) FROM copy_root), (SELECT count(*) FROM generation),
                  (SELECT count(*) FROM copy WHERE state = 'proven'), (SELECT count(*) FROM file_blocks),
                  (SELECT count(*) FROM clip), (SELECT count(*) FROM job WHERE done_at IS NULL)";
    assert_eq!(ask(place, counts), [["1", "1", "1", "5", "5", "3", "0"]], "{when}");
    let said = place.run(&["verify", "R1", "--json"]);
    assert_eq!((said.code, said.json()["good"].as_u64()), (0, Some(5)), "{when}: {}{}", said.stdout, said.stderr);
    assert_eq!(place.run(&["mhl", "verify", "drive/R1"]).code, 0, "{when}");
}

#[test]
fn killed_at_any_time_the_same_command_goes_on() {
    let begun = Instant::now();
    register(&with_history(), &[]).expect(0);
    let whole = begun.elapsed();
    let mut x = 0x2545_f491u32;
    let mut killed = 0;
    for round in 0..10 {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        let delay = whole.mul_f64(f64::from(x % 1000) / 1000.0);
        let place = with_history();
        let args = ["register", "drive/R1", "--no-media", "--json"];
        let mut child = place.goodgate(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(delay);
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().code().is_none());
        finishes(&place, &format!("round {round}, killed after {delay:?}"));
    }
    assert!(killed >= 4, "only {killed} of 10 were killed before their end");
}
