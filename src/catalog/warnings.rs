//! Warnings of a card and who accepted them.

use super::custody::{self, Act, Entry};
use super::error::{CatalogError, Fault};
use super::rowsum::WARNING;
use super::{Catalog, cards, text_of};
use crate::clip::{CardId, Warning};
use crate::evidence::WarningEvidence;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

impl Catalog {
    /// Idempotent; an acceptance is kept.
    pub fn raise_warning(&mut self, card: CardId, warning: &Warning, now: Timestamp) -> Result<(), CatalogError> {
        self.write(|tx| raise(tx, card, warning, now))
    }

    /// Of something that happened, and may happen again: what a person accepted of an earlier time covers no later one.
    pub fn raise_event(&mut self, card: CardId, warning: &Warning, now: Timestamp) -> Result<(), CatalogError> {
        self.write(|tx| raise_event(tx, card, warning, now))
    }

    /// For one that no longer holds. One that a person accepted stays, as part of the record.
    pub fn drop_warning(&mut self, card: CardId, id: &str) -> Result<(), CatalogError> {
        self.write(|tx| {
            let sql = "DELETE FROM warning WHERE card_id = ?1 AND id = ?2 AND accepted_at IS NULL";
            match tx.execute(sql, params![card.to_string(), id])? {
                0 => Ok(()),
                _ => cards::change(tx, card, "warning_count = warning_count - 1", &[]),
            }
        })
    }

    /// False when the card has no such warning. A second acceptance changes nothing.
    pub fn accept_warning(&mut self, card: CardId, id: &str, note: &str, now: Timestamp) -> Result<bool, CatalogError> {
        self.write(|tx| {
            let key = card.to_string();
            let sql = "SELECT accepted_at IS NOT NULL FROM warning WHERE card_id = ?1 AND id = ?2";
            match tx.query_row(sql, params![key, id], |r| r.get(0)).optional()? {
                None => Ok(false),
                Some(true) => Ok(true),
                Some(false) => {
                    let set = "accepted_at = ?3, accepted_note = ?4";
                    WARNING.change(tx, [&key, &id], set, params![text_of(now), note])?;
                    let text = format!("warning {id} accepted: {note}");
                    custody::add(tx, &Entry::of_card(Act::Accepted, card, &text), now)?;
                    Ok(true)
                }
            }
        })
    }

    pub fn warnings(&self, card: CardId) -> Result<Vec<WarningEvidence>, CatalogError> {
        self.read(|c| Ok(of(c, card)?.0))
    }
}

pub(super) fn raise_event(c: &Connection, card: CardId, warning: &Warning, now: Timestamp) -> Result<(), Fault> {
    let accepted = "SELECT 1 FROM warning WHERE card_id = ?1 AND id = ?2 AND accepted_at IS NOT NULL";
    let mut id = warning.id.clone();
    for n in 2.. {
        if c.query_row(accepted, params![card.to_string(), id], |_| Ok(())).optional()?.is_none() {
            break;
        }
        id = format!("{}#{n}", warning.id);
    }
    raise(c, card, &Warning { id, text: warning.text.clone() }, now)
}

pub(super) fn raise(c: &Connection, card: CardId, warning: &Warning, now: Timestamp) -> Result<(), Fault> {
    let key = card.to_string();
    let sql = "SELECT text = ?3 OR accepted_at IS NOT NULL FROM warning WHERE card_id = ?1 AND id = ?2";
    match c.query_row(sql, params![key, warning.id, warning.text], |r| r.get(0)).optional()? {
        Some(true) => Ok(()),
        Some(false) => WARNING.change(c, [&key, &warning.id], "text = ?3", params![warning.text]),
        None => {
            let sql = "INSERT INTO warning (card_id, id, text, raised_at) VALUES (?1, ?2, ?3, ?4)";
            c.execute(sql, params![key, warning.id, warning.text, text_of(now)])?;
            WARNING.seal(c, [&key, &warning.id])?;
            cards::change(c, card, "warning_count = warning_count + 1", &[])
        }
    }
}

/// All of a card, and whether every row holds its sum.
pub(super) fn of(c: &Connection, card: CardId) -> Result<(Vec<WarningEvidence>, bool), Fault> {
    let mut statement = c.prepare_cached(&format!("{} WHERE card_id = ?1 ORDER BY id", WARNING.select))?;
    let mut rows = statement.query([card.to_string()])?;
    let (mut out, mut intact) = (Vec::new(), true);
    while let Some(r) = rows.next()? {
        intact &= WARNING.intact(r)?;
        let accepted: Option<String> = r.get("accepted_at")?;
        let note: Option<String> = r.get("accepted_note")?;
        out.push(WarningEvidence {
            warning: Warning { id: r.get("id")?, text: r.get("text")? },
            accepted: accepted.map(|_| note.unwrap_or_default()),
        });
    }
    Ok((out, intact))
}
