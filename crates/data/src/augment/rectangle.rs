//! Rectangles of a random area and ratio, as crops and erasures have them.

use ferrotape_backend::Rng;

use crate::error::{Error, Result};

/// How often a rectangle is drawn before it is given up: as often as in torchvision.
const ATTEMPTS: u64 = 10;

/// The bounds of what is drawn.
#[derive(Clone, Copy)]
pub(super) struct Rectangle {
    /// The transform that asks, for its errors.
    pub(super) transform: &'static str,
    /// The least and the greatest share of the image's area.
    pub(super) area: (f64, f64),
    /// The least and the greatest ratio of the first side to the second.
    pub(super) ratio: (f64, f64),
}

impl Rectangle {
    /// Says which bounds make no sense.
    pub(super) fn check(&self) -> Result<()> {
        for (name, (low, high)) in [("area", self.area), ("ratio", self.ratio)] {
            if !(low > 0.0 && low <= high && high.is_finite()) || (name == "area" && high > 1.0) {
                return Err(Error::Transform {
                    transform: self.transform,
                    problem: format!(
                        "its {name} goes from {low} to {high}; give two positive numbers, the smaller first, \
                         and no area above 1"
                    ),
                });
            }
        }
        Ok(())
    }

    /// The first of some draws that `fits`, as its two sides, with the key for where it lies. The area is
    /// uniform as a share of `pixels`, the ratio log-uniform.
    pub(super) fn draw(
        &self,
        pixels: usize,
        rng: Rng,
        fits: impl Fn([usize; 2]) -> bool,
    ) -> Option<([usize; 2], Rng)> {
        let (low, high) = (libm::log(self.ratio.0), libm::log(self.ratio.1));
        (0..ATTEMPTS).find_map(|attempt| {
            let key = rng.call(attempt);
            let share = self.area.0 + (self.area.1 - self.area.0) * key.uniform_f64(0);
            let area = share * pixels as f64;
            let ratio = libm::exp(low + (high - low) * key.uniform_f64(1));
            let sides = [area * ratio, area / ratio];
            let sides = sides.map(|square| libm::round(libm::sqrt(square)) as usize);
            fits(sides).then_some((sides, key))
        })
    }
}
