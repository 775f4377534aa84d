//! LUTs and lists of corrections: no bytes may panic; a LUT is whole and finite, and no correction is out of bounds.
#![no_main]
use goodgate::preset::look::CDL_FILES;
use goodgate::read::{cdl, cube};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(cube) = cube::parse(bytes) {
        assert_eq!(cube.values.len(), cube.size.pow(3));
        assert!(cube.values.iter().flatten().all(|v| v.is_finite()));
        assert!((0..3).all(|c| cube.min[c] < cube.max[c]));
    }
    for kind in CDL_FILES {
        if let Ok(list) = cdl::parse(kind, bytes) {
            assert!(!list.all.is_empty() && list.all.iter().all(|c| c.cdl.problem().is_none()));
            list.of(&["A001C001_180327_R1ZA.mov", ""], Some("A001"));
        }
    }
});
