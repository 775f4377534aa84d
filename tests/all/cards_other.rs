//! Cards of action cameras, drones, phones and recorders as the program sees them: trees in a folder, the real command.

use crate::cards::other::{JUNK, TREES, Tree};
use crate::place::Place;
use crate::station::{open_warnings, safe};
use serde_json::Value;

fn put(place: &Place, below: &str, files: &[(&str, usize)]) {
    for (n, (path, len)) in (1..).zip(files) {
        place.file(&format!("card/A001/{below}{path}"), *len, n);
    }
}

/// `card/A001` without the folder that every place has.
fn bare() -> Place {
    let place = Place::new();
    std::fs::remove_dir(place.card().join("CLIPS")).unwrap();
    place
}

fn plan(place: &Place) -> Value {
    place.run(&["offload", "card/A001", "--to", "a", "--dry-run", "--json"]).expect(0).json()
}

/// The clips of a dry run as a tree describes them, sorted.
fn lines(plan: &Value) -> Vec<String> {
    let text = |clip: &Value| {
        let roles = [
            ("essence", "essence"),
            ("audio", "audio"),
            ("sidecars", "sidecar"),
            ("proxies", "proxy"),
            ("thumbs", "thumb"),
        ];
        let counts = roles.map(|(key, role)| (clip[key].as_u64().unwrap(), role));
        let counts: String = counts.iter().filter(|(n, _)| *n > 0).map(|(n, role)| format!(" {n} {role}")).collect();
        format!("{} {}{counts}", clip["layout"].as_str().unwrap(), clip["name"].as_str().unwrap())
    };
    let mut out: Vec<String> = plan["clip_list"].as_array().unwrap().iter().map(text).collect();
    out.sort();
    out
}

fn warnings(plan: &Value) -> Vec<String> {
    let mut out: Vec<String> =
        plan["warnings"].as_array().unwrap().iter().map(|w| w["id"].as_str().unwrap().to_owned()).collect();
    out.sort();
    out
}

/// The ids of a tree's warnings where it lies `below` the root.
fn expected(tree: &Tree, below: &str) -> Vec<String> {
    let id = |id: &&str| id.split_once(':').map(|(kind, path)| format!("{kind}:{below}{path}")).unwrap();
    tree.warnings.iter().map(id).collect()
}

#[test]
fn each_card_is_seen_for_what_it_is_at_the_root_and_in_a_folder() {
    for tree in TREES {
        for below in ["", "dump of tuesday/"] {
            let place = bare();
            put(&place, below, tree.files);
            let plan = plan(&place);
            assert_eq!(lines(&plan), tree.clips, "{} in \"{below}\"", tree.what);
            assert_eq!(warnings(&plan), expected(tree, below), "{} in \"{below}\"", tree.what);
            assert_eq!(plan["files"], tree.files.len(), "{}: no file is left out", tree.what);
            assert_eq!(plan["clips"], tree.clips.len());
        }
    }
}

#[test]
fn all_cards_in_one_dump_are_all_seen() {
    let place = bare();
    let (mut clips, mut ids, mut layouts) = (Vec::new(), Vec::new(), std::collections::BTreeSet::new());
    for (n, tree) in TREES.iter().enumerate() {
        let below = format!("card {n:02}/");
        put(&place, &below, tree.files);
        clips.extend(tree.clips.iter().map(|c| c.to_string()));
        layouts.extend(tree.clips.iter().map(|c| c.split(' ').next().unwrap()));
        ids.extend(expected(tree, &below));
    }
    clips.sort();
    ids.sort();
    let plan = plan(&place);
    assert_eq!(lines(&plan), clips);
    assert_eq!(warnings(&plan), ids);
    let said: std::collections::BTreeSet<&str> =
        plan["layouts"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
    assert_eq!(said, layouts);
    assert_eq!(plan["layout"], plan["layouts"][0]);
}

#[test]
fn junk_of_operating_systems_is_no_clip_and_hides_none() {
    // Left out of the copy as the settings say by default, and kept with a list of none.
    for litter in ["", "litter = []\n"] {
        let place = bare();
        place.config(&format!("[policy]\ndistinct_devices = false\n{litter}"));
        put(&place, "", JUNK);
        assert_eq!(lines(&plan(&place)), Vec::<String>::new(), "{litter}");
        for tree in TREES.iter().filter(|t| ["gopro", "android", "sound devices"].contains(&t.what)) {
            let place = bare();
            place.config(&format!("[policy]\ndistinct_devices = false\n{litter}"));
            put(&place, "", tree.files);
            put(&place, "", JUNK);
            assert_eq!(lines(&plan(&place)), tree.clips, "{} with junk", tree.what);
        }
    }
}

#[test]
fn the_text_of_a_dry_run_names_all_layouts() {
    let place = bare();
    put(&place, "one/", TREES.iter().find(|t| t.what == "gopro").unwrap().files);
    put(&place, "two/", TREES.iter().find(|t| t.what == "zoom").unwrap().files);
    let text = place.run(&["offload", "card/A001", "--to", "a", "--dry-run"]).expect(0).stdout;
    assert!(text.contains("roll A001 (folder, gopro + zoom): 22 files"), "{text}");
}

#[test]
fn names_say_what_their_makers_put_there() {
    let place = bare();
    let of = |what: &str| TREES.iter().find(|t| t.what == what).unwrap().files;
    for (n, what) in ["atomos", "aja ki pro", "z cam", "sound devices", "dji", "android"].iter().enumerate() {
        put(&place, &format!("{n}/"), of(what));
    }
    let plan = plan(&place);
    let said = |name: &str| {
        let clips = plan["clip_list"].as_array().unwrap();
        clips.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("no {name}"))["said"].to_string()
    };
    assert_eq!(said("NINJAV_S001_S001_T002"), r#"{"camera":["NINJAV"],"scene":["001"],"shot":["001"],"take":["002"]}"#);
    assert_eq!(said("SC1ATK2"), r#"{"scene":["1"],"shot":["A"],"take":["2"]}"#);
    assert_eq!(said("A001C0004"), r#"{"camera":["A"],"reel":["A001"]}"#);
    assert_eq!(said("12A-T003"), r#"{"note":["false take"],"scene":["12A"],"take":["003"]}"#);
    assert_eq!(said("DJI_20251225101500_0001_D"), r#"{"recorded_at":["2025-12-25T10:15:00"]}"#);
    assert_eq!(said("VID_20240301_101112"), r#"{"recorded_at":["2024-03-01T10:11:12"]}"#);
    assert_eq!(said("PXL_20240301_101112345"), "{}");
}

#[test]
fn what_is_missing_of_a_clip_keeps_the_card_from_being_safe_until_accepted() {
    let place = bare();
    for what in ["gopro", "sequences"] {
        put(&place, "", TREES.iter().find(|t| t.what == what).unwrap().files);
    }
    let offload = |place: &Place| place.offload(&["--no-media"]);
    let v = offload(&place).expect(20).json();
    let ids = ["missing-frames:dpx/A", "missing-part:DCIM/100GOPRO/GX010270.MP4", "odd-frames:dpx/A"];
    let mut open = open_warnings(&v);
    open.sort();
    assert_eq!(open, ids);
    for id in &ids[..2] {
        place.run(&["accept", "A001", id, "--note", "known", "--json"]).expect(20);
    }
    let v = place.run(&["accept", "A001", ids[2], "--note", "known", "--json"]).expect(0).json();
    assert!(safe(&v), "{v}");
    // The catalog holds the files of each clip in their order.
    let clips = place.run(&["find", "limit:100", "--json"]).expect(0).json()["clips"].clone();
    let files = |name: &str| {
        let clips = clips.as_array().unwrap();
        clips.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("no {name}"))["files"].clone()
    };
    let gopro = ["GX010265.MP4", "GX020265.MP4", "GL010265.LRV", "GL020265.LRV", "GX010265.THM"];
    assert_eq!(files("GX010265"), serde_json::json!(gopro.map(|f| format!("DCIM/100GOPRO/{f}"))));
    assert_eq!(files("B"), serde_json::json!(["dng/B_000001.dng", "dng/B_000002.dng", "dng/sync.wav"]));
    assert_eq!(v["layout"], "gopro");
}

#[test]
fn a_sound_card_is_copied_whole_and_its_takes_are_clips() {
    let place = bare();
    put(&place, "", TREES.iter().find(|t| t.what == "sound devices").unwrap().files);
    let v = place.offload(&["--no-media"]).expect(0).json();
    assert_eq!((&v["layout"], &v["files"], &v["clips"]), (&"sound-devices".into(), &7.into(), &4.into()));
    let clips = place.run(&["find", "limit:100", "--json"]).expect(0).json()["clips"].clone();
    let set = clips.as_array().unwrap().iter().find(|c| c["name"] == "12A-T002").unwrap();
    let tracks = ["_1", "_2", "_X1"].map(|t| format!("FILM/12Y03M04/12A-T002{t}.WAV"));
    assert_eq!(set["files"], serde_json::json!(tracks));
}

#[test]
fn twenty_thousand_files_are_seen() {
    let place = bare();
    let frames = (0..18_000).map(|n| format!("seq/A.{n:07}.dpx"));
    let photos = (0..1_000).map(|n| format!("DCIM/{}GOPRO/GX01{:04}.MP4", 100 + n / 500, n));
    let sound = (0..1_000).map(|n| format!("FILM/12Y03M04/12A-T{:03}_{}.WAV", n / 2, n % 2 + 1));
    for name in frames.chain(photos).chain(sound) {
        place.file(&format!("card/A001/{name}"), 3, 1);
    }
    let plan = plan(&place);
    assert_eq!((&plan["files"], &plan["clips"]), (&20_000.into(), &1_501.into()));
    assert_eq!(plan["layouts"], serde_json::json!(["gopro", "sound-devices", "generic"]));
    assert_eq!(warnings(&plan), Vec::<String>::new());
}

/// A WAV of a second's silence with an iXML chunk.
fn take(family: &str, files: u32, index: u32) -> Vec<u8> {
    let ixml = format!(
        "<BWFXML><FILE_SET><TOTAL_FILES>{files}</TOTAL_FILES><FAMILY_UID>{family}</FAMILY_UID>\
         <FILE_SET_INDEX>{index}</FILE_SET_INDEX></FILE_SET></BWFXML>"
    );
    let chunk =
        |id: &[u8], body: &[u8]| [id, &(body.len() as u32).to_le_bytes(), body, &vec![0; body.len() % 2]].concat();
    // PCM, one channel of 16 bits at 8000 Hz.
    let fmt = [&[1, 0, 1, 0][..], &8000u32.to_le_bytes(), &16_000u32.to_le_bytes(), &[2, 0, 16, 0]].concat();
    let body = [chunk(b"fmt ", &fmt), chunk(b"iXML", ixml.as_bytes()), chunk(b"data", &[0; 16_000])].concat();
    [&b"RIFF"[..], &(body.len() as u32 + 4).to_le_bytes(), b"WAVE", &body].concat()
}

#[test]
fn a_take_of_sound_that_counts_more_files_than_are_here_waits_until_they_come() {
    let (one, two) = ("SOUNDDEV/12A-T001_1.WAV", "SOUNDDEV/12A-T001_2.WAV");
    let place = Place::with_files(&[(one, take("T7", 2, 1))]);
    let said = place.offload(&["--no-media"]).expect(20);
    assert_eq!(said.json()["warnings"][0]["id"], format!("incomplete-take:{one}"), "{}", said.stdout);
    // The second dump brings the rest: nothing is open any more.
    std::fs::write(place.card().join(two), take("T7", 2, 2)).unwrap();
    let said = place.offload(&["--no-media"]).expect(0).json();
    assert_eq!((&said["clips"], &said["warnings"]), (&1.into(), &serde_json::json!([])), "{said}");
}

#[test]
fn the_headers_of_sound_files_say_which_are_one_clip() {
    let files = [
        // Names of nothing in common, one family.
        ("SOUNDDEV/BOOM.WAV", take("F", 2, 1)),
        ("SOUNDDEV/LAV.WAV", take("F", 2, 2)),
        // Named like tracks of one take, but of two.
        ("SOUNDDEV/B_1.WAV", take("G", 1, 1)),
        ("SOUNDDEV/B_2.WAV", take("H", 1, 1)),
    ];
    let place = Place::with_files(&files);
    let clips = |place: &Place| {
        let rows = place.run(&["sql", "SELECT name, files FROM clips ORDER BY name", "--json"]).expect(0).json();
        rows["rows"].to_string()
    };
    let seen = r#"[["BOOM",2],["B_1",1],["B_2",1]]"#;
    for again in 0..3 {
        let said =
            place.offload(if again == 2 { &["--no-media", "--rehash"] } else { &["--no-media"] }).expect(0).json();
        assert_eq!((&said["clips"], clips(&place).as_str()), (&3.into(), seen), "offload {again}");
    }
    let log = place.run(&["log", "A001"]).expect(0).stdout;
    assert!(log.contains("by the headers of their files 2 clips are 1: BOOM"), "{log}");
    assert_eq!(place.run(&["check", "--json"]).code, 0);
}
