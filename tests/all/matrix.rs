//! The damage matrix: each kind of damage to each kind of file, as patrol finds it and repair heals it.

use crate::place::{Place, flip, pattern};
use crate::shim::{Faulty, ask, parts};
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Damage {
    Flip,
    Truncate,
    Grow,
    Delete,
    Unreadable,
    Extra,
    Swap,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Camera,
    Sidecar,
    Manifest,
    Chain,
    Row,
}

use Damage::*;
use What::*;

/// Damage, to what, exit code of patrol, what it finds (empty: nothing), exit code of repair, whether all is whole then.
/// A row of the catalog can only be altered or gone; another row's place is another row.
const MATRIX: &[(Damage, What, i32, &str, i32, bool)] = &[
    (Flip, Camera, 11, "altered", 0, true),
    (Truncate, Camera, 11, "altered", 0, true),
    (Grow, Camera, 11, "altered", 0, true),
    (Delete, Camera, 10, "missing", 0, true),
    (Unreadable, Camera, 12, "unreadable", 0, true),
    (Extra, Camera, 0, "extra", 0, true),
    (Swap, Camera, 11, "altered", 0, true),
    (Flip, Sidecar, 11, "altered", 0, true),
    (Truncate, Sidecar, 11, "altered", 0, true),
    (Grow, Sidecar, 11, "altered", 0, true),
    (Delete, Sidecar, 10, "missing", 0, true),
    (Unreadable, Sidecar, 12, "unreadable", 0, true),
    (Extra, Sidecar, 0, "extra", 0, true),
    (Swap, Sidecar, 11, "altered", 0, true),
    (Flip, Manifest, 11, "altered", 0, true),
    (Truncate, Manifest, 11, "altered", 0, true),
    (Grow, Manifest, 11, "altered", 0, true),
    (Delete, Manifest, 10, "missing", 0, true),
    (Unreadable, Manifest, 12, "unreadable", 0, true),
    (Extra, Manifest, 0, "extra", 0, true),
    (Swap, Manifest, 11, "altered", 0, true),
    (Flip, Chain, 11, "altered", 0, true),
    (Truncate, Chain, 11, "altered", 0, true),
    // Behind the root element: no reader of XML takes it.
    (Grow, Chain, 11, "altered", 0, true),
    (Delete, Chain, 10, "missing", 0, true),
    (Unreadable, Chain, 12, "unreadable", 0, true),
    (Extra, Chain, 0, "extra", 0, true),
    (Swap, Chain, 11, "altered", 0, true),
    (Flip, Row, 11, "altered", 0, true),
    (Truncate, Row, 11, "altered", 0, true),
    (Delete, Row, 11, "altered", 0, true),
    (Swap, Row, 11, "altered", 0, true),
];

/// A card with a clip, a sidecar and another of each, in two generations.
fn offloaded() -> Place {
    let place = Place::new().with_card();
    place.file("card/A001/CLIPS/A001C001.XML", 900, 4);
    place.offload(&["--no-media"]).expect(0);
    let path = place.file("card/A001/MORE/A001C003.XML", 901, 5);
    std::fs::File::open(path).unwrap().sync_all().unwrap();
    place.offload(&["--no-media"]).expect(0);
    place
}

fn manifests(place: &Place) -> Vec<PathBuf> {
    let names = std::fs::read_dir(place.path("a/A001/ascmhl")).unwrap().map(|e| e.unwrap().path());
    let mut all: Vec<PathBuf> = names.filter(|p| p.extension().is_some_and(|e| e == "mhl")).collect();
    all.sort();
    all
}

/// The file that is damaged, and another one to swap it with.
fn files(place: &Place, what: What) -> (PathBuf, PathBuf) {
    let at = |p: &str| place.path("a/A001").join(p);
    match what {
        Camera => (at("CLIPS/A001C001.MOV"), at("CLIPS/A001C002.MOV")),
        Sidecar => (at("CLIPS/A001C001.XML"), at("MORE/A001C003.XML")),
        Manifest => (manifests(place)[0].clone(), manifests(place)[1].clone()),
        Chain | Row => (at("ascmhl/ascmhl_chain.xml"), at("NOTES.TXT")),
    }
}

fn damage(place: &Place, how: Damage, what: What) {
    let (file, other) = files(place, what);
    let open = || std::fs::File::options().read(true).write(true).open(&file).unwrap();
    let len = file.metadata().unwrap().len();
    match (how, what) {
        (Flip, Row) => {
            ask(place, "UPDATE card_file SET blake3 = zeroblob(32) WHERE relpath_text LIKE '%C001.MOV' RETURNING 1");
        }
        (Truncate, Row) => {
            ask(place, "UPDATE file_blocks SET blocks = zeroblob(32) WHERE length(blocks) > 32 RETURNING 1");
        }
        (Delete, Row) => {
            ask(place, "DELETE FROM file_blocks RETURNING 1");
        }
        (Swap, Row) => {
            let sql = "UPDATE card_file SET digests = 'xxh64:0000000000000000', size_bytes = size_bytes + 1
                       WHERE relpath_text LIKE '%C001.MOV' RETURNING 1";
            ask(place, sql);
        }
        (Flip, _) => flip(&file, len / 2),
        (Truncate, _) => open().set_len(len * 2 / 3).unwrap(),
        (Grow, _) => {
            use std::os::unix::fs::FileExt;
            open().write_all_at(b"<more/>", len).unwrap();
        }
        (Delete, _) => std::fs::remove_file(&file).unwrap(),
        (Extra, _) => std::fs::write(file.with_file_name("0009_other.mhl"), pattern(99, 9)).unwrap(),
        (Swap, _) => {
            let aside = place.path("a/aside");
            std::fs::rename(&file, &aside).unwrap();
            std::fs::rename(&other, &file).unwrap();
            std::fs::rename(&aside, &other).unwrap();
        }
        (Unreadable, _) => {}
    }
}

fn run(place: &Place, args: &[&str], bad: Option<&Path>) -> crate::place::Said {
    match bad {
        None => place.run(args),
        Some(file) => {
            let rule =
                format!("read|/a/A001/{}|1|0|errno|5", file.strip_prefix(place.path("a/A001")).unwrap().display());
            Faulty::run(place, args, &[&rule]).said()
        }
    }
}

fn one(how: Damage, what: What, patrol: i32, kind: &str, repair: i32, whole: bool) {
    let when = format!("{how:?} {what:?}");
    let place = offloaded();
    let skip = |p: &Path| p.starts_with(".goodgate");
    let before = place.tree("a", skip);
    damage(&place, how, what);
    let (file, _) = files_there(&place, what);
    let bad = (how == Unreadable).then_some(file.as_path());
    let said = run(&place, &["patrol", "--due", "0s", "--json"], bad);
    assert_eq!(said.code, patrol, "{when}: {}{}", said.stdout, said.stderr);
    let json = said.json();
    let findings = json["findings"].as_array().unwrap();
    assert!(!findings.is_empty() && findings.iter().any(|f| f["kind"] == kind), "{when}: {}", said.stdout);
    assert!(findings.iter().all(|f| what == Row || f["copy"].as_str().unwrap().ends_with("/a/A001")), "{when}");
    let said = run(&place, &["repair", "A001", "--dry-run", "--json"], bad);
    assert_eq!(said.code, repair, "{when}, only planned: {}{}", said.stdout, said.stderr);
    assert_eq!(
        said.json()["planned"].as_array().is_some_and(|p| !p.is_empty()),
        how != Extra,
        "{when}: {}",
        said.stdout
    );
    let said = run(&place, &["repair", "A001", "--json"], bad);
    assert_eq!(said.code, repair, "{when}: {}{}", said.stdout, said.stderr);
    let count = said.json()["repaired"].as_array().unwrap().len();
    assert_eq!(count > 0, how != Extra, "{when}: {}", said.stdout);
    if whole {
        let now = place.tree("a", skip);
        for (path, bytes) in before.iter().filter(|(p, _)| !p.ends_with("ascmhl_chain.xml")) {
            let found = now.iter().find(|(p, _)| p == path);
            assert!(found.is_some_and(|(_, b)| b == bytes), "{when}: \"{}\" is not whole", path.display());
        }
        place.run(&["verify", "A001"]).expect(0);
        place.run(&["check"]).expect(0);
        assert_eq!(parts(&place), Vec::<PathBuf>::new(), "{when}");
    }
}

fn files_there(place: &Place, what: What) -> (PathBuf, PathBuf) {
    match what {
        // A manifest may be gone.
        Manifest => match manifests(place).as_slice() {
            [a, b, ..] => (a.clone(), b.clone()),
            _ => (PathBuf::new(), PathBuf::new()),
        },
        _ => files(place, what),
    }
}

fn rows(what: What) {
    let rows = MATRIX.iter().filter(|r| r.1 == what);
    let mut failed = Vec::new();
    let mut seen = 0;
    for (how, what, patrol, kind, repair, whole) in rows {
        seen += 1;
        let tried = std::panic::catch_unwind(|| one(*how, *what, *patrol, kind, *repair, *whole));
        failed.extend(tried.err().map(|_| format!("{how:?} {what:?}")));
    }
    assert!(failed.is_empty(), "of {seen}: {failed:?}");
}

#[test]
fn every_damage_to_a_camera_file_is_found_and_healed() {
    rows(Camera);
}

#[test]
fn every_damage_to_a_sidecar_is_found_and_healed() {
    rows(Sidecar);
}

#[test]
fn every_damage_to_a_manifest_is_found_and_healed() {
    rows(Manifest);
}

#[test]
fn every_damage_to_a_chain_is_found_and_healed() {
    rows(Chain);
}

#[test]
fn every_damage_to_a_row_of_the_catalog_is_found_and_healed() {
    rows(Row);
}

#[test]
fn a_bad_sector_is_healed_around_it() {
    let place = offloaded();
    let clip = place.path("a/A001/CLIPS/A001C001.MOV");
    let rule = format!("read|/a/A001/CLIPS/A001C001.MOV|1|0|bad|{}", 2 * MIB + 4096);
    let said = Faulty::run(&place, &["repair", "A001", "--json"], &[&rule]).said().expect(0);
    assert_eq!(said.json()["repaired"][0]["relpath"], "CLIPS/A001C001.MOV");
    assert!(std::fs::read(&clip).unwrap() == pattern(3_500_000, 1));
    place.run(&["verify", "A001"]).expect(0);
}
