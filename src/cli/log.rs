//! `goodgate log ROLL`

use super::args::Log;
use super::door::Door;
use super::report::Exit;
use serde_json::json;

pub fn run(door: &Door, a: Log) -> anyhow::Result<Exit> {
    let catalog = door.reader()?;
    let card = door.card(&catalog, &a.roll)?;
    let rows = catalog.job_log(card.id)?;
    let objects: Vec<_> = rows.iter().map(|r| json!({ "at": r.at, "job": r.job, "text": r.text })).collect();
    door.out.object(&json!({ "card": card.id, "roll": card.roll, "log": objects }))?;
    for r in &rows {
        door.out.line(format!("{:.3}  {}", r.at, r.text));
    }
    Ok(Exit::Good)
}
