//! Legacy MHL 1.0 and 1.1 (MediaHashList_v1_1.xsd), both ways: one file, paths relative to its folder, no history.
//!
//! What tools wrote differs from the schema in many ways: encodings other than UTF-8, dates of other forms, digests in
//! upper case, unknown elements. All of that is read. Paths that leave the folder are not.

use super::Creator;
use super::check::{TreeReport, Want, Wanted, check};
use super::ignore::Patterns;
use super::legacy::among;
use super::manifest::{LONGEST_PATH_BYTES, Made};
use super::reading::Reading;
use super::records::Notes;
use super::survey::{files_below, is_below};
use super::target::LegacyFile;
use super::write::{Xml, time};
use crate::digest::{Digest, HashFormat, unhex};
use crate::disk::Root;
use crate::progress::Progress;
use crate::read::xml::{Element, Inner, Limits, Reader, decode};
use crate::relpath::RelPath;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const LIMIT_BYTES: u64 = super::manifest::LIMIT_BYTES;

/// What one legacy file says.
#[derive(Debug, Default, Clone)]
pub struct Legacy {
    pub made: Made,
    /// All that is said of one path, in the order of the paths.
    pub(crate) files: BTreeMap<RelPath, Vec<Want>>,
    /// What is odd and could still be read.
    pub notes: Vec<String>,
}

/// Reads a legacy file; `None` when it is a manifest of ASC MHL.
pub fn read(bytes: &[u8]) -> Result<Option<Legacy>, String> {
    if bytes.len() as u64 > LIMIT_BYTES {
        return Err(format!("it has more than {LIMIT_BYTES} bytes"));
    }
    let text = decode(bytes).map_err(|e| e.to_string())?;
    let mut reader = Reader::of_text(&text, Limits::of_bytes(2 * LIMIT_BYTES)).map_err(|e| e.to_string())?;
    let root = reader.root().map_err(|e| e.to_string())?;
    if root.namespace == super::write::NAMESPACE {
        return Ok(None);
    }
    let version = root.attribute("version").unwrap_or_default();
    if root.name != "hashlist" || !root.namespace.is_empty() || !version.trim().starts_with('1') {
        return Err(format!(
            "the root element is \"{}\" of namespace \"{}\" and version \"{version}\": that is no media hash list",
            root.name, root.namespace
        ));
    }
    let (mut out, mut notes) = (Legacy::default(), Notes::default());
    while let Some(inner) = reader.next_child().map_err(|e| e.to_string())? {
        let Inner::Element(part) = inner else { continue };
        match part.name.as_str() {
            "creatorinfo" => out.made = made(&part),
            "hash" => out.entry(&part, &mut notes)?,
            _ => {}
        }
    }
    out.notes = notes.0;
    Ok(Some(out))
}

fn made(info: &Element) -> Made {
    let text = |name: &str| info.child(name).map(|e| e.text.trim().to_owned()).filter(|t| !t.is_empty());
    Made {
        created: text("startdate").or(text("finishdate")),
        hostname: text("hostname"),
        tool: text("tool"),
        authors: text("name").or(text("username")).into_iter().collect(),
        comment: text("log"),
        ..Made::default()
    }
}

impl Legacy {
    /// `None` for a manifest of ASC MHL.
    pub fn read(bytes: &[u8]) -> Result<Option<Legacy>, String> {
        read(bytes)
    }

    pub fn paths(&self) -> impl Iterator<Item = &RelPath> {
        self.files.keys()
    }

    pub fn files(&self) -> usize {
        self.files.len()
    }

    fn entry(&mut self, entry: &Element, notes: &mut Notes) -> Result<(), String> {
        let file = entry.child("file").ok_or("an entry without a file")?;
        let path = path(&file.text)?;
        if file.text.trim() != file.text {
            notes
                .add(format!("\"{path}\": blanks at the ends of a name are read in different ways by different tools"));
        }
        let mut wants = Vec::new();
        if let Some(size) = entry.child("size") {
            let size = size.text.trim().parse().map_err(|_| format!("\"{path}\": the size is no number"))?;
            wants.push(Want::Size(size));
        }
        let mut hashed = false;
        for value in entry.own() {
            let text = value.text.trim();
            let bad = || format!("\"{path}\": the {} digest cannot be read", value.name);
            let of = |format| Digest::parse(format, text).ok_or_else(bad);
            let want = match value.name.as_str() {
                "md5" => Want::Is(of(HashFormat::Md5)?),
                "sha1" => Want::Is(of(HashFormat::Sha1)?),
                "xxhash" => {
                    let number: u32 = text.parse().map_err(|_| bad())?;
                    Want::Is(Digest::new(HashFormat::Xxh32, number.to_be_bytes()).ok_or_else(bad)?)
                }
                "xxhash64be" => Want::Is(of(HashFormat::Xxh64)?),
                "xxhash64" => {
                    let raw = unhex(text).ok_or_else(bad)?;
                    Want::EitherOrder(Digest::new(HashFormat::Xxh64, raw).ok_or_else(bad)?)
                }
                "null" => {
                    hashed = true;
                    continue;
                }
                _ => continue,
            };
            hashed = true;
            if !wants.contains(&want) {
                wants.push(want);
            }
        }
        if !hashed {
            notes.add(format!("\"{path}\": no digest of a kind that we know: only that it is there, and its size"));
        }
        let known = self.files.entry(path).or_default();
        wants.into_iter().for_each(|w| {
            if !known.contains(&w) {
                known.push(w)
            }
        });
        Ok(())
    }
}

fn path(text: &str) -> Result<RelPath, String> {
    let clean = text.strip_prefix("./").unwrap_or(text);
    if clean.len() > LONGEST_PATH_BYTES {
        return Err(format!("a path of {} bytes: no file has such a one", clean.len()));
    }
    let path = RelPath::new(clean).map_err(|e| e.to_string())?;
    if path.is_root() { Err("an entry with an empty path".into()) } else { Ok(path) }
}

/// Checks the folder that the legacy files lie in. Files that none of them lists are told and no fault: such a list
/// does not claim to be the whole.
pub fn verify_legacy(root: &Root, lists: Vec<LegacyFile>, reading: Reading<'_>, progress: &dyn Progress) -> TreeReport {
    let mut out = TreeReport { history: "ok", complete: true, legacy: true, ..TreeReport::default() };
    let mut good: Vec<(String, Legacy)> = Vec::new();
    for LegacyFile { name, list } in lists {
        match list {
            Ok(list) => good.push((name, list)),
            Err(why) => {
                out.history = "manifest_modified";
                out.faults.push(format!("the legacy list \"{name}\" cannot be read: {why}"));
            }
        }
    }
    let patterns = Patterns::new([]);
    let walk = files_below(root, &patterns);
    for (path, why) in &walk.unreadable {
        out.faults.push(format!("cannot read \"{path}\": {why}"));
        out.unreadable.push(path.clone());
    }
    out.specials = walk.specials.clone();
    let there: BTreeSet<&RelPath> = walk.files.iter().collect();
    let mut wanted: BTreeMap<RelPath, Vec<Want>> = BTreeMap::new();
    for (name, list) in &good {
        out.notes.extend(list.notes.iter().map(|n| format!("\"{name}\": {n}")));
        let names = among(list.files.keys(), &there);
        for (path, wants) in &list.files {
            let found = names.get(path).map(|p| (*p).clone());
            let Some(found) = found else {
                match out.specials.contains(path) {
                    true => out.altered.push(path.clone()),
                    false if is_below(path, &walk.unreadable) => {}
                    false => out.missing.push(path.clone()),
                }
                continue;
            };
            let known = wanted.entry(found).or_default();
            wants.iter().for_each(|w| {
                if !known.contains(w) {
                    known.push(w.clone())
                }
            });
        }
    }
    let is_list = |p: &RelPath| p.extension() == "mhl";
    out.new = walk.files.iter().filter(|p| !wanted.contains_key(*p) && !is_list(p)).cloned().collect();
    let of = |(path, wants): (RelPath, Vec<Want>)| {
        let size = wants.iter().find_map(|w| if let Want::Size(size) = w { Some(*size) } else { None });
        Wanted { path, wants, size_bytes: size.unwrap_or(0) }
    };
    let wanted: Vec<Wanted> = wanted.into_iter().map(of).collect();
    check(root, reading, wanted, &mut out, progress);
    out.sort();
    out
}

/// One line of a legacy file to be written.
pub(crate) struct Line {
    pub path: String,
    pub size_bytes: u64,
    pub modified: Timestamp,
    pub digest: Digest,
    pub at: Timestamp,
}

/// A list by MediaHashList_v1_1.xsd. A file of 0 bytes gets its size although the schema has no zero: so do the tools
/// that read it.
pub(crate) fn render(creator: &Creator, started_at: Timestamp, lines: &[Line]) -> Vec<u8> {
    let mut xml = Xml::new();
    let seconds = |at: Timestamp| time(at.as_nanosecond());
    xml.open("hashlist", &[("version", "1.1")]);
    xml.open("creatorinfo", &[]);
    let author = creator.author.as_ref().map(|a| a.name.as_str());
    author.iter().for_each(|name| xml.leaf("name", &[], name));
    xml.leaf("username", &[], author.unwrap_or(&creator.tool));
    xml.leaf("hostname", &[], &creator.hostname);
    xml.leaf("tool", &[], &format!("{} {}", creator.tool, creator.tool_version));
    creator.location.iter().for_each(|l| xml.leaf("source", &[], l));
    xml.leaf("startdate", &[], &seconds(started_at));
    xml.leaf("finishdate", &[], &seconds(started_at));
    creator.comment.iter().for_each(|c| xml.leaf("log", &[], c));
    xml.close();
    for line in lines {
        xml.open("hash", &[]);
        xml.leaf("file", &[], &line.path);
        xml.leaf("size", &[], &line.size_bytes.to_string());
        xml.leaf("lastmodificationdate", &[], &seconds(line.modified));
        xml.leaf(element(line.digest.format), &[], &line.digest.text());
        xml.leaf("hashdate", &[], &seconds(line.at));
        xml.close();
    }
    xml.finish()
}

/// The format that a legacy list can hold, the best first.
pub(crate) const FORMATS: [HashFormat; 3] = [HashFormat::Xxh64, HashFormat::Md5, HashFormat::Sha1];

fn element(format: HashFormat) -> &'static str {
    match format {
        HashFormat::Xxh64 => "xxhash64be",
        other => other.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "26c7827d889f6da3";

    fn list(entries: &str) -> Result<Legacy, String> {
        let text = format!("<?xml version=\"1.0\"?><hashlist version=\"1.1\"><creatorinfo/>{entries}</hashlist>");
        read(text.as_bytes()).map(Option::unwrap)
    }

    fn entry(path: &str, rest: &str) -> String {
        format!("<hash><file>{path}</file>{rest}</hash>")
    }

    #[test]
    fn paths_that_leave_the_folder_are_refused() {
        for bad in ["/etc/passwd", "../x", "a/../../x", "a//b", "", ".", "a/."] {
            assert!(list(&entry(bad, "<null/>")).is_err(), "{bad:?}");
        }
        assert!(list(&entry(&"a/".repeat(3000), "<null/>")).is_err());
    }

    #[test]
    fn every_kind_of_digest_is_read_and_several_of_one_file_are_kept() {
        let l = list(&entry(
            "a",
            "<size>5</size><md5 bit=\"128\" encoding=\"hex\">5D41402ABC4B2A76B9719D911017C592</md5>\
             <sha1>aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d</sha1><xxhash>4211111929</xxhash>\
             <xxhash64>a36d9f887d82c726</xxhash64><xxhash64be>26c7827d889f6da3</xxhash64be><odd/>\
             <hashdate>2012-12-01 18-34-54</hashdate>",
        ))
        .unwrap();
        let formats: Vec<_> = l.files.values().next().unwrap().iter().filter_map(Want::format).collect();
        use HashFormat::*;
        assert_eq!(formats, [Md5, Sha1, Xxh32, Xxh64, Xxh64]);
        assert!(l.notes.is_empty());
        for bad in ["<md5>5d</md5>", "<xxhash>4294967296</xxhash>", "<xxhash64>zz</xxhash64>", "<size>x</size>"] {
            assert!(list(&entry("a", bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_encoding_that_is_declared_is_honoured() {
        let text = |encoding: &str, name: &str| {
            format!(
                "<?xml version=\"1.0\" encoding=\"{encoding}\"?><hashlist version=\"1.0\"><hash><file>{name}</file>\
                 <size>5</size><xxhash64be>{HELLO}</xxhash64be></hash></hashlist>"
            )
        };
        for (label, name) in [
            ("UTF-8", "\u{fc}"),
            ("ISO-8859-1", "\u{fc}"),
            ("ISO-8859-2", "\u{17e}"),
            ("windows-1251", "\u{416}"),
            ("EUC-JP", "\u{65e5}\u{672c}"),
            ("EUC-KR", "\u{d55c}"),
            ("Shift_JIS", "\u{65e5}"),
        ] {
            let encoding = encoding_rs::Encoding::for_label(label.as_bytes()).unwrap();
            let text = text(label, name);
            let (bytes, _, lost) = encoding.encode(&text);
            assert!(!lost);
            let l = read(&bytes).unwrap().unwrap();
            assert_eq!(l.files.keys().next().unwrap().as_bytes(), name.as_bytes(), "{label}");
        }
        for little in [true, false] {
            for mark in [true, false] {
                let text = format!("{}{}", if mark { "\u{feff}" } else { "" }, text("UTF-16", "\u{416}"));
                let order = |u: u16| if little { u.to_le_bytes() } else { u.to_be_bytes() };
                let bytes: Vec<u8> = text.encode_utf16().flat_map(order).collect();
                let l = read(&bytes).unwrap().unwrap();
                assert_eq!(l.files.keys().next().unwrap().as_bytes(), "\u{416}".as_bytes());
            }
        }
        assert!(read(text("UTF-8", "x").replace('x', "\u{0}").as_bytes()).is_err());
        assert!(read(&[text("UTF-8", "").as_bytes(), b"\xff"].concat()).is_err());
        assert!(read(text("klingon", "x").as_bytes()).is_err());
    }

    #[test]
    fn what_is_written_reads_back() {
        let at: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let creator =
            Creator { hostname: "h".into(), tool: "t".into(), tool_version: "1".into(), ..Creator::default() };
        let digest = Digest::parse(HashFormat::Xxh64, HELLO).unwrap();
        let line = Line { path: " a&b ".into(), size_bytes: 5, modified: at, digest, at };
        let bytes = render(&creator, at, &[line]);
        let l = read(&bytes).unwrap().unwrap();
        assert_eq!(l.files.keys().next().unwrap().as_bytes(), b" a&b ");
        assert_eq!((l.made.tool.as_deref(), l.made.created.as_deref()), (Some("t 1"), Some("2026-01-02T03:04:05Z")));
        assert_eq!(l.notes.len(), 1, "blanks at the ends");
    }

    #[test]
    fn a_manifest_of_asc_mhl_is_none_and_other_documents_are_refused() {
        assert!(read(include_bytes!("testdata/demo.mhl")).unwrap().is_none());
        for bad in [
            "<hashlist version=\"3.0\"/>",
            "<hashlist/>",
            "<x version=\"1.1\"/>",
            "<hashlist xmlns=\"urn:x\" version=\"1.1\"/>",
        ] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
