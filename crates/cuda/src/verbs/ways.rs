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

/// What became of work that was asked for in a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was asked for.
    Done,
    /// The way is not open to this convolution.
    Never,
    /// It is not open for how these operands lie or for what memory is free; another time it may be.
    NotNow,
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

    /// Asks for the work in the best of some ways. When a convolution is met for the first time each way is timed, the
    /// time of bringing operands to where it wants them included; a deterministic device takes the first that is
    /// open. Where none is, this crate's kernel does it. What a way refuses this time alone is not remembered.
    ///
    /// # Errors
    /// Those of `ask`.
    pub(crate) fn take(
        &self,
        cuda: &Cuda,
        key: &Convolution,
        ways: &[Way],
        mut ask: impl FnMut(Way) -> Result<Taken>,
    ) -> Result<()> {
        if let Some(way) = self.known(key) {
            return match ask(way)? {
                Taken::Done => Ok(()),
                Taken::Never | Taken::NotNow => ask(Way::Own).map(drop),
            };
        }
        let mut best: Option<(f32, Way)> = None;
        let mut is_settled = true;
        for &way in ways {
            // The first run compiles, and lets cuDNN choose an engine.
            match ask(way)? {
                Taken::Done => {}
                Taken::Never => continue,
                Taken::NotNow => {
                    is_settled = false;
                    continue;
                }
            }
            if cuda.options.deterministic || ways.len() == 1 {
                if is_settled {
                    self.remember(key, way);
                }
                return Ok(());
            }
            let again = || (0..RUNS).try_for_each(|_| ask(way).map(drop));
            let time = cuda.queue.time(again)?.unwrap_or(0.0);
            if best.is_none_or(|(least, _)| time < least) {
                best = Some((time, way));
            }
        }
        let way = best.map_or(Way::Own, |(_, way)| way);
        if is_settled {
            self.remember(key, way);
        }
        ask(way).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::CudaOptions;
    use crate::library::{ConvKind, Tensor};
    use crate::notebook::Notebook;

    const ENGINE: Way = Way::Engine(DType::F32);

    fn key() -> Convolution {
        let tensor = Tensor { dtype: DType::F32, sizes: [1; 4], strides: [1; 4] };
        Convolution {
            kind: ConvKind::Forward,
            x: tensor,
            w: tensor,
            y: tensor,
            stride: [1; 2],
            padding: [0; 2],
            dilation: [1; 2],
            bias: true,
            residual: None,
            relu: false,
        }
    }

    /// The way that did the work at last, where the engine answers so.
    fn way(cuda: &Cuda, ways: &[Way], engine: Taken) -> Way {
        let mut done = None;
        let ask = |way| {
            let taken = if way == ENGINE { engine } else { Taken::Done };
            done = (taken == Taken::Done).then_some(way).or(done);
            Ok(taken)
        };
        cuda.ways.take(cuda, &key(), ways, ask).unwrap();
        done.unwrap()
    }

    #[test]
    fn what_a_way_refuses_once_it_does_the_next_time() {
        for deterministic in [false, true] {
            for ways in [&[ENGINE][..], &[ENGINE, Way::Own]] {
                let options = CudaOptions { deterministic, ..CudaOptions::default() };
                let device =
                    || Cuda::on(Arc::new(Notebook::default()), "cuda:0".to_owned(), options);
                let cuda = device();
                let took = [Taken::NotNow, Taken::Done, Taken::NotNow, Taken::Done]
                    .map(|engine| way(&cuda, ways, engine));
                assert_eq!(took, [Way::Own, ENGINE, Way::Own, ENGINE]);
                let cuda = device();
                let took = [Taken::Never, Taken::Done].map(|engine| way(&cuda, ways, engine));
                assert_eq!(took, [Way::Own; 2], "an engine that there is not is asked for once");
            }
        }
    }
}
