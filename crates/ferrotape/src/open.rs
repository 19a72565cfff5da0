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

/// The names that [`OpenDevice::open`] knows.
pub fn device_names() -> &'static [&'static str] {
    &["cpu"]
}

type Registry = Mutex<HashMap<(String, DeviceOptions), Device>>;

impl OpenDevice for Device {
    fn open_with(name: &str, options: DeviceOptions) -> Result<Device> {
        static OPEN: OnceLock<Registry> = OnceLock::new();
        let mut open =
            OPEN.get_or_init(Registry::default).lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name.to_owned(), options);
        if let Some(device) = open.get(&key) {
            return Ok(device.clone());
        }
        if name != "cpu" {
            return Err(Error::argument(format!(
                "there is no device '{name}'; this build has {}",
                device_names().join(", ")
            )));
        }
        let device = Device::new(Cpu::new(CpuOptions {
            threads: options.threads,
            ..CpuOptions::default()
        })?);
        open.insert(key, device.clone());
        Ok(device)
    }
}
