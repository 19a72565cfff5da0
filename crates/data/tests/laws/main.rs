//! The laws of readers and of the loader.

mod folder;
mod idx;
mod loader;
#[cfg(target_os = "linux")]
mod shortage;
