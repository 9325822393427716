//! Where the engines differ on purpose: groups that lead there, each for one divergence of DIVERGENCES.md. Small rulesets
//! and a few telling values; what else the cases hold is as everywhere.

use std::sync::Arc;

use super::call::principal;
use super::world::World;
use super::{GROUP, loading};
use crate::differential::case::{Case, Document, Group, Opening};
use crate::differential::datum::Datum;
use crate::differential::random::Random;
use crate::differential::ruleset_text;

/// A way there: how often it is taken, and what makes a group.
type Way = (usize, (&'static str, fn(&mut Random) -> Group));

const WAYS: &[Way] = &[
    (10, ("asks", asks)),
    (10, ("granted", granted)),
    (8, ("effects", effects)),
    (6, ("idle redactions", idle_redactions)),
    (4, ("suppressed twice", suppressed_twice)),
    (7, ("observing sessions", observing_sessions)),
    (6, ("proposed", proposed)),
    (6, ("modes", modes)),
    (4, ("failures", failures)),
    (5, ("other results", other_results)),
    (3, ("long texts", long_texts)),
    (4, ("structured results", structured_results)),
    (9, ("paths", paths)),
    (6, ("hosts", hosts)),
    (4, ("closed messages", closed_messages)),
    (5, ("secret messages", secret_messages)),
    (3, ("variables", variables)),
    (3, ("words", words)),
    (3, ("tool names", tool_names)),
    (3, ("commands", commands)),
    (3, ("texts", texts)),
    (4, ("principals", principals)),
    (6, ("redacted", redacted)),
    (4, ("classes", classes)),
    (3, ("proposed classes", proposed_classes)),
    (16, ("loading", loading::group)),
];

/// A group that goes there.
pub fn group(random: &mut Random) -> Group {
    let (kind, way) = *random.weighted(WAYS);
    Group { kind, ..way(random) }
}

/// `{"a":…}` as text, to save quotes; it is always well-formed.
fn json(text: &str) -> Datum {
    Datum::parse(text).unwrap_or_else(|error| unreachable!("{error}: {text}"))
}

/// A ruleset of these rules.
pub fn ruleset(mode: &str, tools: &Datum, rules: Vec<Datum>) -> Datum {
    let document = Datum::map([
        ("apiVersion", "edictum/v1".into()),
        ("kind", "Ruleset".into()),
        ("metadata", json(r#"{"name":"territory"}"#)),
        ("defaults", Datum::map([("mode", mode.into())])),
        ("tools", tools.clone()),
        ("rules", rules.into()),
    ]);
    if tools.entries().is_empty() {
        let mut document = document;
        document.remove("tools");
        return document;
    }
    document
}

/// A rule with a condition.
pub fn conditional(id: &str, kind: &str, tool: &str, when: Datum, action: &str, message: &str) -> Datum {
    let then = Datum::map([("action", action.into()), ("message", message.into())]);
    let rule = Datum::map([("id", id.into()), ("type", kind.into()), ("tool", tool.into())]);
    rule.with("when", when).with("then", then)
}

/// A group of these documents; `steps` makes the requests of a case.
pub fn group_of(
    random: &mut Random,
    documents: Vec<Datum>,
    settings: Datum,
    mut steps: impl FnMut(&mut Random, usize) -> Vec<Datum>,
) -> Group {
    let mut settings = settings;
    if settings.get("env").is_none() {
        settings.set("env", Datum::map([]));
    }
    let documents = documents.into_iter().enumerate().map(|(index, content)| {
        let text = ruleset_text::somehow(&content, random);
        Document { name: format!("file-{index}.yaml"), content, text }
    });
    let opening = Arc::new(Opening { documents: documents.collect(), settings, workflow: None });
    let cases = (0..GROUP).map(|case| Case { opening: Arc::clone(&opening), steps: steps(random, case) });
    Group { kind: "territory", cases: cases.collect() }
}

/// A dry run, the call itself and its end.
fn whole(_: &mut Random, case: usize, call: &Datum, output: &Datum) -> Vec<Datum> {
    let id = format!("c{case}");
    // Always a dry run: it tells what stands behind the rule at which the reference stops.
    let mut dry_run = Datum::map([("op", "evaluate".into()), ("call", call.clone())]);
    if !output.is_null() {
        dry_run.set("output", output.clone());
    }
    let mut steps = vec![dry_run];
    steps.push(Datum::map([
        ("op", "begin".into()),
        ("session_id", format!("s{case}").into()),
        ("call_id", id.as_str().into()),
        ("call", call.clone()),
    ]));
    steps.push(Datum::map([("op", "finish".into()), ("call_id", id.into()), ("result", output.clone())]));
    steps
}

fn called(tool: &str, args: Datum) -> Datum {
    Datum::map([("tool", tool.into()), ("args", args)])
}

fn approve(random: &mut Random, case: usize, outcomes: &[&'static str]) -> Datum {
    Datum::map([
        ("op", "approve".into()),
        ("call_id", format!("c{case}").into()),
        ("outcome", random.word(outcomes).into()),
    ])
}

/// D-001: asks before blocks, and several asks.
fn asks(random: &mut Random) -> Group {
    let when = |value: &str| json(&format!(r#"{{"args.{value}":{{"equals":true}}}}"#));
    let mut rules = Vec::new();
    for (index, name) in ["a", "b", "c"].iter().enumerate() {
        let action = if index == 0 { "ask" } else { random.word(&["ask", "block", "block"]) };
        let mut rule = conditional(name, "pre", "*", when(name), action, "rule on {tool.name}");
        if action == "ask"
            && let Some(then) = rule.get_mut("then")
        {
            then.set("timeout", i64::try_from(random.between(5, 60)).unwrap_or(5));
            then.set("timeout_action", random.word(&["allow", "block"]));
        }
        if random.percent(10) {
            rule.set("mode", "observe");
        }
        rules.push(rule);
    }
    if random.percent(40) {
        rules.push(json(
            r#"{"id":"box","type":"sandbox","tool":"*","within":["/workspace"],"message":"outside","outside":"block"}"#,
        ));
    }
    if random.percent(40) {
        rules.push(json(
            r#"{"id":"limit","type":"session","limits":{"max_tool_calls":3},"then":{"action":"block","message":"enough"}}"#,
        ));
    }
    let mode = if random.percent(15) { json(r#"{"mode":"observe"}"#) } else { Datum::map([]) };
    group_of(random, vec![ruleset("enforce", &Datum::map([]), rules)], mode, |random, case| {
        let mut args = Datum::map([]);
        for name in ["a", "b", "c"] {
            args.set(name, random.percent(55));
        }
        args.set("path", random.word(&["/workspace/x", "/etc/x"]));
        let mut steps = vec![Datum::map([
            ("op", "counters".into()),
            ("session_id", format!("s{case}").into()),
            ("set", Datum::map([("execs", Datum::from(i64::try_from(random.between(0, 3)).unwrap_or(0)))])),
        ])];
        let mut call = whole(random, case, &called("db_query", args), &"ok".into());
        let last = call.pop();
        steps.append(&mut call);
        steps.push(approve(random, case, &["approved", "rejected", "timed_out", "timed_out"]));
        steps.extend(last);
        steps
    })
}

/// D-002: a person agrees.
fn granted(random: &mut Random) -> Group {
    let rule = conditional("ask", "pre", "*", json(r#"{"tool.name":{"exists":true}}"#), "ask", "may {tool.name} run?");
    let observer = conditional("look", "pre", "*", json(r#"{"args.a":{"equals":true}}"#), "block", "looked")
        .with("mode", "observe");
    let rules = if random.percent(30) { vec![observer, rule] } else { vec![rule] };
    group_of(random, vec![ruleset("enforce", &Datum::map([]), rules)], Datum::map([]), |random, case| {
        let args = Datum::map([("a", random.percent(50).into())]);
        let mut steps = whole(random, case, &called("db_query", args), &"ok".into());
        let last = steps.pop();
        steps.push(approve(random, case, &["approved", "approved", "rejected"]));
        steps.extend(last);
        steps
    })
}

/// D-003: results of tools that change something.
fn effects(random: &mut Random) -> Group {
    let pattern = random.word(&[r"\d{3}-\d{2}", "[a-z]+@[a-z]+", "row"]);
    let when = Datum::map([("output.text", Datum::map([("matches", pattern.into())]))]);
    let action = random.word(&["redact", "block"]);
    let mut rules = vec![conditional("first", "post", "*", when.clone(), action, "not for you")];
    if random.percent(40) {
        rules.push(conditional("second", "post", "db_*", when, random.word(&["warn", "redact"]), "nor for others"));
    }
    let class = random.word(&["write", "irreversible"]);
    let tools = if random.percent(60) {
        json(&format!(r#"{{"db_query":{{"side_effect":"{class}"}}}}"#))
    } else {
        Datum::map([])
    };
    group_of(random, vec![ruleset("enforce", &tools, rules)], Datum::map([]), |random, case| {
        let output = random.word(&["SSN 123-45-6789", "bob@example has a row", "ok", "3 rows, 555-12"]);
        whole(random, case, &called("db_query", Datum::map([])), &output.into())
    })
}

fn read_tools() -> Datum {
    json(r#"{"db_query":{"side_effect":"read"},"fetch_url":{"side_effect":"read"}}"#)
}

/// D-004: rules that redact and have nothing to redact.
fn idle_redactions(random: &mut Random) -> Group {
    let when = match random.below(3) {
        0 => json(r#"{"output.text":{"contains":"secret"}}"#),
        1 => json(r#"{"any":[{"output.text":{"matches":"x-[a-z]+"}},{"output.text":{"contains":"secret"}}]}"#),
        _ => json(r#"{"not":{"output.text":{"matches":"public"}}}"#),
    };
    let mut rules = vec![conditional("hide", "post", "*", when.clone(), "redact", "hidden")];
    if random.percent(30) {
        rules.push(conditional("again", "post", "*", when, "redact", "hidden"));
    }
    group_of(random, vec![ruleset("enforce", &read_tools(), rules)], Datum::map([]), |random, case| {
        let output = random.word(&["a secret", "x-ab and more", "public x-ab", "plain"]);
        whole(random, case, &called("db_query", Datum::map([])), &output.into())
    })
}

/// D-005: a redaction behind a suppression.
fn suppressed_twice(random: &mut Random) -> Group {
    let rules = vec![
        conditional("shut", "post", "*", json(r#"{"output.text":{"contains":"row"}}"#), "block", "rows are closed"),
        conditional("hide", "post", "*", json(r#"{"output.text":{"matches":"row[s]?"}}"#), "redact", "rows are hidden"),
        conditional("close", "post", "*", json(r#"{"output.text":{"contains":"all"}}"#), "block", "all is closed"),
    ];
    group_of(random, vec![ruleset("enforce", &read_tools(), rules)], Datum::map([]), |random, case| {
        let output = random.word(&["3 rows", "all rows", "nothing"]);
        whole(random, case, &called("db_query", Datum::map([])), &output.into())
    })
}

/// D-006: session rules that observe, by their own mode or by that of the file.
fn observing_sessions(random: &mut Random) -> Group {
    let session = |id: &str, limits: &str| {
        json(&format!(
            r#"{{"id":"{id}","type":"session","limits":{limits},"then":{{"action":"block","message":"{id} is over","tags":["t"]}}}}"#
        ))
    };
    let mut rules = vec![
        session(
            "few",
            random.word(&[
                r#"{"max_tool_calls":2}"#,
                r#"{"max_attempts":3}"#,
                r#"{"max_calls_per_tool":{"db_query":2}}"#,
            ]),
        ),
        session("many", r#"{"max_tool_calls":4,"max_attempts":6}"#),
    ];
    let mode = random.word(&["enforce", "observe"]);
    if mode == "enforce" {
        rules.iter_mut().take(1).for_each(|rule| rule.set("mode", "observe"));
    } else {
        rules.iter_mut().skip(1).for_each(|rule| rule.set("mode", "enforce"));
    }
    if random.percent(40) {
        rules.reverse();
    }
    // The rule is to observe, and the guard to enforce.
    group_of(random, vec![ruleset(mode, &Datum::map([]), rules)], json(r#"{"mode":"enforce"}"#), |random, case| {
        let mut set = Datum::map([]);
        for name in ["attempts", "execs", "tool:db_query"] {
            set.set(name, i64::try_from(random.between(0, 5)).unwrap_or(0));
        }
        let mut steps =
            vec![Datum::map([("op", "counters".into()), ("session_id", format!("s{case}").into()), ("set", set)])];
        steps.extend(whole(random, case, &called("db_query", Datum::map([])), &"ok".into()));
        steps
    })
}

/// D-007: proposed rules in dry runs, and their limits.
fn proposed(random: &mut Random) -> Group {
    let when = json(r#"{"args.a":{"equals":true}}"#);
    let first =
        ruleset("enforce", &Datum::map([]), vec![conditional("now", "pre", "*", when.clone(), "block", "not a")]);
    let rules = vec![
        conditional("soon", "pre", "*", json(r#"{"args.b":{"equals":true}}"#), random.word(&["block", "ask"]), "not b"),
        conditional("after", "post", "*", json(r#"{"output.text":{"contains":"row"}}"#), "warn", "no rows"),
        json(
            r#"{"id":"limit","type":"session","limits":{"max_tool_calls":2},"then":{"action":"block","message":"two"}}"#,
        ),
    ];
    let second = ruleset("enforce", &Datum::map([]), rules).with("observe_alongside", true);
    group_of(random, vec![first, second], Datum::map([]), |random, case| {
        let args = Datum::map([("a", random.percent(20).into()), ("b", random.percent(50).into())]);
        let set = Datum::map([("execs", Datum::from(i64::try_from(random.between(0, 3)).unwrap_or(0)))]);
        let mut steps =
            vec![Datum::map([("op", "counters".into()), ("session_id", format!("s{case}").into()), ("set", set)])];
        let output = random.word(&["ok", "a row"]);
        let mut call = whole(random, case, &called("db_query", args), &output.into());
        // A dry run of its own: the reference says nothing about proposed rules in it.
        if random.percent(60) {
            call.retain(|step| step.text("op") != "evaluate");
        }
        steps.extend(call);
        steps
    })
}

/// D-008: files of different modes.
fn modes(random: &mut Random) -> Group {
    let when = |name: &str| json(&format!(r#"{{"args.{name}":{{"equals":true}}}}"#));
    let mut first = vec![conditional("base", "pre", "*", when("a"), "block", "not a")];
    first.push(
        conditional("own", "pre", "*", when("b"), "block", "not b").with("mode", random.word(&["enforce", "observe"])),
    );
    let second = vec![conditional("team", "pre", "*", when("c"), "block", "not c")];
    let (one, two) = if random.percent(60) { ("enforce", "observe") } else { ("observe", "enforce") };
    let documents = vec![ruleset(one, &Datum::map([]), first), ruleset(two, &Datum::map([]), second)];
    group_of(random, documents, json(r#"{"mode":"enforce"}"#), |random, case| {
        let mut args = Datum::map([]);
        for name in ["a", "b", "c"] {
            args.set(name, random.percent(40));
        }
        whole(random, case, &called("db_query", args), &"ok".into())
    })
}

/// D-009: the tool failed, and said too much.
fn failures(random: &mut Random) -> Group {
    let rules = vec![
        conditional("hide", "post", "*", json(r#"{"output.text":{"matches":"u-[0-9]+"}}"#), "redact", "no users"),
        conditional("shut", "post", "*", json(r#"{"output.text":{"contains":"stack"}}"#), "block", "no traces"),
    ];
    group_of(random, vec![ruleset("enforce", &read_tools(), rules)], Datum::map([]), |random, case| {
        let output = random.word(&["Error: no u-12", "fatal: stack of u-3", "u-7 is fine", "error: nothing"]);
        whole(random, case, &called("db_query", Datum::map([])), &output.into())
    })
}

/// D-010: results that are no strings.
fn other_results(random: &mut Random) -> Group {
    let rules = vec![
        conditional("any", "post", "*", json(r#"{"output.text":{"exists":true}}"#), "warn", "it says {output.text}"),
        conditional("python", "post", "*", json(r#"{"output.text":{"contains":"True"}}"#), "warn", "python"),
        conditional(
            "json",
            "post",
            "*",
            json(r#"{"output.text":{"contains_any":["true","\"k\"","null"]}}"#),
            "warn",
            "json",
        ),
    ];
    group_of(random, vec![ruleset("enforce", &read_tools(), rules)], Datum::map([]), |random, case| {
        let outputs =
            [r#"{"k":"v"}"#, "true", "[1,null,true]", r#"{"k":[true,{"n":null}]}"#, "7", "false", r#""text""#];
        let output = json(random.word(&outputs));
        let mut steps = whole(random, case, &called("db_query", Datum::map([])), &output);
        steps.retain(|step| step.text("op") != "evaluate");
        steps
    })
}

/// D-011: a match behind the first 10,000 characters.
fn long_texts(random: &mut Random) -> Group {
    let operand = if random.percent(50) { r#"{"matches":"rm -rf"}"# } else { r#"{"matches_any":["rm -rf","ls$"]}"# };
    let when = Datum::map([("args.text", json(operand))]);
    let rules = vec![conditional("rm", "pre", "*", when, "block", "no rm")];
    group_of(random, vec![ruleset("enforce", &Datum::map([]), rules)], Datum::map([]), |random, case| {
        let padding = "#".repeat(*random.one(&[9_990, 9_994, 9_995, 10_000, 12_000]));
        let text = format!("{padding}{}", random.word(&["rm -rf /", "ls", "#\nrm -rf"]));
        whole(random, case, &called("db_query", Datum::map([("text", text.into())])), &"ok".into())
    })
}

/// D-012: selectors of results.
fn structured_results(random: &mut Random) -> Group {
    let when = random.word(&[
        r#"{"result.exit_code":{"gt":0}}"#,
        r#"{"result.output":{"contains":"secret"}}"#,
        r#"{"all":[{"result.status":{"equals":"bad"}},{"result.exit_code":{"exists":true}}]}"#,
        r#"{"not":{"result.exit_code":{"equals":0}}}"#,
    ]);
    let rules = vec![conditional("see", "post", "*", json(when), "warn", "code {result.exit_code}")];
    group_of(random, vec![ruleset("enforce", &read_tools(), rules)], Datum::map([]), |random, case| {
        let output = json(random.word(&[
            r#"{"exit_code":0,"output":"fine"}"#,
            r#"{"exit_code":2,"output":"a secret","status":"bad"}"#,
            r#""secret text""#,
            r#"{"status":"bad"}"#,
        ]));
        let mut steps = whole(random, case, &called("db_query", Datum::map([])), &output);
        if !matches!(output, Datum::String(_)) {
            steps.retain(|step| step.text("op") != "evaluate");
        }
        steps
    })
}

/// D-013: paths that the reference does not see, or not as what they are.
fn paths(random: &mut Random) -> Group {
    let rule =
        json(r#"{"id":"box","type":"sandbox","tool":"*","within":["/workspace"],"message":"outside of the box"}"#);
    group_of(random, vec![ruleset("enforce", &Datum::map([]), vec![rule])], Datum::map([]), |random, case| {
        let args = json(random.word(&[
            r#"{"items":["/etc/passwd"]}"#,
            r#"{"opts":{"path":"/etc/passwd"}}"#,
            r#"{"opts":{"path":"/workspace/x"}}"#,
            r#"{"filename":"/workspace/x","n":1}"#,
            r#"{"filename":"../etc/passwd"}"#,
            r#"{"output":"etc/passwd"}"#,
            r#"{"note":"~/.ssh/id_rsa"}"#,
            r#"{"path":"/workspace/%2e%2e/etc/passwd"}"#,
            r#"{"path":"/workspace/%252e%252e/etc/passwd"}"#,
            r#"{"path":"/workspace/a%20b"}"#,
            r#"{"path":"/workspace\\..\\..\\etc"}"#,
            r#"{"path":"/workspace/a\u0000../../etc/passwd"}"#,
            r#"{"path":"/workspace/a\u0001b"}"#,
            r#"{"path":"file:///etc/passwd"}"#,
            r#"{"command":"cat ../../etc/passwd"}"#,
            r#"{"command":"cat ~/.ssh/id_rsa"}"#,
            r#"{"command":"cat $HOME/x"}"#,
            r#"{"command":"echo x>/etc/p"}"#,
            r#"{"command":"tar --file=/etc/x"}"#,
            r#"{"command":"curl -d @/etc/passwd"}"#,
            r#"{"command":"cat /workspace/x"}"#,
            r#"{"cmd":"cat /etc/passwd"}"#,
            r#"{"script":"ls"}"#,
        ]));
        whole(random, case, &called("db_query", args), &"ok".into())
    })
}

/// D-014: hosts that the reference does not see, or not as what they are.
fn hosts(random: &mut Random) -> Group {
    let rule =
        json(r#"{"id":"net","type":"sandbox","tool":"*","allows":{"domains":["a.com"]},"message":"not that host"}"#);
    group_of(random, vec![ruleset("enforce", &Datum::map([]), vec![rule])], Datum::map([]), |random, case| {
        let args = json(random.word(&[
            r#"{"url":"https://a.com/x"}"#,
            r#"{"url":"https://a.com./x"}"#,
            r#"{"url":"https://evil.com\\@a.com/x"}"#,
            r#"{"urls":["https://evil.com/"]}"#,
            r#"{"opts":{"url":"https://a.com/"}}"#,
            r#"{"opts":{"url":"https://evil.com/"}}"#,
            r#"{"note":"url=https://evil.com"}"#,
            r#"{"note":"(https://evil.com)"}"#,
            r#"{"host":"evil.com"}"#,
            r#"{"host":"a.com"}"#,
            r#"{"url":"evil.com"}"#,
            r#"{"url":"https://[::1"}"#,
        ]));
        whole(random, case, &called("fetch_url", args), &"ok".into())
    })
}

/// D-015: the output in the message that suppresses it.
fn closed_messages(random: &mut Random) -> Group {
    let when = json(r#"{"output.text":{"contains":"row"}}"#);
    let rules = vec![conditional("shut", "post", "*", when, "block", "{tool.name} said {output.text}")];
    group_of(random, vec![ruleset("enforce", &read_tools(), rules)], Datum::map([]), |random, case| {
        let output = random.word(&["3 rows", "nothing", "a row of texts"]);
        whole(random, case, &called("db_query", Datum::map([])), &output.into())
    })
}

/// D-016: secrets in messages.
fn secret_messages(random: &mut Random) -> Group {
    let rules = vec![conditional(
        "tell",
        "pre",
        "*",
        json(r#"{"args.go":{"equals":true}}"#),
        "block",
        "with {args.password} and {args.note}",
    )];
    group_of(random, vec![ruleset("enforce", &Datum::map([]), rules)], Datum::map([]), |random, case| {
        let mut args = Datum::map([("go", random.percent(80).into())]);
        args.set("password", random.word(&["hunter2", "long enough to matter"]));
        let note = random.word(&[
            "plain",
            "key sk-abcdefghijklmnopqrstuv1 here",
            "tab\there",
            "glpat-ABCDEFGHIJKLMNOPQRST",
            "bell\u{7}",
        ]);
        args.set("note", note);
        whole(random, case, &called("db_query", args), &"ok".into())
    })
}

/// D-017: variables that only Python takes for numbers.
fn variables(random: &mut Random) -> Group {
    let rules = vec![
        conditional("nan", "pre", "*", json(r#"{"env.NAN":{"equals":"nan"}}"#), "block", "nan is {env.NAN}"),
        conditional("digits", "pre", "*", json(r#"{"env.DIGITS":{"gt":10}}"#), "block", "digits are {env.DIGITS}"),
    ];
    let settings = json(r#"{"env":{"NAN":"nan","DIGITS":"٤٢"}}"#);
    group_of(random, vec![ruleset("enforce", &Datum::map([]), rules)], settings, |random, case| {
        whole(random, case, &called("db_query", Datum::map([])), &"ok".into())
    })
}

/// D-018: letters that only Python takes for an `i`; and characters that other engines do not take for words.
fn words(random: &mut Random) -> Group {
    let pattern = random.word(&[r"^\w+$", r"a\b", "(?i)^istanbul$"]);
    let when = Datum::map([("args.text", Datum::map([("matches", pattern.into())]))]);
    let rules = vec![conditional("word", "pre", "*", when, "block", "a word")];
    group_of(random, vec![ruleset("enforce", &Datum::map([]), rules)], Datum::map([]), |random, case| {
        let text =
            random.word(&["m\u{b2}", "a\u{301}", "x\u{bd}", "\u{130}stanbul", "\u{131}stanbul", "plain", "a\u{200d}b"]);
        whole(random, case, &called("db_query", Datum::map([("text", text.into())])), &"ok".into())
    })
}

fn any_rule() -> Vec<Datum> {
    vec![conditional("a", "pre", "*", json(r#"{"args.a":{"equals":true}}"#), "block", "not a")]
}

/// D-019: names that no tool can have.
fn tool_names(random: &mut Random) -> Group {
    group_of(random, vec![ruleset("enforce", &Datum::map([]), any_rule())], Datum::map([]), |random, case| {
        let name = random.word(&["a/b", "a\\b", "", "a\nb", "tab\t", "\u{7f}", "fine"]);
        whole(random, case, &called(name, Datum::map([])), &"ok".into())
    })
}

/// D-020: commands that are no strings.
fn commands(random: &mut Random) -> Group {
    group_of(random, vec![ruleset("enforce", &Datum::map([]), any_rule())], Datum::map([]), |random, case| {
        let args = json(random.word(&[
            r#"{"command":5}"#,
            r#"{"command":["ls"]}"#,
            r#"{"command":null}"#,
            r#"{"command":"ls"}"#,
            "{}",
        ]));
        whole(random, case, &called("Bash", args), &"ok".into())
    })
}

/// D-021: texts that are JSON only for some.
fn texts(random: &mut Random) -> Group {
    group_of(random, vec![ruleset("enforce", &Datum::map([]), any_rule())], Datum::map([]), |random, case| {
        let args = match random.below(3) {
            0 => Datum::Map(vec![("a".to_owned(), false.into()), ("a".to_owned(), true.into())]),
            1 => Datum::map([("deep", (0..150).fold(Datum::Null, |below, _| Datum::list([below])))]),
            _ => Datum::map([("a", true.into())]),
        };
        whole(random, case, &called("db_query", args), &"ok".into())
    })
}

/// D-022: dry runs of a guard with a principal.
fn principals(random: &mut Random) -> Group {
    let rules = vec![
        conditional(
            "role",
            "pre",
            "*",
            json(r#"{"principal.role":{"equals":"viewer"}}"#),
            "block",
            "{principal.role} may not",
        ),
        conditional("nobody", "pre", "*", json(r#"{"principal.role":{"exists":false}}"#), "block", "nobody may not"),
    ];
    let world = World::new(random);
    let mut settings = Datum::map([("principal", principal(random, &world))]);
    if random.percent(70) {
        settings.set("principal", json(r#"{"role":"viewer","user_id":"ana"}"#));
    }
    group_of(random, vec![ruleset("enforce", &Datum::map([]), rules)], settings, |random, case| {
        let mut call = called("db_query", Datum::map([]));
        if random.percent(30) {
            call.set("principal", json(random.word(&["null", r#"{"role":"admin"}"#])));
        }
        whole(random, case, &call, &"ok".into())
    })
}

/// D-023: secrets that only one of the two knows.
fn redacted(random: &mut Random) -> Group {
    group_of(random, vec![ruleset("enforce", &Datum::map([]), any_rule())], Datum::map([]), |random, case| {
        let mut args = Datum::map([]);
        let key = random.word(&[
            "userPassword",
            "clientSecret",
            "accessToken",
            "passwd",
            "cookie",
            "jwt",
            "pin",
            "title",
            "sshkey",
            "auth_header",
        ]);
        args.set(key, random.word(&["a", "b c"]));
        let command = random.word(&[
            "mkdir -p /tmp/a/b",
            "docker run -p 80:80 web",
            "ls my-project/x",
            "find . -prune",
            "API_KEY=abc123 deploy",
            "deploy --token abc123",
            "curl -u ana:hunter2 host",
            "git clone https://us.er:pw@host/x",
            "ls",
        ]);
        args.set("text", command);
        args.set("note", random.word(&["plain", "see glpat-ABCDEFGHIJKLMNOPQRST", "a sk-abcdefghijklmnopqrstuv1"]));
        whole(random, case, &called("db_query", args), &"ok".into())
    })
}

/// D-024: commands that the reference takes for reading.
fn classes(random: &mut Random) -> Group {
    let rules =
        vec![conditional("rows", "post", "Bash", json(r#"{"output.text":{"contains":"row"}}"#), "warn", "rows")];
    group_of(random, vec![ruleset("enforce", &Datum::map([]), rules)], Datum::map([]), |random, case| {
        let command = random.word(&[
            "cat f & rm x",
            "find . -delete",
            "find . -exec rm {} +",
            "git branch -D main",
            "git tag -d v1",
            "git remote add o u",
            "date -s now",
            "tree -o f",
            "git log --output=x",
            "rg --pre x y",
            "cat <x",
            "git log",
            "ls -l",
        ]);
        let output = random.word(&["ok", "a row"]);
        whole(random, case, &called("Bash", Datum::map([("command", command.into())])), &output.into())
    })
}

/// D-025: a proposed file with classes of tools.
fn proposed_classes(random: &mut Random) -> Group {
    let rules = vec![conditional("rows", "post", "*", json(r#"{"output.text":{"contains":"row"}}"#), "warn", "rows")];
    let declared = if random.percent(50) { json(r#"{"db_query":{"side_effect":"write"}}"#) } else { Datum::map([]) };
    let first = ruleset("enforce", &declared, rules);
    let second = ruleset("enforce", &read_tools(), any_rule()).with("observe_alongside", true);
    group_of(random, vec![first, second], Datum::map([]), |random, case| {
        let tool = random.word(&["db_query", "db_query", "fetch_url"]);
        let output = random.word(&["ok", "a row"]);
        let mut steps = whole(random, case, &called(tool, Datum::map([])), &output.into());
        steps.retain(|step| step.text("op") != "evaluate");
        steps
    })
}
