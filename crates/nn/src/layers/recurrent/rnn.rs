//! The plain recurrent cell of Elman 1990.

use ferrotape_autograd::Tensor;
use ferrotape_backend::Result;

use super::weights::step_size;
use super::{CellConfig, CellWeights, Recurrent, RecurrentCell, RecurrentConfig};
use crate::{Init, Layer, Module, Pass, Path};

/// What an [`RnnCell`] applies to its sum.
///
/// ```
/// use ferrotape_autograd::Tensor;
/// use ferrotape_backend::{Array, Device, reference::Reference};
/// use ferrotape_nn::{Nonlinearity, rnn_step};
///
/// let device = Device::new(Reference::new());
/// let zero = || Array::from_slice(&device, &[0.0f64], [1, 1]).map(Tensor::from);
/// let below = Array::from_slice(&device, &[-3.0f64], [1, 1])?.into();
/// for (f, expected) in [(Nonlinearity::Tanh, (-3f64).tanh()), (Nonlinearity::Relu, 0.0)] {
///     let [h] = rnn_step(&below, &[zero()?], &zero()?, None, f)?;
///     assert!((h.item()? - expected).abs() < 1e-12);
/// }
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Nonlinearity {
    /// The hyperbolic tangent.
    #[default]
    Tanh,
    /// `max(x, 0)`.
    Relu,
}

/// One step of a plain recurrent cell: `h' = f(projected + h weight_hhᵀ + bias_hh)`, where
/// `projected = x weight_ihᵀ + bias_ih`. Means what `torch.rnn_tanh_cell` and
/// `torch.rnn_relu_cell` mean, from the input's product on.
///
/// `projected` `[.., H]`, the state `[.., H]`, `weight_hh` `[H, H]`, `bias_hh` `[H]`.
///
/// ```
/// use ferrotape_autograd::Tensor;
/// use ferrotape_backend::{Array, Device, reference::Reference};
/// use ferrotape_nn::{Nonlinearity, rnn_step};
///
/// let device = Device::new(Reference::new());
/// let one = |value: f64| Array::from_slice(&device, &[value], [1, 1]).map(Tensor::from);
/// let [h] = rnn_step(&one(1.0)?, &[one(2.0)?], &one(3.0)?, None, Nonlinearity::Relu)?;
/// assert_eq!(h.to_vec::<f64>()?, [7.0]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// Sizes that do not fit, a mix of data types.
pub fn rnn_step(
    projected: &Tensor,
    [h]: &[Tensor; 1],
    weight_hh: &Tensor,
    bias_hh: Option<&Tensor>,
    nonlinearity: Nonlinearity,
) -> Result<[Tensor; 1]> {
    step_size(projected, &[h], weight_hh, 1)?;
    let sum = projected.add(&h.linear(weight_hh, bias_hh)?)?;
    Ok([match nonlinearity {
        Nonlinearity::Tanh => sum.tanh()?,
        Nonlinearity::Relu => sum.relu()?,
    }])
}

/// A cell whose state is its output:
/// `h' = f(x weight_ihᵀ + bias_ih + h weight_hhᵀ + bias_hh)` with `f` the hyperbolic tangent or
/// ReLU (Elman 1990). Means what `torch.nn.RNNCell` means.
///
/// Weights `[H, I]` and `[H, H]`, biases `[H]`. A step takes `[N, I]` and `[N, H]` to `[N, H]`.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{CellConfig, Init, Nonlinearity, Pass, RecurrentCell, RnnCell};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let cell = RnnCell::new(&init, CellConfig::new(3, 4), Nonlinearity::Tanh)?;
/// let cx = Pass::eval(&device);
/// let x = cx.input(Array::full(&device, DType::F32, [2, 3], 0.5)?)?;
/// let first = cell.step(&cx, &x, None)?;
/// let [h] = cell.step(&cx, &x, Some(&first))?;
/// assert_eq!(h.shape().dims(), [2, 4]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct RnnCell {
    /// The parameters, under their own names.
    #[module(rename = "")]
    pub weights: CellWeights,
    #[module(skip)]
    nonlinearity: Nonlinearity,
    path: Path,
}

impl RnnCell {
    /// A cell with new parameters in the given scope.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{CellConfig, Init, Nonlinearity, RecurrentCell, RnnCell};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let cell = RnnCell::new(&init, CellConfig::new(3, 4), Nonlinearity::Relu)?;
    /// assert_eq!((cell.input_size(), cell.hidden_size()), (3, 4));
    /// assert_eq!(cell.weights.weight_hh.shape().dims(), [4, 4]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// A size of 0; out of memory.
    pub fn new(init: &Init, config: CellConfig, nonlinearity: Nonlinearity) -> Result<Self> {
        let weights = CellWeights::new(init, config, 1)?;
        Ok(RnnCell { weights, nonlinearity, path: init.path().clone() })
    }
}

impl Layer for RnnCell {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || self.step(cx, x, None).map(|[h]| h))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl RecurrentCell<1> for RnnCell {
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
        rnn_step(projected, state, &weight, bias.as_ref(), self.nonlinearity)
    }
}

/// Layers of [`RnnCell`]s along a sequence; see [`Recurrent`]. Means what `torch.nn.RNN` means.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Nonlinearity, Pass, RecurrentConfig, Rnn};
///
/// let device = Device::new(Reference::new());
/// let config = RecurrentConfig::new(3, 4).batch_first(true);
/// let rnn = Rnn::new(&Init::new(&device, Rng::new(42)), config, Nonlinearity::Tanh)?;
/// let x = Array::zeros(&device, DType::F32, [2, 5, 3])?.into();
/// let (y, _) = rnn.run(&Pass::eval(&device), &x, None)?;
/// assert_eq!(y.shape().dims(), [2, 5, 4]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub type Rnn = Recurrent<RnnCell, 1>;

impl Rnn {
    /// Layers with new parameters in the given scope.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Module, Nonlinearity, RecurrentConfig, Rnn};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let config = RecurrentConfig::new(3, 4).num_layers(2);
    /// let rnn = Rnn::new(&init, config, Nonlinearity::Tanh)?;
    /// // The second layer takes the first one's states: 4 (3 + 4) + 2 * 4, then 4 (4 + 4) + 2 * 4.
    /// assert_eq!(rnn.count_parameters(), 36 + 40);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Recurrent::of`].
    pub fn new(init: &Init, config: RecurrentConfig, nonlinearity: Nonlinearity) -> Result<Self> {
        Recurrent::of(init, config, |init, cell| RnnCell::new(init, cell, nonlinearity))
    }
}

/// An [`Rnn`] for [`Sequential::add`](crate::Sequential::add).
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Nonlinearity, RecurrentConfig, Sequential, rnn};
///
/// let device = Device::new(Reference::new());
/// let model = Sequential::new(&Init::new(&device, Rng::new(1)))
///     .add(rnn(RecurrentConfig::new(3, 4), Nonlinearity::Relu))?;
/// assert_eq!(model.len(), 1);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub fn rnn(
    config: RecurrentConfig,
    nonlinearity: Nonlinearity,
) -> impl FnOnce(&Init) -> Result<Rnn> {
    move |init| Rnn::new(init, config, nonlinearity)
}
