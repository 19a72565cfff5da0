//! The CPU backend of ferrotape: matrixmultiply, rayon and hand-written kernels.

mod alloc;
mod kernels;
mod level;
mod memory;
mod team;

pub use level::{LEVEL_VARIABLE, Level};
