//! The CPU backend of ferrotape: matrixmultiply, rayon and hand-written kernels.
