//! Synthetic cards: the trees that cameras leave, with tiny files instead of recordings.

pub mod cinema;
pub mod other;

/// One card as a camera leaves it.
pub struct Tree {
    /// The family that knows it.
    pub layout: &'static str,
    pub files: Vec<(String, Vec<u8>)>,
    /// Recordings on it, each with the number of its files.
    pub clips: Vec<(&'static str, usize)>,
    /// A file that is lost, and the warning that tells of it.
    pub lose: (&'static str, &'static str),
}

impl Tree {
    /// The same tree with other names: in a folder, in another case.
    pub fn renamed(&self, name: impl Fn(&str) -> String) -> Vec<(String, Vec<u8>)> {
        self.files.iter().map(|(path, bytes)| (name(path), bytes.clone())).collect()
    }
}

/// Files of no content that matters, one byte each.
pub fn files(names: &[&str]) -> Vec<(String, Vec<u8>)> {
    names.iter().map(|n| ((*n).to_owned(), b"x".to_vec())).collect()
}

/// With an index file among them.
pub fn with(mut files: Vec<(String, Vec<u8>)>, name: &str, bytes: impl Into<Vec<u8>>) -> Vec<(String, Vec<u8>)> {
    files.push((name.to_owned(), bytes.into()));
    files
}
