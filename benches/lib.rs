//! Shared parts of the benchmarks.
//!
//! A benchmark program is a file in the folder `benches` beside this one, with a `[[bench]]` entry
//! in the manifest; `cargo xtask bench` finds it through criterion. Its rows are those of a
//! [`Session`]: each has a name, the [`Work`] of one iteration, a setup that runs only if the row
//! does, and a step that is timed.
//!
//! | rows | what is measured |
//! | --- | --- |
//! | `infer/<model>/b<batch>/<dtype>` | a forward pass in evaluation mode, without gradients |
//! | `train/<model>/b<batch>/<dtype>` | forward, cross entropy, backward, a step of SGD with momentum |
//! | `conv2d/<model>.<layer>/b<batch>/<dtype>/<direction>` | the verbs of convolution |
//! | `linear/<model>.<layer>/b<batch>/<dtype>/<direction>` | matrix products as linear layers have them |
//! | `gemm/n<size>/<dtype>` | a square matrix product |
//! | `pool/..`, `norm/..`, `pointwise/..`, `softmax/..` | the other verbs at the shapes of the zoo |
//! | `optim/<rule>/<model>` | an optimizer's step |
//! | `tape/..` | what recording costs, by the operation |
//! | `loader/..` | batches from a dataset |
//! | `ceiling/..` | what this machine can do at all |
//!
//! What a row declares as its throughput is what its rate is counted in. `Throughput::Elements`
//! means images under `train/`, `infer/` and `loader/`, recorded operations under `tape/`, and
//! floating-point operations elsewhere; `Throughput::Bytes` means memory traffic.
//!
//! The variables that `cargo xtask bench` hands on are [`device::THREADS`], [`device::NAME`] and
//! [`facts::FILE`].

pub mod ceilings;
pub mod device;
pub mod facts;
pub mod memory;
pub mod rows;
mod session;
pub mod shapes;
pub mod zoo;

pub use facts::Work;
pub use session::{Run, Session};
