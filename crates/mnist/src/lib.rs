//! The MNIST digits, bundled, decoded and checked.
