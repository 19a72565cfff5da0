//! What a run writes down: one record after each epoch and one at its end.
//!
//! Each is one line of `metrics.jsonl`, a JSON object whose `event` says which it is.

use serde::{Deserialize, Deserializer, Serialize};

/// A line of `metrics.jsonl`.
///
/// ```
/// use ferrotape_train::{EpochRecord, Record};
///
/// let record = Record::Epoch(EpochRecord { epoch: 1, train_loss: 0.25, ..Default::default() });
/// let line = record.to_json();
/// assert!(line.starts_with(r#"{"event":"epoch","epoch":1,"train_loss":0.25,"#));
/// assert_eq!(Record::from_json(&line).unwrap(), record);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// An epoch ended.
    Epoch(EpochRecord),
    /// The run ended; always the last line.
    Final(FinalRecord),
}

impl Record {
    /// The record as one line of JSON, without the line's end.
    ///
    /// JSON has no infinities and no NaN: a loss that is not finite is written as `null`.
    ///
    /// ```
    /// use ferrotape_train::{EpochRecord, Record};
    ///
    /// let lost = EpochRecord { train_loss: f64::INFINITY, ..Default::default() };
    /// assert!(Record::Epoch(lost).to_json().contains(r#""train_loss":null"#));
    /// ```
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a record is numbers and text under constant keys")
    }

    /// Reads a record from a line of JSON; a `null` loss is read as NaN.
    ///
    /// # Errors
    ///
    /// The parser's, if the line is not JSON, names no known event or lacks a figure.
    ///
    /// ```
    /// use ferrotape_train::Record;
    ///
    /// assert!(Record::from_json(r#"{"event":"lunch"}"#).is_err());
    /// ```
    pub fn from_json(line: &str) -> serde_json::Result<Self> {
        serde_json::from_str(line)
    }
}

/// The figures of one epoch.
///
/// Losses are means over images, accuracies are fractions in `[0, 1]`. The training figures are
/// taken while the weights change; those of validation, where there are any, after the epoch.
///
/// ```
/// use ferrotape_train::EpochRecord;
///
/// let record = EpochRecord { epoch: 3, train_accuracy: 0.987, ..Default::default() };
/// assert_eq!(record.validation_loss, None);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Which epoch, counted from 1.
    pub epoch: usize,
    /// Mean training loss per image.
    #[serde(deserialize_with = "null_is_nan")]
    pub train_loss: f64,
    /// Share of the training images classified rightly.
    pub train_accuracy: f64,
    /// Mean loss per image of those set aside for validation, if any are.
    #[serde(default, deserialize_with = "null_is_some_nan")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
    /// Share of them classified rightly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
    /// The learning rate of the epoch's last step.
    pub learning_rate: f64,
    /// Training images per second, validation not counted.
    pub images_per_second: f64,
    /// Wall time of the epoch in seconds, validation included.
    pub seconds: f64,
    /// The share of the training's time that was spent waiting for batches, in `[0, 1]`.
    #[serde(default)]
    pub data_wait: f64,
}

/// The figures of a whole run, as its last line.
///
/// ```
/// use ferrotape_train::{FinalRecord, Record};
///
/// let last = FinalRecord { test_accuracy: 0.9912, test_images: 10_000, ..Default::default() };
/// assert_eq!(last.test_errors(), 88);
/// assert!(Record::Final(last).to_json().starts_with(r#"{"event":"final","#));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FinalRecord {
    /// Name of the model.
    pub model: String,
    /// Epochs trained.
    pub epochs: usize,
    /// Trainable numbers in the model.
    pub parameters: u64,
    /// Share of the test images classified rightly by the last epoch's weights, in `[0, 1]`.
    pub test_accuracy: f64,
    /// Mean test loss per image.
    #[serde(deserialize_with = "null_is_nan")]
    pub test_loss: f64,
    /// Share of the test images whose class is among the five with the highest scores, where there are more
    /// classes than five.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_top5: Option<f64>,
    /// Area under the receiver operating characteristic of the second class, where there are two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_auc: Option<f64>,
    /// Images tested.
    pub test_images: u64,
    /// Share of the images set aside for validation that the tested weights classify rightly, if any are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
    /// Wall time in seconds from the start of the process until the report is on disk.
    pub seconds: f64,
    /// The share of the training's time that was spent waiting for batches, in `[0, 1]`.
    #[serde(default)]
    pub data_wait: f64,
}

impl FinalRecord {
    /// How many test images were classified wrongly: `(1 - accuracy) * images`, rounded.
    ///
    /// ```
    /// use ferrotape_train::FinalRecord;
    ///
    /// let perfect = FinalRecord { test_accuracy: 1.0, test_images: 7, ..Default::default() };
    /// assert_eq!(perfect.test_errors(), 0);
    /// ```
    pub fn test_errors(&self) -> u64 {
        ((1.0 - self.test_accuracy) * self.test_images as f64).round() as u64
    }
}

/// A loss that is not finite is written as `null`, JSON's only word for it, and read as NaN.
fn null_is_nan<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

/// The same for a figure that may be absent: an absent key is `None`, a `null` is NaN.
fn null_is_some_nan<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    null_is_nan(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_that_is_not_a_number_survives_as_null() {
        let record = EpochRecord {
            epoch: 2,
            train_loss: f64::NAN,
            validation_loss: Some(f64::INFINITY),
            ..Default::default()
        };
        let line = Record::Epoch(record).to_json();
        assert!(
            line.contains(r#""train_loss":null"#) && line.contains(r#""validation_loss":null"#)
        );
        let Record::Epoch(read) = Record::from_json(&line).unwrap() else { panic!("{line}") };
        assert!(read.train_loss.is_nan() && read.validation_loss.unwrap().is_nan());
    }

    #[test]
    fn an_epoch_without_validation_says_nothing_about_it() {
        let line = Record::Epoch(EpochRecord::default()).to_json();
        assert!(!line.contains("validation"), "{line}");
        assert_eq!(Record::from_json(&line).unwrap(), Record::Epoch(EpochRecord::default()));
    }

    #[test]
    fn figures_come_back_to_the_last_bit() {
        let record = Record::Final(FinalRecord {
            model: "lenet5".into(),
            test_accuracy: 0.1 + 0.2,
            test_loss: 1.0 / 3.0,
            seconds: 1e-7,
            ..Default::default()
        });
        assert_eq!(Record::from_json(&record.to_json()).unwrap(), record);
    }
}
