//! The fuzz targets, over the committed corpus: inputs that were chosen, or found, for what they break.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test reads files and may look at the clock"
)]

use std::fs;
use std::path::Path;
use std::time::Instant;

#[path = "../fuzz/targets.rs"]
mod targets;

/// So many inputs a target must have: a corpus that is not found must not pass.
const FLOOR: usize = 20;

fn run(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut longest = (0, String::new());
    for file in &files {
        let input = fs::read(file).unwrap();
        let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Shown by the harness only when the target fails.
        println!("{name}/{file}");
        let since = Instant::now();
        target(&input);
        longest = longest.max((since.elapsed().as_millis(), file));
    }
    println!("{name}: {} inputs, the longest {} ms ({})", files.len(), longest.0, longest.1);
    assert!(files.len() >= FLOOR, "{name}: only {} inputs", files.len());
}

#[test]
fn no_document_breaks_loading() {
    run("documents", targets::documents);
}

#[test]
fn no_workflow_breaks_loading() {
    run("workflows", targets::workflows);
}

#[test]
fn no_call_breaks_deciding() {
    run("evaluation", targets::evaluation);
}

#[test]
fn no_command_gets_out_of_its_sandbox() {
    run("shell", targets::shell);
}

#[test]
fn no_path_gets_out_of_its_sandbox() {
    run("paths", targets::paths);
}

#[test]
fn no_url_names_another_host_than_it_shows() {
    run("urls", targets::urls);
}

#[test]
fn no_pattern_breaks_translation_or_search() {
    run("patterns", targets::patterns);
}

#[test]
fn no_call_breaks_reading_or_keeps_its_secret() {
    run("calls", targets::calls);
}
