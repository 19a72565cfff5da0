//! The table of vectors for words and other symbols.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Error, Result};

use crate::layers::IntoLayer;
use crate::{Distribution, Init, Layer, Module, Parameter, Pass, Path};

/// What an [`Embedding`] is made from.
///
/// ```
/// use ferrotape_nn::EmbeddingConfig;
///
/// assert_eq!(EmbeddingConfig::new(1000, 64).padding_idx(0).padding_idx, Some(0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EmbeddingConfig {
    /// How many symbols there are.
    pub num_embeddings: usize,
    /// The size of each vector.
    pub embedding_dim: usize,
    /// The symbol that fills up short sequences: its vector begins as zeros and gets no gradient.
    pub padding_idx: Option<usize>,
    /// The first values.
    pub weight_init: Distribution,
}

impl EmbeddingConfig {
    /// Vectors drawn from the normal distribution of mean 0 and variance 1.
    ///
    /// ```
    /// use ferrotape_nn::{Distribution, EmbeddingConfig};
    ///
    /// let config = EmbeddingConfig::new(1000, 64);
    /// assert_eq!((config.num_embeddings, config.embedding_dim), (1000, 64));
    /// assert_eq!(config.weight_init, Distribution::Normal { mean: 0.0, std: 1.0 });
    /// ```
    #[must_use]
    pub const fn new(num_embeddings: usize, embedding_dim: usize) -> Self {
        let weight_init = Distribution::Normal { mean: 0.0, std: 1.0 };
        EmbeddingConfig { num_embeddings, embedding_dim, padding_idx: None, weight_init }
    }

    /// With a symbol that fills up short sequences.
    ///
    /// ```
    /// use ferrotape_backend::{Array, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Embedding, EmbeddingConfig, Init, Layer, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let words = Embedding::new(&init, EmbeddingConfig::new(10, 2).padding_idx(0))?;
    /// let filled = Array::from_slice(&device, &[0i64], [1])?.into();
    /// assert_eq!(words.forward(&Pass::eval(&device), &filled)?.to_vec::<f32>()?, [0.0, 0.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn padding_idx(mut self, padding_idx: usize) -> Self {
        self.padding_idx = Some(padding_idx);
        self
    }

    /// Other first values.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Distribution, Embedding, EmbeddingConfig, Init};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let config = EmbeddingConfig::new(10, 2).weight_init(Distribution::Constant(0.5));
    /// assert_eq!(Embedding::new(&init, config)?.weight.value().to_vec::<f32>()?, [0.5; 20]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn weight_init(mut self, distribution: Distribution) -> Self {
        self.weight_init = distribution;
        self
    }
}

/// A vector for each symbol: `[..]` of i64 to `[.., embedding_dim]`.
///
/// Weight `[num_embeddings, embedding_dim]`. Means what `torch.nn.Embedding` means.
///
/// ```
/// use ferrotape_backend::{Array, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Embedding, EmbeddingConfig, Init, Layer, Pass};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let words = Embedding::new(&init, EmbeddingConfig::new(100, 8))?;
/// let sentence = Array::from_slice(&device, &[4i64, 8, 15], [1, 3])?.into();
/// assert_eq!(words.forward(&Pass::eval(&device), &sentence)?.shape().dims(), [1, 3, 8]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct Embedding {
    /// `[num_embeddings, embedding_dim]`.
    pub weight: Parameter,
    #[module(skip)]
    padding_idx: Option<usize>,
    path: Path,
}

impl Embedding {
    /// A layer with a new parameter in the given scope.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Embedding, EmbeddingConfig, Init};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let wrong = EmbeddingConfig::new(10, 2).padding_idx(10);
    /// assert_eq!(
    ///     Embedding::new(&init.at("words"), wrong).unwrap_err().to_string(),
    ///     "words: padding_idx is 10, but the last of 10 symbols is 9"
    /// );
    /// ```
    ///
    /// # Errors
    /// A size of 0, or a padding symbol that there is not; out of memory.
    pub fn new(init: &Init, config: EmbeddingConfig) -> Result<Self> {
        let EmbeddingConfig { num_embeddings, embedding_dim, padding_idx, weight_init } = config;
        let refused = |why: String| Err(Error::argument(why).at(init.path().as_str()));
        if num_embeddings == 0 || embedding_dim == 0 {
            return refused(format!(
                "a table of {num_embeddings} vectors of {embedding_dim} numbers holds nothing; \
                 both must be at least 1"
            ));
        }
        let weight = init.parameter("weight", [num_embeddings, embedding_dim], weight_init)?;
        if let Some(row) = padding_idx {
            if row >= num_embeddings {
                return refused(format!(
                    "padding_idx is {row}, but the last of {num_embeddings} symbols is {}",
                    num_embeddings - 1
                ));
            }
            weight.update(|table| {
                let mut vector = table.narrow(0, row, 1)?;
                init.device().backend().fill(&mut vector, 0.0)
            })?;
        }
        Ok(Embedding { weight, padding_idx, path: init.path().clone() })
    }
}

impl Layer for Embedding {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        let padding = self.padding_idx.map(|row| row as isize);
        cx.within(self, || cx.param(&self.weight)?.embedding(x.array(), padding))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl IntoLayer for EmbeddingConfig {
    fn into_layer(self, init: &Init) -> Result<Box<dyn Layer>> {
        Ok(Box::new(Embedding::new(init, self)?))
    }
}

#[cfg(test)]
mod tests {
    use ferrotape_backend::{Array, Device, Rng, reference::Reference};

    use super::*;

    #[test]
    fn the_padding_symbol_is_zeros_and_gets_no_gradient() {
        let device = Device::new(Reference::new());
        let init = Init::new(&device, Rng::new(1)).at("words");
        let config = EmbeddingConfig::new(3, 2).padding_idx(1);
        let words = Embedding::new(&init, config).unwrap();
        let cx = Pass::train(&device, Rng::new(1));
        let x = Array::from_slice(&device, &[1i64, 2, 1], [3]).unwrap().into();
        let y = words.forward(&cx, &x).unwrap();
        assert_eq!(y.to_vec::<f32>().unwrap()[..2], [0.0, 0.0]);
        let loss = y.add_scalar(1.0).unwrap().square().unwrap().sum_all().unwrap();
        let gradients = loss.backward().unwrap();
        let gradient = gradients.of(&words.weight).unwrap().to_vec::<f32>().unwrap();
        assert_eq!(gradient[..4], [0.0; 4], "symbol 0 does not occur, symbol 1 is padding");
        assert!(gradient[4..].iter().all(|g| *g != 0.0));
    }

    #[test]
    fn a_table_of_nothing_and_padding_outside_of_it_are_errors() {
        let device = Device::new(Reference::new());
        let init = Init::new(&device, Rng::new(1)).at("words");
        let message = |config| Embedding::new(&init, config).unwrap_err().to_string();
        assert!(message(EmbeddingConfig::new(0, 2)).starts_with("words: "));
        assert!(message(EmbeddingConfig::new(3, 0)).contains("at least 1"));
        let outside = message(EmbeddingConfig::new(3, 2).padding_idx(3));
        assert!(outside.contains("the last of 3 symbols is 2"), "{outside}");
    }
}
