//! The verbs, as people use them: what they print and how they end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test cannot have ends it"
)]

mod support;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::{DEPLOY, LS, READ, RM, RULES};

/// Exit code, stdout, stderr.
fn edictum(folder: &Path, arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_edictum-host"))
        .args(arguments)
        .current_dir(folder)
        .env("XDG_STATE_HOME", folder.join("state"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.yaml"), RULES).unwrap();
    fs::write(folder.path().join("broken.yaml"), RULES.replace("type: post", "type: past")).unwrap();
    folder
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn validate_shows_findings_with_their_place() {
    let folder = folder();
    let (code, out, _) = edictum(folder.path(), &["validate", "rules.yaml"], "");
    assert_eq!((code, out.as_str()), (0, "1 file can be loaded\n"));
    let (code, out, _) = edictum(folder.path(), &["validate", "broken.yaml"], "");
    assert_eq!(code, 1);
    assert!(out.contains("broken.yaml:17") && out.contains("E_ENUM") && out.contains("did you mean"), "{out}");
    let (code, out, _) = edictum(folder.path(), &["validate", "--json", "broken.yaml"], "");
    assert_eq!((code, &lines(&out)[0]["diagnostics"][0]["line"]), (1, &json!(17)));
    let (code, _, err) = edictum(folder.path(), &["validate", "nowhere.yaml"], "");
    assert_eq!(code, 2);
    assert!(err.starts_with("error: nowhere.yaml: "), "{err}");
    assert_eq!(edictum(folder.path(), &["validate"], "").0, 2, "no file");
}

#[test]
fn check_judges_one_call() {
    let folder = folder();
    let check = |arguments: &[&str], input: &str| {
        edictum(folder.path(), &[&["check", "--rules", "rules.yaml"], arguments].concat(), input)
    };
    let (code, out, _) = check(&[RM], "");
    assert_eq!(code, 1);
    assert!(out.starts_with("block\n  Not rm -rf /.\n"), "{out}");
    assert_eq!(check(&[LS], "").0, 0);
    let (code, out, _) = check(&["--json", "-"], RM);
    assert_eq!((code, &lines(&out)[0]["decision"]), (1, &json!("block")));
    let (code, out, _) = check(&["--output", "\"sk-abc\"", READ], "");
    assert_eq!(code, 0);
    assert!(out.starts_with("warn\n"), "{out}");
    assert_eq!(check(&["--mode", "observe", RM], "").0, 1, "the guard's mode is not the rules'");
    assert_eq!(check(&["not json"], "").0, 2);
    assert_eq!(check(&["--options", "[]", LS], "").0, 2);
}

#[test]
fn templates_are_listed_and_printed() {
    let folder = folder();
    let (code, out, _) = edictum(folder.path(), &["templates"], "");
    assert_eq!(code, 0);
    assert!(out.lines().any(|name| name == "coding-assistant-base"), "{out}");
    let (code, out, _) = edictum(folder.path(), &["templates", "file-agent"], "");
    assert_eq!(code, 0);
    fs::write(folder.path().join("template.yaml"), out).unwrap();
    assert_eq!(edictum(folder.path(), &["validate", "template.yaml"], "").0, 0);
    let (code, _, err) = edictum(folder.path(), &["templates", "../rules"], "");
    assert_eq!(code, 2);
    assert!(err.contains("there are: coding-assistant-base"), "{err}");
}

#[test]
fn run_guards_a_stream_and_the_next_run_goes_on() {
    let folder = folder();
    let run = ["run", "--json", "--rules", "rules.yaml", "--events", "events.jsonl"];
    let calls = format!(
        "{LS}\n\n{RM}\n{{\"call\":{READ},\"call_id\":\"r\",\"result\":\"sk-abc\"}}\n{{\"call\":{DEPLOY},\"call_id\":\"d\"}}\nnonsense\n"
    );
    fs::write(folder.path().join("calls.jsonl"), calls).unwrap();
    let (code, out, _) = edictum(folder.path(), &[&run[..], &["calls.jsonl"]].concat(), "");
    let answers = lines(&out);
    let actions: Vec<_> = answers.iter().map(|answer| answer["action"].clone()).collect();
    assert_eq!(actions, [json!("allow"), json!("block"), json!("allow"), json!("ask"), Value::Null], "{out}");
    assert_eq!(answers[2]["finished"]["replacement"], "[REDACTED]");
    assert_eq!(answers[3]["approval"]["message"], "Deploy?");
    assert_eq!(answers[4]["error"]["code"], "bad-request");
    assert_eq!(code, 1);

    let steps = "{\"approve\":\"d\",\"outcome\":\"approved\"}\n{\"finish\":\"d\",\"result\":1}\n";
    let (code, out, _) = edictum(folder.path(), &run, steps);
    assert_eq!((code, &lines(&out)[0]["action"], &lines(&out)[1]["success"]), (0, &json!("allow"), &json!(true)));
    let events = fs::read_to_string(folder.path().join("events.jsonl")).unwrap();
    let last = lines(&events).pop().unwrap();
    assert_eq!((&last["action"], &last["session_attempt_count"]), (&json!("call_executed"), &json!(4)));
    assert!(folder.path().join("state/edictum/edictum.sqlite").exists());

    let (code, out, _) = edictum(folder.path(), &["run", "--rules", "rules.yaml", "--store", "memory"], RM);
    assert_eq!(code, 1);
    assert!(out.starts_with("block  ") && out.ends_with("  no-rm  Not rm -rf /.\n"), "{out}");
}

#[test]
fn the_driver_ends_with_its_input() {
    let folder = folder();
    let (code, out, err) = edictum(folder.path(), &["driver"], "{\"id\":1,\"op\":\"hello\"}\nnonsense");
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(lines(&out).len(), 2);
}

#[test]
fn help_teaches_every_verb() {
    let folder = folder();
    let (code, out, _) = edictum(folder.path(), &["--help"], "");
    assert_eq!(code, 0);
    assert!(out.contains("Exit codes:"), "{out}");
    for verb in ["validate", "check", "run", "templates", "driver"] {
        let (code, out, _) = edictum(folder.path(), &[verb, "--help"], "");
        assert_eq!(code, 0);
        assert!(out.contains("Example:"), "{verb}: {out}");
    }
    assert_eq!(edictum(folder.path(), &["no-such-verb"], "").0, 2);
}
