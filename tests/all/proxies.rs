//! Proxies for relinking: every property an editing program goes by, read back with ffprobe.

use super::media::{clip, facts, ffprobe, tool};
use goodgate::media::{Derivation, DeriveRequest, Limits, derive};
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
    let want = DeriveRequest { clip, out_dir: out, outputs, start_tc, reel: Some("A001"), name: "A001C002" };
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
