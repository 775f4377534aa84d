//! The score of one round: how each file stands, at the card and at each destination. One thread hears all others, hands
//! out proofs, and writes the facts down in their order.

use super::calls::Device;
use super::lanes::{Done, Job};
use super::mend::Fate;
use super::pool::Inbox;
use super::round::{Kind, Told, Work};
use super::{Destination, Outcome, Task};
use crate::copy::{FileRecord, ReadBack};
use crate::disk::write::Temp;
use crate::finding::{Finding, FindingKind};
use crate::progress::{Event, Intent, Progress};
use crate::relpath::RelPath;
use crate::verify::{Member, ReadFault, VerifiedFile};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Facts are gathered for so long, or so many, before they are written down: a commit waits for the disk.
const GATHER: Duration = Duration::from_millis(250);
const GATHERED: usize = 4096;
/// Small files that are proven together.
const GROUP: usize = 256;
const GROUP_BYTES: u64 = 1 << 30;
/// Lanes over all devices: each keeps a buffer.
const LANES: usize = 24;

/// How one file stands at one destination.
pub(super) enum End {
    Open,
    /// Written, and read back when all else is written: its disk has a head.
    Waits,
    Proven,
    Again(String),
    /// Told and recorded: a person must look.
    Over,
}

#[derive(Default)]
pub(super) struct Sheet {
    kind: Option<Kind>,
    pub record: Option<Arc<FileRecord>>,
    /// Equal readings of the card past the cache.
    pub reads: u32,
    pub ends: BTreeMap<usize, End>,
    /// This round's reading is in, and agrees with what is known.
    pub is_read: bool,
    pub fault: Option<ReadFault>,
    /// Why the second reading failed; it is made again.
    pub reread_fault: Option<String>,
    pub settling: bool,
}

/// What the next round gets, with why it was not done in this one.
pub(super) struct Left {
    pub task: Task,
    pub why: Vec<(usize, String)>,
    pub fault: Option<ReadFault>,
    pub reread_fault: Option<String>,
}

struct Group<'d> {
    members: Vec<(usize, Member<'d>)>,
    bytes: u64,
    /// Small files (by task) that may still come.
    to_come: BTreeSet<usize>,
}

pub(super) struct Score<'w, 'a> {
    pub(super) work: &'w Work<'a>,
    round: u32,
    pub(super) sheets: Vec<Sheet>,
    /// Written before the card's reading was told.
    early: BTreeMap<(usize, usize), Option<Temp<'a>>>,
    groups: Vec<Group<'a>>,
    /// Large files on disks with a head, read back when all is written.
    pub(super) later: Vec<(usize, Job<'a>)>,
    jobs: Vec<Sender<Job<'a>>>,
    /// Given to lanes and not done.
    out: usize,
    /// Streams and their helpers that go on.
    pub(super) running: usize,
    pub(super) intents: Vec<Intent>,
    /// Told when what they say is durable.
    files_done: Vec<(RelPath, usize)>,
    pub(super) outcome: &'w mut Outcome,
    pub(super) proven: &'w mut Vec<usize>,
}

impl<'w, 'a> Score<'w, 'a> {
    pub(super) fn new(work: &'w Work<'a>, round: u32, outcome: &'w mut Outcome, proven: &'w mut Vec<usize>) -> Self {
        let sheet = |task: &Task| Sheet {
            record: task.known.clone().map(Arc::new),
            reads: task.equal_reads,
            ..Sheet::default()
        };
        let group = |d: usize| Group {
            members: Vec::new(),
            bytes: 0,
            to_come: (0..work.tasks.len())
                .filter(|i| work.kind(*i) == Kind::Small && work.tasks[*i].todo.iter().any(|(to, _)| *to == d))
                .collect(),
        };
        Score {
            work,
            round,
            sheets: work.tasks.iter().map(sheet).collect(),
            early: BTreeMap::new(),
            groups: (0..work.dests.len()).map(group).collect(),
            later: Vec::new(),
            jobs: Vec::new(),
            out: 0,
            running: 0,
            intents: Vec::new(),
            files_done: Vec::new(),
            outcome,
            proven,
        }
    }

    /// Starts the threads and keeps the score until nothing is under way.
    pub(super) fn play(&mut self) {
        let work = self.work;
        let (tell, told) = channel();
        std::thread::scope(|scope| {
            let devices = &work.options.devices;
            let most = (LANES / devices.len().max(1)).max(1);
            for (device, facts) in devices.iter().enumerate() {
                let (give, jobs) = channel();
                let jobs = Arc::new(Mutex::new(jobs));
                self.jobs.push(give);
                for _ in 0..facts.lanes.clamp(1, most) {
                    let (jobs, tell) = (jobs.clone(), tell.clone());
                    scope.spawn(move || watched(&tell, false, || work.lane(device, &jobs, &tell)));
                }
            }
            for stream in 0..work.inboxes.len() {
                let hash = (stream == 0).then(|| {
                    let (hash, parts) = channel();
                    let tell = tell.clone();
                    scope.spawn(move || watched(&tell, true, || work.hash_lane(parts, &tell)));
                    hash
                });
                self.running += 1 + usize::from(hash.is_some()) + work.dests.len();
                for d in 0..work.dests.len() {
                    let tell = tell.clone();
                    scope.spawn(move || watched(&tell, true, || work.write_lane(stream, d, &tell)));
                }
                let tell = tell.clone();
                scope.spawn(move || watched(&tell, true, || work.read_lane(stream, &tell, hash)));
            }
            drop(tell);
            let followed = catch_unwind(AssertUnwindSafe(|| {
                self.reread_known();
                self.follow(&told);
            }));
            if followed.is_err() {
                self.end_all();
            }
            // The lanes end with their queues; a panic among the threads is passed on by the scope.
            self.jobs.clear();
            followed.unwrap_or_else(|panic| resume_unwind(panic));
        });
        self.drop_unproven();
    }

    fn follow(&mut self, told: &Receiver<Told<'a>>) {
        let mut written = Instant::now();
        while self.running > 0 || self.out > 0 {
            let heard = match told.recv_timeout(GATHER) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            for told in heard.into_iter().chain(told.try_iter()) {
                if !self.hear(told) {
                    return self.end_all();
                }
            }
            self.send_groups();
            if written.elapsed() >= GATHER || self.intents.len() >= GATHERED {
                self.write_down();
                self.tell_stalled();
                written = Instant::now();
            }
            if self.running == 0 {
                self.prove_later();
            }
        }
        self.write_down();
    }

    /// Names the devices that do not answer: nothing else can be done about a call that does not come back.
    fn tell_stalled(&mut self) {
        for (device, silent) in self.work.calls.silent(self.work.options.stalled_after) {
            let name = match device {
                Device::Card => self.work.card.root.path().display().to_string(),
                Device::Destination(d) => self.work.dests[d].name.clone(),
            };
            self.tell(format!(
                "STALLED: \"{name}\" has not answered for {} s; pull it if it is dead",
                silent.as_secs()
            ));
        }
    }

    fn end_all(&self) {
        self.work.halt.store(true, Ordering::Relaxed);
        self.work.inboxes.iter().flatten().for_each(Inbox::close);
    }

    /// False when a thread failed.
    fn hear(&mut self, told: Told<'a>) -> bool {
        match told {
            Told::Begun { task, kind, dests } => {
                self.sheets[task].kind = Some(kind);
                // Those that were lost meanwhile get nothing of this file.
                for (d, _) in &self.work.tasks[task].todo {
                    match dests.contains(d) {
                        true => drop(self.sheets[task].ends.insert(*d, End::Open)),
                        false => self.not_coming(task, *d),
                    }
                }
            }
            Told::Skipped { task } => {
                self.reread(task);
                self.close(task);
            }
            Told::Read { task, record, class } => self.read(task, *record, class),
            Told::Unread { task, fault } => self.unread(task, fault),
            Told::Written { task, dest, temp } => {
                self.not_coming(task, dest);
                if !matches!(self.sheets[task].ends.get(&dest), Some(End::Open)) {
                    // Given up while it was written.
                    temp.into_iter().for_each(|temp| drop(temp.discard()));
                    return true;
                }
                match self.sheets[task].record.clone().filter(|_| self.sheets[task].is_read) {
                    Some(record) => self.prove(task, dest, temp, record),
                    None => drop(self.early.insert((task, dest), temp)),
                }
                self.close(task);
            }
            Told::Unwritten { task, dest, why } => {
                self.not_coming(task, dest);
                self.again(task, dest, why);
            }
            Told::Done(done) => {
                self.out -= 1;
                done.into_iter().for_each(|d| self.done(d));
            }
            Told::Ended => self.running -= 1,
            Told::Panicked => return false,
        }
        true
    }
}

impl<'a> Score<'_, 'a> {
    pub(super) fn not_coming(&mut self, task: usize, dest: usize) {
        self.groups[dest].to_come.remove(&task);
    }

    pub(super) fn tell(&mut self, line: String) {
        self.work.event(Event::Note(&line));
        self.intents.push(Intent::Log(line));
    }

    pub(super) fn relpath(&self, task: usize) -> &'a RelPath {
        &self.work.tasks[task].file.relpath
    }

    pub(super) fn again(&mut self, task: usize, dest: usize, why: String) {
        // That it was lost is told once, not for each of its files.
        if self.work.dead[dest].get().is_none_or(|lost| !lost.behind) {
            self.tell(format!("\"{}\" on \"{}\": {why}", self.relpath(task), self.work.dests[dest].name));
        }
        self.sheets[task].ends.insert(dest, End::Again(why));
        self.close(task);
    }

    /// Makes room for the next file when this one has nothing under way.
    pub(super) fn close(&mut self, task: usize) {
        let sheet = &mut self.sheets[task];
        let busy = sheet.settling || sheet.ends.values().any(|end| matches!(end, End::Open));
        if !busy && let Some(kind) = sheet.kind.take() {
            self.work.slots(kind).give();
        }
    }

    pub(super) fn give(&mut self, device: usize, job: Job<'a>) {
        if self.jobs[device].send(job).is_ok() {
            self.out += 1;
        }
    }

    pub(super) fn prove_early(&mut self, task: usize) {
        let Some(record) = self.sheets[task].record.clone() else { return };
        for (dest, temp) in self.early_of(task) {
            self.prove(task, dest, temp, record.clone());
        }
    }

    fn early_of(&mut self, task: usize) -> Vec<(usize, Option<Temp<'a>>)> {
        let keys: Vec<_> = self.early.range((task, 0)..(task + 1, 0)).map(|(key, _)| *key).collect();
        keys.into_iter().filter_map(|key| Some((key.1, self.early.remove(&key)?))).collect()
    }

    /// Drops what is written of a file and not proven, to be copied anew.
    pub(super) fn take_early(&mut self, task: usize, why: &str) {
        for (dest, temp) in self.early_of(task) {
            if let Some(temp) = temp {
                let _ = temp.discard();
            }
            self.sheets[task].ends.insert(dest, End::Again(why.to_owned()));
        }
    }

    fn prove(&mut self, task: usize, d: usize, temp: Option<Temp<'a>>, record: Arc<FileRecord>) {
        let dest = &self.work.dests[d];
        match temp {
            Some(temp) if self.work.is_grouped(task, dest) => {
                let target = dest.place(self.relpath(task));
                let group = &mut self.groups[d];
                group.bytes += record.file.size_bytes;
                group.members.push((task, Member { temp, target, record }));
            }
            temp => {
                let seeks = self.work.options.devices[dest.device].seeks;
                let job = Job::Prove { task, dest: d, temp, record };
                match seeks && self.work.kind(task) == Kind::Large && self.running > 0 {
                    true => {
                        self.later.push((dest.device, job));
                        self.sheets[task].ends.insert(d, End::Waits);
                    }
                    false => self.give(dest.device, job),
                }
            }
        }
    }

    fn prove_later(&mut self) {
        for (device, job) in std::mem::take(&mut self.later) {
            self.give(device, job);
        }
    }

    fn send_groups(&mut self) {
        let most = group_size(self.work.dests.len());
        let mut batches = Vec::new();
        for d in 0..self.groups.len() {
            let group = &mut self.groups[d];
            let last = group.to_come.is_empty() || self.running == 0;
            while group.members.len() >= most || group.bytes >= GROUP_BYTES || (last && !group.members.is_empty()) {
                let members: Vec<_> = group.members.drain(..group.members.len().min(most)).collect();
                group.bytes = group.members.iter().map(|(_, m)| m.record.file.size_bytes).sum();
                batches.push((d, members));
            }
        }
        for (dest, members) in batches {
            self.give(self.work.dests[dest].device, Job::Group { dest, members });
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Proof { task, dest, record, result } => {
                let now = self.sheets[task].record.as_ref();
                let replaced = now.is_some_and(|now| now.digests.blake3 != record.digests.blake3);
                match result {
                    Ok(proof) if replaced => self.unprove(task, dest, &proof.relpath().clone()),
                    Ok(proof) => self.proof(task, dest, &proof),
                    Err(fate) => self.fate(task, dest, record, fate),
                }
                self.close(task);
            }
            Done::ReRead { task, record, seen } => self.reread_done(task, record, seen),
            Done::Settled { task, first, agreed } => self.settle_done(task, &first, agreed),
        }
    }

    fn proof(&mut self, task: usize, dest: usize, proof: &VerifiedFile) {
        let relpath = self.relpath(task).clone();
        self.intents.push(Intent::Proven {
            copy: self.work.dests[dest].id,
            relpath: relpath.clone(),
            size_bytes: proof.stat().size_bytes,
            mtime_ns: proof.stat().mtime_ns,
            read_back: proof.read_back(),
            job: self.work.options.job,
        });
        if self.round > 1 {
            self.tell(format!("\"{relpath}\" on \"{}\": copied again and proven", self.work.dests[dest].name));
        }
        self.sheets[task].ends.insert(dest, End::Proven);
        // A copy that only memory gave back is none that could be told as proven.
        self.proven[dest] += usize::from(proof.read_back() >= ReadBack::Device);
        self.files_done.push((relpath, dest));
    }

    fn fate(&mut self, task: usize, dest: usize, record: Arc<FileRecord>, fate: Fate) {
        let (copy, name, relpath) = (self.work.dests[dest].id, &self.work.dests[dest].name, self.relpath(task).clone());
        match fate {
            Fate::Stopped => {}
            Fate::Again(why) => self.again(task, dest, why),
            Fate::CardDiffers if self.work.card.is_copy() => {
                self.sheets[task].ends.insert(dest, End::Open);
                self.source_copy_is_wrong(task);
            }
            Fate::CardDiffers => {
                self.again(task, dest, "the card gives other bytes than at first; it is read once more".into());
                self.intents.push(Intent::ReRead { file: record.file.clone(), equal: false });
                self.settle(task, record, None);
            }
            Fate::Mismatch(why) => {
                self.tell(format!("\"{relpath}\" on \"{name}\": {why}"));
                self.outcome.mismatched.get_or_insert_with(|| format!("\"{relpath}\" on \"{name}\": {why}"));
                self.intents.push(Intent::Failed { copy, relpath, conflict: false, note: why });
                self.sheets[task].ends.insert(dest, End::Over);
            }
            Fate::Conflict(blocks) => {
                let note = "this name holds other bytes than the card; it was left as it is";
                let folder = self.work.dests[dest].folder.under(self.work.dests[dest].base.path());
                let finding = Finding { blocks, ..Finding::new(FindingKind::Altered, &folder, &relpath, note) };
                self.work.event(Event::Finding(&finding));
                self.intents.push(Intent::Failed { copy, relpath, conflict: true, note: note.into() });
                self.intents.push(Intent::Found { copy: Some(copy), finding });
                self.sheets[task].ends.insert(dest, End::Over);
            }
        }
    }

    /// The facts in their order; what waits for them to be durable is told behind.
    fn write_down(&mut self) {
        let intents = std::mem::take(&mut self.intents);
        let done = std::mem::take(&mut self.files_done);
        if intents.is_empty() || self.work.record_all(intents).is_err() {
            return;
        }
        let mut touched = BTreeSet::new();
        for (relpath, dest) in &done {
            let lane = format!("prove {}", self.work.dests[*dest].name);
            self.work.event(Event::FileDone { relpath, lane: &lane });
            touched.insert(*dest);
        }
        let whole = |d: &usize| self.proven[*d] >= self.work.options.files;
        for dest in touched.into_iter().filter(whole) {
            let copies = (0..self.proven.len()).filter(whole).count();
            self.work.event(Event::CopyProven { destination: &self.work.dests[dest].name, copies });
        }
    }

    /// After a stop: temps that are not proven go, but for large ones, which the next run compares and continues.
    fn drop_unproven(&mut self) {
        let early = std::mem::take(&mut self.early).into_values().flatten();
        let members = self.groups.iter_mut().flat_map(|g| g.members.drain(..)).map(|(_, m)| m.temp);
        let later = std::mem::take(&mut self.later).into_iter().filter_map(|(_, job)| match job {
            Job::Prove { temp, .. } => temp,
            _ => None,
        });
        for temp in early.chain(members).chain(later) {
            let _ = self.work.stopped(Some(temp));
        }
    }

    /// What the next round tries again. What a lost destination lacks is written down instead.
    pub(super) fn left(&mut self) -> Vec<Left> {
        let mut out = Vec::new();
        let mut failed = Vec::new();
        for (task, sheet) in self.work.tasks.iter().zip(&mut self.sheets) {
            let fault = sheet.fault.take();
            let (mut todo, mut why) = (Vec::new(), Vec::new());
            for (d, temp) in &task.todo {
                let reason = match sheet.ends.remove(d) {
                    Some(End::Again(reason)) => reason,
                    None if fault.is_some() => "the card did not give it".into(),
                    None => match self.work.dead[*d].get() {
                        Some(lost) if !lost.behind => lost.why.clone(),
                        _ => continue,
                    },
                    Some(_) => continue,
                };
                let dest = &self.work.dests[*d];
                match self.work.dead[*d].get() {
                    Some(lost) if lost.behind => {}
                    Some(_) => failed.push(failed_copy(dest, &task.file.relpath, reason)),
                    None => {
                        todo.push((*d, temp.clone()));
                        why.push((*d, reason));
                    }
                }
            }
            let reread_fault = sheet.reread_fault.take();
            if todo.is_empty() && fault.is_none() && reread_fault.is_none() {
                continue;
            }
            let known = sheet.record.take().map(|r| FileRecord::clone(&r));
            // A second reading was made beside this round; the next one needs only the bytes.
            let equal_reads = match (&fault, &reread_fault) {
                (Some(_), _) => task.equal_reads,
                (None, Some(_)) => sheet.reads,
                (None, None) => 2,
            };
            let unstable = task.unstable && sheet.reads < 2;
            out.push(Left {
                task: Task { todo, known, equal_reads, unstable, ..task.clone() },
                why,
                fault,
                reread_fault,
            });
        }
        let _ = self.work.record_all(failed);
        out
    }
}

pub(super) fn failed_copy(dest: &Destination, relpath: &RelPath, note: String) -> Intent {
    Intent::Failed { copy: dest.id, relpath: relpath.clone(), conflict: false, note }
}

/// As many as may be open at once: three groups a destination are being written, gathered and proven.
pub(super) fn group_size(dests: usize) -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20);
    let free = usize::try_from(limit).unwrap_or(1 << 20).saturating_sub(200);
    (free / ((dests + 1).max(3) * dests.max(1))).clamp(1, GROUP)
}

/// Runs a thread's work and tells when it is over, however it ended.
fn watched<'d>(tell: &Sender<Told<'d>>, counted: bool, run: impl FnOnce()) {
    struct Watch<'t, 'd>(&'t Sender<Told<'d>>, bool);
    impl Drop for Watch<'_, '_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                let _ = self.0.send(Told::Panicked);
            } else if self.1 {
                let _ = self.0.send(Told::Ended);
            }
        }
    }
    let _watch = Watch(tell, counted);
    run();
}
