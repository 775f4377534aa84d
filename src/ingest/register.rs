//! Footage that lies in its place already, perhaps filled in by another tool: read once, compared with what its
//! histories and lists say, sealed in place, catalogued, and from then on proven again like any copy.
//!
//! Look -> refuse, or a history that does not hold -> write down card, folder and job -> read, and write down each file
//! -> judge -> seal, when nothing was found -> standing -> metadata and proxies. The same command again continues a run
//! that was cut short, and otherwise reads all of it once more and adds what is new.

mod book;
mod look;

pub(super) use look::footage_only;

use super::backups;
use super::places::{self, volume};
use super::targets::ignored;
use super::{IngestError, Job, Standing, Station};
use super::{creator, device_lock_name, device_locks, finish, lanes, sealing, standing, step_to};
use crate::card;
use crate::catalog::{Catalog, CopyRootRow, NewCard, NewCopyRoot};
use crate::clip::{CardId, CopyRootId, SourceKind};
use crate::digest::HashFormat;
use crate::disk::{list, lock};
use crate::finding::FindingKind;
use crate::job::{Hold, Step};
use crate::mhl::{self, History, HistoryFault, InPlace, Judged, Lists, Lying, MhlError, Reading};
use crate::offload::Destination;
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use book::Book;
use jiff::Timestamp;
use look::{Footage, look};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::PathBuf;

/// One registration as it was asked for; kept with the job. No offload's request reads like it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Register {
    #[serde(rename = "register")]
    pub path: PathBuf,
    pub roll: Option<String>,
    /// Names of manifest formats beside XXH64 and those of the settings.
    pub formats: Vec<String>,
    pub no_media: bool,
    /// The card that the folder is one more copy of.
    #[serde(skip)]
    pub into: Option<CardId>,
}

/// Registers one folder. What its history or a list contradicts is a finding of the standing, and then nothing is sealed;
/// the files that are sound are catalogued all the same.
pub fn register(
    station: &Station,
    catalog: &mut Catalog,
    request: &Register,
    progress: &dyn Progress,
) -> Result<Standing, IngestError> {
    let seen = look(station, catalog, request)?;
    let at = |source| IngestError::Lock { path: station.locks(), source };
    let name = format!("card {} {}", seen.facts.volume_key, seen.facts.place);
    let _job_lock = lock::try_lock(&station.locks(), &name)
        .map_err(at)?
        .ok_or_else(|| IngestError::Busy(format!("the folder \"{}\"", seen.root.path().display())))?;
    let device = BTreeSet::from([device_lock_name(&seen.facts)]);
    let Some(device) = device_locks(station, device, progress)? else { return Err(IngestError::Stopped) };
    // Whoever held the locks before may have added to the folder.
    let footage = look(station, catalog, request)?;
    let registration = Registration::begin(station, catalog, request, footage, progress)?;
    let standing = registration.run(catalog, progress);
    if let Err(e) = &standing {
        let job = &registration.job;
        catalog.log(job.card, Some(job.id), &format!("ended early: {e}"), Timestamp::now())?;
    }
    let standing = standing?;
    drop(device);
    finish(station, catalog, request.no_media, &registration.job, standing, progress)
}

struct Registration<'a> {
    station: &'a Station,
    footage: Footage,
    lists: Lists,
    formats: Vec<HashFormat>,
    ignore: Vec<String>,
    job: Job,
    /// The job was begun by an earlier run.
    resume: bool,
    folder: Destination,
    roll: String,
}

impl<'a> Registration<'a> {
    /// Everything that can be said before a byte of footage is read; then the rows.
    fn begin(
        station: &'a Station,
        catalog: &mut Catalog,
        request: &Register,
        footage: Footage,
        progress: &dyn Progress,
    ) -> Result<Self, IngestError> {
        let now = Timestamp::now();
        let open = match &footage.known {
            Some(card) => catalog.open_job(card.id)?,
            None => None,
        };
        let paths: Vec<RelPath> = footage.card.listing.files.iter().map(|f| f.relpath.clone()).collect();
        let lists = mhl::lists_in(&footage.root, &paths);
        let lists = lists.map_err(|(path, why)| IngestError::Legacy { path, why })?;
        lists.notes.iter().for_each(|note| progress.event(Event::Note(note)));
        let mut formats = station.config.hash.clone();
        formats.push(HashFormat::Xxh64);
        formats.extend(request.formats.iter().filter_map(|f| HashFormat::from_name(f)));
        formats.retain(|f| HashFormat::MHL.contains(f));
        let mut ignore = ignored(&station.config, footage.card.listing.files.iter().map(|f| &f.relpath));
        ignore.extend(footage.card.listing.skipped.iter().map(look::pattern_of));
        let begun = open.as_ref().map_or(now, |job| job.started_at);
        let ask = Ask { station, footage: &footage, lists: &lists, formats: &formats, ignore: &ignore };
        // A history that does not hold ends it here, before any row.
        ask.with(begun, open.is_some(), |_| Ok(()))?;
        let known = footage.known.clone();
        if let Some(row) = &known {
            check_generations(catalog, row.id, &footage)?;
        }
        let job = write_down(catalog, request, &footage, now, progress)?;
        let roll = catalog.card(job.card)?.map(|c| c.roll).unwrap_or_default();
        let base = footage.root.try_clone();
        let folder = Destination {
            id: job.roots[0],
            base: base.map_err(|source| IngestError::Folder { path: footage.root.path().into(), source })?,
            folder: RelPath::root(),
            fs_type: footage.facts.mount.fs_type.clone(),
            name: footage.root.path().display().to_string(),
            device: 0,
            grouped: false,
        };
        Ok(Registration { station, footage, lists, formats, ignore, job, resume: open.is_some(), folder, roll })
    }

    fn run(&self, catalog: &mut Catalog, progress: &dyn Progress) -> Result<Standing, IngestError> {
        let Registration { station, footage, job, .. } = self;
        step_to(catalog, job, Step::Offload, None)?;
        progress.event(Event::Step { roll: &self.roll, step: Step::Offload.name() });
        let ask = Ask { station, footage, lists: &self.lists, formats: &self.formats, ignore: &self.ignore };
        let hold = ask.with(job.started_at, self.resume, |lying| self.read_and_seal(catalog, lying, progress))?;
        let next = if hold.is_some() { Step::Seal } else { Step::Describe };
        step_to(catalog, job, next, hold)?;
        let standing = standing(station, catalog, job.card)?;
        catalog.log(job.card, Some(job.id), &standing.line, Timestamp::now())?;
        progress.event(Event::Verdict { roll: &self.roll, safe: standing.report.safe, text: &standing.line });
        Ok(standing)
    }

    fn read_and_seal(
        &self,
        catalog: &mut Catalog,
        lying: Lying<'_>,
        progress: &dyn Progress,
    ) -> Result<Option<(Hold, String)>, IngestError> {
        let Registration { station, footage, job, folder, .. } = self;
        // What another tool wrote a moment ago may not be on the medium yet.
        let _ = footage.root.sync_fs();
        let mut book = Book::open(catalog, job, folder, footage)?;
        let reading = Reading { fs_type: &footage.facts.mount.fs_type, lanes: lanes(&station.config, &footage.facts) };
        book.read(&lying, &self.formats, reading, progress)?;
        let taken = book.taken()?;
        let all = lying.paths().all(|p| taken.contains_key(p));
        let judged = lying.judge(taken);
        for (path, list) in &self.lists.missing {
            book.found(FindingKind::Missing, path, format!("\"{list}\" lists it"));
        }
        let report = judged.report();
        report.notes.iter().for_each(|note| progress.event(Event::Note(note)));
        report.missing.iter().for_each(|p| book.found(FindingKind::Missing, p, "its history lists it"));
        report.missing_dirs.iter().for_each(|p| book.found(FindingKind::Missing, p, "a folder; its history lists it"));
        report.unreadable.iter().for_each(|p| book.found(FindingKind::Unreadable, p, "a folder"));
        let mut again = list::list(footage.root.path(), &station.config.litter)?;
        footage_only(&mut again);
        let changes = footage.card.listing.changes(&again);
        changes.iter().for_each(|p| book.found(FindingKind::Unstable, p, "it changed while the folder was read"));
        let first = book.close(progress)?;
        catalog.set_listed_twice(job.card, changes.is_empty())?;
        catalog.card_seen(job.card, Timestamp::now(), changes.is_empty(), None)?;
        if let Some(first) = first {
            catalog.set_root_step(folder.id, Step::Seal.name(), Some((Hold::NotAsListed.name(), &first)))?;
            return Ok(Some((Hold::NotAsListed, first)));
        }
        sealing::check_headers(catalog, job, std::slice::from_ref(folder))?;
        step_to(catalog, job, Step::Seal, None)?;
        progress.event(Event::Step { roll: &self.roll, step: Step::Seal.name() });
        let hold = match all {
            true => self.seal(catalog, judged, progress)?,
            false => Some((Hold::NotAsListed, "the folder changed while it was read".to_owned())),
        };
        let noted = hold.as_ref().map(|(hold, note)| (hold.name(), note.as_str()));
        catalog.set_root_step(folder.id, if hold.is_some() { Step::Seal } else { Step::Done }.name(), noted)?;
        Ok(hold)
    }

    /// A generation, unless there is one of ours already and nothing was added since; then what the history holds.
    fn seal(
        &self,
        catalog: &mut Catalog,
        judged: Judged<'_>,
        progress: &dyn Progress,
    ) -> Result<Option<(Hold, String)>, IngestError> {
        let (job, folder, root) = (&self.job, &self.folder, &self.footage.root);
        if !catalog.copy_root_row(folder.id)?.sealed {
            let unsealed = match judged.seal() {
                Ok(report) => {
                    let text = format!("generation {} sealed in place", report.generation);
                    catalog.log(job.card, Some(job.id), &text, Timestamp::now())?;
                    None
                }
                Err(e @ MhlError::NotC4 { .. }) => Some(e.to_string()),
                Err(e @ MhlError::Io { .. }) if is_closed(&e) => Some(e.to_string()),
                Err(e @ MhlError::Io { .. }) => {
                    return Ok(Some((Hold::DestinationFailed, format!("cannot seal \"{}\": {e}", folder.name))));
                }
                Err(e) => return Err(e.into()),
            };
            if let Some(why) = unsealed {
                let note = format!("\"{}\" is catalogued without a manifest of its own: {why}", folder.name);
                progress.event(Event::Note(&note));
                catalog.log(job.card, Some(job.id), &note, Timestamp::now())?;
                return Ok(None);
            }
        }
        let history = History::read(root).map_err(MhlError::from)?;
        let known = catalog.generations(folder.id)?;
        for generation in history.iter().flat_map(|h| &h.generations).filter(|g| !known.contains(g)) {
            catalog.add_generation(folder.id, generation, Timestamp::now())?;
        }
        Ok(None)
    }
}

/// Nobody may write there; that is no fault of the folder's.
fn is_closed(e: &MhlError) -> bool {
    let closed = [ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied];
    matches!(e, MhlError::Io { source, .. } if closed.contains(&source.kind()))
}

/// What the folder is looked at with; the same before the rows and behind them.
struct Ask<'a> {
    station: &'a Station,
    footage: &'a Footage,
    lists: &'a Lists,
    formats: &'a [HashFormat],
    ignore: &'a [String],
}

impl Ask<'_> {
    fn with<T>(
        &self,
        started_at: Timestamp,
        resume: bool,
        work: impl FnOnce(Lying<'_>) -> Result<T, IngestError>,
    ) -> Result<T, IngestError> {
        let facts = &self.footage.facts;
        let request = InPlace {
            root: &self.footage.root,
            reading: Reading { fs_type: &facts.mount.fs_type, lanes: lanes(&self.station.config, facts) },
            formats: self.formats,
            creator: &creator(self.station),
            ignore: self.ignore,
            started_at,
            legacy: &self.lists.lists,
            packing: None,
            all_digests: true,
            resume,
        };
        work(Lying::of(&request)?)
    }
}

/// The history must still be the one that was sealed here; one that is gone as a whole begins anew, and the log says so.
fn check_generations(catalog: &mut Catalog, card: CardId, footage: &Footage) -> Result<(), IngestError> {
    let here = |r: &CopyRootRow| r.volume == footage.volume && r.root == footage.facts.place;
    for root in catalog.copy_roots(card)?.into_iter().filter(here) {
        let known = catalog.generations(root.id)?;
        let Some(last) = known.last() else { continue };
        let Some(history) = History::read(&footage.root).map_err(MhlError::from)? else {
            let text =
                format!("the history is gone, a new one begins; it held {} with {}", last.manifest, last.c4.text());
            catalog.log(card, None, &text, Timestamp::now())?;
            catalog.forget_generations(root.id)?;
            continue;
        };
        if let Some(lost) = known.iter().find(|g| !history.generations.contains(g)) {
            let why = format!("generation {} is not in it as it was sealed here", lost.number);
            let path = lost.manifest.clone();
            return Err(MhlError::from(HistoryFault::ManifestModified { path, why }).into());
        }
    }
    Ok(())
}

/// Card, folder and job, before the first byte is read.
fn write_down(
    catalog: &mut Catalog,
    request: &Register,
    footage: &Footage,
    now: Timestamp,
    progress: &dyn Progress,
) -> Result<Job, IngestError> {
    let path = footage.root.path();
    if let Some(destination) = path.parent() {
        backups::notice(catalog, destination, now)?;
    }
    let card = match &footage.known {
        Some(row) => {
            catalog.extend_card(row.id, &footage.card, now)?;
            catalog.relist_unread(row.id, &footage.card.listing)?;
            row.id
        }
        None => {
            let (roll, taken) = look::free_roll(catalog, &footage.roll)?;
            let new = NewCard {
                roll: roll.clone(),
                source_kind: SourceKind::Registered,
                layout: footage.card.layout().to_owned(),
                volume: footage.volume,
                root: footage.facts.place.clone(),
                source_path: path.display().to_string(),
                disk: footage.facts.disk.clone(),
            };
            let card = catalog.add_card(&new, &footage.card, now)?;
            if taken {
                let note = format!("another card is named {}: this folder becomes {roll}", footage.roll);
                progress.event(Event::Note(&note));
                catalog.log(card, None, &note, now)?;
            }
            card
        }
    };
    for warning in card::warnings(&footage.card, None) {
        catalog.raise_warning(card, &warning, now)?;
    }
    let new = NewCopyRoot {
        volume: footage.volume,
        root: footage.facts.place.clone(),
        destination: path.parent().unwrap_or(path).display().to_string(),
        path: path.display().to_string(),
        disk: footage.facts.disk.clone(),
    };
    let root: CopyRootId = catalog.copy_root(card, &new, now)?;
    let kept = Register { path: path.to_path_buf(), ..request.clone() };
    let id = catalog.start_job(card, &serde_json::to_string(&kept).unwrap_or_default(), now)?;
    let started_at = catalog.open_job(card)?.map_or(now, |j| j.started_at);
    Ok(Job { id, card, started_at, roots: vec![root], lost: Vec::new() })
}
