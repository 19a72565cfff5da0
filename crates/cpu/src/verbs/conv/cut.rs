//! How the work of a convolution is cut into tasks: by its sizes alone.

use crate::Cpu;
use crate::kernels::conv::windows::{Frame, Windows};

/// Multiply-adds of a task, about: some tens of microseconds.
const TASK_PRODUCTS: usize = 1 << 22;

/// Floats of packed weights that stay in a core's cache while pixels pass by: 1 MiB.
const RESIDENT_WEIGHTS: usize = 1 << 18;

/// Floats of input that stay in a core's cache while panels pass by: 256 KiB.
const RESIDENT_PIXELS: usize = 1 << 16;

/// Outputs of a task, as many whole panels as stay in a cache.
pub(super) fn channels_of_task(cpu: &Cpu, taps: usize, outputs: usize) -> usize {
    let panel = cpu.level.panel();
    let panels = (RESIDENT_WEIGHTS / (taps * panel).max(1)).max(1);
    match outputs.div_ceil(panel) <= panels {
        true => outputs,
        // Parts of equal length, as far as panels allow.
        false => {
            let parts = outputs.div_ceil(panels * panel);
            outputs.div_ceil(panel).div_ceil(parts) * panel
        }
    }
}

/// Output rows of a task, where a row is `products` multiply-adds.
pub(super) fn rows_of_task(windows: &Windows, products: usize) -> usize {
    let enough = TASK_PRODUCTS.div_ceil(products.max(1));
    let row = windows.row_step.max(1);
    let resident = (RESIDENT_PIXELS / row).max(1);
    // A task of few rows copies many that its neighbours copy too.
    enough
        .min(resident.max(windows.height.div_ceil(windows.down.max(1))))
        .clamp(1, windows.out[0].max(1))
}

/// Output pixels of a task, where a pixel is `products` multiply-adds and pixels are in a row: a multiple of `whole`.
pub(super) fn pixels_of_task(frame: &Frame, products: usize, whole: usize) -> usize {
    let enough = TASK_PRODUCTS.div_ceil(products.max(1));
    let resident = RESIDENT_PIXELS / frame.pitch().max(1);
    enough.min(resident).next_multiple_of(whole)
}
