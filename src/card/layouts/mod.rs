//! The layouts a card can have: one file a camera family, each a table of path patterns. Several can be on one card, so
//! each family says what it saw; none ends the search. `generic` groups what they leave.

mod family;
mod generic;
mod gopro;
mod sequence;
mod sony_m4root;

use crate::clip::{Listing, Role, Warning};
use crate::fact::Fact;
use crate::relpath::RelPath;
use family::Family;
use std::io;

pub(crate) const GENERIC: &str = "generic";

/// In order of trust: who stands first takes a file that two know.
const FAMILIES: &[&Family] = &[&sony_m4root::FAMILY, &gopro::FAMILY];

/// Reads a small file of the card: an index that says which clips there should be.
pub type ReadIndex<'a> = &'a mut dyn FnMut(&RelPath) -> io::Result<Vec<u8>>;

/// What one family saw below one folder. Files are places in the listing.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub layout: &'static str,
    pub clips: Vec<FoundClip>,
    /// What its indexes, numbers and names say is not there.
    pub gaps: Vec<Warning>,
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct FoundClip {
    pub name: String,
    /// Essence first, in order, then what belongs to it.
    pub files: Vec<(u32, Role)>,
    /// What its name, its folder and the card's index say of it.
    pub facts: Vec<Fact>,
}

pub(crate) fn all(listing: &Listing, read: ReadIndex) -> Vec<Found> {
    let mut taken = vec![false; listing.files.len()];
    let mut found = family::all(listing, &mut taken, read);
    found.extend(generic::recognise(listing, &mut taken));
    found
}
