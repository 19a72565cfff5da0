//! What modules, optimizers and schedules promise.

mod layers;
mod lookup;
mod module;
mod optim;
