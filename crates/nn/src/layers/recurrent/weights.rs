//! What the cells have in common: two weights and two biases, shared over time.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Context, Error, Result, Shape};

use crate::{Distribution, Init, Module, Parameter, Pass};

/// What a cell is made from.
///
/// ```
/// use ferrotape_nn::CellConfig;
///
/// assert!(!CellConfig::new(28, 64).bias(false).bias);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellConfig {
    /// Features of the input of a step, I.
    pub input_size: usize,
    /// Features of the state, H.
    pub hidden_size: usize,
    /// Whether both products have a bias.
    pub bias: bool,
}

impl CellConfig {
    /// With biases.
    ///
    /// ```
    /// use ferrotape_nn::CellConfig;
    ///
    /// let config = CellConfig::new(28, 64);
    /// assert_eq!((config.input_size, config.hidden_size, config.bias), (28, 64, true));
    /// ```
    #[must_use]
    pub const fn new(input_size: usize, hidden_size: usize) -> Self {
        CellConfig { input_size, hidden_size, bias: true }
    }

    /// With or without biases.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{CellConfig, GruCell, Init, Module};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let cell = GruCell::new(&init, CellConfig::new(3, 2).bias(false))?;
    /// assert_eq!(cell.count_parameters(), 3 * 2 * (3 + 2));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        for (name, size) in [("input_size", self.input_size), ("hidden_size", self.hidden_size)] {
            if size == 0 {
                return Err(Error::argument(format!("{name} is 0, it must be at least 1")));
            }
        }
        Ok(())
    }
}

/// The parameters of a cell with `G` gates, under PyTorch's names and in its order: the gates lie
/// one after the other in the rows.
///
/// Every element starts uniform in ±1 / sqrt(H), as in `torch.nn.RNNCell`. The parameters are the
/// same at each step, so that each has one gradient, the sum over the steps.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{CellConfig, CellWeights, Init, Module};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(1));
/// let weights = CellWeights::new(&init, CellConfig::new(3, 2), 4)?;
/// assert_eq!(weights.weight_hh.shape().dims(), [8, 2]);
/// assert_eq!(weights.count_parameters(), 8 * (3 + 2) + 2 * 8);
/// assert_eq!(weights.config(), &CellConfig::new(3, 2));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct CellWeights {
    /// `[G H, I]`: what the input is multiplied by.
    pub weight_ih: Parameter,
    /// `[G H, H]`: what the state is multiplied by.
    pub weight_hh: Parameter,
    /// `[G H]`, added to the input's product.
    pub bias_ih: Option<Parameter>,
    /// `[G H]`, added to the state's product.
    pub bias_hh: Option<Parameter>,
    #[module(skip)]
    config: CellConfig,
}

impl CellWeights {
    /// New parameters in the given scope, for a cell with this many gates.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{CellConfig, CellWeights, Init};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let error = CellWeights::new(&init.at("cell"), CellConfig::new(0, 2), 4).unwrap_err();
    /// assert_eq!(error.to_string(), "cell: input_size is 0, it must be at least 1");
    /// ```
    ///
    /// # Errors
    /// A size of 0; out of memory.
    pub fn new(init: &Init, config: CellConfig, gates: usize) -> Result<Self> {
        config.check().at(|| init.path().as_str())?;
        let CellConfig { input_size, hidden_size, bias } = config;
        let rows = hidden_size.saturating_mul(gates);
        let start = Distribution::layer_default(hidden_size);
        let bias = |name| bias.then(|| init.parameter(name, [rows], start)).transpose();
        Ok(CellWeights {
            weight_ih: init.parameter("weight_ih", [rows, input_size], start)?,
            weight_hh: init.parameter("weight_hh", [rows, hidden_size], start)?,
            bias_ih: bias("bias_ih")?,
            bias_hh: bias("bias_hh")?,
            config,
        })
    }

    /// What they were made from.
    #[must_use]
    pub fn config(&self) -> &CellConfig {
        &self.config
    }

    /// `x weight_ihᵀ + bias_ih` for any number of steps: `[.., I]` to `[.., G H]`.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{CellConfig, CellWeights, Init, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let weights = CellWeights::new(&init, CellConfig::new(3, 2), 4)?;
    /// // All steps of a sequence [T, N, I] at once.
    /// let x = Array::zeros(&device, DType::F32, [5, 1, 3])?.into();
    /// assert_eq!(weights.project(&Pass::eval(&device), &x)?.shape().dims(), [5, 1, 8]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// An input that does not fit.
    pub fn project(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        let bias = self.bias_ih.as_ref().map(|bias| cx.weight(bias)).transpose()?;
        cx.compute(x)?.linear(&cx.weight(&self.weight_ih)?, bias.as_ref())
    }

    /// `weight_hh` and `bias_hh` in the type that the pass computes in.
    ///
    /// ```
    /// use ferrotape_backend::{DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{CellConfig, CellWeights, Init, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let weights = CellWeights::new(&init, CellConfig::new(3, 2).bias(false), 4)?;
    /// let (weight_hh, bias_hh) = weights.recurrent(&Pass::eval(&device).autocast(DType::BF16))?;
    /// assert_eq!((weight_hh.dtype(), bias_hh.is_none()), (DType::BF16, true));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Pass::weight`].
    pub fn recurrent(&self, cx: &Pass) -> Result<(Tensor, Option<Tensor>)> {
        let bias = self.bias_hh.as_ref().map(|bias| cx.weight(bias)).transpose()?;
        Ok((cx.weight(&self.weight_hh)?, bias))
    }
}

/// The hidden size H of a step, after checking that everything fits: broadcasting would hide a
/// state of another batch.
pub(super) fn step_size(
    projected: &Tensor,
    state: &[&Tensor],
    weight_hh: &Tensor,
    gates: usize,
) -> Result<usize> {
    let &[rows, hidden] = weight_hh.shape().dims() else {
        return Err(Error::shape(format!(
            "weight_hh is a matrix [{gates} H, H], not of shape {}",
            weight_hh.shape()
        )));
    };
    if hidden.checked_mul(gates) != Some(rows) {
        return Err(Error::shape(format!(
            "weight_hh of a cell with {gates} gates is [{gates} H, H], not {}",
            weight_hh.shape()
        )));
    }
    if projected.shape().last() != Some(&rows) {
        return Err(Error::shape(format!(
            "the input's product has shape {}, with weight_hh {} it must be [.., {rows}]",
            projected.shape(),
            weight_hh.shape()
        )));
    }
    check_state(projected, state, hidden)?;
    Ok(hidden)
}

/// A state has the sizes of its input but for the features.
pub(super) fn check_state(input: &Tensor, state: &[&Tensor], hidden: usize) -> Result<()> {
    let expected = state_shape(input, hidden)?;
    match state.iter().find(|part| *part.shape() != expected) {
        Some(part) => Err(Error::shape(format!(
            "the state has shape {}, for an input of shape {} it must be {expected}",
            part.shape(),
            input.shape()
        ))),
        None => Ok(()),
    }
}

/// The sizes of a state beside an input `[.., features]`.
pub(super) fn state_shape(input: &Tensor, hidden: usize) -> Result<Shape> {
    match input.shape().rank().checked_sub(1) {
        Some(last) => input.shape().with(last, hidden),
        None => Err(Error::shape("a cell takes an input [.., features], got a scalar")),
    }
}
