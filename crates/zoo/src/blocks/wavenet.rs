//! Causal dilated convolution in one dimension (van den Oord et al.: *WaveNet: a generative model for raw
//! audio*, 2016, figures 3 and 4).

use ferrotape_autograd::Tensor;
use ferrotape_autograd::ops::Padding;
use ferrotape_backend::{Error, Result};
use ferrotape_nn::{Conv1d, Conv1dConfig, Init, Layer, Module, Pass, Path};

/// What a [`WaveNetStack`] is made from.
///
/// ```
/// use ferrotape_zoo::blocks::WaveNetConfig;
///
/// // The stack of the paper's figure 3 sees sixteen samples.
/// let config = WaveNetConfig::new(1, 2, 4);
/// assert_eq!(config.dilations, [1, 2, 4, 8]);
/// assert_eq!(config.receptive_field(), 16);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaveNetConfig {
    /// Channels of the input and of the way through.
    pub channels: usize,
    /// Channels of each layer's output.
    pub skip_channels: usize,
    /// Samples of a window.
    pub kernel: usize,
    /// The dilation of each layer.
    pub dilations: Vec<usize>,
}

impl WaveNetConfig {
    /// Windows of two samples, whose dilation doubles with each layer.
    ///
    /// ```
    /// use ferrotape_zoo::blocks::WaveNetConfig;
    ///
    /// let config = WaveNetConfig::new(16, 32, 10);
    /// assert_eq!((config.kernel, config.dilations[9]), (2, 512));
    /// ```
    #[must_use]
    pub fn new(channels: usize, skip_channels: usize, layers: u32) -> Self {
        let dilations = (0..layers.min(usize::BITS - 1)).map(|layer| 1 << layer).collect();
        WaveNetConfig { channels, skip_channels, kernel: 2, dilations }
    }

    /// How many samples one sample of the output depends on, itself and those before it:
    /// `1 + (K - 1) (d1 + d2 + ..)`.
    ///
    /// ```
    /// use ferrotape_zoo::blocks::WaveNetConfig;
    ///
    /// // The paper repeats 1, 2, 4, .., 512.
    /// let mut config = WaveNetConfig::new(16, 32, 10);
    /// assert_eq!(config.receptive_field(), 1024);
    /// config.dilations.extend(config.dilations.clone());
    /// assert_eq!(config.receptive_field(), 2047);
    /// ```
    #[must_use]
    pub fn receptive_field(&self) -> usize {
        let reach = self.kernel.saturating_sub(1);
        let dilations = self.dilations.iter().map(|&dilation| reach.saturating_mul(dilation));
        dilations.fold(1, usize::saturating_add)
    }
}

/// A layer of a [`WaveNetStack`]: a gated convolution that sees the past alone, with a way around it.
///
/// `z = tanh(filter * x) sigmoid(gate * x)` (equation 2); on to the next layer goes
/// `x + residual z`, out goes `skip z`, `[N, C, T]` and `[N, S, T]`. The last layer has no next.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::Init;
/// use ferrotape_zoo::{blocks::WaveNetConfig, blocks::WaveNetLayer, blocks::wavenet_stack};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(1));
/// let stack = wavenet_stack(&init, &WaveNetConfig::new(3, 5, 4))?;
/// let last: &WaveNetLayer = &stack.layers[3];
/// assert_eq!(last.filter.config().dilation, 8);
/// assert!(last.residual.is_none() && stack.layers[0].residual.is_some());
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct WaveNetLayer {
    /// What is said.
    pub filter: Conv1d,
    /// How much of it is let through.
    pub gate: Conv1d,
    /// 1x1, to the next layer, if there is one.
    pub residual: Option<Conv1d>,
    /// 1x1, out.
    pub skip: Conv1d,
    path: Path,
}

impl WaveNetLayer {
    fn new(init: &Init, config: &WaveNetConfig, dilation: usize, last: bool) -> Result<Self> {
        let channels = config.channels;
        let dilated =
            Conv1dConfig { dilation, ..Conv1dConfig::new(channels, channels, config.kernel) };
        Ok(WaveNetLayer {
            filter: Conv1d::new(&init.at("filter"), dilated)?,
            gate: Conv1d::new(&init.at("gate"), dilated)?,
            residual: match last {
                true => None,
                false => {
                    let config = Conv1dConfig::new(channels, channels, 1);
                    Some(Conv1d::new(&init.at("residual"), config)?)
                }
            },
            skip: Conv1d::new(
                &init.at("skip"),
                Conv1dConfig::new(channels, config.skip_channels, 1),
            )?,
            path: init.path().clone(),
        })
    }

    /// What goes to the next layer, if there is one, and what goes out.
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<(Option<Tensor>, Tensor)> {
        cx.scope(&self.path, || {
            let config = self.filter.config();
            // Zeros before the beginning, none behind the end: no sample sees a later one.
            let before = (config.kernel - 1).saturating_mul(config.dilation);
            let past = x.pad(&[before, 0], Padding::Constant(0.0))?;
            let filter = self.filter.forward(cx, &past)?.tanh()?;
            let z = filter.mul(&self.gate.forward(cx, &past)?.sigmoid()?)?;
            let next = match &self.residual {
                Some(residual) => Some(x.add(&residual.forward(cx, &z)?)?),
                None => None,
            };
            Ok((next, self.skip.forward(cx, &z)?))
        })
    }
}

/// Causal convolutions one after the other whose dilation grows, so that the number of samples seen
/// doubles with each layer and not the cost; the sum of what each layer says comes out.
///
/// `[N, C, T]` to `[N, S, T]`; a sample of the output depends on the
/// [receptive field](WaveNetConfig::receptive_field) that ends at it.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Layer, Pass};
/// use ferrotape_zoo::blocks::{WaveNetConfig, wavenet_stack};
///
/// let device = Device::new(Reference::new());
/// let stack = wavenet_stack(&Init::new(&device, Rng::new(1)), &WaveNetConfig::new(3, 5, 4))?;
/// let cx = Pass::eval(&device);
/// let x = cx.input(Array::zeros(&device, DType::F32, [2, 3, 20])?)?;
/// assert_eq!(stack.forward(&cx, &x)?.shape().dims(), [2, 5, 20]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct WaveNetStack {
    /// The layers.
    pub layers: Vec<WaveNetLayer>,
    path: Path,
}

/// A [`WaveNetStack`] with new parameters.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::Init;
/// use ferrotape_zoo::{blocks::WaveNetConfig, blocks::wavenet_stack};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(1));
/// let stack = wavenet_stack(&init, &WaveNetConfig::new(3, 5, 4))?;
/// assert_eq!(stack.layers.len(), 4);
/// let error = wavenet_stack(&init, &WaveNetConfig::new(3, 5, 0)).unwrap_err().to_string();
/// assert!(error.starts_with("a stack without layers computes nothing"), "{error}");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No layers or channels, an empty window; out of memory. A dilation of 0 is an error of `forward`.
pub fn wavenet_stack(init: &Init, config: &WaveNetConfig) -> Result<WaveNetStack> {
    if config.dilations.is_empty() {
        return Err(Error::argument(
            "a stack without layers computes nothing; give a dilation each",
        ));
    }
    let layer = |(index, &dilation): (usize, &usize)| {
        let scope = init.at("layers").at(&index.to_string());
        WaveNetLayer::new(&scope, config, dilation, index + 1 == config.dilations.len())
    };
    let layers = config.dilations.iter().enumerate().map(layer).collect::<Result<_>>()?;
    Ok(WaveNetStack { layers, path: init.path().clone() })
}

impl Layer for WaveNetStack {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let (mut next, mut sum) = (Some(x.clone()), None::<Tensor>);
            for layer in &self.layers {
                let Some(x) = next else { break };
                let said;
                (next, said) = layer.forward(cx, &x)?;
                sum = Some(match sum {
                    Some(sum) => sum.add(&said)?,
                    None => said,
                });
            }
            sum.ok_or_else(|| Error::argument("a stack without layers computes nothing"))
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
