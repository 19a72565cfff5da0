//! What of CUDA is on this machine: the driver and NVIDIA's libraries, which are loaded when first used.
//!
//! cudarc panics at the first call into a library that is not there, so every path into one begins here.

use std::fmt;

use cudarc::driver::CudaContext;
use ferrotape_backend::{Error, Result};

use crate::fit::{self, Version};

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
    /// Why it cannot be used although it was found.
    pub problem: Option<String>,
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
    /// Why it cannot be used.
    pub problem: Option<String>,
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
    /// The names of the devices that can be opened: none without a driver and a run-time compiler that fit each other.
    ///
    /// ```
    /// for name in ferrotape_cuda::probe().devices() {
    ///     assert!(name.starts_with("cuda:"));
    /// }
    /// ```
    #[must_use]
    pub fn devices(&self) -> Vec<String> {
        let is_usable = |it: &LibraryReport| it.is_present && it.problem.is_none();
        let has = |file| self.libraries.iter().any(|it| it.file == file && is_usable(it));
        if !(has(DRIVER) && has(COMPILER)) {
            return Vec::new();
        }
        let gpus = self.gpus.as_deref().unwrap_or_default().iter();
        gpus.filter(|gpu| gpu.problem.is_none())
            .map(|gpu| format!("cuda:{}", gpu.ordinal))
            .collect()
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

/// Answers with an error where driver or compiler are too old or do not fit each other.
pub(crate) fn require_fit() -> Result<()> {
    let driver = driver_version();
    let problem = driver.and_then(fit::driver);
    let problem = problem.or_else(|| fit::compiler(compiler_version()?, driver));
    problem.map_or(Ok(()), |problem| Err(Error::unsupported(problem)))
}

/// Answers with an error where a GPU is too old, or too new for the compiler.
pub(crate) fn require_gpu(capability: (i32, i32)) -> Result<()> {
    gpu_problem(capability).map_or(Ok(()), |problem| Err(Error::unsupported(problem)))
}

fn compiler_version() -> Option<Version> {
    if !has_compiler() {
        return None;
    }
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the library is there, and both are where numbers are to be written.
    let status = unsafe { cudarc::nvrtc::sys::nvrtcVersion(&mut major, &mut minor) };
    status.result().ok().map(|()| (major, minor))
}

/// What the compiler compiles for, such as 90; empty if it does not say.
fn architectures() -> Vec<i32> {
    use cudarc::nvrtc::sys::{nvrtcGetNumSupportedArchs, nvrtcGetSupportedArchs};
    let mut count = 0;
    // SAFETY: the library is there and of a version that has both functions, as the caller saw; `count` is where a
    // number is to be written.
    let counted = unsafe { nvrtcGetNumSupportedArchs(&mut count) };
    let mut all = vec![0; usize::try_from(count).unwrap_or(0)];
    // SAFETY: as above, with room for as many numbers as there are.
    let listed = unsafe { nvrtcGetSupportedArchs(all.as_mut_ptr()) };
    if counted.result().is_err() || listed.result().is_err() {
        all.clear();
    }
    all
}

fn gpu_problem(capability: (i32, i32)) -> Option<String> {
    // One that is too old may lack the functions, and is a problem of its own.
    let compiler = compiler_version().filter(|&version| fit::compiler(version, None).is_none());
    let known = compiler.map(|_| architectures()).unwrap_or_default();
    fit::gpu(capability, compiler.map(|version| (version, &known[..])))
}

fn driver_version() -> Option<Version> {
    if !has_driver() {
        return None;
    }
    let mut version = 0;
    // SAFETY: the library is there, and `version` is where a number is to be written.
    let status = unsafe { cudarc::driver::sys::cuDriverGetVersion(&mut version) };
    status.result().ok().map(|()| (version / 1000, version % 1000 / 10))
}

/// The number that cuDNN has for its version.
pub(crate) fn dnn_version() -> Option<usize> {
    // SAFETY: the library is there.
    has_dnn().then(|| unsafe { cudarc::cudnn::sys::cudnnGetVersion() })
}

fn lt_version() -> Option<String> {
    if !has_lt() {
        return None;
    }
    // SAFETY: the library is there.
    let version = unsafe { cudarc::cublaslt::sys::cublasLtGetVersion() };
    Some(format!("{}.{}.{}", version / 10_000, version % 10_000 / 100, version % 100))
}

fn gpus() -> std::result::Result<Vec<GpuReport>, String> {
    let count = CudaContext::device_count()
        .map_err(|error| format!("the driver found no GPU ({:?})", error.0))?;
    let gpu = |ordinal: usize| {
        let context = CudaContext::new(ordinal).ok()?;
        let capability = context.compute_capability().ok()?;
        Some(GpuReport {
            ordinal,
            name: context.name().ok()?,
            capability,
            memory: context.total_mem().ok()?,
            problem: gpu_problem(capability),
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
    let library = |purpose, file, is_present, version, problem| LibraryReport {
        purpose,
        file,
        is_present,
        version,
        problem,
    };
    let written = |(major, minor): Version| format!("{major}.{minor}");
    let (driver, compiler, dnn) = (driver_version(), compiler_version(), dnn_version());
    CudaReport {
        libraries: vec![
            library(
                "driver",
                DRIVER,
                has_driver(),
                driver.map(|version| format!("CUDA {}", written(version))),
                driver.and_then(fit::driver),
            ),
            library(
                "run-time compiler",
                COMPILER,
                has_compiler(),
                compiler.map(written),
                compiler.and_then(|version| fit::compiler(version, driver)),
            ),
            library(
                "convolutions",
                "libcudnn.so",
                has_dnn(),
                dnn.map(fit::dnn_version),
                dnn.and_then(fit::dnn),
            ),
            library("matrix products", "libcublasLt.so", has_lt(), lt_version(), None),
        ],
        gpus: match has_driver() {
            true => gpus(),
            false => Err("there is no driver to ask".to_owned()),
        },
    }
}

impl fmt::Display for CudaReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unusable = |problem: &Option<String>| match problem {
            Some(problem) => format!(", which cannot be used: {problem}"),
            None => String::new(),
        };
        for LibraryReport { purpose, file, version, is_present, problem } in &self.libraries {
            let found = match (is_present, version) {
                (true, Some(version)) => format!("found, version {version}"),
                (true, None) => "found".to_owned(),
                (false, _) => format!("not found in {WHERE}"),
            };
            writeln!(f, "{purpose} ({file}): {found}{}", unusable(problem))?;
        }
        match &self.gpus {
            Err(why) => writeln!(f, "GPUs: none, {why}"),
            Ok(gpus) if gpus.is_empty() => writeln!(f, "GPUs: none"),
            Ok(gpus) => gpus.iter().try_for_each(|gpu| {
                let (major, minor) = gpu.capability;
                writeln!(
                    f,
                    "cuda:{}: {}, compute capability {major}.{minor}, {} MiB{}",
                    gpu.ordinal,
                    gpu.name,
                    gpu.memory >> 20,
                    unusable(&gpu.problem)
                )
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with a GPU, whose compiler, convolutions and GPU have these problems.
    fn report(compiler: Option<&str>, dnn: Option<&str>, gpu: Option<&str>) -> CudaReport {
        let library = |file, problem: Option<&str>| LibraryReport {
            purpose: "a test",
            file,
            version: Some("8.9.7".to_owned()),
            is_present: true,
            problem: problem.map(str::to_owned),
        };
        let gpu = GpuReport {
            ordinal: 0,
            name: "one".to_owned(),
            capability: (9, 0),
            memory: 1 << 30,
            problem: gpu.map(str::to_owned),
        };
        let libraries =
            vec![library(DRIVER, None), library(COMPILER, compiler), library("libcudnn.so", dnn)];
        CudaReport { libraries, gpus: Ok(vec![gpu]) }
    }

    #[test]
    fn a_compiler_lists_what_it_compiles_for() {
        let Some(version) = compiler_version() else {
            return println!("skipped: there is no NVRTC here");
        };
        assert_eq!(fit::compiler(version, None), None);
        let known = architectures();
        assert!(known.contains(&80) && known.contains(&90), "{version:?} {known:?}");
        assert_eq!(gpu_problem((9, 0)), None);
        assert!(gpu_problem((99, 0)).is_some_and(|text| text.contains("99.0")));
    }

    #[test]
    fn what_cannot_be_used_is_said_and_is_no_device() {
        let usable = report(None, None, None);
        assert_eq!(usable.devices(), ["cuda:0"]);
        assert!(!usable.to_string().contains("cannot"), "{usable}");
        let without_dnn = report(None, Some("it is too old"), None);
        assert_eq!(without_dnn.devices(), ["cuda:0"], "our kernels do its work");
        for unusable in
            [report(Some("it is too new"), None, None), report(None, None, Some("it is too old"))]
        {
            assert!(unusable.devices().is_empty(), "{unusable}");
            assert!(unusable.to_string().contains(", which cannot be used: it is too"));
        }
        assert!(without_dnn.to_string().contains("8.9.7, which cannot be used: it is too old"));
    }
}
