//! Batch normalization.

use std::sync::LazyLock;

use ferrotape_autograd::Tensor;
use ferrotape_backend::pointwise::{Expr, Program};
use ferrotape_backend::{Array, DType, Error, Result};

use crate::layers::IntoLayer;
use crate::layers::folded::Folds;
use crate::{Distribution, Init, Layer, Module, Parameter, Pass, Path, State};

/// What a [`BatchNorm2d`] or [`BatchNorm1d`] is made from.
///
/// ```
/// use ferrotape_nn::BatchNormConfig;
///
/// let config = BatchNormConfig { momentum: Some(0.01), ..BatchNormConfig::new(64) };
/// assert_eq!(config.eps, 1e-5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormConfig {
    /// Channels of the input.
    pub features: usize,
    /// What is added to the variance.
    pub eps: f64,
    /// The share of the newest batch in the running statistics; `None` for the plain average of
    /// all batches.
    pub momentum: Option<f64>,
    /// Whether the result is scaled and shifted by learned numbers.
    pub affine: bool,
    /// Whether running statistics are kept. Without, evaluation takes the batch's own too.
    pub track_running_stats: bool,
}

impl BatchNormConfig {
    /// PyTorch's defaults: eps 1e-5, momentum 0.1, affine, tracking.
    ///
    /// ```
    /// use ferrotape_nn::BatchNormConfig;
    ///
    /// let config = BatchNormConfig::new(64);
    /// assert_eq!((config.eps, config.momentum), (1e-5, Some(0.1)));
    /// assert!(config.affine && config.track_running_stats);
    /// ```
    #[must_use]
    pub const fn new(features: usize) -> Self {
        BatchNormConfig {
            features,
            eps: 1e-5,
            momentum: Some(0.1),
            affine: true,
            track_running_stats: true,
        }
    }
}

/// Normalizes each channel of images, then scales and shifts it:
/// `y = (x - mean) / sqrt(var + eps) * weight + bias` (Ioffe and Szegedy 2015).
///
/// `[N, C, H, W]` to the same. In training mode `mean` and `var` are the batch's own over N, H and
/// W, with the biased variance; the running statistics move towards them,
/// `running = (1 - momentum) running + momentum batch`, with the *unbiased* variance. In
/// evaluation mode the running statistics are used. Means what `torch.nn.BatchNorm2d` means.
///
/// Parameters and statistics are kept in f32 (f64 for f64) under autocast too; the output has the
/// input's type.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{BatchNorm2d, BatchNormConfig, Init, Layer, Pass};
///
/// let device = Device::new(Reference::new());
/// let bn = BatchNorm2d::new(&Init::new(&device, Rng::new(1)), BatchNormConfig::new(1))?;
/// let x = Array::from_slice(&device, &[1.0f32, 3.0], [1, 1, 1, 2])?.into();
/// let y = bn.forward(&Pass::train(&device, Rng::new(1)), &x)?.to_vec::<f32>()?;
/// assert!((y[1] - 1.0).abs() < 1e-4 && (y[0] + 1.0).abs() < 1e-4);
/// let stats = bn.running.as_ref().map(|r| r.mean.value().item()).transpose()?;
/// assert!((stats.unwrap_or(0.0) - 0.2).abs() < 1e-6);
/// assert_eq!(bn.config().features, 1);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct BatchNorm2d {
    /// `[C]`; starts at 1.
    pub weight: Option<Parameter>,
    /// `[C]`; starts at 0.
    pub bias: Option<Parameter>,
    /// What evaluation mode normalizes by.
    #[module(rename = "")]
    pub running: Option<Running>,
    #[module(skip)]
    config: BatchNormConfig,
    #[module(skip)]
    pub(crate) folds: Folds,
    path: Path,
}

/// The running statistics of a batch norm, under PyTorch's names.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{BatchNorm2d, BatchNormConfig, Init, Module};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let bn = BatchNorm2d::new(&init, BatchNormConfig::new(2))?;
/// let names: Vec<String> = bn.named_states().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["running_mean", "running_var", "num_batches_tracked"]);
/// let variance = bn.running.as_ref().map(|running| running.var.value().to_vec::<f32>());
/// assert_eq!(variance.transpose()?, Some(vec![1.0, 1.0]));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct Running {
    /// `[C]`; starts at 0.
    #[module(rename = "running_mean")]
    pub mean: State,
    /// `[C]`; starts at 1.
    #[module(rename = "running_var")]
    pub var: State,
    /// How many batches went into them.
    pub num_batches_tracked: State,
}

impl BatchNorm2d {
    /// A layer with new parameters and statistics in the given scope.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{BatchNorm2d, BatchNormConfig, Init};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let wrong = BatchNormConfig { momentum: Some(1.5), ..BatchNormConfig::new(8) };
    /// assert_eq!(
    ///     BatchNorm2d::new(&init.at("bn1"), wrong).unwrap_err().to_string(),
    ///     "bn1: momentum is 1.5, it must lie between 0 and 1"
    /// );
    /// let fixed = BatchNormConfig { affine: false, ..BatchNormConfig::new(8) };
    /// assert!(BatchNorm2d::new(&init, fixed)?.weight.is_none());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No channels, or eps or momentum out of range; out of memory.
    pub fn new(init: &Init, config: BatchNormConfig) -> Result<Self> {
        let BatchNormConfig { features, eps, momentum, .. } = config;
        let wrong = if features == 0 {
            Some("features is 0, it must be at least 1".to_owned())
        } else if !(eps >= 0.0 && eps.is_finite()) {
            Some(format!("eps is {eps}, it must be a small number of at least 0"))
        } else {
            momentum
                .filter(|m| !(0.0..=1.0).contains(m))
                .map(|m| format!("momentum is {m}, it must lie between 0 and 1"))
        };
        if let Some(wrong) = wrong {
            return Err(Error::argument(wrong).at(init.path().as_str()));
        }
        let parameter = |name, distribution| {
            config.affine.then(|| init.parameter(name, [features], distribution)).transpose()
        };
        let running = || -> Result<Running> {
            Ok(Running {
                mean: init.state("running_mean", [features], 0.0)?,
                var: init.state("running_var", [features], 1.0)?,
                num_batches_tracked: init.counter("num_batches_tracked")?,
            })
        };
        Ok(BatchNorm2d {
            weight: parameter("weight", Distribution::Ones)?,
            bias: parameter("bias", Distribution::Zeros)?,
            running: config.track_running_stats.then(running).transpose()?,
            config,
            folds: Folds::default(),
            path: init.path().clone(),
        })
    }

    /// What it was made from.
    #[must_use]
    pub fn config(&self) -> &BatchNormConfig {
        &self.config
    }

    /// `relu(forward(x) + residual)` in one operator, without the ReLU if `relu` is false.
    pub(crate) fn forward_act(
        &self,
        cx: &Pass,
        x: &Tensor,
        residual: Option<&Tensor>,
        relu: bool,
    ) -> Result<Tensor> {
        cx.within(self, || {
            let [_, channels, _, _] = x.shape().nchw()?;
            self.check(channels)?;
            self.normalize(cx, x, residual, relu)
        })
    }

    fn normalize(
        &self,
        cx: &Pass,
        x: &Tensor,
        residual: Option<&Tensor>,
        relu: bool,
    ) -> Result<Tensor> {
        let affine = match (&self.weight, &self.bias) {
            (Some(weight), Some(bias)) => {
                Some([wide(&cx.param(weight)?)?, wide(&cx.param(bias)?)?])
            }
            _ => None,
        };
        let affine = affine.as_ref().map(|[weight, bias]| [weight, bias]);
        let eps = self.config.eps;
        match &self.running {
            Some(running) if !cx.is_training(&self.path) => {
                let (mean, var) = (running.mean.value(), running.var.value());
                let (mean, var) = (wide(&mean.into())?, wide(&var.into())?);
                x.batch_norm_act_eval([&mean, &var], affine, eps, residual, relu)
            }
            running => {
                let (y, mean, var) = x.batch_norm_act_train(affine, eps, residual, relu)?;
                if let Some(running) = running.as_ref().filter(|_| cx.is_training(&self.path)) {
                    let count = x.shape().numel() / self.config.features;
                    running.track(cx, [&mean, &var], count, self.config.momentum)?;
                }
                Ok(y)
            }
        }
    }
}

/// The kernel takes parameters and statistics of the accumulator type: 16-bit ones are widened.
pub(crate) fn wide(tensor: &Tensor) -> Result<Tensor> {
    tensor.cast(tensor.dtype().accumulator())
}

impl Running {
    /// Moves the statistics towards those of a batch with `count` values a channel.
    fn track(
        &self,
        cx: &Pass,
        [mean, var]: [&Array; 2],
        count: usize,
        momentum: Option<f64>,
    ) -> Result<()> {
        static MOVE: LazyLock<Program> = LazyLock::new(|| {
            let (keep, take) = (Expr::scalar(0), Expr::scalar(1));
            Program::new(&[Expr::previous(0) * keep + Expr::input(0) * take])
        });
        static COUNT: LazyLock<Program> =
            LazyLock::new(|| Program::new(&[Expr::previous(0) + Expr::input(0)]));
        if !cx.has_effects() {
            return Ok(());
        }
        let backend = cx.device().backend();
        // An operand of f64 makes the program compute in f64, where the count is exact.
        let one = Array::full(cx.device(), DType::F64, [], 1.0)?;
        cx.effect(&self.num_batches_tracked, |seen| {
            backend.pointwise(&COUNT, &[], &[&one], &mut [seen])
        })?;
        let take = match momentum {
            Some(momentum) => momentum,
            None => 1.0 / self.num_batches_tracked.value().item()?,
        };
        let unbiased = count as f64 / (count.max(2) - 1) as f64;
        for (state, batch, correction) in [(&self.mean, mean, 1.0), (&self.var, var, unbiased)] {
            let scalars = [1.0 - take, take * correction];
            cx.effect(state, |running| {
                backend.pointwise(&MOVE, &scalars, &[batch], &mut [running])
            })?;
        }
        Ok(())
    }
}

impl Layer for BatchNorm2d {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        self.forward_act(cx, x, None, false)
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl BatchNorm2d {
    fn check(&self, channels: usize) -> Result<()> {
        if channels == self.config.features {
            return Ok(());
        }
        Err(Error::shape(format!(
            "the input has {channels} channels, this batch norm is for {}",
            self.config.features
        )))
    }
}

impl IntoLayer for BatchNormConfig {
    fn into_layer(self, init: &Init) -> Result<Box<dyn Layer>> {
        Ok(Box::new(BatchNorm2d::new(init, self)?))
    }
}

/// [`BatchNorm2d`] for rows and sequences: `[N, C]` or `[N, C, L]` to the same, with the statistics
/// over N (and L). Means what `torch.nn.BatchNorm1d` means.
///
/// ```
/// use ferrotape_backend::{Array, Device, Rng, reference::Reference};
/// use ferrotape_nn::{BatchNorm1d, BatchNormConfig, Init, Layer, Pass};
///
/// let device = Device::new(Reference::new());
/// let bn = BatchNorm1d::new(&Init::new(&device, Rng::new(1)), BatchNormConfig::new(1))?;
/// let x = Array::from_slice(&device, &[1.0f64, 3.0], [2, 1])?.into();
/// let y = bn.forward(&Pass::train(&device, Rng::new(1)), &x);
/// assert!(y.is_err(), "parameters of f32 do not mix with f64");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct BatchNorm1d {
    /// The parameters and the computation.
    #[module(rename = "")]
    pub inner: BatchNorm2d,
}

impl BatchNorm1d {
    /// A layer with new parameters and statistics in the given scope.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{BatchNorm1d, BatchNormConfig, Init, Layer, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let bn = BatchNorm1d::new(&init, BatchNormConfig::new(4))?;
    /// let x = Array::zeros(&device, DType::F32, [3, 4, 10])?.into();
    /// assert_eq!(bn.forward(&Pass::train(&device, Rng::new(1)), &x)?.shape().dims(), [3, 4, 10]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`BatchNorm2d::new`].
    pub fn new(init: &Init, config: BatchNormConfig) -> Result<Self> {
        Ok(BatchNorm1d { inner: BatchNorm2d::new(init, config)? })
    }
}

impl Layer for BatchNorm1d {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let (n, c, l) = match *x.shape().dims() {
                [n, c] => (n, c, 1),
                [n, c, l] => (n, c, l),
                _ => {
                    return Err(Error::shape(format!(
                        "expected [N, C] or [N, C, L], got {}",
                        x.shape()
                    )));
                }
            };
            self.inner.check(c)?;
            let shape = *x.shape();
            let images = x.view(ferrotape_backend::Shape::new(&[n, c, 1, l])?)?;
            self.inner.normalize(cx, &images, None, false)?.view(shape)
        })
    }

    fn path(&self) -> &Path {
        self.inner.path()
    }
}

#[cfg(test)]
mod tests {
    use ferrotape_backend::{Device, Rng, reference::Reference};

    use super::*;

    /// Two channels of four values; the means are 2.5 and 25, the unbiased variances 5/3 and 500/3.
    fn batch(device: &Device) -> Tensor {
        let values = [1.0, 2.0, 10.0, 20.0, 3.0, 4.0, 30.0, 40.0];
        Array::from_slice(device, &values, [2, 2, 1, 2]).unwrap().into()
    }

    fn make(device: &Device, config: BatchNormConfig) -> BatchNorm2d {
        let init = Init::new(device, Rng::new(1)).dtype(DType::F64);
        BatchNorm2d::new(&init.at("bn"), config).unwrap()
    }

    fn assert_close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-9 * (1.0 + e.abs()), "{found:?} for {expected:?}");
        }
    }

    fn statistics(bn: &BatchNorm2d) -> [Vec<f64>; 3] {
        let running = bn.running.as_ref().unwrap();
        [&running.mean, &running.var, &running.num_batches_tracked]
            .map(|state| state.value().to_f64_vec().unwrap())
    }

    #[test]
    fn training_normalizes_by_the_biased_and_tracks_the_unbiased_variance() {
        let device = Device::new(Reference::new());
        let bn = make(&device, BatchNormConfig::new(2));
        let y = bn.forward(&Pass::train(&device, Rng::new(1)), &batch(&device)).unwrap();
        let narrow = (1.25f64 + 1e-5).sqrt();
        let wide = (125.0f64 + 1e-5).sqrt();
        let expected = [
            -1.5 / narrow,
            -0.5 / narrow,
            -15.0 / wide,
            -5.0 / wide,
            0.5 / narrow,
            1.5 / narrow,
            5.0 / wide,
            15.0 / wide,
        ];
        assert_close(&y.to_f64_vec().unwrap(), &expected);
        let [mean, var, count] = statistics(&bn);
        assert_close(&mean, &[0.25, 2.5]);
        assert_close(&var, &[0.9 + 0.5 / 3.0, 0.9 + 50.0 / 3.0]);
        assert_eq!(count, [1.0]);
    }

    #[test]
    fn evaluation_uses_the_running_statistics_and_leaves_them() {
        let device = Device::new(Reference::new());
        let bn = make(&device, BatchNormConfig::new(2));
        bn.forward(&Pass::train(&device, Rng::new(1)), &batch(&device)).unwrap();
        let before = statistics(&bn);
        let y = bn.forward(&Pass::eval(&device), &batch(&device)).unwrap();
        let first = (1.0 - before[0][0]) / (before[1][0] + 1e-5).sqrt();
        assert_close(&y.to_f64_vec().unwrap()[..1], &[first]);
        assert_eq!(statistics(&bn), before);
        bn.forward(&Pass::train(&device, Rng::new(1)).without_effects(), &batch(&device)).unwrap();
        assert_eq!(statistics(&bn), before);
    }

    #[test]
    fn without_momentum_the_statistics_are_the_average_of_all_batches() {
        let device = Device::new(Reference::new());
        let bn = make(&device, BatchNormConfig { momentum: None, ..BatchNormConfig::new(2) });
        let train = Pass::train(&device, Rng::new(1));
        bn.forward(&train, &batch(&device)).unwrap();
        bn.forward(&train, &batch(&device).mul_scalar(3.0).unwrap()).unwrap();
        let [mean, var, count] = statistics(&bn);
        assert_close(&mean, &[5.0, 50.0]);
        assert_close(&var, &[5.0 * 5.0 / 3.0, 5.0 * 500.0 / 3.0]);
        assert_eq!(count, [2.0]);
    }

    #[test]
    fn without_tracking_evaluation_normalizes_by_the_batch() {
        let device = Device::new(Reference::new());
        let config = BatchNormConfig {
            track_running_stats: false,
            affine: false,
            ..BatchNormConfig::new(2)
        };
        let bn = make(&device, config);
        assert!(bn.state_dict().unwrap().is_empty());
        let [train, eval] = [Pass::train(&device, Rng::new(1)), Pass::eval(&device)]
            .map(|cx| bn.forward(&cx, &batch(&device)).unwrap().to_f64_vec().unwrap());
        assert_eq!(train, eval);
    }

    #[test]
    fn rows_and_sequences_are_normalized_like_images_of_their_values() {
        let device = Device::new(Reference::new());
        let init = Init::new(&device, Rng::new(1)).dtype(DType::F64);
        let (bn2, bn1) = (
            make(&device, BatchNormConfig::new(2)),
            BatchNorm1d::new(&init.at("bn"), BatchNormConfig::new(2)).unwrap(),
        );
        let names: Vec<String> = bn1.state_dict().unwrap().names().map(str::to_owned).collect();
        assert_eq!(names, bn2.state_dict().unwrap().names().collect::<Vec<_>>());
        let cx = Pass::train(&device, Rng::new(1));
        let sequence = batch(&device).reshape(&[2, 2, 2]).unwrap();
        let found = bn1.forward(&cx, &sequence).unwrap();
        assert_eq!(found.shape().dims(), [2, 2, 2]);
        let expected = bn2.forward(&cx, &batch(&device)).unwrap();
        assert_eq!(found.to_f64_vec().unwrap(), expected.to_f64_vec().unwrap());
        let rows = batch(&device).narrow(3, 0, 1).unwrap().reshape(&[2, 2]).unwrap();
        assert_eq!(bn1.forward(&cx, &rows).unwrap().shape().dims(), [2, 2]);
    }

    #[test]
    fn wrong_inputs_and_options_are_errors_that_name_the_layer() {
        let device = Device::new(Reference::new());
        let init = Init::new(&device, Rng::new(1)).at("bn");
        for config in [
            BatchNormConfig::new(0),
            BatchNormConfig { eps: f64::NAN, ..BatchNormConfig::new(1) },
            BatchNormConfig { momentum: Some(1.5), ..BatchNormConfig::new(1) },
        ] {
            let error = BatchNorm2d::new(&init, config).unwrap_err().to_string();
            assert!(error.starts_with("bn: "), "{error}");
        }
        let bn = make(&device, BatchNormConfig::new(3));
        let error = bn.forward(&Pass::eval(&device), &batch(&device)).unwrap_err().to_string();
        assert!(error.starts_with("bn: the input has 2 channels"), "{error}");
        let bn = make(&device, BatchNormConfig::new(2));
        let single = batch(&device).narrow(0, 0, 1).unwrap().narrow(3, 0, 1).unwrap();
        assert!(bn.forward(&Pass::train(&device, Rng::new(1)), &single).is_err());
    }
}
