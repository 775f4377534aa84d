//! The power fails: the destination's filesystem loses what had not reached its disk, and the program is gone. Mounted
//! again, every final name leads to the card's bytes, the catalog claims no more than that, and the same command ends as
//! if nothing had been. What lets a filesystem into grouping (`disk::facts::may_group`) is that this holds there.
//!
//! By default one cut between the renames of a group and the sync that makes them durable, and one at any time, on ext4;
//! GOODGATE_SLOW=1 makes it thirty on each of ext4, xfs and btrfs.

use crate::place::Place;
use crate::shim::{Faulty, card_of, completes, honest, root};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// A filesystem in a file, whose power can fail.
struct Disk {
    fs: &'static str,
    image: PathBuf,
    point: PathBuf,
}

impl Disk {
    /// `None` where the tools for it are missing.
    fn new(place: &Place, fs: &'static str) -> Option<Self> {
        let disk = Disk { fs, image: place.path("disk.img"), point: place.path("b") };
        std::fs::File::create(&disk.image).unwrap().set_len(320 << 20).unwrap();
        let made = Command::new(format!("mkfs.{fs}")).arg("-q").arg(&disk.image).output();
        let Ok(made) = made else {
            eprintln!("SKIPPED: power cuts on {fs}: no mkfs.{fs}");
            return None;
        };
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        disk.mount();
        Some(disk)
    }

    fn mount(&self) {
        // No commit of its own meanwhile, however slow this machine is.
        let options = if self.fs == "ext4" { "loop,commit=300" } else { "loop" };
        run(Command::new("mount").args(["-o", options]).arg(&self.image).arg(&self.point));
    }

    /// Stops the program where it is, takes what the disk has by now, and lets neither go on.
    fn cut(&self, mut child: Child) -> bool {
        let id = Pid::from_raw(child.id() as i32).unwrap();
        let alive = child.try_wait().unwrap().is_none();
        if alive {
            kill_process(id, Signal::STOP).unwrap();
        }
        let survived = self.image.with_extension("survived");
        if self.fs == "btrfs" {
            // It has no call to lose its power. What it wrote so far is in the image, which nobody may change meanwhile.
            until("all its threads stand still", || !alive || stands_still(child.id()));
            run(Command::new("cp").args(["--sparse=always"]).arg(&self.image).arg(&survived));
        } else {
            // XFS_IOC_GOINGDOWN, which ext4 knows too, without a flush of the log (xfs_fs.h).
            let down = "import fcntl, os, struct, sys\n\
                        fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
            run(Command::new("python3").args(["-c", down]).arg(&self.point));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // A call that it died in may still end.
        until("it could be unmounted", || Command::new("umount").arg(&self.point).output().unwrap().status.success());
        if survived.exists() {
            std::fs::rename(&survived, &self.image).unwrap();
        }
        self.mount();
        alive
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.point).stderr(Stdio::null()).status();
    }
}

#[track_caller]
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "not {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn stands_still(id: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).unwrap().flatten();
    // proc(5): the state stands behind the name in brackets.
    let state = |stat: String| stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    threads
        .flat_map(|t| std::fs::read_to_string(t.path().join("stat")))
        .all(|stat| matches!(state(stat), Some('T' | 'Z')))
}

#[track_caller]
fn run(command: &mut Command) {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// Many small files and a large one.
fn card() -> Place {
    let place = frames();
    place.file("card/A001/CLIPS/A001C001.MOV", 9 << 20, 99);
    place
}

fn frames() -> Place {
    let place = Place::new();
    for n in 0..60 {
        place.file(&format!("card/A001/FRAMES/A001_{n:03}.dpx"), 1 + 997 * n as usize, n);
    }
    place
}

/// What has its name on the disk after a cut.
fn named(place: &Place) -> usize {
    let frame = |p: &&PathBuf| p.starts_with("A001/FRAMES") && p.extension().is_some_and(|e| e == "dpx");
    card_of(place, "b").keys().filter(frame).count()
}

#[track_caller]
fn recovers(place: &Place, when: &str) {
    honest(place, when);
    completes(place, when);
    let said = place.run(&["verify", "A001", "--json"]);
    assert_eq!(said.code, 0, "{when}: {}", said.stdout);
}

/// Cuts so many times, each on a new disk.
fn cuts(fs: &'static str, rounds: u32) {
    if !root("a power cut") {
        return;
    }
    let place = card();
    let Some(disk) = Disk::new(&place, fs) else { return };
    let begun = Instant::now();
    place.offload(&[]).expect(0);
    let whole = begun.elapsed();
    drop(disk);
    let (mut x, mut cut, mut partly) = (0x1234_5677u32, 0, 0);
    for round in 0..rounds {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        let delay = whole.mul_f64(f64::from(x % 900) / 1000.0);
        let place = card();
        let disk = Disk::new(&place, fs).unwrap();
        let mut command = place.goodgate(&["offload", "card/A001", "--to", "a", "--to", "b", "--json"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        if round % 2 == 0 {
            // So few files may be open that the frames go in several groups.
            let few = Rlimit { current: Some(290), maximum: Some(290) };
            prlimit(Pid::from_raw(child.id() as i32), Resource::Nofile, few).unwrap();
        }
        std::thread::sleep(delay);
        cut += u32::from(disk.cut(child));
        partly += u32::from((1..60).contains(&named(&place)));
        recovers(&place, &format!("{fs}, round {round}, cut after {delay:?} of {whole:?}"));
    }
    eprintln!("{fs}: {cut} of {rounds} cuts while it worked, {partly} with some of the names there");
    assert!(cut * 2 >= rounds, "only {cut} of {rounds} cuts came before its end");
}

#[test]
fn cut_between_the_names_of_a_group_and_their_sync() {
    if !root("a power cut") {
        return;
    }
    // Without a large file, whose own sync would make the names durable, too.
    let place = frames();
    let Some(disk) = Disk::new(&place, "ext4") else { return };
    // The first is that of the folders, the second comes before the read-back.
    let paused = Faulty::offload(&place, &["syncfs|/b|3|1|pause"]).paused();
    assert_eq!(named(&place), 60, "all of the group are renamed");
    assert!(disk.cut(paused.child()));
    assert_eq!(named(&place), 0, "and nothing had reached the disk: the cut cuts");
    recovers(&place, "before the second sync");
}

#[test]
fn cut_at_any_time() {
    if std::env::var_os("GOODGATE_SLOW").is_none() {
        return cuts("ext4", 1);
    }
    for fs in ["ext4", "xfs", "btrfs"] {
        cuts(fs, 30);
    }
}
