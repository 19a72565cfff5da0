//! What the figures are made from: the device, the photographs, the digits, and networks that learn them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferrotape::data::{Dataset, InMemory, Normalise, Picture};
use ferrotape::nn::optim::{AdamConfig, Rule};
use ferrotape::prelude::*;
use ferrotape::train::fit::{CompiledModel, FitOptions, Loss, Metric, Model};

use crate::Result;

/// The folder of the book.
pub(crate) fn book() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// A photograph of the book as `[1, C, H, W]` with values from 0 to 1, in grey for one channel.
pub(crate) fn photo(device: &Device, name: &str, shape: [usize; 3]) -> Result<Tensor> {
    let picture = Picture::read(book().join("pictures/photos").join(name))?.fit(shape)?;
    let pixels: Vec<f32> = picture.pixels().iter().map(|&b| f32::from(b) / 255.0).collect();
    let [channels, height, width] = shape;
    Ok(Array::from_slice(device, &pixels, [1, channels, height, width])?.into())
}

/// Digits, in memory and cheap to share.
pub(crate) type Digits = Arc<InMemory>;

/// The digits to train on and to test on.
pub(crate) fn digits() -> Result<[Digits; 2]> {
    let (train, test) = ferrotape_mnist::train_and_test()?;
    Ok([Arc::new(train), Arc::new(test)])
}

/// `count` digits from the one at `start`.
pub(crate) fn some(digits: &InMemory, start: usize, count: usize) -> Result<Digits> {
    let size = 28 * 28;
    let pixels = digits.pixels()[start * size..(start + count) * size].to_vec();
    let labels = digits.labels()[start..start + count].to_vec();
    let classes = digits.classes().to_vec();
    Ok(Arc::new(InMemory::new(pixels, [1, 28, 28], labels, classes)?))
}

/// One digit, normalised, as `[1, 1, 28, 28]`.
pub(crate) fn digit(device: &Device, digits: &InMemory, index: usize) -> Result<Tensor> {
    let pixels = digits.sample(index)?.image.pixels().to_vec();
    let scaled: Vec<f32> = pixels
        .iter()
        .map(|&byte| (f32::from(byte) / 255.0 - ferrotape_mnist::MEAN) / ferrotape_mnist::STD)
        .collect();
    Ok(Array::from_slice(device, &scaled, [1, 1, 28, 28])?.into())
}

/// The digit of this class that comes first.
pub(crate) fn first_of(digits: &InMemory, class: usize) -> usize {
    digits.labels().iter().position(|&label| label == class).unwrap_or(0)
}

/// A network to be trained by Adam in batches of 50 normalised digits.
pub(crate) fn learner(network: impl Classifier, seed: u64) -> CompiledModel {
    learner_by(network, seed, AdamConfig::default())
}

/// As [`learner`], by another optimizer.
pub(crate) fn learner_by<R: Rule + 'static>(
    network: impl Classifier,
    seed: u64,
    rule: R,
) -> CompiledModel {
    let options = FitOptions {
        batch_size: 50,
        seed,
        transform: Some(Arc::new(Normalise::mnist())),
        ..FitOptions::default()
    };
    Model::new(network).compile(rule, Loss::default(), [Metric::Accuracy]).options(options)
}

/// The share of digits that the model takes for what they are.
pub(crate) fn accuracy(model: &CompiledModel, digits: &Digits) -> Result<f64> {
    let figures = model.evaluate(digits)?;
    Ok(figures.confusion.accuracy().unwrap_or(0.0))
}

/// Mean and sample standard deviation.
pub(crate) fn spread(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    (mean, (square / (count - 1.0).max(1.0)).sqrt())
}
