//! The one way XML is read: namespaces resolved, everything bounded, nothing half-read accepted.
//!
//! quick-xml reports a clean end for a document cut at a tag boundary; here only a closed root element is an end.

use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;
use std::borrow::Cow;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    #[error("the document has {0} bytes, more than the limit of {1}")]
    Oversize(u64, u64),
    #[error("not UTF-8")]
    Encoding,
    #[error("a document type declaration is refused")]
    Doctype,
    #[error("the document ends before its root element does")]
    Truncated,
    #[error("byte {at}: {what} over the limit")]
    Limit { at: u64, what: &'static str },
    #[error("byte {at}: {what}")]
    Syntax { at: u64, what: String },
}

/// What a document may cost before it is refused. A text is all character data of one element.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub bytes: u64,
    pub depth: usize,
    pub text_bytes: usize,
    pub attributes: usize,
    /// In one element that is handed out whole: a tree costs some forty times its text.
    pub elements: usize,
}

impl Limits {
    pub const fn of_bytes(bytes: u64) -> Self {
        Limits { bytes, depth: 64, text_bytes: 1 << 20, attributes: 64, elements: 10_000 }
    }
}

/// One element with all below it. Text that lies between children is joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Empty when there is none.
    pub namespace: String,
    /// Without a prefix.
    pub name: String,
    /// Attributes without namespace declarations, names as written.
    pub attributes: Vec<(String, String)>,
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The children of its own namespace.
    pub fn own(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter(|c| c.namespace == self.namespace)
    }

    /// The first child with that local name, whatever its namespace.
    pub fn local(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|c| c.name == name)
    }

    /// The element at the end of a path of local names.
    pub fn at(&self, path: &[&str]) -> Option<&Element> {
        path.iter().try_fold(self, |e, name| e.local(name))
    }

    /// The first child of its own namespace with that name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.own().find(|c| c.name == name)
    }
}

/// Reads a document whole.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<Element, XmlError> {
    let mut reader = Reader::new(bytes, limits)?;
    let root = reader.root()?;
    let root = reader.finish(root)?;
    reader.entered = 0;
    reader.epilogue()?;
    Ok(root)
}

/// As [`parse`], in whatever encoding the document says; NUL bytes that pad it are cut off. What makers write is read
/// by local names: the namespace of one document has as many versions as there are firmwares.
pub fn parse_any(bytes: &[u8], limits: Limits) -> Result<Element, XmlError> {
    if bytes.len() as u64 > limits.bytes {
        return Err(XmlError::Oversize(bytes.len() as u64, limits.bytes));
    }
    let text = decode(bytes)?;
    let mut reader = Reader::of_text(text.trim_end_matches(['\0', ' ', '\r', '\n', '\t']), limits)?;
    let mut root = reader.root()?;
    while let Some(inner) = reader.next_child()? {
        match inner {
            Inner::Element(child) => root.children.push(child),
            Inner::Text(text) => root.text.push_str(&text),
        }
        if root.children.len() > limits.elements || root.text.len() > limits.text_bytes {
            return Err(reader.limit("content of the root element"));
        }
    }
    Ok(root)
}

/// The text of a document in the encoding that its first bytes or its declaration name (XML 1.0, appendix F). Bytes
/// that this encoding does not have are refused, never replaced.
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, XmlError> {
    use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
    let by_mark = Encoding::for_bom(bytes).map(|(e, mark)| (e, &bytes[mark..]));
    let (encoding, rest) = match (by_mark, bytes) {
        (Some(found), _) => found,
        (None, [b'<', 0, ..]) => (UTF_16LE, bytes),
        (None, [0, b'<', ..]) => (UTF_16BE, bytes),
        (None, _) => match declared(bytes) {
            None => (UTF_8, bytes),
            // Both would have been seen by their first bytes.
            Some(label) => match Encoding::for_label(label) {
                Some(e) if e == UTF_16LE || e == UTF_16BE => return Err(XmlError::Encoding),
                Some(e) => (e, bytes),
                None => return Err(XmlError::Encoding),
            },
        },
    };
    encoding.decode_without_bom_handling_and_without_replacement(rest).ok_or(XmlError::Encoding)
}

/// The label in `<?xml version="1.0" encoding="..."?>`, for encodings that write these characters as ASCII does.
fn declared(bytes: &[u8]) -> Option<&[u8]> {
    let head = bytes.strip_prefix(b"<?xml")?;
    let head = &head[..head.len().min(200)];
    let end = head.windows(2).position(|w| w == b"?>")?;
    let at = head[..end].windows(8).position(|w| w == b"encoding")? + 8;
    let rest = head[at..end].trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let (quote, rest) = rest.split_first().filter(|(q, _)| matches!(**q, b'"' | b'\''))?;
    rest.split(|b| b == quote).next()
}

/// Hands out the parts of a document that may be large, so that it is never held whole as a tree.
pub struct Reader<'a> {
    xml: NsReader<&'a [u8]>,
    limits: Limits,
    /// The text was decoded before: what the declaration says of its encoding is done with.
    decoded: bool,
    /// Elements entered by the caller, the root being the first.
    entered: usize,
}

/// What lies directly inside the element that was entered last.
#[derive(Debug)]
pub enum Inner {
    Element(Element),
    Text(String),
}

enum Piece {
    Start(Element),
    End,
    Text(String),
    Eof,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8], limits: Limits) -> Result<Self, XmlError> {
        if bytes.len() as u64 > limits.bytes {
            return Err(XmlError::Oversize(bytes.len() as u64, limits.bytes));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| XmlError::Encoding)?;
        Ok(Reader { decoded: false, ..Self::of_text(text, limits)? })
    }

    /// For what [`decode`] gave.
    pub fn of_text(text: &'a str, limits: Limits) -> Result<Self, XmlError> {
        if text.len() as u64 > limits.bytes {
            return Err(XmlError::Oversize(text.len() as u64, limits.bytes));
        }
        let mut xml = NsReader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
        let config = xml.config_mut();
        config.expand_empty_elements = true;
        config.check_comments = true;
        Ok(Reader { xml, limits, decoded: true, entered: 0 })
    }

    /// Enters the root element and gives its name and attributes.
    pub fn root(&mut self) -> Result<Element, XmlError> {
        match self.piece()? {
            Piece::Start(e) => {
                self.entered = 1;
                Ok(e)
            }
            Piece::Eof => Err(XmlError::Truncated),
            _ => Err(self.syntax("text before the root element")),
        }
    }

    /// The next child of the element entered last, whole. `None` at its end, which leaves it; when it was the root,
    /// the rest of the document has then been checked to hold nothing.
    pub fn next_child(&mut self) -> Result<Option<Inner>, XmlError> {
        self.next_or_enter(|_| false)
    }

    /// As [`Reader::next_child`], but a child that `enter` picks is only entered: `Ok(Some(it))` without its content,
    /// and the next call gives its first child.
    pub fn next_or_enter(&mut self, enter: impl Fn(&Element) -> bool) -> Result<Option<Inner>, XmlError> {
        match self.step()? {
            Some(Piece::Start(e)) if enter(&e) => {
                self.entered += 1;
                Ok(Some(Inner::Element(e)))
            }
            Some(Piece::Start(e)) => Ok(Some(Inner::Element(self.finish(e)?))),
            Some(Piece::Text(t)) => Ok(Some(Inner::Text(t))),
            _ => Ok(None),
        }
    }

    fn step(&mut self) -> Result<Option<Piece>, XmlError> {
        if self.entered == 0 {
            return Ok(None);
        }
        match self.piece()? {
            Piece::End => {
                self.entered -= 1;
                if self.entered == 0 {
                    self.epilogue()?;
                }
                Ok(None)
            }
            Piece::Eof => Err(XmlError::Truncated),
            other => Ok(Some(other)),
        }
    }

    fn epilogue(&mut self) -> Result<(), XmlError> {
        match self.piece()? {
            Piece::Eof => Ok(()),
            _ => Err(self.syntax("something follows the root element")),
        }
    }

    /// Reads the rest of an element whose start was read. A stack of our own: depth costs no program stack.
    fn finish(&mut self, start: Element) -> Result<Element, XmlError> {
        let mut open = vec![start];
        let mut elements = 1;
        loop {
            match self.piece()? {
                Piece::Start(e) => {
                    elements += 1;
                    if elements > self.limits.elements {
                        return Err(self.limit("number of elements"));
                    }
                    if self.entered + open.len() >= self.limits.depth {
                        return Err(self.limit("nesting"));
                    }
                    open.push(e);
                }
                Piece::Text(t) => {
                    let Some(top) = open.last_mut() else { return Err(self.syntax("text outside an element")) };
                    top.text.push_str(&t);
                    if top.text.len() > self.limits.text_bytes {
                        return Err(self.limit("text"));
                    }
                }
                Piece::End => {
                    let done = open.pop();
                    match (done, open.last_mut()) {
                        (Some(done), Some(parent)) => parent.children.push(done),
                        (Some(done), None) => return Ok(done),
                        (None, _) => return Err(self.syntax("an end without a start")),
                    }
                }
                Piece::Eof => return Err(XmlError::Truncated),
            }
        }
    }

    /// One event that matters. White space outside the root is dropped, comments and instructions everywhere.
    fn piece(&mut self) -> Result<Piece, XmlError> {
        loop {
            let event = self.xml.read_event().map_err(|e| match e {
                quick_xml::Error::Syntax(_) => XmlError::Truncated,
                other => self.syntax(other.to_string()),
            })?;
            let text = match event {
                Event::Start(start) => return self.start(&start),
                Event::End(_) => return Ok(Piece::End),
                Event::Eof => return Ok(Piece::Eof),
                Event::DocType(_) => return Err(XmlError::Doctype),
                Event::Decl(decl) => {
                    let name = decl.encoding().transpose().map_err(|e| self.syntax(e.to_string()))?;
                    let known = |n: &str| ["utf-8", "utf8", "us-ascii"].contains(&n.to_ascii_lowercase().as_str());
                    if !self.decoded && name.is_some_and(|n| !known(&n)) {
                        return Err(XmlError::Encoding);
                    }
                    continue;
                }
                Event::Text(t) => t.xml10_content().into_owned(),
                Event::CData(t) => t.xml10_content().into_owned(),
                Event::GeneralRef(r) => {
                    let known = r.resolve_char_ref().map_err(|e| self.syntax(e.to_string()))?;
                    let known = known.map(String::from);
                    known
                        .or_else(|| quick_xml::escape::resolve_xml_entity(&r).map(String::from))
                        .ok_or_else(|| self.syntax("an entity that XML does not define"))?
                }
                Event::Empty(_) | Event::Comment(_) | Event::PI(_) => continue,
            };
            if text.len() > self.limits.text_bytes {
                return Err(self.limit("text"));
            }
            if !text.chars().all(is_xml_char) {
                return Err(self.syntax("a character that XML forbids"));
            }
            if self.entered > 0 {
                return Ok(Piece::Text(text));
            }
            if !text.chars().all(|c| matches!(c, ' ' | '\t' | '\r' | '\n')) {
                return Err(self.syntax("text outside the root element"));
            }
        }
    }

    fn start(&self, start: &BytesStart<'_>) -> Result<Piece, XmlError> {
        let (namespace, local) = self.xml.resolver().resolve_element(start.name());
        let namespace = match namespace {
            ResolveResult::Bound(ns) => ns.0.to_owned(),
            ResolveResult::Unbound => String::new(),
            ResolveResult::Unknown(_) => return Err(self.syntax("a namespace prefix that nothing declares")),
        };
        let mut element = Element { namespace, name: local.into_inner().to_owned(), ..Element::default() };
        let mut seen: Vec<&str> = Vec::new();
        // The crate's own check for doubles is quadratic, and so is this one; but here few are many.
        for attribute in start.attributes().with_checks(false) {
            let attribute = attribute.map_err(|e| self.syntax(e.to_string()))?;
            let name = attribute.key.0;
            if seen.len() >= self.limits.attributes {
                return Err(self.limit("number of attributes"));
            }
            if seen.contains(&name) {
                return Err(self.syntax("an attribute is given twice"));
            }
            seen.push(name);
            let value = attribute
                .normalized_value(quick_xml::XmlVersion::Explicit1_0)
                .map_err(|e| self.syntax(e.to_string()))?;
            if value.len() > self.limits.text_bytes {
                return Err(self.limit("attribute"));
            }
            if !value.chars().all(is_xml_char) {
                return Err(self.syntax("a character that XML forbids"));
            }
            if name != "xmlns" && !name.starts_with("xmlns:") {
                element.attributes.push((name.to_owned(), value.into_owned()));
            }
        }
        Ok(Piece::Start(element))
    }

    fn syntax(&self, what: impl Into<String>) -> XmlError {
        XmlError::Syntax { at: self.xml.buffer_position(), what: what.into() }
    }

    fn limit(&self, what: &'static str) -> XmlError {
        XmlError::Limit { at: self.xml.buffer_position(), what }
    }
}

/// Production 2 of XML 1.0.
fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { bytes: 10_000, depth: 8, text_bytes: 100, attributes: 4, elements: 20 };

    fn refused(text: &str) -> XmlError {
        parse(text.as_bytes(), LIMITS).unwrap_err()
    }

    #[test]
    fn names_attributes_and_text_are_read_with_their_namespace() {
        let text = "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<!-- x --><p:a xmlns:p=\"urn:x\" b=\"1 &lt; 2\">\r\n\
                    <p:c> &amp;&#233;<![CDATA[<]]><!-- y -->z </p:c><c xmlns=\"urn:other\"/></p:a>\n";
        let a = parse(text.as_bytes(), LIMITS).unwrap();
        assert_eq!((a.name.as_str(), a.namespace.as_str(), a.attribute("b")), ("a", "urn:x", Some("1 < 2")));
        assert_eq!(a.child("c").unwrap().text, " &\u{e9}<z ");
        assert_eq!(a.children.len(), 2);
        assert_eq!(a.own().count(), 1);
    }

    #[test]
    fn every_cut_document_is_refused() {
        let text = "<?xml version=\"1.0\"?><a><b c=\"d\">e&amp;f</b><g/></a>";
        for at in 0..text.len() {
            assert!(parse(&text.as_bytes()[..at], LIMITS).is_err(), "cut at {at}");
        }
        assert!(parse(text.as_bytes(), LIMITS).is_ok());
        assert_eq!(refused("<a><b></b>"), XmlError::Truncated);
    }

    #[test]
    fn a_cut_after_a_child_is_refused_by_the_stream_too() {
        let mut reader = Reader::new(b"<a><b/>", LIMITS).unwrap();
        reader.root().unwrap();
        assert!(matches!(reader.next_child(), Ok(Some(Inner::Element(_)))));
        assert_eq!(reader.next_child().unwrap_err(), XmlError::Truncated);
    }

    #[test]
    fn a_doctype_and_its_entities_are_refused() {
        assert_eq!(refused("<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>"), XmlError::Doctype);
        assert!(matches!(refused("<a>&x;</a>"), XmlError::Syntax { .. }));
    }

    #[test]
    fn what_is_not_one_well_formed_element_is_refused() {
        for bad in [
            "",
            "x",
            "<a/><b/>",
            "<a/>x",
            "<a></b>",
            "<a b='1' b='2'/>",
            "<p:a/>",
            "<a>&#1;</a>",
            "<a b='&#1;'/>",
            "<a>\u{1}</a>",
        ] {
            assert!(parse(bad.as_bytes(), LIMITS).is_err(), "{bad:?}");
        }
        assert_eq!(parse(b"<a>\xff</a>", LIMITS).unwrap_err(), XmlError::Encoding);
        assert_eq!(refused("<?xml version=\"1.0\" encoding=\"latin1\"?><a/>"), XmlError::Encoding);
    }

    #[test]
    fn every_limit_holds() {
        assert!(matches!(refused(&"<a/>".repeat(9_000)), XmlError::Oversize(..)));
        let deep = format!("{}{}", "<a>".repeat(9), "</a>".repeat(9));
        assert!(matches!(refused(&deep), XmlError::Limit { what: "nesting", .. }));
        assert!(matches!(refused(&format!("<a>{}</a>", "x".repeat(101))), XmlError::Limit { what: "text", .. }));
        let split = format!("<a>{}</a>", "xxxxxxxxxx<b/>".repeat(11));
        assert!(matches!(refused(&split), XmlError::Limit { what: "text", .. }));
        assert!(matches!(refused(&format!("<a b='{}'/>", "x".repeat(101))), XmlError::Limit { .. }));
        assert!(matches!(refused("<a b='' c='' d='' e='' f=''/>"), XmlError::Limit { .. }));
        assert!(matches!(refused(&format!("<a>{}</a>", "<b/>".repeat(20))), XmlError::Limit { .. }));
    }
}
