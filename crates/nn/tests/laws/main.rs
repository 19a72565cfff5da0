//! What optimizers and schedules promise.

mod optim;
