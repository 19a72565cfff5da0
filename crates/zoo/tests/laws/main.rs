//! The networks against their papers. `ferrotape-parity` holds them against PyTorch and torchvision.

mod blocks;
mod resnet;
