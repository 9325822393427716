//! Operations against answers written by hand, and against a store that keeps what it is told.

use proptest::prelude::*;

use super::*;
use crate::endpoint::testing::{console, endpoint, json, with_header};
use crate::response::{Fault, Response};

const NOW: u64 = 1_800_000_000_000;

fn get(key: &str) -> Operation {
    Operation::Get(key.to_owned())
}

fn add(key: &str) -> Operation {
    Operation::Increment { key: key.to_owned(), amount: 1 }
}

fn put(key: &str, value: &str, expected: Option<&str>) -> Operation {
    Operation::Put { key: key.to_owned(), value: value.to_owned(), expected: expected.map(str::to_owned) }
}

fn value(value: Option<&str>) -> Performed {
    Performed::Settled(Outcome::Done(Entry { value: value.map(str::to_owned), version: None }))
}

fn store() -> SessionStore {
    SessionStore::open(&endpoint(), "{}").unwrap()
}

/// Performs one session; each request must begin with the text beside its answer, in the order in which they are made.
fn perform(store: &mut SessionStore, operations: &[Operation], script: &[(&str, Answer)]) -> Vec<Performed> {
    let mut script = script.iter();
    let mut performance = store.perform(vec![operations.to_vec()], 0, NOW);
    loop {
        let requests = performance.requests();
        if requests.is_empty() {
            break;
        }
        for (id, request) in requests {
            let (expected, answer) = script.next().unwrap_or_else(|| panic!("{request:?} is not expected"));
            let body = request.body.as_deref().unwrap_or_default();
            let line = format!("{} {} {body}", request.method.as_str(), request.target);
            assert!(line.trim_end() == *expected, "{line} instead of {expected}");
            performance.answered(id, answer, NOW);
        }
    }
    assert_eq!(script.next(), None, "a request is missing");
    performance.finish().remove(0)
}

fn one(operation: Operation, answer: Answer) -> Performed {
    let mut store = store();
    store.known = true;
    let mut performance = store.perform(vec![vec![operation]], 0, NOW);
    let (id, _) = performance.requests().remove(0);
    performance.answered(id, &answer, NOW);
    assert!(performance.requests().is_empty());
    performance.finish().remove(0).remove(0)
}

fn is_failed(performed: &Performed) -> bool {
    matches!(performed, Performed::Settled(Outcome::Failed(_)))
}

#[test]
fn a_step_before_the_tool_is_two_requests_and_one_wait() {
    let mut store = store();
    let operations = vec![add("s:a:attempts"), get("s:a:execs"), get("s:a:consec_fail"), get("s:a:tool:Bash")];
    let mut performance = store.perform(vec![operations], 0, NOW);
    let requests = performance.requests();
    assert_eq!(requests.len(), 2);
    assert!(performance.requests().is_empty());
    let increment = &requests[0].1;
    assert_eq!(increment.target, "/v1/sessions/s:a:attempts/increment");
    assert_eq!((increment.method, increment.body.as_deref()), (Method::Post, Some(r#"{"amount":1}"#)));
    let batch = &requests[1].1;
    assert_eq!(batch.target, "/v1/sessions/batch");
    assert_eq!(batch.body.as_deref(), Some(r#"{"keys":["s:a:execs","s:a:consec_fail","s:a:tool:Bash"]}"#));
    performance.answered(
        1,
        &json(200, r#"{"values":{"s:a:execs":"2","s:a:consec_fail":null,"s:a:tool:Bash":1}}"#),
        NOW,
    );
    performance.answered(0, &json(200, r#"{"value":3}"#), NOW);
    assert!(performance.requests().is_empty());
    assert_eq!(performance.finish(), [[value(Some("3")), value(Some("2")), value(None), value(Some("1"))]]);
}

#[test]
fn steps_on_one_key_keep_their_order() {
    let operations = [put("k", "1", None), get("k"), Operation::Delete("k".into()), get("k"), get("l")];
    let performed = perform(
        &mut store(),
        &operations,
        &[
            (r#"PUT /v1/sessions/k {"value":"1"}"#, json(200, "")),
            ("GET /v1/sessions/l", json(200, r#"{"value":null}"#)),
            ("GET /v1/sessions/k", json(200, r#"{"value":"1"}"#)),
            ("DELETE /v1/sessions/k", json(204, "")),
            ("GET /v1/sessions/k", json(404, r#"{"detail":"no such key"}"#)),
        ],
    );
    assert_eq!(performed, [value(None), value(Some("1")), value(None), value(None), value(None)]);
}

#[test]
fn what_follows_a_failure_on_the_same_key_is_not_done() {
    let performed = perform(
        &mut store(),
        &[put("k", "1", None), get("k"), get("l")],
        &[
            (r#"PUT /v1/sessions/k {"value":"1"}"#, json(422, r#"{"detail":"bad key"}"#)),
            ("GET /v1/sessions/l", json(200, r#"{"value":"x"}"#)),
        ],
    );
    assert!(is_failed(&performed[0]) && is_failed(&performed[1]));
    assert_eq!(performed[2], value(Some("x")));
}

#[test]
fn t13_an_empty_answer_is_a_success_and_an_increment_without_a_sum_is_read_back() {
    assert_eq!(one(put("k", "1", None), json(204, "")), value(None));
    assert_eq!(one(Operation::Delete("k".into()), json(202, "")), value(None));
    let script = [
        ("POST /v1/sessions/k/increment {\"amount\":1}", json(204, "")),
        ("GET /v1/sessions/k", json(200, r#"{"value":"7"}"#)),
    ];
    assert_eq!(perform(&mut store(), &[add("k")], &script), [value(Some("7"))]);
    let script =
        [("POST /v1/sessions/k/increment {\"amount\":1}", json(204, "")), ("GET /v1/sessions/k", json(404, "{}"))];
    assert!(is_failed(&perform(&mut store(), &[add("k")], &script)[0]), "a counter must not count as 0");
}

#[test]
fn t05_t07_an_increment_is_repeated_only_when_it_was_not_done() {
    for unclear in
        [Err(Fault::Lost("reset".into())), Err(Fault::Deadline), json(500, ""), json(503, ""), Err(Fault::Incomplete)]
    {
        let performed = one(add("k"), unclear.clone());
        assert!(
            matches!(&performed, Performed::Settled(Outcome::Failed(why)) if why.contains("E_AMBIGUOUS")),
            "{unclear:?}"
        );
    }
    for clear in [Err(Fault::NotSent("refused".into())), json(429, ""), with_header(json(503, ""), "retry-after", "2")]
    {
        assert!(matches!(one(add("k"), clear.clone()), Performed::Later(_)), "{clear:?}");
    }
    let mut third = store();
    let mut performance = third.perform(vec![vec![add("k")]], 2, NOW);
    performance.requests();
    performance.answered(0, &json(429, ""), NOW);
    assert!(is_failed(&performance.finish()[0][0]), "three attempts");
}

#[test]
fn t01_t27_reads_and_writes_are_repeated() {
    for operation in [get("k"), put("k", "v", None), put("k", "v", Some("1")), Operation::Delete("k".into())] {
        for answer in [json(500, ""), json(408, ""), json(425, ""), Err(Fault::Lost("reset".into()))] {
            assert!(matches!(one(operation.clone(), answer), Performed::Later(at) if (NOW..=NOW + 500).contains(&at)));
        }
        assert_eq!(
            one(operation.clone(), with_header(json(429, ""), "retry-after", "7")),
            Performed::Later(NOW + 7000)
        );
        assert!(is_failed(&one(operation, json(401, ""))));
    }
}

#[test]
fn t82_without_a_batch_keys_are_read_one_by_one_and_that_is_remembered() {
    for status in [404, 405] {
        let mut store = store();
        let script = [
            (r#"POST /v1/sessions/batch {"keys":["a","b"]}"#, json(status, r#"{"detail":"nope"}"#)),
            ("GET /v1/sessions/a", json(200, r#"{"value":"1"}"#)),
            ("GET /v1/sessions/b", json(404, "{}")),
        ];
        assert_eq!(perform(&mut store, &[get("a"), get("b")], &script), [value(Some("1")), value(None)]);
        assert_eq!(perform(&mut store, &[get("a"), get("b")], &script[1..]), [value(Some("1")), value(None)]);
    }
}

#[test]
fn one_key_that_the_server_does_not_take_does_not_hide_the_others() {
    let script = [
        (r#"POST /v1/sessions/batch {"keys":["a","b b"]}"#, json(422, "{}")),
        ("GET /v1/sessions/a", json(200, r#"{"value":"1"}"#)),
        ("GET /v1/sessions/b%20b", json(422, "{}")),
    ];
    let mut store = store();
    let performed = perform(&mut store, &[get("a"), get("b b")], &script);
    assert_eq!(performed[0], value(Some("1")));
    assert!(is_failed(&performed[1]) && store.has_batch);
}

#[test]
fn t83_t84_no_answer_becomes_a_zero_by_mistake() {
    for body in [
        "{}",
        "[]",
        "null",
        r#"{"values":null}"#,
        r#"{"values":[]}"#,
        r#"{"values":{}}"#,
        r#"{"values":{"a":"1"}}"#,
        r#"{"values":{"a":"1","b":true}}"#,
        r#"{"values":{"a":"1","b":[]}}"#,
        r#"{"values":{"a":"1","b":{}}}"#,
        "",
    ] {
        let script = [(r#"POST /v1/sessions/batch {"keys":["a","b"]}"#, json(200, body))];
        assert!(perform(&mut store(), &[get("a"), get("b")], &script).iter().all(is_failed), "{body}");
    }
    for body in ["{}", "[1]", "null", "7", r#"{"value":true}"#, r#"{"value":[]}"#, r#"{"value":{}}"#, ""] {
        assert!(is_failed(&one(get("k"), json(200, body))), "{body}");
        assert!(body.is_empty() || is_failed(&one(add("k"), json(200, body))), "{body}");
    }
    for body in [r#"{"value":null}"#, r#"{"value":""}"#] {
        assert!(is_failed(&one(add("k"), json(200, body))), "{body}");
    }
    for (body, text) in [
        ("5", "5"),
        ("5.0", "5.0"),
        ("\"5.0\"", "5.0"),
        ("1000000000000000000000000000000", "1000000000000000000000000000000"),
        ("-5", "-5"),
        ("\"1e3\"", "1e3"),
    ] {
        // What is no count the engine refuses; here it only must stay what it is.
        let body = format!(r#"{{"value":{body}}}"#);
        assert_eq!(one(get("k"), json(200, &body)), value(Some(text)));
        assert_eq!(one(add("k"), json(200, &body)), value(Some(text)));
    }
}

#[test]
fn a_historic_server_may_leave_missing_keys_out() {
    let mut store = SessionStore::open(&console(), "{}").unwrap();
    let script = [(r#"POST /api/v1/sessions/batch {"keys":["a","b"]}"#, json(200, r#"{"values":{"a":"1"}}"#))];
    assert_eq!(perform(&mut store, &[get("a"), get("b")], &script), [value(Some("1")), value(None)]);
}

#[test]
fn t85_a_page_that_says_404_is_no_missing_key() {
    let page = |media: &str, body: &str| -> Answer {
        let headers = vec![("content-type".to_owned(), media.to_owned())];
        Ok(Response { status: 404, headers, body: body.as_bytes().to_vec() })
    };
    let alone = |known: bool, answer: Answer| {
        let mut store = store();
        store.known = known;
        perform(&mut store, &[get("k")], &[("GET /v1/sessions/k", answer)]).remove(0)
    };
    for known in [false, true] {
        assert!(is_failed(&alone(known, page("text/html", "<html>not here</html>"))));
        assert_eq!(alone(known, json(404, r#"{"detail":"Not Found"}"#)), value(None));
        assert_eq!(is_failed(&alone(known, page("text/plain", "not found"))), !known);
        assert_eq!(is_failed(&alone(known, page("", ""))), !known);
    }
}

#[test]
fn t86_an_unreachable_server_is_a_failure_and_no_value() {
    let mut unreachable = store();
    let mut performance = unreachable.perform(vec![vec![get("a"), get("b"), add("c")]], 2, NOW);
    for (id, _) in performance.requests() {
        performance.answered(id, &Err(Fault::NotSent("refused".into())), NOW);
    }
    assert!(performance.finish()[0].iter().all(is_failed));
}

#[test]
fn t87_versions_are_sent_where_they_were_offered_and_a_lost_race_is_a_conflict() {
    let version = |value: Option<&str>, version: &str| Entry {
        value: value.map(str::to_owned),
        version: Some(version.to_owned()),
    };
    let settled = |outcome: Outcome| Performed::Settled(outcome);
    assert_eq!(
        one(get("k"), json(200, r#"{"value":"a","version":7}"#)),
        settled(Outcome::Done(version(Some("a"), "7")))
    );
    assert_eq!(one(get("k"), json(404, r#"{"version":"v0"}"#)), settled(Outcome::Done(version(None, "v0"))));
    assert_eq!(one(get("k"), json(200, r#"{"value":"a","version":"a\"b"}"#)), value(Some("a")));
    let script = [(
        r#"POST /v1/sessions/batch {"keys":["a","b"]}"#,
        json(200, r#"{"values":{"a":"1","b":null},"versions":{"a":"v1","b":"v2"}}"#),
    )];
    let performed = perform(&mut store(), &[get("a"), get("b")], &script);
    assert_eq!(
        performed,
        [settled(Outcome::Done(version(Some("1"), "v1"))), settled(Outcome::Done(version(None, "v2")))]
    );

    let mut versioned = store();
    let mut performance = versioned.perform(vec![vec![put("k", "mine", Some("v1"))]], 0, NOW);
    let (_, request) = performance.requests().remove(0);
    assert_eq!(request.header("If-Match"), Some("\"v1\""));
    for status in [409, 412] {
        let theirs = json(status, r#"{"value":"theirs","version":"v3"}"#);
        let conflict = settled(Outcome::Conflict(version(Some("theirs"), "v3")));
        assert_eq!(one(put("k", "mine", Some("v1")), theirs.clone()), conflict);
        assert!(is_failed(&one(put("k", "mine", None), theirs)));
        // An attempt whose answer was lost has written it.
        let ours = json(status, r#"{"value":"mine","version":"v3"}"#);
        assert_eq!(one(put("k", "mine", Some("v1")), ours), settled(Outcome::Done(version(Some("mine"), "v3"))));
        let script = [
            (r#"PUT /v1/sessions/k {"value":"mine"}"#, json(status, r#"{"detail":"conflict"}"#)),
            ("GET /v1/sessions/k", json(200, r#"{"value":"theirs","version":"v3"}"#)),
        ];
        assert_eq!(perform(&mut store(), &[put("k", "mine", Some("v1"))], &script), [conflict]);
    }
}

#[test]
fn t80_t81_keys_that_cannot_be_addressed_fail_and_others_are_escaped() {
    let script = [("POST /v1/sessions/s:a:tool:foo%3Fx/increment {\"amount\":1}", json(200, r#"{"value":1}"#))];
    assert_eq!(perform(&mut store(), &[add("s:a:tool:foo?x")], &script), [value(Some("1"))]);
    assert!(is_failed(&perform(&mut store(), &[add("..")], &[])[0]));
    assert!(is_failed(&perform(&mut store(), &[get("a\nb")], &[])[0]));
    assert!(is_failed(&perform(&mut store(), &[Operation::Scan("s:".into())], &[])[0]));
}

#[test]
fn no_more_than_some_requests_are_on_their_way() {
    let mut store = store();
    let sessions = (0..500).map(|number| vec![add(&format!("s:{number}:attempts"))]).collect();
    let mut performance = store.perform(sessions, 0, NOW);
    let mut made = 0;
    loop {
        let requests = performance.requests();
        if requests.is_empty() {
            break;
        }
        assert!(requests.len() <= MAX_IN_FLIGHT);
        for (id, _) in requests {
            made += 1;
            performance.answered(id, &json(200, r#"{"value":1}"#), NOW);
        }
    }
    assert_eq!(made, 500);
    assert!(performance.finish().iter().all(|session| session == &[value(Some("1"))]));
}

/// A server that keeps what it is told.
fn serve(kept: &mut BTreeMap<String, String>, request: &Request) -> Answer {
    let body = request.body.as_deref().unwrap_or_default();
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let key = request.target.trim_start_matches("/v1/sessions/").to_owned();
    let answer = |value: Option<&String>| json(200, &serde_json::json!({ "value": value }).to_string());
    match request.method {
        Method::Get => answer(kept.get(&key)),
        Method::Delete => {
            kept.remove(&key);
            json(204, "")
        }
        Method::Put => {
            kept.insert(key, body["value"].as_str().unwrap().to_owned());
            json(200, "")
        }
        Method::Post if key == "batch" => {
            let keys = body["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap());
            let values: serde_json::Map<_, _> =
                keys.map(|key| (key.to_owned(), kept.get(key).cloned().into())).collect();
            json(200, &serde_json::json!({ "values": values }).to_string())
        }
        Method::Post => {
            let counter = kept.entry(key.trim_end_matches("/increment").to_owned()).or_insert_with(|| "0".to_owned());
            *counter = (counter.parse::<u64>().unwrap_or(0) + body["amount"].as_u64().unwrap()).to_string();
            answer(Some(&counter.clone()))
        }
    }
}

proptest! {
    #[test]
    fn any_operations_give_what_they_would_give_one_after_the_other(
        steps in prop::collection::vec((0_usize..4, 0_usize..4), 0..30), turns in prop::collection::vec(any::<prop::sample::Index>(), 100),
    ) {
        let operations: Vec<Operation> = steps.iter().map(|(kind, key)| {
            let key = format!("k{key}");
            match kind {
                0 => get(&key),
                1 => add(&key),
                2 => put(&key, "40", None),
                _ => Operation::Delete(key),
            }
        }).collect();
        let (mut sequential, mut expected) = (BTreeMap::new(), Vec::new());
        let (mut one_by_one, mut together) = (store(), store());
        for operation in &operations {
            let mut performance = one_by_one.perform(vec![vec![operation.clone()]], 0, NOW);
            let (id, request) = performance.requests().remove(0);
            performance.answered(id, &serve(&mut sequential, &request), NOW);
            expected.push(performance.finish().remove(0).remove(0));
        }
        let (mut kept, mut open, mut turns) = (BTreeMap::new(), Vec::new(), turns.into_iter());
        let mut performance = together.perform(vec![operations], 0, NOW);
        loop {
            open.extend(performance.requests());
            if open.is_empty() {
                break;
            }
            // The server takes them in any order.
            let turn = turns.next().unwrap();
            let (id, request) = open.swap_remove(turn.index(open.len()));
            performance.answered(id, &serve(&mut kept, &request), NOW);
        }
        prop_assert_eq!(performance.finish().remove(0), expected);
        prop_assert_eq!(kept, sequential);
    }
}
