//! `goodgate check`

use super::door::Door;
use super::print::complain;
use super::report::Exit;
use serde_json::json;

pub fn run(door: &Door) -> anyhow::Result<Exit> {
    let problems = door.reader()?.check()?;
    let path = door.catalog_path.display();
    door.out.object(&json!({ "catalog": path.to_string(), "problems": problems }))?;
    problems.iter().for_each(|p| door.out.line(p));
    if problems.is_empty() {
        door.out.line(format!("catalog \"{path}\" is sound"));
        return Ok(Exit::Good);
    }
    if !door.out.json() {
        complain("hint: keep this file aside and put a backup in its place; verify the copies it names");
    }
    Ok(Exit::Failed)
}
