//! Small copies checked many at once: the device is asked for all before the first is waited for, and each costs few
//! calls. What one reading says is said; nothing is read again to see whether it was meant.

use super::{Checked, Expected, Lane, ReadFault, SMALL_BYTES, check, judged, unread};
use crate::digest::BlockDigests;
use crate::disk::Root;
use crate::disk::ahead::Ahead;
use crate::disk::facts::read_back_class;
use crate::hash::digest_of;
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use std::cell::RefCell;
use std::io;
use std::path::Path;

thread_local! {
    /// One a lane.
    static SPARE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// As [`check`] for each, in their order: `wants` with their places below `root`.
pub fn check_small(
    root: &Root,
    copy: &Path,
    wants: &[(RelPath, Expected<'_>)],
    lane: &Lane<'_>,
    progress: &dyn Progress,
) -> Vec<Checked> {
    let asked: Vec<_> = wants.iter().map(|(place, _)| Ahead::open(root, place, lane.fs_type, SMALL_BYTES)).collect();
    let one = |(file, (place, want)): (io::Result<Option<Ahead>>, &(RelPath, Expected<'_>))| {
        if progress.stop_asked() {
            return Checked::Stopped;
        }
        match file {
            Ok(Some(file)) => {
                let seen = SPARE.with_borrow_mut(|spare| small(&file, copy, want, lane, spare));
                let mtime_changed = want.mtime_ns.is_some_and(|m| m != file.stat().mtime_ns);
                progress.event(Event::Bytes { lane: lane.name, bytes: file.stat().size_bytes });
                seen.unwrap_or_else(|fault| unread(root, (copy, place), want, lane, mtime_changed, fault))
            }
            // Not read yet: not there, not a file, too large, or in the cache.
            _ => check(root, copy, place, want, lane, progress),
        }
    };
    asked.into_iter().zip(wants).map(one).collect()
}

fn small(
    file: &Ahead,
    copy: &Path,
    want: &Expected<'_>,
    lane: &Lane<'_>,
    spare: &mut Vec<u8>,
) -> Result<Checked, ReadFault> {
    let stat = file.stat();
    let len = stat.size_bytes as usize;
    if spare.len() < len {
        spare.resize(len.next_power_of_two(), 0);
    }
    let failed = |source| ReadFault::Io { offset: 0, source };
    let got = file.read(&mut spare[..len]).map_err(failed)?;
    let now = file.stat_now().map_err(failed)?;
    if got < len || (now.size_bytes, now.mtime_ns) != (stat.size_bytes, stat.mtime_ns) {
        return Err(ReadFault::Changed);
    }
    let digest = digest_of(want.digest.format, &spare[..got]);
    file.forget();
    // Within one block the digest is all that is compared.
    Ok(judged(copy, want, (stat, read_back_class(lane.fs_type)), Some(digest), &BlockDigests::default()))
}
