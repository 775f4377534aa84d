//! `goodgate accept ROLL WARNING --note TEXT`

use super::args::Accept;
use super::card;
use super::door::Door;
use super::print::complain;
use super::report::{Exit, Failure};
use goodgate::ingest::{back_up, standing};
use goodgate::patrol;
use goodgate::relpath::RelPath;
use jiff::Timestamp;
use std::os::unix::ffi::OsStrExt;

pub fn run(door: &Door, a: Accept) -> anyhow::Result<Exit> {
    if a.note.trim().is_empty() {
        return Err(Failure::usage("the note is empty").hint("say who accepts the warning and why").into());
    }
    let mut catalog = door.catalog()?;
    let row = door.card(&catalog, &a.roll)?;
    let progress = door.progress()?;
    let now = Timestamp::now();
    let warning = a.warning.to_string_lossy();
    let is_warning = catalog.accept_warning(row.id, &warning, a.note.trim(), now)?;
    let changed = match RelPath::new(a.warning.as_bytes()) {
        Ok(relpath) if !is_warning => patrol::accept_changed(&mut catalog, row.id, &relpath, a.note.trim(), &progress)?,
        _ => Vec::new(),
    };
    for c in &changed {
        let text = format!("\"{}\" in {} is accepted as it is now; it is not the card's", c.relpath, c.copy);
        complain(&text);
    }
    if !is_warning && changed.is_empty() {
        let ids: Vec<String> = catalog.warnings(row.id)?.into_iter().map(|w| w.warning.id).collect();
        let hint = match ids.is_empty() {
            true => format!("{} has no warnings", row.roll),
            false => format!("its warnings are: {}", ids.join(", ")),
        };
        let text = format!("{} has no warning \"{warning}\", and no copy of such a file that was changed", row.roll);
        return Err(Failure::usage(text).hint(hint).into());
    }
    let standing = standing(&door.station, &mut catalog, row.id)?;
    card::print(door, &standing, true)?;
    back_up(&door.station, &catalog, row.id, None, &progress);
    Ok(card::exit(&standing))
}
