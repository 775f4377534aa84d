//! The hot loop: streams of files, each with one reader and one writer a destination. One read of the card feeds the
//! hashers and all writers. Small files go by several streams at once, large ones by the first alone.

use super::calls::Device;
use super::pool::{BUFFERS, Inbox, Part, Passage};
use super::round::{Kind, Told, Work};
use super::{Dead, Destination, RESUMED_FROM_BYTES};
use crate::copy::{FileRecord, ReadBack};
use crate::disk::buffer::Buffer;
use crate::disk::read::PastCache;
use crate::disk::write::{Temp, remove};
use crate::hash::Hasher;
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use crate::verify::{self, ReadFault};
use rustix::io::Errno;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

pub(super) enum Msg {
    Start(usize),
    Data(Arc<Part>),
    End,
    /// Nothing of this file counts. After a stop a large temp is kept for the next run.
    Abort {
        stopped: bool,
    },
}

/// To the thread that hashes large files beside their reading.
pub(super) enum Hash {
    Part(Arc<Part>),
    End { task: usize, class: ReadBack },
    Abort,
}

/// Since when a destination keeps all others waiting, and how busy each was by then.
pub(super) struct Lag {
    since: Instant,
    busy_ns: Vec<u64>,
}

impl<'a> Work<'a> {
    /// Reads file after file; `hash` takes the parts where hashing has a thread of its own.
    pub(super) fn read_lane(&self, stream: usize, tell: &Sender<Told<'a>>, hash: Option<Sender<Hash>>) {
        while let Some((i, kind)) = self.next_task(stream) {
            if !self.slots(kind).take(|| self.stop_asked()) {
                break;
            }
            let task = &self.tasks[i];
            let todo: Vec<usize> =
                task.todo.iter().map(|(d, _)| *d).filter(|d| self.dead[*d].get().is_none()).collect();
            let _ = tell.send(Told::Begun { task: i, kind, dests: todo.clone() });
            if todo.is_empty() && task.known.is_some() {
                let _ = tell.send(Told::Skipped { task: i });
                continue;
            }
            let to_all = |msg: &dyn Fn() -> Msg| todo.iter().for_each(|d| self.inboxes[stream][*d].send(msg()));
            let beside = hash.as_ref().filter(|_| kind == Kind::Large);
            match self.read_file(i, &todo, beside, &to_all) {
                Ok((class, hasher)) => {
                    to_all(&|| Msg::End);
                    match (hasher, beside) {
                        (Some(hasher), _) => drop(tell.send(self.read_told(i, class, hasher))),
                        (None, Some(beside)) => drop(beside.send(Hash::End { task: i, class })),
                        (None, None) => {}
                    }
                }
                Err(fault) => {
                    let stopped = matches!(fault, ReadFault::Stopped);
                    to_all(&|| Msg::Abort { stopped });
                    beside.inspect(|b| drop(b.send(Hash::Abort)));
                    let _ = tell.send(Told::Unread { task: i, fault });
                }
            }
        }
        self.inboxes[stream].iter().for_each(Inbox::close);
    }

    fn read_told(&self, task: usize, class: ReadBack, hasher: Hasher) -> Told<'a> {
        let (digests, blocks) = hasher.finish();
        let record = FileRecord { file: self.tasks[task].file.clone(), digests, blocks };
        Told::Read { task, record: Box::new(record), class }
    }

    /// One read of the card's file: handed to all writers and hashed. Gives the hasher when it hashed here.
    fn read_file(
        &self,
        i: usize,
        todo: &[usize],
        beside: Option<&Sender<Hash>>,
        to_all: &dyn Fn(&dyn Fn() -> Msg),
    ) -> Result<(ReadBack, Option<Hasher>), ReadFault> {
        let _call = self.calls.begin(Device::Card);
        let file = &self.tasks[i].file;
        let at_start = |source| ReadFault::Io { offset: 0, source };
        let mut read = PastCache::open(&self.card.root, &file.relpath, &self.card.fs_type).map_err(at_start)?;
        if (read.stat().size_bytes, read.stat().mtime_ns) != (file.size_bytes, file.mtime_ns) {
            return Err(ReadFault::Changed);
        }
        to_all(&|| Msg::Start(i));
        let mut hasher = beside.is_none().then(|| Hasher::new(self.options.formats));
        let lane = if self.card.is_copy() { "read copy" } else { "read card" };
        verify::read_parts(
            &mut read,
            lane,
            self,
            || self.next_buffer(todo),
            |buf, len| {
                let part = Part::new(buf, len, &self.pool);
                to_all(&|| Msg::Data(part.clone()));
                match (&mut hasher, beside) {
                    (Some(hasher), _) => hasher.update(part.bytes()),
                    (None, Some(beside)) => drop(beside.send(Hash::Part(part))),
                    (None, None) => {}
                }
            },
        )?;
        Ok((read.class(), hasher))
    }

    pub(super) fn hash_lane(&self, parts: Receiver<Hash>, tell: &Sender<Told<'a>>) {
        let mut hasher = Hasher::new(self.options.formats);
        for part in parts {
            match part {
                Hash::Part(part) => hasher.update(part.bytes()),
                Hash::Abort => hasher = Hasher::new(self.options.formats),
                Hash::End { task, class } => {
                    let done = std::mem::replace(&mut hasher, Hasher::new(self.options.formats));
                    let _ = tell.send(self.read_told(task, class, done));
                }
            }
        }
    }

    /// A free buffer for these destinations; waiting for one, it is watched who keeps it. `None`: told to stop.
    fn next_buffer(&self, todo: &[usize]) -> Option<Buffer> {
        if let Some(buf) = self.pool.try_take() {
            self.lags.lock().unwrap_or_else(PoisonError::into_inner).iter_mut().for_each(|lag| *lag = None);
            return Some(buf);
        }
        loop {
            self.watch_lags(todo);
            let free = self.pool.take(Duration::from_millis(100));
            // It is not the card that was waited for.
            self.calls.heard();
            if let Some(buf) = free {
                return Some(buf);
            }
            if self.stop_asked() {
                return None;
            }
        }
    }

    /// Leaves a destination behind that held the card up for long while the others were idle more than half of the
    /// time: they go on at their own pace, and it is filled later from one of them. Then it holds nobody up.
    fn watch_lags(&self, todo: &[usize]) {
        if self.card.is_copy() {
            return;
        }
        let alive: Vec<usize> = todo.iter().copied().filter(|d| self.dead[*d].get().is_none()).collect();
        let queued = |d: usize| self.inboxes.iter().map(|stream| stream[d].len()).sum::<usize>();
        let waiting: Vec<usize> = alive.iter().copied().filter(|d| queued(*d) <= 1).collect();
        let busy = || self.busy_ns.iter().map(|b| b.load(Ordering::Relaxed)).collect::<Vec<_>>();
        let mut lags = self.lags.lock().unwrap_or_else(PoisonError::into_inner);
        for d in alive {
            if waiting.is_empty() || queued(d) < BUFFERS / 2 {
                lags[d] = None;
                continue;
            }
            let lag = lags[d].get_or_insert_with(|| Lag { since: Instant::now(), busy_ns: busy() });
            let elapsed = lag.since.elapsed();
            if elapsed < self.options.detach_after {
                continue;
            }
            let busy_now = busy();
            let worked = waiting.iter().map(|w| busy_now[*w] - lag.busy_ns[*w]).max().unwrap_or(0);
            if Duration::from_nanos(worked) * 2 < elapsed {
                self.leave_behind(d, elapsed);
            } else {
                // Slower, and not by much: two copies made together are there sooner than one after the other.
                lags[d] = None;
            }
        }
    }

    fn leave_behind(&self, d: usize, waited: Duration) {
        let dest = &self.dests[d];
        let why = format!(
            "\"{}\" kept the others waiting for {} s: it is left behind and filled later from a proven copy",
            dest.name,
            waited.as_secs()
        );
        let lost = Dead { dest: d, full: false, behind: true, why: why.clone() };
        if self.dead[d].set(lost).is_ok() {
            // What waits for it must not keep the buffers.
            self.inboxes.iter().for_each(|stream| stream[d].retain(|m| !matches!(m, Msg::Data(_))));
            self.note(why);
        }
    }

    /// Writes what one stream reads to one destination.
    pub(super) fn write_lane(&self, stream: usize, d: usize, tell: &Sender<Told<'a>>) {
        let dest = &self.dests[d];
        let lane = format!("write {}", dest.name);
        // The file in hand: its temp, or nothing where its name exists already.
        let mut open: Option<(usize, Option<Temp<'a>>)> = None;
        let mut made = None;
        // Nothing is read back from a disk with a head while a file is written to it.
        let mut gate: Option<Passage<'_>> = None;
        while let Some(msg) = self.inboxes[stream][d].next() {
            if matches!(msg, Msg::Start(_)) && self.options.devices[dest.device].seeks {
                gate = Some(self.gates[dest.device].write());
            }
            let begun = Instant::now();
            let call = self.calls.begin(Device::Destination(d));
            let lost = self.dead[d].get().is_some();
            let failed = |task, temp, e: &io::Error| drop(tell.send(self.write_failed(d, task, temp, e)));
            // Parts of one that was left behind are gone from its inbox: what is in hand cannot become whole.
            if lost && let Some((task, temp)) = open.take_if(|_| matches!(msg, Msg::Data(_) | Msg::End)) {
                if let Some(temp) = temp.filter(|t| t.written() < RESUMED_FROM_BYTES) {
                    let _ = temp.discard();
                }
                let _ = tell.send(self.unwritten(d, task));
            }
            match msg {
                Msg::Start(task) if lost => drop(tell.send(self.unwritten(d, task))),
                Msg::Start(task) => match self.start(d, task, &mut made) {
                    Ok(temp) => open = Some((task, temp)),
                    Err(e) => failed(task, None, &e),
                },
                Msg::Data(part) => {
                    if let Some((task, Some(mut temp))) = open.take_if(|o| o.1.is_some()) {
                        match temp.append(part.whole(), part.bytes().len()) {
                            Ok(()) => open = Some((task, Some(temp))),
                            Err(e) => failed(task, Some(temp), &e),
                        }
                        self.event(Event::Bytes { lane: &lane, bytes: part.bytes().len() as u64 });
                    }
                }
                Msg::End => {
                    if let Some((task, mut temp)) = open.take() {
                        match self.end(dest, task, &mut temp) {
                            Ok(()) => drop(tell.send(Told::Written { task, dest: d, temp })),
                            Err(e) => failed(task, temp, &e),
                        }
                    }
                }
                Msg::Abort { stopped } => {
                    if let Some((_, Some(temp))) = open.take()
                        && !(stopped && temp.written() >= RESUMED_FROM_BYTES)
                    {
                        let _ = temp.discard();
                    }
                }
            }
            if open.is_none() {
                gate = None;
            }
            drop(call);
            let took = begun.elapsed();
            self.busy_ns[d].fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
            self.event(Event::Busy { lane: &lane, secs: took.as_secs_f64() });
        }
        drop(gate);
        // The reader ended in the middle of a file.
        if let Some((_, Some(temp))) = open {
            let _ = temp.discard();
        }
    }

    /// `None` when the final name exists: then its content will decide. `made` is the folder that was made last.
    fn start(&self, d: usize, task: usize, made: &mut Option<RelPath>) -> io::Result<Option<Temp<'a>>> {
        let (dest, task) = (&self.dests[d], &self.tasks[task]);
        let file = &task.file;
        dest.base.still_here().inspect_err(|e| self.die(d, e))?;
        let place = dest.place(&file.relpath);
        let folder = place.parent();
        if made.as_ref() != Some(&folder) {
            dest.base.make_dir(&folder)?;
            *made = Some(folder);
        }
        let temp = task.todo.iter().find(|(dest, _)| *dest == d).map(|(_, temp)| dest.place(temp));
        let temp = temp.ok_or_else(|| io::Error::other("no temp was planned"))?;
        if dest.base.stat(&place)?.is_some() {
            remove(&dest.base, &temp)?;
            return Ok(None);
        }
        if file.size_bytes >= RESUMED_FROM_BYTES
            && let Ok(resumed) = Temp::resume(&dest.base, &temp, file.size_bytes, &dest.fs_type)
        {
            self.note(format!(
                "\"{}\" on \"{}\": an unfinished copy is compared and continued",
                file.relpath, dest.name
            ));
            return Ok(Some(resumed));
        }
        match Temp::create(&dest.base, &temp, file.size_bytes) {
            // Of an earlier run; ours by its intent row.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                remove(&dest.base, &temp)?;
                Temp::create(&dest.base, &temp, file.size_bytes).map(Some)
            }
            other => other.map(Some),
        }
    }

    /// The last part is written: small files wait for the sync of their group, others are synced now.
    fn end(&self, dest: &Destination, task: usize, temp: &mut Option<Temp<'a>>) -> io::Result<()> {
        let file = &self.tasks[task].file;
        let Some(temp) = temp else { return Ok(()) };
        if temp.written() != file.size_bytes {
            return Err(io::Error::other(format!("{} of {} bytes were written", temp.written(), file.size_bytes)));
        }
        if self.is_grouped(task, dest) {
            return temp.complete(Some(file.mtime_ns));
        }
        temp.finish(Some(file.mtime_ns))?;
        if self.options.devices[dest.device].seeks {
            temp.rest();
        }
        Ok(())
    }

    /// A failed write poisons the temp: its bytes are dropped, never synced again.
    pub(super) fn write_failed(&self, d: usize, task: usize, temp: Option<Temp<'a>>, e: &io::Error) -> Told<'a> {
        if let Some(temp) = temp {
            let _ = temp.discard();
        }
        self.die_if_whole(d, e);
        Told::Unwritten { task, dest: d, why: format!("writing failed: {e}") }
    }

    fn unwritten(&self, d: usize, task: usize) -> Told<'a> {
        let why = self.dead[d].get().map(|lost| lost.why.clone()).unwrap_or_default();
        Told::Unwritten { task, dest: d, why }
    }

    /// Errors that will meet every other file there too.
    pub(super) fn die_if_whole(&self, d: usize, e: &io::Error) {
        let whole = [Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::NODEV, Errno::NXIO, Errno::NOTCONN, Errno::STALE];
        if e.raw_os_error().is_some_and(|c| whole.iter().any(|w| w.raw_os_error() == c)) {
            self.die(d, e);
        }
    }

    pub(super) fn die(&self, d: usize, e: &io::Error) {
        let _ = self.dead[d].set(Dead::new(d, &self.dests[d].name, e));
    }
}
