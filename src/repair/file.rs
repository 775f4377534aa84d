//! One damaged or missing copy of a card's file: rebuilt beside itself, proven, swapped.

use super::sources::{Sources, span};
use super::{Bench, Planned, Repaired};
use crate::catalog::{Proof, RepairRow};
use crate::copy::{CopyState, FileRecord};
use crate::digest::{BLOCK_BYTES, join_blocks};
use crate::disk::Stat;
use crate::disk::buffer::Buffer;
use crate::disk::read::PastCache;
use crate::disk::write::{Old, Temp};
use crate::finding::Finding;
use crate::patrol::PatrolError;
use crate::patrol::folder::{Folder, LOST_COPY};
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use crate::verify::{Lane, ReadFault, Swap, Unproven, VerifiedFile, block_fits, prove, prove_existing, prove_swap};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// A clone shares what was thought good; when the proof finds more, it is made again so often.
const ROUNDS: usize = 3;

pub(super) enum Fail {
    /// Numbers of blocks that nobody has.
    Lost(Vec<u64>),
    Cannot(String),
    /// No room, where and for what.
    Full(String),
    Stopped,
}

impl Fail {
    pub fn io(what: &str) -> impl FnOnce(std::io::Error) -> Fail {
        let what = what.to_owned();
        move |e| match e.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT) => Fail::Full(format!("{what}: {e}")),
            _ => Fail::Cannot(format!("{what}: {e}")),
        }
    }
}

/// A copy that is whole again.
pub(super) struct Whole {
    pub proof: VerifiedFile,
    pub bytes_written: u64,
    pub from: Vec<super::From>,
    pub kept: Option<RelPath>,
}

/// What is to be done to one file.
pub(super) struct Job<'r> {
    pub record: &'r FileRecord,
    /// From the mount's point.
    pub place: RelPath,
    /// What has the name now.
    pub now: Option<Stat>,
    pub bad: BTreeSet<u64>,
    pub keep: bool,
}

impl Bench<'_> {
    pub(super) fn file(&mut self, mut finding: Finding) -> Result<(), PatrolError> {
        let (card, relpath) = (self.copy.card, finding.relpath.clone());
        let row = self.catalog.file_record(card, &relpath)?;
        let Some(row) = row.map_or_else(|| self.row_by_copy(&relpath), |row| Ok(Some(row)))? else {
            return self.lost(finding, "the catalog knows no such file");
        };
        let record = match row.row_intact {
            true => Self::record_of(row),
            false => match self.restore_row(&row)? {
                Err(why) => return self.lost(finding, &why),
                Ok(record) if self.yard.request.dry_run => Some(record),
                Ok(_) => self.catalog.file_record(card, &relpath)?.and_then(Self::record_of),
            },
        };
        let Some(copy) = self.catalog.copy(self.copy.id, &relpath)? else {
            return match record {
                Some(record) if finding.note.starts_with(LOST_COPY) => self.copy_again(finding, &record),
                _ => self.lost(finding, "no copy of it is recorded here"),
            };
        };
        if copy.state != CopyState::Proven && copy.blake3.is_none() && copy.row_intact {
            return self.lost(finding, "it was never proven here, and what we did not write is not replaced");
        }
        let Some(record) = record else {
            return self.lost(finding, "the first reading of it is not known");
        };
        let of_catalog = finding.note.starts_with("the catalog's");
        if of_catalog {
            match self.read_again(&record) {
                Ok(()) => return Ok(()),
                Err(blocks) => finding.blocks = blocks,
            }
        }
        let now = self.folder.root.stat(&self.folder.place(&relpath)).ok().flatten();
        let is_file = now.is_some_and(|s| s.is_file);
        let blocks = record.file.size_bytes.div_ceil(BLOCK_BYTES);
        let named = finding.blocks.iter().flat_map(|(o, l)| o / BLOCK_BYTES..(o + l).div_ceil(BLOCK_BYTES));
        let bad: BTreeSet<u64> = match is_file && !finding.blocks.is_empty() {
            true => named.filter(|b| *b < blocks).collect(),
            false => (0..blocks).collect(),
        };
        // A new time means that somebody wrote to it, perhaps on purpose; and what is no file is nobody's copy.
        let edited = copy.row_intact && now.is_some_and(|s| Some(s.mtime_ns) != copy.mtime_ns);
        let keep = self.yard.request.keep_damaged || (now.is_some() && (!is_file || edited));
        let place = self.folder.place(&relpath);
        let mut job = Job { record: &record, place, now, bad, keep };
        if self.yard.request.dry_run {
            return self.plan(finding, &job);
        }
        // Where no block is good, nothing is gained by it, and the file may be another one under a wrong name.
        let in_place = self.yard.request.in_place && is_file && (job.bad.len() as u64) < blocks;
        let temp = if in_place { self.journal_place(&relpath) } else { self.temp_of(&relpath) };
        let begun_at = Timestamp::now();
        let begun =
            RepairRow { relpath: relpath.clone(), temp: temp.clone(), in_place, keep, bytes_written: 0, begun_at };
        let how = if in_place { "in place" } else { "beside itself" };
        let damage = join_blocks(job.bad.iter().copied(), record.file.size_bytes);
        let bytes: u64 = damage.iter().map(|(_, l)| l).sum();
        let text =
            format!("repair of \"{relpath}\" begun {how}: {}, {bytes} bytes to be replaced", finding.kind.name());
        self.catalog.begin_repair(self.copy.id, &begun, &text)?;
        self.note(&format!("repairing \"{relpath}\" in \"{}\"", self.folder.path.display()));
        let done = match in_place {
            true => self.in_place(&mut job, &temp),
            false => self.beside_itself(&mut job, &temp),
        };
        match done {
            Ok(whole) => self.is_whole(&relpath, whole, begun_at),
            Err(Fail::Stopped) => Err(PatrolError::Stopped),
            Err(Fail::Cannot(why)) => self.lost(finding, &why),
            Err(Fail::Full(why)) => {
                let or = if self.yard.request.in_place || !is_file { "" } else { ", or repair with --in-place" };
                self.lost(finding, &format!("{why}; make room{or}"))
            }
            Err(Fail::Lost(blocks)) => {
                finding.blocks = join_blocks(blocks, record.file.size_bytes);
                self.lost(finding, &self.nobody_has())
            }
        }
    }

    fn nobody_has(&self) -> String {
        let absent: Vec<&str> = self.report.absent.iter().map(|a| a.volume.as_str()).collect();
        match absent.is_empty() {
            true => "no copy that can be reached has these bytes any more".into(),
            false => format!("no copy that can be reached has these bytes; not mounted: {}", absent.join(", ")),
        }
    }

    fn is_whole(&mut self, relpath: &RelPath, whole: Whole, begun_at: Timestamp) -> Result<(), PatrolError> {
        let proof = Proof {
            size_bytes: whole.proof.stat().size_bytes,
            mtime_ns: whole.proof.stat().mtime_ns,
            read_back: whole.proof.read_back(),
        };
        let from: Vec<String> = whole.from.iter().map(|f| f.path.clone()).collect();
        let kept = whole.kept.as_ref().map(|k| Self::shown(&self.folder, k));
        let aside = kept.as_ref().map(|k| format!("; the damaged one is kept in \"{k}\"")).unwrap_or_default();
        let text = format!(
            "\"{relpath}\" repaired and proven ({}): {} bytes written, from {}{aside}",
            whole.proof.read_back().name(),
            whole.bytes_written,
            if from.is_empty() { "its own blocks".into() } else { from.join(", ") },
        );
        self.catalog.repaired(self.copy.id, relpath, proof, &text, whole.proof.at())?;
        self.yard.progress.event(Event::FileDone { relpath, lane: &self.folder.lane });
        self.whole.insert(relpath.clone(), begun_at);
        self.report.repaired.push(Repaired {
            copy: self.name(),
            relpath: relpath.clone(),
            relpath_hex: relpath.hex_if_escaped(),
            bytes_written: whole.bytes_written,
            what: "file",
            from,
            kept,
        });
        Ok(())
    }

    /// The row was at fault: is the file? Gives the blocks that differ.
    fn read_again(&mut self, record: &FileRecord) -> Result<(), Vec<(u64, u64)>> {
        let folder = self.folder.clone();
        let place = folder.place(&record.file.relpath);
        match prove_existing(&folder.root, &place, record, &folder.lane(), self.yard.progress) {
            Ok(_) if self.yard.request.dry_run => {
                self.plan_row(&record.file.relpath, &folder);
                Ok(())
            }
            Ok(proof) => {
                let stat = proof.stat();
                let of = Proof { size_bytes: stat.size_bytes, mtime_ns: stat.mtime_ns, read_back: proof.read_back() };
                let text = format!("\"{}\": its row is whole again, and the copy fits it", record.file.relpath);
                let _ = self.catalog.repaired(self.copy.id, &record.file.relpath, of, &text, proof.at());
                let known = |r: &Repaired| r.relpath == record.file.relpath && r.what == "catalog row";
                if !self.report.repaired.iter().any(known) {
                    self.report.repaired.push(Repaired::row(&self.name(), &record.file.relpath));
                }
                Ok(())
            }
            Err(Unproven::Mismatch { blocks }) => Err(blocks),
            Err(_) => Err(Vec::new()),
        }
    }

    /// `--dry-run`: what each block would come from; nothing is written.
    fn plan(&mut self, mut finding: Finding, job: &Job<'_>) -> Result<(), PatrolError> {
        let mut sources = Sources::of(self, job.record);
        let mut buf = Buffer::new(BLOCK_BYTES as usize);
        let lost: Vec<u64> = job.bad.iter().copied().filter(|b| sources.block(*b, &mut buf).is_none()).collect();
        if !lost.is_empty() {
            finding.blocks = join_blocks(lost, job.record.file.size_bytes);
            let why = self.nobody_has();
            return self.lost(finding, &why);
        }
        let (copy, relpath) = (self.name(), finding.relpath);
        self.report.planned.push(Planned { copy, relpath, what: "file", from: sources.told() });
        Ok(())
    }

    /// Beside the file, below the roll's folder: the same name each time, so that nothing is left twice.
    fn temp_of(&self, relpath: &RelPath) -> RelPath {
        let hash = blake3::hash(relpath.as_bytes()).to_hex();
        let name = format!(".{}.{}.goodgate-part", self.copy.id, &hash[..8]);
        relpath.parent().join(name).unwrap_or_default()
    }

    fn beside_itself(&mut self, job: &mut Job<'_>, temp: &RelPath) -> Result<Whole, Fail> {
        let folder = self.folder.clone();
        let root = &*folder.root;
        let temp = folder.place(temp);
        let lane = Lane { name: &folder.lane, fs_type: &folder.facts.mount.fs_type };
        let keep = job.keep.then(|| self.salvage_places(&job.record.file.relpath).next()).flatten();
        root.make_dir(&temp.parent()).map_err(Fail::io("cannot make its folder"))?;
        for _ in 0..ROUNDS {
            crate::disk::write::remove(root, &temp).map_err(Fail::io("cannot remove what an earlier run left"))?;
            let mut sources = Sources::of(self, job.record);
            let (made, bytes_written) = job.rebuild(&folder, &temp, &mut sources, self.yard.progress)?;
            let relpath = &job.record.file.relpath;
            let noted = self.catalog.repair_written(self.copy.id, relpath, bytes_written);
            noted.map_err(|e| Fail::Cannot(e.to_string()))?;
            if job.now.is_some() {
                let _ = made.look_like(&job.place);
            }
            let swap = Swap { target: &job.place, keep: keep.as_ref(), record: job.record };
            let proven = match job.now {
                Some(_) => prove_swap(made, &swap, &lane, root, self.yard.progress),
                None => {
                    let proven = prove(made, &job.place, job.record, &lane, root, self.yard.progress);
                    proven.map(|proof| (proof, Old::Replaced))
                }
            };
            match proven {
                Ok((proof, old)) => {
                    let all_bad = job.bad.len() as u64 == job.record.file.size_bytes.div_ceil(BLOCK_BYTES);
                    let kept = match old {
                        // It may be another file's content under a wrong name, and the only one.
                        Old::UnderTemp if all_bad && !job.keep && job.now.is_some() => {
                            self.displaced.push((temp.clone(), true));
                            None
                        }
                        Old::UnderTemp => self.dispose(&temp, relpath, job.keep).unwrap_or_else(|e| {
                            self.note(&format!("the damaged original is left in \"{temp}\": {e}"));
                            Some(temp.clone())
                        }),
                        Old::Replaced => keep.filter(|_| job.now.is_some()),
                    };
                    self.displaced.extend(kept.iter().cloned().map(|place| (place, false)));
                    return Ok(Whole { proof, bytes_written, from: sources.told(), kept });
                }
                Err((made, Unproven::Mismatch { blocks })) => {
                    let _ = made.discard();
                    let more = blocks.iter().flat_map(|(o, l)| o / BLOCK_BYTES..(o + l).div_ceil(BLOCK_BYTES));
                    job.bad.extend(more.filter(|b| *b < job.record.file.size_bytes.div_ceil(BLOCK_BYTES)));
                }
                Err((_, Unproven::Read(ReadFault::Stopped))) => return Err(Fail::Stopped),
                Err((made, why)) => {
                    let _ = made.discard();
                    return Err(Fail::Cannot(format!("the rebuilt file is not proven: {why}")));
                }
            }
        }
        Err(Fail::Cannot("what was rebuilt reads back wrong again and again: look at the disk".into()))
    }
}

impl Job<'_> {
    /// A synced file under the temporary name, and how many bytes were written for it.
    fn rebuild<'t>(
        &self,
        folder: &'t Folder,
        temp: &RelPath,
        sources: &mut Sources<'_>,
        progress: &dyn Progress,
    ) -> Result<(Temp<'t>, u64), Fail> {
        let blocks = self.record.file.size_bytes.div_ceil(BLOCK_BYTES);
        if self.now.is_some_and(|s| s.is_file) && (self.bad.len() as u64) < blocks {
            match Temp::clone_of(&folder.root, &self.place, temp, self.record.file.size_bytes) {
                Ok(clone) => return self.patch(clone, sources, progress),
                Err(e) if e.kind() == std::io::ErrorKind::Unsupported => {}
                Err(e) => return Err(Fail::io("cannot clone the damaged file")(e)),
            }
        }
        self.write(folder, temp, sources, progress)
    }

    /// Only the bad blocks: the rest is shared with the damaged file.
    fn patch<'t>(
        &self,
        clone: Temp<'t>,
        sources: &mut Sources<'_>,
        progress: &dyn Progress,
    ) -> Result<(Temp<'t>, u64), Fail> {
        let mut buf = Buffer::new(BLOCK_BYTES as usize);
        let (mut lost, mut written, mut stopped) = (Vec::new(), 0, false);
        let patched = clone.patch(self.record.file.mtime_ns, |put| {
            for block in &self.bad {
                stopped |= progress.stop_asked();
                match sources.block(*block, &mut buf) {
                    _ if stopped => break,
                    None => lost.push(*block),
                    Some(len) => {
                        put(span(self.record, *block).0, &buf[..len])?;
                        written += len as u64;
                        progress.event(Event::Bytes { lane: "repair", bytes: len as u64 });
                    }
                }
            }
            Ok(())
        });
        let fail = match patched {
            _ if stopped => Fail::Stopped,
            _ if !lost.is_empty() => Fail::Lost(lost),
            Err(e) => Fail::io("cannot write the rebuilt file")(e),
            Ok(()) => return Ok((clone, written)),
        };
        let _ = clone.discard();
        Err(fail)
    }

    /// Every block: the good ones from the file itself, as far as it can be read, the others from whoever has them.
    fn write<'t>(
        &self,
        folder: &'t Folder,
        temp: &RelPath,
        sources: &mut Sources<'_>,
        progress: &dyn Progress,
    ) -> Result<(Temp<'t>, u64), Fail> {
        let size_bytes = self.record.file.size_bytes;
        let fs_type = &folder.facts.mount.fs_type;
        let is_file = self.now.is_some_and(|s| s.is_file);
        let mut own = is_file.then(|| PastCache::open(&folder.root, &self.place, fs_type).ok()).flatten();
        let mut made =
            Temp::create(&folder.root, temp, size_bytes).map_err(Fail::io("cannot make the rebuilt file"))?;
        let mut buf = Buffer::new(BLOCK_BYTES as usize);
        let mut lost = Vec::new();
        for block in 0..size_bytes.div_ceil(BLOCK_BYTES) {
            if progress.stop_asked() {
                let _ = made.discard();
                return Err(Fail::Stopped);
            }
            let (offset, want) = span(self.record, block);
            let mut own = |buf: &mut Buffer| {
                let read = own.as_mut().filter(|_| !self.bad.contains(&block))?;
                let got = read.read_at(offset, buf, want).ok()?;
                (got == want && block_fits(self.record, offset, &buf[..want])).then_some(want)
            };
            match own(&mut buf).or_else(|| sources.block(block, &mut buf)) {
                None => lost.push(block),
                // With a block lost, the rest is only looked at, to name all that is.
                Some(_) if !lost.is_empty() => {}
                Some(len) => {
                    if let Err(e) = made.append(&buf, len) {
                        let _ = made.discard();
                        return Err(Fail::io("cannot write the rebuilt file")(e));
                    }
                    progress.event(Event::Bytes { lane: "repair", bytes: len as u64 });
                }
            }
        }
        if !lost.is_empty() {
            let _ = made.discard();
            return Err(Fail::Lost(lost));
        }
        match made.finish(Some(self.record.file.mtime_ns)) {
            Ok(()) => Ok((made, size_bytes)),
            Err(e) => {
                let _ = made.discard();
                Err(Fail::io("cannot write the rebuilt file")(e))
            }
        }
    }
}
