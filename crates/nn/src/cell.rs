//! The shared cell behind parameters and states: an array that is changed in place.

use std::sync::{Arc, PoisonError, RwLock};

use ferrotape_backend::{Array, Error, Result};

#[derive(Debug)]
struct Value {
    array: Array,
    /// Counts the cells that share the array's memory: a cloned model shares it until one of the
    /// two is first changed.
    owners: Arc<()>,
}

/// An array that several handles see and change in place.
#[derive(Debug)]
pub(crate) struct Cell(RwLock<Value>);

impl Cell {
    /// Takes the array over; copies it if anything else shares its memory.
    pub(crate) fn new(array: Array) -> Result<Self> {
        Ok(Cell(RwLock::new(Value { array: owned(array)?, owners: Arc::new(()) })))
    }

    /// The array; it shares memory, so later changes in place show in it.
    pub(crate) fn value(&self) -> Array {
        self.0.read().unwrap_or_else(PoisonError::into_inner).array.clone()
    }

    /// A cell of its own with the same contents. The memory is shared until one of them changes.
    pub(crate) fn fork(&self) -> Self {
        let value = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let owners = Arc::clone(&value.owners);
        Cell(RwLock::new(Value { array: value.array.clone(), owners }))
    }

    /// Replaces the array by one of the same shape and type.
    pub(crate) fn set(&self, array: Array) -> Result<()> {
        let mut value = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let (old, new) = (&value.array, &array);
        if old.shape() != new.shape() {
            return Err(Error::shape(format!(
                "its shape is {}, it cannot be set to an array of shape {}",
                old.shape(),
                new.shape()
            )));
        }
        if old.dtype() != new.dtype() {
            return Err(Error::dtype(format!(
                "it holds {}, it cannot be set to an array of {}; cast the array",
                old.dtype(),
                new.dtype()
            )));
        }
        if old.device() != new.device() {
            return Err(Error::new(
                ferrotape_backend::ErrorKind::DeviceMismatch,
                format!(
                    "it is on {}, it cannot be set to an array on {}; move the array",
                    old.device(),
                    new.device()
                ),
            ));
        }
        *value = Value { array: owned(array)?, owners: Arc::new(()) };
        Ok(())
    }

    /// Replaces the array by any other.
    pub(crate) fn replace(&self, array: Array) -> Result<()> {
        let new = Value { array: owned(array)?, owners: Arc::new(()) };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// The array, to be changed in place: no cloned model shares its memory.
    pub(crate) fn exclusive(&self) -> Result<Array> {
        let mut value = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::strong_count(&value.owners) > 1 {
            *value = Value { array: value.array.copy()?, owners: Arc::new(()) };
        }
        Ok(value.array.clone())
    }

    /// Changes the array in place: its memory stays where it is, unless a cloned model shares it.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Array) -> Result<()>) -> Result<()> {
        let mut array = self.exclusive()?;
        // The lock is not held here, so the closure may read this very cell.
        let (buffer, layout) = (array.buffer().id(), *array.layout());
        change(&mut array)?;
        if array.buffer().id() == buffer && *array.layout() == layout {
            Ok(())
        } else {
            self.set(array)
        }
    }
}

fn owned(array: Array) -> Result<Array> {
    // An array that shows an element twice, such as a broadcast, cannot be changed in place.
    let whole = array.shape().numel() == array.buffer().len() && !array.layout().is_overlapping();
    if array.is_unique() && whole { Ok(array) } else { array.copy() }
}

#[cfg(test)]
mod tests {
    use ferrotape_backend::{Device, reference::Reference};

    use super::*;

    #[test]
    fn a_cell_of_an_array_that_shows_elements_twice_can_be_changed() {
        let device = Device::new(Reference::new());
        let pairs = Array::from_slice(&device, &[1.0f32, 2.0, 3.0, 4.0], [4])
            .and_then(|a| a.narrow(0, 0, 2)?.broadcast_to([2, 2]))
            .unwrap();
        let cell = Cell::new(pairs).unwrap();
        cell.update(|array| device.backend().fill(array, 5.0)).unwrap();
        assert_eq!(cell.value().to_vec::<f32>().unwrap(), [5.0; 4]);
    }
}
