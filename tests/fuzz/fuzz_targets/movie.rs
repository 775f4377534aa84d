//! QuickTime and MP4 with all that makers hide in them, Blackmagic RAW among them: nothing panics, every value has its form.
#![no_main]
#[path = "../forms.rs"]
mod forms;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| forms::check("a.mov", bytes));
