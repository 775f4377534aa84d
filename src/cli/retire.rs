//! `goodgate retire ROLL|VOLUME|PATH --reason TEXT`

use super::args::Retire;
use super::door::Door;
use super::print::count;
use super::report::{Exit, Failure};
use goodgate::ingest::back_up;
use goodgate::patrol;
use serde_json::json;
use std::collections::BTreeSet;

pub fn run(door: &Door, a: Retire) -> anyhow::Result<Exit> {
    let reason = a.reason.trim();
    if reason.is_empty() {
        return Err(Failure::usage("the reason is empty").hint("say who gives the copy up and why").into());
    }
    let mut catalog = door.catalog()?;
    let retired = patrol::retire(&mut catalog, &a.what, reason)?;
    door.out.object(&json!({ "retired": retired, "reason": reason }))?;
    for r in &retired {
        let part = if r.relpath.is_root() { String::new() } else { format!("/{}", r.relpath) };
        door.out.line(format!("retired: {}{part}, {}; nothing was deleted", r.copy, count(r.files, "file")));
    }
    let progress = door.progress()?;
    for card in retired.iter().map(|r| r.card).collect::<BTreeSet<_>>() {
        back_up(&door.station, &catalog, card, None, &progress);
    }
    Ok(Exit::Good)
}
