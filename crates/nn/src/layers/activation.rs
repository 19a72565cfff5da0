//! Activation functions as layers.

use std::fmt;

use ferrotape_autograd::Tensor;
use ferrotape_backend::Result;

use crate::{Init, Layer, Module, Pass, Path, Ties, Visitor};

/// Any function of a tensor as a layer, for [`Sequential`](crate::Sequential) and probes. Models
/// that are written out call the tensor's methods instead.
///
/// ```
/// use ferrotape_autograd::Tensor;
/// use ferrotape_backend::{Array, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Activation, Init, Layer, Pass};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(1));
/// let leaky = Activation::new(&init, "leaky_relu", |x: &Tensor| x.leaky_relu(0.1));
/// let x = Array::from_slice(&device, &[-2.0f64, 3.0], [2])?.into();
/// let y = leaky.forward(&Pass::eval(&device), &x)?;
/// assert_eq!(y.to_vec::<f64>()?, [-0.2, 3.0]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Clone)]
pub struct Activation<F> {
    name: &'static str,
    function: F,
    path: Path,
}

impl<F: Fn(&Tensor) -> Result<Tensor>> Activation<F> {
    /// A function under the name that summaries call it by.
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Activation, Init, Layer, Module};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let swish = Activation::new(&init.at("act"), "swish", Tensor::silu);
    /// assert_eq!((swish.kind(), swish.path().as_str()), ("swish", "act"));
    /// ```
    #[must_use]
    pub fn new(init: &Init, name: &'static str, function: F) -> Self {
        Activation { name, function, path: init.path().clone() }
    }
}

/// An [`Activation`] for [`Sequential::add`](crate::Sequential::add), which knows the scope:
/// `activation("relu", Tensor::relu)`.
///
/// ```
/// use ferrotape_autograd::Tensor;
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Sequential, activation};
///
/// let device = Device::new(Reference::new());
/// let model = Sequential::new(&Init::new(&device, Rng::new(1)))
///     .add(activation("tanh", Tensor::tanh))?
///     .add(activation("softmax", |x: &Tensor| x.softmax(-1)))?;
/// assert_eq!(model.len(), 2);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub fn activation<F: Fn(&Tensor) -> Result<Tensor>>(
    name: &'static str,
    function: F,
) -> impl FnOnce(&Init) -> Result<Activation<F>> {
    move |init| Ok(Activation::new(init, name, function))
}

impl<F: Clone> Module for Activation<F> {
    fn visit(&self, _: &mut Visitor<'_>) {}

    fn clone_with(&self, _: &mut Ties) -> Self {
        self.clone()
    }

    fn kind(&self) -> &'static str {
        self.name
    }
}

impl<F> Layer for Activation<F>
where
    F: Fn(&Tensor) -> Result<Tensor> + Clone + Send + Sync + 'static,
{
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || (self.function)(x))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl<F> fmt::Debug for Activation<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Activation({})", self.name)
    }
}
