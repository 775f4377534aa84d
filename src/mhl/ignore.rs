//! Ignore patterns: one gitignore line each, matched on the path relative to the history's root.

use crate::relpath::RelPath;
use ::ignore::gitignore::{Gitignore, GitignoreBuilder};

/// Always in force, and always written first and in this order, as the reference tool does.
pub const DEFAULTS: [&str; 3] = [".DS_Store", "ascmhl", "ascmhl/"];

/// More lines than any real history has; a foreign manifest may not make us compile a million globs.
const MOST: usize = 1000;

#[derive(Clone, Debug)]
pub struct Patterns {
    lines: Vec<String>,
    globs: Gitignore,
    /// Lines that are no gitignore pattern; kept in the list, matching nothing.
    pub(crate) bad: Vec<String>,
}

impl Patterns {
    /// The defaults, then `lines` in their order, each once.
    pub fn new<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all: Vec<String> = DEFAULTS.map(String::from).to_vec();
        for line in lines {
            if !line.trim().is_empty() && !all.iter().any(|l| l == line) {
                all.push(line.to_owned());
            }
        }
        let mut builder = GitignoreBuilder::new("");
        let mut bad = all[all.len().min(MOST)..].to_vec();
        // The defaults hold by name, whatever the lines say: most histories have no glob at all.
        for line in all.iter().take(MOST).skip(DEFAULTS.len()) {
            if builder.add_line(None, line).is_err() {
                bad.push(line.clone());
            }
        }
        let globs = builder.build().unwrap_or_else(|_| {
            bad = all.clone();
            Gitignore::empty()
        });
        Patterns { lines: all, globs, bad }
    }

    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Nothing below an ignored folder comes back, whatever `!` says: so git has it.
    pub fn ignores(&self, relpath: &RelPath, is_dir: bool) -> bool {
        let is_default = |s: &[u8]| s == b"ascmhl" || s == b".DS_Store";
        relpath.segments().any(is_default)
            || !self.globs.is_empty()
                && (relpath.ancestors().iter().any(|a| self.globs.matched(a.as_path(), true).is_ignore())
                    || self.globs.matched(relpath.as_path(), is_dir).is_ignore())
    }

    /// The same for an entry whose folders are known not to be ignored.
    pub(crate) fn ignores_entry(&self, relpath: &RelPath, is_dir: bool) -> bool {
        let name = relpath.name();
        name == b"ascmhl" || name == b".DS_Store" || self.globs.matched(relpath.as_path(), is_dir).is_ignore()
    }

    /// Those that hold below `child` too: unanchored ones as they are, anchored ones only when they point into it.
    pub(crate) fn carried_into(&self, child: &RelPath) -> Vec<String> {
        let Some(child) = child.as_portable() else { return Vec::new() };
        let carry = |line: &String| {
            let (not, body) = line.strip_prefix('!').map_or(("", line.as_str()), |b| ("!", b));
            if !body.trim_end_matches('/').contains('/') {
                return Some(line.clone());
            }
            let below = body.trim_start_matches('/').strip_prefix(child)?.strip_prefix('/')?;
            (!below.is_empty()).then(|| format!("{not}/{below}"))
        };
        self.lines.iter().filter_map(carry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rel(p: &str) -> RelPath {
        RelPath::new(p).unwrap()
    }

    #[test]
    fn the_defaults_hold_even_when_a_manifest_drops_or_negates_them() {
        let p = Patterns::new(["!ascmhl", "!.DS_Store"]);
        assert_eq!(p.lines()[..3], DEFAULTS);
        for path in ["ascmhl", "ascmhl/x", "a/ascmhl/x", ".DS_Store", "a/.DS_Store"] {
            assert!(p.ignores(&rel(path), false), "{path}");
        }
        assert!(!p.ignores(&rel("a/x.ascmhl"), false));
    }

    #[test]
    fn anchors_folders_and_exceptions_follow_gitignore() {
        let p = Patterns::new(["tmp", "/top.txt", "only/", "a/*.log", "!a/keep.log", "!tmp/x"]);
        let cases = [("a/tmp/x", true), ("tmp/x", true), ("top.txt", true), ("a/top.txt", false), ("only", false)];
        for (path, ignored) in cases.into_iter().chain([("only/x", true), ("a/b.log", true), ("a/keep.log", false)]) {
            assert_eq!(p.ignores(&rel(path), false), ignored, "{path}");
        }
        assert!(p.ignores(&rel("only"), true));
    }

    #[test]
    fn a_broken_pattern_matches_nothing_and_is_named() {
        let p = Patterns::new(["a{b", "x"]);
        assert!(p.ignores(&rel("x"), false));
        assert!(p.lines().contains(&"a{b".to_owned()));
    }

    #[test]
    fn a_nested_history_gets_the_patterns_that_concern_it() {
        let p = Patterns::new(["*.tmp", "/A002/x.txt", "/A003/x.txt", "notes.txt"]);
        assert_eq!(p.carried_into(&rel("A002"))[3..], ["*.tmp", "/x.txt", "notes.txt"]);
    }
}
