//! The JSON Schemas in `wit/schemas` against what the code takes and gives. A schema that drifts from the code misleads
//! every host that generates types from it.

#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may fail so")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use boon::{Compiler, SchemaIndex, Schemas};
use edictum_engine::documents::Document;
use edictum_engine::options::Options;
use edictum_engine::policy::{Policy, Preparation, Progress};
use edictum_engine::text;
use serde_json::{Map, Value, json};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../wit/schemas")
}

/// Every schema of the folder, with its name, in one order.
fn schemas() -> Vec<(String, Value)> {
    let mut schemas: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap();
            let name = file.strip_suffix(".schema.json").unwrap_or_else(|| panic!("{file} is no schema"));
            (name.to_owned(), serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap())
        })
        .collect();
    schemas.sort_by(|(one, _), (two, _)| one.cmp(two));
    schemas
}

/// The schemas, each definition compiled when it is first asked for.
struct Validators {
    compiler: RefCell<Compiler>,
    compiled: RefCell<(Schemas, BTreeMap<String, SchemaIndex>)>,
}

impl Validators {
    fn new() -> Self {
        let mut compiler = Compiler::new();
        for (name, schema) in schemas() {
            compiler.add_resource(&format!("urn:edictum:guard:0.1.0:{name}"), schema).unwrap();
        }
        Self { compiler: RefCell::new(compiler), compiled: RefCell::default() }
    }

    /// What is wrong with a value; the target is a schema, or a definition in it (`inquiry#/$defs/reply`).
    fn errors(&self, target: &str, value: &Value) -> Option<String> {
        let (schemas, indices) = &mut *self.compiled.borrow_mut();
        let index = *indices.entry(target.to_owned()).or_insert_with(|| {
            let location = format!("urn:edictum:guard:0.1.0:{target}");
            self.compiler.borrow_mut().compile(&location, schemas).unwrap_or_else(|error| panic!("{error:#}"))
        });
        schemas.validate(value, index).err().map(|error| error.to_string())
    }

    fn conforms(&self, target: &str, value: &Value) {
        if let Some(errors) = self.errors(target, value) {
            panic!("{errors}\nin {value:#}");
        }
    }

    fn takes(&self, target: &str, value: &Value) -> bool {
        self.errors(target, value).is_none()
    }
}

#[test]
fn every_schema_is_one_and_its_examples_conform() {
    let validators = Validators::new();
    let mut examples = 0;
    for (name, schema) in schemas() {
        assert_eq!(schema["$id"], format!("urn:edictum:guard:0.1.0:{name}"));
        assert!(schema["description"].is_string(), "{name}");
        let definitions = schema["$defs"].as_object().into_iter().flatten();
        let parts = definitions.map(|(definition, body)| (format!("{name}#/$defs/{definition}"), body));
        for (target, body) in [(name.clone(), &schema)].into_iter().chain(parts) {
            // Compiled even when it has no example: a reference that leads nowhere shows here.
            validators.takes(&target, &Value::Null);
            for example in body["examples"].as_array().into_iter().flatten() {
                validators.conforms(&target, example);
                examples += 1;
            }
        }
    }
    assert!(examples > 30, "{examples}");
}

#[test]
fn options_have_the_keys_and_defaults_that_the_schema_says() {
    let (_, schema) = schemas().into_iter().find(|(name, _)| name == "options").unwrap();
    let code = serde_json::to_value(Options::default()).unwrap();
    let properties = schema["properties"].as_object().unwrap().iter();
    let written: Map<_, _> = properties.map(|(key, property)| (key.clone(), property["default"].clone())).collect();
    assert_eq!(Value::Object(written), code);
    Validators::new().conforms("options", &code);
}

#[test]
fn the_schema_and_the_engine_take_the_same_options() {
    let validators = Validators::new();
    let takes = |options: &Value| Options::read(&options.to_string()).is_ok();
    let (_, schema) = schemas().into_iter().find(|(name, _)| name == "options").unwrap();
    for example in schema["examples"].as_array().unwrap() {
        assert!(takes(example), "{example}: {:?}", Options::read(&example.to_string()));
    }
    for options in [
        json!({"mode": "warn"}),
        json!({"unknown": 1}),
        json!({"limits": {"max_calls": 1}}),
        json!({"tools": {"Read": {"side_effect": "none"}}}),
        json!({"tools": {"Read": "read"}}),
        json!({"env": {"A": 1}}),
        json!({"compat": "python"}),
        json!({"hooks": [{"before": true}]}),
        json!({"hooks": ["name"]}),
        json!({"builtin_rules": {"deny_everything": {}}}),
        json!({"merge": [{"options": {}}]}),
        json!({"merge": [{"rulesets": [{"name": "a"}]}]}),
        json!({"merge": [{"rulesets": [], "options": {"mod": "observe"}}]}),
        json!({"redaction": {"patterns": [["a"]]}}),
        json!({"redaction": {"patterns": ["a"]}}),
        json!({"approvals": "nobody"}),
        json!({"exec_enabled": "yes"}),
        json!({"session_ttl": -1}),
        json!({"outbox_max_bytes": 1.5}),
        json!({"signing_public_keys": "00"}),
        json!([]),
    ] {
        assert!(!validators.takes("options", &options), "the schema takes {options}");
        assert!(!takes(&options), "the engine takes {options}");
    }
}

fn policy() -> Policy {
    let ruleset = "apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {name: schemas}\ndefaults: {mode: enforce}\nrules:\n  \
                   - {id: no-secrets, type: pre, tool: '*', when: {args.path: {contains: secret}}, \
                   then: {action: block, message: 'not {args.path}', tags: [secrets]}}\n  \
                   - {id: ask-first, type: pre, tool: Deploy, when: {tool.name: {equals: Deploy}}, \
                   then: {action: ask, message: deploy?, timeout: 60}}\n  \
                   - {id: no-keys, type: post, tool: '*', when: {output.text: {matches: 'sk-[a-z]+'}}, \
                   then: {action: redact, message: a key}}\n";
    let document = Document { name: "schemas".to_owned(), text: ruleset.to_owned() };
    let mut preparation = Preparation::new(vec![document], None, "{}".to_owned());
    loop {
        match preparation.advance(100).unwrap_or_else(|failure| panic!("{failure:?}")) {
            Progress::More => {}
            Progress::Ask(questions) => panic!("{questions:?}"),
            Progress::Ready(policy) => return policy,
        }
    }
}

/// Sends requests and checks them and their replies; answers as an empty store does.
struct Exchange {
    policy: Policy,
    validators: Validators,
}

impl Exchange {
    fn conforms(&self, definition: &str, value: &Value) {
        self.validators.conforms(&format!("inquiry#/$defs/{definition}"), value);
    }

    fn send(&self, step: &str, request: &Value) -> Value {
        self.conforms(step, request);
        let call = match step {
            "evaluate" => text::evaluate,
            "begin" => text::begin,
            "settle" => text::settle,
            "finish" => text::finish,
            _ => text::resume,
        };
        let reply: Value = serde_json::from_str(&call(&self.policy, &request.to_string())).unwrap();
        self.conforms("reply", &reply);
        let Some(asked) = reply.get("ask_host") else { return reply["done"].clone() };
        let mut request = request.clone();
        let request_map = request.as_object_mut().unwrap();
        request_map.remove("approval");
        request_map.insert("ticket".to_owned(), asked["ticket"].clone());
        let answers = asked["questions"].as_array().unwrap().iter().map(|question| {
            let operations = question["session"].as_array().unwrap_or_else(|| panic!("{question}"));
            let outcomes = operations.iter().map(|operation| match operation["increment"]["amount"].as_u64() {
                Some(sum) => json!({"done": {"value": sum.to_string()}}),
                None => json!({"done": {}}),
            });
            json!({"session": outcomes.collect::<Vec<_>>()})
        });
        request_map.insert("answers".to_owned(), answers.collect());
        self.send("resume", &request)
    }
}

#[test]
fn what_the_engine_gives_conforms() {
    let exchange = Exchange { policy: policy(), validators: Validators::new() };
    let call = |tool: &str, path: &str, id: &str| {
        json!({"tool": tool, "args": {"path": path, "token": "x"}, "session_id": "s", "call_id": id, "agent_id": "a",
               "principal": {"role": "dev", "claims": {"team": "t"}}})
    };
    let now = 1_700_000_000_000_u64;
    for output in [None, Some(json!(null)), Some(json!("sk-abc")), Some(json!({"a": [1]}))] {
        let mut request = json!({"call": call("Read", "/secret", "e")});
        if let Some(output) = output {
            request["output"] = output;
        }
        exchange.send("evaluate", &request);
    }
    exchange.send("begin", &json!({"call": call("Read", "/secret", "b"), "now": now}));
    exchange.send("begin", &json!({"call": {"tool": "Read", "args": []}, "now": now}));
    exchange.send("begin", &json!({"call": null, "now": now}));

    let call = call("Deploy", "/x", "c");
    let asked = exchange.send("begin", &json!({"call": call, "now": now}));
    let decision = match asked["action"].as_str() {
        Some("ask") => {
            let approval = json!({"verdict": "approved", "approver": "ann", "decided_via": null});
            let request = json!({"call": call, "ticket": asked["ticket"], "approval": approval, "now": now + 1});
            exchange.send("settle", &request)
        }
        _ => asked,
    };
    assert_eq!(decision["action"], "allow", "{decision}");
    for outcome in
        [json!({"output": "sk-abc"}), json!({"output": {"is_error": true}}), json!({"output": null, "success": false})]
    {
        exchange
            .send("finish", &json!({"call": call, "ticket": decision["ticket"], "outcome": outcome, "now": now + 2}));
    }
}

#[test]
fn requests_that_are_none_are_refused_by_schema_and_engine_alike() {
    let policy = policy();
    let validators = Validators::new();
    for request in
        [json!({"call": {}}), json!({"call": {}, "now": -1}), json!({"call": {}, "now": 1, "ticket": {}}), json!([])]
    {
        assert!(!validators.takes("inquiry#/$defs/begin", &request), "{request}");
        let reply: Value = serde_json::from_str(&text::begin(&policy, &request.to_string())).unwrap();
        assert!(reply["failed"]["code"].is_string(), "{request}: {reply}");
    }
    for answer in [
        json!(null),
        json!({}),
        json!({"session": [], "failed": ""}),
        json!({"session": [{"done": null}]}),
        json!({"session": [{"done": {"value": 3}}]}),
        json!({"session": [{"found": [["k"]]}]}),
        json!({"principal": null}),
        json!({"read_links": ["linked"]}),
        json!({"operators": [{"ok": 1}]}),
        json!({"hooks": [{"ok": "refuse"}]}),
        json!({"command": {"ok": {"exit_code": 0}}}),
        json!({"failed": {}}),
    ] {
        let request = json!({"call": {}, "now": 1, "ticket": {"step": "begin"}, "answers": [answer]});
        assert!(!validators.takes("inquiry#/$defs/resume", &request), "{request}");
        let reply: Value = serde_json::from_str(&text::resume(&policy, &request.to_string())).unwrap();
        assert_eq!(reply["failed"]["code"], "E_REQUEST", "{request}");
    }
}
