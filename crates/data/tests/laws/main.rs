//! The laws of readers and of the loader.

mod idx;
mod loader;
