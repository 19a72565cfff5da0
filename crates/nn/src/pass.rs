//! What a forward pass carries: mode, tracking, tracing, compute type, tape, random keys, probes.

mod effects;
mod record;
mod weights;

pub use record::{Call, Window};

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ferrotape_autograd::{LeafId, Tape, Tensor};
use ferrotape_backend::{Array, DType, Device, Error, ErrorKind, Result, Rng};

use crate::Path;
use weights::Weights;

/// Whether layers behave as in training or as in use: dropout drops, batch norm takes the batch's
/// own statistics.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Dropout, DropoutConfig, Init, Layer, Mode, Pass};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let dropout = Dropout::new(&init, DropoutConfig { p: 1.0 })?;
/// let x = Array::full(&device, DType::F32, [3], 1.0)?.into();
/// for (mode, expected) in [(Mode::Train, [0.0; 3]), (Mode::Eval, [1.0; 3])] {
///     let cx = Pass::train(&device, Rng::new(1)).mode_for("*", mode);
///     assert_eq!(dropout.forward(&cx, &x)?.to_vec::<f32>()?, expected);
/// }
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// As in training.
    Train,
    /// As in use.
    Eval,
}

/// What one forward pass needs to know, handed to every layer.
///
/// Its properties are independent, and no layer infers one from another:
///
/// - *mode* ([`Mode`], overridden by path with [`Pass::mode_for`]),
/// - *gradient tracking* ([`Pass::with_grad`], [`Pass::without_grad`]),
/// - *tracing* ([`Pass::trace`]): everything is recorded on the tape, for summaries,
/// - *autocast* ([`Pass::autocast`]): convolutions, linear layers and matrix products compute in a
///   shorter float type.
///
/// A pass keeps the tape and what it cached alive; drop it after the backward pass. It is made for
/// one step: the same key draws the same dropout masks.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Layer, Linear, LinearConfig, Pass};
///
/// let device = Device::new(Reference::new());
/// let rng = Rng::new(42);
/// let fc = Linear::new(&Init::new(&device, rng), LinearConfig::new(3, 2))?;
/// let cx = Pass::train(&device, rng.step(0));
/// let x = cx.input(Array::full(&device, DType::F32, [4, 3], 1.0)?)?;
/// let loss = fc.forward(&cx, &x)?.square()?.mean_all()?;
/// let gradients = loss.backward()?;
/// assert_eq!(gradients.of(&fc.weight)?.shape().dims(), [2, 3]);
/// assert!(cx.tracks() && !cx.is_traced() && cx.has_effects());
/// assert_eq!((cx.device(), cx.autocast_dtype()), (&device, None));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug)]
pub struct Pass {
    device: Device,
    rng: Rng,
    mode: Mode,
    overrides: Vec<(String, Mode)>,
    grad: bool,
    trace: bool,
    effects: bool,
    autocast: Option<DType>,
    probes: Vec<String>,
    tape: Tape,
    inner: Mutex<Inner>,
}

/// What changes while the pass goes on.
#[derive(Debug, Default)]
struct Inner {
    /// How often each path asked for a random key.
    draws: HashMap<Path, u64>,
    weights: Weights,
    found: Vec<(Path, Tensor)>,
    calls: Vec<Call>,
    depth: usize,
    /// The error on its way up has a path already.
    failed: bool,
}

impl Pass {
    fn new(device: &Device, rng: Rng, mode: Mode, grad: bool) -> Self {
        Pass {
            device: device.clone(),
            rng,
            mode,
            overrides: Vec::new(),
            grad,
            trace: false,
            effects: true,
            autocast: None,
            probes: Vec::new(),
            tape: Tape::new(),
            inner: Mutex::default(),
        }
    }

    /// A pass in training mode that tracks gradients. `rng` is the key of this step.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, Linear, LinearConfig, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let fc = Linear::new(&Init::new(&device, Rng::new(42)).at("fc"), LinearConfig::new(3, 2))?;
    /// let x = Array::full(&device, DType::F32, [4, 3], 1.0)?.into();
    /// // The key of a step draws the same dropout masks in every run.
    /// let cx = Pass::train(&device, Rng::new(42).step(7));
    /// assert!(fc.forward(&cx, &x)?.is_tracked());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn train(device: &Device, rng: Rng) -> Self {
        Self::new(device, rng, Mode::Train, true)
    }

    /// A pass in evaluation mode that tracks no gradients.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, Linear, LinearConfig, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let fc = Linear::new(&Init::new(&device, Rng::new(42)).at("fc"), LinearConfig::new(3, 2))?;
    /// let x = Array::full(&device, DType::F32, [4, 3], 1.0)?.into();
    /// assert!(!fc.forward(&Pass::eval(&device), &x)?.is_tracked());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn eval(device: &Device) -> Self {
        Self::new(device, Rng::new(0), Mode::Eval, false)
    }

    /// The same pass with gradients of parameters and variables.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, Linear, LinearConfig, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let fc = Linear::new(&Init::new(&device, Rng::new(42)).at("fc"), LinearConfig::new(3, 2))?;
    /// let x = Array::full(&device, DType::F32, [4, 3], 1.0)?.into();
    /// let cx = Pass::eval(&device).with_grad();
    /// let gradients = fc.forward(&cx, &x)?.sum_all()?.backward()?;
    /// assert!(gradients.get(&fc.weight).is_some());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn with_grad(mut self) -> Self {
        self.grad = true;
        self
    }

    /// The same pass without gradients.
    ///
    /// In training mode this is how statistics are taken anew, as after averaging weights.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{BatchNorm2d, BatchNormConfig, Init, Layer, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let bn = BatchNorm2d::new(&init, BatchNormConfig::new(1))?;
    /// let x = Array::full(&device, DType::F32, [1, 1, 2, 2], 5.0)?.into();
    /// let cx = Pass::train(&device, Rng::new(1)).without_grad();
    /// assert!(!bn.forward(&cx, &x)?.is_tracked() && cx.tape().is_empty());
    /// let mean = bn.running.as_ref().map(|running| running.mean.value().item()).transpose()?;
    /// assert_eq!(mean, Some(0.5));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn without_grad(mut self) -> Self {
        self.grad = false;
        self
    }

    /// The same pass with convolutions, linear layers and matrix products in this float type.
    /// Statistics, losses and f64 tensors stay as they are (`torch.autocast`).
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, Linear, LinearConfig, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let fc = Linear::new(&Init::new(&device, Rng::new(42)).at("fc"), LinearConfig::new(3, 2))?;
    /// let x = Array::full(&device, DType::F32, [4, 3], 1.0)?.into();
    /// let y = fc.forward(&Pass::eval(&device).autocast(DType::BF16), &x)?;
    /// assert_eq!((y.dtype(), fc.weight.dtype()), (DType::BF16, DType::F32));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn autocast(mut self, dtype: DType) -> Self {
        self.autocast = Some(dtype);
        self
    }

    /// The same pass with everything it computes recorded on [`Pass::tape`], whether or not
    /// gradients are tracked, and with the [calls](Pass::calls) of layers.
    ///
    /// Inputs and frozen parameters are on the tape too, so it holds more memory than training
    /// needs; they get no gradients by it.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, Linear, LinearConfig, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let fc = Linear::new(&Init::new(&device, Rng::new(42)).at("fc"), LinearConfig::new(3, 2))?;
    /// let x = Array::full(&device, DType::F32, [4, 3], 1.0)?;
    /// let cx = Pass::eval(&device).trace();
    /// fc.forward(&cx, &cx.input(x)?)?;
    /// let work: u64 = cx.tape().nodes().iter().map(|node| node.multiply_adds).sum();
    /// assert_eq!((work, cx.calls()[0].path.as_str()), (4 * 3 * 2, "fc"));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn trace(mut self) -> Self {
        self.trace = true;
        self.tape.keep_constants();
        self
    }

    /// The same pass with the layers whose path fits the [pattern](Path::matches) in this mode.
    /// The last pattern that fits decides.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Mode, Pass, Path};
    ///
    /// let device = Device::new(Reference::new());
    /// let frozen = Pass::train(&device, Rng::new(1)).mode_for("*bn*", Mode::Eval);
    /// assert_eq!(frozen.mode(&Path::new("layer1.0.bn1")), Mode::Eval);
    /// assert_eq!(frozen.mode(&Path::new("dropout")), Mode::Train);
    /// ```
    #[must_use]
    pub fn mode_for(mut self, pattern: impl Into<String>, mode: Mode) -> Self {
        self.overrides.push((pattern.into(), mode));
        self
    }

    /// The same pass with another random key.
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Pass, Path};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::full(&device, DType::F32, [64], 1.0)?);
    /// let layer = Path::new("dropout");
    /// let draw = |cx: Pass| x.dropout(0.5, cx.rng(&layer))?.to_vec::<f32>();
    /// let one = draw(Pass::train(&device, Rng::new(1)))?;
    /// assert_ne!(one, draw(Pass::train(&device, Rng::new(2)))?);
    /// assert_eq!(one, draw(Pass::train(&device, Rng::new(2)).with_rng(Rng::new(1)))?);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn with_rng(mut self, rng: Rng) -> Self {
        self.rng = rng;
        self
    }

    /// The same pass leaving states (running statistics) as they are: for gradient checks and for
    /// computing a pass a second time.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{BatchNorm2d, BatchNormConfig, Init, Layer, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let bn = BatchNorm2d::new(&init, BatchNormConfig::new(1))?;
    /// let x = Array::full(&device, DType::F32, [1, 1, 2, 2], 5.0)?.into();
    /// bn.forward(&Pass::train(&device, Rng::new(1)).without_effects(), &x)?;
    /// let mean = bn.running.as_ref().map(|running| running.mean.value().item()).transpose()?;
    /// assert_eq!(mean, Some(0.0));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn without_effects(mut self) -> Self {
        self.effects = false;
        self
    }

    /// The same pass keeping the outputs of the layers whose path fits the
    /// [pattern](Path::matches); see [`Pass::probes`].
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, Linear, LinearConfig, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let fc = Linear::new(&Init::new(&device, Rng::new(42)).at("fc"), LinearConfig::new(3, 2))?;
    /// let x = Array::full(&device, DType::F32, [4, 3], 1.0)?.into();
    /// let cx = Pass::eval(&device).probe("fc");
    /// let y = fc.forward(&cx, &x)?;
    /// assert_eq!(cx.probes()[0].1.to_vec::<f32>()?, y.to_vec::<f32>()?);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn probe(mut self, pattern: impl Into<String>) -> Self {
        self.probes.push(pattern.into());
        self
    }

    /// The mode of the layer at this path.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Mode, Pass, Path};
    ///
    /// let device = Device::new(Reference::new());
    /// let cx = Pass::train(&device, Rng::new(1)).mode_for("body.*", Mode::Eval);
    /// assert_eq!(cx.mode(&Path::new("body.bn1")), Mode::Eval);
    /// assert_eq!(cx.mode(&Path::new("fc")), Mode::Train);
    /// ```
    #[must_use]
    pub fn mode(&self, path: &Path) -> Mode {
        let fits = |(pattern, _): &&(String, Mode)| path.matches(pattern);
        self.overrides.iter().rev().find(fits).map_or(self.mode, |(_, mode)| *mode)
    }

    /// Whether the layer at this path is in training mode.
    ///
    /// ```
    /// use ferrotape_backend::{Device, reference::Reference};
    /// use ferrotape_nn::{Mode, Pass, Path};
    ///
    /// let device = Device::new(Reference::new());
    /// let cx = Pass::eval(&device).mode_for("dropout", Mode::Train);
    /// assert!(cx.is_training(&Path::new("dropout")) && !cx.is_training(&Path::new("bn")));
    /// ```
    #[must_use]
    pub fn is_training(&self, path: &Path) -> bool {
        self.mode(path) == Mode::Train
    }

    /// Whether gradients are tracked.
    #[must_use]
    pub fn tracks(&self) -> bool {
        self.grad
    }

    /// Whether everything is recorded.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.trace
    }

    /// The type that convolutions, linear layers and matrix products compute in, if it is not that
    /// of their parameters.
    ///
    /// ```
    /// use ferrotape_backend::{DType, Device, reference::Reference};
    /// use ferrotape_nn::Pass;
    ///
    /// let device = Device::new(Reference::new());
    /// assert_eq!(Pass::eval(&device).autocast_dtype(), None);
    /// assert_eq!(Pass::eval(&device).autocast(DType::F16).autocast_dtype(), Some(DType::F16));
    /// ```
    #[must_use]
    pub fn autocast_dtype(&self) -> Option<DType> {
        self.autocast
    }

    /// Where everything is computed.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What was recorded. Empty unless gradients are tracked or the pass is traced.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, Linear, LinearConfig, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let fc = Linear::new(&init.at("fc"), LinearConfig::new(3, 2))?;
    /// let x = Array::zeros(&device, DType::F32, [4, 3])?.into();
    /// let cx = Pass::train(&device, Rng::new(1));
    /// assert!(cx.tape().is_empty());
    /// fc.forward(&cx, &x)?;
    /// let nodes = cx.tape().nodes();
    /// assert_eq!(nodes.last().and_then(|node| node.path.as_deref()), Some("fc"));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn tape(&self) -> &Tape {
        &self.tape
    }

    /// The key of the next random draw of the layer at this path: it depends on the pass's key,
    /// the path, and how often this path asked before.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Pass, Path};
    ///
    /// let device = Device::new(Reference::new());
    /// let draws = || {
    ///     let cx = Pass::train(&device, Rng::new(7));
    ///     ["a", "a", "b"].map(|path| cx.rng(&Path::new(path)))
    /// };
    /// let [first, second, other] = draws();
    /// assert!(first != second && first != other);
    /// assert_eq!(draws(), [first, second, other], "another pass with this key draws the same");
    /// ```
    #[must_use]
    pub fn rng(&self, path: &Path) -> Rng {
        let mut inner = self.inner();
        let count = inner.draws.entry(path.clone()).or_default();
        let key = self.rng.path(path).call(*count);
        *count += 1;
        key
    }

    /// Data to compute on. An array has no gradient (but is on the tape of a traced pass); a
    /// tensor stays what it is.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, ErrorKind, reference::Reference};
    /// use ferrotape_nn::Pass;
    ///
    /// let device = Device::new(Reference::new());
    /// let elsewhere = Device::new(Reference::new());
    /// let cx = Pass::eval(&device);
    /// assert!(!cx.input(Array::zeros(&device, DType::F32, [2])?)?.is_tracked());
    /// let error = cx.input(Array::zeros(&elsewhere, DType::F32, [2])?).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::DeviceMismatch);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// It is on another device.
    pub fn input(&self, data: impl Into<Tensor>) -> Result<Tensor> {
        let tensor = data.into();
        self.check(&tensor)?;
        if self.trace && !tensor.is_tracked() && tensor.dtype().is_float() {
            return self.tape.recorded(LeafId::fresh(), tensor.into_array());
        }
        Ok(tensor)
    }

    /// Data whose gradient is wanted, as for a saliency map.
    ///
    /// ```
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    /// use ferrotape_nn::Pass;
    ///
    /// let device = Device::new(Reference::new());
    /// let cx = Pass::eval(&device).with_grad();
    /// let x = cx.variable(Array::from_slice(&device, &[3.0f64], [1])?)?;
    /// assert_eq!(x.square()?.sum_all()?.backward()?.of(&x)?.item()?, 6.0);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// It is on another device; not of floats; the pass does not track gradients.
    pub fn variable(&self, array: Array) -> Result<Tensor> {
        self.check(&array)?;
        if !self.grad {
            return Err(Error::gradient(
                "this pass tracks no gradients, so it has no variables; make it with_grad(), or \
                 use input()",
            ));
        }
        self.tape.variable(array)
    }

    fn check(&self, array: &Array) -> Result<()> {
        if *array.device() == self.device {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::DeviceMismatch,
            format!(
                "the input is on {}, the pass on {}; move it with to_device()",
                array.device(),
                self.device
            ),
        ))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
