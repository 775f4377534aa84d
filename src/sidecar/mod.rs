//! **Owns** one clip's metadata out of many mouths: libav, the clip's own bytes, sidecars, the card's index, names.
//! **Never** opens a file, guesses a value that nobody said, or drops one that disagrees: what was not chosen is kept.
//! **Flow** `read` turns a sidecar's bytes into facts, `merge` chooses one value a field and keeps the rest beside it.
//! **Tests** beside each rule; whole clips with the sample media in `tests/all/real_media.rs`.

mod merge;

pub use merge::{chosen, merge};

use crate::fact::Said;
use crate::relpath::RelPath;
use std::io::{Read, Seek};

/// What a file of the clip itself says, beyond libav.
pub fn of_file(_file: &mut (impl Read + Seek), _relpath: &RelPath) -> Vec<Said> {
    Vec::new()
}

/// What a sidecar says.
pub fn of_sidecar(_file: &mut (impl Read + Seek), _relpath: &RelPath) -> Vec<Said> {
    Vec::new()
}
