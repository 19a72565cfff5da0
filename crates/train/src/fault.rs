//! Dying on purpose: `cargo xtask torture` kills runs in the middle of writing a file.
//!
//! Every write of a file passes some points. A process with `FERROTAPE_DIE_AT=N` in its environment ends at
//! the N-th of them, counted from 1, as abruptly as if it had been killed: nothing is flushed, nothing
//! is cleaned up.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable that names the point.
const VARIABLE: &str = "FERROTAPE_DIE_AT";

/// One of the moments at which a process may die.
pub(crate) fn point() {
    static AT: OnceLock<Option<u64>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let at = AT.get_or_init(|| std::env::var(VARIABLE).ok()?.parse().ok());
    if let Some(at) = at
        && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *at
    {
        std::process::abort();
    }
}
