//! The command as its users meet it: what it prints, what it writes, how it refuses.

#[cfg(unix)]
mod bad_input;
mod choosing;
mod determinism;
mod digits;
#[cfg(target_os = "linux")]
mod faults;
mod looking;
mod models;
mod pictures;
mod refusals;
mod runs;
mod support;
mod training;
mod weights;
