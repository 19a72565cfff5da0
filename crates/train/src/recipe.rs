//! Settings that train a model of the zoo well, by name.

use crate::config::{OptimizerName, RunConfig, ScheduleName};

/// The configuration that a model is trained with unless told otherwise; the defaults of
/// [`RunConfig`] for a model without a recipe of its own.
///
/// ```
/// let config = ferrotape_train::recipe("lenet5");
/// assert_eq!(config.model, "lenet5");
/// assert!(config.validate().is_ok());
/// ```
pub fn recipe(model: &str) -> RunConfig {
    let defaults = RunConfig { model: model.into(), ..RunConfig::default() };
    match model {
        "lenet5" => RunConfig {
            epochs: 12,
            batch_size: 64,
            optimizer: OptimizerName::AdamW,
            learning_rate: 3e-3,
            weight_decay: 1e-2,
            schedule: ScheduleName::Cosine,
            warmup_epochs: 0.5,
            translate: 2,
            ..defaults
        },
        _ => defaults,
    }
}
