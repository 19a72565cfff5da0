//! Mixing the images of a batch with one another, and their classes with them.

use ferrotape_backend::Rng;

use crate::error::{Error, Result};
use crate::loader::HostBatch;

/// How images are mixed.
///
/// Each image is mixed with the one before it in the batch, the first with the last, as torchvision's
/// `MixUp` and `CutMix` do. Where both are asked for, each batch gets one of them, as likely as the other.
///
/// ```
/// let none = ferrotape_data::Mixing::default();
/// assert!(!none.is_any());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mixing {
    /// Mixup (Zhang et al. 2018): `l a + (1 - l) b` with l from Beta(alpha, alpha); 0 for none.
    pub mixup: f64,
    /// CutMix (Yun et al. 2019): a rectangle of `b` in `a`, with a share of `1 - l` of the area; 0 for none.
    pub cutmix: f64,
}

impl Mixing {
    /// Whether anything is mixed.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.mixup > 0.0 || self.cutmix > 0.0
    }
}

/// Mixes the images of a batch, and gives the probabilities of the classes of each, `[N, classes]`.
///
/// ```
/// use ferrotape_backend::Rng;
/// use ferrotape_data::{HostBatch, Mixing, mix};
///
/// let mut batch = HostBatch {
///     images: vec![0.0, 1.0],
///     shape: [2, 1, 1, 1],
///     labels: vec![0, 1],
///     indices: vec![0, 1],
/// };
/// let classes = mix(&mut batch, Mixing { mixup: 1.0, cutmix: 0.0 }, 2, Rng::new(7))?;
/// assert_eq!(classes[1], batch.images[0]);
/// assert!((batch.images[0] + batch.images[1] - 1.0).abs() < 1e-6);
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
///
/// # Errors
/// A label that is no class, an alpha that is negative or no number.
pub fn mix(batch: &mut HostBatch, mixing: Mixing, classes: usize, rng: Rng) -> Result<Vec<f32>> {
    for (name, alpha) in [("mixup", mixing.mixup), ("cutmix", mixing.cutmix)] {
        if !(alpha >= 0.0 && alpha.is_finite()) {
            let problem = format!("its alpha is {alpha}; give a number of at least 0");
            return Err(Error::Transform { transform: name, problem });
        }
    }
    let [n, channels, height, width] = batch.shape;
    let volume = channels * height * width;
    let cuts = mixing.cutmix > 0.0 && (mixing.mixup == 0.0 || rng.uniform_f64(0) < 0.5);
    let kept = match (cuts, mixing.is_any()) {
        (_, false) => 1.0,
        (true, _) => {
            let share = beta(mixing.cutmix, rng.path("share"));
            let rows = part(height, share, rng.uniform_f64(1));
            let columns = part(width, share, rng.uniform_f64(2));
            let cut = rows.len() * columns.len();
            let from = batch.images.clone();
            for image in 0..n {
                let other = (image + n - 1) % n;
                for row in rows.clone() {
                    for channel in 0..channels {
                        let at = |image: usize| {
                            let start = image * volume + (channel * height + row) * width;
                            start + columns.start..start + columns.end
                        };
                        batch.images[at(image)].copy_from_slice(&from[at(other)]);
                    }
                }
            }
            1.0 - cut as f64 / (height * width).max(1) as f64
        }
        (false, _) => {
            let share = beta(mixing.mixup, rng.path("share"));
            let from = batch.images.clone();
            for image in 0..n {
                let other = &from[(image + n - 1) % n * volume..][..volume];
                let own = &mut batch.images[image * volume..][..volume];
                for (own, &other) in own.iter_mut().zip(other) {
                    *own = (f64::from(*own) * share + f64::from(other) * (1.0 - share)) as f32;
                }
            }
            share
        }
    };
    let mut probabilities = vec![0.0; n * classes];
    for image in 0..n {
        for (of, share) in [(image, kept), ((image + n - 1) % n, 1.0 - kept)] {
            let label = usize::try_from(batch.labels[of]).ok().filter(|&label| label < classes);
            let label = label.ok_or_else(|| {
                Error::Dataset(format!(
                    "the label {} is none of the {classes} classes, counted from 0",
                    batch.labels[of]
                ))
            })?;
            probabilities[image * classes + label] += share as f32;
        }
    }
    Ok(probabilities)
}

/// The rows, or columns, of a rectangle that leaves a share of the area: cut off at the edges.
fn part(size: usize, share: f64, centre: f64) -> std::ops::Range<usize> {
    let half = libm::sqrt(1.0 - share) * size as f64 / 2.0;
    let centre = centre * size as f64;
    let clamp = |at: f64| (at.max(0.0) as usize).min(size);
    clamp(libm::round(centre - half))..clamp(libm::round(centre + half))
}

/// A draw from Beta(alpha, alpha).
fn beta(alpha: f64, rng: Rng) -> f64 {
    let (a, b) = (log_gamma_draw(alpha, rng.call(0)), log_gamma_draw(alpha, rng.call(1)));
    1.0 / (1.0 + libm::exp(b - a))
}

/// The logarithm of a draw from Gamma(alpha, 1), by Marsaglia and Tsang (2000). In logarithms, because for a
/// small alpha the draw itself is 0 in floating point.
fn log_gamma_draw(alpha: f64, rng: Rng) -> f64 {
    // A draw of alpha + 1 times u^(1 / alpha) is one of alpha.
    let raised = if alpha < 1.0 { alpha + 1.0 } else { alpha };
    let boost = match alpha < 1.0 {
        true => libm::log(1.0 - rng.path("boost").uniform_f64(0)) / alpha,
        false => 0.0,
    };
    let d = raised - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    for attempt in 0.. {
        let draw = rng.call(attempt);
        let x = draw.normal_f64(0);
        let v = 1.0 + c * x;
        if v <= 0.0 {
            continue;
        }
        let v = v * v * v;
        let u = 1.0 - draw.path("accept").uniform_f64(0);
        if libm::log(u) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return libm::log(d) + libm::log(v) + boost;
        }
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> HostBatch {
        let images = (0..3).flat_map(|image| [image as f32; 2 * 64]).collect();
        HostBatch { images, shape: [3, 2, 8, 8], labels: vec![2, 0, 2], indices: vec![0, 1, 2] }
    }

    #[test]
    fn shares_of_images_and_of_classes_agree() {
        for seed in 0..100 {
            for mixing in [Mixing { mixup: 0.4, cutmix: 0.0 }, Mixing { mixup: 0.0, cutmix: 1.0 }] {
                let mut mixed = batch();
                let classes = mix(&mut mixed, mixing, 3, Rng::new(seed)).unwrap();
                for row in classes.chunks(3) {
                    assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{row:?}");
                }
                // Image 1 is all ones and is mixed with image 0, which is all zeros; their classes are 0 and 2.
                let mean = mixed.images[128..256].iter().sum::<f32>() / 128.0;
                assert!((mean - classes[3]).abs() < 1e-5, "{mean} and {:?}", &classes[3..6]);
                // Image 0 and 2 are of one class.
                assert!((classes[2] - 1.0).abs() < 1e-6, "{:?}", &classes[..3]);
            }
        }
        let mut unmixed = batch();
        let classes = mix(&mut unmixed, Mixing::default(), 3, Rng::new(1)).unwrap();
        assert_eq!((unmixed, &classes[..3]), (batch(), &[0.0, 0.0, 1.0][..]));
        assert!(mix(&mut batch(), Mixing::default(), 2, Rng::new(1)).is_err());
    }

    #[test]
    fn beta_draws_have_the_moments_of_their_distribution() {
        for alpha in [0.2, 0.8, 1.0, 5.0] {
            let draws: Vec<f64> =
                (0..20_000).map(|seed| beta(alpha, Rng::new(seed).path("beta"))).collect();
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            let var = draws.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / draws.len() as f64;
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            assert!((mean - 0.5).abs() < 0.01, "alpha {alpha}: mean {mean}");
            assert!((var / expected - 1.0).abs() < 0.05, "alpha {alpha}: {var} for {expected}");
            assert!(draws.iter().all(|draw| (0.0..=1.0).contains(draw)));
        }
    }
}
