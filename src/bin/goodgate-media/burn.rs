//! Text burned into pictures: white letters on a dark ground at the edges of the safe area, and a faint watermark. It
//! stands upright and well-shaped when the clip plays, whatever way the picture lies in its file.

use crate::look::planes;
use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use ffmpeg_next::{Rational, format::Pixel, frame};
use goodgate::preset::look::burn_in::{GROUND_OPACITY, MARGIN_PERCENT, MAX_CHARS, WATERMARK_LINES, WATERMARK_OPACITY};
use goodgate::preset::look::{Line, Place, Text};
use goodgate::timecode::Timecode;
use std::collections::HashMap;

/// See the licence beside it.
const FONT: &[u8] = include_bytes!("font/DejaVuSansMono-Bold-subset.ttf");
/// Of a clip that has none.
const NO_TIMECODE: &str = "--:--:--:--";

pub struct Burner {
    font: FontRef<'static>,
    lines: Vec<Line>,
    size_percent: u8,
    /// Clockwise degrees a player turns the picture.
    turned: u16,
    /// Counted in the picture's rate.
    start: Option<Timecode>,
    rate: Rational,
    time_base: Rational,
    letters: HashMap<(char, u32, u32), Letter>,
}

/// What a clip's pictures are counted and turned by.
#[derive(Clone, Copy, Debug)]
pub struct Film {
    pub turned: u16,
    pub start: Option<Timecode>,
    pub rate: Rational,
    pub time_base: Rational,
}

/// How much of each place of a cell the letter covers.
struct Letter {
    width: usize,
    height: usize,
    cover: Vec<u8>,
}

impl Burner {
    pub fn new(lines: &[Line], size_percent: u8, film: Film) -> Result<Self, String> {
        let font = FontRef::try_from_slice(FONT).map_err(|e| format!("no font: {e}"))?;
        let (lines, letters) = (lines.to_vec(), HashMap::new());
        let Film { turned, start, rate, time_base } = film;
        Ok(Burner { font, lines, size_percent, turned, start, rate, time_base, letters })
    }

    /// The frame is ours alone.
    pub fn burn(&mut self, frame: &mut frame::Video) -> Result<(), String> {
        let texts: Vec<(Place, String)> =
            self.lines.iter().map(|l| (l.place, self.text(&l.text, frame.pts().unwrap_or(0)))).collect();
        let grid = Grid::of(frame, self.turned);
        let size = grid.height / grid.tall * f32::from(self.size_percent) / 100.0;
        for row in [&[Place::TopLeft, Place::TopRight][..], &[Place::BottomLeft, Place::Bottom, Place::BottomRight]] {
            let in_row: Vec<_> = texts.iter().filter(|(place, _)| row.contains(place)).collect();
            let size = size * self.fit(&in_row, size, &grid);
            for (place, text) in in_row {
                let sheet = self.sheet(text, size, &grid);
                let at = grid.corner(*place, &sheet);
                sheet.onto(frame, &grid, at, Ink::Line)?;
            }
        }
        for (_, text) in texts.iter().filter(|(place, _)| *place == Place::Centre) {
            let size = size * WATERMARK_LINES;
            let wide = self.cell(size, &grid).0 * text.chars().count().max(1);
            let sheet = self.sheet(text, size * (grid.safe_width() / wide as f32).min(1.0), &grid);
            let at = grid.corner(Place::Centre, &sheet);
            sheet.onto(frame, &grid, at, Ink::Watermark)?;
        }
        Ok(())
    }

    fn text(&self, text: &Text, at: i64) -> String {
        let (base, rate) = (self.time_base, self.rate);
        let top = i128::from(at) * i128::from(base.numerator()) * i128::from(rate.numerator());
        let bottom = (i128::from(base.denominator()) * i128::from(rate.denominator())).max(1);
        let number = u64::try_from(top / bottom).unwrap_or(0);
        match text {
            Text::Fixed(text) => text.chars().take(MAX_CHARS).collect(),
            Text::Timecode => self.start.map_or(NO_TIMECODE.into(), |start| start.plus(number).to_string()),
            Text::Frame => format!("{number:06}"),
        }
    }

    /// How much smaller a row must be to fit.
    fn fit(&self, row: &[&(Place, String)], size: f32, grid: &Grid) -> f32 {
        let cell = self.cell(size, grid).0;
        let wide = |at: &[Place]| {
            let here = row.iter().filter(|(place, _)| at.contains(place));
            here.map(|(_, text)| text.chars().count() + 2).max().unwrap_or(0) * cell
        };
        let (left, right) = (wide(&[Place::TopLeft, Place::BottomLeft]), wide(&[Place::TopRight, Place::BottomRight]));
        let middle = wide(&[Place::Bottom]);
        let needed = if middle > 0 { middle + 2 * left.max(right) } else { left + right };
        (grid.safe_width() / needed.max(1) as f32).min(1.0)
    }

    /// Of one letter, all alike.
    fn cell(&self, size: f32, grid: &Grid) -> (usize, usize) {
        let font = self.font.as_scaled(PxScale { x: size * grid.wide, y: size * grid.tall });
        let width = font.h_advance(self.font.glyph_id('0')).ceil().max(1.0);
        (width as usize, (size * grid.tall).ceil().max(1.0) as usize)
    }

    /// A line of text with half a cell of ground on each side.
    fn sheet(&mut self, text: &str, size: f32, grid: &Grid) -> Sheet {
        let (wide, tall) = self.cell(size, grid);
        let width = (text.chars().count() + 1) * wide;
        let mut sheet = Sheet { width, height: tall, cover: vec![0; width * tall] };
        for (n, c) in text.chars().enumerate() {
            let letter = self.letter(c, size, grid);
            for y in 0..letter.height.min(tall) {
                for x in 0..letter.width {
                    let at = y * width + n * wide + wide / 2 + x;
                    if let Some(to) = sheet.cover.get_mut(at) {
                        *to = letter.cover[y * letter.width + x];
                    }
                }
            }
        }
        sheet
    }

    fn letter(&mut self, c: char, size: f32, grid: &Grid) -> &Letter {
        let (wide, tall) = self.cell(size, grid);
        let scale = PxScale { x: size * grid.wide, y: size * grid.tall };
        let font = &self.font;
        self.letters.entry((c, scale.x.to_bits(), scale.y.to_bits())).or_insert_with(|| {
            let mut letter = Letter { width: wide, height: tall, cover: vec![0; wide * tall] };
            // What the font has not is shown as a replacement.
            let id = Some(font.glyph_id(c)).filter(|id| id.0 != 0).unwrap_or_else(|| font.glyph_id('\u{fffd}'));
            let glyph = id.with_scale_and_position(scale, point(0.0, font.as_scaled(scale).ascent()));
            if let Some(outline) = font.outline_glyph(glyph) {
                let (left, top) = (outline.px_bounds().min.x as i64, outline.px_bounds().min.y as i64);
                outline.draw(|x, y, cover| {
                    let (x, y) = (i64::from(x) + left, i64::from(y) + top);
                    if (0..wide as i64).contains(&x) && (0..tall as i64).contains(&y) {
                        letter.cover[y as usize * wide + x as usize] = (cover * 255.0).clamp(0.0, 255.0) as u8;
                    }
                });
            }
            letter
        })
    }
}

/// The picture as it is seen, in its own samples: upright, and with so many samples a square unit of each side.
struct Grid {
    width: f32,
    height: f32,
    wide: f32,
    tall: f32,
    turned: u16,
}

impl Grid {
    fn of(frame: &frame::Video, turned: u16) -> Self {
        let (w, h) = (frame.width() as f32, frame.height() as f32);
        let aspect = frame.aspect_ratio();
        let known = aspect.numerator() > 0 && aspect.denominator() > 0;
        let square = if known { aspect.denominator() as f32 / aspect.numerator() as f32 } else { 1.0 };
        // A pixel is seldom further from square.
        let square = square.clamp(0.25, 4.0);
        match turned {
            90 | 270 => Grid { width: h, height: w, wide: 1.0, tall: square, turned },
            _ => Grid { width: w, height: h, wide: square, tall: 1.0, turned },
        }
    }

    fn margin(&self, side: f32) -> f32 {
        side * MARGIN_PERCENT as f32 / 100.0
    }

    fn safe_width(&self) -> f32 {
        self.width - 2.0 * self.margin(self.width)
    }

    /// Where a sheet begins.
    fn corner(&self, place: Place, sheet: &Sheet) -> (usize, usize) {
        let (free_x, free_y) = (self.width - sheet.width as f32, self.height - sheet.height as f32);
        let x = match place {
            Place::TopLeft | Place::BottomLeft => self.margin(self.width),
            Place::TopRight | Place::BottomRight => free_x - self.margin(self.width),
            Place::Bottom | Place::Centre => free_x / 2.0,
        };
        let y = match place {
            Place::TopLeft | Place::TopRight => self.margin(self.height),
            Place::BottomLeft | Place::Bottom | Place::BottomRight => free_y - self.margin(self.height),
            Place::Centre => free_y / 2.0,
        };
        (x.max(0.0) as usize, y.max(0.0) as usize)
    }

    /// The stored sample at a place that is seen; `None` beside the picture.
    fn stored(&self, x: usize, y: usize) -> Option<(usize, usize)> {
        let (w, h) = (self.width as usize, self.height as usize);
        if x >= w || y >= h {
            return None;
        }
        Some(match self.turned {
            90 => (y, w - 1 - x),
            180 => (w - 1 - x, h - 1 - y),
            270 => (h - 1 - y, x),
            _ => (x, y),
        })
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Ink {
    Line,
    Watermark,
}

/// Letters side by side: how much of each place they cover.
struct Sheet {
    width: usize,
    height: usize,
    cover: Vec<u8>,
}

impl Sheet {
    /// Opacity and brightness, both of 255.
    fn ink(&self, x: usize, y: usize, ink: Ink) -> (u32, u32) {
        let cover = |x: Option<usize>, y: Option<usize>| -> u32 {
            let at = x.zip(y).filter(|(x, _)| *x < self.width).map(|(x, y)| y * self.width + x);
            at.and_then(|at| self.cover.get(at)).map_or(0, |c| u32::from(*c))
        };
        let white = cover(Some(x), Some(y));
        let (white, dark) = match ink {
            Ink::Line => (white, GROUND_OPACITY),
            // A shadow, or it could not be seen on white.
            Ink::Watermark => {
                let away = 1 + self.height / 24;
                let shadow = cover(x.checked_sub(away), y.checked_sub(away));
                (white * WATERMARK_OPACITY / 255, shadow * WATERMARK_OPACITY / 255)
            }
        };
        let opacity = white + dark * (255 - white) / 255;
        (opacity, (white * 255).checked_div(opacity).unwrap_or(0))
    }

    fn onto(&self, frame: &mut frame::Video, grid: &Grid, at: (usize, usize), ink: Ink) -> Result<(), String> {
        let (across, down) = match frame.format() {
            Pixel::YUV422P | Pixel::YUV422P10LE => (1, 0),
            Pixel::YUV420P | Pixel::YUVJ420P => (1, 1),
            other => return Err(format!("nothing can be burned into pictures of {other:?}")),
        };
        let (wide, full) = (frame.format() == Pixel::YUV422P10LE, frame.format() == Pixel::YUVJ420P);
        let unit: u32 = if wide { 4 } else { 1 };
        let (black, white) = if full { (0, 255) } else { (16 * unit, 235 * unit) };
        let strides = [0, 1, 2].map(|p| frame.stride(p));
        let [luma, cb, cr] = planes(frame);
        // Of each chroma sample around the sheet: how much of its block is covered.
        let block = |(x, y): (usize, usize)| (x >> across, y >> down);
        let Some((from, to)) = self.bounds(grid, at) else { return Ok(()) };
        let (from, to) = (block(from), block(to));
        let wide_blocks = to.0 - from.0 + 1;
        let mut blocks = vec![0; wide_blocks * (to.1 - from.1 + 1)];
        for y in 0..self.height {
            for x in 0..self.width {
                let (opacity, bright) = self.ink(x, y, ink);
                let Some((sx, sy)) = grid.stored(at.0 + x, at.1 + y).filter(|_| opacity > 0) else { continue };
                blend(luma, sy * strides[0], sx, wide, opacity, black + (white - black) * bright / 255);
                let (bx, by) = block((sx, sy));
                blocks[(by - from.1) * wide_blocks + bx - from.0] += opacity;
            }
        }
        for (n, covered) in blocks.into_iter().enumerate() {
            let (x, y) = (from.0 + n % wide_blocks, from.1 + n / wide_blocks);
            let opacity = (covered >> (across + down)).min(255);
            blend(cb, y * strides[1], x, wide, opacity, 128 * unit);
            blend(cr, y * strides[2], x, wide, opacity, 128 * unit);
        }
        Ok(())
    }

    /// The first and the last stored sample of each side that it reaches.
    fn bounds(&self, grid: &Grid, at: (usize, usize)) -> Option<((usize, usize), (usize, usize))> {
        let last = |from: usize, len: usize, side: f32| (from + len).min(side as usize).checked_sub(1);
        let end = (last(at.0, self.width, grid.width)?, last(at.1, self.height, grid.height)?);
        let (a, b) = (grid.stored(at.0, at.1)?, grid.stored(end.0, end.1)?);
        Some(((a.0.min(b.0), a.1.min(b.1)), (a.0.max(b.0), a.1.max(b.1))))
    }
}

/// One sample, `opacity` of 255 towards `to`.
fn blend(plane: &mut [u8], line: usize, x: usize, wide: bool, opacity: u32, to: u32) {
    let mix = |was: u32| (was * (255 - opacity) + to * opacity + 127) / 255;
    if !wide {
        if let Some(sample) = plane.get_mut(line + x) {
            *sample = mix((*sample).into()) as u8;
        }
    } else if let Some([low, high]) = plane.get_mut(line + 2 * x..line + 2 * x + 2) {
        let mixed = mix(u32::from(u16::from_le_bytes([*low, *high]))) as u16;
        [*low, *high] = mixed.to_le_bytes();
    }
}
