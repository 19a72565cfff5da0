//! What modules, optimizers and schedules promise.

mod layers;
mod meta;
mod module;
mod optim;
