//! Keyed metadata of QuickTime (`meta` with `keys` and `ilst`): Apple's, ARRI's, Android's and Atomos' keys have a
//! domain before them, Blackmagic's slate has bare ones.

use super::form::{self, Facts};
use super::window::{array_at, be32};
use super::wording;
use crate::fact::Field;
use crate::timecode::FrameRate;

pub(crate) const KEYS: usize = 64 << 10;
pub(crate) const VALUE: usize = 4096;
/// A whole ClipMain document is its value.
pub(crate) const PANASONIC: &str = "com.panasonic.Semi-Pro.metadata.xml";
const MOST: usize = 1024;

/// The names in a `keys` box; values name them by number.
pub(crate) fn keys(bytes: &[u8]) -> Vec<String> {
    let (mut at, mut out) = (8, Vec::new());
    while out.len() < MOST {
        let Some(len) = be32(bytes, at).map(|n| n as usize).filter(|n| *n >= 8) else { break };
        let Some(name) = bytes.get(at + 8..at.saturating_add(len)) else { break };
        out.push(form::text(name));
        at += len;
    }
    out
}

/// A value: type, language, then bytes. Text, and numbers as text.
fn value(bytes: &[u8]) -> Option<String> {
    let kind = be32(bytes, 0)? & 0xff_ffff;
    let rest = bytes.get(8..)?;
    let whole = |signed: bool| {
        if rest.is_empty() || rest.len() > 8 {
            return None;
        }
        let minus = signed && rest[0] & 0x80 != 0;
        let start = if minus { -1i64 } else { 0 };
        Some(rest.iter().fold(start, |n, b| n << 8 | i64::from(*b)).to_string())
    };
    match kind {
        1 => Some(form::text(rest)),
        2 => Some(encoding_rs::UTF_16BE.decode_without_bom_handling(rest).0.trim_end_matches('\0').to_owned()),
        // The second row are those of a fixed size.
        21 | 65 | 66 | 67 | 74 => whole(true),
        22 | 75 | 76 | 77 | 78 => whole(false),
        23 => array_at(rest, 0).and_then(|b| form::decimal(f32::from_be_bytes(b).into(), 3)),
        24 => array_at(rest, 0).and_then(|b| form::decimal(f64::from_be_bytes(b), 6)),
        _ => None,
    }
}

/// A value that is text.
pub(crate) fn text_of(bytes: &[u8]) -> Option<String> {
    be32(bytes, 0).filter(|kind| matches!(kind & 0xff_ffff, 1 | 2)).and_then(|_| value(bytes))
}

pub(crate) fn say(key: &str, bytes: &[u8], to: &mut Facts) {
    let Some(text) = value(bytes) else { return };
    if let Some(key) = key.strip_prefix("com.apple.quicktime.") {
        apple(key, &text, to);
    } else if let Some(key) = key.strip_prefix("com.apple.proapps.") {
        proapps(key, text, to);
    } else if let Some(key) = key.strip_prefix("com.arri.") {
        to.say(Field::Make, "ARRI");
        arri(key, &text, to);
    } else if let Some(key) = key.strip_prefix("com.android.") {
        android(key, &text, to);
    } else {
        slate(key, &text, to);
    }
}

fn apple(key: &str, text: &str, to: &mut Facts) {
    match key {
        "make" => to.say(Field::Make, text),
        "model" => to.say(Field::Model, text),
        "software" => to.say(Field::Firmware, text),
        "creationdate" => to.say(Field::RecordedAt, form::date_time(text)),
        "location.ISO6709" => to.say(Field::Gps, form::iso6709(text)),
        "content.identifier" => to.say(Field::ClipId, text),
        "camera.lens_model" => to.say(Field::Lens, text),
        "camera.lens_irisfnumber" => {
            let number = text.trim_start_matches(['F', 'f', '/']).parse::<f64>().ok();
            to.say(Field::Aperture, number.and_then(|v| form::aperture('F', v)));
        }
        "comment" | "description" | "information" => to.say(Field::Note, text),
        _ => {}
    }
}

fn proapps(key: &str, text: String, to: &mut Facts) {
    let field = match key {
        "manufacturer" => Field::Make,
        "modelname" => Field::Model,
        "serialno" => Field::Serial,
        "reel" => Field::Reel,
        "scene" => Field::Scene,
        "shot" => Field::Shot,
        _ => return,
    };
    to.say(field, text);
}

/// Numbers may be written as typed integers in tenths of a degree and thousandths of a frame a second.
fn arri(key: &str, text: &str, to: &mut Facts) {
    let number = || text.parse::<f64>().ok();
    let whole = || text.parse::<u32>().ok();
    match key.strip_prefix("camera.").or(key.strip_prefix("slate.")).unwrap_or(key) {
        "CameraModel" => to.say(Field::Model, text),
        "CameraSerialNumber" => to.say(Field::Serial, text),
        "CameraIndex" => to.say(Field::Camera, text),
        "ReelName" => to.say(Field::Reel, text),
        "SceneName" => to.say(Field::Scene, text),
        "TakeName" => to.say(Field::Take, text),
        "ClipName" => to.say(Field::ClipName, text),
        "ExposureIndexAsa" => to.count(Field::Iso, whole()),
        "WhiteBalanceKelvin" => to.count(Field::WhiteBalance, whole()),
        "WhiteBalanceTintCc" => to.say(Field::Tint, text),
        "ShutterAngle" => {
            let degrees = if text.contains('.') { number() } else { number().map(|n| n / 10.0) };
            to.say(Field::ShutterAngle, degrees.and_then(form::angle));
        }
        "SensorFps" => {
            let rate = match text.contains(['.', '/']) {
                true => FrameRate::parse(text),
                false => number().and_then(|n| FrameRate::near(if n > 1000.0 { n / 1000.0 } else { n })),
            };
            to.say(Field::SensorFps, rate.map(FrameRate::fraction));
        }
        "LensType" => to.say(Field::Lens, text),
        "ColorGammaSxS" => to.say(Field::Log, text),
        "look.name" => to.say(Field::Look, text),
        _ => {}
    }
}

fn android(key: &str, text: &str, to: &mut Facts) {
    match key {
        "manufacturer" => to.say(Field::Make, text),
        "model" => to.say(Field::Model, text),
        "version" => to.say(Field::Firmware, format!("Android {text}")),
        "capture.fps" => to.say(Field::SensorFps, FrameRate::parse(text).map(FrameRate::fraction)),
        _ => {}
    }
}

/// The slate of Blackmagic's cameras.
fn slate(key: &str, text: &str, to: &mut Facts) {
    match key {
        "manufacturer" => to.say(Field::Make, text),
        "camera_type" => to.say(Field::Model, text),
        "camera_id" => to.say(Field::Serial, text),
        "camera_number" => to.say(Field::Camera, text),
        "firmware_version" => to.say(Field::Firmware, text),
        "production_name" => to.say(Field::Project, text),
        "reel_name" => to.say(Field::Reel, text),
        "clip_number" => to.say(Field::ClipName, text),
        "scene" => to.say(Field::Scene, text),
        "take" => to.say(Field::Take, text),
        "good_take" => to.say(Field::Circled, wording::yes(text)),
        "date_recorded" => to.say(Field::RecordedAt, form::date_time(text)),
        "lens_type" => to.say(Field::Lens, text),
        "viewing_gamma" => to.say(Field::Log, text),
        "viewing_gamut" => to.say(Field::Gamut, text),
        "anamorphic" => to.say(Field::PixelAspect, squeeze(text)),
        // Whether it is used is said under another key, which may come before or after; see `done`.
        "post_3dlut_embedded_name" | "post_3dlut_sidecar_name" => to.say(Field::Look, text),
        "post_3dlut_mode" if text.eq_ignore_ascii_case("disabled") => to.say(Field::Look, OFF),
        "anamorphic_enable" if wording::yes(text) == Some("0") => to.say(Field::PixelAspect, OFF),
        _ => {}
    }
}

const OFF: &str = "off";

/// A LUT and a squeeze that are switched off are none.
pub(crate) fn done(to: &mut Facts) {
    for field in [Field::Look, Field::PixelAspect] {
        let mut said = Vec::new();
        while let Some(fact) = to.take(field) {
            said.push(fact.value);
        }
        if !said.iter().any(|v| v == OFF) {
            said.into_iter().for_each(|v| to.say(field, v));
        }
    }
}

/// `1.33x` as `133:100`.
fn squeeze(text: &str) -> Option<String> {
    let number = text.trim().strip_suffix(['x', 'X'])?.parse::<f64>().ok().filter(|n| (1.0..=4.0).contains(n))?;
    let (mut a, mut b) = ((number * 100.0).round() as u32, 100);
    let (num, den) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    Some(format!("{}:{}", num / a, den / a))
}

#[cfg(test)]
mod tests {
    use super::super::bmff::tests::atom;
    use super::super::tests::{said, samples, survives};

    /// A `meta` with these keys; a value is its type and its bytes.
    pub(crate) fn meta(values: &[(&str, u32, &[u8])]) -> Vec<u8> {
        let handler = atom(b"hdlr", &[&[0; 8], &b"mdta"[..], &[0; 14]].concat());
        let names: Vec<u8> = values.iter().flat_map(|(k, ..)| atom(b"mdta", k.as_bytes())).collect();
        let keys = atom(b"keys", &[&[0; 4], &(values.len() as u32).to_be_bytes()[..], &names].concat());
        let item = |(n, (_, kind, bytes)): (usize, &(&str, u32, &[u8]))| {
            let data = atom(b"data", &[&kind.to_be_bytes()[..], &[0; 4], bytes].concat());
            atom(&(n as u32 + 1).to_be_bytes(), &data)
        };
        let items: Vec<u8> = values.iter().enumerate().flat_map(item).collect();
        atom(b"meta", &[handler, keys, atom(b"ilst", &items)].concat())
    }

    fn movie(values: &[(&str, u32, &[u8])]) -> Vec<u8> {
        [atom(b"ftyp", b"qt  \0\0\0\0qt  "), atom(b"moov", &meta(values))].concat()
    }

    #[test]
    fn the_slate_of_a_blackmagic_camera_is_read() {
        let bytes = movie(&[
            ("manufacturer", 1, b"Blackmagic Design"),
            ("camera_type", 1, b"Blackmagic URSA Mini Pro 12K"),
            ("camera_id", 1, b"7ef33b36-a5ba-4a04-b218-0afc7eb1f8b6"),
            ("firmware_version", 1, b"7.2.1"),
            ("clip_number", 1, b"A001_04190112_C102"),
            ("reel_name", 1, b"1"),
            ("scene", 1, b"12A"),
            ("take", 1, b"99"),
            ("good_take", 22, &[1]),
            ("lens_type", 1, b"Cooke Anamorphic /i Prime Lens 50mm"),
            ("camera_number", 1, b"A"),
            ("anamorphic", 1, b"1.33x"),
            ("post_3dlut_embedded_name", 1, b"Natural.cube"),
            ("post_3dlut_mode", 1, b"Embedded"),
            ("viewing_gamma", 1, b"Blackmagic Design Film"),
            ("viewing_gamut", 1, b"Blackmagic Design"),
            ("date_recorded", 1, b"2021:04:19"),
            ("post_3dlut_embedded_data", 22, &[7; 6000]),
        ]);
        assert_eq!(
            said("a.braw", &bytes),
            [
                "mdta make=Blackmagic Design",
                "mdta model=Blackmagic URSA Mini Pro 12K",
                "mdta serial=7ef33b36-a5ba-4a04-b218-0afc7eb1f8b6",
                "mdta firmware=7.2.1",
                "mdta clip_name=A001_04190112_C102",
                "mdta reel=1",
                "mdta scene=12A",
                "mdta take=99",
                "mdta circled=1",
                "mdta lens=Cooke Anamorphic /i Prime Lens 50mm",
                "mdta camera=A",
                "mdta log=Blackmagic Design Film",
                "mdta gamut=Blackmagic Design",
                "mdta recorded_at=2021-04-19",
                "mdta look=Natural.cube",
                "mdta pixel_aspect=133:100",
            ]
        );
        survives("a.braw", &bytes);
    }

    #[test]
    fn a_look_that_is_switched_off_is_none() {
        for order in [[0, 1], [1, 0]] {
            let both: [(&str, u32, &[u8]); 2] =
                [("post_3dlut_mode", 1, b"Disabled"), ("post_3dlut_embedded_name", 1, b"a.cube")];
            assert_eq!(said("a.braw", &movie(&order.map(|n| both[n]))), [] as [&str; 0]);
        }
    }

    #[test]
    fn typed_numbers_of_arri_are_read_in_their_units() {
        let bytes = movie(&[
            ("com.arri.camera.CameraModel", 1, b"ALEXA Mini LF"),
            ("com.arri.camera.CameraSerialNumber", 77, &30_023u32.to_be_bytes()),
            ("com.arri.camera.ShutterAngle", 21, &1728u16.to_be_bytes()),
            ("com.arri.camera.SensorFps", 67, &23_976u32.to_be_bytes()),
            ("com.arri.camera.ExposureIndexAsa", 66, &800u16.to_be_bytes()),
            ("com.arri.camera.WhiteBalanceKelvin", 22, &5600u16.to_be_bytes()),
            ("com.arri.camera.look.name", 1, b"ARRI 709"),
            ("com.arri.camera.ColorGammaSxS", 1, b"LOG-C"),
        ]);
        assert_eq!(
            said("a.mov", &bytes),
            [
                "mdta make=ARRI",
                "mdta model=ALEXA Mini LF",
                "mdta serial=30023",
                "mdta shutter_angle=172.8",
                "mdta sensor_fps=24000/1001",
                "mdta iso=800",
                "mdta white_balance=5600",
                "mdta log=LOG-C",
                "mdta look=ARRI 709",
            ]
        );
        survives("a.mov", &bytes);
    }

    #[test]
    fn a_panasonic_document_is_handed_on_whole() {
        let xml = format!("<?xml version=\"1.0\"?><ClipMain>{}</ClipMain>", " ".repeat(9000));
        let bytes = movie(&[("com.panasonic.Semi-Pro.metadata.xml", 1, xml.as_bytes())]);
        let got = super::super::tests::embedded("P1000001.MOV", &bytes);
        assert_eq!((got.xml, got.facts), (vec![(super::super::facts::Xml::ClipMain, xml.into_bytes())], vec![]));
    }

    #[test]
    fn phones_say_what_they_are_and_where() {
        let Some(root) = samples() else { return };
        let of = |name: &str| said(name, &std::fs::read(root.join(name)).unwrap());
        assert_eq!(
            of("iphone/IMG_iPhoneX.mov"),
            [
                "mdta make=Apple",
                "mdta model=iPhone X",
                "mdta firmware=12.1.2",
                "mdta gps=27.1281,100.2508,0",
                "mdta recorded_at=2019-02-12T15:27:12+08:00",
            ]
        );
        assert_eq!(
            of("iphone/IMG_7943_HEVC.MOV"),
            [
                "mdta lens=iPhone 13 Pro back camera 5.7mm f/1.5",
                "mdta aperture=F1.5",
                "mdta clip_id=9B539AB8-A668-4FA6-9207-EB653A5E7E3C",
                "mdta gps=49.1989,16.6071,222.469",
                "mdta make=Apple",
                "mdta model=iPhone 13 Pro",
                "mdta firmware=26.3.1",
                "mdta recorded_at=2026-03-23T15:57:19+01:00",
            ]
        );
        assert_eq!(
            of("android/sample_sef_slow_motion_samsung.mp4"),
            ["mdta firmware=Android 10", "mdta sensor_fps=240/1"]
        );
        assert_eq!(of("android/VID_with-gps.mp4"), ["mdta firmware=Android 6.0.1", "udta gps=51.4169,-0.0806"]);
    }
}
