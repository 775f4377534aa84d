//! Every preset on every kind of picture and sound, each output read with ffprobe: few frames each, all presets in one
//! pass.

use super::media::{clip, facts, ffprobe, tool};
use goodgate::media::{Derivation, DeriveRequest, Gate, Limits, derive};
use goodgate::preset::{Container, Output, Preset, Recipe};
use std::fs::File;
use std::path::{Path, PathBuf};

const ALL: [Recipe; 5] = [
    Recipe { preset: Preset::ProresProxy, container: Container::Mov, vfr: false },
    Recipe { preset: Preset::DnxhrLb, container: Container::Mxf, vfr: false },
    Recipe { preset: Preset::DnxhrLb, container: Container::Mov, vfr: false },
    Recipe { preset: Preset::H264Intra, container: Container::Mov, vfr: false },
    Recipe::WEB,
];

/// One preset's output of a clip.
struct Made {
    recipe: Recipe,
    derived: Derivation,
}

impl Made {
    fn path(&self) -> &Path {
        match &self.derived {
            Derivation::Done { path, .. } => path,
            other => panic!("{:?}: {other:?}", self.recipe),
        }
    }

    fn note(&self) -> &str {
        match &self.derived {
            Derivation::Done { note, .. } => note.as_deref().unwrap_or_default(),
            other => panic!("{:?}: {other:?}", self.recipe),
        }
    }

    fn says(&self, stream: &str, entry: &str) -> String {
        ffprobe(self.path(), stream, entry)
    }

    fn is_relink(&self) -> bool {
        self.recipe.preset.is_relink()
    }

    fn is_mxf(&self) -> bool {
        self.recipe.container == Container::Mxf
    }
}

/// All presets of one clip, made in one pass.
fn all(path: &Path, out: &Path) -> Vec<Made> {
    let start_tc = facts(path).start_tc;
    let outputs = ALL.map(Output::Proxy);
    let clip = File::open(path).unwrap();
    let want = DeriveRequest {
        clip: clip.into(),
        beside: Vec::new(),
        finishes: &[],
        luts: &[],
        out_dir: out,
        outputs: &outputs,
        start_tc,
        reel: Some("A001"),
        name: "A",
        sprite: b"a",
        gate: &|| Gate::Go,
    };
    let made = derive(&tool(), want, &Limits::for_derive(None)).unwrap();
    ALL.into_iter().zip(made).map(|(recipe, derived)| Made { recipe, derived }).collect()
}

/// A clip of `frames` pictures made of testsrc2 with more of ffmpeg's words; kept as long as the folder.
fn picture(size: &str, rate: &str, frames: u32, more: &str) -> (tempfile::TempDir, PathBuf) {
    // At the output, too: ffmpeg guesses the rate of what it makes, and would take 119.88 for 120.
    clip("a.mov", &format!("-f lavfi -i testsrc2=s={size}:r={rate} -r {rate} -frames:v {frames} {more}"))
}

fn count(bytes: &[u8], of: &[u8]) -> usize {
    bytes.windows(of.len()).filter(|w| *w == of).count()
}

const CODEC: &str = "stream=codec_name,profile,pix_fmt";

fn codec(made: &Made) -> &'static str {
    match made.recipe.preset {
        Preset::ProresProxy => "prores,Proxy,yuv422p10le",
        Preset::DnxhrLb => "dnxhd,DNXHR LB,yuv422p",
        Preset::H264Intra => "h264,High,yuv420p",
        Preset::Web => "h264,High,yuv420p",
    }
}

#[test]
fn every_preset_keeps_every_rate_its_frames_and_its_timecode() {
    for (rate, start, frames) in [
        ("24000/1001", "10:11:12:13", 10),
        ("24/1", "23:59:59:23", 9),
        ("25/1", "00:00:00:00", 10),
        ("30000/1001", "01:00:59;28", 11),
        ("50/1", "02:00:00:49", 10),
        ("60000/1001", "00:08:59;58", 12),
        ("120000/1001", "01:00:00:00", 13),
    ] {
        let (dir, mov) = picture("256x144", rate, frames, &format!("-timecode {start} -c:v mjpeg"));
        assert_eq!(facts(&mov).start_tc.unwrap().to_string().replace(":000", ":00"), start, "{rate}");
        for made in all(&mov, dir.path()) {
            let what = format!("{rate} {:?}", made.recipe);
            assert_eq!(made.note(), "", "{what}");
            let counts = made.says("v:0", "stream=r_frame_rate,avg_frame_rate,nb_read_packets");
            // Of MXF, libav gives the nearest rate that it knows; the file has the right one.
            let rounded = made.is_mxf() && rate == "120000/1001";
            let said = if rounded { "120/1" } else { rate };
            assert_eq!(counts, format!("{said},{said},{frames}"), "{what}");
            if made.is_mxf() {
                let rate = rate.split_once('/').map(|(n, d)| [n, d].map(|t| t.parse::<u32>().unwrap().to_be_bytes()));
                let edit_rate = [&[0x4b, 0x01, 0, 8][..], rate.unwrap().as_flattened()].concat();
                let bytes = std::fs::read(made.path()).unwrap();
                let (all, right) = (count(&bytes, &edit_rate[..4]), count(&bytes, &edit_rate));
                assert!(all >= 4 && right == all, "{what}: {right} of {all}");
            }
            assert_eq!(made.says("v:0", CODEC), codec(&made), "{what}");
            if made.is_relink() {
                let (is, was) = (facts(made.path()).start_tc.unwrap(), facts(&mov).start_tc.unwrap());
                assert_eq!((is.to_string(), is.rate == was.rate), (was.to_string(), !rounded), "{what}");
                assert_eq!(made.says("v:0", "stream=has_b_frames"), "0", "{what}");
            }
        }
    }
}

#[test]
fn every_preset_of_interlaced_pictures_keeps_the_fields_or_makes_whole_pictures() {
    for (mode, fields) in [(4, ["tt", "tb"]), (5, ["bb", "bt"])] {
        let more = format!("-r 25 -vf tinterlace={mode} -timecode 01:00:00:00 -c:v mpeg2video -flags +ildct+ilme");
        let (dir, mov) = picture("720x576", "50", 20, &more);
        let frames = ffprobe(&mov, "v:0", "stream=nb_read_packets");
        assert!(fields.contains(&ffprobe(&mov, "v:0", "stream=field_order").as_str()), "mode {mode}");
        for made in all(&mov, dir.path()) {
            let what = format!("mode {mode} {:?}", made.recipe);
            assert_eq!(made.says("v:0", "stream=width,height"), "720,576", "{what}");
            let counts = made.says("v:0", "stream=r_frame_rate,nb_read_packets");
            assert_eq!(counts, format!("25/1,{frames}"), "{what}");
            let order = made.says("v:0", "stream=field_order");
            match made.recipe.preset {
                Preset::Web => assert_eq!(order, "progressive", "{what}"),
                Preset::DnxhrLb => assert_eq!(made.note(), "it is interlaced, which DNxHR can not say", "{what}"),
                _ => assert!(fields.contains(&order.as_str()), "{what}: {order}"),
            }
        }
    }
}

#[test]
fn every_preset_takes_none_to_sixteen_channels_of_sound() {
    // Each track as many channels as it says.
    for tracks in [&[][..], &[1], &[2, 1], &[6, 8], &[16], &[1; 16]] {
        let source: String = tracks.iter().map(|_| " -f lavfi -i anoisesrc=d=1:r=48000".to_owned()).collect();
        let maps: String = (0..tracks.len()).map(|n| format!(" -map {}:a", n + 1)).collect();
        let counts: String = tracks.iter().enumerate().map(|(n, c)| format!(" -ac:a:{n} {c}")).collect();
        let args = format!(
            "-f lavfi -i testsrc2=s=256x144:r=25:d=0.4{source} -map 0:v{maps} -frames:v 10 -t 0.4 \
             -c:v mjpeg -c:a pcm_s24le{counts} -timecode 01:00:00:00"
        );
        let (dir, mov) = clip("a.mov", &args);
        for made in all(&mov, dir.path()) {
            let what = format!("{tracks:?} {:?}", made.recipe);
            assert_eq!(made.says("v:0", "stream=nb_read_packets"), "10", "{what}");
            let track = |n: usize| made.says(&format!("a:{n}"), "stream=codec_name,sample_rate,channels");
            let found: Vec<String> = (0..).map(track).take_while(|t| !t.is_empty()).collect();
            let wanted: Vec<String> = match made.is_relink() {
                true => tracks.iter().map(|c| format!("pcm_s24le,48000,{c}")).collect(),
                false => tracks.iter().take(1).map(|_| "aac,48000,2".to_owned()).collect(),
            };
            assert_eq!(found, wanted, "{what}");
        }
    }
}

#[test]
fn every_preset_of_a_turned_picture_is_turned_as_often_as_the_original() {
    let (dir, flat) = picture("320x180", "25", 5, "-c:v libx264 -timecode 01:00:00:00");
    for turn in ["90", "180", "270"] {
        let turned = dir.path().join(format!("{turn}.mov"));
        let mut command = std::process::Command::new("ffmpeg");
        command.args(["-v", "error", "-i"]).arg(&flat).args(["-c", "copy", "-metadata:s:v"]);
        assert!(command.arg(format!("rotate={turn}")).arg(&turned).status().unwrap().success());
        let original = facts(&turned).video.unwrap().rotation_deg;
        assert_ne!(original, 0);
        let out = tempfile::tempdir_in(dir.path()).unwrap();
        for made in all(&turned, out.path()) {
            let what = format!("{turn} {:?}", made.recipe);
            let v = facts(made.path()).video.unwrap();
            assert_eq!((v.width, v.height), (320, 180), "{what}");
            let note = if made.is_mxf() { "it is turned, which MXF can not say" } else { "" };
            assert_eq!((v.rotation_deg, made.note()), (if made.is_mxf() { 0 } else { original }, note), "{what}");
        }
    }
}

#[test]
fn every_preset_takes_odd_sizes_ten_bits_and_transparency() {
    for (size, args, relink, web) in [
        ("321x241", "-pix_fmt rgb24 -c:v png", "320,240", "320,240"),
        ("1001x563", "-pix_fmt yuvj444p -c:v mjpeg", "1000,562", "1000,562"),
        ("270x1922", "-pix_fmt yuvj420p -c:v mjpeg", "134,960", "100,720"),
        ("256x144", "-pix_fmt yuv422p10le -c:v libx264", "256,144", "256,144"),
        ("256x144", "-pix_fmt yuv420p10le -c:v libx265 -x265-params log-level=error", "256,144", "256,144"),
        ("256x144", "-pix_fmt yuva444p10le -c:v prores_ks -profile:v 4444", "256,144", "256,144"),
        ("256x144", "-pix_fmt argb -c:v qtrle", "256,144", "256,144"),
        ("256x144", "-pix_fmt gray -c:v png", "256,144", "256,144"),
    ] {
        let (dir, mov) = picture(size, "25", 4, &format!("{args} -timecode 01:00:00:00"));
        for made in all(&mov, dir.path()) {
            let what = format!("{size} {args} {:?}", made.recipe);
            let wanted = if made.is_relink() { relink } else { web };
            if made.recipe.preset == Preset::DnxhrLb && size == "270x1922" {
                // Narrower than the codec goes.
                assert!(matches!(&made.derived, Derivation::Failed(_)), "{what}: {:?}", made.derived);
                continue;
            }
            assert_eq!(made.says("v:0", "stream=width,height,nb_read_packets"), format!("{wanted},4"), "{what}");
            assert_eq!(made.says("v:0", CODEC), codec(&made), "{what}");
        }
    }
}
