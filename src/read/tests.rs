//! What the tests of all parsers share, and what holds for all of them.

mod hostile;

use super::facts::{Embedded, Xml, of};
use super::window::Window;
use crate::relpath::RelPath;
use proptest::prelude::*;
use std::io::Cursor;
use std::path::PathBuf;

pub(crate) fn embedded(name: &str, bytes: &[u8]) -> Embedded {
    let name = RelPath::new(name).unwrap();
    of(&mut Window::new(&mut Cursor::new(bytes), bytes.len() as u64), &name).unwrap()
}

/// `PARSER FIELD=VALUE` of everything that a file of these bytes says.
pub(crate) fn said(name: &str, bytes: &[u8]) -> Vec<String> {
    embedded(name, bytes).facts.into_iter().map(|(f, by)| format!("{by} {}={}", f.field.name(), f.value)).collect()
}

/// The sample media, or nothing with a loud word.
pub(crate) fn samples() -> Option<PathBuf> {
    let root = std::env::var_os("GOODGATE_TEST_MEDIA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/media")), PathBuf::from);
    if root.join("MANIFEST.tsv").is_file() {
        return Some(root);
    }
    eprintln!("SKIPPED: no sample media at \"{}\"; set GOODGATE_TEST_MEDIA", root.display());
    None
}

/// Cut at every byte, and with every length and offset in it set to the worst (in larger files, some of them): it says
/// something or nothing, and ends.
pub(crate) fn survives(name: &str, bytes: &[u8]) {
    let whole = embedded(name, bytes).facts.len();
    for len in 0..bytes.len() {
        assert!(embedded(name, &bytes[..len]).facts.len() <= whole, "cut to {len} it says more");
    }
    for at in (4..bytes.len()).step_by(1 + bytes.len() / 1500) {
        for worst in [[0; 4], [0xff; 4], [0x7f, 0xff, 0xff, 0xff], [0x80, 0, 0, 0]] {
            let mut hurt = bytes.to_vec();
            let end = hurt.len().min(at + 4);
            hurt[at..end].copy_from_slice(&worst[..end - at]);
            embedded(name, &hurt);
        }
    }
}

/// Every sample that is small enough, whatever it is.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut out = vec![
        ("a.r3d".to_owned(), super::r3d::tests::header()),
        ("a.mov".to_owned(), super::movie::tests::timecode_movie(24_000, 1001, 24, 0, 86_400)),
        ("a.wav".to_owned(), super::bext::tests::take()),
        ("a.dng".to_owned(), super::dng::tests::film()),
        ("a.ari".to_owned(), super::ari::tests::frame()),
    ];
    if let Some(root) = samples() {
        for name in
            ["red/A106_C037_0118G5_002.R3D", "sony/C0001_sony-a7-xavc_header.MP4", "other/pentax_320x240_head.mov"]
        {
            out.push((name.to_owned(), std::fs::read(root.join(name)).unwrap()));
        }
    }
    out
}

#[test]
fn a_document_inside_a_movie_is_handed_on() {
    use super::bmff::tests::atom;
    let nrt = b"<?xml version=\"1.0\"?><NonRealTimeMeta><Duration value=\"5\"/></NonRealTimeMeta>";
    let xml = atom(b"xml ", &[&[0; 4], &nrt[..], &[0; 3]].concat());
    let handler = atom(b"hdlr", &[&[0; 8], &b"nrtm"[..], &[0; 14]].concat());
    // As ISO has it, with a version, and as a box of its own kind.
    let meta = atom(b"meta", &[vec![0; 4], handler, xml.clone()].concat());
    let uuid = atom(b"uuid", &[&[9; 16], &nrt[..]].concat());
    let ftyp = atom(b"ftyp", b"XAVC\0\0\0\0XAVC");
    for bytes in [
        [&ftyp[..], &meta].concat(),
        [&ftyp[..], &atom(b"moov", &meta)].concat(),
        [&ftyp[..], &atom(b"moov", &[]), &uuid].concat(),
    ] {
        let got = embedded("C0001.MP4", &bytes);
        assert_eq!((got.xml, got.facts), (vec![(Xml::SonyNrt, nrt.to_vec())], vec![]));
        survives("C0001.MP4", &bytes);
    }
}

#[test]
fn what_was_said_before_the_budget_was_spent_is_kept() {
    use super::bmff::tests::atom;
    let model = atom(b"\xa9mdl", b"\0\x05\x55\xc4FC220");
    let heavy = atom(b"GPMF", &vec![0; 1 << 20]).repeat(40);
    let udta = atom(b"udta", &[model, heavy].concat());
    let bytes = [atom(b"ftyp", b"qt  \0\0\0\0qt  "), atom(b"moov", &udta)].concat();
    assert_eq!(said("a.mov", &bytes), ["udta model=FC220"]);
    let mut file = Cursor::new(&bytes);
    let mut w = Window::new(&mut file, bytes.len() as u64);
    super::movie::facts(&mut w).unwrap();
    assert!(w.is_spent(), "the file does not ask for more than the budget");
}

#[test]
fn no_sample_stops_a_parser() {
    let Some(root) = samples() else { return };
    let manifest = std::fs::read_to_string(root.join("MANIFEST.tsv")).unwrap();
    let mut read = 0;
    for line in manifest.lines().skip(1) {
        let relpath = RelPath::new(line.split('\t').next().unwrap()).unwrap();
        let mut file = std::fs::File::open(relpath.under(&root)).unwrap();
        let size = file.metadata().unwrap().len();
        let got = of(&mut Window::new(&mut file, size), &relpath).unwrap();
        for (fact, by) in &got.facts {
            eprintln!("{relpath}: {by} {}={}", fact.field.name(), fact.value);
        }
        read += 1;
    }
    assert!(read > 60, "{read} samples: the manifest has changed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_stop_a_parser(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        n in any::<prop::sample::Index>(),
        keep in 0usize..200,
    ) {
        let all = seeds();
        let (name, whole) = &all[n.index(all.len())];
        embedded(name, &bytes);
        embedded(name, &[&whole[..keep.min(whole.len())], &bytes].concat());
    }

    #[test]
    fn no_damage_stops_a_parser(
        n in any::<prop::sample::Index>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let all = seeds();
        let (name, mut bytes) = all[n.index(all.len())].clone();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        embedded(&name, &bytes);
        bytes.truncate(cut.index(bytes.len()) + 1);
        embedded(&name, &bytes);
    }
}

/// Of parsers that turn a whole text into facts.
pub(crate) mod told {
    use crate::fact::{Fact, Field};

    /// The first value of a field.
    pub(crate) fn said(facts: &[Fact], field: Field) -> Option<&str> {
        facts.iter().find(|f| f.field == field).map(|f| f.value.as_str())
    }

    /// Every fact with its field's name, to compare a whole answer.
    pub(crate) fn all(facts: &[Fact]) -> Vec<(Field, &str)> {
        facts.iter().map(|f| (f.field, f.value.as_str())).collect()
    }

    /// One of the sample media, which are no part of the project, or nothing with a loud word.
    pub(crate) fn sample(path: &str) -> Option<Vec<u8>> {
        let root = super::samples()?;
        Some(std::fs::read(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}")))
    }
}
