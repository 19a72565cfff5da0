//! What a pickle of weights can hold.

use ferrotape_backend::{Error, Result};

use super::storage::{Storage, StorageKind};
use super::view::View;

/// A value's place in [`Values`]. Containers hold places and not values, so that one that holds
/// itself is no cycle in memory and nothing here recurses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Id(u32);

/// One value.
#[derive(Debug)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Integer(i128),
    /// Settings have floats; weights are none of them.
    Float,
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// A `dict` or an `OrderedDict`, in its order.
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Storage<'a>),
    Tensor(Box<View<'a>>),
}

impl Value<'_> {
    /// What it is called in messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::None => "None",
            Value::Bool(_) => "a bool",
            Value::Integer(_) => "an integer",
            Value::Float => "a float",
            Value::Text(_) => "a string",
            Value::Tuple(_) => "a tuple",
            Value::List(_) => "a list",
            Value::Dict(_) => "a dict",
            Value::Global(_) => "a function or class",
            Value::Storage(_) => "a storage",
            Value::Tensor(_) => "a tensor",
        }
    }
}

/// The functions and classes that may be named in a pickle. None of them is called: each stands for
/// something that this reader does itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    /// `collections.OrderedDict`
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2`, and `_rebuild_tensor` of the oldest files
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`
    RebuildParameter,
    /// `torch.Size`, a tuple
    Size,
    /// `torch.FloatStorage` and its like
    Storage(StorageKind),
}

impl Global {
    /// The one of this name.
    ///
    /// # Errors
    /// The name is not on the list.
    pub(super) fn named(module: &str, name: &str) -> Result<Self> {
        match (module, name) {
            ("collections", "OrderedDict") => return Ok(Global::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => {
                return Ok(Global::RebuildTensor);
            }
            ("torch._utils", "_rebuild_parameter") => return Ok(Global::RebuildParameter),
            ("torch", "Size") => return Ok(Global::Size),
            ("torch" | "torch.cuda", name) => {
                if let Some(kind) = StorageKind::named(name) {
                    return Ok(Global::Storage(kind));
                }
                if name.ends_with("Storage") {
                    return Err(Error::state(format!(
                        "it holds a {module}.{name}, and arrays hold f32, f64, f16, bf16, i64 and \
                         u8; convert the tensor in PyTorch first"
                    )));
                }
            }
            _ => {}
        }
        Err(Error::state(format!(
            "it names {:?}, which is code of its writer and not part of a state dict; nothing of a \
             file is run here, so save the weights alone: torch.save(model.state_dict(), FILE)",
            format!("{module}.{name}")
        )))
    }
}

/// More values than this no state dict has: the largest networks have a few thousand tensors, of
/// a dozen values each.
const MOST: usize = 2_000_000;

/// All values of a pickle.
#[derive(Debug)]
pub(super) struct Values<'a>(Vec<Value<'a>>);

impl<'a> Values<'a> {
    pub(super) const NONE: Id = Id(0);
    pub(super) const FALSE: Id = Id(1);
    pub(super) const TRUE: Id = Id(2);

    pub(super) fn new() -> Self {
        Values(vec![Value::None, Value::Bool(false), Value::Bool(true)])
    }

    pub(super) fn add(&mut self, value: Value<'a>) -> Result<Id> {
        if self.0.len() >= MOST {
            return Err(Error::state(format!(
                "it holds more than {MOST} values, which no state dict does"
            )));
        }
        let id = Id(self.0.len() as u32);
        self.0.push(value);
        Ok(id)
    }

    pub(super) fn get(&self, id: Id) -> &Value<'a> {
        &self.0[id.0 as usize]
    }

    pub(super) fn get_mut(&mut self, id: Id) -> &mut Value<'a> {
        &mut self.0[id.0 as usize]
    }

    /// Every storage that is named anywhere, as often as it is.
    pub(super) fn storages(&self) -> impl Iterator<Item = Storage<'a>> {
        self.0.iter().filter_map(|value| match value {
            Value::Storage(storage) => Some(*storage),
            _ => None,
        })
    }

    /// The items of a tuple or list.
    pub(super) fn items(&self, id: Id) -> Result<&[Id]> {
        match self.get(id) {
            Value::Tuple(items) | Value::List(items) => Ok(items),
            other => Err(expected("a tuple", other)),
        }
    }

    /// The entries of a dict.
    pub(super) fn entries(&self, id: Id) -> Result<&[(Id, Id)]> {
        match self.get(id) {
            Value::Dict(entries) => Ok(entries),
            other => Err(expected("a dict", other)),
        }
    }

    pub(super) fn text(&self, id: Id) -> Result<&'a str> {
        match self.get(id) {
            Value::Text(text) => Ok(text),
            other => Err(expected("a string", other)),
        }
    }

    /// A size, offset or stride: an integer that is not negative and fits memory.
    pub(super) fn size(&self, id: Id) -> Result<usize> {
        match self.get(id) {
            &Value::Integer(value) => usize::try_from(value).map_err(|_| {
                Error::state(format!("{value} is no size, offset or stride of an array"))
            }),
            other => Err(expected("an integer", other)),
        }
    }
}

/// A complaint about a value of the wrong kind.
pub(super) fn expected(what: &str, found: &Value<'_>) -> Error {
    Error::state(format!(
        "its pickle has {} where {what} should be: it is damaged, or not a state dict",
        found.kind()
    ))
}
