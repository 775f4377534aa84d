//! The copy step: what is left to do, the offload itself, and a second look at the card's listing.

use super::places::Source;
use super::recorder::recording;
use super::{IngestError, Job, Planned, Request, Station};
use crate::catalog::{Catalog, CopyRow};
use crate::clip::{CopyRootId, Warning};
use crate::config::{Config, VerifyDepth};
use crate::copy::{CopyState, FileRecord};
use crate::digest::HashFormat;
use crate::disk::list;
use crate::finding::{Finding, FindingKind};
use crate::job::{Hold, Step};
use crate::mhl;
use crate::offload::{self, Destination, OffloadError, Options, Task};
use crate::progress::{Event, Intent, Progress};
use crate::relpath::RelPath;
use crate::verify::{ProvenRow, VerifiedFile};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Copy and prove what has no standing proof, read the card a second time, list it again.
pub(super) fn copy(
    station: &Station,
    catalog: &mut Catalog,
    request: &Request,
    p: &Planned,
    job: &Job,
    dests: &[Destination],
    progress: &dyn Progress,
) -> Result<Option<(Hold, String)>, IngestError> {
    forget_old_faults(catalog, job, &p.source)?;
    let formats = formats(&station.config, &request.formats, &p.source);
    let reread = !request.no_source_reread && station.config.offload.verify == VerifyDepth::Full;
    let tasks = tasks(catalog, request, p, job, dests)?;
    let planned: Vec<_> = tasks
        .iter()
        .flat_map(|t| t.todo.iter().map(|(d, temp)| (dests[*d].id, t.file.relpath.clone(), temp.clone())))
        .collect();
    catalog.plan_copies(job.id, &planned)?;
    let mut lost = job.lost.clone();
    for (i, dest) in dests.iter().enumerate() {
        let make = || {
            let folders = p.source.card.listing.folders.iter().map(|f| dest.place(f));
            std::iter::once(dest.folder.clone()).chain(folders).try_for_each(|f| dest.base.make_dir(&f))
        };
        if let Err(e) = make().or_else(|_| make()) {
            lost.push(offload::Dead::new(i, &dest.name, &e));
        }
    }
    report_foreign_parts(dests, &planned, progress);
    let to_read: u64 = tasks.iter().map(|t| t.file.size_bytes).sum();
    progress.event(Event::Step { roll: &p.roll, step: Step::Offload.name() });
    progress.event(Event::Begin { what: "copying", roll: &p.roll, files: tasks.len() as u64, bytes: to_read });
    let card = offload::Source {
        root: p.source.root.try_clone().map_err(|source| IngestError::Card { path: request.card.clone(), source })?,
        fs_type: p.source.facts.mount.fs_type.clone(),
    };
    let options = Options { formats: &formats, source_reread: reread, job: job.id, lost: &lost };
    let clocks = (std::time::Instant::now(), Timestamp::now());
    let outcome =
        recording(catalog, job.card, progress, |progress| offload::offload(&card, tasks, dests, &options, progress));
    let offload::Outcome { dead, unread } = match outcome {
        Ok(outcome) => outcome,
        Err(OffloadError::Stopped) => return Err(IngestError::Stopped),
        Err(OffloadError::CannotRecord(e)) => return Err(e.into()),
        Err(OffloadError::CardGone { source, .. }) => {
            return Err(IngestError::Card { path: request.card.clone(), source });
        }
    };
    let now = Timestamp::now();
    let passed = now.duration_since(clocks.1).as_secs() - clocks.0.elapsed().as_secs() as i64;
    if passed.abs() > 60 {
        let text =
            format!("the station's clock jumped by {passed} s during the copy: times in the records are doubtful");
        catalog.raise_warning(job.card, &Warning { id: "clock".into(), text }, now)?;
    }
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
    if let Some(first) = changes.first() {
        return Ok(Some((Hold::SourceChanged, format!("{} entries changed, first \"{first}\"", changes.len()))));
    }
    if unread > 0 {
        let files = if unread == 1 { "file" } else { "files" };
        return Ok(Some((Hold::SourceUnreadable, format!("{unread} {files} could not be read"))));
    }
    let hold = |d: &offload::Dead| (if d.full { Hold::DiskFull } else { Hold::DestinationFailed }, d.why.clone());
    Ok(dead.first().map(hold))
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

/// What is left to do for each file: destinations without a standing proof of this job, and the card's own reads.
fn tasks(
    catalog: &Catalog,
    request: &Request,
    p: &Planned,
    job: &Job,
    dests: &[Destination],
) -> Result<Vec<Task>, IngestError> {
    let mut proven: Vec<BTreeSet<RelPath>> = Vec::new();
    for dest in dests {
        let mut done = BTreeSet::new();
        for row in catalog.copies(dest.id)? {
            let chain = mhl::is_chain(&row.relpath);
            let ours = chain || (row.job == job.id && !request.rehash);
            if row.state != CopyState::Proven || !ours {
                continue;
            }
            // A chain is evidence of the card alone: on the copy it has grown since.
            let grown = chain && dest.base.stat(&dest.place(&row.relpath)).ok().flatten().is_some();
            if grown || standing_proof(dest, &row).is_some() {
                done.insert(row.relpath);
            }
        }
        proven.push(done);
    }
    let records: BTreeMap<RelPath, _> =
        catalog.file_records(job.card)?.into_iter().map(|r| (r.file.relpath.clone(), r)).collect();
    let short = &job.id.0.simple().to_string()[20..];
    let mut out = Vec::new();
    for (n, file) in p.source.card.listing.files.iter().enumerate() {
        let row = records.get(&file.relpath);
        let temp = file.relpath.parent().join(format!(".{short}.{n}.goodgate-part"));
        let temp = temp.map_err(|e| IngestError::Internal(e.to_string()))?;
        let todo: Vec<_> =
            (0..dests.len()).filter(|d| !proven[*d].contains(&file.relpath)).map(|d| (d, temp.clone())).collect();
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

pub(super) fn standing_proof(dest: &Destination, row: &CopyRow) -> Option<VerifiedFile> {
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
