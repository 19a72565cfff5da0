//! What GoogLeNet is made of: a convolution with what follows it, the inception module, the
//! auxiliary head.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Error, Result};
use ferrotape_nn::{
    AdaptiveAvgPool2d, AvgPool2d, BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, Distribution,
    Dropout, DropoutConfig, Init, Layer, Linear, LinearConfig, Module, NormActivation, Pass, Path,
    PoolConfig, Scaling, Sequential, conv_norm_act, max_pool2d,
};

use super::GoogLeNetConfig;

/// Which of the two networks, and what follows from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    pub(super) paper: bool,
}

impl Form {
    /// What weights are drawn from.
    fn weight(self) -> Distribution {
        match self.paper {
            true => Scaling::FanMean.uniform(1.0),
            false => Distribution::TruncatedNormal { mean: 0.0, std: 0.01, low: -2.0, high: 2.0 },
        }
    }

    /// A linear layer as the network begins it.
    pub(super) fn linear(self, inputs: usize, outputs: usize) -> LinearConfig {
        let config = LinearConfig::new(inputs, outputs).weight_init(self.weight());
        match self.paper {
            true => config,
            false => config.bias_init(Distribution::layer_default(inputs)),
        }
    }
}

/// Convolution, batch norm in torchvision's form or a bias in the paper's, ReLU.
#[derive(Debug, Module)]
pub(super) struct BasicConv2d {
    conv: Conv2d,
    bn: Option<BatchNorm2d>,
    path: Path,
}

impl BasicConv2d {
    pub(super) fn new(init: &Init, form: Form, config: Conv2dConfig) -> Result<Self> {
        let norm = BatchNormConfig { eps: 0.001, ..BatchNormConfig::new(config.out_channels) };
        let bn = (!form.paper).then(|| BatchNorm2d::new(&init.at("bn"), norm)).transpose()?;
        let config = config.bias(form.paper).weight_init(form.weight());
        Ok(BasicConv2d {
            conv: Conv2d::new(&init.at("conv"), config)?,
            bn,
            path: init.path().clone(),
        })
    }
}

impl Layer for BasicConv2d {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || match &self.bn {
            Some(bn) => conv_norm_act(cx, &self.conv, bn, None, NormActivation::Relu, x),
            None => self.conv.forward(cx, x)?.relu(),
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// Four branches side by side.
#[derive(Debug, Module)]
pub(super) struct Inception {
    branch1: BasicConv2d,
    branch2: Sequential,
    branch3: Sequential,
    branch4: Sequential,
    path: Path,
}

impl Inception {
    /// `maps` is a line of the table, from `1x1` on.
    pub(super) fn new(init: &Init, form: Form, inputs: usize, maps: [usize; 6]) -> Result<Self> {
        let [one, three_reduced, three, five_reduced, five, pooled] = maps;
        let conv = |inputs, outputs, kernel: usize| {
            let config = Conv2dConfig::new(inputs, outputs, kernel).padding(kernel / 2);
            move |init: &Init| BasicConv2d::new(init, form, config)
        };
        let pool = PoolConfig::new(3).stride(1).padding(1).ceil_mode(true);
        Ok(Inception {
            branch1: conv(inputs, one, 1)(&init.at("branch1"))?,
            branch2: Sequential::new(&init.at("branch2"))
                .add(conv(inputs, three_reduced, 1))?
                .add(conv(three_reduced, three, 3))?,
            branch3: Sequential::new(&init.at("branch3"))
                .add(conv(inputs, five_reduced, 1))?
                .add(conv(five_reduced, five, if form.paper { 5 } else { 3 }))?,
            branch4: Sequential::new(&init.at("branch4"))
                .add(max_pool2d(pool))?
                .add(conv(inputs, pooled, 1))?,
            path: init.path().clone(),
        })
    }
}

impl Layer for Inception {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let one = self.branch1.forward(cx, x)?;
            let three = self.branch2.forward(cx, x)?;
            let five = self.branch3.forward(cx, x)?;
            let pooled = self.branch4.forward(cx, x)?;
            Tensor::cat(&[&one, &three, &five, &pooled], 1)
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// The two auxiliary heads.
#[derive(Debug, Module)]
pub(super) struct Auxiliary {
    pub(super) aux1: InceptionAux,
    pub(super) aux2: InceptionAux,
}

impl Auxiliary {
    pub(super) fn new(init: &Init, form: Form, config: &GoogLeNetConfig) -> Result<Self> {
        Ok(Auxiliary {
            aux1: InceptionAux::new(&init.at("aux1"), form, 512, config)?,
            aux2: InceptionAux::new(&init.at("aux2"), form, 528, config)?,
        })
    }
}

/// An auxiliary head: maps to logits.
#[derive(Debug, Module)]
pub(super) struct InceptionAux {
    pool: Box<dyn Layer>,
    conv: BasicConv2d,
    fc1: Linear,
    fc2: Linear,
    dropout: Dropout,
    path: Path,
}

impl InceptionAux {
    pub(super) fn new(
        init: &Init,
        form: Form,
        inputs: usize,
        config: &GoogLeNetConfig,
    ) -> Result<Self> {
        let pool = init.at("pool");
        let pool: Box<dyn Layer> = match form.paper {
            true => Box::new(AvgPool2d::new(&pool, PoolConfig::new(5).stride(3))?),
            false => Box::new(AdaptiveAvgPool2d::new(&pool, [4, 4])?),
        };
        let dropout = DropoutConfig { p: config.dropout_aux };
        Ok(InceptionAux {
            pool,
            conv: BasicConv2d::new(&init.at("conv"), form, Conv2dConfig::new(inputs, 128, 1))?,
            fc1: Linear::new(&init.at("fc1"), form.linear(128 * 4 * 4, 1024))?,
            fc2: Linear::new(&init.at("fc2"), form.linear(1024, config.classes))?,
            dropout: Dropout::new(&init.at("dropout"), dropout)?,
            path: init.path().clone(),
        })
    }
}

impl Layer for InceptionAux {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let pooled = self.pool.forward(cx, x)?;
            if pooled.shape()[2..] != [4, 4] {
                return Err(Error::shape(format!(
                    "the auxiliary heads of the paper's network pool 14 x 14 pixels to 4 x 4, those \
                     of images of 224 x 224, and this one got {}; train with such images, or \
                     without auxiliary heads (aux_logits: false)",
                    x.shape()
                )));
            }
            let x = self.conv.forward(cx, &pooled)?.flatten(1)?;
            let x = self.fc1.forward(cx, &x)?.relu()?;
            self.fc2.forward(cx, &self.dropout.forward(cx, &x)?)
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
