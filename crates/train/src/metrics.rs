//! Figures of merit, counted on the host: exact, and independent of how images fall into batches.

mod auc;
mod confusion;
mod mean;
mod top_k;

pub use auc::auc;
pub use confusion::{ClassScores, Confusion, Mistake};
pub use mean::RunningMean;
pub use top_k::{argmax, top_k_correct};
