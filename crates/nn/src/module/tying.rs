//! One parameter in the place of another.

use ferrotape_backend::{Error, Result};

use super::loading::{Walk, list};
use super::{Item, Ties, Visitor};
use crate::Parameter;

/// What makes a clone of the module the module itself, but for the parameter of that name.
pub(super) fn replacing(walk: Walk<'_>, name: &str, to: &Parameter) -> Result<Ties> {
    let (mut ties, mut names, mut replaced) = (Ties::new(), Vec::new(), None);
    walk(&mut Visitor::new(&mut |own, item| match item {
        Item::Parameter(parameter) => {
            ties.tie(parameter, parameter);
            names.push(own.to_owned());
            if own == name {
                replaced = Some(parameter.clone());
            }
        }
        Item::State(state) => ties.keep(state),
        Item::Child(_) => {}
    }));
    let Some(replaced) = replaced else {
        return Err(Error::argument(format!(
            "there is no parameter {name} to tie; the parameters are {}",
            list(&names)
        )));
    };
    let [own, other] = [&replaced, to].map(Parameter::value);
    if own.shape() != other.shape() || own.dtype() != other.dtype() {
        return Err(Error::shape(format!(
            "{name} is {} {} and cannot be tied to {}, which is {} {}: one parameter has one shape \
             and one data type",
            own.dtype(),
            own.shape(),
            to.path(),
            other.dtype(),
            other.shape()
        )));
    }
    if own.device() != other.device() {
        return Err(Error::argument(format!(
            "{name} is on {} and cannot be tied to {}, which is on {}",
            own.device(),
            to.path(),
            other.device()
        )));
    }
    ties.tie(&replaced, to);
    Ok(ties)
}
