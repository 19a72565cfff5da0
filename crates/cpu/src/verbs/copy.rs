//! Moving elements: copies between layouts and data types, to and from the host, and filling.

use std::sync::OnceLock;

use ferrotape_backend::pointwise::{Expr, Program};
use ferrotape_backend::{Array, DType, Element, Result, check};

use crate::Cpu;
use crate::kernels::pointwise::for_dtype;
use crate::kernels::split::{Chunks, for_each_part};
use crate::memory::{In, Out, nothing_to_write, open};
use crate::verbs::pointwise;
use crate::walk::{Pattern, Walk};

/// Bytes that a task moves.
const TASK_BYTES: usize = 1 << 18;

/// See [`ferrotape_backend::Backend::upload`].
pub(crate) fn upload(src: &[u8], dst: &mut Array) -> Result<()> {
    check::upload(src, dst)?;
    open([], [&*dst], |[], [mut dst]| {
        for_dtype!(dst.dtype, T => bytemuck::cast_slice_mut::<T, u8>(dst.span()?))
            .copy_from_slice(src);
        Ok(())
    })
}

/// See [`ferrotape_backend::Backend::download`].
pub(crate) fn download(src: &Array, dst: &mut [u8]) -> Result<()> {
    check::download(src, dst)?;
    open([src], [], |[src], []| {
        dst.copy_from_slice(for_dtype!(src.dtype, T => bytemuck::cast_slice::<T, u8>(src.span()?)));
        Ok(())
    })
}

/// See [`ferrotape_backend::Backend::fill`].
pub(crate) fn fill(cpu: &Cpu, dst: &mut Array, value: f64) -> Result<()> {
    check::fill(dst)?;
    if nothing_to_write(&[dst])? {
        return Ok(());
    }
    let walk = Walk::new(dst.shape(), &[*dst.layout()]);
    open([], [&*dst], |[], [mut dst]| {
        for_dtype!(dst.dtype, T => {
            let value = T::from_f64(value);
            if walk.is_dense(0) {
                let parts = Chunks::new(dst.span::<T>()?, TASK_BYTES / size_of::<T>());
                for_each_part(cpu.team_for(walk.len()), &parts, |_, part| {
                    part.fill(value);
                    Ok(())
                })
            } else {
                let data = dst.buffer::<T>()?;
                for run in walk.pattern(0).runs(0, walk.len()) {
                    (0..run.len).for_each(|j| data[run.position_of(j)] = value);
                }
                Ok(())
            }
        })
    })
}

/// See [`ferrotape_backend::Backend::copy`].
pub(crate) fn copy(cpu: &Cpu, src: &Array, dst: &mut Array) -> Result<()> {
    check::copy(src, dst)?;
    if nothing_to_write(&[dst])? {
        return Ok(());
    }
    if src.dtype() != dst.dtype() {
        return convert(cpu, src, dst);
    }
    let walk = Walk::new(dst.shape(), &[*dst.layout(), *src.layout()]);
    open(
        [src],
        [&*dst],
        |[src], [dst]| for_dtype!(dst.dtype, T => move_elements::<T>(cpu, &walk, src, dst)),
    )
}

fn move_elements<T: Element>(cpu: &Cpu, walk: &Walk, src: In<'_>, mut dst: Out<'_>) -> Result<()> {
    let src = src.buffer::<T>()?;
    let from = walk.pattern(1);
    let chunk = TASK_BYTES / size_of::<T>();
    if !walk.is_dense(0) {
        let patterns = [&walk.pattern(0), &from];
        let Some(rows) = walk.rows() else {
            scatter(patterns, [0, walk.len()], src, dst.buffer::<T>()?, 0);
            return Ok(());
        };
        let each = (chunk / rows.len.max(1)).max(1);
        let parts = Chunks::new(dst.span::<T>()?, each * rows.step);
        return for_each_part(cpu.team_for(walk.len()), &parts, |index, part| {
            let first = index * each;
            let count = each.min(rows.count - first);
            let begin = rows.start + first * rows.step;
            scatter(patterns, [first * rows.len, count * rows.len], src, part, begin);
            Ok(())
        });
    }
    let parts = Chunks::new(dst.span::<T>()?, chunk);
    for_each_part(cpu.team_for(walk.len()), &parts, |index, part| {
        for run in from.runs(index * chunk, part.len()) {
            let part = &mut part[run.at..run.at + run.len];
            match run.stride {
                0 => part.fill(src[run.position]),
                1 => part.copy_from_slice(&src[run.position..run.position + run.len]),
                _ => {
                    for (j, to) in part.iter_mut().enumerate() {
                        *to = src[run.position_of(j)];
                    }
                }
            }
        }
        Ok(())
    })
}

/// Copies so many elements of a walk, from one of them on, to a destination with gaps, of which `dst` is what lies
/// from position `begin` on.
fn scatter<T: Element>(
    [to, from]: [&Pattern; 2],
    [start, len]: [usize; 2],
    src: &[T],
    dst: &mut [T],
    begin: usize,
) {
    for to in to.runs(start, len) {
        for run in from.runs(start + to.at, to.len) {
            let at = |index: usize| to.position_of(run.at + index) - begin;
            if run.stride == 1 && to.stride == 1 {
                let from = &src[run.position..run.position + run.len];
                dst[at(0)..][..run.len].copy_from_slice(from);
            } else {
                (0..run.len).for_each(|j| dst[at(j)] = src[run.position_of(j)]);
            }
        }
    }
}

/// Copies between data types: the program that gives its input, where all elements of both types
/// are exact in what it computes in.
fn convert(cpu: &Cpu, src: &Array, dst: &mut Array) -> Result<()> {
    static IDENTITY: OnceLock<Program> = OnceLock::new();
    let identity = IDENTITY.get_or_init(|| Program::new(&[Expr::input(0)]));
    let wide = |dtype| matches!(dtype, DType::F64 | DType::I64);
    match wide(src.dtype()) || wide(dst.dtype()) {
        true => pointwise::run::<f64>(cpu, identity, &[], &[src], &mut [dst]),
        false => pointwise::run::<f32>(cpu, identity, &[], &[src], &mut [dst]),
    }
}
