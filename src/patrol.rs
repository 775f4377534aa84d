//! Copies proven again: which (by name, path or age), the reading, and what is written down of it.
//!
//! `verify`: what a person names, now. `patrol`: the oldest proof first, within a budget, for cron. Both read every
//! byte past the page cache, compare with the first read of the card as the catalog has it, else with the history or the
//! legacy lists that lie beside the files, and record each result within a second: a stop or a kill loses no more than that.

mod coverage;
mod file;
pub(crate) mod folder;
mod gone;
mod lists;
mod pace;
mod page;
mod reached;
mod report;
mod results;
mod run;
pub(crate) mod scope;
mod seal;
mod standing;

pub use coverage::Coverage;
pub use gone::{Accepted, Retired, accept_changed, retire};
pub use report::{Absent, CheckReport};
pub use seal::Sealed;

use crate::catalog::{Catalog, CatalogError, CopyRootRow, DueFilter, DueRow, VolumeSeen};
use crate::clip::{CardId, CopyRootId};
use crate::config::{self, NotifyOn};
use crate::copy::CopyState;
use crate::disk::facts::{self, Facts};
use crate::disk::{Root, lock};
use crate::ingest::Station;
use crate::mhl::HistoryFault;
use crate::notify::Event as News;
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use file::Todo;
use folder::Folder;
use jiff::Timestamp;
use report::Form;
use run::{Limits, Next, Pass};
use scope::{Mounted, Volumes};
use standing::{Bounds, Places};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// What counts as due when neither the command nor the config says it.
pub const DUE: Duration = Duration::from_secs(30 * 24 * 3600);

/// What to verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every copy that the catalog knows.
    Everything,
    /// All copies of one card.
    Card(CardId),
    /// Copies at or below a path, whether or not it is still there; else what the history there lists.
    Path(PathBuf),
}

impl Target {
    /// A word of the command line: a roll, a card's id or the beginning of one, or a path. A roll that repeats means
    /// all its cards.
    pub fn named(catalog: &Catalog, word: &Path) -> Result<Vec<Target>, PatrolError> {
        scope::target(catalog, word)
    }
}

/// One scheduled pass. What is `None` is taken from `[patrol]`.
#[derive(Clone, Debug, Default)]
pub struct PatrolRequest {
    /// Copies last proven longer ago than this are due.
    pub due: Option<Duration>,
    pub budget: Option<Duration>,
    /// Bytes a second, over all devices.
    pub rate: Option<u64>,
    pub roll: Option<String>,
    /// A label, or where the volume is or was mounted.
    pub volume: Option<String>,
    /// Written when the pass ends: as JSON, or as a page where the name ends with .html.
    pub report: Option<PathBuf>,
    /// Neither the age nor the budget was given for this pass alone: `[patrol] every` is a promise to be kept.
    pub judge_coverage: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum PatrolError {
    #[error(
        "nothing is known of \"{0}\": no roll has that name, and neither the catalog nor a history or list (MHL) speaks of such a path"
    )]
    NothingKnown(PathBuf),
    #[error("the history of \"{path}\" cannot be believed: {fault}")]
    History { path: PathBuf, fault: HistoryFault },
    #[error("the list \"{path}\" cannot be read: {why}")]
    List { path: PathBuf, why: String },
    #[error("no volume that the catalog knows is called \"{0}\"")]
    UnknownVolume(String),
    #[error("\"{path}\" was the place of volumes that are not mounted there now: {}", .which.join(", "))]
    WhichVolume { path: PathBuf, which: Vec<String> },
    #[error("cannot look at \"{path}\": {source}")]
    Look { path: PathBuf, source: io::Error },
    #[error("cannot lock in \"{path}\": {source}")]
    Lock { path: PathBuf, source: io::Error },
    #[error("{0} is being worked on by another goodgate process")]
    Busy(String),
    #[error("stopped; the same command continues")]
    Stopped,
    #[error("a report is written as .json or .html; \"{0}\" ends otherwise")]
    ReportName(PathBuf),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl PatrolError {
    /// The exit code of cli.md.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NothingKnown(_) | Self::History { .. } | Self::List { .. } => 30,
            _ => 1,
        }
    }
}

/// Reads what was named again, now, and compares.
pub fn verify(
    station: &Station,
    catalog: &mut Catalog,
    what: &[Target],
    progress: &dyn Progress,
) -> Result<CheckReport, PatrolError> {
    let mut report = examine(station, catalog, what, station.config.verify.seal, progress)?;
    report.untold = tell(station, catalog, &report, None);
    Ok(report)
}

/// The same without a word to anybody but the catalog.
pub(crate) fn examine(
    station: &Station,
    catalog: &mut Catalog,
    what: &[Target],
    is_to_seal: bool,
    progress: &dyn Progress,
) -> Result<CheckReport, PatrolError> {
    let begun = Instant::now();
    let (mounted, volumes) = (Mounted::now()?, Volumes::of(catalog)?);
    let scope = scope::scope(catalog, &volumes, &mounted, what)?;
    let mut pass = Pass::new(station, progress);
    pass.is_to_seal = is_to_seal;
    let mut shelf = Shelf::default();
    for (copy, parts) in &scope.copies {
        let retired: HashSet<RelPath> = catalog.retired_copies(copy.id)?.into_iter().collect();
        let mut rows = catalog.copies(copy.id)?;
        rows.retain(|r| !retired.contains(&r.relpath));
        let is_asked = |p: &RelPath| parts.iter().any(|part| p.strip_prefix(part).is_some());
        let folder = shelf.open(catalog, &mut pass, &mounted, &volumes, copy)?;
        if let Some(folder) = folder {
            pass.wait_for(folder, Next::Folder(folder, parts.clone()));
        }
        // A path may name a file that nobody recorded, and then it is extra; but not one that never was.
        let is_known = |part: &RelPath| rows.iter().any(|r| r.relpath.strip_prefix(part).is_some());
        let mut unknown = parts.iter().filter(|part| !part.is_root() && !folder::is_history(part) && !is_known(part));
        let is_there = |part: &RelPath| {
            let folder = folder.map(|i| &pass.folders[i]);
            folder.is_some_and(|f| f.root.stat(&f.place(part)).is_ok_and(|s| s.is_some()))
        };
        if let Some(part) = unknown.find(|part| !is_there(part)) {
            return Err(PatrolError::NothingKnown(part.under(Path::new(&copy.path))));
        }
        for row in rows.into_iter().filter(|r| is_asked(&r.relpath)) {
            match folder {
                None if row.proven_at.is_some() => pass.add_absent(&volumes, copy.volume, row.proven_at),
                None => pass.report.never_proven += 1,
                Some(folder) => {
                    let size_bytes = row.size_bytes.unwrap_or(0);
                    let todo = Todo { folder, relpath: row.relpath, size_bytes, proven_at: row.proven_at };
                    pass.wait_for(folder, Next::File(todo));
                }
            }
        }
    }
    for (base, parts) in &scope.histories {
        by_history(&mut pass, &mut shelf, base, parts)?;
    }
    for path in &scope.lists {
        pass.by_lists(path)?;
    }
    pass.run(catalog, &volumes, Limits::default())?;
    pass.seal(catalog)?;
    pass.log(catalog, "verify")?;
    catalog.add_pass(None, &pass.reads(), Timestamp::now())?;
    let mut report = CheckReport { by_name: true, seconds: begun.elapsed().as_secs_f64(), ..pass.report };
    report.catalog_seconds = (catalog.time_spent() + pass.in_catalog - pass.recording).as_secs_f64();
    report.recording_seconds = pass.recording.as_secs_f64();
    if !scope.copies.is_empty() {
        report.oldest_proof = catalog.oldest_proof()?;
    } else if let [Target::Path(path), ..] = what
        && report.files + report.never_proven == 0
        && report.findings.is_empty()
    {
        return Err(PatrolError::NothingKnown(path.clone()));
    }
    Ok(report)
}

/// A folder that no catalog row speaks of: what its own history lists.
fn by_history(pass: &mut Pass<'_>, shelf: &mut Shelf, base: &Path, parts: &[RelPath]) -> Result<(), PatrolError> {
    let look = |source| PatrolError::Look { path: base.to_path_buf(), source };
    let facts = facts::of(base).map_err(look)?;
    let way = RelPath::below(&facts.mount.point, base).unwrap_or_default();
    let folder = shelf.folder(pass, facts, way, None).map_err(look)?;
    let fault = |fault| PatrolError::History { path: base.to_path_buf(), fault };
    let Some(history) = pass.folders[folder].read_history().map_err(fault)? else {
        return Err(PatrolError::NothingKnown(base.to_path_buf()));
    };
    for manifest in &history.unlisted {
        let finding = pass.folders[folder].finding(crate::finding::FindingKind::Extra, manifest, "no chain lists it");
        pass.report.findings.push(finding);
    }
    let is_asked = |p: &RelPath| parts.iter().any(|part| p.strip_prefix(part).is_some());
    let records: Vec<(RelPath, u64)> = history
        .records
        .iter()
        .filter(|(p, _)| is_asked(p))
        .map(|(p, r)| (p.clone(), r.size_bytes.unwrap_or(0)))
        .collect();
    let _ = pass.folders[folder].history.set(Some(history));
    for (relpath, size_bytes) in records {
        pass.wait_for(folder, Next::File(Todo { folder, relpath, size_bytes, proven_at: None }));
    }
    pass.wait_for(folder, Next::Folder(folder, parts.to_vec()));
    Ok(())
}

/// Proves again what was not proven for the longest, until nothing is due or the budget is spent.
pub fn patrol(
    station: &Station,
    catalog: &mut Catalog,
    request: &PatrolRequest,
    progress: &dyn Progress,
) -> Result<CheckReport, PatrolError> {
    let form = request.report.as_deref().map(|path| Ok::<_, PatrolError>((path, report::form(path)?))).transpose()?;
    let begun = (Instant::now(), Timestamp::now());
    let locks = station.locks();
    let failed = |source| PatrolError::Lock { path: locks.clone(), source };
    let Some(_only_one) = lock::try_lock(&locks, "patrol").map_err(failed)? else {
        let report = CheckReport { already_running: true, ..CheckReport::default() };
        progress.event(Event::Note(&report.line()));
        return Ok(report);
    };
    let settings = &station.config.patrol;
    let (mounted, volumes) = (Mounted::now()?, Volumes::of(catalog)?);
    let asked = Asked::of(catalog, request, &volumes, &mounted)?;
    let copies: HashMap<CopyRootId, CopyRootRow> = catalog.all_copy_roots()?.into_iter().map(|r| (r.id, r)).collect();
    let holdings = catalog.holdings()?;
    let places = Places { copies: &copies, mounted: &mounted, volumes: &volumes, holdings: &holdings };
    let (budget, rate) = (request.budget.or(settings.budget), request.rate.or(settings.rate));
    let due = request.due.or(settings.every).unwrap_or(DUE);
    let bounds = Bounds { settings, budget, rate, due };
    let is_whole = request.roll.is_none() && request.volume.is_none();
    let mut runs = catalog.patrol_runs()?;
    runs.extend(is_whole.then_some(begun.1));
    // Begun in time, so that the last copy is proven before the promised date.
    let lead = match settings.every.filter(|_| request.due.is_none()) {
        Some(every) => places.coverage(catalog, &bounds, &runs)?.lead(every, coverage::interval(&runs)),
        None => Duration::ZERO,
    };
    // Who names a volume that was ejected wants it read since, all of it; unless an age is named too.
    let since_eject = request.volume.is_some() && request.due.is_none();
    let due = asked.due(catalog, before(begun.1, due.saturating_sub(lead)), since_eject)?;
    let mut pass = Pass::new(station, progress);
    if is_whole {
        pass.overdue = places.overdue(settings, begun.1);
    }
    pass.is_to_seal = station.config.verify.seal;
    // Halves of a proof that lie too far apart are none.
    pass.since = before(begun.1, DUE);
    let mut shelf = Shelf::default();
    let mut seen: HashMap<CopyRootId, Option<usize>> = HashMap::new();
    for row in due {
        let Some(copy) = copies.get(&row.copy_root) else { continue };
        let folder = match seen.get(&copy.id) {
            Some(folder) => *folder,
            None => {
                let folder = shelf.open(catalog, &mut pass, &mounted, &volumes, copy)?;
                seen.insert(copy.id, folder);
                if let Some(folder) = folder {
                    pass.wait_for(folder, Next::Folder(folder, vec![RelPath::root()]));
                }
                folder
            }
        };
        match folder {
            None if row.proven_at.is_some() => pass.add_absent(&volumes, copy.volume, row.proven_at),
            None => pass.report.never_proven += 1,
            Some(folder) => {
                let DueRow { relpath, size_bytes, proven_at, .. } = row;
                pass.wait_for(folder, Next::File(Todo { folder, relpath, size_bytes, proven_at }));
            }
        }
    }
    let deadline = budget.map(|budget| begun.0 + budget);
    pass.run(catalog, &volumes, Limits { deadline, rate })?;
    pass.seal(catalog)?;
    pass.log(catalog, "patrol")?;
    catalog.add_pass(is_whole.then_some(begun.1), &pass.reads(), Timestamp::now())?;
    let mut report = pass.report;
    report.oldest_proof = catalog.oldest_proof()?;
    report.seconds = begun.0.elapsed().as_secs_f64();
    report.catalog_seconds = (catalog.time_spent() + pass.in_catalog - pass.recording).as_secs_f64();
    report.recording_seconds = pass.recording.as_secs_f64();
    report.coverage = Some(places.coverage(catalog, &bounds, &runs)?);
    if request.judge_coverage && (settings.every.is_some() || settings.absent_after.is_some()) {
        report.judged = true;
        report.coverage_lost = asked.is_late(catalog, &places, settings, begun.1)?;
    }
    (report.began_at, report.ended_at) = (Some(begun.1), Some(Timestamp::now()));
    let written = form.map_or(Ok(()), |(path, form)| write(station, catalog, &report, path, form));
    // What was found is said all the same.
    report.unwritten = written.err();
    report.untold = tell(station, catalog, &report, request.roll.clone());
    Ok(report)
}

fn write(station: &Station, catalog: &Catalog, report: &CheckReport, path: &Path, form: Form) -> Result<(), String> {
    let failed = |source: io::Error| format!("cannot write the report \"{}\": {source}", path.display());
    let bytes = match form {
        Form::Json => report::json(report).map_err(failed)?,
        Form::Html => {
            let clips = report.findings.iter().take(page::LISTED).filter_map(|f| f.clip.as_deref());
            page::page(report, station, &catalog.clip_names(clips).map_err(|e| e.to_string())?).into_bytes()
        }
    };
    report::write(&bytes, path).map_err(failed)
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    now.checked_sub(age).unwrap_or(Timestamp::MIN)
}

/// Which copies a pass is about.
struct Asked {
    cards: Option<BTreeSet<CardId>>,
    filters: Vec<DueFilter>,
}

impl Asked {
    fn of(
        catalog: &Catalog,
        request: &PatrolRequest,
        volumes: &Volumes,
        mounted: &Mounted,
    ) -> Result<Self, PatrolError> {
        let (mut cards, mut roll) = (None, None);
        if let Some(name) = &request.roll {
            let named = catalog.cards_named(name)?;
            let first = named.first().ok_or_else(|| PatrolError::NothingKnown(name.into()))?;
            roll = Some(first.roll.clone());
            cards = Some(named.iter().map(|c| c.id).collect());
        }
        let filters = match &request.volume {
            None => vec![DueFilter { roll, volume: None }],
            Some(name) => match volumes.named(name, mounted) {
                named if named.is_empty() => return Err(PatrolError::UnknownVolume(name.clone())),
                named => named.into_iter().map(|v| DueFilter { roll: roll.clone(), volume: Some(v) }).collect(),
            },
        };
        Ok(Asked { cards, filters })
    }

    /// The oldest proof first, the bad ones last. `since_eject`: and all that was proven before its volume was ejected.
    fn due(&self, catalog: &Catalog, before: Timestamp, since_eject: bool) -> Result<Vec<DueRow>, PatrolError> {
        let mut out = Vec::new();
        for filter in &self.filters {
            let ejected = filter.volume.filter(|_| since_eject).map(|v| catalog.ejected_at(v)).transpose()?.flatten();
            out.extend(catalog.due(usize::MAX, Some(ejected.map_or(before, |at| at.max(before))), filter)?);
        }
        out.retain(|row| self.cards.as_ref().is_none_or(|cards| cards.contains(&row.card)));
        // What was proven within one second is as old: by names it lies together, on the disk and in the catalog.
        let age =
            |row: &DueRow| (row.state != CopyState::Proven, row.proven_at.map(Timestamp::as_second), row.copy_root);
        out.sort_by(|a, b| age(a).cmp(&age(b)).then_with(|| a.relpath.cmp(&b.relpath)));
        Ok(out)
    }
}

impl Asked {
    /// Is a proof older than `[patrol]` allows? Of volumes that are not mounted, `absent_after` says what it allows.
    fn is_late(
        &self,
        catalog: &Catalog,
        places: &Places<'_>,
        settings: &config::Patrol,
        now: Timestamp,
    ) -> Result<bool, PatrolError> {
        let Some(every) = settings.every else { return Ok(false) };
        let away = before(now, settings.absent_after.unwrap_or(every));
        let mut mounted: HashMap<CopyRootId, bool> = HashMap::new();
        let late = self.due(catalog, before(now, every), false)?;
        Ok(late.iter().filter(|row| row.state == CopyState::Proven).any(|row| {
            let is_here = mounted.entry(row.copy_root).or_insert_with(|| places.is_mounted(row.copy_root));
            *is_here || row.proven_at.is_none_or(|at| at < away)
        }))
    }
}

/// Mounts that were opened: folders of one volume share a descriptor.
#[derive(Default)]
struct Shelf {
    roots: BTreeMap<u64, Arc<Root>>,
    noted: BTreeSet<String>,
}

impl Shelf {
    /// The copy's folder among those of the pass; `None` when its volume is not mounted.
    fn open(
        &mut self,
        catalog: &mut Catalog,
        pass: &mut Pass<'_>,
        mounted: &Mounted,
        volumes: &Volumes,
        copy: &CopyRootRow,
    ) -> Result<Option<usize>, PatrolError> {
        let Some(volume) = volumes.get(copy.volume) else { return Ok(None) };
        let Some((facts, way)) = mounted.find(&volume.key, &copy.root) else { return Ok(None) };
        if self.noted.insert(volume.key.clone()) {
            catalog.volume(&VolumeSeen::of(facts), Timestamp::now())?;
        }
        let look = |source| PatrolError::Look { path: way.under(&facts.mount.point), source };
        let folder = self.folder(pass, facts.clone(), way.clone(), Some(copy.clone())).map_err(look)?;
        let accepted = catalog.accepted_copies(copy.id)?;
        pass.folders[folder].accepted = accepted.into_iter().map(|a| (a.relpath.clone(), a)).collect();
        Ok(Some(folder))
    }

    fn folder(
        &mut self,
        pass: &mut Pass<'_>,
        facts: Facts,
        base: RelPath,
        copy: Option<CopyRootRow>,
    ) -> io::Result<usize> {
        let root = match self.roots.get(&facts.mount.id) {
            Some(root) => root.clone(),
            None => {
                let root = Arc::new(Root::open(&facts.mount.point)?);
                self.roots.insert(facts.mount.id, root.clone());
                root
            }
        };
        let path = base.under(root.path());
        let lane = format!("check {}", root.path().display());
        let device = pass.device(&facts);
        let (history, accepted) = (OnceLock::new(), HashMap::new());
        pass.folders.push(Folder { copy, path, root, base, facts, device, lane, history, accepted });
        Ok(pass.folders.len() - 1)
    }
}

/// Findings that people are told of in full; the report and the catalog have them all.
const TOLD: usize = 1000;

/// Tells people of damage, and of lost coverage, when they want to hear of it, and what could not be told before.
fn tell(station: &Station, catalog: &mut Catalog, report: &CheckReport, roll: Option<String>) -> Vec<String> {
    let damaged = report.damage().next().is_some();
    let events = [(damaged, NotifyOn::Damage), (report.is_overdue(), NotifyOn::Overdue)];
    let detail = || {
        let mut detail = match report.findings.len() {
            0..=TOLD => serde_json::to_value(report).unwrap_or_default(),
            all => {
                let findings = report.findings[..TOLD].to_vec();
                let (absent, coverage) = (report.absent.clone(), report.coverage.clone());
                let CheckReport { files, bytes, good, complete, oldest_proof, coverage_lost, .. } = *report;
                let short = CheckReport {
                    findings,
                    absent,
                    coverage,
                    files,
                    bytes,
                    good,
                    complete,
                    oldest_proof,
                    coverage_lost,
                    ..CheckReport::default()
                };
                let mut detail = serde_json::to_value(short).unwrap_or_default();
                detail["total"] = all.into();
                detail
            }
        };
        detail["exit"] = report.exit_code().into();
        detail
    };
    let news = |on| News { on, roll: roll.clone(), text: report.line(), at: Timestamp::now(), detail: detail() };
    let news: Vec<News> = events.into_iter().filter(|(is, _)| *is).map(|(_, on)| news(on)).collect();
    crate::ingest::tell(station, Some(catalog), &news)
}
