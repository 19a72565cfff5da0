//! GoogLeNet, the first Inception network, in torchvision's form and in that of the paper (Szegedy
//! et al.: *Going deeper with convolutions*, CVPR 2015).

mod inception;

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Array, CrossEntropy, Error, Result};
use ferrotape_nn::{
    AdaptiveAvgPool2d, Classifier, Conv2dConfig, Dropout, DropoutConfig, Init, Layer, Linear,
    LocalResponseNorm, MaxPool2d, Module, Outcome, Pass, Path, PoolConfig, class_loss,
};

use crate::alexnet::KRIZHEVSKY;
use inception::{Auxiliary, BasicConv2d, Form, Inception};

/// How much each auxiliary head's loss counts beside the main one (section 5 of the paper).
const AUXILIARY_WEIGHT: f64 = 0.3;

/// What a [`GoogLeNet`] is made from.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
/// use ferrotape_zoo::{GoogLeNet, GoogLeNetConfig};
///
/// // What torchvision's published weights need.
/// let config = GoogLeNetConfig { transform_input: true, ..GoogLeNetConfig::new(1000) };
/// let model = GoogLeNet::new(&Init::new(&Device::new(Meta::new()), Rng::new(1)), config)?;
/// assert_eq!(model.count_parameters(), 13_004_888);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GoogLeNetConfig {
    /// How many classes there are.
    pub classes: usize,
    /// Whether it is the paper's network; torchvision's if not.
    pub paper: bool,
    /// Whether there are auxiliary heads, which training uses and evaluation ignores.
    pub aux_logits: bool,
    /// Whether images come normalized by ImageNet's means (0.485, 0.456, 0.406) and deviations
    /// (0.229, 0.224, 0.225), as torchvision's transforms leave them, and are to be brought to mean
    /// and deviation 0.5, which the published weights were trained with.
    pub transform_input: bool,
    /// The share of features that the last dropout drops.
    pub dropout: f64,
    /// The share that the auxiliary heads' dropout drops.
    pub dropout_aux: f64,
}

impl GoogLeNetConfig {
    /// torchvision's: auxiliary heads, images as they are, dropout 0.2 and 0.7.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, meta::Meta};
    /// use ferrotape_nn::{Init, Module};
    /// use ferrotape_zoo::{GoogLeNet, GoogLeNetConfig};
    ///
    /// let init = Init::new(&Device::new(Meta::new()), Rng::new(1));
    /// let plain = GoogLeNetConfig { aux_logits: false, ..GoogLeNetConfig::new(1000) };
    /// assert_eq!(GoogLeNet::new(&init, plain)?.count_parameters(), 6_624_904);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn new(classes: usize) -> Self {
        GoogLeNetConfig {
            classes,
            paper: false,
            aux_logits: true,
            transform_input: false,
            dropout: 0.2,
            dropout_aux: 0.7,
        }
    }

    /// The paper's: auxiliary heads, dropout 0.4 and 0.7.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, meta::Meta};
    /// use ferrotape_nn::{Init, Module};
    /// use ferrotape_zoo::{GoogLeNet, GoogLeNetConfig};
    ///
    /// let init = Init::new(&Device::new(Meta::new()), Rng::new(1));
    /// let plain = GoogLeNetConfig { aux_logits: false, ..GoogLeNetConfig::paper(1000) };
    /// assert_eq!(plain.dropout, 0.4);
    /// assert_eq!(GoogLeNet::new(&init, plain)?.count_parameters(), 6_998_552);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn paper(classes: usize) -> Self {
        GoogLeNetConfig { paper: true, dropout: 0.4, ..Self::new(classes) }
    }
}

/// GoogLeNet: images `[N, 3, 224, 224]` to logits `[N, classes]`.
///
/// The paper's table 1. Four branches see the input of an inception module, and their maps are
/// joined: `1x1`; `3x3` after a 1x1 reduction to `#3x3r` maps; `5x5` after one to `#5x5r`; a max pool
/// 3x3/1 and a 1x1 projection to `pool` maps.
///
/// | | output | 1x1 | #3x3r | 3x3 | #5x5r | 5x5 | pool |
/// | --- | --- | --- | --- | --- | --- | --- | --- |
/// | conv1: 7x7/2 | 64 x 112 x 112 | | | | | | |
/// | max pool 3x3/2 | 64 x 56 x 56 | | | | | | |
/// | conv2, conv3: 1x1, 3x3 | 192 x 56 x 56 | | 64 | 192 | | | |
/// | max pool 3x3/2 | 192 x 28 x 28 | | | | | | |
/// | inception 3a | 256 x 28 x 28 | 64 | 96 | 128 | 16 | 32 | 32 |
/// | inception 3b | 480 x 28 x 28 | 128 | 128 | 192 | 32 | 96 | 64 |
/// | max pool 3x3/2 | 480 x 14 x 14 | | | | | | |
/// | inception 4a | 512 x 14 x 14 | 192 | 96 | 208 | 16 | 48 | 64 |
/// | inception 4b | 512 x 14 x 14 | 160 | 112 | 224 | 24 | 64 | 64 |
/// | inception 4c | 512 x 14 x 14 | 128 | 128 | 256 | 24 | 64 | 64 |
/// | inception 4d | 528 x 14 x 14 | 112 | 144 | 288 | 32 | 64 | 64 |
/// | inception 4e | 832 x 14 x 14 | 256 | 160 | 320 | 32 | 128 | 128 |
/// | max pool 3x3/2 | 832 x 7 x 7 | | | | | | |
/// | inception 5a | 832 x 7 x 7 | 256 | 160 | 320 | 32 | 128 | 128 |
/// | inception 5b | 1024 x 7 x 7 | 384 | 192 | 384 | 48 | 128 | 128 |
/// | average pool 7x7, dropout, linear | classes | | | | | | |
///
/// Two auxiliary heads, on 4a and on 4d, help gradients to reach the lower half: average pool, 1x1
/// to 128 maps, linear to 1024, ReLU, dropout of 0.7, linear to the classes. In training mode
/// [`Classifier::outcome`] adds 0.3 of each one's loss; evaluation and [`Layer::forward`] leave them
/// out.
///
/// Two networks are called so:
///
/// | | [`googlenet`] (torchvision) | [`googlenet_2014`] (the paper) |
/// | --- | --- | --- |
/// | after a convolution | batch norm with eps 0.001, no bias | a bias |
/// | the branch 5x5 | has 3x3 windows | has 5x5 windows |
/// | local response norm | none | before conv2 and after conv3 |
/// | pool before 5a | 2x2/2 | 3x3/2 |
/// | pools before auxiliary heads | adaptive, to 4 x 4 | 5x5/3: 14 x 14 to 4 x 4 |
/// | dropout before the last layer | 0.2 | 0.4 |
/// | parameters (1000 classes) | 13,004,888 | 13,378,280 |
/// | without auxiliary heads | 6,624,904 | 6,998,552 |
///
/// Pools round up, so that 112 pixels become 56. Names of parameters are torchvision's in both:
/// `inception3a.branch2.1.conv.weight`, `aux1.fc2.bias`. torchvision's form takes other sizes of
/// images from 15 x 15 on, the paper's only in evaluation.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Layer, Module, Pass};
///
/// let device = Device::new(Meta::new());
/// let model = ferrotape_zoo::googlenet(&Init::new(&device, Rng::new(42)), 1000)?;
/// assert_eq!(model.count_parameters(), 13_004_888);
/// let cx = Pass::eval(&device);
/// let x = cx.input(Array::zeros(&device, DType::F32, [2, 3, 224, 224])?)?;
/// assert_eq!(model.forward(&cx, &x)?.shape().dims(), [2, 1000]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct GoogLeNet {
    conv1: BasicConv2d,
    maxpool1: MaxPool2d,
    norm1: Option<LocalResponseNorm>,
    conv2: BasicConv2d,
    conv3: BasicConv2d,
    norm2: Option<LocalResponseNorm>,
    maxpool2: MaxPool2d,
    inception3a: Inception,
    inception3b: Inception,
    maxpool3: MaxPool2d,
    inception4a: Inception,
    inception4b: Inception,
    inception4c: Inception,
    inception4d: Inception,
    inception4e: Inception,
    maxpool4: MaxPool2d,
    inception5a: Inception,
    inception5b: Inception,
    #[module(rename = "")]
    aux: Option<Auxiliary>,
    avgpool: AdaptiveAvgPool2d,
    dropout: Dropout,
    fc: Linear,
    #[module(skip)]
    transform_input: bool,
    path: Path,
}

/// torchvision's [`GoogLeNet`] with auxiliary heads and new parameters: weights normal with standard
/// deviation 0.01, cut off at -2 and 2 as torchvision does, biases of linear layers as PyTorch draws
/// them.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::googlenet(&init, 1000)?.count_parameters(), 13_004_888);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn googlenet(init: &Init, classes: usize) -> Result<GoogLeNet> {
    GoogLeNet::new(init, GoogLeNetConfig::new(classes))
}

/// The paper's [`GoogLeNet`] with auxiliary heads and new parameters. The paper does not say how it
/// began nor how it normalized; here it begins as Glorot and Bengio 2010 have it, uniform, with
/// biases 0, and normalizes as Krizhevsky et al. 2012 do.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::googlenet_2014(&init, 1000)?.count_parameters(), 13_378_280);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn googlenet_2014(init: &Init, classes: usize) -> Result<GoogLeNet> {
    GoogLeNet::new(init, GoogLeNetConfig::paper(classes))
}

impl GoogLeNet {
    /// A network with new parameters; see [`googlenet`] and [`googlenet_2014`].
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, meta::Meta};
    /// use ferrotape_nn::{Init, Module};
    /// use ferrotape_zoo::{GoogLeNet, GoogLeNetConfig};
    ///
    /// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
    /// let model = GoogLeNet::new(&init, GoogLeNetConfig::new(10))?;
    /// let names: Vec<String> = model.named_parameters().into_iter().map(|(name, _)| name).collect();
    /// assert!(names.contains(&"inception3a.branch2.1.conv.weight".into()));
    /// let wrong = GoogLeNetConfig { dropout: 1.5, ..GoogLeNetConfig::new(10) };
    /// let error = GoogLeNet::new(&init, wrong).unwrap_err().to_string();
    /// assert!(error.starts_with("dropout: the dropout probability is 1.5"), "{error}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No classes, a dropout that is no probability; out of memory.
    pub fn new(init: &Init, config: GoogLeNetConfig) -> Result<Self> {
        let form = Form { paper: config.paper };
        let conv = |name, config| BasicConv2d::new(&init.at(name), form, config);
        let norm = |name| {
            form.paper.then(|| LocalResponseNorm::new(&init.at(name), KRIZHEVSKY)).transpose()
        };
        let pool = |name, kernel| {
            MaxPool2d::new(&init.at(name), PoolConfig::new(kernel).stride(2).ceil_mode(true))
        };
        let inception = |name, inputs, maps| Inception::new(&init.at(name), form, inputs, maps);
        Ok(GoogLeNet {
            conv1: conv("conv1", Conv2dConfig::new(3, 64, 7).stride(2).padding(3))?,
            maxpool1: pool("maxpool1", 3)?,
            norm1: norm("norm1")?,
            conv2: conv("conv2", Conv2dConfig::new(64, 64, 1))?,
            conv3: conv("conv3", Conv2dConfig::new(64, 192, 3).padding(1))?,
            norm2: norm("norm2")?,
            maxpool2: pool("maxpool2", 3)?,
            inception3a: inception("inception3a", 192, [64, 96, 128, 16, 32, 32])?,
            inception3b: inception("inception3b", 256, [128, 128, 192, 32, 96, 64])?,
            maxpool3: pool("maxpool3", 3)?,
            inception4a: inception("inception4a", 480, [192, 96, 208, 16, 48, 64])?,
            inception4b: inception("inception4b", 512, [160, 112, 224, 24, 64, 64])?,
            inception4c: inception("inception4c", 512, [128, 128, 256, 24, 64, 64])?,
            inception4d: inception("inception4d", 512, [112, 144, 288, 32, 64, 64])?,
            inception4e: inception("inception4e", 528, [256, 160, 320, 32, 128, 128])?,
            maxpool4: pool("maxpool4", if form.paper { 3 } else { 2 })?,
            inception5a: inception("inception5a", 832, [256, 160, 320, 32, 128, 128])?,
            inception5b: inception("inception5b", 832, [384, 192, 384, 48, 128, 128])?,
            aux: config.aux_logits.then(|| Auxiliary::new(init, form, &config)).transpose()?,
            avgpool: AdaptiveAvgPool2d::new(&init.at("avgpool"), [1, 1])?,
            dropout: Dropout::new(&init.at("dropout"), DropoutConfig { p: config.dropout })?,
            fc: Linear::new(&init.at("fc"), form.linear(1024, config.classes))?,
            transform_input: config.transform_input,
            path: init.path().clone(),
        })
    }

    /// The logits, and the auxiliary heads' if they are wanted and there.
    fn logits(&self, cx: &Pass, x: &Tensor, auxiliary: bool) -> Result<(Tensor, Vec<Tensor>)> {
        let (aux, mut heads) = (self.aux.as_ref().filter(|_| auxiliary), Vec::new());
        let x = if self.transform_input { recentred(x)? } else { x.clone() };

        let mut x = self.maxpool1.forward(cx, &self.conv1.forward(cx, &x)?)?;
        if let Some(norm) = &self.norm1 {
            x = norm.forward(cx, &x)?;
        }
        x = self.conv3.forward(cx, &self.conv2.forward(cx, &x)?)?;
        if let Some(norm) = &self.norm2 {
            x = norm.forward(cx, &x)?;
        }
        x = self.maxpool2.forward(cx, &x)?;

        x = self.inception3a.forward(cx, &x)?;
        x = self.inception3b.forward(cx, &x)?;
        x = self.maxpool3.forward(cx, &x)?;

        x = self.inception4a.forward(cx, &x)?;
        if let Some(aux) = aux {
            heads.push(aux.aux1.forward(cx, &x)?);
        }
        x = self.inception4b.forward(cx, &x)?;
        x = self.inception4c.forward(cx, &x)?;
        x = self.inception4d.forward(cx, &x)?;
        if let Some(aux) = aux {
            heads.push(aux.aux2.forward(cx, &x)?);
        }
        x = self.inception4e.forward(cx, &x)?;
        x = self.maxpool4.forward(cx, &x)?;

        x = self.inception5a.forward(cx, &x)?;
        x = self.inception5b.forward(cx, &x)?;
        x = self.avgpool.forward(cx, &x)?.flatten(1)?;
        x = self.fc.forward(cx, &self.dropout.forward(cx, &x)?)?;
        Ok((x, heads))
    }
}

impl Layer for GoogLeNet {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || Ok(self.logits(cx, x, false)?.0))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Classifier for GoogLeNet {
    fn outcome(
        &self,
        cx: &Pass,
        x: &Tensor,
        labels: &Array,
        params: &CrossEntropy,
    ) -> Result<Outcome> {
        let mut heads = Vec::new();
        let scores = cx.within(self, || {
            let (scores, auxiliary) = self.logits(cx, x, cx.is_training(&self.path))?;
            heads = auxiliary;
            Ok(scores)
        })?;
        let cost = |logits: &Tensor| class_loss(logits, labels, params);
        let mut loss = cost(&scores)?;
        for head in &heads {
            loss = loss.add(&cost(head)?.mul_scalar(AUXILIARY_WEIGHT)?)?;
        }
        Ok(Outcome { loss, scores })
    }
}

/// Images of ImageNet's means and deviations as images of mean and deviation 0.5.
fn recentred(x: &Tensor) -> Result<Tensor> {
    const MEANS: [f64; 3] = [0.485, 0.456, 0.406];
    const DEVIATIONS: [f64; 3] = [0.229, 0.224, 0.225];
    if x.shape().nchw()?[1] != 3 {
        return Err(Error::shape(format!(
            "transform_input is for images of 3 channels, got {}",
            x.shape()
        )));
    }
    let channels = (0..3).map(|c| {
        let scaled = x.narrow(1, c, 1)?.mul_scalar(DEVIATIONS[c] / 0.5)?;
        scaled.add_scalar((MEANS[c] - 0.5) / 0.5)
    });
    let channels = channels.collect::<Result<Vec<Tensor>>>()?;
    Tensor::cat(&channels.iter().collect::<Vec<_>>(), 1)
}
