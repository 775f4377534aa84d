//! Facts about the volume and the disk below a path, from mountinfo, statvfs and sysfs.

use crate::copy::ReadBack;
use crate::evidence::Disk;
use crate::relpath::RelPath;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// One line of `/proc/self/mountinfo` (proc(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub id: u64,
    pub device: (u32, u32),
    /// The folder of the filesystem that is shown here; the root but for bind mounts and subvolumes.
    pub root: PathBuf,
    pub point: PathBuf,
    pub read_only: bool,
    pub fs_type: String,
    pub source: PathBuf,
}

/// How a device likes to be used; `[[device]]` can overrule the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    Flash,
    Spinning,
    /// Network, memory, FUSE: no block device of its own.
    None,
}

#[derive(Clone, Debug)]
pub struct Facts {
    pub mount: Mount,
    /// Names the filesystem wherever it is mounted: `uuid:...`, or the best the kernel gives.
    pub volume_key: String,
    pub label: Option<String>,
    pub disk: Disk,
    pub kind: DeviceKind,
    /// On USB, a card reader, marked removable by the kernel, or an image attached as a loop device.
    pub removable: bool,
    pub free_bytes: u64,
    pub used_bytes: u64,
    pub free_inodes: Option<u64>,
    /// Allocation unit in bytes.
    pub cluster_bytes: u64,
    /// The path that was asked for, below the root of its filesystem.
    pub place: RelPath,
}

impl Facts {
    /// Names of the block devices below: `sdb1` as it is mounted, and `sdb`, from `Model (sdb)`.
    pub fn block_names(&self) -> Vec<String> {
        let mounted = self.mount.source.file_name().map(|n| n.to_string_lossy().into_owned());
        let disk = self.disk.text.rsplit_once('(').map_or(&self.disk.text[..], |(_, name)| name.trim_end_matches(')'));
        mounted.into_iter().chain([disk.to_owned()]).collect()
    }
}

/// The id of the mount a descriptor lies on.
pub fn mount_id_of(fd: impl AsFd) -> io::Result<u64> {
    let x = rustix::fs::statx(fd, "", rustix::fs::AtFlags::EMPTY_PATH, rustix::fs::StatxFlags::MNT_ID)?;
    Ok(x.stx_mnt_id)
}

pub fn mounts() -> io::Result<Vec<Mount>> {
    Ok(parse_mountinfo(&std::fs::read("/proc/self/mountinfo")?))
}

fn parse_mountinfo(text: &[u8]) -> Vec<Mount> {
    let path = |field: &[u8]| PathBuf::from(std::ffi::OsString::from_vec(unescape(field)));
    let line = |line: &[u8]| -> Option<Mount> {
        let fields: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
        let dash = fields.iter().position(|f| *f == b"-")?;
        let text = |i: usize| std::str::from_utf8(fields.get(i)?).ok();
        let (major, minor) = text(2)?.split_once(':')?;
        let options = [text(5)?, text(dash + 3).unwrap_or("")];
        Some(Mount {
            id: text(0)?.parse().ok()?,
            device: (major.parse().ok()?, minor.parse().ok()?),
            root: path(fields[3]),
            point: path(fields[4]),
            read_only: options.iter().any(|o| o.split(',').any(|w| w == "ro")),
            fs_type: text(dash + 1)?.to_owned(),
            source: path(fields[dash + 2]),
        })
    };
    text.split(|b| *b == b'\n').filter_map(line).collect()
}

/// mountinfo writes blank, tab, newline and backslash as `\ooo`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut i = 0;
    while i < field.len() {
        let octal = field.get(i + 1..i + 4).filter(|o| field[i] == b'\\' && o.iter().all(|b| (b'0'..b'8').contains(b)));
        if let Some(o) = octal {
            out.push(o.iter().fold(0u8, |v, b| v.wrapping_mul(8).wrapping_add(b - b'0')));
            i += 4;
        } else {
            out.push(field[i]);
            i += 1;
        }
    }
    out
}

/// Facts for an existing path.
pub fn of(path: &Path) -> io::Result<Facts> {
    let path = path.canonicalize()?;
    let fd =
        rustix::fs::open(&path, rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty())?;
    let id = mount_id_of(&fd)?;
    let all = mounts()?;
    let mount = all
        .into_iter()
        .find(|m| m.id == id)
        .ok_or_else(|| io::Error::other(format!("no mount with id {id} in mountinfo")))?;
    let space = rustix::fs::statvfs(&path)?;
    let block = block_device(&mount);
    let in_mount = RelPath::below(&mount.point, &path).unwrap_or_default();
    let root_in_fs =
        RelPath::new(mount.root.as_os_str().as_bytes().strip_prefix(b"/").unwrap_or_default()).unwrap_or_default();
    let (disk, kind, removable) = match block {
        Some(device) => disk_of(device, 0),
        None => (Disk { id: None, text: format!("unknown disk ({})", mount.fs_type) }, DeviceKind::None, false),
    };
    let fsid = match space.f_fsid {
        0 => format!("dev:{}:{}", mount.device.0, mount.device.1),
        id => format!("fsid:{id:016x}"),
    };
    let uuid = block.and_then(|d| by_link("/dev/disk/by-uuid", d).or_else(|| blkid(&mount.source)));
    Ok(Facts {
        volume_key: match uuid {
            Some(uuid) => format!("{}:uuid:{uuid}", mount.fs_type),
            None => format!(
                "{}:{fsid}:{}",
                mount.fs_type,
                if block.is_some() { "".into() } else { mount.source.display().to_string() }
            ),
        },
        label: block.and_then(|d| by_link("/dev/disk/by-label", d)),
        disk,
        kind,
        removable,
        free_bytes: space.f_bavail * space.f_frsize,
        used_bytes: (space.f_blocks - space.f_bfree) * space.f_frsize,
        free_inodes: (space.f_files > 0).then_some(space.f_favail),
        cluster_bytes: space.f_frsize.max(512),
        place: root_in_fs.join_rel(&in_mount),
        mount,
    })
}

/// Where `place` of the volume is reachable now, if it is mounted somewhere. The path need not exist.
pub fn find_mounted(volume_key: &str, place: &RelPath) -> io::Result<Option<PathBuf>> {
    for mount in mounts()? {
        // A mount hidden below another one has its point answered by that one: `of` tells.
        let Ok(facts) = of(&mount.point) else { continue };
        if facts.mount.id != mount.id || facts.volume_key != volume_key {
            continue;
        }
        if let Some(rest) = place.strip_prefix(&facts.place) {
            return Ok(Some(rest.under(&mount.point)));
        }
    }
    Ok(None)
}

/// The strongest read-back that a filesystem type can give. Each `Device` entry was proved to notice a bit flipped on
/// the medium below a warm cache; a new type joins only after that.
pub fn read_back_class(fs_type: &str) -> ReadBack {
    match fs_type {
        "ext4" | "xfs" | "btrfs" | "exfat" | "vfat" | "udf" => ReadBack::Device,
        "nfs" | "nfs4" | "cifs" | "smb3" | "smbfs" | "ceph" | "9p" | "glusterfs" | "lustre" => ReadBack::Server,
        _ => ReadBack::Cache,
    }
}

/// Whether one sync of the filesystem may stand for one a file: only where the order sync all, rename, sync all was cut
/// off by a power cut again and again, and every final name led to whole bytes. Others join after the same trial.
pub fn may_group(fs_type: &str) -> bool {
    matches!(fs_type, "ext4" | "xfs" | "btrfs")
}

/// Names that differ only by case meet in one file there.
pub fn folds_case(fs_type: &str) -> bool {
    matches!(fs_type, "exfat" | "vfat" | "msdos" | "ntfs" | "ntfs3" | "fuseblk" | "hfs" | "hfsplus" | "cifs" | "smb3")
}

/// Major and minor of the block device below a mount; for btrfs (whose own is 0:N) by its source.
fn block_device(mount: &Mount) -> Option<(u32, u32)> {
    if mount.device.0 != 0 {
        return Some(mount.device);
    }
    let meta = std::fs::metadata(&mount.source).ok()?;
    use std::os::unix::fs::FileTypeExt;
    meta.file_type().is_block_device().then(|| split_dev(meta.rdev()))
}

/// The block device below a mount, in sysfs.
pub(super) fn sys_folder(mount: &Mount) -> Option<PathBuf> {
    let (major, minor) = block_device(mount)?;
    Path::new(&format!("/sys/dev/block/{major}:{minor}")).canonicalize().ok()
}

fn split_dev(dev: u64) -> (u32, u32) {
    (rustix::fs::major(dev), rustix::fs::minor(dev))
}

fn sys_text(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The physical disk: partitions go to their whole disk, loop devices to the disk of their image, mapped devices to
/// the one below. Whatever ends nowhere certain has no id.
fn disk_of(device: (u32, u32), depth: u32) -> (Disk, DeviceKind, bool) {
    let unknown = |text: String| (Disk { id: None, text }, DeviceKind::None, false);
    let node = PathBuf::from(format!("/sys/dev/block/{}:{}", device.0, device.1));
    let Ok(mut dir) = node.canonicalize() else { return unknown(format!("block device {}:{}", device.0, device.1)) };
    if dir.join("partition").exists() {
        dir.pop();
    }
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if depth > 4 {
        return unknown(name);
    }
    if let Ok(backing) = std::fs::read(dir.join("loop/backing_file")) {
        let backing = PathBuf::from(std::ffi::OsString::from_vec(backing.trim_ascii_end().to_vec()));
        let below = std::fs::metadata(&backing).ok().and_then(|m| {
            let mount = mounts().ok()?.into_iter().find(|x| x.device == split_dev(m.dev()))?;
            block_device(&mount)
        });
        let Some(below) = below else { return unknown(format!("{name}, an image on no known disk")) };
        let (disk, kind, _) = disk_of(below, depth + 1);
        return (Disk { text: format!("{name}, an image on {}", disk.text), ..disk }, kind, true);
    }
    let slaves: Vec<_> = std::fs::read_dir(dir.join("slaves")).into_iter().flatten().flatten().collect();
    if let [slave] = &slaves[..] {
        let below = sys_text(&slave.path().join("dev"))
            .and_then(|d| d.split_once(':').map(|(a, b)| (a.to_owned(), b.to_owned())))
            .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        if let Some(below) = below {
            let (disk, kind, removable) = disk_of(below, depth + 1);
            return (Disk { text: format!("{name} on {}", disk.text), ..disk }, kind, removable);
        }
    }
    // A virtio disk says "rotational" whatever lies below it.
    let kind = match sys_text(&dir.join("queue/rotational")).as_deref() {
        Some("1") if !dir.components().any(|c| c.as_os_str().as_bytes().starts_with(b"virtio")) => DeviceKind::Spinning,
        _ => DeviceKind::Flash,
    };
    if dir.starts_with("/sys/devices/virtual") {
        // An array of several disks is a disk of its own; memory is none.
        let array = slaves.len() > 1;
        return (Disk { id: array.then(|| format!("name:{name}")), text: name }, kind, false);
    }
    let serial =
        ["device/serial", "serial", "device/wwid", "wwid", "device/cid"].iter().find_map(|f| sys_text(&dir.join(f)));
    let model = sys_text(&dir.join("device/model")).or_else(|| sys_text(&dir.join("device/name")));
    let path = dir.to_string_lossy();
    let removable = sys_text(&dir.join("removable")).as_deref() == Some("1")
        || path.contains("/usb")
        || path.contains("/mmc_host/")
        || path.contains("/fw");
    let id = match &serial {
        Some(serial) => format!("serial:{}:{serial}", model.as_deref().unwrap_or("")),
        None => format!("name:{name}"),
    };
    let text = match model {
        Some(model) => format!("{model} ({name})"),
        None => name,
    };
    (Disk { id: Some(id), text }, kind, removable)
}

/// The name under which udev links a device in `/dev/disk/by-*`, its `\xNN` escapes undone.
fn by_link(dir: &str, device: (u32, u32)) -> Option<String> {
    for entry in std::fs::read_dir(dir).ok()?.flatten() {
        if std::fs::metadata(entry.path()).is_ok_and(|m| split_dev(m.rdev()) == device) {
            return Some(entry.file_name().to_string_lossy().replace("\\x20", " "));
        }
    }
    None
}

/// Asks util-linux where udev keeps no links (containers, minimal systems).
fn blkid(device: &Path) -> Option<String> {
    if Path::new("/dev/disk/by-uuid").exists() {
        return None;
    }
    let out =
        std::process::Command::new("blkid").args(["-p", "-s", "UUID", "-o", "value"]).arg(device).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    let text = text.trim();
    (out.status.success() && !text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_is_read_with_its_escapes() {
        let text =
            b"36 35 98:0 /sub /mnt/my\\040card rw,noatime master:1 - ext3 /dev/root ro,errors=continue\nnonsense\n";
        let all = parse_mountinfo(text);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].point, Path::new("/mnt/my card"));
        assert_eq!((all[0].device, all[0].read_only, all[0].fs_type.as_str()), ((98, 0), true, "ext3"));
    }

    #[test]
    fn a_folder_is_found_again_by_its_volume() {
        let dir = tempfile::tempdir().unwrap();
        let facts = of(dir.path()).unwrap();
        assert!(facts.free_bytes > 0);
        let found = find_mounted(&facts.volume_key, &facts.place).unwrap().unwrap();
        assert_eq!(found.canonicalize().unwrap(), dir.path().canonicalize().unwrap());
    }

    #[test]
    fn memory_is_no_disk_and_proves_nothing() {
        let facts = of(Path::new("/dev/shm")).unwrap();
        assert_eq!(facts.disk.id, None);
        assert_eq!(read_back_class(&facts.mount.fs_type), ReadBack::Cache);
    }
}
