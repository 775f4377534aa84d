//! What goes to stdout: data, and nothing else. One object with `--json`, lines without.

use super::report::Failure;
use goodgate::relpath::escape;
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Stdout. A reader that went away ends the output and is no error; any other fault is told at the end.
#[derive(Clone)]
pub struct Out {
    json: bool,
    colours: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    closed: bool,
    fault: Option<io::Error>,
}

impl Out {
    pub fn new(json: bool) -> Self {
        Out { json, colours: colours(io::stdout().is_terminal()), state: Arc::default() }
    }

    pub fn json(&self) -> bool {
        self.json
    }

    /// One line for a person; none with `--json`.
    pub fn line(&self, text: impl AsRef<str>) {
        if !self.json {
            self.write(&format!("{}\n", shown(text.as_ref())));
        }
    }

    /// A verdict: its words say it, the colour repeats it.
    pub fn verdict(&self, safe: bool, text: &str) {
        let text = shown(text);
        match (self.json, self.colours) {
            (true, _) => {}
            (_, false) => self.write(&format!("{text}\n")),
            (_, true) => self.write(&format!("\x1b[1;{}m{text}\x1b[0m\n", if safe { 32 } else { 31 })),
        }
    }

    /// The one object of `--json`; nothing without.
    pub fn object(&self, value: &impl Serialize) -> serde_json::Result<()> {
        if self.json {
            self.write(&format!("{}\n", serde_json::to_string(value)?));
        }
        Ok(())
    }

    /// Columns in line, for a person.
    pub fn table<const N: usize>(&self, head: [&str; N], rows: &[[String; N]]) {
        if self.json {
            return;
        }
        let head = head.map(String::from);
        let rows: Vec<_> = std::iter::once(&head).chain(rows).map(|row| row.each_ref().map(|c| shown(c))).collect();
        let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
        let widths: [usize; N] = std::array::from_fn(width);
        for row in &rows {
            let cells: Vec<String> = row.iter().zip(widths).map(|(c, w)| format!("{c:w$}")).collect();
            self.write(&format!("{}\n", cells.join("  ").trim_end()));
        }
    }

    /// Cells that are escaped already, with tabs between.
    pub fn tabs(&self, cells: impl Iterator<Item = String>) {
        if !self.json {
            self.write(&format!("{}\n", cells.collect::<Vec<_>>().join("\t")));
        }
    }

    /// The failure's object on stdout with `--json`, else its lines on stderr.
    pub fn failure(&self, failure: &Failure) {
        if self.object(&failure.json()).is_ok() && self.json {
            return;
        }
        complain(&format!("error: {}", failure.error));
        if let Some(hint) = &failure.hint {
            complain(&format!("hint: {hint}"));
        }
    }

    pub fn finish(&self) -> io::Result<()> {
        match self.state.lock().unwrap_or_else(PoisonError::into_inner).fault.take() {
            Some(e) => Err(io::Error::new(e.kind(), format!("cannot write the result to stdout: {e}"))),
            None => Ok(()),
        }
    }

    /// A document of its own, as it is; it takes the place of all other output.
    pub fn document(&self, text: &str) {
        self.write(text);
    }

    fn write(&self, text: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return;
        }
        let mut stdout = io::stdout().lock();
        if let Err(e) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            state.closed = true;
            state.fault = (e.kind() != ErrorKind::BrokenPipe).then_some(e);
        }
    }
}

/// One line on stderr. Nobody can be told when that fails.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", shown(text));
}

/// Names come from cards: they may not move the cursor or break a line.
pub fn shown(text: &str) -> Cow<'_, str> {
    escape(text.as_bytes())
}

pub fn colours_err() -> bool {
    colours(io::stderr().is_terminal())
}

fn colours(terminal: bool) -> bool {
    let no = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    terminal && !no && !dumb()
}

pub fn dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|t| t == "dumb")
}

/// `0:07`, `12:30`, `1:02:03`
pub fn clock(secs: u64) -> String {
    let (h, m, s) = (secs / 3600, secs / 60 % 60, secs % 60);
    if h > 0 { format!("{h}:{m:02}:{s:02}") } else { format!("{m}:{s:02}") }
}

/// `1 file`, `2 files`
pub fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_move_the_cursor() {
        assert_eq!(shown("a\x1b[2Jb\nc\r"), "a\\x1b[2Jb\\x0ac\\x0d");
        assert_eq!(shown(&shown("x\ny")), "x\\x0ay", "escaping twice changes nothing");
    }

    #[test]
    fn times_are_read_at_a_glance() {
        assert_eq!([0, 7, 750, 3723].map(clock), ["0:00", "0:07", "12:30", "1:02:03"]);
    }
}
