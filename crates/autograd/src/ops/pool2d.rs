//! Maximum and average pooling, and their gradients.

use ferrotape_backend::{Array, DType, Error, Pool2d, Result, Shape};

use crate::form::Form;
use crate::op::{Backward, Forward, InputGrads, Op};
use crate::tensor::Tensor;

fn pooled(x: &Array, params: &Pool2d) -> Result<Shape> {
    let [n, c, h, w] = x.shape().nchw()?;
    let [oh, ow] = params.output_size([h, w])?;
    Shape::new(&[n, c, oh, ow])
}

#[derive(Debug)]
struct MaxPool(Pool2d);

impl Op for MaxPool {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let dtype = super::common_float(inputs)?;
        let x = inputs[0];
        let shape = pooled(x, &self.0)?;
        let mut y = super::output_like(x, dtype, shape)?;
        if !cx.needs(0) {
            x.device().backend().max_pool2d_values(x, &mut y, &self.0)?;
            return Ok(y);
        }
        let mut index = super::output_like(x, DType::I64, shape)?;
        x.device().backend().max_pool2d(x, &mut y, &mut index, &self.0)?;
        cx.save_constant(&index);
        Ok(y)
    }

    fn form(&self) -> Form<'_> {
        Form::MaxPool2d(self.0)
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let op = Scatter { params: self.0, input: cx.input_shape(0) };
        Ok(super::one(Tensor::apply(op, &[grad, &cx.constant(0)?])?))
    }
}

/// Adds each element at its position of a plane of zeros, which lies in the element's window. The planes are
/// channels-last, as the images of convolutions are, whatever that of the output is: it may come from a vector.
#[derive(Debug)]
struct Scatter {
    params: Pool2d,
    input: Shape,
}

impl Op for Scatter {
    fn name(&self) -> &'static str {
        "max_pool2d_grad"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let mut gx = super::image_output(inputs[0], inputs[0].dtype(), &self.input)?;
        let backend = inputs[0].device().backend();
        backend.max_pool2d_window_grad(inputs[0], inputs[1], &mut gx, &self.params)?;
        cx.save_constant(inputs[1]);
        Ok(gx)
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let picked = Tensor::apply(Pick(self.params), &[grad, &cx.constant(0)?])?;
        Ok([Some(picked), None].into_iter().collect())
    }
}

/// Picks the element at each position of a plane.
#[derive(Debug)]
struct Pick(Pool2d);

impl Op for Pick {
    fn name(&self) -> &'static str {
        "max_pool2d_pick"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let mut y = super::output_like(inputs[0], inputs[0].dtype(), *inputs[1].shape())?;
        inputs[0].device().backend().max_pool2d_pick(inputs[0], inputs[1], &mut y)?;
        cx.save_constant(inputs[1]);
        Ok(y)
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let op = Scatter { params: self.0, input: cx.input_shape(0) };
        let scattered = Tensor::apply(op, &[grad, &cx.constant(0)?])?;
        Ok([Some(scattered), None].into_iter().collect())
    }
}

#[derive(Debug)]
struct AvgPool(Pool2d);

impl Op for AvgPool {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn forward(&self, _: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let dtype = super::common_float(inputs)?;
        let mut y = super::output_like(inputs[0], dtype, pooled(inputs[0], &self.0)?)?;
        inputs[0].device().backend().avg_pool2d(inputs[0], &mut y, &self.0)?;
        Ok(y)
    }

    fn form(&self) -> Form<'_> {
        Form::AvgPool2d(self.0)
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let op = Spread { params: self.0, input: cx.input_shape(0) };
        Ok(super::one(Tensor::apply(op, &[grad])?))
    }
}

/// The transpose of [`AvgPool`]; channels-last, as [`Scatter`] is.
#[derive(Debug)]
struct Spread {
    params: Pool2d,
    input: Shape,
}

impl Op for Spread {
    fn name(&self) -> &'static str {
        "avg_pool2d_grad"
    }

    fn forward(&self, _: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let mut gx = super::image_output(inputs[0], inputs[0].dtype(), &self.input)?;
        inputs[0].device().backend().avg_pool2d_grad(inputs[0], &mut gx, &self.params)?;
        Ok(gx)
    }

    fn backward(&self, _: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        Ok(super::one(Tensor::apply(AvgPool(self.params), &[grad])?))
    }
}

/// # Pooling
impl Tensor {
    /// The largest element of each window of images `[N, C, H, W]`
    /// (`torch.nn.functional.max_pool2d`). Among equals the first has the gradient.
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, Pool2d, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 4.0, 3.0, 2.0], [1, 1, 2, 2])?);
    /// assert_eq!(x.max_pool2d(&Pool2d::new([2, 2]))?.to_vec::<f64>()?, [4.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit, see [`Pool2d::output_size`].
    pub fn max_pool2d(&self, params: &Pool2d) -> Result<Tensor> {
        Tensor::apply(MaxPool(*params), &[self])
    }

    /// The mean of each window of images `[N, C, H, W]` (`torch.nn.functional.avg_pool2d`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, Pool2d, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 4.0, 3.0, 2.0], [1, 1, 2, 2])?);
    /// assert_eq!(x.avg_pool2d(&Pool2d::new([2, 2]))?.to_vec::<f64>()?, [2.5]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit, see [`Pool2d::output_size`]; a dilation other than 1.
    pub fn avg_pool2d(&self, params: &Pool2d) -> Result<Tensor> {
        if params.dilation != [1, 1] {
            return Err(Error::argument(format!(
                "average pooling has no dilation, got {:?}",
                params.dilation
            )));
        }
        Tensor::apply(AvgPool(*params), &[self])
    }
}
