//! Gathering and scattering along a dimension.

use ferrotape_backend::{Array, DType, Error, Layout, Result, check};

use crate::kernels::pointwise::for_dtype;
use crate::kernels::real::Stored;
use crate::memory::{In, Out, nothing_to_write, open};

/// The positions in `table` that the elements of an index shaped `shape` would mean if all were 0,
/// and what one step along `dim` adds.
fn table_positions(table: &Layout, index: &Layout, dim: usize) -> Result<(Layout, isize)> {
    let mut view = *table;
    for (axis, &size) in index.shape().iter().enumerate() {
        view = view.narrow(axis, 0, if axis == dim { 1 } else { size })?;
    }
    Ok((view.broadcast_to(*index.shape())?, table.strides()[dim]))
}

fn chosen(value: i64, size: usize) -> Result<isize> {
    usize::try_from(value).ok().filter(|&v| v < size).map(|v| v as isize).ok_or_else(|| {
        Error::argument(format!("the index {value} is out of range for a dimension of size {size}"))
    })
}

/// An index into a dimension without elements.
fn nothing_to_choose(index: &Array, dim: usize) -> Error {
    Error::argument(format!(
        "an index of shape {} chooses from dimension {dim}, which is empty",
        index.shape()
    ))
}

/// See [`ferrotape_backend::Backend::gather`].
pub(crate) fn gather(src: &Array, dim: usize, index: &Array, dst: &mut Array) -> Result<()> {
    check::gather(src, dim, index, dst)?;
    if nothing_to_write(&[dst])? {
        return Ok(());
    }
    if src.shape()[dim] == 0 {
        return Err(nothing_to_choose(index, dim));
    }
    open(
        [src, index],
        [&*dst],
        |[src, index], [dst]| for_dtype!(src.dtype, T => gather_elements::<T>(src, dim, index, dst)),
    )
}

/// The places along `dim` of a table, as steps in memory, if the index is the same list at every place of the other
/// dimensions and neighbours along `dim` are neighbours in memory, as the channels of images are: then the list is
/// read once, and all of it is done at one place after the other.
fn list(table: &Layout, index: &In<'_>, dim: usize) -> Result<Option<Vec<isize>>> {
    let own = index.layout;
    // A table that is larger than the index in another dimension has places that are none of the index's.
    let is_list = (0..own.shape().rank()).filter(|&axis| axis != dim).all(|axis| {
        let same = own.strides()[axis] == 0 || own.shape()[axis] == 1;
        same && own.shape()[axis] == table.shape()[axis]
    });
    if !is_list || table.strides()[dim] != 1 || own.shape().numel() == 0 {
        return Ok(None);
    }
    let mut line = *own;
    for axis in (0..own.shape().rank()).filter(|&axis| axis != dim) {
        line = line.narrow(axis, 0, 1)?;
    }
    let (indices, size) = (index.buffer::<i64>()?, table.shape()[dim]);
    line.positions().map(|at| chosen(indices[at], size)).collect::<Result<Vec<_>>>().map(Some)
}

fn gather_elements<T: Stored>(
    src: In<'_>,
    dim: usize,
    index: In<'_>,
    mut dst: Out<'_>,
) -> Result<()> {
    if let Some(steps) = list(src.layout, &index, dim)? {
        let places = src.layout.narrow(dim, 0, 1)?;
        let (targets, next) = (dst.layout.narrow(dim, 0, 1)?, dst.layout.strides()[dim]);
        let (src, dst) = (src.buffer::<T>()?, dst.buffer::<T>()?);
        for (from, mut to) in places.positions().zip(targets.positions()) {
            for &step in &steps {
                dst[to] = src[from.wrapping_add_signed(step)];
                to = to.wrapping_add_signed(next);
            }
        }
        return Ok(());
    }
    let (view, stride) = table_positions(src.layout, index.layout, dim)?;
    let size = src.layout.shape()[dim];
    let targets = dst.layout.positions();
    let (src, indices, dst) = (src.buffer::<T>()?, index.buffer::<i64>()?, dst.buffer::<T>()?);
    for ((from, at), to) in view.positions().zip(index.layout.positions()).zip(targets) {
        let step = chosen(indices[at], size)? * stride;
        dst[to] = src[from.wrapping_add_signed(step)];
    }
    Ok(())
}

/// See [`ferrotape_backend::Backend::scatter_add`].
pub(crate) fn scatter_add(src: &Array, dim: usize, index: &Array, dst: &mut Array) -> Result<()> {
    check::scatter_add(src, dim, index, dst)?;
    if index.shape().numel() == 0 {
        return open([src, index], [&*dst], |_, _| Ok(()));
    }
    if dst.shape()[dim] == 0 {
        return Err(nothing_to_choose(index, dim));
    }
    // 16-bit floats are added up in f32 and rounded once.
    let dtype = dst.dtype().accumulator();
    let add = |dst: &mut Array, src: &Array| {
        open([src, index], [&*dst], |[src, index], [dst]| match dtype {
            DType::F64 => scatter_elements::<f64>(src, dim, index, dst),
            _ => scatter_elements::<f32>(src, dim, index, dst),
        })
    };
    if dst.dtype() == dtype {
        return add(dst, src);
    }
    let mut sums = dst.cast(dtype)?;
    add(&mut sums, &src.cast(dtype)?)?;
    sums.device().backend().copy(&sums, dst)
}

fn scatter_elements<T: Stored + std::ops::AddAssign>(
    src: In<'_>,
    dim: usize,
    index: In<'_>,
    mut dst: Out<'_>,
) -> Result<()> {
    if let Some(steps) = list(dst.layout, &index, dim)? {
        let places = dst.layout.narrow(dim, 0, 1)?;
        let (sources, next) = (src.layout.narrow(dim, 0, 1)?, src.layout.strides()[dim]);
        let (src, dst) = (src.buffer::<T>()?, dst.buffer::<T>()?);
        for (to, mut from) in places.positions().zip(sources.positions()) {
            for &step in &steps {
                dst[to.wrapping_add_signed(step)] += src[from];
                from = from.wrapping_add_signed(next);
            }
        }
        return Ok(());
    }
    let (view, stride) = table_positions(dst.layout, index.layout, dim)?;
    let size = dst.layout.shape()[dim];
    let sources = src.layout.positions();
    let (src, indices, dst) = (src.buffer::<T>()?, index.buffer::<i64>()?, dst.buffer::<T>()?);
    for ((to, at), from) in view.positions().zip(index.layout.positions()).zip(sources) {
        let step = chosen(indices[at], size)? * stride;
        dst[to.wrapping_add_signed(step)] += src[from];
    }
    Ok(())
}
