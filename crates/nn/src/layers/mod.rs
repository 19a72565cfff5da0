//! The layers: one file each, with its configuration and tests.

mod activation;
mod batch_norm;
mod conv2d;
mod dropout;
mod embedding;
mod flatten;
mod identity;
mod linear;
mod pad2d;
mod pixel_shuffle;
mod pool2d;
mod prelu;
mod recurrent;
mod residual;
mod sequential;
mod softmax;

pub use activation::{Activation, activation};
pub use batch_norm::{BatchNorm1d, BatchNorm2d, BatchNormConfig};
pub use conv2d::{Conv2d, Conv2dConfig};
pub use dropout::{Dropout, DropoutConfig};
pub use embedding::{Embedding, EmbeddingConfig};
pub use flatten::Flatten;
pub use identity::Identity;
pub use linear::{Linear, LinearConfig};
pub use pad2d::{Pad2d, Pad2dConfig};
pub use pixel_shuffle::{PixelShuffle, PixelUnshuffle, pixel_shuffle, pixel_unshuffle};
pub use pool2d::{AvgPool2d, MaxPool2d, PoolConfig, avg_pool2d, max_pool2d};
pub use prelu::{PReLU, PReLUConfig};
pub use recurrent::{
    CellConfig, CellWeights, Gru, GruCell, Lstm, LstmCell, Nonlinearity, Recurrent, RecurrentCell,
    RecurrentConfig, Rnn, RnnCell, gru, gru_step, lstm, lstm_step, rnn, rnn_step,
};
pub use residual::Residual;
pub use sequential::{IntoLayer, Sequential};
pub use softmax::Softmax;
