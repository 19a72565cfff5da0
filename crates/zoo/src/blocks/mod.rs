//! Blocks of the textbook that no one network owns: each a documented layer.

mod aspp;
mod separable;
mod wavenet;

pub use aspp::{Aspp, AsppConfig, aspp};
pub use separable::{SeparableBlock, SeparableConfig, separable_block};
pub use wavenet::{WaveNetConfig, WaveNetLayer, WaveNetStack, wavenet_stack};
