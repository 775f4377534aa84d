//! What the lanes saw, into the report and the catalog.

use super::file::{FileTask, LOST_FILE, Seen, Todo};
use super::folder::{Folder, FolderSeen, FolderTask, is_history};
use super::run::{Books, Next, Pass};
use super::{PatrolError, scope::Volumes};
use crate::catalog::{self, Catalog, CatalogError, Mark, Proof};
use crate::clip::CopyRootId;
use crate::copy::CopyState;
use crate::finding::{Finding, FindingKind};
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use crate::verify::VerifiedFile;
use jiff::Timestamp;
use std::time::Instant;

/// Whether somebody may have laid the same bytes there anew since they were proven. FAT keeps no time of that.
fn is_touched(file: &VerifiedFile, proven_at: Option<Timestamp>) -> bool {
    let stat = file.stat();
    let after = |at: Timestamp| stat.ctime_ns.div_euclid(1_000_000) > at.as_millisecond();
    stat.ctime_ns != stat.mtime_ns && proven_at.is_none_or(after)
}

impl Pass<'_> {
    pub(super) fn file_done(
        &mut self,
        books: &Books<'_>,
        volumes: &Volumes,
        folders: &[Folder],
        device: usize,
        task: FileTask,
        seen: Seen,
    ) -> Result<(), PatrolError> {
        let folder = &folders[task.todo.folder];
        let relpath = &task.todo.relpath;
        if let Some(root) = &folder.copy {
            match seen {
                // It goes on from there, in this pass or the next.
                Seen::Stopped => self.reached.keep(books, true)?,
                _ => self.reached.forget(root.id, relpath),
            }
        }
        match seen {
            Seen::Stopped if self.progress.stop_asked() => self.cut_short = true,
            // It gave way; or the budget is over, and then it is dropped with the rest.
            Seen::Stopped => self.devices[device].waiting.push_front(Next::File(task.todo)),
            Seen::Gone => self.volume_left(volumes, folders, device, task.todo),
            Seen::NotThere => self.report.never_proven += 1,
            Seen::Accepted(size_bytes) => {
                self.report.files += 1;
                self.report.accepted += 1;
                self.report.bytes += size_bytes;
                self.mark(folder, relpath, Timestamp::now(), catalog::Seen::Clear);
            }
            Seen::Grown(read_back) => {
                self.report.files += 1;
                self.report.good += 1;
                self.count(folder, true);
                // The row speaks of what the card brought; what came after, the manifests hold to account.
                if let Some(size_bytes) = task.recorded_size() {
                    self.report.bytes += size_bytes;
                    let proof = Proof { size_bytes, mtime_ns: 0, read_back };
                    self.mark(folder, relpath, Timestamp::now(), catalog::Seen::Anew(proof));
                }
            }
            Seen::Good(file) => {
                self.report.files += 1;
                self.report.bytes += file.stat().size_bytes;
                self.progress.event(Event::FileDone { relpath, lane: &folder.lane });
                if self.is_to_seal {
                    self.seen.entry(task.todo.folder).or_default().good.push(file.clone());
                }
                let proof = Proof {
                    size_bytes: file.stat().size_bytes,
                    mtime_ns: file.stat().mtime_ns,
                    read_back: file.read_back(),
                };
                if task.is_recorded() {
                    let seen = match is_touched(&file, task.todo.proven_at) {
                        true => catalog::Seen::Anew(proof),
                        false => catalog::Seen::Good(proof),
                    };
                    self.mark(folder, relpath, file.at(), seen);
                }
                let Some(what) = task.damaged_row else {
                    self.report.good += 1;
                    self.count(folder, true);
                    return Ok(());
                };
                let against = match () {
                    () if task.is_recorded() => "its digest",
                    () if what == LOST_FILE => "the row of this copy",
                    () => "the history beside it",
                };
                let finding = folder.finding(FindingKind::Altered, relpath, format!("{what}; the file fits {against}"));
                let finding = self.told(&books.reading, folder, finding)?;
                // A proof heals the copy's own row; what the catalog lost of the card's file is still lost.
                if !what.ends_with("was damaged") {
                    self.mark(folder, relpath, file.at(), catalog::Seen::Note(finding));
                }
            }
            Seen::Bad(mut finding) => {
                self.report.files += 1;
                if self.is_to_seal && finding.kind == FindingKind::Altered && task.was_proven {
                    self.seen.entry(task.todo.folder).or_default().altered.push(relpath.clone());
                }
                if finding.kind != FindingKind::Missing {
                    self.report.bytes += task.todo.size_bytes;
                }
                if let Some(what) = task.damaged_row {
                    let gap = if finding.note.is_empty() { "" } else { "; " };
                    finding.note = format!("{what}; the file does not fit either{gap}{}", finding.note);
                }
                if !task.was_proven {
                    let what = if finding.note.is_empty() { String::new() } else { format!(" ({})", finding.note) };
                    finding.note = format!("it was never proven here: other bytes have its name{what}");
                }
                let finding = self.told(&books.reading, folder, finding)?;
                // A conflict stays a conflict.
                if task.was_proven {
                    self.mark(folder, relpath, Timestamp::now(), catalog::Seen::Bad(finding));
                }
            }
        }
        Ok(())
    }

    pub(super) fn folder_done(
        &mut self,
        catalog: &Catalog,
        folder: &Folder,
        task: &FolderTask,
        seen: FolderSeen,
    ) -> Result<(), PatrolError> {
        if seen.gone {
            // Its files will say so, one by one.
            return Ok(());
        }
        let now = Timestamp::now();
        for finding in seen.findings {
            let (relpath, is_extra) = (finding.relpath.clone(), finding.kind == FindingKind::Extra);
            let finding = self.told(catalog, folder, finding)?;
            // Extra bytes harm nothing: they are listed, not held against the card.
            if !is_extra {
                self.mark(folder, &relpath, now, catalog::Seen::Note(finding));
            }
        }
        let Some(root) = &folder.copy else { return Ok(()) };
        let open = catalog.open_findings_in(root.card, root.id)?;
        for relpath in seen.good.iter().filter(|p| open.iter().any(|f| f.relpath == **p)) {
            self.mark(folder, relpath, now, catalog::Seen::Clear);
        }
        let is_asked = |p: &RelPath| task.parts.iter().any(|part| p.strip_prefix(part).is_some());
        for finding in open.into_iter().filter(|f| is_asked(&f.relpath) && !is_history(&f.relpath)) {
            if stands(catalog, folder, task, root.id, &finding)? {
                let Finding { kind, relpath, note, .. } = finding;
                self.told(catalog, folder, folder.finding(kind, &relpath, note))?;
            }
        }
        Ok(())
    }

    /// The volume is not there any more: nothing of it is missing, all of it is absent.
    fn volume_left(&mut self, volumes: &Volumes, folders: &[Folder], device: usize, todo: Todo) {
        let key = folders[todo.folder].facts.volume_key.clone();
        let name = folders[todo.folder].root.path().display().to_string();
        self.progress.event(Event::Note(&format!("\"{name}\" was unmounted or unplugged during the check")));
        let mut left = vec![todo];
        let waiting = std::mem::take(&mut self.devices[device].waiting);
        for next in waiting {
            match next {
                Next::File(todo) if folders[todo.folder].facts.volume_key == key => left.push(todo),
                Next::Folder(i, _) if folders[i].facts.volume_key == key => {}
                other => self.devices[device].waiting.push_back(other),
            }
        }
        for todo in left {
            match &folders[todo.folder].copy {
                Some(root) => self.add_absent(volumes, root.volume, todo.proven_at),
                None => self.cut_short = true,
            }
        }
    }

    /// Adds what the catalog knows of the file, shows it and lists it.
    fn told(&mut self, catalog: &Catalog, folder: &Folder, mut finding: Finding) -> Result<Finding, PatrolError> {
        if let Some(root) = &folder.copy {
            catalog.tell(root.card, &mut finding)?;
        }
        if finding.kind != FindingKind::Extra {
            self.count(folder, false);
        }
        self.progress.event(Event::Finding(&finding));
        self.report.findings.push(finding.clone());
        Ok(finding)
    }

    fn count(&mut self, folder: &Folder, good: bool) {
        let Some(root) = &folder.copy else { return };
        let counts = self.cards.entry(root.card).or_default();
        if good { counts.0 += 1 } else { counts.1 += 1 }
    }

    fn mark(&mut self, folder: &Folder, relpath: &RelPath, at: Timestamp, seen: catalog::Seen) {
        let Some(root) = &folder.copy else { return };
        self.oldest_mark.get_or_insert_with(Instant::now);
        if let catalog::Seen::Good(proof) | catalog::Seen::Anew(proof) = &seen {
            self.marked_bytes += proof.size_bytes;
        }
        self.marks.push(Mark { root: root.id, relpath: relpath.clone(), at, seen });
    }

    /// A line for each card in its log.
    pub fn log(&self, catalog: &mut Catalog, what: &str) -> Result<(), PatrolError> {
        for (card, (good, bad)) in &self.cards {
            let text = match bad {
                0 => format!("{what}: {good} copies read again, all good"),
                bad => format!("{what}: {good} copies read again and good, {bad} findings"),
            };
            catalog.log(*card, None, &text, Timestamp::now())?;
        }
        Ok(())
    }
}

/// Whether what a list of another tool said against a file when it was registered still holds. Only a new registration
/// reads that list again; nothing else here can judge the file.
fn stands(
    catalog: &Catalog,
    folder: &Folder,
    task: &FolderTask,
    root: CopyRootId,
    finding: &Finding,
) -> Result<bool, PatrolError> {
    let relpath = &finding.relpath;
    if !task.known.contains(relpath) {
        let is_there = folder.root.stat(&folder.place(relpath)).is_ok_and(|stat| stat.is_some());
        return Ok(finding.kind == FindingKind::Missing && !is_there);
    }
    let copy = catalog.copy(root, relpath)?;
    let unread = copy.is_some_and(|c| c.row_intact && c.state == CopyState::Failed && c.blake3.is_none());
    Ok(unread && !folder.speaks_of(relpath))
}

/// All in one commit.
pub(super) fn record(catalog: &mut Catalog, marks: &[Mark], progress: &dyn Progress) -> Result<(), CatalogError> {
    if marks.is_empty() {
        return Ok(());
    }
    match catalog.mark(marks) {
        Err(CatalogError::Refused { .. } | CatalogError::Unknown { .. }) => {}
        other => return other,
    }
    // Another process changed a row while its file was read: the rest of the batch holds.
    for mark in marks {
        match catalog.mark(std::slice::from_ref(mark)) {
            Err(e @ (CatalogError::Refused { .. } | CatalogError::Unknown { .. })) => {
                progress.event(Event::Note(&format!("\"{}\" was read, not recorded: {e}", mark.relpath)));
            }
            other => other?,
        }
    }
    Ok(())
}
