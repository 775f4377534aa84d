//! `goodgate accept ROLL WARNING --note TEXT`

use super::args::Accept;
use super::card;
use super::door::Door;
use super::report::{Exit, Failure};
use goodgate::ingest::standing;
use jiff::Timestamp;

pub fn run(door: &Door, a: Accept) -> anyhow::Result<Exit> {
    if a.note.trim().is_empty() {
        return Err(Failure::usage("the note is empty").hint("say who accepts the warning and why").into());
    }
    let mut catalog = door.catalog()?;
    let row = door.card(&catalog, &a.roll)?;
    let now = Timestamp::now();
    if !catalog.accept_warning(row.id, &a.warning, a.note.trim(), now)? {
        let ids: Vec<String> = catalog.warnings(row.id)?.into_iter().map(|w| w.warning.id).collect();
        let hint = match ids.is_empty() {
            true => format!("{} has no warnings", row.roll),
            false => format!("its warnings are: {}", ids.join(", ")),
        };
        return Err(Failure::usage(format!("{} has no warning \"{}\"", row.roll, a.warning)).hint(hint).into());
    }
    let line = format!("warning {} accepted: {}", a.warning, a.note.trim());
    catalog.log(row.id, None, &line, now)?;
    let standing = standing(&door.station, &mut catalog, row.id)?;
    card::print(door, &standing, true)?;
    Ok(card::exit(&standing))
}
