//! `goodgate eject ROLL|VOLUME`

use super::args::Eject;
use super::door::Door;
use super::print::complain;
use super::report::Exit;
use goodgate::eject;
use serde_json::json;

pub fn run(door: &Door, a: Eject) -> anyhow::Result<Exit> {
    let mut catalog = door.catalog()?;
    let target = eject::find(&door.station, &mut catalog, &a.what)?;
    let warnings = target.warnings();
    for text in &warnings {
        door.out.verdict(false, text);
        if door.out.json() {
            complain(text);
        }
    }
    // Started in a folder of it, we would be in our own way.
    let _ = std::env::set_current_dir("/");
    let ejected = eject::eject(&door.station, &mut catalog, &target)?;
    door.out.object(&json!({ "ejected": ejected, "next": ejected.next, "warnings": warnings }))?;
    door.out.line(ejected.line());
    door.out.line(format!("next: {}", ejected.next));
    Ok(Exit::Good)
}
