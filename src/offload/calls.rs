//! Who waits for a device, and since when: a call that does not come back is named, whatever device it is.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Device {
    Card,
    /// Index of a destination.
    Destination(usize),
}

struct Call {
    device: Device,
    /// Bytes moved then, or it began.
    heard: Instant,
    told: Option<Instant>,
}

/// One call a thread.
#[derive(Default)]
pub(super) struct Calls(Mutex<HashMap<ThreadId, Call>>);

/// Lasts as long as the thread waits for the device.
pub(super) struct Waiting<'c>(&'c Calls);

impl Calls {
    pub(super) fn begin(&self, device: Device) -> Waiting<'_> {
        self.lock().insert(thread::current().id(), Call { device, heard: Instant::now(), told: None });
        Waiting(self)
    }

    /// The device of this thread's call has answered, or is not what is waited for.
    pub(super) fn heard(&self) {
        if let Some(call) = self.lock().get_mut(&thread::current().id()) {
            call.heard = Instant::now();
        }
    }

    /// Devices that have been silent for at least `limit`, and for how long; each again only after `limit`.
    pub(super) fn silent(&self, limit: Duration) -> BTreeMap<Device, Duration> {
        let mut silent: BTreeMap<Device, Duration> = BTreeMap::new();
        for call in self.lock().values_mut() {
            let waited = call.heard.elapsed();
            if waited >= limit && call.told.is_none_or(|at| at.elapsed() >= limit) {
                call.told = Some(Instant::now());
                let longest = silent.entry(call.device).or_default();
                *longest = waited.max(*longest);
            }
        }
        silent
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ThreadId, Call>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().remove(&thread::current().id());
    }
}
