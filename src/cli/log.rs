//! `goodgate log ROLL`

use super::args::Log;
use super::door::Door;
use super::report::Exit;
use goodgate::catalog::LogRow;
use goodgate::digest::hex;
use serde_json::{Value, json};

pub fn run(door: &Door, a: Log) -> anyhow::Result<Exit> {
    let catalog = door.reader()?;
    let card = door.card(&catalog, &a.roll)?;
    let rows = catalog.custody(card.id)?;
    let objects: Vec<_> = rows.iter().map(object).collect();
    door.out.object(&json!({ "card": card.id, "roll": card.roll, "log": objects }))?;
    for r in &rows {
        let device = r.device.as_ref().map(|d| format!(" [{d}]")).unwrap_or_default();
        door.out.line(format!("{:.3}  {:8}  {}{device}", r.at, r.act, r.text));
    }
    Ok(Exit::Good)
}

fn object(r: &LogRow) -> Value {
    json!({
        "seq": r.seq, "at": r.at, "who": r.who, "version": r.version, "act": r.act, "job": r.job, "device": r.device,
        "relpath": r.relpath, "relpath_hex": r.relpath.as_ref().and_then(|p| p.hex_if_escaped()), "text": r.text,
        "hash": hex(&r.hash),
    })
}
