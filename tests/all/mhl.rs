//! The `mhl` verbs as scripts see them, beside the reference tool: what it made and what was damaged afterwards is judged
//! rightly, and it finds no fault with what we made.

use crate::oracle::Reference;
use crate::place::{Place, Said, flip};
use crate::shim::Faulty;
use serde_json::{Value, json};
use std::path::Path;

const FORMATS: [&str; 6] = ["xxh64", "md5", "sha1", "c4", "xxh3", "xxh128"];

/// The tree of the standard's example.
fn demo(place: &Place, at: &str) {
    for (name, text) in
        [("Clips/a.mov", "hello"), ("Clips/b.mov", "world"), ("Sidecar.txt", "sidecar\n"), ("zero.bin", "")]
    {
        write(place, &format!("{at}/{name}"), text);
    }
    std::fs::create_dir_all(place.path(&format!("{at}/Empty"))).unwrap();
}

fn write(place: &Place, at: &str, text: &str) {
    let path = place.path(at);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn mhl(place: &Place, args: &[&str]) -> Said {
    place.run(&[&["mhl"], args, &["--json"]].concat())
}

/// `mhl verify`: exit code, word, altered, missing, missing folders, new.
#[track_caller]
fn verdict(place: &Place, at: &str) -> (i32, String, [Vec<String>; 4]) {
    let said = mhl(place, &["verify", at]);
    let json = said.json();
    let list = |key: &str| -> Vec<String> {
        json[key].as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
    };
    let word = json["history"].as_str().unwrap().to_owned();
    (said.code, word, [list("altered"), list("missing"), list("missing_dirs"), list("new")])
}

#[track_caller]
fn assert_verdict(place: &Place, at: &str, code: i32, word: &str, lists: [&[&str]; 4]) {
    let lists = lists.map(|l| l.iter().map(|s| s.to_string()).collect::<Vec<_>>());
    assert_eq!(verdict(place, at), (code, word.to_owned(), lists));
}

#[track_caller]
pub fn create(reference: &Reference, place: &Place, at: &str, more: &[&str]) {
    let path = place.path(at);
    let said = reference.run("ascmhl", &[&["create", path.to_str().unwrap()], more].concat());
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
}

#[track_caller]
fn seal(place: &Place, at: &str, more: &[&str]) -> Value {
    let said = mhl(place, &[&["seal", at], more].concat());
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    said.json()
}

#[track_caller]
fn assert_faultless(reference: &Reference, place: &Place, at: &str) {
    let faults = reference.faults(&place.path(at));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn remove(place: &Place, at: &str) {
    let path = place.path(at);
    if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
}

fn rename(place: &Place, from: &str, to: &str) {
    std::fs::rename(place.path(from), place.path(to)).unwrap();
}

pub fn manifests(folder: &Path) -> Vec<std::path::PathBuf> {
    let all = std::fs::read_dir(folder.join("ascmhl")).unwrap().map(|e| e.unwrap().path());
    let mut out: Vec<_> = all.filter(|p| p.extension().is_some_and(|e| e == "mhl")).collect();
    out.sort();
    out
}

#[test]
fn what_the_reference_made_and_was_damaged_since_is_judged_rightly_in_each_format() {
    let Some(reference) = Reference::find() else { return };
    for format in FORMATS {
        let place = Place::new();
        demo(&place, "d");
        create(&reference, &place, "d", &["-h", format]);
        assert_verdict(&place, "d", 0, "ok", [&[], &[], &[], &[]]);
        flip(&place.path("d/Clips/a.mov"), 2);
        assert_verdict(&place, "d", 11, "ok", [&["Clips/a.mov"], &[], &[], &[]]);
        flip(&place.path("d/Clips/a.mov"), 2);
        write(&place, "d/later.txt", "later");
        assert_verdict(&place, "d", 21, "ok", [&[], &[], &[], &["later.txt"]]);
        remove(&place, "d/zero.bin");
        assert_verdict(&place, "d", 10, "ok", [&[], &["zero.bin"], &[], &["later.txt"]]);
        remove(&place, "d/Empty");
        remove(&place, "d/Clips");
        let gone = &["Clips/a.mov", "Clips/b.mov", "zero.bin"][..];
        assert_verdict(&place, "d", 10, "ok", [&[], gone, &["Clips", "Empty"], &["later.txt"]]);
    }
}

#[test]
fn several_formats_and_generations_of_the_reference_are_all_compared() {
    let Some(reference) = Reference::find() else { return };
    let place = Place::new();
    demo(&place, "d");
    create(&reference, &place, "d", &["-h", "md5", "-h", "xxh3"]);
    write(&place, "d/more.txt", "more");
    create(&reference, &place, "d", &["-h", "c4"]);
    assert_verdict(&place, "d", 0, "ok", [&[], &[], &[], &[]]);
    let info = mhl(&place, &["info", "d/Sidecar.txt"]).expect(0).json();
    let formats: Vec<&str> =
        info["records"].as_array().unwrap().iter().map(|r| r["format"].as_str().unwrap()).collect();
    assert_eq!(formats, ["md5", "xxh3", "c4"]);
    let info = mhl(&place, &["info", "d"]).expect(0).json();
    assert_eq!((info["files"].as_u64(), info["generations"].as_array().unwrap().len()), (Some(5), 2));
    // Failed entries of the reference are no reason to believe them.
    flip(&place.path("d/Clips/a.mov"), 0);
    assert_eq!(reference.run("ascmhl", &["create", place.path("d").to_str().unwrap(), "-h", "md5"]).code, 11);
    assert_verdict(&place, "d", 11, "ok", [&["Clips/a.mov"], &[], &[], &[]]);
    flip(&place.path("d/Clips/a.mov"), 0);
    assert_verdict(&place, "d", 0, "ok", [&[], &[], &[], &[]]);
}

#[test]
fn a_rename_that_the_reference_recorded_is_followed_and_one_that_nobody_did_is_told() {
    let Some(reference) = Reference::find() else { return };
    let place = Place::new();
    demo(&place, "d");
    create(&reference, &place, "d", &["-h", "xxh64"]);
    rename(&place, "d/Clips/a.mov", "d/Clips/c.mov");
    let said = mhl(&place, &["verify", "d"]).expect(10).json();
    assert_eq!(said["renamed"], json!([{ "from": "Clips/a.mov", "to": "Clips/c.mov" }]));
    assert_eq!((&said["missing"], &said["new"]), (&json!(["Clips/a.mov"]), &json!(["Clips/c.mov"])));
    create(&reference, &place, "d", &["-h", "xxh64", "-dr"]);
    assert_verdict(&place, "d", 0, "ok", [&[], &[], &[], &[]]);
    flip(&place.path("d/Clips/c.mov"), 0);
    assert_verdict(&place, "d", 11, "ok", [&["Clips/c.mov"], &[], &[], &[]]);
}

#[test]
fn nested_histories_of_the_reference_judge_their_own_files() {
    let Some(reference) = Reference::find() else { return };
    let place = Place::new();
    for card in ["day/A001", "day/A002"] {
        demo(&place, card);
        create(&reference, &place, card, &["-h", "xxh64"]);
    }
    write(&place, "day/notes.txt", "note\n");
    create(&reference, &place, "day", &["-h", "xxh64"]);
    assert_verdict(&place, "day", 0, "ok", [&[], &[], &[], &[]]);
    flip(&place.path("day/A001/Clips/a.mov"), 0);
    write(&place, "day/A002/new.txt", "x");
    let (altered, new) = (&["A001/Clips/a.mov"][..], &["A002/new.txt"][..]);
    assert_verdict(&place, "day", 11, "ok", [altered, &[], &[], new]);
    assert_verdict(&place, "day/A001", 11, "ok", [&["Clips/a.mov"], &[], &[], &[]]);
    flip(&place.path("day/A001/Clips/a.mov"), 0);
    remove(&place, "day/A002/new.txt");
    // The inner history goes on alone: that is normal.
    create(&reference, &place, "day/A001", &["-h", "xxh64"]);
    assert_verdict(&place, "day", 0, "ok", [&[], &[], &[], &[]]);

    rename(&place, "day/A002/ascmhl", "kept");
    let (code, word, lists) = verdict(&place, "day");
    assert_eq!((code, word.as_str(), lists[3].len()), (30, "nested_missing", 4), "{lists:?}");
    rename(&place, "kept", "day/A002/ascmhl");
    let manifest = manifests(&place.path("day/A002"))[1].clone();
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("verified", "original")).unwrap();
    assert_eq!(verdict(&place, "day").1, "manifest_modified");
    assert_eq!(verdict(&place, "day").0, 30);
    // What is not in doubt is judged all the same.
    flip(&place.path("day/A001/Clips/a.mov"), 0);
    assert_verdict(&place, "day", 11, "manifest_modified", [altered, &[], &[], &[]]);
    flip(&place.path("day/A001/Clips/a.mov"), 0);
    std::fs::write(&manifest, text).unwrap();
    remove(&place, "day/A002");
    let (code, word, lists) = verdict(&place, "day");
    assert_eq!((code, word.as_str(), &lists[2][..]), (10, "nested_missing", &["A002".to_owned()][..]));
}

#[test]
fn a_broken_chain_is_named_and_nothing_of_it_believed() {
    let Some(reference) = Reference::find() else { return };
    let place = Place::new();
    demo(&place, "d");
    create(&reference, &place, "d", &["-h", "xxh64"]);
    create(&reference, &place, "d", &["-h", "md5"]);
    let kept = place.tree("d", |_| false);
    let back = || {
        std::fs::remove_dir_all(place.path("d")).unwrap();
        for (path, bytes) in &kept {
            let path = place.path("d").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            if bytes == b"folder" { std::fs::create_dir_all(path) } else { std::fs::write(path, bytes) }.unwrap();
        }
    };
    let chain = place.path("d/ascmhl/ascmhl_chain.xml");
    let whole = std::fs::read_to_string(&chain).unwrap();
    let names = manifests(&place.path("d"));
    type Damage<'a> = Box<dyn Fn() + 'a>;
    let cases: Vec<(&str, Damage<'_>)> = vec![
        ("chain_missing", Box::new(|| std::fs::remove_file(&chain).unwrap())),
        ("chain_missing", Box::new(|| std::fs::write(&chain, &whole[..whole.len() - 20]).unwrap())),
        ("chain_missing", Box::new(|| std::fs::write(&chain, whole.replace(":DIRECTORY:", ":X:")).unwrap())),
        ("manifest_missing", Box::new(|| std::fs::remove_file(&names[0]).unwrap())),
        ("manifest_modified", Box::new(|| flip(&names[0], 300))),
        ("manifest_modified", Box::new(|| flip(&names[1], 300))),
        (
            "unlisted_manifest",
            Box::new(|| {
                std::fs::write(names[1].with_file_name("0003_d_2026-01-01_000000Z.mhl"), "x").unwrap();
            }),
        ),
        ("none", Box::new(|| std::fs::remove_dir_all(place.path("d/ascmhl")).unwrap())),
    ];
    for (i, (word, damage)) in cases.iter().enumerate() {
        damage();
        let (code, found, lists) = verdict(&place, "d");
        assert_eq!((code, found.as_str(), lists.concat().len()), (30, *word, 0), "case {i}");
        if *word != "none" {
            let before = place.tree("d", |_| false);
            assert_eq!(mhl(&place, &["seal", "d"]).code, 30, "case {i}");
            assert_eq!(place.tree("d", |_| false), before, "case {i}: nothing may be written");
        }
        back();
    }
    assert_verdict(&place, "d", 0, "ok", [&[], &[], &[], &[]]);
}

#[test]
fn ignore_patterns_of_the_reference_hold() {
    let Some(reference) = Reference::find() else { return };
    let place = Place::new();
    demo(&place, "d");
    for name in ["d/x.tmp", "d/Clips/y.tmp", "d/Clips/only.txt", "d/junk/z", "d/keep/junk", "d/.DS_Store"] {
        write(&place, name, "x");
    }
    create(&reference, &place, "d", &["-h", "xxh64", "-i", "*.tmp", "-i", "/Clips/only.txt", "-i", "junk/"]);
    assert_verdict(&place, "d", 0, "ok", [&[], &[], &[], &[]]);
    for name in ["d/new.tmp", "d/Clips/.DS_Store", "d/deep/junk/q"] {
        write(&place, name, "x");
    }
    assert_verdict(&place, "d", 0, "ok", [&[], &[], &[], &[]]);
    write(&place, "d/only.txt", "x");
    assert_verdict(&place, "d", 21, "ok", [&[], &[], &[], &["only.txt"]]);
}

#[test]
fn the_reference_finds_no_fault_with_generations_made_in_place() {
    let Some(reference) = Reference::find() else { return };
    let place = Place::new();
    demo(&place, "d");
    for name in ["Übung caf\u{e9}.MOV", "日本語.TXT", " <&>'\" \u{1f3ac} .TXT", "e\u{301}.TXT", "a..b", "tab\there"]
    {
        if !name.contains('\t') {
            write(&place, &format!("d/{name}"), name);
        }
    }
    seal(&place, "d", &[]);
    assert_faultless(&reference, &place, "d");
    for format in FORMATS {
        let said = seal(&place, "d", &["--hash", format]);
        assert_eq!(said["verified"], said["files"]);
        assert_faultless(&reference, &place, "d");
    }
    write(&place, "d/Clips/new.mov", "new");
    write(&place, "d/x.tmp", "new");
    let said = seal(&place, "d", &["--hash", "xxh64,md5,sha1,c4,xxh3,xxh128", "--ignore", "*.tmp"]);
    assert_eq!(said["original"], 1);
    // Folder hashes of older generations rightly differ now; the tool compares with all of them.
    let faults: Vec<String> =
        reference.faults(&place.path("d")).into_iter().filter(|f| !f.starts_with("verify -dh")).collect();
    assert!(faults.is_empty(), "{faults:?}");
    assert_verdict(&place, "d", 0, "ok", [&[], &[], &[], &[]]);
    assert_eq!(manifests(&place.path("d")).len(), 8);
}

#[test]
fn a_failed_file_is_sealed_as_failed_and_both_tools_say_so() {
    let Some(reference) = Reference::find() else { return };
    let place = Place::new();
    demo(&place, "d");
    seal(&place, "d", &["--hash", "xxh64,md5"]);
    flip(&place.path("d/Clips/a.mov"), 1);
    let said = mhl(&place, &["seal", "d", "--hash", "c4,xxh64"]).expect(11).json();
    assert_eq!(said["altered"], json!(["Clips/a.mov"]));
    let text = std::fs::read_to_string(&manifests(&place.path("d"))[1]).unwrap();
    let entry = text.split("a.mov").nth(1).unwrap().split("</hash>").next().unwrap();
    assert!(entry.contains("<xxh64 action=\"failed\"") && !entry.contains("<c4"), "{entry}");
    assert_eq!(reference.verify(&place.path("d")).code, 11);
    assert_verdict(&place, "d", 11, "ok", [&["Clips/a.mov"], &[], &[], &[]]);
    // A good copy is verified against the original again.
    flip(&place.path("d/Clips/a.mov"), 1);
    seal(&place, "d", &[]);
    assert_faultless(&reference, &place, "d");
    remove(&place, "d/Clips/b.mov");
    let said = mhl(&place, &["seal", "d"]).expect(10).json();
    assert_eq!(said["missing"], json!(["Clips/b.mov"]));
}

#[test]
fn renames_of_files_and_folders_are_sealed_and_the_reference_follows() {
    let Some(reference) = Reference::find() else { return };
    let place = Place::new();
    demo(&place, "d");
    write(&place, "d/Clips/Deep/c.mov", "deep");
    seal(&place, "d", &[]);
    rename(&place, "d/Sidecar.txt", "d/Clips/Side.txt");
    rename(&place, "d/Clips/Deep", "d/Moved");
    // A format that the history does not have: the rename is found all the same.
    let said = seal(&place, "d", &["--hash", "md5"]);
    assert_eq!(
        said["renamed"],
        json!([{ "from": "Sidecar.txt", "to": "Clips/Side.txt" }, { "from": "Clips/Deep/c.mov", "to": "Moved/c.mov" }])
    );
    let text = std::fs::read_to_string(&manifests(&place.path("d"))[1]).unwrap();
    assert_eq!(text.matches("<previousPath>").count(), 3, "{text}");
    assert!(text.contains("<previousPath>Clips/Deep</previousPath>"));
    assert_faultless(&reference, &place, "d");
    assert_verdict(&place, "d", 0, "ok", [&[], &[], &[], &[]]);
    rename(&place, "d/Clips/Side.txt", "d/Third.txt");
    let said = seal(&place, "d", &[]);
    assert!(said["notes"].to_string().contains("second time"));
    assert_verdict(&place, "d", 0, "ok", [&[], &[], &[], &[]]);
    // Two files of the same bytes, and empty ones, are never guessed.
    write(&place, "d/twin1", "twin");
    write(&place, "d/twin2", "twin");
    seal(&place, "d", &[]);
    rename(&place, "d/twin1", "d/twin3");
    rename(&place, "d/twin2", "d/twin4");
    rename(&place, "d/zero.bin", "d/nought.bin");
    let said = mhl(&place, &["seal", "d"]).expect(10).json();
    assert_eq!((&said["renamed"], &said["original"]), (&json!([]), &json!(3)));
}

#[test]
fn nested_histories_are_continued_and_the_reference_finds_no_fault_with_the_day() {
    let Some(reference) = Reference::find() else { return };
    let place = Place::new();
    for card in ["day/A001", "day/A002", "day/B/B001"] {
        demo(&place, card);
    }
    seal(&place, "day/A001", &[]);
    create(&reference, &place, "day/A002", &["-h", "md5"]);
    seal(&place, "day/B/B001", &["--hash", "c4"]);
    write(&place, "day/notes.txt", "note\n");
    seal(&place, "day", &["--ignore", "*.tmp"]);
    assert_eq!(manifests(&place.path("day/B/B001")).len(), 2);
    for at in ["day/A001", "day/A002", "day/B/B001"] {
        assert_faultless(&reference, &place, at);
        assert_verdict(&place, at, 0, "ok", [&[], &[], &[], &[]]);
    }
    assert_verdict(&place, "day", 0, "ok", [&[], &[], &[], &[]]);
    let said = reference.run("ascmhl", &["diff", place.path("day").to_str().unwrap()]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    assert_eq!(reference.verify(&place.path("day")).code, 0);
    // The pattern was carried down.
    write(&place, "day/A001/x.tmp", "x");
    assert_verdict(&place, "day/A001", 0, "ok", [&[], &[], &[], &[]]);
    create(&reference, &place, "day", &["-h", "xxh64"]);
    assert_verdict(&place, "day", 0, "ok", [&[], &[], &[], &[]]);
    seal(&place, "day", &[]);
    assert_eq!(reference.verify(&place.path("day")).code, 0);
}

#[test]
fn names_that_differ_by_their_unicode_form_only_are_matched_where_one_answer_fits() {
    let place = Place::new();
    let (composed, apart) = ("caf\u{e9}.mov", "cafe\u{301}.mov");
    write(&place, &format!("d/Ordner \u{fc}/{composed}"), "hello");
    seal(&place, "d", &[]);
    rename(&place, "d/Ordner \u{fc}", "d/Ordner u\u{308}");
    rename(&place, &format!("d/Ordner u\u{308}/{composed}"), &format!("d/Ordner u\u{308}/{apart}"));
    assert_verdict(&place, "d", 0, "ok", [&[], &[], &[], &[]]);
    let said = mhl(&place, &["verify", "d"]).json();
    assert!(said["notes"].to_string().contains("Unicode"), "{said}");
    flip(&place.path(&format!("d/Ordner u\u{308}/{apart}")), 0);
    assert_eq!(verdict(&place, "d").0, 11);
    flip(&place.path(&format!("d/Ordner u\u{308}/{apart}")), 0);
    seal(&place, "d", &[]);
    if let Some(reference) = Reference::find() {
        assert_faultless(&reference, &place, "d");
    }
    // Both forms side by side are two files.
    write(&place, &format!("e/{composed}"), "one");
    write(&place, &format!("e/{apart}"), "two");
    seal(&place, "e", &[]);
    assert_verdict(&place, "e", 0, "ok", [&[], &[], &[], &[]]);
    remove(&place, &format!("e/{apart}"));
    assert_eq!(verdict(&place, "e").0, 10);
}

#[test]
fn a_packing_list_is_accepted_by_the_reference_and_by_us() {
    let Some(reference) = Reference::find() else { return };
    let place = Place::new();
    demo(&place, "d");
    demo(&place, "d/A001");
    seal(&place, "d/A001", &[]);
    seal(&place, "d", &["--hash", "md5"]);
    rename(&place, "d/Sidecar.txt", "d/Side.txt");
    seal(&place, "d", &["--hash", "xxh64,c4"]);
    let said = mhl(&place, &["flatten", "d", "--packing-list", "list.mhl"]).expect(0).json();
    assert_eq!(said["files"], 8);
    let text = std::fs::read_to_string(place.path("list.mhl")).unwrap();
    assert!(text.contains("<process>flatten</process>") && text.contains(">A001/Clips/a.mov<"), "{text}");
    assert!(text.contains("<previousPath>Sidecar.txt</previousPath>") && !text.contains(">Sidecar.txt</path>"));
    assert!(!text.contains("directoryhash") && !text.contains("roothash") && !text.contains("references"));
    let (list, folder) = (place.path("list.mhl"), place.path("d"));
    let (list, folder) = (list.to_str().unwrap(), folder.to_str().unwrap());
    let said = reference.run("ascmhl-debug", &["verify", "-pl", list, folder]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    let schema = reference.schemas.join("ASCMHL.xsd");
    let said = reference.run("ascmhl-debug", &["xsd-schema-check", "-xsd", schema.to_str().unwrap(), list]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    let verify = |code: i32| mhl(&place, &["verify", "d", "--packing-list", "list.mhl"]).expect(code).json();
    verify(0);
    flip(&place.path("d/A001/Clips/a.mov"), 0);
    remove(&place, "d/A001/Clips/b.mov");
    write(&place, "d/new", "x");
    let said = verify(11);
    assert_eq!(said["altered"], json!(["A001/Clips/a.mov"]));
    assert_eq!((&said["missing"], &said["new"]), (&json!(["A001/Clips/b.mov"]), &json!(["new"])));
    // Not a second time over the same file, and nothing into a history's own folder.
    assert_eq!(mhl(&place, &["flatten", "d", "--packing-list", "list.mhl"]).code, 1);
    assert_eq!(mhl(&place, &["flatten", "d", "--packing-list", "d/ascmhl/l.mhl"]).code, 2);
    assert_eq!(mhl(&place, &["verify", "list.mhl"]).code, 2);
    mhl(&place, &["info", "--packing-list", "list.mhl"]).expect(0);

    // A list that the reference flattened.
    demo(&place, "e");
    create(&reference, &place, "e", &["-h", "xxh64"]);
    let out = place.path("lists");
    std::fs::create_dir(&out).unwrap();
    let said = reference.run("ascmhl", &["flatten", place.path("e").to_str().unwrap(), out.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    let mut found = Vec::new();
    walk(&out, &mut found);
    let list = found.iter().find(|p| p.extension().is_some_and(|e| e == "mhl")).unwrap();
    mhl(&place, &["verify", "e", "--packing-list", list.to_str().unwrap()]).expect(0);
}

fn walk(folder: &Path, out: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, out) } else { out.push(path) }
    }
}

#[test]
fn legacy_lists_are_written_as_their_tools_read_them() {
    let Some(reference) = Reference::find() else { return };
    let place = Place::new();
    demo(&place, "d");
    remove(&place, "d/zero.bin");
    demo(&place, "d/A001");
    remove(&place, "d/A001/zero.bin");
    demo(&place, "c4");
    remove(&place, "c4/zero.bin");
    seal(&place, "c4", &["--hash", "c4"]);
    seal(&place, "d/A001", &["--hash", "c4"]);
    seal(&place, "d", &["--hash", "md5"]);
    let said = mhl(&place, &["export-v1", "d", "-o", "d.mhl"]).expect(0).json();
    assert_eq!(said["files"], 6);
    let said = mhl(&place, &["export-v1", "d"]).expect(0).json();
    let inside = said["mhl"].as_str().unwrap().to_owned();
    assert!(Path::new(&inside).parent().unwrap().ends_with("d"), "{inside}");
    let schema = reference.schemas.join("MediaHashList_v1_1.xsd");
    for list in [place.path("d.mhl").to_str().unwrap(), &inside] {
        let said = reference.run("simple-mhl", &["verify", list]);
        assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
        let said = reference.run("simple-mhl", &["xsd-schema-check", list]);
        assert_eq!(said.code, 0, "{}{} {schema:?}", said.stdout, said.stderr);
        assert_eq!(mhl(&place, &["verify", list]).expect(0).json()["files"], 6);
    }
    let text = std::fs::read_to_string(place.path("d.mhl")).unwrap();
    assert!(
        text.contains("<file>d/A001/Clips/a.mov</file>") && text.contains("<md5>5d41402abc4b2a76b9719d911017c592<")
    );
    // Only C4 is known of it: it is read.
    let said = mhl(&place, &["export-v1", "c4", "-o", "c4.mhl"]).expect(0).json();
    assert_eq!(said["files"], 3);
    let text = std::fs::read_to_string(place.path("c4.mhl")).unwrap();
    assert!(text.contains("<file>c4/Clips/a.mov</file>") && text.contains("<xxhash64be>26c7827d889f6da3<"), "{text}");
    flip(&place.path("c4/Clips/a.mov"), 0);
    assert_eq!(mhl(&place, &["export-v1", "c4", "-o", "c5.mhl"]).expect(11).json()["altered"], json!(["Clips/a.mov"]));
    flip(&place.path("d/Sidecar.txt"), 0);
    remove(&place, "d/A001/Sidecar.txt");
    write(&place, "d/unlisted", "x");
    assert_verdict(&place, &inside, 11, "ok", [&["Sidecar.txt"], &["A001/Sidecar.txt"], &[], &["unlisted"]]);
    assert_ne!(reference.run("simple-mhl", &["verify", &inside]).code, 0);
}

#[test]
fn lists_of_the_legacy_tool_are_read_in_every_kind_of_digest() {
    let place = Place::new();
    let list = |name: &str, file: &str, size: u64, hashes: &str| {
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<hashlist version=\"1.1\">\n<creatorinfo><username>u</username>\
             </creatorinfo>\n<hash><file>{file}</file><size>{size}</size>\
             <lastmodificationdate>2012-11-19 18-36-14</lastmodificationdate>{hashes}</hash></hashlist>\n"
        );
        write(&place, &format!("{name}/l.mhl"), &text);
    };
    for (name, hashes) in [
        ("md5", "<md5 bit=\"128\" encoding=\"hex\">5D41402ABC4B2A76B9719D911017C592</md5>"),
        ("sha1", "<sha1>aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d</sha1>"),
        ("xxhash", "<xxhash>4211111929</xxhash>"),
        ("little", "<xxhash64>a36d9f887d82c726</xxhash64>"),
        ("big", "<xxhash64>26c7827d889f6da3</xxhash64>"),
        ("be", "<xxhash64be>26c7827d889f6da3</xxhash64be>"),
        ("null", "<null></null>"),
        ("many", "<sha1>aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d</sha1><xxhash>4211111929</xxhash>"),
    ] {
        write(&place, &format!("{name}/sub/f.mov"), "hello");
        list(name, "sub/f.mov", 5, hashes);
        for path in [format!("{name}/l.mhl"), name.to_owned()] {
            assert_verdict(&place, &path, 0, "ok", [&[], &[], &[], &[]]);
        }
        let bytes = if name == "null" { "hello!" } else { "hellO" };
        write(&place, &format!("{name}/sub/f.mov"), bytes);
        assert_verdict(&place, &format!("{name}/l.mhl"), 11, "ok", [&["sub/f.mov"], &[], &[], &[]]);
        remove(&place, &format!("{name}/sub/f.mov"));
        assert_verdict(&place, &format!("{name}/l.mhl"), 10, "ok", [&[], &["sub/f.mov"], &[], &[]]);
    }
    // Digits that fit in one order only, and several digests of which one is wrong.
    write(&place, "bad/f", "hello");
    list("bad", "f", 5, "<xxhash64be>a36d9f887d82c726</xxhash64be>");
    assert_eq!(verdict(&place, "bad/l.mhl").0, 11);
    list("bad", "f", 5, "<md5>5d41402abc4b2a76b9719d911017c592</md5><xxhash>1</xxhash>");
    assert_eq!(verdict(&place, "bad/l.mhl").0, 11);
    list("bad", "f", 6, "<md5>5d41402abc4b2a76b9719d911017c592</md5>");
    assert_eq!(verdict(&place, "bad/l.mhl").0, 11, "the size differs");
    for outside in ["../f", "/etc/passwd", "a/../../f"] {
        list("bad", outside, 5, "<null/>");
        let (code, word, _) = verdict(&place, "bad/l.mhl");
        assert_eq!((code, word.as_str()), (30, "manifest_modified"), "{outside}");
    }
}

/// While a seal is at work another tool appends its generation: that one stands, and ours is made again by a person.
#[test]
fn a_chain_that_another_tool_extended_meanwhile_stands() {
    let place = Place::new();
    for roll in ["roll", "twin"] {
        place.file(&format!("{roll}/a.mov"), 5000, 1);
    }
    place.run(&["mhl", "seal", "roll"]).expect(0);
    let names = || -> Vec<String> {
        let all = std::fs::read_dir(place.path("roll/ascmhl")).unwrap();
        let mut all: Vec<_> = all.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        all.sort();
        all
    };
    // The other tool works in a copy of the folder, and what it made is laid into ours.
    std::fs::create_dir_all(place.path("twin/ascmhl")).unwrap();
    for name in names() {
        std::fs::copy(place.path("roll/ascmhl").join(&name), place.path("twin/ascmhl").join(&name)).unwrap();
    }
    place.run(&["mhl", "seal", "twin"]).expect(0);
    let paused = Faulty::run(&place, &["mhl", "seal", "roll"], &["write|/roll/ascmhl/|1|1|pause"]).paused();
    for entry in std::fs::read_dir(place.path("twin/ascmhl")).unwrap() {
        let from = entry.unwrap().path();
        std::fs::write(place.path("roll/ascmhl").join(from.file_name().unwrap()), std::fs::read(&from).unwrap())
            .unwrap();
    }
    let said = paused.go();
    assert!(said.code != 0 && said.stderr.contains("changed by another program"), "{} {}", said.code, said.stderr);
    let names = names();
    assert_eq!(names.iter().filter(|n| n.ends_with(".mhl")).count(), 2, "{names:?}");
    let chain = |roll: &str| std::fs::read(place.path(roll).join("ascmhl/ascmhl_chain.xml")).unwrap();
    assert!(chain("roll") == chain("twin"), "the other tool's chain was touched");
    place.run(&["mhl", "verify", "roll"]).expect(0);
    place.run(&["mhl", "seal", "roll"]).expect(0);
    place.run(&["mhl", "verify", "roll"]).expect(0);
}

/// Once before there is any chain, once with one: the same command goes on, and what the dead one left is kept aside.
#[test]
fn a_seal_that_was_killed_before_its_chain_is_made_again() {
    let place = Place::new();
    place.file("roll/a.mov", 5000, 1);
    for generation in 1..=2 {
        // Before anything of ours has its name, and between the manifest and the chain.
        for (part, nth) in [("ascmhl/000", "1"), ("ascmhl_chain.xml", "1")] {
            let rule = format!("rename|{part}|{nth}|1|kill");
            let (said, _) = Faulty::run(&place, &["mhl", "seal", "roll"], &[&rule]).ran();
            assert_ne!(said.code, 0, "{rule}");
        }
        let sealed = mhl(&place, &["seal", "roll"]).expect(0).json();
        assert_eq!(sealed["generation"], generation);
        assert_eq!(verdict(&place, "roll").1, "ok");
    }
    // A history that lost its chain is no unfinished one.
    std::fs::remove_file(place.path("roll/ascmhl/ascmhl_chain.xml")).unwrap();
    mhl(&place, &["seal", "roll"]).expect(30);
}

#[test]
fn a_manifest_that_lost_its_chain_is_not_set_aside_for_a_file_that_changed() {
    let place = Place::new();
    let file = place.file("X/a.mov", 5000, 1);
    place.run(&["mhl", "seal", "X"]).expect(0);
    std::fs::remove_file(place.path("X/ascmhl/ascmhl_chain.xml")).unwrap();
    flip(&file, 5);
    place.run(&["mhl", "verify", "X"]).expect(30);
    place.run(&["mhl", "seal", "X"]).expect(30);
    assert_eq!(manifests(&place.path("X")).len(), 1);
    // What a crash leaves fits what lies there, and is made anew.
    flip(&file, 5);
    place.run(&["mhl", "seal", "X"]).expect(0);
    place.run(&["mhl", "verify", "X"]).expect(0);
}
