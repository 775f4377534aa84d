//! Every parser with the worst that can lie on a card: nothing, halves, another encoding, and bytes that somebody made to
//! hurt. Each must answer, in time, and say nothing of what is not there.

use super::super::window::Window;
use super::super::*;
use super::embedded;
use crate::timecode::FrameRate;
use std::io::Cursor;
use std::time::{Duration, Instant};

/// A parser: the module, bytes that it knows, and how many things it says of bytes.
struct Parser {
    name: &'static str,
    good: Vec<u8>,
    says: fn(&[u8]) -> usize,
}

const NRT: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><NonRealTimeMeta><Duration value=\"5\"/><Lens modelName=\"Gr\u{f6}\u{df}e\"/>\
    <CreationDate value=\"2021-07-16T11:46:22-08:00\"/></NonRealTimeMeta>";
const P2: &str = "<P2Main><ClipContent><GlobalClipID>0A</GlobalClipID><Duration>5</Duration><EditUnit>1/25</EditUnit>\
    <EssenceList><Video><StartTimecode>01:00:00:00</StartTimecode></Video><Audio/></EssenceList></ClipContent></P2Main>";
const CANON: &str = "<Clip><Manufacturer>Canon</Manufacturer><Scene>12</Scene></Clip>";
const MEDIAPRO: &str =
    "<MediaProfile><Contents><Material uri=\"./Clip/C 1.MXF\" umid=\"060A\"/></Contents></MediaProfile>";
const ALE: &str = "Heading\nFPS\t25\n\nColumn\nName\tStart\tScene\n\nData\nA001\t01:00:00:00\tStra\u{df}e\n";
const SRT: &str =
    "1\n00:00:00,000 --> 00:00:00,033\n[iso : 100] [shutter : 1/50.0] [latitude: 48.1] [longitude: 11.5]\n\n";
const CSV: &str = "Timecode,Clip Name,Lens Model,Lens Serial,Camera Model\n01:02:03:04,A001,Zoom,9,MPC-3610\n";
const SIDECAR: &str = "{\"iso\": 400, \"white_balance_kelvin\": 5600, \"take\": \"3\"}";
const CUBE: &str = "TITLE \"x\"\nLUT_3D_SIZE 2\n0 0 0\n1 0 0\n0 1 0\n1 1 0\n0 0 1\n1 0 1\n0 1 1\n1 1 1\n";
const CDL: &str = "<ColorDecisionList><ColorDecision><ColorCorrection><SOPNode><Slope>1 1 1</Slope><Offset>0 0 0</Offset>\
    <Power>1 1 1</Power></SOPNode></ColorCorrection></ColorDecision></ColorDecisionList>";
const LISTING: &str = "Clip Metadata\niso: 800\nscene: 12\n";

/// What the file with these bytes says of itself, its end included.
fn file(name: &str, bytes: &[u8]) -> usize {
    let said = embedded(name, bytes);
    said.facts.len() + said.xml.len()
}

/// 1 for a container that is whole.
fn whole(fault: impl FnOnce(&mut Window) -> window::Fault, bytes: &[u8]) -> usize {
    let mut file = Cursor::new(bytes);
    usize::from(fault(&mut Window::new(&mut file, bytes.len() as u64)).unwrap().is_none())
}

fn parsers() -> Vec<Parser> {
    fn parser(name: &'static str, good: impl Into<Vec<u8>>, says: fn(&[u8]) -> usize) -> Parser {
        Parser { name, good: good.into(), says }
    }
    fn frames(bytes: &[u8]) -> usize {
        ale::rows(bytes).map_or(0, |sheet| sheet.rows.iter().map(|r| ale::facts(r, sheet.fps).len()).sum())
    }
    let canon_movie = {
        use bmff::tests::atom;
        let cmt = atom(b"CMT1", &tiff::tests::tiff(&[tiff::tests::ascii(0x110, "EOS C500")]));
        let uuid = atom(b"uuid", &[&canon::UUID[..], &cmt].concat());
        [atom(b"ftyp", b"crx \0\0\0\x01crx "), atom(b"moov", &uuid)].concat()
    };
    let slate = {
        use bmff::tests::atom;
        let key = atom(b"mdta", b"com.apple.quicktime.model");
        let keys = atom(b"keys", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &key].concat());
        let data = atom(b"data", &[&[0, 0, 0, 1, 0, 0, 0, 0][..], b"iPhone"].concat());
        let ilst = atom(b"ilst", &atom(&[0, 0, 0, 1], &data));
        let handler = atom(b"hdlr", &[&[0; 8], &b"mdta"[..], &[0; 13]].concat());
        let meta = atom(b"meta", &[handler, keys, ilst].concat());
        [atom(b"ftyp", b"qt  \0\0\0\0qt  "), atom(b"moov", &meta)].concat()
    };
    let user_data = {
        use bmff::tests::atom;
        let text = atom(b"\xa9mdl", b"\0\x05\x55\xc4FC220");
        [atom(b"ftyp", b"qt  \0\0\0\0qt  "), atom(b"moov", &atom(b"udta", &text))].concat()
    };
    let packs = [&b"\x17\xee\x8c\x60\xf8\x4d\x11\xd9\x8c\xd6\x08\x00\x20\x0c\x9a\x66MDPM\x01"[..], &[0xe0, 1, 8, 0, 0]]
        .concat();
    let dv = {
        let mut bytes = vec![0; 120_000];
        bytes[..4].copy_from_slice(&[0x1f, 7, 0, 0x3f]);
        bytes
    };
    let braw_frame = bmff::tests::atom(b"bmdf", &bmff::tests::atom(b"isoe", &800u32.to_be_bytes()));
    let dpx_frame = {
        let mut bytes = dpx::tests::dpx(2100);
        bytes[772..776].copy_from_slice(&2048u32.to_be_bytes());
        bytes
    };
    vec![
        parser("ale", ALE, frames),
        parser("ari", ari::tests::frame(), |b| file("a.ari", b)),
        parser("bext", bext::tests::take(), |b| file("a.wav", b)),
        parser("ixml", bext::tests::take(), |b| file("a.wav", b)),
        parser("riff", riff::tests::wav(&[1; 400]), |b| whole(riff::fault, b)),
        parser("bmff", bmff::tests::movie(20, false), |b| whole(bmff::fault, b)),
        parser("movie", movie::tests::timecode_movie(25, 1, 25, 0, 90_000), |b| file("a.mov", b)),
        parser("braw", braw_frame, |b| {
            let mut to = form::Facts::by("braw");
            braw::frame(b, &mut to);
            to.list().len()
        }),
        parser("canon", canon_movie, |b| file("a.crm", b)),
        parser("mdta", slate, |b| file("a.mov", b)),
        parser("udta", user_data, |b| file("a.mov", b)),
        parser("gpmf", gpmf::tests::camera(3), |b| gpmf::facts(b).len()),
        parser("dng", dng::tests::film(), |b| file("a.dng", b)),
        parser("tiff", dng::tests::film(), |b| file("a.dng", b)),
        parser("dpx", dpx_frame, |b| file("a.dpx", b)),
        parser("exr", exr::tests::exr(), |b| file("a.exr", b) + whole(exr::fault, b)),
        parser("r3d", r3d::tests::header(), |b| file("a.r3d", b)),
        parser("mxf", mxf::tests::mxf(0, true, true), |b| mxf::find(b).map_or(0, |at| whole(|w| mxf::fault(w, at), b))),
        parser("mpegts", mpegts::tests::ts(192, 64, 0x1f), |b| {
            mpegts::shape(b).map_or(0, |shape| whole(|w| mpegts::fault(w, shape), b))
        }),
        parser("dv", dv, |b| usize::from(dv::is_here(b)) * whole(dv::fault, b)),
        parser("ebml", ebml::tests::mkv(true), |b| usize::from(ebml::is_here(b)) * whole(ebml::fault, b)),
        parser("mpl", mpl::tests::playlist(&[("00000", 1), ("00001", 6)]), |b| mpl::items(b).map_or(0, |i| i.len())),
        parser("mdpm", packs, |b| mdpm::facts(b, FrameRate::new(25, 1)).len() + usize::from(mdpm::find(b).is_some())),
        parser("mediapro", MEDIAPRO, |b| mediapro::materials(b).map_or(0, |m| m.len())),
        parser("mentions", MEDIAPRO, |b| mentions::elements(b).map_or(0, |m| m.len())),
        parser("sony_nrt", NRT, |b| sony_nrt::facts(b).map_or(0, |f| f.len())),
        parser("p2", P2, |b| p2::facts(b).map_or(0, |f| f.len()) + usize::from(p2::clip(b).is_ok())),
        parser("canon_xml", CANON, |b| canon_xml::facts(b).map_or(0, |f| f.len())),
        parser("csv_meta", CSV, |b| csv_meta::facts(b).map_or(0, |f| f.len())),
        parser("dji_srt", SRT, |b| dji_srt::facts(b).len()),
        parser("braw_sidecar", SIDECAR, |b| braw_sidecar::facts(b).map_or(0, |f| f.len())),
        parser("cube", CUBE, |b| cube::parse(b).map_or(0, |lut| lut.values.len())),
        parser("cdl", CDL, |b| cdl::parse("cdl", b).map_or(0, |list| list.all.len())),
        parser("braw_sidecar", LISTING, |b| braw_sidecar::listing_facts(b).map_or(0, |f| f.len())),
    ]
}

/// What nobody but a hostile hand writes, and the debris of broken cards.
fn hostile() -> Vec<Vec<u8>> {
    let mut laughs = "<!DOCTYPE a [<!ENTITY a0 \"ha\">".to_owned();
    for n in 1..30 {
        laughs.push_str(&format!("<!ENTITY a{n} \"&a{};&a{};\">", n - 1, n - 1));
    }
    laughs.push_str("]><NonRealTimeMeta>&a29;</NonRealTimeMeta>");
    vec![
        vec![0; 100_000],
        vec![0xff; 100_000],
        b"\x1b[2J\x1b]0;x\x07".repeat(1000),
        laughs.into_bytes(),
        "<a>".repeat(100_000).into_bytes(),
        format!("<NonRealTimeMeta {}/>", "a=\"b\" ".repeat(50_000)).into_bytes(),
        format!("<P2Main><ClipContent>{}</ClipContent></P2Main>", "<a/>".repeat(200_000)).into_bytes(),
        "[".repeat(100_000).into_bytes(),
        "{\"iso\":".repeat(100_000).into_bytes(),
        format!("Heading\nColumn\n{}\nData\n{}", "a\t".repeat(100_000), "1\t".repeat(100_000)).into_bytes(),
        ",".repeat(1 << 19).into_bytes(),
        "\"".repeat(1 << 19).into_bytes(),
        b"MPLS0100\0\0\0\x28\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        [&[0, 0, 0, 8][..], b"free"].concat().repeat(30_000),
        b"RIFF\xff\xff\xff\xffWAVELIST\0\0\0\0".to_vec(),
        "../../../etc/passwd\n\\\\server\\share\n".repeat(100).into_bytes(),
    ]
}

/// The same bytes in every encoding that they do not name.
fn recoded(good: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(good);
    let wide = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
    let (le, be) = (wide(u16::to_le_bytes), wide(u16::to_be_bytes));
    let latin: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect();
    vec![
        [&b"\xff\xfe"[..], &le].concat(),
        [&b"\xfe\xff"[..], &be].concat(),
        [&b"\xef\xbb\xbf"[..], good].concat(),
        le[..le.len() / 2 * 2 - usize::from(le.len() > 2)].to_vec(),
        le,
        be,
        latin,
        good.iter().map(|b| b ^ 0x80).collect(),
    ]
}

/// The answer, which must come in time.
fn asked(parser: &Parser, bytes: &[u8]) -> usize {
    let began = Instant::now();
    let said = (parser.says)(bytes);
    assert!(began.elapsed() < Duration::from_secs(60), "{} took {:?}", parser.name, began.elapsed());
    said
}

#[test]
fn every_parser_is_in_the_table() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/read");
    let helpers = ["facts", "form", "mod", "tests", "which", "window", "wording", "xml"];
    let known: Vec<&str> = parsers().iter().map(|p| p.name).collect();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(helpers.contains(&name.as_str()) || known.contains(&name.as_str()), "{name} is not tried here");
    }
}

#[test]
fn a_parser_says_something_of_what_it_knows_and_nothing_of_nothing() {
    for parser in parsers() {
        assert!(asked(&parser, &parser.good) > 0, "{} does not know its own bytes", parser.name);
        assert_eq!(asked(&parser, b""), 0, "{} of an empty file", parser.name);
    }
}

#[test]
fn half_a_file_says_no_more_than_the_whole_one() {
    for parser in parsers() {
        let whole = asked(&parser, &parser.good);
        for len in (0..parser.good.len()).step_by(1 + parser.good.len() / 700) {
            let said = asked(&parser, &parser.good[..len]);
            assert!(said <= whole, "{}: {said} of {len} bytes, {whole} of all", parser.name);
        }
    }
}

#[test]
fn hostile_bytes_and_other_encodings_end_every_parser_in_time() {
    let hostile = hostile();
    for parser in parsers() {
        for bytes in &hostile {
            asked(&parser, bytes);
            // Behind a beginning that the parser takes for its own.
            let head = &parser.good[..parser.good.len().min(40)];
            asked(&parser, &[head, bytes].concat());
        }
        let whole = asked(&parser, &parser.good);
        for bytes in recoded(&parser.good) {
            let said = asked(&parser, &bytes);
            assert!(said <= whole, "{} says {said} of a recoded file and {whole} of the true one", parser.name);
        }
    }
}
