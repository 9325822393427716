//! The verbs around a server as operators and scripts use them: what they print, and how they end.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use edictum_tests::wire::{OPERATOR, Serve, program, ruleset};
use serde_json::{Value, json};

fn run(folder: &Path, key: &str, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(program());
    command.current_dir(folder).args(arguments).env("EDICTUM_API_KEY", key).env_remove("EDICTUM_URL");
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_ruleset_is_signed_and_verified_and_a_changed_byte_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| run(folder.path(), "", arguments);
    let (code, made, _) = run(&["keygen", "-o", "key", "--json"]);
    assert_eq!(code, 0);
    let key = serde_json::from_str::<Value>(&made).unwrap()["public_key"].as_str().unwrap().to_owned();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(folder.path().join("key")).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
    }
    let (code, _, said) = run(&["keygen", "-o", "key"]);
    assert!(code == 2 && said.contains("cannot write `key`"), "{said}");

    fs::write(folder.path().join("rules.yaml"), ruleset("rules", "sh")).unwrap();
    let (code, signature, _) = run(&["sign", "rules.yaml", "--key", "key"]);
    assert_eq!((code, signature.trim().len()), (0, 88));
    fs::write(folder.path().join("rules.yaml.sig"), &signature).unwrap();
    let other = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    let verify = |more: &[&str]| run(&[&["verify", "rules.yaml"], more].concat());
    let (code, said, _) = verify(&["--public-key", other, "--public-key", &key]);
    assert_eq!((code, said.trim()), (0, format!("signed by {key}").as_str()));
    let (_, hex, _) = run(&["sign", "rules.yaml", "--key", "key", "--hex"]);
    assert_eq!(verify(&["--public-key", &key, "--signature", hex.trim()]).0, 0);
    assert_eq!(verify(&["--public-key", other]).0, 1);
    assert_eq!(verify(&["--public-key", "abc"]).0, 2);
    assert_eq!(verify(&["--public-key", &key, "--signature", "abc"]).0, 2);
    fs::write(folder.path().join("rules.yaml"), format!("{}\n", ruleset("rules", "sh"))).unwrap();
    let (code, said, _) = verify(&["--public-key", &key, "--json"]);
    assert_eq!(
        (code, serde_json::from_str::<Value>(&said).unwrap()),
        (1, json!({ "verified": false, "public_key": null }))
    );
}

#[test]
fn operators_push_answer_and_look_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let serve = Serve::start(&folder.path().join("data"), &[]);
    let url = format!("http://{}", serve.address);
    let run = |arguments: &[&str]| run(folder.path(), OPERATOR, &[arguments, &["--url", &url]].concat());

    fs::write(folder.path().join("rules.yaml"), ruleset("rules", "sh")).unwrap();
    fs::write(folder.path().join("bad.yaml"), ruleset("rules", "sh").replace("type: pre", "type: per")).unwrap();
    let (code, said, errors) = run(&["rulesets", "push", "rules.yaml"]);
    assert_eq!((code, said.as_str()), (0, "rules is version 1\n"), "{errors}");
    assert_eq!(run(&["rulesets", "push", "rules.yaml"]).1, "rules is already version 1\n");
    let (code, _, errors) = run(&["rulesets", "push", "bad.yaml"]);
    assert!(code == 1 && errors.contains("E_") && errors.contains("line"), "{code} {errors}");
    let (code, said, _) = run(&["rulesets", "list"]);
    assert!(code == 0 && said.starts_with("rules  version 1, all environments, not signed"), "{said}");
    let signed = Command::new(program()).current_dir(folder.path()).args(["keygen", "-o", "key"]).status().unwrap();
    assert!(signed.success());
    let (code, said, errors) = run(&["rulesets", "push", "rules.yaml", "--env", "staging", "--key", "key"]);
    assert_eq!((code, said.as_str()), (0, "rules is version 2\n"), "{errors}");

    assert_eq!(run(&["approvals", "list"]).1, "nothing waits for an answer\n");
    let ask = || {
        let body = json!({ "tool_name": "deploy", "message": "Deploy\u{1b}[2J?", "timeout": 60 }).to_string();
        serve.agent("POST", "/v1/approvals", &body).is(201)["id"].as_str().unwrap().to_owned()
    };
    let (yes, no) = (ask(), ask());
    let (_, said, _) = run(&["approvals", "list"]);
    assert!(said.contains(&yes) && said.contains(&no) && !said.contains('\u{1b}'), "{said}");
    assert_eq!(run(&["approvals", "approve", &yes]).1, format!("approved {yes}\n"));
    let (code, said, _) = run(&["approvals", "reject", &no, "--reason", "no", "--json"]);
    let record: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &record["status"], &record["decided_via"]), (0, &json!("rejected"), &json!("cli")));
    let (code, _, errors) = run(&["approvals", "approve", &no]);
    assert_eq!((code, errors.as_str()), (1, "it is rejected by alice already\n"));
    assert_eq!(run(&["approvals", "approve", "../../x"]).0, 1);

    let events: Vec<Value> = (0..12)
        .map(|number| json!({ "event_id": format!("e{number}"), "action": "call_allowed", "call_id": number.to_string() }))
        .collect();
    let _kept = serve.agent("POST", "/v1/events", &json!({ "events": events }).to_string()).is(202);
    let (code, said, _) = run(&["events", "tail", "-n", "3", "--no-follow", "--json"]);
    let ids: Vec<Value> =
        said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["call_id"].clone()).collect();
    assert_eq!((code, ids), (0, vec![json!("9"), json!("10"), json!("11")]));
}

#[test]
fn what_cannot_be_asked_ends_with_two_and_never_shows_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let serve = Serve::start(&folder.path().join("data"), &[]);
    let url = format!("http://{}", serve.address);
    let cases: &[(&str, &[&str], &str)] = &[
        ("", &["approvals", "list", "--url", &url], "EDICTUM_API_KEY"),
        ("wrong-secret", &["approvals", "list", "--url", &url], "refuses the key"),
        (OPERATOR, &["approvals", "list", "--url", "http://127.0.0.1:1"], "does not answer"),
        (OPERATOR, &["approvals", "list", "--url", "http://192.0.2.1"], "plain HTTP"),
        (OPERATOR, &["events", "tail", "--url", "ftp://127.0.0.1"], "not an address"),
        (OPERATOR, &["rulesets", "push", "gone.yaml", "--url", &url], "cannot read `gone.yaml`"),
        ("", &["serve", "--data", "d", "--api-key", "nocolon"], "ENV:KEY"),
        ("", &["serve", "--data", "d", "--listen", &serve.address], "cannot listen on"),
        ("", &["serve", "--data", "d", "--signing-key", "gone"], "signing key"),
    ];
    for (key, arguments, expected) in cases {
        let (code, said, errors) = run(folder.path(), key, arguments);
        assert_eq!((code, said.as_str()), (2, ""), "{arguments:?} {errors}");
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
        assert!(key.is_empty() || !errors.contains(key), "{errors}");
    }
}
