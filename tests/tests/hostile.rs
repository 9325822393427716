//! What a stranger may send: every input gets a clear error or a decision, never a crash, a hang or the machine's memory.
//! Times are only guards against hangs (`driver::PATIENCE`).

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use edictum_tests::driver::Answer;
use edictum_tests::victim::{RULES, Victim, code, member};
use serde_json::{Value, json};

/// Largest ruleset (engine.md §1.4).
const MAX_DOCUMENT: usize = 1_048_576;

/// More than any call may have (`call_too_large`).
const TOO_LARGE_A_CALL: usize = 17 << 20;

fn check(victim: &Victim, yaml: &str) -> Answer {
    victim.ask("open", json!({ "guard": "hostile", "rulesets": [{ "name": "hostile", "yaml": yaml }] }))
}

/// A ruleset with this text below `when:` of its only rule.
fn with_condition(when: &str) -> String {
    RULES.replace("{args.command: {contains: needle}}", when)
}

fn found(answer: &Answer, expected: &str) -> bool {
    let findings = answer.refusal().map(|refusal| refusal.diagnostics.clone()).unwrap_or_default();
    code(answer) == expected || findings.iter().any(|finding| finding["code"] == expected)
}

/// It did not load, for a reason about the document.
fn is_refused(answer: &Answer) {
    assert!(code(answer).starts_with("E_"), "{}", shortened(answer));
}

fn is_blocked(answer: &Answer) {
    assert_eq!(member(answer, "action"), "block", "{}", shortened(answer));
    assert_eq!(answer.result().unwrap()["policy_error"], json!(true), "{}", shortened(answer));
}

fn shortened(answer: &Answer) -> String {
    answer.line().chars().take(2000).collect()
}

#[test]
fn a_ruleset_of_exactly_one_mebibyte_loads_and_one_byte_more_does_not() {
    let victim = Victim::start();
    for (size, loads) in [(MAX_DOCUMENT, true), (MAX_DOCUMENT + 1, false)] {
        let comment = format!("{RULES}# ");
        let text = format!("{comment}{}", "x".repeat(size - comment.len()));
        let answer = check(&victim, &text);
        assert_eq!(answer.refusal().is_none(), loads, "{size}: {}", shortened(&answer));
        assert!(loads || found(&answer, "E_DOC_TOO_LARGE"), "{}", shortened(&answer));
    }
    victim.is_unharmed();
}

#[test]
fn a_mebibyte_of_one_thing_is_answered() {
    let victim = Victim::start();
    for unit in [
        "[", "{", "- ", "a: ", "? ", "&a ", "*a ", "\"", "'", "|", ">", "!x ", "%", "#", "\t", "\u{0}", "é", "a", "-",
        "\n",
    ] {
        let answer = check(&victim, &unit.repeat(MAX_DOCUMENT / unit.len()));
        assert!(answer.refusal().is_some(), "{unit:?}: {}", shortened(&answer));
    }
    victim.is_unharmed();
}

#[test]
fn ten_thousand_rules_of_several_files_are_composed_and_all_of_them_count() {
    const FILES: usize = 10;
    const RULES_EACH: usize = 1000;
    const TOOLS: usize = 200;
    let rulesets: Vec<Value> = (0..FILES)
        .map(|file| {
            let head = format!("apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {{name: f{file}}}\ndefaults: {{mode: enforce}}\nrules:\n");
            let rule = |index: usize| {
                let tool = (file * RULES_EACH + index) % TOOLS;
                format!("  - {{id: r{file}-{index}, type: pre, tool: tool{tool}, when: {{args.v: {{equals: r{file}-{index}}}}}, then: {{action: block, message: r{file}-{index}}}}}\n")
            };
            json!({ "name": format!("f{file}"), "yaml": head + &(0..RULES_EACH).map(rule).collect::<String>() })
        })
        .collect();
    let victim = Victim::with(json!({ "rulesets": rulesets }));
    for (file, index) in [(0, 0), (4, 321), (FILES - 1, RULES_EACH - 1)] {
        let tool = (file * RULES_EACH + index) % TOOLS;
        let id = format!("r{file}-{index}");
        let answer = victim.begin(&format!(r#"{{"tool":"tool{tool}","args":{{"v":"{id}"}}}}"#));
        assert_eq!(member(&answer, "decision_name"), id, "{}", shortened(&answer));
    }
    assert_eq!(member(&victim.begin(r#"{"tool":"tool0","args":{"v":"none"}}"#), "action"), "allow");
    victim.is_bounded();
}

#[test]
fn conditions_nest_to_a_hundred_levels_and_no_further() {
    let victim = Victim::start();
    let nested = |levels: usize| {
        format!("{}{{args.command: {{contains: needle}}}}{}", "{not: ".repeat(levels), "}".repeat(levels))
    };
    for levels in [10, 90] {
        let answer = check(&victim, &with_condition(&nested(levels)));
        assert!(answer.refusal().is_none(), "{levels}: {}", shortened(&answer));
    }
    for levels in [101, 150, 1_000, 100_000] {
        is_refused(&check(&victim, &with_condition(&nested(levels))));
    }
    victim.is_unharmed();
}

#[test]
fn yaml_nests_to_a_hundred_levels_and_no_further() {
    let victim = Victim::start();
    let shapes: [fn(usize) -> String; 3] = [
        |levels| format!("{{args.x: {{equals: {}1{}}}}}", "[".repeat(levels), "]".repeat(levels)),
        |levels| format!("{{args.x: {{equals: {}1{}}}}}", "{a: ".repeat(levels), "}".repeat(levels)),
        |levels| {
            format!("{{all: {}{{args.x: {{exists: true}}}}{}}}", "[{any: ".repeat(levels / 2), "}]".repeat(levels / 2))
        },
    ];
    for shape in shapes {
        is_refused(&check(&victim, &with_condition(&shape(102))));
        is_refused(&check(&victim, &with_condition(&shape(100_000))));
    }
    let answer = check(&victim, &with_condition(&shapes[0](80)));
    assert!(answer.refusal().is_none(), "{}", shortened(&answer));
    victim.is_unharmed();
}

#[test]
fn arguments_nest_to_a_hundred_levels_and_no_further() {
    let victim = Victim::start();
    let lists =
        |levels: usize| format!(r#"{{"tool":"T","args":{{"a":{}1{}}}}}"#, "[".repeat(levels), "]".repeat(levels));
    let maps = |levels: usize| format!(r#"{{"tool":"T","args":{}1{}}}"#, r#"{"a":"#.repeat(levels), "}".repeat(levels));
    for call in [lists(90), maps(90)] {
        let answer = victim.begin(&call);
        assert_eq!(member(&answer, "action"), "allow", "{}", shortened(&answer));
    }
    for call in [lists(102), maps(103), lists(10_000), maps(10_000)] {
        is_blocked(&victim.begin(&call));
    }
    // So deep that a host may refuse the line before anybody judges the call.
    let answer = victim.begin(&lists(1_000_000));
    assert!(code(&answer) == "bad-request" || member(&answer, "action") == "block", "{}", shortened(&answer));
    victim.is_unharmed();
}

#[test]
fn results_nest_to_a_hundred_levels_and_no_further() {
    let rules = RULES.replace("type: pre", "type: post").replace("args.command", "output.text");
    let victim = Victim::with(json!({ "rulesets": [{ "name": "victim", "yaml": rules }] }));
    let begun = victim.begin(r#"{"tool":"Bash","args":{"command":"ls"}}"#);
    let deep = format!("{}\"needle\"{}", "[".repeat(100_000), "]".repeat(100_000));
    let guard = r#""victim""#;
    let id = Value::from(member(&begun, "call_id")).to_string();
    let sent = victim.driver().send_raw("finish", &[("guard", guard), ("call_id", &id), ("result", &deep)]);
    let answer = victim.driver().wait(&sent).unwrap();
    // A result that cannot be looked at is not handed on.
    assert!(answer.raw_member(&["result"]).is_none_or(|result| !result.contains("needle")), "{}", shortened(&answer));
    victim.is_bounded();
}

#[test]
fn alias_bombs_do_not_go_off() {
    let victim = Victim::start();
    let laughs: String = (1..30)
        .map(|level| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", ")))
        .collect();
    let quadratic = format!("a: &a [{}]\nb: [{}]\n", vec!["x"; 10_000].join(", "), vec!["*a"; 10_000].join(", "));
    let merges: String =
        (1..200).map(|level| format!("m{level}: &m{level} {{<<: [*m{0}, *m{0}], k{level}: 1}}\n", level - 1)).collect();
    for bomb in [
        format!("a0: &a0 [x, x, x]\n{laughs}{RULES}"),
        quadratic,
        format!("m0: &m0 {{k: 1}}\n{merges}"),
        "a: &a [*a]\n".to_owned(),
        "a: &a {b: &b [*a, *b]}\n".to_owned(),
        "<<: *nowhere\n".to_owned(),
        with_condition("&x {not: *x}"),
    ] {
        is_refused(&check(&victim, &bomb));
    }
    victim.is_unharmed();
}

#[test]
fn a_key_twice_does_not_hide_what_came_first() {
    let victim = Victim::start();
    let twice = format!("{RULES}rules: []\n");
    assert!(found(&check(&victim, &twice), "E_YAML_DUP_KEY"));
    // In a call the engine and the host must not read different things: whatever it says, the second reading is not run
    // under the first one's judgement.
    let call = r#"{"tool":"Bash","tool":"Other","args":{"command":"a needle"},"args":{"command":"hay"}}"#;
    let answer = victim.begin(call);
    assert!(["allow", "block"].contains(&member(&answer, "action").as_str()) || answer.refusal().is_some());
    victim.is_unharmed();
}

#[test]
fn lines_that_are_no_requests_are_answered_and_forgotten() {
    let victim = Victim::start();
    let lines: [&[u8]; 16] = [
        b"not json",
        b"{",
        b"[]",
        b"[1,2]",
        b"5",
        b"null",
        b"\"text\"",
        b"{\"op\":",
        b"{\"op\":\"hello\"",
        b"{\"op\":\"hello\"}}",
        b"{\"op\":\"hello\",}",
        b"{'op':'hello'}",
        b"\xff\xfe\xfd",
        b"{\"op\":\"hel\xfflo\"}",
        b"{\"op\":\"hello\x00\"}",
        b"\x00\x00\x00",
    ];
    for line in lines {
        victim.driver().send_line(line);
        let answer = victim.driver().stray().unwrap();
        assert_eq!(code(&answer), "bad-request", "{line:?}: {}", shortened(&answer));
    }
    victim.is_unharmed();
}

#[test]
fn a_line_without_end_is_no_request_and_no_hang() {
    let victim = Victim::start();
    victim.driver().send_line("[".repeat(32 << 20));
    assert_eq!(code(&victim.driver().stray().unwrap()), "bad-request");
    victim.driver().send_line(format!("\"{}", "x".repeat(32 << 20)));
    assert_eq!(code(&victim.driver().stray().unwrap()), "bad-request");
    victim.is_unharmed();
}

#[test]
fn requests_that_lack_or_misspell_what_they_need_are_refused_under_their_id() {
    let victim = Victim::start();
    let requests = [
        r#"{"id":"a"}"#,
        r#"{"id":"a","op":5}"#,
        r#"{"id":"a","op":null}"#,
        r#"{"id":"a","op":""}"#,
        r#"{"id":"a","op":"no-such-op"}"#,
        r#"{"id":"a","op":"begin"}"#,
        r#"{"id":"a","op":"begin","guard":5}"#,
        r#"{"id":"a","op":"begin","guard":"nobody","call":{"tool":"T","args":{}},"session_id":"s"}"#,
        r#"{"id":"a","op":"begin","guard":"victim","session_id":"s"}"#,
        r#"{"id":"a","op":"begin","guard":"victim","call":{"tool":"T","args":{}}}"#,
        r#"{"id":"a","op":"open"}"#,
        r#"{"id":"a","op":"open","guard":"x","rulesets":5}"#,
        r#"{"id":"a","op":"open","guard":"x","rulesets":[5]}"#,
        r#"{"id":"a","op":"open","guard":"x","rulesets":[{"name":"x"}]}"#,
        r#"{"id":"a","op":"open","guard":"x","rulesets":[{"name":"x","yaml":5}]}"#,
        r#"{"id":"a","op":"finish","guard":"victim"}"#,
        r#"{"id":"a","op":"approve","guard":"victim","call_id":"none","outcome":"approved"}"#,
        r#"{"id":"a","op":"reload","guard":"victim"}"#,
        r#"{"id":"a","op":"counters","guard":"victim"}"#,
        r#"{"id":"a","op":"counters","guard":"victim","session_id":"s","set":{"attempts":"many"}}"#,
        r#"{"id":"a","op":"events"}"#,
    ];
    for request in requests {
        victim.driver().send_line(request);
        let answer = victim.driver().wait(&victim.driver().pending_id("\"a\"")).unwrap();
        let decided = member(&answer, "action") == "block";
        assert!(answer.refusal().is_some() || decided, "{request}: {}", shortened(&answer));
    }
    victim.is_unharmed();
}

#[test]
fn ids_come_back_as_they_were_sent() {
    let victim = Victim::start();
    for id in ["\"text\"", "7", "-1", "\"\"", "\"\\u00e9\"", "true", "[1]", "{\"a\":1}", "12345678901234567890", "1.0"]
    {
        victim.driver().send_line(format!(r#"{{"id":{id},"op":"hello"}}"#));
        let answer = victim.driver().wait(&victim.driver().pending_id(id));
        assert!(answer.is_ok_and(|answer| answer.refusal().is_none()), "{id}");
    }
    for nameless in [r#"{"op":"hello"}"#, r#"{"id":null,"op":"hello"}"#] {
        victim.driver().send_line(nameless);
        assert!(victim.driver().stray().unwrap().refusal().is_none());
    }
}

#[test]
fn ten_megabytes_of_arguments_are_judged_to_the_last_byte() {
    let victim = Victim::start();
    let hay = "x".repeat(10_000_000);
    let blocked = victim.begin(&format!(r#"{{"tool":"Bash","args":{{"command":"{hay}needle"}}}}"#));
    assert_eq!(member(&blocked, "decision_name"), "needle", "{}", shortened(&blocked));
    let allowed = victim.begin(&format!(r#"{{"tool":"Bash","args":{{"command":"{hay}"}}}}"#));
    assert_eq!(member(&allowed, "action"), "allow", "{}", shortened(&allowed));
    let keys: String = (0..200_000).map(|index| format!(r#""key{index}":[{index},"{index}"],"#)).collect();
    let many = victim.begin(&format!(r#"{{"tool":"Bash","args":{{{keys}"command":"needle"}}}}"#));
    assert_eq!(member(&many, "decision_name"), "needle", "{}", shortened(&many));
    victim.is_unharmed();
}

#[test]
fn a_call_that_is_too_large_is_blocked() {
    let victim = Victim::start();
    let answer = victim.begin(&format!(r#"{{"tool":"T","args":{{"a":"{}"}}}}"#, "x".repeat(TOO_LARGE_A_CALL)));
    is_blocked(&answer);
    assert_eq!(member(&answer, "decision_name"), "call_too_large", "{}", shortened(&answer));
    let escaped =
        victim.begin(&format!(r#"{{"tool":"T","args":{{"a":"{}"}}}}"#, "\\u0041".repeat(TOO_LARGE_A_CALL / 6)));
    assert!(["allow", "block"].contains(&member(&escaped, "action").as_str()), "{}", shortened(&escaped));
    victim.is_unharmed();
}

#[test]
fn patterns_and_texts_made_to_explode_are_answered_in_linear_time() {
    let patterns = ["^(a+)+$", "^(a|aa)+$", "(a*)*b", "^(([a-z])+.)+[A-Z]([a-z])+$", "(.*a){20}", "a{0,500}a{0,500}b"];
    for pattern in patterns {
        let rules = with_condition(&format!("{{args.command: {{matches: '{pattern}'}}}}"));
        let victim = Victim::with(json!({ "rulesets": [{ "name": "victim", "yaml": rules }] }));
        for length in [40, 10_000, 1_000_000] {
            let answer = victim.begin(&format!(r#"{{"tool":"Bash","args":{{"command":"{}!"}}}}"#, "a".repeat(length)));
            let action = member(&answer, "action");
            assert!(["allow", "block"].contains(&action.as_str()), "{pattern} {length}: {}", shortened(&answer));
        }
        victim.is_bounded();
    }
}

#[test]
fn a_text_above_the_cap_of_patterns_does_not_slip_through() {
    let rules = with_condition("{args.command: {matches: needle}}");
    let victim = Victim::with(json!({ "rulesets": [{ "name": "victim", "yaml": rules }] }));
    for padding in [10_000, 1 << 20, 4 << 20] {
        let answer =
            victim.begin(&format!(r#"{{"tool":"Bash","args":{{"command":"{}needle"}}}}"#, "#".repeat(padding)));
        assert_eq!(member(&answer, "action"), "block", "{padding}: {}", shortened(&answer));
    }
    victim.is_bounded();
}

#[test]
fn values_that_numbers_cannot_hold_are_judged_or_blocked() {
    let rules = with_condition("{args.command: {gt: 5}}").replace("tool: Bash", "tool: T");
    let victim = Victim::with(json!({ "rulesets": [{ "name": "victim", "yaml": rules }] }));
    let digits = "9".repeat(100_000);
    let numbers =
        ["1e400", "-1e400", "1e999999999999", "0e999999999999", "1e-999999999999", &digits, &format!("0.{digits}")];
    for number in numbers {
        let answer = victim.begin(&format!(r#"{{"tool":"T","args":{{"command":{number}}}}}"#));
        let action = member(&answer, "action");
        assert!(
            ["allow", "block"].contains(&action.as_str()),
            "{}: {}",
            &number[..number.len().min(20)],
            shortened(&answer)
        );
    }
    for wrong in ["01", "+1", ".5", "1.", "0x10", "NaN", "Infinity", "-", "1e", "--1"] {
        let call = format!(r#"{{"tool":"T","args":{{"command":{wrong}}}}}"#);
        victim
            .driver()
            .send_line(format!(r#"{{"id":"n","op":"begin","guard":"victim","session_id":"s","call":{call}}}"#));
        // Answers keep their order: after this one the line has been answered, as no request at all or as a blocked call.
        assert!(victim.driver().hello().is_ok());
        match (victim.driver().poll_stray(), victim.driver().poll(&victim.driver().pending_id("\"n\""))) {
            (Some(answer), None) => assert_eq!(code(&answer), "bad-request", "{wrong}"),
            (None, Some(answer)) if answer.refusal().is_some() => assert_eq!(code(&answer), "bad-request", "{wrong}"),
            (None, Some(answer)) => is_blocked(&answer),
            both => panic!("{wrong}: {both:?}"),
        }
    }
    victim.is_bounded();
}

#[test]
fn names_of_any_kind_are_names_or_errors() {
    let victim = Victim::start();
    let long = "n".repeat(1 << 20);
    for name in ["", " ", "../../etc", "a/b", "\u{0}", "\u{202e}x", "😀", &long] {
        let opened = victim.ask("open", json!({ "guard": name, "rulesets": [{ "name": name, "yaml": RULES }] }));
        if opened.refusal().is_none() {
            let answer = victim
                .ask("evaluate", json!({ "guard": name, "call": { "tool": "Bash", "args": { "command": "needle" } } }));
            assert_eq!(member(&answer, "decision"), "block", "{}", shortened(&answer));
            assert!(victim.ask("close", json!({ "guard": name })).refusal().is_none());
        }
        let begun =
            victim.ask("begin", json!({ "session_id": name, "call_id": name, "call": { "tool": "T", "args": {} } }));
        assert!(begun.refusal().is_some() || ["allow", "block"].contains(&member(&begun, "action").as_str()));
    }
    victim.is_unharmed();
}

#[test]
fn opening_and_closing_guards_leaves_nothing_behind() {
    const ROUNDS: usize = 300;
    let victim = Victim::start();
    let rules = format!("{RULES}# {}", "x".repeat(500_000));
    let mut settled = None;
    for round in 0..ROUNDS {
        let opened = victim.ask("open", json!({ "guard": "passing", "rulesets": [{ "name": "r", "yaml": rules }] }));
        assert!(opened.refusal().is_none(), "{}", shortened(&opened));
        if round == ROUNDS / 3 {
            settled = victim.driver().peak_memory();
        }
    }
    if let (Some(settled), Some(last)) = (settled, victim.driver().peak_memory()) {
        assert!(last < settled + (64 << 20), "it grew from {} to {} MiB", settled >> 20, last >> 20);
    }
    victim.is_unharmed();
}
