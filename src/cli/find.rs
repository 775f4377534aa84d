//! `goodgate find QUERY`

use super::args::Find;
use super::door::Door;
use super::print::complain;
use super::report::Exit;
use goodgate::catalog::{ClipFull, asks_safe};
use goodgate::ingest::standing;
use goodgate::query::Query;

pub fn run(door: &Door, a: Find) -> anyhow::Result<Exit> {
    let words: Vec<_> = a.query.iter().map(|w| w.to_string_lossy()).collect();
    let query = Query::parse(&words.join(" "));
    let found = match asks_safe(&query.expr) {
        false => door.reader()?.find(&query)?,
        // Only a fresh look at every card can say it.
        true => {
            let mut catalog = door.catalog()?;
            let mut safe = Vec::new();
            for row in catalog.cards()? {
                if standing(&door.station, &mut catalog, row.id)?.report.safe {
                    safe.push(row.id);
                }
            }
            catalog.find_with_safe(&query, &safe)?
        }
    };
    door.out.object(&found)?;
    let rows: Vec<_> = found.clips.iter().map(row).collect();
    if !rows.is_empty() {
        door.out.table(["CLIP", "ROLL", "CAMERA", "START", "FRAMES", "FPS", "SIZE", "CODEC", "MEDIA"], &rows);
    }
    if !door.out.json() {
        let more = if found.total_is_capped { "more than " } else { "" };
        let total = format!("{} of {more}{}", found.clips.len(), found.total);
        let notes = found.hints.iter().map(|h| format!("hint: {h}")).chain([format!("{total} clips")]);
        if !door.global.quiet {
            notes.for_each(|note| complain(&note));
        }
    }
    Ok(Exit::Good)
}

fn row(c: &ClipFull) -> [String; 9] {
    let text = |t: &Option<String>| t.clone().unwrap_or_else(|| "-".into());
    let number = |n: Option<i64>| n.map_or_else(|| "-".into(), |n| n.to_string());
    let raster = match (c.width, c.height) {
        (Some(w), Some(h)) => format!("{w}x{h}"),
        _ => "-".into(),
    };
    [
        c.name.clone(),
        c.roll.clone(),
        text(&c.camera),
        text(&c.start_tc),
        number(c.duration_frames),
        text(&c.fps),
        raster,
        text(&c.video_codec),
        c.media.name().into(),
    ]
}
