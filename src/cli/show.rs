//! `goodgate show CLIP`

use super::args::Show;
use super::door::Door;
use super::report::{Exit, Failure};
use serde_json::{Value, json};

/// What a person looks for; the rest follows by name.
const FIRST: [&str; 14] = [
    "name",
    "roll",
    "id",
    "camera",
    "reel",
    "start_tc",
    "end_tc",
    "duration_frames",
    "fps",
    "width",
    "height",
    "video_codec",
    "media",
    "media_note",
];

pub fn run(door: &Door, a: Show) -> anyhow::Result<Exit> {
    let mut found = door.reader()?.clip(&a.clip)?;
    let clip = match (found.pop(), found.len()) {
        (Some(clip), 0) => clip,
        (None, _) => {
            let failure = Failure::usage(format!("no clip \"{}\"", a.clip));
            return Err(failure.hint("goodgate find lists clips; an id may be shortened while it stays unique").into());
        }
        (Some(last), _) => {
            let all = found.iter().chain([&last]).map(|c| format!("{} (roll {})", c.id, c.roll));
            let all: Vec<String> = all.collect();
            let failure = Failure::usage(format!("{} clips are named \"{}\"", all.len(), a.clip));
            return Err(failure.hint(format!("say which one by its id: {}", all.join(", "))).into());
        }
    };
    let object = json!({ "clip": clip });
    door.out.object(&object)?;
    let all = object["clip"].as_object().into_iter().flatten();
    let (mut first, rest): (Vec<_>, Vec<_>) = all.partition(|(key, _)| FIRST.contains(&key.as_str()));
    let place = |key: &str| FIRST.iter().position(|f| *f == key);
    first.sort_by_key(|(key, _)| place(key));
    let plainly = rest.into_iter().filter(|(key, _)| !matches!(key.as_str(), "metadata" | "said"));
    first.into_iter().chain(plainly).for_each(|(key, value)| print(door, key, value));
    said(door, &object["clip"]["said"]);
    Ok(Exit::Good)
}

/// Each value with who said it; what disagrees with the chosen one follows it.
fn said(door: &Door, said: &Value) {
    let mut chosen = ("", "");
    for s in said.as_array().into_iter().flatten() {
        let text = |key: &str| s[key].as_str().unwrap_or_default();
        let (field, value, by) = (text("field"), text("value"), text("by"));
        if s["chosen"] == true {
            chosen = (field, value);
            door.out.line(format!("{field}: {value} ({by})"));
        } else if (field, value) != chosen {
            door.out.line(format!("{field}: but {by} says {value}"));
        }
    }
}

/// What is not known is left out; lists are one line an entry.
fn print(door: &Door, key: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::String(text) if text.is_empty() => {}
        Value::String(text) => door.out.line(format!("{key}: {text}")),
        Value::Array(all) => all.iter().for_each(|one| print(door, key, one)),
        Value::Object(parts) => {
            let part = |(k, v): (&String, &Value)| match k.as_str() {
                "look" => v["name"].as_str().map(|name| format!("look \"{name}\" ({})", look(v))),
                _ => (!v.is_null()).then(|| format!("{k} {}", plain(v))),
            };
            let parts: Vec<String> = parts.iter().filter_map(part).collect();
            door.out.line(format!("{key}: {}", parts.join(", ")));
        }
        other => door.out.line(format!("{key}: {other}")),
    }
}

/// What was done to a proxy's pictures, in the order in which it was done.
fn look(look: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut out = Vec::new();
    if let Some(cdl) = look["cdl"].as_object() {
        out.push(format!("CDL {} {} of {}", text(&cdl["sop"]), text(&cdl["sat"]), text(&cdl["from"])));
    }
    if let Some(lut) = look["lut"].as_object() {
        out.push(format!("LUT \"{}\" blake3 {:.16}", text(&lut["file"]), text(&lut["blake3"])));
    }
    let burnt: Vec<String> = look["burn_in"].as_array().into_iter().flatten().map(text).collect();
    if !burnt.is_empty() {
        out.push(format!("burn-in {}", burnt.join(" ")));
    }
    out.extend(look["watermark"].as_str().map(|text| format!("watermark \"{text}\"")));
    out.join(", ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
