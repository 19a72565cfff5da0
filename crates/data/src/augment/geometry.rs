//! Random changes of where things are in an image.

use ferrotape_backend::Rng;

use super::rectangle::Rectangle;
use crate::error::{Error, Result};
use crate::transform::{FloatImage, Transform};

/// Moves the image by whole pixels, up to `pixels` in each direction, each offset as likely.
///
/// ```
/// use ferrotape_backend::Rng;
/// use ferrotape_data::{FloatImage, RandomTranslate, Transform};
///
/// let mut image = FloatImage::new(vec![1.0; 9], [1, 3, 3])?;
/// RandomTranslate { pixels: 1, fill: 0.0 }.apply(&mut image, Rng::new(0))?;
/// assert!(image.pixels().iter().sum::<f32>() >= 4.0);
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RandomTranslate {
    /// The largest offset to the left, to the right, up and down.
    pub pixels: usize,
    /// The value of pixels that come from outside the image.
    pub fill: f32,
}

impl Transform for RandomTranslate {
    fn apply(&self, image: &mut FloatImage, rng: Rng) -> Result<()> {
        let [_, height, width] = image.shape();
        // No image has as many pixels as the cap, and below it the arithmetic cannot overflow.
        let most = self.pixels.min(1 << 40) as i64;
        let offset = |axis| rng.below(axis, 2 * most as u64 + 1) as i64 - most;
        translate(image, offset(0), offset(1), height, width, self.fill);
        Ok(())
    }
}

/// Moves the image down by `down` and right by `right`.
fn translate(
    image: &mut FloatImage,
    down: i64,
    right: i64,
    height: usize,
    width: usize,
    fill: f32,
) {
    // Where the columns that stay in the image come from and go to.
    let shift = (right.unsigned_abs() as usize).min(width);
    let (from, to) = if right >= 0 { (0, shift) } else { (shift, 0) };
    let kept = width - shift;
    let source = image.pixels().to_vec();
    for (index, row) in image.pixels_mut().chunks_exact_mut(width.max(1)).enumerate() {
        row.fill(fill);
        let (plane, y) = (index / height, index % height);
        let source_y = y as i64 - down;
        if (0..height as i64).contains(&source_y) {
            let start = (plane * height + source_y as usize) * width;
            row[to..to + kept].copy_from_slice(&source[start + from..][..kept]);
        }
    }
}

/// Turns, scales and moves the image about its centre, with bilinear interpolation.
///
/// A point p of the result, measured from the centre, shows the point R(−angle) (p − offset) / scale
/// of the image. The angle, the logarithm of the scale and the offsets are drawn uniformly. Positive
/// angles turn clockwise as one sees the image. The angle's sine and cosine are those of `libm`, so
/// that the result is the same on every platform.
///
/// ```
/// use ferrotape_backend::Rng;
/// use ferrotape_data::{FloatImage, RandomAffine, Transform};
///
/// let affine = RandomAffine { degrees: 10.0, scale: (0.9, 1.1), translate: 2.0, ..Default::default() };
/// let mut image = FloatImage::new(vec![1.0; 28 * 28], [1, 28, 28])?;
/// affine.apply(&mut image, Rng::new(0))?;
/// assert_eq!(image.shape(), [1, 28, 28]);
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomAffine {
    /// The largest angle in either direction, in degrees.
    pub degrees: f64,
    /// The smallest and the largest scale; 2 shows everything twice as large.
    pub scale: (f64, f64),
    /// The largest offset in pixels, along each axis and in either direction.
    pub translate: f64,
    /// The value of pixels that come from outside the image.
    pub fill: f32,
}

impl Default for RandomAffine {
    /// Leaves the image as it is.
    fn default() -> Self {
        Self { degrees: 0.0, scale: (1.0, 1.0), translate: 0.0, fill: 0.0 }
    }
}

impl RandomAffine {
    fn check(&self) -> Result<()> {
        let problem = |problem| Err(Error::Transform { transform: "RandomAffine", problem });
        let (low, high) = self.scale;
        if !(low > 0.0 && low <= high && high.is_finite()) {
            return problem(format!(
                "its scale goes from {low} to {high}; give two positive numbers, the smaller first"
            ));
        }
        for (name, value) in [("degrees", self.degrees), ("translate", self.translate)] {
            if !(value.is_finite() && value >= 0.0) {
                return problem(format!("{name} is {value}; give a number that is not negative"));
            }
        }
        Ok(())
    }
}

impl Transform for RandomAffine {
    fn apply(&self, image: &mut FloatImage, rng: Rng) -> Result<()> {
        self.check()?;
        let symmetric = |index| 2.0 * rng.uniform_f64(index) - 1.0;
        let angle = self.degrees.to_radians() * symmetric(0);
        let (low, high) = (libm::log(self.scale.0), libm::log(self.scale.1));
        let scale = libm::exp(low + (high - low) * rng.uniform_f64(1));
        let (down, right) = (self.translate * symmetric(2), self.translate * symmetric(3));
        affine(image, angle, scale, down, right, self.fill);
        Ok(())
    }
}

fn affine(image: &mut FloatImage, angle: f64, scale: f64, down: f64, right: f64, fill: f32) {
    let [channels, height, width] = image.shape();
    let (sin, cos) = (libm::sin(angle) / scale, libm::cos(angle) / scale);
    let (center_y, center_x) = ((height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0);
    let source = Framed::new(image, fill);
    let area = height * width;
    let target = image.pixels_mut();
    for y in 0..height {
        // The point that the row's first pixel shows; each further pixel adds (-sin, cos) to it.
        let (dy, dx) = (y as f64 - center_y - down, -center_x - right);
        let first_y = (center_y - sin * dx + cos * dy) as f32;
        let first_x = (center_x + cos * dx + sin * dy) as f32;
        for x in 0..width {
            let source_y = first_y - sin as f32 * x as f32;
            let source_x = first_x + cos as f32 * x as f32;
            let tap = source.tap(source_y, source_x);
            for channel in 0..channels {
                target[channel * area + y * width + x] = source.sample(channel, &tap);
            }
        }
    }
}

/// Mirrors the image from left to right with a probability: torchvision's `RandomHorizontalFlip`.
///
/// ```
/// use ferrotape_backend::Rng;
/// use ferrotape_data::{FloatImage, RandomFlip, Transform};
///
/// let mut image = FloatImage::new(vec![1.0, 2.0, 3.0], [1, 1, 3])?;
/// RandomFlip { probability: 1.0 }.apply(&mut image, Rng::new(0))?;
/// assert_eq!(image.pixels(), [3.0, 2.0, 1.0]);
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomFlip {
    /// How likely it is, from 0 to 1.
    pub probability: f64,
}

impl Transform for RandomFlip {
    fn apply(&self, image: &mut FloatImage, rng: Rng) -> Result<()> {
        if rng.uniform_f64(0) < self.probability {
            let width = image.shape()[2].max(1);
            image.pixels_mut().chunks_exact_mut(width).for_each(<[f32]>::reverse);
        }
        Ok(())
    }
}

/// Shows a part of the image at the size of the whole: torchvision's `RandomResizedCrop`, with bilinear
/// interpolation between the pixels of the part.
///
/// The part's area is drawn uniformly as a share of the image's, its ratio of width to height log-uniformly.
/// What does not fit after ten draws is the largest part in the middle that has a ratio within the bounds.
///
/// ```
/// use ferrotape_backend::Rng;
/// use ferrotape_data::{FloatImage, RandomResizedCrop, Transform};
///
/// let mut image = FloatImage::new(vec![0.5; 64], [1, 8, 8])?;
/// RandomResizedCrop::default().apply(&mut image, Rng::new(0))?;
/// assert_eq!((image.shape(), image.pixels()[9]), ([1, 8, 8], 0.5));
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomResizedCrop {
    /// The least and the greatest share of the image's area.
    pub area: (f64, f64),
    /// The least and the greatest ratio of width to height.
    pub ratio: (f64, f64),
}

impl Default for RandomResizedCrop {
    /// As in torchvision: 8 % of the area and more, ratios from 3/4 to 4/3.
    fn default() -> Self {
        Self { area: (0.08, 1.0), ratio: (3.0 / 4.0, 4.0 / 3.0) }
    }
}

impl RandomResizedCrop {
    fn rectangle(&self) -> Rectangle {
        Rectangle { transform: "RandomResizedCrop", area: self.area, ratio: self.ratio }
    }

    /// Top, left, height and width of the part.
    fn part(&self, height: usize, width: usize, rng: Rng) -> [usize; 4] {
        let fits = |[w, h]: [usize; 2]| (1..=height).contains(&h) && (1..=width).contains(&w);
        if let Some(([w, h], key)) = self.rectangle().draw(height * width, rng, fits) {
            let top = key.below(2, (height - h) as u64 + 1) as usize;
            return [top, key.below(3, (width - w) as u64 + 1) as usize, h, w];
        }
        let whole = width as f64 / height.max(1) as f64;
        let (h, w) = if whole < self.ratio.0 {
            (libm::round(width as f64 / self.ratio.0) as usize, width)
        } else if whole > self.ratio.1 {
            (height, libm::round(height as f64 * self.ratio.1) as usize)
        } else {
            (height, width)
        };
        let (h, w) = (h.clamp(1, height.max(1)), w.clamp(1, width.max(1)));
        [(height - h) / 2, (width - w) / 2, h, w]
    }
}

impl Transform for RandomResizedCrop {
    fn apply(&self, image: &mut FloatImage, rng: Rng) -> Result<()> {
        self.rectangle().check()?;
        let [channels, height, width] = image.shape();
        if height == 0 || width == 0 {
            return Ok(());
        }
        let [top, left, h, w] = self.part(height, width, rng);
        let source = image.pixels().to_vec();
        // The pixel of the part, with the one after it and its share, that each of the image shows.
        let taps = |size: usize, part: usize, offset: usize| -> Vec<(usize, usize, f32)> {
            let tap = |i: usize| {
                let at = ((i as f64 + 0.5) * part as f64 / size as f64 - 0.5).max(0.0);
                let first = (at as usize).min(part - 1);
                (offset + first, offset + (first + 1).min(part - 1), (at - first as f64) as f32)
            };
            (0..size).map(tap).collect()
        };
        let (rows, columns) = (taps(height, h, top), taps(width, w, left));
        for channel in 0..channels {
            let plane = &source[channel * height * width..][..height * width];
            let target = &mut image.pixels_mut()[channel * height * width..][..height * width];
            for (row, &(y0, y1, wy)) in target.chunks_exact_mut(width).zip(&rows) {
                for (pixel, &(x0, x1, wx)) in row.iter_mut().zip(&columns) {
                    let mix = |a: f32, b: f32, share: f32| a + (b - a) * share;
                    let upper = mix(plane[y0 * width + x0], plane[y0 * width + x1], wx);
                    let lower = mix(plane[y1 * width + x0], plane[y1 * width + x1], wx);
                    *pixel = mix(upper, lower, wy);
                }
            }
        }
        Ok(())
    }
}

/// A copy of an image in a frame of its filling: one pixel above and to the left, two below and to
/// the right. So no point of the image, nor one beside it, needs a look at the bounds.
struct Framed {
    pixels: Vec<f32>,
    stride: usize,
    area: usize,
    bottom: f32,
    right: f32,
}

/// A point between pixels: its neighbour to the upper left, and how far it lies from that.
struct Tap {
    index: usize,
    weight_y: f32,
    weight_x: f32,
}

impl Framed {
    fn new(image: &FloatImage, fill: f32) -> Self {
        let [channels, height, width] = image.shape();
        let (stride, area) = (width + 3, (height + 3) * (width + 3));
        let mut pixels = vec![fill; channels * area];
        for (index, row) in image.pixels().chunks_exact(width.max(1)).enumerate() {
            let start = index / height * area + (index % height + 1) * stride + 1;
            pixels[start..start + width].copy_from_slice(row);
        }
        Self { pixels, stride, area, bottom: height as f32, right: width as f32 }
    }

    fn tap(&self, y: f32, x: f32) -> Tap {
        // Points farther outside than the frame show the filling just as those in the frame do.
        // `max` gives the other operand for NaN, where two infinite offsets have met.
        let y = y.max(-1.0).min(self.bottom) + 1.0;
        let x = x.max(-1.0).min(self.right) + 1.0;
        let (whole_y, whole_x) = (y as u32, x as u32);
        Tap {
            index: whole_y as usize * self.stride + whole_x as usize,
            weight_y: y - whole_y as f32,
            weight_x: x - whole_x as f32,
        }
    }

    fn sample(&self, channel: usize, tap: &Tap) -> f32 {
        let mix = |from: f32, to: f32, weight: f32| from + (to - from) * weight;
        let upper_left = channel * self.area + tap.index;
        let upper = &self.pixels[upper_left..upper_left + self.stride + 2];
        let (upper, lower) = (&upper[..2], &upper[self.stride..]);
        let upper = mix(upper[0], upper[1], tap.weight_x);
        let lower = mix(lower[0], lower[1], tap.weight_x);
        mix(upper, lower, tap.weight_y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::FRAC_PI_2;

    /// Two channels of 3 x 4 pixels, all different.
    fn numbered() -> FloatImage {
        FloatImage::new((1..=24).map(|pixel| pixel as f32).collect(), [2, 3, 4]).unwrap()
    }

    #[test]
    fn a_translation_moves_down_and_right_and_fills_the_rest() {
        let mut image = numbered();
        translate(&mut image, 1, -2, 3, 4, 0.5);
        let f = 0.5;
        let expected = [
            [f, f, f, f, 3., 4., f, f, 7., 8., f, f],
            [f, f, f, f, 15., 16., f, f, 19., 20., f, f],
        ];
        assert_eq!(image.pixels(), expected.as_flattened());
    }

    #[test]
    fn a_translation_by_more_than_the_image_leaves_only_the_filling() {
        for (down, right) in [(3, 0), (0, -4), (-50, 50)] {
            let mut image = numbered();
            translate(&mut image, down, right, 3, 4, 0.0);
            assert!(image.pixels().iter().all(|&pixel| pixel == 0.0));
        }
    }

    #[test]
    fn every_offset_up_to_the_largest_is_drawn_and_no_other() {
        let mut seen = std::collections::HashSet::new();
        for step in 0..500 {
            let mut pixels = vec![0.0; 49];
            pixels[24] = 1.0;
            let mut image = FloatImage::new(pixels, [1, 7, 7]).unwrap();
            let transform = RandomTranslate { pixels: 2, fill: 0.0 };
            transform.apply(&mut image, Rng::new(1).step(step)).unwrap();
            seen.insert(image.pixels().iter().position(|&pixel| pixel == 1.0).unwrap());
        }
        let expected = (1..6).flat_map(|y| (1..6).map(move |x| y * 7 + x)).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn the_default_affine_map_changes_nothing() {
        let mut image = numbered();
        RandomAffine::default().apply(&mut image, Rng::new(5)).unwrap();
        assert_eq!(image, numbered());
    }

    #[test]
    fn a_quarter_turn_is_clockwise() {
        let mut image = FloatImage::new((1..=9).map(|p| p as f32).collect(), [1, 3, 3]).unwrap();
        affine(&mut image, FRAC_PI_2, 1.0, 0.0, 0.0, 0.0);
        let expected = [7., 4., 1., 8., 5., 2., 9., 6., 3.];
        for (pixel, expected) in image.pixels().iter().zip(expected) {
            assert!((pixel - expected).abs() < 1e-5, "{:?}", image.pixels());
        }
    }

    #[test]
    fn whole_offsets_of_the_affine_map_are_translations() {
        let (mut mapped, mut moved) = (numbered(), numbered());
        affine(&mut mapped, 0.0, 1.0, 1.0, -2.0, 0.5);
        translate(&mut moved, 1, -2, 3, 4, 0.5);
        assert_eq!(mapped, moved);
    }

    #[test]
    fn scaling_by_two_interpolates_between_neighbours() {
        let mut image = FloatImage::new(vec![0.0, 1.0, 2.0], [1, 1, 3]).unwrap();
        affine(&mut image, 0.0, 2.0, 0.0, 0.0, 0.0);
        assert_eq!(image.pixels(), [0.5, 1.0, 1.5]);
    }

    #[test]
    fn settings_that_make_no_sense_are_errors_and_extreme_ones_are_not_panics() {
        let default = RandomAffine::default();
        for affine in [
            RandomAffine { degrees: f64::NAN, ..default },
            RandomAffine { scale: (0.0, 1.0), ..default },
            RandomAffine { scale: (2.0, 1.0), ..default },
            RandomAffine { translate: -1.0, ..default },
        ] {
            assert!(affine.apply(&mut numbered(), Rng::new(0)).is_err());
        }
        for affine in [
            RandomAffine { translate: 1e300, ..default },
            RandomAffine { scale: (1e-300, 1e300), ..default },
            RandomAffine { degrees: 1e300, ..default },
        ] {
            let mut image = numbered();
            affine.apply(&mut image, Rng::new(0)).unwrap();
            assert!(image.pixels().iter().all(|pixel| pixel.is_finite()), "{affine:?}");
        }
        let mut empty = FloatImage::new(vec![], [1, 0, 4]).unwrap();
        RandomTranslate { pixels: usize::MAX, fill: 0.0 }.apply(&mut empty, Rng::new(0)).unwrap();
        default.apply(&mut empty, Rng::new(0)).unwrap();
    }

    #[test]
    fn a_part_lies_in_the_image_and_the_whole_is_left_as_it_is() {
        let whole = RandomResizedCrop { area: (1.0, 1.0), ratio: (4.0 / 3.0, 4.0 / 3.0) };
        let mut image = numbered();
        whole.apply(&mut image, Rng::new(1)).unwrap();
        assert_eq!(image, numbered());
        for seed in 0..200 {
            let [top, left, h, w] = RandomResizedCrop::default().part(9, 5, Rng::new(seed));
            assert!(h > 0 && w > 0 && top + h <= 9 && left + w <= 5, "{top} {left} {h} {w}");
            let mut image = numbered();
            RandomResizedCrop::default().apply(&mut image, Rng::new(seed)).unwrap();
            let bounds = |plane: &[f32]| {
                (
                    plane.iter().copied().fold(f32::MAX, f32::min),
                    plane.iter().copied().fold(0.0, f32::max),
                )
            };
            let (low, high) = bounds(&image.pixels()[..12]);
            assert!(low >= 1.0 && high <= 12.0, "nothing comes from outside: {low}..{high}");
        }
        for area in [(0.0, 1.0), (0.5, 2.0), (0.9, 0.1)] {
            let crop = RandomResizedCrop { area, ..RandomResizedCrop::default() };
            assert!(crop.apply(&mut numbered(), Rng::new(0)).is_err(), "{area:?}");
        }
    }

    #[test]
    fn a_flip_is_as_likely_as_it_says_and_its_own_inverse() {
        let flip = RandomFlip { probability: 0.25 };
        let flipped = (0..4000)
            .filter(|&seed| {
                let mut image = numbered();
                flip.apply(&mut image, Rng::new(seed)).unwrap();
                image != numbered()
            })
            .count();
        assert!((900..1100).contains(&flipped), "{flipped}");
        let mut image = numbered();
        (0..2)
            .for_each(|_| RandomFlip { probability: 1.0 }.apply(&mut image, Rng::new(0)).unwrap());
        assert_eq!(image, numbered());
    }
}
