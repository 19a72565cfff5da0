//! Inner loops, compiled once for each [level](crate::Level). The only modules, next to the
//! allocator, that contain `unsafe` code.

pub(crate) mod dispatch;
pub(crate) mod math;
pub(crate) mod split;
