//! Convolution and its gradients.

mod columns;
mod cut;
pub(super) mod forward;
mod groups;
mod input_grad;
mod pairs;
mod pixels;
mod weight_grad;
mod winograd;

use ferrotape_backend::{Array, Conv2d, DType, Result, check};
use half::bf16;

use self::pairs::Paired;

use crate::Cpu;
use crate::kernels::conv::Geometry;
use crate::memory::{Before, Form, input, nothing_to_write, open, output};

/// See [`ferrotape_backend::Backend::conv2d`].
pub(crate) fn conv2d(
    cpu: &Cpu,
    x: &Array,
    w: &Array,
    bias: Option<&Array>,
    y: &mut Array,
    params: &Conv2d,
) -> Result<()> {
    let shapes = check::conv2d(x, w, bias, y, params)?;
    if nothing_to_write(&[y])? {
        return Ok(());
    }
    if groups::are_sliced(cpu, x.shape()[1], w, params) {
        return groups::forward(cpu, [x, w], bias, y, params);
    }
    if let Some(pairs) = Paired::new(cpu, &shapes, params, [x, y])
        && pairs.forward([x, w], bias, y)?
    {
        return Ok(());
    }
    let dtype = x.dtype().accumulator();
    let direct = |x: &Array, y: &Array| {
        let geometry = Geometry::new(&shapes, params, x.layout(), y.layout());
        dtype == DType::F32 && forward::takes(cpu, &geometry)
    };
    let written = if direct(x, y) && y.dtype() == DType::BF16 { DType::BF16 } else { dtype };
    let x = input(x, dtype, Form::Images)?;
    let w = input(w, dtype, Form::Contiguous)?;
    let has_bias = bias.is_some();
    let bias = input(bias.unwrap_or(&w), dtype, Form::Contiguous)?;
    output(y, written, Form::Images, Before::Ignored, |y| {
        let geometry = Geometry::new(&shapes, params, x.layout(), y.layout());
        let direct = direct(&x, y);
        let own = (!direct).then(|| columns::weight_matrix(&w, params.groups)).transpose()?;
        let w = own.as_ref().unwrap_or(&w);
        open([&*x, w, &*bias], [&*y], |[x, w, bias], [y]| {
            let (bias, level) = (has_bias.then_some(bias), cpu.level);
            match written {
                DType::F64 => columns::forward::<f64>(cpu, &geometry, [x, w], bias, y),
                DType::BF16 => {
                    forward::forward::<f32, bf16>(cpu, level, &geometry, [x, w], bias, y)
                }
                _ if winograd::takes(cpu, &geometry) => {
                    winograd::forward(cpu, &geometry, [x, w], bias, y)
                }
                _ if direct => forward::forward::<f32, f32>(cpu, level, &geometry, [x, w], bias, y),
                _ => columns::forward::<f32>(cpu, &geometry, [x, w], bias, y),
            }
        })
    })
}

/// See [`ferrotape_backend::Backend::conv2d_input_grad`].
pub(crate) fn conv2d_input_grad(
    cpu: &Cpu,
    gy: &Array,
    w: &Array,
    gx: &mut Array,
    params: &Conv2d,
) -> Result<()> {
    let shapes = check::conv2d_input_grad(gy, w, gx, params)?;
    if nothing_to_write(&[gx])? {
        return Ok(());
    }
    if groups::are_sliced(cpu, gx.shape()[1], w, params) {
        return groups::input_grad(cpu, [gy, w], gx, params);
    }
    if let Some(pairs) = Paired::new(cpu, &shapes, params, [gx, gy])
        && pairs.input_grad([gy, w], gx)?
    {
        return Ok(());
    }
    let dtype = gy.dtype().accumulator();
    let gy = input(gy, dtype, Form::Images)?;
    let w = input(w, dtype, Form::Contiguous)?;
    output(gx, dtype, Form::Images, Before::Ignored, |gx| {
        let geometry = Geometry::new(&shapes, params, gx.layout(), gy.layout());
        let direct = dtype == DType::F32 && input_grad::takes(cpu, &geometry);
        let own = (!direct).then(|| columns::weight_matrix(&w, params.groups)).transpose()?;
        let w = own.as_ref().unwrap_or(&w);
        open([&*gy, w], [&*gx], |[gy, w], [gx]| match dtype {
            DType::F64 => columns::input_grad::<f64>(cpu, &geometry, [gy, w], gx),
            _ if winograd::takes(cpu, &geometry) => {
                winograd::input_grad(cpu, &geometry, [gy, w], gx)
            }
            _ if direct => input_grad::input_grad(cpu, &geometry, [gy, w], gx),
            _ => columns::input_grad::<f32>(cpu, &geometry, [gy, w], gx),
        })
    })
}

/// See [`ferrotape_backend::Backend::conv2d_weight_grad`].
pub(crate) fn conv2d_weight_grad(
    cpu: &Cpu,
    x: &Array,
    gy: &Array,
    gw: &mut Array,
    params: &Conv2d,
) -> Result<()> {
    let shapes = check::conv2d_weight_grad(x, gy, gw, params)?;
    if nothing_to_write(&[gw])? {
        return Ok(());
    }
    if groups::are_sliced(cpu, x.shape()[1], gw, params) {
        return groups::weight_grad(cpu, [x, gy], gw, params);
    }
    if let Some(pairs) = Paired::new(cpu, &shapes, params, [x, gy]) {
        return pairs.weight_grad([x, gy], gw);
    }
    let dtype = x.dtype().accumulator();
    let (x, gy) = (input(x, dtype, Form::Images)?, input(gy, dtype, Form::Images)?);
    let geometry = Geometry::new(&shapes, params, x.layout(), gy.layout());
    if dtype == DType::F32 && forward::takes(cpu, &geometry) {
        return output(gw, dtype, Form::Contiguous, Before::Ignored, |gw| {
            open([&*x, &*gy], [&*gw], |[x, gy], [gw]| {
                if winograd::takes(cpu, &geometry) {
                    return winograd::weight_grad(cpu, &geometry, [x, gy], gw);
                }
                if pixels::takes(&geometry) {
                    return pixels::weight_grad::<f32>(cpu, cpu.level, &geometry, [x, gy], gw);
                }
                weight_grad::weight_grad::<f32>(cpu, cpu.level, &geometry, [x, gy], gw)
            })
        });
    }
    // The gradient in the order of the kernels, then copied to where and how it is wanted.
    let matrix = columns::empty_weight_matrix(gw, dtype, params.groups)?;
    open([&*x, &*gy], [&matrix], |[x, gy], [gw]| match dtype {
        DType::F64 => columns::weight_grad::<f64>(cpu, &geometry, [x, gy], gw),
        _ => columns::weight_grad::<f32>(cpu, &geometry, [x, gy], gw),
    })?;
    columns::store_weight_matrix(&matrix, gw)
}
