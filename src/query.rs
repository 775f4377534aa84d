//! The editors' search language: text in, `Query` out. No input is an error: what cannot be understood is searched as
//! text, and a hint says so.
//!
//! Words are joined by AND; `OR`, `-`, parentheses, `"a phrase"`, a trailing `*`, and `key:value` with `,` for any of.
//! The catalog turns the tree into SQL and quotes every text in it; nothing here is ever a piece of SQL or of FTS5.

mod parse;
mod values;

use crate::clip::MediaState;
use crate::fact;
use crate::timecode::FrameRate;
use jiff::civil::Date;
use std::collections::HashSet;

/// More characters than this are not read.
pub const MAX_CHARS: usize = 10_000;
/// Words and values of one query; FTS5 and SQLite bound the depth of an expression too.
pub const MAX_TERMS: usize = 200;
/// Parentheses nested deeper than this are read as if they were not there.
pub const MAX_DEPTH: usize = 32;
pub const DEFAULT_LIMIT: usize = 100;
pub const MAX_LIMIT: usize = 10_000;

#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub expr: Expr,
    pub limit: usize,
    pub sort: Sort,
    /// One line each, for a person.
    pub hints: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// Every clip: nothing was asked for.
    All,
    /// Never empty, never of one.
    And(Vec<Expr>),
    /// Never empty, never of one.
    Or(Vec<Expr>),
    Not(Box<Expr>),
    /// A word or phrase anywhere in the search text; holds at least one letter or digit.
    Text(Match),
    Field(Field, Match),
    Fps(FrameRate),
    /// Some frame lies between these timecodes, both included: `HH:MM:SS:FF`.
    Timecode(String, String),
    /// Recorded on these days, both included; an open end is `None`, never both.
    Date(Option<Date>, Option<Date>),
    Is(State),
    Has(Part),
}

/// Compared without regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    pub text: String,
    /// What begins with `text` matches too.
    pub prefix: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Roll,
    /// Roll name or id of the card.
    Card,
    Camera,
    Codec,
    Name,
    /// Some file's path contains the text, with a `/` thought before and behind the path.
    Path,
    /// As a person tagged it, else as the clip itself says.
    Scene,
    Take,
    /// The chosen value of a field, whole or by its beginning.
    Said(fact::Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Media(MediaState),
    /// Some file of the clip lacks a proven copy at a destination.
    Unproven,
    /// The card's verdict is SAFE.
    Safe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Proxy,
    Poster,
    Sound,
    Timecode,
    Sidecar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    Date,
    Name,
    Roll,
    Camera,
    Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    pub key: SortKey,
    pub descending: bool,
}

impl Default for Sort {
    /// Newest first.
    fn default() -> Self {
        Sort { key: SortKey::Date, descending: true }
    }
}

impl Query {
    /// Reads any text.
    pub fn parse(text: &str) -> Self {
        parse::parse(text)
    }
}

/// The words under which a clip's name is found: split at everything that is no letter or digit, and each camera
/// pattern (`A001C002`) also in its parts. Lower case, without repeats, one blank between.
pub fn name_tokens(name: &str) -> String {
    let lower = name.to_lowercase();
    let mut out: Vec<&str> = Vec::new();
    // A sequence has a word for each of its frames.
    let mut seen: HashSet<&str> = HashSet::new();
    let mut add = |word| {
        if seen.insert(word) {
            out.push(word);
        }
    };
    for word in lower.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
        add(word);
        let parts = pairs(word);
        match parts[..] {
            // `DSCF0001` has one pair; its number alone is what people remember. `C0001` is its own name.
            [one] => {
                let digits = one.find(|c: char| c.is_ascii_digit()).unwrap_or(0);
                if digits >= 2 && one.len() - digits >= 3 {
                    add(&one[..digits]);
                    add(&one[digits..]);
                }
            }
            _ => parts.into_iter().for_each(&mut add),
        }
    }
    out.join(" ")
}

/// The pairs of letters and digits that a word is made of: `a001c002` is `a001`, `c002`. Cut where a digit meets a letter.
fn pairs(word: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut digit = false;
    for (at, c) in word.char_indices() {
        if digit && !c.is_ascii_digit() {
            out.push(&word[start..at]);
            start = at;
        }
        digit = c.is_ascii_digit();
    }
    out.push(&word[start..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_split_at_marks_and_camera_patterns() {
        assert_eq!(name_tokens("A001C002"), "a001c002 a001 c002");
        assert_eq!(name_tokens("A001C002_210105_R1AB.mov"), "a001c002 a001 c002 210105 r1ab r1 ab mov");
        assert_eq!(name_tokens("DSCF0001"), "dscf0001 dscf 0001");
        assert_eq!(name_tokens("C0001"), "c0001");
        assert_eq!(name_tokens("A001_C002-T 3"), "a001 c002 t 3");
        assert_eq!(name_tokens("Übung_ß"), "übung ß");
        assert_eq!(name_tokens("..."), "");
    }

    proptest! {
        #[test]
        fn no_name_makes_tokens_panic(name in "\\PC*") {
            let tokens = name_tokens(&name);
            prop_assert!(tokens.split(' ').all(|t| t.chars().all(char::is_alphanumeric)));
        }
    }
}
