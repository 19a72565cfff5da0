//! Convolution, batch norm, residual and activation: what residual and Inception blocks repeat.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{DType, Error, Result, Shape};

use crate::{BatchNorm2d, Conv2d, Layer, Pass};

/// The activation at the end of [`conv_norm_act`]: data instead of a closure, so that one kernel can
/// do it together with the rest.
///
/// ```
/// use ferrotape_backend::{Array, Device, reference::Reference};
/// use ferrotape_nn::NormActivation;
///
/// let device = Device::new(Reference::new());
/// let x = Array::from_slice(&device, &[-1.0f64, 7.0], [2])?.into();
/// assert_eq!(NormActivation::Relu.apply(&x)?.to_vec::<f64>()?, [0.0, 7.0]);
/// assert_eq!(NormActivation::Relu6.apply(&x)?.to_vec::<f64>()?, [0.0, 6.0]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NormActivation {
    /// `x`: what stands before a sum or in a projection.
    #[default]
    Identity,
    /// `max(x, 0)` ([`Tensor::relu`]).
    Relu,
    /// `min(max(x, 0), 6)` ([`Tensor::relu6`]).
    Relu6,
    /// `x sigmoid(x)` ([`Tensor::silu`]).
    Silu,
}

impl NormActivation {
    /// The function, element by element.
    ///
    /// ```
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    /// use ferrotape_nn::NormActivation;
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Array::from_slice(&device, &[-2.0f64, 0.0, 3.0], [3])?.into();
    /// assert_eq!(NormActivation::Identity.apply(&x)?.to_vec::<f64>()?, [-2.0, 0.0, 3.0]);
    /// assert_eq!(NormActivation::Silu.apply(&x)?.to_vec::<f64>()?[1], 0.0);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not a float.
    pub fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            NormActivation::Identity => Ok(x.clone()),
            NormActivation::Relu => x.relu(),
            NormActivation::Relu6 => x.relu6(),
            NormActivation::Silu => x.silu(),
        }
    }
}

/// `activation(norm(conv(x)) + residual)`: `[N, C, H, W]` to `[N, O, OH, OW]`, the size that
/// [`Conv2d`] gives, which is the residual's too (He et al. 2016, figure 2).
///
/// Both layers run under their own paths, so that errors, probes, traces and summaries name them, and
/// the norm moves its running statistics as it does alone. The residual is converted to the norm's
/// float type, which differs only under autocast.
///
/// In a pass without gradients a norm that uses its running statistics is folded into the convolution: weights and bias of
/// the one convolution that does the same are kept beside the norm until one of the two layers changes or trains.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{
///     BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, Init, NormActivation, Pass,
///     conv_norm_act,
/// };
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let conv = Conv2d::new(&init.at("conv"), Conv2dConfig::new(4, 4, 3).padding(1).bias(false))?;
/// let norm = BatchNorm2d::new(&init.at("norm"), BatchNormConfig::new(4))?;
/// let cx = Pass::eval(&device);
/// let x = cx.input(Array::zeros(&device, DType::F32, [2, 4, 6, 6])?)?;
/// let y = conv_norm_act(&cx, &conv, &norm, Some(&x), NormActivation::Relu, &x)?;
/// assert_eq!(y.shape().dims(), [2, 4, 6, 6]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// An input that does not fit the convolution, an output of it that does not fit the norm, a
/// residual of another shape than the output's.
pub fn conv_norm_act(
    cx: &Pass,
    conv: &Conv2d,
    norm: &BatchNorm2d,
    residual: Option<&Tensor>,
    activation: NormActivation,
    x: &Tensor,
) -> Result<Tensor> {
    let is_epilogue = matches!(activation, NormActivation::Identity | NormActivation::Relu);
    let relu = activation == NormActivation::Relu;
    if is_epilogue && let Some(folded) = norm.folds.of(cx, conv, norm)? {
        return cx.within(conv, || {
            let (x, params) = (cx.compute(x)?, conv.params());
            let shape = params.output_shape(x.shape().nchw()?, folded.weight.shape().nchw()?)?;
            let fitting = |residual| fitting(residual, &Shape::new(&shape)?, x.dtype());
            let residual = residual.map(fitting).transpose()?;
            x.conv2d_act(&folded.weight, Some(&folded.bias), &params, residual.as_ref(), relu)
        });
    }
    if cx.is_training(norm.path()) {
        norm.folds.forget();
    }
    let y = conv.forward(cx, x)?;
    let fitting = |residual| fitting(residual, y.shape(), y.dtype());
    let residual = residual.map(fitting).transpose()?;
    match activation {
        // Whoever looks at the norm's own output gets it.
        NormActivation::Identity | NormActivation::Relu if !cx.watches(norm) => {
            norm.forward_act(cx, &y, residual.as_ref(), relu)
        }
        _ => {
            let y = norm.forward(cx, &y)?;
            activation.apply(&match &residual {
                Some(residual) => y.add(residual)?,
                None => y,
            })
        }
    }
}

/// The residual in the type of what it is added to. The sum would broadcast, which hides a block that
/// was put together wrongly.
fn fitting(residual: &Tensor, shape: &Shape, dtype: DType) -> Result<Tensor> {
    if residual.shape() != shape {
        return Err(Error::shape(format!(
            "the convolution gives {shape}, the residual is {}; bring it to that shape with a projection",
            residual.shape()
        )));
    }
    residual.cast(dtype)
}
