//! The layouts a card can have. Several can be on one card, so each recogniser says what it saw; none ends the search.

mod generic;
mod sequence;

use crate::clip::{Listing, Role};

pub(crate) const GENERIC: &str = "generic";

/// What one recogniser saw. Files are places in the listing.
pub(crate) struct Found {
    pub layout: &'static str,
    pub clips: Vec<FoundClip>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct FoundClip {
    pub name: String,
    /// Essence first, in order, then what belongs to it.
    pub files: Vec<(u32, Role)>,
}

/// Reads the listing and marks in `taken` the files whose place it knows.
type Recogniser = fn(&Listing, taken: &mut [bool]) -> Option<Found>;

/// In order of trust: families know their own names, `generic` groups what they leave.
const RECOGNISERS: &[Recogniser] = &[generic::recognise];

pub(crate) fn all(listing: &Listing) -> Vec<Found> {
    let mut taken = vec![false; listing.files.len()];
    RECOGNISERS.iter().filter_map(|recognise| recognise(listing, &mut taken)).collect()
}
