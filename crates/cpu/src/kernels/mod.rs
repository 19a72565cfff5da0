//! Inner loops, compiled once for each [level](crate::Level). The only modules, next to the
//! allocator, that contain `unsafe` code.

pub(crate) mod columns;
pub(crate) mod conv;
pub(crate) mod dispatch;
pub(crate) mod dots;
pub(crate) mod fetch;
pub(crate) mod gemm;
pub(crate) mod images;
pub(crate) mod math;
pub(crate) mod norm;
pub(crate) mod normal;
pub(crate) mod pointwise;
pub(crate) mod pool;
pub(crate) mod real;
pub(crate) mod resample;
pub(crate) mod rows;
pub(crate) mod simd;
pub(crate) mod split;
pub(crate) mod sweep;
pub(crate) mod tiles;
