//! `goodgate restore FILE`

use super::args::Restore;
use super::door::Door;
use super::print::count;
use super::report::Exit;
use goodgate::catalog;
use jiff::Timestamp;
use serde_json::json;

pub fn run(door: &Door, a: Restore) -> anyhow::Result<Exit> {
    let _alone = door.alone()?;
    let now = Timestamp::now();
    let done = catalog::restore(&door.catalog_path, &a.file, a.replace, door.signed(), now)?;
    let (info, path) = (&done.info, door.catalog_path.display());
    door.out.object(&json!({
        "catalog": path.to_string(), "from": a.file.to_string_lossy(), "backup": info, "lost": done.lost,
        "kept": done.kept.as_ref().map(|p| p.to_string_lossy()),
    }))?;
    let out = &door.out;
    out.line(format!("catalog \"{path}\" is restored from \"{}\"", a.file.display()));
    let (cards, files, clips) = (count(info.cards, "card"), count(info.files, "file"), count(info.clips, "clip"));
    let newest = info.newest.map_or("nothing".into(), |at| format!("{at:.0}"));
    out.line(format!("it knows {cards}, {files}, {clips}; the last it knows of is of {newest}"));
    if let Some(kept) = &done.kept {
        out.line(format!("the one that was there is kept as \"{}\"", kept.display()));
    }
    match &done.lost {
        Some(lost) if !lost.rolls.is_empty() => {
            out.line(format!("not in it, to be offloaded or registered again: {}", lost.rolls.join(", ")));
        }
        Some(_) => {}
        None => out.line("what was recorded later is not in it: offload or register those cards again"),
    }
    out.line(
        "no copy counts that was proven before: goodgate verify reads them all again, goodgate verify ROLL one card's",
    );
    Ok(Exit::Good)
}
