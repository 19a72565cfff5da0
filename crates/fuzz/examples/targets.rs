//! Prints the table of targets, a line of JSON each: what `cargo xtask fuzz` goes by.

use ferrotape_fuzz::TARGETS;

fn main() {
    for target in TARGETS {
        let line = serde_json::json!({
            "name": target.name,
            "feeds": target.feeds,
            "longest": target.longest,
            "reaches": target.reaches,
        });
        println!("{line}");
    }
}
