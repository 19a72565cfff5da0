//! Words beside the output: on the standard error, as far as it can be written.

/// As `eprintln!`, except that a standard error that cannot be written, such as a log on a full disk, stops
/// nothing: there is nobody to tell. Characters that steer a terminal are written out.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!($crate::shown::Shown(std::io::stderr()), $($text)*);
    }};
}

pub(crate) use say;
