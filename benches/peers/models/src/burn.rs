//! burn on its CPU backends: flex (pure Rust, the one it recommends) and ndarray (deprecated).
//!
//! The LLVM backend (`cpu`) is left out: its build script downloads a prebuilt LLVM from a web site.

use std::process::ExitCode;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::nn::pool::{
    AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig, AvgPool2d, AvgPool2dConfig, MaxPool2d,
    MaxPool2dConfig,
};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::activation::{relu, tanh};
use burn::tensor::{Device, Int, Tensor, TensorData};
use peer_harness::{
    Line, Modes, Options, Peer, Rate, Result, Row, Timing, gradients_and_momentum_mib, labels,
    measure, noise, start_count,
};

const PEER: &str = "burn";
const VERSION: &str = "0.22.1";

const BOTH: &[&str] = &["flex", "ndarray"];
const ROWS: &[Modes] = &[
    ("train/lenet5/b64/f32", BOTH),
    ("infer/lenet5/b64/f32", BOTH),
    ("infer/lenet5/b1/f32", BOTH),
    ("infer/resnet18/b16/f32", BOTH),
    ("infer/resnet18/b1/f32", BOTH),
    // ndarray did not finish five steps of this in 200 s: it runs with --row, but not by default.
    ("train/resnet18/b16/f32", &["flex"]),
];

fn conv(
    cin: usize,
    cout: usize,
    k: usize,
    stride: usize,
    pad: usize,
    bias: bool,
    dev: &Device,
) -> Conv2d {
    Conv2dConfig::new([cin, cout], [k, k])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
        .with_bias(bias)
        .init(dev)
}

trait Net: Module {
    fn run(&self, x: Tensor<4>) -> Tensor<2>;
}

#[derive(Module, Debug)]
struct LeNet {
    c1: Conv2d,
    c2: Conv2d,
    pool: AvgPool2d,
    f1: Linear,
    f2: Linear,
    f3: Linear,
}

impl LeNet {
    fn new(dev: &Device) -> Self {
        LeNet {
            c1: conv(1, 6, 5, 1, 2, true, dev),
            c2: conv(6, 16, 5, 1, 0, true, dev),
            pool: AvgPool2dConfig::new([2, 2]).init(),
            f1: LinearConfig::new(400, 120).init(dev),
            f2: LinearConfig::new(120, 84).init(dev),
            f3: LinearConfig::new(84, 10).init(dev),
        }
    }
}

impl Net for LeNet {
    fn run(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.pool.forward(tanh(self.c1.forward(x)));
        let x = self.pool.forward(tanh(self.c2.forward(x)));
        let x = x.flatten::<2>(1, 3);
        let x = tanh(self.f1.forward(x));
        let x = tanh(self.f2.forward(x));
        self.f3.forward(x)
    }
}

#[derive(Module, Debug)]
struct ConvBn {
    conv: Conv2d,
    bn: BatchNorm,
}

impl ConvBn {
    fn new(cin: usize, cout: usize, k: usize, stride: usize, dev: &Device) -> Self {
        ConvBn {
            conv: conv(cin, cout, k, stride, k / 2, false, dev),
            bn: BatchNormConfig::new(cout).init(dev),
        }
    }

    fn run(&self, x: Tensor<4>) -> Tensor<4> {
        self.bn.forward(self.conv.forward(x))
    }
}

#[derive(Module, Debug)]
struct Block {
    a: ConvBn,
    b: ConvBn,
    down: Option<ConvBn>,
}

impl Block {
    fn new(cin: usize, cout: usize, stride: usize, dev: &Device) -> Self {
        Block {
            a: ConvBn::new(cin, cout, 3, stride, dev),
            b: ConvBn::new(cout, cout, 3, 1, dev),
            down: (stride != 1 || cin != cout).then(|| ConvBn::new(cin, cout, 1, stride, dev)),
        }
    }

    fn run(&self, x: Tensor<4>) -> Tensor<4> {
        let skip = match &self.down {
            Some(d) => d.run(x.clone()),
            None => x.clone(),
        };
        let y = relu(self.a.run(x));
        relu(self.b.run(y) + skip)
    }
}

#[derive(Module, Debug)]
struct ResNet18 {
    stem: ConvBn,
    pool: MaxPool2d,
    blocks: Vec<Block>,
    gap: AdaptiveAvgPool2d,
    fc: Linear,
}

impl ResNet18 {
    fn new(dev: &Device) -> Self {
        let mut blocks = Vec::new();
        let mut cin = 64;
        for (i, cout) in [64, 128, 256, 512].into_iter().enumerate() {
            for j in 0..2 {
                blocks.push(Block::new(cin, cout, if i > 0 && j == 0 { 2 } else { 1 }, dev));
                cin = cout;
            }
        }
        ResNet18 {
            stem: ConvBn::new(3, 64, 7, 2, dev),
            pool: MaxPool2dConfig::new([3, 3])
                .with_strides([2, 2])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(),
            blocks,
            gap: AdaptiveAvgPool2dConfig::new([1, 1]).init(),
            fc: LinearConfig::new(512, 1000).init(dev),
        }
    }
}

impl Net for ResNet18 {
    fn run(&self, x: Tensor<4>) -> Tensor<2> {
        let mut x = self.pool.forward(relu(self.stem.run(x)));
        for b in &self.blocks {
            x = b.run(x);
        }
        self.fc.forward(self.gap.forward(x).flatten::<2>(1, 3))
    }
}

#[allow(deprecated, reason = "ndarray is measured as long as burn has it")]
fn device(mode: &str) -> Result<Device> {
    match mode {
        "flex" => Ok(Device::flex()),
        "ndarray" => Ok(Device::ndarray()),
        other => Err(format!("there is no mode {other}").into()),
    }
}

/// The images of a row and their classes.
fn batch(row: &Row, shape: [usize; 3], classes: usize, device: &Device) -> (Tensor<4>, Targets) {
    let [c, h, w] = shape;
    let data = TensorData::new(noise(row.size * c * h * w), [row.size, c, h, w]);
    let targets: Vec<i64> = labels(row.size, classes).into_iter().map(i64::from).collect();
    let targets = TensorData::new(targets, [row.size]);
    (Tensor::from_data(data, device), Tensor::from_data(targets, device))
}

type Targets = Tensor<1, Int>;

fn infer<M: Net>(model: M, input: Tensor<4>, options: &Options) -> (Timing, Option<f64>) {
    std::hint::black_box(model.run(input.clone()).into_data());
    let before = start_count();
    let timing = measure(options.quick, || {
        std::hint::black_box(model.run(input.clone()).into_data());
    });
    (timing, before)
}

fn train<M: Net>(
    model: M,
    input: Tensor<4>,
    targets: Targets,
    device: &Device,
    options: &Options,
) -> (Timing, Option<f64>) {
    let criterion: CrossEntropyLoss = CrossEntropyLossConfig::new().init(device);
    // Dampening 0 gives the usual v = 0.9 v + g.
    let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
    let mut sgd = SgdConfig::new().with_momentum(Some(momentum)).init();
    std::hint::black_box(model.run(input.clone()).into_data());
    let before = start_count();
    let mut kept = Some(model);
    let timing = measure(options.quick, || {
        let model = kept.take().expect("every step puts the model back");
        let loss = criterion.forward(model.run(input.clone()), targets.clone());
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        kept = Some(sgd.step(0.01, model, grads));
    });
    (timing, before)
}

fn network<M: Net>(
    make: impl Fn(&Device) -> M,
    (shape, classes): ([usize; 3], usize),
    row: &Row,
    mode: &str,
    options: &Options,
) -> Result<Line> {
    let training = row.phase == "train";
    let device = if training { device(mode)?.autodiff() } else { device(mode)? };
    let (input, targets) = batch(row, shape, classes, &device);
    let model = make(&device);
    // burn counts the running statistics among the parameters: 0.04 MiB of ResNet-18.
    let held = training.then(|| gradients_and_momentum_mib(model.num_params()));
    let (timing, before) = if training {
        train(model, input, targets, &device, options)
    } else {
        infer(model.valid(), input, options)
    };
    let rate = Rate { value: row.size as f64 * 1e3 / timing.median_ms, unit: "img/s" };
    Ok(line(&row.name(), mode, options).measured(rate, &timing).memory(before, held))
}

fn line(name: &str, mode: &str, options: &Options) -> Line {
    Line::new(PEER, VERSION, mode, name, options)
}

fn row(row: &Row, mode: &str, options: &Options) -> Result<Line> {
    if row.dtype != "f32" {
        return Err("only f32 is here".into());
    }
    if !["infer", "train"].contains(&row.phase.as_str()) {
        return Err(format!("there is no phase {} here", row.phase).into());
    }
    match row.model.as_str() {
        "lenet5" => network(LeNet::new, ([1, 28, 28], 10), row, mode, options),
        "resnet18" => network(ResNet18::new, ([3, 224, 224], 1000), row, mode, options),
        other => Err(format!("there is no network {other} here").into()),
    }
}

fn main() -> ExitCode {
    let failed = |name: &str, mode: &str, options: &Options, why: &str| {
        line(name, mode, options).failed("img/s", why)
    };
    Peer { rows: ROWS, measure: row, failed }.main()
}
