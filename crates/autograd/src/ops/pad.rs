//! Padding: what surrounds an array.

use ferrotape_backend::{Array, Error, Result};
use smallvec::SmallVec;

use crate::form::Form;
use crate::op::{Backward, Forward, InputGrads, Op};
use crate::tensor::Tensor;

/// What [`Tensor::pad`] puts around an array.
///
/// ```
/// use ferrotape_autograd::{Tensor, ops::Padding};
/// use ferrotape_backend::{Array, Device, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0], [3])?);
/// let pad = |mode| x.pad(&[2, 1], mode)?.to_vec::<f64>();
/// assert_eq!(pad(Padding::Constant(0.0))?, [0.0, 0.0, 1.0, 2.0, 3.0, 0.0]);
/// assert_eq!(pad(Padding::Reflect)?, [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
/// assert_eq!(pad(Padding::Replicate)?, [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]);
/// assert_eq!(pad(Padding::Circular)?, [2.0, 3.0, 1.0, 2.0, 3.0, 1.0]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Padding {
    /// This number.
    Constant(f64),
    /// The elements mirrored at the edge, which is not repeated: `c b | a b c | b a`.
    Reflect,
    /// The element at the edge: `a a | a b c | c c`.
    Replicate,
    /// The elements of the other end: `b c | a b c | a b`.
    Circular,
}

/// A dimension with how much is put before and behind it.
#[derive(Debug, Clone, Copy)]
struct Margin {
    dim: usize,
    before: usize,
    size: usize,
    behind: usize,
}

impl Margin {
    fn total(&self) -> Result<usize> {
        let total = self.size.checked_add(self.before).and_then(|t| t.checked_add(self.behind));
        total.ok_or_else(|| {
            Error::argument(format!(
                "padding dimension {} of size {} by {} and {} gives more elements than can be \
                 addressed",
                self.dim, self.size, self.before, self.behind
            ))
        })
    }

    /// The positions that the padded dimension is read from.
    fn sources(&self, mode: Padding) -> Result<Vec<i64>> {
        let Margin { dim, before, size, behind } = *self;
        let (largest, name) = match mode {
            Padding::Reflect => (size.saturating_sub(1), "reflect"),
            Padding::Circular => (size, "circular"),
            _ => (if size == 0 { 0 } else { usize::MAX }, "replicate"),
        };
        if before > largest || behind > largest {
            return Err(Error::argument(format!(
                "{name} padding of dimension {dim} by {before} and {behind} wants at most {largest} \
                 for its size {size}"
            )));
        }
        let total = self.total()?;
        let source = |at: usize| match mode {
            Padding::Reflect => {
                let inner = at.abs_diff(before);
                if inner < size || at < before { inner } else { 2 * (size - 1) - inner }
            }
            Padding::Circular => (at + size - before) % size,
            _ => at.saturating_sub(before).min(size - 1),
        };
        super::index::positions(total, |at| source(at) as i64)
    }
}

/// A number all around.
#[derive(Debug)]
struct PadConstant {
    margins: SmallVec<[Margin; 4]>,
    value: f64,
}

impl Op for PadConstant {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn forward(&self, _: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let x = inputs[0];
        let mut shape = *x.shape();
        for margin in &self.margins {
            shape = shape.with(margin.dim, margin.total()?)?;
        }
        let mut y = super::output_like(x, super::common_float(inputs)?, shape)?;
        let backend = x.device().backend();
        backend.fill(&mut y, self.value)?;
        let mut middle = y.clone();
        for margin in &self.margins {
            middle = middle.narrow(margin.dim, margin.before, margin.size)?;
        }
        backend.copy(x, &mut middle)?;
        Ok(y)
    }

    fn form(&self) -> Form<'_> {
        let margin = |m: &Margin| (m.dim, m.before, m.behind);
        Form::Pad { margins: self.margins.iter().map(margin).collect(), value: self.value }
    }

    fn backward(&self, _: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let middle = self.margins.iter().try_fold(grad.clone(), |middle, margin| {
            middle.narrow(margin.dim as isize, margin.before, margin.size)
        });
        Ok(super::one(middle?))
    }
}

/// # Padding
impl Tensor {
    /// The array with margins: `pad` has two sizes a dimension, before and behind, and the last
    /// dimension comes first (`torch.nn.functional.pad`). What is left out is not padded.
    ///
    /// ```
    /// use ferrotape_autograd::{Tensor, ops::Padding};
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0], [3])?);
    /// let padded = |mode| x.pad(&[2, 1], mode)?.to_vec::<f64>();
    /// assert_eq!(padded(Padding::Constant(9.0))?, [9.0, 9.0, 1.0, 2.0, 3.0, 9.0]);
    /// assert_eq!(padded(Padding::Reflect)?, [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
    /// assert_eq!(padded(Padding::Replicate)?, [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]);
    /// assert_eq!(padded(Padding::Circular)?, [2.0, 3.0, 1.0, 2.0, 3.0, 1.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// An odd number of sizes, or more than two a dimension; a margin that reflects as much as the
    /// dimension has, or repeats more; nothing to replicate; not a float.
    pub fn pad(&self, pad: &[usize], mode: Padding) -> Result<Tensor> {
        let rank = self.shape().rank();
        if !pad.len().is_multiple_of(2) || pad.len() / 2 > rank {
            return Err(Error::argument(format!(
                "padding {} wants two sizes a dimension, at most {}, got {pad:?}",
                self.shape(),
                2 * rank
            )));
        }
        let margin = |(from_end, sizes): (usize, &[usize])| {
            let dim = rank - 1 - from_end;
            Margin { dim, before: sizes[0], size: self.shape()[dim], behind: sizes[1] }
        };
        let margins: SmallVec<[Margin; 4]> = pad
            .chunks_exact(2)
            .enumerate()
            .map(margin)
            .filter(|margin| margin.before > 0 || margin.behind > 0)
            .collect();
        if margins.is_empty() {
            return Ok(self.clone());
        }
        if let Padding::Constant(value) = mode {
            return Tensor::apply(PadConstant { margins, value }, &[self]);
        }
        let sources =
            margins.iter().map(|margin| margin.sources(mode)).collect::<Result<Vec<_>>>()?;
        margins.iter().zip(sources).try_fold(self.clone(), |y, (margin, sources)| {
            let index = Array::from_slice(self.device(), &sources, [sources.len()])?;
            y.index_select(margin.dim as isize, &index)
        })
    }
}
