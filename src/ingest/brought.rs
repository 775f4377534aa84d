//! Histories and lists that the card carries: compared with its one read, and kept apart where they do not hold.

use super::places::Source;
use super::{IngestError, Job};
use crate::catalog::Catalog;
use crate::digest::Digests;
use crate::disk::read::PastCache;
use crate::disk::write::{Replace, write_whole};
use crate::offload::Destination;
use crate::relpath::RelPath;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// A manifest of a million files has some 500 MB.
const LIMIT_BYTES: u64 = 512 << 20;

/// Says in the catalog what the read gave beside what the card says of itself: a reason for the verdict, and a warning
/// for each file that differs.
pub(super) fn compare(
    catalog: &mut Catalog,
    job: &Job,
    source: &Source,
    read: &BTreeMap<RelPath, Digests>,
) -> Result<(), IngestError> {
    let now = Timestamp::now();
    let sizes = source.card.listing.files.iter().map(|f| (f.relpath.clone(), f.size_bytes)).collect();
    let checks = source.brought.check(read, &sizes);
    let texts: Vec<(String, String)> = checks.iter().map(|c| (c.name.to_string(), c.text())).collect();
    catalog.set_source_checks(job.card, &texts, now)?;
    let warnings: Vec<_> = checks.iter().flat_map(|c| c.warnings()).collect();
    let raised: BTreeSet<&str> = warnings.iter().map(|w| &w.id[..]).collect();
    let ours = |id: &str| ["altered:", "altered-more:", "incomplete:"].iter().any(|kind| id.starts_with(kind));
    for old in catalog.warnings(job.card)? {
        if ours(&old.warning.id) && !raised.contains(&old.warning.id[..]) {
            catalog.drop_warning(job.card, &old.warning.id)?;
        }
    }
    for warning in &warnings {
        catalog.raise_warning(job.card, warning, now)?;
    }
    Ok(())
}

/// Copies histories of the card that do not hold, as found, to `.goodgate/foreign/ROLL/`: proven, and never over
/// something else.
pub(super) fn keep_apart(source: &Source, dest: &Destination) -> io::Result<()> {
    let mut files = Vec::new();
    for folder in source.brought.foreign() {
        for name in source.root.names(&folder)? {
            let path = folder.join(name).map_err(io::Error::other)?;
            if source.root.stat(&path)?.is_some_and(|s| s.is_file) {
                files.push((path.clone(), source.root.read_small(&path, LIMIT_BYTES)?));
            }
        }
    }
    if files.is_empty() {
        return Ok(());
    }
    // Another one of that roll may be kept there already.
    for n in 1..1000 {
        let name = if n == 1 { dest.folder.to_string() } else { format!("{}_{n}", dest.folder) };
        let folder = RelPath::new(format!(".goodgate/foreign/{name}")).map_err(io::Error::other)?;
        let mut free = true;
        for (path, bytes) in &files {
            let there = folder.join_rel(path);
            free &= dest.base.stat(&there)?.is_none() || dest.base.read_small(&there, LIMIT_BYTES)? == *bytes;
        }
        if !free {
            continue;
        }
        for (path, bytes) in &files {
            keep(dest, &folder.join_rel(path), bytes)?;
        }
        return Ok(());
    }
    Err(io::Error::other("too many histories of that roll are kept already"))
}

fn keep(dest: &Destination, path: &RelPath, bytes: &[u8]) -> io::Result<()> {
    if dest.base.stat(path)?.is_none() {
        write_whole(&dest.base, path, bytes, Replace::Never)?;
    }
    dest.base.sync_named(path)?;
    // Opening it drops its pages, so that what follows is read from the medium.
    PastCache::open(&dest.base, path, &dest.fs_type)?;
    match dest.base.read_small(path, LIMIT_BYTES)? == bytes {
        true => Ok(()),
        false => Err(io::Error::other(format!("\"{path}\" was read back with other bytes"))),
    }
}
