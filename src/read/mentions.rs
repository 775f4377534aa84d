//! What an XML index mentions. Of some indexes of cameras no description is public, only that they are XML and name the
//! card's files; those names are read wherever they stand, and nothing is claimed of the rest.

use super::xml::{Inner, Limits, Reader, XmlError, decode};

const LIMITS: Limits = Limits { text_bytes: 64 << 10, ..Limits::of_bytes(16 << 20) };
/// Elements of one index.
const ELEMENTS: usize = 200_000;

/// The attributes' values and the text of each element, those that say nothing left out.
pub fn elements(bytes: &[u8]) -> Result<Vec<Vec<String>>, XmlError> {
    let text = decode(bytes)?;
    let mut reader = Reader::of_text(text.trim_end_matches('\0'), LIMITS)?;
    let values = |e: &super::xml::Element| -> Vec<String> {
        e.attributes.iter().map(|(_, value)| value.trim()).filter(|v| !v.is_empty()).map(str::to_owned).collect()
    };
    let mut out = vec![values(&reader.root()?)];
    // Which of `out` is open; each element is entered, so that none is held whole.
    let mut open = vec![0];
    while let Some(top) = open.last().copied() {
        match reader.next_or_enter(|_| true)? {
            None => _ = open.pop(),
            Some(Inner::Text(text)) if !text.trim().is_empty() => out[top].push(text.trim().to_owned()),
            Some(Inner::Text(_)) => {}
            Some(Inner::Element(e)) => {
                open.push(out.len());
                out.push(values(&e));
            }
        }
        if out.len() > ELEMENTS {
            return Err(XmlError::Limit { at: 0, what: "number of elements" });
        }
    }
    out.retain(|values| !values.is_empty());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INDEX: &str = "<?xml version=\"1.0\"?><indexFile xmlns=\"urn:x\"><clipTable path=\"/PROAV/CLPR/\">\
        <clip clipId=\"C0001\" file=\"C0001C01.SMI\"><video file=\"C0001V01.MXF\"/></clip></clipTable>\
        <note> a <b/>b </note></indexFile>";

    #[test]
    fn values_and_text_are_handed_out_element_by_element() {
        assert_eq!(
            elements(INDEX.as_bytes()).unwrap(),
            [vec!["/PROAV/CLPR/"], vec!["C0001", "C0001C01.SMI"], vec!["C0001V01.MXF"], vec!["a", "b"]]
        );
        let wide: Vec<u8> = "\u{feff}".encode_utf16().chain(INDEX.encode_utf16()).flat_map(u16::to_be_bytes).collect();
        assert_eq!(elements(&wide).unwrap().len(), 4);
    }

    #[test]
    fn a_cut_index_is_refused_and_a_deep_one_is_not() {
        for at in 0..INDEX.len() {
            assert!(elements(&INDEX.as_bytes()[..at]).is_err(), "cut at {at}");
        }
        let deep = format!("{}<x y=\"1\"/>{}", "<a>".repeat(5000), "</a>".repeat(5000));
        assert_eq!(elements(deep.as_bytes()).unwrap(), [["1"]]);
    }

    proptest! {
        #[test]
        fn no_damage_makes_it_panic(at in any::<prop::sample::Index>(), bytes in proptest::collection::vec(any::<u8>(), 0..9)) {
            let mut index = INDEX.as_bytes().to_vec();
            let at = at.index(index.len());
            index.splice(at..at, bytes);
            let _ = elements(&index);
        }
    }
}
