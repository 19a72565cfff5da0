//! What a dataset is: samples by index, with the names of their classes.

use std::borrow::Cow;
use std::sync::Arc;

use ferrotape_backend::Rng;

use crate::error::{Error, Result};

/// An image of bytes, channel by channel, row by row: the shape is `[C, H, W]`.
///
/// ```
/// use ferrotape_data::Image;
///
/// let image = Image::new(&[0, 128, 255][..], [3, 1, 1])?;
/// assert_eq!(image.shape(), [3, 1, 1]);
/// assert!(Image::new(vec![0; 5], [1, 2, 2]).is_err());
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    pixels: Cow<'a, [u8]>,
    shape: [usize; 3],
}

impl<'a> Image<'a> {
    /// An image of borrowed or owned bytes.
    ///
    /// # Errors
    ///
    /// If there are not C · H · W bytes.
    ///
    /// ```
    /// let image = ferrotape_data::Image::new(vec![0; 12], [3, 2, 2])?;
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    pub fn new(pixels: impl Into<Cow<'a, [u8]>>, shape: [usize; 3]) -> Result<Self> {
        let pixels = pixels.into();
        if volume(shape) != Some(pixels.len()) {
            return Err(Error::Dataset(format!(
                "an image of {} bytes cannot have the shape [C, H, W] = {shape:?}; give C · H · W \
                 bytes, channel by channel",
                pixels.len()
            )));
        }
        Ok(Self { pixels, shape })
    }

    /// The bytes, channel by channel, row by row.
    ///
    /// ```
    /// let image = ferrotape_data::Image::new(vec![1, 2], [1, 1, 2])?;
    /// assert_eq!(image.pixels(), [1, 2]);
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The shape `[C, H, W]`.
    ///
    /// ```
    /// let image = ferrotape_data::Image::new(vec![1, 2], [1, 1, 2])?;
    /// assert_eq!(image.shape(), [1, 1, 2]);
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }
}

/// The number of elements of a shape, if it is one that memory could hold.
pub(crate) fn volume(shape: [usize; 3]) -> Option<usize> {
    shape.into_iter().try_fold(1_usize, usize::checked_mul)
}

/// An image and the number of its class.
///
/// ```
/// use ferrotape_data::{Image, Sample};
///
/// let sample = Sample { image: Image::new(vec![0; 4], [1, 2, 2])?, label: 7 };
/// assert_eq!(sample.label, 7);
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample<'a> {
    /// The image.
    pub image: Image<'a>,
    /// The index of the class in [`Dataset::classes`].
    pub label: usize,
}

/// A set of labelled images that can be read in any order, from several threads at once.
///
/// A sample must depend on its index alone: then a run can be repeated.
///
/// ```
/// use ferrotape_data::{Dataset, Error, Image, Result, Sample};
///
/// /// Black and white squares.
/// struct Squares {
///     classes: Vec<String>,
/// }
///
/// impl Dataset for Squares {
///     fn len(&self) -> usize {
///         1000
///     }
///
///     fn sample(&self, index: usize) -> Result<Sample<'_>> {
///         let label = index % 2;
///         let image = Image::new(vec![255 * label as u8; 64], [1, 8, 8])?;
///         Ok(Sample { image, label })
///     }
///
///     fn classes(&self) -> &[String] {
///         &self.classes
///     }
///
///     fn image_shape(&self) -> [usize; 3] {
///         [1, 8, 8]
///     }
/// }
///
/// let squares = Squares { classes: vec!["black".into(), "white".into()] };
/// assert_eq!(squares.sample(3)?.image.pixels()[0], 255);
/// # Ok::<(), Error>(())
/// ```
pub trait Dataset: Send + Sync {
    /// The number of samples.
    fn len(&self) -> usize;

    /// Whether there are no samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sample at `index`, below [`len`](Dataset::len).
    ///
    /// # Errors
    ///
    /// If there is no such sample or it cannot be read.
    fn sample(&self, index: usize) -> Result<Sample<'_>>;

    /// The names of the classes; a label is an index into them.
    fn classes(&self) -> &[String];

    /// The shape `[C, H, W]` of the images.
    fn image_shape(&self) -> [usize; 3];

    /// Whether a sample takes work, such as decoding, so that batches are better prepared by other
    /// threads than the one that trains. No, unless a dataset says so.
    fn is_slow(&self) -> bool {
        false
    }

    /// The number of a sample's class, without its image where that is less work.
    ///
    /// # Errors
    ///
    /// As for [`sample`](Self::sample).
    fn label(&self, index: usize) -> Result<usize> {
        Ok(self.sample(index)?.label)
    }
}

impl<D: Dataset + ?Sized> Dataset for Arc<D> {
    fn len(&self) -> usize {
        (**self).len()
    }

    fn sample(&self, index: usize) -> Result<Sample<'_>> {
        (**self).sample(index)
    }

    fn classes(&self) -> &[String] {
        (**self).classes()
    }

    fn image_shape(&self) -> [usize; 3] {
        (**self).image_shape()
    }

    fn is_slow(&self) -> bool {
        (**self).is_slow()
    }

    fn label(&self, index: usize) -> Result<usize> {
        (**self).label(index)
    }
}

/// Some samples of another dataset, in an order of their own.
///
/// ```
/// use ferrotape_data::{Dataset, InMemory, Subset};
///
/// let all = InMemory::new(vec![0, 1, 2], [1, 1, 1], vec![0, 1, 2], InMemory::numbered_classes(3))?;
/// let some = Subset::new(all, vec![2, 0])?;
/// assert_eq!(some.sample(0)?.label, 2);
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Subset<D> {
    dataset: D,
    indices: Vec<usize>,
}

impl<D: Dataset> Subset<D> {
    /// The samples of `dataset` at `indices`, which may repeat.
    ///
    /// # Errors
    ///
    /// If an index is not below the dataset's length.
    ///
    /// ```
    /// use ferrotape_data::{InMemory, Subset};
    ///
    /// let all = InMemory::new(vec![0, 1], [1, 1, 1], vec![0, 1], InMemory::numbered_classes(2))?;
    /// assert!(Subset::new(all, vec![2]).is_err());
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    pub fn new(dataset: D, indices: Vec<usize>) -> Result<Self> {
        let len = dataset.len();
        match indices.iter().find(|&&index| index >= len) {
            Some(&index) => Err(Error::Index { index, len }),
            None => Ok(Self { dataset, indices }),
        }
    }

    /// The first `count` samples of `dataset`, or all if there are fewer.
    ///
    /// ```
    /// use ferrotape_data::{Dataset, InMemory, Subset};
    ///
    /// let all = InMemory::new(vec![0, 1], [1, 1, 1], vec![0, 1], InMemory::numbered_classes(2))?;
    /// assert_eq!(Subset::take(all, 1).len(), 1);
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    #[must_use]
    pub fn take(dataset: D, count: usize) -> Self {
        let indices = (0..count.min(dataset.len())).collect();
        Self { dataset, indices }
    }
}

impl<D: Dataset> Dataset for Subset<D> {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn sample(&self, index: usize) -> Result<Sample<'_>> {
        match self.indices.get(index) {
            Some(&inner) => self.dataset.sample(inner),
            None => Err(Error::Index { index, len: self.len() }),
        }
    }

    fn classes(&self) -> &[String] {
        self.dataset.classes()
    }

    fn image_shape(&self) -> [usize; 3] {
        self.dataset.image_shape()
    }

    fn is_slow(&self) -> bool {
        self.dataset.is_slow()
    }

    fn label(&self, index: usize) -> Result<usize> {
        match self.indices.get(index) {
            Some(&inner) => self.dataset.label(inner),
            None => Err(Error::Index { index, len: self.len() }),
        }
    }
}

/// Divides the samples in two: the second part gets a `share` of each class, rounded, that the seed draws;
/// the order of the samples stays. Of a class with two samples or more neither part gets all, and the
/// second nothing of one with a single sample.
///
/// ```
/// use std::sync::Arc;
/// use ferrotape_data::{Dataset, InMemory, split};
///
/// let labels = (0..20).map(|i| i % 2).collect();
/// let images = InMemory::new(vec![0; 20], [1, 1, 1], labels, InMemory::numbered_classes(2))?;
/// let [train, validation] = split(Arc::new(images), 0.2, 42)?;
/// assert_eq!((train.len(), validation.len()), (16, 4));
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
///
/// # Errors
///
/// If the share is not between 0 and 1, or a sample cannot be read.
pub fn split(
    dataset: Arc<dyn Dataset>,
    share: f64,
    seed: u64,
) -> Result<[Subset<Arc<dyn Dataset>>; 2]> {
    if !(0.0..1.0).contains(&share) {
        return Err(Error::Options(format!(
            "the share that is split off is {share}; give a number from 0 up to, but not, 1"
        )));
    }
    let mut of_class = vec![Vec::new(); dataset.classes().len()];
    for index in 0..dataset.len() {
        let label = dataset.label(index)?;
        let classes = of_class.len();
        let indices = of_class.get_mut(label).ok_or_else(|| {
            Error::Dataset(format!("sample {index} is of class {label}, and there are {classes}"))
        })?;
        indices.push(index);
    }
    let mut is_second = vec![false; dataset.len()];
    for (class, indices) in of_class.iter().enumerate() {
        let wanted = (share * indices.len() as f64).round() as usize;
        let most = indices.len().saturating_sub(1);
        let wanted = wanted.clamp(usize::from(share > 0.0).min(most), most);
        let order = Rng::new(seed).path("split").step(class as u64).permutation(indices.len());
        order[..wanted].iter().for_each(|&at| is_second[indices[at]] = true);
    }
    let part = |second: bool| {
        let indices = (0..dataset.len()).filter(|&index| is_second[index] == second).collect();
        Subset { dataset: Arc::clone(&dataset), indices }
    };
    Ok([part(false), part(true)])
}
