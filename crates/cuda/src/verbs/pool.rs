//! Pooling.

use ferrotape_backend::check::{self, PoolShapes};
use ferrotape_backend::{Array, Layout, Pool2d, Result, describe};

use crate::Cuda;
use crate::args::Args;
use crate::cuda::linear;
use crate::images::{channel_pack, channels_fastest};
use crate::kernel::{Kernel, Source, digit};
use crate::memory::Operand;
use crate::verbs::copy;

const POOL: Source = Source { name: "pool", text: include_str!("../../kernels/pool.cu") };

fn kernel(entry: &'static str, x: Operand<'_>, pack: usize) -> Kernel {
    let kernel = Kernel::new(POOL, entry).with_type("T", x.dtype);
    kernel.with_type("A", x.dtype.accumulator()).with("V", digit(pack))
}

/// C, H, W, OH, OW, with channels counted in packs.
fn sizes(shapes: &PoolShapes, pack: usize) -> [i64; 5] {
    let [_, c, h, w] = shapes.x;
    let [_, _, oh, ow] = shapes.y;
    [c / pack, h, w, oh, ow].map(|size| size as i64)
}

fn window(params: &Pool2d) -> [i64; 8] {
    let Pool2d { kernel, stride, padding, dilation, .. } = params;
    let mut all = [0; 8];
    for (to, from) in all.chunks_mut(2).zip([kernel, stride, padding, dilation]) {
        to.copy_from_slice(&from.map(|value| value as i64));
    }
    all
}

fn count(shape: [usize; 4], pack: usize) -> usize {
    shape.iter().product::<usize>() / pack
}

/// See [`ferrotape_backend::Backend::max_pool2d`].
pub(crate) fn max_pool2d(
    cuda: &Cuda,
    x: &Array,
    y: &Array,
    index: &Array,
    params: &Pool2d,
) -> Result<()> {
    let shapes = check::max_pool2d(x, y, index, params)?;
    cuda.open([x], [y, index], |[x], [y, index]| {
        let pack = channel_pack(&[x, y, index]);
        let count = count(shapes.y, pack);
        if count == 0 {
            return Ok(());
        }
        let args = Args::new()
            .pointer(x.address)
            .pointer(y.address)
            .pointer(index.address)
            .size(count)
            .longs(sizes(&shapes, pack))
            .longs(window(params))
            .longs(x.strides::<4>())
            .longs(y.strides::<4>())
            .longs(index.strides::<4>())
            .int(i32::from(channels_fastest(y)));
        cuda.launch(&kernel("max_pool2d", x, pack), linear(count), args)
    })
}

/// See [`ferrotape_backend::Backend::max_pool2d_grad`].
pub(crate) fn max_pool2d_grad(cuda: &Cuda, gy: &Array, index: &Array, gx: &Array) -> Result<()> {
    let shapes = check::max_pool2d_grad(gy, index, gx)?;
    // Gradients that meet are added up in the wider type and rounded once.
    let wide = gx.dtype().accumulator();
    let mut sums = match wide == gx.dtype() {
        true => gx.clone(),
        false => Array::empty(gx.device(), wide, Layout::like(gx.layout(), *gx.shape()))?,
    };
    gx.device().backend().fill(&mut sums, 0.0)?;
    cuda.open([gy, index], [&sums], |[g, places], [sums]| {
        let [n, c, _, _] = shapes.x;
        if count(shapes.y, 1) == 0 {
            return Ok(());
        }
        let args = Args::new()
            .pointer(g.address)
            .pointer(places.address)
            .pointer(sums.address)
            .size(n * c)
            .longs(sizes(&shapes, 1))
            .longs(g.strides::<4>())
            .longs(places.strides::<4>())
            .longs(sums.strides::<4>());
        let watch = cuda.watch(describe("max_pool2d_grad", &[gy, index, gx]));
        cuda.launch(&kernel("scatter_planes", g, 1), linear(n * c), watch.add_to(args))
    })?;
    if wide == gx.dtype() { Ok(()) } else { copy::copy(cuda, &sums, gx) }
}

/// See [`ferrotape_backend::Backend::max_pool2d_window_grad`].
pub(crate) fn max_pool2d_window_grad(
    cuda: &Cuda,
    gy: &Array,
    index: &Array,
    gx: &Array,
    params: &Pool2d,
) -> Result<()> {
    let shapes = check::max_pool2d_window_grad(gy, index, gx, params)?;
    cuda.open([gy, index], [gx], |[g, places], [to]| {
        let pack = channel_pack(&[to, g, places]);
        let count = count(shapes.x, pack);
        if count == 0 {
            return Ok(());
        }
        let args = Args::new()
            .pointer(g.address)
            .pointer(places.address)
            .pointer(to.address)
            .size(count)
            .longs(sizes(&shapes, pack))
            .longs(window(params))
            .longs(g.strides::<4>())
            .longs(places.strides::<4>())
            .longs(to.strides::<4>())
            .int(i32::from(channels_fastest(to)));
        cuda.launch(&kernel("max_pool2d_grad", g, pack), linear(count), args)
    })
}

/// See [`ferrotape_backend::Backend::max_pool2d_pick`].
pub(crate) fn max_pool2d_pick(cuda: &Cuda, x: &Array, index: &Array, y: &Array) -> Result<()> {
    let shapes = check::max_pool2d_pick(x, index, y)?;
    cuda.open([x, index], [y], |[from, places], [to]| {
        let count = count(shapes.y, 1);
        if count == 0 {
            return Ok(());
        }
        let args = Args::new()
            .pointer(from.address)
            .pointer(places.address)
            .pointer(to.address)
            .size(count)
            .longs(sizes(&shapes, 1))
            .longs(from.strides::<4>())
            .longs(places.strides::<4>())
            .longs(to.strides::<4>())
            .int(i32::from(channels_fastest(to)));
        let watch = cuda.watch(describe("max_pool2d_pick", &[x, index, y]));
        cuda.launch(&kernel("max_pool2d_pick", from, 1), linear(count), watch.add_to(args))
    })
}

/// See [`ferrotape_backend::Backend::avg_pool2d`].
pub(crate) fn avg_pool2d(cuda: &Cuda, x: &Array, y: &Array, params: &Pool2d) -> Result<()> {
    let shapes = check::avg_pool2d(x, y, params)?;
    average(cuda, "avg_pool2d", [x, y], &shapes, shapes.y, params)
}

/// See [`ferrotape_backend::Backend::avg_pool2d_grad`].
pub(crate) fn avg_pool2d_grad(cuda: &Cuda, gy: &Array, gx: &Array, params: &Pool2d) -> Result<()> {
    let shapes = check::avg_pool2d_grad(gy, gx, params)?;
    average(cuda, "avg_pool2d_grad", [gy, gx], &shapes, shapes.x, params)
}

fn average(
    cuda: &Cuda,
    entry: &'static str,
    [from, to]: [&Array; 2],
    shapes: &PoolShapes,
    threads: [usize; 4],
    params: &Pool2d,
) -> Result<()> {
    cuda.open([from], [to], |[from], [to]| {
        let pack = channel_pack(&[from, to]);
        let count = count(threads, pack);
        if count == 0 {
            return Ok(());
        }
        let args = Args::new()
            .pointer(from.address)
            .pointer(to.address)
            .size(count)
            .longs(sizes(shapes, pack))
            .longs(window(params))
            .longs(from.strides::<4>())
            .longs(to.strides::<4>())
            .int(i32::from(channels_fastest(to)))
            .int(i32::from(params.count_include_pad));
        cuda.launch(&kernel(entry, from, pack), linear(count), args)
    })
}
