//! Losses of wrong targets, and options that no optimizer can use.

use std::sync::Arc;

use ferrotape::autograd::ops::{NllLoss, Reduction};
use ferrotape::backend::CrossEntropy;
use ferrotape::data::{FloatImage, InMemory, Transform};
use ferrotape::nn::optim::{Rule, Stepper};
use ferrotape::nn::{Flatten, LinearConfig, Path};
use ferrotape::prelude::*;
use ferrotape::train::fit::{FitOptions, Loss, Model};

use crate::layers::device;
use crate::{Case, Outcome, case};

type Tensors = Result<Tensor, ferrotape::Error>;

fn scores() -> Tensors {
    Ok(Tensor::from(Array::zeros(&device(), DType::F32, [2, 3])?))
}

fn labels(values: &[i64]) -> Result<Array, ferrotape::Error> {
    Array::from_slice(&device(), values, [values.len()])
}

fn parameter(name: &str) -> Result<Parameter, ferrotape::Error> {
    Parameter::new(Path::new(name), Array::zeros(&device(), DType::F32, [2])?)
}

fn optimizer<R: Rule>(rule: R) -> Outcome {
    Stepper::new(vec![parameter("weight")?], rule)?;
    Ok(())
}

pub(crate) fn cases() -> Vec<Case> {
    [losses(), optimizers(), trainings()].into_iter().flatten().collect()
}

fn losses() -> Vec<Case> {
    vec![
        case("cross entropy, a label as large as the number of classes", || {
            scores()?.cross_entropy(&labels(&[0, 3])?).map(drop)
        }),
        case("cross entropy, a negative label", || {
            scores()?.cross_entropy(&labels(&[0, -1])?).map(drop)
        }),
        case("cross entropy, 3 labels for 2 rows", || {
            scores()?.cross_entropy(&labels(&[0, 1, 2])?).map(drop)
        }),
        case("cross entropy, labels that are floats", || {
            let targets = Array::from_slice(&device(), &[0.0f32, f32::NAN], [2])?;
            scores()?.cross_entropy(&targets).map(drop)
        }),
        case("cross entropy, a scalar", || {
            scores()?.sum_all()?.cross_entropy(&labels(&[0])?).map(drop)
        }),
        case("cross entropy of no classes", || {
            let none = Tensor::from(Array::zeros(&device(), DType::F32, [2, 0])?);
            none.cross_entropy(&labels(&[0, 0])?).map(drop)
        }),
        case("cross entropy, label smoothing of 1.5", || {
            let params = CrossEntropy { label_smoothing: 1.5, ..CrossEntropy::default() };
            scores()?.cross_entropy_with(&labels(&[0, 1])?, &params, Reduction::Mean).map(drop)
        }),
        case("cross entropy with distributions of another shape", || {
            let target = Tensor::from(Array::zeros(&device(), DType::F32, [2, 4])?);
            scores()?.cross_entropy_soft(&target, None, 0.0, Reduction::Mean).map(drop)
        }),
        case("negative log likelihood, weights of 2 of 3 classes", || {
            let weight = Array::zeros(&device(), DType::F32, [2])?;
            let options = NllLoss { weight: Some(&weight), ..NllLoss::default() };
            scores()?.nll_loss(&labels(&[0, 1])?, &options).map(drop)
        }),
        case("mean squared error of another shape", || {
            let target = Tensor::from(Array::zeros(&device(), DType::F32, [2, 4])?);
            scores()?.mse_loss(&target, Reduction::Mean).map(drop)
        }),
        case("Huber loss with a delta of 0", || {
            scores()?.huber_loss(&scores()?, 0.0, Reduction::Mean).map(drop)
        }),
    ]
}

/// Multiplies pixels by a number.
struct Times(f32);

impl Transform for Times {
    fn apply(&self, image: &mut FloatImage, _: Rng) -> ferrotape::data::Result<()> {
        image.pixels_mut().iter_mut().for_each(|pixel| *pixel *= self.0);
        Ok(())
    }
}

/// Trains a linear layer on four pixels, each multiplied by a number first.
fn train(times: f32, loss: Loss, lr: f64) -> Outcome {
    let init = Init::new(&device(), Rng::new(1));
    let network = Sequential::new(&init).add(Flatten::new)?.add(LinearConfig::new(1, 2))?;
    let options = FitOptions { transform: Some(Arc::new(Times(times))), ..FitOptions::default() };
    let rule = SgdConfig { lr, ..SgdConfig::default() };
    let mut model = Model::new(network).compile(rule, loss, []).options(options);
    let pixels = vec![10, 20, 200, 250];
    let data = InMemory::new(pixels, [1, 1, 1], vec![0, 0, 1, 1], InMemory::numbered_classes(2))?;
    model.fit_alone(&Arc::new(data), 3)?;
    Ok(())
}

fn trainings() -> Vec<Case> {
    let of_nan = || {
        Loss::Custom(Arc::new(|scores, _| {
            let target = Array::full(scores.device(), scores.dtype(), *scores.shape(), f64::NAN)?;
            scores.mse_loss(&Tensor::from(target), Reduction::Mean)
        }))
    };
    vec![
        case("training on images of NaN", || train(f32::NAN, Loss::default(), 0.1)),
        case("training on infinite images", || train(f32::INFINITY, Loss::default(), 0.1)),
        case("training on targets of NaN", move || train(1.0, of_nan(), 0.1)),
        case("training with a learning rate that no weights survive", || {
            train(1e20, Loss::MeanSquaredError, 1e30)
        }),
        case("training a network of two classes on data of three", || -> Outcome {
            let init = Init::new(&device(), Rng::new(1));
            let network = Sequential::new(&init).add(Flatten::new)?.add(LinearConfig::new(1, 2))?;
            let mut model = Model::new(network).compile(SgdConfig::default(), Loss::default(), []);
            let classes = InMemory::numbered_classes(3);
            let data = InMemory::new(vec![1, 2, 3], [1, 1, 1], vec![0, 1, 2], classes)?;
            model.fit_alone(&Arc::new(data), 1)?;
            Ok(())
        }),
        case("training on no data", || -> Outcome {
            let init = Init::new(&device(), Rng::new(1));
            let network = Sequential::new(&init).add(Flatten::new)?.add(LinearConfig::new(1, 2))?;
            let mut model = Model::new(network).compile(SgdConfig::default(), Loss::default(), []);
            let data = InMemory::new(vec![], [1, 1, 1], vec![], InMemory::numbered_classes(2))?;
            model.fit_alone(&Arc::new(data), 1)?;
            Ok(())
        }),
    ]
}

fn optimizers() -> Vec<Case> {
    vec![
        case("SGD, a negative learning rate", || {
            optimizer(SgdConfig { lr: -0.1, ..SgdConfig::default() })
        }),
        case("SGD, a learning rate of NaN", || {
            optimizer(SgdConfig { lr: f64::NAN, ..SgdConfig::default() })
        }),
        case("SGD, Nesterov without momentum", || {
            optimizer(SgdConfig { nesterov: true, ..SgdConfig::default() })
        }),
        case("SGD, a negative weight decay", || {
            optimizer(SgdConfig { weight_decay: -1.0, ..SgdConfig::default() })
        }),
        case("Adam, a beta of 1", || {
            optimizer(AdamConfig { betas: [1.0, 0.999], ..AdamConfig::default() })
        }),
        case("Adam, a negative eps", || {
            optimizer(AdamConfig { eps: -1.0, ..AdamConfig::default() })
        }),
        case("an optimizer of one parameter twice", || -> Outcome {
            let weight = parameter("weight")?;
            Sgd::new(vec![weight.clone(), weight], SgdConfig::default())?;
            Ok(())
        }),
        case("a parameter of integers", || -> Outcome {
            Parameter::new(Path::new("weight"), labels(&[0])?)?;
            Ok(())
        }),
        case("a parameter set to another shape", || -> Outcome {
            parameter("weight")?.set(Array::zeros(&device(), DType::F32, [3])?)?;
            Ok(())
        }),
        case("the state of another optimizer", || -> Outcome {
            let mut adam = Adam::new(vec![parameter("weight")?], AdamConfig::default())?;
            let mut state = adam.state_dict()?;
            state.insert("other.exp_avg", parameter("other")?.value());
            adam.load_state_dict(&state)?;
            Ok(())
        }),
    ]
}
