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

pub use warn::{UsedSpace, warnings};

use crate::clip::{Card, Listing};

/// Finds the layouts and clips of a listing. Every file stays in the listing, whether a clip names it or not.
pub fn recognise(listing: Listing) -> Card {
    let found = layouts::all(&listing);
    let name = |index: u32| listing.files[index as usize].relpath.clone();
    let mut clips: Vec<_> = found.iter().flat_map(|f| &f.clips).collect();
    clips.sort_by_key(|c| c.files.first().map(|(index, _)| *index));
    let clips = clips
        .into_iter()
        .map(|c| crate::clip::Clip {
            name: c.name.clone(),
            files: c.files.iter().map(|(index, role)| (name(*index), *role)).collect(),
        })
        .collect();
    let layout = found.first().map_or(layouts::GENERIC, |f| f.layout).to_owned();
    Card { layout, listing, clips }
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
        Listing { files, ..Listing::default() }
    }
}
