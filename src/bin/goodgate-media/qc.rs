//! What is wrong with a clip, as far as decoding it once shows: a JSON file beside its proxies.

use serde::Serialize;

/// Of each kind, so many are listed.
const MOST: usize = 200;

#[derive(Default, Serialize)]
pub struct Qc {
    pub version: u32,
    pub frames: u64,
    pub decode_errors: Vec<Damage>,
    pub timestamp_gaps: Vec<Gap>,
    pub black: Vec<Stretch>,
    pub frozen: Vec<Stretch>,
    pub tracks: Vec<Track>,
}

/// Near this frame, counted from 0, something could not be decoded.
#[derive(Serialize)]
pub struct Damage {
    pub frame: u64,
}

/// Before this frame the clip's own clock leaps over so many.
#[derive(Serialize)]
pub struct Gap {
    pub frame: u64,
    pub missing: u64,
}

/// First and last frame, or sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stretch {
    pub from: u64,
    pub to: u64,
}

/// A stream of sound; stretches count samples at `sample_rate`.
#[derive(Serialize)]
pub struct Track {
    pub sample_rate: u32,
    /// EBU R 128, over the whole track; none where it is too short or too quiet.
    pub loudness_lufs: Option<f64>,
    pub channels: Vec<Channel>,
}

#[derive(Serialize)]
pub struct Channel {
    /// None: digital silence.
    pub peak_dbfs: Option<f64>,
    pub silent: bool,
    pub silent_stretches: Vec<Stretch>,
    pub clipped: Vec<Stretch>,
}

impl Qc {
    pub fn damage(&mut self, frame: u64) {
        if self.decode_errors.len() < MOST && self.decode_errors.last().is_none_or(|d| d.frame != frame) {
            self.decode_errors.push(Damage { frame });
        }
    }

    pub fn gap(&mut self, frame: u64, missing: u64) {
        if self.timestamp_gaps.len() < MOST {
            self.timestamp_gaps.push(Gap { frame, missing });
        }
    }
}

/// Collects runs of at least a number of neighbours for which something is true.
pub struct Stretches {
    least: u64,
    /// What lies no further apart is one.
    apart: u64,
    open: Option<Stretch>,
    found: Vec<Stretch>,
}

impl Stretches {
    pub fn longer_than(least: u64) -> Self {
        Stretches { least, apart: 0, open: None, found: Vec::new() }
    }

    /// Those that lie so close behind each other are one for people.
    pub fn joined(self, apart: u64) -> Self {
        Stretches { apart, ..self }
    }

    pub fn add(&mut self, at: u64, is: bool) {
        match &mut self.open {
            Some(open) if is => open.to = at,
            None if is => self.open = Some(Stretch { from: at, to: at }),
            _ => self.close(),
        }
    }

    fn close(&mut self) {
        let Some(long) = self.open.take().filter(|s| s.to - s.from + 1 >= self.least) else { return };
        let room = self.found.len() < MOST;
        match self.found.last_mut() {
            Some(last) if long.from - last.to <= self.apart => last.to = long.to,
            _ if room => self.found.push(long),
            _ => {}
        }
    }

    pub fn finish(&mut self) -> Vec<Stretch> {
        self.close();
        std::mem::take(&mut self.found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_runs_are_stretches() {
        let mut s = Stretches::longer_than(3);
        for (at, is) in [true, true, false, true, true, true, false, true, true, true, true].into_iter().enumerate() {
            s.add(at as u64, is);
        }
        assert_eq!(s.finish(), [Stretch { from: 3, to: 5 }, Stretch { from: 7, to: 10 }]);
    }

    #[test]
    fn runs_that_lie_close_are_one_stretch() {
        let mut s = Stretches::longer_than(3).joined(50);
        // Half waves of a tone, then nothing, then some more.
        (0..2000).for_each(|at| s.add(at, at % 10 < 5 && !(800..900).contains(&at)));
        assert_eq!(s.finish(), [Stretch { from: 0, to: 794 }, Stretch { from: 900, to: 1994 }]);
    }
}
