//! How far a piece of work is, how fast, and what holds it up: the numbers of the progress line.

use super::print::{clock, count};
use goodgate::offload::plan::human;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// The rate is that of so long, in so many samples.
const WINDOW: Duration = Duration::from_secs(10);
const SAMPLES: usize = 20;

#[derive(Debug)]
pub struct Tally {
    what: String,
    roll: String,
    files: u64,
    bytes: u64,
    lanes: BTreeMap<String, Lane>,
    clips: u64,
    /// Never goes back, also when a lane joins late.
    furthest: u64,
    samples: VecDeque<(Instant, u64)>,
}

#[derive(Debug, Default)]
struct Lane {
    bytes: u64,
    busy_secs: f64,
    files: u64,
    told: Option<(Instant, u64)>,
}

impl Tally {
    pub fn new(now: Instant) -> Self {
        Tally {
            what: String::new(),
            roll: String::new(),
            files: 0,
            bytes: 0,
            lanes: BTreeMap::new(),
            clips: 0,
            furthest: 0,
            samples: VecDeque::from([(now, 0)]),
        }
    }

    pub fn begin(&mut self, what: &str, roll: &str, files: u64, bytes: u64, now: Instant) {
        *self = Tally { what: what.into(), roll: roll.into(), files, bytes, ..Tally::new(now) };
    }

    pub fn moved(&mut self, lane: &str, bytes: u64, now: Instant) {
        self.lane(lane).bytes += bytes;
        self.furthest = self.furthest.max(self.position());
        let spacing = WINDOW / SAMPLES as u32;
        if self.samples.back().is_none_or(|(at, _)| now.duration_since(*at) >= spacing) {
            self.samples.push_back((now, self.furthest));
            while self.samples.len() > SAMPLES {
                self.samples.pop_front();
            }
        }
    }

    pub fn busy(&mut self, lane: &str, secs: f64) {
        self.lane(lane).busy_secs += secs;
    }

    pub fn file(&mut self, lane: &str) {
        self.lane(lane).files += 1;
    }

    pub fn clip(&mut self) {
        self.clips += 1;
    }

    /// The lane's bytes so far, if it was not told of within `every`.
    pub fn tell(&mut self, lane: &str, now: Instant, every: Duration) -> Option<u64> {
        let lane = self.lane(lane);
        if lane.told.is_some_and(|(at, _)| now.duration_since(at) < every) {
            return None;
        }
        lane.told = Some((now, lane.bytes));
        Some(lane.bytes)
    }

    /// Lanes that moved since they were last told of.
    pub fn untold(&mut self, now: Instant) -> Vec<(String, u64)> {
        let moved = self.lanes.iter_mut().filter(|(_, l)| l.told.map_or(0, |t| t.1) != l.bytes);
        moved
            .map(|(name, l)| {
                l.told = Some((now, l.bytes));
                (name.clone(), l.bytes)
            })
            .collect()
    }

    fn lane(&mut self, name: &str) -> &mut Lane {
        if !self.lanes.contains_key(name) {
            self.lanes.insert(name.to_owned(), Lane::default());
        }
        self.lanes.entry(name.to_owned()).or_default()
    }

    /// A copy passes all bytes through every lane: what is written will be proven, what is read is read again. A check
    /// passes each byte through one.
    fn ways(&self) -> usize {
        if self.what != "copying" {
            return 1;
        }
        let mut ways: BTreeSet<&str> = self.lanes.iter().filter(|(_, l)| l.bytes > 0).map(|(n, _)| &n[..]).collect();
        let to_prove = |n: &String| n.strip_prefix("write ").map(|d| format!("prove {d}"));
        let later: Vec<String> = self.lanes.keys().filter_map(to_prove).collect();
        ways.extend(later.iter().map(String::as_str));
        if self.lanes.contains_key("read card") {
            ways.insert("re-read card");
        }
        ways.len().max(1)
    }

    fn position(&self) -> u64 {
        self.lanes.values().map(|l| l.bytes).sum::<u64>() / self.ways() as u64
    }

    fn files_done(&self) -> u64 {
        // Of a copy, the proving lanes say it, one for each destination.
        let ended: u64 = self.lanes.values().map(|l| l.files).sum();
        let proving = self.lanes.values().filter(|l| l.files > 0).count();
        let writing = self.lanes.keys().filter(|name| name.starts_with("write ")).count();
        let each = if self.what == "copying" { proving.max(writing).max(1) } else { 1 };
        ended / each as u64 + self.clips
    }

    /// Bytes a second of late.
    fn rate(&self, now: Instant) -> f64 {
        let Some((at, bytes)) = self.samples.front() else { return 0.0 };
        let secs = now.duration_since(*at).as_secs_f64();
        if secs < 0.2 { 0.0 } else { (self.furthest - bytes) as f64 / secs }
    }

    /// The lane that was longest at its device.
    pub fn bottleneck(&self) -> Option<&str> {
        let busiest = self.lanes.iter().max_by(|a, b| a.1.busy_secs.total_cmp(&b.1.busy_secs))?;
        (busiest.1.busy_secs > 0.0).then_some(busiest.0)
    }

    /// Files, bytes, rate, time left, bottleneck; empty before any work began.
    pub fn line(&self, now: Instant) -> String {
        if self.what.is_empty() {
            return String::new();
        }
        let files = self.files_done();
        let files = match self.files {
            0 => count(files, "file"),
            all => format!("{}/{}", files.min(all), count(all, "file")),
        };
        let what = format!("{} {}", self.what, self.roll);
        let mut parts = vec![format!("{}: {files}", what.trim_end())];
        if self.bytes > 0 || self.furthest > 0 {
            let done = if self.bytes > 0 { self.furthest.min(self.bytes) } else { self.furthest };
            parts.push(match self.bytes {
                0 => human(done),
                all => format!("{} of {}", human(done), human(all)),
            });
            let rate = self.rate(now);
            if rate >= 1.0 {
                parts.push(format!("{}/s", human(rate as u64)));
                if self.bytes > done {
                    parts.push(format!("{} left", clock(((self.bytes - done) as f64 / rate).ceil() as u64)));
                }
            }
        }
        parts.extend(self.bottleneck().map(|lane| format!("slowest: {lane}")));
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_line_names_files_bytes_rate_time_left_and_bottleneck() {
        let t = Instant::now();
        let at = |secs| t + Duration::from_secs(secs);
        let mut tally = Tally::new(t);
        assert_eq!(tally.line(t), "");
        tally.begin("copying", "A001", 10, 100 * MIB, t);
        for (lane, mib) in [("read card", 30), ("write /a", 20), ("prove /a", 20), ("re-read card", 10)] {
            tally.moved(lane, mib * MIB, at(4));
        }
        tally.busy("write /a", 3.0);
        tally.busy("read card", 1.0);
        tally.file("prove /a");
        assert_eq!(
            tally.line(at(4)),
            "copying A001: 1/10 files, 20.0 MiB of 100.0 MiB, 5.0 MiB/s, 0:16 left, slowest: write /a"
        );
    }

    #[test]
    fn a_copy_counts_each_byte_once_and_a_check_each_lane() {
        let t = Instant::now();
        for (what, expected) in [("copying", 6 * MIB), ("checking", 12 * MIB)] {
            let mut tally = Tally::new(t);
            tally.begin(what, "A001", 2, 20 * MIB, t);
            tally.moved("prove /a", 8 * MIB, t);
            tally.moved("prove /b", 4 * MIB, t);
            assert_eq!(tally.position(), expected, "{what}");
        }
    }

    #[test]
    fn a_copy_that_is_not_proven_yet_is_not_near_its_end() {
        let t = Instant::now();
        let mut tally = Tally::new(t);
        tally.begin("copying", "A001", 1, 20 * MIB, t);
        for lane in ["read card", "write /a", "write /b"] {
            tally.moved(lane, 20 * MIB, t);
        }
        assert_eq!(tally.position(), 10 * MIB);
        for lane in ["re-read card", "prove /a", "prove /b"] {
            tally.moved(lane, 20 * MIB, t);
        }
        assert_eq!(tally.position(), 20 * MIB);
        tally.file("prove /a");
        assert_eq!(tally.files_done(), 0, "it is to be proven twice");
        tally.file("prove /b");
        assert_eq!(tally.files_done(), 1);
    }

    #[test]
    fn progress_never_goes_back() {
        let t = Instant::now();
        let mut tally = Tally::new(t);
        tally.begin("copying", "A001", 2, 20 * MIB, t);
        tally.moved("one", 8 * MIB, t);
        tally.moved("two", 2 * MIB, t);
        assert_eq!(tally.furthest, 8 * MIB);
    }

    #[test]
    fn a_lane_is_told_of_now_and_then_and_at_the_end() {
        let t = Instant::now();
        let every = Duration::from_millis(200);
        let mut tally = Tally::new(t);
        tally.moved("one", 1, t);
        assert_eq!(tally.tell("one", t, every), Some(1));
        tally.moved("one", 1, t);
        assert_eq!(tally.tell("one", t + every / 2, every), None);
        assert_eq!(tally.untold(t), [("one".to_owned(), 2)]);
        assert_eq!(tally.untold(t), []);
        assert_eq!(tally.tell("one", t + every * 2, every), Some(2));
    }
}
