//! What layers and models can do: tensor to tensor, and classification.

use std::fmt::Debug;

use ferrotape_autograd::{Tensor, ops::Reduction};
use ferrotape_backend::{Array, CrossEntropy, Result};

use crate::pass::Window;
use crate::{Module, Pass, Path, Ties, Visitor};

/// A function of one tensor with parameters.
///
/// ```
/// use ferrotape_autograd::Tensor;
/// use ferrotape_backend::{Array, DType, Device, Result, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Layer, Linear, LinearConfig, Module, Pass, Path};
///
/// /// `x + tanh(fc x)`
/// #[derive(Debug, Module)]
/// struct Block {
///     path: Path,
///     fc: Linear,
/// }
///
/// impl Layer for Block {
///     fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
///         cx.within(self, || x.add(&self.fc.forward(cx, x)?.tanh()?))
///     }
///     fn path(&self) -> &Path {
///         &self.path
///     }
/// }
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(1));
/// let fc = Linear::new(&init.at("fc"), LinearConfig::new(4, 4))?;
/// let block = Block { path: init.path().clone(), fc };
/// let cx = Pass::eval(&device);
/// let x = cx.input(Array::zeros(&device, DType::F32, [2, 4])?)?;
/// assert_eq!(block.forward(&cx, &x)?.shape().dims(), [2, 4]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub trait Layer: Module + CloneLayer + Debug + Send + Sync + 'static {
    /// Computes the output, inside of [`Pass::within`].
    ///
    /// # Errors
    /// An input that does not fit; the path of the layer is in front.
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor>;

    /// The path that the layer was made under.
    fn path(&self) -> &Path;

    /// The window it moves over images, if it does: what the receptive field is computed from.
    fn window(&self) -> Option<Window> {
        None
    }

    /// A second layer under another path, made of the same parameters: weight tying. States are its
    /// own, with the values of now. See [`Module::tie`] for what a tie means, and for single
    /// parameters.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Conv2d, Conv2dConfig, Init, Layer, Path};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let first = Conv2d::new(&init.at("first"), Conv2dConfig::new(4, 4, 3).padding(1))?;
    /// let second = first.tied(Path::new("second"));
    /// assert_eq!(second.weight.id(), first.weight.id());
    /// assert_eq!(second.path().as_str(), "second");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    fn tied(&self, path: Path) -> Self
    where
        Self: Sized,
    {
        let mut ties = Ties::new();
        self.parameters().iter().for_each(|parameter| ties.tie(parameter, parameter));
        ties.rebase(self.path(), path);
        self.clone_with(&mut ties)
    }
}

/// Cloning of boxed layers. Every layer has it.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{CloneLayer, Init, Layer, Linear, LinearConfig, Module, Ties};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let fc: Box<dyn Layer> = Box::new(Linear::new(&init, LinearConfig::new(3, 2))?);
/// let copy = fc.clone_layer(&mut Ties::new());
/// assert_eq!((copy.kind(), copy.count_parameters()), ("Linear", 8));
/// // The copy has parameters of its own.
/// assert_ne!(copy.parameters()[0].id(), fc.parameters()[0].id());
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub trait CloneLayer {
    /// [`Module::clone_with`] in a box.
    fn clone_layer(&self, ties: &mut Ties) -> Box<dyn Layer>;
}

impl<L: Layer> CloneLayer for L {
    fn clone_layer(&self, ties: &mut Ties) -> Box<dyn Layer> {
        Box::new(self.clone_with(ties))
    }
}

impl Module for Box<dyn Layer> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        (**self).visit(visitor);
    }

    fn clone_with(&self, ties: &mut Ties) -> Self {
        (**self).clone_layer(ties)
    }

    fn kind(&self) -> &'static str {
        (**self).kind()
    }
}

impl Clone for Box<dyn Layer> {
    fn clone(&self) -> Self {
        (**self).clone_layer(&mut Ties::new())
    }
}

impl Layer for Box<dyn Layer> {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        (**self).forward(cx, x)
    }

    fn path(&self) -> &Path {
        (**self).path()
    }

    fn window(&self) -> Option<Window> {
        (**self).window()
    }
}

/// A classifier's loss and the scores that it was computed from.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Classifier, Init, LinearConfig, Outcome, Pass, Sequential};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let model = Sequential::new(&init).add(LinearConfig::new(4, 3))?;
/// let x = Array::zeros(&device, DType::F32, [2, 4])?.into();
/// let labels = Array::from_slice(&device, &[0i64, 2], [2])?;
/// let Outcome { loss, scores } = model.loss(&Pass::eval(&device), &x, &labels)?;
/// assert!(loss.item()? > 0.0);
/// assert_eq!(scores.shape().dims(), [2, 3]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Outcome {
    /// One number: the mean over the batch.
    pub loss: Tensor,
    /// `[N, classes]`: the largest is the model's choice.
    pub scores: Tensor,
}

/// The mean cross entropy of scores `[N, K]` for `labels`: classes, i64 `[N]`, or the probabilities of the
/// classes, floats `[N, K]`, as mixed images have.
///
/// ```
/// use ferrotape_backend::{Array, CrossEntropy, Device, reference::Reference};
/// use ferrotape_nn::class_loss;
///
/// let device = Device::new(Reference::new());
/// let scores = Array::from_slice(&device, &[0.5f64, -1.0], [1, 2])?.into();
/// let class = Array::from_slice(&device, &[1i64], [1])?;
/// let certain = Array::from_slice(&device, &[0.0f64, 1.0], [1, 2])?;
/// let [a, b] = [class, certain].map(|labels| class_loss(&scores, &labels, &CrossEntropy::default()));
/// assert!((a?.item()? - b?.item()?).abs() < 1e-12);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// Shapes that do not fit, a label that is no class, smoothing outside 0 to 1.
pub fn class_loss(scores: &Tensor, labels: &Array, params: &CrossEntropy) -> Result<Tensor> {
    if labels.dtype().is_float() {
        let labels = Tensor::from(labels.clone());
        return scores.cross_entropy_soft(&labels, None, params.label_smoothing, Reduction::Mean);
    }
    scores.cross_entropy_with(labels, params, Reduction::Mean)
}

/// A model that chooses among classes.
///
/// For a layer whose output is the logits the defaults are right: `impl Classifier for Model {}`.
/// A model that trains with more than its scores (auxiliary heads, distances) overrides
/// [`Classifier::outcome`]. Training code takes a `&dyn Classifier`.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Classifier, Init, Linear, LinearConfig, Pass, Sequential};
///
/// let device = Device::new(Reference::new());
/// let rng = Rng::new(1);
/// let model = Sequential::new(&Init::new(&device, rng)).add(LinearConfig::new(4, 3))?;
/// let cx = Pass::train(&device, rng.step(0));
/// let x = cx.input(Array::zeros(&device, DType::F32, [2, 4])?)?;
/// let labels = Array::from_slice(&device, &[0i64, 2], [2])?;
/// let outcome = model.loss(&cx, &x, &labels)?;
/// assert_eq!(outcome.scores.shape().dims(), [2, 3]);
/// outcome.loss.backward()?;
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub trait Classifier: Layer + CloneClassifier {
    /// One number a class, `[N, classes]`: the larger, the likelier.
    ///
    /// # Errors
    /// An input that does not fit.
    fn scores(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        self.forward(cx, x)
    }

    /// Loss and scores for `labels`: the mean cross entropy of the scores ([`class_loss`]), unless the
    /// model has a loss of its own.
    ///
    /// ```
    /// use ferrotape_backend::{Array, CrossEntropy, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Classifier, Init, LinearConfig, Pass, Sequential};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let model = Sequential::new(&init).add(LinearConfig::new(4, 3))?;
    /// let x = Array::zeros(&device, DType::F32, [2, 4])?.into();
    /// let labels = Array::from_slice(&device, &[0i64, 2], [2])?;
    /// let cx = Pass::eval(&device);
    /// let smooth = CrossEntropy { label_smoothing: 1.0, ..CrossEntropy::default() };
    /// // Smoothed wholly, every label is the same.
    /// let [a, b] = [&labels, &labels.flip(0)?].map(|labels| model.outcome(&cx, &x, labels, &smooth));
    /// assert_eq!(a?.loss.item()?, b?.loss.item()?);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// An input that does not fit, a label that is no class.
    fn outcome(
        &self,
        cx: &Pass,
        x: &Tensor,
        labels: &Array,
        params: &CrossEntropy,
    ) -> Result<Outcome> {
        let scores = self.scores(cx, x)?;
        let loss = class_loss(&scores, labels, params)?;
        Ok(Outcome { loss, scores })
    }

    /// [`Classifier::outcome`] without label smoothing.
    ///
    /// # Errors
    /// As there.
    fn loss(&self, cx: &Pass, x: &Tensor, labels: &Array) -> Result<Outcome> {
        self.outcome(cx, x, labels, &CrossEntropy::default())
    }
}

impl Classifier for Box<dyn Layer> {}

/// Cloning of boxed classifiers. Every classifier has it.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{
///     Classifier, CloneClassifier, Init, LinearConfig, Module, Sequential, Ties,
/// };
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let model = Sequential::new(&init).add(LinearConfig::new(4, 3))?;
/// let copy: Box<dyn Classifier> = model.clone_classifier(&mut Ties::new());
/// assert_eq!(copy.count_parameters(), 15);
/// assert_ne!(copy.parameters()[0].id(), model.parameters()[0].id());
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub trait CloneClassifier {
    /// [`Module::clone_with`] in a box.
    fn clone_classifier(&self, ties: &mut Ties) -> Box<dyn Classifier>;
}

impl<C: Classifier> CloneClassifier for C {
    fn clone_classifier(&self, ties: &mut Ties) -> Box<dyn Classifier> {
        Box::new(self.clone_with(ties))
    }
}

impl Module for Box<dyn Classifier> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        (**self).visit(visitor);
    }

    fn clone_with(&self, ties: &mut Ties) -> Self {
        (**self).clone_classifier(ties)
    }

    fn kind(&self) -> &'static str {
        (**self).kind()
    }
}

impl Clone for Box<dyn Classifier> {
    fn clone(&self) -> Self {
        (**self).clone_classifier(&mut Ties::new())
    }
}

impl Layer for Box<dyn Classifier> {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        (**self).forward(cx, x)
    }

    fn path(&self) -> &Path {
        (**self).path()
    }

    fn window(&self) -> Option<Window> {
        (**self).window()
    }
}

impl Classifier for Box<dyn Classifier> {
    fn scores(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        (**self).scores(cx, x)
    }

    fn outcome(
        &self,
        cx: &Pass,
        x: &Tensor,
        labels: &Array,
        params: &CrossEntropy,
    ) -> Result<Outcome> {
        (**self).outcome(cx, x, labels, params)
    }
}
