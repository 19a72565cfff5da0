//! Convolutions of 3 x 3 by products in tiles, see [`winograd`](crate::kernels::conv::winograd).
//!
//! Some tiles at a time are transformed, multiplied and transformed back, while they stay in a cache.

use ferrotape_backend::Result;

use crate::cpu::Workspace;
use crate::kept::{Kind, Packing};
use crate::kernels::conv::Geometry;
use crate::kernels::conv::ending::Ending;
use crate::kernels::conv::forward::Forward;
use crate::kernels::conv::outputs::Block;
use crate::kernels::conv::panels::{PackPanel, StorePanel, Weights, packed_len, panel_width};
use crate::kernels::conv::weight_grad::{Gradients, Order, WeightGrad};
use crate::kernels::conv::windows::{Windows, spread_pitch};
use crate::kernels::conv::winograd::{
    ELEMENTS, Inputs, OutputGrads, Outputs, PLACES, Source, TileParts, Tiles, Tiling,
    TransformWeights, WeightGradients,
};
use crate::kernels::split::{Chunks, for_each_part};
use crate::memory::{In, Out};
use crate::{Cpu, Level};

/// Channels of inputs and of outputs from which on products outweigh transforms.
const LEAST_CHANNELS: usize = 32;

/// Tiles from which on what is made of the weights is worth it.
const LEAST_TILES: usize = 64;

/// Tiles of a task: whole rows of registers at every level, those of 14 and of 6.
const TASK_TILES: usize = 84;

/// Whether a convolution of f32 is done here.
pub(super) fn takes(cpu: &Cpu, geometry: &Geometry) -> bool {
    let params = &geometry.params;
    let suits = geometry.kernel == [3, 3]
        && params.stride == [1, 1]
        && params.dilation == [1, 1]
        && params.groups == 1
        && params.padding.iter().all(|&padding| padding <= 2)
        && geometry.inputs.min(geometry.outputs) >= LEAST_CHANNELS
        && geometry.is_bounded()
        && cpu.level() != Level::Portable;
    suits && forward_tiling(geometry).count() >= LEAST_TILES
}

fn forward_tiling(geometry: &Geometry) -> Tiling {
    let Geometry { n, size, out, params, .. } = *geometry;
    Tiling { n, size, out, before: params.padding }
}

/// `y = ending(conv(x, w))`; `w` is `[O, C, 3, 3]`, contiguous.
pub(super) fn forward(
    cpu: &Cpu,
    geometry: &Geometry,
    [x, w]: [In<'_>; 2],
    ending: Ending<'_, f32>,
    mut y: Out<'_>,
) -> Result<()> {
    let packing = Packing { layout: *w.layout, level: cpu.level(), kind: Kind::Tiles };
    let weights = Weights::new(w.span::<f32>()?, [geometry.outputs, geometry.inputs, 3, 3])
        .kept_beside(w.kept, packing);
    let elements = std::array::from_fn(|element| [element / 3, element % 3]);
    let tiling = forward_tiling(geometry);
    let pitches = [geometry.x_pitch, geometry.y_pitch];
    correlate(cpu, &tiling, x.span()?, &weights, &elements, ending, y.span()?, pitches)
}

/// `gx`, itself a convolution of `gy` with the kernel turned round; `w` is `[O, C, 3, 3]`, contiguous.
pub(super) fn input_grad(
    cpu: &Cpu,
    geometry: &Geometry,
    [gy, w]: [In<'_>; 2],
    mut gx: Out<'_>,
) -> Result<()> {
    let weights =
        Weights::new(w.span::<f32>()?, [geometry.outputs, geometry.inputs, 3, 3]).swapped();
    let elements = std::array::from_fn(|element| [2 - element / 3, 2 - element % 3]);
    let Geometry { n, size, out, params, .. } = *geometry;
    let before = params.padding.map(|padding| 2 - padding);
    let tiling = Tiling { n, size: out, out: size, before };
    let pitches = [geometry.y_pitch, geometry.x_pitch];
    correlate(cpu, &tiling, gy.span()?, &weights, &elements, Ending::NONE, gx.span()?, pitches)
}

#[allow(clippy::too_many_arguments)]
fn correlate(
    cpu: &Cpu,
    tiling: &Tiling,
    x: &[f32],
    weights: &Weights<'_, f32>,
    elements: &[[usize; 2]; ELEMENTS],
    ending: Ending<'_, f32>,
    y: &mut [f32],
    [x_pitch, y_pitch]: [usize; 2],
) -> Result<()> {
    let [outputs, inputs] = weights.channels;
    let panel = cpu.level.panel();
    let packed = weights.panels(|| pack(cpu, weights, elements))?;
    let packed = packed.as_slice();
    let zeros = vec![0.0; inputs];
    let source = Source { data: x, pitch: x_pitch, channels: inputs, zeros: &zeros };
    let parts = TileParts::new(y, tiling, y_pitch, outputs, TASK_TILES)?;
    let cost = tiling.count().saturating_mul(PLACES * inputs).saturating_mul(outputs);
    for_each_part(cpu.team_for(cost), &parts, |_, mut to| {
        let tiles = to.tiles();
        let pitch = spread_pitch(inputs);
        let windows = Windows::of_pixels(tiles[1], inputs, pitch);
        let mut values = cpu.workspace::<f32>(PLACES * tiles[1] * pitch)?;
        let values = values.as_mut_slice();
        let seen = Tiles { tiling: *tiling, source, tiles, pitch, to: values };
        cpu.level.run_kernel(Inputs(seen))?;
        let mut products = cpu.workspace::<f32>(PLACES * tiles[1] * panel.min(outputs))?;
        for first in (0..outputs).step_by(panel) {
            let channels = panel.min(outputs - first);
            let taps = inputs * panel_width(outputs, first, panel);
            let products = &mut products.as_mut_slice()[..PLACES * tiles[1] * channels];
            let places = products.chunks_exact_mut(tiles[1] * channels);
            for (place, products) in places.enumerate() {
                cpu.level.run_kernel(Forward {
                    windows: &windows,
                    band: &values[place * tiles[1] * pitch..][..tiles[1] * pitch],
                    weights: &packed[first * inputs * PLACES + place * taps..][..taps],
                    ending: Ending::NONE,
                    y: Block::row(products, tiles[1], channels)?,
                })?;
            }
            let to = to.channel_range(first, channels)?;
            let ending = ending.starting_at(0, first);
            cpu.level.run_kernel(Outputs { products, ending, to })?;
        }
        Ok(())
    })
}

/// Weights as products want them: `[panel, place, input, output]`.
fn pack(
    cpu: &Cpu,
    weights: &Weights<'_, f32>,
    elements: &[[usize; 2]; ELEMENTS],
) -> Result<Workspace<f32>> {
    let [outputs, inputs] = weights.channels;
    let panel = cpu.level.panel();
    let mut packed = cpu.workspace::<f32>(PLACES * packed_len(inputs, outputs))?;
    let len = packed.as_slice().len();
    let panels = Chunks::new(packed.as_mut_slice(), PLACES * inputs * panel);
    for_each_part(cpu.team_for(len), &panels, |index, to| {
        let mut own = cpu.workspace::<f32>(to.len() / PLACES * ELEMENTS)?;
        let (first, panel) = (index * panel, own.as_mut_slice());
        cpu.level.run_kernel(PackPanel { weights, elements, first, panel })?;
        cpu.level.run_kernel(TransformWeights { panel: own.as_slice(), to })
    })?;
    Ok(packed)
}

/// Outputs of a task of [`weight_grad`], about, and its tiles at a time; a task sums over many.
const GROUP_OUTPUTS: usize = 64;
const BLOCK_TILES: usize = 112;

/// Tasks, about, and the most floats of all partial sums.
const TASKS: usize = 16;
const MOST_PARTIAL_FLOATS: usize = 1 << 22;

/// `gw`, `[O, C, 3, 3]`, contiguous.
pub(super) fn weight_grad(
    cpu: &Cpu,
    geometry: &Geometry,
    [x, gy]: [In<'_>; 2],
    mut gw: Out<'_>,
) -> Result<()> {
    let (x, gy, gw) = (x.span::<f32>()?, gy.span::<f32>()?, gw.span::<f32>()?);
    let (inputs, outputs) = (geometry.inputs, geometry.outputs);
    let tiling = forward_tiling(geometry);
    let panel = cpu.level.panel();
    let group = GROUP_OUTPUTS.next_multiple_of(panel).min(outputs.next_multiple_of(panel));
    let groups = outputs.div_ceil(group);
    // The sums of a group, places one after the other.
    let step = packed_len(inputs, group);
    let blocks = tiling.count().div_ceil(BLOCK_TILES);
    let partials = TASKS
        .div_ceil(groups)
        .min(MOST_PARTIAL_FLOATS / (groups * PLACES * step))
        .clamp(1, blocks.max(1));
    let tiles_each = blocks.div_ceil(partials) * BLOCK_TILES;
    let partials = tiling.count().div_ceil(tiles_each);
    let zeros = vec![0.0; inputs.max(outputs)];
    let mut sums = cpu.workspace::<f32>(partials * groups * PLACES * step)?;
    let parts = Chunks::new(sums.as_mut_slice(), PLACES * step);
    let team = cpu.team_for(geometry.products());
    for_each_part(team, &parts, |task, sums| {
        let (first, start) = (task % groups * group, task / groups * tiles_each);
        let channels = group.min(outputs - first);
        let end = (start + tiles_each).min(tiling.count());
        let x = Source { data: x, pitch: geometry.x_pitch, channels: inputs, zeros: &zeros };
        let gy = Source { data: &gy[first..], pitch: geometry.y_pitch, channels, zeros: &zeros };
        let most = BLOCK_TILES.min(end - start);
        let mut values = cpu.workspace::<f32>(PLACES * most * inputs)?;
        let mut gradients = cpu.workspace::<f32>(PLACES * most * channels)?;
        let first_tile = start;
        for start in (start..end).step_by(BLOCK_TILES) {
            let tiles = [start, BLOCK_TILES.min(end - start)];
            let (values, gradients) = (values.as_mut_slice(), gradients.as_mut_slice());
            let seen = Tiles { tiling, source: x, tiles, pitch: inputs, to: values };
            cpu.level.run_kernel(Inputs(seen))?;
            let written = Tiles { tiling, source: gy, tiles, pitch: channels, to: gradients };
            cpu.level.run_kernel(OutputGrads(written))?;
            let windows = Windows::of_pixels(tiles[1], inputs, inputs);
            let order = Order::Panels { pitch: channels, step: panel };
            for (place, sums) in sums.chunks_exact_mut(step).enumerate() {
                let data = &gradients[place * tiles[1] * channels..][..tiles[1] * channels];
                cpu.level.run_kernel(WeightGrad {
                    windows: &windows,
                    band: &values[place * tiles[1] * inputs..][..tiles[1] * inputs],
                    rows: &[0],
                    pixels: tiles[1],
                    gy: Gradients { data, order, channels },
                    sums,
                    begins: start == first_tile,
                })?;
            }
        }
        Ok(())
    })?;

    let sums = sums.as_slice();
    let parts = Chunks::new(gw, ELEMENTS * inputs * panel);
    for_each_part(cpu.team_for(sums.len()), &parts, |index, rows| {
        let (group, first) = (index * panel / group, index * panel % group);
        let width = panel_width(outputs, index * panel, panel);
        let len = ELEMENTS * inputs * width;
        let mut panels = cpu.workspace::<f32>(partials * len)?;
        for (partial, panel) in panels.as_mut_slice().chunks_exact_mut(len).enumerate() {
            let from = (partial * groups + group) * PLACES * step + first * inputs;
            cpu.level.run_kernel(WeightGradients { sums: &sums[from..], step, panel })?;
        }
        let panels: Vec<_> = panels.as_slice().chunks_exact(len).collect();
        let (partials, elements) = (&panels[..], ELEMENTS);
        let mut room = cpu.workspace::<f32>(StorePanel::room(width, elements))?;
        let room = room.as_mut_slice();
        cpu.level.run_kernel(StorePanel { partials, inputs, elements, rows, room });
        Ok(())
    })
}
