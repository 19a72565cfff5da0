//! What holds parameters: the `Module` trait and what every module can do.

mod containers;
mod freezing;
mod loading;
mod tying;
mod visitor;

pub use freezing::Frozen;
pub use loading::Loaded;
pub use visitor::{Item, Ties, Visitor};

use std::collections::HashSet;

use ferrotape_backend::{DType, Result};

use crate::{Parameter, State, StateDict};
use loading::Fit;

/// Something with parameters inside, named by its fields.
///
/// `#[derive(Module)]` writes both methods from the fields, and a `Clone` that is deep: the clone
/// has parameters of its own, and what was tied in the original is tied in the clone. A field's
/// type must be a module too ([`Parameter`], [`State`], layers, `Vec`, `Option`, `Box`, arrays,
/// tuples); plain attributes are marked `#[module(skip)]`. `#[module(rename = "...")]` gives a
/// field another name.
///
/// ```
/// use ferrotape_backend::{DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Distribution, Init, Module, Parameter};
///
/// #[derive(Debug, Module)]
/// struct Affine {
///     weight: Parameter,
///     bias: Option<Parameter>,
///     #[module(skip)]
///     clip: f64,
/// }
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(1));
/// let affine = Affine {
///     weight: init.parameter("weight", [3], Distribution::Ones)?,
///     bias: Some(init.parameter("bias", [3], Distribution::Zeros)?),
///     clip: 1.0,
/// };
/// assert_eq!(affine.count_parameters(), 6);
/// let names: Vec<String> = affine.named_parameters().into_iter().map(|(n, _)| n).collect();
/// assert_eq!(names, ["weight", "bias"]);
///
/// let copy = affine.clone();
/// assert_ne!(copy.weight.id(), affine.weight.id());
/// assert_eq!(copy.clip, 1.0);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    note = "a module is a parameter, a state, a path, a layer, another type with `#[derive(Module)]`, \
            or a `Vec`, `Option`, `Box`, array or tuple of modules",
    note = "a field that is a plain attribute is marked `#[module(skip)]`"
)]
pub trait Module {
    /// Shows the visitor every parameter, state and child, in the order of the fields.
    fn visit(&self, visitor: &mut Visitor<'_>);

    /// A deep clone: new parameters and states, tied where these are tied. `ties` knows what was
    /// cloned before, so that several modules can be cloned as one.
    fn clone_with(&self, ties: &mut Ties) -> Self
    where
        Self: Sized;

    /// The name of the type, for summaries: `Conv2d`.
    fn kind(&self) -> &'static str {
        let name = std::any::type_name::<Self>();
        let base = name.split('<').next().unwrap_or(name);
        base.rsplit("::").next().unwrap_or(base)
    }

    /// Every parameter once, in the order of the fields: `torch.nn.Module.parameters`.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Linear, LinearConfig, Module};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let fc = Linear::new(&init.at("fc"), LinearConfig::new(3, 2))?;
    /// let paths: Vec<_> = fc.parameters().iter().map(|p| p.path().to_string()).collect();
    /// assert_eq!(paths, ["fc.weight", "fc.bias"]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    fn parameters(&self) -> Vec<Parameter> {
        self.named_parameters().into_iter().map(|(_, parameter)| parameter).collect()
    }

    /// Every parameter once, under the first of its names.
    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        let (mut seen, mut found) = (HashSet::new(), Vec::new());
        self.visit(&mut Visitor::new(&mut |name, item| {
            if let Item::Parameter(parameter) = item
                && seen.insert(parameter.id())
            {
                found.push((name.to_owned(), parameter.clone()));
            }
        }));
        found
    }

    /// Every state under every name: `torch.nn.Module.named_buffers`.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{BatchNormConfig, Init, Module, Sequential};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let model = Sequential::new(&init).named("bn", BatchNormConfig::new(4))?;
    /// let (name, mean) = &model.named_states()[0];
    /// assert_eq!((name.as_str(), mean.shape().dims()), ("bn.running_mean", &[4][..]));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    fn named_states(&self) -> Vec<(String, State)> {
        let mut found = Vec::new();
        self.visit(&mut Visitor::new(&mut |name, item| {
            if let Item::State(state) = item {
                found.push((name.to_owned(), state.clone()));
            }
        }));
        found
    }

    /// The number of elements of all parameters; tied ones count once.
    fn count_parameters(&self) -> usize {
        self.parameters().iter().map(|p| p.shape().numel()).sum()
    }

    /// The same module with the parameter of this name replaced by another's, wherever it is used:
    /// from then on the two are one, and it is tied. Everything else stays the same parameter.
    ///
    /// A tied parameter has one gradient, the sum over its uses; [`parameters`](Self::parameters)
    /// lists it once, under the first of its names, so that an optimizer steps it once and a
    /// [`Summary`](crate::Summary) counts it once; a clone of the model that holds both keeps the
    /// tie. [`state_dict`](Self::state_dict) writes it under each of its names, as PyTorch does,
    /// and loading wants one of them at least, and the same values under all.
    ///
    /// [`Layer::tied`](crate::Layer::tied) ties all of a layer's parameters,
    /// [`Linear::transposed`](crate::Linear::transposed) ties a weight to another's transpose.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, LinearConfig, Module, RecurrentConfig, Sequential, lstm};
    ///
    /// let device = Device::new(Reference::new());
    /// let model = Sequential::new(&Init::new(&device, Rng::new(1)))
    ///     .named("first", lstm(RecurrentConfig::new(4, 4)))?
    ///     .named("second", lstm(RecurrentConfig::new(4, 4)))?;
    /// let shared = model.named_parameters()[1].1.clone();
    /// let model = model.tie("second.weight_hh_l0", &shared)?;
    /// assert_eq!(model.parameters().len(), 7);
    /// assert_eq!(model.state_dict()?.len(), 8);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No parameter of this name; another shape, data type or device than `to` has.
    fn tie(self, name: &str, to: &Parameter) -> Result<Self>
    where
        Self: Sized,
    {
        let mut ties = tying::replacing(&|visitor| self.visit(visitor), name, to)?;
        Ok(self.clone_with(&mut ties))
    }

    /// A copy of all parameters and states by name, in the order of the fields; a tied parameter
    /// is there under each of its names. Later steps do not change it.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Linear, LinearConfig, Module};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let fc = Linear::new(&init, LinearConfig::new(3, 2))?;
    /// let before = fc.state_dict()?;
    /// fc.weight.set(Array::zeros(&device, DType::F32, [2, 3])?)?;
    /// assert_eq!(before.names().collect::<Vec<_>>(), ["weight", "bias"]);
    /// let weight = before.get("weight").map(|weight| weight.to_vec::<f32>()).transpose()?;
    /// assert_ne!(weight, Some(vec![0.0; 6]), "it is a copy");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Out of memory.
    fn state_dict(&self) -> Result<StateDict> {
        loading::state_dict(&|visitor| self.visit(visitor))
    }

    /// Sets parameters and states to the values of a state dict, converted to their own float type
    /// and device. Nothing is changed unless everything fits.
    ///
    /// With `strict`, every name must be in both; without it, what is in one only is left alone and
    /// reported. Of the names of a tied parameter one is enough. As in PyTorch, the
    /// `num_batches_tracked` of a norm may be absent, for old files do not have it. The name
    /// `module.` or `_orig_mod.` before all names, which `DataParallel` and `torch.compile` put
    /// there, is not looked at.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Linear, LinearConfig, Module, StateDict};
    ///
    /// let device = Device::new(Reference::new());
    /// let [a, b] = [1, 2].map(|seed| {
    ///     Linear::new(&Init::new(&device, Rng::new(seed)), LinearConfig::new(3, 2))
    /// });
    /// let (a, b) = (a?, b?);
    /// b.load_state_dict(&a.state_dict()?, true)?;
    /// assert_eq!(a.weight.value().to_vec::<f32>()?, b.weight.value().to_vec::<f32>()?);
    ///
    /// // A misspelt name is named, with the nearest of the other side.
    /// let mut partial = StateDict::new();
    /// partial.insert("weigth", a.weight.value());
    /// let error = b.load_state_dict(&partial, true).unwrap_err().to_string();
    /// assert!(error.contains("weigth") && error.contains("weight"), "{error}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Missing or unexpected names (if strict), shapes that differ, floats for integers or the
    /// reverse, different values for one tied parameter: one error that names them, with the
    /// nearest of the other side.
    fn load_state_dict(&self, dict: &StateDict, strict: bool) -> Result<Loaded> {
        let fit = if strict { Fit::Strict } else { Fit::Partial };
        loading::load(&|visitor| self.visit(visitor), dict, fit)
    }

    /// As a strict [`load_state_dict`](Self::load_state_dict), but for the names that fit one of
    /// the [patterns](crate::Path::matches): they keep their values, and the result lists them.
    /// For training a network further on other classes, whose last layer has another shape.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, LinearConfig, Module, Sequential};
    ///
    /// let device = Device::new(Reference::new());
    /// let network = |classes| {
    ///     Sequential::new(&Init::new(&device, Rng::new(1)))
    ///         .named("body", LinearConfig::new(4, 3))?
    ///         .named("fc", LinearConfig::new(3, classes))
    /// };
    /// let (trained, fresh) = (network(1000)?, network(5)?);
    /// let weights = trained.state_dict()?;
    /// assert!(fresh.load_state_dict(&weights, true).is_err());
    /// let loaded = fresh.load_state_dict_except(&weights, &["fc.*"])?;
    /// assert_eq!(loaded.missing, ["fc.weight", "fc.bias"]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`load_state_dict`](Self::load_state_dict); a pattern that fits no name at all.
    fn load_state_dict_except(&self, dict: &StateDict, except: &[&str]) -> Result<Loaded> {
        loading::load(&|visitor| self.visit(visitor), dict, Fit::Except(except))
    }

    /// Converts every parameter and every state of floats to this type; integers stay.
    ///
    /// Optimizers keep state of their own, so convert a model before making one.
    ///
    /// ```
    /// use ferrotape_backend::{DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{BatchNorm2d, BatchNormConfig, Init, Module};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let bn = BatchNorm2d::new(&init, BatchNormConfig::new(4))?;
    /// bn.to_dtype(DType::F64)?;
    /// assert!(bn.parameters().iter().all(|p| p.dtype() == DType::F64));
    /// let types: Vec<DType> = bn.named_states().iter().map(|(_, state)| state.dtype()).collect();
    /// assert_eq!(types, [DType::F64, DType::F64, DType::I64]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not a float type; out of memory.
    fn to_dtype(&self, dtype: DType) -> Result<()> {
        if !dtype.is_float() {
            return Err(ferrotape_backend::Error::dtype(format!(
                "parameters are floats, they cannot be converted to {dtype}"
            )));
        }
        for parameter in self.parameters() {
            parameter.convert(dtype)?;
        }
        self.named_states().into_iter().try_for_each(|(_, state)| state.convert(dtype))
    }

    /// Freezes (`false`) or thaws (`true`) every parameter: `torch.nn.Module.requires_grad_`.
    fn set_trainable(&self, trainable: bool) {
        self.parameters().iter().for_each(|p| p.set_trainable(trainable));
    }

    /// Freezes what fits one of the [patterns](crate::Path::matches): parameters get no gradient
    /// and no step, and norms whose running statistics fit are to be in evaluation mode, which
    /// [`Pass::frozen`](crate::Pass::frozen) puts them in; else their statistics would follow the
    /// new data while the layers after them stay.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{BatchNormConfig, Conv2dConfig, Init, Module, Pass, Path, Sequential};
    ///
    /// let device = Device::new(Reference::new());
    /// let model = Sequential::new(&Init::new(&device, Rng::new(1)))
    ///     .named("conv1", Conv2dConfig::new(3, 8, 3))?
    ///     .named("bn1", BatchNormConfig::new(8))?
    ///     .named("conv2", Conv2dConfig::new(8, 8, 3))?;
    /// let frozen = model.freeze_matching(&["conv1.*", "bn1.*"])?;
    /// let cx = Pass::train(&device, Rng::new(1)).frozen(&frozen);
    /// assert!(!cx.is_training(&Path::new("bn1")) && cx.is_training(&Path::new("conv2")));
    /// assert_eq!(model.parameters().iter().filter(|p| p.is_trainable()).count(), 2);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// A pattern that fits no parameter and no state; then nothing is frozen.
    fn freeze_matching(&self, patterns: &[&str]) -> Result<Frozen> {
        freezing::freeze(&self.named_parameters(), &self.named_states(), patterns)
    }

    /// Freezes every parameter: passes give them no gradient and optimizers leave them alone.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, LinearConfig, Module, Sequential};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let model = Sequential::new(&init)
    ///     .named("body", LinearConfig::new(4, 3))?
    ///     .named("head", LinearConfig::new(3, 2))?;
    /// model.get("body").into_iter().for_each(|body| body.freeze());
    /// let learning = model.parameters().iter().filter(|p| p.is_trainable()).count();
    /// assert_eq!(learning, 2);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    fn freeze(&self) {
        self.set_trainable(false);
    }
}
