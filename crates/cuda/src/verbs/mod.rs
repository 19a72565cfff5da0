//! The verbs: a file a family, beside the file of its kernels in `kernels/`.

pub(crate) mod conv;
mod conv_dnn;
mod conv_product;
pub(crate) mod copy;
pub(crate) mod gemm;
pub(crate) mod index;
pub(crate) mod norm;
pub(crate) mod pointwise;
pub(crate) mod pool;
pub(crate) mod random;
pub(crate) mod reduce;
pub(crate) mod resample;
pub(crate) mod softmax;
pub(crate) mod transfer;
pub(crate) mod ways;
