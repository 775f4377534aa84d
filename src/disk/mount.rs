//! The end of a mount: unmounted for good, never lazily; who is in the way; the power of the disk.

use super::facts::{Facts, Mount, mounts};
use super::lifetime::disk_folder;
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Why it is mounted still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    Busy,
    Refused(String),
}

/// A process that uses a filesystem.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    pub pid: u32,
    pub name: String,
}

/// Unmounts what is mounted there. By the kernel where we may; else by `umount`, which may where fstab says so, and by
/// udisks. Whoever only looks in passing is waited for.
pub fn unmount(mount: &Mount) -> Result<(), Kept> {
    for pause_ms in [0, 50, 150, 300, 500] {
        std::thread::sleep(Duration::from_millis(pause_ms));
        match rustix::mount::unmount(&mount.point, UnmountFlags::NOFOLLOW) {
            Ok(()) => return Ok(()),
            Err(Errno::BUSY) => {}
            Err(Errno::PERM) => return by_programs(mount),
            Err(e) => return Err(Kept::Refused(e.to_string())),
        }
    }
    Err(Kept::Busy)
}

fn by_programs(mount: &Mount) -> Result<(), Kept> {
    let mut umount = Command::new("umount");
    umount.arg("--").arg(&mount.point);
    let Err(said) = run(umount) else { return Ok(()) };
    if said.contains("busy") {
        return Err(Kept::Busy);
    }
    if mount.source.starts_with("/dev") {
        let mut udisks = Command::new("udisksctl");
        udisks.args(["unmount", "--no-user-interaction", "-b"]).arg(&mount.source);
        match run(udisks) {
            Ok(()) => return Ok(()),
            Err(said) if said.contains("busy") => return Err(Kept::Busy),
            Err(_) => {}
        }
    }
    Err(Kept::Refused(said))
}

/// What it said on stderr, when it failed; in English, and on one line.
fn run(mut program: Command) -> Result<(), String> {
    let name = program.get_program().to_string_lossy().into_owned();
    let out = program.env("LC_ALL", "C").stdin(Stdio::null()).output().map_err(|e| format!("{name}: {e}"))?;
    let said = String::from_utf8_lossy(&out.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    let said = if said.is_empty() { format!("{name} failed") } else { said };
    if out.status.success() { Ok(()) } else { Err(said) }
}

/// Processes with an open or mapped file, a working folder or a root there, as far as we may see.
pub fn holders(device: (u32, u32), points: &[PathBuf]) -> Vec<Holder> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbered = processes.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let others = numbered.filter(|pid| *pid != std::process::id());
    let found = others.filter(|pid| uses(&PathBuf::from(format!("/proc/{pid}")), device, points));
    let name = |pid: u32| {
        let name = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        Holder { pid, name: String::from_utf8_lossy(name.trim_ascii_end()).into_owned() }
    };
    let mut all: Vec<Holder> = found.map(name).collect();
    all.sort();
    all
}

fn uses(process: &Path, device: (u32, u32), points: &[PathBuf]) -> bool {
    let is_there = |link: PathBuf| {
        // Links are only read: to follow one may hang on a share that is gone.
        std::fs::read_link(link).is_ok_and(|to| points.iter().any(|p| to.starts_with(p)))
    };
    let open = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten().map(|e| e.path());
    ["cwd", "root", "exe"].into_iter().map(|l| process.join(l)).chain(open).any(is_there)
        || is_mapped(&std::fs::read(process.join("maps")).unwrap_or_default(), device, points)
}

/// proc_pid_maps(5): range, rights, offset, device, inode, path.
fn is_mapped(maps: &[u8], device: (u32, u32), points: &[PathBuf]) -> bool {
    let device = format!("{:02x}:{:02x}", device.0, device.1);
    maps.split(|b| *b == b'\n').any(|line| {
        let mut fields = line.split(|b| *b == b' ').filter(|f| !f.is_empty());
        let path = line.iter().position(|b| *b == b'/').map(|at| Path::new(std::ffi::OsStr::from_bytes(&line[at..])));
        fields.nth(3) == Some(device.as_bytes())
            || path.is_some_and(|p| points.iter().any(|point| p.starts_with(point)))
    })
}

/// Takes the power from the disk that the filesystem was on. False: it is no such disk, another filesystem of it is in
/// use, or it was not allowed; then it may be unplugged all the same.
pub fn power_off(facts: &Facts) -> bool {
    let Some(disk) = disk_folder(facts) else { return false };
    let used = mounts().unwrap_or_default().into_iter().flat_map(|m| {
        let named = m.source.file_name().map(|n| n.to_string_lossy().into_owned());
        [Some(format!("{}:{}", m.device.0, m.device.1)), named]
    });
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    let swaps = swaps.lines().filter_map(|l| l.split_whitespace().next()?.rsplit('/').next().map(str::to_owned));
    if !may_power_off(&disk, &used.flatten().chain(swaps).collect()) {
        return false;
    }
    let Some(name) = disk.file_name() else { return false };
    let mut udisks = Command::new("udisksctl");
    udisks.args(["power-off", "--no-user-interaction", "-b"]).arg(Path::new("/dev").join(name));
    run(udisks).is_ok() || std::fs::write(disk.join("device/delete"), "1").is_ok()
}

/// A disk in a case of its own on USB, of which nothing is in use. A reader or a stick, whose medium the kernel calls
/// removable, keeps its power: the next card could not be seen in a reader that is off.
fn may_power_off(disk: &Path, used: &BTreeSet<String>) -> bool {
    let text = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let name = disk.file_name().unwrap_or_default().as_bytes();
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    let parts = entries(disk).filter(|p| p.join("partition").exists() && p.is_dir());
    let is_used = |part: &Path| {
        let name = part.file_name().unwrap_or_default().to_string_lossy().into_owned();
        used.contains(&text(part.join("dev")))
            || used.contains(&name)
            || entries(&part.join("holders")).next().is_some()
    };
    let on_usb = disk.components().any(|c| c.as_os_str().as_bytes().starts_with(b"usb"));
    on_usb
        && !name.is_empty()
        && text(disk.join("removable")) == "0"
        && disk.join("device").exists()
        && !is_used(disk)
        && !parts.into_iter().any(|p| is_used(&p))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir_all, write};

    #[test]
    fn whoever_has_a_file_open_or_mapped_or_works_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let point = dir.path().canonicalize().unwrap();
        let device = (u32::MAX, 0);
        assert_eq!(holders(device, std::slice::from_ref(&point)), []);
        let mut child = Command::new("sleep").arg("600").current_dir(&point).spawn().unwrap();
        let seen = holders(device, std::slice::from_ref(&point));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(seen, [Holder { pid: child.id(), name: "sleep".into() }]);
        let maps = b"7f00-7f01 r--p 00000000 08:11 131 /mnt/a b/lib.so\n7f02-7f03 rw-p 00000000 00:00 0\n";
        assert!(is_mapped(maps, (8, 17), &[]) && is_mapped(maps, (1, 1), &["/mnt/a b".into()]));
        assert!(!is_mapped(maps, (8, 1), &["/mnt/a".into()]));
    }

    #[test]
    fn only_a_disk_in_a_case_of_its_own_loses_its_power_and_only_when_nothing_of_it_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let usb = dir.path().join("devices/pci0/usb2/2-1/host0/block/sdz");
        let sata = dir.path().join("devices/pci0/ata1/host1/block/sda");
        for disk in [&usb, &sata] {
            for part in ["part1", "part2"] {
                create_dir_all(disk.join(part).join("holders")).unwrap();
                write(disk.join(part).join("partition"), "1\n").unwrap();
                write(disk.join(part).join("dev"), format!("65:{}\n", part.trim_start_matches("part"))).unwrap();
            }
            create_dir_all(disk.join("device")).unwrap();
            write(disk.join("removable"), "0\n").unwrap();
            write(disk.join("dev"), "65:0\n").unwrap();
        }
        let used = |what: &[&str]| what.iter().map(|w| (*w).to_owned()).collect::<BTreeSet<_>>();
        assert!(may_power_off(&usb, &used(&["8:1", "vda"])));
        assert!(!may_power_off(&sata, &used(&[])));
        for what in ["65:0", "65:2", "part2", "sdz"] {
            assert!(!may_power_off(&usb, &used(&[what])), "{what}");
        }
        create_dir_all(usb.join("part2/holders/dm-0")).unwrap();
        assert!(!may_power_off(&usb, &used(&[])), "an encrypted volume is open on it");
        std::fs::remove_dir(usb.join("part2/holders/dm-0")).unwrap();
        write(usb.join("removable"), "1\n").unwrap();
        assert!(!may_power_off(&usb, &used(&[])), "a reader");
    }
}
