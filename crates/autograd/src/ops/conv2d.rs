//! Two-dimensional convolution and its two gradients, which are closed under differentiation.

use ferrotape_backend::{Array, Conv2d, Epilogue, Result, Shape};

use crate::form::Form;
use crate::op::{Backward, Forward, InputGrads, Op};
use crate::tensor::Tensor;

/// `y[n,o,i,j] = relu(bias[o] + residual[n,o,i,j] + sum_{c,k,l} w[o,c,k,l] x[n, c, i s + k d - p, j s + l d - p])`,
/// each part if it is there. The inputs are `x, w[, bias][, residual]`.
#[derive(Debug)]
struct Convolve {
    params: Conv2d,
    bias: bool,
    residual: bool,
    relu: bool,
}

impl Op for Convolve {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let dtype = super::common_float(inputs)?;
        let (x, w) = (inputs[0], inputs[1]);
        let shape = self.params.output_shape(x.shape().nchw()?, w.shape().nchw()?)?;
        let mut y = super::image_output(x, dtype, &shape)?;
        let bias = if self.bias { Some(inputs[2]) } else { None };
        let residual = if self.residual { inputs.last().copied() } else { None };
        let epilogue = Epilogue { residual, relu: self.relu };
        x.device().backend().conv2d_act(x, w, bias, epilogue, &mut y, &self.params)?;
        if cx.needs(1) {
            cx.save_input(0);
        }
        if cx.needs(0) {
            cx.save_input(1);
        }
        if self.relu {
            cx.save_output();
        }
        Ok(y)
    }

    fn form(&self) -> Form<'_> {
        let Convolve { params, bias, residual, relu } = *self;
        Form::Conv2d { params, bias, residual, relu }
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let grad = match self.relu {
            true => &super::activations::relu_grad(&cx.output()?, grad)?,
            false => grad,
        };
        let of_x = || input_grad(grad, &cx.input(1)?, cx.input_shape(0), self.params);
        let of_w = || weight_grad(&cx.input(0)?, grad, cx.input_shape(1), self.params);
        let mut grads = InputGrads::from_elem(None, cx.inputs());
        grads[0] = cx.needs(0).then(of_x).transpose()?;
        grads[1] = cx.needs(1).then(of_w).transpose()?;
        if self.bias && cx.needs(2) {
            grads[2] = Some(grad.wide_sum(&[0, 2, 3], false)?);
        }
        if self.residual {
            grads[cx.inputs() - 1] = Some(grad.clone());
        }
        Ok(grads)
    }

    fn multiply_adds(&self, inputs: &[Shape], output: &Shape) -> u64 {
        let taps: usize = inputs[1][1..].iter().product();
        (output.numel() as u64).saturating_mul(taps as u64)
    }
}

/// The gradient in the input, of `gy` and `w`. Linear in both.
#[derive(Debug)]
struct InputGrad {
    params: Conv2d,
    input: Shape,
}

impl Op for InputGrad {
    fn name(&self) -> &'static str {
        "conv2d_input_grad"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let dtype = super::common_float(inputs)?;
        let (gy, w) = (inputs[0], inputs[1]);
        let mut gx = super::image_output(gy, dtype, &self.input)?;
        gy.device().backend().conv2d_input_grad(gy, w, &mut gx, &self.params)?;
        if cx.needs(1) {
            cx.save_input(0);
        }
        if cx.needs(0) {
            cx.save_input(1);
        }
        Ok(gx)
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let of_gy = || grad.conv2d(&cx.input(1)?, None, &self.params);
        let of_w = || weight_grad(grad, &cx.input(0)?, cx.input_shape(1), self.params);
        let gy = cx.needs(0).then(of_gy).transpose()?;
        let w = cx.needs(1).then(of_w).transpose()?;
        Ok([gy, w].into_iter().collect())
    }
}

/// The gradient in the weight, of `x` and `gy`. Linear in both; 16-bit operands give f32.
#[derive(Debug)]
struct WeightGrad {
    params: Conv2d,
    weight: Shape,
}

impl Op for WeightGrad {
    fn name(&self) -> &'static str {
        "conv2d_weight_grad"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let dtype = super::common_float(inputs)?;
        let (x, gy) = (inputs[0], inputs[1]);
        let mut gw = super::output(x, dtype.accumulator(), &self.weight)?;
        x.device().backend().conv2d_weight_grad(x, gy, &mut gw, &self.params)?;
        if cx.needs(1) {
            cx.save_input(0);
        }
        if cx.needs(0) {
            cx.save_input(1);
        }
        Ok(gw)
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let grad = grad.cast(cx.input_dtype(0))?;
        let of_x = || input_grad(&cx.input(1)?, &grad, cx.input_shape(0), self.params);
        let of_gy = || cx.input(0)?.conv2d(&grad, None, &self.params);
        let x = cx.needs(0).then(of_x).transpose()?;
        let gy = cx.needs(1).then(of_gy).transpose()?;
        Ok([x, gy].into_iter().collect())
    }
}

fn input_grad(gy: &Tensor, w: &Tensor, input: Shape, params: Conv2d) -> Result<Tensor> {
    Tensor::apply(InputGrad { params, input }, &[&gy.channels_last()?, w])
}

pub(super) fn weight_grad(
    x: &Tensor,
    gy: &Tensor,
    weight: Shape,
    params: Conv2d,
) -> Result<Tensor> {
    let op = WeightGrad { params, weight };
    Tensor::apply(op, &[&x.channels_last()?, &gy.channels_last()?])
}

/// # Convolution
impl Tensor {
    /// Cross-correlation of images `[N, C, H, W]` with `weight [O, C / groups, KH, KW]` and
    /// `bias [O]`; the result is `[N, O, OH, OW]`, channels-last in memory
    /// (`torch.nn.functional.conv2d`).
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Array, Conv2d, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let ramp: Vec<f64> = (1..=9).map(f64::from).collect();
    /// let x = Tensor::from(Array::from_slice(&device, &ramp, [1, 1, 3, 3])?);
    /// let w = Tensor::from(Array::full(&device, x.dtype(), [1, 1, 2, 2], 1.0)?);
    /// let y = x.conv2d(&w, None, &Conv2d::default())?;
    /// assert_eq!(y.to_vec::<f64>()?, [12.0, 16.0, 24.0, 28.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit, see [`Conv2d::output_shape`]; a mix of data types.
    pub fn conv2d(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        params: &Conv2d,
    ) -> Result<Tensor> {
        self.conv2d_act(weight, bias, params, None, false)
    }

    /// [`Tensor::conv2d`] with what follows it, as one operator: `relu(conv2d(x) + residual)`, without the ReLU if
    /// `relu` is false. The residual has the shape and type of the result.
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Array, Conv2d, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let image = |data: &[f64]| Array::from_slice(&device, data, [1, 1, 1, 2]).map(Tensor::from);
    /// let (x, residual) = (image(&[3.0, -5.0])?, image(&[0.25, 0.25])?);
    /// let double = Tensor::from(Array::full(&device, x.dtype(), [1, 1, 1, 1], 2.0)?);
    /// let y = x.conv2d_act(&double, None, &Conv2d::default(), Some(&residual), true)?;
    /// assert_eq!(y.to_vec::<f64>()?, [6.25, 0.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Tensor::conv2d`]; a residual of another shape or type than the result's.
    pub fn conv2d_act(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        params: &Conv2d,
        residual: Option<&Tensor>,
        relu: bool,
    ) -> Result<Tensor> {
        let x = if self.shape().rank() == 4 { self.channels_last()? } else { self.clone() };
        let op =
            Convolve { params: *params, bias: bias.is_some(), residual: residual.is_some(), relu };
        let mut inputs = vec![&x, weight];
        inputs.extend(bias);
        inputs.extend(residual);
        Tensor::apply(op, &inputs)
    }
}
