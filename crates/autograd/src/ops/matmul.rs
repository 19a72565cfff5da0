//! Matrix products.

use ferrotape_backend::{Array, DType, Error, Result, Shape};

use crate::form::Form;
use crate::op::{Backward, Forward, InputGrads, Op};
use crate::tensor::Tensor;

/// `[.., M, K] x [.., K, N]` of two or three dimensions; a batch of 1 serves all.
#[derive(Debug)]
struct MatMul {
    /// Whether the result leaves in the accumulator's type, as weight gradients do.
    wide: bool,
}

fn batched(a: &Array) -> Result<Array> {
    match *a.shape().dims() {
        [_, _, _] => Ok(a.clone()),
        [m, n] => a.reshape([1, m, n]),
        _ => Err(Error::shape(format!("a matrix product wants matrices, got {}", a.shape()))),
    }
}

fn result_type(dtype: DType, wide: bool) -> DType {
    if wide { dtype.accumulator() } else { dtype }
}

impl Op for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let dtype = super::common_float(inputs)?;
        for index in 0..2 {
            if cx.needs(1 - index) {
                cx.save_input(index);
            }
        }
        let (a, b) = (batched(inputs[0])?, batched(inputs[1])?);
        let ([ba, m, k], [bb, kb, n]) = (matrix_sizes(&a)?, matrix_sizes(&b)?);
        if ba != bb && ba != 1 && bb != 1 {
            return Err(Error::shape(format!(
                "batches of {ba} and {bb} matrices do not fit: they must be equal or one of them 1"
            )));
        }
        if k != kb {
            return Err(Error::shape(format!(
                "the matrices {} and {} do not fit: the first's columns must be the second's rows",
                inputs[0].shape(),
                inputs[1].shape()
            )));
        }
        let batch = if ba == 1 { bb } else { ba };
        let mut c = super::output(&a, result_type(dtype, self.wide), &[batch, m, n])?;
        a.device().backend().gemm(&a, &b, &mut c, false)?;
        let flat = inputs[0].shape().rank() == 2 && inputs[1].shape().rank() == 2;
        if flat { c.reshape([m, n]) } else { Ok(c) }
    }

    fn form(&self) -> Form<'_> {
        Form::MatMul
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let grad = grad.cast(cx.input_dtype(0))?;
        let of_a = || product(&grad, &cx.input(1)?.transpose(-2, -1)?, true);
        let of_b = || product(&cx.input(0)?.transpose(-2, -1)?, &grad, true);
        let a = cx.needs(0).then(of_a).transpose()?;
        let b = cx.needs(1).then(of_b).transpose()?;
        Ok([a, b].into_iter().collect())
    }

    fn multiply_adds(&self, inputs: &[Shape], output: &Shape) -> u64 {
        let depth = inputs[0].last().copied().unwrap_or(0);
        (output.numel() as u64).saturating_mul(depth as u64)
    }
}

fn matrix_sizes(a: &Array) -> Result<[usize; 3]> {
    <[usize; 3]>::try_from(a.shape().dims())
        .map_err(|_| Error::shape(format!("a batch of matrices was expected, got {}", a.shape())))
}

fn product(a: &Tensor, b: &Tensor, wide: bool) -> Result<Tensor> {
    Tensor::apply(MatMul { wide }, &[a, b])
}

/// `y = x w^T + bias`.
#[derive(Debug)]
struct Linear;

impl Op for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let dtype = super::common_float(inputs)?;
        let (x, w) = (inputs[0], inputs[1]);
        let ([n, k], [o, kw]) = (plane(x)?, plane(w)?);
        if k != kw {
            return Err(Error::shape(format!(
                "the input has {k} features, the weight {} wants {kw}",
                w.shape()
            )));
        }
        let mut y = super::output(x, dtype, &[1, n, o])?;
        let backend = x.device().backend();
        if let Some(bias) = inputs.get(2) {
            if *bias.shape() != [o] {
                return Err(Error::shape(format!(
                    "the bias has shape {}, the weight's {o} rows want [{o}]",
                    bias.shape()
                )));
            }
            backend.copy(&bias.broadcast_to([1, n, o])?, &mut y)?;
        }
        let transposed = w.permute(&[1, 0])?.reshape([1, k, o])?;
        backend.gemm(&x.reshape([1, n, k])?, &transposed, &mut y, inputs.len() == 3)?;
        if cx.needs(1) {
            cx.save_input(0);
        }
        if cx.needs(0) {
            cx.save_input(1);
        }
        y.reshape([n, o])
    }

    fn form(&self) -> Form<'_> {
        Form::Linear
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let of_x = || product(grad, &cx.input(1)?, false);
        let of_w = || product(&grad.transpose(0, 1)?, &cx.input(0)?, true);
        let of_bias = || grad.wide_sum(&[0], false);
        let x = cx.needs(0).then(of_x).transpose()?;
        let w = cx.needs(1).then(of_w).transpose()?;
        let bias = cx.needs(2).then(of_bias).transpose()?;
        Ok([x, w, bias].into_iter().collect())
    }

    fn multiply_adds(&self, inputs: &[Shape], output: &Shape) -> u64 {
        let depth = inputs[0].last().copied().unwrap_or(0);
        (output.numel() as u64).saturating_mul(depth as u64)
    }
}

fn plane(a: &Array) -> Result<[usize; 2]> {
    <[usize; 2]>::try_from(a.shape().dims())
        .map_err(|_| Error::shape(format!("a matrix was expected, got {}", a.shape())))
}

/// # Matrix products
impl Tensor {
    /// The matrix product over the last two dimensions; the ones before broadcast
    /// (`torch.matmul`). A vector on the left is a row, on the right a column.
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let a = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 4.0], [2, 2])?);
    /// let b = Tensor::from(Array::from_slice(&device, &[5.0f64, 6.0], [2])?);
    /// assert_eq!(a.matmul(&b)?.to_vec::<f64>()?, [17.0, 39.0]);
    /// assert_eq!(a.matmul(&a)?.to_vec::<f64>()?, [7.0, 10.0, 15.0, 22.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Sizes that do not fit, or scalars.
    pub fn matmul(&self, other: &Tensor) -> Result<Tensor> {
        let (ra, rb) = (self.shape().rank(), other.shape().rank());
        match (ra, rb) {
            (0, _) | (_, 0) => Err(Error::shape("matmul wants vectors or matrices, got a scalar")),
            (1, 1) if self.shape() != other.shape() => Err(Error::shape(format!(
                "the vectors {} and {} have no product: they must be of one length",
                self.shape(),
                other.shape()
            ))),
            (1, 1) => self.mul(other)?.wide_sum(&[], false)?.cast(self.dtype()),
            (1, _) => {
                let y = self.unsqueeze(0)?.matmul(other)?;
                drop_dim(&y, y.shape().rank() - 2)
            }
            (_, 1) => {
                let y = self.matmul(&other.unsqueeze(1)?)?;
                drop_dim(&y, y.shape().rank() - 1)
            }
            (2..=3, 2..=3) => product(self, other, false),
            _ => {
                let (sa, sb) = (self.shape(), other.shape());
                let batch = Shape::new(&sa[..ra - 2])?.broadcast(&Shape::new(&sb[..rb - 2])?)?;
                let spread = |t: &Tensor, rank: usize| {
                    let tail = &t.shape()[rank - 2..];
                    let full = [batch.dims(), tail].concat();
                    let flat = [&[batch.numel()], tail].concat();
                    t.broadcast_to(Shape::new(&full)?)?.view(Shape::new(&flat)?)
                };
                let y = product(&spread(self, ra)?, &spread(other, rb)?, false)?;
                let sizes = [batch.dims(), &y.shape()[1..]].concat();
                y.view(Shape::new(&sizes)?)
            }
        }
    }

    /// `x w^T + bias` for `x [.., K]`, `w [O, K]`, `bias [O]` (`torch.nn.functional.linear`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0], [1, 2])?);
    /// let weight = Tensor::from(Array::from_slice(&device, &[3.0f64, 4.0, 5.0, 6.0], [2, 2])?);
    /// let bias = Tensor::from(Array::from_slice(&device, &[0.5f64, -0.5], [2])?);
    /// assert_eq!(x.linear(&weight, Some(&bias))?.to_vec::<f64>()?, [11.5, 16.5]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Sizes that do not fit, a mix of data types.
    pub fn linear(&self, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let flat = match self.shape().rank() {
            2 => self.clone(),
            0 => return Err(Error::shape("linear wants [.., features], got a scalar")),
            rank => {
                let features = self.shape()[rank - 1];
                let rows = self.shape()[..rank - 1].iter().product();
                self.view(Shape::new(&[rows, features])?)?
            }
        };
        let y = match bias {
            Some(bias) => Tensor::apply(Linear, &[&flat, weight, bias])?,
            None => Tensor::apply(Linear, &[&flat, weight])?,
        };
        if self.shape().rank() == 2 {
            return Ok(y);
        }
        let rank = self.shape().rank();
        y.view(self.shape().with(rank - 1, y.shape()[1])?)
    }
}

fn drop_dim(t: &Tensor, dim: usize) -> Result<Tensor> {
    let mut sizes = t.shape().to_vec();
    sizes.remove(dim);
    t.view(Shape::new(&sizes)?)
}
