//! The XML beside a clip of Canon's XF and cinema cameras. Canon describes it nowhere in public and no sample of it was
//! found, so nothing is known of its tree: of a document that says itself that Canon made it, those elements are read
//! whose own names leave no doubt of what they hold, as text or as an attribute `value`, and of which there is one value.

use super::wording::{self, Sheet};
use super::xml::{self, Element, Limits};
use crate::fact::{Fact, Field};
use crate::timecode::FrameRate;

const LIMITS: Limits = Limits::of_bytes(1 << 20);

/// `None`: not whole, or a document that does not name Canon as the maker.
pub fn facts(bytes: &[u8]) -> Option<Vec<Fact>> {
    let root = xml::parse_any(bytes, LIMITS).ok()?;
    let all = Named::of(&root);
    let make = all.one(&["manufacturer", "make", "maker"])?;
    if !make.to_ascii_lowercase().starts_with("canon") {
        return None;
    }
    let mut sheet = Sheet::default();
    sheet.put(Field::Make, Some("Canon"));
    sheet.put(Field::Model, all.one(&["cameramodelname", "cameramodel"]).or_else(|| all.inside("device", "modelname")));
    let serial = all.inside("device", "serialno").or_else(|| all.inside("device", "serialnumber"));
    sheet.put(Field::Serial, all.one(&["cameraserialnumber", "cameraserialno"]).or(serial));
    sheet.put(Field::ClipId, all.one(&["umid", "globalclipid"]));
    sheet.put(Field::ClipName, all.one(&["userclipname", "clipname"]));
    sheet.put(Field::Reel, all.one(&["reelname", "reelnumber"]));
    sheet.put(Field::Scene, all.one(&["scene", "sceneno", "scenenumber"]));
    sheet.put(Field::Take, all.one(&["take", "takeno", "takenumber"]));
    sheet.put(Field::Iso, all.one(&["isosensitivity", "iso"]).and_then(wording::iso));
    sheet.put(Field::WhiteBalance, all.one(&["colortemperature"]).and_then(wording::kelvin));
    sheet.put(Field::ShutterAngle, all.one(&["shutterangle"]).and_then(wording::angle));
    sheet.put(Field::Lens, all.one(&["lensmodelname", "lensmodel"]).or_else(|| all.inside("lens", "modelname")));
    let recorded = all.one(&["recordingdate", "recorddate", "startdate", "creationdate"]);
    sheet.put(Field::RecordedAt, recorded.and_then(wording::moment));
    let fps = all.one(&["framerate"]).and_then(wording::rate).filter(|r| r.nominal() <= 30);
    let start = all.one(&["starttimecode"]);
    sheet.put(Field::StartTc, start.and_then(|text| start_tc(text, fps)));
    Some(sheet.done())
}

/// Only marks between the numbers say whether frames are dropped: where both could be, one must be there.
fn start_tc(text: &str, fps: Option<FrameRate>) -> Option<String> {
    let told = text.contains(';') || fps.is_some_and(|r| !r.can_drop());
    told.then(|| wording::timecode(text, fps)).flatten()
}

/// Elements by their names in small letters and digits, each with what it says.
struct Named<'a>(Vec<(String, String, &'a str)>);

impl<'a> Named<'a> {
    fn of(root: &'a Element) -> Self {
        let plain = |name: &str| -> String {
            name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
        };
        let (mut out, mut open) = (Vec::new(), vec![(String::new(), root)]);
        while let Some((above, e)) = open.pop() {
            let name = plain(&e.name);
            let value = wording::word(&e.text).or_else(|| e.attribute("value").and_then(wording::word));
            out.extend(value.map(|value| (above.clone(), name.clone(), value)));
            open.extend(e.children.iter().rev().map(|child| (name.clone(), child)));
        }
        Named(out)
    }

    /// The one value of the first of these names that says something; of two that differ, neither.
    fn one(&self, names: &[&str]) -> Option<&'a str> {
        let of = |wanted: &str| self.0.iter().any(|(_, name, _)| name == wanted);
        let wanted = names.iter().find(|n| of(n))?;
        self.same(|_, name| name == *wanted)
    }

    /// As [`Named::one`], of an element inside another.
    fn inside(&self, above: &str, wanted: &str) -> Option<&'a str> {
        self.same(|a, name| a == above && name == wanted)
    }

    fn same(&self, is: impl Fn(&str, &str) -> bool) -> Option<&'a str> {
        let mut values = self.0.iter().filter(|(above, name, _)| is(above, name)).map(|(_, _, value)| *value);
        let first = values.next()?;
        values.all(|value| value == first).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::told::{all, said};

    /// Made, not real: what a document may look like.
    const CLIP: &str = "<ClipMetadata xmlns=\"urn:x\"><Device><Manufacturer>CANON</Manufacturer><ModelName>EOS C300 Mark II</ModelName>\
        <SerialNo>123</SerialNo></Device><Lens><ModelName>CN-E50mm</ModelName></Lens><UserClipName value=\"A001C001\"/>\
        <FrameRate>29.97</FrameRate><StartTimecode>01:00:00;02</StartTimecode><ISO>850</ISO>\
        <RecordDate>2017-08-23T10:11:12+09:00</RecordDate><Scene>1</Scene><Scene>2</Scene></ClipMetadata>";

    #[test]
    fn names_that_leave_no_doubt_are_read_and_two_values_of_one_are_none() {
        let want = [
            (Field::Make, "Canon"),
            (Field::Model, "EOS C300 Mark II"),
            (Field::Serial, "123"),
            (Field::ClipName, "A001C001"),
            (Field::Iso, "850"),
            (Field::Lens, "CN-E50mm"),
            (Field::RecordedAt, "2017-08-23T10:11:12+09:00"),
            (Field::StartTc, "01:00:00;02@30000/1001"),
        ];
        assert_eq!(all(&facts(CLIP.as_bytes()).unwrap()), want);
        let undecided = CLIP.replace("00;02", "00:02");
        assert_eq!(said(&facts(undecided.as_bytes()).unwrap(), Field::StartTc), None);
    }

    #[test]
    fn documents_of_others_and_broken_ones_are_not_mine() {
        assert_eq!(facts(CLIP.replace("CANON", "Sony").as_bytes()), None);
        assert_eq!(facts(b"<a><ModelName>Canon</ModelName></a>"), None);
        for at in 0..CLIP.len() {
            assert_eq!(facts(&CLIP.as_bytes()[..at]), None, "cut at {at}");
        }
    }
}
