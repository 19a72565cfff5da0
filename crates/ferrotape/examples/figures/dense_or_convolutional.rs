//! The shift test: networks that learned centred digits, on digits that were moved.

use ferrotape::data::InMemory;
use ferrotape::nn::{
    Conv2dConfig, Flatten, LinearConfig, PoolConfig, activation, adaptive_max_pool2d, max_pool2d,
};
use ferrotape::prelude::*;

use crate::experiment::{one_thread, side_by_side};
use crate::material::{Digits, accuracy, learner, some, spread};
use crate::page;
use crate::paper::{Axes, Curve, LOWER_LEFT, chart, svg};
use crate::what_is_a_cnn::small;
use crate::{Result, Studio};

const SEEDS: usize = 3;
const FARTHEST: usize = 8;

/// Two dense layers.
pub(crate) fn dense(device: &Device, seed: u64) -> Result<Sequential> {
    Ok(Sequential::new(&Init::new(device, Rng::new(seed)))
        .add(Flatten::new)?
        .add(LinearConfig::new(28 * 28, 128))?
        .add(activation("relu", Tensor::relu))?
        .add(LinearConfig::new(128, 10))?)
}

/// Convolutions whose last maps are brought to one number each, so that no layer knows a place.
fn everywhere(device: &Device, seed: u64) -> Result<Sequential> {
    Ok(Sequential::new(&Init::new(device, Rng::new(seed)))
        .add(Conv2dConfig::new(1, 8, 5).padding(2))?
        .add(activation("relu", Tensor::relu))?
        .add(max_pool2d(PoolConfig::new(2)))?
        .add(Conv2dConfig::new(8, 32, 5).padding(2))?
        .add(activation("relu", Tensor::relu))?
        .add(max_pool2d(PoolConfig::new(2)))?
        .add(Conv2dConfig::new(32, 64, 5).padding(2))?
        .add(activation("relu", Tensor::relu))?
        .add(adaptive_max_pool2d([1, 1]))?
        .add(Flatten::new)?
        .add(LinearConfig::new(64, 10))?)
}

/// The digits, each moved to the right by so many pixels (to the left if negative).
fn moved(digits: &InMemory, by: isize) -> Result<Digits> {
    let mut pixels = vec![0; digits.pixels().len()];
    for (to, row) in pixels.chunks_exact_mut(28).zip(digits.pixels().chunks_exact(28)) {
        for (column, pixel) in to.iter_mut().enumerate() {
            let from = column.checked_add_signed(-by).filter(|&from| from < 28);
            *pixel = from.map_or(0, |from| row[from]);
        }
    }
    let (labels, classes) = (digits.labels().to_vec(), digits.classes().to_vec());
    Ok(InMemory::new(pixels, [1, 28, 28], labels, classes)?.into())
}

type Make = fn(&Device, u64) -> Result<Sequential>;

const NETWORKS: [(&str, Make); 3] = [
    ("dense: 784, 128, 10", dense),
    ("convolutional, dense at the end", small),
    ("convolutional, global maximum at the end", everywhere),
];

pub(crate) fn draw(studio: &Studio) -> Result<()> {
    let train = some(&studio.train, 0, 5000)?;
    let test = some(&studio.test, 0, 5000)?;
    let right = side_by_side(NETWORKS.len() * SEEDS, |job| {
        let seed = (job % SEEDS) as u64;
        let mut model = learner(NETWORKS[job / SEEDS].1(&one_thread()?, seed)?, seed);
        model.fit_alone(&train, 6)?;
        let mean = |by: usize| -> Result<f64> {
            let by = by as isize;
            let sides =
                [accuracy(&model, &moved(&test, by)?)?, accuracy(&model, &moved(&test, -by)?)?];
            Ok((sides[0] + sides[1]) / 2.0)
        };
        (0..=FARTHEST).map(mean).collect::<Result<Vec<f64>>>()
    })?;
    let mut curves = Vec::new();
    let mut rows = Vec::new();
    for (number, ((name, make), runs)) in NETWORKS.iter().zip(right.chunks_exact(SEEDS)).enumerate()
    {
        let at = |by: usize| spread(&runs.iter().map(|run| run[by]).collect::<Vec<_>>());
        let points = (0..=FARTHEST).map(|by| (by as f64, 100.0 * at(by).0));
        curves.push(Curve::new(name, number, points.collect()));
        let parameters = make(&studio.device, 0)?.count_parameters();
        let mut row = vec![(*name).to_owned(), page::count(parameters)];
        row.extend([0, 2, 4, 6].map(|by| page::percent(at(by))));
        rows.push(row);
    }
    svg("dense-or-convolutional", (700, 360), |area| {
        let axes = Axes {
            title: "Trained on centred digits, tested on moved ones",
            x: "pixels moved to a side",
            y: "right answers, %",
            xs: 0.0..FARTHEST as f64,
            ys: 0.0..100.0,
            legend: Some(LOWER_LEFT),
        };
        chart(area, axes, &curves)
    })?;
    let head = ["network", "parameters", "centred", "moved by 2", "by 4", "by 6"];
    page::write("dense-or-convolutional", "shifted", &page::table(&head, &rows))
}
