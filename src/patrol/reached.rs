//! How far the lanes are in large files, on its way to the catalog: so that a kill costs little reading.

use super::run::Books;
use crate::catalog::CatalogError;
use crate::clip::CopyRootId;
use crate::relpath::RelPath;
use crate::verify::Part;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Written down when a file is so much further than it was written down before. With what is read ahead, and while
/// the commit is on its way, a kill costs no more than 64 MiB of a file.
const STEP_BYTES: u64 = 16 << 20;

type Files = BTreeMap<(CopyRootId, RelPath), (Part, u64)>;

/// Shared by the lanes, which tell, and the thread that writes it down.
#[derive(Default)]
pub(super) struct Reached(Mutex<Files>);

impl Reached {
    pub fn tell(&self, root: CopyRootId, relpath: &RelPath, part: Part) {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match files.get_mut(&(root, relpath.clone())) {
            Some(known) => known.0 = part,
            // What it began with is in the catalog, if it is anything.
            None => _ = files.insert((root, relpath.clone()), (part, 0)),
        }
    }

    /// It was judged as a whole.
    pub fn forget(&self, root: CopyRootId, relpath: &RelPath) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(root, relpath.clone()));
    }

    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Writes down what went far enough, or at the end all.
    pub fn keep(&self, books: &Books<'_>, all: bool) -> Result<(), CatalogError> {
        let mut due = Vec::new();
        {
            let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for ((root, relpath), (part, kept)) in files.iter_mut() {
                if part.reached_bytes >= *kept + STEP_BYTES || (all && part.reached_bytes > *kept) {
                    *kept = part.reached_bytes;
                    due.push((*root, relpath.clone(), part.clone()));
                }
            }
        }
        if due.is_empty() { Ok(()) } else { books.keep_parts(&due) }
    }
}
