//! One look at what a watch covers, on a blocking thread: it may hang on a share that is gone.

use super::hint::Hint;
use super::mounts;
use crate::catalog::Catalog;
use crate::clip::{Listing, VolumeId};
use crate::config::Watch;
use crate::disk::facts::Facts;
use crate::disk::list::{self, ListError};
use crate::ingest::Station;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Our marker at a destination, below its root.
pub(super) const MARKER: &str = ".goodgate/volume.json";

/// What an eye saw.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub seen: Vec<Seen>,
    /// The filesystem looked at; `None`: it could not be looked at, and nothing counts as gone.
    pub device: Option<u64>,
    /// For a person, each about a path.
    pub notes: Vec<(PathBuf, String)>,
}

/// A card that is there.
#[derive(Debug)]
pub(super) struct Seen {
    pub path: PathBuf,
    /// `None`: it rests, and was not listed this time.
    pub view: Option<View>,
}

#[derive(Debug)]
pub(super) struct View {
    pub listing: Listing,
    pub open_for_writing: bool,
}

/// A watch with what it remembers between looks.
pub(super) struct Eye {
    watch: Watch,
    hint: Hint,
    /// Facts of a mount do not change while it lasts, and asking for them may start programs.
    facts: BTreeMap<(u64, PathBuf), Facts>,
}

impl Eye {
    pub(super) fn new(watch: Watch) -> Self {
        Eye { watch, hint: Hint::default(), facts: BTreeMap::new() }
    }

    /// Blocking. Cards that are in `resting` are only looked for, not listed.
    pub(super) fn look(
        &mut self,
        station: &Station,
        catalog: &Path,
        resting: &BTreeSet<PathBuf>,
        wake: impl Fn() + Send + 'static,
    ) -> Look {
        let litter = &station.config.litter;
        let (mut look, found) = match &self.watch {
            Watch::Dumps { path, .. } => {
                let mut look = dumps(path, litter);
                if let Err(note) = self.hint.arm(path, wake) {
                    look.notes.push((path.join("*"), note));
                }
                let found = look.seen.iter().map(|s| s.path.clone()).collect();
                (look, found)
            }
            Watch::Mounts { label, fs, .. } => {
                let filter = mounts::Filter { label: label.as_deref(), fs };
                mounts::look(&mut self.facts, &filter, &destination_volumes(catalog))
            }
        };
        let ours = Ours::of(station);
        let writers = std::cell::OnceCell::new();
        look.seen.clear();
        for path in found {
            if let Some(why) = ours.conflict(&path) {
                look.notes.push((path, why));
                continue;
            }
            if resting.contains(&path) {
                look.seen.push(Seen { path, view: None });
                continue;
            }
            match list::list(&path, litter) {
                Ok(listing) => {
                    let writers = writers.get_or_init(|| open_for_writing(Path::new("/proc")));
                    let open_for_writing = writers.iter().any(|w| w.starts_with(&path));
                    look.seen.push(Seen { path, view: Some(View { listing, open_for_writing }) });
                }
                Err(e) => {
                    // Still there, as far as we know. A name that went while it was listed is only a change.
                    look.seen.push(Seen { path: path.clone(), view: None });
                    if !matches!(&e, ListError::Unreadable { source, .. } if source.kind() == ErrorKind::NotFound) {
                        look.notes.push((path, e.to_string()));
                    }
                }
            }
        }
        look
    }
}

/// The folders right below a dump root.
fn dumps(root: &Path, litter: &[String]) -> Look {
    let mut look = Look::default();
    let unseen = |mut look: Look, e: std::io::Error| {
        look.notes.push((root.to_path_buf(), format!("cannot be watched now: {e}")));
        look
    };
    let entries = match std::fs::metadata(root).and_then(|m| Ok((m.dev(), std::fs::read_dir(root)?))) {
        Ok((device, entries)) => {
            look.device = Some(device);
            entries
        }
        Err(e) => return unseen(look, e),
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(e) => {
                look.device = None;
                return unseen(look, e);
            }
        };
        let name = entry.file_name();
        let is_litter = litter.iter().any(|l| l.as_bytes().eq_ignore_ascii_case(name.as_bytes()));
        let hidden = name.as_bytes().starts_with(b".") || name == "lost+found";
        // The entry's own type: a symlink is never followed.
        if !hidden && !is_litter && entry.file_type().is_ok_and(|t| t.is_dir()) {
            look.seen.push(Seen { path: root.join(name), view: None });
        }
    }
    look.seen.sort_by(|a, b| a.path.cmp(&b.path));
    look
}

/// Volumes that hold a copy. Without a catalog that answers, the marker on the volume must do.
fn destination_volumes(catalog: &Path) -> BTreeSet<String> {
    let read = || {
        let catalog = Catalog::open_read_only(catalog)?;
        let used: BTreeSet<VolumeId> = catalog.all_copy_roots()?.into_iter().map(|r| r.volume).collect();
        let volumes = catalog.volumes()?.into_iter();
        Ok::<_, crate::catalog::CatalogError>(volumes.filter(|v| used.contains(&v.id)).map(|v| v.key).collect())
    };
    read().unwrap_or_default()
}

/// Where we write ourselves.
struct Ours {
    /// Destinations of the config whose path is known without a card, and the media root.
    written: Vec<PathBuf>,
    /// A dump root may lie beside the catalog, a card may not hold it.
    state: PathBuf,
}

impl Ours {
    fn of(station: &Station) -> Self {
        let fixed = station.config.destinations.iter().filter(|d| d.path.placeholders().next().is_none());
        let written = fixed.map(|d| PathBuf::from(d.path.text())).chain([station.media_root()]);
        Ours { written: written.map(real).collect(), state: real(station.state.clone()) }
    }

    /// Why this folder is no card: it is, lies in, or holds a place that we write to.
    fn conflict(&self, path: &Path) -> Option<String> {
        let path = real(path.to_path_buf());
        if let Some(place) = self.written.iter().find(|w| path.starts_with(w)) {
            return Some(format!("lies inside \"{}\", where copies go; it is not taken as a card", place.display()));
        }
        if let Some(place) = self.written.iter().chain([&self.state]).find(|w| w.starts_with(&path)) {
            return Some(format!("holds \"{}\", where goodgate writes; it is not taken as a card", place.display()));
        }
        let marked = path.ancestors().find(|a| a.join(MARKER).exists())?;
        let marked = marked.display();
        Some(format!("lies inside \"{marked}\", which is marked as a destination; it is not taken as a card"))
    }
}

fn real(path: PathBuf) -> PathBuf {
    path.canonicalize().unwrap_or(path)
}

/// Files that some process has open for writing, as far as we may see: never a proof that there are none.
fn open_for_writing(proc: &Path) -> BTreeSet<PathBuf> {
    let mut out = BTreeSet::new();
    let numbers = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|e| e.file_name()).filter(|n| n.as_bytes().iter().all(u8::is_ascii_digit)).collect::<Vec<_>>()
    };
    for pid in numbers(proc) {
        let process = proc.join(pid);
        for fd in numbers(&process.join("fd")) {
            let Ok(file) = std::fs::read_link(process.join("fd").join(&fd)) else { continue };
            // Sockets, pipes and the like have no absolute path, devices cannot lie on a card.
            if !file.is_absolute() || file.starts_with("/dev") || file.starts_with("/proc") {
                continue;
            }
            let info = std::fs::read_to_string(process.join("fdinfo").join(&fd)).unwrap_or_default();
            if writable(&info) {
                out.insert(file);
            }
        }
    }
    out
}

/// proc(5): `flags:` holds the open flags in octal; the lowest two bits are the access mode.
fn writable(fdinfo: &str) -> bool {
    let flags = fdinfo.lines().find_map(|l| l.strip_prefix("flags:"));
    flags.and_then(|f| u64::from_str_radix(f.trim(), 8).ok()).is_some_and(|f| matches!(f & 3, 1 | 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::fs::{File, create_dir, create_dir_all, write};
    use std::time::Duration;

    fn eye(root: &Path) -> Eye {
        let second = Duration::from_secs(1);
        Eye::new(Watch::Dumps { path: root.to_path_buf(), settle: second, poll: second })
    }

    fn station(config: &Config) -> Station {
        Station { config: config.clone(), state: "/nonexistent".into(), hostname: "test".into(), version: "0" }
    }

    fn look(root: &Path, config: &Config) -> Look {
        eye(root).look(&station(config), Path::new("/nonexistent/catalog.db"), &BTreeSet::new(), || {})
    }

    fn names(look: &Look) -> Vec<String> {
        look.seen.iter().map(|s| s.path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    fn to(path: &Path) -> Config {
        let mut config = Config::default();
        let path = crate::config::Template::parse(path.to_str().unwrap(), &[]).unwrap();
        config.destinations.push(crate::config::Destination { name: None, path });
        config
    }

    #[test]
    fn folders_are_cards_and_nothing_else_is() {
        let root = tempfile::tempdir().unwrap();
        for name in ["A001", "B 002", ".hidden", ".trashes", "$recycle.bin"] {
            create_dir(root.path().join(name)).unwrap();
        }
        write(root.path().join("notes.txt"), b"x").unwrap();
        std::os::unix::fs::symlink("/etc", root.path().join("link")).unwrap();
        let look = look(root.path(), &Config::default());
        assert_eq!(names(&look), ["A001", "B 002"]);
        assert!(look.device.is_some() && look.notes.is_empty());
    }

    #[test]
    fn a_missing_root_is_a_note_and_nothing_counts_as_gone() {
        let root = tempfile::tempdir().unwrap();
        let look = look(&root.path().join("unmounted"), &Config::default());
        assert_eq!((look.seen.len(), look.device, look.notes.len()), (0, None, 1));
    }

    #[test]
    fn what_has_to_do_with_a_destination_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let dump = root.path().join("A001");
        create_dir_all(dump.join("inner")).unwrap();
        for dest in [root.path().to_path_buf(), dump.clone(), dump.join("inner")] {
            let look = look(root.path(), &to(&dest));
            assert_eq!((look.seen.len(), look.notes.len()), (0, 1), "{}", dest.display());
        }
        assert_eq!(names(&look(root.path(), &to(Path::new("/srv/elsewhere")))), ["A001"]);
        // A destination by template, or one that the config no longer names, is known by its marker.
        create_dir(root.path().join(".goodgate")).unwrap();
        write(root.path().join(MARKER), b"{}").unwrap();
        let look = look(root.path(), &Config::default());
        assert!(look.seen.is_empty() && look.notes[0].1.contains("marked as a destination"), "{look:?}");
    }

    #[test]
    fn a_card_at_rest_is_seen_and_not_listed() {
        let root = tempfile::tempdir().unwrap();
        for name in ["A001", "A002"] {
            create_dir(root.path().join(name)).unwrap();
        }
        let resting = BTreeSet::from([root.path().join("A001")]);
        let look = eye(root.path()).look(&station(&Config::default()), Path::new("/nonexistent"), &resting, || {});
        assert_eq!(look.seen.iter().map(|s| s.view.is_some()).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn a_file_that_is_open_for_writing_is_seen_while_it_is_open() {
        let root = tempfile::tempdir().unwrap();
        create_dir(root.path().join("A001")).unwrap();
        let path = root.path().join("A001/clip.mov");
        let open = |look: &Look| look.seen[0].view.as_ref().unwrap().open_for_writing;
        let writer = File::create(&path).unwrap();
        assert!(open(&look(root.path(), &Config::default())));
        drop(writer);
        let _reader = File::open(&path).unwrap();
        assert!(!open(&look(root.path(), &Config::default())));
    }

    #[test]
    fn access_modes_are_read_from_fdinfo() {
        assert!(writable("pos:\t0\nflags:\t0100001\nmnt_id:\t1\n"));
        assert!(writable("flags:\t02100002\n"));
        assert!(!writable("flags:\t0100000\n") && !writable("") && !writable("flags:\tx\n"));
    }
}
