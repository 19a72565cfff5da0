//! The networks against their papers. `ferrotape-parity` holds them against PyTorch and torchvision.

mod beginning;
mod blocks;
mod facts;
mod fixture;
mod googlenet;
mod lenet_1998;
mod mistakes;
mod resnet;
mod structure;
