//! Cases for pooling.

use proptest::prelude::*;
use proptest::sample::select;

use super::case::{Call, Expect, Maker, Mistake, maker, sizes, two};
use super::operand::Values;
use super::{Failure, Options, VerbReport, harness};
use crate::{Array, DType, Device, ErrorKind, Pool2d, Random, Rng};

/// Checks [`Backend::max_pool2d`](crate::Backend::max_pool2d), with ties, infinities and NaN.
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::max_pool2d(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("max_pool2d", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn max_pool2d(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let cases = (maker(), windows(true), pooled())
        .prop_map(|(maker, windows, values)| maximum(maker, windows, values));
    let plain = |maker, windows| maximum(maker, windows, Values::Ties);
    harness::run("max_pool2d", device, options, cases, refused(plain))
}

/// Checks [`Backend::max_pool2d_values`](crate::Backend::max_pool2d_values), as [`max_pool2d`] does.
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::max_pool2d_values(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("max_pool2d_values", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn max_pool2d_values(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let cases = (maker(), windows(true), pooled())
        .prop_map(|(maker, windows, values)| maximum_value(maker, windows, values));
    let plain = |maker, windows| maximum_value(maker, windows, Values::Ties);
    harness::run("max_pool2d_values", device, options, cases, refused(plain))
}

/// Checks [`Backend::max_pool2d_grad`](crate::Backend::max_pool2d_grad).
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::max_pool2d_grad(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("max_pool2d_grad", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn max_pool2d_grad(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let cases = (maker(), sizes::<6>(5_000)).prop_map(|(maker, sizes)| scatter(maker, sizes));
    harness::run("max_pool2d_grad", device, options, cases, misplaced(scatter))
}

/// Checks [`Backend::max_pool2d_window_grad`](crate::Backend::max_pool2d_window_grad) with the indices
/// that the device's own pooling gives.
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::max_pool2d_window_grad(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("max_pool2d_window_grad", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn max_pool2d_window_grad(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let cases = (maker(), windows(true), any::<bool>())
        .prop_map(|(maker, windows, ties)| window_grad(maker, windows, ties));
    let plain = |maker, windows| window_grad(maker, windows, true);
    harness::run("max_pool2d_window_grad", device, options, cases, refused(plain))
}

/// Checks [`Backend::max_pool2d_pick`](crate::Backend::max_pool2d_pick).
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::max_pool2d_pick(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("max_pool2d_pick", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn max_pool2d_pick(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let cases = (maker(), sizes::<6>(5_000)).prop_map(|(maker, sizes)| pick(maker, sizes));
    harness::run("max_pool2d_pick", device, options, cases, misplaced(pick))
}

/// Checks [`Backend::avg_pool2d`](crate::Backend::avg_pool2d).
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::avg_pool2d(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("avg_pool2d", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn avg_pool2d(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let cases = (maker(), windows(false)).prop_map(|(maker, windows)| average(maker, windows));
    harness::run("avg_pool2d", device, options, cases, refused_averages(average))
}

/// Checks [`Backend::avg_pool2d_grad`](crate::Backend::avg_pool2d_grad).
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::avg_pool2d_grad(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("avg_pool2d_grad", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn avg_pool2d_grad(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let cases = (maker(), windows(false)).prop_map(|(maker, windows)| average_grad(maker, windows));
    harness::run("avg_pool2d_grad", device, options, cases, refused_averages(average_grad))
}

const NORMAL: Values = Values::Normal(1.0, 0.0);

/// Numbers of which the largest are looked for.
fn pooled() -> impl Strategy<Value = Values> {
    select(vec![NORMAL, Values::Normal(1.0, -9.0), Values::Ties, Values::Special])
}

/// Shapes that fit, with the attributes that make them so.
#[derive(Debug, Clone, Copy)]
struct Windows {
    x: [usize; 4],
    y: [usize; 4],
    params: Pool2d,
}

fn windows(dilated: bool) -> impl Strategy<Value = Windows> {
    let axis =
        move || (1..=4usize, 1..=4usize, 0..=2usize, if dilated { 1..=3usize } else { 1..=1usize });
    (sizes::<4>(5_000), axis(), axis(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |([n, c, h, w], vertical, horizontal, ceil_mode, count_include_pad, square)| {
            let axes = [vertical, if square { vertical } else { horizontal }];
            let params = Pool2d {
                kernel: axes.map(|axis| axis.0),
                stride: axes.map(|axis| axis.1),
                padding: axes.map(|axis| axis.2.min(axis.0 / 2)),
                dilation: axes.map(|axis| axis.3),
                ceil_mode,
                count_include_pad,
            };
            let mut size = [h, w];
            for (axis, size) in size.iter_mut().enumerate() {
                let reach = (params.kernel[axis] - 1) * params.dilation[axis] + 1;
                // From a size of the dilation on, every window holds an element.
                let least = reach.saturating_sub(2 * params.padding[axis]);
                *size = (*size).max(least).max(params.dilation[axis]);
            }
            windows_of([n, c, size[0], size[1]], params)
        },
    )
}

fn windows_of(x: [usize; 4], params: Pool2d) -> Windows {
    let [n, c, h, w] = x;
    let [oh, ow] = params.output_size([h, w]).unwrap_or([0; 2]);
    Windows { x, y: [n, c, oh, ow], params }
}

fn maximum(mut maker: Maker, Windows { x, y, params }: Windows, values: Values) -> Call {
    let inputs = vec![maker.input("x", &x, values)];
    let outputs = vec![maker.output("y", &y), maker.index_output("index", &y)];
    Call::new(inputs, outputs, Expect::Exact, move |backend, inputs, outputs| {
        let (y, index) = two(outputs)?;
        backend.max_pool2d(inputs[0], y, index, &params)
    })
    .with(params)
}

fn maximum_value(mut maker: Maker, Windows { x, y, params }: Windows, values: Values) -> Call {
    let inputs = vec![maker.input("x", &x, values)];
    let outputs = vec![maker.output("y", &y)];
    Call::new(inputs, outputs, Expect::Exact, move |backend, inputs, outputs| {
        backend.max_pool2d_values(inputs[0], outputs[0], &params)
    })
    .with(params)
}

/// The plane, and the pooled plane: empty if there is nothing to point to.
fn planes([n, c, h, w, oh, ow]: [usize; 6]) -> ([usize; 4], [usize; 4]) {
    ([n, c, h, w], [n, c, if h * w == 0 { 0 } else { oh }, ow])
}

fn scatter(mut maker: Maker, sizes: [usize; 6]) -> Call {
    let (x, y) = planes(sizes);
    let inputs = vec![maker.input("gy", &y, NORMAL), maker.index("index", &y, x[2] * x[3])];
    let outputs = vec![maker.output("gx", &x)];
    Call::new(inputs, outputs, Expect::Sum(y[2] * y[3]), |backend, inputs, outputs| {
        backend.max_pool2d_grad(inputs[0], inputs[1], outputs[0])
    })
}

/// What is pooled is drawn by the device: uniform numbers, or ones and zeros, of which many are equal.
fn window_grad(mut maker: Maker, Windows { x, y, params }: Windows, ties: bool) -> Call {
    let inputs = vec![maker.input("gy", &y, NORMAL)];
    let outputs = vec![maker.output("gx", &x)];
    let terms = params.kernel[0] * params.kernel[1];
    let kind = match ties {
        true => Random::Bernoulli { p: 0.5, value: 1.0 },
        false => Random::Uniform { low: -1.0, high: 1.0 },
    };
    Call::new(inputs, outputs, Expect::Sum(terms), move |backend, inputs, outputs| {
        let (gy, gx) = (inputs[0], &mut *outputs[0]);
        let like = |array: &Array, dtype| {
            Array::empty(array.device(), dtype, array.layout().like(*array.shape()))
        };
        let (mut x, mut y) = (like(gx, DType::F32)?, like(gy, DType::F32)?);
        let mut index = like(gy, DType::I64)?;
        backend.random(kind, Rng::new(1), &mut x)?;
        if backend.max_pool2d(&x, &mut y, &mut index, &params).is_err() {
            // Windows that do not fit have no indices; the verb must see that for itself.
            backend.fill(&mut index, 0.0)?;
        }
        backend.max_pool2d_window_grad(gy, &index, gx, &params)
    })
    .with((params, ties))
}

fn pick(mut maker: Maker, sizes: [usize; 6]) -> Call {
    let (x, y) = planes(sizes);
    let inputs = vec![maker.input("x", &x, Values::Special), maker.index("index", &y, x[2] * x[3])];
    let outputs = vec![maker.output("y", &y)];
    Call::new(inputs, outputs, Expect::Exact, |backend, inputs, outputs| {
        backend.max_pool2d_pick(inputs[0], inputs[1], outputs[0])
    })
}

fn average(mut maker: Maker, Windows { x, y, params }: Windows) -> Call {
    let inputs = vec![maker.input("x", &x, NORMAL)];
    let outputs = vec![maker.output("y", &y)];
    let terms = params.kernel[0] * params.kernel[1];
    Call::new(inputs, outputs, Expect::Sum(terms), move |backend, inputs, outputs| {
        backend.avg_pool2d(inputs[0], outputs[0], &params)
    })
    .with(params)
}

fn average_grad(mut maker: Maker, Windows { x, y, params }: Windows) -> Call {
    let inputs = vec![maker.input("gy", &y, NORMAL)];
    let outputs = vec![maker.output("gx", &x)];
    let terms = params.kernel[0] * params.kernel[1];
    Call::new(inputs, outputs, Expect::Sum(terms), move |backend, inputs, outputs| {
        backend.avg_pool2d_grad(inputs[0], outputs[0], &params)
    })
    .with(params)
}

fn refused(call: impl Fn(Maker, Windows) -> Call) -> Vec<Mistake> {
    let valid = Pool2d { stride: [2, 1], ..Pool2d::new([3, 2]) };
    let with = |kind, x, params| {
        // The shapes of a valid call, so that the attribute alone is wrong.
        let windows = Windows { x, y: [2, 3, 3, 5], params };
        (kind, call(Maker::plain(DType::F32), windows))
    };
    let x = [2, 3, 7, 6];
    vec![
        with(ErrorKind::Argument, x, Pool2d { stride: [0, 1], ..valid }),
        with(ErrorKind::Argument, x, Pool2d { kernel: [3, 0], ..valid }),
        with(ErrorKind::Argument, x, Pool2d { dilation: [0, 1], ..valid }),
        with(ErrorKind::Argument, x, Pool2d { padding: [2, 0], ..valid }),
        with(ErrorKind::Shape, x, Pool2d { stride: [3, 1], ..valid }),
        with(ErrorKind::Shape, x, Pool2d { kernel: [8, 2], ..valid }),
        with(ErrorKind::Shape, [2, 4, 7, 6], valid),
        with(ErrorKind::Shape, [3, 3, 7, 6], valid),
        with(ErrorKind::Shape, [2, 3, 0, 6], Pool2d { padding: [1, 0], ..valid }),
    ]
}

fn refused_averages(call: impl Fn(Maker, Windows) -> Call) -> Vec<Mistake> {
    let dilated = Pool2d { dilation: [2, 1], ..Pool2d::new([2, 2]) };
    let mut list = refused(&call);
    let windows = windows_of([1, 2, 5, 4], dilated);
    list.push((ErrorKind::Argument, call(Maker::plain(DType::F32), windows)));
    list
}

fn misplaced(call: impl Fn(Maker, [usize; 6]) -> Call) -> Vec<Mistake> {
    let sizes = [2, 3, 4, 5, 3, 2];
    let pointing = |value| {
        let mut call = call(Maker::plain(DType::F32), sizes);
        call.inputs[1].values = Values::Index(20, Some(value));
        (ErrorKind::Argument, call)
    };
    let shaped = |which: usize, shape: [usize; 4]| {
        let mut call = call(Maker::plain(DType::F32), sizes);
        call.inputs[which].shape = shape.to_vec();
        (ErrorKind::Shape, call)
    };
    vec![
        pointing(20),
        pointing(-1),
        pointing(i64::from(i32::MAX) + 1),
        shaped(0, [3, 2, 3, 2]),
        shaped(1, [2, 3, 2, 3]),
    ]
}
