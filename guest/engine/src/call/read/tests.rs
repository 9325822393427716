//! Tables of calls and what is read of them.

use super::*;
use crate::call::{Output, Subject};

fn read(text: &str, purpose: Purpose, check: impl FnOnce(Result<Call<'_>, Refused<'_>>)) {
    let tape = read_text(text).unwrap();
    check(Call::read(&tape, &ToolRegistry::default(), purpose));
}

fn refused(text: &str, purpose: Purpose) -> (&'static str, bool) {
    let tape = read_text(text).unwrap();
    let refused = Call::read(&tape, &ToolRegistry::default(), purpose).unwrap_err();
    (refused.invalid.name, refused.rules_may_explain)
}

/// `members` of a call that is whole otherwise.
fn call(members: &str) -> String {
    let mut text = String::from("{");
    for (key, default) in [("tool", "\"T\""), ("session_id", "\"s\""), ("call_id", "\"c\"")] {
        if !members.contains(&format!("\"{key}\":")) {
            text += &format!("\"{key}\":{default},");
        }
    }
    if members.is_empty() {
        text.pop();
    }
    text + members + "}"
}

#[test]
fn every_member_arrives() {
    let text = r#"{"tool":"Read","args":{"path":"/a","n":1.0},"session_id":"s.1","call_id":"c","agent_id":"a",
        "environment":"","parent_session_id":"p","parent_call_id":"q","tool_use_id":"u","call_index":7,"unknown":[],
        "metadata":{"k":1},"principal":{"role":"r","claims":{"a":[1]},"more":{}},"static_principal":{"role":"s"}}"#;
    read(text, Purpose::Execute, |result| {
        let call = result.unwrap();
        assert_eq!((call.tool, call.args.text()), ("Read", r#"{"path":"/a","n":1.0}"#));
        assert_eq!((call.session_id, call.call_id, call.agent_id), ("s.1", "c", "a"));
        assert_eq!(call.environment, Some(""));
        assert_eq!((call.parent_session_id, call.parent_call_id), (Some("p"), Some("q")));
        assert_eq!((call.tool_use_id, call.call_index), (Some("u"), 7));
        assert_eq!(call.metadata.unwrap().text(), r#"{"k":1}"#);
        let Principal::Explicit(Some(principal)) = call.principal else { panic!("explicit") };
        assert_eq!(principal.get("role").and_then(Value::as_str), Some("r"));
        assert_eq!((call.bash_command, call.file_path), ("", Some("/a")));
        assert_eq!(call.side_effect, SideEffect::Irreversible);
    });
}

#[test]
fn absent_members_have_defaults() {
    read(&call(""), Purpose::Execute, |result| {
        let call = result.unwrap();
        assert!(call.args.is_empty() && call.metadata.is_none() && call.environment.is_none());
        assert_eq!((call.agent_id, call.call_index), ("default", 0));
        assert!(matches!(call.principal, Principal::Static(None)));
    });
    for nulls in ["\"environment\":null", "\"metadata\":null", "\"call_index\":null", "\"agent_id\":\"\""] {
        read(&call(nulls), Purpose::Execute, |result| assert!(result.is_ok(), "{nulls}"));
    }
}

#[test]
fn a_name_that_could_be_another_ones_is_refused() {
    let long = format!("\"tool\":\"{}\"", "é".repeat(MAX_NAME + 1));
    for (members, explained) in [
        (r#""tool":"""#, false),
        (r#""tool":null"#, false),
        (r#""tool":5"#, false),
        (r#""tool":"a\u0000b""#, false),
        (r#""tool":"a\n""#, false),
        (r#""tool":"a\u007f""#, false),
        (r#""tool":"a\u0085""#, false),
        (r#""tool":"a\u2028""#, false),
        (r#""tool":"a\u2029""#, false),
        (r#""tool":"a/\u0001""#, false),
        (long.as_str(), false),
        (r#""tool":"a/b""#, true),
        (r#""tool":"..\\Bash""#, true),
        (r#""tool":"a/b","args":[]"#, false),
    ] {
        assert_eq!(refused(&call(members), Purpose::Execute), ("invalid_tool_name", explained), "{members}");
        assert_eq!(refused(&call(members), Purpose::DryRun), ("invalid_tool_name", explained), "{members}");
    }
    let longest = format!("\"tool\":\"{}\"", "é".repeat(MAX_NAME));
    for name in [r#""tool":"a b:*\u200b""#, r#""tool":"Βash""#, longest.as_str()] {
        read(&call(name), Purpose::Execute, |result| assert!(result.is_ok(), "{name}"));
    }
}

#[test]
fn an_id_that_could_reach_another_session_is_refused() {
    for id in [r#""""#, "null", "5", r#""a:tool""#, r#""a/b""#, r#""a\\b""#, r#""a\n""#, r#""\u007f""#] {
        let text = call(&format!("\"session_id\":{id}"));
        assert_eq!(refused(&text, Purpose::Execute).0, "invalid_session_id", "{id}");
    }
    assert!(check_session_id(&"x".repeat(MAX_NAME)).is_ok());
    assert!(check_session_id(&"x".repeat(MAX_NAME + 1)).is_err());
    assert!(check_session_id("..").is_ok());
    assert_eq!(refused(r#"{"tool":"T","session_id":"s"}"#, Purpose::Execute).0, "invalid_call_id");
    assert_eq!(refused(r#"{"tool":"T","call_id":"c"}"#, Purpose::Execute).0, "invalid_session_id");
    assert_eq!(refused(&call(r#""call_id":"a\nb""#), Purpose::DryRun).0, "invalid_call_id");
    assert_eq!(refused(&call(r#""session_id":"a:b""#), Purpose::DryRun).0, "invalid_session_id");
}

#[test]
fn a_dry_run_needs_no_ids_and_takes_empty_for_absent() {
    let text = r#"{"tool":"T","session_id":"","environment":"","principal":{}}"#;
    read(text, Purpose::DryRun, |result| {
        let call = result.unwrap();
        assert_eq!((call.session_id, call.call_id, call.environment), ("", "", None));
        assert!(matches!(call.principal, Principal::Explicit(None)));
    });
    read(&call("\"principal\":{}"), Purpose::Execute, |result| {
        assert!(matches!(result.unwrap().principal, Principal::Explicit(Some(_))));
    });
}

#[test]
fn wrong_types_have_names() {
    for (members, name) in [
        (r#""args":[]"#, "invalid_arguments"),
        (r#""args":null"#, "invalid_arguments"),
        (r#""args":"x""#, "invalid_arguments"),
        (r#""metadata":[]"#, "invalid_metadata"),
        (r#""environment":1"#, "invalid_environment"),
        (r#""agent_id":1"#, "invalid_agent_id"),
        (r#""parent_call_id":1"#, "invalid_parent_call_id"),
        (r#""parent_session_id":1"#, "invalid_parent_session_id"),
        (r#""tool_use_id":{}"#, "invalid_tool_use_id"),
        (r#""call_index":-1"#, "invalid_call_index"),
        (r#""call_index":1.0"#, "invalid_call_index"),
        (r#""call_index":true"#, "invalid_call_index"),
        (r#""principal":"root""#, "invalid_principal"),
        (r#""principal":{"role":1}"#, "invalid_principal"),
        (r#""principal":{"role":{}}"#, "invalid_principal"),
        (r#""principal":{"claims":[]}"#, "invalid_principal"),
        (r#""principal":{"claims":"x"}"#, "invalid_principal"),
        (r#""static_principal":[]"#, "invalid_principal"),
        (r#""principal":null,"static_principal":[]"#, "invalid_principal"),
        (r#""tool":"Bash","args":{"command":["ls"]}"#, "invalid_command"),
        (r#""tool":"Bash","args":{"command":null}"#, "invalid_command"),
        (r#""tool":"Bash","args":{"command":0}"#, "invalid_command"),
    ] {
        assert_eq!(refused(&call(members), Purpose::Execute), (name, false), "{members}");
    }
    let tape = read_text("[1]").unwrap();
    let refused = Call::read(&tape, &ToolRegistry::default(), Purpose::Execute).unwrap_err();
    assert_eq!(refused.invalid.name, "invalid_call");
}

#[test]
fn a_defective_call_keeps_what_is_whole_for_the_log() {
    let text = call(r#""args":{"command":{}},"tool":"Bash","session_id":"a/b","call_index":3,"agent_id":5"#);
    read(&text, Purpose::Execute, |result| {
        let refused = result.unwrap_err();
        assert_eq!(refused.invalid.name, "invalid_session_id");
        let call = refused.call;
        assert_eq!((call.tool, call.call_id, call.session_id, call.agent_id), ("Bash", "c", "", "default"));
        assert_eq!((call.call_index, call.bash_command, call.args.text()), (3, "", r#"{"command":{}}"#));
    });
    let text = call(&format!("\"tool\":\"{}\"", "é".repeat(MAX_NAME * 2)));
    read(&text, Purpose::Execute, |result| {
        assert_eq!(result.unwrap_err().call.tool.chars().count(), MAX_NAME);
    });
}

#[test]
fn the_parent_session_is_a_valid_id_or_none() {
    for (members, expected) in [
        (r#""parent_session_id":"p""#, Some("p")),
        (r#""metadata":{"parent_session_id":"m"}"#, Some("m")),
        (r#""parent_session_id":"p","metadata":{"parent_session_id":"m"}"#, Some("p")),
        (r#""metadata":{"parent_session_id":"a:b"}"#, None),
        (r#""metadata":{"parent_session_id":5}"#, None),
        (r#""parent_session_id":"a/b""#, None),
        (r#""parent_session_id":"""#, None),
    ] {
        read(&call(members), Purpose::Execute, |result| {
            assert_eq!(result.unwrap().parent_session_id, expected, "{members}");
        });
    }
}

#[test]
fn conveniences_belong_to_exact_tool_names() {
    for (tool, args, command, path) in [
        ("Bash", r#"{"command":"ls"}"#, "ls", None),
        ("Bash", "{}", "", None),
        ("bash", r#"{"command":["ls"]}"#, "", None),
        ("Read", r#"{"file_path":"","filePath":null,"path":"/p"}"#, "", Some("/p")),
        ("Edit", r#"{"path":"/p","file_path":"/f"}"#, "", Some("/f")),
        ("Write", r#"{"file_path":7,"filePath":"/c"}"#, "", Some("/c")),
        ("Grep", r#"{"pattern":"x"}"#, "", None),
        ("read", r#"{"path":"/p"}"#, "", None),
    ] {
        let text = call(&format!("\"tool\":\"{tool}\",\"args\":{args}"));
        read(&text, Purpose::Execute, |result| {
            let call = result.unwrap();
            assert_eq!((call.bash_command, call.file_path), (command, path), "{tool} {args}");
        });
    }
}

#[test]
fn texts_that_readers_disagree_on_are_refused_by_name() {
    let deep = format!("{{\"args\":{}}}", "[".repeat(200));
    for (text, name) in [
        ("{", "invalid_json"),
        ("", "invalid_json"),
        (r#"{"tool":"a","tool":"b"}"#, "duplicate_key"),
        (r#"{"tool":"\ud800"}"#, "lone_surrogate"),
        (deep.as_str(), "call_too_deep"),
    ] {
        assert_eq!(read_text(text).unwrap_err().name, name, "{text}");
    }
    let large = format!("\"{}\"", "x".repeat(MAX_CALL_BYTES));
    assert_eq!(read_text(&large).unwrap_err().name, "call_too_large");
    assert!(read_text(&large[..MAX_CALL_BYTES - 1]).unwrap_err().name == "invalid_json");
}

#[test]
fn a_described_call_is_json_and_keeps_the_texts() {
    let text = call(r#""tool":"Bash","args":{"command":"ls","n":1e400},"principal":{"role":"r"}"#);
    read(&text, Purpose::Execute, |result| {
        let call = result.unwrap();
        let Principal::Explicit(principal) = call.principal else { panic!("explicit") };
        let mut out = String::new();
        call.describe(&mut out, principal, "production");
        assert_eq!(
            out,
            concat!(
                r#"{"tool":"Bash","args":{"command":"ls","n":1e400},"session_id":"s","call_id":"c","agent_id":"default","#,
                r#""environment":"production","side_effect":"read","idempotent":false,"principal":{"role":"r"},"#,
                r#""metadata":{},"parent_session_id":null,"parent_call_id":null,"tool_use_id":null,"call_index":0,"#,
                r#""bash_command":"ls","file_path":null}"#
            )
        );
        assert!(Tape::read(&out).is_ok());
    });
}

#[test]
fn debug_output_holds_no_arguments_and_nobody() {
    let text = call(r#""args":{"a":"hunter2"},"metadata":{"b":"hunter2"},"principal":{"role":"hunter2"}"#);
    read(&text, Purpose::Execute, |result| {
        let call = result.unwrap();
        let Principal::Explicit(principal) = call.principal else { panic!("explicit") };
        let output = Output { value: Value::String("hunter2"), text: Some("hunter2") };
        let subject = Subject { call: &call, principal, environment: "e", output: Some(output), custom: &[] };
        let shown = format!("{call:?} {:?} {subject:?} {output:?}", call.principal);
        assert!(shown.contains("\"T\"") && !shown.contains("hunter2"), "{shown}");
    });
}

#[test]
fn of_a_text_that_cannot_be_read_it_is_known_whose_call_it_is() {
    for text in [
        r#"{"tool":"cat","args":{"x":"\ud800"},"session_id":"s","call_id":"c-1","agent_id":"dev"}"#,
        r#"{"\ud800":1,"a":1,"a":2,"session_id":"s","call_id":"c-0","call_id":"c-1","agent_id":"dev"}"#,
    ] {
        assert!(read_text(text).is_err());
        let rest = rest_of_text(text).unwrap();
        let refused = Call::read(&rest, &ToolRegistry::default(), Purpose::Execute).unwrap_err();
        let call = refused.call;
        assert_eq!((call.call_id, call.session_id, call.agent_id, call.tool), ("c-1", "s", "dev", ""));
    }
    for text in ["", "[]", "{", r#"{"call_id":7}"#, r#"{"call_id":"c-1""#, r#"{"call_id":"\ud800"}"#] {
        let rest = rest_of_text(text).unwrap();
        let refused = Call::read(&rest, &ToolRegistry::default(), Purpose::Execute).unwrap_err();
        assert_eq!(refused.call.call_id, "", "{text}");
    }
}
