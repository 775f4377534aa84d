//! RED R3D: big-endian boxes of size and tag, `RED1` or `RED2` first, then frames (`REDV`) and sound (`REDA`), and an
//! end mark. Known from files and from FFmpeg's demuxer; RED publishes no specification.

use super::form::{self, Facts};
use super::window::{Fault, Window, be16, be32, past_end};
use crate::fact::Field;
use crate::timecode::FrameRate;
use std::io;

/// Enough for a 4 GB part of small frames.
const BOXES: usize = 4096;
/// Size of the end mark's box.
const END_MARK: u64 = 56;

pub fn is_here(head: &[u8]) -> bool {
    matches!(head.get(4..8), Some(b"RED1" | b"RED2"))
}

/// How the file is cut short. Call it when `is_here`.
pub fn fault(w: &mut Window) -> Fault {
    let size = w.size();
    let mark = w.read(size.saturating_sub(END_MARK), 8)?;
    let closed = matches!(mark.get(4..8), Some(b"REOB" | b"REOF" | b"REOS"));
    let mut at = 0u64;
    for n in 0..if closed { 2 } else { BOXES } {
        let bytes = w.read(at, 8)?;
        let (Some(len), Some(tag)) = (be32(&bytes, 0), bytes.get(4..8)) else {
            return Ok((n < 2 || at < size).then(|| "it holds no whole frame after its header".into()));
        };
        // Only tags that are surely boxes are judged: padding between them is not documented.
        if !tag.starts_with(b"RE") && !tag.starts_with(b"RD") || len < 8 {
            return Ok(None);
        }
        let end = at + u64::from(len);
        if end > size {
            let part = format!("its \"{}\" block", String::from_utf8_lossy(tag));
            return Ok(Some(past_end(&part, end, size)));
        }
        at = end;
    }
    Ok(None)
}

/// A header has about a kilobyte; no camera is known to write more than a few.
const HEADER: usize = 64 << 10;
/// Of the picture, the sound, and something else, whose blocks lie before the directory.
const BLOCKS: (usize, [usize; 3]) = (0x44, [0x18, 0x14, 0x10]);
const RECORDS: usize = 2000;

/// What the header says. Only the header of the second version has a directory in a known place.
pub(crate) fn facts(w: &mut Window) -> io::Result<Facts> {
    let mut to = Facts::by("r3d");
    let head = w.read(0, 8)?;
    if head.get(4..8) != Some(b"RED2") {
        if is_here(&head) {
            to.say(Field::Make, "RED");
        }
        return Ok(to);
    }
    let len = be32(&head, 0).unwrap_or(0) as usize;
    let bytes = w.read(0, len.min(HEADER))?;
    to.say(Field::Make, "RED");
    to.say(Field::ClipId, guid(bytes.get(0x10..0x20).unwrap_or_default()));
    let rate = picture(&bytes, &mut to);
    if let Some(at) = directory(&bytes) {
        records(&bytes, at, rate, &mut to);
    }
    Ok(to)
}

/// A random UUID, as its bits say; anything else is not taken for one.
fn guid(bytes: &[u8]) -> Option<String> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    let id = uuid::Uuid::from_bytes(bytes);
    (id.get_version_num() == 4 && id.get_variant() == uuid::Variant::RFC4122)
        .then(|| id.as_hyphenated().to_string().to_ascii_uppercase())
}

/// Size and rate of the first picture block.
fn picture(bytes: &[u8], to: &mut Facts) -> Option<FrameRate> {
    let block = bytes.get(BLOCKS.0..BLOCKS.0 + BLOCKS.1[0]).filter(|b| b.starts_with(b"rdi"))?;
    let side = |at: usize| be32(block, at).filter(|n| (16..65_536).contains(n));
    to.count(Field::Width, side(8));
    to.count(Field::Height, side(12));
    let rate = FrameRate::new(be32(block, 20)?, be16(block, 18)?.into())?;
    to.say(Field::Fps, rate.fraction());
    Some(rate)
}

/// Where the first record lies: behind the blocks and a length, and it is one of text. Where it is not, the edge
/// timecode, which comes first in every file that is known, shows it.
fn directory(bytes: &[u8]) -> Option<usize> {
    let blocks = (0..3).map(|n| usize::from(bytes.get(0x40 + n).copied().unwrap_or(0)) * BLOCKS.1[n]).sum::<usize>();
    let first = BLOCKS.0 + blocks + 2;
    let fits = |at: usize| be16(bytes, at + 2).is_some_and(|tag| tag & 0xff00 == 0x1000);
    if fits(first) {
        return Some(first);
    }
    bytes.windows(4).position(|w| w == [0, 15, 0x10, 0])
}

fn records(bytes: &[u8], mut at: usize, rate: Option<FrameRate>, to: &mut Facts) {
    let (mut date, mut time) = (String::new(), String::new());
    let (mut maker, mut lens, mut brain, mut model) = (String::new(), String::new(), String::new(), String::new());
    let (mut start, mut camera) = (String::new(), String::new());
    for _ in 0..RECORDS {
        let (Some(len), Some(tag)) = (be16(bytes, at).map(usize::from), be16(bytes, at + 2)) else { break };
        let Some(value) = bytes.get(at + 4..at + len) else { break };
        let text = || form::text(value);
        let float = || form::be_f32(value, 0);
        let short = || be16(value, 0).filter(|n| *n > 0 && *n < u16::MAX);
        match tag {
            0x1001 => start = text(),
            0x1006 => to.say(Field::Serial, text()),
            0x1019 => {
                camera = text();
                to.say(Field::Camera, &*camera);
            }
            // The camera's letter stands before it; a slate and REDline say both as one: `A106`.
            0x101a => {
                let reel = text();
                let split = camera.len() == 1 && reel.bytes().all(|b| b.is_ascii_digit()) && !reel.is_empty();
                to.say(Field::Reel, if split { format!("{camera}{reel}") } else { reel });
            }
            0x1023 => date = text(),
            0x1024 => time = text(),
            0x1025 => to.say(Field::Firmware, text()),
            // With the number of its part: `A106_C037_0118G5_002.R3D` is a piece of the clip `A106_C037_0118G5`.
            0x1056 => to.say(Field::ClipName, clip(&text())),
            0x106e => maker = text(),
            0x1070 => lens = text(),
            0x1071 => model = text(),
            0x10a0 => brain = text(),
            0x200d => to.say(Field::WhiteBalance, float().filter(|k| *k < 1e5).and_then(|k| form::positive(k, 0))),
            0x2066 => to.say(Field::SensorFps, float().and_then(FrameRate::near).map(FrameRate::fraction)),
            0x403b => to.count(Field::Iso, short().map(u32::from)),
            0x406a => to.say(Field::Aperture, short().and_then(|f| form::aperture('F', f64::from(f) / 10.0))),
            0x406b => to.count(Field::FocalLength, short().map(u32::from)),
            0x606c => {
                let mm = be32(value, 0).filter(|mm| i32::try_from(*mm).is_ok());
                to.say(Field::FocusDistance, mm.and_then(|mm| form::positive(f64::from(mm) / 1000.0, 3)));
            }
            _ => {}
        }
        // `get` above gave none for a length below 4.
        at += len;
    }
    to.say(Field::StartTc, form::timecode_text(&start, rate));
    // Newer bodies say the same under another tag.
    to.say(Field::Model, if model.is_empty() { brain } else { model });
    to.say(Field::Lens, if lens.starts_with(&maker) { lens } else { format!("{maker} {lens}") });
    to.say(Field::RecordedAt, form::date_time(&format!("{date}{time}")));
}

/// Without the extension and the part's number.
fn clip(name: &str) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    match stem.rsplit_once('_') {
        Some((clip, part)) if part.len() == 3 && part.bytes().all(|b| b.is_ascii_digit()) => clip.to_owned(),
        _ => stem.to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::{said, samples, survives};
    use super::*;
    use std::io::Cursor;

    pub(crate) fn r3d() -> Vec<u8> {
        let part = |tag: &[u8; 4], len: usize| [&(len as u32 + 8).to_be_bytes()[..], tag, &vec![3; len]].concat();
        [part(b"RED2", 100), part(b"REDV", 300), part(b"REDA", 50), part(b"REDV", 300)].concat()
    }

    fn fault_of(bytes: &[u8]) -> Option<String> {
        let mut file = Cursor::new(bytes);
        fault(&mut Window::new(&mut file, bytes.len() as u64)).unwrap()
    }

    #[test]
    fn a_cut_block_and_a_header_alone_are_faults() {
        let whole = r3d();
        assert_eq!(fault_of(&whole), None);
        assert!(fault_of(&whole[..108]).unwrap().contains("no whole frame"));
        for len in (8..108).chain(109..416).chain(417..474).chain(475..whole.len()) {
            assert!(fault_of(&whole[..len]).is_some(), "cut to {len}");
        }
    }

    /// A header as newer bodies write it: with blocks of sound before the directory.
    pub(crate) fn header() -> Vec<u8> {
        let record =
            |tag: u16, value: &[u8]| [&(value.len() as u16 + 4).to_be_bytes()[..], &tag.to_be_bytes(), value].concat();
        let records = [
            record(0x1000, b"01:00:00:00"),
            record(0x1001, b"10:20:30:11"),
            record(0x1006, b"VR-001\0"),
            record(0x1019, b"A\0"),
            record(0x101a, b"001\0"),
            record(0x1023, b"20240229\0"),
            record(0x1024, b"102030\0"),
            record(0x1025, b"1.7.2\0"),
            record(0x1056, b"A001_A002_0229AB_001.R3D\0"),
            record(0x1070, b"RF24-105\0"),
            record(0x10a0, b"V-RAPTOR\0"),
            record(0x200d, &5600f32.to_be_bytes()),
            record(0x2066, &120f32.to_be_bytes()),
            record(0x403b, &800u16.to_be_bytes()),
            record(0x406a, &56u16.to_be_bytes()),
            record(0x406b, &50u16.to_be_bytes()),
            record(0x606c, &2430u32.to_be_bytes()),
        ]
        .concat();
        let guid = [0x0a, 0xcb, 0x84, 0x29, 0x67, 0xbb, 0x46, 0xf6, 0x85, 0x55, 0xcf, 0xfc, 0xe5, 0xf0, 0x77, 0x7b];
        let mut out =
            [&[0; 4], &b"RED2"[..], &[5, 0x10, b'R', b'2', 0, 0, 0, 0], &guid, &[0; 32], &[1, 1, 2, 0]].concat();
        out.extend(
            [&b"rdi\x01"[..], &[0; 4], &8192u32.to_be_bytes(), &4320u32.to_be_bytes(), &[0x11, 2, 0, 1]].concat(),
        );
        out.extend(25u32.to_be_bytes());
        out.extend([&b"rda\x01"[..], &[0; 16], b"rdx\x01", &[0; 12], b"rdx\x02", &[0; 12]].concat());
        out.extend((records.len() as u16 + 2).to_be_bytes());
        out.extend(records);
        let len = out.len() as u32;
        out[..4].copy_from_slice(&len.to_be_bytes());
        out
    }

    #[test]
    fn the_directory_behind_blocks_of_sound_is_read() {
        let bytes = header();
        assert_eq!(
            said("a.r3d", &bytes),
            [
                "r3d make=RED",
                "r3d clip_id=0ACB8429-67BB-46F6-8555-CFFCE5F0777B",
                "r3d width=8192",
                "r3d height=4320",
                "r3d fps=25/1",
                "r3d serial=VR-001",
                "r3d camera=A",
                "r3d reel=A001",
                "r3d firmware=1.7.2",
                "r3d clip_name=A001_A002_0229AB",
                "r3d white_balance=5600",
                "r3d sensor_fps=120/1",
                "r3d iso=800",
                "r3d aperture=F5.6",
                "r3d focal_length=50",
                "r3d focus_distance=2.43",
                "r3d start_tc=10:20:30:11@25/1",
                "r3d model=V-RAPTOR",
                "r3d lens=RF24-105",
                "r3d recorded_at=2024-02-29T10:20:30",
            ]
        );
        survives("a.r3d", &bytes);
    }

    #[test]
    fn a_directory_in_an_unknown_place_is_found() {
        let mut bytes = header();
        bytes[0x41] = 9;
        assert!(said("a.r3d", &bytes).iter().any(|s| s == "r3d serial=VR-001"));
    }

    #[test]
    fn a_real_header_is_read() {
        let Some(root) = samples() else { return };
        assert_eq!(
            said("a.r3d", &std::fs::read(root.join("red/A106_C037_0118G5_002.R3D")).unwrap()),
            [
                "r3d make=RED",
                "r3d clip_id=0ACB8429-67BB-46F6-8555-CFFCE5F0777B",
                "r3d width=5120",
                "r3d height=2560",
                "r3d fps=24000/1001",
                "r3d serial=130-246-CE5",
                "r3d white_balance=4800",
                "r3d camera=A",
                "r3d reel=A106",
                "r3d firmware=6.2.34",
                "r3d iso=1280",
                "r3d clip_name=A106_C037_0118G5",
                "r3d sensor_fps=24000/1001",
                "r3d aperture=F4.9",
                "r3d focal_length=24",
                "r3d start_tc=21:36:16:18@24000/1001",
                "r3d model=S-WEAPON",
                "r3d recorded_at=2016-01-18T21:35:55",
            ]
        );
    }
}
