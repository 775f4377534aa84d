//! What lies in the folder, and every reason not to register it that its place alone can give.

use super::{IngestError, Register, Station, places, volume};
use crate::card;
use crate::catalog::{CardRow, Catalog};
use crate::clip::{Card, Listing, SourceKind, VolumeId};
use crate::disk::facts::{self, Facts};
use crate::disk::{Root, list};
use crate::mhl;
use crate::relpath::RelPath;

pub(super) struct Footage {
    pub root: Root,
    pub facts: Facts,
    pub volume: VolumeId,
    /// Without the histories: manifests are no footage.
    pub card: Card,
    pub roll: String,
    /// Registered before.
    pub known: Option<CardRow>,
}

/// Opens and lists the folder. Nothing is written.
pub(super) fn look(station: &Station, catalog: &mut Catalog, request: &Register) -> Result<Footage, IngestError> {
    let cannot = |source| IngestError::Folder { path: request.path.clone(), source };
    let root = Root::open(&request.path).map_err(cannot)?;
    let refuse = |why: String| IngestError::NoPlace { path: root.path().to_path_buf(), why };
    let facts = facts::of(root.path()).map_err(cannot)?;
    if places::kind_of(root.path(), &facts) == SourceKind::Card {
        return Err(refuse(
            "it is the root of a removable volume, which may be a card; nothing is written to cards".into(),
        ));
    }
    if let Some(roll) = &request.roll {
        places::check_roll(roll).map_err(IngestError::Roll)?;
    }
    let volume = volume(catalog, &facts)?;
    let known = match request.into {
        Some(card) => catalog.card(card)?,
        None => registered_at(catalog, volume, &facts.place)?,
    };
    apart(catalog, volume, &facts.place, known.as_ref())?.map_or(Ok(()), |why| Err(refuse(why)))?;
    if let (Some(roll), Some(row)) = (&request.roll, &known)
        && row.roll != *roll
        && !places::is_numbered(&row.roll, roll)
    {
        return Err(refuse(format!("it is registered as {} already", row.roll)));
    }
    let mut listing = list::list(root.path(), &station.config.litter)?;
    footage_only(&mut listing);
    if listing.files.is_empty() {
        return Err(refuse("it holds no file".into()));
    }
    let named = root.path().file_name().map(|n| n.to_string_lossy().into_owned()).or(facts.label.clone());
    let roll = request.roll.clone().or(named.filter(|n| places::check_roll(n).is_ok()));
    let roll = roll.ok_or_else(|| IngestError::Roll("the folder has no usable one; say it with --roll".into()))?;
    let card = card::recognise(listing, &mut |index| root.read_small(index, places::INDEX_BYTES));
    Ok(Footage { root, facts, volume, card, roll, known })
}

/// The card that was registered there, or the one of several copies of a rebuilt roll.
fn registered_at(catalog: &Catalog, volume: VolumeId, place: &RelPath) -> Result<Option<CardRow>, IngestError> {
    let registered = |c: &CardRow| c.source_kind == SourceKind::Registered;
    if let Some(card) = catalog.cards_at(volume, place)?.into_iter().find(registered) {
        return Ok(Some(card));
    }
    let copy = catalog.copy_root_at(volume, place)?;
    Ok(copy.map(|copy| catalog.card(copy.card)).transpose()?.flatten().filter(registered))
}

/// Manifests and chains are held to account by themselves, and what is ours and no footage is nobody's.
pub(in crate::ingest) fn footage_only(listing: &mut Listing) {
    let other = |s: &[u8]| s == mhl::FOLDER.as_bytes() || s == b".goodgate";
    let below = |p: &RelPath| p.parent().segments().any(other);
    listing.files.retain(|f| !below(&f.relpath) && !f.relpath.name().ends_with(b".goodgate-part"));
    listing.folders.retain(|f| !f.segments().any(other));
    listing.specials.retain(|(p, _)| !below(p));
    listing.skipped.retain(|p| !below(p));
}

/// Why the folder would mix with what the catalog knows: a copy, other registered footage, or a card's own place, into
/// which nothing is ever written.
fn apart(
    catalog: &Catalog,
    volume: VolumeId,
    place: &RelPath,
    known: Option<&CardRow>,
) -> Result<Option<String>, IngestError> {
    let how = |other: &RelPath| match (place.strip_prefix(other), other.strip_prefix(place)) {
        (Some(rest), _) if rest.is_root() => Some("is"),
        (Some(_), _) => Some("lies inside"),
        (_, Some(_)) => Some("holds"),
        _ => None,
    };
    for row in catalog.all_copy_roots()?.into_iter().filter(|r| r.retired.is_none() && r.volume == volume) {
        if known.is_some_and(|k| k.id == row.card) {
            continue;
        }
        if let Some(how) = how(&row.root) {
            let roll = catalog.card(row.card)?.map(|c| c.roll).unwrap_or_default();
            return Ok(Some(format!("it {how} the copy of {roll} in \"{}\", which is looked after already", row.path)));
        }
    }
    if known.is_some() {
        // Offloaded since: its own additions change it, and nothing else of ours is written there.
        return Ok(None);
    }
    let cards = catalog.cards()?.into_iter().filter(|c| c.volume == volume && c.source_kind != SourceKind::Registered);
    for card in cards {
        if let Some(how) = how(&card.root) {
            let (roll, path) = (&card.roll, &card.source_path);
            return Ok(Some(format!("it {how} the source of {roll} in \"{path}\", to which nothing is written")));
        }
    }
    Ok(None)
}

/// The name, or the numbered one that no card has; and whether the name itself was taken.
pub(super) fn free_roll(catalog: &Catalog, roll: &str) -> Result<(String, bool), IngestError> {
    let taken: Vec<String> = catalog.cards()?.into_iter().map(|c| c.roll).collect();
    let numbered = (2..1000).map(|n| format!("{roll}_{n}"));
    let free = std::iter::once(roll.to_owned()).chain(numbered).find(|name| !taken.contains(name));
    let free = free.ok_or_else(|| IngestError::Roll(format!("\"{roll}\" and its numbered names are all taken")))?;
    let was_taken = free != roll;
    Ok((free, was_taken))
}

/// The gitignore line for one name that is left out as litter.
pub(super) fn pattern_of(skipped: &RelPath) -> String {
    let name = String::from_utf8_lossy(skipped.name());
    let mut out = String::new();
    for c in name.chars() {
        if "*?[]\\".contains(c) || (out.is_empty() && "!#".contains(c)) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
