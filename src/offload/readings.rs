//! What the card's readings say: the first is what is copied, the second must agree, and where two differ a third decides.

use super::lanes::Job;
use super::mend::{set_aside, spans};
use super::score::{End, Score};
use crate::clip::Warning;
use crate::copy::{FileRecord, OF_UNSTABLE_READ, ReadBack};
use crate::digest::BlockDigests;
use crate::finding::{Finding, FindingKind};
use crate::progress::{Event, Intent, Progress};
use crate::relpath::RelPath;
use crate::verify::{ReadFault, Reading};
use std::sync::Arc;

impl<'a> Score<'_, 'a> {
    /// Files that need no copy, and another reading.
    pub(super) fn reread_known(&mut self) {
        for (i, task) in self.work.tasks.iter().enumerate().filter(|_| !self.work.card.is_copy()) {
            if task.todo.is_empty() && task.known.is_some() {
                match self.sheets[i].record.clone().filter(|_| task.unstable) {
                    Some(first) => self.settle(i, first, None),
                    None => self.reread(i),
                }
            }
        }
    }

    pub(super) fn reread(&mut self, task: usize) {
        let sheet = &self.sheets[task];
        let wanted = self.work.options.source_reread && sheet.reads < 2 && !self.work.card.is_copy();
        let Some(record) = sheet.record.clone().filter(|_| wanted) else { return };
        let (device, job) = (self.work.card.device, Job::ReRead { task, record });
        match self.work.options.devices[device].seeks && self.running > 0 {
            // The head would go to and fro between two readings.
            true => self.later.push((device, job)),
            false => self.give(device, job),
        }
    }

    pub(super) fn read(&mut self, task: usize, record: FileRecord, class: ReadBack) {
        let known = &self.work.tasks[task].known;
        let differs = known.as_ref().is_some_and(|k| k.digests.blake3 != record.digests.blake3);
        if self.work.card.is_copy() {
            if differs {
                return self.source_copy_is_wrong(task);
            }
        } else if known.is_none() || class != ReadBack::Cache {
            // What the page cache may have answered is no second look at the card.
            self.intents.push(Intent::Read(Box::new(record.clone())));
            self.sheets[task].reads += 1;
        }
        if differs {
            let first = self.sheets[task].record.clone();
            return first.into_iter().for_each(|first| self.settle(task, first, Some(record.digests.blake3)));
        }
        let decides = self.work.tasks[task].unstable && !self.work.card.is_copy() && class != ReadBack::Cache;
        if let Some(first) = self.sheets[task].record.clone().filter(|_| decides) {
            // Of at least three readings, these two agree.
            self.settled(task, &first, record);
            return self.close(task);
        }
        self.sheets[task].record = Some(Arc::new(record));
        self.sheets[task].is_read = true;
        self.prove_early(task);
        self.reread(task);
        self.close(task);
    }

    /// The proven copy that a destination is filled from has changed since: nothing of it is passed on, and it is no
    /// proven copy any more.
    pub(super) fn source_copy_is_wrong(&mut self, task: usize) {
        let relpath = self.relpath(task).clone();
        let note = "it no longer gives the bytes that it was proven with";
        let finding = Finding::new(FindingKind::Altered, self.work.card.root.path(), &relpath, note);
        self.outcome.mismatched.get_or_insert_with(|| finding.line());
        self.give_up_open(task);
        self.work.event(Event::Finding(&finding));
        if let Some(copy) = self.work.card.copy_of {
            self.intents.push(Intent::Failed { copy, relpath, conflict: false, note: note.into() });
            self.intents.push(Intent::Found { copy: Some(copy), finding });
        }
        self.close(task);
    }

    /// Nothing of this file is proven any more: what is written goes, what is being written will.
    fn give_up_open(&mut self, task: usize) {
        self.take_early(task, "");
        let open = self.sheets[task].ends.values_mut().filter(|end| matches!(end, End::Open | End::Again(_)));
        open.for_each(|end| *end = End::Over);
    }

    pub(super) fn unread(&mut self, task: usize, fault: ReadFault) {
        let open: Vec<usize> = self.work.tasks[task].todo.iter().map(|(d, _)| *d).collect();
        open.iter().for_each(|d| self.not_coming(task, *d));
        if !matches!(fault, ReadFault::Stopped) {
            self.tell(format!("\"{}\" on the {}: {fault}", self.relpath(task), self.work.card.noun()));
            self.sheets[task].fault = Some(fault);
        }
        let ends = self.sheets[task].ends.values_mut().filter(|end| matches!(end, End::Open));
        ends.for_each(|end| *end = End::Again("the card did not give it".into()));
        self.close(task);
    }

    pub(super) fn settle(&mut self, task: usize, first: Arc<FileRecord>, second: Option<[u8; 32]>) {
        if !std::mem::replace(&mut self.sheets[task].settling, true) {
            self.give(self.work.card.device, Job::Settle { task, first, second });
        }
    }

    /// Two of three readings agree on `record`; `first` is what the copies were made from.
    fn settled(&mut self, task: usize, first: &FileRecord, record: FileRecord) {
        let relpath = self.relpath(task).clone();
        let same = record.digests.blake3 == first.digests.blake3;
        let which = if same { "the first" } else { "the later ones" };
        let text = format!(
            "\"{relpath}\" was read three times and one reading was different; two agree and count ({which}): check the \
             card, its reader and the cable"
        );
        self.tell(text.clone());
        let warning = Warning { id: format!("unstable:{relpath}"), text };
        self.intents.push(Intent::Settled { record: Box::new(record.clone()), warning });
        self.sheets[task].record = Some(Arc::new(record));
        self.sheets[task].reads = 2;
        self.sheets[task].is_read = true;
        if same {
            return self.prove_early(task);
        }
        let todo = &self.work.tasks[task].todo;
        for d in (0..self.work.dests.len()).filter(|d| todo.iter().all(|(to, _)| to != d)) {
            self.outcome.replaced = true;
            self.proven[d] = self.proven[d].saturating_sub(1);
        }
        self.take_early(task, "it was copied from a wrong reading of the card");
        let proven = self.sheets[task].ends.iter().filter(|(_, end)| matches!(end, End::Proven));
        let proven: Vec<usize> = proven.map(|(dest, _)| *dest).collect();
        for dest in proven {
            self.proven[dest] = self.proven[dest].saturating_sub(1);
            self.unprove(task, dest, &relpath);
        }
    }

    /// A copy that got its name for a wrong reading of the card loses it again; its bytes are kept aside.
    pub(super) fn unprove(&mut self, task: usize, dest: usize, relpath: &RelPath) {
        let to = &self.work.dests[dest];
        let why = match set_aside(to, &to.place(relpath), relpath) {
            Ok(kept) => format!("it was copied from a wrong reading of the card; that copy is kept in \"{kept}\""),
            Err(e) => {
                self.tell(format!("\"{relpath}\" on \"{}\" cannot be moved away: {e}", to.name));
                // The next run tries again.
                OF_UNSTABLE_READ.into()
            }
        };
        self.intents.push(Intent::Failed { copy: to.id, relpath: relpath.clone(), conflict: false, note: why.clone() });
        self.again(task, dest, why);
    }

    /// The card has no steady bytes of this file: nothing of it counts.
    fn changed(&mut self, task: usize, note: &str) {
        let file = self.work.tasks[task].file.clone();
        let finding = Finding::new(FindingKind::Unstable, self.work.card.root.path(), &file.relpath, note);
        self.work.event(Event::Finding(&finding));
        self.outcome.unsettled.get_or_insert(file.relpath.clone());
        self.give_up_open(task);
        self.intents.push(Intent::ReRead { file, equal: false });
        self.intents.push(Intent::Found { copy: None, finding });
    }

    pub(super) fn reread_done(&mut self, task: usize, record: Arc<FileRecord>, seen: Result<Reading, ReadFault>) {
        let is_same_file = |seen: &Reading| {
            (seen.stat.size_bytes, seen.stat.mtime_ns) == (record.file.size_bytes, record.file.mtime_ns)
        };
        match seen {
            Ok(seen) if !is_same_file(&seen) => self.changed(task, "it changed between two readings"),
            Ok(seen) if seen.digests.blake3 != record.digests.blake3 => {
                self.tell(format!(
                    "\"{}\": the card's second reading differs from the first at bytes {}; it is read once more",
                    record.file.relpath,
                    differing(&record, &seen.blocks)
                ));
                self.intents.push(Intent::ReRead { file: record.file.clone(), equal: false });
                self.settle(task, record, Some(seen.digests.blake3));
            }
            Ok(seen) if seen.class == ReadBack::Cache => {}
            Ok(_) if self.work.tasks[task].unstable => self.settled(task, &record, FileRecord::clone(&record)),
            Ok(_) => {
                self.intents.push(Intent::ReRead { file: record.file.clone(), equal: true });
                self.sheets[task].reads += 1;
            }
            Err(ReadFault::Stopped) => {}
            Err(ReadFault::Changed) => self.changed(task, "it changed while it was read again"),
            Err(fault) => {
                self.tell(format!("\"{}\" on the card: second read: {fault}", record.file.relpath));
                self.sheets[task].reread_fault = Some(fault.to_string());
            }
        }
    }

    pub(super) fn settle_done(
        &mut self,
        task: usize,
        first: &FileRecord,
        agreed: Result<Option<FileRecord>, ReadFault>,
    ) {
        self.sheets[task].settling = false;
        match agreed {
            Ok(Some(record)) => self.settled(task, first, record),
            Ok(None) => self.changed(task, "three readings of the card agree in no two"),
            Err(ReadFault::Stopped) => {}
            Err(fault) => self.changed(task, &format!("the card's readings differ, and then: {fault}")),
        }
        self.close(task);
    }
}

fn differing(first: &FileRecord, second: &BlockDigests) -> String {
    let blocks = match first.blocks.0.is_empty() {
        true => vec![(0, first.file.size_bytes)],
        false => first.blocks.differing(second, first.file.size_bytes),
    };
    spans(&blocks)
}
