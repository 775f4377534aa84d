//! One card, dump to catalog, step by step. The only code that joins the rooms.
//!
//! `ingest`: see the card -> plan or refuse -> write down the intent -> copy and prove -> list again -> check headers
//! -> seal -> verdict -> metadata and proxies. Each step is idempotent: the same command again continues.

mod describe;
mod places;
mod recorder;
mod standing;

pub use standing::{CardReport, CopyReport, Standing, WarningReport, standing};

use crate::catalog::{Catalog, CatalogError, CopyRootRow, NewCard, NewCopyRoot};
use crate::clip::{CardId, CopyRootId, JobId, Listing, SourceKind, Warning};
use crate::config::{Config, VerifyDepth};
use crate::copy::{CopyState, FileRecord};
use crate::digest::HashFormat;
use crate::disk::list::{self, ListError};
use crate::disk::lock::{self, Lock};
use crate::disk::write::{Replace, remove, write_whole};
use crate::disk::{Root, facts};
use crate::evidence::Relaxed;
use crate::finding::{Finding, FindingKind};
use crate::job::{Hold, Step};
use crate::mhl::{self, Creator, History, Process, SealRequest};
use crate::offload::{self, Destination, OffloadError, Options, Task, plan};
use crate::progress::{CannotRecord, Event, Intent, Progress};
use crate::relpath::RelPath;
use crate::verify::{ProvenRow, SealAction, SealEntry, VerifiedFile};
use crate::{card, config};
use jiff::Timestamp;
use places::{Known, Place, Source};
use recorder::recording;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What every run on this machine shares.
pub struct Station {
    pub config: Config,
    /// Locks and temporary media lie beside the catalog.
    pub state: PathBuf,
    /// Written into manifests.
    pub hostname: String,
    pub version: &'static str,
}

impl Station {
    pub fn media_root(&self) -> PathBuf {
        self.config.media.root.clone().unwrap_or_else(|| self.state.join("media"))
    }

    pub(crate) fn locks(&self) -> PathBuf {
        self.state.join("locks")
    }
}

/// One offload as it was asked for; kept with the job, so that the daemon can continue it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Request {
    pub card: PathBuf,
    /// Empty: the destinations of the config.
    pub to: Vec<PathBuf>,
    pub roll: Option<String>,
    pub set: BTreeMap<String, String>,
    /// Names of manifest formats beside XXH64.
    pub formats: Vec<String>,
    /// `--verify destinations`: the card is read once.
    pub no_source_reread: bool,
    pub rehash: bool,
    pub allow_same_device: bool,
    pub no_media: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error("cannot open the card \"{path}\": {source}")]
    Card { path: PathBuf, source: std::io::Error },
    #[error("the card \"{0}\" holds no file: nothing was copied, and nothing is safe")]
    EmptyCard(PathBuf),
    #[error("no destination: name one with --to, or in the config as [[destination]]")]
    NoDestination,
    #[error("destination \"{path}\" is refused: {why}")]
    Destination { path: String, why: String },
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused(Vec<plan::Refusal>),
    #[error("the roll needs a name: {0}")]
    Roll(String),
    #[error(
        "{} of the card's files changed or are gone since it was recorded as {roll}, others did not: first \"{}\"",
        .changed.len(), .changed.first().map(|p| p.to_string()).unwrap_or_default()
    )]
    Changed { roll: String, changed: Vec<RelPath> },
    #[error("{0} is being worked on by another goodgate process")]
    Busy(String),
    #[error("cannot write \"{path}\": {source}")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("cannot lock in \"{path}\": {source}")]
    Lock { path: PathBuf, source: std::io::Error },
    #[error("stopped; the same command continues")]
    Stopped,
    #[error(transparent)]
    List(#[from] ListError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    CannotRecord(#[from] CannotRecord),
    #[error("{0}")]
    Internal(String),
}

impl IngestError {
    /// Why the card's job waits after this error, when a person is needed; `None` for what another try may cure.
    pub fn hold(&self) -> Option<Hold> {
        match self {
            Self::Changed { .. } => Some(Hold::SourceChanged),
            Self::Refused(r) if r.iter().any(|r| matches!(r, plan::Refusal::Space { .. } | plan::Refusal::Inodes { .. })) => {
                Some(Hold::DiskFull)
            }
            Self::Refused(_) | Self::Roll(_) | Self::EmptyCard(_) => Some(Hold::Unsafe),
            Self::Destination { .. } | Self::NoDestination => Some(Hold::DestinationAbsent),
            Self::Card { .. } => Some(Hold::CardAbsent),
            Self::CannotRecord(_) => Some(Hold::CannotRecord),
            _ => None,
        }
    }
}

/// What a `--dry-run` shows.
#[derive(Debug, Serialize)]
pub struct PlanReport {
    pub roll: String,
    pub source_kind: SourceKind,
    pub layout: String,
    pub files: usize,
    pub bytes: u64,
    pub clips: usize,
    pub known: Option<String>,
    pub warnings: Vec<Warning>,
    pub destinations: Vec<PlanDestination>,
    pub refusals: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct PlanDestination {
    pub destination: String,
    pub disk: String,
    pub read_back: crate::copy::ReadBack,
    pub free_bytes: u64,
    /// How many more cards of this size fit after this one.
    pub cards_left: u64,
}

/// Everything known before the first byte.
struct Planned {
    source: Source,
    places: Vec<Place>,
    /// The roll's folder at each place.
    folders: Vec<String>,
    roll: String,
    known: Option<CardId>,
    added: usize,
    warnings: Vec<Warning>,
    refusals: Vec<plan::Refusal>,
}

/// Looks at the card and its destinations and says what an offload would do. Writes nothing but destination folders
/// that are allowed to be made, and not even those when `dry`.
fn see(station: &Station, catalog: &mut Catalog, request: &Request, dry: bool) -> Result<Planned, IngestError> {
    let source = places::source(station, catalog, &request.card)?;
    if source.card.listing.files.is_empty() {
        return Err(IngestError::EmptyCard(request.card.clone()));
    }
    if let Some(roll) = &request.roll {
        places::check_roll(roll).map_err(IngestError::Roll)?;
    }
    let known = match places::known_card(catalog, &source, request.roll.as_deref())? {
        Some((id, Known::Changed(changed))) => {
            let roll = catalog.card(id)?.map(|c| c.roll).unwrap_or_default();
            return Err(IngestError::Changed { roll, changed });
        }
        Some((id, Known::Same { added })) => Some((id, added)),
        _ => None,
    };
    let recorded = match known {
        Some((id, _)) => catalog.card(id)?.map(|c| c.roll),
        None => None,
    };
    let roll = recorded.or(request.roll.clone()).or(source.roll.clone()).ok_or_else(|| {
        IngestError::Roll("neither the folder nor the volume has a usable one; say it with --roll".into())
    })?;
    let wanted = places::wanted(station, request, &source.card, &roll)?;
    let inside: Vec<_> = wanted.iter().filter_map(|p| inside_card(source.root.path(), p)).collect();
    if !inside.is_empty() {
        return Err(IngestError::Refused(inside));
    }
    let mut places = Vec::new();
    for path in &wanted {
        places.push(places::open(catalog, path, request.to.is_empty() || dry)?);
    }
    let card_id = known.map(|k| k.0);
    let folders = match card_id {
        None => vec![places::folder(catalog, None, &roll, &places)?; places.len()],
        Some(_) => {
            let one = |p: &Place| places::folder(catalog, card_id, &roll, std::slice::from_ref(p));
            places.iter().map(one).collect::<Result<_, _>>()?
        }
    };
    let roll = if card_id.is_some() { roll } else { folders.first().cloned().unwrap_or(roll) };
    let used = (source.kind == SourceKind::Card).then_some(card::UsedSpace {
        used_bytes: source.facts.used_bytes,
        cluster_bytes: source.facts.cluster_bytes,
    });
    let warnings = card::warnings(&source.card, used);
    let mut dests = Vec::new();
    for (place, folder) in places.iter().zip(&folders) {
        dests.push(plan::DestinationFacts {
            name: place.name.clone(),
            path: place.base.path().to_path_buf(),
            fs_type: place.facts.mount.fs_type.clone(),
            read_only: place.facts.mount.read_only,
            free_bytes: place.facts.free_bytes,
            free_inodes: place.facts.free_inodes,
            cluster_bytes: place.facts.cluster_bytes,
            present: present(place, folder, &source.card.listing)?,
        });
    }
    let refusals = plan::refusals(source.root.path(), &source.card.listing, &dests);
    Ok(Planned { source, places, folders, roll, known: card_id, added: known.map_or(0, |k| k.1), warnings, refusals })
}

/// Before a folder is made there: a destination may not lie on the card.
fn inside_card(card: &Path, dest: &Path) -> Option<plan::Refusal> {
    let dest = std::path::absolute(dest).ok()?;
    let near = dest.ancestors().find_map(|p| p.canonicalize().ok())?;
    near.starts_with(card).then(|| plan::Refusal::InsideCard { dest: dest.display().to_string(), card: card.display().to_string() })
}

/// Card files that already have their final name in the roll's folder.
fn present(place: &Place, folder: &str, listing: &Listing) -> Result<Vec<RelPath>, IngestError> {
    let folder = RelPath::new(folder).map_err(|e| IngestError::Roll(e.to_string()))?;
    if place.base.stat(&folder).ok().flatten().is_none() {
        return Ok(Vec::new());
    }
    let there = |f: &&crate::clip::CardFile| place.base.stat(&folder.join_rel(&f.relpath)).ok().flatten().is_some();
    Ok(listing.files.iter().filter(there).map(|f| f.relpath.clone()).collect())
}

/// `offload --dry-run`.
pub fn dry_run(station: &Station, catalog: &mut Catalog, request: &Request) -> Result<PlanReport, IngestError> {
    let p = see(station, catalog, request, true)?;
    let listing = &p.source.card.listing;
    let bytes = listing.bytes();
    let destination = |place: &Place| PlanDestination {
        destination: place.name.clone(),
        disk: place.facts.disk.text.clone(),
        read_back: facts::read_back_class(&place.facts.mount.fs_type),
        free_bytes: place.facts.free_bytes,
        cards_left: (place.facts.free_bytes.checked_div(bytes.max(1)).unwrap_or(0)).saturating_sub(1),
    };
    Ok(PlanReport {
        roll: p.roll,
        source_kind: p.source.kind,
        layout: p.source.card.layout.clone(),
        files: listing.files.len(),
        bytes,
        clips: p.source.card.clips.len(),
        known: p.known.map(|id| id.to_string()),
        warnings: p.warnings,
        destinations: p.places.iter().map(destination).collect(),
        refusals: p.refusals.iter().map(ToString::to_string).collect(),
    })
}

/// Is this card known, proven and without anything new? Then a daemon answers at once.
pub fn known_and_safe(station: &Station, catalog: &mut Catalog, card: &Path) -> Result<Option<Standing>, IngestError> {
    let source = places::source(station, catalog, card)?;
    let Some((id, Known::Same { added: 0 })) = places::known_card(catalog, &source, None)? else { return Ok(None) };
    if catalog.open_job(id)?.is_some() {
        return Ok(None);
    }
    standing(station, catalog, id).map(Some)
}

/// Takes one card through all steps. The verdict is reported (and returned) before metadata and proxies begin; those
/// never change it.
pub fn ingest(
    station: &Station,
    catalog: &mut Catalog,
    request: &Request,
    progress: &dyn Progress,
) -> Result<Standing, IngestError> {
    let planned = see(station, catalog, request, false)?;
    if !planned.refusals.is_empty() {
        return Err(IngestError::Refused(planned.refusals));
    }
    let _job_lock = job_lock(station, &planned.source)?;
    let Some(device_locks) = device_locks(station, &planned, progress)? else { return Err(IngestError::Stopped) };
    let job = write_down(catalog, request, &planned, progress)?;
    let standing = offload_and_seal(station, catalog, request, &planned, &job, progress);
    if let Err(e) = &standing {
        catalog.log(job.card, Some(job.id), &format!("ended early: {e}"), Timestamp::now())?;
        if let Some(hold) = e.hold() {
            step_to(catalog, &job, Step::Offload, Some((hold, e.to_string())))?;
        }
    }
    let standing = standing?;
    // The next card may have the disks; what follows reads one copy at its leisure.
    drop(device_locks);
    describe::describe(station, catalog, job.card, !request.no_media && station.config.media.enabled, progress)?;
    if catalog.open_job(job.card)?.is_some_and(|j| j.hold.is_none()) && !progress.stop_asked() {
        catalog.finish_job(job.id, Timestamp::now())?;
    }
    Ok(standing)
}

/// Moves the card's job to a step, with or without a hold.
fn step_to(catalog: &mut Catalog, job: &Job, to: Step, hold: Option<(Hold, String)>) -> Result<(), IngestError> {
    let now = catalog.open_job(job.card)?.map_or(to, |j| j.step);
    Ok(catalog.advance(job.id, now, to, hold, None)?)
}

/// A job with what it was started on.
struct Job {
    id: JobId,
    card: CardId,
    started_at: Timestamp,
    roots: Vec<CopyRootId>,
}

fn job_lock(station: &Station, source: &Source) -> Result<Lock, IngestError> {
    let name = format!("card {} {}", source.facts.volume_key, source.facts.place);
    let at = |source| IngestError::Lock { path: station.locks(), source };
    lock::try_lock(&station.locks(), &name)
        .map_err(at)?
        .ok_or_else(|| IngestError::Busy(format!("the card \"{}\"", source.root.path().display())))
}

/// One lock a device, in one order everywhere, so that two cards to the same disks take turns. `None`: told to stop.
fn device_locks(station: &Station, planned: &Planned, progress: &dyn Progress) -> Result<Option<Vec<Lock>>, IngestError> {
    let names: BTreeSet<String> = planned.places.iter().map(|p| device_lock_name(&p.facts)).collect();
    let at = |source| IngestError::Lock { path: station.locks(), source };
    let mut held = Vec::new();
    for name in names {
        if let Some(lock) = lock::try_lock(&station.locks(), &name).map_err(at)? {
            held.push(lock);
            continue;
        }
        progress.event(Event::Note(&format!("waiting: another offload or a check uses {}", name.trim_start_matches("device "))));
        match lock::wait_lock(&station.locks(), &name, || progress.stop_asked()).map_err(at)? {
            Some(lock) => held.push(lock),
            None => return Ok(None),
        }
    }
    Ok(Some(held))
}

/// Shared by offload and patrol: one lane a physical disk.
pub(crate) fn device_lock_name(facts: &facts::Facts) -> String {
    format!("device {}", facts.disk.id.as_deref().unwrap_or(&facts.volume_key))
}

/// The intent, committed before the first byte: card, destinations, job, and every temp by name.
fn write_down(
    catalog: &mut Catalog,
    request: &Request,
    p: &Planned,
    progress: &dyn Progress,
) -> Result<Job, IngestError> {
    let now = Timestamp::now();
    let source = &p.source;
    let card = match p.known {
        Some(id) => {
            catalog.extend_card(id, &source.card, now)?;
            id
        }
        None => {
            let new = NewCard {
                roll: p.roll.clone(),
                source_kind: source.kind,
                layout: source.card.layout.clone(),
                volume: source.volume,
                root: source.facts.place.clone(),
                source_path: source.root.path().display().to_string(),
                disk: source.facts.disk.clone(),
            };
            catalog.add_card(&new, &source.card, now)?
        }
    };
    let asked = p.known.is_none().then_some(request.roll.as_ref().or(source.roll.as_ref())).flatten();
    if asked.is_some_and(|a| *a != p.roll) {
        let note = format!("a folder \"{}\" is already there: this card becomes {}", asked.cloned().unwrap_or_default(), p.roll);
        progress.event(Event::Note(&note));
        catalog.log(card, None, &note, now)?;
    }
    if source.kind == SourceKind::Card && !source.facts.mount.read_only {
        let note = format!("the card is mounted read-write at \"{}\"; nothing was written to it", source.facts.mount.point.display());
        progress.event(Event::Note(&note));
        catalog.log(card, None, &note, now)?;
    }
    let same_device = request.allow_same_device;
    catalog.set_relaxed(card, Relaxed { same_device, accept_server: false, no_source_reread: false })?;
    for warning in &p.warnings {
        catalog.raise_warning(card, warning, now)?;
    }
    let mut roots = Vec::new();
    for (place, folder) in p.places.iter().zip(&p.folders) {
        places::mark(place)?;
        let folder = RelPath::new(folder).map_err(|e| IngestError::Roll(e.to_string()))?;
        let new = NewCopyRoot {
            volume: place.volume,
            root: place.facts.place.join_rel(&folder),
            destination: place.name.clone(),
            path: folder.under(place.base.path()).display().to_string(),
            disk: place.facts.disk.clone(),
        };
        roots.push(catalog.copy_root(card, &new, now)?);
    }
    // Temps of an earlier run that never got their name: ours by their intent row, and never trusted.
    for (root, _, temp) in catalog.planned_temps(card)? {
        if let Some(i) = roots.iter().position(|r| *r == root) {
            let place = &p.places[i];
            let relpath = RelPath::new(&p.folders[i]).unwrap_or_default().join_rel(&temp);
            let _ = remove(&place.base, &relpath);
        }
    }
    let id = catalog.start_job(card, &serde_json::to_string(request).unwrap_or_default(), now)?;
    let started_at = catalog.open_job(card)?.map_or(now, |j| j.started_at);
    Ok(Job { id, card, started_at, roots })
}

fn offload_and_seal(
    station: &Station,
    catalog: &mut Catalog,
    request: &Request,
    p: &Planned,
    job: &Job,
    progress: &dyn Progress,
) -> Result<Standing, IngestError> {
    step_to(catalog, job, Step::Offload, None)?;
    let dests = destinations(p, job)?;
    let source_fault = copy(station, catalog, request, p, job, &dests, progress)?;
    check_headers(catalog, job, &dests)?;
    progress.event(Event::Step { roll: &p.roll, step: Step::Seal.name() });
    let dest_fault = seal(station, catalog, job, &dests, &p.source.card.listing, progress)?;
    match source_fault.or(dest_fault) {
        Some((hold, note)) => step_to(catalog, job, Step::Offload, Some((hold, note)))?,
        None => step_to(catalog, job, Step::Describe, None)?,
    }
    let standing = standing(station, catalog, job.card)?;
    catalog.log(job.card, Some(job.id), &standing.line, Timestamp::now())?;
    progress.event(Event::Verdict { roll: &p.roll, safe: standing.report.safe, text: &standing.line });
    Ok(standing)
}

fn destinations(p: &Planned, job: &Job) -> Result<Vec<Destination>, IngestError> {
    let dest = |((place, folder), id): ((&Place, &String), &CopyRootId)| {
        let at = |source| IngestError::Write { path: place.base.path().to_path_buf(), source };
        Ok(Destination {
            id: *id,
            base: Root::open(place.base.path()).map_err(at)?,
            folder: RelPath::new(folder).map_err(|e| IngestError::Roll(e.to_string()))?,
            fs_type: place.facts.mount.fs_type.clone(),
            name: place.name.clone(),
        })
    };
    p.places.iter().zip(&p.folders).zip(&job.roots).map(dest).collect()
}

/// Copy and prove what has no standing proof, read the card a second time, list it again.
fn copy(
    station: &Station,
    catalog: &mut Catalog,
    request: &Request,
    p: &Planned,
    job: &Job,
    dests: &[Destination],
    progress: &dyn Progress,
) -> Result<Option<(Hold, String)>, IngestError> {
    catalog.clear_card_findings(job.card)?;
    let formats = formats(&station.config, &request.formats);
    let reread = !request.no_source_reread && station.config.offload.verify == VerifyDepth::Full;
    let tasks = tasks(catalog, request, p, job, dests)?;
    let planned: Vec<_> = tasks
        .iter()
        .flat_map(|t| t.todo.iter().map(|(d, temp)| (dests[*d].id, t.file.relpath.clone(), temp.clone())))
        .collect();
    catalog.plan_copies(job.id, &planned)?;
    for dest in dests {
        let at = |source| IngestError::Write { path: dest.folder.under(dest.base.path()), source };
        dest.base.make_dir(&dest.folder).map_err(at)?;
        for folder in &p.source.card.listing.folders {
            dest.base.make_dir(&dest.place(folder)).map_err(at)?;
        }
    }
    report_foreign_parts(dests, &planned, progress);
    let to_read: u64 = tasks.iter().map(|t| t.file.size_bytes).sum();
    progress.event(Event::Step { roll: &p.roll, step: Step::Offload.name() });
    progress.event(Event::Begin { what: "copying", roll: &p.roll, files: tasks.len() as u64, bytes: to_read });
    let card = offload::Source {
        root: Root::open(p.source.root.path()).map_err(|source| IngestError::Card { path: request.card.clone(), source })?,
        fs_type: p.source.facts.mount.fs_type.clone(),
    };
    let options = Options { formats: &formats, source_reread: reread, job: job.id };
    let clocks = (std::time::Instant::now(), Timestamp::now());
    let outcome = recording(catalog, job.card, progress, |progress| offload::offload(&card, tasks, dests, &options, progress));
    let unread = match outcome {
        Ok(outcome) => outcome.unread,
        Err(OffloadError::Stopped) => return Err(IngestError::Stopped),
        Err(OffloadError::CannotRecord(e)) => return Err(e.into()),
        Err(OffloadError::CardGone { source, .. }) => return Err(IngestError::Card { path: request.card.clone(), source }),
    };
    let now = Timestamp::now();
    let passed = now.duration_since(clocks.1).as_secs() - clocks.0.elapsed().as_secs() as i64;
    if passed.abs() > 60 {
        let text = format!("the station's clock jumped by {passed} s during the copy: times in the records are doubtful");
        catalog.raise_warning(job.card, &Warning { id: "clock".into(), text }, now)?;
    }
    let again = list::list(p.source.root.path(), &station.config.litter)?;
    let changes = p.source.card.listing.changes(&again);
    for relpath in &changes {
        let note = "the card's listing changed while it was copied";
        let finding = Finding::new(FindingKind::Unstable, p.source.root.path(), relpath, note);
        progress.event(Event::Finding(&finding));
        catalog.apply(job.card, &[Intent::Found { copy: None, finding }], now)?;
    }
    catalog.set_listed_twice(job.card, changes.is_empty())?;
    catalog.card_seen(job.card, now, changes.is_empty(), None)?;
    if let Some(first) = changes.first() {
        return Ok(Some((Hold::SourceChanged, format!("{} entries changed, first \"{first}\"", changes.len()))));
    }
    Ok((unread > 0).then(|| (Hold::SourceUnreadable, format!("{unread} files could not be read"))))
}

/// The manifest's formats: XXH64, those of the config, those asked for.
fn formats(config: &Config, asked: &[String]) -> Vec<HashFormat> {
    let mut out = config.hash.clone();
    out.push(HashFormat::Xxh64);
    out.extend(asked.iter().filter_map(|f| HashFormat::from_name(f)).filter(|f| *f != HashFormat::Blake3));
    out.sort();
    out.dedup();
    out
}

/// What is left to do for each file: destinations without a standing proof of this job, and the card's own reads.
fn tasks(catalog: &Catalog, request: &Request, p: &Planned, job: &Job, dests: &[Destination]) -> Result<Vec<Task>, IngestError> {
    let mut proven: Vec<BTreeSet<RelPath>> = Vec::new();
    for dest in dests {
        let mut done = BTreeSet::new();
        for row in catalog.copies(dest.id)? {
            let (true, true, false) = (row.state == CopyState::Proven, row.job == job.id, request.rehash) else { continue };
            if standing_proof(dest, &row).is_some() {
                done.insert(row.relpath);
            }
        }
        proven.push(done);
    }
    let records: BTreeMap<RelPath, _> = catalog.file_records(job.card)?.into_iter().map(|r| (r.file.relpath.clone(), r)).collect();
    let short = &job.id.0.simple().to_string()[20..];
    let mut out = Vec::new();
    for (n, file) in p.source.card.listing.files.iter().enumerate() {
        let row = records.get(&file.relpath);
        let temp = file.relpath.parent().join(format!(".{short}.{n}.goodgate-part"));
        let temp = temp.map_err(|e| IngestError::Internal(e.to_string()))?;
        let todo: Vec<_> = (0..dests.len()).filter(|d| !proven[*d].contains(&file.relpath)).map(|d| (d, temp.clone())).collect();
        let known = row.filter(|r| r.row_intact).and_then(|r| {
            let digests = r.digests.clone()?;
            Some(FileRecord { file: file.clone(), digests, blocks: r.blocks.clone() })
        });
        let equal_reads = if known.is_some() { row.map_or(0, |r| r.equal_reads) } else { 0 };
        if !todo.is_empty() || known.is_none() || equal_reads < 2 {
            out.push(Task { file: file.clone(), todo, known, equal_reads });
        }
    }
    Ok(out)
}

fn standing_proof(dest: &Destination, row: &crate::catalog::CopyRow) -> Option<VerifiedFile> {
    let proven = ProvenRow {
        relpath: &row.relpath,
        size_bytes: row.size_bytes?,
        mtime_ns: row.mtime_ns?,
        read_back: row.read_back?,
        proven_at: row.proven_at?,
        intact: row.row_intact,
    };
    VerifiedFile::from_evidence(&proven, dest.base.stat(&dest.place(&row.relpath)).ok().flatten())
}

/// Temps that no intent of ours names are reported and left alone.
fn report_foreign_parts(dests: &[Destination], planned: &[(CopyRootId, RelPath, RelPath)], progress: &dyn Progress) {
    for dest in dests {
        let Ok(listing) = list::list(&dest.folder.under(dest.base.path()), &[]) else { continue };
        for file in listing.files.iter().filter(|f| f.relpath.name().ends_with(b".goodgate-part")) {
            if !planned.iter().any(|(id, _, temp)| *id == dest.id && *temp == file.relpath) {
                let text = format!("\"{}\" in \"{}\" is an unfinished file that this job does not know; it was left alone", file.relpath, dest.name);
                progress.event(Event::Note(&text));
            }
        }
    }
}

/// Reads the head and tail of each clip's files on a proven copy: is the recording whole?
fn check_headers(catalog: &mut Catalog, job: &Job, dests: &[Destination]) -> Result<(), IngestError> {
    let mut unchecked: BTreeSet<RelPath> = BTreeSet::new();
    for clip in catalog.clips(job.card)? {
        unchecked.extend(clip.files.iter().map(|(p, _)| p.clone()));
    }
    let now = Timestamp::now();
    for dest in dests {
        for row in catalog.copies(dest.id)? {
            if row.state != CopyState::Proven || !unchecked.remove(&row.relpath) {
                continue;
            }
            let Ok(mut file) = dest.base.open_file(&dest.place(&row.relpath)) else {
                unchecked.insert(row.relpath);
                continue;
            };
            if let Some(warning) = card::complete::check(&mut file, &row.relpath, row.size_bytes.unwrap_or(0)) {
                catalog.raise_warning(job.card, &warning, now)?;
            }
        }
    }
    Ok(())
}

/// Seals each destination that holds every file proven, and lays our evidence beside it.
fn seal(
    station: &Station,
    catalog: &mut Catalog,
    job: &Job,
    dests: &[Destination],
    listing: &Listing,
    progress: &dyn Progress,
) -> Result<Option<(Hold, String)>, IngestError> {
    let mut fault = None;
    let records: BTreeMap<RelPath, _> = catalog.file_records(job.card)?.into_iter().map(|r| (r.file.relpath.clone(), r)).collect();
    let creator = creator(station);
    for dest in dests {
        let rows = catalog.copies(dest.id)?;
        let mut entries = Vec::new();
        for row in rows.iter().filter(|r| r.state == CopyState::Proven) {
            let digests = records.get(&row.relpath).and_then(|r| r.digests.clone());
            if let (Some(proof), Some(digests)) = (standing_proof(dest, row), digests) {
                entries.extend(SealEntry::proven(&digests, &proof, SealAction::Original));
            }
        }
        if entries.len() < listing.files.len() {
            let missing = listing.files.len() - entries.len();
            let why = rows.iter().find(|r| r.state != CopyState::Proven).and_then(|r| r.note.clone()).unwrap_or_default();
            let note = format!("\"{}\": {missing} of {} files are not proven there: {why}", dest.name, listing.files.len());
            let hold = match rows.iter().any(|r| r.state == CopyState::Conflict) {
                true => Hold::Conflict,
                false => Hold::DestinationFailed,
            };
            catalog.set_root_step(dest.id, Step::Offload.name(), Some((hold.name(), &note)))?;
            fault = fault.or(Some((hold, note)));
            continue;
        }
        let sealed = seal_one(catalog, job, dest, entries, listing, &creator, &station.config);
        match sealed {
            Ok(()) => catalog.set_root_step(dest.id, Step::Done.name(), None)?,
            Err(e) => {
                let note = format!("cannot seal \"{}\": {e}", dest.name);
                progress.event(Event::Note(&note));
                catalog.log(job.card, Some(job.id), &note, Timestamp::now())?;
                catalog.set_root_step(dest.id, Step::Seal.name(), Some((Hold::DestinationFailed.name(), &note)))?;
                fault = fault.or(Some((Hold::DestinationFailed, note)));
            }
        }
    }
    Ok(fault)
}

fn creator(station: &Station) -> Creator {
    let config::Mhl { author, location, comment, .. } = station.config.mhl.clone();
    Creator {
        hostname: station.hostname.clone(),
        tool: "goodgate".into(),
        tool_version: station.version.into(),
        author: author.map(|name| mhl::Author { name, ..mhl::Author::default() }),
        location,
        comment,
    }
}

fn seal_one(
    catalog: &mut Catalog,
    job: &Job,
    dest: &Destination,
    mut entries: Vec<SealEntry>,
    listing: &Listing,
    creator: &Creator,
    config: &Config,
) -> Result<(), String> {
    let root = dest.base.sub_root(&dest.folder).map_err(|e| e.to_string())?;
    let history = History::read(&root).map_err(|e| e.to_string())?;
    // What an earlier generation holds is not listed again: an offload that adds no file writes none.
    let whole = history.is_none();
    if let Some(history) = &history {
        entries.retain(|e| e.relpath().as_portable().is_some() && !history.records.contains_key(e.relpath()));
        let known = catalog.generations(dest.id).map_err(|e| e.to_string())?;
        for generation in history.generations.iter().filter(|g| !known.contains(g)) {
            catalog.add_generation(dest.id, generation, Timestamp::now()).map_err(|e| e.to_string())?;
        }
    }
    if whole || !entries.is_empty() {
        let request = SealRequest {
            root: &root,
            entries: &entries,
            folders: &listing.folders,
            process: Process::Transfer,
            whole,
            creator,
            ignore: &config.mhl.ignore,
            started_at: job.started_at,
        };
        let generation = mhl::seal(&request).map_err(|e| e.to_string())?;
        lay_evidence(catalog, job, dest, generation.number).map_err(|e| e.to_string())?;
        catalog.add_generation(dest.id, &generation, Timestamp::now()).map_err(|e| e.to_string())?;
    } else if let Some(last) = history.and_then(|h| h.generations.last().cloned()) {
        lay_evidence(catalog, job, dest, last.number).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Our own record beside the manifest: BLAKE3 and block digests, from which the catalog could be rebuilt.
fn lay_evidence(catalog: &Catalog, job: &Job, dest: &Destination, generation: u32) -> Result<(), IngestError> {
    use crate::digest::hex;
    let relpath = RelPath::new(format!(".goodgate/evidence/{}-{generation:04}.jsonl", dest.folder)).map_err(|e| IngestError::Internal(e.to_string()))?;
    let at = |source| IngestError::Write { path: relpath.under(dest.base.path()), source };
    if dest.base.stat(&relpath).map_err(at)?.is_some() {
        return Ok(());
    }
    let card = catalog.card(job.card)?;
    let head = serde_json::json!({
        "goodgate": "evidence", "card": job.card, "roll": card.as_ref().map(|c| &c.roll),
        "source": card.as_ref().map(|c| &c.source_path), "generation": generation, "sealed_at": Timestamp::now().to_string(),
    });
    let mut text = format!("{head}\n");
    for r in catalog.file_records(job.card)? {
        let Some(d) = r.digests else { continue };
        let line = serde_json::json!({
            "path": r.file.relpath, "path_hex": r.file.relpath.hex_if_escaped(), "size": r.file.size_bytes,
            "mtime_ns": r.file.mtime_ns, "blake3": hex(&d.blake3), "blocks": hex(&r.blocks.to_bytes()),
        });
        text.push_str(&format!("{line}\n"));
    }
    write_whole(&dest.base, &relpath, text.as_bytes(), Replace::Never).map_err(at)
}
