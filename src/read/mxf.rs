//! MXF partitions (SMPTE ST 377-1): the header names the footer, or the random index pack at the end does.

use super::form::Facts;
use super::window::{Fault, Window, be16, be32, be64, past_end};
use crate::fact::Field;
use std::io;

const PARTITION: [u8; 13] = [0x06, 0x0e, 0x2b, 0x34, 0x02, 0x05, 0x01, 0x01, 0x0d, 0x01, 0x02, 0x01, 0x01];
const RANDOM_INDEX: [u8; 15] =
    [0x06, 0x0e, 0x2b, 0x34, 0x02, 0x05, 0x01, 0x01, 0x0d, 0x01, 0x02, 0x01, 0x01, 0x11, 0x01];
const HEADER: u8 = 2;
const FOOTER: u8 = 4;
/// ST 377-1 6.5: bytes of anything may stand before the header partition.
const RUN_IN: usize = 65_536;
/// Where a footer is looked for when nothing says where it is.
const TAIL_PIECE: u64 = 1 << 20;
const TAIL_PIECES: usize = 8;
/// Keys walked behind the footer.
const SETS: usize = 4096;

/// Offset of the header partition: 0, or behind a run-in.
pub fn find(head: &[u8]) -> Option<usize> {
    head.windows(14).take(RUN_IN).position(|w| w[..13] == PARTITION && w[13] == HEADER)
}

struct Partition {
    kind: u8,
    closed: bool,
    footer: u64,
    /// Where the pack ends and the metadata and index bytes it counts begin.
    body: u64,
    counted: u64,
}

fn partition(w: &mut Window, at: u64) -> io::Result<Option<Partition>> {
    let bytes = w.read(at, 128)?;
    Ok((|| {
        if bytes.get(..13)? != PARTITION {
            return None;
        }
        let (start, len) = length(&bytes)?;
        Some(Partition {
            kind: bytes[13],
            closed: matches!(bytes.get(14)?, 2 | 4),
            footer: be64(&bytes, start + 24)?,
            body: at.saturating_add(start as u64).saturating_add(len),
            counted: be64(&bytes, start + 32)?.saturating_add(be64(&bytes, start + 40)?),
        })
    })())
}

/// How the file is cut short; `start` is what `find` said.
pub fn fault(w: &mut Window, start: usize) -> Fault {
    let (size, start) = (w.size(), start as u64);
    let Some(head) = partition(w, start)? else { return Ok(Some("it ends inside its header".into())) };
    let named = match head.footer {
        0 => random_index(w)?,
        footer => Some(footer),
    };
    let at = match named {
        Some(footer) => start.saturating_add(footer),
        None => match last_footer(w)? {
            Some(at) => at,
            None if head.closed => return Ok(Some("its closing partition is missing".into())),
            None => return Ok(Some("it was never closed: it has no footer".into())),
        },
    };
    if at >= size {
        return Ok(Some(format!("its closing partition should lie at byte {at}, the file ends at {size}")));
    }
    let Some(footer) = partition(w, at)?.filter(|p| p.kind == FOOTER) else {
        return Ok(Some(format!("its closing partition is not at byte {at}, where it should be")));
    };
    let end = footer.body.saturating_add(footer.counted);
    if end > size {
        return Ok(Some(past_end("its closing partition", end, size)));
    }
    let mut at = footer.body;
    for _ in 0..SETS {
        let bytes = w.read(at, 25)?;
        // What is no SMPTE key was put behind the file by somebody else.
        if bytes.len() < 17 || !bytes.starts_with(&PARTITION[..4]) {
            break;
        }
        let Some((start, len)) = length(&bytes) else { break };
        let end = at.saturating_add(start as u64).saturating_add(len);
        if end > size {
            return Ok(Some(past_end("the last part of its footer", end, size)));
        }
        at = end;
    }
    Ok(None)
}

/// The BER length behind a key: where the value starts, and its length.
fn length(bytes: &[u8]) -> Option<(usize, u64)> {
    match *bytes.get(16)? {
        short @ 0..=0x7f => Some((17, short.into())),
        long @ 0x81..=0x88 => {
            let n = usize::from(long & 0x7f);
            Some((17 + n, bytes.get(17..17 + n)?.iter().fold(0u64, |n, b| n << 8 | u64::from(*b))))
        }
        _ => None,
    }
}

/// The footer's offset as the pack at the end of the file has it: its last entry.
fn random_index(w: &mut Window) -> io::Result<Option<u64>> {
    let size = w.size();
    let Some(len) = w.array(size.saturating_sub(4))?.map(u32::from_be_bytes) else { return Ok(None) };
    let Some(at) = size.checked_sub(len.into()) else { return Ok(None) };
    if w.read(at, 15)? != RANDOM_INDEX || len < 16 + 1 + 12 + 4 {
        return Ok(None);
    }
    let last = w.read(size - 16, 12)?;
    Ok(be32(&last, 0).and(be64(&last, 4)))
}

/// Searched backwards, a piece at a time: the index in the footer of a long clip takes megabytes.
fn last_footer(w: &mut Window) -> io::Result<Option<u64>> {
    let mut end = w.size();
    for _ in 0..TAIL_PIECES {
        let from = end.saturating_sub(TAIL_PIECE);
        let piece = w.read(from, (end - from) as usize)?;
        if let Some(at) = piece.windows(14).rposition(|w| w[..13] == PARTITION && w[13] == FOOTER) {
            return Ok(Some(from + at as u64));
        }
        if from == 0 {
            break;
        }
        // A key may lie across two pieces.
        end = from + 13;
    }
    Ok(None)
}

/// A set of local tags of two bytes with lengths of two bytes, of any registry and version.
const LOCAL_SET: [u8; 6] = [0x06, 0x0e, 0x2b, 0x34, 0x02, 0x53];
/// In one of ALEXA 35's sets of metadata: the document, and the address of its schema in UTF-16BE.
const JSON: u16 = 0x807b;
const SCHEMA: u16 = 0x807c;
const SET_BYTES: usize = 256 << 10;

/// What ALEXA 35 and later say in JSON documents of the header; all else libav reads. `start` is what `find` said.
pub(crate) fn facts(w: &mut Window, start: usize) -> io::Result<Facts> {
    let mut to = Facts::by("arri-json");
    let Some(head) = partition(w, start as u64)? else { return Ok(to) };
    let end = head.body.saturating_add(head.counted).min(w.size());
    let mut at = head.body;
    for _ in 0..SETS {
        let bytes = w.read(at, 25)?;
        if at >= end || !bytes.starts_with(&PARTITION[..4]) {
            break;
        }
        let Some((from, len)) = length(&bytes) else { break };
        let body = at.saturating_add(from as u64);
        if bytes.starts_with(&LOCAL_SET) {
            let most = usize::try_from(len).unwrap_or(SET_BYTES).min(SET_BYTES);
            document(&w.read(body, most)?, &mut to);
        }
        at = body.saturating_add(len);
    }
    Ok(to)
}

/// One set, when it holds a document.
fn document(set: &[u8], to: &mut Facts) {
    let (mut at, mut json, mut schema) = (0, None, String::new());
    while let (Some(tag), Some(len)) = (be16(set, at), be16(set, at + 2)) {
        let Some(value) = set.get(at + 4..at + 4 + usize::from(len)) else { break };
        match tag {
            JSON if value.trim_ascii_start().starts_with(b"{") => json = serde_json::from_slice(value).ok(),
            SCHEMA => schema = encoding_rs::UTF_16BE.decode_without_bom_handling(value).0.into_owned(),
            _ => {}
        }
        at += 4 + usize::from(len);
    }
    let Some(serde_json::Value::Object(json)) = json else { return };
    if !schema.contains("arri.com") {
        return;
    }
    let text = |key: &str| match json.get(key) {
        Some(serde_json::Value::String(text)) => Some(text.clone()),
        Some(serde_json::Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    // `.../json/camera/slate_info/v1-1-0`
    let parts: Vec<&str> = schema.trim_end_matches(['\0', '/']).split('/').collect();
    match parts.iter().rev().nth(1).copied() {
        Some("camera_device") => {
            to.say(Field::Make, "ARRI");
            to.say(Field::Model, text("cameraModel"));
            to.say(Field::Serial, text("cameraSerialNumber"));
            to.say(Field::Firmware, text("cameraSoftwarePackageName"));
        }
        Some("lens_device") => {
            to.say(Field::Lens, text("lensModel"));
            to.say(Field::LensSerial, text("lensSerialNumber"));
        }
        Some("slate_info") => {
            to.say(Field::Scene, text("sceneName").or(text("scene")));
            to.say(Field::Take, text("takeName").or(text("take")));
            to.say(Field::Reel, text("reelName"));
            to.say(Field::ClipName, text("clipName"));
            // An index of one letter is filled up: `A_`.
            to.say(Field::Camera, text("cameraIndex").map(|t| t.trim_end_matches('_').to_owned()));
            let circled = json.get("circleTake").and_then(serde_json::Value::as_bool);
            to.say(Field::Circled, circled.map(|c| if c { "1" } else { "0" }));
        }
        _ => {}
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::{said, samples, survives};
    use super::*;
    use std::io::Cursor;

    fn pack(kind: u8, status: u8, footer: u64, index_bytes: u64) -> Vec<u8> {
        let mut out = PARTITION.to_vec();
        out.extend([kind, status, 0, 0x83, 0, 0, 88]);
        let mut body = vec![0; 88];
        body[24..32].copy_from_slice(&footer.to_be_bytes());
        body[40..48].copy_from_slice(&index_bytes.to_be_bytes());
        out.extend(body);
        out
    }

    /// Header, 500 bytes, footer with 40 bytes of index; the random index pack on request.
    pub(crate) fn mxf(run_in: usize, footer_named: bool, random_index: bool) -> Vec<u8> {
        let footer = 108 + 500;
        let mut out = vec![0; run_in];
        out.extend(pack(2, if footer_named { 4 } else { 1 }, if footer_named { footer } else { 0 }, 0));
        out.extend([9; 500]);
        out.extend(pack(4, 4, footer, 40));
        out.extend([&PARTITION[..4], &[2; 12], &[23], &[7; 23]].concat());
        if random_index {
            out.extend(RANDOM_INDEX);
            out.extend([0, 28]);
            for at in [0, footer] {
                out.extend(1u32.to_be_bytes());
                out.extend(at.to_be_bytes());
            }
            out.extend((15u32 + 2 + 24 + 4).to_be_bytes());
        }
        out
    }

    fn fault_of(bytes: &[u8]) -> Option<String> {
        let start = find(bytes).unwrap();
        let mut file = Cursor::new(bytes);
        fault(&mut Window::new(&mut file, bytes.len() as u64), start).unwrap()
    }

    #[test]
    fn a_whole_file_has_no_fault_however_its_footer_is_found() {
        for (named, pack) in [(true, false), (true, true), (false, true), (false, false)] {
            assert_eq!(fault_of(&mxf(0, named, pack)), None, "named {named} pack {pack}");
        }
        assert_eq!(fault_of(&mxf(300, true, false)), None);
    }

    #[test]
    fn a_footer_far_before_the_end_is_found() {
        let mut bytes = mxf(0, false, false);
        let at = bytes.len() - 40;
        let index_bytes = 3u64 << 20;
        bytes.truncate(at);
        bytes[at - 48..at - 40].copy_from_slice(&index_bytes.to_be_bytes());
        bytes.resize(at + index_bytes as usize, 7);
        assert_eq!(fault_of(&bytes), None);
        assert!(fault_of(&bytes[..bytes.len() - 1]).unwrap().contains("closing partition"));
    }

    #[test]
    fn every_cut_is_seen() {
        for whole in [mxf(0, true, false), mxf(0, false, false), mxf(77, true, false)] {
            for len in 77 + 14..whole.len() {
                assert!(fault_of(&whole[..len]).is_some(), "cut to {len} of {}", whole.len());
            }
        }
        let whole = mxf(0, true, true);
        assert!(fault_of(&whole[..whole.len() - 1]).unwrap().contains("footer"));
    }

    fn arri(documents: &[(&str, &str)]) -> Vec<u8> {
        let wide = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
        let tag =
            |tag: u16, value: &[u8]| [&tag.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat();
        let klv = |key: &[u8], value: &[u8]| [key, &[0x83], &(value.len() as u32).to_be_bytes()[1..], value].concat();
        let mut sets = klv(&[&PARTITION[..4], &[1, 1, 1, 2, 3, 1, 2, 0x10, 1, 0, 0, 0]].concat(), &[0; 20]);
        for (schema, json) in documents {
            let schema = format!("https://www.arri.com/schema/json/camera/{schema}/v1-1-0");
            let set = [
                tag(0x3c0a, &[7; 16]),
                tag(0x807a, &wide("application/json")),
                tag(JSON, json.as_bytes()),
                tag(SCHEMA, &wide(&schema)),
            ]
            .concat();
            sets.extend(klv(&[&LOCAL_SET[..], &[1, 1, 0x0d, 1, 4, 1, 1, 1, 0, 0]].concat(), &set));
        }
        let mut out = pack(2, 4, 0, 0);
        let at = out.len() - 88 + 32;
        out[at..at + 8].copy_from_slice(&(sets.len() as u64).to_be_bytes());
        out.extend(sets);
        out
    }

    #[test]
    fn the_documents_of_an_alexa_35_are_read() {
        let bytes = arri(&[
            (
                "slate_info",
                r#"{"sceneName":"42","takeName":"3","reelName":"A_0076","clipName":"A_0076C001","cameraIndex":"A_","circleTake":true}"#,
            ),
            (
                "camera_device",
                r#"{"cameraModel":"ARRI ALEXA 35","cameraSerialNumber":70253,"cameraSoftwarePackageName":"5.01.00"}"#,
            ),
            ("lens_device", r#"{"lensModel":"SZ65-300 T2.8","lensSerialNumber":"132674"}"#),
            ("recording_medium", "{broken"),
        ]);
        assert_eq!(
            said("a.mxf", &bytes),
            [
                "arri-json scene=42",
                "arri-json take=3",
                "arri-json reel=A_0076",
                "arri-json clip_name=A_0076C001",
                "arri-json camera=A",
                "arri-json circled=1",
                "arri-json make=ARRI",
                "arri-json model=ARRI ALEXA 35",
                "arri-json serial=70253",
                "arri-json firmware=5.01.00",
                "arri-json lens=SZ65-300 T2.8",
                "arri-json lens_serial=132674",
            ]
        );
        survives("a.mxf", &bytes);
    }

    #[test]
    fn other_files_say_nothing_here() {
        let Some(root) = samples() else { return };
        for name in ["mxf/d10_qt_klv_sample.mxf", "mxf/regmxf_audio.mxf"] {
            assert_eq!(said(name, &std::fs::read(root.join(name)).unwrap()), [] as [&str; 0]);
        }
    }
}
