//! The gated recurrent unit.

use ferrotape_autograd::Tensor;
use ferrotape_backend::Result;

use super::weights::step_size;
use super::{CellConfig, CellWeights, Recurrent, RecurrentCell, RecurrentConfig};
use crate::{Init, Layer, Module, Pass, Path};

/// One step of a GRU from `projected = x weight_ihᵀ + bias_ih` on. Means what `torch.gru_cell`
/// means.
///
/// With the rows of `projected` and of `s = h weight_hhᵀ + bias_hh` in the order `r, z, n`:
///
/// ```text
/// r = sigmoid(projected_r + s_r)
/// z = sigmoid(projected_z + s_z)
/// n = tanh(projected_n + r s_n)
/// h' = (1 - z) n + z h
/// ```
///
/// The reset gate multiplies after the product, bias included, as in PyTorch and cuDNN; in the
/// paper it multiplies before.
///
/// `projected` `[.., 3 H]`, the state `[.., H]`, `weight_hh` `[3 H, H]`, `bias_hh` `[3 H]`.
///
/// ```
/// use ferrotape_autograd::Tensor;
/// use ferrotape_backend::{Array, Device, reference::Reference};
/// use ferrotape_nn::gru_step;
///
/// let device = Device::new(Reference::new());
/// let array = |values: &[f64], shape: [usize; 2]| {
///     Array::from_slice(&device, values, shape).map(Tensor::from)
/// };
/// let (projected, weight) = (array(&[0.0; 3], [1, 3])?, array(&[0.0; 3], [3, 1])?);
/// let [h] = gru_step(&projected, &[array(&[4.0], [1, 1])?], &weight, None)?;
/// assert_eq!(h.to_vec::<f64>()?, [2.0]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// Sizes that do not fit, a mix of data types.
pub fn gru_step(
    projected: &Tensor,
    [h]: &[Tensor; 1],
    weight_hh: &Tensor,
    bias_hh: Option<&Tensor>,
) -> Result<[Tensor; 1]> {
    let hidden = step_size(projected, &[h], weight_hh, 3)?;
    let recurrent = h.linear(weight_hh, bias_hh)?;
    let part = |of: &Tensor, index: usize| of.narrow(-1, index * hidden, hidden);
    let gate = |index| part(projected, index)?.add(&part(&recurrent, index)?)?.sigmoid();
    let (reset, update) = (gate(0)?, gate(1)?);
    let candidate = part(projected, 2)?.add(&reset.mul(&part(&recurrent, 2)?)?)?.tanh()?;
    Ok([candidate.add(&update.mul(&h.sub(&candidate)?)?)?])
}

/// A cell whose gates mix the state with a candidate (Cho et al. 2014): the formula is that of
/// [`gru_step`]. Means what `torch.nn.GRUCell` means.
///
/// Weights `[3 H, I]` and `[3 H, H]`, biases `[3 H]`, their rows the gates `r, z, n`. A step takes
/// `[N, I]` and `[N, H]` to `[N, H]`.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{CellConfig, GruCell, Init, Pass, RecurrentCell};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let cell = GruCell::new(&init, CellConfig::new(3, 4))?;
/// let cx = Pass::eval(&device);
/// let x = cx.input(Array::full(&device, DType::F32, [2, 3], 0.5)?)?;
/// let first = cell.step(&cx, &x, None)?;
/// let [h] = cell.step(&cx, &x, Some(&first))?;
/// assert_eq!(h.shape().dims(), [2, 4]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct GruCell {
    /// The parameters, under their own names.
    #[module(rename = "")]
    pub weights: CellWeights,
    path: Path,
}

impl GruCell {
    /// A cell with new parameters in the given scope.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{CellConfig, GruCell, Init};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let cell = GruCell::new(&init, CellConfig::new(3, 4))?;
    /// // Three gates.
    /// assert_eq!(cell.weights.weight_ih.shape().dims(), [12, 3]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// A size of 0; out of memory.
    pub fn new(init: &Init, config: CellConfig) -> Result<Self> {
        let weights = CellWeights::new(init, config, 3)?;
        Ok(GruCell { weights, path: init.path().clone() })
    }
}

impl Layer for GruCell {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || self.step(cx, x, None).map(|[h]| h))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl RecurrentCell<1> for GruCell {
    fn input_size(&self) -> usize {
        self.weights.config().input_size
    }

    fn hidden_size(&self) -> usize {
        self.weights.config().hidden_size
    }

    fn project(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        self.weights.project(cx, x)
    }

    fn advance(&self, cx: &Pass, projected: &Tensor, state: &[Tensor; 1]) -> Result<[Tensor; 1]> {
        let (weight, bias) = self.weights.recurrent(cx)?;
        gru_step(projected, state, &weight, bias.as_ref())
    }
}

/// Layers of [`GruCell`]s along a sequence; see [`Recurrent`]. Means what `torch.nn.GRU` means.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Gru, Init, Pass, RecurrentConfig};
///
/// let device = Device::new(Reference::new());
/// let gru = Gru::new(&Init::new(&device, Rng::new(42)), RecurrentConfig::new(3, 4))?;
/// let x = Array::zeros(&device, DType::F32, [5, 2, 3])?.into();
/// let (y, [h]) = gru.run(&Pass::eval(&device), &x, None)?;
/// assert_eq!((y.shape().dims(), h.shape().dims()), (&[5, 2, 4][..], &[1, 2, 4][..]));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub type Gru = Recurrent<GruCell, 1>;

impl Gru {
    /// Layers with new parameters in the given scope.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Gru, Init, Layer, Pass, RecurrentConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let gru = Gru::new(&init, RecurrentConfig::new(3, 4).bidirectional(true))?;
    /// let x = Array::zeros(&device, DType::F32, [5, 2, 3])?.into();
    /// assert_eq!(gru.forward(&Pass::eval(&device), &x)?.shape().dims(), [5, 2, 8]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Recurrent::of`].
    pub fn new(init: &Init, config: RecurrentConfig) -> Result<Self> {
        Recurrent::of(init, config, GruCell::new)
    }
}

/// A [`Gru`] for [`Sequential::add`](crate::Sequential::add).
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, RecurrentConfig, Sequential, gru};
///
/// let device = Device::new(Reference::new());
/// let model = Sequential::new(&Init::new(&device, Rng::new(1)))
///     .add(gru(RecurrentConfig::new(3, 4).num_layers(2)))?;
/// assert_eq!(model.len(), 1);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub fn gru(config: RecurrentConfig) -> impl FnOnce(&Init) -> Result<Gru> {
    move |init| Gru::new(init, config)
}
