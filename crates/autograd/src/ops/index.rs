//! Reading and adding at indices.

use std::sync::{Arc, LazyLock};

use ferrotape_backend::pointwise::{Compare, Expr, Program};
use ferrotape_backend::{Array, DType, Error, Result, Shape};

use crate::form::Form;
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
        let mut y = super::output_like(x, x.dtype(), *index.shape())?;
        x.device().backend().gather(x, self.dim, index, &mut y)?;
        cx.save_constant(index);
        Ok(y)
    }

    fn form(&self) -> Form<'_> {
        Form::Gather { dim: self.dim }
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let op = ScatterAdd { dim: self.dim, shape: cx.input_shape(0) };
        let gx = Tensor::apply(op, &[grad, &cx.constant(0)?])?;
        Ok([Some(gx), None].into_iter().collect())
    }
}

/// Zeros with the input added at indices along `dim`: the transpose of [`Gather`].
#[derive(Debug)]
pub(super) struct ScatterAdd {
    pub(super) dim: usize,
    pub(super) shape: Shape,
}

impl Op for ScatterAdd {
    fn name(&self) -> &'static str {
        "scatter_add"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let (x, index) = (inputs[0], inputs[1]);
        let mut y = super::output_like(x, x.dtype(), self.shape)?;
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

/// A list of positions along `dim` as an index of every line: a view that repeats the list.
pub(super) fn along(shape: &Shape, dim: usize, index: &Array) -> Result<Array> {
    if index.dtype() != DType::I64 || index.shape().rank() > 1 {
        return Err(Error::argument(format!(
            "wants a list of positions [L] of i64, got {} {}",
            index.dtype(),
            index.shape()
        )));
    }
    let length = index.shape().numel();
    let mut sizes = [1; ferrotape_backend::MAX_RANK];
    sizes[dim] = length;
    index.reshape(&sizes[..shape.rank()])?.broadcast_to(shape.with(dim, length)?)
}

/// A list of positions, or why there is no memory for it.
pub(super) fn positions(count: usize, position: impl Fn(usize) -> i64) -> Result<Vec<i64>> {
    let mut list = Vec::new();
    list.try_reserve_exact(count).map_err(|error| {
        Error::argument(format!("a list of {count} positions cannot be made: {error}"))
    })?;
    list.extend((0..count).map(position));
    Ok(list)
}

/// 1 where an integer is another than `value`, else 0, in f64.
pub(super) fn differs_from(integers: &Array, value: i64) -> Result<Array> {
    static PROGRAM: LazyLock<Arc<Program>> = LazyLock::new(|| {
        Arc::new(Program::new(&[where_equal(&Expr::constant(0.0), &Expr::constant(1.0))]))
    });
    compared(&PROGRAM, integers, &[value as f64])
}

/// The integers with `new` in place of `old`.
pub(super) fn replaced(integers: &Array, old: i64, new: i64) -> Result<Array> {
    static PROGRAM: LazyLock<Arc<Program>> =
        LazyLock::new(|| Arc::new(Program::new(&[where_equal(&Expr::scalar(1), &Expr::input(0))])));
    compared(&PROGRAM, integers, &[old as f64, new as f64])?.cast(DType::I64)
}

/// `then` where the integer equals scalar 0, else `otherwise`.
fn where_equal(then: &Expr, otherwise: &Expr) -> Expr {
    Expr::input(0).select(Compare::Eq, &Expr::scalar(0), then, otherwise)
}

/// What a program makes of integers, in f64: that tells apart all positions that an array can have,
/// which f32 does not beyond 2^24.
fn compared(program: &Arc<Program>, integers: &Array, scalars: &[f64]) -> Result<Array> {
    let mut result = super::output(integers, DType::F64, integers.shape())?;
    let backend = integers.device().backend();
    backend.pointwise(program, scalars, &[integers], &mut [&mut result])?;
    Ok(result)
}

/// # Indexing
impl Tensor {
    /// `y[i][j][k] = x[i][index[i][j][k]][k]` for `dim` = 1; `index` of i64 (`torch.gather`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3])?);
    /// let index = Array::from_slice(&device, &[2i64, 0], [2, 1])?;
    /// assert_eq!(x.gather(1, &index)?.to_vec::<f64>()?, [3.0, 4.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
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
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, Shape, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0], [3])?);
    /// let index = Array::from_slice(&device, &[0i64, 2, 0], [3])?;
    /// assert_eq!(x.scatter_add(0, &index, Shape::new(&[3])?)?.to_vec::<f64>()?, [4.0, 0.0, 2.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit, or an index out of range.
    pub fn scatter_add(&self, dim: isize, index: &Array, shape: Shape) -> Result<Tensor> {
        let dim = self.shape().dim(dim)?;
        Tensor::apply(ScatterAdd { dim, shape }, &[self, &Tensor::from(index.clone())])
    }

    /// The slices at a list of positions along `dim`, in the list's order: `[.., L, ..]` for an
    /// index `[L]` of i64 (`torch.index_select`). A position may occur more than once.
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0], [1, 3])?);
    /// let index = Array::from_slice(&device, &[2i64, 0, 0], [3])?;
    /// assert_eq!(x.index_select(1, &index)?.to_vec::<f64>()?, [3.0, 1.0, 1.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No such dimension; an index that is no list of i64 or is out of range.
    pub fn index_select(&self, dim: isize, index: &Array) -> Result<Tensor> {
        let dim = self.shape().dim(dim)?;
        let index = along(self.shape(), dim, index)?;
        Tensor::apply(Gather { dim }, &[self, &Tensor::from(index)])
    }

    /// The rows of this table `[K, D]` at an index of any shape (i64): `[.., D]`
    /// (`torch.nn.functional.embedding`). The row `padding_idx`, counted from the end when negative,
    /// is read like any other and gets no gradient.
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let table = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 4.0], [2, 2])?);
    /// let words = Array::from_slice(&device, &[1i64, 0, 1], [1, 3])?;
    /// let y = table.embedding(&words, None)?;
    /// assert_eq!(y.shape().dims(), [1, 3, 2]);
    /// assert_eq!(y.to_vec::<f64>()?, [3.0, 4.0, 1.0, 2.0, 3.0, 4.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// This is not `[K, D]`; an index or `padding_idx` out of range; an index that is not i64.
    pub fn embedding(&self, index: &Array, padding_idx: Option<isize>) -> Result<Tensor> {
        let &[rows, width] = self.shape().dims() else {
            return Err(Error::shape(format!(
                "embedding wants a table [K, D], got {}",
                self.shape()
            )));
        };
        let mut sizes = index.shape().to_vec();
        sizes.push(width);
        let shape = Shape::new(&sizes)?;
        let list = index.reshape([index.shape().numel()])?;
        let read = self.index_select(0, &list)?;
        let Some(padding) = padding_idx else { return read.view(shape) };
        let from_start =
            if padding < 0 { padding.checked_add_unsigned(rows) } else { Some(padding) };
        let row = from_start.and_then(|row| usize::try_from(row).ok()).filter(|&row| row < rows);
        let Some(row) = row else {
            return Err(Error::argument(format!(
                "the padding index {padding} is none of the {rows} rows of the table"
            )));
        };
        let mask = differs_from(&list, row as i64)?.cast(DType::U8)?;
        let mask = mask.reshape([list.shape().numel(), 1])?;
        read.select(&mask.into(), &read.detach())?.view(shape)
    }

    /// 1 at each class and 0 elsewhere: `[..]` of i64 becomes `[.., classes]` of a float type
    /// (`torch.nn.functional.one_hot`, which gives integers).
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let classes = Array::from_slice(&device, &[2i64, 0], [2])?;
    /// let y = Tensor::one_hot(&classes, 3, DType::F64)?;
    /// assert_eq!(y.to_vec::<f64>()?, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// A class out of range, classes that are not i64, or a type that is not a float.
    pub fn one_hot(classes: &Array, count: usize, dtype: DType) -> Result<Tensor> {
        let mut sizes = classes.shape().to_vec();
        sizes.push(1);
        let single = Shape::new(&sizes)?;
        let ones = Tensor::from(Array::full(classes.device(), dtype, single, 1.0)?);
        let dim = sizes.len() - 1;
        ones.scatter_add(dim as isize, &classes.reshape(single)?, single.with(dim, count)?)
    }
}
