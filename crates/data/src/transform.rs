//! What may be done to an image between the dataset and the batch.

use std::sync::Arc;

use ferrotape_backend::Rng;

use crate::dataset::{Dataset, Image, volume};
use crate::error::{Error, Result};

/// An image of 32-bit floating-point numbers of the shape `[C, H, W]`.
///
/// ```
/// use ferrotape_data::FloatImage;
///
/// let image = FloatImage::new(vec![0.0, 0.5, 1.0], [1, 1, 3])?;
/// assert_eq!(image.pixels()[1], 0.5);
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloatImage {
    pixels: Vec<f32>,
    shape: [usize; 3],
}

impl FloatImage {
    /// An image of these numbers, channel by channel, row by row.
    ///
    /// # Errors
    ///
    /// If there are not C · H · W numbers.
    ///
    /// ```
    /// assert!(ferrotape_data::FloatImage::new(vec![0.0; 3], [1, 2, 2]).is_err());
    /// ```
    pub fn new(pixels: Vec<f32>, shape: [usize; 3]) -> Result<Self> {
        let mut image = Self::default();
        image.replace(pixels, shape)?;
        Ok(image)
    }

    /// The image of bytes `b` as numbers b / 255 in [0, 1]: torchvision's `ToTensor`.
    ///
    /// ```
    /// use ferrotape_data::{FloatImage, Image};
    ///
    /// let image = FloatImage::from_bytes(&Image::new(vec![0, 51, 255], [1, 1, 3])?);
    /// assert_eq!(image.pixels(), [0.0, 0.2, 1.0]);
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    #[must_use]
    pub fn from_bytes(image: &Image<'_>) -> Self {
        let mut scaled = Self::default();
        scaled.assign(image);
        scaled
    }

    /// [`from_bytes`](FloatImage::from_bytes) into memory that is already there.
    pub(crate) fn assign(&mut self, image: &Image<'_>) {
        self.pixels.clear();
        extend_scaled(&mut self.pixels, image);
        self.shape = image.shape();
    }

    /// The numbers, channel by channel, row by row.
    ///
    /// ```
    /// let image = ferrotape_data::FloatImage::new(vec![0.5], [1, 1, 1])?;
    /// assert_eq!(image.pixels(), [0.5]);
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    #[must_use]
    pub fn pixels(&self) -> &[f32] {
        &self.pixels
    }

    /// The numbers, to be changed in place.
    ///
    /// ```
    /// let mut image = ferrotape_data::FloatImage::new(vec![0.5], [1, 1, 1])?;
    /// image.pixels_mut()[0] = 1.0;
    /// assert_eq!(image.pixels(), [1.0]);
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    #[must_use]
    pub fn pixels_mut(&mut self) -> &mut [f32] {
        &mut self.pixels
    }

    /// The shape `[C, H, W]`.
    ///
    /// ```
    /// let image = ferrotape_data::FloatImage::new(vec![0.5], [1, 1, 1])?;
    /// assert_eq!(image.shape(), [1, 1, 1]);
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Gives the image other contents, of the same shape or another.
    ///
    /// # Errors
    ///
    /// If there are not C · H · W numbers; the image is then as before.
    ///
    /// ```
    /// let mut image = ferrotape_data::FloatImage::new(vec![0.5], [1, 1, 1])?;
    /// image.replace(vec![0.0, 1.0], [1, 1, 2])?;
    /// assert_eq!(image.shape(), [1, 1, 2]);
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    pub fn replace(&mut self, pixels: Vec<f32>, shape: [usize; 3]) -> Result<()> {
        if volume(shape) != Some(pixels.len()) {
            return Err(Error::Dataset(format!(
                "an image of {} numbers cannot have the shape [C, H, W] = {shape:?}; give \
                 C · H · W numbers, channel by channel",
                pixels.len()
            )));
        }
        self.pixels = pixels;
        self.shape = shape;
        Ok(())
    }
}

/// Appends the bytes of `image`, each divided by 255.
pub(crate) fn extend_scaled(pixels: &mut Vec<f32>, image: &Image<'_>) {
    pixels.extend(image.pixels().iter().map(|&byte| f32::from(byte) / 255.0));
}

/// A change of one image, on its way into a batch.
///
/// Randomness comes from `rng` alone, which the loader keys by seed, epoch and sample: an image
/// then gets the same treatment whichever thread prepares it, and whenever.
///
/// ```
/// use ferrotape_backend::Rng;
/// use ferrotape_data::{FloatImage, Result, Transform};
///
/// /// Turns black to white in one image of two.
/// struct MaybeInvert;
///
/// impl Transform for MaybeInvert {
///     fn apply(&self, image: &mut FloatImage, rng: Rng) -> Result<()> {
///         if rng.uniform_f32(0) < 0.5 {
///             image.pixels_mut().iter_mut().for_each(|pixel| *pixel = 1.0 - *pixel);
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Transform: Send + Sync {
    /// Changes `image`, which may also get another shape.
    ///
    /// # Errors
    ///
    /// If the settings make no sense or do not fit the image.
    fn apply(&self, image: &mut FloatImage, rng: Rng) -> Result<()>;
}

/// Several transforms, one after the other. Each has random numbers of its own.
///
/// ```
/// use std::sync::Arc;
/// use ferrotape_backend::Rng;
/// use ferrotape_data::{Compose, FloatImage, Normalise, RandomTranslate, Transform};
///
/// let transform = Compose(vec![
///     Arc::new(RandomTranslate { pixels: 2, fill: 0.0 }),
///     Arc::new(Normalise { mean: vec![0.1307], std: vec![0.3081] }),
/// ]);
/// let mut image = FloatImage::new(vec![0.5; 28 * 28], [1, 28, 28])?;
/// transform.apply(&mut image, Rng::new(0))?;
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Compose(
    /// The transforms, the first to be applied first.
    pub Vec<Arc<dyn Transform>>,
);

impl Transform for Compose {
    fn apply(&self, image: &mut FloatImage, rng: Rng) -> Result<()> {
        for (position, transform) in self.0.iter().enumerate() {
            transform.apply(image, rng.call(position as u64))?;
        }
        Ok(())
    }
}

/// Brings every channel to a mean of 0 and a standard deviation of 1: (x − mean) / std.
///
/// This is torchvision's `Normalize`.
///
/// ```
/// use ferrotape_backend::Rng;
/// use ferrotape_data::{FloatImage, Normalise, Transform};
///
/// let mut image = FloatImage::new(vec![0.25, 1.0], [2, 1, 1])?;
/// let normalise = Normalise { mean: vec![0.5, 0.0], std: vec![0.5, 2.0] };
/// normalise.apply(&mut image, Rng::new(0))?;
/// assert_eq!(image.pixels(), [-0.5, 0.5]);
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Normalise {
    /// The mean of each channel.
    pub mean: Vec<f32>,
    /// The standard deviation of each channel.
    pub std: Vec<f32>,
}

impl Normalise {
    /// The constants of MNIST: the mean and the deviation of its training images.
    ///
    /// ```
    /// assert_eq!(ferrotape_data::Normalise::mnist().mean, [0.130_660_48]);
    /// ```
    #[must_use]
    pub fn mnist() -> Self {
        Self { mean: vec![0.130_660_48], std: vec![0.308_107_8] }
    }

    /// The constants of ImageNet, by which torchvision's published weights were trained.
    ///
    /// ```
    /// assert_eq!(ferrotape_data::Normalise::imagenet().std, [0.229, 0.224, 0.225]);
    /// ```
    #[must_use]
    pub fn imagenet() -> Self {
        Self { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225] }
    }

    /// The mean and the deviation of each channel over the images of a dataset, in `[0, 1]`; of at
    /// most `most` images, which are then spread evenly over it. The sums are exact.
    ///
    /// A channel that is the same everywhere has a deviation of 0 and gets 1, so that it becomes 0.
    ///
    /// # Errors
    ///
    /// If there are no images, or one cannot be read or has another shape.
    ///
    /// ```
    /// use ferrotape_data::{InMemory, Normalise};
    ///
    /// let data = InMemory::new(vec![0, 255], [1, 1, 1], vec![0, 1], InMemory::numbered_classes(2))?;
    /// assert_eq!(Normalise::of(&data, 1000)?, Normalise { mean: vec![0.5], std: vec![0.5] });
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    pub fn of(dataset: &dyn Dataset, most: usize) -> Result<Self> {
        let (len, shape) = (dataset.len(), dataset.image_shape());
        let read = len.min(most);
        if read == 0 || volume(shape).is_none_or(|size| size == 0) {
            return Err(Error::Dataset("there are no pixels to take the mean of".into()));
        }
        // Sums of a channel's bytes and of their squares.
        let mut sums = vec![(0_u128, 0_u128); shape[0]];
        for number in 0..read {
            // Without overflow for every length that a vector can have.
            let index = (number as u128 * len as u128 / read as u128) as usize;
            let sample = dataset.sample(index);
            let sample =
                sample.map_err(|source| Error::Sample { index, source: Box::new(source) })?;
            if sample.image.shape() != shape {
                return Err(Error::Dataset(format!(
                    "image {index} has the shape [C, H, W] = {:?} and not {shape:?}",
                    sample.image.shape()
                )));
            }
            let planes = sample.image.pixels().chunks_exact(shape[1] * shape[2]);
            for (plane, (sum, squares)) in planes.zip(&mut sums) {
                let bytes = plane.iter().map(|&byte| u64::from(byte));
                *sum += u128::from(bytes.clone().sum::<u64>());
                *squares += u128::from(bytes.map(|byte| byte * byte).sum::<u64>());
            }
        }
        let count = (read * shape[1] * shape[2]) as u128;
        let mut normalise = Self { mean: Vec::new(), std: Vec::new() };
        for (sum, squares) in sums {
            let mean = sum as f64 / count as f64;
            // The difference is one of integers, so that what is the same everywhere gives 0.
            let std = ((count * squares - sum * sum) as f64).sqrt() / count as f64 / 255.0;
            normalise.mean.push((mean / 255.0) as f32);
            normalise.std.push(if std > 0.0 { std as f32 } else { 1.0 });
        }
        Ok(normalise)
    }
}

impl Transform for Normalise {
    fn apply(&self, image: &mut FloatImage, _: Rng) -> Result<()> {
        let [channels, height, width] = image.shape();
        if self.mean.len() != channels || self.std.len() != channels {
            return Err(Error::Transform {
                transform: "Normalise",
                problem: format!(
                    "it has {} means and {} standard deviations for an image of {channels} \
                     channels; give one of each for every channel",
                    self.mean.len(),
                    self.std.len()
                ),
            });
        }
        if let Some(std) = self.std.iter().find(|std| !(std.is_finite() && **std > 0.0)) {
            return Err(Error::Transform {
                transform: "Normalise",
                problem: format!("a standard deviation is {std}; it must be a positive number"),
            });
        }
        // An image may have rows of no length, of which no chunks can be made.
        let planes = image.pixels_mut().chunks_exact_mut((height * width).max(1));
        for ((plane, &mean), &std) in planes.zip(&self.mean).zip(&self.std) {
            plane.iter_mut().for_each(|pixel| *pixel = (*pixel - mean) / std);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds its first random number to the only pixel.
    struct AddRandom;

    impl Transform for AddRandom {
        fn apply(&self, image: &mut FloatImage, rng: Rng) -> Result<()> {
            image.pixels_mut()[0] += rng.uniform_f32(0);
            Ok(())
        }
    }

    #[test]
    fn the_parts_of_a_composition_do_not_share_random_numbers() {
        let rng = Rng::new(3);
        let mut image = FloatImage::new(vec![0.0], [1, 1, 1]).unwrap();
        Compose(vec![Arc::new(AddRandom), Arc::new(AddRandom)]).apply(&mut image, rng).unwrap();
        let (first, second) = (rng.call(0).uniform_f32(0), rng.call(1).uniform_f32(0));
        assert_ne!(first, second);
        assert_eq!(image.pixels(), [first + second]);
    }

    #[test]
    fn bytes_are_divided_and_not_multiplied_by_a_rounded_reciprocal() {
        let bytes: Vec<u8> = (0..=255).collect();
        let image = FloatImage::from_bytes(&Image::new(bytes, [1, 16, 16]).unwrap());
        for (byte, &pixel) in image.pixels().iter().enumerate() {
            assert_eq!(pixel, (byte as f64 / 255.0) as f32);
        }
    }

    #[test]
    fn settings_that_do_not_fit_are_errors() {
        let mut image = FloatImage::new(vec![0.0; 3], [3, 1, 1]).unwrap();
        for (mean, std) in [
            (vec![0.0], vec![1.0]),
            (vec![0.0; 3], vec![1.0, 0.0, 1.0]),
            (vec![0.0; 3], vec![f32::NAN; 3]),
        ] {
            let result = Normalise { mean, std }.apply(&mut image, Rng::new(0));
            assert!(matches!(result, Err(Error::Transform { .. })));
        }
    }

    #[test]
    fn an_image_without_pixels_can_be_normalised() {
        let mut image = FloatImage::new(vec![], [1, 0, 4]).unwrap();
        Normalise { mean: vec![0.0], std: vec![1.0] }.apply(&mut image, Rng::new(0)).unwrap();
    }
}
