//! Heat and maps as pictures.

use super::{FeatureMaps, Heat};
use crate::{Error, Result};

/// The colours of heat, from none to most: dark violet, red, orange, pale yellow. Each is lighter than the one
/// before, so that a grey print tells them apart too.
const COLOURS: [[f32; 3]; 5] = [
    [0.0, 0.0, 4.0],
    [87.0, 16.0, 110.0],
    [188.0, 55.0, 84.0],
    [249.0, 142.0, 9.0],
    [252.0, 255.0, 164.0],
];

/// How much of the image stays visible under the most heat.
const SEEN_THROUGH: f32 = 0.35;

/// The gap between two maps.
const GAP: usize = 2;

/// A picture of red, green and blue.
///
/// ```
/// use ferrotape_train::insight::Picture;
///
/// let red = Picture { height: 1, width: 1, pixels: vec![255, 0, 0] };
/// let grey = Picture::of(&[128], [1, 1, 1])?;
/// assert_eq!(grey.pixels, [128, 128, 128]);
/// // A gap of two white columns lies between them.
/// assert_eq!(Picture::beside(&[red, grey]).width, 1 + 2 + 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// By row, column and colour.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// An image `[C, H, W]` of bytes, grey or in colour.
    ///
    /// ```
    /// use ferrotape_train::insight::Picture;
    ///
    /// assert_eq!(Picture::of(&[7, 9], [1, 1, 2])?.pixels, [7, 7, 7, 9, 9, 9]);
    /// assert!(Picture::of(&[0; 8], [2, 2, 2]).is_err());
    /// # Ok::<(), ferrotape_train::Error>(())
    /// ```
    ///
    /// # Errors
    /// Neither one channel nor three; pixels that are not as many as the shape says.
    pub fn of(image: &[u8], [channels, height, width]: [usize; 3]) -> Result<Self> {
        let area = height * width;
        if ![1, 3].contains(&channels) || image.len() != channels * area {
            return Err(Error::Figures(format!(
                "{} pixels of the shape [{channels}, {height}, {width}] are no picture; give one channel for grey, \
                 three for colour",
                image.len()
            )));
        }
        let pixel = |at: usize| [0, 1, 2].map(|c| image[c.min(channels - 1) * area + at]);
        Ok(Self { height, width, pixels: (0..area).flat_map(pixel).collect() })
    }

    /// Heat over an image: the warmer a pixel, the less of the image is seen through it.
    ///
    /// ```
    /// use ferrotape_train::insight::{Heat, Picture};
    ///
    /// let grey = Picture::of(&[128; 2], [1, 1, 2])?;
    /// let values = vec![0.0, 2.0];
    /// let heat = Heat { class: 0, probability: 1.0, layer: None, height: 1, width: 2, values };
    /// let both = Picture::overlay(&grey, &heat)?;
    /// assert_eq!(both.pixels[..3], [128; 3]);
    /// assert!(both.pixels[3] > 200);
    /// # Ok::<(), ferrotape_train::Error>(())
    /// ```
    ///
    /// # Errors
    /// Heat of another size than the image.
    pub fn overlay(image: &Picture, heat: &Heat) -> Result<Self> {
        if (heat.height, heat.width) != (image.height, image.width) {
            return Err(Error::Figures(format!(
                "heat of {} x {} does not lie on an image of {} x {}",
                heat.height, heat.width, image.height, image.width
            )));
        }
        let most = heat.values.iter().copied().filter(|v| v.is_finite()).fold(0f32, f32::max);
        let mut pixels = image.pixels.clone();
        for (pixel, &value) in pixels.chunks_exact_mut(3).zip(&heat.values) {
            let share = if most > 0.0 && value.is_finite() { value / most } else { 0.0 };
            let cover = share * (1.0 - SEEN_THROUGH);
            for (channel, colour) in pixel.iter_mut().zip(colour(share)) {
                *channel = (f32::from(*channel) * (1.0 - cover) + colour * cover).round() as u8;
            }
        }
        Ok(Self { pixels, ..*image })
    }

    /// Heat alone.
    ///
    /// ```
    /// use ferrotape_train::{insight::Heat, insight::Picture};
    ///
    /// let (height, width, values) = (1, 2, vec![0.0, 2.0]);
    /// let heat = Heat { class: 0, probability: 1.0, layer: None, height, width, values };
    /// let picture = Picture::heat(&heat);
    /// let light = |pixel: &[u8]| pixel.iter().map(|&c| u32::from(c)).sum::<u32>();
    /// assert!(light(&picture.pixels[..3]) < light(&picture.pixels[3..]));
    /// ```
    pub fn heat(heat: &Heat) -> Self {
        let most = heat.values.iter().copied().filter(|v| v.is_finite()).fold(0f32, f32::max);
        let share = |value: f32| if most > 0.0 && value.is_finite() { value / most } else { 0.0 };
        let pixels =
            heat.values.iter().flat_map(|&value| colour(share(value)).map(|c| c.round() as u8));
        Self { height: heat.height, width: heat.width, pixels: pixels.collect() }
    }

    /// Maps side by side on white, at most `most` of them, each from its own least value, black, to its own
    /// largest, white.
    ///
    /// ```
    /// use ferrotape_train::{insight::FeatureMaps, insight::Picture};
    ///
    /// let (height, width) = (1, 2);
    /// let values = vec![0.0, 1.0, 5.0, 3.0];
    /// let maps = FeatureMaps { layer: "conv1".into(), channels: 2, height, width, values };
    /// let picture = Picture::maps(&maps, 2);
    /// // Two maps of 1x2 side by side, with white around each.
    /// assert_eq!((picture.height, picture.width), (2 + 1 + 2, 2 + 2 + 2 + 2 + 2));
    /// let row = &picture.pixels[2 * 3 * picture.width..];
    /// assert_eq!([2, 3, 6, 7].map(|x| row[3 * x]), [0, 255, 255, 0]);
    /// ```
    pub fn maps(maps: &FeatureMaps, most: usize) -> Self {
        let FeatureMaps { channels, height, width, ref values, .. } = *maps;
        let shown = channels.min(most).max(1);
        let across = (1..=shown).find(|n| n * n >= shown).unwrap_or(1);
        let (high, wide) = (height + GAP, width + GAP);
        let size = [shown.div_ceil(across) * high + GAP, across * wide + GAP];
        let mut pixels = vec![255u8; size[0] * size[1] * 3];
        for (number, map) in values.chunks_exact((height * width).max(1)).take(shown).enumerate() {
            let (top, left) = (number / across * high + GAP, number % across * wide + GAP);
            let finite = || map.iter().copied().filter(|value| value.is_finite());
            let least = finite().fold(f32::MAX, f32::min);
            let range = finite().fold(f32::MIN, f32::max) - least;
            for (at, &value) in map.iter().enumerate() {
                let share =
                    if range > 0.0 && value.is_finite() { (value - least) / range } else { 0.0 };
                let at = ((top + at / width) * size[1] + left + at % width) * 3;
                pixels[at..at + 3].fill((share * 255.0).round() as u8);
            }
        }
        Self { height: size[0], width: size[1], pixels }
    }

    /// Each pixel as a square of so many pixels a side.
    ///
    /// ```
    /// use ferrotape_train::insight::Picture;
    ///
    /// let picture = Picture::of(&[1, 2], [1, 1, 2])?.enlarged(2);
    /// assert_eq!((picture.height, picture.width), (2, 4));
    /// assert_eq!([0, 1, 2, 3].map(|x| picture.pixels[3 * x]), [1, 1, 2, 2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn enlarged(&self, times: usize) -> Self {
        let times = times.max(1);
        let (height, width) = (self.height * times, self.width * times);
        let pixel = |at: usize| {
            let (y, x) = (at / width / times, at % width / times);
            let from = (y * self.width + x) * 3;
            [self.pixels[from], self.pixels[from + 1], self.pixels[from + 2]]
        };
        Self { height, width, pixels: (0..height * width).flat_map(pixel).collect() }
    }

    /// Every so many-th pixel of each row and column, so that no side is longer than `side`.
    ///
    /// ```
    /// use ferrotape_train::insight::Picture;
    ///
    /// let picture = Picture::of(&[1, 2, 3, 4, 5], [1, 1, 5])?.reduced(3);
    /// assert_eq!((picture.height, picture.width), (1, 3));
    /// assert_eq!([0, 1, 2].map(|x| picture.pixels[3 * x]), [1, 3, 5]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn reduced(&self, side: usize) -> Self {
        let step = self.height.max(self.width).div_ceil(side.max(1)).max(1);
        let (height, width) = (self.height.div_ceil(step), self.width.div_ceil(step));
        let pixel = |at: usize| {
            let from = (at / width * step * self.width + at % width * step) * 3;
            [self.pixels[from], self.pixels[from + 1], self.pixels[from + 2]]
        };
        Self { height, width, pixels: (0..height * width).flat_map(pixel).collect() }
    }

    /// Pictures of one height side by side, on white.
    ///
    /// ```
    /// use ferrotape_train::insight::Picture;
    ///
    /// let [low, high] = [Picture::of(&[0; 2], [1, 2, 1])?, Picture::of(&[0; 6], [1, 2, 3])?];
    /// let both = Picture::beside(&[low, high]);
    /// assert_eq!((both.height, both.width), (2, 1 + 2 + 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn beside(pictures: &[Picture]) -> Self {
        let height = pictures.iter().map(|p| p.height).max().unwrap_or(0);
        let gaps = GAP * pictures.len().saturating_sub(1);
        let width = pictures.iter().map(|p| p.width).sum::<usize>() + gaps;
        let mut pixels = vec![255u8; height * width * 3];
        let mut left = 0;
        for picture in pictures {
            for (y, row) in picture.pixels.chunks_exact((picture.width * 3).max(1)).enumerate() {
                let at = (y * width + left) * 3;
                pixels[at..at + row.len()].copy_from_slice(row);
            }
            left += picture.width + GAP;
        }
        Self { height, width, pixels }
    }

    /// Pictures one below the other, on white.
    ///
    /// ```
    /// use ferrotape_train::insight::Picture;
    ///
    /// let [narrow, wide] = [Picture::of(&[0; 2], [1, 1, 2])?, Picture::of(&[0; 4], [1, 1, 4])?];
    /// let both = Picture::below(&[narrow, wide]);
    /// assert_eq!((both.height, both.width), (1 + 2 + 1, 4));
    /// // What the narrow one leaves is white.
    /// assert_eq!(both.pixels[2 * 3..4 * 3], [255; 6]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn below(pictures: &[Picture]) -> Self {
        let width = pictures.iter().map(|p| p.width).max().unwrap_or(0);
        let gaps = GAP * pictures.len().saturating_sub(1);
        let height = pictures.iter().map(|p| p.height).sum::<usize>() + gaps;
        let mut pixels = vec![255u8; height * width * 3];
        let mut top = 0;
        for picture in pictures {
            for (y, row) in picture.pixels.chunks_exact((picture.width * 3).max(1)).enumerate() {
                let at = (top + y) * width * 3;
                pixels[at..at + row.len()].copy_from_slice(row);
            }
            top += picture.height + GAP;
        }
        Self { height, width, pixels }
    }

    /// The picture as a PNG file.
    ///
    /// ```
    /// use ferrotape_train::insight::Picture;
    ///
    /// let file = Picture::of(&[128; 4], [1, 2, 2])?.png()?;
    /// assert_eq!(file[1..4], *b"PNG");
    /// assert!(Picture { height: 0, width: 0, pixels: Vec::new() }.png().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A picture without pixels, or of more than a PNG holds.
    pub fn png(&self) -> Result<Vec<u8>> {
        crate::report::encoded(&self.pixels, self.width, self.height, png::ColorType::Rgb)
    }
}

/// The colour of a share of the most heat.
fn colour(share: f32) -> [f32; 3] {
    let at = share.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f32;
    let low = (at as usize).min(COLOURS.len() - 2);
    let part = at - low as f32;
    [0, 1, 2].map(|c| COLOURS[low][c] * (1.0 - part) + COLOURS[low + 1][c] * part)
}
