//! Mounting cards read-only.

use std::io;
use std::path::Path;

/// Mounts `device` at `point` (made if absent): read-only, no programs, no devices. Needs root.
/// The helper program knows every filesystem and its options better than we do.
pub fn mount_read_only(device: &Path, point: &Path) -> io::Result<()> {
    std::fs::create_dir_all(point)?;
    let out = std::process::Command::new("mount")
        .args(["-o", "ro,noexec,nosuid,nodev,noatime"])
        .arg(device)
        .arg(point)
        .output()?;
    if !out.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&out.stderr).trim().to_owned()));
    }
    Ok(())
}

pub fn unmount(point: &Path) -> io::Result<()> {
    let out = std::process::Command::new("umount").arg(point).output()?;
    if !out.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&out.stderr).trim().to_owned()));
    }
    Ok(())
}
