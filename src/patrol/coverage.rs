//! How soon every copy is proven again, by what is known of the disks and of the passes so far. Pure.
//!
//! Disks are read side by side, so the slowest one governs; a rate holds for all of them together. A pass ends at its
//! budget, and the next one begins when patrols have begun so far.

use crate::config::duration_text;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// What one disk holds, and how fast it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// For people.
    pub name: String,
    pub bytes: u64,
    /// Bytes and the time they took; `None`: none was ever read again.
    pub read: Option<(u64, Duration)>,
}

/// All that the answer depends on.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub disks: BTreeMap<String, Load>,
    /// Between the beginnings of two passes.
    pub interval: Option<Duration>,
    pub budget: Option<Duration>,
    pub rate: Option<u64>,
    pub every: Option<Duration>,
    /// Age at which a copy is read again, if nothing is late.
    pub due: Duration,
}

/// At this budget every copy is proven again each so many days.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Coverage {
    /// Rounded up; `None`: not known yet.
    pub days: Option<u64>,
    /// What is promised, by `[patrol] every`.
    #[serde(serialize_with = "in_days")]
    pub every_days: Option<Duration>,
    /// Whether that can be held; `None` when nothing is promised, or not enough is known.
    pub held: Option<bool>,
    /// The disk that takes longest.
    pub slowest: Option<String>,
    /// The same in words, with what it was computed from.
    pub text: String,
    /// The exact time.
    #[serde(skip)]
    pub cycle: Option<Duration>,
}

fn in_days<S: Serializer>(every: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
    match every {
        None => s.serialize_none(),
        Some(every) if every.as_secs() % DAY.as_secs() == 0 => s.serialize_u64(every.as_secs() / DAY.as_secs()),
        Some(every) => s.serialize_f64(every.as_secs_f64() / DAY.as_secs_f64()),
    }
}

impl Coverage {
    pub(super) fn of(known: &Known) -> Self {
        let unknown = |why: String| Coverage { text: why, every_days: known.every, ..Coverage::default() };
        let disks = || known.disks.values().filter(|d| d.bytes > 0);
        if disks().next().is_none() {
            return unknown("there is nothing to prove again yet".into());
        }
        const NOT_YET: &str = "how soon every copy is proven again is not known yet:";
        if let Some(unread) = disks().find(|d| d.read.is_none()) {
            return unknown(format!("{NOT_YET} no pass has read from {} so far", unread.name));
        }
        let Some(interval) = known.interval else {
            return unknown(format!("{NOT_YET} a second pass will show how often patrol runs"));
        };
        let secs = |d: &Load| d.read.map_or(0.0, |(bytes, busy)| d.bytes as f64 / bytes as f64 * busy.as_secs_f64());
        let slowest = disks().max_by(|a, b| secs(a).total_cmp(&secs(b)));
        let mut reading = slowest.map_or(0.0, secs);
        let all: u64 = disks().map(|d| d.bytes).fold(0, u64::saturating_add);
        reading = reading.max(known.rate.map_or(0.0, |rate| all as f64 / rate as f64));
        let cycle = match known.budget.map(|b| b.as_secs_f64()) {
            // A pass that takes longer than to the next one is in its way.
            Some(budget) if reading > budget => (reading / budget).ceil() * interval.as_secs_f64().max(budget),
            _ => interval.as_secs_f64().max(reading),
        };
        // Of a budget of seconds for years of reading nothing can be said but that it is far too long.
        let cycle = Duration::try_from_secs_f64(cycle).unwrap_or(Duration::MAX);
        let days = cycle.as_secs().div_ceil(DAY.as_secs()).max(1);
        let held = known.every.map(|every| cycle <= every);
        let slowest = slowest.map(|d| d.name.clone());
        let mut text = format!("at this budget every copy is re-proven {}", each(days));
        let budget = known.budget.map_or("no limit".into(), |b| format!("{} a pass", duration_text(b)));
        let disk = slowest.as_deref().unwrap_or_default();
        let due = duration_text(known.due);
        text.push_str(&format!(" ({budget}, a pass each {}, slowest is {disk}; due after {due})", about(interval)));
        if let (Some(false), Some(every)) = (held, known.every) {
            let every = duration_text(every);
            text.push_str(&format!(
                "; [patrol] every = {every} cannot be held: give it more time or a higher rate, run it more often, or \
                 promise less"
            ));
        }
        Coverage { days: Some(days), every_days: known.every, held, slowest, text, cycle: Some(cycle) }
    }

    /// How long before the promised date the reading must begin, so that the last copy is proven in time: for a whole
    /// round, and one pass that fails to come. While that is not known, half of the time.
    pub(super) fn lead(&self, every: Duration, interval: Option<Duration>) -> Duration {
        match (self.cycle, interval) {
            (Some(cycle), Some(interval)) => cycle.saturating_add(interval).min(every),
            _ => every / 2,
        }
    }
}

fn each(days: u64) -> String {
    if days == 1 { "each day".into() } else { format!("each {days} days") }
}

/// Near enough for a person: nobody starts passes to the minute.
fn about(interval: Duration) -> String {
    let hours = (interval.as_secs() + 1800) / 3600;
    match hours {
        0 => duration_text(Duration::from_secs((interval.as_secs() / 60).max(1) * 60)),
        hours if hours % 24 == 0 => each_day(hours / 24),
        hours => format!("{hours}h"),
    }
}

fn each_day(days: u64) -> String {
    if days == 1 { "day".into() } else { format!("{days} days") }
}

/// A pass that begins so soon after the one before is somebody's second try, and no schedule.
const TRIED_AGAIN: Duration = Duration::from_secs(600);

/// Between the beginnings of patrols, the oldest first: the gap in the middle, so that a pass by hand or a week off says
/// little.
pub(super) fn interval(runs: &[jiff::Timestamp]) -> Option<Duration> {
    let mut gaps = Vec::new();
    let mut last: Option<jiff::Timestamp> = None;
    for at in runs {
        match last.map(|last| Duration::try_from(at.duration_since(last))) {
            Some(Ok(gap)) if gap < TRIED_AGAIN => continue,
            Some(Ok(gap)) => gaps.push(gap),
            // The first, or after a clock that was set back.
            Some(Err(_)) | None => {}
        }
        last = Some(*at);
    }
    gaps.sort();
    gaps.get(gaps.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const TB: u64 = 1_000_000_000_000;

    /// At so many MB/s.
    fn disk(name: &str, bytes: u64, speed: u64) -> (String, Load) {
        let read = Some((speed * 10_000_000, Duration::from_secs(10)));
        (name.into(), Load { name: name.to_uppercase(), bytes, read })
    }

    /// Four hours each night.
    fn nights(disks: &[(String, Load)]) -> Known {
        let disks = disks.iter().cloned().collect();
        Known { disks, interval: Some(DAY), budget: Some(4 * HOUR), every: Some(30 * DAY), rate: None, due: 30 * DAY }
    }

    #[test]
    fn the_slowest_disk_governs() {
        // 10 TB at 200 MB/s: 13.9 hours, four nights; 4 TB at 50 MB/s: 22.2 hours, six.
        let known = nights(&[disk("a", 10 * TB, 200), disk("b", 4 * TB, 50)]);
        let c = Coverage::of(&known);
        assert_eq!((c.days, c.held, c.slowest.as_deref()), (Some(6), Some(true), Some("B")));
        let said = "at this budget every copy is re-proven each 6 days (4h a pass, a pass each day, slowest is B; due after 30d)";
        assert_eq!(c.text, said);
        let alone = nights(&[disk("a", 10 * TB, 200)]);
        assert_eq!(Coverage::of(&alone).days, Some(4));
    }

    #[test]
    fn a_rate_is_shared_by_all_disks() {
        // 14 TB at 100 MB/s together: 38.9 hours.
        let known = Known { rate: Some(100_000_000), ..nights(&[disk("a", 10 * TB, 200), disk("b", 4 * TB, 200)]) };
        assert_eq!(Coverage::of(&known).days, Some(10));
        assert_eq!(Coverage::of(&Known { rate: Some(u64::MAX), ..known }).days, Some(4));
    }

    #[test]
    fn a_promise_that_cannot_be_held_is_told_before_it_is_broken() {
        let known = nights(&[disk("a", 100 * TB, 200)]);
        let c = Coverage::of(&known);
        assert_eq!((c.days, c.held), (Some(35), Some(false)));
        assert!(c.text.contains("every = 30d cannot be held"), "{}", c.text);
        let longer = Coverage::of(&Known { budget: Some(8 * HOUR), ..known.clone() });
        assert_eq!((longer.days, longer.held), (Some(18), Some(true)));
        assert_eq!(Coverage::of(&Known { every: None, ..known.clone() }).held, None);
        // Without a budget a pass goes on until all is done: 138.9 hours.
        assert_eq!(Coverage::of(&Known { budget: None, ..known.clone() }).days, Some(6));
        // Weekly passes.
        assert_eq!(Coverage::of(&Known { interval: Some(7 * DAY), ..known.clone() }).days, Some(245));
        // Passes that would overlap run one after the other.
        let hourly = Known { interval: Some(HOUR), ..known };
        assert_eq!(Coverage::of(&hourly).days, Some(6));
    }

    #[test]
    fn with_too_little_history_nothing_is_claimed() {
        let whole = nights(&[disk("a", TB, 200)]);
        let mut unread = whole.clone();
        unread.disks.insert("b".into(), Load { name: "SHUTTLE".into(), bytes: 1, read: None });
        let empty = nights(&[disk("a", 0, 200)]);
        let once = Known { interval: None, ..whole.clone() };
        for (known, why) in [(&unread, "SHUTTLE"), (&empty, "nothing to prove"), (&once, "second pass")] {
            let c = Coverage::of(known);
            assert!(c.days.is_none() && c.held.is_none() && c.text.contains(why), "{c:?}");
            assert_eq!(c.lead(30 * DAY, known.interval), 15 * DAY);
        }
        assert_eq!(Coverage::of(&whole).lead(30 * DAY, Some(DAY)), 2 * DAY);
        let slow = nights(&[disk("a", 100 * TB, 200)]);
        assert_eq!(Coverage::of(&slow).lead(30 * DAY, Some(DAY)), 30 * DAY, "all the time");
    }

    #[test]
    fn absurd_numbers_are_no_panic() {
        let zero = ("a".into(), Load { name: "A".into(), bytes: u64::MAX, read: Some((1, Duration::MAX)) });
        let known = Known { budget: Some(Duration::from_millis(1)), rate: Some(1), ..nights(&[zero]) };
        let c = Coverage::of(&known);
        assert!(c.days.is_some() && c.held == Some(false), "{c:?}");
        assert_eq!(c.lead(DAY, known.interval), DAY);
    }

    #[test]
    fn days_are_whole_where_they_are() {
        let json = |every| serde_json::to_value(Coverage { every_days: every, ..Coverage::default() }).unwrap();
        assert_eq!(json(Some(30 * DAY))["every_days"], 30);
        assert_eq!(json(Some(12 * HOUR))["every_days"], 0.5);
        assert_eq!(json(None)["every_days"], serde_json::Value::Null);
    }

    #[test]
    fn a_pass_by_hand_or_a_week_off_says_little() {
        let at = |hours: i64| jiff::Timestamp::from_second(hours * 3600).unwrap();
        let days: Vec<_> = [0, 24, 25, 48, 72, 240, 264, 288].map(at).to_vec();
        assert_eq!(interval(&days), Some(DAY));
        assert_eq!(interval(&days[..2]), Some(DAY));
        assert_eq!(interval(&days[..1]), None);
        let minute = |minutes: i64| jiff::Timestamp::from_second(minutes * 60).unwrap();
        assert_eq!(interval(&[0, 4, 8, 1440, 1441].map(minute)), Some(DAY), "tried again");
        assert_eq!(interval(&[0, 4].map(minute)), None);
        // A clock that was put back.
        assert_eq!(interval(&[at(5), at(1)]), None);
        assert_eq!(interval(&[at(100), at(1), at(2), at(3)]), Some(HOUR));
    }
}
