//! Making proxies: in which order, behind whom, and how it ends when it is stopped or killed.

use super::media::{clip, tool};
use super::place::Place;
use goodgate::media::{DeriveRequest, Gate, Limits, MediaError, derive};
use goodgate::preset::{Output, Preset, Recipe};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Long enough to be met in the middle: some seconds of work.
const LONG: &str = "-f lavfi -i testsrc2=s=1280x720:r=25:d=10 -c:v mjpeg -q:v 6 -timecode 01:00:00:00";

/// Fields of /proc/PID/stat behind the name: state, ppid, ...; the 17th is the nice value.
fn stat(pid: u32) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    text.rsplit_once(") ").map_or(Vec::new(), |(_, rest)| rest.split(' ').map(str::to_owned).collect())
}

/// Children of a process whose program is the one that reads media.
fn readers(parent: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|t| std::fs::read_to_string(t.path().join("children")).ok());
    let pids: Vec<u32> =
        lists.flat_map(|l| l.split_whitespace().filter_map(|p| p.parse().ok()).collect::<Vec<_>>()).collect();
    let is_reader = |pid: &u32| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|c| {
            let words: Vec<&[u8]> = c.split(|b| *b == 0).collect();
            words.first().is_some_and(|w| w.ends_with(b"goodgate-media")) && words.get(1) == Some(&&b"derive"[..])
        })
    };
    pids.into_iter().filter(is_reader).collect()
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn files(root: &Path) -> BTreeSet<PathBuf> {
    let mut out = BTreeSet::new();
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        match entry.path().is_dir() {
            true => out.extend(files(&entry.path())),
            false => _ = out.insert(entry.path()),
        }
    }
    out
}

#[test]
fn a_child_gives_way_to_copies_stands_still_when_told_and_leaves_nothing_when_stopped() {
    let (dir, mov) = clip("a.mov", LONG);
    let out = dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let prores = Recipe::of(Preset::ProresProxy);
    let seen = Mutex::new((Vec::new(), false, false));
    let me = std::process::id();
    let nice = |pid: u32| stat(pid).get(16).and_then(|n| n.parse::<i32>().ok());
    let lower = nice(me).map(|own| (own + 10).min(19));
    // Other tests of this process have children, too: this one reads our clip.
    let ours =
        |pid: &u32| std::fs::read_link(format!("/proc/{pid}/fd/0")).is_ok_and(|p| p == mov.canonicalize().unwrap());
    let gate = || {
        let mut seen = seen.lock().unwrap();
        let Some(pid) = readers(me).into_iter().find(ours) else { return Gate::Go };
        let now = stat(pid);
        if now.is_empty() || nice(pid) != lower && !seen.1 {
            return Gate::Go;
        }
        let ionice = Command::new("ionice").arg("-p").arg(pid.to_string()).output();
        seen.0.push(ionice.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default());
        match (seen.1, now[0].as_str()) {
            (false, _) => seen.1 = true,
            (true, "T") => {
                seen.2 = true;
                return Gate::Stop;
            }
            _ => {}
        }
        Gate::Wait
    };
    let want = DeriveRequest {
        clip: File::open(&mov).unwrap().into(),
        beside: Vec::new(),
        finishes: &[],
        luts: &[],
        out_dir: &out,
        outputs: &[Output::Proxy(prores), Output::Proxy(Recipe::WEB)],
        start_tc: None,
        reel: None,
        name: "a",
        sprite: b"a.jpg",
        gate: &gate,
    };
    // Time in which it stands still does not count.
    let made = derive(&tool(), want, &Limits::for_derive(None));
    assert!(matches!(made, Err(MediaError::Stopped)), "{made:?}");
    let seen = seen.into_inner().unwrap();
    assert!(seen.1 && seen.2, "it was never seen with a low priority, or never stood still: {:?}", seen.0);
    assert!(seen.0.last().is_some_and(|said| said.is_empty() || said == "idle"), "{:?}", seen.0);
    assert!(files(&out).is_empty(), "{:?}", files(&out));
}

/// A card of two clips that take a while.
fn station() -> Place {
    let place = Place::new();
    let (_dir, mov) = clip("a.mov", LONG);
    for name in ["A001C001", "A001C002"] {
        std::fs::copy(&mov, place.card().join(format!("CLIPS/{name}.mov"))).unwrap();
    }
    place
}

const OFFLOAD: [&str; 7] = ["offload", "card/A001", "--to", "a", "--to", "b", "--json"];

/// An offload that has begun to write a relink proxy.
fn in_the_middle(place: &Place) -> Child {
    let child = place.goodgate(&OFFLOAD).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let work = place.path("state/goodgate/media/.work");
    let from = Instant::now();
    let begun =
        || files(&work).iter().any(|p| p.ends_with("prores-proxy.mov") && p.metadata().is_ok_and(|m| m.len() > 0));
    while !begun() {
        assert!(from.elapsed() < Duration::from_secs(240), "no proxy was begun");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// What is below the media root, and what the catalog says of every clip.
fn end(place: &Place) -> (BTreeSet<PathBuf>, Vec<String>) {
    let root = place.path("state/goodgate/media");
    let below = files(&root).iter().map(|p| p.strip_prefix(&root).unwrap().to_path_buf()).collect();
    let sql = "SELECT name || ' ' || preset || ' ' || state FROM proxies ORDER BY 1";
    let rows = place.run(&["sql", sql, "--json"]).expect(0).json()["rows"].clone();
    (below, rows.as_array().unwrap().iter().map(|r| r[0].as_str().unwrap().to_owned()).collect())
}

#[test]
fn pictures_of_the_whole_card_come_first_and_a_kill_in_the_middle_of_a_proxy_leaves_nothing() {
    let golden = station();
    golden.run(&OFFLOAD).expect(0);
    let golden = end(&golden);
    assert!(golden.0.len() >= 10 && golden.1.iter().all(|r| r.ends_with(" ok")), "{golden:?}");

    let place = station();
    let mut parent = in_the_middle(&place);
    let media = place.path("state/goodgate/media/A001");
    for clip in ["A001C001", "A001C002"] {
        for file in [format!("poster/CLIPS/{clip}.jpg"), format!("filmstrip/CLIPS/{clip}.jpg")] {
            assert!(media.join(&file).is_file(), "{file} comes after a relink proxy");
        }
    }
    let child = readers(parent.id()).pop().expect("the one that makes it");
    kill(parent.id());
    parent.wait().unwrap();
    let from = Instant::now();
    while !stat(child).is_empty() && stat(child)[0] != "Z" {
        assert!(from.elapsed() < Duration::from_secs(20), "the child goes on without its parent");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!files(&place.path("state/goodgate/media/.work")).is_empty(), "it was not in the middle");
    place.run(&OFFLOAD).expect(0);
    assert_eq!(end(&place), golden, "after a kill of goodgate");
}

#[test]
fn a_clip_whose_child_was_killed_is_tried_again_by_the_same_command() {
    let place = station();
    let mut parent = in_the_middle(&place);
    kill(readers(parent.id()).pop().expect("the one that makes it"));
    assert_eq!(parent.wait().unwrap().code(), Some(0), "the verdict does not depend on it");
    let found = |place: &Place| place.run(&["find", "limit:9", "--json"]).expect(0).json()["clips"].clone();
    let clips = found(&place);
    let state = |name: &str| {
        let clip = clips.as_array().unwrap().iter().find(|c| c["name"] == name).unwrap();
        (clip["media"].clone(), clip["media_note"].as_str().unwrap_or_default().to_owned())
    };
    let (one, other) = (state("A001C001"), state("A001C002"));
    let killed = if one.0 == "pending" { (&one, &other) } else { (&other, &one) };
    assert!(killed.0.0 == "pending" && killed.0.1.contains("killed from outside"), "{clips}");
    assert_eq!(killed.1.0, "ok", "{clips}");
    assert!(files(&place.path("state/goodgate/media/.work")).is_empty());
    place.run(&OFFLOAD).expect(0);
    assert!(found(&place).as_array().unwrap().iter().all(|c| c["media"] == "ok"));
}

#[test]
fn one_that_is_stopped_goes_on_later_where_it_was() {
    let place = station();
    let mut parent = in_the_middle(&place);
    let id = rustix::process::Pid::from_child(&parent);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    let from = Instant::now();
    parent.wait().unwrap();
    assert!(from.elapsed() < Duration::from_secs(20), "it waited for the proxy");
    assert!(files(&place.path("state/goodgate/media/.work")).is_empty());
    place.run(&OFFLOAD).expect(0);
    let (made, rows) = end(&place);
    assert!(made.len() >= 10 && rows.iter().all(|r| r.ends_with(" ok")), "{made:?} {rows:?}");
}

/// A station whose card holds one short clip of a rate that DNxHR does not have.
fn with_odd_clip(settings: &str) -> Place {
    let place = Place::new();
    place.config(&format!("[policy]\ndistinct_devices = false\n{settings}"));
    let (_dir, mov) = clip("a.mov", "-f lavfi -i testsrc2=s=320x180:r=25/2:d=1 -c:v mjpeg");
    std::fs::create_dir_all(place.path("card/A001")).unwrap();
    std::fs::copy(mov, place.path("card/A001/A001C001.mov")).unwrap();
    place
}

fn state(place: &Place) -> (String, String) {
    let clip = place.run(&["show", "A001C001", "--json"]).expect(0).json()["clip"].clone();
    (clip["media"].as_str().unwrap().to_owned(), clip["media_note"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_media_root_that_cannot_be_written_costs_neither_the_verdict_nor_the_card_object() {
    let place = with_odd_clip("");
    let root = place.path("root");
    place.config(&format!("[policy]\ndistinct_devices = false\n[media]\nroot = \"{}\"\n", root.join("x").display()));
    std::fs::write(&root, b"no folder").unwrap();
    for _ in 0..2 {
        let said = place.offload(&[]).expect(0);
        let card = said.json();
        assert_eq!((&card["safe"], &card["step"]), (&true.into(), &"derive".into()), "{card}");
        let why = card["unfinished"].as_str().unwrap();
        assert!(why.contains("cannot write") && said.stderr.contains(why), "{why}: {}", said.stderr);
        assert_eq!(state(&place).0, "pending");
    }
    std::fs::remove_file(&root).unwrap();
    let card = place.offload(&[]).expect(0).json();
    assert_eq!((&card["unfinished"], &card["step"]), (&serde_json::Value::Null, &serde_json::Value::Null), "{card}");
    assert_eq!(state(&place), ("ok".to_owned(), String::new()));
}

#[test]
fn what_failed_is_tried_again_by_the_same_command() {
    let place = with_odd_clip("[[proxy]]\npreset = \"dnxhr-lb\"\n");
    place.offload(&[]).expect(0);
    let (media, note) = state(&place);
    assert!(media == "failed" && note.starts_with("dnxhr-lb: "), "{media}: {note}");
    place.config("[policy]\ndistinct_devices = false\n[[proxy]]\npreset = \"h264-intra\"\n");
    place.offload(&[]).expect(0);
    assert_eq!(state(&place), ("ok".to_owned(), String::new()));
}
