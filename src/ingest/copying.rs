//! The copy step: what is left to do, the offload itself, and a second look at the card's listing.

use super::places::Source;
use super::recorder::recording;
use super::{IngestError, Job, Planned, Request, Station};
use crate::catalog::{Catalog, CopyRow};
use crate::clip::{CopyRootId, Warning};
use crate::config::{Config, VerifyDepth};
use crate::copy::{CopyState, FileRecord, OF_UNSTABLE_READ, ReadBack};
use crate::digest::HashFormat;
use crate::disk::kmsg::KernelLog;
use crate::disk::list;
use crate::disk::write::remove;
use crate::finding::{Finding, FindingKind};
use crate::job::{Hold, Step};
use crate::mhl;
use crate::offload::{self, Destination, OffloadError, Options, Task};
use crate::progress::{Event, Intent, Progress};
use crate::relpath::RelPath;
use crate::verify::VerifiedFile;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What a copy works with, from the card and from a proven copy alike.
pub(super) struct Copy<'a> {
    pub station: &'a Station,
    pub request: &'a Request,
    pub p: &'a Planned,
    pub job: &'a Job,
    pub dests: &'a [Destination],
    pub devices: &'a [offload::Device],
}

/// What the copy step left undone.
pub(super) struct Copied {
    pub hold: Option<(Hold, String)>,
    /// Destinations (by index) to be filled from a proven copy.
    pub behind: Vec<usize>,
    /// There is more to copy than was known at first.
    pub again: bool,
}

impl Copy<'_> {
    /// Copy and prove what has no standing proof, read the card a second time, list it again.
    pub(super) fn copy_card(&self, catalog: &mut Catalog, progress: &dyn Progress) -> Result<Copied, IngestError> {
        let Copy { station, request, p, job, dests, .. } = *self;
        forget_old_faults(catalog, job, &p.source)?;
        set_aside_wrong(catalog, job, dests, progress)?;
        let Todo { tasks, from_device, gone, .. } = todo(catalog, request, p, job, dests)?;
        let planned: Vec<_> = tasks
            .iter()
            .flat_map(|t| t.todo.iter().map(|(d, temp)| (dests[*d].id, t.file.relpath.clone(), temp.clone())))
            .collect();
        remove_old_temps(catalog, job, dests, &tasks)?;
        let is_gone = |(root, relpath, _): &&(CopyRootId, RelPath, RelPath)| gone.contains(&(*root, relpath.clone()));
        catalog.plan_copies(job.id, &planned)?;
        catalog.replan(job.id, &planned.iter().filter(is_gone).cloned().collect::<Vec<_>>())?;
        let mut lost = job.lost.clone();
        for (i, dest) in dests.iter().enumerate() {
            let make = || {
                let folders = p.source.card.listing.folders.iter().map(|f| dest.place(f));
                std::iter::once(dest.folder.clone()).chain(folders).try_for_each(|f| dest.base.make_dir(&f))
            };
            // Folders of an earlier run may be there and not durable.
            if let Err(e) = make().or_else(|_| make()).and_then(|()| dest.base.sync_fs()) {
                lost.push(offload::Dead::new(i, &dest.name, &e));
            }
        }
        report_foreign_parts(dests, &planned, progress);
        let card = offload::Source {
            root: p
                .source
                .root
                .try_clone()
                .map_err(|source| IngestError::Card { path: request.card.clone(), source })?,
            fs_type: p.source.facts.mount.fs_type.clone(),
            device: 0,
            copy_of: None,
        };
        let clocks = (std::time::Instant::now(), Timestamp::now());
        let kernel = KernelLog::open();
        let outcome = self.offload(catalog, &card, tasks, &from_device, &lost, progress)?;
        let now = Timestamp::now();
        let passed = now.duration_since(clocks.1).as_secs() - clocks.0.elapsed().as_secs() as i64;
        if passed.abs() > 60 {
            let text =
                format!("the station's clock jumped by {passed} s during the copy: times in the records are doubtful");
            catalog.raise_event(job.card, &Warning { id: "clock".into(), text }, now)?;
        }
        self.hear_kernel(catalog, kernel, now)?;
        let mut again = list::list(p.source.root.path(), &station.config.litter)?;
        p.source.brought.leave_out(&mut again);
        let changes = p.source.card.listing.changes(&again);
        for relpath in &changes {
            let note = "the card's listing changed while it was copied";
            let finding = Finding::new(FindingKind::Unstable, p.source.root.path(), relpath, note);
            progress.event(Event::Finding(&finding));
            catalog.apply(job.card, &[Intent::Found { copy: None, finding }], now)?;
        }
        catalog.set_listed_twice(job.card, changes.is_empty())?;
        catalog.card_seen(job.card, now, changes.is_empty(), None)?;
        let changed = changes
            .first()
            .map(|first| (Hold::SourceChanged, format!("{} entries changed, first \"{first}\"", changes.len())));
        Ok(Copied { hold: changed.or(hold(&outcome)), behind: outcome.behind, again: outcome.replaced })
    }

    /// What the kernel told of the devices of this card and its copies is a warning, whatever became of it.
    fn hear_kernel(
        &self,
        catalog: &mut Catalog,
        kernel: std::io::Result<KernelLog>,
        now: Timestamp,
    ) -> Result<(), IngestError> {
        let card = self.job.card;
        let mut kernel = match kernel {
            Ok(kernel) => kernel,
            Err(e) => {
                let text = format!("the kernel's log cannot be read ({e}): disk errors told only there are not seen");
                return Ok(catalog.log(card, Some(self.job.id), &text, now)?);
            }
        };
        let mut devices: Vec<String> = self.p.source.facts.block_names();
        devices.extend(self.p.places.iter().flat_map(|place| place.facts.block_names()));
        for (device, line) in kernel.errors(&devices) {
            let text = format!("the kernel reported an error of {device} during the copy: {line}");
            catalog.raise_event(card, &Warning { id: format!("kernel:{device}"), text }, now)?;
        }
        Ok(())
    }

    /// Fills the destinations that were left behind from the one that holds most.
    pub(super) fn fill(
        &self,
        catalog: &mut Catalog,
        behind: &[usize],
        progress: &dyn Progress,
    ) -> Result<Option<(Hold, String)>, IngestError> {
        let Copy { request, p, job, dests, .. } = *self;
        let todo = todo(catalog, request, p, job, dests)?;
        let alive = (0..dests.len()).filter(|d| !behind.contains(d) && job.lost.iter().all(|lost| lost.dest != *d));
        let Some(from) = alive.max_by_key(|d| todo.proven[*d].len()) else { return Ok(None) };
        let held = &todo.proven[from];
        let from = &dests[from];
        progress.event(Event::Note(&format!("filling what was left behind from \"{}\"", from.name)));
        let here = |source| IngestError::Write { path: from.folder.under(from.base.path()), source };
        let copy = offload::Source {
            root: from.base.sub_root(&from.folder).map_err(here)?,
            fs_type: from.fs_type.clone(),
            device: from.device,
            copy_of: Some(from.id),
        };
        let mine = |t: Task| Task { todo: t.todo.into_iter().filter(|(d, _)| behind.contains(d)).collect(), ..t };
        // A chain has grown on the copy, and what the card gives differently each time has no copy to go by.
        let good = |t: &Task| {
            held.contains(&t.file.relpath)
                && !t.todo.is_empty()
                && t.known.is_some()
                && !t.unstable
                && !mhl::is_chain(&t.file.relpath)
        };
        let tasks = todo.tasks.into_iter().map(mine).filter(good).collect();
        let outcome = self.offload(catalog, &copy, tasks, &todo.from_device, &job.lost, progress)?;
        let again = outcome.behind.first().map(|d| {
            (Hold::DestinationFailed, format!("\"{}\" was too slow again, and is not filled", dests[*d].name))
        });
        Ok(hold(&outcome).or(again))
    }

    fn offload(
        &self,
        catalog: &mut Catalog,
        source: &offload::Source,
        tasks: Vec<Task>,
        proven: &[usize],
        lost: &[offload::Dead],
        progress: &dyn Progress,
    ) -> Result<offload::Outcome, IngestError> {
        let Copy { station, request, p, job, dests, devices } = *self;
        let formats = formats(&station.config, &request.formats, &p.source);
        let bytes: u64 = tasks.iter().map(|t| t.file.size_bytes).sum();
        progress.event(Event::Step { roll: &p.roll, step: Step::Offload.name() });
        progress.event(Event::Begin { what: "copying", roll: &p.roll, files: tasks.len() as u64, bytes });
        let options = Options {
            formats: &formats,
            source_reread: !request.no_source_reread && station.config.offload.verify == VerifyDepth::Full,
            job: job.id,
            lost,
            devices,
            small_below_bytes: station.config.offload.small_below_bytes,
            detach_after: station.config.offload.detach_after,
            stalled_after: station.config.offload.stalled_after,
            proven_before: proven,
            files: p.source.card.listing.files.len(),
        };
        let done = recording(catalog, job.card, progress, |progress| {
            offload::offload(source, tasks, dests, &options, progress)
        });
        done.map_err(|e| match e {
            OffloadError::Stopped => IngestError::Stopped,
            OffloadError::CannotRecord(e) => e.into(),
            OffloadError::CardGone { path, source: e } if source.copy_of.is_some() => {
                IngestError::Write { path: path.into(), source: e }
            }
            OffloadError::CardGone { source, .. } => IngestError::Card { path: request.card.clone(), source },
        })
    }
}

/// Why the job waits for a person after this.
fn hold(outcome: &offload::Outcome) -> Option<(Hold, String)> {
    if let Some(first) = &outcome.unsettled {
        return Some((Hold::SourceChanged, format!("\"{first}\" reads differently each time")));
    }
    if outcome.unread > 0 {
        let files = if outcome.unread == 1 { "file" } else { "files" };
        return Some((Hold::SourceUnreadable, format!("{} {files} could not be read", outcome.unread)));
    }
    if let Some(why) = &outcome.mismatched {
        return Some((Hold::Mismatch, why.clone()));
    }
    let dead = outcome.dead.first()?;
    Some((if dead.full { Hold::DiskFull } else { Hold::DestinationFailed }, dead.why.clone()))
}

/// Copies of ours that were made from a wrong reading of the card lose their names, for the right ones.
fn set_aside_wrong(
    catalog: &mut Catalog,
    job: &Job,
    dests: &[Destination],
    progress: &dyn Progress,
) -> Result<(), IngestError> {
    for dest in dests {
        for row in catalog.copies(dest.id)? {
            let wrong = row.state == CopyState::Failed && row.note.as_deref() == Some(OF_UNSTABLE_READ);
            let place = dest.place(&row.relpath);
            let Some(stat) = dest.base.stat(&place).ok().flatten().filter(|_| wrong && row.row_intact) else {
                continue;
            };
            if (Some(stat.size_bytes), Some(stat.mtime_ns)) != (row.size_bytes, row.mtime_ns) {
                continue;
            }
            let at = |source| IngestError::Write { path: place.under(dest.base.path()), source };
            let kept = offload::set_aside(dest, &place, &row.relpath).map_err(at)?;
            let text = format!(
                "\"{}\" on \"{}\" was copied from a wrong reading of the card; it is kept in \"{kept}\"",
                row.relpath, dest.name
            );
            progress.event(Event::Note(&text));
            catalog.log(job.card, Some(job.id), &text, Timestamp::now())?;
        }
    }
    Ok(())
}

/// Temps of an earlier run that never got their name: ours by their intent row. Large ones of this same job stay, to be
/// compared and continued.
fn remove_old_temps(catalog: &Catalog, job: &Job, dests: &[Destination], tasks: &[Task]) -> Result<(), IngestError> {
    let large = tasks.iter().filter(|t| t.file.size_bytes >= offload::RESUMED_FROM_BYTES);
    let resumed: BTreeSet<(CopyRootId, &RelPath)> =
        large.flat_map(|t| t.todo.iter().map(|(d, temp)| (dests[*d].id, temp))).collect();
    for (root, _, temp) in catalog.planned_temps(job.card)? {
        if let Some(dest) = dests.iter().find(|d| d.id == root && !resumed.contains(&(root, &temp))) {
            let _ = remove(&dest.base, &dest.place(&temp));
        }
    }
    Ok(())
}

/// What an earlier run saw wrong with the card itself is looked at again by this one.
fn forget_old_faults(catalog: &mut Catalog, job: &Job, source: &Source) -> Result<(), IngestError> {
    let here = Finding::new(FindingKind::Unstable, source.root.path(), &RelPath::root(), "").copy;
    for finding in catalog.open_findings(job.card)?.into_iter().filter(|f| f.copy == here) {
        catalog.clear_card_findings(job.card, &finding.relpath, Timestamp::now())?;
    }
    Ok(())
}

/// The manifest's formats: XXH64, those of the config, those asked for, and those of histories that the card brings:
/// a history is continued in a format that it has.
fn formats(config: &Config, asked: &[String], source: &Source) -> Vec<HashFormat> {
    let mut out = config.hash.clone();
    out.push(HashFormat::Xxh64);
    out.extend(source.brought.formats());
    out.extend(asked.iter().filter_map(|f| HashFormat::from_name(f)).filter(|f| *f != HashFormat::Blake3));
    out.sort();
    out.dedup();
    out
}

struct Todo {
    tasks: Vec<Task>,
    /// Of each destination, the files that it holds proven by this job, and how many of them from the device.
    proven: Vec<BTreeSet<RelPath>>,
    from_device: Vec<usize>,
    /// Proven once, and no longer there.
    gone: BTreeSet<(CopyRootId, RelPath)>,
}

/// What is left to do for each file: destinations without a standing proof of this job, and the card's own reads.
fn todo(
    catalog: &Catalog,
    request: &Request,
    p: &Planned,
    job: &Job,
    dests: &[Destination],
) -> Result<Todo, IngestError> {
    let (mut proven, mut from_device, mut gone) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut accepted = Vec::new();
    for dest in dests {
        accepted.push(accepted_there(catalog, dest)?);
        let (mut done, mut strong) = (BTreeSet::new(), 0);
        for row in catalog.copies(dest.id)? {
            let chain = mhl::is_chain(&row.relpath);
            let ours = chain || (row.job == job.id && !request.rehash);
            if row.state != CopyState::Proven {
                continue;
            }
            if !ours {
                if dest.base.stat(&dest.place(&row.relpath)).is_ok_and(|stat| stat.is_none()) {
                    gone.insert((dest.id, row.relpath));
                }
                continue;
            }
            // A chain is evidence of the card alone: on the copy it has grown since.
            let stat = dest.base.stat(&dest.place(&row.relpath)).ok().flatten();
            if stat.is_none() {
                gone.insert((dest.id, row.relpath));
            } else if chain || row.proof(stat).is_some() {
                strong += usize::from(row.read_back >= Some(ReadBack::Device));
                done.insert(row.relpath);
            }
        }
        proven.push(done);
        from_device.push(strong);
    }
    let records: BTreeMap<RelPath, _> =
        catalog.file_records(job.card)?.into_iter().map(|r| (r.file.relpath.clone(), r)).collect();
    let short = &job.id.0.simple().to_string()[20..];
    let mut tasks = Vec::new();
    for (n, file) in p.source.card.listing.files.iter().enumerate() {
        let row = records.get(&file.relpath);
        let temp = file.relpath.parent().join(format!(".{short}.{n}.goodgate-part"));
        let temp = temp.map_err(|e| IngestError::Internal(e.to_string()))?;
        let todo =
            (0..dests.len()).filter(|d| !proven[*d].contains(&file.relpath) && !accepted[*d].contains(&file.relpath));
        let todo: Vec<_> = todo.map(|d| (d, temp.clone())).collect();
        let known = row.filter(|r| r.row_intact).and_then(|r| {
            let digests = r.digests.clone()?;
            Some(FileRecord { file: file.clone(), digests, blocks: r.blocks.clone() })
        });
        let unstable = row.is_some_and(|r| r.unstable);
        let equal_reads = if known.is_some() { row.map_or(0, |r| r.equal_reads) } else { 0 };
        if !todo.is_empty() || known.is_none() || equal_reads < 2 || unstable {
            tasks.push(Task { file: file.clone(), todo, known, equal_reads, unstable });
        }
    }
    Ok(Todo { tasks, proven, from_device, gone })
}

/// Files of other bytes than the card's that a person accepted: they are left alone, whatever they are now.
pub(super) fn accepted_there(catalog: &Catalog, dest: &Destination) -> Result<BTreeSet<RelPath>, IngestError> {
    let accepted = catalog.accepted_copies(dest.id)?.into_iter().map(|a| a.relpath);
    Ok(accepted.filter(|p| dest.base.stat(&dest.place(p)).is_ok_and(|stat| stat.is_some())).collect())
}

pub(super) fn standing_proof(dest: &Destination, row: &CopyRow) -> Option<VerifiedFile> {
    row.proof(dest.base.stat(&dest.place(&row.relpath)).ok().flatten())
}

/// Temps that no intent of ours names are reported and left alone; those of a history are its next seal's.
fn report_foreign_parts(dests: &[Destination], planned: &[(CopyRootId, RelPath, RelPath)], progress: &dyn Progress) {
    for dest in dests {
        let history = RelPath::new(mhl::FOLDER).unwrap_or_default();
        let parts = list::unfinished(&dest.folder.under(dest.base.path()));
        for part in parts.into_iter().filter(|p| p.parent() != history) {
            if !planned.iter().any(|(id, _, temp)| *id == dest.id && *temp == part) {
                let text = format!(
                    "\"{part}\" in \"{}\" is an unfinished file that this job does not know; it was left alone",
                    dest.name
                );
                progress.event(Event::Note(&text));
            }
        }
    }
}
