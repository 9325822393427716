//! `edictum-host demo`: the story with its server, as people read it and as programs do. Keys, ports, times and ids are
//! `[..]` in the snapshot; `SNAPSHOTS=overwrite` writes it anew.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use serde_json::Value;
use snapbox::cmd::{OutputAssert, cargo_bin};
use snapbox::file;
use tempfile::TempDir;

/// Runs it with a folder of its own for temporary files.
fn demo(arguments: &[&str], folder: &TempDir) -> OutputAssert {
    let command = snapbox::cmd::Command::new(cargo_bin!("edictum-host")).arg("demo").args(arguments);
    let run = command.env("TMPDIR", folder.path()).env_remove("EDICTUM_LOG").assert().code(0);
    assert_eq!(String::from_utf8_lossy(&run.get_output().stderr), "", "nothing to complain about");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
    run
}

fn steps() -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let run = demo(&["--json"], &folder);
    let text = String::from_utf8(run.get_output().stdout.clone()).unwrap();
    assert!(!text.contains("sk_live_"), "the key in the log stays there");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_story_is_the_same_each_time_but_for_keys_ports_and_times() {
    let folder = tempfile::tempdir().unwrap();
    let run = demo(&[], &folder).stdout_eq(file!["cli/demo.txt"]);
    assert!(!run.get_output().stdout.contains(&0x1b), "no colours off a terminal");
}

#[test]
fn what_the_story_tells_has_happened_at_the_server() {
    let steps = steps();
    let all = |name: &str| steps.iter().filter(|step| step["step"] == name).collect::<Vec<_>>();
    let one = |name: &str| all(name)[0];
    assert_eq!(one("keygen")["public_key"].as_str().unwrap().len(), 64);

    let (published, enforced) = (all("publish"), one("enforced"));
    assert!(published.iter().all(|record| record["signed"] == true));
    let revisions: Vec<_> = published.iter().map(|record| record["revision_hash"].as_str().unwrap()).collect();
    assert_eq!(one("connect")["health"]["policy_version"], revisions[0]);
    assert_eq!(
        (&enforced["before"], &enforced["health"]["policy_version"]),
        (&revisions[0].into(), &revisions[1].into())
    );

    let calls = all("call");
    let decided = |call: &Value| (call["tool"].clone(), call["action"].clone());
    assert_eq!(
        (decided(calls[4]), decided(calls[5])),
        (("Read".into(), "allow".into()), ("Read".into(), "block".into()))
    );
    assert_eq!(calls[4]["finished"]["redacted"], true);
    assert_eq!(calls[5]["decision_name"], "logs-are-off-limits");

    let (asked, answered) = (all("inbox"), all("answer"));
    assert_eq!((asked.len(), answered.len()), (2, 2), "a rule asks, and a stage does");
    for (asked, answered) in asked.iter().zip(answered) {
        assert_eq!(asked["request"]["id"], answered["id"]);
        assert_eq!((&answered["status"], &answered["decided_by"]), (&"approved".into(), &"dana".into()));
    }
    let stages: BTreeSet<_> = calls.iter().map(|call| call["stage"].as_str().unwrap()).collect();
    assert!(stages.len() >= 5, "{stages:?}");
    assert!(calls.iter().all(|call| call["policy_error"] == false));
}

#[test]
fn the_log_of_the_server_has_every_call_once_and_the_revision_that_decided_it() {
    let steps = steps();
    let log = steps.last().filter(|step| step["step"] == "log").unwrap();
    let events = log["events"].as_array().unwrap();
    let ids: BTreeSet<_> = events.iter().map(|event| event["event_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), events.len());
    for call in steps.iter().filter(|step| step["step"] == "call") {
        let of_call = |event: &&Value| event["call_id"] == call["call_id"];
        let actions: Vec<_> = events.iter().filter(of_call).filter_map(|event| event["action"].as_str()).collect();
        let expected = if call["action"] == "allow" { "call_executed" } else { "call_blocked" };
        assert_eq!(actions.iter().filter(|action| **action == expected).count(), 1, "{call}: {actions:?}");
    }
    let revisions: Vec<_> = events.iter().filter_map(|event| event["policy_version"].as_str()).collect();
    assert_eq!(revisions.iter().collect::<BTreeSet<_>>().len(), 2);
    assert!(
        revisions.is_sorted_by_key(|revision| *revision != revisions[0]),
        "the old one first, then the new one only"
    );
}

#[cfg(unix)]
#[test]
fn who_wants_to_look_at_the_page_has_it_until_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(cargo_bin!("edictum-host"))
        .args(["demo", "--stay", "--json"])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut steps = BufReader::new(child.stdout.take().unwrap()).lines();
    let stay = steps.by_ref().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let stay = stay.into_iter().find(|step| step["step"] == "stay").unwrap();
    let address = stay["url"].as_str().unwrap().strip_prefix("http://").unwrap();
    let get = |path: &str, key: &str| {
        let mut socket = TcpStream::connect(address).unwrap();
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\r\n");
        socket.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    };
    let page = get("/", "");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<html"), "{page}");
    let agents = get("/v1/agents", stay["operator_key"].as_str().unwrap());
    assert!(agents.contains("refunds-agent"), "{agents}");

    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(TcpStream::connect(address).is_err(), "the server has ended");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}
