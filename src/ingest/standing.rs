//! Fresh observations + evidence -> verdict, for CLI, daemon and web alike.

use super::{IngestError, Station};
use crate::catalog::{CardRow, Catalog, CopyRootRow, CopyRow};
use crate::clip::{CardId, SourceKind};
use crate::copy::{CopyState, ReadBack};
use crate::disk::{Root, facts, list};
use crate::evidence::{Evidence, Presence};
use crate::finding::Finding;
use crate::ingest::backups;
use crate::ingest::places::{Known, compare};
use crate::ingest::register::footage_only;
use crate::job::Step;
use crate::mhl::Brought;
use crate::relpath::RelPath;
use crate::verdict;
use jiff::Timestamp;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A card with its verdict of this moment.
#[derive(Debug)]
pub struct Standing {
    pub report: CardReport,
    /// The words for a terminal.
    pub line: String,
}

/// The card object of `offload`, `register` and `status`.
#[derive(Debug, Serialize)]
pub struct CardReport {
    pub card: String,
    pub roll: String,
    /// `card` or `folder`.
    pub source_kind: &'static str,
    /// A folder that was registered where it lies: never safe.
    pub registered: bool,
    pub source: String,
    pub layout: String,
    pub files: u64,
    pub bytes: u64,
    pub clips: usize,
    pub safe: bool,
    pub as_of: String,
    pub card_present: bool,
    pub policy: String,
    pub reasons: Vec<String>,
    pub warnings: Vec<WarningReport>,
    pub skipped: Vec<RelPath>,
    pub copies: Vec<CopyReport>,
    pub findings: Vec<Finding>,
    /// `offload`, `seal`, ... while a job is open.
    pub step: Option<String>,
    pub hold: Option<String>,
    /// Why proxies or pictures of this run wait; the verdict does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct WarningReport {
    pub id: String,
    pub text: String,
    pub accepted: bool,
    pub note: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct CopyReport {
    pub destination: String,
    pub path: String,
    pub files: u64,
    pub verified: u64,
    pub read_back: ReadBack,
    pub disk: String,
    pub present: bool,
    pub sealed: bool,
    pub note: Option<String>,
}

/// Looks at whatever is reachable now, records what was seen, and judges.
pub fn standing(station: &Station, catalog: &mut Catalog, card: CardId) -> Result<Standing, IngestError> {
    let now = Timestamp::now();
    let row = catalog.card(card)?.ok_or_else(|| IngestError::Internal(format!("no card {card}")))?;
    let card_presence = see_card(station, catalog, card, now)?;
    let roots = catalog.copy_roots(card)?;
    let mut seen = Vec::new();
    for root in &roots {
        let (presence, path) = see_copy(catalog, root, now)?;
        if let Some(destination) = path.as_deref().and_then(Path::parent) {
            backups::notice(catalog, destination, now)?;
        }
        seen.push((presence, path));
    }
    let mut e: Evidence = catalog.evidence(card)?;
    e.card.presence = card_presence;
    let fs_type = catalog.volume_row(row.volume)?.fs_type;
    e.card.only_cached = (facts::read_back_class(&fs_type) == ReadBack::Cache).then_some(fs_type);
    let of_card = lies_on_card(catalog, &row)?;
    for root in &mut e.copy_roots {
        if let Some(i) = roots.iter().position(|r| r.id == root.id) {
            root.presence = seen[i].0.clone();
            root.on_card = of_card && roots[i].volume == row.volume;
        }
    }
    let job = catalog.open_job(card)?;
    e.open_job = job.as_ref().is_some_and(|j| matches!(j.step, Step::Settle | Step::Offload | Step::Seal));
    e.hold =
        job.as_ref().and_then(|j| Some(format!("{}: {}", j.hold?.text(), j.hold_note.clone().unwrap_or_default())));
    let verdict = verdict::judge(&station.config.policy, &e, now);
    let copies = verdict.copies().iter().zip(&e.copy_roots).filter_map(|(copy, root)| {
        let i = roots.iter().position(|r| r.id == root.id)?;
        let (presence, path) = &seen[i];
        Some(CopyReport {
            destination: root.destination.clone(),
            path: path.as_ref().map_or_else(|| roots[i].path.clone(), |p| p.display().to_string()),
            files: copy.files,
            verified: copy.verified,
            read_back: copy.read_back.unwrap_or(ReadBack::Cache),
            disk: root.disk.text.clone(),
            present: matches!(presence, Presence::AsRecorded { here_now: true, .. } | Presence::Differs { .. }),
            sealed: root.sealed,
            note: roots[i].hold_note.clone(),
        })
    });
    let registered = row.source_kind == SourceKind::Registered;
    let report = CardReport {
        card: card.to_string(),
        roll: row.roll.clone(),
        source_kind: if registered { SourceKind::Folder.name() } else { row.source_kind.name() },
        registered,
        source: row.source_path.clone(),
        layout: row.layout.clone(),
        files: row.files,
        bytes: row.bytes,
        clips: catalog.clips(card)?.len(),
        safe: verdict.safe(),
        as_of: verdict.as_of().to_string(),
        card_present: verdict.card_present(),
        policy: verdict.policy_text().to_owned(),
        reasons: verdict.reasons().to_vec(),
        warnings: e.warnings.iter().map(warning_report).collect(),
        skipped: e.skipped.clone(),
        copies: copies.collect(),
        findings: e.findings.clone(),
        step: job.as_ref().map(|j| j.step.name().to_owned()),
        hold: e.hold.clone(),
        unfinished: None,
    };
    Ok(Standing { line: verdict.line().to_owned(), report })
}

/// A card, or a folder on one: what lies on that volume goes when it is formatted.
fn lies_on_card(catalog: &Catalog, card: &CardRow) -> Result<bool, IngestError> {
    match card.source_kind {
        SourceKind::Card => return Ok(true),
        SourceKind::Registered => return Ok(false),
        SourceKind::Folder => {}
    }
    let was_card = |c: &CardRow| c.source_kind == SourceKind::Card && c.volume == card.volume;
    let root = mounted(&catalog.volume_row(card.volume)?.key, &RelPath::root());
    let is_card = root.and_then(|root| facts::of(&root).ok()).is_some_and(|facts| facts.removable);
    Ok(is_card || catalog.cards()?.iter().any(was_card))
}

fn warning_report(w: &crate::evidence::WarningEvidence) -> WarningReport {
    WarningReport {
        id: w.warning.id.clone(),
        text: w.warning.text.clone(),
        accepted: w.accepted.is_some(),
        note: w.accepted.clone(),
    }
}

/// The card, if its volume is mounted and its folder there; else what was last seen of it.
fn see_card(station: &Station, catalog: &mut Catalog, card: CardId, now: Timestamp) -> Result<Presence, IngestError> {
    let row = catalog.card(card)?.ok_or_else(|| IngestError::Internal(format!("no card {card}")))?;
    let volume = catalog.volume_row(row.volume)?;
    let gone = match (row.seen_at, row.seen_as_recorded) {
        (Some(at), true) => Presence::AsRecorded { at, here_now: false },
        (Some(at), false) => Presence::Differs { at, what: row.seen_note.clone().into_iter().collect() },
        (None, _) => Presence::Never,
    };
    let Some(path) = mounted(&volume.key, &row.root) else { return Ok(gone) };
    if !path.is_dir() {
        return Ok(gone);
    }
    let mut recorded = catalog.listing(card)?;
    let registered = row.source_kind == SourceKind::Registered;
    let (same, what) = match list::list(&path, &station.config.litter) {
        Ok(mut listing) if registered => {
            footage_only(&mut listing);
            // Times are judged by the proof of each file, which may be newer than the listing.
            recorded.files.iter_mut().chain(&mut listing.files).for_each(|f| f.mtime_ns = 0);
            let changes = recorded.changes(&listing);
            let what =
                changes.iter().take(3).map(|p| format!("\"{p}\" is not as it was registered")).collect::<Vec<_>>();
            (changes.is_empty(), what)
        }
        Ok(mut listing) => {
            if let Ok(folder) = Root::open(&path) {
                Brought::of(&folder, &listing).leave_out(&mut listing);
            }
            if compare(&recorded, &listing) == Known::Another {
                // Another card in the same slot: this one is gone, not changed.
                return Ok(gone);
            }
            let changes = recorded.changes(&listing);
            let what = changes.iter().take(3).map(|p| format!("\"{p}\" is not as it was copied")).collect::<Vec<_>>();
            (changes.is_empty(), what)
        }
        Err(e) => (false, vec![e.to_string()]),
    };
    catalog.card_seen(card, now, same, what.first().map(String::as_str))?;
    Ok(match same {
        true => Presence::AsRecorded { at: now, here_now: true },
        false => Presence::Differs { at: now, what },
    })
}

fn mounted(key: &str, place: &RelPath) -> Option<PathBuf> {
    facts::find_mounted(key, place).ok().flatten()
}

/// A copy's folder: every proven file still has the size and time that it was proven with, and the chain is there.
fn see_copy(
    catalog: &mut Catalog,
    root: &CopyRootRow,
    now: Timestamp,
) -> Result<(Presence, Option<PathBuf>), IngestError> {
    let volume = catalog.volume_row(root.volume)?;
    let gone = match (root.seen_at, root.seen_as_recorded) {
        (Some(at), true) => Presence::AsRecorded { at, here_now: false },
        (Some(at), false) => Presence::Differs { at, what: root.seen_note.clone().into_iter().collect() },
        (None, _) => Presence::Never,
    };
    let Some(path) = mounted(&volume.key, &root.root) else { return Ok((gone, None)) };
    let what = differences(catalog, root, &path)?;
    catalog.copy_root_seen(root.id, now, what.is_empty(), what.first().map(String::as_str))?;
    let presence = match what.is_empty() {
        true => Presence::AsRecorded { at: now, here_now: true },
        false => Presence::Differs { at: now, what },
    };
    Ok((presence, Some(path)))
}

fn differences(catalog: &Catalog, root: &CopyRootRow, path: &Path) -> Result<Vec<String>, IngestError> {
    let folder = match Root::open(path) {
        Ok(folder) => folder,
        Err(e) => return Ok(vec![format!("\"{}\": {e}", path.display())]),
    };
    let mut what = Vec::new();
    let retired = catalog.retired_copies(root.id)?;
    let counts = |r: &CopyRow| r.state == CopyState::Proven && !retired.contains(&r.relpath);
    for row in catalog.copies(root.id)?.into_iter().filter(counts) {
        let why = match folder.stat(&row.relpath) {
            Ok(Some(s)) if !s.is_file => "is no longer a file",
            // It is continued on the copy; its manifests hold it to account.
            Ok(Some(_)) if crate::mhl::is_chain(&row.relpath) => continue,
            Ok(Some(s)) if Some(s.size_bytes) != row.size_bytes => "has another size than when it was proven",
            Ok(Some(s)) if Some(s.mtime_ns) != row.mtime_ns => "was written to after it was proven",
            Ok(Some(_)) => continue,
            Ok(None) => "is missing",
            Err(_) => "cannot be looked at",
        };
        what.push(format!("\"{}\" {why}", row.relpath));
    }
    if root.sealed {
        let chain = RelPath::new(format!("{}/ascmhl_chain.xml", crate::mhl::FOLDER)).unwrap_or_default();
        if !matches!(folder.stat(&chain), Ok(Some(s)) if s.is_file) {
            what.push("its manifest chain is missing".into());
        }
    }
    Ok(what)
}
