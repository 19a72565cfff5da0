//! Images that are made up, for benchmarks and for trying a model out without any data.

use ferrotape_backend::Rng;

use crate::dataset::{Dataset, Image, Sample, volume};
use crate::error::{Error, Result};
use crate::in_memory::InMemory;

/// Every class has a pattern of this many fields along each side.
const FIELDS: usize = 8;
/// How far the noise goes to either side of the pattern.
const NOISE: u64 = 48;
/// The most values of an image.
const MOST_VALUES: usize = 1 << 28;

/// Images whose class is a pattern: a grid of 8 x 8 fields of random brightness for every channel,
/// with noise over it that is another one for each image.
///
/// The patterns and the noise depend on the seed, the class and the sample alone. A model that learns
/// at all learns them in a few steps, and they say nothing about how it does on real images.
///
/// ```
/// use ferrotape_data::{Dataset, Synthetic};
///
/// let images = Synthetic::new([3, 32, 32], 10, 100, 42)?;
/// assert_eq!((images.len(), images.sample(13)?.label), (100, 3));
/// assert_eq!(images.sample(13)?, images.sample(13)?);
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Synthetic {
    shape: [usize; 3],
    classes: Vec<String>,
    len: usize,
    /// The fields of all channels of all classes.
    patterns: Vec<u8>,
    noise: Rng,
}

impl Synthetic {
    /// `len` images of the shape `[C, H, W]`; the class of image i is i modulo `classes`.
    ///
    /// # Errors
    ///
    /// If a size is 0, there are no classes, or the images or the classes are more than memory holds.
    ///
    /// ```
    /// assert!(ferrotape_data::Synthetic::new([3, 0, 32], 10, 100, 42).is_err());
    /// ```
    pub fn new(shape: [usize; 3], classes: usize, len: usize, seed: u64) -> Result<Self> {
        let is_size = |size| (1..=MOST_VALUES).contains(&size);
        if !volume(shape).is_some_and(is_size) || classes == 0 || classes > 1 << 20 {
            return Err(Error::Dataset(format!(
                "there are no synthetic images of {classes} classes and the shape [C, H, W] = \
                 {shape:?}; give 1 to 1,048,576 classes, and sizes of at least 1 whose product is at most \
                 {MOST_VALUES}"
            )));
        }
        let seed = Rng::new(seed).path("synthetic");
        let fields = shape[0] * FIELDS * FIELDS;
        let draw = |class: usize| {
            let rng = seed.path("pattern").call(class as u64);
            (0..fields as u64).map(move |field| rng.below(field, 256) as u8)
        };
        Ok(Self {
            shape,
            classes: InMemory::numbered_classes(classes),
            len,
            patterns: (0..classes).flat_map(draw).collect(),
            noise: seed.path("train"),
        })
    }

    /// Other images of the same classes, `len` of them: what was learned from these can be tested
    /// on those.
    ///
    /// ```
    /// # use ferrotape_data::{Dataset, Synthetic};
    /// let train = Synthetic::new([1, 8, 8], 2, 100, 42)?;
    /// let test = train.others(20);
    /// assert_eq!(test.len(), 20);
    /// assert_ne!(test.sample(0)?.image, train.sample(0)?.image);
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    #[must_use]
    pub fn others(&self, len: usize) -> Self {
        Self { len, noise: self.noise.path("others"), ..self.clone() }
    }
}

impl Dataset for Synthetic {
    fn len(&self) -> usize {
        self.len
    }

    fn sample(&self, index: usize) -> Result<Sample<'_>> {
        if index >= self.len {
            return Err(Error::Index { index, len: self.len });
        }
        let [channels, height, width] = self.shape;
        let label = index % self.classes.len();
        let noise = self.noise.call(index as u64);
        let mut pixels = Vec::with_capacity(channels * height * width);
        for channel in 0..channels {
            for y in 0..height {
                let row = ((label * channels + channel) * FIELDS + y * FIELDS / height) * FIELDS;
                for x in 0..width {
                    let field = i64::from(self.patterns[row + x * FIELDS / width]);
                    let drawn = noise.below(pixels.len() as u64, 2 * NOISE + 1) as i64;
                    pixels.push((field + drawn - NOISE as i64).clamp(0, 255) as u8);
                }
            }
        }
        Ok(Sample { image: Image::new(pixels, self.shape)?, label })
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn image_shape(&self) -> [usize; 3] {
        self.shape
    }

    fn is_slow(&self) -> bool {
        true
    }
}
