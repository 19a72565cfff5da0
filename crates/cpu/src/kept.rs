//! What was made of a weight and may serve again.
//!
//! Kernels read weights in panels. In training a weight changes with every step and is laid out anew each time;
//! in evaluation it does not, and a network of one image would spend a good part of its time with that.

use std::sync::{Arc, Mutex, PoisonError};

use ferrotape_backend::{Layout, Result};

use crate::Level;
use crate::cpu::Workspace;

/// Beside a buffer's memory: its elements in panels, from the second time on that they were wanted in the same
/// way without having been written. They take as much memory as the weight, in tiles 16/9 of it, until somebody
/// writes the buffer or drops it.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Last>);

#[derive(Default)]
struct Last {
    packing: Option<Packing>,
    panels: Option<Arc<Workspace<f32>>>,
}

/// How the elements of a buffer become panels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packing {
    pub(crate) layout: Layout,
    pub(crate) level: Level,
    pub(crate) kind: Kind,
}

/// What panels are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A convolution, see [`PackPanel`](crate::kernels::conv::panels::PackPanel).
    Windows,
    /// A convolution in tiles, see [`winograd`](crate::kernels::conv::winograd).
    Tiles,
    /// A product of matrices.
    Product,
}

impl Kept {
    /// The panels of this packing, as they were kept or as `pack` makes them.
    ///
    /// # Errors
    /// Those of `pack`.
    pub(crate) fn panels(
        &self,
        packing: Packing,
        pack: impl FnOnce() -> Result<Workspace<f32>>,
    ) -> Result<Arc<Workspace<f32>>> {
        let again = {
            let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let again = last.packing == Some(packing);
            match &last.panels {
                Some(panels) if again => return Ok(Arc::clone(panels)),
                _ => *last = Last { packing: Some(packing), panels: None },
            }
            again
        };
        let panels = Arc::new(pack()?);
        if again {
            let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if last.packing == Some(packing) {
                last.panels = Some(Arc::clone(&panels));
            }
        }
        Ok(panels)
    }

    /// The elements are written.
    pub(crate) fn forget(&mut self) {
        *self.0.get_mut().unwrap_or_else(PoisonError::into_inner) = Last::default();
    }
}
