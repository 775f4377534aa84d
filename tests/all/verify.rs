//! Copies read again: damage of every kind in every file that counts, and the pass that cron runs.

use crate::place::{Place, flip};
use goodgate::catalog::{Catalog, Proof};
use goodgate::config::Config;
use goodgate::disk::lock;
use goodgate::finding::FindingKind;
use goodgate::ingest::Station;
use goodgate::patrol::{self, CheckReport, PatrolError, PatrolRequest, Target};
use goodgate::progress::{CannotRecord, Event, Intent, Progress, Silent};
use jiff::ToSpan;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const MIB: u64 = 1 << 20;
const CLIP: &str = "A001/CLIPS/A001C001.MOV";

fn offloaded() -> Place {
    let place = Place::new().with_card();
    place.offload(&["--no-media"]).expect(0);
    place
}

fn station(place: &Place) -> (Station, Catalog) {
    let state = place.catalog().parent().unwrap().to_path_buf();
    let config = Config::parse(&std::fs::read_to_string(place.path("config/config.toml")).unwrap(), "test").unwrap();
    let station = Station { config, state, hostname: "test".into(), version: "0" };
    (station, Catalog::open(&place.catalog()).unwrap())
}

fn try_verify(place: &Place, words: &[&str]) -> Result<CheckReport, PatrolError> {
    let (station, mut catalog) = station(place);
    let mut what = Vec::new();
    for word in words {
        // A test runs in no folder of its own: paths are given whole.
        let word = if word.contains('/') { place.path(word) } else { PathBuf::from(word) };
        what.extend(Target::named(&catalog, &word)?);
    }
    if words.is_empty() {
        what.push(Target::Everything);
    }
    patrol::verify(&station, &mut catalog, &what, &Silent)
}

fn verify(place: &Place, words: &[&str]) -> CheckReport {
    try_verify(place, words).unwrap()
}

fn run_patrol(place: &Place, request: PatrolRequest) -> CheckReport {
    let (station, mut catalog) = station(place);
    patrol::patrol(&station, &mut catalog, &request, &Silent).unwrap()
}

/// Kind, copy below the place, path, blocks.
type Found = (FindingKind, String, String, Vec<(u64, u64)>);

fn found(place: &Place, report: &CheckReport) -> Vec<Found> {
    let root = place.path("").canonicalize().unwrap();
    let copy = |f: &goodgate::finding::Finding| {
        Path::new(&f.copy).strip_prefix(&root).map_or(f.copy.clone(), |p| p.display().to_string())
    };
    report.findings.iter().map(|f| (f.kind, copy(f), f.relpath.to_string(), f.blocks.clone())).collect()
}

fn manifest(place: &Place, destination: &str) -> PathBuf {
    let folder = place.path(&format!("{destination}/A001/ascmhl"));
    let mut names = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    names.find(|p| p.extension().is_some_and(|e| e == "mhl")).unwrap()
}

#[test]
fn good_copies_are_proven_again() {
    let place = offloaded();
    let before = Catalog::open(&place.catalog()).unwrap().oldest_proof().unwrap().unwrap();
    let report = verify(&place, &[]);
    assert_eq!((report.files, report.good, report.bytes), (6, 6, 2 * (3_500_000 + MIB + 12)));
    assert_eq!((report.exit_code(), report.complete, report.findings.len()), (0, true, 0), "{report:?}");
    assert!(report.oldest_proof.unwrap() > before);
    for (word, files) in [("A001", 6), ("a/A001", 3), ("./a", 3), ("a/A001/CLIPS", 2), ("b/A001/NOTES.TXT", 1)] {
        let report = verify(&place, &[word]);
        assert_eq!((report.files, report.good), (files, files), "{word}");
    }
    // A path that is named twice, once as part of a folder, is read once.
    assert_eq!(verify(&place, &["a/A001", "a/A001/CLIPS"]).files, 3);
}

#[test]
fn a_flipped_byte_is_found_in_its_block_and_good_bytes_end_the_alarm() {
    let place = offloaded();
    let clip = place.path("b").join(CLIP);
    flip(&clip, 3 * MIB + 17);
    for _ in 0..2 {
        let report = verify(&place, &["A001"]);
        let blocks = vec![(3 * MIB, 3_500_000 - 3 * MIB)];
        let expected = (FindingKind::Altered, "b/A001".into(), "CLIPS/A001C001.MOV".into(), blocks);
        assert_eq!(found(&place, &report), [expected]);
        assert_eq!((report.exit_code(), report.files, report.good), (11, 6, 5));
        assert!(report.findings[0].clip.is_some() && !report.findings[0].mtime_changed);
    }
    let status = place.run(&["status", "A001", "--json"]).expect(20).json();
    assert_eq!(status["findings"].as_array().unwrap().len(), 1);
    flip(&clip, 3 * MIB + 17);
    assert_eq!(verify(&place, &["A001"]).exit_code(), 0);
    place.run(&["status", "A001", "--json"]).expect(0);
}

#[test]
fn each_kind_of_damage_has_its_finding() {
    let place = offloaded();
    let file = |p: &str| std::fs::File::options().write(true).open(place.path(p)).unwrap();
    file("a/A001/CLIPS/A001C001.MOV").set_len(2 * MIB + 5).unwrap();
    file("a/A001/CLIPS/A001C002.MOV").set_len(MIB + 9).unwrap();
    std::fs::remove_file(place.path("a/A001/NOTES.TXT")).unwrap();
    place.file("a/A001/CLIPS/other.mov", 5, 9);
    place.file("a/A001/CLIPS/.x.goodgate-part", 5, 9);
    place.file("a/A001/.DS_Store", 5, 9);
    let report = verify(&place, &["A001"]);
    let mut all = found(&place, &report);
    all.sort_by(|a, b| a.2.cmp(&b.2));
    let is = |kind, path: &str, blocks: &[(u64, u64)]| (kind, "a/A001".to_string(), path.to_string(), blocks.to_vec());
    assert_eq!(
        all,
        [
            is(FindingKind::Extra, "CLIPS/.x.goodgate-part", &[]),
            is(FindingKind::Altered, "CLIPS/A001C001.MOV", &[(2 * MIB, 3_500_000 - 2 * MIB)]),
            is(FindingKind::Altered, "CLIPS/A001C002.MOV", &[(0, MIB + 9)]),
            is(FindingKind::Extra, "CLIPS/other.mov", &[]),
            is(FindingKind::Missing, "NOTES.TXT", &[]),
        ]
    );
    assert!(report.findings.iter().find(|f| f.kind == FindingKind::Altered).unwrap().mtime_changed);
    assert_eq!(report.exit_code(), 11);
    assert_eq!(verify(&place, &["a/A001/NOTES.TXT"]).exit_code(), 10);
}

#[test]
fn extra_files_alone_are_listed_and_no_error() {
    let place = offloaded();
    place.file("a/A001/notes of the editor.txt", 5, 9);
    let report = verify(&place, &["A001"]);
    assert_eq!((report.exit_code(), report.good, report.findings.len()), (0, 6, 1));
    place.run(&["status", "A001"]).expect(0);
}

#[test]
fn a_deleted_folder_is_missing_file_by_file_with_its_history() {
    let place = offloaded();
    std::fs::remove_dir_all(place.path("a/A001")).unwrap();
    for words in [&["A001"][..], &["a/A001"]] {
        let report = verify(&place, words);
        let missing: Vec<_> = found(&place, &report).into_iter().filter(|f| f.0 == FindingKind::Missing).collect();
        // Three files, the manifest and the chain.
        assert_eq!((missing.len(), report.findings.len(), report.exit_code()), (5, 5, 10), "{missing:?}");
    }
}

#[test]
fn a_history_that_was_touched_is_a_finding_until_it_is_whole_again() {
    let place = offloaded();
    let (manifest, chain) = (manifest(&place, "a"), place.path("a/A001/ascmhl/ascmhl_chain.xml"));
    let name = format!("ascmhl/{}", manifest.file_name().unwrap().to_str().unwrap());
    let chain_name = "ascmhl/ascmhl_chain.xml".to_string();
    let damage = |path: &Path, how: &dyn Fn(&Path), expected: (FindingKind, &str), code: u8| {
        let bytes = std::fs::read(path).unwrap();
        how(path);
        let report = verify(&place, &["A001"]);
        let all: Vec<_> = found(&place, &report).into_iter().map(|f| (f.0, f.2)).collect();
        assert_eq!(all, [(expected.0, expected.1.to_string())], "{report:?}");
        assert_eq!((report.exit_code(), report.files, report.good), (code, 6, 6));
        std::fs::write(path, bytes).unwrap();
        assert_eq!(verify(&place, &["A001"]).exit_code(), 0);
        place.run(&["status", "A001"]).expect(0);
    };
    let edit = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        std::fs::write(path, text.replacen("A001C001", "A001C009", 1)).unwrap();
    };
    let remove = |path: &Path| std::fs::remove_file(path).unwrap();
    damage(&manifest, &edit, (FindingKind::Altered, &name), 11);
    damage(&manifest, &remove, (FindingKind::Missing, &name), 10);
    damage(&manifest, &|p| flip(p, 100), (FindingKind::Altered, &name), 11);
    damage(&chain, &remove, (FindingKind::Missing, &chain_name), 10);
    damage(&chain, &|p| std::fs::write(p, "<ascmhldirectory>").unwrap(), (FindingKind::Altered, &chain_name), 11);
}

#[test]
fn a_manifest_that_no_chain_lists_is_extra() {
    let place = offloaded();
    std::fs::write(place.path("a/A001/ascmhl/0002_A001_2026-01-02_030405Z.mhl"), "<hashlist/>").unwrap();
    let report = verify(&place, &["a/A001"]);
    assert_eq!((report.findings.len(), report.findings[0].kind, report.exit_code()), (1, FindingKind::Extra, 0));
}

#[test]
fn footage_without_rows_is_compared_with_the_history_beside_it() {
    let place = offloaded();
    std::fs::rename(place.path("a/A001"), place.path("elsewhere")).unwrap();
    std::fs::remove_dir_all(place.path("state/goodgate")).unwrap();
    let report = verify(&place, &["./elsewhere"]);
    assert_eq!((report.files, report.good, report.exit_code()), (3, 3, 0), "{report:?}");
    assert_eq!(report.oldest_proof, None);
    flip(&place.path("elsewhere/CLIPS/A001C001.MOV"), 9);
    std::fs::remove_file(place.path("elsewhere/NOTES.TXT")).unwrap();
    place.file("elsewhere/CLIPS/more.mov", 3, 3);
    let report = verify(&place, &["./elsewhere"]);
    let mut kinds: Vec<_> = report.findings.iter().map(|f| (f.kind.name(), f.relpath.to_string())).collect();
    kinds.sort();
    let expected = [("altered", "CLIPS/A001C001.MOV"), ("extra", "CLIPS/more.mov"), ("missing", "NOTES.TXT")];
    assert_eq!(kinds, expected.map(|(k, p)| (k, p.to_string())));
    // A part of it, and a file that is gone.
    assert_eq!(verify(&place, &["./elsewhere/CLIPS/A001C002.MOV"]).good, 1);
    assert_eq!(verify(&place, &["./elsewhere/NOTES.TXT"]).exit_code(), 10);
    flip(&place.path("elsewhere/ascmhl/ascmhl_chain.xml"), 200);
    let failed = try_verify(&place, &["./elsewhere"]).unwrap_err();
    assert_eq!(failed.exit_code(), 30, "{failed}");
}

#[test]
fn what_nobody_knows_is_said() {
    let place = offloaded();
    place.file("loose/x.mov", 3, 3);
    for word in ["B007", "./loose", "./loose/x.mov", "./nowhere/at/all", "a/A001/CLIPS/never.mov"] {
        let failed = try_verify(&place, &[word]).unwrap_err();
        assert!(matches!(failed, PatrolError::NothingKnown(_)), "{word}: {failed}");
        assert_eq!(failed.exit_code(), 30);
    }
}

fn sql(place: &Place, text: &str) {
    let out = std::process::Command::new("python3")
        .args(["-c", "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); n=c.execute(sys.argv[2]).rowcount; c.commit(); print(n)"])
        .arg(place.catalog())
        .arg(text)
        .output()
        .unwrap();
    let changed = String::from_utf8_lossy(&out.stdout).trim().parse::<i64>().unwrap_or(0);
    assert!(changed > 0, "{text}: {}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn a_damaged_row_proves_nothing_and_is_named() {
    let place = offloaded();
    sql(&place, "UPDATE card_file SET blake3 = zeroblob(32) WHERE relpath_text LIKE '%C001.MOV'");
    let report = verify(&place, &["a/A001"]);
    assert_eq!((report.exit_code(), report.files, report.good, report.findings.len()), (11, 3, 2, 1), "{report:?}");
    let note = &report.findings[0].note;
    assert!(note.contains("the catalog's row of this file is damaged") && note.contains("fits the history"), "{note}");
    flip(&place.path("a").join(CLIP), 5);
    let report = verify(&place, &["a/A001"]);
    assert!(report.findings[0].note.contains("does not fit either"), "{report:?}");
}

#[test]
fn a_damaged_row_of_a_copy_is_named_once_and_healed_by_the_proof() {
    let place = offloaded();
    sql(&place, "UPDATE copy SET proven_at = '2026-01-01T00:00:00.000Z' WHERE CAST(relpath AS TEXT) LIKE '%C001.MOV'");
    place.run(&["status", "A001"]).expect(20);
    let report = verify(&place, &["A001"]);
    assert_eq!((report.exit_code(), report.files, report.good, report.findings.len()), (11, 6, 4, 2), "{report:?}");
    assert_eq!(verify(&place, &["A001"]).exit_code(), 0);
    place.run(&["status", "A001"]).expect(0);
}

fn at_once() -> PatrolRequest {
    PatrolRequest { due: Some(Duration::ZERO), ..PatrolRequest::default() }
}

#[test]
fn patrol_takes_the_oldest_proof_first_and_stops_at_the_budget() {
    let place = offloaded();
    place.config("[policy]\ndistinct_devices = false\n[verify]\nflash_lanes = 1\n");
    let fresh = run_patrol(&place, PatrolRequest::default());
    assert_eq!((fresh.files, fresh.complete, fresh.exit_code()), (0, true, 0));
    // The clips were proven some hours ago, the notes a while later: within one second it is by names.
    let (_, mut catalog) = station(&place);
    for copy in catalog.all_copy_roots().unwrap() {
        for row in &catalog.copies(copy.id).unwrap() {
            let ago = if row.relpath.name() == b"NOTES.TXT" { 1.hours() } else { 3.hours() };
            let (Some(size_bytes), Some(mtime_ns), Some(read_back)) = (row.size_bytes, row.mtime_ns, row.read_back)
            else {
                panic!("{row:?}");
            };
            let (proof, at) = (Proof { size_bytes, mtime_ns, read_back }, row.proven_at.unwrap() - ago);
            catalog.mark_proven(copy.id, &row.relpath, proof, at).unwrap();
        }
    }
    drop(catalog);
    // A budget of nothing still proves one file a pass. The notes were proven last, so the clips come before them.
    let mut sizes = Vec::new();
    for _ in 0..5 {
        let report = run_patrol(&place, PatrolRequest { budget: Some(Duration::from_nanos(1)), ..at_once() });
        assert_eq!((report.files, report.complete, report.exit_code()), (1, false, 0), "{report:?}");
        sizes.push(report.bytes);
    }
    assert_eq!(sizes[4], 12);
    sizes[..4].sort();
    assert_eq!(sizes[..4], [MIB, MIB, 3_500_000, 3_500_000]);
    let all = run_patrol(&place, at_once());
    assert_eq!((all.files, all.good, all.complete), (6, 6, true));
}

#[test]
fn damage_found_by_patrol_stays_due() {
    let place = offloaded();
    flip(&place.path("a").join(CLIP), 5);
    assert_eq!(run_patrol(&place, at_once()).exit_code(), 11);
    // Nothing else is due, and the alarm does not stop by itself.
    let again = run_patrol(&place, PatrolRequest::default());
    assert_eq!((again.files, again.exit_code()), (1, 11));
}

#[test]
fn a_second_patrol_does_nothing_and_says_so() {
    let place = offloaded();
    let (station, _) = station(&place);
    let held = lock::try_lock(&station.state.join("locks"), "patrol").unwrap().unwrap();
    let second = run_patrol(&place, at_once());
    assert_eq!((second.already_running, second.files, second.exit_code()), (true, 0, 0));
    drop(held);
    assert_eq!(run_patrol(&place, at_once()).files, 6);
}

#[test]
fn coverage_is_judged_only_where_it_was_promised() {
    let place = offloaded();
    place.config("[policy]\ndistinct_devices = false\n[patrol]\nevery = \"1ms\"\nfor = \"1ms\"\n");
    let request = |judge_coverage| PatrolRequest { judge_coverage, ..PatrolRequest::default() };
    assert_eq!(run_patrol(&place, request(false)).exit_code(), 0);
    let judged = run_patrol(&place, request(true));
    assert_eq!((judged.coverage_lost, judged.exit_code()), (true, 20), "{judged:?}");
    place.config("[policy]\ndistinct_devices = false\n[patrol]\nevery = \"1d\"\n");
    assert_eq!(run_patrol(&place, request(true)).exit_code(), 0);
}

#[test]
fn a_report_lies_where_it_was_asked_for_and_other_kinds_are_refused_first() {
    let place = offloaded();
    let path = place.path("r.json");
    run_patrol(&place, PatrolRequest { report: Some(path.clone()), ..at_once() });
    let read: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!((&read["files"], &read["good"]), (&6.into(), &6.into()));
    let (station, mut catalog) = station(&place);
    let csv = PatrolRequest { report: Some(place.path("r.csv")), ..at_once() };
    let refused = patrol::patrol(&station, &mut catalog, &csv, &Silent).unwrap_err();
    assert!(matches!(refused, PatrolError::ReportName(_)), "{refused}");
}

#[test]
fn people_are_told_of_damage_once_a_pass() {
    let place = offloaded();
    let told = place.path("told");
    let script = format!("cat >> {}", told.display());
    place.config(&format!(
        "[policy]\ndistinct_devices = false\n[notify]\ncommand = [\"/bin/sh\", \"-c\", \"{script}\"]\non = [\"damage\"]\n"
    ));
    run_patrol(&place, at_once());
    assert!(!told.exists());
    flip(&place.path("a").join(CLIP), 5);
    flip(&place.path("b").join(CLIP), 5);
    run_patrol(&place, at_once());
    let text = std::fs::read_to_string(&told).unwrap();
    let event: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&event["event"], event["detail"]["findings"].as_array().unwrap().len()), (&"damage".into(), 2));
}

#[test]
fn a_roll_or_a_volume_narrows_a_patrol() {
    let place = offloaded();
    let here = goodgate::disk::facts::of(&place.path("")).unwrap();
    let volume = Some(here.mount.point.display().to_string());
    assert_eq!(run_patrol(&place, PatrolRequest { volume, roll: Some("A001".into()), ..at_once() }).files, 6);
    let (station, mut catalog) = station(&place);
    for request in [
        PatrolRequest { volume: Some("no such".into()), ..at_once() },
        PatrolRequest { roll: Some("B001".into()), ..at_once() },
    ] {
        assert!(patrol::patrol(&station, &mut catalog, &request, &Silent).is_err());
    }
}

/// An ext4 filesystem in an image file, mounted below the place; unmounted when dropped.
struct Volume {
    image: PathBuf,
    point: PathBuf,
    mounted: bool,
}

impl Volume {
    /// `None` where this user may not mount: then the test says so and proves nothing.
    fn new(place: &Place) -> Option<Self> {
        let (image, point) = (place.path("volume.img"), place.path("vol"));
        std::fs::create_dir_all(&point).unwrap();
        std::fs::File::create(&image).unwrap().set_len(64 * MIB).unwrap();
        let mut volume = Volume { image, point, mounted: false };
        let made = std::process::Command::new("mkfs.ext4").arg("-q").arg(&volume.image).status();
        if !made.is_ok_and(|s| s.success()) || !volume.mount() {
            eprintln!("SKIPPED: needs mkfs.ext4 and the right to mount images");
            return None;
        }
        Some(volume)
    }

    fn mount(&mut self) -> bool {
        let mut mount = std::process::Command::new("mount");
        let done = mount.args(["-o", "loop"]).arg(&self.image).arg(&self.point).output().unwrap();
        self.mounted = done.status.success();
        self.mounted
    }

    fn unmount(&mut self, lazily: bool) {
        // Another test that starts a program at this moment may hold what is open here for an instant.
        let begun = std::time::Instant::now();
        loop {
            let mut umount = std::process::Command::new("umount");
            let done = umount.args(lazily.then_some("-l")).arg(&self.point).output().unwrap();
            let busy = String::from_utf8_lossy(&done.stderr);
            match done.status.success() {
                true => break,
                false => assert!(begun.elapsed().as_secs() < 20, "{busy}"),
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        self.mounted = false;
    }

    /// Where a byte of a file lies in the image.
    fn offset_of(&self, file: &Path, offset: u64) -> u64 {
        let out = std::process::Command::new("filefrag").args(["-v", "-b1"]).arg(file).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        for line in text.lines() {
            let numbers: Vec<u64> = line.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
            if let [_, from, to, physical, ..] = numbers[..]
                && line.contains("..")
                && (from..=to).contains(&offset)
            {
                return physical + offset - from;
            }
        }
        panic!("no extent holds {offset}: {text}");
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.mounted {
            self.unmount(true);
        }
    }
}

/// The card on a volume of its own and in `b`.
fn on_volume() -> Option<(Volume, Place)> {
    let place = Place::new().with_card();
    let volume = Volume::new(&place)?;
    place.run(&["offload", "card/A001", "--to", "vol", "--to", "b", "--no-media", "--json"]).expect(0);
    Some((volume, place))
}

#[test]
fn a_byte_that_changed_below_a_warm_cache_is_found() {
    use std::os::unix::fs::FileExt;
    let Some((volume, place)) = on_volume() else { return };
    let clip = volume.point.join(CLIP);
    let before = std::fs::read(&clip).unwrap();
    let at = MIB + 4321;
    let physical = volume.offset_of(&clip, at);
    let image = std::fs::File::options().read(true).write(true).open(&volume.image).unwrap();
    let mut byte = [0];
    image.read_exact_at(&mut byte, physical).unwrap();
    assert_eq!(byte[0], before[at as usize], "the extent map led elsewhere");
    image.write_all_at(&[byte[0] ^ 1], physical).unwrap();
    image.sync_all().unwrap();
    // Every ordinary reader still gets the old byte.
    assert!(std::fs::read(&clip).unwrap() == before, "the cache was not warm: the test shows nothing");
    let report = verify(&place, &["A001"]);
    let expected = (FindingKind::Altered, "vol/A001".into(), "CLIPS/A001C001.MOV".into(), vec![(MIB, MIB)]);
    assert_eq!(found(&place, &report), [expected]);
    assert_eq!((report.exit_code(), report.good), (11, 5));
}

#[test]
fn an_unplugged_volume_is_absent_and_nothing_on_it_is_missing() {
    let Some((mut volume, place)) = on_volume() else { return };
    let catalog = Catalog::open(&place.catalog()).unwrap();
    let root = catalog.all_copy_roots().unwrap().into_iter().find(|r| r.path.ends_with("vol/A001")).unwrap();
    let proven = catalog.copies(root.id).unwrap().into_iter().map(|c| c.proven_at.unwrap()).min();
    drop(catalog);
    volume.unmount(false);
    let absent = |report: &CheckReport| {
        let [absent] = &report.absent[..] else { panic!("{report:?}") };
        assert!(absent.last_mount.ends_with("/vol") && report.findings.is_empty(), "{report:?}");
        (absent.files, absent.last_proof, report.complete)
    };
    let report = verify(&place, &["A001"]);
    assert_eq!(absent(&report), (3, proven, false));
    assert_eq!((report.files, report.good, report.exit_code()), (3, 3, 0));
    assert_eq!(absent(&run_patrol(&place, at_once())), (3, proven, false));
    // By its path, where only the bare folder is left: nothing could be read.
    let report = verify(&place, &["vol/A001"]);
    assert_eq!((absent(&report), report.exit_code()), ((3, proven, false), 1));
    // Back at another point it is the same volume.
    volume.point = place.path("other");
    std::fs::create_dir(&volume.point).unwrap();
    assert!(volume.mount());
    std::fs::remove_file(volume.point.join("A001/NOTES.TXT")).unwrap();
    let report = verify(&place, &["A001"]);
    let missing = (FindingKind::Missing, "other/A001".into(), "NOTES.TXT".into(), vec![]);
    assert_eq!((found(&place, &report), report.files, report.good), (vec![missing], 6, 5));
}

/// Acts once, when the first bytes were read.
struct OnFirstBytes<F: Fn() + Sync>(F, std::sync::Once);

impl<F: Fn() + Sync> Progress for OnFirstBytes<F> {
    fn event(&self, event: Event<'_>) {
        if let Event::Bytes { .. } = event {
            self.1.call_once(&self.0);
        }
    }

    fn record(&self, _: Intent) -> Result<(), CannotRecord> {
        Ok(())
    }
}

#[test]
fn a_volume_that_leaves_during_the_check_makes_nothing_missing() {
    let Some((mut volume, place)) = on_volume() else { return };
    place.config("[policy]\ndistinct_devices = false\n[verify]\nflash_lanes = 1\n");
    let (station, mut catalog) = station(&place);
    let point = volume.point.clone();
    let pull = OnFirstBytes(
        || assert!(std::process::Command::new("umount").arg("-l").arg(&point).status().unwrap().success()),
        std::sync::Once::new(),
    );
    let card = Target::Card(catalog.cards().unwrap()[0].id);
    let report = patrol::verify(&station, &mut catalog, &[card], &pull).unwrap();
    volume.mounted = false;
    assert!(report.findings.is_empty(), "{report:?}");
    let absent: u64 = report.absent.iter().map(|a| a.files).sum();
    assert_eq!(report.good + absent, 6, "{report:?}");
}

fn device_lock_name(place: &Place) -> String {
    let facts = goodgate::disk::facts::of(&place.path("a")).unwrap();
    format!("device {}", facts.disk.id.unwrap_or(facts.volume_key))
}

#[test]
fn patrol_waits_for_an_offload_no_longer_than_its_budget() {
    let place = offloaded();
    let (station, _) = station(&place);
    let held = lock::try_lock(&station.state.join("locks"), &device_lock_name(&place)).unwrap().unwrap();
    let short = PatrolRequest { budget: Some(Duration::from_millis(300)), ..at_once() };
    let report = run_patrol(&place, short.clone());
    assert_eq!((report.files, report.complete, report.exit_code()), (0, false, 0));
    drop(held);
    assert!(run_patrol(&place, short).files > 0);
}

#[test]
fn patrol_gives_way_to_an_offload_in_the_middle_of_a_file_and_goes_on_after_it() {
    let place = offloaded();
    place.config("[policy]\ndistinct_devices = false\n[verify]\nflash_lanes = 1\n");
    let (station, mut catalog) = station(&place);
    let (locks, name) = (station.state.join("locks"), device_lock_name(&place));
    let (begun, has_begun) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let (locks, name) = (&locks, &name);
        let offload = scope.spawn(move || {
            has_begun.recv().unwrap();
            let asked = std::time::Instant::now();
            let lock = lock::wait_lock(locks, name, || asked.elapsed() > Duration::from_secs(60)).unwrap();
            assert!(lock.is_some(), "patrol kept the device");
            asked.elapsed()
        });
        // 9 MB at this rate take 3 s.
        let request = PatrolRequest { rate: Some(3_000_000), ..at_once() };
        let progress = OnFirstBytes(|| begun.send(()).unwrap(), std::sync::Once::new());
        let all = std::time::Instant::now();
        let report = patrol::patrol(&station, &mut catalog, &request, &progress).unwrap();
        assert_eq!((report.good, report.complete, report.findings.len()), (6, true, 0), "{report:?}");
        assert!(offload.join().unwrap() < all.elapsed() / 2);
    });
}

#[test]
fn a_stop_keeps_what_was_recorded() {
    struct StopAfterOne(AtomicBool);
    impl Progress for StopAfterOne {
        fn event(&self, event: Event<'_>) {
            if let Event::FileDone { .. } = event {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        fn stop_asked(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }
        fn record(&self, _: Intent) -> Result<(), CannotRecord> {
            Ok(())
        }
    }
    let place = offloaded();
    place.config("[policy]\ndistinct_devices = false\n[verify]\nflash_lanes = 1\n");
    let before = jiff::Timestamp::now();
    let (station, mut catalog) = station(&place);
    let report =
        patrol::verify(&station, &mut catalog, &[Target::Everything], &StopAfterOne(AtomicBool::new(false))).unwrap();
    assert!(!report.complete && report.files >= 1 && report.files < 6, "{report:?}");
    let roots = catalog.all_copy_roots().unwrap();
    let rows = roots.iter().flat_map(|r| catalog.copies(r.id).unwrap());
    assert_eq!(rows.filter(|r| r.proven_at > Some(before)).count() as u64, report.good);
}

#[test]
fn a_history_that_the_card_brought_may_grow_on_its_copies_and_must_hold() {
    let place = Place::new().with_card();
    // The card is itself a sealed copy of another one.
    let other = Place::new().with_card();
    other.offload(&["--no-media"]).expect(0);
    let moved = std::process::Command::new("cp").arg("-a").arg(other.path("a/A001/ascmhl")).arg(place.card()).status();
    assert!(moved.unwrap().success());
    place.offload(&["--no-media"]).expect(0);
    let report = verify(&place, &["A001"]);
    assert_eq!((report.exit_code(), report.files, report.good, report.findings.len()), (0, 10, 10, 0), "{report:?}");
    place.run(&["status", "A001"]).expect(0);
    flip(&place.path("a/A001/ascmhl/ascmhl_chain.xml"), 300);
    let report = verify(&place, &["A001"]);
    assert_eq!((report.exit_code(), report.good), (11, 9), "{report:?}");
}

#[test]
fn a_kill_in_the_middle_loses_no_more_than_the_last_second_and_a_second_runner_waits_for_nothing() {
    use std::io::BufRead;
    let place = offloaded();
    place.config("[policy]\ndistinct_devices = false\n[verify]\nflash_lanes = 1\n");
    let began = jiff::Timestamp::now();
    let slow = ["patrol", "--due", "0s", "--rate", "2MB/s", "--progress", "json"];
    let mut command = place.goodgate(&slow);
    let mut child = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let events = std::io::BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut first = None;
    for line in events.filter(|l| l.contains("\"file\"") || l.contains("\"bytes\"")) {
        let is_file = line.contains("\"file\"");
        match first {
            None if is_file => {
                first = Some(std::time::Instant::now());
                let second = place.run(&["patrol", "--due", "0s", "--json"]).expect(0).json();
                assert_eq!((&second["already_running"], &second["files"]), (&true.into(), &0.into()));
            }
            // Longer than a result may wait for its commit.
            Some(at) if at.elapsed() > Duration::from_millis(1500) => break,
            _ => {}
        }
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "it ended before the kill: the test shows nothing");
    let rows = |place: &Place| {
        let catalog = Catalog::open(&place.catalog()).unwrap();
        assert!(catalog.check().unwrap().is_empty());
        let roots = catalog.all_copy_roots().unwrap();
        roots.iter().flat_map(|r| catalog.copies(r.id).unwrap()).filter(|r| r.proven_at > Some(began)).count()
    };
    let kept = rows(&place);
    assert!((1..6).contains(&kept), "{kept}");
    let report = place.run(&["patrol", "--due", "0s", "--json"]).expect(0).json();
    assert_eq!((&report["files"], &report["good"], &report["complete"]), (&6.into(), &6.into(), &true.into()));
    assert_eq!(rows(&place), 6);
}

#[test]
fn the_program_ends_with_the_code_of_the_worst_finding() {
    let place = offloaded();
    place.run(&["verify", "A001"]).expect(0);
    std::fs::remove_file(place.path("b/A001/NOTES.TXT")).unwrap();
    place.run(&["verify", "A001"]).expect(10);
    flip(&place.path("a").join(CLIP), 2 * MIB);
    let report = place.run(&["verify", "a", "b", "--json"]).expect(11).json();
    assert_eq!(report["findings"][0]["blocks"], serde_json::json!([[2 * MIB, MIB]]));
    place.run(&["patrol", "--due", "0s"]).expect(11);
    place.run(&["verify", "b/A001"]).expect(10);
    place.run(&["verify", "Z999"]).expect(30);
}

#[test]
fn a_bad_sector_is_unreadable_and_names_its_blocks() {
    let Some((volume, place)) = on_volume() else { return };
    let clip = volume.point.join(CLIP);
    let physical = volume.offset_of(&clip, 2 * MIB + 4096);
    // The medium ends in the middle of the file: reads beyond fail, as they do on a bad sector.
    std::fs::File::options().write(true).open(&volume.image).unwrap().set_len(physical).unwrap();
    let report = verify(&place, &["vol/A001/CLIPS/A001C001.MOV"]);
    let blocks = vec![(2 * MIB, 3_500_000 - 2 * MIB)];
    let expected = (FindingKind::Unreadable, "vol/A001".into(), "CLIPS/A001C001.MOV".into(), blocks);
    assert_eq!(found(&place, &report), [expected], "{report:?}");
    assert_eq!((report.exit_code(), report.files, report.good), (12, 1, 0));
}
