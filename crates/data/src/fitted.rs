//! Images of any size and colours, brought to those that a model takes.

use image::{GrayImage, RgbImage};

use crate::dataset::{Dataset, Image, Sample};
use crate::error::{Error, Result};
use crate::picture::{cover, luma, planes};

/// The images of another dataset in another shape: grey ones repeated as red, green and blue, coloured
/// ones made grey, all scaled (bilinear, antialiased) until they cover the size, and the middle cut out.
///
/// Images of the right size are only given the right channels.
///
/// ```
/// use ferrotape_data::{Dataset, Fitted, InMemory};
///
/// let digits = InMemory::new(vec![7; 2 * 28 * 28], [1, 28, 28], vec![0, 1], InMemory::numbered_classes(2))?;
/// let large = Fitted::new(digits, [3, 64, 64])?;
/// assert_eq!(large.sample(1)?.image.shape(), [3, 64, 64]);
/// assert_eq!(large.sample(1)?.image.pixels()[0], 7);
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Fitted<D> {
    dataset: D,
    shape: [usize; 3],
}

/// The largest side that images are brought to.
const MOST_SIDE: usize = 20_000;

impl<D: Dataset> Fitted<D> {
    /// The images of `dataset` in the shape `[C, H, W]`.
    ///
    /// # Errors
    ///
    /// If either shape has other channels than one or three, or the sides are not between 1 and 20,000.
    ///
    /// ```
    /// use ferrotape_data::{Fitted, InMemory};
    ///
    /// let digits = InMemory::new(vec![0; 4], [1, 2, 2], vec![0], InMemory::numbered_classes(1))?;
    /// assert!(Fitted::new(digits, [2, 8, 8]).is_err());
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    pub fn new(dataset: D, shape: [usize; 3]) -> Result<Self> {
        let from = dataset.image_shape();
        for [channels, height, width] in [from, shape] {
            let is_side = |side: usize| (1..=MOST_SIDE).contains(&side);
            if ![1, 3].contains(&channels) || !is_side(height) || !is_side(width) {
                return Err(Error::Dataset(format!(
                    "images of the shape [C, H, W] = {from:?} cannot be brought to {shape:?}; there are 1 or \
                     3 channels, and sides go from 1 to {MOST_SIDE}"
                )));
            }
        }
        Ok(Self { dataset, shape })
    }

    fn fit<'a>(&self, image: Image<'a>) -> Result<Image<'a>> {
        let ([from, rows, columns], [channels, height, width]) = (image.shape(), self.shape);
        if image.shape() == self.shape {
            return Ok(image);
        }
        let side = |side: usize| side as u32;
        let size = [side(height), side(width)];
        let wrong = || Error::Dataset("an image has another shape than its dataset says".into());
        let pixels = if from == 1 {
            let grey = GrayImage::from_raw(side(columns), side(rows), image.pixels().to_vec());
            let grey = cover(&grey.ok_or_else(wrong)?, size, size).into_raw();
            if channels == 1 { grey } else { grey.repeat(3) }
        } else {
            let area = rows * columns;
            let pixel = |i: usize| [0, 1, 2].map(|channel| image.pixels()[channel * area + i]);
            let colours: Vec<u8> = (0..area).flat_map(pixel).collect();
            let colours =
                RgbImage::from_raw(side(columns), side(rows), colours).ok_or_else(wrong)?;
            match channels {
                1 => cover(&luma(&colours), size, size).into_raw(),
                _ => planes(&cover(&colours, size, size)),
            }
        };
        Image::new(pixels, self.shape)
    }
}

impl<D: Dataset> Dataset for Fitted<D> {
    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn sample(&self, index: usize) -> Result<Sample<'_>> {
        let Sample { image, label } = self.dataset.sample(index)?;
        Ok(Sample { image: self.fit(image)?, label })
    }

    fn classes(&self) -> &[String] {
        self.dataset.classes()
    }

    fn image_shape(&self) -> [usize; 3] {
        self.shape
    }

    fn is_slow(&self) -> bool {
        let [_, rows, columns] = self.dataset.image_shape();
        self.dataset.is_slow() || [rows, columns] != self.shape[1..]
    }

    fn label(&self, index: usize) -> Result<usize> {
        self.dataset.label(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InMemory;

    fn one(pixels: Vec<u8>, from: [usize; 3], to: [usize; 3]) -> Vec<u8> {
        let images = InMemory::new(pixels, from, vec![0], InMemory::numbered_classes(1)).unwrap();
        let fitted = Fitted::new(images, to).unwrap();
        let sample = fitted.sample(0).unwrap();
        sample.image.pixels().to_vec()
    }

    #[test]
    fn grey_is_repeated_and_colours_become_grey() {
        assert_eq!(one(vec![5, 9], [1, 1, 2], [3, 1, 2]), [5, 9, 5, 9, 5, 9]);
        // Rec. 601, as Picture::grey has it.
        assert_eq!(one(vec![0, 255, 255, 0, 0, 0], [3, 1, 2], [1, 1, 2]), [150, 76]);
    }

    #[test]
    fn an_even_image_stays_even_in_any_size_and_nothing_of_its_edge_is_lost() {
        assert!(one(vec![77; 3 * 6], [3, 2, 3], [3, 9, 5]).iter().all(|&pixel| pixel == 77));
        let mut frame = vec![0; 28 * 28];
        frame[..28].fill(255);
        let large = one(frame, [1, 28, 28], [1, 224, 224]);
        assert!(large[..224].iter().all(|&pixel| pixel > 200));
        assert!(large[224 * 20..].iter().all(|&pixel| pixel == 0));
    }
}
