//! Two-dimensional convolution and its two gradients, which are closed under differentiation.

use ferrotape_backend::{Array, Conv2d, Result, Shape};

use crate::form::Form;
use crate::op::{Backward, Forward, InputGrads, Op};
use crate::tensor::Tensor;

/// `y[n,o,i,j] = bias[o] + sum_{c,k,l} w[o,c,k,l] x[n, c, i s + k d - p, j s + l d - p]`.
#[derive(Debug)]
struct Convolve(Conv2d);

impl Op for Convolve {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let dtype = super::common_float(inputs)?;
        let (x, w) = (inputs[0], inputs[1]);
        let shape = self.0.output_shape(x.shape().nchw()?, w.shape().nchw()?)?;
        let mut y = super::image_output(x, dtype, &shape)?;
        x.device().backend().conv2d(x, w, inputs.get(2).copied(), &mut y, &self.0)?;
        if cx.needs(1) {
            cx.save_input(0);
        }
        if cx.needs(0) {
            cx.save_input(1);
        }
        Ok(y)
    }

    fn form(&self) -> Form<'_> {
        Form::Conv2d(self.0)
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let of_x = || input_grad(grad, &cx.input(1)?, cx.input_shape(0), self.0);
        let of_w = || weight_grad(&cx.input(0)?, grad, cx.input_shape(1), self.0);
        let of_bias = || grad.wide_sum(&[0, 2, 3], false);
        let x = cx.needs(0).then(of_x).transpose()?;
        let w = cx.needs(1).then(of_w).transpose()?;
        let bias = cx.needs(2).then(of_bias).transpose()?;
        Ok([x, w, bias].into_iter().collect())
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
        let x = if self.shape().rank() == 4 { self.channels_last()? } else { self.clone() };
        match bias {
            Some(bias) => Tensor::apply(Convolve(*params), &[&x, weight, bias]),
            None => Tensor::apply(Convolve(*params), &[&x, weight]),
        }
    }
}
