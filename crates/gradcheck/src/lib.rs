//! Property tests for operators and layers: proptest strategies and the laws of a gradient.
