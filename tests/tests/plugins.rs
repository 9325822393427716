//! Plugins through the driver and the command line: what they answer counts, and one that traps, hangs or takes too much
//! costs the calls that asked it and no other. `tests/plugins/hostile` does what its questions tell it to.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use edictum_tests::driver::{Driver, Pending};
use edictum_tests::places::workspace;
use edictum_tests::workshop::{self, Copy, built};
use serde_json::{Value, json};

/// Operators, selectors and hooks.
fn hostile() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built("tests/plugins/hostile", "hostile", "").unwrap_or_else(|why| panic!("{why}")))
}

/// Every interface.
fn everything() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built("tests/plugins/hostile", "hostile", "everything").unwrap_or_else(|why| panic!("{why}")))
}

/// An operator `act` whose operand says what the plugin does: one rule and one tool for each.
fn rules(modes: &[&str]) -> String {
    let mut text = "apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {name: t}\ndefaults: {mode: enforce}\nrules:\n\
        \x20 - {id: never, type: pre, tool: never, when: {args.x: {equals: 1}}, then: {action: block, message: never}}\n"
        .to_owned();
    for mode in modes {
        let tool = tool(mode);
        text.push_str(&format!(
            "  - {{id: {tool}, type: pre, tool: {tool}, when: {{args.value: {{act: {mode}}}}}, then: {{action: block, message: fired}}}}\n"
        ));
    }
    text
}

fn tool(mode: &str) -> String {
    mode.replace(' ', "-")
}

/// A driver with one guard.
struct Guarded {
    driver: Driver,
}

impl Guarded {
    fn open(rules: &str, plugins: Value) -> Self {
        let guarded = Self { driver: Driver::start().unwrap() };
        guarded.driver.ask("open", fields(rules, plugins)).unwrap();
        guarded
    }

    fn send(&self, session: &str, tool: &str, args: Value) -> Pending {
        let call = json!({ "tool": tool, "args": args });
        self.driver.send("begin", json!({ "guard": "g", "session_id": session, "call": call, "parallel": true }))
    }

    fn begin(&self, tool: &str, args: Value) -> Value {
        self.driver.wait(&self.send("s", tool, args)).unwrap().result().unwrap()
    }

    /// What the operator's answer in this mode comes to.
    fn act(&self, mode: &str, value: &str) -> Value {
        self.begin(&tool(mode), json!({ "value": value }))
    }
}

fn fields(rules: &str, plugins: Value) -> Value {
    json!({ "guard": "g", "rulesets": [{ "name": "r", "yaml": rules }], "plugins": plugins })
}

/// Time for what is not about time: machines that test are busy.
const PATIENT: u64 = 30_000;

/// The hostile plugin, with time.
fn configured(configuration: Value) -> Value {
    json!({ "path": hostile(), "configuration": configuration, "deadline_ms": PATIENT })
}

/// The one with the operator `act`.
fn acting(more: Value) -> Value {
    let mut plugin = configured(json!({ "operators": ["act"] }));
    plugin.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    plugin
}

/// With the deadline that plugins have when nobody says otherwise.
fn hasty() -> Value {
    json!({ "path": hostile(), "configuration": { "operators": ["act"] } })
}

/// Blocked because the plugin failed, which is named.
fn is_named_fault(decision: &Value, because: &str) {
    assert_eq!((&decision["action"], &decision["policy_error"]), (&json!("block"), &json!(true)), "{decision}");
    let detail = decision["error_detail"].as_str().unwrap_or_default();
    assert!(detail.contains("plugin `hostile`: ") && detail.contains(because), "{because}: {decision}");
}

fn is_fine(decision: &Value) {
    assert_eq!((&decision["action"], &decision["policy_error"]), (&json!("allow"), &json!(false)), "{decision}");
}

fn fires(decision: &Value) {
    let said = (&decision["action"], &decision["reason"], &decision["policy_error"]);
    assert_eq!(said, (&json!("block"), &json!("fired"), &json!(false)), "{decision}");
}

#[test]
fn a_driver_says_that_it_has_plugins() {
    let hello = Driver::start().unwrap().hello().unwrap();
    assert!(hello.capabilities.contains(&"plugins".to_owned()), "{hello:?}");
}

#[test]
fn every_way_to_end_badly_blocks_that_call_names_the_plugin_and_leaves_the_next_one_alone() {
    const ENDS: [(&str, &str); 7] = [
        ("trap", "it trapped: "),
        ("exit", "it trapped: "),
        ("recurse", "it trapped: "),
        ("hog", "it needed more than 65536 KiB of memory"),
        ("fail", "told to fail with two lines"),
        ("fail at length", "xxxxxxxxxx"),
        ("no such thing", "there is no mode"),
    ];
    let modes: Vec<_> = ENDS.iter().map(|(mode, _)| *mode).chain(["holds", "holds not"]).collect();
    let guarded = Guarded::open(&rules(&modes), json!([acting(json!({}))]));
    for (mode, because) in ENDS {
        let decision = guarded.act(mode, "x");
        is_named_fault(&decision, because);
        assert!(decision["error_detail"].as_str().unwrap().len() < 2000, "{mode}");
        is_fine(&guarded.act("holds not", "x"));
        fires(&guarded.act("holds", "x"));
    }
    let events = guarded.driver.ask("events", json!({ "guard": "g" })).unwrap().to_string();
    assert_eq!(events.matches("plugin `hostile`: ").count(), ENDS.len(), "the decision log names the plugin each time");
    assert!(guarded.driver.is_sound());
}

#[test]
fn who_computes_or_sleeps_without_end_is_ended_at_the_deadline_of_a_second() {
    let guarded = Guarded::open(&rules(&["loop", "sleep", "holds not"]), json!([hasty()]));
    for mode in ["loop", "sleep"] {
        let since = Instant::now();
        is_named_fault(&guarded.act(mode, "x"), "it gave no answer within 1s");
        // Not before its time, and not only when callbacks are given up, after half a minute.
        let took = since.elapsed();
        assert!(took > Duration::from_millis(900) && took < Duration::from_secs(25), "{mode}: {took:?}");
        is_fine(&guarded.act("holds not", "x"));
    }
}

#[test]
fn a_hundred_calls_beside_faults_are_undisturbed() {
    const CROWD: usize = 100;
    let modes = ["trap", "loop", "hog", "holds not", "holds"];
    let other = configured(json!({ "name": "other", "operators": ["act_too"] }));
    let rules = rules(&modes)
        + "  - {id: other, type: pre, tool: other, when: {args.value: {act_too: holds not}}, then: {action: block, message: fired}}\n";
    let guarded = Guarded::open(&rules, json!([acting(json!({ "deadline_ms": 3000 })), other]));
    let mut faults = Vec::new();
    let mut crowd = Vec::new();
    for index in 0..CROWD {
        if index % 10 == 0 {
            let mode = if index % 50 == 0 { "loop" } else { ["trap", "hog"][index / 10 % 2] };
            faults.push(guarded.send(&format!("bad{index}"), mode, json!({ "value": "x" })));
        }
        let (tool, fine) = [("holds-not", true), ("other", true), ("holds", false)][index % 3];
        crowd.push((guarded.send(&format!("s{index}"), tool, json!({ "value": "x" })), fine));
    }
    for (pending, fine) in crowd {
        let decision = guarded.driver.wait(&pending).unwrap().result().unwrap();
        if fine { is_fine(&decision) } else { fires(&decision) }
    }
    for pending in faults {
        is_named_fault(&guarded.driver.wait(&pending).unwrap().result().unwrap(), "");
    }
    if let Some(peak) = guarded.driver.peak_memory() {
        assert!(peak < 1 << 30, "{} MiB", peak >> 20);
    }
}

#[test]
fn what_was_not_granted_is_not_there() {
    let modes = ["connect", "bind", "datagram", "read", "write", "list", "environment", "clock", "print", "holds not"];
    let guarded = Guarded::open(&rules(&modes), json!([acting(json!({}))]));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let (file, new) = (file.to_str().unwrap(), folder.path().join("new"));
    for (mode, value) in [
        ("connect", address.as_str()),
        ("bind", ""),
        ("datagram", ""),
        ("read", file),
        ("read", "/etc/hostname"),
        ("write", new.to_str().unwrap()),
        ("list", ""),
        ("environment", ""),
    ] {
        is_fine(&guarded.act(mode, value));
    }
    assert!(!new.exists());
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "nobody came");
    // What everybody has; and printing two megabytes goes nowhere, least of all to the driver's answers.
    fires(&guarded.act("clock", ""));
    fires(&guarded.act("print", ""));
    is_fine(&guarded.act("holds not", ""));
    assert!(guarded.driver.is_sound());
}

#[test]
fn what_was_granted_is_there_and_nothing_beside_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "x").unwrap();
    fs::create_dir(folder.path().join("own")).unwrap();
    let grants = json!({
        "environment": ["PATH"],
        "folders": [
            { "host": folder.path(), "plugin": "/data" },
            { "host": folder.path().join("own"), "plugin": "/own", "write": true },
        ],
        "connect": [listener.local_addr().unwrap()],
    });
    let guarded = Guarded::open(
        &rules(&["connect", "read", "write", "variable", "bind"]),
        json!([acting(json!({ "grants": grants }))]),
    );
    for (mode, value, granted) in [
        ("connect", listener.local_addr().unwrap().to_string(), true),
        ("connect", other.local_addr().unwrap().to_string(), false),
        ("bind", String::new(), false),
        ("read", "/data/file".to_owned(), true),
        ("read", "/data/../file".to_owned(), false),
        ("write", "/data/new".to_owned(), false),
        ("write", "/own/new".to_owned(), true),
        ("variable", "PATH".to_owned(), true),
        ("variable", "HOME".to_owned(), false),
    ] {
        let decision = guarded.act(mode, &value);
        if granted { fires(&decision) } else { is_fine(&decision) }
    }
    assert!(!folder.path().join("new").exists() && folder.path().join("own/new").exists());
}

#[test]
fn limits_can_be_chosen() {
    let rules = rules(&["slow", "sleep", "hog", "holds not"]);
    let short = Guarded::open(&rules, json!([acting(json!({ "deadline_ms": 600 }))]));
    is_named_fault(&short.act("sleep", ""), "it gave no answer within 600ms");
    is_fine(&short.act("holds not", ""));
    let long = Guarded::open(&rules, json!([acting(json!({ "instances": 1, "memory_bytes": 8 << 20 }))]));
    fires(&long.act("slow", ""));
    is_named_fault(&long.act("hog", ""), "it needed more than 8192 KiB of memory");
    // With one instance they answer one after the other, and each has its time.
    let sent: Vec<_> = (0..4).map(|index| long.send(&format!("s{index}"), "slow", json!({ "value": "" }))).collect();
    for pending in sent {
        fires(&long.driver.wait(&pending).unwrap().result().unwrap());
    }
}

#[test]
fn selectors_give_maps_and_whatever_else_they_give_is_a_fault() {
    let rules = "apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {name: t}\ndefaults: {mode: enforce}\nrules:\n\
        \x20 - {id: r, type: pre, tool: t, when: {own.found: {equals: true}}, then: {action: block, message: fired}}\n";
    let plugin = configured(json!({ "selectors": ["own"] }));
    let guarded = Guarded::open(rules, json!([plugin]));
    let begin = |mode: &str| guarded.begin("t", json!({ "mode": mode }));
    for (mode, because) in [
        ("text", "its answer is not a JSON object"),
        ("garbage", "its answer is not a JSON object"),
        ("large", "it handed over more than 8 MiB"),
        ("trap", "it trapped"),
        ("fail", "told to fail"),
    ] {
        is_named_fault(&begin(mode), because);
        is_fine(&begin("holds not"));
        fires(&begin("holds"));
    }
}

#[test]
fn hooks_pass_skip_refuse_and_fail() {
    let plugin = configured(json!({ "hooks": ["look"] }));
    let guarded = Guarded::open(&rules(&[]), json!([plugin]));
    let begin = |mode: &str| guarded.begin("t", json!({ "mode": mode }));
    is_fine(&begin("holds"));
    is_fine(&begin("skip"));
    let refused = begin("holds not");
    assert_eq!(refused["action"], "block");
    assert_eq!((&refused["decision_name"], &refused["reason"]), (&json!("look"), &json!("not so")));
    assert_eq!(refused["policy_error"], false);
    for mode in ["trap", "hog", "fail"] {
        let decision = begin(mode);
        is_named_fault(&decision, "");
        assert_eq!(decision["decision_name"], "look");
    }
    // After a tool ran, nothing that a hook does changes anything.
    for output in ["holds", "trap", "fail"] {
        let call_id = begin("holds")["call_id"].clone();
        let finish = json!({ "guard": "g", "call_id": call_id, "result": output });
        let end = guarded.driver.ask("finish", finish).unwrap();
        assert_eq!((&end["success"], &end["result"]), (&json!(true), &json!(output)));
    }
}

#[test]
fn success_checks_and_principals_come_from_a_plugin() {
    let rules = "apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {name: t}\ndefaults: {mode: enforce}\nrules:\n\
        \x20 - {id: r, type: pre, tool: t, when: {principal.role: {equals: intern}}, then: {action: block, message: fired}}\n\
        \x20 - {id: c, type: pre, tool: t, when: {principal.claims.tool: {equals: other}}, then: {action: block, message: wrong}}\n";
    let folder = tempfile::tempdir().unwrap();
    let guarded = Guarded::open(rules, json!([complete(folder.path())]));
    let begin = |who: &str| guarded.begin("t", json!({ "who": who }));
    fires(&begin("intern"));
    is_fine(&begin("sre"));
    for (who, because) in
        [("text", "its answer is not a JSON object"), ("!fail", "told to fail"), ("!trap", "it trapped")]
    {
        let decision = begin(who);
        is_named_fault(&decision, because);
        assert_eq!(decision["decision_source"], "principal");
    }
    is_fine(&guarded.begin("t", json!({})));
    for (output, success) in [("holds", true), ("holds not", false), ("trap", false), ("fail", false), ("holds", true)]
    {
        let call_id = begin("sre")["call_id"].clone();
        let end = guarded.driver.ask("finish", json!({ "guard": "g", "call_id": call_id, "result": output })).unwrap();
        assert_eq!(end["success"], success, "{output}");
    }
}

/// With every interface, and a folder for its decision log.
fn complete(log: &Path) -> Value {
    let grants = json!({ "folders": [{ "host": log, "plugin": "/log", "write": true }] });
    json!({ "path": everything(), "configuration": { "name": "hostile" }, "grants": grants, "deadline_ms": PATIENT })
}

#[test]
fn an_audit_sink_that_fails_gets_every_event_once_and_in_order_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let guarded = Guarded::open(&rules(&[]), json!([complete(folder.path())]));
    for _ in 0..20 {
        let call_id = guarded.begin("t", json!({}))["call_id"].clone();
        guarded.driver.ask("finish", json!({ "guard": "g", "call_id": call_id, "result": "holds" })).unwrap();
    }
    let ids = |events: &[Value]| events.iter().map(|event| event["event_id"].to_string()).collect::<Vec<_>>();
    let logged = guarded.driver.ask("events", json!({ "guard": "g" })).unwrap();
    let logged = ids(logged["events"].as_array().unwrap());
    assert!(logged.len() >= 40, "{}", logged.len());
    // The end of a guard waits for them.
    guarded.driver.ask("close", json!({ "guard": "g" })).unwrap();
    let taken = fs::read_to_string(folder.path().join("events.jsonl")).unwrap();
    let taken: Vec<Value> = taken.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(ids(&taken), logged);
    let tries = fs::read_to_string(folder.path().join("tries")).unwrap();
    assert!(tries.parse::<u32>().unwrap() > 2, "it failed twice before: {tries}");
}

#[test]
fn what_is_no_plugin_is_refused_by_name_and_the_driver_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        fs::write(folder.path().join(name), bytes).unwrap();
        json!(folder.path().join(name))
    };
    let mistyped = built("tests/plugins/hostile", "hostile", "mistyped").unwrap_or_else(|why| panic!("{why}"));
    let describes = |mode: &str| configured(json!({ "describe": mode }));
    let cases = [
        (json!(folder.path().join("nowhere.wasm")), "the file cannot be read"),
        (json!(folder.path()), "the file cannot be read"),
        (write("text.wasm", b"hello"), "it is no component"),
        (write("empty.wasm", b""), "it is no component"),
        (write("module.wasm", b"\0asm\x01\0\0\0"), "it is no component"),
        (write("nothing.wasm", b"\0asm\x0d\0\x01\0"), "it exports no `edictum:plugin/plugin-info@0.1.x`"),
        (write("cut.wasm", &fs::read(hostile()).unwrap()[..40_000]), "it is no component"),
        (json!(workspace().join("target/component/edictum-decider.wasm")), "it exports no `edictum:plugin/plugin-info"),
        (json!(mistyped), "its functions are not those of the WIT"),
        (describes("fail"), "it does not want to be loaded: told to fail with two lines"),
        (describes("trap"), "it trapped"),
        (json!({ "path": hostile(), "configuration": { "describe": "loop" } }), "it gave no answer within 1s"),
        (describes("hog"), "it needed more than 65536 KiB of memory"),
        (configured(json!({ "name": "" })), "it has no name"),
        (configured(json!({ "name": "two\nlines" })), "control characters"),
        (configured(json!({ "operators": ["x".repeat(300)] })), "too long"),
        (configured(json!({ "operators": vec!["x"; 1001] })), "it has more than 1000 operators"),
        (configured(json!({ "operators": ["a", "a"] })), "the operator `a`"),
        (configured(json!({ "operators": ["equals"] })), "`equals` is a built-in operator"),
        (configured(json!({ "selectors": ["args"] })), "args"),
        (json!({ "path": hostile(), "memory_bytes": 1000 }), "it needed more than 0 KiB of memory"),
        (
            json!({ "path": hostile(), "grants": { "folders": [{ "host": "/nowhere/at/all", "plugin": "/" }] } }),
            "what was granted to it cannot be had",
        ),
        (json!({ "path": hostile(), "grants": { "network": true } }), "unknown field"),
        (json!({ "file": hostile() }), "unknown field `file`"),
        (json!(5), "plugins: "),
    ];
    let driver = Driver::start().unwrap();
    for (plugin, because) in cases {
        let answer = driver.answer("open", fields(&rules(&[]), json!([plugin]))).unwrap();
        let refusal = answer.refusal().unwrap_or_else(|| panic!("{plugin}: {}", answer.line()));
        assert!(refusal.message.contains(because), "{plugin}: {because}: {}", refusal.message);
    }
    driver.ask("open", fields(&rules(&["holds"]), json!([acting(json!({}))]))).unwrap();
}

#[test]
fn no_two_plugins_answer_the_same_question() {
    let plugin = |name: &str, has: Value| {
        let mut configuration = json!({ "name": name });
        configuration.as_object_mut().unwrap().extend(has.as_object().unwrap().clone());
        configured(configuration)
    };
    let driver = Driver::start().unwrap();
    for (kind, what) in [("operators", "operator"), ("selectors", "selector"), ("hooks", "hook")] {
        let both = json!([plugin("one", json!({ kind: ["a", "x"] })), plugin("two", json!({ kind: ["x", "b"] }))]);
        let answer = driver.answer("open", fields(&rules(&[]), both)).unwrap();
        let message = format!("both plugin `one` and plugin `two` have the {what} `x`");
        assert!(answer.refusal().unwrap().message.contains(&message), "{}", answer.line());
        let apart = json!([plugin("one", json!({ kind: ["a"] })), plugin("two", json!({ kind: ["b"] }))]);
        driver.ask("open", fields(&rules(&[]), apart)).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let twice = json!([complete(folder.path()), complete(folder.path())]);
    let answer = driver.answer("open", fields(&rules(&[]), twice)).unwrap();
    assert!(answer.refusal().unwrap().message.contains("have a success check"), "{}", answer.line());
}

#[test]
fn rules_that_need_a_plugin_do_not_load_without_it() {
    let driver = Driver::start().unwrap();
    let answer = driver.answer("open", fields(&rules(&["holds"]), json!([]))).unwrap();
    assert!(answer.refusal().unwrap().message.contains("act"), "{}", answer.line());
}

#[test]
fn the_verbs_take_plugins() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("rules.yaml", &rules(&["holds", "holds not", "trap", "print a line"]));
    write("configuration.json", r#"{"operators": ["act"]}"#);
    write("settings.json", &acting(json!({})).to_string());
    write(
        "calls.jsonl",
        "{\"tool\":\"holds-not\",\"args\":{\"value\":1}}\n{\"tool\":\"trap\",\"args\":{\"value\":1}}\n",
    );
    let run = |line: &str| {
        let line = line.replace("PLUGIN", &format!("--plugin {}=configuration.json", hostile().display()));
        let output = workshop::run(folder.path(), &format!("EDICTUM_LOG=info edictum-host {line}")).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let (code, said, _) = run("validate rules.yaml");
    assert!(code == 1 && said.contains("act"), "{said}");
    assert_eq!(run("validate rules.yaml PLUGIN").0, 0);
    let check = |plugin: &str, tool: &str| {
        run(&format!("check --rules rules.yaml {plugin} '{{\"tool\":\"{tool}\",\"args\":{{\"value\":1}}}}'"))
    };
    assert_eq!(check("PLUGIN", "holds-not").0, 0);
    assert_eq!(check("PLUGIN", "holds").0, 1);
    assert_eq!(check("--plugin @settings.json", "holds").0, 1);
    let (_, _, log) = check("PLUGIN", "print-a-line");
    let printed = log.lines().find(|line| line.contains("a line of the plugin's")).unwrap_or_else(|| panic!("{log}"));
    assert!(printed.contains("hostile") && printed.contains("stdout"), "{printed}");

    let (code, said, _) = run("run --rules rules.yaml --store memory PLUGIN calls.jsonl");
    assert_eq!(code, 1);
    assert!(said.starts_with("allow  ") && said.contains("plugin `hostile`: it trapped"), "{said}");
    let (_, said, _) = run("run --rules rules.yaml --store memory PLUGIN --json calls.jsonl");
    assert!(said.lines().last().unwrap().contains(r#""error_detail":"plugin `hostile`: it trapped"#), "{said}");

    for (arguments, because) in [
        ("--plugin nowhere.wasm", "plugin `nowhere.wasm`: the file cannot be read"),
        ("--plugin @nowhere.json", "cannot read `nowhere.json`"),
        ("--plugin x.wasm=rules.yaml", "`rules.yaml` is not JSON"),
        ("PLUGIN PLUGIN", "both plugin `hostile` and plugin `hostile` have the operator `act`"),
    ] {
        let (code, _, said) = check(arguments, "holds");
        assert!(code == 2 && said.contains(because), "{arguments}: {said}");
    }
    let (code, said, _) = run(&format!("plugin inspect {}=configuration.json", hostile().display()));
    assert_eq!(
        (code, said.as_str()),
        (0, "hostile 0.1.0\n  exports    operators, selectors, hooks\n  operators  act\n")
    );
}

#[test]
fn a_closed_guard_can_be_opened_again_with_the_same_plugin() {
    let copy = Copy::empty().unwrap();
    let plugin = copy.path().join("plugin.wasm");
    fs::copy(hostile(), &plugin).unwrap();
    let plugins = json!([{ "path": plugin, "configuration": { "operators": ["act"] }, "deadline_ms": PATIENT }]);
    let guarded = Guarded::open(&rules(&["holds", "trap"]), plugins.clone());
    for _ in 0..3 {
        fires(&guarded.act("holds", ""));
        is_named_fault(&guarded.act("trap", ""), "it trapped");
        guarded.driver.ask("close", json!({ "guard": "g" })).unwrap();
        guarded.driver.ask("open", fields(&rules(&["holds", "trap"]), plugins.clone())).unwrap();
    }
    // The file may go: what is loaded is loaded.
    fs::remove_file(&plugin).unwrap();
    fires(&guarded.act("holds", ""));
}
