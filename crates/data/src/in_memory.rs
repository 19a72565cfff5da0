//! A dataset that lies in memory as a whole.

use crate::dataset::{Dataset, Image, Sample, volume};
use crate::error::{Error, Result};

/// Images of one shape and their labels, in memory.
///
/// ```
/// use ferrotape_data::{Dataset, InMemory};
///
/// let classes = vec!["cat".to_owned(), "dog".to_owned()];
/// let pets = InMemory::new(vec![0; 2 * 3 * 8 * 8], [3, 8, 8], vec![1, 0], classes)?;
/// assert_eq!(pets.classes()[pets.sample(0)?.label], "dog");
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct InMemory {
    pixels: Vec<u8>,
    shape: [usize; 3],
    labels: Vec<usize>,
    classes: Vec<String>,
}

impl InMemory {
    /// A dataset of the images in `pixels`, one after the other, each of the shape `[C, H, W]`.
    ///
    /// # Errors
    ///
    /// If a size in `shape` is zero, if there are not C · H · W bytes for every label, or if a
    /// label is not the index of a class.
    ///
    /// ```
    /// use ferrotape_data::InMemory;
    ///
    /// let one_class = InMemory::numbered_classes(1);
    /// assert!(InMemory::new(vec![0; 8], [1, 2, 2], vec![0, 0], one_class.clone()).is_ok());
    /// assert!(InMemory::new(vec![0; 7], [1, 2, 2], vec![0, 0], one_class.clone()).is_err());
    /// assert!(InMemory::new(vec![0; 8], [1, 2, 2], vec![0, 1], one_class).is_err());
    /// ```
    pub fn new(
        pixels: Vec<u8>,
        shape: [usize; 3],
        labels: Vec<usize>,
        classes: Vec<String>,
    ) -> Result<Self> {
        if shape.contains(&0) {
            return Err(Error::Dataset(format!(
                "images of the shape [C, H, W] = {shape:?} have no pixels; every size must be at \
                 least 1"
            )));
        }
        let needed = volume(shape).and_then(|size| size.checked_mul(labels.len()));
        if needed != Some(pixels.len()) {
            return Err(Error::Dataset(format!(
                "{} bytes are not the pixels of {} images of the shape [C, H, W] = {shape:?}; \
                 give C · H · W bytes for every label",
                pixels.len(),
                labels.len()
            )));
        }
        if let Some(position) = labels.iter().position(|&label| label >= classes.len()) {
            return Err(Error::Dataset(format!(
                "label {} of item {position} is out of range, as there are {} classes, numbered \
                 from 0; correct the label or name more classes",
                labels[position],
                classes.len()
            )));
        }
        Ok(Self { pixels, shape, labels, classes })
    }

    /// The class names "0", "1", … for data whose classes have no other.
    ///
    /// ```
    /// assert_eq!(ferrotape_data::InMemory::numbered_classes(3), ["0", "1", "2"]);
    /// ```
    #[must_use]
    pub fn numbered_classes(count: usize) -> Vec<String> {
        (0..count).map(|class| class.to_string()).collect()
    }

    /// The pixels of all images, one after the other, as `[N, C, H, W]`.
    ///
    /// ```
    /// use ferrotape_data::InMemory;
    ///
    /// let data = InMemory::new(vec![4, 5], [1, 1, 1], vec![0, 0], InMemory::numbered_classes(1))?;
    /// assert_eq!(data.pixels(), [4, 5]);
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The labels of all images, in order.
    ///
    /// ```
    /// use ferrotape_data::InMemory;
    ///
    /// let data = InMemory::new(vec![4, 5], [1, 1, 1], vec![0, 1], InMemory::numbered_classes(2))?;
    /// assert_eq!(data.labels(), [0, 1]);
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    #[must_use]
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }
}

impl std::fmt::Debug for InMemory {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Millions of pixels would help nobody who prints a loader.
        formatter
            .debug_struct("InMemory")
            .field("len", &self.labels.len())
            .field("shape", &self.shape)
            .field("classes", &self.classes)
            .finish_non_exhaustive()
    }
}

impl Dataset for InMemory {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn sample(&self, index: usize) -> Result<Sample<'_>> {
        let Some(&label) = self.labels.get(index) else {
            return Err(Error::Index { index, len: self.len() });
        };
        // `new` has checked that there are this many bytes for every label.
        let size = self.pixels.len() / self.labels.len();
        let pixels = &self.pixels[index * size..(index + 1) * size];
        Ok(Sample { image: Image::new(pixels, self.shape)?, label })
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn image_shape(&self) -> [usize; 3] {
        self.shape
    }
}
