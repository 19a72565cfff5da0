//! The verbs of the `Backend` trait: operands checked, opened and brought into the form that the
//! [kernels](crate::kernels) take, work cut into tasks.

pub(crate) mod conv;
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
