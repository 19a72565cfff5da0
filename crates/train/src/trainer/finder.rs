//! How large a learning rate may be: the loss while it grows.

use plotters::prelude::*;

use ferrotape_data::Loader;

use super::Trainer;
use crate::{Error, Result};

/// Which learning rates are tried.
///
/// ```
/// let range = ferrotape_train::RateRange { steps: 50, ..Default::default() };
/// assert!(range.from < range.to);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateRange {
    /// The first one. Default 1e-7.
    pub from: f64,
    /// The last one. Default 10.
    pub to: f64,
    /// How many there are, each with one batch. Default 100.
    pub steps: usize,
}

impl Default for RateRange {
    fn default() -> Self {
        RateRange { from: 1e-7, to: 10.0, steps: 100 }
    }
}

/// A learning rate that was tried.
///
/// ```
/// use ferrotape_train::{RateCurve, RatePoint};
///
/// let point = RatePoint { rate: 0.01, loss: 1.25, smoothed: 1.5 };
/// let curve = RateCurve { points: vec![point; 2] };
/// assert_eq!(curve.suggestion(), None, "the loss falls nowhere");
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatePoint {
    /// The learning rate.
    pub rate: f64,
    /// The loss of the batch before the step of that rate.
    pub loss: f64,
    /// The losses so far, smoothed.
    pub smoothed: f64,
}

/// The loss over the learning rate, by [`Trainer::find_rate`].
///
/// ```
/// use ferrotape_train::{RateCurve, RatePoint};
///
/// let losses = [(1e-4, 2.0), (1e-3, 1.9), (1e-2, 1.0), (1e-1, 0.8), (1.0, 3.0)];
/// let points = losses.map(|(rate, loss)| RatePoint { rate, loss, smoothed: loss });
/// let curve = RateCurve { points: points.to_vec() };
/// assert_eq!(curve.suggestion(), Some(1e-3));
/// assert!(curve.svg()?.contains("Loss over the learning rate"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RateCurve {
    /// The rates, from the smallest, up to where the loss had run away.
    pub points: Vec<RatePoint>,
}

/// The share of the past in the smoothed loss.
const PAST: f64 = 0.9;
/// How many times the lowest smoothed loss ends the search.
const AWAY: f64 = 4.0;
/// Points at the start of which the slope says nothing yet, as in fastai and Lightning.
const LEAD: usize = 10;

impl RateCurve {
    /// The rate at which the smoothed loss falls most steeply over the logarithm of the rate: a good peak for
    /// a schedule (Smith 2017, as fastai and Lightning read it off). `None` if it falls nowhere.
    #[must_use]
    pub fn suggestion(&self) -> Option<f64> {
        let lead = LEAD.min(self.points.len() / 4);
        let slope = |pair: &[RatePoint]| {
            (pair[1].smoothed - pair[0].smoothed) / (pair[1].rate / pair[0].rate).ln()
        };
        let slopes = self.points[lead..].windows(2).map(|pair| (slope(pair), pair[0].rate));
        let steepest = slopes.min_by(|a, b| a.0.total_cmp(&b.0))?;
        (steepest.0 < 0.0).then_some(steepest.1)
    }

    /// The curve as a drawing: losses as dots, smoothed as a line, the suggestion as a vertical one.
    ///
    /// ```
    /// use ferrotape_train::RateCurve;
    ///
    /// let error = RateCurve { points: Vec::new() }.svg().unwrap_err().to_string();
    /// assert!(error.contains("there is no learning rate to draw"), "{error}");
    /// ```
    ///
    /// # Errors
    /// Too few points to draw.
    pub fn svg(&self) -> Result<String> {
        let (Some(first), Some(last)) = (self.points.first(), self.points.last()) else {
            return Err(Error::Figures("there is no learning rate to draw; try more steps".into()));
        };
        let low = self.points.iter().map(|p| p.loss.min(p.smoothed)).fold(f64::INFINITY, f64::min);
        // What has run away would flatten all the rest.
        let most = self.points.iter().map(|p| p.smoothed).fold(f64::NEG_INFINITY, f64::max);
        let margin = 0.05 * (most - low).max(1e-6);
        let mut text = String::new();
        let drawn = |text: &mut String| -> std::result::Result<(), Box<dyn std::error::Error>> {
            let area = SVGBackend::with_string(text, (720, 420)).into_drawing_area();
            area.fill(&WHITE)?;
            let mut chart = ChartBuilder::on(&area)
                .margin(16)
                .caption("Loss over the learning rate", ("sans-serif", 20))
                .x_label_area_size(44)
                .y_label_area_size(64)
                .build_cartesian_2d(
                    (first.rate..last.rate.max(first.rate * 1.01)).log_scale(),
                    low - margin..most + margin,
                )?;
            let rate = |rate: &f64| format!("{rate:.0e}");
            chart
                .configure_mesh()
                .x_desc("learning rate")
                .y_desc("loss of the batch")
                .x_label_formatter(&rate)
                .light_line_style(WHITE)
                .draw()?;
            let dots = self.points.iter().filter(|p| p.loss <= most + margin);
            chart.draw_series(
                dots.map(|p| Circle::new((p.rate, p.loss), 2, RGBColor(150, 150, 150).filled())),
            )?;
            let line = self.points.iter().map(|p| (p.rate, p.smoothed));
            chart.draw_series(LineSeries::new(line, RGBColor(31, 119, 180).stroke_width(2)))?;
            if let Some(rate) = self.suggestion() {
                let vertical = [(rate, low - margin), (rate, most + margin)];
                chart.draw_series(LineSeries::new(
                    vertical,
                    RGBColor(214, 39, 40).stroke_width(1),
                ))?;
            }
            area.present()?;
            Ok(())
        };
        drawn(&mut text).map_err(|cause| Error::Figures(format!("cannot draw: {cause}")))?;
        Ok(text)
    }
}

impl Trainer<'_> {
    /// Takes a step for each rate of a range, from the smallest, and notes the loss: the learning-rate range test
    /// of Smith (*Cyclical learning rates for training neural networks*, 2017). It ends where the loss is no
    /// number, or the smoothed one four times its lowest. The model is of no use afterwards.
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
    /// use ferrotape_train::{RateRange, Trainer, train_loader};
    ///
    /// let loader = train_loader(&data, &config)?;
    /// let trainer = Trainer::new(&model, &device, &config, loader.batches())?;
    /// let curve = trainer.find_rate(&loader, RateRange { steps: 40, ..Default::default() })?;
    /// assert!(curve.suggestion().is_some_and(|rate| rate > 1e-5));
    /// assert!(curve.svg()?.starts_with("<svg"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A range that does not grow from above 0, or of fewer than two steps; data that cannot be read; a device
    /// that failed.
    pub fn find_rate(mut self, loader: &Loader, range: RateRange) -> Result<RateCurve> {
        let RateRange { from, to, steps } = range;
        if !(from > 0.0 && to > from && to.is_finite()) || steps < 2 {
            return Err(Error::Figures(format!(
                "{steps} learning rates from {from} to {to} cannot be tried; give two or more, the first \
                 above 0 and the last above the first"
            )));
        }
        let classes = loader.dataset().classes().len();
        let (mut mean, mut lowest) = (0.0, f64::INFINITY);
        let mut curve = RateCurve { points: Vec::with_capacity(steps) };
        let mut epoch = 0;
        let mut batches = loader.epoch(epoch);
        for step in 0..steps {
            let batch = match batches.next() {
                Some(batch) => Some(batch),
                None => {
                    epoch += 1;
                    batches = loader.epoch(epoch);
                    batches.next()
                }
            };
            let Some(mut batch) = batch.transpose()? else {
                return Err(Error::Figures("there are no images to train on; give some".into()));
            };
            let rate = from * (to / from).powf(step as f64 / (steps - 1) as f64);
            let loss = match self.learn(1, &mut batch, classes) {
                Ok((loss, _)) => loss,
                Err(Error::Diverged { .. }) => break,
                Err(error) => return Err(error),
            };
            mean = PAST * mean + (1.0 - PAST) * loss;
            // Without this the average would begin at 0.
            let smoothed = mean / (1.0 - PAST.powi(step as i32 + 1));
            curve.points.push(RatePoint { rate, loss, smoothed });
            lowest = lowest.min(smoothed);
            if smoothed > AWAY * lowest {
                break;
            }
            self.update_at(rate)?;
            self.step += 1;
        }
        Ok(curve)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suggestion_is_where_the_loss_falls_most_steeply() {
        // Flat, then a fall around 1e-2, then a rise.
        let loss = |rate: f64| match rate.log10() {
            log if log < -3.0 => 2.3,
            log if log < -1.0 => 2.3 - (log + 3.0),
            log => 0.3 + 4.0 * (log + 1.0),
        };
        let points = (0..60).map(|i| {
            let rate = 10f64.powf(-6.0 + 0.1 * f64::from(i));
            RatePoint { rate, loss: loss(rate), smoothed: loss(rate) }
        });
        let curve = RateCurve { points: points.collect() };
        let found = curve.suggestion().unwrap();
        assert!((1e-3..0.1).contains(&found), "{found}");
        let svg = curve.svg().unwrap();
        assert!(svg.contains("learning rate") && svg.ends_with("</svg>\n"), "{svg}");
    }

    #[test]
    fn a_loss_that_only_rises_suggests_nothing() {
        let point =
            |i: u32| RatePoint { rate: f64::from(1 + i), loss: 1.0, smoothed: f64::from(i) };
        let curve = RateCurve { points: (0..20).map(point).collect() };
        assert_eq!(curve.suggestion(), None);
        assert!(RateCurve { points: Vec::new() }.svg().is_err());
    }
}
