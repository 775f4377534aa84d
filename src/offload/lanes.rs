//! The lanes of a device: each does one piece at a time, a proof of one file, of a group, or another read of the card.

use super::calls::Device;
use super::mend::Fate;
use super::round::{Told, Work};
use crate::copy::{FileRecord, ReadBack};
use crate::disk::read::PastCache;
use crate::disk::write::Temp;
use crate::progress::Progress;
use crate::verify::{self, Lane, Member, ReadFault, Reading, Unproven, VerifiedFile};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

pub(super) enum Job<'d> {
    /// `temp` is `None` where the final name was there already: its content decides.
    Prove {
        task: usize,
        dest: usize,
        temp: Option<Temp<'d>>,
        record: Arc<FileRecord>,
    },
    Group {
        dest: usize,
        members: Vec<(usize, Member<'d>)>,
    },
    /// The card's file once more: only this tells a misread that was copied perfectly.
    ReRead {
        task: usize,
        record: Arc<FileRecord>,
    },
    /// Two readings of the card differ (or may): reads until two agree, three at most with the first.
    Settle {
        task: usize,
        first: Arc<FileRecord>,
        second: Option<[u8; 32]>,
    },
}

pub(super) enum Done {
    /// Against this record; a newer one may have replaced it meanwhile.
    Proof {
        task: usize,
        dest: usize,
        record: Arc<FileRecord>,
        result: Result<VerifiedFile, Fate>,
    },
    ReRead {
        task: usize,
        record: Arc<FileRecord>,
        seen: Result<Reading, ReadFault>,
    },
    /// The record that two readings agree on; `None`: no two of three did.
    Settled {
        task: usize,
        first: Arc<FileRecord>,
        agreed: Result<Option<FileRecord>, ReadFault>,
    },
}

impl<'a> Work<'a> {
    pub(super) fn lane(&self, device: usize, jobs: &Mutex<Receiver<Job<'a>>>, tell: &Sender<Told<'a>>) {
        loop {
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { return };
            let seeks = self.options.devices[device].seeks;
            let _gate = seeks.then(|| self.gates[device].prove());
            let of = match &job {
                Job::Prove { dest, .. } | Job::Group { dest, .. } => Device::Destination(*dest),
                Job::ReRead { .. } | Job::Settle { .. } => Device::Card,
            };
            let call = self.calls.begin(of);
            let done = self.work(job);
            drop(call);
            let _ = tell.send(Told::Done(done));
        }
    }

    fn work(&self, job: Job<'a>) -> Vec<Done> {
        match job {
            Job::Prove { task, dest, temp, record } => {
                let result = self.prove_one(dest, temp, &record);
                vec![Done::Proof { task, dest, record, result }]
            }
            Job::Group { dest, members } => self.prove_group(dest, members),
            Job::ReRead { task, record } => {
                let seen = self.read_card(&record.file.relpath, &[], "re-read card");
                vec![Done::ReRead { task, record, seen }]
            }
            Job::Settle { task, first, second } => {
                let agreed = self.settle(&first, second);
                vec![Done::Settled { task, first, agreed }]
            }
        }
    }

    pub(super) fn read_card(
        &self,
        relpath: &crate::relpath::RelPath,
        formats: &[crate::digest::HashFormat],
        lane: &str,
    ) -> Result<Reading, ReadFault> {
        if self.stop_asked() {
            return Err(ReadFault::Stopped);
        }
        let read = PastCache::open(&self.card.root, relpath, &self.card.fs_type)
            .map_err(|source| ReadFault::Io { offset: 0, source })?;
        verify::read_whole(read, formats, lane, self)
    }

    /// Reads until two readings of the file agree, three at most with the first: `None` when no two do.
    fn settle(&self, first: &FileRecord, second: Option<[u8; 32]>) -> Result<Option<FileRecord>, ReadFault> {
        let mut seen = vec![first.digests.blake3];
        seen.extend(second);
        while seen.len() < 3 {
            let reading = self.read_card(&first.file.relpath, self.options.formats, "re-read card")?;
            if reading.stat.size_bytes != first.file.size_bytes || reading.stat.mtime_ns != first.file.mtime_ns {
                return Err(ReadFault::Changed);
            }
            if reading.class == ReadBack::Cache {
                // What memory may have answered decides nothing.
                return Ok(None);
            }
            if seen.contains(&reading.digests.blake3) {
                let record = FileRecord { file: first.file.clone(), digests: reading.digests, blocks: reading.blocks };
                return Ok(Some(record));
            }
            seen.push(reading.digests.blake3);
        }
        Ok(None)
    }

    fn prove_one(&self, d: usize, temp: Option<Temp<'a>>, record: &FileRecord) -> Result<VerifiedFile, Fate> {
        let dest = &self.dests[d];
        let place = dest.place(&record.file.relpath);
        let name = format!("prove {}", dest.name);
        let lane = Lane { name: &name, fs_type: &dest.fs_type };
        if self.stop_asked() {
            return Err(self.stopped(temp));
        }
        // What a drive that went away still takes through an open descriptor is no copy that anybody can find.
        if let Err(e) = dest.base.still_here() {
            self.die(d, &e);
            return Err(self.unproven(d, temp, record, e.into(), &lane));
        }
        match temp {
            Some(temp) => verify::prove(temp, &place, record, &lane, &dest.base, self)
                .or_else(|(temp, why)| self.judge(d, temp, record, why, &lane)),
            None => verify::prove_existing(&dest.base, &place, record, &lane, self)
                .map_err(|why| self.unproven(d, None, record, why, &lane)),
        }
    }

    /// What is wrong with a temp, and whether it can be mended at once.
    fn judge(
        &self,
        d: usize,
        temp: Temp<'a>,
        record: &FileRecord,
        why: Unproven,
        lane: &Lane<'_>,
    ) -> Result<VerifiedFile, Fate> {
        match why {
            Unproven::Mismatch { blocks } => self.mend(d, temp, record, &blocks, lane),
            why => Err(self.unproven(d, Some(temp), record, why, lane)),
        }
    }

    fn prove_group(&self, d: usize, members: Vec<(usize, Member<'a>)>) -> Vec<Done> {
        let dest = &self.dests[d];
        let name = format!("prove {}", dest.name);
        let lane = Lane { name: &name, fs_type: &dest.fs_type };
        let (tasks, members): (Vec<_>, Vec<_>) = members.into_iter().unzip();
        let results = match dest.base.still_here() {
            _ if self.stop_asked() => {
                members.into_iter().map(|m| (m, Err(Unproven::Read(ReadFault::Stopped)))).collect()
            }
            Ok(()) => verify::prove_group(members, &dest.base, &lane, self),
            Err(e) => {
                self.die(d, &e);
                members.into_iter().map(|m| (m, Err(io_again(&e).into()))).collect()
            }
        };
        let judged = |(task, (m, result)): (usize, (Member<'a>, Result<VerifiedFile, Unproven>))| {
            let result = result.or_else(|why| self.judge(d, m.temp, &m.record, why, &lane));
            Done::Proof { task, dest: d, record: m.record, result }
        };
        tasks.into_iter().zip(results).map(judged).collect()
    }
}

/// The same error once more.
fn io_again(e: &std::io::Error) -> std::io::Error {
    std::io::Error::new(e.kind(), e.to_string())
}
