//! **Owns** ASC MHL v2.0: appending a generation to a history, and reading one back with every C4 checked.
//! **Never** reads footage, the clock or the host's name; rewrites a manifest; appends to a history that does not hold.
//! **Flow** `seal` takes what `verify` proved, writes manifest, then chain; `History::read` gives records to compare.
//! **Tests** beside each file: the standard's worked example byte for byte, hostile and damaged histories.

mod brought;
mod chain;
mod check;
mod history;
mod ignore;
mod in_place;
mod info;
mod legacy;
mod lists;
mod manifest;
mod reading;
mod records;
mod rename;
mod seal;
mod survey;
mod target;
#[cfg(test)]
mod tests;
mod tree_hash;
mod v1;
mod write;

pub use brought::{Brought, SourceCheck};
pub use check::{Renamed, TreeReport, verify};
pub use history::{History, HistoryFault, Known, Record, nested_roots};
pub use ignore::{DEFAULTS as DEFAULT_IGNORE, Patterns};
pub use in_place::{InPlace, Judged, Lying, SealReport, seal_in_place};
pub use info::{FileInfo, GenerationInfo, HistoryInfo, Info, RecordInfo, info, info_of};
pub use legacy::{Lists, lists_in};
pub use lists::{Listed, Packing, export_v1, flatten, verify_packing};
pub use manifest::Made;
pub use reading::{Ask, Got, Reading, read_all};
pub use seal::{MhlError, SealRequest, seal};

pub use target::{LegacyFile, Target, target};
pub use v1::{Legacy, verify_legacy};

/// No manifest is larger.
pub const LIMIT_BYTES: u64 = manifest::LIMIT_BYTES;

/// The folder of a history, directly inside what it describes.
pub const FOLDER: &str = "ascmhl";

/// Whether a path is the chain of some history: the one file of a card that its copies may grow, when the history is
/// continued there.
pub fn is_chain(relpath: &crate::relpath::RelPath) -> bool {
    relpath.name() == b"ascmhl_chain.xml" && relpath.parent().name() == FOLDER.as_bytes()
}

/// The manifests that a chain names; for tests of its reader.
#[doc(hidden)]
pub fn chain_names(bytes: &[u8]) -> Result<Vec<crate::relpath::RelPath>, String> {
    Ok(chain::read(bytes)?.into_iter().map(|l| l.name).collect())
}

/// A chain of exactly these generations, in their order.
pub fn chain_of_all(generations: &[crate::copy::Generation]) -> Vec<u8> {
    let link = |g: &crate::copy::Generation| {
        let name = crate::relpath::RelPath::new(g.manifest.name()).unwrap_or_default();
        chain::Link { number: g.number, name, digest: g.c4.clone() }
    };
    chain::render(&generations.iter().map(link).collect::<Vec<_>>())
}

/// A chain of one manifest; for tests of histories.
#[doc(hidden)]
pub fn chain_of(name: &str, manifest: &[u8]) -> Vec<u8> {
    let digest = crate::hash::digest_of(crate::digest::HashFormat::C4, manifest);
    let name = crate::relpath::RelPath::new(name).unwrap_or_default();
    chain::render(&[chain::Link { number: 1, name, digest }])
}

/// A digest to compare with, the quickest to compute first.
pub fn quickest(record: &Record) -> Option<&crate::digest::Digest> {
    use crate::digest::HashFormat::*;
    [Xxh128, Xxh3, Xxh64, Sha1, Md5, C4].into_iter().find_map(|format| record.get(format))
}

/// What the files went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// We copied them and hashed both ends.
    Transfer,
    /// Hashed where they lie.
    InPlace,
    /// Digests taken over from the manifests of a history.
    Flatten,
}

impl Process {
    pub fn name(self) -> &'static str {
        match self {
            Self::Transfer => "transfer",
            Self::InPlace => "in-place",
            Self::Flatten => "flatten",
        }
    }
}

/// Who says it. All of it comes from the caller: a manifest depends on its input alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Creator {
    pub hostname: String,
    pub tool: String,
    pub tool_version: String,
    pub author: Option<Author>,
    pub location: Option<String>,
    pub comment: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Author {
    pub name: String,
    /// Must look like `a@b.c`: the schema demands it.
    pub email: Option<String>,
    pub phone: Option<String>,
    pub role: Option<String>,
}
