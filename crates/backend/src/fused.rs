//! Verbs that do the work of several in one pass, or a part of another's, as what they mean: the default of the
//! trait.

use std::sync::LazyLock;

use crate::check;
use crate::pointwise::{BinaryOp, Compare, Expr, Program};
use crate::{Array, Backend, BatchNormGrads, Conv2d, DType, Epilogue, Pool2d, Result};

impl Epilogue<'_> {
    /// Does it to a result that is there: what a backend calls where its kernels have not done it.
    ///
    /// ```
    /// use ferrotape_backend::{Array, Device, Epilogue, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let mut y = Array::from_slice(&device, &[1.0f64, -3.0], [2])?;
    /// Epilogue { residual: None, relu: true }.apply(device.backend(), &mut y)?;
    /// assert_eq!(y.to_vec::<f64>()?, [1.0, 0.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Backend::pointwise`].
    pub fn apply<B: Backend + ?Sized>(self, backend: &B, y: &mut Array) -> Result<()> {
        static ADD: LazyLock<Program> =
            LazyLock::new(|| Program::new(&[Expr::previous(0) + Expr::input(0)]));
        static RELU: LazyLock<Program> = LazyLock::new(|| {
            Program::new(&[Expr::binary(BinaryOp::Max, &Expr::previous(0), &Expr::constant(0.0))])
        });
        static ADD_RELU: LazyLock<Program> = LazyLock::new(|| {
            let sum = Expr::previous(0) + Expr::input(0);
            Program::new(&[Expr::binary(BinaryOp::Max, &sum, &Expr::constant(0.0))])
        });
        match self {
            Epilogue { residual: None, relu: false } => Ok(()),
            Epilogue { residual: None, relu: true } => backend.pointwise(&RELU, &[], &[], &mut [y]),
            Epilogue { residual: Some(residual), relu } => {
                let program = if relu { &ADD_RELU } else { &ADD };
                backend.pointwise(program, &[], &[residual], &mut [y])
            }
        }
    }
}

pub(crate) fn conv2d_act<B: Backend + ?Sized>(
    backend: &B,
    [x, w]: [&Array; 2],
    bias: Option<&Array>,
    epilogue: Epilogue<'_>,
    y: &mut Array,
    params: &Conv2d,
) -> Result<()> {
    check::conv2d_act(x, w, bias, epilogue, y, params)?;
    backend.conv2d(x, w, bias, y, params)?;
    epilogue.apply(backend, y)
}

pub(crate) fn max_pool2d_values<B: Backend + ?Sized>(
    backend: &B,
    x: &Array,
    y: &mut Array,
    params: &Pool2d,
) -> Result<()> {
    check::max_pool2d_values(x, y, params)?;
    let mut index = Array::empty(y.device(), DType::I64, y.layout().like(*y.shape()))?;
    backend.max_pool2d(x, y, &mut index, params)
}

pub(crate) fn batch_norm_act<B: Backend + ?Sized>(
    backend: &B,
    x: &Array,
    stats: [&Array; 2],
    affine: Option<[&Array; 2]>,
    eps: f64,
    epilogue: Epilogue<'_>,
    y: &mut Array,
) -> Result<()> {
    check::batch_norm_act(x, stats, affine, eps, epilogue, y)?;
    backend.batch_norm(x, stats, affine, eps, y)?;
    epilogue.apply(backend, y)
}

pub(crate) fn batch_norm_act_grad<B: Backend + ?Sized>(
    backend: &B,
    [gy, x]: [&Array; 2],
    y: Option<&Array>,
    stats: [&Array; 2],
    weight: Option<&Array>,
    eps: f64,
    grads: BatchNormGrads<'_>,
) -> Result<()> {
    static PASS: LazyLock<Program> = LazyLock::new(|| {
        let (gy, y, zero) = (Expr::input(0), Expr::input(1), Expr::constant(0.0));
        Program::new(&[y.select(Compare::Le, &zero, &zero, &gy)])
    });
    check::batch_norm_act_grad(gy, x, y, stats, weight, eps, &grads)?;
    let BatchNormGrads { x: gx, weight: gw, bias: gb, residual } = grads;
    let Some(y) = y else {
        backend.batch_norm_grad(gy, x, stats, weight, eps, gx, gw, gb)?;
        return residual.map_or(Ok(()), |residual| backend.copy(gy, residual));
    };
    let mut own;
    let passed = match residual {
        Some(residual) => residual,
        None => {
            own = Array::empty(gy.device(), gy.dtype(), gy.layout().like(*gy.shape()))?;
            &mut own
        }
    };
    backend.pointwise(&PASS, &[], &[gy, y], &mut [&mut *passed])?;
    backend.batch_norm_grad(passed, x, stats, weight, eps, gx, gw, gb)
}
