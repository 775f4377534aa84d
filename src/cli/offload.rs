//! `goodgate offload`

use super::args::{Depth, Offload};
use super::card;
use super::door::Door;
use super::print::count;
use super::report::Exit;
use anyhow::Context;
use goodgate::clip::CardId;
use goodgate::config::VerifyDepth;
use goodgate::ingest::{self, PlanReport, Request};
use goodgate::offload::plan::human;
use std::path::PathBuf;

pub fn run(door: &mut Door, a: Offload) -> anyhow::Result<Exit> {
    // The settings may say less; the flag means this one offload.
    if a.verify == Some(Depth::Full) {
        door.station.config.offload.verify = VerifyDepth::Full;
    }
    // The request stays with the job; whoever continues it may stand in another folder.
    let absolute = |p: &PathBuf| std::path::absolute(p).with_context(|| format!("\"{}\"", p.display()));
    let request = Request {
        card: absolute(&a.card)?,
        to: a.to.iter().map(absolute).collect::<Result<_, _>>()?,
        roll: a.roll,
        set: a.set.into_iter().collect(),
        formats: a.hash,
        no_source_reread: a.verify == Some(Depth::Destinations),
        rehash: a.rehash,
        allow_same_device: a.allow_same_device,
        no_media: a.no_media,
    };
    let mut catalog = door.catalog()?;
    if a.dry_run {
        let plan = ingest::dry_run(&door.station, &mut catalog, &request)?;
        return show_plan(door, &plan);
    }
    let progress = door.progress()?;
    let mut standing = ingest::ingest(&door.station, &mut catalog, &request, &progress)?;
    progress.finish();
    // The verdict was computed before the metadata was read; where the job stands is said as it is now.
    let job = CardId::parse(&standing.report.card).map(|card| catalog.open_job(card)).transpose()?.flatten();
    standing.report.step = job.map(|j| j.step.name().to_owned());
    // The verdict itself was shown the moment it was known.
    card::print(door, &standing, false)?;
    Ok(card::exit(&standing))
}

fn show_plan(door: &Door, plan: &PlanReport) -> anyhow::Result<Exit> {
    let out = &door.out;
    out.object(plan)?;
    let (files, clips) = (count(plan.files as u64, "file"), count(plan.clips as u64, "clip"));
    let kind = plan.source_kind.name();
    let layouts = if plan.layouts.is_empty() { plan.layout.clone() } else { plan.layouts.join(" + ") };
    out.line(format!("roll {} ({kind}, {layouts}): {files}, {}, {clips}", plan.roll, human(plan.bytes)));
    if let Some(id) = &plan.known {
        out.line(format!("known as card {id}"));
    }
    for d in &plan.destinations {
        let (free, proof) = (human(d.free_bytes), d.read_back.name());
        let room = match d.cards_left {
            _ if !plan.refusals.is_empty() => String::new(),
            0 => ", no room for another card of this size after it".into(),
            n => format!(", room for {} of this size after it", count(n, "more card")),
        };
        out.line(format!("to {}: {free} free{room}, proof {proof}, disk {}", d.destination, d.disk));
        match (d.there_already, d.there_differing) {
            (0, _) => {}
            (n, 0) => out.line(format!("   {} there already, by size and samples", count(n as u64, "file"))),
            (n, bad) => {
                out.line(format!("   {} there already, {bad} of them other than the card's", count(n as u64, "file")))
            }
        }
    }
    for note in &plan.notes {
        out.line(format!("note: on the card: {note}"));
    }
    for w in &plan.warnings {
        out.line(format!("warning: {}", w.text));
    }
    for refusal in &plan.refusals {
        out.line(format!("refused: {refusal}"));
    }
    out.line("nothing was written");
    Ok(if plan.refusals.is_empty() { Exit::Good } else { Exit::Failed })
}
