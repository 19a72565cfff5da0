//! The laws of layouts, and of the reference backend, which is held against PyTorch because everything
//! else is held against it.

mod layouts;
mod pytorch;
