//! OpenEXR: attributes, then a table with the offset of every chunk, then the chunks (openexr.com, "File Layout").

use super::form::{self, Facts};
use super::window::{Fault, Window, le32, le64, past_end};
use crate::fact::Field;
use crate::timecode::FrameRate;
use std::collections::BTreeMap;
use std::io;

const MAGIC: [u8; 4] = [0x76, 0x2f, 0x31, 0x01];
/// Headers larger than one read are not judged.
const HEAD: usize = 1 << 20;
const TILED: u32 = 0x200;
const DEEP: u32 = 0x800;
const PARTS: u32 = 0x1000;

pub fn is_here(head: &[u8]) -> bool {
    head.starts_with(&MAGIC)
}

/// How the file is cut short. Call it when `is_here`.
pub fn fault(w: &mut Window) -> Fault {
    let size = w.size();
    let head = w.read(0, HEAD)?;
    let Some(flags) = le32(&head, 4) else { return Ok(Some("it ends inside its header".into())) };
    let (mut at, mut chunks) = (8, 0u64);
    loop {
        let Some((header, end)) = attributes(&head, at) else {
            return Ok((size <= HEAD as u64).then(|| "it ends inside its header".into()));
        };
        at = end;
        let Some(count) = chunk_count(&header, flags) else { return Ok(None) };
        chunks = chunks.saturating_add(count);
        // In a file of several parts an empty header ends the list.
        if flags & PARTS == 0 || head.get(at) == Some(&0) {
            break;
        }
    }
    if flags & PARTS != 0 {
        at += 1;
    }
    let end = (at as u64).saturating_add(chunks.saturating_mul(8));
    if end > size {
        return Ok(Some(past_end("its table of chunks", end, size)));
    }
    let mut last = 0;
    let mut next = at as u64;
    while next < end {
        let table = w.read(next, (end - next).min(HEAD as u64) as usize)?;
        if table.len() < 8 {
            break;
        }
        next += table.len() as u64 / 8 * 8;
        for offset in table.chunks_exact(8).filter_map(|c| le64(c, 0)) {
            if offset == 0 {
                return Ok(Some("some of its chunks were never written".into()));
            }
            last = last.max(offset);
        }
    }
    // Deep chunks have other heads; for them the offset alone must lie in the file.
    let part = if flags & PARTS != 0 { 4 } else { 0 };
    let size_at = last.saturating_add(part + if flags & TILED != 0 { 16 } else { 4 });
    let (needed, known) = if flags & (DEEP | PARTS) != 0 { (last, false) } else { (size_at.saturating_add(4), true) };
    if chunks == 0 || needed >= size {
        return Ok(Some(past_end("its last chunk", needed, size)));
    }
    let data = if known { w.array(size_at)?.map_or(0, u32::from_le_bytes) } else { 0 };
    let end = needed.saturating_add(data.into());
    Ok((end > size).then(|| past_end("its last chunk", end, size)))
}

/// What the standard attributes of the first part say ("Standard Attributes", openexr.com). A header that is cut short
/// says what it holds.
pub(crate) fn facts(w: &mut Window) -> io::Result<Facts> {
    let mut to = Facts::by("exr");
    let head = w.read(0, HEAD)?;
    let mut header = BTreeMap::new();
    let mut at = 8;
    while header.len() < 1000
        && let Some(Some((name, value, next))) = attribute(&head, at)
    {
        header.insert(name, value);
        at = next;
    }
    let value = |name: &str| header.get(name.as_bytes()).copied();
    let text = |name: &str| value(name).map(form::text);
    let float = |name: &str| value(name).filter(|v| v.len() == 4).and_then(|v| form::le_f32(v, 0));
    for (field, name) in [
        (Field::Make, "cameraMake"),
        (Field::Model, "cameraModel"),
        (Field::Serial, "cameraSerialNumber"),
        (Field::Firmware, "cameraFirmwareVersion"),
        (Field::Camera, "cameraLabel"),
        (Field::LensSerial, "lensSerialNumber"),
        (Field::Reel, "reelName"),
        (Field::Note, "comments"),
    ] {
        to.say(field, text(name));
    }
    let (maker, lens) = (text("lensMake").unwrap_or_default(), text("lensModel").unwrap_or_default());
    to.say(Field::Lens, if lens.starts_with(&maker) { lens } else { format!("{maker} {lens}") });
    to.say(Field::Iso, float("isoSpeed").filter(|v| *v < 1e7).and_then(|v| form::positive(v, 0)));
    to.say(Field::ShutterSpeed, float("expTime").and_then(seconds));
    let stop = float("tStop").and_then(|v| form::aperture('T', v));
    to.say(Field::Aperture, stop.or(float("aperture").and_then(|v| form::aperture('F', v))));
    to.say(Field::FocusDistance, float("focus").and_then(|v| form::positive(v, 3)));
    to.say(Field::FocalLength, float("nominalFocalLength").and_then(|v| form::positive(v, 2)));
    to.say(Field::WhiteBalance, float("cameraCCTSetting").filter(|v| *v < 1e5).and_then(|v| form::positive(v, 0)));
    let place = float("latitude").zip(float("longitude"));
    to.say(Field::Gps, place.and_then(|(lat, lon)| form::place(lat, lon, float("altitude"))));
    // Its offset to UTC is a number of seconds that is added to it.
    let zone = float("utcOffset").filter(|s| s.abs() <= 14.0 * 3600.0 && s % 60.0 == 0.0).map(|s| {
        let minutes = -(s / 60.0) as i32;
        format!("{}{:02}:{:02}", if minutes < 0 { '-' } else { '+' }, minutes.abs() / 60, minutes.abs() % 60)
    });
    let captured = text("capDate").and_then(|t| form::date_time(&t));
    to.say(Field::RecordedAt, captured.map(|t| t + zone.as_deref().unwrap_or_default()));
    let rate = value("framesPerSecond").and_then(|v| FrameRate::new(le32(v, 0)?, le32(v, 4)?));
    to.say(Field::Fps, rate.map(FrameRate::fraction));
    let code = value("timeCode").and_then(|v| le32(v, 0)).map(u32::to_be_bytes);
    to.say(Field::StartTc, code.and_then(|hmsf| form::timecode_bcd(hmsf, rate)));
    if let Some(window) = value("dataWindow") {
        // The display window is the frame; the data window is what of it has pixels.
        let window = value("displayWindow").unwrap_or(window);
        let side = |low: usize| {
            let (from, to) = (le32(window, low)? as i32, le32(window, low + 8)? as i32);
            u32::try_from(i64::from(to) - i64::from(from) + 1).ok()
        };
        to.count(Field::Width, side(0));
        to.count(Field::Height, side(4));
    }
    Ok(to)
}

/// `1/50` for what is near enough to one part of a second.
fn seconds(time: f64) -> Option<String> {
    let per = (1.0 / time).round();
    if (1.0..1e6).contains(&per) && (per * time - 1.0).abs() < 1e-3 {
        return form::shutter(1, per as u64);
    }
    (time > 0.0 && time < 3600.0).then(|| form::shutter((time * 1000.0).round() as u64, 1000)).flatten()
}

/// Name to value.
type Attributes<'a> = BTreeMap<&'a [u8], &'a [u8]>;

/// One header: its attributes, and where the next byte after its closing zero lies.
fn attributes(head: &[u8], mut at: usize) -> Option<(Attributes<'_>, usize)> {
    let mut out = BTreeMap::new();
    while let Some((name, value, next)) = attribute(head, at)? {
        out.insert(name, value);
        at = next;
    }
    Some((out, at + 1))
}

/// Name, value, and where the next one lies; `Some(None)` at the zero that closes a header.
type Attribute<'a> = Option<(&'a [u8], &'a [u8], usize)>;

fn attribute(head: &[u8], at: usize) -> Option<Attribute<'_>> {
    let text = |at: usize| {
        let rest = head.get(at..)?;
        let len = rest.iter().take(256).position(|b| *b == 0)?;
        Some((&rest[..len], at + len + 1))
    };
    let (name, next) = text(at)?;
    if name.is_empty() {
        return Some(None);
    }
    let (_, next) = text(next)?;
    let len = le32(head, next)? as usize;
    let value = head.get(next + 4..(next + 4).checked_add(len)?)?;
    Some(Some((name, value, next + 4 + len)))
}

/// Chunks of one part; `None` when it cannot be told.
fn chunk_count(header: &Attributes, flags: u32) -> Option<u64> {
    let value = |name: &str| header.get(name.as_bytes()).copied();
    if let Some(count) = value("chunkCount").and_then(|v| le32(v, 0)) {
        return Some(count.into());
    }
    if flags & PARTS != 0 {
        return None;
    }
    let window = value("dataWindow")?;
    let side = |low: usize| {
        let (from, to) = (le32(window, low)? as i32, le32(window, low + 8)? as i32);
        u64::try_from(i64::from(to) - i64::from(from) + 1).ok().filter(|n| *n > 0)
    };
    let (width, height) = (side(0)?, side(4)?);
    if flags & TILED != 0 {
        let tiles = value("tiles")?;
        let (x, y) = (le32(tiles, 0).filter(|n| *n > 0)?, le32(tiles, 4).filter(|n| *n > 0)?);
        let one_level = tiles.get(8)? & 0xf == 0;
        return one_level.then(|| width.div_ceil(x.into()) * height.div_ceil(y.into()));
    }
    let lines = match value("compression")?.first()? {
        0..=2 => 1,
        3 | 5 => 16,
        4 | 6..=8 => 32,
        9 => 256,
        _ => return None,
    };
    Some(height.div_ceil(lines))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::{said, samples, survives};
    use super::*;
    use std::io::Cursor;

    fn attributes_of(all: &[(&str, &[u8])]) -> Vec<u8> {
        let one = |(name, value): &(&str, &[u8])| -> Vec<u8> {
            [name.as_bytes(), b"\0any\0", &(value.len() as u32).to_le_bytes(), value].concat()
        };
        [all.iter().flat_map(one).collect::<Vec<u8>>(), vec![0]].concat()
    }

    /// A file of 4 chunks of 20 bytes whose heads are of `head` bytes, the size last.
    fn file_of(flags: u32, headers: Vec<u8>, head: usize) -> Vec<u8> {
        let mut out = [&MAGIC[..], &(2 | flags).to_le_bytes(), &headers].concat();
        let (first, each) = (out.len() + 32, head + 20);
        (0..4).for_each(|n| out.extend(((first + n * each) as u64).to_le_bytes()));
        for _ in 0..4 {
            out.extend(vec![0; head - 4]);
            out.extend(20u32.to_le_bytes());
            out.extend([1; 20]);
        }
        out
    }

    fn window() -> Vec<u8> {
        [0u32, 0, 9, 3].iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    /// A scan-line file of 4 lines without compression.
    pub(crate) fn exr() -> Vec<u8> {
        file_of(0, attributes_of(&[("compression", &[0]), ("dataWindow", &window())]), 8)
    }

    fn tiled() -> Vec<u8> {
        let tiles = [8, 0, 0, 0, 2, 0, 0, 0, 0];
        file_of(TILED, attributes_of(&[("dataWindow", &window()), ("tiles", &tiles)]), 20)
    }

    fn two_parts() -> Vec<u8> {
        let part = attributes_of(&[("chunkCount", &2u32.to_le_bytes())]);
        file_of(PARTS, [&part[..], &part, &[0]].concat(), 12)
    }

    fn fault_of(bytes: &[u8]) -> Option<String> {
        let mut file = Cursor::new(bytes);
        fault(&mut Window::new(&mut file, bytes.len() as u64)).unwrap()
    }

    #[test]
    fn every_cut_is_seen() {
        let whole = exr();
        assert_eq!(fault_of(&whole), None);
        for len in 4..whole.len() {
            assert!(fault_of(&whole[..len]).is_some(), "cut to {len} of {}", whole.len());
        }
    }

    #[test]
    fn tiles_and_parts_are_counted() {
        for whole in [tiled(), two_parts()] {
            assert_eq!(fault_of(&whole), None);
            assert!(fault_of(&whole[..whole.len() - 40]).unwrap().contains("last chunk"));
        }
    }

    #[test]
    fn a_chunk_that_was_never_written_is_a_fault() {
        let mut bytes = exr();
        let table = bytes.len() - 4 * 28 - 32;
        bytes[table + 8..table + 16].fill(0);
        assert!(fault_of(&bytes).unwrap().contains("never written"));
    }

    #[test]
    fn camera_attributes_are_read() {
        let rate = [24_000u32.to_le_bytes(), 1001u32.to_le_bytes()].concat();
        let float = |v: f32| v.to_le_bytes().to_vec();
        let display: Vec<u8> = [0u32, 0, 2047, 1555].iter().flat_map(|v| v.to_le_bytes()).collect();
        let bytes = file_of(
            0,
            attributes_of(&[
                ("compression", &[0]),
                ("dataWindow", &window()),
                ("displayWindow", &display),
                ("timeCode", &[&0x1011_1213u32.to_le_bytes()[..], &[0; 4]].concat()),
                ("framesPerSecond", &rate),
                ("capDate", b"2020:02:03 04:05:06"),
                ("utcOffset", &float(-3600.0)),
                ("isoSpeed", &float(800.0)),
                ("expTime", &float(1.0 / 48.0)),
                ("aperture", &float(2.8)),
                ("cameraMake", b"ARRI"),
                ("cameraModel", b"ALEXA 35"),
                ("lensModel", b"SP32"),
            ]),
            8,
        );
        assert_eq!(fault_of(&bytes), None);
        assert_eq!(
            said("a.exr", &bytes),
            [
                "exr make=ARRI",
                "exr model=ALEXA 35",
                "exr lens=SP32",
                "exr iso=800",
                "exr shutter_speed=1/48",
                "exr aperture=F2.8",
                "exr recorded_at=2020-02-03T04:05:06+01:00",
                "exr fps=24000/1001",
                "exr start_tc=10:11:12:13@24000/1001",
                "exr width=2048",
                "exr height=1556",
            ]
        );
        survives("a.exr", &bytes);
    }

    #[test]
    fn a_real_frame_is_read() {
        let Some(root) = samples() else { return };
        let said = said("a.exr", &std::fs::read(root.join("sequences/exr_beachball/singlepart.0001.exr")).unwrap());
        assert!(said.contains(&"exr width=2048".into()) && said.contains(&"exr height=1556".into()), "{said:#?}");
    }
}
