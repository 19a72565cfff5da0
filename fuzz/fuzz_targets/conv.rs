//! The target `conv` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ferrotape_fuzz::conv(bytes));
