//! The classic convolutional networks, exactly.
