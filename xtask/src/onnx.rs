//! `cargo xtask onnx`: every network of the zoo through onnxruntime, and the table of docs/onnx.md.

use std::fs;

use crate::Result;
use crate::metadata::Metadata;
use crate::shell::Call;

const PAGE: &str = "docs/onnx.md";

/// What stands before and after the table.
const BEGIN: &str = "<!-- the table of `cargo xtask onnx` -->";
const END: &str = "<!-- its end -->";

/// Exports each network, lets onnxruntime compute, and writes what came out into the page.
///
/// # Errors
/// A network computes something else there; onnx or onnxruntime is missing; the page has no place for the table.
pub(crate) fn run() -> Result<()> {
    let root = Metadata::read()?.workspace_root;
    let page = fs::read_to_string(root.join(PAGE))?;
    let place = page.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let Some((before, after)) = place else {
        return Err(format!("{PAGE} has no lines `{BEGIN}` and `{END}` for the table").into());
    };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("table.md");
    let test = "test --quiet --locked --release -p ferrotape-onnx --test interchange -- --exact --nocapture";
    Call::cargo(test)
        .arg("every_network_of_the_zoo_computes_the_same_logits")
        .variable("FERROTAPE_NO_SKIP", "1")
        .variable("FERROTAPE_ONNX_TABLE", file.to_string_lossy())
        .run(&root)?;
    let table = fs::read_to_string(&file)?;
    fs::write(root.join(PAGE), format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))?;
    println!("onnx: {PAGE} is written");
    Ok(())
}
