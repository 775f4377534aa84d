//! When each picture is shown. A constant rate counts frames, exactly; a varying one keeps the clip's own times.

use crate::scale::rescale;
use ffmpeg_next::{Rational, Stream, ffi};

pub struct Clock {
    from: Rational,
    start: Option<i64>,
    rate: Rational,
    constant: bool,
    expected: u64,
    last: i64,
    /// Where this part of the recording began.
    part: i64,
    /// The longest pause that is believed.
    leap_secs: i64,
}

/// Of a varying rate.
const FINE: Rational = Rational(1, 90_000);
/// A leap in the clip's times longer than this is damage, not a pause.
const MAX_LEAP_SECS: i64 = 10;

impl Clock {
    pub fn new(stream: &Stream<'_>) -> Self {
        let (r, average) = (stream.rate(), stream.avg_frame_rate());
        let known = |r: &Rational| r.numerator() > 0 && r.denominator() > 0;
        let mut rate = Some(r).filter(known).or(Some(average).filter(known)).unwrap_or(Rational(25, 1));
        if known(&average)
            && interlaced(stream)
            && near(rate, Rational(average.numerator().saturating_mul(2), average.denominator()))
        {
            // Fields were counted.
            rate = average;
        }
        let start = Some(stream.start_time()).filter(|t| *t != ffi::AV_NOPTS_VALUE);
        let from = if known(&stream.time_base()) { stream.time_base() } else { FINE };
        let counted = rescale(stream.duration().max(0), from, rate.invert());
        let expected = if stream.frames() > 0 { stream.frames() } else { counted };
        Clock {
            from,
            start,
            rate,
            constant: !known(&average) || near(rate, average) || has_holes(&steps(stream), from, rate),
            expected: expected.max(0).unsigned_abs(),
            last: -1,
            part: 0,
            leap_secs: MAX_LEAP_SECS,
        }
    }

    /// Numbered pictures: their numbers are their times, however many are missing.
    pub fn of_sequence(rate: Rational, total: u64) -> Self {
        let leap_secs = i64::from(i32::MAX);
        Clock {
            from: rate.invert(),
            start: Some(0),
            rate,
            constant: true,
            expected: total,
            last: -1,
            part: 0,
            leap_secs,
        }
    }

    /// The same, of a recording of so many parts of which this is the first.
    pub fn in_parts(self, parts: usize) -> Self {
        Clock { expected: self.expected.saturating_mul(parts as u64), ..self }
    }

    /// The time of what follows the last picture.
    pub fn end(&self) -> i64 {
        if self.last < 0 { 0 } else { self.last + self.tick() }
    }

    /// Goes on with the next part, at the same rate.
    pub fn go_on(&mut self, stream: &Stream<'_>) -> Result<(), String> {
        let next = Clock::new(stream);
        if next.constant != self.constant || !near(self.rate, next.rate) {
            return Err(format!("the next part has {} frames a second, not {}", next.rate, self.rate));
        }
        self.part = self.end();
        (self.from, self.start) = (next.from, next.start);
        Ok(())
    }

    fn tick(&self) -> i64 {
        if self.constant { 1 } else { rescale(1, self.rate.invert(), self.time_base()).max(1) }
    }

    /// The clip's first moment, in `from`.
    pub fn start(&self) -> i64 {
        self.start.unwrap_or(0)
    }

    pub fn from(&self) -> Rational {
        self.from
    }

    pub fn rate(&self) -> Rational {
        self.rate
    }

    pub fn constant(&self) -> bool {
        self.constant
    }

    /// How many frames there may be; a guess.
    pub fn expected(&self) -> u64 {
        self.expected
    }

    pub fn time_base(&self) -> Rational {
        if self.constant { self.rate.invert() } else { FINE }
    }

    /// The time of any picture in `time_base`; `None` of one without a time.
    pub fn exact(&self, timestamp: Option<i64>) -> Option<i64> {
        Some(rescale(timestamp?.saturating_sub(self.start()), self.from, self.time_base()).max(0))
    }

    /// The time of the next picture in `time_base`, later than the one before.
    pub fn at(&mut self, timestamp: Option<i64>) -> i64 {
        let next = self.last + 1;
        let base = self.time_base();
        let wanted = timestamp.map(|t| {
            let start = *self.start.get_or_insert(t);
            rescale(t.saturating_sub(start), self.from, base).saturating_add(self.part)
        });
        let leap = rescale(self.leap_secs, Rational(1, 1), base);
        // A pause stays a pause, so that timecode and sound still fit behind it.
        let believable = wanted.filter(|w| (next..=next.saturating_add(leap)).contains(w));
        self.last = believable.unwrap_or(self.end());
        self.last
    }
}

fn interlaced(stream: &Stream<'_>) -> bool {
    // SAFETY: a stream's parameters live as long as its input. Read as a plain number: a damaged file may hold one that
    // is no variant of the enum. 0 is unknown, 1 progressive.
    unsafe { (&raw const (*(*stream.as_ptr()).codecpar).field_order).cast::<i32>().read() > 1 }
}

/// From picture to picture, by the container's index; empty where it has none of all of them.
fn steps(stream: &Stream<'_>) -> Vec<i64> {
    // SAFETY: the stream is alive, its entries are asked for one by one and below their count.
    unsafe {
        let st = stream.as_ptr().cast_mut();
        let entries = ffi::avformat_index_get_entries_count(st);
        if i64::from(entries) < (*st).nb_frames.max(2) {
            return Vec::new();
        }
        let time = |n: i32| ffi::avformat_index_get_entry(st, n).as_ref().map(|e| e.timestamp);
        (1..entries).filter_map(|n| time(n)?.checked_sub(time(n - 1)?)).collect()
    }
}

/// Almost all steps are one frame long and the others several whole ones: frames were lost, the rate does not vary.
fn has_holes(steps: &[i64], from: Rational, rate: Rational) -> bool {
    let one = f64::from(rate.invert()) / f64::from(from);
    let frames = |step: &i64| {
        let (step, whole) = (*step as f64, (*step as f64 / one).round());
        // Rounded by the container, twice.
        (whole >= 1.0 && (step - whole * one).abs() <= (one * 0.02).max(1.0)).then_some(whole)
    };
    let whole: Option<Vec<f64>> = steps.iter().map(frames).collect();
    let Some(whole) = whole.filter(|w| w.len() >= 10 && one > 4.0) else { return false };
    let single = whole.iter().filter(|w| **w == 1.0).count();
    single < whole.len() && single * 10 >= whole.len() * 9
}

/// Within half a thousandth: a clip's average is rounded by its own last frame.
pub fn near(a: Rational, b: Rational) -> bool {
    let left = i128::from(a.numerator()) * i128::from(b.denominator());
    let right = i128::from(b.numerator()) * i128::from(a.denominator());
    (left - right).abs() * 2000 <= left.abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(rate: Rational, constant: bool) -> Clock {
        let leap_secs = MAX_LEAP_SECS;
        Clock { from: Rational(1, 90_000), start: Some(900), rate, constant, expected: 0, last: -1, part: 0, leap_secs }
    }

    #[test]
    fn a_constant_rate_counts_frames_and_keeps_gaps() {
        let mut c = clock(Rational(24_000, 1001), true);
        // 3753.75 ticks a frame, rounded by the container.
        let times = [900, 4654, 8408, 12_161, 900 + 37_538, 900 + 37_530, i64::MAX, 0];
        let got: Vec<i64> = times.iter().map(|t| c.at(Some(*t))).collect();
        assert_eq!(got, [0, 1, 2, 3, 10, 11, 12, 13]);
        assert_eq!(c.at(None), 14);
    }

    #[test]
    fn a_varying_rate_keeps_the_clips_times() {
        let mut c = clock(Rational(30, 1), false);
        assert_eq!([900, 3900, 7900].map(|t| c.at(Some(t))), [0, 3000, 7000]);
        assert_eq!(c.at(None), 10_000);
    }

    #[test]
    fn lost_frames_are_no_rate_that_varies() {
        let (from, rate) = (Rational(1, 12_800), Rational(25, 1));
        let mut steps = vec![512; 100];
        assert!(!has_holes(&steps, from, rate), "nothing is lost");
        steps[30] = 512 * 11;
        assert!(has_holes(&steps, from, rate));
        steps[31] = 700;
        assert!(!has_holes(&steps, from, rate), "half a frame");
        let every_third: Vec<i64> = (0..100).map(|n| if n % 3 == 0 { 1024 } else { 512 }).collect();
        assert!(!has_holes(&every_third, from, rate));
        assert!(!has_holes(&[], from, rate) && !has_holes(&[512, 1024], from, rate));
        // 24000/1001 in milliseconds.
        let mut coarse: Vec<i64> = (0..100i64).map(|n| (n + 1) * 1001 / 24 - n * 1001 / 24).collect();
        coarse[50] += 42;
        assert!(has_holes(&coarse, Rational(1, 1000), Rational(24_000, 1001)));
    }

    #[test]
    fn averages_are_compared_as_fractions() {
        assert!(near(Rational(30_000, 1001), Rational(2997, 100)));
        assert!(!near(Rational(30, 1), Rational(855, 29)));
        assert!(!near(Rational(30, 1), Rational(30_000, 1001)));
    }
}
