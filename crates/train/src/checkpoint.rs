//! Where a training stands, whole: what it takes to go on to the bit.
//!
//! A checkpoint is one safetensors file. Its arrays are the model's (`model.NAME`), the optimizers'
//! (`optimizer.GROUP.NAME`), the moving average's if one is kept (`average.NAME`) and the confusion matrix of the epoch under way (`epoch.confusion`); its header has a
//! [`Position`] as JSON. Random draws need no state: they are functions of seed, epoch, sample and step.

use ferrotape_backend::Device;
use ferrotape_nn::StateDict;
use serde::{Deserialize, Serialize};

use crate::metrics::RunningMean;
pub use crate::trainer::Watch;
use crate::{Error, Result};

/// The version of the format that is written, and the only one that is read.
const VERSION: u32 = 1;

/// How the names of the arrays begin, by what they belong to.
pub(crate) const MODEL: &str = "model.";
pub(crate) const OPTIMIZER: &str = "optimizer.";
pub(crate) const AVERAGE: &str = "average.";
/// The confusion matrix of the epoch so far, `[K, K]`.
pub(crate) const CONFUSION: &str = "epoch.confusion";

/// How far a training has come.
///
/// ```
/// use ferrotape_train::checkpoint::Position;
///
/// let start = Position::default();
/// assert_eq!((start.step, start.epoch, start.batch), (0, 1, 0));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Of the format.
    pub(crate) version: u32,
    /// Steps taken.
    pub step: u64,
    /// The epoch of the next step, counted from 1; one more than the run has when training is over.
    pub epoch: usize,
    /// Batches of that epoch that were learned from.
    pub batch: usize,
    /// Batches of an epoch: another number is other data, or another batch size.
    pub batches: usize,
    /// Seconds that the run has taken, over all its processes.
    pub seconds: f64,
    /// Seconds that the epoch under way has taken.
    pub epoch_seconds: f64,
    /// The loss of the epoch so far.
    pub loss: RunningMean,
    /// What the validation losses have come to.
    pub watch: Watch,
    /// The images of the run; `None` outside of one, and in files of before they were written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) images: Option<Images>,
}

/// How many images a run has, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Images {
    pub(crate) training: usize,
    pub(crate) validation: usize,
    pub(crate) test: usize,
}

impl Images {
    /// Refuses other numbers of images than the run began with: its parts are drawn from all of them, so that
    /// images it has learned from would come among those it is tested on.
    ///
    /// # Errors
    /// Another number of any.
    pub(crate) fn expect(&self, now: &Images) -> Result<()> {
        for (of, then, now) in [
            ("training", self.training, now.training),
            ("validation", self.validation, now.validation),
            ("test", self.test, now.test),
        ] {
            if then != now {
                return Err(Error::Figures(format!(
                    "the run began with {then} {of} images, and its data has {now} now; restore the data as it \
                     was, or train anew into another folder (--out)"
                )));
            }
        }
        Ok(())
    }
}

impl Default for Position {
    fn default() -> Self {
        Position {
            version: VERSION,
            step: 0,
            epoch: 1,
            batch: 0,
            batches: 0,
            seconds: 0.0,
            epoch_seconds: 0.0,
            loss: RunningMean::default(),
            watch: Watch::default(),
            images: None,
        }
    }
}

/// A position and the arrays that belong to it.
///
/// ```
/// use ferrotape_backend::{Device, reference::Reference};
/// use ferrotape_train::Checkpoint;
///
/// let device = Device::new(Reference::new());
/// let bytes = Checkpoint::default().to_bytes()?;
/// assert_eq!(Checkpoint::from_bytes(&device, &bytes)?.position.step, 0);
/// # Ok::<(), ferrotape_train::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Checkpoint {
    /// How far the training has come.
    pub position: Position,
    /// The arrays of model, optimizer and epoch.
    pub arrays: StateDict,
}

impl Checkpoint {
    /// As a file.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    /// use ferrotape_train::Checkpoint;
    ///
    /// let device = Device::new(Reference::new());
    /// let mut checkpoint = Checkpoint::default();
    /// checkpoint.position.step = 7;
    /// checkpoint.arrays.insert("model.fc.bias", Array::full(&device, DType::F32, [2], 0.5)?);
    /// let read = Checkpoint::from_bytes(&device, &checkpoint.to_bytes()?)?;
    /// assert_eq!((read.position.step, read.arrays.len()), (7, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The device failed.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let note = serde_json::to_string(&self.position)
            .map_err(|e| Error::Figures(format!("the position cannot be written: {e}")))?;
        Ok(self.arrays.to_bytes_with_note(&note)?)
    }

    /// From a file, with the arrays on a device.
    ///
    /// ```
    /// use ferrotape_backend::{Device, reference::Reference};
    /// use ferrotape_nn::StateDict;
    /// use ferrotape_train::Checkpoint;
    ///
    /// let device = Device::new(Reference::new());
    /// let weights = StateDict::new().to_bytes()?;
    /// let error = Checkpoint::from_bytes(&device, &weights).unwrap_err().to_string();
    /// assert!(error.contains("a file of weights and no checkpoint"), "{error}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Not a checkpoint, a damaged one, or one of another version of this library.
    pub fn from_bytes(device: &Device, bytes: &[u8]) -> Result<Self> {
        let note = StateDict::note(bytes)?.ok_or_else(|| {
            Error::Figures("it is a file of weights and no checkpoint; restore the file".into())
        })?;
        let wrong = |e| Error::Figures(format!("its position is damaged: {e}; restore the file"));
        let versions: Version = serde_json::from_str(&note).map_err(wrong)?;
        if versions.version != VERSION {
            return Err(Error::Figures(format!(
                "it has version {} of the format and this ferrotape reads {VERSION}; go on with the \
                 ferrotape that began the run",
                versions.version
            )));
        }
        let position = serde_json::from_str(&note).map_err(wrong)?;
        Ok(Checkpoint { position, arrays: StateDict::from_bytes(device, bytes)? })
    }

    /// The arrays whose names begin with `part`, without it.
    pub(crate) fn part(&self, part: &str) -> StateDict {
        let named = |(name, array): (&str, &ferrotape_backend::Array)| {
            name.strip_prefix(part).map(|name| (name.to_owned(), array.clone()))
        };
        self.arrays.iter().filter_map(named).collect()
    }
}

/// The one key that every version of a position has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[cfg(test)]
mod tests {
    use ferrotape_backend::reference::Reference;

    use super::*;

    #[test]
    fn a_file_of_weights_and_one_of_another_version_are_refused() {
        let device = Device::new(Reference::new());
        let read = |bytes: &[u8]| Checkpoint::from_bytes(&device, bytes).unwrap_err().to_string();
        assert!(read(&StateDict::new().to_bytes().unwrap()).contains("no checkpoint"));
        let mut checkpoint = Checkpoint::default();
        checkpoint.position.version = 9;
        assert!(read(&checkpoint.to_bytes().unwrap()).contains("version 9"));
        let bytes = StateDict::new().to_bytes_with_note("{\"version\":1}").unwrap();
        assert!(read(&bytes).contains("is damaged"));
        assert!(read(b"nothing").contains("no safetensors file"));
    }

    #[test]
    fn a_checkpoint_without_numbers_of_images_is_read_and_those_of_one_come_back() {
        let device = Device::new(Reference::new());
        let mut checkpoint = Checkpoint::default();
        let bytes = checkpoint.to_bytes().unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("images"));
        assert_eq!(Checkpoint::from_bytes(&device, &bytes).unwrap().position.images, None);
        checkpoint.position.images = Some(Images { training: 3, validation: 2, test: 1 });
        let read = Checkpoint::from_bytes(&device, &checkpoint.to_bytes().unwrap()).unwrap();
        assert_eq!(read.position, checkpoint.position);
    }

    #[test]
    fn a_sum_of_losses_survives_to_the_bit() {
        let device = Device::new(Reference::new());
        let mut checkpoint = Checkpoint::default();
        for i in 1..1000 {
            checkpoint.position.loss.add(1.0 / f64::from(i), 3);
        }
        let read = Checkpoint::from_bytes(&device, &checkpoint.to_bytes().unwrap()).unwrap();
        assert_eq!(read.position, checkpoint.position);
    }
}
