//! The end of an offload: are the recordings whole, the manifest, and our evidence beside it.

use super::copying::{accepted_there, standing_proof};
use super::places::{INDEX_BYTES, Source};
use super::targets::{PROXY_FOLDER, ignored, in_proxy_folder};
use super::{IngestError, Job, Station, brought};
use crate::card::{self, Regrouped, Takes};
use crate::catalog::{Catalog, ClipRow, CopyRow};
use crate::clip::{Clip, ClipId, Warning};
use crate::config::{self, Config};
use crate::copy::{CopyState, Generation};
use crate::digest::{HashFormat, hex};
use crate::disk::Root;
use crate::disk::write::{Replace, write_whole};
use crate::hash::digest_of;
use crate::job::{Hold, Step};
use crate::mhl::{self, Creator, History, HistoryFault, Process, SealRequest};
use crate::offload::Destination;
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use crate::sidecar;
use crate::verify::{SealAction, SealEntry};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Reads the head and tail of each clip's files on a proven copy: is the recording whole, which files are one take, and
/// is all there that the card's own indexes name?
pub(super) fn check_headers(catalog: &mut Catalog, job: &Job, dests: &[Destination]) -> Result<(), IngestError> {
    let clips = catalog.clips(job.card)?;
    let mut unchecked: BTreeSet<RelPath> = clips.iter().flat_map(|c| c.files.iter().map(|(p, _)| p.clone())).collect();
    let now = Timestamp::now();
    let mut takes = Takes::default();
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
            if Takes::wants(&row.relpath) {
                takes.hear(&row.relpath, &sidecar::of_file(&mut file, &row.relpath));
            }
        }
    }
    regroup(catalog, job, clips, &takes)?;
    // With a file unchecked, nobody knows what it would have said.
    if unchecked.is_empty() {
        compare_again(catalog, job, dests, takes.incomplete())?;
    }
    Ok(())
}

/// What the headers say is one recording, or is not.
fn regroup(catalog: &mut Catalog, job: &Job, rows: Vec<ClipRow>, takes: &Takes) -> Result<(), IngestError> {
    let ids: Vec<ClipId> = rows.iter().map(|row| row.id).collect();
    let clip = |row: ClipRow| Clip { name: row.name, layout: row.layout, files: row.files, said: row.said };
    let clips: Vec<Clip> = rows.into_iter().map(clip).collect();
    for Regrouped { from, into } in takes.regroup(&clips) {
        let old: Vec<ClipId> = from.iter().map(|n| ids[*n]).collect();
        let names: Vec<&str> = into.iter().map(|c| c.name.as_str()).collect();
        let text = match catalog.regroup(job.card, &old, &into, Timestamp::now())? {
            true => {
                format!("by the headers of their files {} clips are {}: {}", old.len(), into.len(), names.join(", "))
            }
            false => format!("somebody has marked clips that by their headers are others: {}", names.join(", ")),
        };
        catalog.log(job.card, Some(job.id), &text, Timestamp::now())?;
    }
    Ok(())
}

/// The card's indexes once more, as the proven copies hold them, against all files that the card is known to have: a
/// gap that was filled since is none any more.
fn compare_again(
    catalog: &mut Catalog,
    job: &Job,
    dests: &[Destination],
    more: Vec<Warning>,
) -> Result<(), IngestError> {
    let mut all_read = true;
    let card = card::recognise(catalog.listing(job.card)?, &mut |index| {
        let read = |dest: &Destination| dest.base.read_small(&dest.place(index), INDEX_BYTES).ok();
        dests.iter().find_map(read).ok_or_else(|| {
            all_read = false;
            std::io::ErrorKind::NotFound.into()
        })
    });
    if !all_read {
        return Ok(());
    }
    let gaps: Vec<Warning> = card.gaps.into_iter().chain(more).collect();
    let now = Timestamp::now();
    for old in catalog.warnings(job.card)? {
        if card::is_gap(&old.warning.id) && gaps.iter().all(|gap| gap.id != old.warning.id) {
            catalog.drop_warning(job.card, &old.warning.id)?;
        }
    }
    for gap in &gaps {
        catalog.raise_warning(job.card, gap, now)?;
    }
    Ok(())
}

/// Seals each destination that holds every file proven, and lays our evidence beside it.
pub(super) fn seal(
    station: &Station,
    catalog: &mut Catalog,
    job: &Job,
    dests: &[Destination],
    source: &Source,
    progress: &dyn Progress,
) -> Result<Option<(Hold, String)>, IngestError> {
    let mut fault = None;
    let listing = &source.card.listing;
    let records: BTreeMap<RelPath, _> =
        catalog.file_records(job.card)?.into_iter().map(|r| (r.file.relpath.clone(), r)).collect();
    let read = records.iter().filter_map(|(p, r)| Some((p.clone(), r.digests.clone()?))).collect();
    brought::compare(catalog, job, source, &read)?;
    let creator = creator(station);
    for dest in dests {
        if let Err(e) = brought::keep_apart(source, dest) {
            let note = format!("cannot keep the card's own history apart in \"{}\": {e}", dest.name);
            progress.event(Event::Note(&note));
            catalog.set_root_step(dest.id, Step::Seal.name(), Some((Hold::DestinationFailed.name(), &note)))?;
            fault = fault.or(Some((Hold::DestinationFailed, note)));
            continue;
        }
        let rows = catalog.copies(dest.id)?;
        let mut entries = Vec::new();
        for row in rows.iter().filter(|r| r.state == CopyState::Proven) {
            // What the card gives differently each time is proven of one reading only: no manifest may hold it.
            let digests = records.get(&row.relpath).filter(|r| !r.unstable).and_then(|r| r.digests.clone());
            if let (Some(proof), Some(digests)) = (standing_proof(dest, row), digests) {
                entries.extend(SealEntry::proven(&digests, &proof, SealAction::Original));
            }
        }
        let chains = rows.iter().filter(|r| r.state == CopyState::Proven && mhl::is_chain(&r.relpath)).count();
        entries.retain(|e| !mhl::is_chain(e.relpath()));
        let accepted = accepted_there(catalog, dest)?;
        let is_left = |r: &&CopyRow| r.state != CopyState::Proven && accepted.contains(&r.relpath);
        let accounted = entries.len() + chains + rows.iter().filter(is_left).count();
        if accounted < listing.files.len() {
            let missing = listing.files.len() - accounted;
            let why = rows.iter().filter(|r| r.state != CopyState::Proven).find_map(|r| r.note.as_deref());
            let unsteady = || records.values().any(|r| r.unstable).then_some("the card's readings do not agree");
            let why = why.or_else(unsteady);
            let why = why.map(|w| format!(": {w}")).unwrap_or_default();
            let note =
                format!("\"{}\": {missing} of {} files are not proven there{why}", dest.name, listing.files.len());
            let hold = match rows.iter().any(|r| r.state == CopyState::Conflict) {
                true => Hold::Conflict,
                false => Hold::DestinationFailed,
            };
            catalog.set_root_step(dest.id, Step::Offload.name(), Some((hold.name(), &note)))?;
            fault = fault.or(Some((hold, note)));
            continue;
        }
        let sealed = seal_one(catalog, job, dest, entries, source, &creator, &station.config);
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

/// What this station writes of itself into manifests.
pub fn creator(station: &Station) -> Creator {
    let config::Mhl { author: named, author_email, author_phone, author_role, location, comment, .. } =
        station.config.mhl.clone();
    let author = |name| mhl::Author { name, email: author_email, phone: author_phone, role: author_role };
    Creator {
        hostname: station.hostname.clone(),
        tool: "goodgate".into(),
        tool_version: station.version.into(),
        author: named.map(author),
        location,
        comment,
    }
}

fn seal_one(
    catalog: &mut Catalog,
    job: &Job,
    dest: &Destination,
    mut entries: Vec<SealEntry>,
    source: &Source,
    creator: &Creator,
    config: &Config,
) -> Result<(), String> {
    let root = dest.base.sub_root(&dest.folder).map_err(|e| e.to_string())?;
    let mut known = catalog.generations(dest.id).map_err(|e| e.to_string())?;
    let history = match History::read(&root) {
        // A kill or a full disk between our first manifest and its chain: that seal is made again.
        Err(HistoryFault::ChainMissing { .. }) if known.is_empty() => None,
        other => other.map_err(|e| e.to_string())?,
    };
    if history.is_none() && !known.is_empty() {
        for old in std::mem::take(&mut known) {
            let text = format!(
                "\"{}\": the history is gone, a new one begins; it held {} with {}",
                dest.name,
                old.manifest,
                old.c4.text()
            );
            catalog.log(job.card, Some(job.id), &text, Timestamp::now()).map_err(|e| e.to_string())?;
        }
        catalog.forget_generations(dest.id).map_err(|e| e.to_string())?;
    }
    // The first seal lists every file, also onto a history that the card brought. Later ones list what is new: an
    // offload that adds no file writes no generation.
    let whole = known.is_empty();
    if let Some(history) = history.filter(|_| !whole) {
        let never = |p: &RelPath| p.as_portable().is_none() || history.ignores(p, false) || is_manifest(p);
        // Sealed after a wrong reading of the card: a manifest cannot take that back.
        let differs = |e: &&SealEntry| {
            let known = history.records.get(e.relpath());
            known.is_some_and(|k| e.digests().iter().any(|d| k.get(d.format).is_some_and(|old| old != d)))
        };
        if let Some(e) = entries.iter().find(differs) {
            return Err(format!(
                "its history lists other bytes for \"{}\"; move the folder \"{}\" away, and a new history begins",
                e.relpath(),
                mhl::FOLDER
            ));
        }
        let own =
            entries.iter().filter(|e| in_proxy_folder(e.relpath()) && history.ignores(e.relpath(), false)).count();
        if own > 0 {
            // The card got such folders after a seal that left them to ours.
            let text = format!(
                "\"{}\": {own} files of the card in folders \"{PROXY_FOLDER}\" are proven and in no manifest: its first \
                 one leaves such folders out",
                dest.name
            );
            catalog.log(job.card, Some(job.id), &text, Timestamp::now()).map_err(|e| e.to_string())?;
        }
        entries.retain(|e| !never(e.relpath()) && !history.records.contains_key(e.relpath()));
        for generation in history.generations.iter().filter(|g| !known.contains(g)) {
            lay_evidence(catalog, job, dest, generation.number).map_err(|e| e.to_string())?;
            keep_manifest(&dest.base, &dest.folder, generation).map_err(|e| e.to_string())?;
            catalog.add_generation(dest.id, generation, Timestamp::now()).map_err(|e| e.to_string())?;
        }
    }
    let generation = match whole || !entries.is_empty() {
        true => {
            let is_kept = |f: &&RelPath| source.brought.is_continued(f);
            let listing = &source.card.listing;
            let folders: Vec<RelPath> = listing.folders.iter().filter(is_kept).cloned().collect();
            let request = SealRequest {
                root: &root,
                entries: &entries,
                folders: &folders,
                folder_times: &BTreeMap::new(),
                renames: &BTreeMap::new(),
                process: Process::Transfer,
                whole,
                creator,
                ignore: &ignored(config, listing.files.iter().map(|f| &f.relpath)),
                started_at: job.started_at,
                may_fail: true,
                resume: true,
            };
            mhl::seal(&request).map_err(|e| e.to_string())?
        }
        // Sealed already: say so again, should an addition have been found sealed by an earlier run.
        false => match known.into_iter().next_back() {
            Some(last) => last,
            None => return Ok(()),
        },
    };
    lay_evidence(catalog, job, dest, generation.number).map_err(|e| e.to_string())?;
    keep_manifest(&dest.base, &dest.folder, &generation).map_err(|e| e.to_string())?;
    catalog.add_generation(dest.id, &generation, Timestamp::now()).map_err(|e| e.to_string())
}

/// Where a manifest is kept a second time: no other destination has the same bytes, and without these a damaged one could
/// not be made whole. `roll` is the roll's folder; its parent is the destination.
pub(crate) fn kept_manifest(roll: &RelPath, generation: u32) -> RelPath {
    let place = RelPath::new(".goodgate/evidence").unwrap_or_default();
    let name = [roll.name(), format!("-{generation:04}.mhl").as_bytes()].concat();
    roll.parent().join_rel(&place).join(name).unwrap_or_default()
}

/// Keeps the manifest of a generation that was just sealed. What another tool sealed, or cannot be read, is not kept.
pub(crate) fn keep_manifest(root: &Root, roll: &RelPath, generation: &Generation) -> std::io::Result<()> {
    let to = kept_manifest(roll, generation.number);
    // Only a destination has such a folder; what was registered lies where it pleases.
    if roll.is_root() || root.stat(&to.parent().parent())?.is_none() {
        return Ok(());
    }
    let read = |place: &RelPath| root.read_small(place, mhl::LIMIT_BYTES);
    let holds = |bytes: &Vec<u8>| digest_of(HashFormat::C4, bytes) == generation.c4;
    match read(&roll.join_rel(&generation.manifest)) {
        Ok(bytes) if holds(&bytes) && !read(&to).is_ok_and(|kept| holds(&kept)) => {
            write_whole(root, &to, &bytes, Replace::Ours)
        }
        _ => Ok(()),
    }
}

/// Part of a history that the card brought: no manifest lists it.
fn is_manifest(relpath: &RelPath) -> bool {
    relpath.parent().segments().any(|s| s == mhl::FOLDER.as_bytes())
}

/// Our own record beside the manifest: BLAKE3 and block digests, from which the catalog could be rebuilt.
fn lay_evidence(catalog: &Catalog, job: &Job, dest: &Destination, generation: u32) -> Result<(), IngestError> {
    let relpath = RelPath::new(format!(".goodgate/evidence/{}-{generation:04}.jsonl", dest.folder))
        .map_err(|e| IngestError::Internal(e.to_string()))?;
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
