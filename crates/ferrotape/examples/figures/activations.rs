//! Six activations with their derivatives, and networks that have them, or none.

use ferrotape::nn::{Conv2dConfig, Flatten, LinearConfig, PoolConfig, activation, avg_pool2d};
use ferrotape::prelude::*;

use crate::experiment::{one_thread, side_by_side};
use crate::material::{accuracy, learner, some, spread};
use crate::page;
use crate::paper::{Axes, Curve, UPPER_LEFT, chart, svg};
use crate::{Result, Studio};

type Function = fn(&Tensor) -> ferrotape::Result<Tensor>;

/// The first of the probabilities of three scores, of which the other two are 0.
fn first_of_softmax(x: &Tensor) -> ferrotape::Result<Tensor> {
    let x = x.unsqueeze(1)?;
    let zeros = x.mul_scalar(0.0)?;
    Tensor::cat(&[&x, &zeros, &zeros], 1)?.softmax(1)?.narrow(1, 0, 1)
}

const SHOWN: [(&str, Function, f64); 6] = [
    ("ReLU", Tensor::relu, -1.0),
    ("leaky ReLU, slope 0.1", |x| x.leaky_relu(0.1), -1.0),
    ("ELU, alpha 1", |x| x.elu(1.0), -1.5),
    ("sigmoid", Tensor::sigmoid, -0.2),
    ("tanh", Tensor::tanh, -1.2),
    ("softmax of (x, 0, 0)", first_of_softmax, -0.2),
];

const COMPARED: [(&str, Function); 6] = [
    ("none", |x| Ok(x.clone())),
    ("sigmoid", Tensor::sigmoid),
    ("tanh", Tensor::tanh),
    ("ReLU", Tensor::relu),
    ("leaky ReLU, slope 0.01", |x| x.leaky_relu(0.01)),
    ("ELU, alpha 1", |x| x.elu(1.0)),
];

const SEEDS: usize = 3;

pub(crate) fn draw(studio: &Studio) -> Result<()> {
    let xs: Vec<f64> = (-80..=80).map(|step| f64::from(step) / 20.0).collect();
    svg("activations", (960, 560), |area| {
        for ((name, function, least), part) in SHOWN.iter().zip(area.split_evenly((2, 3))) {
            let values = Array::from_slice(&studio.device, &xs, [xs.len()])?;
            let x = Tape::new().variable(values)?;
            let y = function(&x)?;
            let slope = y.sum_all()?.backward()?.of(&x)?.to_vec::<f64>()?;
            let line = |values: Vec<f64>| xs.iter().copied().zip(values).collect::<Vec<_>>();
            let most = if *least > -0.5 { 1.1 } else { 4.0 };
            let axes = Axes {
                title: name,
                x: "x",
                y: "",
                xs: -4.0..4.0,
                ys: *least..most,
                legend: Some(UPPER_LEFT),
            };
            let value = Curve::new("value", 0, line(y.to_vec::<f64>()?));
            chart(&part, axes, &[value, Curve::new("derivative", 1, line(slope))])?;
        }
        Ok(())
    })?;
    let train = some(&studio.train, 0, 5000)?;
    let right = side_by_side(COMPARED.len() * SEEDS, |job| {
        let (name, function) = COMPARED[job / SEEDS];
        let seed = (job % SEEDS) as u64;
        let network = network(&one_thread()?, seed, name, function)?;
        let mut model = learner(network, seed);
        model.fit_alone(&train, 5)?;
        accuracy(&model, &studio.test)
    })?;
    let rows: Vec<Vec<String>> = COMPARED
        .iter()
        .zip(right.chunks_exact(SEEDS))
        .map(|((name, _), right)| vec![(*name).to_owned(), page::percent(spread(right))])
        .collect();
    page::write("activations", "measured", &page::table(&["activation", "right answers"], &rows))
}

/// Averages, unlike maxima, add nothing that is not linear.
fn network(device: &Device, seed: u64, name: &'static str, f: Function) -> Result<Sequential> {
    Ok(Sequential::new(&Init::new(device, Rng::new(seed)))
        .add(Conv2dConfig::new(1, 8, 5).padding(2))?
        .add(activation(name, f))?
        .add(avg_pool2d(PoolConfig::new(2)))?
        .add(Conv2dConfig::new(8, 16, 5).padding(2))?
        .add(activation(name, f))?
        .add(avg_pool2d(PoolConfig::new(2)))?
        .add(Flatten::new)?
        .add(LinearConfig::new(16 * 7 * 7, 64))?
        .add(activation(name, f))?
        .add(LinearConfig::new(64, 10))?)
}
