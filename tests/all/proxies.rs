//! Proxies for relinking: every property an editing program goes by, read back with ffprobe.

use super::media::{clip, facts, ffprobe, tool};
use super::place::Place;
use goodgate::media::{Derivation, DeriveRequest, Gate, Limits, derive};
use goodgate::preset::{Container, Output, Preset, Recipe};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

const PRORES: Recipe = Recipe { preset: Preset::ProresProxy, container: Container::Mov, vfr: false };
const DNXHR: Recipe = Recipe { preset: Preset::DnxhrLb, container: Container::Mxf, vfr: false };
const DNXHR_MOV: Recipe = Recipe { container: Container::Mov, ..DNXHR };
const INTRA: Recipe = Recipe { preset: Preset::H264Intra, ..PRORES };

/// Makes outputs of a clip as an ingest does, with the timecode that was read of it.
fn outputs(path: &Path, out: &Path, outputs: &[Output]) -> Vec<Derivation> {
    let start_tc = facts(path).start_tc;
    let clip = File::open(path).unwrap();
    let (reel, name) = (Some("A001"), "A001C002");
    let want = DeriveRequest {
        clip: clip.into(),
        beside: Vec::new(),
        out_dir: out,
        outputs,
        finishes: &[],
        luts: &[],
        start_tc,
        reel,
        name,
        sprite: b"A001 C002.jpg",
        gate: &|| Gate::Go,
    };
    derive(&tool(), want, &Limits::for_derive(None)).unwrap()
}

fn relink(path: &Path, out: &Path, recipe: Recipe) -> (PathBuf, u64, Option<String>) {
    let dir = tempfile::tempdir_in(out).unwrap().keep();
    match outputs(path, &dir, &[Output::Proxy(recipe)]).pop() {
        Some(Derivation::Done { path, frames, note }) => (path, frames, note),
        other => panic!("{}: {other:?}", path.display()),
    }
}

/// What ffprobe says of a file as `key=value` lines; `args` chooses what.
fn said(path: &Path, args: &str) -> Vec<String> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-of", "default=nw=1"]).args(args.split_whitespace()).arg(path);
    let out = command.output().unwrap();
    String::from_utf8_lossy(&out.stdout).lines().map(|l| l.trim().to_owned()).collect()
}

fn colour(path: &Path) -> String {
    ffprobe(path, "v:0", "stream=color_space,color_transfer,color_primaries")
}

const SHAPE: &str = "stream=codec_name,profile,width,height,pix_fmt,r_frame_rate,avg_frame_rate,nb_read_packets";

#[test]
fn a_prores_proxy_has_the_originals_frames_rate_timecode_and_names() {
    let picture = "-f lavfi -i testsrc2=s=320x180:d=2:r=24000/1001 -f lavfi -i anoisesrc=d=3:r=48000";
    let (dir, mov) = clip("a.mov", &format!("{picture} -shortest -timecode 10:11:12:13 -c:v mjpeg -c:a pcm_s24le"));
    let frames = ffprobe(&mov, "v:0", "stream=nb_read_packets");
    let (proxy, made, note) = relink(&mov, dir.path(), PRORES);
    assert_eq!((made.to_string(), note), (frames.clone(), None));
    let shape = format!("prores,Proxy,320,180,yuv422p10le,24000/1001,24000/1001,{frames}");
    assert_eq!(ffprobe(&proxy, "v:0", SHAPE), shape);
    assert_eq!(ffprobe(&proxy, "v:0", "stream=codec_tag_string"), "apco");
    assert_eq!(ffprobe(&proxy, "d:0", "stream=codec_tag_string"), "tmcd");
    assert_eq!(ffprobe(&proxy, "d:0", "stream_tags=timecode,reel_name"), "A001,10:11:12:13");
    assert_eq!(ffprobe(&proxy, "a:0", "stream=codec_name,sample_rate,channels"), "pcm_s24le,48000,1");
    assert!(said(&proxy, "-show_entries format_tags").contains(&"TAG:title=A001C002".to_owned()));
    assert_eq!(facts(&proxy).start_tc, facts(&mov).start_tc);
    let bytes = std::fs::read(&proxy).unwrap();
    let has = |name: &[u8]| bytes.windows(name.len()).any(|w| w == name);
    assert!(has(b"apl0") && !has(b"elst"), "the vendor is Apple's word, and nothing is edited");
}

#[test]
fn drop_frame_stays_drop_frame() {
    let (dir, mov) = clip("a.mov", "-f lavfi -i testsrc2=s=256x144:d=1:r=30000/1001 -timecode 01:00:59;28 -c:v mjpeg");
    for recipe in [PRORES, DNXHR, DNXHR_MOV, INTRA] {
        let (proxy, frames, note) = relink(&mov, dir.path(), recipe);
        assert_eq!((frames, note), (30, None), "{recipe:?}");
        assert_eq!(facts(&proxy).start_tc.unwrap().to_string(), "01:00:59;28", "{recipe:?}");
        assert_eq!(ffprobe(&proxy, "v:0", "stream=r_frame_rate,nb_read_packets"), "30000/1001,30", "{recipe:?}");
    }
}

#[test]
fn fast_pictures_keep_their_own_timecode_and_one_that_counts_half_of_them() {
    let fast = "-f lavfi -i testsrc2=s=256x144:d=1:r=60000/1001";
    let (dir, mov) = clip("a.mov", &format!("{fast} -timecode 01:00:59;58 -c:v mjpeg"));
    let (proxy, frames, _) = relink(&mov, dir.path(), PRORES);
    assert_eq!(frames, 60);
    assert_eq!(facts(&proxy).start_tc.unwrap().to_string(), "01:00:59;58");
    // The same picture beside a track that counts 29.97.
    let (_keep, slow) =
        clip("slow.mov", "-f lavfi -i testsrc2=s=256x144:d=1:r=30000/1001 -timecode 01:00:59;29 -c:v mjpeg");
    let both = dir.path().join("both.mov");
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&mov)
        .arg("-i")
        .arg(&slow)
        .args(["-map", "0:v", "-map", "1:d", "-c", "copy", "-copy_unknown"])
        .arg(&both)
        .status();
    assert!(status.unwrap().success());
    let start = facts(&both).start_tc.unwrap();
    assert_eq!((start.rate.fraction().as_str(), start.frame), ("30000/1001", facts(&slow).start_tc.unwrap().frame));
    for recipe in [PRORES, DNXHR] {
        let (proxy, frames, _) = relink(&both, dir.path(), recipe);
        let tc = facts(&proxy).start_tc.unwrap();
        assert_eq!((frames, tc.rate.fraction().as_str(), tc.frame), (60, "60000/1001", start.frame * 2), "{recipe:?}");
    }
}

#[test]
fn interlaced_pictures_keep_their_fields() {
    let lines = "-f lavfi -i testsrc2=s=720x576:d=1:r=50 -vf tinterlace=4,setdar=16/9";
    for codec in ["mpeg2video -flags +ildct+ilme", "libx264 -flags +ildct+ilme -bf 2"] {
        let (dir, mov) = clip("a.mov", &format!("{lines} -timecode 01:00:00:00 -c:v {codec}"));
        let shape = "stream=width,height,sample_aspect_ratio,r_frame_rate,nb_read_packets,field_order";
        let original = ffprobe(&mov, "v:0", "stream=field_order");
        assert!(["tt", "tb"].contains(&original.as_str()), "{original}");
        for recipe in [PRORES, INTRA] {
            let (proxy, frames, _) = relink(&mov, dir.path(), recipe);
            assert_eq!(frames, 25);
            let is = ffprobe(&proxy, "v:0", shape);
            assert!(is.starts_with("720,576,64:45,t") && is.ends_with(",25/1,25"), "{recipe:?} {codec}: {is}");
        }
    }
}

#[test]
fn pixels_keep_a_shape_that_only_the_container_knows() {
    for (num, den) in [(4, 3), (152, 135)] {
        let shape = format!("setsar={num}/{den}:max=1000");
        let args = format!("-f lavfi -i testsrc2=s=360x270:d=0.2:r=25 -vf {shape} -c:v prores_ks");
        let (dir, mov) = clip("a.mov", &args);
        assert_eq!(facts(&mov).video.unwrap().pixel_aspect, Some((num, den)));
        for recipe in [PRORES, DNXHR, DNXHR_MOV, INTRA, Recipe::WEB] {
            let (proxy, _, note) = relink(&mov, dir.path(), recipe);
            assert_eq!(note, None, "{recipe:?}");
            let wanted = format!("360,270,{num}:{den}");
            assert_eq!(ffprobe(&proxy, "v:0", "stream=width,height,sample_aspect_ratio"), wanted, "{recipe:?}");
        }
    }
    let (dir, mov) = clip("a.mov", "-f lavfi -i testsrc2=s=360x270:d=0.2:r=25 -vf setsar=4/3 -c:v prores_ks");
    outputs(&mov, dir.path(), &[Output::Poster, Output::Filmstrip]);
    let sizes =
        ["poster.jpg", "filmstrip.jpg"].map(|name| ffprobe(&dir.path().join(name), "v:0", "stream=width,height"));
    assert_eq!(sizes, ["480,270", "1600,180"]);
    // Long enough to be only glanced at.
    let (dir, mov) = clip("a.mov", "-f lavfi -i testsrc2=s=64x48:d=10:r=25 -vf setsar=4/3 -c:v prores_ks");
    outputs(&mov, dir.path(), &[Output::Poster]);
    assert_eq!(ffprobe(&dir.path().join("poster.jpg"), "v:0", "stream=width,height"), "84,48");
}

#[test]
fn sound_keeps_its_tracks_and_channels() {
    let four = "-f lavfi -i testsrc2=s=256x144:d=1:r=25 -f lavfi -i sine=d=1:r=48000 -f lavfi -i anoisesrc=d=1:r=48000";
    let args = format!(
        "{four} -map 0 -map 1 -map 2 -map 1 -map 2 -c:v mjpeg -c:a pcm_s16le -c:a:3 pcm_s24le -ac:a:2 2 -timecode 01:00:00:00"
    );
    let (dir, mov) = clip("a.mov", &args);
    let tracks = ["pcm_s16le,48000,1", "pcm_s16le,48000,1", "pcm_s16le,48000,2", "pcm_s24le,48000,1"];
    for recipe in [PRORES, DNXHR, INTRA] {
        let (proxy, ..) = relink(&mov, dir.path(), recipe);
        for (n, track) in tracks.iter().enumerate() {
            let is = ffprobe(&proxy, &format!("a:{n}"), "stream=codec_name,sample_rate,channels");
            assert_eq!(is, *track, "{recipe:?} track {n}");
        }
        assert_eq!(ffprobe(&proxy, "a:4", "stream=codec_name"), "");
    }
}

#[test]
fn sound_that_editing_programs_trip_over_is_a_note() {
    let args = |rates: [u32; 2], maps: usize| {
        let maps = " -map 2".repeat(maps);
        let [a, b] = rates.map(|r| format!("-f lavfi -i anoisesrc=d=1:r={r}"));
        format!("-f lavfi -i testsrc2=s=64x48:d=1:r=25 {a} {b} -map 0 -map 1{maps} -c:v mjpeg -c:a pcm_s16le")
    };
    for (args, note) in [
        (args([48_000, 48_000], 15), None),
        (args([48_000, 48_000], 16), Some("17 channels of sound are more than some programs take")),
        (args([48_000, 44_100], 1), Some("its tracks have different sample rates")),
    ] {
        let (dir, mov) = clip("a.mov", &args);
        assert_eq!(relink(&mov, dir.path(), PRORES).2.as_deref(), note);
    }
}

#[test]
fn sound_is_copied_sample_for_sample() {
    let noise = "-f lavfi -i testsrc2=s=256x144:d=1:r=25 -f lavfi -i anoisesrc=d=1:r=48000:seed=7";
    let (dir, mov) = clip("a.mov", &format!("{noise} -ac 2 -c:v mjpeg -c:a pcm_s24le"));
    let (proxy, ..) = relink(&mov, dir.path(), PRORES);
    let md5 = |path: &Path| {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-i"]).arg(path).args(["-map", "0:a", "-f", "md5", "-"]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(md5(&mov).starts_with("MD5="));
    assert_eq!(md5(&proxy), md5(&mov));
}

#[test]
fn mxf_holds_the_whole_picture_when_the_sound_is_shorter() {
    let short = "-f lavfi -i testsrc2=s=256x144:d=2:r=25 -f lavfi -i sine=d=1:r=44100";
    let (dir, mov) = clip("a.mov", &format!("{short} -c:v mjpeg -c:a pcm_s16le -timecode 01:00:00:00"));
    let (proxy, frames, note) = relink(&mov, dir.path(), DNXHR);
    assert_eq!((frames, note.as_deref()), (50, Some("its sound is at 48 kHz, as MXF wants it")));
    assert_eq!(ffprobe(&proxy, "v:0", "stream=codec_name,profile,nb_read_packets"), "dnxhd,DNXHR LB,50");
    assert_eq!(ffprobe(&proxy, "a:0", "stream=sample_rate,channels"), "48000,1");
    assert_eq!(ffprobe(&proxy, "v:0", "stream_tags=reel_name"), "A001");
    assert!(said(&proxy, "-show_entries format_tags").contains(&"TAG:material_package_name=A001C002".to_owned()));
}

#[test]
fn a_large_picture_is_halved_and_an_odd_pixel_stays_odd() {
    for (size, becomes) in [("3840x2160", "1920,1080"), ("4096x2304", "1024,576"), ("960x506", "960,506")] {
        let (dir, mov) =
            clip("a.mov", &format!("-f lavfi -i testsrc2=s={size}:r=25 -frames:v 3 -vf setsar=4/3 -c:v mjpeg"));
        for recipe in [PRORES, DNXHR_MOV] {
            let (proxy, frames, _) = relink(&mov, dir.path(), recipe);
            assert_eq!(frames, 3);
            let is = ffprobe(&proxy, "v:0", "stream=width,height,sample_aspect_ratio");
            assert_eq!(is, format!("{becomes},4:3"), "{size} {recipe:?}");
        }
    }
}

#[test]
fn a_turned_picture_is_not_turned_again() {
    let (dir, flat) = clip("flat.mp4", "-f lavfi -i testsrc2=s=320x180:d=1:r=25 -c:v libx264");
    let turned = dir.path().join("turned.mp4");
    let args = ["-v", "error", "-i", flat.to_str().unwrap(), "-c", "copy", "-metadata:s:v", "rotate=90"];
    assert!(Command::new("ffmpeg").args(args).arg(&turned).status().unwrap().success());
    let original = facts(&turned).video.unwrap();
    assert_ne!(original.rotation_deg, 0);
    let (proxy, _, note) = relink(&turned, dir.path(), PRORES);
    let v = facts(&proxy).video.unwrap();
    assert_eq!((v.width, v.height, v.rotation_deg, note), (320, 180, original.rotation_deg, None));
    let (_, _, note) = relink(&turned, dir.path(), DNXHR);
    assert!(note.unwrap().contains("turned"));
}

#[test]
fn colour_tags_are_those_of_the_original_and_none_are_invented() {
    let picture = "-f lavfi -i testsrc2=s=256x144:d=1:r=25 -pix_fmt yuv420p10le";
    let pq = "-vf setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv";
    let (dir, hdr) = clip("pq.mov", &format!("{picture} {pq} -c:v libx264"));
    assert_eq!(colour(&hdr), "bt2020nc,smpte2084,bt2020");
    for recipe in [PRORES, DNXHR, DNXHR_MOV, INTRA] {
        let (proxy, ..) = relink(&hdr, dir.path(), recipe);
        assert_eq!(colour(&proxy), "bt2020nc,smpte2084,bt2020", "{recipe:?}");
    }
    let (dir, plain) = clip("plain.mov", &format!("{picture} -c:v libx264"));
    assert_eq!(colour(&plain), "unknown,unknown,unknown");
    for recipe in [PRORES, INTRA] {
        let (proxy, ..) = relink(&plain, dir.path(), recipe);
        assert_eq!(colour(&proxy), "unknown,unknown,unknown", "{recipe:?}");
    }
    assert_eq!(ffprobe(&relink(&plain, dir.path(), INTRA).0, "v:0", "stream=color_range"), "unknown");
    // Its bitstream has no word for "not known".
    let (proxy, ..) = relink(&plain, dir.path(), DNXHR_MOV);
    assert!(colour(&proxy).ends_with(",unknown,unknown"), "{}", colour(&proxy));
}

const BT601: &str = "-vf setparams=color_primaries=smpte170m:color_trc=smpte170m:colorspace=smpte170m:range=tv";

#[test]
fn a_curve_that_mxf_has_no_word_for_comes_back_as_its_twin() {
    let picture = "-f lavfi -i testsrc2=s=256x144:d=0.2:r=25 -pix_fmt yuv420p";
    let (dir, old) = clip("a.mov", &format!("{picture} {BT601} -c:v libx264"));
    assert_eq!(colour(&relink(&old, dir.path(), DNXHR).0), "bt709,bt709,smpte170m");
    assert_eq!(colour(&relink(&old, dir.path(), DNXHR_MOV).0), "bt709,smpte170m,smpte170m");
    let wide = BT601.replace("trc=smpte170m:colorspace=smpte170m", "trc=bt2020-12:colorspace=bt2020nc");
    let (dir, wide) = clip("a.mov", &format!("{picture} {wide} -c:v libx264"));
    assert_eq!(colour(&relink(&wide, dir.path(), DNXHR).0), "bt2020nc,bt2020-10,smpte170m");
}

const ORANGE: [u8; 3] = [0xc0, 0x40, 0x20];

/// The middle of the first frame, by its tags, is orange.
#[track_caller]
fn assert_orange(path: &Path, what: &str) {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(path).args(["-frames:v", "1", "-vf"]);
    command.args(["scale=flags=accurate_rnd+full_chroma_int,crop=2:2,format=rgb24", "-f", "rawvideo", "-"]);
    let is = command.output().unwrap().stdout;
    let far = std::iter::zip(&is, ORANGE).map(|(a, b)| a.abs_diff(b)).max();
    assert!(far.is_some_and(|far| far < 6), "{} of {what}: {:?}", path.display(), is.get(..3));
}

#[test]
fn a_matrix_that_dnxhr_can_not_say_is_converted_for_it_alone() {
    let picture = "-f lavfi -i color=0xC04020:s=256x144:d=0.2:r=25";
    for (codec, own) in [
        (format!("{BT601} -pix_fmt yuv420p -c:v libx264"), "smpte170m,smpte170m,smpte170m"),
        ("-pix_fmt yuvj420p -c:v mjpeg".to_owned(), "bt470bg,unknown,unknown"),
    ] {
        let (dir, mov) = clip("a.mov", &format!("{picture} {codec}"));
        assert_eq!(colour(&mov), own);
        outputs(&mov, dir.path(), &[DNXHR, PRORES, INTRA, Recipe::WEB].map(Output::Proxy));
        for name in ["dnxhr-lb.mxf", "prores-proxy.mov", "h264-intra.mov", "web.mp4"] {
            let proxy = dir.path().join(name);
            let tags = colour(&proxy);
            assert!(if name.ends_with("mxf") { tags.starts_with("bt709,") } else { tags == own }, "{name}: {tags}");
            assert_orange(&proxy, own);
        }
    }
}

#[test]
fn what_was_rgb_says_the_matrix_that_it_was_given() {
    let picture = "-f lavfi -i color=0xC04020:s=256x144:d=0.2:r=25 -pix_fmt rgb24 -c:v png";
    let (dir, mov) = clip("a.mov", picture);
    outputs(&mov, dir.path(), &[PRORES, DNXHR, INTRA, Recipe::WEB].map(Output::Proxy));
    for name in ["prores-proxy.mov", "dnxhr-lb.mxf", "h264-intra.mov", "web.mp4"] {
        let proxy = dir.path().join(name);
        assert_eq!(colour(&proxy), "bt709,unknown,unknown", "{name}");
        assert_orange(&proxy, "RGB");
    }
}

#[test]
fn stills_have_the_clips_colours_whatever_its_matrix() {
    let picture = "-f lavfi -i color=0xC04020:s=256x144:d=0.2:r=25 -vf";
    let yuv = |matrix: &str| format!("scale=out_color_matrix={matrix},setparams=colorspace={matrix} -c:v libx264");
    for codec in [
        yuv("bt709") + " -pix_fmt yuv420p",
        yuv("smpte170m") + " -pix_fmt yuv420p",
        yuv("bt2020nc") + " -pix_fmt yuv420p10le",
        "null -pix_fmt yuvj420p -c:v mjpeg".to_owned(),
        "null -pix_fmt rgb24 -c:v png".to_owned(),
        // Says nothing: BT.709 by its size.
        "scale=64:720:out_color_matrix=bt709 -pix_fmt yuv420p -c:v libx264".to_owned(),
    ] {
        let (dir, mov) = clip("a.mov", &format!("{picture} {codec}"));
        for beside in [&[][..], &[Output::Proxy(Recipe::WEB)], &[Output::Proxy(PRORES)]] {
            let out = tempfile::tempdir_in(dir.path()).unwrap();
            outputs(&mov, out.path(), &[beside, &[Output::Poster, Output::Filmstrip]].concat());
            for name in ["poster.jpg", "filmstrip.jpg"] {
                assert_orange(&out.path().join(name), &format!("{codec} beside {beside:?}"));
            }
        }
    }
}

#[test]
fn full_range_becomes_the_range_that_editing_codecs_have() {
    let (dir, mov) = clip("a.mov", "-f lavfi -i color=white:s=256x144:d=1:r=25 -pix_fmt yuvj420p -c:v mjpeg");
    let (proxy, ..) = relink(&mov, dir.path(), PRORES);
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&proxy)
        .args(["-frames:v", "1", "-pix_fmt", "yuv422p", "-f", "rawvideo", "-"])
        .output()
        .unwrap();
    let white = out.stdout[64 * 256 + 64];
    assert!((233..=237).contains(&white), "{white}");
}

#[test]
fn a_varying_frame_rate_gets_no_relink_proxy_unless_it_is_asked_for() {
    // Every seventh picture is missing.
    let args = "-f lavfi -i testsrc2=s=256x144:d=4:r=30 -vf select=mod(n\\,7) -vsync vfr -c:v libx264 -bf 0";
    let (dir, mov) = clip("a.mov", args);
    let v = facts(&mov).video.unwrap();
    assert_ne!(v.rate, v.average_rate);
    let made = outputs(&mov, dir.path(), &[Output::Proxy(PRORES), Output::Proxy(Recipe::WEB)]);
    assert!(matches!(&made[0], Derivation::Unsupported(why) if why.contains("varies")), "{made:?}");
    assert!(matches!(&made[1], Derivation::Done { .. }), "{made:?}");
    assert!(!dir.path().join("prores-proxy.mov").exists());
    let frames = ffprobe(&mov, "v:0", "stream=nb_read_packets");
    let (proxy, made, _) = relink(&mov, dir.path(), Recipe { vfr: true, ..PRORES });
    assert_eq!(made.to_string(), frames);
    assert_eq!(ffprobe(&proxy, "v:0", "stream=nb_read_packets"), frames);
}

#[test]
fn one_pass_makes_all_and_each_fails_alone() {
    // MXF knows no 17 frames a second.
    let (dir, mov) = clip("a.mov", "-f lavfi -i testsrc2=s=320x180:d=1:r=17 -timecode 01:00:00:00 -c:v mjpeg");
    let all = [PRORES, DNXHR, INTRA, Recipe::WEB].map(Output::Proxy);
    let made = outputs(&mov, dir.path(), &[&all[..], &[Output::Poster]].concat());
    let done = |d: &Derivation| matches!(d, Derivation::Done { .. });
    assert_eq!(made.iter().map(done).collect::<Vec<_>>(), [true, false, true, true, true], "{made:?}");
    assert!(!dir.path().join("dnxhr-lb.mxf").exists());
    for (file, frames) in [("prores-proxy.mov", "17"), ("h264-intra.mov", "17"), ("web.mp4", "17"), ("poster.jpg", "1")]
    {
        assert_eq!(ffprobe(&dir.path().join(file), "v:0", "stream=nb_read_packets"), frames, "{file}");
    }
}

#[test]
fn a_clip_that_lost_frames_gets_no_relink_proxy_and_says_why() {
    let (dir, mp4) =
        clip("a.mp4", "-f lavfi -i testsrc2=s=256x144:d=2:r=25 -c:v libx264 -g 10 -bf 0 -movflags +faststart");
    let file = File::options().write(true).open(&mp4).unwrap();
    file.set_len(file.metadata().unwrap().len() * 2 / 3).unwrap();
    let made = outputs(&mp4, dir.path(), &[Output::Proxy(PRORES), Output::Proxy(Recipe::WEB)]);
    assert!(matches!(&made[0], Derivation::Failed(why) if why.contains("of 50 frames can be decoded")), "{made:?}");
    assert!(matches!(&made[1], Derivation::Done { .. }), "{made:?}");
}

#[test]
fn sound_alone_is_cut_as_it_is() {
    let (dir, wav) = clip("a.wav", "-f lavfi -i sine=r=48000:d=1");
    let made = outputs(&wav, dir.path(), &[Output::Proxy(PRORES), Output::Proxy(Recipe::WEB)]);
    assert!(matches!(&made[0], Derivation::Unsupported(why) if why.contains("no picture")), "{made:?}");
    assert!(matches!(&made[1], Derivation::Done { .. }), "{made:?}");
}

/// The text of one output.
fn text(made: &Derivation) -> String {
    match made {
        Derivation::Done { path, .. } => std::fs::read_to_string(path).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn json(made: &Derivation) -> serde_json::Value {
    serde_json::from_str(&text(made)).unwrap()
}

#[test]
fn a_filmstrip_covers_the_whole_clip_and_its_index_says_which_tile_is_when() {
    let (dir, mov) = clip("a.mov", "-f lavfi -i testsrc2=s=640x360:d=6:r=25 -c:v mjpeg");
    let made = outputs(&mov, dir.path(), &[Output::Filmstrip, Output::FilmstripIndex]);
    // 150 frames, every second one: 75 tiles in rows of ten.
    assert_eq!(ffprobe(&dir.path().join("filmstrip.jpg"), "v:0", "stream=codec_name,width,height"), "mjpeg,3200,1440");
    let index = text(&made[1]);
    let cues: Vec<&str> = index.split("\n\n").skip(1).map(str::trim).collect();
    assert!(index.starts_with("WEBVTT\n\n"));
    assert_eq!(cues.len(), 75);
    assert_eq!(cues[0], "00:00:00.000 --> 00:00:00.080\nA001%20C002.jpg#xywh=0,0,320,180");
    assert_eq!(cues[11], "00:00:00.880 --> 00:00:00.960\nA001%20C002.jpg#xywh=320,180,320,180");
    assert!(cues[74].starts_with("00:00:05.920 --> 00:00:06.000\n"), "{}", cues[74]);
}

#[test]
fn a_turned_clip_has_upright_tiles() {
    let (dir, flat) = clip("flat.mp4", "-f lavfi -i testsrc2=s=640x360:d=1:r=25 -c:v libx264");
    let turned = dir.path().join("turned.mp4");
    let args = ["-v", "error", "-i", flat.to_str().unwrap(), "-c", "copy", "-metadata:s:v", "rotate=90"];
    assert!(Command::new("ffmpeg").args(args).arg(&turned).status().unwrap().success());
    let made = outputs(&turned, dir.path(), &[Output::Filmstrip, Output::FilmstripIndex]);
    assert!(text(&made[1]).contains("#xywh=320,0,320,568"), "{}", text(&made[1]));
}

#[test]
fn a_waveform_is_what_audiowaveform_writes() {
    let args = "-f lavfi -i testsrc2=s=128x96:d=2:r=25 -f lavfi -i sine=r=48000:d=2 -af volume=4,apad=whole_len=96000 -c:v mjpeg -c:a pcm_s16le";
    let (dir, mov) = clip("a.mov", args);
    let made = outputs(&mov, dir.path(), &[Output::Waveform]);
    let w = json(&made[0]);
    assert_eq!((&w["version"], &w["channels"], &w["bits"]), (&2.into(), &1.into(), &8.into()));
    assert_eq!((&w["sample_rate"], &w["samples_per_pixel"], &w["length"]), (&48_000.into(), &256.into(), &375.into()));
    let data: Vec<i64> = w["data"].as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect();
    assert_eq!(data.len(), 750);
    // The tone swings to half of full scale: 1/8 times 4.
    assert!(data.chunks(2).all(|p| (-66..=-60).contains(&p[0]) && (60..=66).contains(&p[1])), "{data:?}");
}

#[test]
fn findings_name_black_frozen_silent_and_clipped_stretches_and_the_loudness() {
    // Moving, black, frozen.
    let args = "-f lavfi -i testsrc2=s=320x180:d=2:r=25 -f lavfi -i color=black:s=320x180:d=2:r=25 \
                -f lavfi -i smptebars=s=320x180:d=3:r=25 -f lavfi -i aevalsrc=sin(2*PI*997*t)*lt(t\\,3):s=48000:d=7 \
                -f lavfi -i aevalsrc=2*sin(2*PI*50*t)*lt(t\\,1):s=48000:d=7 \
                -filter_complex [0][1][2]concat=n=3:v=1[v] -map [v] -map 3 -map 4 -c:v mjpeg -q:v 2 -c:a pcm_s16le";
    let (dir, mov) = clip("a.mov", args);
    let made = outputs(&mov, dir.path(), &[Output::Qc]);
    let qc = json(&made[0]);
    assert_eq!(qc["frames"], 175);
    let stretch = |v: &serde_json::Value| (v["from"].as_u64().unwrap(), v["to"].as_u64().unwrap());
    assert_eq!(qc["black"].as_array().unwrap().iter().map(stretch).collect::<Vec<_>>(), [(50, 99)]);
    assert_eq!(qc["frozen"].as_array().unwrap().iter().map(stretch).collect::<Vec<_>>(), [(101, 174)]);
    assert!(qc["decode_errors"].as_array().unwrap().is_empty() && qc["timestamp_gaps"].as_array().unwrap().is_empty());
    let tracks = qc["tracks"].as_array().unwrap();
    assert_eq!(tracks.len(), 2);
    // EBU R 128: 997 Hz at full scale in one channel is -3.01 LUFS (BS.1770); gating leaves out the silence.
    let lufs = tracks[0]["loudness_lufs"].as_f64().unwrap();
    assert!((-3.5..=-2.5).contains(&lufs), "{lufs}");
    let channel = &tracks[0]["channels"][0];
    assert!(channel["peak_dbfs"].as_f64().unwrap() > -0.1 && channel["silent"] == false, "{channel}");
    let silent = stretch(&channel["silent_stretches"][0]);
    assert!(silent.0.abs_diff(144_000) < 100 && silent.1 == 335_999, "{silent:?}");
    let clipped = tracks[1]["channels"][0]["clipped"].as_array().unwrap();
    // Both halves of each of fifty waves, told once.
    assert_eq!(clipped.len(), 1, "{clipped:?}");
}

#[test]
fn a_silent_track_is_called_silent() {
    let args =
        "-f lavfi -i testsrc2=s=128x96:d=3:r=25 -f lavfi -i anullsrc=r=48000:cl=mono:d=3 -c:v mjpeg -c:a pcm_s16le";
    let (dir, mov) = clip("a.mov", args);
    let qc = json(&outputs(&mov, dir.path(), &[Output::Qc])[0]);
    let track = &qc["tracks"][0];
    assert_eq!((&track["loudness_lufs"], &track["channels"][0]["peak_dbfs"]), (&().into(), &().into()));
    assert_eq!(track["channels"][0]["silent"], true);
}

#[test]
fn damage_is_named_with_its_frame() {
    let (dir, mov) = clip("a.mov", "-f lavfi -i testsrc2=s=128x96:d=2:r=25 -c:v libx264 -g 1 -bf 0");
    let out = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", "packet=pos,size", "-of", "csv=p=0"])
        .arg(&mov)
        .output()
        .unwrap();
    let packets = String::from_utf8(out.stdout).unwrap();
    let (size, pos) = packets.lines().nth(20).unwrap().trim_matches(',').split_once(',').unwrap();
    let mut bytes = std::fs::read(&mov).unwrap();
    let (pos, size): (usize, usize) = (pos.parse().unwrap(), size.parse().unwrap());
    bytes[pos + 60..pos + size - 4].fill(0xff);
    std::fs::write(&mov, bytes).unwrap();
    let qc = json(&outputs(&mov, dir.path(), &[Output::Qc])[0]);
    let frames: Vec<u64> =
        qc["decode_errors"].as_array().unwrap().iter().map(|d| d["frame"].as_u64().unwrap()).collect();
    assert!(frames.contains(&20) && frames.iter().all(|f| (20..=21).contains(f)), "{qc}");
}

/// A station whose card holds one clip.
fn station() -> Place {
    let place = Place::new();
    let (_dir, mov) = clip("a.mov", "-f lavfi -i testsrc2=s=320x180:d=1:r=25 -c:v mjpeg -timecode 01:00:00:00");
    std::fs::copy(mov, place.card().join("CLIPS/A001C001.mov")).unwrap();
    place
}

fn offload(place: &Place) -> serde_json::Value {
    place.run(&["offload", "card/A001", "--to", "a", "--to", "b", "--json"]).expect(0);
    place.run(&["show", "A001C001", "--json"]).expect(0).json()["clip"].clone()
}

/// Preset, state, and the path below the media root.
fn rows(place: &Place, clip: &serde_json::Value) -> Vec<(String, String, String)> {
    let root = format!("{}/", place.path("state/goodgate/media").display());
    let word = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    let row = |p: &serde_json::Value| {
        (word(&p["preset"]), word(&p["state"]), word(&p["path"]).trim_start_matches(&root).to_owned())
    };
    clip["proxies"].as_array().unwrap().iter().map(row).collect()
}

#[test]
fn an_offload_makes_the_proxies_of_the_settings_where_the_cards_tree_says() {
    let place = station();
    let made = |name: &str, folder: &str, ext: &str| {
        (name.to_owned(), "ok".to_owned(), format!("A001/{folder}/CLIPS/A001C001{ext}"))
    };
    let defaults = [
        made("filmstrip", "filmstrip", ".jpg"),
        made("filmstrip-index", "filmstrip", ".vtt"),
        made("poster", "poster", ".jpg"),
        made("prores-proxy", "prores-proxy", ".mov"),
        made("qc", "qc", ".json"),
        made("web", "web", ".mp4"),
    ];
    let clip = offload(&place);
    assert_eq!((&clip["media"], &clip["media_note"]), (&"ok".into(), &().into()), "{clip}");
    assert_eq!(rows(&place, &clip), defaults);
    let proxy = place.path("state/goodgate/media/A001/prores-proxy/CLIPS/A001C001.mov");
    assert_eq!(ffprobe(&proxy, "d:0", "stream_tags=reel_name"), "A001");
    let index = place.path("state/goodgate/media/A001/filmstrip/CLIPS/A001C001.vtt");
    assert!(std::fs::read_to_string(index).unwrap().contains("\nA001C001.jpg#xywh="));
    // Another preset later, and one that somebody deleted: only those are made.
    let web = place.path("state/goodgate/media/A001/web/CLIPS/A001C001.mp4");
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
    let before = inode(&web);
    std::fs::remove_file(&proxy).unwrap();
    place.config(
        "[policy]\ndistinct_devices = false\n[[proxy]]\npreset = \"prores-proxy\"\n\
         [[proxy]]\npreset = \"dnxhr-lb\"\nsuffix = \"_Proxy\"\n",
    );
    let clip = offload(&place);
    assert_eq!(clip["media"], "ok", "{clip}");
    assert!(proxy.is_file() && inode(&web) == before, "made again what was there");
    assert!(rows(&place, &clip).contains(&made("dnxhr-lb", "dnxhr-lb", "_Proxy.mxf")), "{:?}", rows(&place, &clip));
}

#[test]
fn pictures_and_findings_are_no_proxies_to_a_search() {
    let place = station();
    offload(&place);
    for (preset, found) in [("web", 1), ("prores-proxy", 0)] {
        let sql = "SELECT count(*) AS n FROM proxies WHERE state = 'ok' AND preset NOT IN ('web', 'prores-proxy')";
        assert_eq!(place.run(&["sql", sql, "--json"]).expect(0).json()["rows"][0][0], 4, "before {preset} goes");
        // Asked of the catalog, which is what a search reads.
        let db = rusqlite::Connection::open(place.path("state/goodgate/catalog.db")).unwrap();
        db.execute("DELETE FROM proxy WHERE preset = ?1", [preset]).unwrap();
        drop(db);
        let v = place.run(&["find", "has:proxy", "--json"]).expect(0).json();
        assert_eq!(v["total"], found, "without {preset}");
    }
}

#[test]
fn frames_that_were_lost_are_found_and_their_places_stay_empty() {
    let lost = "select='not(between(n,30,39))'";
    let args = format!("-f lavfi -i testsrc2=s=320x180:r=25:d=4 -vf {lost} -vsync passthrough -enc_time_base 1/25");
    let (dir, mov) = clip("a.mov", &format!("{args} -c:v libx264 -pix_fmt yuv420p -timecode 01:00:00:00"));
    let shape = ffprobe(&mov, "v:0", "stream=r_frame_rate,avg_frame_rate,nb_read_packets");
    assert_eq!(shape, "25/1,45/2,90");
    for recipe in [PRORES, INTRA, DNXHR_MOV] {
        let (proxy, made, note) = relink(&mov, dir.path(), recipe);
        assert_eq!((made, note.as_deref()), (90, Some("10 frames of the clip are missing, and here too")));
        assert_eq!(ffprobe(&proxy, "v:0", "stream=r_frame_rate,avg_frame_rate,nb_read_packets"), shape);
    }
    let work = tempfile::tempdir().unwrap();
    let made = outputs(&mov, work.path(), &[Output::Proxy(DNXHR), Output::Qc]);
    let [Derivation::Failed(why), Derivation::Done { path, .. }] = &made[..] else { panic!("{made:?}") };
    assert_eq!(why, "10 frames of the clip are missing, and MXF can not leave them out");
    let qc: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(qc["timestamp_gaps"], serde_json::json!([{"frame": 30, "missing": 10}]));
}
