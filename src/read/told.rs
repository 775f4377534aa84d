//! What the tests of several parsers share.

use crate::fact::{Fact, Field};
use std::path::PathBuf;

/// The first value of a field.
pub(crate) fn said(facts: &[Fact], field: Field) -> Option<&str> {
    facts.iter().find(|f| f.field == field).map(|f| f.value.as_str())
}

/// Every fact with its field's name, to compare a whole answer.
pub(crate) fn all(facts: &[Fact]) -> Vec<(Field, &str)> {
    facts.iter().map(|f| (f.field, f.value.as_str())).collect()
}

/// One of the sample media, which are no part of the project, or nothing with a loud word.
pub(crate) fn sample(path: &str) -> Option<Vec<u8>> {
    let root = std::env::var_os("GOODGATE_TEST_MEDIA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/media")), PathBuf::from);
    if !root.join("MANIFEST.tsv").is_file() {
        eprintln!("SKIPPED: no sample media at \"{}\"; set GOODGATE_TEST_MEDIA", root.display());
        return None;
    }
    Some(std::fs::read(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}")))
}
