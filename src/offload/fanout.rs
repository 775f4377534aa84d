//! The hot loop: one reader, one writer and one prover a destination, and a second reader of the card beside them.
//!
//! A fixed pool of buffers bounds memory and gives the back-pressure: a buffer returns when the last writer is done.

use super::{Dead, Destination, OffloadError, Options, Outcome, Source, Task};
use crate::copy::{FileRecord, ReadBack};
use crate::disk::read::PastCache;
use crate::disk::write::{Buffer, Temp, buffer, move_aside, remove};
use crate::finding::{Finding, FindingKind};
use crate::hash::Hasher;
use crate::progress::{CannotRecord, Event, Intent, Progress};
use crate::relpath::RelPath;
use crate::verify::{self, CHUNK_BYTES, Lane, ReadFault, Unproven};
use rustix::io::Errno;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

/// Buffers of [`CHUNK_BYTES`] in flight for one card.
const POOL: usize = 10;
/// Written temps that may wait for their proof at one destination.
const UNPROVEN: usize = 32;
/// A file is copied anew this often after a failed write or proof.
const ATTEMPTS: u32 = 3;

/// A part of a file on its way to the writers; goes home to the pool when the last of them drops it.
struct Part {
    buf: Option<Buffer>,
    len: usize,
    home: Sender<Buffer>,
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(buf) = self.buf.take() {
            let _ = self.home.send(buf);
        }
    }
}

enum Msg {
    Start(usize),
    Data(Arc<Part>),
    End(Arc<FileRecord>),
    /// The card gave no steady bytes: nothing of this file counts.
    Abort,
}

struct Written<'d> {
    task: usize,
    record: Arc<FileRecord>,
    /// `None`: the final name was there already; its content decides.
    temp: Option<Temp<'d>>,
}

/// A (file, destination) to try again, or to give up with this reason.
struct Again {
    task: usize,
    dest: usize,
    why: String,
}

struct Run<'a> {
    card: &'a Source,
    tasks: &'a [Task],
    dests: &'a [Destination],
    options: &'a Options<'a>,
    progress: &'a dyn Progress,
    dead: &'a [OnceLock<Dead>],
    halt: &'a AtomicBool,
    cannot_record: &'a Mutex<Option<CannotRecord>>,
    attempt: u32,
    again: Mutex<Vec<Again>>,
    unread: Mutex<Vec<(usize, Finding)>>,
    /// What this pass read, for a next attempt to agree with.
    read: Mutex<Vec<(usize, Arc<FileRecord>)>>,
}

/// What the threads below report to: the caller's progress, and a stop for all when nothing can be recorded.
impl Progress for Run<'_> {
    fn event(&self, event: Event<'_>) {
        self.progress.event(event);
    }

    fn stop_asked(&self) -> bool {
        self.halt.load(Ordering::Relaxed) || self.progress.stop_asked()
    }

    fn record(&self, intent: Intent) -> Result<(), CannotRecord> {
        self.progress.record(intent).inspect_err(|e| {
            self.halt.store(true, Ordering::Relaxed);
            self.cannot_record.lock().unwrap().get_or_insert(CannotRecord(e.0.clone()));
        })
    }
}

pub(super) fn run(
    card: &Source,
    mut tasks: Vec<Task>,
    dests: &[Destination],
    options: &Options<'_>,
    progress: &dyn Progress,
) -> Result<Outcome, OffloadError> {
    let dead: Vec<OnceLock<Dead>> = dests.iter().map(|_| OnceLock::new()).collect();
    for lost in options.lost {
        let _ = dead[lost.dest].set(lost.clone());
    }
    let (halt, cannot_record) = (AtomicBool::new(false), Mutex::new(None));
    let mut unread = 0;
    for attempt in 1..=ATTEMPTS {
        let pass = Run {
            card,
            tasks: &tasks,
            dests,
            options,
            progress,
            dead: &dead,
            halt: &halt,
            cannot_record: &cannot_record,
            attempt,
            again: Mutex::default(),
            unread: Mutex::default(),
            read: Mutex::default(),
        };
        pass.pass();
        let read = std::mem::take(&mut *pass.read.lock().unwrap());
        let again = std::mem::take(&mut *pass.again.lock().unwrap());
        let faults = std::mem::take(&mut *pass.unread.lock().unwrap());
        if let Some(e) = cannot_record.lock().unwrap().take() {
            return Err(e.into());
        }
        if progress.stop_asked() {
            return Err(OffloadError::Stopped);
        }
        card.root
            .still_here()
            .map_err(|source| OffloadError::CardGone { path: card.root.path().display().to_string(), source })?;
        if again.is_empty() && faults.is_empty() {
            break;
        }
        let (lost, again): (Vec<_>, Vec<_>) = again.into_iter().partition(|a| dead[a.dest].get().is_some());
        for a in lost {
            let relpath = tasks[a.task].file.relpath.clone();
            progress.record(Intent::Failed { copy: dests[a.dest].id, relpath, conflict: false, note: a.why })?;
        }
        if attempt == ATTEMPTS {
            unread = faults.len() as u64;
            for (_, finding) in faults {
                progress.event(Event::Finding(&finding));
                progress.record(Intent::Found { copy: None, finding })?;
            }
            for a in again {
                let relpath = tasks[a.task].file.relpath.clone();
                progress.record(Intent::Failed { copy: dests[a.dest].id, relpath, conflict: false, note: a.why })?;
            }
            break;
        }
        for (i, record) in read {
            tasks[i].known = Some(FileRecord::clone(&record));
        }
        tasks = retry(tasks, again, &faults);
    }
    let dead: Vec<Dead> = dead.into_iter().filter_map(OnceLock::into_inner).collect();
    for Dead { why, .. } in &dead {
        progress.event(Event::Note(why));
        progress.record(Intent::Log(why.clone()))?;
    }
    Ok(Outcome { dead, unread })
}

/// The tasks of the next attempt: what failed at a destination, and what the card did not give.
fn retry(tasks: Vec<Task>, again: Vec<Again>, faults: &[(usize, Finding)]) -> Vec<Task> {
    let mut out = Vec::new();
    for (i, task) in tasks.into_iter().enumerate() {
        let faulty = faults.iter().any(|(t, _)| *t == i);
        let todo: Vec<_> = task
            .todo
            .iter()
            .filter(|(d, _)| faulty || again.iter().any(|a| (a.task, a.dest) == (i, *d)))
            .cloned()
            .collect();
        if faulty || !todo.is_empty() {
            // A second read was made beside the first attempt; this one needs only the bytes.
            out.push(Task { todo, equal_reads: if faulty { task.equal_reads } else { 2 }, ..task });
        }
    }
    out
}

impl<'a> Run<'a> {
    fn pass(&self) {
        std::thread::scope(|scope| {
            let mut writers = Vec::new();
            for (i, dest) in self.dests.iter().enumerate() {
                let (to_writer, from_reader) = channel::<Msg>();
                let (to_prover, from_writer) = sync_channel::<Written<'a>>(UNPROVEN);
                scope.spawn(move || self.write_lane(i, dest, from_reader, to_prover));
                scope.spawn(move || self.prove_lane(i, dest, from_writer));
                writers.push(to_writer);
            }
            let (to_second, from_first) = channel::<Arc<FileRecord>>();
            scope.spawn(move || self.second_read(from_first));
            self.read_lane(writers, to_second);
        });
    }

    fn read_lane(&self, writers: Vec<Sender<Msg>>, second: Sender<Arc<FileRecord>>) {
        let (home, pool) = channel::<Buffer>();
        (0..POOL).for_each(|_| drop(home.send(buffer(CHUNK_BYTES))));
        for (i, task) in self.tasks.iter().enumerate() {
            if self.stop_asked() {
                return;
            }
            let todo: Vec<usize> =
                task.todo.iter().map(|(d, _)| *d).filter(|d| self.dead[*d].get().is_none()).collect();
            let mut reads = task.equal_reads;
            let mut record = task.known.clone().map(Arc::new);
            if !todo.is_empty() || record.is_none() {
                let send = |msg: &dyn Fn() -> Msg| todo.iter().for_each(|d| drop(writers[*d].send(msg())));
                match self.read_file(i, task, &home, &pool, &send) {
                    Ok((fresh, class)) => {
                        // What the page cache may have answered is no second look at the card.
                        let counts = task.known.is_none() || class != ReadBack::Cache;
                        if counts && self.record(Intent::Read(Box::new(fresh.clone()))).is_err() {
                            return send(&|| Msg::Abort);
                        }
                        reads += u32::from(counts);
                        if task.known.as_ref().is_some_and(|k| k.digests.blake3 != fresh.digests.blake3) {
                            send(&|| Msg::Abort);
                            self.unstable(task, &fresh);
                            continue;
                        }
                        let fresh = Arc::new(fresh);
                        self.read.lock().unwrap().push((i, fresh.clone()));
                        send(&|| Msg::End(fresh.clone()));
                        record = Some(fresh);
                    }
                    Err(ReadFault::Stopped) => return send(&|| Msg::Abort),
                    Err(fault) => {
                        send(&|| Msg::Abort);
                        let kind = if matches!(fault, ReadFault::Changed) {
                            FindingKind::Unstable
                        } else {
                            FindingKind::Unreadable
                        };
                        self.note(format!("\"{}\" on the card: {fault}", task.file.relpath));
                        let finding = Finding::new(kind, self.card.root.path(), &task.file.relpath, fault.to_string());
                        self.unread.lock().unwrap().push((i, finding));
                        continue;
                    }
                }
            }
            if self.options.source_reread
                && reads < 2
                && let Some(record) = record
            {
                let _ = second.send(record);
            }
        }
    }

    /// One read of the card's file: hashed and handed to all writers.
    fn read_file(
        &self,
        i: usize,
        task: &Task,
        home: &Sender<Buffer>,
        pool: &Receiver<Buffer>,
        send: &dyn Fn(&dyn Fn() -> Msg),
    ) -> Result<(FileRecord, ReadBack), ReadFault> {
        let at_start = |source| ReadFault::Io { offset: 0, source };
        let mut read = PastCache::open(&self.card.root, &task.file.relpath, &self.card.fs_type).map_err(at_start)?;
        if (read.stat().size_bytes, read.stat().mtime_ns) != (task.file.size_bytes, task.file.mtime_ns) {
            return Err(ReadFault::Changed);
        }
        send(&|| Msg::Start(i));
        let mut hasher = Hasher::new(self.options.formats);
        let next = || pool.recv().unwrap_or_else(|_| buffer(CHUNK_BYTES));
        verify::read_parts(&mut read, "read card", self, next, |buf, len| {
            let part = Arc::new(Part { buf: Some(buf), len, home: home.clone() });
            send(&|| Msg::Data(part.clone()));
            if let Some(buf) = &part.buf {
                hasher.update(&buf[..len]);
            }
        })?;
        let (digests, blocks) = hasher.finish();
        Ok((FileRecord { file: task.file.clone(), digests, blocks }, read.class()))
    }

    /// The card's file once more, compared with the first read: only this tells a misread that was copied perfectly.
    fn second_read(&self, records: Receiver<Arc<FileRecord>>) {
        for record in records {
            if self.stop_asked() {
                return;
            }
            let reading = PastCache::open(&self.card.root, &record.file.relpath, &self.card.fs_type)
                .map_err(|source| ReadFault::Io { offset: 0, source })
                .and_then(|read| verify::read_whole(read, &[], "re-read card", self));
            let recorded = match reading {
                Ok(reading)
                    if reading.digests.blake3 == record.digests.blake3
                        && reading.stat.mtime_ns == record.file.mtime_ns =>
                {
                    match reading.class {
                        ReadBack::Cache => Ok(()),
                        _ => self.record(Intent::ReRead { file: record.file.clone(), equal: true }),
                    }
                }
                Ok(reading) => {
                    let again =
                        FileRecord { file: record.file.clone(), digests: reading.digests, blocks: reading.blocks };
                    self.differs(&record, &again)
                }
                Err(ReadFault::Stopped) => return,
                Err(ReadFault::Changed) => self.differs(&record, &record),
                Err(fault) => {
                    let finding = Finding::new(
                        FindingKind::Unreadable,
                        self.card.root.path(),
                        &record.file.relpath,
                        format!("second read: {fault}"),
                    );
                    self.event(Event::Finding(&finding));
                    self.record(Intent::Found { copy: None, finding })
                }
            };
            if recorded.is_err() {
                return;
            }
        }
    }

    fn unstable(&self, task: &Task, again: &FileRecord) {
        let note = "the card gave other bytes than before";
        let mut finding = Finding::new(FindingKind::Unstable, self.card.root.path(), &task.file.relpath, note);
        if let Some(first) = &task.known {
            finding.blocks = first.blocks.differing(&again.blocks, first.file.size_bytes);
        }
        self.event(Event::Finding(&finding));
        let _ = self.record(Intent::Found { copy: None, finding });
    }

    fn differs(&self, first: &FileRecord, again: &FileRecord) -> Result<(), CannotRecord> {
        let mut finding = Finding::new(
            FindingKind::Unstable,
            self.card.root.path(),
            &first.file.relpath,
            "the card's second read differs from the first",
        );
        finding.blocks = first.blocks.differing(&again.blocks, first.file.size_bytes);
        self.event(Event::Finding(&finding));
        self.record(Intent::ReRead { file: first.file.clone(), equal: false })?;
        self.record(Intent::Found { copy: None, finding })
    }

    fn write_lane(&self, d: usize, dest: &'a Destination, msgs: Receiver<Msg>, provers: SyncSender<Written<'a>>) {
        let lane = format!("write {}", dest.name);
        let mut open: Option<(usize, Option<Temp<'a>>)> = None;
        for msg in msgs {
            let begun = Instant::now();
            match msg {
                Msg::Start(task) => {
                    open = match self.start(d, dest, task) {
                        Ok(temp) => Some((task, temp)),
                        Err(e) => self.write_failed(d, task, None, &e),
                    };
                }
                Msg::Data(part) => {
                    if let Some((task, Some(mut temp))) = open.take_if(|o| o.1.is_some()) {
                        let data = part.buf.as_ref().map_or(&[][..], |b| &b[..part.len]);
                        open = match temp.append(data) {
                            Ok(()) => Some((task, Some(temp))),
                            Err(e) => self.write_failed(d, task, Some(temp), &e),
                        };
                        self.event(Event::Bytes { lane: &lane, bytes: part.len as u64 });
                    }
                }
                Msg::End(record) => {
                    let Some((task, mut temp)) = open.take() else { continue };
                    let finished = temp.as_mut().map_or(Ok(()), |t| t.finish(Some(record.file.mtime_ns)));
                    match finished {
                        Ok(()) => drop(provers.send(Written { task, record, temp })),
                        Err(e) => drop(self.write_failed::<()>(d, task, temp, &e)),
                    }
                }
                Msg::Abort => {
                    if let Some((_, Some(temp))) = open.take() {
                        let _ = temp.discard();
                    }
                }
            }
            self.event(Event::Busy { lane: &lane, secs: begun.elapsed().as_secs_f64() });
        }
        // The reader ended in the middle of a file.
        if let Some((_, Some(temp))) = open {
            let _ = temp.discard();
        }
    }

    /// `None` when the final name exists: then its content will decide.
    fn start(&self, d: usize, dest: &'a Destination, task: usize) -> io::Result<Option<Temp<'a>>> {
        let file = &self.tasks[task].file;
        let place = dest.place(&file.relpath);
        if let Err(e) = dest.base.still_here() {
            self.die(d, dest, &e);
            return Err(e);
        }
        dest.base.make_dir(&place.parent())?;
        let temp = self.temp_of(task, d).ok_or_else(|| io::Error::other("no temp was planned"))?;
        remove(&dest.base, &dest.place(temp))?;
        if dest.base.stat(&place)?.is_some() {
            return Ok(None);
        }
        Temp::create(&dest.base, &dest.place(temp), file.size_bytes).map(Some)
    }

    fn temp_of(&self, task: usize, d: usize) -> Option<&RelPath> {
        self.tasks[task].todo.iter().find(|(dest, _)| *dest == d).map(|(_, temp)| temp)
    }

    fn die(&self, d: usize, dest: &Destination, e: &io::Error) {
        let _ = self.dead[d].set(Dead::new(d, &dest.name, e));
    }

    /// A failed write poisons the temp: its bytes are dropped, never synced again.
    fn write_failed<T>(&self, d: usize, task: usize, temp: Option<Temp<'_>>, e: &io::Error) -> Option<T> {
        let dest = &self.dests[d];
        if let Some(temp) = temp {
            let _ = temp.discard();
        }
        let whole = [Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::NODEV, Errno::NXIO, Errno::NOTCONN, Errno::STALE];
        if e.raw_os_error().is_some_and(|c| whole.iter().any(|w| w.raw_os_error() == c)) {
            self.die(d, dest, e);
        }
        self.try_again(task, d, format!("writing failed: {e}"));
        None
    }

    fn try_again(&self, task: usize, dest: usize, why: String) {
        self.note(format!("\"{}\" on \"{}\": {why}", self.tasks[task].file.relpath, self.dests[dest].name));
        self.again.lock().unwrap().push(Again { task, dest, why });
    }

    fn note(&self, line: String) {
        self.event(Event::Note(&line));
        let _ = self.record(Intent::Log(line));
    }

    fn prove_lane(&self, d: usize, dest: &'a Destination, written: Receiver<Written<'a>>) {
        let name = format!("prove {}", dest.name);
        let lane = Lane { name: &name, fs_type: &dest.fs_type };
        for Written { task, record, temp } in written {
            let relpath = &record.file.relpath;
            let place = dest.place(relpath);
            // What a drive that went away still takes through an open descriptor is no copy that anybody can find.
            if let Err(e) = dest.base.still_here() {
                self.die(d, dest, &e);
                self.unproven(d, task, &record, temp, e.into());
                continue;
            }
            let proven = match temp {
                Some(temp) => verify::prove(temp, &place, &record, &lane, &dest.base, self)
                    .map_err(|(temp, why)| (Some(temp), why)),
                None => verify::prove_existing(&dest.base, &place, &record, &lane, self).map_err(|why| (None, why)),
            };
            match proven {
                Ok(proof) => {
                    let intent = Intent::Proven {
                        copy: dest.id,
                        relpath: relpath.clone(),
                        size_bytes: proof.stat().size_bytes,
                        mtime_ns: proof.stat().mtime_ns,
                        read_back: proof.read_back(),
                        job: self.options.job,
                    };
                    if self.record(intent).is_err() {
                        return;
                    }
                    if self.attempt > 1 {
                        self.note(format!("\"{relpath}\" on \"{}\": copied again and proven", dest.name));
                    }
                    self.event(Event::FileDone { relpath, lane: &name });
                }
                Err((temp, why)) => self.unproven(d, task, &record, temp, why),
            }
        }
    }

    fn unproven(&self, d: usize, task: usize, record: &FileRecord, temp: Option<Temp<'_>>, why: Unproven) {
        let dest = &self.dests[d];
        let relpath = &record.file.relpath;
        let copy_path = dest.folder.under(dest.base.path());
        match (temp, why) {
            (Some(temp), Unproven::Mismatch { blocks }) => {
                let kept = self.quarantine(dest, &temp, relpath);
                let where_ = blocks.iter().map(|(o, l)| format!("{o}+{l}")).collect::<Vec<_>>().join(", ");
                self.try_again(task, d, format!("read-back differs from the card at bytes {where_}; {kept}"));
            }
            (None, Unproven::Mismatch { blocks }) => {
                let mut finding = Finding::new(
                    FindingKind::Altered,
                    &copy_path,
                    relpath,
                    "this name holds other bytes than the card; it was left as it is",
                );
                finding.blocks = blocks;
                self.event(Event::Finding(&finding));
                let note = finding.note.clone();
                let _ = self.record(Intent::Failed { copy: dest.id, relpath: relpath.clone(), conflict: true, note });
                let _ = self.record(Intent::Found { copy: Some(dest.id), finding });
            }
            (temp, why) => {
                if let Some(temp) = temp {
                    let _ = temp.discard();
                }
                if !matches!(why, Unproven::Read(ReadFault::Stopped)) {
                    self.try_again(task, d, why.to_string());
                }
            }
        }
    }

    /// Keeps bytes that came back wrong, for a person to look at, outside the roll.
    fn quarantine(&self, dest: &Destination, temp: &Temp<'_>, relpath: &RelPath) -> String {
        for n in 1..100 {
            let name = [relpath.as_bytes(), format!(".{n}.bad").as_bytes()].concat();
            let Ok(to) = RelPath::new(name) else { break };
            let Ok(salvage) = RelPath::new(".goodgate/salvage") else { break };
            let to = salvage.join_rel(&dest.folder).join_rel(&to);
            match move_aside(&dest.base, temp.relpath(), &to) {
                Ok(()) => return format!("the bad bytes are kept in \"{to}\""),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(_) => break,
            }
        }
        let _ = remove(&dest.base, temp.relpath());
        "the bad bytes could not be kept".to_owned()
    }
}
