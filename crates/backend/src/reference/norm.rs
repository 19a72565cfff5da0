//! Normalisation and classification on vectors in row-major order.

use super::data::in_range;
use crate::{CrossEntropy, Result};

/// The positions of a channel's elements in `[N, C, H, W]`.
fn channel([n, c, h, w]: [usize; 4], which: usize) -> impl Iterator<Item = usize> + Clone {
    let plane = h * w;
    (0..n).flat_map(move |s| (0..plane).map(move |at| (s * c + which) * plane + at))
}

/// Means and biased variances.
pub(super) fn channel_moments(x: &[f64], sizes: [usize; 4]) -> [Vec<f64>; 2] {
    let moments = |which| {
        let values = channel(sizes, which).map(|at| x[at]);
        let count = values.clone().count() as f64;
        let mean = values.clone().sum::<f64>() / count;
        (mean, values.map(|value| (value - mean).powi(2)).sum::<f64>() / count)
    };
    let (means, vars) = (0..sizes[1]).map(moments).unzip();
    [means, vars]
}

pub(super) fn batch_norm(
    x: &[f64],
    [mean, var]: &[Vec<f64>; 2],
    affine: Option<&[Vec<f64>; 2]>,
    eps: f64,
    sizes: [usize; 4],
) -> Vec<f64> {
    let mut y = vec![0.0; x.len()];
    for c in 0..sizes[1] {
        let (weight, bias) = affine.map_or((1.0, 0.0), |[weight, bias]| (weight[c], bias[c]));
        for at in channel(sizes, c) {
            y[at] = (x[at] - mean[c]) / (var[c] + eps).sqrt() * weight + bias;
        }
    }
    y
}

/// The gradients of input, weight and bias.
pub(super) fn batch_norm_grad(
    [gy, x]: &[Vec<f64>; 2],
    [mean, var]: &[Vec<f64>; 2],
    weight: Option<&[f64]>,
    eps: f64,
    sizes: [usize; 4],
) -> [Vec<f64>; 3] {
    let channels = sizes[1];
    let (mut gx, mut gw, mut gb) = (vec![0.0; x.len()], vec![0.0; channels], vec![0.0; channels]);
    for c in 0..channels {
        let r = 1.0 / (var[c] + eps).sqrt();
        let xhat = |at: usize| (x[at] - mean[c]) * r;
        let count = channel(sizes, c).count() as f64;
        gw[c] = channel(sizes, c).map(|at| gy[at] * xhat(at)).sum();
        gb[c] = channel(sizes, c).map(|at| gy[at]).sum();
        let scale = weight.map_or(1.0, |weight| weight[c]) * r;
        for at in channel(sizes, c) {
            gx[at] = scale * (gy[at] - (gb[c] + xhat(at) * gw[c]) / count);
        }
    }
    [gx, gw, gb]
}

/// The positions of the elements along the middle dimension, one list for each of the others.
fn lines([outer, len, inner]: [usize; 3]) -> impl Iterator<Item = Vec<usize>> {
    (0..outer).flat_map(move |o| {
        (0..inner).map(move |i| (0..len).map(|l| (o * len + l) * inner + i).collect())
    })
}

/// The logarithm of the softmax of a few values.
fn log_softmax(values: &[f64]) -> Vec<f64> {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = values.iter().map(|value| (value - largest).exp()).sum();
    values.iter().map(|value| value - largest - sum.ln()).collect()
}

pub(super) fn softmax(x: &[f64], sizes: [usize; 3], log: bool) -> Vec<f64> {
    let mut y = vec![0.0; x.len()];
    for line in lines(sizes) {
        let values: Vec<f64> = line.iter().map(|&at| x[at]).collect();
        for (&at, value) in line.iter().zip(log_softmax(&values)) {
            y[at] = if log { value } else { value.exp() };
        }
    }
    y
}

pub(super) fn softmax_grad(gy: &[f64], y: &[f64], sizes: [usize; 3], log: bool) -> Vec<f64> {
    let mut gx = vec![0.0; y.len()];
    for line in lines(sizes) {
        let weight = |at: usize| if log { 1.0 } else { y[at] };
        let sum: f64 = line.iter().map(|&at| gy[at] * weight(at)).sum();
        for &at in &line {
            gx[at] = if log { gy[at] - y[at].exp() * sum } else { y[at] * (gy[at] - sum) };
        }
    }
    gx
}

/// The class of a row, none if the row is ignored.
fn class(target: f64, classes: usize, params: &CrossEntropy) -> Result<Option<usize>> {
    if target == params.ignore_index as f64 {
        return Ok(None);
    }
    in_range(target, classes).map(Some)
}

/// The target distribution's weight of class `k`.
fn weight(k: usize, class: usize, classes: usize, params: &CrossEntropy) -> f64 {
    let s = params.label_smoothing;
    let own = if k == class { 1.0 - s } else { 0.0 };
    own + s / classes as f64
}

pub(super) fn cross_entropy(
    logits: &[f64],
    targets: &[f64],
    [_, classes]: [usize; 2],
    params: &CrossEntropy,
) -> Result<Vec<f64>> {
    let loss = |(row, &target): (usize, &f64)| {
        let Some(class) = class(target, classes, params)? else { return Ok(0.0) };
        let logs = log_softmax(&logits[row * classes..(row + 1) * classes]);
        let terms =
            logs.iter().enumerate().map(|(k, log)| (weight(k, class, classes, params), log));
        // A class of weight 0 adds nothing, even if its probability is 0.
        Ok(terms.filter(|&(weight, _)| weight != 0.0).map(|(weight, log)| -weight * log).sum())
    };
    targets.iter().enumerate().map(loss).collect()
}

pub(super) fn cross_entropy_grad(
    gloss: &[f64],
    logits: &[f64],
    targets: &[f64],
    [_, classes]: [usize; 2],
    params: &CrossEntropy,
) -> Result<Vec<f64>> {
    let mut gx = vec![0.0; logits.len()];
    for (row, &target) in targets.iter().enumerate() {
        let Some(class) = class(target, classes, params)? else { continue };
        let range = row * classes..(row + 1) * classes;
        for (k, log) in log_softmax(&logits[range.clone()]).into_iter().enumerate() {
            let weight = weight(k, class, classes, params);
            gx[range.start + k] = gloss[row] * (log.exp() - weight);
        }
    }
    Ok(gx)
}
