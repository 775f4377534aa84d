//! Re-reads files past the page cache and compares. Declares `VerifiedFile` and `SealEntry` (private fields) and is
//! their only maker: what was not read here cannot be called proven, and cannot be sealed.

mod group;
mod in_place;
mod parts;
mod small;
mod swap;

pub use group::{Member, prove_group};
pub use in_place::{SMALL_BYTES, Taken, take_all};
pub use parts::{PARTS_FROM_BYTES, Part, Parts, check_parts, has_parts};
pub use small::check_small;
pub use swap::{Swap, block_fits, prove_swap};

use crate::copy::{FileRecord, ReadBack};
use crate::digest::{BLOCK_BYTES, BlockDigests, Digest, Digests, HashFormat, join_blocks};
use crate::disk::buffer::Buffer;
use crate::disk::read::PastCache;
use crate::disk::write::Temp;
use crate::disk::{Root, Stat};
use crate::finding::{Finding, FindingKind};
use crate::hash::{Hasher, block_digest};
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use jiff::Timestamp;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes asked of a device at once; a multiple of [`BLOCK_BYTES`].
pub const CHUNK_BYTES: usize = 4 << 20;

/// A file on a destination whose bytes were read back and equalled what the card gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedFile {
    relpath: RelPath,
    stat: Stat,
    read_back: ReadBack,
    at: Timestamp,
}

/// What the catalog says of a copy that was proven before.
#[derive(Clone, Debug)]
pub struct ProvenRow<'a> {
    pub relpath: &'a RelPath,
    pub size_bytes: u64,
    pub mtime_ns: i64,
    pub read_back: ReadBack,
    pub proven_at: Timestamp,
    /// The row's own checksum holds.
    pub intact: bool,
}

impl VerifiedFile {
    /// After a restart: the proof still stands when the row is intact and the file looks as it did. The caller has
    /// checked that it is the same volume.
    pub fn from_evidence(row: &ProvenRow<'_>, stat: Option<Stat>) -> Option<Self> {
        let stat = stat?;
        let same = row.intact && stat.is_file && stat.size_bytes == row.size_bytes && stat.mtime_ns == row.mtime_ns;
        same.then(|| VerifiedFile { relpath: row.relpath.clone(), stat, read_back: row.read_back, at: row.proven_at })
    }

    pub fn relpath(&self) -> &RelPath {
        &self.relpath
    }

    pub fn stat(&self) -> Stat {
        self.stat
    }

    pub fn read_back(&self) -> ReadBack {
        self.read_back
    }

    pub fn at(&self) -> Timestamp {
        self.at
    }
}

/// The action words of ASC MHL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealAction {
    /// First record of the file in this history.
    Original,
    /// Re-computed, equal to what the history holds.
    Verified,
    /// Re-computed, different; the digests are the new, wrong ones.
    Failed,
}

/// One line of a manifest.
#[derive(Clone, Debug)]
pub struct SealEntry {
    relpath: RelPath,
    size_bytes: u64,
    mtime_ns: i64,
    digests: Vec<Digest>,
    action: SealAction,
    hashed_at: Timestamp,
}

impl SealEntry {
    /// The digests are those of the card's read; the proof says that the copy has the same bytes. `None` when the two
    /// are not of one file.
    pub fn proven(digests: &Digests, proof: &VerifiedFile, action: SealAction) -> Option<Self> {
        (action != SealAction::Failed).then(|| SealEntry {
            relpath: proof.relpath.clone(),
            size_bytes: proof.stat.size_bytes,
            mtime_ns: proof.stat.mtime_ns,
            digests: digests.mhl.clone(),
            action,
            hashed_at: proof.at,
        })
    }

    pub fn relpath(&self) -> &RelPath {
        &self.relpath
    }

    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub fn mtime_ns(&self) -> i64 {
        self.mtime_ns
    }

    /// The manifest's formats, in schema order.
    pub fn digests(&self) -> &[Digest] {
        &self.digests
    }

    pub fn action(&self) -> SealAction {
        self.action
    }

    pub fn hashed_at(&self) -> Timestamp {
        self.hashed_at
    }

    /// For the tests of rooms that take entries.
    #[cfg(test)]
    pub(crate) fn for_test(
        relpath: &str,
        size_bytes: u64,
        mtime_ns: i64,
        digests: Vec<Digest>,
        action: SealAction,
        hashed_at: Timestamp,
    ) -> Self {
        SealEntry { relpath: RelPath::new(relpath).unwrap(), size_bytes, mtime_ns, digests, action, hashed_at }
    }
}

/// One full read.
#[derive(Clone, Debug)]
pub struct Reading {
    pub digests: Digests,
    pub blocks: BlockDigests,
    pub stat: Stat,
    pub class: ReadBack,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadFault {
    #[error("cannot read at byte {offset}: {source}")]
    Io { offset: u64, source: io::Error },
    #[error("it changed while it was read")]
    Changed,
    #[error("stopped")]
    Stopped,
}

/// Reads to the end, handing each part (a multiple of [`BLOCK_BYTES`] but for the last) to `each`. No buffer: stopped.
pub fn read_parts(
    read: &mut PastCache,
    lane: &str,
    progress: &dyn Progress,
    mut next_buffer: impl FnMut() -> Option<Buffer>,
    mut each: impl FnMut(Buffer, usize),
) -> Result<(), ReadFault> {
    let size = read.stat().size_bytes;
    let mut offset = 0;
    while offset < size {
        if progress.stop_asked() {
            return Err(ReadFault::Stopped);
        }
        let want = (size - offset).min(CHUNK_BYTES as u64) as usize;
        let mut buf = next_buffer().ok_or(ReadFault::Stopped)?;
        let begun = Instant::now();
        let got = read.read_at(offset, &mut buf, want).map_err(|source| ReadFault::Io { offset, source })?;
        if got < want {
            return Err(ReadFault::Changed);
        }
        progress.event(Event::Busy { lane, secs: begun.elapsed().as_secs_f64() });
        progress.event(Event::Bytes { lane, bytes: got as u64 });
        each(buf, got);
        offset += got as u64;
    }
    let now = read.stat_now().map_err(|source| ReadFault::Io { offset, source })?;
    if (now.size_bytes, now.mtime_ns) != (size, read.stat().mtime_ns) {
        return Err(ReadFault::Changed);
    }
    Ok(())
}

thread_local! {
    /// One a lane, kept from file to file: making and clearing it costs more than reading a small file.
    static SCRATCH: std::cell::RefCell<Option<Buffer>> = const { std::cell::RefCell::new(None) };
}

/// Of files from this size on the next parts are read while one is looked at.
const AHEAD_FROM_BYTES: u64 = 4 * CHUNK_BYTES as u64;

/// Reads from `from` on (a multiple of [`BLOCK_BYTES`]) to the end, and shows each part with its offset, in order.
fn each_part(
    read: &mut PastCache,
    from: u64,
    lane: &str,
    progress: &dyn Progress,
    mut see: impl FnMut(u64, &[u8]),
) -> Result<(), ReadFault> {
    let size = read.stat().size_bytes;
    let take = |read: &mut PastCache, offset: u64, buf: &mut Buffer| {
        let want = (size - offset).min(CHUNK_BYTES as u64) as usize;
        let begun = Instant::now();
        let got = read.read_at(offset, buf, want).map_err(|source| ReadFault::Io { offset, source })?;
        if got < want { Err(ReadFault::Changed) } else { Ok((got, begun.elapsed())) }
    };
    let tell = |got: usize, took: Duration| {
        progress.event(Event::Busy { lane, secs: took.as_secs_f64() });
        progress.event(Event::Bytes { lane, bytes: got as u64 });
    };
    let mut offset = from;
    if size.saturating_sub(from) < AHEAD_FROM_BYTES {
        SCRATCH.with_borrow_mut(|spare| {
            let buf = spare.get_or_insert_with(|| Buffer::new(CHUNK_BYTES));
            while offset < size {
                if progress.stop_asked() {
                    return Err(ReadFault::Stopped);
                }
                let (got, took) = take(read, offset, buf)?;
                tell(got, took);
                see(offset, &buf[..got]);
                offset += got as u64;
            }
            Ok(())
        })?;
    } else {
        let mut other = read.another().map_err(|source| ReadFault::Io { offset, source })?;
        let done = std::thread::scope(|scope| {
            // They take the parts by turns, each with a buffer of its own: one part is looked at, the next is on its way.
            let readers = [&mut *read, &mut other].into_iter().zip([from, from + CHUNK_BYTES as u64]);
            let lines = readers.map(|(reader, first)| {
                let (full, filled) = sync_channel(1);
                let (free, empty) = channel::<Buffer>();
                let _ = free.send(Buffer::new(CHUNK_BYTES));
                // Ends with the file, with an error, or when nobody listens any more.
                scope.spawn(move || {
                    for offset in (first..size).step_by(2 * CHUNK_BYTES) {
                        let Ok(mut buf) = empty.recv() else { return };
                        let taken = take(reader, offset, &mut buf);
                        let is_over = taken.is_err();
                        if full.send(taken.map(|(got, took)| (buf, got, took))).is_err() || is_over {
                            return;
                        }
                    }
                });
                (filled, free)
            });
            let lines: Vec<_> = lines.collect();
            for (filled, free) in lines.iter().cycle() {
                if offset >= size {
                    break;
                }
                if progress.stop_asked() {
                    return Err(ReadFault::Stopped);
                }
                let Ok(part) = filled.recv() else { break };
                let (buf, got, took) = part?;
                tell(got, took);
                see(offset, &buf[..got]);
                offset += got as u64;
                let _ = free.send(buf);
            }
            Ok(())
        });
        read.join(&other);
        done?;
        if offset < size {
            return Err(ReadFault::Changed);
        }
    }
    let now = read.stat_now().map_err(|source| ReadFault::Io { offset, source })?;
    if (now.size_bytes, now.mtime_ns) != (size, read.stat().mtime_ns) {
        return Err(ReadFault::Changed);
    }
    Ok(())
}

/// Reads a whole file and hashes it.
pub fn read_whole(
    mut read: PastCache,
    formats: &[HashFormat],
    lane: &str,
    progress: &dyn Progress,
) -> Result<Reading, ReadFault> {
    let mut hasher = Hasher::new(formats);
    each_part(&mut read, 0, lane, progress, |_, bytes| hasher.update(bytes))?;
    let (digests, blocks) = hasher.finish();
    Ok(Reading { digests, blocks, stat: read.stat(), class: read.class() })
}

/// Why a copy could not be called proven.
#[derive(Debug, thiserror::Error)]
pub enum Unproven {
    #[error("read-back differs from the card")]
    Mismatch { blocks: Vec<(u64, u64)> },
    #[error("the name is taken by another file")]
    Taken,
    #[error("read-back failed: {0}")]
    Read(#[from] ReadFault),
    #[error("writing failed: the sync of its group: {0}")]
    Poisoned(io::Error),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Reads a synced temp back from the device, compares it with the card's read and only then gives it its final name.
/// The temp is handed back with the reason when it is not proven.
pub fn prove<'r>(
    temp: Temp<'r>,
    target: &RelPath,
    record: &FileRecord,
    lane: &Lane<'_>,
    root: &Root,
    progress: &dyn Progress,
) -> Result<VerifiedFile, (Temp<'r>, Unproven)> {
    let reading = match read_back(root, temp.relpath(), lane, progress) {
        Ok(reading) => reading,
        Err(e) => return Err((temp, e)),
    };
    if let Some(blocks) = difference(record, &reading) {
        return Err((temp, Unproven::Mismatch { blocks }));
    }
    match temp.publish(target) {
        Ok(stat) => Ok(VerifiedFile {
            relpath: record.file.relpath.clone(),
            stat,
            read_back: reading.class,
            at: Timestamp::now(),
        }),
        Err((temp, e)) if e.kind() == io::ErrorKind::AlreadyExists => Err((temp, Unproven::Taken)),
        Err((temp, e)) => Err((temp, e.into())),
    }
}

/// Proves a file that already has its final name, by its content.
pub fn prove_existing(
    root: &Root,
    place: &RelPath,
    record: &FileRecord,
    lane: &Lane<'_>,
    progress: &dyn Progress,
) -> Result<VerifiedFile, Unproven> {
    // It may be our own rename before a crash: name and bytes are made durable before they count.
    root.sync_named(place)?;
    let reading = read_back(root, place, lane, progress)?;
    match difference(record, &reading) {
        Some(blocks) => Err(Unproven::Mismatch { blocks }),
        None => Ok(VerifiedFile {
            relpath: record.file.relpath.clone(),
            stat: reading.stat,
            read_back: reading.class,
            at: Timestamp::now(),
        }),
    }
}

pub(crate) fn read_back(
    root: &Root,
    place: &RelPath,
    lane: &Lane<'_>,
    progress: &dyn Progress,
) -> Result<Reading, Unproven> {
    Ok(read_whole(PastCache::open(root, place, lane.fs_type)?, &[], lane.name, progress)?)
}

/// The blocks in which two reads of one file differ.
pub fn blocks_apart(good: &FileRecord, found: &FileRecord) -> Vec<(u64, u64)> {
    damaged_blocks(&good.blocks, good.file.size_bytes, &found.blocks, found.file.size_bytes)
}

/// `None` when the bytes are the same; otherwise the blocks that differ.
pub(crate) fn difference(record: &FileRecord, reading: &Reading) -> Option<Vec<(u64, u64)>> {
    if record.digests.blake3 == reading.digests.blake3 && record.file.size_bytes == reading.stat.size_bytes {
        return None;
    }
    Some(damaged_blocks(&record.blocks, record.file.size_bytes, &reading.blocks, reading.stat.size_bytes))
}

fn damaged_blocks(
    expected: &BlockDigests,
    expected_size: u64,
    found: &BlockDigests,
    found_size: u64,
) -> Vec<(u64, u64)> {
    let size = expected_size.max(found_size);
    if expected_size <= BLOCK_BYTES || found_size <= BLOCK_BYTES {
        return join_blocks(0..size.div_ceil(BLOCK_BYTES), size);
    }
    // A shorter or longer file differs in the block where it ends, too: that digest covers another length.
    expected.differing(found, size)
}

/// Where and how a file is read.
#[derive(Clone, Copy, Debug)]
pub struct Lane<'a> {
    /// For progress: `prove /mnt/a`.
    pub name: &'a str,
    /// As mountinfo names it.
    pub fs_type: &'a str,
}

/// What a copy should be.
#[derive(Clone, Debug)]
pub struct Expected<'a> {
    pub relpath: &'a RelPath,
    pub size_bytes: u64,
    pub mtime_ns: Option<i64>,
    pub digest: Digest,
    /// Empty where only a manifest is known: then damage is found, not located.
    pub blocks: &'a BlockDigests,
}

#[derive(Debug)]
pub enum Checked {
    /// Equal; when the digest was not BLAKE3 the reading tells it for later.
    Good(VerifiedFile),
    Bad(Finding),
    Stopped,
}

/// Reads a copy again, past the cache, and compares. `place` is where it lies below `root`; the finding names
/// `copy`, the roll's folder.
pub fn check(
    root: &Root,
    copy: &Path,
    place: &RelPath,
    want: &Expected<'_>,
    lane: &Lane<'_>,
    progress: &dyn Progress,
) -> Checked {
    let bad = |kind, note: String| Finding::new(kind, copy, want.relpath, note);
    match root.stat(place) {
        Ok(None) => return Checked::Bad(bad(FindingKind::Missing, String::new())),
        Ok(Some(stat)) if !stat.is_file => {
            return Checked::Bad(bad(FindingKind::Altered, "no longer a regular file".into()));
        }
        Ok(Some(_)) => {}
        Err(e) => return Checked::Bad(bad(FindingKind::Unreadable, e.to_string())),
    }
    let read = match PastCache::open(root, place, lane.fs_type) {
        Ok(read) => read,
        Err(e) => return Checked::Bad(bad(FindingKind::Unreadable, e.to_string())),
    };
    let mtime_changed = want.mtime_ns.is_some_and(|m| m != read.stat().mtime_ns);
    let formats = [want.digest.format];
    match read_whole(read, &formats, lane.name, progress) {
        Ok(reading) => {
            let digest = reading.digests.get(want.digest.format);
            judged(copy, want, (reading.stat, reading.class), digest, &reading.blocks)
        }
        Err(fault) => unread(root, (copy, place), want, lane, mtime_changed, fault),
    }
}

/// What is said of a copy that could not be read to its end.
fn unread(
    root: &Root,
    (copy, place): (&Path, &RelPath),
    want: &Expected<'_>,
    lane: &Lane<'_>,
    mtime_changed: bool,
    fault: ReadFault,
) -> Checked {
    let bad = |kind, note: String| Finding::new(kind, copy, want.relpath, note);
    match fault {
        ReadFault::Stopped => Checked::Stopped,
        ReadFault::Changed => Checked::Bad(Finding {
            mtime_changed: true,
            ..bad(FindingKind::Altered, "it changes while it is read".into())
        }),
        ReadFault::Io { ref source, .. } => {
            let blocks = unreadable_blocks(root, place, want, lane);
            // Where the large read began, which failed as a whole, says less.
            let note = if blocks.is_empty() { fault.to_string() } else { format!("cannot be read there: {source}") };
            Checked::Bad(Finding { blocks, mtime_changed, ..bad(FindingKind::Unreadable, note) })
        }
    }
}

/// A whole read, against what the copy should be.
fn judged(
    copy: &Path,
    want: &Expected<'_>,
    (stat, read_back): (Stat, ReadBack),
    digest: Option<Digest>,
    blocks: &BlockDigests,
) -> Checked {
    if stat.size_bytes == want.size_bytes && digest.as_ref() == Some(&want.digest) {
        let (relpath, at) = (want.relpath.clone(), Timestamp::now());
        return Checked::Good(VerifiedFile { relpath, stat, read_back, at });
    }
    let note = match stat.size_bytes {
        size if size == want.size_bytes => String::new(),
        size => format!("{size} bytes instead of {}", want.size_bytes),
    };
    let located = want.digest.format == HashFormat::Blake3;
    let blocks = match located {
        true => damaged_blocks(want.blocks, want.size_bytes, blocks, stat.size_bytes),
        false => Vec::new(),
    };
    let mtime_changed = want.mtime_ns.is_some_and(|m| m != stat.mtime_ns);
    Checked::Bad(Finding { blocks, mtime_changed, ..Finding::new(FindingKind::Altered, copy, want.relpath, note) })
}

/// Reads block by block what could not be read in one go; names the blocks that fail or differ.
fn unreadable_blocks(root: &Root, place: &RelPath, want: &Expected<'_>, lane: &Lane<'_>) -> Vec<(u64, u64)> {
    let Ok(mut read) = PastCache::open(root, place, lane.fs_type) else { return Vec::new() };
    let mut buf = Buffer::new(BLOCK_BYTES as usize);
    let bad = (0..want.size_bytes.div_ceil(BLOCK_BYTES)).filter(|block| {
        let offset = block * BLOCK_BYTES;
        let len = BLOCK_BYTES.min(want.size_bytes - offset) as usize;
        match read.read_at(offset, &mut buf, len) {
            Ok(got) if got == len => match want.blocks.0.get(*block as usize) {
                Some(expected) => block_digest(offset, &buf[..len]) != *expected,
                None => false,
            },
            _ => true,
        }
    });
    let bad: Vec<u64> = bad.collect();
    join_blocks(bad, want.size_bytes)
}

/// Devices at work, each with its own queue and threads; driven from the thread that made them.
pub struct Lanes<T, R> {
    queues: Vec<SyncSender<T>>,
    results: Receiver<(usize, std::thread::Result<R>)>,
    /// Given and not yet taken back, a device.
    out: Vec<usize>,
    room: Vec<usize>,
}

impl<T, R> Lanes<T, R> {
    /// Whether the device can be given another piece without waiting for it.
    pub fn has_room(&self, device: usize) -> bool {
        self.out[device] < self.room[device]
    }

    /// Pieces that were given to the device and not taken back.
    pub fn out(&self, device: usize) -> usize {
        self.out[device]
    }

    /// To be called only while the device has room.
    pub fn give(&mut self, device: usize, piece: T) {
        // The queue holds what there is room for, and its threads live as long as this.
        if self.queues[device].send(piece).is_ok() {
            self.out[device] += 1;
        }
    }

    /// The next finished piece, with its device; `None` when nothing finished for so long.
    pub fn take(&mut self, wait: Duration) -> Option<(usize, R)> {
        let (device, result) = self.results.recv_timeout(wait).ok()?;
        self.out[device] -= 1;
        match result {
            Ok(result) => Some((device, result)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Starts `threads[i]` threads for device `i`, which do `work` on what `drive` gives them. What was given and not begun
/// when `drive` returns is dropped.
pub fn with_lanes<T: Send, R: Send, O>(
    threads: &[usize],
    work: impl Fn(usize, T) -> R + Sync,
    drive: impl FnOnce(&mut Lanes<T, R>) -> O,
) -> O {
    let (work, ended) = (&work, &AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (done, results) = channel();
        let mut lanes = Lanes { queues: Vec::new(), results, out: vec![0; threads.len()], room: Vec::new() };
        for (device, count) in threads.iter().enumerate() {
            // One piece waits for each thread, so that none idles while the next is prepared.
            let room = count.max(&1) * 2;
            let (queue, waiting) = sync_channel::<T>(room);
            let waiting = Arc::new(Mutex::new(waiting));
            lanes.queues.push(queue);
            lanes.room.push(room);
            for _ in 0..*count.max(&1) {
                let (waiting, done) = (waiting.clone(), done.clone());
                scope.spawn(move || {
                    loop {
                        let piece = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok(piece) = piece else { return };
                        if ended.load(Ordering::Relaxed) {
                            return;
                        }
                        let result = catch_unwind(AssertUnwindSafe(|| work(device, piece)));
                        if done.send((device, result)).is_err() {
                            return;
                        }
                    }
                });
            }
        }
        // Also when `drive` panics: else the scope would wait for all that is queued.
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _end = End(ended);
        drive(&mut lanes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_comes_back_once_and_devices_do_not_wait_for_each_other() {
        let mut seen = with_lanes(
            &[1, 3],
            |device, piece: u32| (device, piece * 2),
            |lanes| {
                let mut left = [(0..50).collect::<Vec<u32>>(), (50..100).collect()];
                let mut seen = Vec::new();
                while seen.len() < 100 {
                    for (device, queue) in left.iter_mut().enumerate() {
                        while lanes.has_room(device) && !queue.is_empty() {
                            lanes.give(device, queue.remove(0));
                        }
                    }
                    if let Some((device, (by, piece))) = lanes.take(Duration::from_secs(5)) {
                        assert_eq!(device, by);
                        seen.push(piece);
                    }
                }
                assert_eq!((lanes.out(0), lanes.out(1)), (0, 0));
                seen
            },
        );
        seen.sort_unstable();
        assert_eq!(seen, (0..100).map(|n| n * 2).collect::<Vec<u32>>());
    }

    #[test]
    fn a_panic_in_a_lane_reaches_the_driver() {
        let panicked = catch_unwind(|| {
            with_lanes(
                &[1],
                |_, n: u32| assert_ne!(n, 1),
                |lanes| {
                    lanes.give(0, 1);
                    while lanes.take(Duration::from_secs(5)).is_none() {}
                },
            )
        });
        assert!(panicked.is_err());
    }
}
