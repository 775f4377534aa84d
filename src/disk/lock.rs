//! flocks in the state folder: one a card job, one a device, so that CLI, daemon and cron share a station without a
//! master. The kernel drops them with the process; nothing is left to clean.

use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::io;
use std::path::Path;

/// Held until dropped.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code)] File);

fn open(folder: &Path, name: &str) -> io::Result<File> {
    std::fs::create_dir_all(folder)?;
    let safe: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    // Long or odd names stay apart by their hash.
    let file =
        format!("{}-{}.lock", safe.chars().take(60).collect::<String>(), &blake3::hash(name.as_bytes()).to_hex()[..8]);
    File::options().create(true).truncate(false).write(true).open(folder.join(file))
}

/// `None` when another process (or another open of ours) holds it.
pub fn try_lock(folder: &Path, name: &str) -> io::Result<Option<Lock>> {
    let file = open(folder, name)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Lock(file))),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Held together with others of its kind; `None` when somebody holds it alone.
pub fn try_share(folder: &Path, name: &str) -> io::Result<Option<Lock>> {
    let file = open(folder, name)?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Some(Lock(file))),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Waits for it, asking `stop` about five times a second; `None` when told to stop. Whoever holds it can see that
/// somebody waits.
pub fn wait_lock(folder: &Path, name: &str, stop: impl Fn() -> bool) -> io::Result<Option<Lock>> {
    let wish = open(folder, &wish_name(name))?;
    while let Err(e) = flock(&wish, FlockOperation::LockShared) {
        if e != rustix::io::Errno::INTR {
            return Err(e.into());
        }
    }
    loop {
        if let Some(lock) = try_lock(folder, name)? {
            return Ok(Some(lock));
        }
        if stop() {
            return Ok(None);
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

/// Whether somebody waits for the lock: long work that can be put off gives way.
pub fn is_wanted(folder: &Path, name: &str) -> io::Result<bool> {
    Ok(try_lock(folder, &wish_name(name))?.is_none())
}

fn wish_name(name: &str) -> String {
    format!("{name} wanted")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_sees_that_somebody_waits() {
        let dir = tempfile::tempdir().unwrap();
        let held = try_lock(dir.path(), "device x").unwrap().unwrap();
        assert!(!is_wanted(dir.path(), "device x").unwrap());
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| wait_lock(dir.path(), "device x", || false).unwrap().is_some());
            while !is_wanted(dir.path(), "device x").unwrap() {
                std::thread::yield_now();
            }
            drop(held);
            assert!(waiter.join().unwrap());
        });
        assert!(!is_wanted(dir.path(), "device x").unwrap());
    }

    #[test]
    fn a_shared_lock_keeps_out_only_who_wants_it_alone() {
        let dir = tempfile::tempdir().unwrap();
        let shared = [(); 2].map(|()| try_share(dir.path(), "catalog").unwrap().unwrap());
        assert!(try_lock(dir.path(), "catalog").unwrap().is_none());
        drop(shared);
        let _alone = try_lock(dir.path(), "catalog").unwrap().unwrap();
        assert!(try_share(dir.path(), "catalog").unwrap().is_none());
    }

    #[test]
    fn a_held_lock_is_refused_and_freed_by_dropping_it() {
        let dir = tempfile::tempdir().unwrap();
        let held = try_lock(dir.path(), "device x").unwrap().unwrap();
        assert!(try_lock(dir.path(), "device x").unwrap().is_none());
        assert!(try_lock(dir.path(), "device_x").unwrap().is_some());
        drop(held);
        assert!(try_lock(dir.path(), "device x").unwrap().is_some());
    }
}
