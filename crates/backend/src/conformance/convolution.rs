//! Cases for the convolution and its gradients.

use proptest::prelude::*;
use proptest::sample::select;

use super::case::{Call, Expect, Maker, Mistake, maker, shrink_to, sizes};
use super::operand::Values;
use super::{Failure, Options, VerbReport, harness};
use crate::{Conv2d, DType, Device, Epilogue, ErrorKind};

/// Checks [`Backend::conv2d`](crate::Backend::conv2d).
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::conv2d(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("conv2d", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn conv2d(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let cases = (maker(), geometry(), any::<bool>())
        .prop_map(|(maker, geometry, bias)| forward(maker, geometry, bias));
    harness::run("conv2d", device, options, cases, refused(|m, g| forward(m, g, true)))
}

/// Checks [`Backend::conv2d_act`](crate::Backend::conv2d_act).
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::conv2d_act(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("conv2d_act", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn conv2d_act(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let cases = (maker(), geometry(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(maker, geometry, bias, residual, relu)| {
            forward_act(maker, geometry, [bias, residual], relu)
        },
    );
    let plain = |maker, geometry| forward_act(maker, geometry, [true, true], true);
    let mut refused = refused(plain);
    let mut misshapen = plain(Maker::plain(DType::F32), geometry_of(X, W, VALID));
    misshapen.inputs[3].shape[1] += 1;
    refused.push((ErrorKind::Shape, misshapen));
    harness::run("conv2d_act", device, options, cases, refused)
}

/// Checks [`Backend::conv2d_input_grad`](crate::Backend::conv2d_input_grad).
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::conv2d_input_grad(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("conv2d_input_grad", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn conv2d_input_grad(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let cases = (maker(), geometry()).prop_map(|(maker, geometry)| input_grad(maker, geometry));
    harness::run("conv2d_input_grad", device, options, cases, refused(input_grad))
}

/// Checks [`Backend::conv2d_weight_grad`](crate::Backend::conv2d_weight_grad).
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::conv2d_weight_grad(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("conv2d_weight_grad", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn conv2d_weight_grad(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let cases = (maker(), geometry(), any::<bool>())
        .prop_map(|(maker, geometry, wide)| weight_grad(maker, geometry, wide));
    let plain = |maker, geometry| weight_grad(maker, geometry, false);
    harness::run("conv2d_weight_grad", device, options, cases, refused(plain))
}

/// Shapes that fit, with the attributes that make them so.
#[derive(Debug, Clone, Copy)]
struct Geometry {
    x: [usize; 4],
    w: [usize; 4],
    y: [usize; 4],
    params: Conv2d,
}

/// Elements of all images, at most.
const PIXELS: usize = 200_000;

fn geometry() -> impl Strategy<Value = Geometry> {
    let pair =
        |values: Vec<usize>| (select(values.clone()), select(values)).prop_map(|(a, b)| [a, b]);
    let params = (
        pair(vec![1, 1, 1, 2, 3, 4]),
        pair(vec![0, 0, 1, 1, 2, 3]),
        pair(vec![1, 1, 1, 2, 3]),
        // The second choice stands for depthwise.
        select(vec![1usize, 1, 1, 1, 2, 3]),
        prop::bool::weighted(0.15),
    );
    let kernel = pair(vec![1, 3, 3, 2, 5, 4, 7]);
    (params, kernel, sizes::<5>(PIXELS)).prop_map(|(params, kernel, sizes)| {
        let (stride, padding, dilation, groups, depthwise) = params;
        let [kh, kw] = kernel;
        // Images, channels and outputs a group, height and width.
        let mut sizes = sizes;
        let (mut groups, limit) = (groups, 400_000 / (kh * kw));
        if depthwise {
            groups = sizes[1];
            sizes[1] = sizes[1].min(1);
            sizes[2] = sizes[2].clamp(1, 2);
        }
        groups = groups.max(1);
        shrink_to(&mut sizes, limit / groups.min(limit));
        let [mut n, mut per_group, outputs, mut h, mut w] = sizes;
        for axis in 0..2 {
            let reach = (kernel[axis] - 1) * dilation[axis] + 1;
            let least = reach.saturating_sub(2 * padding[axis]);
            let size = if axis == 0 { &mut h } else { &mut w };
            *size = least.max(*size);
        }
        // A kernel that reaches far may have made small images of many channels large ones.
        let mut images = [n, per_group, groups];
        shrink_to(&mut images, (PIXELS / (h * w).max(1)).max(1));
        [n, per_group, groups] = images;
        let params = Conv2d { stride, padding, dilation, groups };
        geometry_of([n, per_group * groups, h, w], [outputs * groups, per_group, kh, kw], params)
    })
}

/// The output's shape is empty where nothing fits; such a case is refused by every verb.
fn geometry_of(x: [usize; 4], w: [usize; 4], params: Conv2d) -> Geometry {
    let y = params.output_shape(x, w).unwrap_or([0; 4]);
    Geometry { x, w, y, params }
}

const NORMAL: Values = Values::Normal(1.0, 0.0);

fn forward(mut maker: Maker, Geometry { x, w, y, params }: Geometry, bias: bool) -> Call {
    let terms = w[1] * w[2] * w[3];
    let mut inputs = vec![maker.input("x", &x, NORMAL), maker.input("w", &w, NORMAL)];
    if bias {
        inputs.push(maker.input("bias", &w[..1], NORMAL));
    }
    let outputs = vec![maker.output("y", &y)];
    Call::new(inputs, outputs, Expect::Sum(terms), move |backend, inputs, outputs| {
        backend.conv2d(inputs[0], inputs[1], inputs.get(2).copied(), outputs[0], &params)
    })
    .with(params)
}

/// The sum's magnitude bounds the error behind the ReLU too, which brings nothing further apart.
fn forward_act(
    mut maker: Maker,
    Geometry { x, w, y, params }: Geometry,
    [bias, residual]: [bool; 2],
    relu: bool,
) -> Call {
    // A device without the verb rounds to sixteen bits before the sum: by as much as 2^16 units of f32.
    let sixteen = maker.dtype.size() == 2 && residual;
    let terms = w[1] * w[2] * w[3] + if sixteen { 1 << 16 } else { 1 };
    let mut inputs = vec![maker.input("x", &x, NORMAL), maker.input("w", &w, NORMAL)];
    if bias {
        inputs.push(maker.input("bias", &w[..1], NORMAL));
    }
    if residual {
        inputs.push(maker.input("residual", &y, NORMAL));
    }
    let outputs = vec![maker.output("y", &y)];
    Call::new(inputs, outputs, Expect::Sum(terms), move |backend, inputs, outputs| {
        let bias = bias.then(|| inputs[2]);
        let residual = if residual { inputs.last().copied() } else { None };
        let epilogue = Epilogue { residual, relu };
        backend.conv2d_act(inputs[0], inputs[1], bias, epilogue, outputs[0], &params)
    })
    .with((params, relu))
}

fn input_grad(mut maker: Maker, Geometry { x, w, y, params }: Geometry) -> Call {
    let terms = w[0] / params.groups.max(1) * w[2] * w[3];
    let inputs = vec![maker.input("gy", &y, NORMAL), maker.input("w", &w, NORMAL)];
    let outputs = vec![maker.output("gx", &x)];
    Call::new(inputs, outputs, Expect::Sum(terms), move |backend, inputs, outputs| {
        backend.conv2d_input_grad(inputs[0], inputs[1], outputs[0], &params)
    })
    .with(params)
}

fn weight_grad(mut maker: Maker, Geometry { x, w, y, params }: Geometry, wide: bool) -> Call {
    let terms = y[0] * y[2] * y[3];
    let inputs = vec![maker.input("x", &x, NORMAL), maker.input("gy", &y, NORMAL)];
    let mut gw = maker.output("gw", &w);
    if wide {
        gw = gw.accumulator();
    }
    Call::new(inputs, vec![gw], Expect::Sum(terms), move |backend, inputs, outputs| {
        backend.conv2d_weight_grad(inputs[0], inputs[1], outputs[0], &params)
    })
    .with(params)
}

/// Shapes that fit, for calls in which one thing is wrong.
const X: [usize; 4] = [2, 4, 5, 6];
const W: [usize; 4] = [6, 2, 3, 2];
const VALID: Conv2d = Conv2d { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 2 };

fn refused(call: impl Fn(Maker, Geometry) -> Call) -> Vec<Mistake> {
    let (x, w, valid) = (X, W, VALID);
    let with = |x, w, params| {
        // The shapes of a valid call, so that the attribute alone is wrong.
        let geometry = Geometry { y: [2, 6, 3, 5], ..geometry_of(x, w, params) };
        call(Maker::plain(DType::F32), geometry)
    };
    let mut list: Vec<Mistake> = vec![
        (ErrorKind::Argument, with(x, w, Conv2d { stride: [0, 1], ..valid })),
        (ErrorKind::Argument, with(x, w, Conv2d { dilation: [1, 0], ..valid })),
        (ErrorKind::Argument, with(x, w, Conv2d { groups: 0, ..valid })),
        (ErrorKind::Argument, with(x, w, Conv2d { padding: [usize::MAX, 0], ..valid })),
        (ErrorKind::Argument, with(x, [6, 2, 0, 2], valid)),
        (ErrorKind::Shape, with(x, w, Conv2d { groups: 4, ..valid })),
        (ErrorKind::Shape, with(x, w, Conv2d { stride: [2, 1], ..valid })),
        (ErrorKind::Shape, with(x, w, Conv2d { dilation: [9, 1], ..valid })),
        (ErrorKind::Shape, with([2, 5, 5, 6], w, valid)),
        (ErrorKind::Shape, with([3, 4, 5, 6], w, valid)),
        (ErrorKind::Shape, with(x, [7, 2, 3, 2], valid)),
        (ErrorKind::Shape, with(x, [6, 3, 3, 2], valid)),
        (ErrorKind::Shape, with(x, [6, 2, 7, 2], valid)),
    ];
    let mut biased = with(x, w, valid);
    if let Some(bias) = biased.inputs.get_mut(2) {
        bias.shape = vec![5];
        list.push((ErrorKind::Shape, biased));
    }
    list
}
