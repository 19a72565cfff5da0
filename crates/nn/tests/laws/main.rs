//! What modules, optimizers and schedules promise.

mod layers;
mod lookup;
mod meta;
mod module;
mod optim;
mod recurrent;
mod recurrent_fixtures;
mod tying;
