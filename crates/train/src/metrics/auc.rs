//! The area under the receiver operating characteristic.

/// The area under the curve of the true against the false positive rate, over all thresholds: the probability
/// that a positive sample scores higher than a negative one, ties counted half (Mann and Whitney 1947), which is
/// scikit-learn's `roc_auc_score`.
///
/// Each sample is its score and whether it is positive. `None` if there are not both kinds, or a score is NaN.
///
/// ```
/// use ferrotape_train::metrics::auc;
///
/// assert_eq!(auc(&[(0.1, false), (0.4, false), (0.35, true), (0.8, true)]), Some(0.75));
/// assert_eq!(auc(&[(0.5, true)]), None);
/// ```
#[must_use]
pub fn auc(samples: &[(f32, bool)]) -> Option<f64> {
    let positives = samples.iter().filter(|sample| sample.1).count();
    let negatives = samples.len() - positives;
    if positives == 0 || negatives == 0 || samples.iter().any(|sample| sample.0.is_nan()) {
        return None;
    }
    let mut sorted = samples.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    // The sum of the ranks of the positive samples, where equal scores share the mean of their ranks.
    let (mut ranks, mut below) = (0.0, 0);
    for equal in sorted.chunk_by(|a, b| a.0 == b.0) {
        let rank = below as f64 + (equal.len() + 1) as f64 / 2.0;
        ranks += rank * equal.iter().filter(|sample| sample.1).count() as f64;
        below += equal.len();
    }
    let (positives, negatives) = (positives as f64, negatives as f64);
    Some((ranks - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_is_the_share_of_pairs_in_the_right_order() {
        let samples: Vec<(f32, bool)> =
            (0..60_u32).map(|i| ((i * 7 % 11) as f32, i % 3 == 0)).collect();
        let mut pairs = (0.0, 0.0);
        for (high, _) in samples.iter().filter(|sample| sample.1) {
            for (low, _) in samples.iter().filter(|sample| !sample.1) {
                pairs.0 += if high > low {
                    1.0
                } else if high == low {
                    0.5
                } else {
                    0.0
                };
                pairs.1 += 1.0;
            }
        }
        assert!((auc(&samples).unwrap() - pairs.0 / pairs.1).abs() < 1e-12);
    }

    #[test]
    fn zeros_of_either_sign_are_equal_and_no_number_has_no_area() {
        assert_eq!(auc(&[(0.0, true), (-0.0, false)]), Some(0.5));
        assert_eq!(auc(&[(f32::NAN, true), (0.0, false)]), None);
    }
}
