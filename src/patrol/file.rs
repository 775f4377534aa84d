//! One copy of one file: what it should be, and the look at it.

use super::folder::Folder;
use super::reached::Reached;
use crate::catalog::{Catalog, CatalogError, CopyRow};
use crate::clip::CardId;
use crate::copy::{CopyState, ReadBack};
use crate::digest::{BlockDigests, Digest, HashFormat};
use crate::disk::facts::read_back_class;
use crate::finding::{Finding, FindingKind};
use crate::mhl;
use crate::progress::Progress;
use crate::relpath::RelPath;
use crate::verify::{self, Checked, Expected, PARTS_FROM_BYTES, Part, Parts, VerifiedFile};
use jiff::Timestamp;

/// A file whose turn will come.
#[derive(Clone, Debug)]
pub(super) struct Todo {
    pub folder: usize,
    pub relpath: RelPath,
    pub size_bytes: u64,
    pub proven_at: Option<Timestamp>,
}

impl Todo {
    pub fn is_small(&self) -> bool {
        self.size_bytes <= verify::SMALL_BYTES
    }
}

pub(super) struct FileTask {
    pub todo: Todo,
    want: Want,
    /// Some offload or check proved it once; else it may rightly not be there.
    pub was_proven: bool,
    /// Something of what the catalog holds of it cannot be relied on.
    pub damaged_row: Option<&'static str>,
    /// Where an earlier pass ended in it.
    part: Option<Part>,
}

/// Nothing can be proven by a row that is not there.
pub(super) const LOST_FILE: &str = "the catalog's row of this file is lost";

enum Want {
    /// What the first read of the card gave.
    Recorded { size_bytes: u64, mtime_ns: Option<i64>, blake3: Digest, blocks: BlockDigests },
    /// Nothing but the history beside it can say.
    History,
}

pub(super) enum Seen {
    Good(VerifiedFile),
    Bad(Finding),
    /// A chain that the card brought: no longer the card's bytes, and a history that holds.
    Grown(ReadBack),
    /// Other bytes than the card's, and just those that a person accepted.
    Accepted(u64),
    /// Never proven, and not there.
    NotThere,
    /// Not there, or not readable, because its volume left.
    Gone,
    Stopped,
}

impl FileTask {
    pub fn of_history(todo: Todo) -> Self {
        FileTask { todo, want: Want::History, was_proven: true, damaged_row: None, part: None }
    }

    /// `None` when the catalog no longer speaks of it, or never could vouch for it. A reading that was begun before
    /// `since` is not gone on with.
    pub fn of_catalog(
        catalog: &Catalog,
        folder: &Folder,
        card: CardId,
        todo: Todo,
        since: Timestamp,
    ) -> Result<Option<Self>, CatalogError> {
        let Some(root) = &folder.copy else { return Ok(Some(Self::of_history(todo))) };
        let Some(copy) = catalog.copy(root.id, &todo.relpath)? else { return Ok(None) };
        let Some(file) = catalog.file_record(card, &todo.relpath)? else {
            return Ok(Self::of_copy_alone(todo, &copy));
        };
        let was_proven = copy.state == CopyState::Proven || copy.blake3.is_some() || !copy.row_intact;
        let blake3 = file.digests.as_ref().and_then(|d| d.get(HashFormat::Blake3));
        let (want, damaged_row) = match blake3 {
            // Found unlike its history when it was registered: that alone can say what it should be.
            None if file.row_intact && copy.state == CopyState::Failed && folder.speaks_of(&todo.relpath) => {
                return Ok(Some(Self::of_history(todo)));
            }
            None if file.row_intact => return Ok(None),
            None => (Want::History, Some("the catalog's row of this file is damaged")),
            Some(blake3) => {
                let mtime_ns = copy.mtime_ns.filter(|_| copy.row_intact);
                let damaged = match (file.row_intact, copy.row_intact) {
                    (false, _) => Some("the catalog's block digests of this file are damaged"),
                    (_, false) => Some("the catalog's row of this copy was damaged"),
                    _ => None,
                };
                let size_bytes = file.file.size_bytes;
                (Want::Recorded { size_bytes, mtime_ns, blake3, blocks: file.blocks }, damaged)
            }
        };
        let mut part = None;
        if todo.size_bytes > PARTS_FROM_BYTES {
            let now = Timestamp::now();
            part = catalog.part(root.id, &todo.relpath)?.filter(|p| p.begun_at <= now && p.begun_at >= since);
        }
        Ok(Some(FileTask { todo, want, was_proven, damaged_row, part }))
    }

    /// The row of the card's file is lost: what the copy's own row says of it is left.
    fn of_copy_alone(todo: Todo, copy: &CopyRow) -> Option<Self> {
        let blake3 = copy.blake3.filter(|_| copy.row_intact).and_then(|b| Digest::new(HashFormat::Blake3, b))?;
        let (size_bytes, blocks) = (copy.size_bytes?, BlockDigests::default());
        let want = Want::Recorded { size_bytes, mtime_ns: copy.mtime_ns, blake3, blocks };
        Some(FileTask { todo, want, was_proven: true, damaged_row: Some(LOST_FILE), part: None })
    }

    /// Of the card's file, in bytes.
    pub fn recorded_size(&self) -> Option<u64> {
        match self.want {
            Want::Recorded { size_bytes, .. } => Some(size_bytes),
            Want::History => None,
        }
    }

    /// Compared with the catalog's own record of the card, so that a good result is a proof.
    pub fn is_recorded(&self) -> bool {
        matches!(self.want, Want::Recorded { .. }) && self.damaged_row != Some(LOST_FILE)
    }

    /// Can the next pass go on in the middle of it?
    pub fn has_parts(&self) -> bool {
        self.todo.size_bytes > PARTS_FROM_BYTES && self.is_recorded()
    }

    /// Small, and to be compared with nothing but the catalog's record: such files are looked at many at once.
    pub fn is_small(&self, folder: &Folder) -> bool {
        self.was_proven
            && self.is_recorded()
            && self.todo.is_small()
            && !folder.accepted.contains_key(&self.todo.relpath)
    }

    /// Looks at files of one folder, in their order.
    pub fn look_at_all(tasks: &[FileTask], folder: &Folder, reached: &Reached, progress: &dyn Progress) -> Vec<Seen> {
        if tasks.len() < 2 || !tasks.iter().all(|task| task.is_small(folder)) {
            return tasks.iter().map(|task| task.look(folder, reached, progress)).collect();
        }
        let wants = tasks.iter().filter_map(|task| Some((folder.place(&task.todo.relpath), task.recorded()?)));
        let wants: Vec<_> = wants.collect();
        let checked = verify::check_small(&folder.root, &folder.path, &wants, &folder.lane(), progress);
        tasks.iter().zip(checked).map(|(task, checked)| task.seen(folder, checked)).collect()
    }

    fn recorded(&self) -> Option<Expected<'_>> {
        let Want::Recorded { size_bytes, mtime_ns, blake3, blocks } = &self.want else { return None };
        let (relpath, digest) = (&self.todo.relpath, blake3.clone());
        Some(Expected { relpath, size_bytes: *size_bytes, mtime_ns: *mtime_ns, digest, blocks })
    }

    fn look(&self, folder: &Folder, reached: &Reached, progress: &dyn Progress) -> Seen {
        let relpath = &self.todo.relpath;
        let place = folder.place(relpath);
        if !self.was_proven {
            if let Ok(None) = folder.root.stat(&place) {
                return if folder.is_gone() { Seen::Gone } else { Seen::NotThere };
            }
            // What may become a proof here must be durable: it can be our own rename before a crash.
            let _ = folder.root.sync_named(&place);
        }
        let none = BlockDigests::default();
        if let Some(a) = folder.accepted.get(relpath)
            && let Some(digest) = Digest::new(HashFormat::Blake3, a.blake3)
        {
            let want = Expected { relpath, size_bytes: a.size_bytes, mtime_ns: None, digest, blocks: &none };
            match verify::check(&folder.root, &folder.path, &place, &want, &folder.lane(), progress) {
                Checked::Good(_) => return Seen::Accepted(a.size_bytes),
                Checked::Stopped => return Seen::Stopped,
                // What it is now, the card's own record tells.
                Checked::Bad(_) => {}
            }
        }
        let want = match self.recorded() {
            Some(want) => want,
            None => {
                let record = folder.history().and_then(|h| h.records.get(relpath));
                let Some((record, digest)) = record.and_then(|r| Some((r, mhl::quickest(r)?))) else {
                    let note = "nothing is left to compare it with";
                    return Seen::Bad(folder.finding(FindingKind::Altered, relpath, note));
                };
                let now = folder.root.stat(&place).ok().flatten().map_or(0, |s| s.size_bytes);
                let size_bytes = record.size_bytes.unwrap_or(now);
                Expected { relpath, size_bytes, mtime_ns: None, digest: digest.clone(), blocks: &none }
            }
        };
        let mut checked = None;
        if let Some(copy) = folder.copy.as_ref().filter(|_| self.has_parts() && verify::has_parts(&want)) {
            let tell = |part: Part| reached.tell(copy.id, relpath, part);
            let parts = Parts { from: self.part.clone(), tell: &tell };
            let at = (folder.path.as_path(), &place);
            checked = verify::check_parts(&folder.root, at, &want, &folder.lane(), &parts, progress);
        }
        let whole = || verify::check(&folder.root, &folder.path, &place, &want, &folder.lane(), progress);
        self.seen(folder, checked.unwrap_or_else(whole))
    }

    fn seen(&self, folder: &Folder, checked: Checked) -> Seen {
        let relpath = &self.todo.relpath;
        match checked {
            Checked::Good(file) => Seen::Good(file),
            Checked::Stopped => Seen::Stopped,
            Checked::Bad(finding) => match finding.kind {
                FindingKind::Altered if self.is_recorded() && mhl::is_chain(relpath) => {
                    let at = relpath.parent().parent();
                    match folder.history_at(&at) {
                        Ok(Some(_)) => Seen::Grown(read_back_class(&folder.facts.mount.fs_type)),
                        _ => Seen::Bad(finding),
                    }
                }
                FindingKind::Missing | FindingKind::Unreadable if folder.is_gone() => Seen::Gone,
                _ => Seen::Bad(finding),
            },
        }
    }
}
