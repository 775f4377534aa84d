//! What the kernel's log says of block devices while we work (`/dev/kmsg`, kernel documentation ABI/testing/dev-kmsg).
//! A read that was retried until it came through, or a write that was lost later, may be told there and nowhere else.

use rustix::fs::{Mode, OFlags, SeekFrom};
use std::fs::File;
use std::io::{self, Read};

/// The log from the moment of opening on.
pub struct KernelLog(File);

impl KernelLog {
    /// Fails where only root may read it.
    pub fn open() -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::open("/dev/kmsg", flags, Mode::empty())?;
        rustix::fs::seek(&fd, SeekFrom::End(0))?;
        Ok(KernelLog(File::from(fd)))
    }

    /// Errors told since the last call, of these devices (`sda`, `mmcblk0`); at most a few, each one line.
    pub fn errors(&mut self, devices: &[String]) -> Vec<(String, String)> {
        const TOLD: usize = 8;
        let (mut out, mut record) = (Vec::new(), vec![0; 8192]);
        loop {
            match self.0.read(&mut record) {
                Ok(0) => return out,
                Ok(n) => {
                    let text = String::from_utf8_lossy(&record[..n]);
                    if let Some(found) = error_of(&text, devices).filter(|_| out.len() < TOLD) {
                        out.push(found);
                    }
                }
                // EPIPE: the log was faster than we and went on without us.
                Err(e) if e.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return out,
            }
        }
    }
}

/// `3,1234,5678,-;I/O error, dev sda, sector 123 op 0x0:(READ) ...` -> the device and the line.
fn error_of(record: &str, devices: &[String]) -> Option<(String, String)> {
    let line = record.split_once(';')?.1.lines().next()?;
    let lower = line.to_ascii_lowercase();
    if !["i/o error", "medium error", "write error", "unrecovered read error", "critical target error"]
        .iter()
        .any(|words| lower.contains(words))
    {
        return None;
    }
    let words = || line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let device = devices.iter().find(|d| words().any(|word| word == **d))?;
    Some((device.clone(), line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_our_devices_are_found_and_no_others() {
        let ours = ["sda".to_owned(), "loop3".to_owned()];
        let record = "3,812,99,-;I/O error, dev loop3, sector 2048 op 0x0:(READ) flags 0x0 phys_seg 4 prio class 2\n SUBSYSTEM=block";
        assert_eq!(error_of(record, &ours).unwrap().0, "loop3");
        assert!(error_of("3,1,2,-;Buffer I/O error on dev sda, logical block 7, async page read", &ours).is_some());
        assert!(error_of("3,1,2,-;I/O error, dev sdab, sector 1", &ours).is_none());
        assert!(error_of("6,1,2,-;EXT4-fs (loop3): mounted filesystem", &ours).is_none());
        assert!(error_of("no record", &ours).is_none());
    }
}
