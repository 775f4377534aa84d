//! What is numbered in a row: which numbers are not here, and how a loader is told.

use super::kind::folded;
use crate::card::warn::about;
use crate::clip::Warning;
use crate::relpath::RelPath;
use std::collections::BTreeSet;

/// The numbers that are not there, as ranges: between those that are, and from `first` up to them.
pub(super) fn holes(first: Option<u64>, have: impl IntoIterator<Item = u64>) -> Vec<(u64, u64)> {
    let have: BTreeSet<u64> = have.into_iter().collect();
    let (mut out, mut expected) = (Vec::new(), first);
    for n in have {
        if let Some(from) = expected.filter(|from| *from < n) {
            out.push((from, n - 1));
        }
        expected = n.checked_add(1);
    }
    out
}

/// `0003, 0005-0007 and 2 more`: a thousand gaps are still one line.
pub(super) fn ranges(holes: &[(u64, u64)], width: usize) -> String {
    const SHOWN: usize = 10;
    let one = |(a, b): &(u64, u64)| match a == b {
        true => format!("{a:0width$}"),
        false => format!("{a:0width$}-{b:0width$}"),
    };
    let shown: Vec<String> = holes.iter().take(SHOWN).map(one).collect();
    let more = holes.len().saturating_sub(SHOWN);
    match more {
        0 => shown.join(", "),
        _ => format!("{} and {more} more", shown.join(", ")),
    }
}

/// One warning a clip, by its first file that is here.
pub(super) fn missing(first: &RelPath, what: &str, holes: &[(u64, u64)]) -> Option<Warning> {
    let one = matches!(holes, [(a, b)] if a == b);
    let (s, is) = if one { ("", "is") } else { ("s", "are") };
    let says = format!(
        "is a part of a recording of which {what}{s} {} {is} not here: look for another card",
        ranges(holes, 1)
    );
    (!holes.is_empty()).then(|| about("missing-part", first, &says))
}

/// A number in a name; `None` for what is too long to count.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// One of the folders above a path has this name (in small letters).
pub(super) fn lies_in(relpath: &RelPath, folder: &str) -> bool {
    relpath.parent().segments().any(|s| folded(s) == folder.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_found_from_the_first_number_on() {
        assert_eq!(holes(Some(1), [1, 4, 2, 8]), [(3, 3), (5, 7)]);
        assert_eq!(holes(Some(1), [2, 3]), [(1, 1)]);
        assert!(holes(Some(3), [3, 4, 5]).is_empty() && holes(Some(1), []).is_empty());
        assert_eq!((holes(None, [3, 5]), holes(None, [u64::MAX])), (vec![(4, 4)], vec![]));
        assert_eq!(holes(Some(0), [u64::MAX]), [(0, u64::MAX - 1)]);
    }

    #[test]
    fn ten_ranges_are_told_and_the_rest_is_counted() {
        assert_eq!(ranges(&[(3, 3), (5, 7)], 4), "0003, 0005-0007");
        let many: Vec<_> = (0..14).map(|n| (n * 2, n * 2)).collect();
        assert_eq!(ranges(&many, 1), "0, 2, 4, 6, 8, 10, 12, 14, 16, 18 and 4 more");
    }

    #[test]
    fn a_missing_part_is_one_warning() {
        let first = RelPath::new("DCIM/GX010001.MP4").unwrap();
        let w = missing(&first, "chapter", &[(2, 3)]).unwrap();
        assert_eq!(w.id, "missing-part:DCIM/GX010001.MP4");
        assert!(w.text.contains("chapters 2-3 are not here"), "{}", w.text);
        assert!(missing(&first, "chapter", &[]).is_none());
    }
}
