//! The process that starts one child a section, waits for each of its rows, and judges what it says.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::SECTIONS;
use crate::child::{ACCEPTED, BEGIN, PANICKED, REFUSED, TOOK, VARIABLE};

/// The folder to write the sentences down in, if any.
const RECORD: &str = "FERROTAPE_BAD_INPUT";

/// How long a refusal may take, as the page promises. It takes milliseconds; the rest is for a machine that is
/// busy with something else.
const PATIENCE: Duration = Duration::from_secs(10);

/// The memory that a process may have to refuse a section's rows, in bytes, as the page promises. A shell
/// holds the child's address space to it where it can.
const MEMORY: u64 = 1 << 30;

/// A row that ran.
struct Row {
    input: String,
    /// The sentence that it was refused with, or what is wrong.
    said: Result<String, String>,
    seconds: f64,
    /// The most bytes that its process had had by its end, or 0 where the system does not say.
    resident: u64,
}

impl Row {
    fn new(input: &str, said: Result<String, String>) -> Self {
        Self { input: input.to_owned(), said, seconds: 0.0, resident: 0 }
    }
}

/// Runs all sections, and panics with everything that did not go as it must.
pub(crate) fn run() {
    let (mut wrong, mut record, mut rows) = (Vec::new(), String::new(), 0);
    for (title, _) in SECTIONS {
        for Row { input, said, seconds, resident } in section(title) {
            rows += 1;
            match said {
                Ok(message) => {
                    let row = json!({
                        "section": title,
                        "input": input,
                        "message": message,
                        "seconds": seconds,
                        "resident": resident,
                    });
                    record += &format!("{row}\n");
                }
                Err(fault) => wrong.push(format!("{title}: {input}: {fault}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{} rows are not refused:\n{}", wrong.len(), wrong.join("\n"));
    if let Some(folder) = std::env::var_os(RECORD) {
        fs::write(Path::new(&folder).join("library.jsonl"), record).expect("the folder is there");
    }
    println!("{rows} bad inputs, each refused with a sentence");
}

/// The rows of a section.
fn section(title: &str) -> Vec<Row> {
    let place = tempfile::tempdir().expect("there is room for a folder");
    let mut child = start(title, place.path());
    let lines = lines(&mut child);
    let mut rows: Vec<Row> = Vec::new();
    let mut ended = Ok(());
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => hear(&line, &mut rows),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                // It may be over by now; then the status says so.
                let _ = child.kill();
                ended = Err(format!("it does not end within {PATIENCE:?}"));
                break;
            }
        }
    }
    let status = child.wait().expect("the child was started");
    if ended.is_ok() && !status.success() {
        ended = Err(format!("it ended the process: {status}"));
    }
    if let Err(fault) = ended {
        match rows.last_mut() {
            Some(last) => last.said = Err(fault),
            None => rows.push(Row::new("the section", Err(fault))),
        }
    }
    rows
}

fn hear(line: &str, rows: &mut Vec<Row>) {
    if let Some(input) = line.strip_prefix(BEGIN) {
        rows.push(Row::new(input, Err("nothing came of it".to_owned())));
    } else if let Some(message) = line.strip_prefix(REFUSED) {
        set(rows, sentence(message));
    } else if line == ACCEPTED {
        set(rows, Err("it is accepted".to_owned()));
    } else if line == PANICKED {
        set(rows, Err("it panics".to_owned()));
    } else if let Some((seconds, resident)) =
        line.strip_prefix(TOOK).and_then(|took| took.split_once(' '))
    {
        let row = last(rows);
        row.seconds = seconds.parse().expect("the child writes numbers");
        row.resident = resident.parse().expect("the child writes numbers");
        if row.resident > MEMORY {
            row.said = Err(format!("its process took {resident} bytes of memory"));
        }
    }
}

fn last(rows: &mut [Row]) -> &mut Row {
    rows.last_mut().expect("a row begins before it ends")
}

fn set(rows: &mut [Row], said: Result<String, String>) {
    last(rows).said = said;
}

/// A message is one line of some length.
fn sentence(message: &str) -> Result<String, String> {
    let is_one = !message.contains('\u{b6}') && message.split_whitespace().count() >= 4;
    if is_one { Ok(message.to_owned()) } else { Err(format!("this is no sentence: {message}")) }
}

fn lines(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = channel();
    let output = child.stdout.take().expect("the output is piped");
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// This program again, in a folder of its own and with little memory.
fn start(title: &str, place: &Path) -> Child {
    let program = std::env::current_exe().expect("a process knows its program");
    #[cfg(target_os = "linux")]
    let mut command = {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -v {} && exec \"$0\"", MEMORY / 1024)]).arg(program);
        shell
    };
    #[cfg(not(target_os = "linux"))]
    let mut command = Command::new(program);
    command.env(VARIABLE, title).current_dir(place);
    // Panics that are caught are told of by the row's name.
    command.stdout(Stdio::piped()).stderr(Stdio::inherit());
    command.spawn().expect("the program was started once already")
}
