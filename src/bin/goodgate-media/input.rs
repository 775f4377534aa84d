//! Opening a clip in libav: by descriptor, from a closed list of formats and decoders, and with nothing it could
//! follow elsewhere.

use crate::file_io::{FileIo, Shared};
use ffmpeg_next::format::context::{Input, StreamIo};
use ffmpeg_next::{Dictionary, Error, Packet, ffi};
use std::ffi::{CStr, c_char, c_int};
use std::ptr::{null, null_mut};
use std::sync::Arc;

/// Demuxers that need one file and no other. No playlists, no `image2` (it opens paths), no text.
const FORMATS: &str = "mov,mp4,m4a,3gp,3g2,mj2,mxf,matroska,webm,avi,mpegts,mpeg,dv,wav,w64,aiff,caf,flac,mp3,aac,\
    ogg,exr_pipe,dpx_pipe,tiff_pipe,jpeg_pipe,png_pipe,j2k_pipe";

/// Decoders of what cameras and recorders write.
const CODECS: &str = "h264,hevc,prores,dnxhd,cfhd,mpeg2video,mpeg1video,mpeg4,h263,mjpeg,dvvideo,jpeg2000,libopenjpeg,\
    vc1,v210,v410,r210,rawvideo,qtrle,png,exr,dpx,tiff,av1,libdav1d,vp8,vp9,\
    aac,aac_fixed,aac_latm,ac3,eac3,mp2,mp2float,mp3,mp3float,alac,flac,opus,libopus,vorbis,libvorbis,amrnb,amrwb,\
    pcm_u8,pcm_s8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be,\
    pcm_alaw,pcm_mulaw,pcm_s16le_planar,pcm_s24le_planar,pcm_bluray,pcm_dvd,s302m,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms";

/// Of one file, of every kind.
const MAX_STREAMS: &str = "64";
/// Below this a demuxer only guesses.
const SURE: c_int = ffi::AVPROBE_SCORE_MAX / 4 + 1;
const BUFFER_BYTES: usize = 256 * 1024;
/// A damaged region is stepped over packet by packet, up to so many in a row.
const MAX_BAD_READS: u32 = 1000;

pub enum Refusal {
    Unsupported(String),
    Failed(String),
}

impl Refusal {
    pub fn words(self) -> String {
        match self {
            Self::Unsupported(why) | Self::Failed(why) => why,
        }
    }
}

pub fn open(clip: Arc<Shared>, max_pixels: u64) -> Result<Input, Refusal> {
    let source = FileIo::new(clip);
    if source.len().is_ok_and(|n| n == 0) {
        return Err(Refusal::Failed("the file is empty".into()));
    }
    let failed = |what: &str, code: c_int| Refusal::Failed(format!("{what}: {}", Error::from(code)));
    let io = StreamIo::from_read_seek_with_capacity(source, BUFFER_BYTES);
    let mut io = io.map_err(|e| Refusal::Failed(format!("no buffer: {e}")))?;

    let mut format: *const ffi::AVInputFormat = null();
    // SAFETY: the context is alive; no name and no log context are allowed to be null.
    let score = unsafe { ffi::av_probe_input_buffer2(io.as_mut_ptr(), &mut format, null(), null_mut(), 0, 0) };
    if score < 0 || format.is_null() {
        return Err(Refusal::Unsupported("not a media file that libav knows".into()));
    }
    // SAFETY: libav's formats are static, their names are C strings.
    let name = unsafe { CStr::from_ptr((*format).name) }.to_string_lossy();
    if !name.split(',').any(|n| FORMATS.split(',').any(|f| f == n)) {
        return Err(Refusal::Unsupported(format!("\"{name}\" is not among the formats read here")));
    }

    let mut options = dictionary(&[
        ("format_whitelist", FORMATS),
        ("codec_whitelist", CODECS),
        ("protocol_whitelist", ""),
        ("max_streams", MAX_STREAMS),
        ("probesize", "8000000"),
        ("analyzeduration", "3000000"),
        ("enable_drefs", "0"),
    ]);
    // SAFETY: the context is either handed to `Input`, which owns it together with `io`, or closed here. libav may
    // replace the option lists, so both are taken back into owners that free them. `streams` of the second call
    // has one list a stream, as it asks for.
    unsafe {
        let mut context = ffi::avformat_alloc_context();
        if context.is_null() {
            return Err(Refusal::Failed("no memory".into()));
        }
        (*context).pb = io.as_mut_ptr();
        (*context).flags |= ffi::AVFMT_FLAG_CUSTOM_IO;
        (*context).io_open = Some(refuse);
        let mut raw = options.disown();
        let opened = ffi::avformat_open_input(&mut context, null(), format, &mut raw);
        options = Dictionary::own(raw);
        drop(options);
        if opened < 0 {
            return Err(match score < SURE {
                _ if opened == ffi::AVERROR(ffmpeg_next::error::ENOMEM) => Refusal::Failed(format!(
                    "read as {name} it has more than {MAX_STREAMS} tracks, or needs more memory than it may have"
                )),
                true => Refusal::Unsupported("not a media file that libav knows".into()),
                false => failed(&format!("damaged or cut short, read as {name}"), opened),
            });
        }
        let pixels = max_pixels.to_string();
        let one = || dictionary(&[("max_pixels", pixels.as_str()), ("threads", "1")]).disown();
        let mut streams: Vec<_> = (0..(*context).nb_streams).map(|_| one()).collect();
        let found = ffi::avformat_find_stream_info(context, streams.as_mut_ptr());
        streams.into_iter().for_each(|s| drop(Dictionary::own(s)));
        if found < 0 {
            ffi::avformat_close_input(&mut context);
            return Err(failed("its streams can not be read", found));
        }
        Ok(Input::wrap_with_custom_io(context, io))
    }
}

/// What a demuxer or a muxer gets that wants another file.
pub unsafe extern "C" fn refuse(
    _: *mut ffi::AVFormatContext,
    _: *mut *mut ffi::AVIOContext,
    _: *const c_char,
    _: c_int,
    _: *mut *mut ffi::AVDictionary,
) -> c_int {
    ffi::AVERROR(libc::EACCES)
}

pub fn dictionary(pairs: &[(&str, &str)]) -> Dictionary<'static> {
    let mut d = Dictionary::new();
    pairs.iter().for_each(|(k, v)| d.set(k, v));
    d
}

/// Options of a decoder; the same everywhere.
pub fn decoder_options(max_pixels: u64) -> Dictionary<'static> {
    dictionary(&[("max_pixels", &max_pixels.to_string()), ("codec_whitelist", CODECS)])
}

/// Whether this libav can decode it, and we let it.
pub fn decoder(id: ffmpeg_next::codec::Id) -> Option<ffmpeg_next::Codec> {
    let codec = ffmpeg_next::decoder::find(id)?;
    CODECS.split(',').any(|c| c == codec.name()).then_some(codec)
}

/// The next packet; `None` at the end, also where damage ends the reading.
pub fn next_packet(input: &mut Input) -> Option<Packet> {
    for _ in 0..MAX_BAD_READS {
        let mut packet = Packet::empty();
        match packet.read(input) {
            Ok(()) => return Some(packet),
            // Other errors stay with the context and would come back for ever.
            Err(Error::InvalidData) => {}
            Err(_) => return None,
        }
    }
    None
}
