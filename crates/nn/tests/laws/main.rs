//! What modules, optimizers and schedules promise.

mod layers;
mod meta;
mod lookup;
mod module;
mod optim;
