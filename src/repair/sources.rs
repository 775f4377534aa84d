//! Where good blocks are: other copies of the same bytes, whatever their roll, and what lies under a wrong name.

use super::Bench;
use crate::copy::FileRecord;
use crate::digest::BLOCK_BYTES;
use crate::disk::buffer::Buffer;
use crate::disk::read::PastCache;
use crate::patrol::folder::Folder;
use crate::relpath::RelPath;
use crate::verify::block_fits;
use std::collections::BTreeMap;
use std::sync::Arc;

struct Source {
    folder: Arc<Folder>,
    /// Below the mount's point.
    place: RelPath,
    /// `None` before the first look; then what could be opened.
    read: Option<Option<PastCache>>,
}

/// Files that may hold blocks of one record, the likeliest first.
pub(super) struct Sources<'r> {
    record: &'r FileRecord,
    list: Vec<Source>,
    /// Blocks that each gave, by its place in the list.
    given: BTreeMap<usize, Vec<u64>>,
}

impl<'r> Sources<'r> {
    /// `relpath` is what is to be made whole: it gives its own blocks by itself.
    pub fn of(bench: &Bench<'_>, record: &'r FileRecord) -> Self {
        let mut list: Vec<Source> = Vec::new();
        let target = (bench.copy.id, &record.file.relpath);
        for holder in bench.holders.get(&record.digests.blake3).into_iter().flatten() {
            if let Some(folder) =
                bench.yard.folders.get(&holder.root).filter(|_| (holder.root, &holder.relpath) != target)
            {
                list.push(Source { folder: folder.clone(), place: folder.place(&holder.relpath), read: None });
            }
        }
        // The row may have been restored just now.
        for folder in bench.yard.of_card(bench.copy.card) {
            let place = folder.place(&record.file.relpath);
            let known = list.iter().any(|s| Arc::ptr_eq(&s.folder, folder) && s.place == place);
            if !known && folder.copy.as_ref().is_some_and(|c| c.id != bench.copy.id) {
                list.push(Source { folder: folder.clone(), place, read: None });
            }
        }
        // A file under a wrong name, renamed or swapped: its size is the hint, its blocks decide.
        let displaced = bench.displaced.iter().map(|(place, _)| (&bench.folder, place.clone()));
        let odd = bench.yard.odd.iter().map(|(folder, relpath)| (folder, folder.place(relpath)));
        for (folder, place) in displaced.chain(odd) {
            let is_itself = Arc::ptr_eq(folder, &bench.folder) && place == folder.place(&record.file.relpath);
            let stat = folder.root.stat(&place).ok().flatten();
            if !is_itself && stat.is_some_and(|s| s.is_file && s.size_bytes == record.file.size_bytes) {
                list.push(Source { folder: folder.clone(), place, read: None });
            }
        }
        Sources { record, list, given: BTreeMap::new() }
    }

    /// Reads one block as it should be into `buf` and gives its length; `None` when nobody has it.
    pub fn block(&mut self, block: u64, buf: &mut Buffer) -> Option<usize> {
        let (offset, want) = span(self.record, block);
        // Whoever gave the last one will most likely give the next.
        let last = self.given.iter().max_by_key(|(_, blocks)| blocks.last().copied()).map(|(i, _)| *i);
        let order = last.into_iter().chain((0..self.list.len()).filter(|i| Some(*i) != last));
        for i in order.collect::<Vec<_>>() {
            let source = &mut self.list[i];
            let (folder, place) = (&source.folder, &source.place);
            let fs_type = &folder.facts.mount.fs_type;
            let read = source.read.get_or_insert_with(|| PastCache::open(&folder.root, place, fs_type).ok());
            let Some(read) = read else { continue };
            // Another length is no fault of a single block.
            if read.read_at(offset, buf, want).is_ok_and(|got| got == want)
                && block_fits(self.record, offset, &buf[..want])
            {
                self.given.entry(i).or_default().push(block);
                return Some(want);
            }
        }
        None
    }

    /// Files that gave blocks, with the blocks.
    pub fn told(&self) -> Vec<super::From> {
        let size = self.record.file.size_bytes;
        let from = |(i, blocks): (&usize, &Vec<u64>)| {
            let mut blocks = blocks.clone();
            blocks.sort_unstable();
            blocks.dedup();
            let source = &self.list[*i];
            let path = Bench::shown(&source.folder, &source.place);
            super::From { path, blocks: crate::digest::join_blocks(blocks, size) }
        };
        self.given.iter().map(from).collect()
    }
}

/// Offset and length of a block.
pub(super) fn span(record: &FileRecord, block: u64) -> (u64, usize) {
    let offset = block * BLOCK_BYTES;
    (offset, BLOCK_BYTES.min(record.file.size_bytes - offset) as usize)
}
