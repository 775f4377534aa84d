//! One read of a file where it lies, past the cache, in as many formats as asked: for a manifest, or to compare with
//! one. It says what the bytes are, not that they equal a card's.

use super::{CHUNK_BYTES, Lane, ReadFault, SealAction, SealEntry, read_whole};
use crate::copy::ReadBack;
use crate::digest::{BLOCK_BYTES, Digest, HashFormat};
use crate::disk::read::PastCache;
use crate::disk::write::{ALIGN, Buffer, buffer};
use crate::disk::{Root, Stat};
use crate::hash::digest_of;
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use jiff::Timestamp;

/// What one read gave. Private fields: only [`take`] makes one.
#[derive(Clone, Debug)]
pub struct Taken {
    relpath: RelPath,
    stat: Stat,
    digests: Vec<Digest>,
    class: ReadBack,
    at: Timestamp,
}

impl Taken {
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

/// Reads the file at `relpath` once. `spare` is a buffer to be used again by the same thread.
pub fn take(
    root: &Root,
    relpath: &RelPath,
    formats: &[HashFormat],
    lane: &Lane<'_>,
    spare: &mut Option<Buffer>,
    progress: &dyn Progress,
) -> Result<Taken, ReadFault> {
    let at_start = |source| ReadFault::Io { offset: 0, source };
    let mut read = PastCache::open(root, relpath, lane.fs_type).map_err(at_start)?;
    let stat = read.stat();
    if stat.size_bytes > BLOCK_BYTES {
        let reading = read_whole(read, formats, lane.name, progress)?;
        let digests = formats.iter().filter_map(|f| reading.digests.get(*f)).collect();
        let (stat, class) = (reading.stat, reading.class);
        return Ok(Taken { relpath: relpath.clone(), stat, digests, class, at: Timestamp::now() });
    }
    // Small files are many: no hasher is set up, no other thread is woken.
    if progress.stop_asked() {
        return Err(ReadFault::Stopped);
    }
    let want = stat.size_bytes as usize;
    let buf = spare.get_or_insert_with(|| buffer(BLOCK_BYTES as usize + ALIGN));
    let got = read.read_at(0, buf, want).map_err(at_start)?;
    let now = read.stat_now().map_err(at_start)?;
    if got < want || (now.size_bytes, now.mtime_ns) != (stat.size_bytes, stat.mtime_ns) {
        return Err(ReadFault::Changed);
    }
    let digests = formats.iter().map(|f| digest_of(*f, &buf[..got])).collect();
    progress.event(Event::Bytes { lane: lane.name, bytes: got as u64 });
    Ok(Taken { relpath: relpath.clone(), stat, digests, class: read.class(), at: Timestamp::now() })
}

const _: () = assert!(CHUNK_BYTES as u64 >= BLOCK_BYTES);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    #[test]
    fn small_and_large_files_give_the_same_formats() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let formats: Vec<HashFormat> = HashFormat::MHL.into_iter().chain([HashFormat::Xxh32]).collect();
        let mut spare = None;
        for len in [0, 1, 5000, BLOCK_BYTES as usize, BLOCK_BYTES as usize + 1, 9 << 20] {
            let data: Vec<u8> = (0..len).map(|i| (i * 7 % 251) as u8).collect();
            std::fs::write(dir.path().join("f"), &data).unwrap();
            let lane = Lane { name: "x", fs_type: "ext4" };
            let relpath = RelPath::new("f").unwrap();
            let taken = take(&root, &relpath, &formats, &lane, &mut spare, &Silent).unwrap();
            for format in &formats {
                assert_eq!(taken.get(*format), Some(&digest_of(*format, &data)), "{format} of {len}");
            }
            assert_eq!(taken.stat().size_bytes, len as u64);
        }
    }
}
