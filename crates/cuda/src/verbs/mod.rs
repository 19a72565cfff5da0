//! The verbs: a file a family, beside the file of its kernels in `kernels/`.

pub(crate) mod transfer;
