//! Rust source as the paths it names: enough of a reader for the floors, not a parser.

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    /// `::`
    Path,
    Sign(char),
}

/// The code without comments and the insides of literals.
fn tokens(code: &str) -> Vec<(Token, usize)> {
    let c: Vec<char> = code.chars().collect();
    let (mut i, mut line, mut out) = (0, 1, Vec::new());
    let at = |i: usize| c.get(i).copied().unwrap_or('\0');
    let is_word = |x: char| x.is_alphanumeric() || x == '_';
    while i < c.len() {
        let start = i;
        match c[i] {
            '/' if at(i + 1) == '/' => {
                while i < c.len() && c[i] != '\n' {
                    i += 1
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => {
                            depth += 1;
                            i += 2
                        }
                        ('*', '/') => {
                            depth -= 1;
                            i += 2
                        }
                        _ => i += 1,
                    }
                    if depth == 0 || i >= c.len() {
                        break;
                    }
                }
            }
            '"' => i = after_string(&c, i),
            // A character, or a lifetime: that has no closing quote.
            '\'' if at(i + 1) == '\\' => {
                i += 3;
                while i < c.len() && c[i] != '\'' {
                    i += 1
                }
                i += 1;
            }
            '\'' if at(i + 2) == '\'' => i += 3,
            x if is_word(x) => {
                while is_word(at(i)) {
                    i += 1
                }
                let word: String = c[start..i].iter().collect();
                let hashes = c[i..].iter().take_while(|x| **x == '#').count();
                if matches!(&word[..], "r" | "br" | "cr") && at(i + hashes) == '"' {
                    i = after_raw_string(&c, i + hashes, hashes);
                } else if word == "r" && hashes == 1 {
                    i += 1;
                } else {
                    out.push((Token::Word(word), line));
                }
            }
            ':' if at(i + 1) == ':' => {
                out.push((Token::Path, line));
                i += 2;
            }
            x => {
                if !x.is_whitespace() {
                    out.push((Token::Sign(x), line))
                }
                i += 1;
            }
        }
        line += c[start..i.min(c.len())].iter().filter(|x| **x == '\n').count();
    }
    out
}

fn after_string(c: &[char], mut i: usize) -> usize {
    i += 1;
    while i < c.len() && c[i] != '"' {
        i += if c[i] == '\\' { 2 } else { 1 }
    }
    i + 1
}

fn after_raw_string(c: &[char], mut i: usize, hashes: usize) -> usize {
    i += 1;
    while i < c.len() && !(c[i] == '"' && c[i + 1..].iter().take(hashes).filter(|x| **x == '#').count() == hashes) {
        i += 1;
    }
    i + 1 + hashes
}

/// One path as the code names it, groups of `use` taken apart: `std::fs::copy`.
#[derive(Debug)]
pub struct Named {
    pub path: Vec<String>,
    pub line: usize,
    pub in_test: bool,
    /// Modules around it inside the file.
    pub depth: usize,
    /// The sign after it, for macros.
    pub next: Option<char>,
}

pub fn named(code: &str) -> Vec<Named> {
    let tokens = tokens(code);
    let mut out = Vec::new();
    // Open braces: what each is of.
    let mut open: Vec<(bool, bool)> = Vec::new();
    let mut i = 0;
    let word = |i: usize| match tokens.get(i) {
        Some((Token::Word(w), _)) => Some(&w[..]),
        _ => None,
    };
    let sign = |i: usize| match tokens.get(i) {
        Some((Token::Sign(s), _)) => Some(*s),
        _ => None,
    };
    let mut test_next = false;
    while i < tokens.len() {
        let in_test = open.iter().any(|(_, test)| *test);
        if sign(i) == Some('#') && sign(i + 1) == Some('[') && word(i + 2) == Some("cfg") && word(i + 4) == Some("test")
        {
            test_next = true;
        }
        match &tokens[i].0 {
            Token::Sign('{') if !(i > 0 && word(i - 1) == Some("use")) => {
                let is_mod = i >= 2 && word(i - 2) == Some("mod");
                open.push((is_mod, std::mem::take(&mut test_next)));
                i += 1;
            }
            Token::Sign(s) if *s != '{' => {
                match s {
                    '}' => drop(open.pop()),
                    ';' => test_next = false,
                    _ => {}
                }
                i += 1;
            }
            _ => {
                let is_use = i > 0 && word(i - 1) == Some("use");
                // A field or method is no path.
                let is_member = i > 0 && sign(i - 1) == Some('.') && !(i > 1 && sign(i - 2) == Some('.'));
                let mut found = Vec::new();
                let start = i;
                i = if is_use {
                    use_tree(&tokens, i, &mut Vec::new(), &mut found)
                } else {
                    let mut path = Vec::new();
                    while let Some((token, _)) = tokens.get(i) {
                        match token {
                            Token::Path => i += 1,
                            Token::Word(w) if i == start || tokens[i - 1].0 == Token::Path => {
                                path.push(w.clone());
                                i += 1;
                            }
                            _ => break,
                        }
                    }
                    found.push((path, tokens[start].1));
                    i
                };
                let depth = open.iter().filter(|(is_mod, _)| *is_mod).count();
                let in_test = in_test || (test_next && is_use);
                let next = sign(i);
                if !is_member {
                    out.extend(found.into_iter().map(|(path, line)| Named { path, line, in_test, depth, next }));
                }
            }
        }
    }
    out
}

/// `a::{b, c::d}` -> `a::b`, `a::c::d`. Returns the place after it.
fn use_tree(
    tokens: &[(Token, usize)],
    mut i: usize,
    above: &mut Vec<String>,
    out: &mut Vec<(Vec<String>, usize)>,
) -> usize {
    let kept = above.len();
    let mut done = false;
    while let Some((token, line)) = tokens.get(i) {
        match token {
            Token::Word(w) if w == "as" => i += 1,
            Token::Word(w) => {
                if i == 0 || !matches!(&tokens[i - 1].0, Token::Word(before) if before == "as") {
                    above.push(w.clone())
                }
            }
            Token::Path => {}
            Token::Sign('*') => above.push("*".into()),
            Token::Sign('{') => {
                i += 1;
                while !matches!(tokens.get(i), None | Some((Token::Sign('}'), _))) {
                    i = use_tree(tokens, i, above, out);
                    if matches!(tokens.get(i), Some((Token::Sign(','), _))) {
                        i += 1
                    }
                }
                done = true;
            }
            Token::Sign(_) => {
                if !done {
                    out.push((above.clone(), *line))
                }
                break;
            }
        }
        i += 1;
    }
    above.truncate(kept);
    i
}
