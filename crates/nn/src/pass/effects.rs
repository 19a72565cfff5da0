//! What a pass changes besides computing a result.

use ferrotape_autograd::{Effect, profile};
use ferrotape_backend::{Array, Result};

use super::Pass;
use crate::State;

impl Pass {
    /// Changes a state in place, as batch norm does with its running statistics, and records that
    /// on the tape. Nothing happens in a pass [without effects](Pass::without_effects).
    ///
    /// ```
    /// use ferrotape_backend::{Array, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let level = Init::new(&device, Rng::new(1)).state("level", [], 0.0)?;
    /// let fill = |array: &mut Array| device.backend().fill(array, 3.0);
    /// Pass::eval(&device).without_effects().effect(&level, fill)?;
    /// assert_eq!(level.value().item()?, 0.0);
    /// Pass::eval(&device).effect(&level, fill)?;
    /// assert_eq!(level.value().item()?, 3.0);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`State::update`].
    pub fn effect(
        &self,
        state: &State,
        change: impl FnOnce(&mut Array) -> Result<()>,
    ) -> Result<()> {
        if !self.effects {
            return Ok(());
        }
        let about = || ("effect".to_owned(), state.path().to_string());
        profile::span("forward", about, || state.update(change))?;
        let value = state.value();
        self.tape.record_effect(Effect {
            path: state.path().shared(),
            buffer: value.buffer().id(),
            generation: value.buffer().generation(),
        });
        Ok(())
    }

    /// Whether [`Pass::effect`] does anything, for layers that would compute in vain.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::Pass;
    ///
    /// let device = Device::new(Reference::new());
    /// let cx = Pass::train(&device, Rng::new(1));
    /// assert!(cx.has_effects() && !cx.without_effects().has_effects());
    /// ```
    #[must_use]
    pub fn has_effects(&self) -> bool {
        self.effects
    }
}
