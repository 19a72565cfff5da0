//! Everything wrong that the command can be given, one row each: it is refused with a sentence, within
//! 1 GiB of memory and without an end that never comes.
//!
//! With the variable `FERROTAPE_BAD_INPUT` the sentences are written down, which is where the table of
//! `docs/reliability.md` comes from (`cargo xtask bad-input`).

mod files;
mod flags;

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{names, place};

/// One wrong call.
struct Row {
    /// What is wrong with it.
    what: &'static str,
    /// The arguments, separated by spaces.
    call: String,
    /// Makes the files that the call names, beside the folder `bars` of good digits.
    prepare: fn(&Path),
}

/// A call that needs no file.
fn row(what: &'static str, call: &str) -> Row {
    with(what, call, |_| ())
}

/// A call on files that are made for it.
fn with(what: &'static str, call: &str, prepare: fn(&Path)) -> Row {
    Row { what, call: call.to_owned(), prepare }
}

/// How long a call may take before it counts as one that never ends. It takes a part of a second; the rest
/// is for a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(30);

/// The address space of the command, in KiB as the shell takes it.
const MEMORY: usize = 1 << 20;

#[test]
fn every_bad_input_is_refused_with_a_sentence() {
    let sections = [
        ("Flags", flags::rows()),
        ("Data", files::data()),
        ("Pictures", files::pictures()),
        ("Files of weights", files::weights()),
        ("Runs and configurations", files::runs()),
    ];
    let (mut wrong, mut record) = (Vec::new(), String::new());
    for (section, rows) in sections {
        for row in rows {
            match refusal(&row) {
                Ok(message) => {
                    let input = format!("{} (`{}`)", row.what, row.call);
                    let line = json!({ "section": section, "input": input, "message": message });
                    record += &format!("{line}\n");
                }
                Err(fault) => wrong.push(format!("{} ({}): {fault}", row.what, row.call)),
            }
        }
    }
    assert!(wrong.is_empty(), "{} calls are not refused:\n{}", wrong.len(), wrong.join("\n"));
    if let Some(folder) = std::env::var_os("FERROTAPE_BAD_INPUT") {
        fs::write(Path::new(&folder).join("command.jsonl"), record).unwrap();
    }
}

/// The sentence that a call is refused with, or what is wrong with how it ends.
fn refusal(row: &Row) -> Result<String, String> {
    let place = place();
    (row.prepare)(place.path());
    let before = names(place.path());
    let output = tempfile::tempdir().unwrap();
    let file = |name: &str| File::create(output.path().join(name)).unwrap();
    let mut child = command(row.call.split(' '))
        .current_dir(place.path())
        .stdout(file("stdout"))
        .stderr(file("stderr"))
        .spawn()
        .unwrap();
    let began = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if began.elapsed() > PATIENCE => {
                child.kill().unwrap();
                child.wait().unwrap();
                return Err("it does not end".to_owned());
            }
            None => thread::sleep(Duration::from_millis(2)),
        }
    };
    let said = fs::read_to_string(output.path().join("stderr")).unwrap();
    if !matches!(status.code(), Some(1 | 2)) || said.contains("panicked") {
        return Err(format!("it ended with {status} and said {said}"));
    }
    let left = names(place.path());
    if let Some(more) = left.iter().find(|name| !before.contains(name) && *name != "run") {
        return Err(format!("it left {more} behind"));
    }
    match said.split("error: ").collect::<Vec<_>>()[..] {
        // Usage is told in paragraphs, of which the first is what is wrong.
        [_, error] => {
            let paragraph = error.lines().take_while(|line| !line.is_empty()).map(str::trim);
            Ok(paragraph.collect::<Vec<_>>().join(" "))
        }
        _ => Err(format!("this is not one sentence: {said}")),
    }
}

/// The command with little memory, where a shell can see to that.
fn command<'a>(arguments: impl Iterator<Item = &'a str>) -> Command {
    let program = env!("CARGO_BIN_EXE_ferrotape");
    let mut command = if cfg!(target_os = "linux") {
        let mut shell = Command::new("sh");
        let limit = format!("ulimit -v {MEMORY} && exec \"$0\" \"$@\"");
        shell.args(["-c", &limit, program]);
        shell
    } else {
        Command::new(program)
    };
    command.args(arguments);
    command
}
