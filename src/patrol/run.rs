//! One pass over many files: devices in parallel, each in its own order; one thread gives, takes and records.

use super::file::{FileTask, Seen, Todo};
use super::folder::{Folder, FolderSeen, FolderTask, is_history};
use super::pace::Pace;
use super::reached::Reached;
use super::report::{Absent, CheckReport};
use super::results::record;
use super::{PatrolError, before, scope::Volumes, seal};
use crate::catalog::{Catalog, CatalogError, DiskRead, Mark};
use crate::clip::{CardId, CopyRootId, VolumeId};
use crate::disk::facts::Facts;
use crate::disk::lock::{self, Lock};
use crate::ingest::{Station, device_lock_name, lanes};
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use crate::verify::{Lanes, Part, with_lanes};
use jiff::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Results are committed when the oldest is so old, or so much was read for them, or there are so many: what a kill
/// makes the next pass read again.
const BATCH_AGE: Duration = Duration::from_secs(1);
const BATCH_BYTES: u64 = 32 << 20;
const BATCH: usize = 10_000;
/// How often a device that somebody else uses, or wants, is looked at again.
const LOOK: Duration = Duration::from_millis(200);

/// So many small files of one folder are given to a lane at once.
const GROUP: usize = 32;

enum Task {
    Files(Vec<FileTask>),
    Folder(usize, Box<FolderTask>),
    Record(Vec<Mark>),
}

enum Done {
    Files(Vec<(FileTask, Seen)>),
    Folder(usize, Box<FolderTask>, FolderSeen),
    Recorded(Result<(), CatalogError>),
}

type Writing<'a> = Mutex<&'a mut Catalog>;

/// The catalog in a pass: the thread that drives it reads, while a lane of its own writes down what was seen.
pub(super) struct Books<'a> {
    pub reading: Catalog,
    writing: &'a Writing<'a>,
}

impl Books<'_> {
    pub fn keep_parts(&self, parts: &[(CopyRootId, RelPath, Part)]) -> Result<(), CatalogError> {
        writing(self.writing).keep_parts(parts)
    }
}

fn writing<'a, 'b>(catalog: &'b Writing<'a>) -> MutexGuard<'b, &'a mut Catalog> {
    catalog.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What waits for a device.
pub(super) enum Next {
    File(Todo),
    /// The folder itself: history and extra files, below these parts.
    Folder(usize, Vec<RelPath>),
}

pub(super) struct Device {
    lock_name: String,
    threads: usize,
    pub(super) waiting: VecDeque<Next>,
    lock: Option<Lock>,
    looked: Option<Instant>,
    was_told: bool,
    /// What its lanes read in this pass, and how long they were at it.
    bytes: u64,
    busy: Duration,
}

/// The disk's own name, else its volume's.
pub(super) fn disk_of(lock_name: &str) -> &str {
    lock_name.strip_prefix("device ").unwrap_or(lock_name)
}

/// How a pass ends before everything is done.
#[derive(Default)]
pub(super) struct Limits {
    pub deadline: Option<Instant>,
    pub rate: Option<u64>,
}

/// All that a pass works on.
pub(super) struct Pass<'a> {
    pub(super) station: &'a Station,
    pub(super) progress: &'a dyn Progress,
    pub folders: Vec<Folder>,
    pub(super) devices: Vec<Device>,
    pub report: CheckReport,
    pub(super) absent: BTreeMap<VolumeId, Absent>,
    /// Known before the pass.
    pub(super) overdue: BTreeMap<VolumeId, Absent>,
    pub(super) marks: Vec<Mark>,
    pub(super) oldest_mark: Option<Instant>,
    pub(super) marked_bytes: u64,
    /// Good and bad copies a card, for its log.
    pub(super) cards: BTreeMap<CardId, (u64, u64)>,
    pub(super) cut_short: bool,
    /// Kept a folder when a generation shall be written.
    pub(super) seen: BTreeMap<usize, seal::Seen>,
    pub(super) is_to_seal: bool,
    /// Readings of large files that were begun before are not gone on with.
    pub since: Timestamp,
    pub(super) reached: Arc<Reached>,
    /// How long the thread that drives was in the catalog, and how long the lane that writes to it.
    pub in_catalog: Duration,
    pub recording: Duration,
}

impl<'a> Pass<'a> {
    pub fn new(station: &'a Station, progress: &'a dyn Progress) -> Self {
        Pass {
            station,
            progress,
            folders: Vec::new(),
            devices: Vec::new(),
            report: CheckReport::default(),
            absent: BTreeMap::new(),
            overdue: BTreeMap::new(),
            marks: Vec::new(),
            oldest_mark: None,
            marked_bytes: 0,
            cards: BTreeMap::new(),
            cut_short: false,
            seen: BTreeMap::new(),
            is_to_seal: false,
            // The catalog knows a moment to the millisecond.
            since: before(Timestamp::now(), Duration::from_millis(1)),
            reached: Arc::default(),
            in_catalog: Duration::ZERO,
            recording: Duration::ZERO,
        }
    }

    /// The number of the device below, which is made when it is new.
    pub fn device(&mut self, facts: &Facts) -> usize {
        let lock_name = device_lock_name(facts);
        let threads = lanes(&self.station.config, facts);
        if let Some(i) = self.devices.iter().position(|d| d.lock_name == lock_name) {
            self.devices[i].threads = self.devices[i].threads.min(threads);
            return i;
        }
        let (waiting, lock, looked) = (VecDeque::new(), None, None);
        let (bytes, busy) = (0, Duration::ZERO);
        self.devices.push(Device { lock_name, threads, waiting, lock, looked, was_told: false, bytes, busy });
        self.devices.len() - 1
    }

    pub fn wait_for(&mut self, folder: usize, next: Next) {
        self.devices[self.folders[folder].device].waiting.push_back(next);
    }

    pub fn add_absent(&mut self, volumes: &Volumes, id: VolumeId, proven_at: Option<Timestamp>) {
        let Some(volume) = volumes.get(id) else { return };
        let absent = self.absent.entry(id).or_insert_with(|| Absent::of(volume));
        absent.files += 1;
        absent.last_proof = match (absent.last_proof, proven_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }

    /// Does all that waits, and records it. What was recorded stays when it ends early.
    pub fn run(&mut self, catalog: &mut Catalog, volumes: &Volumes, limits: Limits) -> Result<(), PatrolError> {
        let files = self.devices.iter().flat_map(|d| &d.waiting);
        let sizes = files.filter_map(|n| if let Next::File(t) = n { Some(t.size_bytes) } else { None });
        let (count, bytes) = sizes.fold((0, 0), |(n, sum), size| (n + 1, sum + size));
        self.progress.event(Event::Begin { what: "checking", roll: "", files: count, bytes });
        let pace = Pace::new(self.progress, limits.rate, limits.deadline, self.devices.len());
        // The last lane is the catalog's.
        let scribe = self.devices.len();
        let threads: Vec<usize> = self.devices.iter().map(|d| d.threads).chain([1]).collect();
        // The lanes read the folders while this thread owns everything else.
        let folders = std::mem::take(&mut self.folders);
        let (reached, progress) = (self.reached.clone(), self.progress);
        let reading = Catalog::open_read_only(catalog.path())?;
        let before = catalog.time_spent();
        let catalog = Mutex::new(catalog);
        let work = |device: usize, task: Task| match task {
            Task::Files(tasks) => {
                let lane = pace.lane(device, tasks.iter().any(FileTask::has_parts));
                let seen = FileTask::look_at_all(&tasks, &folders[tasks[0].todo.folder], &reached, &lane);
                match seen.iter().any(|seen| matches!(seen, Seen::Stopped)) {
                    true => pace.stopped_in(device),
                    false => pace.finished_one(device),
                }
                Done::Files(tasks.into_iter().zip(seen).collect())
            }
            Task::Folder(i, task) => {
                let seen = folders[i].check(&task, &pace.lane(device, false));
                Done::Folder(i, task, seen)
            }
            Task::Record(marks) => Done::Recorded(record(&mut writing(&catalog), &marks, progress)),
        };
        let driven = with_lanes(&threads, work, |lanes| {
            let books = Books { reading, writing: &catalog };
            let driven = self.drive(&books, volumes, &folders, &pace, lanes);
            // Whatever ended it: what is known is kept, behind what is being written.
            while lanes.out(scribe) > 0 {
                lanes.take(LOOK);
            }
            let marks = std::mem::take(&mut self.marks);
            let kept = record(&mut writing(&catalog), &marks, progress).map_err(PatrolError::from);
            self.in_catalog = books.reading.time_spent();
            self.recording = writing(&catalog).time_spent() - before;
            let parts = self.reached.keep(&books, true).map_err(PatrolError::from);
            self.devices.iter_mut().enumerate().for_each(|(i, d)| d.bytes = pace.bytes(i));
            driven.and(kept).and(parts)
        });
        self.folders = folders;
        self.devices.iter_mut().for_each(|d| d.lock = None);
        driven?;
        self.report.complete = !self.cut_short && self.absent.is_empty();
        // A volume that is overdue speaks for all that lies on it.
        self.absent.append(&mut self.overdue);
        self.report.absent = std::mem::take(&mut self.absent).into_values().collect();
        self.report.sort();
        Ok(())
    }

    /// What was read from each device.
    pub fn reads(&self) -> Vec<DiskRead> {
        let read = |d: &Device| DiskRead { disk: disk_of(&d.lock_name).into(), bytes: d.bytes, busy: d.busy };
        self.devices.iter().map(read).collect()
    }

    fn drive(
        &mut self,
        books: &Books<'_>,
        volumes: &Volumes,
        folders: &[Folder],
        pace: &Pace<'_>,
        lanes: &mut Lanes<Task, Done>,
    ) -> Result<(), PatrolError> {
        let scribe = self.devices.len();
        let mut since = Instant::now();
        loop {
            let passed = since.elapsed();
            since += passed;
            let at_work = self.devices.iter_mut().enumerate().filter(|(i, _)| lanes.out(*i) > 0);
            at_work.for_each(|(_, device)| device.busy += passed);
            let mut busy = false;
            for device in 0..self.devices.len() {
                if self.progress.stop_asked() || pace.is_over_for(device) {
                    self.cut_short |= !self.devices[device].waiting.is_empty();
                    self.devices[device].waiting.clear();
                }
                // What is not written down yet is what a kill would make the next pass read again.
                if !self.has_batch() || lanes.out(scribe) == 0 {
                    self.feed(&books.reading, folders, pace, lanes, device)?;
                }
                busy |= lanes.out(device) > 0 || !self.devices[device].waiting.is_empty();
            }
            if !busy && lanes.out(scribe) == 0 {
                return Ok(());
            }
            // While a large file is read, how far it is wants to be written down in time.
            let wait = if self.reached.is_empty() { LOOK } else { LOOK / 8 };
            let taken = lanes.take(wait);
            self.reached.keep(books, false)?;
            if let Some((device, done)) = taken {
                match done {
                    // From the last: what was not read goes back to where it was.
                    Done::Files(files) => {
                        for (task, seen) in files.into_iter().rev() {
                            self.file_done(books, volumes, folders, device, task, seen)?;
                        }
                    }
                    Done::Folder(i, task, seen) if seen.stopped => {
                        if !self.progress.stop_asked() {
                            self.devices[device].waiting.push_front(Next::Folder(i, task.parts));
                        }
                    }
                    Done::Folder(i, task, seen) => self.folder_done(&books.reading, &folders[i], &task, seen)?,
                    Done::Recorded(done) => done?,
                }
            }
            if self.has_batch() && lanes.out(scribe) == 0 {
                (self.oldest_mark, self.marked_bytes) = (None, 0);
                lanes.give(scribe, Task::Record(std::mem::take(&mut self.marks)));
            }
        }
    }

    /// Enough was seen to be written down, or long enough ago.
    fn has_batch(&self) -> bool {
        self.oldest_mark.is_some_and(|at| at.elapsed() >= BATCH_AGE)
            || self.marks.len() >= BATCH
            || self.marked_bytes >= BATCH_BYTES
    }

    /// Gives the device what it has room for, unless somebody else uses or wants it.
    fn feed(
        &mut self,
        catalog: &Catalog,
        folders: &[Folder],
        pace: &Pace<'_>,
        lanes: &mut Lanes<Task, Done>,
        device: usize,
    ) -> Result<(), PatrolError> {
        if self.devices[device].waiting.is_empty() {
            if lanes.out(device) == 0 {
                self.devices[device].lock = None;
            }
            return Ok(());
        }
        if !self.may_use(pace, lanes, device)? {
            return Ok(());
        }
        while lanes.has_room(device) {
            let Some(next) = self.devices[device].waiting.pop_front() else { break };
            let task = match next {
                Next::File(todo) => Task::Files(self.file_tasks(catalog, folders, device, todo)?),
                Next::Folder(i, parts) => Task::Folder(i, Box::new(self.folder_task(catalog, &folders[i], parts)?)),
            };
            if !matches!(&task, Task::Files(tasks) if tasks.is_empty()) {
                lanes.give(device, task);
            }
        }
        Ok(())
    }

    /// The file, and when it is small those behind it that are too.
    fn file_tasks(
        &mut self,
        catalog: &Catalog,
        folders: &[Folder],
        device: usize,
        first: Todo,
    ) -> Result<Vec<FileTask>, CatalogError> {
        let folder = first.folder;
        let mut todos = vec![first];
        let waiting = &mut self.devices[device].waiting;
        while todos[0].is_small()
            && todos.len() < GROUP
            && let Some(Next::File(next)) = waiting.front()
            && next.folder == folder
            && next.is_small()
            && let Some(Next::File(next)) = waiting.pop_front()
        {
            todos.push(next);
        }
        let known: Vec<_> = catalog.together(|| {
            let tasks = todos.into_iter().map(|todo| Self::file_task(catalog, &folders[folder], todo, self.since));
            tasks.collect::<Result<_, CatalogError>>()
        })?;
        self.report.never_proven += known.iter().filter(|task| task.is_none()).count() as u64;
        Ok(known.into_iter().flatten().collect())
    }

    /// Takes the device's lock if it is free, and hands it to an offload that waits for it.
    fn may_use(&mut self, pace: &Pace<'_>, lanes: &Lanes<Task, Done>, number: usize) -> Result<bool, PatrolError> {
        let folder = self.station.locks();
        let failed = |source| PatrolError::Lock { path: folder.clone(), source };
        let device = &mut self.devices[number];
        if device.looked.is_some_and(|at| at.elapsed() < LOOK) {
            return Ok(device.lock.is_some() && !pace.gives_way(number));
        }
        device.looked = Some(Instant::now());
        let is_wanted = lock::is_wanted(&folder, &device.lock_name).map_err(failed)?;
        pace.set_give_way(number, is_wanted);
        if is_wanted && lanes.out(number) == 0 {
            device.lock = None;
        }
        if !is_wanted && device.lock.is_none() {
            device.lock = lock::try_lock(&folder, &device.lock_name).map_err(failed)?;
        }
        if device.lock.is_some() && !is_wanted {
            return Ok(true);
        }
        if !device.was_told {
            device.was_told = true;
            let disk = disk_of(&device.lock_name);
            self.progress.event(Event::Note(&format!("waiting: an offload or another check uses {disk}")));
        }
        if pace.is_over() && lanes.out(number) == 0 {
            // The others got the device for the whole budget.
            self.cut_short = true;
            device.waiting.clear();
        }
        Ok(false)
    }

    fn file_task(
        catalog: &Catalog,
        folder: &Folder,
        todo: Todo,
        since: Timestamp,
    ) -> Result<Option<FileTask>, CatalogError> {
        match &folder.copy {
            None => Ok(Some(FileTask::of_history(todo))),
            Some(root) => FileTask::of_catalog(catalog, folder, root.card, todo, since),
        }
    }

    fn folder_task(&self, catalog: &Catalog, folder: &Folder, parts: Vec<RelPath>) -> Result<FolderTask, CatalogError> {
        let litter = self.station.config.litter.clone();
        let Some(root) = &folder.copy else {
            let known = folder.history().map(|h| h.records.keys().cloned().collect()).unwrap_or_default();
            return Ok(FolderTask { known, parts, litter, ..FolderTask::default() });
        };
        let mut task = FolderTask { litter, sealed: root.sealed, ..FolderTask::default() };
        (task.known, task.temps) = catalog.copy_names(root.id)?;
        let repairs = catalog.repairs(root.id)?;
        task.temps.extend(repairs.into_iter().filter(|r| !r.in_place).map(|r| r.temp));
        task.generations = catalog.generations(root.id)?;
        if root.sealed {
            task.lost = catalog.lost_copies(root.id)?;
        }
        task.with_history = parts.iter().any(|part| part.is_root() || is_history(part));
        task.parts = parts;
        Ok(task)
    }
}
