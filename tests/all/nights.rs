//! Large files over several nights: a pass ends in the middle of one, and the next goes on there.

use crate::place::{Place, flip, pattern};
use crate::shim::ask;
use std::os::unix::fs::FileExt;
use std::process::Stdio;
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
    let place = offloaded(150);
    // In the part that the first pass reads: the last one tells of it.
    flip(&place.path("a").join(CLIP), 3 * MIB + 5);
    flip(&place.path("b").join(CLIP), 3 * MIB + 5);
    let first = patrol(&place, &["--for", "1ms"]);
    assert_eq!((&first["files"], &first["complete"]), (&0.into(), &false.into()), "{first}");
    let [at] = reached(&place)[..] else { panic!("{:?}", reached(&place)) };
    assert!((64 * MIB..100 * MIB).contains(&at), "{at}");
    let mut passes = 1;
    let told = loop {
        passes += 1;
        assert!(passes < 8, "no pass ends the file");
        let said = patrol(&place, &["--for", "1ms"]);
        if said["files"] != 0 {
            break said;
        }
    };
    assert!(passes <= 3, "{passes}: 150 MiB are three shares of 64");
    assert_eq!(told["findings"][0]["blocks"], serde_json::json!([[3 * MIB, MIB]]), "{told}");
    // A file that was written to since is read from its beginning.
    let other = patrol(&place, &["--for", "1ms"]);
    assert_eq!(other["files"], 0, "{other}");
    assert_eq!(reached(&place).len(), 1);
    let said = place.run(&["repair", "A001", "--json"]);
    assert_eq!(said.code, 11, "both lost the same block: {}", said.stdout);
    assert!(reached(&place).is_empty(), "judged as a whole");
}

/// Kills a patrol again and again, each time before it could read a file whole.
fn killed(mib: u64, kills: u32) {
    let place = offloaded(mib);
    let began = ask(&place, "SELECT max(proven_at) FROM copy")[0][0].clone();
    let proven = || {
        let sql = format!("SELECT count(*) FROM copy WHERE proven_at > '{began}'");
        ask(&place, &sql)[0][0].parse::<u64>().unwrap()
    };
    let rate = 200 * MIB;
    let mut x = 0x2545_f491u64;
    let (mut killed, mut last) = (0, 0);
    while proven() < 2 {
        assert!(killed < kills, "after {killed} kills {} of 2 are proven, {:?} of one", proven(), reached(&place));
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        let args = ["patrol", "--due", "0s", "--rate", &format!("{rate}B/s"), "--progress", "json"];
        let mut child = place.goodgate(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let begun = first_bytes(&mut child);
        // At this rate no file is read in that time.
        let after = Duration::from_millis(mib * 1000 / 200 / 4 + x % 100);
        std::thread::sleep(after.saturating_sub(begun.elapsed()));
        let read = begun.elapsed().as_millis() as u64 * rate / 1000;
        child.kill().unwrap();
        if child.wait().unwrap().code().is_some() {
            continue;
        }
        killed += 1;
        let now = proven() * mib * MIB + reached(&place).iter().sum::<u64>();
        // Nothing was lost of what an earlier one kept, and of this one no more than 64 MiB.
        assert!(now >= last, "{now} after {last}");
        assert!(now + 64 * MIB + 8 * MIB >= last + read, "kill {killed}: {now} after {last}, and {read} were read");
        last = now;
    }
    assert!(killed >= 3, "{killed}: they ended before their kill");
    assert!(patrol(&place, &[])["findings"].as_array().unwrap().is_empty());
    place.run(&["check"]).expect(0);
}

fn first_bytes(child: &mut std::process::Child) -> Instant {
    use std::io::BufRead;
    let lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
    let _ = lines.map(Result::unwrap).find(|l| l.contains("\"bytes\""));
    Instant::now()
}

#[test]
fn a_patrol_that_is_killed_again_and_again_covers_everything() {
    killed(200, 40);
}

#[test]
#[ignore = "100 kills"]
fn a_patrol_that_is_killed_a_hundred_times_covers_everything() {
    for _ in 0..8 {
        killed(400, 40);
    }
}
