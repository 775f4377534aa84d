//! Frames and MXF: DNG, DPX, OpenEXR, ARRIRAW, ALEXA's documents. The first bytes choose the parser.
#![no_main]
#[path = "../forms.rs"]
mod forms;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| forms::check("a.mxf", bytes));
