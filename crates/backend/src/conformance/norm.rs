//! Cases for batch normalisation.

use proptest::prelude::*;
use proptest::sample::select;

use super::case::{Call, Expect, Facts, Maker, Mistake, maker, sizes, two};
use super::operand::{Operand, Values};
use super::{Failure, Options, VerbReport, harness};
use crate::{BatchNormGrads, DType, Device, Epilogue, Error, ErrorKind};

/// Checks [`Backend::channel_moments`](crate::Backend::channel_moments), with means that are large
/// beside the deviation too.
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::channel_moments(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("channel_moments", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn channel_moments(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let offset = select(vec![0.0, 0.0, 10.0, -1000.0]);
    let cases = (maker(), sizes::<4>(10_000), offset).prop_map(|(maker, [n, c, h, w], offset)| {
        moments(maker, [n.max(1), c, h.max(1), w.max(1)], offset)
    });
    let plain = |maker, sizes| moments(maker, sizes, 0.0);
    let mut refused = misshapen(plain);
    refused.push((ErrorKind::Shape, plain(Maker::plain(DType::F32), [2, 3, 0, 4])));
    harness::run("channel_moments", device, options, cases, refused)
}

/// Checks [`Backend::batch_norm`](crate::Backend::batch_norm).
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::batch_norm(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("batch_norm", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn batch_norm(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let cases = (maker(), sizes::<4>(10_000), any::<bool>(), select(vec![1e-5, 1e-3, 0.0]))
        .prop_map(|(maker, sizes, affine, eps)| normalise(maker, sizes, affine, eps));
    let mut refused = misshapen(|maker, sizes| normalise(maker, sizes, true, 1e-5));
    let negative = normalise(Maker::plain(DType::F32), [2, 3, 4, 5], true, -1e-5);
    refused.push((ErrorKind::Argument, negative));
    harness::run("batch_norm", device, options, cases, refused)
}

/// Checks [`Backend::batch_norm_grad`](crate::Backend::batch_norm_grad).
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::batch_norm_grad(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("batch_norm_grad", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn batch_norm_grad(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let cases = (maker(), sizes::<4>(10_000), any::<bool>(), select(vec![1e-5, 1e-3, 0.0]))
        .prop_map(|(maker, sizes, weighted, eps)| gradient(maker, sizes, weighted, eps));
    let refused = misshapen(|maker, sizes| gradient(maker, sizes, true, 1e-5));
    harness::run("batch_norm_grad", device, options, cases, refused)
}

/// Checks [`Backend::batch_norm_act`](crate::Backend::batch_norm_act).
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::batch_norm_act(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("batch_norm_act", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn batch_norm_act(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let cases = (maker(), sizes::<4>(10_000), any::<[bool; 3]>())
        .prop_map(|(maker, sizes, which)| normalise_act(maker, sizes, which));
    let refused = misshapen(|maker, sizes| normalise_act(maker, sizes, [true; 3]));
    harness::run("batch_norm_act", device, options, cases, refused)
}

/// Checks [`Backend::batch_norm_act_grad`](crate::Backend::batch_norm_act_grad).
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::batch_norm_act_grad(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("batch_norm_act_grad", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn batch_norm_act_grad(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let cases = (maker(), sizes::<4>(10_000), any::<[bool; 3]>())
        .prop_map(|(maker, sizes, which)| gradient_act(maker, sizes, which));
    let refused = misshapen(|maker, sizes| gradient_act(maker, sizes, [true; 3]));
    harness::run("batch_norm_act_grad", device, options, cases, refused)
}

/// The channel of each element of `[N, C, H, W]`, in row-major order.
fn channels([n, c, h, w]: [usize; 4]) -> impl Iterator<Item = usize> {
    (0..n * c * h * w).map(move |at| at / (h * w) % c)
}

fn moments(mut maker: Maker, sizes: [usize; 4], offset: f64) -> Call {
    let inputs = vec![maker.input("x", &sizes, Values::Normal(1.0, offset))];
    let mut statistic = |name| maker.output(name, &sizes[1..2]).accumulator();
    let outputs = vec![statistic("mean"), statistic("var")];
    let terms = (sizes[0] * sizes[2] * sizes[3]) as f64;
    let bound = move |facts: &Facts<'_>| {
        let rounding = (32.0 + terms) * facts.unit;
        let mut magnitude = vec![0.0; sizes[1]];
        for (channel, value) in channels(sizes).zip(&facts.inputs[0]) {
            magnitude[channel] += value.abs() / terms;
        }
        let var = magnitude.iter().zip(&facts.expected[1]).map(|(size, var)| {
            // The deviations are off by the rounding of the mean; in the sum of their squares that
            // cancels but for its own square and for how it rounds.
            var * rounding + (size * rounding).powi(2) + 4.0 * var.sqrt() * size * facts.unit
        });
        let var = var.collect();
        vec![magnitude.iter().map(|size| size * rounding).collect(), var]
    };
    Call::new(inputs, outputs, Expect::Within(Box::new(bound)), |backend, inputs, outputs| {
        let (mean, var) = two(outputs)?;
        backend.channel_moments(inputs[0], mean, var)
    })
}

/// Mean and variance, `[C]`.
fn statistics(maker: &mut Maker, channels: usize) -> [Operand; 2] {
    let mut make = |name, values| maker.input(name, &[channels], values).accumulator();
    [make("mean", Values::Normal(1.0, 0.0)), make("var", Values::Uniform(0.5, 2.0))]
}

fn normalise(mut maker: Maker, sizes: [usize; 4], affine: bool, eps: f64) -> Call {
    let mut inputs = vec![maker.input("x", &sizes, Values::Normal(2.0, 1.0))];
    inputs.extend(statistics(&mut maker, sizes[1]));
    if affine {
        let parameter =
            |name| maker.input(name, &sizes[1..2], Values::Normal(1.0, 0.0)).accumulator();
        inputs.extend(["weight", "bias"].map(parameter));
    }
    let outputs = vec![maker.output("y", &sizes)];
    let bound = move |facts: &Facts<'_>| {
        let [x, mean, var] = [0, 1, 2].map(|which| &facts.inputs[which]);
        let of = |which: usize, channel: usize, none: f64| {
            facts.inputs.get(which).map_or(none, |values| values[channel].abs())
        };
        let one = |(c, x): (usize, &f64)| {
            let scale = of(3, c, 1.0) / (var[c] + eps).sqrt();
            32.0 * facts.unit * ((x.abs() + mean[c].abs()) * scale + of(4, c, 0.0))
        };
        vec![channels(sizes).zip(x).map(one).collect()]
    };
    Call::new(inputs, outputs, Expect::Within(Box::new(bound)), move |backend, inputs, outputs| {
        let affine = inputs.get(3..5).map(|pair| [pair[0], pair[1]]);
        backend.batch_norm(inputs[0], [inputs[1], inputs[2]], affine, eps, outputs[0])
    })
    .with(format_args!("eps {eps}"))
}

fn gradient(mut maker: Maker, sizes: [usize; 4], weighted: bool, eps: f64) -> Call {
    let mut inputs = vec![
        maker.input("gy", &sizes, Values::Normal(1.0, 0.0)),
        maker.input("x", &sizes, Values::Normal(1.0, 0.0)),
    ];
    inputs.extend(statistics(&mut maker, sizes[1]));
    if weighted {
        let weight = maker.input("weight", &sizes[1..2], Values::Normal(1.0, 0.0));
        inputs.push(weight.accumulator());
    }
    let gx = maker.output("gx", &sizes);
    let mut parameter = |name| maker.output(name, &sizes[1..2]).accumulator();
    let outputs = vec![gx, parameter("gw"), parameter("gb")];
    let terms = (sizes[0] * sizes[2] * sizes[3]) as f64;
    let bound = move |facts: &Facts<'_>| {
        let [gy, x, mean, var] = [0, 1, 2, 3].map(|which| &facts.inputs[which]);
        let rounding = (64.0 + terms) * facts.unit;
        let r = |c: usize| 1.0 / (var[c] + eps).sqrt();
        let xhat = |c: usize, x: f64| (x.abs() + mean[c].abs()) * r(c);
        let (mut gw, mut gb) = (vec![0.0; sizes[1]], vec![0.0; sizes[1]]);
        for (c, (gy, &x)) in channels(sizes).zip(gy.iter().zip(x)) {
            gw[c] += gy.abs() * xhat(c, x) * rounding;
            gb[c] += gy.abs() * rounding;
        }
        let one = |(c, (gy, &x)): (usize, (&f64, &f64))| {
            let weight = facts.inputs.get(4).map_or(1.0, |weight| weight[c].abs());
            weight * r(c) * (gy.abs() * rounding + (gb[c] + xhat(c, x) * gw[c]) / terms)
        };
        let gx = channels(sizes).zip(gy.iter().zip(x)).map(one).collect();
        vec![gx, gw, gb]
    };
    Call::new(inputs, outputs, Expect::Within(Box::new(bound)), move |backend, inputs, outputs| {
        let stats = [inputs[2], inputs[3]];
        let weight = inputs.get(4).copied();
        match outputs {
            [gx, gw, gb] => {
                backend.batch_norm_grad(inputs[0], inputs[1], stats, weight, eps, gx, gw, gb)
            }
            _ => Err(Error::argument("this case has not three outputs")),
        }
    })
    .with(format_args!("eps {eps}"))
}

/// `which`: affine, with a residual, with a ReLU.
fn normalise_act(maker: Maker, sizes: [usize; 4], which: [bool; 3]) -> Call {
    let [affine, residual, relu] = which;
    let eps = 1e-5;
    let mut maker = maker;
    let mut inputs = vec![maker.input("x", &sizes, Values::Normal(2.0, 1.0))];
    inputs.extend(statistics(&mut maker, sizes[1]));
    if affine {
        let parameter =
            |name| maker.input(name, &sizes[1..2], Values::Normal(1.0, 0.0)).accumulator();
        inputs.extend(["weight", "bias"].map(parameter));
    }
    if residual {
        inputs.push(maker.input("residual", &sizes, Values::Normal(1.0, 0.0)));
    }
    let outputs = vec![maker.output("y", &sizes)];
    let sixteen = [DType::BF16, DType::F16].contains(&maker.dtype);
    let bound = move |facts: &Facts<'_>| {
        let [x, mean, var] = [0, 1, 2].map(|which| &facts.inputs[which]);
        let of = |which: usize, channel: usize, none: f64| match affine {
            true => facts.inputs[which][channel].abs(),
            false => none,
        };
        // A device without the verb rounds the norm before the sum.
        let unit = if sixteen { facts.unit.max(1.0 / 256.0 / 32.0) } else { facts.unit };
        let one = |(at, (c, x)): (usize, (usize, &f64))| {
            let scale = of(3, c, 1.0) / (var[c] + eps).sqrt();
            let added =
                if residual { facts.inputs.last().map_or(0.0, |r| r[at].abs()) } else { 0.0 };
            32.0 * unit * ((x.abs() + mean[c].abs()) * scale + of(4, c, 0.0) + added)
        };
        vec![channels(sizes).zip(x).enumerate().map(one).collect()]
    };
    Call::new(inputs, outputs, Expect::Within(Box::new(bound)), move |backend, inputs, outputs| {
        let affine = affine.then(|| [inputs[3], inputs[4]]);
        let residual = if residual { inputs.last().copied() } else { None };
        let epilogue = Epilogue { residual, relu };
        backend.batch_norm_act(inputs[0], [inputs[1], inputs[2]], affine, eps, epilogue, outputs[0])
    })
    .with(("relu", relu))
}

/// `which`: weighted, with a residual, with a ReLU.
fn gradient_act(mut maker: Maker, sizes: [usize; 4], which: [bool; 3]) -> Call {
    let [weighted, residual, relu] = which;
    let eps = 1e-3;
    let mut inputs = vec![
        maker.input("gy", &sizes, Values::Normal(1.0, 0.0)),
        maker.input("x", &sizes, Values::Normal(1.0, 0.0)),
    ];
    inputs.extend(statistics(&mut maker, sizes[1]));
    if weighted {
        let weight = maker.input("weight", &sizes[1..2], Values::Normal(1.0, 0.0));
        inputs.push(weight.accumulator());
    }
    if relu {
        inputs.push(maker.input("y", &sizes, Values::Special));
    }
    let gx = maker.output("gx", &sizes);
    let mut parameter = |name| maker.output(name, &sizes[1..2]).accumulator();
    let mut outputs = vec![gx, parameter("gw"), parameter("gb")];
    if residual {
        outputs.push(maker.output("gr", &sizes));
    }
    let terms = (sizes[0] * sizes[2] * sizes[3]) as f64;
    let bound = move |facts: &Facts<'_>| {
        let [gy, x, mean, var] = [0, 1, 2, 3].map(|which| &facts.inputs[which]);
        let rounding = (64.0 + terms) * facts.unit;
        let r = |c: usize| 1.0 / (var[c] + eps).sqrt();
        let xhat = |c: usize, x: f64| (x.abs() + mean[c].abs()) * r(c);
        let (mut gw, mut gb) = (vec![0.0; sizes[1]], vec![0.0; sizes[1]]);
        for (c, (gy, &x)) in channels(sizes).zip(gy.iter().zip(x)) {
            gw[c] += gy.abs() * xhat(c, x) * rounding;
            gb[c] += gy.abs() * rounding;
        }
        let one = |(c, (gy, &x)): (usize, (&f64, &f64))| {
            let weight = if weighted { facts.inputs[4][c].abs() } else { 1.0 };
            weight * r(c) * (gy.abs() * rounding + (gb[c] + xhat(c, x) * gw[c]) / terms)
        };
        let gx = channels(sizes).zip(gy.iter().zip(x)).map(one).collect();
        let mut bounds = vec![gx, gw, gb];
        if residual {
            // What passes is copied.
            bounds.push(vec![0.0; gy.len()]);
        }
        bounds
    };
    Call::new(inputs, outputs, Expect::Within(Box::new(bound)), move |backend, inputs, outputs| {
        let stats = [inputs[2], inputs[3]];
        let weight = weighted.then(|| inputs[4]);
        let y = if relu { inputs.last().copied() } else { None };
        let [gx, gw, gb, rest @ ..] = outputs else {
            return Err(Error::argument("this case has not three outputs"));
        };
        let residual = rest.first_mut().map(|array| &mut **array);
        let grads = BatchNormGrads { x: gx, weight: gw, bias: gb, residual };
        backend.batch_norm_act_grad(inputs[0], inputs[1], y, stats, weight, eps, grads)
    })
    .with(("relu", relu))
}

/// Each operand in turn with one more in its first dimension.
fn misshapen(call: impl Fn(Maker, [usize; 4]) -> Call) -> Vec<Mistake> {
    let make = || call(Maker::plain(DType::F32), [2, 3, 4, 5]);
    let valid = make();
    let (reads, writes) = (valid.inputs.len(), valid.outputs.len());
    // One more image is no mistake where x is the only operand that has images.
    let first =
        if valid.operands().filter(|operand| operand.shape.len() == 4).count() > 1 { 0 } else { 1 };
    (first..reads + writes)
        .map(|which| {
            let mut call = make();
            let operand = match which.checked_sub(reads) {
                None => &mut call.inputs[which],
                Some(output) => &mut call.outputs[output],
            };
            operand.shape[0] += 1;
            (ErrorKind::Shape, call)
        })
        .collect()
}
