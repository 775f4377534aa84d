//! Devices as they are on a set: one that is slow, one with a head that must move, a cable that is pulled in the middle of
//! an hour-long clip, a card with a dead sector.

use crate::place::{Place, Said, flip, pattern};
use crate::shim::{Faulty, completes, honest, log, parts, verified};
use serde_json::Value;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The program reads and writes in parts of so many bytes.
const PART: u64 = 4 << 20;

/// A large file whose parts all differ, made quickly: mostly holes.
fn clip(place: &Place, relative: &str, len: u64) -> PathBuf {
    let path = place.path(relative);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(len).unwrap();
    for (n, at) in (0..len).step_by(PART as usize).enumerate() {
        let stamp = pattern(4096.min((len - at) as usize), n as u32 + 1);
        file.write_all_at(&stamp, at).unwrap();
    }
    path
}

/// Equal without holding either in memory.
fn same(a: &Path, b: &Path) -> bool {
    let hash = |p: &Path| {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(std::fs::File::open(p).unwrap()).unwrap();
        hasher.finalize()
    };
    hash(a) == hash(b)
}

/// The JSON events of a run, in order.
fn events(said: &Said) -> Vec<Value> {
    said.stderr.lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
}

fn hits(fired: &str, start: &str, part: &str) -> usize {
    fired.lines().filter(|l| l.starts_with(start) && l.contains(part)).count()
}

/// Four clips of 30 MB: more than all buffers hold.
fn four_clips(detach_after: &str) -> Place {
    let place = Place::new();
    let text = format!(
        "[policy]\ndistinct_devices = false\n[offload]\nsmall_below = \"1MB\"\ndetach_after = \"{detach_after}\"\n"
    );
    place.config(&text);
    for n in 1..=4 {
        clip(&place, &format!("card/A001/CLIPS/A001C00{n}.MOV"), 30_000_000);
    }
    place
}

const ARGS: [&str; 10] =
    ["offload", "card/A001", "--to", "a", "--to", "b", "--json", "--no-media", "--progress", "json"];

#[test]
fn a_slow_destination_is_left_behind_and_filled_from_a_proven_copy() {
    let place = four_clips("1s");
    // It is slow also while it is filled: nobody waits for it then.
    let rules = ["write|/b/A001/CLIPS/.|1|6|slow|1500", "read|/card/A001/CLIPS/|1|0|seen"];
    let (said, fired) = Faulty::run(&place, &ARGS, &rules).ran();
    let said = said.expect(0);
    let events = events(&said);
    let copies: Vec<_> = events.iter().filter(|e| e["event"] == "copy").collect();
    let ends = |e: &Value, dest: &str| e.as_str().unwrap().ends_with(dest);
    assert_eq!(copies.len(), 2, "{copies:?}");
    assert!(ends(&copies[0]["destination"], "/a") && copies[0]["proven_copies"] == 1, "{copies:?}");
    assert!(ends(&copies[1]["destination"], "/b") && copies[1]["proven_copies"] == 2, "{copies:?}");
    let at = |what: &str| {
        let told = |e: &Value| e["event"] == "note" && e["text"].as_str().unwrap().contains(what);
        events.iter().position(told).unwrap_or_else(|| panic!("\"{what}\" was not told: {}", said.stderr))
    };
    let first = events.iter().position(|e| e["event"] == "copy").unwrap();
    assert!(at("it is left behind") < first && first < at("filling what was left behind"), "{}", said.stderr);
    assert_eq!((verified(&said, 0), verified(&said, 1)), (4, 4));
    assert_eq!(said.json()["safe"], true);
    // Eight parts each: read for the copy, and once more for the proof; what fills the other comes from its copy.
    for n in 1..=4 {
        let reads = hits(&fired, "read seen", &format!("C00{n}.MOV"));
        assert_eq!(reads, 16, "A001C00{n}.MOV: {fired}");
    }
    completes(&place, "left behind");
}

/// Eight parts a reading: the first of each reading of one clip comes with another bit wrong.
/// The devices that were called silent in a run with this rule, in which one call lasts long.
fn stalled(rule: &str) -> Vec<String> {
    let place = Place::new().with_card();
    place.config("[policy]\ndistinct_devices = false\n[offload]\nstalled_after = \"1500ms\"\n");
    let said = Faulty::run(&place, &ARGS, &[rule]).said().expect(0);
    let told = |e: Value| Some(e["text"].as_str()?.strip_prefix("STALLED: \"")?.split('"').next()?.to_owned());
    let mut named: Vec<String> = events(&said).into_iter().filter_map(told).collect();
    named.dedup();
    named.iter().map(|path| Path::new(path).file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_device_that_does_not_answer_is_named_and_no_other() {
    // A sync of a busy machine's disk may be slow as well; its reads are not.
    let named = stalled("write|/b/A001/CLIPS/.|1|1|slow|3500");
    assert!(named.contains(&"b".into()) && !named.contains(&"A001".into()), "{named:?}");
    let named = stalled("read|/card/A001/CLIPS/|1|1|slow|3500");
    assert!(named.contains(&"A001".into()), "{named:?}");
}

#[test]
fn a_copy_that_fills_another_is_no_witness_for_a_card_that_reads_differently_each_time() {
    let place = four_clips("1s");
    let mut rules = vec!["write|/b/A001/CLIPS/.|1|6|slow|1500".to_owned()];
    rules.extend((0..6).map(|n| format!("read|/card/A001/CLIPS/A001C002.MOV|{}|1|flip|{}", 1 + 8 * n, n + 1)));
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let (said, fired) = Faulty::run(&place, &ARGS, &rules).ran();
    assert!(hits(&fired, "write slow", "") > 0 && hits(&fired, "read flip", "A001C002.MOV") >= 2, "{fired}");
    assert_eq!((said.code, &said.json()["safe"]), (20, &false.into()), "{}", said.stdout);
    let status = place.run(&["status", "A001", "--json"]);
    assert_eq!((status.code, &status.json()["safe"]), (20, &false.into()), "{}", status.stdout);
    // In a reader that works two readings agree, and a person has to accept that others did not.
    let again = place.offload(&["--no-media"]);
    assert_eq!(again.json()["safe"], false, "{}", again.stdout);
    let id = again.json()["warnings"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(id, "unstable:CLIPS/A001C002.MOV");
    place.run(&["accept", "A001", &id, "--note", "another reader"]).expect(0);
    completes(&place, "a fill");
}

#[test]
fn destinations_that_are_equally_slow_leave_nobody_behind() {
    let place = four_clips("1s");
    let rules = ["write|/a/A001/CLIPS/.|1|0|slow|80", "write|/b/A001/CLIPS/.|1|0|slow|80"];
    let (said, _) = Faulty::run(&place, &ARGS, &rules).ran();
    let said = said.expect(0);
    assert!(!said.stderr.contains("left behind"), "{}", said.stderr);
    assert_eq!((verified(&said, 0), verified(&said, 1)), (4, 4));
    completes(&place, "equally slow");
}

/// More files than may be unproven at once where no head moves, none in a group. Gives the order of writes (`w`) and
/// read-backs (`r`) of temps.
fn order(kind: &str) -> String {
    let place = Place::new();
    let device = format!("[[device]]\nmatch = \"*\"\nkind = \"{kind}\"\n");
    place.config(&format!("[policy]\ndistinct_devices = false\n[offload]\nsmall_below = \"0\"\n{device}"));
    for n in 0..40 {
        place.file(&format!("card/A001/CLIPS/A001C{n:03}.MOV"), 5000, n);
    }
    let rules = ["write|A001/CLIPS/.|1|0|seen", "read|A001/CLIPS/.|1|0|seen"];
    let fired = Faulty::offload(&place, &rules).fired_after();
    completes(&place, kind);
    let order: String = fired.lines().map(|l| &l[..1]).collect();
    assert_eq!((order.matches('w').count(), order.matches('r').count()), (80, 80), "{fired}");
    order
}

#[test]
fn a_disk_with_a_head_is_read_back_when_all_is_written() {
    let order = order("spinning");
    assert!(!order.contains("rw"), "{order}");
}

#[test]
fn flash_is_read_back_while_the_next_file_is_written() {
    let order = order("flash");
    assert!(order.contains("rw"), "{order}");
}

#[test]
fn a_large_unfinished_copy_is_continued_as_far_as_its_bytes_are_right() {
    if std::env::var_os("GOODGATE_SLOW").is_none() {
        eprintln!("SKIPPED: GOODGATE_SLOW=1 copies more than a GiB");
        return;
    }
    let len = goodgate::offload::RESUMED_FROM_BYTES + PART + 77;
    let total = len.div_ceil(PART) as usize;
    let place = Place::new();
    let card = clip(&place, "card/A001/CLIPS/A001C001.MOV", len);
    let (a, b) = ("/a/A001/CLIPS/.", "/b/A001/CLIPS/.");
    let seen = [format!("write|{a}|1|0|seen"), format!("write|{b}|150|1|kill")];
    let args = ["offload", "card/A001", "--to", "a", "--to", "b", "--json", "--no-media"];
    let (said, fired) = Faulty::run(&place, &args, &[&seen[0], &seen[1]]).ran();
    assert_eq!(said.code, 128 + 9);
    let a_before = hits(&fired, "write", a);
    let kept = |dest: &str| {
        let mine = parts(&place).into_iter().filter(|p| p.starts_with(dest)).collect::<Vec<_>>();
        assert_eq!(mine.len(), 1, "{mine:?}");
        place.path("").join(&mine[0])
    };
    kept("a");
    // Its bytes are not trusted: this one is wrong from here on.
    let wrong_part = 75;
    flip(&kept("b"), wrong_part as u64 * PART + 100);
    honest(&place, "half of a large file");

    let rules = [format!("write|{a}|1|0|seen"), format!("write|{b}|1|0|seen")];
    let fired = Faulty::run(&place, &args, &[&rules[0], &rules[1]]).fired_after();
    let (a_writes, b_writes) = (hits(&fired, "write", a), hits(&fired, "write", b));
    // The last write before the kill may have been under way.
    assert!(a_writes == total - a_before || a_writes == total - a_before + 1, "{a_writes} of {total} after {a_before}");
    assert_eq!(b_writes, total - wrong_part, "of {total}");
    assert_eq!(log(&place).matches("an unfinished copy is compared and continued").count(), 2, "{}", log(&place));
    for dest in ["a", "b"] {
        assert!(same(&card, &place.path(dest).join("A001/CLIPS/A001C001.MOV")), "{dest}");
    }
    assert_eq!(parts(&place), Vec::<PathBuf>::new());
    assert_eq!(place.status().expect(0).json()["safe"], true);
}

#[test]
fn what_a_card_gives_of_a_bad_file_is_kept_aside_and_is_no_copy() {
    let place = Place::new().with_card();
    let bad = "CLIPS/A001C001.MOV";
    // Dead sectors: two in the third block of 1 MiB, and the last of the file.
    let dead = [2_500_000, 2_600_000, 3_499_999];
    let rules = dead.map(|at| format!("read|/card/A001/{bad}|1|0|bad|{at}"));
    let said = Faulty::offload(&place, &rules.each_ref().map(String::as_str)).said().expect(20);
    let json = said.json();
    let findings = json["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!((&findings[0]["kind"], &findings[0]["relpath"]), (&"unreadable".into(), &bad.into()));
    assert_eq!(findings[0]["blocks"], serde_json::json!([[2_097_152, 1_402_848]]));
    // Pieces of 64 KiB: only the ones around the sectors are holes.
    let mut left = std::fs::read(place.card().join(bad)).unwrap();
    for at in dead {
        let piece = at / 65_536 * 65_536;
        left[piece..(piece + 65_536).min(3_500_000)].fill(0);
    }
    for (n, dest) in ["a", "b"].into_iter().enumerate() {
        assert_eq!(verified(&said, n), 2, "{json}");
        assert_eq!(json["copies"][n]["sealed"], false, "a generation is of a finished offload: {json}");
        assert!(!place.path(dest).join("A001").join(bad).exists());
        let partial = place.path(dest).join(format!(".goodgate/salvage/A001/{bad}.partial"));
        assert!(std::fs::read(&partial).unwrap() == left, "{}", partial.display());
    }
    assert!(log(&place).contains("3342336 of 3500000 bytes could be read"), "{}", log(&place));
    honest(&place, "bad sector");
    assert_eq!(place.status().code, 20);
    // In another reader it is whole.
    completes(&place, "another reader");
    assert_eq!(place.status().expect(0).json()["safe"], true);
}
