use super::*;
use crate::clip::CardFile;
use crate::daemon::look::View;
use crate::relpath::RelPath;

const DUMP: &str = "/dumps/A001";

const fn at(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn wall(secs: i64) -> Timestamp {
    Timestamp::from_second(secs).unwrap()
}

fn desk() -> Desk {
    Desk::new(&[Watch::Dumps { path: "/dumps".into(), settle: at(10), poll: at(1) }])
}

fn listing(sizes: &[u64]) -> Listing {
    let file = |(i, size): (usize, &u64)| CardFile {
        relpath: RelPath::new(format!("C{i:03}.MOV")).unwrap(),
        size_bytes: *size,
        mtime_ns: 1,
    };
    Listing { files: sizes.iter().enumerate().map(file).collect(), ..Listing::default() }
}

fn seen(path: &str, sizes: &[u64]) -> Seen {
    Seen { path: path.into(), view: Some(View { listing: listing(sizes), open_for_writing: false }) }
}

/// One look that shows these cards.
fn look(desk: &mut Desk, secs: u64, cards: Vec<Seen>) -> Vec<Line> {
    desk.due(at(secs));
    desk.looked(0, Look { seen: cards, device: Some(1), notes: Vec::new() }, at(secs))
}

fn next(desk: &mut Desk, secs: u64) -> Option<Order> {
    desk.next(at(secs), wall(secs as i64))
}

/// A desk with one dump that settled at 10 s.
fn settled() -> Desk {
    let mut desk = desk();
    look(&mut desk, 0, vec![seen(DUMP, &[5])]);
    look(&mut desk, 10, vec![seen(DUMP, &[5])]);
    desk
}

fn job(path: &str, hold: Option<Hold>, next_at: Option<i64>) -> Job {
    let id = JobId(uuid::Uuid::from_u128(7));
    Job { id, path: path.into(), hold, next_at: next_at.map(wall) }
}

fn set_jobs(desk: &mut Desk, jobs: Vec<Job>) {
    assert!(desk.set_jobs(desk.turn(), jobs));
}

fn end(desk: &mut Desk, secs: u64, end: End) -> Option<(Option<Hold>, String)> {
    desk.ended(Path::new(DUMP), &end, at(secs))
}

#[test]
fn a_dump_is_taken_once_and_only_after_it_settled() {
    let mut desk = desk();
    look(&mut desk, 0, vec![seen(DUMP, &[5])]);
    look(&mut desk, 8, vec![seen(DUMP, &[6])]);
    look(&mut desk, 17, vec![seen(DUMP, &[6])]);
    assert_eq!(next(&mut desk, 17), None);
    look(&mut desk, 18, vec![seen(DUMP, &[6])]);
    assert_eq!(next(&mut desk, 18).unwrap().path, Path::new(DUMP));
    assert_eq!(next(&mut desk, 18), None);
    end(&mut desk, 20, End::Answered);
    for secs in 20..200 {
        look(&mut desk, secs, vec![seen(DUMP, &[6])]);
        assert_eq!(next(&mut desk, secs), None);
    }
}

#[test]
fn a_dump_that_changed_after_its_verdict_is_taken_again_when_it_settles() {
    let mut desk = settled();
    next(&mut desk, 10).unwrap();
    end(&mut desk, 11, End::Answered);
    look(&mut desk, 12, vec![seen(DUMP, &[5, 7])]);
    assert_eq!(next(&mut desk, 12), None);
    look(&mut desk, 22, vec![seen(DUMP, &[5, 7])]);
    assert!(next(&mut desk, 22).is_some());
}

#[test]
fn a_dump_that_changes_while_it_waits_for_its_turn_must_settle_again() {
    let mut desk = settled();
    look(&mut desk, 11, vec![seen(DUMP, &[5, 1])]);
    assert_eq!(next(&mut desk, 11), None);
}

#[test]
fn a_card_that_comes_back_is_asked_for_again_and_known_to_have_arrived() {
    let mut desk = settled();
    assert!(!next(&mut desk, 10).unwrap().arrived);
    end(&mut desk, 11, End::Answered);
    assert_eq!(look(&mut desk, 12, vec![]).len(), 1);
    look(&mut desk, 13, vec![seen(DUMP, &[5])]);
    look(&mut desk, 23, vec![seen(DUMP, &[5])]);
    assert!(next(&mut desk, 23).unwrap().arrived);
}

#[test]
fn behind_an_unmounted_root_no_card_is_gone() {
    let mut desk = settled();
    next(&mut desk, 10).unwrap();
    end(&mut desk, 11, End::Answered);
    // The root cannot be read, or another filesystem shows.
    desk.looked(0, Look { notes: vec![("/dumps".into(), "no".into())], ..Look::default() }, at(12));
    desk.looked(0, Look { device: Some(2), ..Look::default() }, at(13));
    look(&mut desk, 14, vec![seen(DUMP, &[5])]);
    look(&mut desk, 30, vec![seen(DUMP, &[5])]);
    assert_eq!(next(&mut desk, 30), None);
}

#[test]
fn a_note_is_said_once_until_it_changes_or_is_over() {
    let mut desk = desk();
    let missing = |text: &str| Look { notes: vec![("/dumps".into(), text.into())], ..Look::default() };
    assert_eq!(desk.looked(0, missing("a"), at(0)).len(), 1);
    assert_eq!(desk.looked(0, missing("a"), at(1)).len(), 0);
    assert_eq!(desk.looked(0, missing("b"), at(2)).len(), 1);
    assert_eq!(look(&mut desk, 3, vec![])[0].text, "\"/dumps\" is watched again");
    assert_eq!(desk.looked(0, missing("b"), at(4)).len(), 1);
}

#[test]
fn a_watch_that_hangs_is_not_looked_at_twice_and_a_hint_makes_it_due() {
    let mut desk = desk();
    assert_eq!(desk.due(at(0)).len(), 1);
    assert_eq!(desk.due(at(100)).len(), 0);
    desk.looked(0, Look { device: Some(1), ..Look::default() }, at(100));
    assert_eq!(desk.due(at(100)).len(), 1);
    desk.looked(0, Look { device: Some(1), ..Look::default() }, at(100));
    assert_eq!(desk.due(at(100)).len(), 0);
    desk.hint(0);
    assert_eq!(desk.due(at(100)).len(), 1);
}

#[test]
fn a_card_at_rest_is_listed_more_seldom() {
    let mut desk = settled();
    next(&mut desk, 10).unwrap();
    end(&mut desk, 11, End::Answered);
    look(&mut desk, 12, vec![seen(DUMP, &[5])]);
    let rests = |desk: &mut Desk, secs: u64| {
        let resting = desk.due(at(secs)).remove(0).1;
        desk.looked(
            0,
            Look { device: Some(1), seen: vec![Seen { path: DUMP.into(), view: None }], notes: vec![] },
            at(secs),
        );
        resting.contains(Path::new(DUMP))
    };
    assert!(rests(&mut desk, 13) && rests(&mut desk, 21) && !rests(&mut desk, 22));
}

#[test]
fn no_more_than_four_cards_at_once() {
    let mut desk = desk();
    let cards = || (0..6).map(|i| seen(&format!("/dumps/{i}"), &[5])).collect::<Vec<_>>();
    look(&mut desk, 0, cards());
    look(&mut desk, 10, cards());
    let orders: Vec<_> = std::iter::from_fn(|| next(&mut desk, 10)).collect();
    assert_eq!((orders.len(), desk.running(), desk.waiting()), (4, 4, 2));
    desk.ended(&orders[0].path, &End::Answered, at(11));
    assert!(next(&mut desk, 11).is_some());
    assert!(next(&mut desk, 11).is_none());
}

#[test]
fn a_job_whose_card_is_watched_waits_until_it_settled() {
    let mut desk = desk();
    set_jobs(&mut desk, vec![job(DUMP, None, None)]);
    assert_eq!(next(&mut desk, 0), None);
    look(&mut desk, 0, vec![seen(DUMP, &[5])]);
    assert_eq!(next(&mut desk, 0), None);
    look(&mut desk, 10, vec![seen(DUMP, &[5])]);
    let order = next(&mut desk, 10).unwrap();
    assert!(order.job.is_some() && order.mark.is_some());
}

#[test]
fn a_job_whose_dump_is_gone_is_run_and_one_from_elsewhere_too() {
    for path in [DUMP, "/elsewhere/A001"] {
        let mut desk = desk();
        set_jobs(&mut desk, vec![job(path, None, None)]);
        look(&mut desk, 0, vec![]);
        let order = next(&mut desk, 0).unwrap();
        assert_eq!((order.path.as_path(), order.mark), (Path::new(path), None));
    }
}

#[test]
fn held_jobs_wait_for_a_person_and_others_for_their_time() {
    let mut desk = settled();
    next(&mut desk, 10).unwrap();
    end(&mut desk, 11, End::Answered);
    set_jobs(&mut desk, vec![job(DUMP, Some(Hold::Mismatch), None)]);
    assert_eq!((next(&mut desk, 11), desk.held()), (None, 1));
    set_jobs(&mut desk, vec![job(DUMP, None, Some(20))]);
    assert_eq!(next(&mut desk, 19), None);
    assert!(next(&mut desk, 20).is_some());
}

#[test]
fn a_hold_for_something_absent_is_looked_at_again_later_and_later() {
    for hold in [Hold::CardAbsent, Hold::DestinationAbsent] {
        let mut desk = settled();
        next(&mut desk, 10).unwrap();
        end(&mut desk, 11, End::Answered);
        let mut tries = Vec::new();
        for secs in 11..100 {
            set_jobs(&mut desk, vec![job(DUMP, Some(hold), None)]);
            if next(&mut desk, secs).is_some() {
                tries.push(secs);
                assert_eq!(
                    end(&mut desk, secs, End::Again { hold: Some(hold), text: "away".into(), told: true }),
                    None
                );
            }
        }
        assert_eq!(tries, [11, 16, 26, 46, 86]);
    }
}

#[test]
fn rows_read_before_the_end_of_work_are_not_believed() {
    let mut desk = settled();
    next(&mut desk, 10).unwrap();
    let turn = desk.turn();
    end(&mut desk, 11, End::Answered);
    assert!(!desk.set_jobs(turn, vec![job(DUMP, None, None)]));
    assert_eq!(next(&mut desk, 11), None);
}

#[test]
fn a_failure_without_a_row_is_tried_later_and_told_once() {
    let mut desk = settled();
    let again = || End::Again { hold: Some(Hold::DestinationAbsent), text: "not mounted".into(), told: false };
    next(&mut desk, 10).unwrap();
    assert_eq!(end(&mut desk, 10, again()).unwrap().0, Some(Hold::DestinationAbsent));
    assert_eq!(next(&mut desk, 14), None);
    next(&mut desk, 15).unwrap();
    assert_eq!(end(&mut desk, 15, again()), None);
    assert_eq!(next(&mut desk, 24), None);
    assert!(next(&mut desk, 25).is_some());
}

#[test]
fn every_part_of_a_listing_is_in_its_mark() {
    let base = listing(&[5, 6]);
    let changed: [fn(&mut Listing); 5] = [
        |l| l.files[0].size_bytes = 9,
        |l| l.files[1].mtime_ns = 9,
        |l| drop(l.files.pop()),
        |l| l.folders.push(RelPath::new("x").unwrap()),
        |l| l.specials.push((RelPath::new("x").unwrap(), crate::clip::SpecialKind::Fifo)),
    ];
    for change in changed {
        let mut other = base.clone();
        change(&mut other);
        assert_ne!(mark(&other), mark(&base));
    }
    assert_eq!(mark(&base.clone()), mark(&base));
}
