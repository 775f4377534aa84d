//! RED R3D: big-endian boxes of size and tag, `RED1` or `RED2` first, then frames (`REDV`) and sound (`REDA`), and an
//! end mark. Known from files and from FFmpeg's demuxer; RED publishes no specification.

use super::window::{Fault, Window, be32, past_end};

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

#[cfg(test)]
pub(crate) mod tests {
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
}
