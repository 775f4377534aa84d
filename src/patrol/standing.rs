//! What there is to prove, where it lies, and how long nobody saw it: from the catalog, for coverage and for volumes that
//! stay away.

use super::coverage::{Coverage, Known, Load, interval};
use super::run::disk_of;
use super::scope::{Mounted, Volumes};
use super::{Absent, DUE, PatrolError, before};
use crate::catalog::{Catalog, CopyRootRow, Holding};
use crate::clip::{CopyRootId, VolumeId};
use crate::config;
use crate::ingest::device_lock_name;
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// What a pass of these bounds promises.
pub(super) struct Bounds<'a> {
    pub settings: &'a config::Patrol,
    pub budget: Option<Duration>,
    pub rate: Option<u64>,
    /// Age at which a copy is due.
    pub due: Duration,
}

pub(super) struct Places<'a> {
    pub copies: &'a HashMap<CopyRootId, CopyRootRow>,
    pub mounted: &'a Mounted,
    pub volumes: &'a Volumes,
    pub holdings: &'a [Holding],
}

impl Places<'_> {
    pub fn is_mounted(&self, root: CopyRootId) -> bool {
        let volume = self.copies.get(&root).and_then(|r| Some((r, self.volumes.get(r.volume)?)));
        volume.is_some_and(|(row, volume)| self.mounted.find(&volume.key, &row.root).is_some())
    }

    /// By the disk that a copy lies on now, else lay on when it was last seen.
    fn disk(&self, row: &CopyRootRow) -> Option<(String, String)> {
        let volume = self.volumes.get(row.volume)?;
        if let Some((facts, _)) = self.mounted.find(&volume.key, &row.root) {
            return Some((disk_of(&device_lock_name(facts)).into(), facts.disk.text.clone()));
        }
        Some((row.disk.id.clone().unwrap_or_else(|| volume.key.clone()), volume.disk.clone()))
    }

    /// How soon all copies are proven again; `runs` are the beginnings of patrols.
    pub fn coverage(
        &self,
        catalog: &Catalog,
        bounds: &Bounds<'_>,
        runs: &[Timestamp],
    ) -> Result<Coverage, PatrolError> {
        let reads = catalog.disk_reads()?;
        let mut disks: BTreeMap<String, Load> = BTreeMap::new();
        for holding in self.holdings {
            let Some((disk, name)) = self.copies.get(&holding.root).and_then(|row| self.disk(row)) else { continue };
            let read = reads.get(&disk).copied();
            let load = disks.entry(disk).or_insert(Load { name, bytes: 0, read });
            load.bytes = load.bytes.saturating_add(holding.bytes);
        }
        let Bounds { settings, budget, rate, due } = *bounds;
        Ok(Coverage::of(&Known { disks, interval: interval(runs), budget, rate, every: settings.every, due }))
    }

    /// Volumes that are not mounted, and that nobody saw for longer than the limit. Retired copies count for none.
    pub fn overdue(&self, settings: &config::Patrol, now: Timestamp) -> BTreeMap<VolumeId, Absent> {
        let limit = before(now, settings.absent_after.or(settings.every).unwrap_or(DUE));
        let mut away: BTreeMap<VolumeId, (Absent, Timestamp)> = BTreeMap::new();
        for holding in self.holdings {
            let Some(row) = self.copies.get(&holding.root).filter(|r| !self.is_mounted(r.id)) else { continue };
            let (Some(volume), Some(oldest)) = (self.volumes.get(row.volume), holding.oldest) else { continue };
            let seen = holding.newest.map_or(volume.seen_at, |newest| newest.max(volume.seen_at));
            let (absent, last_seen) = away.entry(row.volume).or_insert_with(|| (Absent::of(volume), seen));
            absent.files += holding.files;
            absent.last_proof = Some(absent.last_proof.map_or(oldest, |known| known.min(oldest)));
            *last_seen = (*last_seen).max(seen);
        }
        let late = away.into_iter().filter(|(_, (_, seen))| *seen < limit);
        late.map(|(id, (absent, _))| (id, Absent { overdue: true, ..absent })).collect()
    }
}
