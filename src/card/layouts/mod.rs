//! The layouts a card can have: one file a camera family, each a table of path patterns. Several can be on one card, so
//! each family says what it saw; none ends the search. `generic` groups what they leave.

mod aja_kipro;
mod android;
mod apple;
mod atomos;
mod beside;
mod dji;
mod family;
mod fujifilm;
mod generic;
mod gopro;
mod insta360;
mod jvc;
mod mixpre;
mod nikon;
mod parts;
mod sequence;
mod sony_m4root;
mod sound;
mod sound_devices;
mod twins;
mod zcam;
mod zoom_f;

use super::kind;
use crate::clip::{Listing, Role, Warning};
use crate::fact::{Fact, Said};
use crate::relpath::{RelPath, escape};
use family::Family;
use std::collections::HashMap;
use std::io;

pub(crate) const GENERIC: &str = "generic";
/// What lies in a DCIM folder and no family knows.
const DCIM: &str = "dcim";
const KINEFINITY: &str = "kinefinity";

/// In order of trust: who stands first takes a file that two know.
const FAMILIES: &[&Family] = &[
    &sony_m4root::FAMILY,
    &gopro::FAMILY,
    &dji::FAMILY,
    &dji::MICROPHONE,
    &insta360::FAMILY,
    &nikon::FAMILY,
    &fujifilm::FAMILY,
    &apple::FAMILY,
    &android::FAMILY,
    &jvc::FAMILY,
    &atomos::FAMILY,
    &aja_kipro::FAMILY,
    &zcam::FAMILY,
    &zoom_f::FAMILY,
    &sound_devices::FAMILY,
    &mixpre::FAMILY,
];

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
    /// What its name and its folder say of it.
    pub facts: Vec<Fact>,
    /// What the card's index says of it.
    pub said: Vec<Said>,
}

pub(crate) fn all(listing: &Listing, read: ReadIndex) -> Vec<Found> {
    let mut taken: Vec<bool> = listing.files.iter().map(|f| kind::is_junk(&f.relpath)).collect();
    let mut found = family::all(listing, &mut taken, read);
    generic::recognise(listing, &mut taken, &mut found);
    sequence::judge(listing, &mut found);
    distinct_names(listing, &mut found);
    found
}

/// Two clips of one folder that share a name keep their extensions in it.
fn distinct_names(listing: &Listing, found: &mut [Found]) {
    let first = |c: &FoundClip| c.files.first().map(|(index, _)| &listing.files[*index as usize].relpath);
    let mut count: HashMap<(RelPath, String), usize> = HashMap::new();
    let clips = || found.iter().flat_map(|f| &f.clips);
    for (path, clip) in clips().filter_map(|c| Some((first(c)?, c))) {
        *count.entry((path.parent(), clip.name.clone())).or_default() += 1;
    }
    for clip in found.iter_mut().flat_map(|f| &mut f.clips) {
        if let Some(path) = first(clip)
            && count[&(path.parent(), clip.name.clone())] > 1
        {
            clip.name = escape(path.name()).into_owned();
        }
    }
}
