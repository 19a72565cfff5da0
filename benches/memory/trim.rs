//! The C library's allocator, asked to return what it keeps.

/// Returns the freed memory of the C library's allocator to the operating system, where that
/// allocator can (`man 3 malloc_trim`).
pub(super) fn return_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: `malloc_trim` takes any number, touches only memory that the allocator holds as
        // free, and locks the allocator against other threads.
        unsafe { libc::malloc_trim(0) };
    }
}
