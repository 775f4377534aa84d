//! Canon's metadata in CRM, MP4 and MOV: a `uuid` box whose parts `CMT1` to `CMT4` are whole TIFF files with the tags
//! of Exif, of its own directory, of Canon's maker note and of GPS.

use super::bmff::{Part, inside};
use super::form::Facts;
use super::tiff::{self, Tiff};
use super::window::Window;
use crate::fact::Field;
use std::io;

/// 85c0b687-820f-11e0-8111-f4ce462b6a48
pub(crate) const UUID: [u8; 16] =
    [0x85, 0xc0, 0xb6, 0x87, 0x82, 0x0f, 0x11, 0xe0, 0x81, 0x11, 0xf4, 0xce, 0x46, 0x2b, 0x6a, 0x48];

pub(crate) fn say(w: &mut Window, part: Part, left: &mut usize, to: &mut Facts) -> io::Result<()> {
    let mut parts = inside(w, part.body, part.end, left)?;
    // The second knows when the clip was taken, the first only when the file was written.
    parts.sort_by_key(|p| &p.kind != b"CMT2");
    for part in parts {
        match &part.kind {
            b"CMT1" | b"CMT2" => tiff::whole(w, part.body, part.end, to)?,
            b"CMT3" => note(w, part, to)?,
            b"CMT4" => {
                if let Some((mut tiff, first)) = Tiff::open(w, part.body, part.end)? {
                    let directory = tiff.directory(first)?;
                    tiff.gps(&directory, to)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Canon's maker note: what Exif has no tag for, or older bodies leave out of it.
fn note(w: &mut Window, part: Part, to: &mut Facts) -> io::Result<()> {
    let Some((mut tiff, first)) = Tiff::open(w, part.body, part.end)? else { return Ok(()) };
    for e in tiff.directory(first)? {
        match e.tag {
            0x0007 => to.say(Field::Firmware, tiff.text(e)?.trim_start_matches("Firmware Version").trim()),
            0x000c if !to.has(Field::Serial) => to.count(Field::Serial, tiff.number(e, 0)?),
            0x0095 if !to.has(Field::Lens) => to.say(Field::Lens, tiff.text(e)?),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::bmff::tests::atom;
    use super::super::tests::{said, survives};
    use super::super::tiff::tests::{ascii, pair, tiff};
    use super::*;

    #[test]
    fn the_tiffs_inside_a_canon_movie_are_read() {
        let degrees = |d: u32, m: u32| [d, 1, m, 1, 0, 1].iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
        let parts = [
            atom(b"CNCV", b"CanonCRM0001/02.10.00/00.00.00"),
            atom(
                b"CMT1",
                &tiff(&[
                    ascii(0x10f, "Canon"),
                    ascii(0x110, "Canon EOS C500 Mark II"),
                    ascii(0x132, "2021:03:09 00:00:00"),
                ]),
            ),
            atom(
                b"CMT2",
                &tiff(&[
                    pair(0x829a, 5, 1, 50),
                    pair(0x829d, 5, 28, 10),
                    (0x8827, 3, 1, vec![0x20, 3]),
                    ascii(0x9003, "2021:03:04 05:06:07"),
                    ascii(0x9011, "+01:00"),
                    pair(0x920a, 5, 50, 1),
                    ascii(0xa431, "0001234567"),
                    ascii(0xa434, "CN-E50mm T1.3 L F"),
                ]),
            ),
            atom(b"CMT3", &tiff(&[ascii(7, "Firmware Version 1.0.2"), (0x0c, 4, 1, vec![9, 0, 0, 0])])),
            atom(
                b"CMT4",
                &tiff(&[
                    ascii(1, "N"),
                    (2, 5, 3, degrees(48, 30)),
                    ascii(3, "W"),
                    (4, 5, 3, degrees(11, 15)),
                    pair(6, 5, 519, 1),
                ]),
            ),
        ];
        let uuid = atom(b"uuid", &[&UUID[..], &parts.concat()].concat());
        let bytes = [atom(b"ftyp", b"crx \0\0\0\x01crx "), atom(b"moov", &uuid)].concat();
        assert_eq!(
            said("a.crm", &bytes),
            [
                "canon-cmt shutter_speed=1/50",
                "canon-cmt aperture=F2.8",
                "canon-cmt iso=800",
                "canon-cmt focal_length=50",
                "canon-cmt serial=0001234567",
                "canon-cmt lens=CN-E50mm T1.3 L F",
                "canon-cmt recorded_at=2021-03-04T05:06:07+01:00",
                "canon-cmt make=Canon",
                "canon-cmt model=Canon EOS C500 Mark II",
                "canon-cmt firmware=1.0.2",
                "canon-cmt gps=48.5,-11.25,519",
            ]
        );
        survives("a.crm", &bytes);
    }
}
