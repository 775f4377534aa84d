//! What a clip can be made of: proxies of the camera, numbered pictures, sound in files of its own, recordings in parts;
//! and where proxies go. Through the program, on cards that the ffmpeg program makes.

use super::media::ffprobe;
use super::place::Place;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const RELINK: &str = "[[proxy]]\npreset = \"prores-proxy\"\n";

/// A station with an empty card and these settings.
fn station(settings: &str) -> Place {
    let place = Place::new();
    place.config(&format!("[policy]\ndistinct_devices = false\n{settings}"));
    place
}

/// A file of the card, made by ffmpeg.
fn film(place: &Place, relpath: &str, args: &str) -> PathBuf {
    let path = place.path("card/A001").join(relpath);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut command = Command::new("ffmpeg");
    let status = command.args(["-v", "error", "-nostdin"]).args(args.split_whitespace()).arg(&path).status();
    assert!(status.expect("these tests need the ffmpeg program").success(), "ffmpeg {args}");
    path
}

fn picture(secs: &str, rate: &str) -> String {
    format!("-f lavfi -i testsrc2=s=320x180:d={secs}:r={rate}")
}

fn offload(place: &Place) -> Value {
    let said = place.offload(&[]);
    assert!([0, 20].contains(&said.code), "{}", said.stderr);
    said.json()
}

fn clip(place: &Place, name: &str) -> Value {
    place.run(&["show", name, "--json"]).expect(0).json()["clip"].take()
}

/// One row of a clip's proxies; later files of a recording have rows of their own.
fn row<'a>(clip: &'a Value, preset: &str) -> &'a Value {
    let rows = clip["proxies"].as_array().unwrap();
    rows.iter().find(|r| r["preset"] == preset).unwrap_or_else(|| panic!("no {preset}: {clip}"))
}

fn path_of(row: &Value) -> &Path {
    Path::new(row["path"].as_str().unwrap_or_else(|| panic!("{row}")))
}

fn note(row: &Value) -> &str {
    row["note"].as_str().unwrap_or_default()
}

/// A hash of each picture.
fn frames(path: &Path) -> Vec<String> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(path).args(["-map", "0:v", "-f", "framemd5", "-"]);
    let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
    text.lines().filter(|l| !l.starts_with('#')).map(|l| l.rsplit(',').next().unwrap().trim().to_owned()).collect()
}

/// A Sony card's clip with its proxy.
fn sony(place: &Place, name: &str, secs: &str, tc: &str) -> (PathBuf, PathBuf) {
    let sound = "-f lavfi -i sine=d=2:r=48000";
    let root = "PRIVATE/M4ROOT";
    let original = format!("{} {sound} -timecode 10:00:00:00 -c:v mjpeg -c:a pcm_s16le -f mov", picture("2", "25"));
    let original = film(place, &format!("{root}/CLIP/{name}.MP4"), &original);
    let small = format!("-f lavfi -i testsrc2=s=160x90:d={secs}:r=25 {sound} -timecode {tc}");
    let small = format!("{small} -c:v libx264 -pix_fmt yuv420p -c:a aac");
    (original, film(place, &format!("{root}/SUB/{name}S03.MP4"), &small))
}

#[test]
fn a_proxy_of_the_camera_that_matches_is_the_clips_and_nothing_is_encoded() {
    let p = station("[[proxy]]\npreset = \"web\"\n");
    let (_, small) = sony(&p, "C0001", "2", "10:00:00:00");
    assert_eq!(offload(&p)["clips"], 1, "the proxy is no clip of its own");
    let c = clip(&p, "C0001");
    let web = row(&c, "web");
    assert_eq!((&web["state"], note(web)), (&"ok".into(), "made by the camera: \"PRIVATE/M4ROOT/SUB/C0001S03.MP4\""));
    assert_eq!(path_of(web), p.path("a/A001/PRIVATE/M4ROOT/SUB/C0001S03.MP4"));
    assert_eq!(c["proxy"], web["path"]);
    assert_eq!(std::fs::read(path_of(web)).unwrap(), std::fs::read(small).unwrap());
    assert!(!p.path("state/goodgate/media/A001/web").exists());
    assert_eq!(row(&c, "qc")["state"], "ok", "what is wrong with the original is looked for all the same");
    // Nothing is left to do.
    let again = offload(&p);
    assert_eq!(again["clips"], 1);
    assert_eq!(clip(&p, "C0001"), c);
}

#[test]
fn a_proxy_of_the_camera_that_differs_is_not_used_and_the_note_says_why() {
    let p = station("[[proxy]]\npreset = \"web\"\n");
    sony(&p, "C0001", "1.8", "10:00:00:00");
    sony(&p, "C0002", "2", "10:00:00:01");
    let (_, cut) = sony(&p, "C0003", "2", "10:00:00:00");
    let file = std::fs::File::options().write(true).open(&cut).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    offload(&p);
    let whys = [("C0001", "it has 45 frames, the original 50"), ("C0002", "it begins at 10:00:00:01"), ("C0003", "")];
    for (name, why) in whys {
        let c = clip(&p, name);
        let web = row(&c, "web");
        let start = format!("the camera's own proxy \"PRIVATE/M4ROOT/SUB/{name}S03.MP4\" is not used: ");
        assert!(note(web).starts_with(&format!("{start}{why}")), "{web}");
        assert!(path_of(web).starts_with(p.path("state/goodgate/media/A001/web")), "{web}");
        assert_eq!(ffprobe(path_of(web), "v:0", "stream=nb_read_packets"), "50");
    }
}

#[test]
fn a_proxy_of_the_camera_that_is_all_the_preset_asks_for_is_relinked_to() {
    let p = station(RELINK);
    let source = |size: &str, profile: u8| {
        format!(
            "-f lavfi -i testsrc2=s={size}:d=1:r=25 -f lavfi -i sine=d=1:r=48000 -timecode 10:00:00:00 \
             -c:v prores_ks -profile:v {profile} -pix_fmt yuv422p10le -c:a pcm_s16le"
        )
    };
    film(&p, "CLIPS/A001C001.MOV", &source("640x360", 3));
    film(&p, "CLIPS/Proxy/A001C001.mov", &source("320x180", 0));
    assert_eq!(offload(&p)["clips"], 1);
    let c = clip(&p, "A001C001");
    let relink = row(&c, "prores-proxy");
    assert_eq!(path_of(relink), p.path("a/A001/CLIPS/Proxy/A001C001.mov"), "{relink}");
    assert!(note(row(&c, "web")).contains("not every browser plays its \"prores\""), "{c}");
    assert!(path_of(row(&c, "web")).starts_with(p.path("state")));
}

#[test]
fn a_clip_that_libav_cannot_decode_keeps_its_metadata_and_shows_the_cameras_proxy() {
    let p = station(RELINK);
    let name = "A001_08151512_C001";
    let braw = film(&p, &format!("{name}.mov"), &format!("{} -timecode 11:00:00:00 -c:v mjpeg", picture("2", "25")));
    let mut bytes = std::fs::read(&braw).unwrap();
    for at in 0..bytes.len() - 4 {
        if &bytes[at..at + 4] == b"jpeg" {
            bytes[at..at + 4].copy_from_slice(b"brhq");
        }
    }
    std::fs::write(braw.with_extension("braw"), bytes).unwrap();
    std::fs::remove_file(&braw).unwrap();
    film(
        &p,
        &format!("Proxy/{name}.mp4"),
        &format!("{} -timecode 11:00:00:00 -c:v libx264 -pix_fmt yuv420p", picture("2", "25")),
    );
    assert_eq!(offload(&p)["clips"], 1);
    let c = clip(&p, name);
    let why = "goodgate decodes no \"brhq\"; the camera's own proxy";
    assert!(c["media"] == "unsupported" && c["media_note"].as_str().unwrap().starts_with(why), "{c}");
    assert_eq!((&c["start_tc"], &c["duration_frames"], &c["width"]), (&"11:00:00:00".into(), &50.into(), &320.into()));
    assert_eq!(path_of(row(&c, "web")), p.path("a/A001/Proxy").join(format!("{name}.mp4")));
    for preset in ["poster", "filmstrip", "filmstrip-index"] {
        assert!(path_of(row(&c, preset)).is_file(), "{preset}");
    }
    for preset in ["prores-proxy", "qc"] {
        assert_eq!(row(&c, preset)["state"], "unsupported", "{preset}");
    }
}

#[test]
fn a_clip_that_libav_cannot_decode_shows_the_cameras_still_where_there_is_nothing_else() {
    let p = station("");
    p.file("card/A001/DCIM/100CANON/MVI_0001.CRM", 5000, 1);
    film(&p, "DCIM/100CANON/MVI_0001.THM", "-f lavfi -i testsrc2=s=160x120 -frames:v 1 -f mjpeg");
    offload(&p);
    let c = clip(&p, "MVI_0001");
    assert_eq!(c["media"], "unsupported", "{c}");
    assert_eq!(ffprobe(path_of(row(&c, "poster")), "v:0", "stream=codec_name,width"), "mjpeg,160");
    assert_eq!(row(&c, "web")["state"], "unsupported");
}

/// Numbered DPX frames at 24 from 01:00:00:00, as their headers say.
fn dpx(place: &Place, frames: u32) -> PathBuf {
    let args = format!("{} -frames:v {frames} -start_number 86400", picture("2", "24"));
    let any = film(place, "seq/shot.%07d.dpx", &args);
    let folder = any.parent().unwrap().to_path_buf();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let big = bytes.starts_with(b"SDPX");
        let mut put =
            |at: usize, n: u32| bytes[at..at + 4].copy_from_slice(&if big { n.to_be_bytes() } else { n.to_le_bytes() });
        put(1724, 24f32.to_bits());
        put(1940, 24f32.to_bits());
        put(1920, 0x0100_0000);
        std::fs::write(path, bytes).unwrap();
    }
    folder
}

#[test]
fn numbered_pictures_become_one_proxy_and_frame_n_stays_frame_n() {
    let p = station(RELINK);
    let folder = dpx(&p, 12);
    for lost in [86_405, 86_406] {
        std::fs::remove_file(folder.join(format!("shot.{lost:07}.dpx"))).unwrap();
    }
    offload(&p);
    let c = clip(&p, "shot");
    assert_eq!(
        (&c["start_tc"], &c["end_tc"], &c["duration_frames"]),
        (&"01:00:00:00".into(), &"01:00:00:12".into(), &12.into())
    );
    let relink = row(&c, "prores-proxy");
    assert_eq!(note(relink), "2 missing frames show the one before");
    let shape = ffprobe(path_of(relink), "v:0", "stream=codec_name,width,height,r_frame_rate,nb_read_packets");
    assert_eq!(shape, "prores,320,180,24/1,12");
    assert_eq!(ffprobe(path_of(relink), "d:0", "stream_tags=timecode,reel_name"), "A001,01:00:00:00");
    let shown = frames(path_of(relink));
    assert_eq!((&shown[5], &shown[6]), (&shown[4], &shown[4]), "the two that are missing");
    assert_ne!(shown[7], shown[6]);
    // The seventh is what the seventh file shows, and not the one two before it.
    let alone = station(RELINK);
    let whole = dpx(&alone, 12);
    assert!(whole.join("shot.0086406.dpx").is_file());
    offload(&alone);
    let all = frames(path_of(row(&clip(&alone, "shot"), "prores-proxy")));
    assert_eq!([&shown[..5], &shown[7..]].concat(), [&all[..5], &all[7..]].concat());
    assert_eq!(ffprobe(path_of(row(&c, "web")), "v:0", "stream=nb_read_packets"), "12");
    let found = &c["qc"][0];
    assert_eq!(
        (&found["kind"], &found["from_frame"], &found["to_frame"]),
        (&"missing-frames".into(), &5.into(), &6.into())
    );
    assert_eq!(found["timecode"], "01:00:00:05");
}

#[test]
fn a_picture_of_a_sequence_that_is_damaged_costs_itself_only() {
    let p = station(RELINK);
    let folder = dpx(&p, 8);
    // Its header still says how long it should be.
    std::fs::write(folder.join("shot.0086403.dpx"), [b"SDPX".as_slice(), &[0; 4000]].concat()).unwrap();
    // Another size.
    std::fs::remove_file(folder.join("shot.0086406.dpx")).unwrap();
    film(&p, "seq/shot.%07d.dpx", "-f lavfi -i testsrc2=s=160x90 -frames:v 1 -start_number 86406");
    offload(&p);
    let c = clip(&p, "shot");
    let shown = frames(path_of(row(&c, "prores-proxy")));
    assert_eq!((shown.len(), &shown[3], &shown[6]), (8, &shown[2], &shown[5]), "{c}");
    assert!(shown[4] != shown[3] && shown[7] != shown[6]);
    assert_eq!(ffprobe(path_of(row(&c, "web")), "v:0", "stream=nb_read_packets"), "8");
    let kinds: Vec<_> =
        c["qc"].as_array().unwrap().iter().map(|f| (f["kind"].clone(), f["from_frame"].clone())).collect();
    for frame in [3, 6] {
        assert!(kinds.contains(&("decode-error".into(), frame.into())), "{kinds:?}");
    }
}

#[test]
fn linear_light_is_shown_as_a_screen_shows_it() {
    let p = station(RELINK);
    // 0.18, middle grey.
    let args = "-f lavfi -i color=c=0x2e2e2e:s=64x48:r=24 -vf format=gbrp,format=gbrpf32le -frames:v 3";
    film(&p, "exr/lin.%04d.exr", args);
    offload(&p);
    let c = clip(&p, "lin");
    let relink = row(&c, "prores-proxy");
    assert!(note(relink).contains("linear light"), "{relink}");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(path_of(relink));
    let raw = command.args(["-frames:v", "1", "-pix_fmt", "yuv422p", "-f", "rawvideo", "-"]).output().unwrap().stdout;
    // sRGB of 0.18 is 0.46: 118 of 255, 117 in the range of video.
    assert!((113..=121).contains(&raw[24 * 64 + 32]), "{}", raw[24 * 64 + 32]);
}

#[test]
fn a_take_of_single_tracks_is_one_proxy_with_its_tracks_in_order() {
    let p = station("");
    for (track, volume) in [("1", "0.8"), ("2", "0.4"), ("10", "0.2")] {
        let args = format!("-f lavfi -i sine=f=440:d=1:r=48000 -af volume={volume}*8 -c:a pcm_s24le");
        film(&p, &format!("12A-T001_{track}.WAV"), &args);
    }
    assert_eq!(offload(&p)["clips"], 1);
    let c = clip(&p, "12A-T001");
    let web = path_of(row(&c, "web"));
    let peak = |track: usize| -> f64 {
        let mut command = Command::new("ffmpeg");
        command.args(["-i"]).arg(web).args(["-map", &format!("0:a:{track}"), "-af", "volumedetect", "-f", "null", "-"]);
        let text = String::from_utf8(command.output().unwrap().stderr).unwrap();
        let line = text.lines().find(|l| l.contains("max_volume")).unwrap_or_else(|| panic!("{text}"));
        line.split("max_volume: ").nth(1).unwrap().trim_end_matches(" dB").parse().unwrap()
    };
    for (track, db) in [(0, -1.9), (1, -8.0), (2, -14.0)] {
        assert_eq!(ffprobe(web, &format!("a:{track}"), "stream=codec_name,channels"), "aac,1");
        assert!((peak(track) - db).abs() < 1.5, "track {track}: {} dB", peak(track));
    }
    assert_eq!(ffprobe(web, "a:3", "stream=codec_name"), "");
    let wave: Value = serde_json::from_slice(&std::fs::read(path_of(row(&c, "waveform"))).unwrap()).unwrap();
    assert_eq!(wave["channels"], 3);
}

#[test]
fn picture_and_sound_in_files_of_their_own_are_one_proxy() {
    let p = station(RELINK);
    let root = "CONTENTS";
    let video = format!("{} -timecode 10:00:00:00 -c:v mpeg2video -b:v 5M -f mxf", picture("2", "25"));
    film(&p, &format!("{root}/VIDEO/0001AB.MXF"), &video);
    let originals = ["00", "01"].map(|n| {
        let args =
            format!("-f lavfi -i anoisesrc=d=2:r=48000:seed=7{n} -c:a pcm_s16le -mxf_audio_edit_rate 25 -f mxf_opatom");
        film(&p, &format!("{root}/AUDIO/0001AB{n}.MXF"), &args)
    });
    assert_eq!(offload(&p)["clips"], 1);
    let c = clip(&p, "0001AB");
    let relink = path_of(row(&c, "prores-proxy"));
    assert!(relink.ends_with("VIDEO/0001AB.mov"), "{}", relink.display());
    assert_eq!(ffprobe(relink, "v:0", "stream=codec_name,r_frame_rate,nb_read_packets"), "prores,25/1,50");
    let sound = |path: &Path, track: usize| {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-i"]).arg(path).args(["-map", &format!("0:a:{track}"), "-f", "md5", "-"]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    for (track, original) in originals.iter().enumerate() {
        assert_eq!(sound(relink, track), sound(original, 0), "track {track}");
    }
    assert_eq!(ffprobe(relink, "a:2", "stream=codec_name"), "");
    assert_eq!(ffprobe(path_of(row(&c, "web")), "a:0", "stream=codec_name,channels"), "aac,2");
}

#[test]
fn each_chapter_has_its_relink_proxy_and_the_whole_recording_one_to_look_at() {
    let p = station(RELINK);
    for (n, tc) in [(1, "09:00:00:00"), (2, "09:00:01:00"), (3, "09:00:02:00")] {
        let args =
            format!("{} -f lavfi -i sine=d=1:r=48000 -timecode {tc} -c:v libx264 -bf 0 -c:a aac", picture("1", "25"));
        film(&p, &format!("DCIM/100GOPRO/GX0{n}0265.MP4"), &args);
    }
    assert_eq!(offload(&p)["clips"], 1);
    let c = clip(&p, "GX010265");
    assert_eq!(c["duration_frames"], 75);
    let web = path_of(row(&c, "web"));
    assert_eq!(ffprobe(web, "v:0", "stream=nb_read_packets"), "75");
    let secs: f64 = ffprobe(web, "a:0", "stream=duration").parse().unwrap();
    assert!((2.9..3.1).contains(&secs), "{secs}");
    let relink: Vec<&Value> =
        c["proxies"].as_array().unwrap().iter().filter(|r| r["preset"] == "prores-proxy").collect();
    assert_eq!(relink.len(), 3, "{c}");
    for (n, tc) in [(1, "09:00:00:00"), (2, "09:00:01:00"), (3, "09:00:02:00")] {
        let one = relink.iter().find(|r| path_of(r).ends_with(format!("GX0{n}0265.mov"))).unwrap();
        let file = if n == 1 { Value::Null } else { format!("DCIM/100GOPRO/GX0{n}0265.MP4").into() };
        assert_eq!(one["file"], file);
        assert_eq!(ffprobe(path_of(one), "v:0", "stream=nb_read_packets"), "25");
        assert_eq!(ffprobe(path_of(one), "d:0", "stream_tags=timecode"), tc);
    }
    assert_eq!(offload(&p)["clips"], 1);
    assert_eq!(clip(&p, "GX010265"), c, "nothing is left to do");
}

#[test]
fn a_part_that_is_damaged_costs_what_is_made_of_it() {
    let p = station(RELINK);
    for n in [1, 2] {
        let args = format!("{} -c:v libx264 -bf 0", picture("1", "25"));
        film(&p, &format!("DCIM/100GOPRO/GX0{n}0265.MP4"), &args);
    }
    std::fs::write(p.path("card/A001/DCIM/100GOPRO/GX020265.MP4"), [0; 3000]).unwrap();
    offload(&p);
    let c = clip(&p, "GX010265");
    let web = row(&c, "web");
    assert!(note(web).starts_with("its later parts are not in it: "), "{web}");
    assert_eq!(ffprobe(path_of(web), "v:0", "stream=nb_read_packets"), "25");
    let rows = c["proxies"].as_array().unwrap();
    let relink: Vec<_> =
        rows.iter().filter(|r| r["preset"] == "prores-proxy").map(|r| r["state"].as_str().unwrap()).collect();
    assert!(relink[0] == "ok" && relink[1] != "ok", "{c}");
}

#[test]
fn a_clip_of_varying_rate_says_why_it_has_no_relink_proxy_and_gets_one_on_request() {
    let p = station(RELINK);
    let args = "-f lavfi -i testsrc2=s=160x90:d=2:r=30 -vf select=mod(n\\,7) -vsync vfr -c:v libx264 -bf 0";
    film(&p, "DCIM/100APPLE/IMG_0001.MOV", args);
    offload(&p);
    let c = clip(&p, "IMG_0001");
    assert!(path_of(row(&c, "web")).is_file());
    let why = c["media_note"].as_str().unwrap_or_default();
    assert!(c["media"] == "ok" && why.starts_with("no prores-proxy: its frame rate varies"), "{c}");
    assert_eq!(row(&c, "prores-proxy")["state"], "unsupported");
}

/// A card of one clip, with proxies beside their originals.
fn beside() -> Place {
    let p = station(&format!("[media]\nlayout = \"beside\"\n{RELINK}"));
    film(&p, "CLIPS/A001C001.MOV", &format!("{} -timecode 10:00:00:00 -c:v mjpeg", picture("1", "25")));
    p
}

#[test]
fn proxies_beside_their_originals_are_no_part_of_the_copy() {
    let p = beside();
    let said = offload(&p);
    assert_eq!((&said["safe"], &said["files"]), (&true.into(), &1.into()), "{said}");
    let c = clip(&p, "A001C001");
    let proxy = p.path("a/A001/CLIPS/Proxy/A001C001.mov");
    assert_eq!(path_of(row(&c, "prores-proxy")), proxy);
    assert!(proxy.is_file() && !p.path("b/A001/CLIPS/Proxy").exists());
    assert!(path_of(row(&c, "web")).starts_with(p.path("state/goodgate/media")));
    assert_eq!(c["copies"].as_array().unwrap().len(), 2, "a proxy is no copy");
    let checked = p.run(&["verify", "A001", "--json"]).expect(0).json();
    assert_eq!((&checked["files"], checked["findings"].as_array().unwrap().len()), (&2.into(), 0), "{checked}");
    let mhl = p.run(&["mhl", "verify", "a/A001", "--json"]).expect(0).json();
    assert_eq!((&mhl["history"], mhl["new"].as_array().unwrap().len()), (&"ok".into(), 0), "{mhl}");
    let manifests = || std::fs::read_dir(p.path("a/A001/ascmhl")).unwrap().count();
    let before = (manifests(), std::fs::metadata(&proxy).unwrap().modified().unwrap());
    assert_eq!(offload(&p)["safe"], true);
    assert_eq!((manifests(), std::fs::metadata(&proxy).unwrap().modified().unwrap()), before, "nothing is left to do");
    // A stranger in the tree is still told.
    std::fs::write(p.path("a/A001/CLIPS/x.txt"), "x").unwrap();
    let checked = p.run(&["verify", "A001", "--json"]).expect(0).json();
    assert_eq!(checked["findings"][0]["relpath"], "CLIPS/x.txt", "{checked}");
}

#[test]
fn what_lies_at_a_proxys_place_and_is_not_ours_stays() {
    let p = beside();
    p.offload(&["--no-media"]).expect(0);
    let theirs = p.path("a/A001/CLIPS/Proxy/A001C001.mov");
    std::fs::create_dir_all(theirs.parent().unwrap()).unwrap();
    std::fs::write(&theirs, b"of an editing program").unwrap();
    offload(&p);
    assert_eq!(std::fs::read(&theirs).unwrap(), b"of an editing program");
    let c = clip(&p, "A001C001");
    let relink = row(&c, "prores-proxy");
    assert!(relink["state"] == "failed" && note(relink).starts_with("cannot be laid at "), "{relink}");
    assert_eq!(std::fs::read_dir(theirs.parent().unwrap()).unwrap().count(), 1, "nothing unfinished is left");
}

#[test]
fn a_card_with_proxies_of_its_own_or_sealed_before_has_ours_below_the_media_root() {
    let p = beside();
    p.file("card/A001/Proxy/other.txt", 3, 1);
    let said = p.offload(&[]).expect(0);
    assert!(said.stderr.contains("has a folder \"Proxy\" of its own"), "{}", said.stderr);
    let c = clip(&p, "A001C001");
    assert!(path_of(row(&c, "prores-proxy")).starts_with(p.path("state/goodgate/media")), "{c}");
    p.run(&["mhl", "verify", "a/A001"]).expect(0);

    let p = beside();
    p.config(&format!("[policy]\ndistinct_devices = false\n[media]\nenabled = false\n{RELINK}"));
    offload(&p);
    p.config(&format!("[policy]\ndistinct_devices = false\n[media]\nlayout = \"beside\"\n{RELINK}"));
    let said = p.offload(&[]).expect(0);
    assert!(said.stderr.contains("its manifests do not leave out \"Proxy/\""), "{}", said.stderr);
    assert!(!p.path("a/A001/CLIPS/Proxy").exists());
}

#[test]
fn what_decoding_showed_is_in_the_catalog_and_touches_no_verdict() {
    let p = station("");
    let black = "-f lavfi -i testsrc2=s=160x90:d=1:r=25 -f lavfi -i color=black:s=160x90:d=2:r=25 -f lavfi -i anullsrc=r=48000:cl=mono";
    let args =
        format!("{black} -filter_complex [0][1]concat -shortest -timecode 10:00:00:00 -c:v mjpeg -c:a pcm_s16le -t 3");
    film(&p, "CLIPS/A001C001.MOV", &args);
    assert_eq!(offload(&p)["safe"], true);
    let c = clip(&p, "A001C001");
    let told: Vec<(&str, Option<u64>, Option<&str>)> = c["qc"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["kind"].as_str().unwrap(), f["from_frame"].as_u64(), f["timecode"].as_str()))
        .collect();
    assert_eq!(told, [("black", Some(25), Some("10:00:01:00")), ("silent", None, None)], "{c}");
    let text = p.run(&["show", "A001C001"]).expect(0).stdout;
    assert!(
        text.contains("frames 25 to 74: black") && text.contains("track 1, channel 1 is silent throughout"),
        "{text}"
    );
    let sql = p.run(&["sql", "SELECT kind, from_ms, to_ms FROM qc WHERE kind = 'black'", "--json"]).expect(0);
    assert!(sql.stdout.contains("1000") && sql.stdout.contains("3000"), "{}", sql.stdout);
}
