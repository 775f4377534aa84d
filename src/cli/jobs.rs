//! `goodgate jobs [retry|cancel ID]`

use super::args::{Jobs, JobsAct};
use super::door::Door;
use super::report::{Exit, Failure};
use goodgate::catalog::{Catalog, JobRow};
use goodgate::ingest::{Register, Request};
use jiff::Timestamp;
use serde_json::{Value, json};

/// So many jobs that are done are listed without `--all`.
const DONE: usize = 20;

pub fn run(door: &Door, a: Jobs) -> anyhow::Result<Exit> {
    let now = Timestamp::now();
    match a.act {
        None => list(door, a.all)?,
        Some(JobsAct::Retry { id }) => {
            let mut catalog = door.catalog()?;
            let job = open_job(&catalog, &id)?;
            catalog.retry_job(job.id, now)?;
            show(door, &catalog, &job)?;
            let card = serde_json::from_str::<Request>(&job.request).map(|r| r.card.display().to_string());
            let folder = serde_json::from_str::<Register>(&job.request).map(|r| r.path.display().to_string());
            door.out.line(match card {
                _ if folder.is_ok() => {
                    format!("to go on with it: goodgate register \"{}\"", folder.unwrap_or_default())
                }
                Ok(card) => format!("the daemon goes on with it; without one, offload \"{card}\" again"),
                Err(_) => "the daemon goes on with it; without one, offload the card again".into(),
            });
        }
        Some(JobsAct::Cancel { id }) => {
            let mut catalog = door.catalog()?;
            let job = open_job(&catalog, &id)?;
            catalog.cancel_job(job.id, now)?;
            show(door, &catalog, &job)?;
            door.out.line(format!("to go on with it: goodgate jobs retry {}", job.id));
        }
    }
    Ok(Exit::Good)
}

fn list(door: &Door, all: bool) -> anyhow::Result<()> {
    let catalog = door.reader()?;
    let mut jobs = catalog.jobs()?;
    let open = jobs.iter().filter(|j| j.done_at.is_none()).count();
    if !all {
        jobs.truncate(open + DONE);
    }
    let objects = jobs.iter().map(|j| object(&catalog, j)).collect::<anyhow::Result<Vec<_>>>()?;
    door.out.object(&json!({ "jobs": objects }))?;
    if jobs.is_empty() {
        door.out.line("no jobs");
        return Ok(());
    }
    let text = |o: &Value, key: &str| o[key].as_str().unwrap_or_default().to_owned();
    let row = |o: &Value| [text(o, "roll"), text(o, "step"), text(o, "hold"), text(o, "started_at"), text(o, "job")];
    door.out.table(["ROLL", "STEP", "HOLD", "STARTED", "JOB"], &objects.iter().map(row).collect::<Vec<_>>());
    for o in objects.iter().filter(|o| o["hold"].is_string()) {
        door.out.line(format!("{} waits: {}", text(o, "roll"), text(o, "why")));
        door.out.line(format!("  then: goodgate jobs retry {}", text(o, "job")));
    }
    Ok(())
}

/// One job after it was changed.
fn show(door: &Door, catalog: &Catalog, job: &JobRow) -> anyhow::Result<()> {
    let now = catalog.open_job(job.card)?.unwrap_or_else(|| job.clone());
    let object = object(catalog, &now)?;
    door.out.object(&json!({ "job": object }))?;
    let hold = object["hold"].as_str().map(|h| format!(", hold: {h}")).unwrap_or_default();
    door.out.line(format!("job {} of {}: {}{hold}", now.id, object["roll"].as_str().unwrap_or("?"), now.step.name()));
    Ok(())
}

fn object(catalog: &Catalog, job: &JobRow) -> anyhow::Result<Value> {
    let roll = catalog.card(job.card)?.map(|c| c.roll);
    let why = job.hold.map(|h| match &job.hold_note {
        Some(note) if note != h.text() => format!("{} ({note})", h.text()),
        _ => h.text().into(),
    });
    Ok(json!({
        "job": job.id, "card": job.card, "roll": roll, "step": job.step.name(), "hold": job.hold.map(|h| h.name()),
        "why": why, "attempts": job.attempts, "next_at": job.next_at, "started_at": job.started_at,
        "done_at": job.done_at,
    }))
}

/// The open job of that id, or of the one id that begins so.
fn open_job(catalog: &Catalog, id: &str) -> anyhow::Result<JobRow> {
    let wanted = id.to_lowercase();
    let mut found = catalog.jobs()?;
    found.retain(|j| !wanted.is_empty() && j.id.to_string().starts_with(&wanted));
    let failure = match &found[..] {
        [job] if job.done_at.is_none() => return Ok(job.clone()),
        [_] => Failure::usage(format!("job \"{id}\" is done")),
        [] => Failure::usage(format!("no job \"{id}\"")),
        many => Failure::usage(format!("{} jobs begin with \"{id}\"", many.len())),
    };
    Err(failure.hint("goodgate jobs lists them").into())
}
