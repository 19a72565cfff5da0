//! A tape-based autodiff tensor: operators as data, gradients of any order.
