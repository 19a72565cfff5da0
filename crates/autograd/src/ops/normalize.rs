//! Normalization of rows by their own mean and variance: layer, group and instance norm.

use std::sync::{Arc, LazyLock};

use ferrotape_backend::pointwise::{Expr, Program};
use ferrotape_backend::{Array, Error, Result, Shape};
use smallvec::SmallVec;

use crate::op::{Backward, Forward, InputGrads, Op};
use crate::ops::pointwise::PointwiseFn;
use crate::tensor::Tensor;

type Function = LazyLock<Arc<PointwiseFn>>;

/// What is normalized together: the elements of `view` that differ in dimensions from `from` on.
#[derive(Debug, Clone, Copy)]
struct Rows {
    /// The shape under which rows are seen.
    view: Shape,
    /// The first dimension of `view` within a row.
    from: usize,
    /// What a row's statistic is stretched to before it has the shape `stats`.
    stretched: Shape,
    /// The shape of the statistics beside the input.
    stats: Shape,
}

impl Rows {
    /// Rows over the dimensions of `shape` from `from` on.
    fn trailing(shape: &Shape, from: usize) -> Result<Self> {
        let mut stats = *shape;
        for dim in from..shape.rank() {
            stats = stats.with(dim, 1)?;
        }
        Ok(Rows { view: *shape, from, stretched: stats, stats })
    }

    /// Rows over `groups` groups of neighbouring channels of `[N, C, ..]`, and all that follows.
    fn grouped(shape: &Shape, groups: usize) -> Result<Self> {
        let &[n, c, ref rest @ ..] = shape.dims() else {
            return Err(Error::shape(format!("group norm wants [N, C, ..], got {shape}")));
        };
        let view = [&[n, groups, c / groups], rest].concat();
        let mut stretched = view.clone();
        stretched[3..].fill(1);
        let mut stats = vec![1; shape.rank()];
        stats[..2].copy_from_slice(&[n, c]);
        Ok(Rows {
            view: Shape::new(&view)?,
            from: 2,
            stretched: Shape::new(&stretched)?,
            stats: Shape::new(&stats)?,
        })
    }

    fn size(&self) -> usize {
        self.view[self.from..].iter().product()
    }

    /// The mean of each row, beside the input.
    fn mean(&self, x: &Tensor) -> Result<Tensor> {
        let over: SmallVec<[isize; 8]> =
            (self.from..self.view.rank()).map(|dim| dim as isize).collect();
        let sum = x.view(self.view)?.wide_sum(&over, true)?;
        sum.mul_scalar(1.0 / self.size() as f64)?.broadcast_to(self.stretched)?.view(self.stats)
    }

    /// Mean and `1 / sqrt(var + eps)` of each row.
    fn statistics(&self, x: &Tensor, eps: f64) -> Result<[Tensor; 2]> {
        static DEVIATION: Function = LazyLock::new(|| {
            PointwiseFn::binary("squared_deviation", |x, mean| (x - mean) * (x - mean))
        });
        let mean = self.mean(x)?;
        let var = self.mean(&DEVIATION.apply(&[x, &mean], &[])?)?;
        Ok([mean, var.add_scalar(eps)?.rsqrt()?])
    }
}

/// `y = (x - mean) / sqrt(var + eps) [* weight] [+ bias]` with mean and biased variance of each row.
/// Weight and bias broadcast to the input and are of the accumulator type.
#[derive(Debug)]
struct Normalize {
    name: &'static str,
    rows: Rows,
    weight: bool,
    bias: bool,
    eps: f64,
}

impl Normalize {
    fn program(&self) -> &'static Program {
        static PROGRAMS: LazyLock<[Program; 4]> = LazyLock::new(|| {
            let [x, mean, r, a, b] = [0, 1, 2, 3, 4].map(Expr::input);
            let normal = (x - mean) * r;
            [normal.clone(), &normal + &a, &normal * &a, normal * a + b]
                .map(|expr| Program::new(&[expr]))
        });
        &PROGRAMS[2 * usize::from(self.weight) + usize::from(self.bias)]
    }
}

impl Op for Normalize {
    fn name(&self) -> &'static str {
        self.name
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let x = inputs[0];
        let wide = super::common_float(&inputs[..1])?.accumulator();
        for parameter in &inputs[1..] {
            if parameter.dtype() != wide {
                return Err(Error::dtype(format!(
                    "weight and bias are {}, but {wide} is wanted beside an input of {}; cast() them",
                    parameter.dtype(),
                    x.dtype()
                )));
            }
        }
        let [mean, r] = self.rows.statistics(&Tensor::from(x.cast(wide)?), self.eps)?;
        let mut y = super::output_like(x, x.dtype(), *x.shape())?;
        let mut operands: SmallVec<[&Array; 5]> = SmallVec::new();
        operands.extend([x, mean.array(), r.array()]);
        operands.extend(inputs[1..].iter().copied());
        x.device().backend().pointwise(self.program(), &[], &operands, &mut [&mut y])?;
        cx.save_input(0);
        if self.weight {
            cx.save_input(1);
        }
        cx.save_derived(&mean);
        cx.save_derived(&r);
        Ok(y)
    }

    fn takes_wide_gradient(&self) -> bool {
        true
    }

    /// `gx = r (g - mean(g) - xhat mean(g xhat))` with `g = gy weight`; the others are sums of
    /// `gy xhat` and of `gy`, which the tape adds up.
    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        static NORMAL: Function = LazyLock::new(|| {
            let [x, mean, r] = [0, 1, 2].map(Expr::input);
            PointwiseFn::new("normal", 3, (x - mean) * r)
        });
        static SPREAD: Function = LazyLock::new(|| {
            let [g, normal, r, mean, slope] = [0, 1, 2, 3, 4].map(Expr::input);
            PointwiseFn::new("normalize_grad", 5, (g - mean - normal * slope) * r)
        });
        let wide = cx.input_dtype(0).accumulator();
        let (x, grad) = (cx.input(0)?.cast(wide)?, grad.cast(wide)?);
        let [mean, r] = match cx.recording() {
            true => self.rows.statistics(&x, self.eps)?,
            false => [cx.derived(0)?.into(), cx.derived(1)?.into()],
        };
        let normal = NORMAL.apply(&[&x, &mean, &r], &[])?;
        let mut grads = InputGrads::from_elem(None, cx.inputs());
        if cx.needs(0) {
            let g = if self.weight { grad.mul(&cx.input(1)?)? } else { grad.clone() };
            let (mean, slope) = (self.rows.mean(&g)?, self.rows.mean(&g.mul(&normal)?)?);
            grads[0] = Some(SPREAD.apply(&[&g, &normal, &r, &mean, &slope], &[])?);
        }
        if self.weight && cx.needs(1) {
            grads[1] = Some(grad.mul(&normal)?);
        }
        let last = cx.inputs() - 1;
        if self.bias && cx.needs(last) {
            grads[last] = Some(grad);
        }
        Ok(grads)
    }
}

fn normalize_rows(
    name: &'static str,
    x: &Tensor,
    rows: Rows,
    [weight, bias]: [Option<&Tensor>; 2],
    eps: f64,
) -> Result<Tensor> {
    if eps.is_nan() || eps < 0.0 {
        return Err(Error::argument(format!("eps is {eps}, it must be 0 or more")));
    }
    let op = Normalize { name, rows, weight: weight.is_some(), bias: bias.is_some(), eps };
    let mut inputs: SmallVec<[&Tensor; 3]> = SmallVec::new();
    inputs.push(x);
    inputs.extend([weight, bias].into_iter().flatten());
    Tensor::apply(op, &inputs)
}

/// Weight or bias `[C]` as `[C, 1, ..]`, which broadcasts over `[N, C, ..]`.
fn per_channel(
    name: &str,
    x: &Tensor,
    channels: usize,
    parameter: Option<&Tensor>,
) -> Result<Option<Tensor>> {
    let Some(parameter) = parameter else { return Ok(None) };
    if parameter.shape().dims() != [channels] {
        return Err(Error::shape(format!(
            "the {name} has shape {}, but [{channels}] is wanted, one number a channel",
            parameter.shape()
        )));
    }
    let mut shape = vec![1; x.shape().rank() - 1];
    shape[0] = channels;
    parameter.view(Shape::new(&shape)?).map(Some)
}

/// # Normalization of rows
impl Tensor {
    /// Normalizes the last dimensions, whose sizes are `normalized_shape`, by their mean and biased
    /// variance: `y = (x - mean) / sqrt(var + eps) * weight + bias`; weight and bias have that shape
    /// and the accumulator type (`torch.nn.functional.layer_norm`; Ba et al. 2016).
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0, 3.0, 5.0, 5.0], [2, 2])?);
    /// assert_eq!(x.layer_norm(&[2], None, None, 0.0)?.narrow(0, 0, 1)?.to_vec::<f64>()?, [-1.0, 1.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes or types that do not fit, a negative `eps`.
    pub fn layer_norm(
        &self,
        normalized_shape: &[usize],
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f64,
    ) -> Result<Tensor> {
        if normalized_shape.is_empty() || !self.shape().ends_with(normalized_shape) {
            return Err(Error::shape(format!(
                "the last sizes of {} are not {normalized_shape:?}, which layer norm is to \
                 normalize",
                self.shape()
            )));
        }
        for (name, parameter) in [("weight", weight), ("bias", bias)] {
            if let Some(parameter) = parameter.filter(|p| p.shape().dims() != normalized_shape) {
                return Err(Error::shape(format!(
                    "the {name} has shape {}, but {normalized_shape:?} is wanted",
                    parameter.shape()
                )));
            }
        }
        let rows = Rows::trailing(self.shape(), self.shape().rank() - normalized_shape.len())?;
        normalize_rows("layer_norm", self, rows, [weight, bias], eps)
    }

    /// Normalizes each group of C / groups neighbouring channels of a sample of `[N, C, ..]` by its
    /// mean and biased variance, then scales and shifts each channel by `weight [C]` and `bias [C]`
    /// of the accumulator type (`torch.nn.functional.group_norm`; Wu and He 2018).
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0, 3.0, 5.0, 9.0], [1, 4, 1])?);
    /// let y = x.group_norm(2, None, None, 0.0)?;
    /// assert_eq!(y.to_vec::<f64>()?, [-1.0, 1.0, -1.0, 1.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes or types that do not fit, channels that do not split into the groups, one value in
    /// all of the batch's groups of a number, a negative `eps`.
    pub fn group_norm(
        &self,
        groups: usize,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f64,
    ) -> Result<Tensor> {
        let &[n, c, ref rest @ ..] = self.shape().dims() else {
            return Err(Error::shape(format!("group norm wants [N, C, ..], got {}", self.shape())));
        };
        if groups == 0 || c % groups != 0 {
            return Err(Error::argument(format!("{c} channels do not split into {groups} groups")));
        }
        if n * (c / groups) * rest.iter().product::<usize>() == 1 {
            return Err(Error::shape(format!(
                "group norm needs more than one value a group, got input {} with {groups} groups",
                self.shape()
            )));
        }
        let rows = Rows::grouped(self.shape(), groups)?;
        let weight = per_channel("weight", self, c, weight)?;
        let bias = per_channel("bias", self, c, bias)?;
        normalize_rows("group_norm", self, rows, [weight.as_ref(), bias.as_ref()], eps)
    }

    /// Normalizes each channel of each sample of `[N, C, ..]` by its own mean and biased variance,
    /// then scales and shifts it by `weight [C]` and `bias [C]` of the accumulator type
    /// (`torch.nn.functional.instance_norm` with its input's statistics; Ulyanov et al. 2016).
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0, 3.0, 5.0, 9.0], [1, 2, 2])?);
    /// let y = x.instance_norm(None, None, 0.0)?;
    /// assert_eq!(y.to_vec::<f64>()?, [-1.0, 1.0, -1.0, 1.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes or types that do not fit, images of a single pixel, a negative `eps`.
    pub fn instance_norm(
        &self,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f64,
    ) -> Result<Tensor> {
        let &[_, c, ref rest @ ..] = self.shape().dims() else {
            return Err(Error::shape(format!(
                "instance norm wants [N, C, ..], got {}",
                self.shape()
            )));
        };
        if rest.iter().product::<usize>() == 1 {
            return Err(Error::shape(format!(
                "instance norm needs more than one value a channel of a sample, got input {}",
                self.shape()
            )));
        }
        let rows = Rows::trailing(self.shape(), 2)?;
        let weight = per_channel("weight", self, c, weight)?;
        let bias = per_channel("bias", self, c, bias)?;
        normalize_rows("instance_norm", self, rows, [weight.as_ref(), bias.as_ref()], eps)
    }
}
