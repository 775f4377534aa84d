//! `goodgate config check|show`

use super::args::{Config, ConfigAct};
use super::door::Door;
use super::report::Exit;
use goodgate::ingest::looks;
use goodgate::notify;
use serde_json::json;

/// Settings that are wrong never get here: they are refused where they are read, with line and key.
pub fn run(door: &Door, a: Config) -> anyhow::Result<Exit> {
    let file = door.config_file.as_ref().map(|f| f.display().to_string());
    let from = file.as_ref().map_or("built-in defaults".into(), |f| format!("\"{f}\""));
    match a.act {
        ConfigAct::Check => {
            looks::check(&door.station.config)?;
            let config = &door.station.config;
            if let Some(hook) = config.notify.as_ref().and_then(|n| n.webhook.as_ref()) {
                let hint = "a file of one line that only goodgate may read: whsec_ and the secret as base64";
                notify::check(hook).map_err(|e| config.problem("notify.secret_file", e.to_string(), hint))?;
            }
            door.out.object(&json!({ "config": file, "ok": true }))?;
            door.out.line(format!("{from}: good"));
        }
        ConfigAct::Show => {
            let all = door.station.config.effective();
            let object =
                |(key, value, from): &(String, String, String)| json!({ "key": key, "value": value, "from": from });
            door.out.object(&json!({ "config": file, "settings": all.iter().map(object).collect::<Vec<_>>() }))?;
            door.out.line(format!("# {from}"));
            for (key, value, from) in &all {
                let value = if value.is_empty() { "(not set)" } else { value };
                door.out.line(format!("{key} = {value}  # {from}"));
            }
        }
    }
    Ok(Exit::Good)
}
