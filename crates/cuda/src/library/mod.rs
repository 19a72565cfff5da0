//! NVIDIA's libraries: kernels compiled by NVRTC, convolutions by cuDNN, matrix products by cuBLASLt. They are loaded at run
//! time, and a device without the last two computes by the kernels of this crate.

mod cublaslt;
mod cudnn;
mod nvrtc;

pub(crate) use cublaslt::{Lt, Matrix, Product, WORKSPACE};
pub use cudnn::ConvolutionReport;
pub(crate) use cudnn::{Addresses, ConvKind, Convolution, Dnn, Found, Tensor};
pub(crate) use nvrtc::compile;

/// What the libraries may choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Only what gives the same bits every time, without measuring.
    pub(crate) deterministic: bool,
    /// f32 operands may be rounded to TF32.
    pub(crate) tf32: bool,
}
