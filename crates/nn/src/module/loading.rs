//! Between a module and its state dict.

use std::collections::HashMap;

use ferrotape_autograd::LeafId;
use ferrotape_backend::{Array, Error, Result};

use super::{Item, Visitor};
use crate::{Parameter, State, StateDict};

/// What [`Module::load_state_dict`](crate::Module::load_state_dict) did not find a place for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Names of the model that the state dict does not have; they keep their values.
    pub missing: Vec<String>,
    /// Names of the state dict that the model does not have.
    pub unexpected: Vec<String>,
}

/// The module as a function that takes a visitor around, so that `dyn Module` works too.
pub(super) type Walk<'a> = &'a dyn Fn(&mut Visitor<'_>);

pub(super) fn state_dict(walk: Walk<'_>) -> Result<StateDict> {
    let (mut dict, mut failure) = (StateDict::new(), None);
    walk(&mut Visitor::new(&mut |name, item| {
        let array = match item {
            Item::Parameter(parameter) => parameter.value(),
            Item::State(state) => state.value(),
            Item::Child(_) => return,
        };
        if dict.get(name).is_some() {
            failure = failure.take().or(Some(Error::state(format!(
                "two entries of the model are named {name}, and a state dict holds one; rename a \
                 field or layer"
            ))));
            return;
        }
        match snapshot(&array) {
            Ok(array) => dict.insert(name, array),
            Err(error) => failure = failure.take().or(Some(error.at(name))),
        }
    }));
    failure.map_or(Ok(dict), Err)
}

/// A copy in row-major order (OIHW) that shares memory with nothing.
fn snapshot(array: &Array) -> Result<Array> {
    if array.layout().is_contiguous() { array.copy() } else { array.contiguous() }
}

enum Target {
    Parameter(Parameter),
    State(State),
}

/// What two names of one tied parameter or shared state have in common.
#[derive(PartialEq, Eq, Hash)]
enum Identity {
    Parameter(LeafId),
    State(usize),
}

impl Target {
    fn identity(&self) -> Identity {
        match self {
            Target::Parameter(parameter) => Identity::Parameter(parameter.id()),
            Target::State(state) => Identity::State(state.address()),
        }
    }

    fn value(&self) -> Array {
        match self {
            Target::Parameter(parameter) => parameter.value(),
            Target::State(state) => state.value(),
        }
    }

    fn set(&self, array: Array) -> Result<()> {
        match self {
            Target::Parameter(parameter) => parameter.set(array),
            Target::State(state) => state.set(array),
        }
    }
}

pub(super) fn load(walk: Walk<'_>, dict: &StateDict, strict: bool) -> Result<Loaded> {
    let mut targets: Vec<(String, Target)> = Vec::new();
    walk(&mut Visitor::new(&mut |name, item| {
        let target = match item {
            Item::Parameter(parameter) => Target::Parameter(parameter.clone()),
            Item::State(state) => Target::State(state.clone()),
            Item::Child(_) => return,
        };
        targets.push((name.to_owned(), target));
    }));

    let (mut loaded, mut misfits, mut ready) = (Loaded::default(), Vec::new(), Vec::new());
    for (name, target) in &targets {
        let (Some(array), own) = (dict.get(name), target.value()) else {
            loaded.missing.push(name.clone());
            continue;
        };
        if array.shape() != own.shape() {
            misfits.push(format!(
                "{name} is {} in the state dict and {} in the model",
                array.shape(),
                own.shape()
            ));
        } else if array.dtype().is_float() != own.dtype().is_float() {
            misfits.push(format!(
                "{name} holds {} in the state dict and {} in the model",
                array.dtype(),
                own.dtype()
            ));
        } else {
            let array = array.to_device(own.device())?.cast(own.dtype())?;
            // A parameter stays in the layout that its kernels like.
            let mut placed = Array::empty(own.device(), own.dtype(), *own.layout())?;
            own.device().backend().copy(&array, &mut placed)?;
            ready.push((target, placed));
        }
    }
    let (given, conflicts) = ties(&targets, dict)?;
    misfits.extend(conflicts);
    loaded.missing.retain(|name| {
        let target = targets.iter().find(|(own, _)| own == name);
        target.is_none_or(|(_, target)| !given.contains_key(&target.identity()))
    });
    let has = |name: &str| targets.iter().any(|(own, _)| own == name);
    loaded.unexpected = dict.names().filter(|name| !has(name)).map(str::to_owned).collect();

    let mut complaints = Vec::new();
    if strict && !loaded.missing.is_empty() {
        complaints.push(format!("it lacks {}", list(&loaded.missing)));
    }
    if strict && !loaded.unexpected.is_empty() {
        complaints.push(format!("the model has no {}", list(&loaded.unexpected)));
    }
    if !misfits.is_empty() {
        complaints.push(misfits.join("; "));
    }
    if !complaints.is_empty() {
        return Err(Error::state(format!(
            "the state dict does not fit the model: {}",
            complaints.join("; ")
        )));
    }
    ready.into_iter().try_for_each(|(target, array)| target.set(array))?;
    Ok(loaded)
}

/// The name that the state dict has for each parameter and state, the first of several, and what
/// is wrong with the others: two values for one parameter.
fn ties<'a>(
    targets: &'a [(String, Target)],
    dict: &StateDict,
) -> Result<(HashMap<Identity, &'a str>, Vec<String>)> {
    let (mut given, mut conflicts) = (HashMap::new(), Vec::new());
    for (name, target) in targets {
        let Some(array) = dict.get(name) else { continue };
        let first: &str = given.entry(target.identity()).or_insert(name.as_str());
        let Some(other) = dict.get(first).filter(|_| first != name) else { continue };
        let bits = |array: &Array| -> Result<Vec<u64>> {
            Ok(array.to_f64_vec()?.into_iter().map(f64::to_bits).collect())
        };
        if bits(array)? != bits(other)? {
            conflicts.push(format!(
                "{first} and {name} are one in the model and have different values in the state \
                 dict"
            ));
        }
    }
    Ok((given, conflicts))
}

/// The first names, and how many more there are.
pub(super) fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
