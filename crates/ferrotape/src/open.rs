//! Devices by name.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use ferrotape_backend::{Device, Error, Result};
use ferrotape_cpu::{Cpu, CpuOptions};

/// How a device is to be opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct DeviceOptions {
    /// Threads that the CPU computes on; one a core if absent. Changes no result.
    pub threads: Option<usize>,
    /// Whether a GPU may take only algorithms that give the same bits every time. The CPU always does.
    pub deterministic: bool,
    /// Whether a GPU may round f32 operands of products to TF32, which has 11 bits of precision.
    pub tf32: bool,
}

/// Opens devices by name. Implemented for [`Device`].
pub trait OpenDevice: Sized {
    /// The device of this name; the same name gives the same device.
    ///
    /// ```
    /// use ferrotape::prelude::*;
    ///
    /// assert_eq!(Device::open("cpu")?, Device::open("cpu")?);
    /// assert!(Device::open("abacus").is_err());
    /// # Ok::<(), ferrotape::Error>(())
    /// ```
    ///
    /// # Errors
    /// No such device, or it cannot be used here.
    fn open(name: &str) -> Result<Self> {
        Self::open_with(name, DeviceOptions::default())
    }

    /// The device of this name with these options; the same of both give the same device.
    ///
    /// # Errors
    /// No such device, or it cannot be used here.
    fn open_with(name: &str, options: DeviceOptions) -> Result<Self>;
}

/// The names that [`OpenDevice::open`] knows. A GPU's is `cuda:` and its number; `cuda` is the first.
pub fn device_names() -> &'static [&'static str] {
    match (cfg!(feature = "cuda"), cfg!(feature = "cuda-on-host")) {
        (false, _) => &["cpu"],
        (true, false) => &["cpu", "cuda:0"],
        (true, true) => &["cpu", "cuda:0", "cuda-on-host"],
    }
}

type Registry = Mutex<HashMap<(String, DeviceOptions), Device>>;

impl OpenDevice for Device {
    fn open_with(name: &str, options: DeviceOptions) -> Result<Device> {
        static OPEN: OnceLock<Registry> = OnceLock::new();
        let mut open =
            OPEN.get_or_init(Registry::default).lock().unwrap_or_else(PoisonError::into_inner);
        let name = if name == "cuda" { "cuda:0" } else { name };
        let key = (name.to_owned(), options);
        if let Some(device) = open.get(&key) {
            return Ok(device.clone());
        }
        let device = match name {
            "cpu" => Device::new(Cpu::new(CpuOptions {
                threads: options.threads,
                ..CpuOptions::default()
            })?),
            #[cfg(feature = "cuda-on-host")]
            "cuda-on-host" => {
                Device::new(ferrotape_cuda::emulated(cuda_options(0, options), 8 << 30)?)
            }
            _ => open_gpu(name, options)?,
        };
        open.insert(key, device.clone());
        Ok(device)
    }
}

/// The GPU of a name such as `cuda:0`.
#[cfg(feature = "cuda")]
fn open_gpu(name: &str, options: DeviceOptions) -> Result<Device> {
    let number = name.strip_prefix("cuda:").ok_or_else(|| unknown(name))?;
    let ordinal = number.parse().map_err(|_| {
        Error::argument(format!(
            "'{name}' names no GPU: a number is wanted after 'cuda:', counted from 0"
        ))
    })?;
    Ok(Device::new(ferrotape_cuda::Cuda::new(cuda_options(ordinal, options))?))
}

#[cfg(feature = "cuda")]
fn cuda_options(ordinal: usize, options: DeviceOptions) -> ferrotape_cuda::CudaOptions {
    let DeviceOptions { deterministic, tf32, .. } = options;
    ferrotape_cuda::CudaOptions { ordinal, deterministic, tf32, ..Default::default() }
}

#[cfg(not(feature = "cuda"))]
fn open_gpu(name: &str, _: DeviceOptions) -> Result<Device> {
    if name.starts_with("cuda:") {
        return Err(Error::unsupported(format!(
            "this build has no CUDA, so '{name}' cannot be opened; build it with the feature 'cuda'"
        )));
    }
    Err(unknown(name))
}

fn unknown(name: &str) -> Error {
    Error::argument(format!(
        "there is no device '{name}'; this build has {}",
        device_names().join(", ")
    ))
}
