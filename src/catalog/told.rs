//! What a batch of evidence did, for the custody log: gathered, because a card may have 100,000 files; each finding and
//! each failure by itself.

use super::Tx;
use super::custody::{self, Act, Entry};
use super::error::Fault;
use super::marks::{Mark, Seen};
use super::record::card_of;
use crate::clip::{CardId, CopyRootId};
use crate::finding::Finding;
use crate::progress::Intent;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Files and bytes.
type Sum = (u64, u64);

fn add(sum: &mut Sum, bytes: u64) {
    *sum = (sum.0 + 1, sum.1 + bytes);
}

fn files((files, bytes): Sum) -> String {
    format!("{files} file{} of {bytes} bytes", if files == 1 { "" } else { "s" })
}

pub(super) fn intents(tx: &Tx<'_>, card: CardId, intents: &[Intent], now: Timestamp) -> Result<(), Fault> {
    let (mut read, mut again): (Sum, Sum) = ((0, 0), (0, 0));
    let mut proven: BTreeMap<CopyRootId, Sum> = BTreeMap::new();
    for intent in intents {
        match intent {
            Intent::Read(record) => add(&mut read, record.file.size_bytes),
            Intent::ReRead { file, equal: true } => add(&mut again, file.size_bytes),
            Intent::ReRead { file, equal: false } => {
                let text = format!("\"{}\" of the card came with other bytes than before", file.relpath);
                let entry = Entry::of_card(Act::Found, card, &text);
                custody::add(tx, &Entry { relpath: Some(&file.relpath), ..entry }, now)?;
            }
            Intent::Settled { record, warning } => {
                let entry = Entry::of_card(Act::Found, card, &warning.text);
                custody::add(tx, &Entry { relpath: Some(&record.file.relpath), ..entry }, now)?;
            }
            Intent::Proven { copy, size_bytes, .. } => add(proven.entry(*copy).or_default(), *size_bytes),
            Intent::Failed { copy, relpath, note, .. } => {
                let text = format!("\"{relpath}\" is not proven: {note}");
                let entry = Entry::of_card(Act::Found, card, &text);
                custody::add(tx, &Entry { root: Some(*copy), relpath: Some(relpath), ..entry }, now)?;
            }
            Intent::Found { copy, finding } => {
                let text = finding.line();
                let entry = Entry::of_card(Act::Found, card, &text);
                custody::add(tx, &Entry { root: *copy, relpath: Some(&finding.relpath), ..entry }, now)?;
            }
            Intent::Log(_) => {}
        }
    }
    for (sum, what) in [(read, "read from the card"), (again, "read from the card again, equal")] {
        if sum.0 > 0 {
            custody::add(tx, &Entry::of_card(Act::Read, card, &format!("{} {what}", files(sum))), now)?;
        }
    }
    for (root, sum) in proven {
        let text = format!("{} written, read back and equal", files(sum));
        custody::add(tx, &Entry { root: Some(root), ..Entry::of_card(Act::Wrote, card, &text) }, now)?;
    }
    Ok(())
}

pub(super) fn marks(tx: &Tx<'_>, marks: &[Mark]) -> Result<(), Fault> {
    let mut good: BTreeMap<CopyRootId, (Sum, Timestamp)> = BTreeMap::new();
    for mark in marks {
        match &mark.seen {
            Seen::Good(proof) | Seen::Anew(proof) => {
                let (sum, at) = good.entry(mark.root).or_insert(((0, 0), mark.at));
                add(sum, proof.size_bytes);
                *at = (*at).max(mark.at);
            }
            Seen::Bad(finding) | Seen::Note(finding) => found(tx, mark.root, finding, mark.at)?,
            Seen::Clear => {}
        }
    }
    good.into_iter().try_for_each(|(root, (sum, at))| proven(tx, root, sum, at))
}

pub(super) fn proven(tx: &Tx<'_>, root: CopyRootId, sum: Sum, at: Timestamp) -> Result<(), Fault> {
    let text = format!("{} read again and equal", files(sum));
    let card = card_of(tx, root)?;
    custody::add(tx, &Entry { root: Some(root), ..Entry::of_card(Act::Proved, card, &text) }, at)
}

pub(super) fn found(tx: &Tx<'_>, root: CopyRootId, finding: &Finding, at: Timestamp) -> Result<(), Fault> {
    let card = card_of(tx, root)?;
    let entry = Entry::of_card(Act::Found, card, "");
    let text = finding.line();
    custody::add(tx, &Entry { root: Some(root), relpath: Some(&finding.relpath), text: &text, ..entry }, at)
}
