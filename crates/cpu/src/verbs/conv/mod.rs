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

use std::borrow::Cow;

use ferrotape_backend::{Array, Conv2d, DType, Element, Epilogue, Result, check};
use half::bf16;

use self::pairs::Paired;

use crate::Cpu;
use crate::kernels::conv::Geometry;
use crate::kernels::conv::ending::Ending;
use crate::kernels::simd::InMemory;
use crate::memory::{Before, Form, In, input, nothing_to_write, open, output};

/// See [`ferrotape_backend::Backend::conv2d_act`].
pub(crate) fn conv2d_act(
    cpu: &Cpu,
    [x, w]: [&Array; 2],
    bias: Option<&Array>,
    epilogue: Epilogue<'_>,
    y: &mut Array,
    params: &Conv2d,
) -> Result<()> {
    let shapes = check::conv2d_act(x, w, bias, epilogue, y, params)?;
    if nothing_to_write(&[y])? {
        return Ok(());
    }
    if groups::are_sliced(cpu, x.shape()[1], w, params) {
        groups::forward(cpu, [x, w], bias, y, params)?;
        return epilogue.apply(cpu, y);
    }
    if let Some(pairs) = Paired::new(cpu, &shapes, params, [x, y])
        && pairs.forward([x, w], bias, epilogue, y)?
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
    let added = Added::new(bias, epilogue, written)?;
    let mut is_ended = true;
    output(y, written, Form::Images, Before::Ignored, |y| {
        let geometry = &Geometry::new(&shapes, params, x.layout(), y.layout());
        let direct = direct(&x, y);
        let own = (!direct).then(|| columns::weight_matrix(&w, params.groups)).transpose()?;
        let w = own.as_ref().unwrap_or(&w);
        let [bias, residual] = added.or(w);
        open([&*x, w, bias, residual], [&*y], |[x, w, bias, residual], [y]| {
            let operands = [x, w];
            if written == DType::BF16 {
                let ending = added.ending::<bf16>([bias, residual], geometry)?;
                return forward::forward::<f32, bf16>(
                    cpu, cpu.level, geometry, operands, ending, y,
                );
            }
            if direct {
                let ending = added.ending::<f32>([bias, residual], geometry)?;
                return match winograd::takes(cpu, geometry) {
                    true => winograd::forward(cpu, geometry, operands, ending, y),
                    false => {
                        forward::forward::<f32, f32>(cpu, cpu.level, geometry, operands, ending, y)
                    }
                };
            }
            is_ended = false;
            let bias = added.bias.is_some().then_some(bias);
            match dtype {
                DType::F64 => columns::forward::<f64>(cpu, geometry, operands, bias, y),
                _ => columns::forward::<f32>(cpu, geometry, operands, bias, y),
            }
        })
    })?;
    if is_ended { Ok(()) } else { epilogue.apply(cpu, y) }
}

/// What is added to the sums of a convolution, and whether they are cut off then.
struct Added<'a> {
    bias: Option<Cow<'a, Array>>,
    residual: Option<Cow<'a, Array>>,
    relu: bool,
}

impl<'a> Added<'a> {
    /// For a result of type `written`.
    fn new(bias: Option<&'a Array>, epilogue: Epilogue<'a>, written: DType) -> Result<Self> {
        let sums = written.accumulator();
        let bias = bias.map(|bias| input(bias, sums, Form::Contiguous)).transpose()?;
        let residual =
            epilogue.residual.map(|residual| input(residual, written, Form::Images)).transpose()?;
        Ok(Added { bias, residual, relu: epilogue.relu })
    }

    /// Bias and residual, to be opened; another array in the place of one that is not there.
    fn or<'b>(&'b self, other: &'b Array) -> [&'b Array; 2] {
        [&self.bias, &self.residual].map(|array| array.as_deref().unwrap_or(other))
    }

    /// The same of what was opened, for kernels that write `T`.
    fn ending<'b, T: Element + InMemory>(
        &self,
        [bias, residual]: [In<'b>; 2],
        geometry: &Geometry,
    ) -> Result<Ending<'b, T>> {
        let bias = self.bias.is_some().then(|| bias.span()).transpose()?;
        let mut ending = Ending::new(bias).cut_off(self.relu);
        if self.residual.is_some() {
            let pitch = residual.layout.pixel_pitch().unwrap_or(geometry.outputs);
            ending = ending.plus(residual.span()?, [geometry.out[1], pitch]);
        }
        Ok(ending)
    }
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
