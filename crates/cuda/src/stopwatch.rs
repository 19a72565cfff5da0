//! Time on the device's own clock.

use std::ffi::c_void;
use std::time::Duration;

use cudarc::driver::{result, sys};
use ferrotape_backend::{Error, Result};

use crate::gpu::driver;

/// An event, which it destroys.
struct Event(sys::CUevent);

impl Event {
    fn new() -> Result<Self> {
        let flags = sys::CUevent_flags::CU_EVENT_DEFAULT;
        Ok(Event(result::event::create(flags).map_err(driver("making an event"))?))
    }

    /// # Safety
    /// The stream is alive.
    unsafe fn record(&self, stream: sys::CUstream) -> Result<()> {
        // SAFETY: the event is alive, and the caller promises the stream.
        unsafe { result::event::record(self.0, stream) }.map_err(driver("recording an event"))
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event is this one's own. What the driver answers changes nothing.
        let _ = unsafe { result::event::destroy(self.0) };
    }
}

/// What drivers call the function that subtracts events. The first came with CUDA 12.8; cudarc takes that alone, and
/// panics where it is missing.
const ELAPSED: [&str; 2] = ["cuEventElapsedTime_v2", "cuEventElapsedTime"];

/// Milliseconds from one event to another.
///
/// # Safety
/// Both events are done.
unsafe fn elapsed(begin: &Event, end: &Event) -> Result<f32> {
    type Function = unsafe extern "C" fn(*mut f32, sys::CUevent, sys::CUevent) -> sys::CUresult;
    // SAFETY: whoever has events has a driver. Both functions are of this type, as the driver's header has them.
    let find = |name: &&str| unsafe { sys::culib().get::<Function>(name.as_bytes()) }.ok();
    let function = ELAPSED.iter().find_map(find);
    let function = function.ok_or_else(|| {
        Error::unsupported(format!("the driver has neither of {}", ELAPSED.join(" and ")))
    })?;
    let mut milliseconds = 0.0;
    // SAFETY: both events are alive, and the number is where the result is to be written.
    unsafe { function(&mut milliseconds, begin.0, end.0) }
        .result()
        .map_err(driver("reading the device's clock"))?;
    Ok(milliseconds)
}

/// For how long the stream is held while the host asks for what is timed.
const HELD: Duration = Duration::from_micros(300);

extern "C" fn hold(_: *mut c_void) {
    std::thread::sleep(HELD);
}

/// Milliseconds from when the stream reaches the work that `ask` asks for until it has done it. Waits for it.
///
/// # Safety
/// The stream is alive, its context current.
///
/// # Errors
/// Those of `ask`; the device failed.
pub(crate) unsafe fn milliseconds(
    stream: sys::CUstream,
    ask: impl FnOnce() -> Result<()>,
) -> Result<f32> {
    let [begin, end] = [Event::new()?, Event::new()?];
    // Small work is done sooner than the host can ask for it: unless it finds all of it waiting, what is timed is
    // the host.
    // SAFETY: the caller promises the stream; the function takes nothing and calls nothing of the driver.
    unsafe {
        sys::cuLaunchHostFunc(stream, Some(hold), std::ptr::null_mut())
            .result()
            .map_err(driver("holding the stream"))?;
        begin.record(stream)?;
    }
    ask()?;
    // SAFETY: as above.
    unsafe { end.record(stream) }?;
    // SAFETY: both events are alive and were recorded.
    unsafe {
        result::event::synchronize(end.0).map_err(driver("waiting for an event"))?;
        elapsed(&begin, &end)
    }
}
