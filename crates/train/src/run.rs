//! A whole run: train, test, and write down what came of it.

mod events;
mod shown;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ferrotape_backend::{Array, Context, DType, Device};
use ferrotape_data::{Dataset, FloatImage, Loader, Normalise, Transform, fold, split};
use ferrotape_nn::{Classifier, Loaded, StateDict};

use crate::checkpoint::Images;
use crate::config::{Keep, RunConfig};
use crate::evaluate::evaluate;
use crate::loaders::{plain_loader, test_loader, train_loader};
use crate::progress::Reporter;
use crate::report::{Environment, LayerRow};
use crate::run_folder::{BEST, CHECKPOINT, MODEL};
use crate::trainer::Trainer;
use crate::{EpochRecord, Error, FinalRecord, Precision, Record, Result, RunFolder};
use events::Events;
use shown::{filters, page};

/// The data of a run, and how its pixels are normalised.
///
/// ```
/// # use std::sync::Arc;
/// # use ferrotape_backend::{Device, Rng, reference::Reference};
/// # use ferrotape_data::{InMemory, Normalise};
/// # use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential};
/// # use ferrotape_train::{RunConfig, RunData};
/// # let classes = InMemory::numbered_classes(2);
/// # let images = Arc::new(InMemory::new(vec![0, 250, 250, 0], [1, 1, 2], vec![0, 1], classes)?);
/// # let normalise = Normalise { mean: vec![0.5], std: vec![0.5] };
/// # let data = RunData { train: images.clone(), test: images, normalise };
/// # let device = Device::new(Reference::new());
/// # let model = Sequential::new(&Init::new(&device, Rng::new(1)));
/// # let model = model.add(Flatten::new)?.add(LinearConfig::new(2, 2))?;
/// # let config = RunConfig { model: "line".into(), learning_rate: 0.1, ..Default::default() };
/// use ferrotape_data::Dataset;
///
/// assert_eq!(data.train.classes(), data.test.classes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RunData {
    /// What the model is trained on.
    pub train: Arc<dyn Dataset>,
    /// What it is tested on, once, when training is over. Nothing is selected by it.
    pub test: Arc<dyn Dataset>,
    /// Mean and standard deviation of the pixels, in `[0, 1]`, one a channel.
    pub normalise: Normalise,
}

/// Everything that a run needs besides its data.
///
/// ```
/// # use std::sync::Arc;
/// # use ferrotape_backend::{Device, Rng, reference::Reference};
/// # use ferrotape_data::{InMemory, Normalise};
/// # use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential};
/// # use ferrotape_train::{RunConfig, RunData};
/// # let classes = InMemory::numbered_classes(2);
/// # let images = Arc::new(InMemory::new(vec![0, 250, 250, 0], [1, 1, 2], vec![0, 1], classes)?);
/// # let normalise = Normalise { mean: vec![0.5], std: vec![0.5] };
/// # let data = RunData { train: images.clone(), test: images, normalise };
/// # let device = Device::new(Reference::new());
/// # let model = Sequential::new(&Init::new(&device, Rng::new(1)));
/// # let model = model.add(Flatten::new)?.add(LinearConfig::new(2, 2))?;
/// # let config = RunConfig { model: "line".into(), learning_rate: 0.1, ..Default::default() };
/// use std::time::Instant;
/// use ferrotape_train::{Run, RunFolder, Stop, report::Environment};
///
/// let place = tempfile::tempdir()?;
/// let mut folder = RunFolder::create(Some(place.path()), "line")?;
/// let config = RunConfig { epochs: 5, ..config };
/// let run = Run {
///     model: &model,
///     device: &device,
///     config: &config,
///     environment: Environment::default(),
///     layers: Vec::new(),
///     started: Instant::now(),
///     stop: Stop::default(),
/// };
/// let result = run.execute(&data, &mut folder, &mut ())?;
/// assert_eq!((result.epochs, result.test_images), (5, 2));
/// assert!(place.path().join("report.html").is_file());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Run<'a> {
    /// The model, freshly initialised.
    pub model: &'a dyn Classifier,
    /// Where it is trained.
    pub device: &'a Device,
    /// How it is trained.
    pub config: &'a RunConfig,
    /// What the report says of the machine.
    pub environment: Environment,
    /// What the report says of the layers.
    pub layers: Vec<LayerRow>,
    /// When the process started: the run's wall time counts from there.
    pub started: Instant,
    /// Asks the run to stop after a step, with a checkpoint.
    pub stop: Stop,
}

impl Run<'_> {
    /// Trains, tests, and fills the folder: configuration and a checkpoint first, the final record last.
    ///
    /// # Errors
    /// Data that cannot be read, a loss that is not finite, a disk that is full; [`Error::Stopped`] where
    /// [`Run::stop`] asked for it. The folder stays if a checkpoint was written.
    pub fn execute(
        self,
        data: &RunData,
        folder: &mut RunFolder,
        reporter: &mut dyn Reporter,
    ) -> Result<FinalRecord> {
        // What the model must be shown images with, and calls them, is as much a part of the run.
        let config = &RunConfig {
            mean: data.normalise.mean.clone(),
            std: data.normalise.std.clone(),
            classes: data.train.classes().to_vec(),
            ..self.config.clone()
        };
        folder.write_config(config)?;
        let parts = Divided::of(data, config)?;
        let loader = train_loader(&parts.rest, config)?;
        let trainer = Trainer::new(self.model, self.device, config, loader.batches())?;
        let mut checkpoint = trainer.checkpoint()?;
        checkpoint.position.images = Some(parts.images());
        folder.write_checkpoint(&checkpoint.to_bytes()?)?;
        folder.keep();
        let history = History { records: Vec::new(), seconds: 0.0 };
        self.go(&parts, &loader, trainer, history, folder, reporter)
    }

    /// Goes on with the run of a folder from its checkpoint. It ends with the weights, to the bit, that it
    /// would have ended with had it not been interrupted. A run that is [finished](RunFolder::finished)
    /// has nothing to go on with.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use ferrotape_backend::{Device, Rng, reference::Reference};
    /// # use ferrotape_data::{InMemory, Normalise};
    /// # use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential};
    /// # use ferrotape_train::{RunConfig, RunData};
    /// # let classes = InMemory::numbered_classes(2);
    /// # let images = Arc::new(InMemory::new(vec![0, 250, 250, 0], [1, 1, 2], vec![0, 1], classes)?);
    /// # let normalise = Normalise { mean: vec![0.5], std: vec![0.5] };
    /// # let data = RunData { train: images.clone(), test: images, normalise };
    /// # let device = Device::new(Reference::new());
    /// # let model = Sequential::new(&Init::new(&device, Rng::new(1)));
    /// # let model = model.add(Flatten::new)?.add(LinearConfig::new(2, 2))?;
    /// # let config = RunConfig { model: "line".into(), learning_rate: 0.1, ..Default::default() };
    /// use ferrotape_train::{Run, RunFolder, Stop, report::Environment};
    /// use std::time::Instant;
    ///
    /// let place = tempfile::tempdir()?;
    /// let run = |stop| Run {
    ///     model: &model,
    ///     device: &device,
    ///     config: &config,
    ///     environment: Environment::default(),
    ///     layers: Vec::new(),
    ///     started: Instant::now(),
    ///     stop,
    /// };
    /// let stop = Stop::default();
    /// stop.ask();
    /// let mut folder = RunFolder::create(Some(place.path()), "line")?;
    /// assert!(run(stop).execute(&data, &mut folder, &mut ()).is_err());
    /// drop(folder);
    ///
    /// let mut folder = RunFolder::resume(place.path())?;
    /// let result = run(Stop::default()).resume(&data, &mut folder, &mut ())?;
    /// assert_eq!(result.epochs, config.epochs);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Run::execute`]; a checkpoint that does not fit model or data.
    pub fn resume(
        self,
        data: &RunData,
        folder: &mut RunFolder,
        reporter: &mut dyn Reporter,
    ) -> Result<FinalRecord> {
        let config = self.config;
        let parts = Divided::of(data, config)?;
        let loader = train_loader(&parts.rest, config)?;
        let mut trainer = Trainer::new(self.model, self.device, config, loader.batches())?;
        let checkpoint = folder.read_checkpoint(self.device)?;
        let begun = checkpoint.position.images;
        let is_same = begun.map_or(Ok(()), |begun| begun.expect(&parts.images()));
        is_same.and_then(|()| trainer.restore(&checkpoint)).map_err(|cause| Error::Checkpoint {
            path: folder.path().join(CHECKPOINT),
            cause: Box::new(cause),
        })?;
        let records = folder.keep_epochs(trainer.next_epoch() - 1)?;
        let history = History { records, seconds: checkpoint.position.seconds };
        self.go(&parts, &loader, trainer, history, folder, reporter)
    }

    /// The page of a finished run, drawn again from its folder: the figures are those that were written down, and
    /// the model, which gets the weights of the folder, is tested anew for the pictures beside them.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use ferrotape_backend::{Device, Rng, reference::Reference};
    /// # use ferrotape_data::{InMemory, Normalise};
    /// # use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential};
    /// # use ferrotape_train::{RunConfig, RunData};
    /// # let classes = InMemory::numbered_classes(2);
    /// # let images = Arc::new(InMemory::new(vec![0, 250, 250, 0], [1, 1, 2], vec![0, 1], classes)?);
    /// # let normalise = Normalise { mean: vec![0.5], std: vec![0.5] };
    /// # let data = RunData { train: images.clone(), test: images, normalise };
    /// # let device = Device::new(Reference::new());
    /// # let model = Sequential::new(&Init::new(&device, Rng::new(1)));
    /// # let model = model.add(Flatten::new)?.add(LinearConfig::new(2, 2))?;
    /// # let config = RunConfig { model: "line".into(), learning_rate: 0.1, ..Default::default() };
    /// use ferrotape_train::{Run, RunFolder, Stop, report::Environment};
    /// use std::time::Instant;
    ///
    /// let place = tempfile::tempdir()?;
    /// let run = || Run {
    ///     model: &model,
    ///     device: &device,
    ///     config: &config,
    ///     environment: Environment::default(),
    ///     layers: Vec::new(),
    ///     started: Instant::now(),
    ///     stop: Stop::default(),
    /// };
    /// let mut folder = RunFolder::create(Some(place.path()), "line")?;
    /// assert!(run().report(&data, &folder).is_err(), "it is not finished");
    /// run().execute(&data, &mut folder, &mut ())?;
    /// assert!(run().report(&data, &folder)?.contains("</html>"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A run that is not finished; weights or data that do not fit the model.
    pub fn report(self, data: &RunData, folder: &RunFolder) -> Result<String> {
        let Some(result) = folder.finished()? else {
            return Err(Error::UnfinishedRun { path: folder.path().into() });
        };
        let records = folder.read_records()?.into_iter();
        let epochs = records.filter_map(|record| match record {
            Record::Epoch(epoch) => Some(epoch),
            _ => None,
        });
        load_model(self.model, self.device, folder)?;
        let loader = test_loader(data, self.config)?;
        let test = evaluate(self.model, self.device, self.config, &loader)?;
        let run = Run { config: &folder.read_config()?, ..self };
        page(run, data, folder.path(), (epochs.collect(), result), test)
    }

    fn go(
        self,
        parts: &Divided,
        loader: &Loader,
        mut trainer: Trainer<'_>,
        history: History,
        folder: &mut RunFolder,
        reporter: &mut dyn Reporter,
    ) -> Result<FinalRecord> {
        let config = trainer.config();
        let History { records: mut epochs, seconds: before } = history;
        let seconds = || before + self.started.elapsed().as_secs_f64();
        let save = |trainer: &Trainer<'_>, folder: &mut RunFolder| {
            let mut checkpoint = trainer.checkpoint()?;
            checkpoint.position.seconds = seconds();
            checkpoint.position.images = Some(parts.images());
            folder.write_checkpoint(&checkpoint.to_bytes()?)
        };
        let data = &parts.rest;
        let mut events = Events::begin(folder.path(), &trainer, self.model, self.device, data)?;
        // Where batches are grouped there is no checkpoint within a group: it comes at the group's end.
        let passed = |trainer: &Trainer<'_>| {
            config.checkpoint_every.map_or(0, |every| trainer.steps() / every as u64)
        };
        let mut written = passed(&trainer);
        while !trainer.is_over() {
            let epoch = trainer.next_epoch();
            let mut record = trainer.epoch_with(epoch, loader, reporter, &mut |trainer| {
                let stops = self.stop.is_asked();
                if stops || passed(trainer) > written {
                    save(trainer, folder)?;
                    written = passed(trainer);
                }
                match stops {
                    true => {
                        Err(Error::Stopped { path: folder.path().into(), step: trainer.steps() })
                    }
                    false => Ok(()),
                }
            })?;
            if let Some(validation) = &parts.validation {
                let began = Instant::now();
                let loader = plain_loader(validation, data, config)?;
                let found = trainer.with_weights_that_count(|| {
                    evaluate(self.model, self.device, config, &loader)
                })?;
                if trainer.note_validation(epoch, found.loss) {
                    let weights = trainer
                        .with_weights_that_count(|| Ok(self.model.state_dict()?.to_bytes()?))?;
                    folder.write_best(&weights)?;
                }
                record.validation_loss = Some(found.loss);
                record.validation_accuracy = Some(found.accuracy());
                record.seconds += began.elapsed().as_secs_f64();
            }
            reporter.epoch_finished(&record);
            folder.append(&Record::Epoch(record.clone()))?;
            events.epoch(&record, trainer.steps(), self.model)?;
            save(&trainer, folder)?;
            epochs.push(record);
        }
        // The epoch whose weights are tested: the last one, or the best.
        let counted = trainer.best_epoch().filter(|_| config.keep == Keep::Best);
        match counted {
            Some(_) => {
                let path = folder.path().join(BEST);
                let weights = StateDict::load(self.device, &path)?;
                self.model.load_state_dict(&weights, true)?;
            }
            _ => trainer.settle()?,
        }
        let test = evaluate(self.model, self.device, config, &test_loader(data, config)?)?;
        folder.write_model(&self.model.state_dict()?.to_bytes()?)?;
        events.end(&test, trainer.steps(), &filters(self.model)?)?;
        let mut result = FinalRecord {
            model: config.model.clone(),
            epochs: epochs.len(),
            parameters: self.model.count_parameters() as u64,
            test_accuracy: test.accuracy(),
            test_loss: test.loss,
            test_top5: test.top5,
            test_auc: test.auc,
            test_images: test.confusion.total(),
            validation_accuracy: epochs
                .iter()
                .rfind(|record| counted.is_none_or(|epoch| record.epoch == epoch))
                .and_then(|record| record.validation_accuracy),
            seconds: seconds(),
            data_wait: {
                let whole: f64 = epochs.iter().map(|record| record.seconds).sum();
                let waited = epochs.iter().map(|record| record.data_wait * record.seconds);
                waited.sum::<f64>() / whole.max(1e-9)
            },
        };
        let started = self.started;
        let run = Run { config, ..self };
        let page = page(run, data, folder.path(), (epochs, result.clone()), test)?;
        folder.write_report(&page)?;
        result.seconds = before + started.elapsed().as_secs_f64();
        folder.append(&Record::Final(result.clone()))?;
        reporter.finished(&result, folder.path());
        Ok(result)
    }
}

/// The data of a run, less what is set aside for validation.
struct Divided {
    rest: RunData,
    validation: Option<Arc<dyn Dataset>>,
}

impl Divided {
    fn of(data: &RunData, config: &RunConfig) -> Result<Self> {
        let mut rest = data.clone();
        let mut validation: Option<Arc<dyn Dataset>> = None;
        if config.validates() {
            let images = Arc::clone(&data.train);
            let [train, aside] = match config.folds {
                0 => split(images, config.validation, config.seed)?,
                folds => fold(images, folds, config.fold - 1, config.seed)?,
            };
            if train.is_empty() || aside.is_empty() {
                return Err(Error::Config {
                    path: None,
                    message: format!(
                        "validation is {}, which leaves {} of {} images to train on; give another share, or \
                         more images",
                        config.validation,
                        train.len(),
                        data.train.len()
                    ),
                });
            }
            rest.train = Arc::new(train);
            validation = Some(Arc::new(aside));
        }
        Ok(Divided { rest, validation })
    }

    fn images(&self) -> Images {
        Images {
            training: self.rest.train.len(),
            validation: self.validation.as_ref().map_or(0, |images| images.len()),
            test: self.rest.test.len(),
        }
    }
}

/// What a run did in earlier processes.
struct History {
    records: Vec<EpochRecord>,
    seconds: f64,
}

/// A request to stop, which anyone who has a clone can make, a signal handler too.
///
/// ```
/// use ferrotape_train::Stop;
///
/// let stop = Stop::default();
/// stop.clone().ask();
/// assert!(stop.is_asked());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks the run to stop after the step under way. Says whether somebody had asked before.
    ///
    /// ```
    /// use ferrotape_train::Stop;
    ///
    /// let stop = Stop::default();
    /// assert!(!stop.ask());
    /// assert!(stop.ask(), "somebody asked before");
    /// ```
    pub fn ask(&self) -> bool {
        self.0.swap(true, Ordering::Relaxed)
    }

    /// Whether anyone asked.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Loads a run's weights into a model.
///
/// ```
/// # use std::sync::Arc;
/// # use ferrotape_backend::{Device, Rng, reference::Reference};
/// # use ferrotape_data::{InMemory, Normalise};
/// # use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential};
/// # use ferrotape_train::{RunConfig, RunData};
/// # let classes = InMemory::numbered_classes(2);
/// # let images = Arc::new(InMemory::new(vec![0, 250, 250, 0], [1, 1, 2], vec![0, 1], classes)?);
/// # let normalise = Normalise { mean: vec![0.5], std: vec![0.5] };
/// # let data = RunData { train: images.clone(), test: images, normalise };
/// # let device = Device::new(Reference::new());
/// # let model = Sequential::new(&Init::new(&device, Rng::new(1)));
/// # let model = model.add(Flatten::new)?.add(LinearConfig::new(2, 2))?;
/// # let config = RunConfig { model: "line".into(), learning_rate: 0.1, ..Default::default() };
/// use ferrotape_nn::Module;
/// use ferrotape_train::{RunFolder, load_model};
///
/// let place = tempfile::tempdir()?;
/// let mut folder = RunFolder::create(Some(place.path()), "line")?;
/// folder.write_model(&model.state_dict()?.to_bytes()?)?;
/// load_model(&model, &device, &folder)?;
/// folder.write_model(b"no weights")?;
/// assert!(load_model(&model, &device, &folder).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// A file that is not of this model.
pub fn load_model(model: &dyn Classifier, device: &Device, folder: &RunFolder) -> Result<()> {
    let bytes = folder.read_model()?;
    let load = || model.load_state_dict(&StateDict::from_bytes(device, &bytes)?, true);
    load().map_err(|cause| Error::Weights { path: folder.path().join(MODEL), cause })?;
    Ok(())
}

/// Gives a model the weights of a file: safetensors, or a state dict that `torch.save` wrote. Names
/// that fit one of the patterns `except` keep their values; all others must be in both.
///
/// ```
/// # use std::sync::Arc;
/// # use ferrotape_backend::{Device, Rng, reference::Reference};
/// # use ferrotape_data::{InMemory, Normalise};
/// # use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential};
/// # use ferrotape_train::{RunConfig, RunData};
/// # let classes = InMemory::numbered_classes(2);
/// # let images = Arc::new(InMemory::new(vec![0, 250, 250, 0], [1, 1, 2], vec![0, 1], classes)?);
/// # let normalise = Normalise { mean: vec![0.5], std: vec![0.5] };
/// # let data = RunData { train: images.clone(), test: images, normalise };
/// # let device = Device::new(Reference::new());
/// # let model = Sequential::new(&Init::new(&device, Rng::new(1)));
/// # let model = model.add(Flatten::new)?.add(LinearConfig::new(2, 2))?;
/// # let config = RunConfig { model: "line".into(), learning_rate: 0.1, ..Default::default() };
/// use ferrotape_train::load_weights;
/// use ferrotape_nn::Module;
///
/// let place = tempfile::tempdir()?;
/// let file = place.path().join("line.safetensors");
/// model.state_dict()?.save(&file)?;
/// assert!(load_weights(&model, &device, &file, &[])?.missing.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// A file that cannot be read or does not fit the model; a pattern that fits no name.
pub fn load_weights(
    model: &dyn Classifier,
    device: &Device,
    file: &Path,
    except: &[String],
) -> Result<Loaded> {
    let dict = StateDict::load(device, file)?;
    let except: Vec<&str> = except.iter().map(String::as_str).collect();
    Ok(model.load_state_dict_except(&dict, &except).at(|| file.display().to_string())?)
}

/// Class probabilities of one image, `[K]`.
///
/// ```
/// # use std::sync::Arc;
/// # use ferrotape_backend::{Device, Rng, reference::Reference};
/// # use ferrotape_data::{InMemory, Normalise};
/// # use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential};
/// # use ferrotape_train::{RunConfig, RunData};
/// # let classes = InMemory::numbered_classes(2);
/// # let images = Arc::new(InMemory::new(vec![0, 250, 250, 0], [1, 1, 2], vec![0, 1], classes)?);
/// # let normalise = Normalise { mean: vec![0.5], std: vec![0.5] };
/// # let data = RunData { train: images.clone(), test: images, normalise };
/// # let device = Device::new(Reference::new());
/// # let model = Sequential::new(&Init::new(&device, Rng::new(1)));
/// # let model = model.add(Flatten::new)?.add(LinearConfig::new(2, 2))?;
/// # let config = RunConfig { model: "line".into(), learning_rate: 0.1, ..Default::default() };
/// use ferrotape_data::FloatImage;
/// use ferrotape_train::predict;
///
/// let image = FloatImage::new(vec![0.0, 1.0], [1, 1, 2])?;
/// let probabilities = predict(&model, &device, &config, image, &data.normalise)?;
/// assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// An image that does not fit the model; scores that are no finite numbers.
pub fn predict(
    model: &dyn Classifier,
    device: &Device,
    config: &RunConfig,
    mut image: FloatImage,
    normalise: &Normalise,
) -> Result<Vec<f32>> {
    normalise.apply(&mut image, ferrotape_backend::Rng::new(config.seed))?;
    let [c, h, w] = image.shape();
    let precision = Precision::of(config)?;
    let images = Array::from_slice(device, image.pixels(), [1, c, h, w])?;
    let images = images.cast(precision.parameters)?;
    let pass = precision.eval(device);
    let scores = model.scores(&pass, &pass.input(images)?)?;
    let probabilities: Vec<f32> = scores.cast(DType::F32)?.softmax(1)?.array().to_vec()?;
    if !probabilities.iter().all(|p| p.is_finite()) {
        return Err(Error::Figures(format!(
            "the scores that {} gives are no finite numbers, so they name no class; its weights are broken, or \
             too large for {}",
            config.model, config.dtype
        )));
    }
    Ok(probabilities)
}

#[cfg(test)]
mod tests;
