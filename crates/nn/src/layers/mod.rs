//! The layers: one file each, with its configuration and tests.

mod activation;
mod adaptive_pool2d;
mod affine;
mod batch_norm;
mod conv1d;
mod conv2d;
mod conv_norm_act;
mod conv_transpose2d;
mod dropout;
mod embedding;
mod flatten;
mod folded;
mod group_norm;
mod identity;
mod instance_norm;
mod layer_norm;
mod linear;
mod local_response_norm;
mod pad2d;
mod pixel_shuffle;
mod pool2d;
mod prelu;
mod recurrent;
mod residual;
mod sequential;
mod softmax;
mod upsample;

pub use activation::{Activation, activation};
pub use adaptive_pool2d::{
    AdaptiveAvgPool2d, AdaptiveMaxPool2d, adaptive_avg_pool2d, adaptive_max_pool2d,
};
pub use batch_norm::{BatchNorm1d, BatchNorm2d, BatchNormConfig};
pub use conv_norm_act::{NormActivation, conv_norm_act};
pub use conv_transpose2d::{ConvTranspose2d, ConvTranspose2dConfig};
pub use conv1d::{Conv1d, Conv1dConfig};
pub use conv2d::{Conv2d, Conv2dConfig};
pub use dropout::{Dropout, DropoutConfig};
pub use embedding::{Embedding, EmbeddingConfig};
pub use flatten::Flatten;
pub use group_norm::{GroupNorm, GroupNormConfig};
pub use identity::Identity;
pub use instance_norm::{InstanceNorm2d, InstanceNormConfig};
pub use layer_norm::{LayerNorm, LayerNormConfig};
pub use linear::{Linear, LinearConfig};
pub use local_response_norm::{LocalResponseNorm, LocalResponseNormConfig};
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
pub use upsample::{Upsample, UpsampleConfig, UpsampleSize};

use crate::Distribution;

/// What weight and bias are drawn from: what was asked for, else the default; a bias that was not
/// asked for is 0 beside a weight that was.
fn first_values(
    weight: Option<Distribution>,
    bias: Option<Distribution>,
    default: Distribution,
) -> (Distribution, Distribution) {
    let beside = weight.map_or(default, |_| Distribution::Zeros);
    (weight.unwrap_or(default), bias.unwrap_or(beside))
}
