//! How loud a clip is: the waveform to look at (audiowaveform's JSON, version 2), and per track and channel what an
//! assistant checks first.

use crate::file_io::{FileIo, Shared};
use crate::lane::{Full, Item, Made, failed, share_sound};
use crate::qc::{Channel, Qc, Stretches, Track as Report};
use crate::sound::{Through, Track, has_layout};
use ffmpeg_next::{ChannelLayout, frame};
use goodgate::media::protocol::Outcome;
use goodgate::preset::qc::{CLIPPED_SAMPLES, SILENT, SILENT_SECS};
use goodgate::preset::waveform::{MAX_POINTS, SAMPLES_A_POINT};
use std::io::Write;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

/// The lane's work; answers for the waveform if it has a file.
pub fn run(
    tracks: &[(usize, Track)],
    file: Option<Arc<Shared>>,
    qc: Option<Arc<Mutex<Qc>>>,
    from: Receiver<Item>,
    _: Full,
) -> Vec<Made> {
    let mut ears: Vec<Meter> = tracks.iter().map(|(_, t)| Meter::new(*t)).collect();
    for item in from {
        if let Item::Sound(place, frame) = item
            && let Some(at) = tracks.iter().position(|(p, _)| *p == place)
        {
            ears[at].push(Some(frame));
        }
    }
    ears.iter_mut().for_each(|e| e.push(None));
    let made = file.map(|file| {
        let json = waveform(&mut ears).ok_or_else(|| "none of its sound can be decoded".to_owned());
        let written = json.and_then(|json| {
            FileIo::new(file.clone()).write_all(json.as_bytes()).map_err(|e| format!("can not be written: {e}"))
        });
        written.map(|()| (0, None)).map_err(|why: String| -> Outcome { failed(&file, why) })
    });
    if let Some(qc) = qc {
        qc.lock().unwrap_or_else(PoisonError::into_inner).tracks = ears.iter_mut().map(Meter::report).collect();
    }
    made.into_iter().collect()
}

/// One track.
struct Meter {
    rate_hz: u32,
    samples: Through,
    loudness: Through,
    lufs: Option<f64>,
    at: u64,
    channels: Vec<Ear>,
}

struct Ear {
    peak: f32,
    quiet: Stretches,
    clipped: Stretches,
    /// Least and greatest of each point.
    points: Vec<(f32, f32)>,
    /// Samples a point, growing as the sound gets longer.
    per_point: u64,
}

impl Meter {
    fn new(track: Track) -> Self {
        let ear = |_| Ear {
            peak: 0.0,
            quiet: Stretches::longer_than(u64::from(track.rate_hz) * SILENT_SECS),
            clipped: Stretches::longer_than(CLIPPED_SAMPLES).joined(track.rate_hz.into()),
            points: Vec::new(),
            per_point: SAMPLES_A_POINT,
        };
        Meter {
            rate_hz: track.rate_hz,
            samples: Through::new(track.time_base, Box::new(|_| "aresample=async=1:first_pts=0,aformat=fltp".into())),
            loudness: Through::new(track.time_base, Box::new(|_| "ebur128=metadata=1".into())),
            lufs: None,
            at: 0,
            channels: (0..track.channels).map(ear).collect(),
        }
    }

    fn push(&mut self, frame: Option<frame::Audio>) {
        let Meter { samples, loudness, lufs, at, channels, .. } = self;
        let mut shared = frame.as_ref().map(share_sound);
        // Loudness is of loudspeakers: one and two channels can only mean the usual ones, more stay unknown.
        if let Some(f) = shared.as_mut().filter(|f| f.channels() <= 2 && !has_layout(f)) {
            f.set_channel_layout(ChannelLayout::default(f.channels().into()));
        }
        let _ = loudness.push(shared, &mut |measured| {
            let said = measured.metadata().get("lavfi.r128.I").and_then(|t| t.parse().ok());
            // -70 is its word for nothing yet.
            *lufs = said.filter(|v: &f64| v.is_finite() && *v > -70.0).or(*lufs);
            Ok(true)
        });
        let _ = samples.push(frame, &mut |ready| {
            for (n, ear) in channels.iter_mut().enumerate().take(ready.planes()) {
                for (i, sample) in ready.plane::<f32>(n).iter().enumerate() {
                    ear.hear(*at + i as u64, *sample);
                }
            }
            *at += ready.samples() as u64;
            Ok(true)
        });
    }

    fn report(&mut self) -> Report {
        let db = |peak: f32| (peak > 0.0).then(|| (f64::from(peak).log10() * 2000.0).round() / 100.0);
        let channels = self.channels.iter_mut().map(|ear| Channel {
            peak_dbfs: db(ear.peak),
            silent: ear.peak < SILENT,
            silent_stretches: ear.quiet.finish(),
            clipped: ear.clipped.finish(),
        });
        Report { sample_rate: self.rate_hz, loudness_lufs: self.lufs, channels: channels.collect() }
    }
}

impl Ear {
    fn hear(&mut self, at: u64, sample: f32) {
        let level = sample.abs();
        self.peak = self.peak.max(level);
        self.quiet.add(at, level < SILENT);
        // The greatest value of 16 bits, a hair below one.
        self.clipped.add(at, level >= 32_766.0 / 32_768.0);
        let point = (at / self.per_point) as usize;
        if point >= MAX_POINTS {
            self.coarser();
            return self.note(at, sample);
        }
        self.note(at, sample);
    }

    fn note(&mut self, at: u64, sample: f32) {
        let point = (at / self.per_point) as usize;
        while self.points.len() <= point {
            self.points.push((sample, sample));
        }
        let (least, most) = &mut self.points[point];
        (*least, *most) = (least.min(sample), most.max(sample));
    }

    fn coarser(&mut self) {
        let pair = |p: &[(f32, f32)]| p.iter().copied().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or_default();
        self.points = self.points.chunks(2).map(pair).collect();
        self.per_point *= 2;
    }
}

/// `None`: there is no sound. Tracks of another rate than the first one's are left out: a point is a number of samples.
fn waveform(meters: &mut [Meter]) -> Option<String> {
    let rate = meters.iter().find(|m| m.at > 0)?.rate_hz;
    let mut ears: Vec<&mut Ear> =
        meters.iter_mut().filter(|m| m.rate_hz == rate).flat_map(|m| m.channels.iter_mut()).collect();
    let per_point = ears.iter().map(|e| e.per_point).max()?;
    for ear in &mut ears {
        while ear.per_point < per_point {
            ear.coarser();
        }
    }
    let length = ears.iter().map(|e| e.points.len()).max()?;
    let eight = |v: f32| (v * 128.0).round().clamp(-128.0, 127.0) as i8;
    let mut data: Vec<i8> = Vec::with_capacity(length * ears.len() * 2);
    for n in 0..length {
        for ear in &ears {
            let (least, most) = ear.points.get(n).copied().unwrap_or_default();
            data.extend([eight(least), eight(most)]);
        }
    }
    let json = serde_json::json!({
        "version": 2, "channels": ears.len(), "sample_rate": rate, "samples_per_pixel": per_point, "bits": 8,
        "length": length, "data": data,
    });
    Some(json.to_string())
}
