//! The command as its users meet it: what it prints, what it writes, how it refuses.

mod choosing;
mod digits;
mod looking;
mod models;
mod pictures;
mod refusals;
mod runs;
mod support;
mod training;
mod weights;
