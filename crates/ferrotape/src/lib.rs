//! Convolutional networks in Rust: tensors, autodiff, layers, the classic architectures.
