//! Checks for the verbs of normalisation and classification.

use super::{has_dim, nchw, of_shape, of_type, operands, same_float, sizes};
use crate::{Array, BatchNormGrads, CrossEntropy, DType, Epilogue, Error, Result};

/// Parameters and statistics are `[C]` and of the accumulator type.
fn per_channel(list: &[(&str, &Array)], channels: usize, dtype: DType) -> Result<()> {
    for (name, array) in list {
        of_type(name, array, dtype.accumulator())?;
        of_shape(name, array, &[channels])?;
    }
    Ok(())
}

fn not_negative(eps: f64) -> Result<()> {
    if eps >= 0.0 {
        return Ok(());
    }
    Err(Error::argument(format!("eps is {eps}, it must be 0 or more")))
}

/// Checks the operands of [`Backend::channel_moments`](crate::Backend::channel_moments) and gives
/// `[N, C, H, W]`.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let x = Array::zeros(&device, DType::BF16, [2, 3, 4, 4])?;
/// let [mean, var] = [(); 2].map(|()| Array::zeros(&device, DType::F32, [3]));
/// assert_eq!(check::channel_moments(&x, &mean?, &var?)?, [2, 3, 4, 4]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// `DeviceMismatch`, `Overlap`, `DType`; `Shape`, also for channels without elements.
pub fn channel_moments(x: &Array, mean: &Array, var: &Array) -> Result<[usize; 4]> {
    operands("channel_moments", &[x], &[mean, var], || {
        let dtype = same_float(&[("x", x)])?;
        let sizes = nchw("x", x)?;
        let [n, c, h, w] = sizes;
        per_channel(&[("mean", mean), ("var", var)], c, dtype)?;
        if c > 0 && n * h * w == 0 {
            return Err(Error::shape("a channel without elements has no mean"));
        }
        Ok(sizes)
    })
}

/// Checks the operands of [`Backend::batch_norm`](crate::Backend::batch_norm) and gives
/// `[N, C, H, W]`.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, ErrorKind, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let [x, y] = [(); 2].map(|()| Array::zeros(&device, DType::F32, [2, 3, 4, 4]));
/// let [mean, var] = [(); 2].map(|()| Array::zeros(&device, DType::F32, [3]));
/// let (x, y, mean, var) = (x?, y?, mean?, var?);
/// assert_eq!(check::batch_norm(&x, [&mean, &var], None, 1e-5, &y)?, [2, 3, 4, 4]);
/// let error = check::batch_norm(&x, [&mean, &var], None, -1.0, &y).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Argument);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// `DeviceMismatch`, `Overlap`, `DType`, `Shape`; `Argument` for a negative `eps`.
pub fn batch_norm(
    x: &Array,
    stats: [&Array; 2],
    affine: Option<[&Array; 2]>,
    eps: f64,
    y: &Array,
) -> Result<[usize; 4]> {
    let mut inputs = vec![x, stats[0], stats[1]];
    inputs.extend(affine.into_iter().flatten());
    operands("batch_norm", &inputs, &[y], || {
        let dtype = same_float(&[("x", x), ("y", y)])?;
        let sizes = nchw("x", x)?;
        of_shape("y", y, &sizes)?;
        per_channel(&[("mean", stats[0]), ("var", stats[1])], sizes[1], dtype)?;
        if let Some([weight, bias]) = affine {
            per_channel(&[("weight", weight), ("bias", bias)], sizes[1], dtype)?;
        }
        not_negative(eps)?;
        Ok(sizes)
    })
}

/// Checks the operands of [`Backend::batch_norm_grad`](crate::Backend::batch_norm_grad) and gives
/// `[N, C, H, W]`.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let [gy, x, gx] = [(); 3].map(|()| Array::zeros(&device, DType::F32, [2, 3, 4, 4]));
/// let [mean, var, gw, gb] = [(); 4].map(|()| Array::zeros(&device, DType::F32, [3]));
/// let stats = [&mean?, &var?];
/// let sizes = check::batch_norm_grad(&gy?, &x?, stats, None, 1e-5, &gx?, &gw?, &gb?)?;
/// assert_eq!(sizes, [2, 3, 4, 4]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// As [`batch_norm`].
#[allow(clippy::too_many_arguments)]
pub fn batch_norm_grad(
    gy: &Array,
    x: &Array,
    stats: [&Array; 2],
    weight: Option<&Array>,
    eps: f64,
    gx: &Array,
    gw: &Array,
    gb: &Array,
) -> Result<[usize; 4]> {
    let mut inputs = vec![gy, x, stats[0], stats[1]];
    inputs.extend(weight);
    operands("batch_norm_grad", &inputs, &[gx, gw, gb], || {
        let dtype = same_float(&[("x", x), ("gy", gy), ("gx", gx)])?;
        let sizes = nchw("x", x)?;
        of_shape("gy", gy, &sizes)?;
        of_shape("gx", gx, &sizes)?;
        let own = [("mean", stats[0]), ("var", stats[1]), ("gw", gw), ("gb", gb)];
        per_channel(&own, sizes[1], dtype)?;
        if let Some(weight) = weight {
            per_channel(&[("weight", weight)], sizes[1], dtype)?;
        }
        not_negative(eps)?;
        Ok(sizes)
    })
}

/// Checks the operands of [`Backend::batch_norm_act`](crate::Backend::batch_norm_act) and gives
/// `[N, C, H, W]`.
///
/// ```
/// use ferrotape_backend::{
///     Array, DType, Device, Epilogue, ErrorKind, check, reference::Reference,
/// };
///
/// let device = Device::new(Reference::new());
/// let [x, y] = [(); 2].map(|()| Array::zeros(&device, DType::F32, [2, 3, 4, 4]));
/// let [mean, var] = [(); 2].map(|()| Array::zeros(&device, DType::F32, [3]));
/// let (x, y, mean, var) = (x?, y?, mean?, var?);
/// let epilogue = Epilogue { residual: Some(&y), relu: true };
/// let error = check::batch_norm_act(&x, [&mean, &var], None, 1e-5, epilogue, &y).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Overlap, "the residual is the output");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// As [`batch_norm`].
pub fn batch_norm_act(
    x: &Array,
    stats: [&Array; 2],
    affine: Option<[&Array; 2]>,
    eps: f64,
    epilogue: Epilogue<'_>,
    y: &Array,
) -> Result<[usize; 4]> {
    let sizes = batch_norm(x, stats, affine, eps, y)?;
    residual("batch_norm_act", epilogue, y)?;
    Ok(sizes)
}

/// The residual fits the output that it is added to.
pub(super) fn residual(op: &str, epilogue: Epilogue<'_>, y: &Array) -> Result<()> {
    let Some(residual) = epilogue.residual else { return Ok(()) };
    operands(op, &[residual], &[y], || {
        of_type("the residual", residual, y.dtype())?;
        of_shape("the residual", residual, y.shape())
    })
}

/// Checks the operands of [`Backend::batch_norm_act_grad`](crate::Backend::batch_norm_act_grad) and
/// gives `[N, C, H, W]`.
///
/// ```
/// use ferrotape_backend::{Array, BatchNormGrads, DType, Device, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let [gy, x, gx] = [(); 3].map(|()| Array::zeros(&device, DType::F32, [2, 3, 4, 4]));
/// let [mean, var, gw, gb] = [(); 4].map(|()| Array::zeros(&device, DType::F32, [3]));
/// let (mut gx, mut gw, mut gb) = (gx?, gw?, gb?);
/// let grads = BatchNormGrads { x: &mut gx, weight: &mut gw, bias: &mut gb, residual: None };
/// let stats = [&mean?, &var?];
/// assert_eq!(check::batch_norm_act_grad(&gy?, &x?, None, stats, None, 1e-5, &grads)?[1], 3);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// As [`batch_norm`].
pub fn batch_norm_act_grad(
    gy: &Array,
    x: &Array,
    y: Option<&Array>,
    stats: [&Array; 2],
    weight: Option<&Array>,
    eps: f64,
    grads: &BatchNormGrads<'_>,
) -> Result<[usize; 4]> {
    let BatchNormGrads { x: gx, weight: gw, bias: gb, residual } = grads;
    let sizes = batch_norm_grad(gy, x, stats, weight, eps, gx, gw, gb)?;
    let inputs: Vec<&Array> = [gy, x].into_iter().chain(stats).chain(weight).chain(y).collect();
    let outputs: Vec<&Array> =
        [&**gx, &**gw, &**gb].into_iter().chain(residual.as_deref()).collect();
    operands("batch_norm_act_grad", &inputs, &outputs, || {
        let images = [("y", y), ("the residual's gradient", residual.as_deref())];
        for (name, array) in images {
            let Some(array) = array else { continue };
            of_type(name, array, x.dtype())?;
            of_shape(name, array, &sizes)?;
        }
        Ok(sizes)
    })
}

/// Checks the operands of [`Backend::softmax`](crate::Backend::softmax) and gives the sizes before,
/// along and after `dim`.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let [x, y] = [(); 2].map(|()| Array::zeros(&device, DType::F32, [2, 3, 5]));
/// assert_eq!(check::softmax(&x?, &y?, 1)?, [2, 3, 5]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// `DeviceMismatch`, `Overlap`, `DType`, `Shape`; `Argument` if there is no such dimension.
pub fn softmax(x: &Array, y: &Array, dim: usize) -> Result<[usize; 3]> {
    operands("softmax", &[x], &[y], || {
        same_float(&[("x", x), ("y", y)])?;
        of_shape("y", y, x.shape())?;
        around(x, dim)
    })
}

/// Checks the operands of [`Backend::softmax_grad`](crate::Backend::softmax_grad) and gives the
/// sizes before, along and after `dim`.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let [gy, y, gx] = [(); 3].map(|()| Array::zeros(&device, DType::F32, [4, 10]));
/// assert_eq!(check::softmax_grad(&gy?, &y?, &gx?, 1)?, [4, 10, 1]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// As [`softmax`].
pub fn softmax_grad(gy: &Array, y: &Array, gx: &Array, dim: usize) -> Result<[usize; 3]> {
    operands("softmax_grad", &[gy, y], &[gx], || {
        same_float(&[("y", y), ("gy", gy), ("gx", gx)])?;
        of_shape("gy", gy, y.shape())?;
        of_shape("gx", gx, y.shape())?;
        around(y, dim)
    })
}

fn around(array: &Array, dim: usize) -> Result<[usize; 3]> {
    has_dim(array, dim)?;
    let dims = array.shape().dims();
    Ok([dims[..dim].iter().product(), dims[dim], dims[dim + 1..].iter().product()])
}

/// Checks the operands of [`Backend::cross_entropy`](crate::Backend::cross_entropy) and gives
/// `[N, K]`.
///
/// ```
/// use ferrotape_backend::{Array, CrossEntropy, DType, Device, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let logits = Array::zeros(&device, DType::F32, [4, 10])?;
/// let targets = Array::zeros(&device, DType::I64, [4])?;
/// let loss = Array::zeros(&device, DType::F32, [4])?;
/// let check = |params| check::cross_entropy(&logits, &targets, &loss, &params);
/// assert_eq!(check(CrossEntropy::default())?, [4, 10]);
/// let error = check(CrossEntropy { label_smoothing: 2.0, ..Default::default() }).unwrap_err();
/// assert!(error.to_string().ends_with("label smoothing is 2, it must lie between 0 and 1"));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// `DeviceMismatch`, `Overlap`, `DType`, `Shape`; `Argument` for a label smoothing outside of 0 to 1.
pub fn cross_entropy(
    logits: &Array,
    targets: &Array,
    loss: &Array,
    params: &CrossEntropy,
) -> Result<[usize; 2]> {
    operands("cross_entropy", &[logits, targets], &[loss], || {
        rows(logits, targets, ("loss", loss), params)
    })
}

/// Checks the operands of [`Backend::cross_entropy_grad`](crate::Backend::cross_entropy_grad) and
/// gives `[N, K]`.
///
/// ```
/// use ferrotape_backend::{Array, CrossEntropy, DType, Device, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let [logits, gx] = [(); 2].map(|()| Array::zeros(&device, DType::F32, [4, 10]));
/// let targets = Array::zeros(&device, DType::I64, [4])?;
/// let gloss = Array::zeros(&device, DType::F32, [4])?;
/// let params = CrossEntropy::default();
/// assert_eq!(check::cross_entropy_grad(&gloss, &logits?, &targets, &gx?, &params)?, [4, 10]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// As [`cross_entropy`].
pub fn cross_entropy_grad(
    gloss: &Array,
    logits: &Array,
    targets: &Array,
    gx: &Array,
    params: &CrossEntropy,
) -> Result<[usize; 2]> {
    operands("cross_entropy_grad", &[gloss, logits, targets], &[gx], || {
        same_float(&[("logits", logits), ("gx", gx)])?;
        of_shape("gx", gx, logits.shape())?;
        rows(logits, targets, ("gloss", gloss), params)
    })
}

fn rows(
    logits: &Array,
    targets: &Array,
    (loss_name, loss): (&str, &Array),
    params: &CrossEntropy,
) -> Result<[usize; 2]> {
    let dtype = same_float(&[("logits", logits)])?;
    of_type("targets", targets, DType::I64)?;
    of_type(loss_name, loss, dtype.accumulator())?;
    let sizes: [usize; 2] = sizes("logits", logits, "[N, K]")?;
    of_shape("targets", targets, &sizes[..1])?;
    of_shape(loss_name, loss, &sizes[..1])?;
    if !(0.0..=1.0).contains(&params.label_smoothing) {
        return Err(Error::argument(format!(
            "label smoothing is {}, it must lie between 0 and 1",
            params.label_smoothing
        )));
    }
    Ok(sizes)
}
