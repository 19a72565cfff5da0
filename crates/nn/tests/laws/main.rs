//! What modules, optimizers and schedules promise.

mod layers;
mod module;
mod norms;
mod optim;
mod resizing;
