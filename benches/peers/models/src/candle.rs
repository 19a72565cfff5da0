//! candle (candle-core, candle-nn) on the CPU.

use std::process::ExitCode;

use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::{
    BatchNorm, BatchNormConfig, Conv2d, Conv2dConfig, Linear, Module, ModuleT, VarBuilder, VarMap,
    batch_norm, conv2d, conv2d_no_bias, linear, loss,
};
use peer_harness::{
    Line, Modes, Options, Peer, Rate, Row, gradients_and_momentum_mib, labels, measure, noise,
    start_count,
};

const PEER: &str = "candle";
const VERSION: &str = "0.11.1";

/// `default` is the model as everybody draws it. `--mode pool2x2` replaces ResNet's 3x3 stride-2
/// maximum pool by a 2x2 one, because candle has no backward for the former; that is another network,
/// so it is measured by hand only.
const DEFAULT: &[&str] = &["default"];
const ROWS: &[Modes] = &[
    ("train/lenet5/b64/f32", DEFAULT),
    ("infer/lenet5/b64/f32", DEFAULT),
    ("infer/lenet5/b1/f32", DEFAULT),
    ("infer/resnet18/b16/f32", DEFAULT),
    ("infer/resnet18/b1/f32", DEFAULT),
    ("train/resnet18/b16/f32", DEFAULT),
];

fn conv_cfg(stride: usize, padding: usize) -> Conv2dConfig {
    Conv2dConfig { stride, padding, ..Default::default() }
}

trait Net {
    fn run(&self, x: &Tensor, train: bool) -> Result<Tensor>;
}

struct LeNet {
    c1: Conv2d,
    c2: Conv2d,
    f1: Linear,
    f2: Linear,
    f3: Linear,
}

impl LeNet {
    fn new(vb: VarBuilder) -> Result<Self> {
        Ok(LeNet {
            c1: conv2d(1, 6, 5, conv_cfg(1, 2), vb.pp("c1"))?,
            c2: conv2d(6, 16, 5, conv_cfg(1, 0), vb.pp("c2"))?,
            f1: linear(400, 120, vb.pp("f1"))?,
            f2: linear(120, 84, vb.pp("f2"))?,
            f3: linear(84, 10, vb.pp("f3"))?,
        })
    }
}

impl Net for LeNet {
    fn run(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        let x = self.c1.forward(x)?.tanh()?.avg_pool2d(2)?;
        let x = self.c2.forward(&x)?.tanh()?.avg_pool2d(2)?;
        let x = x.flatten_from(1)?;
        let x = self.f1.forward(&x)?.tanh()?;
        let x = self.f2.forward(&x)?.tanh()?;
        self.f3.forward(&x)
    }
}

struct ConvBn {
    conv: Conv2d,
    bn: BatchNorm,
}

impl ConvBn {
    fn new(cin: usize, cout: usize, k: usize, stride: usize, vb: VarBuilder) -> Result<Self> {
        Ok(ConvBn {
            conv: conv2d_no_bias(cin, cout, k, conv_cfg(stride, k / 2), vb.pp("conv"))?,
            bn: batch_norm(cout, BatchNormConfig::default(), vb.pp("bn"))?,
        })
    }

    fn run(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.bn.forward_t(&self.conv.forward(x)?, train)
    }
}

struct Block {
    a: ConvBn,
    b: ConvBn,
    down: Option<ConvBn>,
}

impl Block {
    fn new(cin: usize, cout: usize, stride: usize, vb: VarBuilder) -> Result<Self> {
        let down = if stride != 1 || cin != cout {
            Some(ConvBn::new(cin, cout, 1, stride, vb.pp("down"))?)
        } else {
            None
        };
        Ok(Block {
            a: ConvBn::new(cin, cout, 3, stride, vb.pp("a"))?,
            b: ConvBn::new(cout, cout, 3, 1, vb.pp("b"))?,
            down,
        })
    }

    fn run(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = self.a.run(x, train)?.relu()?;
        let y = self.b.run(&y, train)?;
        let skip = match &self.down {
            Some(d) => d.run(x, train)?,
            None => x.clone(),
        };
        (y + skip)?.relu()
    }
}

struct ResNet18 {
    stem: ConvBn,
    pool2x2: bool,
    blocks: Vec<Block>,
    fc: Linear,
}

impl ResNet18 {
    fn new(pool2x2: bool, vb: VarBuilder) -> Result<Self> {
        let mut blocks = Vec::new();
        let mut cin = 64;
        for (i, cout) in [64, 128, 256, 512].into_iter().enumerate() {
            for j in 0..2 {
                let stride = if i > 0 && j == 0 { 2 } else { 1 };
                blocks.push(Block::new(cin, cout, stride, vb.pp(format!("l{i}_{j}")))?);
                cin = cout;
            }
        }
        Ok(ResNet18 {
            stem: ConvBn::new(3, 64, 7, 2, vb.pp("stem"))?,
            pool2x2,
            blocks,
            fc: linear(512, 1000, vb.pp("fc"))?,
        })
    }
}

impl Net for ResNet18 {
    fn run(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = self.stem.run(x, train)?.relu()?;
        let mut x = if self.pool2x2 {
            x.max_pool2d(2)?
        } else {
            // The values are not negative after ReLU, so padding with zeros is padding with nothing.
            x.pad_with_zeros(2, 1, 1)?.pad_with_zeros(3, 1, 1)?.max_pool2d_with_stride(3, 2)?
        };
        for b in &self.blocks {
            x = b.run(&x, train)?;
        }
        let x = x.mean(D::Minus1)?.mean(D::Minus1)?;
        self.fc.forward(&x)
    }
}

/// SGD with momentum 0.9 (candle-nn's own SGD has none): v = 0.9 v + g; w = w - lr v.
struct Momentum {
    vars: Vec<Var>,
    velocity: Vec<Option<Tensor>>,
    lr: f64,
}

impl Momentum {
    fn step(&mut self, loss: &Tensor) -> Result<()> {
        let grads = loss.backward()?;
        for (w, v) in self.vars.iter().zip(&mut self.velocity) {
            let Some(g) = grads.get(w) else { continue };
            let next = match v.take() {
                Some(old) => ((old * 0.9)? + g)?,
                None => g.clone(),
            }
            .detach();
            w.set(&(w.as_tensor() - (&next * self.lr)?)?)?;
            *v = Some(next);
        }
        Ok(())
    }
}

/// A network on the CPU, its variables, and a batch for it.
struct Work {
    map: VarMap,
    net: Box<dyn Net>,
    input: Tensor,
    targets: Tensor,
}

impl Work {
    fn new(row: &Row, mode: &str) -> Result<Self> {
        let device = Device::Cpu;
        let map = VarMap::new();
        let variables = VarBuilder::from_varmap(&map, DType::F32, &device);
        let net = network(row, mode, variables)?;
        let ([c, h, w], classes) = match row.model.as_str() {
            "lenet5" => ([1, 28, 28], 10),
            _ => ([3, 224, 224], 1000),
        };
        let batch = row.size;
        let input = Tensor::from_vec(noise(batch * c * h * w), (batch, c, h, w), &device)?;
        let targets = Tensor::from_vec(labels(batch, classes), batch, &device)?;
        Ok(Self { map, net, input, targets })
    }

    /// The same network over plain tensors. No Var may take part in inference, or the graph is kept
    /// for a backward pass that never comes.
    fn frozen(&self, row: &Row, mode: &str) -> Result<Box<dyn Net>> {
        let data = self.map.data().lock().expect("no thread panicked with the lock");
        let plain = data.iter().map(|(k, v)| (k.clone(), v.as_detached_tensor())).collect();
        network(row, mode, VarBuilder::from_tensors(plain, DType::F32, &Device::Cpu))
    }

    /// The values of all parameters; the running statistics are Vars too, but no gradient reaches
    /// them.
    fn parameters(&self) -> usize {
        let data = self.map.data().lock().expect("no thread panicked with the lock");
        let learned = data.iter().filter(|(name, _)| !name.contains("running_"));
        learned.map(|(_, variable)| variable.elem_count()).sum()
    }
}

fn network(row: &Row, mode: &str, variables: VarBuilder) -> Result<Box<dyn Net>> {
    Ok(match row.model.as_str() {
        "lenet5" => Box::new(LeNet::new(variables)?),
        "resnet18" => Box::new(ResNet18::new(mode == "pool2x2", variables)?),
        other => candle_core::bail!("there is no network {other} here"),
    })
}

fn infer(row: &Row, mode: &str, options: &Options) -> Result<Line> {
    let work = Work::new(row, mode)?;
    let net = work.frozen(row, mode)?;
    std::hint::black_box(net.run(&work.input, false)?);
    let before = start_count();
    let timing = measure(options.quick, || {
        let scores = net.run(&work.input, false).expect("the first forward pass succeeded");
        std::hint::black_box(&scores);
    });
    let rate = Rate { value: row.size as f64 * 1e3 / timing.median_ms, unit: "img/s" };
    Ok(line(&row.name(), mode, options).measured(rate, &timing).memory(before, None))
}

fn train(row: &Row, mode: &str, options: &Options) -> Result<Line> {
    let work = Work::new(row, mode)?;
    let vars = work.map.all_vars();
    let velocity = vec![None; vars.len()];
    let mut sgd = Momentum { vars, velocity, lr: 0.01 };
    let loss = || loss::cross_entropy(&work.net.run(&work.input, true)?, &work.targets);
    std::hint::black_box(work.net.run(&work.input, true)?);
    let before = start_count();
    // What candle cannot do shows in the first step.
    sgd.step(&loss()?)?;
    let timing = measure(options.quick, || {
        loss().and_then(|loss| sgd.step(&loss)).expect("the first step succeeded");
    });
    let held = gradients_and_momentum_mib(work.parameters());
    let rate = Rate { value: row.size as f64 * 1e3 / timing.median_ms, unit: "img/s" };
    let line = line(&row.name(), mode, options).measured(rate, &timing).memory(before, Some(held));
    eprintln!("loss after the timed steps: {}", loss()?.to_scalar::<f32>()?);
    Ok(if mode == "pool2x2" {
        line.note(
            "not the standard network: 2x2 maximum pool in place of 3x3 stride 2, for which candle \
             has no backward",
        )
    } else {
        line
    })
}

fn line(name: &str, mode: &str, options: &Options) -> Line {
    Line::new(PEER, VERSION, mode, name, options)
}

fn row(row: &Row, mode: &str, options: &Options) -> peer_harness::Result<Line> {
    if row.dtype != "f32" {
        return Err("only f32 is here".into());
    }
    if !["default", "pool2x2"].contains(&mode) {
        return Err(format!("there is no mode {mode}").into());
    }
    match row.phase.as_str() {
        "infer" => Ok(infer(row, mode, options)?),
        "train" => Ok(train(row, mode, options)?),
        other => Err(format!("there is no phase {other} here").into()),
    }
}

fn main() -> ExitCode {
    let failed = |name: &str, mode: &str, options: &Options, why: &str| {
        line(name, mode, options).failed("img/s", why)
    };
    Peer { rows: ROWS, measure: row, failed }.main()
}
