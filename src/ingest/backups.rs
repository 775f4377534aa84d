//! The catalog itself, copied to the destinations of a card after its verdict, and found there again.
//!
//! `DEST/.goodgate/catalog/` holds the newest few of each catalog that uses the destination. One copy is made and checked
//! beside the catalog; its bytes then go to each destination as everything does there: under a temporary name, synced,
//! read back past the cache, compared, renamed. What goes wrong is a note: no job fails by it.

use super::{IngestError, Station};
use crate::catalog::{BackupName, Catalog, CatalogError, PutBack};
use crate::clip::{CardId, SourceKind};
use crate::config::Config;
use crate::disk::buffer::{ALIGN, Buffer};
use crate::disk::facts::{self, Facts};
use crate::disk::read::PastCache;
use crate::disk::write::{Temp, remove};
use crate::disk::{Root, lock};
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Of one catalog, on one destination.
const KEPT: usize = 3;
const FOLDER: &str = ".goodgate/catalog";
const STAGE: &str = ".goodgate-backup-";
const PART: &str = ".goodgate-part";
const CHUNK: usize = 256 << 10;

/// A destination that can be reached now.
struct Shelf {
    root: Root,
    facts: Facts,
}

/// Backs the catalog up to where this card is copied to. One of the same job that was laid before is replaced. Gives the
/// name, when some destination has it now.
pub fn back_up(
    station: &Station,
    catalog: &Catalog,
    card: CardId,
    instead: Option<&BackupName>,
    progress: &dyn Progress,
) -> Option<BackupName> {
    let note = |text: String| progress.event(Event::Note(&text));
    let done = || -> Result<Option<BackupName>, String> {
        let shelves = shelves(catalog, card).map_err(|e| e.to_string())?;
        if shelves.is_empty() {
            return Ok(None);
        }
        let locked = lock::wait_lock(&station.locks(), "backup of the catalog", || progress.stop_asked());
        let Some(_lock) = locked.map_err(|e| e.to_string())? else { return Ok(None) };
        sweep(&station.state);
        let id = catalog.station_id().map_err(|e| e.to_string())?;
        let head = catalog.head().map_err(|e| e.to_string())?;
        let name = BackupName::new(&id, head, Timestamp::now());
        // What the job at work has changed already is brought up to date at its end.
        let is_enough = |known: &BackupName| -> Result<bool, CatalogError> {
            let same =
                || Ok::<_, CatalogError>(catalog.has_been_at(known.head)? && !catalog.is_news_since(known.head)?);
            Ok(known.head == head || (instead.is_none() && same()?))
        };
        let mut lacking = Vec::new();
        for shelf in shelves {
            clear(&shelf.root, &id);
            let known = own(&shelf.root, &id).iter().map(is_enough).collect::<Result<Vec<bool>, _>>();
            if !known.map_err(|e| e.to_string())?.contains(&true) {
                lacking.push(shelf);
            }
        }
        if lacking.is_empty() {
            return Ok(None);
        }
        let stage = Stage(station.state.join(format!("{STAGE}{}{PART}", uuid::Uuid::now_v7())));
        let problems = catalog.snapshot(&stage.0).map_err(|e| e.to_string())?;
        if let Some(first) = problems.first() {
            // What is known good on the destinations must not make room for it.
            return Err(format!("it is damaged ({first}): goodgate check"));
        }
        let (mut laid, mut buf) = (false, Buffer::new(CHUNK));
        for shelf in &lacking {
            match lay(shelf, &stage.0, &name, &mut buf).and_then(|()| rotate(&shelf.root, &name, instead)) {
                Ok(()) => laid = true,
                Err(e) => note(format!("the catalog is not backed up in \"{}\": {e}", shelf.root.path().display())),
            }
        }
        Ok(laid.then_some(name))
    };
    done().unwrap_or_else(|why| {
        note(format!("the catalog is not backed up: {why}"));
        None
    })
}

struct Stage(PathBuf);

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What a kill left in the folder of the catalog.
fn sweep(state: &Path) {
    for entry in std::fs::read_dir(state).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|n| n.starts_with(STAGE) && n.contains(PART)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The destinations of a card, or, of footage that lies in none, all that the catalog knows: those with our marker.
fn shelves(catalog: &Catalog, card: CardId) -> Result<Vec<Shelf>, IngestError> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    let cards = catalog.cards()?;
    let volumes = catalog.volumes()?;
    // A mount hidden below another one has its point answered by that one.
    let answers = |m: facts::Mount| facts::of(&m.point).ok().filter(|f| f.mount.id == m.id);
    let mounted: Vec<Facts> = facts::mounts().unwrap_or_default().into_iter().filter_map(answers).collect();
    // Nothing is ever written to a card.
    let is_card = |volume| cards.iter().any(|c| c.source_kind == SourceKind::Card && c.volume == volume);
    for rows in [catalog.copy_roots(card)?, catalog.all_copy_roots()?] {
        for row in rows.into_iter().filter(|r| r.retired.is_none() && !r.root.is_root() && !is_card(r.volume)) {
            let Some(volume) = volumes.iter().find(|v| v.id == row.volume) else { continue };
            let place = row.root.parent();
            if !seen.insert((row.volume, place.clone())) {
                continue;
            }
            let of_volume = mounted.iter().filter(|f| f.volume_key == volume.key);
            let Some((facts, way)) = of_volume.filter_map(|f| Some((f, place.strip_prefix(&f.place)?))).next() else {
                continue;
            };
            // From the mount itself down: what is unmounted now leads to no other folder.
            let Ok(root) = Root::open(&facts.mount.point).and_then(|point| point.sub_root(&way)) else { continue };
            if mount_id(&root) == Some(facts.mount.id) && is_destination(&root) {
                out.push(Shelf { root, facts: facts.clone() });
            }
        }
        if !out.is_empty() {
            break;
        }
    }
    Ok(out)
}

fn mount_id(root: &Root) -> Option<u64> {
    facts::mount_id_of(root.fd()).ok()
}

pub(super) fn is_destination(root: &Root) -> bool {
    let marker = RelPath::new(".goodgate/volume.json").unwrap_or_default();
    root.stat(&marker).is_ok_and(|s| s.is_some_and(|s| s.is_file))
}

fn folder() -> RelPath {
    RelPath::new(FOLDER).unwrap_or_default()
}

/// Backups that lie in a destination, in no order.
fn all(root: &Root) -> Vec<BackupName> {
    root.names(&folder()).unwrap_or_default().iter().filter_map(|n| BackupName::parse(n)).collect()
}

/// Of one catalog, the newest last.
fn own(root: &Root, station: &str) -> Vec<BackupName> {
    let mut out: Vec<BackupName> = all(root).into_iter().filter(|n| n.station == station).collect();
    out.sort();
    out
}

/// What a kill left of this catalog's backups, also where none is to be laid now. Nobody else lays them at this moment.
fn clear(root: &Root, station: &str) {
    for left in root.names(&folder()).unwrap_or_default() {
        let is_ours = |n: &str| n.strip_prefix('.').is_some_and(|n| n.ends_with(PART) && n.contains(station));
        if std::str::from_utf8(&left).is_ok_and(is_ours) {
            let _ = folder().join(&left).map(|part| remove(root, &part));
        }
    }
}

fn lay(shelf: &Shelf, from: &Path, name: &BackupName, buf: &mut Buffer) -> io::Result<()> {
    let root = &shelf.root;
    root.still_here()?;
    if shelf.facts.mount.read_only {
        return Err(io::ErrorKind::ReadOnlyFilesystem.into());
    }
    root.make_dir(&folder())?;
    let place = |name: &str| folder().join(name).map_err(io::Error::other);
    let (temp, target) = (place(&format!(".{}{PART}", name.text()))?, place(&name.text())?);
    let mut file = File::open(from)?;
    let size = file.metadata()?.len();
    let mut temp = Temp::create(root, &temp, size)?;
    let written = write(&mut temp, &mut file, buf);
    let proven = written.and_then(|sum| match digest(root, temp.relpath(), &shelf.facts, buf)? {
        read if read == sum => Ok(()),
        _ => Err(io::Error::other("it was read back with other bytes")),
    });
    match proven {
        Ok(()) => temp.publish(&target).map(drop).map_err(|(temp, e)| {
            let _ = temp.discard();
            e
        }),
        Err(e) => {
            // A full disk must not keep what nobody will ever finish.
            let _ = temp.discard();
            Err(e)
        }
    }
}

fn write(temp: &mut Temp<'_>, from: &mut File, buf: &mut Buffer) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    loop {
        let mut len = 0;
        while len < CHUNK {
            match from.read(&mut buf[len..CHUNK]) {
                Ok(0) => break,
                Ok(n) => len += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        if len == 0 {
            break;
        }
        hasher.update(&buf[..len]);
        temp.append(buf, len)?;
        if len < CHUNK {
            break;
        }
    }
    temp.finish(None)?;
    Ok(hasher.finalize())
}

fn digest(root: &Root, relpath: &RelPath, facts: &Facts, buf: &mut Buffer) -> io::Result<blake3::Hash> {
    debug_assert!(CHUNK.is_multiple_of(ALIGN));
    let mut file = PastCache::open(root, relpath, &facts.mount.fs_type)?;
    let mut hasher = blake3::Hasher::new();
    let mut at = 0;
    loop {
        let n = file.read_at(at, buf, CHUNK)?;
        hasher.update(&buf[..n]);
        at += n as u64;
        if n < CHUNK {
            return Ok(hasher.finalize());
        }
    }
}

/// Keeps the newest few of this catalog, the one just laid among them, whatever the clock says. Files of any other name
/// are nobody's business here.
fn rotate(root: &Root, laid: &BackupName, instead: Option<&BackupName>) -> io::Result<()> {
    let mut older: Vec<BackupName> = own(root, &laid.station).into_iter().filter(|n| n != laid).collect();
    let replaced = older.iter().position(|n| Some(n) == instead).map(|i| older.remove(i));
    let too_many = older.len().saturating_sub(KEPT - 1);
    for old in older.drain(..too_many).chain(replaced) {
        remove(root, &folder().join(old.text()).map_err(io::Error::other)?)?;
    }
    Ok(())
}

/// A backup of this very catalog that knows what it does not: then somebody put an older file in its place, and what it
/// says may long be otherwise.
pub(super) fn notice(catalog: &mut Catalog, destination: &Path, now: Timestamp) -> Result<(), IngestError> {
    let Ok(root) = Root::open(destination) else { return Ok(()) };
    let id = catalog.station_id()?;
    for name in own(&root, &id) {
        if !catalog.has_been_at(name.head)? {
            let place = folder().join(name.text()).unwrap_or_default().under(root.path());
            let why = format!("the catalog is older than its own backup \"{}\"", place.display());
            catalog.put_back(PutBack::Behind, &why, now)?;
            // It has another id from now on, and no backups of that.
            return Ok(());
        }
    }
    Ok(())
}

/// The newest backup that lies on one of these destinations, a configured one, or at the top of a mounted volume; of that
/// catalog, if one with its id is there.
pub fn newest_backup(config: &Config, destinations: Vec<PathBuf>, station: Option<&str>) -> Option<PathBuf> {
    let mounts = facts::mounts().unwrap_or_default();
    let points = mounts.iter().map(|m| m.point.clone()).filter(|p| *p != Path::new("/"));
    let of_mounts = points.flat_map(|point| {
        let inside = std::fs::read_dir(&point).into_iter().flatten().flatten().map(|e| e.path()).take(200);
        std::iter::once(point.clone()).chain(inside.collect::<Vec<_>>())
    });
    let configured = config.destinations.iter().flat_map(|d| literal(d.path.text()));
    let mut found: Vec<(bool, BackupName, PathBuf)> = Vec::new();
    for place in destinations.into_iter().chain(configured).chain(of_mounts) {
        if !place.join(FOLDER).is_dir() {
            continue;
        }
        let Ok(root) = Root::open(&place) else { continue };
        let ours = |n: &BackupName| station == Some(&n.station);
        found.extend(all(&root).into_iter().map(|n| (ours(&n), n.clone(), place.join(FOLDER).join(n.text()))));
    }
    found.into_iter().max().map(|(_, _, path)| path)
}

/// The folders that a destination's template may mean, each value being any folder there is.
fn literal(template: &str) -> Vec<PathBuf> {
    let mut out = vec![PathBuf::from("/")];
    for part in template.split('/').filter(|p| !p.is_empty()) {
        let each = |folder: PathBuf| match part.contains('{') {
            false => vec![folder.join(part)],
            true => std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).take(200).collect(),
        };
        out = out.into_iter().flat_map(each).take(1000).collect();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Head;

    fn name(second: i64, rows: u64, station: &str) -> BackupName {
        let at = Timestamp::from_second(1_800_000_000 + second).unwrap();
        BackupName::new(station, Head { rows, hash: [7; 8] }, at)
    }

    const OURS: &str = "00000000000000000000000000000001";
    const THEIRS: &str = "00000000000000000000000000000002";

    #[test]
    fn rotation_keeps_the_newest_and_touches_nothing_of_others() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = dir.path().join(FOLDER);
        std::fs::create_dir_all(&shelf).unwrap();
        let foreign = ["catalog.db", "notes.txt", "2026-11-27_113000Z.db", ".2026-x.goodgate-part"];
        let theirs = (0..5).map(|n| name(n, 1, THEIRS).text());
        let others: Vec<String> = foreign.into_iter().map(String::from).chain(theirs).collect();
        others.iter().for_each(|n| std::fs::write(shelf.join(n), n).unwrap());
        let root = Root::open(dir.path()).unwrap();
        for n in 0..6 {
            std::fs::write(shelf.join(name(n, n as u64, OURS).text()), "x").unwrap();
            rotate(&root, &name(n, n as u64, OURS), None).unwrap();
        }
        let rows = || own(&root, OURS).iter().map(|n| n.head.rows).collect::<Vec<_>>();
        assert_eq!(rows(), [3, 4, 5]);
        // The one before of the same job makes room for the last.
        std::fs::write(shelf.join(name(6, 6, OURS).text()), "x").unwrap();
        rotate(&root, &name(6, 6, OURS), Some(&name(5, 5, OURS))).unwrap();
        assert_eq!(rows(), [3, 4, 6]);
        // The clock was set back: what was just laid stays.
        std::fs::write(shelf.join(name(-9, 9, OURS).text()), "x").unwrap();
        rotate(&root, &name(-9, 9, OURS), None).unwrap();
        assert_eq!(rows(), [9, 4, 6]);
        for other in others {
            assert_eq!(std::fs::read_to_string(shelf.join(&other)).unwrap(), other);
        }
    }

    #[test]
    fn a_template_means_the_folders_that_are_there() {
        let dir = tempfile::tempdir().unwrap();
        for day in ["film/d1", "film/d2", "other/d1"] {
            std::fs::create_dir_all(dir.path().join(day)).unwrap();
        }
        let found = literal(&format!("{}/{{project}}/{{date}}", dir.path().display()));
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(literal("/mnt/raid"), [PathBuf::from("/mnt/raid")]);
    }
}
