//! `ascmhl_chain.xml`: which manifests a history has, and the C4 of each.

use super::write::Xml;
use crate::digest::{Digest, HashFormat};
use crate::hash::digest_of;
use crate::read::xml::{Inner, Limits, Reader};
use crate::relpath::RelPath;
use std::collections::HashSet;

pub(crate) const NAMESPACE: &str = "urn:ASC:MHL:DIRECTORY:v2.0";
pub(crate) const LIMIT_BYTES: u64 = 16 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub number: u32,
    /// A bare name beside the chain.
    pub name: RelPath,
    /// C4 by the standard; one tool wrote another format, which is read but never continued.
    pub digest: Digest,
}

impl Link {
    pub fn holds(&self, manifest: &[u8]) -> bool {
        digest_of(self.digest.format, manifest) == self.digest
    }
}

/// The links in ascending order of their number.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Link>, String> {
    let mut reader = Reader::new(bytes, Limits::of_bytes(LIMIT_BYTES)).map_err(|e| e.to_string())?;
    let root = reader.root().map_err(|e| e.to_string())?;
    if (root.namespace.as_str(), root.name.as_str()) != (NAMESPACE, "ascmhldirectory") {
        return Err(format!("the root element is \"{}\" of namespace \"{}\"", root.name, root.namespace));
    }
    let mut links: Vec<Link> = Vec::new();
    let (mut numbers, mut names) = (HashSet::new(), HashSet::new());
    while let Some(inner) = reader.next_child().map_err(|e| e.to_string())? {
        let Inner::Element(list) = inner else { continue };
        if list.namespace != NAMESPACE || list.name != "hashlist" {
            continue;
        }
        let number = list.attribute("sequencenr").and_then(|n| n.trim().parse().ok()).filter(|n| *n > 0);
        let number: u32 = number.ok_or("an entry has no sequence number")?;
        let name = list.child("path").ok_or_else(|| format!("entry {number} names no manifest"))?;
        let name = RelPath::new(&name.text)
            .ok()
            .filter(|n| n.segments().count() == 1)
            .ok_or_else(|| format!("entry {number} names a manifest outside the history's folder"))?;
        let digest = list
            .own()
            .find_map(|e| Digest::parse(HashFormat::from_name(&e.name)?, &e.text))
            .ok_or_else(|| format!("entry {number} has no digest that can be read"))?;
        if !numbers.insert(number) || !names.insert(name.clone()) {
            return Err(format!("entry {number} is listed twice"));
        }
        links.push(Link { number, name, digest });
    }
    links.sort_by_key(|l| l.number);
    if links.is_empty() {
        return Err("it lists no manifest".into());
    }
    Ok(links)
}

pub(crate) fn render(links: &[Link]) -> Vec<u8> {
    let mut xml = Xml::new();
    xml.open("ascmhldirectory", &[("xmlns", NAMESPACE)]);
    for link in links {
        xml.open("hashlist", &[("sequencenr", &link.number.to_string())]);
        xml.leaf("path", &[], &link.name.text());
        xml.leaf(link.digest.format.name(), &[], &link.digest.text());
        xml.close();
    }
    xml.close();
    xml.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(number: u32) -> Link {
        let name = RelPath::new(format!("{number:04}_a&b_2026-01-02_030405Z.mhl")).unwrap();
        Link { number, name, digest: digest_of(HashFormat::C4, b"x") }
    }

    #[test]
    fn a_chain_reads_back_as_it_was_written() {
        let links = [link(1), link(2), link(10_000)];
        assert_eq!(read(&render(&links)).unwrap(), links);
    }

    #[test]
    fn links_that_lead_outside_repeat_or_lack_a_digest_are_refused() {
        let good = String::from_utf8(render(&[link(1), link(2)])).unwrap();
        let c4 = link(1).digest.text();
        for (from, to) in [
            ("<path>0001", "<path>../0001"),
            ("<path>0001", "<path>/0001"),
            ("sequencenr=\"2\"", "sequencenr=\"1\""),
            ("sequencenr=\"2\"", "sequencenr=\"0\""),
            (c4.as_str(), "c4"),
            (":DIRECTORY:", ":OTHER:"),
            ("</ascmhldirectory>", ""),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good, "{from}");
            assert!(read(bad.as_bytes()).is_err(), "{to}");
        }
    }
}
