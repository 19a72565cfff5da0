//! Dropout.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Error, Result};

use crate::layers::IntoLayer;
use crate::{Init, Layer, Module, Pass, Path};

/// What a [`Dropout`] is made from.
///
/// ```
/// assert_eq!(ferrotape_nn::DropoutConfig::default().p, 0.5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DropoutConfig {
    /// The probability that an element is dropped.
    pub p: f64,
}

impl Default for DropoutConfig {
    fn default() -> Self {
        DropoutConfig { p: 0.5 }
    }
}

/// In training mode each element is 0 with probability `p`, else scaled by `1 / (1 - p)`; in
/// evaluation mode nothing changes (Srivastava et al. 2014; `torch.nn.Dropout`).
///
/// The mask depends on the pass's key, the layer's path, how often it ran in the pass, and the
/// element's index: on nothing else.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Dropout, DropoutConfig, Init, Layer, Pass};
///
/// let device = Device::new(Reference::new());
/// let dropout = Dropout::new(&Init::new(&device, Rng::new(1)), DropoutConfig { p: 0.5 })?;
/// let x = Array::full(&device, DType::F32, [100], 1.0)?.into();
/// let y = dropout.forward(&Pass::train(&device, Rng::new(7)), &x)?.to_vec::<f32>()?;
/// assert!(y.iter().all(|&v| v == 0.0 || v == 2.0) && y.contains(&0.0) && y.contains(&2.0));
/// assert_eq!(dropout.forward(&Pass::eval(&device), &x)?.to_vec::<f32>()?, [1.0; 100]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct Dropout {
    #[module(skip)]
    p: f64,
    path: Path,
}

impl Dropout {
    /// A layer of this path.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Dropout, DropoutConfig, Init};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let error = Dropout::new(&init.at("dropout"), DropoutConfig { p: 1.5 }).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "dropout: the dropout probability is 1.5, it must lie between 0 and 1"
    /// );
    /// ```
    ///
    /// # Errors
    /// A probability that is not between 0 and 1.
    pub fn new(init: &Init, config: DropoutConfig) -> Result<Self> {
        if !(0.0..=1.0).contains(&config.p) {
            return Err(Error::argument(format!(
                "the dropout probability is {}, it must lie between 0 and 1",
                config.p
            ))
            .at(init.path().as_str()));
        }
        Ok(Dropout { p: config.p, path: init.path().clone() })
    }
}

impl Layer for Dropout {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            if self.p == 0.0 || !cx.is_training(&self.path) {
                return Ok(x.clone());
            }
            x.dropout(self.p, cx.rng(&self.path))
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl IntoLayer for DropoutConfig {
    fn into_layer(self, init: &Init) -> Result<Box<dyn Layer>> {
        Ok(Box::new(Dropout::new(init, self)?))
    }
}

#[cfg(test)]
mod tests {
    use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};

    use super::*;

    #[test]
    fn masks_repeat_with_the_key_and_differ_between_calls_steps_and_paths() {
        let device = Device::new(Reference::new());
        let init = Init::new(&device, Rng::new(1));
        let make = |name: &str| Dropout::new(&init.at(name), DropoutConfig::default()).unwrap();
        let x: Tensor = Array::full(&device, DType::F32, [64], 1.0).unwrap().into();
        let run =
            |cx: &Pass, layer: &Dropout| layer.forward(cx, &x).unwrap().to_vec::<f32>().unwrap();
        let (one, other) = (make("one"), make("other"));
        let cx = Pass::train(&device, Rng::new(7).step(1));
        let first = run(&cx, &one);
        assert_ne!(first, run(&cx, &one));
        assert_ne!(first, run(&cx, &other));
        assert_eq!(first, run(&Pass::train(&device, Rng::new(7).step(1)), &one));
        assert_ne!(first, run(&Pass::train(&device, Rng::new(7).step(2)), &one));
    }

    #[test]
    fn a_probability_beyond_one_is_an_error() {
        let device = Device::new(Reference::new());
        let init = Init::new(&device, Rng::new(1));
        for p in [-0.1, 1.1, f64::NAN] {
            assert!(Dropout::new(&init, DropoutConfig { p }).is_err());
        }
    }
}
