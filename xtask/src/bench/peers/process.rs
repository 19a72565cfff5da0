//! One row in a process of its own that may not take for ever.

use std::io::{Read as _, Seek as _};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use crate::Result;
use crate::bench::line::Line;
use crate::shell::Call;

/// How often the process is asked whether it has ended: seldom, so that asking costs it nothing.
const PAUSE: Duration = Duration::from_millis(200);

/// Runs the call, and reads the line that it prints. A process that fails, prints none or is not done
/// within the limit gives a line with the reason.
///
/// With `helpers` the process has a group of its own, so that the processes it starts end with it.
/// The others stay in ours, so that an interrupt from the keyboard reaches them.
///
/// # Errors
/// The process cannot be started.
pub(super) fn line(call: &Call, folder: &Path, limit: Duration, helpers: bool) -> Result<Line> {
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let mut command = call.command(folder);
    command.stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    #[cfg(unix)]
    if helpers {
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
    }
    let mut child = command.spawn().map_err(|error| call.cannot_start(&error.to_string()))?;
    let status = wait(&mut child, limit)?;
    if status.is_none() {
        child.kill()?;
        child.wait()?;
    }
    if helpers {
        end_group(child.id());
    }
    let text = |file: &mut std::fs::File| -> Result<String> {
        let mut bytes = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(understood(&text(&mut stdout)?, &text(&mut stderr)?, status, limit))
}

fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if began.elapsed() > limit {
            return Ok(None);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Ends what is left of the group of a process that has ended; mostly there is nothing.
fn end_group(id: u32) {
    let mut kill = std::process::Command::new("kill");
    kill.args(["-KILL", "--", &format!("-{id}")]).stderr(std::process::Stdio::null());
    // Where there is no such program, there is no group either.
    let _ = kill.status();
}

fn understood(stdout: &str, stderr: &str, status: Option<ExitStatus>, limit: Duration) -> Line {
    let failed = |why: String| Line { error: Some(why), ..Line::default() };
    let Some(status) = status else {
        return failed(format!("no result within {} s", limit.as_secs()));
    };
    let last = stderr.lines().rfind(|line| !line.trim().is_empty());
    let why = || failed(last.map_or_else(|| status.to_string(), |line| line.trim().to_owned()));
    if !status.success() {
        return why();
    }
    let found = stdout.lines().find(|line| line.starts_with('{'));
    match found.map(serde_json::from_str::<Line>) {
        Some(Ok(line)) => line,
        Some(Err(error)) => failed(format!("the line of the harness was not understood: {error}")),
        None => why(),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn run(script: &str, limit: Duration, helpers: bool) -> Line {
        line(&Call::new("sh", "-c").arg(script), Path::new("."), limit, helpers).unwrap()
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn the_line_is_found_among_other_output() {
        let script = r#"echo hello; echo '{"name":"x","value":2.5,"unit":"img/s"}'; echo bye >&2"#;
        for helpers in [false, true] {
            let line = run(script, LONG, helpers);
            assert_eq!((line.name.as_str(), line.value, line.error), ("x", Some(2.5), None));
        }
    }

    #[test]
    fn a_failure_is_a_line_with_the_last_words() {
        let said = |script: &str| run(script, LONG, false).error.unwrap_or_default();
        assert_eq!(said("echo first >&2; echo last >&2; exit 3"), "last");
        assert!(said("exit 3").contains('3'));
        assert_eq!(said("echo nothing >&2"), "nothing");
        assert!(said("echo '{}'").contains("not understood"));
    }

    #[test]
    fn a_process_that_takes_too_long_is_ended() {
        let line = run("sleep 60", Duration::ZERO, true);
        assert_eq!(line.error.as_deref(), Some("no result within 0 s"));
        assert_eq!(line.value, None);
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let call = Call::new("no-such-program", "");
        assert!(line(&call, Path::new("."), LONG, false).is_err());
    }
}
