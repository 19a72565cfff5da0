//! Values and gradients that PyTorch computed in float64, beside those of the reference backend.

use std::collections::BTreeMap;

use ferrotape_backend::reference::Reference;
use ferrotape_backend::{Array, Conv2d, CrossEntropy, DType, Device, Pool2d, Result};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixtures {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    op: String,
    attrs: Attributes,
    tensors: BTreeMap<String, Tensor>,
}

#[derive(Deserialize)]
struct Tensor {
    shape: Vec<usize>,
    data: Vec<f64>,
}

/// The attributes of all operators; each has some of them.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Attributes {
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: Option<[usize; 2]>,
    kernel: [usize; 2],
    groups: usize,
    ceil_mode: bool,
    count_include_pad: bool,
    dim: isize,
    eps: f64,
    label_smoothing: f64,
    reduction: String,
}

/// One case with its tensors on a device.
struct Bench {
    device: Device,
    case: Case,
}

impl Bench {
    fn maybe(&self, name: &str) -> Result<Option<Array>> {
        let Some(Tensor { shape, data }) = self.case.tensors.get(name) else { return Ok(None) };
        let integers = name == "in/target" || name == "in/index";
        let dtype = if integers { DType::I64 } else { DType::F64 };
        Array::from_f64(&self.device, data, dtype, shape).map(Some)
    }

    fn get(&self, name: &str) -> Result<Array> {
        Ok(self.maybe(name)?.unwrap_or_else(|| panic!("{} has no {name}", self.case.id)))
    }

    fn like(&self, array: &Array) -> Result<Array> {
        Array::zeros(&self.device, DType::F64, array.shape())
    }

    fn agrees(&self, name: &str, got: &Array) -> Result<()> {
        let want = self.get(name)?;
        assert_eq!(got.shape(), want.shape(), "{} {name}", self.case.id);
        for (i, (got, want)) in got.to_f64_vec()?.iter().zip(want.to_f64_vec()?).enumerate() {
            let near = (got - want).abs() <= 1e-12 * (1.0 + want.abs());
            assert!(near, "{} {name}: element {i} is {got}, PyTorch has {want}", self.case.id);
        }
        Ok(())
    }

    fn pool(&self) -> Pool2d {
        let Attributes { kernel, stride, padding, ceil_mode, count_include_pad, .. } =
            self.case.attrs;
        let dilation = self.case.attrs.dilation.unwrap_or([1, 1]);
        Pool2d { kernel, stride, padding, dilation, ceil_mode, count_include_pad }
    }
}

/// How many cases of one operator there are, each of which `law` has checked.
fn cases_of(op: &str, law: impl Fn(&Bench) -> Result<()>) -> usize {
    let fixtures: Fixtures = serde_json::from_str(include_str!("../fixtures/verbs.json"))
        .expect("the fixtures are well formed");
    let mut count = 0;
    for case in fixtures.cases.into_iter().filter(|case| case.op == op) {
        let bench = Bench { device: Device::new(Reference::new()), case };
        law(&bench).unwrap_or_else(|error| panic!("{}: {error}", bench.case.id));
        count += 1;
    }
    count
}

#[test]
fn convolutions_and_their_gradients_are_pytorchs() {
    let count = cases_of("conv2d", |bench| {
        let Attributes { stride, padding, dilation, groups, .. } = bench.case.attrs;
        let params = Conv2d { stride, padding, dilation: dilation.unwrap_or([1, 1]), groups };
        let backend = bench.device.backend();
        let (x, w) = (bench.get("in/input")?, bench.get("in/weight")?);
        let bias = bench.maybe("in/bias")?;
        let gy = bench.get("cot/0")?;
        let (mut y, mut gx, mut gw) = (bench.like(&gy)?, bench.like(&x)?, bench.like(&w)?);
        backend.conv2d(&x, &w, bias.as_ref(), &mut y, &params)?;
        bench.agrees("out/0", &y)?;
        backend.conv2d_input_grad(&gy, &w, &mut gx, &params)?;
        bench.agrees("grad/input", &gx)?;
        backend.conv2d_weight_grad(&x, &gy, &mut gw, &params)?;
        bench.agrees("grad/weight", &gw)
    });
    assert!(count > 0);
}

#[test]
fn maximum_pooling_is_pytorchs() {
    let count = cases_of("max_pool2d", |bench| {
        let backend = bench.device.backend();
        let (x, gy) = (bench.get("in/input")?, bench.get("cot/0")?);
        let (mut y, mut picked, mut gx) = (bench.like(&gy)?, bench.like(&gy)?, bench.like(&x)?);
        let mut index = Array::zeros(&bench.device, DType::I64, gy.shape())?;
        backend.max_pool2d(&x, &mut y, &mut index, &bench.pool())?;
        bench.agrees("out/0", &y)?;
        backend.max_pool2d_grad(&gy, &index, &mut gx)?;
        bench.agrees("grad/input", &gx)?;
        backend.max_pool2d_pick(&x, &index, &mut picked)?;
        bench.agrees("out/0", &picked)
    });
    assert!(count > 0);
}

#[test]
fn average_pooling_is_pytorchs() {
    let count = cases_of("avg_pool2d", |bench| {
        let backend = bench.device.backend();
        let (x, gy) = (bench.get("in/input")?, bench.get("cot/0")?);
        let (mut y, mut gx) = (bench.like(&gy)?, bench.like(&x)?);
        backend.avg_pool2d(&x, &mut y, &bench.pool())?;
        bench.agrees("out/0", &y)?;
        backend.avg_pool2d_grad(&gy, &mut gx, &bench.pool())?;
        bench.agrees("grad/input", &gx)
    });
    assert!(count > 0);
}

#[test]
fn softmax_and_its_logarithm_are_pytorchs() {
    for (op, log) in [("softmax", false), ("log_softmax", true)] {
        let count = cases_of(op, |bench| {
            let backend = bench.device.backend();
            let x = bench.get("in/input")?;
            let dim = x.shape().dim(bench.case.attrs.dim)?;
            let (mut y, mut gx) = (bench.like(&x)?, bench.like(&x)?);
            backend.softmax(&x, &mut y, dim, log)?;
            bench.agrees("out/0", &y)?;
            backend.softmax_grad(&bench.get("cot/0")?, &y, &mut gx, dim, log)?;
            bench.agrees("grad/input", &gx)
        });
        assert!(count > 0);
    }
}

#[test]
fn batch_normalisation_in_training_is_pytorchs() {
    let count = cases_of("batch_norm_train", |bench| {
        let backend = bench.device.backend();
        let (eps, x) = (bench.case.attrs.eps, bench.get("in/input")?);
        let shape = *x.shape();
        let images = [shape[0], shape[1], shape[2..].iter().product(), 1];
        let (x, gy) = (x.reshape(images)?, bench.get("cot/0")?.reshape(images)?);
        let (weight, bias) = (bench.get("in/weight")?, bench.get("in/bias")?);
        let channel = || bench.like(&weight);
        let (mut mean, mut var) = (channel()?, channel()?);
        backend.channel_moments(&x, &mut mean, &mut var)?;
        let (stats, mut y) = ([&mean, &var], bench.like(&x)?);
        backend.batch_norm(&x, stats, Some([&weight, &bias]), eps, &mut y)?;
        bench.agrees("out/0", &y.reshape(shape)?)?;
        let (mut gx, mut gw, mut gb) = (bench.like(&x)?, channel()?, channel()?);
        backend.batch_norm_grad(&gy, &x, stats, Some(&weight), eps, &mut gx, &mut gw, &mut gb)?;
        bench.agrees("grad/input", &gx.reshape(shape)?)?;
        bench.agrees("grad/weight", &gw)?;
        bench.agrees("grad/bias", &gb)
    });
    assert!(count > 0);
}

#[test]
fn cross_entropy_is_pytorchs() {
    let count = cases_of("cross_entropy", |bench| {
        let backend = bench.device.backend();
        let label_smoothing = bench.case.attrs.label_smoothing;
        let params = CrossEntropy { label_smoothing, ..CrossEntropy::default() };
        let (x, targets) = (bench.get("in/input")?, bench.get("in/target")?);
        let mut loss = Array::zeros(&bench.device, DType::F64, targets.shape())?;
        backend.cross_entropy(&x, &targets, &mut loss, &params)?;
        let losses = loss.to_f64_vec()?;
        let (total, share) = match bench.case.attrs.reduction.as_str() {
            "none" => (loss.clone(), 1.0),
            reduction => {
                let share = if reduction == "mean" { 1.0 / losses.len() as f64 } else { 1.0 };
                let total = losses.iter().sum::<f64>() * share;
                (Array::full(&bench.device, DType::F64, [], total)?, share)
            }
        };
        bench.agrees("out/0", &total)?;
        let gloss = bench.get("cot/0")?.broadcast_to(targets.shape())?.to_f64_vec()?;
        let gloss: Vec<f64> = gloss.into_iter().map(|g| g * share).collect();
        let gloss = Array::from_slice(&bench.device, &gloss, targets.shape())?;
        let mut gx = bench.like(&x)?;
        backend.cross_entropy_grad(&gloss, &x, &targets, &mut gx, &params)?;
        bench.agrees("grad/input", &gx)
    });
    assert!(count > 0);
}

#[test]
fn gather_and_scatter_are_pytorchs() {
    let count = cases_of("gather", |bench| {
        let backend = bench.device.backend();
        let (x, index, gy) = (bench.get("in/input")?, bench.get("in/index")?, bench.get("cot/0")?);
        let dim = x.shape().dim(bench.case.attrs.dim)?;
        let (mut y, mut gx) = (bench.like(&gy)?, bench.like(&x)?);
        backend.gather(&x, dim, &index, &mut y)?;
        bench.agrees("out/0", &y)?;
        backend.scatter_add(&gy, dim, &index, &mut gx)?;
        bench.agrees("grad/input", &gx)
    });
    assert!(count > 0);
}
