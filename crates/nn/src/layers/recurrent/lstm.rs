//! Long short-term memory.

use ferrotape_autograd::Tensor;
use ferrotape_backend::Result;

use super::weights::step_size;
use super::{CellConfig, CellWeights, Recurrent, RecurrentCell, RecurrentConfig};
use crate::{Init, Layer, Module, Pass, Path};

/// One step of an LSTM from `projected = x weight_ihᵀ + bias_ih` on. Means what `torch.lstm_cell`
/// means.
///
/// The rows of `projected + h weight_hhᵀ + bias_hh` are the gates `i, f, g, o`, in this order. Then
///
/// ```text
/// c' = sigmoid(f) c + sigmoid(i) tanh(g)
/// h' = sigmoid(o) tanh(c')
/// ```
///
/// `projected` `[.., 4 H]`, the state `h` and `c` `[.., H]`, `weight_hh` `[4 H, H]`, `bias_hh`
/// `[4 H]`.
///
/// ```
/// use ferrotape_autograd::Tensor;
/// use ferrotape_backend::{Array, Device, reference::Reference};
/// use ferrotape_nn::lstm_step;
///
/// let device = Device::new(Reference::new());
/// let zeros = |rows: usize| {
///     Array::from_slice(&device, &vec![0.0f64; rows], [rows, 1]).map(Tensor::from)
/// };
/// let projected = zeros(4)?.transpose(0, 1)?;
/// let one = Array::from_slice(&device, &[1.0f64], [1, 1])?.into();
/// let [_, c] = lstm_step(&projected, &[zeros(1)?, one], &zeros(4)?, None)?;
/// assert_eq!(c.to_vec::<f64>()?, [0.5]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// Sizes that do not fit, a mix of data types.
pub fn lstm_step(
    projected: &Tensor,
    [h, c]: &[Tensor; 2],
    weight_hh: &Tensor,
    bias_hh: Option<&Tensor>,
) -> Result<[Tensor; 2]> {
    let hidden = step_size(projected, &[h, c], weight_hh, 4)?;
    let gates = projected.add(&h.linear(weight_hh, bias_hh)?)?;
    let gate = |index: usize| gates.narrow(-1, index * hidden, hidden);
    let (input, forget) = (gate(0)?.sigmoid()?, gate(1)?.sigmoid()?);
    let (candidate, output) = (gate(2)?.tanh()?, gate(3)?.sigmoid()?);
    let c = forget.mul(c)?.add(&input.mul(&candidate)?)?;
    Ok([output.mul(&c.tanh()?)?, c])
}

/// A cell with a memory `c` that gates write to, forget and read (Hochreiter and Schmidhuber 1997,
/// with the forget gate of Gers et al. 2000): the formula is that of [`lstm_step`]. Means what
/// `torch.nn.LSTMCell` means.
///
/// Weights `[4 H, I]` and `[4 H, H]`, biases `[4 H]`, their rows the gates `i, f, g, o`. A step
/// takes `[N, I]` and the state `h`, `c` of `[N, H]` each to the next state.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{CellConfig, Init, LstmCell, Pass, RecurrentCell};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let cell = LstmCell::new(&init, CellConfig::new(3, 4))?;
/// let cx = Pass::eval(&device);
/// let x = cx.input(Array::full(&device, DType::F32, [2, 3], 0.5)?)?;
/// let first = cell.step(&cx, &x, None)?;
/// let [h, c] = cell.step(&cx, &x, Some(&first))?;
/// assert_eq!((h.shape().dims(), c.shape().dims()), (&[2, 4][..], &[2, 4][..]));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct LstmCell {
    /// The parameters, under their own names.
    #[module(rename = "")]
    pub weights: CellWeights,
    path: Path,
}

impl LstmCell {
    /// A cell with new parameters in the given scope.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{CellConfig, Init, LstmCell};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let cell = LstmCell::new(&init, CellConfig::new(3, 4))?;
    /// // Four gates.
    /// assert_eq!(cell.weights.weight_ih.shape().dims(), [16, 3]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// A size of 0; out of memory.
    pub fn new(init: &Init, config: CellConfig) -> Result<Self> {
        let weights = CellWeights::new(init, config, 4)?;
        Ok(LstmCell { weights, path: init.path().clone() })
    }
}

impl Layer for LstmCell {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || self.step(cx, x, None).map(|[h, _]| h))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl RecurrentCell<2> for LstmCell {
    fn input_size(&self) -> usize {
        self.weights.config().input_size
    }

    fn hidden_size(&self) -> usize {
        self.weights.config().hidden_size
    }

    fn project(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        self.weights.project(cx, x)
    }

    fn advance(&self, cx: &Pass, projected: &Tensor, state: &[Tensor; 2]) -> Result<[Tensor; 2]> {
        let (weight, bias) = self.weights.recurrent(cx)?;
        lstm_step(projected, state, &weight, bias.as_ref())
    }
}

/// Layers of [`LstmCell`]s along a sequence; see [`Recurrent`]. Means what `torch.nn.LSTM` means
/// (without its projections, `proj_size`).
///
/// It learns to say how a wave goes on:
///
/// ```
/// use ferrotape_autograd::Tensor;
/// use ferrotape_backend::{Array, Device, Rng, reference::Reference};
/// use ferrotape_nn::optim::{Adam, AdamConfig, Optimizer};
/// use ferrotape_nn::{Init, Layer, LinearConfig, Module, Pass, RecurrentConfig, Sequential, lstm};
///
/// let device = Device::new(Reference::new());
/// let rng = Rng::new(42);
/// let model = Sequential::new(&Init::new(&device, rng))
///     .add(lstm(RecurrentConfig::new(1, 8)))?
///     .add(LinearConfig::new(8, 1))?;
/// let wave: Vec<f32> = (0..21).map(|t| (0.5 * t as f32).sin()).collect();
/// let [now, next] = [&wave[..20], &wave[1..]]
///     .map(|values| Array::from_slice(&device, values, [20, 1, 1]).map(Tensor::from));
/// let (now, next) = (now?, next?);
///
/// let mut adam = Adam::new(model.parameters(), AdamConfig { lr: 0.05, ..AdamConfig::default() })?;
/// let mut last = f64::INFINITY;
/// for step in 0..100 {
///     let cx = Pass::train(&device, rng.step(step));
///     let loss = model.forward(&cx, &now)?.sub(&next)?.square()?.mean_all()?;
///     adam.step(&loss.backward()?)?;
///     last = loss.item()?;
/// }
/// assert!(last < 0.01, "{last}");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub type Lstm = Recurrent<LstmCell, 2>;

impl Lstm {
    /// Layers with new parameters in the given scope.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Lstm, Module, RecurrentConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let lstm = Lstm::new(&init, RecurrentConfig::new(28, 64))?;
    /// assert_eq!(lstm.count_parameters(), 4 * 64 * (28 + 64 + 2));
    /// let error = Lstm::new(&init.at("lstm"), RecurrentConfig::new(28, 0)).unwrap_err();
    /// assert_eq!(error.to_string(), "lstm: hidden_size is 0, it must be at least 1");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Recurrent::of`].
    pub fn new(init: &Init, config: RecurrentConfig) -> Result<Self> {
        Recurrent::of(init, config, LstmCell::new)
    }
}

/// An [`Lstm`] for [`Sequential::add`](crate::Sequential::add).
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Module, RecurrentConfig, Sequential, lstm};
///
/// let device = Device::new(Reference::new());
/// let model = Sequential::new(&Init::new(&device, Rng::new(1)))
///     .named("memory", lstm(RecurrentConfig::new(3, 4)))?;
/// assert_eq!(model.named_parameters()[0].0, "memory.weight_ih_l0");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub fn lstm(config: RecurrentConfig) -> impl FnOnce(&Init) -> Result<Lstm> {
    move |init| Lstm::new(init, config)
}
