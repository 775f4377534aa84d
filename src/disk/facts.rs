//! Facts about the volume and the disk below a path.
use std::io;
use std::os::fd::AsFd;

/// The id of the mount a descriptor lies on.
pub fn mount_id_of(fd: impl AsFd) -> io::Result<u64> {
    let x = rustix::fs::statx(fd, "", rustix::fs::AtFlags::EMPTY_PATH, rustix::fs::StatxFlags::MNT_ID)?;
    Ok(x.stx_mnt_id)
}
