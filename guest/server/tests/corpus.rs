//! The fuzz targets, over the committed corpus: inputs that were chosen, or found, for what they break.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "a test reads files")]

use std::fs;
use std::path::Path;

#[path = "../fuzz/targets.rs"]
mod targets;

/// So many inputs a target must have: a corpus that is not found must not pass.
const FLOOR: usize = 12;

fn run(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in &files {
        // Shown by the harness only when the target fails.
        println!("{}", file.display());
        target(&fs::read(file).unwrap());
    }
    assert!(files.len() >= FLOOR, "{name}: only {} inputs", files.len());
}

#[test]
fn no_stream_breaks_its_reader_or_brings_rules() {
    run("stream", targets::stream);
}

#[test]
fn no_answer_allows_what_it_does_not_say() {
    run("answers", targets::answers);
}
