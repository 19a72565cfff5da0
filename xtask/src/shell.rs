//! Running other programs: a command that can be printed so that a reader can repeat it.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::Result;

/// A program, its arguments and the variables it is given on top of the environment.
///
/// Its `Display` is a line for a shell that does the same.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    program: String,
    args: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Call {
    /// A call of `program` with arguments separated by spaces.
    pub(crate) fn new(program: &str, args: &str) -> Self {
        let args = args.split_whitespace().map(str::to_owned).collect();
        Self { program: program.to_owned(), args, variables: Vec::new() }
    }

    /// A call of cargo with arguments separated by spaces.
    pub(crate) fn cargo(args: &str) -> Self {
        Self::new("cargo", args)
    }

    /// Adds one argument, which may hold spaces.
    pub(crate) fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets a variable of the environment.
    pub(crate) fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Runs the call in `folder` with its output on ours.
    ///
    /// # Errors
    /// The program cannot be started, or it fails; the message has the line that repeats it.
    pub(crate) fn run(&self, folder: &Path) -> Result<()> {
        let status =
            self.command(folder).status().map_err(|error| self.cannot_start(&error.to_string()))?;
        self.check(status)
    }

    /// Runs the call in `folder` with its output on our standard error, so that ours stays readable.
    ///
    /// # Errors
    /// As for [`Call::run`].
    pub(crate) fn run_beside(&self, folder: &Path) -> Result<()> {
        let mut command = self.command(folder);
        let status = command.stdout(std::io::stderr()).status();
        self.check(status.map_err(|error| self.cannot_start(&error.to_string()))?)
    }

    /// Runs the call in `folder` and returns what it wrote to its standard output.
    ///
    /// # Errors
    /// As for [`Call::run`], and when the output is not UTF-8.
    pub(crate) fn read(&self, folder: &Path) -> Result<String> {
        let output = self
            .command(folder)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| self.cannot_start(&error.to_string()))?;
        self.check(output.status)?;
        Ok(String::from_utf8(output.stdout)
            .map_err(|_| format!("`{self}` wrote something that is not UTF-8."))?)
    }

    /// The process that the call means, not yet started.
    pub(crate) fn command(&self, folder: &Path) -> Command {
        // The cargo that runs us is the one whose toolchain was chosen, so it is asked first.
        let program = match std::env::var_os("CARGO") {
            Some(cargo) if self.program == "cargo" => cargo,
            _ => OsString::from(&self.program),
        };
        let mut command = Command::new(program);
        command.args(&self.args).current_dir(folder);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// What to say when the program cannot be started.
    pub(crate) fn cannot_start(&self, error: &str) -> String {
        format!("`{}` could not be started ({error}); is it installed?", self.program)
    }

    fn check(&self, status: ExitStatus) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        Err(format!("a command failed with {status}. Repeat it with\n    {self}").into())
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.variables {
            write!(f, "{name}={} ", quoted(value))?;
        }
        f.write_str(&self.program)?;
        for arg in &self.args {
            write!(f, " {}", quoted(arg))?;
        }
        Ok(())
    }
}

/// A call of another toolchain's cargo.
///
/// # Errors
/// There is no rustup, or it has no such toolchain.
pub(crate) fn rustup(folder: &Path, toolchain: &str, args: &str) -> Result<Call> {
    let call = |args: &str| Call::new("rustup", &format!("run {toolchain} {args}"));
    call("rustc --version").read(folder).map_err(|error| {
        format!("{error}\nThis needs a nightly compiler: rustup toolchain install {toolchain}")
    })?;
    Ok(call(&format!("cargo {args}")))
}

/// The kind of machine that the compiler is for, as `x86_64-unknown-linux-gnu`.
///
/// # Errors
/// The compiler does not say.
pub(crate) fn host(folder: &Path) -> Result<String> {
    let text = Call::new("rustc", "-vV").read(folder)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.map(str::to_owned).ok_or("`rustc -vV` names no host")?)
}

/// The argument as a POSIX shell reads it back.
fn quoted(arg: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=/.,:+@%".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) {
        return arg.to_owned();
    }
    format!("'{}'", arg.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_prints_as_a_line_that_repeats_it() {
        let call = Call::cargo("doc --no-deps").arg("a b").variable("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(call.to_string(), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps 'a b'");
    }

    #[test]
    fn a_quote_inside_an_argument_survives_the_shell() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[cfg(unix)]
    #[test]
    fn a_failing_command_names_the_line_that_repeats_it() {
        let call = Call::new("sh", "-c").arg("exit 3");
        for error in [call.run(Path::new(".")).unwrap_err(), call.read(Path::new(".")).unwrap_err()]
        {
            let error = error.to_string();
            assert!(error.contains("3. Repeat it with\n    sh -c 'exit 3'"), "{error}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = Call::new("no-such-program", "").run(Path::new(".")).unwrap_err().to_string();
        assert!(error.contains("`no-such-program` could not be started"), "{error}");
    }
}
