//! `goodgate rebuild PATH...`

use super::args::Rebuild;
use super::door::Door;
use super::print::{complain, count};
use super::register;
use super::report::Exit;
use anyhow::Context;
use goodgate::catalog;
use goodgate::ingest::{self, FoundCopy};
use jiff::Timestamp;
use serde_json::json;
use std::path::PathBuf;

pub fn run(door: &Door, a: Rebuild) -> anyhow::Result<Exit> {
    let absolute = |p: &PathBuf| std::path::absolute(p).with_context(|| format!("\"{}\"", p.display()));
    let paths: Vec<PathBuf> = a.paths.iter().map(absolute).collect::<Result<_, _>>()?;
    if a.dry_run {
        let found = ingest::find_copies(&paths, &door.progress()?)?;
        return show(door, &found);
    }
    let kept = {
        let _alone = door.alone()?;
        catalog::begin_anew(&door.catalog_path, a.replace, door.signed(), Timestamp::now())?
    };
    if let Some(kept) = &kept {
        complain(&format!("the catalog that was there is kept as \"{}\"", kept.display()));
    }
    let mut catalog = door.catalog()?;
    let progress = door.progress()?;
    let report = ingest::rebuild(&door.station, &mut catalog, &paths, a.no_media, &progress)?;
    progress.finish();
    let out = &door.out;
    out.object(&json!({
        "catalog": door.catalog_path.to_string_lossy(), "kept": kept.as_ref().map(|p| p.to_string_lossy()),
        "cards": report.cards, "already": report.already, "failed": report.failed,
    }))?;
    for card in &report.cards {
        let files = count(card.files, "file");
        out.line(format!("{}: {files}, {}", card.roll, count(card.clips as u64, "clip")));
        card.copies.iter().for_each(|c| out.line(format!("  {}: {} of {files} proven", c.path, c.verified)));
        card.findings.iter().for_each(|f| out.line(f.line()));
    }
    for failed in &report.failed {
        out.line(format!("not rebuilt: \"{}\": {}", failed.path, failed.error));
    }
    out.line(format!(
        "{} in the catalog; none is safe to format by it, as it read no card",
        count(report.cards.len() as u64, "card")
    ));
    let failed = report.failed.iter().map(|f| if f.history { Exit::History } else { Exit::Failed });
    Ok(report.cards.iter().map(register::exit).chain(failed).fold(Exit::Good, Exit::max))
}

fn show(door: &Door, found: &[FoundCopy]) -> anyhow::Result<Exit> {
    door.out.object(&json!({ "found": found }))?;
    for copy in found {
        let files = count(copy.files as u64, "file");
        let same = copy.same_as.as_ref().map(|p| format!(", the same card as \"{p}\""));
        let refused = copy.refused.as_ref().map(|why| format!("; it cannot be taken in: {why}"));
        let more = same.into_iter().chain(refused).collect::<String>();
        door.out.line(format!("\"{}\": roll {}, {files}{more}", copy.path, copy.roll));
    }
    door.out.line("nothing was written");
    Ok(Exit::Good)
}
