//! MPEG transport streams (ISO/IEC 13818-1), plain or with the four-byte time stamps of AVCHD and Blu-ray (BDAV).

use super::window::{Fault, Window};

const SYNC: u8 = 0x47;
/// (stride, offset of the sync byte): plain, BDAV, with Reed-Solomon bytes.
const SHAPES: [(usize, usize); 3] = [(188, 0), (192, 4), (204, 0)];
/// BDAV files are written in aligned units of 32 source packets.
const ALIGNED_UNIT: u64 = 32 * 192;
/// The selection information table: BDAV recorders write it, plain muxers do not.
const SIT_PID: u16 = 0x1f;
const HEAD: usize = 1 << 20;

/// Stride and offset of the first sync byte, when at least three packets follow each other.
pub fn shape(head: &[u8]) -> Option<(usize, usize)> {
    SHAPES.into_iter().find(|(stride, at)| {
        head.len() > at + 2 * stride && head[*at..].iter().step_by(*stride).take(5).all(|b| *b == SYNC)
    })
}

/// How the file is cut short. Call it when there is a `shape`.
pub fn fault(w: &mut Window, (stride, offset): (usize, usize)) -> Fault {
    let size = w.size();
    if !size.is_multiple_of(stride as u64) {
        return Ok(Some(format!("it ends inside a packet ({} bytes over)", size % stride as u64)));
    }
    let head = w.read(0, HEAD)?;
    let packets = || head.chunks_exact(stride).map(|p| &p[offset..]).filter(|p| p[0] == SYNC && p.len() >= 188);
    let pid = |p: &[u8]| u16::from_be_bytes([p[1] & 0x1f, p[2]]);
    let camera = stride == 192 && packets().take(64).any(|p| pid(p) == SIT_PID);
    if camera && !size.is_multiple_of(ALIGNED_UNIT) {
        return Ok(Some(format!("it ends inside a recording unit ({} of {ALIGNED_UNIT} bytes)", size % ALIGNED_UNIT)));
    }
    let starts_essence = |p: &[u8]| {
        let payload = if p[3] & 0x20 == 0 { 4 } else { 5 + usize::from(p[4]) };
        p[1] & 0x40 != 0 && p.get(payload..payload + 3) == Some(&[0, 0, 1])
    };
    Ok((!packets().any(starts_essence)).then(|| "it holds no start of a picture or of sound".into()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::Cursor;

    /// `packets` packets; the first is a table, the second starts a picture.
    pub(crate) fn ts(stride: usize, packets: usize, table_pid: u16) -> Vec<u8> {
        let offset = if stride == 192 { 4 } else { 0 };
        let mut out = vec![0xff; stride * packets];
        for (n, p) in out.chunks_exact_mut(stride).enumerate() {
            let [hi, lo] = if n == 0 { table_pid } else { 0x1011 }.to_be_bytes();
            p[offset..offset + 4].copy_from_slice(&[SYNC, hi | if n == 1 { 0x40 } else { 0 }, lo, 0x10]);
            if n == 1 {
                p[offset + 4..offset + 8].copy_from_slice(&[0, 0, 1, 0xe0]);
            }
        }
        out
    }

    fn fault_of(bytes: &[u8]) -> Option<String> {
        let shape = shape(bytes).unwrap();
        let mut file = Cursor::new(bytes);
        fault(&mut Window::new(&mut file, bytes.len() as u64), shape).unwrap()
    }

    #[test]
    fn whole_streams_have_no_fault() {
        for bytes in [ts(188, 50, 0), ts(192, 64, SIT_PID), ts(192, 50, 0), ts(204, 50, 0)] {
            assert_eq!(fault_of(&bytes), None);
        }
    }

    #[test]
    fn a_cut_packet_unit_or_picture_is_a_fault() {
        let plain = ts(188, 50, 0);
        assert!(fault_of(&plain[..plain.len() - 1]).unwrap().contains("packet"));
        assert!(fault_of(&ts(192, 42, SIT_PID)).unwrap().contains("unit"));
        let mut empty = plain;
        empty[188 + 7] = 0;
        empty[188 + 6] = 0;
        assert!(fault_of(&empty).unwrap().contains("no start"));
    }
}
