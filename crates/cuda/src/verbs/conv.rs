//! Convolution and its gradients: by cuDNN where it is there and has an engine, else as products by tiles.

use ferrotape_backend::check::{self, ConvShapes};
use ferrotape_backend::{Array, Conv2d, Epilogue, Result};
use smallvec::SmallVec;

use crate::Cuda;
use crate::args::Args;
use crate::cuda::linear;
use crate::kernel::{Kernel, Source};
use crate::library::{ConvKind, Convolution};
use crate::memory::{self, Operand};
use crate::verbs::conv_dnn::{self as dnn, Forward};
use crate::verbs::conv_product as product;
use crate::verbs::gemm::{tiles, with_accumulator};
use crate::verbs::ways::{Taken, Way};

const CONV: Source = Source {
    name: "conv",
    text: concat!(include_str!("../../kernels/tile.cuh"), include_str!("../../kernels/conv.cu")),
};

/// Pixels that a part of a weight gradient adds up at the least.
const PART: usize = 1024;

/// Blocks that keep a device busy; more parts than it takes for that are of no use.
const BLOCKS: usize = 512;

/// Multiply-adds up to which this crate's kernel is tried beside an engine, and up to which weight gradients of
/// sixteen-bit operands are never rounded to sixteen bits.
const SMALL: u64 = 1 << 26;

/// What a way is chosen by; none if a size is more than libraries count.
fn key(kind: ConvKind, [x, w, y]: [Operand<'_>; 3], params: &Conv2d) -> Option<Convolution> {
    let tensors = [x, w, y].map(|operand| dnn::tensor(operand.dtype, operand.layout));
    dnn::description(kind, tensors, params)
}

fn is_small(key: &Convolution) -> bool {
    key.multiply_adds() <= SMALL
}

fn kernel(entry: &'static str, x: Operand<'_>, d: Operand<'_>) -> Kernel {
    let kernel = Kernel::new(CONV, entry).with_type("T", x.dtype).with_type("D", d.dtype);
    with_accumulator(kernel, x.dtype)
}

/// C, H, W, O, OH, OW, with channels and outputs counted a group.
fn image(shapes: &ConvShapes, groups: usize) -> [i64; 6] {
    let [_, _, h, w] = shapes.x;
    let [o, c, _, _] = shapes.w;
    let [_, _, oh, ow] = shapes.y;
    [c, h, w, o / groups, oh, ow].map(|size| size as i64)
}

fn elements(shapes: &ConvShapes) -> [i64; 2] {
    [shapes.w[2] as i64, shapes.w[3] as i64]
}

fn window(params: &Conv2d) -> [i64; 6] {
    let Conv2d { stride, padding, dilation, .. } = params;
    let mut all = [0; 6];
    for (to, from) in all.chunks_mut(2).zip([stride, padding, dilation]) {
        to.copy_from_slice(&from.map(|value| value as i64));
    }
    all
}

/// See [`ferrotape_backend::Backend::conv2d_act`].
pub(crate) fn conv2d_act(
    cuda: &Cuda,
    [x, w]: [&Array; 2],
    bias: Option<&Array>,
    epilogue: Epilogue<'_>,
    y: &Array,
    params: &Conv2d,
) -> Result<()> {
    let shapes = check::conv2d_act(x, w, bias, epilogue, y, params)?;
    let reads: SmallVec<[&Array; 4]> =
        [x, w].into_iter().chain(bias).chain(epilogue.residual).collect();
    memory::open_all(&cuda.pool, &reads, &[y], |ins, outs| {
        let (x, w, y) = (ins[0], ins[1], outs[0]);
        let bias = bias.map(|_| ins[2]);
        let residual = epilogue.residual.and_then(|_| ins.last().copied());
        if shapes.y.contains(&0) {
            return Ok(());
        }
        let call = Forward { x, w, bias, residual, relu: epilogue.relu, y };
        let own = || own_forward(cuda, &call, &shapes, params);
        let Some(mut key) = key(ConvKind::Forward, [x, w, y], params) else { return own() };
        key.bias = bias.is_some();
        key.residual = residual.map(|residual| dnn::tensor(residual.dtype, residual.layout));
        key.relu = epilogue.relu;
        let engine = Way::Engine(y.dtype);
        let ways = if is_small(&key) { &[engine, Way::Own][..] } else { &[engine] };
        cuda.ways.take(cuda, &key, ways, |way| match way {
            Way::Engine(_) => dnn::forward(cuda, &call, params),
            Way::Product => Ok(Taken::Never),
            Way::Own => own().map(|()| Taken::Done),
        })
    })
}

fn own_forward(
    cuda: &Cuda,
    call: &Forward<'_>,
    shapes: &ConvShapes,
    params: &Conv2d,
) -> Result<()> {
    let Forward { x, w, bias, residual, relu, y } = *call;
    let [n, o, oh, ow] = shapes.y;
    let pixels = n * oh * ow;
    let address = |operand: Option<Operand<'_>>| operand.map_or(0, |operand| operand.address);
    let args = Args::new()
        .pointer(x.address)
        .pointer(w.address)
        .pointer(address(bias))
        .pointer(address(residual))
        .pointer(y.address)
        .size(pixels)
        .longs(image(shapes, params.groups))
        .longs(elements(shapes))
        .longs(window(params))
        .longs(x.strides::<4>())
        .longs(w.strides::<4>())
        .long(bias.map_or(0, |bias| bias.strides::<1>()[0]))
        .longs(residual.map_or([0; 4], |residual| residual.strides::<4>()))
        .longs(y.strides::<4>())
        .int(i32::from(relu));
    let grid = tiles(pixels, o / params.groups, params.groups);
    cuda.launch(&kernel("conv2d", x, y), grid, args)
}

/// See [`ferrotape_backend::Backend::conv2d_input_grad`].
pub(crate) fn conv2d_input_grad(
    cuda: &Cuda,
    gy: &Array,
    w: &Array,
    gx: &Array,
    params: &Conv2d,
) -> Result<()> {
    let shapes = check::conv2d_input_grad(gy, w, gx, params)?;
    cuda.open([gy, w], [gx], |[gy, w], [gx]| {
        let [n, c, h, width] = shapes.x;
        let pixels = n * h * width;
        if pixels * c == 0 {
            return Ok(());
        }
        let own = || {
            let args = Args::new()
                .pointer(gy.address)
                .pointer(w.address)
                .pointer(gx.address)
                .size(pixels)
                .longs(image(&shapes, params.groups))
                .longs(elements(&shapes))
                .longs(window(params))
                .longs(gy.strides::<4>())
                .longs(w.strides::<4>())
                .longs(gx.strides::<4>());
            let grid = tiles(pixels, c / params.groups, params.groups);
            cuda.launch(&kernel("conv2d_input_grad", gy, gx), grid, args)
        };
        let Some(key) = key(ConvKind::InputGrad, [gx, w, gy], params) else { return own() };
        let engine = Way::Engine(gx.dtype);
        let ways = if is_small(&key) { &[engine, Way::Own][..] } else { &[engine] };
        cuda.ways.take(cuda, &key, ways, |way| match way {
            Way::Engine(_) => dnn::input_grad(cuda, [gy, w], gx, params),
            Way::Product => Ok(Taken::Never),
            Way::Own => own().map(|()| Taken::Done),
        })
    })
}

/// See [`ferrotape_backend::Backend::conv2d_weight_grad`].
pub(crate) fn conv2d_weight_grad(
    cuda: &Cuda,
    x: &Array,
    gy: &Array,
    gw: &Array,
    params: &Conv2d,
) -> Result<()> {
    let shapes = check::conv2d_weight_grad(x, gy, gw, params)?;
    cuda.open([x, gy], [gw], |[x, gy], [gw]| {
        if shapes.w.contains(&0) {
            return Ok(());
        }
        let own = || own_weight_grad(cuda, [x, gy], gw, &shapes, params);
        let Some(key) = key(ConvKind::WeightGrad, [x, gw, gy], params) else { return own() };
        let engine = Way::Engine(gw.dtype);
        // Of sixteen-bit operands gradients are wanted in f32. Engines that write f32 add up each of them in one place,
        // which takes long for large images; those that write sixteen bits round once at the end, as PyTorch
        // does. Products do neither.
        let rounding = Way::Engine(x.dtype);
        let is_product = product::is_product(&shapes, params);
        let ways = match (is_small(&key), x.dtype == gw.dtype) {
            (true, _) => &[engine, Way::Own][..],
            (false, true) if is_product => &[Way::Product, engine],
            (false, true) => &[engine],
            (false, false) if is_product => &[Way::Product, rounding, engine],
            (false, false) => &[rounding, engine],
        };
        cuda.ways.take(cuda, &key, ways, |way| match way {
            Way::Engine(dtype) => dnn::weight_grad(cuda, [x, gy], gw, params, dtype),
            Way::Product => product::weight_grad(cuda, [x, gy], gw, &shapes),
            Way::Own => own().map(|()| Taken::Done),
        })
    })
}

fn own_weight_grad(
    cuda: &Cuda,
    [x, gy]: [Operand<'_>; 2],
    gw: Operand<'_>,
    shapes: &ConvShapes,
    params: &Conv2d,
) -> Result<()> {
    let [n, _, oh, ow] = shapes.y;
    let [o, c, kh, kw] = shapes.w;
    let (pixels, count, groups) = (n * oh * ow, o * c * kh * kw, params.groups);
    let whole = tiles(o / groups, c * kh * kw, groups).blocks[0] as usize;
    let parts = pixels.div_ceil(PART).clamp(1, (BLOCKS / whole).max(1));
    let bytes = count * parts * x.dtype.accumulator().size();
    let scratch = (parts > 1).then(|| cuda.scratch(bytes)).transpose()?;
    let partial = scratch.as_ref().map_or(0, |block| block.address());
    let args = Args::new()
        .pointer(x.address)
        .pointer(gy.address)
        .pointer(gw.address)
        .pointer(partial)
        .size(pixels)
        .size(parts)
        .size(groups)
        .longs(image(shapes, groups))
        .longs(elements(shapes))
        .longs(window(params))
        .longs(x.strides::<4>())
        .longs(gy.strides::<4>())
        .longs(gw.strides::<4>());
    let grid = tiles(o / groups, c * kh * kw, groups * parts);
    cuda.launch(&kernel("conv2d_weight_grad", x, gw), grid, args)?;
    if parts == 1 {
        return Ok(());
    }
    let args = Args::new()
        .pointer(partial)
        .pointer(gw.address)
        .size(count)
        .size(parts)
        .longs(image(shapes, groups))
        .longs(elements(shapes))
        .longs(gw.strides::<4>());
    cuda.launch(&kernel("join_weight_grads", x, gw), linear(count), args)
}
