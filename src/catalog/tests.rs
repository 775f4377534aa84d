//! A small station to try things on, and what must hold across the room's files.

use super::*;
use crate::clip::*;
use crate::copy::{CopyState, FileRecord, Generation, ReadBack};
use crate::digest::{BlockDigests, Digest, Digests, HashFormat};
use crate::evidence::Relaxed;
use crate::finding::{Finding, FindingKind};
use crate::progress::Intent;
use rusqlite::params;

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub(super) fn rel(path: &str) -> RelPath {
    RelPath::new(path).unwrap()
}

fn card_file(path: &str, size_bytes: u64) -> CardFile {
    CardFile { relpath: rel(path), size_bytes, mtime_ns: 1_700_000_000_123_456_789 }
}

pub(super) fn card_of(paths: &[&str]) -> Card {
    let mut files: Vec<CardFile> = paths.iter().map(|p| card_file(p, 5_000_000)).collect();
    files.sort_by(|a, b| a.relpath.cmp(&b.relpath));
    let clip = |p: &&&str| Clip {
        name: String::from_utf8_lossy(rel(p).stem()).into_owned(),
        files: vec![(rel(p), Role::Essence)],
        ..Clip::default()
    };
    let clips = paths.iter().filter(|p| p.ends_with(".MOV")).map(|p| clip(&p)).collect();
    let listing = Listing {
        files,
        folders: vec![rel("CLIPS")],
        specials: vec![(rel("link"), SpecialKind::Symlink)],
        skipped: vec![rel(".DS_Store")],
    };
    Card { layouts: vec!["generic".into()], listing, clips, ..Card::default() }
}

pub(super) fn read_of(path: &str, byte: u8) -> FileRecord {
    let xxh64 = Digest::new(HashFormat::Xxh64, vec![byte; 8]).unwrap();
    FileRecord {
        file: card_file(path, 5_000_000),
        digests: Digests { blake3: [byte; 32], mhl: vec![xxh64] },
        blocks: BlockDigests(vec![[byte; 32]; 5]),
    }
}

pub(super) struct Station {
    pub dir: tempfile::TempDir,
    pub cat: Catalog,
    pub card: CardId,
    pub job: JobId,
    pub roots: [CopyRootId; 2],
}

pub(super) const CLIP: &str = "CLIPS/A001C001.MOV";
const SIDECAR: &str = "CLIPS/A001C001.XML";

impl Station {
    pub fn new() -> Self {
        Self::with(&card_of(&[CLIP, SIDECAR]))
    }

    pub fn with(card: &Card) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut cat = Catalog::open(&dir.path().join("state/catalog.db")).unwrap();
        let disk = |n: &str| Disk { id: Some(n.into()), text: n.to_uppercase() };
        let volume = |cat: &mut Catalog, n: &str| {
            let mount = PathBuf::from(format!("/mnt/{n}"));
            let (key, disk_text) = (format!("uuid:{n}"), n.to_uppercase());
            let life = Default::default();
            let seen = VolumeSeen { key, fs_type: "ext4".into(), label: None, disk_text, mount, life };
            cat.volume(&seen, at(0)).unwrap()
        };
        let new = NewCard {
            roll: "A001".into(),
            source_kind: SourceKind::Card,
            layout: "generic".into(),
            volume: volume(&mut cat, "card"),
            root: RelPath::root(),
            source_path: "/media/A001".into(),
            disk: disk("card"),
        };
        let id = cat.add_card(&new, card, at(0)).unwrap();
        let job = cat.start_job(id, "{}", at(0)).unwrap();
        let roots = ["a", "b"].map(|n| {
            let root = NewCopyRoot {
                volume: volume(&mut cat, n),
                root: rel("A001"),
                destination: format!("/mnt/{n}"),
                path: format!("/mnt/{n}/A001"),
                disk: disk(n),
            };
            cat.copy_root(id, &root, at(0)).unwrap()
        });
        Station { dir, cat, card: id, job, roots }
    }

    pub fn proven(&self, root: usize, path: &str) -> Intent {
        Intent::Proven {
            copy: self.roots[root],
            relpath: rel(path),
            size_bytes: 5_000_000,
            mtime_ns: 7,
            read_back: ReadBack::Device,
            job: self.job,
        }
    }

    /// Both files read and proven on both copies.
    pub fn offloaded() -> Self {
        let mut s = Self::new();
        let mut intents = Vec::new();
        for path in [CLIP, SIDECAR] {
            intents.push(Intent::Read(Box::new(read_of(path, 1))));
            intents.extend([s.proven(0, path), s.proven(1, path)]);
        }
        s.cat.apply(s.card, &intents, at(1)).unwrap();
        s
    }

    fn raw(&self, sql: &str) {
        assert!(self.cat.conn.execute(sql, []).unwrap() > 0, "{sql} changed nothing");
    }

    fn copy(&self, root: usize, path: &str) -> CopyRow {
        self.cat.copy(self.roots[root], &rel(path)).unwrap().unwrap()
    }

    fn file(&self, path: &str) -> FileRow {
        self.cat.file_record(self.card, &rel(path)).unwrap().unwrap()
    }
}

#[test]
fn a_card_comes_back_as_it_was_added() {
    let card = card_of(&[CLIP, SIDECAR]);
    let s = Station::with(&card);
    assert_eq!(s.cat.listing(s.card).unwrap(), card.listing);
    let clips = s.cat.clips(s.card).unwrap();
    assert_eq!(clips.len(), 1);
    assert_eq!((clips[0].name.as_str(), &clips[0].files), ("A001C001", &card.clips[0].files));
    let row = s.cat.card(s.card).unwrap().unwrap();
    assert_eq!((row.files, row.bytes, row.row_intact), (2, 10_000_000, true));
    assert_eq!(s.cat.cards_named("A001").unwrap(), vec![row.clone()]);
    assert_eq!(s.cat.cards_named(&s.card.to_string()[..20]).unwrap(), vec![row.clone()]);
    assert_eq!(s.cat.cards_at(row.volume, &RelPath::root()).unwrap(), vec![row]);
}

#[test]
fn names_that_are_not_utf8_are_kept_raw() {
    let mut card = card_of(&[CLIP]);
    card.listing.files.push(CardFile { relpath: RelPath::new(b"odd\xff\n").unwrap(), size_bytes: 1, mtime_ns: -1 });
    card.listing.files.sort_by(|a, b| a.relpath.cmp(&b.relpath));
    let s = Station::with(&card);
    assert_eq!(s.cat.listing(s.card).unwrap(), card.listing);
}

#[test]
fn twenty_thousand_files_are_added_in_seconds() {
    let paths: Vec<String> = (0..20_000).map(|n| format!("CLIPS/{n:05}.RDC/{n:05}_001.R3D")).collect();
    let card = card_of(&paths.iter().map(String::as_str).collect::<Vec<_>>());
    let start = std::time::Instant::now();
    let s = Station::with(&card);
    assert!(start.elapsed().as_secs() < 20, "took {:?}", start.elapsed());
    assert_eq!(s.cat.evidence(s.card).unwrap().files.len(), 20_000);
}

#[test]
fn extending_a_card_touches_no_old_row_and_unseals_its_copies() {
    let mut s = Station::offloaded();
    let c4 = Digest::new(HashFormat::C4, vec![3; 64]).unwrap();
    let generation = Generation { number: 1, manifest: rel("ascmhl/0001.mhl"), c4 };
    s.cat.add_generation(s.roots[0], &generation, at(2)).unwrap();
    let before = s.file(CLIP);

    let mut grown = card_of(&[CLIP, SIDECAR]);
    grown.listing.files[0].size_bytes = 1;
    assert_eq!(s.cat.extend_card(s.card, &grown, at(3)).unwrap(), 0);
    assert!(s.cat.copy_roots(s.card).unwrap()[0].sealed);

    let grown = card_of(&[CLIP, SIDECAR, "CLIPS/A001C002.MOV"]);
    assert_eq!(s.cat.extend_card(s.card, &grown, at(3)).unwrap(), 1);
    assert_eq!(s.file(CLIP), before);
    assert!(!s.cat.copy_roots(s.card).unwrap()[0].sealed);
    assert_eq!(s.cat.clips(s.card).unwrap().len(), 2);
    assert_eq!(s.cat.generations(s.roots[0]).unwrap(), vec![generation]);
    assert!(s.cat.check().unwrap().is_empty());
}

#[test]
fn a_new_span_joins_its_clip() {
    let mut s = Station::new();
    let mut card = card_of(&[CLIP, SIDECAR, "CLIPS/A001C001_2.MOV"]);
    card.clips = vec![Clip {
        name: "A001C001".into(),
        files: [CLIP, "CLIPS/A001C001_2.MOV"].map(|p| (rel(p), Role::Essence)).to_vec(),
        ..Clip::default()
    }];
    s.cat.extend_card(s.card, &card, at(1)).unwrap();
    let clips = s.cat.clips(s.card).unwrap();
    assert_eq!((clips.len(), &clips[0].files), (1, &card.clips[0].files));
}

#[test]
fn reads_are_counted_while_they_agree() {
    let mut s = Station::new();
    let file = card_file(CLIP, 5_000_000);
    s.cat.apply(s.card, &[Intent::Read(Box::new(read_of(CLIP, 1)))], at(1)).unwrap();
    s.cat.apply(s.card, &[Intent::ReRead { file: file.clone(), equal: true }], at(2)).unwrap();
    s.cat.apply(s.card, &[Intent::Read(Box::new(read_of(CLIP, 1)))], at(3)).unwrap();
    let row = s.file(CLIP);
    assert_eq!((row.equal_reads, row.unstable, row.row_intact), (2, false, true));
    assert_eq!((row.digests, row.blocks), (Some(read_of(CLIP, 1).digests), read_of(CLIP, 1).blocks));
}

#[test]
fn a_read_of_other_bytes_marks_the_file_and_keeps_the_first() {
    for second in [
        Intent::Read(Box::new(read_of(CLIP, 2))),
        Intent::ReRead { file: card_file(CLIP, 5_000_000), equal: false },
        Intent::ReRead { file: card_file(CLIP, 4_999_999), equal: true },
    ] {
        let mut s = Station::new();
        s.cat.apply(s.card, &[Intent::Read(Box::new(read_of(CLIP, 1))), second], at(1)).unwrap();
        let row = s.file(CLIP);
        assert_eq!((row.equal_reads, row.unstable), (1, true));
        assert_eq!(row.digests, Some(read_of(CLIP, 1).digests));
    }
}

#[test]
fn a_settled_file_has_the_agreeing_bytes_and_fails_copies_of_others() {
    let mut s = Station::offloaded();
    s.cat.apply(s.card, &[Intent::Read(Box::new(read_of(CLIP, 2)))], at(2)).unwrap();
    let warning = Warning { id: format!("unstable:{CLIP}"), text: "two of three reads agreed".into() };
    let settled = Intent::Settled { record: Box::new(read_of(CLIP, 2)), warning };
    s.cat.apply(s.card, &[settled], at(3)).unwrap();
    let row = s.file(CLIP);
    assert_eq!((row.equal_reads, row.unstable), (2, false));
    assert_eq!(s.copy(0, CLIP).state, CopyState::Failed);
    assert_eq!(s.copy(0, SIDECAR).state, CopyState::Proven);
    assert_eq!(s.cat.warnings(s.card).unwrap()[0].accepted, None);
}

#[test]
fn a_batch_is_all_or_nothing() {
    let mut s = Station::new();
    let unread = s.proven(0, SIDECAR);
    let batch = [Intent::Read(Box::new(read_of(CLIP, 1))), s.proven(0, CLIP), unread];
    let before = s.cat.sequence().unwrap();
    assert!(matches!(s.cat.apply(s.card, &batch, at(1)), Err(CatalogError::Refused { .. })));
    assert_eq!(s.file(CLIP).equal_reads, 0);
    assert!(s.cat.copies(s.roots[0]).unwrap().is_empty());
    assert_eq!(s.cat.sequence().unwrap(), before);
}

#[test]
fn no_copy_is_proven_with_another_size_or_in_another_cards_folder() {
    let mut s = Station::offloaded();
    let mut short = s.proven(0, CLIP);
    if let Intent::Proven { size_bytes, .. } = &mut short {
        *size_bytes -= 1;
    }
    assert!(matches!(s.cat.apply(s.card, &[short], at(2)), Err(CatalogError::Refused { .. })));
    let row = s.cat.card(s.card).unwrap().unwrap();
    let new = NewCard {
        roll: "A001".into(),
        source_kind: SourceKind::Card,
        layout: row.layout,
        volume: row.volume,
        root: row.root,
        source_path: row.source_path,
        disk: row.disk,
    };
    let other = s.cat.add_card(&new, &card_of(&[CLIP]), at(2)).unwrap();
    s.cat.apply(other, &[Intent::Read(Box::new(read_of(CLIP, 1)))], at(2)).unwrap();
    let stray = s.proven(0, CLIP);
    assert!(matches!(s.cat.apply(other, &[stray], at(2)), Err(CatalogError::Refused { .. })));
}

#[test]
fn a_plan_names_temps_and_leaves_proven_rows_alone() {
    let mut s = Station::offloaded();
    let plan: Vec<_> = [CLIP, SIDECAR].map(|p| (s.roots[0], rel(p), rel(&format!("{p}.1.goodgate-part")))).to_vec();
    s.cat.plan_copies(s.job, &plan).unwrap();
    assert!(s.cat.planned_temps(s.card).unwrap().is_empty());
    let failed =
        Intent::Failed { copy: s.roots[0], relpath: rel(CLIP), conflict: false, note: "write failed: EIO".into() };
    s.cat.apply(s.card, &[failed], at(2)).unwrap();
    s.cat.plan_copies(s.job, &plan).unwrap();
    assert_eq!(s.cat.planned_temps(s.card).unwrap(), plan[..1]);
    let row = s.copy(0, CLIP);
    assert_eq!((row.state, row.proven_at, row.row_intact), (CopyState::Planned, None, true));
    s.cat.replan(s.job, &plan).unwrap();
    assert_eq!(s.copy(0, SIDECAR).state, CopyState::Planned);
}

#[test]
fn a_failed_copy_keeps_its_temp_owned() {
    let mut s = Station::new();
    s.cat.plan_copies(s.job, &[(s.roots[0], rel(CLIP), rel("t"))]).unwrap();
    let failed = Intent::Failed { copy: s.roots[0], relpath: rel(CLIP), conflict: true, note: "taken".into() };
    s.cat.apply(s.card, &[failed], at(1)).unwrap();
    let row = s.copy(0, CLIP);
    assert_eq!((row.state, row.temp, row.note.as_deref()), (CopyState::Conflict, Some(rel("t")), Some("taken")));
    assert_eq!(s.cat.planned_temps(s.card).unwrap().len(), 1);
}

#[test]
fn any_changed_column_of_an_evidence_row_breaks_its_sum() {
    let columns = [
        ("card_file", "size_bytes = size_bytes + 1"),
        ("card_file", "mtime_ns = mtime_ns + 1"),
        ("card_file", "blake3 = X'0101010101010101010101010101010101010101010101010101010101010102'"),
        ("card_file", "digests = replace(digests, '01', '02')"),
        ("card_file", "equal_reads = 2"),
        ("card_file", "unstable = 1"),
        ("card_file", "last_read_at = NULL"),
        ("card_file", "row_sum = NULL"),
        ("copy", "size_bytes = size_bytes + 1"),
        ("copy", "mtime_ns = mtime_ns + 1"),
        ("copy", "read_back = 'remounted'"),
        ("copy", "proven_at = replace(proven_at, '20', '21')"),
        ("copy", "blake3 = X'0101010101010101010101010101010101010101010101010101010101010102'"),
        ("copy", "temp = X'61'"),
        ("copy", "note = 'x'"),
        ("copy", "written_on = NULL"),
    ];
    for (table, change) in columns {
        let s = Station::offloaded();
        assert!(s.cat.check().unwrap().is_empty());
        s.raw(&format!("UPDATE {table} SET {change} WHERE relpath = CAST('{CLIP}' AS BLOB)"));
        let evidence = s.cat.evidence(s.card).unwrap();
        let file = evidence.files.iter().find(|f| f.relpath == rel(CLIP)).unwrap();
        let intact = if table == "copy" { file.copies[0].row_intact } else { file.row_intact };
        assert!(!intact, "{table}: {change}");
        assert!(!s.cat.check().unwrap().is_empty());
        let other = evidence.files.iter().find(|f| f.relpath == rel(SIDECAR)).unwrap();
        assert!(other.row_intact && other.copies[0].row_intact);
    }
}

#[test]
fn a_changed_card_folder_or_warning_row_makes_the_catalog_unsound() {
    for change in [
        "UPDATE card SET disk_id = 'x'",
        "UPDATE card SET listed_twice_equal = 1",
        "UPDATE copy_root SET disk_id = 'x'",
        "UPDATE copy_root SET sealed = 1",
        "UPDATE warning SET accepted_at = '2020-01-01T00:00:00.000Z'",
        "DELETE FROM copy WHERE relpath = CAST('CLIPS/A001C001.XML' AS BLOB)",
    ] {
        let mut s = Station::offloaded();
        s.cat.raise_warning(s.card, &Warning { id: "w".into(), text: "t".into() }, at(1)).unwrap();
        assert!(s.cat.evidence(s.card).unwrap().catalog_sound);
        s.raw(change);
        // A copy row that is gone needs no flag: its file is then not proven there.
        let evidence = s.cat.evidence(s.card).unwrap();
        let lost = evidence.files.iter().any(|f| f.copies.len() < 2);
        assert!(lost || !evidence.catalog_sound, "{change}");
        // A later honest change does not bless it.
        s.cat.set_relaxed(s.card, Relaxed::default()).unwrap();
        s.cat.accept_warning(s.card, "w", "n", at(2)).unwrap();
        s.roots.iter().for_each(|r| s.cat.copy_root_seen(*r, at(2), true, None).unwrap());
        let evidence = s.cat.evidence(s.card).unwrap();
        assert!(lost || !evidence.catalog_sound, "{change}, blessed");
    }
}

#[test]
fn a_lost_warning_row_makes_the_catalog_unsound() {
    let mut s = Station::offloaded();
    for id in ["a", "b"] {
        s.cat.raise_warning(s.card, &Warning { id: id.into(), text: "t".into() }, at(1)).unwrap();
    }
    s.cat.drop_warning(s.card, "a").unwrap();
    assert!(s.cat.evidence(s.card).unwrap().catalog_sound);
    s.raw("DELETE FROM warning");
    assert!(!s.cat.evidence(s.card).unwrap().catalog_sound);
}

#[test]
fn a_finding_beside_the_cards_files_is_kept_and_cleared() {
    let mut s = Station::offloaded();
    let extra = Finding::new(FindingKind::Extra, Path::new("/mnt/a/A001"), &rel("new.txt"), "");
    s.cat.mark_failed(s.roots[0], &rel("new.txt"), &extra, at(2)).unwrap();
    s.cat.add_finding(s.card, None, &extra, at(2)).unwrap();
    assert_eq!(s.cat.open_findings(s.card).unwrap().len(), 2);
    s.cat.clear_findings(s.roots[0], &rel("new.txt"), at(3)).unwrap();
    s.cat.clear_card_findings(s.card, &rel("new.txt"), at(3)).unwrap();
    assert!(s.cat.open_findings(s.card).unwrap().is_empty());
}

#[test]
fn a_lost_file_row_makes_the_catalog_unsound() {
    let s = Station::new();
    s.raw("DELETE FROM clip_file");
    s.raw("DELETE FROM card_file WHERE relpath = CAST('CLIPS/A001C001.MOV' AS BLOB)");
    assert!(!s.cat.evidence(s.card).unwrap().catalog_sound);
    assert!(s.cat.check().unwrap()[0].contains("2 files were recorded, 1 rows are there"));
}

#[test]
fn a_later_read_does_not_bless_a_flipped_digest() {
    let mut s = Station::offloaded();
    s.raw("UPDATE card_file SET blake3 = zeroblob(32)");
    let again = Intent::ReRead { file: card_file(CLIP, 5_000_000), equal: true };
    s.cat.apply(s.card, &[again], at(2)).unwrap();
    assert!(!s.file(CLIP).row_intact);
    let proven = s.proven(0, CLIP);
    assert!(s.cat.apply(s.card, &[proven], at(2)).is_err());
    // A full read replaces all of it.
    s.cat.apply(s.card, &[Intent::Read(Box::new(read_of(CLIP, 1)))], at(3)).unwrap();
    let row = s.file(CLIP);
    assert_eq!((row.row_intact, row.equal_reads, row.digests), (true, 1, Some(read_of(CLIP, 1).digests)));
}

#[test]
fn flipped_blocks_are_noticed_where_they_are_used() {
    let s = Station::offloaded();
    s.raw("UPDATE file_blocks SET blocks = zeroblob(160)");
    assert!(!s.file(CLIP).row_intact);
    assert!(s.cat.evidence(s.card).unwrap().files[0].row_intact, "the whole-file digest is untouched");
    assert_eq!(s.cat.check().unwrap().len(), 1);
}

#[test]
fn a_copy_that_was_proven_for_other_bytes_does_not_count() {
    let mut s = Station::offloaded();
    // Both rows hold their sums; only together do they show the contradiction.
    s.raw("UPDATE card_file SET row_sum = NULL");
    s.cat.apply(s.card, &[Intent::Read(Box::new(read_of(CLIP, 9)))], at(2)).unwrap();
    let evidence = s.cat.evidence(s.card).unwrap();
    let file = evidence.files.iter().find(|f| f.relpath == rel(CLIP)).unwrap();
    assert!(file.row_intact && !file.copies[0].row_intact);
    assert!(s.copy(0, CLIP).row_intact);
}

#[test]
fn evidence_holds_what_was_recorded() {
    let mut s = Station::offloaded();
    s.cat.set_relaxed(s.card, Relaxed { same_device: true, ..Relaxed::default() }).unwrap();
    s.cat.set_listed_twice(s.card, true).unwrap();
    s.cat.card_seen(s.card, at(5), true, None).unwrap();
    s.cat.copy_root_seen(s.roots[1], at(6), false, Some("2 files missing\nand more")).unwrap();
    let e = s.cat.evidence(s.card).unwrap();
    assert_eq!(e.card.presence, Presence::AsRecorded { at: at(5), here_now: false });
    assert!(e.card.listed_twice_equal && e.relaxed.same_device && e.catalog_sound && e.open_job);
    assert_eq!(e.copy_roots[0].presence, Presence::Never);
    let what = vec!["2 files missing".to_owned(), "and more".to_owned()];
    assert_eq!(e.copy_roots[1].presence, Presence::Differs { at: at(6), what });
    assert_eq!(e.skipped, vec![rel(".DS_Store")]);
    assert_eq!((e.files.len(), e.files[0].copies.len()), (2, 2));
    assert_eq!(e.files[0].copies[0].proven_at, Some(at(1)));
    assert!(e.hold.is_none() && !e.copy_roots[0].on_card);
}

#[test]
fn a_retired_copy_counts_nowhere() {
    let mut s = Station::offloaded();
    let finding = Finding::new(FindingKind::Missing, Path::new("/mnt/a/A001"), &rel(CLIP), "gone");
    s.cat.mark_failed(s.roots[0], &rel(CLIP), &finding, at(2)).unwrap();
    s.cat.retire_copy_root(s.roots[0], "disk sold", at(3)).unwrap();
    let e = s.cat.evidence(s.card).unwrap();
    assert_eq!((e.copy_roots.len(), e.files[0].copies.len(), e.findings.len()), (1, 1, 0));
    assert_eq!(s.cat.due(10, None, &DueFilter::default()).unwrap().len(), 2);
    assert_eq!(s.cat.copy_roots(s.card).unwrap()[0].retired.as_deref(), Some("disk sold"));
}

#[test]
fn a_warning_stays_accepted_and_only_open_ones_are_dropped() {
    let mut s = Station::new();
    let warning = |text: &str| Warning { id: "truncated:x".into(), text: text.into() };
    s.cat.raise_warning(s.card, &warning("a"), at(1)).unwrap();
    assert!(!s.cat.accept_warning(s.card, "other", "n", at(2)).unwrap());
    assert!(s.cat.accept_warning(s.card, "truncated:x", "seen by DIT", at(2)).unwrap());
    s.cat.raise_warning(s.card, &warning("b"), at(3)).unwrap();
    s.cat.drop_warning(s.card, "truncated:x").unwrap();
    let known = s.cat.warnings(s.card).unwrap();
    assert_eq!((known.len(), known[0].accepted.as_deref()), (1, Some("seen by DIT")));
    s.cat.raise_warning(s.card, &Warning { id: "y".into(), text: "t".into() }, at(3)).unwrap();
    s.cat.drop_warning(s.card, "y").unwrap();
    assert_eq!(s.cat.warnings(s.card).unwrap().len(), 1);
}

#[test]
fn a_bad_verification_fails_the_copy_and_a_good_one_clears_it() {
    let mut s = Station::offloaded();
    let mut finding = Finding::new(FindingKind::Altered, Path::new("/mnt/a/A001"), &rel(CLIP), "bits");
    finding.blocks = vec![(1 << 20, 1 << 20)];
    s.cat.mark_failed(s.roots[0], &rel(CLIP), &finding, at(2)).unwrap();
    s.cat.mark_failed(s.roots[0], &rel(CLIP), &finding, at(3)).unwrap();
    let open = s.cat.open_findings(s.card).unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].blocks, finding.blocks);
    assert_eq!(open[0].clip, Some(s.cat.clips(s.card).unwrap()[0].id.to_string()));
    assert_eq!(s.copy(0, CLIP).state, CopyState::Failed);
    let proof = Proof { size_bytes: 5_000_000, mtime_ns: 8, read_back: ReadBack::Device };
    s.cat.mark_proven(s.roots[0], &rel(CLIP), proof, at(4)).unwrap();
    assert!(s.cat.open_findings(s.card).unwrap().is_empty());
    let row = s.copy(0, CLIP);
    assert_eq!((row.state, row.proven_at, row.mtime_ns), (CopyState::Proven, Some(at(4)), Some(8)));
}

#[test]
fn a_weaker_check_neither_renews_nor_weakens_a_proof_but_is_not_due_again() {
    let mut s = Station::offloaded();
    let proof = Proof { size_bytes: 5_000_000, mtime_ns: 7, read_back: ReadBack::Cache };
    s.cat.mark_proven(s.roots[0], &rel(CLIP), proof, at(9)).unwrap();
    let row = s.copy(0, CLIP);
    assert_eq!((row.read_back, row.proven_at, row.row_intact), (Some(ReadBack::Device), Some(at(1)), true));
    assert_eq!(s.cat.due(10, Some(at(5)), &DueFilter::default()).unwrap().len(), 3);
    assert_eq!(s.cat.oldest_proof().unwrap(), Some(at(1)));
}

#[test]
fn the_oldest_proof_is_due_first_and_failed_copies_last() {
    let mut s = Station::offloaded();
    let proof = Proof { size_bytes: 5_000_000, mtime_ns: 7, read_back: ReadBack::Device };
    s.cat.mark_proven(s.roots[0], &rel(CLIP), proof, at(50)).unwrap();
    let finding = Finding::new(FindingKind::Missing, Path::new("/mnt/a/A001"), &rel(SIDECAR), "gone");
    s.cat.mark_failed(s.roots[0], &rel(SIDECAR), &finding, at(60)).unwrap();
    let due = s.cat.due(10, None, &DueFilter::default()).unwrap();
    let shape: Vec<_> = due.iter().map(|d| (d.copy_root == s.roots[0], d.proven_at, d.state)).collect();
    let proven = CopyState::Proven;
    assert_eq!(
        shape,
        [
            (false, Some(at(1)), proven),
            (false, Some(at(1)), proven),
            (true, Some(at(50)), proven),
            (true, Some(at(1)), CopyState::Failed)
        ]
    );
    assert_eq!(s.cat.due(1, None, &DueFilter::default()).unwrap().len(), 1);
    let volume = s.cat.copy_roots(s.card).unwrap()[1].volume;
    let filter = DueFilter { volume: Some(volume), roll: Some("A001".into()) };
    assert_eq!(s.cat.due(10, None, &filter).unwrap().len(), 2);
    assert_eq!(s.cat.due(10, None, &DueFilter { roll: Some("B".into()), volume: None }).unwrap().len(), 0);
}

#[test]
fn a_generation_is_never_replaced() {
    let mut s = Station::new();
    let c4 = |n: u8| Digest::new(HashFormat::C4, vec![n; 64]).unwrap();
    let mut one = Generation { number: 1, manifest: rel("ascmhl/1.mhl"), c4: c4(1) };
    s.cat.add_generation(s.roots[0], &one, at(1)).unwrap();
    s.cat.add_generation(s.roots[0], &one, at(2)).unwrap();
    one.c4 = c4(2);
    assert!(matches!(s.cat.add_generation(s.roots[0], &one, at(3)), Err(CatalogError::Refused { .. })));
    assert_eq!(s.cat.generations(s.roots[0]).unwrap()[0].c4, c4(1));
}

#[test]
fn a_generation_is_what_the_custody_log_says_of_it() {
    let mut s = Station::offloaded();
    let c4 = Digest::new(HashFormat::C4, vec![7; 64]).unwrap();
    let one = Generation { number: 1, manifest: rel("ascmhl/0001_A001_2026-01-02_030405Z.mhl"), c4 };
    s.cat.add_generation(s.roots[0], &one, at(1)).unwrap();
    let good = vec![one];
    for spoilt in
        ["c4 = substr(c4, 1, 10) || '1' || substr(c4, 12)", "c4 = 'c40'", "manifest = CAST('ascmhl/x' AS BLOB)"]
    {
        s.cat.conn.execute_batch(&format!("UPDATE generation SET {spoilt}")).unwrap();
        assert_eq!(s.cat.generations(s.roots[0]).unwrap(), good, "{spoilt}");
        assert!(s.cat.check().unwrap().iter().any(|l| l.starts_with("generation: ")), "{spoilt}");
        for root in s.roots {
            s.cat.mend_generations(root, at(5)).unwrap();
        }
        assert!(s.cat.check().unwrap().is_empty(), "{spoilt}");
    }
}

#[test]
fn folders_are_found_by_their_place() {
    let mut s = Station::new();
    let row = s.cat.copy_roots(s.card).unwrap()[0].clone();
    assert_eq!(s.cat.copy_root_at(row.volume, &rel("A001")).unwrap().unwrap().id, s.roots[0]);
    assert!(s.cat.copy_root_at(row.volume, &rel("A002")).unwrap().is_none());
    let again = NewCopyRoot {
        volume: row.volume,
        root: row.root,
        destination: "/mnt/new".into(),
        path: "/mnt/new/A001".into(),
        disk: row.disk,
    };
    assert_eq!(s.cat.copy_root(s.card, &again, at(1)).unwrap(), s.roots[0]);
    assert_eq!(s.cat.volume_by_last_mount(Path::new("/mnt/a")).unwrap().unwrap().key, "uuid:a");
}

#[test]
fn a_word_that_is_no_enum_value_is_refused() {
    let s = Station::offloaded();
    for bad in [
        "UPDATE copy SET state = 'good'",
        "UPDATE copy SET read_back = 'sure'",
        "UPDATE copy SET proven_at = NULL",
        "UPDATE card SET source_kind = 'tape'",
        "UPDATE card_file SET size_bytes = 'many'",
        "UPDATE card_file SET blake3 = X'00'",
        "UPDATE clip SET media = 'fine'",
        "UPDATE job SET step = 'running'",
        "UPDATE clip_file SET role = 'x'",
    ] {
        let said = s.cat.conn.execute(bad, []).unwrap_err();
        assert_eq!(said.sqlite_error_code(), Some(rusqlite::ErrorCode::ConstraintViolation), "{bad}");
    }
}

#[test]
fn proven_rows_survive_an_abort_after_the_commit() {
    const PLACE: &str = "GOODGATE_TEST_ABORT";
    if let Some(path) = std::env::var_os(PLACE) {
        let mut s = Station::offloaded();
        s.cat.backup(Path::new(&path)).unwrap();
        s.cat = Catalog::open(Path::new(&path)).unwrap();
        let proof = Proof { size_bytes: 5_000_000, mtime_ns: 99, read_back: ReadBack::Device };
        s.cat.mark_proven(s.roots[0], &rel(CLIP), proof, at(9)).unwrap();
        std::process::abort();
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.db");
    let name = "catalog::tests::proven_rows_survive_an_abort_after_the_commit";
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(PLACE, &path)
        .env("TMPDIR", dir.path())
        .output()
        .unwrap();
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(child.status.signal(), Some(6), "the child aborted: {child:?}");
    let cat = Catalog::open(&path).unwrap();
    let root = cat.all_copy_roots().unwrap()[0].id;
    let row = cat.copy(root, &rel(CLIP)).unwrap().unwrap();
    assert_eq!((row.mtime_ns, row.row_intact), (Some(99), true));
    assert!(cat.check().unwrap().is_empty());
}

#[test]
fn a_second_writer_waits_for_the_first() {
    let mut s = Station::offloaded();
    let path = s.cat.path().to_path_buf();
    let (send, receive) = std::sync::mpsc::channel();
    let tx = s.cat.conn.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let card = s.card;
    let other = std::thread::spawn(move || {
        let mut second = Catalog::open_writer_for_test(&path);
        send.send(second.card_seen(card, at(3), true, None)).unwrap();
    });
    let early = receive.recv_timeout(std::time::Duration::from_millis(300));
    assert!(early.is_err(), "the second writer did not wait");
    tx.commit().unwrap();
    receive.recv().unwrap().unwrap();
    other.join().unwrap();
    assert_eq!(s.cat.card(card).unwrap().unwrap().seen_at, Some(at(3)));
}

impl Catalog {
    /// Without the checks of `open`, which would wait for the writer themselves.
    fn open_writer_for_test(path: &Path) -> Self {
        let conn = Connection::open(path).unwrap();
        conn.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        Catalog { conn, path: path.to_path_buf(), read_only: false, signed: Signed::default(), spent: Cell::default() }
    }
}

#[test]
fn a_held_and_a_full_catalog_say_so_and_record_nothing() {
    let mut s = Station::offloaded();
    let path = s.cat.path().to_path_buf();
    let mut holder = Connection::open(&path).unwrap();
    let tx = holder.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    s.cat.conn.busy_timeout(std::time::Duration::from_millis(1)).unwrap();
    assert!(matches!(s.cat.card_seen(s.card, at(3), true, None), Err(CatalogError::Busy { .. })));
    drop(tx);
    s.cat.conn.pragma_update(None, "max_page_count", 1).unwrap();
    let text = "x".repeat(1 << 20);
    assert!(matches!(s.cat.log(s.card, None, &text, at(3)), Err(CatalogError::Full { .. })));
    s.cat.conn.pragma_update(None, "max_page_count", 1 << 20).unwrap();
    assert!(s.cat.check().unwrap().is_empty());
    s.cat.card_seen(s.card, at(4), true, None).unwrap();
}

#[test]
fn a_reader_sees_the_rows_and_cannot_write() {
    let s = Station::offloaded();
    let mut reader = Catalog::open_read_only(s.cat.path()).unwrap();
    assert_eq!(reader.cards().unwrap().len(), 1);
    assert!(matches!(reader.card_seen(s.card, at(1), true, None), Err(CatalogError::Refused { .. })));
    assert!(reader.conn.execute("DELETE FROM copy", params![]).is_err());
}

#[test]
fn time_as_text_sorts_as_time() {
    let early = at(0);
    let late = early.checked_add(jiff::SignedDuration::from_millis(500)).unwrap();
    assert!(text_of(early) < text_of(late));
    assert_eq!(text_of(late).parse::<Timestamp>().unwrap(), late);
}
