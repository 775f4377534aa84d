//! What a person says of copies: meant to be gone, or changed on purpose. Nothing is deleted, nothing is called proven.

use super::scope::{Mounted, Volumes, scope};
use super::{PatrolError, Target};
use crate::catalog::{AcceptedCopy, Catalog, CopyRootRow};
use crate::clip::{CardId, VolumeId};
use crate::digest::HashFormat;
use crate::disk::Root;
use crate::progress::Progress;
use crate::relpath::{RelPath, escape};
use crate::verify::{Lane, take_all};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A folder or a part of one that counts no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Retired {
    #[serde(skip)]
    pub card: CardId,
    /// Root of the copy.
    pub copy: String,
    /// What of it; empty: all.
    pub relpath: RelPath,
    pub files: u64,
}

/// A copy whose bytes of now a person accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Accepted {
    pub copy: String,
    pub relpath: RelPath,
    pub size_bytes: u64,
}

/// Copies that are meant to be gone: all of a roll, all on a volume, or those at or below a path. They count for no verdict
/// and no alarm any more; the custody log says why.
pub fn retire(catalog: &mut Catalog, word: &Path, reason: &str) -> Result<Vec<Retired>, PatrolError> {
    let (mounted, volumes) = (Mounted::now()?, Volumes::of(catalog)?);
    let mut parts: Vec<(CopyRootRow, Vec<RelPath>)> = Vec::new();
    let all = || vec![RelPath::root()];
    let name = word.to_str().filter(|w| !w.contains('/'));
    let cards = name.map_or(Ok(Vec::new()), |n| catalog.cards_named(n))?;
    let on = name.map(|n| volumes.named(n, &mounted)).unwrap_or_default();
    if !cards.is_empty() || !on.is_empty() {
        let is_meant = |r: &CopyRootRow| match cards.is_empty() {
            false => cards.iter().any(|c| c.id == r.card),
            true => on.contains(&r.volume),
        };
        let roots = catalog.all_copy_roots()?.into_iter().filter(|r| r.retired.is_none() && is_meant(r));
        parts.extend(roots.map(|r| (r, all())));
    } else {
        parts = scope(catalog, &volumes, &mounted, &[Target::Path(word.to_path_buf())])?.copies;
        of_one_volume(word, &volumes, &mounted, &mut parts)?;
    }
    let now = Timestamp::now();
    let mut out = Vec::new();
    for (root, parts) in parts {
        let rows = catalog.copies(root.id)?;
        let copy = escape(root.path.as_bytes()).into_owned();
        if parts.iter().any(RelPath::is_root) {
            catalog.retire_copy_root(root.id, reason, now)?;
            out.push(Retired { card: root.card, copy, relpath: RelPath::root(), files: rows.len() as u64 });
            continue;
        }
        for part in parts {
            let below = rows.iter().filter(|r| r.relpath.strip_prefix(&part).is_some());
            let paths: Vec<RelPath> = below.map(|r| r.relpath.clone()).collect();
            if paths.is_empty() {
                return Err(PatrolError::NothingKnown(word.to_path_buf()));
            }
            catalog.retire_copies(root.id, &paths, reason, now)?;
            let files = paths.len() as u64;
            out.push(Retired { card: root.card, copy: copy.clone(), relpath: part, files });
        }
    }
    match out.is_empty() {
        true => Err(PatrolError::NothingKnown(word.to_path_buf())),
        false => Ok(out),
    }
}

/// Drives rotate at one mount point: a path means what is mounted there now. Where that is none of ours it means the one
/// that was there, if it was only one.
fn of_one_volume(
    word: &Path,
    volumes: &Volumes,
    mounted: &Mounted,
    parts: &mut Vec<(CopyRootRow, Vec<RelPath>)>,
) -> Result<(), PatrolError> {
    let here =
        |volume: VolumeId| volumes.get(volume).and_then(|v| mounted.key_at(&v.last_mount).map(|key| key == v.key));
    if parts.iter().any(|(root, _)| here(root.volume) == Some(true)) {
        parts.retain(|(root, _)| here(root.volume) == Some(true));
        return Ok(());
    }
    let absent: BTreeSet<VolumeId> = parts.iter().map(|(root, _)| root.volume).collect();
    let is_taken = absent.iter().any(|v| here(*v) == Some(false));
    if is_taken || absent.len() > 1 {
        let name = |v: &VolumeId| {
            let volume = volumes.get(*v)?;
            Some(volume.label.clone().filter(|l| !l.is_empty()).unwrap_or_else(|| volume.key.clone()))
        };
        let which = absent.iter().filter_map(name).collect();
        return Err(PatrolError::WhichVolume { path: word.to_path_buf(), which });
    }
    Ok(())
}

/// Reads the copies of one file and accepts what they are now, where that is not what the card gave. They stay unproven:
/// only the alarm ends, until they change again.
pub fn accept_changed(
    catalog: &mut Catalog,
    card: CardId,
    relpath: &RelPath,
    note: &str,
    progress: &dyn Progress,
) -> Result<Vec<Accepted>, PatrolError> {
    let (mounted, volumes) = (Mounted::now()?, Volumes::of(catalog)?);
    let recorded = catalog.file_record(card, relpath)?.and_then(|r| r.digests).map(|d| d.blake3);
    let Some(recorded) = recorded else { return Ok(Vec::new()) };
    let mut out = Vec::new();
    for root in catalog.copy_roots(card)?.into_iter().filter(|r| r.retired.is_none()) {
        let Some(volume) = volumes.get(root.volume) else { continue };
        let Some((facts, way)) = mounted.find(&volume.key, &root.root) else { continue };
        let folder = way.under(&facts.mount.point);
        let Ok(opened) = Root::open(&folder) else { continue };
        let (asked, fs_type) = ([(relpath, &[HashFormat::Blake3][..])], &facts.mount.fs_type);
        let taken = take_all(&opened, &asked, &Lane { name: "accept", fs_type }, &mut Vec::new(), progress).pop();
        let Some(Ok(taken)) = taken else { continue };
        let Some(blake3) = taken.get(HashFormat::Blake3).and_then(|d| d.as_bytes().try_into().ok()) else { continue };
        if blake3 == recorded {
            continue;
        }
        let size_bytes = taken.stat().size_bytes;
        let as_is = AcceptedCopy { relpath: relpath.clone(), size_bytes, blake3, note: note.into() };
        catalog.accept_copy(root.id, &as_is, Timestamp::now())?;
        let copy = escape(folder.as_os_str().as_bytes()).into_owned();
        out.push(Accepted { copy, relpath: relpath.clone(), size_bytes });
    }
    Ok(out)
}
