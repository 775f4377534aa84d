//! What a file is by its extension alone: enough to group files into clips, never enough to say what is inside.

use crate::relpath::RelPath;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Picture, mostly with sound.
    Video,
    Audio,
    /// One frame of a sequence; alone it is a clip of one frame.
    Frame,
    /// A frame when others stand beside it, a photo alone.
    FrameOrPhoto,
    /// A small movie that the camera made beside the clip.
    Proxy,
    Thumb,
    Other,
}

impl Kind {
    /// Its bytes are the recording itself.
    pub fn is_essence(self) -> bool {
        matches!(self, Self::Video | Self::Audio | Self::Frame | Self::FrameOrPhoto)
    }
}

pub(crate) fn of(relpath: &RelPath) -> Kind {
    // `._A001.MOV` is what macOS keeps beside a file: extended attributes under the clip's extension.
    if relpath.name().starts_with(b"._") {
        return Kind::Other;
    }
    match relpath.extension().as_str() {
        "mov" | "qt" | "mp4" | "m4v" | "mxf" | "avi" | "mts" | "m2ts" | "m2t" | "ts" | "tod" | "mod" | "mpg"
        | "mpeg" | "r3d" | "braw" | "braw2" | "crm" | "rmf" | "nev" | "cine" | "mlv" | "dv" | "dif" | "mkv"
        | "webm" | "3gp" | "3g2" | "wmv" | "insv" | "360" | "osv" => Kind::Video,
        "wav" | "bwf" | "rf64" | "w64" | "aif" | "aiff" | "aifc" | "caf" | "flac" | "mp3" | "m4a" => Kind::Audio,
        "dpx" | "exr" | "ari" | "arx" | "cin" | "krw" => Kind::Frame,
        "dng" => Kind::FrameOrPhoto,
        "lrv" | "lrf" => Kind::Proxy,
        "thm" | "jpg" | "jpeg" => Kind::Thumb,
        _ => Kind::Other,
    }
}

/// Cards are FAT or exFAT, where case says nothing.
pub(crate) fn folded(name: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(name) {
        Ok(text) => text.to_lowercase().into_bytes(),
        Err(_) => name.to_ascii_lowercase(),
    }
}
