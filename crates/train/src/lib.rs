//! Training runs for ferrotape: trainer, metrics, run folders and reports.
