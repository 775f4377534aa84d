//! What can be done to the pictures of a proxy, as plain data: an ASC CDL, then a 3D LUT, then text burned in.

use serde::{Deserialize, Serialize};

/// A correction of the ASC Color Decision List (release 1.2): each of R, G and B becomes
/// `(in * slope + offset) ^ power`, limited to 0..1 before the power; then saturation, by the luma of BT.709.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cdl {
    pub slope: [f64; 3],
    pub offset: [f64; 3],
    pub power: [f64; 3],
    pub saturation: f64,
}

/// The files that corrections are read from, by their ending.
pub const CDL_FILES: [&str; 5] = ["cc", "ccc", "cdl", "ale", "edl"];

/// No grade is so strong; what is larger is damage.
const CDL_LIMIT: f64 = 1000.0;

impl Cdl {
    pub const NEUTRAL: Cdl = Cdl { slope: [1.0; 3], offset: [0.0; 3], power: [1.0; 3], saturation: 1.0 };

    /// `(s s s)(o o o)(p p p)`, as ALE and EDL write it, and one number; what is not said is neutral.
    pub fn parse(sop: Option<&str>, saturation: Option<&str>) -> Option<Self> {
        let mut cdl = Self::NEUTRAL;
        if let Some(text) = sop {
            let groups: Vec<&str> = text.trim().strip_prefix('(')?.strip_suffix(')')?.split(')').collect();
            let [slope, offset, power] = groups[..] else { return None };
            let opened = |group: &'_ str| group.trim().strip_prefix('(').map(str::to_owned);
            (cdl.slope, cdl.offset, cdl.power) = (triple(slope)?, triple(&opened(offset)?)?, triple(&opened(power)?)?);
        }
        if let Some(text) = saturation {
            cdl.saturation = number(text)?;
        }
        cdl.problem().is_none().then_some(cdl)
    }

    /// What no correction may say, in words.
    pub fn problem(&self) -> Option<&'static str> {
        let all = self.slope.iter().chain(&self.offset).chain(&self.power).chain([&self.saturation]);
        if all.into_iter().any(|v| !v.is_finite() || v.abs() > CDL_LIMIT) {
            return Some("a number is out of all bounds");
        }
        if self.slope.iter().any(|v| *v < 0.0) || self.saturation < 0.0 {
            return Some("slope and saturation are never below 0");
        }
        self.power.iter().any(|v| *v <= 0.0).then_some("power is always above 0")
    }

    /// As [`Cdl::parse`] reads it.
    pub fn sop(&self) -> String {
        let group = |[a, b, c]: [f64; 3]| format!("({a} {b} {c})");
        [self.slope, self.offset, self.power].map(group).concat()
    }
}

/// Three numbers, parted by blanks or commas.
pub fn triple(text: &str) -> Option<[f64; 3]> {
    let mut parts = text.split(|c: char| c.is_whitespace() || c == ',').filter(|p| !p.is_empty());
    let three = [number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?];
    parts.next().is_none().then_some(three)
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|v: &f64| v.is_finite())
}

/// A cube of colours.
#[derive(Clone, Debug, PartialEq)]
pub struct Cube {
    /// Entries along each side.
    pub size: usize,
    /// The input that the first and the last entry of each axis stand for.
    pub min: [f32; 3],
    pub max: [f32; 3],
    /// R, G and B, 1.0 for white; red changes first.
    pub values: Vec<[f32; 3]>,
}

impl Cube {
    pub const SIZES: std::ops::RangeInclusive<usize> = 2..=129;
}

/// What the pictures are once the LUT was on them, for the tags of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Colour {
    Bt709,
    Bt2020Pq,
    Bt2020Hlg,
    /// What they were before.
    Clip,
}

impl Colour {
    pub const ALL: [Colour; 4] = [Self::Bt709, Self::Bt2020Pq, Self::Bt2020Hlg, Self::Clip];

    pub fn name(self) -> &'static str {
        match self {
            Self::Bt709 => "bt709",
            Self::Bt2020Pq => "bt2020-pq",
            Self::Bt2020Hlg => "bt2020-hlg",
            Self::Clip => "clip",
        }
    }
}

/// What can be burned in beside a watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BurnIn {
    /// The clip's name.
    Clip,
    /// Of the source, running.
    Timecode,
    Reel,
    /// Counted from 0, running.
    Frame,
    /// The day of recording, as the camera's clock said.
    Date,
}

impl BurnIn {
    pub const ALL: [BurnIn; 5] = [Self::Clip, Self::Timecode, Self::Reel, Self::Frame, Self::Date];

    pub fn name(self) -> &'static str {
        match self {
            Self::Clip => "clip",
            Self::Timecode => "timecode",
            Self::Reel => "reel",
            Self::Frame => "frame",
            Self::Date => "date",
        }
    }
}

/// All that is done to the pictures of one output.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Finish {
    pub cdl: Option<Cdl>,
    /// Which of the LUTs that go with it.
    pub lut: Option<usize>,
    /// `None`: with a LUT, nobody knows; without, what they were.
    pub colour: Option<Colour>,
    pub lines: Vec<Line>,
    /// Height of a line, in percent of the picture's height.
    pub size_percent: u8,
}

/// A text burned in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub place: Place,
    pub text: Text,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Text {
    Fixed(String),
    Timecode,
    Frame,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    TopLeft,
    TopRight,
    BottomLeft,
    Bottom,
    BottomRight,
    /// Large and faint, over the picture.
    Centre,
}

/// Burn-ins in numbers.
pub mod burn_in {
    use std::ops::RangeInclusive;

    pub const SIZE_PERCENT: u8 = 4;
    pub const SIZES_PERCENT: RangeInclusive<u64> = 2..=10;
    /// Kept free on every side, in percent: the safe area for titles of SMPTE ST 2046-1.
    pub const MARGIN_PERCENT: u32 = 5;
    /// A longer text is cut.
    pub const MAX_CHARS: usize = 64;
    /// A watermark is so many times as high as a line.
    pub const WATERMARK_LINES: f32 = 2.5;
    /// Of 255: how much of a picture a watermark covers, and the ground under a line.
    pub const WATERMARK_OPACITY: u32 = 96;
    pub const GROUND_OPACITY: u32 = 128;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correction_is_read_as_sheets_write_it_and_written_so() {
        let cdl = Cdl::parse(Some("(1.1 1.0 0.9)(-0.01 0 0.02)(1, 1.2, 1)"), Some("0.8")).unwrap();
        assert_eq!((cdl.slope, cdl.offset[0], cdl.power[1], cdl.saturation), ([1.1, 1.0, 0.9], -0.01, 1.2, 0.8));
        assert_eq!(cdl.sop(), "(1.1 1 0.9)(-0.01 0 0.02)(1 1.2 1)");
        assert_eq!(Cdl::parse(Some(&cdl.sop()), Some("0.8")), Some(cdl));
        assert_eq!(Cdl::parse(Some(" (1 1 1) (0 0 0) (1 1 1) "), None), Some(Cdl::NEUTRAL));
        assert_eq!(Cdl::parse(None, Some("0")).unwrap().saturation, 0.0);
        for bad in [
            "",
            "()",
            "(1 1 1)(0 0 0)",
            "(1 1)(0 0 0)(1 1 1)",
            "(1 1 1)(0 0 0)(1 1 0)",
            "(-1 1 1)(0 0 0)(1 1 1)",
            "(1 1 1)(nan 0 0)(1 1 1)",
            "(1 1 1)(0 0 1e9)(1 1 1)",
            "(1 1 1)0 0 0)(1 1 1)",
            "(1 1 1)(0 0 0)(1 1 1)(1 1 1)",
            "1 1 1 0 0 0 1 1 1",
        ] {
            assert_eq!(Cdl::parse(Some(bad), None), None, "{bad}");
        }
        assert_eq!(Cdl::parse(None, Some("-0.1")), None);
        assert_eq!(Cdl::parse(None, Some("")), None);
    }
}
