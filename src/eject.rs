//! A card or a destination that shall leave: unmounted when nothing uses it, and where it can be, powered off.
//!
//! `find` says what a word means and whether it may leave at all; `eject` takes our own locks, so that no job of ours
//! begins on it, brings to the medium what was written, and unmounts every mount of that one filesystem. Never lazily:
//! what is in use stays, and whoever uses it is named. The catalog keeps that the volume's lifetime is over, so that the
//! next read of its copies is known to come after it (`ReadBack::Remounted`).

use crate::catalog::{CardRow, Catalog, CatalogError, DueFilter, Ejection, VolumeRow, VolumeSeen};
use crate::clip::{CardId, SourceKind};
use crate::copy::CopyState;
use crate::disk::Root;
use crate::disk::facts::{self, Facts, Mount};
use crate::disk::lifetime::{self, Lifetime};
use crate::disk::lock::{self, Lock};
use crate::disk::mount::{self, Holder, Kept};
use crate::ingest::{self, IngestError, Standing, Station, card_lock_name, device_lock_name};
use crate::job::Step;
use crate::patrol::PatrolError;
use crate::patrol::scope::{Mounted, Volumes};
use crate::relpath::escape;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the system itself lives.
const SYSTEM: [&str; 12] =
    ["/", "/boot", "/boot/efi", "/efi", "/usr", "/var", "/home", "/root", "/opt", "/tmp", "/nix", "/sysroot"];
/// Holders that are named; the rest is counted.
const NAMED: usize = 5;

#[derive(Debug, thiserror::Error)]
pub enum EjectError {
    #[error("neither a roll nor a volume is called \"{}\"", .0.display())]
    Unknown(PathBuf),
    #[error("{0}")]
    NotMounted(String),
    #[error("several are called \"{}\": {}", .word.display(), .places.join(", "))]
    Several { word: PathBuf, places: Vec<String> },
    #[error("\"{place}\" is not ejected: {why}")]
    Refused { place: String, why: String },
    #[error("\"{place}\" cannot be unmounted: {why}")]
    Cannot { place: String, why: String },
    #[error("\"{place}\" is in use{}", by(.holders))]
    Busy { place: String, holders: Vec<Holder> },
    #[error("\"{place}\" is in use by an offload, a check or a repair of ours{}", by(.holders))]
    Ours { place: String, holders: Vec<Holder> },
    #[error("what was written to \"{place}\" cannot be brought to its medium: {source}")]
    Sync { place: String, source: io::Error },
    #[error(
        "\"{place}\" is unmounted here, and the kernel still holds \"{device}\" for somebody else: do not unplug it"
    )]
    Held { place: String, device: String },
    #[error("\"{place}\" is unmounted and may be unplugged; that could not be written down: {source}")]
    NotRecorded { place: String, source: CatalogError },
    #[error("cannot lock in \"{path}\": {source}")]
    Lock { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Patrol(#[from] PatrolError),
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

fn by(holders: &[Holder]) -> String {
    let named: Vec<String> =
        holders.iter().take(NAMED).map(|h| format!("{} (pid {})", escape(h.name.as_bytes()), h.pid)).collect();
    match holders.len().saturating_sub(NAMED) {
        _ if named.is_empty() => String::new(),
        0 => format!(" by {}", named.join(", ")),
        more => format!(" by {} and {more} more", named.join(", ")),
    }
}

/// What a word means: a mounted filesystem, and what is on it.
pub struct Target {
    facts: Facts,
    /// Every mount of it, the newest last.
    mounts: Vec<Mount>,
    volume: Option<VolumeRow>,
    /// Cards that are there now, each with its verdict.
    cards: Vec<(CardRow, Standing)>,
    /// Copies on it that count.
    copies: u64,
    name: String,
}

impl Target {
    /// A line for each card that must not be formatted yet.
    pub fn warnings(&self) -> Vec<String> {
        let bad = self.cards.iter().filter(|(_, s)| !s.report.safe);
        let mut out: Vec<String> =
            bad.map(|(card, s)| format!("{} is not safe to format: {}", card.roll, s.line)).collect();
        if self.cards.is_empty() && self.copies == 0 && self.facts.removable {
            out.push(format!("nothing on \"{}\" is in the catalog: it is not safe to format", self.name));
        }
        out
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ejected {
    /// Its label, else where it was mounted.
    pub volume: String,
    pub mount: String,
    pub powered_off: bool,
    #[serde(skip)]
    pub next: String,
}

impl Ejected {
    pub fn line(&self) -> String {
        let place = if self.volume == self.mount { String::new() } else { format!(" ({})", self.mount) };
        let state = if self.powered_off { "it is powered off and" } else { "it" };
        format!("ejected: {}{place}; {state} may be unplugged", self.volume)
    }
}

/// A roll means its card. Nothing is changed yet but what a look at the card writes down.
pub fn find(station: &Station, catalog: &mut Catalog, word: &Path) -> Result<Target, EjectError> {
    let (mounted, volumes) = (Mounted::now()?, Volumes::of(catalog)?);
    let name = word.to_str().filter(|w| !w.contains('/'));
    let rolls = name.map_or(Ok(Vec::new()), |n| catalog.cards_named(n))?;
    let mut found: Vec<&Facts> = Vec::new();
    for card in &rolls {
        found.extend(in_place(catalog, &volumes, &mounted, card)?);
    }
    if found.is_empty() {
        let named = volumes.named(&word.to_string_lossy(), &mounted);
        let keys: BTreeSet<&str> = named.iter().filter_map(|v| Some(volumes.get(*v)?.key.as_str())).collect();
        let at = word.canonicalize().ok().filter(|_| name.is_none());
        let is_meant = |f: &&Facts| {
            keys.contains(&f.volume_key.as_str())
                || (f.removable && f.label.as_deref().is_some_and(|l| Some(l) == name))
        };
        // Clones go by one name, but not at one place.
        found.extend(mounted.all().iter().filter(|f| at.as_deref() == Some(&f.mount.point)));
        if found.is_empty() {
            found.extend(mounted.all().iter().filter(is_meant));
        }
        if found.is_empty() {
            return Err(not_there(&rolls, &volumes, !named.is_empty(), word));
        }
    }
    let devices: BTreeSet<(u32, u32)> = found.iter().map(|f| f.mount.device).collect();
    if devices.len() > 1 {
        let places = found.iter().map(|f| shown(&f.mount.point)).collect();
        return Err(EjectError::Several { word: word.to_path_buf(), places });
    }
    let facts = found.remove(0).clone();
    target(station, catalog, &mounted, &volumes, facts)
}

/// Where the card of the roll lies, if it is a card, mounted, and no other one took its place since.
fn in_place<'m>(
    catalog: &Catalog,
    volumes: &Volumes,
    mounted: &'m Mounted,
    card: &CardRow,
) -> Result<Option<&'m Facts>, CatalogError> {
    if card.source_kind != SourceKind::Card
        || catalog.cards_at(card.volume, &card.root)?.first().map(|c| c.id) != Some(card.id)
    {
        return Ok(None);
    }
    let Some(volume) = volumes.get(card.volume) else { return Ok(None) };
    Ok(mounted.find(&volume.key, &card.root).map(|(facts, _)| facts))
}

fn not_there(rolls: &[CardRow], volumes: &Volumes, known: bool, word: &Path) -> EjectError {
    let Some(roll) = rolls.first() else {
        return match known {
            true => EjectError::NotMounted(format!("\"{}\" is not mounted", word.display())),
            false => EjectError::Unknown(word.to_path_buf()),
        };
    };
    let at = &roll.source_path;
    EjectError::NotMounted(match rolls.iter().find(|r| r.source_kind == SourceKind::Card) {
        Some(card) => {
            let label = volumes.get(card.volume).and_then(|v| v.label.clone()).filter(|l| *l != card.roll);
            let label = label.map(|l| format!(" (label {l})")).unwrap_or_default();
            format!("the card of {}{label} is not mounted", card.roll)
        }
        None => format!("{} is no card: it is the folder \"{at}\", and a folder is not ejected", roll.roll),
    })
}

fn target(
    station: &Station,
    catalog: &mut Catalog,
    mounted: &Mounted,
    volumes: &Volumes,
    facts: Facts,
) -> Result<Target, EjectError> {
    let all = facts::mounts().map_err(|source| PatrolError::Look { path: "/proc/self/mountinfo".into(), source })?;
    let mounts: Vec<Mount> = all.iter().filter(|m| m.device == facts.mount.device).cloned().collect();
    if let Some(why) = refusal(station, catalog, mounted, &facts, &mounts, &all) {
        return Err(EjectError::Refused { place: shown(&facts.mount.point), why });
    }
    let volume = volumes.named(&facts.volume_key, mounted).first().and_then(|v| volumes.get(*v)).cloned();
    let (mut cards, mut copies) = (Vec::new(), 0);
    if let Some(volume) = &volume {
        let mut places = BTreeSet::new();
        let on_it = catalog.cards()?.into_iter().filter(|c| c.volume == volume.id && c.source_kind == SourceKind::Card);
        // Newest first: a card that was formatted since is not there any more.
        for card in on_it.filter(|c| places.insert(c.root.clone())) {
            let standing = ingest::standing(station, catalog, card.id)?;
            if standing.report.card_present {
                cards.push((card, standing));
            }
        }
        for root in catalog.all_copy_roots()?.iter().filter(|r| r.volume == volume.id && r.retired.is_none()) {
            copies += catalog.copies(root.id)?.len() as u64;
        }
    }
    if volume.is_none() && !facts.removable {
        let why = "it is no removable medium, and the catalog knows nothing of it".to_owned();
        return Err(EjectError::Refused { place: shown(&facts.mount.point), why });
    }
    let label = facts.label.clone().filter(|l| !l.is_empty());
    let name = label.unwrap_or_else(|| shown(&facts.mount.point));
    Ok(Target { facts, mounts, volume, cards, copies, name })
}

/// Why this filesystem stays, whoever asks.
fn refusal(
    station: &Station,
    catalog: &Catalog,
    mounted: &Mounted,
    facts: &Facts,
    mounts: &[Mount],
    all: &[Mount],
) -> Option<String> {
    let device = facts.mount.device;
    if let Some(m) = mounts.iter().find(|m| SYSTEM.iter().any(|s| m.point == Path::new(s))) {
        return Some(format!("it holds the system (\"{}\")", m.point.display()));
    }
    let ours = [
        ("the catalog", catalog.path().to_path_buf()),
        ("the catalog's folder", station.state.clone()),
        ("the media root", station.media_root()),
    ];
    for (what, path) in ours {
        let near = path.ancestors().find_map(|p| facts::of(p).ok());
        if near.is_some_and(|f| f.mount.device == device) {
            return Some(format!("it holds {what}, \"{}\"", path.display()));
        }
    }
    if !facts.mount.source.starts_with("/dev") {
        return Some(format!("{} is no disk that could be unplugged", facts.mount.fs_type));
    }
    // Images on the system's disk are no part of the system.
    let is_image = facts.mount.source.to_string_lossy().starts_with("/dev/loop");
    let system = facts::of(Path::new("/")).ok().and_then(|f| f.disk.id);
    if !is_image && system.is_some() && facts.disk.id == system {
        return Some("it lies on the disk that the system runs from".into());
    }
    let shows = |m: &Mount| mounted.all().iter().any(|f| f.mount.id == m.id);
    if let Some(m) = mounts.iter().find(|m| !shows(m)) {
        return Some(format!("its mount at \"{}\" cannot be reached: another one hides it", m.point.display()));
    }
    let is_inside = |m: &Mount, own: &Mount| m.point != own.point && m.point.starts_with(&own.point);
    let inside = |m: &&Mount| m.device != device && mounts.iter().any(|own| is_inside(m, own));
    let inner = all.iter().find(inside)?;
    Some(format!("\"{}\" is mounted inside it: eject that first", inner.point.display()))
}

/// Unmounts it for good, or says who is in the way.
pub fn eject(station: &Station, catalog: &mut Catalog, target: &Target) -> Result<Ejected, EjectError> {
    let Target { facts, mounts, volume, .. } = target;
    let place = shown(&facts.mount.point);
    let points: Vec<PathBuf> = mounts.iter().map(|m| m.point.clone()).collect();
    let holders = || mount::holders(facts.mount.device, &points);
    let Some(locks) = locks(station, catalog, target)? else {
        return Err(EjectError::Ours { place, holders: holders() });
    };
    if facts::mounts().ok().is_none_or(|now| !mounts.iter().all(|m| now.contains(m))) {
        return Err(EjectError::NotMounted(format!("\"{place}\" was unmounted by somebody else just now")));
    }
    let volume = match volume {
        Some(_) => Some(catalog.volume(&VolumeSeen::of(facts), Timestamp::now())?),
        None => None,
    };
    let life = Lifetime::of(facts);
    let synced = Root::open(&facts.mount.point).and_then(|root| root.sync_fs());
    synced.map_err(|source| EjectError::Sync { place: place.clone(), source })?;
    if mounts.len() > 1 {
        // All of them or none, as far as that can be seen before.
        let holders = holders();
        if !holders.is_empty() {
            return Err(EjectError::Busy { place, holders });
        }
    }
    // The newest first: a mount may lie on one of the others.
    for m in mounts.iter().rev() {
        mount::unmount(m).map_err(|kept| match kept {
            Kept::Busy => EjectError::Busy { place: shown(&m.point), holders: holders() },
            Kept::Refused(why) => EjectError::Cannot { place: shown(&m.point), why },
        })?;
    }
    let is_over = is_over(facts, &life);
    let powered_off = is_over != Some(false) && mount::power_off(facts);
    let cards: Vec<CardId> = target.cards.iter().map(|(c, _)| c.id).collect();
    let text = match (is_over, powered_off) {
        (Some(false), _) => format!("unmounted from \"{place}\"; somebody else uses it still"),
        (_, true) => format!("unmounted from \"{place}\" and powered off"),
        (_, false) => format!("unmounted from \"{place}\""),
    };
    if let Some(volume) = volume {
        let over = (powered_off || is_over == Some(true)) && is_alone(facts);
        let over = over.then_some(&life);
        let ejection = Ejection { volume, cards: &cards, device: &facts.disk.text, text: &text, over };
        let recorded = catalog.ejected(&ejection, Timestamp::now());
        recorded.map_err(|source| EjectError::NotRecorded { place: place.clone(), source })?;
    }
    drop(locks);
    if is_over == Some(false) {
        return Err(EjectError::Held { place, device: facts.mount.source.display().to_string() });
    }
    Ok(Ejected { volume: target.name.clone(), mount: place.clone(), powered_off, next: next(catalog, target)? })
}

/// No clone of it is mounted, which would go by the same name.
fn is_alone(facts: &Facts) -> bool {
    Mounted::now().is_ok_and(|now| now.all().iter().all(|f| f.volume_key != facts.volume_key))
}

/// Whoever asked for its size just now may hold it for a moment.
fn is_over(facts: &Facts, life: &Lifetime) -> Option<bool> {
    for pause_ms in [0, 20, 80, 200, 500] {
        std::thread::sleep(Duration::from_millis(pause_ms));
        match lifetime::is_over(facts, life) {
            Some(false) => {}
            other => return other,
        }
    }
    Some(false)
}

/// Our own: of the disk, and of each card there that is not copied to the end. Metadata and proxies are made from a copy:
/// whoever makes them needs no card. `None`: somebody works on it.
fn locks(station: &Station, catalog: &Catalog, target: &Target) -> Result<Option<Vec<Lock>>, EjectError> {
    let folder = station.locks();
    let key = &target.facts.volume_key;
    let mut names = BTreeSet::from([device_lock_name(&target.facts)]);
    for job in catalog.jobs()?.into_iter().filter(|j| j.done_at.is_none()) {
        let card = catalog.card(job.card)?.filter(|c| target.volume.as_ref().is_some_and(|v| v.id == c.volume));
        let needs_it = matches!(job.step, Step::Settle | Step::Offload | Step::Seal);
        names.extend(card.filter(|_| needs_it).map(|c| card_lock_name(key, &c.root)));
    }
    let mut held = Vec::new();
    for name in names {
        match lock::try_lock(&folder, &name).map_err(|source| EjectError::Lock { path: folder.clone(), source })? {
            Some(lock) => held.push(lock),
            None => return Ok(None),
        }
    }
    Ok(Some(held))
}

/// What a person does next.
fn next(catalog: &Catalog, target: &Target) -> Result<String, EjectError> {
    let mut parts = Vec::new();
    for (card, standing) in &target.cards {
        parts.push(match standing.report.safe {
            true => format!("{} may be formatted", card.roll),
            false => format!("keep {} as it is: goodgate status {} says what is missing", card.roll, card.roll),
        });
    }
    if target.copies > 0 {
        let volume = offer_name(catalog, &target.name, &target.facts)?;
        let copies = if target.copies == 1 { "its copy".into() } else { format!("its {} copies", target.copies) };
        parts.push(format!(
            "when it is mounted again: goodgate patrol --volume {volume} reads {copies} from the medium"
        ));
    }
    if parts.is_empty() {
        parts.push("goodgate offload it before it is formatted".into());
    }
    Ok(parts.join("; "))
}

/// The word that `patrol --volume` will understand.
fn offer_name(catalog: &Catalog, name: &str, facts: &Facts) -> Result<String, CatalogError> {
    let same = catalog.volumes()?.into_iter().filter(|v| v.label.as_deref() == Some(name)).count();
    let word = if same == 1 { name.to_owned() } else { shown(&facts.mount.point) };
    Ok(quoted(&word))
}

/// For a shell, where it needs that.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,".contains(c);
    match word.chars().all(plain) && !word.is_empty() {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

fn shown(path: &Path) -> String {
    escape(path.as_os_str().as_bytes()).into_owned()
}

/// Volumes that were ejected, are mounted again, and hold copies that nobody proved since: a line for each.
pub fn offers(catalog: &Catalog, mounted_keys: &BTreeSet<String>) -> Result<Vec<(String, Timestamp)>, CatalogError> {
    let mut out = Vec::new();
    for volume in catalog.volumes()?.into_iter().filter(|v| mounted_keys.contains(&v.key)) {
        let Some(at) = catalog.ejected_at(volume.id)? else { continue };
        let filter = DueFilter { roll: None, volume: Some(volume.id) };
        // The failed ones come last, and are due always.
        if catalog.due(1, Some(at), &filter)?.first().is_none_or(|row| row.state != CopyState::Proven) {
            continue;
        }
        let label = volume.label.clone().filter(|l| !l.is_empty());
        let name = label.unwrap_or_else(|| shown(&volume.last_mount));
        let text = format!(
            "{name} is back, and was not read since it was ejected: goodgate patrol --volume {}",
            quoted(&name)
        );
        out.push((text, at));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_are_named_and_many_are_counted() {
        let holder = |pid| Holder { pid, name: format!("p{pid}") };
        assert_eq!(by(&[]), "");
        assert_eq!(by(&[holder(7)]), " by p7 (pid 7)");
        let many: Vec<Holder> = (1..=7).map(holder).collect();
        assert!(by(&many).ends_with("p5 (pid 5) and 2 more"), "{}", by(&many));
    }

    #[test]
    fn one_line_says_what_left_and_that_it_may_be_unplugged() {
        let (volume, mount) = ("SHUTTLE3".to_owned(), "/mnt/x".to_owned());
        let mut ejected = Ejected { volume, mount, powered_off: false, next: String::new() };
        assert_eq!(ejected.line(), "ejected: SHUTTLE3 (/mnt/x); it may be unplugged");
        ejected.powered_off = true;
        assert_eq!(ejected.line(), "ejected: SHUTTLE3 (/mnt/x); it is powered off and may be unplugged");
        ejected.volume = "/mnt/x".into();
        assert_eq!(ejected.line(), "ejected: /mnt/x; it is powered off and may be unplugged");
    }

    #[test]
    fn a_word_is_quoted_for_a_shell_where_it_must_be() {
        assert_eq!(["RAID_1", "/mnt/a b", "it's", ""].map(quoted), ["RAID_1", "'/mnt/a b'", "'it'\\''s'", "''"]);
    }
}
