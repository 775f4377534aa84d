//! `goodgate cards`

use super::door::Door;
use super::report::Exit;
use goodgate::offload::plan::human;
use serde_json::json;

pub fn run(door: &Door) -> anyhow::Result<Exit> {
    let catalog = door.reader()?;
    let (mut objects, mut rows) = (Vec::new(), Vec::new());
    for card in catalog.cards()? {
        let job = catalog.open_job(card.id)?;
        let copies = catalog.copy_roots(card.id)?.into_iter().filter(|r| r.retired.is_none());
        let copies: Vec<String> = copies.map(|r| r.path).collect();
        let clips = catalog.clips(card.id)?.len();
        let step = job.as_ref().map(|j| j.step.name());
        let hold = job.as_ref().and_then(|j| j.hold).map(|h| h.name());
        rows.push([
            card.roll.clone(),
            card.source_kind.name().into(),
            card.files.to_string(),
            human(card.bytes),
            clips.to_string(),
            copies.len().to_string(),
            match (step, hold) {
                (Some(step), Some(hold)) => format!("{step}, hold: {hold}"),
                (step, _) => step.unwrap_or("done").into(),
            },
            card.first_seen_at.strftime("%F %H:%MZ").to_string(),
            card.id.to_string(),
        ]);
        objects.push(json!({
            "card": card.id, "roll": card.roll, "source_kind": card.source_kind, "source": card.source_path,
            "layout": card.layout, "files": card.files, "bytes": card.bytes, "clips": clips, "copies": copies,
            "first_seen_at": card.first_seen_at, "seen_at": card.seen_at, "step": step, "hold": hold,
        }));
    }
    door.out.object(&json!({ "cards": objects }))?;
    match rows.is_empty() {
        true => door.out.line("no cards yet"),
        false => {
            door.out.table(["ROLL", "KIND", "FILES", "SIZE", "CLIPS", "COPIES", "JOB", "FIRST SEEN", "CARD"], &rows)
        }
    }
    Ok(Exit::Good)
}
