//! The gradient of a convolution of single pixels in its weight: a product of matrices, summed over all pixels.
//!
//! Pixels of many inputs lie far apart, and crowd a cache. Here they are laid out by panels once for all outputs,
//! some pixels at a time: what a tile of the weight reads of them lies side by side.

use ferrotape_backend::Result;

use crate::Cpu;
use crate::kernels::conv::Geometry;
use crate::kernels::conv::factor::{Factor, Rows};
use crate::kernels::conv::panels::packed_len;
use crate::kernels::conv::weight_grad::WeightGrad;
use crate::kernels::conv::windows::Windows;
use crate::kernels::simd::LANES;
use crate::kernels::split::{Chunks, for_each_part};
use crate::memory::{In, Out};

use super::weight_grad::{RESIDENT_SUMS, store_sums};

/// Floats of a weight from which on it is summed here: where tasks would share its outputs, each would lay the same
/// inputs out.
const LEAST_FLOATS: usize = RESIDENT_SUMS + 1;

/// Tasks, about, and the most floats of all their partial sums.
const TASKS: usize = 16;
const MOST_PARTIAL_FLOATS: usize = 1 << 20;

/// Floats of inputs that are laid out at a time: 4 MiB, which stay in the last cache, as twice as many do.
const BLOCK_FLOATS: usize = 1 << 20;

/// Words of a band of pixels: a panel of the gradients of twice as many stays in the nearest cache.
const BAND_WORDS: usize = 128;

/// Whether a gradient is computed here.
pub(super) fn takes(geometry: &Geometry) -> bool {
    geometry.is_pointwise()
        && geometry.inputs.is_multiple_of(LANES)
        && geometry.inputs.saturating_mul(geometry.outputs) >= LEAST_FLOATS
}

/// `gw`, `[O, C, 1, 1]`, contiguous and f32.
pub(super) fn weight_grad<T: Factor>(
    cpu: &Cpu,
    level: T::Level,
    geometry: &Geometry,
    [x, gy]: [In<'_>; 2],
    mut gw: Out<'_>,
) -> Result<()> {
    let (x, gy) = (x.span::<T>()?, gy.span::<T>()?);
    let Geometry { inputs, outputs, x_pitch, y_pitch, .. } = *geometry;
    let (all, panel) = (geometry.pixels(), cpu.level.panel());
    let channels = outputs.div_ceil(panel).div_ceil(TASKS) * panel;
    let groups = outputs.div_ceil(channels);
    let size = packed_len(inputs, outputs);
    // Words of a band, its pixels, and those of a block, which has as many bands whatever they are.
    let longer = T::longer_bands(level, all.div_ceil(T::IN_WORD));
    let words = longer * BAND_WORDS;
    let band = words * T::IN_WORD;
    let block = (longer * BLOCK_FLOATS / inputs * T::IN_WORD).next_multiple_of(band);
    let bands = block.min(all).div_ceil(band);
    let partials = TASKS.div_ceil(groups).min(MOST_PARTIAL_FLOATS / size).min(bands).max(1);
    let each = bands.div_ceil(partials);
    let mut sums = cpu.workspace::<f32>(partials * size)?;
    let mut panels = cpu.workspace::<f32>(bands * words * inputs)?;
    for start in (0..all).step_by(block) {
        // The pixels of a band of this block: the first, and how many.
        let pixels_of = |index: usize| {
            let first = (start + index * band).min(all);
            (first, band.min(all - first).min((start + block).saturating_sub(first)))
        };
        let parts = Chunks::new(panels.as_mut_slice(), words * inputs);
        for_each_part(cpu.team_for(block * inputs), &parts, |index, to| {
            let (first, pixels) = pixels_of(index);
            if pixels > 0 {
                let (data, size) = (&x[first * x_pitch..], [1, pixels]);
                let rows = Rows { data, pitch: x_pitch, size, channels: inputs };
                T::pack_pixels(level, rows, LANES, to);
            }
            Ok(())
        })?;
        let panels = panels.as_slice();
        let parts = Chunks::grouped(sums.as_mut_slice(), size, channels * inputs);
        for_each_part(cpu.team_for(geometry.products()), &parts, |task, sums| {
            let (first, from) = (task % groups * channels, task / groups * each);
            let count = channels.min(outputs - first);
            let mut room = cpu.workspace::<f32>(words * count.next_multiple_of(panel))?;
            let mut begins = start == 0;
            for index in from..(from + each).min(bands) {
                let (pixel, pixels) = pixels_of(index);
                if pixels == 0 {
                    break;
                }
                let (data, size) = (&gy[pixel * y_pitch + first..], [1, pixels]);
                let rows = Rows { data, pitch: y_pitch, size, channels: count };
                let gy = T::pack_gradients(level, rows, panel, room.as_mut_slice());
                let pixels = pixels.div_ceil(T::IN_WORD);
                let windows = &Windows::of_panels(pixels, inputs);
                let band = &panels[index * words * inputs..][..pixels * inputs];
                let (rows, sums) = (&[0], &mut *sums);
                T::weight_grad(
                    level,
                    WeightGrad { windows, band, rows, pixels, gy, sums, begins },
                )?;
                begins = false;
            }
            if begins {
                sums.fill(0.0);
            }
            Ok(())
        })?;
    }
    store_sums(cpu, sums.as_slice(), [outputs, inputs, 1], gw.span::<f32>()?)
}
