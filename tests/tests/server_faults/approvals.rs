//! T89–T100: people who are asked through the server.

use edictum_tests::driver::Pending;
use edictum_tests::fault_server::{json as says, response};
use edictum_tests::stand_in::until;
use serde_json::{Value, json};

use crate::place::{ASK, LOOK, Place};

/// Asks before `deploy`, and lets it run when nobody answers; before `drop` too, and then it does not run.
const ASKING: &str = "apiVersion: edictum/v1
kind: Ruleset
metadata: {name: rules}
defaults: {mode: enforce}
rules:
  - id: ask-first
    type: pre
    tool: deploy
    when: {args.x: {exists: true}}
    then: {action: ask, message: 'Deploy?', timeout: 60, timeout_action: allow}
  - id: ask-strictly
    type: pre
    tool: drop
    when: {args.x: {exists: true}}
    then: {action: ask, message: 'Drop?', timeout: 60, timeout_action: block}
";

/// A guard whose call waits for a person.
fn asking(tool: &str) -> (Place, Pending, String) {
    let place = open();
    let held = place.hold("s", tool);
    let id = place.api.wait_for_asked(1)[0].id.clone();
    (place, held, id)
}

fn open() -> Place {
    let place = Place::alone();
    place.api.publish("rules", ASKING);
    place.open(json!({"auto_watch": false, "store": "memory"}));
    place
}

/// Time passes until the call is settled.
fn settled(place: &Place, held: &Pending) -> Value {
    for _ in 0..200 {
        if let Some(answer) = place.driver().poll(held) {
            return answer.result().unwrap();
        }
        place.pass(1_000);
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    place.settled(held)
}

/// The event of what came of the question.
fn event(place: &Place, action: &str) -> Value {
    let events = place.events();
    let found = events.iter().find(|event| event["action"] == action);
    found.unwrap_or_else(|| panic!("no `{action}` in {events:?}")).clone()
}

fn answer(status: &str) -> Value {
    json!({
        "id": "ap-1", "status": status, "decided_by": "alice", "decision_reason": "because of Friday",
        "decided_at": "2026-01-02T03:04:05Z", "decided_via": "console",
    })
}

#[test]
fn t89_an_approval_comes_with_who_and_why() {
    let (place, held, id) = asking("deploy");
    place.pass_until("it is looked at twice", 1_000, 30, || place.api.count(LOOK) >= 2);
    assert!(place.driver().poll(&held).is_none());
    place.api.decide(&id, answer("approved"));
    assert_eq!(settled(&place, &held)["action"], "allow");
    let event = event(&place, "call_approval_granted").to_string();
    for part in ["alice", "because of Friday", "ap-1", "console", "2026-01-02T03:04:05Z"] {
        assert!(event.contains(part), "{part}: {event}");
    }
    let looks: Vec<u64> = place.api.came(LOOK).iter().map(|came| came.at).collect();
    assert!(looks.windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{looks:?}");
}

#[test]
fn t90_both_words_of_refusal_block_with_the_reason() {
    for word in ["rejected", "denied"] {
        let (place, held, id) = asking("deploy");
        place.api.decide(&id, answer(word));
        let decision = settled(&place, &held);
        assert_eq!(decision["action"], "block", "{word}");
        assert!(decision["reason"].as_str().unwrap().contains("because of Friday"), "{decision}");
        assert!(event(&place, "call_approval_blocked").to_string().contains("alice"));
    }
}

#[test]
fn t91_a_time_out_does_what_the_rule_says() {
    for word in ["timed_out", "timeout"] {
        for (tool, action) in [("deploy", "allow"), ("drop", "block")] {
            let (place, held, id) = asking(tool);
            place.api.decide(&id, json!({"id": id, "status": word}));
            assert_eq!(settled(&place, &held)["action"], action, "{word} {tool}");
            let _event = event(&place, "call_approval_timeout");
        }
    }
}

#[test]
fn t91_pending_at_the_deadline_is_a_time_out() {
    for (tool, action) in [("deploy", "allow"), ("drop", "block")] {
        let (place, held, _) = asking(tool);
        place.pass(59_000);
        assert!(place.driver().poll(&held).is_none());
        place.pass(1_500);
        assert_eq!(settled(&place, &held)["action"], action, "{tool}");
    }
}

#[test]
fn t92_an_unknown_word_never_lets_a_call_run() {
    for word in ["cancelled", "APPROVED", "Approved ", ""] {
        let (place, held, id) = asking("deploy");
        place.api.decide(&id, answer(word));
        place.pass_until("it is looked at", 1_000, 30, || place.api.count(LOOK) >= 2);
        assert!(place.driver().poll(&held).is_none(), "{word}: until the deadline");
        assert_eq!(settled(&place, &held)["action"], "block", "{word}");
    }
}

#[test]
fn t93_a_look_that_fails_is_repeated() {
    for (status, headers) in
        [(429, &[("Retry-After", "3")][..]), (503, &[("Retry-After", "3")]), (503, &[]), (500, &[]), (408, &[])]
    {
        let (place, held, id) = asking("deploy");
        place.api.once(LOOK, response(status, headers, ""));
        place.api.decide(&id, answer("approved"));
        assert_eq!(settled(&place, &held)["action"], "allow", "{status}");
        assert_eq!((place.api.count(LOOK), place.api.count(ASK)), (2, 1), "{status}");
    }
}

#[test]
fn t94_an_approval_that_is_not_there_blocks_after_a_few_seconds() {
    let (place, held, _) = asking("deploy");
    place.api.always(LOOK, says(404, r#"{"detail":"Not Found"}"#));
    let start = place.api.came(ASK)[0].at;
    assert_eq!(settled(&place, &held)["action"], "block");
    let last = place.api.came(LOOK).last().unwrap().at;
    assert!(last - start < 45_000, "long before the deadline: {}", last - start);
    assert!(!place.events().is_empty());
}

#[test]
fn t94_an_approval_that_is_not_there_at_first_is_waited_for() {
    let (place, held, id) = asking("deploy");
    place.api.once(LOOK, says(404, r#"{"detail":"Not Found"}"#));
    place.api.decide(&id, answer("approved"));
    assert_eq!(settled(&place, &held)["action"], "allow");
}

#[test]
fn t95_an_answer_without_a_status_blocks() {
    for body in ["{}", r#"{"status":null}"#, r#"{"status":1}"#, r#"{"status":["approved"]}"#, "[]", "null"] {
        let (place, held, _) = asking("deploy");
        place.api.always(LOOK, says(200, body));
        let decision = settled(&place, &held);
        assert_eq!(decision["action"], "block", "{body}");
        assert_eq!(place.api.count(LOOK), 1, "{body}");
        assert!(
            json!(place.events()).to_string().contains("E_PROTOCOL") || decision.to_string().contains("unreachable")
        );
    }
}

#[test]
fn t96_an_id_that_cannot_be_one_is_never_asked_for() {
    for id in [json!("../../x"), json!("a/b"), json!("a\n"), json!(""), json!(7), Value::Null, json!("a?b")] {
        let place = open();
        place.api.always(ASK, says(201, &json!({"id": id, "status": "approved"}).to_string()));
        let decision = settled(&place, &place.hold("s", "deploy"));
        assert_eq!(decision["action"], "block", "{id}");
        assert_eq!((place.api.count(ASK), place.api.count(LOOK)), (1, 0), "{id}");
    }
    let place = open();
    place.api.always(ASK, says(201, "{}"));
    assert_eq!(settled(&place, &place.hold("s", "deploy"))["action"], "block");
    assert_eq!(place.api.count(ASK), 1);
}

#[test]
fn t97_the_last_look_sees_what_was_decided_during_the_last_wait() {
    let (place, held, id) = asking("drop");
    place.pass(58_500);
    let looks = place.api.count(LOOK);
    place.api.decide(&id, answer("approved"));
    // Whoever looks before the deadline sees it then; whoever does not looks at it.
    place.pass(1_600);
    assert_eq!(place.settled(&held)["action"], "allow");
    assert!(place.api.count(LOOK) > looks);
}

#[test]
fn t98_people_are_not_shown_secrets() {
    let place = open();
    let call = json!({
        "guard": place.guard, "session_id": "s", "hold": true,
        "call": {"tool": "deploy", "args": {
            "x": 1, "password": "hunter2", "note": "with sk-proj-abcdefghijklmnopqrstuvwx0123456789",
            "command": "export API_TOKEN=tea-time-at-five; curl https://bob:swordfish@example.com",
        }},
    });
    let held = place.driver().send("begin", call);
    let asked = place.api.wait_for_asked(1);
    let text = place.api.came(ASK)[0].request.text();
    for secret in ["hunter2", "sk-proj", "tea-time", "swordfish"] {
        assert!(!text.contains(secret), "{text}");
    }
    assert_eq!((&asked[0].question["tool_name"], &asked[0].question["agent_id"]), (&json!("deploy"), &json!("dev")));
    assert_eq!(asked[0].question["timeout_action"], "allow");
    place.api.decide(&asked[0].id, answer("rejected"));
    assert_eq!(settled(&place, &held)["action"], "block");
}

#[test]
fn t99_a_server_that_is_away_until_the_deadline_blocks() {
    let (place, held, _) = asking("deploy");
    place.api.server().down();
    let decision = settled(&place, &held);
    assert_eq!(decision["action"], "block", "although the rule says `allow`");
    assert!(decision.to_string().contains("approval service unreachable"), "{decision}");
    place.api.server().up();
}

#[test]
fn t99_a_server_that_cannot_be_asked_at_all_blocks() {
    let place = open();
    place.api.always(ASK, response(503, &[("Retry-After", "5")], ""));
    let held = place.hold("s", "deploy");
    let decision = settled(&place, &held);
    assert_eq!(decision["action"], "block");
    assert!(decision.to_string().contains("approval service unreachable"), "{decision}");
    let keys: Vec<_> =
        place.api.came(ASK).iter().map(|came| came.request.header("idempotency-key").map(str::to_owned)).collect();
    assert!(keys.len() > 1 && keys[0].is_some() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[test]
fn t100_a_clock_that_is_set_back_moves_no_deadline() {
    let (place, held, _) = asking("drop");
    place.pass(30_000);
    place.pass(-3_600_000);
    assert!(place.driver().poll(&held).is_none());
    for _ in 0..4 {
        place.pass(10_000);
    }
    assert_eq!(settled(&place, &held)["action"], "block");
    // Not an hour later: the time that passed is counted, whatever the clock says.
    let passed: u64 = place.api.came(LOOK).windows(2).map(|pair| pair[1].at.saturating_sub(pair[0].at)).sum();
    assert!(passed < 600_000, "{passed}");
}

#[test]
fn what_the_stream_says_was_decided_is_looked_at_at_once() {
    let place = Place::alone();
    place.api.publish("rules", ASKING);
    place.open_live(json!({"store": "memory"}));
    let held = place.hold("s", "deploy");
    let id = place.api.wait_for_asked(1)[0].id.clone();
    place.api.decide(&id, answer("approved"));
    place.api.push("approval_decided", &json!({"approval_id": id, "status": "rejected"}).to_string());
    // What the event says of the decision is not believed.
    assert_eq!(place.settled(&held)["action"], "allow");
    until("one look was enough", || place.api.count(LOOK) == 1);
}
