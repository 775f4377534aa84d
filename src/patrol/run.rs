//! One pass over many files: devices in parallel, each in its own order; one thread gives, takes and records.

use super::file::{FileTask, Seen, Todo};
use super::folder::{Folder, FolderSeen, FolderTask, is_history};
use super::pace::Pace;
use super::report::{Absent, CheckReport};
use super::{PatrolError, scope::Volumes};
use crate::catalog::{self, Catalog, CatalogError, Mark, Proof};
use crate::clip::{CardId, VolumeId};
use crate::config::{Config, DeviceKind as Rule};
use crate::disk::facts::{DeviceKind, Facts};
use crate::disk::lock::{self, Lock};
use crate::finding::{Finding, FindingKind};
use crate::ingest::{Station, device_lock_name};
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use crate::verify::{Lanes, with_lanes};
use jiff::Timestamp;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

/// Results are committed when there are so many, or the oldest is so old.
const BATCH: usize = 64;
const BATCH_AGE: Duration = Duration::from_secs(1);
/// How often a device that somebody else uses, or wants, is looked at again.
const LOOK: Duration = Duration::from_millis(200);

enum Task {
    File(Box<FileTask>),
    Folder(usize, Box<FolderTask>),
}

enum Done {
    File(Box<FileTask>, Seen),
    Folder(usize, FolderSeen),
}

/// What waits for a device.
pub(super) enum Next {
    File(Todo),
    /// The folder itself: history and extra files, below these parts.
    Folder(usize, Vec<RelPath>),
}

struct Device {
    lock_name: String,
    threads: usize,
    waiting: VecDeque<Next>,
    lock: Option<Lock>,
    looked: Option<Instant>,
    was_told: bool,
}

/// How a pass ends before everything is done.
#[derive(Default)]
pub(super) struct Limits {
    pub deadline: Option<Instant>,
    pub rate: Option<u64>,
}

/// All that a pass works on.
pub(super) struct Pass<'a> {
    station: &'a Station,
    progress: &'a dyn Progress,
    pub folders: Vec<Folder>,
    devices: Vec<Device>,
    pub report: CheckReport,
    absent: BTreeMap<VolumeId, Absent>,
    marks: Vec<Mark>,
    oldest_mark: Option<Instant>,
    clips: HashMap<CardId, HashMap<RelPath, String>>,
    /// Good and bad copies a card, for its log.
    cards: BTreeMap<CardId, (u64, u64)>,
    cut_short: bool,
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
            marks: Vec::new(),
            oldest_mark: None,
            clips: HashMap::new(),
            cards: BTreeMap::new(),
            cut_short: false,
        }
    }

    /// The number of the device below, which is made when it is new.
    pub fn device(&mut self, facts: &Facts) -> usize {
        let lock_name = device_lock_name(facts);
        let threads = threads(&self.station.config, facts);
        if let Some(i) = self.devices.iter().position(|d| d.lock_name == lock_name) {
            self.devices[i].threads = self.devices[i].threads.min(threads);
            return i;
        }
        let (waiting, lock, looked) = (VecDeque::new(), None, None);
        self.devices.push(Device { lock_name, threads, waiting, lock, looked, was_told: false });
        self.devices.len() - 1
    }

    pub fn wait_for(&mut self, folder: usize, next: Next) {
        self.devices[self.folders[folder].device].waiting.push_back(next);
    }

    pub fn add_absent(&mut self, volumes: &Volumes, id: VolumeId, proven_at: Option<Timestamp>) {
        let absent = self.absent.entry(id).or_insert_with(|| {
            let row = volumes.get(id);
            let last_mount = row.map(|v| v.last_mount.display().to_string()).unwrap_or_default();
            let label = row.and_then(|v| v.label.clone().filter(|l| !l.is_empty()));
            Absent { volume: label.unwrap_or_else(|| last_mount.clone()), last_mount, files: 0, last_proof: None }
        });
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
        let threads: Vec<usize> = self.devices.iter().map(|d| d.threads).collect();
        // The lanes read the folders while this thread owns everything else.
        let folders = std::mem::take(&mut self.folders);
        let work = |device: usize, task: Task| match task {
            Task::File(task) => {
                let seen = task.look(&folders[task.todo.folder], &pace.lane(device));
                if !matches!(seen, Seen::Stopped) {
                    pace.finished_one(device);
                }
                Done::File(task, seen)
            }
            Task::Folder(i, task) => Done::Folder(i, folders[i].check(&task, &pace.lane(device))),
        };
        let driven = with_lanes(&threads, work, |lanes| {
            let driven = self.drive(catalog, volumes, &folders, &pace, lanes);
            // Whatever ended it: what is known is kept.
            let kept = self.record(catalog);
            driven.and(kept)
        });
        self.folders = folders;
        self.devices.iter_mut().for_each(|d| d.lock = None);
        driven?;
        self.report.absent = std::mem::take(&mut self.absent).into_values().collect();
        self.report.complete = !self.cut_short && self.report.absent.is_empty();
        Ok(())
    }

    fn drive(
        &mut self,
        catalog: &mut Catalog,
        volumes: &Volumes,
        folders: &[Folder],
        pace: &Pace<'_>,
        lanes: &mut Lanes<Task, Done>,
    ) -> Result<(), PatrolError> {
        loop {
            let mut busy = false;
            for device in 0..self.devices.len() {
                if self.progress.stop_asked() || pace.is_over_for(device) {
                    self.cut_short |= !self.devices[device].waiting.is_empty();
                    self.devices[device].waiting.clear();
                }
                self.feed(catalog, folders, pace, lanes, device)?;
                busy |= lanes.out(device) > 0 || !self.devices[device].waiting.is_empty();
            }
            if !busy {
                return Ok(());
            }
            if let Some((device, done)) = lanes.take(LOOK) {
                match done {
                    Done::File(task, seen) => self.file_done(catalog, volumes, folders, device, *task, seen)?,
                    Done::Folder(folder, seen) => self.folder_done(catalog, folders, device, folder, seen)?,
                }
            }
            let is_due = self.oldest_mark.is_some_and(|at| at.elapsed() >= BATCH_AGE);
            if is_due || self.marks.len() >= BATCH {
                self.record(catalog)?;
            }
        }
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
                Next::File(todo) => self.file_task(catalog, folders, todo)?.map(|t| Task::File(Box::new(t))),
                Next::Folder(i, parts) => {
                    Some(Task::Folder(i, Box::new(self.folder_task(catalog, &folders[i], parts)?)))
                }
            };
            match task {
                Some(task) => lanes.give(device, task),
                None => self.report.never_proven += 1,
            }
        }
        Ok(())
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
            let disk = device.lock_name.trim_start_matches("device ");
            self.progress.event(Event::Note(&format!("waiting: an offload or another check uses {disk}")));
        }
        if pace.is_over() && lanes.out(number) == 0 {
            // The others got the device for the whole budget.
            self.cut_short = true;
            device.waiting.clear();
        }
        Ok(false)
    }

    fn file_task(&self, catalog: &Catalog, folders: &[Folder], todo: Todo) -> Result<Option<FileTask>, CatalogError> {
        let folder = &folders[todo.folder];
        match &folder.copy {
            None => Ok(Some(FileTask::of_history(todo))),
            Some(root) => FileTask::of_catalog(catalog, folder, root.card, todo),
        }
    }

    fn folder_task(&self, catalog: &Catalog, folder: &Folder, parts: Vec<RelPath>) -> Result<FolderTask, CatalogError> {
        let litter = self.station.config.litter.clone();
        let Some(root) = &folder.copy else {
            let known = folder.history().map(|h| h.records.keys().cloned().collect()).unwrap_or_default();
            return Ok(FolderTask { known, parts, litter, ..FolderTask::default() });
        };
        let mut task = FolderTask { litter, sealed: root.sealed, ..FolderTask::default() };
        for row in catalog.copies(root.id)? {
            task.temps.extend(row.temp);
            task.known.insert(row.relpath);
        }
        task.generations = catalog.generations(root.id)?;
        task.with_history = parts.iter().any(|part| part.is_root() || is_history(part));
        task.parts = parts;
        Ok(task)
    }

    fn file_done(
        &mut self,
        catalog: &Catalog,
        volumes: &Volumes,
        folders: &[Folder],
        device: usize,
        task: FileTask,
        seen: Seen,
    ) -> Result<(), PatrolError> {
        let folder = &folders[task.todo.folder];
        let relpath = &task.todo.relpath;
        match seen {
            Seen::Stopped if self.progress.stop_asked() => self.cut_short = true,
            // It gave way; or the budget is over, and then it is dropped with the rest.
            Seen::Stopped => self.devices[device].waiting.push_front(Next::File(task.todo)),
            Seen::Gone => self.volume_left(volumes, folders, device, task.todo),
            Seen::NotThere => self.report.never_proven += 1,
            Seen::Grown(read_back) => {
                self.report.files += 1;
                self.report.good += 1;
                self.count(folder, true);
                // The row speaks of what the card brought; what came after, the manifests hold to account.
                if let Some(size_bytes) = task.recorded_size() {
                    self.report.bytes += size_bytes;
                    let proof = Proof { size_bytes, mtime_ns: 0, read_back };
                    self.mark(folder, relpath, Timestamp::now(), catalog::Seen::Good(proof));
                }
            }
            Seen::Good(file) => {
                self.report.files += 1;
                self.report.bytes += file.stat().size_bytes;
                self.progress.event(Event::FileDone { relpath, lane: &folder.lane });
                let proof = Proof {
                    size_bytes: file.stat().size_bytes,
                    mtime_ns: file.stat().mtime_ns,
                    read_back: file.read_back(),
                };
                if task.is_recorded() {
                    self.mark(folder, relpath, file.at(), catalog::Seen::Good(proof));
                }
                let Some(what) = task.damaged_row else {
                    self.report.good += 1;
                    self.count(folder, true);
                    return Ok(());
                };
                let against = if task.is_recorded() { "its digest" } else { "the history beside it" };
                let finding = folder.finding(FindingKind::Altered, relpath, format!("{what}; the file fits {against}"));
                let finding = self.told(catalog, folder, finding)?;
                // A proof heals the copy's own row; what the catalog lost of the card's file is still lost.
                if !what.ends_with("was damaged") {
                    self.mark(folder, relpath, file.at(), catalog::Seen::Note(finding));
                }
            }
            Seen::Bad(mut finding) => {
                self.report.files += 1;
                if finding.kind != FindingKind::Missing {
                    self.report.bytes += task.todo.size_bytes;
                }
                if let Some(what) = task.damaged_row {
                    let gap = if finding.note.is_empty() { "" } else { "; " };
                    finding.note = format!("{what}; the file does not fit either{gap}{}", finding.note);
                }
                if !task.was_proven {
                    finding.note = format!("it was never proven here: other bytes have its name ({})", finding.note);
                }
                let finding = self.told(catalog, folder, finding)?;
                // A conflict stays a conflict.
                if task.was_proven {
                    self.mark(folder, relpath, Timestamp::now(), catalog::Seen::Bad(finding));
                }
            }
        }
        Ok(())
    }

    fn folder_done(
        &mut self,
        catalog: &Catalog,
        folders: &[Folder],
        device: usize,
        number: usize,
        seen: FolderSeen,
    ) -> Result<(), PatrolError> {
        let folder = &folders[number];
        if seen.gone {
            // Its files will say so, one by one.
            return Ok(());
        }
        if seen.stopped {
            if !self.progress.stop_asked() {
                self.devices[device].waiting.push_front(Next::Folder(number, vec![RelPath::root()]));
            }
            return Ok(());
        }
        let now = Timestamp::now();
        for finding in seen.findings {
            let (relpath, is_extra) = (finding.relpath.clone(), finding.kind == FindingKind::Extra);
            let finding = self.told(catalog, folder, finding)?;
            // Extra bytes harm nothing: they are listed, not held against the card.
            if !is_extra {
                self.mark(folder, &relpath, now, catalog::Seen::Note(finding));
            }
        }
        let Some(root) = &folder.copy else { return Ok(()) };
        let open = catalog.open_findings(root.card)?;
        for relpath in seen.good.iter().filter(|p| open.iter().any(|f| f.relpath == **p)) {
            self.mark(folder, relpath, now, catalog::Seen::Clear);
        }
        Ok(())
    }

    /// The volume is not there any more: nothing of it is missing, all of it is absent.
    fn volume_left(&mut self, volumes: &Volumes, folders: &[Folder], device: usize, todo: Todo) {
        let key = folders[todo.folder].facts.volume_key.clone();
        let name = folders[todo.folder].root.path().display().to_string();
        self.progress.event(Event::Note(&format!("\"{name}\" was unmounted or unplugged during the check")));
        let mut left = vec![todo];
        let waiting = std::mem::take(&mut self.devices[device].waiting);
        for next in waiting {
            match next {
                Next::File(todo) if folders[todo.folder].facts.volume_key == key => left.push(todo),
                Next::Folder(i, _) if folders[i].facts.volume_key == key => {}
                other => self.devices[device].waiting.push_back(other),
            }
        }
        for todo in left {
            match &folders[todo.folder].copy {
                Some(root) => self.add_absent(volumes, root.volume, todo.proven_at),
                None => self.cut_short = true,
            }
        }
    }

    /// Adds what the catalog knows of the file, shows it and lists it.
    fn told(&mut self, catalog: &Catalog, folder: &Folder, mut finding: Finding) -> Result<Finding, PatrolError> {
        if let Some(root) = &folder.copy {
            let of_file = match self.clips.entry(root.card) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let clips = catalog.clips(root.card)?;
                    let files =
                        clips.into_iter().flat_map(|c| c.files.into_iter().map(move |(p, _)| (p, c.id.to_string())));
                    new.insert(files.collect())
                }
            };
            finding.clip = of_file.get(&finding.relpath).cloned();
        }
        if finding.kind != FindingKind::Extra {
            self.count(folder, false);
        }
        self.progress.event(Event::Finding(&finding));
        self.report.findings.push(finding.clone());
        Ok(finding)
    }

    fn count(&mut self, folder: &Folder, good: bool) {
        let Some(root) = &folder.copy else { return };
        let counts = self.cards.entry(root.card).or_default();
        if good { counts.0 += 1 } else { counts.1 += 1 }
    }

    fn mark(&mut self, folder: &Folder, relpath: &RelPath, at: Timestamp, seen: catalog::Seen) {
        let Some(root) = &folder.copy else { return };
        self.oldest_mark.get_or_insert_with(Instant::now);
        self.marks.push(Mark { root: root.id, relpath: relpath.clone(), at, seen });
    }

    fn record(&mut self, catalog: &mut Catalog) -> Result<(), PatrolError> {
        self.oldest_mark = None;
        let marks = std::mem::take(&mut self.marks);
        if marks.is_empty() {
            return Ok(());
        }
        match catalog.mark(&marks) {
            Err(CatalogError::Refused { .. } | CatalogError::Unknown { .. }) => {}
            other => return Ok(other?),
        }
        // Another process changed a row while its file was read: the rest of the batch holds.
        for mark in marks {
            match catalog.mark(std::slice::from_ref(&mark)) {
                Err(e @ (CatalogError::Refused { .. } | CatalogError::Unknown { .. })) => {
                    self.progress.event(Event::Note(&format!("\"{}\" was read, not recorded: {e}", mark.relpath)));
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// A line for each card in its log.
    pub fn log(&self, catalog: &mut Catalog, what: &str) -> Result<(), PatrolError> {
        for (card, (good, bad)) in &self.cards {
            let text = match bad {
                0 => format!("{what}: {good} copies read again, all good"),
                bad => format!("{what}: {good} copies read again and good, {bad} findings"),
            };
            catalog.log(*card, None, &text, Timestamp::now())?;
        }
        Ok(())
    }
}

/// How many files are read at once from the device: many where no head must move.
fn threads(config: &Config, facts: &Facts) -> usize {
    let mut names: Vec<String> =
        vec![facts.mount.point.display().to_string(), facts.mount.source.display().to_string()];
    names.extend(Path::new(&facts.mount.source).file_name().map(|n| n.to_string_lossy().into_owned()));
    // `serial:MODEL:SERIAL`, `Model (sdb)`
    names.extend(facts.disk.id.iter().flat_map(|id| id.rsplit(':').next()).map(String::from));
    names.extend(facts.disk.text.rsplit_once('(').map(|(_, name)| name.trim_end_matches(')').to_owned()));
    let rule = config.devices.iter().find(|rule| rule.matches(names.iter().map(String::as_str)));
    let is_flash = match rule {
        Some(rule) => rule.kind == Rule::Flash,
        None => facts.kind == DeviceKind::Flash,
    };
    if is_flash { config.verify.flash_lanes.max(1) as usize } else { 1 }
}
