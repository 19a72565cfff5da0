//! The ferrotape command.

fn main() {}
