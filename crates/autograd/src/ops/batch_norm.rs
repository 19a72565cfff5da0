//! Batch normalization (Ioffe and Szegedy, 2015) over the channels of `[N, C, H, W]`.

use ferrotape_backend::{Array, Error, Result, Shape};

use crate::op::{Backward, Forward, InputGrads, Op};
use crate::tensor::Tensor;

/// `y = (x - mean) / sqrt(var + eps) * weight + bias` with the batch's own mean and biased variance.
/// Hands out mean and variance `[C]` besides.
#[derive(Debug)]
struct BatchNormTrain {
    eps: f64,
}

fn channels(x: &Array) -> Result<usize> {
    Ok(x.shape().nchw()?[1])
}

fn vector(like: &Array, channels: usize) -> Result<Array> {
    super::output(like, like.dtype().accumulator(), &[channels])
}

impl Op for BatchNormTrain {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let x = inputs[0];
        let c = channels(x)?;
        if x.shape().numel() / c.max(1) <= 1 {
            return Err(Error::shape(format!(
                "batch norm in training needs more than one value a channel, got input {}; use a \
                 larger batch or eval mode",
                x.shape()
            )));
        }
        let (mut mean, mut var) = (vector(x, c)?, vector(x, c)?);
        let backend = x.device().backend();
        backend.channel_moments(x, &mut mean, &mut var)?;
        let mut y = super::output_like(x, x.dtype(), *x.shape())?;
        let affine = (inputs.len() == 3).then(|| [inputs[1], inputs[2]]);
        backend.batch_norm(x, [&mean, &var], affine, self.eps, &mut y)?;
        cx.save_input(0);
        if inputs.len() == 3 {
            cx.save_input(1);
        }
        cx.save_derived(&mean);
        cx.save_derived(&var);
        cx.auxiliary(mean);
        cx.auxiliary(var);
        Ok(y)
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        if cx.recording() {
            return self.backward_by_definition(cx, grad);
        }
        let x = cx.input(0)?;
        let weight = if cx.inputs() == 3 { Some(cx.input(1)?) } else { None };
        let c = channels(&x)?;
        let like = x.layout().like(*x.shape());
        let mut gx = Array::empty(x.device(), x.dtype(), like)?;
        let (mut gw, mut gb) = (vector(&x, c)?, vector(&x, c)?);
        let (mean, var) = (cx.derived(0)?, cx.derived(1)?);
        x.device().backend().batch_norm_grad(
            grad,
            &x,
            [&mean, &var],
            weight.as_deref(),
            self.eps,
            &mut gx,
            &mut gw,
            &mut gb,
        )?;
        Ok([gx, gw, gb].into_iter().take(cx.inputs()).map(|g| Some(g.into())).collect())
    }
}

impl BatchNormTrain {
    /// The gradient as differentiable operations on the inputs, for a backward that is recorded:
    /// `gx = w r (gy - mean(gy) - xhat mean(gy xhat))`.
    fn backward_by_definition(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let x = cx.input(0)?;
        let wide = x.dtype().accumulator();
        let (x, grad) = (x.cast(wide)?, grad.cast(wide)?);
        let over = [0, 2, 3];
        let centred = x.sub(&x.mean(&over, true)?)?;
        let r = centred.square()?.mean(&over, true)?.add_scalar(self.eps)?.rsqrt()?;
        let normal = centred.mul(&r)?;
        let product = grad.mul(&normal)?;
        let spread =
            grad.sub(&grad.mean(&over, true)?)?.sub(&normal.mul(&product.mean(&over, true)?)?)?;
        let mut gx = spread.mul(&r)?;
        let affine = cx.inputs() == 3;
        if affine {
            gx = gx.mul(&per_channel(&cx.input(1)?)?)?;
        }
        let mut grads = InputGrads::new();
        grads.push(Some(gx));
        if affine {
            grads.push(Some(product.sum(&over, false)?));
            grads.push(Some(grad.sum(&over, false)?));
        }
        Ok(grads)
    }
}

/// The same with given statistics, which are constants: `x, mean, var[, weight, bias]`.
#[derive(Debug)]
struct BatchNormEval {
    eps: f64,
}

impl Op for BatchNormEval {
    fn name(&self) -> &'static str {
        "batch_norm_eval"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let x = inputs[0];
        channels(x)?;
        let mut y = super::output_like(x, x.dtype(), *x.shape())?;
        let affine = (inputs.len() == 5).then(|| [inputs[3], inputs[4]]);
        let stats = [inputs[1], inputs[2]];
        x.device().backend().batch_norm(x, stats, affine, self.eps, &mut y)?;
        cx.save_constant(inputs[1]);
        cx.save_constant(inputs[2]);
        if inputs.len() == 5 {
            if cx.needs(3) {
                cx.save_input(0);
            }
            if cx.needs(0) {
                cx.save_input(3);
            }
        }
        Ok(y)
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let dtype = cx.input_dtype(0);
        let grad = grad.cast(dtype.accumulator())?;
        let mean = per_channel(&cx.constant(0)?)?;
        let r = per_channel(&cx.constant(1)?)?.add_scalar(self.eps)?.rsqrt()?;
        let over = [0, 2, 3];
        let mut grads = InputGrads::from_elem(None, cx.inputs());
        if cx.needs(0) {
            let scale =
                if cx.inputs() == 5 { r.mul(&per_channel(&cx.input(3)?)?)? } else { r.clone() };
            grads[0] = Some(grad.mul(&scale)?);
        }
        if cx.needs(3) {
            let x = cx.input(0)?.cast(dtype.accumulator())?;
            let normal = x.sub(&mean)?.mul(&r)?;
            grads[3] = Some(grad.mul(&normal)?.sum(&over, false)?);
        }
        if cx.needs(4) {
            grads[4] = Some(grad.sum(&over, false)?);
        }
        Ok(grads)
    }
}

/// `[C]` as `[1, C, 1, 1]`, which broadcasts over images.
fn per_channel(vector: &Tensor) -> Result<Tensor> {
    vector.view(Shape::new(&[1, vector.shape().numel(), 1, 1])?)
}

/// `[N, C]` and `[N, C, ..]` as `[N, C, H, W]` of width 1.
fn as_images(x: &Tensor) -> Result<Tensor> {
    match *x.shape().dims() {
        [_, _, _, _] => Ok(x.clone()),
        [n, c, ref rest @ ..] => x.view(Shape::new(&[n, c, rest.iter().product(), 1])?),
        _ => Err(Error::shape(format!("batch norm wants [N, C, ..], got {}", x.shape()))),
    }
}

/// # Batch normalization
impl Tensor {
    /// Normalizes each channel of `[N, C]`, `[N, C, H, W]` or any `[N, C, ..]` by its own mean and
    /// biased variance, then scales and shifts by `[weight, bias]`, each `[C]` and of the
    /// accumulator type. Gives mean and biased variance too
    /// (`torch.nn.functional.batch_norm` with `training=True`).
    ///
    /// # Errors
    /// Shapes that do not fit, or fewer than two values a channel.
    pub fn batch_norm_train(
        &self,
        affine: Option<[&Tensor; 2]>,
        eps: f64,
    ) -> Result<(Tensor, Array, Array)> {
        let op = BatchNormTrain { eps };
        let x = as_images(self)?;
        let (y, auxiliary) = match affine {
            Some([weight, bias]) => Tensor::apply_with_auxiliary(op, &[&x, weight, bias])?,
            None => Tensor::apply_with_auxiliary(op, &[&x])?,
        };
        let [mean, var] = auxiliary.into_inner().expect("batch norm hands out two statistics");
        Ok((y.view(*self.shape())?, mean, var))
    }

    /// Normalizes each channel of `[N, C]`, `[N, C, H, W]` or any `[N, C, ..]` by the given `mean`
    /// and `var`, each `[C]` and of the accumulator type, which are constants to the gradient
    /// (`torch.nn.functional.batch_norm` with `training=False`).
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn batch_norm_eval(
        &self,
        mean: &Array,
        var: &Array,
        affine: Option<[&Tensor; 2]>,
        eps: f64,
    ) -> Result<Tensor> {
        let (mean, var) = (Tensor::from(mean.clone()), Tensor::from(var.clone()));
        let op = BatchNormEval { eps };
        let x = as_images(self)?;
        let y = match affine {
            Some([weight, bias]) => Tensor::apply(op, &[&x, &mean, &var, weight, bias])?,
            None => Tensor::apply(op, &[&x, &mean, &var])?,
        };
        y.view(*self.shape())
    }
}
