//! Sound: the broadcast extension of WAV (EBU Tech 3285, `bext`) and the cue points beside it; iXML is read by `ixml`.

use super::form::{self, Facts};
use super::ixml;
use super::riff::{self, Chunk};
use super::window::{Window, array_at, le32, le64};
use super::wording;
use crate::fact::{Fact, Field};
use crate::timecode::Timecode;
use std::io;

/// A description is 256 bytes, a coding history some lines more.
const BEXT: usize = 64 << 10;
const CUES: usize = 64 << 10;
/// Markers that become notes.
const MARKERS: usize = 100;

pub fn facts(w: &mut Window) -> io::Result<Vec<(Fact, &'static str)>> {
    let (mut wave, mut bext, mut ix) = (Facts::by("wave"), Facts::by("bext"), Facts::by("ixml"));
    let (mut header, mut sheet, mut sample_rate) = (None, None, None);
    let (mut cues, mut labels, mut umid) = (Vec::new(), Vec::new(), Vec::new());
    for Chunk { id, body, len } in riff::list(w)? {
        let mut read = |most: usize| w.read(body, usize::try_from(len).unwrap_or(most).min(most));
        match &id {
            b"fmt " => {
                let bytes = read(16)?;
                sample_rate = le32(&bytes, 4).filter(|n| (1..=10_000_000).contains(n));
                wave.count(Field::SampleRate, sample_rate);
                wave.count(Field::BitDepth, array_at(&bytes, 14).map(u16::from_le_bytes).map(u32::from));
            }
            b"bext" if header.is_none() => header = Some(read(BEXT)?),
            b"iXML" if sheet.is_none() => sheet = ixml::sheet(&read(ixml::MOST)?),
            b"cue " => cues = read(CUES)?,
            b"LIST" | b"list" => labels = read(CUES)?,
            b"umid" => umid = read(64)?,
            _ => {}
        }
    }
    let rate = sheet.as_ref().and_then(|s| s.rate);
    if let Some(sheet) = &sheet {
        sheet.say(&mut ix);
    }
    let reference = header.as_deref().and_then(|h| say(h, &mut bext, sheet.is_some()));
    // Both name the same moment where they agree. Where they do not, an editor has cut the file and left the sheet as
    // it was; `bext` is the one that all of them keep true, in samples of the file.
    let in_sheet = sheet.as_ref().and_then(|s| s.samples.map(|n| (n, s.sample_rate)));
    let counted = match (reference, in_sheet) {
        (Some(samples), Some((same, Some(rate)))) if samples == same => Some((samples, Some(rate))),
        (Some(samples), _) => Some((samples, sample_rate)),
        (None, Some((samples, rate))) => Some((samples, rate.or(sample_rate))),
        (None, None) => None,
    };
    if let (Some((samples, Some(sample_rate))), Some((rate, drop))) = (counted, rate) {
        let start = Timecode::from_samples(samples, sample_rate, rate, drop);
        let by = if reference.is_some() { &mut bext } else { &mut ix };
        by.say(Field::StartTc, start.map(form::timecode));
    }
    if !bext.has(Field::ClipId) && !ix.has(Field::ClipId) {
        wave.say(Field::ClipId, form::hex(&umid));
    }
    if let Some(sample_rate) = sample_rate {
        markers(&cues, &labels, sample_rate, &mut wave);
    }
    Ok([ix, bext, wave].into_iter().flat_map(Facts::list).collect())
}

/// What the header says; gives the samples since midnight. `sheet`: iXML knows tracks and ids better.
fn say(bytes: &[u8], to: &mut Facts, sheet: bool) -> Option<u64> {
    let text = |at: usize, len: usize| form::text_at(bytes, at, len);
    originator(&text(256, 32), to);
    let (date, time) = (text(320, 10), text(330, 8));
    to.say(Field::RecordedAt, form::date_time(&format!("{date} {time}")));
    let described = description(&text(0, 256), to, sheet);
    if !described {
        to.say(Field::Note, text(0, 256));
    }
    // Before version 1 these bytes were reserved. The shorter UMID fills the first half.
    if array_at(bytes, 346).map(u16::from_le_bytes) >= Some(1)
        && let Some(umid) = array_at::<64>(bytes, 348)
    {
        let basic = umid[32..].iter().all(|b| *b == 0);
        to.say(Field::ClipId, form::hex(if basic { &umid[..32] } else { &umid }));
    }
    if !sheet && !to.has(Field::ClipId) {
        to.say(Field::ClipId, text(288, 32));
    }
    // Unset in files that never saw a clock: neither a time nor a date.
    let reference = le64(bytes, 338).filter(|n| *n > 0 || !time.is_empty())?;
    to.say(Field::TimeReference, reference.to_string());
    Some(reference)
}

/// `Sound Dev: 702T S#GR1112089007`, or the name of a recorder or program as it is.
fn originator(text: &str, to: &mut Facts) {
    match text.strip_prefix("Sound Dev: ").and_then(|rest| rest.split_once(" S#")) {
        Some((model, serial)) => {
            to.say(Field::Make, "Sound Devices");
            to.say(Field::Model, model);
            to.say(Field::Serial, serial);
        }
        None => to.say(Field::Model, text),
    }
}

/// Lines of `KEY=value`. Some makers put one letter before each key: `s` Sound Devices, `g` Metacorder, `d` Pro Tools.
fn description(text: &str, to: &mut Facts, sheet: bool) -> bool {
    let mut any = false;
    for (key, value) in text.lines().filter_map(|l| l.trim().split_once('=')) {
        let bare = key.strip_prefix(['s', 'g', 'd']).filter(|k| k.starts_with(|c: char| c.is_ascii_uppercase()));
        let key = bare.unwrap_or(key).trim();
        let field = match key {
            "PROJECT" => Field::Project,
            "SCENE" => Field::Scene,
            "TAKE" => Field::Take,
            "TAPE" => Field::Reel,
            "NOTE" => Field::Note,
            "SWVER" => Field::Firmware,
            "CIRCLED" => {
                to.say(Field::Circled, wording::yes(value));
                any = true;
                continue;
            }
            "SPEED" | "UBITS" | "FILENAME" | "FRAMERATE" | "TRL" | "TRR" => {
                any = true;
                continue;
            }
            _ => {
                let number = key.strip_prefix("TRK").or(key.strip_prefix("TR")).and_then(|n| n.parse::<u16>().ok());
                any |= number.is_some();
                // The last line may be cut off at 256 bytes; iXML has them whole.
                if let Some(n) = number.filter(|_| !sheet && !value.trim().is_empty()) {
                    to.say(Field::Track, format!("{n}: {}", value.trim()));
                }
                continue;
            }
        };
        to.say(field, value);
        any = true;
    }
    any
}

/// Cue points that somebody has labelled, as notes.
fn markers(cues: &[u8], list: &[u8], sample_rate: u32, to: &mut Facts) {
    if !list.starts_with(b"adtl") {
        return;
    }
    let mut points = Vec::new();
    for n in 0..MARKERS {
        let at = 4 + n * 24;
        if n as u32 >= le32(cues, 0).unwrap_or(0) {
            break;
        }
        let (Some(id), Some(sample)) = (le32(cues, at), le32(cues, at + 20)) else { break };
        points.push((id, sample));
    }
    let mut at = 4;
    for _ in 0..2 * MARKERS {
        let (Some(kind), Some(len), Some(id)) = (list.get(at..at + 4), le32(list, at + 4), le32(list, at + 8)) else {
            break;
        };
        let label = form::text_at(list, at + 12, (len as usize).saturating_sub(4));
        if let Some((_, sample)) = points.iter().find(|(i, _)| *i == id && kind == b"labl" && !label.is_empty()) {
            let s = sample / sample_rate;
            to.say(Field::Note, format!("marker at {:02}:{:02}:{:02}: {label}", s / 3600, s / 60 % 60, s % 60));
        }
        at = (at + 8).saturating_add((len as usize).next_multiple_of(2));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::{said, samples, survives};

    fn chunk(id: &[u8], body: &[u8]) -> Vec<u8> {
        let pad = body.len() % 2;
        [id, &(body.len() as u32).to_le_bytes(), body, &vec![0; pad]].concat()
    }

    fn bext(description: &[u8], samples: u64, version: u16, umid: &[u8]) -> Vec<u8> {
        let mut out = vec![0; 602];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, description);
        put(256, b"Sound Dev: 702T S#GR1112089007");
        put(288, b"USSDVGR1112089007124001008206301");
        put(320, b"2018-12-3112:40:00");
        put(338, &samples.to_le_bytes());
        put(346, &version.to_le_bytes());
        put(348, umid);
        chunk(b"bext", &out)
    }

    const SHEET: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<BWFXML><PROJECT>BMH</PROJECT><SCENE>A101</SCENE>\
        <TAKE>1</TAKE><TAPE>18Y12M31</TAPE><CIRCLED>TRUE</CIRCLED><FILE_UID>U1</FILE_UID><NOTE>Sound & Vision</NOTE>\
        <SPEED><TIMECODE_FLAG>NDF</TIMECODE_FLAG><TIMECODE_RATE>24000/1001</TIMECODE_RATE>\
        <TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI>0</TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI>\
        <TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO>2190940753</TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO></SPEED>\
        <FILE_SET><TOTAL_FILES>2</TOTAL_FILES><FAMILY_UID>F1</FAMILY_UID>\
        <FILE_SET_INDEX>1</FILE_SET_INDEX></FILE_SET>\
        <TRACK_LIST><TRACK><CHANNEL_INDEX>3</CHANNEL_INDEX><INTERLEAVE_INDEX>1</INTERLEAVE_INDEX><NAME>Boom</NAME></TRACK>\
        </TRACK_LIST></BWFXML>";

    fn wav(chunks: &[Vec<u8>]) -> Vec<u8> {
        let fmt = [1, 0, 1, 0, 0x80, 0xbb, 0, 0, 0, 0, 0, 0, 3, 0, 24, 0];
        chunk(b"RIFF", &[&b"WAVE"[..], &chunks.concat(), &chunk(b"fmt ", &fmt), &chunk(b"data", &[0; 9])].concat())
    }

    /// A take as a recorder leaves it, its sheet padded with blanks and NUL.
    pub(crate) fn take() -> Vec<u8> {
        let sheet = [SHEET.as_bytes(), &[b' '; 40], &[0; 21]].concat();
        wav(&[
            bext(b"sSPEED=023.976-ND\r\nsTRK1=MKH\r\nsSWVER=2.67\r\n", 2_190_940_753, 1, &[]),
            chunk(b"iXML", &sheet),
        ])
    }

    #[test]
    fn a_take_says_what_recorder_and_sheet_know() {
        let bytes = take();
        assert_eq!(
            said("a.wav", &bytes),
            [
                "ixml project=BMH",
                "ixml scene=A101",
                "ixml take=1",
                "ixml reel=18Y12M31",
                "ixml note=Sound & Vision",
                "ixml circled=1",
                "ixml clip_id=U1",
                "ixml time_reference=2190940753",
                "ixml sound_set=F1",
                "ixml sound_files=2",
                "ixml sound_index=1",
                "ixml track=3: Boom",
                "bext make=Sound Devices",
                "bext model=702T",
                "bext serial=GR1112089007",
                "bext recorded_at=2018-12-31T12:40:00",
                "bext firmware=2.67",
                "bext time_reference=2190940753",
                "bext start_tc=12:39:59:00@24000/1001",
                "wave sample_rate=48000",
                "wave bit_depth=24",
            ]
        );
        survives("a.wav", &bytes[..1000]);
    }

    #[test]
    fn without_a_sheet_nobody_knows_the_rate() {
        let said = said("a.wav", &wav(&[bext(b"sSPEED=023.976-ND\r\nsTRK2=Boom\r\n", 2_190_940_753, 0, &[7; 64])]));
        assert!(said.contains(&"bext time_reference=2190940753".into()));
        assert!(said.contains(&"bext track=2: Boom".into()));
        // Version 0 has no UMID: those bytes were reserved.
        assert!(said.contains(&"bext clip_id=USSDVGR1112089007124001008206301".into()), "{said:#?}");
        assert!(!said.iter().any(|s| s.contains("start_tc")));
    }

    #[test]
    fn versions_one_and_two_have_a_umid() {
        for version in [1, 2] {
            let said = said("a.wav", &wav(&[bext(b"A day at the sea", 0, version, &[0xab; 32])]));
            assert!(said.contains(&format!("bext clip_id={}", "AB".repeat(32))), "{said:#?}");
            assert!(said.contains(&"bext note=A day at the sea".into()));
            assert!(said.contains(&"bext time_reference=0".into()));
        }
    }

    #[test]
    fn drop_frame_and_missing_flags_are_not_guessed() {
        let with = |rate: &str, flag: &str| {
            let sheet = SHEET.replace("24000/1001", rate).replace(">NDF<", &format!(">{flag}<"));
            let said = said("a.wav", &wav(&[bext(b"", 172_800_000, 0, &[]), chunk(b"iXML", sheet.as_bytes())]));
            said.into_iter().find_map(|s| Some(s.strip_prefix("bext start_tc=")?.to_owned()))
        };
        assert_eq!(with("30000/1001", "DF").as_deref(), Some("01:00:00;00@30000/1001"));
        assert_eq!(with("30000/1001", "NDF").as_deref(), Some("00:59:56:12@30000/1001"));
        assert_eq!(with("30000/1001", "").as_deref(), None);
        assert_eq!(with("25/1", "").as_deref(), Some("01:00:00:00@25/1"));
        assert_eq!(with("30/1", "DF").as_deref(), None);
        assert_eq!(with("0/1", "NDF").as_deref(), None);
    }

    #[test]
    fn text_of_another_encoding_is_read() {
        let sheet = SHEET.replace("BMH", "B?hne").into_bytes();
        let sheet: Vec<u8> = sheet.into_iter().map(|b| if b == b'?' { 0xfc } else { b }).collect();
        // The mark of the declaration was hurt with it; a recorder's own would not be.
        let sheet =
            [b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>", &sheet[sheet.iter().position(|b| *b == b'\n').unwrap()..]]
                .concat();
        let said = said("a.wav", &wav(&[bext(b"gSCENE=Stra\xdfe\r\n", 1, 0, &[]), chunk(b"iXML", &sheet)]));
        assert!(said.contains(&"ixml project=B\u{fc}hne".into()), "{said:#?}");
        assert!(said.contains(&"bext scene=Stra\u{df}e".into()), "{said:#?}");
    }

    #[test]
    fn a_recording_that_was_not_closed_still_says_what_came_before_its_sound() {
        for unset in [0, u32::MAX] {
            let mut bytes = take();
            let data = bytes.windows(4).rposition(|w| w == b"data").unwrap();
            bytes[data + 4..data + 8].copy_from_slice(&unset.to_le_bytes());
            bytes[4..8].copy_from_slice(&unset.to_le_bytes());
            assert!(said("a.wav", &bytes).contains(&"bext start_tc=12:39:59:00@24000/1001".into()));
        }
    }

    #[test]
    fn sheets_behind_large_or_odd_sound_are_found() {
        let fmt = chunk(b"fmt ", &[1, 0, 1, 0, 0x80, 0xbb, 0, 0, 0, 0, 0, 0, 3, 0, 24, 0]);
        let sheet = chunk(b"iXML", SHEET.as_bytes());
        // RF64: the length of the sound is in ds64.
        for mark in [b"RF64", b"BW64"] {
            let ds64 = [&[0; 8][..], &50u64.to_le_bytes(), &[0; 12]].concat();
            let mut bytes =
                [&mark[..], &[0xff; 4], b"WAVE", &chunk(b"ds64", &ds64), &fmt, b"data", &[0xff; 4], &[3; 50]].concat();
            bytes.extend(&sheet);
            assert!(said("a.wav", &bytes).contains(&"ixml scene=A101".into()));
        }
        // Odd sound without its pad byte.
        for pad in [&b""[..], b"\0"] {
            let data = [&b"data"[..], &9u32.to_le_bytes(), &[3; 9], pad].concat();
            let bytes = chunk(b"RIFF", &[&b"WAVE"[..], &fmt, &data, &sheet].concat());
            assert!(said("a.wav", &bytes).contains(&"ixml scene=A101".into()), "{pad:?}");
        }
    }

    #[test]
    fn real_takes_are_read() {
        let Some(root) = samples() else { return };
        let of = |name: &str| said(name, &std::fs::read(root.join("sound").join(name)).unwrap());
        for (name, expected) in [
            (
                "sounddevices/A101_1.WAV",
                &[
                    "bext start_tc=12:39:59:00@24000/1001",
                    "ixml scene=A101",
                    "ixml take=1",
                    "ixml reel=18Y12M31",
                    "ixml track=1: MKH516 A",
                    "ixml track=2: Boom",
                    "ixml sound_files=1",
                    "bext recorded_at=2018-12-31T12:40:00",
                ][..],
            ),
            (
                "sounddevices/A101_1_1.WAV",
                &["ixml sound_set=USSDVGR1112089007124001008206300", "ixml sound_files=2", "bext model=702T"],
            ),
            (
                "metacorder/Sr001-001-06_03.WAV",
                &[
                    "bext start_tc=13:36:06:04@25/1",
                    "ixml track=3: Lav Beverly",
                    "bext model=Metacorder Demo",
                    "ixml circled=0",
                ],
            ),
            (
                "zoom_F8/DISCRETE/Scene_1_2AG-T001.TAKE/Scene_1_2AG-T001_Tr1.WAV",
                &[
                    "bext start_tc=22:40:10:00@25/1",
                    "ixml note=Test 01 wavinfo",
                    "ixml track=3: BOOM",
                    "ixml sound_files=9",
                ],
            ),
            ("protools/PT_A101_4.A1.wav", &["ixml take=4", "bext time_reference=2191709524"]),
            (
                "nuendo/wavinfo_5.1.wav",
                &["bext time_reference=172800000", "bext note=wavinfo Test Project Nuendo output", "bext model=Nuendo"],
            ),
            ("cues/STE-000.wav", &["wave note=marker at 00:00:00: 01", "bext model=ZOOM Handy Recorder H4n"]),
        ] {
            let said = of(name);
            for line in expected {
                assert!(said.iter().any(|s| s == line), "{name}: {line} in {said:#?}");
            }
        }
        for name in ["nuendo/wavinfo_5.1.wav", "cues/STE-000.wav"] {
            assert!(!of(name).iter().any(|s| s.contains("start_tc")), "{name} says no rate");
        }
    }

    #[test]
    fn a_real_file_of_more_than_two_gigabytes_is_read_from_its_head() {
        let Some(root) = samples() else { return };
        let mut unpack = std::process::Command::new("gzip")
            .arg("-dc")
            .arg(root.join("sound/rf64/Testfile_SEQ_RF64_Big.wav.gz"))
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut head = Vec::new();
        use std::io::Read;
        unpack.stdout.take().unwrap().take(64 << 10).read_to_end(&mut head).unwrap();
        unpack.wait().unwrap();
        assert!(head.starts_with(b"RF64"));
        assert!(said("a.wav", &head).iter().any(|s| s.starts_with("wave sample_rate=")));
    }
}
