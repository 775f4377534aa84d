//! A copy that reads back wrong: was it the reading, the copy, or the card's first reading? What is wrong is kept aside,
//! the damaged blocks are copied once more, and all is proven again. And what the card does not give is salvaged.

use super::round::Work;
use super::{Destination, RESUMED_FROM_BYTES};
use crate::copy::FileRecord;
use crate::digest::{BLOCK_BYTES, join_blocks};
use crate::disk::Root;
use crate::disk::buffer::Buffer;
use crate::disk::read::PastCache;
use crate::disk::write::{Replace, Temp, move_aside, open_ours, remove, write_whole};
use crate::progress::Progress;
use crate::relpath::RelPath;
use crate::verify::{self, Lane, ReadFault, Unproven, VerifiedFile, block_fits};
use std::io;

/// Why a copy is not proven, and what follows.
pub(super) enum Fate {
    /// Copied anew, as long as there are attempts.
    Again(String),
    /// Wrong twice: a person must look at the disk.
    Mismatch(String),
    /// The final name holds other bytes; they stay.
    Conflict(Vec<(u64, u64)>),
    /// The card gives other bytes now than it first did: it is read until two readings agree.
    CardDiffers,
    Stopped,
}

/// More damage than this is not kept aside: it is no trace of a fault any more, it is another file.
const KEPT_BYTES: u64 = 8 << 20;

impl<'a> Work<'a> {
    pub(super) fn stopped(&self, temp: Option<Temp<'a>>) -> Fate {
        if let Some(temp) = temp.filter(|t| t.written() < RESUMED_FROM_BYTES) {
            let _ = temp.discard();
        }
        Fate::Stopped
    }

    pub(super) fn unproven(
        &self,
        d: usize,
        temp: Option<Temp<'a>>,
        record: &FileRecord,
        why: Unproven,
        lane: &Lane<'_>,
    ) -> Fate {
        match why {
            Unproven::Read(ReadFault::Stopped) => return self.stopped(temp),
            Unproven::Mismatch { blocks } if temp.is_none() => {
                return match self.card_agrees(record, &blocks) {
                    Ok(false) => Fate::CardDiffers,
                    _ => Fate::Conflict(blocks),
                };
            }
            Unproven::Io(e) | Unproven::Poisoned(e) if e.raw_os_error().is_some() => {
                self.die_if_whole(d, &e);
                if let Some(temp) = temp {
                    let _ = temp.discard();
                }
                return Fate::Again(format!("writing failed: {e}"));
            }
            _ => {}
        }
        let taken = matches!(why, Unproven::Taken);
        if let Some(temp) = temp {
            let _ = temp.discard();
        }
        if taken {
            // Somebody else gave a file that name meanwhile: its content decides.
            let dest = &self.dests[d];
            let place = dest.place(&record.file.relpath);
            if let Err(Unproven::Mismatch { blocks }) = verify::prove_existing(&dest.base, &place, record, lane, self) {
                return Fate::Conflict(blocks);
            }
        }
        Fate::Again(why.to_string())
    }

    /// `blocks` of the temp read back otherwise than the card gave them.
    pub(super) fn mend(
        &self,
        d: usize,
        temp: Temp<'a>,
        record: &FileRecord,
        blocks: &[(u64, u64)],
        lane: &Lane<'_>,
    ) -> Result<VerifiedFile, Fate> {
        let dest = &self.dests[d];
        let relpath = &record.file.relpath;
        let place = dest.place(relpath);
        let told = spans(blocks);
        let again = |temp: Temp<'a>, why: String| {
            let _ = temp.discard();
            Fate::Again(why)
        };
        // Twice the same block, and only then the blame.
        let wrong = match damaged(&dest.base, temp.relpath(), &dest.fs_type, record, blocks) {
            Ok(wrong) => wrong,
            Err(e) => {
                return Err(again(temp, format!("read-back differs from the card at bytes {told}, and then: {e}")));
            }
        };
        if wrong.is_empty() {
            self.note(format!(
                "\"{relpath}\" on \"{}\": read-back differs from the card at bytes {told}, and is right when read again: \
                 the reading was wrong, not the copy",
                dest.name
            ));
        } else {
            match self.card_agrees(record, &wrong) {
                Ok(true) => {}
                Ok(false) => {
                    let _ = temp.discard();
                    return Err(Fate::CardDiffers);
                }
                Err(e) => {
                    return Err(again(temp, format!("read-back differs from the card at bytes {told}, and then: {e}")));
                }
            }
            let told = spans(&wrong);
            let kept = self.keep_bad(dest, &temp, record, &wrong);
            self.note(format!(
                "\"{relpath}\" on \"{}\": read-back differs from the card at bytes {told}; the card gives the same again, \
                 so the copy is wrong; {kept}; these bytes are copied again",
                dest.name
            ));
            if let Err(e) = self.copy_blocks(&temp, record, &wrong) {
                return Err(again(temp, format!("the damaged bytes could not be copied again: {e}")));
            }
        }
        match verify::prove(temp, &place, record, lane, &dest.base, self) {
            Ok(proof) => {
                self.note(format!("\"{relpath}\" on \"{}\": copied again and proven", dest.name));
                Ok(proof)
            }
            Err((temp, Unproven::Mismatch { blocks })) => {
                let kept = self.quarantine(dest, &temp, relpath);
                let told = spans(&blocks);
                Err(Fate::Mismatch(format!("read-back differs from the card once more, at bytes {told}; {kept}")))
            }
            Err((temp, why)) => Err(self.unproven(d, Some(temp), record, why, lane)),
        }
    }

    /// Whether the card still gives these blocks as it first did.
    fn card_agrees(&self, record: &FileRecord, blocks: &[(u64, u64)]) -> io::Result<bool> {
        Ok(damaged(&self.card.root, &record.file.relpath, &self.card.fs_type, record, blocks)?.is_empty())
    }

    fn copy_blocks(&self, temp: &Temp<'_>, record: &FileRecord, blocks: &[(u64, u64)]) -> io::Result<()> {
        let mut read = PastCache::open(&self.card.root, &record.file.relpath, &self.card.fs_type)?;
        temp.patch(record.file.mtime_ns, |put| {
            each_block(&mut read, record.file.size_bytes, blocks, |offset, bytes| {
                // What is copied now must be what was hashed then.
                match block_fits(record, offset, bytes) {
                    true => put(offset, bytes),
                    false => Err(io::Error::other("the card gave other bytes than before")),
                }
            })
        })
    }

    /// The damaged bytes as the disk gave them, for a person to look at, outside the roll.
    fn keep_bad(&self, dest: &Destination, temp: &Temp<'_>, record: &FileRecord, blocks: &[(u64, u64)]) -> String {
        let relpath = &record.file.relpath;
        let keep = || -> io::Result<RelPath> {
            let mut kept = Vec::new();
            let mut read = PastCache::open(&dest.base, temp.relpath(), &dest.fs_type)?;
            each_block(&mut read, record.file.size_bytes, blocks, |_, bytes| {
                if kept.len() as u64 + bytes.len() as u64 <= KEPT_BYTES {
                    kept.extend_from_slice(bytes);
                }
                Ok(())
            })?;
            for n in 1..100 {
                let at = salvage_place(dest, relpath, &format!(".{n}.bad"))?;
                match write_whole(&dest.base, &at, &kept, Replace::Never) {
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                    other => return other.map(|()| at),
                }
            }
            Err(io::Error::other("too many were kept before"))
        };
        match keep() {
            Ok(at) => format!("the bad bytes are kept in \"{at}\""),
            Err(e) => format!("the bad bytes could not be kept ({e})"),
        }
    }

    /// Keeps a whole temp that is wrong for good.
    fn quarantine(&self, dest: &Destination, temp: &Temp<'_>, relpath: &RelPath) -> String {
        match set_aside(dest, temp.relpath(), relpath) {
            Ok(to) => format!("the bad copy is kept in \"{to}\""),
            Err(_) => {
                let _ = remove(&dest.base, temp.relpath());
                "the bad copy could not be kept".to_owned()
            }
        }
    }

    /// What can be read of a file that the card does not give whole, outside the roll's folder. Never counted as a
    /// copy. Gives the ranges that could not be read.
    pub(super) fn salvage(&self, relpath: &RelPath, size_bytes: u64) -> Vec<(u64, u64)> {
        let Ok(mut read) = PastCache::open(&self.card.root, relpath, &self.card.fs_type) else { return Vec::new() };
        let alive = self.dests.iter().enumerate().filter(|(d, _)| self.dead[*d].get().is_none());
        let mut partials: Vec<_> =
            alive.filter_map(|(_, dest)| Some((dest, Partial::open(dest, relpath).ok()?))).collect();
        let (mut buf, mut lost, mut at) = (Buffer::new(BLOCK_BYTES as usize), Vec::new(), 0);
        while at < size_bytes && !self.stop_asked() {
            let len = PIECE_BYTES.min(size_bytes - at);
            match read.read_at(at, &mut buf, len as usize) {
                Ok(n) if n as u64 == len => partials.iter_mut().for_each(|(_, partial)| partial.put(at, &buf[..n])),
                _ => lost.push(at / BLOCK_BYTES),
            }
            at += len;
        }
        for (dest, partial) in partials {
            let told = match partial.end(size_bytes) {
                Ok((place, saved)) => {
                    format!("{saved} of {size_bytes} bytes could be read and are kept in \"{place}\"")
                }
                Err(e) => format!("what could be read was not kept: {e}"),
            };
            self.note(format!("\"{relpath}\" on \"{}\": {told}; this is no copy", dest.name));
        }
        lost.dedup();
        join_blocks(lost, size_bytes)
    }
}

/// A bad sector costs so much of what is around it.
const PIECE_BYTES: u64 = 64 << 10;

/// A salvaged file; what could not be read is a hole. What an earlier run saved of a dying card stays where this one reads
/// nothing.
struct Partial<'d> {
    dest: &'d Destination,
    place: RelPath,
    file: std::fs::File,
    saved: io::Result<u64>,
}

impl<'d> Partial<'d> {
    fn open(dest: &'d Destination, relpath: &RelPath) -> io::Result<Self> {
        let place = salvage_place(dest, relpath, ".partial")?;
        match write_whole(&dest.base, &place, b"", Replace::Never) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        let file = open_ours(&dest.base, &place)?;
        Ok(Partial { dest, place, file, saved: Ok(0) })
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        let put = || std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, at);
        if let Ok(saved) = &mut self.saved {
            match put() {
                Ok(()) => *saved += bytes.len() as u64,
                Err(e) => self.saved = Err(e),
            }
        }
    }

    /// The place, and how many bytes this run saved there.
    fn end(self, size_bytes: u64) -> io::Result<(RelPath, u64)> {
        let saved = self.saved?;
        match self.file.metadata()?.len() {
            // Made now, and nothing came.
            0 => remove(&self.dest.base, &self.place)?,
            // The file has its length also where its end is lost.
            _ => self.file.set_len(size_bytes)?,
        }
        self.file.sync_all()?;
        Ok((self.place, saved))
    }
}

/// `.goodgate/salvage/ROLL/RELPATH.ending`
fn salvage_place(dest: &Destination, relpath: &RelPath, ending: &str) -> io::Result<RelPath> {
    let name = RelPath::new([relpath.as_bytes(), ending.as_bytes()].concat()).map_err(io::Error::other)?;
    let salvage = RelPath::new(".goodgate/salvage").map_err(io::Error::other)?;
    Ok(salvage.join_rel(&dest.folder).join_rel(&name))
}

/// Moves a file of ours that turned out to be wrong out of the roll, and says where it is.
pub fn set_aside(dest: &Destination, from: &RelPath, relpath: &RelPath) -> io::Result<RelPath> {
    for n in 1..100 {
        let to = salvage_place(dest, relpath, &format!(".{n}.bad"))?;
        match move_aside(&dest.base, from, &to) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            other => return other.map(|()| to),
        }
    }
    Err(io::Error::other("too many were set aside before"))
}

/// Those of `blocks` that differ from the record when they are read now, past the cache.
fn damaged(
    root: &Root,
    place: &RelPath,
    fs_type: &str,
    record: &FileRecord,
    blocks: &[(u64, u64)],
) -> io::Result<Vec<(u64, u64)>> {
    let size = record.file.size_bytes;
    let mut read = PastCache::open(root, place, fs_type)?;
    let mut wrong = Vec::new();
    each_block(&mut read, size, blocks, |offset, bytes| {
        if !block_fits(record, offset, bytes) {
            wrong.push(offset / BLOCK_BYTES);
        }
        Ok(())
    })?;
    Ok(join_blocks(wrong, size))
}

/// Each block of these ranges, cut at the file's end. Fewer bytes than asked for is an error.
fn each_block(
    read: &mut PastCache,
    size_bytes: u64,
    blocks: &[(u64, u64)],
    mut see: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buf = Buffer::new(BLOCK_BYTES as usize);
    for (start, len) in blocks {
        for offset in (*start..(*start + *len).min(size_bytes)).step_by(BLOCK_BYTES as usize) {
            let want = BLOCK_BYTES.min(size_bytes - offset) as usize;
            let got = read.read_at(offset, &mut buf, want)?;
            if got < want {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("the file ends at byte {offset}")));
            }
            see(offset, &buf[..got])?;
        }
    }
    Ok(())
}

pub(super) fn spans(blocks: &[(u64, u64)]) -> String {
    let more = if blocks.len() > 8 { ", ..." } else { "" };
    blocks.iter().take(8).map(|(o, l)| format!("{o}+{l}")).collect::<Vec<_>>().join(", ") + more
}
