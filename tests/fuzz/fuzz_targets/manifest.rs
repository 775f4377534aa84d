//! A manifest of ASC MHL (read here as a packing list, by the same parser): what is accepted stays below the root.
#![no_main]
use goodgate::mhl::Packing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(list) = Packing::read(bytes) {
        for path in list.paths() {
            assert!(!path.is_root() && path.segments().all(|s| s != b".." && s != b"."));
        }
    }
});
