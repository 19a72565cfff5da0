//! A network while it learns digits, step by step: its loss, and its mistakes on digits it has not seen.

use std::sync::Arc;

use ferrotape::data::{Normalise, Transform};
use ferrotape::nn::{Conv2dConfig, Flatten, LinearConfig, PoolConfig, activation, max_pool2d};
use ferrotape::prelude::*;
use ferrotape::train::{Evaluation, RunConfig, evaluate};

use crate::material::{Digits, some};
use crate::paper::{Axes, Curve, LOWER_RIGHT, UPPER_RIGHT, chart, svg};
use crate::{Result, Studio, page};

/// Passes over the digits, 100 steps each.
const EPOCHS: u64 = 4;

/// Two convolutions with pooling and one dense layer: the network of many of the figures.
pub(crate) fn small(device: &Device, seed: u64) -> Result<Sequential> {
    Ok(Sequential::new(&Init::new(device, Rng::new(seed)))
        .named("conv1", Conv2dConfig::new(1, 8, 5).padding(2))?
        .named("relu1", activation("relu", Tensor::relu))?
        .add(max_pool2d(PoolConfig::new(2)))?
        .named("conv2", Conv2dConfig::new(8, 16, 5).padding(2))?
        .named("relu2", activation("relu", Tensor::relu))?
        .add(max_pool2d(PoolConfig::new(2)))?
        .add(Flatten::new)?
        .named("fc", LinearConfig::new(16 * 7 * 7, 10))?)
}

/// Loss and share of right answers.
type Point = (f64, f64);

pub(crate) fn draw(studio: &Studio) -> Result<()> {
    let device = &studio.device;
    let rng = Rng::new(42);
    let model = small(device, 42)?;
    let train = some(&studio.train, 0, 5000)?;
    let batches = loader(&train, 50, true)?;
    let [seen, new] = [some(&train, 0, 1000)?, some(&studio.test, 0, 1000)?];
    let of = |digits: &Digits| -> Result<Point> {
        let Evaluation { loss, confusion, .. } =
            evaluate(&model, device, &RunConfig::default(), &loader(digits, 250, false)?)?;
        Ok((loss, confusion.accuracy().unwrap_or(0.0)))
    };
    let mut adam = Adam::new(model.parameters(), AdamConfig::default())?;
    let mut points = vec![(0, of(&seen)?, of(&new)?)];
    let mut step = 0;
    for epoch in 0..EPOCHS {
        for batch in batches.epoch(epoch) {
            let batch = batch?;
            let images = Array::from_slice(device, &batch.images, batch.shape)?;
            let labels = Array::from_slice(device, &batch.labels, [batch.labels.len()])?;
            let cx = Pass::train(device, rng.step(step));
            let loss = model.loss(&cx, &cx.input(images)?, &labels)?.loss;
            adam.step(&loss.backward()?)?;
            step += 1;
            if step % 10 == 0 {
                points.push((step, of(&seen)?, of(&new)?));
            }
        }
    }
    let curves = |value: fn(Point) -> f64| {
        let curve = |name, colour, which: fn(&(u64, Point, Point)) -> Point| {
            let line = points.iter().map(|point| (point.0 as f64, value(which(point))));
            Curve::new(name, colour, line.collect())
        };
        [
            curve("digits it learns from", 0, |point| point.1),
            curve("digits it has never seen", 1, |point| point.2),
        ]
    };
    svg("what-is-a-cnn", (860, 320), |area| {
        let (left, right) = area.split_horizontally(430);
        let axes = |title, y, most, legend| Axes {
            title,
            x: "steps of 50 digits",
            y,
            xs: 0.0..step as f64,
            ys: 0.0..most,
            legend: Some(legend),
        };
        let losses = axes("The loss goes down", "cross entropy", 2.4, UPPER_RIGHT);
        chart(&left, losses, &curves(|point| point.0))?;
        let answers = axes("The answers get better", "right answers, %", 100.0, LOWER_RIGHT);
        chart(&right, answers, &curves(|point| 100.0 * point.1))
    })?;
    let right: Vec<f64> = [0, 10, points.len() - 1].map(|at| 100.0 * points[at].2.1).to_vec();
    let sentence = format!(
        "Before the first step {:.0} of 100 new digits are taken for what they are, which is chance; after \
         100 steps, one pass, {:.0} are; after {step} steps {:.0}.",
        right[0], right[1], right[2]
    );
    page::write("what-is-a-cnn", "result", &sentence)
}

fn loader(digits: &Digits, batch_size: usize, shuffle: bool) -> Result<Loader> {
    let transform: Arc<dyn Transform> = Arc::new(Normalise::mnist());
    let options = LoaderOptions {
        batch_size,
        shuffle,
        transform: Some(transform),
        ..LoaderOptions::default()
    };
    Ok(Loader::new(digits.clone(), options)?)
}
