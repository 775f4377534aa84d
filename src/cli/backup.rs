//! `goodgate backup FILE`

use super::args::Backup;
use super::door::Door;
use super::report::Exit;
use anyhow::Context;
use goodgate::offload::plan::human;
use serde_json::json;

pub fn run(door: &Door, a: Backup) -> anyhow::Result<Exit> {
    door.reader()?.backup(&a.file)?;
    let file = std::path::absolute(&a.file).with_context(|| format!("\"{}\"", a.file.display()))?;
    let bytes = file.metadata().with_context(|| format!("\"{}\"", file.display()))?.len();
    door.out.object(&json!({ "backup": file.to_string_lossy(), "bytes": bytes }))?;
    door.out.line(format!("catalog saved to \"{}\" ({})", file.display(), human(bytes)));
    Ok(Exit::Good)
}
