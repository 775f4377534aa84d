//! Metadata and proxies of each clip, from a proven copy, after the verdict. Nothing here can change it.

use super::{IngestError, Station};
use crate::catalog::Catalog;
use crate::clip::{CardId, Clip, ClipId, ClipMetadata, MediaState, ProxyFile, Role};
use crate::disk::write::{Replace, publish_file};
use crate::disk::{Root, facts};
use crate::job::Step;
use crate::media::{self, Derivation, DeriveRequest, Limits, Probe, Tool};
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use std::fs::File;
use std::path::PathBuf;

/// Probes every clip that has no answer yet and makes the outputs that are missing. `proxies`: also proxies and
/// posters; metadata is read in any case.
pub(super) fn describe(
    station: &Station,
    catalog: &mut Catalog,
    card: CardId,
    proxies: bool,
    progress: &dyn Progress,
) -> Result<(), IngestError> {
    let clips = catalog.clips(card)?;
    let Some(row) = catalog.card(card)? else { return Ok(()) };
    let tool = Tool::find();
    progress.event(Event::Step { roll: &row.roll, step: Step::Describe.name() });
    progress.event(Event::Begin { what: "describing", roll: &row.roll, files: clips.len() as u64, bytes: 0 });
    let _ = (&tool, proxies);
    for clip in &clips {
        if progress.stop_asked() {
            return Ok(());
        }
        let one = One { station, card, roll: &row.roll, tool: &tool, clip };
        one.describe(catalog, proxies, progress)?;
    }
    Ok(())
}
