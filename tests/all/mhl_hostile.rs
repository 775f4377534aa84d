//! Histories that mean harm, or are merely odd: each ends in a clear word, nothing outside the folder is read, and
//! nothing is written.

use crate::place::{Place, Said, within};
use std::path::Path;

const HELLO: &str = "26c7827d889f6da3";

/// A folder with one file and a history of these very bytes, its chain in order.
fn history(place: &Place, manifest: &[u8]) {
    let folder = place.path("h/ascmhl");
    let _ = std::fs::remove_dir_all(place.path("h"));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::create_dir_all(place.path("h/Clips")).unwrap();
    std::fs::write(place.path("h/Clips/a.mov"), "hello").unwrap();
    std::fs::write(folder.join("0001_h.mhl"), manifest).unwrap();
    std::fs::write(folder.join("ascmhl_chain.xml"), goodgate::mhl::chain_of("0001_h.mhl", manifest)).unwrap();
}

fn entry(path: &str) -> String {
    format!("<hash><path size=\"5\">{path}</path><xxh64 action=\"original\">{HELLO}</xxh64></hash>")
}

fn manifest(hashes: &str, more: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<hashlist version=\"2.0\" xmlns=\"urn:ASC:MHL:v2.0\"><creatorinfo>\
         <creationdate>2026-01-02T03:04:05Z</creationdate><hostname>h</hostname><tool>t</tool></creatorinfo><processinfo>\
         <process>in-place</process></processinfo><hashes>{hashes}</hashes>{more}</hashlist>"
    )
}

fn verify(place: &Place) -> Said {
    within(60, place.goodgate(&["mhl", "verify", "h", "--json"]))
}

#[track_caller]
fn assert_refused(place: &Place, manifest: impl AsRef<[u8]>, what: &str) {
    history(place, manifest.as_ref());
    let before = place.tree("h", |_| false);
    let said = verify(place).expect(30).json();
    assert_eq!(said["history"], "manifest_modified", "{what}: {said}");
    assert_eq!((&said["files"], &said["unjudged"]), (&0.into(), &1.into()), "{what}: nothing of it is believed");
    assert!(!said["faults"][0].as_str().unwrap().is_empty());
    for verb in ["seal", "flatten", "export-v1"] {
        let said = within(60, place.goodgate(&["mhl", verb, "h", "--json"]));
        assert_eq!(said.code, 30, "{what}: {verb}: {}{}", said.stdout, said.stderr);
    }
    assert_eq!(place.tree("h", |_| false), before, "{what}: nothing may be written");
}

#[test]
fn paths_that_lead_outside_repeat_or_are_none_are_refused() {
    let place = Place::new();
    for path in ["/etc/passwd", "../secret", "Clips/../../secret", "", ".", "a//b", "a&#0;b"] {
        assert_refused(&place, manifest(&(entry("Clips/a.mov") + &entry(path)), ""), path);
    }
    assert_refused(&place, manifest(&entry(&"a/".repeat(5000)), ""), "a path of many segments");
    assert_refused(&place, manifest(&(entry("Clips/a.mov") + &entry("Clips/a.mov")), ""), "twice the same");
    assert_refused(&place, manifest(&(entry("Clips/a.mov") + &entry("./Clips/a.mov")), ""), "twice by another way");
    let c4 = "c459dsjfscH38cYeXXYogktxf4Cd9ibshE3BHUo6a58hBXmRQdZrAkZzsWcbWtDg5oQstpDuni4Hirj75GEmTc1sFT";
    let refers = |path: &str| {
        format!("<references><hashlistreference><path>{path}</path><c4>{c4}</c4></hashlistreference></references>")
    };
    assert_refused(&place, manifest(&entry("Clips/a.mov"), &refers("../../x/ascmhl/1.mhl")), "reference");
}

#[test]
fn documents_that_are_bombs_cut_or_something_else_are_refused() {
    let place = Place::new();
    let good = manifest(&entry("Clips/a.mov"), "");
    let doctype = "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>";
    let (head, body) = good.split_once('\n').unwrap();
    assert_refused(&place, format!("{head}{doctype}{body}"), "entities");
    assert_refused(&place, manifest(&"<hash>".repeat(100_000), ""), "deep nesting");
    let deep = format!("<hash><metadata>{}{}</metadata></hash>", "<a>".repeat(50_000), "</a>".repeat(50_000));
    assert_refused(&place, manifest(&deep, ""), "deep metadata");
    let wide: String = (0..50_000).map(|n| format!(" a{n}=\"1\"")).collect();
    assert_refused(&place, manifest(&format!("<hash><path{wide}>x</path></hash>"), ""), "attributes");
    assert_refused(&place, manifest(&entry(&"x".repeat(2_000_000)), ""), "a text without end");
    for cut in [good.len() - 1, good.len() - 11, good.len() / 2, 100, 0] {
        assert_refused(&place, &good[..cut], "cut");
    }
    for (from, to) in [
        ("urn:ASC:MHL:v2.0", "urn:ASC:MHL:v3.0"),
        ("UTF-8", "ISO-8859-1"),
        ("original", "new"),
        (HELLO, "26c7"),
        ("size=\"5\"", "size=\"-5\""),
    ] {
        assert_refused(&place, good.replace(from, to), to);
    }
    assert_refused(&place, good.replace("Clips", "Cl\u{1}ps"), "a character that XML forbids");
    assert_refused(&place, [good.as_bytes(), b"\xff"].concat(), "no UTF-8");
}

#[test]
fn chains_that_lead_outside_or_repeat_are_no_chains() {
    let place = Place::new();
    let good = manifest(&entry("Clips/a.mov"), "");
    history(&place, good.as_bytes());
    let chain = place.path("h/ascmhl/ascmhl_chain.xml");
    let text = std::fs::read_to_string(&chain).unwrap();
    for (from, to) in [
        ("<path>0001", "<path>../ascmhl/0001"),
        ("<path>0001_h.mhl", "<path>/etc/passwd"),
        ("sequencenr=\"1\"", "sequencenr=\"0\""),
        ("sequencenr=\"1\"", "sequencenr=\"4294967296\""),
        ("<c4>", "<c4>x"),
    ] {
        std::fs::write(&chain, text.replacen(from, to, 1)).unwrap();
        assert_eq!(verify(&place).expect(30).json()["history"], "chain_missing", "{to}");
    }
    let half = text.replace("</ascmhldirectory>", "");
    std::fs::write(&chain, half).unwrap();
    assert_eq!(verify(&place).expect(30).json()["history"], "chain_missing");
}

#[test]
fn links_and_devices_are_never_followed() {
    let place = Place::new();
    std::fs::write(place.path("secret"), "hello").unwrap();
    std::fs::create_dir(place.path("outside")).unwrap();
    std::fs::write(place.path("outside/f"), "hello").unwrap();
    history(&place, manifest(&(entry("Clips/a.mov") + &entry("link") + &entry("folder/f")), "").as_bytes());
    std::os::unix::fs::symlink("../secret", place.path("h/link")).unwrap();
    std::os::unix::fs::symlink("../outside", place.path("h/folder")).unwrap();
    let said = verify(&place).expect(11).json();
    assert_eq!(said["altered"], serde_json::json!(["link"]));
    assert_eq!(said["missing"], serde_json::json!(["folder/f"]));
    assert_eq!(said["specials"], serde_json::json!(["folder", "link"]));
    let pipe = std::process::Command::new("mkfifo").arg(place.path("h/pipe")).status().unwrap();
    assert!(pipe.success());
    assert_eq!(verify(&place).expect(11).json()["specials"].as_array().unwrap().len(), 3);

    // A manifest, a chain, a whole history by way of a link.
    history(&place, manifest(&entry("Clips/a.mov"), "").as_bytes());
    let at = place.path("h/ascmhl/0001_h.mhl");
    std::fs::rename(&at, place.path("elsewhere.mhl")).unwrap();
    std::os::unix::fs::symlink(place.path("elsewhere.mhl"), &at).unwrap();
    assert_eq!(verify(&place).expect(12).json()["files"], 0);
    history(&place, manifest(&entry("Clips/a.mov"), "").as_bytes());
    std::fs::rename(place.path("h/ascmhl"), place.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(place.path("elsewhere"), place.path("h/ascmhl")).unwrap();
    assert_eq!(verify(&place).expect(30).json()["history"], "none");
}

#[test]
fn odd_histories_that_break_no_rule_are_read() {
    let place = Place::new();
    let plain = manifest(&entry("Clips/a.mov"), "");
    let prefixed = plain
        .replace("xmlns=", "xmlns:m=")
        .replace("</", "</m:")
        .replace('<', "<m:")
        .replace("<m:/m:", "</m:")
        .replace("<m:?", "<?");
    let metadata =
        "<metadata><path>/etc/passwd</path><xxh64>zz</xxh64><hash><path>../x</path></hash></metadata></hash>";
    let patterns: String = (0..3000).map(|n| format!("<pattern>**/q{n}*/[0-9]?{{x,y}}</pattern>")).collect();
    for (what, text) in [
        ("a prefix", prefixed),
        (
            "CRLF",
            plain
                .replace('>', ">\r\n")
                .replace(">\r\nClips", ">Clips")
                .replace(&format!(">\r\n{HELLO}"), &format!(">{HELLO}"))
                .replace("</path>\r\n", "</path>"),
        ),
        ("a BOM", format!("\u{feff}{plain}")),
        ("upper case", plain.replace(HELLO, &HELLO.to_uppercase())),
        ("metadata", plain.replace("</hash>", metadata)),
        ("unknown elements", plain.replace("<xxh64", "<odd>1</odd><xxh64")),
        ("many patterns", plain.replace("</process>", &format!("</process><ignore>{patterns}</ignore>"))),
        ("no action", plain.replace(" action=\"original\"", "")),
        ("times of no kind", plain.replace("size=\"5\"", "size=\"5\" lastmodificationdate=\"yesterday\"")),
        ("a wrong size", plain.replace("size=\"5\"", "size=\"6\"")),
    ] {
        history(&place, text.as_bytes());
        let said = verify(&place);
        assert_eq!(said.code, 0, "{what}: {}{}", said.stdout, said.stderr);
        assert_eq!(said.json()["good"], 1, "{what}");
    }
}

#[test]
fn a_hundred_thousand_entries_are_read_in_little_time() {
    let place = Place::new();
    let many: String = (0..100_000).map(|n| entry(&format!("D{:03}/F{n:06}.dat", n % 1000))).collect();
    history(&place, manifest(&(entry("Clips/a.mov") + &many), "").as_bytes());
    let said = verify(&place).expect(10).json();
    assert_eq!((said["missing"].as_array().unwrap().len(), &said["good"]), (100_000, &1.into()));
}

#[test]
fn what_lies_below_a_folder_on_another_filesystem_is_unreadable_and_not_missing() {
    let Some(image) = crate::place::Image::new(16, &[]) else { return };
    let place = Place::new();
    history(&place, manifest(&(entry("Clips/a.mov") + &entry("M/b.mov")), "").as_bytes());
    std::fs::create_dir(place.path("h/M")).unwrap();
    let (from, to) = (image.path(), place.path("h/M"));
    let mount = |args: &[&Path]| std::process::Command::new("mount").arg("--bind").args(args).status().unwrap();
    assert!(mount(&[&from, &to]).success());
    let said = verify(&place);
    let _ = std::process::Command::new("umount").arg("-l").arg(&to).status();
    let said = said.expect(12).json();
    assert_eq!((&said["missing"], &said["unreadable"]), (&serde_json::json!([]), &serde_json::json!(["M"])));
}

#[test]
fn a_folder_that_cannot_be_written_to_is_verified_all_the_same() {
    let Some(image) = crate::place::Image::new(16, &[]) else { return };
    let place = Place::new();
    let card = image.path().join("A001");
    std::fs::create_dir_all(card.join("Clips")).unwrap();
    std::fs::write(card.join("Clips/a.mov"), "hello").unwrap();
    let card = card.to_str().unwrap();
    place.run(&["mhl", "seal", card]).expect(0);
    let remount = |how: &str| {
        let done = std::process::Command::new("mount").args(["-o", how]).arg(image.path()).status().unwrap();
        assert!(done.success());
    };
    remount("remount,ro");
    place.run(&["mhl", "verify", card]).expect(0);
    place.run(&["mhl", "info", card]).expect(0);
    place.run(&["mhl", "seal", card]).expect(1);
    place.run(&["mhl", "export-v1", card]).expect(1);
    place.run(&["mhl", "export-v1", card, "-o", "x.mhl"]).expect(0);
    place.run(&["mhl", "flatten", card, "-o", "p.mhl"]).expect(0);
    remount("remount,rw");
}
