//! Pictures of digits, brought to the form in which models of digits know them.

use image::imageops::{self, FilterType};
use image::{GrayImage, Luma};

use crate::dataset::Image;
use crate::error::{Error, Result};
use crate::picture::Picture;

/// Pixels brighter than this, on black ground, belong to the figure.
const INK: u8 = 40;

impl Picture {
    /// The picture as MNIST's makers would have made it: of the shape `[1, H, W]`, light on dark.
    ///
    /// Ink on bright paper is inverted. A picture of that very size is otherwise taken as it is; in any other
    /// the figure is cut out, scaled to five sevenths of the size and centred by its mass.
    ///
    /// # Errors
    ///
    /// If there is another number of channels than one, or a side is 0 or above 20,000.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("one.png");
    /// # let mut page = image::GrayImage::from_pixel(90, 120, image::Luma([250]));
    /// # (30..100).for_each(|y| (40..50).for_each(|x| page.put_pixel(x, y, image::Luma([5]))));
    /// # page.save(&path)?;
    /// // A dark stroke on bright paper, anywhere on the page.
    /// let digit = ferrotape_data::Picture::read(&path)?.digit([1, 28, 28])?;
    /// assert_eq!(digit.pixels()[0], 0);
    /// assert!(digit.pixels()[14 * 28 + 14] > 200);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn digit(&self, shape: [usize; 3]) -> Result<Image<'static>> {
        let [channels, height, width] = shape;
        // What sides there can be is known there.
        let as_it_is = self.fit([1, height, width])?;
        if channels != 1 {
            return Err(Error::Dataset(format!(
                "a digit is grey, and a model of {channels} channels does not expect one; show it pictures"
            )));
        }
        let [rows, columns] = self.size();
        if (rows, columns) == (height, width) {
            let grey = light_on_dark(&image_of(&as_it_is));
            return Image::new(grey.into_raw(), shape);
        }
        let grey = light_on_dark(&image_of(&self.grey()));
        Image::new(fit(&grey, width as u32, height as u32).into_raw(), shape)
    }
}

/// A grey image as the library has it.
fn image_of(grey: &Image<'_>) -> GrayImage {
    let [_, height, width] = grey.shape();
    GrayImage::from_raw(width as u32, height as u32, grey.pixels().to_vec())
        .expect("a grey image has a byte a pixel, and sides of at most 20,000")
}

/// Inverts a picture whose border is bright: ink on paper.
fn light_on_dark(grey: &GrayImage) -> GrayImage {
    let (w, h) = grey.dimensions();
    let border = grey
        .enumerate_pixels()
        .filter(|(x, y, _)| *x == 0 || *y == 0 || *x + 1 == w || *y + 1 == h)
        .map(|(_, _, p)| u64::from(p[0]));
    let (sum, count) = border.fold((0, 0), |(sum, count), p| (sum + p, count + 1));
    let mut result = grey.clone();
    if sum > 127 * count {
        imageops::invert(&mut result);
    }
    result
}

/// The figure in the middle of black ground.
fn fit(grey: &GrayImage, width: u32, height: u32) -> GrayImage {
    let mut canvas = GrayImage::new(width, height);
    let Some((x0, y0, x1, y1)) = bounds(grey) else { return canvas };
    let figure = imageops::crop_imm(grey, x0, y0, x1 - x0 + 1, y1 - y0 + 1).to_image();
    let (box_w, box_h) = (width * 5 / 7, height * 5 / 7);
    let scale = (f64::from(box_w) / f64::from(figure.width()))
        .min(f64::from(box_h) / f64::from(figure.height()));
    let side = |size: u32| ((f64::from(size) * scale).round() as u32).max(1);
    let small = imageops::resize(
        &figure,
        side(figure.width()),
        side(figure.height()),
        FilterType::Triangle,
    );
    let (cx, cy) = centre_of_mass(&small);
    let left = (f64::from(width) / 2.0 - cx).round() as i64;
    let top = (f64::from(height) / 2.0 - cy).round() as i64;
    let left = left.clamp(0, i64::from(width - small.width().min(width)));
    let top = top.clamp(0, i64::from(height - small.height().min(height)));
    imageops::overlay(&mut canvas, &small, left, top);
    canvas
}

/// The smallest box around all ink.
fn bounds(grey: &GrayImage) -> Option<(u32, u32, u32, u32)> {
    let ink = grey.enumerate_pixels().filter(|(_, _, Luma([p]))| *p > INK);
    ink.fold(None, |found, (x, y, _)| match found {
        None => Some((x, y, x, y)),
        Some((x0, y0, x1, y1)) => Some((x0.min(x), y0.min(y), x1.max(x), y1.max(y))),
    })
}

fn centre_of_mass(grey: &GrayImage) -> (f64, f64) {
    let (mut mass, mut x_sum, mut y_sum) = (0.0, 0.0, 0.0);
    for (x, y, Luma([p])) in grey.enumerate_pixels() {
        let weight = f64::from(*p);
        mass += weight;
        x_sum += weight * (f64::from(x) + 0.5);
        y_sum += weight * (f64::from(y) + 0.5);
    }
    if mass > 0.0 { (x_sum / mass, y_sum / mass) } else { (0.0, 0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ink_on_paper_of_any_size_becomes_a_centred_light_figure() {
        let mut page = GrayImage::from_pixel(301, 200, Luma([250]));
        for y in 20..120 {
            for x in 40..60 {
                page.put_pixel(x, y, Luma([10]));
            }
        }
        let file = tempfile::Builder::new().suffix(".png").tempfile().unwrap();
        page.save(file.path()).unwrap();
        let image = Picture::read(file.path()).unwrap().digit([1, 28, 28]).unwrap();
        let bright: Vec<(usize, usize)> =
            (0..28 * 28).filter(|i| image.pixels()[*i] > 127).map(|i| (i / 28, i % 28)).collect();
        let rows: Vec<usize> = bright.iter().map(|p| p.0).collect();
        assert_eq!((rows.iter().min(), rows.iter().max()), (Some(&4), Some(&23)));
        assert!(bright.iter().all(|p| (11..=16).contains(&p.1)), "{bright:?}");
    }

    #[test]
    fn a_digit_of_the_right_size_is_inverted_at_most() {
        let file = tempfile::Builder::new().suffix(".png").tempfile().unwrap();
        let mut page = GrayImage::from_pixel(8, 8, Luma([255]));
        page.put_pixel(1, 2, Luma([0]));
        page.save(file.path()).unwrap();
        let image = Picture::read(file.path()).unwrap().digit([1, 8, 8]).unwrap();
        let lit: Vec<usize> = (0..64).filter(|i| image.pixels()[*i] > 0).collect();
        assert_eq!(lit, [2 * 8 + 1]);
    }

    #[test]
    fn shapes_that_no_digit_has_are_errors() {
        let file = tempfile::Builder::new().suffix(".png").tempfile().unwrap();
        GrayImage::new(9, 9).save(file.path()).unwrap();
        let picture = Picture::read(file.path()).unwrap();
        for shape in [[3, 28, 28], [1, 0, 28], [1, 28, 100_000]] {
            assert!(picture.digit(shape).is_err(), "{shape:?}");
        }
    }

    #[test]
    fn an_empty_page_stays_empty() {
        assert!(fit(&GrayImage::new(50, 40), 28, 28).pixels().all(|p| p[0] == 0));
    }
}
