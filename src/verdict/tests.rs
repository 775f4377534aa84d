use super::*;
use crate::clip::Warning;
use crate::evidence::{CardEvidence, Disk, Doubt, Relaxed, WarningEvidence};
use crate::finding::Finding;
use proptest::prelude::*;
use std::path::Path;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_760_000_000 + secs).unwrap()
}

fn now() -> Timestamp {
    at(1000)
}

fn disk(id: &str) -> Disk {
    Disk { id: Some(id.into()), text: id.into() }
}

fn id(n: u128) -> CopyRootId {
    CopyRootId(uuid::Uuid::from_u128(n))
}

fn root(n: usize) -> CopyRootEvidence {
    CopyRootEvidence {
        id: id(n as u128),
        destination: format!("/mnt/{n}"),
        disk: disk(&format!("disk-{n}")),
        presence: Presence::AsRecorded { at: now(), here_now: true },
        sealed: true,
        on_card: false,
    }
}

/// A card of `files` files, each proven on `copies` copies; nothing to blame.
fn good(files: usize, copies: usize) -> Evidence {
    let copy = |n: usize| CopyEvidence {
        root: id(n as u128),
        state: CopyState::Proven,
        read_back: ReadBack::Device,
        proven_at: Some(at(0)),
        row_intact: true,
    };
    let file = |n: usize| FileEvidence {
        relpath: RelPath::new(format!("CLIPS/{n:03}.MOV")).unwrap(),
        equal_reads: 2,
        unstable: false,
        row_intact: true,
        copies: (0..copies).map(copy).collect(),
    };
    Evidence {
        card: CardEvidence {
            source_kind: SourceKind::Card,
            roll: "A001".into(),
            presence: Presence::AsRecorded { at: now(), here_now: true },
            listed_twice_equal: true,
            disk: disk("card"),
            only_cached: None,
        },
        files: (0..files).map(file).collect(),
        copy_roots: (0..copies).map(root).collect(),
        warnings: vec![],
        findings: vec![],
        skipped: vec![],
        source_checks: vec![],
        relaxed: Relaxed::default(),
        doubt: None,
        catalog_sound: true,
        hold: None,
        open_job: false,
    }
}

fn verdict(e: &Evidence) -> Verdict {
    judge(&Policy::default(), e, now())
}

fn relaxed(change: impl Fn(&mut Relaxed)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy.relaxed);
    policy
}

fn finding(kind: FindingKind) -> Finding {
    Finding::new(kind, Path::new("/mnt/0/A001"), &RelPath::new("CLIPS/000.MOV").unwrap(), "")
}

fn warning(id: &str, accepted: Option<&str>) -> WarningEvidence {
    WarningEvidence {
        warning: Warning { id: id.into(), text: "a clip is cut short".into() },
        accepted: accepted.map(String::from),
    }
}

#[test]
fn a_card_proven_on_two_disks_is_safe_and_says_so_in_the_agreed_words() {
    let v = verdict(&good(3, 2));
    assert!(v.safe(), "{:?}", v.reasons());
    assert_eq!(v.line(), "GOOD GATE: A001 may be formatted");
    assert_eq!(v.reasons(), [] as [&str; 0]);
    assert_eq!(v.as_of(), now());
    assert!(v.card_present());
    assert!(v.policy_text().starts_with("2 proven copies on 2 different disks"), "{}", v.policy_text());
    let copies = v.copies();
    assert_eq!(copies.len(), 2);
    assert_eq!((copies[1].files, copies[1].verified, copies[1].read_back), (3, 3, Some(ReadBack::Device)));
}

#[test]
fn a_folder_is_proven_and_the_words_do_not_speak_of_formatting() {
    let mut e = good(1, 3);
    e.card.source_kind = SourceKind::Folder;
    assert_eq!(verdict(&e).line(), "GOOD GATE: folder A001 proven on 3 copies; the card itself was not read");
}

#[test]
fn registered_footage_is_never_safe_and_only_what_is_wrong_with_it_is_told() {
    let mut e = good(3, 2);
    e.card.source_kind = SourceKind::Registered;
    assert_eq!(verdict(&e).line(), "NOT SAFE: registered where it lies: no card was read");
    assert_eq!(verdict(&e).reasons().len(), 1);
    // One read, in one place: that is what registering is.
    e.copy_roots.truncate(1);
    e.files.iter_mut().for_each(|f| {
        f.equal_reads = 1;
        f.copies.truncate(1);
    });
    e.card.disk = e.copy_roots[0].disk.clone();
    assert_eq!(verdict(&e).reasons().len(), 1);
    assert_eq!((verdict(&e).copies()[0].files, verdict(&e).copies()[0].verified), (3, 3));
    e.files[0].equal_reads = 0;
    e.files[1].copies[0].read_back = ReadBack::Cache;
    e.copy_roots[0].sealed = false;
    e.findings.push(finding(FindingKind::Altered));
    let v = verdict(&e);
    for word in ["never read whole", "from memory only", "no manifest", "altered"] {
        assert!(v.reasons().iter().any(|r| r.contains(word)), "{word}: {:?}", v.reasons());
    }
    assert_eq!((v.reasons().len(), v.safe()), (5, false));
}

#[test]
fn one_proven_copy_is_worth_saying() {
    let mut e = good(1, 1);
    let v = verdict(&e);
    assert_eq!(v.line(), "NOT SAFE: \"CLIPS/000.MOV\" is proven on 1 of 2 copies needed, and there is no other copy");
    e = good(3, 2);
    e.files.iter_mut().for_each(|f| f.copies[1].read_back = ReadBack::Cache);
    assert_eq!(
        verdict(&e).reasons(),
        [
            "3 files are not proven on 2 copies, first \"CLIPS/000.MOV\": proven on 1 of 2 copies needed; in \"/mnt/1\": \
          read back from memory only, not from the disk"
        ]
    );
}

#[test]
fn two_copies_on_one_disk_are_one_copy() {
    let mut e = good(1, 2);
    e.copy_roots[1].disk = disk("disk-0");
    let v = verdict(&e);
    assert!(!v.safe());
    assert!(v.reasons()[0].contains("on the same disk as \"/mnt/0\""), "{:?}", v.reasons());
    e.relaxed.same_device = true;
    let v = verdict(&e);
    assert!(v.safe(), "{:?}", v.reasons());
    assert!(v.reasons()[0].starts_with("one-disk station"), "{:?}", v.reasons());
    assert!(v.policy_text().starts_with("one-disk station"), "{}", v.policy_text());
}

#[test]
fn a_one_disk_station_may_use_the_cards_disk_but_never_the_card() {
    let mut e = good(1, 2);
    e.card.disk.id = None;
    e.copy_roots.iter_mut().for_each(|r| r.disk.id = None);
    let policy = relaxed(|r| r.same_device = true);
    assert!(judge(&policy, &e, now()).safe());
    e.copy_roots[1].on_card = true;
    assert!(!judge(&policy, &e, now()).safe());
    e.copy_roots[1].on_card = false;
    // The same folder named twice is one copy.
    e.copy_roots[1].id = id(0);
    assert!(!judge(&policy, &e, now()).safe());
}

#[test]
fn an_unknown_disk_is_never_another_disk() {
    let mut e = good(1, 3);
    e.copy_roots[1].disk.id = None;
    assert!(verdict(&e).safe(), "two known disks are left");
    e.copy_roots[2].disk.id = None;
    assert!(!verdict(&e).safe());
}

#[test]
fn a_network_copy_counts_only_where_the_policy_says_so() {
    let mut e = good(2, 2);
    e.files.iter_mut().for_each(|f| f.copies[1].read_back = ReadBack::Server);
    let v = verdict(&e);
    assert!(!v.safe());
    assert_eq!((v.copies()[1].verified, v.copies()[1].read_back), (0, Some(ReadBack::Server)));
    let v = judge(&relaxed(|r| r.accept_server = true), &e, now());
    assert!(v.safe(), "{:?}", v.reasons());
    assert!(v.policy_text().starts_with("network copies count"));
    assert_eq!(v.copies()[1].verified, 2);
}

#[test]
fn one_read_of_the_card_is_enough_only_where_the_policy_says_so_and_none_is_never_enough() {
    let mut e = good(1, 2);
    let policy = relaxed(|r| r.no_source_reread = true);
    e.files[0].equal_reads = 1;
    assert!(!verdict(&e).safe());
    assert!(judge(&policy, &e, now()).safe());
    e.files[0].equal_reads = 0;
    assert!(!judge(&policy, &e, now()).safe());
}

#[test]
fn more_copies_are_needed_where_the_policy_asks_for_more_and_never_fewer_than_two() {
    let policy = |copies| Policy { copies, ..Policy::default() };
    assert!(!judge(&policy(3), &good(1, 2), now()).safe());
    assert!(judge(&policy(3), &good(1, 3), now()).safe());
    assert!(!judge(&policy(1), &good(1, 1), now()).safe());
    assert!(!judge(&policy(0), &good(1, 0), now()).safe());
}

#[test]
fn a_gone_card_counts_by_its_last_look_and_the_reason_names_the_date() {
    let mut e = good(1, 2);
    e.card.presence = Presence::AsRecorded { at: at(-86_400), here_now: false };
    let v = verdict(&e);
    assert!(v.safe());
    assert!(!v.card_present());
    assert_eq!(v.as_of(), at(-86_400));
    assert!(v.reasons()[0].contains("last seen on 2025-10-08 08:53 UTC"), "{:?}", v.reasons());
}

#[test]
fn a_gone_copy_is_used_only_when_it_is_needed() {
    let gone = |secs| Presence::AsRecorded { at: at(secs), here_now: false };
    let mut e = good(2, 3);
    e.copy_roots[0].presence = gone(-500);
    assert_eq!(verdict(&e).as_of(), now());
    e.copy_roots[1].presence = gone(-100);
    let v = verdict(&e);
    assert!(v.safe());
    assert_eq!(v.as_of(), at(-100), "the one seen last");
    assert!(v.reasons()[0].contains("\"/mnt/1\" is not here"), "{:?}", v.reasons());
    e.copy_roots[2].presence = gone(-50);
    assert_eq!(verdict(&e).as_of(), at(-100));
}

#[test]
fn a_third_copy_that_is_reachable_and_wrong_blocks() {
    let mut e = good(1, 3);
    e.copy_roots[2].presence = Presence::Differs { at: now(), what: vec!["\"x\" is missing".into()] };
    assert_eq!(verdict(&e).line(), "NOT SAFE: the copy in \"/mnt/2\" is not as recorded: \"x\" is missing");
}

#[test]
fn a_damaged_record_of_a_third_copy_blocks() {
    let mut e = good(1, 3);
    e.files[0].copies[2].row_intact = false;
    assert!(!verdict(&e).safe());
}

#[test]
fn an_extra_file_does_not_block_and_every_other_finding_does() {
    for kind in FindingKind::ALL {
        let mut e = good(1, 2);
        e.findings = vec![finding(kind)];
        let v = verdict(&e);
        assert_eq!(v.safe(), kind == FindingKind::Extra, "{kind:?}");
        assert_eq!(v.reasons().len(), 1, "{kind:?}");
    }
}

#[test]
fn an_accepted_warning_stays_in_the_reasons_with_its_note() {
    let mut e = good(1, 2);
    e.warnings = vec![warning("truncated:a", Some("seen by DIT")), warning("truncated:b", None)];
    let v = verdict(&e);
    assert!(v.line().starts_with("NOT SAFE: open warning truncated:b"), "{}", v.line());
    e.warnings[1].accepted = Some(" ".into());
    assert!(!verdict(&e).safe(), "a note that says nothing accepts nothing");
    e.warnings[1].accepted = Some("known".into());
    let v = verdict(&e);
    assert!(v.safe());
    assert!(v.reasons()[0].contains("seen by DIT"), "{:?}", v.reasons());
}

#[test]
fn what_blocks_comes_before_relaxations_and_notes() {
    let mut e = good(1, 2);
    e.relaxed.same_device = true;
    e.warnings = vec![warning("w", Some("fine"))];
    e.hold = Some("disk full".into());
    let v = verdict(&e);
    assert_eq!(v.line(), "NOT SAFE: the job is on hold: disk full");
    assert!(v.reasons()[1].starts_with("one-disk station"), "{:?}", v.reasons());
    assert!(v.reasons()[2].contains("fine"), "{:?}", v.reasons());
}

#[test]
fn ten_thousand_bad_files_give_a_handful_of_reasons() {
    let mut e = good(10_000, 2);
    e.files.iter_mut().for_each(|f| f.copies[0].state = CopyState::Failed);
    e.files.iter_mut().step_by(2).for_each(|f| f.copies[1].state = CopyState::Planned);
    e.files.iter_mut().step_by(3).for_each(|f| f.unstable = true);
    e.warnings = (0..100).map(|n| warning(&n.to_string(), None)).collect();
    let v = verdict(&e);
    assert!(v.reasons().len() < 15, "{:#?}", v.reasons());
    assert!(v.reasons().iter().any(|r| r.starts_with("5000 files are not proven on 2 copies")), "{:#?}", v.reasons());
}

#[test]
fn a_reason_is_one_line_whatever_the_names_hold() {
    let mut e = good(1, 2);
    e.card.roll = "A\n001".into();
    assert_eq!(verdict(&e).line(), "GOOD GATE: A\\x0a001 may be formatted");
    e.hold = Some("\x1b[2Jsafe\n".into());
    assert!(!verdict(&e).line().contains(char::is_control));
}

fn doubt(secs: i64) -> Doubt {
    Doubt { at: at(secs), why: "the catalog was put back".into() }
}

#[test]
fn after_the_catalog_was_put_back_a_copy_counts_when_it_was_read_again() {
    let mut e = good(2, 3);
    e.doubt = Some(doubt(10));
    let v = verdict(&e);
    let said = "NOT SAFE: the catalog was put back; what was proven before counts again when it was read again: \
                goodgate verify A001";
    assert_eq!(v.line(), said);
    assert_eq!(v.reasons().len(), 2, "{:?}", v.reasons());
    assert_eq!(v.copies()[0].verified, 0);
    let again =
        |e: &mut Evidence, copy: usize| e.files.iter_mut().for_each(|f| f.copies[copy].proven_at = Some(at(11)));
    again(&mut e, 0);
    assert_eq!(verdict(&e).line(), said, "one copy is not enough");
    again(&mut e, 1);
    let v = verdict(&e);
    assert!(v.safe() && v.reasons().is_empty(), "the third one is not needed: {:?}", v.reasons());
    assert_eq!((v.copies()[1].verified, v.copies()[2].verified), (2, 0));
    e.files[1].copies[1].proven_at = Some(at(10));
    assert!(!verdict(&e).safe(), "proven in the same moment is proven before");
}

#[test]
fn registered_footage_says_that_it_was_not_read_since_the_catalog_was_put_back() {
    let mut e = good(2, 1);
    e.card.source_kind = SourceKind::Registered;
    e.doubt = Some(doubt(10));
    assert!(verdict(&e).reasons()[1].contains("goodgate verify A001"), "{:?}", verdict(&e).reasons());
    e.files.iter_mut().for_each(|f| f.copies[0].proven_at = Some(at(11)));
    assert_eq!(verdict(&e).reasons().len(), 1);
}

#[test]
fn an_empty_card_is_never_safe() {
    let e = good(0, 2);
    assert_eq!(verdict(&e).line(), "NOT SAFE: no file was found on the card");
}

/// Changes one fact to something bad. The card has exactly as many copies as the policy needs.
type Harm = (&'static str, fn(&mut Evidence, file: usize, copy: usize));

const HARMS: &[Harm] = &[
    ("registered", |e, _, _| e.card.source_kind = SourceKind::Registered),
    ("card differs", |e, _, _| e.card.presence = Presence::Differs { at: now(), what: vec![] }),
    ("card never seen", |e, _, _| e.card.presence = Presence::Never),
    ("listings differ", |e, _, _| e.card.listed_twice_equal = false),
    ("card disk unknown", |e, _, _| e.card.disk.id = None),
    ("card disk holds a copy", |e, _, c| e.card.disk = e.copy_roots[c].disk.clone()),
    ("no files", |e, _, _| e.files.clear()),
    ("never read", |e, f, _| e.files[f].equal_reads = 0),
    ("read once", |e, f, _| e.files[f].equal_reads = 1),
    ("unstable", |e, f, _| e.files[f].unstable = true),
    ("file row", |e, f, _| e.files[f].row_intact = false),
    ("copies forgotten", |e, f, _| e.files[f].copies.clear()),
    ("copy forgotten", |e, f, c| drop(e.files[f].copies.drain(c..=c))),
    ("copy elsewhere", |e, f, c| e.files[f].copies[c].root = id(99)),
    ("copy counted twice", |e, f, c| e.files[f].copies[c].root = e.files[f].copies[(c + 1) % 2].root),
    ("planned", |e, f, c| e.files[f].copies[c].state = CopyState::Planned),
    ("failed", |e, f, c| e.files[f].copies[c].state = CopyState::Failed),
    ("conflict", |e, f, c| e.files[f].copies[c].state = CopyState::Conflict),
    ("cache", |e, f, c| e.files[f].copies[c].read_back = ReadBack::Cache),
    ("server", |e, f, c| e.files[f].copies[c].read_back = ReadBack::Server),
    ("no proof date", |e, f, c| e.files[f].copies[c].proven_at = None),
    ("copy row", |e, f, c| e.files[f].copies[c].row_intact = false),
    ("root forgotten", |e, _, c| drop(e.copy_roots.drain(c..=c))),
    ("root is another", |e, _, c| e.copy_roots[c].id = id(99)),
    ("root disk unknown", |e, _, c| e.copy_roots[c].disk.id = None),
    ("disk shared", |e, _, c| e.copy_roots[c].disk = e.copy_roots[(c + 1) % 2].disk.clone()),
    ("root differs", |e, _, c| e.copy_roots[c].presence = Presence::Differs { at: now(), what: vec![] }),
    ("root never seen", |e, _, c| e.copy_roots[c].presence = Presence::Never),
    ("not sealed", |e, _, c| e.copy_roots[c].sealed = false),
    ("on card", |e, _, c| e.copy_roots[c].on_card = true),
    ("open warning", |e, _, _| e.warnings.push(warning("w", None))),
    ("acceptance lost", |e, _, _| e.warnings[0].accepted = None),
    ("missing", |e, _, _| e.findings.push(finding(FindingKind::Missing))),
    ("altered", |e, _, _| e.findings.push(finding(FindingKind::Altered))),
    ("unreadable", |e, _, _| e.findings.push(finding(FindingKind::Unreadable))),
    ("unstable found", |e, _, _| e.findings.push(finding(FindingKind::Unstable))),
    ("catalog", |e, _, _| e.catalog_sound = false),
    ("put back since", |e, _, _| e.doubt = Some(doubt(1))),
    ("put back just then", |e, f, c| {
        e.doubt = Some(Doubt { at: e.files[f].copies[c].proven_at.unwrap_or(now()), ..doubt(0) });
    }),
    ("hold", |e, _, _| e.hold = Some(String::new())),
    ("open job", |e, _, _| e.open_job = true),
];

/// Good evidence of any shape that the policy accepts.
fn any_good() -> impl Strategy<Value = Evidence> {
    (1..5usize, any::<[bool; 5]>(), 1..500i64).prop_map(|(files, [folder, gone, away, remounted, extra], ago)| {
        let mut e = good(files, 2);
        e.warnings.push(warning("accepted", Some("seen")));
        let past = Presence::AsRecorded { at: at(-ago), here_now: false };
        if folder {
            e.card.source_kind = SourceKind::Folder;
        }
        if gone {
            e.card.presence = past.clone();
        }
        if away {
            e.copy_roots[0].presence = past;
        }
        if remounted {
            e.files.iter_mut().for_each(|f| f.copies[1].read_back = ReadBack::Remounted);
        }
        if extra {
            e.findings.push(finding(FindingKind::Extra));
        }
        e
    })
}

/// The rule once more, as plainly as it can be said and with nothing shared with the code under test.
fn rule(policy: &Policy, e: &Evidence) -> bool {
    let (a, b) = (policy.relaxed, e.relaxed);
    let same_device = a.same_device || b.same_device;
    let server = a.accept_server || b.accept_server;
    let reads = if a.no_source_reread || b.no_source_reread { 1 } else { 2 };
    let as_recorded = |p: &Presence| matches!(p, Presence::AsRecorded { .. });
    let differs = |r: &CopyRootEvidence| matches!(r.presence, Presence::Differs { .. });
    let good_root = |r: &&CopyRootEvidence| {
        let other_disk = r.disk.id.is_some() && e.card.disk.id.is_some() && r.disk.id != e.card.disk.id;
        as_recorded(&r.presence) && r.sealed && !r.on_card && (same_device || other_disk)
    };
    let good_copy = |c: &CopyEvidence| {
        let class = c.read_back >= ReadBack::Device || (server && c.read_back == ReadBack::Server);
        let since = |at: Timestamp| e.doubt.as_ref().is_none_or(|doubt| at > doubt.at);
        c.state == CopyState::Proven && c.row_intact && c.proven_at.is_some_and(since) && class
    };
    let places = |f: &FileEvidence| {
        let mut seen = std::collections::HashSet::new();
        for r in e.copy_roots.iter().filter(good_root) {
            let rows: Vec<_> = f.copies.iter().filter(|c| c.root == r.id).collect();
            if !rows.is_empty() && rows.into_iter().all(good_copy) {
                seen.insert(if same_device { r.id.to_string() } else { r.disk.id.clone().unwrap() });
            }
        }
        seen.len() >= policy.copies as usize
    };
    let good_file = |f: &FileEvidence| {
        let rows = f.row_intact && f.copies.iter().all(|c| c.row_intact);
        rows && !f.unstable && f.equal_reads >= reads && places(f)
    };
    let good_card = e.card.source_kind != SourceKind::Registered && e.card.listed_twice_equal;
    good_card
        && as_recorded(&e.card.presence)
        && !e.files.is_empty()
        && e.files.iter().all(good_file)
        && !e.copy_roots.iter().any(differs)
        && e.warnings.iter().all(|w| w.accepted.is_some())
        && e.findings.iter().all(|f| f.kind == FindingKind::Extra)
        && e.catalog_sound
        && e.hold.is_none()
        && !e.open_job
}

fn any_relaxed() -> impl Strategy<Value = Relaxed> {
    prop::bool::weighted(0.2).prop_flat_map(|on| any::<[bool; 3]>().prop_map(move |r| r.map(|r| r && on))).prop_map(
        |[same_device, accept_server, no_source_reread]| Relaxed { same_device, accept_server, no_source_reread },
    )
}

/// Evidence with 2 to 4 copies, up to three harms, any relaxations: about half of it is safe.
fn any_case() -> impl Strategy<Value = (Policy, Evidence)> {
    let harms = prop::collection::vec((0..HARMS.len(), 0..5usize, 0..2usize), 0..4);
    (1..4usize, 2..5usize, 2..4u32, any_relaxed(), any_relaxed(), harms).prop_map(
        |(files, roots, copies, of_config, of_offload, harms)| {
            let mut e = good(files, roots);
            e.relaxed = of_offload;
            e.warnings.push(warning("accepted", Some("seen")));
            for (harm, file, copy) in harms {
                // Enough must be left for the next harm to find its victim.
                let Some(n) = e.files.len().checked_sub(1) else { break };
                if e.copy_roots.len() >= 2 && e.files.iter().all(|f| f.copies.len() >= 2) {
                    HARMS[harm].1(&mut e, file.min(n), copy);
                }
            }
            (Policy { copies, relaxed: of_config }, e)
        },
    )
}

#[test]
fn the_cases_that_are_tried_are_of_both_kinds() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let cases = (0..400).map(|_| any_case().new_tree(&mut runner).unwrap().current());
    let safe = cases.filter(|(policy, e)| judge(policy, e, now()).safe()).count();
    assert!((60..340).contains(&safe), "{safe} of 400 are safe");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_evidence_is_judged_by_the_rule((policy, e) in any_case()) {
        let v = judge(&policy, &e, now());
        prop_assert_eq!(v.safe(), rule(&policy, &e), "{:#?}", v.reasons());
        prop_assert!(v.as_of() <= now());
        if !v.safe() {
            prop_assert_eq!(v.line(), format!("NOT SAFE: {}", v.reasons()[0]));
        }
    }
}

proptest! {
    #[test]
    fn any_one_bad_fact_loses_safe(e in any_good(), file in 0..5usize, copy in 0..2usize) {
        let before = verdict(&e);
        prop_assert!(before.safe(), "{:?}", before.reasons());
        for (name, harm) in HARMS {
            let mut bad = e.clone();
            harm(&mut bad, file % e.files.len(), copy);
            let after = verdict(&bad);
            prop_assert!(!after.safe(), "still safe after: {name}");
            prop_assert!(after.line().starts_with("NOT SAFE: "), "{name}: {}", after.line());
            prop_assert!(after.line().len() > "NOT SAFE: ".len(), "{name} gives no reason");
        }
    }
}
