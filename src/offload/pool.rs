//! The fixed pool of buffers bounds memory and gives the back-pressure: a buffer returns when the last who uses it is
//! done. What waits for one writer waits in its inbox, which can be emptied when the writer is left behind.

use crate::disk::buffer::{ALIGN, Buffer};
use crate::verify::CHUNK_BYTES;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Buffers of [`CHUNK_BYTES`] in flight for one card.
pub(super) const BUFFERS: usize = 20;

pub(super) struct Pool {
    free: Mutex<Vec<Buffer>>,
    freed: Condvar,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    pub(super) fn new() -> Arc<Self> {
        let free = (0..BUFFERS).map(|_| Buffer::new(CHUNK_BYTES)).collect();
        Arc::new(Pool { free: Mutex::new(free), freed: Condvar::new() })
    }

    pub(super) fn try_take(&self) -> Option<Buffer> {
        lock(&self.free).pop()
    }

    pub(super) fn take(&self, wait: Duration) -> Option<Buffer> {
        let free = lock(&self.free);
        let (mut free, _) =
            self.freed.wait_timeout_while(free, wait, |f| f.is_empty()).unwrap_or_else(PoisonError::into_inner);
        free.pop()
    }

    fn give(&self, buf: Buffer) {
        lock(&self.free).push(buf);
        self.freed.notify_one();
    }
}

/// A part of a file on its way to the writers; goes home to the pool when the last of them drops it.
pub(super) struct Part {
    buf: Option<Buffer>,
    len: usize,
    home: Arc<Pool>,
}

impl Part {
    /// Behind `len` the buffer is cleared up to the next full page, for a direct write of the file's end.
    pub(super) fn new(mut buf: Buffer, len: usize, home: &Arc<Pool>) -> Arc<Self> {
        let end = len.next_multiple_of(ALIGN).min(buf.len());
        buf[len..end].fill(0);
        Arc::new(Part { buf: Some(buf), len, home: home.clone() })
    }

    /// The bytes of the file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.whole()[..self.len]
    }

    /// The whole buffer.
    pub(super) fn whole(&self) -> &[u8] {
        self.buf.as_deref().unwrap_or_default()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(buf) = self.buf.take() {
            self.home.give(buf);
        }
    }
}

/// Keeps a disk with a head from reading back while it is written to. Writers never wait for a read-back that waits
/// itself: they hold what the others need.
pub(super) struct Gate {
    /// Files being written, and whether something is read back.
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

pub(super) enum Passage<'g> {
    Writing(&'g Gate),
    Proving(&'g Gate),
}

impl Gate {
    pub(super) fn new() -> Self {
        Gate { state: Mutex::new((0, false)), changed: Condvar::new() }
    }

    pub(super) fn write(&self) -> Passage<'_> {
        let state = self.changed.wait_while(lock(&self.state), |(_, proving)| *proving);
        state.unwrap_or_else(PoisonError::into_inner).0 += 1;
        Passage::Writing(self)
    }

    pub(super) fn prove(&self) -> Passage<'_> {
        let state = self.changed.wait_while(lock(&self.state), |(writing, proving)| *writing > 0 || *proving);
        state.unwrap_or_else(PoisonError::into_inner).1 = true;
        Passage::Proving(self)
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        let gate = match self {
            Passage::Writing(gate) => {
                lock(&gate.state).0 -= 1;
                gate
            }
            Passage::Proving(gate) => {
                lock(&gate.state).1 = false;
                gate
            }
        };
        gate.changed.notify_all();
    }
}

/// What waits for one writer, in order.
pub(super) struct Inbox<T> {
    state: Mutex<(VecDeque<T>, bool)>,
    changed: Condvar,
}

impl<T> Inbox<T> {
    pub(super) fn new() -> Self {
        Inbox { state: Mutex::new((VecDeque::new(), false)), changed: Condvar::new() }
    }

    pub(super) fn send(&self, item: T) {
        lock(&self.state).0.push_back(item);
        self.changed.notify_one();
    }

    /// Nothing more will be sent.
    pub(super) fn close(&self) {
        lock(&self.state).1 = true;
        self.changed.notify_all();
    }

    /// The next item; `None` when it is closed and empty.
    pub(super) fn next(&self) -> Option<T> {
        let state = lock(&self.state);
        let mut state = self
            .changed
            .wait_while(state, |(items, closed)| items.is_empty() && !*closed)
            .unwrap_or_else(PoisonError::into_inner);
        state.0.pop_front()
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.state).0.len()
    }

    /// Drops what `keep` does not want.
    pub(super) fn retain(&self, keep: impl FnMut(&T) -> bool) {
        lock(&self.state).0.retain(keep);
    }
}

/// So many files may be under way.
pub(super) struct Slots(Mutex<usize>, Condvar);

impl Slots {
    pub(super) fn new(n: usize) -> Self {
        Slots(Mutex::new(n), Condvar::new())
    }

    /// False when told to stop while waiting.
    pub(super) fn take(&self, stop: impl Fn() -> bool) -> bool {
        let mut free = lock(&self.0);
        while *free == 0 {
            if stop() {
                return false;
            }
            free = self.1.wait_timeout(free, Duration::from_millis(100)).unwrap_or_else(PoisonError::into_inner).0;
        }
        *free -= 1;
        !stop()
    }

    pub(super) fn give(&self) {
        *lock(&self.0) += 1;
        self.1.notify_one();
    }
}
