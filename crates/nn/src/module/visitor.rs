//! The walk over a module, and the memory of a deep clone.

use std::collections::HashMap;

use ferrotape_autograd::LeafId;

use crate::{Module, Parameter, Path, State};

/// What a walk over a module finds.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{BatchNorm2d, BatchNormConfig, Init, Item, Module, Visitor};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let bn = BatchNorm2d::new(&init, BatchNormConfig::new(4))?;
/// let (mut learned, mut kept) = (0, 0);
/// bn.visit(&mut Visitor::new(&mut |_, item| match item {
///     Item::Parameter(parameter) => learned += parameter.shape().numel(),
///     Item::State(state) => kept += state.shape().numel(),
///     Item::Child(_) => {}
/// }));
/// // Scale and shift; mean, variance and the count of batches.
/// assert_eq!((learned, kept), (2 * 4, 2 * 4 + 1));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub enum Item<'a> {
    /// A parameter.
    Parameter(&'a Parameter),
    /// A state.
    State(&'a State),
    /// A child, before what is in it; the name is that of [`Module::kind`].
    Child(&'static str),
}

/// Walks over a module and calls a closure with each item and its path.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{Item, Init, Linear, LinearConfig, Module, Visitor};
///
/// let device = Device::new(Reference::new());
/// let fc = Linear::new(&Init::new(&device, Rng::new(1)), LinearConfig::new(3, 2))?;
/// let mut found = Vec::new();
/// let mut each = |path: &str, item: Item<'_>| {
///     if matches!(item, Item::Parameter(_)) {
///         found.push(path.to_owned());
///     }
/// };
/// Visitor::new(&mut each).child("fc", &fc);
/// assert_eq!(found, ["fc.weight", "fc.bias"]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub struct Visitor<'a> {
    path: String,
    each: &'a mut dyn FnMut(&str, Item<'_>),
}

impl<'a> Visitor<'a> {
    /// A walk that starts at an empty path.
    pub fn new(each: &'a mut dyn FnMut(&str, Item<'_>)) -> Self {
        Visitor { path: String::new(), each }
    }

    /// Visits a child under its name.
    ///
    /// It names what is inside of the child: `fc` and `weight` become `fc.weight`. The closure hears of the
    /// child itself first.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Linear, LinearConfig, Visitor};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let fc = Linear::new(&init, LinearConfig::new(3, 2))?;
    /// let mut seen = Vec::new();
    /// Visitor::new(&mut |path, _| seen.push(path.to_owned())).child("fc", &fc);
    /// assert_eq!(seen[..2], ["fc", "fc.weight"]);
    /// assert!(seen.contains(&"fc.bias".into()));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn child(&mut self, name: &str, module: &dyn Module) {
        let length = self.path.len();
        if !self.path.is_empty() && !name.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
        (self.each)(&self.path, Item::Child(module.kind()));
        module.visit(self);
        self.path.truncate(length);
    }

    /// Reports a parameter at the current path.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Distribution, Init, Item, Visitor};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let weight = init.parameter("weight", [2], Distribution::Ones)?;
    /// let mut count = 0;
    /// let mut each = |_: &str, item: Item<'_>| count += usize::from(matches!(item, Item::Parameter(_)));
    /// Visitor::new(&mut each).parameter(&weight);
    /// assert_eq!(count, 1);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn parameter(&mut self, parameter: &Parameter) {
        (self.each)(&self.path, Item::Parameter(parameter));
    }

    /// Reports a state at the current path.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Item, Visitor};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let mean = init.state("mean", [2], 0.0)?;
    /// let mut found = None;
    /// Visitor::new(&mut |_, item| {
    ///     if let Item::State(state) = item {
    ///         found = Some(state.path().to_string());
    ///     }
    /// })
    /// .state(&mean);
    /// assert_eq!(found.as_deref(), Some("mean"));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn state(&mut self, state: &State) {
        (self.each)(&self.path, Item::State(state));
    }
}

/// What a deep clone has cloned already: the second of two tied parameters becomes a handle on
/// the clone of the first.
///
/// ```
/// use ferrotape_backend::{DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Distribution, Init, Module, Ties};
///
/// let device = Device::new(Reference::new());
/// let weight = Init::new(&device, Rng::new(1)).parameter("weight", [2], Distribution::Ones)?;
/// let (mut ties, tied) = (Ties::new(), weight.clone());
/// let clones = (weight.clone_with(&mut ties), tied.clone_with(&mut ties));
/// assert_eq!(clones.0.id(), clones.1.id());
/// assert_ne!(clones.0.id(), weight.id());
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Ties {
    parameters: HashMap<LeafId, Parameter>,
    /// With the original, so that its address stays its own while this lives.
    states: HashMap<usize, (State, State)>,
    /// Paths under the first become paths under the second.
    moved: Option<(Path, Path)>,
}

impl Ties {
    /// Nothing was cloned yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Clones of `original` become handles on `to`: that ties them, whatever module they are in.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Linear, LinearConfig, Module, Ties};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(1));
    /// let [a, b] = ["a", "b"].map(|name| Linear::new(&init.at(name), LinearConfig::new(2, 2)));
    /// let (a, b) = (a?, b?);
    /// let mut ties = Ties::new();
    /// ties.tie(&b.weight, &a.weight);
    /// assert_eq!(b.clone_with(&mut ties).weight.id(), a.weight.id());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn tie(&mut self, original: &Parameter, to: &Parameter) {
        self.parameters.insert(original.id(), to.clone());
    }

    /// Clones of this state are handles on itself.
    pub(crate) fn keep(&mut self, state: &State) {
        self.states.insert(state.address(), (state.clone(), state.clone()));
    }

    /// Clones of what is under one path are under another.
    pub(crate) fn rebase(&mut self, from: &Path, to: Path) {
        self.moved = Some((from.clone(), to));
    }

    /// The path of the clone of what is at this path.
    pub(crate) fn path(&self, path: &Path) -> Path {
        let Some((from, to)) = &self.moved else { return path.clone() };
        if path == from {
            return to.clone();
        }
        let below = match from.is_root() {
            true => Some(path.as_str()),
            false => path.strip_prefix(from.as_str()).and_then(|rest| rest.strip_prefix('.')),
        };
        below.map_or_else(|| path.clone(), |rest| to.join(rest))
    }

    pub(crate) fn parameter(
        &mut self,
        original: &Parameter,
        fork: impl FnOnce(&Parameter) -> Parameter,
    ) -> Parameter {
        self.parameters.entry(original.id()).or_insert_with(|| fork(original)).clone()
    }

    pub(crate) fn state(&mut self, original: &State, fork: impl FnOnce(&State) -> State) -> State {
        let entry = self.states.entry(original.address());
        entry.or_insert_with(|| (original.clone(), fork(original))).1.clone()
    }
}
