//! One daemon a catalog: a lock that the kernel drops with the process, and beside it the holder's pid for people.

use super::DaemonError;
use crate::disk::lock::{self, Lock};
use std::path::{Path, PathBuf};

/// Held as long as the daemon runs.
#[derive(Debug)]
pub(super) struct Alone {
    _lock: Lock,
    pid_file: PathBuf,
}

impl Alone {
    pub(super) fn claim(folder: &Path, catalog: &Path) -> Result<Self, DaemonError> {
        let at = |source| DaemonError::Lock { path: folder.to_path_buf(), source };
        let name = catalog.file_name().unwrap_or_default().to_string_lossy();
        let pid_file = folder.join(format!("daemon-{name}.pid"));
        let Some(lock) = lock::try_lock(folder, &format!("daemon {name}")).map_err(at)? else {
            let pid = std::fs::read_to_string(&pid_file).unwrap_or_default();
            return Err(DaemonError::Running { catalog: catalog.to_path_buf(), pid: pid.trim().parse().ok() });
        };
        std::fs::write(&pid_file, format!("{}\n", std::process::id())).map_err(at)?;
        Ok(Alone { _lock: lock, pid_file })
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        // Still under the lock: no other daemon's pid is removed.
        let _ = std::fs::remove_file(&self.pid_file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_refused_with_the_pid_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = folder.path().join("catalog.db");
        let first = Alone::claim(folder.path(), &catalog).unwrap();
        let text = Alone::claim(folder.path(), &catalog).unwrap_err().to_string();
        assert!(text.contains(&format!("pid {}", std::process::id())), "{text}");
        drop(first);
        Alone::claim(folder.path(), &catalog).unwrap();
    }

    #[test]
    fn another_catalog_in_the_same_folder_has_its_own_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Alone::claim(folder.path(), &folder.path().join("a.db")).unwrap();
        Alone::claim(folder.path(), &folder.path().join("b.db")).unwrap();
    }
}
