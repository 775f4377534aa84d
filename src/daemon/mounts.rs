//! Removable volumes that are mounted now. A card is the root of one; we mount none ourselves, the desktop, udisks or
//! autofs do.

use super::look::{Look, MARKER};
use crate::config::glob;
use crate::disk::facts::{self, Facts, Mount};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Images of programs and systems, as snaps and live media mount them by the dozen.
const IMAGES: [&str; 4] = ["squashfs", "erofs", "cramfs", "overlay"];
/// Where the system itself lives, even if it was started from a card or stick.
const SYSTEM: [&str; 9] = ["/boot", "/efi", "/usr", "/var", "/home", "/opt", "/snap", "/nix", "/sysroot"];

/// What the config asks for.
pub(super) struct Filter<'a> {
    pub label: Option<&'a str>,
    /// Empty: all.
    pub fs: &'a [String],
}

/// The mount points of cards. `used`: keys of volumes that hold copies.
pub(super) fn look(
    known: &mut BTreeMap<(u64, PathBuf), Facts>,
    filter: &Filter<'_>,
    used: &BTreeSet<String>,
) -> (Look, Vec<PathBuf>) {
    let mut look = Look::default();
    let mounts = match facts::mounts() {
        Ok(mounts) => mounts,
        Err(e) => {
            look.notes.push(("/proc/self/mountinfo".into(), format!("cannot be watched now: {e}")));
            return (look, Vec::new());
        }
    };
    look.device = Some(0);
    known.retain(|(id, point), _| mounts.iter().any(|m| m.id == *id && m.point == *point));
    let system = facts::of(Path::new("/")).ok().and_then(|f| f.disk.id);
    let mut found = Vec::new();
    for mount in mounts.iter().filter(|m| may_be_card(m)) {
        let key = (mount.id, mount.point.clone());
        if !known.contains_key(&key) {
            // Hidden below another mount, or not allowed to us: asked again next time.
            let Some(facts) = facts::of(&mount.point).ok().filter(|f| f.mount.id == mount.id) else { continue };
            known.insert(key.clone(), facts);
        }
        let Some(facts) = known.get(&key) else { continue };
        if !is_wanted(facts, filter, system.as_deref()) {
            continue;
        }
        if used.contains(&facts.volume_key) || is_marked(&mount.point) {
            let note = "is a destination and is never taken as a card".to_owned();
            look.notes.push((mount.point.clone(), note));
            continue;
        }
        found.push(mount.point.clone());
    }
    (look, found)
}

/// What a line of mountinfo alone can say.
fn may_be_card(mount: &Mount) -> bool {
    // Asking a share that is gone would hang; a card is a block device, shown from its root, and not the system's.
    mount.source.starts_with("/dev")
        && mount.root == Path::new("/")
        && !IMAGES.contains(&&mount.fs_type[..])
        && mount.point != Path::new("/")
        && !SYSTEM.iter().any(|s| mount.point.starts_with(s))
}

fn is_wanted(facts: &Facts, filter: &Filter<'_>, system_disk: Option<&str>) -> bool {
    // An image on the system's disk is no part of the system: that is how cards are rehearsed.
    let is_image = facts.mount.source.to_string_lossy().starts_with("/dev/loop");
    let on_system_disk = facts.disk.id.is_some() && facts.disk.id.as_deref() == system_disk && !is_image;
    let label_fits = filter.label.is_none_or(|pattern| facts.label.as_deref().is_some_and(|l| glob(pattern, l)));
    let fs_fits = filter.fs.is_empty() || filter.fs.contains(&facts.mount.fs_type);
    facts.removable && !on_system_disk && label_fits && fs_fits
}

/// Our marker lies at a destination's root, which may be a folder on the volume.
fn is_marked(point: &Path) -> bool {
    let below = std::fs::read_dir(point).into_iter().flatten().flatten();
    point.join(MARKER).exists() || below.into_iter().any(|e| e.path().join(MARKER).exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::facts::DeviceKind;
    use crate::evidence::Disk;
    use crate::relpath::RelPath;

    fn mount(source: &str, point: &str, fs_type: &str) -> Mount {
        Mount {
            id: 7,
            device: (8, 17),
            root: "/".into(),
            point: point.into(),
            read_only: false,
            fs_type: fs_type.into(),
            source: source.into(),
        }
    }

    fn card() -> Facts {
        Facts {
            mount: mount("/dev/sdb1", "/media/ed/A001", "exfat"),
            volume_key: "exfat:uuid:1".into(),
            label: Some("A001".into()),
            disk: Disk { id: Some("serial:reader:1".into()), text: "reader".into() },
            kind: DeviceKind::Flash,
            removable: true,
            free_bytes: 0,
            used_bytes: 0,
            free_inodes: None,
            cluster_bytes: 512,
            place: RelPath::default(),
        }
    }

    const ALL: Filter<'static> = Filter { label: None, fs: &[] };

    #[test]
    fn a_mount_list_gives_cards_and_leaves_the_system_alone() {
        for (m, expected) in [
            (mount("/dev/sdb1", "/media/ed/A001", "exfat"), true),
            (mount("/dev/loop0", "/mnt/card", "vfat"), true),
            (mount("/dev/mmcblk0p2", "/", "ext4"), false),
            (mount("/dev/mmcblk0p1", "/boot/firmware", "vfat"), false),
            (mount("/dev/loop3", "/snap/core/1", "squashfs"), false),
            (mount("server:/share", "/mnt/share", "nfs4"), false),
            (mount("tmpfs", "/run/media", "tmpfs"), false),
            (Mount { root: "/sub".into(), ..mount("/dev/sdb1", "/mnt/bind", "ext4") }, false),
        ] {
            assert_eq!(may_be_card(&m), expected, "{m:?}");
        }
    }

    #[test]
    fn only_removable_volumes_off_the_system_disk_are_wanted() {
        assert!(is_wanted(&card(), &ALL, Some("serial:system:1")));
        assert!(!is_wanted(&Facts { removable: false, ..card() }, &ALL, None));
        assert!(!is_wanted(&card(), &ALL, Some("serial:reader:1")));
        let image = Facts { mount: mount("/dev/loop0", "/mnt/card", "vfat"), ..card() };
        assert!(is_wanted(&image, &ALL, Some("serial:reader:1")));
    }

    #[test]
    fn label_and_filesystem_narrow_it_down() {
        let fs = ["vfat".to_owned(), "exfat".to_owned()];
        assert!(is_wanted(&card(), &Filter { label: Some("A*"), fs: &fs }, None));
        assert!(!is_wanted(&card(), &Filter { label: Some("B*"), fs: &fs }, None));
        assert!(!is_wanted(&card(), &Filter { label: Some("A*"), fs: &fs[..1] }, None));
        assert!(!is_wanted(&Facts { label: None, ..card() }, &Filter { label: Some("*"), fs: &[] }, None));
    }

    #[test]
    fn a_destination_is_known_by_its_marker_also_one_folder_down() {
        let volume = tempfile::tempdir().unwrap();
        assert!(!is_marked(volume.path()));
        std::fs::create_dir_all(volume.path().join("footage/.goodgate")).unwrap();
        std::fs::write(volume.path().join("footage").join(MARKER), b"{}").unwrap();
        assert!(is_marked(volume.path()));
        assert!(is_marked(&volume.path().join("footage")));
    }
}
