//! Damaged copies made whole: from which blocks, what is written, what a kill leaves, and what is refused.

use crate::place::{Place, Said, flip, pattern};
use crate::shim::{Faulty, Image, ask, card_of, kills, log, parts, root};
use serde_json::{Value, json};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;
const CLIP: &str = "A001/CLIPS/A001C001.MOV";
const LEN: u64 = 3_500_000;

fn offloaded() -> Place {
    let place = Place::new().with_card();
    place.offload(&["--no-media"]).expect(0);
    place
}

fn repair(place: &Place, more: &[&str]) -> Said {
    place.run(&[&["repair", "A001", "--json"], more].concat())
}

/// Everything is as on the card, and nothing of ours lies about.
#[track_caller]
fn assert_whole(place: &Place) {
    for dest in ["a", "b"] {
        for (path, bytes) in card_of(place, "card/A001") {
            let found = std::fs::read(place.path(dest).join("A001").join(&path)).unwrap_or_default();
            assert!(found == bytes, "\"{}\" in {dest} is not the card's", path.display());
        }
    }
    assert_eq!(parts(place), Vec::<PathBuf>::new());
    place.run(&["verify", "A001"]).expect(0);
    place.status().expect(0);
    place.run(&["check"]).expect(0);
    assert_eq!(ask(place, "SELECT * FROM repair").len(), 0);
}

fn repaired(said: &Said) -> Vec<(String, u64)> {
    let one = |r: &Value| (r["relpath"].as_str().unwrap().to_owned(), r["bytes_written"].as_u64().unwrap());
    said.json()["repaired"].as_array().unwrap().iter().map(one).collect()
}

fn file(place: &Place, relative: &str) -> std::fs::File {
    std::fs::File::options().read(true).write(true).open(place.path(relative)).unwrap()
}

#[test]
fn two_copies_that_are_damaged_in_different_places_heal_each_other() {
    let place = offloaded();
    flip(&place.path("a").join(CLIP), 5);
    flip(&place.path("a").join(CLIP), 3 * MIB + 9);
    flip(&place.path("b").join(CLIP), MIB + 7);
    let said = repair(&place, &[]).expect(0);
    assert_eq!(said.json()["unrepairable"], json!([]));
    assert_eq!(said.json()["repaired"].as_array().unwrap().len(), 2, "{}", said.stdout);
    let sealed: Vec<u64> =
        said.json()["sealed"].as_array().unwrap().iter().map(|s| s["generation"].as_u64().unwrap()).collect();
    assert_eq!(sealed, [2, 2]);
    assert_whole(&place);
    assert!(repaired(&repair(&place, &[]).expect(0)).is_empty(), "nothing is left to do");
    let log = log(&place);
    for step in ["repair of \"CLIPS/A001C001.MOV\" begun", "repaired and proven (device)", "generation 2 sealed"] {
        assert!(log.matches(step).count() == 2, "{step}: {log}");
    }
}

#[test]
fn damage_that_no_check_has_seen_yet_is_found_and_one_file_can_be_named() {
    let place = offloaded();
    flip(&place.path("a").join(CLIP), 5);
    flip(&place.path("a/A001/CLIPS/A001C002.MOV"), 5);
    let one = place.path("a").join(CLIP);
    let said = place.run(&["repair", one.to_str().unwrap(), "--json"]).expect(0);
    assert_eq!(repaired(&said), [("CLIPS/A001C001.MOV".to_owned(), LEN)]);
    place.run(&["verify", "A001"]).expect(11);
    repair(&place, &[]).expect(0);
    assert_whole(&place);
}

#[test]
fn missing_cut_grown_and_swapped_files_are_whole_again() {
    let place = offloaded();
    std::fs::remove_dir_all(place.path("a/A001/CLIPS")).unwrap();
    let (clip, other) = (place.path("b").join(CLIP), place.path("b/A001/CLIPS/A001C002.MOV"));
    let aside = place.path("b/aside");
    std::fs::rename(&clip, &aside).unwrap();
    std::fs::rename(&other, &clip).unwrap();
    std::fs::rename(&aside, &other).unwrap();
    file(&place, "a/A001/NOTES.TXT").set_len(5).unwrap();
    file(&place, "b/A001/NOTES.TXT").write_all_at(b"xmore", 11).unwrap();
    // The notes are gone from both: nobody has them.
    let said = repair(&place, &[]).expect(11);
    assert_eq!(repaired(&said).len(), 4, "{}", said.stdout);
    let lost = said.json()["unrepairable"].as_array().unwrap().clone();
    assert!(lost.len() == 2 && lost.iter().all(|f| f["relpath"] == "NOTES.TXT"), "{}", said.stdout);
    std::fs::write(place.path("b/A001/NOTES.TXT"), pattern(12, 3)).unwrap();
    repair(&place, &[]).expect(0);
    assert_whole(&place);
    let card = place.path("card/A001/NOTES.TXT").metadata().unwrap().modified().unwrap();
    assert_eq!(place.path("a/A001/NOTES.TXT").metadata().unwrap().modified().unwrap(), card);
}

#[test]
fn what_lies_under_a_wrong_name_heals_the_only_copy() {
    let place = offloaded();
    std::fs::remove_dir_all(place.path("b/A001")).unwrap();
    let (clip, other) = (place.path("a").join(CLIP), place.path("a/A001/CLIPS/A001C002.MOV"));
    std::fs::rename(&clip, place.path("a/A001/CLIPS/renamed.mov")).unwrap();
    let folder = place.path("a/A001");
    let said = place.run(&["repair", folder.to_str().unwrap(), "--json"]).expect(0);
    assert_eq!(repaired(&said), [("CLIPS/A001C001.MOV".to_owned(), LEN)]);
    assert_eq!(std::fs::read(&clip).unwrap(), pattern(LEN as usize, 1));
    assert!(other.exists());
}

#[test]
fn what_nobody_has_any_more_is_named_and_nothing_is_touched() {
    let place = offloaded();
    for dest in ["a", "b"] {
        flip(&place.path(dest).join(CLIP), MIB + 5);
    }
    flip(&place.path("a").join(CLIP), 5);
    let before = std::fs::read(place.path("a").join(CLIP)).unwrap();
    let said = repair(&place, &[]).expect(11);
    assert!(repaired(&said).is_empty(), "{}", said.stdout);
    let lost = said.json()["unrepairable"].clone();
    assert_eq!((&lost[0]["blocks"], &lost[1]["blocks"]), (&json!([[MIB, MIB]]), &json!([[MIB, MIB]])), "{lost}");
    assert!(lost[0]["note"].as_str().unwrap().contains("no copy that can be reached"), "{lost}");
    assert!(std::fs::read(place.path("a").join(CLIP)).unwrap() == before);
    assert_eq!(parts(&place), Vec::<PathBuf>::new());
}

#[test]
fn the_same_bytes_in_another_roll_heal_a_roll() {
    let place = Place::new().with_card();
    place.run(&["offload", "card/A001", "--to", "a", "--no-media"]).expect(20);
    // The same clip was on another card too.
    std::fs::create_dir_all(place.path("card/B001")).unwrap();
    std::fs::copy(place.path("card").join(CLIP), place.path("card/B001/X.MOV")).unwrap();
    place.run(&["offload", "card/B001", "--to", "b", "--no-media"]).expect(20);
    flip(&place.path("a").join(CLIP), 2 * MIB);
    let said = repair(&place, &[]).expect(0);
    assert!(said.json()["repaired"][0]["from"][0].as_str().unwrap().ends_with("b/B001/X.MOV"), "{}", said.stdout);
    assert!(std::fs::read(place.path("a").join(CLIP)).unwrap() == pattern(LEN as usize, 1));
}

#[test]
fn a_dry_run_says_which_blocks_come_from_where_and_writes_nothing() {
    let place = offloaded();
    flip(&place.path("a").join(CLIP), 5);
    flip(&place.path("a").join(CLIP), 3 * MIB + 9);
    let before = place.tree("a", |_| false);
    let said = repair(&place, &["--dry-run"]).expect(0);
    let plan = &said.json()["planned"][0];
    assert_eq!(plan["from"][0]["blocks"], json!([[0, MIB], [3 * MIB, LEN - 3 * MIB]]), "{plan}");
    assert!(plan["from"][0]["path"].as_str().unwrap().ends_with(&format!("b/{CLIP}")), "{plan}");
    assert!(place.tree("a", |_| false) == before);
    assert!(repaired(&said).is_empty());
}

#[test]
fn in_place_only_the_bad_blocks_are_written() {
    let place = offloaded();
    flip(&place.path("a").join(CLIP), MIB + 5);
    let inode = |p: &Path| std::os::unix::fs::MetadataExt::ino(&p.metadata().unwrap());
    let before = inode(&place.path("a").join(CLIP));
    let said = repair(&place, &["--in-place"]).expect(0);
    assert_eq!(repaired(&said), [("CLIPS/A001C001.MOV".to_owned(), MIB)]);
    assert_eq!(inode(&place.path("a").join(CLIP)), before, "it is the same file");
    assert_whole(&place);
    assert_eq!(std::fs::read_dir(place.path("a/.goodgate/journal")).unwrap().count(), 0);
    // Cut and grown files too.
    file(&place, &format!("a/{CLIP}")).set_len(2 * MIB + 5).unwrap();
    file(&place, &format!("b/{CLIP}")).set_len(6 * MIB).unwrap();
    let said = repair(&place, &["--in-place"]).expect(0);
    assert_eq!(said.json()["repaired"].as_array().unwrap().len(), 2, "{}", said.stdout);
    assert_whole(&place);
}

#[test]
fn a_file_that_somebody_wrote_to_is_kept_aside_and_rot_is_kept_when_asked() {
    let place = offloaded();
    let clip = place.path("a").join(CLIP);
    std::fs::write(&clip, b"an editor's work").unwrap();
    let said = repair(&place, &[]).expect(0);
    let kept = said.json()["repaired"][0]["kept"].as_str().unwrap().to_owned();
    assert_eq!(std::fs::read(&kept).unwrap(), b"an editor's work");
    assert!(kept.ends_with("a/.goodgate/salvage/A001/CLIPS/A001C001.MOV.1.bad"), "{kept}");
    flip(&clip, 5);
    let rotten = std::fs::read(&clip).unwrap();
    repair(&place, &[]).expect(0);
    assert!(!Path::new(&kept.replace(".1.", ".2.")).exists(), "rot is not kept unasked");
    flip(&clip, 5);
    let said = repair(&place, &["--keep-damaged"]).expect(0);
    assert!(std::fs::read(said.json()["repaired"][0]["kept"].as_str().unwrap()).unwrap() == rotten);
    assert_whole(&place);
}

#[test]
fn a_link_or_a_folder_under_the_name_is_moved_away_and_never_followed() {
    let place = offloaded();
    let (clip, notes) = (place.path("a").join(CLIP), place.path("a/A001/NOTES.TXT"));
    let outside = place.file("outside.mov", 77, 7);
    std::fs::remove_file(&clip).unwrap();
    std::os::unix::fs::symlink(&outside, &clip).unwrap();
    std::fs::remove_file(&notes).unwrap();
    std::fs::create_dir(&notes).unwrap();
    std::fs::write(notes.join("mine"), b"x").unwrap();
    repair(&place, &[]).expect(0);
    assert_whole(&place);
    assert_eq!(std::fs::read(&outside).unwrap(), pattern(77, 7));
    assert!(!clip.symlink_metadata().unwrap().is_symlink());
    assert_eq!(std::fs::read(place.path("a/.goodgate/salvage/A001/NOTES.TXT.1.bad/mine")).unwrap(), b"x");
}

#[test]
fn a_copy_that_was_never_proven_is_not_replaced() {
    let place = Place::new().with_card();
    // The first run leaves the card's own folder without that clip; then somebody lays another file there.
    Faulty::offload(&place, &["read|/card/A001/CLIPS/A001C002.MOV|1|0|errno|5"]).said().expect(20);
    let taken = place.path("b/A001/CLIPS/A001C002.MOV");
    std::fs::write(&taken, pattern(1_048_576, 9)).unwrap();
    assert_eq!(place.offload(&["--no-media"]).json()["safe"], false);
    repair(&place, &[]);
    assert!(std::fs::read(&taken).unwrap() == pattern(1_048_576, 9));
    let states = ask(&place, "SELECT state FROM copies WHERE destination LIKE '%b' AND relpath LIKE '%C002.MOV'");
    assert_eq!(states, [["conflict"]]);
}

#[test]
fn a_manifest_and_a_chain_are_whole_again() {
    let place = offloaded();
    let folder = place.path("a/A001/ascmhl");
    let name = |ending: &str| {
        let mut names = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path());
        names.find(|p| p.to_string_lossy().ends_with(ending)).unwrap()
    };
    let (manifest, chain) = (name(".mhl"), name(".xml"));
    let good = [std::fs::read(&manifest).unwrap(), std::fs::read(&chain).unwrap()];
    std::fs::write(&manifest, b"<hashlist/>").unwrap();
    std::fs::remove_file(&chain).unwrap();
    let said = repair(&place, &[]).expect(0);
    assert_eq!(said.json()["repaired"].as_array().unwrap().len(), 2, "{}", said.stdout);
    assert!([std::fs::read(&manifest).unwrap(), std::fs::read(&chain).unwrap()] == good);
    assert_whole(&place);
    // A dry run plans what the run itself does.
    std::fs::remove_dir_all(&folder).unwrap();
    let said = repair(&place, &["--dry-run"]).expect(0);
    assert_eq!(said.json()["planned"].as_array().unwrap().len(), 2, "{}", said.stdout);
    repair(&place, &[]).expect(0);
    assert_whole(&place);
    // Without what was kept of it nobody can say what it was; and the chain is not made up.
    for dest in ["a", "b"] {
        std::fs::remove_dir_all(place.path(dest).join(".goodgate/evidence")).unwrap();
        // Sealed in the same second they are the same.
        std::fs::remove_dir_all(place.path(dest).join("A001/ascmhl")).unwrap();
    }
    for more in [&["--dry-run"][..], &[]] {
        let said = repair(&place, more).expect(10);
        assert_eq!(said.json()["unrepairable"].as_array().unwrap().len(), 4, "{}", said.stdout);
    }
}

#[test]
fn a_damaged_row_is_restored_from_a_copy_that_fits_the_history_and_never_judges_anything() {
    let place = offloaded();
    ask(&place, "UPDATE card_file SET blake3 = zeroblob(32) WHERE relpath_text LIKE '%C001.MOV' RETURNING 1");
    flip(&place.path("a").join(CLIP), MIB + 5);
    place.run(&["check"]).expect(1);
    let said = repair(&place, &[]).expect(0);
    let what = |n: usize| said.json()["repaired"][n]["what"].clone();
    assert_eq!([what(0), what(1)], ["file", "catalog row"], "{}", said.stdout);
    for dest in ["a", "b"] {
        assert!(std::fs::read(place.path(dest).join(CLIP)).unwrap() == pattern(LEN as usize, 1));
    }
    place.run(&["check"]).expect(0);
    place.run(&["verify", "A001"]).expect(0);
    // Nobody knows of a reading of the card any more: it has to be read again before it may be formatted.
    place.status().expect(20);
    place.offload(&["--no-media"]);
    place.status().expect(0);
}

#[test]
fn lost_block_digests_are_computed_again_and_must_fit_their_sum() {
    let place = offloaded();
    ask(&place, "UPDATE file_blocks SET blocks = zeroblob(length(blocks)) RETURNING 1");
    repair(&place, &[]).expect(0);
    place.run(&["check"]).expect(0);
    assert_whole(&place);
}

#[test]
fn nothing_is_written_while_somebody_works_on_the_card() {
    let place = offloaded();
    flip(&place.path("a").join(CLIP), 5);
    let facts = goodgate::disk::facts::of(&place.card()).unwrap();
    let name = format!("card {} {}", facts.volume_key, facts.place);
    let locks = place.path("state/goodgate/locks");
    let held = goodgate::disk::lock::try_lock(&locks, &name).unwrap().unwrap();
    let said = repair(&place, &[]).expect(1);
    assert!(said.json()["error"].as_str().unwrap().contains("another goodgate process"), "{}", said.stdout);
    repair(&place, &["--dry-run"]).expect(0);
    drop(held);
    repair(&place, &[]).expect(0);
    assert_whole(&place);
}

/// Killed at each hit in turn, the damaged original or the proven file has the name, and the same command finishes.
fn killed_at(more: &[&str], points: &[(&str, &[u32])]) {
    for rule in kills(points) {
        let place = offloaded();
        let clip = place.path("a").join(CLIP);
        flip(&clip, MIB + 5);
        let damaged = std::fs::read(&clip).unwrap();
        let args = [&["repair", "A001", "--json"], more].concat();
        let said = Faulty::run(&place, &args, &[&rule]).said();
        assert_eq!(said.code, 128 + 9, "{rule}: {}{}", said.stdout, said.stderr);
        let now = std::fs::read(&clip).unwrap();
        let in_place = more.contains(&"--in-place");
        assert!(now == damaged || now == pattern(LEN as usize, 1) || in_place, "{rule}: neither");
        assert!(!place.run(&["status", "A001", "--json"]).json()["safe"].as_bool().unwrap() || now != damaged);
        let said = repair(&place, more);
        assert_eq!(said.code, 0, "{rule}: {}{}", said.stdout, said.stderr);
        assert_whole(&place);
        // The repair is told once, and sealed once.
        assert_eq!(log(&place).matches("generation 2 sealed").count(), 1, "{rule}: {}", log(&place));
        assert_eq!(log(&place).matches("generation 3 sealed").count(), 0, "{rule}: {}", log(&place));
    }
}

#[test]
fn where_two_names_cannot_be_exchanged_the_damaged_file_is_replaced_and_kept_when_asked() {
    for (more, kept) in [(&[][..], 0), (&["--keep-damaged"], 1)] {
        let place = offloaded();
        let clip = place.path("a").join(CLIP);
        flip(&clip, MIB + 5);
        let damaged = std::fs::read(&clip).unwrap();
        // EINVAL, as exFAT and NFS say it.
        let args = [&["repair", "A001", "--json"], more].concat();
        let (said, fired) = Faulty::run(&place, &args, &["rename2|/a/A001/CLIPS/|1|0|errno|22"]).ran();
        said.expect(0);
        assert!(fired.contains("rename2"), "{fired}");
        assert_whole(&place);
        let salvage = place.path("a/.goodgate/salvage");
        let aside: Vec<_> = walkdir::WalkDir::new(salvage).into_iter().flatten().collect();
        let aside: Vec<_> = aside.iter().filter(|e| e.file_type().is_file()).collect();
        assert_eq!(aside.len(), kept, "{aside:?}");
        assert!(aside.iter().all(|e| std::fs::read(e.path()).unwrap() == damaged));
    }
}

#[test]
fn killed_while_it_is_rebuilt_and_proven() {
    killed_at(
        &[],
        &[("write|/a/A001/CLIPS/.", &[1, 3]), ("sync|/a/A001/CLIPS/.", &[1]), ("read|/a/A001/CLIPS/.", &[1])],
    );
}

#[test]
fn killed_where_it_is_swapped_and_recorded() {
    killed_at(
        &[],
        &[
            ("rename|/a/A001/CLIPS/", &[1]),
            ("sync|/a/A001/CLIPS", &[2]),
            ("unlink|/a/A001/CLIPS/", &[1]),
            ("rename|/a/A001/ascmhl/0002", &[1]),
            ("rename|/a/A001/ascmhl/ascmhl_chain", &[1]),
        ],
    );
}

#[test]
fn killed_while_it_is_repaired_in_place() {
    killed_at(
        &["--in-place"],
        &[
            ("write|/a/.goodgate/journal/", &[1]),
            ("rename|/a/.goodgate/journal/", &[1]),
            ("write|/a/A001/CLIPS/A001C001", &[1]),
            ("sync|/a/A001/CLIPS/A001C001", &[1]),
            ("unlink|/a/.goodgate/journal/", &[2]),
        ],
    );
}

#[test]
fn what_another_run_left_of_a_file_that_is_not_asked_for_stays_as_it_is() {
    let place = offloaded();
    let clip = place.path("a").join(CLIP);
    flip(&clip, MIB + 5);
    let rule = "sync|/a/A001/CLIPS/A001C001|1|1|kill";
    let said = Faulty::run(&place, &["repair", "A001", "--in-place", "--json"], &[rule]).said();
    assert_eq!(said.code, 128 + 9, "{}{}", said.stdout, said.stderr);
    let journals = || std::fs::read_dir(place.path("a/.goodgate/journal")).unwrap().count();
    assert_eq!(journals(), 1);
    let notes = place.path("a/A001/NOTES.TXT");
    flip(&notes, 3);
    place.run(&["repair", notes.to_str().unwrap(), "--json"]).expect(0);
    assert_eq!(journals(), 1, "the old blocks of the clip are still needed");
    let sealed = "SELECT text FROM custody WHERE act = 'sealed' AND text LIKE 'generation 2%'";
    assert_eq!(ask(&place, sealed).len(), 1);
    repair(&place, &["--in-place"]).expect(0);
    assert_eq!(journals(), 0);
    assert_whole(&place);
}

#[test]
fn a_full_disk_is_said_and_a_repair_in_place_needs_no_room() {
    if !root("a full disk") {
        return;
    }
    let place = Place::new().with_card();
    let _image = Image::ext4(&place, "a", 12);
    place.offload(&["--no-media"]).expect(0);
    flip(&place.path("a").join(CLIP), MIB + 5);
    let filler = file_of(&place.path("a/filler"), 64 * MIB);
    assert!(filler > 0);
    let said = repair(&place, &[]).expect(11);
    assert!(said.json()["unrepairable"][0]["note"].as_str().unwrap().contains("--in-place"), "{}", said.stdout);
    // The journal lies beside the catalog then, and outlives a kill.
    let journals = || std::fs::read_dir(place.path("state/goodgate/journal")).unwrap().count();
    let rule = "write|/a/A001/CLIPS/A001C001|1|1|kill";
    let said = Faulty::run(&place, &["repair", "A001", "--in-place", "--json"], &[rule]).said();
    assert_eq!((said.code, journals()), (128 + 9, 1), "{}{}", said.stdout, said.stderr);
    let said = repair(&place, &["--in-place"]).expect(0);
    assert_eq!(repaired(&said), [("CLIPS/A001C001.MOV".to_owned(), MIB)]);
    assert!(std::fs::read(place.path("a").join(CLIP)).unwrap() == pattern(LEN as usize, 1));
    assert!(said.stderr.contains("its old blocks are back"), "{}", said.stderr);
    assert_eq!(journals(), 0);
    // Room for the journal of one block alone.
    flip(&place.path("a").join(CLIP), 2 * MIB + 5);
    std::fs::File::options().write(true).open(place.path("a/filler")).unwrap().set_len(filler - 2 * MIB).unwrap();
    let said = repair(&place, &["--in-place"]).expect(0);
    assert_eq!(repaired(&said), [("CLIPS/A001C001.MOV".to_owned(), MIB)]);
    assert!(std::fs::read(place.path("a").join(CLIP)).unwrap() == pattern(LEN as usize, 1));
    // What is missing needs room, in place or not.
    std::fs::remove_file(place.path("a").join(CLIP)).unwrap();
    file_of(&place.path("a/more"), 64 * MIB);
    let said = repair(&place, &["--in-place"]).expect(10);
    let note = said.json()["unrepairable"][0]["note"].as_str().unwrap().to_owned();
    assert!(note.ends_with("make room"), "{note}");
}

/// Fills a disk; gives how much went in.
fn file_of(path: &Path, most: u64) -> u64 {
    let file = std::fs::File::create(path).unwrap();
    let block = vec![1u8; 64 << 10];
    let mut at = 0;
    while at < most && file.write_at(&block, at).is_ok_and(|n| n == block.len()) {
        at += block.len() as u64;
    }
    file.sync_all().unwrap();
    at
}

#[test]
fn where_the_filesystem_can_clone_only_the_bad_blocks_are_written() {
    if !root("a filesystem that clones") {
        return;
    }
    let place = Place::new().with_card();
    let Some(_image) = clones(&place, "a") else { return };
    place.offload(&["--no-media"]).expect(0);
    flip(&place.path("a").join(CLIP), MIB + 5);
    let said = repair(&place, &[]).expect(0);
    assert_eq!(repaired(&said), [("CLIPS/A001C001.MOV".to_owned(), MIB)], "{}", said.stdout);
    assert_whole(&place);
    file(&place, &format!("a/{CLIP}")).set_len(2 * MIB + 5).unwrap();
    repair(&place, &[]).expect(0);
    assert_whole(&place);
}

struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A btrfs or XFS image at a folder of the place; `None`, loudly, where neither can be made.
fn clones(place: &Place, at: &str) -> Option<Mounted> {
    let (image, point) = (place.path("clones.img"), place.path(at));
    for (mkfs, mib) in [("mkfs.btrfs", 128), ("mkfs.xfs", 320)] {
        std::fs::File::create(&image).unwrap().set_len(mib * MIB).unwrap();
        let made = std::process::Command::new(mkfs).args(["-q", "-f"]).arg(&image).output();
        let mounted = || std::process::Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&point).output();
        if made.is_ok_and(|o| o.status.success()) && mounted().is_ok_and(|o| o.status.success()) {
            return Some(Mounted(point));
        }
    }
    eprintln!("SKIPPED: neither mkfs.btrfs nor mkfs.xfs gives a filesystem that can be mounted");
    None
}

/// Two copies of `mib` MiB with so many random bad blocks each, in different places.
fn both_heal(mib: u64, bad: u64) {
    let place = Place::new();
    let path = place.path("card/A001/CLIPS/A001C001.MOV");
    let file = std::fs::File::create(&path).unwrap();
    for block in 0..mib {
        let mut bytes = pattern(4096, block as u32 + 1);
        bytes.resize(MIB as usize, block as u8);
        file.write_all_at(&bytes, block * MIB).unwrap();
    }
    drop(file);
    place.offload(&["--no-media"]).expect(0);
    let mut x = 0x2545_f491u64;
    let mut hit = std::collections::BTreeSet::new();
    while (hit.len() as u64) < 2 * bad {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        let block = x % mib;
        if hit.insert(block) {
            let dest = if hit.len() as u64 <= bad { "a" } else { "b" };
            flip(&place.path(dest).join(CLIP), block * MIB + x / mib % MIB);
        }
    }
    let said = repair(&place, &[]).expect(0);
    assert_eq!(said.json()["repaired"].as_array().unwrap().len(), 2, "{}", said.stdout);
    let hash = |p: &Path| {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(std::fs::File::open(p).unwrap()).unwrap();
        hasher.finalize()
    };
    for dest in ["a", "b"] {
        assert_eq!(hash(&place.path(dest).join(CLIP)), hash(&path), "{dest}");
    }
    place.status().expect(0);
}

#[test]
fn ten_bad_blocks_here_and_ten_others_there_heal_both() {
    both_heal(64, 10);
}

#[test]
#[ignore = "2 GB copies"]
fn fifty_bad_blocks_of_2_gb_here_and_fifty_others_there_heal_both() {
    both_heal(2000, 50);
}

#[test]
fn damage_that_an_offload_met_is_found_by_each_patrol_and_a_repair_ends_its_hold() {
    let place = offloaded();
    let clip = place.path("a").join(CLIP);
    flip(&clip, MIB + 5);
    let card = place.offload(&["--no-media"]).expect(20).json();
    assert!(card["hold"].as_str().unwrap().contains("other bytes already have the name"), "{card}");
    for _ in 0..2 {
        let said = place.run(&["patrol", "--json"]).expect(11).json();
        assert_eq!(said["findings"][0]["blocks"], serde_json::json!([[MIB, MIB]]), "{said}");
    }
    repair(&place, &[]).expect(0);
    let card = place.status().expect(0).json();
    assert_eq!((&card["safe"], &card["hold"]), (&true.into(), &serde_json::Value::Null), "{card}");
    // Lost after such a meeting it is missing, and not a file that never was.
    flip(&clip, MIB + 5);
    place.offload(&["--no-media"]).expect(20);
    std::fs::remove_file(&clip).unwrap();
    place.run(&["patrol", "--due", "0s"]).expect(10);
    repair(&place, &[]).expect(0);
    assert_whole(&place);
}

const OF_CLIP: &str = "relpath = CAST('CLIPS/A001C001.MOV' AS BLOB)";

#[test]
fn a_lost_row_of_a_file_is_found_and_comes_back_from_a_copy() {
    let place = offloaded();
    let damaged = rusqlite::Connection::open(place.catalog()).unwrap();
    damaged.execute_batch(&format!("PRAGMA foreign_keys = OFF; DELETE FROM card_file WHERE {OF_CLIP}")).unwrap();
    drop(damaged);
    for check in [&["patrol", "--due", "0s", "--json"][..], &["verify", "A001", "--json"]] {
        let said = place.run(check).expect(11).json();
        let notes: Vec<&str> =
            said["findings"].as_array().unwrap().iter().map(|f| f["note"].as_str().unwrap()).collect();
        let note = "the catalog's row of this file is lost; the file fits the row of this copy";
        assert_eq!(notes, [note, note], "{said}");
    }
    place.run(&["check"]).expect(1);
    // One copy is damaged besides, and still told from the good one.
    flip(&place.path("a").join(CLIP), MIB + 5);
    repair(&place, &["--dry-run"]).expect(0);
    repair(&place, &[]).expect(0);
    place.run(&["check"]).expect(0);
    // How often the card was read, nobody knows any more.
    place.run(&["status", "A001"]).expect(20);
    place.offload(&["--no-media"]).expect(0);
    assert_whole(&place);
}

#[test]
fn a_lost_row_of_a_copy_is_found_and_comes_back_when_its_bytes_fit() {
    let place = offloaded();
    let first = "(SELECT id FROM copy_root ORDER BY seq LIMIT 1)";
    ask(&place, &format!("DELETE FROM copy WHERE {OF_CLIP} AND copy_root_id = {first} RETURNING 1"));
    let clip = place.path("a").join(CLIP);
    flip(&clip, MIB + 5);
    for check in [&["patrol", "--due", "0s", "--json"][..], &["verify", "A001", "--json"]] {
        let said = place.run(check).expect(11).json();
        let found = said["findings"].as_array().unwrap();
        assert_eq!((found.len(), &found[0]["note"]), (1, &"the catalog's row of this copy is lost".into()), "{said}");
    }
    place.run(&["check"]).expect(1);
    let why = repair(&place, &[]).expect(11).json()["unrepairable"][0]["note"].as_str().unwrap().to_owned();
    assert!(why.contains("offload that card"), "{why}");
    flip(&clip, MIB + 5);
    repair(&place, &["--dry-run"]).expect(0);
    repair(&place, &[]).expect(0);
    assert_whole(&place);
    place.run(&["check"]).expect(0);
    place.run(&["status", "A001"]).expect(0);
}
