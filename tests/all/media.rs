//! The child on real clips: made with the ffmpeg program, damaged, hostile, and from cameras.

use goodgate::clip::{ClipMetadata, MediaState};
use goodgate::media::{Derivation, DeriveRequest, Gate, Limits, Probe, Tool, derive, probe};
use goodgate::preset::{Output, Recipe};
use goodgate::timecode::{FrameRate, Timecode};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) fn tool() -> Tool {
    Tool { path: env!("CARGO_BIN_EXE_goodgate-media").into() }
}

/// Runs ffmpeg in a new folder and gives the clip it made there.
pub(crate) fn clip(name: &str, args: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin"])
        .args(args.split_whitespace())
        .arg(&path)
        .current_dir(dir.path())
        .status()
        .expect("these tests need the ffmpeg program");
    assert!(status.success(), "ffmpeg {args}");
    (dir, path)
}

const PICTURE: &str = "-f lavfi -i testsrc2=s=128x96:d=2:r=";

fn ask(path: &Path) -> Probe {
    probe(&tool(), File::open(path).unwrap(), &Limits::for_probe()).unwrap()
}

pub(crate) fn facts(path: &Path) -> ClipMetadata {
    match ask(path) {
        Probe::Ok(m) => *m,
        other => panic!("{}: {other:?}", path.display()),
    }
}

/// What a browser needs of a clip.
const WEB: Output = Output::Proxy(Recipe::WEB);

/// How the proxy for the browser and the poster went.
struct Derived {
    web: Option<Derivation>,
    poster: Option<Derivation>,
}

fn derive_with(tool: &Tool, path: &Path, out: &Path, start_tc: Option<Timecode>, limits: &Limits) -> Derived {
    let clip = File::open(path).unwrap();
    let outputs = [WEB, Output::Poster];
    let want = DeriveRequest {
        clip: clip.into(),
        beside: Vec::new(),
        out_dir: out,
        outputs: &outputs,
        finishes: &[],
        luts: &[],
        start_tc,
        reel: None,
        name: "a",
        sprite: b"a.jpg",
        gate: &|| Gate::Go,
    };
    let mut made = derive(tool, want, limits).unwrap().into_iter();
    Derived { web: made.next(), poster: made.next() }
}

fn make(path: &Path, out: &Path, start_tc: Option<Timecode>) -> Derived {
    derive_with(&tool(), path, out, start_tc, &Limits::for_derive(None))
}

fn done(d: &Option<Derivation>) -> (&Path, u64, Option<&str>) {
    match d {
        Some(Derivation::Done { path, frames, note }) => (path, *frames, note.as_deref()),
        other => panic!("{other:?}"),
    }
}

/// The reason of an output that was not made.
fn reason(d: &Option<Derivation>) -> &str {
    match d {
        Some(Derivation::Failed(why) | Derivation::Unsupported(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// What ffprobe says of one entry of the first stream of a kind.
pub(crate) fn ffprobe(path: &Path, stream: &str, entry: &str) -> String {
    let out = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", stream, "-count_packets", "-of", "csv=p=0", "-show_entries", entry])
        .arg(path)
        .output()
        .unwrap();
    String::from_utf8_lossy(&out.stdout).lines().next().unwrap_or_default().trim().trim_matches(',').to_owned()
}

fn files_in(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect()
}

#[test]
fn film_rate_and_its_timecode_track_are_read_exactly() {
    let (_dir, mov) = clip("a.mov", &format!("{PICTURE}24000/1001 -timecode 10:11:12:13 -c:v prores_ks"));
    let m = facts(&mov);
    let v = m.video.as_ref().unwrap();
    assert_eq!((v.codec.as_str(), v.width, v.height), ("prores", 128, 96));
    assert_eq!((v.rate, v.average_rate), (FrameRate::new(24_000, 1001), FrameRate::new(24_000, 1001)));
    assert_eq!((m.duration_frames, m.duration_ms), (Some(48), Some(2002)));
    assert_eq!((m.start_tc.unwrap().to_string().as_str(), m.tc_source.as_deref()), ("10:11:12:13", Some("tmcd")));
    assert_eq!(m.end_tc().unwrap().to_string(), "10:11:14:13");
    assert_eq!(v.bit_depth, Some(10));
}

#[test]
fn drop_frame_stays_drop_frame_into_the_proxy() {
    let (dir, mov) = clip("a.mov", &format!("{PICTURE}30000/1001 -timecode 01:00:59;28 -c:v mpeg4"));
    let m = facts(&mov);
    assert_eq!(m.start_tc.unwrap().to_string(), "01:00:59;28");
    assert_eq!(m.start_tc.unwrap().plus(2).to_string(), "01:01:00;02");
    let d = make(&mov, dir.path(), m.start_tc);
    let (web, frames, note) = done(&d.web);
    assert_eq!((frames, note), (60, None));
    assert_eq!(ffprobe(web, "v:0", "stream=r_frame_rate,nb_read_packets"), "30000/1001,60");
    assert_eq!(ffprobe(web, "v:0", "stream_tags=timecode"), "01:00:59;28");
    assert_eq!(facts(web).start_tc, m.start_tc);
}

#[test]
fn a_web_proxy_is_small_h264_with_stereo_and_its_index_in_front() {
    let args = format!("-f lavfi -i sine=d=2 {PICTURE}25 -vf scale=1920:1080,setsar=1 -c:v mjpeg -ac 1 -c:a aac");
    let (dir, mov) = clip("a.mov", &args);
    let d = make(&mov, dir.path(), None);
    let (web, frames, note) = done(&d.web);
    assert_eq!((frames, note), (50, None));
    let entries = "stream=codec_name,width,height,pix_fmt,color_range,has_b_frames";
    assert_eq!(ffprobe(web, "v:0", entries), "h264,1280,720,0,yuv420p,tv");
    assert_eq!(ffprobe(web, "a:0", "stream=codec_name,sample_rate,channels"), "aac,48000,2");
    let bytes = std::fs::read(web).unwrap();
    let at = |name: &[u8]| bytes.windows(4).position(|w| w == name).unwrap();
    assert!(at(b"moov") < at(b"mdat"));
    let (poster, ..) = done(&d.poster);
    assert_eq!(ffprobe(poster, "v:0", "stream=codec_name,width,height"), "mjpeg,640,360");
    let seconds: f64 = ffprobe(web, "a:0", "stream=duration").parse().unwrap();
    assert!((1.9..2.1).contains(&seconds), "{seconds}");
}

#[test]
fn sound_alone_gets_a_proxy_and_no_poster() {
    let (dir, wav) = clip("a.wav", "-f lavfi -i sine=r=48000:d=1 -c:a pcm_s24le");
    let m = facts(&wav);
    assert_eq!((m.video, m.start_tc, m.duration_frames, m.duration_ms), (None, None, None, Some(1000)));
    assert_eq!((m.audio[0].codec.as_str(), m.audio[0].channels, m.audio[0].sample_rate_hz), ("pcm_s24le", 1, 48_000));
    let d = make(&wav, dir.path(), None);
    let (web, ..) = done(&d.web);
    assert_eq!(ffprobe(web, "a:0", "stream=codec_name,channels"), "aac,2");
    assert_eq!(reason(&d.poster), "no picture in it");
    assert!(!dir.path().join("poster.jpg").exists());
}

#[test]
fn a_turned_clip_stays_turned_and_its_poster_is_upright() {
    let (dir, flat) = clip("flat.mp4", &format!("{PICTURE}25 -c:v libx264"));
    let turned = dir.path().join("turned.mp4");
    let args = ["-v", "error", "-i", flat.to_str().unwrap(), "-c", "copy", "-metadata:s:v", "rotate=90"];
    assert!(Command::new("ffmpeg").args(args).arg(&turned).status().unwrap().success());
    let v = facts(&turned).video.unwrap();
    // Counterclockwise in ffprobe; which way `rotate` turns depends on its version.
    let angle: i32 = ffprobe(&turned, "v:0", "stream_side_data=rotation").parse().unwrap();
    assert_eq!(angle.abs(), 90);
    assert_eq!((v.width, v.height, i32::from(v.rotation_deg)), (128, 96, (360 - angle) % 360));
    let d = make(&turned, dir.path(), None);
    assert_eq!(facts(done(&d.web).0).video.unwrap().rotation_deg, v.rotation_deg);
    assert_eq!(ffprobe(done(&d.poster).0, "v:0", "stream=width,height"), "96,128");
}

#[test]
fn a_still_is_only_a_poster() {
    let (dir, dpx) = clip("a.dpx", &format!("{PICTURE}1 -frames:v 1"));
    assert_eq!(facts(&dpx).video.unwrap().codec, "dpx");
    let d = make(&dpx, dir.path(), None);
    assert_eq!(done(&d.poster).1, 1);
    assert!(reason(&d.web).contains("still"));
}

#[test]
fn what_is_no_media_is_unsupported() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let mut state = 1u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let noise: Vec<u8> = noise.take(100_000).collect();
    for path in [file("noise.mov", &noise), file("text.mxf", b"hello"), file("zero.mp4", &[0; 50_000])] {
        assert!(matches!(ask(&path), Probe::Unsupported(_)), "{}: {:?}", path.display(), ask(&path));
    }
    assert_eq!(ask(&file("empty.mov", b"")), Probe::Failed("the file is empty".into()));
}

#[test]
fn a_playlist_opens_nothing() {
    let (dir, ts) = clip("part.ts", &format!("{PICTURE}25 -c:v mpeg2video"));
    let list = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let hls = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n", ts.display());
    let hls = list("hls.mov", hls);
    // The lure works where nothing guards: else this test could not fail.
    let entries = ["-v", "quiet", "-allowed_extensions", "ALL", "-show_entries", "stream=codec_name", "-of", "csv=p=0"];
    let naive = Command::new("ffprobe").args(entries).arg(&hls).output().unwrap();
    assert!(String::from_utf8_lossy(&naive.stdout).contains("mpeg2video"));
    let concat = list("concat.mxf", format!("ffconcat version 1.0\nfile '{}'\n", ts.display()));
    for path in [hls, concat] {
        assert!(matches!(ask(&path), Probe::Unsupported(why) if why.contains("not among")), "{:?}", ask(&path));
    }
}

#[test]
fn a_clip_without_its_index_failed() {
    let (dir, mp4) = clip("a.mp4", &format!("{PICTURE}25 -c:v libx264"));
    let len = std::fs::metadata(&mp4).unwrap().len();
    File::options().write(true).open(&mp4).unwrap().set_len(len / 2).unwrap();
    let Probe::Failed(why) = ask(&mp4) else { panic!("{:?}", ask(&mp4)) };
    assert!(why.contains("moov atom not found"), "{why}");
    let out = tempfile::tempdir_in(dir.path()).unwrap();
    let d = make(&mp4, out.path(), None);
    assert!(reason(&d.web).contains("cut short") && reason(&d.poster).contains("cut short"));
    assert!(files_in(out.path()).is_empty());
}

#[test]
fn a_clip_that_ends_early_gives_what_it_has() {
    let (dir, mp4) = clip("a.mp4", &format!("{PICTURE}25 -c:v libx264 -g 10 -bf 0 -movflags +faststart"));
    let file = File::options().write(true).open(&mp4).unwrap();
    let len = file.metadata().unwrap().len();
    file.set_len(len * 2 / 3).unwrap();
    assert!(matches!(ask(&mp4), Probe::Ok(_)));
    let d = make(&mp4, dir.path(), None);
    let (web, frames, note) = done(&d.web);
    assert!((10..50).contains(&frames), "{frames}");
    assert!(note.unwrap().contains("of 50 frames are missing"), "{note:?}");
    assert_eq!(ffprobe(web, "v:0", "stream=nb_read_packets"), frames.to_string());
    // Only the index is left.
    let bytes = std::fs::read(&mp4).unwrap();
    let mdat = bytes.windows(4).position(|w| w == b"mdat").unwrap() as u64;
    file.set_len(mdat + 4).unwrap();
    assert!(
        matches!(ask(&mp4), Probe::Dark { why, state: MediaState::Failed, .. } if why.starts_with("no frames")),
        "{:?}",
        ask(&mp4)
    );
}

#[test]
fn damage_in_the_middle_costs_no_more_than_itself() {
    let (dir, mov) = clip("a.mov", &format!("{PICTURE}25 -c:v mjpeg"));
    let file = File::options().read(true).write(true).open(&mov).unwrap();
    let len = file.metadata().unwrap().len();
    file.write_all_at(&vec![0xff; (len / 5) as usize], len * 2 / 5).unwrap();
    let d = make(&mov, dir.path(), None);
    let (web, frames, _) = done(&d.web);
    assert!((30..=50).contains(&frames), "{frames}");
    assert_eq!(ffprobe(web, "v:0", "stream=nb_read_packets"), frames.to_string());
}

#[test]
fn a_codec_nobody_here_decodes_is_unsupported() {
    let (dir, mov) = clip("a.mov", &format!("{PICTURE}25 -c:v prores_ks -profile:v 0"));
    let mut bytes = std::fs::read(&mov).unwrap();
    let at = bytes.windows(4).rposition(|w| w == b"apco").unwrap();
    bytes[at..at + 4].copy_from_slice(b"braw");
    std::fs::write(&mov, bytes).unwrap();
    let Probe::Dark { state, why, .. } = ask(&mov) else { panic!("{:?}", ask(&mov)) };
    assert_eq!((state, why.as_str()), (MediaState::Unsupported, "goodgate decodes no \"braw\""));
    let d = make(&mov, dir.path(), None);
    assert!(matches!(d.web, Some(Derivation::Unsupported(_))) && matches!(d.poster, Some(Derivation::Unsupported(_))));
}

#[test]
fn a_hang_ends_at_the_time_limit() {
    let (_dir, mov) = clip("a.mov", &format!("{PICTURE}25 -c:v mpeg4"));
    let script = impostor("sleep 600");
    let limits = Limits { wall: Duration::from_millis(200), ..Limits::for_probe() };
    let begin = Instant::now();
    let answer = probe(&script.1, File::open(&mov).unwrap(), &limits).unwrap();
    assert_eq!(answer, Probe::Failed("took longer than 0.2 s and was stopped".into()));
    assert!(begin.elapsed() < Duration::from_secs(20));
    let limits = Limits { wall: Duration::from_millis(1), ..Limits::for_probe() };
    let answer = probe(&tool(), File::open(&mov).unwrap(), &limits).unwrap();
    assert!(matches!(answer, Probe::Failed(why) if why.starts_with("took longer")));
}

/// A program in the child's place that does what a captured child could do.
fn impostor(act: &str) -> (TempDir, Tool) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("goodgate-media");
    let text = format!("#!/bin/sh\nPATH=/usr/bin:/bin\nexec {act}\n");
    // Not written by this process: a fork of another test could hold it open, and a busy file does not start.
    let write = r#"printf '%s' "$1" > "$2" && chmod 755 "$2""#;
    assert!(Command::new("sh").args(["-c", write, "sh", &text]).arg(&path).status().unwrap().success());
    (dir, Tool { path })
}

#[test]
fn a_captured_child_only_harms_its_clip() {
    let dir = tempfile::tempdir().unwrap();
    for (act, says) in [
        ("yes", "more than 768 KiB"),
        ("true", "no answer"),
        ("printf GGM1abcdefgh", "the answer has"),
        ("sh -c 'kill -SEGV $$'", "libav crashed (SIGSEGV)"),
        ("sh -c 'kill -SYS $$'", "sandbox"),
        ("sh -c 'echo out of luck >&2; exit 3'", "exit code 3: out of luck"),
    ] {
        let (_keep, tool) = impostor(act);
        let clip = Path::new("/dev/null");
        let Probe::Failed(why) = probe(&tool, File::open(clip).unwrap(), &Limits::for_probe()).unwrap() else {
            panic!("{act}")
        };
        assert!(why.contains(says), "{act}: {why}");
        let d = derive_with(&tool, clip, dir.path(), None, &Limits::for_derive(None));
        assert!(reason(&d.web).contains(says) && reason(&d.poster).contains(says));
        assert!(files_in(dir.path()).is_empty());
    }
}

#[test]
fn limits_are_named_when_they_end_a_proxy() {
    let (dir, mov) = clip("a.mov", &format!("{PICTURE}25 -c:v mpeg4"));
    let with = |limits: Limits| {
        let out = tempfile::tempdir_in(dir.path()).unwrap();
        let d = derive_with(&tool(), &mov, out.path(), None, &limits);
        assert!(!out.path().join("web.mp4").exists());
        reason(&d.web).to_owned()
    };
    let base = Limits::for_derive(None);
    assert_eq!(with(Limits { max_frames: 10, ..base.clone() }), "longer than its limit of 10 frames");
    assert!(with(Limits { output_bytes: 4000, ..base.clone() }).starts_with("larger than its limit of 4000 bytes"));
    let small = with(Limits { max_pixels: 100, ..base });
    assert!(small.contains("exceeds specified max pixel count 100"), "{small}");
}

#[test]
fn the_sandbox_stops_what_it_is_there_for() {
    tool().check().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(tool().path);
        command.args(args).current_dir(dir.path()).env_clear().status().unwrap()
    };
    for act in ["open", "list", "socket", "exec", "memory"] {
        let free = run(&["selftest", "--unconfined", act]);
        assert_eq!(free.code(), Some(1), "{act} is possible without a sandbox: else nothing is tested");
        let held = run(&["selftest", act]);
        assert!(held.code() == Some(0) || held.signal() == Some(31), "{act}: {held}");
    }
    assert_eq!(run(&["selftest", "thread"]).code(), Some(0));
}

#[test]
fn goodgate_itself_loads_no_libav() {
    let libs = |path: &str| {
        let out = Command::new("ldd").arg(path).output().unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    assert!(libs(env!("CARGO_BIN_EXE_goodgate-media")).contains("libavcodec"));
    assert!(!libs(env!("CARGO_BIN_EXE_goodgate")).contains("libav"));
}

/// Camera originals beside the repository, if they are there.
fn samples() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/media");
    let dir = std::env::var_os("GOODGATE_TEST_MEDIA").map_or_else(|| default.into(), PathBuf::from);
    if dir.join("MANIFEST.tsv").is_file() {
        return Some(dir);
    }
    eprintln!("SKIPPED: no camera samples at {}; set GOODGATE_TEST_MEDIA", dir.display());
    None
}

#[test]
fn camera_originals_are_read_as_their_manifest_says() {
    let Some(dir) = samples() else { return };
    let text = std::fs::read_to_string(dir.join("MANIFEST.tsv")).unwrap();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [path, .., container, video, size, rates, tc, audio, _] = cells[..] else { panic!("{line}") };
        let is = ask(&dir.join(path));
        let Probe::Ok(m) = is else {
            // The manifest notes where decoding fails: cut off, or a picture libav can not read.
            if container != "-" && !line.contains("decode: ") {
                wrong.push(format!("{path}: {is:?}"));
            }
            continue;
        };
        seen += 1;
        let shape = m.video.as_ref().map_or("-".into(), |v| format!("{}x{}", v.width, v.height));
        let codec = m.video.as_ref().map_or("-", |v| &v.codec);
        let rate = |r: Option<FrameRate>| r.map_or("0/0".into(), |r| format!("{}/{}", r.num(), r.den()));
        let both = m.video.as_ref().map(|v| format!("r={} avg={}", rate(v.rate), rate(v.average_rate)));
        let start = match (m.start_tc, m.time_reference) {
            (Some(tc), _) => tc.to_string(),
            (None, Some(n)) => format!("bext time_reference={n}"),
            _ => "-".into(),
        };
        let sound = m
            .audio
            .first()
            .map_or("-".into(), |a| format!("{}x {} {}ch {}Hz", m.audio.len(), a.codec, a.channels, a.sample_rate_hz));
        let rates = if container.ends_with("_pipe") { "r=0/0 avg=0/0" } else { rates };
        for (is, should) in [
            (m.container.as_deref().unwrap_or("-"), container),
            (codec, video.split('/').next().unwrap_or("-")),
            (&shape, size),
            (both.as_deref().unwrap_or("-"), rates),
            (&start, tc),
            (&sound, audio),
        ] {
            if is != should {
                wrong.push(format!("{path}: {is}, not {should}"));
            }
        }
    }
    assert!(seen > 30, "{seen}");
    assert_eq!(wrong, Vec::<String>::new());
}

/// Packs of a camcorder without a byte that is NUL, as an argument can hold none.
#[test]
fn what_an_avchd_clip_says_in_its_pictures_comes_through_the_child() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("00000.MTS");
    let mut sei = b"h264_metadata=sei_user_data=17ee8c60-f84d-11d9-8cd6-0800200c9a66+MDPM\x04".to_vec();
    sei.extend(b"\x13\x11\x31\x34\x20\x18\x04\x20\x10\x05\x19\x23\x20\x34\x31\xe0\x10\x11\x20\x10");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-frames:v", "5"])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bsf:v"])
        .arg(std::ffi::OsStr::from_bytes(&sei))
        .args(["-f", "mpegts"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let by_camera = |m: &ClipMetadata| -> Vec<String> {
        let said = m.said.iter().filter(|s| s.by == "mdpm");
        said.map(|s| format!("{}={}", s.fact.field.name(), s.fact.value)).collect()
    };
    let m = facts(&path);
    assert_eq!(by_camera(&m), ["make=Canon", "start_tc=20:34:31:11@25/1", "recorded_at=2010-05-23T20:34:31+02:00"]);
    // Other streams hold the same bytes in vain.
    let (_keep, other) = clip("a.mp4", "-f lavfi -i testsrc2=size=320x240:rate=25 -frames:v 5 -c:v libx264");
    assert!(by_camera(&facts(&other)).is_empty());
}

#[test]
fn a_real_camcorder_says_what_its_stream_says() {
    let Some(dir) = samples() else { return };
    let m = match ask(&dir.join("avchd/Panasonic_AG_HMC_151_truncated.MTS")) {
        Probe::Ok(m) | Probe::Dark { metadata: m, .. } => m,
        other => panic!("{other:?}"),
    };
    let said: Vec<String> =
        m.said.iter().filter(|s| s.by == "mdpm").map(|s| format!("{}={}", s.fact.field.name(), s.fact.value)).collect();
    assert_eq!(said, ["make=Panasonic", "start_tc=23:55:16:00@25/1", "recorded_at=2009-07-09T14:33:35"]);
}

#[test]
fn what_libav_says_of_a_phone_is_kept_value_by_value() {
    let Some(dir) = samples() else { return };
    let m = facts(&dir.join("iphone/IMG_iPhoneX.mov"));
    let said: Vec<String> = m.said.iter().map(|s| format!("{}={}", s.fact.field.name(), s.fact.value)).collect();
    let want = [
        "make=Apple",
        "model=iPhone X",
        "fps=60/1",
        "duration=30",
        "sample_rate=44100",
        "width=720",
        "height=1280",
        "pixel_aspect=1:1",
        "codec=h264",
        "bit_depth=8",
        "chroma=4:2:0",
        "primaries=smpte432",
        "transfer=bt709",
        "matrix=smpte170m",
        "recorded_at=2019-02-12T15:27:12+08:00",
        "recorded_at=2024-02-02T08:09:57Z",
        "firmware=12.1.2",
        "gps=27.1281,100.2508,0",
    ];
    assert_eq!(said, want);
    assert!(m.said.iter().all(|s| s.by == "libav"));
}

#[test]
fn frames_that_an_edit_list_hides_are_not_counted() {
    let (dir, whole) = clip("a.mp4", "-f lavfi -i testsrc2=s=128x96:d=2:r=25 -c:v libx264 -g 50 -pix_fmt yuv420p");
    let cut = dir.path().join("cut.mp4");
    let args = ["-v", "error", "-nostdin", "-ss", "0.4", "-i", whole.to_str().unwrap(), "-c", "copy"];
    assert!(Command::new("ffmpeg").args(args).arg(&cut).status().unwrap().success());
    assert_eq!(ffprobe(&cut, "v:0", "stream=nb_frames"), "50");
    assert_eq!((facts(&whole).duration_frames, facts(&cut).duration_frames), (Some(50), Some(40)));
}
