//! One card, dump to catalog, step by step. The only code that joins the rooms.
//!
//! `ingest`: see the card -> plan or refuse -> write down the intent -> copy and prove -> list again -> check headers
//! -> seal -> verdict -> metadata and proxies. Each step is idempotent: the same command again continues.
//! `register` does the same for footage that lies in its place already, without the copy.

mod adopt;
mod backups;
mod brought;
mod copying;
mod derive;
mod describe;
pub mod looks;
mod notices;
mod parts;
mod places;
mod rebuild;
mod recorder;
mod register;
mod rig;
mod sealing;
mod seeing;
mod standing;
mod takes;
mod targets;

pub use backups::{back_up, newest_backup};
pub use notices::tell;
pub use rebuild::{FoundCopy, NotRebuilt, RebuildReport, find_copies, rebuild};
pub use register::{Register, register};
pub use rig::{Health, Point, doctor};
pub use sealing::creator;
pub(crate) use sealing::{keep_manifest, kept_manifest};
pub use seeing::{PlanDestination, PlanReport, dry_run};
pub use standing::{CardReport, CopyReport, Standing, WarningReport, standing};

use crate::catalog::{Catalog, CatalogError, NewCard, NewCopyRoot};
use crate::clip::{CardId, CopyRootId, JobId, SourceKind};
use crate::config::{self, Config};
use crate::disk::facts;
use crate::disk::list::ListError;
use crate::disk::lock::{self, Lock};
use crate::evidence::Relaxed;
use crate::job::{Hold, Step};
use crate::mhl::MhlError;
use crate::offload::{self, Destination, plan};
use crate::progress::{CannotRecord, Event, Progress};
use crate::relpath::RelPath;
use jiff::Timestamp;
use places::{Known, Source};
use seeing::{Planned, note_rotation, see};
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
    #[error("cannot open the folder \"{path}\": {source}")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("\"{path}\" is not registered: {why}")]
    NoPlace { path: PathBuf, why: String },
    #[error("the list \"{path}\" cannot be read: {why}")]
    Legacy { path: RelPath, why: String },
    #[error(transparent)]
    History(#[from] MhlError),
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
            Self::Refused(r)
                if r.iter().any(|r| matches!(r, plan::Refusal::Space { .. } | plan::Refusal::Inodes { .. })) =>
            {
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
    if let Some(job) = without_card(catalog, request)? {
        let standing = standing(station, catalog, job.card)?;
        return finish(station, catalog, request.no_media, &job, standing, progress);
    }
    let (planned, _job_lock, device_locks) = loop {
        let seen = go(see(station, catalog, request, false)?)?;
        let job_lock = job_lock(station, &seen.source)?;
        let Some(locks) = device_locks(station, lock_names(&seen), progress)? else {
            return Err(IngestError::Stopped);
        };
        // Whoever held them before may have taken the roll's folder or the space: only a look under the locks counts.
        let planned = go(see(station, catalog, request, false)?)?;
        if lock_names(&planned) == lock_names(&seen) {
            break (planned, job_lock, locks);
        }
    };
    let job = write_down(catalog, request, &planned, progress)?;
    let standing = offload_and_seal(station, catalog, request, &planned, &job, progress);
    if let Err(e) = &standing {
        catalog.log(job.card, Some(job.id), &format!("ended early: {e}"), Timestamp::now())?;
        if let Some(hold) = e.hold() {
            step_to(catalog, &job, Step::Offload, Some((hold, e.to_string())))?;
        }
    }
    let standing = standing?;
    // The card may go and the next one may have the disks; what follows reads one copy at its leisure.
    drop((planned, device_locks));
    finish(station, catalog, request.no_media, &job, standing, progress)
}

/// Metadata and proxies, then the end of the job.
fn finish(
    station: &Station,
    catalog: &mut Catalog,
    no_media: bool,
    job: &Job,
    mut standing: Standing,
    progress: &dyn Progress,
) -> Result<Standing, IngestError> {
    let proxies = !no_media && station.config.media.enabled;
    let free = catalog.open_job(job.card)?.is_some_and(|j| j.hold.is_none());
    let mut laid = None;
    if let Some(mut room) = describe::Room::enter(station, catalog, job.card, proxies, progress)? {
        if !room.clips.is_empty() {
            // What the verdict rests on must not wait for the end of the proxies.
            laid = back_up(station, catalog, job.card, None, progress);
        }
        room.describe(catalog, progress)?;
        if free {
            step_to(catalog, job, Step::Derive, None)?;
        }
        match room.derive(catalog, progress) {
            // The card object is owed all the same; the open job goes on when there is a place to write to.
            Err(e @ IngestError::Write { .. }) => standing.report.unfinished = Some(format!("proxies wait: {e}")),
            other => other?,
        }
    }
    if standing.report.unfinished.is_some() {
        standing.report.step = Some(Step::Derive.name().to_owned());
    } else if free && !progress.stop_asked() {
        catalog.finish_job(job.id, Timestamp::now())?;
        standing.report.step = None;
    }
    back_up(station, catalog, job.card, laid.as_ref(), progress);
    Ok(standing)
}

/// The card's open job, when only metadata and proxies are left of it: they need a copy, and not the card.
fn without_card(catalog: &Catalog, request: &Request) -> Result<Option<Job>, IngestError> {
    let same = |json: &str| serde_json::from_str::<Request>(json).is_ok_and(|r| r.card == request.card);
    let left = |step| matches!(step, Step::Describe | Step::Derive);
    let job = catalog.jobs()?.into_iter().find(|j| j.done_at.is_none() && left(j.step) && same(&j.request));
    Ok(job.filter(|_| !request.card.exists()).map(|j| Job {
        id: j.id,
        card: j.card,
        started_at: j.started_at,
        roots: Vec::new(),
        lost: Vec::new(),
    }))
}

fn go(planned: Planned) -> Result<Planned, IngestError> {
    match planned.refusals.is_empty() {
        true => Ok(planned),
        false => Err(IngestError::Refused(planned.refusals)),
    }
}

/// Moves the card's job to a step, with or without a hold.
fn step_to(catalog: &mut Catalog, job: &Job, to: Step, hold: Option<(Hold, String)>) -> Result<(), IngestError> {
    let now = catalog.open_job(job.card)?.map_or(to, |j| j.step);
    Ok(catalog.advance(job.id, now, to, hold, None, Timestamp::now())?)
}

/// A job with what it was started on.
struct Job {
    id: JobId,
    card: CardId,
    started_at: Timestamp,
    roots: Vec<CopyRootId>,
    /// Destinations that could not be written to before the first byte; the others are served.
    lost: Vec<offload::Dead>,
}

fn job_lock(station: &Station, source: &Source) -> Result<Lock, IngestError> {
    let name = card_lock_name(&source.facts.volume_key, &source.facts.place);
    let at = |source| IngestError::Lock { path: station.locks(), source };
    lock::try_lock(&station.locks(), &name)
        .map_err(at)?
        .ok_or_else(|| IngestError::Busy(format!("the card \"{}\"", source.root.path().display())))
}

/// One lock a device, in one order everywhere, so that two cards to the same disks take turns. `None`: told to stop.
fn device_locks(
    station: &Station,
    names: BTreeSet<String>,
    progress: &dyn Progress,
) -> Result<Option<Vec<Lock>>, IngestError> {
    let at = |source| IngestError::Lock { path: station.locks(), source };
    let mut held = Vec::new();
    for name in names {
        if let Some(lock) = lock::try_lock(&station.locks(), &name).map_err(at)? {
            held.push(lock);
            continue;
        }
        progress.event(Event::Note(&format!(
            "waiting: another offload or a check uses {}",
            name.trim_start_matches("device ")
        )));
        match lock::wait_lock(&station.locks(), &name, || progress.stop_asked()).map_err(at)? {
            Some(lock) => held.push(lock),
            None => return Ok(None),
        }
    }
    Ok(Some(held))
}

/// One work at a time on what came from a card.
pub(crate) fn card_lock_name(volume_key: &str, place: &RelPath) -> String {
    format!("card {volume_key} {place}")
}

fn lock_names(planned: &Planned) -> BTreeSet<String> {
    planned.places.iter().map(|p| device_lock_name(&p.facts)).collect()
}

/// Shared by offload and patrol: one lane a physical disk.
pub(crate) fn device_lock_name(facts: &facts::Facts) -> String {
    format!("device {}", facts.disk.id.as_deref().unwrap_or(&facts.volume_key))
}

/// How many files are read at once from the device: many where no head must move.
pub fn lanes(config: &Config, facts: &facts::Facts) -> usize {
    match kind(config, facts) {
        facts::DeviceKind::Flash => config.verify.flash_lanes.max(1) as usize,
        _ => 1,
    }
}

/// What the kernel says of the device below, or the rule of the config that knows better.
fn kind(config: &Config, facts: &facts::Facts) -> facts::DeviceKind {
    let mut names = vec![facts.mount.point.display().to_string(), facts.mount.source.display().to_string()];
    names.extend(facts.block_names());
    // `serial:MODEL:SERIAL`
    names.extend(facts.disk.id.iter().flat_map(|id| id.rsplit(':').next()).map(String::from));
    match config.devices.iter().find(|rule| rule.matches(names.iter().map(String::as_str))) {
        Some(rule) if rule.kind == config::DeviceKind::Flash => facts::DeviceKind::Flash,
        Some(_) => facts::DeviceKind::Spinning,
        None => facts.kind,
    }
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
                layout: source.card.layout().to_owned(),
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
        let note = format!(
            "a folder \"{}\" is already there: this card becomes {}",
            asked.cloned().unwrap_or_default(),
            p.roll
        );
        progress.event(Event::Note(&note));
        catalog.log(card, None, &note, now)?;
    }
    if source.kind == SourceKind::Card && !source.facts.mount.read_only {
        let note = format!(
            "the card is mounted read-write at \"{}\"; nothing was written to it",
            source.facts.mount.point.display()
        );
        progress.event(Event::Note(&note));
        catalog.log(card, None, &note, now)?;
    }
    for note in &source.card.notes {
        let note = format!("on the card: {note}");
        progress.event(Event::Note(&note));
        catalog.log(card, None, &note, now)?;
    }
    let same_device = request.allow_same_device;
    catalog.set_relaxed(card, Relaxed { same_device, accept_server: false, no_source_reread: false })?;
    for warning in &p.warnings {
        catalog.raise_warning(card, warning, now)?;
    }
    note_rotation(catalog, &p.places, progress)?;
    let (mut roots, mut lost) = (Vec::new(), Vec::new());
    for (i, (place, folder)) in p.places.iter().zip(&p.folders).enumerate() {
        // Before the first proof, which would be doubted with the older ones.
        backups::notice(catalog, place.base.path(), now)?;
        if let Err(e) = places::mark(place) {
            lost.push(offload::Dead::new(i, &place.name, &e));
        }
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
    // Absolute: the daemon may continue it from another folder.
    let to = request.to.iter().map(|d| std::path::absolute(d).unwrap_or_else(|_| d.clone())).collect();
    let kept = Request { card: source.root.path().to_path_buf(), to, ..request.clone() };
    let id = catalog.start_job(card, &serde_json::to_string(&kept).unwrap_or_default(), now)?;
    let started_at = catalog.open_job(card)?.map_or(now, |j| j.started_at);
    Ok(Job { id, card, started_at, roots, lost })
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
    let (dests, devices) = destinations(station, p, job)?;
    let copy = copying::Copy { station, request, p, job, dests: &dests, devices: &devices };
    let mut copied = copy.copy_card(catalog, progress)?;
    if copied.again {
        copied = copy.copy_card(catalog, progress)?;
    }
    sealing::check_headers(catalog, job, &dests)?;
    step_to(catalog, job, Step::Seal, None)?;
    progress.event(Event::Step { roll: &p.roll, step: Step::Seal.name() });
    let mut unsealed = sealing::seal(station, catalog, job, &dests, &p.source, progress)?;
    if !copied.behind.is_empty() {
        step_to(catalog, job, Step::Offload, None)?;
        let unfilled = copy.fill(catalog, &copied.behind, progress)?;
        copied.hold = copied.hold.or(unfilled);
        if p.source.card.listing.files.iter().any(|f| crate::mhl::is_chain(&f.relpath)) {
            // The card's own chain has grown on the copy: it comes from the card alone.
            copied.hold = copied.hold.or(copy.copy_card(catalog, progress)?.hold);
        }
        step_to(catalog, job, Step::Seal, None)?;
        unsealed = sealing::seal(station, catalog, job, &dests, &p.source, progress)?;
    }
    match copied.hold.or(unsealed) {
        Some((hold, note)) => step_to(catalog, job, Step::Offload, Some((hold, note)))?,
        None => step_to(catalog, job, Step::Describe, None)?,
    }
    let standing = standing(station, catalog, job.card)?;
    catalog.log(job.card, Some(job.id), &standing.line, Timestamp::now())?;
    progress.event(Event::Verdict { roll: &p.roll, safe: standing.report.safe, text: &standing.line });
    Ok(standing)
}

/// The destinations with the devices below them; the card's own device is the first.
fn destinations(
    station: &Station,
    p: &Planned,
    job: &Job,
) -> Result<(Vec<Destination>, Vec<offload::Device>), IngestError> {
    let mut names = vec![device_lock_name(&p.source.facts)];
    let mut devices = vec![device(&station.config, &p.source.facts)];
    let mut dests = Vec::new();
    for ((place, folder), id) in p.places.iter().zip(&p.folders).zip(&job.roots) {
        let at = |source| IngestError::Write { path: place.base.path().to_path_buf(), source };
        let name = device_lock_name(&place.facts);
        let device = names.iter().position(|n| *n == name).unwrap_or_else(|| {
            names.push(name);
            devices.push(device(&station.config, &place.facts));
            devices.len() - 1
        });
        dests.push(Destination {
            id: *id,
            base: place.base.try_clone().map_err(at)?,
            folder: RelPath::new(folder).map_err(|e| IngestError::Roll(e.to_string()))?,
            fs_type: place.facts.mount.fs_type.clone(),
            name: place.name.clone(),
            device,
            grouped: facts::may_group(&place.facts.mount.fs_type),
        });
    }
    Ok((dests, devices))
}

fn device(config: &Config, facts: &facts::Facts) -> offload::Device {
    offload::Device { lanes: lanes(config, facts), seeks: kind(config, facts) == facts::DeviceKind::Spinning }
}
