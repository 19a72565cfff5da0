//! What modules, optimizers and schedules promise.

mod layers;
mod module;
mod optim;
