//! Who is among the k highest scores.

use std::cmp::Ordering;

use crate::{Error, Result};

/// The class with the highest score; of equal ones the first, and a NaN beats every number, as in
/// `torch.argmax`. `None` if there are no scores.
///
/// ```
/// use ferrotape_train::metrics::argmax;
///
/// assert_eq!(argmax(&[0.1, 2.0, 2.0]), Some(1));
/// assert_eq!(argmax(&[]), None);
/// ```
pub fn argmax(scores: &[f32]) -> Option<usize> {
    // `max_by` keeps the last of equals, so the walk goes from the end.
    (0..scores.len()).rev().max_by(|&a, &b| order(scores[a], scores[b]))
}

/// How many samples have their true class among their `k` highest scores.
///
/// `logits` is `[N, classes]` in row-major order, `labels` is `[N]`. Of equal scores the lower
/// class ranks first, so `k = 1` agrees with [`argmax`]. A true class whose score is NaN is never right.
///
/// # Errors
///
/// If `classes` or `k` is 0, the sizes do not fit, or a label is no class.
///
/// ```
/// use ferrotape_train::metrics::top_k_correct;
///
/// let logits = [0.1, 0.7, 0.2, 0.5, 0.3, 0.2];
/// assert_eq!(top_k_correct(&logits, 3, &[1, 1], 1).unwrap(), 1);
/// assert_eq!(top_k_correct(&logits, 3, &[1, 1], 2).unwrap(), 2);
/// ```
pub fn top_k_correct(logits: &[f32], classes: usize, labels: &[i64], k: usize) -> Result<usize> {
    if k == 0 {
        return Err(Error::Figures("top-0 accuracy means nothing; ask for k of 1 or more".into()));
    }
    let mut correct = 0;
    for (scores, label) in rows(logits, classes, labels)? {
        let own = scores[label];
        let ahead = scores.iter().enumerate().filter(|&(class, &score)| match order(score, own) {
            Ordering::Greater => true,
            Ordering::Equal => class < label,
            Ordering::Less => false,
        });
        if !own.is_nan() && ahead.count() < k {
            correct += 1;
        }
    }
    Ok(correct)
}

/// Checks `[N, classes]` logits against `[N]` labels and pairs each row with its true class.
pub(super) fn rows<'a>(
    logits: &'a [f32],
    classes: usize,
    labels: &[i64],
) -> Result<impl Iterator<Item = (&'a [f32], usize)>> {
    if classes == 0 || labels.len().checked_mul(classes) != Some(logits.len()) {
        return Err(Error::Figures(format!(
            "{} scores cannot be {} samples of {classes} classes; \
             give one score per sample and class",
            logits.len(),
            labels.len()
        )));
    }
    let labels =
        labels.iter().map(|&label| class_index(label, classes)).collect::<Result<Vec<_>>>()?;
    Ok(logits.chunks_exact(classes).zip(labels))
}

/// The label as an index, if it is one of the classes.
fn class_index(label: i64, classes: usize) -> Result<usize> {
    usize::try_from(label).ok().filter(|&class| class < classes).ok_or_else(|| {
        Error::Figures(format!(
            "label {label} is none of the {classes} classes (0 to {}); \
             check the labels or the model's number of classes",
            classes - 1
        ))
    })
}

/// Numbers in their order, NaN above all of them.
fn order(a: f32, b: f32) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k_of_all_classes_is_always_right_and_more_is_no_error() {
        let logits = [3.0, 2.0, 1.0, 0.0];
        assert_eq!(top_k_correct(&logits, 4, &[3], 3).unwrap(), 0);
        assert_eq!(top_k_correct(&logits, 4, &[3], 4).unwrap(), 1);
        assert_eq!(top_k_correct(&logits, 4, &[3], 9).unwrap(), 1);
    }

    #[test]
    fn top_one_agrees_with_argmax_on_ties() {
        let tied = [1.0, 1.0, 0.0];
        assert_eq!(argmax(&tied), Some(0));
        assert_eq!(top_k_correct(&tied, 3, &[0], 1).unwrap(), 1);
        assert_eq!(top_k_correct(&tied, 3, &[1], 1).unwrap(), 0);
        assert_eq!(top_k_correct(&tied, 3, &[1], 2).unwrap(), 1);
    }

    #[test]
    fn a_score_that_is_no_number_is_never_right_and_never_hidden() {
        assert_eq!(argmax(&[1.0, f32::NAN, 2.0]), Some(1));
        let scores = [f32::NAN, 1.0];
        assert_eq!(top_k_correct(&scores, 2, &[0], 2).unwrap(), 0);
        assert_eq!(top_k_correct(&scores, 2, &[1], 1).unwrap(), 0);
        assert_eq!(top_k_correct(&scores, 2, &[1], 2).unwrap(), 1);
    }

    #[test]
    fn sizes_and_labels_from_outside_are_checked() {
        for (logits, classes, labels, k) in [
            (&[0.0, 1.0, 2.0][..], 2, &[0i64][..], 1),
            (&[0.0, 1.0], 2, &[2], 1),
            (&[0.0, 1.0], 2, &[-1], 1),
            (&[], 0, &[], 1),
            (&[0.0, 1.0], 2, &[0], 0),
        ] {
            assert!(top_k_correct(logits, classes, labels, k).is_err(), "{labels:?} of {classes}");
        }
        assert_eq!(top_k_correct(&[], 3, &[], 1).unwrap(), 0);
    }
}
