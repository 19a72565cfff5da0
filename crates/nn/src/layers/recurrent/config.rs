//! What recurrent layers are made from.

use ferrotape_backend::{Error, Result};

use super::CellConfig;

/// What a [`Recurrent`](crate::Recurrent) layer is made from; the defaults are those of `torch.nn.LSTM`.
///
/// ```
/// use ferrotape_nn::RecurrentConfig;
///
/// let config = RecurrentConfig::new(28, 64).num_layers(2).bidirectional(true).batch_first(true);
/// assert!(config.bias && config.dropout == 0.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecurrentConfig {
    /// Features of the input, I.
    pub input_size: usize,
    /// Features of a state, H.
    pub hidden_size: usize,
    /// How many layers, each of which takes the outputs of the one before.
    pub num_layers: usize,
    /// Whether both products of a cell have a bias.
    pub bias: bool,
    /// Whether input and output are `[N, T, ..]` instead of `[T, N, ..]`. States stay as they are.
    pub batch_first: bool,
    /// The probability that an output of a layer but the last is dropped in training; with one
    /// layer there is nothing to drop.
    pub dropout: f64,
    /// Whether each layer also runs from the end of the sequence to its start.
    pub bidirectional: bool,
}

impl RecurrentConfig {
    /// One layer in one direction, with biases, the time in front.
    ///
    /// ```
    /// use ferrotape_nn::RecurrentConfig;
    ///
    /// let config = RecurrentConfig::new(28, 64);
    /// assert_eq!((config.num_layers, config.directions()), (1, 1));
    /// assert!(config.bias && !config.batch_first);
    /// ```
    #[must_use]
    pub const fn new(input_size: usize, hidden_size: usize) -> Self {
        RecurrentConfig {
            input_size,
            hidden_size,
            num_layers: 1,
            bias: true,
            batch_first: false,
            dropout: 0.0,
            bidirectional: false,
        }
    }

    /// The number of layers.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Lstm, RecurrentConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let lstm = Lstm::new(&init, RecurrentConfig::new(3, 4).num_layers(2))?;
    /// assert_eq!(lstm.cells().len(), 2);
    /// assert_eq!(lstm.cells()[1].weights.config().input_size, 4);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn num_layers(mut self, num_layers: usize) -> Self {
        self.num_layers = num_layers;
        self
    }

    /// With or without biases.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Lstm, Module, RecurrentConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let lstm = Lstm::new(&init, RecurrentConfig::new(3, 4).bias(false))?;
    /// assert_eq!(lstm.parameters().len(), 2);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// The batch or the time in front.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Lstm, Pass, RecurrentConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let lstm = Lstm::new(&init, RecurrentConfig::new(3, 4).batch_first(true))?;
    /// let x = Array::zeros(&device, DType::F32, [2, 5, 3])?.into();
    /// let (y, [h, _]) = lstm.run(&Pass::eval(&device), &x, None)?;
    /// assert_eq!((y.shape().dims(), h.shape().dims()), (&[2, 5, 4][..], &[1, 2, 4][..]));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn batch_first(mut self, batch_first: bool) -> Self {
        self.batch_first = batch_first;
        self
    }

    /// The probability that an output between layers is dropped.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Lstm, RecurrentConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let config = RecurrentConfig::new(3, 4).num_layers(2).dropout(1.5);
    /// assert_eq!(
    ///     Lstm::new(&init.at("lstm"), config).unwrap_err().to_string(),
    ///     "lstm: the dropout probability is 1.5, it must lie between 0 and 1"
    /// );
    /// ```
    #[must_use]
    pub const fn dropout(mut self, dropout: f64) -> Self {
        self.dropout = dropout;
        self
    }

    /// In both directions or in one.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Lstm, Pass, RecurrentConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let lstm = Lstm::new(&init, RecurrentConfig::new(3, 4).bidirectional(true))?;
    /// let x = Array::zeros(&device, DType::F32, [5, 2, 3])?.into();
    /// let (y, _) = lstm.run(&Pass::eval(&device), &x, None)?;
    /// assert_eq!(y.shape().dims(), [5, 2, 2 * 4]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn bidirectional(mut self, bidirectional: bool) -> Self {
        self.bidirectional = bidirectional;
        self
    }

    /// D: how many directions there are.
    ///
    /// ```
    /// use ferrotape_nn::RecurrentConfig;
    ///
    /// assert_eq!(RecurrentConfig::new(3, 4).bidirectional(true).directions(), 2);
    /// ```
    #[must_use]
    pub const fn directions(&self) -> usize {
        if self.bidirectional { 2 } else { 1 }
    }

    /// What the parameters of the cell at a place end with, as in PyTorch: `_l0`, `_l0_reverse`,
    /// `_l1`, ...
    pub(super) fn suffix(&self, index: usize) -> String {
        let (layer, direction) = (index / self.directions(), index % self.directions());
        format!("_l{layer}{}", if direction == 1 { "_reverse" } else { "" })
    }

    pub(super) fn check(&self) -> Result<()> {
        CellConfig::new(self.input_size, self.hidden_size).check()?;
        if self.num_layers == 0 {
            return Err(Error::argument("num_layers is 0, it must be at least 1"));
        }
        if !(0.0..=1.0).contains(&self.dropout) {
            return Err(Error::argument(format!(
                "the dropout probability is {}, it must lie between 0 and 1",
                self.dropout
            )));
        }
        Ok(())
    }
}
