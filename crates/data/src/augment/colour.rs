//! Random changes of what is seen, not of where.

use ferrotape_backend::Rng;

use super::rectangle::Rectangle;
use crate::error::{Error, Result};
use crate::transform::{FloatImage, Transform};

/// Changes brightness, contrast and saturation by random factors from `1 - strength` to `1 + strength`, one
/// after the other: torchvision's `ColorJitter` without its hue, in its default order. Pixels are in `[0, 1]`
/// and stay there. Grey is `0.2989 R + 0.587 G + 0.114 B`; images of other than three channels have no
/// saturation.
///
/// ```
/// use ferrotape_backend::Rng;
/// use ferrotape_data::{ColourJitter, FloatImage, Transform};
///
/// let mut image = FloatImage::new(vec![0.5; 12], [3, 2, 2])?;
/// ColourJitter { brightness: 0.5, ..Default::default() }.apply(&mut image, Rng::new(0))?;
/// assert!((0.25..=0.75).contains(&image.pixels()[0]));
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ColourJitter {
    /// All pixels times a factor.
    pub brightness: f64,
    /// The distance of all pixels from the mean grey of the image, times a factor.
    pub contrast: f64,
    /// The distance of each pixel from its grey, times a factor.
    pub saturation: f64,
}

/// The share of each channel in grey.
const GREY: [f32; 3] = [0.2989, 0.587, 0.114];

impl Transform for ColourJitter {
    fn apply(&self, image: &mut FloatImage, rng: Rng) -> Result<()> {
        let factor = |index: u64, name: &str, strength: f64| {
            if !(strength >= 0.0 && strength.is_finite()) {
                return Err(Error::Transform {
                    transform: "ColourJitter",
                    problem: format!("{name} is {strength}; give a number of at least 0"),
                });
            }
            let (low, high) = ((1.0 - strength).max(0.0), 1.0 + strength);
            Ok((low + (high - low) * rng.uniform_f64(index)) as f32)
        };
        let brightness = factor(0, "brightness", self.brightness)?;
        let contrast = factor(1, "contrast", self.contrast)?;
        let saturation = factor(2, "saturation", self.saturation)?;
        let [channels, height, width] = image.shape();
        let area = height * width;
        if area == 0 || channels == 0 {
            return Ok(());
        }
        let pixels = image.pixels_mut();
        if self.brightness > 0.0 {
            pixels.iter_mut().for_each(|pixel| *pixel = (*pixel * brightness).clamp(0.0, 1.0));
        }
        if self.contrast > 0.0 {
            let mean = grey(pixels, channels, area).map(f64::from).sum::<f64>() / area as f64;
            let towards = |pixel: f32| mean as f32 + (pixel - mean as f32) * contrast;
            pixels.iter_mut().for_each(|pixel| *pixel = towards(*pixel).clamp(0.0, 1.0));
        }
        if self.saturation > 0.0 && channels == 3 {
            let grey: Vec<f32> = grey(pixels, channels, area).collect();
            for plane in pixels.chunks_exact_mut(area) {
                for (pixel, &grey) in plane.iter_mut().zip(&grey) {
                    *pixel = (grey + (*pixel - grey) * saturation).clamp(0.0, 1.0);
                }
            }
        }
        Ok(())
    }
}

/// The grey of each pixel; the mean of the channels where they are not three.
fn grey(pixels: &[f32], channels: usize, area: usize) -> impl Iterator<Item = f32> + '_ {
    (0..area).map(move |at| {
        let values = (0..channels).map(|channel| pixels[channel * area + at]);
        match channels {
            3 => values.zip(GREY).map(|(value, share)| value * share).sum(),
            _ => values.sum::<f32>() / channels as f32,
        }
    })
}

/// Fills a rectangle with a value, with a probability (Zhong et al. 2017): torchvision's `RandomErasing`, which
/// stands after the normalisation, so that 0 is the mean. Cutout (DeVries and Taylor 2017) is a ratio of 1.
///
/// The rectangle's area is drawn uniformly as a share of the image's, its ratio of height to width
/// log-uniformly; what does not fit after ten draws is left away.
///
/// ```
/// use ferrotape_backend::Rng;
/// use ferrotape_data::{FloatImage, RandomErasing, Transform};
///
/// let mut image = FloatImage::new(vec![1.0; 64], [1, 8, 8])?;
/// RandomErasing { probability: 1.0, ..Default::default() }.apply(&mut image, Rng::new(0))?;
/// assert!(image.pixels().contains(&0.0));
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomErasing {
    /// How likely it is, from 0 to 1.
    pub probability: f64,
    /// The least and the greatest share of the image's area.
    pub area: (f64, f64),
    /// The least and the greatest ratio of height to width.
    pub ratio: (f64, f64),
    /// What stands in the rectangle.
    pub value: f32,
}

impl Default for RandomErasing {
    /// As in torchvision: half of the images, 2 % to 33 % of the area, ratios from 0.3 to 3.3, zeros.
    fn default() -> Self {
        Self { probability: 0.5, area: (0.02, 0.33), ratio: (0.3, 3.3), value: 0.0 }
    }
}

impl Transform for RandomErasing {
    fn apply(&self, image: &mut FloatImage, rng: Rng) -> Result<()> {
        let (area, ratio) = (self.area, self.ratio);
        let rectangle = Rectangle { transform: "RandomErasing", area, ratio };
        rectangle.check()?;
        if rng.uniform_f64(0) >= self.probability {
            return Ok(());
        }
        let [_, height, width] = image.shape();
        let fits = |[h, w]: [usize; 2]| (1..height).contains(&h) && (1..width).contains(&w);
        let Some(([h, w], key)) = rectangle.draw(height * width, rng, fits) else { return Ok(()) };
        let top = key.below(2, (height - h) as u64 + 1) as usize;
        let left = key.below(3, (width - w) as u64 + 1) as usize;
        for (index, row) in image.pixels_mut().chunks_exact_mut(width).enumerate() {
            if (top..top + h).contains(&(index % height)) {
                row[left..left + w].fill(self.value);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coloured() -> FloatImage {
        FloatImage::new((0..27).map(|i| i as f32 / 27.0).collect(), [3, 3, 3]).unwrap()
    }

    #[test]
    fn no_strength_changes_nothing_and_pixels_stay_in_range() {
        let mut image = coloured();
        ColourJitter::default().apply(&mut image, Rng::new(3)).unwrap();
        assert_eq!(image, coloured());
        for seed in 0..100 {
            let mut image = coloured();
            let jitter = ColourJitter { brightness: 0.9, contrast: 2.0, saturation: 3.0 };
            jitter.apply(&mut image, Rng::new(seed)).unwrap();
            assert!(image.pixels().iter().all(|pixel| (0.0..=1.0).contains(pixel)));
        }
        let wrong = ColourJitter { contrast: f64::NAN, ..Default::default() };
        assert!(wrong.apply(&mut coloured(), Rng::new(0)).is_err());
    }

    #[test]
    fn saturation_leaves_the_grey_of_every_pixel() {
        let mut image = FloatImage::new(vec![0.4, 0.5, 0.6], [3, 1, 1]).unwrap();
        let before = grey(image.pixels(), 3, 1).next().unwrap();
        let jitter = ColourJitter { saturation: 0.5, ..Default::default() };
        jitter.apply(&mut image, Rng::new(1)).unwrap();
        assert_ne!(image.pixels(), [0.4, 0.5, 0.6]);
        // The shares of the channels add up to 0.9999.
        assert!((grey(image.pixels(), 3, 1).next().unwrap() - before).abs() < 1e-4);
    }

    #[test]
    fn what_is_erased_is_a_rectangle_of_the_area_asked_for() {
        let erasing = RandomErasing { probability: 1.0, area: (0.1, 0.2), ..Default::default() };
        for seed in 0..100 {
            let mut image = FloatImage::new(vec![1.0; 2 * 400], [2, 20, 20]).unwrap();
            erasing.apply(&mut image, Rng::new(seed)).unwrap();
            let (first, second) = image.pixels().split_at(400);
            assert_eq!(first, second, "all channels alike");
            let rows: Vec<usize> =
                first.chunks(20).map(|row| row.iter().filter(|&&p| p == 0.0).count()).collect();
            let wide = rows.iter().copied().max().unwrap();
            assert!(rows.iter().all(|&count| count == 0 || count == wide), "{rows:?}");
            let area = rows.iter().sum::<usize>();
            assert!((25..=100).contains(&area), "{area} of 400");
        }
        let never = RandomErasing { probability: 0.0, ..Default::default() };
        let mut image = coloured();
        never.apply(&mut image, Rng::new(0)).unwrap();
        assert_eq!(image, coloured());
    }
}
