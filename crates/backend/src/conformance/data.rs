//! Cases for the verbs that convert, fill, reduce and draw elements.

use proptest::prelude::*;
use proptest::sample::select;

use super::case::{Call, Expect, Facts, Maker, Mistake, any_type, maker, shape, two};
use super::operand::{Operand, Values};
use super::{Failure, Options, VerbReport, harness};
use crate::random::TruncatedNormal;
use crate::{DType, Device, ErrorKind, Random, Reduce, Rng};

/// Checks [`Backend::copy`](crate::Backend::copy) between all layouts and data types.
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::copy(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("copy", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn copy(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let values = select(vec![
        Values::Ties,
        Values::Special,
        Values::Normal(1.0, 0.0),
        Values::Normal(300.0, 0.0),
        Values::Normal(1e6, 0.0),
    ]);
    let cases = (maker(), shape(20_000), any_type(), any_type(), values, any::<bool>()).prop_map(
        |(maker, shape, from, to, values, convert)| {
            copy_call(maker, &shape, [from, if convert { to } else { from }], values)
        },
    );
    let mut transposed =
        copy_call(Maker::plain(DType::F32), &[2, 3], [DType::F32; 2], Values::Ties);
    transposed.inputs[0].shape = vec![3, 2];
    let mut broadcast = copy_call(Maker::plain(DType::F32), &[2, 3], [DType::F32; 2], Values::Ties);
    broadcast.inputs[0].shape = vec![1, 3];
    let refused = vec![(ErrorKind::Shape, transposed), (ErrorKind::Shape, broadcast)];
    harness::run("copy", device, options, cases, refused)
}

fn copy_call(mut maker: Maker, shape: &[usize], dtypes: [DType; 2], values: Values) -> Call {
    let inputs = vec![maker.input("src", shape, values).any(dtypes[0])];
    let outputs = vec![maker.output("dst", shape).any(dtypes[1])];
    Call::new(inputs, outputs, Expect::Exact, |backend, inputs, outputs| {
        backend.copy(inputs[0], outputs[0])
    })
}

/// Checks [`Backend::fill`](crate::Backend::fill).
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::fill(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("fill", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn fill(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let value = select(vec![0.0, 1.0, -1.5, 0.1, 300.7, -1e6, f64::NAN, f64::INFINITY]);
    let cases =
        (maker(), shape(20_000), any_type(), value).prop_map(|(mut maker, shape, dtype, value)| {
            let outputs = vec![maker.output("dst", &shape).any(dtype).of_any_rank()];
            Call::new(Vec::new(), outputs, Expect::Exact, move |backend, _, outputs| {
                backend.fill(outputs[0], value)
            })
            .with(format_args!("value {value}"))
        });
    harness::run("fill", device, options, cases, Vec::new())
}

/// Checks [`Backend::reduce`](crate::Backend::reduce), with ties, infinities and NaN.
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::reduce(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("reduce", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn reduce(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let kind = select(vec![Reduce::Sum, Reduce::Max, Reduce::Min]);
    let values = select(vec![Values::Normal(1.0, 0.0), Values::Ties, Values::Special]);
    let long = (1..=3usize, 500..=20_000usize).prop_map(|(a, b)| vec![a, b]);
    let shape = prop_oneof![9 => shape(20_000), 1 => long];
    let cases = (maker(), shape, kind, values, 0..32u8, any::<bool>(), any::<bool>()).prop_map(
        |(maker, shape, kind, values, kept, indexed, wide)| {
            reduce_call(maker, shape, kind, values, kept, indexed, wide)
        },
    );
    harness::run("reduce", device, options, cases, refused_reductions())
}

fn reduce_call(
    mut maker: Maker,
    mut shape: Vec<usize>,
    kind: Reduce,
    values: Values,
    kept: u8,
    indexed: bool,
    wide: bool,
) -> Call {
    let keeps = |axis: usize| kept >> axis & 1 == 1;
    if kind != Reduce::Sum {
        for (axis, size) in shape.iter_mut().enumerate() {
            *size = if keeps(axis) { *size } else { (*size).max(1) };
        }
    }
    let reduced: Vec<usize> =
        shape.iter().enumerate().map(|(axis, &s)| if keeps(axis) { s } else { 1 }).collect();
    let terms = shape.iter().product::<usize>() / reduced.iter().product::<usize>().max(1);
    let (values, expect) = match kind {
        Reduce::Sum => (Values::Normal(1.0, 0.0), Expect::Sum(terms)),
        _ => (values, Expect::Exact),
    };
    let inputs = vec![maker.input("src", &shape, values)];
    let mut dst = maker.output("dst", &reduced);
    if wide {
        dst = dst.accumulator();
    }
    let mut outputs = vec![dst];
    if indexed && kind != Reduce::Sum {
        outputs.push(maker.index_output("index", &reduced));
    }
    Call::new(inputs, outputs, expect, move |backend, inputs, outputs| match outputs {
        [dst] => backend.reduce(kind, inputs[0], dst, None),
        outputs => {
            let (dst, index) = two(outputs)?;
            backend.reduce(kind, inputs[0], dst, Some(index))
        }
    })
    .with(kind)
}

fn refused_reductions() -> Vec<Mistake> {
    let with = |shape: &[usize], kind, kept, indexed| {
        let maker = Maker::plain(DType::F32);
        reduce_call(maker, shape.to_vec(), kind, Values::Ties, kept, indexed, false)
    };
    let mut larger = with(&[3, 4], Reduce::Sum, 1, false);
    larger.outputs[0].shape = vec![2, 1];
    let mut broadcast = with(&[3, 1], Reduce::Sum, 1, false);
    broadcast.outputs[0].shape = vec![3, 4];
    let mut nothing = with(&[3, 4], Reduce::Max, 1, false);
    nothing.inputs[0].shape = vec![3, 0];
    let mut mismatched = with(&[3, 4], Reduce::Min, 1, true);
    mismatched.outputs[1].shape = vec![1, 1];
    let mut indexed = with(&[3, 4], Reduce::Max, 1, true);
    indexed.run = Box::new(|backend, inputs, outputs| {
        let (dst, index) = two(outputs)?;
        backend.reduce(Reduce::Sum, inputs[0], dst, Some(index))
    });
    vec![
        (ErrorKind::Shape, larger),
        (ErrorKind::Shape, broadcast),
        (ErrorKind::Shape, nothing),
        (ErrorKind::Shape, mismatched),
        (ErrorKind::Argument, indexed),
    ]
}

/// Checks [`Backend::random`](crate::Backend::random): uniform and Bernoulli draws bit by bit,
/// normal ones within 1e-12.
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::random(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("random", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn random(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let mut kinds = vec![
        Random::Uniform { low: 0.0, high: 1.0 },
        Random::Uniform { low: -0.7, high: 0.3 },
        Random::Normal { mean: 0.0, std: 1.0 },
        Random::Normal { mean: -3.0, std: 0.1 },
        Random::Bernoulli { p: 0.5, value: 1.0 },
        Random::Bernoulli { p: 0.9, value: 1.0 / 0.9 },
        Random::Bernoulli { p: 0.0, value: 1.0 },
        Random::Bernoulli { p: 1.0, value: 2.0 },
    ];
    let truncated =
        [TruncatedNormal::new(0.0, 1.0, -2.0, 2.0), TruncatedNormal::new(1.0, 0.5, 1.5, 9.0)];
    kinds.extend(truncated.into_iter().flatten().map(Random::TruncatedNormal));
    let kind = select(kinds);
    let cases = (maker(), shape(20_000), kind, any::<u64>().no_shrink())
        .prop_map(|(mut maker, shape, kind, seed)| draw(maker.output("dst", &shape), kind, seed));
    harness::run("random", device, options, cases, Vec::new())
}

fn draw(dst: Operand, kind: Random, seed: u64) -> Call {
    let scale = match kind {
        Random::Normal { mean, std } => Some(mean.abs() + std.abs()),
        Random::TruncatedNormal(_) => Some(1.0),
        Random::Uniform { .. } | Random::Bernoulli { .. } => None,
    };
    let expect = scale.map_or(Expect::Exact, |scale| {
        let bound = move |facts: &Facts<'_>| {
            let one = |want: &f64| 1e-12 * (want.abs() + scale);
            vec![facts.expected[0].iter().map(one).collect()]
        };
        Expect::Within(Box::new(bound))
    });
    Call::new(Vec::new(), vec![dst.of_any_rank()], expect, move |backend, _, outputs| {
        backend.random(kind, Rng::new(seed), outputs[0])
    })
    .with((kind, seed))
}
