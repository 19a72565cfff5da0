//! LeNet-5 as the paper has it (LeCun, Bottou, Bengio, Haffner: *Gradient-based learning applied to
//! document recognition*, Proceedings of the IEEE, 1998, section II.B).

mod bitmaps;

use ferrotape_autograd::Tensor;
use ferrotape_autograd::ops::Padding;
use ferrotape_backend::{Array, CrossEntropy, Error, Result};
use ferrotape_nn::{
    Classifier, Conv2d, Conv2dConfig, Distribution, Init, Layer, Linear, LinearConfig, Module,
    Outcome, Parameter, Pass, Path, PoolConfig, State, class_loss,
};

/// LeNet-5 of 1998: digits `[N, 1, 28, 28]` to `[N, 10]`, minus the distances to ten bitmaps.
///
/// | layer | output | trainable parameters | connections |
/// | --- | --- | --- | --- |
/// | padding with background | 1 x 32 x 32 | | |
/// | C1: convolution 5x5 | 6 x 28 x 28 | 156 | 122,304 |
/// | S2: subsampling 2x2 | 6 x 14 x 14 | 12 | 5,880 |
/// | C3: convolution 5x5, partly connected | 16 x 10 x 10 | 1,516 | 151,600 |
/// | S4: subsampling 2x2 | 16 x 5 x 5 | 32 | 2,000 |
/// | C5: convolution 5x5 | 120 | 48,120 | 48,120 |
/// | F6: linear | 84 | 10,164 | 10,164 |
/// | output: radial basis functions | 10 | none | 840 |
/// | all | | 60,000 | 340,908 |
///
/// - *Padding* repeats the pixels at the edge, which in centred digits are background, whatever
///   number stands for it.
/// - *Subsampling* adds four pixels, multiplies by a trainable coefficient, adds a trainable bias.
/// - *C3's* maps see the maps of S2 that the paper's table I gives: the first six see three
///   neighbours, the next six four, three more two pairs each, the last one all.
/// - Every layer up to F6 ends in the scaled hyperbolic tangent `1.7159 tanh(2 x / 3)`, which is
///   ±1 at ±1.
/// - *The output* of class i is the squared distance between F6 and a fixed picture of the digit,
///   7 x 12 pixels of ±1 (equation 7). It is kept with the model under the name `output`.
///
/// Weights begin uniform within ±2.4 / fan-in, as the paper's section II.B says. The loss is
/// [`LeNet1998Loss`].
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Layer, Module, Pass};
///
/// let device = Device::new(Meta::new());
/// let model = ferrotape_zoo::lenet5_1998(&Init::new(&device, Rng::new(42)), 10)?;
/// assert_eq!(model.count_parameters(), 60_000);
/// let cx = Pass::eval(&device);
/// let x = cx.input(Array::zeros(&device, DType::F32, [2, 1, 28, 28])?)?;
/// assert_eq!(model.forward(&cx, &x)?.shape().dims(), [2, 10]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct LeNet1998 {
    c1: Conv2d,
    s2: Subsampling,
    c3: PartialConv,
    s4: Subsampling,
    c5: Conv2d,
    f6: Linear,
    output: State,
    #[module(skip)]
    loss: LeNet1998Loss,
    path: Path,
}

/// What a [`LeNet1998`] is trained to make small, with `y_i` the distance to the bitmap of class i
/// and `D` the right class, averaged over the batch.
///
/// ```
/// use ferrotape_backend::{Array, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Classifier, Init, Pass};
/// use ferrotape_zoo::{LeNet1998, LeNet1998Loss};
///
/// let init = Init::new(&Device::new(Reference::new()), Rng::new(42));
/// let x = init.normal([2, 1, 28, 28], 0.0, 1.0)?.into();
/// let labels = Array::from_slice(init.device(), &[3i64, 8], [2])?;
/// let cx = Pass::eval(init.device());
/// let loss = |kind| LeNet1998::new(&init, kind)?.loss(&cx, &x, &labels)?.loss.item();
/// // The second adds the logarithm of a sum that contains e^-y_D.
/// let likelihood = loss(LeNet1998Loss::Likelihood)?;
/// assert!(likelihood > 0.0 && loss(LeNet1998Loss::default())? < likelihood);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LeNet1998Loss {
    /// `y_D`: the paper's equation 8, maximum likelihood.
    Likelihood,
    /// `y_D + ln(e^-j + sum_i e^-y_i)`: the paper's equation 9, which also pushes the wrong classes
    /// away. It is the cross entropy beside an eleventh class of constant distance `j`, the paper's
    /// rubbish class, whose label is 10. The paper wants `j` positive and gives no value.
    Discriminative {
        /// The distance from which on a wrong class is left alone.
        j: f64,
    },
}

impl Default for LeNet1998Loss {
    /// Equation 9 with j = 0.1.
    fn default() -> Self {
        LeNet1998Loss::Discriminative { j: 0.1 }
    }
}

/// A [`LeNet1998`] with new parameters.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::lenet5_1998(&init, 10)?.count_parameters(), 60_000);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// Other than ten classes: there are ten bitmaps; out of memory.
pub fn lenet5_1998(init: &Init, classes: usize) -> Result<LeNet1998> {
    if classes != bitmaps::DIGITS.len() {
        return Err(Error::argument(format!(
            "LeNet-5 of 1998 has bitmaps of the 10 digits as its outputs, it cannot tell {classes} \
             classes apart; take lenet5"
        )));
    }
    LeNet1998::new(init, LeNet1998Loss::default())
}

impl LeNet1998 {
    /// A network with new parameters and a loss of choice.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, meta::Meta};
    /// use ferrotape_nn::{Init, Module};
    /// use ferrotape_zoo::{LeNet1998, LeNet1998Loss};
    ///
    /// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
    /// let model = LeNet1998::new(&init, LeNet1998Loss::Likelihood)?;
    /// assert_eq!(model.named_states()[0].1.shape().dims(), [10, 84]);
    /// let error = LeNet1998::new(&init, LeNet1998Loss::Discriminative { j: 0.0 }).unwrap_err();
    /// assert_eq!(error.to_string(), "j is 0, it must be a number above 0");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// A `j` that is not above 0; out of memory.
    pub fn new(init: &Init, loss: LeNet1998Loss) -> Result<Self> {
        if let LeNet1998Loss::Discriminative { j } = loss
            && !(j > 0.0 && j.is_finite())
        {
            return Err(Error::argument(format!("j is {j}, it must be a number above 0")));
        }
        let targets: Vec<f64> = bitmaps::pixels().collect();
        let targets = Array::from_slice(init.device(), &targets, [bitmaps::DIGITS.len(), 84])?;
        let targets = targets.cast(init.data_type().accumulator())?;
        Ok(LeNet1998 {
            c1: Conv2d::new(&init.at("c1"), convolution(1, 6, 1))?,
            s2: Subsampling::new(&init.at("s2"), 6)?,
            c3: PartialConv::new(&init.at("c3"))?,
            s4: Subsampling::new(&init.at("s4"), 16)?,
            c5: Conv2d::new(&init.at("c5"), convolution(16, 120, 1))?,
            f6: Linear::new(
                &init.at("f6"),
                LinearConfig::new(120, 84).weight_init(uniform(120)).bias_init(uniform(120)),
            )?,
            output: State::new(init.path().join("output"), targets)?,
            loss,
            path: init.path().clone(),
        })
    }
}

impl Layer for LeNet1998 {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let [_, _, height, width] = x.shape().nchw()?;
            if [height, width] != [28, 28] {
                return Err(Error::shape(format!(
                    "LeNet-5 of 1998 reads digits of 28 x 28 pixels, got {}",
                    x.shape()
                )));
            }
            let x = x.pad(&[2, 2, 2, 2], Padding::Replicate)?;
            let x = squash(&self.c1.forward(cx, &x)?)?;
            let x = squash(&self.s2.forward(cx, &x)?)?;
            let x = squash(&self.c3.forward(cx, &x)?)?;
            let x = squash(&self.s4.forward(cx, &x)?)?;
            let x = squash(&self.c5.forward(cx, &x)?)?.flatten(1)?;
            let x = squash(&self.f6.forward(cx, &x)?)?;
            let targets = Tensor::from(self.output.value());
            let away = x.cast(targets.dtype())?.unsqueeze(1)?.sub(&targets)?;
            away.square()?.sum(&[2], false)?.neg()
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Classifier for LeNet1998 {
    fn outcome(
        &self,
        cx: &Pass,
        x: &Tensor,
        labels: &Array,
        params: &CrossEntropy,
    ) -> Result<Outcome> {
        let scores = self.scores(cx, x)?;
        let loss = match self.loss {
            LeNet1998Loss::Discriminative { j } => {
                let rows = scores.shape()[0];
                let rubbish = Array::full(scores.device(), scores.dtype(), [rows, 1], -j)?;
                let all = Tensor::cat(&[&scores, &rubbish.into()], 1)?;
                if labels.dtype().is_float() {
                    // Nothing is rubbish.
                    let none = Array::zeros(labels.device(), labels.dtype(), [rows, 1])?;
                    let labels = Tensor::cat(&[&labels.clone().into(), &none.into()], 1)?;
                    class_loss(&all, &labels, params)?
                } else {
                    class_loss(&all, labels, params)?
                }
            }
            LeNet1998Loss::Likelihood if params.label_smoothing != 0.0 => {
                return Err(Error::argument(
                    "the likelihood of LeNet-5 of 1998 looks at the right class alone and has no \
                     label smoothing; take its discriminative loss",
                ));
            }
            LeNet1998Loss::Likelihood if labels.dtype().is_float() => {
                let shares = Tensor::from(labels.clone()).cast(scores.dtype())?;
                scores.mul(&shares)?.sum(&[1], false)?.neg()?.mean_all()?
            }
            LeNet1998Loss::Likelihood => {
                let column = Tensor::from(labels.clone()).unsqueeze(1)?.into_array();
                scores.gather(1, &column)?.neg()?.mean_all()?
            }
        };
        Ok(Outcome { loss, scores })
    }
}

/// Section II.B: uniform within ±2.4 / fan-in.
fn uniform(fan_in: usize) -> Distribution {
    let bound = 2.4 / fan_in as f64;
    Distribution::Uniform { low: -bound, high: bound }
}

/// A convolution 5x5 with the paper's first values.
fn convolution(inputs: usize, outputs: usize, groups: usize) -> Conv2dConfig {
    let first = uniform(inputs / groups * 25);
    Conv2dConfig::new(inputs, outputs, 5).groups(groups).weight_init(first).bias_init(first)
}

/// Appendix A: `1.7159 tanh(2 x / 3)`.
fn squash(x: &Tensor) -> Result<Tensor> {
    x.mul_scalar(2.0 / 3.0)?.tanh()?.mul_scalar(1.7159)
}

/// Four pixels added, times a coefficient, plus a bias: `[N, C, H, W]` to `[N, C, H / 2, W / 2]`.
#[derive(Debug, Module)]
struct Subsampling {
    weight: Parameter,
    bias: Parameter,
    path: Path,
}

impl Subsampling {
    fn new(init: &Init, maps: usize) -> Result<Self> {
        Ok(Subsampling {
            weight: init.parameter("weight", [maps], uniform(4))?,
            bias: init.parameter("bias", [maps], uniform(4))?,
            path: init.path().clone(),
        })
    }
}

impl Layer for Subsampling {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let sum = x.avg_pool2d(&PoolConfig::new(2).0)?.mul_scalar(4.0)?;
            let a_map = |parameter| cx.param(parameter)?.cast(x.dtype())?.reshape(&[1, -1, 1, 1]);
            sum.mul(&a_map(&self.weight)?)?.add(&a_map(&self.bias)?)
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// Table I: which maps of S2 the maps of C3 see.
const THREES: [[i64; 3]; 6] = [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 0], [5, 0, 1]];
const FOURS: [[i64; 4]; 9] = [
    [0, 1, 2, 3],
    [1, 2, 3, 4],
    [2, 3, 4, 5],
    [3, 4, 5, 0],
    [4, 5, 0, 1],
    [5, 0, 1, 2],
    [0, 1, 3, 4],
    [1, 2, 4, 5],
    [0, 2, 3, 5],
];

/// C3: maps that see three, four or all of the maps before. The maps that see equally many are one
/// convolution with a group for each, of the maps before in the order of the table.
#[derive(Debug, Module)]
struct PartialConv {
    threes: Conv2d,
    fours: Conv2d,
    six: Conv2d,
    path: Path,
}

impl PartialConv {
    fn new(init: &Init) -> Result<Self> {
        Ok(PartialConv {
            threes: Conv2d::new(&init.at("threes"), convolution(3 * 6, 6, 6))?,
            fours: Conv2d::new(&init.at("fours"), convolution(4 * 9, 9, 9))?,
            six: Conv2d::new(&init.at("six"), convolution(6, 1, 1))?,
            path: init.path().clone(),
        })
    }
}

impl Layer for PartialConv {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let seen = |maps: &[i64]| {
                x.index_select(1, &Array::from_slice(x.device(), maps, [maps.len()])?)
            };
            let threes = self.threes.forward(cx, &seen(THREES.as_flattened())?)?;
            let fours = self.fours.forward(cx, &seen(FOURS.as_flattened())?)?;
            Tensor::cat(&[&threes, &fours, &self.six.forward(cx, x)?], 1)
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use ferrotape_backend::{DType, Device, Rng, reference::Reference};

    use super::*;

    /// Table I of the paper: a row for each map of S2, a column for each map of C3.
    const TABLE: [&str; 6] = [
        "#...###..####.##",
        "##...###..####.#",
        "###...###..#.###",
        ".###..####..#.##",
        "..###..####.##.#",
        "...###..####.###",
    ];

    #[test]
    fn maps_of_c3_see_the_maps_of_s2_that_table_one_says() {
        let device = Device::new(Reference::new());
        let c3 = PartialConv::new(&Init::new(&device, Rng::new(1)).dtype(DType::F64)).unwrap();
        for map in 0..16 {
            let cx = Pass::eval(&device).with_grad();
            let x = cx.variable(Array::zeros(&device, DType::F64, [1, 6, 5, 5]).unwrap()).unwrap();
            let y = c3.forward(&cx, &x).unwrap().narrow(1, map, 1).unwrap();
            let gradients = y.sum_all().unwrap().backward().unwrap();
            let seen = gradients.of(&x).unwrap().to_f64_vec().unwrap();
            for (row, own) in TABLE.iter().zip(seen.chunks(25)) {
                let expected = row.as_bytes()[map] == b'#';
                assert_eq!(own.iter().any(|g| *g != 0.0), expected, "map {map} in {row}");
            }
        }
    }
}
