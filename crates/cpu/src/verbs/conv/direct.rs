//! Convolutions of few channels, straight from channels-last memory; f32 and one group only.

use ferrotape_backend::Result;

use crate::Cpu;
use crate::kernels::conv::Geometry;
use crate::kernels::conv::direct::{Forward, Windows, copy_band, pack_outputs, uncopy_band};
use crate::kernels::conv::input_grad::{InputGrad, LONGEST_RUN, pack_runs, packed_len};
use crate::kernels::conv::weight_grad::{WeightGrad, add_unpacked};
use crate::kernels::simd::LANES;
use crate::kernels::split::{Chunks, for_each_part};
use crate::memory::{In, Out};

/// Multiply-adds of a task, at least.
const TASK_PRODUCTS: usize = 1 << 19;

/// The most partial sums of a weight gradient.
const MOST_PARTIALS: usize = 32;

/// Whether a convolution forward is better done here than by matrix products.
pub(crate) fn takes_forward(geometry: &Geometry) -> bool {
    let few = (1..=4 * LANES).contains(&geometry.outputs);
    geometry.params.groups == 1 && few && geometry.taps() > 0
}

/// Whether bands are the images themselves.
fn is_whole(geometry: &Geometry) -> bool {
    geometry.params.padding == [0, 0] && geometry.x_pitch == geometry.inputs
}

/// `y = conv(x, w) + bias`; `w` is `[taps, outputs]`.
pub(crate) fn forward(
    cpu: &Cpu,
    geometry: &Geometry,
    [x, w]: [In<'_>; 2],
    bias: Option<In<'_>>,
    mut y: Out<'_>,
) -> Result<()> {
    let (x, w) = (x.span::<f32>()?, w.span::<f32>()?);
    let bias = bias.map(|bias| bias.span::<f32>()).transpose()?;
    let (outputs, pitch) = (geometry.outputs, geometry.y_pitch);
    let [oh, ow] = geometry.out;
    let windows = Windows::new(geometry);
    let mut packed = cpu.workspace::<f32>(outputs.div_ceil(LANES) * windows.taps() * LANES)?;
    pack_outputs(w, outputs, packed.as_mut_slice());
    let weights = packed.as_slice();
    // Whole images where they are small, else some rows of one.
    let row = ow * outputs * windows.taps();
    let rows = (TASK_PRODUCTS / row.max(1)).clamp(1, oh);
    let bands = oh.div_ceil(rows);
    let image_len = geometry.size[0] * geometry.size[1] * geometry.x_pitch;
    let y = y.span::<f32>()?;
    let parts = Chunks::grouped(y, oh * ow * pitch, rows * ow * pitch);
    let team = cpu.team_for(geometry.products());
    for_each_part(team, &parts, |task, y| {
        let (image, first) = (task / bands, task % bands * rows);
        let rows = rows.min(oh - first);
        let image = &x[image * image_len..];
        let mut own;
        let band = if is_whole(geometry) {
            &image[first * windows.row_step..]
        } else {
            own = cpu.workspace::<f32>(windows.band_rows(geometry, rows) * windows.row)?;
            copy_band(geometry, &windows, image, first, own.as_mut_slice());
            own.as_slice()
        };
        let windows = &windows;
        cpu.level.run_kernel(Forward {
            windows,
            rows,
            band,
            weights,
            bias,
            y,
            y_pitch: pitch,
            outputs,
        })
    })
}

/// Whether a gradient in the input is better computed here than by matrix products.
pub(crate) fn takes_input_grad(geometry: &Geometry) -> bool {
    let run =
        geometry.inputs * if geometry.params.dilation[1] == 1 { geometry.kernel[1] } else { 1 };
    let some = geometry.outputs > 0 && geometry.pixels() > 0;
    geometry.params.groups == 1 && (1..=LONGEST_RUN).contains(&run) && some
}

/// `gx`, image by image; `w` is `[taps, outputs]`.
pub(crate) fn input_grad(
    cpu: &Cpu,
    geometry: &Geometry,
    [gy, w]: [In<'_>; 2],
    mut gx: Out<'_>,
) -> Result<()> {
    let (gy, w) = (gy.span::<f32>()?, w.span::<f32>()?);
    let windows = Windows::new(geometry);
    let (outputs, gy_pitch) = (geometry.outputs, geometry.y_pitch);
    let mut packed = cpu.workspace::<f32>(packed_len(&windows, outputs))?;
    pack_runs(&windows, w, outputs, packed.as_mut_slice());
    let weights = packed.as_slice();
    let [rows, ow] = geometry.out;
    let image_len = geometry.size[0] * geometry.size[1] * geometry.x_pitch;
    let team = cpu.team_for(geometry.products());
    for_each_part(team, &Chunks::new(gx.span::<f32>()?, image_len), |image, gx| {
        let gy = &gy[image * rows * ow * gy_pitch..];
        let windows = &windows;
        let add_to = |band: &mut [f32]| {
            band.fill(0.0);
            let kernel = InputGrad { windows, rows, gy, gy_pitch, outputs, weights, band };
            cpu.level.run_kernel(kernel)
        };
        if is_whole(geometry) {
            return add_to(gx);
        }
        let mut own = cpu.workspace::<f32>(windows.size[0] * windows.row)?;
        add_to(own.as_mut_slice())?;
        uncopy_band(geometry, windows, own.as_slice(), gx);
        Ok(())
    })
}

/// Whether a gradient in the weight is better computed here than by matrix products.
pub(crate) fn takes_weight_grad(geometry: &Geometry) -> bool {
    takes_forward(geometry) && geometry.pixels() > 0
}

/// `gw` as `[taps, outputs]`: sums over fixed groups of images, added in their order.
pub(crate) fn weight_grad(
    cpu: &Cpu,
    geometry: &Geometry,
    [x, gy]: [In<'_>; 2],
    mut gw: Out<'_>,
) -> Result<()> {
    let (x, gy, gw) = (x.span::<f32>()?, gy.span::<f32>()?, gw.span::<f32>()?);
    let windows = Windows::new(geometry);
    let (outputs, gy_pitch) = (geometry.outputs, geometry.y_pitch);
    let [rows, ow] = geometry.out;
    let size = outputs.div_ceil(LANES) * windows.taps() * LANES;
    let image_len = geometry.size[0] * geometry.size[1] * geometry.x_pitch;
    let images = (TASK_PRODUCTS * geometry.n / geometry.products().max(1)).max(1);
    let images = images.max(geometry.n.div_ceil(MOST_PARTIALS));
    let mut sums = cpu.workspace::<f32>(geometry.n.div_ceil(images) * size)?;
    let team = cpu.team_for(geometry.products());
    for_each_part(team, &Chunks::new(sums.as_mut_slice(), size), |task, sums| {
        sums.fill(0.0);
        let whole = is_whole(geometry);
        let band_len = if whole { 0 } else { windows.band_rows(geometry, rows) * windows.row };
        let mut own = cpu.workspace::<f32>(band_len)?;
        for image in task * images..((task + 1) * images).min(geometry.n) {
            let x = &x[image * image_len..];
            let gy = &gy[image * rows * ow * gy_pitch..];
            if !whole {
                copy_band(geometry, &windows, x, 0, own.as_mut_slice());
            }
            let band = if whole { x } else { own.as_slice() };
            let (windows, sums) = (&windows, &mut *sums);
            let kernel = WeightGrad { windows, rows, band, gy, gy_pitch, outputs, sums };
            cpu.level.run_kernel(kernel)?;
        }
        Ok(())
    })?;
    gw.fill(0.0);
    for sums in sums.as_slice().chunks_exact(size) {
        add_unpacked(sums, outputs, gw);
    }
    Ok(())
}
