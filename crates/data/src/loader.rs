//! From a dataset to batches: which samples, in which order, and how one batch is made.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ferrotape_backend::Rng;

use crate::dataset::Dataset;
use crate::epoch::Epoch;
use crate::error::{Error, Result};
use crate::transform::{FloatImage, Transform, extend_scaled};

/// How a [`Loader`] makes batches.
///
/// ```
/// use ferrotape_data::LoaderOptions;
///
/// let options = LoaderOptions { batch_size: 128, shuffle: true, workers: 2, ..Default::default() };
/// assert_eq!(options.prefetch, 2);
/// ```
#[derive(Clone)]
pub struct LoaderOptions {
    /// The number of samples in a batch, at least 1; the last batch may have fewer. Default 64.
    pub batch_size: usize,
    /// Whether every epoch has a random order of its own. Default no.
    pub shuffle: bool,
    /// The seed of the orders and of the transform's random numbers. Default 0.
    pub seed: u64,
    /// The number of threads that prepare batches. With 0, the default, the thread that asks for a
    /// batch prepares it.
    pub workers: usize,
    /// How many batches each worker may have ready beyond those asked for. Default 2.
    pub prefetch: usize,
    /// Whether a last batch with fewer samples is left out. Default no.
    pub drop_last: bool,
    /// What is done to every image after its bytes were divided by 255. Default nothing.
    pub transform: Option<Arc<dyn Transform>>,
}

impl Default for LoaderOptions {
    fn default() -> Self {
        Self {
            batch_size: 64,
            shuffle: false,
            seed: 0,
            workers: 0,
            prefetch: 2,
            drop_last: false,
            transform: None,
        }
    }
}

impl fmt::Debug for LoaderOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LoaderOptions")
            .field("batch_size", &self.batch_size)
            .field("shuffle", &self.shuffle)
            .field("seed", &self.seed)
            .field("workers", &self.workers)
            .field("prefetch", &self.prefetch)
            .field("drop_last", &self.drop_last)
            .field("transform", &self.transform.as_ref().map(|_| "dyn Transform"))
            .finish()
    }
}

/// A batch of images in the memory of the host.
///
/// ```
/// use std::sync::Arc;
/// use ferrotape_data::{InMemory, Loader, LoaderOptions};
///
/// let data = InMemory::new(vec![0, 255], [1, 1, 1], vec![0, 1], InMemory::numbered_classes(2))?;
/// let loader = Loader::new(Arc::new(data), LoaderOptions::default())?;
/// let batch = loader.epoch(0).next().expect("there is one batch")?;
/// assert_eq!(batch.shape, [2, 1, 1, 1]);
/// assert_eq!(batch.images, [0.0, 1.0]);
/// assert_eq!(batch.labels, [0, 1]);
/// assert_eq!(batch.indices, [0, 1]);
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct HostBatch {
    /// The pixels in the order of `[N, C, H, W]`.
    pub images: Vec<f32>,
    /// The shape `[N, C, H, W]`.
    pub shape: [usize; 4],
    /// The class of each image.
    pub labels: Vec<i64>,
    /// The index of each image in the dataset.
    pub indices: Vec<usize>,
}

/// Makes batches of a dataset, epoch by epoch.
///
/// The order of the samples and everything that is random about them depend on the seed, the epoch
/// and the sample alone: not on the number of workers, nor on what was asked for before.
///
/// ```
/// use std::sync::Arc;
/// use ferrotape_data::{InMemory, Loader, LoaderOptions};
///
/// let data = InMemory::new(vec![0; 10], [1, 1, 1], vec![0; 10], InMemory::numbered_classes(1))?;
/// let options = LoaderOptions { batch_size: 4, shuffle: true, workers: 2, ..Default::default() };
/// let loader = Loader::new(Arc::new(data), options)?;
/// assert_eq!(loader.batches(), 3);
/// for epoch in 0..2 {
///     for batch in loader.epoch(epoch) {
///         println!("{:?}", batch?.indices);
///     }
/// }
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
#[derive(Clone)]
pub struct Loader {
    dataset: Arc<dyn Dataset>,
    options: LoaderOptions,
}

impl fmt::Debug for Loader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Loader")
            .field("samples", &self.dataset.len())
            .field("options", &self.options)
            .finish()
    }
}

impl Loader {
    /// A loader of the samples of `dataset`.
    ///
    /// # Errors
    ///
    /// If the batch size is zero.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use ferrotape_data::{InMemory, Loader, LoaderOptions};
    ///
    /// let none = InMemory::new(vec![], [1, 1, 1], vec![], vec![])?;
    /// let options = LoaderOptions { batch_size: 0, ..Default::default() };
    /// assert!(Loader::new(Arc::new(none), options).is_err());
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    pub fn new(dataset: Arc<dyn Dataset>, options: LoaderOptions) -> Result<Self> {
        if options.batch_size == 0 {
            return Err(Error::Options("the batch size is 0; give at least 1".into()));
        }
        Ok(Self { dataset, options })
    }

    /// The number of batches in an epoch.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use ferrotape_data::{InMemory, Loader, LoaderOptions};
    /// # let classes = InMemory::numbered_classes(1);
    /// # let five_samples = Arc::new(InMemory::new(vec![0; 5], [1, 1, 1], vec![0; 5], classes)?);
    /// let options = LoaderOptions { batch_size: 2, drop_last: true, ..Default::default() };
    /// assert_eq!(Loader::new(five_samples, options)?.batches(), 2);
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    #[must_use]
    pub fn batches(&self) -> usize {
        let (samples, size) = (self.dataset.len(), self.options.batch_size);
        if self.options.drop_last { samples / size } else { samples.div_ceil(size) }
    }

    /// The dataset.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use ferrotape_data::{InMemory, Loader, LoaderOptions};
    /// # let classes = InMemory::numbered_classes(1);
    /// # let five_samples = Arc::new(InMemory::new(vec![0; 5], [1, 1, 1], vec![0; 5], classes)?);
    /// let loader = Loader::new(five_samples, LoaderOptions::default())?;
    /// assert_eq!(loader.dataset().len(), 5);
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    #[must_use]
    pub fn dataset(&self) -> &Arc<dyn Dataset> {
        &self.dataset
    }

    /// The settings.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use ferrotape_data::{InMemory, Loader, LoaderOptions};
    /// # let classes = InMemory::numbered_classes(1);
    /// # let five_samples = Arc::new(InMemory::new(vec![0; 5], [1, 1, 1], vec![0; 5], classes)?);
    /// let loader = Loader::new(five_samples, LoaderOptions::default())?;
    /// assert!(!loader.options().shuffle);
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    #[must_use]
    pub fn options(&self) -> &LoaderOptions {
        &self.options
    }

    /// The batches of the epoch with this number. The workers start at once.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use ferrotape_data::{InMemory, Loader, LoaderOptions};
    /// # let classes = InMemory::numbered_classes(1);
    /// # let five_samples = Arc::new(InMemory::new(vec![0; 5], [1, 1, 1], vec![0; 5], classes)?);
    /// let loader = Loader::new(five_samples, LoaderOptions::default())?;
    /// assert_eq!(loader.epoch(0).count(), 1);
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    #[must_use]
    pub fn epoch(&self, number: u64) -> Epoch {
        self.epoch_from(number, 0)
    }

    /// The batches of an epoch from the one with the number `first` on, as a resumed run needs.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use ferrotape_data::{InMemory, Loader, LoaderOptions};
    /// # let classes = InMemory::numbered_classes(1);
    /// # let five_samples = Arc::new(InMemory::new(vec![0; 5], [1, 1, 1], vec![0; 5], classes)?);
    /// let options = LoaderOptions { batch_size: 2, shuffle: true, ..Default::default() };
    /// let loader = Loader::new(five_samples, options)?;
    /// let resumed = loader.epoch_from(7, 2).next().expect("there is a third batch")?;
    /// assert_eq!(resumed, loader.epoch(7).nth(2).expect("there is a third batch")?);
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    #[must_use]
    pub fn epoch_from(&self, number: u64, first: usize) -> Epoch {
        let samples = self.dataset.len();
        let seed = Rng::new(self.options.seed);
        let order = if self.options.shuffle {
            Some(seed.path("order").step(number).permutation(samples))
        } else {
            None
        };
        let plan = Plan {
            dataset: Arc::clone(&self.dataset),
            transform: self.options.transform.clone(),
            order,
            samples,
            batch_size: self.options.batch_size,
            rng: seed.path("transform").step(number),
            stop: AtomicBool::new(false),
        };
        let batches = first.min(self.batches())..self.batches();
        Epoch::start(plan, batches, self.options.workers, self.options.prefetch)
    }
}

/// All that a thread must know to make any batch of one epoch.
pub(crate) struct Plan {
    dataset: Arc<dyn Dataset>,
    transform: Option<Arc<dyn Transform>>,
    order: Option<Vec<usize>>,
    samples: usize,
    batch_size: usize,
    rng: Rng,
    /// Set when nobody waits for batches any more.
    pub(crate) stop: AtomicBool,
}

impl Plan {
    /// Makes one batch; a panic of the dataset or of the transform becomes an error.
    ///
    /// `scratch` is memory that is kept from batch to batch. `None` means that `stop` was set.
    pub(crate) fn batch(
        &self,
        batch: usize,
        scratch: &mut FloatImage,
    ) -> Option<Result<HostBatch>> {
        // What a panic may have left half done is the scratch image, which is overwritten, and
        // whatever the dataset shares, for which its author answers.
        match catch_unwind(AssertUnwindSafe(|| self.assemble(batch, scratch))) {
            Ok(Ok(batch)) => batch.map(Ok),
            Ok(Err(error)) => Some(Err(error)),
            Err(payload) => {
                let message = if let Some(message) = payload.downcast_ref::<&str>() {
                    (*message).to_owned()
                } else if let Some(message) = payload.downcast_ref::<String>() {
                    message.clone()
                } else {
                    "it has no message".to_owned()
                };
                Some(Err(Error::Panic { batch, message }))
            }
        }
    }

    fn assemble(&self, batch: usize, scratch: &mut FloatImage) -> Result<Option<HostBatch>> {
        let start = batch * self.batch_size;
        let count = self.batch_size.min(self.samples - start);
        let mut made = HostBatch {
            images: Vec::new(),
            shape: [count, 0, 0, 0],
            labels: Vec::with_capacity(count),
            indices: Vec::with_capacity(count),
        };
        for position in start..start + count {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let index = self.order.as_ref().map_or(position, |order| order[position]);
            self.append(&mut made, index, scratch)
                .map_err(|source| Error::Sample { index, source: Box::new(source) })?;
        }
        Ok(Some(made))
    }

    fn append(&self, batch: &mut HostBatch, index: usize, scratch: &mut FloatImage) -> Result<()> {
        let sample = self.dataset.sample(index)?;
        let classes = self.dataset.classes().len();
        if sample.label >= classes {
            return Err(Error::Dataset(format!(
                "label {} is out of range, as there are {classes} classes, numbered from 0",
                sample.label
            )));
        }
        let shape = match &self.transform {
            None => sample.image.shape(),
            Some(transform) => {
                scratch.assign(&sample.image);
                transform.apply(scratch, self.rng.call(index as u64))?;
                scratch.shape()
            }
        };
        let [_, batch_shape @ ..] = batch.shape;
        if batch.indices.is_empty() {
            batch.shape[1..].copy_from_slice(&shape);
            let values = shape.iter().fold(batch.shape[0], |all, &size| all.saturating_mul(size));
            batch
                .images
                .try_reserve_exact(values)
                .map_err(|_| Error::OutOfMemory { images: batch.shape[0], shape })?;
        } else if shape != batch_shape {
            return Err(Error::Dataset(format!(
                "its shape [C, H, W] = {shape:?} is not {batch_shape:?}, that of the batch's first \
                 image; add a transform that brings all images to one size"
            )));
        }
        match &self.transform {
            None => extend_scaled(&mut batch.images, &sample.image),
            Some(_) => batch.images.extend_from_slice(scratch.pixels()),
        }
        // A label is an index of a class name in memory, of which there are fewer than 2⁶³.
        batch.labels.push(sample.label as i64);
        batch.indices.push(index);
        Ok(())
    }
}
