//! The chain of a history: no bytes may panic, and what is accepted names files beside the chain only.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(names) = goodgate::mhl::chain_names(bytes) {
        assert!(names.iter().all(|n| n.segments().count() == 1));
    }
});
