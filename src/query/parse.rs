//! Text into tokens into a tree. Depth and size are bounded before anything is built.

use super::values::{self, Key};
use super::{DEFAULT_LIMIT, Expr, MAX_CHARS, MAX_DEPTH, MAX_LIMIT, MAX_TERMS, Match, Query, Sort};
use std::iter::Peekable;
use std::str::Chars;

/// More hints than this say nothing more.
const MAX_HINTS: usize = 8;

#[derive(Debug, PartialEq)]
enum Token {
    Open,
    Close,
    Or,
    Not,
    Text(Match),
    /// `key:value,value`, and the same as it was typed.
    Keyed {
        key: String,
        values: Vec<Match>,
        typed: String,
    },
}

pub(super) fn parse(text: &str) -> Query {
    let mut parser = Parser {
        tokens: Vec::new().into_iter(),
        terms: 0,
        query: Query { expr: Expr::All, limit: DEFAULT_LIMIT, sort: Sort::default(), hints: Vec::new() },
    };
    let cut = text.char_indices().nth(MAX_CHARS).map(|(at, _)| &text[..at]);
    if cut.is_some() {
        parser.hint(format!("only the first {MAX_CHARS} characters were read"));
    }
    parser.tokens = tokens(cut.unwrap_or(text)).into_iter();
    parser.query.expr = parser.group(0).unwrap_or(Expr::All);
    parser.query
}

fn tokens(text: &str) -> Vec<Token> {
    let mut chars = text.chars().peekable();
    let mut out = Vec::new();
    while let Some(c) = chars.peek().copied() {
        match c {
            _ if is_blank(c) => drop(chars.next()),
            '(' | ')' => {
                chars.next();
                out.push(if c == '(' { Token::Open } else { Token::Close });
            }
            '-' => {
                while chars.next_if_eq(&'-').is_some() {}
                // A dash that stands alone is a mark between words.
                if chars.peek().is_some_and(|c| !is_blank(*c) && *c != ')') {
                    out.push(Token::Not);
                }
            }
            _ => out.push(word(&mut chars)),
        }
    }
    out
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\u{201c}' | '\u{201d}' | '\u{201e}')
}

/// A word, a phrase, or a key with its values. Takes at least one character.
fn word(chars: &mut Peekable<Chars>) -> Token {
    if chars.peek().is_some_and(|c| is_quote(*c)) {
        return Token::Text(value(chars, false).0);
    }
    let mut key = String::new();
    while let Some(c) = chars.next_if(char::is_ascii_alphabetic) {
        key.push(c);
    }
    if !key.is_empty() && chars.next_if_eq(&':').is_some() {
        let mut typed = format!("{key}:");
        let mut values = Vec::new();
        loop {
            let (one, raw) = value(chars, true);
            typed.push_str(&raw);
            if !one.text.is_empty() {
                values.push(one);
            }
            if chars.next_if_eq(&',').is_none() {
                return Token::Keyed { key, values, typed };
            }
            typed.push(',');
        }
    }
    let rest = bare(chars, false);
    match (key + &rest).as_str() {
        "OR" | "|" => Token::Or,
        "NOT" => Token::Not,
        // Words are joined by AND anyway.
        "AND" => Token::Text(Match { text: String::new(), prefix: false }),
        word => Token::Text(starred(word)),
    }
}

/// One quoted or bare value, and as it was typed.
fn value(chars: &mut Peekable<Chars>, keyed: bool) -> (Match, String) {
    if chars.next_if(|c| is_quote(*c)).is_none() {
        let raw = bare(chars, keyed);
        return (starred(&raw), raw);
    }
    let mut text = String::new();
    for c in chars.by_ref() {
        if is_quote(c) {
            break;
        }
        text.push(if c.is_control() { ' ' } else { c });
    }
    let text = text.trim().to_owned();
    let prefix = chars.next_if_eq(&'*').is_some();
    (Match { text: text.clone(), prefix }, text)
}

fn bare(chars: &mut Peekable<Chars>, keyed: bool) -> String {
    let ends = |c: char| is_blank(c) || is_quote(c) || matches!(c, '(' | ')') || keyed && c == ',';
    let mut out = String::new();
    while let Some(c) = chars.next_if(|c| !ends(*c)) {
        out.push(c);
    }
    out
}

fn starred(word: &str) -> Match {
    let text = word.trim_end_matches('*');
    Match { text: text.to_owned(), prefix: text.len() < word.len() }
}

struct Parser {
    tokens: std::vec::IntoIter<Token>,
    terms: usize,
    query: Query,
}

impl Parser {
    fn hint(&mut self, text: String) {
        let hints = &mut self.query.hints;
        if hints.len() < MAX_HINTS && !hints.contains(&text) {
            hints.push(text);
        }
    }

    /// Up to the end or the matching parenthesis; `None` when nothing is asked for in it.
    fn group(&mut self, depth: usize) -> Option<Expr> {
        let (mut any, mut all, mut not, mut flat) = (Vec::new(), Vec::new(), false, 0usize);
        while let Some(token) = self.tokens.next() {
            let expr = match token {
                Token::Not => {
                    not = !not;
                    continue;
                }
                Token::Or => {
                    any.extend(join(std::mem::take(&mut all), Expr::And));
                    not = false;
                    continue;
                }
                Token::Open if depth >= MAX_DEPTH => {
                    self.hint(format!("parentheses deeper than {MAX_DEPTH} were left out"));
                    flat += 1;
                    continue;
                }
                Token::Close if flat > 0 => {
                    flat -= 1;
                    continue;
                }
                Token::Close if depth == 0 => continue,
                Token::Close => break,
                Token::Open => self.group(depth + 1),
                Token::Text(text) => self.text(text),
                Token::Keyed { key, values, typed } => self.keyed(&key, values, typed),
            };
            match expr {
                Some(expr) if not => all.push(Expr::Not(Box::new(expr))),
                Some(expr) => all.push(expr),
                None => {}
            }
            not = false;
        }
        any.extend(join(all, Expr::And));
        join(any, Expr::Or)
    }

    /// `None` for a text without a letter or digit, of which nothing is in any index.
    fn text(&mut self, text: Match) -> Option<Expr> {
        (text.text.contains(char::is_alphanumeric) && self.counts()).then_some(Expr::Text(text))
    }

    fn counts(&mut self) -> bool {
        self.terms += 1;
        if self.terms > MAX_TERMS {
            self.hint(format!("only the first {MAX_TERMS} words were read"));
        }
        self.terms <= MAX_TERMS
    }

    fn keyed(&mut self, name: &str, values: Vec<Match>, typed: String) -> Option<Expr> {
        let Some(key) = Key::from_name(name) else {
            let short: String = name.chars().take(40).collect();
            self.hint(format!("`{short}:` is no key, searched as text; keys are {}", Key::names()));
            return self.text(starred(&typed));
        };
        if values.is_empty() {
            self.hint(format!("`{typed}` has no value, as in {}", key.example()));
            return self.text(starred(&typed));
        }
        let mut any = Vec::new();
        for value in values {
            let expr = match key {
                _ if self.sets(key, &value) => None,
                key => match key.condition(&value) {
                    Some(expr) => self.counts().then_some(expr),
                    None => {
                        let short: String = value.text.chars().take(40).collect();
                        let name = name.to_ascii_lowercase();
                        self.hint(format!(
                            "`{short}` is no value of {name}, searched as text; it takes {}",
                            key.example()
                        ));
                        self.text(value)
                    }
                },
            };
            any.extend(expr);
        }
        join(any, Expr::Or)
    }

    /// `limit` and `sort` hold for the whole query, wherever they stand; the last one counts.
    fn sets(&mut self, key: Key, value: &Match) -> bool {
        match key {
            Key::Limit if !value.prefix => match values::limit(&value.text) {
                Some((limit, lowered)) => {
                    self.query.limit = limit;
                    if lowered {
                        self.hint(format!("the limit is {MAX_LIMIT} at most"));
                    }
                    true
                }
                None => false,
            },
            Key::Sort if !value.prefix => match values::sort(&value.text) {
                Some(sort) => {
                    self.query.sort = sort;
                    true
                }
                None => false,
            },
            _ => false,
        }
    }
}

fn join(mut parts: Vec<Expr>, how: fn(Vec<Expr>) -> Expr) -> Option<Expr> {
    if parts.len() > 1 { Some(how(parts)) } else { parts.pop() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The tree in short: `(a & b)`, `(a | b)`, `!a`, `roll=A*`.
    fn show(expr: &Expr) -> String {
        let all = |parts: &[Expr], mark: &str| format!("({})", parts.iter().map(show).collect::<Vec<_>>().join(mark));
        let text = |m: &Match| format!("{}{}", m.text, if m.prefix { "*" } else { "" });
        match expr {
            Expr::All => "all".into(),
            Expr::And(parts) => all(parts, " & "),
            Expr::Or(parts) => all(parts, " | "),
            Expr::Not(inner) => format!("!{}", show(inner)),
            Expr::Text(m) => text(m),
            Expr::Field(field, m) => format!("{field:?}={}", text(m)).to_lowercase(),
            Expr::Fps(rate) => format!("fps={}", rate.text()),
            Expr::Timecode(a, b) => format!("tc={a}..{b}"),
            Expr::Date(a, b) => format!("date={a:?}..{b:?}"),
            Expr::Is(state) => format!("is={state:?}"),
            Expr::Has(part) => format!("has={part:?}"),
        }
    }

    fn tree(text: &str) -> String {
        show(&parse(text).expr)
    }

    fn hints(text: &str) -> usize {
        parse(text).hints.len()
    }

    #[test]
    fn words_phrases_negation_and_stars() {
        assert_eq!(tree("sunset \"boom shadow\" -ng"), "(sunset & boom shadow & !ng)");
        assert_eq!(tree("A001* \"boom sh\"* -\"no good\""), "(A001* & boom sh* & !no good)");
        assert_eq!(tree("R1-AB a - b --c"), "(R1-AB & a & b & !c)");
        assert_eq!(tree("\u{201c}boom shadow\u{201d}"), "boom shadow");
    }

    #[test]
    fn or_binds_less_than_and_and_parentheses_group() {
        assert_eq!(tree("a b OR c"), "((a & b) | c)");
        assert_eq!(tree("a (b OR c) -(d e)"), "(a & (b | c) & !(d & e))");
        assert_eq!(tree("a AND NOT b | c or"), "((a & !b) | (c & or))");
    }

    #[test]
    fn loose_ends_are_forgiven() {
        for (text, expected) in [
            ("", "all"),
            ("  ", "all"),
            ("()", "all"),
            ("*", "all"),
            ("-", "all"),
            ("OR", "all"),
            ("\"\"", "all"),
            ("a OR", "a"),
            ("OR a", "a"),
            ("a)", "a"),
            ("((a", "a"),
            (") a (", "a"),
            ("\"open", "open"),
            ("a -", "a"),
            ("a OR OR b", "(a | b)"),
            ("-(", "all"),
            ("a ... b", "(a & b)"),
        ] {
            assert_eq!(tree(text), expected, "{text:?}");
            assert_eq!(hints(text), 0, "{text:?}");
        }
    }

    #[test]
    fn what_breaks_raw_full_text_search_is_plain_text_here() {
        for text in ["358", "a.b", "it's", "NEAR(a", "col:x", "a^2", "{x}", "x' OR 1=1 --", "\\", "%_", "01:02:03:04"] {
            parse(text);
        }
        assert_eq!(tree("01:02:03:04"), "01:02:03:04");
        assert_eq!(tree("it's.here"), "it's.here");
    }

    #[test]
    fn keys_take_any_of_their_values() {
        assert_eq!(tree("roll:A001*,\"B 002\" camera:a"), "((roll=a001* | roll=b 002) & camera=a)");
        assert_eq!(tree("tc:10:00:05:12"), "tc=10:00:05:12..10:00:05:12");
        assert_eq!(tree("tc:10:00..10:05:59;02"), "tc=10:00:00:00..10:05:59:02");
        assert_eq!((hints("tc:25:00"), hints("tc:x"), hints("tc:10:00:00:00:00")), (1, 1, 1));
        assert_eq!(tree("FPS:23.98,25"), "(fps=23.976 | fps=25)");
        assert_eq!(tree("is:unverified is:ok -has:Proxy"), "(is=Unproven & is=Media(Ok) & !has=Proxy)");
        assert_eq!(
            tree("path:/DAY03/ codec:prores card:A001 name:C002"),
            "(path=/day03/ & codec=prores & card=a001 & name=c002)"
        );
        assert_eq!(hints("roll:A001 date:2024-01-05..2024-01-07 is:safe has:sidecar"), 0);
    }

    #[test]
    fn limit_and_sort_hold_for_the_whole_query() {
        let q = parse("a (b limit:7 sort:-name)");
        assert_eq!((q.limit, q.sort), (7, Sort { key: super::super::SortKey::Name, descending: true }));
        assert_eq!(show(&q.expr), "(a & b)");
        let q = parse("limit:99999999999999999999");
        assert_eq!((q.limit, q.hints.len()), (MAX_LIMIT, 1));
        let q = parse("a");
        assert_eq!((q.limit, q.sort), (DEFAULT_LIMIT, Sort::default()));
    }

    #[test]
    fn an_unknown_key_is_text_with_a_hint() {
        let q = parse("weather:12A");
        assert_eq!(show(&q.expr), "weather:12A");
        assert!(q.hints[0].contains("`weather:`") && q.hints[0].contains("roll"));
    }

    #[test]
    fn a_bad_value_is_text_with_a_hint() {
        for (text, expected) in [
            ("fps:fast", "fast"),
            ("date:yesterday", "yesterday"),
            ("is:fine", "fine"),
            ("has:legs", "legs"),
            ("limit:0", "0"),
            ("limit:x", "x"),
            ("sort:mood", "mood"),
            ("fps:2*", "2*"),
            ("roll:", "roll:"),
            ("fps:25,fast", "(fps=25 | fast)"),
            ("limit:5*", "5*"),
        ] {
            assert_eq!((tree(text).as_str(), hints(text)), (expected, 1), "{text:?}");
        }
    }

    fn depth(expr: &Expr) -> usize {
        match expr {
            Expr::And(parts) | Expr::Or(parts) => 1 + parts.iter().map(depth).max().unwrap_or(0),
            Expr::Not(inner) => 1 + depth(inner),
            _ => 1,
        }
    }

    fn terms(expr: &Expr) -> usize {
        match expr {
            Expr::And(parts) | Expr::Or(parts) => parts.iter().map(terms).sum(),
            Expr::Not(inner) => terms(inner),
            _ => 1,
        }
    }

    #[test]
    fn depth_and_size_are_bounded() {
        for text in ["(".repeat(1000) + "a", "-(a b ".repeat(1500), "(a OR (b ".repeat(1000), "-".repeat(10_000)] {
            assert!(depth(&parse(&text).expr) <= 3 * (MAX_DEPTH + 1) + 1);
        }
        assert_eq!(tree(&("(".repeat(1000) + "a" + &")".repeat(1000) + " b")), "(a & b)");
        assert!(terms(&parse(&"a ".repeat(5000)).expr) <= MAX_TERMS);
        assert!(terms(&parse(&format!("roll:{}", "a,".repeat(4000))).expr) <= MAX_TERMS);
        assert_eq!(hints(&"x".repeat(10_001)), 1);
        assert!(
            parse(&(0..100).map(|n| format!("k{}:v ", "x".repeat(n))).collect::<String>()).hints.len() <= MAX_HINTS
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            parse(&text);
        }

        #[test]
        fn no_mix_of_its_own_marks_makes_it_panic(
            parts in proptest::collection::vec(
                prop::sample::select(vec![
                    "(", ")", "-", "\"", "*", " ", "OR", "AND", "NOT", ":", ",", "..", "roll:", "fps:", "date:", "is:", "has:",
                    "limit:", "sort:", "a", "2024-01-05", "23.976", "\u{e4}", "\0", "1", "/",
                ]),
                0..60,
            ),
        ) {
            let q = parse(&parts.concat());
            prop_assert!((1..=MAX_LIMIT).contains(&q.limit));
            prop_assert!(depth(&q.expr) <= 3 * (MAX_DEPTH + 1) + 1);
        }
    }
}
