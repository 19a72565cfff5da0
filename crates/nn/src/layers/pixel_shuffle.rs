//! Channels to pixels and back.

use ferrotape_autograd::Tensor;
use ferrotape_backend::Result;

use crate::{Init, Layer, Module, Pass, Path};

macro_rules! shuffle {
    ($(#[$doc:meta])* $name:ident, $(#[$maker_doc:meta])* $method:ident) => {
        $(#[$doc])*
        #[derive(Debug, Module)]
        pub struct $name {
            #[module(skip)]
            factor: usize,
            path: Path,
        }

        $(#[$maker_doc])*
        pub fn $method(factor: usize) -> impl FnOnce(&Init) -> Result<$name> {
            move |init| $name::new(init, factor)
        }

        impl $name {
            /// A layer of this path. A factor that does not fit its input is an error of `forward`.
            ///
            /// # Errors
            /// None; it is a constructor as the others are.
            pub fn new(init: &Init, factor: usize) -> Result<Self> {
                Ok($name { factor, path: init.path().clone() })
            }
        }

        impl Layer for $name {
            fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
                cx.within(self, || x.$method(self.factor))
            }

            fn path(&self) -> &Path {
                &self.path
            }
        }
    };
}

shuffle!(
    /// Each block of `factor` by `factor` pixels from one pixel's channels (Shi et al., 2016):
    /// `[.., C r r, H, W]` to `[.., C, H r, W r]`. Means what `torch.nn.PixelShuffle` means.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, Pass, PixelShuffle};
    ///
    /// let device = Device::new(Reference::new());
    /// let shuffle = PixelShuffle::new(&Init::new(&device, Rng::new(1)), 2)?;
    /// let x = Array::zeros(&device, DType::F32, [1, 12, 4, 5])?.into();
    /// let y = shuffle.forward(&Pass::eval(&device), &x)?;
    /// assert_eq!(y.shape().dims(), [1, 3, 8, 10]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    PixelShuffle,
    /// A [`PixelShuffle`] for [`Sequential::add`](crate::Sequential::add), which knows the scope.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Sequential, pixel_shuffle};
    ///
    /// let device = Device::new(Reference::new());
    /// let model = Sequential::new(&Init::new(&device, Rng::new(1))).add(pixel_shuffle(2))?;
    /// assert_eq!(model.len(), 1);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pixel_shuffle
);

shuffle!(
    /// One pixel's channels from each block of `factor` by `factor` pixels:
    /// `[.., C, H r, W r]` to `[.., C r r, H, W]`. Means what `torch.nn.PixelUnshuffle` means.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, Pass, PixelUnshuffle};
    ///
    /// let device = Device::new(Reference::new());
    /// let unshuffle = PixelUnshuffle::new(&Init::new(&device, Rng::new(1)), 2)?;
    /// let x = Array::zeros(&device, DType::F32, [1, 3, 8, 10])?.into();
    /// let y = unshuffle.forward(&Pass::eval(&device), &x)?;
    /// assert_eq!(y.shape().dims(), [1, 12, 4, 5]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    PixelUnshuffle,
    /// A [`PixelUnshuffle`] for [`Sequential::add`](crate::Sequential::add), which knows the scope.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Sequential, pixel_unshuffle};
    ///
    /// let device = Device::new(Reference::new());
    /// let model = Sequential::new(&Init::new(&device, Rng::new(1))).add(pixel_unshuffle(2))?;
    /// assert_eq!(model.len(), 1);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pixel_unshuffle
);
