//! Recurrent layers: cells that take one step, and the layers that run them along a sequence.
//!
//! A cell is a [`RecurrentCell`]: what it makes of the input, for all steps at once, and how one
//! step leads from a state to the next. [`Recurrent`] is the only loop over time; the layers of
//! PyTorch's names are that loop around a cell: [`Rnn`], [`Lstm`], [`Gru`].

mod cell;
mod config;
mod gru;
mod lstm;
mod rnn;
mod sequence;
mod weights;

pub use cell::RecurrentCell;
pub use config::RecurrentConfig;
pub use gru::{Gru, GruCell, gru, gru_step};
pub use lstm::{Lstm, LstmCell, lstm, lstm_step};
pub use rnn::{Nonlinearity, Rnn, RnnCell, rnn, rnn_step};
pub use sequence::Recurrent;
pub use weights::{CellConfig, CellWeights};
