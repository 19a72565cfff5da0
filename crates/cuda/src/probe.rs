//! What of CUDA is on this machine: the driver and NVIDIA's libraries, which are loaded when first used.
//!
//! cudarc panics at the first call into a library that is not there, so every path into one begins here.

use std::fmt;

use cudarc::driver::CudaContext;
use ferrotape_backend::{Error, Result};

/// One of the libraries that are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryReport {
    /// What it is for.
    pub purpose: &'static str,
    /// The file name it is looked for under, first choice.
    pub file: &'static str,
    /// Its version, if it is there and says so.
    pub version: Option<String>,
    /// Whether it was found.
    pub is_present: bool,
}

/// A GPU that the driver knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuReport {
    /// Its number, for `cuda:N`.
    pub ordinal: usize,
    /// Its name.
    pub name: String,
    /// Its compute capability.
    pub capability: (i32, i32),
    /// Bytes of its memory.
    pub memory: usize,
}

/// What was found, what is missing, and where it was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CudaReport {
    /// The driver and the libraries.
    pub libraries: Vec<LibraryReport>,
    /// The GPUs, or why there are none.
    pub gpus: std::result::Result<Vec<GpuReport>, String>,
}

impl CudaReport {
    /// The names of the devices that can be opened: none without a driver or the run-time compiler.
    ///
    /// ```
    /// for name in ferrotape_cuda::probe().devices() {
    ///     assert!(name.starts_with("cuda:"));
    /// }
    /// ```
    #[must_use]
    pub fn devices(&self) -> Vec<String> {
        let is_found = |file| self.libraries.iter().any(|it| it.file == file && it.is_present);
        if !(is_found(DRIVER) && is_found(COMPILER)) {
            return Vec::new();
        }
        let gpus = self.gpus.as_deref().unwrap_or_default();
        gpus.iter().map(|gpu| format!("cuda:{}", gpu.ordinal)).collect()
    }
}

const DRIVER: &str = "libcuda.so";
const COMPILER: &str = "libnvrtc.so";

/// Where the system's loader looks: said in messages about what is missing.
const WHERE: &str =
    "LD_LIBRARY_PATH, the loader's cache (ldconfig) and the system's library folders";

pub(crate) fn has_driver() -> bool {
    // SAFETY: asks the loader for the library by name; NVIDIA's libraries may be loaded at any time.
    unsafe { cudarc::driver::sys::is_culib_present() }
}

pub(crate) fn has_compiler() -> bool {
    // SAFETY: as in `has_driver`.
    unsafe { cudarc::nvrtc::sys::is_culib_present() }
}

pub(crate) fn has_dnn() -> bool {
    // SAFETY: as in `has_driver`.
    unsafe { cudarc::cudnn::sys::is_culib_present() }
}

pub(crate) fn has_lt() -> bool {
    // SAFETY: as in `has_driver`.
    unsafe { cudarc::cublaslt::sys::is_culib_present() }
}

/// Answers with an error where there is no driver.
pub(crate) fn require_driver() -> Result<()> {
    if has_driver() {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "there is no CUDA driver here: libcuda.so was not found in {WHERE}; install NVIDIA's driver, or use \
         the device cpu"
    )))
}

/// Answers with an error where there is no run-time compiler.
pub(crate) fn require_compiler() -> Result<()> {
    if has_compiler() {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "there is no NVRTC here: libnvrtc.so of CUDA 12 or 13 was not found in {WHERE}; install the CUDA \
         toolkit or the package nvidia-cuda-nvrtc and name its folder in LD_LIBRARY_PATH"
    )))
}

fn nvrtc_version() -> Option<String> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the library is there, as the caller saw, and both are where numbers are to be written.
    let status = unsafe { cudarc::nvrtc::sys::nvrtcVersion(&mut major, &mut minor) };
    status.result().ok().map(|()| format!("{major}.{minor}"))
}

fn driver_version() -> Option<String> {
    let mut version = 0;
    // SAFETY: the library is there, as the caller saw.
    let status = unsafe { cudarc::driver::sys::cuDriverGetVersion(&mut version) };
    status.result().ok().map(|()| format!("CUDA {}.{}", version / 1000, version % 1000 / 10))
}

fn dnn_version() -> Option<String> {
    // SAFETY: the library is there, as the caller saw.
    let version = unsafe { cudarc::cudnn::sys::cudnnGetVersion() };
    Some(format!("{}.{}.{}", version / 10_000, version % 10_000 / 100, version % 100))
}

fn lt_version() -> Option<String> {
    // SAFETY: the library is there, as the caller saw.
    let version = unsafe { cudarc::cublaslt::sys::cublasLtGetVersion() };
    Some(format!("{}.{}.{}", version / 10_000, version % 10_000 / 100, version % 100))
}

fn gpus() -> std::result::Result<Vec<GpuReport>, String> {
    let count = CudaContext::device_count()
        .map_err(|error| format!("the driver found no GPU ({:?})", error.0))?;
    let gpu = |ordinal: usize| {
        let context = CudaContext::new(ordinal).ok()?;
        Some(GpuReport {
            ordinal,
            name: context.name().ok()?,
            capability: context.compute_capability().ok()?,
            memory: context.total_mem().ok()?,
        })
    };
    Ok((0..usize::try_from(count).unwrap_or(0)).filter_map(gpu).collect())
}

/// Looks for the driver, the libraries and the GPUs. Never fails: what is missing is part of the answer.
///
/// ```
/// let report = ferrotape_cuda::probe();
/// assert_eq!(report.libraries.len(), 4);
/// println!("{report}");
/// ```
#[must_use]
pub fn probe() -> CudaReport {
    let library = |purpose, file, is_present: bool, version: fn() -> Option<String>| {
        LibraryReport { purpose, file, is_present, version: is_present.then(version).flatten() }
    };
    CudaReport {
        libraries: vec![
            library("driver", DRIVER, has_driver(), driver_version),
            library("run-time compiler", COMPILER, has_compiler(), nvrtc_version),
            library("convolutions", "libcudnn.so", has_dnn(), dnn_version),
            library("matrix products", "libcublasLt.so", has_lt(), lt_version),
        ],
        gpus: match has_driver() {
            true => gpus(),
            false => Err("there is no driver to ask".to_owned()),
        },
    }
}

impl fmt::Display for CudaReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for LibraryReport { purpose, file, version, is_present } in &self.libraries {
            let found = match (is_present, version) {
                (true, Some(version)) => format!("found, version {version}"),
                (true, None) => "found".to_owned(),
                (false, _) => format!("not found in {WHERE}"),
            };
            writeln!(f, "{purpose} ({file}): {found}")?;
        }
        match &self.gpus {
            Err(why) => writeln!(f, "GPUs: none, {why}"),
            Ok(gpus) if gpus.is_empty() => writeln!(f, "GPUs: none"),
            Ok(gpus) => gpus.iter().try_for_each(|gpu| {
                let (major, minor) = gpu.capability;
                writeln!(
                    f,
                    "cuda:{}: {}, compute capability {major}.{minor}, {} MiB",
                    gpu.ordinal,
                    gpu.name,
                    gpu.memory >> 20
                )
            }),
        }
    }
}
