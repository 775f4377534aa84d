//! Metadata of each clip, from a proven copy, after the verdict. Nothing here can change it.

use super::adopt::stands_in;
use super::looks::Looks;
use super::{IngestError, Station, parts};
use crate::card;
use crate::catalog::{Catalog, ClipRow, CopyRootRow};
use crate::clip::{CardId, ClipId, ClipMetadata, MediaState, Role};
use crate::copy::CopyState;
use crate::disk::{Root, facts};
use crate::fact::{Fact, Field, Origin, Said};
use crate::job::Step;
use crate::media::{self, Limits, Probe, Tool};
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use crate::sidecar;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// Folders of this card's copies that can be read now, with the files proven there.
#[derive(Clone)]
pub(super) struct Copies(Arc<Vec<(Root, BTreeSet<RelPath>)>>);

impl Copies {
    fn reachable(catalog: &Catalog, card: CardId) -> Result<Self, IngestError> {
        let mut out = Vec::new();
        for row in catalog.copy_roots(card)? {
            let Some(root) = open(catalog, &row)? else { continue };
            let proven =
                catalog.copies(row.id)?.into_iter().filter(|c| c.state == CopyState::Proven).map(|c| c.relpath);
            out.push((root, proven.collect()));
        }
        Ok(Copies(Arc::new(out)))
    }

    pub fn file(&self, relpath: &RelPath) -> Option<File> {
        self.find(relpath).map(|(_, file)| file)
    }

    /// The file with the path that it lies at.
    pub fn find(&self, relpath: &RelPath) -> Option<(PathBuf, File)> {
        let holds = self.0.iter().filter(|(_, proven)| proven.contains(relpath));
        holds.filter_map(|(root, _)| Some((relpath.under(root.path()), root.open_file(relpath).ok()?))).next()
    }

    pub fn folders(&self) -> impl Iterator<Item = (&Root, &BTreeSet<RelPath>)> {
        self.0.iter().map(|(root, files)| (root, files))
    }
}

fn open(catalog: &Catalog, row: &CopyRootRow) -> Result<Option<Root>, IngestError> {
    let volume = catalog.volume_row(row.volume)?;
    let path = facts::find_mounted(&volume.key, &row.root).ok().flatten();
    Ok(path.and_then(|p| Root::open(&p).ok()))
}

/// One card's clips with what is needed to look into them.
pub(super) struct Room<'a> {
    pub station: &'a Station,
    pub roll: String,
    pub tool: Tool,
    pub roots: Copies,
    pub clips: Vec<ClipRow>,
    /// Without, the metadata is read all the same.
    pub proxies: bool,
    pub looks: Looks,
    /// What the first pass read, for the second.
    pub known: BTreeMap<ClipId, ClipMetadata>,
    /// The same of clips that libav cannot decode and something of the camera can stand in for, with the reason.
    pub dark: BTreeMap<ClipId, (ClipMetadata, String)>,
    /// The copy that proxies for relinking lie in, if they lie beside their originals.
    pub beside: Option<PathBuf>,
}

impl<'a> Room<'a> {
    /// `None` when the child program cannot be used here: the clips stay pending.
    pub(super) fn enter(
        station: &'a Station,
        catalog: &Catalog,
        card: CardId,
        proxies: bool,
        progress: &dyn Progress,
    ) -> Result<Option<Self>, IngestError> {
        let roll = catalog.card(card)?.map(|c| c.roll).unwrap_or_default();
        let clips = catalog.clips(card)?;
        let roots = Copies::reachable(catalog, card)?;
        let tool = Tool::find();
        if let Err(e) = tool.check()
            && !station.config.media.unconfined
        {
            progress.event(Event::Note(&format!("no metadata and no proxies: {e}")));
            return Ok(None);
        }
        let looks = Looks::read(if proxies { &station.config.looks } else { &[] });
        looks.problems().for_each(|problem| progress.event(Event::Note(&problem)));
        let (known, dark, beside) = (BTreeMap::new(), BTreeMap::new(), None);
        Ok(Some(Room { station, roll, tool, roots, clips, proxies, looks, known, dark, beside }))
    }

    /// First pass: metadata of every clip that has no answer yet, so that editors see the whole card soon.
    pub(super) fn describe(&mut self, catalog: &mut Catalog, progress: &dyn Progress) -> Result<(), IngestError> {
        self.begin("describing", Step::Describe, progress);
        for clip in self.clips.clone() {
            if progress.stop_asked() {
                return Ok(());
            }
            let again = clip.media == MediaState::Pending || (clip.media == MediaState::Skipped && self.proxies);
            if again && let Some((state, note)) = self.probe(catalog, &clip)? {
                progress.event(Event::Clip { name: &clip.name, media: state.name(), note: note.as_deref() });
            }
        }
        Ok(())
    }

    pub(super) fn probe_limits(&self) -> Limits {
        let config = &self.station.config.media;
        Limits { wall: config.probe_limit, allow_unconfined: config.unconfined, ..Limits::for_probe() }
    }

    pub(super) fn begin(&self, what: &str, step: Step, progress: &dyn Progress) {
        progress.event(Event::Step { roll: &self.roll, step: step.name() });
        progress.event(Event::Begin { what, roll: &self.roll, files: self.clips.len() as u64, bytes: 0 });
    }

    /// Reads one clip's metadata. Says how it ended unless a proxy is still to come.
    pub(super) fn probe(
        &mut self,
        catalog: &mut Catalog,
        clip: &ClipRow,
    ) -> Result<Option<(MediaState, Option<String>)>, IngestError> {
        let file = essence(clip).and_then(|essence| self.roots.file(essence));
        let Some(file) = file else {
            return Ok(Some((MediaState::Pending, Some("no proven copy of it can be read now".into()))));
        };
        let limits = self.probe_limits();
        let (metadata, state, note) = match media::probe(&self.tool, file, &limits) {
            Ok(Probe::Ok(metadata)) => (*metadata, MediaState::Skipped, None),
            Ok(Probe::Unsupported(why)) => (ClipMetadata::default(), MediaState::Unsupported, Some(why)),
            Ok(Probe::Dark { metadata, state, why }) => (*metadata, state, Some(why)),
            Ok(Probe::Failed(why)) => (ClipMetadata::default(), MediaState::Failed, Some(why)),
            Err(e) => return Ok(Some((MediaState::Pending, Some(e.to_string())))),
        };
        let metadata = self.complete(clip, metadata, &limits);
        if state == MediaState::Skipped && self.proxies {
            // Pending until its proxy is made: the metadata is seen already.
            catalog.set_metadata(clip.id, &metadata, MediaState::Pending, None)?;
            self.known.insert(clip.id, metadata);
            return Ok(None);
        }
        catalog.set_metadata(clip.id, &metadata, state, note.as_deref())?;
        if let Some(why) = note.clone().filter(|_| state == MediaState::Unsupported && self.proxies && stands_in(clip))
        {
            self.dark.insert(clip.id, (metadata, why));
        }
        Ok(Some((state, note)))
    }

    /// What libav said, with what its other parts, its own bytes, its sidecars, its name and the card's index say.
    fn complete(&self, clip: &ClipRow, mut metadata: ClipMetadata, limits: &Limits) -> ClipMetadata {
        let probe = |relpath: &RelPath| match media::probe(&self.tool, self.roots.file(relpath)?, limits) {
            Ok(Probe::Ok(metadata) | Probe::Dark { metadata, .. }) => Some(*metadata),
            _ => None,
        };
        parts::join(&mut metadata, clip, probe);
        let mut said = clip.said.clone();
        let first = essence(clip);
        // Of numbered pictures the first one speaks for all.
        let speaks = |relpath: &RelPath| !card::is_frame(relpath) || Some(relpath) == first;
        for (relpath, role) in clip.files.iter().filter(|(p, _)| speaks(p)) {
            let Some(mut file) = self.roots.file(relpath) else { continue };
            match role {
                Role::Essence | Role::Audio => said.extend(sidecar::of_file(&mut file, relpath)),
                Role::Sidecar => said.extend(sidecar::of_sidecar(&mut file, relpath)),
                Role::Proxy | Role::Thumb => {}
            }
        }
        said.extend(self.bitrate(clip, metadata.duration_ms));
        sidecar::merge(metadata, said)
    }

    /// Of the whole recording, sound included; numbered pictures have none.
    fn bitrate(&self, clip: &ClipRow, duration_ms: Option<u64>) -> Option<Said> {
        let ms = duration_ms.filter(|ms| *ms > 0)?;
        let essence = clip.files.iter().filter(|(_, r)| *r == Role::Essence).map(|(p, _)| p);
        let mut bytes = 0u128;
        for relpath in essence {
            if card::is_frame(relpath) {
                return None;
            }
            bytes += u128::from(self.roots.file(relpath)?.metadata().ok()?.len());
        }
        let fact = Fact::new(Field::Bitrate, (bytes * 8000 / u128::from(ms)).to_string())?;
        Some(Said { fact, origin: Origin::File, by: "size".into() })
    }
}

pub(super) fn essence(clip: &ClipRow) -> Option<&RelPath> {
    clip.files.iter().find(|(_, role)| *role == Role::Essence).map(|(p, _)| p)
}
