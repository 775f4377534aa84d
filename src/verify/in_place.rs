//! One read of a file where it lies, past the cache, in as many formats as asked: for a manifest, or to compare with
//! one. It says what the bytes are, not that they equal a card's.

use super::{Lane, ReadFault, SealAction, SealEntry, VerifiedFile, read_whole};
use crate::clip::CardFile;
use crate::copy::{FileRecord, ReadBack};
use crate::digest::{BLOCK_BYTES, BlockDigests, Digest, Digests, HashFormat};
use crate::disk::ahead::Ahead;
use crate::disk::read::PastCache;
use crate::disk::{Root, Stat, facts};
use crate::hash::digest_of;
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use jiff::Timestamp;
use std::io;

/// What one read gave. Private fields: only [`take_all`] makes one, and [`Taken::again`] from what it once gave.
#[derive(Clone, Debug)]
pub struct Taken {
    relpath: RelPath,
    stat: Stat,
    digests: Vec<Digest>,
    /// Only where BLAKE3 was asked for.
    blocks: BlockDigests,
    class: ReadBack,
    at: Timestamp,
}

impl Taken {
    /// A read that was written down: its digests, and the proof that still stands.
    pub fn again(digests: &Digests, proof: &VerifiedFile) -> Self {
        Taken {
            relpath: proof.relpath.clone(),
            stat: proof.stat,
            digests: digests.mhl.clone(),
            blocks: BlockDigests::default(),
            class: proof.read_back,
            at: proof.at,
        }
    }

    /// For the catalog; `None` unless BLAKE3 was asked for.
    pub fn record(&self) -> Option<FileRecord> {
        let blake3 = self.get(HashFormat::Blake3)?.as_bytes().try_into().ok()?;
        let mhl = self.digests.iter().filter(|d| d.format != HashFormat::Blake3).cloned().collect();
        let (size_bytes, mtime_ns) = (self.stat.size_bytes, self.stat.mtime_ns);
        Some(FileRecord {
            file: CardFile { relpath: self.relpath.clone(), size_bytes, mtime_ns },
            digests: Digests { blake3, mhl },
            blocks: self.blocks.clone(),
        })
    }

    pub fn relpath(&self) -> &RelPath {
        &self.relpath
    }

    pub fn stat(&self) -> Stat {
        self.stat
    }

    pub fn get(&self, format: HashFormat) -> Option<&Digest> {
        self.digests.iter().find(|d| d.format == format)
    }

    /// Without the digests of other formats.
    pub fn keep(&mut self, formats: &[HashFormat]) {
        self.digests.retain(|d| formats.contains(&d.format));
    }

    pub fn class(&self) -> ReadBack {
        self.class
    }
}

impl SealEntry {
    /// For a generation made in place: the bytes are these, whatever a copy should be.
    pub fn taken(taken: Taken, action: SealAction) -> Self {
        SealEntry {
            relpath: taken.relpath,
            size_bytes: taken.stat.size_bytes,
            mtime_ns: taken.stat.mtime_ns,
            digests: taken.digests,
            action,
            hashed_at: taken.at,
        }
    }
}

/// Reads a few files, each once, in their order; the next ones are asked for while the first is hashed.
pub fn take_all<'a>(
    root: &Root,
    files: &[(&'a RelPath, &[HashFormat])],
    lane: &Lane<'_>,
    spare: &mut Vec<u8>,
    progress: &dyn Progress,
) -> Vec<Result<Taken, ReadFault>> {
    let ahead: Vec<_> = files.iter().map(|(p, _)| Ahead::open(root, p, lane.fs_type, SMALL_BYTES)).collect();
    let take = |(file, (relpath, formats)): (io::Result<Option<Ahead>>, &(&'a RelPath, &[HashFormat]))| {
        if progress.stop_asked() {
            return Err(ReadFault::Stopped);
        }
        match file.map_err(at_start)? {
            Some(file) => small(&file, relpath, formats, lane, spare, progress),
            None => large(root, relpath, formats, lane, progress),
        }
    };
    ahead.into_iter().zip(files).map(take).collect()
}

/// Files up to this size are read whole: no hasher is set up for them, no other thread is woken.
pub const SMALL_BYTES: u64 = BLOCK_BYTES;

fn at_start(source: io::Error) -> ReadFault {
    ReadFault::Io { offset: 0, source }
}

fn small(
    file: &Ahead,
    relpath: &RelPath,
    formats: &[HashFormat],
    lane: &Lane<'_>,
    spare: &mut Vec<u8>,
    progress: &dyn Progress,
) -> Result<Taken, ReadFault> {
    let stat = file.stat();
    let want = stat.size_bytes as usize;
    if spare.len() < want {
        spare.resize(want.next_power_of_two(), 0);
    }
    let got = file.read(&mut spare[..want]).map_err(at_start)?;
    let now = file.stat_now().map_err(at_start)?;
    if got < want || (now.size_bytes, now.mtime_ns) != (stat.size_bytes, stat.mtime_ns) {
        return Err(ReadFault::Changed);
    }
    let digests = formats.iter().map(|f| digest_of(*f, &spare[..got])).collect();
    progress.event(Event::Bytes { lane: lane.name, bytes: got as u64 });
    let class = facts::read_back_class(lane.fs_type);
    let blocks = BlockDigests::default();
    Ok(Taken { relpath: relpath.clone(), stat, digests, blocks, class, at: Timestamp::now() })
}

fn large(
    root: &Root,
    relpath: &RelPath,
    formats: &[HashFormat],
    lane: &Lane<'_>,
    progress: &dyn Progress,
) -> Result<Taken, ReadFault> {
    let read = PastCache::open(root, relpath, lane.fs_type).map_err(at_start)?;
    let reading = read_whole(read, formats, lane.name, progress)?;
    let digests = formats.iter().filter_map(|f| reading.digests.get(*f)).collect();
    let with_blocks = formats.contains(&HashFormat::Blake3);
    let blocks = if with_blocks { reading.blocks } else { BlockDigests::default() };
    let (stat, class) = (reading.stat, reading.class);
    Ok(Taken { relpath: relpath.clone(), stat, digests, blocks, class, at: Timestamp::now() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    #[test]
    fn small_and_large_files_give_the_same_formats() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let formats: Vec<HashFormat> = HashFormat::MHL.into_iter().chain([HashFormat::Xxh32]).collect();
        let mut spare = Vec::new();
        for len in [0, 1, 5000, BLOCK_BYTES as usize, BLOCK_BYTES as usize + 1, 9 << 20] {
            let data: Vec<u8> = (0..len).map(|i| (i * 7 % 251) as u8).collect();
            std::fs::write(dir.path().join("f"), &data).unwrap();
            let lane = Lane { name: "x", fs_type: "ext4" };
            let relpath = RelPath::new("f").unwrap();
            let taken = take_all(&root, &[(&relpath, &formats[..])], &lane, &mut spare, &Silent);
            let taken = taken.into_iter().next().unwrap().unwrap();
            for format in &formats {
                assert_eq!(taken.get(*format), Some(&digest_of(*format, &data)), "{format} of {len}");
            }
            assert_eq!(taken.stat().size_bytes, len as u64);
            assert!(taken.record().is_none(), "without BLAKE3 there is nothing for the catalog");
        }
    }

    #[test]
    fn what_the_catalog_gets_locates_damage_in_large_files() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        for len in [0, BLOCK_BYTES as usize, 3 * BLOCK_BYTES as usize + 9] {
            let data: Vec<u8> = (0..len).map(|i| (i * 7 % 251) as u8).collect();
            std::fs::write(dir.path().join("f"), &data).unwrap();
            let (relpath, formats) = (RelPath::new("f").unwrap(), [HashFormat::Xxh64, HashFormat::Blake3]);
            let lane = Lane { name: "x", fs_type: "ext4" };
            let taken = take_all(&root, &[(&relpath, &formats[..])], &lane, &mut Vec::new(), &Silent);
            let record = taken.into_iter().next().unwrap().unwrap().record().unwrap();
            let mut whole = crate::hash::Hasher::new(&[HashFormat::Xxh64]);
            data.chunks(BLOCK_BYTES as usize).for_each(|part| whole.update(part));
            assert_eq!((record.digests, record.blocks), whole.finish(), "{len}");
            assert_eq!(record.file.size_bytes, len as u64);
        }
    }
}
