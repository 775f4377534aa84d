//! Sony's `MEDIAPRO.XML`: which recordings a card holds and which files each is made of.

use super::xml::{Element, Inner, Limits, Reader, XmlError, decode};

const LIMITS: Limits = Limits { text_bytes: 64 << 10, ..Limits::of_bytes(16 << 20) };

/// One recording. Addresses are relative to the index's folder, as written: `./Clip/C0001.MXF`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Material {
    pub uri: String,
    pub umid: Option<String>,
    /// The operator's mark: `OK`, `NG`, `none`.
    pub status: Option<String>,
    /// The essence files of a recording whose own address is only a list (`.SMI`).
    pub components: Vec<String>,
    pub proxies: Vec<Proxy>,
    /// Sidecars and stills.
    pub others: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    pub uri: String,
    /// Its own, not the recording's.
    pub umid: Option<String>,
}

/// Every recording of the index; other elements and all namespaces are passed over.
pub fn materials(bytes: &[u8]) -> Result<Vec<Material>, XmlError> {
    let text = decode(bytes)?;
    let mut reader = Reader::of_text(&text, LIMITS)?;
    let root = reader.root()?;
    if root.name != "MediaProfile" {
        return Err(XmlError::Syntax { at: 0, what: format!("the root element is \"{}\"", root.name) });
    }
    let mut out = Vec::new();
    let mut inside = 1;
    while inside > 0 {
        match reader.next_or_enter(|e| e.name == "Contents")? {
            None => inside -= 1,
            Some(Inner::Element(e)) if e.name == "Contents" => inside += 1,
            Some(Inner::Element(e)) if e.name == "Material" => out.extend(material(&e)),
            Some(_) => {}
        }
    }
    Ok(out)
}

fn material(e: &Element) -> Option<Material> {
    let said = |e: &Element, name: &str| e.attribute(name).map(str::to_owned).filter(|v| !v.is_empty());
    let named = |name: &'static str| e.children.iter().filter(move |c| c.name == name);
    let uris = |name: &'static str| named(name).filter_map(|c| said(c, "uri")).collect::<Vec<_>>();
    let proxy = |c: &Element| Some(Proxy { uri: said(c, "uri")?, umid: said(c, "umid") });
    Some(Material {
        uri: said(e, "uri")?,
        umid: said(e, "umid"),
        status: said(e, "status"),
        components: uris("Component"),
        proxies: named("Proxy").filter_map(proxy).collect(),
        others: uris("RelevantInfo"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INDEX: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<MediaProfile xmlns="http://xmlns.sony.net/pro/metadata/mediaprofile" version="2.30">
  <Properties><System systemId="1" systemKind="X"/></Properties>
  <Contents>
    <Material uri="./Clip/C 1.MXF" type="MXF" umid="060A" status="OK">
      <Proxy uri="./Sub/C 1S03.MP4" umid="060B"/><RelevantInfo uri="./Clip/C 1M01.XML" type="XML"/>
    </Material>
    <Material uri="./CLPR/7_01/7_01.SMI" umid=""><Component uri="./CLPR/7_01/7_01.MP4" type="MP4"/></Material>
    <Material umid="without a file"/>
  </Contents>
</MediaProfile>"#;

    #[test]
    fn a_recording_names_its_files() {
        let all = materials(INDEX.as_bytes()).unwrap();
        assert_eq!(all.len(), 2);
        let first = Material {
            uri: "./Clip/C 1.MXF".into(),
            umid: Some("060A".into()),
            status: Some("OK".into()),
            components: Vec::new(),
            proxies: vec![Proxy { uri: "./Sub/C 1S03.MP4".into(), umid: Some("060B".into()) }],
            others: vec!["./Clip/C 1M01.XML".into()],
        };
        assert_eq!(all[0], first);
        assert_eq!((all[1].umid.clone(), &all[1].components[..]), (None, &["./CLPR/7_01/7_01.MP4".to_owned()][..]));
    }

    #[test]
    fn an_index_in_utf_16_is_the_same_index() {
        let text = INDEX.replace("UTF-8", "UTF-16");
        let wide: Vec<u8> = "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        assert_eq!(materials(&wide), materials(INDEX.as_bytes()));
    }

    #[test]
    fn a_cut_or_foreign_document_is_refused() {
        for at in 0..INDEX.len() {
            assert!(materials(&INDEX.as_bytes()[..at]).is_err(), "cut at {at}");
        }
        assert!(materials(b"<other/>").is_err());
    }

    proptest! {
        #[test]
        fn no_damage_makes_it_panic(at in any::<prop::sample::Index>(), bytes in proptest::collection::vec(any::<u8>(), 0..9)) {
            let mut index = INDEX.as_bytes().to_vec();
            let at = at.index(index.len());
            index.splice(at..at, bytes);
            let _ = materials(&index);
        }
    }
}
