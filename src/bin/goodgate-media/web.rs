//! The web proxy: H.264 and AAC in an MP4 whose index is at the front.

use crate::file_io::{FileIo, Shared};
use crate::input::dictionary;
use crate::scale::{Scaler, fit, is_rgb};
use crate::sound::{self, Sound};
use ffmpeg_next::format::context::{Output, StreamIo};
use ffmpeg_next::{Error, Packet, Rational, codec, color, encoder, ffi, format::Pixel, frame};
use goodgate::preset::web::{CRF, GOP_FRAMES, MAX_HEIGHT, SPEED};
use std::ffi::{c_char, c_int};
use std::sync::{Arc, OnceLock};

/// What the picture of a proxy takes over from the clip.
pub struct Picture {
    /// Of the frames' times.
    pub time_base: Rational,
    pub rate: Rational,
    /// Every frame lasts one tick of `time_base`.
    pub constant: bool,
    pub start_tc: Option<String>,
    pub display: Option<[i32; 4]>,
    pub threads: u16,
}

pub struct Web {
    file: Arc<Shared>,
    picture: Option<(Picture, Scaler)>,
    video: Option<encoder::video::Encoder>,
    pub sound: Option<Sound>,
    mux: Option<Output>,
    /// Sound that came before the first picture.
    early: Vec<Packet>,
    pub frames: u64,
}

impl Web {
    pub fn new(file: Arc<Shared>, picture: Option<Picture>, sound: Option<Sound>) -> Self {
        let lane = picture.map(|p| {
            let scaler = Scaler::new(p.time_base, Box::new(spec));
            (p, scaler)
        });
        Web { file, picture: lane, video: None, sound, mux: None, early: Vec::new(), frames: 0 }
    }

    /// A decoded picture with its time set; `None` at the end.
    pub fn see(&mut self, frame: Option<frame::Video>) -> Result<(), String> {
        let Some((picture, mut scaler)) = self.picture.take() else { return Ok(()) };
        let last = frame.is_none();
        let done = scaler.push(frame, &mut |out| self.encode(out, &picture));
        let done = done.and_then(|()| match &mut self.video {
            Some(video) if last => {
                video.send_eof().map_err(|e| format!("can not be encoded: {e}"))?;
                self.collect(&picture)
            }
            _ => Ok(()),
        });
        self.picture = Some((picture, scaler));
        done
    }

    /// A packet of the clip's sound; `None` at the end.
    pub fn hear(&mut self, packet: Option<&Packet>) -> Result<(), String> {
        let Some(sound) = &mut self.sound else { return Ok(()) };
        let ready = sound.feed(packet);
        if self.picture.is_none() && self.mux.is_none() && !ready.is_empty() {
            self.begin(None)?;
        }
        self.early.extend(ready);
        self.write_sound()
    }

    /// Writes the index. An error if nothing was ever encoded.
    pub fn finish(&mut self) -> Result<(), String> {
        let Some(mux) = &mut self.mux else { return Err("nothing of it could be decoded".into()) };
        mux.write_trailer().map_err(|e| format!("its index can not be written: {e}"))
    }

    fn encode(&mut self, mut frame: frame::Video, picture: &Picture) -> Result<(), String> {
        if self.video.is_none() {
            self.video = Some(h264(&frame, picture).map_err(|e| format!("no H.264 encoder: {e}"))?);
            self.begin(Some(picture))?;
        }
        // Else the clip's own I, P and B would be forced on the encoder.
        frame.set_kind(ffmpeg_next::picture::Type::None);
        let Some(video) = &mut self.video else { return Ok(()) };
        video.send_frame(&frame).map_err(|e| format!("can not be encoded: {e}"))?;
        self.frames += 1;
        self.collect(picture)
    }

    fn collect(&mut self, picture: &Picture) -> Result<(), String> {
        let (Some(video), Some(mux)) = (&mut self.video, &mut self.mux) else { return Ok(()) };
        let mut packet = Packet::empty();
        while video.receive_packet(&mut packet).is_ok() {
            if picture.constant {
                packet.set_duration(1);
            }
            write(mux, &mut packet, 0, picture.time_base)?;
        }
        Ok(())
    }

    fn write_sound(&mut self) -> Result<(), String> {
        let Some(mux) = &mut self.mux else { return Ok(()) };
        let index = usize::from(self.picture.is_some() || self.video.is_some());
        self.early.drain(..).try_for_each(|mut p| write(mux, &mut p, index, sound::TIME_BASE))
    }

    /// Writes the head, now that every stream is known.
    fn begin(&mut self, picture: Option<&Picture>) -> Result<(), String> {
        let mux = self.head(picture).map_err(|e| format!("can not be started: {e}"))?;
        self.mux = Some(mux);
        self.write_sound()
    }

    fn head(&self, picture: Option<&Picture>) -> Result<Output, Error> {
        let io = StreamIo::from_write_seek(FileIo::new(self.file.clone()))?;
        let mut mux = ffmpeg_next::format::output_to_stream(io, None, Some("mp4"))?;
        let _ = PROXY.set(self.file.clone());
        // SAFETY: the context is ours and alive; both functions keep libav's contract (see there).
        unsafe {
            (*mux.as_mut_ptr()).io_open = Some(reopen);
            (*mux.as_mut_ptr()).io_close2 = Some(leave);
        }
        if let (Some(p), Some(video)) = (picture, &self.video) {
            let mut stream = mux.add_stream_with(video)?;
            stream.set_time_base(p.time_base);
            stream.set_avg_frame_rate(p.rate);
            stream.set_rate(p.rate);
            if let Some(tc) = &p.start_tc {
                stream.set_metadata(dictionary(&[("timecode", tc)]));
            }
            if let Some(display) = p.display {
                // SAFETY: the stream is alive; libav gives 36 bytes that are its own to free.
                unsafe { turn(stream.as_mut_ptr(), display) };
            }
        }
        if let Some(sound) = &self.sound {
            mux.add_stream_with(&sound.encoder)?.set_time_base(sound::TIME_BASE);
        }
        mux.write_header_with(dictionary(&[("movflags", "+faststart")]))?;
        Ok(mux)
    }
}

fn write(mux: &mut Output, packet: &mut Packet, index: usize, from: Rational) -> Result<(), String> {
    let Some(to) = mux.stream(index).map(|s| s.time_base()) else { return Ok(()) };
    packet.set_stream(index);
    packet.rescale_ts(from, to);
    packet.write_interleaved(mux).map_err(|e| format!("can not be written: {e}"))
}

fn spec(frame: &frame::Video) -> String {
    let (w, h) = fit(frame.width(), frame.height(), MAX_HEIGHT, frame.height());
    let matrix = if is_rgb(frame.format()) { "out_color_matrix=bt709:" } else { "" };
    format!("scale={w}:{h}:flags=bicubic:{matrix}out_range=tv,format=yuv420p")
}

fn h264(first: &frame::Video, picture: &Picture) -> Result<encoder::video::Encoder, Error> {
    let codec = encoder::find_by_name("libx264").ok_or(Error::EncoderNotFound)?;
    let mut video = codec::Context::new_with_codec(codec).encoder().video()?;
    video.set_width(first.width());
    video.set_height(first.height());
    video.set_aspect_ratio(first.aspect_ratio());
    video.set_format(Pixel::YUV420P);
    video.set_time_base(picture.time_base);
    video.set_frame_rate(Some(picture.rate));
    video.set_gop(GOP_FRAMES);
    video.set_max_b_frames(0);
    // The clip's own tags: log footage stamped as bt709 would be a lie.
    video.set_color_range(color::Range::MPEG);
    video.set_colorspace(match first.color_space() {
        color::Space::RGB => color::Space::BT709,
        own => own,
    });
    video.set_color_primaries(first.color_primaries());
    video.set_color_transfer_characteristic(first.color_transfer_characteristic());
    video.set_flags(codec::Flags::GLOBAL_HEADER);
    let threads = picture.threads.to_string();
    video.open_as_with(codec, dictionary(&[("preset", SPEED), ("crf", CRF), ("threads", &threads)]))
}

/// # Safety
/// `stream` is a live stream of an output.
unsafe fn turn(stream: *mut ffi::AVStream, [a, b, c, d]: [i32; 4]) {
    let matrix = [a, b, 0, c, d, 0, 0, 0, 1 << 30];
    // SAFETY: the size is that of `matrix`; a null answer is checked.
    unsafe {
        let kind = ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX;
        let data = ffi::av_stream_new_side_data(stream, kind, size_of_val(&matrix));
        if !data.is_null() {
            data.cast::<[i32; 9]>().write_unaligned(matrix);
        }
    }
}

/// The file `reopen` gives; one proxy a process.
static PROXY: OnceLock<Arc<Shared>> = OnceLock::new();

/// MP4 moves its index to the front by reading its own output: the one thing it may open, and by no name.
unsafe extern "C" fn reopen(
    _: *mut ffi::AVFormatContext,
    io: *mut *mut ffi::AVIOContext,
    _: *const c_char,
    flags: c_int,
    _: *mut *mut ffi::AVDictionary,
) -> c_int {
    let read_only = flags & ffi::AVIO_FLAG_WRITE == 0;
    let own = PROXY.get().filter(|_| read_only).and_then(|p| StreamIo::from_read_seek(FileIo::new(p.clone())).ok());
    match own {
        Some(mut own) => {
            // SAFETY: libav gives a place for the pointer. The context is left alive for the rest of this short
            // process, as `leave` can not know which kind it gets.
            unsafe { *io = own.as_mut_ptr() };
            std::mem::forget(own);
            0
        }
        None => ffi::AVERROR(libc::EACCES),
    }
}

unsafe extern "C" fn leave(_: *mut ffi::AVFormatContext, _: *mut ffi::AVIOContext) -> c_int {
    0
}
