//! Datasets, readers, transforms and a prefetching loader for ferrotape.
