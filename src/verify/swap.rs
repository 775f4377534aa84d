//! A rebuilt copy, proven before it takes the name of the damaged one.

use super::{Lane, Unproven, VerifiedFile, difference, read_back};
use crate::copy::FileRecord;
use crate::digest::BLOCK_BYTES;
use crate::disk::Root;
use crate::disk::write::{Old, Temp};
use crate::hash::block_digest;
use crate::progress::Progress;
use crate::relpath::RelPath;
use jiff::Timestamp;

/// What a rebuilt copy takes the place of.
#[derive(Clone, Copy, Debug)]
pub struct Swap<'a> {
    pub target: &'a RelPath,
    /// Where the old file is linked to, on a filesystem that cannot exchange two names.
    pub keep: Option<&'a RelPath>,
    /// What it must be.
    pub record: &'a FileRecord,
}

/// Reads a synced temp back from the device, compares it whole, and only then swaps it with the file that has its name.
/// The temp is handed back with the reason when it is not proven.
pub fn prove_swap<'r>(
    temp: Temp<'r>,
    swap: &Swap<'_>,
    lane: &Lane<'_>,
    root: &Root,
    progress: &dyn Progress,
) -> Result<(VerifiedFile, Old), (Temp<'r>, Unproven)> {
    let reading = match read_back(root, temp.relpath(), lane, progress) {
        Ok(reading) => reading,
        Err(e) => return Err((temp, e)),
    };
    if let Some(blocks) = difference(swap.record, &reading) {
        return Err((temp, Unproven::Mismatch { blocks }));
    }
    match temp.swap(swap.target, swap.keep) {
        Ok((stat, old)) => {
            let relpath = swap.record.file.relpath.clone();
            Ok((VerifiedFile { relpath, stat, read_back: reading.class, at: Timestamp::now() }, old))
        }
        Err((temp, e)) => Err((temp, e.into())),
    }
}

/// Whether these bytes are the block at `offset` of the recorded file. A file of one block is judged by its digest.
pub fn block_fits(record: &FileRecord, offset: u64, bytes: &[u8]) -> bool {
    match record.blocks.0.get((offset / BLOCK_BYTES) as usize) {
        Some(expected) => !bytes.is_empty() && block_digest(offset, bytes) == *expected,
        None => record.blocks.0.is_empty() && *blake3::hash(bytes).as_bytes() == record.digests.blake3,
    }
}
