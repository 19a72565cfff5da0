//! Drawings of pixels: feature maps, photographs and heat maps side by side.

use std::fs;
use std::io::BufWriter;

use ferrotape::prelude::*;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{Rgb, RgbImage};

use crate::Result;
use crate::material::book;

/// How numbers become colours.
#[derive(Clone, Copy)]
pub(crate) enum Shade {
    /// Black at the first number, white at the second.
    Grey(f64, f64),
    /// Blue below 0, white at 0, red above; full at this size.
    Signed(f64),
    /// White at 0, over yellow and red to black at this size.
    Heat(f64),
}

impl Shade {
    /// Grey from the smallest to the largest of the values.
    pub(crate) fn grey_of(values: &[f64]) -> Self {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Shade::Grey(least, most.max(least + 1e-12))
    }

    /// Signed colours that the largest size fills.
    pub(crate) fn signed_of(values: &[f64]) -> Self {
        Shade::Signed(values.iter().map(|value| value.abs()).fold(1e-12, f64::max))
    }

    fn colour(self, value: f64) -> Rgb<u8> {
        let byte = |share: f64| (share.clamp(0.0, 1.0) * 255.0).round() as u8;
        match self {
            Shade::Grey(least, most) => Rgb([byte((value - least) / (most - least)); 3]),
            Shade::Signed(full) => {
                let share = (value.abs() / full).min(1.0);
                let pale = byte(1.0 - share);
                if value < 0.0 {
                    Rgb([pale, byte(1.0 - 0.55 * share), 255])
                } else {
                    Rgb([255, byte(1.0 - 0.7 * share), pale])
                }
            }
            Shade::Heat(full) => {
                let share = (value / full).clamp(0.0, 1.0);
                Rgb([
                    byte(if share < 0.6 { 1.0 } else { 1.0 - (share - 0.6) * 2.2 }),
                    byte(1.0 - 1.5 * share),
                    byte(1.0 - 3.0 * share),
                ])
            }
        }
    }
}

/// A white sheet on which planes are put.
pub(crate) struct Sheet(RgbImage);

impl Sheet {
    /// A sheet of so many pixels.
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Sheet(RgbImage::from_pixel(width as u32, height as u32, Rgb([255; 3])))
    }

    /// A sheet that `count` planes of this size fill, so many in a row, with gaps between them.
    pub(crate) fn of(count: usize, columns: usize, side: [usize; 2]) -> Self {
        let [height, width] = side;
        let columns = columns.min(count.max(1));
        let rows = count.div_ceil(columns);
        Sheet::new(columns * (width + GAP) - GAP, rows * (height + GAP) - GAP)
    }

    /// Puts a plane of values, each a square of `zoom` pixels, at the upper left corner `[x, y]`.
    pub(crate) fn plane(
        &mut self,
        at: [usize; 2],
        values: &[f64],
        width: usize,
        zoom: usize,
        shade: Shade,
    ) {
        for (index, &value) in values.iter().enumerate() {
            let corner = [at[0] + index % width * zoom, at[1] + index / width * zoom];
            self.fill(corner, [zoom, zoom], shade.colour(value));
        }
    }

    /// Puts three planes of values from 0 to 1 as red, green and blue.
    pub(crate) fn colours(&mut self, at: [usize; 2], image: &Tensor, zoom: usize) -> Result<()> {
        let [_, _, height, width] = image.shape().nchw()?;
        let values = image.to_f64_vec()?;
        let plane = height * width;
        for index in 0..plane {
            let byte = |channel: usize| {
                (values[channel * plane + index].clamp(0.0, 1.0) * 255.0).round() as u8
            };
            let corner = [at[0] + index % width * zoom, at[1] + index / width * zoom];
            self.fill(corner, [zoom, zoom], Rgb([byte(0), byte(1), byte(2)]));
        }
        Ok(())
    }

    /// A thin frame, its upper left corner and size in pixels.
    pub(crate) fn frame(&mut self, [x, y]: [usize; 2], [width, height]: [usize; 2]) {
        let colour = Rgb([0, 114, 178]);
        self.fill([x, y], [width, 2], colour);
        self.fill([x, y + height - 2], [width, 2], colour);
        self.fill([x, y], [2, height], colour);
        self.fill([x + width - 2, y], [2, height], colour);
    }

    fn fill(&mut self, [x, y]: [usize; 2], [width, height]: [usize; 2], colour: Rgb<u8>) {
        for row in y..y + height {
            for column in x..x + width {
                if let Some(pixel) = self.0.get_pixel_mut_checked(column as u32, row as u32) {
                    *pixel = colour;
                }
            }
        }
    }

    /// Writes `docs/pictures/NAME.png`.
    pub(crate) fn save(&self, name: &str) -> Result<()> {
        let file = fs::File::create(book().join(format!("pictures/{name}.png")))?;
        let best = (CompressionType::Best, FilterType::Adaptive);
        let encoder = PngEncoder::new_with_quality(BufWriter::new(file), best.0, best.1);
        Ok(self.0.write_with_encoder(encoder)?)
    }
}

/// White pixels between two planes.
pub(crate) const GAP: usize = 8;

/// The upper left corner of the plane of this number on a sheet of [`Sheet::of`].
pub(crate) fn corner(number: usize, columns: usize, [height, width]: [usize; 2]) -> [usize; 2] {
    [number % columns * (width + GAP), number / columns * (height + GAP)]
}
