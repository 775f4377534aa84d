//! The header of RED's R3D: nothing panics, and every value has the form of its field.
#![no_main]
#[path = "../forms.rs"]
mod forms;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| forms::check("a.r3d", bytes));
