//! RIFF, RF64/BW64 (EBU Tech 3306, ITU-R BS.2088), AVI with its further segments, and AIFF, which is RIFF turned around.

use super::window::{Fault, Window, array_at, be32, le32, le64, past_end};
use std::io;

const CHUNKS: usize = 4096;
const UNKNOWN: u32 = u32::MAX;

pub fn is_here(head: &[u8]) -> bool {
    matches!(
        (head.get(..4), head.get(8..12)),
        (Some(b"RIFF" | b"RF64" | b"BW64"), Some(b"WAVE"))
            | (Some(b"RIFF"), Some(b"AVI "))
            | (Some(b"FORM"), Some(b"AIFF" | b"AIFC"))
    )
}

/// How the file is cut short. Call it when `is_here`.
pub fn fault(w: &mut Window) -> Fault {
    let head = w.read(0, 12)?;
    match head.get(8..12) {
        Some(b"AVI ") => avi(w),
        Some(b"AIFF" | b"AIFC") => chunks(w, &head, be32, b"SSND"),
        _ => chunks(w, &head, le32, b"data"),
    }
}

type Read32 = fn(&[u8], usize) -> Option<u32>;

const UNFINISHED: &str = "its length was never written: the recording was not closed";

fn chunks(w: &mut Window, head: &[u8], read32: Read32, essence: &[u8; 4]) -> Fault {
    let size = w.size();
    let large = matches!(head.get(..4), Some(b"RF64" | b"BW64"));
    let declared = read32(head, 4).unwrap_or(0);
    if !large {
        if declared == 0 || declared == UNKNOWN {
            return Ok(Some(UNFINISHED.into()));
        }
        // One byte is forgiven: recorders leave out the pad byte of a last odd chunk and count it all the same.
        let end = u64::from(declared) + 8;
        if end > size + 1 {
            return Ok(Some(past_end("it", end, size)));
        }
    }
    let (mut at, mut ds64) = (12, None);
    for _ in 0..CHUNKS {
        let bytes = w.read(at, 24)?;
        let (Some(id), Some(len)) = (bytes.get(..4), read32(&bytes, 4)) else { break };
        let mut len = u64::from(len);
        if large && id == b"ds64" {
            ds64 = le64(&bytes, 8).zip(le64(&bytes, 16));
            if let Some((riff, _)) = ds64
                && riff.saturating_add(8) > size + 1
            {
                return Ok(Some(past_end("it", riff.saturating_add(8), size)));
            }
        }
        if id == essence {
            if large && len == u64::from(UNKNOWN) {
                len = ds64.map_or(0, |(_, data)| data);
            }
            let end = (at + 8).saturating_add(len);
            return Ok(match len {
                0 => Some("it holds no sound".into()),
                _ if end > size => Some(past_end("its sound", end, size)),
                _ => None,
            });
        }
        at = (at + 8).saturating_add(len.next_multiple_of(2));
    }
    Ok(Some("it holds no sound".into()))
}

/// An AVI is a row of RIFF segments, each up to 1 GiB or so; only the first has the header.
fn avi(w: &mut Window) -> Fault {
    let size = w.size();
    let (mut at, mut movi) = (0u64, false);
    for _ in 0..CHUNKS {
        let bytes = w.read(at, 12)?;
        let (Some(b"RIFF"), Some(len)) = (bytes.get(..4), le32(&bytes, 4)) else { break };
        if len == 0 || len == UNKNOWN {
            return Ok(Some(UNFINISHED.into()));
        }
        let end = at + 8 + u64::from(len);
        if end > size + 1 {
            return Ok(Some(past_end("one of its segments", end, size)));
        }
        movi |= at == 0 && has_movi(w, 12, end)?;
        at = end.next_multiple_of(2);
    }
    Ok((!movi).then(|| "it holds no pictures (\"movi\")".into()))
}

fn has_movi(w: &mut Window, mut at: u64, end: u64) -> io::Result<bool> {
    for _ in 0..CHUNKS {
        if at >= end {
            break;
        }
        let bytes = w.read(at, 12)?;
        let (Some(id), Some(len)) = (bytes.get(..4), le32(&bytes, 4)) else { break };
        if id == b"LIST" && bytes.get(8..12) == Some(b"movi") {
            return Ok(len > 4);
        }
        at += 8 + u64::from(len).next_multiple_of(2);
    }
    Ok(false)
}

/// One chunk of a WAVE, as long as it says and the file goes.
pub(crate) struct Chunk {
    pub id: [u8; 4],
    pub body: u64,
    pub len: u64,
}

/// The chunks of a WAVE up to where they stop making sense. A recording that was not closed has its sound to the end.
pub(crate) fn list(w: &mut Window) -> io::Result<Vec<Chunk>> {
    const LISTED: usize = 512;
    let (size, head) = (w.size(), w.read(0, 12)?);
    let mut out = Vec::new();
    if head.get(8..12) != Some(b"WAVE") {
        return Ok(out);
    }
    let (mut at, mut sound) = (12u64, None);
    while out.len() < LISTED && at < size {
        let bytes = w.read(at, 24)?;
        let (Some(id), Some(len)) = (array_at::<4>(&bytes, 0), le32(&bytes, 4)) else { break };
        if !is_id(&id) {
            break;
        }
        let (mut len, body) = (u64::from(len), at + 8);
        if &id == b"ds64" {
            sound = le64(&bytes, 16);
        }
        let unset = len == 0 || len == u64::from(UNKNOWN);
        if &id == b"data" && unset {
            match sound.filter(|n| len != 0 && *n > 0) {
                Some(sound) => len = sound,
                None => len = size.saturating_sub(body),
            }
        }
        let end = body.saturating_add(len);
        out.push(Chunk { id, body, len: len.min(size.saturating_sub(body)) });
        at = end;
        // The pad byte of an odd chunk is left out by some recorders.
        if !len.is_multiple_of(2) {
            // One that is there is 0.
            let bare = w.array::<4>(end)?.is_some_and(|id| is_id(&id));
            at = if bare { end } else { end.saturating_add(1) };
        }
    }
    Ok(out)
}

fn is_id(id: &[u8; 4]) -> bool {
    id.iter().all(|b| (0x20..0x7f).contains(b))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::Cursor;

    pub(crate) fn wav(sound: &[u8]) -> Vec<u8> {
        let chunk = |id: &[u8], body: &[u8]| [id, &(body.len() as u32).to_le_bytes(), body].concat();
        let body = [&b"WAVE"[..], &chunk(b"fmt ", &[0; 16]), &chunk(b"data", sound)].concat();
        chunk(b"RIFF", &body)
    }

    pub(crate) fn rf64(sound: &[u8]) -> Vec<u8> {
        let total = 4 + 8 + 28 + 8 + sound.len() as u64;
        let mut out = [&b"RF64"[..], &[0xff; 4], b"WAVEds64", &28u32.to_le_bytes()].concat();
        out.extend(total.to_le_bytes());
        out.extend((sound.len() as u64).to_le_bytes());
        out.extend([0; 12]);
        out.extend(b"data\xff\xff\xff\xff");
        out.extend(sound);
        out
    }

    pub(crate) fn avi_file() -> Vec<u8> {
        let chunk = |id: &[u8], body: &[u8]| [id, &(body.len() as u32).to_le_bytes(), body].concat();
        let lists = [chunk(b"LIST", b"hdrl"), chunk(b"LIST", b"moviabcdefgh")].concat();
        let first = chunk(b"RIFF", &[&b"AVI "[..], &lists].concat());
        [first, chunk(b"RIFF", b"AVIXabcdefgh")].concat()
    }

    pub(crate) fn aiff() -> Vec<u8> {
        let chunk = |id: &[u8], body: &[u8]| [id, &(body.len() as u32).to_be_bytes(), body].concat();
        chunk(b"FORM", &[&b"AIFF"[..], &chunk(b"COMM", &[0; 18]), &chunk(b"SSND", &[1; 40])].concat())
    }

    fn fault_of(bytes: &[u8]) -> Option<String> {
        let mut file = Cursor::new(bytes);
        fault(&mut Window::new(&mut file, bytes.len() as u64)).unwrap()
    }

    #[test]
    fn whole_files_have_no_fault() {
        for whole in [wav(&[1; 40]), rf64(&[1; 40]), avi_file(), aiff()] {
            assert!(is_here(&whole));
            assert_eq!(fault_of(&whole), None);
        }
    }

    #[test]
    fn every_cut_is_seen() {
        for whole in [wav(&[1; 40]), rf64(&[1; 40]), aiff()] {
            // The last byte may be a pad byte that was never written.
            for len in 12..whole.len() - 1 {
                assert!(fault_of(&whole[..len]).is_some(), "cut to {len} of {}", whole.len());
            }
        }
        let whole = avi_file();
        assert!(fault_of(&whole[..whole.len() - 4]).unwrap().contains("segment"));
    }

    #[test]
    fn an_odd_last_chunk_without_its_pad_byte_is_whole() {
        let mut bytes = wav(&[1; 41]);
        let counted = bytes.len() as u32 - 8 + 1;
        bytes[4..8].copy_from_slice(&counted.to_le_bytes());
        assert_eq!(fault_of(&bytes), None);
    }

    #[test]
    fn a_recording_that_was_not_closed_is_a_fault() {
        for unset in [0, u32::MAX] {
            let mut bytes = wav(&[1; 40]);
            bytes[4..8].copy_from_slice(&unset.to_le_bytes());
            assert!(fault_of(&bytes).unwrap().contains("not closed"));
        }
        assert!(fault_of(&wav(&[])).unwrap().contains("no sound"));
    }
}
