//! Timing: the same rules as the harness of PyTorch.

use std::time::Instant;

/// What one row's timing came to; times are per step (one batch), in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The middle sample.
    pub median_ms: f64,
    /// The fastest sample.
    pub min_ms: f64,
    /// The slowest sample.
    pub max_ms: f64,
    /// Timed samples.
    pub runs: usize,
    /// Steps in each sample: short steps are timed several at a time.
    pub iters: usize,
    /// How often the row was measured: more than once where the spread was above a quarter.
    pub attempts: usize,
}

/// Warms up, then times `step`.
///
/// Measures again, three times at most, while (max - min) / median is above a quarter, and keeps the
/// attempt with the smallest spread. `quick` takes fewer samples and one attempt.
pub fn measure(quick: bool, mut step: impl FnMut()) -> Timing {
    warm_up(&mut step);
    let one = one_step(&mut step);
    let iters = ((0.1 / one) as usize).clamp(1, 10_000);
    let budget = if quick { 3.0 } else { 4.0 };
    let least = if quick || one > 2.0 { 3 } else { 5 };
    let runs = ((budget / (one * iters as f64)) as usize).clamp(least, 15);
    let mut best = attempt(&mut step, runs, iters);
    for attempts in 2..=3 {
        if quick || spread(&best) <= 0.25 {
            break;
        }
        let again = attempt(&mut step, runs, iters);
        if spread(&again) < spread(&best) {
            best = again;
        }
        best.attempts = attempts;
    }
    best
}

fn warm_up(step: &mut impl FnMut()) {
    let began = Instant::now();
    step();
    if began.elapsed().as_secs_f64() >= 2.0 {
        return;
    }
    let mut done = 1;
    while done < 3 || (began.elapsed().as_secs_f64() < 0.5 && done < 200) {
        step();
        done += 1;
    }
}

/// The seconds of one step: the fastest of three, or of one where it is long.
fn one_step(step: &mut impl FnMut()) -> f64 {
    let mut one = f64::MAX;
    for _ in 0..3 {
        let began = Instant::now();
        step();
        one = one.min(began.elapsed().as_secs_f64()).max(1e-7);
        if one > 1.0 {
            break;
        }
    }
    one
}

fn attempt(step: &mut impl FnMut(), runs: usize, iters: usize) -> Timing {
    let mut sample = || {
        let began = Instant::now();
        (0..iters).for_each(|_| step());
        began.elapsed().as_secs_f64() * 1e3 / iters as f64
    };
    let mut ms: Vec<f64> = (0..runs).map(|_| sample()).collect();
    ms.sort_by(f64::total_cmp);
    let median_ms = 0.5 * (ms[(runs - 1) / 2] + ms[runs / 2]);
    Timing { median_ms, min_ms: ms[0], max_ms: ms[runs - 1], runs, iters, attempts: 1 }
}

fn spread(timing: &Timing) -> f64 {
    (timing.max_ms - timing.min_ms) / timing.median_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_of_a_steady_step_lie_around_its_median() {
        let mut calls = 0;
        let timing = measure(true, || calls += 1);
        assert!(timing.min_ms <= timing.median_ms && timing.median_ms <= timing.max_ms);
        assert!(calls >= timing.runs * timing.iters);
        assert_eq!(timing.attempts, 1);
    }
}
