//! What came of comparing a card with what it says of itself.

use super::error::{CatalogError, Fault};
use super::{Catalog, text_of};
use crate::clip::CardId;
use jiff::Timestamp;
use rusqlite::{Connection, params};

impl Catalog {
    /// Replaces what was said before.
    pub fn set_source_checks(
        &mut self,
        card: CardId,
        checks: &[(String, String)],
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        self.write(|tx| {
            tx.execute("DELETE FROM source_check WHERE card_id = ?1", params![card.to_string()])?;
            let sql = "INSERT OR REPLACE INTO source_check (card_id, name, text, at) VALUES (?1, ?2, ?3, ?4)";
            for (name, text) in checks {
                tx.execute(sql, params![card.to_string(), name, text, text_of(now)])?;
            }
            Ok(())
        })
    }
}

pub(super) fn of(c: &Connection, card: CardId) -> Result<Vec<String>, Fault> {
    let sql = "SELECT text FROM source_check WHERE card_id = ?1 ORDER BY name";
    Ok(c.prepare_cached(sql)?.query_map([card.to_string()], |r| r.get(0))?.collect::<Result<_, _>>()?)
}
