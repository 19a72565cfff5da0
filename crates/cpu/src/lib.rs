//! The CPU backend of ferrotape.
//!
//! [`Cpu`] implements the [`Backend`](ferrotape_backend::Backend) trait: matrix products by
//! matrixmultiply, threads by rayon, memory from a caching allocator, and kernels that are compiled
//! for several [levels](Level) of vector instructions, of which the machine's best is taken at run
//! time.
//!
//! Work is cut by the size of a problem alone and partial sums are added in a fixed order: the
//! same operands give the same bits with any number of threads.
//!
//! ```
//! use ferrotape_backend::{Array, Device};
//! use ferrotape_cpu::{Cpu, CpuOptions};
//!
//! let product = |threads| {
//!     let options = CpuOptions { threads: Some(threads), ..CpuOptions::default() };
//!     let device = Device::new(Cpu::new(options)?);
//!     let a = Array::from_f64(&device, &[0.1; 6], ferrotape_backend::DType::F32, [1, 2, 3])?;
//!     let mut c = Array::zeros(&device, a.dtype(), [1, 2, 2])?;
//!     device.backend().gemm(&a, &a.reshape([1, 3, 2])?, &mut c, false)?;
//!     c.to_vec::<f32>()
//! };
//! assert_eq!(product(1)?, product(2)?);
//! # Ok::<(), ferrotape_backend::Error>(())
//! ```
//!
//! Most programs open it by name, through the crate `ferrotape`: `Device::open("cpu")`. The
//! environment variable [`FERROTAPE_CPU`](LEVEL_VARIABLE) chooses a level below the machine's best.

mod alloc;
mod backend;
mod cpu;
mod kept;
mod kernels;
mod level;
mod memory;
mod team;
mod verbs;
mod walk;

pub use cpu::{Cpu, CpuOptions};
pub use level::{LEVEL_VARIABLE, Level};
