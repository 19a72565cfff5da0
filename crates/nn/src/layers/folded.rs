//! A convolution and the batch norm behind it as one convolution, for passes without gradients.

use std::sync::{Arc, Mutex, PoisonError};

use ferrotape_autograd::Tensor;
use ferrotape_backend::{DType, Result, Shape};

use crate::layers::batch_norm::wide;
use crate::{BatchNorm2d, Conv2d, Layer, Pass};

/// Weight `[O, C / groups, KH, KW]` and bias `[O]` of one convolution that does what a convolution and a norm with fixed
/// statistics do: with `s = weight / sqrt(var + eps)` a channel,
///
/// `norm(conv(x)) = (s w) * x + (s (conv.bias - mean) + bias)`
///
/// (Jacob et al. 2018, *Quantization and training of neural networks*, equation 14).
#[derive(Debug)]
pub(crate) struct Folded {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
    /// The memory of everything that it was made from, and how often that had been written.
    sources: Vec<(u64, u64)>,
}

/// What was folded last, beside the norm. It is made anew when anything changes that it was made from.
#[derive(Debug, Default)]
pub(crate) struct Folds(Mutex<Option<Arc<Folded>>>);

// A copy of a model has parameters of its own.
impl Clone for Folds {
    fn clone(&self) -> Self {
        Folds::default()
    }
}

impl Folds {
    /// Gives the memory back: whoever trains does not need it.
    pub(crate) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The folded convolution; none where the pass differentiates parameters, somebody looks at what is between the two,
    /// the norm takes the batch's own statistics, or the type is f16, whose range a scaled weight may leave.
    ///
    /// # Errors
    /// Out of memory; parameters on another device.
    pub(crate) fn of(
        &self,
        cx: &Pass,
        conv: &Conv2d,
        norm: &BatchNorm2d,
    ) -> Result<Option<Arc<Folded>>> {
        let is_open = cx.tracks() || cx.watches(conv) || cx.watches(norm);
        let Some(running) = norm.running.as_ref().filter(|_| !cx.is_training(norm.path())) else {
            return Ok(None);
        };
        let channels = conv.config().out_channels;
        if is_open || norm.config().features != channels {
            return Ok(None);
        }
        let weight = cx.param(&conv.weight)?;
        let dtype = cx.weight(&conv.weight)?.dtype();
        if dtype == DType::F16 {
            return Ok(None);
        }
        let param = |parameter: &Option<_>| parameter.as_ref().map(|p| cx.param(p)).transpose();
        let [conv_bias, scale, shift] =
            [param(&conv.bias)?, param(&norm.weight)?, param(&norm.bias)?];
        let (mean, var) = (Tensor::from(running.mean.value()), Tensor::from(running.var.value()));
        let parts = [Some(&weight), conv_bias.as_ref(), scale.as_ref(), shift.as_ref()];
        let parts = parts.into_iter().flatten().chain([&mean, &var]);
        let sources =
            parts.map(|part| (part.buffer().id(), part.buffer().generation())).collect::<Vec<_>>();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits =
            |folded: &&Arc<Folded>| folded.sources == sources && folded.weight.dtype() == dtype;
        if let Some(folded) = known.as_ref().filter(fits) {
            return Ok(Some(Arc::clone(folded)));
        }
        let mut factor = wide(&var)?.add_scalar(norm.config().eps)?.rsqrt()?;
        if let Some(scale) = &scale {
            factor = factor.mul(&wide(scale)?)?;
        }
        let mut bias = wide(&mean)?.neg()?;
        if let Some(conv_bias) = &conv_bias {
            bias = bias.add(&wide(conv_bias)?)?;
        }
        bias = bias.mul(&factor)?;
        if let Some(shift) = &shift {
            bias = bias.add(&wide(shift)?)?;
        }
        let weight = wide(&weight)?.mul(&factor.view(Shape::new(&[channels, 1, 1, 1])?)?)?;
        let (weight, bias) = (weight.cast(dtype)?, bias.cast(dtype)?);
        let folded = Arc::new(Folded { weight, bias, sources });
        *known = Some(Arc::clone(&folded));
        Ok(Some(folded))
    }
}

#[cfg(test)]
mod tests {
    use ferrotape_backend::{Array, Device, Random, Rng, reference::Reference};

    use super::*;
    use crate::{BatchNormConfig, Conv2dConfig, Init, NormActivation, conv_norm_act};

    fn draw(device: &Device, dtype: DType, sizes: &[usize], seed: u64, low: f64) -> Array {
        let mut array = Array::zeros(device, dtype, sizes).unwrap();
        let kind = Random::Uniform { low, high: 1.5 };
        device.backend().random(kind, Rng::new(seed), &mut array).unwrap();
        array
    }

    struct Block {
        conv: Conv2d,
        norm: BatchNorm2d,
    }

    impl Block {
        fn new(device: &Device, bias: bool) -> Self {
            let init = Init::new(device, Rng::new(5));
            let config = Conv2dConfig::new(4, 6, 3).groups(2).padding(1).bias(bias);
            let conv = Conv2d::new(&init.at("conv"), config).unwrap();
            let norm = BatchNorm2d::new(&init.at("norm"), BatchNormConfig::new(6)).unwrap();
            let vector = |seed, low| draw(device, DType::F32, &[6], seed, low);
            for (parameter, seed) in [(&norm.weight, 1), (&norm.bias, 2)] {
                let drawn = vector(seed, -1.5);
                parameter
                    .as_ref()
                    .unwrap()
                    .update(|value| device.backend().copy(&drawn, value))
                    .unwrap();
            }
            let running = norm.running.as_ref().unwrap();
            for (state, seed, low) in [(&running.mean, 3, -1.5), (&running.var, 4, 0.1)] {
                state.update(|value| device.backend().copy(&vector(seed, low), value)).unwrap();
            }
            Block { conv, norm }
        }

        fn run(&self, cx: &Pass, x: &Array, residual: Option<&Array>, relu: bool) -> Vec<f64> {
            let activation = if relu { NormActivation::Relu } else { NormActivation::Identity };
            let residual = residual.map(|residual| Tensor::from(residual.clone()));
            let x = Tensor::from(x.clone());
            let y = conv_norm_act(cx, &self.conv, &self.norm, residual.as_ref(), activation, &x);
            y.unwrap().to_f64_vec().unwrap()
        }

        fn is_folded(&self) -> bool {
            self.norm.folds.0.lock().unwrap().is_some()
        }
    }

    fn apart(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn a_pass_without_gradients_gives_what_one_with_them_gives() {
        let device = Device::new(Reference::new());
        let x = draw(&device, DType::F32, &[2, 4, 5, 5], 6, -1.5);
        let residual = draw(&device, DType::F32, &[2, 6, 5, 5], 7, -1.5);
        for bias in [false, true] {
            let block = Block::new(&device, bias);
            for (residual, relu) in
                [(None, false), (Some(&residual), false), (Some(&residual), true)]
            {
                let open = block.run(&Pass::eval(&device).with_grad(), &x, residual, relu);
                let folded = block.run(&Pass::eval(&device), &x, residual, relu);
                assert!(block.is_folded() && apart(&open, &folded) < 2e-6);
                let low = || Pass::eval(&device).autocast(DType::BF16);
                let open = block.run(&low().with_grad(), &x, residual, relu);
                assert!(apart(&open, &block.run(&low(), &x, residual, relu)) < 0.1);
            }
        }
    }

    #[test]
    fn what_changes_is_folded_anew_and_training_gives_the_memory_back() {
        let device = Device::new(Reference::new());
        let x = draw(&device, DType::F32, &[2, 4, 5, 5], 6, -1.5);
        let block = Block::new(&device, true);
        let both = || {
            let open = block.run(&Pass::eval(&device).with_grad(), &x, None, true);
            (open, block.run(&Pass::eval(&device), &x, None, true))
        };
        let before = both().1;
        let running = block.norm.running.as_ref().unwrap();
        running.mean.update(|mean| device.backend().fill(mean, 0.25)).unwrap();
        let (open, folded) = both();
        assert!(apart(&open, &folded) < 2e-6 && apart(&before, &folded) > 0.01);
        block.conv.weight.update(|weight| device.backend().fill(weight, 0.5)).unwrap();
        let (open, folded) = both();
        assert!(apart(&open, &folded) < 2e-5);
        block.run(&Pass::train(&device, Rng::new(1)), &x, None, true);
        assert!(!block.is_folded());
    }

    #[test]
    fn whoever_looks_between_the_two_sees_both() {
        let device = Device::new(Reference::new());
        let x = draw(&device, DType::F32, &[1, 4, 5, 5], 6, -1.5);
        let block = Block::new(&device, false);
        block.run(&Pass::eval(&device).probe("conv"), &x, None, true);
        block.run(&Pass::eval(&device).trace(), &x, None, true);
        assert!(!block.is_folded());
    }
}
