//! Batches for training, validation and test, as a configuration asks for them.

use std::sync::Arc;

use ferrotape_data::{
    ColourJitter, Compose, Dataset, Loader, LoaderOptions, Normalise, RandomAffine, RandomErasing,
    RandomFlip, RandomResizedCrop, RandomTranslate, Transform,
};

use crate::{Result, RunConfig, RunData};

/// Shuffled batches of the training data, augmented as the configuration says.
///
/// ```
/// # use std::sync::Arc;
/// # use ferrotape_backend::{Device, Rng, reference::Reference};
/// # use ferrotape_data::{InMemory, Normalise};
/// # use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential};
/// # use ferrotape_train::{RunConfig, RunData};
/// # let classes = InMemory::numbered_classes(2);
/// # let images = Arc::new(InMemory::new(vec![0, 250, 250, 0], [1, 1, 2], vec![0, 1], classes)?);
/// # let normalise = Normalise { mean: vec![0.5], std: vec![0.5] };
/// # let data = RunData { train: images.clone(), test: images, normalise };
/// # let device = Device::new(Reference::new());
/// # let model = Sequential::new(&Init::new(&device, Rng::new(1)));
/// # let model = model.add(Flatten::new)?.add(LinearConfig::new(2, 2))?;
/// # let config = RunConfig { model: "line".into(), learning_rate: 0.1, ..Default::default() };
/// let loader = ferrotape_train::train_loader(&data, &config)?;
/// assert_eq!(loader.batches(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// A batch size of 0.
pub fn train_loader(data: &RunData, config: &RunConfig) -> Result<Loader> {
    let options = LoaderOptions {
        batch_size: config.batch_size,
        shuffle: true,
        transform: Some(Arc::new(augmentation(&data.normalise, config))),
        ..options(&*data.train, config)
    };
    Ok(Loader::new(Arc::clone(&data.train), options)?)
}

/// What is done to each training image, in this order: resized crop, shift, turn and zoom, flip, colour,
/// normalisation, erasing.
///
/// ```
/// use ferrotape_backend::Rng;
/// use ferrotape_data::{FloatImage, Normalise, Transform};
/// use ferrotape_train::{RunConfig, augmentation};
///
/// let config = RunConfig { flip: true, translate: 2, ..RunConfig::default() };
/// let mut image = FloatImage::new(vec![0.5; 64], [1, 8, 8])?;
/// augmentation(&Normalise { mean: vec![0.5], std: vec![0.5] }, &config).apply(&mut image, Rng::new(1))?;
/// assert_eq!(image.shape(), [1, 8, 8]);
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
#[must_use]
pub fn augmentation(normalise: &Normalise, config: &RunConfig) -> Compose {
    let mut steps: Vec<Arc<dyn Transform>> = Vec::new();
    if config.resized_crop > 0.0 {
        let area = (config.resized_crop, 1.0);
        steps.push(Arc::new(RandomResizedCrop { area, ..RandomResizedCrop::default() }));
    }
    if config.translate > 0 {
        steps.push(Arc::new(RandomTranslate { pixels: config.translate, fill: 0.0 }));
    }
    if config.rotate > 0.0 || config.zoom > 0.0 {
        steps.push(Arc::new(RandomAffine {
            degrees: config.rotate,
            scale: (1.0 - config.zoom, 1.0 + config.zoom),
            ..RandomAffine::default()
        }));
    }
    if config.flip {
        steps.push(Arc::new(RandomFlip { probability: 0.5 }));
    }
    if config.jitter > 0.0 {
        let [brightness, contrast, saturation] = [config.jitter; 3];
        steps.push(Arc::new(ColourJitter { brightness, contrast, saturation }));
    }
    steps.push(Arc::new(normalise.clone()));
    if config.erase > 0.0 {
        let probability = config.erase;
        steps.push(Arc::new(RandomErasing { probability, ..RandomErasing::default() }));
    }
    Compose(steps)
}

/// Batches of the test data, in order.
///
/// ```
/// # use std::sync::Arc;
/// # use ferrotape_backend::{Device, Rng, reference::Reference};
/// # use ferrotape_data::{InMemory, Normalise};
/// # use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential};
/// # use ferrotape_train::{RunConfig, RunData};
/// # let classes = InMemory::numbered_classes(2);
/// # let images = Arc::new(InMemory::new(vec![0, 250, 250, 0], [1, 1, 2], vec![0, 1], classes)?);
/// # let normalise = Normalise { mean: vec![0.5], std: vec![0.5] };
/// # let data = RunData { train: images.clone(), test: images, normalise };
/// # let device = Device::new(Reference::new());
/// # let model = Sequential::new(&Init::new(&device, Rng::new(1)));
/// # let model = model.add(Flatten::new)?.add(LinearConfig::new(2, 2))?;
/// # let config = RunConfig { model: "line".into(), learning_rate: 0.1, ..Default::default() };
/// let loader = ferrotape_train::test_loader(&data, &config)?;
/// let labels: Vec<i64> = loader.epoch(0).flat_map(|batch| batch.unwrap().labels).collect();
/// assert_eq!(labels, [0, 1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// None today; a loader can refuse its options.
pub fn test_loader(data: &RunData, config: &RunConfig) -> Result<Loader> {
    plain_loader(&data.test, data, config)
}

/// Batches of images as they are, in order.
pub(crate) fn plain_loader(
    images: &Arc<dyn Dataset>,
    data: &RunData,
    config: &RunConfig,
) -> Result<Loader> {
    // Nothing is kept of a batch for a backward pass, so there is room for more images than in
    // training, as long as they are small.
    let volume = images.image_shape().iter().product::<usize>().max(1);
    let room = (TEST_BATCH_VALUES / volume).min(TEST_BATCH_IMAGES);
    let options = LoaderOptions {
        batch_size: config.batch_size.max(room),
        shuffle: false,
        transform: Some(Arc::new(data.normalise.clone())),
        ..options(&**images, config)
    };
    Ok(Loader::new(Arc::clone(images), options)?)
}

/// How many images a batch of the test has room for, and how many values.
const TEST_BATCH_IMAGES: usize = 250;
const TEST_BATCH_VALUES: usize = 1 << 22;

/// More threads than this prepare batches faster than any model learns from them, and each keeps some
/// in memory.
const MOST_WORKERS: usize = 8;

/// What the batches of training and test have in common. Images that take work to get are prepared
/// by other threads, as many as compute.
fn options(dataset: &dyn Dataset, config: &RunConfig) -> LoaderOptions {
    let threads =
        || config.threads.or_else(|| std::thread::available_parallelism().ok().map(usize::from));
    let workers = if dataset.is_slow() { threads().unwrap_or(1).min(MOST_WORKERS) } else { 0 };
    LoaderOptions { seed: config.seed, workers, ..LoaderOptions::default() }
}
