//! Convolutions of few channels, straight from channels-last memory; f32 and one group only.

use ferrotape_backend::Result;

use crate::Cpu;
use crate::kernels::conv::Geometry;
use crate::kernels::conv::direct::{Forward, Windows, copy_band, pack_outputs};
use crate::kernels::simd::LANES;
use crate::kernels::split::{Chunks, for_each_part};
use crate::memory::{In, Out};

/// Multiply-adds of a task, at least.
const TASK_PRODUCTS: usize = 1 << 19;

/// Whether a convolution forward is better done here than by matrix products.
pub(crate) fn takes_forward(geometry: &Geometry) -> bool {
    geometry.params.groups == 1 && geometry.outputs <= 4 * LANES && geometry.taps() > 0
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
