//! Between a module and its state dict.

use std::collections::HashMap;

use ferrotape_autograd::LeafId;
use ferrotape_backend::{Array, Error, Result};

use super::{Item, Visitor};
use crate::{Parameter, Path, State, StateDict};

/// What [`Module::load_state_dict`](crate::Module::load_state_dict) did not find a place for.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Linear, LinearConfig, Loaded, Module, StateDict};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let fc = Linear::new(&init, LinearConfig::new(3, 2))?;
/// let mut dict = StateDict::new();
/// dict.insert("weight", Array::zeros(&device, DType::F32, [2, 3])?);
/// dict.insert("scale", Array::zeros(&device, DType::F32, [2])?);
/// let Loaded { missing, unexpected } = fc.load_state_dict(&dict, false)?;
/// assert_eq!((missing, unexpected), (vec!["bias".into()], vec!["scale".into()]));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Names of the model that the state dict does not have, or that were left out by a pattern;
    /// they keep their values.
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

/// Which names of a model a state dict has to have, and the other way round.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fit<'a> {
    /// All.
    Strict,
    /// All but those that fit one of the patterns; these are left alone.
    Except(&'a [&'a str]),
    /// None.
    Partial,
}

impl Fit<'_> {
    fn leaves(self, name: &str) -> bool {
        let Fit::Except(patterns) = self else { return false };
        patterns.iter().any(|pattern| Path::new(name).matches(pattern))
    }
}

pub(super) fn load(walk: Walk<'_>, dict: &StateDict, fit: Fit<'_>) -> Result<Loaded> {
    let targets = targets(walk);
    let given = Given::of(dict, &targets);
    check_patterns(fit, &targets, &given)?;

    let (mut loaded, mut misfits, mut ready) = (Loaded::default(), Vec::new(), Vec::new());
    for (name, target) in &targets {
        let own = target.value();
        let array = match given.get(name) {
            Some(array) if !fit.leaves(name) => array,
            _ => {
                loaded.missing.push(name.clone());
                continue;
            }
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
    let (tied, conflicts) = ties(&targets, &given, fit)?;
    misfits.extend(conflicts);
    let own: HashMap<&str, &Target> = targets.iter().map(|(n, t)| (n.as_str(), t)).collect();
    loaded.missing.retain(|name| {
        own.get(name.as_str()).is_none_or(|target| !tied.contains_key(&target.identity()))
    });
    let unexpected = given.names().filter(|name| !own.contains_key(name));
    loaded.unexpected = unexpected.map(str::to_owned).collect();

    let mut complaints = Vec::new();
    if !matches!(fit, Fit::Partial) {
        let counted = |name: &&String| !fit.leaves(name) && !is_counter(name, &given);
        let missing: Vec<&str> =
            loaded.missing.iter().filter(counted).map(String::as_str).collect();
        let unexpected: Vec<&str> =
            loaded.unexpected.iter().filter(|n| !fit.leaves(n)).map(String::as_str).collect();
        if !missing.is_empty() {
            complaints.push(format!("it lacks {}", list_with_nearest(&missing, &unexpected)));
        }
        if !unexpected.is_empty() {
            let nearest = list_with_nearest(&unexpected, &missing);
            complaints.push(format!("the model has no {nearest}"));
        }
    }
    if !misfits.is_empty() {
        complaints.push(shortened(&misfits, "; "));
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

fn targets(walk: Walk<'_>) -> Vec<(String, Target)> {
    let mut targets: Vec<(String, Target)> = Vec::new();
    walk(&mut Visitor::new(&mut |name, item| {
        let target = match item {
            Item::Parameter(parameter) => Target::Parameter(parameter.clone()),
            Item::State(state) => Target::State(state.clone()),
            Item::Child(_) => return,
        };
        targets.push((name.to_owned(), target));
    }));
    targets
}

/// The state dict under the names of the model.
struct Given<'a> {
    dict: &'a StateDict,
    /// What stands before each of its names and not before the model's.
    prefix: &'static str,
}

impl<'a> Given<'a> {
    /// `DataParallel` and `torch.compile` put a name of theirs before all others.
    fn of(dict: &'a StateDict, targets: &[(String, Target)]) -> Self {
        let wraps = |prefix: &&str| {
            !dict.is_empty()
                && dict.names().all(|name| name.starts_with(prefix))
                && !targets.iter().any(|(name, _)| name.starts_with(prefix))
        };
        let prefix = ["module.", "_orig_mod."].into_iter().find(wraps).unwrap_or("");
        Given { dict, prefix }
    }

    fn get(&self, name: &str) -> Option<&'a Array> {
        match self.prefix {
            "" => self.dict.get(name),
            prefix => self.dict.get(&format!("{prefix}{name}")),
        }
    }

    fn names(&self) -> impl Iterator<Item = &'a str> {
        let start = self.prefix.len();
        self.dict.names().map(move |name| &name[start..])
    }
}

/// A pattern that fits nothing is mistyped.
fn check_patterns(fit: Fit<'_>, targets: &[(String, Target)], given: &Given<'_>) -> Result<()> {
    let Fit::Except(patterns) = fit else { return Ok(()) };
    for pattern in patterns {
        let fits = |name: &str| Path::new(name).matches(pattern);
        if !targets.iter().any(|(name, _)| fits(name)) && !given.names().any(fits) {
            return Err(Error::argument(format!(
                "the pattern '{pattern}' fits no name of the model and none of the state dict; the \
                 model has {}",
                list(&targets.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>())
            )));
        }
    }
    Ok(())
}

/// Whether this is the count of batches of a norm whose statistics are there: files from before
/// PyTorch 0.4.1 do not have it, and PyTorch does not ask for it. It keeps its value.
fn is_counter(name: &str, given: &Given<'_>) -> bool {
    let norm = name.strip_suffix("num_batches_tracked");
    norm.is_some_and(|norm| given.get(&format!("{norm}running_mean")).is_some())
}

/// The name that the state dict has for each parameter and state, the first of several, and what
/// is wrong with the others: two values for one parameter.
fn ties<'a>(
    targets: &'a [(String, Target)],
    dict: &Given<'_>,
    fit: Fit<'_>,
) -> Result<(HashMap<Identity, &'a str>, Vec<String>)> {
    let (mut given, mut conflicts) = (HashMap::new(), Vec::new());
    for (name, target) in targets {
        let Some(array) = dict.get(name).filter(|_| !fit.leaves(name)) else { continue };
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

/// How many names a message shows.
const SHOWN: usize = 8;

/// The first names, and how many more there are.
pub(super) fn list(names: &[String]) -> String {
    shortened(names, ", ")
}

/// The first items, and how many more there are.
fn shortened(items: &[String], separator: &str) -> String {
    let shown = items.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(separator);
    match items.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The names, each with the one among the others that it may be another spelling of.
fn list_with_nearest(names: &[&str], others: &[&str]) -> String {
    let shown = names.iter().enumerate().map(|(at, name)| {
        let nearest = if at < SHOWN { nearest(name, others) } else { None };
        nearest.map_or_else(|| (*name).to_owned(), |near| format!("{name} (is it {near}?)"))
    });
    list(&shown.collect::<Vec<_>>())
}

/// The likeliest other spelling of a name.
fn nearest<'a>(name: &str, others: &[&'a str]) -> Option<&'a str> {
    /// Of so many names, each shorter than this, the comparison takes no time that one notices.
    const COMPARED: usize = 2000;
    const LONGEST: usize = 200;
    let short = others.iter().take(COMPARED).filter(|other| other.len() <= LONGEST);
    let candidates = short.filter(|_| name.len() <= LONGEST);
    candidates
        .map(|other| (strsim::normalized_damerau_levenshtein(name, other), *other))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| other)
}
