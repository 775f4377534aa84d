//! The XML that cameras write beside and into their clips: no bytes may panic, and a value is never empty or endless.
#![no_main]
use goodgate::read::{clip_main, sony_nrt};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for facts in [sony_nrt::facts(bytes), clip_main::facts(bytes)].into_iter().flatten() {
        assert!(facts.len() <= 200);
        assert!(facts.iter().all(|f| !f.value.is_empty() && f.value.len() <= 2000));
    }
});
