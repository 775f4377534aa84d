//! How fast lanes may go and when they end: the rate, the budget, a person's stop, and an offload that wants the device.

use crate::progress::{CannotRecord, Event, Intent, Progress};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(super) struct Pace<'a> {
    outer: &'a dyn Progress,
    /// Bytes a second over all lanes.
    rate: Option<u64>,
    /// When the next bytes may come, by the rate.
    next: Mutex<Instant>,
    deadline: Option<Instant>,
    devices: Vec<DeviceFlags>,
}

#[derive(Default)]
struct DeviceFlags {
    /// A file was finished there in this pass. The first one is not given up for the deadline: else a file that takes
    /// longer than the budget would never be proven. One that can be continued is, when anything of it was read.
    has_finished: AtomicBool,
    /// Something was read there of a file that can be continued.
    has_part: AtomicBool,
    bytes: AtomicU64,
    give_way: AtomicBool,
}

impl<'a> Pace<'a> {
    pub fn new(outer: &'a dyn Progress, rate: Option<u64>, deadline: Option<Instant>, devices: usize) -> Self {
        let devices = (0..devices).map(|_| DeviceFlags::default()).collect();
        Pace { outer, rate: rate.filter(|r| *r > 0), next: Mutex::new(Instant::now()), deadline, devices }
    }

    pub fn is_over(&self) -> bool {
        self.deadline.is_some_and(|d| Instant::now() >= d)
    }

    /// The device did its share: nothing more is begun there after the deadline.
    pub fn is_over_for(&self, device: usize) -> bool {
        self.devices[device].has_finished.load(Ordering::Relaxed) && self.is_over()
    }

    /// It did its share with a part of a file.
    pub fn stopped_in(&self, device: usize) {
        if self.is_over() {
            self.finished_one(device);
        }
    }

    pub fn finished_one(&self, device: usize) {
        self.devices[device].has_finished.store(true, Ordering::Relaxed);
    }

    /// That were read from it.
    pub fn bytes(&self, device: usize) -> u64 {
        self.devices[device].bytes.load(Ordering::Relaxed)
    }

    pub fn set_give_way(&self, device: usize, give_way: bool) {
        self.devices[device].give_way.store(give_way, Ordering::Relaxed);
    }

    pub fn gives_way(&self, device: usize) -> bool {
        self.devices[device].give_way.load(Ordering::Relaxed)
    }

    /// For a file that the next pass can go on with, or one that it cannot.
    pub fn lane(&self, device: usize, has_parts: bool) -> LanePace<'_> {
        LanePace { pace: self, device, has_parts }
    }

    /// Waits until `bytes` more fit the rate. What was not used in time is lost, not saved up.
    fn spend(&self, bytes: u64, stop: impl Fn() -> bool) {
        let Some(rate) = self.rate else { return };
        let until = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            *next = (*next).max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / rate as f64);
            *next
        };
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|_| !stop()) {
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
    }
}

/// What one device's lanes see.
pub(super) struct LanePace<'a> {
    pace: &'a Pace<'a>,
    device: usize,
    has_parts: bool,
}

impl Progress for LanePace<'_> {
    fn event(&self, event: Event<'_>) {
        let bytes = if let Event::Bytes { bytes, .. } = event { bytes } else { 0 };
        self.pace.outer.event(event);
        if bytes > 0 {
            let flags = &self.pace.devices[self.device];
            flags.bytes.fetch_add(bytes, Ordering::Relaxed);
            flags.has_part.fetch_or(self.has_parts, Ordering::Relaxed);
            // Behind the deadline there is nobody to be slow for: what little is left is read as fast as it goes.
            self.pace.spend(bytes, || self.stop_asked() || self.pace.is_over());
        }
    }

    fn stop_asked(&self) -> bool {
        let flags = &self.pace.devices[self.device];
        let is_share = self.has_parts && flags.has_part.load(Ordering::Relaxed);
        self.pace.outer.stop_asked()
            || flags.give_way.load(Ordering::Relaxed)
            || self.pace.is_over_for(self.device)
            || (is_share && self.pace.is_over())
    }

    fn record(&self, intent: Intent) -> Result<(), CannotRecord> {
        self.pace.outer.record(intent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    #[test]
    fn the_rate_is_kept_over_all_lanes_together() {
        let pace = Pace::new(&Silent, Some(10_000_000), None, 2);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for device in 0..2 {
                let lane = pace.lane(device, false);
                scope.spawn(move || (0..5).for_each(|_| lane.event(Event::Bytes { lane: "x", bytes: 200_000 })));
            }
        });
        // 2 MB at 10 MB/s.
        assert!(begun.elapsed() >= Duration::from_millis(200));
    }

    #[test]
    fn the_first_file_of_a_device_outlives_the_deadline_and_no_other_does() {
        let pace = Pace::new(&Silent, None, Some(Instant::now()), 2);
        assert!(pace.is_over() && !pace.lane(0, false).stop_asked());
        pace.finished_one(0);
        assert!(pace.lane(0, false).stop_asked() && !pace.lane(1, false).stop_asked());
    }

    #[test]
    fn a_file_that_can_be_continued_is_given_up_at_the_deadline_when_it_did_its_share() {
        let pace = Pace::new(&Silent, None, Some(Instant::now()), 1);
        let read = |bytes| pace.lane(0, true).event(Event::Bytes { lane: "x", bytes });
        assert!(!pace.lane(0, true).stop_asked());
        read(1);
        assert!(pace.lane(0, true).stop_asked() && !pace.lane(0, false).stop_asked());
    }

    #[test]
    fn no_rate_is_waited_for_behind_the_deadline() {
        let begun = Instant::now();
        let pace = Pace::new(&Silent, Some(1), Some(begun + Duration::from_millis(50)), 1);
        pace.lane(0, false).event(Event::Bytes { lane: "x", bytes: 1_000_000 });
        assert!(pace.is_over() && !pace.lane(0, false).stop_asked());
    }

    #[test]
    fn a_lane_gives_way_by_itself() {
        let pace = Pace::new(&Silent, None, None, 2);
        pace.set_give_way(1, true);
        assert!(pace.lane(1, false).stop_asked() && !pace.lane(0, false).stop_asked());
        pace.set_give_way(1, false);
        assert!(!pace.lane(1, false).stop_asked());
    }
}
