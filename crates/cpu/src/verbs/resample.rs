//! Resampling of channels-last images by a sparse matrix along each axis.

use ferrotape_backend::check::ResampleShapes;
use ferrotape_backend::{Array, DType, Result, Taps, check};

use crate::Cpu;
use crate::kernels::real::Real;
use crate::kernels::resample::{Matrix, ResampleRow};
use crate::kernels::split::{Chunks, for_each_part};
use crate::memory::{Before, Form, In, Out, input, nothing_to_write, open, output};

/// Elements of a task.
const TASK_ELEMENTS: usize = 1 << 15;

/// See [`ferrotape_backend::Backend::resample2d`].
pub(crate) fn resample2d(
    cpu: &Cpu,
    x: &Array,
    rows: &Taps,
    columns: &Taps,
    y: &mut Array,
) -> Result<()> {
    let shapes = check::resample2d(x, rows, columns, y)?;
    if nothing_to_write(&[y])? {
        return Ok(());
    }
    if rows.is_identity() && columns.is_identity() {
        return super::copy::copy(cpu, x, y);
    }
    let dtype = x.dtype().accumulator();
    let x = input(x, dtype, Form::Images)?;
    output(y, dtype, Form::Images, Before::Ignored, |y| {
        open([&*x], [&*y], |[x], [y]| match dtype {
            DType::F64 => separable::<f64>(cpu, x, y, shapes, [rows, columns]),
            _ => separable::<f32>(cpu, x, y, shapes, [rows, columns]),
        })
    })
}

fn separable<R: Real>(
    cpu: &Cpu,
    x: In<'_>,
    mut y: Out<'_>,
    shapes: ResampleShapes,
    [rows, columns]: [&Taps; 2],
) -> Result<()> {
    let [n, c, h, w] = shapes.x;
    let [_, _, oh, ow] = shapes.y;
    let (down, across) = (Matrix::<R>::new(rows), Matrix::<R>::new(columns));
    let pitch = |layout: &ferrotape_backend::Layout| layout.pixel_pitch().unwrap_or(c);
    let (from, to) = (pitch(x.layout), pitch(y.layout));
    let (x, y) = (x.span::<R>()?, y.span::<R>()?);
    let cost = |first: usize, second: usize| first.saturating_add(second).saturating_mul(n * c);
    let rows_first = cost(rows.count() * w, oh * columns.count());
    let columns_first = cost(h * columns.count(), rows.count() * ow);
    if rows_first <= columns_first || down.identity || across.identity {
        let pass = Pass { sizes: [h, w, oh, ow], c, pitches: [from, to], cost: rows_first };
        return pass.run(cpu, x, y, [&down, &across]);
    }
    let (keep_rows, keep_columns) = (Taps::identity(h)?, Taps::identity(ow)?);
    let (keep_rows, keep_columns) = (Matrix::new(&keep_rows), Matrix::new(&keep_columns));
    let mut between = cpu.workspace::<R>((n * h * ow).saturating_mul(c))?;
    let between = between.as_mut_slice();
    let pass = Pass { sizes: [h, w, h, ow], c, pitches: [from, c], cost: columns_first };
    pass.run(cpu, x, between, [&keep_rows, &across])?;
    let pass = Pass { sizes: [h, ow, oh, ow], c, pitches: [c, to], cost: columns_first };
    pass.run(cpu, between, y, [&down, &keep_columns])
}

/// A pass over images that follow each other without gaps between rows.
struct Pass {
    /// Heights and widths of input and output.
    sizes: [usize; 4],
    c: usize,
    /// Pixel pitches of input and output.
    pitches: [usize; 2],
    cost: usize,
}

impl Pass {
    fn run<R: Real>(
        &self,
        cpu: &Cpu,
        x: &[R],
        y: &mut [R],
        [rows, columns]: [&Matrix<R>; 2],
    ) -> Result<()> {
        let ([h, w, oh, ow], pitches, channels) = (self.sizes, self.pitches, self.c);
        let lines = (TASK_ELEMENTS / (ow * channels).max(1)).max(1);
        let chunks = Chunks::new(y, lines * ow * pitches[1]);
        for_each_part(cpu.team_for(self.cost), &chunks, |task, y| {
            let mut line = cpu.workspace::<R>(w * channels)?;
            for (i, y) in y.chunks_mut(ow * pitches[1]).enumerate() {
                let (at, line) = (task * lines + i, line.as_mut_slice());
                let image = x.get(at / oh * h * w * pitches[0]..).unwrap_or(&[]);
                let (width, row) = (w, at % oh);
                let kernel =
                    ResampleRow { image, width, channels, pitches, row, rows, columns, y, line };
                cpu.level.run(kernel);
            }
            Ok(())
        })
    }
}
