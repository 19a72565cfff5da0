//! Layers, parameters, passes, losses, initialisation and optimizers for ferrotape.
