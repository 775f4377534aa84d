//! Looks on proxies: colours beside those that the ffmpeg program and the formula give, burn-ins read letter by letter.

use super::media::{clip, facts, ffprobe, tool};
use super::place::Place;
use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use goodgate::media::{Derivation, DeriveRequest, Gate, Limits, derive};
use goodgate::preset::look::{Cdl, Colour, Cube, Finish, Line, Text, burn_in};
use goodgate::preset::{Container, Output, Preset, Recipe, look};
use goodgate::read::cube;
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const PRORES: Recipe = Recipe { preset: Preset::ProresProxy, container: Container::Mov, vfr: false };
const FONT: &[u8] = include_bytes!("../../src/bin/goodgate-media/font/DejaVuSansMono-Bold-subset.ttf");

/// A LUT that bends every channel otherwise, and lets red into green.
fn bent(size: usize) -> String {
    let mut out = format!("TITLE \"bent\"\nLUT_3D_SIZE {size}\n");
    let last = (size - 1) as f64;
    for n in 0..size.pow(3) {
        let [r, g, b] = [n % size, n / size % size, n / size / size].map(|v| v as f64 / last);
        out += &format!("{:.6} {:.6} {:.6}\n", r.powf(0.7), 0.8 * g + 0.2 * r * r, 1.0 - b.powf(1.3));
    }
    out
}

/// One output of a clip with something done to its pictures.
fn made(path: &Path, out: &Path, output: Output, finish: Finish, luts: &[Arc<Cube>]) -> PathBuf {
    let dir = tempfile::tempdir_in(out).unwrap().keep();
    let (start_tc, clip) = (facts(path).start_tc, File::open(path).unwrap());
    let (outputs, finishes, sprite) = (&[output], &[Some(finish)], b"a.jpg");
    let (reel, name) = (None, "a");
    let (clip, beside) = (clip.into(), Vec::new());
    let gate = &|| Gate::Go;
    let want =
        DeriveRequest { clip, beside, out_dir: &dir, outputs, finishes, luts, start_tc, reel, name, sprite, gate };
    match derive(&tool(), want, &Limits::for_derive(None)).unwrap().pop() {
        Some(Derivation::Done { path, .. }) => path,
        other => panic!("{}: {other:?}", path.display()),
    }
}

fn burnt(lines: Vec<Line>, size_percent: u8) -> Finish {
    Finish { lines, size_percent, ..Finish::default() }
}

/// All frames through filters of the ffmpeg program, as raw bytes.
fn raw(path: &Path, filters: &str) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(path).args(["-vf", filters, "-f", "rawvideo", "-"]);
    let out = command.output().unwrap();
    assert!(out.status.success(), "{filters}: {}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// Mean difference of 16-bit samples, in hundredths of a percent of full scale.
fn apart(a: &[u8], b: &[u8]) -> u64 {
    assert_eq!(a.len(), b.len());
    let value = |s: &[u8]| u64::from(u16::from_le_bytes([s[0], s[1]]));
    let sum: u64 = a.chunks_exact(2).zip(b.chunks_exact(2)).map(|(x, y)| value(x).abs_diff(value(y))).sum();
    sum * 10_000 / (a.len() as u64 / 2) / 65_535
}

const PICTURE: &str = "-f lavfi -i smptehdbars=s=256x144:d=0.12:r=25";
const TAGGED: &str = "-vf format=yuv422p10le,setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv";
const RGB: &str = "scale=in_color_matrix=bt709:in_range=tv:flags=accurate_rnd+full_chroma_int+bicubic,format=gbrp16le";

#[test]
fn a_lut_gives_the_colours_that_ffmpegs_own_filter_gives() {
    let (dir, mov) = clip("a.mov", &format!("{PICTURE} {TAGGED} -c:v prores_ks -profile:v 3"));
    for size in [2, 17] {
        let text = bent(size);
        let file = dir.path().join("bent.cube");
        std::fs::write(&file, &text).unwrap();
        let lut = Arc::new(cube::parse(text.as_bytes()).unwrap());
        let finish = || Finish { lut: Some(0), colour: Some(Colour::Bt709), ..Finish::default() };
        let want = raw(&mov, &format!("{RGB},lut3d=file={}:interp=tetrahedral", file.display()));
        let before = apart(&raw(&mov, RGB), &want);
        // At the edges of the bars a halved chroma differs.
        for (recipe, at_most) in [(PRORES, 100), (Recipe::WEB, 200)] {
            let proxy = made(&mov, dir.path(), Output::Proxy(recipe), finish(), std::slice::from_ref(&lut));
            let after = apart(&raw(&proxy, RGB), &want);
            assert!(before > 1000 && after < at_most, "{recipe:?} {size}: {before} became {after}");
        }
    }
}

/// The colour in the middle of the first frame, 0..1.
fn middle(path: &Path) -> [f64; 3] {
    let bytes = raw(path, &format!("{RGB},crop=2:2,format=rgb48le,select=eq(n\\,0)"));
    [0, 1, 2].map(|c| f64::from(u16::from_le_bytes([bytes[2 * c], bytes[2 * c + 1]])) / 65_535.0)
}

fn by_formula(cdl: &Cdl, rgb: [f64; 3]) -> [f64; 3] {
    let sop = |c: usize| (rgb[c] * cdl.slope[c] + cdl.offset[c]).clamp(0.0, 1.0).powf(cdl.power[c]);
    let v = [sop(0), sop(1), sop(2)];
    let luma = 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2];
    v.map(|v| (luma + cdl.saturation * (v - luma)).clamp(0.0, 1.0))
}

#[track_caller]
fn near(got: [f64; 3], want: [f64; 3]) {
    assert!((0..3).all(|c| (got[c] - want[c]).abs() < 0.012), "{got:?}, not {want:?}");
}

#[test]
fn a_cdl_gives_the_colours_of_its_formula_and_comes_before_the_lut() {
    let flat = "-f lavfi -i color=0x6040A0:s=64x64:d=0.08:r=25";
    let (dir, mov) = clip("a.mov", &format!("{flat} {TAGGED} -c:v prores_ks -profile:v 3"));
    let cdl = Cdl { slope: [1.2, 0.9, 0.8], offset: [0.05, 0.1, -0.02], power: [0.8, 1.3, 1.0], saturation: 0.6 };
    let source = middle(&mov);
    let want = by_formula(&cdl, source);
    let finish = Finish { cdl: Some(cdl), ..Finish::default() };
    for recipe in [PRORES, Recipe::WEB] {
        near(middle(&made(&mov, dir.path(), Output::Proxy(recipe), finish.clone(), &[])), want);
    }
    // A LUT that turns colours over: after the correction, not before.
    let over = "LUT_3D_SIZE 2\n1 1 1\n0 1 1\n1 0 1\n0 0 1\n1 1 0\n0 1 0\n1 0 0\n0 0 0\n";
    let lut = [Arc::new(cube::parse(over.as_bytes()).unwrap())];
    let both = Finish { lut: Some(0), colour: Some(Colour::Bt709), ..finish };
    near(middle(&made(&mov, dir.path(), Output::Proxy(PRORES), both, &lut)), want.map(|v| 1.0 - v));
}

#[test]
fn tags_say_what_a_look_makes_or_that_nobody_knows() {
    let hlg =
        "-vf format=yuv422p10le,setparams=color_primaries=bt2020:color_trc=arib-std-b67:colorspace=bt2020nc:range=tv";
    let (dir, mov) = clip("a.mov", &format!("{PICTURE} {hlg} -c:v prores_ks"));
    let colour = |path: &Path| ffprobe(path, "v:0", "stream=color_space,color_transfer,color_primaries");
    assert_eq!(colour(&mov), "bt2020nc,arib-std-b67,bt2020");
    let lut = [Arc::new(cube::parse(bent(2).as_bytes()).unwrap())];
    let with = |colour| Finish { lut: Some(0), colour, ..Finish::default() };
    let cdl = Finish { cdl: Some(Cdl { saturation: 0.5, ..Cdl::NEUTRAL }), ..Finish::default() };
    for (finish, luts, want) in [
        (with(None), &lut[..], "bt2020nc,unknown,unknown"),
        (with(Some(Colour::Bt709)), &lut, "bt709,bt709,bt709"),
        (with(Some(Colour::Bt2020Pq)), &lut, "bt2020nc,smpte2084,bt2020"),
        (with(Some(Colour::Clip)), &lut, "bt2020nc,arib-std-b67,bt2020"),
        (cdl, &[], "bt2020nc,arib-std-b67,bt2020"),
    ] {
        for recipe in [PRORES, Recipe::of(Preset::DnxhrLb)] {
            let proxy = made(&mov, dir.path(), Output::Proxy(recipe), finish.clone(), luts);
            assert_eq!(colour(&proxy), want, "{recipe:?} {:?}", finish.colour);
        }
    }
}

/// The letters that a burner of ours draws, one cell each.
struct Letters {
    wide: usize,
    tall: usize,
    known: Vec<(char, Vec<u8>)>,
}

impl Letters {
    fn new(size: f32) -> Self {
        let font = FontRef::try_from_slice(FONT).unwrap();
        let scale = PxScale::from(size);
        let scaled = font.as_scaled(scale);
        let wide = scaled.h_advance(font.glyph_id('0')).ceil() as usize;
        let tall = size.ceil() as usize;
        let letter = |c: char| {
            let mut cell = vec![0u8; wide * tall];
            let glyph = font.glyph_id(c).with_scale_and_position(scale, point(0.0, scaled.ascent()));
            let outline = font.outline_glyph(glyph).unwrap();
            let min = outline.px_bounds().min;
            outline.draw(|x, y, cover| {
                let at = (y as usize + min.y as usize) * wide + x as usize + min.x as usize;
                cell[at] = (cover * 255.0) as u8;
            });
            (c, cell)
        };
        Letters { wide, tall, known: "0123456789:;-".chars().map(letter).collect() }
    }

    /// The text of so many letters in a grey picture, as bottom centre is laid out; on black.
    fn read(&self, grey: &[u8], (w, h): (usize, usize), count: usize) -> String {
        let left = (w - (count + 1) * self.wide) / 2 + self.wide / 2;
        let top = (h as f32 - self.tall as f32 - h as f32 * burn_in::MARGIN_PERCENT as f32 / 100.0) as usize;
        let worst = (self.wide * self.tall * 40) as u64;
        let one = |n: usize| {
            let wrong = |cell: &[u8]| -> u64 {
                let at = |x: usize, y: usize| grey[(top + y) * w + left + n * self.wide + x];
                let all = (0..self.tall).flat_map(|y| (0..self.wide).map(move |x| (x, y)));
                all.map(|(x, y)| u64::from(at(x, y).abs_diff(cell[y * self.wide + x]))).sum()
            };
            let best = self.known.iter().map(|(c, cell)| (wrong(cell), *c)).min().unwrap();
            if best.0 < worst { best.1 } else { '?' }
        };
        (0..count).map(one).collect()
    }
}

const FULL_GREY: &str = "scale=out_range=pc,format=gray";

#[test]
fn a_burned_in_timecode_is_that_of_its_frame_also_where_numbers_are_dropped() {
    let black = "-f lavfi -i color=black:s=320x180:d=2:r=30000/1001";
    let (dir, mov) = clip("a.mov", &format!("{black} -timecode 01:00:59;00 -c:v mjpeg"));
    let line = Line { place: look::Place::Bottom, text: Text::Timecode };
    let proxy = made(&mov, dir.path(), Output::Proxy(Recipe::WEB), burnt(vec![line], 10), &[]);
    let grey = raw(&proxy, FULL_GREY);
    let frames: Vec<&[u8]> = grey.chunks_exact(320 * 180).collect();
    assert_eq!(frames.len(), 60);
    let letters = Letters::new(18.0);
    let read = |n: usize| letters.read(frames[n], (320, 180), 11);
    // The first two numbers of a minute are left out, but of every tenth.
    for (n, want) in [
        (0, "01:00:59;00"),
        (1, "01:00:59;01"),
        (28, "01:00:59;28"),
        (29, "01:00:59;29"),
        (30, "01:01:00;02"),
        (31, "01:01:00;03"),
        (58, "01:01:01;00"),
        (59, "01:01:01;01"),
    ] {
        assert_eq!(read(n), want, "frame {n}");
    }
}

#[test]
fn burn_ins_count_frames_and_stand_upright_in_a_turned_picture() {
    let (dir, flat) = clip("flat.mp4", "-f lavfi -i color=black:s=180x320:d=0.4:r=25 -c:v libx264");
    let turned = dir.path().join("turned.mp4");
    let args = ["-v", "error", "-i", flat.to_str().unwrap(), "-c", "copy", "-metadata:s:v", "rotate=90"];
    assert!(Command::new("ffmpeg").args(args).arg(&turned).status().unwrap().success());
    let line = Line { place: look::Place::Bottom, text: Text::Frame };
    let proxy = made(&turned, dir.path(), Output::Proxy(Recipe::WEB), burnt(vec![line], 10), &[]);
    // ffmpeg turns it as a player does.
    let grey = raw(&proxy, FULL_GREY);
    let frames: Vec<&[u8]> = grey.chunks_exact(320 * 180).collect();
    assert_eq!(frames.len(), 10);
    let read = |n: usize| Letters::new(18.0).read(frames[n], (320, 180), 6);
    assert_eq!([0, 1, 9].map(read), ["000000", "000001", "000009"]);
}

#[test]
fn no_text_and_no_shape_of_picture_breaks_a_burn_in() {
    let all = [
        look::Place::TopLeft,
        look::Place::TopRight,
        look::Place::BottomLeft,
        look::Place::Bottom,
        look::Place::BottomRight,
        look::Place::Centre,
    ];
    for (n, args) in
        ["s=16x16", "s=600x18", "s=18x600", "s=64x36 -vf setsar=1/9", "s=64x36 -vf setsar=9"].into_iter().enumerate()
    {
        let (dir, mov) = clip("a.mov", &format!("-f lavfi -i testsrc2=d=0.08:r=25:{args} -c:v mjpeg"));
        let long = "W".repeat(300);
        let text = ["\u{6f22}\u{5b57}\u{1f600}", "", "\u{202e}\u{0301}", &long, "é"][n];
        let lines = all.map(|place| Line { place, text: Text::Fixed(text.into()) }).to_vec();
        for output in [Output::Proxy(Recipe::WEB), Output::Poster] {
            made(&mov, dir.path(), output, burnt(lines.clone(), 10), &[]);
        }
    }
}

/// A station whose card holds one clip, and settings with looks. `{}` is the place of a LUT.
struct Station {
    place: Place,
    lut: PathBuf,
}

impl Station {
    fn new(looks: &str) -> Self {
        let place = Place::new();
        let picture = "-f lavfi -i color=0x6040A0:s=160x90:d=0.2:r=25 -c:v mjpeg -timecode 01:00:00:00";
        let (_dir, mov) = clip("a.mov", picture);
        std::fs::copy(mov, place.card().join("CLIPS/A001C001.mov")).unwrap();
        let lut = place.path("show.cube");
        std::fs::write(&lut, bent(2)).unwrap();
        let station = Station { place, lut };
        station.settings(looks);
        station
    }

    fn settings(&self, looks: &str) {
        let looks = looks.replace("{}", &self.lut.display().to_string());
        let proxy = "[[proxy]]\npreset = \"prores-proxy\"\n";
        self.place.config(&format!("[policy]\ndistinct_devices = false\n{proxy}{looks}"));
    }

    fn offload(&self) -> Value {
        let v = self.place.offload(&[]).expect(0).json();
        assert_eq!(v["safe"], true, "{v}");
        self.place.run(&["show", "A001C001", "--json"]).expect(0).json()["clip"].clone()
    }
}

fn row<'a>(clip: &'a Value, preset: &str) -> &'a Value {
    clip["proxies"].as_array().unwrap().iter().find(|p| p["preset"] == preset).unwrap()
}

fn inode(row: &Value) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(row["path"].as_str().unwrap()).unwrap())
}

#[test]
fn a_look_is_on_the_files_it_names_and_is_recorded_and_a_change_of_it_makes_them_anew() {
    let show = "[[look]]\nname = 'show'\nroll = 'A*'\nlut = '{}'\ncolour = 'bt709'\nburn_in = ['clip']\n";
    let other = "[[look]]\nname = 'other'\nroll = 'B*'\nwatermark = 'x'\npresets = ['prores-proxy']\n";
    let s = Station::new(&format!("{other}{show}"));
    s.place.run(&["config", "check"]).expect(0);
    let first = s.offload();
    let digest = blake3::hash(&std::fs::read(&s.lut).unwrap()).to_hex().to_string();
    for preset in ["web", "poster", "filmstrip"] {
        let look = &row(&first, preset)["look"];
        assert_eq!((&look["name"], &look["lut"]["blake3"]), (&"show".into(), &digest.clone().into()), "{preset}");
    }
    assert_eq!(row(&first, "web")["look"]["burn_in"], serde_json::json!(["clip"]));
    assert_eq!(row(&first, "filmstrip")["look"]["burn_in"], Value::Null);
    for preset in ["prores-proxy", "qc", "filmstrip-index"] {
        assert_eq!(row(&first, preset)["look"], Value::Null, "{preset}");
    }
    let said = s.place.run(&["show", "A001C001"]).expect(0).stdout;
    assert!(said.contains("look \"show\" (LUT \"") && said.contains(&digest[..16]), "{said}");
    let sql = "SELECT json_extract(look, '$.name') FROM proxies WHERE preset = 'web'";
    assert_eq!(s.place.run(&["sql", sql, "--json"]).expect(0).json()["rows"][0][0], "show");

    // Nothing has changed: nothing is made.
    let same = s.offload();
    assert_eq!(same["proxies"], first["proxies"]);
    assert_eq!(inode(row(&same, "web")), inode(row(&first, "web")));
    let before = inode(row(&first, "web"));
    let relink = inode(row(&first, "prores-proxy"));
    // Other bytes under the same name are another look.
    std::fs::write(&s.lut, bent(3)).unwrap();
    let changed = s.offload();
    assert_ne!(row(&changed, "web")["look"], row(&first, "web")["look"]);
    assert!(inode(row(&changed, "web")) != before && inode(row(&changed, "prores-proxy")) == relink);
    // Without a look it is the clip as it was.
    let colour = |clip: &Value, preset: &str| middle(Path::new(row(clip, preset)["path"].as_str().unwrap()));
    let looked = colour(&changed, "web");
    s.settings("");
    let plain = s.offload();
    assert!(plain["proxies"].as_array().unwrap().iter().all(|p| p["look"].is_null() && p["state"] == "ok"), "{plain}");
    let is = colour(&plain, "web");
    near(is, colour(&plain, "prores-proxy"));
    assert!((0..3).any(|c| (is[c] - looked[c]).abs() > 0.1), "{is:?} {looked:?}");
}

#[test]
fn a_correction_is_found_by_the_clips_name_and_one_that_is_missing_is_said() {
    let list = |id: &str| {
        format!(
            "<ColorCorrectionCollection><ColorCorrection id=\"{id}\"><SOPNode><Slope>0.5 0.5 0.5</Slope>\
             <Offset>0 0 0</Offset><Power>1 1 1</Power></SOPNode></ColorCorrection></ColorCorrectionCollection>"
        )
    };
    let s = Station::new("");
    let file = s.place.path("day.ccc");
    let look = format!("[[look]]\nname = 'day'\npresets = ['poster']\ncdl = '{}'\n", file.display());
    s.settings(&look);
    std::fs::write(&file, list("A001C002")).unwrap();
    let without = s.offload();
    let poster = row(&without, "poster");
    assert_eq!((&poster["state"], &poster["look"]), (&"ok".into(), &Value::Null));
    assert!(poster["note"].as_str().unwrap().contains("no CDL of this clip in it"), "{poster}");
    std::fs::write(&file, list("a001c001.mov")).unwrap();
    let with = s.offload();
    assert_eq!(row(&with, "poster")["look"]["cdl"]["sop"], "(0.5 0.5 0.5)(0 0 0)(1 1 1)");
    assert_eq!(row(&with, "poster")["note"], Value::Null);
}

#[test]
fn a_lut_that_is_gone_costs_the_proxies_with_that_look_and_nothing_else() {
    let s = Station::new("[[look]]\nname = 'show'\nlut = '{}'\npresets = ['web']\n");
    std::fs::remove_file(&s.lut).unwrap();
    let refused = s.place.run(&["config", "check"]).expect(2);
    assert!(refused.stderr.contains("look[0].lut") && refused.stderr.contains("there is no such file"));
    assert!(refused.stderr.contains(" line 7: "), "{}", refused.stderr);
    // The copy goes on, and is safe.
    let clip = s.offload();
    let web = row(&clip, "web");
    assert_eq!((&web["state"], &web["path"], &clip["media"]), (&"failed".into(), &Value::Null, &"failed".into()));
    let note = web["note"].as_str().unwrap();
    assert!(note.starts_with("look \"show\": ") && note.contains("there is no such file"), "{note}");
    for preset in ["prores-proxy", "poster", "filmstrip", "qc"] {
        assert_eq!(row(&clip, preset)["state"], "ok", "{preset}");
    }
    // Cut short is as bad; back again, what failed is made.
    std::fs::write(&s.lut, &bent(2)[..60]).unwrap();
    let cut = s.place.run(&["config", "check"]).expect(2).stderr;
    assert!(cut.contains("of 8 colours") || cut.contains("three numbers"), "{cut}");
    assert_eq!(row(&s.offload(), "web")["state"], "failed");
    std::fs::write(&s.lut, bent(2)).unwrap();
    let back = s.offload();
    assert_eq!((&row(&back, "web")["state"], &back["media"]), (&"ok".into(), &"ok".into()), "{back}");
    // Made once, it stays when its LUT goes.
    std::fs::remove_file(&s.lut).unwrap();
    assert_eq!(row(&s.offload(), "web"), row(&back, "web"));
}
