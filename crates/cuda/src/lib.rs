//! The CUDA backend of ferrotape: the `Backend` trait on an NVIDIA GPU.
//!
//! Nothing of CUDA is needed to build this crate: the driver, NVRTC, cuDNN and cuBLASLt (CUDA 12 or 13) are
//! loaded when a device is opened, and [`probe`] says what was found. The first two are necessary; without the
//! others this crate's own kernels do their work. Kernels are CUDA C++ texts in `kernels/`, compiled for the
//! GPU at hand when they are first launched; element-wise programs are compiled to kernels of their own.
//!
//! ```
//! use ferrotape_backend::{Array, Device};
//! use ferrotape_cuda::{Cuda, CudaOptions};
//!
//! match Cuda::new(CudaOptions::default()) {
//!     Ok(cuda) => {
//!         let device = Device::new(cuda);
//!         let x = Array::from_slice(&device, &[1.0f32, 2.0], [2])?;
//!         assert_eq!(x.copy()?.to_vec::<f32>()?, [1.0, 2.0]);
//!     }
//!     Err(missing) => println!("{missing}"),
//! }
//! # Ok::<(), ferrotape_backend::Error>(())
//! ```
//!
//! # Features
//! `emulator`: the kernels compiled by the host's C++ compiler and run on the host, block by block, by
//! `emulated`. It is slow and for tests: the same texts pass the conformance kit on machines without a GPU.

mod args;
mod backend;
mod cuda;
#[cfg(feature = "emulator")]
mod emulator;
mod fit;
mod gpu;
mod graph;
mod images;
mod kernel;
mod library;
mod machine;
mod memory;
#[cfg(test)]
mod notebook;
mod pool;
mod probe;
mod queue;
mod staging;
mod stopwatch;
mod verbs;
mod walk;

pub use cuda::{Cuda, CudaOptions};
#[cfg(feature = "emulator")]
pub use emulator::{compile, emulated};
pub use library::ConvolutionReport;
pub use probe::{CudaReport, GpuReport, LibraryReport, probe};
pub use queue::KernelTime;
