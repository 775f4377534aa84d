//! A folder that neither the catalog nor a history speaks of, and legacy lists do.

use super::PatrolError;
use super::run::Pass;
use crate::disk::{Root, facts, lock};
use crate::finding::{Finding, FindingKind};
use crate::ingest::{device_lock_name, lanes};
use crate::mhl::{self, LegacyFile, Reading, Target};
use crate::progress::Event;
use crate::relpath::RelPath;
use std::path::Path;

/// The lists that are meant by this path: those in the folder, or the one that it names.
fn meant(path: &Path) -> Option<(Root, Vec<LegacyFile>)> {
    match mhl::target(path).ok()? {
        Target::Folder { root, legacy } if !legacy.is_empty() => Some((root, legacy)),
        Target::Legacy { root, list } => Some((root, vec![*list])),
        _ => None,
    }
}

pub(super) fn are_at(path: &Path) -> bool {
    meant(path).is_some()
}

impl Pass<'_> {
    /// Reads what the lists name, and compares. What they leave out is extra: they do not claim to be the whole.
    pub(super) fn by_lists(&mut self, path: &Path) -> Result<(), PatrolError> {
        let Some((root, lists)) = meant(path) else { return Err(PatrolError::NothingKnown(path.to_path_buf())) };
        if let Some((name, why)) = lists.iter().find_map(|l| Some((&l.name, l.list.as_ref().err()?))) {
            return Err(PatrolError::List { path: root.path().join(name), why: why.clone() });
        }
        let look = |source| PatrolError::Look { path: root.path().to_path_buf(), source };
        let facts = facts::of(root.path()).map_err(look)?;
        let locks = self.station.locks();
        let lock = lock::wait_lock(&locks, &device_lock_name(&facts), || self.progress.stop_asked());
        let Some(_device) = lock.map_err(|source| PatrolError::Lock { path: locks.clone(), source })? else {
            self.cut_short = true;
            return Ok(());
        };
        let reading = Reading { fs_type: &facts.mount.fs_type, lanes: lanes(&self.station.config, &facts) };
        let report = mhl::verify_legacy(&root, lists, reading, self.progress);
        self.cut_short |= !report.complete;
        self.report.files += report.files + (report.missing.len() + report.unreadable.len()) as u64;
        self.report.bytes += report.bytes;
        self.report.good += report.good;
        report.notes.iter().for_each(|note| self.progress.event(Event::Note(note)));
        let note = |p: &RelPath| {
            let start = format!("\"{p}\": ");
            report.faults.iter().find_map(|text| text.strip_prefix(&start)).unwrap_or_default().to_owned()
        };
        let kinds = [
            (FindingKind::Altered, &report.altered),
            (FindingKind::Unreadable, &report.unreadable),
            (FindingKind::Missing, &report.missing),
            (FindingKind::Extra, &report.new),
        ];
        for (kind, relpath) in kinds.into_iter().flat_map(|(kind, paths)| paths.iter().map(move |p| (kind, p))) {
            let finding = Finding::new(kind, root.path(), relpath, note(relpath));
            self.progress.event(Event::Finding(&finding));
            self.report.findings.push(finding);
        }
        if self.is_to_seal {
            let text = format!("\"{}\" is not sealed: it has no history to go on with", root.path().display());
            self.report.unsealed.push(text);
        }
        Ok(())
    }
}
