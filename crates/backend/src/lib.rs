//! Shapes, layouts, arrays, errors and the Backend trait that devices implement for ferrotape.

pub mod random;

pub use random::Rng;
