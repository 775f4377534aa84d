//! A large copy compared block by block, so that a pass can end in the middle of it and the next one goes on there: each
//! block is judged by itself, and blocks that are all equal to the recorded ones are the recorded file.

use super::{CHUNK_BYTES, Checked, Expected, Lane, VerifiedFile, each_part, unread};
use crate::digest::{BLOCK_BYTES, HashFormat, join_blocks};
use crate::disk::Root;
use crate::disk::read::PastCache;
use crate::finding::{Finding, FindingKind};
use crate::hash;
use crate::progress::Progress;
use crate::relpath::RelPath;
use jiff::Timestamp;
use std::path::Path;

/// Files that are read in one piece are read from their beginning each time.
pub const PARTS_FROM_BYTES: u64 = CHUNK_BYTES as u64;

/// How far a file was compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Of the file that it stands for.
    pub size_bytes: u64,
    pub mtime_ns: i64,
    /// All before was read; a multiple of [`BLOCK_BYTES`].
    pub reached_bytes: u64,
    /// Numbers of blocks that differ, ascending.
    pub bad: Vec<u64>,
    pub begun_at: Timestamp,
}

/// Where to go on, and whom to tell how far it got.
pub struct Parts<'a> {
    pub from: Option<Part>,
    pub tell: &'a dyn Fn(Part),
}

/// Whether the digest and the block digests of what is expected are of one file, so that blocks alone can prove it.
pub fn has_parts(want: &Expected<'_>) -> bool {
    want.digest.format == HashFormat::Blake3
        && want.size_bytes > PARTS_FROM_BYTES
        && want.blocks.0.len() as u64 == want.size_bytes.div_ceil(BLOCK_BYTES)
        && hash::digest_of_blocks(&want.blocks.0).is_some_and(|d| d[..] == *want.digest.as_bytes())
}

/// As [`super::check`], from where an earlier pass ended. `None` when the file has another length: then it is to be read
/// whole. The proof is as old as its first byte. A file that changed since is read from its beginning.
pub fn check_parts(
    root: &Root,
    (copy, place): (&Path, &RelPath),
    want: &Expected<'_>,
    lane: &Lane<'_>,
    parts: &Parts<'_>,
    progress: &dyn Progress,
) -> Option<Checked> {
    let mut read = PastCache::open(root, place, lane.fs_type).ok()?;
    let stat = read.stat();
    if stat.size_bytes != want.size_bytes {
        return None;
    }
    let stands = |p: &Part| (p.size_bytes, p.mtime_ns) == (stat.size_bytes, stat.mtime_ns);
    let mut part = parts.from.clone().filter(stands).unwrap_or(Part {
        size_bytes: stat.size_bytes,
        mtime_ns: stat.mtime_ns,
        reached_bytes: 0,
        bad: Vec::new(),
        begun_at: Timestamp::now(),
    });
    let bad = |kind, note: String| Finding::new(kind, copy, want.relpath, note);
    let mtime_changed = want.mtime_ns.is_some_and(|m| m != stat.mtime_ns);
    let from = part.reached_bytes;
    let read_on = each_part(&mut read, from, lane.name, progress, |offset, bytes| {
        let first = offset / BLOCK_BYTES;
        let found = hash::block_digests(offset, bytes);
        let expected = &want.blocks.0[first as usize..];
        part.bad.extend((first..).zip(found.iter().zip(expected)).filter(|(_, (a, b))| a != b).map(|(n, _)| n));
        part.reached_bytes += bytes.len() as u64;
        // The end is told by the result.
        if part.reached_bytes < want.size_bytes {
            (parts.tell)(part.clone());
        }
    });
    if let Err(fault) = read_on {
        return Some(unread(root, (copy, place), want, lane, mtime_changed, fault));
    }
    Some(match part.bad.is_empty() {
        true => {
            let relpath = want.relpath.clone();
            Checked::Good(VerifiedFile { relpath, stat, read_back: read.class(), at: part.begun_at })
        }
        false => {
            let blocks = join_blocks(part.bad, want.size_bytes);
            Checked::Bad(Finding { blocks, mtime_changed, ..bad(FindingKind::Altered, String::new()) })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{BlockDigests, Digest};
    use crate::disk::facts;
    use crate::progress::{CannotRecord, Event, Intent};
    use std::os::unix::fs::FileExt;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Ends after so many bytes.
    struct Budget(AtomicU64);

    impl Progress for Budget {
        fn event(&self, event: Event<'_>) {
            if let Event::Bytes { bytes, .. } = event {
                let left = self.0.load(Ordering::Relaxed).saturating_sub(bytes);
                self.0.store(left, Ordering::Relaxed);
            }
        }
        fn stop_asked(&self) -> bool {
            self.0.load(Ordering::Relaxed) == 0
        }
        fn record(&self, _: Intent) -> Result<(), CannotRecord> {
            Ok(())
        }
    }

    #[test]
    fn a_large_file_is_compared_over_several_passes_and_damage_of_the_first_is_told_by_the_last() {
        const LEN: u64 = (70 << 20) + 77;
        let dir = tempfile::tempdir().unwrap();
        let (root, name) = (Root::open(dir.path()).unwrap(), RelPath::new("f").unwrap());
        let file = std::fs::File::create(dir.path().join("f")).unwrap();
        file.set_len(LEN).unwrap();
        let mut hasher = hash::Hasher::new(&[]);
        let zeros = vec![0; 1 << 20];
        (0..LEN).step_by(1 << 20).for_each(|at| hasher.update(&zeros[..(LEN - at).min(1 << 20) as usize]));
        let (digests, blocks) = hasher.finish();
        let digest = Digest::new(HashFormat::Blake3, digests.blake3).unwrap();
        let want = Expected { relpath: &name, size_bytes: LEN, mtime_ns: None, digest, blocks: &blocks };
        assert!(has_parts(&want));
        let fs_type = facts::of(dir.path()).unwrap().mount.fs_type;
        let lane = Lane { name: "x", fs_type: &fs_type };
        let reached = Mutex::new(None);
        let pass = |from: Option<Part>, bytes: u64| {
            let tell = |part: Part| *reached.lock().unwrap() = Some(part);
            let parts = Parts { from, tell: &tell };
            let budget = Budget(AtomicU64::new(bytes));
            let seen = check_parts(&root, (dir.path(), &name), &want, &lane, &parts, &budget);
            (seen.unwrap(), reached.lock().unwrap().clone(), budget.0.into_inner())
        };
        let (seen, first, _) = pass(None, 30 << 20);
        let first = first.unwrap();
        assert!(matches!(seen, Checked::Stopped) && first.reached_bytes >= 30 << 20, "{first:?}");
        let (seen, _, left) = pass(Some(first.clone()), u64::MAX);
        let Checked::Good(proof) = seen else { panic!("{seen:?}") };
        assert_eq!(proof.at(), first.begun_at, "a proof is as old as its first byte");
        assert_eq!(u64::MAX - left, LEN - first.reached_bytes, "what was read is not read again");
        // Damaged in its beginning: the pass that ends tells it. And a file that was written to is read from its start.
        file.write_all_at(b"x", 5).unwrap();
        let (_, part, _) = pass(Some(first), 30 << 20);
        let part = part.unwrap();
        assert_eq!(part.bad, [0]);
        let (seen, _, _) = pass(Some(part), u64::MAX);
        let Checked::Bad(finding) = seen else { panic!("{seen:?}") };
        assert_eq!((finding.kind, finding.blocks), (FindingKind::Altered, vec![(0, 1 << 20)]));
        // Blocks that are not of that digest prove nothing.
        let others = BlockDigests(vec![[1; 32]; blocks.0.len()]);
        assert!(!has_parts(&Expected { blocks: &others, ..want }));
    }
}
