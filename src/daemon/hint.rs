//! inotify on a dump root: a hint to look sooner. It is silent on network shares and may overflow or be refused; the
//! poll alone is the truth.

use ::notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher, recommended_watcher};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// After a refusal (limits reached) it is tried again so much later.
const AGAIN: Duration = Duration::from_secs(300);

#[derive(Default)]
pub(super) struct Hint {
    /// The folder that is watched; another one may be mounted over it.
    armed: Option<((u64, u64), RecommendedWatcher)>,
    refused_at: Option<Instant>,
}

impl Hint {
    /// Watches `root` as it is now; `wake` is called from another thread. The text is for a person.
    pub(super) fn arm(&mut self, root: &Path, wake: impl Fn() + Send + 'static) -> Result<(), String> {
        let Ok(meta) = std::fs::metadata(root) else {
            self.armed = None;
            return Ok(());
        };
        let identity = (meta.dev(), meta.ino());
        if self.armed.as_ref().is_some_and(|(old, _)| *old == identity) {
            return Ok(());
        }
        if self.refused_at.is_some_and(|at| at.elapsed() < AGAIN) {
            return Ok(());
        }
        self.armed = None;
        match watch(root, wake) {
            Ok(watcher) => {
                self.armed = Some((identity, watcher));
                self.refused_at = None;
                Ok(())
            }
            Err(e) => {
                self.refused_at = Some(Instant::now());
                Err(format!("no inotify, it is polled only: {e}"))
            }
        }
    }
}

fn watch(root: &Path, wake: impl Fn() + Send + 'static) -> ::notify::Result<RecommendedWatcher> {
    let mut watcher = recommended_watcher(move |event: ::notify::Result<::notify::Event>| {
        if is_news(&event) {
            wake();
        }
    })?;
    // Not recursive: a card may have more folders than the system has watches.
    watcher.watch(root, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// Opening and reading is what we do ourselves; whatever else, an overflow or an error too, means: look.
fn is_news(event: &::notify::Result<::notify::Event>) -> bool {
    !event.as_ref().is_ok_and(|e| matches!(e.kind, EventKind::Access(_)) && !e.need_rescan())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::notify::event::{AccessKind, CreateKind, Flag};
    use ::notify::{Error, Event};
    use std::sync::mpsc::channel;

    #[test]
    fn reading_is_no_news_and_a_lost_event_is() {
        let read = Event::new(EventKind::Access(AccessKind::Read));
        assert!(!is_news(&Ok(read.clone())));
        assert!(is_news(&Ok(read.set_flag(Flag::Rescan))));
        assert!(is_news(&Ok(Event::new(EventKind::Create(CreateKind::Folder)))));
        assert!(is_news(&Err(Error::generic("overflow"))));
    }

    #[test]
    fn a_missing_root_is_no_error_and_is_watched_once_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("later");
        let (tx, rx) = channel();
        let mut hint = Hint::default();
        let wake = |tx: &std::sync::mpsc::Sender<()>| {
            let tx = tx.clone();
            move || {
                let _ = tx.send(());
            }
        };
        hint.arm(&root, wake(&tx)).unwrap();
        std::fs::create_dir(&root).unwrap();
        hint.arm(&root, wake(&tx)).unwrap();
        std::fs::create_dir(root.join("A001")).unwrap();
        rx.recv_timeout(Duration::from_secs(20)).unwrap();
    }
}
