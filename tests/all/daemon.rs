//! The daemon as a process: what it takes, when, what it leaves alone, and what it does after a stop of any kind.

use crate::place::Place;
use serde_json::Value;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(120);

/// A station with one dump root, two destinations and a notify command that writes what it is told to a file.
fn place() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path("dumps")).unwrap();
    configure(&place, ["a", "b"], "");
    place
}

fn configure(place: &Place, to: [&str; 2], more: &str) {
    let path = |relative: &str| place.path(relative).display().to_string();
    let text = format!(
        "[[destination]]\npath = {:?}\n[[destination]]\npath = {:?}\n\
         [[watch]]\npath = {:?}\nsettle_secs = 1\npoll_secs = 1\n\
         [policy]\ndistinct_devices = false\n[media]\nenabled = false\n\
         [notify]\ncommand = [\"/bin/sh\", \"-c\", \"cat >> \\\"$0\\\"\", {:?}]\n\
         on = [\"card\", \"safe\", \"not-safe\", \"hold\", \"damage\"]\n{more}",
        path(to[0]),
        path(to[1]),
        path("dumps"),
        path("told"),
    );
    place.config(&text);
}

struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    fn start(place: &Place) -> Self {
        Self::start_with(place, &[])
    }

    fn start_with(place: &Place, env: &[(&str, &str)]) -> Self {
        let log = place.path("log");
        let stderr = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let mut command = place.goodgate(&["daemon"]);
        command.envs(env.iter().copied()).stderr(stderr).stdout(Stdio::null());
        Daemon { child: command.spawn().unwrap(), log }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// SIGTERM; the exit code.
    fn stop(mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        self.child.wait().unwrap().code()
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    #[track_caller]
    fn until(&self, what: &str, mut seen: impl FnMut() -> bool) {
        let end = Instant::now() + DEADLINE;
        while !seen() {
            let log = || std::fs::read_to_string(&self.log).unwrap_or_default();
            assert!(Instant::now() < end, "not seen: {what}\n{}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Until this many events of that kind were told; all of them.
    #[track_caller]
    fn until_told(&self, place: &Place, event: &str, count: usize) -> Vec<Value> {
        let these = || told(place).into_iter().filter(|e| e["event"] == event).collect::<Vec<_>>();
        self.until(&format!("{count} times \"{event}\""), || these().len() >= count);
        these()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the notify command was told so far. A line that is still being written is not yet told.
fn told(place: &Place) -> Vec<Value> {
    let text = std::fs::read_to_string(place.path("told")).unwrap_or_default();
    text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
}

/// A dump that is there all at once.
fn drop_card(place: &Place, name: &str, files: usize, len: usize) {
    for i in 0..files {
        place.file(&format!("card/{name}.new/CLIPS/{name}C{i:04}.MOV"), len + i, i as u32 + 1);
    }
    std::fs::rename(place.path(&format!("card/{name}.new")), place.path(&format!("dumps/{name}"))).unwrap();
}

/// Card files that have their final name at a destination.
fn arrived(place: &Place, roll: &str) -> usize {
    let entries = std::fs::read_dir(place.path(roll).join("CLIPS")).into_iter().flatten().flatten();
    entries.filter(|e| !e.file_name().to_string_lossy().ends_with("goodgate-part")).count()
}

fn log_of(place: &Place, roll: &str) -> String {
    place.run(&["log", roll]).expect(0).stdout
}

fn manifests(place: &Place, roll: &str) -> usize {
    let entries = std::fs::read_dir(place.path(roll).join("ascmhl")).unwrap().flatten();
    entries.filter(|e| e.path().extension().is_some_and(|x| x == "mhl")).count()
}

fn is_safe(place: &Place, roll: &str) -> bool {
    place.run(&["status", roll, "--json"]).json()["safe"] == true
}

fn same(place: &Place, from: &str, to: &str) {
    let ours = |p: &Path| p.starts_with("ascmhl");
    assert_eq!(place.tree(from, |_| false), place.tree(to, ours), "{from} and {to}");
}

#[test]
fn an_ejected_drive_that_is_back_is_offered_for_a_proof_each_time() {
    let _mounts = crate::shim::no_namespaces();
    if !crate::shim::root("a drive that is ejected") {
        return;
    }
    let place = Place::with_files(&[("NOTES.TXT", vec![7; 100])]);
    let image = crate::shim::Image::ext4(&place, "b", 24);
    let point = image.point.to_str().unwrap();
    place.offload(&["--no-media"]).expect(0);
    place.run(&["eject", point]).expect(0);
    image.mount();
    let daemon = Daemon::start(&place);
    let log = |d: &Daemon| std::fs::read_to_string(&d.log).unwrap();
    let offer = format!("is back, and was not read since it was ejected: goodgate patrol --volume {point}");
    daemon.until("the offer", || log(&daemon).contains(&offer));
    // It has looked once, and knows the drive: another mount makes it look again.
    place.run(&["patrol", "--volume", point]).expect(0);
    place.run(&["eject", point]).expect(0);
    image.mount();
    daemon.until("the second offer", || log(&daemon).matches(&offer).count() == 2);
}

#[test]
fn a_dump_that_grows_is_taken_once_and_only_after_it_settled() {
    let place = place();
    let daemon = Daemon::start(&place);
    let path = place.file("dumps/A001/CLIPS/A001C0000.MOV", 10, 1);
    // Longer than it takes to settle, each pause shorter.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        // Opened anew each time: on many systems nobody sees a writer.
        std::fs::File::options().append(true).open(&path).unwrap().write_all(b"more").unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(!place.path("a/A001").exists(), "taken while it grew");
    daemon.until_told(&place, "safe", 1);
    same(&place, "dumps/A001", "a/A001");
    same(&place, "dumps/A001", "b/A001");
    assert_eq!(log_of(&place, "A001").matches("job started").count(), 1);
    assert_eq!(manifests(&place, "a/A001"), 1);
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(told(&place).iter().map(|e| e["event"].as_str().unwrap()).collect::<Vec<_>>(), ["card", "safe"]);
}

#[test]
fn a_file_that_is_open_for_writing_holds_the_dump_back() {
    let place = place();
    let path = place.file("dumps/A001/CLIPS/A001C0000.MOV", 1000, 1);
    let mut writer = std::fs::File::options().append(true).open(&path).unwrap();
    place.file("dumps/B001/CLIPS/B001C0000.MOV", 1000, 2);
    let daemon = Daemon::start(&place);
    // The other dump, no older, is through: this one had its time.
    daemon.until_told(&place, "safe", 1);
    assert!(!place.path("a/A001").exists());
    writer.write_all(b"the end").unwrap();
    drop(writer);
    daemon.until_told(&place, "safe", 2);
    same(&place, "dumps/A001", "a/A001");
}

#[test]
fn the_notify_command_gets_the_card_with_the_verdict() {
    let place = place();
    let daemon = Daemon::start(&place);
    drop_card(&place, "A001", 2, 2_000_000);
    let safe = daemon.until_told(&place, "safe", 1).remove(0);
    assert_eq!((safe["roll"].as_str(), safe["detail"]["files"].as_u64()), (Some("A001"), Some(2)));
    assert_eq!((&safe["detail"]["safe"], &safe["detail"]["source_kind"]), (&true.into(), &"folder".into()));
    assert!(safe["text"].as_str().unwrap().starts_with("GOOD GATE: "), "{safe}");
}

#[test]
fn additions_are_taken_and_a_card_that_comes_back_is_answered_at_once() {
    let place = place();
    let daemon = Daemon::start(&place);
    drop_card(&place, "A001", 2, 1000);
    daemon.until_told(&place, "safe", 1);
    // More clips on the same card.
    place.file("dumps/A001/CLIPS/A001C0009.MOV", 5000, 9);
    daemon.until_told(&place, "safe", 2);
    same(&place, "dumps/A001", "b/A001");
    assert_eq!(manifests(&place, "a/A001"), 2);
    let jobs = log_of(&place, "A001").matches("job started").count();
    // Away and back.
    std::fs::rename(place.path("dumps/A001"), place.path("card/away")).unwrap();
    daemon.until("it is gone", || std::fs::read_to_string(&daemon.log).unwrap().contains("A001\" is gone"));
    std::fs::rename(place.path("card/away"), place.path("dumps/A001")).unwrap();
    let back = daemon.until_told(&place, "safe", 3).remove(2);
    let text = back["text"].as_str().unwrap();
    assert!(text.starts_with("A001, proven on 2 copies, nothing new"), "{text}");
    assert_eq!(log_of(&place, "A001").matches("job started").count(), jobs);
    // A start is no return: the log says it, nobody is called.
    assert_eq!(daemon.stop(), Some(0));
    let before = std::fs::read_to_string(place.path("log")).unwrap().matches("nothing new").count();
    let daemon = Daemon::start(&place);
    let lines = || std::fs::read_to_string(&daemon.log).unwrap().matches("nothing new").count();
    daemon.until("the answer in the log", || lines() == before + 1);
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(told(&place).len(), 5, "{:?}", told(&place));
}

/// A daemon that is in the middle of a card of many files.
fn in_the_middle(place: &Place) -> (Daemon, usize) {
    // Each file for itself: there is a middle.
    configure(place, ["a", "b"], "[offload]\nsmall_below = \"0\"\n");
    let files = 120;
    drop_card(place, "A001", files, 3000);
    let daemon = Daemon::start(place);
    daemon.until("the first copies", || arrived(place, "a/A001") > 0);
    (daemon, files)
}

#[track_caller]
fn completes(place: &Place, files: usize) {
    let there = arrived(place, "a/A001");
    assert!(there < files, "it was not stopped in the middle");
    let daemon = Daemon::start(place);
    daemon.until_told(place, "safe", 1);
    same(place, "dumps/A001", "a/A001");
    same(place, "dumps/A001", "b/A001");
    assert_eq!(manifests(place, "a/A001"), 1);
    assert_eq!(log_of(place, "A001").matches("job started").count(), 1);
    assert_eq!(daemon.stop(), Some(0));
    assert!(is_safe(place, "A001"));
}

#[test]
fn a_stop_in_the_middle_is_clean_and_the_next_start_completes() {
    let place = place();
    let (daemon, files) = in_the_middle(&place);
    assert_eq!(daemon.stop(), Some(0));
    assert!(!is_safe(&place, "A001"));
    completes(&place, files);
}

#[test]
fn after_a_kill_the_next_start_completes() {
    let place = place();
    let (daemon, files) = in_the_middle(&place);
    daemon.kill();
    completes(&place, files);
}

#[test]
fn a_card_that_was_away_goes_on_by_itself_when_it_is_back() {
    let place = place();
    let (daemon, files) = in_the_middle(&place);
    daemon.kill();
    std::fs::rename(place.path("dumps/A001"), place.path("card/away")).unwrap();
    let daemon = Daemon::start(&place);
    let hold = daemon.until_told(&place, "hold", 1).remove(0);
    assert!(hold["text"].as_str().unwrap().contains("card-absent"), "{hold}");
    std::fs::rename(place.path("card/away"), place.path("dumps/A001")).unwrap();
    daemon.until_told(&place, "safe", 1);
    assert_eq!(arrived(&place, "b/A001"), files);
}

#[test]
fn a_cancelled_job_waits_until_a_person_retries_it() {
    let place = place();
    let (daemon, files) = in_the_middle(&place);
    assert_eq!(daemon.stop(), Some(0));
    let jobs = place.run(&["jobs", "--json"]).json();
    let id = jobs["jobs"][0]["job"].as_str().unwrap().to_owned();
    place.run(&["jobs", "cancel", &id]).expect(0);
    let daemon = Daemon::start(&place);
    let log = || std::fs::read_to_string(&daemon.log).unwrap();
    daemon.until("that it waits", || log().contains("still waits (cancelled)"));
    assert!(arrived(&place, "a/A001") < files);
    place.run(&["jobs", "retry", &id]).expect(0);
    daemon.until_told(&place, "safe", 1);
    assert_eq!(arrived(&place, "a/A001"), files);
}

#[test]
fn several_cards_are_taken_together() {
    let place = place();
    let daemon = Daemon::start(&place);
    for roll in ["A001", "B001", "C001"] {
        drop_card(&place, roll, 2, 100_000);
    }
    let rolls = daemon.until_told(&place, "safe", 3);
    let mut rolls: Vec<_> = rolls.iter().map(|e| e["roll"].as_str().unwrap().to_owned()).collect();
    rolls.sort();
    assert_eq!(rolls, ["A001", "B001", "C001"]);
    for roll in ["A001", "B001", "C001"] {
        same(&place, &format!("dumps/{roll}"), &format!("a/{roll}"));
    }
}

#[test]
fn a_destination_that_fails_is_told_once_and_tried_until_it_is_there() {
    let place = place();
    // A file where a folder must be.
    std::fs::write(place.path("blocked"), b"").unwrap();
    configure(&place, ["a", "blocked/b"], "");
    drop_card(&place, "A001", 1, 1000);
    let daemon = Daemon::start(&place);
    daemon.until_told(&place, "hold", 1);
    // Tried again at least once.
    let state = place.catalog();
    assert!(state.exists());
    std::fs::remove_file(place.path("blocked")).unwrap();
    daemon.until_told(&place, "safe", 1);
    same(&place, "dumps/A001", "blocked/b/A001");
    let events: Vec<_> = told(&place).iter().map(|e| e["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(events.iter().filter(|e| *e == "hold").count(), 1, "{events:?}");
}

#[test]
fn a_second_daemon_is_refused_and_names_the_first() {
    let place = place();
    let daemon = Daemon::start(&place);
    let log = || std::fs::read_to_string(&daemon.log).unwrap();
    daemon.until("it is ready", || log().contains("ready: 1 watches"));
    let said = place.run(&["daemon"]).expect(1);
    assert!(said.stderr.contains(&format!("(pid {})", daemon.child.id())), "{}", said.stderr);
    daemon.kill();
    // What a killed one left is no obstacle.
    assert_eq!(ready(&place).stop(), Some(0));
}

fn ready(place: &Place) -> Daemon {
    let lines = || std::fs::read_to_string(place.path("log")).unwrap_or_default().matches("ready: ").count();
    let before = lines();
    let daemon = Daemon::start(place);
    daemon.until("it is ready", || lines() > before);
    daemon
}

#[test]
fn a_missing_root_is_a_note_and_is_watched_when_it_is_there() {
    let place = place();
    std::fs::remove_dir(place.path("dumps")).unwrap();
    let daemon = Daemon::start(&place);
    let log = || std::fs::read_to_string(&daemon.log).unwrap();
    daemon.until("the note", || log().contains("cannot be watched now"));
    std::fs::create_dir(place.path("dumps")).unwrap();
    drop_card(&place, "A001", 1, 1000);
    daemon.until_told(&place, "safe", 1);
    assert_eq!(log().matches("cannot be watched now").count(), 1);
}

#[test]
fn systemd_is_told_that_it_is_ready_alive_and_stopping() {
    let place = place();
    // A short path: a socket's name has 108 bytes.
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let ear = UnixDatagram::bind(&socket).unwrap();
    // Read all the time: who does not listen holds up whoever speaks.
    let heard = Arc::new(Mutex::new(String::new()));
    let ears = heard.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n) = ear.recv(&mut buffer) {
            ears.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    });
    let env = [("NOTIFY_SOCKET", socket.to_str().unwrap()), ("WATCHDOG_USEC", "1000000")];
    let daemon = Daemon::start_with(&place, &env);
    let count = |what: &str| heard.lock().unwrap().matches(what).count();
    daemon.until("READY", || count("READY=1") == 1);
    daemon.until("two signs of life", || count("WATCHDOG=1") >= 2);
    drop_card(&place, "A001", 1, 1000);
    daemon.until("that a card waits", || count("STATUS=1 cards wait") == 1);
    daemon.until_told(&place, "safe", 1);
    assert_eq!(count("STOPPING=1"), 0);
    assert_eq!(daemon.stop(), Some(0));
    // Sent before the end, and this end of the socket is still there.
    let end = Instant::now() + DEADLINE;
    while count("STOPPING=1") == 0 {
        assert!(Instant::now() < end, "{}", heard.lock().unwrap());
        std::thread::yield_now();
    }
}

#[test]
fn the_machine_stays_awake_while_a_card_is_copied_and_no_longer() {
    use std::os::unix::fs::PermissionsExt;
    let place = place();
    let script = place.path("home/systemd-inhibit");
    let out = place.path("awake");
    let text = format!("#!/bin/sh\necho begin \"$@\" >> {0:?}\ncat\necho end >> {0:?}\n", out.display().to_string());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", place.path("home").display(), std::env::var("PATH").unwrap());
    let daemon = Daemon::start_with(&place, &[("PATH", &path)]);
    let log = || std::fs::read_to_string(&daemon.log).unwrap();
    daemon.until("it is ready", || log().contains("ready: 1 watches"));
    assert!(!out.exists());
    drop_card(&place, "A001", 1, 1000);
    daemon.until_told(&place, "safe", 1);
    let awake = || std::fs::read_to_string(&out).unwrap_or_default();
    daemon.until("the end of the block", || awake().contains("end"));
    assert!(awake().starts_with("begin --what=sleep:shutdown --who=goodgate"), "{}", awake());
}

/// A loop-mounted image with this tree; `None` where that cannot be done.
struct Mounted(PathBuf);

impl Mounted {
    fn new(place: &Place, tree: &str) -> Option<Self> {
        let (image, point) = (place.path("card.img"), place.path("mnt"));
        std::fs::create_dir_all(&point).unwrap();
        std::fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        let run = |program: &str, args: &[&std::ffi::OsStr]| {
            std::process::Command::new(program).args(args).output().is_ok_and(|o| o.status.success())
        };
        let tree = place.path(tree);
        // No real card has this filesystem, so no other test's image is meant.
        let made = run("mkfs.ext3", &["-q".as_ref(), "-d".as_ref(), tree.as_ref(), image.as_ref()])
            && run(
                "mount",
                &["-t", "ext3", "-o", "loop,ro"]
                    .map(AsRef::as_ref)
                    .iter()
                    .copied()
                    .chain([image.as_ref(), point.as_ref()])
                    .collect::<Vec<_>>(),
            );
        if !made {
            eprintln!("SKIPPED: an image cannot be mounted here");
            return None;
        }
        Some(Mounted(point))
    }
}

impl Mounted {
    fn unmount(&self) -> bool {
        std::process::Command::new("umount").arg(&self.0).output().is_ok_and(|o| o.status.success())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Whoever still looks at it keeps it busy for a moment; a mount that stays would outlive the test.
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_mounted_card_is_taken_and_a_destination_on_a_removable_disk_is_not() {
    let place = place();
    place.file("card/A001/CLIPS/A001C0000.MOV", 300_000, 1);
    let Some(card) = Mounted::new(&place, "card/A001") else { return };
    configure(&place, ["a", "b"], "[[watch]]\nkind = \"mounts\"\nfs = [\"ext3\"]\nsettle_secs = 1\npoll_secs = 1\n");
    let daemon = Daemon::start(&place);
    // No proof of a second read is known for that filesystem: taken and copied, but never safe.
    let verdict = daemon.until_told(&place, "not-safe", 1).remove(0);
    assert_eq!(verdict["detail"]["source_kind"], "card", "{verdict}");
    assert_eq!(arrived(&place, "a/mnt"), 1);
    daemon.until("it can be unmounted", || card.unmount());
    let log = || std::fs::read_to_string(&daemon.log).unwrap();
    daemon.until("it is gone", || log().contains("mnt\" is gone"));
    // The same volume as somebody's destination.
    place.file("card/A001/.goodgate/volume.json", 2, 1);
    let _drive = Mounted::new(&place, "card/A001").unwrap();
    daemon.until("it is refused", || log().contains("mnt\" is a destination and is never taken as a card"));
}

#[test]
fn a_dump_root_inside_a_destination_is_refused_with_one_note() {
    let place = place();
    std::fs::create_dir_all(place.path("a/inside")).unwrap();
    let inside = format!(
        "[[watch]]\npath = {:?}\nsettle_secs = 1\npoll_secs = 1\n",
        place.path("a/inside").display().to_string()
    );
    configure(&place, ["a", "b"], &inside);
    place.file("a/inside/A001/CLIPS/A001C0000.MOV", 1000, 1);
    let daemon = Daemon::start(&place);
    let log = || std::fs::read_to_string(&daemon.log).unwrap();
    daemon.until("the note", || log().contains("where copies go; it is not taken as a card"));
    // Another card has come through meanwhile: there were more looks.
    drop_card(&place, "B001", 1, 1000);
    daemon.until_told(&place, "safe", 1);
    assert_eq!(log().matches("it is not taken as a card").count(), 1);
    assert!(!place.path("b/A001").exists());
}
