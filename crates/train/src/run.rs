//! A whole run: train, test, and write down what came of it.

use std::sync::Arc;
use std::time::Instant;

use ferrotape_backend::{Array, DType, Device};
use ferrotape_data::{
    Compose, Dataset, FloatImage, Loader, LoaderOptions, Normalise, RandomTranslate, Transform,
};
use ferrotape_nn::{Classifier, StateDict};

use crate::config::RunConfig;
use crate::evaluate::{Evaluation, evaluate};
use crate::progress::Reporter;
use crate::report::{Environment, FilterBank, LayerRow, MistakePicture, ReportData, render};
use crate::trainer::Trainer;
use crate::{FinalRecord, Record, Result, RunFolder};

/// The data of a run, and how its pixels are normalised.
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
}

/// How many of the worst mistakes the report shows.
const WORST: usize = 24;

impl Run<'_> {
    /// Trains, tests, and fills the folder: configuration first, the final record last.
    ///
    /// # Errors
    /// Data that cannot be read, a loss that is not finite, a disk that is full. The folder stays
    /// only if a model was written.
    pub fn execute(
        self,
        data: &RunData,
        folder: &mut RunFolder,
        reporter: &mut dyn Reporter,
    ) -> Result<FinalRecord> {
        let config = self.config;
        folder.write_config(config)?;
        let loader = train_loader(data, config)?;
        let mut trainer = Trainer::new(self.model, self.device, config, loader.batches())?;
        let mut epochs = Vec::new();
        for epoch in 1..=config.epochs {
            let record = trainer.epoch(epoch, &loader, reporter)?;
            reporter.epoch_finished(&record);
            folder.append(&Record::Epoch(record.clone()))?;
            epochs.push(record);
        }
        let test = evaluate(self.model, self.device, config, &test_loader(data, config)?)?;
        folder.write_model(&self.model.state_dict()?.to_bytes()?)?;
        folder.keep();
        let mut result = FinalRecord {
            model: config.model.clone(),
            epochs: config.epochs,
            parameters: self.model.count_parameters() as u64,
            test_accuracy: test.accuracy(),
            test_loss: test.loss,
            test_images: test.confusion.total(),
            seconds: self.started.elapsed().as_secs_f64(),
        };
        let report = ReportData {
            run: folder.path().display().to_string(),
            result: result.clone(),
            config: config.clone(),
            environment: self.environment,
            layers: self.layers,
            epochs,
            class_names: data.test.classes().to_vec(),
            filters: filters(self.model)?,
            mistakes: mistakes(&test, &*data.test)?,
            confusion: Some(test.confusion),
        };
        folder.write_report(&render(&report)?)?;
        result.seconds = self.started.elapsed().as_secs_f64();
        folder.append(&Record::Final(result.clone()))?;
        reporter.finished(&result, folder.path());
        Ok(result)
    }
}

/// Shuffled batches of the training data, augmented as the configuration says.
///
/// # Errors
/// A batch size of 0.
pub fn train_loader(data: &RunData, config: &RunConfig) -> Result<Loader> {
    let mut steps: Vec<Arc<dyn Transform>> = Vec::new();
    if config.translate > 0 {
        steps.push(Arc::new(RandomTranslate { pixels: config.translate, fill: 0.0 }));
    }
    steps.push(Arc::new(data.normalise.clone()));
    let options = LoaderOptions {
        batch_size: config.batch_size,
        shuffle: true,
        seed: config.seed,
        transform: Some(Arc::new(Compose(steps))),
        ..LoaderOptions::default()
    };
    Ok(Loader::new(Arc::clone(&data.train), options)?)
}

/// Batches of the test data, in order.
///
/// # Errors
/// None today; a loader can refuse its options.
pub fn test_loader(data: &RunData, config: &RunConfig) -> Result<Loader> {
    let options = LoaderOptions {
        batch_size: config.batch_size.max(250),
        shuffle: false,
        seed: config.seed,
        transform: Some(Arc::new(data.normalise.clone())),
        ..LoaderOptions::default()
    };
    Ok(Loader::new(Arc::clone(&data.test), options)?)
}

/// Loads a run's weights into a model.
///
/// # Errors
/// A file that is not of this model.
pub fn load_model(model: &dyn Classifier, device: &Device, folder: &RunFolder) -> Result<()> {
    let dict = StateDict::from_bytes(device, &folder.read_model()?)?;
    model.load_state_dict(&dict, true)?;
    Ok(())
}

/// Class probabilities of one image, `[K]`.
///
/// # Errors
/// An image that does not fit the model.
pub fn predict(
    model: &dyn Classifier,
    device: &Device,
    config: &RunConfig,
    mut image: FloatImage,
    normalise: &Normalise,
) -> Result<Vec<f32>> {
    normalise.apply(&mut image, ferrotape_backend::Rng::new(config.seed))?;
    let [c, h, w] = image.shape();
    let images = Array::from_slice(device, image.pixels(), [1, c, h, w])?;
    let pass = crate::evaluate::eval_pass(device, config)?;
    let scores = model.scores(&pass, &pass.input(images)?)?;
    Ok(scores.cast(DType::F32)?.softmax(1)?.array().to_vec()?)
}

/// The weights of the convolutions whose kernels are large enough to look at.
fn filters(model: &dyn Classifier) -> Result<Vec<FilterBank>> {
    let mut banks = Vec::new();
    for (name, parameter) in model.named_parameters() {
        let shape = parameter.shape();
        let [out, inputs, height, width] = match shape.nchw() {
            Ok(sizes) if sizes[2] * sizes[3] > 1 => sizes,
            _ => continue,
        };
        let values = parameter.value().cast(DType::F32)?.to_vec()?;
        let layer = name.trim_end_matches(".weight").to_owned();
        banks.push(FilterBank { layer, out, inputs, height, width, values });
    }
    Ok(banks)
}

fn mistakes(test: &Evaluation, data: &dyn Dataset) -> Result<Vec<MistakePicture>> {
    let mut pictures = Vec::new();
    for wrong in test.worst(WORST) {
        let sample = data.sample(wrong.index)?;
        let [channels, height, width] = sample.image.shape();
        pictures.push(MistakePicture {
            index: wrong.index,
            channels,
            height,
            width,
            pixels: sample.image.pixels().to_vec(),
            truth: wrong.truth,
            predicted: wrong.predicted,
            probability: wrong.probability,
        });
    }
    Ok(pictures)
}
