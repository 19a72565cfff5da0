//! A part of a model that training leaves alone.

use ferrotape_backend::{Error, Result};

use super::loading::list;
use crate::{Mode, Parameter, Pass, Path, State};

/// The norms that [`Module::freeze_matching`](crate::Module::freeze_matching) froze: they are to be
/// in evaluation mode in every pass.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{BatchNormConfig, Conv2dConfig, Frozen, Init, Module, Path, Sequential};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let model = Sequential::new(&init)
///     .named("bn", BatchNormConfig::new(4))?
///     .named("conv", Conv2dConfig::new(4, 4, 1))?;
/// let frozen = model.freeze_matching(&["bn.*", "conv.*"])?;
/// assert_eq!(frozen, Frozen { layers: vec![Path::new("bn")] });
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frozen {
    /// Paths of layers.
    pub layers: Vec<Path>,
}

impl Pass {
    /// The same pass with the frozen norms in evaluation mode: they normalize by their running
    /// statistics and leave these as they are.
    ///
    /// See [`Module::freeze_matching`](crate::Module::freeze_matching).
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Frozen, Mode, Pass, Path};
    ///
    /// let device = Device::new(Reference::new());
    /// let frozen = Frozen { layers: vec![Path::new("layer1.0.bn1")] };
    /// let cx = Pass::train(&device, Rng::new(1)).frozen(&frozen);
    /// assert_eq!(cx.mode(&Path::new("layer1.0.bn1")), Mode::Eval);
    /// assert_eq!(cx.mode(&Path::new("layer1.0.conv1")), Mode::Train);
    /// ```
    #[must_use]
    pub fn frozen(self, frozen: &Frozen) -> Self {
        let layers = frozen.layers.iter();
        layers.fold(self, |pass, layer| pass.mode_for(layer.as_str(), Mode::Eval))
    }
}

pub(super) fn freeze(
    parameters: &[(String, Parameter)],
    states: &[(String, State)],
    patterns: &[&str],
) -> Result<Frozen> {
    let fits = |name: &str, pattern: &str| Path::new(name).matches(pattern);
    for pattern in patterns {
        let parameter = parameters.iter().any(|(name, _)| fits(name, pattern));
        if !parameter && !states.iter().any(|(name, _)| fits(name, pattern)) {
            let names: Vec<String> = parameters.iter().map(|(name, _)| name.clone()).collect();
            return Err(Error::argument(format!(
                "the pattern '{pattern}' fits no parameter, so it would freeze nothing; the \
                 parameters are {}",
                list(&names)
            )));
        }
    }
    let is_frozen = |name: &str| patterns.iter().any(|pattern| fits(name, pattern));
    for (_, parameter) in parameters.iter().filter(|(name, _)| is_frozen(name)) {
        parameter.set_trainable(false);
    }
    let mut layers: Vec<Path> = Vec::new();
    for (_, state) in states.iter().filter(|(name, _)| is_frozen(name)) {
        let layer = state.path().parent();
        if !layers.contains(&layer) {
            layers.push(layer);
        }
    }
    Ok(Frozen { layers })
}
