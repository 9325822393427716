//! The verbs as people and scripts use them: what is printed, and how they end. The transcript of recorded sessions is
//! compared as a whole: it shows that every call of the examples is decided as it is meant. `SNAPSHOTS=overwrite` writes it anew.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::path::Path;

use serde_json::Value;
use snapbox::cmd::{Command, OutputAssert, cargo_bin};
use snapbox::file;

const CODING: &str = "../examples/rulesets/coding-agent.yaml";
const DATA: &str = "../examples/rulesets/data-agent.yaml";

fn host(arguments: &[&str]) -> Command {
    Command::new(cargo_bin!("edictum-host")).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"))
}

fn stdout(run: &OutputAssert) -> String {
    String::from_utf8(run.get_output().stdout.clone()).unwrap()
}

fn stderr(run: &OutputAssert) -> String {
    String::from_utf8(run.get_output().stderr.clone()).unwrap()
}

fn lines(run: &OutputAssert) -> Vec<Value> {
    stdout(run).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_recorded_sessions_are_the_same_transcript_each_time_and_without_colours_off_a_terminal() {
    let sessions = ["demo", "coding-agent", "data-agent", "release-agent"];
    let run = host(&sessions).assert().code(0).stdout_eq(file!["cli/demo-sessions.txt"].raw());
    assert!(!stdout(&run).contains('\u{1b}'));
}

#[test]
fn the_sessions_hold_enough_calls_and_every_rule_of_them_fires() {
    for (session, ruleset) in [("coding-agent", CODING), ("data-agent", DATA)] {
        let calls = lines(&host(&["demo", session, "--json"]).assert().code(0));
        assert!(calls.len() >= 40, "{session}");
        assert!(calls.iter().all(|call| call["policy_error"] == false), "{session}");
        let shown = stdout(&host(&["demo", session]).assert().code(0));
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(ruleset)).unwrap();
        let ids: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("  - id: ")).collect();
        assert!(ids.len() >= 15, "{session}");
        for id in ids.into_iter().filter(|id| *id != "budget") {
            assert!(shown.contains(&format!("{id} — ")), "`{id}` of {session} never fires");
        }
        assert!(shown.contains("max_calls_per_tool:"), "the budget of {session} is never used up");
    }
}

#[test]
fn each_of_many_mistakes_is_shown_with_its_place_and_a_way_out() {
    let file = "tests/cli/ten-mistakes.yaml";
    host(&["validate", file]).assert().code(1).stdout_eq(file!["cli/ten-mistakes.txt"].raw());
    let findings = lines(&host(&["validate", file, "--json"]).assert().code(1)).remove(0);
    let findings = findings["diagnostics"].as_array().unwrap().clone();
    assert!(findings.len() >= 10);
    assert!(findings.iter().all(|finding| finding["line"].as_u64().unwrap() > 0 && finding["document"] == file));
}

#[test]
fn a_weakened_rule_is_a_warning_and_a_finding_when_strict() {
    let run = host(&["validate", CODING, DATA]).assert().code(0);
    assert!(stdout(&run).ends_with("2 files can be loaded: 1 warning\n"));
    host(&["validate", "--strict", CODING, DATA]).assert().code(1);
    host(&["validate", "--strict", CODING]).assert().code(0).stdout_eq("1 file can be loaded\n");
}

#[test]
fn what_could_not_be_done_is_no_finding_and_no_block() {
    let call = r#"{"tool": "Bash", "args": {}}"#;
    let cases: &[(&[&str], &str)] = &[
        (&["validate", "nothing.yaml"], "cannot read `nothing.yaml`"),
        (&["validate"], "required arguments"),
        (&["validat"], "validate"),
        (&["check", "--rules", CODING, "--mode", "maybe", call], "possible values: enforce, observe"),
        (&["check", "--rules", CODING, "--output", "abc", call], "--output is not JSON"),
        (&["check", "--rules", CODING, "no json"], "must be a JSON object"),
        (&["check", "--rules", "tests/cli/ten-mistakes.yaml", call], "E_UNKNOWN_OPERATOR"),
        (&["run", "--rules", CODING, "--store", "memory", "nothing.jsonl"], "cannot read `nothing.jsonl`"),
        (&["templates", "nothing"], "there are: coding-assistant-base"),
        (&["demo", "--stay", "data-agent"], "--stay is for the story with the server"),
        (&["demo", "nothing"], "possible values: server, coding-agent, data-agent, release-agent"),
    ];
    for (arguments, told) in cases {
        let run = host(arguments).assert().code(2);
        assert_eq!(stdout(&run), "", "{arguments:?}");
        assert!(stderr(&run).contains(told), "{arguments:?}: {}", stderr(&run));
    }
}

#[test]
fn a_call_is_checked_from_an_argument_an_option_and_stdin_alike() {
    let call = r#"{"tool": "Bash", "args": {"command": "git push --force origin x"}}"#;
    let expected = "\
block
  no-history-rewriting — Published history stays as it is; make a new commit instead
  1 of the 10 rules that looked at it fired
";
    host(&["check", "--rules", CODING, call]).assert().code(1).stdout_eq(expected);
    host(&["check", "--rules", CODING, "--call", call]).assert().code(1).stdout_eq(expected);
    host(&["check", "--rules", CODING]).stdin(call).assert().code(1).stdout_eq(expected);
    let fine = r#"{"tool": "Bash", "args": {"command": "git status"}}"#;
    let verdict = lines(&host(&["check", "--rules", CODING, "--json", fine]).assert().code(0)).remove(0);
    assert_eq!(verdict["decision"], "allow");
}

#[test]
fn a_second_run_goes_on_with_the_sessions_of_the_first() {
    let store = tempfile::tempdir().unwrap();
    let store = store.path().to_str().unwrap();
    let run = |calls: &str| {
        let arguments = ["run", "--rules", DATA, "--store", store, "--json"];
        lines(&host(&arguments).stdin(calls).assert())
    };
    let mail = r#"{"call": {"tool": "send_email", "args": {"to": "team@example.org"}}, "result": "ok"}"#;
    let actions = |answers: &[Value]| answers.iter().map(|answer| answer["action"].clone()).collect::<Vec<_>>();
    assert_eq!(actions(&run(&format!("{mail}\n{mail}\n"))), ["allow", "allow"]);
    let answers = run(mail);
    assert_eq!(answers[0]["action"], "block");
    assert_eq!(answers[0]["decision_name"], "max_calls_per_tool:send_email");

    let export = r#"{"call": {"tool": "export_table", "args": {"table": "wards", "target": "x"}}, "call_id": "e"}"#;
    assert_eq!(actions(&run(export)), ["ask"]);
    let answers = run("{\"approve\": \"e\", \"outcome\": \"approved\"}\n{\"finish\": \"e\", \"result\": 1}\n");
    assert_eq!(answers[0]["action"], "allow");
    assert_eq!(answers[1]["success"], true);
}

#[test]
fn a_bad_line_is_told_by_its_number_and_the_next_is_read_all_the_same() {
    let calls = "no json\n\n{\"finish\": \"8\"}\n{\"tool\": \"plot\", \"args\": {}}\n";
    let run = host(&["run", "--rules", DATA, "--store", "memory", "--json"]).stdin(calls).assert().code(1);
    let answers = lines(&run);
    assert_eq!((&answers[0]["error"]["code"], &answers[0]["error"]["line"]), (&"bad-request".into(), &1.into()));
    assert_eq!((&answers[1]["error"]["code"], &answers[1]["error"]["line"]), (&"not-found".into(), &3.into()));
    assert_eq!(answers[2]["action"], "allow");
}

const SHIP: &str = "../examples/workflows/ship-a-change.yaml";

#[test]
fn a_workflow_is_drawn_for_terminals_pages_and_by_itself() {
    for (format, shown) in [
        ("text", file!["cli/workflow.txt"]),
        ("mermaid", file!["cli/workflow.mermaid"]),
        ("svg", file!["cli/workflow.svg"]),
    ] {
        host(&["workflow", "show", SHIP, "--format", format]).assert().code(0).stdout_eq(shown.raw());
    }
}

#[test]
fn a_drawn_session_is_where_its_calls_have_led_it_and_looking_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().to_str().unwrap();
    let look = ["workflow", "show", SHIP, "--store", store, "--session", "s1"];
    let missing = host(&look).assert().code(2);
    assert!(stderr(&missing).contains("there is no store"), "{}", stderr(&missing));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made by looking");

    let calls = concat!(
        r#"{"call":{"tool":"Read","args":{"path":"docs/refunds.md"}},"session_id":"s1","result":"text"}"#,
        "\n",
        r#"{"call":{"tool":"Edit","args":{"path":"src/refunds.py"}},"session_id":"s1","result":"done"}"#,
        "\n",
        r#"{"call":{"tool":"Bash","args":{"command":"git push"}},"session_id":"s1"}"#,
    );
    let run = ["run", "--rules", "tests/cli/nothing.yaml", "--workflow", SHIP, "--store", store];
    host(&run).stdin(calls).assert().code(1);
    let shown = stdout(&host(&look).assert().code(0));
    for part in ["✓ read", "▶ implement", "○ verify", "s1 is in implement", "files read    docs/refunds.md"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let seen = lines(&host(&[&look[..], &["--json"]].concat()).assert().code(0)).remove(0);
    assert_eq!(seen["state"]["active_stage"], "implement");
    assert_eq!(stdout(&host(&look).assert().code(0)), shown);
}

#[test]
fn workflows_are_validated_beside_rulesets_and_alone() {
    host(&["validate", SHIP, CODING]).assert().code(0);
    let shown = stdout(&host(&["validate", "tests/cli/broken-workflow.yaml"]).assert().code(1));
    for part in ["E_WF_UNKNOWN_STAGE", "E_WF_CONDITION", "E_UNKNOWN_FIELD", "broken-workflow.yaml:"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let shown = host(&["workflow", "show", "tests/cli/broken-workflow.yaml"]).assert().code(2);
    assert!(stderr(&shown).contains("E_WF_CONDITION"), "{}", stderr(&shown));
}
