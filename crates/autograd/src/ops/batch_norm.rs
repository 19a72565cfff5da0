//! Batch normalization (Ioffe and Szegedy, 2015) over the channels of `[N, C, H, W]`.

use ferrotape_backend::{Array, BatchNormGrads, Epilogue, Error, Result, Shape};

use crate::form::Form;
use crate::op::{Backward, Forward, InputGrads, Op};
use crate::tensor::Tensor;

/// What stands around a normalization: `y = relu(norm(x) * weight + bias + residual)`, each part if it is
/// there. The inputs are `x[, statistics][, weight, bias][, residual]`.
#[derive(Debug, Clone, Copy)]
struct Parts {
    eps: f64,
    affine: bool,
    residual: bool,
    relu: bool,
}

impl Parts {
    /// Weight and bias, which follow input `at - 1`.
    fn affine<'a>(&self, inputs: &[&'a Array], at: usize) -> Option<[&'a Array; 2]> {
        self.affine.then(|| [inputs[at], inputs[at + 1]])
    }

    fn epilogue<'a>(&self, inputs: &[&'a Array]) -> Epilogue<'a> {
        let residual = if self.residual { inputs.last().copied() } else { None };
        Epilogue { residual, relu: self.relu }
    }

    /// The part of the output's gradient that passes the ReLU, where the backward pass is recorded.
    fn passed(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<Tensor> {
        if self.relu {
            super::activations::relu_grad(&cx.output()?, grad)
        } else {
            Ok(grad.clone())
        }
    }
}

/// With the batch's own mean and biased variance, `[C]`, which it hands out besides.
#[derive(Debug)]
struct BatchNormTrain(Parts);

fn channels(x: &Array) -> Result<usize> {
    Ok(x.shape().nchw()?[1])
}

fn vector(like: &Array, channels: usize) -> Result<Array> {
    super::output(like, like.dtype().accumulator(), &[channels])
}

fn images_like(x: &Array) -> Result<Array> {
    Array::empty(x.device(), x.dtype(), x.layout().like(*x.shape()))
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
        let (affine, epilogue) = (self.0.affine(inputs, 1), self.0.epilogue(inputs));
        backend.batch_norm_act(x, [&mean, &var], affine, self.0.eps, epilogue, &mut y)?;
        cx.save_input(0);
        if self.0.affine {
            cx.save_input(1);
            if self.is_recomputed() {
                cx.save_input(2);
            }
        }
        if self.0.relu {
            cx.save_output();
        }
        cx.save_derived(&mean);
        cx.save_derived(&var);
        cx.auxiliary(mean);
        cx.auxiliary(var);
        Ok(y)
    }

    /// One pass over the input makes the output again, while keeping it doubles what a layer keeps. A residual
    /// would have to be kept for it.
    fn is_recomputed(&self) -> bool {
        !self.0.residual
    }

    fn recompute(&self, cx: &Backward<'_>) -> Result<Array> {
        let x = cx.input(0)?;
        let affine = if self.0.affine { Some([cx.input(1)?, cx.input(2)?]) } else { None };
        let affine = affine.as_ref().map(|pair| pair.each_ref().map(|tensor| tensor.array()));
        let (mean, var) = (cx.derived(0)?, cx.derived(1)?);
        let mut y = super::output_like(&x, x.dtype(), *x.shape())?;
        let epilogue = Epilogue { residual: None, relu: self.0.relu };
        let backend = x.device().backend();
        backend.batch_norm_act(&x, [&mean, &var], affine, self.0.eps, epilogue, &mut y)?;
        Ok(y)
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        if cx.recording() {
            return self.backward_by_definition(cx, grad);
        }
        let x = cx.input(0)?;
        let weight = if self.0.affine { Some(cx.input(1)?) } else { None };
        let y = if self.0.relu { Some(cx.output()?) } else { None };
        let (mean, var) = (cx.derived(0)?, cx.derived(1)?);
        let c = channels(&x)?;
        let (mut gx, mut gw, mut gb) = (images_like(&x)?, vector(&x, c)?, vector(&x, c)?);
        // Without a ReLU all of the gradient is the residual's.
        let masked = self.0.residual && self.0.relu && cx.needs(cx.inputs() - 1);
        let mut residual = if masked { Some(images_like(&x)?) } else { None };
        x.device().backend().batch_norm_act_grad(
            grad,
            &x,
            y.as_deref(),
            [&mean, &var],
            weight.as_deref(),
            self.0.eps,
            BatchNormGrads {
                x: &mut gx,
                weight: &mut gw,
                bias: &mut gb,
                residual: residual.as_mut(),
            },
        )?;
        let mut grads = InputGrads::new();
        grads.push(Some(gx.into()));
        if self.0.affine {
            grads.extend([gw, gb].map(|grad| Some(grad.into())));
        }
        if self.0.residual {
            let all = (!self.0.relu).then(|| grad.clone());
            grads.push(residual.map(Tensor::from).or(all));
        }
        Ok(grads)
    }
}

impl BatchNormTrain {
    /// The gradient as differentiable operations on the inputs, for a backward that is recorded:
    /// `gx = w r (gy - mean(gy) - xhat mean(gy xhat))`.
    fn backward_by_definition(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let x = cx.input(0)?;
        let wide = x.dtype().accumulator();
        let residual = self.0.passed(cx, grad)?;
        let (x, grad) = (x.cast(wide)?, residual.cast(wide)?);
        let over = [0, 2, 3];
        let centred = x.sub(&x.mean(&over, true)?)?;
        let r = centred.square()?.mean(&over, true)?.add_scalar(self.0.eps)?.rsqrt()?;
        let normal = centred.mul(&r)?;
        let product = grad.mul(&normal)?;
        let spread =
            grad.sub(&grad.mean(&over, true)?)?.sub(&normal.mul(&product.mean(&over, true)?)?)?;
        let mut gx = spread.mul(&r)?;
        if self.0.affine {
            gx = gx.mul(&per_channel(&cx.input(1)?)?)?;
        }
        let mut grads = InputGrads::new();
        grads.push(Some(gx));
        if self.0.affine {
            grads.push(Some(product.sum(&over, false)?));
            grads.push(Some(grad.sum(&over, false)?));
        }
        if self.0.residual {
            grads.push(Some(residual));
        }
        Ok(grads)
    }
}

/// With given mean and variance, which are constants: `x, mean, var[, weight, bias][, residual]`.
#[derive(Debug)]
struct BatchNormEval(Parts);

impl Op for BatchNormEval {
    fn name(&self) -> &'static str {
        "batch_norm_eval"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let x = inputs[0];
        channels(x)?;
        let mut y = super::output_like(x, x.dtype(), *x.shape())?;
        let (affine, epilogue) = (self.0.affine(inputs, 3), self.0.epilogue(inputs));
        let stats = [inputs[1], inputs[2]];
        let backend = x.device().backend();
        backend.batch_norm_act(x, stats, affine, self.0.eps, epilogue, &mut y)?;
        cx.save_constant(inputs[1]);
        cx.save_constant(inputs[2]);
        if self.0.affine {
            if cx.needs(3) {
                cx.save_input(0);
            }
            if cx.needs(0) {
                cx.save_input(3);
            }
        }
        if self.0.relu {
            cx.save_output();
        }
        Ok(y)
    }

    fn form(&self) -> Form<'_> {
        let Parts { eps, affine, residual, relu } = self.0;
        Form::BatchNorm { eps, affine, residual, relu }
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let dtype = cx.input_dtype(0);
        let residual = self.0.passed(cx, grad)?;
        let grad = residual.cast(dtype.accumulator())?;
        let mean = per_channel(&cx.constant(0)?)?;
        let r = per_channel(&cx.constant(1)?)?.add_scalar(self.0.eps)?.rsqrt()?;
        let over = [0, 2, 3];
        let mut grads = InputGrads::from_elem(None, cx.inputs());
        if cx.needs(0) {
            let scale =
                if self.0.affine { r.mul(&per_channel(&cx.input(3)?)?)? } else { r.clone() };
            grads[0] = Some(grad.mul(&scale)?);
        }
        if self.0.affine && cx.needs(3) {
            let x = cx.input(0)?.cast(dtype.accumulator())?;
            let normal = x.sub(&mean)?.mul(&r)?;
            grads[3] = Some(grad.mul(&normal)?.sum(&over, false)?);
        }
        if self.0.affine && cx.needs(4) {
            grads[4] = Some(grad.sum(&over, false)?);
        }
        if self.0.residual {
            grads[cx.inputs() - 1] = Some(residual);
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
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 3.0], [2, 1])?);
    /// let (y, mean, var) = x.batch_norm_train(None, 0.0)?;
    /// assert_eq!(y.to_vec::<f64>()?, [-1.0, 1.0]);
    /// assert_eq!((mean.item()?, var.item()?), (2.0, 1.0));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit, or fewer than two values a channel.
    pub fn batch_norm_train(
        &self,
        affine: Option<[&Tensor; 2]>,
        eps: f64,
    ) -> Result<(Tensor, Array, Array)> {
        self.batch_norm_act_train(affine, eps, None, false)
    }

    /// [`Tensor::batch_norm_train`] with what follows it in a residual block, as one operator:
    /// `relu(norm(x) + residual)`, without the ReLU if `relu` is false. The residual has the shape and
    /// type of `self`. Nothing between norm and output is kept for the backward pass.
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let image = |data: [f64; 2]| Array::from_slice(&device, &data, [1, 1, 1, 2]).map(Tensor::from);
    /// let (x, residual) = (image([3.0, 5.0])?, image([0.25, 0.25])?);
    /// let (y, mean, var) = x.batch_norm_act_train(None, 0.0, Some(&residual), true)?;
    /// assert_eq!(y.to_vec::<f64>()?, [0.0, 1.25]);
    /// assert_eq!((mean.item()?, var.item()?), (4.0, 1.0));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit, or fewer than two values a channel.
    pub fn batch_norm_act_train(
        &self,
        affine: Option<[&Tensor; 2]>,
        eps: f64,
        residual: Option<&Tensor>,
        relu: bool,
    ) -> Result<(Tensor, Array, Array)> {
        let x = as_images(self)?;
        let mut inputs = vec![&x];
        inputs.extend(affine.into_iter().flatten());
        let residual = residual.map(as_images).transpose()?;
        inputs.extend(&residual);
        let op = BatchNormTrain(Parts {
            eps,
            affine: affine.is_some(),
            residual: residual.is_some(),
            relu,
        });
        let (y, auxiliary) = Tensor::apply_with_auxiliary(op, &inputs)?;
        let [mean, var] = auxiliary.into_inner().expect("batch norm hands out two statistics");
        Ok((y.view(*self.shape())?, mean, var))
    }

    /// Normalizes each channel of `[N, C]`, `[N, C, H, W]` or any `[N, C, ..]` by the given `mean`
    /// and `var`, each `[C]` and of the accumulator type, which are constants to the gradient
    /// (`torch.nn.functional.batch_norm` with `training=False`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 3.0], [2, 1])?);
    /// let (mean, var) = (Array::from_slice(&device, &[1.0f64], [1])?, Array::from_slice(&device, &[4.0f64], [1])?);
    /// assert_eq!(x.batch_norm_eval(&mean, &var, None, 0.0)?.to_vec::<f64>()?, [0.0, 1.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
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
        self.batch_norm_act_eval([mean, var], affine, eps, None, false)
    }

    /// [`Tensor::batch_norm_eval`] by the statistics `[mean, var]`, with what follows it in a residual
    /// block, as [`Tensor::batch_norm_act_train`] has it.
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let array = |values: &[f64], shape: &[usize]| Array::from_slice(&device, values, shape);
    /// let (x, mean, var) = (array(&[1.0, 5.0], &[2, 1])?, array(&[3.0], &[1])?, array(&[4.0], &[1])?);
    /// let residual = Tensor::from(array(&[0.5, 0.5], &[2, 1])?);
    /// // ((1, 5) - 3) / 2 + 0.5, then ReLU.
    /// let y = Tensor::from(x).batch_norm_act_eval([&mean, &var], None, 0.0, Some(&residual), true)?;
    /// assert_eq!(y.to_vec::<f64>()?, [0.0, 1.5]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn batch_norm_act_eval(
        &self,
        stats: [&Array; 2],
        affine: Option<[&Tensor; 2]>,
        eps: f64,
        residual: Option<&Tensor>,
        relu: bool,
    ) -> Result<Tensor> {
        let stats = stats.map(|stat| Tensor::from(stat.clone()));
        let x = as_images(self)?;
        let mut inputs = vec![&x];
        inputs.extend(&stats);
        inputs.extend(affine.into_iter().flatten());
        let residual = residual.map(as_images).transpose()?;
        inputs.extend(&residual);
        let op = BatchNormEval(Parts {
            eps,
            affine: affine.is_some(),
            residual: residual.is_some(),
            relu,
        });
        Tensor::apply(op, &inputs)?.view(*self.shape())
    }
}
