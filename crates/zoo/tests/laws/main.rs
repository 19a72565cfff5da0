//! The networks against facts that PyTorch and torchvision computed in f64.

mod beginning;
mod facts;
mod fixture;
mod googlenet;
mod lenet_1998;
mod mistakes;
mod parity;
mod structure;
