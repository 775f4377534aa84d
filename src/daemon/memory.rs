//! Failures that have no row in the catalog: when a card may be tried again, and whether a person has heard of it.

use crate::job::{self, Hold, Outcome, Step};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A fingerprint of a listing.
pub(super) type Mark = [u8; 32];

#[derive(Default)]
pub(super) struct Memory(BTreeMap<PathBuf, Failed>);

struct Failed {
    mark: Option<Mark>,
    hold: Option<Hold>,
    attempts: u32,
    again_at: Duration,
}

impl Memory {
    /// A card that changed is a new chance.
    pub(super) fn may_try(&self, path: &Path, mark: Option<Mark>, now: Duration) -> bool {
        self.0.get(path).is_none_or(|f| now >= f.again_at || f.mark != mark)
    }

    /// Whether this is news. The same failure of the same card is not, however often it is tried: without a row nobody
    /// could end a hold, so it is tried for ever, at the longest wait.
    pub(super) fn failed(&mut self, path: &Path, mark: Option<Mark>, hold: Option<Hold>, now: Duration) -> bool {
        let old = self.0.get(path).filter(|f| f.mark == mark);
        let attempts = old.map_or(1, |f| f.attempts.saturating_add(1));
        let is_news = old.is_none_or(|f| f.hold != hold);
        let passing = Outcome::Transient(String::new());
        let wait = job::next(Step::Settle, &passing, attempts.min(job::MAX_ATTEMPTS - 1)).2.unwrap_or_default();
        self.0.insert(path.to_path_buf(), Failed { mark, hold, attempts, again_at: now + wait });
        is_news
    }

    pub(super) fn forget(&mut self, path: &Path) {
        self.0.remove(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn waits_grow_to_the_longest_and_never_end() {
        let (mut memory, card) = (Memory::default(), Path::new("/dumps/A001"));
        let mut waits = Vec::new();
        for _ in 0..12 {
            memory.failed(card, None, None, at(0));
            waits.push((0..1000).find(|s| memory.may_try(card, None, at(*s))).unwrap());
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300, 300, 300, 300]);
    }

    #[test]
    fn the_same_failure_is_news_once_and_another_one_again() {
        let (mut memory, card, mark) = (Memory::default(), Path::new("/dumps/A001"), Some([1; 32]));
        assert!(memory.failed(card, mark, Some(Hold::DestinationAbsent), at(0)));
        assert!(!memory.failed(card, mark, Some(Hold::DestinationAbsent), at(5)));
        assert!(memory.failed(card, mark, Some(Hold::DiskFull), at(15)));
        assert!(!memory.failed(card, mark, Some(Hold::DiskFull), at(40)));
    }

    #[test]
    fn a_card_that_changed_is_tried_at_once_and_counted_anew() {
        let (mut memory, card) = (Memory::default(), Path::new("/dumps/A001"));
        memory.failed(card, Some([1; 32]), None, at(0));
        memory.failed(card, Some([1; 32]), None, at(0));
        assert!(!memory.may_try(card, Some([1; 32]), at(9)));
        assert!(memory.may_try(card, Some([2; 32]), at(0)));
        assert!(memory.failed(card, Some([2; 32]), None, at(0)));
        assert!(memory.may_try(card, Some([2; 32]), at(5)));
    }
}
