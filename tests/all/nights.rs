//! Large files over several nights: a pass ends in the middle of one, and the next goes on there.

use crate::place::{Place, flip, pattern};
use crate::shim::{Faulty, ask};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
const CLIP: &str = "A001/CLIPS/A001C001.MOV";

/// Two copies of one clip of so many MiB.
fn offloaded(mib: u64) -> Place {
    let place = Place::new();
    place.config("[policy]\ndistinct_devices = false\n[verify]\nflash_lanes = 1\n");
    let path = place.file("card/A001/CLIPS/A001C001.MOV", 0, 0);
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let stamp = pattern(4096, 1);
    (0..mib).for_each(|n| file.write_all_at(&stamp, n * MIB + n).unwrap());
    file.set_len(mib * MIB).unwrap();
    drop(file);
    place.offload(&["--no-media"]).expect(0);
    place
}

fn patrol(place: &Place, more: &[&str]) -> serde_json::Value {
    place.run(&[&["patrol", "--due", "0s", "--json"], more].concat()).json()
}

/// Bytes of each copy that an unfinished proof has seen.
fn reached(place: &Place) -> Vec<u64> {
    ask(place, "SELECT reached_bytes FROM part_proof").iter().map(|r| r[0].parse().unwrap()).collect()
}

#[test]
fn a_budget_ends_in_the_middle_of_a_file_and_the_next_pass_goes_on_there() {
    let place = offloaded(30);
    // In the part that the first pass reads: the last one tells of it.
    flip(&place.path("a").join(CLIP), 3 * MIB + 5);
    flip(&place.path("b").join(CLIP), 3 * MIB + 5);
    let first = patrol(&place, &["--for", "1ms"]);
    assert_eq!((&first["files"], &first["complete"]), (&0.into(), &false.into()), "{first}");
    let [at] = reached(&place)[..] else { panic!("{:?}", reached(&place)) };
    assert_eq!(at, 4 * MIB, "no more than is read in one piece");
    let mut passes = 1;
    let told = loop {
        passes += 1;
        assert!(passes < 20, "no pass ends the file");
        let said = patrol(&place, &["--for", "1ms"]);
        if said["files"] != 0 {
            break said;
        }
    };
    assert_eq!(passes, 8, "30 MiB in shares of 4");
    assert_eq!(told["findings"][0]["blocks"], serde_json::json!([[3 * MIB, MIB]]), "{told}");
    // The other copy is next.
    let other = patrol(&place, &["--for", "1ms"]);
    assert_eq!(other["files"], 0, "{other}");
    assert_eq!(reached(&place).len(), 1);
    let said = place.run(&["repair", "A001", "--json"]);
    assert_eq!(said.code, 11, "both lost the same block: {}", said.stdout);
    assert!(reached(&place).is_empty(), "judged as a whole");
}

#[test]
fn a_low_rate_does_not_outlive_the_budget() {
    let place = offloaded(30);
    for rate in ["1MB/s", "1B/s"] {
        let begun = Instant::now();
        let said = patrol(&place, &["--for", "1s", "--rate", rate]);
        assert_eq!((&said["files"], &said["complete"]), (&0.into(), &false.into()), "{said}");
        assert!(begun.elapsed() < Duration::from_secs(15), "{rate}: {:?}", begun.elapsed());
    }
}

#[test]
fn verify_reads_what_a_budget_ended_in_from_its_beginning() {
    let place = offloaded(30);
    assert_eq!(patrol(&place, &["--for", "1ms"])["files"], 0);
    let [at] = reached(&place)[..] else { panic!("{:?}", reached(&place)) };
    assert!(at > 0);
    // In what the pass has read.
    flip(&place.path("a").join(CLIP), 5);
    flip(&place.path("b").join(CLIP), 5);
    let said = place.run(&["verify", "A001", "--json"]).expect(11).json();
    assert_eq!((&said["files"], said["findings"].as_array().map(Vec::len)), (&2.into(), Some(2)), "{said}");
}

/// Kills a patrol again and again, each time before it could read a file whole.
fn killed(mib: u64, most: u32) -> u32 {
    let place = offloaded(mib);
    let began = ask(&place, "SELECT max(proven_at) FROM copy")[0][0].clone();
    let proven = || ask(&place, &format!("SELECT relpath FROM copy WHERE proven_at > '{began}'")).len();
    let mut x = 0x2545_f491u64;
    let (mut kills, mut parts) = (0, 0);
    while proven() < 2 {
        assert!(kills < most, "after {kills} kills {} of 2 are proven, {:?} of one", proven(), reached(&place));
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        // Parts of 4 MiB. No run gets as far as a whole file.
        let enough = 17 + x % 16;
        let args = ["patrol", "--due", "0s", "--rate", "150MB/s"];
        let (mut child, fired) = Faulty::run(&place, &args, &["read|/A001/CLIPS/A001C001.MOV|1|0|seen"]).started();
        let read = || std::fs::read_to_string(&fired).map_or(0, |t| t.lines().count() as u64);
        let begun = Instant::now();
        while read() < enough && child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60), "it reads nothing");
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        kills += u32::from(child.wait().unwrap().code().is_none());
        parts += read();
    }
    // Read once, but for what each kill cost.
    let whole = 2 * mib.div_ceil(4);
    assert!(parts <= whole + u64::from(kills) * 17, "{parts} parts of 4 MiB for {whole}, after {kills} kills");
    assert!(kills >= 4, "{kills}");
    assert!(patrol(&place, &[])["findings"].as_array().unwrap().is_empty());
    place.run(&["check"]).expect(0);
    kills
}

#[test]
fn a_patrol_that_is_killed_again_and_again_covers_everything() {
    killed(200, 40);
}

#[test]
#[ignore = "100 kills"]
fn a_patrol_that_is_killed_a_hundred_times_covers_everything() {
    let mut kills = 0;
    while kills < 100 {
        kills += killed(600, 100);
    }
}
