//! The networks against facts that PyTorch and torchvision computed in f64.

mod beginning;
mod facts;
mod fixture;
mod mistakes;
mod parity;
mod structure;
