//! The facts of QuickTime and MP4: walks to every place where a maker hides something and hands the bytes on.
//! `bmff` knows the boxes, `udta`, `mdta`, `braw`, `canon` and `gpmf` know the makers.

use super::bmff::{BOXES, Part, inside};
use super::facts::{Embedded, Xml};
use super::form::{self, Facts};
use super::window::{Window, be16, be32, be64};
use super::{braw, canon, gpmf, mdta, udta};
use crate::fact::Field;
use crate::timecode::{FrameRate, Timecode};
use std::io;

/// Documents of one file, and bytes of one.
const DOCUMENTS: usize = 8;
const DOCUMENT: usize = 1 << 20;
const TRACKS: usize = 64;
/// Bytes of a sample description.
const ENTRY: usize = 1024;

/// What the walk gathers.
struct Found {
    left: usize,
    udta: Facts,
    mdta: Facts,
    canon: Facts,
    gpmf: Facts,
    xml: Vec<(Xml, Vec<u8>)>,
    tracks: Vec<Track>,
}

#[derive(Default)]
struct Track {
    handler: [u8; 4],
    /// The first sample description, its size and type included.
    entry: Vec<u8>,
    chunk: Option<u64>,
    /// Bytes of the first sample.
    sample: Option<u32>,
}

impl Track {
    fn kind(&self) -> &[u8] {
        self.entry.get(4..8).unwrap_or_default()
    }
}

pub fn facts(w: &mut Window) -> io::Result<Embedded> {
    let mut found = Found {
        left: BOXES,
        udta: Facts::by("udta"),
        mdta: Facts::by("mdta"),
        canon: Facts::by("canon-cmt"),
        gpmf: Facts::by("gpmf"),
        xml: Vec::new(),
        tracks: Vec::new(),
    };
    let size = w.size();
    // A movie of fragments has thousands at its top, and they take nothing from those inside `moov`.
    let mut tops = BOXES;
    for top in inside(w, 0, size, &mut tops)? {
        match &top.kind {
            b"moov" => {
                for part in inside(w, top.body, top.end, &mut found.left)? {
                    match &part.kind {
                        b"trak" => track(w, part, &mut found)?,
                        _ => of_movie(w, part, &mut found)?,
                    }
                }
            }
            _ => of_movie(w, top, &mut found)?,
        }
    }
    let (mut stsd, mut tmcd, mut frame) = (Facts::by("stsd"), Facts::by("tmcd"), Facts::by("braw"));
    for track in &found.tracks {
        match (&track.handler, track.kind()) {
            (b"vide", kind) if is_raw(kind) => {
                stsd.say(Field::Codec, form::text(kind));
                if let Some(at) = track.chunk.filter(|_| kind.starts_with(b"br") && !frame.has(Field::Iso)) {
                    braw::frame(&w.read(at, braw::MOST)?, &mut frame);
                }
            }
            (_, b"tmcd") if !tmcd.has(Field::StartTc) => timecode(w, track, &mut tmcd)?,
            (_, b"gpmd") => {
                if let Some((at, len)) = track.chunk.zip(track.sample) {
                    gpmf::say(&w.read(at, len as usize)?, &mut found.gpmf);
                }
            }
            _ => {}
        }
    }
    let facts = [frame, tmcd, found.mdta, found.udta, found.canon, found.gpmf, stsd];
    Ok(Embedded { facts: facts.into_iter().flat_map(Facts::list).collect(), xml: found.xml })
}

/// Video that libav has no name for.
fn is_raw(kind: &[u8]) -> bool {
    kind.starts_with(b"br") && kind.len() == 4 || [&b"CRAW"[..], b"aprn", b"aprh", b"NR3D", b"nraw"].contains(&kind)
}

/// A box of metadata, beside the tracks or at the top of the file.
fn of_movie(w: &mut Window, part: Part, found: &mut Found) -> io::Result<()> {
    match &part.kind {
        b"udta" => {
            for atom in inside(w, part.body, part.end, &mut found.left)? {
                match &atom.kind {
                    b"meta" => meta(w, atom, found)?,
                    b"GPMF" => gpmf::say(&atom.read(w, gpmf::MOST)?, &mut found.gpmf),
                    _ => udta::atom(w, atom, &mut found.udta)?,
                }
            }
            udta::rate_of_text(&mut found.udta);
        }
        b"meta" => meta(w, part, found)?,
        b"uuid" => {
            if w.read(part.body, 16)? == canon::UUID {
                let inner = Part { body: part.body.saturating_add(16).min(part.end), ..part };
                canon::say(w, inner, &mut found.left, &mut found.canon)?;
            } else {
                document(w, Part { body: part.body.saturating_add(16).min(part.end), ..part }, found)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// QuickTime's `meta` is a plain box; that of ISO has a version before its boxes.
fn meta(w: &mut Window, part: Part, found: &mut Found) -> io::Result<()> {
    let head = w.read(part.body, 8)?;
    let plain = head.get(4..8).is_some_and(|kind| [&b"hdlr"[..], b"keys", b"ilst", b"xml "].contains(&kind));
    let from = part.body + if plain { 0 } else { 4 };
    let mut keys = Vec::new();
    for inner in inside(w, from, part.end, &mut found.left)? {
        match &inner.kind {
            b"keys" => keys = mdta::keys(&inner.read(w, mdta::KEYS)?),
            b"ilst" => {
                for item in inside(w, inner.body, inner.end, &mut found.left)? {
                    for data in inside(w, item.body, item.end, &mut found.left)? {
                        if &data.kind == b"data" {
                            value(w, item.kind, data, &keys, found)?;
                        }
                    }
                }
                mdta::done(&mut found.mdta);
            }
            // A version, then the text.
            b"xml " => document(w, Part { body: inner.body.saturating_add(4).min(inner.end), ..inner }, found)?,
            _ => {}
        }
    }
    Ok(())
}

/// One value, under the number of its key or under a name of its own.
fn value(w: &mut Window, item: [u8; 4], data: Part, keys: &[String], found: &mut Found) -> io::Result<()> {
    let key = (u32::from_be_bytes(item) as usize).checked_sub(1).and_then(|n| keys.get(n));
    match key {
        Some(key) if key == mdta::PANASONIC => {
            document(w, Part { body: data.body.saturating_add(8).min(data.end), ..data }, found)?;
        }
        Some(key) => mdta::say(key, &data.read(w, mdta::VALUE)?, &mut found.mdta),
        None if item[0] == 0xa9 => {
            let bytes = data.read(w, mdta::VALUE)?;
            if let Some(text) = mdta::text_of(&bytes) {
                udta::say(&item, &text, &mut found.udta);
            }
        }
        None => {}
    }
    Ok(())
}

fn document(w: &mut Window, part: Part, found: &mut Found) -> io::Result<()> {
    // Its kind stands in the first bytes; other boxes are not read whole.
    let Some(kind) = Xml::of(&part.read(w, 4096)?) else { return Ok(()) };
    if found.xml.len() < DOCUMENTS {
        let mut bytes = part.read(w, DOCUMENT)?;
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        found.xml.push((kind, bytes));
    }
    Ok(())
}

/// One track: its kind, where its first sample lies, and what metadata hangs on it.
fn track(w: &mut Window, part: Part, found: &mut Found) -> io::Result<()> {
    let mut track = Track::default();
    let mut spans = vec![part];
    while let Some(span) = spans.pop() {
        for b in inside(w, span.body, span.end, &mut found.left)? {
            match &b.kind {
                b"mdia" | b"minf" | b"stbl" => spans.push(b),
                // Twice in QuickTime: in `minf` it is that of the data.
                b"hdlr" if track.handler == [0; 4] => {
                    let bytes = w.read(b.body, 12)?;
                    if let Some(kind) = bytes.get(8..12) {
                        track.handler.copy_from_slice(kind);
                    }
                }
                b"stsd" => {
                    let bytes = b.read(w, 8 + ENTRY)?;
                    let len = be32(&bytes, 8).unwrap_or(0) as usize;
                    track.entry = bytes.get(8..bytes.len().min(8 + len)).unwrap_or_default().to_vec();
                }
                b"stsz" => {
                    let bytes = b.read(w, 16)?;
                    track.sample = be32(&bytes, 4).filter(|n| *n > 0).or(be32(&bytes, 12));
                }
                b"stco" => {
                    let bytes = b.read(w, 12)?;
                    track.chunk = be32(&bytes, 4).filter(|n| *n > 0).and(be32(&bytes, 8)).map(u64::from);
                }
                b"co64" => {
                    let bytes = b.read(w, 16)?;
                    track.chunk = be32(&bytes, 4).filter(|n| *n > 0).and(be64(&bytes, 8));
                }
                b"udta" | b"meta" => of_movie(w, b, found)?,
                _ => {}
            }
        }
    }
    if found.tracks.len() < TRACKS {
        found.tracks.push(track);
    }
    Ok(())
}

/// The timecode track (QuickTime File Format, "Timecode media"): a frame number and how it counts.
fn timecode(w: &mut Window, track: &Track, to: &mut Facts) -> io::Result<()> {
    const DROP: u32 = 1;
    const COUNTER: u32 = 8;
    let entry = &track.entry;
    let (Some(flags), Some(scale), Some(duration)) = (be32(entry, 20), be32(entry, 24), be32(entry, 28)) else {
        return Ok(());
    };
    reel(entry, to);
    let Some(rate) = FrameRate::new(scale, duration.max(1)).filter(|_| duration > 0) else { return Ok(()) };
    let counted = entry.get(32).map_or(0, |n| u32::from(*n));
    // GoPro writes 29 for 30000/1001; the number below and the one above both mean the rate. Any other says that the
    // numbers count something else.
    let fits = [rate.num() / rate.den(), rate.nominal(), rate.nominal() & 0xff].contains(&counted);
    let drop = flags & DROP != 0;
    if flags & COUNTER != 0 || !fits || drop && !rate.can_drop() {
        return Ok(());
    }
    let Some(at) = track.chunk else { return Ok(()) };
    if let Some(frame) = w.array(at)?.map(u32::from_be_bytes) {
        let tc = Timecode::from_frame(frame.into(), rate, drop);
        // Times before midnight wrap; a number that is days away is none.
        if u64::from(frame) < 2 * tc.frames_a_day() {
            to.say(Field::StartTc, form::timecode(tc));
        }
    }
    Ok(())
}

/// The source's name behind the description.
fn reel(entry: &[u8], to: &mut Facts) {
    if entry.get(38..42) == Some(b"name") {
        let len = be16(entry, 42).unwrap_or(0);
        to.say(Field::Reel, form::text_at(entry, 46, len.into()));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::bmff::tests::atom;
    use super::super::tests::{said, samples, survives};

    fn words(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
    }

    fn track(handler: &[u8; 4], entry: &[u8], sample: u32, chunk: u32) -> Vec<u8> {
        let stbl = [
            atom(b"stsd", &[&words(&[0, 1]), entry].concat()),
            atom(b"stsz", &words(&[0, sample, 1])),
            atom(b"stco", &words(&[0, 1, chunk])),
        ];
        let hdlr = atom(b"hdlr", &[&[0; 8], &handler[..], &[0; 13]].concat());
        let minf = atom(
            b"minf",
            &[atom(b"hdlr", &[&[0; 8], &b"alis"[..], &[0; 13]].concat()), atom(b"stbl", &stbl.concat())].concat(),
        );
        atom(b"trak", &atom(b"mdia", &[hdlr, minf].concat()))
    }

    /// One track of timecode, whose sample lies behind the `ftyp`.
    pub(crate) fn timecode_movie(scale: u32, duration: u32, counted: u8, flags: u32, frame: u32) -> Vec<u8> {
        let name = atom(b"name", &[&[0, 4, 0, 0], &b"A001"[..]].concat());
        let entry = [&[0; 6], &[0, 1][..], &words(&[0, flags, scale, duration]), &[counted, 0], &name].concat();
        let ftyp = atom(b"ftyp", b"qt  \0\0\0\0qt  ");
        let at = ftyp.len() as u32 + 8;
        [ftyp, atom(b"mdat", &frame.to_be_bytes()), atom(b"moov", &track(b"tmcd", &atom(b"tmcd", &entry), 4, at))]
            .concat()
    }

    #[test]
    fn the_timecode_track_is_read_with_its_rate_and_reel() {
        let tc = |scale, duration, counted, flags, frame| {
            let said = said("a.mov", &timecode_movie(scale, duration, counted, flags, frame));
            assert!(said.contains(&"tmcd reel=A001".into()));
            said.into_iter().find_map(|s| Some(s.strip_prefix("tmcd start_tc=")?.to_owned()))
        };
        assert_eq!(tc(24_000, 1001, 24, 0, 86_400).unwrap(), "01:00:00:00@24000/1001");
        assert_eq!(tc(30_000, 1001, 30, 1, 107_892).unwrap(), "01:00:00;00@30000/1001");
        assert_eq!(tc(25, 1, 25, 2, 90_000).unwrap(), "01:00:00:00@25/1");
        // GoPro counts 29 and means 30.
        assert_eq!(tc(90_000, 3003, 29, 2, 108_000).unwrap(), "01:00:00:00@30000/1001");
        // Numbers that run at half the rate, a counter, drop-frame where there is none, no rate, a frame in no day.
        for (scale, duration, counted, flags, frame) in [
            (60_000, 1001, 30, 0, 1),
            (25, 1, 25, 8, 1),
            (25, 1, 25, 1, 1),
            (25, 0, 25, 0, 1),
            (25, 1, 25, 0, u32::MAX),
        ] {
            assert_eq!(tc(scale, duration, counted, flags, frame), None);
        }
        survives("a.mov", &timecode_movie(24_000, 1001, 24, 0, 86_400));
    }

    #[test]
    fn the_first_frame_of_blackmagic_raw_is_read() {
        let text = |kind: &[u8; 4], text: &str| atom(kind, &[text.as_bytes(), &vec![0; 24 - text.len()]].concat());
        let frame = atom(
            b"bmdf",
            &[
                text(b"shtv", "180\u{b0}"),
                text(b"aptr", "f2.7"),
                text(b"fcln", "135mm"),
                text(b"dsnc", "2430mm"),
                atom(b"srte", &[0; 8]),
                atom(b"isoe", &800u32.to_be_bytes()),
                atom(b"wkel", &5600u32.to_be_bytes()),
                atom(b"wtin", &(-10i16).to_be_bytes()),
            ]
            .concat(),
        );
        let ftyp = atom(b"ftyp", b"qt  \0\0\0\0qt  ");
        let at = ftyp.len() as u32 + 8;
        let moov = atom(b"moov", &track(b"vide", &atom(b"brhq", &[0; 78]), frame.len() as u32, at));
        let bytes = [ftyp, atom(b"mdat", &frame), moov].concat();
        assert_eq!(
            said("a.braw", &bytes),
            [
                "braw shutter_angle=180",
                "braw aperture=F2.7",
                "braw focal_length=135",
                "braw focus_distance=2.43",
                "braw iso=800",
                "braw white_balance=5600",
                "braw tint=-10",
                "stsd codec=brhq",
            ]
        );
        survives("a.braw", &bytes);
    }

    #[test]
    fn user_data_of_many_makers_is_read() {
        let text = |t: &str| [&(t.len() as u16).to_be_bytes()[..], &[0x55, 0xc4], t.as_bytes()].concat();
        let tag = |tag: u32, t: &str| {
            [&tag.to_be_bytes()[..], &[0, 2], &(t.len() as u16).to_be_bytes(), t.as_bytes()].concat()
        };
        let of = |atoms: &[Vec<u8>]| {
            let bytes = [atom(b"ftyp", b"qt  \0\0\0\0qt  "), atom(b"moov", &atom(b"udta", &atoms.concat()))].concat();
            survives("a.mov", &bytes);
            said("a.mov", &bytes)
        };
        assert_eq!(
            of(&[
                atom(b"\xa9mdl", &text("FC220")),
                atom(b"\xa9csn", &text("0K123")),
                atom(b"\xa9xyz", &text("+48.1+011.5+500.0/"))
            ]),
            ["udta model=FC220", "udta serial=0K123", "udta gps=48.1,11.5,500"]
        );
        assert_eq!(
            of(&[atom(b"CNMN", b"Canon EOS 5D Mark II\0"), atom(b"CNFV", b"Firmware Version 2.0.7\0")]),
            ["udta make=Canon", "udta model=Canon EOS 5D Mark II", "udta firmware=2.0.7"]
        );
        let list = [tag(1, "NIKON\0"), tag(2, "NIKON Z 9\0"), tag(0x110_a431, "3001\0")].concat();
        assert_eq!(
            of(&[atom(b"NCDT", &[atom(b"NCHD", &[1; 4]), atom(b"NCTG", &list)].concat())]),
            ["udta make=NIKON", "udta model=NIKON Z 9", "udta serial=3001"]
        );
        assert_eq!(
            of(&[
                atom(b"\xa9TIM", &text("01:00:00;02")),
                atom(b"\xa9TSC", &text("30000")),
                atom(b"\xa9TSZ", &text("1001")),
                vec![0; 4],
            ]),
            ["udta start_tc=01:00:00;02@30000/1001"]
        );
        assert_eq!(of(&[atom(b"\xa9TIM", &text("01:00:00:02"))]), ["udta start_tc=01:00:00:02"]);
        // Macintosh text in the Macintosh's English.
        assert_eq!(of(&[atom(b"\xa9inf", &[&[0, 5, 0, 0], &b"B\x9fhne"[..]].concat())]), ["udta note=B\u{fc}hne"]);
    }

    #[test]
    fn thousands_of_fragments_hide_nothing() {
        let mut bytes = timecode_movie(25, 1, 25, 0, 90_000);
        bytes.extend(atom(b"moof", b"").repeat(9000));
        assert!(said("a.mov", &bytes).contains(&"tmcd start_tc=01:00:00:00@25/1".into()));
    }

    #[test]
    fn a_real_gopro_clip_is_read() {
        let Some(root) = samples() else { return };
        let said = said("a.mp4", &std::fs::read(root.join("gopro/GOPR_karma_hero5.mp4")).unwrap());
        for expected in [
            "tmcd start_tc=19:26:48:04@30000/1001",
            "udta firmware=HD5.02.02.00.00",
            "udta lens_serial=LAE6101112400243",
            "udta clip_id=2ABB85C696E812CECC59A04500565E4B07E14453",
            "gpmf make=GoPro",
        ] {
            assert!(said.iter().any(|s| s.starts_with(expected)), "{expected} in {said:#?}");
        }
    }

    #[test]
    fn a_real_movie_of_a_compact_camera_is_read() {
        let Some(root) = samples() else { return };
        let said = said("a.mov", &std::fs::read(root.join("other/pentax_320x240_head.mov")).unwrap());
        assert_eq!(said, ["udta note=PENTAX DIGITAL CAMERA"]);
    }
}
