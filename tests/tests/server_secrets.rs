//! Ten thousand secrets in arguments, results, reasons and principals of server-backed guards: none of them is in the
//! outbox, in a request of the decision log, in a request for approval, or in what the host writes to its own log.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use std::fs;
use std::time::Duration;

use edictum_tests::driver::{Driver, Pending};
use edictum_tests::proxy::Proxy;
use edictum_tests::wire::{AGENT, Serve, replace};
use serde_json::json;

const SECRETS: usize = 10_000;

const RULES: &str = "apiVersion: edictum/v1
kind: Ruleset
metadata: {name: rules}
defaults: {mode: enforce}
rules:
  - {id: said, type: pre, tool: block, when: {args.note: {exists: true}}, then: {action: block, message: 'not {args.note}'}}
  - {id: ask, type: pre, tool: ask, when: {args.note: {exists: true}}, then: {action: ask, message: 'may I {args.note}?', timeout: 600}}
";

/// Each has a marker that nothing else has.
fn secret(number: usize) -> (String, String) {
    let marker = format!("{:010x}{:010x}", number * 7919 + 1, number * 104_729 + 3);
    let secret = match number % 5 {
        0 => format!("sk-proj-{marker}{marker}"),
        1 => format!("ghp_{marker}{}", &marker[..16]),
        2 => format!("AKIA{}", marker[..16].to_uppercase()),
        3 => format!("eyJhbGciOiJIUzI1NiJ9.eyJ{marker}.{marker}{marker}"),
        _ => format!("hunter2{marker}"),
    };
    let marker = if number % 5 == 2 { marker[..16].to_uppercase() } else { marker[..16].to_owned() };
    (secret, marker)
}

#[test]
fn ten_thousand_secrets_are_nowhere_where_others_look() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("rulesets")).unwrap();
    replace(&path("rulesets/rules.yaml"), RULES);
    let serve = Serve::start(&path("data"), &["--rulesets", path("rulesets").to_str().unwrap()]);
    let proxy = Proxy::recording(&serve.address);
    let driver = Driver::start().unwrap().with_patience(Duration::from_secs(120));
    for (guard, log) in [("sent", "server"), ("kept", "server")] {
        let fields = json!({
            "guard": guard, "agent_id": guard, "url": format!("http://{}", proxy.address), "api_key": AGENT,
            "bundle_name": "rules", "store": {"path": path(guard)}, "decision_log": log,
        });
        driver.ask("open_server", fields).unwrap();
    }
    // What `kept` says stays in its outbox.
    proxy.hang("POST /v1/events");

    let begin = |number: usize| {
        let (secret, _) = secret(number);
        let tool = ["run", "block", "run", "run"][number % 4];
        // What has no form that gives it away has a name that does.
        let (note, password) = if number % 5 == 4 { ("x", secret.as_str()) } else { (secret.as_str(), "x") };
        json!({
            "guard": "kept", "session_id": format!("s{}", number / 50), "call_id": format!("c{number}"), "parallel": true,
            "call": {
                "tool": tool,
                "args": {"note": note, "deep": [{"password": password, "text": format!("with {note} in it")}]},
                "principal": {"user_id": "u", "claims": {"api_key": secret, "note": note}},
            },
        })
    };
    let begun: Vec<Pending> = (0..SECRETS).map(|number| driver.send("begin", begin(number))).collect();
    let mut finished = Vec::new();
    for (number, pending) in begun.iter().enumerate() {
        let decision = driver.wait(pending).unwrap().result().unwrap();
        if decision["action"] == "allow" {
            let (secret, _) = secret(number);
            let result =
                if number % 5 == 4 { json!({"token": secret}) } else { json!({"log": format!("it was {secret}")}) };
            let fields = json!({"guard": "kept", "call_id": format!("c{number}"), "result": result, "parallel": true});
            finished.push(driver.send("finish", fields));
        }
    }
    for pending in &finished {
        driver.wait(pending).unwrap().result().unwrap();
    }
    // Some of them are shown to people; few, for a server takes so many requests for approval a minute and no more.
    for number in (0..50).filter(|number| number % 5 != 4) {
        let mut fields = begin(number);
        fields["call"]["tool"] = "ask".into();
        fields["call_id"] = format!("a{number}").into();
        fields["guard"] = "sent".into();
        let decision = driver.ask("begin", fields).unwrap();
        assert_eq!(decision["action"], "ask", "{decision}");
    }
    until_asked(&serve, 40);

    let outbox = files(&path("kept")).into_iter().filter(|(name, _)| name.starts_with("outbox"));
    let outbox: Vec<u8> = outbox.flat_map(|(_, bytes)| bytes).collect();
    assert!(outbox.len() > SECRETS * 100, "the events are in it: {} bytes", outbox.len());
    proxy.heal();
    let left = driver.ask("flush", json!({"guard": "kept", "timeout_ms": 100_000})).unwrap();
    assert_eq!(left["unsent_events"], 0);
    let sent = proxy.recorded();
    assert!(sent.len() > SECRETS * 100, "the events were sent: {} bytes", sent.len());
    let said = driver.stderr().into_bytes();
    for (place, bytes) in [("the outbox", &outbox), ("what was sent", &sent), ("our own log", &said)] {
        let text = String::from_utf8_lossy(bytes);
        for number in 0..SECRETS {
            let (_, marker) = secret(number);
            assert!(!text.contains(&marker), "{place} has secret {number}");
        }
    }
}

fn until_asked(serve: &Serve, count: usize) {
    let start = std::time::Instant::now();
    while serve.operator("GET", "/v1/approvals?status=pending&limit=1000", "").is(200)["approvals"]
        .as_array()
        .unwrap()
        .len()
        < count
    {
        assert!(start.elapsed() < Duration::from_secs(60), "people are asked");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn files(folder: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap())).collect()
}
