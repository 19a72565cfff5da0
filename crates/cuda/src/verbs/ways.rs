//! Several ways to one result, and which of them a device takes for each convolution.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ferrotape_backend::{DType, Result};

use crate::Cuda;
use crate::library::Convolution;

/// Runs that a way is timed over.
const RUNS: u32 = 3;

/// A way to compute a convolution or one of its gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// An engine of cuDNN that gives results of this type.
    Engine(DType),
    /// A product of matrices by cuBLASLt.
    Product,
    /// This crate's kernel.
    Own,
}

/// What was chosen for the convolutions that were met.
#[derive(Default)]
pub(crate) struct Ways(Mutex<HashMap<Convolution, Way>>);

impl Ways {
    fn known(&self, key: &Convolution) -> Option<Way> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    fn remember(&self, key: &Convolution, way: Way) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), way);
    }

    /// Asks for the work in the best of some ways. `ask` answers whether a way is open. When a convolution is met
    /// for the first time each way is timed, the time of bringing operands to where it wants them included; a
    /// deterministic device takes the first that is open. Where none is, this crate's kernel does it.
    ///
    /// # Errors
    /// Those of `ask`.
    pub(crate) fn take(
        &self,
        cuda: &Cuda,
        key: &Convolution,
        ways: &[Way],
        mut ask: impl FnMut(Way) -> Result<bool>,
    ) -> Result<()> {
        if let Some(way) = self.known(key)
            && ask(way)?
        {
            return Ok(());
        }
        let mut best: Option<(f32, Way)> = None;
        for &way in ways {
            // The first run compiles, and lets cuDNN choose an engine.
            if !ask(way)? {
                continue;
            }
            if cuda.options.deterministic || ways.len() == 1 {
                self.remember(key, way);
                return Ok(());
            }
            let again = || (0..RUNS).try_for_each(|_| ask(way).map(drop));
            let time = cuda.queue.time(again)?.unwrap_or(0.0);
            if best.is_none_or(|(least, _)| time < least) {
                best = Some((time, way));
            }
        }
        let way = best.map_or(Way::Own, |(_, way)| way);
        self.remember(key, way);
        ask(way).map(drop)
    }
}
