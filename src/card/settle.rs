//! Has a dump that somebody else makes stopped growing? Pure: the caller brings the clock and the looks.

use crate::clip::Listing;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Why not, for a person.
    No(String),
    Yes,
}

/// What was seen so far of one dump.
#[derive(Debug)]
pub struct Settle {
    quiet: Duration,
    /// The last listing and when it last differed from the one before.
    last: Option<(Listing, Duration)>,
}

impl Settle {
    /// `quiet`: how long nothing may have changed.
    pub fn new(quiet: Duration) -> Self {
        Settle { quiet, last: None }
    }

    /// One look. `now` is any clock that does not jump (a monotonic one); `open_for_writing`: some program has a file
    /// of the dump open for writing.
    pub fn observe(&mut self, now: Duration, listing: &Listing, open_for_writing: bool) -> Settled {
        let changes = match &self.last {
            Some((last, _)) => last.changes(listing),
            None => Vec::new(),
        };
        let restart = self.last.is_none() || !changes.is_empty() || open_for_writing;
        if self.last.is_none() || !changes.is_empty() {
            self.last = Some((listing.clone(), now));
        }
        let since = match &mut self.last {
            Some((_, since)) => {
                if restart {
                    *since = now;
                }
                *since
            }
            None => now,
        };
        if open_for_writing {
            return Settled::No("a file in it is open for writing".into());
        }
        if listing.files.is_empty() {
            return Settled::No("there is no file in it yet".into());
        }
        match &changes[..] {
            [] => {}
            [one] => return Settled::No(format!("\"{one}\" has just changed")),
            [one, rest @ ..] => return Settled::No(format!("\"{one}\" and {} more have just changed", rest.len())),
        }
        let still = now.saturating_sub(since);
        if restart || still < self.quiet {
            return Settled::No(format!("unchanged for {} s of {} s", still.as_secs(), self.quiet.as_secs()));
        }
        Settled::Yes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::tests::listing;

    const fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn settled(state: &mut Settle, secs: u64, l: &Listing) -> bool {
        state.observe(at(secs), l, false) == Settled::Yes
    }

    #[test]
    fn a_dump_settles_after_the_quiet_time_and_not_before() {
        let (mut s, l) = (Settle::new(at(30)), listing(&[(b"A.mov", 5)]));
        assert!(!settled(&mut s, 100, &l));
        assert!(!settled(&mut s, 129, &l));
        assert!(settled(&mut s, 130, &l));
    }

    #[test]
    fn size_time_arrival_and_loss_each_start_the_wait_again() {
        let base = listing(&[(b"A.mov", 5), (b"B.mov", 5)]);
        let changed: [fn(&mut Listing); 5] = [
            |l| l.files[0].size_bytes = 6,
            |l| l.files[0].mtime_ns = 2,
            |l| l.files.extend(listing(&[(b"C.mov", 5)]).files),
            |l| drop(l.files.pop()),
            |l| l.folders.push(crate::relpath::RelPath::new("new").unwrap()),
        ];
        for change in changed {
            let mut s = Settle::new(at(10));
            assert!(!settled(&mut s, 0, &base));
            let mut later = base.clone();
            change(&mut later);
            assert!(!settled(&mut s, 11, &later));
            assert!(!settled(&mut s, 20, &later));
            assert!(settled(&mut s, 21, &later));
        }
    }

    #[test]
    fn a_writer_holds_it_back_and_the_wait_starts_when_it_is_gone() {
        let (mut s, l) = (Settle::new(at(10)), listing(&[(b"A.mov", 5)]));
        s.observe(at(0), &l, false);
        assert!(matches!(s.observe(at(50), &l, true), Settled::No(why) if why.contains("open for writing")));
        assert!(!settled(&mut s, 59, &l));
        assert!(settled(&mut s, 60, &l));
    }

    #[test]
    fn an_empty_dump_never_settles() {
        let (mut s, l) = (Settle::new(at(1)), listing(&[]));
        assert!((0..100).all(|t| !settled(&mut s, t, &l)));
    }

    #[test]
    fn one_look_is_never_enough_and_a_clock_that_steps_back_is_no_panic() {
        let (mut s, l) = (Settle::new(at(0)), listing(&[(b"A.mov", 5)]));
        assert!(!settled(&mut s, 5, &l));
        assert!(settled(&mut s, 5, &l));
        let mut s = Settle::new(at(10));
        s.observe(at(50), &l, false);
        assert!(!settled(&mut s, 1, &l));
    }
}
