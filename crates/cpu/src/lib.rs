//! The CPU backend of ferrotape.
//!
//! [`Cpu`] implements the [`Backend`](ferrotape_backend::Backend) trait: matrix products by
//! matrixmultiply, threads by rayon, memory from a caching allocator, and kernels that are compiled
//! for several [levels](Level) of vector instructions, of which the machine's best is taken at run
//! time.
//!
//! Work is cut by the size of a problem alone and partial sums are added in a fixed order: the
//! same operands give the same bits with any number of threads.

mod alloc;
mod backend;
mod cpu;
mod kernels;
mod level;
mod memory;
mod team;
mod verbs;
mod walk;

pub use cpu::{Cpu, CpuOptions};
pub use level::{LEVEL_VARIABLE, Level};
