//! `goodgate status [ROLL]`

use super::args::Status;
use super::card;
use super::door::Door;
use super::report::Exit;
use goodgate::ingest::standing;
use serde_json::json;

pub fn run(door: &Door, a: Status) -> anyhow::Result<Exit> {
    let mut catalog = door.catalog()?;
    if let Some(roll) = &a.roll {
        let row = door.card(&catalog, roll)?;
        let standing = standing(&door.station, &mut catalog, row.id)?;
        card::print(door, &standing, true)?;
        return Ok(card::exit(&standing));
    }
    let mut all = Vec::new();
    for row in catalog.cards()? {
        all.push(standing(&door.station, &mut catalog, row.id)?);
    }
    door.out.object(&json!({ "cards": all.iter().map(|s| &s.report).collect::<Vec<_>>() }))?;
    for s in &all {
        door.out.verdict(s.report.safe, &format!("{}: {}", s.report.roll, s.line));
    }
    if all.is_empty() {
        door.out.line("no cards yet");
    }
    // A list is an answer, whatever it says; 20 is the answer about one card.
    Ok(Exit::Good)
}
