//! The gradient of a convolution in its input.
//!
//! It is itself a convolution, of the output's gradient: where the stride is s, one for each of the
//! s x s phases of input pixels, each with the kernel elements that reach pixels of that phase.
//! Where windows have few floats that is the slower way, and each output's gradient is added to the
//! pixels of its window instead.

use ferrotape_backend::Result;

use crate::kernels::conv::Geometry;
use crate::kernels::conv::ending::Ending;
use crate::kernels::conv::factor::Factor;
use crate::kernels::conv::forward::Forward;
use crate::kernels::conv::input_grad::{InputGrad, LONGEST_RUN, pack_runs, packed_len};
use crate::kernels::conv::outputs::Outputs;
use crate::kernels::conv::panels::Weights;
use crate::kernels::conv::windows::{Frame, Windows};
use crate::kernels::simd::InMemory;
use crate::kernels::split::{Chunks, for_each_part};
use crate::memory::{In, Out};
use crate::{Cpu, Level};

use super::cut::{channels_of_task, pixels_of_task, rows_of_task};
use super::forward::{Frames, pack};

/// Whether a gradient in the input is computed here; see [`forward::takes`](super::forward::takes).
pub(crate) fn takes(cpu: &Cpu, geometry: &Geometry) -> bool {
    let some = geometry.params.groups == 1 && geometry.products() > 0 && geometry.is_bounded();
    some && (cpu.level() != Level::Portable || adds(geometry))
}

/// Whether windows are short enough to be added.
fn adds(geometry: &Geometry) -> bool {
    let windows = Windows::new(geometry, &Frame::of_dense_input(geometry));
    windows.run <= LONGEST_RUN && geometry.kernel != [1, 1]
}

/// `gx`; `w` is `[O, C, KH, KW]`, contiguous.
pub(crate) fn input_grad(
    cpu: &Cpu,
    geometry: &Geometry,
    operands: [In<'_>; 2],
    gx: Out<'_>,
) -> Result<()> {
    match adds(geometry) {
        true => add_windows(cpu, geometry, operands, gx),
        false => by_phases::<f32>(cpu, cpu.level, geometry, operands, gx),
    }
}

/// As a convolution for each phase.
pub(super) fn by_phases<T: Factor + InMemory>(
    cpu: &Cpu,
    level: T::Level,
    geometry: &Geometry,
    [gy, w]: [In<'_>; 2],
    mut gx: Out<'_>,
) -> Result<()> {
    let (gy, w) = (T::words(gy.span::<T>()?)?, w.span::<T>()?);
    let ([kh, kw], stride) = (geometry.kernel, geometry.params.stride);
    let weights = Weights::new(w, [geometry.outputs, geometry.inputs, kh, kw]).swapped();
    let geometry = &geometry.flat().with_output_words(T::IN_WORD);
    let reads = geometry.inputs.div_ceil(cpu.level.panel());
    let frame = Frame::of_gradient(geometry).spread(reads);
    let mut phases = Vec::new();
    for a in 0..stride[0].min(geometry.size[0]) {
        for b in 0..stride[1].min(geometry.size[1]) {
            let windows = Windows::of_phase(geometry, &frame, [a, b]);
            let packed = pack::<T>(cpu, level, &weights, &windows)?;
            phases.push(([a, b], windows, packed));
        }
    }
    let [h, width] = geometry.size;
    let taps = phases.iter().map(|(_, windows, _)| windows.taps()).max().unwrap_or(0);
    let channels = channels_of_task(cpu, taps, geometry.inputs);
    // The windows of a block's phases lie in the same rows of the frame; those of the tallest phase
    // say how many.
    let Some(tallest) = phases.iter().map(|(_, w, _)| w).max_by_key(|w| (w.height, w.out[0]))
    else {
        return Ok(());
    };
    let block = match h {
        1 if stride[1] == 1 => [1, pixels_of_task(&frame, taps * channels, T::whole_tiles(level))],
        _ => {
            [rows_of_task(tallest, taps * channels * width.div_ceil(stride[1])) * stride[0], width]
        }
    };
    let sizes = [geometry.n, h, width, geometry.inputs];
    let parts =
        Outputs::new(gx.span::<T>()?, sizes, geometry.x_pitch, [block[0], block[1], channels])?;
    let frames = Frames::new(cpu, geometry.n, &frame, gy, channels < geometry.inputs)?;
    for_each_part(cpu.team_for(geometry.products()), &parts, |index, mut gx| {
        let mut place = parts.place(index);
        let first = place.channels[0];
        place.rows = [place.rows[0] / stride[0], place.rows[1].div_ceil(stride[0])];
        frames.with_band(cpu, tallest, &place, |band| {
            for (phase, windows, packed) in &phases {
                let weights = &packed.as_slice()[first * windows.taps()..];
                let y = gx.phase(*phase, stride);
                let ending = Ending::NONE;
                T::forward(level, Forward { windows, band, weights, ending, y })?;
            }
            Ok(())
        })
    })
}

/// By adding each output's gradient to the pixels of its window, image by image.
fn add_windows(
    cpu: &Cpu,
    geometry: &Geometry,
    [gy, w]: [In<'_>; 2],
    mut gx: Out<'_>,
) -> Result<()> {
    let (gy, w) = (gy.span::<f32>()?, w.span::<f32>()?);
    let frame = Frame::of_dense_input(geometry);
    let windows = Windows::new(geometry, &frame);
    let (outputs, gy_pitch) = (geometry.outputs, geometry.y_pitch);
    let mut packed = cpu.workspace::<f32>(packed_len(&windows, outputs))?;
    let [kh, kw] = geometry.kernel;
    let weights = Weights::new(w, [outputs, geometry.inputs, kh, kw]);
    pack_runs(&windows, &weights, packed.as_mut_slice());
    let weights = packed.as_slice();
    let [rows, ow] = geometry.out;
    let team = cpu.team_for(geometry.products());
    let parts = Chunks::new(gx.span::<f32>()?, frame.image_len());
    for_each_part(team, &parts, |image, gx| {
        let gy = &gy[image * rows * ow * gy_pitch..];
        let windows = &windows;
        let add_to = |band: &mut [f32]| {
            band.fill(0.0);
            let kernel = InputGrad { windows, rows, gy, gy_pitch, outputs, weights, band };
            cpu.level.run_kernel(kernel)
        };
        if frame.is_image() {
            return add_to(gx);
        }
        let mut own = cpu.workspace::<f32>(frame.rows() * frame.row())?;
        add_to(own.as_mut_slice())?;
        frame.uncopy(own.as_slice(), gx);
        Ok(())
    })
}
