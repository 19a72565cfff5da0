//! The target `run_folder` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ferrotape_fuzz::run_folder(bytes));
