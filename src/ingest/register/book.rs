//! What each read gave, into the catalog as it comes: a file that is what was recorded of it is proven where it lies; any
//! other is a finding, and its bytes are never taken for good ones.

use super::look::Footage;
use crate::catalog::{Catalog, FileRow};
use crate::clip::CardFile;
use crate::copy::{CopyState, FileRecord};
use crate::digest::HashFormat;
use crate::finding::{Finding, FindingKind};
use crate::ingest::copying::standing_proof;
use crate::ingest::{IngestError, Job};
use crate::mhl::{Ask, Got, Lying, Reading, read_all};
use crate::offload::Destination;
use crate::progress::{CannotRecord, Event, Intent, Progress};
use crate::relpath::RelPath;
use crate::verify::{self, Taken};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Facts are committed when so many files wait, or the oldest has waited so long.
const BATCH: usize = 128;
const BATCH_AGE: Duration = Duration::from_secs(1);

pub(super) struct Book<'a> {
    catalog: &'a mut Catalog,
    job: &'a Job,
    folder: &'a Destination,
    footage: &'a Footage,
    /// What earlier reads of these files gave, without the block digests.
    known: BTreeMap<RelPath, FileRow>,
    waiting: Vec<Intent>,
    oldest: Option<Instant>,
    found: BTreeMap<RelPath, Finding>,
}

impl<'a> Book<'a> {
    pub fn open(
        catalog: &'a mut Catalog,
        job: &'a Job,
        folder: &'a Destination,
        footage: &'a Footage,
    ) -> Result<Self, IngestError> {
        let known = catalog.file_digests(job.card)?.into_iter().map(|r| (r.file.relpath.clone(), r)).collect();
        Ok(Book { catalog, job, folder, footage, known, waiting: Vec::new(), oldest: None, found: BTreeMap::new() })
    }

    /// Files that this job has proven, and that look as they did then.
    fn proven(&self) -> Result<BTreeMap<RelPath, verify::VerifiedFile>, IngestError> {
        let rows = self.catalog.copies(self.folder.id)?;
        let ours = rows.iter().filter(|r| r.state == CopyState::Proven && r.job == self.job.id);
        Ok(ours.filter_map(|r| Some((r.relpath.clone(), standing_proof(self.folder, r)?))).collect())
    }

    /// Reads what has no standing proof, each file once.
    pub fn read(
        &mut self,
        lying: &Lying<'_>,
        formats: &[HashFormat],
        reading: Reading<'_>,
        progress: &dyn Progress,
    ) -> Result<(), IngestError> {
        let proven = self.proven()?;
        let footage = self.footage;
        let listing = &footage.card.listing;
        let ask = |f: &CardFile| {
            // What no manifest will list is footage all the same.
            let mut formats = lying.formats(&f.relpath).unwrap_or(formats).to_vec();
            formats.push(HashFormat::Blake3);
            Ask { path: f.relpath.clone(), formats, size_bytes: f.size_bytes }
        };
        let asked: Vec<Ask> = listing.files.iter().filter(|f| !proven.contains_key(&f.relpath)).map(ask).collect();
        let halt = Halt { outer: progress, halted: AtomicBool::new(false) };
        let (mut stopped, mut failed) = (false, None);
        read_all(&footage.root, reading, &asked, &halt, |i, got| {
            let path = &asked[i].path;
            let noted = match got {
                Got::Taken(taken) => self.take(lying, &taken),
                other => {
                    match other {
                        Got::Missing => self.found(FindingKind::Missing, path, "it went while the folder was read"),
                        Got::Changing => self.found(FindingKind::Altered, path, "it changes while it is read"),
                        Got::Unreadable(why) => self.found(FindingKind::Unreadable, path, why),
                        Got::Stopped | Got::Taken(_) => stopped = true,
                    }
                    Ok(())
                }
            };
            let due = self.oldest.is_some_and(|at| at.elapsed() >= BATCH_AGE) || self.waiting.len() >= BATCH;
            if let Err(e) = noted.and_then(|()| if due { self.commit() } else { Ok(()) }) {
                halt.halted.store(true, Ordering::Relaxed);
                failed.get_or_insert(e);
            }
        });
        self.commit()?;
        if let Some(e) = failed {
            return Err(e);
        }
        if stopped {
            return Err(IngestError::Stopped);
        }
        let gone: Vec<RelPath> = self.known.keys().filter(|p| listing.file(p).is_none()).cloned().collect();
        gone.iter().for_each(|p| self.found(FindingKind::Missing, p, "it was registered"));
        Ok(())
    }

    fn take(&mut self, lying: &Lying<'_>, taken: &Taken) -> Result<(), IngestError> {
        let path = taken.relpath();
        let Some(record) = taken.record() else {
            return Err(IngestError::Internal(format!("no BLAKE3 of \"{path}\"")));
        };
        if self.footage.card.listing.file(path) != Some(&record.file) {
            self.found(FindingKind::Unstable, path, "it changed while the folder was read");
            return Ok(());
        }
        let digests = self.known.get(path).and_then(|row| row.digests.clone());
        if digests.as_ref().is_some_and(|d| d.blake3 != record.digests.blake3) {
            let blocks = self.damaged(&record)?;
            self.found(FindingKind::Altered, path, lying.fault(taken).unwrap_or_default());
            self.found.entry(path.clone()).and_modify(|f| f.blocks = blocks);
            return Ok(());
        }
        if let Some(what) = lying.fault(taken) {
            self.found(FindingKind::Altered, path, what);
            return Ok(());
        }
        let (size_bytes, mtime_ns) = (record.file.size_bytes, record.file.mtime_ns);
        let is_new = |d: &crate::digest::Digests| record.digests.mhl.iter().any(|m| d.get(m.format).is_none());
        if digests.as_ref().is_none_or(is_new) {
            // The row keeps the time that the file was first read with.
            let file =
                self.known.get(path).filter(|_| digests.is_some()).map_or(record.file.clone(), |r| r.file.clone());
            self.waiting.push(Intent::Read(Box::new(FileRecord { file, ..record })));
        }
        self.waiting.push(Intent::Proven {
            copy: self.folder.id,
            relpath: path.clone(),
            size_bytes,
            mtime_ns,
            read_back: taken.class(),
            job: self.job.id,
        });
        self.oldest.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Which blocks differ from those of the read that the catalog has.
    fn damaged(&self, found: &FileRecord) -> Result<Vec<(u64, u64)>, IngestError> {
        let Some(row) = self.catalog.file_record(self.job.card, &found.file.relpath)? else { return Ok(Vec::new()) };
        let Some(digests) = row.digests else { return Ok(Vec::new()) };
        let good = FileRecord { file: row.file, digests, blocks: row.blocks };
        Ok(verify::blocks_apart(&good, found))
    }

    /// The first thing that is said of a path stays.
    pub fn found(&mut self, kind: FindingKind, path: &RelPath, note: impl Into<String>) {
        let finding = || Finding::new(kind, self.footage.root.path(), path, note);
        self.found.entry(path.clone()).or_insert_with(finding);
    }

    fn commit(&mut self) -> Result<(), IngestError> {
        self.oldest = None;
        let waiting = std::mem::take(&mut self.waiting);
        if !waiting.is_empty() {
            self.catalog.apply(self.job.card, &waiting, Timestamp::now())?;
        }
        Ok(())
    }

    /// Every file that is proven now, as it was read.
    pub fn taken(&self) -> Result<BTreeMap<RelPath, Taken>, IngestError> {
        let proven = self.proven()?;
        let rows = self.catalog.file_digests(self.job.card)?;
        let of = |row: FileRow| {
            let proof = proven.get(&row.file.relpath)?;
            Some((row.file.relpath, Taken::again(&row.digests?, proof)))
        };
        Ok(rows.into_iter().filter_map(of).collect())
    }

    /// Writes down what was found, and that what was found before is no longer so. The first of it in words.
    pub fn close(mut self, progress: &dyn Progress) -> Result<Option<String>, IngestError> {
        let (card, root) = (self.job.card, self.folder.id);
        for finding in self.found.values_mut() {
            self.catalog.tell(card, finding)?;
            progress.event(Event::Finding(finding));
            if self.known.contains_key(&finding.relpath) {
                let note = format!("{}: {}", finding.kind.name(), finding.note);
                let (copy, relpath) = (root, finding.relpath.clone());
                self.waiting.push(Intent::Failed { copy, relpath, conflict: false, note });
            }
            self.waiting.push(Intent::Found { copy: Some(root), finding: finding.clone() });
        }
        self.commit()?;
        let now = Timestamp::now();
        let cleared: BTreeSet<RelPath> = self
            .catalog
            .open_findings(card)?
            .into_iter()
            .map(|f| f.relpath)
            .filter(|p| !self.found.contains_key(p))
            .collect();
        for path in cleared {
            self.catalog.clear_findings(root, &path, now)?;
            self.catalog.clear_card_findings(card, &path, now)?;
        }
        let more = match self.found.len() {
            0 | 1 => String::new(),
            n => format!(", and {} more", n - 1),
        };
        Ok(self.found.values().next().map(|f| format!("{}{more}", f.line())))
    }
}

/// Ends the reading when nothing can be recorded any more.
struct Halt<'a> {
    outer: &'a dyn Progress,
    halted: AtomicBool,
}

impl Progress for Halt<'_> {
    fn event(&self, event: Event<'_>) {
        self.outer.event(event);
    }

    fn stop_asked(&self) -> bool {
        self.halted.load(Ordering::Relaxed) || self.outer.stop_asked()
    }

    fn record(&self, intent: Intent) -> Result<(), CannotRecord> {
        self.outer.record(intent)
    }
}
