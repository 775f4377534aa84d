//! The XML that cameras write beside and into their clips, and over a whole card: no bytes may panic, and a value is never
//! empty or endless.
#![no_main]
use goodgate::read::{canon_xml, mediapro, mentions, p2, sony_nrt};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = (mediapro::materials(bytes), mentions::elements(bytes), p2::clip(bytes));
    for facts in [sony_nrt::facts(bytes), p2::facts(bytes), canon_xml::facts(bytes)].into_iter().flatten() {
        assert!(facts.len() <= 200);
        assert!(facts.iter().all(|f| !f.value.is_empty() && f.value.len() <= 2000));
    }
});
