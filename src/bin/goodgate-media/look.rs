//! A look's colours on a picture that is scaled already: ASC CDL, then a 3D LUT by tetrahedral interpolation, in R'G'B'
//! of the picture's own matrix. The CDL comes first: it was set on the camera's own picture, which is what the LUT
//! expects. Planar YUV goes in and comes out; each luma sample is graded, chroma is the mean of its block.

use crate::matrix::{Colours, Matrix, RUN, Run, Way, put, whole};
use ffmpeg_next::{color, ffi, format::Pixel, frame};
use goodgate::media::protocol::LutShape;
use goodgate::preset::look::{Cdl, Colour, Cube};
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::thread::{Builder, scope};

/// A 3D LUT as [`goodgate::preset::look::Cube`] has it, ready to be looked up.
pub struct Lut {
    size: usize,
    /// To positions in the cube.
    scale: [f32; 3],
    offset: [f32; 3],
    /// R, G, B, and one for the width of a register.
    entries: Vec<[f32; 4]>,
}

impl Lut {
    /// Its values are three little-endian f32 an entry.
    pub fn read(shape: &LutShape, mut from: File) -> Result<Self, String> {
        if !Cube::SIZES.contains(&shape.size) || (0..3).any(|c| shape.max[c] - shape.min[c] < 1e-7) {
            return Err("its size or its domain is none".into());
        }
        let mut bytes = vec![0; shape.size.pow(3) * 12];
        from.read_exact(&mut bytes).map_err(|e| e.to_string())?;
        let value = |b: &[u8]| Some(f32::from_le_bytes([b[0], b[1], b[2], b[3]])).filter(|v| v.is_finite());
        let entry = |b: &[u8]| Some([value(&b[0..4])?, value(&b[4..8])?, value(&b[8..12])?, 0.0]);
        let entries: Option<Vec<_>> = bytes.chunks_exact(12).map(entry).collect();
        let last = (shape.size - 1) as f32;
        let scale = [0, 1, 2].map(|c| last / (shape.max[c] - shape.min[c]));
        let offset = [0, 1, 2].map(|c| -shape.min[c] * scale[c]);
        Ok(Lut { size: shape.size, scale, offset, entries: entries.ok_or("a number in it is none")? })
    }

    /// The cell is cut into six tetrahedra along its grey diagonal. A colour lies in one of them: between the cell's
    /// first corner, the one along its largest part, the one along all but its least part, and the last.
    fn apply(&self, rgb: &mut Colours) {
        let last = (self.size - 1) as f32;
        let (along_g, along_b) = (self.size as i32, (self.size * self.size) as i32);
        let all = 1 + along_g + along_b;
        let (mut first, mut second, mut third) = ([0; RUN], [0; RUN], [0; RUN]);
        let (mut most, mut middle, mut least) = ([0.0; RUN], [0.0; RUN], [0.0; RUN]);
        for i in 0..RUN {
            let place = |c: usize| (rgb[c][i] * self.scale[c] + self.offset[c]).clamp(0.0, last);
            let (r, g, b) = (place(0), place(1), place(2));
            let cell = |v: f32| whole(v.min(last - 1.0));
            let (at_r, at_g, at_b) = (cell(r), cell(g), cell(b));
            let (r, g, b) = (r - at_r as f32, g - at_g as f32, b - at_b as f32);
            let ((more, along_more), (less, along_less)) =
                if r >= g { ((r, 1), (g, along_g)) } else { ((g, along_g), (r, 1)) };
            let (top, along_top) = if more >= b { (more, along_more) } else { (b, along_b) };
            let (bottom, along_bottom) = if less < b { (less, along_less) } else { (b, along_b) };
            first[i] = at_r + at_g * along_g + at_b * along_b;
            second[i] = first[i] + along_top;
            third[i] = first[i] + all - along_bottom;
            (most[i], least[i], middle[i]) = (top, bottom, r + g + b - top - bottom);
        }
        let entry = |n: i32| self.entries.get(n as usize).copied().unwrap_or_default();
        for i in 0..RUN {
            let corners = [entry(first[i]), entry(second[i]), entry(third[i]), entry(first[i] + all)];
            let parts = [1.0 - most[i], most[i] - middle[i], middle[i] - least[i], least[i]];
            let mut out = [0.0; 4];
            for (corner, part) in corners.iter().zip(parts) {
                for (to, value) in out.iter_mut().zip(corner) {
                    *to += value * part;
                }
            }
            (rgb[0][i], rgb[1][i], rgb[2][i]) = (out[0], out[1], out[2]);
        }
    }
}

/// A CDL with its powers in tables.
struct Correction {
    slope: [f32; 3],
    offset: [f32; 3],
    saturation: f32,
    curves: Option<[Vec<f32>; 3]>,
}

const CURVE_STEPS: usize = 4096;
/// Of BT.709, whatever the picture's matrix: ASC CDL says so.
const LUMA: [f32; 3] = [0.2126, 0.7152, 0.0722];

impl Correction {
    fn new(cdl: &Cdl) -> Self {
        let curve =
            |power: f64| (0..=CURVE_STEPS).map(|n| (n as f64 / CURVE_STEPS as f64).powf(power) as f32).collect();
        Correction {
            slope: cdl.slope.map(|v| v as f32),
            offset: cdl.offset.map(|v| v as f32),
            saturation: cdl.saturation as f32,
            curves: (cdl.power != [1.0; 3]).then(|| cdl.power.map(curve)),
        }
    }

    fn apply(&self, rgb: &mut Colours) {
        for (c, run) in rgb.iter_mut().enumerate() {
            run.iter_mut().for_each(|v| *v = (*v * self.slope[c] + self.offset[c]).clamp(0.0, 1.0));
            if let Some(curves) = &self.curves {
                power(run, &curves[c]);
            }
        }
        let [r, g, b] = rgb;
        for ((r, g), b) in r.iter_mut().zip(g).zip(b) {
            let luma = *r * LUMA[0] + *g * LUMA[1] + *b * LUMA[2];
            for v in [r, g, b] {
                *v = (luma + (*v - luma) * self.saturation).clamp(0.0, 1.0);
            }
        }
    }
}

fn power(run: &mut Run, curve: &[f32]) {
    let mut step = [0; RUN];
    for (v, step) in run.iter_mut().zip(&mut step) {
        *v *= CURVE_STEPS as f32;
        *step = whole(v.min((CURVE_STEPS - 1) as f32));
    }
    for (v, step) in run.iter_mut().zip(step) {
        if let Some([low, high]) = curve.get(step as usize..step as usize + 2) {
            *v = low + (high - low) * (*v - step as f32);
        }
    }
}

pub struct Grade {
    pub cdl: Option<Cdl>,
    pub lut: Option<Arc<Lut>>,
    pub colour: Option<Colour>,
    /// Of a clip that does not say its matrix.
    pub untagged: Matrix,
    pub threads: u16,
    /// A still for JPEG, which is always BT.601.
    pub still: bool,
}

impl Grade {
    /// The frame is ours alone.
    pub fn apply(&self, frame: &mut frame::Video) -> Result<(), String> {
        let (bits, full, halved) = match frame.format() {
            Pixel::YUV420P => (8, false, true),
            Pixel::YUVJ420P => (8, true, true),
            Pixel::YUV422P => (8, false, false),
            Pixel::YUV422P10LE => (10, false, false),
            other => return Err(format!("no look can be put on pictures of {other:?}")),
        };
        let from = Matrix::of(frame.color_space(), self.untagged);
        let to = match self.colour {
            _ if self.still => Matrix::BT601,
            Some(Colour::Bt709) => Matrix::BT709,
            Some(Colour::Bt2020Pq | Colour::Bt2020Hlg) => Matrix::BT2020,
            Some(Colour::Clip) | None => from,
        };
        if from == to && self.cdl.is_none() && self.lut.is_none() {
            return Ok(());
        }
        let work = Work {
            way: Way::new(bits, full, from, to),
            correction: self.cdl.as_ref().map(Correction::new),
            lut: self.lut.clone(),
            halved,
            fields: frame.is_interlaced(),
            width: frame.width() as usize,
        };
        work.run(frame, bits > 8, self.threads.max(1).into())?;
        if !self.still {
            self.tag(frame);
        }
        Ok(())
    }

    /// What the LUT made, or that nobody knows it.
    fn tag(&self, frame: &mut frame::Video) {
        use color::{Primaries, Space, TransferCharacteristic as Curve};
        let (primaries, curve, space) = match self.colour {
            Some(Colour::Bt709) => (Primaries::BT709, Curve::BT709, Space::BT709),
            Some(Colour::Bt2020Pq) => (Primaries::BT2020, Curve::SMPTE2084, Space::BT2020NCL),
            Some(Colour::Bt2020Hlg) => (Primaries::BT2020, Curve::ARIB_STD_B67, Space::BT2020NCL),
            None if self.lut.is_some() => (Primaries::Unspecified, Curve::Unspecified, frame.color_space()),
            Some(Colour::Clip) | None => return,
        };
        frame.set_color_primaries(primaries);
        frame.set_color_transfer_characteristic(curve);
        frame.set_color_space(space);
        if self.colour.is_some() {
            frame.set_color_range(color::Range::MPEG);
        }
    }
}

struct Work {
    way: Way,
    correction: Option<Correction>,
    lut: Option<Arc<Lut>>,
    /// Two lines of luma share one of chroma.
    halved: bool,
    /// Lines of two fields take turns.
    fields: bool,
    width: usize,
}

/// Part of one plane with the bytes of its lines.
type Plane<'a> = (&'a mut [u8], usize);

impl Work {
    /// In bands of lines, on so many threads.
    fn run(&self, frame: &mut frame::Video, wide: bool, threads: usize) -> Result<(), String> {
        let shared = 1 + usize::from(self.halved);
        // Of a whole number of chroma lines of both fields.
        let lines = (frame.height() as usize / shared).div_ceil(threads).next_multiple_of(2);
        let strides = [0, 1, 2].map(|p| frame.stride(p));
        let [y, cb, cr] = planes(frame);
        let bands = y.chunks_mut(strides[0] * lines * shared);
        let bands = bands.zip(cb.chunks_mut(strides[1] * lines)).zip(cr.chunks_mut(strides[2] * lines));
        scope(|s| {
            for (n, ((y, cb), cr)) in bands.enumerate() {
                let mut work = move || match wide {
                    true => self.band::<2>((y, strides[0]), (cb, strides[1]), (cr, strides[2])),
                    false => self.band::<1>((y, strides[0]), (cb, strides[1]), (cr, strides[2])),
                };
                match n + 1 == threads {
                    // The last one here.
                    true => work(),
                    false => drop(Builder::new().spawn_scoped(s, work).map_err(|e| format!("no thread: {e}"))?),
                }
            }
            Ok(())
        })
    }

    fn band<const BYTES: usize>(&self, y: Plane<'_>, cb: Plane<'_>, cr: Plane<'_>) {
        let mut sums = vec![[0.0; 2]; self.width / 2];
        for (n, (cb, cr)) in cb.0.chunks_mut(cb.1).zip(cr.0.chunks_mut(cr.1)).enumerate() {
            let lines: &[usize] = match (self.halved, self.fields) {
                (false, _) => &[n],
                (true, false) => &[2 * n, 2 * n + 1],
                (true, true) => &[4 * (n / 2) + n % 2, 4 * (n / 2) + n % 2 + 2],
            };
            sums.fill([0.0; 2]);
            let mut count = 0.0;
            for line in lines {
                let Some(line) = y.0.get_mut(line * y.1..(line + 1) * y.1) else { continue };
                self.line::<BYTES>(line, cb, cr, &mut sums);
                count += 2.0;
            }
            if count > 0.0 {
                put::<BYTES>(cb, sums.iter().map(|s| s[0] / count), self.way.top);
                put::<BYTES>(cr, sums.iter().map(|s| s[1] / count), self.way.top);
            }
        }
    }

    fn line<const BYTES: usize>(&self, y: &mut [u8], cb: &[u8], cr: &[u8], sums: &mut [[f32; 2]]) {
        let chroma = cb.chunks(RUN / 2 * BYTES).zip(cr.chunks(RUN / 2 * BYTES));
        for ((y, chroma), sums) in y.chunks_mut(RUN * BYTES).zip(chroma).zip(sums.chunks_mut(RUN / 2)) {
            let mut rgb = self.way.there::<BYTES>(y, chroma);
            if let Some(correction) = &self.correction {
                correction.apply(&mut rgb);
            }
            if let Some(lut) = &self.lut {
                lut.apply(&mut rgb);
            }
            self.way.back::<BYTES>(rgb, y, sums);
        }
    }
}

/// The three planes of a picture at once.
pub fn planes(frame: &mut frame::Video) -> [&mut [u8]; 3] {
    let raw = [0, 1, 2].map(|p| {
        let data = frame.data_mut(p);
        (data.as_mut_ptr(), data.len())
    });
    // SAFETY: planes never overlap and live as long as their frame, which is borrowed for as long as these.
    raw.map(|(data, len)| unsafe { std::slice::from_raw_parts_mut(data, len) })
}

/// Makes the frame ours alone, by a copy where another lane holds it too.
pub fn own(frame: &mut frame::Video) -> Result<(), String> {
    // SAFETY: the frame is alive.
    match unsafe { ffi::av_frame_make_writable(frame.as_mut_ptr()) } {
        0.. => Ok(()),
        code => Err(format!("no memory for its look: {}", ffmpeg_next::Error::from(code))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture in which every colour is one that R, G and B can say.
    fn picture(format: Pixel, width: u32, height: u32) -> frame::Video {
        let mut out = frame::Video::new(format, width, height);
        let wide = format == Pixel::YUV422P10LE;
        for plane in 0..3 {
            let (stride, middle) = (out.stride(plane), if plane == 0 { 100 } else { 128 });
            for (n, byte) in out.data_mut(plane).iter_mut().enumerate() {
                let sample = (middle + (n / stride * 7 + n % stride * 3) % 24) as u8;
                // Of two bytes the upper one holds two bits.
                *byte = if wide && n % 2 == 1 { 1 } else { sample };
            }
        }
        out.set_color_space(color::Space::BT709);
        out
    }

    fn lut(size: usize, of: impl Fn(f32) -> f32) -> Arc<Lut> {
        let last = (size - 1) as f32;
        let entry = |n: usize| [n % size, n / size % size, n / size / size].map(|v| of(v as f32 / last));
        let entries = (0..size.pow(3)).map(entry).map(|[r, g, b]| [r, g, b, 0.0]).collect();
        Arc::new(Lut { size, scale: [last; 3], offset: [0.0; 3], entries })
    }

    fn grade(lut: Option<Arc<Lut>>, cdl: Option<Cdl>, threads: u16) -> Grade {
        Grade { cdl, lut, colour: None, untagged: Matrix::BT709, threads, still: false }
    }

    /// The samples of all planes, without what pads their lines.
    fn samples(frame: &frame::Video) -> Vec<u8> {
        let bytes = if frame.format() == Pixel::YUV422P10LE { 2 } else { 1 };
        let mut out = Vec::new();
        for plane in 0..3 {
            let width = frame.plane_width(plane) as usize * bytes;
            let lines = frame.data(plane).chunks(frame.stride(plane)).take(frame.plane_height(plane) as usize);
            lines.for_each(|line| out.extend(&line[..width]));
        }
        out
    }

    const FORMATS: [Pixel; 4] = [Pixel::YUV420P, Pixel::YUVJ420P, Pixel::YUV422P, Pixel::YUV422P10LE];

    #[test]
    fn a_neutral_look_changes_nothing() {
        let cdl = Cdl { power: [1.0, 1.0, 1.0], ..Cdl::NEUTRAL };
        for format in FORMATS {
            for size in [2, 5, 33] {
                let mut frame = picture(format, 130, 38);
                let before = samples(&frame);
                grade(Some(lut(size, |v| v)), Some(cdl), 1).apply(&mut frame).unwrap();
                assert_eq!(samples(&frame), before, "{format:?} {size}");
            }
        }
    }

    #[test]
    fn bands_of_lines_change_no_colour() {
        let cdl = Cdl { power: [0.7, 1.3, 1.0], saturation: 0.4, ..Cdl::NEUTRAL };
        for format in FORMATS {
            let with = |threads: u16, fields: bool| {
                let mut frame = picture(format, 66, 38);
                if fields {
                    // SAFETY: the frame is alive.
                    unsafe { (*frame.as_mut_ptr()).interlaced_frame = 1 };
                }
                grade(Some(lut(4, |v| v * v)), Some(cdl), threads).apply(&mut frame).unwrap();
                samples(&frame)
            };
            assert_ne!(with(1, false), samples(&picture(format, 66, 38)));
            for fields in [false, true] {
                let one = with(1, fields);
                assert!([2, 3, 7, 64].iter().all(|n| with(*n, fields) == one), "{format:?} {fields}");
            }
        }
    }

    #[test]
    fn every_entry_is_met_and_between_two_lies_their_mean() {
        let lut = lut(3, |v| v * v);
        let mut rgb = [[0.0; RUN]; 3];
        (rgb[0][0], rgb[1][0], rgb[2][0]) = (0.5, 1.0, 0.0);
        (rgb[0][1], rgb[1][1], rgb[2][1]) = (0.25, 0.25, 0.25);
        // Beside the cube is its edge.
        (rgb[0][2], rgb[1][2], rgb[2][2]) = (-1.0, 9.0, 0.5);
        lut.apply(&mut rgb);
        let at = |i: usize| [rgb[0][i], rgb[1][i], rgb[2][i]];
        assert_eq!((at(0), at(1), at(2)), ([0.25, 1.0, 0.0], [0.125; 3], [0.0, 1.0, 0.25]));
    }
}
