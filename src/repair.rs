//! Damaged copies made whole: each block from whoever still has it, beside the damaged file, proven, then swapped.
//!
//! `repair` first reads all that was named again, as `verify` does. What is damaged is rebuilt under a temporary name from
//! any mix of copies, this one too: every block is judged by the first read of the card, so two copies that are damaged in
//! different places heal each other. The whole is read back from the device before it takes the name, and a manifest says
//! so. A catalog row that does not hold its checksum is never what anything is judged by.
//!
//! A kill leaves the damaged original or the proven file under the name. In place (`--in-place`) the old blocks lie in a
//! journal until the whole is proven; the same command puts them back and begins again.

mod file;
mod history;
mod journal;
mod report;
mod rows;
mod seal;
mod sources;

pub use report::{From, Planned, RepairReport, Repaired};

use crate::catalog::{Catalog, CatalogError, CopyRootRow, FileRow, Holder, RepairRow};
use crate::clip::{CardId, CopyRootId, SourceKind};
use crate::copy::CopyState;
use crate::disk::facts::Facts;
use crate::disk::lock::{self, Lock};
use crate::disk::{Root, write};
use crate::finding::{Finding, FindingKind};
use crate::ingest::{Station, back_up, card_lock_name, device_lock_name};
use crate::patrol::folder::Folder;
use crate::patrol::scope::{Mounted, Volumes, scope};
use crate::patrol::{self, PatrolError, Target};
use crate::progress::{Event, Progress};
use crate::relpath::{RelPath, escape};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// What to make whole, and how.
#[derive(Clone, Debug, Default)]
pub struct RepairRequest {
    pub what: Vec<Target>,
    /// Only say which blocks would come from where.
    pub dry_run: bool,
    /// Write into the damaged file, with a journal: for disks without room for a second one.
    pub in_place: bool,
    /// Keep what was damaged, under `.goodgate/salvage`.
    pub keep_damaged: bool,
}

/// Reads what was named again and makes whole what is damaged. What cannot be, is in the report.
pub fn repair(
    station: &Station,
    catalog: &mut Catalog,
    request: &RepairRequest,
    progress: &dyn Progress,
) -> Result<RepairReport, PatrolError> {
    let checked = patrol::examine(station, catalog, &request.what, false, progress)?;
    if progress.stop_asked() {
        return Err(PatrolError::Stopped);
    }
    let (mounted, volumes) = (Mounted::now()?, Volumes::of(catalog)?);
    let scope = scope(catalog, &volumes, &mounted, &request.what)?;
    let mut yard = Yard::of(station, catalog, request, (&mounted, &volumes), progress)?;
    for finding in &checked.findings {
        let is_there = matches!(finding.kind, FindingKind::Altered | FindingKind::Extra);
        let named = |f: &&Arc<Folder>| escape(f.path.as_os_str().as_bytes()) == finding.copy;
        if let Some(folder) = yard.folders.values().find(named).filter(|_| is_there) {
            yard.odd.push((folder.clone(), finding.relpath.clone()));
        }
    }
    let mut report = RepairReport { absent: checked.absent, ..RepairReport::default() };
    let mut of_copies = HashSet::new();
    let mut changed = BTreeSet::new();
    for (copy, parts) in &scope.copies {
        let Some(folder) = yard.folders.get(&copy.id) else { continue };
        let name = escape(folder.path.as_os_str().as_bytes()).into_owned();
        let found: Vec<Finding> = checked.findings.iter().filter(|f| f.copy == name).cloned().collect();
        if !request.dry_run {
            for generation in catalog.mend_generations(copy.id, Timestamp::now())? {
                report.repaired.push(Repaired::row(&name, &generation.manifest));
            }
        }
        of_copies.insert(name);
        // What was not looked at now is left as it is.
        let is_asked = |p: &RelPath| parts.iter().any(|part| p.strip_prefix(part).is_some());
        let mut begun = catalog.repairs(copy.id)?;
        begun.retain(|row| is_asked(&row.relpath));
        if begun.is_empty() && found.iter().all(|f| f.kind == FindingKind::Extra) {
            continue;
        }
        let repaired = report.repaired.len();
        let mut bench = Bench::of(&yard, catalog, folder, found, &mut report)?;
        bench.work(begun)?;
        if report.repaired.len() > repaired {
            changed.insert(copy.card);
        }
    }
    for card in changed {
        catalog.end_cured_holds(card, Timestamp::now())?;
        back_up(station, catalog, card, None, progress);
    }
    // What no catalog row speaks of has nothing that its blocks could be judged by.
    let others = checked.findings.into_iter().filter(|f| f.kind != FindingKind::Extra && !of_copies.contains(&f.copy));
    report
        .unrepairable
        .extend(others.map(|f| noted(f, "the catalog knows nothing of it: register the folder it is in")));
    Ok(report)
}

fn noted(mut finding: Finding, why: &str) -> Finding {
    let gap = if finding.note.is_empty() { "" } else { "; " };
    finding.note.push_str(&format!("{gap}{why}"));
    finding
}

/// Every folder of copies that can be reached now.
struct Yard<'a> {
    station: &'a Station,
    progress: &'a dyn Progress,
    request: &'a RepairRequest,
    /// Retired ones too: what they still hold may be good.
    folders: BTreeMap<CopyRootId, Arc<Folder>>,
    /// What is damaged or lies where nothing should: renamed and swapped files are among them.
    odd: Vec<(Arc<Folder>, RelPath)>,
}

impl<'a> Yard<'a> {
    fn of(
        station: &'a Station,
        catalog: &Catalog,
        request: &'a RepairRequest,
        (mounted, volumes): (&Mounted, &Volumes),
        progress: &'a dyn Progress,
    ) -> Result<Self, PatrolError> {
        let mut roots: BTreeMap<u64, Arc<Root>> = BTreeMap::new();
        let mut folders = BTreeMap::new();
        for copy in catalog.all_copy_roots()? {
            let Some(volume) = volumes.get(copy.volume) else { continue };
            let Some((facts, way)) = mounted.find(&volume.key, &copy.root) else { continue };
            let root = match roots.get(&facts.mount.id) {
                Some(root) => root.clone(),
                None => match Root::open(&facts.mount.point) {
                    Ok(root) => Arc::new(root),
                    Err(_) => continue,
                },
            };
            roots.insert(facts.mount.id, root.clone());
            folders.insert(copy.id, Arc::new(Folder::of(copy, facts.clone(), way, root)));
        }
        Ok(Yard { station, progress, request, folders, odd: Vec::new() })
    }

    fn of_card(&self, card: CardId) -> impl Iterator<Item = &Arc<Folder>> {
        self.folders.values().filter(move |f| f.copy.as_ref().is_some_and(|c| c.card == card))
    }
}

/// One folder at work, under its locks.
struct Bench<'a> {
    yard: &'a Yard<'a>,
    catalog: &'a mut Catalog,
    folder: Arc<Folder>,
    copy: CopyRootRow,
    found: Vec<Finding>,
    /// Who may hold the bytes of a file, by its digest.
    holders: HashMap<[u8; 32], Vec<Holder>>,
    report: &'a mut RepairReport,
    /// Repaired and not sealed yet, by when that was begun.
    whole: BTreeMap<RelPath, Timestamp>,
    /// Displaced files that may be another file's content: below the mount's point, and whether they go at the end.
    displaced: Vec<(RelPath, bool)>,
    _locks: Vec<Lock>,
}

impl<'a> Bench<'a> {
    fn of(
        yard: &'a Yard<'a>,
        catalog: &'a mut Catalog,
        folder: &Arc<Folder>,
        found: Vec<Finding>,
        report: &'a mut RepairReport,
    ) -> Result<Self, PatrolError> {
        let Some(copy) = folder.copy.clone() else { return Err(PatrolError::NothingKnown(folder.path.clone())) };
        let mut wanted = HashSet::new();
        for finding in &found {
            let row = catalog.file_record(copy.card, &finding.relpath)?;
            wanted.extend(row.and_then(|r| r.digests).map(|d| d.blake3));
        }
        let mut holders: HashMap<[u8; 32], Vec<Holder>> = HashMap::new();
        if !wanted.is_empty() {
            for holder in catalog.holders(&wanted)? {
                holders.entry(holder.blake3).or_default().push(holder);
            }
        }
        holders.values_mut().for_each(|all| all.sort_by_key(|h| (!h.proven, h.root != copy.id)));
        let locks = match yard.request.dry_run {
            true => Vec::new(),
            false => {
                let of_holders = holders.values().flatten().filter_map(|h| yard.folders.get(&h.root));
                let facts: Vec<&Facts> = of_holders.chain(yard.of_card(copy.card)).map(|f| &f.facts).collect();
                locks(yard, catalog, &copy, &facts)?
            }
        };
        let folder = folder.clone();
        Ok(Bench {
            yard,
            catalog,
            folder,
            copy,
            found,
            holders,
            report,
            whole: BTreeMap::new(),
            displaced: Vec::new(),
            _locks: locks,
        })
    }

    fn work(&mut self, begun: Vec<RepairRow>) -> Result<(), PatrolError> {
        if let Some(why) = self.refusal()? {
            let damaged = self.found.iter().filter(|f| f.kind != FindingKind::Extra).cloned();
            self.report.unrepairable.extend(damaged.map(|f| noted(f, &why)));
            return Ok(());
        }
        if !self.yard.request.dry_run {
            self.go_on(begun)?;
        }
        let damaged: Vec<Finding> = self.found.iter().filter(|f| f.kind != FindingKind::Extra).cloned().collect();
        let (of_history, of_files): (Vec<_>, Vec<_>) = damaged.into_iter().partition(|f| self.is_history(f));
        self.history(of_history)?;
        for finding in of_files {
            if self.yard.progress.stop_asked() {
                return Err(PatrolError::Stopped);
            }
            self.file(finding)?;
        }
        for (place, goes) in std::mem::take(&mut self.displaced) {
            if goes && let Err(e) = write::remove(&self.folder.root, &place) {
                self.note(&format!("\"{place}\" is left behind: {e}"));
            }
        }
        if !self.yard.request.dry_run {
            self.seal()?;
        }
        Ok(())
    }

    /// Why nothing may be written there.
    fn refusal(&self) -> Result<Option<String>, CatalogError> {
        let card = self.catalog.card(self.copy.card)?;
        if card.is_some_and(|c| c.source_kind == SourceKind::Card && c.volume == self.copy.volume) {
            return Ok(Some("it lies on the card's own volume, and nothing is written to a card".into()));
        }
        if self.folder.facts.mount.read_only && !self.yard.request.dry_run {
            let point = self.folder.facts.mount.point.display();
            return Ok(Some(format!("\"{point}\" is mounted read-only: mount it writable and repair again")));
        }
        Ok(None)
    }

    /// What an earlier run left: of a file that is good now, the rest of the work; of one that is not, nothing stays.
    fn go_on(&mut self, begun: Vec<RepairRow>) -> Result<(), PatrolError> {
        for row in begun {
            let is_bad = self.found.iter().any(|f| f.relpath == row.relpath && f.kind != FindingKind::Extra);
            let copy = self.catalog.copy(self.copy.id, &row.relpath)?;
            if !is_bad && copy.is_none_or(|c| c.state != CopyState::Proven || !c.row_intact) {
                continue;
            }
            if row.in_place && is_bad {
                self.put_back(&row)?;
                continue;
            }
            let left = if row.in_place { row.temp.clone() } else { self.folder.place(&row.temp) };
            let spare = row.in_place.then(|| self.beside_catalog(&row.temp)).transpose();
            let ended = spare.and_then(|s| s.map_or(Ok(()), |(journals, journal)| write::remove(&journals, &journal)));
            if let Err(e) = ended.and_then(|()| self.dispose(&left, &row.relpath, row.keep)) {
                self.note(&format!("\"{}\" is left behind: {e}", left));
            }
            if is_bad {
                continue;
            }
            if row.bytes_written > 0 {
                let what = "file";
                let (copy, relpath) = (self.name(), row.relpath.clone());
                let (from, kept) = (Vec::new(), None);
                let bytes_written = row.bytes_written;
                let hex = relpath.hex_if_escaped();
                self.report.repaired.push(Repaired {
                    copy,
                    relpath,
                    relpath_hex: hex,
                    bytes_written,
                    what,
                    from,
                    kept,
                });
            }
            self.whole.insert(row.relpath, row.begun_at);
        }
        Ok(())
    }

    /// Removes what was damaged, or moves it out of the roll; gives where it is.
    fn dispose(&self, left: &RelPath, relpath: &RelPath, keep: bool) -> std::io::Result<Option<RelPath>> {
        let root = &self.folder.root;
        if root.stat(left)?.is_none() {
            return Ok(None);
        }
        if !keep {
            return write::remove(root, left).map(|()| None);
        }
        for to in self.salvage_places(relpath) {
            match write::move_aside(root, left, &to) {
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => continue,
                other => return other.map(|()| Some(to)),
            }
        }
        Err(std::io::Error::other("too many were kept before"))
    }

    /// `.goodgate/salvage/ROLL/RELPATH.N.bad` beside the roll's folder.
    fn salvage_places(&self, relpath: &RelPath) -> impl Iterator<Item = RelPath> {
        let roll = RelPath::new(self.folder.base.name()).unwrap_or_default();
        let at = self.beside("salvage").join_rel(&roll);
        let path = relpath.as_bytes().to_vec();
        (1..100).filter_map(move |n| at.join([&path[..], format!(".{n}.bad").as_bytes()].concat()).ok())
    }

    /// A folder of ours beside the roll's.
    fn beside(&self, what: &str) -> RelPath {
        let ours = RelPath::new(format!(".goodgate/{what}")).unwrap_or_default();
        self.folder.base.parent().join_rel(&ours)
    }

    fn name(&self) -> String {
        escape(self.folder.path.as_os_str().as_bytes()).into_owned()
    }

    fn note(&self, text: &str) {
        self.yard.progress.event(Event::Note(text));
    }

    /// Of what is lost the pictures are named, not only the bytes.
    fn lost(&mut self, mut finding: Finding, why: &str) -> Result<(), PatrolError> {
        finding.timecode = None;
        self.catalog.tell(self.copy.card, &mut finding)?;
        let pictures = finding.timecode.as_ref().map(|t| format!("; lost pictures: {t}")).unwrap_or_default();
        let text = format!("not repaired: \"{}\": {why}{pictures}", finding.relpath);
        if !self.yard.request.dry_run {
            self.catalog.end_repair(self.copy.id, &finding.relpath, Some(&text), Timestamp::now())?;
        }
        self.note(&text);
        self.report.unrepairable.push(noted(finding, why));
        Ok(())
    }

    /// The path of a place below the mount's point, for people.
    fn shown(folder: &Folder, place: &RelPath) -> String {
        escape(place.under(folder.root.path()).as_os_str().as_bytes()).into_owned()
    }

    fn record_of(row: FileRow) -> Option<crate::copy::FileRecord> {
        let digests = row.digests.filter(|_| row.row_intact)?;
        Some(crate::copy::FileRecord { file: row.file, digests, blocks: row.blocks })
    }
}

/// The card's own lock, so that no offload works on it, and those of all devices that are read or written.
fn locks(yard: &Yard<'_>, catalog: &Catalog, copy: &CopyRootRow, facts: &[&Facts]) -> Result<Vec<Lock>, PatrolError> {
    let folder = yard.station.locks();
    let failed = |source| PatrolError::Lock { path: folder.clone(), source };
    let mut held = Vec::new();
    if let Some(card) = catalog.card(copy.card)? {
        let volume = catalog.volume_row(card.volume)?;
        let name = card_lock_name(&volume.key, &card.root);
        let lock = lock::try_lock(&folder, &name).map_err(failed)?;
        held.push(lock.ok_or_else(|| PatrolError::Busy(format!("the roll {}", card.roll)))?);
    }
    // In the order of their names, as everywhere.
    let names: BTreeSet<String> = facts.iter().map(|f| device_lock_name(f)).collect();
    for name in names {
        let lock = lock::wait_lock(&folder, &name, || yard.progress.stop_asked()).map_err(failed)?;
        held.push(lock.ok_or(PatrolError::Stopped)?);
    }
    Ok(held)
}
