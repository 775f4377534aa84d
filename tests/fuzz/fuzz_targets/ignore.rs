//! Ignore patterns of others: lines, then an empty line, then a path.
#![no_main]
use goodgate::mhl::Patterns;
use goodgate::relpath::RelPath;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (lines, path) = text.rsplit_once("\n\n").unwrap_or((text, "a/b.c"));
    let patterns = Patterns::new(lines.lines());
    if let Ok(path) = RelPath::new(path) {
        for is_dir in [false, true] {
            let own = patterns.ignores(&path, is_dir);
            // The defaults hold whatever the lines say.
            assert!(own || path.segments().all(|s| s != b"ascmhl"));
        }
    }
});
