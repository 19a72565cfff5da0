//! Cases for softmax and cross entropy.

use proptest::prelude::*;
use proptest::sample::select;

use super::case::{Call, Expect, Facts, Maker, Mistake, maker, shape, sizes};
use super::operand::Values;
use super::{Failure, Options, VerbReport, harness};
use crate::{CrossEntropy, DType, Device, ErrorKind};

/// Checks [`Backend::softmax`](crate::Backend::softmax), with values that are large, infinite or
/// not numbers too.
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::softmax(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("softmax", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn softmax(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let values = select(vec![
        Values::Normal(1.0, 0.0),
        Values::Normal(20.0, 0.0),
        Values::Normal(1.0, 1000.0),
        Values::Ties,
        Values::Special,
    ]);
    let cases = (maker(), line(), values, any::<bool>())
        .prop_map(|(maker, line, values, log)| forward(maker, line, values, log));
    let refused = misshapen(|maker, line| forward(maker, line, Values::Ties, false));
    harness::run("softmax", device, options, cases, refused)
}

/// Checks [`Backend::softmax_grad`](crate::Backend::softmax_grad).
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::softmax_grad(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("softmax_grad", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn softmax_grad(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let cases =
        (maker(), line(), any::<bool>()).prop_map(|(maker, line, log)| gradient(maker, line, log));
    let refused = misshapen(|maker, line| gradient(maker, line, true));
    harness::run("softmax_grad", device, options, cases, refused)
}

/// Checks [`Backend::cross_entropy`](crate::Backend::cross_entropy).
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::cross_entropy(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("cross_entropy", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn cross_entropy(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    harness::run("cross_entropy", device, options, entropies(loss), refused_entropies(loss))
}

/// Checks [`Backend::cross_entropy_grad`](crate::Backend::cross_entropy_grad).
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::cross_entropy_grad(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("cross_entropy_grad", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn cross_entropy_grad(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let (cases, refused) = (entropies(loss_grad), refused_entropies(loss_grad));
    harness::run("cross_entropy_grad", device, options, cases, refused)
}

/// A shape and one of its dimensions.
type Line = (Vec<usize>, usize);

fn line() -> impl Strategy<Value = Line> {
    (shape(5_000), 0..5usize).prop_map(|(mut shape, dim)| {
        if shape.is_empty() {
            shape.push(3);
        }
        let dim = dim % shape.len();
        (shape, dim)
    })
}

fn forward(mut maker: Maker, (shape, dim): Line, values: Values, log: bool) -> Call {
    let inputs = vec![maker.input("x", &shape, values)];
    let outputs = vec![maker.output("y", &shape)];
    let terms = shape.get(dim).map_or(0, |&size| size) as f64;
    let bound = move |facts: &Facts<'_>| {
        let rounding = (32.0 + terms) * facts.unit;
        let one = |&want: &f64| match want {
            want if !want.is_finite() || want == 0.0 => 0.0,
            want if log => rounding * (1.0 + want.abs()),
            // The exponent is rounded, which counts as often as the exponent is large.
            want => rounding * want * (1.0 + want.ln().abs()),
        };
        vec![facts.expected[0].iter().map(one).collect()]
    };
    Call::new(inputs, outputs, Expect::Within(Box::new(bound)), move |backend, inputs, outputs| {
        backend.softmax(inputs[0], outputs[0], dim, log)
    })
    .with(format_args!("dim {dim}, log {log}"))
}

/// The sum over the line that each element is on, in row-major order.
fn line_sums(values: &[f64], shape: &[usize], dim: usize) -> Vec<f64> {
    let inner: usize = shape[dim + 1..].iter().product();
    let line_of = |at: usize| at / (inner * shape[dim]) * inner + at % inner;
    let mut sums = vec![0.0; values.len()];
    values.iter().enumerate().for_each(|(at, value)| sums[line_of(at)] += value);
    (0..values.len()).map(|at| sums[line_of(at)]).collect()
}

fn gradient(mut maker: Maker, (shape, dim): Line, log: bool) -> Call {
    let values = if log { Values::Uniform(-6.0, 0.0) } else { Values::Uniform(0.0, 1.0) };
    let gy = maker.input("gy", &shape, Values::Normal(1.0, 0.0));
    let inputs = vec![gy, maker.input("y", &shape, values)];
    let outputs = vec![maker.output("gx", &shape)];
    let bound = move |facts: &Facts<'_>| {
        let rounding = (32.0 + shape[dim] as f64) * facts.unit;
        let pairs = || facts.inputs[0].iter().map(|gy| gy.abs()).zip(&facts.inputs[1]);
        let terms: Vec<f64> = pairs().map(|(gy, y)| if log { gy } else { gy * y }).collect();
        let sums = line_sums(&terms, &shape, dim);
        let one = |((gy, y), sum): ((f64, &f64), f64)| match log {
            true => rounding * (gy + y.exp() * (1.0 + y.abs()) * sum),
            false => rounding * y * (gy + sum),
        };
        vec![pairs().zip(sums).map(one).collect()]
    };
    Call::new(inputs, outputs, Expect::Within(Box::new(bound)), move |backend, inputs, outputs| {
        backend.softmax_grad(inputs[0], inputs[1], outputs[0], dim, log)
    })
    .with(format_args!("dim {dim}, log {log}"))
}

fn misshapen(call: impl Fn(Maker, Line) -> Call) -> Vec<Mistake> {
    let with = |dim| call(Maker::plain(DType::F32), (vec![3, 4], dim));
    let mut transposed = with(1);
    transposed.inputs[0].shape = vec![4, 3];
    let mut list = vec![(ErrorKind::Shape, transposed)];
    let mut beyond = with(1);
    for operand in beyond.inputs.iter_mut().chain(&mut beyond.outputs) {
        operand.shape = vec![12];
    }
    list.push((ErrorKind::Argument, beyond));
    list
}

/// Rows and classes, with the size of the logits.
#[derive(Debug, Clone, Copy)]
struct Rows {
    sizes: [usize; 2],
    logits: Values,
    targets: Values,
}

fn entropies(call: impl Fn(Maker, Rows, CrossEntropy) -> Call) -> impl Strategy<Value = Call> {
    let logits = select(vec![
        Values::Normal(1.0, 0.0),
        Values::Normal(20.0, 0.0),
        Values::Normal(1.0, 1000.0),
        Values::Ties,
    ]);
    let smoothing = select(vec![0.0, 0.0, 0.1, 1.0]);
    let ignored = select(vec![-100i64, 0, 3]);
    (maker(), sizes::<2>(5_000), logits, smoothing, ignored).prop_map(
        move |(maker, [rows, classes], logits, label_smoothing, ignore_index)| {
            let classes = classes.max(1);
            let targets = Values::Index(classes, Some(ignore_index));
            let rows = Rows { sizes: [rows, classes], logits, targets };
            call(maker, rows, CrossEntropy { label_smoothing, ignore_index })
        },
    )
}

/// What the rounding of each row is a multiple of: the largest that the logarithm of a probability can be there, which
/// is the span of its logits and the logarithm of their number.
fn row_magnitudes(logits: &[f64], [rows, classes]: [usize; 2], unit: f64) -> Vec<f64> {
    let largest = |row: usize| {
        let row = &logits[row * classes..(row + 1) * classes];
        let span =
            row.iter().fold((f64::MAX, f64::MIN), |(low, high), &x| (low.min(x), high.max(x)));
        (span.1 - span.0).abs()
    };
    let classes = classes as f64;
    let magnitude = |row| 1.0 + largest(row) + classes.ln();
    (0..rows).map(|row| magnitude(row) * (32.0 + classes) * unit).collect()
}

fn loss(mut maker: Maker, Rows { sizes, logits, targets }: Rows, params: CrossEntropy) -> Call {
    let x = maker.input("logits", &sizes, logits);
    let inputs = vec![x, maker.index("targets", &sizes[..1], sizes[1]).holding(targets)];
    let outputs = vec![maker.output("loss", &sizes[..1]).accumulator()];
    let bound = move |facts: &Facts<'_>| vec![row_magnitudes(&facts.inputs[0], sizes, facts.unit)];
    Call::new(inputs, outputs, Expect::Within(Box::new(bound)), move |backend, inputs, outputs| {
        backend.cross_entropy(inputs[0], inputs[1], outputs[0], &params)
    })
    .with(params)
}

fn loss_grad(
    mut maker: Maker,
    Rows { sizes, logits, targets }: Rows,
    params: CrossEntropy,
) -> Call {
    let gloss = maker.input("gloss", &sizes[..1], Values::Normal(1.0, 0.0)).accumulator();
    let x = maker.input("logits", &sizes, logits);
    let targets = maker.index("targets", &sizes[..1], sizes[1]).holding(targets);
    let outputs = vec![maker.output("gx", &sizes)];
    let bound = move |facts: &Facts<'_>| {
        let rows = row_magnitudes(&facts.inputs[1], sizes, facts.unit);
        let rows = facts.inputs[0].iter().zip(rows).map(|(gloss, row)| gloss.abs() * row);
        vec![rows.flat_map(|bound| std::iter::repeat_n(bound, sizes[1])).collect()]
    };
    let inputs = vec![gloss, x, targets];
    Call::new(inputs, outputs, Expect::Within(Box::new(bound)), move |backend, inputs, outputs| {
        backend.cross_entropy_grad(inputs[0], inputs[1], inputs[2], outputs[0], &params)
    })
    .with(params)
}

fn refused_entropies(call: impl Fn(Maker, Rows, CrossEntropy) -> Call) -> Vec<Mistake> {
    let valid = CrossEntropy::default();
    let with = |value: i64, params: CrossEntropy| {
        let targets = Values::Index(4, Some(value));
        let rows = Rows { sizes: [40, 4], logits: Values::Ties, targets };
        call(Maker::plain(DType::F32), rows, params)
    };
    let mut list = vec![
        (ErrorKind::Argument, with(4, valid)),
        (ErrorKind::Argument, with(-1, valid)),
        (ErrorKind::Argument, with(-100, CrossEntropy { ignore_index: -1, ..valid })),
        (ErrorKind::Argument, with(0, CrossEntropy { label_smoothing: 1.5, ..valid })),
        (ErrorKind::Argument, with(0, CrossEntropy { label_smoothing: f64::NAN, ..valid })),
    ];
    let mut short = with(0, valid);
    for operand in short.inputs.iter_mut().filter(|operand| operand.name == "targets") {
        operand.shape = vec![39];
    }
    list.push((ErrorKind::Shape, short));
    list
}
