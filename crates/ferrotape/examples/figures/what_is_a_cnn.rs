//! A network while it learns digits: its loss, and its mistakes on digits it has not seen.

use ferrotape::nn::{Conv2dConfig, Flatten, LinearConfig, PoolConfig, activation, max_pool2d};
use ferrotape::prelude::*;

use crate::Result;
use crate::material::{accuracy, learner, some};
use crate::paper::{Axes, Curve, chart, svg};
use crate::{Studio, paper};

const EPOCHS: usize = 8;

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

pub(crate) fn draw(studio: &Studio) -> Result<()> {
    let train = some(&studio.train, 0, 5000)?;
    let mut model = learner(small(&studio.device, 1)?, 1);
    let mut right = vec![[accuracy(&model, &train)?, accuracy(&model, &studio.test)?]];
    let mut loss = vec![[model.evaluate(&train)?.loss, model.evaluate(&studio.test)?.loss]];
    for _ in 0..EPOCHS {
        model.fit_alone(&train, 1)?;
        right.push([accuracy(&model, &train)?, accuracy(&model, &studio.test)?]);
        loss.push([model.evaluate(&train)?.loss, model.evaluate(&studio.test)?.loss]);
    }
    let curve = |values: &[[f64; 2]], which: usize, name: &str, scale: f64| {
        let point = |(epoch, value): (usize, &[f64; 2])| (epoch as f64, scale * value[which]);
        Curve::new(name, which, values.iter().enumerate().map(point).collect())
    };
    let names = ["digits it learns from", "digits it has never seen"];
    let both = |values: &[[f64; 2]], scale: f64| {
        [0, 1].map(|which| curve(values, which, names[which], scale))
    };
    svg("what-is-a-cnn", (860, 320), |area| {
        let (left, right_half) = area.split_horizontally(430);
        let axes = |title, y, most| Axes {
            title,
            x: "passes over 5,000 digits",
            y,
            xs: 0.0..EPOCHS as f64,
            ys: 0.0..most,
            legend: Some(paper::UPPER_RIGHT),
        };
        chart(&left, axes("The loss goes down", "cross entropy", 2.5), &both(&loss, 1.0))?;
        let legend = Some(paper::LOWER_RIGHT);
        let axes = Axes { legend, ..axes("The answers get better", "right answers, %", 100.0) };
        chart(&right_half, axes, &both(&right, 100.0))
    })?;
    let last = right.last().map_or([0.0; 2], |last| *last);
    let sentence = format!(
        "Before the first pass {:.0} of 100 new digits were taken for what they are, which is chance; after pass \
         {EPOCHS} it is {:.1} of 100.",
        100.0 * right[0][1],
        100.0 * last[1]
    );
    crate::page::write("what-is-a-cnn", "result", &sentence)
}
