//! Batch norm.

use ferrotape_backend::{Array, BatchNormGrads, Epilogue, Result, check};
use smallvec::SmallVec;

use crate::Cuda;
use crate::args::Args;
use crate::cuda::linear;
use crate::images::{channel_pack, channels_fastest};
use crate::kernel::{Kernel, Source, digit};
use crate::machine::Grid;
use crate::memory::{self, Operand};

const NORM: Source = Source { name: "norm", text: include_str!("../../kernels/norm.cu") };

/// Blocks that a launch is cut into at the most: eight for each of the 132 processors of an H100, whatever the size of the
/// GPU at hand, because sums follow the cut. With more of them what each computes of its channels before the first pixel counts.
const BLOCKS: usize = 8 * 132;

/// Threads of a block.
const THREADS: usize = 256;

/// How images are cut for a launch.
struct Cut {
    /// Channels taken at once, where they are adjacent in every operand; else none.
    pack: Option<usize>,
    sizes: [usize; 4],
    pixels: usize,
    /// Pixels of a run.
    run: usize,
    parts: usize,
    grid: Grid,
}

impl Cut {
    fn new(sizes: [usize; 4], operands: &[Operand<'_>]) -> Self {
        let [n, c, h, w] = sizes;
        let pixels = n * h * w;
        let adjacent = |operand: &Operand<'_>| c == 1 || operand.strides::<4>()[1] == 1;
        let rows = operands.iter().all(|operand| adjacent(operand) && pitch(*operand).is_some());
        let pack = channel_pack(operands);
        let pack = (rows && c >= pack).then_some(pack);
        let (columns, threads, least) = match pack {
            Some(pack) => {
                let packs = c / pack;
                let across = packs.next_power_of_two().min(32);
                (
                    packs.div_ceil(across),
                    [across as u32, (THREADS / across) as u32],
                    THREADS / across * 4,
                )
            }
            None => (c, [THREADS as u32, 1], THREADS * 4),
        };
        let most = (BLOCKS / columns.max(1)).max(1);
        let parts = pixels.div_ceil(least).clamp(1, most);
        let run = pixels.div_ceil(parts).max(1);
        let parts = pixels.div_ceil(run).max(1);
        let grid = Grid { blocks: [(columns * parts).max(1) as u32, 1, 1], threads, shared: 0 };
        Cut { pack, sizes, pixels, run, parts, grid }
    }

    fn kernel(&self, entries: [&'static str; 2], x: Operand<'_>) -> Kernel {
        let [rows, planes] = entries;
        let (entry, pack) = self.pack.map_or((planes, 1), |pack| (rows, pack));
        let kernel = Kernel::new(NORM, entry).with_type("T", x.dtype);
        kernel.with_type("A", x.dtype.accumulator()).with("V", digit(pack))
    }

    fn packs(&self) -> usize {
        self.sizes[1] / self.pack.unwrap_or(1)
    }

    /// A block for each channel, to join its parts: a warp, or eight where that shortens the way.
    fn joins(&self) -> Grid {
        let warps = if self.parts > 64 { 8 } else { 1 };
        Grid { blocks: [self.sizes[1] as u32, 1, 1], threads: [32, warps], shared: 0 }
    }
}

/// The distance from pixel to pixel, where all pixels of all images follow each other so.
fn pitch(operand: Operand<'_>) -> Option<i64> {
    let [n, _, h, w] = operand.strides::<4>();
    let shape = operand.layout.shape();
    let (height, width) = (shape[2] as i64, shape[3] as i64);
    let steps = [(width, w), (height, h), (shape[0] as i64, n)];
    // A dimension of size 1 is never gone along, whatever its stride.
    let mut expected = None;
    for (size, stride) in steps {
        if size == 1 {
            continue;
        }
        if expected.is_some_and(|expected| expected != stride) {
            return None;
        }
        expected = Some(stride.checked_mul(size)?);
        // The first step that is taken says what the pitch is.
    }
    let first = steps.iter().find(|(size, _)| *size != 1).map_or(0, |&(_, stride)| stride);
    Some(first)
}

fn vector(operand: Operand<'_>) -> i64 {
    operand.strides::<1>()[0]
}

/// See [`ferrotape_backend::Backend::channel_moments`].
pub(crate) fn channel_moments(cuda: &Cuda, x: &Array, mean: &Array, var: &Array) -> Result<()> {
    let sizes = check::channel_moments(x, mean, var)?;
    let [_, c, h, w] = sizes;
    cuda.open([x], [mean, var], |[x], [mean, var]| {
        if c == 0 {
            return Ok(());
        }
        let cut = Cut::new(sizes, &[x]);
        let parts = cuda.scratch(cut.parts * c * 3 * mean.dtype.size())?;
        let args = Args::new().pointer(x.address).pointer(parts.address()).size(cut.parts);
        let args = match cut.pack {
            Some(_) => {
                args.size(cut.packs()).size(cut.pixels).size(cut.run).long(pitch(x).unwrap_or(0))
            }
            None => {
                args.size(c).size(cut.pixels).size(cut.run).size(h).size(w).longs(x.strides::<4>())
            }
        };
        cuda.launch(&cut.kernel(["moments_rows", "moments_planes"], x), cut.grid, args)?;
        let args = Args::new()
            .pointer(parts.address())
            .pointer(mean.address)
            .pointer(var.address)
            .size(cut.parts)
            .long(vector(mean))
            .long(vector(var));
        cuda.launch(&cut.kernel(["moments_parts"; 2], x), cut.joins(), args)
    })
}

/// See [`ferrotape_backend::Backend::batch_norm_act`].
pub(crate) fn batch_norm_act(
    cuda: &Cuda,
    x: &Array,
    stats: [&Array; 2],
    affine: Option<[&Array; 2]>,
    eps: f64,
    epilogue: Epilogue<'_>,
    y: &Array,
) -> Result<()> {
    let sizes = check::batch_norm_act(x, stats, affine, eps, epilogue, y)?;
    let [_, c, h, w] = sizes;
    let reads: SmallVec<[&Array; 6]> = [x]
        .into_iter()
        .chain(stats)
        .chain(affine.into_iter().flatten())
        .chain(epilogue.residual)
        .collect();
    memory::open_all(&cuda.pool, &reads, &[y], |ins, outs| {
        let (x, y) = (ins[0], outs[0]);
        let count: usize = sizes.iter().product();
        if count == 0 {
            return Ok(());
        }
        let affine = affine.map(|_| [ins[3], ins[4]]);
        let residual = epilogue.residual.and_then(|_| ins.last().copied());
        let images: SmallVec<[Operand<'_>; 3]> = [x, y].into_iter().chain(residual).collect();
        let cut = Cut::new(sizes, &images);
        let parameters = [Some(ins[1]), Some(ins[2]), affine.map(|a| a[0]), affine.map(|a| a[1])];
        let args = Args::new()
            .pointer(x.address)
            .pointer(residual.map_or(0, |residual| residual.address))
            .pointer(y.address);
        let args = parameters
            .iter()
            .fold(args, |args, operand| args.pointer(operand.map_or(0, |operand| operand.address)))
            .longs(parameters.map(|operand| operand.map_or(0, vector)))
            .double(eps)
            .int(i32::from(epilogue.relu));
        if cut.pack.is_some() {
            let args = args
                .size(cut.packs())
                .size(cut.pixels)
                .size(cut.run)
                .long(pitch(x).unwrap_or(0))
                .long(residual.and_then(pitch).unwrap_or(0))
                .long(pitch(y).unwrap_or(0));
            return cuda.launch(&cut.kernel(["norm_rows"; 2], x), cut.grid, args);
        }
        let args = args
            .size(count)
            .size(c)
            .size(h)
            .size(w)
            .longs(x.strides::<4>())
            .longs(residual.map_or([0; 4], |residual| residual.strides::<4>()))
            .longs(y.strides::<4>())
            .int(i32::from(channels_fastest(y)));
        cuda.launch(&cut.kernel(["norm_planes"; 2], x), linear(count), args)
    })
}

/// See [`ferrotape_backend::Backend::batch_norm_act_grad`].
pub(crate) fn batch_norm_act_grad(
    cuda: &Cuda,
    [gy, x]: [&Array; 2],
    rectified: Option<&Array>,
    stats: [&Array; 2],
    weight: Option<&Array>,
    eps: f64,
    grads: &BatchNormGrads<'_>,
) -> Result<()> {
    let sizes = check::batch_norm_act_grad(gy, x, rectified, stats, weight, eps, grads)?;
    let [_, c, h, w] = sizes;
    let reads: SmallVec<[&Array; 6]> =
        [gy, x].into_iter().chain(stats).chain(weight).chain(rectified).collect();
    let writes: SmallVec<[&Array; 4]> = [&*grads.x, &*grads.weight, &*grads.bias]
        .into_iter()
        .chain(grads.residual.as_deref())
        .collect();
    memory::open_all(&cuda.pool, &reads, &writes, |ins, outs| {
        if c == 0 {
            return Ok(());
        }
        let (gy, x, mean, var) = (ins[0], ins[1], ins[2], ins[3]);
        let weight = weight.map(|_| ins[4]);
        let y = rectified.and_then(|_| ins.last().copied());
        let (gx, gw, gb, passed) = (outs[0], outs[1], outs[2], outs.get(3).copied());
        let images: SmallVec<[Operand<'_>; 5]> =
            [x, gy, gx].into_iter().chain(y).chain(passed).collect();
        let cut = Cut::new(sizes, &images);
        let address = |operand: Option<Operand<'_>>| operand.map_or(0, |operand| operand.address);
        let strides = |operand: Option<Operand<'_>>| operand.map_or([0; 4], |o| o.strides::<4>());
        let step = |operand: Option<Operand<'_>>| operand.and_then(pitch).unwrap_or(0);
        let parts = cuda.scratch(cut.parts * c * 2 * gw.dtype.size())?;
        let args = Args::new()
            .pointer(gy.address)
            .pointer(x.address)
            .pointer(address(y))
            .pointer(mean.address)
            .pointer(var.address)
            .pointer(parts.address())
            .size(cut.parts)
            .longs([vector(mean), vector(var), 0, 0])
            .double(eps);
        let args = match cut.pack {
            Some(_) => args
                .size(cut.packs())
                .size(cut.pixels)
                .size(cut.run)
                .long(step(Some(gy)))
                .long(step(Some(x)))
                .long(step(y)),
            None => args
                .size(c)
                .size(cut.pixels)
                .size(cut.run)
                .size(h)
                .size(w)
                .longs(gy.strides::<4>())
                .longs(x.strides::<4>())
                .longs(strides(y)),
        };
        cuda.launch(&cut.kernel(["sums_rows", "sums_planes"], x), cut.grid, args)?;
        let args = Args::new()
            .pointer(parts.address())
            .pointer(gw.address)
            .pointer(gb.address)
            .size(cut.parts)
            .long(vector(gw))
            .long(vector(gb));
        cuda.launch(&cut.kernel(["sums_parts"; 2], x), cut.joins(), args)?;
        let count: usize = sizes.iter().product();
        if count == 0 {
            return Ok(());
        }
        let args = Args::new()
            .pointer(gy.address)
            .pointer(x.address)
            .pointer(address(y))
            .pointer(gx.address)
            .pointer(address(passed))
            .pointer(mean.address)
            .pointer(var.address)
            .pointer(address(weight))
            .pointer(gw.address)
            .pointer(gb.address)
            .longs([vector(mean), vector(var), weight.map_or(0, vector), vector(gw), vector(gb)])
            .double(eps);
        if cut.pack.is_some() {
            let args = args
                .size(cut.packs())
                .size(cut.pixels)
                .size(cut.run)
                .long(step(Some(gy)))
                .long(step(Some(x)))
                .long(step(y))
                .long(step(Some(gx)))
                .long(step(passed));
            return cuda.launch(&cut.kernel(["norm_grad_rows"; 2], x), cut.grid, args);
        }
        let args = args
            .size(count)
            .size(cut.pixels)
            .size(c)
            .size(h)
            .size(w)
            .longs(gy.strides::<4>())
            .longs(x.strides::<4>())
            .longs(strides(y))
            .longs(gx.strides::<4>())
            .longs(strides(passed))
            .int(i32::from(channels_fastest(gx)));
        cuda.launch(&cut.kernel(["norm_grad_planes"; 2], x), linear(count), args)
    })
}
