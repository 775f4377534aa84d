//! **Owns** one clip's metadata out of many mouths: libav, the clip's own bytes, sidecars, the card's index, names.
//! **Never** opens a file, guesses a value that nobody said, or drops one that disagrees: what was not chosen is kept.
//! **Flow** `of_file` and `of_sidecar` turn bytes into what they say, `merge` chooses one value a field and keeps the
//! rest beside it.
//! **Tests** beside each rule; whole clips with the sample media in `tests/all/real_media.rs`.

mod merge;

pub use merge::{chosen, merge};

use crate::fact::{Fact, Field, Origin, Said};
use crate::read::facts::{Embedded, Xml};
use crate::read::window::Window;
use crate::read::{braw_sidecar, cdl, clip_main, csv_meta, dji_srt, facts, p2, sony_nrt};
use crate::relpath::RelPath;
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
            Xml::ClipMain => (clip_main::facts(&bytes), "clip-main"),
        };
        out.extend(facts.unwrap_or_default().into_iter().map(|fact| said(fact, Origin::File, by)));
    }
    out
}

/// What a file beside the clip says.
pub fn of_sidecar(file: &mut (impl Read + Seek), relpath: &RelPath) -> Vec<Said> {
    let Some((facts, by)) = sidecar(file, relpath) else { return Vec::new() };
    facts.into_iter().map(|fact| said(fact, Origin::Sidecar, by)).collect()
}

fn sidecar(file: &mut (impl Read + Seek), relpath: &RelPath) -> Option<(Vec<Fact>, &'static str)> {
    let kind = relpath.extension();
    if !matches!(kind.as_str(), "xml" | "srt" | "sidecar" | "txt" | "csv" | "cdl" | "cc") {
        return None;
    }
    let size_bytes = file.seek(SeekFrom::End(0)).ok().filter(|n| *n <= SIDECAR_BYTES)?;
    file.seek(SeekFrom::Start(0)).ok()?;
    // A document must be whole; of a table or of telemetry the beginning is enough.
    let limit_bytes = if matches!(kind.as_str(), "xml" | "cdl" | "cc") { size_bytes } else { HEAD_BYTES };
    let mut bytes = Vec::new();
    file.take(limit_bytes).read_to_end(&mut bytes).ok()?;
    match kind.as_str() {
        "srt" => Some((dji_srt::facts(&bytes), "dji-srt")),
        "sidecar" => Some((braw_sidecar::facts(&bytes)?, "braw-sidecar")),
        "txt" => Some((braw_sidecar::listing_facts(&bytes)?, "braw-metadata")),
        "csv" => Some((csv_meta::facts(&bytes)?, "csv")),
        "cdl" | "cc" => Some((correction(&kind, &bytes)?, "asc-cdl")),
        _ => document(&bytes),
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
    let lumix = || Some((clip_main::facts(bytes)?, "clip-main"));
    let p2 = || Some((p2::facts(bytes), "p2")).filter(|(facts, _)| !facts.is_empty());
    sony().or_else(lumix).or_else(p2)
}

fn said(fact: Fact, origin: Origin, by: &str) -> Said {
    Said { fact, origin, by: by.into() }
}
