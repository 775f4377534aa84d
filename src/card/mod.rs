//! **Owns** what a card's listing means: its layout, its clips, what about it must be accepted before it may be formatted.
//! **Never** leaves a file out (clips are a view on files), opens the card, or guesses a name that is not there.
//! **Flow** `settle` says that a dump stopped growing, `recognise` makes the `Card`, `warnings` judges it before the copy,
//! `complete::check` judges each proven copy after it.
//! **Tests** beside each file: made listings, mutated headers, and the sample media where present.

pub mod complete;
mod kind;
mod layouts;
pub mod settle;
mod warn;

pub use layouts::ReadIndex;
pub use warn::{UsedSpace, warnings};

use crate::clip::{Card, Clip, Listing};
use crate::fact::{Fact, Origin, Said};

/// Finds the layouts and clips of a listing; `read` gives the card's small index files. Every file stays in the listing,
/// whether a clip names it or not.
pub fn recognise(listing: Listing, read: ReadIndex) -> Card {
    let found = layouts::all(&listing, read);
    let name = |index: u32| listing.files[index as usize].relpath.clone();
    let said = |fact: &Fact| Said { fact: fact.clone(), origin: Origin::Name, by: "name".into() };
    let mut clips: Vec<_> = found.iter().flat_map(|f| f.clips.iter().map(move |c| (f.layout, c))).collect();
    clips.sort_by_key(|(_, c)| c.files.first().map(|(index, _)| *index));
    let clips = clips
        .into_iter()
        .map(|(layout, c)| Clip {
            name: c.name.clone(),
            layout: layout.to_owned(),
            files: c.files.iter().map(|(index, role)| (name(*index), *role)).collect(),
            said: c.facts.iter().map(said).collect(),
        })
        .collect();
    let mut layouts: Vec<String> = Vec::new();
    for found in found.iter().filter(|f| !f.clips.is_empty() || !f.gaps.is_empty()) {
        if !layouts.iter().any(|l| l == found.layout) {
            layouts.push(found.layout.to_owned());
        }
    }
    let gaps = found.into_iter().flat_map(|f| f.gaps).collect();
    Card { layouts, listing, clips, gaps }
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::clip::{CardFile, Listing};
    use crate::relpath::RelPath;

    /// A listing in byte order, as the disk gives it.
    pub(crate) fn listing(files: &[(&[u8], u64)]) -> Listing {
        let mut files: Vec<_> = files
            .iter()
            .map(|(p, size)| CardFile { relpath: RelPath::new(p).unwrap(), size_bytes: *size, mtime_ns: 1 })
            .collect();
        files.sort_by(|a, b| a.relpath.cmp(&b.relpath));
        let folders: std::collections::BTreeSet<_> = files.iter().flat_map(|f| f.relpath.ancestors()).collect();
        Listing { files, folders: folders.into_iter().collect(), ..Listing::default() }
    }

    /// `layout name: file=role file=role`, one line a clip.
    pub(crate) fn clips(names: &[&str]) -> Vec<String> {
        let card = recognise(listing(&names.iter().map(|n| (n.as_bytes(), 1)).collect::<Vec<_>>()));
        let line = |c: &crate::clip::Clip| {
            let files: String = c.files.iter().map(|(p, r)| format!(" {p}={}", r.name())).collect();
            format!("{} {}:{files}", c.layout, c.name)
        };
        card.clips.iter().map(line).collect()
    }

    /// A card without a readable index.
    pub(crate) fn recognise(listing: Listing) -> crate::clip::Card {
        super::recognise(listing, &mut |_| Err(std::io::ErrorKind::NotFound.into()))
    }
}
