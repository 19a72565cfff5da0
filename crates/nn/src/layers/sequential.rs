//! Layers one after the other.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Error, Result};

use crate::{Classifier, Init, Layer, Module, Pass, Path, Ties, Visitor};

/// What becomes a layer once it is told where: configurations, and closures that take the scope.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{Conv2dConfig, Flatten, Init, IntoLayer, Layer};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let conv: Box<dyn Layer> = Conv2dConfig::new(1, 4, 3).into_layer(&init.at("conv"))?;
/// let flatten: Box<dyn Layer> = Flatten::new.into_layer(&init.at("flatten"))?;
/// let kinds = [conv, flatten].map(|layer| (layer.path().to_string(), layer.kind()));
/// assert_eq!(kinds, [("conv".into(), "Conv2d"), ("flatten".into(), "Flatten")]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub trait IntoLayer {
    /// The layer, made in this scope.
    ///
    /// # Errors
    /// What its constructor says.
    fn into_layer(self, init: &Init) -> Result<Box<dyn Layer>>;
}

impl<L: Layer, F: FnOnce(&Init) -> Result<L>> IntoLayer for F {
    fn into_layer(self, init: &Init) -> Result<Box<dyn Layer>> {
        Ok(Box::new(self(init)?))
    }
}

/// Layers one after the other, as in Keras: what one gives is what the next takes.
///
/// The layers are named `0`, `1`, and so on ([`Sequential::add`]), or as they are told
/// ([`Sequential::named`]). As a [`Classifier`], its output is the scores.
///
/// ```
/// use ferrotape_autograd::Tensor;
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{
///     Conv2dConfig, Flatten, Init, Layer, LinearConfig, Module, Pass, PoolConfig,
///     Sequential, activation, max_pool2d,
/// };
///
/// let device = Device::new(Reference::new());
/// let model = Sequential::new(&Init::new(&device, Rng::new(42)))
///     .add(Conv2dConfig::new(1, 8, 3).padding(1))?
///     .add(activation("relu", Tensor::relu))?
///     .add(max_pool2d(PoolConfig::new(2)))?
///     .add(Flatten::new)?
///     .named("head", LinearConfig::new(8 * 4 * 4, 10))?;
/// let names: Vec<String> = model.named_parameters().into_iter().map(|(n, _)| n).collect();
/// assert_eq!(names, ["0.weight", "0.bias", "head.weight", "head.bias"]);
///
/// let cx = Pass::eval(&device);
/// let x = cx.input(Array::zeros(&device, DType::F32, [2, 1, 8, 8])?)?;
/// assert_eq!(model.forward(&cx, &x)?.shape().dims(), [2, 10]);
/// assert_eq!((model.len(), model.is_empty()), (5, false));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug)]
pub struct Sequential {
    layers: Vec<(String, Box<dyn Layer>)>,
    init: Init,
}

impl Sequential {
    /// No layers yet; those that come are made in this scope.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, Sequential};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let empty = Sequential::new(&init.at("features"));
    /// assert!(empty.is_empty());
    /// assert_eq!(empty.path().as_str(), "features");
    /// ```
    #[must_use]
    pub fn new(init: &Init) -> Self {
        Sequential { layers: Vec::new(), init: init.clone() }
    }

    /// The same with one more layer, named by its position.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{
    ///     Conv2dConfig, Init, Layer, LinearConfig, PoolConfig, Sequential, max_pool2d,
    /// };
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let model = Sequential::new(&init.at("features"))
    ///     .add(Conv2dConfig::new(1, 4, 3))?
    ///     .add(max_pool2d(PoolConfig::new(2)))?;
    /// let paths: Vec<_> = model.iter().map(|(_, layer)| layer.path().as_str()).collect();
    /// assert_eq!(paths, ["features.0", "features.1"]);
    /// let error = model.add(LinearConfig::new(0, 10)).unwrap_err().to_string();
    /// assert!(error.starts_with("features.2: a linear layer from 0 to 10"), "{error}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// What the layer's constructor says.
    #[allow(clippy::should_implement_trait)]
    pub fn add(self, layer: impl IntoLayer) -> Result<Self> {
        let name = self.layers.len().to_string();
        self.named(&name, layer)
    }

    /// The same with one more layer of this name.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, LinearConfig, Module, Sequential};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let model = Sequential::new(&init).named("fc", LinearConfig::new(4, 2))?;
    /// assert_eq!(model.named_parameters()[0].0, "fc.weight");
    /// let error = model.named("fc", LinearConfig::new(2, 2)).unwrap_err().to_string();
    /// assert!(error.ends_with("there is a layer named 'fc' already"), "{error}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// A layer of this name is there already; the name is empty or has a dot, which is what stands
    /// between names; what the layer's constructor says.
    pub fn named(mut self, name: &str, layer: impl IntoLayer) -> Result<Self> {
        if name.is_empty() || name.contains('.') {
            let message =
                format!("a layer's name is not empty and has no dot, '{name}' cannot be one");
            return Err(Error::argument(message).at(self.path().as_str()));
        }
        if self.get(name).is_some() {
            return Err(Error::argument(format!("there is a layer named '{name}' already"))
                .at(self.path().as_str()));
        }
        let layer = layer.into_layer(&self.init.at(name))?;
        self.layers.push((name.to_owned(), layer));
        Ok(self)
    }

    /// Puts a layer that was made elsewhere at the end, named by its position or, where that name is
    /// taken, by the next free number. It keeps the path it was made under.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Flatten, Init, Layer, Linear, LinearConfig, Sequential};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let mut model = Sequential::new(&init).add(Flatten::new)?;
    /// model.push(Box::new(Linear::new(&init.at("head"), LinearConfig::new(4, 2))?));
    /// let names: Vec<_> = model.iter().map(|(name, layer)| (name, layer.path().as_str())).collect();
    /// assert_eq!(names, [("0", "0"), ("1", "head")]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn push(&mut self, layer: Box<dyn Layer>) {
        let mut numbers = (self.layers.len()..).map(|number| number.to_string());
        let free = numbers.find(|name| self.get(name).is_none());
        self.layers.push((free.unwrap_or_default(), layer));
    }

    /// The layer of this name.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential};
    ///
    /// let device = Device::new(Reference::new());
    /// let model = Sequential::new(&Init::new(&device, Rng::new(42)))
    ///     .add(Flatten::new)?
    ///     .named("head", LinearConfig::new(4, 2))?;
    /// assert_eq!(model.get("head").map(|layer| layer.kind()), Some("Linear"));
    /// assert!(model.get("tail").is_none());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&dyn Layer> {
        self.layers.iter().find(|(own, _)| own == name).map(|(_, layer)| &**layer)
    }

    /// Names and layers, in order.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Conv2dConfig, Flatten, Init, Sequential};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let model = Sequential::new(&init)
    ///     .named("conv", Conv2dConfig::new(1, 4, 3))?
    ///     .named("flatten", Flatten::new)?;
    /// let layers: Vec<_> = model.iter().map(|(name, layer)| (name, layer.kind())).collect();
    /// assert_eq!(layers, [("conv", "Conv2d"), ("flatten", "Flatten")]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, &dyn Layer)> {
        self.layers.iter().map(|(name, layer)| (name.as_str(), &**layer))
    }

    /// How many layers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there are none: then the output is the input.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }
}

impl Module for Sequential {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        for (name, layer) in &self.layers {
            visitor.child(name, layer);
        }
    }

    fn clone_with(&self, ties: &mut Ties) -> Self {
        let layers = self.layers.iter().map(|(name, layer)| (name.clone(), layer.clone_with(ties)));
        Sequential { layers: layers.collect(), init: self.init.moved(ties) }
    }
}

impl Clone for Sequential {
    fn clone(&self) -> Self {
        self.clone_with(&mut Ties::new())
    }
}

impl Layer for Sequential {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            self.layers.iter().try_fold(x.clone(), |x, (_, layer)| layer.forward(cx, &x))
        })
    }

    fn path(&self) -> &Path {
        self.init.path()
    }
}

impl Classifier for Sequential {}

#[cfg(test)]
mod tests {
    use ferrotape_backend::{DType, Device, Rng, reference::Reference};

    use super::*;
    use crate::{Flatten, LinearConfig};

    #[test]
    fn names_are_unique_and_clones_are_deep() {
        let device = Device::new(Reference::new());
        let model = Sequential::new(&Init::new(&device, Rng::new(1)).at("head"));
        let model = model.add(Flatten::new).unwrap().add(LinearConfig::new(2, 3)).unwrap();
        assert_eq!(model.get("1").unwrap().path().as_str(), "head.1");
        let copy = model.clone();
        assert_ne!(copy.parameters()[0].id(), model.parameters()[0].id());
        let zero = Init::new(&device, Rng::new(1)).zeros([3, 2]).unwrap();
        copy.parameters()[0].set(zero).unwrap();
        assert_ne!(model.parameters()[0].value().to_vec::<f32>().unwrap(), [0.0; 6]);
        let error = model.named("1", Flatten::new).unwrap_err().to_string();
        assert!(error.contains("'1'"), "{error}");
    }

    #[test]
    fn a_name_is_one_part_of_a_path() {
        let device = Device::new(Reference::new());
        let model = Sequential::new(&Init::new(&device, Rng::new(1)).at("head"));
        for name in ["", "a.b", "."] {
            let error = model.clone().named(name, LinearConfig::new(2, 3)).unwrap_err();
            let text =
                format!("a layer's name is not empty and has no dot, '{name}' cannot be one");
            assert_eq!(error.to_string(), format!("head: {text}"));
        }
    }

    #[test]
    fn a_pushed_layer_takes_no_other_layers_name() {
        let device = Device::new(Reference::new());
        let init = Init::new(&device, Rng::new(1));
        let mut model = Sequential::new(&init).named("1", LinearConfig::new(2, 2)).unwrap();
        model.push(LinearConfig::new(2, 2).into_layer(&init.at("other")).unwrap());
        assert_eq!(model.state_dict().unwrap().len(), 4);
    }

    #[test]
    fn a_layer_that_no_memory_holds_is_an_error() {
        let device = Device::new(Reference::new());
        let init = Init::new(&device, Rng::new(1));
        for dtype in [DType::F32, DType::BF16] {
            let config = LinearConfig::new(1 << 30, 1 << 29);
            assert!(crate::Linear::new(&init.clone().dtype(dtype), config).is_err());
        }
    }
}
