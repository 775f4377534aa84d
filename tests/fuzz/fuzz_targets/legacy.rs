//! Legacy MHL in any encoding.
#![no_main]
use goodgate::mhl::Legacy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some(list)) = Legacy::read(bytes) {
        for path in list.paths() {
            assert!(!path.is_root() && path.segments().all(|s| s != b".." && s != b"."));
        }
    }
});
