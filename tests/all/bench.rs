//! scripts/bench.sh with tiny cards: every method runs and proves its copies, the table has its shape, nothing is left.
//! What the numbers are is no matter here.

use crate::place::{Said, within};
use std::path::Path;
use std::process::{Command, Stdio};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/bench.sh");
const METHODS: [&str; 5] = ["goodgate", "cp", "rsync", "rclone", "limit"];
/// What the script would otherwise install.
const TOOLS: [&str; 7] = ["fio", "rclone", "rsync", "b3sum", "time", "jq", "python3"];

/// A folder to work in; none where a tool is missing or no device lies below.
fn bench(args: &[&str]) -> Option<(tempfile::TempDir, Command)> {
    let there = |tool: &&str| {
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(tool).is_file())
    };
    if let Some(tool) = TOOLS.iter().find(|t| !there(t)) {
        eprintln!("SKIPPED: bench.sh needs {tool}, which is not installed");
        return None;
    }
    let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    if !has_device(dir.path()) {
        eprintln!("SKIPPED: bench.sh measures a disk, and \"{}\" lies on none", dir.path().display());
        return None;
    }
    let mut command = Command::new(SCRIPT);
    command.args(args).args(["--goodgate", env!("CARGO_BIN_EXE_goodgate"), "--dir"]).arg(dir.path());
    command.stdin(Stdio::null());
    Some((dir, command))
}

fn has_device(dir: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let dev = std::fs::metadata(dir).unwrap().dev();
    let (major, minor) = (rustix::fs::major(dev), rustix::fs::minor(dev));
    Path::new(&format!("/sys/dev/block/{major}:{minor}/stat")).is_file()
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

/// Numbers with the signs that a cell may hold around them.
fn numbers(cell: &str) -> Vec<f64> {
    let cell = cell.replace(['(', ')', '/'], " ").replace("x ", " ");
    cell.split_whitespace().map(|n| n.trim_end_matches('x').parse().unwrap_or_else(|_| panic!("{cell}"))).collect()
}

/// The lines of a table, in cells.
fn rows(said: &Said) -> Vec<Vec<&str>> {
    let lines = said.stdout.lines().filter(|l| l.starts_with('|'));
    lines.map(|l| l.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn the_table_has_a_time_for_every_method() {
    let out = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let json = out.path().join("samples.json");
    let args = ["--quick", "--rounds", "1", "--set", "c", "--dests", "2", "--json", json.to_str().unwrap()];
    let Some((dir, command)) = bench(&args) else { return };
    let said = within(300, command).expect(0);

    let rows = rows(&said);
    assert_eq!(rows.len(), 5, "{}", said.stdout);
    assert!(rows.iter().all(|r| r.len() == 9), "{}", said.stdout);
    assert_eq!(rows[0][..4], ["card", "to", "", "goodgate"]);
    assert!(rows[1].iter().all(|c| c.chars().all(|c| c == '-')));
    assert_eq!(rows[2][..3], ["(c, quick) 100 x 200 KB", "2", "s"]);
    assert_eq!([rows[3][2], rows[4][2]], ["GiB read / written", "CPU s / peak MB"]);
    // Times, each but goodgate's own with its ratio; what moved and what it cost, but for what is derived.
    let counts = |row: &[&str]| row[3..].iter().map(|cell| numbers(cell).len()).collect::<Vec<_>>();
    assert_eq!(counts(&rows[2]), [1, 2, 2, 2, 2, 2], "{}", said.stdout);
    assert_eq!(counts(&rows[3]), [2, 2, 2, 2, 2, 0], "{}", said.stdout);
    assert_eq!(counts(&rows[4]), [2, 2, 2, 2, 2, 0], "{}", said.stdout);
    for line in ["- Kernel: ", "- Peers: cp ", "kernel's counters: 1 of 1 goodgate runs: met"] {
        assert!(said.stdout.contains(line), "{line}: {}", said.stdout);
    }

    let all: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let samples = all["samples"].as_array().unwrap();
    let methods: Vec<_> = samples.iter().map(|s| s["method"].as_str().unwrap()).collect();
    assert_eq!(methods, METHODS);
    for s in samples {
        assert!(s["failed"].is_null() && s["secs"].as_f64().unwrap() > 0.0, "{s}");
        assert!(s["written_bytes"].as_u64().unwrap() >= 2 * 20_000_000, "{s}");
        assert!(s["peak_kib"].as_u64().unwrap() > 0, "{s}");
    }
    assert!(samples[0]["read_bytes"].as_u64().unwrap() * 100 >= 4 * 20_000_000 * 98, "{}", samples[0]);
    assert!(is_empty(dir.path()), "something was left behind");
}

#[test]
fn the_table_of_proxies_has_a_time_for_every_method() {
    let Some((dir, command)) = bench(&["--quick", "--rounds", "1", "--set", "proxies"]) else { return };
    let said = within(300, command).expect(0);
    let rows = rows(&said);
    assert_eq!(rows.len(), 8, "{}", said.stdout);
    assert!(rows.iter().all(|r| r.len() == 6), "{}", said.stdout);
    for clip in [&rows[2..4], &rows[4..6], &rows[6..8]] {
        let counts = |row: &[&str]| row[2..].iter().map(|cell| numbers(cell).len()).collect::<Vec<_>>();
        assert_eq!(counts(&clip[0]), [1, 2, 2, 2], "{}", said.stdout);
        assert_eq!(counts(&clip[1]), [2, 2, 2, 2], "{}", said.stdout);
    }
    assert!(is_empty(dir.path()), "something was left behind");
}

#[test]
fn the_table_of_patrol_has_a_time_for_every_method() {
    let Some((dir, command)) = bench(&["--quick", "--rounds", "1", "--set", "patrol"]) else { return };
    let said = within(300, command).expect(0);
    let rows = rows(&said);
    assert_eq!(rows.len(), 6, "{}", said.stdout);
    assert!(rows.iter().all(|r| r.len() == 5), "{}", said.stdout);
    for files in [&rows[2..4], &rows[4..6]] {
        let counts = |row: &[&str]| row[2..].iter().map(|cell| numbers(cell).len()).collect::<Vec<_>>();
        assert_eq!(counts(&files[0]), [1, 2, 2], "{}", said.stdout);
        assert_eq!(counts(&files[1]), [3, 3, 3], "{}", said.stdout);
    }
    assert!(is_empty(dir.path()), "something was left behind");
}

#[test]
fn a_stopped_run_leaves_nothing_behind() {
    let args = ["--quick", "--rounds", "99", "--set", "a", "--dests", "1"];
    let Some((dir, mut command)) = bench(&args) else { return };
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // The first method writes its copy.
    let writes = || {
        let work = std::fs::read_dir(dir.path()).unwrap().next()?.unwrap().path();
        std::fs::read_dir(work.join("run/d1")).ok()?.next()
    };
    while writes().is_none() {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(is_empty(dir.path()), "something was left behind");
}
