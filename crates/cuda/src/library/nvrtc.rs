//! The run-time compiler: machine code of kernel texts, by NVRTC.

use std::collections::HashMap;
use std::ffi::{CString, c_char};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use cudarc::nvrtc;
use ferrotape_backend::{Error, ErrorKind, Result};

use crate::probe;

/// Machine code of a kernel source for an architecture such as `90`. Needs no GPU.
///
/// # Errors
/// `Unsupported` where there is no run-time compiler, `Device` with the compiler's log.
pub(crate) fn compile(name: &str, source: &str, architecture: &str) -> Result<Arc<[u8]>> {
    static MADE: LazyLock<Made> = LazyLock::new(Made::default);
    probe::require_compiler()?;
    MADE.find(architecture, source, || make(name, source, architecture))
}

/// Machine code that was made in this process, by architecture and text. Each device loads it into a context of its own,
/// and does not compile again what another one compiled.
#[derive(Default)]
struct Made(Mutex<Codes>);

type Codes = HashMap<(String, String), Arc<[u8]>>;

impl Made {
    fn all(&self) -> MutexGuard<'_, Codes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(
        &self,
        architecture: &str,
        source: &str,
        make: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<Arc<[u8]>> {
        let key = (architecture.to_owned(), source.to_owned());
        if let Some(code) = self.all().get(&key) {
            return Ok(Arc::clone(code));
        }
        // Others may compile meanwhile; that two make the same is no harm.
        let code: Arc<[u8]> = make()?.into();
        self.all().insert(key, Arc::clone(&code));
        Ok(code)
    }
}

fn make(name: &str, source: &str, architecture: &str) -> Result<Vec<u8>> {
    let text = CString::new(source).map_err(|_| Error::argument("the source has a zero byte"))?;
    let name = CString::new(format!("{name}.cu"))
        .map_err(|_| Error::argument("the name has a zero byte"))?;
    let refused =
        |error: nvrtc::result::NvrtcError| Error::new(ErrorKind::Device, format!("NVRTC: {error}"));
    let program = nvrtc::result::create_program(&text, Some(&name)).map_err(refused)?;
    let options = [
        format!("--gpu-architecture=sm_{architecture}"),
        "--std=c++17".to_owned(),
        "--device-as-default-execution-space".to_owned(),
        "--extra-device-vectorization".to_owned(),
    ];
    // SAFETY: the program was just made and is destroyed below only; `text` and `name` outlive it.
    let outcome = unsafe { nvrtc::result::compile_program(program, &options) };
    let code = match outcome {
        Ok(()) => machine_code(program),
        Err(error) => Err(Error::new(
            ErrorKind::Device,
            format!("NVRTC: {error} for sm_{architecture}: {}", log(program)),
        )),
    };
    // SAFETY: the program is not used afterwards. That it cannot be destroyed changes nothing.
    let _ = unsafe { nvrtc::result::destroy_program(program) };
    code
}

fn machine_code(program: nvrtc::sys::nvrtcProgram) -> Result<Vec<u8>> {
    let refused =
        |error: nvrtc::result::NvrtcError| Error::new(ErrorKind::Device, format!("NVRTC: {error}"));
    let mut size = 0;
    // SAFETY: the program is alive, and `size` is where the size is to be written.
    unsafe { nvrtc::sys::nvrtcGetCUBINSize(program, &mut size) }.result().map_err(refused)?;
    let mut code = vec![0u8; size];
    // SAFETY: `code` has the size that was just answered.
    unsafe { nvrtc::sys::nvrtcGetCUBIN(program, code.as_mut_ptr().cast::<c_char>()) }
        .result()
        .map_err(refused)?;
    Ok(code)
}

fn log(program: nvrtc::sys::nvrtcProgram) -> String {
    // SAFETY: the program is alive.
    let log = unsafe { nvrtc::result::get_program_log(program) }.unwrap_or_default();
    let bytes: Vec<u8> = log.iter().map(|&byte| byte as u8).filter(|&byte| byte != 0).collect();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_compiled_once_for_an_architecture_whichever_device_asks() {
        let made = Made::default();
        let find = |architecture, source, code: u8| {
            made.find(architecture, source, || Ok(vec![code])).unwrap()[0]
        };
        assert_eq!([find("80", "a", 1), find("90", "a", 2), find("80", "b", 3)], [1, 2, 3]);
        assert_eq!([find("80", "a", 4), find("90", "a", 5), find("80", "b", 6)], [1, 2, 3]);
        let fails = || Err(Error::new(ErrorKind::Device, "it does not compile"));
        assert!(made.find("80", "c", fails).is_err());
        assert_eq!(find("80", "c", 7), 7, "what failed is no code");
    }
}
