//! The networks against their papers. `ferrotape-parity` holds them against PyTorch and torchvision.

mod beginning;
mod blocks;
mod facts;
mod mistakes;
mod resnet;
mod structure;
