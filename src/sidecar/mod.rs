//! **Owns** one clip's metadata out of many mouths: libav, the clip's own bytes, sidecars, the card's index, names.
//! **Never** opens a file, guesses a value that nobody said, or drops one that disagrees: what was not chosen is kept.
//! A sidecar that cannot be read is a note of its clip and no more.
//! **Flow** `of_file` and `of_sidecar` turn bytes into what they say, `merge` chooses one value a field and keeps the
//! rest beside it.
//! **Tests** beside each rule; whole clips with the sample media in `tests/all/real_media.rs`.

mod merge;

pub use merge::{chosen, merge};

use crate::fact::{Fact, Field, Origin, Said};
use crate::read::facts::{Embedded, Xml};
use crate::read::window::Window;
use crate::read::{braw_sidecar, canon_xml, cdl, csv_meta, dji_srt, facts, p2, sony_nrt, wording, xml};
use crate::relpath::{RelPath, escape};
use std::io::{Read, Seek, SeekFrom};

/// A larger one is none: an hour of telemetry at 60 lines a second is less.
const SIDECAR_BYTES: u64 = 64 << 20;
/// What is needed of it stands at its beginning.
const HEAD_BYTES: u64 = 4 << 20;

/// What a file of the clip itself says, beyond libav. A file that cannot be read, or is damaged, says less.
pub fn of_file(file: &mut (impl Read + Seek), relpath: &RelPath) -> Vec<Said> {
    let Ok(size_bytes) = file.seek(SeekFrom::End(0)) else { return Vec::new() };
    let Ok(Embedded { facts, xml }) = facts::of(&mut Window::new(file, size_bytes), relpath) else { return Vec::new() };
    let mut out: Vec<Said> = facts.into_iter().map(|(fact, by)| said(fact, Origin::File, by)).collect();
    for (kind, bytes) in xml {
        let (facts, by) = match kind {
            Xml::SonyNrt => (sony_nrt::facts(&bytes), "sony-nrt"),
            Xml::ClipMain => (p2::facts(&bytes), "clip-main"),
        };
        out.extend(facts.unwrap_or_default().into_iter().map(|fact| said(fact, Origin::File, by)));
    }
    out
}

/// What a file beside the clip says, or why one of a kind that is read here says nothing.
pub fn of_sidecar(file: &mut (impl Read + Seek), relpath: &RelPath) -> Vec<Said> {
    let kind = relpath.extension();
    if !matches!(kind.as_str(), "xml" | "srt" | "sidecar" | "txt" | "csv" | "cdl" | "cc") {
        return Vec::new();
    }
    let why = match bytes_of(file, &kind) {
        Err(why) => why,
        Ok(bytes) => match sidecar(&kind, &bytes) {
            Some((facts, by)) if !facts.is_empty() => {
                return facts.into_iter().map(|fact| said(fact, Origin::Sidecar, by)).collect();
            }
            _ => match unreadable(&kind, &bytes) {
                Some(why) => why,
                None => return Vec::new(),
            },
        },
    };
    let note = Fact::new(Field::Note, format!("\"{}\" cannot be read: {why}", escape(relpath.name())));
    note.into_iter().map(|fact| said(fact, Origin::Sidecar, "sidecar")).collect()
}

fn bytes_of(file: &mut (impl Read + Seek), kind: &str) -> Result<Vec<u8>, String> {
    let failed = |e: std::io::Error| e.to_string();
    let size_bytes = file.seek(SeekFrom::End(0)).map_err(failed)?;
    if size_bytes > SIDECAR_BYTES {
        return Err(format!("it has {size_bytes} bytes, more than any sidecar"));
    }
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    // A document must be whole; of a table or of telemetry the beginning is enough.
    let limit_bytes = if matches!(kind, "xml" | "cdl" | "cc") { size_bytes } else { HEAD_BYTES };
    let mut bytes = Vec::new();
    file.take(limit_bytes).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn sidecar(kind: &str, bytes: &[u8]) -> Option<(Vec<Fact>, &'static str)> {
    match kind {
        "srt" => Some((dji_srt::facts(bytes), "dji-srt")),
        "sidecar" => Some((braw_sidecar::facts(bytes)?, "braw-sidecar")),
        "txt" => Some((braw_sidecar::listing_facts(bytes)?, "braw-metadata")),
        "csv" => Some((csv_meta::facts(bytes)?, "csv")),
        "cdl" | "cc" => Some((correction(kind, bytes)?, "asc-cdl")),
        _ => document(bytes),
    }
}

/// Of a list with several, nothing says which is the clip's.
fn correction(kind: &str, bytes: &[u8]) -> Option<Vec<Fact>> {
    let list = cdl::parse(kind, bytes).ok().filter(|list| list.for_all)?;
    let own = list.all.first()?.cdl;
    let sat = Fact::new(Field::AscSat, own.saturation.to_string());
    Some(Fact::new(Field::AscSop, own.sop()).into_iter().chain(sat).collect())
}

/// Told by what is in it: cameras of three makers call their sidecar `<clip>.XML`.
fn document(bytes: &[u8]) -> Option<(Vec<Fact>, &'static str)> {
    let sony = || Some((sony_nrt::facts(bytes)?, "sony-nrt"));
    let p2 = || Some((p2::facts(bytes)?, "p2"));
    let canon = || Some((canon_xml::facts(bytes)?, "canon-xml"));
    sony().or_else(p2).or_else(canon)
}

/// What is wrong with bytes that say nothing. `None`: they may be of a kind that nobody here knows.
fn unreadable(kind: &str, bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return Some("it is empty".into());
    }
    match kind {
        "xml" => xml::parse_any(bytes, xml::Limits::of_bytes(SIDECAR_BYTES)).err().map(|e| e.to_string()),
        "sidecar" => Some("it is no JSON of a Blackmagic camera".into()),
        // A list of corrections by id is for those that ask for one of them.
        "cdl" | "cc" => cdl::parse(kind, bytes).err().map(|e| e.to_string()),
        _ => {
            let text = wording::text(bytes, bytes.len())?;
            let lines = text.replace("\r\n", "\n").replace('\r', "\n");
            match kind {
                _ if text.contains(['\u{fffd}', '\0']) => Some("it is no text in UTF-8 or UTF-16".into()),
                "srt" if !lines.trim_start().contains("\n\n") => Some("it ends inside its first caption".into()),
                "csv" if !lines.ends_with('\n') => Some("it ends inside a line".into()),
                _ => None,
            }
        }
    }
}

fn said(fact: Fact, origin: Origin, by: &str) -> Said {
    Said { fact, origin, by: by.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn notes(name: &str, bytes: &[u8]) -> Vec<String> {
        let said = of_sidecar(&mut Cursor::new(bytes), &RelPath::new(name).unwrap());
        said.into_iter().map(|s| format!("{} {}: {}", s.by, s.fact.field.name(), s.fact.value)).collect()
    }

    #[test]
    fn a_sidecar_that_cannot_be_read_is_a_note_of_its_clip() {
        for (name, bytes, why) in [
            ("c/C0001M01.XML", &b""[..], "it is empty"),
            (
                "C0001M01.XML",
                b"<NonRealTimeMeta><Duration value=\"5\"/>",
                "the document ends before its root element does",
            ),
            ("C0001M01.XML", b"<NonRealTimeMeta>\xff</NonRealTimeMeta>", "not UTF-8"),
            ("C0001M01.XML", b"<!DOCTYPE a><NonRealTimeMeta/>", "a document type declaration is refused"),
            ("A.sidecar", b"{\"iso\": ", "it is no JSON of a Blackmagic camera"),
            ("A.srt", b"\xff\xfa\x00\x01", "it is no text in UTF-8 or UTF-16"),
            ("A.srt", b"1\r\n00:00:00,000 --> 00:00:00,033\r\n[iso : 1", "it ends inside its first caption"),
            ("A.csv", b"a,b\n\x00\x01\n", "it is no text in UTF-8 or UTF-16"),
            ("A.csv", b"Timecode,Clip Name,Lens Model,Camera Model\n01:02:03:04,A00", "it ends inside a line"),
        ] {
            let file = name.rsplit('/').next().unwrap();
            assert_eq!(notes(name, bytes), [format!("sidecar note: \"{file}\" cannot be read: {why}")]);
        }
    }

    #[test]
    fn sidecars_of_an_unknown_kind_are_passed_over() {
        for (name, bytes) in [
            ("A.xml", &b"<xmeml version=\"5\"/>"[..]),
            ("A.txt", b"a sunny day"),
            ("A.srt", b"1\n00:00:01,000 --> 00:00:02,000\nHello\n\n2\n"),
            ("A.csv", b"a,b\n1,2\n"),
            ("A.xmp", b""),
            ("A.bim", b"\xff"),
        ] {
            assert!(notes(name, bytes).is_empty(), "{name}");
        }
    }
}
