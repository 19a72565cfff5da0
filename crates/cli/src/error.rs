//! Any error of the libraries below, as one sentence for the terminal.

use std::fmt;
use std::io;

/// What ends a command: its text is one sentence that says what was wrong and what to do.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A sentence of our own.
    Said(String),
    /// Standard output could not be written.
    Output(io::Error),
    /// The user asked for the end.
    Stopped(String),
    /// An error of a library.
    Library(Box<dyn std::error::Error + Send + Sync>),
}

/// The exit code of a command that was stopped, as shells have it for Ctrl-C.
pub(crate) const STOPPED: i32 = 130;

/// The result of a command.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// Whether the reader of our output went away, which is not our failure.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Failure::Output(e) if e.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Said(text) | Failure::Stopped(text) => f.write_str(text),
            Failure::Output(cause) => {
                write!(f, "cannot write to the standard output: {cause}")
            }
            Failure::Library(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}

macro_rules! library {
    ($($type:ty),*) => {$(
        impl From<$type> for Failure {
            fn from(error: $type) -> Self {
                Failure::Library(Box::new(error))
            }
        }
    )*};
}

library!(ferrotape::Error, ferrotape::train::Error, ferrotape::data::Error);
