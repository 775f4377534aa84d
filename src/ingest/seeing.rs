//! Everything before the first byte: what the card is, where it goes, and every reason why not.

use super::places::{self, Known, Place, Source};
use super::{IngestError, Request, Station};
use crate::card;
use crate::catalog::Catalog;
use crate::clip::{CardId, Clip, Listing, Role, SourceKind, Warning};
use crate::disk::{Root, facts};
use crate::job::{Hold, Step};
use crate::offload::plan;
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a `--dry-run` shows.
#[derive(Debug, Serialize)]
pub struct PlanReport {
    pub roll: String,
    pub source_kind: SourceKind,
    pub layout: String,
    /// All that were seen on the card, `layout` first.
    pub layouts: Vec<String>,
    pub files: usize,
    pub bytes: u64,
    pub clips: usize,
    pub clip_list: Vec<PlanClip>,
    pub known: Option<String>,
    pub warnings: Vec<Warning>,
    /// What was seen on the card and blocks nothing.
    pub notes: Vec<String>,
    pub destinations: Vec<PlanDestination>,
    pub refusals: Vec<String>,
}

/// One recording as its names show it. A sequence has thousands of frames: they are counted.
#[derive(Debug, Serialize)]
pub struct PlanClip {
    pub name: String,
    pub layout: String,
    pub first: RelPath,
    pub last: RelPath,
    /// Files that follow each other, or tracks.
    pub essence: usize,
    pub audio: usize,
    pub sidecars: usize,
    pub proxies: usize,
    pub thumbs: usize,
    /// What names, folders and the card's index say: `scene` -> `12A`.
    pub said: BTreeMap<&'static str, Vec<String>>,
}

impl PlanClip {
    fn of(clip: &Clip) -> Self {
        let count = |role: Role| clip.files.iter().filter(|(_, r)| *r == role).count();
        let mut said: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for s in &clip.said {
            said.entry(s.fact.field.name()).or_default().push(s.fact.value.clone());
        }
        PlanClip {
            name: clip.name.clone(),
            layout: clip.layout.clone(),
            first: clip.essence().next().cloned().unwrap_or_default(),
            last: clip.essence().last().cloned().unwrap_or_default(),
            essence: count(Role::Essence),
            audio: count(Role::Audio),
            sidecars: count(Role::Sidecar),
            proxies: count(Role::Proxy),
            thumbs: count(Role::Thumb),
            said,
        }
    }
}

#[derive(Debug, Serialize)]
pub struct PlanDestination {
    pub destination: String,
    pub disk: String,
    pub read_back: crate::copy::ReadBack,
    pub free_bytes: u64,
    /// How many more cards of this size fit after this one.
    pub cards_left: u64,
    /// Card files whose names are in the roll's folder there already. A guess by size and samples of the bytes: the
    /// offload itself reads both whole.
    pub there_already: usize,
    /// Of these, the ones that look different.
    pub there_differing: usize,
}

/// Everything known before the first byte.
pub(super) struct Planned {
    pub(super) source: Source,
    pub(super) places: Vec<Place>,
    /// The roll's folder at each place.
    pub(super) folders: Vec<String>,
    pub(super) roll: String,
    pub(super) known: Option<CardId>,
    pub(super) warnings: Vec<Warning>,
    pub(super) refusals: Vec<plan::Refusal>,
}

/// Looks at the card and its destinations and says what an offload would do. Writes nothing but destination folders
/// that are allowed to be made, and not even those when `dry`.
pub(super) fn see(
    station: &Station,
    catalog: &mut Catalog,
    request: &Request,
    dry: bool,
) -> Result<Planned, IngestError> {
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
        Some((id, Known::Same { .. })) => Some(id),
        _ => None,
    };
    let recorded = match known {
        Some(id) => catalog.card(id)?.map(|c| c.roll),
        None => None,
    };
    let roll = recorded.or(request.roll.clone()).or(source.roll.clone()).ok_or_else(|| {
        IngestError::Roll("neither the folder nor the volume has a usable one; say it with --roll".into())
    })?;
    let wanted = places::wanted(station, request, &source.card, &roll)?;
    let misplaced = misplaced(source.root.path(), &wanted);
    if !misplaced.is_empty() {
        return Err(IngestError::Refused(misplaced));
    }
    let mut places = Vec::new();
    for path in &wanted {
        let make = match (dry, request.to.is_empty()) {
            (true, _) => places::Make::Nothing,
            (false, true) => places::Make::Folders,
            (false, false) => places::Make::Last,
        };
        places.push(places::open(catalog, path, make)?);
    }
    let card_id = known;
    rotated(catalog, card_id, &places)?;
    let folders = match card_id {
        None => vec![places::folder(catalog, None, &roll, &places)?; places.len()],
        Some(_) => {
            let one = |p: &Place| places::folder(catalog, card_id, &roll, std::slice::from_ref(p));
            places.iter().map(one).collect::<Result<_, _>>()?
        }
    };
    let roll = if card_id.is_some() { roll } else { folders.first().cloned().unwrap_or(roll) };
    let used = (source.kind == SourceKind::Card)
        .then_some(card::UsedSpace { used_bytes: source.facts.used_bytes, cluster_bytes: source.facts.cluster_bytes });
    let mut warnings = card::warnings(&source.card, used);
    warnings.extend(source.brought.warnings());
    let mut dests = Vec::new();
    for (place, folder) in places.iter().zip(&folders) {
        dests.push(plan::DestinationFacts {
            name: place.name.clone(),
            path: place.path.clone(),
            fs_type: place.facts.mount.fs_type.clone(),
            read_only: place.facts.mount.read_only,
            free_bytes: place.facts.free_bytes,
            free_inodes: place.facts.free_inodes,
            cluster_bytes: place.facts.cluster_bytes,
            present: present(place, folder, &source.card.listing)?,
        });
    }
    let refusals = plan::refusals(source.root.path(), &source.card.listing, &dests);
    Ok(Planned { source, places, folders, roll, known: card_id, warnings, refusals })
}

/// Drives take turns at one mount point. Another volume at a known path is a new destination, but not in the middle of
/// a job that began on the old one.
fn rotated(catalog: &Catalog, card: Option<CardId>, places: &[Place]) -> Result<(), IngestError> {
    let Some(card) = card else { return Ok(()) };
    let Some(job) = catalog.open_job(card)? else { return Ok(()) };
    let copying = matches!(job.step, Step::Settle | Step::Offload | Step::Seal) && job.hold != Some(Hold::Cancelled);
    for root in catalog.copy_roots(card)?.into_iter().filter(|_| copying) {
        let swapped = |p: &&Place| p.name == root.destination && p.volume != root.volume;
        if places.iter().any(|p| p.volume == root.volume) {
            continue;
        }
        if let Some(place) = places.iter().find(swapped) {
            let old = catalog.volume_row(root.volume)?;
            let why = format!(
                "this offload began there on another volume ({}): mount that one again, or cancel the job",
                old.label.unwrap_or(old.key)
            );
            return Err(IngestError::Destination { path: place.name.clone(), why });
        }
    }
    Ok(())
}

/// The volumes that were at these paths before, for a note.
pub(super) fn note_rotation(catalog: &Catalog, places: &[Place], progress: &dyn Progress) -> Result<(), IngestError> {
    let known = catalog.all_copy_roots()?;
    for place in places {
        let here = known.iter().any(|r| r.destination == place.name && r.volume == place.volume);
        let Some(old) = known.iter().rev().find(|r| r.destination == place.name && !here) else { continue };
        let (old, new) = (catalog.volume_row(old.volume)?, catalog.volume_row(place.volume)?);
        let name = |v: crate::catalog::VolumeRow| v.label.unwrap_or(v.key);
        let text = format!("\"{}\" is a new volume ({}); before it was {}", place.name, name(new), name(old));
        progress.event(Event::Note(&text));
    }
    Ok(())
}

/// Before a folder is made there: a destination may lie neither on the card nor in another destination.
fn misplaced(card: &Path, wanted: &[PathBuf]) -> Vec<plan::Refusal> {
    let text = |p: &Path| p.display().to_string();
    let ends: Vec<_> = wanted.iter().map(|p| resolved(p).unwrap_or_else(|| p.clone())).collect();
    let mut out = Vec::new();
    for (i, end) in ends.iter().enumerate() {
        if end.starts_with(card) {
            out.push(plan::Refusal::InsideCard { dest: text(&wanted[i]), card: text(card) });
        }
        for (j, other) in ends[..i].iter().enumerate().filter(|(_, o)| end.starts_with(o) || o.starts_with(end)) {
            // Both there: the plan says it, beside all other refusals.
            if !(end.is_dir() && other.is_dir()) {
                let (first, second) = (text(&wanted[j]), text(&wanted[i]));
                out.push(plan::Refusal::SameDestination { first, second });
            }
        }
    }
    out
}

/// Where a path leads, also when its end is still to be made.
fn resolved(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    path.ancestors().find_map(|p| Some(p.canonicalize().ok()?.join(path.strip_prefix(p).ok()?)))
}

/// Card files that already have their final name in the roll's folder.
fn present(place: &Place, folder: &str, listing: &Listing) -> Result<Vec<RelPath>, IngestError> {
    let folder = RelPath::new(folder).map_err(|e| IngestError::Roll(e.to_string()))?;
    if !place.exists || place.base.stat(&folder).ok().flatten().is_none() {
        return Ok(Vec::new());
    }
    let there = |f: &&crate::clip::CardFile| place.base.stat(&folder.join_rel(&f.relpath)).ok().flatten().is_some();
    Ok(listing.files.iter().filter(there).map(|f| f.relpath.clone()).collect())
}

/// Same size, and the same bytes at the start, in the middle and at the end.
fn looks_equal(card: &Root, base: &Root, relpath: &RelPath, place: &RelPath) -> bool {
    use std::os::unix::fs::FileExt;
    const SAMPLE_BYTES: u64 = 64 << 10;
    let look = || -> std::io::Result<bool> {
        let (a, b) = (card.open_file(relpath)?, base.open_file(place)?);
        let size = a.metadata()?.len();
        if b.metadata()?.len() != size {
            return Ok(false);
        }
        let len = SAMPLE_BYTES.min(size) as usize;
        let (mut of_a, mut of_b) = (vec![0; len], vec![0; len]);
        for at in [0, (size - len as u64) / 2, size - len as u64] {
            a.read_exact_at(&mut of_a, at)?;
            b.read_exact_at(&mut of_b, at)?;
            if of_a != of_b {
                return Ok(false);
            }
        }
        Ok(true)
    };
    look().unwrap_or(false)
}

/// `offload --dry-run`.
pub fn dry_run(station: &Station, catalog: &mut Catalog, request: &Request) -> Result<PlanReport, IngestError> {
    let p = see(station, catalog, request, true)?;
    let listing = &p.source.card.listing;
    let bytes = listing.bytes();
    let mut destinations = Vec::new();
    for (place, folder) in p.places.iter().zip(&p.folders) {
        let there = present(place, folder, listing)?;
        let folder = RelPath::new(folder).map_err(|e| IngestError::Roll(e.to_string()))?;
        let look = |relpath: &&RelPath| !looks_equal(&p.source.root, &place.base, relpath, &folder.join_rel(relpath));
        // What is there already needs no room again.
        let missing = bytes.saturating_sub(there.iter().filter_map(|r| listing.file(r)).map(|f| f.size_bytes).sum());
        destinations.push(PlanDestination {
            destination: place.name.clone(),
            disk: place.facts.disk.text.clone(),
            read_back: facts::read_back_class(&place.facts.mount.fs_type),
            free_bytes: place.facts.free_bytes,
            cards_left: place.facts.free_bytes.saturating_sub(missing) / bytes.max(1),
            there_already: there.len(),
            there_differing: there.iter().filter(look).count(),
        });
    }
    Ok(PlanReport {
        roll: p.roll,
        source_kind: p.source.kind,
        layout: p.source.card.layout().to_owned(),
        layouts: p.source.card.layouts.clone(),
        files: listing.files.len(),
        bytes,
        clips: p.source.card.clips.len(),
        clip_list: p.source.card.clips.iter().map(PlanClip::of).collect(),
        known: p.known.map(|id| id.to_string()),
        warnings: p.warnings,
        notes: p.source.card.notes,
        destinations,
        refusals: p.refusals.iter().map(ToString::to_string).collect(),
    })
}
