//! Two hosts, one store, one session: each call that one of them acknowledges is in the session's evidence, once, or it was
//! blocked and says why.

#![expect(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::Path;
use std::thread;

use edictum_tests::driver::Driver;
use edictum_tests::victim::RULES;
use serde_json::{Value, json};

const WORKFLOW: &str = r#"apiVersion: edictum/v1
kind: Workflow
metadata: {name: flow}
stages:
  - {id: work, tools: [Bash, Read], exit: [{condition: 'file_read("enough")', message: not enough}]}
  - {id: more, tools: [Bash, Edit]}
"#;

/// Calls of each host. Evidence ends at a thousand.
const CALLS: usize = 200;

fn open(folder: &Path, guard: &str) -> Driver {
    let driver = Driver::start().unwrap();
    let members = json!({
        "guard": guard, "rulesets": [{ "name": "victim", "yaml": RULES }], "workflow": WORKFLOW, "store": { "path": folder },
        "limits": { "max_attempts": 100_000, "max_tool_calls": 100_000 },
    });
    driver.ask("open", members).unwrap_or_else(|trouble| panic!("{trouble}"));
    driver
}

fn call(driver: &Driver, guard: &str, tool: &str, args: Value) -> Value {
    let call = json!({ "tool": tool, "args": args });
    driver.ask("begin", json!({ "guard": guard, "session_id": "s", "call": call })).unwrap()
}

/// Works as fast as it can; says what it was acknowledged, and how many calls were blocked with a reason.
fn work(folder: &Path, guard: &str) -> (Vec<String>, usize) {
    let driver = open(folder, guard);
    let (mut done, mut blocked) = (Vec::new(), 0);
    for number in 0..CALLS {
        let command = format!("{guard} {number}");
        let begun = call(&driver, guard, "Bash", json!({ "command": command }));
        if begun["action"] == "block" {
            assert!(begun["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{begun}");
            blocked += 1;
            continue;
        }
        let finished = driver.ask("finish", json!({ "guard": guard, "call_id": begun["call_id"], "result": "ok" }));
        let finished = finished.unwrap_or_else(|trouble| panic!("{trouble}"));
        if finished["policy_error"] == true {
            blocked += 1;
        } else {
            done.push(command);
        }
        // Half-way each of them moves the session about, too.
        if number == CALLS / 2 {
            let read = call(&driver, guard, "Read", json!({ "path": "enough" }));
            if read["action"] == "allow" {
                driver.ask("finish", json!({ "guard": guard, "call_id": read["call_id"], "result": "ok" })).unwrap();
                call(&driver, guard, "Edit", json!({ "path": "x" }));
            }
        }
    }
    (done, blocked)
}

#[test]
fn two_hosts_on_one_session_lose_no_update_silently() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // The file is there before they race for it.
    let look = open(path, "look");
    let sides: Vec<(Vec<String>, usize)> = thread::scope(|scope| {
        let sides = ["one", "two"].map(|guard| scope.spawn(move || work(path, guard)));
        sides.into_iter().map(|side| side.join().unwrap()).collect()
    });
    let state = look.ask("workflow", json!({ "guard": "look", "session_id": "s", "do": "state" })).unwrap();
    let stages = state["evidence"]["stage_calls"].as_object().unwrap();
    let recorded: Vec<&str> =
        stages.values().flat_map(|calls| calls.as_array().unwrap()).filter_map(Value::as_str).collect();
    let mut acknowledged = 0;
    for (done, _) in &sides {
        acknowledged += done.len();
        for command in done {
            let times = recorded.iter().filter(|each| *each == command).count();
            assert_eq!(times, 1, "`{command}` was acknowledged, and is there {times} times");
        }
    }
    let blocked: usize = sides.iter().map(|(_, blocked)| blocked).sum();
    println!("{acknowledged} calls acknowledged and recorded, {blocked} blocked");
    assert_eq!(acknowledged, recorded.len(), "what is recorded was acknowledged");
    assert_eq!(acknowledged + blocked, 2 * CALLS);
    assert!(acknowledged >= CALLS, "most calls run: {acknowledged}");
    assert_eq!(state["active_stage"], "more");
}
