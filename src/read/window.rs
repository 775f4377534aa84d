//! `Window`: a file seen through bounded reads, so that no parser can be made to read a whole clip or to run for ever.

use std::io::{self, Read, Seek, SeekFrom};

/// One read; larger asks are cut to this.
const READ_BYTES: usize = 1 << 20;
/// All reads of one check together.
const TOTAL_BYTES: u64 = 32 << 20;
const TOTAL_READS: u32 = 20_000;

/// `Some`: how the file is cut short, in words. `None`: nothing is missing as far as a header check can see. `Err`: the
/// file cannot be read.
pub type Fault = io::Result<Option<String>>;

pub trait Source: Read + Seek {}
impl<T: Read + Seek> Source for T {}

pub struct Window<'a> {
    file: &'a mut dyn Source,
    size_bytes: u64,
    bytes_left: u64,
    reads_left: u32,
    spent: bool,
}

impl<'a> Window<'a> {
    pub fn new(file: &'a mut dyn Source, size_bytes: u64) -> Self {
        Window { file, size_bytes, bytes_left: TOTAL_BYTES, reads_left: TOTAL_READS, spent: false }
    }

    pub fn size(&self) -> u64 {
        self.size_bytes
    }

    /// The file asked for more reading than a header check may do. From then on it reads as if it ended: what was found
    /// before stands, and of its length nothing may be claimed.
    pub fn is_spent(&self) -> bool {
        self.spent
    }

    /// For a parser that counts steps of its own.
    pub(crate) fn spend(&mut self) {
        self.spent = true;
    }

    /// Up to `len` bytes from `at`; fewer where the file ends, none past its end, none when the window is spent.
    pub fn read(&mut self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let there = self.size_bytes.saturating_sub(at);
        let len = len.min(READ_BYTES).min(usize::try_from(there).unwrap_or(usize::MAX));
        if len == 0 {
            return Ok(Vec::new());
        }
        let left = self.reads_left.checked_sub(1).zip(self.bytes_left.checked_sub(len as u64));
        let Some((reads, bytes)) = left.filter(|_| !self.spent) else {
            self.spent = true;
            return Ok(Vec::new());
        };
        (self.reads_left, self.bytes_left) = (reads, bytes);
        self.file.seek(SeekFrom::Start(at))?;
        let mut out = Vec::with_capacity(len);
        (&mut self.file).take(len as u64).read_to_end(&mut out)?;
        Ok(out)
    }

    /// Exactly `N` bytes, or `None` where the file ends before them.
    pub fn array<const N: usize>(&mut self, at: u64) -> io::Result<Option<[u8; N]>> {
        Ok(self.read(at, N)?.try_into().ok())
    }
}

/// `N` bytes of `bytes` at `at`, without a panic.
pub fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

pub fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_be_bytes)
}

pub fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_be_bytes)
}

pub fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_be_bytes)
}

pub fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

pub fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}

/// The usual words for a part that runs past the end.
pub(crate) fn past_end(part: &str, end: u64, size: u64) -> String {
    format!("{part} should end at byte {end}, the file ends at {size}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn reads_end_with_the_file_and_with_the_budget() {
        let mut file = Cursor::new(vec![7u8; 100]);
        let mut w = Window::new(&mut file, 100);
        assert_eq!(w.read(90, 20).unwrap().len(), 10);
        assert!(w.read(u64::MAX, 20).unwrap().is_empty());
        assert!(w.array::<8>(95).unwrap().is_none());
        let spent = (0..=TOTAL_READS).find(|_| w.read(0, 1).unwrap().is_empty());
        assert!(spent.is_some() && w.is_spent());
        assert!(w.array::<8>(0).unwrap().is_none());
    }

    #[test]
    fn a_file_shorter_than_it_said_is_no_panic() {
        let mut file = Cursor::new(vec![7u8; 3]);
        let mut w = Window::new(&mut file, 100);
        assert!(w.array::<8>(0).unwrap().is_none());
    }
}
