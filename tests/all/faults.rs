//! What goes wrong on a set, one fault a test: nothing false is recorded, no card is called safe that is not, the other
//! destination is served, and the next run ends as if nothing had been.

use crate::place::{Place, Said, flip, pattern};
use crate::shim::{Faulty, Image, ask, card_of, completes, honest, log, parts, root, verified};
use std::path::Path;
use std::process::Stdio;

/// The words that make a card safe to format, in no output of a run that failed.
fn never_safe(said: &Said) {
    assert!(!said.stdout.contains("GOOD GATE") && !said.stderr.contains("GOOD GATE"), "{}{}", said.stdout, said.stderr);
    let json = said.json();
    match json["error"].is_string() {
        true => assert!([1, 20].contains(&said.code), "{}", said.stdout),
        false => assert_eq!((said.code, &json["safe"]), (20, &false.into())),
    }
}

/// One write, sync or read-back of a temp goes wrong: it is dropped, the card is read again, and all is proven.
fn recopied(rules: &[&str], told: &str) -> Place {
    let place = Place::new().with_card().without_groups();
    let said = Faulty::offload(&place, rules).said().expect(0);
    assert_eq!((verified(&said, 0), verified(&said, 1)), (3, 3));
    honest(&place, told);
    let log = log(&place);
    assert!(log.contains(told), "{log}");
    assert!(log.contains("copied again and proven"), "the log tells how it ended: {log}");
    assert!(parts(&place).is_empty());
    completes(&place, told);
    place
}

/// Whatever fails for good at one destination is told, costs the other nothing, and ends when the cause is gone.
fn one_destination_fails(rules: &[&str], told: &str) -> Place {
    fails_at_one(Place::new().with_card().without_groups(), rules, told)
}

fn fails_at_one(place: Place, rules: &[&str], told: &str) -> Place {
    let said = Faulty::offload(&place, rules).said();
    never_safe(&said);
    assert_eq!(verified(&said, 0), 3, "{}", said.stdout);
    assert_eq!(said.json()["copies"][0]["sealed"], true, "{}", said.stdout);
    assert!(said.stderr.contains(told) && said.stdout.contains(told), "{}{}", said.stdout, said.stderr);
    honest(&place, told);
    assert!(parts(&place).is_empty());
    completes(&place, told);
    place
}

#[test]
fn a_write_error_drops_the_temp_and_copies_it_again() {
    recopied(&["write|/b/A001/CLIPS/.|1|1|errno|5"], "writing failed: Input/output error");
}

#[test]
fn a_failed_sync_drops_the_temp_and_copies_it_again() {
    recopied(&["sync|/b/A001/CLIPS/.|1|1|errno|5"], "writing failed: Input/output error");
}

#[test]
fn a_failed_sync_behind_the_rename_takes_the_name_back() {
    // A second sync would say that all is well, and prove nothing.
    let rules = ["sync|/b/A001/CLIPS/A001C001.MOV|1|1|errno|5", "rename2|/b/A001/CLIPS/A001C001.MOV|1|0|seen"];
    let place = Place::new().with_card().without_groups();
    let fired = Faulty::offload(&place, &rules).fired_after();
    let renames = fired.lines().filter(|l| l.starts_with("rename2 seen")).count();
    assert_eq!(renames, 2, "it was copied and named anew: {fired}");
    assert!(log(&place).contains("copied again and proven"), "{}", log(&place));
    completes(&place, "sync behind the rename");
}

#[test]
fn a_read_back_error_is_no_mismatch_and_is_copied_again() {
    let place = recopied(&["read|/b/A001/CLIPS/.|1|1|errno|5"], "read-back failed: cannot read at byte 0");
    assert!(!place.path("b/.goodgate/salvage").exists());
}

#[test]
fn a_disk_that_cannot_be_read_back_proves_nothing() {
    one_destination_fails(&["read|/b/A001/CLIPS/.|1|0|errno|5"], "read-back failed: cannot read at byte 0");
}

/// The bytes on the disk are wrong and every call said that all was well: the card still gives the same, so the copy is
/// wrong; its damaged blocks are kept aside, and only they are copied again.
fn mended(rule: &str, offset: usize, len: usize) {
    let told = format!("read-back differs from the card at bytes {offset}+{len}; the card gives the same again");
    let place = recopied(&[rule], &told);
    let kept = std::fs::read(place.path("b/.goodgate/salvage/A001/CLIPS/A001C001.MOV.1.bad")).unwrap();
    let card = std::fs::read(place.card().join("CLIPS/A001C001.MOV")).unwrap();
    assert!(kept.len() == len && kept != card[offset..offset + len], "the bad bytes are kept as they were");
    assert!(log(&place).contains(".goodgate/salvage/A001/CLIPS/A001C001.MOV.1.bad"));
}

#[test]
fn a_bit_flipped_on_the_way_to_the_disk_is_found_and_its_block_is_copied_again() {
    // The write is of the whole file, up to a full page; its middle lies in the second block.
    mended("write|/b/A001/CLIPS/.|1|1|flip", 1_048_576, 1_048_576);
}

#[test]
fn a_write_that_lies_about_what_it_did_is_found_and_copied_again() {
    mended("write|/b/A001/CLIPS/.|1|1|lie", 0, 3_500_000);
}

#[test]
fn a_bad_reading_of_a_good_copy_is_not_blamed_on_the_disk() {
    let place = recopied(&["read|/b/A001/CLIPS/.|1|1|flip"], "the reading was wrong, not the copy");
    assert!(!place.path("b/.goodgate/salvage").exists(), "nothing was bad");
}

#[test]
fn a_disk_that_always_flips_is_never_proven_and_waits_for_a_person() {
    let place = one_destination_fails(&["write|/b/A001/CLIPS/.|1|0|flip"], "read-back differs from the card once more");
    assert!(place.path("b/.goodgate/salvage/A001/CLIPS/A001C001.MOV.1.bad").is_file());
    assert!(log(&place).contains("hold mismatch"), "{}", log(&place));
}

/// In a group no file has a sync of its own: the error is everybody's.
#[test]
fn a_failed_sync_of_a_group_poisons_all_of_it() {
    for nth in ["2", "3"] {
        // Behind that of the folders: before the read-back, and behind the renames, which are taken back.
        let place = Place::new().with_card();
        let rule = format!("syncfs|/b|{nth}|1|errno|5");
        Faulty::offload(&place, &[&rule]).said().expect(0);
        let log = log(&place);
        for file in ["CLIPS/A001C001.MOV", "CLIPS/A001C002.MOV", "NOTES.TXT"] {
            let told = format!("\"{file}\" on \"{}\": ", place.path("b").canonicalize().unwrap().display());
            assert!(log.contains(&format!("{told}writing failed")), "{rule}: {log}");
            assert!(log.contains(&format!("{told}copied again and proven")), "{rule}: {log}");
        }
        assert!(parts(&place).is_empty());
        completes(&place, &rule);
    }
}

#[test]
fn a_disk_whose_groups_cannot_be_synced_proves_nothing() {
    for (rule, told) in [
        ("syncfs|/b|1|0|errno|5", "Input/output error"),
        ("syncfs|/b|2|0|errno|5", "Input/output error"),
        ("syncfs|/b|3|0|errno|5", "Input/output error"),
        ("syncfs|/b|1|0|errno|28", "No space left on device"),
    ] {
        fails_at_one(Place::new().with_card(), &[rule], told);
    }
}

#[test]
fn a_file_of_a_group_that_reads_back_wrong_costs_only_itself() {
    let place = Place::new().with_card();
    Faulty::offload(&place, &["write|/b/A001/CLIPS/.|1|1|flip"]).said().expect(0);
    let log = log(&place);
    assert_eq!(log.matches("read-back differs").count(), 1, "{log}");
    assert_eq!(log.matches("copied again and proven").count(), 1, "{log}");
    completes(&place, "one of a group");
}

#[test]
fn short_writes_are_carried_on() {
    let place = Place::new().with_card();
    Faulty::offload(&place, &["write|/b/A001/|1|0|half"]).said().expect(0);
    completes(&place, "short writes");
}

#[test]
fn a_refused_reservation_of_space_fails_that_destination_only() {
    let place = one_destination_fails(&["allocate|/b/|2|0|errno|28"], "No space left on device");
    assert!(log(&place).contains("hold disk-full"));
}

#[test]
fn a_full_disk_at_the_last_sync_fails_that_destination_only() {
    // A thin disk takes the writes and has no room for them.
    one_destination_fails(&["sync|/b/A001/CLIPS/.|1|0|errno|28"], "No space left on device");
}

#[test]
fn a_folder_that_cannot_be_made_fails_that_destination_only() {
    one_destination_fails(&["mkdir|/b/A001|1|0|errno|5"], "Input/output error");
}

#[test]
fn a_marker_that_cannot_be_written_fails_that_destination_only() {
    one_destination_fails(&["sync|/b/.goodgate/|1|0|errno|5"], "Input/output error");
}

#[test]
fn a_manifest_that_cannot_be_written_leaves_the_copy_unsealed_until_the_next_run() {
    one_destination_fails(&["write|/b/A001/ascmhl|1|0|errno|28"], "No space left on device");
    one_destination_fails(&["rename|/b/A001/ascmhl/ascmhl_chain|1|0|errno|5"], "Input/output error");
}

#[test]
fn a_filesystem_without_noreplace_is_served_by_the_plain_rename() {
    let place = Place::new().with_card();
    Faulty::offload(&place, &["rename2|/b/|1|0|errno|22"]).said().expect(0);
    completes(&place, "no RENAME_NOREPLACE");
}

/// One of three readings of the card is odd: the other two count, the copies hold their bytes, and a person must accept it.
#[test]
fn of_three_readings_of_the_card_two_must_agree_and_a_person_must_accept_it() {
    for (nth, wrong_first) in [("1", true), ("2", false)] {
        for groups in [true, false] {
            let place = Place::new().with_card();
            let place = if groups { place } else { place.without_groups() };
            let rule = format!("read|/card/A001/CLIPS/A001C002.MOV|{nth}|1|flip");
            let said = Faulty::offload(&place, &[&rule]).said();
            never_safe(&said);
            let warning = &said.json()["warnings"][0];
            assert_eq!(warning["id"], "unstable:CLIPS/A001C002.MOV", "{}", said.stdout);
            if wrong_first {
                let again = place.offload(&[]);
                never_safe(&again);
                let kept = place.path("a/.goodgate/salvage/A001/CLIPS/A001C002.MOV.1.bad");
                let log = log(&place);
                assert!(kept.is_file() || !log.contains("is kept in"), "{log}");
            }
            honest(&place, &rule);
            never_safe(&place.run(&["status", "A001", "--json"]));
            let accept = ["accept", "A001", "unstable:CLIPS/A001C002.MOV", "--note", "another reader"];
            place.run(&accept).expect(0);
            completes(&place, &rule);
        }
    }
}

#[test]
fn a_card_that_reads_differently_each_time_is_never_safe() {
    let place = Place::new().with_card();
    // Each reading has another bit wrong, or more.
    let rules: Vec<String> = (1..=3).map(|n| format!("read|/card/A001/CLIPS/A001C002.MOV|{n}|1|flip|{n}")).collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let said = Faulty::offload(&place, &rules).said();
    never_safe(&said);
    let finding = &said.json()["findings"][0];
    assert_eq!((&finding["kind"], &finding["relpath"]), (&"unstable".into(), &"CLIPS/A001C002.MOV".into()));
    never_safe(&place.run(&["status", "A001", "--json"]));
    // In a reader that works, two readings agree again; that it was so bad stays a warning.
    let said = place.offload(&[]);
    never_safe(&said);
    assert_eq!(said.json()["warnings"][0]["id"], "unstable:CLIPS/A001C002.MOV", "{}", said.stdout);
    let accept = ["accept", "A001", "unstable:CLIPS/A001C002.MOV", "--note", "another reader"];
    place.run(&accept).expect(0);
    completes(&place, "each time");
}

#[test]
fn a_file_that_the_card_does_not_give_costs_only_itself() {
    let place = Place::new().with_card();
    let said = Faulty::offload(&place, &["read|/card/A001/CLIPS/A001C002.MOV|1|0|errno|5"]).said();
    never_safe(&said);
    assert_eq!((verified(&said, 0), verified(&said, 1)), (2, 2));
    let findings = &said.json()["findings"];
    assert_eq!(findings.as_array().map(Vec::len), Some(1), "{findings}");
    let one = (&findings[0]["kind"], &findings[0]["relpath"]);
    assert_eq!(one, (&"unreadable".into(), &"CLIPS/A001C002.MOV".into()));
    honest(&place, "unreadable file");
    completes(&place, "unreadable file");
}

#[test]
fn a_card_that_hesitates_once_is_read_again() {
    let place = Place::new().with_card();
    Faulty::offload(&place, &["read|/card/A001/CLIPS/A001C002.MOV|1|1|errno|5"]).said().expect(0);
    completes(&place, "one read error");
}

#[test]
fn a_folder_of_the_card_that_cannot_be_listed_never_becomes_an_empty_one() {
    // While it is planned, under the locks, and when it is listed again behind the last read.
    for nth in ["1", "2", "3"] {
        let place = Place::new().with_card();
        let rule = format!("list|/card/A001/CLIPS|{nth}|1|errno|5");
        let said = Faulty::offload(&place, &[&rule]).said().expect(1);
        assert!(said.json()["error"].as_str().unwrap().contains("cannot list"), "{}", said.stdout);
        honest(&place, &rule);
        let status = place.run(&["status", "A001", "--json"]);
        assert_ne!(status.code, 0, "{}", status.stdout);
        completes(&place, &rule);
    }
}

#[test]
fn a_second_read_that_fails_leaves_the_card_unsafe_until_it_was_made() {
    let place = Place::new().with_card();
    let said = Faulty::offload(&place, &["read|/card/A001/CLIPS/A001C002.MOV|2|0|errno|5"]).said();
    never_safe(&said);
    assert_eq!(said.json()["findings"][0]["kind"], "unreadable");
    completes(&place, "second read");
    // One that hesitates once is asked again at once.
    let place = Place::new().with_card();
    Faulty::offload(&place, &["read|/card/A001/CLIPS/A001C002.MOV|2|1|errno|5"]).said().expect(0);
    completes(&place, "second read, once");
}

#[test]
fn a_card_that_grows_while_it_is_read_is_never_safe() {
    let place = Place::new().with_card();
    let paused = Faulty::offload(&place, &["write|/a/A001/CLIPS/.|1|1|pause"]).paused();
    let clip = place.card().join("CLIPS/A001C001.MOV");
    let mut bytes = std::fs::read(&clip).unwrap();
    bytes.extend_from_slice(b"and on it records");
    std::fs::write(&clip, bytes).unwrap();
    let said = paused.go();
    never_safe(&said);
    let findings = said.json()["findings"].to_string();
    assert!(findings.contains("unstable") && findings.contains("A001C001.MOV"), "{findings}");
    never_safe(&place.run(&["status", "A001", "--json"]));
    never_safe(&place.offload(&[]));
}

#[test]
fn other_bytes_under_a_final_name_are_a_conflict_and_stay() {
    let place = Place::new().with_card();
    // The first run leaves the card's own folder without that clip.
    Faulty::offload(&place, &["read|/card/A001/CLIPS/A001C002.MOV|1|0|errno|5"]).said().expect(20);
    let name = place.path("b/A001/CLIPS/A001C002.MOV");
    let zeros = std::fs::File::create(&name).unwrap();
    rustix::fs::fallocate(&zeros, rustix::fs::FallocateFlags::empty(), 0, 1_048_576).unwrap();
    let said = place.offload(&[]);
    never_safe(&said);
    assert_eq!((verified(&said, 0), verified(&said, 1)), (3, 2));
    assert!(std::fs::read(&name).unwrap() == vec![0; 1_048_576], "never overwritten");
    let states = ask(&place, "SELECT state FROM copies WHERE destination LIKE '%b' AND relpath LIKE '%C002.MOV'");
    assert_eq!(states, [["conflict"]]);
    assert!(parts(&place).is_empty());
    std::fs::rename(&name, place.path("b/elsewhere")).unwrap();
    completes(&place, "conflict moved away");
}

#[test]
fn a_name_taken_while_its_temp_was_written_is_a_conflict_and_stays() {
    let place = Place::new().with_card();
    let paused = Faulty::offload(&place, &["write|/b/A001/CLIPS/.|1|1|pause"]).paused();
    let name = place.file("b/A001/CLIPS/A001C001.MOV", 3_500_000, 9);
    let said = paused.go();
    never_safe(&said);
    assert_eq!((verified(&said, 0), verified(&said, 1)), (3, 2));
    assert!(std::fs::read(&name).unwrap() == pattern(3_500_000, 9));
    std::fs::remove_file(&name).unwrap();
    completes(&place, "taken name");
}

#[test]
fn the_same_card_twice_at_once_is_busy_the_second_time() {
    let place = Place::new().with_card();
    let paused = Faulty::offload(&place, &["write|/a/A001/CLIPS/.|1|1|pause"]).paused();
    never_safe(&place.run(&["status", "A001", "--json"]));
    let second = place.offload(&[]).expect(1);
    assert!(second.json()["error"].as_str().unwrap().contains("another goodgate"), "{}", second.stdout);
    paused.go().expect(0);
    completes(&place, "twice at once");
}

#[test]
fn two_cards_of_one_roll_name_take_turns_and_never_meet() {
    let place = Place::new().with_card();
    place.file("other/A001/CLIPS/A001C001.MOV", 2_000_000, 7);
    place.file("other/A001/NOTES.TXT", 99, 8);
    let paused = Faulty::offload(&place, &["write|/a/A001/CLIPS/.|1|1|pause"]).paused();
    let args = ["offload", "other/A001", "--to", "a", "--to", "b", "--json", "--progress", "plain"];
    let mut second = place.goodgate(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It has seen the card and its folders when it says that it waits.
    let mut said = String::new();
    let mut lines = std::io::BufReader::new(second.stderr.take().unwrap());
    while !said.contains("waiting") {
        assert_ne!(std::io::BufRead::read_line(&mut lines, &mut said).unwrap(), 0, "{said}");
    }
    paused.go().expect(0);
    std::io::Read::read_to_string(&mut lines, &mut said).unwrap();
    let out = second.wait_with_output().unwrap();
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stdout));
    completes(&place, "two cards");
    for dest in ["a", "b"] {
        for (path, bytes) in card_of(&place, "other/A001") {
            assert!(std::fs::read(place.path(dest).join("A001_2").join(path)).unwrap() == bytes);
        }
    }
}

#[test]
fn a_catalog_that_cannot_be_written_proves_nothing_and_says_so() {
    // Full in the middle of the copy, then an error of its disk at a commit.
    for (rule, told) in
        [("write|catalog.db-wal|45|0|errno|28", "full"), ("sync|catalog.db-wal|14|0|errno|5", "disk I/O error")]
    {
        let place = Place::new().with_card();
        let said = Faulty::offload(&place, &[rule]).said().expect(1);
        never_safe(&said);
        assert!(said.json()["error"].as_str().unwrap().contains(told), "{}", said.stdout);
        honest(&place, rule);
        completes(&place, rule);
    }
}

#[test]
fn a_catalog_locked_by_another_process_proves_nothing_and_says_so() {
    let place = Place::new().with_card();
    let paused = Faulty::offload(&place, &["write|/a/A001/CLIPS/.|1|1|pause"]).paused();
    let other = rusqlite::Connection::open(place.catalog()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let said = paused.go().expect(1);
    never_safe(&said);
    assert!(said.json()["error"].as_str().unwrap().contains("locked"), "{}", said.stdout);
    other.execute_batch("ROLLBACK").unwrap();
    honest(&place, "locked catalog");
    completes(&place, "locked catalog");
}

#[test]
fn a_clock_that_jumps_is_a_warning_to_accept() {
    let place = Place::new().with_card();
    let rules = ["write|/a/A001/CLIPS/.|1|1|arm", "clock|clock|1|0|jump|86400"];
    let said = Faulty::offload(&place, &rules).said();
    never_safe(&said);
    assert_eq!(said.json()["warnings"][0]["id"], "clock", "{}", said.stdout);
    place.run(&["accept", "A001", "clock", "--note", "the battery was changed"]).expect(0);
    completes(&place, "clock");
}

#[test]
fn a_destination_that_fills_up_in_mid_copy_fails_alone() {
    if !root("a full disk") {
        return;
    }
    let place = Place::new().with_card();
    let image = Image::ext4(&place, "b", 24);
    let paused = Faulty::offload(&place, &["allocate|/b/A001|2|1|pause"]).paused();
    let filler = std::fs::File::create(image.point.join("filler")).unwrap();
    let mut filled = 0u64;
    for step in [1 << 20, 64 << 10, 4 << 10] {
        while rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), filled, step).is_ok() {
            filled += step;
        }
    }
    drop(filler);
    let said = paused.go();
    never_safe(&said);
    assert_eq!(verified(&said, 0), 3);
    assert!(said.json()["hold"].as_str().unwrap().contains("full"), "{}", said.stdout);
    assert!(parts(&place).is_empty());
    honest(&place, "full disk");
    // Still full: refused before the first byte, with the numbers.
    let said = place.offload(&[]).expect(1);
    assert!(said.stdout.contains("too little space"), "{}", said.stdout);
    std::fs::remove_file(image.point.join("filler")).unwrap();
    completes(&place, "room was made");
}

#[test]
fn a_disk_that_turns_read_only_fails_alone() {
    if !root("a disk that turns read-only") {
        return;
    }
    let place = Place::new().with_card();
    let image = Image::ext4(&place, "b", 24);
    let paused = Faulty::offload(&place, &["allocate|/b/A001|2|1|pause"]).paused();
    std::fs::write(format!("/sys/fs/ext4/{}/trigger_fs_error", image.device()), "test").unwrap();
    let said = paused.go();
    never_safe(&said);
    assert_eq!(verified(&said, 0), 3);
    assert!(said.stderr.contains("Read-only file system"), "{}", said.stderr);
    honest(&place, "read-only");
    // Some kernels tell it in mountinfo, others only at the first write.
    never_safe(&place.offload(&[]));
    image.unmount();
    image.repair();
    image.mount();
    completes(&place, "repaired");
}

#[test]
fn a_disk_unmounted_in_mid_copy_never_becomes_a_folder_on_the_system_disk() {
    if !root("an unmounted disk") {
        return;
    }
    let place = Place::new().with_card();
    let image = Image::ext4(&place, "b", 24);
    let paused = Faulty::offload(&place, &["allocate|A001|3|1|pause"]).paused();
    image.unmount();
    let bare = |when: &str| assert_eq!(std::fs::read_dir(place.path("b")).unwrap().count(), 0, "{when}");
    let said = paused.go();
    never_safe(&said);
    assert_eq!(verified(&said, 0), 3, "{}", said.stdout);
    bare("the same run");
    let again = place.offload(&[]);
    never_safe(&again);
    bare("the next run");
    assert!(again.stdout.contains("mount"), "{}", again.stdout);
    image.mount();
    completes(&place, "mounted again");
}

#[test]
fn a_card_pulled_in_mid_copy_is_continued_when_it_is_back() {
    if !root("a card that is pulled") {
        return;
    }
    let place = Place::new();
    let card = Image::ext4(&place, "card", 24);
    let place = place.with_card();
    let paused = Faulty::offload(&place, &["write|/a/A001/CLIPS/.|2|1|pause"]).paused();
    card.unmount();
    let said = paused.go();
    never_safe(&said);
    never_safe(&place.run(&["status", "A001", "--json"]));
    let gone = place.offload(&[]).expect(1);
    assert!(gone.json()["error"].as_str().unwrap().contains("card"), "{}", gone.stdout);
    card.mount();
    completes(&place, "card is back");
}

#[test]
fn a_bit_that_rots_below_a_warm_page_cache_is_found_with_its_block() {
    if !root("a rotten block") {
        return;
    }
    let place = Place::new().with_card();
    let image = Image::ext4(&place, "b", 24);
    place.offload(&[]).expect(0);
    let copy = place.path("b/A001/CLIPS/A001C001.MOV");
    let before = std::fs::read(&copy).unwrap();
    // Where its third MiB lies in the image: found by its bytes, which no filesystem moves about.
    let disk = std::fs::read(&image.file).unwrap();
    let needle = &before[2 << 20..(2 << 20) + 1024];
    let at = disk.chunks(1024).position(|c| c == needle).expect("the block in the image") as u64 * 1024;
    flip(&image.file, at + 77);
    assert!(std::fs::read(&copy).unwrap() == before, "the page cache still has the good bytes");
    let said = place.run(&["verify", "A001", "--json"]).expect(11);
    let findings = &said.json()["findings"];
    assert_eq!(findings.as_array().map(Vec::len), Some(1), "{findings}");
    assert_eq!(findings[0]["relpath"], "CLIPS/A001C001.MOV");
    assert_eq!(findings[0]["blocks"], serde_json::json!([[2_097_152, 1_048_576]]));
    assert_eq!(findings[0]["mtime_changed"], false);
    assert_eq!(place.run(&["status", "A001", "--json"]).code, 20);
}

#[test]
fn memory_stays_flat_whatever_the_size_of_a_clip() {
    let slow = std::env::var_os("GOODGATE_SLOW").is_some();
    let len: u64 = if slow { 3 << 30 } else { 400 << 20 };
    let place = Place::new().with_card();
    std::fs::File::create(place.card().join("CLIPS/A001C003.MOV")).unwrap().set_len(len).unwrap();
    // Its last rename at each end: everything was read, written and read back by then.
    let args = ["offload", "card/A001", "--to", "a", "--to", "b", "--json", "--no-media"];
    let paused = Faulty::run(&place, &args, &["rename|/b/.goodgate/evidence|1|1|pause"]).paused();
    let status = std::fs::read_to_string(format!("/proc/{}/status", paused.id())).unwrap();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    paused.go();
    assert!(peak_kib < 256 << 10, "{peak_kib} KiB for a clip of {len} bytes");
    let big = Path::new("A001/CLIPS/A001C003.MOV");
    assert_eq!(std::fs::metadata(place.path("b").join(big)).unwrap().len(), len);
}
