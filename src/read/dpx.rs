//! DPX (SMPTE ST 268-1): one frame, whose header says how long the file is.

use super::form::{self, Facts};
use super::window::{Fault, Window, be32, le32, past_end};
use crate::fact::Field;
use crate::timecode::FrameRate;
use std::io;

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

/// What the film and the television header say; what is all ones was left undefined.
pub(crate) fn facts(w: &mut Window) -> io::Result<Facts> {
    let mut to = Facts::by("dpx");
    let head = w.read(0, 2048)?;
    if !is_here(&head) {
        return Ok(to);
    }
    let big = head.starts_with(b"SDPX");
    let whole = |at: usize| if big { be32(&head, at) } else { le32(&head, at) };
    let float = |at: usize| {
        let bits = whole(at).filter(|n| *n != u32::MAX)?;
        Some(f64::from(f32::from_bits(bits))).filter(|v| v.is_finite())
    };
    let text = |at: usize, len: usize| form::text_at(&head, at, len);
    to.say(Field::Project, text(260, 200));
    // The source's own time where there is one: the file may have been made of it later.
    to.say(Field::RecordedAt, form::date_time(&text(1532, 24)).or(form::date_time(&text(136, 24))));
    to.say(Field::Model, text(1556, 32));
    to.say(Field::Serial, text(1588, 32));
    to.say(Field::Note, text(1764, 100));
    to.count(Field::Width, whole(772).filter(|n| *n < 1 << 20));
    to.count(Field::Height, whole(776).filter(|n| *n < 1 << 20));
    to.count(Field::BitDepth, head.get(803).map(|b| u32::from(*b)).filter(|n| *n <= 64));
    if let (Some(across), Some(down)) = (whole(1628), whole(1632))
        && (1..100_000).contains(&across)
        && (1..100_000).contains(&down)
    {
        to.say(Field::PixelAspect, format!("{across}:{down}"));
    }
    to.say(Field::ShutterAngle, float(1728).and_then(form::angle));
    // The television header's rate, else that of the film header.
    let rate = float(1940).and_then(FrameRate::near).or(float(1724).and_then(FrameRate::near));
    to.say(Field::Fps, rate.map(FrameRate::fraction));
    // A header of zeros was not filled in.
    let code = whole(1920).filter(|n| *n != u32::MAX && (*n > 0 || rate.is_some())).map(u32::to_be_bytes);
    to.say(Field::StartTc, code.and_then(|hmsf| form::timecode_bcd(hmsf, rate)));
    // Scanners and recorders put the creator here, which is a program as often as a device.
    if !to.has(Field::Model) {
        to.say(Field::Model, text(160, 100));
    }
    Ok(to)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::{said, survives};
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

    fn shot(big: bool) -> Vec<u8> {
        let mut out = vec![0xff; 2048];
        let magic: &[u8] = if big { b"SDPX" } else { b"XPDS" };
        let put = |out: &mut Vec<u8>, at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        let word = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        put(&mut out, 0, magic);
        for (at, text) in [
            (136, "2018:03:27:10:11:12:+01\0"),
            (160, "ARRIRAW Converter\0"),
            (260, "Good Gate\0"),
            (1556, "ALEXA Mini\0"),
            (1588, "20123\0"),
        ] {
            put(&mut out, at, text.as_bytes());
        }
        for (at, n) in [(772, 2880), (776, 1620), (1628, 2), (1632, 1), (1920, 0x1011_1213)] {
            put(&mut out, at, &word(n));
        }
        put(&mut out, 1940, &word(23.976f32.to_bits()));
        out[803] = 10;
        out
    }

    #[test]
    fn both_byte_orders_say_the_same() {
        for big in [true, false] {
            let bytes = shot(big);
            assert_eq!(
                said("a.dpx", &bytes),
                [
                    "dpx project=Good Gate",
                    "dpx recorded_at=2018-03-27T10:11:12+01:00",
                    "dpx model=ALEXA Mini",
                    "dpx serial=20123",
                    "dpx width=2880",
                    "dpx height=1620",
                    "dpx bit_depth=10",
                    "dpx pixel_aspect=2:1",
                    "dpx fps=24000/1001",
                    "dpx start_tc=10:11:12:13@24000/1001",
                ]
            );
            survives("a.dpx", &bytes);
        }
    }

    #[test]
    fn undefined_fields_say_nothing() {
        let mut bytes = vec![0xff; 2048];
        bytes[..4].copy_from_slice(b"SDPX");
        assert_eq!(said("a.dpx", &bytes), [] as [&str; 0]);
        bytes[4..].fill(0);
        // A timecode of zero may be a timecode, but with a rate of zero the television header was not filled in.
        assert_eq!(said("a.dpx", &bytes), [] as [&str; 0]);
    }
}
