//! Pictures through a libav filter graph: deinterlaced where they need it, scaled, and in another pixel format.
//! The graph's text is ours; nothing of the clip but numbers goes into it.

use ffmpeg_next::filter::{self, Graph};
use ffmpeg_next::{Error, Rational, color, format::Pixel, frame};

/// What the pictures shall become, decided at the first one.
pub type Spec = Box<dyn Fn(&frame::Video) -> String>;

pub struct Scaler {
    spec: Spec,
    time_base: Rational,
    keeps_fields: bool,
    graph: Option<(Shape, Graph)>,
}

type Shape = (u32, u32, Pixel, Rational, color::Range, color::Space);

impl Scaler {
    /// `time_base` of the frames that go in; it is also that of those that come out.
    pub fn new(time_base: Rational, spec: Spec) -> Self {
        Scaler { spec, time_base, keeps_fields: false, graph: None }
    }

    /// Interlaced pictures stay so.
    pub fn keeping_fields(self) -> Self {
        Scaler { keeps_fields: true, ..self }
    }

    /// One frame in (libav empties it, so by value), `None` at the end; any number out.
    pub fn push(
        &mut self,
        frame: Option<frame::Video>,
        each: &mut dyn FnMut(frame::Video) -> Result<(), String>,
    ) -> Result<(), String> {
        if let Some(frame) = &frame {
            let (range, space) = (frame.color_range(), frame.color_space());
            let shape = (frame.width(), frame.height(), frame.format(), frame.aspect_ratio(), range, space);
            if self.graph.as_ref().is_none_or(|(was, _)| *was != shape) {
                // The picture changed its shape: what the old graph still holds comes first.
                self.run(None, each)?;
                self.graph = Some((shape, self.build(shape, frame).map_err(|e| format!("can not be scaled: {e}"))?));
            }
        }
        self.run(frame, each)
    }

    fn run(
        &mut self,
        frame: Option<frame::Video>,
        each: &mut dyn FnMut(frame::Video) -> Result<(), String>,
    ) -> Result<(), String> {
        let Some((_, graph)) = &mut self.graph else { return Ok(()) };
        let (Some(mut source), Some(mut sink)) = (graph.get("in"), graph.get("out")) else { return Ok(()) };
        let fed = match frame {
            Some(frame) => source.source().add(&frame),
            None => source.source().flush(),
        };
        fed.map_err(|e| format!("can not be scaled: {e}"))?;
        let out_base = sink.sink().time_base();
        let mut out = frame::Video::empty();
        while sink.sink().frame(&mut out).is_ok() {
            // Deinterlacing halves the time base.
            let pts = out.pts().map(|p| rescale(p, out_base, self.time_base));
            out.set_pts(pts);
            each(std::mem::replace(&mut out, frame::Video::empty()))?;
        }
        Ok(())
    }

    fn build(&self, (w, h, pixel, aspect, ..): Shape, frame: &frame::Video) -> Result<Graph, Error> {
        let (source, sink) = (filter::find("buffer"), filter::find("buffersink"));
        let (source, sink) = source.zip(sink).ok_or(Error::FilterNotFound)?;
        let name = pixel.descriptor().ok_or(Error::InvalidData)?.name();
        let (tb, sar) = (self.time_base, if aspect.numerator() > 0 { aspect } else { Rational(1, 1) });
        let args = format!("video_size={w}x{h}:pix_fmt={name}:time_base={tb}:pixel_aspect={sar}");
        let spec = (self.spec)(frame);
        let make = |spec: &str| {
            let mut graph = Graph::new();
            graph.add(&source, "in", &args)?;
            graph.add(&sink, "out", "")?;
            graph.output("in", 0)?.input("out", 0)?.parse(spec)?;
            graph.validate()?;
            Ok(graph)
        };
        match frame.is_interlaced() && !self.keeps_fields {
            // Not every libav is built with it; combs are better than no picture.
            true => make(&format!("yadif=mode=send_frame:deint=interlaced,{spec}")).or_else(|_: Error| make(&spec)),
            false => make(&spec),
        }
    }
}

/// `value * from / to`, rounded to nearest.
pub fn rescale(value: i64, from: Rational, to: Rational) -> i64 {
    let top = i128::from(value) * i128::from(from.numerator()) * i128::from(to.denominator());
    let bottom = (i128::from(from.denominator()) * i128::from(to.numerator())).max(1);
    let half = bottom / 2;
    let rounded = if top >= 0 { (top + half) / bottom } else { (top - half) / bottom };
    rounded.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// RGB and XYZ have no matrix of their own: what they become must be given one.
pub fn is_rgb(pixel: Pixel) -> bool {
    let name = pixel.descriptor().map_or("", |d| d.name());
    ["rgb", "bgr", "gbr", "argb", "abgr", "pal8", "xyz", "bayer", "mono"].iter().any(|p| name.contains(p))
}

/// Scales to at most `limit` along `of`, both sides even, never larger.
pub fn fit(width: u32, height: u32, limit: u32, of: u32) -> (u32, u32) {
    let side = |n: u32| {
        let scaled = match of > limit {
            true => (u64::from(n) * u64::from(limit) + u64::from(of) / 2) / u64::from(of),
            false => u64::from(n),
        };
        (scaled as u32 & !1).max(2)
    };
    (side(width), side(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_become_even_and_never_grow() {
        assert_eq!(fit(3840, 2160, 720, 2160), (1280, 720));
        assert_eq!(fit(854, 480, 720, 480), (854, 480));
        assert_eq!(fit(2048, 1556, 720, 1556), (948, 720));
        assert_eq!(fit(1, 1, 720, 1), (2, 2));
        assert_eq!(fit(101, 55, 720, 55), (100, 54));
    }

    #[test]
    fn times_are_rounded_to_the_nearest() {
        assert_eq!(rescale(3754, Rational(1, 90_000), Rational(1001, 24_000)), 1);
        assert_eq!(rescale(-3754, Rational(1, 90_000), Rational(1001, 24_000)), -1);
        assert_eq!(rescale(i64::MAX, Rational(i32::MAX, 1), Rational(1, i32::MAX)), i64::MAX);
    }
}
