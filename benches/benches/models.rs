//! Whole networks: inference and training steps, as the peers' benchmarks do them.
//!
//! Training is forward, cross entropy, backward and a step of SGD with momentum 0.9, in training mode
//! with dropout on, always on the same batch. In bf16 convolutions and linear layers compute in bf16
//! and parameters are f32 (`torch.autocast`). The memory that a row needs is told with its facts. The
//! pass before that count is a clone's, which goes: so bf16 copies of weights, which a model keeps from
//! one pass to the next, count as memory that the row needs.

use criterion::Bencher;
use ferrotape::Result;
use ferrotape::prelude::*;
use ferrotape_benches::memory::{Count, Usage, mib};
use ferrotape_benches::zoo::{NETWORKS, Network};
use ferrotape_benches::{Run, Session, Work, device};

fn main() -> Result<()> {
    let device = device::open()?;
    let mut session = Session::from_args();
    for network in &NETWORKS {
        for dtype in [DType::F32, DType::BF16] {
            for batch in [network.batch, 1] {
                let setting = Setting { device: &device, network, batch, dtype };
                let name = setting.name("infer");
                let work = Work::items(batch).with_flops(network.forward_flops(batch)?);
                session.run(&name, work, Inference { setting, running: None });
            }
            let setting = Setting { device: &device, network, batch: network.batch, dtype };
            let name = setting.name("train");
            let flops = network.training_flops(network.batch)?;
            let work = Work::items(network.batch).with_flops(flops);
            session.run(&name, work, Training { setting, running: None });
        }
    }
    session.finish();
    Ok(())
}

#[derive(Clone, Copy)]
struct Setting<'a> {
    device: &'a Device,
    network: &'a Network,
    batch: usize,
    dtype: DType,
}

impl Setting<'_> {
    fn name(&self, phase: &str) -> String {
        format!("{phase}/{}/b{}/{}", self.network.name, self.batch, self.dtype)
    }

    fn images(&self) -> Result<Array> {
        device::images(self.device, DType::F32, self.network.images(self.batch))
    }

    /// The pass in the row's type.
    fn cast(&self, cx: Pass) -> Pass {
        match self.dtype {
            DType::F32 => cx,
            dtype => cx.autocast(dtype),
        }
    }

    fn infer(&self, model: &dyn Classifier, images: &Array) -> Result<Tensor> {
        let cx = self.cast(Pass::eval(self.device));
        model.scores(&cx, &cx.input(images.clone())?)
    }

    fn training_pass(&self, step: u64) -> Pass {
        self.cast(Pass::train(self.device, Rng::new(1).step(step)))
    }
}

/// A forward pass in evaluation mode.
struct Inference<'a> {
    setting: Setting<'a>,
    running: Option<Inferring>,
}

struct Inferring {
    model: Box<dyn Classifier>,
    images: Array,
    count: Option<Count>,
    usage: Option<Usage>,
}

impl Inferring {
    fn new(setting: &Setting<'_>) -> Result<Self> {
        let (model, images) = (setting.network.build(setting.device)?, setting.images()?);
        setting.infer(&*model.clone(), &images)?;
        Ok(Inferring { model, images, count: Count::start(setting.device), usage: None })
    }
}

impl Run for Inference<'_> {
    fn run(&mut self, bencher: &mut Bencher<'_>) -> Result<()> {
        let running = match &mut self.running {
            Some(running) => running,
            none => none.insert(Inferring::new(&self.setting)?),
        };
        let mut failed = None;
        bencher.iter(|| {
            let scores = self.setting.infer(&*running.model, &running.images);
            scores.map_err(|error| failed = Some(error))
        });
        running.usage = running.count.and_then(|count| count.usage(None));
        failed.map_or(Ok(()), Err)
    }

    fn usage(&self) -> Option<Usage> {
        self.running.as_ref()?.usage
    }
}

/// A training step.
struct Training<'a> {
    setting: Setting<'a>,
    running: Option<Trainer>,
}

struct Trainer {
    model: Box<dyn Classifier>,
    images: Array,
    labels: Array,
    sgd: Sgd,
    step: u64,
    count: Option<Count>,
    usage: Option<Usage>,
}

impl Trainer {
    fn new(setting: &Setting<'_>) -> Result<Self> {
        let model = setting.network.build(setting.device)?;
        let images = setting.images()?;
        let labels = device::labels(setting.device, setting.batch, setting.network.classes)?;
        let config = SgdConfig { lr: 0.01, momentum: 0.9, ..SgdConfig::default() };
        let sgd = Sgd::new(model.parameters(), config)?;
        let cx = setting.training_pass(0).without_grad();
        model.clone().scores(&cx, &cx.input(images.clone())?)?;
        drop(cx);
        let count = Count::start(setting.device);
        Ok(Trainer { model, images, labels, sgd, step: 0, count, usage: None })
    }

    fn step(&mut self, setting: &Setting<'_>) -> Result<()> {
        self.step += 1;
        let cx = setting.training_pass(self.step);
        let outcome = self.model.loss(&cx, &cx.input(self.images.clone())?, &self.labels)?;
        self.sgd.step(&outcome.loss.backward()?)
    }

    /// Gradients and momentum are as large as the parameters, each.
    fn grad_and_momentum_mib(&self) -> f64 {
        mib(2 * self.model.parameters().iter().map(|p| p.value().bytes()).sum::<usize>())
    }
}

impl Run for Training<'_> {
    fn run(&mut self, bencher: &mut Bencher<'_>) -> Result<()> {
        let running = match &mut self.running {
            Some(running) => running,
            none => none.insert(Trainer::new(&self.setting)?),
        };
        let mut failed = None;
        bencher.iter(|| running.step(&self.setting).map_err(|error| failed = Some(error)));
        let held = running.grad_and_momentum_mib();
        running.usage = running.count.and_then(|count| count.usage(Some(held)));
        failed.map_or(Ok(()), Err)
    }

    fn usage(&self) -> Option<Usage> {
        self.running.as_ref()?.usage
    }
}
