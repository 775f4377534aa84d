//! The text of a manifest: UTF-8, LF, two blanks a level, schema order. The same input gives the same bytes.

use super::tree_hash::Pair;
use super::{Creator, Process};
use crate::digest::Digest;
use crate::verify::SealAction;
use jiff::Timestamp;

pub(crate) const NAMESPACE: &str = "urn:ASC:MHL:v2.0";

/// Indented elements; text never gets white space of its own, because readers compare it verbatim.
pub(crate) struct Xml {
    out: String,
    open: Vec<&'static str>,
}

impl Xml {
    pub fn new() -> Self {
        Xml { out: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".into(), open: Vec::new() }
    }

    fn tag(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.out.push_str(&"  ".repeat(self.open.len()));
        self.out.push('<');
        self.out.push_str(name);
        for (key, value) in attributes {
            self.out.push_str(&format!(" {key}=\"{}\"", escape(value)));
        }
        self.out.push('>');
    }

    pub fn open(&mut self, name: &'static str, attributes: &[(&str, &str)]) {
        self.tag(name, attributes);
        self.out.push('\n');
        self.open.push(name);
    }

    pub fn close(&mut self) {
        if let Some(name) = self.open.pop() {
            self.out.push_str(&format!("{}</{name}>\n", "  ".repeat(self.open.len())));
        }
    }

    pub fn leaf(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) {
        self.tag(name, attributes);
        self.out.push_str(&format!("{}</{name}>\n", escape(text)));
    }

    pub fn finish(mut self) -> Vec<u8> {
        while !self.open.is_empty() {
            self.close();
        }
        self.out.into_bytes()
    }
}

/// Text of config and host may hold anything: what XML 1.0 cannot carry becomes a blank.
fn escape(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect();
    quick_xml::escape::escape(clean.replace(['\u{fffe}', '\u{ffff}'], " ")).into_owned()
}

/// Whole seconds with `Z`; the fraction is cut, also before 1970.
pub(crate) fn time(ns: i128) -> String {
    let seconds = i64::try_from(ns.div_euclid(1_000_000_000)).unwrap_or_default();
    Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

pub(crate) struct FileRow<'a> {
    pub path: &'a str,
    pub size_bytes: Option<u64>,
    pub mtime_ns: Option<i128>,
    /// In schema order.
    pub hashes: Vec<HashRow<'a>>,
    /// Its path in the record before, when it was renamed since.
    pub previous: Option<String>,
}

pub(crate) struct HashRow<'a> {
    pub digest: &'a Digest,
    pub action: SealAction,
    pub at: Option<Timestamp>,
    /// Of somebody else's making: the fraction of a second is kept.
    pub exact: bool,
}

pub(crate) struct FolderRow<'a> {
    pub path: &'a str,
    /// `None` for a copy: its folders carry the time of the copying, which says nothing and would make two manifests of
    /// one card differ.
    pub mtime_ns: Option<i64>,
    pub pairs: Vec<&'a Pair>,
    pub previous: Option<String>,
}

pub(crate) enum Row<'a> {
    File(FileRow<'a>),
    Folder(FolderRow<'a>),
}

impl Row<'_> {
    /// Siblings in byte order, a folder's own row after all that it holds. `0xff` is in no UTF-8 name.
    fn key(&self) -> Vec<u8> {
        let (path, tail): (&str, &[u8]) = match self {
            Row::File(f) => (f.path, &[]),
            Row::Folder(f) => (f.path, &[0, 0xff]),
        };
        path.bytes().map(|b| if b == b'/' { 0 } else { b }).chain(tail.iter().copied()).collect()
    }
}

pub(crate) struct Manifest<'a> {
    pub creator: &'a Creator,
    pub comment: Option<String>,
    pub started_at: Timestamp,
    pub process: Process,
    pub root: Vec<&'a Pair>,
    pub ignore: &'a [String],
    pub rows: Vec<Row<'a>>,
    /// Path and C4 of the generation just written to each nested history.
    pub references: Vec<(String, Digest)>,
}

impl Manifest<'_> {
    pub fn render(mut self) -> Vec<u8> {
        let mut xml = Xml::new();
        xml.open("hashlist", &[("version", "2.0"), ("xmlns", NAMESPACE)]);
        self.creator_info(&mut xml);
        xml.open("processinfo", &[]);
        xml.leaf("process", &[], self.process.name());
        if !self.root.is_empty() {
            xml.open("roothash", &[]);
            pairs(&mut xml, &self.root);
            xml.close();
        }
        xml.open("ignore", &[]);
        self.ignore.iter().for_each(|p| xml.leaf("pattern", &[], p));
        xml.close();
        xml.close();
        self.rows.sort_by_cached_key(Row::key);
        // An empty `hashes` is invalid.
        if !self.rows.is_empty() {
            xml.open("hashes", &[]);
            self.rows.iter().for_each(|r| row(&mut xml, r));
            xml.close();
        }
        if !self.references.is_empty() {
            xml.open("references", &[]);
            for (path, c4) in &self.references {
                xml.open("hashlistreference", &[]);
                xml.leaf("path", &[], path);
                xml.leaf("c4", &[], &c4.text());
                xml.close();
            }
            xml.close();
        }
        xml.finish()
    }

    fn creator_info(&self, xml: &mut Xml) {
        let c = self.creator;
        xml.open("creatorinfo", &[]);
        xml.leaf("creationdate", &[], &time(self.started_at.as_nanosecond()));
        xml.leaf("hostname", &[], &c.hostname);
        xml.leaf("tool", &[("version", &c.tool_version)], &c.tool);
        if let Some(a) = &c.author {
            let optional = [("email", &a.email), ("phone", &a.phone), ("role", &a.role)];
            let attributes: Vec<_> = optional.iter().filter_map(|(k, v)| Some((*k, v.as_deref()?))).collect();
            xml.leaf("author", &attributes, &a.name);
        }
        c.location.iter().for_each(|l| xml.leaf("location", &[], l));
        self.comment.iter().for_each(|l| xml.leaf("comment", &[], l));
        xml.close();
    }
}

fn pairs(xml: &mut Xml, pairs: &[&Pair]) {
    let line = |which: fn(&Pair) -> &Digest| -> Vec<(&'static str, String)> {
        pairs.iter().map(|p| (which(p).format.name(), which(p).text())).collect()
    };
    for (name, values) in [("content", line(|p| &p.content)), ("structure", line(|p| &p.structure))] {
        let inner: String = values.iter().map(|(f, v)| format!("<{f}>{v}</{f}>")).collect();
        xml.tag(name, &[]);
        xml.out.push_str(&format!("{inner}</{name}>\n"));
    }
}

pub(crate) fn action(action: SealAction) -> &'static str {
    match action {
        SealAction::Original => "original",
        SealAction::Verified => "verified",
        SealAction::Failed => "failed",
    }
}

fn row(xml: &mut Xml, row: &Row<'_>) {
    match row {
        Row::File(f) => {
            xml.open("hash", &[]);
            let (size, at) = (f.size_bytes.map(|s| s.to_string()), f.mtime_ns.map(time));
            let optional = [("size", &size), ("lastmodificationdate", &at)];
            let attributes: Vec<_> = optional.iter().filter_map(|(k, v)| Some((*k, v.as_deref()?))).collect();
            xml.leaf("path", &attributes, f.path);
            for h in &f.hashes {
                let at = h.at.map(|at| if h.exact { at.to_string() } else { time(at.as_nanosecond()) });
                let mut attributes = vec![("action", action(h.action))];
                attributes.extend(at.iter().map(|at| ("hashdate", at.as_str())));
                xml.leaf(h.digest.format.name(), &attributes, &h.digest.text());
            }
            f.previous.iter().for_each(|p| xml.leaf("previousPath", &[], p));
        }
        Row::Folder(f) => {
            xml.open("directoryhash", &[]);
            let at = f.mtime_ns.map(|ns| time(ns.into()));
            let attributes: Vec<_> = at.iter().map(|at| ("lastmodificationdate", at.as_str())).collect();
            xml.leaf("path", &attributes, f.path);
            pairs(xml, &f.pairs);
            f.previous.iter().for_each(|p| xml.leaf("previousPath", &[], p));
        }
    }
    xml.close();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::HashFormat;
    use crate::hash::digest_of;
    use crate::mhl::tree_hash::tree_hash;
    use crate::relpath::RelPath;

    #[test]
    fn the_standards_worked_example_is_reproduced_byte_for_byte() {
        let started_at: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let hashed_at: Timestamp = "2026-01-02T03:04:06.75Z".parse().unwrap();
        let mtime_ns = "2026-01-02T03:00:00Z".parse::<Timestamp>().unwrap().as_nanosecond() as i64;
        let files =
            [("zero.bin", ""), ("Clips/b.mov", "world"), ("Sidecar.txt", "sidecar\n"), ("Clips/a.mov", "hello")];
        let digests = files.map(|(_, text)| digest_of(HashFormat::Xxh64, text.as_bytes()));
        let paths = files.map(|(p, _)| RelPath::new(p).unwrap());
        let folders = ["Empty", "Clips"].map(|p| RelPath::new(p).unwrap());
        let tree = tree_hash(HashFormat::Xxh64, paths.iter().zip(&digests), &folders);
        let mut rows: Vec<Row<'_>> = Vec::new();
        for ((path, text), digest) in files.iter().zip(&digests) {
            let hashes = vec![HashRow { digest, action: SealAction::Original, at: Some(hashed_at), exact: false }];
            let (size_bytes, mtime_ns) = (Some(text.len() as u64), Some(mtime_ns.into()));
            rows.push(Row::File(FileRow { path, size_bytes, mtime_ns, hashes, previous: None }));
        }
        for folder in &folders {
            let path = folder.as_portable().unwrap();
            rows.push(Row::Folder(FolderRow {
                path,
                mtime_ns: Some(mtime_ns),
                pairs: vec![&tree[folder]],
                previous: None,
            }));
        }
        let creator = Creator {
            hostname: "cart1".into(),
            tool: "ingest".into(),
            tool_version: "0.1.0".into(),
            ..Creator::default()
        };
        let manifest = Manifest {
            creator: &creator,
            comment: None,
            started_at,
            process: Process::Transfer,
            root: vec![&tree[&RelPath::root()]],
            ignore: &crate::mhl::DEFAULT_IGNORE.map(String::from),
            rows,
            references: Vec::new(),
        };
        let bytes = manifest.render();
        assert_eq!(String::from_utf8_lossy(&bytes), include_str!("testdata/demo.mhl"));
        assert_eq!(
            digest_of(HashFormat::C4, &bytes).text(),
            "c43T3RtB8G78PqpZvL8zyFtKvtCcwXiERNsqRvA2XDexfahzoDiAgQLhKQ8Wh3PkDaPMPZSEuB8KuKqyZfjoK6Zqsb"
        );
    }

    #[test]
    fn no_text_of_config_or_host_can_break_the_document() {
        let mut xml = Xml::new();
        xml.open("a", &[("b", "\"<&'\n")]);
        xml.leaf("c", &[], " <d>&\u{1}\u{ffff}]]>\r\n ");
        let text = String::from_utf8(xml.finish()).unwrap();
        let read = crate::read::xml::parse(text.as_bytes(), crate::read::xml::Limits::of_bytes(1000)).unwrap();
        assert_eq!(read.attribute("b"), Some("\"<&' "));
        assert_eq!(read.children[0].text, " <d>&  ]]>   ");
    }

    #[test]
    fn times_before_1970_are_cut_downwards() {
        assert_eq!(time(-1), "1969-12-31T23:59:59Z");
        assert_eq!(time(1_999_999_999), "1970-01-01T00:00:01Z");
    }

    #[test]
    fn a_folder_comes_after_all_it_holds_and_before_its_next_sibling() {
        let folder = |path| Row::Folder(FolderRow { path, mtime_ns: None, pairs: Vec::new(), previous: None }).key();
        let order = [folder("a/b"), folder("a"), folder("a b"), folder("a.b")];
        assert!(order.is_sorted(), "{order:?}");
    }
}
