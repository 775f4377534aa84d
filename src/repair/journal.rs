//! A repair in place, for disks without room for a second file: the old blocks are durable in a journal before the first
//! byte is written, and stay there until the whole is proven. It lies on that disk; where that has no room for it either,
//! beside the catalog.
//!
//! Layout of a journal: the old blocks one behind the other, then a description as JSON, then its length in 8 bytes,
//! little-endian. It gets its name when it is whole: one without says that nothing was written yet.

use super::Bench;
use super::file::{Fail, Job, Whole};
use super::sources::{Sources, span};
use crate::catalog::RepairRow;
use crate::digest::BLOCK_BYTES;
use crate::disk::Root;
use crate::disk::buffer::Buffer;
use crate::disk::read::PastCache;
use crate::disk::write::{Replace, move_aside, open_ours, remove, set_file_time, write_whole};
use crate::patrol::PatrolError;
use crate::patrol::folder::Folder;
use crate::progress::Event;
use crate::relpath::RelPath;
use crate::verify::{ReadFault, Unproven, prove_existing};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// No description is longer: 100 bytes a block, of a file of 500 GB.
const LIMIT_BYTES: u64 = 64 << 20;
const ROUNDS: usize = 3;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Told {
    /// `goodgate repair journal`
    what: String,
    size_bytes: u64,
    mtime_ns: i64,
    /// Offset and length of each block that is in the journal; what could not be read is not.
    blocks: Vec<(u64, u64)>,
}

impl Bench<'_> {
    /// Below the mount's point.
    pub(super) fn journal_place(&self, relpath: &RelPath) -> RelPath {
        let hash = blake3::hash(relpath.as_bytes()).to_hex();
        let name = format!("{}.{}.journal", self.copy.id, &hash[..16]);
        self.beside("journal").join(name).unwrap_or_default()
    }

    pub(super) fn in_place(&mut self, job: &mut Job<'_>, journal: &RelPath) -> Result<Whole, Fail> {
        let folder = self.folder.clone();
        let (root, relpath) = (&*folder.root, &job.record.file.relpath);
        let mut all = 0;
        for _ in 0..ROUNDS {
            let mut sources = Sources::of(self, job.record);
            let mut buf = Buffer::new(BLOCK_BYTES as usize);
            // Not a byte is written before every one is known to be there.
            let lost: Vec<u64> = job.bad.iter().copied().filter(|b| sources.block(*b, &mut buf).is_none()).collect();
            if !lost.is_empty() {
                return Err(Fail::Lost(lost));
            }
            let (journals, journal) = &self.write_journal(job, journal)?;
            let put_back =
                || put_back((journals, journal), root, &job.place).map_err(Fail::io("cannot put the old blocks back"));
            let written = match self.overwrite(root, job, &mut sources, &mut buf) {
                Ok(written) => written,
                Err(fail) => {
                    put_back()?;
                    return Err(fail);
                }
            };
            all += written;
            self.catalog.repair_written(self.copy.id, relpath, all).map_err(|e| Fail::Cannot(e.to_string()))?;
            match prove_existing(root, &job.place, job.record, &folder.lane(), self.yard.progress) {
                Ok(proof) => {
                    let ended = match Arc::ptr_eq(journals, &folder.root) {
                        true => self.dispose(journal, relpath, job.keep),
                        false => remove(journals, journal).map(|()| None),
                    };
                    let kept = ended.map_err(Fail::io("cannot end the journal"))?;
                    return Ok(Whole { proof, bytes_written: all, from: sources.told(), kept });
                }
                Err(why) => {
                    put_back()?;
                    match why {
                        Unproven::Mismatch { blocks } => {
                            let more = blocks.iter().flat_map(|(o, l)| o / BLOCK_BYTES..(o + l).div_ceil(BLOCK_BYTES));
                            let count = job.record.file.size_bytes.div_ceil(BLOCK_BYTES);
                            job.bad.extend(more.filter(|b| *b < count));
                        }
                        Unproven::Read(ReadFault::Stopped) => return Err(Fail::Stopped),
                        other => return Err(Fail::Cannot(format!("what was written is not proven: {other}"))),
                    }
                }
            }
        }
        Err(Fail::Cannot("what was written reads back wrong again and again: look at the disk".into()))
    }

    /// Where it lies now.
    fn write_journal(&self, job: &Job<'_>, journal: &RelPath) -> Result<(Arc<Root>, RelPath), Fail> {
        let folder = &self.folder;
        let on_disk = (folder.root.clone(), journal.clone());
        let full = match write_journal((&on_disk.0, journal), folder, job) {
            Ok(()) => return Ok(on_disk),
            Err(e) => e,
        };
        let failed = || Fail::io("cannot write the journal of the old blocks, neither there nor beside the catalog");
        // What shall be kept is kept on that disk.
        if job.keep || !matches!(full.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Err(Fail::io("cannot write the journal of the old blocks")(full));
        }
        let beside = self.beside_catalog(journal).map_err(failed())?;
        write_journal((&beside.0, &beside.1), folder, job).map_err(failed())?;
        Ok(beside)
    }

    pub(super) fn beside_catalog(&self, journal: &RelPath) -> io::Result<(Arc<Root>, RelPath)> {
        let folder = self.yard.station.state.join("journal");
        std::fs::create_dir_all(&folder)?;
        Ok((Arc::new(Root::open(&folder)?), RelPath::new(journal.name()).map_err(io::Error::other)?))
    }

    fn overwrite(&self, root: &Root, job: &Job<'_>, sources: &mut Sources<'_>, buf: &mut Buffer) -> Result<u64, Fail> {
        let cannot = || Fail::io("cannot write into the damaged file");
        let file = open_ours(root, &job.place).map_err(cannot())?;
        let mut written = 0;
        for block in &job.bad {
            let Some(len) = sources.block(*block, buf) else { return Err(Fail::Lost(vec![*block])) };
            file.write_all_at(&buf[..len], span(job.record, *block).0).map_err(cannot())?;
            written += len as u64;
            self.yard.progress.event(Event::Bytes { lane: "repair", bytes: len as u64 });
        }
        file.set_len(job.record.file.size_bytes).map_err(cannot())?;
        set_file_time(&file, job.record.file.mtime_ns).map_err(cannot())?;
        file.sync_all().map_err(cannot())?;
        Ok(written)
    }

    /// What a run that was cut short wrote into the file: the old blocks take its place again.
    pub(super) fn put_back(&mut self, row: &RepairRow) -> Result<(), PatrolError> {
        let (folder, place) = (self.folder.clone(), self.folder.place(&row.relpath));
        let back = put_back((&folder.root, &row.temp), &folder.root, &place).and_then(|was| match was {
            true => Ok(true),
            false => {
                let (journals, journal) = self.beside_catalog(&row.temp)?;
                put_back((&journals, &journal), &folder.root, &place)
            }
        });
        let text = match back {
            Ok(true) => format!("\"{}\": an earlier repair was cut short, and its old blocks are back", row.relpath),
            Ok(false) => return Ok(()),
            Err(source) => return Err(PatrolError::Look { path: row.temp.under(folder.root.path()), source }),
        };
        self.note(&text);
        Ok(self.catalog.log(self.copy.card, None, &text, Timestamp::now())?)
    }
}

fn write_journal((root, journal): (&Root, &RelPath), of: &Folder, job: &Job<'_>) -> io::Result<()> {
    let new = journal.parent().join([journal.name(), b".new"].concat()).map_err(io::Error::other)?;
    remove(root, &new)?;
    write_whole(root, &new, b"", Replace::Never)?;
    let file = open_ours(root, &new)?;
    let written = fill(&of.root, &file, job, &of.facts.mount.fs_type).and_then(|()| file.sync_all());
    written.and_then(|()| move_aside(root, &new, journal)).inspect_err(|_| {
        // Nothing was written to the file yet.
        let _ = remove(root, &new);
    })
}

fn fill(root: &Root, file: &std::fs::File, job: &Job<'_>, fs_type: &str) -> io::Result<()> {
    let mut read = PastCache::open(root, &job.place, fs_type)?;
    let old = read.stat();
    let blocks = job.record.file.size_bytes.div_ceil(BLOCK_BYTES);
    let mut told = Told { what: "goodgate repair journal".into(), mtime_ns: old.mtime_ns, ..Told::default() };
    told.size_bytes = old.size_bytes;
    let mut buf = Buffer::new(BLOCK_BYTES as usize);
    let mut at = 0;
    // What is to be replaced, and what is to be cut off.
    for block in job.bad.iter().copied().chain(blocks..old.size_bytes.div_ceil(BLOCK_BYTES).max(blocks)) {
        let offset = block * BLOCK_BYTES;
        let len = BLOCK_BYTES.min(old.size_bytes.saturating_sub(offset)) as usize;
        // A bad sector has nothing to keep.
        if len > 0 && read.read_at(offset, &mut buf, len).is_ok_and(|got| got == len) {
            file.write_all_at(&buf[..len], at)?;
            told.blocks.push((offset, len as u64));
            at += len as u64;
        }
    }
    // The last block of the file that shall be may end before the one that is.
    let last = blocks.saturating_sub(1);
    if old.size_bytes > job.record.file.size_bytes && blocks > 0 && !job.bad.contains(&last) {
        let offset = last * BLOCK_BYTES;
        let len = BLOCK_BYTES.min(old.size_bytes - offset) as usize;
        if read.read_at(offset, &mut buf, len).is_ok_and(|got| got == len) {
            file.write_all_at(&buf[..len], at)?;
            told.blocks.push((offset, len as u64));
            at += len as u64;
        }
    }
    let text = serde_json::to_vec(&told).map_err(io::Error::other)?;
    file.write_all_at(&text, at)?;
    file.write_all_at(&(text.len() as u64).to_le_bytes(), at + text.len() as u64)
}

/// False when there is no journal: then nothing was written.
fn put_back((journals, journal): (&Root, &RelPath), root: &Root, place: &RelPath) -> io::Result<bool> {
    let new = journal.parent().join([journal.name(), b".new"].concat()).map_err(io::Error::other)?;
    remove(journals, &new)?;
    let Some(stat) = journals.stat(journal)? else { return Ok(false) };
    let from = journals.open_file(journal)?;
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "the journal of a repair cannot be read");
    let mut length = [0; 8];
    from.read_exact_at(&mut length, stat.size_bytes.checked_sub(8).ok_or_else(broken)?)?;
    let length = u64::from_le_bytes(length);
    let text_at = (stat.size_bytes - 8).checked_sub(length).filter(|_| length <= LIMIT_BYTES).ok_or_else(broken)?;
    let mut text = vec![0; length as usize];
    from.read_exact_at(&mut text, text_at)?;
    let told: Told = serde_json::from_slice(&text).map_err(|_| broken())?;
    let total = told.blocks.iter().try_fold(0u64, |sum, (_, len)| sum.checked_add((*len).min(BLOCK_BYTES)));
    if told.what != "goodgate repair journal" || total != Some(text_at) {
        return Err(broken());
    }
    let file = open_ours(root, place)?;
    let mut buf = vec![0; BLOCK_BYTES as usize];
    let mut at = 0;
    for (offset, len) in told.blocks {
        let part = &mut buf[..len.min(BLOCK_BYTES) as usize];
        from.read_exact_at(part, at)?;
        file.write_all_at(part, offset)?;
        at += part.len() as u64;
    }
    file.set_len(told.size_bytes)?;
    set_file_time(&file, told.mtime_ns)?;
    file.sync_all()?;
    remove(journals, journal)?;
    Ok(true)
}
