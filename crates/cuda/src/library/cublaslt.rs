//! Matrix products by cuBLASLt.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::cublaslt::sys;
use cudarc::driver::sys::CUstream;
use ferrotape_backend::{DType, Error, ErrorKind, Result};

use super::Rules;
use crate::queue::{Call, mix};

/// Bytes that a product may use beside its operands: what NVIDIA advises for Hopper.
pub(crate) const WORKSPACE: usize = 32 << 20;

/// A matrix, or a batch of them, in device memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Matrix {
    /// The address of its first element.
    pub(crate) address: u64,
    /// Elements from one row, column and matrix to the next.
    pub(crate) strides: [i64; 3],
}

/// `c = a b`, or `c += a b`, for each matrix of a batch; `a` is `[M, K]`, `b` is `[K, N]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Product {
    pub(crate) dtype: DType,
    pub(crate) result: DType,
    pub(crate) batch: usize,
    /// M, K, N.
    pub(crate) sizes: [usize; 3],
    pub(crate) a: Matrix,
    pub(crate) b: Matrix,
    pub(crate) c: Matrix,
    pub(crate) accumulate: bool,
}

/// How a matrix lies: whether its rows are adjacent elements, and the distance from one to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Lie {
    row_major: bool,
    leading: i64,
    batch: i64,
}

impl Matrix {
    /// How it lies, if the library can take it so: one stride is 1, the other no shorter than a line.
    fn lie(&self, rows: usize, columns: usize) -> Option<Lie> {
        let [row, column, batch] = self.strides;
        let (rows, columns) = (rows as i64, columns as i64);
        // A dimension of size 1 is never gone along, so its stride may be what suits.
        let row_major = column == 1 || columns == 1;
        let (leading, line, lines) =
            if row_major { (row, columns, rows) } else { (column, rows, columns) };
        let adjacent = row_major || row == 1 || rows == 1;
        let leading = if lines == 1 { leading.max(line) } else { leading };
        (adjacent && leading >= line.max(1) && batch >= 0).then_some(Lie {
            row_major,
            leading,
            batch,
        })
    }
}

/// What a product's algorithm depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Shape {
    dtype: DType,
    result: DType,
    batch: usize,
    sizes: [usize; 3],
    lies: [Lie; 3],
    /// The largest power of two up to 16 that all addresses are multiples of.
    alignment: u64,
}

/// A product made ready: descriptors and the algorithm that was chosen.
struct Plan {
    operation: sys::cublasLtMatmulDesc_t,
    /// In the library's order: ours reversed, because its matrices go by columns.
    layouts: [sys::cublasLtMatrixLayout_t; 3],
    algorithm: sys::cublasLtMatmulAlgo_t,
    double: bool,
}

// SAFETY: descriptors are read alone once they are made, which the library allows from any thread.
unsafe impl Send for Plan {}
// SAFETY: as above.
unsafe impl Sync for Plan {}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: the descriptors are this plan's own. What the library answers changes nothing.
        unsafe {
            sys::cublasLtMatmulDescDestroy(self.operation);
            for layout in self.layouts {
                sys::cublasLtMatrixLayoutDestroy(layout);
            }
        }
    }
}

/// The library, for one stream.
pub(crate) struct Lt(Arc<Inner>);

struct Inner {
    handle: sys::cublasLtHandle_t,
    stream: CUstream,
    rules: Rules,
    /// None where the library has no algorithm.
    plans: Mutex<HashMap<Shape, Option<Arc<Plan>>>>,
}

// SAFETY: the library's functions may be called with one handle from any thread.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: the handle is this one's own. What the library answers changes nothing.
        let _ = unsafe { sys::cublasLtDestroy(self.handle) };
    }
}

fn failed(what: &str) -> impl FnOnce(cudarc::cublaslt::result::CublasError) -> Error + '_ {
    move |error| Error::new(ErrorKind::Device, format!("{what}: cuBLASLt says {:?}", error.0))
}

fn data_type(dtype: DType) -> Option<sys::cudaDataType_t> {
    match dtype {
        DType::F32 => Some(sys::cudaDataType_t::CUDA_R_32F),
        DType::F64 => Some(sys::cudaDataType_t::CUDA_R_64F),
        DType::BF16 => Some(sys::cudaDataType_t::CUDA_R_16BF),
        DType::F16 => Some(sys::cudaDataType_t::CUDA_R_16F),
        DType::I64 | DType::U8 => None,
    }
}

impl Lt {
    /// The library; its work goes to this stream.
    ///
    /// # Errors
    /// The library cannot be used.
    pub(crate) fn open(stream: CUstream, rules: Rules) -> Result<Self> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: the library is there, as the caller saw; `handle` is where it is to be written.
        unsafe { sys::cublasLtCreate(&mut handle) }.result().map_err(failed("opening"))?;
        Ok(Lt(Arc::new(Inner { handle, stream, rules, plans: Mutex::default() })))
    }

    /// The product as work for the stream, with so much memory at `workspace` as [`WORKSPACE`]; none if the
    /// library does not take operands that lie so.
    ///
    /// # Errors
    /// The library failed.
    pub(crate) fn product(
        &self,
        product: &Product,
        workspace: u64,
    ) -> Result<Option<Arc<dyn Call>>> {
        let Some(shape) = Shape::of(product) else { return Ok(None) };
        let mut plans = self.0.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = match plans.get(&shape) {
            Some(plan) => plan.clone(),
            None => {
                let plan = self.0.plan(&shape)?.map(Arc::new);
                plans.insert(shape, plan.clone());
                plan
            }
        };
        let Some(plan) = plan else { return Ok(None) };
        let Product { a, b, c, accumulate, .. } = *product;
        let identity = [
            mix(1, &[Arc::as_ptr(&plan) as u64]),
            a.address,
            b.address,
            c.address,
            u64::from(accumulate),
            workspace,
        ];
        Ok(Some(Arc::new(Multiply { lt: Arc::clone(&self.0), plan, identity })))
    }
}

impl Shape {
    fn of(product: &Product) -> Option<Self> {
        let Product { dtype, result, batch, sizes, a, b, c, .. } = *product;
        let [m, k, n] = sizes;
        // Sums of nothing are left to the kernels.
        if m * k * n * batch == 0 || i32::try_from(m.max(k).max(n)).is_err() {
            return None;
        }
        let lies = [a.lie(m, k)?, b.lie(k, n)?, c.lie(m, n)?];
        if !lies[2].row_major || data_type(dtype).is_none() {
            return None;
        }
        let addresses = a.address | b.address | c.address | 16;
        Some(Shape {
            dtype,
            result,
            batch,
            sizes,
            lies,
            alignment: addresses & addresses.wrapping_neg(),
        })
    }
}

impl Inner {
    fn plan(&self, shape: &Shape) -> Result<Option<Plan>> {
        use sys::cublasLtMatmulDescAttributes_t as Desc;
        use sys::cublasLtMatmulPreferenceAttributes_t as Pref;
        let (Some(from), Some(to)) = (data_type(shape.dtype), data_type(shape.result)) else {
            return Ok(None);
        };
        let double = shape.dtype == DType::F64;
        let (compute, scale) = match double {
            true => (sys::cublasComputeType_t::CUBLAS_COMPUTE_64F, sys::cudaDataType_t::CUDA_R_64F),
            false if self.rules.tf32 && shape.dtype == DType::F32 => (
                sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
                sys::cudaDataType_t::CUDA_R_32F,
            ),
            false => {
                (sys::cublasComputeType_t::CUBLAS_COMPUTE_32F, sys::cudaDataType_t::CUDA_R_32F)
            }
        };
        let [m, k, n] = shape.sizes;
        let [a, b, c] = shape.lies;
        let mut plan = Plan {
            operation: std::ptr::null_mut(),
            layouts: [std::ptr::null_mut(); 3],
            algorithm: sys::cublasLtMatmulAlgo_t { data: [0; 8] },
            double,
        };
        // The library's matrices go by columns. What goes by rows is to it the transpose, and the product of
        // the transposes in the other order is the transpose of the product.
        let operands = [(b, [k, n], from), (a, [m, k], from), (c, [m, n], to)];
        // SAFETY: each pointer is where a handle is to be written, or the address of a number of the size
        // that is given with it; the handles are made before they are used. `plan` destroys what was made,
        // where the library takes null for nothing.
        unsafe {
            sys::cublasLtMatmulDescCreate(&mut plan.operation, compute, scale)
                .result()
                .map_err(failed("describing a product"))?;
            for (layout, (lie, [rows, columns], dtype)) in plan.layouts.iter_mut().zip(operands) {
                let [rows, columns] = if lie.row_major { [columns, rows] } else { [rows, columns] };
                sys::cublasLtMatrixLayoutCreate(
                    layout,
                    dtype,
                    rows as u64,
                    columns as u64,
                    lie.leading,
                )
                .result()
                .map_err(failed("describing a matrix"))?;
                let (count, step) = (shape.batch as i32, lie.batch);
                let batch =
                    sys::cublasLtMatrixLayoutAttribute_t::CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT;
                set_layout(*layout, batch, &count)?;
                let offset =
                    sys::cublasLtMatrixLayoutAttribute_t::CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET;
                set_layout(*layout, offset, &step)?;
            }
            let turned = |lie: Lie| i32::from(!lie.row_major);
            for (attribute, turn) in [
                (Desc::CUBLASLT_MATMUL_DESC_TRANSA, turned(b)),
                (Desc::CUBLASLT_MATMUL_DESC_TRANSB, turned(a)),
            ] {
                sys::cublasLtMatmulDescSetAttribute(
                    plan.operation,
                    attribute,
                    std::ptr::from_ref(&turn).cast(),
                    size_of::<i32>(),
                )
                .result()
                .map_err(failed("describing a product"))?;
            }
            let mut preference = Preference(std::ptr::null_mut());
            sys::cublasLtMatmulPreferenceCreate(&mut preference.0)
                .result()
                .map_err(failed("choosing an algorithm"))?;
            let bytes = WORKSPACE as u64;
            preference.set(Pref::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes)?;
            // Partial sums are joined in f32 or f64 in their order; not by atomics, and not in 16 bits.
            let schemes = 2u32;
            preference.set(Pref::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes)?;
            let alignment = shape.alignment as u32;
            for attribute in [
                Pref::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                Pref::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                Pref::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                Pref::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
            ] {
                preference.set(attribute, &alignment)?;
            }
            let mut found: sys::cublasLtMatmulHeuristicResult_t = std::mem::zeroed();
            let mut count = 0;
            let [left, right, result] = plan.layouts;
            let status = sys::cublasLtMatmulAlgoGetHeuristic(
                self.handle,
                plan.operation,
                left,
                right,
                result,
                result,
                preference.0,
                1,
                &mut found,
                &mut count,
            );
            if status == sys::cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED || count == 0 {
                return Ok(None);
            }
            status.result().map_err(failed("choosing an algorithm"))?;
            plan.algorithm = found.algo;
        }
        Ok(Some(plan))
    }
}

/// # Safety
/// The layout is alive, and the attribute is of the value's type.
unsafe fn set_layout<T>(
    layout: sys::cublasLtMatrixLayout_t,
    attribute: sys::cublasLtMatrixLayoutAttribute_t,
    value: &T,
) -> Result<()> {
    let address = std::ptr::from_ref(value).cast::<c_void>();
    // SAFETY: the caller promises layout and type; the library copies the value.
    unsafe { sys::cublasLtMatrixLayoutSetAttribute(layout, attribute, address, size_of::<T>()) }
        .result()
        .map_err(failed("describing a matrix"))
}

struct Preference(sys::cublasLtMatmulPreference_t);

impl Preference {
    /// # Safety
    /// The preference is alive, and the attribute is of the value's type.
    unsafe fn set<T>(
        &self,
        attribute: sys::cublasLtMatmulPreferenceAttributes_t,
        value: &T,
    ) -> Result<()> {
        let address = std::ptr::from_ref(value).cast::<c_void>();
        // SAFETY: the caller promises preference and type; the library copies the value.
        unsafe {
            sys::cublasLtMatmulPreferenceSetAttribute(self.0, attribute, address, size_of::<T>())
        }
        .result()
        .map_err(failed("choosing an algorithm"))
    }
}

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: the preference is this one's own. What the library answers changes nothing.
        let _ = unsafe { sys::cublasLtMatmulPreferenceDestroy(self.0) };
    }
}

/// A product on its operands.
struct Multiply {
    lt: Arc<Inner>,
    plan: Arc<Plan>,
    /// The plan, the addresses of a, b and c, whether to add, and the workspace.
    identity: [u64; 6],
}

impl std::fmt::Debug for Multiply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Multiply").field(&self.identity).finish()
    }
}

impl Call for Multiply {
    fn name(&self) -> &'static str {
        "cuBLASLt product"
    }

    fn identity(&self) -> &[u64] {
        &self.identity
    }

    fn run(&self) -> Result<()> {
        let [_, a, b, c, accumulate, workspace] = self.identity;
        let (one, beta) = (1.0f64, accumulate as f64);
        let (one_single, beta_single) = (1.0f32, accumulate as f32);
        let scalars: [*const c_void; 2] = match self.plan.double {
            true => [std::ptr::from_ref(&one).cast(), std::ptr::from_ref(&beta).cast()],
            false => {
                [std::ptr::from_ref(&one_single).cast(), std::ptr::from_ref(&beta_single).cast()]
            }
        };
        let [left, right, result] = self.plan.layouts;
        // SAFETY: handle, descriptors and stream are alive; the addresses are those of operands that lie as
        // the descriptors say, as `Shape::of` took them from the same product; scalars are of the type that
        // the description names and are read before the call returns.
        unsafe {
            sys::cublasLtMatmul(
                self.lt.handle,
                self.plan.operation,
                scalars[0],
                b as *const c_void,
                left,
                a as *const c_void,
                right,
                scalars[1],
                c as *const c_void,
                result,
                c as *mut c_void,
                result,
                &self.plan.algorithm,
                workspace as *mut c_void,
                WORKSPACE,
                self.lt.stream.cast(),
            )
        }
        .result()
        .map_err(failed("multiplying"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_adjacent_elements_are_taken_whichever_way_they_go() {
        let lie = |strides, rows, columns| Matrix { address: 0, strides }.lie(rows, columns);
        let row_major = lie([5, 1, 30], 6, 5).unwrap();
        assert_eq!(row_major, Lie { row_major: true, leading: 5, batch: 30 });
        let column_major = lie([1, 6, 30], 6, 5).unwrap();
        assert_eq!(column_major, Lie { row_major: false, leading: 6, batch: 30 });
        // Rows that overlap, steps of two, reversed rows and reversed batches are not.
        for strides in [[4, 1, 30], [10, 2, 30], [-5, 1, 30], [5, 1, -30]] {
            assert_eq!(lie(strides, 6, 5), None, "{strides:?}");
        }
        // A column and a row may be read either way.
        assert!(lie([7, 0, 0], 6, 1).is_some() && lie([0, 1, 0], 1, 5).is_some());
    }
}
