//! ARRIRAW frames (`.ari`, and `.arx` with HDE): a header of 4 KB with numbers in little-endian order. Known from
//! ARRI's published layout by way of readers of real frames; one frame stands for the clip, the first for its start.

use super::form::{self, Facts};
use super::window::{Window, array_at, le32};
use crate::fact::Field;
use crate::timecode::FrameRate;
use std::io;

const HEADER: usize = 4096;

pub fn is_here(head: &[u8]) -> bool {
    // The byte order mark behind the name is 0x12345678 in either order.
    head.starts_with(b"ARRI") && matches!(head.get(4..8), Some([0x12, 0x34, 0x56, 0x78] | [0x78, 0x56, 0x34, 0x12]))
}

pub(crate) fn facts(w: &mut Window) -> io::Result<Facts> {
    let mut to = Facts::by("ari");
    let head = w.read(0, HEADER)?;
    if !is_here(&head) {
        return Ok(to);
    }
    let whole = |at: usize| le32(&head, at);
    let float = |at: usize| form::le_f32(&head, at);
    let text = |at: usize, len: usize| form::text_at(&head, at, len);
    to.say(Field::Make, "ARRI");
    to.count(Field::Width, whole(0x14).filter(|n| *n < 1 << 20));
    to.count(Field::Height, whole(0x18).filter(|n| *n < 1 << 20));
    to.count(Field::WhiteBalance, whole(0x5c).filter(|n| *n < 100_000));
    to.count(Field::Iso, whole(0x74).filter(|n| *n < 1_000_000));
    to.say(Field::Look, text(0xcc, 32));
    to.count(Field::Serial, whole(0x170));
    // One letter in a number.
    let index = whole(0x178).and_then(char::from_u32).filter(char::is_ascii_uppercase);
    to.say(Field::Camera, index.map(String::from));
    to.say(Field::RecordedAt, clock(&head));
    to.say(Field::ShutterAngle, float(0x190).and_then(form::angle));
    let rate = |at: usize| float(at).and_then(FrameRate::near);
    to.say(Field::SensorFps, rate(0x1a0).map(FrameRate::fraction));
    to.say(Field::Fps, rate(0x1a4).map(FrameRate::fraction));
    // Frames, seconds, minutes, hours. A header without a time base has no timecode either.
    let code = array_at::<4>(&head, 0x1a8).map(|[f, s, m, h]| [h, m, s, f]);
    if let (Some(code), Some(base)) = (code, rate(0x1b0)) {
        to.say(Field::StartTc, form::timecode_bcd(code, Some(base)));
    }
    to.say(Field::Model, text(0x2f8, 20));
    to.count(Field::LensSerial, whole(0x380));
    to.say(Field::Lens, text(0x398, 32));
    to.say(Field::Circled, head.get(0x4f4).filter(|b| **b == 1).map(|_| "1"));
    to.say(Field::Reel, text(0x4f8, 8));
    to.say(Field::Scene, text(0x500, 16));
    to.say(Field::Take, text(0x510, 8));
    to.say(Field::ClipName, text(0x698, 20));
    Ok(to)
}

/// Date and time in BCD, the last digits first. Its zone is not understood and left out.
fn clock(head: &[u8]) -> Option<String> {
    let digits = |at: usize| -> Option<String> {
        let bytes = array_at::<4>(head, at)?;
        bytes.iter().rev().map(|b| (b & 0xf < 10 && b >> 4 < 10).then(|| format!("{b:02x}"))).collect()
    };
    form::date_time(&format!("{}{}", digits(0x17c)?, digits(0x180)?.get(..6)?))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::{said, survives};

    pub(crate) fn frame() -> Vec<u8> {
        let mut out = vec![0; 4200];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"ARRI\x12\x34\x56\x78");
        for (at, n) in [(0x14, 2880u32), (0x18, 2160), (0x5c, 5600), (0x74, 800), (0x170, 9876), (0x178, 65)] {
            put(at, &n.to_le_bytes());
        }
        for (at, v) in [(0x190, 172.8f32), (0x1a0, 120.0), (0x1a4, 23.976), (0x1b0, 23.976)] {
            put(at, &v.to_le_bytes());
        }
        put(0x17c, &0x2019_0625u32.to_le_bytes());
        put(0x180, &0x1341_2700u32.to_le_bytes());
        put(0x1a8, &[0x11, 0x25, 0x41, 0x13]);
        for (at, text) in [
            (0xcc, &b"ARRI 709"[..]),
            (0x2f8, b"ALEXA LF"),
            (0x398, b"Signature Prime 47"),
            (0x4f8, b"A003R24Y"),
            (0x500, b"42B"),
            (0x510, b"3"),
            (0x698, b"A003C001_190625_R24Y"),
        ] {
            put(at, text);
        }
        put(0x4f4, &[1]);
        out
    }

    #[test]
    fn a_frame_says_what_its_header_holds() {
        let bytes = frame();
        assert_eq!(
            said("a.ari", &bytes),
            [
                "ari make=ARRI",
                "ari width=2880",
                "ari height=2160",
                "ari white_balance=5600",
                "ari iso=800",
                "ari look=ARRI 709",
                "ari serial=9876",
                "ari camera=A",
                "ari recorded_at=2019-06-25T13:41:27",
                "ari shutter_angle=172.8",
                "ari sensor_fps=120/1",
                "ari fps=24000/1001",
                "ari start_tc=13:41:25:11@24000/1001",
                "ari model=ALEXA LF",
                "ari lens=Signature Prime 47",
                "ari circled=1",
                "ari reel=A003R24Y",
                "ari scene=42B",
                "ari take=3",
                "ari clip_name=A003C001_190625_R24Y",
            ]
        );
        survives("a.ari", &bytes);
    }

    #[test]
    fn an_empty_header_says_only_whose_it_is() {
        let mut bytes = vec![0; 4096];
        bytes[..8].copy_from_slice(b"ARRI\x12\x34\x56\x78");
        assert_eq!(said("a.ari", &bytes), ["ari make=ARRI"]);
        bytes[8..].fill(0xff);
        assert_eq!(said("a.ari", &bytes), ["ari make=ARRI"]);
    }
}
