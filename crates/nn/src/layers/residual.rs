//! A body with a way around it.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Error, Result};

use crate::{Init, Layer, Module, Pass, Path};

/// `body(x) + shortcut(x)`, where no shortcut means `x` itself (He et al. 2016, equation 1).
///
/// ```
/// use ferrotape_autograd::Tensor;
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Conv2dConfig, Init, Layer, Pass, Residual, Sequential, activation};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let block = Residual::new(&init, |init: &Init| {
///     Sequential::new(init)
///         .add(Conv2dConfig::new(4, 4, 3).padding(1))?
///         .add(activation("relu", Tensor::relu))
/// })?;
/// let x = Array::zeros(&device, DType::F32, [2, 4, 6, 6])?.into();
/// assert_eq!(block.forward(&Pass::eval(&device), &x)?.shape().dims(), [2, 4, 6, 6]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct Residual {
    /// What is learned.
    pub body: Box<dyn Layer>,
    /// What brings the input to the body's shape, where that is needed.
    pub shortcut: Option<Box<dyn Layer>>,
    path: Path,
}

impl Residual {
    /// The body is made in the scope `body`; the shortcut is the identity.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Conv2dConfig, Init, Layer, Pass, Residual};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let block = Residual::new(&init.at("block"), Conv2dConfig::new(4, 8, 1))?;
    /// assert_eq!(block.body.path().as_str(), "block.body");
    /// let x = Array::zeros(&device, DType::F32, [1, 4, 2, 2])?.into();
    /// let error = block.forward(&Pass::eval(&device), &x).unwrap_err().to_string();
    /// assert!(error.starts_with("block: the body gives [1, 8, 2, 2], the shortcut [1, 4, 2, 2]"));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// What the body's constructor says.
    pub fn new(init: &Init, body: impl crate::IntoLayer) -> Result<Self> {
        let body = body.into_layer(&init.at("body"))?;
        Ok(Residual { body, shortcut: None, path: init.path().clone() })
    }

    /// The same with a shortcut, made in the scope `shortcut`.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Conv2dConfig, Init, Layer, Pass, Residual};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let block = Residual::new(&init, Conv2dConfig::new(2, 4, 3).padding(1))?
    ///     .with_shortcut(&init, Conv2dConfig::new(2, 4, 1))?;
    /// let x = Array::zeros(&device, DType::F32, [1, 2, 6, 6])?.into();
    /// assert_eq!(block.forward(&Pass::eval(&device), &x)?.shape().dims(), [1, 4, 6, 6]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// What the shortcut's constructor says.
    pub fn with_shortcut(mut self, init: &Init, shortcut: impl crate::IntoLayer) -> Result<Self> {
        self.shortcut = Some(shortcut.into_layer(&init.at("shortcut"))?);
        Ok(self)
    }
}

impl Layer for Residual {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let learned = self.body.forward(cx, x)?;
            let around = match &self.shortcut {
                Some(shortcut) => shortcut.forward(cx, x)?,
                None => x.clone(),
            };
            if learned.shape() != around.shape() {
                return Err(Error::shape(format!(
                    "the body gives {}, the shortcut {}; give the shortcut a layer that brings \
                     its input to the body's shape",
                    learned.shape(),
                    around.shape()
                )));
            }
            learned.add(&around.cast(learned.dtype())?)
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
