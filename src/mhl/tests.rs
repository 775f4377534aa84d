//! Whole histories in a temporary folder: what a seal writes, what a reader then believes, what neither accepts.

use super::*;
use crate::copy::Generation;
use crate::digest::{Digest, HashFormat};
use crate::disk::Root;
use crate::hash::digest_of;
use crate::relpath::RelPath;
use crate::verify::{SealAction, SealEntry};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::PathBuf;

struct Roll {
    _dir: tempfile::TempDir,
    root: Root,
    formats: Vec<HashFormat>,
    entries: Vec<SealEntry>,
    folders: Vec<RelPath>,
    folder_times: BTreeMap<RelPath, i64>,
    renames: BTreeMap<RelPath, RelPath>,
    whole: bool,
    creator: Creator,
    ignore: Vec<String>,
    started_at: Timestamp,
    resume: bool,
}

fn rel(path: &str) -> RelPath {
    RelPath::new(path).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

impl Roll {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("demo")).unwrap();
        let creator = Creator {
            hostname: "cart1".into(),
            tool: "ingest".into(),
            tool_version: "0.1.0".into(),
            ..Creator::default()
        };
        Roll {
            root: Root::open(&dir.path().join("demo")).unwrap(),
            _dir: dir,
            formats: vec![HashFormat::Xxh64],
            entries: Vec::new(),
            folders: Vec::new(),
            folder_times: BTreeMap::new(),
            renames: BTreeMap::new(),
            whole: true,
            resume: true,
            creator,
            ignore: Vec::new(),
            started_at: at("2026-01-02T03:04:05Z"),
        }
    }

    fn demo() -> Self {
        let mut roll = Roll::new();
        for (path, text) in
            [("Clips/a.mov", "hello"), ("Clips/b.mov", "world"), ("Sidecar.txt", "sidecar\n"), ("zero.bin", "")]
        {
            roll.add(path, text, SealAction::Original);
        }
        roll.folder("Empty");
        roll.folder("Clips");
        roll
    }

    fn add(&mut self, path: &str, text: &str, action: SealAction) {
        let full = self.path(path);
        std::fs::create_dir_all(full.parent().unwrap()).unwrap();
        std::fs::write(full, text).unwrap();
        let digests: Vec<Digest> = self.formats.iter().map(|f| digest_of(*f, text.as_bytes())).collect();
        let mtime_ns = at("2026-01-02T03:00:00Z").as_nanosecond() as i64;
        let hashed_at = at("2026-01-02T03:04:06Z");
        self.entries.push(SealEntry::for_test(path, text.len() as u64, mtime_ns, digests, action, hashed_at));
    }

    fn folder(&mut self, path: &str) {
        std::fs::create_dir_all(self.path(path)).unwrap();
        self.folders.push(rel(path));
    }

    fn path(&self, relpath: &str) -> PathBuf {
        self.root.path().join(relpath)
    }

    fn seal(&self) -> Result<Generation, MhlError> {
        seal(&SealRequest {
            root: &self.root,
            entries: &self.entries,
            folders: &self.folders,
            folder_times: &self.folder_times,
            renames: &self.renames,
            process: Process::Transfer,
            whole: self.whole,
            creator: &self.creator,
            ignore: &self.ignore,
            started_at: self.started_at,
            may_fail: false,
            resume: self.resume,
        })
    }

    /// The next seal, with nothing in it yet.
    fn next(&mut self, started_at: &str) {
        self.entries.clear();
        self.whole = false;
        self.started_at = at(started_at);
    }

    fn text(&self, generation: &Generation) -> String {
        std::fs::read_to_string(generation.manifest.under(self.root.path())).unwrap()
    }

    fn history(&self) -> History {
        History::read(&self.root).unwrap().unwrap()
    }

    fn fault(&self) -> &'static str {
        History::read(&self.root).unwrap_err().kind()
    }

    fn names(&self) -> Vec<String> {
        let names = self.root.names(&rel("ascmhl")).unwrap();
        names.into_iter().map(|n| String::from_utf8(n).unwrap()).collect()
    }
}

#[test]
fn a_first_seal_writes_the_standards_example_byte_for_byte() {
    let mut roll = Roll::demo();
    let time = at("2026-01-02T03:00:00Z").as_nanosecond() as i64;
    roll.folder_times = ["Clips", "Empty"].map(|f| (rel(f), time)).into();
    let g = roll.seal().unwrap();
    assert_eq!((g.number, g.manifest.to_string().as_str()), (1, "ascmhl/0001_demo_2026-01-02_030405Z.mhl"));
    assert_eq!(roll.text(&g), include_str!("testdata/demo.mhl"));
    assert_eq!(
        g.c4.text(),
        "c43T3RtB8G78PqpZvL8zyFtKvtCcwXiERNsqRvA2XDexfahzoDiAgQLhKQ8Wh3PkDaPMPZSEuB8KuKqyZfjoK6Zqsb"
    );
    // Without folder times: the same, but for those.
    let bare = Roll::demo();
    let lines = include_str!("testdata/demo.mhl").lines();
    let stamp = " lastmodificationdate=\"2026-01-02T03:00:00Z\"";
    let golden: Vec<String> =
        lines.map(|l| if l.contains("size=") { l.to_owned() } else { l.replace(stamp, "") }).collect();
    assert_eq!(bare.text(&bare.seal().unwrap()), golden.join("\n") + "\n");
    assert_eq!(
        std::fs::read_to_string(roll.path("ascmhl/ascmhl_chain.xml")).unwrap(),
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ascmhldirectory xmlns=\"urn:ASC:MHL:DIRECTORY:v2.0\">\n  \
             <hashlist sequencenr=\"1\">\n    <path>0001_demo_2026-01-02_030405Z.mhl</path>\n    <c4>{}</c4>\n  \
             </hashlist>\n</ascmhldirectory>\n",
            g.c4.text()
        )
    );
    assert_eq!(roll.names().len(), 2);
}

#[test]
fn what_was_sealed_reads_back() {
    let mut roll = Roll::demo();
    roll.formats = vec![HashFormat::C4, HashFormat::Xxh64, HashFormat::Md5];
    roll.add(" odd & <\"'> caf\u{e9} ", "x", SealAction::Original);
    let g = roll.seal().unwrap();
    let h = roll.history();
    assert_eq!((h.kind(), h.generations.clone(), h.notes.len()), ("ok", vec![g], 0));
    assert_eq!(h.records.len(), 5);
    let odd = &h.records[&rel(" odd & <\"'> caf\u{e9} ")];
    assert_eq!(odd.known.iter().map(|k| k.digest.format.name()).collect::<Vec<_>>(), ["c4", "md5", "xxh64"]);
    assert_eq!(h.records[&rel("zero.bin")].size_bytes, Some(0));
    assert_eq!(h.folders.iter().map(|f| f.to_string()).collect::<Vec<_>>(), ["Clips", "Empty"]);
    assert_eq!(h.formats()[0], HashFormat::Xxh64);
}

#[test]
fn nothing_sealed_depends_on_the_order_of_the_request() {
    let mut roll = Roll::demo();
    let first = roll.seal().unwrap();
    let mut other = Roll::demo();
    other.entries.reverse();
    other.folders.reverse();
    assert_eq!(other.seal().unwrap(), first);
    roll.entries.clear();
    assert_eq!(roll.seal().unwrap().number, 2);
}

#[test]
fn a_later_generation_says_verified_original_or_failed_by_what_the_history_knows() {
    let mut roll = Roll::demo();
    roll.ignore = vec!["*.tmp".into()];
    roll.seal().unwrap();
    roll.next("2026-01-03T10:15:00Z");
    roll.ignore = vec!["Thumbs.db".into()];
    roll.formats = vec![HashFormat::Xxh64, HashFormat::Md5];
    roll.add("Clips/a.mov", "hello", SealAction::Original);
    roll.add("Clips/b.mov", "World", SealAction::Failed);
    roll.add("Clips/c.mov", "new", SealAction::Verified);
    roll.add("Clips/d.mov", "bad", SealAction::Failed);
    roll.add("Clips/e.tmp", "litter", SealAction::Original);
    let g = roll.seal().unwrap();
    let text = roll.text(&g);
    let hash = |path: &str| {
        let from = text.find(&format!(">{path}<")).unwrap_or_else(|| panic!("{path} in {text}"));
        text[from..].split("</hash>").next().unwrap().to_owned()
    };
    assert_eq!(hash("Clips/a.mov").matches("action=\"verified\"").count(), 2);
    let failed = hash("Clips/b.mov");
    assert!(failed.contains("<xxh64 action=\"failed\"") && !failed.contains("<md5"), "{failed}");
    assert_eq!(hash("Clips/c.mov").matches("action=\"original\"").count(), 2);
    assert!(!text.contains("d.mov") && text.contains("<comment>1 x left out, it failed"), "{text}");
    assert!(!text.contains("e.tmp"));
    assert!(!text.contains("roothash") && !text.contains("directoryhash"));
    let patterns = [".DS_Store", "ascmhl", "ascmhl/", "*.tmp", "Thumbs.db"];
    assert_eq!(roll.history().ignore.lines(), patterns);
    let record = roll.history().records[&rel("Clips/b.mov")].clone();
    assert_eq!((record.known.len(), record.known[0].generation), (1, 1));
    assert_eq!(record.known[0].digest, digest_of(HashFormat::Xxh64, b"world"));
}

#[test]
fn a_seal_that_contradicts_the_history_or_cannot_be_compared_is_refused() {
    let mut roll = Roll::demo();
    roll.seal().unwrap();
    roll.next("2026-01-03T10:15:00Z");
    roll.add("Clips/a.mov", "hellO", SealAction::Verified);
    assert!(matches!(roll.seal(), Err(MhlError::Contradiction { .. })));
    roll.next("2026-01-03T10:15:00Z");
    roll.add("Clips/a.mov", "hello", SealAction::Failed);
    assert!(matches!(roll.seal(), Err(MhlError::Entry { .. })));
    roll.next("2026-01-03T10:15:00Z");
    roll.formats = vec![HashFormat::Md5];
    roll.add("Clips/a.mov", "hello", SealAction::Verified);
    assert!(matches!(roll.seal(), Err(MhlError::NoCommonFormat { .. })));
    roll.next("2026-01-03T10:15:00Z");
    roll.formats = vec![];
    roll.add("Clips/a.mov", "hello", SealAction::Verified);
    assert!(matches!(roll.seal(), Err(MhlError::Entry { .. })));
    assert_eq!(roll.names().len(), 2);
}

#[test]
fn what_no_manifest_can_name_is_counted_and_takes_the_claim_for_the_whole_away() {
    let mut roll = Roll::demo();
    roll.add("line\nbreak.mov", "x", SealAction::Original);
    roll.add("Clips/.DS_Store", "x", SealAction::Original);
    roll.creator.comment = Some("day 1".into());
    let text = roll.text(&roll.seal().unwrap());
    assert!(text.contains("<comment>day 1; 1 x left out, its name cannot be written in a manifest</comment>"));
    assert!(!text.contains("break") && !text.contains(">Clips/.DS_Store<") && !text.contains("roothash"));
    assert_eq!(text.matches("<hash>").count(), 4);
}

#[test]
fn a_roll_without_files_is_sealed_with_its_empty_folders() {
    let mut roll = Roll::new();
    roll.folder("Empty");
    let text = roll.text(&roll.seal().unwrap());
    assert_eq!(text.matches("ef46db3751d8e999").count(), 2, "Empty's pair; the root holds one child");
    let mut bare = Roll::new();
    bare.whole = false;
    assert!(!bare.text(&bare.seal().unwrap()).contains("<hashes>"));
}

#[test]
fn sealing_again_with_the_same_start_changes_nothing() {
    let roll = Roll::demo();
    let first = roll.seal().unwrap();
    let chain = std::fs::read(roll.path("ascmhl/ascmhl_chain.xml")).unwrap();
    assert_eq!(roll.seal().unwrap(), first);
    assert_eq!(std::fs::read(roll.path("ascmhl/ascmhl_chain.xml")).unwrap(), chain);
    assert_eq!(roll.names().len(), 2);
}

#[test]
fn a_crash_between_manifest_and_chain_is_finished_by_the_same_seal() {
    let mut roll = Roll::demo();
    let first = roll.seal().unwrap();
    std::fs::remove_file(roll.path("ascmhl/ascmhl_chain.xml")).unwrap();
    assert_eq!(roll.seal().unwrap(), first);
    let chain = std::fs::read(roll.path("ascmhl/ascmhl_chain.xml")).unwrap();
    roll.next("2026-01-03T10:15:00Z");
    roll.add("Clips/c.mov", "new", SealAction::Original);
    let second = roll.seal().unwrap();
    std::fs::write(roll.path("ascmhl/ascmhl_chain.xml"), chain).unwrap();
    assert_eq!(roll.history().kind(), "unlisted_manifest");
    assert_eq!(roll.seal().unwrap(), second);
    assert_eq!(roll.history().kind(), "ok");
}

#[test]
fn what_a_seal_in_place_left_before_its_chain_is_set_aside_by_the_next_one() {
    for first in [true, false] {
        let mut roll = Roll::demo();
        roll.resume = false;
        if !first {
            roll.seal().unwrap();
            roll.next("2026-01-03T10:15:00Z");
            roll.add("Clips/c.mov", "new", SealAction::Original);
        }
        let chain = std::fs::read(roll.path("ascmhl/ascmhl_chain.xml")).ok();
        let cut = roll.seal().unwrap();
        match &chain {
            Some(chain) => std::fs::write(roll.path("ascmhl/ascmhl_chain.xml"), chain).unwrap(),
            None => std::fs::remove_file(roll.path("ascmhl/ascmhl_chain.xml")).unwrap(),
        }
        // Read anew: another time, other bytes.
        roll.started_at = at("2026-01-04T00:00:00Z");
        let made = roll.seal().unwrap();
        assert_eq!((made.number, roll.history().kind()), (cut.number, "ok"));
        let aside = format!("ascmhl/.{}.goodgate-part", String::from_utf8_lossy(cut.manifest.name()));
        assert!(roll.path(&aside).is_file(), "{aside} is kept");
        roll.creator.hostname = "another".into();
        std::fs::rename(roll.path(&aside), roll.path("ascmhl/0009_demo_2026-01-05_000000Z.mhl")).unwrap();
        assert!(matches!(roll.seal(), Err(MhlError::Unlisted { .. })), "neither its number nor its maker fits");
    }
}

#[test]
fn an_unlisted_manifest_that_is_not_ours_stops_the_seal_and_stays() {
    for name in ["0001_demo_2026-01-02_030405Z.mhl", "0001_demo_2025-12-31_000000Z.mhl", "0002_x.mhl"] {
        let roll = Roll::demo();
        std::fs::create_dir(roll.path("ascmhl")).unwrap();
        std::fs::write(roll.path("ascmhl").join(name), "theirs").unwrap();
        assert!(matches!(roll.seal(), Err(MhlError::Unlisted { .. })), "{name}");
        assert_eq!(roll.names(), [name]);
    }
}

#[test]
fn a_damaged_history_is_named_and_never_continued() {
    type Damage = fn(&Roll, &Generation);
    let cases: [(&str, Damage); 5] = [
        ("manifest_modified", |r, g| {
            let text = r.text(g).replace("cart1", "cart2");
            std::fs::write(g.manifest.under(r.root.path()), text).unwrap();
        }),
        ("manifest_missing", |r, g| std::fs::remove_file(g.manifest.under(r.root.path())).unwrap()),
        ("chain_missing", |r, _| std::fs::remove_file(r.path("ascmhl/ascmhl_chain.xml")).unwrap()),
        ("chain_missing", |r, _| std::fs::write(r.path("ascmhl/ascmhl_chain.xml"), "<ascmhldirectory").unwrap()),
        ("unreadable", |r, _| {
            std::fs::remove_file(r.path("ascmhl/ascmhl_chain.xml")).unwrap();
            std::os::unix::fs::symlink("/dev/null", r.path("ascmhl/ascmhl_chain.xml")).unwrap();
        }),
    ];
    for (kind, damage) in cases {
        let mut roll = Roll::demo();
        let g = roll.seal().unwrap();
        damage(&roll, &g);
        assert_eq!(roll.fault(), kind);
        let before = roll.names();
        roll.next("2026-01-03T10:15:00Z");
        assert!(roll.seal().is_err(), "{kind}");
        assert_eq!(roll.names(), before);
    }
}

#[test]
fn a_chain_without_c4_is_read_but_not_continued() {
    let mut roll = Roll::demo();
    let g = roll.seal().unwrap();
    let md5 = digest_of(HashFormat::Md5, roll.text(&g).as_bytes()).text();
    let chain = std::fs::read_to_string(roll.path("ascmhl/ascmhl_chain.xml")).unwrap();
    let chain = chain.replace(&g.c4.text(), &md5).replace("c4>", "md5>");
    std::fs::write(roll.path("ascmhl/ascmhl_chain.xml"), chain).unwrap();
    assert_eq!(roll.history().records.len(), 4);
    roll.next("2026-01-03T10:15:00Z");
    assert!(matches!(roll.seal(), Err(MhlError::NotC4 { .. })));
}

#[test]
fn a_nested_history_is_continued_first_and_owns_its_files() {
    let mut card = Roll::new();
    std::fs::create_dir(card.path("A001")).unwrap();
    let mut day = Roll { root: Root::open(card.root.path()).unwrap(), ..Roll::new() };
    card.root = card.root.sub_root(&rel("A001")).unwrap();
    card.add("Clips/a.mov", "hello", SealAction::Original);
    card.seal().unwrap();
    day.started_at = at("2026-01-03T10:15:00Z");
    day.add("A001/Clips/a.mov", "hello", SealAction::Original);
    day.add("notes.txt", "note\n", SealAction::Original);
    ["A001", "A001/Clips", "A001/ascmhl"].into_iter().for_each(|f| day.folder(f));
    let g = day.seal().unwrap();
    let (inner, outer) = (card.history(), day.text(&g));
    assert_eq!(inner.generations.len(), 2);
    let child = std::fs::read_to_string(inner.generations[1].manifest.under(card.root.path())).unwrap();
    assert!(child.contains(">Clips/a.mov<") && child.contains("action=\"verified\""));
    assert!(!outer.contains("a.mov") && outer.contains("<path>A001</path>") && !outer.contains("A001/Clips"));
    assert!(outer.contains(&format!("<path>A001/{}</path>", inner.generations[1].manifest)));
    assert!(outer.contains(&inner.generations[1].c4.text()));
    assert_eq!(day.seal().unwrap(), g);
    // A crash behind the inner history and before the outer one.
    std::fs::remove_dir_all(day.path("ascmhl")).unwrap();
    assert_eq!(day.seal().unwrap(), g);
    assert_eq!(card.history().generations.len(), 2);
    let h = day.history();
    assert_eq!(h.records.keys().map(|p| p.to_string()).collect::<Vec<_>>(), ["A001/Clips/a.mov", "notes.txt"]);
    assert_eq!(h.folders.len(), 2);

    std::fs::rename(card.path("ascmhl"), card.path("gone")).unwrap();
    assert_eq!(day.fault(), "nested_missing");
    std::fs::rename(card.path("gone"), card.path("ascmhl")).unwrap();
    std::fs::write(inner.generations[1].manifest.under(card.root.path()), child + " ").unwrap();
    assert_eq!(day.fault(), "manifest_modified");
}

#[test]
fn renames_are_followed_through_several_names() {
    let parse = |hashes: &str| {
        let text = format!("<hashlist xmlns=\"urn:ASC:MHL:v2.0\"><hashes>{hashes}</hashes></hashlist>");
        super::manifest::read(text.as_bytes()).unwrap()
    };
    let h = |path: &str, old: &str, hex: &str| {
        let old = if old.is_empty() { String::new() } else { format!("<previousPath>{old}</previousPath>") };
        format!("<hash><path>{path}</path><xxh64>{hex}</xxh64>{old}</hash>")
    };
    let (one, two) = ("26c7827d889f6da3", "e778fbfe66ee51ef");
    let manifests = [
        parse(&(h("a", "", one) + &h("b", "", two))),
        parse(&(h("b", "a", one) + &h("a", "b", two))),
        parse(&h("c", "b", one)),
    ];
    let mut fold = super::records::Fold::default();
    manifests.into_iter().zip(1..).for_each(|(m, number)| fold.add(number, m));
    let records = fold.records;
    let known: Vec<_> = records.iter().map(|(p, r)| (p.to_string(), r.known[0].digest.text())).collect();
    assert_eq!(known, [("a".into(), two.to_owned()), ("c".into(), one.to_owned())]);
    assert!(records.values().all(|r| r.known.len() == 1 && r.known[0].generation == 1));
}

#[test]
fn the_published_sample_history_is_read() {
    let media = std::env::var_os("GOODGATE_TEST_MEDIA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/media")), PathBuf::from);
    let path = media.join("mhl/ascmhl_scenario_02/file_server/A002R2EC");
    if !path.exists() {
        eprintln!("SKIPPED: no sample at {path:?}; set GOODGATE_TEST_MEDIA");
        return;
    }
    let root = Root::open(&path).unwrap();
    let h = History::read(&root).unwrap().unwrap();
    assert_eq!((h.generations.len(), h.kind(), h.records.len(), h.folders.len()), (2, "ok", 3, 1));
    for (file, record) in &h.records {
        let bytes = std::fs::read(file.under(&path)).unwrap();
        let expected = record.get(HashFormat::Xxh64).unwrap();
        assert_eq!(
            (digest_of(HashFormat::Xxh64, &bytes), record.size_bytes),
            (expected.clone(), Some(bytes.len() as u64))
        );
    }
}
