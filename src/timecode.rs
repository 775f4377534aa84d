//! Whole-frame timecode over an exact rational rate. No float ever decides a frame.
//!
//! Drop-frame arithmetic follows SMPTE ST 12-1: at 30000/1001 two frame *numbers* are skipped each minute but every
//! tenth; at the double rate four, and so on.

use std::fmt;

/// Frames per second as a reduced fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameRate {
    num: u32,
    den: u32,
}

impl FrameRate {
    /// `None` for zero, and for rates above 100,000 frames a second.
    pub const fn new(num: u32, den: u32) -> Option<Self> {
        if num == 0 || den == 0 || num as u64 > 100_000 * den as u64 {
            return None;
        }
        let mut a = num;
        let mut b = den;
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Some(FrameRate { num: num / a, den: den / a })
    }

    /// `24000/1001`, `25/1`.
    pub fn fraction(self) -> String {
        format!("{}/{}", self.num, self.den)
    }

    /// How many frames of this rate last as long as `frames` of `other`, rounded down.
    pub fn count_of(self, frames: u64, other: FrameRate) -> u64 {
        let top = u128::from(frames) * u128::from(self.num) * u128::from(other.den);
        let bottom = u128::from(self.den) * u128::from(other.num);
        u64::try_from(top / bottom).unwrap_or(u64::MAX)
    }

    pub fn num(self) -> u32 {
        self.num
    }

    pub fn den(self) -> u32 {
        self.den
    }

    /// Frame numbers in a timecode second: 24 for 23.976, 30 for 29.97.
    pub fn nominal(self) -> u32 {
        self.num.div_ceil(self.den).max(1)
    }

    /// Drop-frame exists only at multiples of 30000/1001.
    pub fn can_drop(self) -> bool {
        self.den == 1001 && self.num.is_multiple_of(30_000)
    }

    /// The rate that a header's floating point number means; see [`FrameRate::of_milli`].
    pub fn near(rate: f64) -> Option<Self> {
        (0.001..=100_000.0).contains(&rate).then(|| Self::of_milli((rate * 1000.0).round() as u32)).flatten()
    }

    /// The rate that a decimal of three digits means: `23.976` and `23.980` are 24000/1001, `59.94` is 60000/1001; others
    /// are taken as they are.
    pub fn of_milli(milli: u32) -> Option<Self> {
        let milli = u64::from(milli);
        // A multiple of 12, 15 or 25 slowed down by 1001/1000, as far as the two digits of "23.98" tell it.
        let whole = (milli * 1001 + 500_000) / 1_000_000;
        let slowed = whole > 0
            && !milli.is_multiple_of(1000)
            && [12, 15, 25].iter().any(|n| whole.is_multiple_of(*n))
            && (whole * 1_000_000).abs_diff(milli * 1001) <= 5 * 1001;
        match slowed {
            true => Self::new(u32::try_from(whole * 1000).ok()?, 1001),
            false => Self::new(u32::try_from(milli).ok()?, 1000),
        }
    }

    /// `24000/1001`, `25`, `23.976`; a fourth digit rounds.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some((num, den)) = text.split_once('/') {
            return Self::new(num.trim().parse().ok()?, den.trim().parse().ok()?);
        }
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() && part.is_empty() || whole.len() > 6 || !digits(whole) || !digits(part) {
            return None;
        }
        let part = format!("{:0<4.4}", part);
        let tenths: u64 = format!("{whole}{part}").parse().ok()?;
        Self::of_milli(u32::try_from((tenths + 5) / 10).ok()?)
    }

    /// Decimal with up to three digits, as editors write it: `23.976`, `25`, `59.94`.
    pub fn text(self) -> String {
        let milli = (u64::from(self.num) * 1000 + u64::from(self.den) / 2) / u64::from(self.den);
        let text = format!("{}.{:03}", milli / 1000, milli % 1000);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// A count of frames since 00:00:00:00 together with how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timecode {
    /// Frames since midnight, always below one day.
    pub frame: u32,
    pub rate: FrameRate,
    pub drop: bool,
}

impl Timecode {
    /// Wraps at 24 hours. `drop` at a rate that has none is read as non-drop.
    pub fn from_frame(frame: u64, rate: FrameRate, drop: bool) -> Self {
        let drop = drop && rate.can_drop();
        let t = Timecode { frame: 0, rate, drop };
        Timecode { frame: (frame % t.frames_a_day()) as u32, ..t }
    }

    /// Where sound begins that is `samples` after midnight: the frame that has begun before the next sample. A recorder
    /// may have rounded the first sample of a frame up, down or to the nearest; all three give that frame.
    /// `None` without a sample rate, and for drop-frame at a rate that has none.
    pub fn from_samples(samples: u64, sample_rate: u32, rate: FrameRate, drop: bool) -> Option<Self> {
        if sample_rate == 0 || drop && !rate.can_drop() {
            return None;
        }
        let ticks = (u128::from(samples) + 1) * u128::from(rate.num) - 1;
        let frame = ticks / (u128::from(rate.den) * u128::from(sample_rate));
        let day = Timecode { frame: 0, rate, drop }.frames_a_day();
        Some(Self::from_frame((frame % u128::from(day)) as u64, rate, drop))
    }

    fn dropped_a_minute(self) -> u64 {
        if self.drop { u64::from(self.rate.nominal()) / 15 } else { 0 }
    }

    pub fn frames_a_day(self) -> u64 {
        24 * 6 * (u64::from(self.rate.nominal()) * 600 - 9 * self.dropped_a_minute())
    }

    /// Reads `HH:MM:SS:FF`, `;` or `.` before the frames meaning drop-frame; `None` for a time that does not exist.
    pub fn parse(text: &str, rate: FrameRate) -> Option<Self> {
        let text = text.trim();
        let drop = text.contains([';', '.', ',']);
        let parts: Vec<&str> = text.split([':', ';', '.', ',']).collect();
        let [h, m, s, f] = parts[..] else { return None };
        if [h, m, s, f].iter().any(|p| p.is_empty() || p.len() > 3 || !p.bytes().all(|b| b.is_ascii_digit())) {
            return None;
        }
        let [h, m, s, f] = [h, m, s, f].map(|p| p.parse::<u64>().unwrap_or(u64::MAX));
        let nominal = u64::from(rate.nominal());
        if h > 23 || m > 59 || s > 59 || f >= nominal {
            return None;
        }
        let drop = drop && rate.can_drop();
        let shape = Timecode { frame: 0, rate, drop };
        let skipped = shape.dropped_a_minute();
        if drop && s == 0 && f < skipped && !m.is_multiple_of(10) {
            return None;
        }
        let minutes = h * 60 + m;
        let frame = (minutes * 60 + s) * nominal + f - skipped * (minutes - minutes / 10);
        Some(Timecode { frame: frame as u32, ..shape })
    }

    /// `frames` later, wrapped at 24 hours.
    pub fn plus(self, frames: u64) -> Self {
        Self::from_frame(u64::from(self.frame).saturating_add(frames), self.rate, self.drop)
    }
}

impl fmt::Display for Timecode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nominal = u64::from(self.rate.nominal());
        let skipped = self.dropped_a_minute();
        let mut n = u64::from(self.frame);
        if skipped > 0 {
            let ten = nominal * 600 - 9 * skipped;
            let (tens, rest) = (n / ten, n % ten);
            let minutes = rest.saturating_sub(skipped) / (nominal * 60 - skipped);
            n += skipped * (9 * tens + minutes);
        }
        let (seconds, frame) = (n / nominal, n % nominal);
        let sep = if self.drop { ';' } else { ':' };
        let width = if nominal > 100 { 3 } else { 2 };
        write!(f, "{:02}:{:02}:{:02}{sep}{frame:0width$}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NTSC: FrameRate = FrameRate { num: 30_000, den: 1001 };

    #[test]
    fn drop_frame_skips_numbers_each_minute_but_the_tenth() {
        assert_eq!(Timecode::parse("00:00:59;29", NTSC).unwrap().plus(1).to_string(), "00:01:00;02");
        assert_eq!(Timecode::parse("00:09:59;29", NTSC).unwrap().plus(1).to_string(), "00:10:00;00");
        assert!(Timecode::parse("00:01:00;00", NTSC).is_none());
        assert_eq!(Timecode::parse("23:59:59;29", NTSC).unwrap().plus(1).to_string(), "00:00:00;00");
        assert_eq!(Timecode::parse("01:00:00;00", NTSC).unwrap().frame, 107_892);
    }

    #[test]
    fn drop_is_ignored_where_it_does_not_exist() {
        let film = FrameRate::new(24_000, 1001).unwrap();
        assert_eq!(Timecode::parse("01:00:00;00", film).unwrap().to_string(), "01:00:00:00");
        assert_eq!(film.text(), "23.976");
        assert_eq!(FrameRate::new(60_000, 1001).unwrap().text(), "59.94");
        assert_eq!(FrameRate::new(50, 2).unwrap().text(), "25");
    }

    #[test]
    fn drop_frame_at_the_double_rate_skips_four_numbers() {
        let rate = FrameRate::new(60_000, 1001).unwrap();
        assert_eq!(Timecode::parse("00:00:59;59", rate).unwrap().plus(1).to_string(), "00:01:00;04");
        assert_eq!(Timecode::parse("00:09:59;59", rate).unwrap().plus(1).to_string(), "00:10:00;00");
        assert!(Timecode::parse("00:01:00;03", rate).is_none());
        assert_eq!(Timecode::parse("23:59:59;59", rate).unwrap().plus(1).to_string(), "00:00:00;00");
        // A day of drop-frame is a day of the clock to a tenth of a second.
        let day = Timecode::from_frame(0, rate, true).frames_a_day();
        assert_eq!(day, 5_178_816);
        assert!((day as f64 * 1001.0 / 60_000.0 - 86_400.0).abs() < 0.1);
    }

    #[test]
    fn samples_since_midnight_are_frames_at_the_true_rate() {
        let film = FrameRate::new(24_000, 1001).unwrap();
        let at = |samples, rate, drop| Timecode::from_samples(samples, 48_000, rate, drop);
        let tc = at(2_190_940_753, film, false).unwrap();
        assert_eq!((tc.frame, tc.to_string().as_str()), (1_094_376, "12:39:59:00"));
        assert_eq!(at(172_800_000, NTSC, true).unwrap().to_string(), "01:00:00;00");
        // 01:00:00;00 is a hair before 3600 s: a drop-frame hour is 107892 frames of 1001/30000 s.
        assert_eq!(at(172_799_827, NTSC, true).unwrap().to_string(), "01:00:00;00");
        assert_eq!(at(172_799_820, NTSC, true).unwrap().to_string(), "00:59:59;29");
        assert_eq!(at(0, film, true), None);
        assert_eq!(Timecode::from_samples(0, 0, film, false), None);
        assert!(Timecode::from_samples(u64::MAX, 1, FrameRate::new(100_000, 1).unwrap(), false).is_some());
    }

    #[test]
    fn decimal_rates_are_the_exact_ones_that_they_mean() {
        for (text, num, den) in [
            ("23.976", 24_000, 1001),
            ("23.98", 24_000, 1001),
            ("29.97", 30_000, 1001),
            ("47.952", 48_000, 1001),
            ("59.94", 60_000, 1001),
            ("119.88", 120_000, 1001),
            ("25", 25, 1),
            ("25.000", 25, 1),
            ("24000/1001", 24_000, 1001),
            ("50/2", 25, 1),
            ("11.99", 12_000, 1001),
            ("14.985", 15_000, 1001),
            (".5", 1, 2),
            ("22.5", 45, 2),
            ("23.5", 47, 2),
        ] {
            let rate = FrameRate::parse(text).unwrap();
            assert_eq!((rate.num(), rate.den()), (num, den), "{text}");
        }
        assert_eq!(FrameRate::near(23.976), FrameRate::parse("23.9760239"));
        for bad in ["", "0", "-25", "24/0", "nan", "inf", "1e9", "a/b", "24/1/1", ".", "1.2.3", "100001"] {
            assert_eq!(FrameRate::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn the_first_sample_of_a_frame_gives_it_back_however_it_was_rounded(
            n in 0u64..2_000_000, pick in 0usize..6, fast: bool, drop: bool,
        ) {
            let (num, den) = [(24_000, 1001), (24, 1), (25, 1), (30_000, 1001), (50, 1), (60_000, 1001)][pick];
            let rate = FrameRate::new(num, den).unwrap();
            let sample_rate = if fast { 96_000 } else { 48_000 };
            let wanted = Timecode::from_frame(n, rate, drop);
            let exact = u64::from(wanted.frame) * u64::from(den) * u64::from(sample_rate);
            let drop = wanted.drop;
            for samples in [exact / u64::from(num), exact.div_ceil(num.into())] {
                prop_assert_eq!(Timecode::from_samples(samples, sample_rate, rate, drop), Some(wanted));
            }
            // And no sample earlier.
            if let Some(before) = (exact / u64::from(num)).checked_sub(1) {
                prop_assert_ne!(Timecode::from_samples(before, sample_rate, rate, drop), Some(wanted));
            }
        }

        #[test]
        fn a_day_later_is_the_same_timecode(n in 0u64..20_000_000, pick in 0usize..4, drop: bool) {
            let (num, den) = [(24_000, 1001), (25, 1), (30_000, 1001), (60_000, 1001)][pick];
            let tc = Timecode::from_frame(n, FrameRate::new(num, den).unwrap(), drop);
            prop_assert_eq!(tc.plus(tc.frames_a_day()), tc);
            prop_assert_eq!(tc.plus(tc.frames_a_day() - 1).plus(1), tc);
        }

        #[test]
        fn every_frame_of_a_day_is_written_once_and_read_back(n in 0u64..20_000_000, pick in 0usize..7, drop: bool) {
            let (num, den) = [(24_000, 1001), (24, 1), (25, 1), (30_000, 1001), (50, 1), (60_000, 1001), (120_000, 1001)][pick];
            let tc = Timecode::from_frame(n, FrameRate::new(num, den).unwrap(), drop);
            prop_assert_eq!(Timecode::parse(&tc.to_string(), tc.rate), Some(tc));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,20}") {
            let _ = Timecode::parse(&text, NTSC);
        }
    }
}
