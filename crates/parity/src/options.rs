//! The options of a case: each is read once, with PyTorch's default where it is absent, and one that
//! nothing reads is an error, as it would change the numbers.

use std::cell::RefCell;
use std::collections::BTreeSet;

use ferrotape::backend::{Error, Result};
use serde_json::{Map, Value};

pub(crate) struct Options<'a> {
    given: Option<&'a Map<String, Value>>,
    unread: RefCell<BTreeSet<&'a str>>,
}

impl<'a> Options<'a> {
    pub(crate) fn of(case: &'a Value) -> Self {
        let given = case.get("options").and_then(Value::as_object);
        let unread = given.map(|map| map.keys().map(String::as_str).collect()).unwrap_or_default();
        Options { given, unread: RefCell::new(unread) }
    }

    fn read<T>(
        &self,
        name: &str,
        default: Option<T>,
        wanted: &str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<T> {
        self.unread.borrow_mut().remove(name);
        match (self.given.and_then(|map| map.get(name)), default) {
            (Some(value), _) => convert(value).ok_or_else(|| {
                Error::argument(format!("the option {name} is {value}, it must be {wanted}"))
            }),
            (None, Some(default)) => Ok(default),
            (None, None) => Err(Error::argument(format!("the option {name} is missing"))),
        }
    }

    pub(crate) fn number(&self, name: &str, default: impl Into<Option<f64>>) -> Result<f64> {
        self.read(name, default.into(), "a number", Value::as_f64)
    }

    pub(crate) fn count(&self, name: &str, default: impl Into<Option<u64>>) -> Result<u64> {
        self.read(name, default.into(), "a whole number that is not negative", Value::as_u64)
    }

    pub(crate) fn counts(&self, name: &str) -> Result<Vec<u64>> {
        self.read(name, None, "a list of whole numbers", |value| {
            value.as_array()?.iter().map(Value::as_u64).collect()
        })
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool> {
        self.read(name, Some(false), "true or false", Value::as_bool)
    }

    /// Whether the option is the second of two words; the first is its default.
    pub(crate) fn second_of(&self, name: &str, words: [&str; 2]) -> Result<bool> {
        self.read(name, Some(false), &format!("{words:?}"), |value| {
            words.iter().position(|&word| value == word).map(|position| position == 1)
        })
    }

    pub(crate) fn betas(&self) -> Result<[f64; 2]> {
        self.read("betas", Some([0.9, 0.999]), "two numbers", |value| {
            let list: Vec<f64> =
                value.as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?;
            list.try_into().ok()
        })
    }

    /// The value, unless an option was given that nothing read.
    pub(crate) fn done<T>(self, value: T) -> Result<T> {
        match self.unread.into_inner().first() {
            None => Ok(value),
            Some(name) => Err(Error::argument(format!("the option {name} is not known"))),
        }
    }
}
