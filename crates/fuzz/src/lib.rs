//! Fuzz targets as ordinary functions: each takes bytes from anywhere, and panics where a promise is broken.
//!
//! The crate under `fuzz/` runs them with libFuzzer, and a test here runs them on every case that is kept.
//!
//! ```
//! ferrotape_fuzz::idx(b"no IDX file");
//! assert!(ferrotape_fuzz::TARGETS.iter().any(|target| target.name == "idx"));
//! ```

mod checkpoint;
mod cifar;
mod config;
mod conv;
mod draw;
mod fixtures;
mod gradients;
mod idx;
mod memory;
mod onnx;
mod operators;
mod optimizers;
mod picture;
mod place;
mod pool;
mod programs;
mod pth;
mod run_folder;
mod safetensors;
mod state;
mod table;
mod tape;
mod verdict;

pub use checkpoint::checkpoint;
pub use cifar::cifar;
pub use config::config;
pub use conv::conv;
pub use fixtures::fixtures;
pub use gradients::gradients;
pub use idx::idx;
pub use onnx::onnx;
pub use operators::operators;
pub use optimizers::optimizers;
pub use picture::picture;
pub use pool::pool;
pub use programs::programs;
pub use pth::pth;
pub use run_folder::run_folder;
pub use safetensors::safetensors;
pub use table::{TARGETS, Target};
