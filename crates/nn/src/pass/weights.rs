//! How a pass hands parameters and activations to layers.

use std::collections::HashMap;

use ferrotape_autograd::{LeafId, Tensor, ops};
use ferrotape_backend::{Context, DType, Result};

use super::Pass;
use crate::Parameter;

/// The casts on this pass's tape: one a parameter and type, however often it is used. Named by
/// the memory and generation they were made from, so that a step in between makes a new one.
pub(super) type Weights = HashMap<(LeafId, DType, u64, u64), Tensor>;

impl Pass {
    /// A parameter in its own type. It is tracked if the pass tracks gradients and the parameter
    /// is trainable.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Linear, LinearConfig, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let fc = Linear::new(&Init::new(&device, Rng::new(42)).at("fc"), LinearConfig::new(3, 2))?;
    /// assert!(Pass::train(&device, Rng::new(1)).param(&fc.weight)?.is_tracked());
    /// assert!(!Pass::eval(&device).param(&fc.weight)?.is_tracked());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The parameter is on another device.
    pub fn param(&self, parameter: &Parameter) -> Result<Tensor> {
        let value = parameter.value();
        self.check(&value).at(|| parameter.path().as_str())?;
        if self.grad && parameter.is_trainable() {
            self.tape.leaf(parameter.id(), value)
        } else if self.trace {
            self.tape.recorded(parameter.id(), value)
        } else {
            Ok(value.into())
        }
        .at(|| parameter.path().as_str())
    }

    /// A parameter in the type that this pass computes in: its own, or that of autocast.
    ///
    /// The converted array is kept beside the parameter until that changes, so a pass over
    /// unchanged weights converts nothing; a tape has one cast a parameter.
    ///
    /// ```
    /// use ferrotape_backend::{DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Linear, LinearConfig, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let fc = Linear::new(&Init::new(&device, Rng::new(42)).at("fc"), LinearConfig::new(3, 2))?;
    /// let cx = Pass::eval(&device).autocast(DType::BF16);
    /// assert_eq!(cx.weight(&fc.weight)?.dtype(), DType::BF16);
    /// assert_eq!(cx.param(&fc.weight)?.dtype(), DType::F32);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The parameter is on another device; out of memory.
    pub fn weight(&self, parameter: &Parameter) -> Result<Tensor> {
        let tensor = self.param(parameter)?;
        let Some(to) = self.target(tensor.dtype()) else { return Ok(tensor) };
        let buffer = tensor.buffer();
        let key = (parameter.id(), to, buffer.id(), buffer.generation());
        if let Some(known) = self.inner().weights.get(&key) {
            return Ok(known.clone());
        }
        let cast = parameter.cast(to)?;
        let tensor = Tensor::apply_known(ops::Cast { to }, &[&tensor], cast)?;
        self.inner().weights.insert(key, tensor.clone());
        Ok(tensor)
    }

    /// An activation in the type that this pass computes in: its own, or that of autocast.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    /// use ferrotape_nn::Pass;
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Array::full(&device, DType::F32, [1], 1.001)?.into();
    /// let cx = Pass::eval(&device).autocast(DType::BF16);
    /// assert_eq!(cx.compute(&x)?.item()?, 1.0);
    /// assert_eq!(Pass::eval(&device).compute(&x)?.dtype(), DType::F32);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Out of memory.
    pub fn compute(&self, x: &Tensor) -> Result<Tensor> {
        match self.target(x.dtype()) {
            Some(dtype) => x.cast(dtype),
            None => Ok(x.clone()),
        }
    }

    /// What autocast makes of a type, if it makes another: f64 stays, as in PyTorch.
    fn target(&self, dtype: DType) -> Option<DType> {
        let eligible = dtype.is_float() && dtype != DType::F64;
        self.autocast.filter(|&to| eligible && to != dtype)
    }
}
