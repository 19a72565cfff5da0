//! `ferrotape samples`: training images as a model gets to see them, augmented, as a picture.

use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::sync::Arc;

use ferrotape::backend::Rng;
use ferrotape::data::{HostBatch, Loader, LoaderOptions, Subset, mix};
use ferrotape::prelude::zoo;
use ferrotape::train::{RunConfig, augmentation, write_atomically};
use image::{ImageFormat, RgbImage};

use crate::error::{Failure, Result};
use crate::shown::stdout;
use crate::{choices, data, output};

/// Flags of `samples`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The model, such as lenet5: its recipe and the size of its images.
    model: String,
    #[command(flatten)]
    source: data::Source,
    /// The picture to write, as PNG.
    #[arg(long, value_name = "FILE", default_value = "samples.png")]
    out: PathBuf,
    /// How many images: a row each, the image itself first.
    #[arg(long, default_value_t = 6)]
    images: usize,
    /// How many times each is augmented: a column each.
    #[arg(long, default_value_t = 8)]
    times: usize,
    /// Seed of the augmentation.
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    augmentation: choices::Augmentation,
}

/// The least side of an image in the picture, and the gap between two.
const SIDE: usize = 84;
const GAP: usize = 4;

/// The most images and times, so that a picture can be opened.
const MOST: usize = 64;

/// The most pixels of the picture, which takes three bytes for each.
const MOST_PIXELS: usize = 1 << 26;

/// Writes the picture.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { images, times, .. } = *arguments;
    if !(1..=MOST).contains(&images) || !(1..=MOST).contains(&times) {
        return Err(Failure::Said(format!(
            "{images} images, {times} times each, are no picture; give 1 to {MOST} of both"
        )));
    }
    output::check(&arguments.out, "png", "a picture in PNG")?;
    zoo::find(&arguments.model)?;
    let base = arguments.augmentation.over(arguments.source.recipe(&arguments.model));
    let mut config = RunConfig { seed: arguments.seed.unwrap_or(base.seed), ..base };
    config.validate()?;
    let data = data::load(&mut config, None)?;
    let images = images.min(data.train.len());
    let classes = data.train.classes().len();
    let [channels, height, width] = data.train.image_shape();

    // What the loader of a training does, epoch by epoch, on the first images.
    let options = LoaderOptions {
        batch_size: images,
        seed: config.seed,
        transform: Some(Arc::new(augmentation(&data.normalise, &config))),
        ..LoaderOptions::default()
    };
    let first = Arc::new(Subset::take(Arc::clone(&data.train), images));
    let augmented = Loader::new(first.clone(), options.clone())?;
    let plain = LoaderOptions { transform: Some(Arc::new(data.normalise.clone())), ..options };
    let plain = Loader::new(first, plain)?;
    let mixing = config.mixing();
    let mut batches = Vec::new();
    batches.extend(plain.epoch(0).next().transpose()?);
    for time in 0..times as u64 {
        let Some(mut batch) = augmented.epoch(time).next().transpose()? else { break };
        if mixing.is_any() {
            mix(&mut batch, mixing, classes, Rng::new(config.seed).path("mix").step(time))?;
        }
        batches.push(batch);
    }

    let zoom = SIDE.div_ceil(height.min(width).max(1)).max(1);
    let [high, wide] = [height, width].map(|side| side * zoom + GAP);
    let size = [images * high + GAP, batches.len() * wide + GAP];
    if size[0] * size[1] > MOST_PIXELS {
        return Err(Failure::Said(format!(
            "{images} images of {height} x {width} pixels, {times} times each, make a picture of {} x {} pixels, \
             more than {MOST_PIXELS}; ask for fewer (--images, --times)",
            size[1], size[0]
        )));
    }
    let mut sheet = RgbImage::from_pixel(size[1] as u32, size[0] as u32, image::Rgb([255; 3]));
    for (column, batch) in batches.iter().enumerate() {
        for row in 0..images {
            let at = [GAP + row * high, GAP + column * wide];
            let colour = |y: usize, x: usize, c: usize| -> u8 {
                let channel = if channels == 3 { c } else { 0 };
                let value = pixel(batch, [row, channel, y, x]);
                let (mean, std) = (data.normalise.mean[channel], data.normalise.std[channel]);
                ((value * std + mean).clamp(0.0, 1.0) * 255.0).round() as u8
            };
            for y in 0..height * zoom {
                for x in 0..width * zoom {
                    let rgb = [0, 1, 2].map(|c| colour(y / zoom, x / zoom, c));
                    sheet.put_pixel((at[1] + x) as u32, (at[0] + y) as u32, image::Rgb(rgb));
                }
            }
        }
    }
    let mut file = Cursor::new(Vec::new());
    sheet.write_to(&mut file, ImageFormat::Png).map_err(|cause| {
        Failure::Said(format!("the picture cannot be drawn: {cause}; ask for fewer images"))
    })?;
    write_atomically(&arguments.out, file.get_ref())?;
    let mut out = stdout();
    writeln!(
        out,
        "{}: {images} images, each as it is and {} times as training sees it",
        arguments.out.display(),
        batches.len() - 1
    )?;
    Ok(())
}

/// A value of a batch.
fn pixel(batch: &HostBatch, [n, c, y, x]: [usize; 4]) -> f32 {
    let [_, channels, height, width] = batch.shape;
    batch.images[((n * channels + c) * height + y) * width + x]
}
