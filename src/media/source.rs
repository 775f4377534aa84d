//! Where a clip's picture and sound are read from.

use super::protocol::{self, MAX_FRAME_BYTES};
use crate::timecode::FrameRate;
use std::fs::File;
use std::io::{self, Read, Write};

/// All are proven copies, open for reading.
#[derive(Debug)]
pub enum Source {
    File(File),
    /// The parts of one recording, in the order of time; at least one.
    Chapters(Vec<File>),
    Frames(Frames),
}

/// Numbered pictures. They are opened one after the other, and the child never sees more than their bytes.
pub struct Frames {
    pub rate: FrameRate,
    /// With those that are missing.
    pub total: u64,
    /// The next one; `Some(None)`: it is missing. Not called any more after `None`.
    pub next: Box<dyn FnMut() -> Option<Option<File>> + Send>,
}

impl std::fmt::Debug for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frames").field("rate", &self.rate).field("total", &self.total).finish_non_exhaustive()
    }
}

impl From<File> for Source {
    fn from(file: File) -> Self {
        Source::File(file)
    }
}

/// What the child finds on descriptor 0.
#[derive(Debug)]
pub(super) enum First {
    File(File),
    Frames(Frames),
}

impl Source {
    /// Descriptor 0, the files that follow the outputs, and how the child is told; `None` without any file.
    pub(super) fn split(self) -> Option<(First, Vec<File>, protocol::Source)> {
        Some(match self {
            Source::File(file) => (First::File(file), Vec::new(), protocol::Source::File),
            Source::Chapters(files) => {
                let mut files = files.into_iter();
                let first = files.next()?;
                let more: Vec<File> = files.collect();
                let source = protocol::Source::Chapters { more: u16::try_from(more.len()).ok()? };
                (First::File(first), more, source)
            }
            Source::Frames(frames) => {
                let rate = (frames.rate.num(), frames.rate.den());
                let source = protocol::Source::Frames { rate, total: frames.total };
                (First::Frames(frames), Vec::new(), source)
            }
        })
    }
}

/// A file that ends where it can not be read.
struct UntilFault(File);

impl Read for UntilFault {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buf) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => return Ok(read.unwrap_or(0)),
            }
        }
    }
}

/// Writes the pictures until there are no more, or until nobody reads them.
pub(super) fn feed(mut into: impl Write, mut frames: Frames) -> io::Result<()> {
    while let Some(frame) = (frames.next)() {
        let len = frame.as_ref().and_then(|f| f.metadata().ok()).map_or(0, |m| m.len());
        // Larger than any picture: as if it were not there.
        let len = if len > MAX_FRAME_BYTES { 0 } else { len };
        into.write_all(&len.to_le_bytes())?;
        if let Some(frame) = frame.filter(|_| len > 0) {
            let mut buf = vec![0; 256 * 1024];
            // What can not be read is zeros, so that the pictures behind it stay where they are.
            let mut from = UntilFault(frame).chain(io::repeat(0)).take(len);
            while from.limit() > 0 {
                let n = from.read(&mut buf)?;
                into.write_all(&buf[..n])?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_follow_one_another_with_their_lengths_and_missing_ones_have_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            File::open(path).unwrap()
        };
        let mut all = vec![Some(file("a", b"abc")), None, Some(file("empty", b"")), Some(file("d", b"d"))].into_iter();
        let frames = Frames { rate: FrameRate::new(24, 1).unwrap(), total: 4, next: Box::new(move || all.next()) };
        let mut out = Vec::new();
        feed(&mut out, frames).unwrap();
        let want = [&3u64.to_le_bytes()[..], b"abc", &[0; 8], &[0; 8], &1u64.to_le_bytes(), b"d"].concat();
        assert_eq!(out, want);
    }
}
