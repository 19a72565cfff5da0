//! What modules, optimizers and schedules promise.

mod conv_norm_act;
mod layers;
mod loading;
mod lookup;
mod meta;
mod module;
mod norms;
mod optim;
mod recurrent;
mod recurrent_fixtures;
mod resizing;
mod torch_files;
mod tying;
