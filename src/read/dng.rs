//! DNG and CinemaDNG (Adobe, Digital Negative 1.7 and CinemaDNG 1.1): the tags of Exif, and those of a frame of film.

use super::form::{self, Facts};
use super::tiff::Tiff;
use super::window::{Window, array_at};
use crate::fact::Field;
use crate::timecode::FrameRate;
use std::io;

const SUB_DIRECTORIES: usize = 8;

pub(crate) fn facts(w: &mut Window) -> io::Result<Facts> {
    let mut to = Facts::by("dng");
    let size = w.size();
    super::tiff::whole(w, 0, size, &mut to)?;
    let Some((mut tiff, first)) = Tiff::open(w, 0, size)? else { return Ok(to) };
    let directory = tiff.directory(first)?;
    let (mut timecode, mut rate) = (None, None);
    let mut unique = None;
    let mut pictures = vec![directory.clone()];
    for e in directory {
        match e.tag {
            0x014a => {
                for n in 0..SUB_DIRECTORIES {
                    let Some(at) = tiff.number(e, n)? else { break };
                    pictures.push(tiff.directory(at)?);
                }
            }
            0xc614 => unique = Some(tiff.text(e)?),
            0xc62f => to.say(Field::Serial, tiff.text(e)?),
            // Frames, seconds, minutes, hours, then user bits.
            0xc763 => timecode = array_at::<4>(&tiff.bytes(e)?, 0).map(|[f, s, m, h]| [h, m, s, f]),
            0xc764 => rate = tiff.fraction(e, 0)?.and_then(|(num, den)| FrameRate::new(num, den)),
            0xc772 => {
                let stop = tiff.fraction(e, 0)?.map(|(num, den)| f64::from(num) / f64::from(den));
                to.say(Field::Aperture, stop.and_then(|v| form::aperture('T', v)));
            }
            0xc789 => to.say(Field::Reel, tiff.text(e)?),
            0xc7a1 => to.say(Field::Camera, tiff.text(e)?),
            _ => {}
        }
    }
    if !to.has(Field::Model) {
        to.say(Field::Model, unique);
    }
    to.say(Field::Fps, rate.map(FrameRate::fraction));
    to.say(Field::StartTc, timecode.and_then(|tc| form::timecode_bcd(tc, rate)));
    for picture in pictures {
        let find = |tag: u16| picture.iter().copied().find(|e| e.tag == tag);
        // The others are thumbnails.
        let Some(kind) = find(0x00fe) else { continue };
        if tiff.number(kind, 0)? != Some(0) {
            continue;
        }
        for (tag, field) in [(0x0100, Field::Width), (0x0101, Field::Height), (0x0102, Field::BitDepth)] {
            if let Some(e) = find(tag) {
                to.count(field, tiff.number(e, 0)?);
            }
        }
    }
    Ok(to)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::{said, samples, survives};
    use super::super::tiff::tests::{ascii, pair, tiff};

    pub(crate) fn film() -> Vec<u8> {
        tiff(&[
            (0x00fe, 4, 1, vec![0; 4]),
            (0x0100, 3, 1, vec![0, 8]),
            (0x0101, 3, 1, vec![0, 4]),
            ascii(0x010f, "Blackmagic Design"),
            ascii(0x0132, "2020:05:06 07:08:09"),
            pair(0x829a, 5, 1, 48),
            (0x8827, 3, 1, vec![0x20, 3]),
            ascii(0xc614, "Blackmagic Pocket Cinema Camera"),
            ascii(0xc62f, "12345"),
            (0xc763, 1, 8, vec![0x12, 0x45, 0x13, 0x09, 0, 0, 0, 0]),
            pair(0xc764, 10, 24_000, 1001),
            pair(0xc772, 5, 28, 10),
            ascii(0xc789, "A001"),
        ])
    }

    #[test]
    fn a_frame_of_cinema_dng_says_its_timecode_and_rate() {
        let bytes = film();
        assert_eq!(
            said("a.dng", &bytes),
            [
                "dng make=Blackmagic Design",
                "dng shutter_speed=1/48",
                "dng iso=800",
                "dng recorded_at=2020-05-06T07:08:09",
                "dng serial=12345",
                "dng aperture=T2.8",
                "dng reel=A001",
                "dng model=Blackmagic Pocket Cinema Camera",
                "dng fps=24000/1001",
                "dng start_tc=09:13:45:12@24000/1001",
                "dng width=2048",
                "dng height=1024",
            ]
        );
        survives("a.dng", &bytes);
    }

    #[test]
    fn a_rate_below_zero_and_a_timecode_of_no_time_say_nothing() {
        let broken = tiff(&[(0xc763, 1, 8, vec![0xff; 8]), pair(0xc764, 10, u32::MAX, 1)]);
        assert_eq!(said("a.dng", &broken), [] as [&str; 0]);
    }

    #[test]
    fn a_directory_that_points_at_itself_ends() {
        let circle = tiff(&[(0x8769, 4, 1, vec![8, 0, 0, 0]), (0x014a, 4, 1, vec![8, 0, 0, 0])]);
        assert_eq!(said("a.dng", &circle), [] as [&str; 0]);
    }

    #[test]
    fn a_real_dng_is_read() {
        let Some(root) = samples() else { return };
        assert_eq!(
            said("a.dng", &std::fs::read(root.join("sequences/dng/canon_eos_6d.dng")).unwrap()),
            [
                "dng make=Canon",
                "dng model=Canon EOS 6D",
                "dng shutter_speed=1/60",
                "dng aperture=F5.6",
                "dng iso=1000",
                "dng focal_length=65",
                "dng serial=033024001432",
                "dng lens=EF24-105mm f/4L IS USM",
                "dng lens_serial=00001066ba",
                "dng recorded_at=2019-06-06T07:29:51",
                "dng width=1224",
                "dng height=816",
                "dng bit_depth=8",
            ]
        );
    }
}
