//! DPX (SMPTE ST 268-1): one frame, whose header says how long the file is.

use super::window::{Fault, Window, be32, le32, past_end};

pub fn is_here(head: &[u8]) -> bool {
    matches!(head.get(..4), Some(b"SDPX" | b"XPDS"))
}

/// How the file is cut short. Call it when `is_here`. A size of 0 or all ones means that it was left undefined.
pub fn fault(w: &mut Window) -> Fault {
    let (size, head) = (w.size(), w.read(0, 20)?);
    let read32 = if head.starts_with(b"SDPX") { be32 } else { le32 };
    let (Some(image), Some(declared)) = (read32(&head, 4), read32(&head, 16)) else {
        return Ok(Some("it ends inside its header".into()));
    };
    if !matches!(declared, 0 | u32::MAX) && u64::from(declared) > size {
        return Ok(Some(past_end("it", declared.into(), size)));
    }
    Ok((u64::from(image) >= size).then(|| "it holds no picture after its header".into()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::Cursor;

    pub(crate) fn dpx(len: u32) -> Vec<u8> {
        let mut out = vec![0; len as usize];
        out[..4].copy_from_slice(b"SDPX");
        out[4..8].copy_from_slice(&2048u32.to_be_bytes());
        out[16..20].copy_from_slice(&len.to_be_bytes());
        out
    }

    #[test]
    fn a_cut_frame_is_a_fault() {
        let whole = dpx(5000);
        let fault_of = |len: usize| fault(&mut Window::new(&mut Cursor::new(&whole[..len]), len as u64)).unwrap();
        assert_eq!(fault_of(5000), None);
        for len in [4, 19, 2048, 4999] {
            assert!(fault_of(len).is_some(), "cut to {len}");
        }
    }
}
