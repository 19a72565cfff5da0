//! The networks against facts that PyTorch and torchvision computed in f64.

mod blocks;
mod fixture;
mod parity;
mod resnet;
