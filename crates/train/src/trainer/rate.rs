//! The learning rate of each step.

use ferrotape_nn::optim::Schedule;

use super::Trainer;
use crate::config::ScheduleName;

impl Trainer<'_> {
    /// The learning rate of step `step`, counted from 0.
    ///
    /// It rises linearly over the warm-up, reaching the peak at its end; then goes as
    /// [`ScheduleName`] says.
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
    /// use ferrotape_train::Trainer;
    ///
    /// let config = RunConfig { epochs: 10, learning_rate: 1.0, warmup_epochs: 2.0, ..config };
    /// let trainer = Trainer::new(&model, &device, &config, 1)?;
    /// assert_eq!(trainer.learning_rate(0), 1.0 / 3.0);
    /// assert_eq!(trainer.learning_rate(2), 1.0);
    /// assert!(trainer.learning_rate(9) < 0.05);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn learning_rate(&self, step: u64) -> f64 {
        let peak = self.config.learning_rate;
        let total = (self.config.epochs * self.batches).max(1) as f64;
        let warmup = (self.config.warmup_epochs * self.batches as f64).min(total);
        if self.config.schedule == ScheduleName::OneCycle {
            let cycle = Schedule::OneCycle {
                max_lr: peak,
                steps: total as u64,
                pct_start: 0.3,
                div_factor: 25.0,
                final_div_factor: 1e4,
            };
            return cycle.lr(peak, step);
        }
        let step = step as f64;
        if step < warmup {
            return peak * (step + 1.0) / (warmup + 1.0);
        }
        let done = (step - warmup) / (total - warmup).max(1.0);
        let epochs = step / self.batches.max(1) as f64;
        let gamma = self.config.gamma;
        match self.config.schedule {
            ScheduleName::Constant | ScheduleName::OneCycle => peak,
            ScheduleName::Cosine => peak * 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
            ScheduleName::Linear => peak * (1.0 - done).max(0.0),
            ScheduleName::Polynomial => peak * (1.0 - done).max(0.0).powf(0.9),
            ScheduleName::Step => {
                peak * gamma.powf((epochs / self.config.step_epochs as f64).floor())
            }
            ScheduleName::Exponential => peak * gamma.powf(epochs),
            ScheduleName::Plateau => peak * self.watch.factor,
        }
    }
}
