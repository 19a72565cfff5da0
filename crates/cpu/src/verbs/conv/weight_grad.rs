//! The gradient of a convolution in its weight.

use std::ops::Range;

use ferrotape_backend::Result;

use crate::Cpu;
use crate::cpu::Workspace;
use crate::kernels::conv::Geometry;
use crate::kernels::conv::factor::{Factor, Rows};
use crate::kernels::conv::panels::{StorePanel, packed_len};
use crate::kernels::conv::weight_grad::{Gradients, Order, WeightGrad};
use crate::kernels::conv::windows::{Frame, Windows};
use crate::kernels::split::{Chunks, for_each_part};
use crate::memory::{In, Out};

/// Multiply-adds of a task, at least.
const TASK_PRODUCTS: usize = 1 << 19;

/// Tasks, at most: what is enough for many threads.
const MOST_TASKS: usize = 32;

/// The most partial sums, and the most floats of all of them: adding them up is work that a few threads
/// would not have.
const MOST_PARTIALS: usize = 16;
const MOST_PARTIAL_FLOATS: usize = 1 << 22;

/// Floats of sums that stay in a core's cache while bands pass by: 512 KiB.
pub(super) const RESIDENT_SUMS: usize = 1 << 17;

/// Floats of a band that stay in a core's first cache, about, and four times as many in its second; and the pixels that a band has at
/// least, so that sums are not fetched and stored too often.
const RESIDENT_BAND: usize = 1 << 14;
const BAND_PIXELS: usize = 96;

/// Floats of a window from which on it pays to lay gradients out by panels.
const PACKING_TAPS: usize = 64;

/// How the work is cut into tasks: by outputs first, because then nothing has to be added up.
#[derive(Debug, Clone, Copy)]
struct Cut {
    /// Outputs of a task.
    channels: usize,
    /// Rows of output pixels, of all images, of a task.
    rows: usize,
    /// Rows of output pixels of a band.
    band: usize,
}

impl Cut {
    /// With bands that are so many times longer than else.
    fn new(cpu: &Cpu, geometry: &Geometry, windows: &Windows, longer: usize) -> Self {
        let (taps, panel) = (windows.taps(), cpu.level.panel());
        let panels = geometry.outputs.div_ceil(panel);
        let resident = (RESIDENT_SUMS / (taps * panel)).max(1);
        let groups = panels.div_ceil(resident);
        let channels = panels.div_ceil(groups) * panel;
        let tasks = (geometry.products() / TASK_PRODUCTS).clamp(1, MOST_TASKS);
        let partials = tasks
            .div_ceil(groups)
            .min(MOST_PARTIALS)
            .min(MOST_PARTIAL_FLOATS / packed_len(taps, geometry.outputs).max(1))
            .max(1);
        let all = geometry.n * geometry.out[0];
        let band = (longer * RESIDENT_BAND / windows.row_step.max(1))
            .max(longer * BAND_PIXELS.div_ceil(windows.out[1]));
        Cut { channels, rows: all.div_ceil(partials), band }
    }
}

/// `gw`, `[O, C, KH, KW]`, contiguous and f32.
///
/// Pixels are what is summed over, so a word of several numbers has those of neighbouring output pixels.
pub(crate) fn weight_grad<T: Factor>(
    cpu: &Cpu,
    level: T::Level,
    geometry: &Geometry,
    [x, gy]: [In<'_>; 2],
    mut gw: Out<'_>,
) -> Result<()> {
    let (x, gy, gw) = (x.span::<T>()?, gy.span::<T>()?, gw.span::<f32>()?);
    let frame = match T::IN_WORD {
        1 => Frame::of_input(geometry),
        _ => Frame::of_copied_input(geometry),
    };
    let windows = Windows::new(&geometry.with_pixels_together(T::IN_WORD), &frame);
    let (taps, outputs) = (windows.taps(), geometry.outputs);
    let cut = Cut::new(cpu, geometry, &windows, T::longer_bands(level, windows.out[1]));
    let rows = geometry.n * geometry.out[0];
    let partials = rows.div_ceil(cut.rows);
    let size = packed_len(taps, outputs);
    let groups = outputs.div_ceil(cut.channels);
    let mut sums = cpu.workspace::<f32>(partials * size)?;
    let parts = Chunks::grouped(sums.as_mut_slice(), size, cut.channels * taps);
    let copies = match groups > 1 && !frame.is_image() {
        true => Some(copy_all(cpu, level, geometry, &frame, x)?),
        false => None,
    };
    let copies = copies.as_ref().map(|copies| copies.as_slice());
    let pass = Bands { cpu, level, geometry, frame: &frame, windows: &windows, cut, x, copies, gy };
    for_each_part(cpu.team_for(geometry.products()), &parts, |task, sums| {
        let (first, start) = (task % groups * cut.channels, task / groups * cut.rows);
        let rows = start..(start + cut.rows).min(rows);
        pass.sum(rows, first..(first + cut.channels).min(outputs), sums)
    })?;

    let [kh, kw] = geometry.kernel;
    store_sums(cpu, sums.as_slice(), [outputs, geometry.inputs, kh * kw], gw)
}

/// Writes a gradient `[O, C, KH, KW]` of so many outputs, inputs and elements: the sum of all partial sums, each of
/// which has it by panels.
pub(super) fn store_sums(
    cpu: &Cpu,
    sums: &[f32],
    [outputs, inputs, elements]: [usize; 3],
    gw: &mut [f32],
) -> Result<()> {
    let (taps, panel) = (inputs * elements, cpu.level.panel());
    let size = packed_len(taps, outputs);
    let parts = Chunks::new(gw, taps * panel);
    for_each_part(cpu.team_for(sums.len()), &parts, |index, rows| {
        let from = index * panel * taps;
        let len = (size - from).min(panel * taps);
        let panels: Vec<_> = sums.chunks_exact(size).map(|sums| &sums[from..][..len]).collect();
        let partials = &panels[..];
        let mut room = cpu.workspace::<f32>(StorePanel::room(len / taps, elements))?;
        let room = room.as_mut_slice();
        cpu.level.run_kernel(StorePanel { partials, inputs, elements, rows, room });
        Ok(())
    })
}

/// The frames of all images: each group of outputs sees all of them.
fn copy_all<T: Factor>(
    cpu: &Cpu,
    level: T::Level,
    geometry: &Geometry,
    frame: &Frame,
    x: &[T],
) -> Result<Workspace<f32>> {
    let size = frame.rows() * frame.row();
    let mut copies = cpu.workspace::<f32>(geometry.n * size)?;
    let parts = Chunks::new(copies.as_mut_slice(), size);
    for_each_part(cpu.team_for(geometry.n * size), &parts, |image, to| {
        let (image, shift) = (&x[image * frame.image_len()..], geometry.params.stride[1]);
        T::copy_pixels(level, frame, image, 0, shift, to);
        Ok(())
    })?;
    Ok(copies)
}

/// What is the same for all tasks.
struct Bands<'a, T: Factor> {
    cpu: &'a Cpu,
    level: T::Level,
    geometry: &'a Geometry,
    frame: &'a Frame,
    windows: &'a Windows,
    cut: Cut,
    x: &'a [T],
    /// The frames of all images, where they were copied before.
    copies: Option<&'a [f32]>,
    gy: &'a [T],
}

impl<T: Factor> Bands<'_, T> {
    /// The sums of some outputs over rows of output pixels, numbered through all images.
    fn sum(&self, rows: Range<usize>, channels: Range<usize>, sums: &mut [f32]) -> Result<()> {
        let windows = self.windows;
        let pixels = windows.out[1];
        let mut frames = Vec::new();
        let copied = match self.frame.is_image() || self.copies.is_some() {
            true => 0,
            false => {
                let band = self.cut.band.min(rows.len());
                let images = band.div_ceil(windows.out[0]) + 1;
                let height = band * windows.down + images * windows.height;
                height * self.frame.row()
            }
        };
        let mut copies = self.cpu.workspace::<f32>(copied)?;
        let packs = T::IN_WORD > 1 || windows.taps() >= PACKING_TAPS;
        let panel = self.cpu.level.panel();
        let width = channels.len().next_multiple_of(panel);
        let packed = if packs { self.cut.band.min(rows.len()) * pixels * width } else { 0 };
        let mut packed = self.cpu.workspace::<f32>(packed)?;
        for start in rows.clone().step_by(self.cut.band) {
            let band = start..(start + self.cut.band).min(rows.end);
            self.find_windows(band.clone(), copies.as_mut_slice(), &mut frames);
            let (width, pitch) = (self.geometry.out[1], self.geometry.y_pitch);
            let data = &self.gy[start * width * pitch + channels.start..];
            let gy = match packs {
                true => {
                    let (size, channels) = ([band.len(), width], channels.len());
                    let rows = Rows { data, pitch, size, channels };
                    T::pack_gradients(self.level, rows, panel, packed.as_mut_slice())
                }
                false => Gradients {
                    data: T::words(data)?,
                    order: Order::Panels { pitch, step: panel },
                    channels: channels.len(),
                },
            };
            let band = match self.copies {
                Some(copies) => copies,
                None if self.frame.is_image() => T::words(self.x)?,
                None => copies.as_slice(),
            };
            let (rows, begins) = (&frames[..], start == rows.start);
            let sums = &mut *sums;
            T::weight_grad(
                self.level,
                WeightGrad { windows, band, rows, pixels, gy, sums, begins },
            )?;
        }
        Ok(())
    }

    /// Where the first window of each row lies: in the images, or in copies of their rows.
    fn find_windows(&self, rows: Range<usize>, copies: &mut [f32], starts: &mut Vec<usize>) {
        let (frame, windows) = (self.frame, self.windows);
        let [height, _] = windows.out;
        starts.clear();
        let mut used = 0;
        let mut row = rows.start;
        while row < rows.end {
            let (image, first) = (row / height, row % height);
            let count = (height - first).min(rows.end - row);
            let start = if self.copies.is_some() {
                image * frame.rows() * frame.row() + first * windows.row_step
            } else if frame.is_image() {
                image * frame.image_len() + first * windows.row_step
            } else {
                let len = windows.band_rows(count) * frame.row();
                let to = &mut copies[used..used + len];
                let (image, shift) = (image * frame.image_len(), self.geometry.params.stride[1]);
                let first = first * windows.down;
                T::copy_pixels(self.level, frame, &self.x[image..], first, shift, to);
                used += len;
                used - len
            };
            starts.extend((0..count).map(|i| start + i * windows.row_step));
            row += count;
        }
    }
}
