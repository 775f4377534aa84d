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
        complain(
            "hint: goodgate restore DEST/.goodgate/catalog/NAME.db --replace keeps this file aside and puts a backup in its place",
        );
    }
    Ok(Exit::Failed)
}
