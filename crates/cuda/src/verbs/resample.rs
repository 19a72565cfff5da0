//! Resampling by a sparse matrix along each axis.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ferrotape_backend::{Array, Result, Taps, check};

use crate::Cuda;
use crate::args::Args;
use crate::cuda::linear;
use crate::images::channels_fastest;
use crate::kernel::{Kernel, Source};
use crate::pool::Block;
use crate::verbs::copy;

const RESAMPLE: Source =
    Source { name: "resample", text: include_str!("../../kernels/resample.cu") };

/// Matrices that are kept on the device; a network uses a few, at every step.
const KEPT: usize = 128;

/// A matrix on the device: starts, columns and weights, eight bytes each.
struct Matrix {
    block: Block,
    rows: usize,
    entries: usize,
}

impl Matrix {
    fn add_to(&self, args: Args) -> Args {
        let starts = self.block.address();
        let columns = starts + 8 * (self.rows as u64 + 1);
        args.pointer(starts).pointer(columns).pointer(columns + 8 * self.entries as u64)
    }
}

/// Matrices that were used before, by their words.
#[derive(Default)]
pub(crate) struct Matrices {
    kept: Mutex<HashMap<Vec<u64>, Arc<Matrix>>>,
}

impl Matrices {
    fn of(&self, cuda: &Cuda, taps: &Taps) -> Result<Arc<Matrix>> {
        let rows = taps.outputs();
        let (mut starts, mut columns, mut weights) = (vec![0u64], Vec::new(), Vec::new());
        for row in 0..rows {
            for (column, weight) in taps.row(row) {
                columns.push(column as u64);
                weights.push(weight.to_bits());
            }
            starts.push(columns.len() as u64);
        }
        let entries = columns.len();
        let words = [starts, columns, weights].concat();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(matrix) = kept.get(&words) {
            return Ok(Arc::clone(matrix));
        }
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let block = cuda.pool.keep(bytes.len())?;
        let address = block.address();
        cuda.queue.after(|| cuda.machine.upload(&bytes, address))?;
        let matrix = Arc::new(Matrix { block, rows, entries });
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(words, Arc::clone(&matrix));
        Ok(matrix)
    }
}

/// See [`ferrotape_backend::Backend::resample2d`].
pub(crate) fn resample2d(
    cuda: &Cuda,
    x: &Array,
    rows: &Taps,
    columns: &Taps,
    y: &Array,
) -> Result<()> {
    let shapes = check::resample2d(x, rows, columns, y)?;
    if rows.is_identity() && columns.is_identity() {
        return copy::copy(cuda, x, y);
    }
    cuda.open([x], [y], |[x], [y]| {
        let [n, c, oh, ow] = shapes.y;
        let count = n * c * oh * ow;
        if count == 0 {
            return Ok(());
        }
        let down = cuda.matrices.of(cuda, rows)?;
        let across = cuda.matrices.of(cuda, columns)?;
        let args = Args::new().pointer(x.address).pointer(y.address);
        let args = across
            .add_to(down.add_to(args))
            .size(count)
            .size(c)
            .size(oh)
            .size(ow)
            .longs(x.strides::<4>())
            .longs(y.strides::<4>())
            .int(i32::from(channels_fastest(y)));
        let kernel = Kernel::new(RESAMPLE, "resample2d").with_type("T", x.dtype);
        cuda.launch(&kernel.with_type("A", x.dtype.accumulator()), linear(count), args)
    })
}
