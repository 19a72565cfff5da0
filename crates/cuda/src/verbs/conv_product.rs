//! Convolutions whose kernel is one pixel as products of matrices by cuBLASLt. It cuts the long sums of a weight gradient
//! into parts, and joins them in f32.

use ferrotape_backend::check::ConvShapes;
use ferrotape_backend::{Conv2d, Result};

use crate::Cuda;
use crate::library::{Matrix, Product};
use crate::memory::Operand;
use crate::verbs::conv_dnn::Images;
use crate::verbs::gemm;
use crate::verbs::ways::Taken;

/// Whether each output pixel is of one input pixel, and the other way round.
pub(super) fn is_product(shapes: &ConvShapes, params: &Conv2d) -> bool {
    shapes.w[2..] == [1, 1]
        && params.stride == [1, 1]
        && params.padding == [0, 0]
        && params.groups == 1
}

/// `gw [O, C] = gy^T x` with `gy [P, O]` and `x [P, C]` over all pixels `P`; answers what became of it.
pub(super) fn weight_grad(
    cuda: &Cuda,
    [x, gy]: [Operand<'_>; 2],
    gw: Operand<'_>,
    shapes: &ConvShapes,
) -> Result<Taken> {
    let Some(lt) = cuda.machine.lt()? else { return Ok(Taken::Never) };
    let (images, grads) = (Images::read(cuda, x)?, Images::read(cuda, gy)?);
    let to = Images::place(cuda, gw)?;
    let [n, o, h, w] = shapes.y;
    let c = shapes.x[1];
    let matrix = |address, strides: [usize; 2]| Matrix {
        address,
        strides: [strides[0] as i64, strides[1] as i64, 0],
    };
    let product = Product {
        dtype: x.dtype,
        result: gw.dtype,
        batch: 1,
        sizes: [o, n * h * w, c],
        a: matrix(grads.address(), [1, o]),
        b: matrix(images.address(), [c, 1]),
        c: matrix(to.address(), [c, 1]),
        accumulate: false,
    };
    if !gemm::by_library(cuda, lt, &product)? {
        return Ok(Taken::Never);
    }
    to.store(cuda, gw)?;
    Ok(Taken::Done)
}
