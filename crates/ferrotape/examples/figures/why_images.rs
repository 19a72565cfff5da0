//! How alike pixels are that lie near each other, and what becomes of two networks when they are shuffled.

use ferrotape::data::InMemory;
use ferrotape::prelude::*;

use crate::dense_or_convolutional::dense;
use crate::experiment::{one_thread, side_by_side};
use crate::material::{Digits, accuracy, learner, photo, some, spread};
use crate::page;
use crate::paper::{Axes, Curve, UPPER_RIGHT, chart, svg};
use crate::what_is_a_cnn::small;
use crate::{Result, Studio};

const SEEDS: usize = 3;

/// The correlation of pixels that lie `distance` apart in a row.
fn alike(pixels: &[f64], width: usize, distance: usize) -> f64 {
    let pairs = pixels.chunks_exact(width).flat_map(|row| {
        (0..width - distance).map(move |column| (row[column], row[column + distance]))
    });
    let pairs: Vec<(f64, f64)> = pairs.collect();
    let count = pairs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / count;
    let (a, b) = (mean(|pair| pair.0), mean(|pair| pair.1));
    let (mut both, mut one, mut other) = (0.0, 0.0, 0.0);
    for (x, y) in &pairs {
        both += (x - a) * (y - b);
        one += (x - a) * (x - a);
        other += (y - b) * (y - b);
    }
    both / (one * other).sqrt()
}

/// The same pixels of every digit in the same other order.
fn shuffled(digits: &InMemory) -> Result<Digits> {
    let order = Rng::new(7).permutation(28 * 28);
    let mixed = digits.pixels().chunks_exact(28 * 28).flat_map(|one| order.iter().map(|&i| one[i]));
    let (labels, classes) = (digits.labels().to_vec(), digits.classes().to_vec());
    Ok(InMemory::new(mixed.collect(), [1, 28, 28], labels, classes)?.into())
}

pub(crate) fn draw(studio: &Studio) -> Result<()> {
    let side = 256;
    let mut curves = Vec::new();
    for (number, name) in ["chelsea", "coffee"].into_iter().enumerate() {
        let file = format!("{name}.jpg");
        let pixels = photo(&studio.device, &file, [1, side, side])?.to_f64_vec()?;
        let points = (0..=64).map(|distance| (distance as f64, alike(&pixels, side, distance)));
        curves.push(Curve::new(&format!("photograph: {name}"), number, points.collect()));
        if number == 1 {
            let order = Rng::new(7).permutation(pixels.len());
            let mixed: Vec<f64> = order.iter().map(|&i| pixels[i]).collect();
            let points = (0..=64).map(|distance| (distance as f64, alike(&mixed, side, distance)));
            curves.push(Curve::new("its pixels shuffled", 2, points.collect()));
        }
    }
    svg("why-images", (640, 330), |area| {
        let axes = Axes {
            title: "How alike two pixels of a row are",
            x: "pixels between them",
            y: "correlation",
            xs: 0.0..64.0,
            ys: -0.2..1.0,
            legend: Some(UPPER_RIGHT),
        };
        chart(area, axes, &curves)
    })?;
    let train = [some(&studio.train, 0, 5000)?, shuffled(&*some(&studio.train, 0, 5000)?)?];
    let test = [studio.test.clone(), shuffled(&studio.test)?];
    let right = side_by_side(4 * SEEDS, |job| {
        let (kind, which, seed) = (job / SEEDS / 2, job / SEEDS % 2, (job % SEEDS) as u64);
        let device = one_thread()?;
        let network = if kind == 0 { dense(&device, seed)? } else { small(&device, seed)? };
        let mut model = learner(network, seed);
        model.fit_alone(&train[which], 6)?;
        accuracy(&model, &test[which])
    })?;
    let cells: Vec<String> =
        right.chunks_exact(SEEDS).map(|runs| page::percent(spread(runs))).collect();
    let rows = ["dense", "convolutional"].iter().zip(cells.chunks_exact(2));
    let rows: Vec<Vec<String>> =
        rows.map(|(name, cells)| [vec![(*name).to_owned()], cells.to_vec()].concat()).collect();
    let head = ["network", "digits", "digits, pixels shuffled"];
    page::write("why-images", "shuffled", &page::table(&head, &rows))
}
