//! A whole history with a chain that fits: the manifest's bytes are the input, and a folder is verified by them. Nothing
//! may panic, and nothing outside the folder may be found.
#![no_main]
use goodgate::disk::Root;
use goodgate::mhl::{self, Reading};
use goodgate::progress::Silent;
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;

thread_local!(static PLACE: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) });

fuzz_target!(|bytes: &[u8]| {
    PLACE.with_borrow_mut(|place| {
        let place = place.get_or_insert_with(|| {
            let place = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(place.path().join("d/ascmhl")).unwrap();
            std::fs::create_dir_all(place.path().join("d/Clips")).unwrap();
            std::fs::write(place.path().join("d/Clips/a.mov"), "hello").unwrap();
            std::fs::write(place.path().join("outside"), "secret").unwrap();
            place
        });
        let root = Root::open(&place.path().join("d")).unwrap();
        std::fs::write(place.path().join("d/ascmhl/0001.mhl"), bytes).unwrap();
        std::fs::write(place.path().join("d/ascmhl/ascmhl_chain.xml"), mhl::chain_of("0001.mhl", bytes)).unwrap();
        let report = mhl::verify(&root, Reading { fs_type: "tmpfs", lanes: 1 }, &Silent);
        let lists = [&report.altered, &report.missing, &report.missing_dirs, &report.new];
        assert!(lists.into_iter().flatten().all(|p| p.segments().all(|s| s != b"..")));
        assert!(report.files <= 1);
        mhl::flatten(&root, &mhl::Creator::default(), Default::default()).ok();
    });
});
