//! What the checks found, written down for whoever wants to see it.
//!
//! If the variable [`VARIABLE`] names a folder, every check that passed appends the errors it saw to
//! a file there, as JSON, an object a line: `subject` (the source of what was checked, or the
//! operator of a [fixture](crate::fixtures)), `kind` (`law` or `fixture`), `what` (`value`,
//! `gradient`, `second`, or a memory layout), `dtype`, `device` and `error`, which is relative, as its
//! tolerance is. A later line with the same names and a larger error replaces the earlier one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use serde_json::json;

/// The name of the variable.
pub(crate) const VARIABLE: &str = "FERROTAPE_RECORD";

type Errors = BTreeMap<String, f64>;

thread_local! {
    /// What the check that this thread is in has seen.
    static SEEN: RefCell<Errors> = const { RefCell::new(Errors::new()) };
}

/// The file, and the largest error that was written under each name.
struct Book {
    file: File,
    largest: BTreeMap<String, f64>,
}

fn book() -> Option<&'static Mutex<Book>> {
    static BOOK: OnceLock<Option<Mutex<Book>>> = OnceLock::new();
    BOOK.get_or_init(|| {
        let folder = PathBuf::from(std::env::var_os(VARIABLE)?);
        let name = format!("{}.jsonl", std::process::id());
        let open = || {
            fs::create_dir_all(&folder)?;
            OpenOptions::new().create(true).append(true).open(folder.join(name))
        };
        // Whoever asked for a record must not get a shorter one.
        let file = open().unwrap_or_else(|e| panic!("{VARIABLE}={}: {e}", folder.display()));
        Some(Mutex::new(Book { file, largest: BTreeMap::new() }))
    })
    .as_ref()
}

/// Forgets what an earlier check of this thread, which may have failed, has seen.
pub(crate) fn begin() {
    SEEN.with_borrow_mut(Errors::clear);
}

/// Remembers the largest relative error under a name until the check is over.
pub(crate) fn see(what: &str, error: f64) {
    if book().is_none() {
        return;
    }
    SEEN.with_borrow_mut(|seen| match seen.get_mut(what) {
        Some(largest) => *largest = largest.max(error),
        None => drop(seen.insert(what.to_owned(), error)),
    });
}

/// Writes down what this thread has seen since [`begin`].
pub(crate) fn passed(kind: &str, subject: &str, dtype: &str, device: &str) {
    let Some(book) = book() else { return };
    let seen = SEEN.take();
    let mut book = book.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for (what, error) in seen {
        let name = format!("{kind} {subject} {what} {dtype} {device}");
        if book.largest.get(&name).is_some_and(|&largest| largest >= error) {
            continue;
        }
        book.largest.insert(name, error);
        let line = json!({ "kind": kind, "subject": subject, "what": what, "dtype": dtype,
                           "device": device, "error": error });
        writeln!(book.file, "{line}").unwrap_or_else(|e| panic!("the record is incomplete: {e}"));
    }
}
