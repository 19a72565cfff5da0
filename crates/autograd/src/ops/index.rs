//! Reading and adding at indices.

use ferrotape_backend::{Array, Result, Shape};

use crate::op::{Backward, Forward, InputGrads, Op};
use crate::tensor::Tensor;

/// `y[i][j] = x[i][index[i][j]]` along `dim`.
#[derive(Debug)]
struct Gather {
    dim: usize,
}

impl Op for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let (x, index) = (inputs[0], inputs[1]);
        let mut y = super::output(x, x.dtype(), index.shape())?;
        x.device().backend().gather(x, self.dim, index, &mut y)?;
        cx.save_constant(index);
        Ok(y)
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let op = ScatterAdd { dim: self.dim, shape: cx.input_shape(0) };
        let gx = Tensor::apply(op, &[grad, &cx.constant(0)?])?;
        Ok([Some(gx), None].into_iter().collect())
    }
}

/// Zeros with the input added at indices along `dim`: the transpose of [`Gather`].
#[derive(Debug)]
struct ScatterAdd {
    dim: usize,
    shape: Shape,
}

impl Op for ScatterAdd {
    fn name(&self) -> &'static str {
        "scatter_add"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let (x, index) = (inputs[0], inputs[1]);
        let mut y = super::output(x, x.dtype(), &self.shape)?;
        let backend = x.device().backend();
        backend.fill(&mut y, 0.0)?;
        backend.scatter_add(x, self.dim, index, &mut y)?;
        cx.save_constant(index);
        Ok(y)
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let gx = Tensor::apply(Gather { dim: self.dim }, &[grad, &cx.constant(0)?])?;
        Ok([Some(gx), None].into_iter().collect())
    }
}

/// # Indexing
impl Tensor {
    /// `y[i][j][k] = x[i][index[i][j][k]][k]` for `dim` = 1; `index` of i64 (`torch.gather`).
    ///
    /// # Errors
    /// Shapes that do not fit, or an index out of range.
    pub fn gather(&self, dim: isize, index: &Array) -> Result<Tensor> {
        let dim = self.shape().dim(dim)?;
        Tensor::apply(Gather { dim }, &[self, &Tensor::from(index.clone())])
    }

    /// Zeros of `shape` with `y[i][index[i][j][k]][k] += x[i][j][k]` for `dim` = 1
    /// (`torch.scatter_add` into zeros).
    ///
    /// # Errors
    /// Shapes that do not fit, or an index out of range.
    pub fn scatter_add(&self, dim: isize, index: &Array, shape: Shape) -> Result<Tensor> {
        let dim = self.shape().dim(dim)?;
        Tensor::apply(ScatterAdd { dim, shape }, &[self, &Tensor::from(index.clone())])
    }
}
