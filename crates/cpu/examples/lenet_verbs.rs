//! What each verb of a LeNet-5 training step costs on this machine: `cargo run --release -p
//! ferrotape-cpu --example lenet_verbs [batch] [threads]`.
//!
//! The verbs are called in the order in which a training step calls them, so that caches are as they
//! are there; each is timed by itself, and the whole by the sum.

use std::collections::BTreeMap;
use std::time::Instant;

use ferrotape_backend::pointwise::{Expr, Program};
use ferrotape_backend::{
    Array, Conv2d, CrossEntropy, DType, Device, Layout, Pool2d, Random, Reduce, Result, Rng, Shape,
};
use ferrotape_cpu::{Cpu, CpuOptions};

/// Times of the verbs by name, in the order of their first call.
#[derive(Default)]
struct Times {
    order: Vec<(&'static str, usize)>,
    seconds: BTreeMap<&'static str, Vec<f64>>,
}

impl Times {
    fn time<T>(
        &mut self,
        name: &'static str,
        products: usize,
        verb: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let start = Instant::now();
        let result = verb()?;
        let seconds = start.elapsed().as_secs_f64();
        let list = self.seconds.entry(name).or_default();
        if list.is_empty() {
            self.order.push((name, products));
        }
        list.push(seconds);
        Ok(result)
    }
}

struct Model {
    device: Device,
    tanh: Program,
    tanh_grad: Program,
    add: Program,
    sgd: Program,
    /// conv1, conv2, three linear layers: weight, bias and their momenta.
    parameters: Vec<[Array; 2]>,
    momenta: Vec<[Array; 2]>,
    batch: usize,
}

const LINEAR: [[usize; 2]; 3] = [[120, 400], [84, 120], [10, 84]];

impl Model {
    fn new(device: &Device, batch: usize) -> Result<Self> {
        let (x, y) = (Expr::input(0), Expr::input(1));
        let momentum = Expr::previous(1) * Expr::scalar(1) + &x;
        let sgd = [Expr::previous(0) - &momentum * Expr::scalar(0), momentum];
        let shapes: [&[usize]; 5] =
            [&[6, 1, 5, 5], &[16, 6, 5, 5], &LINEAR[0], &LINEAR[1], &LINEAR[2]];
        let zeros = |shape: &[usize]| Array::zeros(device, DType::F32, Shape::new(shape)?);
        let mut parameters = Vec::new();
        let mut momenta = Vec::new();
        for (index, shape) in shapes.into_iter().enumerate() {
            let mut weight = zeros(shape)?;
            let kind = Random::Uniform { low: -0.1, high: 0.1 };
            device.backend().random(kind, Rng::new(index as u64), &mut weight)?;
            parameters.push([weight, zeros(&shape[..1])?]);
            momenta.push([zeros(shape)?, zeros(&shape[..1])?]);
        }
        Ok(Model {
            device: device.clone(),
            tanh: Program::new(&[x.tanh()]),
            tanh_grad: Program::new(&[&x * (1.0 - &y * &y)]),
            add: Program::new(&[&x + &y]),
            sgd: Program::new(&sgd),
            parameters,
            momenta,
            batch,
        })
    }

    fn images(&self, channels: usize, side: usize) -> Result<Array> {
        let shape = Shape::new(&[self.batch, channels, side, side])?;
        Array::empty(&self.device, DType::F32, Layout::channels_last(shape)?)
    }

    fn rows(&self, width: usize) -> Result<Array> {
        let shape = Shape::new(&[self.batch, width])?;
        Array::empty(&self.device, DType::F32, Layout::contiguous(shape))
    }

    fn step(&mut self, x: &Array, targets: &Array, t: &mut Times) -> Result<f64> {
        let n = self.batch;
        let device = self.device.clone();
        let b = device.backend();
        let pad = Conv2d { padding: [2, 2], ..Conv2d::default() };
        let plain = Conv2d::default();
        let pool = Pool2d::new([2, 2]);
        let conv1 = n * 28 * 28 * 6 * 25;
        let conv2 = n * 100 * 16 * 150;
        let [w1, b1] = &self.parameters[0];
        let [w2, b2] = &self.parameters[1];

        let mut z1 = self.images(6, 28)?;
        t.time("conv1", conv1, || b.conv2d(x, w1, Some(b1), &mut z1, &pad))?;
        let mut a1 = self.images(6, 28)?;
        t.time("tanh1", 0, || b.pointwise(&self.tanh, &[], &[&z1], &mut [&mut a1]))?;
        let mut p1 = self.images(6, 14)?;
        t.time("pool1", 0, || b.avg_pool2d(&a1, &mut p1, &pool))?;
        let mut z2 = self.images(16, 10)?;
        t.time("conv2", conv2, || b.conv2d(&p1, w2, Some(b2), &mut z2, &plain))?;
        let mut a2 = self.images(16, 10)?;
        t.time("tanh2", 0, || b.pointwise(&self.tanh, &[], &[&z2], &mut [&mut a2]))?;
        let mut p2 = self.images(16, 5)?;
        t.time("pool2", 0, || b.avg_pool2d(&a2, &mut p2, &pool))?;
        let flat = t.time("flatten", 0, || p2.reshape([n, 400]))?;
        let mut inputs = vec![flat];
        for (i, [out, width]) in LINEAR.into_iter().enumerate() {
            let [w, bias] = &self.parameters[2 + i];
            let mut z = self.rows(out)?;
            let a = inputs[i].reshape([1, n, width])?;
            let wt = w.reshape([1, out, width])?.permute(&[0, 2, 1])?;
            let mut c = z.reshape([1, n, out])?;
            let products = n * out * width;
            t.time(["linear1", "linear2", "linear3"][i], products, || {
                b.gemm(&a, &wt, &mut c, false)
            })?;
            let mut y = self.rows(out)?;
            t.time("add bias", 0, || b.pointwise(&self.add, &[], &[&z, bias], &mut [&mut y]))?;
            if i < 2 {
                t.time("tanh3", 0, || b.pointwise(&self.tanh, &[], &[&y], &mut [&mut z]))?;
                inputs.push(z);
            } else {
                inputs.push(y);
            }
        }
        let logits = &inputs[3];
        let mut losses = Array::zeros(&device, DType::F32, [n])?;
        let params = CrossEntropy::default();
        t.time("loss", 0, || b.cross_entropy(logits, targets, &mut losses, &params))?;
        let mut loss = Array::zeros(&device, DType::F32, [1])?;
        t.time("mean", 0, || b.reduce(Reduce::Sum, &losses, &mut loss, None))?;

        let gloss = Array::full(&device, DType::F32, [n], 1.0 / n as f64)?;
        let mut g = self.rows(10)?;
        t.time("loss grad", 0, || b.cross_entropy_grad(&gloss, logits, targets, &mut g, &params))?;
        let mut gradients: Vec<[Array; 2]> = Vec::new();
        for (i, [out, width]) in LINEAR.into_iter().enumerate().rev() {
            let [w, _] = &self.parameters[2 + i];
            let products = n * out * width;
            let mut gb =
                Array::empty(&device, DType::F32, Layout::contiguous(Shape::new(&[1, out])?))?;
            t.time("linear bias grad", 0, || b.reduce(Reduce::Sum, &g, &mut gb, None))?;
            let gt = g.reshape([1, n, out])?.permute(&[0, 2, 1])?;
            let a = inputs[i].reshape([1, n, width])?;
            let mut gw = Array::empty(
                &device,
                DType::F32,
                Layout::contiguous(Shape::new(&[1, out, width])?),
            )?;
            let names = ["linear1 gw", "linear2 gw", "linear3 gw"];
            t.time(names[i], products, || b.gemm(&gt, &a, &mut gw, false))?;
            let mut gx = self.rows(width)?;
            let mut c = gx.reshape([1, n, width])?;
            let (g3, w3) = (g.reshape([1, n, out])?, w.reshape([1, out, width])?);
            let names = ["linear1 gx", "linear2 gx", "linear3 gx"];
            t.time(names[i], products, || b.gemm(&g3, &w3, &mut c, false))?;
            if i > 0 {
                let mut gz = self.rows(width)?;
                let y = &inputs[i];
                t.time("tanh3 grad", 0, || {
                    b.pointwise(&self.tanh_grad, &[], &[&gx, y], &mut [&mut gz])
                })?;
                gx = gz;
            }
            g = gx;
            gradients.push([gw.reshape([out, width])?, gb.reshape([out])?]);
        }
        let gp2 = t.time("unflatten", 0, || g.reshape([n, 16, 5, 5])?.channels_last())?;
        let mut ga2 = self.images(16, 10)?;
        t.time("pool2 grad", 0, || b.avg_pool2d_grad(&gp2, &mut ga2, &pool))?;
        let mut gz2 = self.images(16, 10)?;
        t.time("tanh2 grad", 0, || {
            b.pointwise(&self.tanh_grad, &[], &[&ga2, &a2], &mut [&mut gz2])
        })?;
        let mut gb2 = Array::zeros(&device, DType::F32, [1, 16, 1, 1])?;
        t.time("conv2 bias grad", 0, || b.reduce(Reduce::Sum, &gz2, &mut gb2, None))?;
        let mut gw2 = Array::zeros(&device, DType::F32, [16, 6, 5, 5])?;
        t.time("conv2 gw", conv2, || b.conv2d_weight_grad(&p1, &gz2, &mut gw2, &plain))?;
        let mut gp1 = self.images(6, 14)?;
        t.time("conv2 gx", conv2, || b.conv2d_input_grad(&gz2, w2, &mut gp1, &plain))?;
        let mut ga1 = self.images(6, 28)?;
        t.time("pool1 grad", 0, || b.avg_pool2d_grad(&gp1, &mut ga1, &pool))?;
        let mut gz1 = self.images(6, 28)?;
        t.time("tanh1 grad", 0, || {
            b.pointwise(&self.tanh_grad, &[], &[&ga1, &a1], &mut [&mut gz1])
        })?;
        let mut gb1 = Array::zeros(&device, DType::F32, [1, 6, 1, 1])?;
        t.time("conv1 bias grad", 0, || b.reduce(Reduce::Sum, &gz1, &mut gb1, None))?;
        let mut gw1 = Array::zeros(&device, DType::F32, [6, 1, 5, 5])?;
        t.time("conv1 gw", conv1, || b.conv2d_weight_grad(x, &gz1, &mut gw1, &pad))?;
        gradients.push([gw2, gb2.reshape([16])?]);
        gradients.push([gw1, gb1.reshape([6])?]);
        gradients.reverse();

        for (i, gradients) in gradients.iter().enumerate() {
            for (j, gradient) in gradients.iter().enumerate() {
                let outputs = &mut [&mut self.parameters[i][j], &mut self.momenta[i][j]];
                t.time("sgd", 0, || b.pointwise(&self.sgd, &[0.01, 0.9], &[gradient], outputs))?;
            }
        }
        loss.item()
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<usize>().ok());
    let batch = arguments.next().flatten().unwrap_or(64);
    let threads = arguments.next().flatten();
    let cpu = Cpu::new(CpuOptions { threads, ..CpuOptions::default() })?;
    println!("{} threads, {}, batch {batch}", cpu.threads(), cpu.features());
    let device = Device::new(cpu);
    let mut model = Model::new(&device, batch)?;
    let mut x = Array::zeros(&device, DType::F32, [batch, 1, 28, 28])?;
    device.backend().random(Random::Normal { mean: 0.0, std: 1.0 }, Rng::new(9), &mut x)?;
    let targets: Vec<i64> = (0..batch as i64).map(|i| i % 10).collect();
    let targets = Array::from_slice(&device, &targets, [batch])?;
    let mut loss = f64::NAN;
    for _ in 0..50 {
        loss = model.step(&x, &targets, &mut Times::default())?;
    }
    let mut times = Times::default();
    let mut steps = Vec::new();
    for _ in 0..500 {
        let start = Instant::now();
        loss = model.step(&x, &targets, &mut times)?;
        steps.push(start.elapsed().as_secs_f64());
    }
    for (name, products) in &times.order {
        let list = &times.seconds[name];
        let calls = list.len() / steps.len();
        let mut sorted = list.clone();
        sorted.sort_by(f64::total_cmp);
        let (median, best) = (sorted[sorted.len() / 2], sorted[0]);
        let total = list.iter().sum::<f64>() / steps.len() as f64;
        let rate = match products {
            0 => String::new(),
            _ => format!("{:8.1} GFLOP/s", 2e-9 * *products as f64 / best),
        };
        println!(
            "{name:<18} {:9.1} us a step; {calls} x median {:8.1}, best {:8.1} us {rate}",
            total * 1e6,
            median * 1e6,
            best * 1e6
        );
    }
    steps.sort_by(f64::total_cmp);
    println!(
        "a step: median {:.3} ms, best {:.3} ms; loss {loss:.6}",
        steps[250] * 1e3,
        steps[0] * 1e3
    );
    Ok(())
}
