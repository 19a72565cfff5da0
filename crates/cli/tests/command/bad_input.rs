//! Everything wrong that the command can be given, one row each: it is refused with a sentence, within
//! 10 seconds and 1 GiB of memory.
//!
//! With the variable `FERROTAPE_BAD_INPUT` the sentences are written down with what each took, which is where
//! the table of `docs/reliability.md` comes from (`cargo xtask bad-input`).

mod cost;
mod files;
mod flags;

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::support::{names, place};
use cost::Ended;

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

/// How long a refusal may take, as the page promises. It takes a part of a second; the rest is for a machine
/// that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(10);

/// The memory that a refusal may take, in bytes, as the page promises. A shell holds the command's address
/// space to it where it can, so that a refusal does not rest on memory that the machine happens to have.
const MEMORY: u64 = 1 << 30;

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
                Ok(refusal) => {
                    let line = json!({
                        "section": section,
                        "input": format!("{} (`{}`)", row.what, row.call),
                        "message": refusal.message,
                        "seconds": refusal.seconds,
                        "resident": refusal.resident,
                    });
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

/// How a call was refused.
struct Refusal {
    message: String,
    seconds: f64,
    /// The most bytes that were resident at once.
    resident: u64,
}

/// The refusal of a call, or what is wrong with how it ends.
fn refusal(row: &Row) -> Result<Refusal, String> {
    let place = place();
    (row.prepare)(place.path());
    let before = names(place.path());
    let output = tempfile::tempdir().unwrap();
    let file = |name: &str| File::create(output.path().join(name)).unwrap();
    let child = command(row.call.split(' '))
        .current_dir(place.path())
        .stdout(file("stdout"))
        .stderr(file("stderr"))
        .spawn()
        .unwrap();
    let Ended { status, seconds, resident } = cost::wait(child, PATIENCE)?;
    if resident > MEMORY {
        return Err(format!("it took {resident} bytes of memory"));
    }
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
            let message = paragraph.collect::<Vec<_>>().join(" ");
            Ok(Refusal { message, seconds, resident })
        }
        _ => Err(format!("this is not one sentence: {said}")),
    }
}

/// The command with little memory, where a shell can see to that.
fn command<'a>(arguments: impl Iterator<Item = &'a str>) -> Command {
    let program = env!("CARGO_BIN_EXE_ferrotape");
    let mut command = if cfg!(target_os = "linux") {
        let mut shell = Command::new("sh");
        let limit = format!("ulimit -v {} && exec \"$0\" \"$@\"", MEMORY / 1024);
        shell.args(["-c", &limit, program]);
        shell
    } else {
        Command::new(program)
    };
    command.args(arguments);
    command
}
