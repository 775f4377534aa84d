//! Bad input: each is refused before the first byte with a reason, or copied with a warning; none is ever safe unseen,
//! none makes the program hang, and nothing is ever written to a card.

use crate::place::{Image, Place, Said, pattern, stamps, within};
use crate::station::{assert_not_safe, assert_safe, open_warnings, says};
use serde_json::Value;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The error object of a run that must have written nothing to `a` and `b`.
#[track_caller]
fn refused(place: &Place, args: &[&str]) -> Value {
    let before = [stamps(&place.path("a")), stamps(&place.path("b")), stamps(&place.path("card"))];
    let said = place.run(&[args, &["--json"]].concat());
    assert!(said.code != 0, "{args:?}: {}", said.stdout);
    let v = said.json();
    assert!(v["error"].as_str().is_some_and(|e| !e.is_empty()), "{args:?}: {v}");
    assert_eq!(v["exit"], said.code, "{v}");
    let after = [stamps(&place.path("a")), stamps(&place.path("b")), stamps(&place.path("card"))];
    assert_eq!(before, after, "{args:?} wrote something");
    v
}

#[track_caller]
fn error_has(v: &Value, words: &[&str]) {
    let error = v["error"].as_str().unwrap();
    assert!(words.iter().all(|w| error.contains(w)), "{words:?} in {v}");
}

#[test]
fn an_unreadable_config_names_line_and_key_with_a_hint() {
    let place = Place::new().with_card();
    for (text, words) in [
        ("[policy]\ncopies = \n", &["line 2"][..]),
        ("[policy]\n\n\ncoppies = 3\n", &["line 4", "coppies"]),
        ("[policy]\ncopies = \"two\"\n", &["line 2", "copies"]),
        ("[policy]\ncopies = 1\n", &["copies"]),
        ("[policcy]\ncopies = 2\n", &["line 1", "policcy"]),
        ("[hash]\nformats = [\"md6\"]\n", &["line 2", "formats", "md6"]),
        ("[[destination]]\npath = \"relative/here\"\n", &["line 2", "path"]),
        ("[media]\nprobe_limit_secs = -1\n", &["line 2", "probe_limit_secs"]),
    ] {
        place.config(text);
        let v = refused(&place, &["offload", "card/A001", "--to", "a", "--to", "b"]);
        error_has(&v, words);
        assert_eq!(v["exit"], 2, "{v}");
        assert!(v["hint"].as_str().is_some_and(|h| !h.is_empty()), "no hint for {text:?}: {v}");
        assert_eq!(place.run(&["config", "check", "--json"]).code, 2, "{text:?}");
    }
    let other = place.path("config/no.toml");
    let v = refused(&place, &["cards", "--config", other.to_str().unwrap()]);
    error_has(&v, &["no.toml"]);
    std::fs::write(&other, b"\xff\xfe[policy]").unwrap();
    error_has(&refused(&place, &["cards", "--config", other.to_str().unwrap()]), &["no.toml"]);
}

#[test]
fn a_card_that_is_not_there_is_refused() {
    let place = Place::new();
    let v = refused(&place, &["offload", "card/B002", "--to", "a", "--to", "b"]);
    error_has(&v, &["card/B002"]);
    assert!(v["hint"].is_string(), "{v}");
    place.file("card/file", 10, 1);
    error_has(&refused(&place, &["offload", "card/file", "--to", "a", "--to", "b"]), &["card/file"]);
}

#[test]
fn an_empty_card_is_refused() {
    let place = Place::new();
    let v = refused(&place, &["offload", "card/A001", "--to", "a", "--to", "b"]);
    error_has(&v, &["no file"]);
    assert_eq!(place.status().code, 2, "an empty card became a roll");
}

#[test]
fn a_destination_inside_the_card_is_refused() {
    let place = Place::new().with_card();
    std::os::unix::fs::symlink(place.path("card/A001/CLIPS"), place.path("link")).unwrap();
    for dest in ["card/A001", "card/A001/CLIPS", "card/A001/new", "link", "link/new", "a/../card/A001/CLIPS"] {
        let v = refused(&place, &["offload", "card/A001", "--to", "a", "--to", dest]);
        error_has(&v, &["card"]);
        assert!(v["hint"].is_string(), "{v}");
    }
}

#[test]
fn a_card_inside_a_destination_is_refused() {
    let place = Place::new().with_card();
    std::os::unix::fs::symlink(place.path("card"), place.path("link")).unwrap();
    for dest in ["card", "link", ".", "a/../card"] {
        error_has(&refused(&place, &["offload", "card/A001", "--to", "a", "--to", dest]), &["inside"]);
    }
}

#[test]
fn one_destination_named_twice_is_refused() {
    let place = Place::new().with_card();
    std::os::unix::fs::symlink(place.path("a"), place.path("link")).unwrap();
    std::fs::create_dir(place.path("a/sub")).unwrap();
    let absolute = place.path("a");
    for dest in ["a", "a/", "./a", "link", "b/../a", "a/sub", "link/sub", "a/new", absolute.to_str().unwrap()] {
        refused(&place, &["offload", "card/A001", "--to", "a", "--to", dest]);
        refused(&place, &["offload", "card/A001", "--to", dest, "--to", "a"]);
    }
    assert!(!place.path("a/new").exists());
}

#[test]
fn a_destination_without_a_parent_is_refused() {
    let place = Place::new().with_card();
    error_has(&refused(&place, &["offload", "card/A001", "--to", "a", "--to", "no/such/folder"]), &["no/such/folder"]);
    place.file("file", 3, 1);
    error_has(&refused(&place, &["offload", "card/A001", "--to", "a", "--to", "file"]), &["file"]);
    assert!(!place.path("no").exists());
}

#[test]
fn too_little_space_is_refused_before_the_first_byte_with_the_numbers() {
    let Some(image) = Image::new(16, &[]) else { return };
    let place = Place::new().with_card();
    place.file("card/A001/CLIPS/A001C003.MOV", 30_000_000, 3);
    let dest = image.path();
    let v = refused(&place, &["offload", "card/A001", "--to", "a", "--to", dest.to_str().unwrap()]);
    error_has(&v, &["space", "needed", "free", "MiB", dest.to_str().unwrap()]);
    assert_eq!(std::fs::read_dir(&dest).unwrap().count(), 0, "something was written");
    let dry = place.run(&["offload", "card/A001", "--to", dest.to_str().unwrap(), "--dry-run", "--json"]);
    assert!(dry.code != 0 && dry.stdout.contains("needed"), "{}", dry.stdout);
}

#[test]
fn too_few_inodes_are_refused_before_the_first_byte() {
    let Some(image) = Image::new(16, &["-N", "32"]) else { return };
    let place = Place::new();
    for n in 0..60 {
        place.file(&format!("card/A001/CLIPS/F{n:03}.TXT"), 10, n);
    }
    let dest = image.path();
    let v = refused(&place, &["offload", "card/A001", "--to", "a", "--to", dest.to_str().unwrap()]);
    error_has(&v, &["inodes"]);
    assert_eq!(std::fs::read_dir(&dest).unwrap().count(), 0);
}

#[test]
fn names_that_no_manifest_can_hold_are_copied_proven_and_a_warning() {
    let place = Place::new().with_card();
    let odd = [&b"CLIPS/bad\xff\xfe.MOV"[..], b"CLIPS/new\nline.MOV", b"CLIPS/esc\x1b[2J.TXT", b"dir\n/in.TXT"];
    let plain = [
        "CLIPS/a..b.MOV",
        "CLIPS/..hidden",
        "CLIPS/...",
        "CLIPS/-rf",
        "CLIPS/ blank ",
        "CLIPS/caf\u{e9}",
        "CLIPS/*\"<&>'",
    ];
    std::fs::create_dir(place.card().join(OsStr::from_bytes(b"dir\n"))).unwrap();
    let all: Vec<PathBuf> =
        odd.iter().copied().chain(plain.iter().map(|p| p.as_bytes())).map(|p| OsStr::from_bytes(p).into()).collect();
    for (n, p) in all.iter().enumerate() {
        std::fs::write(place.card().join(p), pattern(100 + n, n as u32)).unwrap();
    }
    let v = assert_not_safe(place.offload(&["--no-media"]));
    let open = open_warnings(&v);
    assert_eq!(open.len(), odd.len(), "{open:?}");
    assert!(open.iter().all(|id| id.starts_with("name:") && !id.contains(['\n', '\x1b'])), "{open:?}");
    assert_eq!((v["copies"][0]["verified"].as_u64(), v["files"].as_u64()), (Some(14), Some(14)), "{v}");
    for (dest, p) in ["a", "b"].iter().flat_map(|d| all.iter().map(move |p| (d, p))) {
        let copy = std::fs::read(place.path(dest).join("A001").join(p)).unwrap();
        assert_eq!(copy, std::fs::read(place.card().join(p)).unwrap());
    }
    let manifest = std::fs::read_dir(place.path("a/A001/ascmhl")).unwrap().map(|e| e.unwrap().path());
    let manifest = manifest.into_iter().find(|p| p.extension().is_some_and(|e| e == "mhl")).unwrap();
    let text = String::from_utf8(std::fs::read(manifest).unwrap()).expect("the manifest is no UTF-8");
    assert!(
        text.contains("a..b.MOV") && !text.contains("bad") && !text.contains("line.MOV") && !text.contains("in.TXT"),
        "{text}"
    );
    let comment = text.split("<comment>").nth(1).and_then(|t| t.split("</comment>").next()).unwrap_or_default();
    // Four files and a folder.
    assert!(comment.contains('5'), "no count of what is left out in the comment {comment:?}");
    for id in &open {
        let _ = place.run(&["accept", "A001", id, "--note", "a copier made it"]);
    }
    assert_safe(place.status());
    assert_safe(place.offload(&["--no-media"]));
}

#[test]
fn special_files_are_warnings_and_never_followed_or_opened() {
    let place = Place::new().with_card();
    let card = place.card();
    let outside = place.file("outside/secret.MOV", 1000, 1);
    std::os::unix::fs::symlink(&outside, card.join("CLIPS/link.MOV")).unwrap();
    std::os::unix::fs::symlink(place.path("outside"), card.join("linked")).unwrap();
    std::os::unix::fs::symlink("..", card.join("CLIPS/loop")).unwrap();
    std::os::unix::fs::symlink("nowhere", card.join("dangling")).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, card.join("fifo"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(card.join("socket")).unwrap();
    let mut expect = vec!["special:CLIPS/link.MOV", "special:CLIPS/loop", "special:dangling", "special:fifo"];
    expect.extend(["special:linked", "special:socket"]);
    let (watched, opened) = std::sync::mpsc::channel();
    let mut watcher = notify::recommended_watcher(move |e| drop(watched.send(e))).unwrap();
    for folder in [card.as_path(), outside.parent().unwrap()] {
        notify::Watcher::watch(&mut watcher, folder, notify::RecursiveMode::NonRecursive).unwrap();
    }
    let said = within(60, place.goodgate(&["offload", "card/A001", "--to", "a", "--to", "b", "--json", "--no-media"]));
    drop(watcher);
    let v = assert_not_safe(said);
    assert_eq!(open_warnings(&v), expect);
    let events: Vec<notify::Event> = opened.try_iter().map(Result::unwrap).collect();
    let names = |n: &str| events.iter().any(|e| e.kind.is_access() && e.paths.iter().any(|p| p.ends_with(n)));
    assert!(names("NOTES.TXT"), "the watch sees nothing");
    for name in ["fifo", "socket", "secret.MOV"] {
        assert!(!names(name), "\"{name}\" was opened");
    }
    for name in ["CLIPS/link.MOV", "CLIPS/loop", "dangling", "fifo", "linked", "socket"] {
        assert!(place.path("a/A001").join(name).symlink_metadata().is_err(), "\"{name}\" was copied");
    }
    for id in expect {
        let _ = place.run(&["accept", "A001", id, "--note", "not ours"]);
    }
    assert_safe(place.status());
}

#[test]
fn a_symlink_as_the_card_is_the_card_it_points_to() {
    let place = Place::new().with_card();
    std::os::unix::fs::symlink(place.card(), place.path("slot")).unwrap();
    assert_safe(place.run(&["offload", "slot/CLIPS/..", "--to", "a", "--to", "b", "--no-media", "--json"]));
    assert_safe(place.status());
    assert_safe(place.run(&["offload", "slot", "--to", "a", "--to", "b", "--no-media", "--json"]));
    assert_eq!(place.run(&["cards", "--json"]).json()["cards"].as_array().unwrap().len(), 1);
}

#[test]
fn litter_of_the_policy_is_left_out_and_listed() {
    let place = Place::new().with_card();
    place.file("card/A001/.DS_Store", 10, 1);
    place.file("card/A001/.Trashes/x", 10, 1);
    place.file("card/A001/Thumbs.db", 10, 1);
    let v = assert_safe(place.offload(&["--no-media"]));
    assert_eq!(v["skipped"], serde_json::json!([".DS_Store", ".Trashes"]));
    assert!(!place.path("a/A001/.DS_Store").exists() && place.path("a/A001/Thumbs.db").exists());
}

#[test]
fn a_rolls_name_is_never_a_way_out() {
    let place = Place::new().with_card();
    for roll in ["..", ".", "", "../x", "a/b", "/etc", ".goodgate", ".hidden", "ascmhl", "a\nb", "x ", "a\u{1b}[2J"] {
        let v = refused(&place, &["offload", "card/A001", "--to", "a", "--to", "b", "--roll", roll]);
        assert!(v["hint"].is_string(), "{v}");
    }
    assert!(!place.path("x").exists());
}

#[test]
fn nothing_is_ever_written_to_a_card() {
    let place = Place::new().with_card();
    std::fs::create_dir(place.card().join("EMPTY")).unwrap();
    crate::station::wav(&place.card().join("CLIPS/A001T01.WAV"));
    let paths: Vec<PathBuf> =
        ["", "CLIPS", "EMPTY", "CLIPS/A001C001.MOV", "CLIPS/A001C002.MOV", "CLIPS/A001T01.WAV", "NOTES.TXT"]
            .iter()
            .map(|p| place.card().join(p))
            .collect();
    // Times so old that any reading that touches access times would show.
    let old = rustix::fs::Timespec { tv_sec: 1_000_000_000, tv_nsec: 5 };
    for path in &paths {
        let times = rustix::fs::Timestamps { last_access: old, last_modification: old };
        rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty()).unwrap();
    }
    let seen = || -> Vec<_> {
        let of = |p: &PathBuf| {
            let m = p.symlink_metadata().unwrap();
            (p.clone(), m.ino(), m.len(), m.mode(), m.mtime(), (m.ctime(), m.ctime_nsec()), m.atime())
        };
        paths.iter().map(of).collect()
    };
    let before = seen();
    assert_safe(place.offload(&[]));
    assert_eq!(seen(), before, "the offload touched the card");
    assert_safe(place.status());
    assert_safe(place.offload(&["--rehash"]));
    place.run(&["offload", "card/A001", "--to", "a", "--to", "b", "--dry-run"]).expect(0);
    assert_eq!(seen(), before, "status, a second offload or a dry run touched the card");
    assert_eq!(place.tree("card/A001", |_| false).len(), paths.len() - 1);
}

/// Does something to the card, again and again, while it is offloaded.
fn offload_while(place: &Place, act: impl Fn(u64) + Sync) -> Said {
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                act(n);
                n += 1;
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        let said = place.offload(&["--no-media"]);
        stop.store(true, Ordering::Relaxed);
        said
    })
}

/// The card that is not safe, with the file named both as a finding and in the verdict.
#[track_caller]
fn unstable(said: Said, name: &str) {
    let v = assert_not_safe(said);
    let finding = v["findings"].as_array().unwrap().iter().find(|f| f["relpath"] == name);
    let finding = finding.unwrap_or_else(|| panic!("no finding of {name}: {v}"));
    assert!(["unstable", "unreadable"].contains(&finding["kind"].as_str().unwrap()), "{finding}");
    assert!(says(&v, &[name]), "{v}");
}

#[test]
fn a_card_that_grows_while_it_is_read_is_not_safe() {
    use std::io::Write;
    let place = Place::new().with_card();
    let clip = place.file("card/A001/CLIPS/A001C003.MOV", 20_000_000, 3);
    let grow = |_| std::fs::File::options().append(true).open(&clip).unwrap().write_all(b"more").unwrap();
    unstable(offload_while(&place, grow), "CLIPS/A001C003.MOV");
    assert_not_safe(place.status());
    assert_ne!(place.offload(&["--no-media"]).code, 0, "the same command calls a changed card safe");
}

#[test]
fn a_card_that_is_rewritten_while_it_is_read_is_not_safe() {
    use std::os::unix::fs::FileExt;
    let place = Place::new().with_card();
    let clip = place.file("card/A001/CLIPS/A001C003.MOV", 20_000_000, 3);
    let before = clip.metadata().unwrap().modified().unwrap();
    let file = std::fs::File::options().write(true).open(&clip).unwrap();
    // The same size and, as often as can be, the same time: only the bytes tell.
    let rewrite = |n: u64| {
        for at in (0..20_000_000).step_by(1 << 20) {
            file.write_all_at(&n.to_le_bytes(), at).unwrap();
        }
        file.set_modified(before).unwrap();
    };
    unstable(offload_while(&place, rewrite), "CLIPS/A001C003.MOV");
    assert_not_safe(place.status());
}

#[test]
fn a_file_that_comes_while_the_card_is_read_is_not_safe() {
    let place = Place::new().with_card();
    place.file("card/A001/CLIPS/A001C003.MOV", 20_000_000, 3);
    let card = place.card();
    let come = |n| std::fs::write(card.join(format!("CLIPS/NEW{:03}.MOV", n % 500)), b"x").unwrap();
    let v = assert_not_safe(offload_while(&place, come));
    let new = |f: &&Value| f["relpath"].as_str().unwrap().starts_with("CLIPS/NEW");
    assert!(v["findings"].as_array().unwrap().iter().any(|f| new(&f)), "{v}");
}

#[test]
fn a_file_that_goes_while_the_card_is_read_is_not_safe() {
    let place = Place::new().with_card();
    place.file("card/A001/CLIPS/A001C000.MOV", 30_000_000, 3);
    let (begun, last) = (place.path("a/A001"), place.card().join("NOTES.TXT"));
    // Once the card was listed: a listing that fails has no card to speak of.
    let go = |_| {
        if begun.exists() {
            let _ = std::fs::remove_file(&last);
        }
    };
    unstable(offload_while(&place, go), "NOTES.TXT");
    assert_not_safe(place.status());
}

/// The same command as a user who is bound by file modes.
fn as_nobody(place: &Place, args: &[&str]) -> Option<Said> {
    use std::os::unix::process::CommandExt;
    let mut command = place.goodgate(args);
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
        let root = place.path("");
        chown(&root);
        // The folders above must let that user through.
        let mut probe = std::process::Command::new("/bin/ls");
        let through = probe.arg(&root).uid(65534).gid(65534).output().unwrap().status.success();
        if !through {
            eprintln!("SKIPPED: nobody may not enter \"{}\"", root.display());
            return None;
        }
    }
    Some(command.output().unwrap().into())
}

fn chown(path: &Path) {
    std::os::unix::fs::lchown(path, Some(65534), Some(65534)).unwrap();
    if path.symlink_metadata().unwrap().is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            chown(&entry.unwrap().path());
        }
    }
}

const OFFLOAD: [&str; 8] = ["offload", "card/A001", "--to", "a", "--to", "b", "--no-media", "--json"];

#[test]
fn a_file_that_cannot_be_read_is_not_safe_and_the_others_are_copied() {
    let place = Place::new().with_card();
    let clip = place.card().join("CLIPS/A001C002.MOV");
    std::fs::set_permissions(&clip, std::fs::Permissions::from_mode(0o000)).unwrap();
    let Some(said) = as_nobody(&place, &OFFLOAD) else { return };
    let v = said.json();
    assert!([12, 20].contains(&said.code) && v["safe"] == false, "{v}");
    let finding = v["findings"].as_array().unwrap().iter().find(|f| f["relpath"] == "CLIPS/A001C002.MOV");
    assert_eq!(finding.map(|f| f["kind"].as_str().unwrap()), Some("unreadable"), "{v}");
    assert!(place.path("a/A001/CLIPS/A001C001.MOV").is_file() && !place.path("a/A001/CLIPS/A001C002.MOV").exists());
    // Readable again, the same command ends safe.
    std::fs::set_permissions(&clip, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_safe(as_nobody(&place, &OFFLOAD).unwrap());
}

#[test]
fn a_folder_that_cannot_be_listed_fails_the_card() {
    let place = Place::new().with_card();
    std::fs::create_dir(place.card().join("LOCKED")).unwrap();
    std::fs::set_permissions(place.card().join("LOCKED"), std::fs::Permissions::from_mode(0o000)).unwrap();
    let Some(said) = as_nobody(&place, &OFFLOAD) else { return };
    assert!(said.code != 0, "{}", said.stdout);
    error_has(&said.json(), &["LOCKED"]);
    assert!(!place.path("a/A001").exists(), "a card that could not be listed was begun");
}

#[test]
fn arguments_that_make_no_sense_are_usage_errors_with_json() {
    let place = Place::new().with_card();
    for args in [
        &["offload"][..],
        &["offload", "card/A001", "--to"],
        &["offload", "card/A001", "--to", "a", "--hash", "md6"],
        &["offload", "card/A001", "--to", "a", "--verify", "nothing"],
        &["offload", "card/A001", "--to", "a", "--set", "novalue"],
        &["offload", "card/A001"],
        &["nonsense"],
        &[],
        &["status", "NOROLL"],
        &["show", "noclip"],
        &["accept", "NOROLL", "x", "--note", "y"],
    ] {
        let v = refused(&place, args);
        assert_eq!(v["exit"], 2, "{args:?}: {v}");
        assert!(v["hint"].is_string(), "{args:?}: {v}");
    }
}
