//! Files by descriptor for libav: positioned reads and writes, so that two users of one descriptor never disturb
//! each other, and a size cap that speaks before the kernel's does.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

/// One open file, or a picture in memory, shared by whoever reads or writes it.
pub struct Shared {
    body: Body,
    cap_bytes: u64,
    /// The first write that failed, in words: libav keeps only a number.
    trouble: Mutex<Option<String>>,
}

enum Body {
    File(File),
    Bytes(Vec<u8>),
}

impl Shared {
    pub fn new(file: File, cap_bytes: u64) -> Arc<Self> {
        Arc::new(Shared { body: Body::File(file), cap_bytes, trouble: Mutex::new(None) })
    }

    /// To be read only.
    pub fn bytes(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Shared { body: Body::Bytes(bytes), cap_bytes: 0, trouble: Mutex::new(None) })
    }

    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, text: String) {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(text);
    }
}

pub struct FileIo {
    shared: Arc<Shared>,
    at: u64,
}

impl FileIo {
    pub fn new(shared: Arc<Shared>) -> Self {
        FileIo { shared, at: 0 }
    }

    /// By lseek: statx is not among the calls we keep.
    pub fn len(&self) -> io::Result<u64> {
        match &self.shared.body {
            Body::File(file) => (&mut &*file).seek(SeekFrom::End(0)),
            Body::Bytes(bytes) => Ok(bytes.len() as u64),
        }
    }
}

impl Read for FileIo {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = match &self.shared.body {
            Body::File(file) => file.read_at(buf, self.at)?,
            Body::Bytes(bytes) => {
                let from = usize::try_from(self.at).unwrap_or(usize::MAX).min(bytes.len());
                (&bytes[from..]).read(buf)?
            }
        };
        self.at += n as u64;
        Ok(n)
    }
}

impl Write for FileIo {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.at.saturating_add(buf.len() as u64) > self.shared.cap_bytes {
            self.shared.note(format!("larger than its limit of {} bytes", self.shared.cap_bytes));
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let Body::File(file) = &self.shared.body else { return Err(io::ErrorKind::Unsupported.into()) };
        match file.write_at(buf, self.at) {
            Ok(n) => {
                self.at += n as u64;
                Ok(n)
            }
            Err(e) => {
                if e.kind() != io::ErrorKind::Interrupted {
                    self.shared.note(format!("can not be written: {e}"));
                }
                Err(e)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for FileIo {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(n) => Some(n),
            SeekFrom::Current(d) => self.at.checked_add_signed(d),
            SeekFrom::End(d) => self.len()?.checked_add_signed(d),
        };
        self.at = to.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
