//! What modules, optimizers and schedules promise.

mod module;
mod optim;
