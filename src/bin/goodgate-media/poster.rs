//! The still: a JPEG as the clip looks when played, turned upright and with square pixels.

use crate::finish::Finisher;
use crate::input::dictionary;
use crate::lane::share;
use crate::scale::{Scaler, fit, is_rgb};
use ffmpeg_next::{Packet, Rational, codec, color, encoder, format::Pixel, frame};
use goodgate::preset::poster::{AT_PERCENT, MAX_WIDTH};

/// libav's scale for JPEG: 2 is best, 31 worst.
const QUALITY: i32 = 4;

pub struct Poster {
    /// The frame that is wanted; the first one stands in while it has not come.
    at: u64,
    rotation_deg: u16,
    pub jpeg: Option<Vec<u8>>,
    pub settled: bool,
    pub trouble: Option<String>,
    finisher: Result<Option<Finisher>, String>,
}

impl Poster {
    pub fn new(expected_frames: u64, rotation_deg: u16, finisher: Result<Option<Finisher>, String>) -> Self {
        let at = expected_frames.saturating_mul(AT_PERCENT) / 100;
        Poster { at, rotation_deg, jpeg: None, settled: false, trouble: None, finisher }
    }

    pub fn look(&mut self, frame: &frame::Video, index: u64) {
        if self.settled || !(self.jpeg.is_none() || index >= self.at) {
            return;
        }
        match still(frame, self.rotation_deg, &mut self.finisher) {
            Ok(jpeg) => {
                self.jpeg = Some(jpeg);
                self.settled = index >= self.at;
            }
            // The next frame may be better.
            Err(why) => self.trouble = Some(why),
        }
    }
}

/// Filters for a picture as it looks when played: upright, with square pixels, at most so wide.
pub fn upright(frame: &frame::Video, rotation_deg: u16, max_width: u32) -> String {
    let aspect = frame.aspect_ratio();
    let (n, d) = (u64::try_from(aspect.numerator()).unwrap_or(0), u64::try_from(aspect.denominator()).unwrap_or(0));
    let square =
        if n > 0 && d > 0 { (u64::from(frame.width()) * n / d).clamp(2, 1 << 16) as u32 } else { frame.width() };
    let upright = matches!(rotation_deg, 90 | 270);
    let (w, h) = fit(square, frame.height(), max_width, if upright { frame.height() } else { square });
    let turn = match rotation_deg {
        90 => "transpose=clock,",
        180 => "hflip,vflip,",
        270 => "transpose=cclock,",
        _ => "",
    };
    format!("scale={w}:{h}:flags=bicubic:out_range=pc,setsar=1,{turn}format=yuvj420p")
}

fn still(
    frame: &frame::Video,
    rotation_deg: u16,
    finisher: &mut Result<Option<Finisher>, String>,
) -> Result<Vec<u8>, String> {
    let finisher = finisher.as_mut().map_err(|why| why.clone())?;
    let spec = upright(frame, rotation_deg, MAX_WIDTH);
    let mut picture = None;
    let mut scaler = Scaler::new(Rational(1, 25), Box::new(move |_| spec.clone()));
    let mut keep = |out: frame::Video| {
        picture = Some(out);
        Ok(())
    };
    scaler.push(Some(share(frame)), &mut keep)?;
    scaler.push(None, &mut keep)?;
    let mut picture = picture.ok_or("can not be scaled")?;
    if let Some(finisher) = finisher {
        tag_rgb(&mut picture, frame.format());
        finisher.finish(&mut picture)?;
    }
    encode(picture).map_err(|e| format!("can not be written as JPEG: {e}"))
}

/// What was RGB just before has been given the matrix of JPEG, and nothing says so.
pub fn tag_rgb(picture: &mut frame::Video, was: Pixel) {
    if is_rgb(was) {
        picture.set_color_space(color::Space::BT470BG);
    }
}

pub fn encode(mut picture: frame::Video) -> Result<Vec<u8>, ffmpeg_next::Error> {
    let codec = encoder::find_by_name("mjpeg").ok_or(ffmpeg_next::Error::EncoderNotFound)?;
    let mut video = codec::Context::new_with_codec(codec).encoder().video()?;
    video.set_width(picture.width());
    video.set_height(picture.height());
    video.set_format(Pixel::YUVJ420P);
    video.set_color_range(color::Range::JPEG);
    video.set_time_base(Rational(1, 25));
    video.set_flags(codec::Flags::QSCALE);
    let lambda = QUALITY * ffmpeg_next::ffi::FF_QP2LAMBDA;
    video.set_global_quality(lambda);
    let mut encoder = video.open_as_with(codec, dictionary(&[("threads", "1")]))?;
    picture.set_pts(Some(0));
    picture.set_kind(ffmpeg_next::picture::Type::None);
    encoder.send_frame(&picture)?;
    encoder.send_eof()?;
    let mut packet = Packet::empty();
    encoder.receive_packet(&mut packet)?;
    packet.data().map(<[u8]>::to_vec).ok_or(ffmpeg_next::Error::InvalidData)
}
