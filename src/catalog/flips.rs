//! Files with flipped and garbled bytes.

use super::tests::*;
use super::*;
use crate::clip::{CardId, Warning};
use crate::evidence::Evidence;
use crate::query::Query;
use proptest::prelude::*;
use std::sync::LazyLock;

/// The file of a station with all kinds of rows, and its evidence.
static WHOLE: LazyLock<(Vec<u8>, CardId, Evidence)> = LazyLock::new(|| {
    let mut s = Station::offloaded();
    s.cat.raise_warning(s.card, &Warning { id: "w".into(), text: "t".into() }, at(1)).unwrap();
    s.cat.card_seen(s.card, at(2), true, None).unwrap();
    s.cat.set_listed_twice(s.card, true).unwrap();
    let dest = s.dir.path().join("c.db");
    s.cat.backup(&dest).unwrap();
    (std::fs::read(dest).unwrap(), s.card, s.cat.evidence(s.card).unwrap())
});

/// Flipped bytes may lose evidence or make an error, never add to it unseen.
fn look(bytes: &[u8]) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.db");
    std::fs::write(&path, bytes).unwrap();
    let Ok(cat) = Catalog::open(&path) else { return Ok(()) };
    // No answer of these matters here; none may panic.
    let _ = (cat.jobs(), cat.volumes(), cat.check(), cat.find(&Query::parse("a001")), cat.cards());
    let _ = (cat.file_records(WHOLE.1), cat.custody(WHOLE.1), cat.due(9, None, &DueFilter::default()));
    let (good, Ok(now)) = (&WHOLE.2, cat.evidence(WHOLE.1)) else { return Ok(()) };
    if !now.catalog_sound {
        return Ok(());
    }
    if now.warnings != good.warnings || now.card != good.card || now.relaxed != good.relaxed {
        return Err(format!("card: {now:?}"));
    }
    if now.files.len() != good.files.len() || now.copy_roots.iter().any(|r| !good.copy_roots.contains(r)) {
        return Err(format!("roots: {now:?}"));
    }
    for file in now.files.iter().filter(|f| f.row_intact) {
        let Some(was) = good.files.iter().find(|g| g.relpath == file.relpath) else {
            return Err(format!("file: {file:?}"));
        };
        let copies = file.copies.iter().filter(|c| c.row_intact);
        if file.equal_reads != was.equal_reads || { copies }.any(|c| !was.copies.contains(c)) {
            return Err(format!("file: {file:?}"));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_flipped_bit_of_the_file_adds_evidence(place in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut bytes = WHOLE.0.clone();
        // Most of the file is empty space; the bits that are set are where something is stored.
        let used: Vec<usize> = (0..bytes.len()).filter(|i| bytes[*i] != 0).collect();
        let at = *place.get(&used);
        bytes[at] ^= 1 << bit;
        prop_assert_eq!(look(&bytes), Ok(()));
    }

    #[test]
    fn no_garbled_run_of_the_file_makes_a_panic(
        place in any::<prop::sample::Index>(),
        run in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        let mut bytes = WHOLE.0.clone();
        let at = place.index(bytes.len() - run.len());
        bytes[at..at + run.len()].copy_from_slice(&run);
        prop_assert_eq!(look(&bytes), Ok(()));
    }
}
