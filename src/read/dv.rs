//! Raw DV (IEC 61834-2, SMPTE 314M): frames of one fixed size, nothing else in the file.

use super::window::{Fault, Window};

/// A header DIF block: section type 0, sequence 0, block 0.
pub fn is_here(head: &[u8]) -> bool {
    matches!(head, [0x1f, 0x07, 0x00, 0x3f | 0xbf, ..])
}

/// How the file is cut short. Call it when `is_here`. DV50 and DV100 frames are whole multiples of the same sizes.
pub fn fault(w: &mut Window) -> Fault {
    let pal = w.array::<4>(0)?.is_some_and(|b| b[3] & 0x80 != 0);
    let frame: u64 = if pal { 144_000 } else { 120_000 };
    let over = w.size() % frame;
    Ok((over != 0).then(|| format!("it ends inside a frame ({over} of {frame} bytes)")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn a_last_frame_that_is_not_whole_is_a_fault() {
        for (mark, frame) in [(0x3f, 120_000), (0xbf, 144_000)] {
            let mut bytes = vec![0; 2 * frame];
            bytes[..4].copy_from_slice(&[0x1f, 7, 0, mark]);
            assert!(is_here(&bytes));
            let fault_of = |len: usize| fault(&mut Window::new(&mut Cursor::new(&bytes[..len]), len as u64)).unwrap();
            assert_eq!(fault_of(2 * frame), None);
            assert!(fault_of(2 * frame - 1).is_some());
            assert!(fault_of(4400).is_some());
        }
    }
}
