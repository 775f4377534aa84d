//! OpenEXR: attributes, then a table with the offset of every chunk, then the chunks (openexr.com, "File Layout").

use super::window::{Fault, Window, le32, le64, past_end};
use std::collections::BTreeMap;

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

/// Name to value.
type Attributes<'a> = BTreeMap<&'a [u8], &'a [u8]>;

/// One header: its attributes, and where the next byte after its closing zero lies.
fn attributes(head: &[u8], mut at: usize) -> Option<(Attributes<'_>, usize)> {
    let text = |at: usize| {
        let rest = head.get(at..)?;
        let len = rest.iter().take(256).position(|b| *b == 0)?;
        Some((&rest[..len], at + len + 1))
    };
    let mut out = BTreeMap::new();
    loop {
        let (name, next) = text(at)?;
        if name.is_empty() {
            return Some((out, next));
        }
        let (_, next) = text(next)?;
        let len = le32(head, next)? as usize;
        let value = head.get(next + 4..(next + 4).checked_add(len)?)?;
        out.insert(name, value);
        at = next + 4 + len;
    }
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
    use super::*;
    use std::io::Cursor;

    /// A scan-line file of 4 lines without compression.
    pub(crate) fn exr() -> Vec<u8> {
        let mut out = [&MAGIC[..], &[2, 0, 0, 0]].concat();
        let mut attribute = |name: &[u8], kind: &[u8], value: &[u8]| {
            out.extend([name, b"\0", kind, b"\0", &(value.len() as u32).to_le_bytes(), value].concat());
        };
        attribute(b"compression", b"compression", &[0]);
        let window: Vec<u8> = [0u32, 0, 9, 3].iter().flat_map(|v| v.to_le_bytes()).collect();
        attribute(b"dataWindow", b"box2i", &window);
        out.push(0);
        let first = out.len() as u64 + 32;
        (0..4u64).for_each(|n| out.extend((first + n * 28).to_le_bytes()));
        for line in 0..4u32 {
            out.extend(line.to_le_bytes());
            out.extend(20u32.to_le_bytes());
            out.extend([1; 20]);
        }
        out
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
    fn a_chunk_that_was_never_written_is_a_fault() {
        let mut bytes = exr();
        let table = bytes.len() - 4 * 28 - 32;
        bytes[table + 8..table + 16].fill(0);
        assert!(fault_of(&bytes).unwrap().contains("never written"));
    }
}
