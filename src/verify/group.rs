//! Many small files proven together: one sync of the filesystem before their read-back and one behind their renames,
//! in place of three waits for each file. The order (sync all, rename, sync all) is one that survived power cuts on the
//! filesystems for which [`crate::disk::facts::may_group`] says so.

use super::{Lane, Unproven, VerifiedFile, difference, read_back};
use crate::copy::FileRecord;
use crate::disk::Root;
use crate::disk::write::Temp;
use crate::progress::Progress;
use crate::relpath::RelPath;
use jiff::Timestamp;
use std::io;
use std::sync::Arc;

/// A completed temp whose bytes are on their way to the medium; its descriptor is still open.
pub struct Member<'r> {
    pub temp: Temp<'r>,
    pub target: RelPath,
    pub record: Arc<FileRecord>,
}

/// Syncs, reads back and compares each, and only then gives all of them their names. An error of a sync poisons the
/// whole group, since nobody can say whose bytes it lost; a file that reads back wrong costs only itself. Answers in
/// the order of the members; who is not proven keeps its temp.
pub fn prove_group<'r>(
    members: Vec<Member<'r>>,
    root: &Root,
    lane: &Lane<'_>,
    progress: &dyn Progress,
) -> Vec<(Member<'r>, Result<VerifiedFile, Unproven>)> {
    let failed_before = root.failed_syncs();
    if let Err(e) = root.sync_fs() {
        return members.into_iter().map(|m| (m, Err(poisoned(&e)))).collect();
    }
    let renamed: Vec<_> = members
        .into_iter()
        .map(|mut m| {
            m.temp.rest();
            let read = read_back(root, m.temp.relpath(), lane, progress);
            let equal = read.and_then(|reading| match difference(&m.record, &reading) {
                None => Ok(reading.class),
                Some(blocks) => Err(Unproven::Mismatch { blocks }),
            });
            let renamed = equal.and_then(|class| match m.temp.rename(&m.target) {
                Ok(_) => Ok(class),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(Unproven::Taken),
                Err(e) => Err(e.into()),
            });
            (m, renamed)
        })
        .collect();
    // Another group may have been told what was lost of this one.
    let told_elsewhere = || match root.failed_syncs() == failed_before {
        true => Ok(()),
        false => Err(io::Error::from(io::ErrorKind::Other)),
    };
    let synced = root.sync_fs().and_then(|()| told_elsewhere());
    renamed
        .into_iter()
        .map(|(m, renamed)| {
            let proven = renamed.and_then(|read_back| {
                let named = match &synced {
                    Ok(()) => m.temp.named(&m.target).map_err(Unproven::from),
                    Err(e) => Err(poisoned(e)),
                };
                let stat = named.inspect_err(|_| m.temp.take_back(&m.target))?;
                Ok(VerifiedFile { relpath: m.record.file.relpath.clone(), stat, read_back, at: Timestamp::now() })
            });
            (m, proven)
        })
        .collect()
}

/// The same error for each of its members.
fn poisoned(e: &io::Error) -> Unproven {
    Unproven::Poisoned(e.raw_os_error().map_or_else(|| e.kind().into(), io::Error::from_raw_os_error))
}
