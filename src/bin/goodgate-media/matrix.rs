//! From the code values of a picture to R'G'B' and back, by its matrix and range (ITU-R BT.601, BT.709, BT.2020).

use ffmpeg_next::color;

/// So many samples of a line are worked on at a time, each step over all of them: thus the compiler makes vectors of it.
pub const RUN: usize = 64;
pub type Run = [f32; RUN];
/// R, G and B.
pub type Colours = [Run; 3];

/// Cuts off what is behind the point.
#[inline(always)]
pub fn whole(v: f32) -> i32 {
    // SAFETY: everything here is limited to a small range first, and is a number: what a picture holds are integers, and
    // LUTs and corrections were checked.
    unsafe { v.to_int_unchecked() }
}

/// Red's and blue's part of luma.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matrix {
    red: f32,
    blue: f32,
}

impl Matrix {
    pub const BT601: Matrix = Matrix { red: 0.299, blue: 0.114 };
    pub const BT709: Matrix = Matrix { red: 0.2126, blue: 0.0722 };
    pub const BT2020: Matrix = Matrix { red: 0.2627, blue: 0.0593 };

    /// Where a clip does not say it: as everybody takes it, by its size.
    pub fn untagged(height: u32) -> Self {
        if height > 576 { Self::BT709 } else { Self::BT601 }
    }

    /// What was RGB has been made BT.709 on its way here.
    pub fn of(space: color::Space, untagged: Matrix) -> Self {
        match space {
            color::Space::BT709 | color::Space::RGB => Self::BT709,
            color::Space::BT470BG | color::Space::SMPTE170M => Self::BT601,
            color::Space::FCC => Matrix { red: 0.30, blue: 0.11 },
            color::Space::SMPTE240M => Matrix { red: 0.212, blue: 0.087 },
            color::Space::BT2020NCL | color::Space::BT2020CL => Self::BT2020,
            _ => untagged,
        }
    }
}

/// From code values to R'G'B' and back; of each colour its parts.
pub struct Way {
    luma: f32,
    cb: [f32; 3],
    cr: [f32; 3],
    zero: [f32; 3],
    /// What R, G and B give to Y, Cb and Cr.
    back: [[f32; 3]; 3],
    back_zero: [f32; 3],
    pub top: f32,
}

impl Way {
    pub fn new(bits: u32, full: bool, from: Matrix, to: Matrix) -> Self {
        let unit = (1u32 << (bits - 8)) as f32;
        let top = ((1u32 << bits) - 1) as f32;
        let (black, luma_range, chroma_range) =
            if full { (0.0, top, top) } else { (16.0 * unit, 219.0 * unit, 224.0 * unit) };
        let grey = 128.0 * unit;
        let green = 1.0 - from.red - from.blue;
        let (of_red, of_blue) = (2.0 * (1.0 - from.red), 2.0 * (1.0 - from.blue));
        let cr = [of_red, -of_red * from.red / green, 0.0].map(|v| v / chroma_range);
        let cb = [0.0, -of_blue * from.blue / green, of_blue].map(|v| v / chroma_range);
        let luma = 1.0 / luma_range;
        let zero = [0, 1, 2].map(|c| -black * luma - grey * (cb[c] + cr[c]));
        let weights = [to.red, 1.0 - to.red - to.blue, to.blue];
        let back = [0, 1, 2].map(|c| {
            let is = |n: usize| f32::from(u8::from(c == n));
            [
                weights[c] * luma_range,
                (is(2) - weights[c]) / (2.0 * (1.0 - to.blue)) * chroma_range,
                (is(0) - weights[c]) / (2.0 * (1.0 - to.red)) * chroma_range,
            ]
        });
        Way { luma, cb, cr, zero, back, back_zero: [black, grey, grey], top }
    }

    pub fn there<const BYTES: usize>(&self, y: &[u8], (cb, cr): (&[u8], &[u8])) -> Colours {
        let (mut luma, mut u, mut v) = ([0.0; RUN], [0.0; RUN / 2], [0.0; RUN / 2]);
        get::<BYTES>(y, &mut luma);
        get::<BYTES>(cb, &mut u);
        get::<BYTES>(cr, &mut v);
        [0, 1, 2].map(|c| {
            let mut out = [0.0; RUN];
            for i in 0..RUN / 2 {
                let ground = self.zero[c] + u[i] * self.cb[c] + v[i] * self.cr[c];
                out[2 * i] = luma[2 * i] * self.luma + ground;
                out[2 * i + 1] = luma[2 * i + 1] * self.luma + ground;
            }
            out
        })
    }

    /// Luma is put into its place, chroma is added to what its other lines gave.
    pub fn back<const BYTES: usize>(&self, mut rgb: Colours, y: &mut [u8], sums: &mut [[f32; 2]]) {
        rgb.iter_mut().flatten().for_each(|v| *v = v.clamp(0.0, 1.0));
        let [r, g, b] = rgb;
        let [luma, cb, cr] = [0, 1, 2].map(|c| {
            let mut out = [0.0; RUN];
            for i in 0..RUN {
                let parts = r[i] * self.back[0][c] + g[i] * self.back[1][c] + b[i] * self.back[2][c];
                out[i] = self.back_zero[c] + parts;
            }
            out
        });
        put::<BYTES>(y, luma, self.top);
        for (i, sum) in sums.iter_mut().enumerate().take(RUN / 2) {
            sum[0] += cb[2 * i] + cb[2 * i + 1];
            sum[1] += cr[2 * i] + cr[2 * i + 1];
        }
    }
}

fn get<const BYTES: usize>(from: &[u8], to: &mut [f32]) {
    for (to, sample) in to.iter_mut().zip(from.chunks_exact(BYTES)) {
        // Of two bytes the lower one comes first.
        *to = match BYTES {
            1 => f32::from(sample[0]),
            _ => f32::from(u16::from_le_bytes([sample[0], sample[1]])),
        };
    }
}

pub fn put<const BYTES: usize>(to: &mut [u8], from: impl IntoIterator<Item = f32>, top: f32) {
    for (to, value) in to.chunks_exact_mut(BYTES).zip(from) {
        let value = whole((value + 0.5).clamp(0.0, top)) as u16;
        to.copy_from_slice(&value.to_le_bytes()[..BYTES]);
    }
}
