//! The sheets and texts beside clips, and the packs in a camcorder's stream: no bytes may panic, and a value is never
//! empty or endless.
#![no_main]
use goodgate::fact::Fact;
use goodgate::read::{ale, braw_sidecar, csv_meta, dji_srt, mdpm};
use goodgate::timecode::FrameRate;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut all: Vec<Vec<Fact>> = vec![dji_srt::facts(bytes)];
    all.extend([csv_meta::facts(bytes), braw_sidecar::facts(bytes), braw_sidecar::listing_facts(bytes)].into_iter().flatten());
    if let Some(ale) = ale::rows(bytes) {
        assert!(ale::names(&ale).len() <= ale.rows.len());
        all.extend(ale.rows.iter().take(50).map(|row| ale::facts(row, ale.fps)));
    }
    let rate = FrameRate::new(30_000, 1001);
    all.push(mdpm::facts(bytes, rate));
    all.extend(mdpm::find(bytes).map(|packs| mdpm::facts(&packs, rate)));
    for fact in all.iter().flatten() {
        assert!(!fact.value.is_empty() && fact.value.len() <= 2000);
    }
});
