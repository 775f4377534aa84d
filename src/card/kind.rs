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
    if is_junk(relpath) {
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

/// What an operating system keeps on a card for itself, where the listing has not left it out: never a clip, never a part
/// of one. `._A001.MOV` holds extended attributes under the clip's extension; a trash can holds what was thrown away.
pub(crate) fn is_junk(relpath: &RelPath) -> bool {
    const FOLDERS: [&str; 9] = [
        "system volume information",
        "$recycle.bin",
        ".trashes",
        ".spotlight-v100",
        ".fseventsd",
        ".temporaryitems",
        ".documentrevisions-v100",
        "__macosx",
        "lost+found",
    ];
    let folder = |s: &[u8]| {
        // Asked for every file some times over: most names end here.
        matches!(s.first(), Some(b'.' | b'$' | b'_' | b's' | b'S' | b'l' | b'L'))
            && (FOLDERS.iter().any(|f| s.eq_ignore_ascii_case(f.as_bytes()))
                || s.to_ascii_lowercase().starts_with(b".trash-"))
    };
    relpath.name().starts_with(b"._")
        || [&b".ds_store"[..], b"thumbs.db", b"desktop.ini"].iter().any(|n| relpath.name().eq_ignore_ascii_case(n))
        || relpath.segments().any(folder)
}

/// Cards are FAT or exFAT, where case says nothing.
pub(crate) fn folded(name: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(name) {
        Ok(text) => text.to_lowercase().into_bytes(),
        Err(_) => name.to_ascii_lowercase(),
    }
}
