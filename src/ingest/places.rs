//! Where a card lies and where it shall go: paths into roots, volumes and facts, with every refusal that a path alone
//! can earn.

use super::{IngestError, Request, Station};
use crate::catalog::{Catalog, CopyRootRow, VolumeSeen};
use crate::clip::{Card, CardId, Listing, SourceKind, VolumeId};
use crate::disk::facts::{self, Facts};
use crate::disk::write::{Replace, write_whole};
use crate::disk::{Root, list};
use crate::mhl::Brought;
use crate::relpath::RelPath;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The card as it is now.
pub(super) struct Source {
    pub root: Root,
    pub facts: Facts,
    pub volume: VolumeId,
    pub kind: SourceKind,
    pub card: Card,
    /// Histories and legacy lists that it carries; the listing is without those that do not hold.
    pub brought: Brought,
    /// From the folder's or the volume's name.
    pub roll: Option<String>,
}

pub(super) fn volume(catalog: &mut Catalog, facts: &Facts) -> Result<VolumeId, IngestError> {
    Ok(catalog.volume(&VolumeSeen::of(facts), Timestamp::now())?)
}

/// The largest index file of a card that is read: a MEDIAPRO.XML of some thousand clips.
pub(super) const INDEX_BYTES: u64 = 16 << 20;

/// Opens and lists the card. Nothing is written to it.
pub(super) fn source(station: &Station, catalog: &mut Catalog, path: &Path) -> Result<Source, IngestError> {
    let missing = |source| IngestError::Card { path: path.to_path_buf(), source };
    let root = Root::open(path).map_err(missing)?;
    let facts = facts::of(root.path()).map_err(missing)?;
    let mut listing = list::list(root.path(), &station.config.litter)?;
    let brought = Brought::of(&root, &listing);
    brought.leave_out(&mut listing);
    let kind = kind_of(root.path(), &facts);
    let volume = volume(catalog, &facts)?;
    let folder_name = root.path().file_name().map(|n| n.to_string_lossy().into_owned());
    let label = facts.label.clone();
    let names = match kind {
        SourceKind::Card => [label, folder_name],
        _ => [folder_name, None],
    };
    let roll = names.into_iter().flatten().find(|n| check_roll(n).is_ok());
    let card = crate::card::recognise(listing, &mut |index| root.read_small(index, INDEX_BYTES));
    Ok(Source { card, brought, root, facts, volume, kind, roll })
}

pub(super) fn kind_of(path: &Path, facts: &Facts) -> SourceKind {
    match path == facts.mount.point && facts.removable {
        true => SourceKind::Card,
        false => SourceKind::Folder,
    }
}

/// A roll is one folder name that every filesystem and manifest can hold.
pub(super) fn check_roll(roll: &str) -> Result<(), String> {
    let bad = |c: char| c.is_control() || "/\\\"*:<>?|".contains(c);
    if roll.is_empty() || roll.len() > 100 {
        return Err("a roll's name has 1 to 100 bytes".into());
    }
    if roll.starts_with('.') || roll.ends_with(['.', ' ']) || roll.starts_with(' ') {
        return Err("a roll's name does not begin with a dot or blank, nor end with one".into());
    }
    if let Some(c) = roll.chars().find(|c| bad(*c)) {
        return Err(format!("a roll's name cannot hold {c:?}"));
    }
    if roll.eq_ignore_ascii_case(crate::mhl::FOLDER) {
        return Err("that name is kept for manifests".into());
    }
    Ok(())
}

/// How what lies there now relates to a card that was recorded at the same place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Every old entry unchanged; these are new.
    Same { added: usize },
    /// None of the old entries is left as it was: another card, the old one is gone.
    Another,
    /// Some unchanged, others not: a person must say.
    Changed(Vec<RelPath>),
}

pub(super) fn compare(old: &Listing, now: &Listing) -> Known {
    let kept = old.files.iter().filter(|f| now.file(&f.relpath) == Some(f)).count();
    if old.files.is_empty() || now.files.is_empty() || kept == 0 {
        return Known::Another;
    }
    let changed: Vec<RelPath> =
        old.files.iter().filter(|f| now.file(&f.relpath) != Some(f)).map(|f| f.relpath.clone()).collect();
    match changed.is_empty() {
        true => Known::Same { added: now.files.len() - kept },
        false => Known::Changed(changed),
    }
}

/// The recorded card that lies there now, if any. A roll asked for by name is another card than one recorded under
/// another name.
pub(super) fn known_card(
    catalog: &Catalog,
    source: &Source,
    roll: Option<&str>,
) -> Result<Option<(CardId, Known)>, IngestError> {
    for row in catalog.cards_at(source.volume, &source.facts.place)? {
        if row.source_kind == SourceKind::Registered
            || roll.is_some_and(|r| row.roll != r && !is_numbered(&row.roll, r))
        {
            continue;
        }
        match compare(&catalog.listing(row.id)?, &source.card.listing) {
            Known::Another => continue,
            known => return Ok(Some((row.id, known))),
        }
    }
    Ok(None)
}

/// `A001_2` for `A001`.
pub(super) fn is_numbered(roll: &str, base: &str) -> bool {
    roll.strip_prefix(base)
        .and_then(|r| r.strip_prefix('_'))
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// A destination that can be written to.
pub(super) struct Place {
    /// Absolute, as the user named it.
    pub name: String,
    /// With symlinks resolved.
    pub path: PathBuf,
    /// It was there before us; else `base` is it, or in a dry run the nearest folder above.
    pub exists: bool,
    pub base: Root,
    pub facts: Facts,
    pub volume: VolumeId,
}

/// The destinations of a request: those named, else those of the config with their templates filled in.
pub(super) fn wanted(
    station: &Station,
    request: &Request,
    card: &Card,
    roll: &str,
) -> Result<Vec<PathBuf>, IngestError> {
    if !request.to.is_empty() {
        return Ok(request.to.clone());
    }
    if station.config.destinations.is_empty() {
        return Err(IngestError::NoDestination);
    }
    let mut values: BTreeMap<String, String> = station.config.offload.set.clone();
    values.extend(request.set.clone());
    let newest = card.listing.files.iter().map(|f| f.mtime_ns).max().unwrap_or(0);
    let day = Timestamp::from_nanosecond(i128::from(newest)).unwrap_or(Timestamp::UNIX_EPOCH);
    let zoned = day.to_zoned(jiff::tz::TimeZone::system());
    values.entry("date".into()).or_insert_with(|| zoned.strftime("%Y-%m-%d").to_string());
    let letter: String = roll.chars().take_while(char::is_ascii_alphabetic).collect();
    values.entry("camera".into()).or_insert_with(|| if letter.is_empty() { "unknown".into() } else { letter });
    values.entry("layout".into()).or_insert_with(|| card.layout().to_owned());
    let fill = |d: &crate::config::Destination| {
        let refused = |why: crate::config::BadValue| IngestError::Destination {
            path: d.path.text().to_owned(),
            why: why.to_string(),
        };
        d.path.expand(&values).map_err(refused)
    };
    station.config.destinations.iter().map(fill).collect()
}

/// How much of a destination's path may be made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Make {
    Nothing,
    /// A destination named by hand: its own folder, if the parent exists.
    Last,
    /// A template of the config.
    Folders,
}

/// Opens a destination, making it where that is allowed.
pub(super) fn open(catalog: &mut Catalog, path: &Path, make: Make) -> Result<Place, IngestError> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let name = path.display().to_string();
    let refuse = |why: String| IngestError::Destination { path: name.clone(), why };
    let mut nearest = path.as_path();
    while !nearest.exists() {
        nearest = nearest.parent().ok_or_else(|| refuse("no such folder".into()))?;
    }
    let exists = nearest == path;
    if make != Make::Folders && !exists && path.parent() != Some(nearest) {
        return Err(refuse(format!("its parent folder does not exist (nearest is \"{}\")", nearest.display())));
    }
    let near = facts::of(nearest).map_err(|e| refuse(e.to_string()))?;
    refuse_bare_mount_point(catalog, &path, &near).map_err(refuse)?;
    let rest = RelPath::below(nearest, &path).ok_or_else(|| refuse("not a clean path".into()))?;
    if let Some(row) = registered_around(catalog, &near, &near.place.join_rel(&rest))? {
        return Err(refuse(format!("it lies inside \"{}\", which is registered footage", row.path)));
    }
    if !exists && make != Make::Nothing {
        let root = Root::open(nearest).map_err(|e| refuse(e.to_string()))?;
        root.make_dir(&rest).map_err(|e| refuse(format!("cannot make the folder: {e}")))?;
    }
    let made = if make == Make::Nothing { nearest } else { &path };
    let base = Root::open(made).map_err(|e| refuse(e.to_string()))?;
    let facts = facts::of(base.path()).map_err(|e| refuse(e.to_string()))?;
    let volume = volume(catalog, &facts)?;
    let path = if made == path { base.path().to_path_buf() } else { path.clone() };
    Ok(Place { name, path, exists, base, facts, volume })
}

/// The folder of registered footage that holds this place, if one does: a roll offloaded there would mix with it.
fn registered_around(catalog: &Catalog, facts: &Facts, place: &RelPath) -> Result<Option<CopyRootRow>, IngestError> {
    let Some(volume) = catalog.volumes()?.into_iter().find(|v| v.key == facts.volume_key) else { return Ok(None) };
    for row in catalog.all_copy_roots()?.into_iter().filter(|r| r.retired.is_none() && r.volume == volume.id) {
        let is_registered = || -> Result<bool, IngestError> {
            Ok(catalog.card(row.card)?.is_some_and(|c| c.source_kind == SourceKind::Registered))
        };
        if place.strip_prefix(&row.root).is_some() && is_registered()? {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

/// A path where a drive should be mounted and is not would fill the system disk, and count as a copy.
fn refuse_bare_mount_point(catalog: &Catalog, path: &Path, near: &Facts) -> Result<(), String> {
    let system = facts::of(Path::new("/")).map_err(|e| e.to_string())?;
    let on_system = near.volume_key == system.volume_key;
    for guarded in ["/mnt", "/media", "/run/media"] {
        if on_system && path.starts_with(guarded) {
            return Err(format!(
                "nothing is mounted there: it lies on the system disk below {guarded}; mount the drive first"
            ));
        }
    }
    for row in catalog.all_copy_roots().map_err(|e| e.to_string())? {
        let volume = catalog.volume_row(row.volume).map_err(|e| e.to_string())?;
        // Another drive at the same point is a rotation; the disk around that point is not.
        let around = volume.last_mount != near.mount.point && volume.last_mount.starts_with(&near.mount.point);
        // Each day may be another folder below that point.
        if Path::new(&row.destination) != path && !(around && path.starts_with(&volume.last_mount)) {
            continue;
        }
        if volume.key != near.volume_key && (on_system || around) {
            return Err(format!(
                "it was a mounted drive ({}) and now lies on the disk of \"{}\"; mount the drive first",
                volume.label.unwrap_or(volume.fs_type),
                near.mount.point.display()
            ));
        }
    }
    Ok(())
}

/// Our marker at a destination: says that the folder is one, and which volume it was made on.
pub(super) fn mark(place: &Place) -> io::Result<()> {
    let relpath = RelPath::new(".goodgate/volume.json").unwrap_or_default();
    if place.base.stat(&relpath)?.is_some() {
        return Ok(());
    }
    let text = serde_json::json!({
        "goodgate": "destination",
        "id": uuid::Uuid::now_v7().to_string(),
        "volume": place.facts.volume_key,
        "made_at": Timestamp::now().to_string(),
    });
    match write_whole(&place.base, &relpath, format!("{text:#}\n").as_bytes(), Replace::Never) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => Ok(()),
    }
}

/// The roll's folder: `ROLL`, or `ROLL_2`, ... where that name belongs to something else on any destination, or to
/// footage that is registered where it lies.
pub(super) fn folder(
    catalog: &Catalog,
    card: Option<CardId>,
    roll: &str,
    places: &[Place],
) -> Result<String, IngestError> {
    // A retired one, too: offloaded to again it is taken back into use.
    let own = card.map(|card| catalog.copy_roots(card)).transpose()?.unwrap_or_default();
    for n in 1..1000 {
        let name = if n == 1 { roll.to_owned() } else { format!("{roll}_{n}") };
        let rel = RelPath::new(&name).map_err(|e| IngestError::Roll(e.to_string()))?;
        let mut free = card.is_some() || !is_registered(catalog, &name)?;
        for place in places {
            let at = place.facts.place.join_rel(&rel);
            let is_own = || own.iter().any(|r| r.volume == place.volume && r.root == at);
            let owner = catalog.copy_root_at(place.volume, &at)?.map(|r| r.card).or(card.filter(|_| is_own()));
            let taken = match owner {
                Some(owner) => Some(owner) != card && place_in_use(place, &rel)?,
                None => place_in_use(place, &rel)?,
            };
            free &= !taken;
        }
        if free {
            return Ok(name);
        }
    }
    Err(IngestError::Roll(format!("\"{roll}\" and its numbered names are all taken")))
}

/// Its proxies have that name too.
fn is_registered(catalog: &Catalog, roll: &str) -> Result<bool, IngestError> {
    let named = catalog.cards_named(roll)?;
    Ok(named.iter().any(|c| c.roll == roll && c.source_kind == SourceKind::Registered))
}

/// Something lies under that name that is not an empty folder.
fn place_in_use(place: &Place, rel: &RelPath) -> Result<bool, IngestError> {
    if !place.exists {
        return Ok(false);
    }
    let failed = |source| IngestError::Write { path: rel.under(place.base.path()), source };
    match place.base.stat(rel).map_err(failed)? {
        None => Ok(false),
        Some(stat) if !stat.is_dir => Ok(true),
        Some(_) => Ok(std::fs::read_dir(rel.under(place.base.path())).map_err(failed)?.next().is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clip::CardFile;

    fn listing(files: &[(&str, u64)]) -> Listing {
        let file =
            |(p, size): &(&str, u64)| CardFile { relpath: RelPath::new(p).unwrap(), size_bytes: *size, mtime_ns: 7 };
        Listing { files: files.iter().map(file).collect(), ..Listing::default() }
    }

    #[test]
    fn a_card_is_known_by_its_listing() {
        let old = listing(&[("a", 1), ("b", 2)]);
        assert_eq!(compare(&old, &old), Known::Same { added: 0 });
        assert_eq!(compare(&old, &listing(&[("a", 1), ("b", 2), ("c", 3)])), Known::Same { added: 1 });
        assert_eq!(compare(&old, &listing(&[("a", 9), ("x", 2)])), Known::Another);
        assert_eq!(compare(&old, &listing(&[])), Known::Another);
        assert!(matches!(compare(&old, &listing(&[("a", 1), ("b", 3)])), Known::Changed(c) if c.len() == 1));
        assert!(matches!(compare(&old, &listing(&[("a", 1)])), Known::Changed(c) if c.len() == 1));
    }

    #[test]
    fn a_roll_is_one_plain_folder_name() {
        for bad in ["", "a/b", "..", ".x", "a\nb", "ascmhl", "x ", "a:b"] {
            assert!(check_roll(bad).is_err(), "{bad:?}");
        }
        assert!(check_roll("A001 take 2").is_ok());
        assert!(is_numbered("A001_2", "A001") && !is_numbered("A001_B", "A001"));
    }
}
