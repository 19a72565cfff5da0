//! What a process took until it ended: seconds, and its largest resident memory, which the system tells the
//! one that waits for it.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

/// The end of a process, and what it took.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) seconds: f64,
    /// The most bytes that were resident at once. Linux counts in what the process was started from, so that
    /// it may be more than the program took, and is never less.
    pub(super) resident: u64,
}

/// Waits for a process that has just been started.
///
/// # Errors
/// It did not end within `patience`; it was killed then.
pub(super) fn wait(mut child: Child, patience: Duration) -> Result<Ended, String> {
    let began = Instant::now();
    loop {
        if let Some((status, resident)) = ended(&child) {
            return Ok(Ended { status, seconds: began.elapsed().as_secs_f64(), resident });
        }
        if began.elapsed() > patience {
            child.kill().expect("it has not ended");
            child.wait().expect("it was started");
            return Err(format!("it does not end within {patience:?}"));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// The status and the largest resident memory of a child, in bytes, if it has ended.
fn ended(child: &Child) -> Option<(ExitStatus, u64)> {
    let pid = child.id().cast_signed();
    let mut status = 0;
    // SAFETY: a `rusage` is a struct of integers, for which zeros are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to values of ours that outlive the call, of the types that it writes. `Child`
    // has not waited for the process, whose id therefore cannot be that of another.
    let answer = unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG, &raw mut usage) };
    assert!(answer == 0 || answer == pid, "{}", std::io::Error::last_os_error());
    let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
    let resident = u64::try_from(usage.ru_maxrss).expect("memory is not negative") * unit;
    (answer == pid).then(|| (ExitStatus::from_raw(status), resident))
}

#[test]
fn a_process_that_does_not_end_is_killed_and_told_of() {
    let child = Command::new("sleep").arg("600").spawn().unwrap();
    let pid = child.id();
    let fault = wait(child, Duration::from_millis(20)).err();
    assert_eq!(fault.as_deref(), Some("it does not end within 20ms"));
    let alive = Command::new("kill").args(["-0", &pid.to_string()]).output().unwrap();
    assert!(!alive.status.success(), "the process is still there");
}

#[test]
fn the_memory_that_a_process_has_had_is_seen() {
    // The shell holds what its command substitution wrote.
    let text = "text=$(head -c 200000000 /dev/zero | tr '\\0' a); exit 3";
    let child = Command::new("sh").args(["-c", text]).spawn().unwrap();
    let ended = wait(child, Duration::from_secs(60)).unwrap();
    assert_eq!(ended.status.code(), Some(3));
    assert!(ended.resident > 200_000_000, "{} bytes", ended.resident);
    assert!(ended.seconds > 0.0);
}
