//! A 3D LUT in a `.cube` file (Adobe's Cube LUT Specification 1.0, with the lines that DaVinci Resolve adds): some words,
//! then one line of R, G and B an entry, red changing first. A colour that is not understood whole is refused: a wrong
//! look is worse than none.

use super::wording;
use crate::preset::look::{Cube, triple};

/// The largest cube read here has two million lines.
pub const MAX_BYTES: usize = 128 << 20;

/// The LUT, or in words why there is none.
pub fn parse(bytes: &[u8]) -> Result<Cube, String> {
    let text = wording::text(bytes, MAX_BYTES).ok_or_else(|| format!("it has more than {MAX_BYTES} bytes"))?;
    let mut cube = Cube { size: 0, min: [0.0; 3], max: [1.0; 3], values: Vec::new() };
    let (mut video_in, mut video_out) = (false, false);
    for (line, n) in text.lines().map(str::trim).zip(1..) {
        let at = |what: &str| format!("line {n}: {what}");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
            if cube.size == 0 {
                return Err(at("colours before LUT_3D_SIZE"));
            }
            if cube.values.len() == cube.size.pow(3) {
                return Err(at("more colours than its size says"));
            }
            cube.values.push(colour(line).ok_or_else(|| at("not three numbers"))?);
            continue;
        }
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        if !cube.values.is_empty() {
            return Err(at("words among the colours"));
        }
        match word {
            "TITLE" => {}
            "LUT_3D_SIZE" => {
                let (low, high) = (Cube::SIZES.start(), Cube::SIZES.end());
                let size = rest.trim().parse().ok().filter(|n| Cube::SIZES.contains(n));
                cube.size = size.ok_or_else(|| at(&format!("its size must be between {low} and {high}")))?;
                cube.values.reserve_exact(cube.size.pow(3).min(bytes.len() / 6 + 1));
            }
            "DOMAIN_MIN" => cube.min = colour(rest).ok_or_else(|| at("not three numbers"))?,
            "DOMAIN_MAX" => cube.max = colour(rest).ok_or_else(|| at("not three numbers"))?,
            "LUT_3D_INPUT_RANGE" => {
                let both = rest.trim().split_once(char::is_whitespace);
                let both = both.and_then(|(a, b)| colour(&format!("{a} {b} 0")));
                let [low, high, _] = both.ok_or_else(|| at("not two numbers"))?;
                (cube.min, cube.max) = ([low; 3], [high; 3]);
            }
            "LUT_IN_VIDEO_RANGE" => video_in = true,
            "LUT_OUT_VIDEO_RANGE" => video_out = true,
            "LUT_1D_SIZE" | "LUT_1D_INPUT_RANGE" => {
                return Err(at("a 1D LUT, which is not read here: only 3D LUTs without a shaper"));
            }
            _ if word.contains('\u{fffd}') || word.contains(char::is_control) => return Err(at("not a text")),
            _ => return Err(at(&format!("\"{}\" is not known here", word.chars().take(40).collect::<String>()))),
        }
    }
    if cube.size == 0 {
        return Err("no LUT_3D_SIZE in it: not a 3D LUT".into());
    }
    if (0..3).any(|c| cube.max[c] - cube.min[c] < 1e-6) {
        return Err("its domain is empty".into());
    }
    let (got, all) = (cube.values.len(), cube.size.pow(3));
    if got != all {
        return Err(format!("it ends after {got} of {all} colours"));
    }
    full_range(&mut cube, video_in, video_out);
    Ok(cube)
}

fn colour(text: &str) -> Option<[f32; 3]> {
    const LIMIT: f64 = 1e6;
    let three = triple(text)?;
    three.iter().all(|v| v.abs() <= LIMIT).then(|| three.map(|v| v as f32))
}

/// 64..940 of 1023 are black and white of a LUT made for video range.
fn full_range(cube: &mut Cube, video_in: bool, video_out: bool) {
    let full = |v: f32| (v * 1023.0 - 64.0) / 876.0;
    if video_in {
        (cube.min, cube.max) = (cube.min.map(full), cube.max.map(full));
    }
    if video_out {
        cube.values.iter_mut().for_each(|v| *v = v.map(full));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A LUT of two entries a side that changes nothing.
    fn neutral(head: &str) -> String {
        let mut out = format!("TITLE \"a\"\n{head}\n# by hand\n");
        for n in 0..8 {
            out += &format!("{} {} {}\n", n & 1, n >> 1 & 1, n >> 2);
        }
        out
    }

    fn refused(text: impl AsRef<[u8]>) -> String {
        parse(text.as_ref()).unwrap_err()
    }

    #[test]
    fn red_changes_first_and_the_domain_is_kept() {
        let cube = parse(neutral("LUT_3D_SIZE 2\nDOMAIN_MIN -1 0 0\nDOMAIN_MAX 2 1 1").as_bytes()).unwrap();
        assert_eq!((cube.size, cube.min[0], cube.max[0]), (2, -1.0, 2.0));
        assert_eq!(cube.values[1], [1.0, 0.0, 0.0]);
        assert_eq!(cube.values[4], [0.0, 0.0, 1.0]);
        let resolve = parse(neutral("LUT_3D_SIZE 2\nLUT_3D_INPUT_RANGE 0.0 2.0").as_bytes()).unwrap();
        assert_eq!(resolve.max, [2.0; 3]);
    }

    #[test]
    fn line_ends_marks_and_encodings_of_every_system_are_read() {
        let text = neutral("LUT_3D_SIZE 2");
        let whole = parse(text.as_bytes()).unwrap();
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let latin1 = text.replace("\"a\"", "\"a\u{1}\"").replace('\u{1}', "\u{e9}");
        let latin1: Vec<u8> = latin1.chars().map(|c| c as u8).collect();
        for bytes in [
            text.replace('\n', "\r\n").into_bytes(),
            format!("\u{feff}{text}").into_bytes(),
            text.trim_end().as_bytes().to_vec(),
            utf16,
            latin1,
        ] {
            assert_eq!(parse(&bytes).as_ref(), Ok(&whole), "{:?}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn video_range_is_made_full() {
        let cube = parse(neutral("LUT_3D_SIZE 2\nLUT_IN_VIDEO_RANGE\nLUT_OUT_VIDEO_RANGE").as_bytes()).unwrap();
        assert!((cube.min[0] + 64.0 / 876.0).abs() < 1e-6 && (cube.max[0] - 959.0 / 876.0).abs() < 1e-6);
        assert_eq!((cube.values[0][0], cube.values[7][0]), (cube.min[0], cube.max[0]));
    }

    #[test]
    fn what_is_not_a_whole_3d_lut_is_refused_in_words() {
        let good = neutral("LUT_3D_SIZE 2");
        let rows = |n: usize| good.lines().take(n).collect::<Vec<_>>().join("\n");
        assert_eq!(refused(rows(10)), "it ends after 7 of 8 colours");
        assert_eq!(refused(rows(2)), "it ends after 0 of 8 colours");
        assert!(refused(format!("{good}1 1 1\n")).starts_with("line 12: more colours"));
        assert!(refused(neutral("LUT_1D_SIZE 1024")).contains("1D LUT"));
        assert!(refused(neutral("LUT_1D_SIZE 2\nLUT_3D_SIZE 2")).contains("1D LUT"));
        assert!(refused(neutral("LUT_3D_SIZE 1")).contains("between 2 and 129"));
        assert!(refused(neutral("LUT_3D_SIZE 4096")).contains("between 2 and 129"));
        assert!(refused(neutral("LUT_3D_SIZE 2\nLUT_4D")).contains("\"LUT_4D\""));
        assert!(refused(neutral("LUT_3D_SIZE 2\nDOMAIN_MAX 0 0 0")).contains("domain"));
        assert!(refused(neutral("LUT_3D_SIZE 2").replace("1 1 1", "1 1")).contains("not three numbers"));
        assert!(refused(neutral("LUT_3D_SIZE 2").replace("1 1 1", "1 0,5 1")).contains("not three numbers"));
        assert!(refused(neutral("LUT_3D_SIZE 2").replace("1 1 1", "1 nan 1")).contains("not three numbers"));
        assert!(refused(neutral("LUT_3D_SIZE 2").replace("1 1 1", "1 1e39 1")).contains("not three numbers"));
        assert!(refused("0 0 0\n").contains("before LUT_3D_SIZE"));
        assert!(refused(neutral("LUT_3D_SIZE 2").replace("0 1 0", "# x\nTITLE x")).contains("among the colours"));
        assert!(refused("").contains("not a 3D LUT"));
        assert!(refused(b"\x89PNG\r\n\x1a\n\0\0\0").contains("not a text"));
    }

    #[test]
    fn a_cut_file_is_never_a_lut() {
        let good = neutral("LUT_3D_SIZE 2");
        let whole = good.trim_end().len();
        for len in 0..whole {
            assert!(parse(&good.as_bytes()[..len]).is_err(), "cut to {len}");
        }
        assert!(parse(&good.as_bytes()[..whole]).is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_stop_it(bytes in proptest::collection::vec(any::<u8>(), 0..300), keep in 0usize..80) {
            let good = neutral("LUT_3D_SIZE 2");
            let _ = parse(&bytes);
            let _ = parse(&[&good.as_bytes()[..keep], &bytes].concat());
        }
    }
}
