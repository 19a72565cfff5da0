//! What TensorBoard is told of a run.

use std::path::Path;

use ferrotape_backend::{Array, DType, Device};
use ferrotape_nn::Classifier;

use crate::evaluate::Evaluation;
use crate::report::{FilterBank, filter_sheet};
use crate::tensorboard::{EventFile, graph};
use crate::trainer::Trainer;
use crate::{EpochRecord, Precision, Result, RunData};

/// The folder of the event files, within that of the run.
const FOLDER: &str = "tensorboard";

/// The event file of a process, if the configuration wants one.
pub(super) struct Events(Option<EventFile>);

impl Events {
    /// A file from the trainer's step on, with the model's graph where the run begins.
    pub(super) fn begin(
        run: &Path,
        trainer: &Trainer<'_>,
        model: &dyn Classifier,
        device: &Device,
        data: &RunData,
    ) -> Result<Self> {
        let config = trainer.config();
        if !config.tensorboard {
            return Ok(Events(None));
        }
        let mut file = EventFile::create(&run.join(FOLDER), trainer.steps())?;
        if trainer.steps() == 0 {
            let [c, h, w] = data.train.image_shape();
            let dtype = Precision::of(config)?.parameters;
            let image = Array::zeros(device, dtype, [1, c, h, w])?;
            file.graph(&graph(model, device, image)?);
        }
        file.flush()?;
        Ok(Events(Some(file)))
    }

    /// Figures of an epoch, and how the weights are distributed after it.
    pub(super) fn epoch(
        &mut self,
        record: &EpochRecord,
        step: u64,
        model: &dyn Classifier,
    ) -> Result<()> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        for (tag, value) in [
            ("train/loss", Some(record.train_loss)),
            ("train/accuracy", Some(record.train_accuracy)),
            ("validation/loss", record.validation_loss),
            ("validation/accuracy", record.validation_accuracy),
            ("learning_rate", Some(record.learning_rate)),
            ("images_per_second", Some(record.images_per_second)),
        ] {
            value.into_iter().for_each(|value| file.scalar(tag, step, value));
        }
        for (name, parameter) in model.named_parameters() {
            file.histogram(&name, step, &parameter.value().cast(DType::F32)?.to_vec()?);
        }
        file.flush()
    }

    /// Figures of the test, and the learned filters.
    pub(super) fn end(
        &mut self,
        test: &Evaluation,
        step: u64,
        filters: &[FilterBank],
    ) -> Result<()> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        file.scalar("test/loss", step, test.loss);
        file.scalar("test/accuracy", step, test.accuracy());
        for bank in filters {
            let sheet = filter_sheet(bank)?;
            file.picture(&format!("filters/{}", bank.layer), step, sheet.size, &sheet.png);
        }
        file.flush()
    }
}
