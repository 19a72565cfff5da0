//! Pictures of any size and colour, made into what a model was trained on.

use std::path::Path;

use ferrotape::data::{FloatImage, Picture};
use image::imageops::{FilterType, resize};
use image::{GrayImage, Luma};

use crate::error::{Failure, Result};

/// Pixels brighter than this, on black ground, belong to the figure.
const INK: u8 = 40;

/// Reads a picture for a model of digits and makes it a grey one of `height` x `width`, light on dark.
///
/// A picture of that very size is taken as it is, but for the colours. In any other the figure is
/// cut out, scaled to five sevenths of the size and centred by its mass, as MNIST's makers did.
pub(crate) fn read_digit(path: &Path, height: usize, width: usize) -> Result<FloatImage> {
    let picture = Picture::read(path)?;
    let [rows, columns] = picture.size().map(|side| side as u32);
    let grey = GrayImage::from_raw(columns, rows, picture.grey().pixels().to_vec())
        .expect("a grey picture has one byte a pixel");
    let grey = light_on_dark(&grey);
    let (w, h) = (width as u32, height as u32);
    let fitted = if grey.dimensions() == (w, h) { grey } else { fit(&grey, w, h) };
    let pixels = fitted.pixels().map(|p| f32::from(p[0]) / 255.0).collect();
    FloatImage::new(pixels, [1, height, width]).map_err(Failure::from)
}

/// Reads a picture as those of a folder of classes are read for a model.
pub(crate) fn read(path: &Path, shape: [usize; 3]) -> Result<FloatImage> {
    Ok(FloatImage::from_bytes(&Picture::read(path)?.fit(shape)?))
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
        image::imageops::invert(&mut result);
    }
    result
}

fn fit(grey: &GrayImage, width: u32, height: u32) -> GrayImage {
    let mut canvas = GrayImage::new(width, height);
    let Some((x0, y0, x1, y1)) = bounds(grey) else { return canvas };
    let figure = image::imageops::crop_imm(grey, x0, y0, x1 - x0 + 1, y1 - y0 + 1).to_image();
    let (box_w, box_h) = (width * 5 / 7, height * 5 / 7);
    let scale = (f64::from(box_w) / f64::from(figure.width()))
        .min(f64::from(box_h) / f64::from(figure.height()));
    let side = |size: u32| ((f64::from(size) * scale).round() as u32).max(1);
    let small = resize(&figure, side(figure.width()), side(figure.height()), FilterType::Triangle);
    let (cx, cy) = centre_of_mass(&small);
    let left = (f64::from(width) / 2.0 - cx).round() as i64;
    let top = (f64::from(height) / 2.0 - cy).round() as i64;
    let left = left.clamp(0, i64::from(width - small.width().min(width)));
    let top = top.clamp(0, i64::from(height - small.height().min(height)));
    image::imageops::overlay(&mut canvas, &small, left, top);
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
        let image = read_digit(file.path(), 28, 28).unwrap();
        let bright: Vec<(usize, usize)> =
            (0..28 * 28).filter(|i| image.pixels()[*i] > 0.5).map(|i| (i / 28, i % 28)).collect();
        let rows: Vec<usize> = bright.iter().map(|p| p.0).collect();
        assert_eq!((rows.iter().min(), rows.iter().max()), (Some(&4), Some(&23)));
        assert!(bright.iter().all(|p| (11..=16).contains(&p.1)), "{bright:?}");
    }

    #[test]
    fn a_picture_that_is_none_is_an_error_that_names_it() {
        let file = tempfile::Builder::new().suffix(".png").tempfile().unwrap();
        std::fs::write(file.path(), b"not a picture").unwrap();
        let error = read_digit(file.path(), 28, 28).unwrap_err().to_string();
        assert!(error.contains("no picture") && error.contains(".png"), "{error}");
    }

    #[test]
    fn an_empty_page_stays_empty() {
        assert!(fit(&GrayImage::new(50, 40), 28, 28).pixels().all(|p| p[0] == 0));
    }
}
