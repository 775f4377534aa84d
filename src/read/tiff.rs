//! TIFF 6.0 directories with the tags of Exif 2.3: in DNG, and whole inside the metadata boxes of Canon's movies. The crate
//! `kamadak-exif` takes a file whole into memory; here a frame of many megabytes costs the bytes of its tags.

use super::form::{self, Facts};
use super::window::{Window, array_at};
use crate::fact::Field;
use std::io;

/// Entries of one directory; real ones have up to a hundred.
const ENTRIES: u16 = 512;
/// Bytes of one value.
const VALUE: usize = 4096;

/// The mark of either byte order.
pub fn is_here(head: &[u8]) -> bool {
    matches!(head.get(..4), Some(b"II*\0" | b"MM\0*"))
}

pub(crate) struct Tiff<'w, 'f> {
    w: &'w mut Window<'f>,
    /// Where the header lies, which all offsets count from, and where its bytes end.
    base: u64,
    end: u64,
    big: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub tag: u16,
    kind: u16,
    count: u32,
    /// Of the value or of where it lies.
    at: u64,
}

impl<'w, 'f> Tiff<'w, 'f> {
    /// Also where the first directory lies. `None` when there is no such header.
    pub fn open(w: &'w mut Window<'f>, base: u64, end: u64) -> io::Result<Option<(Self, u32)>> {
        let head = w.read(base, 8)?;
        if !is_here(&head) {
            return Ok(None);
        }
        let tiff = Tiff { big: head[0] == b'M', w, base, end };
        let first = tiff.u32(&head, 4);
        Ok(first.map(|first| (tiff, first)))
    }

    fn u16(&self, bytes: &[u8], at: usize) -> Option<u16> {
        array_at(bytes, at).map(if self.big { u16::from_be_bytes } else { u16::from_le_bytes })
    }

    fn u32(&self, bytes: &[u8], at: usize) -> Option<u32> {
        array_at(bytes, at).map(if self.big { u32::from_be_bytes } else { u32::from_le_bytes })
    }

    /// One directory.
    pub fn directory(&mut self, offset: u32) -> io::Result<Vec<Entry>> {
        let at = self.base + u64::from(offset);
        let Some(count) = self.w.array::<2>(at)?.and_then(|b| self.u16(&b, 0)) else { return Ok(Vec::new()) };
        let count = usize::from(count.min(ENTRIES));
        let bytes = self.read(at + 2, count * 12)?;
        let entry = |n: usize| {
            let at_entry = n * 12;
            Some(Entry {
                tag: self.u16(&bytes, at_entry)?,
                kind: self.u16(&bytes, at_entry + 2)?,
                count: self.u32(&bytes, at_entry + 4)?,
                at: at + 2 + at_entry as u64 + 8,
            })
        };
        Ok((0..count).map_while(entry).collect())
    }

    fn read(&mut self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let there = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
        self.w.read(at, len.min(there))
    }

    /// The bytes of a value, as many as there are; empty where its type is not known.
    pub fn bytes(&mut self, e: Entry) -> io::Result<Vec<u8>> {
        let each = match e.kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 => 8,
            _ => return Ok(Vec::new()),
        };
        let len = each * u64::from(e.count);
        if len <= 4 {
            return self.read(e.at, len as usize);
        }
        let offset = self.w.array::<4>(e.at)?.and_then(|b| self.u32(&b, 0));
        let Some(offset) = offset else { return Ok(Vec::new()) };
        self.read(self.base + u64::from(offset), len.min(VALUE as u64) as usize)
    }

    pub fn text(&mut self, e: Entry) -> io::Result<String> {
        Ok(if matches!(e.kind, 1 | 2 | 7) { form::text(&self.bytes(e)?) } else { String::new() })
    }

    /// Its `n`th whole number.
    pub fn number(&mut self, e: Entry, n: usize) -> io::Result<Option<u32>> {
        let bytes = self.bytes(e)?;
        Ok(match e.kind {
            1 => bytes.get(n).map(|b| u32::from(*b)),
            3 => self.u16(&bytes, n * 2).map(u32::from),
            4 | 13 => self.u32(&bytes, n * 4),
            _ => None,
        })
    }

    /// Its `n`th fraction. A signed one is `None` below zero.
    pub fn fraction(&mut self, e: Entry, n: usize) -> io::Result<Option<(u32, u32)>> {
        let bytes = self.bytes(e)?;
        let pair = self.u32(&bytes, n * 8).zip(self.u32(&bytes, n * 8 + 4)).filter(|(_, den)| *den > 0);
        Ok(match e.kind {
            5 => pair,
            10 => pair.filter(|(num, den)| i32::try_from(*num).is_ok() && i32::try_from(*den).is_ok()),
            _ => None,
        })
    }

    fn value(&mut self, e: Entry) -> io::Result<Option<f64>> {
        Ok(self.fraction(e, 0)?.map(|(num, den)| f64::from(num) / f64::from(den)))
    }

    /// What the tags of Exif say in one directory; gives the directories that hang below it: Exif's own and GPS.
    pub fn exif(&mut self, directory: &[Entry], to: &mut Facts) -> io::Result<(Option<u32>, Option<u32>)> {
        let (mut exif, mut gps) = (None, None);
        let (mut taken, mut changed, mut zone) = (None, None, String::new());
        for e in directory.iter().copied() {
            match e.tag {
                0x010f => to.say(Field::Make, self.text(e)?),
                0x0110 => to.say(Field::Model, self.text(e)?),
                0x0132 => changed = Some(self.text(e)?),
                0x829a => {
                    let time = self.fraction(e, 0)?;
                    to.say(Field::ShutterSpeed, time.and_then(|(n, d)| form::shutter(n.into(), d.into())));
                }
                0x829d => to.say(Field::Aperture, self.value(e)?.and_then(|v| form::aperture('F', v))),
                0x8769 => exif = self.number(e, 0)?,
                0x8825 => gps = self.number(e, 0)?,
                // 65535: more than 16 bits hold.
                0x8827 => to.count(Field::Iso, self.number(e, 0)?.filter(|n| *n != 0xffff)),
                0x9003 => taken = Some(self.text(e)?),
                0x9011 => zone = self.text(e)?,
                0x9206 => {
                    let metres = self.value(e)?.filter(|m| *m < 1e5).and_then(|m| form::positive(m, 3));
                    to.say(Field::FocusDistance, metres);
                }
                0x920a => to.say(Field::FocalLength, self.value(e)?.and_then(|mm| form::positive(mm, 2))),
                0xa431 => to.say(Field::Serial, self.text(e)?),
                0xa434 => to.say(Field::Lens, self.text(e)?),
                0xa435 => to.say(Field::LensSerial, self.text(e)?),
                _ => {}
            }
        }
        if let Some(taken) = taken {
            to.say(Field::RecordedAt, form::date_time(&format!("{taken}{zone}")));
        } else if exif.is_none() && !to.has(Field::RecordedAt) {
            // A program that changes the file changes this one too, so that it counts only where there is no other.
            to.say(Field::RecordedAt, changed.and_then(|t| form::date_time(&t)));
        }
        Ok((exif, gps))
    }

    /// A GPS directory.
    pub fn gps(&mut self, directory: &[Entry], to: &mut Facts) -> io::Result<()> {
        let (mut south, mut west, mut below) = (false, false, false);
        let (mut lat, mut lon, mut metres) = (None, None, None);
        for e in directory.iter().copied() {
            match e.tag {
                1 => south = self.text(e)? == "S",
                2 => lat = self.degrees(e)?,
                3 => west = self.text(e)? == "W",
                4 => lon = self.degrees(e)?,
                5 => below = self.number(e, 0)? == Some(1),
                6 => metres = self.value(e)?,
                _ => {}
            }
        }
        let signed = |minus: bool, v: f64| if minus { -v } else { v };
        if let (Some(lat), Some(lon)) = (lat, lon) {
            to.say(Field::Gps, form::place(signed(south, lat), signed(west, lon), metres.map(|m| signed(below, m))));
        }
        Ok(())
    }

    fn degrees(&mut self, e: Entry) -> io::Result<Option<f64>> {
        let mut sum = None;
        for (n, unit) in [1.0, 60.0, 3600.0].into_iter().enumerate() {
            match self.fraction(e, n)? {
                Some((num, den)) => sum = Some(sum.unwrap_or(0.0) + f64::from(num) / f64::from(den) / unit),
                None if n == 0 => return Ok(None),
                None => {}
            }
        }
        Ok(sum)
    }
}

/// Everything of one header and the directories below it.
pub(crate) fn whole(w: &mut Window, base: u64, end: u64, to: &mut Facts) -> io::Result<()> {
    let Some((mut tiff, first)) = Tiff::open(w, base, end)? else { return Ok(()) };
    let directory = tiff.directory(first)?;
    let (exif, gps) = tiff.exif(&directory, to)?;
    if let Some(exif) = exif {
        let directory = tiff.directory(exif)?;
        tiff.exif(&directory, to)?;
    }
    if let Some(gps) = gps {
        let directory = tiff.directory(gps)?;
        tiff.gps(&directory, to)?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    /// A little-endian file of one directory: tag, type, count, value bytes. `more` lies behind it; offsets in it count
    /// from `behind(entries)`.
    pub(crate) fn tiff(entries: &[(u16, u16, u32, Vec<u8>)]) -> Vec<u8> {
        let mut out = b"II*\0\x08\0\0\0".to_vec();
        out.extend((entries.len() as u16).to_le_bytes());
        let mut at = 8 + 2 + entries.len() * 12 + 4;
        let mut values: Vec<u8> = Vec::new();
        for (tag, kind, count, value) in entries {
            out.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
            out.extend(count.to_le_bytes());
            if value.len() <= 4 {
                let mut inline = value.clone();
                inline.resize(4, 0);
                out.extend(inline);
            } else {
                out.extend((at as u32).to_le_bytes());
                at += value.len();
                values.extend(value);
            }
        }
        out.extend([0; 4]);
        out.extend(values);
        out
    }

    pub(crate) fn ascii(tag: u16, text: &str) -> (u16, u16, u32, Vec<u8>) {
        (tag, 2, text.len() as u32 + 1, [text.as_bytes(), &[0]].concat())
    }

    pub(crate) fn pair(tag: u16, kind: u16, num: u32, den: u32) -> (u16, u16, u32, Vec<u8>) {
        (tag, kind, 1, [num.to_le_bytes(), den.to_le_bytes()].concat())
    }
}
