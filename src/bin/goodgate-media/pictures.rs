//! The smallest pictures, all made on one lane: the poster, the filmstrip under a moving mouse with its index, and what
//! can be seen to be wrong (black, frozen).

use crate::file_io::{FileIo, Shared};
use crate::finish::Finisher;
use crate::lane::{Full, Item, Made, failed, share};
use crate::poster::{Poster, encode, tag_rgb, upright};
use crate::qc::{Qc, Stretches};
use crate::scale::{Scaler, rescale};
use ffmpeg_next::{Rational, format::Pixel, frame};
use goodgate::preset::filmstrip::{COLUMNS, MAX_TILES, TILE_WIDTH, TILES};
use goodgate::preset::qc::{BLACK_LUMA, BLACK_PERCENT, BLACK_SECS, FROZEN_SECS};
use std::io::Write;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

/// What the lane makes, each with its file.
pub struct Wanted {
    pub poster: Option<Arc<Shared>>,
    pub strip: Option<Arc<Shared>>,
    pub index: Option<Arc<Shared>>,
    /// The strip's address as the index names it.
    pub sprite: String,
    pub qc: Option<Arc<Mutex<Qc>>>,
    pub time_base: Rational,
    pub rate: Rational,
    pub expected_frames: u64,
    pub rotation_deg: u16,
    /// Their looks, or why they can have none.
    pub poster_finisher: Result<Option<Finisher>, String>,
    pub strip_finisher: Result<Option<Finisher>, String>,
    /// Only some pictures of the clip come, and each is a tile.
    pub glance: bool,
}

/// The lane's work; answers for the poster, the strip and the index, as far as they are wanted, in this order.
pub fn run(mut wanted: Wanted, from: Receiver<Item>, full: Full) -> Vec<Made> {
    let finisher = std::mem::replace(&mut wanted.poster_finisher, Ok(None));
    let mut poster = Poster::new(wanted.expected_frames, wanted.rotation_deg, finisher);
    let only_poster = wanted.strip.is_none() && wanted.index.is_none() && wanted.qc.is_none();
    let mut strip = Strip::new(&wanted);
    let mut trouble = None;
    match std::mem::replace(&mut wanted.strip_finisher, Ok(None)) {
        Ok(finisher) => strip.finisher = finisher,
        Err(why) => trouble = Some(why),
    }
    let mut index = 0;
    for item in from {
        let Item::Picture(frame) = item else { continue };
        if wanted.poster.is_some() {
            let at = frame.pts().map(|at| rescale(at, wanted.time_base, wanted.rate.invert()));
            poster.look(&frame, at.filter(|_| wanted.glance).map_or(index, i64::unsigned_abs));
        }
        index += 1;
        if !only_poster
            && trouble.is_none()
            && let Err(why) = strip.push(Some(frame))
        {
            trouble = Some(why);
        }
        if only_poster && poster.settled {
            full.set();
        }
    }
    if !only_poster && trouble.is_none() {
        trouble = strip.push(None).err();
    }
    if wanted.glance {
        let whole = strip.tick.saturating_mul(wanted.expected_frames.try_into().unwrap_or(i64::MAX));
        strip.end = strip.end.max(whole);
    }
    let nothing = || "no picture of it can be decoded".to_owned();
    if let Some(qc) = &wanted.qc {
        let mut qc = qc.lock().unwrap_or_else(PoisonError::into_inner);
        (qc.black, qc.frozen) = (strip.seen.black.finish(), strip.seen.frozen.finish());
    }
    let mut out = Vec::new();
    if let Some(file) = &wanted.poster {
        let jpeg = poster.jpeg.ok_or_else(|| poster.trouble.unwrap_or_else(nothing));
        out.push(write(file, jpeg, 1));
    }
    let tiles = strip.tiles.len() as u64;
    if let Some(file) = &wanted.strip {
        out.push(write(file, trouble.clone().map_or_else(|| strip.sprite(), Err), tiles));
    }
    if let Some(file) = &wanted.index {
        let text = if tiles > 0 { Ok(strip.cues(&wanted.sprite).into_bytes()) } else { Err(nothing()) };
        out.push(write(file, trouble.map_or(text, Err), tiles));
    }
    out
}

fn write(file: &Arc<Shared>, bytes: Result<Vec<u8>, String>, frames: u64) -> Made {
    let written = bytes
        .and_then(|bytes| FileIo::new(file.clone()).write_all(&bytes).map_err(|e| format!("can not be written: {e}")));
    written.map(|()| (frames, None)).map_err(|why| failed(file, why))
}

struct Tile {
    /// In the clip's time base.
    at: i64,
    picture: frame::Video,
}

/// Every picture small; every so many kept.
struct Strip {
    scaler: Scaler,
    finisher: Option<Finisher>,
    time_base: Rational,
    tiles: Vec<Tile>,
    index: u64,
    step: u64,
    /// The end of the last picture.
    end: i64,
    tick: i64,
    seen: Seen,
}

/// What is wrong with the pictures so far.
struct Seen {
    before: Option<Vec<u8>>,
    black: Stretches,
    frozen: Stretches,
}

impl Strip {
    fn new(wanted: &Wanted) -> Self {
        let (time_base, rate) = (wanted.time_base, wanted.rate);
        let turned = wanted.rotation_deg;
        let frames = |secs: u64| {
            let (n, d) = (rate.numerator().max(1) as u64, rate.denominator().max(1) as u64);
            (secs * n).div_ceil(d).max(2)
        };
        Strip {
            scaler: Scaler::new(time_base, Box::new(move |f| upright(f, turned, TILE_WIDTH))),
            finisher: None,
            time_base,
            tiles: Vec::new(),
            index: 0,
            step: if wanted.glance { 1 } else { (wanted.expected_frames / TILES).max(1) },
            end: 0,
            tick: rescale(1, rate.invert(), time_base).max(1),
            seen: Seen {
                before: None,
                black: Stretches::longer_than(frames(BLACK_SECS)),
                frozen: Stretches::longer_than(frames(FROZEN_SECS)),
            },
        }
    }

    fn push(&mut self, frame: Option<frame::Video>) -> Result<(), String> {
        let was = frame.as_ref().map(|f| f.format());
        let Strip { scaler, finisher, tiles, index, step, end, tick, seen, .. } = self;
        scaler.push(frame, &mut |small| {
            seen.look(&small, *index);
            let at = small.pts().unwrap_or(*end);
            *end = at + *tick;
            if (*index).is_multiple_of(*step) {
                // Only what is shown has a look and JPEG's matrix: findings are of the clip as it is.
                let mut picture = share(&small);
                if let Some(finisher) = finisher {
                    tag_rgb(&mut picture, was.unwrap_or(Pixel::YUVJ420P));
                    finisher.finish(&mut picture)?;
                }
                tiles.push(Tile { at, picture });
            }
            if tiles.len() >= MAX_TILES {
                // Longer than it seemed: every second one goes.
                let mut n = 0;
                tiles.retain(|_| {
                    n += 1;
                    n % 2 == 1
                });
                *step *= 2;
            }
            *index += 1;
            Ok(())
        })
    }

    fn columns(&self) -> usize {
        self.tiles.len().clamp(1, COLUMNS)
    }

    /// All tiles in one JPEG, row by row.
    fn sprite(&self) -> Result<Vec<u8>, String> {
        let first = &self.tiles.first().ok_or("no picture of it can be decoded")?.picture;
        let (w, h) = (first.width() as usize, first.height() as usize);
        let rows = self.tiles.len().div_ceil(self.columns());
        let mut whole = frame::Video::new(Pixel::YUVJ420P, (w * self.columns()) as u32, (h * rows) as u32);
        for plane in 0..3 {
            whole.data_mut(plane).fill(if plane == 0 { 0 } else { 128 });
            let (w, h) = if plane == 0 { (w, h) } else { (w / 2, h / 2) };
            for (n, tile) in self.tiles.iter().enumerate() {
                let (stride, from) = (whole.stride(plane), tile.picture.stride(plane));
                let (column, row) = (n % self.columns(), n / self.columns());
                // A clip that changed its shape half-way has tiles of two shapes.
                let same = tile.picture.width() == first.width() && tile.picture.height() == first.height();
                for y in 0..if same { h } else { 0 } {
                    let to = (row * h + y) * stride + column * w;
                    let line = tile.picture.data(plane).get(y * from..y * from + w);
                    if let (Some(line), Some(place)) = (line, whole.data_mut(plane).get_mut(to..to + w)) {
                        place.copy_from_slice(line);
                    }
                }
            }
        }
        encode(whole).map_err(|e| format!("can not be written as JPEG: {e}"))
    }

    /// WebVTT: when which tile is shown.
    fn cues(&self, sprite: &str) -> String {
        let (w, h) = self.tiles.first().map_or((0, 0), |t| (t.picture.width() as usize, t.picture.height() as usize));
        let mut out = "WEBVTT\n".to_owned();
        for (n, tile) in self.tiles.iter().enumerate() {
            let end = self.tiles.get(n + 1).map_or(self.end, |next| next.at);
            let (x, y) = (n % self.columns() * w, n / self.columns() * h);
            let (from, to) = (clock(tile.at, self.time_base), clock(end, self.time_base));
            out += &format!("\n{from} --> {to}\n{sprite}#xywh={x},{y},{w},{h}\n");
        }
        out
    }
}

/// `HH:MM:SS.mmm`.
fn clock(at: i64, base: Rational) -> String {
    let ms = rescale(at, base, Rational(1, 1000)).max(0);
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

impl Seen {
    fn look(&mut self, small: &frame::Video, index: u64) {
        let (w, h, stride) = (small.width() as usize, small.height() as usize, small.stride(0));
        let lines = (0..h).filter_map(|y| small.data(0).get(y * stride..y * stride + w));
        let luma: Vec<u8> = lines.flatten().copied().collect();
        let dark = luma.iter().filter(|v| **v < BLACK_LUMA).count();
        let black = dark * 100 >= luma.len() * BLACK_PERCENT;
        let differs =
            |before: &Vec<u8>| -> u64 { before.iter().zip(&luma).map(|(a, b)| u64::from(a.abs_diff(*b))).sum() };
        // Less than a thousandth of the range on average: sensors are never so quiet.
        let same = self.before.as_ref().is_some_and(|b| b.len() == luma.len() && differs(b) * 4 < luma.len() as u64);
        self.black.add(index, black);
        self.frozen.add(index, same && !black);
        self.before = Some(luma);
    }
}
