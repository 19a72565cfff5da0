//! A model with its optimizer, loss and metrics in one hand, as Keras has it.
//!
//! Nothing here that [`Trainer`](crate::Trainer) and [`Run`](crate::Run) need: it is the short way for programs that
//! train in memory and write no run folder.

mod loss;
mod metric;

use std::io::{self, Write};
use std::sync::Arc;

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Array, DType, Device, Rng};
use ferrotape_data::{Dataset, Loader, LoaderOptions, Transform};
use ferrotape_nn::optim::{Optimizer, Rule, Stepper};
use ferrotape_nn::{Classifier, Parameter, Pass, StateDict, Summary};

use crate::trainer::{copied, first_not_finite, upload};
use crate::{Error, Precision, Result};
pub use loss::{CustomLoss, Loss};
use metric::Tally;
pub use metric::{Figures, Metric};

/// A network that can be trained in two lines, as in Keras: see [`Model::compile`].
///
/// ```
/// use std::sync::Arc;
///
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_data::InMemory;
/// use ferrotape_nn::optim::AdamConfig;
/// use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential};
/// use ferrotape_train::fit::{Loss, Metric, Model};
///
/// // Black and white images.
/// let pixels = (0..64u8).flat_map(|i| [255 * (i % 2); 4]).collect();
/// let labels = (0..64).map(|i| i % 2).collect();
/// let images = Arc::new(InMemory::new(pixels, [1, 2, 2], labels, InMemory::numbered_classes(2))?);
///
/// let device = Device::new(Reference::new());
/// let layers = Sequential::new(&Init::new(&device, Rng::new(1)))
///     .add(Flatten::new)?
///     .add(LinearConfig::new(4, 2))?;
/// let mut model = Model::new(layers).compile(
///     AdamConfig { lr: 0.1, ..AdamConfig::default() },
///     Loss::default(),
///     [Metric::Accuracy, Metric::Auc],
/// );
/// println!("{}", model.summary([1, 2, 2])?);
/// let history = model.fit(&images, &images, 5)?;
/// assert_eq!(history.epochs.len(), 5);
/// assert_eq!(model.evaluate(&images)?.value(Metric::Accuracy), Some(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Model {
    network: Box<dyn Classifier>,
}

impl Model {
    /// A model of this network: a `Sequential`, a network of the zoo, anything that is a [`Classifier`]. It
    /// computes on the device of its parameters.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use ferrotape_backend::{Device, Rng, reference::Reference};
    /// # use ferrotape_data::InMemory;
    /// # use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential, optim::SgdConfig};
    /// # let classes = InMemory::numbered_classes(2);
    /// # let images = Arc::new(InMemory::new(vec![0, 250, 250, 0], [1, 1, 2], vec![0, 1], classes)?);
    /// # let device = Device::new(Reference::new());
    /// # let init = Init::new(&device, Rng::new(1));
    /// # let layers = Sequential::new(&init).add(Flatten::new)?.add(LinearConfig::new(2, 2))?;
    /// # let rule = SgdConfig { lr: 0.1, ..SgdConfig::default() };
    /// use ferrotape_train::fit::Model;
    ///
    /// let model = Model::new(layers);
    /// assert_eq!(model.summary([1, 1, 2])?.parameters, 2 * 2 + 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(network: impl Classifier) -> Self {
        Model { network: Box::new(network) }
    }

    /// The layers for one image `[C, H, W]`.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use ferrotape_backend::{Device, Rng, reference::Reference};
    /// # use ferrotape_data::InMemory;
    /// # use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential, optim::SgdConfig};
    /// # let classes = InMemory::numbered_classes(2);
    /// # let images = Arc::new(InMemory::new(vec![0, 250, 250, 0], [1, 1, 2], vec![0, 1], classes)?);
    /// # let device = Device::new(Reference::new());
    /// # let init = Init::new(&device, Rng::new(1));
    /// # let layers = Sequential::new(&init).add(Flatten::new)?.add(LinearConfig::new(2, 2))?;
    /// # let rule = SgdConfig { lr: 0.1, ..SgdConfig::default() };
    /// use ferrotape_train::fit::Model;
    ///
    /// let summary = Model::new(layers).summary([1, 1, 2])?;
    /// assert_eq!((summary.rows[1].kind, summary.multiply_adds()), ("Linear", 2 * 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// An image that does not fit; a network without parameters.
    pub fn summary(&self, image: [usize; 3]) -> Result<Summary> {
        summary(&*self.network, image)
    }

    /// Says how the model is to be trained: the rule of an optimizer, such as
    /// [`AdamConfig`](ferrotape_nn::optim::AdamConfig), a loss, and what is measured beside it. What is wrong
    /// with the rule is said by the first [`CompiledModel::fit`].
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use ferrotape_backend::{Device, Rng, reference::Reference};
    /// # use ferrotape_data::InMemory;
    /// # use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential, optim::SgdConfig};
    /// # let classes = InMemory::numbered_classes(2);
    /// # let images = Arc::new(InMemory::new(vec![0, 250, 250, 0], [1, 1, 2], vec![0, 1], classes)?);
    /// # let device = Device::new(Reference::new());
    /// # let init = Init::new(&device, Rng::new(1));
    /// # let layers = Sequential::new(&init).add(Flatten::new)?.add(LinearConfig::new(2, 2))?;
    /// # let rule = SgdConfig { lr: 0.1, ..SgdConfig::default() };
    /// use ferrotape_train::{fit::Loss, fit::Metric, fit::Model};
    ///
    /// let mut model = Model::new(layers).compile(rule, Loss::default(), [Metric::Accuracy]);
    /// let history = model.fit(&images, &images, 2)?;
    /// let metrics: Vec<_> = history.epochs[1].train.metrics.iter().map(|(metric, _)| *metric).collect();
    /// assert_eq!(metrics, [Metric::Accuracy]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compile<R: Rule + 'static>(
        self,
        rule: R,
        loss: Loss,
        metrics: impl IntoIterator<Item = Metric>,
    ) -> CompiledModel {
        CompiledModel {
            network: self.network,
            optimizer: Stage::Waiting(Box::new(move |parameters| {
                Ok(Box::new(Stepper::new(parameters, rule)?))
            })),
            loss,
            metrics: metrics.into_iter().collect(),
            options: FitOptions::default(),
            step: 0,
            epoch: 0,
        }
    }
}

/// How a [`CompiledModel`] goes through data.
///
/// ```
/// use ferrotape_train::fit::FitOptions;
///
/// let options = FitOptions { batch_size: 128, early_stop: 3, ..FitOptions::default() };
/// assert_eq!((options.seed, options.workers, options.verbose), (42, 0, false));
/// ```
#[derive(Clone)]
pub struct FitOptions {
    /// Images a step. Default 32, as in Keras.
    pub batch_size: usize,
    /// The seed of the order of the images, of their augmentation and of dropout. Default 42.
    pub seed: u64,
    /// What is done to every image after its bytes were divided by 255, such as
    /// [`Normalise`](ferrotape_data::Normalise). Default nothing.
    pub transform: Option<Arc<dyn Transform>>,
    /// What is done to training images in place of `transform`, such as augmentation and normalisation. Default
    /// what is done to all.
    pub train_transform: Option<Arc<dyn Transform>>,
    /// Threads that prepare batches ahead. Default 0: each is prepared when it is needed.
    pub workers: usize,
    /// Epochs without a lower validation loss after which training ends, with the best epoch's weights. Default
    /// 0: never.
    pub early_stop: usize,
    /// Whether a line is printed after each epoch. Default no.
    pub verbose: bool,
}

impl Default for FitOptions {
    fn default() -> Self {
        FitOptions {
            batch_size: 32,
            seed: 42,
            transform: None,
            train_transform: None,
            workers: 0,
            early_stop: 0,
            verbose: false,
        }
    }
}

impl std::fmt::Debug for FitOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FitOptions")
            .field("batch_size", &self.batch_size)
            .field("seed", &self.seed)
            .field("workers", &self.workers)
            .field("early_stop", &self.early_stop)
            .field("verbose", &self.verbose)
            .finish_non_exhaustive()
    }
}

/// Makes the optimizer when the first step is due.
type Make = Box<dyn FnOnce(Vec<Parameter>) -> ferrotape_backend::Result<Box<dyn Optimizer>> + Send>;

/// The optimizer, before and after the first step.
enum Stage {
    Waiting(Make),
    Ready(Box<dyn Optimizer>),
    /// The rule was refused.
    Refused,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Stage::Waiting(_) => f.write_str("Waiting"),
            Stage::Ready(optimizer) => optimizer.fmt(f),
            Stage::Refused => f.write_str("Refused"),
        }
    }
}

/// A [`Model`] with optimizer, loss and metrics.
///
/// ```
/// # use std::sync::Arc;
/// # use ferrotape_backend::{Device, Rng, reference::Reference};
/// # use ferrotape_data::InMemory;
/// # use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential, optim::SgdConfig};
/// # let classes = InMemory::numbered_classes(2);
/// # let images = Arc::new(InMemory::new(vec![0, 250, 250, 0], [1, 1, 2], vec![0, 1], classes)?);
/// # let device = Device::new(Reference::new());
/// # let init = Init::new(&device, Rng::new(1));
/// # let layers = Sequential::new(&init).add(Flatten::new)?.add(LinearConfig::new(2, 2))?;
/// # let rule = SgdConfig { lr: 0.1, ..SgdConfig::default() };
/// use ferrotape_train::{fit::Loss, fit::Metric, fit::Model};
///
/// let mut model = Model::new(layers).compile(rule, Loss::default(), [Metric::Accuracy]);
/// model.fit(&images, &images, 20)?;
/// assert_eq!(model.evaluate(&images)?.value(Metric::Accuracy), Some(1.0));
/// let probabilities = model.predict(&images)?;
/// assert!(probabilities[0][0] > 0.5 && probabilities[1][1] > 0.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CompiledModel {
    network: Box<dyn Classifier>,
    optimizer: Stage,
    loss: Loss,
    metrics: Vec<Metric>,
    options: FitOptions,
    step: u64,
    epoch: u64,
}

/// What [`CompiledModel::fit`] saw.
///
/// ```
/// # use std::sync::Arc;
/// # use ferrotape_backend::{Device, Rng, reference::Reference};
/// # use ferrotape_data::InMemory;
/// # use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential, optim::SgdConfig};
/// # let classes = InMemory::numbered_classes(2);
/// # let images = Arc::new(InMemory::new(vec![0, 250, 250, 0], [1, 1, 2], vec![0, 1], classes)?);
/// # let device = Device::new(Reference::new());
/// # let init = Init::new(&device, Rng::new(1));
/// # let layers = Sequential::new(&init).add(Flatten::new)?.add(LinearConfig::new(2, 2))?;
/// # let rule = SgdConfig { lr: 0.1, ..SgdConfig::default() };
/// use ferrotape_train::{fit::Loss, fit::Model};
///
/// let mut model = Model::new(layers).compile(rule, Loss::default(), []);
/// let history = model.fit(&images, &images, 5)?;
/// let losses: Vec<f64> = history.epochs.iter().map(|epoch| epoch.train.loss).collect();
/// assert!(losses[4] < losses[0]);
/// assert_eq!(history.best, Some(4));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// The epochs, in order.
    pub epochs: Vec<EpochFigures>,
    /// Which of them, counted from 0, had the lowest validation loss.
    pub best: Option<usize>,
}

/// The figures of an epoch: those of training taken while the weights change, those of validation after it.
///
/// ```
/// # use std::sync::Arc;
/// # use ferrotape_backend::{Device, Rng, reference::Reference};
/// # use ferrotape_data::InMemory;
/// # use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential, optim::SgdConfig};
/// # let classes = InMemory::numbered_classes(2);
/// # let images = Arc::new(InMemory::new(vec![0, 250, 250, 0], [1, 1, 2], vec![0, 1], classes)?);
/// # let device = Device::new(Reference::new());
/// # let init = Init::new(&device, Rng::new(1));
/// # let layers = Sequential::new(&init).add(Flatten::new)?.add(LinearConfig::new(2, 2))?;
/// # let rule = SgdConfig { lr: 0.1, ..SgdConfig::default() };
/// use ferrotape_train::{fit::EpochFigures, fit::Loss, fit::Model};
///
/// let mut model = Model::new(layers).compile(rule, Loss::default(), []);
/// let EpochFigures { train, validation } = &model.fit_alone(&images, 1)?.epochs[0];
/// assert!(train.loss > 0.0 && validation.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct EpochFigures {
    /// Of the training images.
    pub train: Figures,
    /// Of the validation images, if there are any.
    pub validation: Option<Figures>,
}

impl CompiledModel {
    /// The same model with other options.
    ///
    /// ```
    /// # use ferrotape_backend::{Device, Rng, reference::Reference};
    /// # use ferrotape_nn::{Init, LinearConfig, Sequential, optim::SgdConfig};
    /// use ferrotape_train::fit::{FitOptions, Loss, Model};
    /// # let device = Device::new(Reference::new());
    /// # let layers = Sequential::new(&Init::new(&device, Rng::new(1))).add(LinearConfig::new(4, 2))?;
    ///
    /// let options = FitOptions { batch_size: 128, early_stop: 3, ..FitOptions::default() };
    /// let model = Model::new(layers).compile(SgdConfig::default(), Loss::default(), []).options(options);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn options(mut self, options: FitOptions) -> Self {
        self.options = options;
        self
    }

    /// The network.
    pub fn network(&self) -> &dyn Classifier {
        &*self.network
    }

    /// As [`Model::summary`].
    ///
    /// # Errors
    /// As there.
    pub fn summary(&self, image: [usize; 3]) -> Result<Summary> {
        summary(&*self.network, image)
    }

    /// Trains for `epochs` epochs, each in another order, and measures on `validation` after each. A second call
    /// goes on.
    ///
    /// # Errors
    /// An optimizer's rule that makes no sense, images that do not fit the network, data that cannot be read, a
    /// loss that is not finite, a metric that the data do not have.
    pub fn fit<T, V>(&mut self, train: &T, validation: &V, epochs: usize) -> Result<History>
    where
        T: Dataset + Clone + 'static,
        V: Dataset + Clone + 'static,
    {
        let validation = self.loader(Arc::new(validation.clone()), false)?;
        self.train(Arc::new(train.clone()), Some(&validation), epochs)
    }

    /// [`CompiledModel::fit`] without validation.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use ferrotape_backend::{Device, Rng, reference::Reference};
    /// # use ferrotape_data::InMemory;
    /// # use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential, optim::SgdConfig};
    /// # let classes = InMemory::numbered_classes(2);
    /// # let images = Arc::new(InMemory::new(vec![0, 250, 250, 0], [1, 1, 2], vec![0, 1], classes)?);
    /// # let device = Device::new(Reference::new());
    /// # let init = Init::new(&device, Rng::new(1));
    /// # let layers = Sequential::new(&init).add(Flatten::new)?.add(LinearConfig::new(2, 2))?;
    /// # let rule = SgdConfig { lr: 0.1, ..SgdConfig::default() };
    /// use ferrotape_train::{fit::Loss, fit::Model};
    ///
    /// let mut model = Model::new(layers).compile(rule, Loss::default(), []);
    /// let history = model.fit_alone(&images, 3)?;
    /// assert_eq!((history.epochs.len(), history.best), (3, None));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn fit_alone<T>(&mut self, train: &T, epochs: usize) -> Result<History>
    where
        T: Dataset + Clone + 'static,
    {
        self.train(Arc::new(train.clone()), None, epochs)
    }

    /// Loss and metrics in evaluation mode.
    ///
    /// # Errors
    /// Images that do not fit the network, data that cannot be read.
    pub fn evaluate<D: Dataset + Clone + 'static>(&self, data: &D) -> Result<Figures> {
        let loader = self.loader(Arc::new(data.clone()), false)?;
        self.measured(&loader)
    }

    /// The probabilities of the classes of each image, in the order of the data.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use ferrotape_backend::{Device, Rng, reference::Reference};
    /// # use ferrotape_data::InMemory;
    /// # use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential, optim::SgdConfig};
    /// # let classes = InMemory::numbered_classes(2);
    /// # let images = Arc::new(InMemory::new(vec![0, 250, 250, 0], [1, 1, 2], vec![0, 1], classes)?);
    /// # let device = Device::new(Reference::new());
    /// # let init = Init::new(&device, Rng::new(1));
    /// # let layers = Sequential::new(&init).add(Flatten::new)?.add(LinearConfig::new(2, 2))?;
    /// # let rule = SgdConfig { lr: 0.1, ..SgdConfig::default() };
    /// use ferrotape_train::{fit::Loss, fit::Model};
    ///
    /// let model = Model::new(layers).compile(rule, Loss::default(), []);
    /// let rows = model.predict(&images)?;
    /// assert_eq!(rows.len(), 2);
    /// assert!(rows.iter().all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-6));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`CompiledModel::evaluate`].
    pub fn predict<D: Dataset + Clone + 'static>(&self, data: &D) -> Result<Vec<Vec<f32>>> {
        let loader = self.loader(Arc::new(data.clone()), false)?;
        let (device, precision) = self.place()?;
        let mut found = Vec::with_capacity(data.len());
        for batch in loader.epoch(0) {
            let (images, _) = upload(&device, precision, &batch?)?;
            let pass = Pass::eval(&device);
            let scores = self.network.scores(&pass, &pass.input(images)?)?;
            let classes = scores.shape().dims().get(1).copied().unwrap_or(1).max(1);
            let rows: Vec<f32> = scores.cast(DType::F32)?.softmax(1)?.array().to_vec()?;
            found.extend(rows.chunks_exact(classes).map(<[f32]>::to_vec));
        }
        Ok(found)
    }

    fn train(
        &mut self,
        train: Arc<dyn Dataset>,
        validation: Option<&Loader>,
        epochs: usize,
    ) -> Result<History> {
        if self.options.early_stop > 0 && validation.is_none() {
            return Err(Error::Figures(
                "early_stop looks at the validation loss, and there are no validation images; give some to fit"
                    .into(),
            ));
        }
        let loader = self.loader(train, true)?;
        let (device, precision) = self.place()?;
        self.ready()?;
        let mut history = History::default();
        let mut best: Option<(f64, StateDict)> = None;
        for number in 0..epochs {
            let mut tally = Tally::new(&self.metrics, loader.dataset().classes().len());
            for batch in loader.epoch(self.epoch) {
                let batch = batch?;
                let (images, labels) = upload(&device, precision, &batch)?;
                let rng = Rng::new(self.options.seed).step(self.step);
                let pass = Pass::train(&device, rng);
                let images = pass.input(images)?;
                let loss = |pass: &Pass, images: &Tensor| {
                    self.loss.of(&*self.network, pass, images, &labels)
                };
                let outcome = loss(&pass, &images)?;
                let value = outcome.loss.item()?;
                if !value.is_finite() {
                    let again = |pass: &Pass, images: &Tensor| loss(pass, images).map(drop);
                    let pass = Pass::train(&device, rng);
                    let place = first_not_finite(&*self.network, pass, images.array(), again)?;
                    return Err(Error::Diverged { epoch: number + 1, step: self.step + 1, place });
                }
                let gradients = outcome.loss.backward()?;
                if let Stage::Ready(optimizer) = &mut self.optimizer {
                    optimizer.step(&gradients)?;
                }
                self.step += 1;
                tally.add(value, outcome.scores.array(), &batch.labels)?;
            }
            self.epoch += 1;
            let train = tally.result()?;
            let validation = validation.map(|loader| self.measured(loader)).transpose()?;
            if let Some(figures) = &validation
                && best.as_ref().is_none_or(|(lowest, _)| figures.loss < *lowest)
            {
                history.best = Some(number);
                best = Some((figures.loss, copied(&self.network.state_dict()?)?));
            }
            if self.options.verbose {
                let beside = validation.as_ref().map(|v| format!("  validation {v}"));
                let (number, beside) = (number + 1, beside.unwrap_or_default());
                // An output that cannot be written stops no training.
                let _ = writeln!(io::stdout(), "Epoch {number:>2}/{epochs}  {train}{beside}");
            }
            history.epochs.push(EpochFigures { train, validation });
            let since = history.best.map_or(0, |best| number - best);
            if self.options.early_stop > 0 && since >= self.options.early_stop {
                break;
            }
        }
        if self.options.early_stop > 0
            && let Some((_, weights)) = &best
        {
            self.network.load_state_dict(weights, true)?;
        }
        Ok(history)
    }

    fn measured(&self, loader: &Loader) -> Result<Figures> {
        let (device, precision) = self.place()?;
        let mut tally = Tally::new(&self.metrics, loader.dataset().classes().len());
        for batch in loader.epoch(0) {
            let batch = batch?;
            let (images, labels) = upload(&device, precision, &batch)?;
            let pass = Pass::eval(&device);
            let outcome = self.loss.of(&*self.network, &pass, &pass.input(images)?, &labels)?;
            tally.add(outcome.loss.item()?, outcome.scores.array(), &batch.labels)?;
        }
        tally.result()
    }

    fn loader(&self, data: Arc<dyn Dataset>, trains: bool) -> Result<Loader> {
        let own = self.options.train_transform.as_ref().filter(|_| trains);
        let options = LoaderOptions {
            batch_size: self.options.batch_size,
            shuffle: trains,
            seed: self.options.seed,
            workers: self.options.workers,
            transform: own.or(self.options.transform.as_ref()).cloned(),
            ..LoaderOptions::default()
        };
        Ok(Loader::new(data, options)?)
    }

    /// Where the network is, and the type of its parameters.
    fn place(&self) -> Result<(Device, Precision)> {
        let value = first(&*self.network)?;
        Ok((value.device().clone(), Precision { parameters: value.dtype(), autocast: None }))
    }

    /// Makes the optimizer, once.
    fn ready(&mut self) -> Result<()> {
        self.optimizer = match std::mem::replace(&mut self.optimizer, Stage::Refused) {
            Stage::Waiting(make) => Stage::Ready(make(self.network.parameters())?),
            Stage::Ready(optimizer) => Stage::Ready(optimizer),
            Stage::Refused => {
                return Err(Error::Figures(
                    "the optimizer's rule was refused before; compile the model with another"
                        .into(),
                ));
            }
        };
        Ok(())
    }
}

/// The value of the first parameter.
fn first(network: &dyn Classifier) -> Result<Array> {
    let parameters = network.parameters();
    let first = parameters.first().ok_or_else(|| {
        Error::Figures("the network has no parameters, so there is nothing to train".into())
    })?;
    Ok(first.value())
}

fn summary(network: &dyn Classifier, [c, h, w]: [usize; 3]) -> Result<Summary> {
    let value = first(network)?;
    let image = Array::zeros(value.device(), value.dtype(), [1, c, h, w])?;
    // A boxed copy is a layer, which a reference to a classifier is not.
    let network: Box<dyn Classifier> = network.clone_classifier(&mut ferrotape_nn::Ties::new());
    Ok(Summary::of(&network, image)?)
}

#[cfg(test)]
mod tests;
