//! What a recurrent cell is, for ours and for a user's own.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Array, Error, Result};

use super::weights::{check_state, state_shape};
use crate::{Layer, Pass};

/// A cell that takes one step along a sequence. Its state is `STATES` tensors, the first of which is
/// its output: one for [`RnnCell`](crate::RnnCell) and [`GruCell`](crate::GruCell), two for
/// [`LstmCell`](crate::LstmCell).
///
/// As a [`Layer`] it takes one step from a state of zeros. [`Recurrent`](crate::Recurrent) runs any
/// cell along a sequence, in layers and directions.
///
/// ```
/// use ferrotape_autograd::Tensor;
/// use ferrotape_backend::{Array, DType, Device, Result, Rng, reference::Reference};
/// use ferrotape_nn::{
///     Init, Layer, Linear, LinearConfig, Module, Pass, Path, Recurrent, RecurrentCell,
///     RecurrentConfig,
/// };
///
/// /// `h' = h / 2 + tanh(fc x)`
/// #[derive(Debug, Module)]
/// struct Leaky {
///     fc: Linear,
///     #[module(skip)]
///     sizes: [usize; 2],
///     path: Path,
/// }
///
/// impl Layer for Leaky {
///     fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
///         cx.within(self, || self.step(cx, x, None).map(|[h]| h))
///     }
///     fn path(&self) -> &Path {
///         &self.path
///     }
/// }
///
/// impl RecurrentCell<1> for Leaky {
///     fn input_size(&self) -> usize {
///         self.sizes[0]
///     }
///     fn hidden_size(&self) -> usize {
///         self.sizes[1]
///     }
///     fn project(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
///         self.fc.forward(cx, x)?.tanh()
///     }
///     fn advance(&self, _: &Pass, projected: &Tensor, [h]: &[Tensor; 1]) -> Result<[Tensor; 1]> {
///         Ok([h.mul_scalar(0.5)?.add(projected)?])
///     }
/// }
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let config = RecurrentConfig::new(3, 4).bidirectional(true);
/// let layer = Recurrent::of(&init, config, |init, cell| {
///     let sizes = [cell.input_size, cell.hidden_size];
///     let fc = Linear::new(&init.at("fc"), LinearConfig::new(sizes[0], sizes[1]))?;
///     Ok(Leaky { fc, sizes, path: init.path().clone() })
/// })?;
/// assert_eq!(layer.named_parameters()[2].0, "fc.weight_l0_reverse");
/// let cx = Pass::eval(&device);
/// let x = cx.input(Array::zeros(&device, DType::F32, [5, 2, 3])?)?;
/// assert_eq!(layer.forward(&cx, &x)?.shape().dims(), [5, 2, 8]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub trait RecurrentCell<const STATES: usize>: Layer {
    /// Features of the input, I.
    fn input_size(&self) -> usize;

    /// Features of the state, H.
    fn hidden_size(&self) -> usize;

    /// What does not depend on the state, for all steps at once: `[.., I]` to `[.., P]`, where P is
    /// the cell's own choice. One large product is faster than one a step.
    ///
    /// # Errors
    /// An input that does not fit.
    fn project(&self, cx: &Pass, x: &Tensor) -> Result<Tensor>;

    /// One step: the next state, each tensor `[.., H]`, from what [`project`](Self::project) made
    /// of the input of this step, `[.., P]`, and the state before.
    ///
    /// # Errors
    /// Sizes that do not fit.
    fn advance(
        &self,
        cx: &Pass,
        projected: &Tensor,
        state: &[Tensor; STATES],
    ) -> Result<[Tensor; STATES]>;

    /// One step on an input `[N, I]` or `[I]` from a state of `[N, H]` or `[H]`, of zeros if there
    /// is none: the next state. It means what calling a cell of `torch.nn` means.
    ///
    /// # Errors
    /// An input or state that does not fit; the path of the cell is in front.
    fn step(
        &self,
        cx: &Pass,
        x: &Tensor,
        state: Option<&[Tensor; STATES]>,
    ) -> Result<[Tensor; STATES]> {
        cx.scope(self.path(), || {
            let (rank, features) = (x.shape().rank(), x.shape().last());
            if !(1..=2).contains(&rank) || features != Some(&self.input_size()) {
                let size = self.input_size();
                return Err(Error::shape(format!(
                    "a step of this cell takes [N, {size}] or [{size}], got {}",
                    x.shape()
                )));
            }
            let projected = self.project(cx, x)?;
            let state = start(cx, self.hidden_size(), x, projected.dtype(), state)?;
            self.advance(cx, &projected, &state)
        })
    }
}

/// The state to begin with beside an input `[.., I]`: that which is given, in the type that the pass
/// computes in, or zeros.
pub(super) fn start<const STATES: usize>(
    cx: &Pass,
    hidden: usize,
    x: &Tensor,
    dtype: ferrotape_backend::DType,
    given: Option<&[Tensor; STATES]>,
) -> Result<[Tensor; STATES]> {
    match given {
        Some(given) => {
            check_state(x, &given.each_ref(), hidden)?;
            array(|index| cx.compute(&given[index]))
        }
        None => {
            let zeros = Tensor::from(Array::zeros(x.device(), dtype, state_shape(x, hidden)?)?);
            array(|_| Ok(zeros.clone()))
        }
    }
}

/// As many tensors as a state has.
pub(super) fn array<const N: usize>(
    make: impl FnMut(usize) -> Result<Tensor>,
) -> Result<[Tensor; N]> {
    let made = (0..N).map(make).collect::<Result<Vec<_>>>()?;
    Ok(made.try_into().expect("one was made for each place of the array"))
}
