//! Random changes of an image, or of a batch, that leave its class as it is or mix it with another.

mod colour;
mod geometry;
mod mixing;
mod rectangle;

pub use colour::{ColourJitter, RandomErasing};
pub use geometry::{RandomAffine, RandomFlip, RandomResizedCrop, RandomTranslate};
pub use mixing::{Mixing, mix};
