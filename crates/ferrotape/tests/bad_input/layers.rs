//! Layers that cannot be, and tensors that do not fit them.

use ferrotape::autograd::ops::Padding;
use ferrotape::backend::Pool2d;
use ferrotape::nn::{
    BatchNormConfig, Conv1dConfig, Conv2dConfig, ConvTranspose2dConfig, DropoutConfig,
    EmbeddingConfig, Flatten, GroupNormConfig, InstanceNormConfig, IntoLayer, LayerNormConfig,
    LinearConfig, LocalResponseNormConfig, PReLUConfig, Pad2dConfig, PoolConfig, RecurrentConfig,
    UpsampleConfig, adaptive_avg_pool2d, avg_pool2d, lstm, max_pool2d, pixel_shuffle,
    pixel_unshuffle,
};
use ferrotape::prelude::*;

use crate::{Case, Outcome, case};

pub(crate) fn device() -> Device {
    Device::open_with("cpu", DeviceOptions { threads: Some(2), ..DeviceOptions::default() })
        .expect("every machine has a CPU")
}

/// Puts zeros of a type and shape through a layer in training mode.
fn put_as(layer: impl IntoLayer, dtype: DType, shape: &[usize]) -> Outcome {
    let device = device();
    let model = Sequential::new(&Init::new(&device, Rng::new(1))).add(layer)?;
    let cx = Pass::train(&device, Rng::new(1));
    model.forward(&cx, &Tensor::from(Array::zeros(&device, dtype, shape)?))?;
    Ok(())
}

fn put(layer: impl IntoLayer, shape: &[usize]) -> Outcome {
    put_as(layer, DType::F32, shape)
}

/// Makes a layer and no more.
fn make(layer: impl IntoLayer) -> Outcome {
    Sequential::new(&Init::new(&device(), Rng::new(1))).add(layer)?;
    Ok(())
}

pub(crate) fn cases() -> Vec<Case> {
    [convolutions(), dense(), norms(), pools(), shapes(), sequences()]
        .into_iter()
        .flatten()
        .collect()
}

fn convolutions() -> Vec<Case> {
    let conv = || Conv2dConfig::new(3, 8, 3);
    vec![
        case("Conv2d of 3 channels, images of 4", move || put(conv(), &[2, 4, 8, 8])),
        case("Conv2d, images without a batch", move || put(conv(), &[3, 8, 8])),
        case("Conv2d, images of i64", move || put_as(conv(), DType::I64, &[2, 3, 8, 8])),
        case("Conv2d of f32, images of f64", move || put_as(conv(), DType::F64, &[2, 3, 8, 8])),
        case("Conv2d, kernel larger than the image", move || put(conv(), &[2, 3, 2, 2])),
        case("Conv2d, images of no height", move || put(conv(), &[2, 3, 0, 8])),
        case("Conv2d, stride 0", move || {
            put(Conv2dConfig { stride: [0, 1], ..conv() }, &[2, 3, 8, 8])
        }),
        case("Conv2d, dilation 0", move || {
            put(Conv2dConfig { dilation: [1, 0], ..conv() }, &[2, 3, 8, 8])
        }),
        case("Conv2d, kernel of size 0", || put(Conv2dConfig::new(3, 8, 0), &[2, 3, 8, 8])),
        case("Conv2d, no input channels", || put(Conv2dConfig::new(0, 8, 3), &[2, 0, 8, 8])),
        case("Conv2d, no output channels", || put(Conv2dConfig::new(3, 0, 3), &[2, 3, 8, 8])),
        case("Conv2d, 2 groups of 3 channels", move || make(Conv2dConfig { groups: 2, ..conv() })),
        case("Conv2d, no groups", move || make(Conv2dConfig { groups: 0, ..conv() })),
        case("Conv2d, padding that overflows", move || {
            put(Conv2dConfig { padding: [usize::MAX; 2], ..conv() }, &[2, 3, 8, 8])
        }),
        case("Conv2d, dilation that overflows", move || {
            put(Conv2dConfig { dilation: [usize::MAX; 2], ..conv() }, &[2, 3, 8, 8])
        }),
        case("Conv2d, weights whose number overflows", || {
            make(Conv2dConfig::new(usize::MAX, usize::MAX, 3))
        }),
        case("Conv2d, weights of 4 TiB", || make(Conv2dConfig::new(1 << 20, 1 << 20, 1))),
        case("Conv1d of 2 channels, signals of 3", || put(Conv1dConfig::new(2, 4, 3), &[1, 3, 9])),
        case("Conv1d, kernel larger than the signal", || {
            put(Conv1dConfig::new(2, 4, 5), &[1, 2, 4])
        }),
        case("Conv1d, stride 0", || put(Conv1dConfig::new(2, 4, 3).stride(0), &[1, 2, 9])),
        case("ConvTranspose2d of 3 channels, images of 4", || {
            put(ConvTranspose2dConfig::new(3, 8, 2), &[2, 4, 8, 8])
        }),
        case("ConvTranspose2d, output padding as large as the stride", || {
            let config = ConvTranspose2dConfig::new(3, 8, 2);
            put(ConvTranspose2dConfig { output_padding: [1, 1], ..config }, &[2, 3, 8, 8])
        }),
        case("ConvTranspose2d, padding that leaves nothing", || {
            let config = ConvTranspose2dConfig::new(3, 8, 2);
            put(ConvTranspose2dConfig { padding: [9, 9], ..config }, &[2, 3, 2, 2])
        }),
        case("ConvTranspose2d, stride that overflows", || {
            let config = ConvTranspose2dConfig::new(3, 8, 2);
            put(ConvTranspose2dConfig { stride: [usize::MAX; 2], ..config }, &[2, 3, 2, 2])
        }),
    ]
}

fn dense() -> Vec<Case> {
    vec![
        case("Linear of 4 features, rows of 5", || put(LinearConfig::new(4, 2), &[3, 5])),
        case("Linear, images that were not flattened", || {
            put(LinearConfig::new(4, 2), &[3, 1, 2, 2])
        }),
        case("Linear, a scalar", || put(LinearConfig::new(4, 2), &[])),
        case("Linear, rows of i64", || put_as(LinearConfig::new(4, 2), DType::I64, &[3, 4])),
        case("Linear, no inputs", || make(LinearConfig::new(0, 2))),
        case("Linear, no outputs", || make(LinearConfig::new(4, 0))),
        case("Linear, weights whose number overflows", || {
            make(LinearConfig::new(usize::MAX, usize::MAX))
        }),
        case("Embedding, indices that are floats", || put(EmbeddingConfig::new(4, 2), &[3])),
        case("Embedding, padding index beyond the table", || {
            make(EmbeddingConfig::new(4, 2).padding_idx(4))
        }),
        case("Embedding, an empty table", || make(EmbeddingConfig::new(0, 2))),
        case("Dropout of 1.5", || put(DropoutConfig { p: 1.5 }, &[3])),
        case("Dropout of NaN", || put(DropoutConfig { p: f64::NAN }, &[3])),
        case("PReLU of 3 parameters, images of 4 channels", || {
            put(PReLUConfig { num_parameters: 3, ..PReLUConfig::default() }, &[2, 4, 2, 2])
        }),
        case("PReLU, no parameters", || {
            make(PReLUConfig { num_parameters: 0, ..PReLUConfig::default() })
        }),
    ]
}

fn norms() -> Vec<Case> {
    let norm = || BatchNormConfig::new(3);
    vec![
        case("BatchNorm2d of 3 channels, images of 4", move || put(norm(), &[2, 4, 2, 2])),
        case("BatchNorm2d in training, one image of one pixel", move || put(norm(), &[1, 3, 1, 1])),
        case("BatchNorm2d in training, no images", move || put(norm(), &[0, 3, 2, 2])),
        case("BatchNorm2d, rows", move || put(norm(), &[2, 3])),
        case("BatchNorm2d, no channels", || make(BatchNormConfig::new(0))),
        case("BatchNorm2d, eps of -1", move || make(BatchNormConfig { eps: -1.0, ..norm() })),
        case("BatchNorm2d, eps of NaN", move || make(BatchNormConfig { eps: f64::NAN, ..norm() })),
        case("BatchNorm2d, momentum of 2", move || {
            make(BatchNormConfig { momentum: Some(2.0), ..norm() })
        }),
        case("GroupNorm, 2 groups of 3 channels", || make(GroupNormConfig::new(2, 3))),
        case("GroupNorm, no groups", || make(GroupNormConfig::new(0, 3))),
        case("GroupNorm of 4 channels, images of 3", || {
            put(GroupNormConfig::new(2, 4), &[2, 3, 2, 2])
        }),
        case("InstanceNorm2d of 3 channels, images of 4", || {
            put(InstanceNormConfig::new(3), &[2, 4, 2, 2])
        }),
        case("InstanceNorm2d in training, images of one pixel", || {
            put(InstanceNormConfig::new(3), &[2, 3, 1, 1])
        }),
        case("LayerNorm of 4 features, rows of 5", || put(LayerNormConfig::new([4]), &[2, 5])),
        case("LayerNorm of nothing", || make(LayerNormConfig::new([]))),
        case("LocalResponseNorm of size 0", || put(LocalResponseNormConfig::new(0), &[2, 3, 2, 2])),
        case("LocalResponseNorm, rows", || put(LocalResponseNormConfig::new(5), &[3])),
    ]
}

fn pools() -> Vec<Case> {
    let dilated = Pool2d { dilation: [0, 0], ..Pool2d::new([2, 2]) };
    vec![
        case("MaxPool2d, window larger than the image", || {
            put(max_pool2d(PoolConfig::new(3)), &[2, 3, 2, 2])
        }),
        case("MaxPool2d, window of size 0", || put(max_pool2d(PoolConfig::new(0)), &[2, 3, 4, 4])),
        case("MaxPool2d, stride 0", || {
            put(max_pool2d(PoolConfig::new(2).stride(0)), &[2, 3, 4, 4])
        }),
        case("MaxPool2d, dilation 0", move || put(max_pool2d(PoolConfig(dilated)), &[2, 3, 4, 4])),
        case("MaxPool2d, padding of more than half a window", || {
            put(max_pool2d(PoolConfig::new(2).padding(2)), &[2, 3, 4, 4])
        }),
        case("MaxPool2d, rows", || put(max_pool2d(PoolConfig::new(2)), &[4, 4])),
        case("MaxPool2d, images of u8", || {
            put_as(max_pool2d(PoolConfig::new(2)), DType::U8, &[2, 3, 4, 4])
        }),
        case("AvgPool2d, window larger than the image", || {
            put(avg_pool2d(PoolConfig::new(3)), &[2, 3, 2, 2])
        }),
        case("AvgPool2d, a window that overflows", || {
            put(avg_pool2d(PoolConfig::new(usize::MAX)), &[2, 3, 2, 2])
        }),
        case("AdaptiveAvgPool2d to a size of 0", || {
            put(adaptive_avg_pool2d([0, 1]), &[2, 3, 4, 4])
        }),
        case("AdaptiveAvgPool2d of an empty image", || {
            put(adaptive_avg_pool2d([1, 1]), &[2, 3, 0, 4])
        }),
        case("AdaptiveAvgPool2d to a size that overflows", || {
            put(adaptive_avg_pool2d([usize::MAX; 2]), &[2, 3, 4, 4])
        }),
    ]
}

fn shapes() -> Vec<Case> {
    let reflect = || Pad2dConfig { padding: [5, 0, 0, 0], mode: Padding::Reflect };
    vec![
        case("Flatten, a scalar", || put(Flatten::new, &[])),
        case("Pad2d, mirrored by more than the image has", move || put(reflect(), &[2, 3, 4, 4])),
        case("Pad2d, a padding that overflows", || {
            let mode = Padding::Constant(0.0);
            put(Pad2dConfig { padding: [usize::MAX; 4], mode }, &[2, 3, 4, 4])
        }),
        case("PixelShuffle by 2, images of 3 channels", || put(pixel_shuffle(2), &[2, 3, 4, 4])),
        case("PixelShuffle by 0", || put(pixel_shuffle(0), &[2, 4, 4, 4])),
        case("PixelUnshuffle by 2, images of odd height", || {
            put(pixel_unshuffle(2), &[2, 3, 5, 4])
        }),
        case("Upsample to a size of 0", || put(UpsampleConfig::to([0, 4]), &[2, 3, 4, 4])),
        case("Upsample by a factor that overflows", || {
            put(UpsampleConfig::by(usize::MAX), &[2, 3, 4, 4])
        }),
        case("Upsample of an empty image", || put(UpsampleConfig::by(2), &[2, 3, 0, 4])),
    ]
}

fn sequences() -> Vec<Case> {
    let config = || RecurrentConfig::new(3, 4);
    vec![
        case("Lstm of 3 features, steps of 5", move || put(lstm(config()), &[6, 2, 5])),
        case("Lstm, a sequence without steps", move || put(lstm(config()), &[0, 2, 3])),
        case("Lstm, images", move || put(lstm(config()), &[6, 2, 3, 1])),
        case("Lstm without hidden units", || make(lstm(RecurrentConfig::new(3, 0)))),
        case("Lstm without layers", move || {
            make(lstm(RecurrentConfig { num_layers: 0, ..config() }))
        }),
        case("Lstm of 2⁶⁴ - 1 layers", move || {
            make(lstm(RecurrentConfig { num_layers: usize::MAX, ..config() }))
        }),
    ]
}
