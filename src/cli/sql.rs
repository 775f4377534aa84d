//! `goodgate sql 'SELECT ...'`

use super::args::Sql;
use super::door::Door;
use super::print::{complain, shown};
use super::report::{Exit, Failure};
use goodgate::catalog::{self, CatalogError};
use serde_json::Value;

pub fn run(door: &Door, a: Sql) -> anyhow::Result<Exit> {
    drop(door.reader()?);
    let found = catalog::sql(&door.catalog_path, &a.text).map_err(|e| match e {
        CatalogError::Sql { .. } | CatalogError::Refused { .. } => {
            let hint = "one SELECT on clips, files, copies, cards, proxies, problems or reverify_due; their columns: \
                        goodgate sql 'SELECT * FROM schema_doc'";
            anyhow::Error::from(Failure::usage(e.to_string()).hint(hint))
        }
        other => other.into(),
    })?;
    door.out.object(&found)?;
    // Tab-separated, as `cut` and spreadsheets take it; escaping keeps a value in its cell.
    let cell = |v: &Value| match v {
        Value::Null => String::new(),
        Value::String(text) => shown(text).into_owned(),
        other => other.to_string(),
    };
    door.out.tabs(found.columns.iter().map(|c| shown(c).into_owned()));
    for row in &found.rows {
        door.out.tabs(row.iter().map(cell));
    }
    if found.is_capped && !door.out.json() {
        complain("there is more: narrow the query or use LIMIT and OFFSET");
    }
    Ok(Exit::Good)
}
