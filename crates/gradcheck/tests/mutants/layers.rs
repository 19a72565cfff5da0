//! Layers with mistakes, each caught by its law, and a right one.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Array, Device, Layout, Result, reference::Reference};
use ferrotape_gradcheck::{Input, Law, check_layer};
use ferrotape_nn::{
    Distribution, Init, Layer, Module, Parameter, Pass, Path, State, Ties, Visitor,
};

/// A mistake to make.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mistake {
    None,
    DetachedWeight,
    DetachedInput,
    WrongPath,
    StateInEval,
    StateInTrackedEval,
    ForgottenState,
    HiddenParameter,
    SharedClone,
    DependentBatch,
    OutsideOfThePass,
    StateInTraining,
    RowMajor,
}

/// `x weight + level`, with a mistake.
#[derive(Debug)]
struct Scale {
    mistake: Mistake,
    path: Path,
    weight: Parameter,
    level: State,
}

impl Scale {
    fn new(init: &Init, mistake: Mistake) -> Result<Self> {
        let scope = if mistake == Mistake::WrongPath { init.at("scale") } else { init.clone() };
        let level = init.state("level", [], init.rng().uniform_f64(0))?;
        let weight = scope.parameter("weight", [3], Distribution::Ones)?;
        Ok(Scale { mistake, path: init.path().clone(), weight, level })
    }
}

impl Module for Scale {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        if self.mistake != Mistake::HiddenParameter {
            visitor.child("weight", &self.weight);
        }
        if self.mistake != Mistake::ForgottenState {
            visitor.child("level", &self.level);
        }
    }

    fn clone_with(&self, ties: &mut Ties) -> Self {
        let weight = match self.mistake {
            Mistake::SharedClone => self.weight.clone(),
            _ => self.weight.clone_with(ties),
        };
        let level = self.level.clone_with(ties);
        Scale { mistake: self.mistake, path: self.path.clone(), weight, level }
    }
}

impl Layer for Scale {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        if self.mistake == Mistake::OutsideOfThePass {
            return x.mul(&cx.param(&self.weight)?);
        }
        cx.within(self, || {
            let mut weight = cx.param(&self.weight)?;
            let mut x = x.clone();
            match self.mistake {
                Mistake::DetachedWeight => weight = weight.detach(),
                Mistake::DetachedInput => x = x.detach(),
                Mistake::DependentBatch => x = x.sub(&x.mean(&[0], true)?)?,
                Mistake::StateInTrackedEval if cx.is_training(&self.path) || !cx.tracks() => {}
                Mistake::StateInTraining if cx.is_training(&self.path) => {
                    self.level.set(Array::full(x.device(), x.dtype(), [], 0.5)?)?;
                }
                Mistake::RowMajor => {
                    let row_major = Layout::contiguous(*x.shape());
                    x = Tensor::from(x.array().with_layout(row_major)?).mul_scalar(0.0)?.add(&x)?;
                }
                Mistake::StateInEval | Mistake::StateInTrackedEval => {
                    let device = x.device().clone();
                    cx.effect(&self.level, |level: &mut Array| device.backend().fill(level, 0.5))?;
                }
                _ => {}
            }
            x.mul(&weight)?.add(&self.level.value().into())
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// The law that a mistake breaks.
fn broken(mistake: Mistake) -> Option<Law> {
    let device = Device::new(Reference::new());
    let input = Input::new([2, 3], [0.3, -0.7, 1.1, -1.9, 0.2, 0.6]);
    let input = input.expect("six values fill two rows of three");
    let checked = check_layer!(&device, &input, |init| Scale::new(init, mistake), mistake);
    checked.err().map(|failure| failure.law())
}

#[test]
fn a_right_layer_passes() {
    assert_eq!(broken(Mistake::None), None);
}

#[test]
fn a_parameter_or_an_input_without_a_gradient_is_caught() {
    assert_eq!(broken(Mistake::DetachedWeight), Some(Law::NothingMissing));
    assert_eq!(broken(Mistake::DetachedInput), Some(Law::NothingMissing));
}

#[test]
fn a_parameter_that_the_module_does_not_visit_is_caught() {
    assert_eq!(broken(Mistake::HiddenParameter), Some(Law::NothingMissing));
}

#[test]
fn a_path_that_is_not_the_name_in_the_state_dict_is_caught() {
    assert_eq!(broken(Mistake::WrongPath), Some(Law::Paths));
}

#[test]
fn a_layer_that_the_pass_does_not_know_of_is_caught() {
    assert_eq!(broken(Mistake::OutsideOfThePass), Some(Law::Paths));
}

#[test]
fn a_state_that_training_changes_behind_the_pass_is_caught() {
    assert_eq!(broken(Mistake::StateInTraining), Some(Law::Effects));
}

#[test]
fn a_layer_that_takes_every_memory_for_row_major_is_caught() {
    assert_eq!(broken(Mistake::RowMajor), Some(Law::Layout));
}

#[test]
fn a_state_that_is_not_saved_is_caught() {
    assert_eq!(broken(Mistake::ForgottenState), Some(Law::StateDict));
}

#[test]
fn a_state_that_changes_in_evaluation_is_caught() {
    assert_eq!(broken(Mistake::StateInEval), Some(Law::EvalKeeps));
}

#[test]
fn a_state_that_changes_in_evaluation_with_gradients_alone_is_caught() {
    assert_eq!(broken(Mistake::StateInTrackedEval), Some(Law::EvalKeeps));
}

#[test]
fn a_clone_that_shares_a_parameter_is_caught() {
    assert_eq!(broken(Mistake::SharedClone), Some(Law::Clone));
}

#[test]
fn samples_that_depend_on_each_other_are_caught() {
    assert_eq!(broken(Mistake::DependentBatch), Some(Law::BatchIndependence));
}
