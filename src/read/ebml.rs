//! Matroska and WebM (RFC 9559): the segment says how long it is, unless it was written to a stream.

use super::window::{Fault, Window, past_end};

const EBML: [u8; 4] = [0x1a, 0x45, 0xdf, 0xa3];
const SEGMENT: [u8; 4] = [0x18, 0x53, 0x80, 0x67];

pub fn is_here(head: &[u8]) -> bool {
    head.starts_with(&EBML)
}

/// A variable-length size: its value, `None` inside when unknown, and its own length.
fn vint(bytes: &[u8]) -> Option<(Option<u64>, usize)> {
    let len = bytes.first()?.leading_zeros() as usize + 1;
    let raw = bytes.get(..len.min(9)).filter(|_| len <= 8)?.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let all = (1u64 << (7 * len)) - 1;
    Some(((raw & all != all).then_some(raw & all), len))
}

/// How the file is cut short. Call it when `is_here`.
pub fn fault(w: &mut Window) -> Fault {
    let size = w.size();
    let head = w.read(4, 8)?;
    let Some((Some(len), n)) = vint(&head) else { return Ok(None) };
    let at = (4 + n as u64).saturating_add(len);
    let segment = w.read(at, 12)?;
    if segment.is_empty() {
        return Ok(Some("it ends inside its header".into()));
    }
    if !segment.starts_with(&SEGMENT) {
        return Ok(None);
    }
    let Some((Some(len), n)) = vint(&segment[4..]) else { return Ok(None) };
    let end = at.saturating_add(4 + n as u64).saturating_add(len);
    Ok((end > size).then(|| past_end("its segment", end, size)))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::Cursor;

    pub(crate) fn mkv(known: bool) -> Vec<u8> {
        let mut out = [&EBML[..], &[0x84, 1, 2, 3, 4], &SEGMENT].concat();
        out.extend(if known { [0x40, 0x64] } else { [0x7f, 0xff] });
        out.extend([5; 100]);
        out
    }

    fn fault_of(bytes: &[u8]) -> Option<String> {
        let mut file = Cursor::new(bytes);
        fault(&mut Window::new(&mut file, bytes.len() as u64)).unwrap()
    }

    #[test]
    fn a_segment_past_the_end_is_a_fault_and_a_stream_is_not() {
        assert_eq!(fault_of(&mkv(true)), None);
        assert!(fault_of(&mkv(true)[..100]).unwrap().contains("segment"));
        assert_eq!(fault_of(&mkv(false)[..100]), None);
    }
}
