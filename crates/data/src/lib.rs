//! Datasets, readers, transforms and a prefetching loader for ferrotape.
//!
//! A [`Dataset`] gives samples by index, a [`Transform`] changes one image, and a [`Loader`] makes
//! batches of them, on worker threads if it is given some. What a batch holds depends on the seed, the epoch and the
//! samples alone: the number of workers changes the speed and nothing else.
//!
//! ```
//! use std::sync::Arc;
//! use ferrotape_data::{InMemory, Loader, LoaderOptions};
//!
//! let pixels = vec![0_u8; 10 * 28 * 28];
//! let labels = (0..10).collect();
//! let digits = InMemory::new(pixels, [1, 28, 28], labels, InMemory::numbered_classes(10))?;
//! let options = LoaderOptions { batch_size: 4, shuffle: true, ..Default::default() };
//! let loader = Loader::new(Arc::new(digits), options)?;
//! for batch in loader.epoch(0) {
//!     let batch = batch?;
//!     assert_eq!(batch.shape[1..], [1, 28, 28]);
//! }
//! # Ok::<(), ferrotape_data::Error>(())
//! ```

mod augment;
mod cifar;
mod dataset;
mod digit;
mod epoch;
mod error;
mod fitted;
mod folder;
mod folds;
pub mod idx;
mod image_folder;
mod in_memory;
mod loader;
mod mnist;
mod picture;
mod synthetic;
mod transform;

pub use augment::{
    ColourJitter, Mixing, RandomAffine, RandomErasing, RandomFlip, RandomResizedCrop,
    RandomTranslate, mix,
};
pub use cifar::{cifar10_folder, cifar100_folder};
pub use dataset::{Dataset, Image, Sample, Subset, split};
pub use epoch::Epoch;
pub use error::{Error, IdxProblem, Result};
pub use fitted::Fitted;
pub use folder::{FolderOptions, Form, Parts, form_of, open_folder};
pub use folds::fold;
pub use image_folder::ImageFolder;
pub use in_memory::InMemory;
pub use loader::{HostBatch, Loader, LoaderOptions};
pub use mnist::{Split, mnist_folder, mnist_pair};
pub use picture::Picture;
pub use synthetic::Synthetic;
pub use transform::{Compose, FloatImage, Normalise, Transform};
