//! **Owns** ASC MHL v2.0: appending a generation to a history, and reading one back with every C4 checked.
//! **Never** reads footage, the clock or the host's name; rewrites a manifest; appends to a history that does not hold.
//! **Flow** `seal` takes what `verify` proved, writes manifest, then chain; `History::read` gives records to compare.
//! **Tests** beside each file: the standard's worked example byte for byte, hostile and damaged histories.

mod chain;
mod history;
mod ignore;
mod manifest;
mod records;
mod seal;
#[cfg(test)]
mod tests;
mod tree_hash;
mod write;

pub use history::{History, HistoryFault, Known, Record, nested_roots};
pub use ignore::{DEFAULTS as DEFAULT_IGNORE, Patterns};
pub use manifest::Made;
pub use seal::{MhlError, SealRequest, seal};

/// The folder of a history, directly inside what it describes.
pub const FOLDER: &str = "ascmhl";

/// Whether a path is the chain of some history: the one file of a card that its copies may grow, when the history is
/// continued there.
pub fn is_chain(relpath: &crate::relpath::RelPath) -> bool {
    relpath.name() == b"ascmhl_chain.xml" && relpath.parent().name() == FOLDER.as_bytes()
}

/// What the files went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// We copied them and hashed both ends.
    Transfer,
    /// Hashed where they lie.
    InPlace,
}

impl Process {
    pub fn name(self) -> &'static str {
        match self {
            Self::Transfer => "transfer",
            Self::InPlace => "in-place",
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
