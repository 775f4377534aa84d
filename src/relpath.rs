//! `RelPath`: a path below some root, kept as the raw bytes the filesystem gave; the only path that is stored.
//!
//! Relative, `/` between segments, no empty, `.` or `..` segment, no NUL. Names need not be UTF-8.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Vec<u8>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    #[error("a path may not be absolute: \"{0}\"")]
    Absolute(String),
    #[error("a path may not hold an empty, \".\" or \"..\" segment: \"{0}\"")]
    Segment(String),
    #[error("a path may not hold a NUL byte: \"{0}\"")]
    Nul(String),
}

impl RelPath {
    /// The root itself: no segment at all.
    pub const fn root() -> Self {
        RelPath(Vec::new())
    }

    /// Checks `bytes`; an empty slice is the root.
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, BadPath> {
        let bytes = bytes.as_ref();
        if bytes.is_empty() {
            return Ok(Self::root());
        }
        if bytes[0] == b'/' {
            return Err(BadPath::Absolute(escape(bytes).into_owned()));
        }
        if bytes.contains(&0) {
            return Err(BadPath::Nul(escape(bytes).into_owned()));
        }
        if bytes.split(|b| *b == b'/').any(|s| matches!(s, b"" | b"." | b"..")) {
            return Err(BadPath::Segment(escape(bytes).into_owned()));
        }
        Ok(RelPath(bytes.to_vec()))
    }

    /// The part of `path` below `root`; `None` when it is not below it or not clean.
    pub fn below(root: &Path, path: &Path) -> Option<Self> {
        let rest = path.strip_prefix(root).ok()?;
        Self::new(rest.as_os_str().as_bytes()).ok()
    }

    pub fn join(&self, name: impl AsRef<[u8]>) -> Result<Self, BadPath> {
        let name = Self::new(name)?;
        Ok(self.join_rel(&name))
    }

    pub fn join_rel(&self, tail: &RelPath) -> Self {
        if self.0.is_empty() {
            return tail.clone();
        }
        if tail.0.is_empty() {
            return self.clone();
        }
        RelPath([&self.0[..], b"/", &tail.0[..]].concat())
    }

    /// The rest of `self` below `folder` (segment by segment); the root is above everything.
    pub fn strip_prefix(&self, folder: &RelPath) -> Option<RelPath> {
        if folder.0.is_empty() {
            return Some(self.clone());
        }
        let rest = self.0.strip_prefix(&folder.0[..])?;
        match rest {
            [] => Some(Self::root()),
            [b'/', tail @ ..] => Some(RelPath(tail.to_vec())),
            _ => None,
        }
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// Where this is under `root`.
    pub fn under(&self, root: &Path) -> PathBuf {
        if self.is_root() { root.to_path_buf() } else { root.join(self.as_path()) }
    }

    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|b| *b == b'/').filter(|s| !s.is_empty())
    }

    /// The last segment; empty for the root.
    pub fn name(&self) -> &[u8] {
        self.segments().next_back().unwrap_or_default()
    }

    /// The folder it lies in; the root for a single segment.
    pub fn parent(&self) -> RelPath {
        match self.0.iter().rposition(|b| *b == b'/') {
            Some(at) => RelPath(self.0[..at].to_vec()),
            None => Self::root(),
        }
    }

    /// Every folder above it, outermost first, without the root.
    pub fn ancestors(&self) -> Vec<RelPath> {
        self.0.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| RelPath(self.0[..at].to_vec())).collect()
    }

    /// The name without its extension; a leading dot starts no extension.
    pub fn stem(&self) -> &[u8] {
        let name = self.name();
        match name.iter().rposition(|b| *b == b'.') {
            Some(at) if at > 0 => &name[..at],
            _ => name,
        }
    }

    /// The extension in lower case, without the dot; empty when there is none.
    pub fn extension(&self) -> String {
        let name = self.name();
        match name.iter().rposition(|b| *b == b'.') {
            Some(at) if at > 0 => String::from_utf8_lossy(&name[at + 1..]).to_ascii_lowercase(),
            _ => String::new(),
        }
    }

    /// The text when the name can be written in a manifest: UTF-8 without control characters.
    pub fn as_portable(&self) -> Option<&str> {
        let text = std::str::from_utf8(&self.0).ok()?;
        (!text.chars().any(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'))).then_some(text)
    }

    /// Text for people and JSON: control characters and bytes that are not UTF-8 as `\xNN`.
    pub fn text(&self) -> Cow<'_, str> {
        escape(&self.0)
    }

    /// The raw bytes in hex, only when `text` is not the name itself.
    pub fn hex_if_escaped(&self) -> Option<String> {
        self.as_portable().is_none().then(|| self.0.iter().map(|b| format!("{b:02x}")).collect())
    }
}

impl std::fmt::Display for RelPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

impl serde::Serialize for RelPath {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.text())
    }
}

/// Shows raw bytes to a person without letting them move the cursor or break a line.
pub fn escape(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.chars().any(char::is_control)
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                let mut buf = [0; 4];
                c.encode_utf8(&mut buf).bytes().for_each(|b| out.push_str(&format!("\\x{b:02x}")));
            } else {
                out.push(c);
            }
        }
        chunk.invalid().iter().for_each(|b| out.push_str(&format!("\\x{b:02x}")));
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unclean_paths_are_refused() {
        for bad in ["/a", "a//b", "a/../b", "..", ".", "a/", "a\0b"] {
            assert!(RelPath::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(RelPath::new("a/b.c/..d").unwrap().name(), b"..d");
    }

    #[test]
    fn parts_are_found() {
        let p = RelPath::new("CLIPS/A001.C001.MOV").unwrap();
        assert_eq!(p.extension(), "mov");
        assert_eq!(p.stem(), b"A001.C001");
        assert_eq!(p.parent(), RelPath::new("CLIPS").unwrap());
        assert_eq!(RelPath::new(".hidden").unwrap().extension(), "");
        assert_eq!(RelPath::new("a/b/c").unwrap().ancestors().len(), 2);
        assert!(p.strip_prefix(&RelPath::new("CLIP").unwrap()).is_none());
    }

    #[test]
    fn odd_names_are_shown_escaped_and_kept_raw() {
        let p = RelPath::new(b"a\nb\xff").unwrap();
        assert_eq!(p.text(), "a\\x0ab\\xff");
        assert_eq!(p.hex_if_escaped().unwrap(), "610a62ff");
        assert!(RelPath::new("caf\u{e9}").unwrap().hex_if_escaped().is_none());
    }
}
