//! Checks for the verbs that multiply and add: matrix products and convolutions.

use super::{nchw, of_shape, of_type_or_accumulator, operands, same_float, sizes};
use crate::{Array, Conv2d, Epilogue, Error, Result};

/// Checks the operands of [`Backend::gemm`](crate::Backend::gemm) and gives `[B, M, K, N]`.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let [a, b, c] = [[2, 3, 4], [1, 4, 5], [2, 3, 5]].map(|shape| Array::zeros(&device, DType::F32, shape));
/// // One matrix b serves both products.
/// assert_eq!(check::gemm(&a?, &b?, &c?)?, [2, 3, 4, 5]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// `DeviceMismatch`, `Overlap`, `DType`, `Shape`.
pub fn gemm(a: &Array, b: &Array, c: &Array) -> Result<[usize; 4]> {
    operands("gemm", &[a, b], &[c], || {
        let dtype = same_float(&[("a", a), ("b", b)])?;
        of_type_or_accumulator("c", c, dtype)?;
        let [batch, m, n] = sizes("c", c, "[B, M, N]")?;
        let [batch_a, m_a, k] = sizes("a", a, "[B, M, K]")?;
        let [batch_b, k_b, n_b] = sizes("b", b, "[B, K, N]")?;
        let batches_fit = [batch_a, batch_b].iter().all(|&size| size == batch || size == 1);
        if !batches_fit || m_a != m || k_b != k || n_b != n {
            return Err(Error::shape(format!(
                "a {} times b {} does not give c {}: [B, M, K] times [B, K, N] gives [B, M, N]",
                a.shape(),
                b.shape(),
                c.shape()
            )));
        }
        Ok([batch, m, k, n])
    })
}

/// The sizes of a convolution's operands.
///
/// ```
/// use ferrotape_backend::{Array, Conv2d, DType, Device, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let [x, w, y] =
///     [[1, 3, 5, 5], [8, 3, 3, 3], [1, 8, 3, 3]].map(|shape| Array::zeros(&device, DType::F32, shape));
/// let shapes = check::conv2d(&x?, &w?, None, &y?, &Conv2d::default())?;
/// assert_eq!(shapes.y, [1, 8, 3, 3]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShapes {
    /// Input `[N, C, H, W]`.
    pub x: [usize; 4],
    /// Weight `[O, C / groups, KH, KW]`.
    pub w: [usize; 4],
    /// Output `[N, O, OH, OW]`.
    pub y: [usize; 4],
}

fn shapes(
    [x_name, w_name, y_name]: [&str; 3],
    x: &Array,
    w: &Array,
    y: &Array,
    params: &Conv2d,
) -> Result<ConvShapes> {
    let x = nchw(x_name, x)?;
    let w = sizes(w_name, w, "[O, C / groups, KH, KW]")?;
    let wanted = params.output_shape(x, w)?;
    of_shape(y_name, y, &wanted)?;
    Ok(ConvShapes { x, w, y: wanted })
}

/// Checks the operands of [`Backend::conv2d`](crate::Backend::conv2d): all of one float type.
///
/// ```
/// use ferrotape_backend::{
///     Array, Conv2d, DType, Device, ErrorKind, check, reference::Reference,
/// };
///
/// let device = Device::new(Reference::new());
/// let [x, w, y] =
///     [[1, 3, 5, 5], [8, 3, 3, 3], [1, 8, 3, 3]].map(|shape| Array::zeros(&device, DType::F32, shape));
/// let (x, w, y, params) = (x?, w?, y?, Conv2d::default());
/// let bias = Array::zeros(&device, DType::F32, [8])?;
/// assert_eq!(check::conv2d(&x, &w, Some(&bias), &y, &params)?.w, [8, 3, 3, 3]);
/// let same = Conv2d { padding: [1, 1], ..params };
/// assert_eq!(check::conv2d(&x, &w, None, &y, &same).unwrap_err().kind(), ErrorKind::Shape);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// `DeviceMismatch`, `Overlap`, `DType`, `Shape`; `Argument` for a stride, dilation, kernel or
/// number of groups of 0.
pub fn conv2d(
    x: &Array,
    w: &Array,
    bias: Option<&Array>,
    y: &Array,
    params: &Conv2d,
) -> Result<ConvShapes> {
    let inputs: &[&Array] = match &bias {
        Some(bias) => &[x, w, bias],
        None => &[x, w],
    };
    operands("conv2d", inputs, &[y], || {
        let dtype = same_float(&[("x", x), ("w", w), ("y", y)])?;
        let shapes = shapes(["x", "w", "y"], x, w, y, params)?;
        if let Some(bias) = bias {
            super::of_type("bias", bias, dtype)?;
            of_shape("bias", bias, &shapes.w[..1])?;
        }
        Ok(shapes)
    })
}

/// Checks the operands of [`Backend::conv2d_act`](crate::Backend::conv2d_act).
///
/// ```
/// use ferrotape_backend::{
///     Array, Conv2d, DType, Device, Epilogue, ErrorKind, check, reference::Reference,
/// };
///
/// let device = Device::new(Reference::new());
/// let [x, w, y] =
///     [[1, 3, 5, 5], [8, 3, 3, 3], [1, 8, 3, 3]].map(|shape| Array::zeros(&device, DType::F32, shape));
/// let (x, w, y, params) = (x?, w?, y?, Conv2d::default());
/// let epilogue = Epilogue { residual: Some(&x), relu: true };
/// let error = check::conv2d_act(&x, &w, None, epilogue, &y, &params).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Shape, "the residual has the input's shape");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// As [`conv2d`].
pub fn conv2d_act(
    x: &Array,
    w: &Array,
    bias: Option<&Array>,
    epilogue: Epilogue<'_>,
    y: &Array,
    params: &Conv2d,
) -> Result<ConvShapes> {
    let shapes = conv2d(x, w, bias, y, params)?;
    super::norm::residual("conv2d_act", epilogue, y)?;
    Ok(shapes)
}

/// Checks the operands of [`Backend::conv2d_input_grad`](crate::Backend::conv2d_input_grad).
///
/// ```
/// use ferrotape_backend::{Array, Conv2d, DType, Device, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let [gy, w, gx] =
///     [[1, 8, 3, 3], [8, 3, 3, 3], [1, 3, 5, 5]].map(|shape| Array::zeros(&device, DType::F32, shape));
/// assert_eq!(check::conv2d_input_grad(&gy?, &w?, &gx?, &Conv2d::default())?.x, [1, 3, 5, 5]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// As [`conv2d`].
pub fn conv2d_input_grad(gy: &Array, w: &Array, gx: &Array, params: &Conv2d) -> Result<ConvShapes> {
    operands("conv2d_input_grad", &[gy, w], &[gx], || {
        same_float(&[("gy", gy), ("w", w), ("gx", gx)])?;
        shapes(["gx", "w", "gy"], gx, w, gy, params)
    })
}

/// Checks the operands of [`Backend::conv2d_weight_grad`](crate::Backend::conv2d_weight_grad).
///
/// ```
/// use ferrotape_backend::{Array, Conv2d, DType, Device, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let [x, gy] = [[1, 3, 5, 5], [1, 8, 3, 3]].map(|shape| Array::zeros(&device, DType::BF16, shape));
/// // It may be summed in the accumulator's type.
/// let gw = Array::zeros(&device, DType::F32, [8, 3, 3, 3])?;
/// assert_eq!(check::conv2d_weight_grad(&x?, &gy?, &gw, &Conv2d::default())?.w, [8, 3, 3, 3]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// As [`conv2d`].
pub fn conv2d_weight_grad(
    x: &Array,
    gy: &Array,
    gw: &Array,
    params: &Conv2d,
) -> Result<ConvShapes> {
    operands("conv2d_weight_grad", &[x, gy], &[gw], || {
        let dtype = same_float(&[("x", x), ("gy", gy)])?;
        of_type_or_accumulator("gw", gw, dtype)?;
        shapes(["x", "gw", "gy"], x, gw, gy, params)
    })
}
