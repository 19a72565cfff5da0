//! The CUDA backend of ferrotape.
mod args;
mod backend;
mod cuda;
#[cfg(feature = "emulator")]
mod emulator;
mod gpu;
mod graph;
mod images;
mod kernel;
mod library;
mod machine;
mod memory;
mod pool;
mod probe;
mod queue;
mod staging;
mod verbs;
mod walk;

pub use cuda::{Cuda, CudaOptions};
#[cfg(feature = "emulator")]
pub use emulator::{compile, emulated};
pub use probe::{CudaReport, GpuReport, LibraryReport, probe};
