//! A fixed small set of work for counting instructions: `instructions CASE TIMES` does the work of a
//! case so many times on one thread, and `instructions` alone names the cases.
//!
//! `cargo xtask bench --instructions` runs this under valgrind. What the setup costs drops out there,
//! since two runs that differ in TIMES alone are subtracted.

use std::error::Error;
use std::hint::black_box;

use ferrotape::backend::Conv2d;
use ferrotape::prelude::*;

/// Prepares a case, and does its work so many times.
type Case = fn(&Device, usize) -> Result<(), Box<dyn Error>>;

const CASES: [(&str, Case); 7] = [
    ("lenet5_step", lenet5_step),
    ("tape_chain", tape_chain),
    ("conv3x3_forward", |device, times| convolution(device, Direction::Forward, times)),
    ("conv3x3_input_grad", |device, times| convolution(device, Direction::InputGradient, times)),
    ("conv3x3_weight_grad", |device, times| convolution(device, Direction::WeightGradient, times)),
    ("pointwise", pointwise),
    ("optimizer_step", optimizer_step),
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let Some(name) = args.next() else {
        CASES.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(());
    };
    let case = CASES.iter().find(|(known, _)| *known == name);
    let (_, case) = case.ok_or_else(|| format!("there is no case {name}"))?;
    let times = args.next().ok_or("say how many times, as a number")?.parse()?;
    let device =
        Device::open_with("cpu", DeviceOptions { threads: Some(1), ..DeviceOptions::default() })?;
    case(&device, times)
}

fn normal(device: &Device, shape: &[usize]) -> ferrotape::Result<Array> {
    Init::new(device, Rng::new(7)).normal(shape, 0.0, 1.0)
}

fn images(device: &Device, shape: [usize; 4]) -> ferrotape::Result<Array> {
    normal(device, &shape)?.channels_last()
}

/// A small LeNet-5 with its optimizer and a batch.
struct Training {
    model: Box<dyn Classifier>,
    sgd: Sgd,
    input: Array,
    targets: Array,
}

impl Training {
    const BATCH: usize = 8;

    fn new(device: &Device) -> Result<Self, Box<dyn Error>> {
        let model = zoo::build("lenet5", &Init::new(device, Rng::new(1)), 10)?;
        let config = SgdConfig { lr: 1e-3, momentum: 0.9, ..Default::default() };
        let sgd = Sgd::new(model.parameters(), config)?;
        let input = images(device, [Self::BATCH, 1, 28, 28])?;
        let labels: Vec<i64> = (0..Self::BATCH as i64).collect();
        let targets = Array::from_slice(device, &labels, [Self::BATCH])?;
        Ok(Self { model, sgd, input, targets })
    }

    fn gradients(&self, device: &Device, step: u64) -> Result<Gradients, Box<dyn Error>> {
        let cx = Pass::train(device, Rng::new(1).step(step));
        let outcome = self.model.loss(&cx, &Tensor::from(self.input.clone()), &self.targets)?;
        Ok(outcome.loss.backward()?)
    }
}

fn lenet5_step(device: &Device, times: usize) -> Result<(), Box<dyn Error>> {
    let mut training = Training::new(device)?;
    for step in 0..times {
        let gradients = training.gradients(device, step as u64)?;
        training.sgd.step(&gradients)?;
    }
    Ok(())
}

fn optimizer_step(device: &Device, times: usize) -> Result<(), Box<dyn Error>> {
    let mut training = Training::new(device)?;
    let gradients = training.gradients(device, 0)?;
    for _ in 0..times {
        training.sgd.step(&gradients)?;
    }
    Ok(())
}

/// A thousand additions of one element, recorded, and their backward.
fn tape_chain(device: &Device, times: usize) -> Result<(), Box<dyn Error>> {
    let one = normal(device, &[1])?;
    for _ in 0..times {
        let x = Tape::new().variable(one.clone())?;
        let sum = (0..1000).try_fold(x.clone(), |sum, _| sum.add(&x))?;
        black_box(sum.backward()?);
    }
    Ok(())
}

fn pointwise(device: &Device, times: usize) -> Result<(), Box<dyn Error>> {
    let x = Tensor::from(normal(device, &[64, 1024])?);
    for _ in 0..times {
        black_box(x.gelu()?);
        black_box(x.add(&x)?);
    }
    Ok(())
}

/// What a convolution is asked for.
enum Direction {
    Forward,
    InputGradient,
    WeightGradient,
}

/// A 3x3 convolution of 16 to 32 channels over two images of 14x14.
fn convolution(device: &Device, pass: Direction, times: usize) -> Result<(), Box<dyn Error>> {
    let params = Conv2d { padding: [1, 1], ..Conv2d::default() };
    let (mut x, mut w) = (images(device, [2, 16, 14, 14])?, normal(device, &[32, 16, 3, 3])?);
    let mut y = images(device, [2, 32, 14, 14])?;
    let backend = device.backend();
    for _ in 0..times {
        match pass {
            Direction::Forward => backend.conv2d(&x, &w, None, &mut y, &params)?,
            Direction::InputGradient => backend.conv2d_input_grad(&y, &w, &mut x, &params)?,
            Direction::WeightGradient => backend.conv2d_weight_grad(&x, &y, &mut w, &params)?,
        }
    }
    Ok(())
}
