//! Reads one manifest. Nothing in it is believed: paths stay below the root, digests fit their format.

use super::write::NAMESPACE;
use crate::digest::{Digest, HashFormat};
use crate::read::xml::{Element, Inner, Limits, Reader};
use crate::relpath::RelPath;
use crate::verify::SealAction;
use jiff::Timestamp;
use std::collections::HashSet;

/// Some 500 bytes a file: room for a million files.
pub(crate) const LIMIT_BYTES: u64 = 512 << 20;

/// No path of a file is longer: the kernel opens none. It also bounds what a path of many segments costs.
pub(crate) const LONGEST_PATH_BYTES: usize = 4095;

#[derive(Debug, Default, Clone)]
pub(crate) struct Manifest {
    pub made: Made,
    pub files: Vec<FileEntry>,
    /// Folders with the path in an older record, when renamed.
    pub folders: Vec<(RelPath, Option<RelPath>)>,
    pub ignore: Vec<String>,
    /// Manifest of a nested history, relative to this history's root, and its C4.
    pub references: Vec<(RelPath, Digest)>,
    /// Digests not in lower case, which other tools take for wrong ones.
    pub upper_case: usize,
    /// Paths with `./` or a slash at the end, which other tools report missing.
    pub unclean: usize,
}

/// Who made a manifest, when and how, in its own words.
#[derive(Debug, Default, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Made {
    pub created: Option<String>,
    pub hostname: Option<String>,
    pub tool: Option<String>,
    pub tool_version: Option<String>,
    pub authors: Vec<String>,
    pub location: Option<String>,
    pub comment: Option<String>,
    pub process: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct FileEntry {
    pub path: RelPath,
    pub size_bytes: Option<u64>,
    pub modified: Option<Timestamp>,
    pub hashes: Vec<Hash>,
    pub previous: Option<RelPath>,
}

#[derive(Debug, Clone)]
pub(crate) struct Hash {
    pub digest: Digest,
    pub action: Option<SealAction>,
    pub at: Option<Timestamp>,
}

/// Whether what a manifest says of files and folders is wanted. It is judged in any case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Files {
    Kept,
    Dropped,
}

pub(crate) fn read(bytes: &[u8]) -> Result<Manifest, String> {
    read_with(bytes, Files::Kept)
}

pub(crate) fn read_with(bytes: &[u8], files: Files) -> Result<Manifest, String> {
    let mut reader = Reader::new(bytes, Limits::of_bytes(LIMIT_BYTES)).map_err(|e| e.to_string())?;
    let root = reader.root().map_err(|e| e.to_string())?;
    if (root.namespace.as_str(), root.name.as_str()) != (NAMESPACE, "hashlist") {
        return Err(format!("the root element is \"{}\" of namespace \"{}\"", root.name, root.namespace));
    }
    let is = |e: &Element, name: &str| e.namespace == NAMESPACE && e.name == name;
    let long = |e: &Element| is(e, "hashes") || is(e, "references");
    let mut out = Manifest::default();
    let mut seen = HashSet::new();
    while let Some(inner) = reader.next_or_enter(long).map_err(|e| e.to_string())? {
        let Inner::Element(part) = inner else { continue };
        if is(&part, "creatorinfo") {
            out.made.creator(&part);
        } else if is(&part, "processinfo") {
            out.made.process = part.child("process").map(|p| p.text.trim().to_owned());
            let patterns = part.child("ignore").into_iter().flat_map(Element::own);
            out.ignore.extend(patterns.filter(|p| p.name == "pattern").map(|p| p.text.clone()));
        } else if long(&part) {
            while let Some(inner) = reader.next_child().map_err(|e| e.to_string())? {
                let Inner::Element(entry) = inner else { continue };
                match (part.name.as_str(), entry.name.as_str()) {
                    _ if entry.namespace != NAMESPACE => {}
                    ("hashes", "hash") => out.file(&entry, &mut seen)?,
                    ("hashes", "directoryhash") => out.folder(&entry, &mut seen)?,
                    ("references", "hashlistreference") => out.reference(&entry)?,
                    _ => {}
                }
                if files == Files::Dropped {
                    out.files.clear();
                    out.folders.clear();
                }
            }
        }
    }
    Ok(out)
}

impl Made {
    fn creator(&mut self, info: &Element) {
        let text = |name: &str| info.child(name).map(|e| e.text.trim().to_owned()).filter(|t| !t.is_empty());
        self.created = text("creationdate");
        self.hostname = text("hostname");
        self.tool = text("tool");
        self.tool_version = info.child("tool").and_then(|t| t.attribute("version")).map(str::to_owned);
        self.authors = info.own().filter(|e| e.name == "author").map(|a| a.text.trim().to_owned()).collect();
        self.location = text("location");
        self.comment = text("comment");
    }
}

impl Manifest {
    fn reference(&mut self, reference: &Element) -> Result<(), String> {
        let path = reference.child("path").ok_or("a reference without a path")?;
        let path = self.path(&path.text)?;
        let c4 = reference.child("c4").and_then(|c| Digest::parse(HashFormat::C4, &c.text));
        self.references.push((path.clone(), c4.ok_or_else(|| format!("the reference \"{path}\" has no C4"))?));
        Ok(())
    }

    fn file(&mut self, entry: &Element, seen: &mut HashSet<RelPath>) -> Result<(), String> {
        let (path, previous) = self.paths(entry, seen)?;
        let attribute = |name| entry.child("path").and_then(|p| p.attribute(name));
        let size_bytes = attribute("size").map(|s| s.trim().parse()).transpose();
        let size_bytes = size_bytes.map_err(|_| format!("\"{path}\": the size is no number"))?;
        let modified = attribute("lastmodificationdate").and_then(time);
        let mut hashes = Vec::new();
        for value in entry.own() {
            let Some(format) = HashFormat::MHL.into_iter().find(|f| f.name() == value.name) else { continue };
            let digest = Digest::parse(format, &value.text);
            let digest = digest.ok_or_else(|| format!("\"{path}\": the {format} digest cannot be read"))?;
            if format != HashFormat::C4 && value.text.bytes().any(|b| b.is_ascii_uppercase()) {
                self.upper_case += 1;
            }
            let action = match value.attribute("action") {
                None => None,
                Some("original") => Some(SealAction::Original),
                Some("verified") => Some(SealAction::Verified),
                Some("failed") => Some(SealAction::Failed),
                Some(_) => return Err(format!("\"{path}\": an action that the standard does not know")),
            };
            if hashes.is_empty() {
                hashes.reserve_exact(1);
            }
            hashes.push(Hash { digest, action, at: value.attribute("hashdate").and_then(time) });
        }
        self.files.push(FileEntry { path, size_bytes, modified, hashes, previous });
        Ok(())
    }

    fn folder(&mut self, entry: &Element, seen: &mut HashSet<RelPath>) -> Result<(), String> {
        let (path, previous) = self.paths(entry, seen)?;
        self.folders.push((path, previous));
        Ok(())
    }

    fn paths(&mut self, entry: &Element, seen: &mut HashSet<RelPath>) -> Result<(RelPath, Option<RelPath>), String> {
        let path = entry.child("path").ok_or("an entry without a path")?;
        let path = self.path(&path.text)?;
        if !seen.insert(path.clone()) {
            return Err(format!("\"{path}\" is listed twice"));
        }
        let previous = entry.child("previousPath").map(|p| self.path(&p.text)).transpose()?;
        let previous = previous.filter(|p| *p != path);
        Ok((path, previous))
    }

    /// The standard's own examples carry `./` and a slash at the end; anything else unclean is refused.
    fn path(&mut self, text: &str) -> Result<RelPath, String> {
        let clean = text.strip_prefix("./").unwrap_or(text);
        let clean = clean.strip_suffix('/').unwrap_or(clean);
        if clean.len() > LONGEST_PATH_BYTES {
            return Err(format!("a path of {} bytes: no file has such a one", clean.len()));
        }
        let path = RelPath::new(clean).map_err(|e| e.to_string())?;
        if path.is_root() {
            return Err("an entry with an empty path".into());
        }
        if clean != text {
            self.unclean += 1;
        }
        Ok(path)
    }
}

/// A time that is not by the standard is no reason to refuse a manifest.
fn time(text: &str) -> Option<Timestamp> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(hashes: &str) -> Result<Manifest, String> {
        let text = format!("<hashlist version=\"2.0\" xmlns=\"{NAMESPACE}\"><hashes>{hashes}</hashes></hashlist>");
        read(text.as_bytes())
    }

    fn entry(path: &str) -> String {
        format!("<hash><path size=\"5\">{path}</path><xxh64 action=\"original\">26c7827d889f6da3</xxh64></hash>")
    }

    #[test]
    fn paths_that_leave_the_root_or_repeat_are_refused() {
        for bad in ["/etc/passwd", "../x", "a/../../x", "a//b", "", ".", "./", "a/./b"] {
            assert!(manifest(&entry(bad)).is_err(), "{bad:?}");
            let renamed = format!("<directoryhash><path>d</path><previousPath>{bad}</previousPath></directoryhash>");
            assert!(manifest(&renamed).is_err(), "{bad:?}");
        }
        assert!(manifest(&(entry("a") + &entry("a"))).is_err());
        assert!(manifest(&(entry("a") + &entry("./a"))).is_err());
        assert!(manifest(&(entry("a") + &entry("A"))).is_ok());
    }

    #[test]
    fn digests_of_the_wrong_length_and_unknown_actions_are_refused() {
        assert!(manifest("<hash><path>a</path><xxh64>26c7</xxh64></hash>").is_err());
        assert!(manifest("<hash><path>a</path><xxh64 action=\"new\">26c7827d889f6da3</xxh64></hash>").is_err());
        assert!(manifest("<hash><path size=\"-1\">a</path></hash>").is_err());
    }

    #[test]
    fn words_inside_metadata_and_of_other_namespaces_are_not_entries() {
        let m = manifest(
            "<hash><path>a</path><metadata><path>b</path><xxh64>zz</xxh64></metadata></hash>\
             <x:hash xmlns:x=\"urn:x\"><x:path>/c</x:path></x:hash><metadata><hash/></metadata>",
        )
        .unwrap();
        assert_eq!(m.files.len(), 1);
        assert!(m.files[0].hashes.is_empty());
    }

    #[test]
    fn upper_case_digests_and_the_slashes_of_the_standards_examples_are_read_with_a_note() {
        let m = manifest(
            "<hash><path>./a</path><xxh64>26C7827D889F6DA3</xxh64></hash><directoryhash><path>d/</path></directoryhash>",
        )
        .unwrap();
        assert_eq!((m.files[0].path.as_bytes(), m.folders[0].0.as_bytes()), (&b"a"[..], &b"d"[..]));
        assert_eq!((m.upper_case, m.unclean), (1, 2));
    }

    #[test]
    fn every_cut_manifest_is_refused_and_no_flipped_byte_panics() {
        let text = include_bytes!("testdata/demo.mhl");
        assert_eq!(read(text).unwrap().files.len(), 4);
        let end = text.len() - 1;
        (0..end).for_each(|at| assert!(read(&text[..at]).is_err(), "cut at {at}"));
        for at in 0..end {
            for flip in [1, 0x20, 0x80] {
                let mut bad = text.to_vec();
                bad[at] ^= flip;
                if let Ok(m) = read(&bad) {
                    assert!(m.files.iter().all(|f| !f.path.is_root()));
                }
            }
        }
    }

    #[test]
    fn a_name_keeps_its_blanks() {
        assert_eq!(manifest(&entry(" a&amp;b ")).unwrap().files[0].path.as_bytes(), b" a&b ");
    }
}
