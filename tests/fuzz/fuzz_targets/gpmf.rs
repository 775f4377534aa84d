//! GoPro's telemetry by itself: nothing panics, and every value has the form of its field.
#![no_main]
#[path = "../forms.rs"]
mod forms;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| forms::hold(&goodgate::read::gpmf::facts(bytes)));
