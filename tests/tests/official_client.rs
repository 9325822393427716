//! The published Python SDK 0.19.0 against `edictum-host serve`: `Edictum.from_server()` with a named ruleset that is
//! verified, a push, approvals, shared sessions, the decision log, and a ruleset that the server assigns.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::fs;
use std::process::Command;

use edictum_tests::differential::reference;
use edictum_tests::wire::{AGENT, OPERATOR, Serve};
use serde_json::{Value, json};

#[test]
fn the_published_sdk_works_with_our_server() {
    let script = reference::workspace().join("tests/reference/server.py");
    let source = fs::read_to_string(&script).unwrap();
    let rules = source.split("\"\"\"").nth(3).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (rulesets, key) = (folder.path().join("rulesets"), folder.path().join("key"));
    fs::create_dir(&rulesets).unwrap();
    for (name, word) in [("py-rules", "first"), ("py-assigned-rules", "third")] {
        let text = rules.replacen("%s", name, 1).replace("%s", word);
        fs::write(rulesets.join(format!("{name}.yaml")), text).unwrap();
    }
    let assignments = "assignments: [{ruleset: py-assigned-rules, tags: {team: data}}]\n";
    fs::write(rulesets.join("assignments.yaml"), assignments).unwrap();
    fs::write(&key, "09".repeat(32)).unwrap();
    let paths = [rulesets.to_str().unwrap(), key.to_str().unwrap()];
    let serve = Serve::start(&folder.path().join("data"), &["--rulesets", paths[0], "--signing-key", paths[1]]);

    let url = format!("http://{}", serve.address);
    let public_key = serve.announced["public_key"].as_str().unwrap();
    let output = Command::new(reference::python().unwrap())
        .arg("-B")
        .arg(script)
        .args([url.as_str(), AGENT, OPERATOR, paths[0], public_key])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();

    for (what, expected) in [
        ("allowed", json!("ran sh")),
        ("blocked", json!("blocked: no first")),
        ("wrong_key", json!("refused")),
        ("pushed", json!(true)),
        ("after_push", json!("blocked: no second")),
        ("no_longer", json!("ran sh")),
        ("assigned", json!("blocked: no third")),
        ("assigned_push", json!(true)),
        ("assigned_after", json!("blocked: no fourth")),
        ("agents", json!(["py-agent", "py-assigned", "py-other"])),
    ] {
        assert_eq!(seen[what], expected, "{what}");
    }
    let asked = json!({ "asked": "Deploy to prod?", "args": { "to": "prod" } });
    for (answer, result) in [("approved", "ran deploy"), ("rejected", "blocked: because")] {
        assert_eq!(seen[answer][0], result);
        assert_eq!(seen[answer][1]["args"], asked["args"]);
        assert_eq!((&seen[answer][1]["asked"], &seen[answer][1]["status"]), (&asked["asked"], &json!(answer)));
    }
    // Four attempts of the first guard and one of the second; the next ones are over the limit of six, counted together.
    let limit: Vec<bool> = seen["limit"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result.as_str().unwrap().starts_with("blocked"))
        .collect();
    assert_eq!(limit, [false, true, true, true]);
    let actions = [
        "call_allowed",
        "call_executed",
        "call_blocked",
        "call_blocked",
        "call_allowed",
        "call_executed",
        "call_asked",
        "call_approval_granted",
        "call_executed",
        "call_asked",
        "call_approval_blocked",
    ];
    assert_eq!(seen["actions"], json!(actions));
}
