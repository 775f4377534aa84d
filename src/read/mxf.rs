//! MXF partitions (SMPTE ST 377-1): the header names the footer, or the random index pack at the end does.

use super::window::{Fault, Stop, Window, be32, be64, past_end};

const PARTITION: [u8; 13] = [0x06, 0x0e, 0x2b, 0x34, 0x02, 0x05, 0x01, 0x01, 0x0d, 0x01, 0x02, 0x01, 0x01];
const RANDOM_INDEX: [u8; 15] =
    [0x06, 0x0e, 0x2b, 0x34, 0x02, 0x05, 0x01, 0x01, 0x0d, 0x01, 0x02, 0x01, 0x01, 0x11, 0x01];
const HEADER: u8 = 2;
const FOOTER: u8 = 4;
/// ST 377-1 6.5: bytes of anything may stand before the header partition.
const RUN_IN: usize = 65_536;
/// Where a footer is looked for when nothing says where it is.
const TAIL: u64 = 1 << 20;
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

fn partition(w: &mut Window, at: u64) -> Result<Option<Partition>, Stop> {
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
fn random_index(w: &mut Window) -> Result<Option<u64>, Stop> {
    let size = w.size();
    let Some(len) = w.array(size.saturating_sub(4))?.map(u32::from_be_bytes) else { return Ok(None) };
    let Some(at) = size.checked_sub(len.into()) else { return Ok(None) };
    if w.read(at, 15)? != RANDOM_INDEX || len < 16 + 1 + 12 + 4 {
        return Ok(None);
    }
    let last = w.read(size - 16, 12)?;
    Ok(be32(&last, 0).and(be64(&last, 4)))
}

fn last_footer(w: &mut Window) -> Result<Option<u64>, Stop> {
    let from = w.size().saturating_sub(TAIL);
    let tail = w.read(from, TAIL as usize)?;
    Ok(tail.windows(14).rposition(|w| w[..13] == PARTITION && w[13] == FOOTER).map(|at| from + at as u64))
}

#[cfg(test)]
pub(crate) mod tests {
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
    fn every_cut_is_seen() {
        for whole in [mxf(0, true, false), mxf(0, false, false), mxf(77, true, false)] {
            for len in 77 + 14..whole.len() {
                assert!(fault_of(&whole[..len]).is_some(), "cut to {len} of {}", whole.len());
            }
        }
        let whole = mxf(0, true, true);
        assert!(fault_of(&whole[..whole.len() - 1]).unwrap().contains("footer"));
    }
}
