//! Training runs for ferrotape: metrics, run folders, progress and reports.
//!
//! - [`Trainer`] is the loop, [`evaluate()`] the test, [`Run`] both with everything written down;
//! - [`recipe()`] knows settings to train a model of the zoo with;
//! - [`fit`] is the short way of a program that trains in memory, as Keras has it;
//! - [`metrics`] counts: confusion matrix, precision and recall, running means, top-k accuracy;
//! - [`record`] is what a run writes down after each epoch and at its end;
//! - [`mod@checkpoint`] is what it takes to go on with a run that was interrupted, to the bit;
//! - [`config`] is the effective configuration of a run, as TOML;
//! - [`run_folder`] keeps a run's files, written so that none is ever half there;
//! - [`progress`] tells a person, a log or a program how the run is going;
//! - [`tensorboard`] writes what TensorBoard shows;
//! - [`insight`] shows what a network looks at: saliency, Grad-CAM, feature maps;
//! - [`report`] draws the run as one self-contained HTML page;
//! - [`mod@format`] writes numbers the same way in all of them.
//!
//! ```
//! use std::sync::Arc;
//!
//! use ferrotape_backend::{Device, Rng, reference::Reference};
//! use ferrotape_data::{InMemory, Loader, LoaderOptions};
//! use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential};
//! use ferrotape_train::{RunConfig, Trainer, evaluate};
//!
//! // A black and a white image, sixteen times each.
//! let pixels = (0..32).flat_map(|i| [255 * (i % 2); 4]).collect();
//! let labels = (0..32).map(|i| i % 2).collect();
//! let data = InMemory::new(pixels, [1, 2, 2], labels, InMemory::numbered_classes(2))?;
//! let loader = Loader::new(Arc::new(data), LoaderOptions { batch_size: 8, ..Default::default() })?;
//!
//! let device = Device::new(Reference::new());
//! let model = Sequential::new(&Init::new(&device, Rng::new(1)))
//!     .add(Flatten::new)?
//!     .add(LinearConfig::new(4, 2))?;
//! let config = RunConfig { model: "mine".into(), learning_rate: 0.5, epochs: 5, ..Default::default() };
//! let mut trainer = Trainer::new(&model, &device, &config, loader.batches())?;
//! for epoch in 1..=config.epochs {
//!     trainer.epoch(epoch, &loader, &mut ())?;
//! }
//! assert_eq!(evaluate(&model, &device, &config, &loader)?.accuracy(), 1.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod atomic;
pub mod checkpoint;
pub mod config;
mod error;
mod evaluate;
mod fault;
pub mod fit;
pub mod format;
pub mod insight;
mod loaders;
pub mod metrics;
mod precision;
pub mod progress;
mod reading;
mod recipe;
pub mod record;
pub mod report;
mod run;
pub mod run_folder;
pub mod tensorboard;
mod trainer;

pub use atomic::write_atomically;
pub use checkpoint::Checkpoint;
pub use config::RunConfig;
pub use error::{Error, Result};
pub use evaluate::{Evaluation, Member, Prediction, evaluate, evaluate_together};
pub use loaders::{augmentation, test_loader, train_loader};
pub use precision::Precision;
pub use recipe::{recipe, recipe_for, recipe_source};
pub use record::{EpochRecord, FinalRecord, Record};
pub use run::{Run, RunData, Stop, load_model, load_weights, predict};
pub use run_folder::RunFolder;
pub use trainer::{RateCurve, RatePoint, RateRange, Trainer};
