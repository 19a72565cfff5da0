//! Convolution straight from channels-last memory.

use ferrotape_backend::{Element, Result};

use crate::cpu::Workspace;
use crate::kept::{Kind, Packing};
use crate::kernels::conv::Geometry;
use crate::kernels::conv::ending::Ending;
use crate::kernels::conv::factor::Factor;
use crate::kernels::conv::forward::Forward;
use crate::kernels::conv::outputs::{Outputs, Place};
use crate::kernels::conv::panels::{Weights, packed_len};
use crate::kernels::conv::windows::{Frame, Windows};
use crate::kernels::simd::{InMemory, LANES};
use crate::kernels::split::{Chunks, for_each_part};
use crate::memory::{In, Out};
use crate::{Cpu, Level};

use super::cut::{channels_of_task, pixels_of_task, rows_of_task};

/// Whether a convolution is done here; without vector instructions of its own, the library for
/// matrix products is faster where there are many outputs.
pub(crate) fn takes(cpu: &Cpu, geometry: &Geometry) -> bool {
    let suits = geometry.outputs <= 4 * LANES || cpu.level() != Level::Portable;
    geometry.params.groups == 1 && geometry.products() > 0 && geometry.is_bounded() && suits
}

/// `y = ending(conv(x, w))`; `w` is `[O, C, KH, KW]`, contiguous.
pub(crate) fn forward<T: Factor, O: Element + InMemory>(
    cpu: &Cpu,
    level: T::Level,
    geometry: &Geometry,
    [x, w]: [In<'_>; 2],
    ending: Ending<'_, O>,
    mut y: Out<'_>,
) -> Result<()> {
    let [kh, kw] = geometry.kernel;
    let packing = Packing { layout: *w.layout, level: cpu.level(), kind: Kind::Windows };
    let weights = Weights::new(w.span()?, [geometry.outputs, geometry.inputs, kh, kw])
        .kept_beside(w.kept, packing);
    correlate::<T, O>(cpu, level, geometry, x.span()?, &weights, ending, y.span()?)
}

/// As [`forward`], of weights that lie in any way.
pub(in crate::verbs) fn correlate<T: Factor, O: Element + InMemory>(
    cpu: &Cpu,
    level: T::Level,
    geometry: &Geometry,
    x: &[T],
    weights: &Weights<'_, T>,
    ending: Ending<'_, O>,
    y: &mut [O],
) -> Result<()> {
    let x = T::words(x)?;
    let geometry = &geometry.flat().with_input_words(T::IN_WORD);
    let reads = geometry.outputs.div_ceil(cpu.level.panel());
    let frame = Frame::of_input(geometry).spread(reads);
    let windows = Windows::new(geometry, &frame);
    let packed = weights.panels(|| pack::<T>(cpu, level, weights, &windows))?;

    let [h, width] = windows.out;
    let (taps, products) = (windows.taps(), geometry.products());
    let channels = channels_of_task(cpu, taps, geometry.outputs);
    let block = match h {
        1 => [1, pixels_of_task(&frame, taps * channels, T::whole_tiles(level))],
        _ => [rows_of_task(&windows, taps * channels * width), width],
    };
    let sizes = [geometry.n, h, width, geometry.outputs];
    let parts = Outputs::new(y, sizes, geometry.y_pitch, [block[0], block[1], channels])?;
    let frames = Frames::new(cpu, geometry.n, &frame, x, channels < geometry.outputs)?;
    for_each_part(cpu.team_for(products), &parts, |index, y| {
        let place = parts.place(index);
        let weights = &packed.as_slice()[place.channels[0] * taps..];
        let pixel = (place.image * h + place.rows[0]) * width + place.pixels[0];
        let ending = ending.starting_at(pixel, place.channels[0]);
        frames.with_band(cpu, &windows, &place, |band| {
            T::forward(level, Forward { windows: &windows, band, weights, ending, y })
        })
    })
}

/// All panels of a weight, in words.
pub(super) fn pack<T: Factor>(
    cpu: &Cpu,
    level: T::Level,
    weights: &Weights<'_, T>,
    windows: &Windows,
) -> Result<Workspace<f32>> {
    let taps = windows.taps();
    let mut packed = cpu.workspace::<f32>(packed_len(taps, weights.channels[0]))?;
    let panel = cpu.level.panel();
    let len = packed.as_slice().len();
    if len > 0 {
        let panels = Chunks::new(packed.as_mut_slice(), taps * panel);
        for_each_part(cpu.team_for(len), &panels, |index, to| {
            T::pack_panel(cpu, level, weights, &windows.elements, index * panel, to)
        })?;
    }
    Ok(packed)
}

/// The frames of a batch: the images themselves, copies of all that were made once, or copies of
/// bands that each task makes for itself.
pub(super) struct Frames<'a> {
    images: &'a [f32],
    frame: &'a Frame,
    copies: Option<Workspace<f32>>,
}

impl<'a> Frames<'a> {
    /// `shared`: several tasks see each row.
    pub(super) fn new(
        cpu: &Cpu,
        n: usize,
        frame: &'a Frame,
        images: &'a [f32],
        shared: bool,
    ) -> Result<Self> {
        let mut copies = None;
        if shared && !frame.is_image() {
            let size = frame.rows() * frame.row();
            let mut own = cpu.workspace::<f32>(n * size)?;
            let parts = Chunks::new(own.as_mut_slice(), size);
            for_each_part(cpu.team_for(n * size), &parts, |image, to| {
                frame.copy(&images[image * frame.image_len()..], 0, to);
                Ok(())
            })?;
            copies = Some(own);
        }
        Ok(Frames { images, frame, copies })
    }

    /// Calls `f` with the rows and pixels that the windows of a place see.
    pub(super) fn with_band<T>(
        &self,
        cpu: &Cpu,
        windows: &Windows,
        place: &Place,
        f: impl FnOnce(&[f32]) -> Result<T>,
    ) -> Result<T> {
        let (frame, [first, rows]) = (self.frame, place.rows);
        let start = first * windows.row_step + place.pixels[0] * windows.pixel_step;
        if frame.is_image() {
            return f(&self.images[place.image * frame.image_len() + start..]);
        }
        if let Some(copies) = &self.copies {
            return f(&copies.as_slice()[place.image * frame.rows() * frame.row() + start..]);
        }
        let image = &self.images[place.image * frame.image_len()..];
        if frame.is_row() {
            let mut band = cpu.workspace::<f32>(windows.reach(1, place.pixels[1]))?;
            frame.copy_run(image, start / frame.pitch(), band.as_mut_slice());
            return f(band.as_slice());
        }
        let mut band = cpu.workspace::<f32>(windows.band_rows(rows) * frame.row())?;
        frame.copy(image, first * windows.down, band.as_mut_slice());
        f(&band.as_slice()[place.pixels[0] * windows.pixel_step..])
    }
}
