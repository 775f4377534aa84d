//! `goodgate register PATH`

use super::args::Register;
use super::card;
use super::door::Door;
use super::report::Exit;
use anyhow::Context;
use goodgate::clip::CardId;
use goodgate::finding::FindingKind;
use goodgate::ingest::{self, CardReport};

pub fn run(door: &Door, a: Register) -> anyhow::Result<Exit> {
    let path = std::path::absolute(&a.path).with_context(|| format!("\"{}\"", a.path.display()))?;
    let request = ingest::Register { path, roll: a.roll, formats: a.hash, no_media: a.no_media, into: None };
    let mut catalog = door.catalog()?;
    let progress = door.progress()?;
    let mut standing = ingest::register(&door.station, &mut catalog, &request, &progress)?;
    progress.finish();
    // Where the job stands is said as it is now.
    let job = CardId::parse(&standing.report.card).map(|card| catalog.open_job(card)).transpose()?.flatten();
    standing.report.step = job.map(|j| j.step.name().to_owned());
    card::print(door, &standing, false)?;
    Ok(exit(&standing.report))
}

/// Never safe is no fault: what was asked for was done. 20 is for a hold.
pub(super) fn exit(report: &CardReport) -> Exit {
    let of = |kind| match kind {
        FindingKind::Altered | FindingKind::Unstable => Exit::Mismatch,
        FindingKind::Unreadable => Exit::Unreadable,
        FindingKind::Missing => Exit::Missing,
        FindingKind::Extra => Exit::Good,
    };
    let hold = if report.hold.is_some() { Exit::NotSafe } else { Exit::Good };
    report.findings.iter().map(|f| of(f.kind)).fold(hold, Exit::max)
}
